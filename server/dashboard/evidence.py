"""/api/calls/{id}/evidence: the log lines behind one call, while the owner permits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.dashboard import body, filters, query
from server.errors import Forbidden, Unprocessable
from server.ingest import evidence
from server.ingest.evidence import CHARS, ENTRIES, MODES, MOST_CHARS, MOST_ENTRIES, Wanted
from server.sentences import say
from server.store import settings
from server.usage import calls

if TYPE_CHECKING:
    from server.app import Services

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("evidence", __name__)

    @routes.get("/api/calls/<path:name>/evidence")
    def behind(name: str) -> Any:
        return _answer(services, name, _wanted("toolOutput", "compaction", "chars", "entries"))

    @routes.get("/api/evidence/settings")
    @routes.get("/api/context-settings")
    def shown() -> Any:
        return jsonify(_state(services))

    @routes.post("/api/evidence/settings")
    @routes.post("/api/context-settings")
    def permit() -> Any:
        _permit(services, _enabled())
        return jsonify(_state(services))

    _add_older_names(routes, services)
    return routes


def _add_older_names(routes: Blueprint, services: Services) -> None:
    """What the usage tracker called these routes."""

    @routes.get("/api/context")
    def context() -> Any:
        wanted = _wanted(
            "include_tool_output", "include_compaction_history", "max_chars", "max_entries"
        )
        return _answer(services, _record(), wanted)

    @routes.get("/api/call")
    def call() -> Any:
        record = calls.one(_record())
        near = {
            f"{side}_record": calls.one(record[side]) if record[side] else None
            for side in ("previous", "next")
        }
        return filters.answer({"record": record, **near})


def _answer(services: Services, name: str, wanted: Wanted) -> Any:
    if not _permitted(services):
        raise Forbidden(
            say("evidence.off"),
            code="evidence_off",
        )
    return filters.answer(evidence.read(services.config, name, wanted))


def _record() -> str:
    name = query.text("record_id") or query.text("record")
    if not name:
        raise Unprocessable("Say which call with “record_id”.")
    return name


def _wanted(output: str, compaction: str, chars: str, entries: str) -> Wanted:
    ours = output == "toolOutput"
    return Wanted(
        full=query.choice("mode", "quick", MODES) == "full",
        entries=_most(entries, ENTRIES, MOST_ENTRIES),
        chars=_most(chars, CHARS, MOST_CHARS),
        tool_output=_flag(output, default=ours),
        compaction=_flag(compaction, default=False),
        privacy=filters.privacy().mode,
    )


def _most(name: str, default: int, most: int) -> int:
    """A bound; 0 and `all` are as much as there can be."""
    if request.args.get(name) in ("0", "all"):
        return most
    return query.number(name, default, 1, most)


def _flag(name: str, *, default: bool) -> bool:
    value = (request.args.get(name) or "").lower()
    if not value:
        return default
    if value not in _YES + _NO:
        raise Unprocessable(f"“{name}” must be 1 or 0.")
    return value in _YES


def _enabled() -> bool:
    """What the body, or an older client's query, asks for."""
    if "enabled" in request.args and not request.get_data(cache=True).strip():
        return _flag("enabled", default=True)
    value = body.read().get("enabled")
    if not isinstance(value, bool):
        raise Unprocessable("“enabled” must be true or false.")
    return value


def _permitted(services: Services) -> bool:
    started = services.config.evidence or services.evidence_opened
    return bool(started and settings.get("showEvidence"))


def _permit(services: Services, enabled: bool) -> None:
    # What was off from the start is on until the end of this run only.
    services.evidence_opened = enabled
    if settings.get("showEvidence") is not enabled and (enabled or services.config.evidence):
        settings.change({"showEvidence": enabled})


def _state(services: Services) -> dict[str, Any]:
    return {
        "enabled": _permitted(services),
        "offFromStart": not services.config.evidence,
        "context_api_enabled": _permitted(services),
        "raw_context_persisted": False,
    }
