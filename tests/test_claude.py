"""Claude Code's logs: repeats merged, four kinds of tokens, nothing counted twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest import scan
from server.ingest.claude import State, fold, owner_of
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db

SESSION = "7c4e0d2a-0000-4000-8000-000000000001"


def answer(name: str, output: int, **other: Any) -> bytes:
    usage = {
        "input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000,
        "output_tokens": output, **other.pop("usage", {}),
    }  # fmt: skip
    message = {"id": name, "role": "assistant", "model": "claude-opus-4-6", "usage": usage}
    message |= other.pop("message", {})
    line = {
        "parentUuid": None, "isSidechain": False, "cwd": "/home/dev/shop", "gitBranch": "main",
        "sessionId": SESSION, "version": "2.1.0", "type": "assistant", "uuid": f"u-{name}",
        "requestId": f"req_{name}", "timestamp": "2026-06-01T10:00:00.000Z", "message": message,
    }  # fmt: skip
    return json.dumps({**line, **other}, separators=(",", ":")).encode() + b"\n"


def prompt(text: str) -> bytes:
    line = {
        "type": "user", "sessionId": SESSION, "timestamp": "2026-06-01T09:59:00.000Z",
        "message": {"role": "user", "content": text},
    }  # fmt: skip
    return json.dumps(line).encode() + b"\n"


def read(*lines: bytes) -> tuple[list[tuple[int, ...]], State]:
    records, state = fold(memoryview(b"".join(lines)), 0, State())
    return [(c[7], c[8], c[9], c[10]) for c in records.calls], state


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([answer("m1", 50)], [(3210, 3000, 200, 50)], id="disjoint kinds add up"),
        pytest.param(
            [answer("m1", 1), answer("m1", 8), answer("m1", 50)], [(3210, 3000, 200, 50)],
            id="early lines hold a part of the output",
        ),
        pytest.param(
            [answer("m1", 50), answer("m1", 1)], [(3210, 3000, 200, 50)], id="in any order"
        ),
        pytest.param([answer("m1", 5), answer("m2", 6)], [(3210, 3000, 200, 5),
                     (3210, 3000, 200, 6)], id="two answers"),
        pytest.param(
            [answer("m1", 5, message={"model": "<synthetic>"})], [], id="a local notice"
        ),
        pytest.param([answer("m1", 5, requestId=None)], [(3210, 3000, 200, 5)], id="a gateway"),
        pytest.param(
            [answer("m1", 5, message={"id": None})], [(3210, 3000, 200, 5)], id="no message id"
        ),
        pytest.param(
            [answer("m1", 5, usage={"cache_creation": {"ephemeral_5m_input_tokens": 1,
                                                       "ephemeral_1h_input_tokens": 2}})],
            [(3013, 3000, 3, 5)], id="writes by lifetime",
        ),
        pytest.param(
            [answer("m1", 5, usage={"input_tokens": -4, "cache_read_input_tokens": "x"})],
            [(200, 0, 200, 5)], id="impossible figures count nothing",
        ),
        pytest.param([answer("m1", 5, timestamp="soon")], [], id="no time"),
        pytest.param([b"[1]\n", b"{bad\n", b"\n", answer("m1", 5)], [(3210, 3000, 200, 5)],
                     id="bad lines"),
    ],
)  # fmt: skip
def test_fold(lines: list[bytes], expected: list[tuple[int, ...]]) -> None:
    assert read(*lines)[0] == expected


@pytest.mark.parametrize(
    "figure",
    ["[]", "{}", '""', '"abc"', "-1", "1.5", "5.0", "1e400", "NaN", str(2**63), "true", "false"],
)
def test_a_figure_that_cannot_be_counts_nothing(figure: str) -> None:
    made = answer("m1", 5).replace(b'"output_tokens": 5', b'"output_tokens":' + figure.encode())
    made = made.replace(b'"output_tokens":5', b'"output_tokens":' + figure.encode())
    assert figure.encode() in made
    records, _ = fold(memoryview(made), 0, State())
    assert [call[7:11] for call in records.calls] == [(3210, 3000, 200, 0)]
    assert records.warnings == {"mended_number": 1}
    null = made.replace(b'"output_tokens":' + figure.encode(), b'"output_tokens":null')
    assert fold(memoryview(null), 0, State())[0].warnings == {}


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        pytest.param(b'{"', b'{"\xff": , "', "encoding", id="no JSON"),
        pytest.param(b'"timestamp":', b'"timestamp":"\xff","x":', "bad_time", id="no time"),
    ],
)
def test_a_line_is_mended_or_lost_but_never_both(old: bytes, new: bytes, kind: str) -> None:
    made = answer("m1", 5).replace(old, new, 1)
    assert b"\xff" in made
    records, _ = fold(memoryview(made), 0, State())
    assert (records.calls, records.warnings) == ([], {kind: 1})


def test_a_session_is_described() -> None:
    _, state = read(prompt("Mend the\ncart please"), answer("m1", 5))
    assert state.title == "Mend the cart please"
    assert state.meta is not None
    assert (state.meta["version"], state.meta["client"]) == (None, "claude-code")


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("-home-dev-shop/abc", "abc"),
        ("-home-dev-shop/abc/subagents/agent-1", "abc"),
        ("subagents/abc", "abc"),
    ],
)
def test_owner_of(name: str, owner: str) -> None:
    assert owner_of(name) == owner


def test_copies_in_other_files_count_once(config: Config, database: None) -> None:
    folder = config.claude_home / "projects" / "-home-dev-shop"
    folder.mkdir(parents=True)
    first = folder / f"{SESSION}.jsonl"
    first.write_bytes(prompt("Hello") + answer("m1", 1) + answer("m2", 7))
    (folder / "other.jsonl").write_bytes(answer("m1", 50, sessionId="other") + answer("m3", 3))
    inner = folder / SESSION / "subagents"
    inner.mkdir(parents=True)
    (inner / "agent-1.jsonl").write_bytes(answer("m4", 4, isSidechain=True))
    indexer = Indexer(config, Ledger())
    indexer.scan()
    rows = dict(db.rows("select id, output from call where provider = 'claude'"))
    assert rows == {"m1": 50, "m2": 7, "m3": 3, "m4": 4}
    with first.open("ab") as file:
        file.write(answer("m2", 70))
    indexer.scan()
    assert _sums() == (4, 127)
    assert scan.totals()["calls"] == 0  # Codex's alone
    assert db.rows("select total(calls), total(output) from source_file") == [(4, 127)]
    assert db.rows("select title, project from thread where id = ?", (SESSION,)) == [
        ("Hello", "shop")
    ]


def _sums() -> tuple[int, int]:
    row = db.rows("select total(calls), total(output) from daily_usage where heading = 'model'")[0]
    return int(row[0]), int(row[1])


def test_every_cut_gives_the_same(config: Config, database: None, tmp_path: Path) -> None:
    data = prompt("Hi") + b"".join(answer(f"m{n // 3}", n * 7 % 50) for n in range(30))
    folder = config.claude_home / "projects" / "x"
    folder.mkdir(parents=True)
    path = folder / "s.jsonl"
    path.write_bytes(b"")
    indexer = Indexer(config, Ledger())
    for place in range(0, len(data), 701):
        with path.open("ab") as file:
            file.write(data[place : place + 701])
        indexer.scan()
    wanted: dict[str, int] = {}
    for n in range(30):
        wanted[f"m{n // 3}"] = max(wanted.get(f"m{n // 3}", 0), n * 7 % 50)
    assert dict(db.rows("select id, output from call")) == wanted
    assert _sums() == (10, sum(wanted.values()))
