"""Named secrets of the installation, one row each in secrets.db."""

from __future__ import annotations

from server.store import db


def read(name: str) -> bytes | None:
    """What is stored under `name`; None when nothing is."""
    with db.reading(db.secrets) as connection:
        found = connection.execute("select value from secret where name = ?", (name,)).fetchone()
    return None if found is None else bytes(found[0])


def write(name: str, value: bytes | None) -> None:
    """Store `value` under `name`, durably; None removes it."""
    with db.writing_secrets() as connection:
        if value is None:
            connection.execute("delete from secret where name = ?", (name,))
        else:
            connection.execute("replace into secret (name, value) values (?, ?)", (name, value))
