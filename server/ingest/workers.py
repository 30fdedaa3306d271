"""Reading many files at once: other processes fold, this one stores.

The work lies in a pipe as numbers of jobs, longest first; each process takes the next one when
it is done with its last. What a helper found comes back in chunks: facts of files as plain
values, and the rows of files that are new as an SQLite database in memory, because SQLite
copies rows from one table to another several times faster than Python hands them over.
"""

from __future__ import annotations

import marshal
import os
import sys

from server import shortjson
from server.ingest import claude, codex, reader
from server.ingest.crew import Chunk as Chunk
from server.ingest.crew import Read as Read
from server.ingest.crew import share_out
from server.ingest.files import fingerprint
from server.ingest.reader import CLAUDE_COLUMNS, COLUMNS, FIRST, TABLE, Batch, widened
from server.lazy import suppress

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from server.ingest.crew import WholeLogs
    from server.ingest.files import Job
    from server.usage.days import Days

WORTH_IT = 16 << 20  # bytes; below, starting a process costs more than it brings
_CHUNK = 300  # rows; the sooner they come, the less is left to store at the end
_TICKETS = 16_000  # numbers of four bytes; a pipe holds 64 KiB
_TOLD = f"{COLUMNS}, {CLAUDE_COLUMNS}"
_ADD = "insert into row({}, provider, session, source, seen) values ({}, 'codex', ?, ?, 1)".format(  # noqa: S608
    _TOLD.replace("offset", '"offset"'), ",".join("?" * (_TOLD.count(",") + 1))
)


def batches(job: Job, days: Days, limit: int | None) -> Iterator[Batch]:
    """Fold what there is to read in a file."""
    state = job.state
    if not state and job.source.provider == "claude":
        state = {"claude": True, "owner": claude.owner_of(job.source.name)}
    elif not state:
        state = {"owner": codex.owner_of(job.source.name)}
    return reader.read(job.source.path, job.offset, state, days, limit)


def why(error: Exception) -> str:
    """Why a file could not be read: one file never stops the others, whatever it holds.

    Of a mistake of ours only its kind is told: its words may repeat what the log says.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"an unexpected {type(error).__name__}"


def copied_head(batch: Batch) -> bool:
    """Whether the parent's rows must be stored before this batch can be.

    Calls that are still held when they are stored are of such a batch.
    """
    meta = batch.state.get("meta") or {}
    return bool(
        (batch.held or (batch.rows and codex.legacy(batch.rows[0][0])))
        and (meta.get("parent") or batch.state.get("foreign"))
    )


def start(jobs: Sequence[Job], days: Days, *, fresh: bool) -> Team:
    """Begin to read. Helpers are forked where that is safe: on Linux, while this process has
    one thread, and where there is enough to read. `fresh`: no call is known yet.
    """  # noqa: D205
    count = min(os.cpu_count() or 1, 4) - 1
    whole = sum(job.left for job in jobs)
    if sys.platform != "linux" or _threads() > 1 or whole < WORTH_IT:
        count = 0
    if count:
        # Each of the processes needs it; loaded before they part, it is loaded once.
        from server.store import sqlite as sqlite
    return Team(jobs, _Folder(jobs, days, fresh), count, share_out(jobs, days, fresh))


def _threads() -> int:
    threading = sys.modules.get("threading")  # who did not load it has one thread
    return threading.active_count() if threading else 1


class _Folder:
    """Reads jobs, wherever it runs."""

    def __init__(self, jobs: Sequence[Job], days: Days, fresh: bool) -> None:
        self._jobs = jobs
        self._days = days
        self._fresh = fresh
        self._seen: set[str] = set()

    def read(self, number: int) -> Read:
        job = self._jobs[number]
        try:
            (batch,) = batches(job, self._days, None)
            stamp = fingerprint(job.source.path, batch.offset)
        except Exception as error:
            return Read(number, why(error), Batch(), "", "", 0)
        return self.finish(number, batch, stamp)

    def finish(self, number: int, batch: Batch, stamp: str) -> Read:
        """What became of a job that was read."""
        job = self._jobs[number]
        rows = len(batch.rows) if self._whole(job, batch) else 0
        if rows and batch.compactions:
            _mark(batch)
        state = shortjson.dumps(batch.state, separators=(",", ":"))
        return Read(number, None, batch, stamp, state, rows)

    def _whole(self, job: Job, batch: Batch) -> bool:
        """Whether the rows can go in as they are: nobody can have seen them before."""
        new = job.source.provider == "codex" and not job.source.id and batch.state.get("owner")
        if not new or not batch.rows or copied_head(batch):
            return False
        if codex.legacy(batch.rows[0][0]) and not self._fresh:
            return False  # the proxy may have seen these calls under another name
        names = {row[0] for row in batch.rows}
        if len(names) < len(batch.rows) or not self._seen.isdisjoint(names):
            return False
        self._seen |= names
        return True


def _mark(batch: Batch) -> None:
    names = set(batch.compactions)
    batch.rows = [
        (*row[:4], "compaction", *row[5:]) if row[0] in names else row for row in batch.rows
    ]
    batch.compactions = []


class Team:
    """This process and its helpers, reading."""

    def __init__(
        self, jobs: Sequence[Job], folder: _Folder, helpers: int, crews: Sequence[WholeLogs] = ()
    ) -> None:
        self.jobs = jobs
        self._folder = folder
        self._crews = crews
        self._left = set(range(len(jobs)))
        self._most = helpers
        self._tickets: int | None = None
        self._shares: list[list[int]] = []
        self._helpers: list[_Helper] = []
        if not crews:
            self._begin()

    def _begin(self) -> None:
        """Share out what is left, longest first."""
        jobs = self.jobs
        order = sorted(self._left, key=lambda number: -jobs[number].left)
        worth_it = sum(jobs[number].left for number in order) > WORTH_IT
        helpers = self._most if worth_it else 0
        step = len(order) // _TICKETS + 1
        self._shares = [order[place : place + step] for place in range(0, len(order), step)]
        self._own = iter(self._shares)
        if helpers:
            self._tickets, office = os.pipe()
            os.write(office, b"".join(n.to_bytes(4, "little") for n in range(len(self._shares))))
            os.close(office)
        self._helpers = [_Helper(self._help) for _ in range(helpers)]

    def _next(self) -> list[int]:
        """The jobs to do next; empty when none is left."""
        if self._tickets is None:
            return next(self._own, [])
        ticket = os.read(self._tickets, 4)
        return self._shares[int.from_bytes(ticket, "little")] if ticket else []

    def chunks(self) -> Iterator[Chunk]:
        """Each job's result, in no certain order."""
        for one in self._crews:
            for chunk in one.chunks(self._folder):
                yield self._done(chunk)
        if self._crews:
            self._begin()
        yield from self._shared_out()
        for helper in self._helpers:
            for chunk in helper.rest():
                yield self._done(chunk)
        # What a helper that was killed had taken.
        for number in sorted(self._left):
            yield Chunk([self._folder.read(number)], None)

    def _shared_out(self) -> Iterator[Chunk]:
        """What this process reads, and what has come of the others."""
        own: list[Read] = []
        while share := self._next():
            own += [self._folder.read(number) for number in share]
            if sum(read.rows + 20 for read in own) >= _CHUNK:
                yield self._done(Chunk(own, None))
                own = []
            for helper in self._helpers:
                for chunk in helper.ready():
                    yield self._done(chunk)
        yield self._done(Chunk(own, None))

    def _done(self, chunk: Chunk) -> Chunk:
        self._left.difference_update(read.number for read in chunk.reads)
        return chunk

    def close(self) -> None:
        """Drop the pipes; a helper that still reads ends by that."""
        if self._tickets is not None:
            os.close(self._tickets)
            self._tickets = None
        while self._helpers:
            self._helpers.pop().close()

    def _help(self, send: int) -> None:
        """What a helper does."""
        table = _Table()
        while share := self._next():
            for number in share:
                table.add(self._folder.read(number))
                if table.rows >= _CHUNK:
                    table.send(send)
        table.send(send)


