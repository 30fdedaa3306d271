"""/api/request-logs: what went through the proxy, and what is going through it now."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.dashboard import filters
from server.errors import Unprocessable
from server.sentences import told
from server.store import db
from server.times import iso, parse
from server.usage import finding
from server.usage.pricing import Tokens, parts, price

if TYPE_CHECKING:
    from server.app import Services

STATUSES = ("ok", "rate_limit", "quota", "error", "cancelled")
_MOST_TEXT = 200
_COLUMNS = (
    "id, response_id, session_id, account, key, endpoint, model, effort, tier, status, "
    "error_code, error_message, http_status, reason, attempts, input, cached, output, reasoning, "
    "cost, first_event_ms, duration_ms, client, started_at"
)
# The five words of the API, from what is stored.
_STATUS = (
    "case when status = 'success' then 'ok' when status = 'cancelled' then 'cancelled' "
    "when error_code in ('rate_limit_exceeded', 'usage_limit_reached') then 'rate_limit' "
    "when error_code in ('insufficient_quota', 'usage_not_included', 'quota_exceeded') "
    "then 'quota' else 'error' end"
)
# What counts as an error of the pool's: neither a client that left or asked for what cannot be
# (a bad body, a model its key may not use), nor an answer that ended at its token limit.
# Requests whose cost nobody can tell: used, but of a model without a price.
UNPRICED = "sum(cost is null and input is not null)"
FAILED = (
    "(status = 'error' and not (coalesce(http_status, 0) in (400, 404, 405, 413, 415, 422) "
    "and coalesce(error_code, '') not in ('no_accounts', 'file_not_found', "
    "'previous_response_not_found')) and coalesce(error_code, '') != 'model_not_allowed')"
)
_SEARCHED = (
    "id",
    "response_id",
    "session_id",
    "account",
    "endpoint",
    "model",
    "effort",
    _STATUS,
    "error_code",
    "error_message",
    "reason",
    "client",
    "strftime('%Y-%m-%dT%H:%M:%S', started_at / 1000, 'unixepoch')",
    "cast(input + output as text)",
    "cast(cached as text)",
    "cast(http_status as text)",
    "cast(duration_ms as text)",
)


@dataclass
class _Where:
    """Conditions and their values; values never become part of the SQL text."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, condition: str, *values: Any) -> None:
        self.conditions.append(condition)
        self.values.extend(values)

    def one_of(self, column: str, values: list[str]) -> None:
        if values:
            self.add(f"{column} in ({', '.join('?' * len(values))})", *values)

    @property
    def sql(self) -> str:
        return " where " + " and ".join(self.conditions) if self.conditions else ""


def total_cost(cost: int | None, unpriced: int | None) -> float | None:
    """Dollars of summed requests; None where none of those that used anything has a price."""
    return None if cost is None and unpriced else round((cost or 0) / 1e6, 6)


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("requests", __name__)

    @routes.get("/api/request-logs")
    def listed() -> Any:
        limit, offset = _number("limit", 50, 1, 1000), _number("offset", 0, 0, 10_000_000)
        where = _filter()
        found = db.rows(
            f"select {_COLUMNS} from request_log{where.sql} "  # noqa: S608
            "order by started_at desc, rowid desc limit ? offset ?",
            (*where.values, limit, offset),
        )
        total = db.rows(f"select count(*) from request_log{where.sql}", where.values)[0][0]  # noqa: S608
        more = offset + len(found) < total
        rows = [_row(services, row) for row in found]
        return jsonify({"requests": rows, "total": total, "hasMore": more})

    @routes.get("/api/request-logs/options")
    def options() -> Any:
        return jsonify(_options())

    @routes.get("/api/request-logs/live")
    def live() -> Any:
        rows = [
            {**one, "startedAt": iso(one["startedAt"]), "reasonSaid": told(one.get("reason"))}
            for one in services.proxy.live()
        ]
        return jsonify({"requests": rows})

    return routes


def one(services: Services, request_id: str) -> dict[str, Any] | None:
    """One request's row; None when it is not (any more) in the log."""
    found = db.rows(f"select {_COLUMNS} from request_log where id = ?", (request_id,))  # noqa: S608
    return _row(services, found[0]) if found else None


def _options() -> dict[str, Any]:
    # What one facet offers depends on the others, not on itself.
    by_account, by_model = _filter("account", "status"), _filter("model", "status")
    accounts = db.rows(
        f"select distinct account from request_log{by_account.sql}",  # noqa: S608
        by_account.values,
    )
    models = db.rows(
        f"select distinct model, effort from request_log{by_model.sql} "  # noqa: S608
        "order by model, effort",
        by_model.values,
    )
    by_status = _filter("status")
    statuses = {
        row[0]
        for row in db.rows(
            f"select distinct {_STATUS} from request_log{by_status.sql}",  # noqa: S608
            by_status.values,
        )
    }
    return {
        "accountIds": sorted(account for (account,) in accounts if account),
        "modelOptions": [
            {"model": model, "reasoningEffort": effort} for model, effort in models if model
        ],
        "statuses": [status for status in STATUSES if status in statuses],
    }


def _filter(*without: str) -> _Where:
    where = _Where()
    if "account" not in without:
        where.one_of("account", _texts("accountId"))
    if "status" not in without:
        where.one_of(_STATUS, _statuses())
    where.one_of("key", _texts("apiKeyId"))
    if "model" not in without:
        _add_models(where)
    for name, sign in (("since", ">="), ("until", "<=")):
        at = _moment(name)
        if at is not None:
            where.add(f"started_at {sign} ?", at)
    _add_search(where)
    return where


