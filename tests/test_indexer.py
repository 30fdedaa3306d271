"""The indexer on real files and a real database: growing, moving, breaking, dying."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zstandard

from server.config import Config
from server.ingest import apart, files, reader, scan, workers
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from tests.rig import wait_until
from tests.rollouts import Tree

REAL = sorted((Path(__file__).parent / "data" / "rollouts").glob("*.jsonl"))


@pytest.fixture
def indexer(config: Config, database: None) -> Iterator[Indexer]:
    """An indexer on the test's folders, not started."""
    built = Indexer(config, Ledger())
    yield built
    built.stop()


@pytest.fixture
def tree(config: Config) -> Tree:
    """A small tree in the test's Codex home."""
    return Tree(config.codex_home, seed=5, body=60)


def counted() -> tuple[int, ...]:
    answer = scan.totals()
    tokens = answer["tokens"]
    names = ("input", "cachedInput", "output", "reasoningOutput")
    return (answer["calls"], *(tokens[name] for name in names))


def rolled(heading: str) -> tuple[int, ...]:
    row = db.rows(
        "select total(calls), total(input), total(cached), total(output), total(reasoning) "
        "from daily_usage where heading = ?",
        (heading,),
    )[0]
    return tuple(int(value) for value in row)


def check(tree: Tree) -> None:
    """Calls, file sums and every rollup are the truth."""
    assert counted() == tree.sums
    for heading in ("model", "project", "account"):
        assert rolled(heading) == tree.sums
    rows = db.rows(
        "select count(*), total(input), total(cached), total(output), total(reasoning) from call"
    )[0]
    assert tuple(int(value) for value in rows) == tree.sums


def put(config: Config, source: Path, archived: bool = False) -> Path:
    name = source.name.partition("__")[2]
    folder = "archived_sessions" if archived else "sessions/2026/11/21"
    path = config.codex_home / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
    return path


def test_the_real_files(config: Config, indexer: Indexer) -> None:
    for source in REAL:
        put(config, source)
    indexer.scan()
    assert counted() == (27, 74400, 43600, 3730, 1180)
    assert db.rows("select count(*) from source_file where skipped > 0")[0][0] == 0
    threads = dict(db.rows("select key, thread from session"))
    child = "01a1fbd2-bbac-7003-9405-a6b27616819e"
    assert threads[child] == "01a1fbd2-bb62-7461-a911-b118571ee248"
    windows = db.rows("select distinct window, account, source from snapshot order by 1")
    assert windows == [("primary", "", "log"), ("secondary", "", "log")]


@pytest.mark.parametrize("seed", range(12))
def test_generated_trees_count_exactly(config: Config, indexer: Indexer, seed: int) -> None:
    tree = Tree(config.codex_home, seed, body=40)
    tree.grow(14)
    indexer.scan()
    check(tree)
    indexer.scan()
    check(tree)


def test_a_parent_that_comes_later_sets_its_children_right(
    config: Config, indexer: Indexer, tree: Tree
) -> None:
    parent = tree.legacy()
    path = tree.save(parent)
    aside = path.with_suffix(".later")
    path.rename(aside)
    child = tree.legacy_child()
    tree.save(child)
    indexer.scan()
    aside.rename(path)
    indexer.scan()
    check(tree)
    threads = dict(db.rows("select key, thread from session"))
    assert threads[child.key] == parent.key


def test_a_fork_gives_back_what_its_parent_had_not_written_yet(
    config: Config, indexer: Indexer, tree: Tree
) -> None:
    parent = tree.legacy()
    while len(parent.emitted) < 3:
        tree.turn(parent)
    path = tree.save(parent)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 1])
    child = tree.legacy_child()  # copies its parent's calls with the time of the fork
    tree.save(child)
    indexer.scan()
    assert db.rows("select inherited, guessed from session where key = ?", (child.key,)) == [(0, 0)]
    with path.open("ab") as file:
        file.write(whole[path.stat().st_size :])
    # The rows move in the transaction that stores the parent's: nothing is read anew after it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Indexer, "_again", lambda _: pytest.fail("a file was read anew"))
        indexer.scan()
    check(tree)
    claimed = db.rows("select total(calls) from source_file")[0][0]
    assert claimed == tree.sums[0]


