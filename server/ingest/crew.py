"""The talk with the crew, which reads whole new logs in threads that never meet the interpreter.

A crew tells what it found file by file; what it was not sure of, and what was changed since, is
left to whoever reads line by line.
"""

from __future__ import annotations

import os

from server import shortjson
from server.ingest import claude, codex, early, reader
from server.ingest.reader import Batch
from server.lazy import NamedTuple
from server.usage.days import QUARTER

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Protocol

    from server.ingest.files import Job
    from server.ingest.reader import Held
    from server.usage.days import Days

    class Folder(Protocol):
        """Who says what became of a job that was read (`workers`)."""

        def finish(self, number: int, batch: Batch, stamp: str) -> Read:
            """What became of it."""


_CHUNK = 1000  # rows that no process has to wait for
_CLAUDE_CHUNK = 8000  # … and of Claude's, when nothing is left to read
_MOST_WAITING = 200_000  # calls of Claude's logs; what repeats one of them later is read anew
_MOST_TARIFFS = 200  # of a crew, which looks through them


class Told(NamedTuple):
    """What a crew says of a whole file (`usual.told`)."""

    place: int  # in the crew's list
    file: tuple[int, int, int]  # its size, time (ns) and inode, before it was read
    owner: str | None  # whose head it saw
    state: tuple[Any, ...]  # as `State` has it, from `records` to `ended`
    limits: list[tuple[int, bytes]]
    special: list[tuple[int, bytes]]  # kinds and lines that are read here
    offset: int
    lines: int
    fingerprint: str
    more: bool  # other messages may give a title
    made_up: bool  # the last call's name lacks its prefix
    calls: int
    legacy: bool  # the first call's id is ours
    unknown: tuple[int, int] = (0, 0)  # lines and events of kinds that nobody knows


class Read(NamedTuple):
    """What became of a job."""

    number: int  # of the job
    error: str | None  # why the file could not be read
    batch: Batch
    fingerprint: str
    state: str  # JSON
    rows: int  # how many rows go in as they are; they lie in the chunk's table if it has one


class Repeats(NamedTuple):
    """What several logs of Claude told of the same responses, once each is one log's."""

    names: list[str]  # of the responses
    pairs: set[tuple[int, int]]  # jobs: whose log has one, and another that tells it
    alone: dict[int, bool]  # whether a log has responses of its own, by job


class Chunk(NamedTuple):
    """Some jobs' results."""

    reads: list[Read]
    table: bytes | None  # a database with the table `row` (`reader.TABLE`)
    repeats: Repeats | None = None  # of logs that came before, to note once they are stored


class Crew:
    """Reads whole new logs in threads that never meet the interpreter (usual.c)."""

    def __init__(self, crew: Any, days: Days) -> None:
        self.crew = crew
        self.days = days
        self._tariffs = 0

    def told(self) -> list[tuple[Any, ...]]:
        """What was read since the last time, (place in the list, …) each; empty at the end."""
        usual = codex.usual
        found: list[tuple[Any, ...]] = []
        taken = True
        while not found and taken:
            found = usual.told(self.crew, False)
            taken = not found and usual.fold(self.crew)
        return found or usual.told(self.crew, True)

    def begun(self, found: Told, provider: str, name: str) -> tuple[Batch, Any] | None:
        """What a file says but for its calls, and its state; None where `read` has to be asked."""
        said: tuple[codex.Records, Any] | None
        if provider == "claude":
            said = claude.told(found, claude.owner_of(name))
        else:
            said = codex.told(found, codex.owner_of(name))
        if said is None:
            return None
        records, state = said
        batch = Batch(offset=found.offset, read=found.offset)
        reader.add_up(batch, records, self.days, "")
        state.meta = reader.dated(state.meta)
        batch.state = state.dump()
        return batch, state

    def runs(self, held: Held) -> tuple[list[tuple[Any, ...]], int] | None:
        """Price calls that are held: their sums and the newest one's time, as `usual.sums` tells
        them; None where they have to be looked at one by one.
        """  # noqa: D205
        while True:
            said = codex.usual.sums(self.crew, held.place, held.first)
            if said is None:
                return None
            runs, last = said
            if isinstance(runs, list):
                return runs, last
            if not self._learn(runs, last):
                return None

    def priced(self, batch: Batch, held: Held) -> bool:
        """Add up calls that are held; False where they have to be looked at one by one."""
        said = self.runs(held)
        if said is None:
            return False
        runs, batch.last = said
        day = self.days.of
        days: dict[tuple[str, str], list[int]] = {}
        batch.days = days
        held.new = sum(run[2] for run in runs)
        for quarter, model, *sums in runs:
            key = day(quarter * QUARTER), model or ""
            total = days.get(key)
            days[key] = sums if total is None else list(map(int.__add__, total, sums))
        return True

    def _learn(self, model: str | None, at: int) -> bool:
        """Tell the crew what a model costs at a time; False where no tariff can."""
        status, rates = reader.rates_of(model, at)
        if not rates[-2] <= at < rates[-1] or self._tariffs >= _MOST_TARIFFS:
            return False
        codex.usual.tariff(self.crew, model, status, rates)
        self._tariffs += 1
        return True


