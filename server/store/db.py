"""Two SQLite files, one writer at a time, and a revision that says what changed.

`secrets.db` is durable to the last commit (synchronous=FULL: a rotated refresh token must
survive a crash); `usage.db` may lose the last commits at a power cut, never at a kill.
"""

from __future__ import annotations

import errno
import os
import time
from _weakref import ref  # `weakref` itself takes longer to load

from server.errors import AppError
from server.lazy import Local, Log, RLock, contextmanager, get_ident, suppress
from server.store import sqlite

TYPE_CHECKING = False  # not imported from `typing`: that takes longer than this module
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

log = Log(__name__)

_NEW = "usage.db.new"
_KEPT = "corrupt"
_TOLD_SECONDS = 7 * 24 * 3600
_WRITE_WORDS = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_MOST_KEPT = 3  # connections that wait for the next page, with what each has in memory
_FAULTY_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES)
_DAMAGED_WORDS = ("malformed", "not a database")
_FAULTY_WORDS = ("is full", "I/O", "locked", "readonly", "unable to open", *_DAMAGED_WORDS)
_COMMON = {
    "journal_mode": "wal",
    "busy_timeout": 5000,
    "foreign_keys": 1,
    "wal_autocheckpoint": 1000,
    "journal_size_limit": 64 * 1024 * 1024,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "temp_store": "memory",
}


class StoreError(AppError):
    """The data folder cannot be used; the message says why and what to do."""

    status, code = 507, "data_folder_unusable"


class _Lasting(sqlite.Connection):
    """A connection that goes from one page to the next."""

    def execute(self, *given: Any) -> Any:
        made = super().execute(*given)
        self.__dict__.setdefault("made", []).append(ref(made))
        return made

    def settle(self) -> None:
        """End whatever was left unread: it would keep the next page in this one's moment."""
        for each in self.__dict__.pop("made", ()):
            cursor = each()
            if cursor is not None:
                cursor.close()
        if self.in_transaction:
            self.execute("rollback")


class Database:
    """A SQLite file whose writes go through `writing()`: a connection for each thread.

    The connections are plain: an ORM takes longer to load than to scan a day's logs.
    `store.models` binds peewee's models to them.
    """

    strict = False

    def __init__(self) -> None:
        self.database: str | None = None  # its path; None while it is closed
        self.write_lock = RLock()
        # One connection stays open, so that the -wal and -shm files stay: readers then need no
        # free disk space, and no last close has to fold the WAL into the file.
        self.anchor: sqlite.Connection | None = None
        self._pragmas: dict[str, Any] = {}
        self._kept: list[_Lasting] = []  # those used last at the end
        self._own = Local()
        self._writer: int | None = None

    def init(self, path: str | None, pragmas: dict[str, Any] | None = None) -> None:
        """Use this file from now on; None: any use is an error."""
        self.database, self._pragmas = path, pragmas or {}
        self._drop_kept()

    def connect(self) -> bool:
        """Open this thread's connection; False when it is open already."""
        if getattr(self._own, "connection", None) is not None:
            return False
        self._own.connection = self._opened()
        return True

    def _opened(self, kind: Any = sqlite.Connection) -> Any:
        if self.database is None:
            raise sqlite.ProgrammingError("the database is closed")
        connection = sqlite.connect(
            self.database, timeout=5, isolation_level=None, check_same_thread=False, factory=kind
        )
        for name, value in self._pragmas.items():
            connection.execute(f"pragma {name} = {value}")
        return connection

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """This thread's connection within the block is one that is not closed after it.

        Only a few are kept: what each has in memory (pages, and statements that are made out) is
        what makes the next page quick.
        """
        if not self.is_closed():
            yield
            return
        path = self.database
        try:
            connection = self._kept.pop()
        except IndexError:
            connection = self._opened(_Lasting)
        self._own.connection = connection
        try:
            yield
        finally:
            self._own.connection = None
            self._keep(connection, path)

    def _keep(self, connection: _Lasting, path: str | None) -> None:
        try:
            connection.settle()
        except sqlite.Error:
            connection.close()
            return
        self._kept.append(connection)
        # Another thread may have closed the database meanwhile.
        if path != self.database:
            self._drop_kept()
        self._drop_kept(_MOST_KEPT)

    def _drop_kept(self, most: int = 0) -> None:
        with suppress(IndexError):  # another thread may take one
            while len(self._kept) > most:
                self._kept.pop(0).close()

    def connection(self) -> sqlite.Connection:
        """This thread's connection."""
        self.connect()
        found: sqlite.Connection = self._own.connection
        return found

    def is_closed(self) -> bool:
        """Whether this thread has no connection."""
        return getattr(self._own, "connection", None) is None

    def close(self) -> None:
        """Close this thread's connection."""
        connection, self._own.connection = self._own.connection, None
        connection.close()

    def check(self, sql: str) -> None:
        """Raise when a model writes outside `writing()` (tests only)."""
        if (
            self.strict
            and self._writer != get_ident()
            and sql.lstrip()[:7].upper().startswith(_WRITE_WORDS)
        ):
            raise RuntimeError(f"a write outside writing(): {sql[:60]}")

    def writes(self) -> bool:
        """Whether this thread is within `writer`."""
        return self._writer == get_ident()

    @contextmanager
    def writer(self) -> Iterator[sqlite.Connection]:
        """One transaction of the only writer; yields the raw connection for `executemany`."""
        with self.write_lock:
            outer, self._writer = self._writer, get_ident()
            try:
                with reading(self) as connection, _transaction(connection):
                    yield connection
            finally:
                self._writer = outer


