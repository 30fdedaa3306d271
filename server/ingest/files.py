"""Log files on disk: where they lie, what one is known by, and what there is to read in it."""

from __future__ import annotations

import os
import sys
import time

from server import shortjson
from server.ingest import codex, reader
from server.ingest.heads import blake2b, owner_of
from server.ingest.lines import BOM
from server.lazy import NamedTuple, field, record, suppress

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, Protocol

    class Folders(Protocol):
        """The part of a configuration that says where the logs are."""

        @property
        def data_dir(self) -> str | Path: ...  # noqa: D102
        @property
        def codex_home(self) -> str | Path: ...  # noqa: D102
        @property
        def claude_home(self) -> str | Path: ...  # noqa: D102
        @property
        def sessions_root(self) -> str | Path | None: ...  # noqa: D102
        @property
        def projects_root(self) -> str | Path | None: ...  # noqa: D102
        @property
        def strict_writes(self) -> bool: ...  # noqa: D102


COARSE = 3_000_000_000  # ns; no file system's times are coarser
_LISTED = 600_000_000_000  # ns; folders are listed anew after that in any case
_HEAD = 4096
_ENDING, _PACKED = ".jsonl", ".jsonl.zst"  # in any capitals
_JOINT = 1024
_LOOKED_AT = 1500  # folders in one look for news
_FIRST_LINE = 1 << 20  # bytes: a head holds the instructions


class Found(NamedTuple):
    """A log file on disk."""

    provider: str
    name: str
    path: str
    inode: int
    size: int
    mtime_ns: int
    archived: bool

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """Of two files of one name, the lower counts: plain before packed, active before not, the
        usual ending before one in capitals.
        """  # noqa: D205
        usual = self.path.endswith((".jsonl", ".zst"))
        return reader.packed(self.path), self.archived, not usual


if TYPE_CHECKING:
    Files = dict[tuple[str, str], Found]  # (provider, name) → file
    Stamp = tuple[int, int, int] | None  # size, time, inode
    LeftOut = tuple[str, str]  # path, kind


@record(slots=True)
class Source:
    """A log file as the ledger knows it."""

    provider: str
    name: str
    path: str
    inode: int
    size: int
    mtime_ns: int
    archived: bool
    fingerprint: str = ""
    id: int = 0


@record(slots=True)
class Job:
    """A file to read: from `offset` on, or anew."""

    source: Source
    offset: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    anew: bool = False

    @property
    def left(self) -> int:
        """How many bytes there are to read, as far as the size tells."""
        return max(0, self.source.size - self.offset)


