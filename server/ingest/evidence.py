"""Open the log lines behind one call: by byte offset, within bounds, without secrets.

Nothing that is read here is stored or logged. The log may have moved, been packed, rewritten or
deleted since the call was counted: then `Missing` says so in a sentence.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from server.config import Config
from server.errors import NotFound
from server.ingest import entries, files, reader, redact
from server.ingest.entries import Entry
from server.store import db
from server.times import iso

MODES = ("quick", "full")
ENTRIES, MOST_ENTRIES = 80, 2000
CHARS, MOST_CHARS = 20_000, 400_000
_BLOCK = 1 << 18
_HEAD = 4096
_MARGIN = 4096  # read beyond a cut, so that a secret across it is whole when it is looked for


@dataclass(frozen=True)
class Wanted:
    """How much is asked for, and how it may be shown."""

    full: bool = False
    entries: int = ENTRIES
    chars: int = CHARS  # of one entry
    tool_output: bool = True
    compaction: bool = False
    privacy: str = "normal"


@dataclass(frozen=True)
class _Bounds:
    back: int  # bytes read before the call
    ahead: int  # and after it
    line: int  # a longer line is not decoded
    lines: int
    text: int  # characters shown in all
    packed: float  # seconds for unpacking


_QUICK = _Bounds(3 << 20, 1 << 19, 1 << 19, 1500, 400_000, 2.0)
_FULL = _Bounds(16 << 20, 2 << 20, 4 << 20, 20_000, 2_000_000, 20.0)
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


def read(config: Config, call_id: str, wanted: Wanted) -> dict[str, Any]:
    """The evidence of a call as docs/API.md says. Raises `NotFound` for an unknown call."""
    empty = {"callId": call_id, "mode": MODES[wanted.full], "sentence": None}
    try:
        call = _call(call_id)
        with _opened(config, call, _FULL if wanted.full else _QUICK) as log:
            return {**empty, "state": "ok", **_told(log, call, wanted)}
    except Missing as missing:
        return {**empty, "state": missing.state, "sentence": str(missing), "entries": []}


def _call(call_id: str) -> Call:
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


# ── The file ──────────────────────────────────────────────────────────────────────────────


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

    def __init__(self, file: BinaryIO, offset: int, bounds: _Bounds) -> None:
        limit = time.monotonic() + bounds.packed
        parts: deque[bytes] = deque()
        begin = place = 0
        while place < offset + bounds.ahead:
            part = file.read(1 << 20)
            if not part:
                break
            parts.append(part)
            place += len(part)
            while place - begin - len(parts[0]) > bounds.back + bounds.ahead:
                begin += len(parts.popleft())
            if time.monotonic() > limit:
                raise Missing("too_far")
        self.begin = begin
        self.data = b"".join(parts)
        self.size = place

    def at(self, offset: int, size: int) -> bytes:
        start = max(0, offset - self.begin)
        return self.data[start : max(start, offset + size - self.begin)]


class _Log:
    """An open log in which the call's own line has been found."""

    def __init__(self, file: BinaryIO, path: str, call: Call, bounds: _Bounds) -> None:
        self.file, self.path, self.bounds = file, path, bounds
        packed = path.endswith(".zst")
        self.data: _Bytes = _Packed(file, call.offset, bounds) if packed else _Plain(file)
        if self.data.size <= call.offset:
            raise Missing("shorter")
        begins = call.offset == 0 or self.data.at(call.offset - 1, 1) == b"\n"
        own = next(_forwards(self.data, call.offset, bounds), None)
        if not begins or own is None or not _tells_of(own, call):
            raise Missing("changed")
        self.own = own

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _opened(config: Config, call: Call, bounds: _Bounds) -> _Log:
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
            return _Log(file, path, call, bounds)
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
        return [config.codex_home / "sessions", config.codex_home / "archived_sessions"]
    folders = [Path(part.strip()) for part in str(config.claude_home).split(",")]
    return [one if one.name == "projects" else one / "projects" for one in folders]


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


# ── Lines ─────────────────────────────────────────────────────────────────────────────────


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
            value = json.loads(self.data)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


def _forwards(data: _Bytes, place: int, bounds: _Bounds) -> Iterator[Line]:
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


def _backwards(data: _Bytes, end: int, bounds: _Bounds) -> Iterator[Line]:
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
    if place == 0 and size:
        yield _line(data, 0, size, parts, bounds)


