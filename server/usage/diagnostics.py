"""The diagnostics: what tools, commands and files the work used, and the tokens beside it.

Sections are computed from the facts' rows over any filter; without one they are stored, so that
the page opens at once. Tokens of associated calls are no causes, and not additive: one call
has several facts. The keys are those that scripts for usage trackers know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from server.store import db
from server.times import iso
from server.usage import factsums, slices
from server.usage.sections import BUILDERS, FROM, Scope, counted, scoped
from server.usage.slices import Filter

SECTIONS = {
    "overview": "overview",
    "tool-output": "toolOutput",
    "commands": "commands",
    "git-interactions": "gitInteractions",
    "file-reads": "fileReads",
    "file-modifications": "fileModifications",
    "read-productivity": "readProductivity",
    "concentration": "concentration",
}
# What a section that was never computed shows.
EMPTY: dict[str, dict[str, Any]] = {
    "overview": {},
    "tool-output": {"summary": {}, "functions": [], "command_roots": [], "missing_reasons": []},
    "commands": {"summary": {}, "commands": [], "families": []},
    "git-interactions": {"summary": {}, "interactions": [], "categories": [], "mutability": []},
    "file-reads": {"summary": {}, "readers": [], "top_paths": [], "largest_commands": []},
    "file-modifications": {
        "summary": {},
        "top_paths": [],
        "by_extension": [],
        "largest_events": [],
    },
    "read-productivity": {"summary": {}, "readers": [], "top_paths": []},
    "concentration": {"dimensions": [], "metrics": [], "largest_impact_rows": []},
}
# Kept like sections, so that the page's first table is there at once too.
_FACTS, _SUMMARY = "facts", "summary"
_KEPT = (*SECTIONS, _FACTS, _SUMMARY)

# ── stored sections ───────────────────────────────────────────────────────────────────────


def compute(only: Iterable[str] = _KEPT) -> None:
    """Compute sections without a filter and store them, for both scopes."""
    slices.refresh()
    factsums.keep()
    aside = _aside()
    archived = aside != _NOTHING_ASIDE
    for section in only:
        single = section == "overview"  # it tells when the ledger has other calls
        found = {"all": _built(section, Filter(), single=single)}
        # Nothing lies aside: both scopes hold the same.
        about = {**found["all"]["snapshot"], "history_scope": "active"}
        found["active"] = {**found["all"], "snapshot": about}
        if archived:
            found["active"] = _built(section, Filter(history="active"), single=single)
        now = db.now_ms()
        with db.writing("diagnostics") as connection:
            connection.executemany(
                "replace into diagnostic_snapshot values (?,?,?,?)",
                [(section, scope, now, json.dumps(body)) for scope, body in found.items()],
            )
    with db.writing() as connection:
        connection.execute("replace into ledger_note values (?, ?)", (_NOTE, aside))


_NOTE = "diagnostics"
_NOTHING_ASIDE = json.dumps([0, 0.0])


def _aside() -> str:
    """What differs whenever other sessions are archived."""
    found = db.rows("select count(*), total(id) from source_file where archived")
    return json.dumps(found[0])


def _others_aside() -> bool:
    """Whether other sessions are archived than when the sections were computed."""
    note = db.rows("select value from ledger_note where name = ?", (_NOTE,))
    return note != [(_aside(),)]


def computed() -> int | None:
    """When the oldest stored section was computed; None while one is missing."""
    found = db.rows("select min(computed_at), count(distinct section) from diagnostic_snapshot")[0]
    return found[0] if found[1] >= len(_KEPT) else None


def stale() -> bool:
    """Whether the ledger has other calls than the stored sections were computed from, or Codex
    archived other sessions since.
    """
    found = stored("overview", "all")
    if found is not None and _others_aside():
        return True
    return found is None or found["usage_rows"] != db.rows("select count(*) from call")[0][0]


def stored(section: str, scope: str) -> dict[str, Any] | None:
    """A section as it was computed last; None also where it holds what was archived since."""
    if scope == "active" and _others_aside():
        return None
    found = db.rows(
        "select body from diagnostic_snapshot where section = ? and scope = ?", (section, scope)
    )
    body: dict[str, Any] | None = json.loads(found[0][0]) if found else None
    return body


def live(section: str, wanted: Filter) -> dict[str, Any]:
    """A section over a filter, computed now."""
    slices.refresh()
    return _built(section, wanted)


def _built(section: str, wanted: Filter, *, single: bool = False) -> dict[str, Any]:
    scope = scoped(wanted, single=single)
    body: dict[str, Any]
    if section == _FACTS:
        body = {"rows": _facts(scope)}
    elif section == _SUMMARY:
        body = {"rows": _summary(scope, _facts(scope))}
    else:
        body = BUILDERS[section](scope)
    logs = db.rows("select count(*) from fact_file")[0][0]
    body["snapshot"] = {
        "computed_at": iso(db.now_ms()),
        "history_scope": wanted.history or "all",
        "source_logs_scanned": int(logs),
        "usage_rows_scanned": counted(scope),
        "raw_content_included": False,
    }
    return body


# ── facts ─────────────────────────────────────────────────────────────────────────────────

_TOTAL = "(c.input + c.output)"
_ROW_BITS = 32  # of a row's number, below the tokens
_FACT_COLUMNS = (
    "r.type, r.name, max(r.category), sum(r.count), count(*), sum(c.input), sum(c.cached), "
    "sum(c.output), sum(c.reasoning), max(c.started_at), "
    "avg(case when c.input > 0 then 1.0 * c.cached / c.input end), "
    # The largest call and its row, in one pass: its tokens lead.
    f"max({_TOTAL} << {_ROW_BITS} | c.rowid)"
)
_SUMMED_COLUMNS = (
    "r.type, r.name, max(r.category), sum(r.count), sum(r.calls), sum(r.input), sum(r.cached), "
    "sum(r.output), sum(r.reasoning), max(r.latest), sum(r.ratios) / nullif(sum(r.rated), 0), "
    "max(r.largest)"
)
FACT_SORTS = {
    "uncached": "associated_uncached_input_tokens",
    "tokens": "associated_total_tokens",
    "cached": "associated_cached_input_tokens",
    "output": "associated_output_tokens",
    "cache": "avg_cache_ratio",
    "largest": "largest_call_tokens",
    "calls": "associated_calls",
    "occurrences": "occurrences",
    "time": "latest_event_timestamp",
    "fact": "fact_name",
}
VIEWS = {
    "facts": (),
    "tools": ("tool", "function", "mcp_tool", "mcp_server", "command_family", "skill", "subagent"),
    "compactions": ("compaction",),
    "loops": ("loop", "outcome"),
}
_HINTS = {
    "loop/search_read_loop": "narrow-reads",
    "loop/retry_or_abort_loop": "fix-cause",
    "compaction/post_compaction": "fresh-thread",
    "tool/function_call_output": "trim-output",
    "outcome/command_failed": "check-failures",
    "outcome/patch_failed": "check-failures",
    "outcome/turn_aborted": "check-aborts",
    "activity/search_read_command": "narrow-reads",
}


def facts(wanted: Filter, least: int = 0) -> list[dict[str, Any]]:
    """Every fact of the filter's calls (of those with at least `least` tokens), unordered."""
    known = _stored_rows(_FACTS, wanted, least)
    return _facts(scoped(wanted), least) if known is None else known


