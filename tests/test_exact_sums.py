"""The sums are those of the calls, whatever grew, went or moved, and at whatever moment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from server.usage import calls, slices, summary, threads, trends
from server.usage.calls import Page
from server.usage.days import Days
from server.usage.slices import Filter
from tests.rollouts import Tree

A, B = (f"{one * 8}-0000-7000-9000-000000000001" for one in "ab")
Line = dict[str, Any]


def line(session: str, second: int, output: int, name: str = "msg_1", **rest: Any) -> Line:
    """A line of a message of Claude, as a log has it."""
    usage = {"input_tokens": 10, "output_tokens": output}
    return {
        "isSidechain": False, "cwd": "/home/me/x", "sessionId": session, "type": "assistant",
        "uuid": f"u{second}", "timestamp": f"2026-06-01T10:00:{second:02d}.000Z",
        "requestId": f"req_{name}",
        "message": {"id": name, "role": "assistant", "model": "claude-opus-4-1", "usage": usage},
        **rest,
    }  # fmt: skip


def write(config: Config, session: str, *lines: Line) -> Path:
    """A session's log with these lines alone."""
    path = config.claude_home / "projects" / "-home-me-x" / f"{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def agree() -> tuple[int, int]:
    """Calls and output of the ledger's rows; all sums tell the same."""
    rows: list[int] = [
        row["outputTokens"] for row in calls.search(Filter(), Page(limit=5000))["calls"]
    ]
    expected = len(rows), sum(rows)
    totals = calls.search(Filter(), Page())["totals"]
    assert (totals["calls"], totals["output"]) == expected
    totals = threads.search(Filter(), Page())["totals"]
    assert (totals["calls"], totals["output"]) == expected
    for by in summary.GROUPS.keys() - {"tag"} | {"date"}:
        groups = summary.grouped(Filter(), by, Days("UTC"), 0)["groups"]
        found = sum(one["calls"] for one in groups), sum(one["outputTokens"] for one in groups)
        assert found == expected, by
    assert slices._differences() is None
    return expected


def test_a_message_that_grows_is_summed_up_with_each_line(config: Config, database: None) -> None:
    indexer = Indexer(config, Ledger())
    for count, output in enumerate((1, 8, 500), start=1):
        lines = [line(A, 1, 1), line(A, 2, 8), line(A, 3, 500)][:count]
        write(config, A, *lines)
        indexer.scan()
        assert agree() == (1, output)


def test_calls_that_went_are_in_no_sum(config: Config, database: None) -> None:
    tree = Tree(config.codex_home, seed=3, body=10)
    tree.grow(3)
    indexer = Indexer(config, Ledger())
    indexer.scan()
    before = agree()
    newest = sorted(config.codex_home.rglob("*.jsonl"))[-1]
    newest.write_bytes(b"".join(newest.read_bytes().splitlines(keepends=True)[:2]))
    indexer.scan()
    assert agree() < before


def test_a_call_that_moves_to_another_session_leaves_the_sums_of_its_own(
    config: Config, database: None
) -> None:
    """It takes the row number of the last one, so that no number tells of it."""
    indexer = Indexer(config, Ledger())
    write(config, B, line(B, 1, 5, isSidechain=True))
    indexer.scan()
    assert agree() == (1, 5)
    write(config, A, line(A, 1, 5))
    indexer.scan()
    assert agree() == (1, 5)
    (row,) = calls.search(Filter(), Page())["calls"]
    assert [row["outputTokens"], row["sessionId"]] == [5, A]


def _delete(connection: Any) -> None:
    connection.execute("delete from call where rowid > 2")
    connection.execute(
        "insert into call(id, provider, session, initiator, started_at, input, cached, "
        "cache_written, output, reasoning, price_status, seen) select 'new' || id, provider, id, "
        "'unknown', 1780000000000, 1, 0, 0, 7, 0, 'unpriced', 2 from session limit 3"
    )


