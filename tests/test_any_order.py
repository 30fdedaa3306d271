"""Whatever happens to logs, and in whatever order: what is kept equals a first scan of them."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest import scan
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, migrations, settings
from server.usage.pricing import Tokens, price
from tests.rollouts import Rollout, Tree, stamp
from tests.test_exact_sums import A, B, agree, line, write

_ROWS = (
    "select c.id, c.provider, s.key, s.thread, s.project, c.model, c.effort, c.tier, c.initiator, "
    "c.started_at, c.input, c.cached, c.cache_written, c.output, c.reasoning, c.cost, f.name "
    "from call c left join session s on s.id = c.session "
    "left join source_file f on f.id = c.source order by c.id"
)
_FILES = (
    "select provider, name, calls, input, cached, output, reasoning from source_file "
    "where calls or input order by 1, 2"
)
START = 1_781_000_000_000


def kept() -> dict[str, Any]:
    """What the ledger holds, by row and by file."""
    return {"rows": db.rows(_ROWS), "files": db.rows(_FILES)}


def cold(config: Config) -> dict[str, Any]:
    """The same of a first scan of what lies there, by `brimline scan`."""
    folder = config.data_dir.with_name("cold")
    shutil.rmtree(folder, ignore_errors=True)
    db.close_databases()
    try:
        scan.run(replace(config, data_dir=folder))
        with closing(sqlite3.connect(folder / "usage.db")) as connection:
            return {
                "rows": connection.execute(_ROWS).fetchall(),
                "files": connection.execute(_FILES).fetchall(),
            }
    finally:
        db.open_databases(config.data_dir, strict=True)
        migrations.migrate()
        settings.load()


def same(config: Config) -> None:
    """What is kept equals a first scan, and so do all sums."""
    indexer = Indexer(config, Ledger())
    indexer.scan()
    calls, output = agree()
    said = scan.totals()
    for provider, told in (("codex", said), ("claude", said["claude"])):
        rows = db.rows(
            "select count(*), total(input), total(output) from call where provider = ?", (provider,)
        )
        tokens = told["tokens"]
        assert (told["calls"], tokens["input"], tokens["output"]) == rows[0], provider
    found, expected = kept(), cold(config)
    assert found["rows"] == expected["rows"]
    assert found["files"] == expected["files"]


def touch(path: Path) -> None:
    """Give a file another time, whatever the disk's clock."""
    said = path.stat()
    os.utime(path, ns=(said.st_atime_ns, said.st_mtime_ns + 1_000_000))


# ── two logs of Claude, told by what is done to them one after another ────────────────────

ORIGINAL = [line(A, 1, 2), line(A, 2, 3), line(A, 3, 6297)]
COPY = [line(B, 1, 2)]
OWN = [line(B, 9, 7, "msg_own")]
Step = dict[str, Any]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([{B: COPY + OWN}, {A: ORIGINAL}], id="the copy is read first"),
        pytest.param([{B: COPY + OWN}, {A: ORIGINAL}, {B: "touch"}], id="the copy is touched"),
        pytest.param([{B: COPY + OWN}, {A: ORIGINAL}, {A: "touch"}], id="the original is touched"),
        pytest.param([{B: COPY + OWN}, {A: ORIGINAL}, {B: COPY}], id="the copy's end is cut"),
        pytest.param([{B: COPY + OWN}, {A: ORIGINAL}, {B: OWN}], id="the copy is replaced"),
        pytest.param([{A: ORIGINAL}, {B: ORIGINAL + OWN}, {A: OWN}], id="the first is replaced"),
        pytest.param([{A: ORIGINAL[:1]}, {B: COPY}, {A: ORIGINAL}], id="the original grows"),
        pytest.param([{B: COPY}, {A: ORIGINAL[:2]}, {B: COPY + OWN}, {A: ORIGINAL}],
                     id="both grow"),
        pytest.param(
            [{B: [line(B, 1, 5, isSidechain=True)]}, {A: [line(A, 4, 5)]}, {B: "touch"}],
            id="a side conversation first",
        ),
        pytest.param([{B: COPY}, {A: ORIGINAL}, {A: None, B: "touch"}, {A: ORIGINAL}],
                     id="the original goes and is back"),
    ],
)  # fmt: skip
def test_two_logs_of_one_call_are_as_in_a_first_scan(
    config: Config, database: None, steps: list[Step]
) -> None:
    kept_aside: dict[str, bytes] = {}
    for step in steps:
        for session, said in step.items():
            path = config.claude_home / "projects" / "-home-me-x" / f"{session}.jsonl"
            if said == "touch":
                touch(path)
            elif said is None:
                kept_aside[session] = path.read_bytes()
                path.unlink()
            else:
                write(config, session, *said)
                os.utime(path, ns=(0, START * 1_000_000 + len(said) * 1000 + path.stat().st_size))
        Indexer(config, Ledger()).scan()
        agree()
    same(config)


