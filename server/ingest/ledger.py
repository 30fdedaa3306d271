"""The ledger's writes, always in one transaction: what a stretch of a log said, and what becomes
of it when the log is read anew, is gone, or has another name.

What it puts together: `callrows` and `rollups` (calls and their sums by day), `sessions`,
`cursors`, `limits`, `tellings` (calls told twice), `forks` (copied heads), `proxied` (requests).
"""  # noqa: D205

from __future__ import annotations

from server.ingest import callrows, codex, cursors, reconcile
from server.ingest.callrows import ROW, Calls
from server.ingest.cursors import skipped_lines
from server.ingest.folders import Projects
from server.ingest.forks import Forks, copied, emissions
from server.ingest.limits import snapshots
from server.ingest.reader import SUMS, Batch
from server.ingest.reconcile import Row
from server.ingest.rollups import Rollups
from server.ingest.sessions import ADD_THREAD, Sessions
from server.ingest.tellings import Tellings
from server.store import sqlite

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from typing import Any

    from server.ingest.files import Source
    from server.ingest.reconcile import Finished

# A load of many files uses the parts themselves.
__all__ = ["ADD_THREAD", "Ledger", "copied", "emissions", "skipped_lines", "snapshots"]

_BY_ID = "create unique index if not exists call_id on call(id)"


