"""Whole logs of Claude read by a crew: the same as the Python reads, or left to it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest import claude, codex, early, reader, scan, workers
from server.ingest.crew import Read, share_out
from server.ingest.files import Job, Source
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, migrations, settings
from server.usage.days import Days
from tests import compiled
from tests.claudetree import ClaudeTree
from tests.rollouts import Tree
from tests.test_crew import by_crew

SESSION = "7c4e0d2a-0000-4000-8000-000000000001"
AT = "2026-06-01T10:00:00.000Z"
WORDS = [
    *compiled.WORDS, b'"user"', b'"assistant"', b'"type":"assistant",', b'"message":{',
    b'"usage":{', b'"cache_creation":null,', b'"input_tokens":4,', b'"id":null,', b'"isMeta":true,',
    b"\\u00e9",
    b"\\ud83d\\ude42", b"\\ud83d", b"\\", b"\x7f", b"[[", b"{}", b"1e5", b"0.5",
]  # fmt: skip


def jobs_of(paths: list[Path]) -> list[Job]:
    found = []
    for number, path in enumerate(paths):
        said = path.stat()
        stamps = said.st_ino, said.st_size, said.st_mtime_ns
        below = "subagents/" if path.parent.name == "subagents" else ""
        name = f"-home-me-shop/{number}/{below}{path.stem}"
        found.append(Job(Source("claude", name, str(path), *stamps, archived=False)))
    return found


def by_python(jobs: list[Job]) -> dict[int, Read]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codex, "usual", None)
        # So that each log is one piece, as the rows of several are merged only when stored.
        patch.setattr(reader, "_PIECE", 16 << 20)
        patch.setattr(reader, "_spare", [])
        return {
            number: workers._Folder(jobs, Days(), fresh=True).read(number)
            for number in range(len(jobs))
        }


def same(jobs: list[Job]) -> int:
    """Compare both ways file by file; returns how many files the crew could read."""
    found = {number: by_crew([job]).get(0) for number, job in enumerate(jobs)}
    plain = by_python(jobs)
    for number, read in list(found.items()):
        if read is None:  # left to the Python
            del found[number]
            continue
        other = plain[number]
        assert vars(read.batch) == vars(other.batch), jobs[number].source.path
        assert read[3:5] == other[3:5]
        assert read.error is None
    return len(found)


def written(folder: Path, parts: list[bytes]) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number:04}.jsonl" for number in range(len(parts))]
    for path, data in zip(paths, parts, strict=True):
        path.write_bytes(data)
    return paths


def line(kind: str = "assistant", **other: Any) -> bytes:
    """One line; of an answer, unless `kind` or `other` say otherwise."""
    usage = {"input_tokens": 1, "cache_read_input_tokens": 20, "output_tokens": 300}
    message = {"id": "m1", "model": "claude-opus-4-6", "usage": usage, "content": "Mend it"}
    told = {
        "type": kind, "sessionId": SESSION, "cwd": "/home/me/shop", "requestId": "r1",
        "timestamp": AT, "message": message, "uuid": "u1",
    }  # fmt: skip
    told = {**told, **other, "message": {**message, **other.get("message", {})}}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def raw(old: bytes, new: bytes, **other: Any) -> bytes:
    """An answer in whose JSON something is put in another's place."""
    made = line(**other)
    assert old in made
    return made.replace(old, new, 1)


@pytest.mark.parametrize("seed", range(6))
def test_whole_logs_are_read_the_same(usual: Any, tmp_path: Path, seed: int) -> None:
    tree = ClaudeTree(tmp_path, seed=seed)
    tree.grow(40)
    jobs = jobs_of(tree.paths)
    assert same(jobs) == len(jobs)


@pytest.mark.parametrize("seed", range(4))
def test_a_log_is_read_the_same_wherever_it_ends(usual: Any, tmp_path: Path, seed: int) -> None:
    chance, tree = random.Random(seed), ClaudeTree(tmp_path, seed=seed)
    tree.grow(12)
    parts = []
    for path in tree.paths:
        whole = path.read_bytes()
        parts += [whole[: chance.randrange(len(whole) + 1)] for _ in range(4)]
    jobs = jobs_of(written(tmp_path / "torn", parts))
    assert same(jobs) == len(jobs)