@contextmanager
def _transaction(connection: sqlite.Connection) -> Iterator[None]:
    """Commit what is done in the block, or nothing of it; a part of the one around it, if any."""
    inner = connection.in_transaction
    connection.execute("savepoint part" if inner else "begin immediate")
    try:
        yield
        connection.execute("release part" if inner else "commit")
    except BaseException:
        # SQLite rolls back by itself when the disk is full; that the roll-back then fails must
        # not hide the reason.
        with suppress(sqlite.Error):
            if inner:
                connection.execute("rollback to part")
                connection.execute("release part")
            else:
                connection.execute("rollback")
        raise


usage = Database()
secrets = Database()
_revisions: dict[str, int] = {}
_started = int(time.time() * 1000)


def now_ms() -> int:
    """The wall clock in milliseconds UTC, for times that are stored or shown."""
    return time.time_ns() // 1_000_000


@contextmanager
def writing(*topics: str) -> Iterator[sqlite.Connection]:
    """A short transaction on usage.db; on success the revision of each topic goes up.

    Topics are the words of `/api/live`: accounts, requests, calls, settings, keys. Never hold
    it around a network call or a file read. Yields the raw connection for bulk statements.
    """
    with usage.writer() as connection:
        yield connection
    for topic in topics:
        touch(topic)


@contextmanager
def writing_secrets() -> Iterator[sqlite.Connection]:
    """A short, durable transaction on secrets.db."""
    with secrets.writer() as connection:
        yield connection


@contextmanager
def reading(database: Database = usage) -> Iterator[sqlite.Connection]:
    """A connection for a short piece of reading, closed again if this block opened it.

    256 idle connections would each keep a page cache, so threads do not keep theirs. A
    long-lived thread (indexer, scheduler) may call `usage.connect()` once and keep it.
    """
    opened = database.connect()
    try:
        yield database.connection()
    finally:
        if opened:
            database.close()


@contextmanager
def reading_pages() -> Iterator[None]:
    """As `reading`, for a page: the connection stays for the next one."""
    with usage.lasting():
        yield


def reading_one_moment(database: Database = usage) -> bool:
    """Whether this thread reads within a transaction that it does not write in."""
    if database.is_closed():
        return False
    return database.connection().in_transaction and not database.writes()


