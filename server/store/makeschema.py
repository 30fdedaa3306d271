"""Writes `schema.py`, the tables of `models.py` as SQL: `python -m server.store.makeschema`.

Making them from the models costs more than a scan of 20 MB, as peewee must be loaded first.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from peewee import SqliteDatabase

from server.store.models import SECRET_TABLES, USAGE_TABLES
from server.store.triggers import TRIGGERS

_HEAD = '''"""The tables as SQL. Made from `models.py` by `python -m server.store.makeschema`."""

from __future__ import annotations

'''


class _Noted(SqliteDatabase):
    """Notes statements instead of running them."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.said: list[str] = []

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        self.said.append(sql)


def statements(models: list[Any]) -> list[str]:
    """What makes these tables and their indexes where they are missing."""
    database = _Noted()
    with database.bind_ctx(models):
        for model in models:
            model.create_table(safe=True)
    return database.said


def text() -> str:
    """The whole of `schema.py`."""
    parts = [_HEAD.rstrip("\n") + "\n"]
    usage = [*statements(USAGE_TABLES), *TRIGGERS]
    for name, made in (("SECRETS", statements(SECRET_TABLES)), ("USAGE", usage)):
        lines = "".join(f"    {_quoted(said)},  # noqa: E501\n" for said in made)
        parts.append(f"{name} = (\n{lines})\n")
    form = hashlib.blake2b("\n".join(usage).encode(), digest_size=8)
    parts.append(f'# Which tables `USAGE` makes; see readymade.py.\nFORM = "{form.hexdigest()}"\n')
    return "\n".join(parts)


def _quoted(said: str) -> str:
    """A statement in Python, with the quotes that the project's layout asks for."""
    return repr(said) if '"' in said else f'"{said}"'


if __name__ == "__main__":
    Path(__file__).with_name("schema.py").write_text(text(), encoding="utf-8")
