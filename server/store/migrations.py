"""Ordered changes of the schema. A released one is never edited; the next goes at the end."""

from __future__ import annotations

from server.lazy import Log, contextmanager
from server.store import db

TYPE_CHECKING = False  # not imported from `typing`: that takes longer than this module
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

log = Log(__name__)


def m001_initial() -> None:
    """All tables of the first release."""
    _make_tables(db.secrets)
    _make_tables(db.usage)
    _salvage()


def _make_tables(database: db.Database) -> None:
    # Here: a database that is up to date is opened without them, and sooner.
    from server.store import schema

    if database.database is None:
        return  # `brimline scan` leaves secrets.db alone; whoever opens it makes its tables
    statements = schema.SECRETS if database is db.secrets else schema.USAGE
    with db.reading(database) as connection:
        for statement in statements:
            connection.execute(statement)


# Order is important. Add new migrations at the end.
MIGRATIONS: list[Callable[[], None]] = [m001_initial]


_OURS = {"setting", "account", "call"}  # some of our tables, in every version


def migrate() -> None:
    """Bring both files to the newest schema, with a backup first when there is data.

    Raises `StoreError` when the files were written by a newer Brimline or another program.
    """
    version = _version()
    if version:
        _renew_secrets()
    if version == len(MIGRATIONS):
        return
    if version:
        from pathlib import Path

        for database in (db.usage, db.secrets):
            if database.database is not None:
                db.backup(Path(database.database))
    for number, change in enumerate(MIGRATIONS[version:], start=version + 1):
        with _writing_both() as connection:
            change()
            connection.execute(f"PRAGMA user_version = {number}")
        log.info("schema is now at %s", change.__name__)


def _version() -> int:
    """How many changes usage.db has had. Raises `StoreError` when it is not ours to change."""
    with db.reading(db.usage) as connection:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        tables = {row[0] for row in connection.execute("select name from sqlite_master")}
    if tables if not version else not tables >= _OURS:
        raise db.StoreError(
            f"{db.usage.database} is a database of another program. Move it away, "
            "or choose another folder with --data-dir.",
            title="Another program's database is in the data folder",
        )
    if version > len(MIGRATIONS):
        raise db.StoreError(
            "The data folder was written by a newer Brimline. Update the program, "
            "or choose another folder with --data-dir.",
            title="The data folder is too new",
        )
    return version


def _salvage() -> None:
    """Take over what can be read of a damaged file whose place this new one takes."""
    damaged = db.moved_lately(str(db.usage.database))
    if damaged is not None:
        from server.store import salvage

        with db.reading() as connection:
            salvage.fill(connection, damaged)


@contextmanager
def _writing_both() -> Iterator[sqlite3.Connection]:
    with db.writing() as connection:
        if db.secrets.database is None:
            yield connection
            return
        with db.writing_secrets():
            yield connection


def _renew_secrets() -> None:
    """Make the tables of secrets.db again when a damaged one was moved aside."""
    if db.secrets.database is None:
        return
    with db.reading(db.secrets) as connection:
        found = connection.execute(
            "select count(*) from sqlite_master where name in ('secret', 'account_copy')"
        ).fetchone()
    if found != (2,):
        with db.writing_secrets():
            _make_tables(db.secrets)