@pytest.mark.parametrize("seed", range(8))
def test_broken_logs_are_read_the_same_or_left(
    usual: Any, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "WORDS", WORDS)
    chance, tree = random.Random(seed), ClaudeTree(tmp_path, seed=seed, body=40)
    tree.grow(12)
    logs = [path.read_bytes().splitlines(keepends=True) for path in tree.paths]
    parts = [compiled.broken(chance.choice(logs), chance) for _ in range(200)]
    assert same(jobs_of(written(tmp_path / "broken", parts))) > 0


USAGE = b'"input_tokens":1'
HOUR = (
    b'"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":%d},'
    b'"input_tokens":1'
)


@pytest.mark.parametrize(
    ("lines", "usual_ones"),
    [
        pytest.param([line()], 1, id="an answer"),
        pytest.param([b""], 1, id="nothing"),
        pytest.param([line("user")], 1, id="a person alone"),
        pytest.param([line("user", message={"content": [5, {"text": "Hi"}]})], 1, id="a block"),
        pytest.param([line("user", message={"content": ["Hi"]})], 1, id="no block"),
        pytest.param([line("user", message={"content": [[{"text": "Hi"}]]})], 1, id="lists"),
        pytest.param([line("user", isMeta=True), line("user")], 1, id="not a person"),
        pytest.param([line("user", isMeta="no"), line("user")], 0, id="an odd mark"),
        pytest.param([line("user", message={"content": "<a>"})] * 9 + [line("user")], 1, id="late"),
        pytest.param([line("user", message={"content": "<a>"})] * 39 + [line("user")], 0,
                     id="too late for the crew"),
        pytest.param([line("user", message={"content": 5})] * 39 + [line("user")], 1,
                     id="the 40th"),
        pytest.param([line("user", message={"content": 5})] * 40 + [line("user")], 1,
                     id="the 41st"),
        pytest.param([line("user", message={"content": "x" * 90_000})], 1, id="a long title"),
        pytest.param([line("user", message={"content": " " * 90_000 + "x"})], 0, id="spaces"),
        pytest.param([line("user", message={"content": "x\\" * 9000})], 1, id="cut in an escape"),
        pytest.param([line("user", message={"content": "a token=hunter2hunter2hunter2"})], 1,
                     id="a secret"),
        pytest.param([line("user", sessionId=5), line()], 1, id="the session is named later"),
        pytest.param([line("user", sessionId=5), line("user"), line()], 1, id="… than a title"),
        pytest.param([line("user", sessionId=5, message={"content": "3 of"}), line("user"),
                      line()], 1, id="… than a title that is not certain"),
        pytest.param([line("user", timestamp=None)], 1, id="no time"),
        pytest.param([line("user", timestamp="soon")], 0, id="an odd time"),
        pytest.param([line(cwd="", gitBranch="é", version=5)], 1, id="odd facts"),
        pytest.param([line(cwd="C:\\Users\\me")], 1, id="a folder with escapes"),
        pytest.param([line(timestamp="2026-06-01T10:00:00Z")], 0, id="a time without ms"),
        pytest.param([line(timestamp="2026-02-30T10:00:00.000Z")], 0, id="no day"),
        pytest.param([line(timestamp="2019-06-01T10:00:00.000Z")], 0, id="a time that cannot be"),
        pytest.param([line(timestamp="2026-06-01T10:00:60.000Z")], 0, id="a leap second"),
        pytest.param([line(message={"model": "<synthetic>"})], 1, id="a notice"),
        pytest.param([line(message={"model": "<synthetic>"}, timestamp=None)], 1, id="no time's"),
        pytest.param([line(message={"model": None})], 1, id="no model"),
        pytest.param([line(message={"model": ""}), line(message={"id": "m2"})], 1, id="no name"),
        pytest.param([line(message={"model": "x"})], 1, id="a model without a price"),
        pytest.param([line(message={"model": 'a"b'})], 0, id="an odd model"),
        pytest.param([line(message={"model": "é"})], 1, id="a model with an accent"),
        pytest.param([line(message={"model": "x" * 300})], 0, id="a long model"),
        pytest.param([line(message={"id": None})], 1, id="no id"),
        pytest.param([line(message={"id": None}, requestId=None, uuid=None)], 0, id="no name"),
        pytest.param([line(message={"id": None}, uuid=None)] * 2, 1, id="a request's name"),
        pytest.param([line(), line(requestId="r2")], 0, id="two requests of a message"),
        pytest.param([line(), line(requestId=None)], 0, id="a request, and perhaps another"),
        pytest.param([line(), line(isSidechain=True)], 0, id="a message repeated aside"),
        pytest.param([line(message={"id": "log_1"})], 0, id="a name like ours"),
        pytest.param([line(requestId=None), line(requestId="")], 1, id="no request"),
        pytest.param([line(message={"usage": None})], 1, id="no usage"),
        pytest.param([line(message={"usage": []})], 1, id="an odd usage"),
        pytest.param([raw(USAGE, b'"input_tokens":1.0')], 0, id="a figure with a point"),
        pytest.param([raw(USAGE, b'"input_tokens":-1')], 0, id="below nothing"),
        pytest.param([raw(USAGE, b'"input_tokens":null')], 1, id="a figure that is not told"),
        pytest.param([raw(USAGE, b'"input_tokens":"7"')], 0, id="a figure as text"),
        pytest.param([raw(USAGE, b'"input_tokens":99999999999999')], 1, id="too many"),
        pytest.param([raw(USAGE, b'"input_tokens":9999999999999999')], 0, id="no number of ours"),
        pytest.param([raw(USAGE, b'"input_tokens":1,"input_tokens":2')], 0, id="told twice"),
        pytest.param([raw(USAGE, b'"input_toke\\u006es":5,"input_tokens":1')], 0, id="escaped key"),
        pytest.param([raw(USAGE, HOUR % (3, 5))], 1, id="kept for an hour"),
        pytest.param([raw(USAGE, HOUR % (9, 5)), raw(USAGE, HOUR % (0, 8))], 1, id="more of it"),
        pytest.param([raw(USAGE, b'"speed":"standard","input_tokens":1')], 1, id="its usual speed"),
        pytest.param([raw(USAGE, b'"speed":null,"input_tokens":1')], 1, id="no speed"),
        pytest.param([raw(USAGE, b'"speed":"fast","input_tokens":1')], 0, id="a dearer one"),
        pytest.param([raw(USAGE, b'"cache_creation":5,"input_tokens":1')], 0, id="no lifetimes"),
        pytest.param([raw(USAGE, b'"cache_creation":{},"input_tokens":1,'
                          b'"cache_creation_input_tokens":7')], 1, id="lifetimes are not told"),
        pytest.param([raw(USAGE, b'"cache_creation":{"ephemeral_1h_input_tokens":0},'
                          b'"input_tokens":1,"cache_creation_input_tokens":7')], 1, id="told 0"),
        pytest.param([raw(b'"type":"assistant"', b'"type":"assistant","isSidechain":1')], 0,
                     id="aside by a number"),
        pytest.param([raw(b'"type":"assistant"', b'"ty\\u0070e":"assistant"')], 0, id="hidden"),
        pytest.param([raw(b'"type":"assistant"', b'"type":["assistant"]')], 0, id="type of types"),
        pytest.param([raw(b":", b" : "), raw(b",", b" , "), line()], 1, id="spaces between"),
        pytest.param([raw(b",", b"\t,")], 0, id="a tab"),
        pytest.param([raw(b"Mend", b"\\ud83d\\ude42")], 1, id="a surrogate pair"),
        pytest.param([raw(b"Mend", b"\\ud83d")], 0, id="half of one"),
        pytest.param([raw(b"Mend", b"\\udc00\\ud83d")], 0, id="the wrong way round"),
        pytest.param([raw(b"Mend", b"\\x")], 0, id="no escape"),
        pytest.param([raw(b"Mend", b"\xff")], 0, id="no text"),
        pytest.param([raw(b"Mend", b"\0")], 0, id="a NUL"),
        pytest.param([raw(b'"Mend it"', b"[" * 63 + b"]" * 63)], 1, id="deep"),
        pytest.param([raw(b'"Mend it"', b"[" * 90 + b"]" * 90)], 0, id="too deep for the crew"),
        pytest.param([raw(b'"Mend it"', b"[1,]")], 0, id="a comma too many"),
        pytest.param([raw(b'"Mend it"', b"01")], 0, id="no JSON number"),
        pytest.param([raw(b'"Mend it"', b"NaN")], 0, id="a number of Python's"),
        pytest.param([raw(b'"Mend it"', b"[0,-0.1e+5,true,false,null,{},[]]")], 1, id="values"),
        pytest.param([line(), b"\n"], 0, id="an empty line"),
        pytest.param([line(), b"[1]\n"], 0, id="no object"),
        pytest.param([line(), b'{"type":"x"} \n'], 0, id="a space behind"),
        pytest.param([line(), b'{"odd}\n'], 1, id="a broken line that nobody asks for"),
        pytest.param([line(), b'{"odd "user"}\n'], 0, id="a broken one that may be a person's"),
        pytest.param([line("user"), b'{"odd "user"}\n'], 0, id="… behind the title"),
        pytest.param([line(), b'{"odd \\"user\\" \\"assistant\\""}\n'], 1, id="words in a text"),
        pytest.param([raw(b'"type"', b'"a":"\\"assistant\\"","type"')], 1, id="a text before"),
    ],
)  # fmt: skip
def test_what_is_certain_is_read(
    usual: Any, tmp_path: Path, lines: list[bytes], usual_ones: int
) -> None:
    assert same(jobs_of(written(tmp_path / "logs", [b"".join(lines)]))) == usual_ones


