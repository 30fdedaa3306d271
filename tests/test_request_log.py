"""One row a request: what it says, that it is there in time, and that nothing waits for it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from server.auth.keys import Keys
from server.config import Config
from server.proxy import recorder, waiting
from server.proxy.recorder import Record, Recorder
from server.store import db, settings
from server.usage.pricing import Tokens
from tests.rig import BODY, OPENAI, Rig, SilentLedger, running, wait_until
from tests.upstream import Stream, refusal, spoken, usage_limit


@pytest.fixture
def rig(config: Config, database: None) -> Iterator[Rig]:
    with running(config) as found:
        yield found


def test_a_row_says_what_happened(rig: Rig) -> None:
    metadata = json.dumps({"turn_id": "turn-1", "thread_source": "user"})
    rig.provider.play(usage_limit(int(time.time()) + 7200), account="acc-1")
    rig.pool.pin("session", "s-1", rig.accounts["acc-1"], db.now_ms())
    body = {"reasoning": {"effort": "high"}, "service_tier": "priority"}
    rig.send(
        body, session_id="s-1", user_agent="codex_exec/0.169.0 (x)", x_codex_turn_metadata=metadata
    )
    row = rig.row()
    taker = rig.accounts["acc-2"]
    assert row["id"].startswith("req_")
    expected = {
        "response_id": "resp_1",
        "session_id": "s-1",
        "account": taker,
        "endpoint": "/backend-api/codex/responses",
        "model": "gpt-5.5",
        "effort": "high",
        "tier": "priority",
        "status": "success",
        "http_status": 200,
        "client": "codex_exec/0.169.0",
        "input": 1000,
        "cached": 800,
        "output": 50,
        "reasoning": 10,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["cost"] > 0
    assert 0 <= row["first_event_ms"] <= row["duration_ms"] < 60_000
    attempts = json.loads(row["attempts"])
    assert [(a["account"], a["status"]) for a in attempts] == [
        (rig.accounts["acc-1"], 429),
        (taker, 200),
    ]
    assert attempts[0]["reason"] == "same thread"
    assert row["reason"] == attempts[1]["reason"] != "same thread"
    seen = rig.ledger.seen
    assert [(f.response_id, f.session_id, f.turn_id, f.account) for f in seen] == [
        ("resp_1", "s-1", "turn-1", taker)
    ]
    assert seen[0].tokens == Tokens(1000, 800, 50, 10, 0)


def test_no_secret_and_no_content_is_written(rig: Rig) -> None:
    rig.provider.play(refusal(400, "invalid_prompt", "no"))
    rig.send({"input": "PROMPT-CANARY"}, OPENAI, authorization="Bearer KEY-CANARY")
    rig.provider.play(Stream(spoken("REPLY-CANARY")))
    rig.send({"input": "PROMPT-CANARY"}, OPENAI, authorization="Bearer KEY-CANARY")
    wait_until(lambda: len(rig.rows()) == 2, "both rows")
    written = json.dumps(rig.rows())
    assert "CANARY" not in written
    assert "Bearer" not in written


def test_every_kind_of_end_has_one_row(rig: Rig) -> None:
    rig.send(b"not json")
    rig.send(None)
    rig.provider.play(refusal(404, "nope"))
    rig.send(None)
    rig.proxy.drain()
    rig.send(None)
    wait_until(lambda: len(rig.rows()) == 4, "four rows")
    found = sorted((row["http_status"], row["error_code"]) for row in rig.rows())
    assert found == [
        (200, None),
        (400, "invalid_request_error"),
        (404, "nope"),  # the provider's own code
        (503, "proxy_busy"),
    ]


@pytest.fixture
def writer(config: Config, database: None) -> Iterator[Recorder]:
    found = Recorder(SilentLedger(), Keys())
    found.start()
    yield found
    found.stop()


def record(name: str, **rest: Any) -> Record:
    return Record(id=name, endpoint=OPENAI, started_at=db.now_ms(), **rest)


def rows() -> int:
    return int(db.rows("select count(*) from request_log")[0][0])


def test_what_queued_is_written_together(writer: Recorder) -> None:
    before = db.revisions().get("requests", 0)
    with db.writing():
        for number in range(50):
            writer.put(record(f"r{number}"), wait=0)
        time.sleep(0.05)
    wait_until(lambda: rows() == 50, "all rows")
    assert db.revisions()["requests"] - before <= 3


def test_a_locked_database_holds_nobody(writer: Recorder) -> None:
    with db.writing():
        assert not writer.put(record("late")), "it returns while the database is locked"
    wait_until(lambda: rows() == 1, "the row")


def test_a_full_disk_is_told_and_made_up_for(
    writer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_FIRST_PAUSE", 0.05)
    full = True
    write = writer._write

    def failing(*given: Any, **named: Any) -> None:
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        write(*given, **named)

    monkeypatch.setattr(writer, "_write", failing)
    writer.put(record("a"))
    wait_until(lambda: writer.notices, "the notice")
    assert "disk full" in writer.notices[0]
    full = False
    wait_until(lambda: rows() == 1, "the row")
    assert writer.notices == []


def test_one_bad_row_takes_no_other_with_it(config: Config, database: None) -> None:
    class Picky(SilentLedger):
        def see_requests(self, connection: Any, finished: Any) -> None:
            if any(f.response_id == "bad" for f in finished):
                raise ValueError("a mistake of ours")
            super().see_requests(connection, finished)

    ledger = Picky()
    writer = Recorder(ledger, Keys())
    used = Tokens(1, 0, 1, 0, 0)
    for name in ("good", "bad", "fine"):
        writer.put(record(name, response_id=name, tokens=used), wait=0)
    writer.start()
    writer.stop()
    assert rows() == 3
    assert sorted(f.response_id for f in ledger.seen) == ["fine", "good"]


def test_the_backlog_is_bounded(
    config: Config, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_BACKLOG", 3)
    writer = Recorder(SilentLedger(), Keys())
    for number in range(5):
        writer.put(record(f"r{number}"), wait=0)
    writer.start()
    writer.stop()
    assert rows() == 3


def test_what_cannot_be_stored_waits_for_the_next_start(
    config: Config, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, folder = SilentLedger(), config.data_dir
    failing = Recorder(ledger, Keys(), folder)
    monkeypatch.setattr(failing, "_write", _damaged)
    failing.start()
    used = Tokens(10, 4, 3, 1, 2)
    attempts = [{"account": "a", "status": "success"}]
    failing.put(record("r1", response_id="resp", tokens=used, attempts=attempts), wait=0)
    failing.put(record("r2", model="\ud800", error_message="x" * 900), wait=0)
    wait_until(lambda: failing.notices, "the failure is said")
    failing.stop()
    kept = folder / waiting.NAME
    assert kept.stat().st_mode & 0o777 == 0o600
    with kept.open("ab") as file:
        file.write(b'{"id": 5}\n{"id": "r3", "started_at": "x"}\n[1]\n\xff\n{"id": "r4"')
    again = Recorder(ledger, Keys(), folder)
    again.start()
    again.put(record("r5"), wait=0)
    wait_until(lambda: rows() == 3, "all three are stored")
    wait_until(lambda: not kept.exists(), "nothing waits any more")
    again.stop()
    found = db.rows("select id, model, attempts, input, reasoning from request_log order by id")
    assert found[0] == ("r1", None, orjson.dumps(attempts).decode(), 10, 1)
    assert [one[:2] for one in found[1:]] == [("r2", "?"), ("r5", None)]
    assert [(f.response_id, f.tokens) for f in ledger.seen] == [("resp", used)]


def test_a_start_that_cannot_store_either_keeps_them_waiting(
    config: Config, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("r1", "r2"):
        failing = Recorder(SilentLedger(), Keys(), config.data_dir)
        monkeypatch.setattr(failing, "_write", _damaged)
        failing.start()
        failing.put(record(name), wait=0)
        failing.stop()
    assert [one["id"] for one in waiting.take(config.data_dir)] == ["r1", "r2"]


def _damaged(batch: Any) -> None:
    raise sqlite3.DatabaseError("database disk image is malformed")


def test_text_that_sqlite_refuses_is_mended(writer: Recorder) -> None:
    assert writer.put(record("odd", model="\ud800", client="x" * 10_000), wait=5)
    assert db.rows("select model, length(client) from request_log") == [("?", 500)]


def test_old_rows_go_in_time(rig: Rig) -> None:
    rig.send()
    wait_until(lambda: len(rig.rows()) == 1, "the row")
    rig.proxy.forget_old()
    assert len(rig.rows()) == 1
    with db.writing() as connection:
        connection.execute("update request_log set started_at = started_at - ?", (91 * 86_400_000,))
    settings.change({"requestLogDays": 0})
    rig.proxy.forget_old()
    assert len(rig.rows()) == 1, "0 keeps everything"
    settings.change({"requestLogDays": 90})
    rig.proxy.forget_old()
    assert rig.rows() == []


def test_open_requests_are_shown(rig: Rig) -> None:
    rig.provider.play(Stream(spoken()[:3], end="silent"))
    response = rig.open(BODY)
    response.read1(10)
    (live,) = rig.proxy.live()
    assert live["model"] == "gpt-5.5"
    assert live["accountId"] in rig.accounts.values()
    assert live["firstEventMs"] is not None
    assert rig.proxy.active() == 1
    response.close()
    wait_until(lambda: not rig.proxy.live(), "nothing is open")


def test_a_thread_that_finds_a_title_is_told_apart(rig: Rig) -> None:
    title = json.dumps({"thread_source": "thread_title", "parent_thread_id": "talk-1"})
    rig.send(None, session_id="title-1", x_codex_turn_metadata=title)
    rig.send(None, session_id="talk-1")
    wait_until(lambda: len(rig.ledger.seen) == 2, "both rows")
    kinds = {one.session_id: one.kind for one in rig.ledger.seen}
    assert kinds == {"title-1": "title", "talk-1": None}
    titles = {one.session_id: (one.title, one.parent) for one in rig.ledger.seen}
    assert titles == {"title-1": ("Title for a conversation", "talk-1"), "talk-1": (None, None)}
