"""Ordered changes of the schema. A released one is never edited; the next goes at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from server.store import db

log = logging.getLogger(__name__)


def m001_initial() -> None:
    """All tables of the first release."""
    # Here: a database that is up to date is opened without them, and sooner.
    from server.store.models import SECRET_TABLES, USAGE_TABLES

    db.secrets.create_tables(SECRET_TABLES)
    db.usage.create_tables(USAGE_TABLES)


# Order is important. Add new migrations at the end.
MIGRATIONS: list[Callable[[], None]] = [m001_initial]


def migrate() -> None:
    """Bring both files to the newest schema, with a backup first when there is data.

    Raises `StoreError` when the files were written by a newer Brimline.
    """
    with db.reading(db.usage) as connection:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version:
        _renew_secrets()
    if version == len(MIGRATIONS):
        return
    if version > len(MIGRATIONS):
        raise db.StoreError(
            "The data folder was written by a newer Brimline. Update the program, "
            "or choose another folder with --data-dir.",
            title="The data folder is too new",
        )
    if version:
        for database in (db.usage, db.secrets):
            db.backup(Path(str(database.database)))
    for number, change in enumerate(MIGRATIONS[version:], start=version + 1):
        with db.writing_secrets(), db.writing() as connection:
            change()
            connection.execute(f"PRAGMA user_version = {number}")
        log.info("schema is now at %s", change.__name__)


def _renew_secrets() -> None:
    """Make the tables of secrets.db again when a damaged one was moved aside."""
    with db.reading(db.secrets) as connection:
        found = connection.execute("select 1 from sqlite_master where name = 'secret'").fetchone()
    if found is None:
        from server.store.models import SECRET_TABLES

        with db.writing_secrets():
            db.secrets.create_tables(SECRET_TABLES)
