"""`brimline scan` without a server."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from desktop import quick
from server.config import Config
from server.errors import AppError
from server.ingest import scan
from server.store.lock import Lock
from tests.rollouts import Tree


def test_it_counts_everything_and_says_how_far_it_is(config: Config) -> None:
    tree = Tree(config.codex_home, seed=2, body=30)
    tree.grow(10)
    seen: list[dict[str, int]] = []
    answer = scan.run(config, lambda now: seen.append(dict(now)))
    tokens = answer["tokens"]
    assert set(answer) == {
        "files", "calls", "tokens", "skippedLines", "claude", "seconds", "quality",
    }  # fmt: skip
    assert (answer["calls"], tokens["input"], tokens["output"]) == (
        tree.sums[0], tree.sums[1], tree.sums[3],
    )  # fmt: skip
    assert tokens["total"] == tokens["input"] + tokens["output"]
    assert answer["files"] == len(tree.paths)
    assert seen[-1]["filesDone"] == seen[-1]["filesTotal"] == len(tree.paths)
    assert seen[-1]["bytesDone"] == seen[-1]["bytesTotal"]
    assert {**scan.run(config), "seconds": 0} == {**answer, "seconds": 0}


def test_claude_is_said_beside_codex(config: Config) -> None:
    tree = Tree(config.codex_home, seed=2, body=30)
    tree.grow(2)
    project = config.claude_home / "projects" / "p"
    project.mkdir(parents=True)
    usage = {"input_tokens": 5, "cache_read_input_tokens": 10, "output_tokens": 7}
    message = {"id": "msg_1", "model": "claude-x", "usage": usage}
    line = {"type": "assistant", "sessionId": "s", "timestamp": "2026-11-20T10:00:00Z"}
    (project / "s.jsonl").write_text(json.dumps({**line, "message": message}) + "\n")
    answer = scan.run(config)
    assert answer["calls"] == tree.sums[0]
    assert answer["claude"] == {
        "files": 1,
        "calls": 1,
        "tokens": {
            "input": 15, "cachedInput": 10, "output": 7, "reasoningOutput": 0, "total": 22,
        },
        "skippedLines": 0,
    }  # fmt: skip
    said = quick.report(answer, 1.0, as_json=False)
    assert "Claude Code: 1 calls in 1 files: 22 tokens (15 input, 10 of it" in said
    told = json.loads(quick.report(answer, 1.0, as_json=True))
    assert (told["claude"], told["quality"]) == (answer["claude"], answer["quality"])


def test_no_logs_is_no_error(config: Config) -> None:
    answer = scan.run(config)
    assert (answer["files"], answer["calls"]) == (0, 0)


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param("", id="helped"),
        pytest.param("workers.Team._help = lambda team, _: team._next();", id="a helper is killed"),
    ],
)
def test_helping_processes_find_the_same(config: Config, meanwhile: str) -> None:
    # A child of its own: forking is only safe in a process with one thread.
    tree = Tree(config.codex_home, seed=3, body=30)
    tree.grow(30)
    script = (
        "import sys; from pathlib import Path; from server.config import Config;"
        "from server.ingest import scan, workers; import os;"
        "workers.WORTH_IT = 1; os.cpu_count = lambda: 3; workers.share_out = lambda *_: [];"
        f"{meanwhile}"
        "a = scan.run(Config(data_dir=Path(sys.argv[2]), codex_home=Path(sys.argv[1]),"
        "claude_home=Path(sys.argv[1]) / 'none'));"
        "print(a['calls'], a['tokens']['input'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(config.codex_home), str(config.data_dir)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.stdout.split() == [str(tree.sums[0]), str(tree.sums[1])]


TABLES = {
    "call": "id, turn_id, model, effort, initiator, started_at, duration_ms, input, cached, "
    'output, reasoning, running, cost, price_status, "offset", seen',
    "session": "key, thread, parent, forked, inherited, guessed, kind, project, ended_at",
    "thread": "id, title, title_source, project, started_at, last_at",
    "daily_usage": "*",
    "source_file": 'name, size, "offset", fingerprint, state, calls, input, skipped, warnings',
    "snapshot": "window, used_percent, resets_at, observed_at",
}
ALONE = """
import os, sys
from pathlib import Path
from server.config import Config
from server.ingest import indexer, scan, workers
home, data, helpers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
os.cpu_count = lambda: 1 + helpers
if helpers:
    workers.share_out = lambda *_: []  # processes read what a crew would
