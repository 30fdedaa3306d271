"""Log files on disk: where they lie, what one is known by, and what there is to read in it."""

from __future__ import annotations

import os
import time

from server.ingest import reader
from server.ingest.codex import blake2b
from server.lazy import NamedTuple, field, record

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Iterator
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
        def strict_writes(self) -> bool: ...  # noqa: D102


_HEAD = 4096
_JOINT = 1024


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
    def rank(self) -> tuple[bool, bool]:
        """Of two files of one name, the lower counts: plain before packed, active before not."""
        return self.path.endswith(".zst"), self.archived


if TYPE_CHECKING:
    Files = dict[tuple[str, str], Found]  # (provider, name) → file


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


def discover(config: Folders) -> Files:
    """Every log file, one a name. Loops of links, pipes and closed folders are passed by."""
    found: Files = {}
    for folder, archived in (("sessions", False), ("archived_sessions", True)):
        for file in codex_files(os.path.join(config.codex_home, folder), archived=archived):
            key = (file.provider, file.name)
            if key not in found or file.rank < found[key].rank:
                found[key] = file
    for file in _claude_files(config.claude_home):
        found[(file.provider, file.name)] = file
    return found


def _claude_files(home: str | Path) -> Iterator[Found]:
    # CLAUDE_CONFIG_DIR may name several folders, or the projects folder itself.
    for part in str(home).split(","):
        root = part.strip().rstrip(os.sep) or os.curdir
        if os.path.basename(root) != "projects":
            root = os.path.join(root, "projects")
        for entry in _walk(root):
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


def codex_files(folder: str | Path, *, archived: bool) -> Iterator[Found]:
    """The rollouts below a folder."""
    for entry in _walk(str(folder)):
        name = entry.name
        if not name.startswith("rollout-"):
            continue
        if name.endswith(".jsonl"):
            stem = name[:-6]
        elif name.endswith(".jsonl.zst"):
            stem = name[:-10]
        else:
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
                        if entry.is_file():
                            yield entry
                        elif entry.is_dir():
                            stack.append(entry.path)
                    except OSError:
                        continue
        except OSError:
            continue


def todays(sessions: str) -> list[str]:
    """The folders that new sessions are written to now (local day, and its neighbours)."""
    now = time.time()
    days = {time.strftime("%Y/%m/%d", time.localtime(now + shift)) for shift in (-86400, 0, 86400)}
    return [os.path.join(sessions, *day.split("/")) for day in sorted(days)]


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
