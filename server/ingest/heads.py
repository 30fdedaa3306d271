"""Whose log a rollout is, and what its session is: what its name, its heads and its calls tell."""

from __future__ import annotations

from server.ingest.lines import as_json, read_json, time_ms
from server.lazy import record

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

try:  # `hashlib` loads OpenSSL for it, which takes longer than to read 50 MB
    from _blake2 import blake2b as blake2b
except ImportError:  # pragma: no cover - a Python that is built in another way
    from hashlib import blake2b as blake2b

_HEX = frozenset("0123456789abcdef")


@record
class State:
    """What earlier lines of a file said; small, and JSON between reads."""

    owner: str | None = None  # the thread whose calls this file holds
    meta: dict[str, Any] | None = None
    foreign: str | None = None  # another thread's head is embedded: its history was copied
    records: bool = False  # this file names its calls, so its counters are not needed
    epoch: int = 0
    totals: list[int] | None = None  # empty: the first goes on from where a parent stood
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
    heard: int = 0  # what was heard since the last call of who began the next: `_BY_…`
    ended: int | None = None  # of a log that names no calls: when the last call or tool was done
    title: str | None = None
    tier: str | None = None  # that the turn asks for, and that its thread's settings do
    thread_tier: str | None = None

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(vars(self))

    @classmethod
    def load(cls, values: dict[str, Any]) -> State:
        """From `dump`; keys of another version are ignored."""
        return cls(**{k: v for k, v in values.items() if k in cls.__annotations__})


def owner_of(name: str) -> str | None:
    """The thread id at the end of a rollout's name."""
    found = name[-36:]
    letters = found.replace("-", "")
    alike = len(letters) == 32 and found[8:24:5] == "----"
    return found if alike and _HEX.issuperset(letters) else None


def whose(pieces: Iterable[memoryview], name: str) -> State | None:
    """How a log begins that is named after the thread `name`, but begins with another's head.

    It is that thread's where a later head or a call in it says so, else None: it was renamed.
    """
    first: State | None = None
    recorded = False
    for data in pieces:
        piece = bytes(data)
        for payload, at in _payloads(piece, b'"session_meta"', "session_meta"):
            found = State()
            describe(found, {"payload": payload, "timestamp": at})
            if found.owner == name:
                foreign = first.owner if first else None
                return State(owner=name, meta=found.meta, foreign=foreign, totals=found.totals)
            first = first or (found if found.meta else None)
        recorded = recorded or any(
            payload.get("thread_id") == name
            for payload, _ in _payloads(piece, f'"{name}"'.encode(), "token_usage_record")
        )
    if not first or not recorded:
        return None
    return State(owner=name, meta=first.meta, foreign=first.owner, totals=first.totals)


def _payloads(piece: bytes, word: bytes, kind: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """The payloads and times of the lines of a kind that hold a word."""
    envelope = f'"{kind}"'.encode()
    place = piece.find(word)
    while place >= 0:
        start, end = piece.rfind(b"\n", 0, place) + 1, piece.find(b"\n", place)
        line = piece[start:end]
        value = _object(line) if envelope in line else None
        if value and value.get("type") == kind and isinstance(value.get("payload"), dict):
            yield value["payload"], value.get("timestamp")
        place = piece.find(word, end)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = as_json(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def take_head(state: State, line: bytes) -> bool:
    """Take a session's head in, its prompt left out; False where it is not as it should be."""
    try:
        value, mended = read_json(line)
    except (ValueError, RecursionError):
        return False
    if mended or not isinstance(value, dict):
        return False
    describe(state, value)
    return True


def describe(state: State, line: dict[str, Any]) -> bool:
    """Take in what a head says; returns whether it is the one that names the owner."""
    payload = line.get("payload")
    if not isinstance(payload, dict):
        return False
    name = payload.get("id") or payload.get("session_id")
    if not isinstance(name, str):
        return False
    if state.meta is None:
        state.owner = name
        state.meta = _described(payload, time_ms(line.get("timestamp")))
        if isinstance(payload.get("history_base"), dict) and not state.count:
            # The file holds only what is new, so its counters go on from where the parent's
            # stood, which a turn may begin by telling again.
            state.totals = []
        return True
    if name != state.owner:
        state.foreign = state.foreign or name
    return False


def named(state: State) -> tuple[str, str]:
    """What a thread's made-up ids begin with, and who asks when a turn begins."""
    return prefix_of(state.owner), asked_by(state)


def prefix_of(owner: str | None) -> str:
    """What the ids begin with that we make up for a thread's calls."""
    name = (owner or "").encode("utf-8", "surrogatepass")
    return f"log_{blake2b(name, digest_size=10).hexdigest()}"


def asked_by(state: State) -> str:
    """Who asks when a turn begins."""
    kind = (state.meta or {}).get("kind")
    return "user" if kind in (None, "user") else "agent"


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
