"""What to look at in a call or a thread, and how urgently. Pure: keys and numbers, no sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POINTS = {"high": 80, "medium": 45, "review": 20}

Row = Mapping[str, Any]  # a CallRow of docs/API.md


def recommend(
    call: Row, limits: Mapping[str, float], *, running: int | None = None, helper: bool = False
) -> list[dict[str, Any]]:
    """`{key, severity, score}` of all that is worth a look, in the order of the rules.

    `running` is the session's tokens after the call, `helper` whether a sub-agent made it. Each
    one's score is its severity's points and what the call's size adds.
    """
    rules = (
        ("pricing-gap", "review", call["priceStatus"] == "unpriced"),
        ("estimated-pricing", "review", call["priceStatus"] == "estimated"),
        ("high-cost", "high", (call["costUsd"] or 0) >= limits["high_cost_usd"] > 0),
        *_context(call, limits),
        ("low-cache", "medium", misses(call, limits)),
        ("reasoning-spike", "medium", spikes(call, limits)),
        ("low-output", "medium", idle(call, limits)),
        ("large-thread", "medium", (running or 0) >= limits["large_cumulative_tokens"]),
        ("subagent-attribution", "review", helper),
    )
    size = _size(call, running)
    return [
        {"key": key, "severity": severity, "score": round(POINTS[severity] + size, 2)}
        for key, severity, holds in rules
        if holds
    ]


def _context(call: Row, limits: Mapping[str, float]) -> tuple[tuple[str, str, bool], ...]:
    used = (call["contextPercent"] or 0) / 100
    high = used >= limits["high_context_percent"] and used > 0
    elevated = not high and used >= limits["elevated_context_percent"] and used > 0
    return ("context-bloat", "high", high), ("elevated-context", "medium", elevated)


def _size(call: Row, running: int | None) -> float:
    return float(
        min((call["costUsd"] or 0) * 25, 60)
        + min((call["credits"] or 0) * 2.5, 80)
        + min((call["contextPercent"] or 0) / 100 * 60, 60)
        + min(call["uncachedInputTokens"] / 500, 50)
        + min((running or 0) / 10_000, 50)
    )


def misses(call: Row, limits: Mapping[str, float]) -> bool:
    """Whether little of a large input was reused."""
    ratio = call["cacheRatio"]
    return (
        ratio is not None
        and ratio < limits["low_cache_ratio"]
        and call["uncachedInputTokens"] >= limits["high_uncached_input_tokens"]
    )


def spikes(call: Row, limits: Mapping[str, float]) -> bool:
    """Whether the output was mostly reasoning."""
    output: int = call["outputTokens"]
    return (
        output > 0
        and output >= limits["reasoning_min_output_tokens"]
        and (call["reasoningTokens"] or 0) / output >= limits["high_reasoning_ratio"]
    )


def idle(call: Row, limits: Mapping[str, float]) -> bool:
    """Whether a large call gave hardly any output."""
    large: bool = call["totalTokens"] >= limits["expensive_low_output_total_tokens"]
    return large and call["outputTokens"] <= limits["low_output_tokens"]


def flags(call: Row) -> list[str]:
    """The efficiency flags of a call; their limits are fixed, so that they compare over time."""
    context = (call["contextPercent"] or 0) / 100
    first, output, total = call["inputTokens"], call["outputTokens"], call["totalTokens"]
    ratio = call["cacheRatio"]
    rules = (
        ("high-context", context >= 0.8),
        ("elevated-context", 0.5 <= context < 0.8),
        ("high-reasoning", output >= 100 and (call["reasoningTokens"] or 0) / output >= 0.75),
        ("low-cache", first >= 10_000 and ratio is not None and ratio < 0.1),
        ("low-output", total >= 20_000 and output <= 100),
        ("high-cost", (call["costUsd"] or 0) >= 1),
    )
    return [key for key, holds in rules if holds]


def attention(call: Row) -> float:
    """How much a call asks for a look; from 48 on some, from 95 on much."""
    ratio = call["cacheRatio"]
    status = {"unpriced": 30, "estimated": 12}.get(call["priceStatus"], 0)
    return round(
        _within((call["costUsd"] or 0) * 24, 60)
        + _within((call["credits"] or 0) * 2.5, 48)
        + _within(call["totalTokens"] / 2500, 36)
        + (0 if ratio is None else _within((0.5 - ratio) * 70, 35))
        + _within((call["contextPercent"] or 0) / 100 * 42, 42)
        + status
        + 12 * len(flags(call)),
        2,
    )


def _within(value: float, most: float) -> float:
    return min(max(value, 0), most)


def severity(score: float) -> str:
    """The word for an attention score."""
    return "high" if score >= 95 else "medium" if score >= 48 else "review"


def cache_label(call: Row, previous: Row | None) -> str | None:
    """What happened to the cache between a call and the one before it in its thread."""
    ratio = call["cacheRatio"]
    if ratio is None:
        return None
    if previous is not None and previous["initiator"] == "compaction":
        return "post-compaction"
    if previous is not None:
        before = previous["cacheRatio"] or 0
        if before >= 0.8 and ratio <= 0.05 and call["inputTokens"] >= 1000:
            return "cold"
        if call["uncachedInputTokens"] > max(2 * previous["uncachedInputTokens"], 1000):
            return "spike"
    return "warm" if ratio >= 0.85 else "partial" if ratio > 0.05 else "cold"
