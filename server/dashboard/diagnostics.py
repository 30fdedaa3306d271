"""/api/diagnostics: facts, sections, and their refresh, with the names trackers' scripts know."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.dashboard import body, filters, query
from server.errors import NotFound, Unprocessable
from server.store import db
from server.times import iso
from server.usage import calls, diagnostics, slices
from server.usage.calls import Page
from server.usage.diagnostics import FACT_SORTS, SECTIONS, VIEWS
from server.usage.privacy import Privacy, short
from server.usage.slices import Filter

if TYPE_CHECKING:
    from server.app import Services

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_MOST_TOKENS = 999_999_999
# The sorts of fact-calls that calls have under another name, or not at all.
_CALL_SORTS = {"occurrences": "time", "calls": "time", "largest": "tokens", "fact": "time"}


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("diagnostics", __name__)
    filters.read_at_once(routes)
    _add_facts(routes, services)
    _add_refresh(routes, services)

    @routes.get("/api/diagnostics/<section>")
    def one(section: str) -> Any:
        _known(section)
        return _answer(_section(section, _filter()))

    return routes


def _answer(value: dict[str, Any]) -> Any:
    """JSON without the names that the privacy mode hides; here a root is a program, no place."""
    return jsonify(_shown(value, filters.privacy()))


def _shown(value: Any, mode: Privacy) -> Any:
    if isinstance(value, list):
        return [_shown(one, mode) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _shown(inner, mode) for key, inner in value.items()}
    if isinstance(found.get("project"), str):
        found["project"] = mode.project(found["project"])
    if mode.hides and isinstance(found.get("path_label"), str):
        found["path_label"] = f"[redacted path:{short(found['path_label'])}]"
    return found


def _add_facts(routes: Blueprint, services: Services) -> None:
    @routes.get("/api/diagnostics/summary")
    def summed() -> Any:
        wanted, least = _filter(), query.number("min_tokens", 0, 0, _MOST_TOKENS)
        rows = filters.remembered(lambda: diagnostics.summary(wanted, least))
        return _answer(_table("summary", rows, query.number("limit", 100, 0, 10_000)))

    for view, types in VIEWS.items():
        routes.add_url_rule(
            f"/api/diagnostics/{view}",
            f"facts-{view}",
            lambda view=view, types=types: _answer(_facts(view, types)),
        )

    @routes.get("/api/diagnostics/fact-calls")
    def behind() -> Any:
        return filters.answer(_fact_calls(services))


def _add_refresh(routes: Blueprint, services: Services) -> None:
    @routes.get("/api/diagnostics/status")
    def status() -> Any:
        return _status(services)

    @routes.post("/api/diagnostics/refresh")
    def all_sections() -> Any:
        wait, scope = _refreshed(services)
        if not wait:
            return _status(services), 202
        wanted = Filter(history=scope)
        found = {key: _section(name, wanted, refreshed=True) for name, key in SECTIONS.items()}
        return _answer(
            {
                "schema": "brimline-diagnostics-snapshot-refresh-v1",
                "status": "ready",
                "refreshed": True,
                "history_scope": scope or "all",
                "raw_context_included": False,
                "sections": found,
                "meta": {"source_log_analysis_passes": 1, "computed_at": _computed()},
            }
        )

    @routes.post("/api/diagnostics/<section>/refresh")
    def one_section(section: str) -> Any:
        _known(section)
        wait, scope = _refreshed(services)
        if not wait:
            return _status(services), 202
        return _answer(_section(section, Filter(history=scope), refreshed=True))


def _refreshed(services: Services) -> tuple[bool, str]:
    """Refresh as the request asks; whether it is done, and the scope that it asks for."""
    given = body.read(optional=True)
    wait, include = given.get("wait", True), given.get("include_archived")
    if not isinstance(wait, bool) or not (include is None or isinstance(include, bool)):
        raise Unprocessable("“wait” and “include_archived” must be true or false.")
    archived = _archived() if include is None else include
    if wait:
        services.indexer.scan(wait=True)  # facts are never read beyond what the ledger has
    services.facts.refresh(wait=wait)
    return wait, "" if archived else "active"


def _status(services: Services) -> dict[str, Any]:
    facts = services.facts
    return {
        "running": facts.running,
        "progress": facts.progress(),
        "computedAt": _computed(),
        "error": facts.error,
    }


def _computed() -> str | None:
    return iso(diagnostics.computed())


def _known(section: str) -> None:
    if section not in SECTIONS:
        raise NotFound(f"There is no such section. There are: {', '.join(SECTIONS)}.")


# ── sections ──────────────────────────────────────────────────────────────────────────────


def _section(section: str, wanted: Filter, *, refreshed: bool = False) -> dict[str, Any]:
    """A section in its envelope: as stored without a filter, computed with one."""
    found = None
    if slices.bare(wanted):
        found = diagnostics.stored(section, wanted.history or "all")
    # Before the logs were read, nothing found would be a guess.
    if found is None and diagnostics.computed() is not None:
        found = filters.remembered(lambda: diagnostics.live(section, wanted))
    head = {
        "schema": f"brimline-diagnostics-{section}-v1",
        "section": section,
        "status": "ready" if found else "missing",
        "refreshed": refreshed,
        "raw_context_included": False,
    }
    return {**head, **(found or {"snapshot": None, "notes": [], **diagnostics.EMPTY[section]})}


def _filter() -> Filter:
    """The shared filter; the names that trackers use count too. Archived logs on request."""
    wanted = filters.full()
    if not wanted.history and not _archived():
        wanted = replace(wanted, history="active")
    local = filters.days()
    since, until = query.moment("since", local, end=False), query.moment("until", local, end=True)
    return replace(
        wanted,
        since=wanted.since if since is None else since,
        until=wanted.until if until is None else until,
    )


def _archived() -> bool:
    given = (request.args.get("include_archived") or "").lower()
    if given and given not in _TRUE + _FALSE:
        raise Unprocessable("“include_archived” must be true or false.")
    return given in _TRUE


# ── facts ─────────────────────────────────────────────────────────────────────────────────


def _facts(view: str, types: tuple[str, ...]) -> dict[str, Any]:
    wanted, least = _filter(), query.number("min_tokens", 0, 0, _MOST_TOKENS)
    rows = filters.remembered(lambda: diagnostics.facts(wanted, least))
    for name, key in (
        ("fact_type", "fact_type"),
        ("fact_name", "fact_name"),
        ("fact_category", "fact_category"),
    ):
        asked = query.text(name)
        if asked:
            rows = [row for row in rows if row[key] == asked]
    if types:
        rows = [row for row in rows if row["fact_type"] in types]
    sort = query.choice("sort", "uncached", tuple(FACT_SORTS))
    natural = "asc" if sort in ("fact", "cache") else "desc"
    down = query.choice("direction", natural, ("asc", "desc")) == "desc"
    return _table(view, diagnostics.ordered(rows, sort, down), query.number("limit", 50, 0, 10_000))


def _table(view: str, rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A table of facts; a limit of 0 is none."""
    shown = rows[:limit] if limit else rows
    return {
        "schema": "brimline-diagnostics-v1",
        "view": view,
        "filters": _asked(),
        "row_count": len(shown),
        "total_matched_rows": len(rows),
        "truncated": len(shown) < len(rows),
        "raw_context_included": False,
        "rows": shown,
        "notes": ["associated-not-additive"],
    }


