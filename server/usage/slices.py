"""The rollups behind threads and trends: kept up by reading only the calls that are new.

A call's row number only grows, also when a call is replaced, so that new rows tell which
sessions must be summed up again. What that cannot see (a call that vanished for good) shows in
the sums, which the ledger's own rollup repeats; then everything is summed up anew.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.store import db
from server.usage import thresholds
from server.usage.days import QUARTER

_CHUNK = 150  # sessions in one transaction, so that the proxy's recorder never waits long
_TOKENS = "(c.input + c.output)"
KEYS = ("session", "quarter", "model", "effort", "account", "price_status", "provider")
_SUMS = (
    "calls", "input", "cached", "output", "reasoning", "cost", "credits", "credited",
    "unpriced",
    "unpriced_tokens", "estimated", "estimated_tokens", "duration", "first_at", "last_at",
    "max_context", "bloat", "grown", "misses", "least_cache", "spikes",
    "most_reasoning", "dear", "idle",
)  # fmt: skip
_LARGEST = {"last_at", "max_context", "most_reasoning"}
_SMALLEST = {"first_at", "least_cache"}
_lock = threading.Lock()
_fresh: list[Any] = []  # what the last refresh saw
_compared: list[Any] = []


@dataclass(frozen=True)
class Filter:
    """Which calls; empty means all. `since` and `until` are ms, `until` exclusive."""

    text: str = ""
    provider: str = ""
    models: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    price_status: str = ""
    thread: str = ""
    session: str = ""
    preset: str = ""
    fact: str = ""  # type:name, of the diagnostics
    history: str = ""  # active leaves archived sessions out
    names: bool = True  # whether `text` may find what a privacy mode hides
    meant: tuple[str, ...] = ()  # the projects whose shown name or tags hold `text`


# What Codex keeps under `sessions`; a session without a log of its own is no archived one.
ACTIVE = "(s.source is null or s.source not in (select id from source_file where archived))"


def narrowed(wanted: Filter) -> tuple[str, list[Any]]:
    """The condition on slices (`l`, joined with their session `s`) and its values."""
    parts: list[str] = ["1"]
    values: list[Any] = []
    for column, names in (
        ("l.model", wanted.models),
        ("l.effort", wanted.efforts),
        ("s.project", wanted.projects),
        ("l.account", wanted.accounts),
    ):
        if names:
            parts.append(f"{column} in ({','.join('?' * len(names))})")
            values += names
    for condition, value in (
        ("l.provider = ?", wanted.provider),
        ("l.price_status = ?", wanted.price_status),
        ("s.key = ?", wanted.session),
        ("s.thread = ?", wanted.thread),
        ("l.quarter >= ?", None if wanted.since is None else wanted.since // QUARTER),
        ("l.quarter < ?", None if wanted.until is None else -(-wanted.until // QUARTER)),
    ):
        if value not in ("", None):
            parts.append(condition)
            values.append(value)
    if wanted.history:
        parts.append(ACTIVE)
    return " and ".join(parts), values


def whole(wanted: Filter) -> bool:
    """Whether slices tell the filter's calls exactly: nothing about single calls is asked."""
    bounds = (at for at in (wanted.since, wanted.until) if at is not None)
    single = wanted.text or wanted.preset or wanted.fact
    return not single and all(at % QUARTER == 0 for at in bounds)


def measures(table: str = "l") -> str:
    """The SQL that sums rows of a rollup up to one, columns in the order of the table."""
    return ", ".join(f"{_fold(name)}({table}.{name}) as {name}" for name in _SUMS)


def _fold(name: str) -> str:
    return "max" if name in _LARGEST else "min" if name in _SMALLEST else "sum"


def keep() -> None:
    """A scheduler job: refresh, and compare with the ledger's own rollup when calls changed."""
    refresh()
    seen = db.revisions().get("calls")
    if _compared[:1] == [seen]:
        return
    found = _differences()
    if found is not None and found != _compared[1:]:
        forget()
        refresh()
    _compared[:] = [seen, *(_differences() or [])]


def refresh() -> None:
    """Bring both rollups up to the ledger; costs a look when nothing changed."""
    with _lock:
        limits = thresholds.current()
        mark = (str(db.usage.database), limits, db.revisions().get("calls"))
        newest = int(db.rows("select coalesce(max(rowid), 0) from call")[0][0])
        if _fresh == [mark, newest]:
            return
        note = db.rows("select value from ledger_note where name = 'slices'")
        known = json.loads(note[0][0]) if note else {}
        same = known.get("limits") == limits
        touched = _touched(known["row"], newest) if same else _everything()
        for start in range(0, len(touched), _CHUNK):
            _sum_up(touched[start : start + _CHUNK], limits)
        if known != {"row": newest, "limits": limits}:
            _remember({"row": newest, "limits": limits})
        _fresh[:] = [mark, newest]


def forget() -> None:
    """Sum everything up anew at the next refresh: prices or thresholds changed."""
    with db.writing() as connection:
        connection.execute("delete from ledger_note where name = 'slices'")
    _fresh.clear()


