"""The background pass that gathers facts: after the index, never beyond it, a piece at a time.

Each file has a cursor of its own, stored with the rows of the piece in one transaction, so that
a kill loses nothing and counts nothing twice. It reads only what the ledger has read, hence every
call that it meets is there, or is a copied head's and counts for nobody.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from server.ingest import claude, claudefacts, facts, failed, files, reader
from server.store import db
from server.usage import diagnostics, factsums

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
SNAPSHOT_SECONDS = 300.0
SETTLE_SECONDS = 60.0  # between looks for files that fell silent
QUIET_SECONDS = 600.0  # after which no next call is waited for
_PIECE = 1 << 18
_BREATH = 0.002  # between transactions, so that the recorder and the indexer get their turn
_TABLES = (
    "fact", "fact_call", "tool_run", "file_read", "file_change", "failed_run", "fact_file",
)  # fmt: skip
_JOBS = (
    "select f.id, f.provider || ':' || f.name, f.path, f.\"offset\", f.fingerprint, "
    'k."offset", k.fingerprint, k.state from source_file f '
    "left join fact_file k on k.source = f.id "
    "where not f.missing and (k.source is null "
    'or k."offset" != f."offset" or k.fingerprint != f.fingerprint)'
)
# Files that say something after their last call, fully read and silent for a while.
_TRAILING = (
    "select source, last from (select k.source, "
    "(select max(number) from fact_call where source = k.source) as last "
    "from fact_file k join source_file f on f.id = k.source "
    'where k."offset" = f."offset" and f.mtime_ns < ?) t '
    "where exists (select 1 from fact where source = t.source and number > t.last)"
)


@dataclass
class _Job:
    source: int
    name: str
    path: str
    limit: int  # how far the ledger has read
    offset: int
    state: facts.State

    @property
    def left(self) -> int:
        return max(0, self.limit - self.offset)


class Gatherer:
    """One thread that follows the ledger; `bring_up` does it at once."""

    def __init__(self, busy: Callable[[], bool] = lambda: False) -> None:
        """`busy`: whether the indexer has the disk and the writer to itself just now."""
        self._busy = busy
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._progress: dict[str, int] | None = None
        self._wanted = False
        self._computed = -SNAPSHOT_SECONDS
        self._settled = -SETTLE_SECONDS
        self._moved = False  # facts settled since the sections were computed
        self._odd: dict[int, int] = {}  # files that failed, until they grow
        self._said: dict[int, files.Stamp] = {}  # files whose damage was said, until they change
        self.error: str | None = None  # why the last pass failed

    def start(self) -> None:
        """Begin to follow the ledger."""
        self._thread = threading.Thread(target=self._run, name="facts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the piece that is being stored."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def progress(self) -> dict[str, int] | None:
        """How far a pass is; None when none runs."""
        now = self._progress
        return dict(now) if now else None

    @property
    def running(self) -> bool:
        """Whether a refresh was asked for, or a pass runs."""
        return self._wanted or self._progress is not None

    def refresh(self, wait: bool = True) -> None:
        """Read what is new and compute every snapshot; at once, or soon on the thread."""
        if wait or self._thread is None:
            self.bring_up(gently=False)
            self._compute()
        else:
            self._wanted = True
            self._wake.set()

    def _run(self) -> None:
        seen: Any = object()
        began = False
        while not self._stopping.is_set():
            # Sooner at first, so that a new page is soon filled.
            self._wake.wait(POLL_SECONDS if began else min(1.0, POLL_SECONDS))
            self._wake.clear()
            known = db.revisions().get("calls")
            late = time.monotonic() - self._settled >= SETTLE_SECONDS
            if self._stopping.is_set() or not (self._wanted or known != seen or late):
                continue
            if self._busy() and not self._wanted:
                continue
            try:
                self._turn()
                seen, self.error, began = known, None, True
            except Exception as error:
                why = db.fault(error)
                if why is None:
                    log.exception("the facts could not be gathered; trying again")
                elif self.error != str(error)[:300]:
                    log.warning("the facts wait for the data folder: %s", why)
                self.error = str(error)[:300]
            finally:
                self._wanted = False

    def _turn(self) -> None:
        wanted = self._wanted
        self.bring_up(gently=not wanted)
        factsums.catch_up()
        late = time.monotonic() - self._computed >= SNAPSHOT_SECONDS
        if (
            wanted
            or diagnostics.computed() is None
            or (late and (self._moved or diagnostics.stale()))
        ):
            self._compute()

    def _compute(self) -> None:
        with self._lock, db.reading():
            self._mend()
        self._moved = False
        diagnostics.compute()
        self._computed = time.monotonic()

    # ── one pass ──────────────────────────────────────────────────────────────────────

    def bring_up(self, *, gently: bool = True) -> bool:
        """Read everything that the ledger has read; whether there was anything."""
        # One connection for the whole pass: opening one costs more than storing a piece.
        with self._lock, db.reading():
            try:
                jobs = self._jobs()
                self._progress = {
                    "filesDone": 0,
                    "filesTotal": len(jobs),
                    "bytesDone": 0,
                    "bytesTotal": sum(job.left for job in jobs),
                }
                for job in jobs:
                    if self._stopping.is_set():
                        break
                    self._read(job, gently)
                    self._progress["filesDone"] += 1
                self._settle()
                if jobs:
                    db.touch("diagnostics")
                return bool(jobs)
            finally:
                self._progress = None

    def _jobs(self) -> list[_Job]:
        _forget_lost()
        jobs = []
        for source, name, path, limit, print_, offset, known, state in db.rows(_JOBS):
            if offset is None:
                jobs.append(_Job(source, name, path, limit, 0, facts.State()))
            elif _continues(path, limit, offset, print_, known):
                if offset < limit:
                    begun = facts.State.load(json.loads(state))
                    jobs.append(_Job(source, name, path, limit, offset, begun))
            else:
                _forget(source)
                jobs.append(_Job(source, name, path, limit, 0, facts.State()))
        return jobs

    def _read(self, job: _Job, gently: bool) -> None:
        if self._odd.get(job.source) == job.limit:
            return
        try:
            with reader.open_log(job.path) as file:
                _ahead(file, job.offset)
                self._read_open(job, file, gently)
        except OSError as error:
            self._complain(job, error)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            # A line that nobody thought of must not keep the other logs from being read.
            self._odd[job.source] = job.limit
            log.exception("facts: %s holds a line that cannot be used", job.name)

    def _complain(self, job: _Job, error: OSError) -> None:
        """Say that a log cannot be read, once for each of its states: every pass tries it again."""
        stamp = files.stamp_of(job.path)
        if job.source not in self._said or self._said[job.source] != stamp:
            self._said[job.source] = stamp
            log.warning("facts: %s cannot be read: %s", job.name, error)

    def _read_open(self, job: _Job, file: BinaryIO, gently: bool) -> None:
        names = _calls_of(job.source)
        fold = claudefacts.fold if job.name.startswith("claude:") else facts.fold
        for data, start in reader.pieces(file, job.offset, _PIECE):
            if start >= job.limit or self._stopping.is_set():
                return
            whole = bytes(data[: job.limit - start])
            found, job.state = fold(whole, start, job.state)
            end = start + len(whole)
            stamp = files.fingerprint(job.path, end)
            with db.writing() as connection:
                corrected = _store(connection, job, found, names)
                connection.execute(
                    "replace into fact_file values (?,?,?,?,?)",
                    (job.source, job.name, end, stamp, json.dumps(job.state.dump())),
                )
            if corrected:
                db.touch("telemetry")
            if self._progress is not None:
                self._progress["bytesDone"] += end - job.offset
            job.offset = end
            if gently:
                self._stopping.wait(_BREATH)

    def _settle(self) -> None:
        """Give what silent files say after their last call to that call; no other may come.

        The rows move, so nothing counts twice; what a call that comes later says is its own.
        """
        before = (time.time() - QUIET_SECONDS) * 1e9
        for source, last in db.rows(_TRAILING, (before,)):
            self._moved = True
            with db.writing("diagnostics") as connection:
                _move(connection, source, last)
        self._settled = time.monotonic()

    def _mend(self) -> None:
        """Find the calls of stretches that have none: heads told apart anew, other ids."""
        lost = db.rows(
            'select k.source, k.number, k."offset", k.call from fact_call k '
            "left join call c on c.id = k.call where c.id is null order by k.source"
        )
        known: dict[int, dict[int, str]] = {}
        found = []
        for source, number, offset, before in lost:
            if source not in known:
                known[source] = _calls_of(source)
            now = known[source].get(offset)
            if now != before:
                found.append((now, source, number))
        for start in range(0, len(found), 500):
            with db.writing() as connection:
                for source in {source for _, source, _ in found[start : start + 500]}:
                    factsums.touch(connection, source)
                connection.executemany(
                    "update fact_call set call = ? where source = ? and number = ?",
                    found[start : start + 500],
                )


# ── rows ──────────────────────────────────────────────────────────────────────────────────


def _calls_of(source: int) -> dict[int, str]:
    """A file's calls by the byte where their line begins."""
    provider, name, owner = db.rows(
        "select provider, name, json_extract(state, '$.owner') from source_file where id = ?",
        (source,),
    )[0]
    # The files of Claude Code's sub-agents belong to the session that started them; a session may
    # have several logs of Codex, copies of one another.
    key = claude.owner_of(name) if provider == "claude" else owner
    return dict(
        db.rows(
            'select c."offset", c.id from session s join call c on c.session = s.id '
            "where s.key = ? and c.source = ?",
            (key, source),
        )
    )


