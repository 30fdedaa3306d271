"""The indexer: finds log files, follows those that grow, and keeps the ledger up to date."""

from __future__ import annotations

import os
import time

from server import shortjson
from server.ingest import codex, files, indexes, reader, renames, titles, workers
from server.ingest.bulk import Bulk
from server.ingest.files import Found, Job, Source, fingerprint
from server.ingest.reader import Batch
from server.lazy import Lock, Log, record
from server.store import db, settings, sqlite

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from server.ingest.files import Files, Folders
    from server.ingest.ledger import Ledger
    from server.ingest.workers import Chunk, Read, Team

log = Log(__name__)

POLL_SECONDS = 2.0
WATCHED_SECONDS = 1.0  # the same while a page is open
_WATCHING = 5.0  # how long a page counts as open that asks no more
SWEEP_SECONDS = 30.0
_BATCH = 200  # calls a transaction beside a proxy that writes too
_BULK = 10_000  # calls a transaction when nobody else writes
_BREATH = 0.001  # between transactions, so that the recorder gets its turn
_CHANGED = -1  # the size of a file that is to be read (on): no file has that
_REVIEWS = (  # whether there is one, by its log's word or its model's
    "select 1 from session where kind = 'review' union all select 1 from daily_usage "
    "where heading = 'model' and provider = 'codex' and name = 'codex-auto-review' limit 1"
)
_RECENT = 48 * 3600  # seconds; files touched since then are looked at in every poll …
_ROUNDS = 50  # of reading anew, each for what the last one told; the next pass goes on
_NEWEST = 200  # … and these, as sessions are taken up again


@record(slots=True)
class Known:
    """What the table says of a file."""

    file: Found  # as it was when it was read
    id: int
    offset: int
    fingerprint: str
    missing: bool


