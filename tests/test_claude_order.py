"""Claude's logs, in whatever order and way they are read: the ledger is the same."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from server.config import Config
from server.ingest import claude, codex, crew, scan
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, migrations, settings
from server.usage import roots
from tests.test_exact_sums import A, B, Line, agree, line

ASKED = {
    "calls": "select c.id, s.key, turn_id, model, tier, initiator, c.started_at, c.input, "
    "c.cached, cache_written, cache_written_1h, c.output, cost, credits, price_status, seen, "
    'f.name, duration_ms, c."offset" from call c join session s on s.id = c.session '
    "join source_file f on f.id = c.source",
    "sessions": "select s.key, thread, s.project, cwd, branch, client, client_version, started_at, "
    "ended_at, f.name from session s left join source_file f on f.id = s.source",
    "threads": "select id, project, title, title_source, started_at, last_at from thread",
    "days": "select day, heading, provider, name, calls, input, cached, output, reasoning, cost, "
    "unpriced from daily_usage",
    "files": 'select name, calls, input, cached, output, reasoning, "offset" from source_file',
    "projects": "select key from project",
}
Told = dict[str, list[tuple[Any, ...]]]
Logs = dict[str, list[Line]]  # by what they are called below the projects' folder


def put(config: Config, logs: Logs) -> None:
    for name, lines in logs.items():
        path = config.claude_home / "projects" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        # A line that ends otherwise is for the Python alone to read.
        path.write_bytes(
            b"".join(
                json.dumps({k: v for k, v in one.items() if k != "odd"}).encode()
                + (b"\r\n" if one.get("odd") else b"\n")
                for one in lines
            )
        )


def told(connection: Any) -> Told:
    return {
        name: sorted(map(tuple, connection.execute(query).fetchall()), key=repr)
        for name, query in ASKED.items()
    }


def cold(config: Config) -> Told:
    """What a first scan by the command says."""
    folder = config.data_dir.with_name("cold")
    shutil.rmtree(folder, ignore_errors=True)
    scan.run(replace(config, data_dir=folder))
    with closing(sqlite3.connect(folder / "usage.db")) as connection:
        return {**told(connection), "groups": groups(connection)}


def in_steps(config: Config, steps: Sequence[Logs], name: str) -> Told:
    """What is kept once the logs came one after another."""
    shutil.rmtree(config.claude_home / "projects", ignore_errors=True)
    db.open_databases(config.data_dir.with_name(name), strict=True)
    try:
        migrations.migrate()
        settings.load()
        indexer = Indexer(config, Ledger())
        for step in steps:
            put(config, step)
            indexer.scan()
        agree()
        with db.reading() as connection:
            return told(connection)
    finally:
        db.close_databases()


def ways(
    config: Config,
    logs: Logs,
    compiled_part: Any,
    monkeypatch: pytest.MonkeyPatch,
    orders: Iterable[Any],
) -> dict[str, Told]:
    """What every way of reading the same logs says."""
    put(config, logs)
    found = {}
    for name, module in (("compiled", compiled_part), ("Python", None)):
        monkeypatch.setattr(codex, "usual", module)
        found[name] = cold(config)
    for number, order in enumerate(orders):
        found[" > ".join(order)] = in_steps(
            config, [{name: logs[name]} for name in order], f"steps{number}"
        )
    return found


def equal(found: dict[str, Told]) -> Told:
    first = found["compiled"]
    for way, other in found.items():
        for name in ASKED:
            assert other[name] == first[name], (way, name)
    return first


# ── where a session was at work ───────────────────────────────────────────────────────────

SHOP, WEB, ZETA = "/home/me/shop", "/home/me/shop/web", "/home/me/zeta"
OWN, SUBS = f"-home-me-shop/{A}", f"-home-me-shop/{A}/subagents/agent-"


def at(second: int, cwd: str | None, name: str, **rest: Any) -> Line:
    said = line(A, second, second * 7, f"msg_{name}", cwd=cwd, **rest)
    return {key: value for key, value in said.items() if value is not None}


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        pytest.param({OWN: [at(1, SHOP, "a")], SUBS + "1": [at(5, WEB, "b")] * 9}, SHOP,
                     id="a sub-agent works elsewhere, and its log is longer"),
        pytest.param({OWN: [at(1, SHOP, "a", odd=True)], SUBS + "1": [at(5, WEB, "b")]}, SHOP,
                     id="the own log is not for the compiled part"),
        pytest.param({OWN: [at(1, SHOP, "a")], SUBS + "1": [at(5, WEB, "b", odd=True)]}, SHOP,
                     id="the sub-agent's is not"),
        pytest.param({OWN: [at(1, SHOP, "a", version="2")],
                      SUBS + "1": [at(5, WEB, "b", gitBranch="x", version="1")]}, SHOP,
                     id="what its own log leaves out is not the sub-agent's either"),
        pytest.param({OWN: [at(1, None, "a")], SUBS + "1": [at(5, WEB, "b")]}, WEB,
                     id="the own log tells no folder, so that the thread's is the sub-agent's"),
        pytest.param({SUBS + "2": [at(1, ZETA, "a")], SUBS + "1": [at(5, WEB, "b", odd=True)]}, WEB,
                     id="two sub-agents alone: the first by name"),
        pytest.param({OWN: [at(1, None, "a")], SUBS + "1": [at(5, None, "b")]}, None,
                     id="no log tells one"),
        pytest.param({OWN: [at(1, SHOP, "m")], SUBS + "1": [at(0, WEB, "m", isSidechain=True)],
                      SUBS + "2": [at(3, ZETA, "m"), at(4, ZETA, "n")]}, SHOP,
                     id="all tell of one call"),
    ],
)  # fmt: skip
def test_a_session_was_where_its_own_log_says(
    config: Config,
    compiled_part: Any,
    monkeypatch: pytest.MonkeyPatch,
    logs: Logs,
    expected: str | None,
) -> None:
    found = equal(ways(config, logs, compiled_part, monkeypatch, itertools.permutations(logs)))
    assert [row[:2] for row in found["threads"]] == [(A, expected and roots.key(expected))]
    for key, thread, project, cwd, *_ in found["sessions"]:
        name = OWN if key == A else SUBS + key[-1]
        said = claude.folder_of(name, logs[name][0].get("cwd"))
        assert (thread, project, cwd) == (A, said and roots.key(said), said)


@pytest.mark.parametrize(
    ("names", "first"),
    [
        pytest.param([("p/s", None), ("q/s", "/x")], 1, id="that tells a folder"),
        pytest.param([("q/s", "/x"), ("p/s", "/y")], 1, id="the first by name"),
        pytest.param([("p/s", None), ("q/s", None)], 0, id="none tells one"),
        pytest.param([("-home-me-a/s", "/home/me/b"), ("-home-me-b/s", "/home/me/b")], 1,
                     id="no copy of its project's folder"),
    ],
)  # fmt: skip
def test_the_foremost_log(names: list[tuple[str, str | None]], first: int) -> None:
    assert min(names, key=lambda one: claude.foremost(*one)) == names[first]


# ── whose a call is that several logs tell of ─────────────────────────────────────────────

C = "c" * 8 + "-0000-7000-9000-000000000001"


def say(session: str, second: int, name: str, output: int = 9, **rest: Any) -> Line:
    return line(session, second, output, f"msg_{name}", **rest)


def history(session: str) -> list[Line]:
    return [say(session, 1, "1", 1), say(session, 2, "1", 500), say(session, 3, "2")]


@pytest.mark.parametrize(
    ("logs", "owner"),
    [
        pytest.param({A: history(A), B: [*history(B), say(B, 9, "own")]}, A,
                     id="a resumed session has the whole history and more"),
        pytest.param({B: history(B), A: [*history(A), say(A, 9, "own")]}, B,
                     id="the same, its name is the smaller one"),
        pytest.param({B: history(B), A: [{**one, "odd": n == 1} for n, one in
                      enumerate([*history(A), say(A, 9, "own")])]}, B,
                     id="the copy is not for the compiled part"),
        pytest.param({B: [say(B, 0, "0"), *history(B)], A: [*history(A), say(A, 9, "own")]}, B,
                     id="the copy begins later, as it has no head"),
        pytest.param({C: history(C)[:2], B: [*history(B)[:1], say(B, 9, "own")],
                      A: [say(A, 1, "1", 1, isSidechain=True, requestId="side")]}, C,
                     id="a partial copy and a side copy, of smaller names"),
        pytest.param({A: [*history(A), say(A, 8, "own")], B: [*history(B), say(B, 9, "other")]}, A,
                     id="both went on: nothing tells, but all ways say the same"),
    ],
)  # fmt: skip
def test_a_repeated_call_is_the_originals(
    config: Config, compiled_part: Any, monkeypatch: pytest.MonkeyPatch, logs: Logs, owner: str
) -> None:
    named = {f"-home-me-x/{name}": lines for name, lines in logs.items()}
    found = equal(ways(config, named, compiled_part, monkeypatch, itertools.permutations(named)))
    (call,) = [row for row in found["calls"] if row[0] == "msg_1"]
    assert (call[1], call[11]) == (owner, 500)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([("p/b", 1, True), ("p/a", 2, True)], id="begins earlier"),
        pytest.param([("p/b", 1, False), ("p/a", 1, True)], id="is all in the copy"),
        pytest.param([("p/b", 1, True), ("p/a", 2, False)], id="its tail is copied"),
        pytest.param([("p/b", 9, True), ("p/a/subagents/agent-1", 1, False)], id="its own log"),
        pytest.param([("p/b", 1, True), ("p/a", None, False)], id="tells when it began"),
        pytest.param([("p/a", 1, True), ("p/b", 1, True)], id="the name, at last"),
    ],
)
def test_the_first_told(order: list[tuple[str, int | None, bool]]) -> None:
    assert sorted(order, key=lambda one: claude.first_told(*one)) == order


# ── anything ──────────────────────────────────────────────────────────────────────────────


def copied(chance: random.Random, before: list[Line], key: str) -> list[Line]:
    """A part of another log's history, as a resumed session has it."""
    start = chance.choice([0, 0, chance.randrange(len(before))])
    end = chance.choice([len(before), chance.randrange(start, len(before)) + 1])
    return [{**one, "sessionId": key} for one in before[start:end]]


