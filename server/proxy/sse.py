"""Reads a server-sent event stream as it arrives: whole events, and what they say.

On the way through a relay nothing is parsed but the few events that carry news for us; the
rest is bytes. Rules of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from server.errors import AppError
from server.usage.pricing import Tokens

MAX_EVENT = 16 * 1024 * 1024  # images arrive inside one event; 2 MiB broke them elsewhere

# Never str.splitlines(): it also splits at U+2028 and U+0085, which are text here.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
# Inside a JSON string these quotes would be escaped, so text that talks about events is safe.
_NEWS = re.compile(rb'"(?:response\.(?:created|completed|incomplete|failed|done)|error)"')
_OPENING = frozenset(
    {"response.created", "response.in_progress", "response.queued", "codex.rate_limits", ""}
)
_TERMINAL = frozenset({"response.completed", "response.done", "response.incomplete"})
_FAILED = frozenset({"response.failed", "error"})


class EventTooLarge(AppError):
    """One event is larger than we hold; the stream cannot go on."""

    status, code = 502, "stream_event_too_large"


@dataclass(frozen=True)
class Failure:
    """An error the provider reported inside a stream."""

    code: str
    message: str
    status: int | None
    resets_at: int | None  # ms


def data(event: bytes) -> bytes:
    """The joined `data:` lines of one event; empty for comments and blank lines."""
    found = []
    for line in _LINE_END.split(event):
        if line.startswith(b"data:"):
            found.append(line[6:] if line[5:6] == b" " else line[5:])
    return b"\n".join(found)


def parse(event: bytes) -> dict[str, Any]:
    """The JSON object of one event; empty when it has none (comment, `[DONE]`, malformed)."""
    text = data(event)
    if not text.startswith(b"{"):
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def is_opening(event: bytes) -> bool:
    """Whether an event only says that a response has begun, or nothing at all."""
    return parse(event).get("type", "") in _OPENING


def encode(value: dict[str, Any]) -> bytes:
    """One event of our own, named by its `type`."""
    name = str(value.get("type", "message")).encode()
    return b"event: " + name + b"\ndata: " + orjson.dumps(value) + b"\n\n"


def tokens(usage: Any) -> Tokens | None:
    """The counts of a `usage` object; None when it is missing or not made of counts."""
    if not isinstance(usage, dict):
        return None
    given = _count(usage.get("input_tokens"))
    output = _count(usage.get("output_tokens"))
    if given is None or output is None:
        return None
    inside = usage.get("input_tokens_details")
    outside = usage.get("output_tokens_details")
    inside = inside if isinstance(inside, dict) else {}
    outside = outside if isinstance(outside, dict) else {}
    return Tokens(
        input=given,
        cached=min(given, _count(inside.get("cached_tokens")) or 0),
        cache_written=_count(inside.get("cache_write_tokens")) or 0,
        output=output,
        reasoning=min(output, _count(outside.get("reasoning_tokens")) or 0),
    )


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # some encoders write 12 as 12.0
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 2**53 else None


def failure(event: dict[str, Any]) -> Failure:
    """The error of a `response.failed` or `error` event, flat or nested."""
    response = event.get("response")
    nested = response.get("error") if isinstance(response, dict) else event.get("error")
    error = nested if isinstance(nested, dict) else event
    code = error.get("code") or (error.get("type") if error is not event else None)
    status = event.get("status", event.get("status_code"))
    resets = _count(error.get("resets_at"))
    return Failure(
        code=str(code or "error")[:100],
        message=str(error.get("message") or "")[:500],
        status=status if isinstance(status, int) else None,
        resets_at=None if resets is None else resets * 1000,
    )


class Reader:
    """Cuts a stream into whole events, wherever it was split, and notes what they said.

    `begun` once an event was seen that commits the provider to an answer; `failure` when an
    error came; `terminal` is the type of the last event once the response has ended well.
    """

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self.begun = False
        self.failure: Failure | None = None
        self.terminal: str | None = None
        self.response_id: str | None = None
        self.tokens: Tokens | None = None
        self.tier: str | None = None
        self.model: str | None = None
        self._buffer = bytearray()
        self._searched = 0
        self._max_event = max_event

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completed, as they came, each with its blank line.

        Raises `EventTooLarge` when one grows beyond the limit.
        """
        buffer = self._buffer
        buffer += chunk
        events = []
        start = 0
        position = self._searched
        while found := _BLANK_LINE.search(buffer, position):
            position = found.end()
            events.append(bytes(buffer[start:position]))
            start = position
        if start:
            del buffer[:start]
        if len(buffer) > self._max_event:
            raise EventTooLarge("The provider sent an event that is too large to pass on.")
        # A blank line may straddle chunks: three bytes of it may be here already.
        self._searched = max(0, len(buffer) - 3)
        for event in events:
            if not self.begun or _NEWS.search(event):
                self._note(parse(event))
        return events

    def end(self) -> list[bytes]:
        """The last event of a stream that ended without its blank line, if it is whole."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        # Codex needs the blank line; half an event is worth nothing to anybody.
        return self.feed(rest + b"\n\n") if parse(rest) else []

    def _note(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        kind = kind if isinstance(kind, str) else ""
        if kind in _FAILED:
            self.failure = failure(event)
        elif kind not in _OPENING:
            self.begun = True
        if kind.startswith("response.") and isinstance(event.get("response"), dict):
            self._note_response(event["response"])
        if kind in _TERMINAL:
            self.terminal = kind

    def _note_response(self, response: dict[str, Any]) -> None:
        for name, field in (("response_id", "id"), ("tier", "service_tier"), ("model", "model")):
            value = response.get(field)
            if isinstance(value, str) and value:
                setattr(self, name, value[:200])
        self.tokens = tokens(response.get("usage")) or self.tokens