def _line(data: _Bytes, start: int, size: int, parts: deque[bytes], bounds: _Bounds) -> Line:
    if size > bounds.line:
        return Line(start, size, data.at(start, _HEAD), False)
    return Line(start, size, b"".join(parts), True)


def _parsed(line: Line, provider: str) -> tuple[list[Entry], dict[str, Any] | None]:
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
    for entry in _parsed(line, call.provider)[0]:
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


# ── The turn ──────────────────────────────────────────────────────────────────────────────

_ENDS = ("task_complete", "turn_complete", "turn_aborted")


@dataclass
class _Turn:
    """The entries of a turn up to a call and a little beyond, and what was left out."""

    before: list[Entry]  # oldest first; the call's own line is the last
    after: list[Entry]
    groups: Counter[str]
    lines: int = 0
    bytes: int = 0
    whole: bool = False  # the turn's beginning was reached


def _turn(log: _Log, call: Call, keep: int) -> _Turn:
    turn = _Turn([], [], Counter())
    found: deque[Entry] = deque(_take(turn, log.own, call))
    asked = False
    for line in _backwards(log.data, call.offset, log.bounds):
        said, value = _parsed(line, call.provider)
        if _ended(said, asked):
            turn.whole = True
            break
        _count(turn, line, value)
        if len(found) > keep:
            _forget(said)
        found.extendleft(reversed(said))
        asked = asked or any(entry.kind == "user" for entry in said)
        if _begins(said, call.provider) or line.place == 0:
            turn.whole = True
            break
        if turn.lines >= log.bounds.lines:
            break
    turn.before = list(found)
    turn.after = _after(log, call)
    return turn


def _forget(said: list[Entry]) -> None:
    """Keep only the lengths of texts that will not be shown, so that memory stays small."""
    for entry in said:
        entry.chars = entry.length
        entry.text, entry.history = None, []


def _take(turn: _Turn, line: Line, call: Call) -> list[Entry]:
    said, value = _parsed(line, call.provider)
    _count(turn, line, value)
    return said


def _count(turn: _Turn, line: Line, value: dict[str, Any] | None) -> None:
    turn.lines += 1
    turn.bytes += line.size
    shares = {"other_serialized_metadata": line.size}
    if value is not None:
        shares = entries.shares(value, line.size)
    turn.groups.update(shares)


def _begins(said: list[Entry], provider: str) -> bool:
    """Whether a turn begins with this line."""
    if provider == "claude":
        return any(entry.kind == "user" for entry in said)
    return any(entry.kind == "event" and entry.label == "task_started" for entry in said)


def _ended(said: list[Entry], asked: bool) -> bool:
    """Whether this line belongs to the turn before; old logs only tell by the next question."""
    for entry in said:
        if entry.kind == "event" and entry.label in _ENDS:
            return True
        if asked and entry.kind == "usage" and entry.response:
            return True
        if asked and entry.kind in ("assistant", "tool_output"):
            return True
    return False


def _after(log: _Log, call: Call) -> list[Entry]:
    """What the call led to: its tools and their output, up to the next answer or turn."""
    found: list[Entry] = []
    lines = _forwards(log.data, call.offset, log.bounds)
    next(lines, None)
    for line in lines:
        said, _ = _parsed(line, call.provider)
        if _onward(said, call):
            break
        found += said
        last = said[-1] if said else None
        if last and (last.label in _ENDS or len(found) > 200):
            break
    return found


def _onward(said: list[Entry], call: Call) -> bool:
    mine = any(entry.response == call.id for entry in said)
    for entry in said:
        if entry.kind in entries.OUTWARD and not mine:
            return True
        if entry.kind in ("user", "context", "turn", "session") or entry.label == "task_started":
            return True
        if entry.response is not None and not mine:
            return True
    return False


# ── The answer ────────────────────────────────────────────────────────────────────────────


