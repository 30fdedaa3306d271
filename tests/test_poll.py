"""What the logs' poll sees between two sweeps: files and folders that come to old places."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from tests.claudelogs import ClaudeLog
from tests.rig import wait_until
from tests.rollouts import Tree

LONG_AGO = 1_700_000_000


@pytest.fixture
def polled(config: Config, database: None) -> Indexer:
    """An indexer that sweeps when a test says so: all else its polls must see."""
    return Indexer(config, Ledger())


def polls_until(polled: Indexer, what: Callable[[], object], name: str) -> None:
    """Poll until something holds."""

    def so() -> object:
        polled._pass(full=False)
        return what()

    wait_until(so, name)


def old(*paths: Path) -> None:
    """Have files and folders last touched long ago."""
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))


def calls() -> int:
    return int(db.rows("select count(*) from call")[0][0])


def one_log(home: Path, seed: int) -> Path:
    """A log of Codex with some calls, in a folder of its own."""
    tree = Tree(home, seed, body=10)
    return tree.save(tree.modern())


def started(polled: Indexer, home: Path) -> Path:
    """A log in an old day's folder, which is known; returns that folder."""
    day = home / "sessions/2025/02/03"
    day.mkdir(parents=True)
    path = one_log(home.parent / "other", 1)
    known = day / path.name
    shutil.copyfile(path, known)
    old(known, day, day.parent, day.parent.parent, home / "sessions")
    polled.scan()
    assert calls() > 0
    return day


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("sessions/2025/02/03", id="an old day's folder"),
        pytest.param("sessions/2024/12/31", id="a day that had none"),
        pytest.param("sessions/2025/02/03/deeper", id="a folder in it"),
        pytest.param("archived_sessions", id="the archive, which was not there"),
    ],
)
def test_a_new_log_in_an_old_place_is_seen_by_a_poll(
    config: Config, polled: Indexer, place: str
) -> None:
    started(polled, config.codex_home)
    before = calls()
    path = one_log(config.data_dir.parent / "third", 2)
    folder = config.codex_home / place
    folder.mkdir(parents=True, exist_ok=True)
    old(path)
    shutil.copy2(path, folder / path.name)
    polls_until(polled, lambda: calls() > before, "the new log")
    assert db.rows("select count(*) from source_file where missing = 0") == [(2,)]


def test_a_log_that_is_taken_up_again_is_seen_by_a_poll(config: Config, polled: Indexer) -> None:
    day = started(polled, config.codex_home)
    known = next(day.iterdir())
    tree = Tree(config.data_dir.parent / "third", 1, body=10)
    before = calls()
    rollout = tree.modern()
    tree.turn(rollout)
    longer = tree.save(rollout)
    shutil.copyfile(longer, known)
    old(day)
    polls_until(polled, lambda: calls() > before, "what was appended")


@pytest.mark.parametrize("there", [True, False], ids=["its projects are known", "the first one"])
def test_a_new_session_of_claude_is_seen_by_a_poll(
    config: Config, polled: Indexer, there: bool
) -> None:
    if there:
        log = ClaudeLog(1)
        log.says("m1")
        log.save(config.claude_home)
    started(polled, config.codex_home)
    before = calls()
    log = ClaudeLog(2)
    log.says("m2")
    log.save(config.claude_home)
    polls_until(polled, lambda: calls() == before + 1, "the new session")


def test_a_log_that_went_is_known_as_missing(config: Config, polled: Indexer) -> None:
    day = started(polled, config.codex_home)
    next(day.iterdir()).unlink()
    polls_until(
        polled, lambda: db.rows("select missing from source_file") == [(1,)], "the log that went"
    )
    assert calls() > 0


def test_polls_where_nothing_is_new_sweep_nothing(
    config: Config, polled: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(polled, config.codex_home)
    polled.scan()
    monkeypatch.setattr(polled._finder, "find", lambda _: pytest.fail("a sweep for nothing"))
    for _ in range(3):
        polled._pass(full=False)


def test_of_very_many_folders_some_are_looked_at_in_turn(
    config: Config, polled: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.ingest.files._LOOKED_AT", 2)
    day = started(polled, config.codex_home)
    others = [config.codex_home / f"sessions/2024/0{month}/01" for month in range(1, 8)]
    for folder in others:
        folder.mkdir(parents=True)
        old(folder, folder.parent, folder.parent.parent)
    os.utime(config.codex_home / "sessions", (LONG_AGO + 9, LONG_AGO + 9))
    polled.scan()
    path = one_log(config.data_dir.parent / "third", 2)
    shutil.copy2(path, others[-1] / path.name)
    before = calls()
    for _ in range(12):  # each folder has had its turn by then
        polled._pass(full=False)
    assert calls() > before and day.is_dir()
