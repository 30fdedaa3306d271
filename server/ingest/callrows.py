"""The rows of the table `call`, which no change leaves apart from the sums of their days."""

from __future__ import annotations

from server.ingest import codex, reconcile
from server.ingest.reader import CLAUDE_COLUMNS, COLUMNS
from server.ingest.reconcile import Row

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from typing import Any

    from server.ingest.files import Source
    from server.ingest.rollups import Rollups

ROW = ", ".join(Row._fields).replace("offset", '"offset"')
_MARKS = ", ".join("?" * len(Row._fields))
_COLUMNS = COLUMNS.replace("offset", '"offset"')
_COUNT = COLUMNS.count(",") + 1


class Calls:
    """Adds, changes and removes calls. Every method runs inside a transaction."""

    def __init__(self, rollups: Rollups) -> None:
        self._rollups = rollups

    def add(self, connection: sqlite3.Connection, row: Row, project: str | None) -> None:
        """Add a call that nobody has seen, of a session of this project."""
        self.insert(connection, [row])
        self._rollups.count(row, project)

    def insert(self, connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
        """Insert rows; whoever does counts them."""
        connection.executemany(f"insert into call({ROW}) values ({_MARKS})", rows)  # noqa: S608

    def bulk(
        self,
        connection: sqlite3.Connection,
        source: Source,
        session: int | None,
        rows: Sequence[tuple[Any, ...]],
    ) -> bool:
        """Insert rows, all or none; False when somebody has seen one of the calls."""
        if not rows:
            return True
        connection.execute("savepoint rows")
        # The constants are two of our integers and two words of ours.
        added = connection.executemany(
            f"insert or ignore into call({_columns(rows[0])}, provider, session, source, seen) "  # noqa: S608
            f"values ({','.join('?' * len(rows[0]))}, '{source.provider}', "
            f"{'null' if session is None else int(session)}, {int(source.id)}, {reconcile.LOG})",
            rows,
        ).rowcount
        if added < len(rows):
            connection.execute("rollback to rows")
        connection.execute("release rows")
        return bool(added == len(rows))

    def replace(self, connection: sqlite3.Connection, before: Row, after: Row) -> None:
        """Have a call be another row than before."""
        self._rollups.count(before, project_of(connection, before.session), -1)
        connection.execute("delete from call where id = ?", (before.id,))
        if codex.legacy(after.id):
            after = after._replace(id=before.id)
        self.insert(connection, [after])
        self._rollups.count(after, project_of(connection, after.session))

    def drop(self, connection: sqlite3.Connection, row: Row) -> None:
        """Remove what a log said of a call; what other witnesses saw stays."""
        self._rollups.count(row, project_of(connection, row.session), -1)
        connection.execute("delete from call where id = ?", (row.id,))
        rest = reconcile.without_log(row)
        if rest is not None:
            self.insert(connection, [rest])
            self._rollups.count(rest, project_of(connection, rest.session))

    def take_out(self, connection: sqlite3.Connection, source: int) -> None:
        """Remove a log's calls, which no other witness has seen."""
        for values in connection.execute(
            f"select {ROW} from call where source = ?",  # noqa: S608
            (source,),
        ).fetchall():
            row = Row(*values)
            self._rollups.count(row, project_of(connection, row.session), -1)
        connection.execute("delete from call where source = ?", (source,))

    def count_for(
        self, connection: sqlite3.Connection, session: int, before: str | None, project: str | None
    ) -> None:
        """Count a session's calls for another project than before."""
        for values in connection.execute(
            f"select {ROW} from call where session = ?",  # noqa: S608
            (session,),
        ):
            row = Row(*values)
            self._rollups.count(row, before, -1)
            self._rollups.count(row, project)


def row_of(values: tuple[Any, ...], source: Source, session: int | None) -> Row:
    """A reader's row as one of the table."""
    (name, turn, model, effort, initiator, at, duration, first, cached, written, output) = values[
        :11
    ]
    reasoning, running, window, offset, cost, credits, status = values[11:18]
    hour, tier = values[18:] or (0, None)
    return Row(
        name, source.provider, session, turn, model, effort, tier, initiator, at, duration, first,
        cached, written, hour, output, reasoning, running, window, cost, credits, status, source.id,
        offset, None, reconcile.LOG,
    )  # fmt: skip


def _columns(row: tuple[Any, ...]) -> str:
    """What a reader's row tells: one of Claude's also has `reader.CLAUDE_COLUMNS`."""
    return _COLUMNS if len(row) == _COUNT else f"{_COLUMNS}, {CLAUDE_COLUMNS}"


def rows_of(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, Row]:
    """The calls that are there, by their ids."""
    found: dict[str, Row] = {}
    for start in range(0, len(names), 500):
        part = names[start : start + 500]
        marks = ",".join("?" * len(part))
        for values in connection.execute(
            f"select {ROW} from call where id in ({marks})",  # noqa: S608
            part,
        ):
            found[values[0]] = Row(*values)
    return found


def of_message(connection: sqlite3.Connection, message: str) -> list[Row]:
    """The responses of one message of Claude."""
    found = connection.execute(
        f"select {ROW} from call where id = ? union all "  # noqa: S608
        f"select {ROW} from call where id > ? and id < ?",
        (message, f"{message}#", f"{message}$"),
    )
    rows = [Row(*values) for values in found.fetchall()]
    return [row for row in rows if reconcile.message_of(row) == message]


def twin(connection: sqlite3.Connection, row: Row, other: int) -> Row | None:
    """The same call under another name: only logs without response ids make such pairs."""
    if row.session is None or (other == reconcile.PROXY and not codex.legacy(row.id)):
        return None
    for values in connection.execute(
        f"select {ROW} from call where session = ? and started_at between ? and ? and seen = ?",  # noqa: S608
        (row.session, row.started_at - 120_000, row.started_at + 120_000, other),
    ):
        found = Row(*values)
        made_up = codex.legacy(found.id) or codex.legacy(row.id)
        if made_up and reconcile.same_call(row, found):
            return found
    return None


def project_of(connection: sqlite3.Connection, session: int | None) -> str | None:
    """The project that a session's calls count for."""
    if session is None:
        return None
    found = connection.execute("select project from session where id = ?", (session,)).fetchone()
    return found[0] if found else None