def _told(log: _Log, call: Call, wanted: Wanted) -> dict[str, Any]:
    # Echoes go afterwards, hence twice as many.
    turn = _turn(log, call, 2 * wanted.entries + 50)
    scoped = _scoped(turn, call)
    shown = _without_echoes(scoped)
    writer = _Writer(wanted, log.bounds, shown)
    cut = max(0, len(shown) - wanted.entries)
    rows = [writer.row(scope, entry) for scope, entry in reversed(shown[cut:])]
    rows.reverse()
    times = [entry.at for _, entry in shown if entry.at is not None]
    return {
        "log": _about(log, call, turn),
        "turn": {
            "id": call.turn,
            "startedAt": _stamp(times[:1]),
            "lastAt": _stamp(times[-1:]),
            "whole": turn.whole,
        },
        "entries": rows,
        "omitted": {
            "olderEntries": cut,
            "moreBefore": not turn.whole,
            "longLines": sum(entry.kind == "long" for _, entry in shown),
            "unreadable": sum(entry.kind == "unreadable" for _, entry in shown),
            "toolOutputs": writer.hidden,
            "shortened": writer.shortened,
        },
        "timing": _timing(shown),
        "tools": _tools(shown),
        "estimates": _estimates(turn, scoped, call, wanted.full),
        "redactions": {"total": writer.found.total(), "kinds": dict(writer.found)},
    }


def _about(log: _Log, call: Call, turn: _Turn) -> dict[str, Any]:
    return {
        "provider": call.provider,
        "file": log.path,
        "offset": call.offset,
        "archived": "archived_sessions" in Path(log.path).parts,
        "packed": log.path.endswith(".zst"),
        "moved": log.path != call.path,
        "bytesRead": turn.bytes,
        "lines": turn.lines,
    }


def _stamp(times: list[int]) -> str | None:
    return iso(times[0]) if times else None


Scoped = list[tuple[str, Entry]]  # earlier | call | after


def _scoped(turn: _Turn, call: Call) -> Scoped:
    """Which entries are the call's own: those since the call before it."""
    mine = len(turn.before) - 1
    while mine > 0 and not _is_boundary(turn.before, mine - 1, call):
        mine -= 1
    scoped = [("earlier" if n < mine else "call", entry) for n, entry in enumerate(turn.before)]
    for entry in turn.after:
        scoped.append(("call" if entry.response == call.id else "after", entry))
    return scoped


def _is_boundary(found: list[Entry], place: int, call: Call) -> bool:
    entry = found[place]
    if entry.kind != "usage" or entry.response == call.id:
        return False
    if entry.label == "response":
        return True
    if not call.id.startswith("log_") or entry.totals is None:
        return False  # where calls are named, a count says nothing new
    before = next((e.totals for e in reversed(found[:place]) if e.totals), None)
    return entry.totals != before


def _without_echoes(scoped: Scoped) -> Scoped:
    """Codex writes a message twice, as an item and as an event: once is enough."""
    kept: Scoped = []
    for scope, entry in scoped:
        twin = next((old for _, old in reversed(kept[-4:]) if _same(old, entry)), None)
        if twin is None:
            kept.append((scope, entry))
            continue
        twin.duration = twin.duration or entry.duration
        twin.began = twin.began or entry.began
        twin.figures = {**entry.figures, **{k: v for k, v in twin.figures.items() if v is not None}}
    return kept


def _same(one: Entry, other: Entry) -> bool:
    if one.kind != other.kind or one.kind not in ("user", "assistant", "reasoning"):
        return False
    return " ".join((one.text or "").split()) == " ".join((other.text or "").split())