def _asked() -> dict[str, Any]:
    names = ("q", "from", "to", "since", "until", "fact_type", "fact_name", "fact_category", "sort")
    listed = ("model", "effort", "project", "account")
    given: dict[str, Any] = {name: query.text(name) or None for name in names}
    given |= {name: list(query.names(name)) for name in listed}
    return {**given, "include_archived": _archived()}


def _fact_calls(services: Services) -> dict[str, Any]:
    kind, name = query.text("fact_type"), query.text("fact_name")
    if not kind or not name:
        raise Unprocessable("“fact_type” and “fact_name” say which calls are meant.")
    limit, offset = query.number("limit", 25, 1, 500), query.number("offset", 0, 0, 10_000)
    sort = query.choice("sort", "time", (*calls.SORTS, *_CALL_SORTS))
    down = query.choice("direction", "desc", ("asc", "desc")) == "desc"
    page = Page(sort=_CALL_SORTS.get(sort, sort), descending=down, limit=offset + limit)
    found = calls.search(
        replace(_filter(), fact=f"{kind}:{name}"), filters.by_name(page, services.pool.called)
    )
    rows = found["calls"][offset:]
    more = found["hasMore"]
    return {
        **_table("fact-calls", rows, 0),
        "fact_type": kind,
        "fact_name": name,
        "total_matched_rows": found["total"],
        "truncated": more or bool(offset),
        "limit": limit,
        "offset": offset,
        "has_more": more,
        "next_offset": offset + limit if more else None,
        "computed_at": iso(db.now_ms()),
    }
