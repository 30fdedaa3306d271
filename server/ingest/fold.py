"""Rollups of telemetry, kept up in the transaction that stores the events.

A month is a million events; the panels read some thousand rows of these instead. Everything is
counted by the quarter of an hour, in which no zone begins a day.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from server.ingest.otlp import Event, Usage
from server.usage import histogram
from server.usage.days import QUARTER

_AT_ONCE = 200  # pairs in one `in (values …)`
RESULTS = ("codex.tool_result", "claude_code.tool_result")
_DECISIONS = ("codex.tool_decision", "claude_code.tool_decision")
_PROVIDERS = ("codex", "claude")
_COLUMNS = (
    "key", "name", "kind", "provider", "session_id", "at", "service", "version", "model", "user",
    "terminal", "tool", "call_id", "decision", "success", "status", "duration_ms", "count",
    "attributes", "failed",
)  # fmt: skip
_OUTCOMES = {True: "tool_succeeded", False: "tool_failed", None: "tool_ended"}

Call = tuple[str, str]  # conversation, call id


@dataclass
class Talk:
    """What a batch adds to a conversation's quarter of an hour."""

    provider: str
    prompts: int = 0
    calls: int = 0
    timed: int = 0
    duration: int = 0
    results: int = 0
    tool_ms: int = 0


@dataclass
class Sums:
    """What a batch adds to the rollups."""

    # (provider, heading, quarter, name) → count, input, cached, output
    slices: dict[tuple[str, str, int, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0, 0, 0])
    )
    # (conversation, quarter, user, terminal)
    talks: dict[tuple[str, int, str, str], Talk] = field(default_factory=dict)
    # (provider, series, quarter) → how often each bucket
    histograms: dict[tuple[str, str, int], Counter[int]] = field(
        default_factory=lambda: defaultdict(Counter)
    )