class Indexer:
    """One thread that polls; `scan` brings everything up to date at once."""

    def __init__(self, config: Folders, ledger: Ledger, *, alone: bool = False) -> None:
        """`alone`: no other thread of this process writes or may be forked beside."""
        self._config = config
        self._ledger = ledger
        self._alone = alone
        self._lock = Lock()
        self._wake = None if alone else _event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._known: dict[tuple[str, str], Known] | None = None
        self._progress: dict[str, int] | None = None
        self._watched = -_WATCHING  # when a page asked last
        self._titles = titles.Titles(config.codex_home)
        self._complained: dict[str, files.Stamp] = {}  # said once, until the file changes
        self._finder = files.Finder()
        self._settled = False  # the last sweep found nothing to do
        self._lately: set[tuple[str, str]] = set()  # what every poll looks at
        self.read_at: int | None = None  # when a look at the logs was last finished
        # What was found, and a team that reads all of it already: nothing was known.
        self.early: tuple[Files, Team] | None = None
        self.watch: Callable[[dict[str, int]], None] | None = None

    # ── the thread ────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Begin to follow the logs, if the setting allows."""
        import threading

        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the transaction that is running."""
        self._stopping = True
        self._rouse()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def scan(self, wait: bool = True) -> None:
        """Bring the index up to date now; with `wait`, return when that is done."""
        if wait:
            self._pass(full=True)
        else:
            self._asked = True
            self._rouse()

    _asked = False

    def _rouse(self) -> None:
        if self._wake is not None:
            self._wake.set()

    def progress(self) -> dict[str, int] | None:
        """How far a scan is; None when none runs."""
        now = self._progress
        return dict(now) if now else None

    def watched(self) -> None:
        """Note that a page is open that shows what is found: look more often for a while."""
        self._watched = time.monotonic()

    def pause(self) -> float:
        """How many seconds to wait until the next look."""
        seen = time.monotonic() - self._watched < _WATCHING
        return min(POLL_SECONDS, WATCHED_SECONDS) if seen else POLL_SECONDS

    def _run(self) -> None:
        swept, told = 0.0, None
        while not self._stopping:
            full = self._asked or time.monotonic() - swept >= SWEEP_SECONDS or not swept
            self._asked = False
            try:
                if settings.get("indexLogs"):
                    self._pass(full=full)
                told = None
            except Exception as error:
                why = db.fault(error)
                if why is None:
                    log.exception("the logs could not be read; trying again")
                elif why != told:
                    log.warning("reading logs waits for the data folder: %s", why)
                told = why
            if full:
                swept = time.monotonic()
            if self._wake is not None:
                self._wake.wait(self.pause())
                self._wake.clear()

    def _pass(self, *, full: bool) -> None:
        with self._lock, db.reading():
            try:
                if full:
                    with db.writing() as connection:
                        self._ledger.keep_zone(connection)
                self._update(full=full)
                self._judge()
                for _ in range(_ROUNDS):
                    if not self._ledger.reread or self._stopping:
                        break
                    self._again()
                    self._judge()
                self._attach()
                self.read_at = db.now_ms()
            finally:
                self._progress = None
                self._ledger.fresh = False
                self._ledger.numbers.clear()

    def _attach(self) -> None:
        """Find where reviews belong that name no parent."""
        sessions = self._ledger.sessions
        if sessions.stirred is None or sessions.stirred:
            if db.rows(_REVIEWS):
                from server.ingest import reviews  # here: few have any

                reviews.attach(sessions.stirred)
            sessions.stirred = set()

    def _judge(self) -> None:
        if self._ledger.is_in_doubt():
            with db.writing("calls") as connection:
                self._ledger.judge(connection)

    # ── what changed ──────────────────────────────────────────────────────────────────

    def _update(self, *, full: bool) -> None:
        known = self._load()
        full = full or self._finder.news()
        if full:
            found = self.early[0] if self.early else self._finder.find(self._config)
            if self._settled and self._known is not None and not self._finder.changed:
                self._titles.refresh()
                return
            self._settled = False
            self._follow_renamed(found)
            self._mark_missing(found)
        else:
            found = self._recent(known)
            self._follow_renamed(found)
        jobs = self._early_jobs() or [
            self._job(file, old)
            for key, file in found.items()
            if (old := known.get(key)) is None or old.file != file
        ]
        if jobs:
            self._read_all(jobs)
        if full:
            self._settled = not jobs
            self._lately = _used_lately(found)
        if jobs or full or self._titles.changed():
            self._titles.refresh()

    def _early_jobs(self) -> Sequence[Job]:
        return self.early[1].jobs if self.early else []

    def _load(self) -> dict[tuple[str, str], Known]:
        if self._known is None:
            self._known = {
                (row[0], row[1]): Known(Found._make((*row[:6], bool(row[6]))), *row[7:])
                for row in db.rows(
                    "select provider, name, path, inode, size, mtime_ns, archived, "
                    'id, "offset", fingerprint, missing from source_file'
                )
            }
            if not self._known and not db.rows("select 1 from call limit 1"):
                self._ledger.fresh = True
        return self._known

    def _recent(self, known: dict[tuple[str, str], Known]) -> Files:
        """Files that have grown since the last poll, of those used lately, and today's."""
        found: Files = {}
        for key in self._lately:
            old = known.get(key)
            if old is None or old.missing or old.file.archived:
                continue
            last = old.file
            try:
                said = os.stat(last.path)  # noqa: PTH116 - thousands of calls
            except OSError:
                continue  # the next sweep finds where it went
            now = said.st_ino, said.st_size, said.st_mtime_ns
            if now != (last.inode, last.size, last.mtime_ns):
                found[key] = Found(key[0], key[1], last.path, *now, False)
        for folder in files.todays(files.sessions_root(self._config)):
            self._finder.codex_files(folder, found, archived=False)
        for key in found.keys() - known.keys():
            if not key[1].startswith("rollout-"):
                del found[key]  # a sweep tells whether it repeats another
        return found

    def _follow_renamed(self, found: Files) -> None:
        """Know a log by its new name, so that what is read there replaces its rows."""
        known = self._load()
        if not known or known.keys() >= found.keys():
            return
        pairs = renames.renamed(
            {key: old.file for key, old in known.items()},
            found,
            lambda key: not os.path.lexists(known[key].file.path),  # noqa: PTH110
        )
        if not pairs:
            return
        with db.writing("calls") as connection:
            connection.executemany(
                "update source_file set name = ? where id = ?",
                [(new[1], known[old].id) for old, new in pairs],
            )
            for _, (provider, name) in pairs:
                if provider == "claude":
                    self._ledger.follow(connection, name)
            self._ledger.renew(connection, [known[old].id for old, _ in pairs])
        for old, new in pairs:
            known[new] = known.pop(old)

    def _hand_over(self, gone: list[Known]) -> None:
        """Give the rows of a log that is gone to a copy of it that is there."""
        known = self._load()
        lost = {(file.file.provider, file.file.name): file for file in gone}
        missing = {key for key, file in known.items() if file.missing}
        for key, other in renames.outlived(known.keys() - missing, lost):
            old, copy = lost[key], known[other]
            try:
                alike = fingerprint(copy.file.path, old.offset) == old.fingerprint
            except OSError:
                continue
            if alike:
                with db.writing("calls") as connection:
                    self._ledger.hand_over(connection, old.id, copy.id)
                del known[key]

    def _mark_missing(self, found: Files) -> None:
        known = self._load()
        lost = [known[key] for key in known.keys() - found.keys()]
        gone = [file for file in lost if not file.missing]
        back = [file for key, file in known.items() if file.missing and key in found]
        if gone or back:
            with db.writing() as connection:
                connection.executemany(
                    "update source_file set missing = ? where id = ?",
                    [(1, file.id) for file in gone] + [(0, file.id) for file in back],
                )
                self._ledger.renew(connection, [file.id for file in back])
            for file in gone:
                file.missing = True
            for file in back:
                file.missing = False
            if gone:
                self._hand_over(gone)

    def _job(self, file: Found, known: Known | None) -> Job:
        """What there is to do for a file that is not as it was."""
        source = Source(*file)
        if known is None:
            return Job(source)
        source.id, source.fingerprint = known.id, known.fingerprint
        if not self._continues(file, known):
            return Job(source, anew=True)
        said, guessed = db.rows(
            "select state, json_extract(warnings, '$.mended_time') from source_file where id = ?",
            (known.id,),
        )[0]
        state = shortjson.loads(said)
        # A time that had to be guessed is another one now that the file was written to again.
        anew = guessed or _is_anothers(source, known.offset, state)
        return Job(source, anew=True) if anew else Job(source, known.offset, state)

    def _continues(self, file: Found, known: Known) -> bool:
        """Whether what was read is still the beginning of this file."""
        packed = reader.packed(file.path)
        moved = known.file.path != file.path
        if not packed and file.size < known.offset:
            return False
        grown = file.size > known.file.size or packed or moved
        if not grown and known.file.mtime_ns != file.mtime_ns:
            return False  # as long as before, but written to
        try:
            return fingerprint(file.path, known.offset) == known.fingerprint
        except OSError:
            return True  # reading it will say what is wrong

    # ── reading ───────────────────────────────────────────────────────────────────────

    def _read_all(self, jobs: Sequence[Job]) -> None:
        self._begin(jobs)
        jobs = self._read_groups(jobs)
        if not jobs or self._stopping:
            return
        if self._alone:
            fresh = self._ledger.fresh
            early, self.early = self.early, None
            team = early[1] if early else workers.start(jobs, self._ledger.days(), fresh=fresh)
            self._read_bulk(team)
            return
        # Parents begin before their children, and names begin with the time.
        jobs = sorted(jobs, key=lambda job: job.source.name)
        if sum(job.left for job in jobs) > workers.WORTH_IT:
            jobs = self._read_apart(jobs)
        for job in jobs:
            if self._stopping:
                return
            self._read_one(job)

    def _read_groups(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Read logs anew with those that told of the same calls; returns the other jobs."""
        anew = [job.source.id for job in jobs if job.anew]
        if not anew:
            return jobs
        with db.reading() as connection:
            groups = self._ledger.companions(connection, anew)
        asked = {job.source.id: job for job in jobs if job.source.id}
        known = {file.id: file for file in self._load().values()}
        done: set[int] = set()
        for group in groups:
            if len(group) > 1 and not self._stopping:
                self._read_group(
                    [
                        Job(asked[number].source, anew=True)
                        if number in asked
                        else Job(
                            Source(*known[number].file, known[number].fingerprint, number),
                            anew=True,
                        )
                        for number in group
                        if number in asked or number in known
                    ]
                )
                done |= group
        for number in done & asked.keys():
            self._step(asked[number])
        return [job for job in jobs if job.source.id not in done]

    def _read_group(self, jobs: list[Job]) -> None:
        """Read logs anew whose calls are partly the same: one transaction, whatever their order."""
        jobs.sort(key=lambda job: job.source.name)
        reads: list[tuple[Job, Batch]] = []
        for job in jobs:
            if (batch := self._read_whole(job)) is not None:
                reads.append((job, batch))
        try:
            with db.writing("calls") as connection:
                self._store_group(connection, reads)
        except Exception as error:
            if isinstance(error, OSError) or _of_database(error):
                raise
            for job in jobs:  # what one of them says cannot be stored; the others' can
                self._read_one(job)
            return
        for job, batch in reads:
            self._remember(job.source, batch.offset)

    def _read_whole(self, job: Job) -> Batch | None:
        """All that a log says; None when it cannot be read, and is noted as that."""
        try:
            (batch,) = workers.batches(job, self._ledger.days(), None)
            job.source.fingerprint = fingerprint(job.source.path, batch.offset)
        except Exception as error:
            if _of_database(error):
                raise
            self._unreadable(job, workers.why(error))
            return None
        return batch

    def _store_group(self, connection: sqlite3.Connection, reads: list[tuple[Job, Batch]]) -> None:
        try:
            self._ledger.take_back(connection, [job.source.id for job, _ in reads])
            for job, batch in reads:
                self._ledger.store(connection, job.source, batch)
            self._ledger.flush(connection)
        except BaseException:
            self._ledger.forget()
            raise

    def _begin(self, jobs: Sequence[Job]) -> None:
        self._progress = {
            "filesDone": 0,
            "filesTotal": len(jobs),
            "bytesDone": 0,
            "bytesTotal": sum(job.left for job in jobs),
        }

    def _read_apart(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Let another process fold; returns the jobs it left."""
        from contextlib import closing

        from server.ingest import apart  # here: a scan without a server starts no program

        done, lost = 0, -1  # the job that cannot be stored
        with closing(apart.parts(jobs, self._ledger.days(), _BATCH)) as parts:
            for part in parts:
                job = jobs[part.number]
                if part.error is not None:
                    self._unreadable(job, part.error)
                elif lost != part.number and not self._taken(job, part.batch, part.fingerprint):
                    lost = part.number
                if not part.batch.more:
                    self._step(job)
                    done = part.number + 1
                if self._stopping:
                    break
        return [self._rest(job) for job in jobs[done:]]

    def _rest(self, job: Job) -> Job:
        """What is left of a job that was begun."""
        known = self._load().get((job.source.provider, job.source.name))
        if known is None or known.offset == job.offset:
            return job
        state = db.rows("select state from source_file where id = ?", (known.id,))[0][0]
        return Job(job.source, known.offset, shortjson.loads(state))

    def _read_one(self, job: Job) -> None:
        limit = None if job.anew else _BATCH  # old rows go and new ones come in one transaction
        try:
            for batch in workers.batches(job, self._ledger.days(), limit):
                stamp = fingerprint(job.source.path, batch.offset)
                if not self._taken(job, batch, stamp):
                    break
                if self._stopping:
                    return
        except Exception as error:
            if _of_database(error):
                raise
            self._unreadable(job, workers.why(error))
        self._step(job)

    def _taken(self, job: Job, batch: Batch, stamp: str) -> bool:
        """Store a batch; False when what the file says cannot be stored, which stops no other."""
        number = job.source.id
        try:
            self._take(job, batch, stamp)
        except Exception as error:
            if isinstance(error, OSError) or _of_database(error):
                raise
            job.source.id = number  # nothing of it was kept
            self._unreadable(job, workers.why(error))
            return False
        return True

    def _take(self, job: Job, batch: Batch, stamp: str) -> None:
        """Store a batch in a transaction of its own."""
        source, size = job.source, job.source.size
        source.fingerprint = stamp
        if batch.more:
            source.size = _CHANGED  # so that it is read on should we end here
        try:
            with db.writing("calls") as connection:
                self._store(connection, job, batch)
            self._remember(source, batch.offset)
        finally:
            source.size = size
        job.anew = False
        if batch.rows:
            time.sleep(_BREATH)

    def _store(self, connection: sqlite3.Connection, job: Job, batch: Batch) -> None:
        source = job.source
        try:
            if job.anew:
                self._ledger.take_back(connection, [source.id])
            self._ledger.store(connection, source, batch)
            self._ledger.flush(connection)
        except BaseException:
            self._ledger.forget()
            raise

    def _remember(self, source: Source, offset: int) -> None:
        file = _found(source)
        self._lately.add((file.provider, file.name))
        self._load()[(file.provider, file.name)] = Known(
            file, source.id, offset, source.fingerprint, missing=False
        )

    def _step(self, job: Job) -> None:
        if self._progress is not None:
            self._progress["filesDone"] += 1
            self._progress["bytesDone"] += job.left
            if self.watch is not None:
                self.watch(self._progress)

    def _unreadable(self, job: Job, error: str) -> None:
        """Note a file that could not be read; every sweep tries it again."""
        source = job.source
        stamp = files.stamp_of(source.path)
        if source.path not in self._complained or self._complained[source.path] != stamp:
            self._complained[source.path] = stamp
            log.warning("%s cannot be read: %s", source.name, error)
        known = self._load().get((source.provider, source.name))
        source.size = _CHANGED
        with db.writing() as connection:
            if not source.id:
                self._ledger.store(connection, source, Batch())
            connection.execute(
                "update source_file set size = ?, "
                "warnings = json_set(warnings, '$.unreadable', 1) where id = ?",
                (_CHANGED, source.id),
            )
        self._remember(source, known.offset if known else 0)

    def _read_bulk(self, team: Team) -> None:
        """Nobody else writes: few transactions, and other processes read along."""
        if self._ledger.fresh and db.is_new():  # nobody sees the file before it is whole
            self._dropped = indexes.drop()
        try:
            self._load_all(team)
        except Exception as error:
            if isinstance(error, OSError) or _of_database(error):
                raise
            # What one file says cannot be stored: one by one, the others can.
            log.warning("a load of logs met an unexpected %s", type(error).__name__)
            self._index_calls()
            self._one_by_one(team.jobs)
        finally:
            self._written = db.write_out(self._written)
            self._index_calls()
            db.write_out(self._written)

    _written = 0  # what the system is to write of a new database already
    _dropped: Sequence[indexes.Dropped] = ()  # the indexes that a load began without

    def _index_calls(self) -> None:
        """Make the indexes that a load began without: whoever asks for a call needs them.

        Until then nothing tells whether a call is there twice.
        """
        dropped, self._dropped = self._dropped, ()
        if dropped and not indexes.write(dropped):
            with db.writing() as connection:
                for statement in indexes.statements(dropped):
                    connection.execute(statement)
                self._ledger.name_calls(connection)

    def _load_all(self, team: Team) -> None:
        bulk, chunks = Bulk(self._ledger, team.jobs), team.chunks()
        left: list[tuple[Job, Read]] = []
        try:
            with db.reading() as connection:
                connection.execute("pragma cache_size = -65536")
                connection.execute("attach ':memory:' as chunk")
                try:
                    while self._load_some(bulk, chunks, left, team.jobs):
                        self._written = db.write_out(self._written)
                finally:
                    connection.execute("detach chunk")
        except BaseException:
            self._ledger.forget()
            self._known = None  # it names files whose rows were rolled back
            raise
        finally:
            team.close()
        if left:
            self._index_calls()
            self._store_left(left)

    def _one_by_one(self, jobs: Sequence[Job]) -> None:
        """Read the files of a load that failed and are not stored yet, each in its own way."""
        known = self._load()
        for file in sorted((_found(job.source) for job in jobs), key=lambda file: file.name):
            old = known.get((file.provider, file.name))
            if (old is None or old.file != file) and not self._stopping:
                self._read_one(self._job(file, old))

    def _load_some(
        self,
        bulk: Bulk,
        chunks: Iterator[Chunk],
        left: list[tuple[Job, Read]],
        jobs: Sequence[Job],
    ) -> bool:
        """One transaction of a load; False when it was the last. Nobody waits for its end."""
        rows, more = 0, False
        with db.writing("calls") as connection:
            for chunk in chunks:
                if chunk.repeats:
                    bulk.write(connection)
                    self._ledger.tellings.settled(connection, jobs, chunk.repeats)
                    continue
                self._loaded(connection, *bulk.store(connection, chunk), left)
                rows += sum(max(read.rows, len(read.batch.rows)) for read in chunk.reads)
                more = rows >= _BULK
                if more:
                    break
            else:
                self._loaded(connection, *bulk.store_rest(connection), left)
            (bulk.write if more else bulk.finish)(connection)
            self._ledger.flush(connection)
        return more

    def _loaded(
        self,
        connection: sqlite3.Connection,
        done: Sequence[tuple[Job, Read]],
        others: Sequence[tuple[Job, Read]],
        left: list[tuple[Job, Read]],
    ) -> None:
        """Note what is stored, and what is left to store at the end."""
        for job, read in done:
            self._remember(job.source, read.batch.offset)
            self._step(job)
        for job, read in others:
            self._step(job)
            if read.error is None and job.source.provider == "claude":
                self._index_calls()
                self._store_read(connection, job, read)
            else:
                left.append((job, read))

    def _store_read(self, connection: sqlite3.Connection, job: Job, read: Read) -> None:
        job.source.fingerprint = read.fingerprint
        if job.anew:
            self._ledger.take_back(connection, [job.source.id])
        self._ledger.store(connection, job.source, read.batch)
        self._remember(job.source, read.batch.offset)

    def _store_left(self, left: list[tuple[Job, Read]]) -> None:
        """What asks for more than a copy: parents first, as copied heads need their rows."""
        left.sort(key=lambda pair: pair[0].source.name, reverse=True)
        while left:
            rows = 0
            try:
                with db.writing("calls") as connection:
                    while left and rows < _BULK:
                        job, read = left.pop()
                        if read.error is not None:
                            self._unreadable(job, read.error)
                        else:
                            self._store_read(connection, job, read)
                        rows += len(read.batch.rows) + 20
                    self._ledger.flush(connection)
            except BaseException:
                self._ledger.forget()
                self._known = None
                raise

    def _again(self) -> None:
        """Read files anew whose parent's log is known now."""
        wanted = set(self._ledger.reread)
        self._ledger.reread.clear()
        known = {file.id: file for file in self._load().values()}
        jobs = [
            Job(Source(*known[number].file, known[number].fingerprint, number), anew=True)
            for number in sorted(wanted & known.keys())
            if not known[number].missing
        ]
        for job in self._read_groups(jobs):
            self._read_one(job)


def _event() -> threading.Event:
    import threading  # here: a scan without a server has one thread

    return threading.Event()


def _used_lately(found: Files) -> set[tuple[str, str]]:
    """The files that may well grow: those of two days, and the newest of the others."""
    limit = time.time_ns() - _RECENT * 1_000_000_000
    active = sorted((-file.mtime_ns, key) for key, file in found.items() if not file.archived)
    return {key for at, key in active[:_NEWEST]} | {
        key for at, key in active[_NEWEST:] if -at >= limit
    }


def _found(source: Source) -> Found:
    return Found(
        source.provider, source.name, source.path, source.inode, source.size,
        source.mtime_ns, bool(source.archived),
    )  # fmt: skip


def _is_anothers(source: Source, offset: int, state: dict[str, Any]) -> bool:
    """Whether the new part of a log may say that it is the thread's which its name tells."""
    named = codex.owner_of(source.name) if source.provider == "codex" else None
    if named is None or state.get("owner") in (None, named):
        return False
    try:
        return reader.speaks_of(source.path, offset, named)
    except OSError:
        return False  # reading it will say what is wrong


def _of_database(error: Exception) -> bool:
    """Whether the database has the trouble, rather than what one file says."""
    # The other kinds of `DatabaseError` are about values.
    own = isinstance(error, (db.StoreError, sqlite.OperationalError))
    return own or type(error) is sqlite.DatabaseError
