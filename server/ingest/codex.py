"""Codex rollout lines → records: a fold whose small state is stored with the file's offset.

Only the lines that matter are decoded. They are found by searching the bytes for their names
(an unescaped quote cannot occur inside a JSON string), read by a pattern of their usual shape,
and by the JSON decoder when the shape is another. Bodies of messages are never decoded.
"""

from __future__ import annotations

import json
import re
import zlib
from codecs import utf_8_decode
from datetime import UTC, datetime

from server.lazy import field, record

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from typing import Any

    # A call: id, turn, model, effort, initiator, at, duration, input, cached, cache_written,
    # output, reasoning, running, context window, offset. Plain tuples: they travel between
    # processes.
    Call = tuple[Any, ...]

try:  # `hashlib` loads OpenSSL for it, which takes longer than to read 50 MB
    from _blake2 import blake2b as blake2b
except ImportError:  # pragma: no cover - a Python that is built in another way
    from hashlib import blake2b as blake2b

try:  # finds text at memory speed; everything works without it, more slowly
    from stringzilla import Str as Text
except ImportError:  # pragma: no cover - there is a wheel for every platform we build for
    Text = bytes


def needle(text: str) -> Any:
    """A word as the search that is in use wants it."""
    return text if Text is not bytes else text.encode()


MAX_NUMBER = 2**53
_TITLE = 80
_IDLE_MS = 6 * 3600_000  # nothing answers for longer; the machine slept

_TOKEN, _TURN, _META, _COMPACTED, _USER, _ITEM, _TASK = range(7)
_NEEDLES = (
    ('"token_', _TOKEN),
    ('"turn_context"', _TURN),
    ('"session_meta"', _META),
    ('"compacted"', _COMPACTED),
    ('"user_message"', _USER),
)
# Looked for only until they were found once.
_TITLE_NEEDLE = ('"UserMessage"', _ITEM)
_TASK_NEEDLE = ('"task_started"', _TASK)

_AT = rb'\{"timestamp":"(\d{4}-\d\d-\d\dT\d\d):(\d\d):(\d\d)\.(\d{3})Z",(?:"ordinal":\d+,)?"type":'
_USAGE = (
    rb'\{"input_tokens":(\d{1,15}),"cached_input_tokens":(\d{1,15}),'
    rb'(?:"cache_write_input_tokens":(\d{1,15}),)?"output_tokens":(\d{1,15}),'
    rb'"reasoning_output_tokens":(\d{1,15}),"total_tokens":(\d{1,15})\}'
)
_RECORD = re.compile(
    _AT + rb'"token_usage_record","payload":\{"thread_id":"([^"\\]+)","turn_id":"([^"\\]*)",'
    rb'"session_id":"[^"\\]*","root_turn_id":"[^"\\]*","response_id":"([^"\\]+)","usage":'
    + _USAGE
    + rb',"turn_token_usage":\{[^{}]*\},'
    rb'"thread_token_usage":\{[^{}]*"total_tokens":(\d{1,15})\}\}\}\n'
).match
_COUNT = re.compile(
    _AT
    + rb'"event_msg","payload":\{"type":"token_count","info":\{"total_token_usage":'
    + _USAGE
    + rb',"last_token_usage":'
    + _USAGE
    + rb',(?:"last_usage_includes_reasoning":\w+,)?"model_context_window":(\d{1,15}|null)\}'
    rb'(?:,"rate_limits":(null|\{[^\n]*\}))?\}\}\n'
).match
# The parts of a record line that differ from those of the record before it in the same turn.
_OPENING = re.compile(_AT).match
_REST = re.compile(
    rb'([^"\\]+)","usage":' + _USAGE + rb',"turn_token_usage":\{[^{}]*\},'
    rb'"thread_token_usage":\{[^{}]*"total_tokens":(\d{1,15})\}\}\}\n'
).match
# From a line's beginning to a count's figures, or to a record's names (then group 5 is there).
_BEGIN = re.compile(
    _AT
    + rb'(?:"event_msg","payload":\{"type":"token_count","info":\{"total_token_usage":'
    + rb'|("token_usage_record","payload":\{"thread_id":"))'
).match
# Up to the last figure: `}` and what follows is a count's tail.
_FIGURES = re.compile(_USAGE + rb',"last_token_usage":' + _USAGE.removesuffix(rb"\}")).match
_NO_FIGURES = re.compile(
    _AT + rb'"event_msg","payload":\{"type":"token_count","info":null,"rate_limits":null\}\}\n'
).match
_TYPE = re.compile(_AT + rb'"(\w+)"').match
_HEAD = re.compile(rb'\{[^{}\n]{0,300}?"type":\s?"(\w+)"').match
_STAMP = re.compile(rb'"timestamp":\s?"([^"]{10,40})"').search
_MODEL = re.compile(rb'"model":\s?"([^"\\]{1,200})"').search
_EFFORT = re.compile(rb'"(?:reasoning_)?effort":\s?"([^"\\]{1,40})"').search
_TURN_ID = re.compile(rb'"turn_id":\s?"([^"\\]{1,200})"').search
_MESSAGE = re.compile(rb'"(?:message|text)":\s?"((?:[^"\\]|\\.){1,600})').search
_WINDOW = re.compile(rb'"model_context_window":\s?(\d{1,15})').search
_PROMPT = '"base_instructions":{"text":"'