class Finder:
    """Finds log files, and remembers what lies in folders that have not changed since."""

    def __init__(self, *, keeps: bool = True) -> None:
        """`keeps`: it is asked again, and then compares."""
        self._keeps = keeps
        self._folders: dict[tuple[str, str], _Folder] = {}
        self._visited: dict[tuple[str, str], _Folder] = {}
        self.changed = True  # whether the last `find` differs from the one before
        self._odd: list[LeftOut] = []
        self._roots: dict[str, bool] = {}  # and whether they were there
        self._turn: list[tuple[str, str]] = []  # the folders whose turn is yet to come

    def find(self, config: Folders) -> Files:
        """Every log file, one a name; `left_out` says what was passed by."""
        found: Files = {}
        self._visited, self.changed, self._odd = {}, False, []
        projects = projects_roots(config)
        roots = (sessions_root(config), archive_root(config), *projects)
        self._roots = {root: os.path.isdir(root) for root in roots}  # noqa: PTH112
        self.codex_files(roots[0], found, archived=False)
        self.codex_files(roots[1], found, archived=True)
        self._odd += _copies(found)
        for root in projects:
            self._files(root, _claude_name, ("claude", False), found)
        if self._folders.keys() != self._visited.keys():
            self.changed = True
        self._folders = self._visited
        _left_out[:] = self._odd
        for listed in self._visited.values():
            _left_out.extend(listed.odd)
        return found

    def news(self) -> bool:
        """Whether a folder says that something came to it or went since it was listed.

        A look at each folder's own time; of very many, some at a time.
        """
        if any(os.path.isdir(root) != there for root, there in self._roots.items()):  # noqa: PTH112
            return True
        turn = self._turn or list(self._folders)
        self._turn = turn[_LOOKED_AT:]
        return any(self._newer(key) for key in turn[:_LOOKED_AT])

    def _newer(self, key: tuple[str, str]) -> bool:
        known = self._folders.get(key)
        if known is None or not any(known.stamp):  # another look has told; nobody may look into it
            return False
        try:
            said = os.stat(key[1])
        except OSError:
            return True
        # What happens in the moment of a listing may leave the time as it is: then once more.
        unsure = 0 <= known.at - said.st_mtime_ns <= COARSE
        return unsure or known.stamp != (said.st_mtime_ns, said.st_ino, said.st_dev)

    def codex_files(self, folder: str, found: Files, *, archived: bool) -> None:
        """Add the rollouts below a folder; of two of one name the better one stays."""
        self._files(folder, _codex_name, ("codex", archived), found)

    def _files(
        self,
        root: str,
        name_of: Callable[[str, str], str | None],
        kind: tuple[str, bool],
        found: Files,
    ) -> None:
        """Add the files below a folder; linked files count, linked folders once."""
        stack, seen, stat = [root], set(), os.stat
        while stack:
            try:
                said = stat(path := stack.pop())
            except OSError as error:
                if os.path.lexists(path):  # noqa: PTH110 - `Path.exists` follows links
                    self._odd.append((path, "closed_folder"))
                elif isinstance(error, PermissionError):  # the folder it lies in is closed
                    outer = os.path.dirname(path), "closed_folder"
                    self._odd += [outer] if outer not in self._odd else []
                continue
            if (said.st_dev, said.st_ino) in seen:
                self._odd.append((path, "linked_again"))
                continue
            seen.add((said.st_dev, said.st_ino))
            folder = self._visited[root, path] = self._listing(path, said, root, name_of)
            stack += folder.folders
            self._look(path, folder, kind, found)

    def _look(self, path: str, folder: _Folder, kind: tuple[str, bool], found: Files) -> None:
        """Add what a folder's files are like now."""
        there = folder.files
        with _Inside(path, len(there)) as inside:
            if inside is None or folder.stamps is None or not _unchanged(inside, folder):
                there = [file for file in there if self._there(file, inside, kind)]
                whole = self._keeps and len(there) == len(folder.files)
                folder.stamps = _stamps(there) if whole else None
        claude = kind[0] == "claude"
        for file in there:
            key, last = file.key, file.found
            if last and (
                key not in found
                or last.rank < found[key].rank
                or (claude and last.rank == found[key].rank)
            ):
                found[key] = last

    def _there(self, file: _File, inside: int | None, kind: tuple[str, bool]) -> bool:
        """Whether a file is there; `file.found` is what it is like now."""
        try:
            now = os.stat(file.path if inside is None else file.base, dir_fd=inside)
        except OSError:
            self.changed = True
            return False
        last = file.found
        if (
            last is None
            or now.st_size != last.size
            or now.st_mtime_ns != last.mtime_ns
            or now.st_ino != last.inode
        ):
            file.found = _as_found(kind, file, now)
            self.changed = True
        return True

    def _listing(
        self,
        path: str,
        said: os.stat_result,
        root: str,
        name_of: Callable[[str, str], str | None],
    ) -> _Folder:
        """What lies in a folder: as it was, where its own time says that this has not changed."""
        now, stamp = time.time_ns(), (said.st_mtime_ns, said.st_ino, said.st_dev)
        known = self._folders.get((root, path))
        # A change in the moment of the listing may have left the time as it was, and some file
        # systems do not tell of every change.
        sure = known and said.st_mtime_ns + COARSE < known.at and 0 <= now - known.at < _LISTED
        if known is not None and sure and known.stamp == stamp:
            return known
        self.changed = True
        folders, files = [], []
        odd: list[LeftOut] = []
        before = {file.path: file for file in known.files} if known else {}
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    name = name_of(root, entry.path)
                    kind = _kind(entry, root, name_of)
                    other = name is None and kind == "file" and _other_log(name_of, entry.name)
                    if other:
                        name = _told_name(entry.path)
                    if kind == "folder":
                        folders.append(entry.path)
                    elif kind == "file" and name and _sayable(entry.path):
                        last = before.get(entry.path)
                        files.append(last or _File(entry.path, entry.name, name))
                    elif why := _passed_by(kind, name, other):
                        odd.append((_shown(entry.path), why))
        except OSError:
            return _Folder((0, 0, 0), now, [], [], [(path, "closed_folder")])
        return _Folder(stamp, now, folders, files, odd)