def test_what_a_removed_log_told_stays(config: Config, database: None) -> None:
    write(config, B, *COPY, *OWN)
    original = write(config, A, *ORIGINAL)
    indexer = Indexer(config, Ledger())
    indexer.scan()
    before = agree()
    original.unlink()
    indexer.scan()
    touch(config.claude_home / "projects" / "-home-me-x" / f"{B}.jsonl")
    indexer.scan()
    assert agree() == before == (2, 6304)


def _project(path: Path) -> bytes:
    """Where a rollout was at work: it is the same session."""
    found = re.search(rb"project-\d", path.read_bytes())
    assert found
    return found[0]


@pytest.mark.parametrize("modern", [True, False], ids=["modern", "legacy"])
@pytest.mark.parametrize("op", ["touch", "cut", "replace", "cut the copy"])
def test_a_rollout_under_two_names_counts_once_whatever_happens_to_one(
    config: Config, database: None, modern: bool, op: str
) -> None:
    tree = Tree(config.codex_home, seed=5, body=10)
    rollout = tree.modern() if modern else tree.legacy()
    folder = config.codex_home / "sessions" / "2026" / "01" / "01"
    folder.mkdir(parents=True)
    first = folder / f"{rollout.name}.jsonl"
    first.write_bytes(b"".join(rollout.lines))
    Indexer(config, Ledger()).scan()
    copy = folder / f"rollout-2027-01-01T00-00-00-copy-{rollout.key}.jsonl"
    shutil.copy(first, copy)
    Indexer(config, Ledger()).scan()
    other = tree.modern() if modern else tree.legacy()
    other.lines = [re.sub(rb"project-\d", _project(first), one) for one in other.lines]
    if op == "touch":
        touch(first)
    elif op == "cut":
        first.write_bytes(b"".join(rollout.lines[:3]))
    elif op == "replace":
        first.write_bytes(b"".join(other.lines).replace(other.key.encode(), rollout.key.encode()))
    else:
        copy.write_bytes(b"".join(rollout.lines[:3]))
    same(config)


def test_a_fork_is_told_apart_anew_when_its_parent_is_cut(config: Config, database: None) -> None:
    tree = Tree(config.codex_home, seed=8, body=10)
    parent = tree.legacy()
    fork = tree._copy(parent, old=False)
    folder = config.codex_home / "sessions" / "2026" / "01" / "01"
    folder.mkdir(parents=True)
    for one in (parent, fork):
        (folder / f"{one.name}.jsonl").write_bytes(b"".join(one.lines))
    same(config)
    path = folder / f"{parent.name}.jsonl"
    for count in (6, len(parent.lines)):
        path.write_bytes(b"".join(parent.lines[:count]))
        same(config)


# ── forks of calls that all use the same ──────────────────────────────────────────────────

FIGURES = (1200, 800, 60, 20)
FORK_AT = START + 300_000


def alike(session: int, calls: int) -> Rollout:
    """A session of one turn in which every call uses the same, as a scripted provider has it."""
    key = f"0199aaaa-0000-7000-8000-{session:012d}"
    rollout = Rollout(key, False, START, f"rollout-2026-06-09T10-00-00-{key}")
    rollout.add(
        "session_meta", {"id": key, "timestamp": stamp(START), "cwd": "/p", "source": "cli"}
    )
    began(rollout, "turn-of-the-parent", calls)
    return rollout


