"""/api/routing/explain: who would serve a request now, and why nobody else would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.dashboard import filters
from server.errors import Unprocessable
from server.proxy.balance import Row
from server.proxy.chooser import Wanted
from server.sentences import told
from server.times import iso

if TYPE_CHECKING:
    from server.app import Services

_LONGEST = 255


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("routing", __name__)

    @routes.get("/api/routing/explain")
    def explain() -> Any:
        key = _text("keyId")
        session, file = _text("session"), _text("fileId")
        wanted = Wanted(
            model=_text("model"),
            sticky=("session", session) if session else None,
            previous=_text("previousResponseId") or None,
            files=(file,) if file else (),
            accounts=services.keys.get(key).accounts if key else None,
        )
        return jsonify(_shown(services, services.proxy.chooser.explain(wanted)))

    return routes


def _text(name: str) -> str:
    value = request.args.get(name, "")
    if len(value) > _LONGEST or not value.isprintable():
        raise Unprocessable(f"{name} must be at most {_LONGEST} printable characters.")
    return value


def _shown(services: Services, found: dict[str, Any]) -> dict[str, Any]:
    choice, known = found["choice"], found["candidates"]
    return {
        "at": iso(found["at"]),
        "strategy": found["strategy"],
        "limit": found["limit"],
        "pinnedAccountId": found["pinned"],
        "ownerAccountId": found["owner"],
        "waiting": services.proxy.chooser.waiting(),
        "choice": {
            "accountId": choice.account,
            "name": _name(known, choice.account),
            "state": choice.state,
            "reason": choice.reason,
            "reasonSaid": told(choice.reason),
            "retryAt": iso(choice.retry_at),
            "keepsThread": choice.keeps_pin,
        },
        "candidates": [_candidate(row, known[row.account]) for row in found["rows"]],
    }


def _name(known: dict[str, Any], account: str | None) -> str | None:
    return account and filters.account_name(account, known[account].label)


def _candidate(row: Row, known: Any) -> dict[str, Any]:
    return {
        "accountId": row.account,
        "name": filters.account_name(row.account, known.label),
        "planType": known.plan,
        "status": known.status,
        "state": row.state,
        "reason": row.reason,
        "reasonSaid": told(row.reason),
        "sharePercent": row.share,
        "headroomPercent": row.headroom,
        "retryAt": iso(row.retry_at),
        "priority": known.priority,
        "routingPolicy": known.policy,
        "capacityCredits": known.capacity,
        "activeStreams": known.streams,
        "lastUsedAt": iso(known.last_used or None),
        "recentRequests": known.recent,
        "recentFailed": known.recent_failed,
    }