def again(output: int, **other: Any) -> bytes:
    return line(**{**other, "message": {"usage": {"input_tokens": 9, "output_tokens": output}}})


@pytest.mark.parametrize("aside", [(False, False), (True, True), (True, False), (False, True)])
@pytest.mark.parametrize("times", [("10", "11"), ("11", "10")])
def test_the_same_response_again(
    usual: Any, tmp_path: Path, aside: tuple[bool, bool], times: tuple[str, str]
) -> None:
    lines = [
        again(5 + number, requestId=f"r{number}" if side else "r", isSidechain=side,
              timestamp=AT.replace("T10", f"T{at}"))
        for number, (side, at) in enumerate(zip(aside, times, strict=True))
    ]  # fmt: skip
    other = line(message={"id": "other"})
    parts = [b"".join(lines), lines[0] + other + lines[1], b"".join([*lines, lines[0]])]
    jobs = jobs_of(written(tmp_path / "logs", parts))
    # A side conversation's request is another; what the session was told as well is for Python.
    alike = aside[0] == aside[1]
    assert same(jobs) == (3 if alike else 0)
    found = [len(read.batch.rows) for read in by_python(jobs).values()]
    assert found == ([1, 2, 1] if alike else [2, 3, 2])  # the ledger tells them together


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        pytest.param({}, {}, [1, 0], id="a copy"),
        pytest.param({"requestId": "x"}, {"isSidechain": True}, [1, 1], id="aside, it is unclear"),
        pytest.param({"isSidechain": True}, {"isSidechain": True}, [1, 0], id="aside twice"),
        pytest.param({"isSidechain": True}, {}, [1, 1], id="only the other aside"),
        pytest.param({"requestId": "x"}, {}, [1, 1], id="two requests"),
        pytest.param({}, {"timestamp": AT.replace("T10", "T11")}, [1, 0], id="later"),
        pytest.param({"timestamp": AT.replace("T10", "T11")}, {}, [0, 1], id="earlier"),
        pytest.param({"output": 1}, {"output": 2}, [1, 0], id="more"),
        pytest.param({"output": 2}, {"output": 1}, [1, 0], id="less"),
    ],
)
def test_what_two_logs_tell_alike_is_the_first_ones(
    usual: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: dict[str, Any],
    then: dict[str, Any],
    expected: list[int],
) -> None:
    """What may be two requests is left to the ledger, which notes whose it is."""
    monkeypatch.setattr(early, "threads", lambda: 0)  # so that they are read in this order
    parts = [again(**{"output": 5, **first}), again(**{"output": 5, **then})]
    jobs = jobs_of(written(tmp_path / "logs", parts))
    (crew,) = share_out(jobs, Days(), fresh=True)
    chunks = list(crew.chunks(workers._Folder(jobs, Days(), fresh=True)))
    found = {read.number: read for chunk in chunks for read in chunk.reads}
    assert [found[n].rows + len(found[n].batch.rows) for n in (0, 1)] == expected
    assert [sum(day[0] for day in found[n].batch.days.values()) for n in (0, 1)] == expected
    days = [day for n in (0, 1) for day in found[n].batch.days.values()]
    if sum(expected) == 1:
        (repeats,) = [chunk.repeats for chunk in chunks if chunk.repeats]
        whose, other = (0, 1) if expected[0] else (1, 0)
        assert repeats == (["m1"], {(whose, other)}, {0: False, 1: False})
        assert [day[3] for day in days] == [max(first.get("output", 5), then.get("output", 5))]
    else:
        assert not any(chunk.repeats for chunk in chunks)


