"""Whether a thread should be started afresh, because what it carries no longer helps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_LAST = 5  # calls that tell how it stands now
_FEWEST = 8  # calls before anything is said
_GROWN = 2.0  # times as much as in the beginning
_MUCH = 100_000  # tokens a call, where no context window is known


class Step(NamedTuple):
    """One call of the thread's own conversation."""

    id: str
    input: int
    cached: int
    window: int | None
    initiator: str


def advice(steps: Sequence[Step], limits: Mapping[str, float]) -> dict[str, Any] | None:
    """`{key, contextPercent, cacheRatio, carriedTokens, callId}`; None while it goes well.

    Keys: `cache-lost` (much context, and little of it comes from the cache), `context-full`,
    `carrying` (each call carries at least twice what it did at first). A thread whose context
    was just summarised is left alone.
    """
    last = steps[-_LAST:]
    if len(steps) < _FEWEST or any(step.initiator == "compaction" for step in last):
        return None
    carried = _mean([step.input for step in last])
    first = _mean([step.input for step in steps[:_LAST]])
    full = _mean([step.input / step.window for step in last if step.window])
    total = sum(step.input for step in last)
    cache = sum(step.cached for step in last) / total if total else None
    key = _key(full, carried or 0, (carried or 0) >= _GROWN * (first or 0) > 0, cache, limits)
    if key is None:
        return None
    return {
        "key": key,
        "contextPercent": None if full is None else 100 * full,
        "cacheRatio": cache,
        "carriedTokens": round(carried or 0),
        "callId": steps[-1].id,
    }


def _key(
    full: float | None,
    carried: float,
    grown: bool,
    cache: float | None,
    limits: Mapping[str, float],
) -> str | None:
    elevated = limits["elevated_context_percent"]
    much = carried >= _MUCH if full is None else full >= elevated > 0
    if not much:
        return None
    if cache is not None and cache < limits["low_cache_ratio"]:
        return "cache-lost"
    if full is not None and full >= limits["high_context_percent"] > 0:
        return "context-full"
    return "carrying" if grown else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
