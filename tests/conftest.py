"""Real parts on temporary folders: the data folder, the app, the provider on loopback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.routing import Rule

from server.config import Config
from server.ingest import codex
from server.store import db, migrations, settings
from tests import compiled
from tests.spread import Spread, drives_chromium


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread | None:
    """Whatever asks for whole files gets our pieces."""
    return Spread(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest piece of work begins first, so that no process ends long after the other."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not drives_chromium(item.nodeid))


@pytest.fixture(scope="session")
def compiled_part(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The compiled reader as the source has it now."""
    return compiled.module(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def usual(compiled_part: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same, as the one that reads."""
    monkeypatch.setattr(codex, "usual", compiled_part)
    return compiled_part


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
def _shipped_prices() -> Iterator[None]:
    """Prices that a test gave are no later test's."""
    yield
    pricing = sys.modules.get("server.usage.pricing")
    if pricing is not None and pricing._own:
        pricing.use({}, {})


_BUILDERS: dict[object, Any] = {}
_compile_builder = Rule._compile_builder


def _known_builder(rule: Rule, append_unknown: bool = True) -> Any:
    key = (rule.rule, append_unknown, tuple(rule._trace), repr(rule.defaults))
    if key not in _BUILDERS:
        _BUILDERS[key] = _compile_builder(rule, append_unknown)
    return _BUILDERS[key]


# Half of the time to make the app goes into functions that build addresses from its routes, which
# werkzeug compiles for each app anew.
Rule._compile_builder = _known_builder  # type: ignore[assignment, method-assign]

# Waits that the product cuts short for its user's sake: here they last as long as this machine
# needs. (That they are cut short is what `test_request_log` and `test_pool` look at.)
_PATIENCE = (
    ("server.proxy.routes", "WAIT_SECONDS"),  # the end of an answer, for its row
    ("server.accounts.pool", "ANSWER_SECONDS"),  # an import, for the first allowance
)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine gives the same answers as a quick one."""
    for name, limit in _PATIENCE:
        if module := sys.modules.get(name):
            monkeypatch.setattr(module, limit, 30.0)


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
