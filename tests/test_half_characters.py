"""Logs that hold what nobody expects: half characters, and what raises where nothing should."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from desktop import logs
from server.config import Config
from server.ingest import codex, logfile, reader, scan
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger

HALF = "x\ud800y"  # legal JSON, but half a character
AT = "2026-11-20T10:00:00.000Z"


def session(number: int, **odd: Any) -> list[dict[str, Any]]:
    """One session of one call; `odd` are fields of its lines, named `line.field`."""
    thread = f"0199a213-81c0-7800-8aa1-bbab2a03500{number}"
    lines = {
        "session_meta": {"id": thread, "timestamp": AT, "cwd": "/w", "originator": "codex_cli_rs"},
        "turn_context": {"turn_id": "t1", "model": "gpt-5.5", "cwd": "/w"},
        "token_usage_record": {
            "thread_id": thread, "turn_id": "t1", "response_id": f"resp_{number}",
            "usage": {
                "input_tokens": 9, "cached_input_tokens": 0, "output_tokens": 3,
                "reasoning_output_tokens": 0, "total_tokens": 12,
            },
        },
        "event_msg": {
            "type": "token_count", "info": None,
            "rate_limits": {"limit_id": "codex", "plan_type": "pro", "primary": {
                "used_percent": 5, "window_minutes": 300, "resets_at": 1795274084,
            }},
        },
    }  # fmt: skip
    for name, value in odd.items():
        line, _, key = name.partition(".")
        place: Any = lines[line]
        place = place["rate_limits"] if line == "event_msg" else place
        place[key] = value
    return [{"timestamp": AT, "type": kind, "payload": said} for kind, said in lines.items()]


def write(config: Config, number: int, lines: list[dict[str, Any]]) -> None:
    folder = config.codex_home / "sessions" / "2026" / "11" / "20"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"rollout-2026-11-20T10-00-0{number}-0199a213-81c0-7800-8aa1-bbab2a03500{number}.jsonl"
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


SPAWNED = {"subagent": {"thread_spawn": {"parent_thread_id": HALF, "agent_role": HALF}}}
HALVES = {
    **{
        f"session_meta.{name}": HALF
        for name in (
            "cwd", "originator", "cli_version", "source", "id", "parent_thread_id",
            "forked_from_id", "agent_nickname", "agent_role",
        )
    },
    "session_meta.git": {"branch": HALF},
    "session_meta.source of an agent": SPAWNED,
    "turn_context.model": HALF,
    "turn_context.effort": HALF,
    "token_usage_record.turn_id": HALF,
    "token_usage_record.response_id": HALF,
    "event_msg.plan_type": HALF,
    "event_msg.limit_id": HALF,
    "event_msg.limit_name": HALF,
}  # fmt: skip


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize("alone", [True, False], ids=["a load", "beside a server"])
@pytest.mark.parametrize("name", HALVES)
def test_half_a_character_stops_no_log(  # noqa: PLR0913 - each of them matters
    config: Config,
    database: None,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    alone: bool,
    compiled: bool,
) -> None:
    if not compiled:
        monkeypatch.setattr(codex, "usual", None)
    odd = {name.removesuffix(" of an agent"): HALVES[name]}
    if name == "session_meta.id":  # otherwise it would be a call of another session
        odd["token_usage_record.thread_id"] = HALF
    write(config, 1, session(1, **odd))
    write(config, 2, session(2))
    Indexer(config, Ledger(), alone=alone).scan()
    assert scan.totals()["calls"] == 2
    found = scan.quality()
    assert (found["mendedLines"], found["leftOut"], found["skippedLines"]) == (len(odd), [], 0)


@pytest.mark.parametrize("alone", [True, False], ids=["a load", "beside a server"])
def test_half_a_character_stops_no_log_of_claude(
    config: Config, database: None, alone: bool
) -> None:
    folder = config.claude_home / "projects" / "p"
    folder.mkdir(parents=True)
    for number, name in enumerate(("cwd", "gitBranch", "requestId", "version", "model", "id")):
        message = {"id": f"m{number}", "model": "claude-x", "usage": {"output_tokens": 6}}
        line = {"type": "assistant", "sessionId": "s", "timestamp": AT, "message": message}
        (message if name in message else line)[name] = HALF
        (folder / f"{number}.jsonl").write_text(json.dumps(line) + "\n")
    Indexer(config, Ledger(), alone=alone).scan()
    assert scan.totals()["claude"]["calls"] == 6
    assert scan.quality()["mendedLines"] == 6


@pytest.mark.parametrize("alone", [True, False], ids=["a load", "beside a server"])
@pytest.mark.parametrize("where", ["read", "store"])
def test_a_mistake_with_one_file_stops_no_other(
    config: Config, database: None, monkeypatch: pytest.MonkeyPatch, alone: bool, where: str
) -> None:
    for number in (1, 2, 3):
        write(config, number, session(number))
    build, price = codex.State.dump, reader.add_up

    def fail_to_read(batch: Any, records: Any, days: Any, path: str) -> None:
        if path.endswith("5002.jsonl"):
            raise KeyError("what nobody thought of")
        price(batch, records, days, path)

    def spoil(state: codex.State) -> dict[str, Any]:
        said = build(state)
        if str(state.owner).endswith("5002"):
            said["meta"]["branch"] = HALF
        return said

    with monkeypatch.context() as patch:
        if where == "read":
            patch.setattr(reader, "add_up", fail_to_read)
        else:
            patch.setattr(codex.State, "dump", spoil)
        indexer = Indexer(config, Ledger(), alone=alone)
        indexer.scan()
        indexer.scan()
        assert scan.totals()["calls"] == 2
        assert [one["kind"] for one in scan.quality()["leftOut"]] == ["unreadable"]
    indexer.scan()
    assert scan.totals()["calls"] == 3
    assert scan.quality()["leftOut"] == []


def test_a_home_that_cannot_be_opened_is_said(
    config: Config, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, inside = os.stat, str(config.codex_home) + os.sep

    def refuse(path: Any, **how: Any) -> os.stat_result:
        if str(path).startswith(inside):  # root, who may run these tests, may open everything
            raise PermissionError(13, "Permission denied")
        return usual(path, **how)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        patch.setattr(os, "lstat", refuse)
        Indexer(config, Ledger()).scan()
    expected = [{"path": str(config.codex_home), "kind": "closed_folder"}]
    assert scan.quality()["leftOut"] == expected


def packed(config: Config) -> tuple[Path, bytes]:
    """Where a packed log of three sessions' lines belongs, and its bytes, in two frames."""
    write(config, 1, session(1))
    path = next((config.codex_home / "sessions").rglob("*.jsonl"))
    plain = path.read_bytes()
    path.unlink()
    pack = zstandard.ZstdCompressor(write_checksum=True).compress
    empty = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"  # a frame that is to be skipped
    more = os.urandom(300_000).hex().encode() + b"\n"  # several blocks, and no JSON
    return path.with_name(path.name + ".zst"), pack(plain) + empty + pack(more)


