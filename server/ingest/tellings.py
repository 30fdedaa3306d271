"""Calls that several lines or logs tell of: each is one call, and one log's."""

from __future__ import annotations

from server import shortjson
from server.ingest import callrows, claude, cursors, reconcile
from server.ingest.reconcile import Row

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from server.ingest.callrows import Calls
    from server.ingest.crew import Repeats
    from server.ingest.files import Job, Source
    from server.ingest.reader import Batch

_SOURCE = f"$[{Row._fields.index('source')}]"
# Whether a log of Claude has calls that no other one told of.
_ALONE = (
    "update source_file set alone = exists (select 1 from session s "
    "join call c on c.session = s.id "
    "where s.key = json_extract(source_file.state, '$.owner') and c.source = source_file.id "
    "and not exists (select 1 from told_again t where t.call = c.id)) "
    "where id = ? and provider = 'claude'"
)
# The logs that told of the same calls as one, and those of forks of its session.
_COMPANIONS = (
    "with k(id) as (select other from told_twice where one = ?1 union select one from told_twice "
    "where other = ?1 union select s.source from session s where s.inherited and s.parent = "
    "(select json_extract(state, '$.owner') from source_file where id = ?1) "
    "union select c.source from session s join call c on c.session = s.id where s.inherited and "
    "s.parent = (select json_extract(state, '$.owner') from source_file where id = ?1)) "
    "select k.id from k join source_file f on f.id = k.id where not f.missing"
)