class Ledger:
    """What all witnesses saw, one row a response. Every method runs inside a transaction."""

    def __init__(self) -> None:
        self.fresh = False  # no witness but the logs has told of a call yet
        # While a bulk load runs: the next number of a table's rows that are not part of it.
        self.numbers: dict[str, int] = {}
        self.reread: set[int] = set()  # files whose copied heads can now be told
        projects = Projects()
        self._rollups = rollups = Rollups(projects)
        self._calls = Calls(rollups)
        self._forks = Forks(self._calls, self.reread)
        self.sessions = sessions = Sessions(self._calls, projects, self.reread)
        self.tellings = tellings = Tellings(self._calls, self.reread)
        # What is asked of the ledger and done by a part of it.
        self.days, self.cut, self.count_days = rollups.days, rollups.cut, rollups.count_days
        self.keep_zone, self.rebuild, self.flush = (
            rollups.keep_zone, rollups.rebuild, rollups.flush,
        )  # fmt: skip
        self.project, self.adopt, self.stir = projects.key, sessions.adopt, sessions.stir
        self.judge, self.is_in_doubt = tellings.judge, tellings.is_in_doubt
        self.companions, self.renew = tellings.companions, tellings.renew

    def forget(self) -> None:
        """Drop what was counted for a transaction that failed."""
        self._rollups.forget()
        self.tellings.forget()

    def see_requests(self, connection: sqlite3.Connection, finished: Sequence[Finished]) -> None:
        """Join finished requests with the ledger, inside the recorder's transaction."""
        from server.ingest.proxied import Requests  # here: a scan has none

        try:
            if Requests(self._calls).see(connection, finished):
                self.fresh = False
            self.flush(connection)
        except BaseException:
            self.forget()
            raise

    # ── what a log says ───────────────────────────────────────────────────────────────

    def store(self, connection: sqlite3.Connection, source: Source, batch: Batch) -> None:
        """Add what a stretch of a log said, and its cursor."""
        batch.take_rows()
        if not source.id:
            source.id = cursors.add(connection, source, self._number("source_file"))
        if source.provider == "claude" and batch.rows:
            self.tellings.grows(connection, source, batch)
        session = project = None
        owner = batch.state.get("owner")
        if owner:
            number = self._number("session")
            session, project = self.sessions.of_batch(connection, source, batch, number)
        rows: Sequence[tuple[Any, ...]] = batch.rows
        if rows and owner and codex.legacy(rows[0][0]):
            rows = self._forks.own(connection, source, batch, session)
        added = self._take(connection, source, session, project, rows, batch)
        if owner and batch.rows and codex.legacy(batch.rows[0][0]):
            self._forks.settle(connection, owner)
        for name in batch.compactions:
            connection.execute("update call set initiator = 'compaction' where id = ?", (name,))
        if batch.limits:
            snapshots(connection, batch.limits)
        cursors.move(connection, source, batch, added)

    def _number(self, table: str) -> int | None:
        number = self.numbers.get(table)
        if number is not None:
            self.numbers[table] = number + 1
        return number

    def _take(
        self,
        connection: sqlite3.Connection,
        source: Source,
        session: int | None,
        project: str | None,
        rows: Sequence[tuple[Any, ...]],
        batch: Batch,
    ) -> list[int]:
        """Insert a batch's rows that nobody has seen, join the others; returns what was added."""
        names = {row[0] for row in rows}
        legacy = bool(rows) and codex.legacy(rows[0][0])  # such calls come first
        unseen = len(names) == len(rows) and (self.fresh or not legacy)
        if unseen and self._calls.bulk(connection, source, session, rows):
            return self._count_batch(source, project, rows, batch)
        known = callrows.rows_of(connection, sorted(names))
        added = [0] * SUMS
        for row in self.tellings.told(connection, source, session, rows, known):
            before = known.get(row.id) or callrows.twin(connection, row, reconcile.PROXY)
            if before is None:
                self._calls.add(connection, row, project)
            elif before.seen & reconcile.LOG:
                # The same response again: another file's copy, or Claude's next line about it.
                row = self.tellings.merge(connection, before, row)
            else:
                self._calls.replace(connection, before, reconcile.join(row, before))
            new = int(row.seen != 0)
            for place, value in enumerate(
                (new, row.input, row.cached, row.output, row.reasoning), start=0
            ):
                added[place] += value
        return added

    def _count_batch(
        self,
        source: Source,
        project: str | None,
        rows: Sequence[tuple[Any, ...]],
        batch: Batch,
    ) -> list[int]:
        if len(rows) == len(batch.rows):
            return self.count_days(source.provider, project, batch)
        sums = Batch(days=self._rollups.sums(rows))
        return self.count_days(source.provider, project, sums)

    # ── what becomes of it ────────────────────────────────────────────────────────────

    def take_back(self, connection: sqlite3.Connection, sources: Iterable[int]) -> None:
        """Remove what logs said, before they are read anew; other witnesses' rows stay."""
        numbers = list(sources)
        for source in numbers:
            for values in connection.execute(
                f"select {ROW} from call where source = ?",  # noqa: S608
                (source,),
            ).fetchall():
                self._calls.drop(connection, Row(*values))
                self.tellings.take_back(connection, values[0])
            cursors.empty(connection, source)
        self.tellings.part(connection, numbers)

    def name_calls(self, connection: sqlite3.Connection) -> None:
        """Make the index by id, at the end of a load of whole files that went without it.

        Where files tell of the same call, those but the first are taken out and to be read anew.
        """
        try:
            connection.execute(_BY_ID)
        except sqlite.IntegrityError:
            doubled = connection.execute(
                "select distinct source from call where rowid not in "
                "(select min(rowid) from call group by id)"
            ).fetchall()
            for (source,) in doubled:
                self._calls.take_out(connection, source)
                cursors.empty(connection, source)
                self.reread.add(source)
            self.flush(connection)
            connection.execute(_BY_ID)

    def hand_over(self, connection: sqlite3.Connection, gone: int, copy: int) -> None:
        """Make the rows of a file that is gone those of a file that says the same."""
        connection.execute("update call set source = ? where source = ?", (copy, gone))
        connection.execute("update session set source = ? where source = ?", (copy, gone))
        cursors.hand_over(connection, gone, copy)
        self.tellings.hand_over(connection, gone, copy)
        named = connection.execute(
            "select name from source_file where id = ? and provider = 'claude'", (copy,)
        ).fetchone()
        if named:
            self.follow(connection, named[0])

    def follow(self, connection: sqlite3.Connection, name: str) -> None:
        """Count a session of Claude under the project that its log's new name tells."""
        try:
            self.sessions.follow(connection, name)
            self.flush(connection)
        except BaseException:
            self.forget()
            raise