def said(chance: random.Random, key: str, lines: list[Line], clock: list[int], **rest: Any) -> None:
    """Add an answer, in one to three lines of which each knows more."""
    clock[0] += 1
    name = f"msg_{clock[0]}"
    for part in sorted(chance.sample(range(1, 900), chance.randrange(1, 4))):
        clock[0] += 1
        at = f"2026-06-0{1 + clock[0] // 60 % 9}T10:00:{clock[0] % 60:02d}.000Z"
        made = line(key, clock[0], part, name, timestamp=at, **rest)
        if chance.random() < 0.1:
            made["odd"] = True
        if chance.random() < 0.2:
            made["message"]["usage"]["speed"] = "fast"
        lines.append(made)


def forest(chance: random.Random) -> Logs:
    """Sessions with sub-agents, resumed ones, side copies, folders that change or are not told."""
    logs: Logs = {}
    clock = [0]

    for number in range(5):
        key = f"{chance.getrandbits(32):08x}-0000-7000-9000-{number:012x}"
        path = f"-home-me-shop/{key}"
        lines: list[Line] = []
        if logs and chance.random() < 0.6:
            lines += copied(chance, logs[chance.choice(list(logs))], key)
        for _ in range(chance.randrange(not lines, 4)):
            said(chance, key, lines, clock, cwd=chance.choice([SHOP, SHOP, None]))
        logs[path] = lines
        for agent in range(chance.choice([0, 0, 1, 2])):
            inner: list[Line] = []
            if chance.random() < 0.5:
                aside = {"isSidechain": True, "requestId": f"side{number}{agent}"}
                inner += [{**one, **aside} for one in lines[-2:]]
            cwd = chance.choice([WEB, ZETA, None])
            said(chance, key, inner, clock, cwd=cwd, isSidechain=True)
            logs[f"{path}/subagents/agent-{agent}"] = inner
    return logs