class _Writer:
    """Entries as JSON, newest first, so that what is left out is the oldest."""

    def __init__(self, wanted: Wanted, bounds: _Bounds, shown: Scoped) -> None:
        self.wanted, self.left = wanted, bounds.text
        self.found: Counter[str] = Counter()
        self.hidden = self.shortened = 0
        times = [entry.at for _, entry in shown]
        self.start = next((at for at in times if at is not None), None)
        self.before = {id(entry): at for (_, entry), at in zip(shown[1:], times, strict=False)}

    def row(self, scope: str, entry: Entry) -> dict[str, Any]:
        """One entry with its text as it may be shown."""
        hidden = entry.kind == "tool_output" and not self.wanted.tool_output
        self.hidden += hidden
        text, cut = (None, False) if hidden else self._text(entry.text)
        return {
            "id": f"{entry.place}",
            "at": None if entry.at is None else iso(entry.at),
            "kind": entry.kind,
            "label": redact.redact(entry.label) if entry.label else None,
            "scope": scope,
            "text": text,
            "chars": entry.length,
            "shortened": cut,
            "hidden": hidden or (self.wanted.privacy == "strict" and entry.text is not None),
            "toolCallId": entry.tool,
            "usage": entry.usage,
            "figures": entry.figures,
            "compaction": self._compaction(entry),
            "sinceTurnMs": _gap(self.start, entry.at),
            "sincePreviousMs": _gap(self.before.get(id(entry)), entry.at),
            "durationMs": entry.duration,
            "bytes": entry.size,
        }

    def _text(self, text: str | None) -> tuple[str | None, bool]:
        if text is None or self.wanted.privacy == "strict":
            return None, False
        room = max(0, min(self.wanted.chars, self.left))
        shown = redact.redact(text[: room + _MARGIN], self.found)
        if self.wanted.privacy == "redacted":
            shown = redact.places(shown)
        cut = len(text) > room
        if cut:
            # What was read last may be half a secret, however much shorter the rest became.
            last = len(shown) - _MARGIN if len(text) > room + _MARGIN else room
            shown = shown[: max(0, min(room, last))]
            self.shortened += 1
        self.left -= len(shown)
        return shown, cut

    def _compaction(self, entry: Entry) -> dict[str, Any] | None:
        if entry.kind != "compaction":
            return None
        items = None
        if self.wanted.compaction and self.wanted.privacy != "strict":
            items = [
                {"role": role, "text": self._text(text)[0], "chars": len(text)}
                for role, text in entry.history[: self.wanted.entries]
            ]
        return {"items": len(entry.history), "history": items}


def _gap(before: int | None, at: int | None) -> int | None:
    return None if before is None or at is None else max(0, at - before)


def _timing(shown: Scoped) -> dict[str, Any]:
    times = [entry.at for _, entry in shown if entry.at is not None]
    gaps = [max(0, b - a) for a, b in zip(times, times[1:], strict=False)]
    return {
        "entries": len(times),
        "elapsedMs": times[-1] - times[0] if times else None,
        "slowestGapMs": max(gaps, default=None),
    }


def _tools(shown: Scoped) -> list[dict[str, Any]]:
    """When the turn's tools ran: by what the log measured, else from call to output."""
    asked = {entry.tool: entry for _, entry in shown if entry.kind == "tool_call" and entry.tool}
    ran: dict[str, tuple[int, int, bool]] = {}
    for _, entry in shown:
        if entry.tool is None or entry.at is None:
            continue
        if entry.kind in ("command", "mcp", "file_change"):
            began = entry.began if entry.began is not None else entry.at - (entry.duration or 0)
            ran[entry.tool] = (began, began + (entry.duration or 0), True)
        elif entry.kind == "tool_output" and entry.tool not in ran and entry.tool in asked:
            ran[entry.tool] = (asked[entry.tool].at or entry.at, entry.at, False)
    return [
        {
            "toolCallId": tool,
            "name": asked[tool].label if tool in asked else None,
            "startedAt": iso(began),
            "endedAt": iso(ended),
            "measured": measured,
        }
        for tool, (began, ended, measured) in ran.items()
    ]


def _estimates(turn: _Turn, scoped: Scoped, call: Call, full: bool) -> dict[str, Any]:
    """What of a call's new input can be seen in the log: an aid, no exact text."""
    visible = sum(map(_chars, (entry for _, entry in scoped)))
    fresh = sum(
        _chars(entry) for scope, entry in scoped if scope == "call" and entry.kind in entries.INWARD
    )
    new = call.input - call.cached
    seen, bound = _tokens(fresh), _tokens(turn.bytes)
    groups = [
        {"key": key, "chars": turn.groups[key], "tokens": _tokens(turn.groups[key])}
        for key in entries.GROUPS
        if turn.groups[key]
    ]
    return {
        "method": "characters/4",
        "whole": turn.whole,
        "visibleTokens": _tokens(visible),
        "newVisibleTokens": seen,
        "uncachedTokens": new,
        "gapTokens": max(new - seen, 0),
        "serializedChars": turn.bytes,
        "serializedTokens": bound,
        "candidateTokens": max(min(bound, new) - seen, 0),
        "remainingTokens": max(new - max(seen, bound), 0),
        "groups": groups if full else None,
    }


def _chars(entry: Entry) -> int:
    return entry.length or 0


def _tokens(chars: int) -> int:
    return -(-chars // 4)
