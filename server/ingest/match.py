"""Which telemetry record is which call, and which conversations nobody asked for.

Telemetry carries no response id, so a record is matched one to one by conversation, equal
token counts and nearest time (what is left unmatched: `usage.outcomes.standing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Log and telemetry of one response were 5 ms apart in every capture; a busy machine is slower.
NEAREST_MS = 10_000
# A title thread starts with the user's turn that it names.
_HELPER_MS = 30_000
# The fixed text of a title request was 430 characters long; a user's own question may be short.
_HELPER_PROMPT = (200, 2000)

Counts = tuple[int, int, int, int]  # input, cached, output, reasoning


class Seen(NamedTuple):
    """A response as telemetry or the ledger saw it."""

    id: bytes | str
    session: str
    at: int
    counts: Counts


def pair(telemetry: Iterable[Seen], calls: Iterable[Seen]) -> list[tuple[bytes | str, bytes | str]]:
    """Match telemetry to calls one to one: same conversation, equal counts, nearest first."""
    known: dict[tuple[str, Counts], list[Seen]] = defaultdict(list)
    for call in calls:
        known[call.session, call.counts].append(call)
    near = [
        (abs(one.at - call.at), one.at, call.at, one.id, call.id)
        for one in telemetry
        if any(one.counts)
        for call in known.get((one.session, one.counts), ())
        if abs(one.at - call.at) <= NEAREST_MS
    ]
    near.sort(key=lambda found: found[:3])
    pairs: list[tuple[bytes | str, bytes | str]] = []
    taken: set[bytes | str] = set()
    for *_, one_id, call_id in near:
        if one_id not in taken and call_id not in taken:
            taken |= {one_id, call_id}
            pairs.append((one_id, call_id))
    return pairs


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is known of a conversation that telemetry saw."""

    logged: bool  # it has a log of its own
    kind: str | None  # what the ledger says it is
    prompts: int
    prompt_length: int | None
    sandbox: str | None
    first_at: int


def is_helper(one: Conversation, turns: Sequence[int]) -> bool:
    """Whether Codex started this conversation for itself, such as to find a title.

    `turns`: when users prompted in other conversations. The proxy's word decides where it
    has one; without it, a helper leaves no log, may only read, and follows a user's turn.
    """
    if one.kind is not None and one.kind != "user":
        return one.kind in ("title", "review")
    if one.logged or one.sandbox != "read-only" or one.prompts > 1:
        return False
    low, high = _HELPER_PROMPT
    if one.prompt_length is None or not low <= one.prompt_length <= high:
        return False
    return any(0 <= one.first_at - turn <= _HELPER_MS for turn in turns)
