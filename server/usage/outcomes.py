"""What a telemetry record counts as, which requests failed for good, and percentiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# So long a log or proxy row may still turn up.
PATIENCE_MS = 120_000
# A failed stream writes its failure and its synthetic end within a millisecond or two.
_SAME_FAILURE_MS = 1000


def standing(*, matched: bool, at: int, later_call: bool, now: int) -> str:
    """What a telemetry record counts as: matched, waiting, replaced or provisional.

    `later_call`: the ledger has a later call of that conversation, so its log was read past
    this moment and the record must be one that the log tells otherwise. Only a provisional
    one is counted: nobody but telemetry saw it (an ephemeral run, a title thread, another
    machine).
    """
    if matched:
        return "matched"
    if now - at < PATIENCE_MS:
        return "waiting"  # its match may not have been tried yet, whatever the log has by now
    return "replaced" if later_call else "provisional"


class Ending(NamedTuple):
    """An event that says how a model request went."""

    session: str | None
    at: int
    what: str  # refused: an HTTP error; failed: the stream's own failure; cut: its end; done
    attempt: int = 0
    id: int = 0  # of the event


def ending(
    name: str, kind: str | None, status: int | None, success: bool | None,
    attributes: Mapping[str, Any],
) -> str | None:  # fmt: skip
    """How a model request went, where an event says so: refused, failed, cut or done.

    A first attempt that went well says nothing of any other, so it is no ending.
    """
    if name == "claude_code.api_error" or (
        name == "codex.api_request" and (kind or "").endswith("/responses")
    ):
        if status is None or not 200 <= status < 400:
            return "refused"
        return "done" if attributes.get("attempt") else None
    if name == "codex.websocket_request":
        return "cut" if success is False else None
    if name == "codex.sse_event" and attributes.get("error") is not None:
        return {"response.failed": "failed", "response.completed": "cut"}.get(kind or "")
    return None


class Failure(NamedTuple):
    """A model request that failed for good."""

    session: str | None
    at: int
    id: int = 0  # of the event that tells it


def failures(endings: Iterable[Ending]) -> list[Failure]:
    """The requests that failed, in `endings` by time: each once, retried ones left out.

    An HTTP error is final unless the conversation's next attempt has a higher number. A
    failed stream leaves two records, its failure and its synthetic end; they are one.
    """
    found: list[Failure] = []
    refused: dict[str | None, Ending] = {}
    failed: dict[str | None, int] = {}
    for one in endings:
        before = refused.pop(one.session, None)
        if before is not None and one.attempt <= before.attempt:
            found.append(_failure(before))
        if one.what == "refused":
            refused[one.session] = one
        elif one.what == "failed":
            failed[one.session] = one.at
            found.append(_failure(one))
        elif one.what == "cut":
            told = failed.pop(one.session, None)
            if told is None or one.at - told > _SAME_FAILURE_MS:
                found.append(_failure(one))
    return found + [_failure(one) for one in refused.values()]


def _failure(one: Ending) -> Failure:
    return Failure(one.session, one.at, one.id)


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """The value below which `share` of the counted values lie, between neighbours by line.

    None when there are none.
    """
    total = sum(histogram.values())
    if total == 0:
        return None
    place = share * (total - 1)
    low, part = int(place), place - int(place)
    below = above = None
    passed = 0
    for value in sorted(histogram):
        passed += histogram[value]
        if below is None and passed > low:
            below = value
        if passed > low + (part > 0):
            above = value
            break
    if below is None or above is None:
        return None
    return below + (above - below) * part