def began(
    rollout: Rollout, turn: str | None, calls: int, apart: int = 10_000, tier: str | None = None
) -> None:
    """Add a turn of calls."""
    named = {"turn_id": turn} if turn else {}
    named |= {"service_tier": tier} if tier else {}
    rollout.add("turn_context", {**named, "cwd": "/p", "model": "gpt-5.5", "effort": "high"})
    rollout.event("user_message", message=f"do {turn}")
    for _ in range(calls):
        rollout.at += apart
        first, cached, output, reasoning = FIGURES
        rollout.total = tuple(map(sum, zip(rollout.total, FIGURES, strict=True)))  # type: ignore[assignment]
        info = {"total_token_usage": used(rollout.total), "last_token_usage": used(FIGURES)}
        rollout.event("token_count", info={**info, "model_context_window": 258400})


def used(figures: tuple[int, ...]) -> dict[str, int]:
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    parts = dict(zip(names, figures, strict=True))
    return {**parts, "total_tokens": figures[0] + figures[2]}


def copied(parent: Rollout, session: int, cut: int, **head: Any) -> Rollout:
    """A log that begins with its parent's lines up to a call, written in the second of the fork."""
    key = f"0199aaaa-0000-7000-8000-{session:012d}"
    rollout = Rollout(key, False, FORK_AT, f"rollout-2026-06-09T10-05-00-{key}")
    about = {"id": key, "timestamp": stamp(FORK_AT), "cwd": "/p", "source": "cli", **head}
    rollout.add("session_meta", about)
    left = cut
    for raw in parent.lines:
        value = json.loads(raw)
        if not left:
            break
        rollout.add(value["type"], value["payload"])
        left -= value["payload"].get("type") == "token_count"
    rollout.total = tuple(cut * figure for figure in FIGURES)  # type: ignore[assignment]
    return rollout


SPAWNED = {"source": {"subagent": {"thread_spawn": {"parent_thread_id": "PARENT", "depth": 1}}}}
FORKED = {"forked_from_id": "PARENT"}


# Head, own turn and how long an own call takes, of a fork or a sub-agent.
KINDS = (
    (FORKED, "turn-own", 40_000),
    (FORKED, "turn-own", 40),  # answered in the second of the fork
    (FORKED, None, 40_000),  # by a client that names no turns
    (SPAWNED, "turn-own", 40_000),
    (SPAWNED, "turn-own", 40),
)


@pytest.mark.parametrize("order", ["parent first", "forks first", "in pieces", "in small pieces"])
def test_forks_keep_own_calls_that_repeat_their_parents_figures(
    config: Config, database: None, order: str
) -> None:
    parent = alike(1, 4)
    forks: list[Rollout] = []
    copies: dict[str, int] = {}
    for cut in (1, 2, 3, 4):
        for head, turn, apart in KINDS:
            about = json.loads(json.dumps(head).replace("PARENT", parent.key))
            fork = copied(parent, 10 + len(forks), cut, **about)
            copies[fork.key] = len(fork.lines)
            began(fork, turn, 2, apart)
            forks.append(fork)
    whole = {one.key: len(one.lines) for one in (parent, *forks)}
    only = {parent.key: whole[parent.key]}
    steps = {
        "parent first": [only],
        "forks first": [{key: count for key, count in whole.items() if key != parent.key}],
        # The forks are read before their parent's log is whole, and copies before own calls.
        "in pieces": [{**copies, parent.key: 4}, {**whole, parent.key: 4}],
        "in small pieces": [
            {**{key: count + line for key, count in copies.items()}, parent.key: 5}
            for line in range(4)
        ],
    }
    folder = config.codex_home / "sessions" / "2026" / "06" / "09"
    folder.mkdir(parents=True)
    for step in [*steps[order], whole]:
        for one in (parent, *forks):
            if count := step.get(one.key):
                (folder / f"{one.name}.jsonl").write_bytes(b"".join(one.lines[:count]))
        Indexer(config, Ledger()).scan()
    same(config)
    found = db.rows(
        "select s.key, count(*) from call c join session s on s.id = c.session group by 1"
    )
    assert dict(found) == {parent.key: 4, **{fork.key: 2 for fork in forks}}