def _kind(entry: os.DirEntry[str], root: str, name_of: Callable[[str, str], str | None]) -> str:
    try:
        if entry.is_file():
            return (
                "leads_out" if entry.is_symlink() and _leads_out(entry, root, name_of) else "file"
            )
        if entry.is_dir():
            return "folder"
        return "broken_link" if entry.is_symlink() else "no_file"
    except OSError:  # a link to itself, or out of a folder that is closed
        return "broken_link"


def _leads_out(
    entry: os.DirEntry[str], root: str, name_of: Callable[[str, str], str | None]
) -> bool:
    """Whether a link leads out of the log folders, to a file that is no log by its own name.

    Folders may be linked from anywhere: whoever does that means it.
    """
    real = os.path.realpath(entry.path)
    base = os.path.basename(real)
    inside = real.startswith(os.path.join(os.path.realpath(root), ""))
    alike = base == entry.name or name_of is _codex_name
    return not (inside or (alike and name_of(root, os.path.join(root, base))))


@record(slots=True)
class _File:
    path: str
    base: str
    name: str
    key: tuple[str, str] = ("", "")
    found: Found | None = None


class _Inside:
    """A folder to look into (a third less than to walk a whole path each time); None where that
    does not pay or is not possible.
    """  # noqa: D205

    def __init__(self, path: str, files: int) -> None:
        self._handle: int | None = None
        if files > 3 and os.stat in os.supports_dir_fd:
            with suppress(OSError):
                self._handle = os.open(path, os.O_RDONLY)

    def __enter__(self) -> int | None:
        return self._handle

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)


@record(slots=True)
class _Folder:
    stamp: tuple[int, int, int]
    at: int  # when it was listed
    folders: list[str]
    files: list[_File]
    odd: list[LeftOut]
    stamps: tuple[list[str], bytes] | None = None  # of all files, for `usual.unchanged`


def _stamps(files: list[_File]) -> tuple[list[str], bytes] | None:
    """Names, and what `usual.unchanged` compares; None where it is not there."""
    if codex.usual is None:
        return None
    found = [file.found for file in files if file.found]
    numbers = [part for one in found for part in (one.size, one.mtime_ns, one.inode)]
    try:
        return [file.base for file in files], b"".join(
            number.to_bytes(8, sys.byteorder, signed=True) for number in numbers
        )
    except OverflowError:  # an inode above 2^63
        return None


def _unchanged(inside: int, folder: _Folder) -> bool:
    """Whether every file of an open folder is as it was when it was looked at last."""
    return folder.stamps is not None and bool(codex.usual.unchanged(inside, *folder.stamps))


_left_out: list[LeftOut] = []


def left_out() -> list[LeftOut]:
    """What this process passed by when it last looked for logs: path and kind, of `closed_folder`,
    `linked_again` (read once), `broken_link`, `leads_out` (a link to a file elsewhere
    that is no log by its name), `no_file` (a pipe or device), `odd_name`,
    `other_name` (a .jsonl among Codex's logs that is none by its name or its beginning),
    `copied_log` (such a one that repeats another).
    """
    return list(_left_out)


def _as_found(kind: tuple[str, bool], file: _File, now: os.stat_result) -> Found:
    file.key = kind[0], file.name
    return Found(
        kind[0], file.name, file.path, now.st_ino, now.st_size, now.st_mtime_ns, kind[1]
    )  # fmt: skip


def discover(config: Folders) -> Files:
    """Every log file, one a name, without a memory."""
    return Finder(keeps=False).find(config)


def sessions_root(config: Folders) -> str:
    """The folder of Codex's sessions."""
    return os.fspath(config.sessions_root or os.path.join(config.codex_home, "sessions"))


def archive_root(config: Folders) -> str:
    """The folder of the sessions that Codex put aside."""
    return os.path.join(config.codex_home, "archived_sessions")