def _touched(row: int, newest: int) -> list[int]:
    if row == newest:
        return []
    # The newest row counts again: when it was taken back, another may have its number.
    found = db.rows("select distinct coalesce(session, 0) from call where rowid >= ?", (row,))
    return [int(session) for (session,) in found]


def _everything() -> list[int]:
    with db.writing() as connection:
        connection.execute("delete from slice")
        connection.execute("delete from thread_usage")
    return [int(s) for (s,) in db.rows("select distinct coalesce(session, 0) from call")]


def _differences() -> list[Any] | None:
    """Both sums, when they differ: a call went without a trace, or a session changed threads."""
    sums = "total(calls), total(input), total(output), total(cost)"
    ours = db.rows(f"select {sums} from slice")  # noqa: S608
    theirs = db.rows(f"select {sums} from daily_usage where heading = 'model'")  # noqa: S608
    left = db.rows(
        "select thread from thread_usage where thread not in (select thread from session) limit 1"
    )
    return [ours, theirs, left] if ours != theirs or left else None


def _remember(known: dict[str, Any]) -> None:
    with db.writing() as connection:
        connection.execute(
            "replace into ledger_note values ('slices', ?)", (json.dumps(known, sort_keys=True),)
        )


def _sum_up(sessions: Sequence[int], limits: dict[str, float]) -> None:
    with db.writing() as connection:
        for session in sessions:
            connection.execute("delete from slice where session = ?", (session,))
            connection.execute(_insert(session), limits | {"session": session})
        threads = _threads(connection, sessions)
        for thread in threads:
            connection.execute("delete from thread_usage where thread = ?", (thread,))
            connection.execute(_INSERT_THREAD, (thread,))


def _threads(connection: sqlite3.Connection, sessions: Sequence[int]) -> set[str]:
    marks = ",".join("?" * len(sessions))
    found = connection.execute(
        f"select distinct thread from session where id in ({marks})",  # noqa: S608
        list(sessions),
    )
    return {str(thread) for (thread,) in found}


def _insert(session: int) -> str:
    where = "c.session = :session" if session else "c.session is null"
    return f"{_INSERT_SLICE} where {where} group by 1, 2, 3, 4, 5, 6, 7"


MISS = (
    "(c.input > 0 and 1.0 * c.cached / c.input < :low_cache_ratio "
    "and c.input - c.cached >= :high_uncached_input_tokens)"
)
BLOAT = (
    "(coalesce(c.context_window, 0) > 0 and "
    "1.0 * c.input / c.context_window >= :high_context_percent)"
)
GROWN = f"({BLOAT} or coalesce(c.running, 0) >= :large_cumulative_tokens)"
SPIKE = (
    "(c.output >= :reasoning_min_output_tokens and c.output > 0 and "
    "1.0 * c.reasoning / c.output >= :high_reasoning_ratio)"
)
DEAR = "(coalesce(c.cost, 0) > 0 and c.cost >= 1000000 * :high_cost_usd)"
IDLE = f"({_TOKENS} >= :expensive_low_output_total_tokens and c.output <= :low_output_tokens)"
_INSERT_SLICE = (
    f"insert into slice({', '.join(KEYS)}, {', '.join(_SUMS)}) "  # noqa: S608
    "select coalesce(c.session, 0), c.started_at / 900000, coalesce(c.model, ''), "
    "coalesce(c.effort, ''), coalesce(c.account, ''), c.price_status, c.provider, "
    "count(*), sum(c.input), sum(c.cached), sum(c.output), sum(c.reasoning), "
    "sum(coalesce(c.cost, 0)), sum(c.credits), sum(coalesce(c.credits, 0) > 0), "
    "sum(c.cost is null), "
    f"sum(case when c.cost is null then {_TOKENS} else 0 end), "
    "sum(c.price_status = 'estimated'), "
    f"sum(case when c.price_status = 'estimated' then {_TOKENS} else 0 end), "
    "sum(c.duration_ms), min(c.started_at), max(c.started_at), "
    "max(case when c.context_window > 0 then 10000 * c.input / c.context_window end), "
    f"sum({BLOAT}), sum({GROWN}), sum({MISS}), "
    f"min(case when {MISS} then 10000 * c.cached / c.input end), "
    f"sum({SPIKE}), max(case when {SPIKE} then c.reasoning end), sum({DEAR}), sum({IDLE}) "
    "from call c"
)
KINDS = (
    "count(distinct l.session) as sessions, "
    "count(distinct case when s.kind = 'subagent' then l.session end) as subagents, "
    "count(distinct case when s.kind = 'review' then l.session end) as reviews"
)
_INSERT_THREAD = (
    f"insert into thread_usage(thread, provider, sessions, subagents, reviews, {', '.join(_SUMS)}) "  # noqa: S608
    f"select s.thread, min(l.provider), {KINDS}, {measures()} "
    "from session s join slice l on l.session = s.id where s.thread = ? group by s.thread"
)