@record
class State:
    """What earlier lines of a file said; small, and JSON between reads."""

    owner: str | None = None  # the thread whose calls this file holds
    meta: dict[str, Any] | None = None
    foreign: str | None = None  # another thread's head is embedded: its history was copied
    records: bool = False  # this file names its calls, so its counters are not needed
    epoch: int = 0
    totals: list[int] | None = None
    model: str | None = None
    effort: str | None = None
    turn: str | None = None
    turn_at: int | None = None  # set until the turn's first call
    user: bool = False  # a user's message since the last call
    output_at: int | None = None  # when the last call and its tools were done
    last_turn: str | None = None
    last_id: str | None = None
    count: int = 0
    window: int | None = None
    limits: int | None = None  # checksum of the last rate limits
    title: str | None = None

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(vars(self))

    @classmethod
    def load(cls, values: dict[str, Any]) -> State:
        """From `dump`; keys of another version are ignored."""
        return cls(**{k: v for k, v in values.items() if k in cls.__annotations__})


@record
class Records:
    """What some whole lines said."""

    calls: list[Call] = field(default_factory=list)
    compactions: list[str] = field(default_factory=list)  # earlier calls that summarised
    limits: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # (at, rate limits)
    warnings: dict[str, int] = field(default_factory=dict)  # skipped lines by kind
    decoded: int = 0  # lines of an unusual shape
    lines: int = 0