def rows(sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
    """Read usage.db with plain SQL, without models (five times quicker for lists)."""
    with reading() as connection:
        return connection.execute(sql, params).fetchall()


def touch(topic: str) -> None:
    """Say that something about `topic` changed, in memory or on disk."""
    _revisions[topic] = _revisions.get(topic, 0) + 1


def revisions() -> dict[str, int]:
    """A number a topic that only grows, and `started`, which tells one process from the next."""
    return {"started": _started, **_revisions}


def open_databases(
    folder: Path | str, *, strict: bool = False, all_of_it: bool = True
) -> list[str]:
    """Open both files in `folder`, making it (0700) and them (0600) when they are missing.

    Returns sentences for the user when something had to be mended: a damaged file is moved
    aside (never deleted) and the newest good backup takes its place. A file that lies aside is
    told of for a week, whoever moved it. Raises `StoreError` when the folder cannot be written.
    `all_of_it=False` leaves secrets.db alone.
    """
    folder = os.fspath(folder)
    _make_folder(folder)
    notices: list[str] = []
    for database, name, level in ((secrets, "secrets.db", "FULL"), (usage, "usage.db", "NORMAL")):
        if database is secrets and not all_of_it:
            continue
        path = os.path.join(folder, name)
        notices += _mend(path) or _aside(path)
        _create_private(path)
        pragmas = {**_COMMON, "synchronous": level}
        if database is secrets:
            pragmas["secure_delete"] = 1
        database.init(path, pragmas)
        database.strict = strict
        database.anchor = _anchor(path)
    return notices


def open_new(folder: Path | str) -> None:
    """Begin a usage.db beside its place, where there is none yet; `keep_new` puts it there.

    Until then nobody else knows of it, so it needs no journal on disk: what is not finished
    is thrown away.
    """
    folder = os.fspath(folder)
    _make_folder(folder)
    path = os.path.join(folder, _NEW)
    # What a stopped scan left, and the log of a usage.db that somebody removed: SQLite would
    # take it for the new file's.
    for name in (path, *(os.path.join(folder, f"usage.db-{end}") for end in ("wal", "shm"))):
        with suppress(FileNotFoundError):
            os.unlink(name)
    _create_private(path)
    from server.store import readymade  # here: it knows the migrations, and they this module

    usage.init(
        path,
        {**_COMMON, "journal_mode": "memory", "synchronous": "off", "locking_mode": "exclusive"},
    )
    try:
        with open(path, "r+b") as file:  # noqa: PTH123
            file.write(readymade.tables())
    except OSError as error:
        raise _unwritable(folder, error) from error


def is_new() -> bool:
    """Whether usage.db is one that `open_new` began and `keep_new` has not put in its place."""
    return usage.database is not None and usage.database.endswith(_NEW)


def write_out(begin: int = 0) -> int:
    """Let the system begin to write what a new usage.db holds from `begin` on, so that `keep_new`
    waits less; returns where it ends.
    """  # noqa: D205
    if not is_new() or not hasattr(os, "posix_fadvise"):
        return begin
    with suppress(OSError):
        handle = os.open(str(usage.database), os.O_RDWR)
        try:
            end = os.fstat(handle).st_size
            # What is written already would be forgotten; SQLite has its own copy, others do not.
            os.posix_fadvise(handle, begin, 0, os.POSIX_FADV_DONTNEED)
            return end
        finally:
            os.close(handle)
    return begin


def keep_new() -> None:
    """Put the finished usage.db in its place, durable, and close it."""
    path = str(usage.database)
    usage.connection().execute("pragma journal_mode = wal")
    _forget(usage)
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.rename(path, path.removesuffix(".new"))


def drop_new() -> None:
    """Throw an unfinished usage.db away; harmless when there is none."""
    path = usage.database
    if path is not None and is_new():
        _forget(usage)
        for suffix in ("", "-journal", "-wal", "-shm"):
            with suppress(OSError):
                os.unlink(path + suffix)


def _forget(database: Database) -> None:
    if not database.is_closed():
        database.close()
    database.init(None)


def close_databases() -> None:
    """Checkpoint and close this thread's connections."""
    for database in (usage, secrets):
        if database.database is None:
            continue
        with suppress(Exception), database.write_lock, reading(database) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if not database.is_closed():
            database.close()
        if database.anchor is not None:
            database.anchor.close()
            database.anchor = None
        database.init(None)  # a late reader gets an error instead of a new file


def fault(error: BaseException) -> str | None:
    """What is wrong with the data folder; None when the error is of another kind (a mistake)."""
    if isinstance(error, StoreError):
        return error.message
    if isinstance(error, OSError):
        return error.strerror if error.errno in _FAULTY_DISK else None
    told = str(error)
    known = isinstance(error, sqlite.Error)
    return told if known and any(words in told for words in _FAULTY_WORDS) else None


def damaged(error: BaseException) -> bool:
    """Whether a database says that its own file is damaged: only a new start helps."""
    told = str(error)
    return isinstance(error, sqlite.Error) and any(words in told for words in _DAMAGED_WORDS)


def backup(path: Path, *, keep: int = 5) -> Path | None:
    """Copy a database in one step beside itself; None when it does not exist yet.

    `VACUUM INTO` reads one consistent state, unlike a file copy beside a WAL.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    folder = path.parent / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    copy = folder / f"{path.stem}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.db"
    if copy.exists():
        return copy
    _create_private(copy)
    connection = sqlite.connect(path, timeout=5)
    try:
        connection.execute("VACUUM INTO ?", (str(copy),))
    finally:
        connection.close()
    for old in sorted(folder.glob(f"{path.stem}-*.db"))[:-keep]:
        old.unlink(missing_ok=True)
    return copy


def _anchor(path: str) -> sqlite.Connection:
    try:
        connection = sqlite.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite.Error as error:
        raise _unopened(path, error) from error
    return connection


def _unopened(path: str | Path, error: Exception) -> StoreError:
    return StoreError(
        f"Brimline cannot open {path}: {error}. Free some space or mend the folder, "
        "then start again.",
        title="The database cannot be opened",
    )


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True, mode=0o700)
        if os.name == "posix" and os.stat(folder).st_mode & 0o077:
            os.chmod(folder, 0o700)
        probe = f"{folder}/.probe-{os.getpid()}"
        handle = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(handle, b"x")
        finally:
            os.close(handle)
            os.unlink(probe)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: str, error: OSError) -> StoreError:
    return StoreError(
        f"Brimline cannot write to its data folder {folder}: {error.strerror or error}. "
        "Make it writable and free some space, or choose another with --data-dir.",
        title="The data folder cannot be used",
    )


def _create_private(path: Path | str) -> None:
    # O_EXCL and a mode at creation: write-then-chmod leaves a moment in which others can read.
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if os.name == "posix" and os.stat(path).st_mode & 0o077:
            os.chmod(path, 0o600)
    except OSError as error:
        raise StoreError(
            f"Brimline cannot use {path}: {error.strerror or error}. Move it away or mend the "
            "folder, then start again.",
            title="The database cannot be opened",
        ) from error


def _mend(name: str) -> list[str]:
    if not os.path.exists(name):
        if os.path.exists(f"{name}-wal"):  # SQLite would take its pages for the new file's
            _put_aside(name, ("-wal", "-shm"))
        return []
    problem = _problem(name)
    if problem is None:
        return []
    from pathlib import Path  # here: most files are whole

    from server.sentences import say

    path = Path(name)
    try:
        # The file itself last: a stop in between leaves no log of it beside the next one.
        aside = _put_aside(name, ("-wal", "-shm", ""))
        restored = _restore(path)
    except OSError as error:
        raise StoreError(f"{path} is damaged and cannot be moved aside: {error}.") from error
    log.warning("%s was damaged (%s); kept as %s", path.name, problem, aside)
    if restored:
        kept = os.path.basename(aside)
        return [say("notice.restored", file=path.name, aside=kept, copy=restored)]
    return _aside(name)


def _put_aside(name: str, parts: tuple[str, ...]) -> str:
    """Give a file, and what SQLite keeps beside it, a name that nobody uses; returns that."""
    now = int(time.time())
    while True:  # two within a second, after a crash: the second must not take the first's place
        aside = f"{name}.{_KEPT}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}"
        if not os.path.exists(aside):
            break
        now += 1
    for part in parts:
        with suppress(FileNotFoundError):
            os.rename(f"{name}{part}", f"{aside}{part}")
    return aside


def _aside(name: str) -> list[str]:
    """The sentence about the newest damaged file that lies beside `name`, for a week."""
    aside = moved_lately(name, _TOLD_SECONDS)
    if aside is None:
        return []
    from server.sentences import say

    secret = os.path.basename(name) == "secrets.db"
    return [say("notice.anewSecrets" if secret else "notice.anewUsage", aside=aside)]


def moved_lately(name: str, seconds: int = 3600) -> str | None:
    """The newest damaged file that was put aside from `name` within so many seconds."""
    folder, base = os.path.split(name)
    begin = f"{base}.{_KEPT}-"
    ends = [each[len(begin) :] for each in os.listdir(folder) if each.startswith(begin)]
    stamps = [end for end in ends if len(end) == len("20260131T120000")]
    since = time.strftime("%Y%m%dT%H%M%S", time.gmtime(time.time() - seconds))
    newest = max(stamps, default="")
    return f"{name}.{_KEPT}-{newest}" if newest >= since else None


def _problem(name: str) -> str | None:
    """Why this file cannot be used as it is; None when it can, or is not there."""
    if not os.path.exists(name):
        return None
    if os.stat(name).st_size == 0:
        from pathlib import Path

        path = Path(name)
        # A crash in the very first moment leaves this; with backups beside it, it is damage.
        return "empty file" if list(path.parent.glob(f"backups/{path.stem}-*.db")) else None
    try:
        connection = sqlite.connect(name, timeout=5)
        try:
            first = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite.OperationalError as error:
        if "locked" in str(error):
            return None
        if os.path.isfile(name) and not damaged(error):
            # A full or failing disk, a folder that may not be written: the file may well be whole.
            raise _unopened(name, error) from error
        return str(error)
    except sqlite.DatabaseError as error:
        return str(error)
    return None if first == "ok" else str(first)


def _restore(path: Path) -> str | None:
    for copy in sorted(path.parent.glob(f"backups/{path.stem}-*.db"), reverse=True):
        if copy.stat().st_size and _problem(str(copy)) is None:
            _create_private(path)
            path.write_bytes(copy.read_bytes())
            return copy.name
    return None