def test_a_tier_that_a_log_tells_is_kept_and_priced(config: Config, database: None) -> None:
    parent = alike(1, 4)
    began(parent, "turn-fast", 2, tier="priority")
    fork = copied(parent, 2, 5, forked_from_id=parent.key)
    began(fork, "turn-own", 1)
    plain = alike(3, 3)
    folder = config.codex_home / "sessions" / "2026" / "06" / "09"
    folder.mkdir(parents=True)
    for cut in (len(parent.lines) - 1, len(parent.lines)):
        for one, lines in ((parent, parent.lines[:cut]), (fork, fork.lines), (plain, plain.lines)):
            (folder / f"{one.name}.jsonl").write_bytes(b"".join(lines))
        same(config)
    found = db.rows(
        "select s.key, c.tier, c.price_status, c.cost from call c "
        "join session s on s.id = c.session order by s.key, c.started_at"
    )
    first, cached, output, reasoning = FIGURES
    costs = {
        tier: price("gpt-5.5", tier, START, Tokens(first, cached, output, reasoning)).cost
        for tier in (None, "priority")
    }
    assert costs["priority"] == 2.5 * (costs[None] or 0)
    tiers: list[tuple[str, list[str | None]]]
    tiers = [
        (parent.key, [None] * 4 + ["priority"] * 2),
        (fork.key, [None]),
        (plain.key, [None] * 3),
    ]
    assert found == [
        (key, tier, "estimated" if tier else "exact", costs[tier])
        for key, told in tiers
        for tier in told
    ]


# ── random steps ──────────────────────────────────────────────────────────────────────────


