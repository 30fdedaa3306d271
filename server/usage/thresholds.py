"""What counts as much, little or dear: defaults, and the user's own file of them."""

from __future__ import annotations

from server.errors import AppError
from server.usage import ownfiles

DEFAULTS: dict[str, float] = {
    "low_cache_ratio": 0.30,
    "high_context_percent": 0.60,
    "elevated_context_percent": 0.50,
    "high_uncached_input_tokens": 10_000,
    "large_cumulative_tokens": 200_000,
    "high_reasoning_ratio": 0.75,
    "reasoning_min_output_tokens": 100,
    "expensive_low_output_total_tokens": 20_000,
    "low_output_tokens": 100,
    "high_cost_usd": 1.00,
}


def current() -> dict[str, float]:
    """The thresholds that hold now; a file that cannot be read changes nothing."""
    try:
        given = ownfiles.read("thresholds.json")
    except AppError:
        given = {}
    return merged(given)


def merged(given: dict[str, object]) -> dict[str, float]:
    """The defaults with the numbers of `given`; unknown names and odd values are ignored."""
    known = {
        name: float(value)
        for name, value in given.items()
        if name in DEFAULTS
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value < 1e15
    }
    return {**DEFAULTS, **known}