def _stored_rows(table: str, wanted: Filter, least: int) -> list[dict[str, Any]] | None:
    if not slices.bare(wanted) or least:
        return None
    kept = stored(table, wanted.history or "all")
    rows: list[dict[str, Any]] | None = None if kept is None else kept["rows"]
    return rows


def _facts(scope: Scope, least: int = 0) -> list[dict[str, Any]]:
    if scope.days is not None and not least:
        found = scope.summed("day_fact", _SUMMED_COLUMNS, "r.name != '' group by r.type, r.name")
    else:
        condition = f"{_TOTAL} >= ? group by r.type, r.name"
        found = scope.single("fact", _FACT_COLUMNS, condition, least)
    largest = sorted({row[-1] % (1 << _ROW_BITS) for row in found})
    names: dict[int, str] = dict(
        db.rows(
            "select rowid, id from call where rowid in (select value from json_each(?))",
            (json.dumps(largest),),
        )
    )
    return [_fact(row, names) for row in found]


def _fact(row: tuple[Any, ...], names: dict[int, str]) -> dict[str, Any]:
    kind, name, category, count, number, first, cached, output, reasoning = row[:9]
    latest, ratio, (largest, place) = *row[9:11], divmod(row[11], 1 << _ROW_BITS)
    return {
        "fact_type": kind,
        "fact_name": name,
        "fact_category": category,
        "confidence": confidence(kind, name),
        "occurrences": count,
        "associated_calls": number,
        "associated_total_tokens": first + output,
        "associated_input_tokens": first,
        "associated_cached_input_tokens": cached,
        "associated_uncached_input_tokens": first - cached,
        "associated_output_tokens": output,
        "associated_reasoning_output_tokens": reasoning,
        "avg_cache_ratio": ratio,
        "largest_call_tokens": largest,
        "largest_record_id": names.get(place),
        "latest_event_timestamp": iso(latest),
        "action_hint": _HINTS.get(f"{kind}/{name}"),
    }


