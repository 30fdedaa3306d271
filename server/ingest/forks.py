"""Copied heads of forks: which of a session's first calls are its parent's."""

from __future__ import annotations

from server.ingest import codex, cursors, reconcile
from server.ingest.callrows import ROW
from server.ingest.reconcile import Fork, Row
from server.ingest.sessions import logs_of

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

    from server.ingest.callrows import Calls
    from server.ingest.files import Source
    from server.ingest.reader import Batch

_DEPTH = 50  # forks of forks; what goes deeper is a circle


class Forks:
    """Keeps forks to their own calls. Every method runs inside a transaction."""

    def __init__(self, calls: Calls, reread: set[int]) -> None:
        self._calls = calls
        self._reread = reread  # files that are to be read anew

    def own(
        self, connection: sqlite3.Connection, source: Source, batch: Batch, session: int | None
    ) -> Sequence[tuple[Any, ...]]:
        """The rows without the leading ones that are the parent's.

        A session may have several logs, one a copy of another: each begins with that head.
        """
        meta = batch.state.get("meta") or {}
        if not (meta.get("parent") or batch.state.get("foreign")):
            return batch.rows
        inherited, doubtful, begun = connection.execute(
            "select inherited, guessed, "
            "exists(select 1 from call where session = ?1 and source = ?2 and seen & 1) "
            "from session where id = ?1",
            (session, source.id),
        ).fetchone()
        before = max(0, int(batch.state.get("count") or 0) - len(batch.rows))  # of this log
        if begun or before > inherited:
            return batch.rows
        parent = str(meta.get("parent") or batch.state.get("foreign"))
        count, guessed = copied(batch, sequence(connection, parent), before)
        # What was guessed gives way to what is known; of two logs, one may be cut short.
        certain = doubtful and not guessed and not before
        connection.execute(
            "update session set inherited = ?, guessed = ? where id = ?",
            (
                before + count if certain else max(inherited, before + count),
                guessed or (doubtful and not certain),
                session,
            ),
        )
        return batch.rows[count:]

    def settle(self, connection: sqlite3.Connection, parent: str, depth: int = 0) -> None:
        """Tell the forks of a log apart anew, now that more of the log is known.

        A fork may be read while its parent's file is only partly written: copies of what was
        not there yet counted as the fork's own. They go once the parent has them.
        """
        forks = connection.execute(
            "select s.id, s.key, s.source, s.started_at, s.inherited, s.guessed, "
            "json_extract(f.state, '$.meta.written'), "
            "coalesce(json_extract(f.state, '$.meta.forked'), json_extract(f.state, '$.foreign')) "
            "from session s left join source_file f on f.id = s.source "
            "where s.parent = ? and s.source is not null",
            (parent,),
        ).fetchall()
        known = sequence(connection, parent) if forks and depth <= _DEPTH else None
        if known is None:
            return
        for session, key, source, started, matched, guessed, written, copy in forks:
            if guessed:
                self._reread |= logs_of(connection, session, source)  # that settles its own forks
                continue
            if matched < len(known):
                fork = Fork(started, written, burst=False, matched=matched, copy=bool(copy))
                self._give_back(connection, session, known, fork)
            self.settle(connection, key, depth + 1)

    def _give_back(
        self,
        connection: sqlite3.Connection,
        session: int,
        known: Sequence[tuple[Any, ...]],
        fork: Fork,
    ) -> None:
        """Drop a fork's first calls as far as they are copies of its parent's."""
        gone: list[Row] = []
        for values in connection.execute(
            f'select {ROW} from call where session = ? and seen & 1 order by "offset"',  # noqa: S608
            (session,),
        ):
            row = Row(*values)
            emitted = (
                row.running, row.input, row.cached, row.output, row.reasoning, row.turn_id
            )  # fmt: skip
            # What a response id names is a call, not the copy of one.
            if not codex.legacy(row.id) or not reconcile.inherited(
                [(row.started_at, emitted, row.offset or 0)], known, fork
            ):
                break
            fork.matched += 1
            gone.append(row)
        if not gone:
            return
        for row in gone:
            self._calls.drop(connection, row)
            cursors.uncount(connection, row)
        connection.execute("update session set inherited = ? where id = ?", (fork.matched, session))


def copied(
    batch: Batch, known: Sequence[tuple[Any, ...]] | None, matched: int = 0
) -> tuple[int, bool]:
    """How many of the first calls are the parent's, and whether that had to be guessed.

    `known`: the parent's `sequence`, of which `matched` calls were found before.
    """
    meta, foreign = batch.state.get("meta") or {}, batch.state.get("foreign")
    fork = Fork(
        started_at=meta.get("started"),
        written_at=meta.get("written"),
        burst=bool(foreign) or meta.get("kind") != "user",
        matched=matched,
        copy=bool(foreign or meta.get("forked")),
    )
    return reconcile.inherited(emissions(batch), known, fork), known is None


def emissions(batch: Batch) -> list[tuple[int, tuple[Any, ...], int]]:
    """When each call was, what its client told of it (`Emitted`), and where."""
    if batch.held:
        return batch.held.emitted()
    return [
        (row[5], (row[12], row[7], row[8], row[10], row[11], row[1]), row[14]) for row in batch.rows
    ]


def sequence(
    connection: sqlite3.Connection, key: str, depth: int = 0
) -> list[tuple[Any, ...]] | None:
    """A session's legacy calls (`Emitted`) in order, inherited ones first; None if unread."""
    found = connection.execute(
        "select id, parent, inherited from session where key = ? and source is not null", (key,)
    ).fetchone()
    if found is None or depth > _DEPTH:
        return None
    session, parent, count = found
    head: list[tuple[Any, ...]] = []
    if count:
        head = (sequence(connection, parent, depth + 1) or [])[:count]
        if len(head) < count:
            return None  # its own head was a copy of a log that is gone
    own = connection.execute(
        "select running, input, cached, output, reasoning, turn_id from call "
        'where session = ? and seen & 1 order by "offset"',
        (session,),
    ).fetchall()
    return head + own
