"""What can still be read of a damaged usage.db that cannot be made again from elsewhere."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from server.errors import AppError
from server.lazy import Log
from server.store import settings

log = Log(__name__)

_TABLES = ("setting", "api_key", "key_limit", "removed_account", "request_log")


def fill(connection: sqlite3.Connection, damaged: str) -> int:
    """Copy settings, API keys and the request log, as far as they can be read and make sense.

    `connection` is of the new file, in whose transaction this happens; returns how many rows.
    """
    copied = 0
    for table in _TABLES:
        columns = _columns(connection, table)
        names = ", ".join(name for name, _ in columns)
        marks = ", ".join("?" * len(columns))
        for row in _rows(damaged, table, names):
            if _sound(table, columns, row):
                copied += connection.execute(
                    f"insert or ignore into {table} ({names}) values ({marks})",  # noqa: S608
                    row,
                ).rowcount
    if copied:
        log.warning("%d rows of settings, keys and requests were taken over", copied)
    return copied


def _columns(connection: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    return [(row[1], row[2]) for row in connection.execute(f"pragma table_info({table})")]


def _rows(damaged: str, table: str, names: str) -> Iterator[tuple[Any, ...]]:
    """The rows before the damage, then those after it."""
    place = Path(damaged).absolute().as_uri()
    for order in ("asc", "desc"):
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"{place}?mode=ro", uri=True, timeout=5)) as old,
        ):
            yield from old.execute(f"select {names} from {table} order by rowid {order}")  # noqa: S608
            return


def _sound(table: str, columns: list[tuple[str, str]], row: tuple[Any, ...]) -> bool:
    """Whether a row can be one of ours: a torn page may show bytes of another."""
    kinds = {"TEXT": str, "INTEGER": int}
    for (_, declared), value in zip(columns, row, strict=True):
        if value is not None and not isinstance(value, kinds.get(declared, object)):
            return False
    have = dict(zip((name for name, _ in columns), row, strict=True))
    try:
        if table == "setting":
            settings.check(have["name"], json.loads(have["value"]))
        lists = {"api_key": ("allowed_models", "accounts"), "request_log": ("attempts",)}
        for name in lists.get(table, ()):
            if have[name] is not None and not isinstance(json.loads(have[name]), list):
                return False
    except (AppError, ValueError, TypeError, KeyError):
        return False
    return True
