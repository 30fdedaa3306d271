"""A first or large load: the rows of whole new files by one statement, and their cursors at once.

Used where nobody else writes (`brimline scan` without a server). What is not plain (a file that
was known before, a copied head, a call that another witness has) is left to `Ledger.store`.
"""

from __future__ import annotations

from server import shortjson
from server.ingest import claude, codex, reconcile
from server.ingest.ledger import ADD_THREAD, copied, skipped_lines, snapshots
from server.ingest.reader import CLAUDE_COLUMNS, COLUMNS, FIRST, SUMS, table, widened
from server.ingest.sessions import lead
from server.ingest.workers import copied_head
from server.store import db, sqlite

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from typing import Any

    from server.ingest.files import Job
    from server.ingest.ledger import Ledger
    from server.ingest.reader import Batch
    from server.ingest.workers import Chunk, Read

    Pair = tuple[Job, Read]
    Emitted = tuple[Any, ...]
    Foremost = tuple[bool, bool, str]

_COLUMNS = COLUMNS.replace("offset", '"offset"')
_TOLD = f"{_COLUMNS}, {CLAUDE_COLUMNS}"
_COUNT = _TOLD.count(",") + 1
_ROWS = (
    f"insert or ignore into call({_TOLD}, provider, session, source, seen) values "  # noqa: S608
    f"({','.join('?' * _COUNT)}, 'codex', ?, ?, {reconcile.LOG})"
)
_COPY = "insert into main.call select * from chunk.row"  # copies rows as they lie: `reader.TABLE`
_RENUMBER = "update chunk.row set session = session + ?, source = source + ?"
_KNOWN = (
    "select distinct source from chunk.row where exists "
    "(select 1 from main.call where call.id = row.id)"
)


