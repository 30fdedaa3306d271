"""How a call differs from the one before it in its thread, and how sure each figure is. Pure.

Logs do not say which text came from the cache, so all of this is accounting: figures and their
differences, never the text behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]  # a CallRow of docs/API.md

_COUNTS = (
    "inputTokens", "cachedInputTokens", "uncachedInputTokens", "outputTokens", "reasoningTokens",
    "totalTokens",
)  # fmt: skip
_WRITES = "cacheWriteTokens", "cacheWrite1hTokens"
_CREDITS = {"exact": "derived", "user_override": "derived"}
_NOISE = 256  # tokens: the provider caches in steps of 128


def deltas(call: Row, previous: Row | None) -> dict[str, Any] | None:
    """The differences to the call before; None for the first call of a thread."""
    if previous is None:
        return None
    found: dict[str, Any] = {}
    for key in (*_COUNTS, *_WRITES, "cacheRatio", "costUsd", "contextPercent"):
        now, then = call.get(key), previous.get(key)
        found[key] = None if now is None or then is None else now - then
    return {**found, "reading": reading(found)}


def reading(found: Mapping[str, Any]) -> str:
    """The word for what happened to the cache.

    cache-drop, more-new, better-reuse, less (of both), more-cached, less-cached, or stable: only
    when neither figure moved by more than noise.
    """
    new, cached = (_moved(found[f"{which}InputTokens"]) for which in ("uncached", "cached"))
    return _READINGS[new, cached]


_READINGS = {
    (1, -1): "cache-drop", (1, 0): "more-new", (1, 1): "more-new",
    (0, -1): "less-cached", (0, 0): "stable", (0, 1): "more-cached",
    (-1, -1): "less", (-1, 0): "better-reuse", (-1, 1): "better-reuse",
}  # fmt: skip


def _moved(by: int) -> int:
    return 0 if abs(by) <= _NOISE else 1 if by > 0 else -1


def confidence(call: Row) -> dict[str, list[str]]:
    """Which figures are exact, which follow from them, and which are estimates."""
    known = {
        "exact": [*_COUNTS[:2], *_COUNTS[3:], *_WRITES, "cumulativeTokens", "model", "effort",
                  "at"],
        "derived": ["uncachedInputTokens", "cacheRatio", "contextPercent", "durationMs", "gapMs",
                    "initiator", "deltas", "previous", "next"],
        "estimated": ["evidence"],
    }  # fmt: skip
    # As sure as the rate of its model: published for it, the user's own, or another model's.
    known[_CREDITS.get(str(call.get("creditConfidence")), "estimated")].append("credits")
    # Dollars follow from exact counts by a price list: as sure as its entry for the model.
    if call["priceStatus"] != "unpriced":
        known["derived" if call["priceStatus"] == "exact" else "estimated"].append("costUsd")
    return {
        how: [key for key in keys if call.get(key, True) is not None] for how, keys in known.items()
    }