CHANGES: list[Any] = [
    pytest.param(_delete, id="row numbers are given away again"),
    pytest.param(lambda c: c.execute("update call set output = output + 1"), id="calls grow"),
    pytest.param(
        lambda c: c.execute("update call set session = (select max(id) from session)"),
        id="calls move to another session",
    ),
    pytest.param(
        lambda c: c.execute("update session set thread = (select min(thread) from session)"),
        id="sessions move to another thread",
    ),
    pytest.param(
        lambda c: c.execute("update call set model = 'other', effort = 'x', account = 'y'"),
        id="calls have other names",
    ),
    pytest.param(lambda c: c.execute("delete from call"), id="nothing is left"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_whoever_changes_calls_the_next_sums_know_it(
    config: Config, database: None, change: Callable[[Any], None]
) -> None:
    Tree(config.codex_home, seed=4, body=10).grow(4)
    Indexer(config, Ledger()).scan()
    agree()
    with db.writing() as connection:
        change(connection)
        Ledger().rebuild(connection)
    agree()


def test_what_is_read_in_one_moment_agrees_while_calls_come(config: Config, database: None) -> None:
    indexer = Indexer(config, Ledger())
    write(config, A, line(A, 1, 1))
    indexer.scan()
    with slices.moment():
        before = db.rows("select total(output) from call")
        write(config, A, line(A, 1, 1), line(A, 2, 900))

        def scan() -> None:
            with db.reading():  # closed again, as the indexer's thread does
                indexer.scan()

        other = threading.Thread(target=scan)
        other.start()
        other.join()
        assert db.rows("select total(output) from call") == before
        slices.refresh()  # an inner question asks for no later moment
        assert db.rows("select total(output) from slice") == before
    assert agree() == (1, 900)


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(Filter(), id="all"),
        pytest.param(Filter(history="active"), id="without archived sessions"),
        pytest.param(Filter(models=("gpt-5.5",)), id="a model"),
        pytest.param(Filter(history="active", efforts=("high", "low")), id="efforts"),
        pytest.param(Filter(text="e"), id="a text that most have"),
        pytest.param(Filter(text="gpt-5.5"), id="a text that a model has"),
        pytest.param(Filter(least_tokens=200), id="single calls"),
    ],
)
def test_every_sum_knows_how_many_prices_are_estimates(
    config: Config, database: None, wanted: Filter
) -> None:
    Tree(config.codex_home, seed=7, body=10).grow(8)
    Indexer(config, Ledger()).scan()
    with db.writing() as connection:
        connection.execute(
            "update call set price_status = 'estimated' where cost is not null and rowid % 3 = 0"
        )
        Ledger().rebuild(connection)
    page = calls.search(wanted, Page(limit=5000))
    rows = page["calls"]
    expected = sum(row["priceStatus"] == "estimated" for row in rows)
    assert 0 < expected == page["totals"]["estimated"] < len(rows)
    if wanted.least_tokens:
        return  # no sums but those of calls tell single ones
    listed = threads.search(wanted, Page(limit=100))
    assert listed["totals"]["estimated"] == expected
    assert sum(row["estimated"] for row in listed["threads"]) == expected
    for row in listed["threads"]:
        if wanted == Filter():
            told = threads.one(row["id"])["sessionList"]
            assert sum(one["estimated"] for one in told) == row["estimated"]
    for by in () if wanted.text else summary.GROUPS:  # those know no text by itself
        groups = summary.grouped(wanted, by, Days("UTC"), 0, {})["groups"]
        assert sum(one["estimated"] for one in groups) == expected, by
    if not wanted.text:
        assert sum(one["estimated"] for one in summary.coverage(wanted)["models"]) == expected
    first, last = min(row["at"] for row in rows)[:10], max(row["at"] for row in rows)[:10]
    for zone in ("UTC", "Asia/Tokyo"):
        for by in trends.HEADINGS:
            days = trends.series(first, "2027-01-01", by=by, zone=zone, wanted=wanted)["days"]
            assert sum(day["estimated"] for day in days) == expected, (zone, by)
    now = db.now_ms()
    assert trends.summary(first, last, now, zone="UTC", wanted=wanted)["range"]["estimated"]