@pytest.mark.parametrize("alone", [False, True], ids=["beside a server", "alone"])
@pytest.mark.parametrize("order", ["parents first", "shuffled"])
@pytest.mark.parametrize("seed", range(901, 905))
def test_files_that_grow_together_count_exactly(
    config: Config, database: None, tmp_path: Path, seed: int, order: str, alone: bool
) -> None:
    tree = Tree(tmp_path / "whole", seed, body=40)
    tree.grow(14)
    chance = random.Random(seed)
    named: dict[str, Path] = {path.name: path for path in tree.paths}
    paths = list(named.values())  # one place a name: no other test of twins is needed here
    if order == "shuffled":
        chance.shuffle(paths)
    indexer = Indexer(config, Ledger(), alone=alone)
    done = dict.fromkeys(paths, 0)
    for last in (False, False, True):
        for path in paths:
            data, begun = path.read_bytes(), done[path]
            done[path] = len(data) if last else chance.randrange(begun, len(data) + 1)
            target = config.codex_home / path.relative_to(tree.home)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab") as file:
                file.write(data[begun : done[path]])
        indexer.scan()
    check(tree)


def test_a_session_is_described_when_its_first_line_arrives_late(
    config: Config, indexer: Indexer, tree: Tree
) -> None:
    parent = tree.legacy()
    tree.save(parent)
    child = tree.legacy_child()
    path = tree.save(child)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])  # a torn first line says nothing yet
    indexer.scan()
    path.write_bytes(whole)
    indexer.scan()
    check(tree)
    found = db.rows("select parent, kind, thread from session where key = ?", (child.key,))
    assert found == [(parent.key, "subagent", parent.key)]


def test_a_file_that_grows_line_by_line(config: Config, indexer: Indexer, tree: Tree) -> None:
    rollout = tree.modern()
    path = tree.save(rollout)
    data = b"".join(rollout.lines)
    path.write_bytes(b"")
    for place in range(0, len(data), 997):
        with path.open("ab") as file:
            file.write(data[place : place + 997])
        indexer.scan()
    for twin in config.codex_home.glob("archived_sessions/*"):
        if twin != path:
            twin.unlink()
    check(tree)


def test_an_archived_file_stays_the_same_source(
    config: Config, indexer: Indexer, tree: Tree
) -> None:
    path = put(config, REAL[0])
    indexer.scan()
    before = db.rows("select id, offset from source_file")
    archive = config.codex_home / "archived_sessions" / path.name
    archive.parent.mkdir()
    path.rename(archive)
    indexer.scan()
    assert db.rows("select id, offset from source_file") == before
    assert db.rows("select archived, missing from source_file") == [(1, 0)]
    assert counted()[0] == 1


def test_a_compressed_file_stays_the_same_source(config: Config, indexer: Indexer) -> None:
    path = put(config, REAL[1])
    indexer.scan()
    before = counted()
    packed = path.with_name(path.name + ".zst")
    packed.write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()
    indexer.scan()
    assert counted() == before
    assert [row[0] for row in db.rows("select path from source_file")] == [str(packed)]


def test_a_compressed_file_is_read(config: Config, indexer: Indexer) -> None:
    path = put(config, REAL[1])
    path.with_name(path.name + ".zst").write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()
    indexer.scan()
    assert counted()[0] == 3


@pytest.mark.parametrize("same_time", [True, False], ids=["times kept", "new times"])
def test_a_rewritten_file_replaces_its_rows(
    config: Config, indexer: Indexer, same_time: bool
) -> None:
    path = put(config, REAL[1])
    indexer.scan()
    said = path.stat()
    other = next(one for one in REAL if one.name.startswith("tools-resume-fork-1"))
    path.with_suffix(".new").write_bytes(other.read_bytes())
    path.with_suffix(".new").replace(path)
    if same_time:
        os.utime(path, ns=(said.st_atime_ns, said.st_mtime_ns))
    indexer.scan()
    assert counted()[0] == 6
    assert rolled("project") == counted()


