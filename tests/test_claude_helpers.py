"""Claude Code's sub-agents: sessions of their own below the one that asked, counted as one."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from server.config import Config
from server.ingest import claude, codex, scan
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from server.usage import calls, summary, threads, trends
from server.usage.calls import Page
from server.usage.days import Days
from server.usage.slices import Filter
from tests.test_claude_order import equal, put, ways
from tests.test_exact_sums import A, B, line

EVERYTHING = Filter()
FOLDER = "-home-me-shop"
OWN, BELOW = f"{FOLDER}/{A}", f"{FOLDER}/{A}/subagents/agent-77"
BESIDE = f"{FOLDER}/agent-99"  # as earlier versions wrote
LOGS = {
    OWN: [line(A, 1, 10, "msg_1"), line(A, 9, 11, "msg_2")],
    BELOW: [line(A, 3, 20, "msg_3", isSidechain=True)],
    BESIDE: [line(A, 4, 30, "msg_4", isSidechain=True), line(A, 5, 40, "msg_5", isSidechain=True)],
    f"{FOLDER}/{B}": [line(B, 2, 50, "msg_6")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("p/s", True),
        ("p/s/subagents/agent-1", False),
        ("p/s/subagents/workflows/wf_1/agent-1", False),
        ("p/agent-1", False),
        ("p/AGENT-1", False),
        ("p/agents-of-change", True),
    ],
)
def test_whose_log_it_is(name: str, own: bool) -> None:
    assert claude.is_own(name) is own


def test_the_same_whichever_log_is_read_first(
    config: Config, compiled_part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = equal(ways(config, LOGS, compiled_part, monkeypatch, itertools.permutations(LOGS)))
    assert [row[:2] for row in found["sessions"]] == [
        (A, A), (f"{A}:agent-77", A), ("agent-99", A), (B, B),
    ]  # fmt: skip
    assert [row[0] for row in found["threads"]] == [A, B]
    assert {row[0]: row[1] for row in found["calls"]} == {
        "msg_1": A, "msg_2": A, "msg_3": f"{A}:agent-77", "msg_4": "agent-99",
        "msg_5": "agent-99", "msg_6": B,
    }  # fmt: skip


@pytest.mark.parametrize("compiled", [True, False])
def test_a_main_that_comes_later_by_a_scan_is_the_head(
    config: Config, compiled_part: Any, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    monkeypatch.setattr(codex, "usual", compiled_part if compiled else None)
    for name in (BELOW, OWN):
        put(config, {name: LOGS[name]})
        scan.run(config)
    with closing(sqlite3.connect(config.data_dir / "usage.db")) as connection:
        heads = dict(
            connection.execute("select s.key, h.key from session s join session h on h.id = s.head")
        )
    assert heads == {f"{A}:agent-77": A}


@pytest.mark.parametrize("missing", [None, OWN], ids=["all", "the session's own log is gone"])
def test_a_thread_has_its_helpers_and_sessions_count_once(
    config: Config, database: None, missing: str | None
) -> None:
    for logs in ({BESIDE: LOGS[BESIDE]}, LOGS):  # one comes before the others
        put(config, {name: lines for name, lines in logs.items() if name != missing})
        Indexer(config, Ledger()).scan()
    thread = threads.one(A)
    assert thread["subagents"] == 2
    nested = {one["id"]: one["kind"] for one in thread["sessionList"]} | {A: "main"}
    assert nested == {A: "main", f"{A}:agent-77": "subagent", "agent-99": "subagent"}
    listed = calls.search(EVERYTHING, Page())["calls"]
    kinds = {row["id"]: row["kind"] for row in listed}
    assert kinds["msg_3"] == kinds["msg_5"] == "subagent" and kinds["msg_6"] == "main"
    days = Days()  # of this computer
    for wanted in (EVERYTHING, replace(EVERYTHING, models=("claude-opus-4-1",))):
        groups = summary.grouped(wanted, "date", days, 0)["groups"]
        assert [group["sessions"] for group in groups] == [2]  # as Claude Code tells sessions
    models = summary.grouped(EVERYTHING, "model", days, 0)["groups"]
    assert [one["sessions"] for one in models] == [2]
    day = db.rows("select min(day) from daily_usage")[0][0]
    assert [one["sessions"] for one in trends.series(day, day)["days"]] == [2]