def _add_models(where: _Where) -> None:
    options = _texts("modelOption")
    if not options:
        where.one_of("model", _texts("model"))
        where.one_of("effort", _texts("reasoningEffort"))
        return
    pairs = []
    for option in options:
        model, separator, effort = option.rpartition(":::")
        if not separator:
            raise Unprocessable("“modelOption” must be a model and an effort, as model:::effort.")
        pairs.append("(model = ? and effort is ?)")
        where.values += [model, effort or None]
    where.conditions.append(f"({' or '.join(pairs)})")


def _add_search(where: _Where) -> None:
    text = request.args.get("search", "").strip()[:_MOST_TEXT]
    if not text:
        return
    if "\0" in text:
        where.add("0")  # no row holds one, and the database would stop reading there
        return
    held = finding.holding(text)
    conditions = [f"{column} {held.sql}" for column in _SEARCHED]
    values = [held.value] * len(_SEARCHED)
    if filters.mode() != "strict":  # what is hidden must not be found either
        conditions.append(
            f"account in (select id from account where email {held.sql} or label {held.sql} "  # noqa: S608
            f"union select id from removed_account where name {held.sql})"
        )
        values += [held.value] * 3
    where.add(f"({' or '.join(conditions)})", *values)


def _texts(name: str) -> list[str]:
    found = [value for value in request.args.getlist(name) if value]
    if len(found) > 200 or any(len(value) > 500 for value in found):
        raise Unprocessable(f"“{name}” is given too often or is too long.")
    return found


def _statuses() -> list[str]:
    found = _texts("status")
    unknown = [status for status in found if status not in (*STATUSES, "all")]
    if unknown:
        raise Unprocessable(f"“status” must be one of {', '.join(STATUSES)} or all.")
    return [] if "all" in found else found


def _number(name: str, default: int, low: int, high: int) -> int:
    text = request.args.get(name, "").strip() or str(default)
    if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high:
        return int(text)
    raise Unprocessable(f"“{name}” must be a whole number from {low} to {high}.")


def _moment(name: str) -> int | None:
    text = request.args.get(name, "").strip()
    if not text:
        return None
    try:
        # A `+` of a zone arrives as a space when it was not escaped.
        return parse(text.replace(" ", "+") if "T" in text else text)
    except (ValueError, OverflowError) as error:
        raise Unprocessable(f"“{name}” must be a time such as 2026-11-21T08:00:00Z.") from error


def _row(services: Services, row: tuple[Any, ...]) -> dict[str, Any]:
    have = dict(zip(_COLUMNS.split(", "), row, strict=True))
    used = have["input"] is not None and have["output"] is not None
    return {
        "requestedAt": iso(have["started_at"]),
        "accountId": have["account"],
        "accountName": _name(services, have["account"]),
        "requestId": have["id"],
        "model": have["model"],
        "status": _status(have["status"], have["error_code"]),
        "errorCode": have["error_code"],
        "errorMessage": have["error_message"],
        "errorSaid": told(have["error_message"]),
        "tokens": have["input"] + have["output"] if used else None,
        "inputTokens": have["input"],
        "cachedInputTokens": have["cached"],
        "outputTokens": have["output"],
        "reasoningTokens": have["reasoning"],
        "reasoningEffort": have["effort"],
        "serviceTier": have["tier"],
        "costUsd": None if have["cost"] is None else have["cost"] / 1_000_000,
        "priceStatus": _price_status(have),
        "latencyMs": have["duration_ms"],
        "firstEventMs": have["first_event_ms"],
        "apiKeyId": have["key"],
        "endpoint": have["endpoint"],
        "httpStatus": have["http_status"],
        "responseId": have["response_id"],
        "sessionId": have["session_id"],
        "reason": have["reason"],
        "reasonSaid": told(have["reason"]),
        "attempts": [
            {
                **attempt,
                "reasonSaid": told(attempt.get("reason")),
                "outcomeSaid": told(attempt.get("outcome")),
                "accountName": _name(services, attempt.get("account")),
            }
            for attempt in json.loads(have["attempts"])
        ],
        "client": have["client"],
        "costParts": _cost_parts(have),
    }


def _price_status(have: dict[str, Any]) -> str | None:
    """How sure the cost is, by today's table; None for a request whose tokens nobody told."""
    if have["input"] is None:
        return None
    if have["cost"] is None:
        return "unpriced"
    ended = have["started_at"] + (have["duration_ms"] or 0)
    status = price(have["model"], have["tier"], ended, Tokens(have["input"])).status
    # The table of that day had a price: what it said of it is not kept.
    return "exact" if status == "unpriced" else status


def _cost_parts(have: dict[str, Any]) -> dict[str, float] | None:
    """What the stored cost is made of; None when today's table no longer adds up to it."""
    if have["cost"] is None or have["input"] is None or have["output"] is None:
        return None
    tokens = Tokens(have["input"], have["cached"] or 0, have["output"])
    ended = have["started_at"] + (have["duration_ms"] or 0)
    found = parts(have["model"], have["tier"], ended, tokens)
    # Each part is rounded by itself, so their sum may differ by a micro-dollar or two.
    if found is None or abs(sum(found) - have["cost"]) > len(found):
        return None
    return {
        "uncachedInput": found.uncached / 1_000_000,
        "cachedInput": found.cached / 1_000_000,
        "output": found.output / 1_000_000,
    }


def _name(services: Services, account: str | None) -> str | None:
    return account and filters.account_name(account, services.pool.name(account))


def _status(status: str, code: str | None) -> str:
    if status in ("success", "cancelled"):
        return {"success": "ok"}.get(status, status)
    if code in ("rate_limit_exceeded", "usage_limit_reached"):
        return "rate_limit"
    quota = ("insufficient_quota", "usage_not_included", "quota_exceeded")
    return "quota" if code in quota else "error"