def projects_roots(config: Folders) -> list[str]:
    """The folders of Claude Code's projects."""
    if config.projects_root:
        return [os.fspath(config.projects_root)]
    # CLAUDE_CONFIG_DIR may name several folders, or the projects folder itself.
    parts = [
        part.strip().rstrip(os.sep) or os.curdir for part in str(config.claude_home).split(",")
    ]
    return [
        root if os.path.basename(root) == "projects" else os.path.join(root, "projects")
        for root in parts
    ]


_unsayable: set[str] = set()


def _sayable(path: str) -> bool:
    """Whether a path is text; one that is not can neither be stored nor shown."""
    if path.isascii():
        return True
    try:
        path.encode()
        return True
    except UnicodeEncodeError:
        if path not in _unsayable and len(_unsayable) < 1000:
            _unsayable.add(path)
            import logging  # rare, and a scan starts sooner without it

            shown = _shown(path)
            said = "the log %s is left out: its name is not UTF-8; rename it to have it counted"
            logging.getLogger(__name__).warning(said, shown)
        return False


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _claude_name(root: str, path: str) -> str | None:
    return os.path.relpath(path, root)[:-6] if path[-6:].lower() == _ENDING else None


def _codex_name(root: str, path: str) -> str | None:
    name = os.path.basename(path)
    if not name.startswith("rollout-"):
        return None
    if name[-6:].lower() == _ENDING:
        return name[:-6]
    return name[:-10] if name[-10:].lower() == _PACKED else None


def _passed_by(kind: str, name: str | None, other: bool) -> str | None:
    """Why what lies in a folder is left out; None when nobody would look for it."""
    if kind == "file":
        return "odd_name" if name else "other_name" if other else None
    return kind if name or kind in ("broken_link", "leads_out") else None


def _other_log(name_of: Callable[[str, str], str | None], base: str) -> bool:
    """Whether a file that is none of Codex's by its name may yet be a log of a session."""
    return name_of is _codex_name and base.lower().endswith((_ENDING, _PACKED))


def _told_name(path: str) -> str | None:
    """What a rollout that was renamed is known by; None for what does not begin as one does."""
    thread = thread_of(path)
    if thread is None:
        return None
    base = os.path.basename(path)
    stem = base[: -len(_PACKED if reader.packed(base) else _ENDING)]
    return stem if owner_of(stem) else f"{stem}-{thread}"


def thread_of(path: str) -> str | None:
    """The thread that the first line of a Codex log names; None where it is no such line."""
    try:
        with reader.open_log(path) as file:
            head = b""
            while b"\n" not in head and len(head) < _FIRST_LINE:
                part = file.read(1 << 16)
                if not part:
                    break
                head += part
        line = shortjson.loads(head.removeprefix(BOM).partition(b"\n")[0].decode())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(line, dict):
        return None
    meta = line.get("payload") if line.get("type") == "session_meta" else None
    if meta is None and "instructions" in line and "timestamp" in line:
        meta = line  # as Codex wrote it until September 2025
    thread = meta.get("id") if isinstance(meta, dict) else None
    return thread if isinstance(thread, str) and owner_of(thread) == thread else None


def _copies(found: Files) -> list[LeftOut]:
    """Take out renamed rollouts whose thread has a log of its own already."""
    renamed = [key for key in found if not key[1].startswith("rollout-")]
    if not renamed:
        return []
    owners = {key[1][-36:] for key in found if key[1].startswith("rollout-")}
    copies = []
    for key in sorted(renamed, key=lambda key: (len(key[1]), key)):
        if key[1][-36:] in owners:
            copies.append((_shown(found.pop(key).path), "copied_log"))
        owners.add(key[1][-36:])
    return copies


def todays(sessions: str) -> list[str]:
    """The folders that new sessions are written to now (local day, and its neighbours)."""
    now = time.time()
    days = {time.strftime("%Y/%m/%d", time.localtime(now + shift)) for shift in (-86400, 0, 86400)}
    return [os.path.join(sessions, *day.split("/")) for day in sorted(days)]


def stamp_of(path: str) -> Stamp:
    """What changes when a file does; None when it cannot be looked at."""
    try:
        said = os.stat(path)
    except OSError:
        return None
    return said.st_size, said.st_mtime_ns, said.st_ino


def fingerprint(path: str, offset: int) -> str:
    """Of the first bytes and of those before `offset`: what an append leaves as it is."""
    if offset == 0:
        return ""
    if reader.packed(path):
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