def owner_of(name: str) -> str | None:
    """The thread id at the end of a rollout's name."""
    found = re.search(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", name)
    return found[0] if found else None


def legacy(call_id: str) -> bool:
    """Whether the id is ours: the log named no response."""
    return call_id.startswith("log_")


def fold(data: memoryview, base: int, state: State) -> tuple[Records, State]:
    """Read whole lines that begin at byte `base` of the file; `state` is left as it was.

    Reading a file in any pieces that end at line ends gives the same as reading it at once,
    but for `compactions`: they name calls of earlier pieces.
    """
    reader = _Reader(data, base, State(**vars(state)))
    reader.read()
    return reader.records, reader.state


class _Reader:
    def __init__(self, data: memoryview, base: int, state: State) -> None:
        self.data = data
        self.text = Text(data)
        self.newline = needle("\n")
        self.base = base
        self.state = state
        self.records = Records()
        self.bad: set[int] = set()
        self.prefix = ""  # of the ids we make up
        self.same: tuple[bytes, ...] = ()  # the last total as it was written
        # What the next line of the same kind probably repeats.
        self.names = b""  # a record's bytes from its kind to its response id
        self.thread, self.turn = "", ""
        self.tail = b""  # a count's bytes after its figures

    def read(self) -> None:
        if not len(self.data):
            return
        self._check()
        following = self._next
        for place, kind in self._found():
            if kind != _TOKEN:
                self._other(place, kind)
            elif not following(place):
                self._token(place)

    def _found(self) -> list[tuple[int, int]]:
        """Where the words that matter are, in order."""
        state, find = self.state, self.text.find
        needles = list(_NEEDLES)
        if state.title is None:
            needles.append(_TITLE_NEEDLE)
        if state.window is None:
            needles.append(_TASK_NEEDLE)
        found: list[tuple[int, int]] = []
        for word, kind in needles:
            wanted, step = needle(word), len(word)
            place = find(wanted, 0)
            while place >= 0:
                found.append((place, kind))
                place = find(wanted, place + step)
        found.sort()
        return found

    # ── lines that cannot be used ─────────────────────────────────────────────────────

    def _check(self) -> None:
        """Find lines that are no JSON objects; only odd ones are looked at one by one."""
        count = self.text.count
        self.records.lines = count(needle("\n"))
        usual = count(needle('}\n{"timestamp":"')) == self.records.lines - 1
        usual = (
            usual and bytes(self.data[:14]) == b'{"timestamp":"' and bytes(self.data[-2:]) == b"}\n"
        )
        if usual and self.text.find(needle("\0")) < 0 and is_utf8(self.data):
            return
        start = 0
        for line in lines_of(self.data):
            kind = fault(line)
            if kind:
                self.bad.add(start)
                self._warn(kind)
            start += len(line)

    def _warn(self, kind: str) -> None:
        self.records.warnings[kind] = self.records.warnings.get(kind, 0) + 1

    def _start(self, place: int) -> int:
        """Where the line of `place` begins."""
        found: int = self.text.rfind(self.newline, place - 300 if place > 300 else 0, place)
        if found < 0 and place > 300:
            found = self.text.rfind(self.newline, 0, place)
        return found + 1

    def _line(self, start: int) -> bytes:
        return bytes(self.data[start : self.text.find(needle("\n"), start)])

    def _decode(self, start: int) -> dict[str, Any] | None:
        """The line as JSON; a line that is none is counted once."""
        if start in self.bad:
            return None
        kind = "not_json"
        try:
            value = json.loads(self._line(start))
            if isinstance(value, dict):
                self.records.decoded += 1
                return value
            kind = "not_object"
        except RecursionError:
            kind = "too_deep"
        except ValueError:
            pass
        self.bad.add(start)
        self._warn(kind)
        return None

    # ── calls ─────────────────────────────────────────────────────────────────────────

    def _token(self, place: int) -> None:
        data = self.data
        letter = data[place + 7]
        if data[place - 1] == 0x5C or letter not in (0x63, 0x75):  # quoted text, another word
            return
        start = self._start(place)
        if start in self.bad:
            return
        # "token_usage_record" or "token_count"
        usual = self._usual_record(start) if letter == 0x75 else self._usual_count(start)
        if not usual:
            self._unusual(start)

    def _next(self, place: int) -> bool:
        """A line that differs from the last of its kind only in time, id and figures: most do.

        Here time counts: nothing is looked at twice.
        """
        start = self.text.rfind(self.newline, place - 100 if place > 100 else 0, place) + 1
        if start == 0 and place > 100 or self.bad:
            return False  # deep in a line
        begin = _BEGIN(self.data, start)
        if begin is None:
            return False
        hour, minute, second, ms, record = begin.groups()
        at = _hours.get(hour)
        if at is None:
            at = _hour(hour)
        at += int(minute) * 60_000 + int(second) * 1000 + int(ms)
        if record is None:
            return self._next_count(at, begin.end(), start)
        return self._next_record(at, begin.end(), start)

    def _next_record(self, at: int, place: int, start: int) -> bool:
        """A record of the same turn as the one before it."""
        names = self.names
        end = place + len(names)
        if not names or bytes(self.data[place:end]) != names:
            return False
        rest = _REST(self.data, end)
        if rest is None:
            return False
        response, first, cached, written, output, reasoning, _, running = rest.groups()
        own = (int(first), int(cached), int(written or 0), int(output), int(reasoning))
        self._record(at, (self.thread, self.turn, response.decode()), own, int(running), start)
        return True

    def _next_count(self, at: int, place: int, start: int) -> bool:
        """A count that ends as the one before it."""
        tail, state = self.tail, self.state
        if not tail:
            return False
        end = self.text.find(self.newline, place) + 1 - len(tail)
        if bytes(self.data[end : end + len(tail)]) != tail:
            return False
        if not state.records:
            figures = _FIGURES(self.data, place)
            if figures is None or figures.end() != end:
                return False
            state.output_at = at
            self._moved(at, figures.groups(), start)
        state.output_at = at
        return True

    def _usual_record(self, start: int) -> bool:
        found = _RECORD(self.data, start)
        if not found:
            return False
        part = found.groups()
        self.thread, self.turn = part[4].decode(), part[5].decode()
        self.names = bytes(self.data[found.start(5) : found.start(7)])
        self._record(
            _clock(*part[:4]),
            (self.thread, self.turn, part[6].decode()),
            (int(part[7]), int(part[8]), int(part[9] or 0), int(part[10]), int(part[11])),
            int(part[13]),
            start,
        )
        return True

    def _usual_count(self, start: int) -> bool:
        found = _COUNT(self.data, start)
        if not found:
            nothing = _NO_FIGURES(self.data, start)
            if nothing:
                self.state.output_at = _clock(*nothing.groups())
            return nothing is not None
        self.tail = bytes(self.data[found.end(16) : found.end()])
        part, state = found.groups(), self.state
        at = state.output_at = _clock(*part[:4])
        window, raw = part[16], part[17]
        if window != b"null":
            state.window = int(window)
        if raw:
            checksum = zlib.crc32(raw)
            if checksum != state.limits and raw != b"null":
                state.limits = checksum
                self._limits(at, raw)
        if not state.records:
            self._moved(at, part[4:16], start)
        return True

    def _moved(self, at: int, part: tuple[bytes, ...], start: int) -> None:
        """Take a count's figures, unless they are those of the one before."""
        if part[:6] == self.same:
            return
        self.same = part[:6]
        first, cached, _, output, reasoning, total, *last = part
        sums = [int(first), int(cached), int(output), int(reasoning), int(total)]
        if sums != self.state.totals:
            own = (int(last[0]), int(last[1]), int(last[2] or 0), int(last[3]), int(last[4]))
            self._advance(at, sums, own, start)

    def _limits(self, at: int, raw: bytes) -> None:
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            self._warn("rate_limits")
            return
        if isinstance(value, dict):
            self.records.limits.append((at, value))

    def _unusual(self, start: int) -> None:
        head = _HEAD(self.data, start)
        if head and head[1] not in (b"event_msg", b"token_usage_record"):
            return  # a body that holds such a word as a value
        line = self._decode(start)
        payload = line.get("payload") if line else None
        if line is None or not isinstance(payload, dict):
            return
        kind = line.get("type")
        if kind == "token_usage_record":
            self._unusual_record(line, payload, start)
        elif kind == "event_msg" and payload.get("type") == "token_count":
            self._unusual_count(line, payload, start)

    def _unusual_record(self, line: dict[str, Any], payload: dict[str, Any], start: int) -> None:
        at, own = time_ms(line.get("timestamp")), _usage(payload.get("usage"))
        response = payload.get("response_id")
        if at is None or own is None or not isinstance(response, str) or not response:
            self._warn("bad_record")
            return
        thread = payload.get("thread_id")
        names = (
            str(thread) if thread else self.state.owner or "",
            str(payload.get("turn_id") or ""),
            response,
        )
        sums = _usage(payload.get("thread_token_usage"))
        self._record(at, names, own, sums[0] + sums[3] if sums else None, start)

    def _unusual_count(self, line: dict[str, Any], payload: dict[str, Any], start: int) -> None:
        at = time_ms(line.get("timestamp"))
        if at is None:
            self._warn("bad_time")
            return
        self.state.output_at = at
        self.tail = b""
        self._unusual_limits(at, payload.get("rate_limits"))
        info = payload.get("info")
        if not isinstance(info, dict):
            return
        window = whole(info.get("model_context_window"))
        self.state.window = window or self.state.window
        if not self.state.records:
            self._unusual_usage(at, info, start)

    def _unusual_limits(self, at: int, limits: Any) -> None:
        if isinstance(limits, dict):
            checksum = zlib.crc32(json.dumps(limits, separators=(",", ":")).encode())
            if checksum != self.state.limits:
                self.state.limits = checksum
                self.records.limits.append((at, limits))

    def _unusual_usage(self, at: int, info: dict[str, Any], start: int) -> None:
        self.same = ()
        total, last = info.get("total_token_usage"), info.get("last_token_usage")
        sums, own = _usage(total), _usage(last)
        if (total and sums is None) or (last and own is None):
            self._warn("bad_number")
        elif sums:
            whole = [sums[0], sums[1], sums[3], sums[4], _whole(total, sums)]
            if whole != self.state.totals:
                self._advance(at, whole, own or (0, 0, 0, 0, 0), start)
        elif own and any(own) and [at, *own] != self.state.totals:
            self.state.totals = [at, *own]  # no total: the moment and the figures identify it
            self._legacy_call(at, own, None, start)

    def _advance(self, at: int, sums: list[int], own: tuple[int, ...], start: int) -> None:
        """A counter moved: a call, unless it only went back to nothing."""
        before = self.state.totals
        if before and len(before) != len(sums):
            before = None
        lower = before is not None and (
            sums[4] < before[4]
            or sums[0] < before[0]
            or sums[1] < before[1]
            or sums[2] < before[2]
            or sums[3] < before[3]
        )
        if lower:
            self.state.epoch += 1
        self.state.totals = sums
        if not any(own):
            base = [0] * 5 if lower or before is None else before
            own = (sums[0] - base[0], sums[1] - base[1], 0, sums[2] - base[2], sums[3] - base[3])
        if any(own):
            self._legacy_call(at, own, sums, start)

    def _legacy_call(
        self, at: int, own: tuple[int, ...], sums: list[int] | None, start: int
    ) -> None:
        state = self.state
        if not self.prefix:
            digest = blake2b((state.owner or "").encode(), digest_size=10).hexdigest()
            self.prefix = f"log_{digest}"
        a, b, c, d = (sums or [at, own[0], own[1], own[3]])[:4]
        name = f"{self.prefix}_{state.epoch}_{a:x}_{b:x}_{c:x}_{d:x}"
        began = state.turn_at
        initiator = "tool" if state.count else "unknown"
        if state.user:
            initiator = self._asked()
        running = None if sums is None else sums[4]
        self._add(name, state.turn, initiator, at, _lasted(at, began), own, start, running)

    def _record(
        self,
        at: int,
        names: tuple[str, str, str],
        own: tuple[int, ...],
        running: int | None,
        start: int,
    ) -> None:
        state = self.state
        thread, turn, response = names
        state.records = True
        if state.owner is None or (state.meta is None and state.last_id is None):
            state.owner = thread
        if thread != state.owner:
            return  # copied history: the call belongs to the thread it names
        initiator = self._asked() if turn != state.last_turn or state.user else "tool"
        began = max(state.output_at or 0, state.turn_at or 0) or None
        state.last_turn = turn
        self._add(response, turn or None, initiator, at, _lasted(at, began), own, start, running)

    def _asked(self) -> str:
        kind = (self.state.meta or {}).get("kind")
        return "user" if kind in (None, "user") else "agent"

    def _add(  # noqa: PLR0913 - one row, built once
        self,
        name: str,
        turn: str | None,
        initiator: str,
        at: int,
        duration: int | None,
        own: tuple[int, ...],
        start: int,
        running: int | None,
    ) -> None:
        state = self.state
        state.last_id = name
        state.count += 1
        state.user = False
        state.turn_at = None
        place = self.base + start
        self.records.calls.append(
            (name, turn, state.model, state.effort, initiator, at, duration, *own, running,
             state.window, place)
        )  # fmt: skip

    # ── what the calls belong to ──────────────────────────────────────────────────────

    def _other(self, place: int, kind: int) -> None:
        if self.data[place - 1] == 0x5C:
            return
        start = self._start(place)
        if start in self.bad:
            return
        usual = _TYPE(self.data, start)
        envelope = usual[5].decode() if usual else self._envelope(start)
        if kind == _TURN and envelope == "turn_context":
            self._turn(start)
        elif kind == _META and envelope == "session_meta":
            self._meta(start)
        elif kind == _COMPACTED and envelope == "compacted":
            self._compacted()
        elif kind >= _USER and envelope == "event_msg" and place - start < 400:
            self._event(start, kind)

    def _envelope(self, start: int) -> str:
        head = _HEAD(self.data, start)
        if head:
            return head[1].decode()
        line = self._decode(start)
        return str(line.get("type")) if line else ""

    def _turn(self, start: int) -> None:
        line, state = self._line(start), self.state
        model, effort, turn = _MODEL(line), _EFFORT(line), _TURN_ID(line)
        state.model = model[1].decode("utf-8", "replace") if model else state.model
        state.effort = effort[1].decode("utf-8", "replace") if effort else None
        state.turn = turn[1].decode("utf-8", "replace") if turn else None
        usual = _OPENING(line)
        if usual:
            state.turn_at = _clock(*usual.groups())
            return
        at = _STAMP(line)
        state.turn_at = time_ms(at[1].decode("ascii", "replace")) if at else None

    def _event(self, start: int, kind: int) -> None:
        state = self.state
        if kind == _TASK:
            window = None if state.window else _WINDOW(self._line(start))
            if window:
                state.window = int(window[1])
            return
        if kind == _USER:
            state.user = True
        if state.title is None:
            state.title = _title(self._line(start))

    def _compacted(self) -> None:
        """The call before it made the summary (files that name their calls)."""
        name = self.state.last_id
        if not self.state.records or name is None:
            return
        calls = self.records.calls
        if calls and calls[-1][0] == name:
            calls[-1] = (*calls[-1][:4], "compaction", *calls[-1][5:])
        else:
            self.records.compactions.append(name)

    def _meta(self, start: int) -> None:
        line = self._decode_meta(start)
        payload = line.get("payload") if line else None
        if line is None or not isinstance(payload, dict):
            return
        name = payload.get("id") or payload.get("session_id")
        if not isinstance(name, str):
            return
        state = self.state
        if state.meta is None:
            state.owner = name
            state.meta = _described(payload, time_ms(line.get("timestamp")))
        elif name != state.owner:
            state.foreign = state.foreign or name

    def _decode_meta(self, start: int) -> dict[str, Any] | None:
        # The prompt is most of this line; without it, decoding takes a tenth of the time.
        find = self.text.find
        end = find(needle("\n"), start)
        text = find(needle(_PROMPT), start, end)
        if text >= 0:
            text += len(_PROMPT)
            close = find(needle('"'), text, end)
            while close > 0 and self.data[close - 1] == 0x5C:
                close = find(needle('"'), close + 1, end)
            try:
                value = json.loads(bytes(self.data[start:text]) + bytes(self.data[close:end]))
                if isinstance(value, dict):
                    return value
            except (ValueError, RecursionError):
                pass
        return self._decode(start)


def searchable(data: memoryview) -> Any:
    """Bytes that `needle`s can be found in."""
    return Text(data)


def lines_of(data: memoryview) -> list[bytes]:
    """The whole lines of a piece."""
    return [line + b"\n" for line in bytes(data).split(b"\n")[:-1]]


def fault(line: bytes) -> str | None:
    """Why a line cannot be used; None when it can, or is blank."""
    text = line.strip(b" \t\r\n")
    if not text:
        return None
    if b"\0" in text:
        return "binary"
    try:
        text.decode()
        if text.startswith(b'{"timestamp":"') and text.endswith(b"}"):
            return None  # decoded if it turns out to be needed
        return None if isinstance(json.loads(text), dict) else "not_object"
    except UnicodeDecodeError:
        return "encoding"
    except RecursionError:
        return "too_deep"
    except ValueError:
        return "not_json"


def is_utf8(data: memoryview) -> bool:
    """Whether the bytes are text."""
    try:
        place = 0
        while place < len(data):  # small parts: large strings cost fresh memory each time
            part = data[place : place + 65536]
            place += utf_8_decode(part, "strict", len(part) < 65536)[1]
    except UnicodeDecodeError:
        return False
    return True


_hours: dict[bytes, int] = {}


def _clock(hour: bytes, minute: bytes, second: bytes, ms: bytes) -> int:
    """Milliseconds of a stamp; an hour is worked out once."""
    base = _hours.get(hour)
    if base is None:
        base = _hour(hour)
    return base + int(minute) * 60_000 + int(second) * 1000 + int(ms)


def _hour(hour: bytes) -> int:
    if len(_hours) > 50_000:
        _hours.clear()
    base = _hours[hour] = time_ms(hour.decode() + ":00:00Z") or 0
    return base


def time_ms(text: Any) -> int | None:
    """An ISO time (UTC when it names no zone) in milliseconds."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return round(moment.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None


def whole(value: Any) -> int | None:
    """A count: a whole number, or one written as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        return None
    return value


def _usage(value: Any) -> tuple[int, int, int, int, int] | None:
    """(input, cached, cache_written, output, reasoning); None when a figure is impossible."""
    if not isinstance(value, dict):
        return None
    parts = [
        whole(value.get(name, 0) or 0)
        for name in (
            "input_tokens",
            "cached_input_tokens",
            "cache_write_input_tokens",
            "output_tokens",
            "reasoning_output_tokens",
        )
    ]
    if any(part is None for part in parts):
        return None
    first, cached, written, output, reasoning = (int(part or 0) for part in parts)
    return first, cached, written, output, reasoning


def _whole(total: Any, sums: tuple[int, ...]) -> int:
    said = whole(total.get("total_tokens")) if isinstance(total, dict) else None
    return sums[0] + sums[3] if said is None else said


def _lasted(at: int, began: int | None) -> int | None:
    return at - began if began is not None and 0 <= at - began <= _IDLE_MS else None


def _title(line: bytes) -> str | None:
    found = _MESSAGE(line)
    if not found:
        return None
    raw = found[1]
    while raw:
        try:
            text = str(json.loads(b'"' + raw + b'"', strict=False))
            break
        except ValueError:  # cut inside an escape or a letter
            raw = raw[:-1]
    else:
        return None
    return one_line(text)


def one_line(text: str) -> str | None:
    """A title of at most 80 characters; None for what a program, not a person, wrote."""
    words = " ".join(text.encode("utf-8", "replace").decode().split())
    if not words or words.startswith("<"):
        return None
    return words if len(words) <= _TITLE else words[: _TITLE - 1].rstrip() + "…"


def _described(payload: dict[str, Any], written: int | None) -> dict[str, Any]:
    """A session_meta line's facts under our names."""
    source = payload.get("source")
    spawn, kind = _origin(source)
    git = payload.get("git")
    parent = spawn.get("parent_thread_id") or payload.get("parent_thread_id")
    forked = _text_or_none(payload.get("forked_from_id"))
    return {
        "parent": _text_or_none(parent) or forked,
        "forked": forked,
        "kind": kind,
        "role": _first(
            payload.get("agent_role"),
            spawn.get("agent_role"),
            spawn.get("agent_nickname"),
            payload.get("agent_nickname"),
        ),
        "cwd": _text_or_none(payload.get("cwd")),
        "branch": _text_or_none(git.get("branch")) if isinstance(git, dict) else None,
        "client": _text_or_none(payload.get("originator")),
        "version": _text_or_none(payload.get("cli_version")),
        "terminal": source if isinstance(source, str) else None,
        "started": time_ms(payload.get("timestamp")) or written,
        "written": written,
    }


def _origin(source: Any) -> tuple[dict[str, Any], str]:
    """The spawn facts of a session's source, and what kind of session it is."""
    sub = source.get("subagent") if isinstance(source, dict) else None
    if sub is None:
        return {}, "user"
    if isinstance(sub, dict):
        spawn = sub.get("thread_spawn")
        if isinstance(spawn, dict):
            return spawn, "subagent"
        sub = sub.get("other")
    return {}, "review" if sub in ("review", "guardian") else "subagent"


def _first(*values: Any) -> str | None:
    return next((text for text in map(_text_or_none, values) if text), None)


def _text_or_none(value: Any) -> str | None:
    return value[:4096] if isinstance(value, str) and value else None