class Bulk:
    """One load of many files."""

    def __init__(self, ledger: Ledger, jobs: Sequence[Job]) -> None:
        self._ledger = ledger
        self._jobs = jobs
        # A new file's source and session take the job's number above what is there, so that
        # helpers need not know the database; what comes otherwise is numbered above those.
        self._source = 1 + int(db.rows("select coalesce(max(id), 0) from source_file")[0][0])
        self._session = 1 + int(db.rows("select coalesce(max(id), 0) from session")[0][0])
        ledger.numbers = {
            "source_file": self._source + len(jobs),
            "session": self._session + len(jobs),
        }
        self._heads: dict[int, tuple[int, bool]] = {}  # copied calls, and whether guessed
        # Copies whose parent is not stored yet, by that, and whose logs may still come.
        self._held: dict[str, list[Pair]] = {}
        self._owners = {codex.owner_of(job.source.name) for job in jobs}
        # Of what is stored, by its session: where its rows lie in `call` and, once a copy asked
        # for it, `ledger.sequence`.
        self._spans: dict[str, tuple[int, int]] = {}
        self._sequences: dict[str, list[Emitted] | None] = {}
        # How many calls of which sequence a session begins with, until somebody asks for its own.
        self._inherited: dict[str, tuple[int, Sequence[Emitted]]] = {}
        # Rows of whole files that `write` is to add: each statement has its price.
        self._sources: list[tuple[Any, ...]] = []
        self._sessions: list[tuple[Any, ...]] = []
        self._sessions_again: list[tuple[Any, ...]] = []
        self._told: list[tuple[Any, ...]] = []  # of threads
        self._limits: list[tuple[int, dict[str, Any]]] = []
        self._threads: dict[str, str] = {}
        self._awaited: set[str] = set()
        # Claude's sessions of this load, which may have several files: number and folder, and
        # the log that tells this (`claude.foremost`).
        self._claude: dict[str, tuple[int, str | None, Foremost]] = {}
        self._led = False  # whether sessions of Claude are among them, which may have sub-agents
        self._joined = False  # whether rows of the chunk are of a session of another number
        self._elsewhere: set[str] = set()  # of which the ledger has stored a file
        for key, thread, parent in db.rows("select key, thread, parent from session"):
            self._threads[key] = thread
            self._awaited.add(parent)

    def store(self, connection: sqlite3.Connection, chunk: Chunk) -> tuple[list[Pair], list[Pair]]:
        """Store what is plain, with its cursors: (what is stored, what is left to store).

        Copies of sessions that have not come yet are neither; see `store_rest`. Not all of it is
        in the database before the next `write`.
        """
        plain = [read for read in chunk.reads if read.rows or self._is_empty(read)]
        odd = [read for read in chunk.reads if not (read.rows or self._is_empty(read))]
        if chunk.table is not None:
            self._attach(connection, chunk.table)
        self._recall(connection, plain)
        again = self._again(plain)
        if not self._insert(connection, chunk, plain, again):
            again |= self._known(connection, chunk, plain)
            self._insert(connection, chunk, plain, again)
        new = [read for read in plain if read.number not in again]
        self._finish(connection, new)
        left = self._hold(self._paired(odd))
        left += self._paired(read for read in plain if read.number in again)
        others = [read for _, read in left if self._is_claude(read)]
        if others:
            self.write(connection)  # the ledger stores them, and looks for their sessions
            self._elsewhere.update(str(read.batch.state.get("owner")) for read in others)
        return [*self._paired(new), *self._store_held(connection, left)], left

    def _attach(self, connection: sqlite3.Connection, rows: bytes) -> None:
        """Have a table of rows at hand, of the sessions and sources that they get."""
        connection.deserialize(rows, name="chunk")
        self._joined = False
        above = self._session - FIRST, self._source - FIRST
        if any(above):
            connection.execute(_RENUMBER, above)

    def _paired(self, reads: Iterable[Read]) -> list[Pair]:
        return [(self._jobs[read.number], read) for read in reads]

    def _is_claude(self, read: Read) -> bool:
        return self._jobs[read.number].source.provider == "claude"

    def _is_empty(self, read: Read) -> bool:
        """Whether a log of Claude has no calls: then only its cursor is to be stored."""
        return self._is_claude(read) and read.error is None and not read.batch.rows

    def _again(self, plain: Iterable[Read]) -> set[int]:
        """Files whose session is there already, from the proxy or from another file.

        Other files of this load do not count with Claude, whose sub-agents have their own, unless
        a later one is to say what the session is.
        """
        again, keys = set(), set()
        first: dict[str, Foremost] = {}
        for read in sorted(plain, key=lambda read: self._jobs[read.number].source.name):
            key = read.batch.state["owner"]
            if self._is_claude(read):
                foreign = key in self._threads and key not in self._claude
                if key in self._claude:
                    first.setdefault(key, self._claude[key][2])
                place = self._foremost(read)
                known = foreign or bool(self._jobs[read.number].source.id)
                known = known or place < first.setdefault(key, place)
            else:
                known = key in self._threads or key in keys
                keys.add(key)
            if known:
                again.add(read.number)
        return again

    def _foremost(self, read: Read) -> Foremost:
        name, meta = self._jobs[read.number].source.name, read.batch.state.get("meta") or {}
        return claude.foremost(name, meta.get("cwd"))

    def _recall(self, connection: sqlite3.Connection, reads: Iterable[Read]) -> None:
        """Look up the sessions of Claude that the ledger itself has stored in this load."""
        keys = {read.batch.state.get("owner") for read in reads if self._is_claude(read)}
        for key in self._elsewhere & keys:
            found = connection.execute(
                "select s.id, s.cwd, s.thread, f.name, json_extract(f.state, '$.meta.cwd') "
                "from session s join source_file f on f.id = s.source "
                "where s.key = ? and s.provider = 'claude'",
                (key,),
            ).fetchone()
            if found and (key in self._claude or key not in self._threads):
                session, cwd, thread, name, said = found
                self._claude[key] = int(session), cwd, claude.foremost(name, said)
                self._threads[key] = thread
        self._elsewhere -= keys

    def _members(self, reads: Iterable[Read]) -> dict[int, int]:
        """The sessions of Claude's files, by number, unless it is one of the file's own number."""
        found: dict[int, int] = {}
        new: dict[str, int] = {}
        for read in sorted(reads, key=lambda read: self._jobs[read.number].source.name):
            if self._is_claude(read):
                key = read.batch.state["owner"]
                own = self._session + read.number
                known = self._claude.get(key)
                session = known[0] if known else new.setdefault(key, own)
                if session != own:
                    found[read.number] = session
        return found

    def _insert(
        self, connection: sqlite3.Connection, chunk: Chunk, plain: Iterable[Read], again: set[int]
    ) -> bool:
        """Insert the rows, all or none; False when somebody has seen one of the calls."""
        wanted = [read for read in plain if read.number not in again]
        top = _top(connection)
        if chunk.table is not None:
            self._take_out(connection, plain, again)
            self._join(connection, wanted)
            added = _copy(connection)
        else:
            added = self._insert_rows(connection, {read.number: read.batch.rows for read in wanted})
        whole = added == sum(read.rows for read in wanted)
        if whole:
            self._note(top, wanted)
        else:
            _drop_above(connection, top)
        return whole

    def _join(self, connection: sqlite3.Connection, reads: Sequence[Read]) -> None:
        """Let the chunk's rows be of the sessions that their logs of Claude belong to."""
        members = self._members(reads)
        if members or self._joined:
            others = "".join(f" when {self._source + own} then {n}" for own, n in members.items())
            plainly = f"source + {self._session - self._source}"
            session = f"case source{others} else {plainly} end" if others else plainly
            connection.execute(f"update chunk.row set session = {session}")  # noqa: S608 - numbers
        self._joined = bool(members)

    def _insert_rows(
        self, connection: sqlite3.Connection, wanted: dict[int, list[tuple[Any, ...]]]
    ) -> int:
        """Insert rows by their jobs' numbers; returns how many were not there."""
        rows = [
            (*widened(row), self._session + number, self._source + number)
            for number, part in wanted.items()
            for row in part
        ]
        return connection.executemany(_ROWS, rows).rowcount if rows else 0

    def _take_out(
        self, connection: sqlite3.Connection, plain: Iterable[Read], again: set[int]
    ) -> None:
        """Take the rows of some files out of the chunk."""
        for read in plain:
            if read.number in again and not read.batch.rows:
                read.batch.rows += connection.execute(
                    f"select {_TOLD} from chunk.row where source = ?",  # noqa: S608
                    (self._source + read.number,),
                ).fetchall()
                connection.execute(
                    "delete from chunk.row where source = ?", (self._source + read.number,)
                )

    def _known(
        self, connection: sqlite3.Connection, chunk: Chunk, plain: Iterable[Read]
    ) -> set[int]:
        if chunk.table is not None:
            return {int(source) - self._source for (source,) in connection.execute(_KNOWN)}
        return {read.number for read in plain}

    # ── copied heads of forks ─────────────────────────────────────────────────────────

    def _hold(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Keep the files that begin with a copy of another's calls; returns the others."""
        others = []
        for job, read in pairs:
            if self._is_copy(job, read):
                self._held.setdefault(_parent(read.batch), []).append((job, read))
            else:
                others.append((job, read))
        return others

    def _is_copy(self, job: Job, read: Read) -> bool:
        batch = read.batch
        return bool(
            self._ledger.fresh
            and read.error is None
            and job.source.provider == "codex"
            and not job.source.id
            and batch.state.get("owner")
            and copied_head(batch)
            and not batch.compactions
        )

    def _store_held(self, connection: sqlite3.Connection, left: list[Pair]) -> list[Pair]:
        """Store the copies whose parent is stored, then copies of those; returns what it did."""
        done: list[Pair] = []
        while ready := [key for key in self._held if key in self._spans or key not in self._owners]:
            pairs = [pair for parent in ready for pair in self._held.pop(parent)]
            done += self._cut_all(connection, pairs, left)
        return done

    def store_rest(self, connection: sqlite3.Connection) -> tuple[list[Pair], list[Pair]]:
        """Store the copies whose parent did not come, once all chunks are stored.

        Returns (what is stored, what is left to store).
        """
        done: list[Pair] = []
        left: list[Pair] = []
        self._owners.clear()  # nobody is to be waited for, but for another copy
        while self._held:
            waiting = {
                pair[1].batch.state["owner"] for pairs in self._held.values() for pair in pairs
            }
            # In a circle, whoever began first.
            ready = [key for key in self._held if key not in waiting] or [min(self._held)]
            pairs = [pair for parent in ready for pair in self._held.pop(parent)]
            done += self._cut_all(connection, pairs, left)
        return done, left

    def _cut_all(
        self, connection: sqlite3.Connection, pairs: Iterable[Pair], left: list[Pair]
    ) -> list[Pair]:
        """Store copies of sessions that are stored; what is known is added to `left`."""
        new: dict[str, Pair] = {}
        for pair in pairs:
            key = pair[1].batch.state["owner"]
            if key in self._threads or key in new:
                left.append(pair)
            else:
                new[key] = pair
        done: list[Pair] = []
        for are_held in (True, False):
            part = [pair for pair in new.values() if (pair[1].batch.held is not None) is are_held]
            stored = self._cut(connection, [read for _, read in part])
            (done if stored else left).extend(part)
        return done

    def _cut(self, connection: sqlite3.Connection, reads: Sequence[Read]) -> bool:
        """Store files without their copied calls, all or none; False when a call was known."""
        known = {read.number: self._sequence(connection, _parent(read.batch)) for read in reads}
        heads = {read.number: copied(read.batch, known[read.number]) for read in reads}
        top = _top(connection)
        whole = self._insert_cut(connection, reads, heads)
        if whole:
            self._heads.update(heads)
            for read in reads:
                self._ledger.cut(read.batch, heads[read.number][0])
            self._note(top, reads)
            self._finish(connection, reads)
            for read in reads:
                parent = known[read.number] or ()
                self._inherited[read.batch.state["owner"]] = heads[read.number][0], parent
                if read.batch.held:
                    read.batch.held.forget()
        else:
            _drop_above(connection, top)
        return whole

    def _insert_cut(
        self,
        connection: sqlite3.Connection,
        reads: Sequence[Read],
        heads: dict[int, tuple[int, bool]],
    ) -> bool:
        """Insert the calls behind the heads in this order; False when a call was known."""
        held = [(read.batch.held, heads[read.number][0]) for read in reads if read.batch.held]
        if not held:
            own = {read.number: read.batch.rows[heads[read.number][0] :] for read in reads}
            return self._insert_rows(connection, own) == sum(map(len, own.values()))
        try:
            self._attach(connection, table(held))
        except ValueError:
            return False  # rows of them will do
        added = _copy(connection)
        return bool(added == sum(len(one) - head for one, head in held))

    def _note(self, top: int, reads: Iterable[Read]) -> None:
        """Remember where rows lie that were inserted in this order above the row `top`."""
        for read in reads:
            held = read.batch.held
            count = len(held) if held else read.rows or len(read.batch.rows)
            self._spans[read.batch.state["owner"]] = top + 1, top + count
            top += count

    def _sequence(self, connection: sqlite3.Connection, key: str) -> Sequence[Emitted] | None:
        """What `ledger.sequence` says of a session of this load, without an index."""
        if key not in self._sequences and key in self._spans:
            own = connection.execute(
                "select running, input, cached, output, reasoning, turn_id from call "
                "where rowid between ? and ? order by rowid",
                self._spans[key],
            ).fetchall()
            count, parent = self._inherited.pop(key, (0, ()))
            # Where less is known its own head was a copy of a log that is not there.
            whole = len(parent) >= count
            self._sequences[key] = [*parent[:count], *own] if whole else None
        return self._sequences.get(key)

    def write(self, connection: sqlite3.Connection) -> None:
        """Add what waits to be; call it before the transaction ends."""
        connection.executemany(_ADD_SOURCE, self._sources)
        connection.executemany(_ADD_SESSION, self._sessions)
        connection.executemany(_TELL_SESSION, self._sessions_again)
        connection.executemany(ADD_THREAD, self._told)
        if self._limits:
            snapshots(connection, self._limits)
        waiting = self._sources, self._sessions, self._sessions_again, self._told, self._limits
        for rows in waiting:
            rows.clear()

    def finish(self, connection: sqlite3.Connection) -> None:
        """Tell of all sessions together what no file tells; in the last transaction."""
        self.write(connection)
        if self._led:
            lead(connection)

    def _finish(self, connection: sqlite3.Connection, reads: Sequence[Read]) -> None:
        """Have the files' sessions, threads, allowances and cursors added."""
        # Parents begin before their children, and names begin with the time.
        ordered = sorted(reads, key=lambda read: self._jobs[read.number].source.name)
        others = [read for read in ordered if self._is_claude(read)]
        if others:
            self._finish_claude(connection, others)
            ordered = [read for read in ordered if not self._is_claude(read)]
        now = db.now_ms()
        for read in ordered:
            job, batch = self._jobs[read.number], read.batch
            meta = dict(batch.state.get("meta") or {})
            meta["project"] = self._ledger.project(meta.get("cwd"))
            meta["parent"] = meta.get("parent") or batch.state.get("foreign")
            self._ledger.stir(meta.get("cwd"))
            job.source.id = self._source + read.number
            job.source.fingerprint = read.fingerprint
            sums = self._ledger.count_days("codex", meta["project"], batch)
            self._sources.append(_source_row(job, read, sums, now))
            thread = self._thread(batch.state["owner"], meta)
            head = self._heads.get(read.number, (0, False))
            self._sessions.append(
                (*_session_row(self._session + read.number, job, batch, meta, thread), *head)
            )
            self._told.append(_thread_row(batch, meta, thread, "codex"))
            self._limits += batch.limits
        self._adopt(connection, ordered)

    def _finish_claude(self, connection: sqlite3.Connection, reads: Sequence[Read]) -> None:
        """The same of logs of Claude, of which a session may have several: its sub-agents'."""
        now = db.now_ms()
        members = self._members(reads)
        for read in reads:
            job, batch = self._jobs[read.number], read.batch
            key = batch.state["owner"]
            meta = dict(batch.state.get("meta") or {})
            known = self._claude.get(key)
            place = known[2] if known else self._foremost(read)
            meta["cwd"] = known[1] if known else claude.folder_of(job.source.name, meta.get("cwd"))
            meta["project"] = self._ledger.project(meta["cwd"])
            meta = claude.helper(meta, key)
            meta.setdefault("parent", None)
            thread = self._thread(key, meta)
            session = members.get(read.number, self._session + read.number)
            job.source.id = self._source + read.number
            job.source.fingerprint = read.fingerprint
            batch.last = meta.get("written") if batch.last is None else batch.last
            sums = self._ledger.count_days("claude", meta["project"], batch)
            self._sources.append(_source_row(job, read, sums, now))
            if known:
                self._sessions_again.append((meta.get("started"), batch.last, session))
            else:
                row = _session_row(session, job, batch, meta, thread)
                self._sessions.append((*row, 0, False))
            named = claude.is_own(job.source.name)  # what a sub-agent is asked is no person's word
            self._told.append(_thread_row(batch, meta, thread, "claude", named))
            self._claude[key] = session, meta["cwd"], place
            self._led = True
        self._adopt(connection, reads)

    def _thread(self, key: str, meta: dict[str, Any]) -> str:
        thread, parent = key, meta["parent"]
        if parent:
            if (meta.get("kind") or "user") != "user":
                thread = self._threads.get(parent, parent)
            if parent not in self._threads:
                self._awaited.add(parent)
        self._threads[key] = thread
        return thread

    def _adopt(self, connection: sqlite3.Connection, reads: Iterable[Read]) -> None:
        for read in reads:
            key = read.batch.state["owner"]
            if key in self._awaited:
                self.write(connection)
                self._ledger.adopt(connection, key, self._threads[key])
                for child, thread in connection.execute(
                    "select key, thread from session where thread = ?", (self._threads[key],)
                ):
                    self._threads[child] = thread


def _copy(connection: sqlite3.Connection) -> int:
    """Insert the rows of the chunk, all or none; returns how many."""
    try:
        return connection.execute(_COPY).rowcount
    except sqlite.IntegrityError:  # one is known, or is none
        return 0


def _top(connection: sqlite3.Connection) -> int:
    """The last row of `call`; what is inserted next lies above it, in order."""
    return int(connection.execute("select coalesce(max(rowid), 0) from call").fetchone()[0])


def _drop_above(connection: sqlite3.Connection, top: int) -> None:
    """Take back what was inserted since `_top`; a savepoint would copy each page it touches."""
    connection.execute("delete from call where rowid > ?", (top,))


def _parent(batch: Batch) -> str:
    """Whose calls a copy begins with."""
    return str((batch.state.get("meta") or {}).get("parent") or batch.state.get("foreign"))


_ADD_SOURCE = (
    "insert into source_file(id, provider, name, path, inode, size, mtime_ns, archived, missing, "
    'fingerprint, "offset", state, calls, input, cached, output, reasoning, skipped, warnings, '
    "indexed_at) values (?,?,?,?,?,?,?,?,0,?,?,?,?,?,?,?,?,?,?,?)"
)
_ADD_SESSION = (
    "insert into session(id, key, provider, thread, parent, forked, kind, role, project, cwd, "
    "branch, client, client_version, terminal, started_at, ended_at, source, inherited, guessed) "
    "values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
# What a log of a session adds to it that another one describes: as `Ledger.store` would have it.
_TELL_SESSION = (
    "update session set started_at = coalesce(min(?1, started_at), ?1, started_at), "
    "ended_at = coalesce(max(?2, ended_at), ?2, ended_at) where id = ?3"
)


def _source_row(job: Job, read: Read, sums: Sequence[int], now: int) -> tuple[Any, ...]:
    source, batch = job.source, read.batch
    warnings = shortjson.dumps(batch.warnings) if batch.warnings else "{}"
    return (
        source.id, source.provider, source.name, source.path, source.inode, source.size,
        source.mtime_ns, source.archived, source.fingerprint, batch.offset, read.state,
        *sums[: SUMS - 2], skipped_lines(batch), warnings, now,
    )  # fmt: skip


def _session_row(
    number: int, job: Job, batch: Batch, meta: dict[str, Any], thread: str
) -> tuple[Any, ...]:
    get, provider = meta.get, job.source.provider
    return (
        number, batch.state["owner"], provider, thread, meta["parent"], bool(get("forked")),
        get("kind") or "user", get("role"), meta["project"], get("cwd"), get("branch"),
        get("client"), get("version"), get("terminal"), get("started"), batch.last, job.source.id,
    )  # fmt: skip


def _thread_row(
    batch: Batch, meta: dict[str, Any], thread: str, provider: str, named: bool = True
) -> tuple[Any, ...]:
    """`named`: what was said first there may be the thread's title."""
    own = thread == batch.state["owner"]
    title = batch.state.get("title") if own and named else None
    return (
        thread, meta["project"], provider, meta.get("started"), batch.last, title,
        "first_message" if title else None, own,
    )  # fmt: skip
