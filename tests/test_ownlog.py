"""Logs of our own are their owner's alone."""

from __future__ import annotations

import logging
import stat
import sys
from pathlib import Path

import pytest

from server import ownlog
from server.config import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path / "data", log_level="info")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_the_owner_may_read_a_log(config: Config) -> None:
    (config.data_dir / "logs").mkdir(parents=True)
    older = config.data_dir / "logs" / "tray.log"
    older.touch(0o644)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        root.handlers.clear()
        ownlog.start(config, "tray", copies=1, console=False)
        logging.getLogger("test").info("started")
        root.handlers[0].close()
    finally:
        root.handlers[:], root.level = before, level
    (older.parent / "serve.err").touch(0o644)
    ownlog.last_words(config, "serve").close()
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in older.parent.iterdir()}
    assert modes == {"tray.log": 0o600, "serve.err": 0o600}
    assert "started" in older.read_text()
