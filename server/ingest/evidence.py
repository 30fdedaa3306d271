"""The log lines behind one call: its turn as entries, within bounds, without secrets.

Nothing that is read here is stored or logged.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.config import Config
from server.ingest import entries, redact
from server.ingest.entries import Entry
from server.ingest.logfile import (
    FULL,
    QUICK,
    Bounds,
    Call,
    Line,
    Log,
    Missing,
    backwards,
    find,
    forwards,
    opened,
    parsed,
)
from server.times import iso

MODES = ("quick", "full")
ENTRIES, MOST_ENTRIES = 80, 2000
CHARS, MOST_CHARS = 20_000, 400_000
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


def read(config: Config, call_id: str, wanted: Wanted) -> dict[str, Any]:
    """The evidence of a call as docs/API.md says. Raises `NotFound` for an unknown call."""
    empty = {"callId": call_id, "mode": MODES[wanted.full], "sentence": None}
    try:
        call = find(call_id)
        with opened(config, call, FULL if wanted.full else QUICK) as log:
            return {**empty, "state": "ok", **_told(log, call, wanted)}
    except Missing as missing:
        gone = missing
    except OSError:  # in the middle: the disk, or the folder's server
        gone = Missing("unreadable")
    return {**empty, "state": gone.state, "sentence": str(gone), "entries": []}


# ── The turn ──────────────────────────────────────────────────────────────────────────────

_STARTS = ("task_started",)
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


def _turn(log: Log, call: Call, keep: int) -> _Turn:
    turn = _Turn([], [], Counter())
    found: deque[Entry] = deque(_take(turn, log.own, call))
    asked = False
    for line in backwards(log.data, call.offset, log.bounds):
        said, value = parsed(line, call.provider)
        if _before(said, value, call, asked):
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
    said, value = parsed(line, call.provider)
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
    return any(entry.kind == "event" and entry.label in _STARTS for entry in said)


def _before(said: list[Entry], value: dict[str, Any] | None, call: Call, asked: bool) -> bool:
    """Whether this line belongs to the turn before.

    Where turns have names, nothing else tells: within one a person may speak again.
    """
    if call.provider != "codex" or not call.turn:
        return _ended(said, asked)
    ends = any(entry.kind == "event" and entry.label in _ENDS for entry in said)
    if not ends and not any(entry.kind == "turn" or entry.label in _STARTS for entry in said):
        return False
    payload = (value or {}).get("payload")
    named = payload.get("turn_id") if isinstance(payload, dict) else None
    return named != call.turn if isinstance(named, str) and named else ends


def _ended(said: list[Entry], asked: bool) -> bool:
    """The same of a log without turns' names, which only tells by the next question."""
    for entry in said:
        if entry.kind == "event" and entry.label in _ENDS:
            return True
        if asked and entry.kind == "usage" and entry.response:
            return True
        if asked and entry.kind in ("assistant", "tool_output"):
            return True
    return False


def _after(log: Log, call: Call) -> list[Entry]:
    """What the call led to: its tools and their output, up to the next answer or turn."""
    found: list[Entry] = []
    lines = forwards(log.data, call.offset, log.bounds)
    next(lines, None)
    for line in lines:
        said, _ = parsed(line, call.provider)
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


def _told(log: Log, call: Call, wanted: Wanted) -> dict[str, Any]:
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


def _about(log: Log, call: Call, turn: _Turn) -> dict[str, Any]:
    return {
        "provider": call.provider,
        "file": log.path,
        "offset": call.offset,
        "archived": "archived_sessions" in Path(log.path).parts,
        "packed": log.packed,
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

    def __init__(self, wanted: Wanted, bounds: Bounds, shown: Scoped) -> None:
        self.wanted, self.left = wanted, bounds.text
        self.found: Counter[str] = Counter()
        self.hidden = self.shortened = 0
        self.labels: dict[str, str] = {}  # few names stand for many entries
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
            "label": self._label(entry.label) if entry.label else None,
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

    def _label(self, label: str) -> str:
        if label not in self.labels:
            self.labels[label] = redact.redact(label)
        return self.labels[label]

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