def _store(connection: Any, job: _Job, found: facts.Found, names: dict[int, str]) -> int:
    """Write what a piece says; returns how many events of telemetry it corrected."""
    source = job.source
    factsums.touch(connection, source)
    connection.executemany(
        "insert or ignore into fact_call values (?,?,?,?,?)",
        [(source, number, offset, at, names.get(offset)) for number, offset, at in found.calls],
    )
    connection.executemany(
        "insert into fact values (?,?,?,?,?,?,?,?) on conflict(source, number, type, name) "
        "do update set count = count + excluded.count, last_at = max(last_at, excluded.last_at)",
        [(source, *key, *row) for key, row in found.facts.items()],
    )
    connection.executemany(
        'insert or ignore into tool_run(source, "offset", part, number, function, root, child, '
        "operation, told, outputs) values (?,?,?,?,?,?,?,?,?,0)",
        [(source, *row) for row in found.runs],
    )
    connection.executemany(
        'insert or ignore into file_read(source, "offset", path, part, number, label, reader) '
        "values (?,?,?,?,?,?,?)",
        [(source, *row) for row in found.reads],
    )
    connection.executemany(
        "insert or ignore into file_change values (?,?,?,?,?,?)",
        [(source, *row) for row in found.changes],
    )
    _store_outputs(connection, source, found)
    return failed.store(connection, source, found.failures)