def test_very_many_answers(usual: Any, tmp_path: Path) -> None:
    data = b"".join(line(message={"id": f"m{n * 7919 % 5000}"}) for n in range(6000))
    jobs = jobs_of(written(tmp_path / "logs", [data, line(), data[:-5]]))
    assert same(jobs) == 3
    assert [len(by_crew([job])[0].batch.rows) for job in jobs] == [5000, 1, 5000]


@pytest.mark.parametrize(
    ("size", "usual_ones"),
    [((256 << 10) - 60, 1), (256 << 10, 1), (5 << 20, 1), (9 << 20, 0)],
)
def test_long_lines(usual: Any, tmp_path: Path, size: int, usual_ones: int) -> None:
    data = line() + line("user", message={"content": "é" * (size // 2)}) * 2 + again(900)
    assert same(jobs_of(written(tmp_path / "logs", [data]))) == usual_ones


# ── stored ────────────────────────────────────────────────────────────────────────────────


def stored(config: Config, *, alone: bool) -> dict[str, Any]:
    """What a scan leaves in a new database."""
    db.open_databases(config.data_dir)
    try:
        migrations.migrate()
        settings.load()
        indexer = Indexer(config, Ledger(), alone=alone)
        indexer.scan()
        found = {name: sorted(db.rows(query), key=repr) for name, query in ASKED.items()}
        indexer.scan()
        assert found == {name: sorted(db.rows(query), key=repr) for name, query in ASKED.items()}
        return found
    finally:
        db.close_databases()


# A repeat belongs to the log that was read first, so the logs' own sums may differ.
ASKED = {
    "calls": "select id, provider, turn_id, model, initiator, input, cached, cache_written, "
    "output, cost, credits, price_status from call",
    "model": "select heading, name, sum(calls), sum(input), sum(cached), sum(output), sum(cost) "
    "from daily_usage where heading = 'model' group by heading, name",
    "sessions": "select key, provider, thread, kind, project, cwd, branch, client from session",
    "threads": "select id, provider, title, title_source, project from thread",
    "files": "select provider, name, \"offset\", fingerprint, json_remove(state, '$.owner'), "
    "skipped, warnings from source_file",
    "sums": "select sum(calls), sum(input), sum(cached), sum(output) from source_file",
}
EXACT = {
    "calls": "select call.id, call.provider, session.key, turn_id, model, initiator, "
    "call.started_at, call.input, call.cached, cache_written, call.output, cost, "
    'f.name, call."offset" from call join session on session.id = call.session '
    "join source_file f on f.id = call.source",
    "days": "select * from daily_usage",
    "sums": "select name, calls, input, cached, output from source_file",
    "times": "select key, started_at, ended_at from session where provider = 'claude'",
    "moments": "select id, started_at, last_at from thread",
}

# What does not hang on which of a session's logs was stored first, when one of them is broken.
STEADY = {
    **{name: EXACT[name] for name in ("calls", "sums", "moments", "times")},
    "sessions": "select key, provider, thread, kind from session",
    "threads": "select id, provider, title, title_source from thread",
}


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_both_ways_store_the_same(
    usual: Any,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    copies: bool,
) -> None:
    tree = ClaudeTree(config.claude_home, seed=seed, body=30_000 if seed == 2 else 60)
    if not copies:
        monkeypatch.setattr(tree, "resumed", lambda *_: None)
        for name, query in EXACT.items():
            monkeypatch.setitem(ASKED, name, query)
    tree.grow(50)
    Tree(config.codex_home, seed=seed, body=60).grow(10)
    by_crew_ = stored(config, alone=True)
    monkeypatch.setattr(codex, "usual", None)
    plainly = stored(replace(config, data_dir=tmp_path / "plain"), alone=False)
    assert by_crew_ == plainly
    if copies:
        calls = {r[0]: (r[5], r[6], r[7], r[8]) for r in plainly["calls"] if r[1] == "claude"}
    else:
        calls = {r[0]: r[7:11] for r in plainly["calls"] if r[1] == "claude"}
    assert calls == tree.truth


def test_an_appended_answer_is_counted(usual: Any, config: Config, database: None) -> None:
    path = config.claude_home / "projects" / "-home-me-shop" / f"{SESSION}.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(line("user") + again(5))
    indexer = Indexer(config, Ledger(), alone=True)
    indexer.scan()
    assert db.rows("select id, output from call") == [("m1", 5)]
    with path.open("ab") as file:
        file.write(again(700) + line(message={"id": "m2"}))
    indexer.scan()
    assert sorted(db.rows("select id, output from call")) == [("m1", 700), ("m2", 300)]
    assert scan.totals()["claude"]["calls"] == 2


def test_reading_begins_early(
    usual: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early, "usual", usual)
    claudes, codexs = ClaudeTree(config.claude_home, seed=3), Tree(config.codex_home, seed=3)
    claudes.grow(9)
    codexs.grow(9)
    early.begin(str(tmp_path / "data"), str(config.codex_home), str(config.claude_home))
    paths, _, first = early._begun[-1]
    assert sorted(paths[first:]) == sorted(map(str, claudes.paths))
    assert first == len({path for path in codexs.paths if path.suffix == ".jsonl"})
    taken = early.take()
    assert taken is not None
    assert early.take() is None


def test_a_state_of_an_earlier_version_is_read_on() -> None:
    state = claude.State.load({"claude": True, "owner": SESSION, "meta": None, "title": "x"})
    assert state.asked == 0


@pytest.mark.parametrize("seed", range(3))
def test_broken_logs_are_stored_the_same(
    usual: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Some read by the crew and some by the Python, also of one session."""
    monkeypatch.setattr(compiled, "WORDS", WORDS)
    chance, tree = random.Random(seed), ClaudeTree(config.claude_home, seed=seed, body=60)
    monkeypatch.setattr(tree, "resumed", lambda *_: None)
    tree.grow(40)
    for path in tree.paths:
        if chance.random() < 0.5:
            path.write_bytes(compiled.broken(path.read_bytes().splitlines(keepends=True), chance))
    for name, query in STEADY.items():
        monkeypatch.setitem(ASKED, name, query)
    by_crew_ = stored(config, alone=True)
    monkeypatch.setattr(codex, "usual", None)
    assert by_crew_ == stored(replace(config, data_dir=tmp_path / "plain"), alone=False)