def share_out(jobs: Sequence[Job], days: Days, fresh: bool) -> list[WholeLogs]:
    """Who reads the whole logs: the crew that began before they were known, and one for others."""
    usual = codex.usual
    if usual is None:
        return []
    # Parents begin before their children, and names begin with the time.
    whole = sorted(
        (number for number, job in enumerate(jobs) if _is_whole(job)),
        key=lambda number: (_is_claude(jobs[number]), jobs[number].source.name),
    )
    found: list[WholeLogs] = []
    begun = early.take()
    if begun is not None:
        places = {jobs[number].source.path: number for number in whole}
        numbers = [places.get(path, -1) for path in begun[0]]
        first = begun[2]
        for place, number in enumerate(numbers):  # a folder may be both programs'
            if number >= 0 and _is_claude(jobs[number]) is not (place >= first):
                numbers[place] = -1
        found.append(WholeLogs(jobs, numbers, Crew(begun[1], days), fresh))
        taken = set(numbers)
        whole = [number for number in whole if number not in taken]
    if whole:
        paths = [os.fsencode(jobs[number].source.path) for number in whole]
        first = sum(not _is_claude(jobs[number]) for number in whole)
        crew = Crew(usual.crew(paths, early.threads(), first), days)
        found.append(WholeLogs(jobs, whole, crew, fresh))
    return found


def _is_whole(job: Job) -> bool:
    return not job.offset and not job.state and not reader.packed(job.source.path)


def _is_claude(job: Job) -> bool:
    return job.source.provider == "claude"


