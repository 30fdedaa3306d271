"""The indexer: finds log files, follows those that grow, and keeps the ledger up to date."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from server.config import Config
from server.ingest import claude, codex, reader, titles, workers
from server.ingest.ledger import Ledger, Source
from server.ingest.reader import Batch
from server.store import db, settings

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
SWEEP_SECONDS = 30.0
_BATCH = 200  # calls a transaction beside a proxy that writes too
_BULK = 2_000  # calls a transaction when nobody else writes
_BREATH = 0.001  # between transactions, so that the recorder gets its turn
_HEAD = 4096
_JOINT = 1024
_RECENT = 48 * 3600  # seconds; files touched since then are looked at in every poll


@dataclass(frozen=True, slots=True)
class Found:
    """A log file on disk."""

    provider: str
    name: str
    path: str
    inode: int
    size: int
    mtime_ns: int
    archived: bool

    @property
    def rank(self) -> tuple[bool, bool]:
        """Of two files of one name, the lower counts: plain before packed, active before not."""
        return self.path.endswith(".zst"), self.archived


@dataclass(slots=True)
class Known:
    """What the table says of a file."""

    id: int
    path: str
    inode: int
    size: int
    mtime_ns: int
    offset: int
    fingerprint: str
    archived: bool
    missing: bool


@dataclass(slots=True)
class Job:
    """A file to read: from `offset` on, or anew."""

    source: Source
    offset: int
    state: dict[str, Any]
    anew: bool


class Indexer:
    """One thread that polls; `scan` brings everything up to date at once."""

    def __init__(self, config: Config, ledger: Ledger, *, alone: bool = False) -> None:
        """`alone`: no other thread of this process writes or may be forked beside."""
        self._config = config
        self._ledger = ledger
        self._alone = alone
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._known: dict[tuple[str, str], Known] | None = None
        self._progress: dict[str, int] | None = None
        self._titles = titles.Titles(config.codex_home)
        self._complained: set[str] = set()
        self.watch: Callable[[dict[str, int]], None] | None = None

    # ── the thread ────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Begin to follow the logs, if the setting allows."""
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the transaction that is running."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def scan(self, wait: bool = True) -> None:
        """Bring the index up to date now; with `wait`, return when that is done."""
        if wait:
            self._pass(full=True)
        else:
            self._asked = True
            self._wake.set()

    _asked = False

    def progress(self) -> dict[str, int] | None:
        """How far a scan is; None when none runs."""
        now = self._progress
        return dict(now) if now else None

    def _run(self) -> None:
        swept = 0.0
        while not self._stopping:
            full = self._asked or time.monotonic() - swept >= SWEEP_SECONDS or not swept
            self._asked = False
            try:
                if settings.get("indexLogs"):
                    self._pass(full=full)
            except Exception:
                log.exception("the logs could not be read; trying again")
            if full:
                swept = time.monotonic()
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()

    def _pass(self, *, full: bool) -> None:
        with self._lock, db.reading():
            try:
                if full:
                    with db.writing() as connection:
                        self._ledger.keep_zone(connection)
                self._update(full=full)
                while self._ledger.reread and not self._stopping:
                    self._again()
            finally:
                self._progress = None
                self._ledger.fresh = None

    # ── what changed ──────────────────────────────────────────────────────────────────

    def _update(self, *, full: bool) -> None:
        known = self._load()
        if full:
            found = discover(self._config)
            self._mark_missing(found)
        else:
            found = self._recent(known)
        jobs = [job for file in found.values() if (job := self._job(file)) is not None]
        if jobs:
            self._read_all(jobs)
        if jobs or full:
            self._titles.refresh()

    def _load(self) -> dict[tuple[str, str], Known]:
        if self._known is None:
            self._known = {
                (row[0], row[1]): Known(*row[2:])
                for row in db.rows(
                    'select provider, name, id, path, inode, size, mtime_ns, "offset", '
                    "fingerprint, archived, missing from source_file"
                )
            }
            if not self._known and not db.rows("select 1 from call limit 1"):
                self._ledger.fresh = set()
        return self._known

    def _recent(self, known: dict[tuple[str, str], Known]) -> dict[tuple[str, str], Found]:
        """Files that may have grown since the last poll: those used lately, and today's."""
        limit = time.time_ns() - _RECENT * 1_000_000_000
        found: dict[tuple[str, str], Found] = {}
        for (provider, name), file in known.items():
            if file.missing or file.archived or file.mtime_ns < limit:
                continue
            try:
                said = os.stat(file.path)  # noqa: PTH116 - thousands of calls
            except OSError:
                continue  # the next sweep finds where it went
            found[(provider, name)] = Found(
                provider, name, file.path, said.st_ino, said.st_size, said.st_mtime_ns, False
            )
        for folder in _todays(self._config.codex_home / "sessions"):
            for today in _codex_files(folder, archived=False):
                key = (today.provider, today.name)
                if key not in found or today.rank < found[key].rank:
                    found[key] = today
        return found

    def _mark_missing(self, found: dict[tuple[str, str], Found]) -> None:
        known = self._load()
        gone = [file for key, file in known.items() if key not in found and not file.missing]
        back = [file for key, file in known.items() if key in found and file.missing]
        if gone or back:
            with db.writing() as connection:
                connection.executemany(
                    "update source_file set missing = ? where id = ?",
                    [(1, file.id) for file in gone] + [(0, file.id) for file in back],
                )
            for file in gone:
                file.missing = True
            for file in back:
                file.missing = False

    def _job(self, file: Found) -> Job | None:
        """What there is to do for a file; None when it is as it was."""
        known = self._load().get((file.provider, file.name))
        if (
            known is not None
            and known.mtime_ns == file.mtime_ns
            and known.size == file.size
            and known.inode == file.inode
            and known.path == file.path
        ):
            return None
        source = Source(**{name: getattr(file, name) for name in Found.__dataclass_fields__})
        if known is None:
            return Job(source, 0, {}, anew=False)
        source.id, source.fingerprint = known.id, known.fingerprint
        if not self._continues(file, known):
            return Job(source, 0, {}, anew=True)
        state = db.rows("select state from source_file where id = ?", (known.id,))[0][0]
        return Job(source, known.offset, json.loads(state), anew=False)

    def _continues(self, file: Found, known: Known) -> bool:
        """Whether what was read is still the beginning of this file."""
        packed = file.path.endswith(".zst")
        moved = known.path != file.path
        if not packed and file.size < known.offset:
            return False
        grown = file.size > known.size or packed or moved
        if not grown and known.mtime_ns != file.mtime_ns:
            return False  # as long as before, but written to
        try:
            return fingerprint(file.path, known.offset) == known.fingerprint
        except OSError:
            return True  # reading it will say what is wrong

    # ── reading ───────────────────────────────────────────────────────────────────────

    def _read_all(self, jobs: list[Job]) -> None:
        # Parents begin before their children, and names begin with the time.
        jobs.sort(key=lambda job: job.source.name)
        whole = sum(max(0, job.source.size - job.offset) for job in jobs)
        self._progress = {
            "filesDone": 0, "filesTotal": len(jobs), "bytesDone": 0, "bytesTotal": whole,
        }  # fmt: skip
        if self._alone:
            self._read_bulk(jobs, whole)
            return
        for job in jobs:
            if self._stopping:
                return
            self._read_one(job)

    def _read_one(self, job: Job, limit: int | None = _BATCH) -> None:
        days = self._ledger.days()
        if job.anew:
            limit = None  # the old rows go and the new ones come in one transaction
        try:
            for batch in self._batches(job, days, limit):
                job.source.fingerprint = fingerprint(job.source.path, batch.offset)
                with db.writing("calls") as connection:
                    self._store(connection, job, batch)
                self._remember(job.source, batch.offset)
                job.anew = False
                if limit is not None and batch.rows:
                    time.sleep(_BREATH)
                if self._stopping:
                    return
        except OSError as error:
            self._unreadable(job, error)
        self._step(job)

    def _batches(self, job: Job, days: Any, limit: int | None) -> Iterator[Batch]:
        state = job.state
        if not state and job.source.provider == "claude":
            state = {"claude": True, "owner": claude.owner_of(job.source.name)}
        elif not state:
            state = {"owner": codex.owner_of(job.source.name)}
        return reader.read(job.source.path, job.offset, state, days, limit)

    def _store(self, connection: sqlite3.Connection, job: Job, batch: Batch) -> None:
        source = job.source
        try:
            if job.anew:
                self._ledger.take_back(connection, source)
            self._ledger.store(connection, source, batch)
            self._ledger.flush(connection)
        except BaseException:
            self._ledger.forget()
            raise

    def _remember(self, source: Source, offset: int) -> None:
        self._load()[(source.provider, source.name)] = Known(
            source.id, source.path, source.inode, source.size, source.mtime_ns, offset,
            source.fingerprint, source.archived, missing=False,
        )  # fmt: skip

    def _step(self, job: Job) -> None:
        if self._progress is not None:
            self._progress["filesDone"] += 1
            self._progress["bytesDone"] += max(0, job.source.size - job.offset)
            if self.watch is not None:
                self.watch(self._progress)

    def _unreadable(self, job: Job, error: OSError) -> None:
        """Note a file that could not be read; every sweep tries it again."""
        source = job.source
        if source.path not in self._complained:
            self._complained.add(source.path)
            log.warning("%s cannot be read: %s", source.name, error.strerror or error)
        known = self._load().get((source.provider, source.name))
        source.size = -1  # no file has that, so it counts as changed
        with db.writing() as connection:
            if not source.id:
                self._ledger.store(connection, source, Batch())
            connection.execute(
                "update source_file set size = -1, "
                "warnings = json_set(warnings, '$.unreadable', 1) where id = ?",
                (source.id,),
            )
        self._remember(source, known.offset if known else 0)

    def _read_bulk(self, jobs: list[Job], whole: int) -> None:
        """Nobody else writes: few transactions, and other processes read along."""
        fresh = self._ledger.fresh is not None and whole > workers.WORTH_IT
        if fresh:
            _drop_indexes()
        held: list[tuple[Job, list[Batch]]] = []
        pending: list[tuple[Job, list[Batch]]] = []
        waiting = 0
        try:
            for job, batches, error in workers.read(
                jobs, self._batches, self._ledger.days(), whole
            ):
                if error is not None:
                    self._unreadable(job, error)
                elif any(_copied_head(batch) for batch in batches):
                    held.append((job, batches))
                else:
                    pending.append((job, batches))
                    waiting += sum(len(batch.rows) for batch in batches) + 20
                if waiting >= _BULK:
                    self._commit(pending)
                    pending, waiting = [], 0
                self._step(job)
            self._commit(pending)
            if held and fresh:
                make_indexes()  # finding the parents' calls needs them
            held.sort(key=lambda pair: pair[0].source.name)
            self._commit(held)
        finally:
            if fresh:
                make_indexes()

    def _commit(self, read: list[tuple[Job, list[Batch]]]) -> None:
        read = [pair for pair in read if self._stamped(*pair)]
        if not read:
            return
        try:
            with db.writing("calls") as connection:
                for job, batches in read:
                    if job.anew:
                        self._ledger.take_back(connection, job.source)
                    for batch in batches:
                        self._ledger.store(connection, job.source, batch)
                self._ledger.flush(connection)
        except BaseException:
            self._ledger.forget()
            raise
        for job, batches in read:
            self._remember(job.source, batches[-1].offset)

    def _stamped(self, job: Job, batches: list[Batch]) -> bool:
        """Take the file's fingerprint; False when it is gone by now."""
        try:
            job.source.fingerprint = fingerprint(job.source.path, batches[-1].offset)
        except OSError as error:
            self._unreadable(job, error)
            return False
        return True

    def _again(self) -> None:
        """Read files anew whose parent's log is known now."""
        wanted = self._ledger.reread
        self._ledger.reread = set()
        known = {file.id: (key, file) for key, file in self._load().items()}
        for number in sorted(wanted):
            if number not in known:
                continue
            (provider, name), file = known[number]
            if file.missing:
                continue
            source = Source(
                provider, name, file.path, file.inode, file.size, file.mtime_ns, file.archived,
                file.fingerprint, file.id,
            )  # fmt: skip
            self._read_one(Job(source, 0, {}, anew=True))