def fold(connection: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Add new events to the rollups; to be called before they are stored."""
    _write(connection, sums(events, _known(connection, events)))


def sums(events: Iterable[Event], known: dict[Call, bool]) -> Sums:
    """What `events` add; `known` tells which call ids were counted and if timed. Pure."""
    found = Sums()
    for event in events:
        quarter = event.at // QUARTER
        talk = _talk(found, event, quarter)
        if event.usage is not None and not event.usage.empty:
            _use(found, event, event.usage, quarter)
        _literal(found, event, quarter)
        _tool(found, event, quarter, talk, known)
        if _asks_model(event) and event.duration_ms is not None:
            _time(found, event, "request", quarter)
    return found


def _asks_model(event: Event) -> bool:
    if event.name == "codex.api_request":
        return (event.kind or "").endswith("/responses")
    return event.name == "claude_code.api_request"


def _talk(found: Sums, event: Event, quarter: int) -> Talk:
    key = (event.session_id or "", quarter, event.user or "", event.terminal or "")
    talk = found.talks.setdefault(key, Talk(event.provider))
    talk.prompts += event.name.endswith(".user_prompt")
    talk.duration += event.duration_ms or 0
    return talk


def _use(found: Sums, event: Event, usage: Usage, quarter: int) -> None:
    row = found.slices[event.provider, "usage", quarter, event.model or ""]
    for place, value in enumerate((1, usage.input, usage.cached, usage.output)):
        row[place] += value


def _literal(found: Sums, event: Event, quarter: int) -> None:
    """What SigNoz' own queries count: records by the value of one attribute, every duration."""
    for heading, name in (
        ("model", event.model),
        ("tool", event.tool),
        ("decision", event.decision),
        ("success", _success(event)),
    ):
        if name is not None:
            found.slices[event.provider, heading, quarter, name][0] += event.count
    if event.duration_ms is not None:
        _time(found, event, "all", quarter, event.count)
    for ms, number in dict(event.attributes.get("durations") or {}).items():
        bucket = histogram.bucket(int(ms))
        found.histograms[event.provider, "all", quarter][bucket] += number


def _success(event: Event) -> str | None:
    # As it was sent: text, or (of a model list request) a boolean.
    if event.success is None:
        return None
    plain = " (boolean)" if event.name == "codex.api_request" else ""
    return f"{'true' if event.success else 'false'}{plain}"


def _tool(found: Sums, event: Event, quarter: int, talk: Talk, known: dict[Call, bool]) -> None:
    """Count each result of a tool, and what was decided; ids are SigNoz' count of calls."""
    if event.name in _DECISIONS and event.decision is not None:
        user = (event.kind or "").lower().startswith("user")
        heading = "user_decision" if user else "configured_decision"
        found.slices[event.provider, heading, quarter, event.decision][0] += 1
    if event.name in RESULTS:
        # Of an id that a client uses again, each: what is delivered twice came no further.
        _ended(found, event, quarter, talk)
    if event.call_id is None:
        return
    key = (event.session_id or "", event.call_id)
    timed = known.get(key)
    if timed is None:
        talk.calls += 1
    if event.duration_ms is not None and not timed:
        talk.timed += 1
    known[key] = bool(timed) or event.duration_ms is not None


def _ended(found: Sums, event: Event, quarter: int, talk: Talk) -> None:
    tool = event.tool or ""
    outcome = _OUTCOMES[event.success and not event.failed]
    found.slices[event.provider, outcome, quarter, tool][0] += 1
    talk.results += 1
    talk.tool_ms += event.duration_ms or 0
    if event.duration_ms is not None:
        _time(found, event, f"tool {tool}", quarter)


def _time(found: Sums, event: Event, series: str, quarter: int, times: int = 1) -> None:
    bucket = histogram.bucket(event.duration_ms or 0)
    found.histograms[event.provider, series, quarter][bucket] += times


# ── the database ──────────────────────────────────────────────────────────────────────────


def _known(connection: sqlite3.Connection, events: Iterable[Event]) -> dict[Call, bool]:
    asked = sorted({(e.session_id or "", e.call_id) for e in events if e.call_id is not None})
    found: dict[Call, bool] = {}
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        marks = ",".join(["(?,?)"] * len(part))
        for session, call, timed in connection.execute(
            f"with asked(session, name) as (values {marks}) "  # noqa: S608
            "select asked.session, asked.name, max(e.duration_ms is not null) "
            "from asked join telemetry_event e "
            "on e.call_id = asked.name and e.session_id is nullif(asked.session, '') "
            "group by 1, 2",
            [value for pair in part for value in pair],
        ):
            found[session, call] = bool(timed)
    return found


def _write(connection: sqlite3.Connection, found: Sums) -> None:
    connection.executemany(
        "insert into telemetry_slice(provider, heading, quarter, name, count, input, cached, "
        "output) values (?,?,?,?,?,?,?,?) on conflict(provider, heading, quarter, name) do update "
        "set count = count + excluded.count, input = input + excluded.input"
        ", cached = cached + excluded.cached, output = output + excluded.output",
        [(*key, *row) for key, row in found.slices.items()],
    )
    connection.executemany(
        "insert into telemetry_talk(session_id, quarter, user, terminal, provider, prompts, calls, "
        "timed, duration, results, tool_ms) values (?,?,?,?,?,?,?,?,?,?,?) "
        "on conflict(session_id, quarter, user, terminal) do update set "
        "prompts = prompts + excluded.prompts, calls = calls + excluded.calls"
        ", timed = timed + excluded.timed, duration = duration + excluded.duration"
        ", results = results + excluded.results, tool_ms = tool_ms + excluded.tool_ms",
        [
            (*key, t.provider, t.prompts, t.calls, t.timed, t.duration, t.results, t.tool_ms)
            for key, t in found.talks.items()
        ],
    )
    _write_histograms(connection, found.histograms)


def _write_histograms(
    connection: sqlite3.Connection, found: Mapping[tuple[str, str, int], Counter[int]]
) -> None:
    added: dict[tuple[str, str, int, int], int] = defaultdict(int)
    for (provider, series, quarter), counts in found.items():
        whole = histogram.number(counts)
        for unit in histogram.UNITS:
            added[provider, series, unit, quarter // unit * unit] += whole
    rows = []
    for key, whole in added.items():
        before = connection.execute(
            "select counts from telemetry_histogram "
            "where provider = ? and series = ? and unit = ? and quarter = ?",
            key,
        ).fetchone()
        sum_ = whole + (histogram.unpacked(before[0]) if before else 0)
        rows.append((*key, histogram.packed(sum_)))
    connection.executemany("replace into telemetry_histogram values (?,?,?,?,?)", rows)


def failed(
    connection: sqlite3.Connection, provider: str, at: int, tool: str, *, failed: bool
) -> None:
    """Count a stored success as a failure, as its log tells of the tool's command; or undo it."""
    moved = 1 if failed else -1
    for heading, more in (("tool_succeeded", -moved), ("tool_failed", moved)):
        connection.execute(
            "insert into telemetry_slice(provider, heading, quarter, name, count, input, cached, "
            "output) values (?,?,?,?,?,0,0,0) on conflict(provider, heading, quarter, name) "
            "do update set count = count + excluded.count",
            (provider, heading, at // QUARTER, tool, more),
        )


def forget(connection: sqlite3.Connection, quarter: int, *, usage: bool) -> None:
    """Take away what was counted before a quarter; what responses used only when it went too.

    The hour and the day that the quarter lies in are then told by what is left of them.
    """
    kept = "" if usage else " and heading != 'usage'"
    for provider in _PROVIDERS:
        connection.execute(
            f"delete from telemetry_slice where provider = ? and quarter < ?{kept}",  # noqa: S608
            (provider, quarter),
        )
        connection.execute(
            "delete from telemetry_talk where provider = ? and quarter < ?", (provider, quarter)
        )
        connection.execute(
            "delete from telemetry_histogram where provider = ? and quarter < ?",
            (provider, quarter),
        )


def mend(connection: sqlite3.Connection, quarter: int) -> None:
    """Add up the hour and the day of a quarter from its quarters, as older ones were taken away."""
    for unit in histogram.UNITS[1:]:
        start = quarter // unit * unit
        sums_: dict[tuple[str, str], int] = defaultdict(int)
        for provider, series, counts in connection.execute(
            "select provider, series, counts from telemetry_histogram "
            "where provider in (?, ?) and unit = 1 and quarter >= ? and quarter < ?",
            (*_PROVIDERS, start, start + unit),
        ):
            sums_[provider, series] += histogram.unpacked(counts)
        connection.executemany(
            "replace into telemetry_histogram values (?,?,?,?,?)",
            [(*key, unit, start, histogram.packed(whole)) for key, whole in sums_.items()],
        )


def refold(connection: sqlite3.Connection, quarter: int) -> None:
    """Count one quarter anew, whose oldest events were removed; nothing before it is left."""
    forget(connection, quarter + 1, usage=False)
    found = sums(_stored(connection, quarter), {})
    _write(connection, found)
    mend(connection, quarter)


def _stored(connection: sqlite3.Connection, quarter: int) -> list[Event]:
    rows = connection.execute(
        f"select {', '.join(_COLUMNS)} from telemetry_event "  # noqa: S608
        "where at >= ? and at < ? order by at, id",
        (quarter * QUARTER, (quarter + 1) * QUARTER),
    ).fetchall()
    return [_event(row) for row in rows]


def _event(row: tuple[Any, ...]) -> Event:
    fields = dict(zip(_COLUMNS, row, strict=True))
    if fields["success"] is not None:
        fields["success"] = bool(fields["success"])
    fields["failed"] = bool(fields["failed"])
    fields["attributes"] = orjson.loads(fields["attributes"])
    return Event(**fields)