class Tellings:
    """Whose each call is that was told again. Every method runs inside a transaction."""

    def __init__(self, calls: Calls, reread: set[int]) -> None:
        self._calls = calls
        self._reread = reread  # files that are to be read anew
        # By a log's number, what tells whose the calls are that several tell of.
        self._places: dict[int, tuple[Any, ...]] = {}
        self._began: dict[int, int] = {}  # the same, what is not stored yet
        self._doubtful: set[int] = set()  # logs that share calls: which is the copy?
        self._paired: set[tuple[int, int]] = set()  # what is in `told_twice` for sure
        # While a log is read: where calls begin whose time had to be guessed so far.
        self._guessed: set[tuple[int, int]] = set()
        self._loosely: set[str] | None = None  # what is in `told_loosely`

    def part(self, connection: sqlite3.Connection, sources: Sequence[int]) -> None:
        """Let logs be as if they had shared no call: they are read anew, and tell it again."""
        self._paired.clear()
        self._guessed = {one for one in self._guessed if one[0] not in sources}
        among = "(select value from json_each(?1))"
        connection.execute(
            f"delete from told_twice where one in {among} and other in {among}",  # noqa: S608
            (shortjson.dumps(sources),),
        )

    def hand_over(self, connection: sqlite3.Connection, gone: int, copy: int) -> None:
        """Let a file share the calls that another one shared which is gone."""
        connection.execute(
            "insert or ignore into told_twice select min(id, ?2), max(id, ?2) from "
            "(select one + other - ?1 as id from told_twice where ?1 in (one, other)) "
            "where id != ?2",
            (gone, copy),
        )
        connection.execute("delete from told_twice where ?1 in (one, other)", (gone,))
        connection.execute(
            f"update told_loosely set alone = json_set(alone, '{_SOURCE}', ?2) "  # noqa: S608
            f"where json_extract(alone, '{_SOURCE}') = ?1",
            (gone, copy),
        )
        self.forget()

    def forget(self) -> None:
        """Drop what was noted in a transaction that failed."""
        self._paired.clear()
        self._places.clear()
        self._loosely = None

    def told(
        self,
        connection: sqlite3.Connection,
        source: Source,
        session: int | None,
        rows: Sequence[tuple[Any, ...]],
        known: dict[str, Row],
    ) -> Iterator[Row]:
        """A batch's rows, each under its name, once those before it are stored."""
        if source.provider != "claude":
            for values in {row[0]: row for row in rows}.values():
                yield callrows.row_of(values, source, session)
            return
        told: set[str] = set()
        for values in rows:
            read = callrows.row_of(values, source, session)
            message = reconcile.message_of(read)
            if message in told:  # by another request, or in another piece of the batch
                known.pop(message, None)
                known.update(callrows.rows_of(connection, [message]))
            told.add(message)
            row = self._apart(connection, read, known)
            if row is not None:
                yield row

    def _apart(self, connection: sqlite3.Connection, row: Row, known: dict[str, Row]) -> Row | None:
        """A row of Claude under the name of its response (`reconcile.named`), which is in `known`
        if there is one; None where nothing says to which of several responses it belongs.
        """  # noqa: D205
        message = reconcile.message_of(row)
        before = known.get(message)
        if row.id == message and (
            before is None or (before.turn_id, _request(before)) == (row.turn_id, _request(row))
        ):
            return row
        told = {one.id: one for one in callrows.of_message(connection, message)}
        known.update(told)
        for one in told.values():
            if one.source != row.source:  # only together they tell which is called by the message
                self._pair(connection, one, row, same=False)
        requests = {name: _request(one) for name, one in told.items()}
        if _request(row) is None and len(told) > 1:
            return None
        if _request(row) not in (None, requests.get(message)) and self._is_loose(
            connection, message
        ):
            known[message] = self._without_loose(connection, told[message])
        name, moved = reconcile.named(message, _request(row), requests)
        if moved:
            known[moved] = self._rename(connection, known.pop(name), moved)
        return row._replace(id=name)

    def _rename(self, connection: sqlite3.Connection, row: Row, name: str) -> Row:
        connection.execute("update call set id = ? where id = ?", (name, row.id))
        connection.execute("update fact_call set call = ? where call = ?", (name, row.id))
        connection.execute(
            "update or replace told_again set call = ? where call = ?", (name, row.id)
        )
        connection.execute("insert or ignore into fact_touched values (?)", (row.source,))
        return row._replace(id=name)

    def merge(self, connection: sqlite3.Connection, before: Row, row: Row) -> Row:
        """Tell one call that logs told twice; returns what that adds to the log that is read.

        The outcome is the same in whatever order they are read.
        """
        own = before.source == row.source or before.source is None
        first = not own and self._place(connection, row) < self._place(connection, before)
        if not own:
            self._pair(connection, before, row)
        if row.provider == "claude":
            self._keep_apart(connection, before, row)
            after = self._larger(before, row, first=first)
            if own and (row.source, row.offset) not in self._guessed:
                self._guessed.discard((before.source or 0, before.offset or 0))
        else:
            told = row if before.seen == reconcile.LOG else reconcile.join(row, before)
            after = told if first else before
        if after != before:
            self._calls.replace(connection, before, after)
        if after.source != before.source:
            self._leave(connection, before)
            return after
        more = after._replace(
            input=after.input - before.input,
            cached=after.cached - before.cached,
            output=after.output - before.output,
            reasoning=after.reasoning - before.reasoning,
            seen=0,
        )
        if own:
            return more
        cursors.recount(connection, more, 0)
        return more._replace(input=0, cached=0, output=0, reasoning=0)

    def _larger(self, before: Row, row: Row, *, first: bool) -> Row:
        """What two tellings of Claude's come to; a guessed time gives way to one that is told."""
        if before.source == row.source:
            guessed, again = ((one.source, one.offset) in self._guessed for one in (before, row))
            if guessed and not again:
                before = before._replace(started_at=row.started_at, duration_ms=None)
            elif again and not guessed:
                row = row._replace(started_at=before.started_at)
        return reconcile.larger(before, row, first=first)

    def _is_loose(self, connection: sqlite3.Connection, name: str) -> bool:
        """Whether lines without a request added something to a call that has one."""
        if self._loosely is None:
            found = connection.execute("select call from told_loosely")
            self._loosely = {call for (call,) in found}
        return name in self._loosely

    def _keep_apart(self, connection: sqlite3.Connection, before: Row, row: Row) -> None:
        """Keep what a call is without the lines that name no request, before these are added."""
        if reconcile.ASIDE in (before.initiator, row.initiator):
            return
        if self._is_loose(connection, before.id):
            if row.turn_id is None:
                return
            alone = self._alone(connection, before.id)
            own = alone.source == row.source
            first = not own and self._place(connection, row) < self._place(connection, alone)
            alone = self._larger(alone, row, first=first)
        elif bool(before.turn_id) != bool(row.turn_id):
            alone = before if before.turn_id else row
        else:
            return
        connection.execute(
            "replace into told_loosely values (?, ?)", (before.id, shortjson.dumps(list(alone)))
        )
        if self._loosely is not None:
            self._loosely.add(before.id)

    def _alone(self, connection: sqlite3.Connection, name: str) -> Row:
        found = connection.execute("select alone from told_loosely where call = ?", (name,))
        return Row(*shortjson.loads(found.fetchone()[0]))

    def _without_loose(self, connection: sqlite3.Connection, row: Row) -> Row:
        """Take from a call what lines without a request added, as its message has several."""
        alone = reconcile.priced(self._alone(connection, row.id)._replace(id=row.id))
        self._forget_loose(connection, row.id)
        self._calls.replace(connection, row, alone)
        if row.source == alone.source:
            cursors.uncount(connection, row)
        else:
            self._leave(connection, row)
        cursors.recount(connection, alone, 1)
        connection.execute("insert or ignore into fact_touched values (?)", (alone.source,))
        return alone

    def take_back(self, connection: sqlite3.Connection, name: str) -> None:
        """Forget what is known of how a call was told, as it is removed."""
        connection.execute("delete from told_again where call = ?", (name,))
        self._forget_loose(connection, name)

    def _forget_loose(self, connection: sqlite3.Connection, name: str) -> None:
        if self._is_loose(connection, name) and self._loosely is not None:
            self._loosely.discard(name)
            connection.execute("delete from told_loosely where call = ?", (name,))

    def grows(self, connection: sqlite3.Connection, source: Source, batch: Batch) -> None:
        """Note that a log of Claude tells of more, before it is stored."""
        self._places.pop(source.id, None)
        self._guessed.update((source.id, place) for place in batch.guessed)
        began = (batch.state.get("meta") or {}).get("started")
        if began is not None:
            self._began[source.id] = began
        shared = connection.execute(
            "select 1 from told_twice where one = ?1 or other = ?1", (source.id,)
        )
        if shared.fetchone():
            self._doubtful.add(source.id)

    def _place(self, connection: sqlite3.Connection, row: Row) -> tuple[Any, ...]:
        """Where the log of a row stands among those that tell of the same call."""
        number = row.source or 0
        place = self._places.get(number)
        if place is None:
            place = self._places[number] = self._place_of(connection, number)
        return place

    def _place_of(self, connection: sqlite3.Connection, number: int) -> tuple[Any, ...]:
        found = connection.execute(
            "select provider, name, json_extract(state, '$.meta.started'), alone from source_file "
            "where id = ?",
            (number,),
        ).fetchone()
        provider, name, began, alone = found or ("", "", None, None)
        if provider != "claude":
            return False, False, 0, False, name
        return claude.first_told(name, self._began.get(number, began), bool(alone))

    def judge(self, connection: sqlite3.Connection) -> None:
        """Have logs of Claude read anew of which another turned out to be the original.

        Call it once logs were stored: which ones have calls of their own is known only then.
        """
        doubtful, self._doubtful = self._doubtful, set()
        self._began.clear()
        self._places.clear()
        pairs = set()
        before: dict[int, tuple[Any, ...]] = {}
        for source in doubtful:
            for pair in connection.execute(
                "select one, other from told_twice where one = ?1 or other = ?1", (source,)
            ).fetchall():
                pairs.add(pair)
        for source in {number for pair in pairs for number in pair}:
            before[source] = self._place_of(connection, source)
            connection.execute(_ALONE, (source,))
        after = {source: self._place_of(connection, source) for source in before}
        for one, other in pairs:
            if (before[one] < before[other]) != (after[one] < after[other]):
                self._reread |= {one, other}

    def is_in_doubt(self) -> bool:
        """Whether there is something to judge."""
        return bool(self._doubtful)

    def _pair(
        self, connection: sqlite3.Connection, before: Row, row: Row, *, same: bool = True
    ) -> None:
        """Note that two logs told of the same call, or (not `same`) of two of one message."""
        one, other = sorted((int(before.source or 0), int(row.source or 0)))
        if row.provider == "claude":
            self._doubtful |= {one, other}
        if row.provider == "claude" and same:
            connection.execute("insert or ignore into told_again values (?)", (row.id,))
        if (one, other) not in self._paired:
            self._paired.add((one, other))
            connection.execute("insert or ignore into told_twice values (?, ?)", (one, other))

    def settled(
        self, connection: sqlite3.Connection, jobs: Sequence[Job], repeats: Repeats
    ) -> None:
        """Note what `_pair` and `judge` would of logs that were stored with each response in one
        of them only.
        """  # noqa: D205
        names = ((name,) for name in repeats.names)
        connection.executemany("insert or ignore into told_again values (?)", names)
        pairs = [sorted(jobs[job].source.id for job in pair) for pair in repeats.pairs]
        connection.executemany(
            "insert or ignore into told_twice values (?, ?)", [pair for pair in pairs if pair[0]]
        )
        connection.executemany(
            "update source_file set alone = ? where id = ?",
            [(alone, jobs[job].source.id) for job, alone in repeats.alone.items()],
        )

    def companions(self, connection: sqlite3.Connection, sources: Iterable[int]) -> list[set[int]]:
        """The logs that can be read anew only together with each of `sources`, itself among them.

        These are, of those that are there, the ones that told of the same calls, and the forks
        whose heads are known by a log's calls.
        """
        found: list[set[int]] = []
        done: set[int] = set()
        for source in sources:
            if source in done:
                continue
            group, left = {source}, [source]
            while left:
                for (number,) in connection.execute(_COMPANIONS, (left.pop(),)).fetchall():
                    if number not in group:
                        group.add(number)
                        left.append(number)
            done |= group
            found.append(group)
        return found

    def renew(self, connection: sqlite3.Connection, sources: Iterable[int]) -> None:
        """Have logs read anew that were renamed or are back, where others told of their calls."""
        self._places.clear()
        for source in sources:
            found = connection.execute(
                "select 1 from told_twice where one = ?1 or other = ?1", (source,)
            )
            if found.fetchone():
                self._reread.add(source)

    def _leave(self, connection: sqlite3.Connection, row: Row) -> None:
        """Let a file that told of a call be as if it had not: another file's telling counts."""
        cursors.uncount(connection, row)
        connection.execute(
            "update fact_call set call = null where source = ? and call = ?", (row.source, row.id)
        )
        connection.execute("insert or ignore into fact_touched values (?)", (row.source,))


def _request(row: Row) -> str | None:
    return None if reconcile.loose(row.initiator, row.turn_id) else row.turn_id