def _copied_head(batch: Batch) -> bool:
    """Whether the parent's rows must be stored before this batch can be."""
    meta = batch.state.get("meta") or {}
    return bool(
        batch.rows
        and codex.legacy(batch.rows[0][0])
        and (meta.get("parent") or batch.state.get("foreign"))
    )


# ── files ─────────────────────────────────────────────────────────────────────────────────


def discover(config: Config) -> dict[tuple[str, str], Found]:
    """Every log file, one a name. Loops of links, pipes and closed folders are passed by."""
    found: dict[tuple[str, str], Found] = {}
    for folder, archived in (("sessions", False), ("archived_sessions", True)):
        for file in _codex_files(config.codex_home / folder, archived=archived):
            key = (file.provider, file.name)
            if key not in found or file.rank < found[key].rank:
                found[key] = file
    for file in _claude_files(config.claude_home):
        found[(file.provider, file.name)] = file
    return found


def _claude_files(home: Path) -> Iterator[Found]:
    # CLAUDE_CONFIG_DIR may name several folders, or the projects folder itself.
    for part in str(home).split(","):
        folder = Path(part.strip())
        root = folder if folder.name == "projects" else folder / "projects"
        for entry in _walk(str(root)):
            if not entry.name.endswith(".jsonl"):
                continue
            try:
                said = entry.stat()
            except OSError:
                continue
            name = os.path.relpath(entry.path, root)[:-6]
            yield Found(
                "claude", name, entry.path, said.st_ino, said.st_size, said.st_mtime_ns, False
            )


