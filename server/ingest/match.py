"""Which telemetry record is which call: the rules that keep three witnesses from counting thrice.

Telemetry carries no response id, so a record is matched one to one by conversation, equal
token counts and nearest time. What matches nothing is counted only when no log or proxy
can still account for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Log and telemetry of one response were 5 ms apart in every capture; a busy machine is slower.
NEAREST_MS = 10_000
# So long a log or proxy row may still turn up.
PATIENCE_MS = 120_000
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


def standing(*, matched: bool, at: int, later_call: bool, now: int) -> str:
    """What a telemetry record counts as: matched, waiting, replaced or provisional.

    `later_call`: the ledger has a later call of that conversation, so its log was read past
    this moment and the record must be one that the log tells otherwise. Only a provisional
    one is counted: nobody but telemetry saw it (an ephemeral run, a title thread, another
    machine).
    """
    if matched:
        return "matched"
    if later_call:
        return "replaced"
    return "waiting" if now - at < PATIENCE_MS else "provisional"


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


class Ending(NamedTuple):
    """An event that says how a model request went, in the order of time."""

    session: str
    at: int
    what: str  # refused: an HTTP error; failed: a stream's own failure; ended: cut; done
    attempt: int = 0


class Failure(NamedTuple):
    """A model request that failed for good."""

    session: str
    at: int


def failures(endings: Iterable[Ending]) -> list[Failure]:
    """The requests that failed: each once, and not the attempts that a later one made good.

    An HTTP error is final unless the next attempt of that conversation has a higher number.
    A failed stream leaves two records, its failure and its synthetic end; they are one.
    """
    found: list[Failure] = []
    refused: dict[str, Ending] = {}
    failed: dict[str, int] = {}
    for one in endings:
        before = refused.pop(one.session, None)
        if before is not None and one.attempt <= before.attempt:
            found.append(Failure(before.session, before.at))
        if one.what == "refused":
            refused[one.session] = one
        elif one.what in ("failed", "ended"):
            if not (one.what == "ended" and one.at - failed.pop(one.session, -(10**9)) <= 1000):
                found.append(Failure(one.session, one.at))
            if one.what == "failed":
                failed[one.session] = one.at
    found += [Failure(one.session, one.at) for one in refused.values()]
    return found
