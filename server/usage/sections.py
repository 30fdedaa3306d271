"""The sections of the diagnostics over any calls, read from the facts' rows.

Tokens of a tool's output are those that the client counted; where it did not, they are unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from server.store import db
from server.times import iso
from server.usage import calls, factsums, finding, projects, slices, vcs
from server.usage.days import QUARTER, chosen
from server.usage.slices import Filter

_SHELLS = ("exec_command", "shell", "shell_command", "local_shell", "user_shell", "bash", "exec")

_CALLS = "left join session s on s.id = c.session left join thread t on t.id = s.thread"
# In this order: what the filter leaves out is never looked for among the facts, and each call's
# rows lie together.
FROM = (
    f"from fact_call k cross join call c on c.id = k.call {_CALLS} "
    "cross join {0} r on r.source = k.source and r.number = k.number"
)
_SUMMED = "from fact_day l left join session s on s.id = l.session cross join {0} r on r.day = l.id"
# The file is changed further on in the same log.
_PRODUCTIVE = (
    "exists(select 1 from file_change m where m.path = f.path and m.source = f.source "
    'and m."offset" > f."offset")'
)
# By name: single rows in the form of the rollup's, and the rollup.
_TABLES = {
    "runs": (
        "(select source, number, function, root, child, operation, missing, part = 0 as first, "
        "1 as count, outputs, tokens is not null as counted, outputs and tokens is null as "
        "uncounted, tokens from tool_run)",
        "day_run",
    ),
    "families": (
        "(select source, number, name, count from fact where type = 'command_family')",
        "(select day, name, count from day_fact where type = 'command_family' and name != '')",
    ),
    "reads": (
        "(select source, number, path, reader, label, 1 as events, "  # noqa: S608 - our own words
        f"tokens is not null as counted, tokens, {_PRODUCTIVE} as productive from file_read f)",
        "day_read",
    ),
    "changes": (
        "(select f.source, f.number, f.path, f.extension, f.label, 1 as count, k.at as latest "
        "from file_change f join fact_call k on k.source = f.source and k.number = f.number)",
        "day_change",
    ),
}
_TOLD = "sum(r.outputs), sum(r.counted), sum(r.uncounted), sum(r.tokens)"


@dataclass(frozen=True)
class Scope:
    """Which calls: the condition and its values, and the filter they came from.

    `days` are the same for the rollup of the facts, where that tells them.
    """

    where: str
    values: tuple[Any, ...]
    wanted: Filter
    days: tuple[str, tuple[Any, ...]] | None = None

    def rows(self, name: str, columns: str, rest: str, *given: Any) -> list[tuple[Any, ...]]:
        """Rows of one of `_TABLES` (`r`), of the scope's calls only."""
        single, summed = _TABLES[name]
        if self.days is not None:
            return self.summed(summed, columns, rest, *given)
        return self.single(single, columns, rest, *given)

    def single(self, table: str, columns: str, rest: str, *given: Any) -> list[tuple[Any, ...]]:
        """Rows of a table of facts, of the scope's calls only."""
        return _selected(columns, FROM.format(table), self.where, rest, (*self.values, *given))

    def summed(self, table: str, columns: str, rest: str, *given: Any) -> list[tuple[Any, ...]]:
        """Rows of a table of the rollup; only where `days` are known."""
        where, values = self.days or ("", ())
        return _selected(columns, _SUMMED.format(table), where, rest, (*values, *given))

    def day(self, columns: str) -> tuple[Any, ...]:
        """Sums of the rollup's days themselves."""
        where, values = self.days or ("", ())
        source = "from fact_day l left join session s on s.id = l.session"
        return _selected(columns, source, where, "1", values)[0]

    def calls(self, columns: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Rows of the ledger itself."""
        joined = _CALLS if "s." in self.where or "s." in columns else ""
        sql = f"select {columns} from call c {joined} where {self.where} {rest}"  # noqa: S608
        return db.rows(sql, self.values)


def _selected(
    columns: str, source: str, where: str, rest: str, values: tuple[Any, ...]
) -> list[tuple[Any, ...]]:
    head, _, tail = rest.partition(" group by ")
    group = f" group by {tail}" if tail else ""
    sql = f"select {columns} {source} where {where} and {head}{group}"  # noqa: S608 - our own words
    return db.rows(sql, values)


def scoped(wanted: Filter, *, single: bool = False) -> Scope:
    """The calls of a filter; `single` reads the facts themselves, whatever the rollup knows."""
    wanted = finding.found(wanted)
    where, values = calls.conditions(wanted)
    days = None if single else factsums.condition(wanted)
    if days is not None and not factsums.refresh():
        days = None
    return Scope(where, tuple(values), wanted, days and (days[0], tuple(days[1])))


def counted(scope: Scope) -> int:
    """How many calls of the ledger the scope has."""
    if scope.days is None:
        return int(scope.calls("count(*)")[0][0])
    source, values = slices.summed(scope.wanted)
    return int(db.rows(f"select total(l.calls) {source}", values)[0][0])  # noqa: S608


def _overview(scope: Scope) -> dict[str, Any]:
    mean = "avg(case when c.input > 0 then 1.0 * c.cached / c.input end)"
    if scope.days is not None:
        source, values = slices.summed(scope.wanted, joined=True)
        row = (
            db.rows(
                "select total(l.calls), count(distinct nullif(l.session, 0)), "  # noqa: S608
                "count(distinct s.thread), count(distinct l.model), min(l.first_at), "
                "max(l.last_at), total(l.input), total(l.cached), total(l.output), "
                f"total(l.reasoning) {source}",
                values,
            )[0]
            + scope.calls(mean)[0]
        )
        over = slices.over(source, values).get(0, 0)
        facts = scope.summed("day_fact", "total(r.calls)", "r.name != ''")[0][0]
    else:
        row = scope.calls(
            "count(*), count(distinct c.session), count(distinct s.thread), "
            "count(distinct coalesce(c.model, '')), min(c.started_at), max(c.started_at), "
            f"total(c.input), total(c.cached), total(c.output), total(c.reasoning), {mean}"
        )[0]
        heads = slices.heads()
        among = {heads.get(one, one) for (one,) in scope.calls("distinct c.session") if one}
        over = row[1] - len(among)
        facts = scope.single("fact", "count(*)", "1")[0][0]
    first, cached, output, reasoning = (int(value) for value in row[6:10])
    return {
        "usage_rows": int(row[0]),
        "session_count": row[1] - over,
        "thread_count": row[2],
        "model_count": row[3],
        "first_event_timestamp": iso(row[4]),
        "latest_event_timestamp": iso(row[5]),
        "total_tokens": first + output,
        "input_tokens": first,
        "cached_input_tokens": cached,
        "uncached_input_tokens": first - cached,
        "output_tokens": output,
        "reasoning_output_tokens": reasoning,
        "cache_ratio": cached / first if first else None,
        "avg_call_cache_ratio": row[10],
        "diagnostic_fact_rows": int(facts),
        "notes": [],
    }


def _told(values: tuple[Any, ...]) -> dict[str, Any]:
    """Outputs and their tokens; a sum of nothing that was counted is unknown."""
    number, outputs, counted, missing, tokens = values
    return {
        "calls": int(number or 0),
        "outputs": int(outputs or 0),
        "outputs_with_original_token_count": int(counted or 0),
        "outputs_missing_original_token_count": int(missing or 0),
        "original_token_sum": tokens,
    }


def _tool_output(scope: Scope) -> dict[str, Any]:
    whole = [0, 0, 0, 0, None]
    functions: dict[str, list[Any]] = {}
    roots: dict[str, list[Any]] = {}
    reasons: dict[str, int] = {}
    for function, root, missing, *told in scope.rows(
        "runs",
        f"r.function, r.root, r.missing, sum(r.count), {_TOLD}",
        "r.first group by r.function, r.root, r.missing",
    ):
        _plus(whole, told)
        _plus(functions.setdefault(function, [0, 0, 0, 0, None]), told)
        if root is not None:
            _plus(roots.setdefault(root, [0, 0, 0, 0, None]), told)
        if missing is not None:
            reasons[missing] = reasons.get(missing, 0) + told[0]
    summed = _told(tuple(whole))
    by_function = [{"function": name, **_told(tuple(row))} for name, row in functions.items()]
    by_root = [{"root": name, **_told(tuple(row))} for name, row in roots.items()]
    return {
        "summary": {
            "function_calls": summed["calls"],
            "function_outputs": summed["outputs"],
            **{key: summed[key] for key in tuple(summed)[2:]},
        },
        "functions": _most(by_function, "original_token_sum", "calls"),
        "command_roots": _most(by_root, "original_token_sum", "calls"),
        "missing_reasons": [
            {"name": name, "count": count} for name, count in sorted(reasons.items())
        ],
        "notes": ["terminal-headers-only"],
    }


def _plus(total: list[Any], more: list[Any]) -> None:
    """Add what `_told` reads; tokens stay unknown until something was counted."""
    for place, value in enumerate(more):
        if value is not None:
            total[place] = (total[place] or 0) + value


_EVENTS = "count(distinct r.source || ':' || r.\"offset\")"
_MOST_ROWS = 200
_MOST_CHILDREN = 25


def _most(rows: list[dict[str, Any]], *keys: str, limit: int = _MOST_ROWS) -> list[dict[str, Any]]:
    """The rows with the most of the first key, then of the next; the longest tail is cut."""
    return sorted(rows, key=lambda row: tuple(-(row[key] or 0) for key in keys))[:limit]


def _commands(scope: Scope) -> dict[str, Any]:
    found = scope.rows(
        "runs",
        "r.root, r.child, sum(r.count)",
        "r.first and r.root is not null group by r.root, r.child",
    )
    roots: dict[str, list[dict[str, Any]]] = {}
    for root, child, count in found:
        roots.setdefault(root, []).append({"child": child, "count": count})
    marks = ",".join("?" * len(_SHELLS))
    nothing = scope.rows(
        "runs", "total(r.count)", f"r.root is null and r.function in ({marks})", *_SHELLS
    )[0][0]
    named = sum(count for _, _, count in found)
    return {
        "summary": {
            "shell_function_calls": named + int(nothing),
            "command_root_count": len(roots),
            "missing_command": int(nothing),
        },
        "commands": _most(
            [
                {
                    "root": root,
                    "total": sum(child["count"] for child in children),
                    "children": _most(children, "count", limit=_MOST_CHILDREN),
                }
                for root, children in roots.items()
            ],
            "total",
        ),
        "families": [
            {"family": name, "count": count}
            for name, count in scope.rows(
                "families", "r.name, sum(r.count)", "1 group by r.name order by 2 desc, 1"
            )
        ],
        "notes": ["programs-only"],
    }


def _git(scope: Scope) -> dict[str, Any]:
    found = scope.rows(
        "runs",
        f"r.root, r.operation, sum(r.count), {_TOLD}",
        "r.operation is not null group by r.root, r.operation",
    )
    rows = []
    for root, operation, *told in found:
        category, mutability = vcs.kinds(root, operation)
        counted = _told(tuple(told))
        rows.append(
            {
                "root": root,
                "operation": operation,
                "category": category,
                "mutability": mutability,
                "calls": counted["calls"],
                "with_original_token_count": counted["outputs_with_original_token_count"],
                "missing_original_token_count": counted["calls"]
                - counted["outputs_with_original_token_count"],
                "original_token_sum": counted["original_token_sum"],
            }
        )
    if scope.days is not None:
        shell_calls = scope.day("total(l.shells)")[0]
    else:
        shell_calls = scope.single("tool_run", _EVENTS, "r.operation is not null")[0][0]
    sums = [row["original_token_sum"] for row in rows if row["original_token_sum"] is not None]
    return {
        "summary": {
            "git_shell_calls": int(shell_calls),
            "git_command_calls": sum(row["calls"] for row in rows if row["root"] == "git"),
            "github_cli_calls": sum(row["calls"] for row in rows if row["root"] == "gh"),
            "unique_interactions": len(rows),
            "interactions_with_original_token_count": sum(
                row["with_original_token_count"] for row in rows
            ),
            "interactions_missing_original_token_count": sum(
                row["missing_original_token_count"] for row in rows
            ),
            "original_token_sum": sum(sums) if sums else None,
        },
        "interactions": _most(rows, "calls"),
        "categories": _grouped(rows, "category"),
        "mutability": _grouped(rows, "mutability"),
        "notes": ["operations-only", "first-step-has-output"],
    }


def _grouped(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[key]] = counts.get(row[key], 0) + row["calls"]
    return _most([{key: name, "calls": count} for name, count in counts.items()], "calls")


# ── files ─────────────────────────────────────────────────────────────────────────────────

_TOP_PATHS, _TOP_COMMANDS = 50, 25
_PRIVACY = {
    "raw_paths_included": False,
    "path_label": "basename",
    "path_hash": "sha256-12",
}


def _reads(scope: Scope) -> dict[str, Any]:
    columns = "total(r.events), total(r.counted), sum(r.tokens)"
    whole = scope.rows("reads", f"{columns}, count(distinct r.path)", "1")[0]
    readers = scope.rows("reads", f"r.reader, {columns}", "1 group by r.reader")
    paths = scope.rows(
        "reads",
        f"r.path, max(r.label), {columns}",
        f"1 group by r.path order by 5 desc, 3 desc, 1 limit {_TOP_PATHS}",
    )
    if scope.days is not None:
        largest = scope.summed(
            "day_top",
            "r.reader, r.label, r.paths, r.size, r.call, r.at",
            f"r.kind = 'read' order by 4 desc, 6 desc, 5 limit {_TOP_COMMANDS}",
        )
    else:
        largest = scope.single(
            "file_read",
            "r.reader, max(r.label), count(*), sum(r.tokens), c.id, max(k.at)",
            'r.tokens is not null group by r.source, r."offset" '
            f"order by 4 desc, 6 desc, 5 limit {_TOP_COMMANDS}",
        )
    return {
        "summary": {**_read_counts(whole[:3]), "unique_paths": whole[3]},
        "readers": _most(
            [{"reader": row[0], **_read_counts(row[1:])} for row in readers], "read_events"
        ),
        "top_paths": [
            {"path_label": row[1], "path_hash": row[0], **_read_counts(row[2:])} for row in paths
        ],
        "largest_commands": [
            {
                "reader": row[0],
                "path_label": row[1],
                "paths": row[2],
                "original_token_sum": row[3],
                "record_id": row[4],
                "event_timestamp": iso(row[5]),
            }
            for row in largest
        ],
        "path_privacy": _PRIVACY,
        "notes": ["even-split"],
    }


def _read_counts(values: tuple[Any, ...]) -> dict[str, Any]:
    events, counted, tokens = values
    return {
        "read_events": int(events),
        "with_original_token_count": int(counted),
        "missing_original_token_count": int(events - counted),
        "original_token_sum": tokens,
    }


def _changes(scope: Scope) -> dict[str, Any]:
    whole = scope.rows("changes", "total(r.count), count(distinct r.path)", "1")[0]
    paths = scope.rows(
        "changes",
        "r.path, max(r.label), sum(r.count), max(r.latest)",
        f"1 group by r.path order by 3 desc, 4 desc, 1 limit {_TOP_PATHS}",
    )
    extensions = scope.rows(
        "changes",
        "r.extension, sum(r.count), count(distinct r.path)",
        "1 group by r.extension order by 2 desc, 1 limit 50",
    )
    if scope.days is not None:
        events = scope.day("total(l.patches)")[0]
        largest = scope.summed(
            "day_top",
            "r.size, r.label, r.call, r.at",
            f"r.kind = 'change' order by 1 desc, 4 desc, 3 limit {_TOP_COMMANDS}",
        )
    else:
        events = scope.single("file_change", _EVENTS, "1")[0][0]
        largest = scope.single(
            "file_change",
            "count(*), max(r.label), c.id, max(k.at)",
            f'1 group by r.source, r."offset" order by 1 desc, 4 desc, 3 limit {_TOP_COMMANDS}',
        )
    return {
        "summary": {
            "modification_events": int(events),
            "modified_path_events": int(whole[0]),
            "unique_paths_modified": whole[1],
            "largest_event_path_count": largest[0][0] if largest else None,
        },
        "top_paths": [
            {
                "path_label": label,
                "path_hash": path,
                "modifications": count,
                "latest_event_timestamp": iso(at),
            }
            for path, label, count, at in paths
        ],
        "by_extension": [
            {"extension": extension, "modifications": count, "unique_paths": unique}
            for extension, count, unique in extensions
        ],
        "largest_events": [
            {
                "path_count": count,
                "path_label": label,
                "record_id": call,
                "event_timestamp": iso(at),
            }
            for count, label, call, at in largest
        ],
        "path_privacy": _PRIVACY,
        "notes": ["structured-patches-only"],
    }


def _productivity(scope: Scope) -> dict[str, Any]:
    columns = "total(r.events), total(r.productive)"
    whole = scope.rows("reads", columns, "1")[0]
    readers = scope.rows("reads", f"r.reader, {columns}", "1 group by r.reader")
    paths = scope.rows(
        "reads",
        f"r.path, max(r.label), {columns}",
        f"1 group by r.path order by 3 desc, 1 limit {_TOP_PATHS}",
    )
    return {
        "summary": _productive(whole),
        "readers": _most(
            [{"reader": row[0], **_productive(row[1:])} for row in readers], "read_events"
        ),
        "top_paths": [
            {"path_label": row[1], "path_hash": row[0], **_productive(row[2:])} for row in paths
        ],
        "path_privacy": _PRIVACY,
        "notes": ["correlation-only"],
    }


def _productive(values: tuple[Any, ...]) -> dict[str, Any]:
    events, productive = int(values[0]), int(values[1] or 0)
    return {
        "read_events": events,
        "productive_read_events": productive,
        "productive_read_pct": 100 * productive / events if events else None,
    }


# ── concentration ─────────────────────────────────────────────────────────────────────────

_METRICS = (
    "total_tokens", "input_tokens", "cached_input_tokens", "uncached_input_tokens",
    "output_tokens", "reasoning_output_tokens", "calls", "estimated_cost_usd", "usage_credits",
)  # fmt: skip
_SUMS = (
    "sum(l.input + l.output), sum(l.input), sum(l.cached), sum(l.input - l.cached), "
    "sum(l.output), sum(l.reasoning), sum(l.calls), sum(l.cost), sum(l.credits)"
)
_TOP_ROWS, _IMPACT_ROWS = 10, 15


def _concentration(scope: Scope) -> dict[str, Any]:
    condition, values = slices.narrowed(scope.wanted)
    source = f"from slice l left join session s on s.id = l.session where {condition}"

    def rows(key: str, more: str = "") -> list[tuple[Any, ...]]:
        return db.rows(f"select {key}, {_SUMS} {source} {more} group by 1", values)  # noqa: S608

    day = chosen().of
    days: dict[str, list[float]] = {}
    for quarter, *sums in rows("l.quarter"):
        total = days.setdefault(day(quarter * QUARTER), [0] * len(_METRICS))
        for place, value in enumerate(sums):
            total[place] += value or 0
    groups = {
        "source_log": {str(key): sums for key, *sums in rows("s.key", "and s.key is not null")},
        "cwd": _by_project(rows("coalesce(s.project, '')")),
        "day": days,
    }
    dimensions = [_dimension(name, found) for name, found in groups.items()]
    impact = [
        {"dimension": one["dimension"], **row} for one in dimensions for row in one["top_rows"]
    ]
    return {
        "dimensions": dimensions,
        "metrics": list(_METRICS),
        "largest_impact_rows": _most(impact, "total_tokens", limit=_IMPACT_ROWS),
        "notes": ["shares-of-scope"],
    }


def _by_project(rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    of = projects.known().of
    found: dict[str, list[Any]] = {}
    for key, *sums in rows:
        total = found.setdefault(of(key), [None] * len(sums))
        for place, value in enumerate(sums):
            if value is not None:
                total[place] = (total[place] or 0) + value
    return found


def _dimension(name: str, groups: dict[str, Any]) -> dict[str, Any]:
    columns = list(zip(*([value or 0 for value in sums] for sums in groups.values()), strict=True))
    metrics = {
        metric: concentrated(columns[place] if columns else ())
        for place, metric in enumerate(_METRICS)
    }
    whole = sum(columns[0]) if columns else 0
    ranked = sorted(groups.items(), key=lambda pair: -(pair[1][0] or 0))[:_TOP_ROWS]
    return {
        "dimension": name,
        "group_count": len(groups),
        **metrics["total_tokens"],
        "metrics": metrics,
        "top_rows": [_share(name, key, sums, whole) for key, sums in ranked],
    }


def _share(name: str, key: str, sums: Any, whole: float) -> dict[str, Any]:
    figures = dict(zip(_METRICS, sums, strict=True))
    cost, credits = figures["estimated_cost_usd"], figures["usage_credits"]
    label = {"source_log": {"label": f"session:{key[:8]}", "session": key}, "cwd": {"project": key}}
    return {
        **label.get(name, {"label": key}),
        **figures,
        "estimated_cost_usd": None if cost is None else cost / 1e6,
        "usage_credits": None if credits is None else credits / 1e6,
        "share": (sums[0] or 0) / whole if whole else None,
    }


def concentrated(values: Iterable[float]) -> dict[str, Any]:
    """How much the largest groups have, and how many equal ones would be as concentrated."""
    known = sorted((value for value in values if value > 0), reverse=True)
    whole = sum(known)
    if not whole:
        nothing = dict.fromkeys(("top_1_share", "top_3_share", "top_5_share"))
        return {**nothing, "effective_group_count": None}
    return {
        **{f"top_{n}_share": round(sum(known[:n]) / whole, 6) for n in (1, 3, 5)},
        "effective_group_count": round(1 / sum((value / whole) ** 2 for value in known), 6),
    }


BUILDERS: dict[str, Callable[[Scope], dict[str, Any]]] = {
    "overview": _overview,
    "tool-output": _tool_output,
    "commands": _commands,
    "git-interactions": _git,
    "file-reads": _reads,
    "file-modifications": _changes,
    "read-productivity": _productivity,
    "concentration": _concentration,
}