def _codex_files(folder: Path, *, archived: bool) -> Iterator[Found]:
    for entry in _walk(str(folder)):
        name = entry.name
        if not name.startswith("rollout-"):
            continue
        stem = name[:-6] if name.endswith(".jsonl") else name[:-10]
        if stem + name[len(stem) :] != name or not name.endswith((".jsonl", ".jsonl.zst")):
            continue
        try:
            said = entry.stat()
        except OSError:
            continue
        yield Found(
            "codex", stem, entry.path, said.st_ino, said.st_size, said.st_mtime_ns, archived
        )


def _walk(root: str) -> Iterator[os.DirEntry[str]]:
    """The regular files below a folder; linked files count, linked folders only once."""
    stack, seen = [root], set()
    while stack:
        folder = stack.pop()
        try:
            said = os.stat(folder)  # noqa: PTH116
            if (said.st_dev, said.st_ino) in seen:
                continue
            seen.add((said.st_dev, said.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir():
                            stack.append(entry.path)
                        elif entry.is_file():
                            yield entry
                    except OSError:
                        continue
        except OSError:
            continue


def _todays(sessions: Path) -> list[Path]:
    """The folders that new sessions are written to now (local day, and its neighbours)."""
    now = time.time()
    days = {time.strftime("%Y/%m/%d", time.localtime(now + shift)) for shift in (-86400, 0, 86400)}
    return [sessions / day for day in sorted(days)]


def fingerprint(path: str, offset: int) -> str:
    """Of the first bytes and of those before `offset`: what an append leaves as it is."""
    if offset == 0:
        return ""
    if path.endswith(".zst"):
        return _packed_fingerprint(path, offset)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        head = os.read(handle, min(_HEAD, offset))
        os.lseek(handle, max(0, offset - _JOINT), os.SEEK_SET)
        joint = os.read(handle, min(_JOINT, offset))
    finally:
        os.close(handle)
    return _digest(head, joint)


def _packed_fingerprint(path: str, offset: int) -> str:
    head, joint = b"", b""
    with reader.open_log(path) as file:
        left = offset
        while left:
            part = file.read(min(left, 1 << 16))
            if not part:
                break
            head += part[: max(0, _HEAD - len(head))]
            joint = (joint + part)[-_JOINT:]
            left -= len(part)
    return _digest(head[: min(_HEAD, offset)], joint)


def _digest(head: bytes, joint: bytes) -> str:
    return blake2b(head + b"|" + joint, digest_size=12).hexdigest()


# ── indexes ───────────────────────────────────────────────────────────────────────────────

_INDEXES = ("call_started_at", "call_session_started_at")


def _drop_indexes() -> None:
    # Made at the end they cost a quarter of what they cost row by row.
    with db.writing() as connection:
        for name in _INDEXES:
            connection.execute(f"drop index if exists {name}")


def make_indexes() -> None:
    """Make the indexes of the table `call` where an interrupted first scan left none."""
    with db.writing() as connection:
        connection.execute("create index if not exists call_started_at on call(started_at)")
        connection.execute(
            "create index if not exists call_session_started_at on call(session, started_at)"
        )
