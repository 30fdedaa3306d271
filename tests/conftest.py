"""Real parts on temporary folders: the data folder, the app, the provider on loopback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.config import Config
from server.store import db, migrations, settings


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads this user's home, keyring or environment."""
    for name in list(os.environ):
        if name.startswith(("BRIMLINE_", "CODEX_", "CLAUDE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("BRIMLINE_NO_KEYRING", "1")


@pytest.fixture(autouse=True)
def _rows_before_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of an answer waits for its row, however slow this machine is.

    (That it waits for 50 ms at most, and what happens then, are `test_request_log`'s.)
    """
    if routes := sys.modules.get("server.proxy.routes"):
        monkeypatch.setattr(routes, "WAIT_SECONDS", 30.0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration whose every folder is this test's own and whose provider is nowhere."""
    return Config(
        port=80,  # the test client's own
        data_dir=tmp_path / "data",
        codex_home=tmp_path / "codex",
        claude_home=tmp_path / "claude",
        upstream_base_url="http://127.0.0.1:9/backend-api",
        auth_base_url="http://127.0.0.1:9",
        threads=16,
        strict_writes=True,
    )


@pytest.fixture
def database(config: Config) -> Iterator[None]:
    """The two databases, opened and migrated in the test's data folder."""
    db.open_databases(config.data_dir, strict=True)
    migrations.migrate()
    settings.load()
    yield
    db.close_databases()
