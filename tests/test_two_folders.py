"""Several logs of one Codex session that do not agree where it was at work."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from server.config import Config
from server.ingest import codex, scan
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, migrations, settings
from tests.rollouts import stamp, usage
from tests.test_exact_sums import agree

KEY = "aaaaaaaa-0000-7000-9000-000000000001"
TEN = 1_780_308_000_000
ASKED = (
    "select key, cwd, branch, client, client_version, terminal, project, started_at, ended_at "
    "from session",
    "select id, project, title, started_at, last_at from thread",
    "select id, started_at, input, output from call",
    "select heading, day, name, calls, input from daily_usage",
    "select key from project",
)


def log(config: Config, hour: int, cwd: str | None, calls: Iterable[int], text: str) -> None:
    """A log of the session that began at this hour by its name, with these of its calls."""

    def line(kind: str, payload: dict[str, Any], second: int) -> str:
        return json.dumps(
            {"timestamp": stamp(TEN + second * 1000), "type": kind, "payload": payload}
        )

    about: dict[str, Any] = {
        "id": KEY,
        "timestamp": stamp(TEN),
        "source": "cli",
        "cli_version": f"0.{hour}.0",
    }
    if cwd:
        about |= {"cwd": cwd, "git": {"branch": f"b{hour}"}}
    lines = [
        line("session_meta", about, 0),
        line("turn_context", {"model": "gpt-5.5"}, 0),
        line("event_msg", {"type": "user_message", "message": text}, 0),
    ]
    for number in calls:
        info = {
            "total_token_usage": usage((1000 * number, 0, 10 * number, 0)),
            "last_token_usage": usage((1000, 0, 10, 0)),
        }
        lines.append(line("event_msg", {"type": "token_count", "info": info}, number))
    folder = config.codex_home / "sessions" / "2026" / "06" / "01"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-2026-06-01T{hour}-00-00-{KEY}.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


LOGS: dict[str, tuple[Any, ...]] = {
    "first": (10, "/p/alpha", [1, 2], "build"),
    "copy": (11, "/p/beta", [1, 2, 3], "build it"),
    "none": (9, None, [1], "go"),
    "other": (12, "/p/gamma", [7], "more"),
}


def told(connection: Any) -> list[list[Any]]:
    return [sorted(connection.execute(query).fetchall(), key=repr) for query in ASKED]


def cold(config: Config, name: str) -> list[list[Any]]:
    folder = config.data_dir.with_name(name)
    scan.run(replace(config, data_dir=folder))
    with closing(sqlite3.connect(folder / "usage.db")) as connection:
        return told(connection)


def in_order(config: Config, order: tuple[str, ...], name: str) -> list[list[Any]]:
    shutil.rmtree(config.codex_home / "sessions", ignore_errors=True)
    db.open_databases(config.data_dir.with_name(name), strict=True)
    try:
        migrations.migrate()
        settings.load()
        indexer = Indexer(config, Ledger())
        for one in order:
            log(config, *LOGS[one])
            indexer.scan()
        agree()
        with db.reading() as connection:
            return told(connection)
    finally:
        db.close_databases()


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        pytest.param(("first", "copy"), "/p/alpha", id="a copy names another"),
        pytest.param(("none", "copy"), "/p/beta", id="the first by name tells none"),
        pytest.param(("first", "other"), "/p/alpha", id="none of their calls are alike"),
        pytest.param(("first", "copy", "none"), "/p/alpha", id="three"),
    ],
)
def test_the_foremost_log_tells_the_folder(
    config: Config,
    compiled_part: Any,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    folder: str,
) -> None:
    for name in names:
        log(config, *LOGS[name])
    monkeypatch.setattr(codex, "usual", compiled_part)
    expected = cold(config, "compiled")
    assert expected[0][0][1] == folder
    monkeypatch.setattr(codex, "usual", None)
    assert cold(config, "python") == expected
    for number, order in enumerate(itertools.permutations(names)):
        assert in_order(config, order, f"steps{number}") == expected, order
