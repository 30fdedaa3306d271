"""The ledger's writes: rows, sessions, threads and rollups, always in one transaction."""

from __future__ import annotations

from server import shortjson
from server.accounts import windows
from server.ingest import claude, codex, folders, reconcile
from server.ingest.reader import CLAUDE_COLUMNS, COLUMNS, CUT_OFF, SUMS, Batch
from server.ingest.reconcile import Finished, Fork, Row
from server.lazy import defaultdict
from server.store import db, sqlite
from server.usage import roots
from server.usage.days import chosen
from server.usage.pricing import edition

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from server.ingest.files import Source
    from server.usage.days import Days

    Delta = tuple[str, str, str, str, str]  # day, provider, model, project, account

# The kinds of warning that are no lost line.
_HARMLESS = {
    "unusual_shape", "mended_number", "mended_time", "mended_text", "unreadable", CUT_OFF,
    "unknown_line", "unknown_event", "missing_total", "missing_last", "partial_count", "bad_window",
}  # fmt: skip
_BY_ID = "create unique index if not exists call_id on call(id)"
_DEPTH = 50  # forks of forks; what goes deeper is a circle
_NO_PROJECT = (
    "delete from project where key = ?1 and not exists (select 1 from session where project = ?1)"
)
_ROW = ", ".join(Row._fields).replace("offset", '"offset"')
_MARKS = ", ".join("?" * len(Row._fields))
_COLUMNS = COLUMNS.replace("offset", '"offset"')
_COUNT = COLUMNS.count(",") + 1


