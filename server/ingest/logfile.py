"""The log of one call, wherever it lies now, and the lines around the call's own.

Only log folders are ever opened; a log that has moved, been packed, rewritten or deleted since the
call was counted is found, or `Missing` says in a sentence why not.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import orjson

from server.config import Config
from server.errors import NotFound
from server.ingest import entries, files, reader
from server.ingest.entries import Entry
from server.ingest.lines import BOM
from server.store import db

_BLOCK = 1 << 18
_PIECE = 1 << 20  # of a packed log
_HEAD = 4096


@dataclass(frozen=True)
class Bounds:
    """How far a look goes."""

    back: int  # bytes read before the call
    ahead: int  # and after it
    line: int  # a longer line is not decoded
    lines: int
    text: int  # characters shown in all
    packed: float  # seconds for unpacking


QUICK = Bounds(3 << 20, 1 << 19, 1 << 19, 1500, 400_000, 2.0)
FULL = Bounds(16 << 20, 2 << 20, 4 << 20, 20_000, 2_000_000, 20.0)
SENTENCES = {
    "no_log": "No log tells of this call: only the proxy or telemetry saw it.",
    "missing": "The log is gone from disk, so only the figures are left.",
    "outside": "The log lies outside the folders that Brimline reads, so it is not opened.",
    "changed": "The log was rewritten since this call was counted. Read the logs anew.",
    "shorter": "The log is shorter than when this call was counted. Read the logs anew.",
    "unreadable": "The log cannot be read now. Check its permissions, and the disk.",
    "too_far": "The log is packed, and this call lies too deep in it for a quick look.",
}


class Missing(Exception):  # noqa: N818 - it is an answer, not a failure
    """There is no evidence to show; `state` is a key of `SENTENCES`."""

    def __init__(self, state: str) -> None:
        super().__init__(SENTENCES[state])
        self.state = state


class Call(NamedTuple):
    """What the ledger knows of a call and of the place of its line."""

    id: str
    provider: str
    turn: str | None
    offset: int
    input: int
    cached: int
    output: int
    name: str
    path: str


def find(call_id: str) -> Call:
    """The call as the ledger knows it. Raises `NotFound`, or `Missing` where no log told of it."""
    found = db.rows(
        "select c.id, c.provider, c.turn_id, c.offset, c.input, c.cached, c.output, f.name, f.path "
        "from call c left join source_file f on f.id = c.source where c.id = ?",
        (call_id,),
    )
    if not found:
        raise NotFound("There is no such call. It may have been read anew; go back to the list.")
    call = Call(*found[0])
    if call.path is None or call.offset is None:
        raise Missing("no_log")
    return call


class _Bytes(Protocol):
    size: int

    def at(self, offset: int, size: int) -> bytes: ...


class _Plain:
    """A log that can be read anywhere."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)

    def at(self, offset: int, size: int) -> bytes:
        self.file.seek(offset)
        parts = []
        while size > 0:
            part = self.file.read(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class _Packed:
    """The stretch of a packed log that matters; the rest is passed by without being kept."""

    def __init__(self, file: BinaryIO, offset: int, bounds: Bounds) -> None:
        limit = time.monotonic() + bounds.packed
        parts: deque[bytes] = deque()
        begin = place = 0
        while place < offset + bounds.ahead:
            part = file.read(_PIECE)
            if not part:
                break
            parts.append(part)
            place += len(part)
            while place - begin - len(parts[0]) > bounds.back + bounds.ahead + _PIECE:
                begin += len(parts.popleft())
            if time.monotonic() > limit:
                raise Missing("too_far")
        self.begin = begin
        self.data = b"".join(parts)
        self.size = place

    def at(self, offset: int, size: int) -> bytes:
        start = max(0, offset - self.begin)
        return self.data[start : max(start, offset + size - self.begin)]


class Log:
    """An open log in which the call's own line has been found."""

    def __init__(self, file: BinaryIO, path: str, call: Call, bounds: Bounds) -> None:
        self.file, self.path, self.bounds = file, path, bounds
        self.packed = reader.packed(path)
        self.data: _Bytes = _Packed(file, call.offset, bounds) if self.packed else _Plain(file)
        if self.data.size <= call.offset:
            raise Missing("shorter")
        before = self.data.at(max(0, call.offset - len(BOM)), min(call.offset, len(BOM)))
        begins = not before or before.endswith(b"\n") or (call.offset, before) == (len(BOM), BOM)
        own = next(forwards(self.data, call.offset, bounds), None)
        if not begins or own is None or not _tells_of(own, call):
            raise Missing("changed")
        self.own = own

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def opened(config: Config, call: Call, bounds: Bounds) -> Log:
    """The log of a call, wherever it lies now. Raises `Missing`."""
    why = "missing"
    roots = [os.path.realpath(root) for root in roots_of(config, call.provider)]
    for path in _places(config, call):
        real = os.path.realpath(path)
        if not os.path.lexists(path):  # noqa: PTH110 - `Path.exists` follows links
            continue
        if not any(real.startswith(root + os.sep) for root in roots):
            why = "outside"
            continue
        try:
            file = reader.open_log(real)
        except FileNotFoundError:
            continue
        except OSError:
            why = "unreadable"
            continue
        try:
            return Log(file, path, call, bounds)
        except Missing as missing:
            file.close()
            why = missing.state
        except OSError:
            file.close()
            why = "unreadable"
    raise Missing(why)


def roots_of(config: Config, provider: str) -> list[Path]:
    """The folders in which a provider's logs lie; nothing else is ever opened."""
    if provider == "codex":
        return [Path(files.sessions_root(config)), Path(files.archive_root(config))]
    return [Path(root) for root in files.projects_roots(config)]


def _places(config: Config, call: Call) -> Iterator[str]:
    """Where the log was, then where its name says it could be, then wherever its name is."""
    tried = {call.path}
    yield call.path
    roots = roots_of(config, call.provider)
    folders = list(roots)
    day = re.match(r"rollout-(\d{4})-(\d\d)-(\d\d)T", call.name)
    if day:
        folders.insert(0, roots[0].joinpath(*day.groups()))
    for folder in folders:
        for ending in (".jsonl", ".jsonl.zst"):
            path = str(folder / (call.name + ending))
            if path not in tried:
                tried.add(path)
                yield path
    found = files.discover(config).get((call.provider, call.name))
    if found is not None and found.path not in tried:
        yield found.path


class Line(NamedTuple):
    """A line; of one that is too long only the head is there."""

    place: int
    size: int
    data: bytes
    whole: bool

    def decoded(self) -> dict[str, Any] | None:
        """The JSON object in it; None when it is none, or too long to look."""
        if not self.whole:
            return None
        try:
            value = _json(self.data if self.place else self.data.removeprefix(BOM))
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:  # half a character, NaN, depth: the slower reader knows what to do
        return json.loads(data.decode(errors="replace"))


def forwards(data: _Bytes, place: int, bounds: Bounds) -> Iterator[Line]:
    """Lines from `place` on, as long as the bounds permit; a torn one at the end is left."""
    limit = place + max(bounds.ahead, bounds.line)
    while place < limit:
        head, parts = 0, []
        while True:
            part = data.at(place + head, _BLOCK)
            end = part.find(b"\n")
            if head <= bounds.line:
                parts.append(part if end < 0 else part[:end])
            if end >= 0:
                head += end
                break
            head += len(part)
            if not part or place + head > limit:
                return
        fits = head <= bounds.line
        text = b"".join(parts)
        yield Line(place, head, text if fits else text[:_HEAD], fits)
        place += head + 1


def backwards(data: _Bytes, end: int, bounds: Bounds) -> Iterator[Line]:
    """Lines before byte `end`, the last first; stops without a word at the bounds."""
    floor = max(0, end - bounds.back)
    parts: deque[bytes] = deque()  # of the line whose beginning is looked for
    size, place = 0, end
    while place > floor:
        begin = max(floor, place - _BLOCK)
        block = data.at(begin, place - begin)
        if len(block) != place - begin:
            return
        stop = len(block)
        while True:
            found = block.rfind(b"\n", 0, stop)
            if found < 0:
                break
            size += stop - found - 1
            start = begin + found + 1
            if size:
                parts.appendleft(block[found + 1 : stop])
                yield _line(data, start, size, parts, bounds)
            parts.clear()
            size, stop = 0, found
        size += stop
        if size <= bounds.line:
            parts.appendleft(block[:stop])
        else:
            parts.clear()  # what is too long is not kept while its beginning is looked for
        place = begin
    if place == 0 and size and (size != len(BOM) or b"".join(parts) != BOM):
        yield _line(data, 0, size, parts, bounds)


def _line(data: _Bytes, start: int, size: int, parts: deque[bytes], bounds: Bounds) -> Line:
    if size > bounds.line:
        return Line(start, size, data.at(start, _HEAD), False)
    return Line(start, size, b"".join(parts), True)


def parsed(line: Line, provider: str) -> tuple[list[Entry], dict[str, Any] | None]:
    """A line's entries, whatever it is, and its JSON object where it has one."""
    value = line.decoded()
    if value is None:
        found = [Entry("unreadable" if line.whole else "long", label=_named(line.data))]
    else:
        try:
            found = entries.codex(value) if provider == "codex" else entries.claude(value)
        except RecursionError:
            found = [Entry("unreadable")]
    for entry in found:
        entry.place, entry.size = line.place, line.size
    return found, value


_TYPES = re.compile(rb'"type":\s?"([A-Za-z_]{1,60})"').findall


def _named(head: bytes) -> str | None:
    return ".".join(word.decode() for word in _TYPES(head[:600])[:2]) or None


def _tells_of(line: Line, call: Call) -> bool:
    """Whether a line is the one that the ledger counted."""
    for entry in parsed(line, call.provider)[0]:
        if entry.kind != "usage":
            continue
        if entry.response == call.id:
            return True
        used = entry.usage or {}
        if (used.get("input"), used.get("output")) == (call.input, call.output):
            return True
        if entry.totals and call.id.endswith("_".join(f"{part:x}" for part in entry.totals)):
            return True
    return False
