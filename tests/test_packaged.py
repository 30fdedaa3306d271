"""The one-file program: whole, small, and itself without a source tree around it.

make binary ARGS=--test         builds it, then runs this and the tests of tray, window and snapshot
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

COMMAND = shlex.split(os.environ.get("APP_CMD", ""))
MEGABYTES = 40

pytestmark = [
    pytest.mark.packaged,
    pytest.mark.skipif(not COMMAND, reason="APP_CMD does not name a binary (make binary)"),
]


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(COMMAND[0]).resolve()), *COMMAND[1:], *words]
    return subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, cwd="/"
    )


def test_it_tests_itself() -> None:
    report = json.loads(run("selftest", "--json").stdout)
    assert report["frozen"] is True
    assert [c for c in report["checks"] if c["required"] and not c["ok"]] == []


def test_it_stays_small() -> None:
    assert Path(COMMAND[0]).stat().st_size < MEGABYTES * 1e6


def test_it_starts_soon() -> None:
    began = time.monotonic()
    assert run("version").stdout.startswith("brimline ")
    assert time.monotonic() - began < 3


def test_it_serves_its_pages_and_stops(tmp_path: Path) -> None:
    command = [str(Path(COMMAND[0]).resolve()), "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--data-dir", str(tmp_path / "data")], stdout=subprocess.PIPE, text=True, cwd="/"
    )
    assert process.stdout is not None
    with process.stdout:
        url = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert b"<script" in answer.read()
        process.terminate()
    assert process.wait(60) == 0


def test_autostart_names_the_binary_itself(tmp_path: Path) -> None:
    """Not the folder that it unpacked into, which is gone tomorrow."""
    assert run("autostart", "on", XDG_CONFIG_HOME=str(tmp_path)).stdout == "on\n"
    entry = (tmp_path / "autostart" / "brimline.desktop").read_text()
    assert f'Exec="{Path(COMMAND[0]).resolve()}"' in entry
    assert run("autostart", "off", XDG_CONFIG_HOME=str(tmp_path)).stdout == "off\n"