def pieces(logs: Logs, chance: random.Random) -> list[Logs]:
    """How logs may come: one after another, or each in parts."""
    parts: dict[str, list[int]] = {
        name: sorted({chance.randrange(len(lines)) + 1, len(lines)}) for name, lines in logs.items()
    }
    steps = []
    while parts:
        name = chance.choice(list(parts))
        steps.append({name: logs[name][: parts[name].pop(0)]})
        if not parts[name]:
            del parts[name]
    return steps


@pytest.mark.parametrize("seed", range(6))
def test_every_way_of_reading_gives_the_same(
    config: Config, compiled_part: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    logs = forest(chance)
    orders = [chance.sample(list(logs), len(logs)) for _ in range(2)]
    found = ways(config, logs, compiled_part, monkeypatch, orders)
    for number in range(2):
        found[f"pieces {number}"] = in_steps(config, pieces(logs, chance), f"pieces{number}")
    equal(found)


# ── trees of which the crew leaves little to the Python ───────────────────────────────────

# What a copy may change, and what tells it from the original, as ever smaller shares.
_REPEATS: tuple[dict[str, Any], ...] = (
    *({},) * 12, {"grows": 700}, {"grows": -700}, {"isSidechain": True}, {"requestId": None},
    {"requestId": "another"},
)  # fmt: skip


def repeated(chance: random.Random, before: list[Line], key: str) -> list[Line]:
    """A copy of some history, now and then with one line that is not as it was."""
    lines = [json.loads(json.dumps(one)) for one in copied(chance, before, key)]
    changed = dict(chance.choice(_REPEATS))
    answers = [one for one in lines if one["type"] == "assistant"]
    if answers:
        one = chance.choice(answers)
        figures = one["message"]["usage"]
        figures["output_tokens"] = (figures["output_tokens"] + changed.pop("grows", 0)) % 5000
        one.update(changed)
    return [{k: v for k, v in one.items() if v is not None} for one in lines]


def plainly(lines: list[Line], *, fast: bool) -> list[Line]:
    """Lines as the crew takes them, but for fast ones where it may have them."""
    for one in lines:
        one.pop("odd", None)
        if not fast:
            one["message"].get("usage", {}).pop("speed", None)
    return [{k: v for k, v in one.items() if v is not None} for one in lines]


def grove(chance: random.Random) -> Logs:
    """Many resumed sessions: copies of copies, with no head or tail, in other folders, of which
    some have nothing of their own, and the same session in two projects.
    """  # noqa: D205
    logs: Logs = {}
    clock = [0]
    lone = chance.random() < 0.5  # no line that only the Python reads
    for number in range(chance.randrange(3, 12)):
        key = f"{chance.getrandbits(32):08x}-0000-7000-9000-{number:012x}"
        cwd = chance.choice([SHOP, SHOP, WEB, ZETA])
        path = f"{chance.choice([cwd, SHOP]).replace('/', '-')}/{key}"
        lines: list[Line] = []
        for _ in range(chance.choice([0, 0, 1, 1, 1, 2]) if logs else 0):
            lines += repeated(chance, logs[chance.choice(list(filter(claude.is_own, logs)))], key)
        for _ in range(chance.randrange(not lines, 4)):
            named = chance.choice([{}] * 9 + [{"requestId": None}])
            asked = line(key, 0, 0, cwd=cwd, type="user", message={"content": "Mend it"})
            lines += [asked] if chance.random() < 0.3 else []
            asked["timestamp"] = f"2026-06-0{1 + clock[0] // 60 % 9}T10:00:{clock[0] % 60:02d}.000Z"
            said(chance, key, lines, clock, cwd=cwd, **named)
        lines = plainly(lines, fast=not lone and chance.random() < 0.1)
        logs[path] = lines
        if chance.random() < 0.15:
            logs[f"{ZETA.replace('/', '-')}/{key}"] = lines[: chance.randrange(len(lines)) + 1]
        if chance.random() < 0.3:
            aside = {"isSidechain": True}
            inner = [{**one, **aside} for one in lines[-2:]] if chance.random() < 0.3 else []
            said(chance, key, inner, clock, cwd=cwd, isSidechain=True)
            logs[f"{path}/subagents/agent-{number}"] = plainly(inner, fast=False)
    return {name: lines for name, lines in logs.items() if lines}


WHOLLY = {
    **ASKED,
    "projects": "select distinct name from daily_usage where heading = 'project'",
    "calls": ASKED["calls"].replace("seen", 'seen, duration_ms, effort, c."offset"'),
    # How a response of several requests is called may have changed since it was noted.
    "again": "select distinct substr(call || '#', 1, instr(call || '#', '#')) from told_again",
    "alone": "select name, alone from source_file",
}


def groups(connection: Any) -> list[tuple[Any, ...]]:
    """Which logs can be read anew only together, however that was found."""
    found: list[set[str]] = []
    for pair in connection.execute(
        "select one.name, other.name from told_twice t join source_file one on one.id = t.one "
        "join source_file other on other.id = t.other"
    ).fetchall():
        near = [group for group in found if group & set(pair)]
        found = [group for group in found if group not in near]
        found.append(set(pair).union(*near))
    return sorted(tuple(sorted(group)) for group in found)


# 64: which log is alone hung on the last reading; 1007: a response is renamed after others.
@pytest.mark.parametrize("seed", [*range(8), 64, 1007])
def test_repeats_are_settled_as_the_ledger_does(
    config: Config, compiled_part: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for name, query in WHOLLY.items():
        monkeypatch.setitem(ASKED, name, query)
    chance = random.Random(seed)
    logs = grove(chance)
    found = ways(config, logs, compiled_part, monkeypatch, [chance.sample(list(logs), len(logs))])
    assert equal(found)["groups"] == found["Python"]["groups"]


@pytest.mark.parametrize("seed", range(4))
def test_logs_that_were_settled_grow_like_others(
    config: Config, compiled_part: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """A first scan of the beginnings, then the rest: as a first scan of all."""
    for name, query in WHOLLY.items():
        monkeypatch.setitem(ASKED, name, query)
    monkeypatch.setattr(codex, "usual", compiled_part)
    if seed % 2:  # not all at once, as in a very large tree
        monkeypatch.setattr(crew, "_MOST_WAITING", 6)
        monkeypatch.setattr(crew, "_CLAUDE_CHUNK", 3)
    chance = random.Random(f"grows {seed}")
    logs = grove(chance)
    begun = {name: lines[: chance.randrange(len(lines)) + 1] for name, lines in logs.items()}
    put(config, begun)
    scan.run(replace(config, data_dir=config.data_dir.with_name("grown")))
    grown = in_steps(config, [begun, logs], "grown")
    whole = cold(config)
    assert {name: whole[name] for name in ASKED} == grown