workers.WORTH_IT, workers._CHUNK, indexer._BULK = 1, 30, 60
scan.run(Config(data_dir=data, codex_home=home, claude_home=home / "none"))
"""


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_reading_changes_nothing(tmp_path: Path, seed: int) -> None:
    home = tmp_path / "home"
    tree = Tree(home, seed, body=40)
    tree.grow(30)
    found = []
    for helpers in (0, 2):
        data = tmp_path / f"data-{helpers}"
        subprocess.run(
            [sys.executable, "-c", ALONE, str(home), str(data), str(helpers)],
            check=True, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        with closing(sqlite3.connect(data / "usage.db")) as connection:
            found.append(
                {
                    table: sorted(map(repr, connection.execute(f"select {columns} from {table}")))
                    for table, columns in TABLES.items()
                }
            )
            assert connection.execute(
                "select count(*) from call c join session s on s.id = c.session "
                "join source_file f on f.id = s.source and f.id = c.source"
            ).fetchone() == (tree.sums[0],)
    for table in TABLES:
        assert found[0][table] == found[1][table], table


@pytest.mark.parametrize("seed", range(3))
def test_without_the_compiled_part_the_same_is_stored(tmp_path: Path, seed: int) -> None:
    home = tmp_path / "home"
    Tree(home, seed, body=40).grow(30)
    found: list[dict[str, list[str]]] = []
    for way in ("", "import sys; sys.modules['server.ingest.usual'] = None;"):
        data = tmp_path / f"data-{len(found)}"
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "BRIMLINE_CODEX_HOME": str(home),
        }  # fmt: skip
        script = f"{way}from desktop import quick; print(quick.scan(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", f"import sys;{script}", "scan", "--data-dir", str(data)],
            check=True, cwd=Path(__file__).parent.parent, env=environment, capture_output=True,
        )  # fmt: skip
        assert done.stdout.startswith(b"Codex: "), done.stderr
        with closing(sqlite3.connect(data / "usage.db")) as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
            found.append(
                {
                    table: sorted(map(repr, connection.execute(f"select {columns} from {table}")))
                    for table, columns in TABLES.items()
                }
            )
    for table in TABLES:
        assert found[0][table] == found[1][table], table


@pytest.mark.parametrize("helpers", [0, 2])
def test_calls_that_two_logs_tell_of_count_once(tmp_path: Path, helpers: int) -> None:
    """However many read, and though the index by id is made after them."""
    home, data = tmp_path / "home", tmp_path / "data"
    tree = Tree(home, seed=5, body=40)
    for _ in range(12):
        rollout = tree.modern()
        path = tree.save(rollout)
        while "archived_sessions" in path.parts:
            rollout = tree.modern()
            path = tree.save(rollout)
        # The same responses in the log of another thread.
        other = f"{rollout.key[:-4]}{'fade' if rollout.key[-4:] != 'fade' else 'dead'}"
        twin = path.with_name(path.name.replace(rollout.key, other))
        twin.write_bytes(path.read_bytes().replace(rollout.key.encode(), other.encode()))
    subprocess.run(
        [sys.executable, "-c", ALONE, str(home), str(data), str(helpers)],
        check=True, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    figures = "count(*), sum(input), sum(cached), sum(output), sum(reasoning)"
    summed = "sum(calls), sum(input), sum(cached), sum(output), sum(reasoning)"
    with closing(sqlite3.connect(data / "usage.db")) as connection:
        for sql in (
            f"select {figures} from call",
            f"select {summed} from source_file",
            f"select {summed} from daily_usage where heading = 'project'",
        ):
            assert connection.execute(sql).fetchone() == tree.sums, sql
        names = {name for (name,) in connection.execute("select name from sqlite_master")}
        assert {"call_id", "call_started_at", "call_session_started_at"} <= names


FULL = """
import resource, sys
from desktop.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.argv = ["brimline", "scan", "--json"]
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    Tree(tmp_path / ".codex", seed=3, body=30).grow(40)
    env = {"HOME": str(tmp_path), "PATH": "", "BRIMLINE_DATA_DIR": str(tmp_path / "data")}
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, text=True, env=env, cwd=root
    )
    assert done.returncode == 1
    assert done.stderr.startswith("brimline: ") and "--data-dir" in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    assert not list((tmp_path / "data").glob("usage.db*"))


def test_the_log_of_a_removed_database_is_not_taken_for_the_new_one(config: Config) -> None:
    tree = Tree(config.codex_home, seed=2, body=30)
    tree.grow(3)
    config.data_dir.mkdir()
    old = sqlite3.connect(config.data_dir / "usage.db", isolation_level=None)
    old.execute("pragma journal_mode = wal")
    old.execute("create table call(id)")
    wal = (config.data_dir / "usage.db-wal").read_bytes()
    old.close()
    (config.data_dir / "usage.db").unlink()
    (config.data_dir / "usage.db-wal").write_bytes(wal)
    assert scan.run(config)["calls"] == scan.run(config)["calls"] == tree.sums[0]


def test_a_running_server_is_told_apart(config: Config) -> None:
    config.data_dir.mkdir(parents=True)
    holder = Lock(config.data_dir / "serve.lock")
    assert holder.acquire()
    try:
        with pytest.raises(AppError) as caught:
            scan.run(config)
    finally:
        holder.release()
    assert caught.value.code == "server_running"


def test_the_command_starts_without_the_web() -> None:
    script = (
        "import sys, server.ingest.scan;"
        "print([m for m in ('flask', 'requests', 'urllib3', 'waitress') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