class _Table:
    """Results that wait to be sent, and their rows."""

    def __init__(self) -> None:
        self._reads: list[tuple[Any, ...]] = []
        self._empty()

    def _empty(self) -> None:
        from server.store import sqlite

        self.rows = 0
        self._reads.clear()
        self._database = sqlite.connect(":memory:", isolation_level=None)
        self._database.execute(TABLE)
        self._database.execute("begin")

    def add(self, read: Read) -> None:
        """Keep a result."""
        batch = read.batch
        if read.rows:
            numbers = (read.number + FIRST,) * 2
            self._database.executemany(_ADD, [(*widened(row), *numbers) for row in batch.rows])
            batch.rows = []
        self.rows += max(read.rows, 20)
        self._reads.append((*read[:2], batch.plain(), *read[3:]))

    def send(self, pipe: int) -> None:
        """Write a chunk and begin the next."""
        self._database.execute("commit")
        table = self._database.serialize()
        facts = marshal.dumps(self._reads)
        for part in (len(facts), len(table)):
            _write(pipe, part.to_bytes(8, "little"))
        _write(pipe, facts)
        _write(pipe, table)
        self._database.close()
        self._empty()


class _Helper:
    """A forked process, seen from this one."""

    def __init__(self, work: Any) -> None:
        self._pipe, send = os.pipe()
        self._parts: list[bytes] = []
        self._size = 0
        with suppress(ImportError, OSError, AttributeError):
            import fcntl

            fcntl.fcntl(send, fcntl.F_SETPIPE_SZ, 1 << 20)
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                os.close(self._pipe)
                work(send)
                status = 0
            finally:
                # No clean-up of what belongs to the parent: its database, its files.
                os._exit(status)
        os.close(send)
        os.set_blocking(self._pipe, False)

    def ready(self) -> Iterator[Chunk]:
        """What has arrived, without waiting."""
        with suppress(BlockingIOError):
            while part := os.read(self._pipe, 1 << 20):
                self._keep(part)
        yield from self._chunks()

    def rest(self) -> Iterator[Chunk]:
        """Everything that is still to come."""
        os.set_blocking(self._pipe, True)
        while part := os.read(self._pipe, 1 << 20):
            self._keep(part)
            yield from self._chunks()

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)

    def _chunks(self) -> Iterator[Chunk]:
        while self._size >= 16:
            data = b"".join(self._parts)
            facts, table = (int.from_bytes(data[at : at + 8], "little") for at in (0, 8))
            end = 16 + facts + table
            self._parts = [data]
            if len(data) < end:
                return
            self._parts = [data[end:]]
            self._size -= end
            reads = [
                Read(read[0], read[1], Batch(*read[2]), *read[3:])
                for read in marshal.loads(data[16 : 16 + facts])  # noqa: S302 - our own child's
            ]
            yield Chunk(reads, data[16 + facts : end])

    def close(self) -> None:
        """End it, if it has not ended."""
        os.close(self._pipe)
        os.waitpid(self._pid, 0)


def _write(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