# How directly a log says a fact: a name's own before its type's.
_CONFIDENCE = {
    "tool": "medium", "tool/function_call": "low", "tool/tool_search_call": "low",
    "function": "high", "mcp_tool": "high", "mcp_server": "high", "skill": "high",
    "subagent": "high",
    "command_family": "medium", "activity": "medium", "compaction": "high", "outcome": "high",
}  # fmt: skip


def confidence(kind: str, name: str) -> str:
    """low, medium or high: how directly the log says a fact."""
    return _CONFIDENCE.get(f"{kind}/{name}") or _CONFIDENCE.get(kind, "low")


def summary(wanted: Filter, least: int = 0) -> list[dict[str, Any]]:
    """Facts by type; each type's calls count once, however many facts they have."""
    known = _stored_rows(_SUMMARY, wanted, least)
    return _summary(scoped(wanted), facts(wanted, least), least) if known is None else known


def _summary(scope: Scope, rows: list[dict[str, Any]], least: int = 0) -> list[dict[str, Any]]:
    found = _types(scope, least)
    made = []
    for kind, number, first, cached, output in found:
        mine = [row for row in rows if row["fact_type"] == kind]
        top = max(mine, key=lambda row: row["occurrences"], default=None)
        made.append(
            {
                "fact_type": kind,
                "fact_names": len(mine),
                "top_fact_name": top and top["fact_name"],
                "occurrences": sum(row["occurrences"] for row in mine),
                "associated_calls": number,
                "associated_total_tokens": first + output,
                "associated_cached_input_tokens": cached,
                "associated_uncached_input_tokens": first - cached,
                "associated_output_tokens": output,
            }
        )
    return sorted(made, key=lambda row: -row["associated_uncached_input_tokens"])


def _types(scope: Scope, least: int) -> list[tuple[Any, ...]]:
    """Each type's calls, and what these used."""
    if scope.days is not None and not least:
        sums = "r.type, sum(r.calls), sum(r.input), sum(r.cached), sum(r.output)"
        return scope.summed("day_fact", sums, "r.name = '' group by r.type")
    # A call's facts lie in the order of their types, so that this needs no sorting.
    inner = "r.type as type, c.input as input, c.cached as cached, c.output as output"
    where = f"where {scope.where} and {_TOTAL} >= ? group by k.source, k.number, r.type"
    return db.rows(
        "select type, count(*), sum(input), sum(cached), sum(output) from "  # noqa: S608
        f"(select {inner} {FROM.format('fact')} {where}) group by type",
        (*scope.values, least),
    )


def ordered(rows: list[dict[str, Any]], sort: str, descending: bool) -> list[dict[str, Any]]:
    """Facts by one of `FACT_SORTS`; what is unknown comes last either way."""
    key = FACT_SORTS[sort]
    known = [row for row in rows if row[key] is not None]
    rest = [row for row in rows if row[key] is None]
    named = sorted(known, key=lambda row: (row["fact_type"], row["fact_name"]))
    return sorted(named, key=lambda row: row[key], reverse=descending) + rest