class WholeLogs:
    """Reads whole new logs; says what became of the jobs as a `Folder` does."""

    def __init__(
        self, jobs: Sequence[Job], numbers: Sequence[int], crew: Crew, fresh: bool
    ) -> None:
        """`numbers`: the jobs in the order of the crew's files; -1: nobody asked for that."""
        self._jobs = jobs
        self._numbers = numbers
        self._fresh = fresh
        self._crew = crew
        self._held: list[Read] = []  # whose rows the next table has
        # Logs of Claude wait until all are read: only then is known which repeat another.
        self._claude: list[Read] = []
        self._waiting = 0  # calls of those

    def chunks(self, folder: Folder) -> Iterator[Chunk]:
        """What could be read; other jobs are still to be done."""
        others: list[Read] = []
        waiting = 0  # rows
        while told := self._crew.told():
            for found in told:
                if found[1] is not None and (read := self._try(Told(*found), folder)):
                    (self._held if read.rows and read.batch.held else others).append(read)
                    waiting += read.rows + 20
            if waiting >= _CHUNK:
                yield from self._chunks(others)
                others, waiting = [], 0
            if self._waiting >= _MOST_WAITING:
                yield from self._claude_s(folder)
        yield from self._chunks(others)
        yield from self._claude_s(folder)

    def _chunks(self, others: list[Read]) -> Iterator[Chunk]:
        if others:
            yield Chunk(others, None)
        held, self._held = self._held, []
        if held:
            yield from self._as_table(held)

    def _as_table(self, reads: list[Read]) -> Iterator[Chunk]:
        held = [read.batch.held for read in reads if read.batch.held]
        try:
            table = reader.table([(one, 0) for one in held]) if held else None
        except ValueError:  # a text in one of them is too long; they are read in the other way
            return
        for read in reads:
            read.batch.held = None
        for one in held:
            one.forget()
        yield Chunk(reads, table)

    def _try(self, found: Told, folder: Folder) -> Read | None:
        try:
            return self._read(found, folder)
        except Exception:  # read in the other way, it says what is wrong
            return None

    def _read(self, found: Told, folder: Folder) -> Read | None:
        number, place = self._numbers[found.place], found.place
        source = self._jobs[number].source if number >= 0 else None
        if source is None or found.file != (source.size, source.mtime_ns, source.inode):
            return None  # it was changed since it was read
        begun = self._crew.begun(found, source.provider, source.name)
        if begun is None:
            return None
        batch, state = begun
        stamp = found.fingerprint
        if source.provider == "claude":
            self._wait(found, number, batch)
            return None
        if not found.calls:
            return folder.finish(number, batch, stamp)
        names = codex.named(state)
        held = batch.held = reader.Held(self._crew, place, number, names, found.calls, source.path)
        copy = found.legacy and ((state.meta or {}).get("parent") or state.foreign)
        # What a copy has of its own is added up when it is cut.
        known = self._crew.runs(held) is not None if copy else self._crew.priced(batch, held)
        if not known or (found.legacy and not self._fresh):
            batch.take_rows()
            return folder.finish(number, batch, stamp)
        dumped = shortjson.dumps(batch.state, separators=(",", ":"))
        return Read(number, None, batch, stamp, dumped, 0 if copy else found.calls)

    # ── logs of Claude ────────────────────────────────────────────────────────────────

    def _wait(self, found: Told, number: int, batch: Batch) -> None:
        """Keep what a log of Claude says until all are read."""
        if found.calls:
            path = self._jobs[number].source.path
            names = claude.NAMED
            batch.held = reader.Held(self._crew, found.place, number, names, found.calls, path)
        dumped = shortjson.dumps(batch.state, separators=(",", ":"))
        self._claude.append(Read(number, None, batch, found.fingerprint, dumped, 0))
        self._waiting += found.calls

    def _claude_s(self, folder: Folder) -> Iterator[Chunk]:
        """The logs of Claude that wait, each response that several tell left to one of them."""
        # A session's own log comes before its sub-agents'.
        waiting = sorted(self._claude, key=lambda read: self._jobs[read.number].source.name)
        self._claude, self._waiting = [], 0
        exactly, repeats = self._settle([read for read in waiting if read.batch.held])
        left: list[Read] = []
        ready: list[Read] = []
        rows = 0
        for read in waiting:
            held = read.batch.held
            if held is None:
                ready.append(read)
            elif read.number not in exactly and self._crew.priced(read.batch, held):
                ready.append(read._replace(rows=held.new))
                rows += held.new
            else:
                read.batch.take_rows()
                left.append(folder.finish(read.number, read.batch, read.fingerprint))
            if rows >= _CLAUDE_CHUNK:
                yield from self._as_table(ready)
                ready, rows = [], 0
        if ready:
            yield from self._as_table(ready)
        if repeats:
            yield Chunk([], None, repeats)
        if left:  # last, as these may give others' responses another name
            yield Chunk(left, None)

    def _settle(self, reads: Sequence[Read]) -> tuple[set[int], Repeats | None]:
        """Find whose each response is that several logs tell (`claude.first_told`).

        Returns the jobs of which only the ledger can tell that, log by log, and what is to be
        noted of the others.
        """
        places = [read.batch.held.place for read in reads if read.batch.held]
        said = codex.usual.shared(self._crew.crew, places)
        shared = [(read, *one) for read, one in zip(reads, said, strict=True) if one[0] is not None]
        odd = {group for _, group, _, alike in shared if not alike or not self._fresh}
        order = []
        alone: dict[int, bool] = {}
        for read, group, own, _ in shared:
            if group not in odd:
                alone[read.number] = own
                name = self._jobs[read.number].source.name
                began = (read.batch.state.get("meta") or {}).get("started")
                order.append((claude.first_told(name, began, own), read))
        repeats = None
        if order:
            order.sort(key=lambda pair: pair[0])
            ordered = [read for _, read in order]
            places = [read.batch.held.place for read in ordered if read.batch.held]
            names, pairs = codex.usual.settle(self._crew.crew, places)
            jobs = {(ordered[one].number, ordered[other].number) for one, other in pairs}
            repeats = Repeats(names, jobs, alone)
        return {read.number for read, group, _, _ in shared if group in odd}, repeats