def test_a_truncated_file_keeps_only_what_it_holds(config: Config, indexer: Indexer) -> None:
    path = put(config, REAL[1])
    indexer.scan()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:14]))
    indexer.scan()
    assert counted()[0] == 1
    assert rolled("model") == counted()


def test_rows_outlive_their_file(config: Config, indexer: Indexer) -> None:
    path = put(config, REAL[1])
    indexer.scan()
    before = counted()
    path.unlink()
    indexer.scan()
    assert counted() == before
    assert db.rows("select missing from source_file") == [(1,)]


def test_what_cannot_be_read_stops_nothing(config: Config, indexer: Indexer) -> None:
    path = put(config, REAL[0])
    sessions = config.codex_home / "sessions"
    (sessions / "loop").symlink_to(sessions)
    if hasattr(os, "mkfifo"):
        os.mkfifo(sessions / "rollout-2026-01-01T00-00-00-pipe.jsonl")
    (sessions / "rollout-2026-01-01T00-00-00-gone.jsonl").symlink_to(sessions / "nowhere")
    (sessions / "rollout-2026-01-01T00-00-00-folder.jsonl").mkdir()
    (sessions / "rollout-2026-01-01T00-00-00-bad.jsonl.zst").write_bytes(b"not zstd at all")
    closed = sessions / "closed"
    closed.mkdir()
    closed.chmod(0)
    try:
        indexer.scan()
        indexer.scan()
    finally:
        closed.chmod(0o700)
    assert counted()[0] == 1
    assert path.exists()


@pytest.mark.parametrize("known_before", [False, True], ids=["at first", "in between"])
def test_a_file_that_cannot_be_read_now_is_read_later(
    config: Config, indexer: Indexer, monkeypatch: pytest.MonkeyPatch, known_before: bool
) -> None:
    path = put(config, REAL[1])
    data = path.read_bytes()
    if known_before:
        path.write_bytes(b"".join(data.splitlines(keepends=True)[:14]))
        indexer.scan()
        path.write_bytes(data)

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(reader, "open_log", refuse)
        indexer.scan()
        indexer.scan()
    assert counted()[0] == int(known_before)
    indexer.scan()
    assert counted()[0] == 3
    assert rolled("model") == counted()


def test_an_endless_line_is_passed_by(config: Config, indexer: Indexer) -> None:
    path = put(config, REAL[0])
    lines = path.read_bytes().splitlines(keepends=True)
    with path.open("wb") as file:
        file.writelines(lines[:-4])
        file.write(b'{"timestamp":"2026-11-21T00:00:00.000Z","x":"')
        for _ in range(20):
            file.write(b"A" * (1 << 20))
        file.write(b'"}\n')
        file.writelines(lines[-4:])
    indexer.scan()
    assert counted()[0] == 1
    assert scan.totals()["skippedLines"] == 1


def test_a_changed_zone_counts_the_days_anew(config: Config, indexer: Indexer, tree: Tree) -> None:
    from server.store import settings

    settings.change({"timeZone": "UTC"})
    tree.grow(6)
    indexer.scan()
    before = db.rows("select day, calls from daily_usage where heading = 'model' order by 1")
    settings.change({"timeZone": "Pacific/Kiritimati"})
    indexer.scan()
    check(tree)
    after = db.rows("select day, calls from daily_usage where heading = 'model' order by 1")
    assert after != before