class Ledger:
    """What all witnesses saw, one row a response. Every method runs inside a transaction."""

    def __init__(self) -> None:
        self._deltas: dict[Delta, list[int]] = defaultdict(lambda: [0] * SUMS)
        self.fresh = False  # no witness but the logs has told of a call yet
        # While a bulk load runs: the next number of a table's rows that are not part of it.
        self.numbers: dict[str, int] = {}
        self.reread: set[int] = set()  # files whose copied heads can now be told
        # Folders with sessions that are not as they were (reviews.py); None: nobody knows which.
        self.stirred: set[str] | None = None
        # By a log's number, what tells whose the calls are that several tell of.
        self._places: dict[int, tuple[Any, ...]] = {}
        self._began: dict[int, int] = {}  # the same, what is not stored yet
        self._doubtful: set[int] = set()  # logs that share calls: which is the copy?
        self._paired: set[tuple[int, int]] = set()  # what is in `told_twice` for sure
        self._projects: dict[str, str] = {}  # by working folder
        self._roots: dict[str, str] = {}  # by project

    # ── days ──────────────────────────────────────────────────────────────────────────

    def days(self) -> Days:
        """The days of the zone that is set."""
        return chosen()

    def keep_zone(self, connection: sqlite3.Connection) -> None:
        """Count the days anew when the zone is another than the one they were counted in."""
        wanted = self.days().zone or _system_zone()
        known = connection.execute("select value from ledger_note where name = 'zone'").fetchone()
        if known and known[0] == wanted:
            return
        if known:
            self.rebuild(connection)
        else:  # nothing is stored yet: what comes is priced by this edition
            connection.execute(
                "insert or ignore into ledger_note values ('edition', ?)", (edition(),)
            )
        connection.execute("replace into ledger_note values ('zone', ?)", (wanted,))

    def rebuild(self, connection: sqlite3.Connection) -> None:
        """Make the rollups anew from the calls."""
        days = self.days()
        connection.create_function("local_day", 1, days.of, deterministic=True)
        connection.execute("delete from daily_usage")
        for heading, name in (
            ("model", "coalesce(call.model, '')"),
            ("project", "coalesce(session.project, '')"),
            ("account", "coalesce(call.account, '')"),
        ):
            connection.execute(
                "insert into daily_usage(day, heading, provider, name, calls, input, cached, "  # noqa: S608
                "output, reasoning, cost, unpriced) "
                f"select local_day(call.started_at), '{heading}', call.provider, {name}, count(*), "
                "sum(input), sum(cached), sum(output), sum(reasoning), sum(coalesce(cost, 0)), "
                "sum(cost is null) from call left join session on session.id = call.session "
                f"group by local_day(call.started_at), call.provider, {name}"
            )

    def _count(self, row: Row, project: str | None, sign: int = 1) -> None:
        key = (
            self.days().of(row.started_at),
            row.provider,
            row.model or "",
            project or "",
            row.account or "",
        )
        total = self._deltas[key]
        total[0] += sign
        total[1] += sign * row.input
        total[2] += sign * row.cached
        total[3] += sign * row.output
        total[4] += sign * row.reasoning
        total[5] += sign * (row.cost or 0)
        total[6] += sign * (row.cost is None)

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write the rollups' changes; call it before the transaction ends."""
        folded: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0] * SUMS)
        for (day, provider, model, project, account), sums in self._deltas.items():
            for heading, name in (("model", model), ("project", project), ("account", account)):
                total = folded[(day, heading, provider, name)]
                for place, value in enumerate(sums):
                    total[place] += value
        projects = {key[3] for key, sums in self._deltas.items() if sums[0] > 0}
        self._deltas.clear()
        if not folded:
            return
        connection.executemany(
            # Where capitals tell no folders apart, each order of the logs shows the same one.
            "insert into project(key, root) values (?, ?) on conflict(key) do update "
            "set root = excluded.root where excluded.root < root",
            [(key, self._roots[key]) for key in projects if key in self._roots],
        )
        connection.executemany(
            "insert into daily_usage(day, heading, provider, name, calls, input, cached, output, "
            "reasoning, cost, unpriced) values (?,?,?,?,?,?,?,?,?,?,?) "
            "on conflict(heading, day, provider, name) do update set calls = calls + excluded.calls"
            ", input = input + excluded.input, cached = cached + excluded.cached"
            ", output = output + excluded.output, reasoning = reasoning + excluded.reasoning"
            ", cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced",
            # What came and went again leaves no trace.
            [(*key, *sums) for key, sums in folded.items() if any(sums)],
        )
        if any(sums[0] < 0 for sums in folded.values()):
            connection.execute("delete from daily_usage where calls = 0")

    def forget(self) -> None:
        """Drop what was counted for a transaction that failed."""
        self._deltas.clear()
        self._paired.clear()
        self._places.clear()

    # ── the proxy's side ──────────────────────────────────────────────────────────────

    def see_requests(self, connection: sqlite3.Connection, finished: Sequence[Finished]) -> None:
        """Join finished requests with the ledger, inside the recorder's transaction."""
        try:
            named = {one.response_id for one in finished if one.response_id}
            known = _rows(connection, list(named))  # all at once: each statement costs the proxy
            for one in finished:
                self._see(connection, one, known)
            self.flush(connection)
        except BaseException:
            self.forget()
            raise

    def _see(self, connection: sqlite3.Connection, one: Finished, known: dict[str, Row]) -> None:
        session, project, logged = self._session_for(connection, one)
        row = reconcile.from_proxy(one, session)
        if row is None:
            return
        same = known.get(row.id)
        if same is None and logged:
            same = _twin(connection, row, reconcile.LOG)
        self.fresh = False
        if same is None:
            self._insert(connection, [row])
            self._count(row, project)
        elif same.seen & reconcile.PROXY == 0:
            # The response id names the call for ever; a made-up id gives way to it.
            row = reconcile.join(same, row)._replace(id=row.id)
            self._replace(connection, same, row)
        else:
            return
        known[row.id] = row  # it may come twice at once

    def _session_for(
        self, connection: sqlite3.Connection, one: Finished
    ) -> tuple[int | None, str | None, bool]:
        """The session of a request, its project, and whether a log has told of it."""
        if not one.session_id:
            return None, None, False
        found = connection.execute(
            "select id, thread, project, source from session where key = ?", (one.session_id,)
        ).fetchone()
        if found:
            connection.execute(
                "update thread set last_at = coalesce(max(last_at, ?1), ?1) where id = ?2",
                (one.ended_at, found[1]),
            )
            return int(found[0]), found[2], found[3] is not None
        parent = one.parent if one.parent != one.session_id else None
        meta = {
            "client": one.client, "started": one.started_at, "kind": one.kind, "parent": parent,
            "title": one.title,
        }  # fmt: skip
        added = _add_session(connection, one.session_id, "codex", meta, None, one.ended_at)[0]
        return added, None, False

    # ── the logs' side ────────────────────────────────────────────────────────────────

    def store(self, connection: sqlite3.Connection, source: Source, batch: Batch) -> None:
        """Add what a stretch of a log said, and its cursor."""
        batch.take_rows()
        if not source.id:
            source.id = _add_source(connection, source, self._number("source_file"))
        if source.provider == "claude" and batch.rows:
            self._grows(connection, source, batch)
        session = project = None
        owner = batch.state.get("owner")
        if owner:
            session, project = self._session(connection, source, batch)
        rows: Sequence[tuple[Any, ...]] = batch.rows
        if rows and owner and codex.legacy(rows[0][0]):
            rows = self._own(connection, source, batch, session)
        added = self._take(connection, source, session, project, rows, batch)
        if owner and batch.rows and codex.legacy(batch.rows[0][0]):
            self.settle(connection, owner)
        for name in batch.compactions:
            connection.execute("update call set initiator = 'compaction' where id = ?", (name,))
        if batch.limits:
            snapshots(connection, batch.limits)
        _move_cursor(connection, source, batch, added)

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
        if unseen and self._bulk(connection, source, session, rows):
            return self._count_batch(source, project, rows, batch)
        known = _rows(connection, sorted(names))
        added = [0] * SUMS
        for row in self._told(connection, source, session, rows, known):
            before = known.get(row.id) or _twin(connection, row, reconcile.PROXY)
            if before is None:
                self._insert(connection, [row])
                self._count(row, project)
            elif before.seen & reconcile.LOG:
                # The same response again: another file's copy, or Claude's next line about it.
                row = self._merge(connection, before, row)
            else:
                self._replace(connection, before, reconcile.join(row, before))
            new = int(row.seen != 0)
            for place, value in enumerate(
                (new, row.input, row.cached, row.output, row.reasoning), start=0
            ):
                added[place] += value
        return added

    def _told(
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
                yield _row(values, source, session)
            return
        told: set[str] = set()
        for values in rows:
            read = _row(values, source, session)
            message = reconcile.message_of(read)
            if message in told:  # by another request, or in another piece of the batch
                known.pop(message, None)
                known.update(_rows(connection, [message]))
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
        told = {one.id: one for one in _message(connection, message)}
        known.update(told)
        for one in told.values():
            if one.source != row.source:  # only together they tell which is called by the message
                self._pair(connection, one, row)
        requests = {name: _request(one) for name, one in told.items()}
        if _request(row) is None and len(told) > 1:
            return None
        name, moved = reconcile.named(message, _request(row), requests)
        if moved:
            known[moved] = self._rename(connection, known.pop(name), moved)
        return row._replace(id=name)

    def _rename(self, connection: sqlite3.Connection, row: Row, name: str) -> Row:
        connection.execute("update call set id = ? where id = ?", (name, row.id))
        connection.execute("update fact_call set call = ? where call = ?", (name, row.id))
        connection.execute("insert or ignore into fact_touched values (?)", (row.source,))
        return row._replace(id=name)

    def _merge(self, connection: sqlite3.Connection, before: Row, row: Row) -> Row:
        """Tell one call that logs told twice; returns what that adds to the log that is read.

        The outcome is the same in whatever order they are read.
        """
        own = before.source == row.source or before.source is None
        first = not own and self._place(connection, row) < self._place(connection, before)
        if not own:
            self._pair(connection, before, row)
        if row.provider == "claude":
            after = reconcile.larger(before, row, first=first)
        else:
            told = row if before.seen == reconcile.LOG else reconcile.join(row, before)
            after = told if first else before
        if after != before:
            self._replace(connection, before, after)
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
        _recount(connection, more, 0)
        return more._replace(input=0, cached=0, output=0, reasoning=0)

    def _grows(self, connection: sqlite3.Connection, source: Source, batch: Batch) -> None:
        """Note that a log of Claude tells of more, before it is stored."""
        self._places.pop(source.id, None)
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
                self.reread |= {one, other}

    def is_in_doubt(self) -> bool:
        """Whether there is something to judge."""
        return bool(self._doubtful)

    def _pair(self, connection: sqlite3.Connection, before: Row, row: Row) -> None:
        """Note that two logs told of the same call."""
        one, other = sorted((int(before.source or 0), int(row.source or 0)))
        if row.provider == "claude":
            self._doubtful |= {one, other}
            connection.execute("insert or ignore into told_again values (?)", (row.id,))
        if (one, other) not in self._paired:
            self._paired.add((one, other))
            connection.execute("insert or ignore into told_twice values (?, ?)", (one, other))

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
                self.reread.add(source)

    def _leave(self, connection: sqlite3.Connection, row: Row) -> None:
        """Let a file that told of a call be as if it had not: another file's telling counts."""
        _uncount(connection, row)
        connection.execute(
            "update fact_call set call = null where source = ? and call = ?", (row.source, row.id)
        )
        connection.execute("insert or ignore into fact_touched values (?)", (row.source,))

    def _bulk(
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

    def _count_batch(
        self,
        source: Source,
        project: str | None,
        rows: Sequence[tuple[Any, ...]],
        batch: Batch,
    ) -> list[int]:
        if len(rows) == len(batch.rows):
            return self.count_days(source.provider, project, batch)
        return self.count_days(source.provider, project, Batch(days=self.sums(rows)))

    def cut(self, batch: Batch, count: int) -> None:
        """Take the first calls out of a batch that nothing is stored of."""
        if batch.held:
            batch.held.cut(batch, count)
            return
        rows = batch.rows
        batch.rows = rows[count:]
        if count > len(batch.rows):
            batch.days = self.sums(batch.rows)
            return
        for key, sums in self.sums(rows[:count]).items():
            left = [value - gone for value, gone in zip(batch.days[key], sums, strict=True)]
            batch.days[key] = left
            if not left[0]:
                del batch.days[key]

    def sums(self, rows: Sequence[tuple[Any, ...]]) -> dict[tuple[str, str], list[int]]:
        """Rows of a reader by day and model."""
        day = self.days().of
        found: dict[tuple[str, str], list[int]] = {}
        for row in rows:
            total = found.setdefault((day(row[5]), row[2] or ""), [0] * SUMS)
            total[0] += 1
            total[1] += row[7]
            total[2] += row[8]
            total[3] += row[10]
            total[4] += row[11]
            total[5] += row[15] or 0
            total[6] += row[15] is None
        return found

    def count_days(self, provider: str, project: str | None, batch: Batch) -> list[int]:
        """Add a batch's sums to the rollups; returns them over all its days."""
        added = [0] * SUMS
        for (day, model), sums in batch.days.items():
            total = self._deltas[(day, provider, model, project or "", "")]
            for place, value in enumerate(sums):
                total[place] += value
                added[place] += value
        return added

    def _insert(self, connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
        connection.executemany(f"insert into call({_ROW}) values ({_MARKS})", rows)  # noqa: S608

    def _replace(self, connection: sqlite3.Connection, before: Row, after: Row) -> None:
        self._count(before, _project_of(connection, before.session), -1)
        connection.execute("delete from call where id = ?", (before.id,))
        if codex.legacy(after.id):
            after = after._replace(id=before.id)
        self._insert(connection, [after])
        self._count(after, _project_of(connection, after.session))

    def take_back(self, connection: sqlite3.Connection, sources: Iterable[int]) -> None:
        """Remove what logs said, before they are read anew; other witnesses' rows stay."""
        numbers = list(sources)
        for source in numbers:
            for values in connection.execute(
                f"select {_ROW} from call where source = ?",  # noqa: S608
                (source,),
            ).fetchall():
                self._drop(connection, Row(*values))
                connection.execute("delete from told_again where call = ?", (values[0],))
            _empty(connection, source)
        self._paired.clear()
        # Among themselves they tell it again.
        among = "(select value from json_each(?1))"
        connection.execute(
            f"delete from told_twice where one in {among} and other in {among}",  # noqa: S608
            (shortjson.dumps(numbers),),
        )

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
                self._take_out(connection, source)
                self.reread.add(source)
            self.flush(connection)
            connection.execute(_BY_ID)

    def _take_out(self, connection: sqlite3.Connection, source: int) -> None:
        for values in connection.execute(
            f"select {_ROW} from call where source = ?",  # noqa: S608
            (source,),
        ).fetchall():
            row = Row(*values)
            self._count(row, _project_of(connection, row.session), -1)
        connection.execute("delete from call where source = ?", (source,))
        _empty(connection, source)

    def hand_over(self, connection: sqlite3.Connection, gone: int, copy: int) -> None:
        """Make the rows of a file that is gone those of a file that says the same."""
        connection.execute("update call set source = ? where source = ?", (copy, gone))
        connection.execute("update session set source = ? where source = ?", (copy, gone))
        sums = ("calls", "input", "cached", "output", "reasoning")
        added = ", ".join(f"{name} = source_file.{name} + old.{name}" for name in sums)
        connection.execute(
            f"update source_file set {added} from source_file old "  # noqa: S608 - our names
            "where old.id = ? and source_file.id = ?",
            (gone, copy),
        )
        connection.execute("delete from source_file where id = ?", (gone,))
        connection.execute(
            "insert or ignore into told_twice select min(id, ?2), max(id, ?2) from "
            "(select one + other - ?1 as id from told_twice where ?1 in (one, other)) "
            "where id != ?2",
            (gone, copy),
        )
        connection.execute("delete from told_twice where ?1 in (one, other)", (gone,))
        self._places.clear()
        self._paired.clear()
        named = connection.execute(
            "select name from source_file where id = ? and provider = 'claude'", (copy,)
        ).fetchone()
        if named:
            self.follow(connection, named[0])

    def follow(self, connection: sqlite3.Connection, name: str) -> None:
        """Count a session of Claude under the project that its log's new name tells."""
        key = claude.owner_of(name)
        found = connection.execute(
            "select id, thread, project, cwd from session where key = ? and provider = 'claude'",
            (key,),
        ).fetchone()
        cwd = claude.folder_of(name, found[3]) if found else None
        if not found or cwd == found[3]:
            return
        session, thread, before, _ = found
        project = self.project(cwd)
        try:
            self._count_for(connection, session, before, project)
            self.flush(connection)
        except BaseException:
            self.forget()
            raise
        connection.execute(
            "update session set project = ?, cwd = ? where id = ?", (project, cwd, session)
        )
        connection.execute(
            "update thread set project = ? where id = ? and id = ?", (project, thread, key)
        )
        connection.execute(_NO_PROJECT, (before,))

    def _count_for(
        self, connection: sqlite3.Connection, session: int, before: str | None, project: str | None
    ) -> None:
        """Count a session's calls for another project than before."""
        for values in connection.execute(
            f"select {_ROW} from call where session = ?",  # noqa: S608
            (session,),
        ):
            row = Row(*values)
            self._count(row, before, -1)
            self._count(row, project)

    def _drop(self, connection: sqlite3.Connection, row: Row) -> None:
        """Remove what a log said of a call; what other witnesses saw stays."""
        self._count(row, _project_of(connection, row.session), -1)
        connection.execute("delete from call where id = ?", (row.id,))
        rest = reconcile.without_log(row)
        if rest is not None:
            self._insert(connection, [rest])
            self._count(rest, _project_of(connection, rest.session))

    # ── copied heads of forks ─────────────────────────────────────────────────────────

    def _own(
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
            "select id, key, source, started_at, inherited, guessed from session "
            "where parent = ? and source is not null",
            (parent,),
        ).fetchall()
        known = sequence(connection, parent) if forks and depth <= _DEPTH else None
        if known is None:
            return
        for session, key, source, started, matched, guessed in forks:
            if guessed:
                self._reread(connection, session, source)  # that settles its own forks
                continue
            if matched < len(known):
                fork = Fork(started_at=started, written_at=None, burst=False, matched=matched)
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
            f'select {_ROW} from call where session = ? and seen & 1 order by "offset"',  # noqa: S608
            (session,),
        ):
            row = Row(*values)
            emitted = (row.running, row.input, row.cached, row.output, row.reasoning)
            # What a response id names is a call, not the copy of one.
            if not codex.legacy(row.id) or not reconcile.inherited(
                [(row.started_at, emitted)], known, fork
            ):
                break
            fork.matched += 1
            gone.append(row)
        if not gone:
            return
        for row in gone:
            self._drop(connection, row)
            _uncount(connection, row)
        connection.execute("update session set inherited = ? where id = ?", (fork.matched, session))

    def _session(
        self, connection: sqlite3.Connection, source: Source, batch: Batch
    ) -> tuple[int, str | None]:
        """The session of a batch and its project, made or brought up to date."""
        state = batch.state
        meta = dict(state.get("meta") or {})
        meta["parent"] = meta.get("parent") or state.get("foreign")
        known = connection.execute(
            "select project, cwd from session where key = ?", (state["owner"],)
        )
        before = known.fetchone()
        if source.provider == "claude":
            before = self._describe(connection, source, state["owner"], meta) or before
        else:
            self.stir(meta.get("cwd"), before and before[1])
        # It counts for what it always did, whatever became of the folder; the folder is asked for
        # all the same, as a session that had no calls yet may be the first of its project.
        of_folder = self.project(meta.get("cwd"))
        meta["project"] = (before and before[0]) or of_folder
        last = meta.get("written") if batch.last is None else batch.last
        owner = state["owner"]
        meta["number"] = self._number("session")
        session, thread, new = _add_session(
            connection, owner, source.provider, meta, source.id, last
        )
        if new:
            self.adopt(connection, owner, thread)
        # What a sub-agent is asked is no person's word.
        own = source.provider != "claude" or claude.is_own(source.name)
        if own and state.get("title") and thread == owner:
            connection.execute(
                "update thread set title = ?, title_source = 'first_message' "
                "where id = ? and title is null",
                (state["title"], thread),
            )
        if before and not before[0]:  # the proxy knows no folders
            meta["project"] = _project_of(connection, session)
            if meta["project"]:
                self._count_for(connection, session, None, meta["project"])
        return session, meta["project"]

    def stir(self, *folders: str | None) -> None:
        """Note that sessions of these folders are not as they were."""
        if self.stirred is not None:
            self.stirred.update(filter(None, folders))

    def _describe(
        self, connection: sqlite3.Connection, source: Source, key: str, meta: dict[str, Any]
    ) -> tuple[str | None] | None:
        """Let a log's `meta` tell of a session of Claude what holds: what its foremost log says.

        Returns the session's project where a log has told of it before.
        """
        place = claude.foremost(source.name, meta.get("cwd"))
        meta["cwd"] = claude.folder_of(source.name, meta.get("cwd"))
        known = connection.execute(
            "select s.id, s.project, s.cwd, f.name, json_extract(f.state, '$.meta.cwd') "
            "from session s "
            "join source_file f on f.id = s.source where s.key = ?",
            (key,),
        ).fetchone()
        if known is None:
            return None
        session, before, cwd, name, said = known
        if place < claude.foremost(name, said):
            return (self._move(connection, session, key, before, meta),)
        meta.update(cwd=cwd, branch=None, client=None, version=None, behind=name != source.name)
        return (before,)

    def _move(
        self,
        connection: sqlite3.Connection,
        session: int,
        key: str,
        before: str | None,
        meta: dict[str, Any],
    ) -> str | None:
        """Have a session be described by another log than before; returns its project."""
        project = self.project(meta["cwd"])
        if project != before:
            self._count_for(connection, session, before, project)
        connection.execute(
            "update session set project = ?, cwd = ?, branch = ?, client = ?, client_version = ? "
            "where id = ?",
            (project, *(meta.get(k) for k in ("cwd", "branch", "client", "version")), session),
        )
        connection.execute("update thread set project = ? where id = ?", (project, key))
        connection.execute(_NO_PROJECT, (before,))
        return project

    def adopt(self, connection: sqlite3.Connection, owner: str, thread: str) -> None:
        """Children that were read before their parent: join its thread, be told apart anew."""
        for session, child, kind, guessed, source in connection.execute(
            "select id, key, kind, guessed, source from session where parent = ?", (owner,)
        ).fetchall():
            if kind != "user" and thread != child:
                connection.execute(
                    "update session set thread = ? where thread = ?", (thread, child)
                )
                connection.execute(
                    "update session set thread = ? where thread = ?", (thread, owner)
                )
                for former in {child, owner} - {thread}:
                    _merge_thread(connection, former, thread)
            if guessed and source:
                self._reread(connection, session, source)

    def _reread(self, connection: sqlite3.Connection, session: int, source: int) -> None:
        """Have a session's logs read anew: the last one that told of it, and whose calls it has."""
        self.reread.add(int(source))
        self.reread.update(
            int(number)
            for (number,) in connection.execute(
                "select distinct source from call where session = ? and source is not null",
                (session,),
            )
        )

    def project(self, cwd: str | None) -> str | None:
        """The key of a folder's project. Starts no process."""
        if not cwd:
            return None
        key = self._projects.get(cwd)
        if key is None:
            root = folders.root_of(cwd)
            key = self._projects[cwd] = roots.key(root)
            self._roots[key] = min(root, self._roots.get(key, root))
        return key


def _merge_thread(connection: sqlite3.Connection, former: str, thread: str) -> None:
    """What was a thread until its parent was known becomes a part of another."""
    connection.execute(
        "update thread set last_at = coalesce(max(thread.last_at, old.last_at), thread.last_at, "
        "old.last_at), "
        "started_at = min(coalesce(thread.started_at, old.started_at), "
        "coalesce(old.started_at, thread.started_at)) "
        "from thread old where old.id = ? and thread.id = ?",
        (former, thread),
    )
    connection.execute(
        "delete from thread where id = ?1 and not exists (select 1 from session where thread = ?1)",
        (former,),
    )


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
    )
    return reconcile.inherited(emissions(batch), known, fork), known is None


def emissions(batch: Batch) -> list[tuple[int, tuple[Any, ...]]]:
    """When each call was, and what its client told of it (`Emitted`)."""
    if batch.held:
        return batch.held.emitted()
    return [(row[5], (row[12], row[7], row[8], row[10], row[11])) for row in batch.rows]


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
        "select running, input, cached, output, reasoning from call "
        'where session = ? and seen & 1 order by "offset"',
        (session,),
    ).fetchall()
    return head + own


