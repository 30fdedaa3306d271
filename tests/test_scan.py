"""`brimline scan` without a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
    assert set(answer) == {"files", "calls", "tokens", "skippedLines", "seconds"}
    assert (answer["calls"], tokens["input"], tokens["output"]) == (
        tree.sums[0], tree.sums[1], tree.sums[3],
    )  # fmt: skip
    assert tokens["total"] == tokens["input"] + tokens["output"]
    assert answer["files"] == len(tree.paths)
    assert seen[-1]["filesDone"] == seen[-1]["filesTotal"] == len(tree.paths)
    assert seen[-1]["bytesDone"] == seen[-1]["bytesTotal"]
    assert {**scan.run(config), "seconds": 0} == {**answer, "seconds": 0}


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
        "workers.WORTH_IT = 1; os.cpu_count = lambda: 3;" + meanwhile + ""
        "a = scan.run(Config(data_dir=Path(sys.argv[2]), codex_home=Path(sys.argv[1]),"
        "claude_home=Path(sys.argv[1]) / 'none'));"
        "print(a['calls'], a['tokens']['input'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(config.codex_home), str(config.data_dir)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.stdout.split() == [str(tree.sums[0]), str(tree.sums[1])]


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