def test_beside_a_server_another_process_folds(
    config: Config, indexer: Indexer, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("this process folds")

    tree.grow(12)
    monkeypatch.setattr(workers, "WORTH_IT", 1)
    monkeypatch.setattr(workers, "batches", never)
    indexer.scan()
    check(tree)
    tree.grow(4)
    indexer.scan()
    check(tree)


def test_a_torn_line_stops_no_other_process(
    config: Config, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(config, REAL[1])
    lines = path.read_bytes().splitlines(keepends=True)
    torn = b'{"timestamp":"2026-06-01T10:00:02.000Z","type":"event_msg","payload":{"type":"tok\n'
    path.write_bytes(b"".join([*lines[:5], torn, *lines[5:]]))
    monkeypatch.setattr(workers, "WORTH_IT", 1)
    indexer.scan()
    assert counted()[0] == 3
    assert scan.totals()["skippedLines"] == 1


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["/nowhere/at/all"], id="it cannot be started"),
        pytest.param([sys.executable, "-c", ""], id="it ends at once"),
        pytest.param(
            [
                sys.executable,
                "-c",
                "import os, server.ingest.apart as a; w = a.workers.batches; n = [];"
                "a.workers.batches ="
                " lambda *j: n.append(1) or w(*j) if len(n) < 5 else os._exit(1);"
                "a.serve()",
            ],
            id="it dies on its way",
        ),
    ],
)
def test_what_another_process_leaves_is_read_here(
    config: Config,
    indexer: Indexer,
    tree: Tree,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    tree.grow(12)
    monkeypatch.setattr(workers, "WORTH_IT", 1)
    monkeypatch.setattr(apart, "_command", lambda: command)
    indexer.scan()
    check(tree)


def test_a_file_that_was_begun_is_read_on(
    config: Config, indexer: Indexer, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.body = 60_000  # several pieces
    rollout = tree.legacy()
    tree.save(rollout)
    monkeypatch.setattr("server.ingest.indexer._BATCH", 1)
    store = indexer._store

    def once(*values: object) -> None:
        store(*values)  # type: ignore[arg-type]
        indexer._stopping = True

    monkeypatch.setattr(indexer, "_store", once)
    indexer.scan()
    assert 0 < counted()[0] < tree.sums[0]
    Indexer(config, Ledger()).scan()
    check(tree)


def test_titles_follow_codex(config: Config, indexer: Indexer) -> None:
    import sqlite3

    put(config, REAL[0])
    thread = "01a1fbc5-af83-77a1-9bf9-f8b04c619334"

    def title() -> str:
        return str(db.rows("select title from thread where id = ?", (thread,))[0][0])

    indexer.scan()
    assert title().startswith("Hello")
    index = config.codex_home / "session_index.jsonl"
    index.write_text(json.dumps({"id": thread, "thread_name": "From the index"}) + "\n[]\n")
    indexer.scan()
    assert title() == "From the index"
    state = sqlite3.connect(config.codex_home / "state_5.sqlite")
    state.execute("create table threads(id text, title text, name text)")
    state.execute("insert into threads values (?, 'A title', 'A name')", (thread,))
    state.commit()
    indexer.scan()
    assert title() == "A name"
    state.execute("update threads set name = 'Renamed\nby hand'")
    state.commit()
    state.close()
    indexer.scan()
    assert title() == "Renamed by hand"


def test_the_thread_finds_what_is_new(config: Config, indexer: Indexer) -> None:
    indexer.start()
    path = put(config, REAL[1])
    indexer.scan(wait=False)
    limit = time.monotonic() + 30
    while (not db.rows("select 1 from source_file") or counted()[0] < 3) and (
        time.monotonic() < limit
    ):
        time.sleep(0.01)
    assert counted()[0] == 3
    assert indexer.progress() is None or path.exists()


def test_the_thread_follows_what_codex_puts_aside_and_renames(
    config: Config, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.ingest.indexer.SWEEP_SECONDS", 3600)  # polls alone must see it
    path = put(config, REAL[0])
    os.utime(path, (1_700_000_000, 1_700_000_000))  # long untouched
    indexer.start()

    def told(sql: str) -> Any:
        return db.rows(sql)[0][0]

    wait_until(lambda: db.rows("select 1 from source_file") and counted()[0] == 1, "the log")
    archive = config.codex_home / "archived_sessions"
    archive.mkdir()
    path.rename(archive / path.name)
    wait_until(lambda: told("select archived from source_file") == 1, "it is archived")
    (archive / path.name).rename(path)
    wait_until(lambda: told("select archived from source_file") == 0, "it was taken back")
    assert db.rows("select missing from source_file") == [(0,)] and counted()[0] == 1
    line = {"id": "01a1fbc5-af83-77a1-9bf9-f8b04c619334", "thread_name": "Renamed"}
    (config.codex_home / "session_index.jsonl").write_text(json.dumps(line) + "\n")
    wait_until(lambda: told("select title from thread") == "Renamed", "the title")


def _line(kind: str, payload: dict[str, Any]) -> bytes:
    said = {"timestamp": "2026-11-21T10:00:05.000Z", "type": kind, "payload": payload}
    return json.dumps(said).encode() + b"\n"


def _calls(count: int, *, modern: bool) -> bytes:
    """A session of some calls, as Codex wrote it before 0.169 or writes it now."""
    meta = {"id": RENAMED, "cwd": "/p", "cli_version": "0.169.0" if modern else "0.50.0"}
    said = _line("session_meta", meta) + _line("turn_context", {"turn_id": "t", "model": "gpt-5.5"})
    whole = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    whole["reasoning_output_tokens"] = 0
    for number in range(1, count + 1):
        last = {**whole, "input_tokens": 100 * number, "output_tokens": number}
        last["total_tokens"] = 101 * number
        whole = {name: value + last[name] for name, value in whole.items()}
        if modern:
            record = {"thread_id": RENAMED, "turn_id": "t", "response_id": f"resp_{number}"}
            said += _line("token_usage_record", {**record, "usage": last})
        info = {"total_token_usage": whole, "last_token_usage": last}
        said += _line("event_msg", {"type": "token_count", "info": info})
    return said


RENAMED = "01a1fbc5-1111-7000-8000-000000000001"


def _session_log(config: Config, name: str, folder: str = "sessions/2026/11/21") -> Path:
    path = config.codex_home / folder / f"rollout-2026-11-21T{name}-{RENAMED}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


RENAMES = [
    pytest.param([], _calls(2, modern=True), 2, id="renamed, then migrated"),
    pytest.param([_calls(3, modern=False)], _calls(3, modern=True), 3, id="grown in between"),
    pytest.param([], _calls(1, modern=False), 1, id="renamed, then truncated"),
    pytest.param([_calls(3, modern=False)], _calls(3, modern=False), 3, id="only grown"),
]


@pytest.mark.parametrize("folder", ["sessions/2026/11/21", "sessions/2026/11/19"])
@pytest.mark.parametrize(("grown", "last", "calls"), RENAMES)
def test_a_renamed_log_is_rewritten_once(
    config: Config, indexer: Indexer, folder: str, grown: list[bytes], last: bytes, calls: int
) -> None:
    old, new = _session_log(config, "10-00-00"), _session_log(config, "10-00-59", folder)
    old.write_bytes(_calls(2, modern=False))
    indexer.scan()
    number = db.rows("select id from source_file")
    old.rename(new)
    indexer.scan()
    assert counted()[0] == 2
    for text in (*grown, last):
        new.write_bytes(text)
        os.utime(new, ns=(0, time.time_ns() + 5_000_000_000))
        indexer.scan()
    assert counted()[0] == calls == db.rows("select count(*) from call")[0][0]
    assert rolled("model") == counted()
    assert db.rows("select id from source_file") == number
    assert db.rows("select name, path, missing from source_file") == [(new.stem, str(new), 0)]


def test_a_log_renamed_and_rewritten_at_once_is_one(config: Config, indexer: Indexer) -> None:
    old, new = _session_log(config, "10-00-00"), _session_log(config, "10-00-59")
    old.write_bytes(_calls(2, modern=False))
    indexer.scan()
    old.unlink()
    new.write_bytes(_calls(2, modern=True))
    indexer.scan()
    assert counted()[0] == 2 == db.rows("select count(*) from call")[0][0]


def test_the_calls_of_a_copy_that_stays_are_the_copys(config: Config, indexer: Indexer) -> None:
    old, new = _session_log(config, "10-00-00"), _session_log(config, "10-00-59")
    old.write_bytes(_calls(2, modern=False))
    indexer.scan()
    new.write_bytes(old.read_bytes())
    indexer.scan()
    old.unlink()
    indexer.scan()
    assert counted()[0] == 2
    new.write_bytes(_calls(2, modern=True))
    indexer.scan()
    assert counted()[0] == 2 == db.rows("select count(*) from call")[0][0]
    assert rolled("model") == counted()


def test_the_thread_follows_a_renamed_log(
    config: Config, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.ingest.indexer.SWEEP_SECONDS", 3600)  # polls alone must see it
    monkeypatch.setattr("server.ingest.indexer.POLL_SECONDS", 0.05)
    folder = "sessions/" + time.strftime("%Y/%m/%d")
    old, new = _session_log(config, "10-00-00", folder), _session_log(config, "10-00-59", folder)
    old.write_bytes(_calls(2, modern=False))
    indexer.start()
    wait_until(lambda: db.rows("select calls from source_file") == [(2,)], "the log", 30)
    old.rename(new)
    wait_until(lambda: db.rows("select path from source_file") == [(str(new),)], "its name", 30)
    new.write_bytes(_calls(2, modern=True))
    modern = "select count(*) from call where id not like 'log_%'"
    wait_until(lambda: db.rows(modern) == [(2,)], "the new form", 30)
    assert counted()[0] == 2 == db.rows("select count(*) from call")[0][0]


def test_logs_are_looked_at_more_often_while_a_page_is_open(
    indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr("server.ingest.indexer.time", SimpleNamespace(monotonic=lambda: now[0]))
    assert indexer.pause() == 2.0
    indexer.watched()
    assert indexer.pause() == 1.0
    now[0] += 4.9
    assert indexer.pause() == 1.0
    now[0] += 0.2
    assert indexer.pause() == 2.0


CHILD = """
import sys
from pathlib import Path
from server.config import Config
from server.ingest import indexer, scan
indexer._BULK = 40
home, data = map(Path, sys.argv[1:])
print("ready", flush=True)
scan.run(Config(data_dir=data, codex_home=home, claude_home=home / "none"))
"""


def test_killing_a_scan_loses_and_repeats_nothing(config: Config, tree: Tree) -> None:
    tree.grow(60)
    for wait in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(config.codex_home), str(config.data_dir)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.01 + wait * 0.012)  # somewhere in the middle, another place each time
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    answer = scan.run(config)
    assert answer["calls"] == tree.sums[0]
    db.open_databases(config.data_dir)
    try:
        check(tree)
        names = {row[0] for row in db.rows("select name from sqlite_master where type = 'index'")}
        assert {"call_started_at", "call_session_started_at"} <= names
        assert db.rows("pragma integrity_check") == [("ok",)]
    finally:
        db.close_databases()


class TestFinder:
    """What is remembered of folders must never hide a change."""

    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        folder = tmp_path / "codex" / "sessions" / "2026" / "01" / "02"
        folder.mkdir(parents=True)
        for number in range(3):
            (folder / f"rollout-{number}.jsonl").write_text("{}\n")
        self.settle(folder)
        return folder

    def settle(self, folder: Path) -> None:
        """As if nothing had happened in the folder for a minute."""
        past = time.time() - 60
        os.utime(folder, (past, past))

    def found(self, finder: files.Finder, config: Config) -> dict[str, int]:
        return {name: file.size for (_, name), file in finder.find(config).items()}

    def test_an_unchanged_folder_is_not_listed_again(
        self, old: Path, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        finder = files.Finder()
        first = self.found(finder, config)
        real = os.scandir

        def listed(path: str) -> object:
            assert path != str(old)
            return real(path)

        monkeypatch.setattr(os, "scandir", listed)
        assert self.found(finder, config) == first

    def test_every_kind_of_change_is_seen(self, old: Path, config: Config) -> None:
        finder = files.Finder()
        self.found(finder, config)
        (old / "rollout-0.jsonl").write_text("{}\n{}\n")  # the folder does not tell
        self.settle(old)
        assert self.found(finder, config)["rollout-0"] == 6
        (old / "rollout-3.jsonl").write_text("")
        (old / "rollout-1.jsonl").unlink()
        assert sorted(self.found(finder, config)) == ["rollout-0", "rollout-2", "rollout-3"]
        (old / "deeper").mkdir()
        (old / "deeper" / "rollout-4.jsonl").write_text("")
        assert "rollout-4" in self.found(finder, config)

    def test_a_fresh_folder_is_listed_every_time(self, old: Path, config: Config) -> None:
        finder = files.Finder()
        os.utime(old)
        stamp = old.stat().st_mtime_ns
        self.found(finder, config)
        (old / "rollout-3.jsonl").write_text("")
        os.utime(old, ns=(stamp, stamp))  # in the same tick of a coarse clock
        assert "rollout-3" in self.found(finder, config)
