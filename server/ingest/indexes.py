"""The indexes of `call` in a new database: left out while its first calls go in, made at the end.

Rows go in as they lie where there is no index, and one that is made at the end costs a third of
what it costs row by row; written by the compiled part (`indexes.h`), a tenth.
"""

from __future__ import annotations

import os

from server.ingest import early
from server.lazy import NamedTuple, contextmanager, suppress
from server.store import db, sqlite

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

_FEW = 3000  # calls of which SQLite makes them sooner than the database is opened again
_BY_ID = "call_id"
_UNSEEN = 'WHERE ("seen" != 1)'  # the only condition that the compiled part is told of


class Dropped(NamedTuple):
    """What makes an index again."""

    name: str
    sql: str
    columns: tuple[int, ...]  # their places in the table
    unique: bool


def drop() -> list[Dropped]:
    """Drop the indexes of `call`; returns what makes them again."""
    with db.writing() as connection:
        found = connection.execute(
            "select name, sql, \"unique\" from sqlite_master join pragma_index_list('call') "
            "using (name) where type = 'index' and tbl_name = 'call'"
        ).fetchall()
        dropped = []
        for name, sql, unique in found:
            keys = connection.execute(f'pragma index_info("{name}")').fetchall()
            dropped.append(Dropped(name, sql, tuple(key[1] for key in keys), bool(unique)))
            connection.execute(f'drop index "{name}"')
    return dropped


def statements(dropped: Sequence[Dropped]) -> list[str]:
    """What has SQLite make them, but for the one by id: that may find calls twice."""
    return [index.sql for index in dropped if index.name != _BY_ID]


def write(dropped: Sequence[Dropped]) -> bool:
    """Write the indexes into a new database that nobody else has open, and open it again.

    False, and nothing is done, where SQLite has to make them: there is no compiled part, a
    transaction is under way, there are few calls, some twice or with what none should hold, or
    the disk is full, which SQLite then says.
    """
    orders = [_order(index) for index in dropped]
    if early.usual is None or None in orders or db.usage.connection().in_transaction:
        return False
    if _calls() < _FEW:
        return False
    try:
        root = _promise(dropped)
    except sqlite.OperationalError:  # a SQLite that nobody may tell of indexes
        return False
    path = os.fsencode(str(db.usage.database))
    with suppress(OSError):  # what was written then lies behind the last page that is known
        if early.usual.index(path, root, [order for order in orders if order]):
            db.usage.close()  # what it remembers of the file is out of date
            db.usage.connect()
            return True
    with _schema() as connection:
        connection.execute("delete from sqlite_master where type = 'index' and tbl_name = 'call'")
    return False


def _calls() -> int:
    return int(db.rows("select coalesce(max(rowid), 0) from call")[0][0])


@contextmanager
def _schema() -> Iterator[sqlite3.Connection]:
    """A transaction that may change what SQLite knows of tables."""
    with db.writing() as connection:
        connection.execute("pragma writable_schema = on")
        try:
            yield connection
        finally:
            connection.execute("pragma writable_schema = off")


def _order(index: Dropped) -> tuple[tuple[int, ...], bool, int, int] | None:
    """How the compiled part is told of an index; None where it cannot be."""
    if index.sql.endswith(_UNSEEN):
        return index.columns, index.unique, index.columns[-1], 1
    return None if " WHERE " in index.sql else (index.columns, index.unique, -1, 0)


def _promise(dropped: Sequence[Dropped]) -> int:
    """Note the indexes where SQLite looks for them, their roots behind the last page of now.

    Returns the root of `call`. This connection does not use them before it is opened again.
    """
    with _schema() as connection:
        connection.executemany(
            "insert into sqlite_master(type, name, tbl_name, rootpage, sql) "
            "values ('index', ?, 'call', ?, ?)",
            [(index.name, 1 << 20, index.sql) for index in dropped],
        )
        last = _last(connection)
        for place, index in enumerate(dropped, 1):
            connection.execute(
                "update sqlite_master set rootpage = ? where type = 'index' and name = ?",
                (last + place, index.name),
            )
        if _last(connection) != last:
            raise sqlite.OperationalError("the schema took another page")
        found = connection.execute("select rootpage from sqlite_master where name = 'call'")
        return int(found.fetchone()[0])


def _last(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma page_count").fetchone()[0])
