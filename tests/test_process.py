"""What the system tells of another process: who has a lock open, and whether it works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from desktop import process
from server.store.lock import Lock, signed

HOLDS = "import sys; kept = open(sys.argv[1]); print(flush=True); input()"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as /proc tells it")
def test_who_has_the_lock_open(tmp_path: Path) -> None:
    lock = tmp_path / "serve.lock"
    lock.touch()
    words = [sys.executable, "-c", HOLDS, str(lock)]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert process.holds(other.pid, lock)
        assert not process.holds(other.pid, tmp_path / "another.lock")
        assert process.work(other.pid) is not None
        process.end(other.pid, forced=True)
    assert other.returncode < 0
    assert not process.holds(other.pid, lock), "it is no more"
    assert process.work(other.pid) is None
    process.end(other.pid, forced=True)  # harmless


@pytest.mark.parametrize("pid", [0, 1, pytest.param(os.getpid(), id="the test's own"), -1])
def test_some_are_never_ended(tmp_path: Path, pid: int) -> None:
    lock = tmp_path / "serve.lock"
    with lock.open("w"):
        assert not process.holds(pid, lock)


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        pytest.param("/opt/brimline serve --port 2455", True, id="the binary"),
        pytest.param("python -P -m desktop serve", True, id="from source"),
        pytest.param("/opt/brimline tray", False, id="ours, but no server"),
        pytest.param("caddy serve", False, id="another server"),
        pytest.param("", False, id="nobody"),
    ],
)
def test_elsewhere_the_command_tells(command: str, ours: bool) -> None:
    assert process._is_our_server(command) is ours


def test_a_signed_lock_names_its_holder(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "serve.lock")
    assert signed(tmp_path / "serve.lock") is None
    lock.sign()  # not held: nothing to say
    assert lock.acquire()
    assert signed(tmp_path / "serve.lock") is None
    lock.sign()
    assert signed(tmp_path / "serve.lock") == os.getpid()
    lock.release()