@pytest.mark.parametrize("alone", [True, False], ids=["a load", "beside a server"])
@pytest.mark.parametrize(
    ("left", "cut"),
    [
        pytest.param(1.0, False, id="whole"),
        pytest.param(0.9999, True, id="without its last bytes"),
        pytest.param(0.5, True, id="half of it"),
        pytest.param(0.00002, True, id="less than its first head"),
    ],
)
def test_a_packed_log_that_is_cut_off_is_said(
    config: Config, database: None, alone: bool, left: float, cut: bool
) -> None:
    path, whole = packed(config)
    path.write_bytes(whole[: int(len(whole) * left)])
    indexer = Indexer(config, Ledger(), alone=alone)
    indexer.scan()
    indexer.scan()
    expected = [{"path": str(path), "kind": "cut_off"}] if cut else []
    assert scan.quality()["leftOut"] == expected
    notes = " ".join(logs.inspect(path)["notes"])
    assert ("The compressed log ends before its end" in notes) == cut
    assert "is empty" not in notes
    assert "line is finished" not in notes
    path.write_bytes(whole)
    indexer.scan()
    assert scan.quality()["leftOut"] == []
    assert scan.totals()["calls"] == 1


@pytest.mark.parametrize("alone", [True, False], ids=["a load", "beside a server"])
def test_logs_in_a_folder_of_any_name(
    config: Config, database: None, tmp_path: Path, alone: bool
) -> None:
    write(config, 1, session(1))
    (config.codex_home / "sessions").rename(tmp_path / "logs")
    project = tmp_path / "others" / "p"
    project.mkdir(parents=True)
    message = {"id": "m", "model": "claude-x", "usage": {"output_tokens": 6}}
    line = {"type": "assistant", "sessionId": "s", "timestamp": AT, "message": message}
    (project / "s.jsonl").write_text(json.dumps(line) + "\n")
    there = replace(config, sessions_root=tmp_path / "logs", projects_root=tmp_path / "others")
    Indexer(there, Ledger(), alone=alone).scan()
    found = scan.totals()
    assert (found["calls"], found["claude"]["calls"]) == (1, 1)
    assert scan.quality()["leftOut"] == []
    assert logfile.roots_of(there, "claude") == [tmp_path / "others"]
