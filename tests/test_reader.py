"""What the reader makes of figures and times that cannot be."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest import reader
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.ingest.reader import Batch
from server.store import db
from server.usage.days import chosen
from tests.rollouts import stamp, usage

OWNER = "019a1111-0000-7000-8000-000000000001"
NAME = f"rollout-2026-05-28T20-26-40-{OWNER}.jsonl"
AT = 1_780_000_000_000
WRITTEN = AT + 60_000  # when the file was last written
GOOD = (100, 40, 10, 5)


def line(kind: str, payload: dict[str, Any], at: int | str = AT) -> bytes:
    when = at if isinstance(at, str) else stamp(at)
    text = json.dumps({"timestamp": when, "type": kind, "payload": payload}, separators=(",", ":"))
    return text.encode() + b"\n"


def meta(at: int | str = AT) -> bytes:
    when = at if isinstance(at, str) else stamp(at)
    return line("session_meta", {"id": OWNER, "timestamp": when, "cwd": "/x", "source": "cli"}, at)


def count(total: tuple[int, ...], last: tuple[int, ...], at: int | str = AT) -> bytes:
    info = {
        "total_token_usage": usage(total),  # type: ignore[arg-type]
        "last_token_usage": usage(last),  # type: ignore[arg-type]
        "model_context_window": 1000,
    }
    return line("event_msg", {"type": "token_count", "info": info, "rate_limits": None}, at)


def record(own: tuple[int, ...], at: int | str = AT) -> bytes:
    sums = usage(own, written=True)  # type: ignore[arg-type]
    names = {"thread_id": OWNER, "turn_id": "t", "session_id": OWNER, "root_turn_id": "t"}
    used = {"usage": sums, "turn_token_usage": sums, "thread_token_usage": sums}
    return line("token_usage_record", {**names, "response_id": "resp_1", **used}, at)


def read(path: Path, data: bytes, state: dict[str, Any] | None = None) -> Batch:
    path.write_bytes(data)
    os.utime(path, (WRITTEN / 1000, WRITTEN / 1000))
    (batch,) = reader.read(str(path), 0, state or {"owner": OWNER}, chosen(), None)
    return batch


def told(batch: Batch) -> dict[str, int]:
    return {kind: n for kind, n in batch.warnings.items() if kind != "unusual_shape"}


@pytest.mark.parametrize("kind", [record, lambda own: count(own, own)], ids=["record", "count"])
@pytest.mark.parametrize(
    ("figures", "kept"),
    [
        pytest.param((100, 3700, 10, 5), (100, 100, 10, 5), id="more cached than sent"),
        pytest.param((100, 40, 10, 500), (100, 40, 10, 10), id="more reasoning than output"),
        pytest.param((0, 7, 0, 9), (0, 0, 0, 0), id="parts of nothing"),
    ],
)
def test_a_part_is_never_larger_than_its_whole(
    tmp_path: Path, kind: Any, figures: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    batch = read(tmp_path / NAME, meta() + kind(figures))
    ((first, cached, _, output, reasoning),) = [row[7:12] for row in batch.rows]
    assert (first, cached, output, reasoning) == kept
    assert told(batch) == {"mended_number": 1}
    assert batch.rows[0][15] is None or batch.rows[0][15] >= 0


@pytest.mark.parametrize("kind", [record, lambda own, at: count(own, own, at)])
@pytest.mark.parametrize(
    "at",
    [
        pytest.param("9999-12-31T23:59:59.000Z", id="the last day there is"),
        pytest.param("1970-01-01T00:00:00.000Z", id="a clock that was never set"),
        pytest.param(int(time.time() * 1000) + 2 * 86_400_000, id="the day after tomorrow"),
    ],
)
def test_a_call_at_an_impossible_time_is_dated_by_its_file(
    tmp_path: Path, kind: Any, at: int | str
) -> None:
    batch = read(tmp_path / NAME, meta() + kind(GOOD, at))
    assert [row[5] for row in batch.rows] == [WRITTEN]
    assert told(batch) == {"mended_time": 1}
    assert [day for day, _ in batch.days] == [chosen().of(WRITTEN)]
    assert batch.last == WRITTEN


def test_usual_lines_are_left_alone(tmp_path: Path) -> None:
    soon = int(time.time() * 1000) + 3600_000  # another computer's clock
    batch = read(tmp_path / NAME, meta() + record(GOOD, soon))
    assert [row[5] for row in batch.rows] == [soon]
    assert told(batch) == {}


def test_a_start_in_the_future_is_unknown(tmp_path: Path) -> None:
    batch = read(tmp_path / NAME, meta("9999-12-31T23:59:59.000Z") + record(GOOD))
    assert batch.state["meta"]["started"] is None
    assert batch.state["meta"]["written"] is None


@pytest.mark.parametrize(
    "usage",
    [
        pytest.param({"input_tokens": -7}, id="negative"),
        pytest.param({"input_tokens": True}, id="truth"),
        pytest.param({"output_tokens": "x"}, id="text"),
        pytest.param({"cache_read_input_tokens": 1.5}, id="broken number"),
        pytest.param({"cache_creation": {"ephemeral_1h_input_tokens": -1}}, id="in a part"),
    ],
)
def test_an_impossible_figure_of_claude_counts_as_nothing(
    tmp_path: Path, usage: dict[str, Any]
) -> None:
    good = {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1}
    message = {"id": "msg_1", "model": "claude-opus-4-1", "role": "assistant"}
    text = {"type": "assistant", "timestamp": stamp(AT), "sessionId": "s"}
    data = json.dumps({**text, "message": {**message, "usage": {**good, **usage}}}).encode()
    batch = read(tmp_path / "s.jsonl", data + b"\n", {"claude": True, "owner": "s"})
    expected = {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1} | {
        name: 0 for name in usage if name in good
    }
    ((first, cached, _, output, _),) = [row[7:12] for row in batch.rows]
    assert first == expected["input_tokens"] + expected["cache_read_input_tokens"]
    assert (cached, output) == (expected["cache_read_input_tokens"], expected["output_tokens"])
    assert told(batch) == {"mended_number": 1}


def test_the_ledger_holds_nothing_impossible(config: Config, database: None) -> None:
    path = config.codex_home / "sessions/2026/05/28" / NAME
    path.parent.mkdir(parents=True)
    lines = (count((100, 3700, 10, 5), (100, 3700, 10, 5)), count((300, 3700, 20, 5), GOOD, AT + 9))
    path.write_bytes(meta() + b"".join(lines))
    Indexer(config, Ledger()).scan()
    sums = db.rows("select total(calls), total(input), total(cached) from daily_usage")
    assert tuple(int(value) for value in sums[0]) == (6, 3 * 200, 3 * 140)
    warnings = db.rows("select warnings from source_file")[0][0]
    assert json.loads(warnings)["mended_number"] == 1