def _row(values: tuple[Any, ...], source: Source, session: int | None) -> Row:
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


def _rows(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for start in range(0, len(names), 500):
        part = names[start : start + 500]
        marks = ",".join("?" * len(part))
        for values in connection.execute(
            f"select {_ROW} from call where id in ({marks})",  # noqa: S608
            part,
        ):
            found[values[0]] = Row(*values)
    return found


def _message(connection: sqlite3.Connection, message: str) -> list[Row]:
    """The responses of one message of Claude."""
    found = connection.execute(
        f"select {_ROW} from call where id = ? union all "  # noqa: S608
        f"select {_ROW} from call where id > ? and id < ?",
        (message, f"{message}#", f"{message}$"),
    )
    rows = [Row(*values) for values in found.fetchall()]
    return [row for row in rows if reconcile.message_of(row) == message]


def _request(row: Row) -> str | None:
    return None if reconcile.loose(row.initiator, row.turn_id) else row.turn_id


def _twin(connection: sqlite3.Connection, row: Row, other: int) -> Row | None:
    """The same call under another name: only logs without response ids make such pairs."""
    if row.session is None or (other == reconcile.PROXY and not codex.legacy(row.id)):
        return None
    for values in connection.execute(
        f"select {_ROW} from call where session = ? and started_at between ? and ? and seen = ?",  # noqa: S608
        (row.session, row.started_at - 120_000, row.started_at + 120_000, other),
    ):
        found = Row(*values)
        made_up = codex.legacy(found.id) or codex.legacy(row.id)
        if made_up and reconcile.same_call(row, found):
            return found
    return None


def _project_of(connection: sqlite3.Connection, session: int | None) -> str | None:
    if session is None:
        return None
    found = connection.execute("select project from session where id = ?", (session,)).fetchone()
    return found[0] if found else None


def _add_source(connection: sqlite3.Connection, source: Source, number: int | None) -> int:
    cursor = connection.execute(
        'insert into source_file(id, provider, name, path, inode, size, mtime_ns, "offset", '
        "fingerprint, state, archived, missing, calls, input, cached, output, reasoning, skipped, "
        "warnings, indexed_at) values (?,?,?,?,?,?,?,0,'','{}',?,0,0,0,0,0,0,0,'{}',?)",
        (
            number,
            source.provider,
            source.name,
            source.path,
            source.inode,
            source.size,
            source.mtime_ns,
            source.archived,
            db.now_ms(),
        ),
    )
    return int(cursor.lastrowid or 0)


def skipped_lines(batch: Batch) -> int:
    """How many lines of a batch are lost."""
    return sum(n for kind, n in batch.warnings.items() if kind not in _HARMLESS)


def _empty(connection: sqlite3.Connection, source: int) -> None:
    """Let a file and its session be as if nothing of it had been read."""
    # The head that another log of the session begins with is still cut out of that one's calls.
    connection.execute(
        "update session set inherited = 0, guessed = 0 where (source = ?1 or key = "
        "(select json_extract(state, '$.owner') from source_file where id = ?1)) "
        "and not exists (select 1 from call where session = session.id and seen & 1)",
        (source,),
    )
    # It is as long as what is left of it, until it is read.
    connection.execute(
        "update session set ended_at = (select max(started_at) from call where session = "
        "session.id) where source = ?",
        (source,),
    )
    connection.execute(
        "update source_file set calls = 0, input = 0, cached = 0, output = 0, reasoning = 0, "
        "skipped = 0, warnings = '{}', \"offset\" = 0, state = '{}' where id = ?",
        (source,),
    )


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


def _uncount(connection: sqlite3.Connection, row: Row) -> None:
    """Take a call out of what its file is said to hold."""
    _recount(connection, row, -1)


def _recount(connection: sqlite3.Connection, row: Row, sign: int) -> None:
    """Add a row's figures to what its file is said to hold; as a call (1), out of it (-1), or to
    a call that is counted (0).
    """
    times = sign or 1
    connection.execute(
        "update source_file set calls = calls + ?, input = input + ?, cached = cached + ?, "
        "output = output + ?, reasoning = reasoning + ? where id = ?",
        (
            sign,
            times * row.input,
            times * row.cached,
            times * row.output,
            times * row.reasoning,
            row.source,
        ),
    )


def _move_cursor(
    connection: sqlite3.Connection, source: Source, batch: Batch, added: Sequence[int]
) -> None:
    skipped = skipped_lines(batch)
    before = connection.execute(
        "select warnings from source_file where id = ?", (source.id,)
    ).fetchone()
    warnings = shortjson.loads(before[0]) if before else {}
    known = dict(warnings)
    warnings.pop("unreadable", None)  # now it was read
    warnings.pop(CUT_OFF, None)  # the batch says it again if it still is
    for kind, count in batch.warnings.items():
        warnings[kind] = warnings.get(kind, 0) + count
    connection.execute(
        'update source_file set path = ?, inode = ?, size = ?, mtime_ns = ?, "offset" = ?, '
        "fingerprint = ?, state = ?, archived = ?, missing = 0, calls = calls + ?, "
        "input = input + ?, cached = cached + ?, output = output + ?, reasoning = reasoning + ?, "
        "skipped = skipped + ?, warnings = case when ? then ? else warnings end, indexed_at = ? "
        "where id = ?",
        (
            source.path,
            source.inode,
            source.size,
            source.mtime_ns,
            batch.offset,
            source.fingerprint,
            shortjson.dumps(batch.state, separators=(",", ":")),
            source.archived,
            *added[:5],
            skipped,
            warnings != known,
            shortjson.dumps(warnings),
            db.now_ms(),
            source.id,
        ),
    )


# id, project, provider, started_at, last_at, title, title_source, whether the session is the one
# that gave the thread its name (a sub-agent may be stored before it)
ADD_THREAD = (
    "insert into thread(id, project, provider, started_at, last_at, title, title_source) "
    "values (?1,?2,?3,?4,?5,?6,?7) "
    "on conflict(id) do update set last_at = coalesce(max(last_at, excluded.last_at), last_at, "
    "excluded.last_at), started_at = min(coalesce(started_at, excluded.started_at), "
    "coalesce(excluded.started_at, started_at)), "
    "project = iif(?8, coalesce(excluded.project, project), coalesce(project, excluded.project)), "
    "title_source = iif(title is null, excluded.title_source, title_source), "
    "title = coalesce(title, excluded.title)"
)


def _add_session(
    connection: sqlite3.Connection,
    key: str,
    provider: str,
    meta: dict[str, Any],
    source: int | None,
    last: int | None,
) -> tuple[int, str, bool]:
    """(session, its thread, whether it is new). Facts of a log win over none."""
    known = connection.execute(
        "select id, thread, source, started_at, parent from session where key = ?", (key,)
    ).fetchone()
    kind = meta.get("kind") or "user"
    thread = str(known[1]) if known else key
    parent = meta.get("parent")
    # The first read of a file may have ended before the lines that describe its session.
    late = known is not None and any(
        before is None and said is not None
        for before, said in zip(known[3:], (meta.get("started"), parent), strict=True)
    )
    if kind != "user" and parent and (known is None or thread == key):
        above = connection.execute("select thread from session where key = ?", (parent,)).fetchone()
        thread = str(above[0]) if above else str(parent)
    values = {
        "thread": thread, "parent": parent, "forked": bool(meta.get("forked")), "kind": kind,
        "role": meta.get("role"), "project": meta.get("project"), "cwd": meta.get("cwd"),
        "branch": meta.get("branch"), "client": meta.get("client"),
        "client_version": meta.get("version"), "terminal": meta.get("terminal"),
        "started_at": meta.get("started"), "ended_at": last, "source": source,
    }  # fmt: skip
    if known is None:
        cursor = connection.execute(
            "insert into session(id, key, provider, inherited, guessed, thread, parent, forked, "
            "kind, role, project, cwd, branch, client, client_version, terminal, started_at, "
            "ended_at, source) values (?,?,?,0,0,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (meta.get("number"), key, provider, *values.values()),
        )
        session = int(cursor.lastrowid or 0)
    else:
        session = int(known[0])
        if source is not None and known[2] != source and _told_by(connection, session, known[2]):
            _update_session(connection, session, {**values, "source": None}, late)
        elif source is not None:
            several = provider == "claude"  # a session's own log, and its sub-agents'
            told = {**values, "source": None} if meta.get("behind") else values
            _update_session(connection, session, told, known[2] != source or late, several)
    named = (meta["title"], "kind") if meta.get("title") and thread == key else (None, None)
    connection.execute(
        ADD_THREAD,
        (
            thread,
            meta.get("project"),
            provider,
            meta.get("started"),
            last,
            *named,
            thread == key,
        ),
    )
    new = known is None or (source is not None and (known[2] is None or late))
    return session, thread, new


def _told_by(connection: sqlite3.Connection, session: int, source: int | None) -> bool:
    """Whether a log of Codex that is there has told of a session's calls: another is its copy."""
    found = connection.execute(
        "select 1 from source_file f where f.id = ?2 and not f.missing and f.provider = 'codex' "
        "and exists (select 1 from call where session = ?1 and source = f.id and seen & 1)",
        (session, source),
    )
    return found.fetchone() is not None


def _update_session(
    connection: sqlite3.Connection,
    session: int,
    values: dict[str, Any],
    whole: bool,
    several: bool = False,
) -> None:
    """`several`: other logs tell of the same session, which is as long as all of them."""
    kept = {"ended_at": "max(coalesce(ended_at, 0), {})"}
    if several:
        kept["started_at"] = "min(coalesce(started_at, {0}), {0})"
    told = values
    if not whole:
        told = {name: values[name] for name in ("ended_at", "thread")}
    names = [name for name, value in told.items() if value is not None]
    assigned = ", ".join(
        f"{name} = {kept.get(name, '{}').format(f'?{place}')}"
        for place, name in enumerate(names, start=1)
    )
    connection.execute(
        f"update session set {assigned} where id = ?{len(names) + 1}",  # noqa: S608 - our names
        (*(values[name] for name in names), session),
    )


def snapshots(connection: sqlite3.Connection, limits: Sequence[tuple[int, dict[str, Any]]]) -> None:
    """Keep what logs say of the allowance."""
    rows = [row for at, value in limits for row in snapshot_rows(at, value)]
    connection.executemany(
        "insert into snapshot(account, source, window, used_percent, window_minutes, resets_at, "
        "plan, observed_at) values ('', 'log', ?, ?, ?, ?, ?, ?)",
        rows,
    )


def snapshot_rows(at: int, limits: dict[str, Any]) -> list[tuple[Any, ...]]:
    """A log's rate limits as (window, used, minutes, resets at, plan, observed at)."""
    plan = limits.get("plan_type")
    rows = []
    for slot in ("primary", "secondary"):
        window = limits.get(slot)
        if not isinstance(window, dict):
            continue
        used = window.get("used_percent")
        if not isinstance(used, _NUMBERS) or isinstance(used, bool) or not 0 <= used <= 1000:
            continue
        minutes = codex.whole(window.get("window_minutes"))
        resets = codex.whole(window.get("resets_at"))
        within = None if resets else codex.whole(window.get("resets_in_seconds"))
        moment = resets * 1000 if resets else at + within * 1000 if within else None
        key = _window_key(limits.get("limit_id"), minutes, slot)
        rows.append((key, used, minutes, moment, plan if isinstance(plan, str) else None, at))
    return rows


_NUMBERS = (float, int)  # `float | int` would be made anew for each
_keys: dict[tuple[Any, int | None, str], str] = {}


def _window_key(limit: Any, minutes: int | None, slot: str) -> str:
    """What a window is known by; logs tell of the same few again and again."""
    name = limit if isinstance(limit, str) and limit not in ("", "codex") else ""
    key = _keys.get((name, minutes, slot))
    if key is None:
        if len(_keys) > 1000:  # no log of ours has so many
            _keys.clear()
        key = f"{name}:" * bool(name) + windows.classify(minutes, slot)
        _keys[name, minutes, slot] = key
    return key


def _system_zone() -> str:
    """Something that changes when this computer's zone does."""
    import time

    return f"{time.tzname[0]}/{time.tzname[1]}/{time.timezone}"
