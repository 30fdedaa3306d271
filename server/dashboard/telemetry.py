"""/api/telemetry: the panels, the events behind them, their quality, and the relay."""

from __future__ import annotations

from ipaddress import ip_address
from socket import inet_aton
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, jsonify, request

from server.dashboard import body, filters, query
from server.errors import Unprocessable
from server.store import db
from server.times import iso
from server.usage import counted, received, slices, telemetry
from server.usage.behind import LOCAL_USER
from server.usage.days import Days, chosen
from server.usage.privacy import short
from server.usage.received import Wanted
from server.usage.steps import PROVIDERS, Span, whole_quarters
from server.usage.telemetry import ALL, DETAILS, MOST_DETAILS

if TYPE_CHECKING:
    from server.app import Services

_DAY = 86_400_000
_LONGEST = 3660 * _DAY


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("telemetry", __name__)

    @routes.get("/api/telemetry/panels")
    def panels() -> Any:
        days = _days()
        wanted = query.names("id") or telemetry.IDS
        if not set(wanted) <= set(telemetry.IDS):
            raise Unprocessable(f"“id” must be one of: {', '.join(telemetry.IDS)}.")
        found = telemetry.panels(
            _span(days), days, db.now_ms(),
            said=_flag("literal") is not False,
            wanted=wanted,
            details=query.number("details", DETAILS, 1, MOST_DETAILS),
        )  # fmt: skip
        return jsonify(_private(found))

    @routes.get("/api/telemetry/events")
    def events() -> Any:
        wanted = Wanted(
            span=_span(_days(), any_provider=True),
            texts={name: query.names(name) for name in received.TEXTS},
            success=_flag("success"),
            went=query.choice("went", "", received.WENT),
            has=query.choice("has", "", received.HAS),
            lacks=query.choice("lacks", "", received.LACKS),
        )
        limit = query.number("limit", 50, 1, 500)
        return filters.answer(received.events(wanted, limit, query.text("cursor")))

    @routes.get("/api/telemetry/counted")
    def responses() -> Any:
        slices.refresh()
        wanted = counted.Wanted(
            span=whole_quarters(_span(_days())),
            models=query.names("model"),
            conversation=query.text("conversation"),
            user=query.text("user"),
            lacks=query.choice("lacks", "", counted.LACKS),
        )
        limit, cursor = query.number("limit", 50, 1, 500), query.text("cursor")
        return filters.answer(counted.responses(wanted, limit, cursor, db.now_ms()))

    @routes.get("/api/telemetry/quality")
    def quality() -> Any:
        span, now = _span(_days()), db.now_ms()
        slices.refresh()
        status = services.telemetry.status()
        found = received.quality(span, now)
        alone = found["records"]["provisional"]
        return jsonify(
            {
                **found,
                "coverage": telemetry.coverage(whole_quarters(span), alone),
                "receiver": {**status, "lastBatchAt": iso(status["lastBatchAt"])},
                "relay": _relay(services),
            }
        )

    _add_relay(routes, services)
    return routes


def _private(found: dict[str, Any]) -> dict[str, Any]:
    """The panels as the privacy mode shows them; a panel's own title is no thread's."""
    privacy = filters.privacy()
    for panel in found["panels"]:
        if panel["id"] == "conversationDetails":
            panel["rows"] = privacy.shown(panel["rows"])
        if panel["id"] == "users" and privacy.mode == "strict":
            for item in panel["items"]:
                item["conversation"] = None
            for item in panel["items"] + ((panel["literal"] or {}).get("items") or []):
                if item["name"] not in (None, LOCAL_USER):
                    item["name"] = f"User {short(item['name'])}"
    return found


def _add_relay(routes: Blueprint, services: Services) -> None:
    @routes.get("/api/telemetry/relay")
    def described() -> Any:
        return jsonify(_relay(services))

    @routes.put("/api/telemetry/relay")
    def configured() -> Any:
        given = body.read()
        url, header = given.get("url", ""), given.get("header")
        if not isinstance(url, str) or not (header is None or isinstance(header, str)):
            raise Unprocessable("“url” must be text, and “header” text or null.")
        refuse_own(url.strip())
        services.telemetry.relay.configure(url.strip(), header)
        return jsonify(_relay(services))


def refuse_own(url: str) -> None:
    """Raises `Unprocessable` for an address that leads back to the server that was asked."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return  # the relay says what is wrong with it
    host = (parts.hostname or "").rstrip(".")
    here = host in ("localhost", urlsplit(request.host_url).hostname) or _loops_back(host)
    if here and port == int(request.environ["SERVER_PORT"]):
        raise Unprocessable(
            "This is Brimline's own address. Name the other collector that gets a copy."
        )


def _loops_back(host: str) -> bool:
    """Whether an address of numbers, in any of its notations, is this computer's own."""
    try:
        found: Any = ip_address(host)
    except ValueError:
        try:
            found = ip_address(inet_aton(host))  # 127.1 and 2130706433 lead here as well
        except (OSError, ValueError):
            return False
    found = getattr(found, "ipv4_mapped", None) or found
    return bool(found.is_loopback or found.is_unspecified)


def _relay(services: Services) -> dict[str, Any]:
    found = services.telemetry.relay.describe()
    return {**found, "lastAt": iso(found["lastAt"])}


def _days() -> Days:
    zone = request.args.get("tz")
    return Days(zone) if zone else chosen()


def _span(days: Days, *, any_provider: bool = False) -> Span:
    now = db.now_ms()
    until = query.moment("to", days, end=True)
    until = now + 1 if until is None else until
    if request.args.get("from") == "first":
        since = min(max(received.first(), until - _LONGEST), until)
    else:
        given = query.moment("from", days, end=False)
        since = until - 30 * _DAY if given is None else given
    if not 0 <= until - since <= _LONGEST:
        raise Unprocessable("“from” must lie before “to”, by at most ten years.")
    asked = query.choice("provider", ALL if any_provider else "codex", (*PROVIDERS, ALL))
    return Span(since, until, "" if asked == ALL else asked)


def _flag(name: str) -> bool | None:
    given = query.choice(name, "", ("", "true", "false"))
    return None if not given else given == "true"
