"""The rollups of telemetry tell what the events tell, however they came and whatever went."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from benchmarks.panels import DAY, Month
from server.ingest import witness
from server.ingest.otlp import Batch, Event
from server.store import db, settings
from server.usage import histogram, telemetry
from server.usage.days import QUARTER, Days
from server.usage.steps import Span

UNTIL = 1_795_000_000_000 // DAY * DAY + 5 * DAY
SINCE = UNTIL - 3 * DAY


def month(count: int = 1500) -> list[Event]:
    return [event for talk in Month(SINCE, UNTIL, count).conversations() for event in talk]


def deliver(events: list[Event], together: int = 90) -> None:
    for start in range(0, len(events), together):
        part = tuple(events[start : start + together])
        with db.writing() as connection:
            witness.store(connection, [Batch("logs", len(part), part)], witness.Tally(), UNTIL)


def slices() -> dict[tuple[str, str], int]:
    return {
        (heading, name): number
        for heading, name, number in db.rows(
            "select heading, name, sum(count) from telemetry_slice group by 1, 2"
        )
    }


def plainly() -> dict[tuple[str, str], int]:
    """The same, counted from the events."""
    found: dict[tuple[str, str], int] = {}
    for column in ("model", "tool", "decision"):
        for name, number in db.rows(
            f"select {column}, sum(count) from telemetry_event "
            f"where {column} is not null group by 1"
        ):
            found[column, name] = number
    ended = (
        "select tool, success, count(*) from (select tool, min(success) as success "
        "from telemetry_event where name = 'codex.tool_result' group by session_id, call_id) "
        "group by 1, 2"
    )
    for tool, success, number in db.rows(ended):
        found["tool_succeeded" if success else "tool_failed", tool] = number
    for name, number in db.rows(
        "select case when success then 'true' else 'false' end, sum(count) from telemetry_event "
        "where success is not null group by 1"
    ):
        found["success", name] = number
    for heading, name, number in db.rows(
        "select case when kind = 'User' then 'user_decision' else 'configured_decision' end, "
        "decision, count(*) from telemetry_event where decision is not null group by 1, 2"
    ):
        found[heading, name] = number
    return found


def measured(unit: int, series: str = "all") -> Counter[int]:
    return sum(
        (
            histogram.durations(histogram.unpacked(counts))
            for (counts,) in db.rows(
                "select counts from telemetry_histogram where series = ? and unit = ?",
                (series, unit),
            )
        ),
        Counter(),
    )


def check() -> None:
    told = slices()
    used = {key: number for key, number in told.items() if key[0] == "usage"}
    assert {key: n for key, n in told.items() if key not in used} == plainly()
    assert {name: number for (_, name), number in used.items()} == dict(
        db.rows("select model, count(*) from telemetry_usage group by 1")
    )
    buckets: Counter[int] = Counter()
    for (ms,) in db.rows("select duration_ms from telemetry_event where duration_ms is not null"):
        buckets[histogram.middle(histogram.bucket(ms))] += 1
    for unit in histogram.UNITS:
        assert measured(unit) == buckets, unit
    assert db.rows("select count(distinct session_id), sum(duration), sum(prompts) from "
                   "telemetry_talk") == db.rows(
        "select count(distinct session_id), sum(duration_ms), sum(name = 'codex.user_prompt') "
        "from telemetry_event"
    )  # fmt: skip
    assert db.rows("select sum(calls) from telemetry_talk") == db.rows(
        "select count(distinct session_id || ' ' || call_id) from telemetry_event"
    )


@pytest.mark.parametrize("order", ["as they came", "mixed up", "twice"])
def test_the_rollups_tell_what_the_events_tell(database: None, order: str) -> None:
    events = month()
    if order == "mixed up":
        random.Random(3).shuffle(events)
    deliver(events + events if order == "twice" else events)
    check()


def test_what_is_trimmed_leaves_the_rollups_too(database: None) -> None:
    deliver(month(2500))
    settings.change({"telemetryRows": 1000})
    assert witness.trim() > 0
    oldest = db.rows("select min(at) from telemetry_event")[0][0]
    with db.writing() as connection:  # trimming leaves what responses used; the rest is gone
        connection.execute("delete from telemetry_slice where heading = 'usage'")
        connection.execute("delete from telemetry_usage")
    assert db.rows("select min(quarter) from telemetry_talk")[0][0] == oldest // QUARTER
    told = plainly()
    assert slices() == told
    assert measured(96) == measured(4) == measured(1)


def test_old_days_leave_the_rollups_too(database: None) -> None:
    deliver(month())
    settings.change({"telemetryDays": 1})
    assert witness.forget_old(UNTIL - 1000) > 0
    check()


def values(panel: dict[str, Any]) -> Any:
    return panel.get("value"), panel.get("tools", {}).get("value"), panel["literal"]["value"]


def test_many_durations_are_estimated_and_close(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(month())
    span = Span(SINCE, UNTIL)

    def shown() -> dict[str, Any]:
        found = telemetry.panels(span, Days("Asia/Kolkata"), UNTIL, wanted=["commandDuration"])
        panel: dict[str, Any] = found["panels"][0]
        return panel

    exact = shown()
    monkeypatch.setattr("server.usage.durations._EXACTLY", 10)
    guessed = shown()
    assert (exact["estimated"], guessed["estimated"]) == (False, True)
    assert values(guessed) == pytest.approx(values(exact), rel=0.03)
    for one, other in zip(exact["points"], guessed["points"], strict=True):
        assert one["t"] == other["t"]
        assert other["v"] == (one["v"] and pytest.approx(one["v"], rel=0.03))
