"""/api/calls, /api/trends and /api/scan: what was used, and bringing the index up to date."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.dashboard import body
from server.errors import BadRequest
from server.ingest import scan
from server.store import db
from server.times import parse
from server.usage import calls, trends
from server.usage.calls import Filter, Page
from server.usage.days import Days, chosen

if TYPE_CHECKING:
    from server.app import Services

_MOST_NAMES = 200
_LONGEST_TEXT = 500


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("usage", __name__)

    @routes.get("/api/calls")
    def listed() -> Any:
        return jsonify(calls.search(_filter(), _page()))

    @routes.get("/api/calls/options")
    def options() -> Any:
        return jsonify(calls.options())

    @routes.get("/api/calls/<path:name>")
    def one(name: str) -> Any:
        call = calls.one(name)
        return jsonify({**call, "request": _request_row(services, call["requestId"])})

    _add_trends(routes)

    @routes.get("/api/scan")
    def totals() -> Any:
        return jsonify(scan.totals())

    @routes.post("/api/scan")
    def bring_up_to_date() -> Any:
        wait = body.read(optional=True).get("wait", True)
        if not isinstance(wait, bool):
            raise BadRequest("“wait” must be true or false.")
        services.indexer.scan(wait=wait)
        return jsonify(scan.totals())

    return routes


def _add_trends(routes: Blueprint) -> None:
    @routes.get("/api/trends")
    def trend() -> Any:
        days = _days()
        today = days.of(db.now_ms())
        last = _day("to", today)
        first = _day("from", (date.fromisoformat(last) - timedelta(days=29)).isoformat())
        if not 0 <= (date.fromisoformat(last) - date.fromisoformat(first)).days < trends.LONGEST:
            raise BadRequest("“from” must lie before “to”, by at most ten years.")
        by = _choice("by", "kind", trends.HEADINGS)
        provider = _choice("provider", "", ("", "codex", "claude"))
        zone = request.args.get("tz", "")
        return jsonify(trends.series(first, last, by=by, zone=zone, provider=provider))


def _request_row(services: Services, request_id: str | None) -> Any:
    from server.dashboard import requests

    return requests.one(services, request_id) if request_id else None


def _filter() -> Filter:
    days = _days()
    return Filter(
        text=_text("q"),
        provider=_choice("provider", "", ("", "codex", "claude")),
        models=_names("model"),
        efforts=_names("effort"),
        projects=_names("project"),
        accounts=_names("account"),
        since=_moment("from", days, end=False),
        until=_moment("to", days, end=True),
        price_status=_choice("priceStatus", "", ("", "exact", "estimated", "unpriced")),
    )


def _page() -> Page:
    sort = _choice("sort", "time", tuple(calls.SORTS))
    natural = "asc" if sort in ("model", "effort", "cache") else "desc"
    text = request.args.get("limit", "50")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 500):
        raise BadRequest("“limit” must be a whole number from 1 to 500.")
    return Page(
        sort=sort,
        descending=_choice("direction", natural, ("asc", "desc")) == "desc",
        limit=int(text),
        cursor=request.args.get("cursor", "")[:4000],
    )


def _days() -> Days:
    zone = request.args.get("tz")
    return Days(zone) if zone else chosen()


def _text(name: str) -> str:
    return request.args.get(name, "")[:_LONGEST_TEXT]


def _names(name: str) -> tuple[str, ...]:
    return tuple(text for text in request.args.getlist(name)[:_MOST_NAMES] if text)


def _choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = request.args.get(name) or default
    if value not in choices:
        raise BadRequest(f"“{name}” must be one of: {', '.join(c for c in choices if c)}.")
    return value


def _day(name: str, default: str) -> str:
    value = request.args.get(name) or default
    try:
        day = date.fromisoformat(value[:10])
    except ValueError:
        day = date.min
    if not 1990 <= day.year <= 2900:
        raise BadRequest(f"“{name}” must be a day such as 2026-11-21.")
    return day.isoformat()


def _moment(name: str, days: Days, *, end: bool) -> int | None:
    """A time, or a day in the viewer's zone; as an end, the whole day counts."""
    value = request.args.get(name)
    if not value:
        return None
    try:
        if len(value) == 10:
            return days.start(date.fromisoformat(value) + timedelta(days=int(end)))
        return parse(value)
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            f"“{name}” must be a day such as 2026-11-21 or a time such as 2026-11-21T09:30:00Z."
        ) from error