class World:
    """Logs of both clients, to which anything may happen."""

    def __init__(self, config: Config, seed: int) -> None:
        self.random = random.Random(seed)
        self.tree = Tree(config.codex_home, seed, body=10, turns=2)
        self.codex = config.codex_home / "sessions" / "2026" / "01" / "01"
        self.archive = config.codex_home / "archived_sessions"
        self.projects = config.claude_home / "projects" / "-home-me-x"
        for folder in (self.codex, self.archive, self.projects):
            folder.mkdir(parents=True)
        self.rollouts: dict[str, Rollout] = {}  # by file name
        self.claude: dict[str, list[dict[str, Any]]] = {}  # by file name
        self.number = 0
        self.clock = START * 1_000_000

    def put(self, path: Path, data: bytes) -> None:
        """Write a file with a time that no other has."""
        path.write_bytes(data)
        self.clock += 1_000_000_000
        os.utime(path, ns=(self.clock, self.clock))

    def path(self, name: str) -> Path:
        """Where a rollout lies now."""
        there = self.archive / name
        return there if there.exists() else self.codex / name

    # ── what may happen ───────────────────────────────────────────────────────────────

    def new_rollout(self) -> None:
        old = [one for one in self.rollouts.values() if not one.modern and one.emitted]
        if old and self.random.random() < 0.4:
            made = self.tree._copy(self.random.choice(old), old=self.random.random() < 0.5)
        else:
            made = self.tree.modern() if self.random.random() < 0.5 else self.tree.legacy()
        name = f"{made.name}.jsonl"
        self.rollouts[name] = made
        self.put(self.codex / name, b"".join(made.lines))

    def grow_rollout(self) -> None:
        name = self._one(self.rollouts)
        self.tree.turn(self.rollouts[name])
        self.put(self.path(name), b"".join(self.rollouts[name].lines))

    def cut_rollout(self) -> None:
        name = self._one(self.rollouts)
        lines = self.rollouts[name].lines
        self.put(self.path(name), b"".join(lines[: self.random.randrange(2, len(lines))]))

    def copy_rollout(self) -> None:
        name = self._one(self.rollouts)
        copy = self.codex / f"rollout-2027-01-01T00-00-{len(self.rollouts):02}-copy-{name[28:]}"
        self.put(copy, self.path(name).read_bytes())

    def archive_rollout(self) -> None:
        name = self._one(self.rollouts)
        path = self.path(name)
        path.replace((self.codex if path.parent == self.archive else self.archive) / name)

    def touch_any(self) -> None:
        path = self.random.choice(sorted((*self.codex.iterdir(), *self.projects.iterdir())))
        self.put(path, path.read_bytes())

    def new_claude(self) -> None:
        self.number += 1
        key = f"{self.random.getrandbits(32):08x}-0000-7000-9000-{self.number:012x}"
        self.claude[f"{key}.jsonl"] = []
        for _ in range(self.random.randrange(1, 4)):
            self._message(f"{key}.jsonl")
        self._save(f"{key}.jsonl")

    def grow_claude(self) -> None:
        name = self._one(self.claude)
        if self.random.random() < 0.5 and self.claude[name]:  # the last message goes on
            again = json.loads(json.dumps(self.claude[name][-1]))
            again["message"]["usage"]["output_tokens"] += 500
            self._add(name, again)
        else:
            self._message(name)
        self._save(name)

    def cut_claude(self) -> None:
        name = self._one(self.claude)
        lines = self.claude[name]
        self.claude[name] = lines[: self.random.randrange(1, len(lines) + 1)]
        self._save(name)

    def replace_claude(self) -> None:
        name = self._one(self.claude)
        self.claude[name] = []
        self._message(name)
        self._save(name)

    def resume_claude(self) -> None:
        """A new session that begins with a part of another's history."""
        before = self._one(self.claude)
        self.new_claude()
        name = list(self.claude)[-1]
        part = self.claude[before][: self.random.randrange(1, len(self.claude[before]) + 1)]
        self.claude[name] = [{**one, "sessionId": name[:36]} for one in part] + self.claude[name]
        self._save(name)

    def aside_claude(self) -> None:
        """A side conversation that repeats what the session was told, under another request."""
        before = self._one(self.claude)
        self.new_claude()
        name = list(self.claude)[-1]
        aside = {"isSidechain": True, "requestId": f"req_{name}"}
        self.claude[name][:0] = [{**one, **aside} for one in self.claude[before][-2:]]
        self._save(name)

    def twin_claude(self) -> None:
        """A message that was answered again, under another request; here or in a resumed log."""
        before = self._one(self.claude)
        if self.random.random() < 0.5:
            self.new_claude()
        name = self.random.choice([before, list(self.claude)[-1]])
        again = json.loads(json.dumps(self.claude[before][-1]))
        again["message"]["usage"]["output_tokens"] += 70
        request = f"{self.random.choice('abz')}_{self.number}"
        self._add(name, again | {"sessionId": name[:36], "requestId": request})
        self._save(name)

    def _one(self, among: dict[str, Any]) -> str:
        return self.random.choice(list(among))

    def _message(self, name: str) -> None:
        self.number += 1
        for output in (1, 8, self.random.randrange(9, 900))[: self.random.randrange(1, 4)]:
            self._add(name, line(name[:36], 0, output, f"msg_{self.number}"))

    def _add(self, name: str, said: dict[str, Any]) -> None:
        self.number += 1
        said |= {"uuid": f"u{self.number}", "timestamp": stamp(START + self.number * 1000)}
        self.claude[name].append(said)

    def _save(self, name: str) -> None:
        text = "".join(json.dumps(one) + "\n" for one in self.claude[name])
        self.put(self.projects / name, text.encode())


STEPS = [name for name in vars(World) if name.split("_")[0] in {
    "new", "grow", "cut", "copy", "archive", "touch", "replace", "resume", "aside",
    "twin"}]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_after_any_step_the_ledger_is_that_of_a_first_scan(
    config: Config, database: None, seed: int
) -> None:
    world = World(config, seed)
    for begin in ("new_rollout", "new_rollout", "new_claude", "resume_claude"):
        getattr(world, begin)()
    done = []
    for _ in range(12):
        done.append(world.random.choice(STEPS))
        getattr(world, done[-1])()
        try:
            same(config)
        except AssertionError as error:
            raise AssertionError(f"after {done}: {error}") from error