def _move(connection: Any, source: int, last: int) -> None:
    factsums.touch(connection, source)
    connection.execute(
        "insert into fact select source, ?2, type, name, category, count, first_at, last_at "
        "from fact where source = ?1 and number > ?2 "
        "on conflict(source, number, type, name) do update set "
        "count = count + excluded.count, last_at = max(last_at, excluded.last_at)",
        (source, last),
    )
    connection.execute("delete from fact where source = ? and number > ?", (source, last))
    for table in ("tool_run", "file_read", "file_change"):
        connection.execute(
            f"update {table} set number = ?2 where source = ?1 and number > ?2",  # noqa: S608
            (source, last),
        )


def _store_outputs(connection: Any, source: int, found: facts.Found) -> None:
    connection.executemany(
        "update tool_run set outputs = 1, tokens = ?, missing = ? "
        'where source = ? and "offset" = ? and told',
        [(tokens, missing, source, place) for place, tokens, missing, _ in found.outputs],
    )
    # Split evenly; what does not divide goes to the first ones.
    connection.executemany(
        "update file_read set tokens = ?1 / ?2 + (part < ?1 % ?2) "
        'where source = ?3 and "offset" = ?4',
        [
            (tokens, reads, source, place)
            for place, tokens, _, reads in found.outputs
            if tokens is not None and reads
        ],
    )


def _continues(path: str, limit: int, offset: int, now: str, known: str) -> bool:
    """Whether what was read is still the beginning of the file."""
    if limit < offset:
        return False
    if limit == offset and now == known:
        return True
    try:
        return files.fingerprint(path, offset) == known
    except OSError:
        return True  # reading it will say what is wrong


def _forget(source: int) -> None:
    with db.writing() as connection:
        for table in _TABLES:
            connection.execute(f"delete from {table} where source = ?", (source,))  # noqa: S608
        factsums.touch(connection, source)


def _forget_lost() -> None:
    """Drop the facts of files that the ledger no longer has, or has under another number."""
    for (source,) in db.rows(
        "select k.source from fact_file k left join source_file f on f.id = k.source "
        "and f.provider || ':' || f.name = k.name where f.id is null"
    ):
        _forget(source)


def _ahead(file: BinaryIO, offset: int) -> None:
    """Go to a byte; a compressed log only goes forward."""
    if file.seekable():
        file.seek(offset)
        return
    while offset > 0:
        part = file.read(min(offset, 1 << 16))
        if not part:
            raise OSError("the log is shorter than what was read")
        offset -= len(part)
