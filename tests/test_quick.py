"""`brimline scan` by its short way: the same folders and answers as by the long one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import bootstrap
import pytest

from desktop import quick
from server import config as configuration
from server.ingest import codex
from tests.rollouts import Tree

ROOT = Path(__file__).resolve().parent.parent
# What would take longer to load than a day's logs to scan.
SLOW = {"argparse", "dataclasses", "inspect", "logging", "pathlib", "peewee", "platformdirs",
        "tempfile", "typing", "urllib.parse", "desktop.cli", "server.config"}  # fmt: skip

# What the compiled part spares as well.
SLOWER = {"site", "re", "enum", "json", "datetime", "zlib", "stringzilla", "sqlite3", "functools",
          "collections", "contextlib", "threading", "types"}  # fmt: skip


@pytest.mark.parametrize(
    ("skipped", "said"),
    [
        pytest.param(0, [], id="nothing"),
        pytest.param(1, ["1 line could not be read and was left out."], id="one"),
        pytest.param(1234, ["1,234 lines could not be read and were left out."], id="many"),
    ],
)
def test_how_many_lines_were_lost_is_said_in_good_words(skipped: int, said: list[str]) -> None:
    assert quick.lost({"skippedLines": 0, "claude": {"skippedLines": skipped}}) == said


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="nothing is set"),
        pytest.param({"XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}, id="empty means unset"),
        pytest.param({"BRIMLINE_DATA_DIR": "/d", "BRIMLINE_CODEX_HOME": "/c"}, id="our names"),
        pytest.param({"CODEX_HOME": "/c", "CLAUDE_CONFIG_DIR": "/x/projects"}, id="their names"),
        pytest.param({"CODEX_HOME": "/c", "BRIMLINE_CODEX_HOME": "/d"}, id="ours go first"),
    ],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems go the long way")
def test_the_folders_are_those_of_the_configuration(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BRIMLINE_NO_KEYRING")
    env = dict(os.environ)
    known, _ = configuration.load({}, env)
    found = quick.folders(None, env)
    assert found is not None
    for name in ("data_dir", "codex_home", "claude_home"):
        assert str(getattr(found, name)) == str(getattr(known, name)), name
    flagged = quick.folders("/flag", env)
    assert flagged is not None and flagged.data_dir == "/flag"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"BRIMLINE_PORT": "x"}, id="a value to check"),
        pytest.param({"BRIMLINE_ODD": "1"}, id="a name to warn of"),
        pytest.param({"CODEX_USAGE_SESSIONS_ROOT": "/a"}, id="a name with a rule of its own"),
        pytest.param({"AI_USAGE_CODEX_SESSIONS_ROOT": "/a"}, id="and its newer name"),
        pytest.param({"BRIMLINE_DATA_DIR": "~/x"}, id="a home to fill in"),
        pytest.param({"BRIMLINE_DATA_DIR": "x"}, id="a relative folder"),
        pytest.param({"HOME": ""}, id="no home"),
        pytest.param({"XDG_DATA_HOME": "share"}, id="a relative base to warn of"),
        pytest.param({"XDG_CONFIG_HOME": "./etc"}, id="another"),
    ],
)
def test_what_is_not_usual_goes_the_long_way(tmp_path: Path, given: dict[str, str]) -> None:
    assert quick.folders(None, {"HOME": str(tmp_path), **given}) is None


def test_a_configuration_file_goes_the_long_way(tmp_path: Path) -> None:
    (tmp_path / ".config" / "brimline").mkdir(parents=True)
    (tmp_path / ".config" / "brimline" / "config.toml").write_text("")
    assert quick.folders(None, {"HOME": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["scan"], (False, None)),
        (["scan", "--json"], (True, None)),
        (["scan", "--data-dir", "/d", "--json"], (True, "/d")),
        (["scan", "--data-dir"], None),
        (["scan", "--data-dir", "--json"], None),
        (["scan", "--help"], None),
        (["scan", "--jso"], None),
        (["status"], None),
        ([], None),
    ],
)
def test_the_words_that_are_understood(words: list[str], meant: object) -> None:
    assert quick.asked(words) == meant


def test_both_ways_answer_the_same_and_the_short_one_loads_little(tmp_path: Path) -> None:
    tree = Tree(tmp_path / ".codex", seed=4, body=30)
    tree.grow(8)
    env = {"HOME": str(tmp_path), "PATH": ""}
    said: list[dict[str, object]] = []
    for more in ({}, {"BRIMLINE_LOG_LEVEL": "info"}):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "desktop", "scan", "--json"],
            capture_output=True, text=True, check=True, cwd=ROOT,
            env={**env, **more, "BRIMLINE_DATA_DIR": str(tmp_path / f"data-{len(said)}")},
        )  # fmt: skip
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        if sys.platform.startswith("linux"):
            assert bool(loaded & SLOW) is bool(more), loaded & SLOW
        said.append({**json.loads(done.stdout), "seconds": 0})
    assert said[0] == said[1]
    assert said[0]["calls"] == tree.sums[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere pip's command starts")
def test_the_command_starts_without_what_a_scan_does_not_need(tmp_path: Path) -> None:
    tree = Tree(tmp_path / ".codex", seed=4, body=30)
    tree.grow(8)
    packages = sysconfig.get_path("purelib")
    script = tmp_path / "brimline"
    script.write_text(bootstrap.command_text(sys.executable, str(ROOT), packages))
    words = [sys.executable, "-S", "-X", "importtime", str(script)]
    env = {"HOME": str(tmp_path), "PATH": ""}
    for _ in ("first", "nothing new"):
        done = subprocess.run(
            [*words, "scan", "--json"], capture_output=True, text=True, check=True, env=env
        )
        assert json.loads(done.stdout)["calls"] == tree.sums[0]
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert loaded & (SLOW if codex.usual is None else {*SLOW, *SLOWER}) == set()
    # Any other command finds all that `site` would have brought.
    other = subprocess.run([*words, "version"], capture_output=True, text=True, env=env)
    assert (other.returncode, other.stdout[:8]) == (0, "brimline")
    assert "| site" in other.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full, and a shell")
@pytest.mark.parametrize(
    "unbuffered", [pytest.param("", id="buffered"), pytest.param("1", id="unbuffered")]
)
@pytest.mark.parametrize("words", ["scan --json", "scan", "status --json", "accounts", "version"])
@pytest.mark.parametrize(
    ("output", "said"),
    [
        pytest.param(">/dev/full", "No space left on device.\n", id="full"),
        pytest.param(">&-", "it is closed.\n", id="closed"),
        pytest.param("", "", id="the reader has left"),
    ],
)
def test_an_answer_nobody_takes_is_no_traceback(
    tmp_path: Path, words: str, output: str, said: str, unbuffered: str
) -> None:
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": unbuffered}
    # The reader of the pipe has left before anything is written to it.
    read, write = os.pipe()
    os.close(read)
    run = f"{sys.executable} -m desktop {words} {output}"
    done = subprocess.run(
        ["sh", "-c", run], stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env
    )
    os.close(write)
    assert done.returncode == 1
    assert said in done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("brimline: ") for line in lines)
    more = words.startswith("status")  # it may get to say that no server runs
    assert bool(said) <= len(lines) <= bool(said) + more


def test_a_person_gets_a_sentence() -> None:
    tokens = {"total": 3000, "input": 2000, "cachedInput": 1000, "output": 1000}
    totals = {"calls": 1, "files": 2, "tokens": tokens, "skippedLines": 4}
    said = quick.report(totals, 1.0, as_json=False)
    assert "1 calls in 2 files: 3,000 tokens" in said and "4 lines" in said
