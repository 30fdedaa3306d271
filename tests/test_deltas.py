"""What the figures of two calls say, and how sure each figure is."""

from __future__ import annotations

from typing import Any

import pytest

from server.usage.deltas import confidence, deltas, reading


@pytest.mark.parametrize(
    ("new", "cached", "word"),
    [
        pytest.param(3000, -9000, "cache-drop", id="the cache was lost"),
        pytest.param(3000, 0, "more-new", id="only new input grew"),
        pytest.param(3000, 5000, "more-new", id="both grew"),
        pytest.param(-3000, 3000, "better-reuse", id="from new to cached"),
        pytest.param(-3000, 100, "better-reuse", id="only new input fell"),
        pytest.param(1200 - 5000, 800 - 4000, "less", id="both fell"),
        pytest.param(0, -3200, "less-cached", id="only cached input fell"),
        pytest.param(200, 3200, "more-cached", id="only cached input grew"),
        pytest.param(256, -256, "stable", id="noise"),
    ],
)  # fmt: skip
def test_a_reading(new: int, cached: int, word: str) -> None:
    assert reading({"uncachedInputTokens": new, "cachedInputTokens": cached}) == word


@pytest.mark.parametrize(
    ("rate", "how"),
    [("exact", "derived"), ("user_override", "derived"), ("estimated", "estimated")],
)
def test_credits_are_as_sure_as_their_rate(rate: str, how: str) -> None:
    call: dict[str, Any] = {"priceStatus": "exact", "credits": 1.5, "creditConfidence": rate}
    assert [name for name, keys in confidence(call).items() if "credits" in keys] == [how]


def test_what_is_written_to_the_cache_is_compared_too() -> None:
    figures = "inputTokens cachedInputTokens uncachedInputTokens outputTokens reasoningTokens"
    more = "totalTokens cacheRatio costUsd contextPercent"
    before: dict[str, Any] = dict.fromkeys((*figures.split(), *more.split()), 5)
    before |= {"cacheWriteTokens": 300, "cacheWrite1hTokens": 0}
    found = deltas({**before, "cacheWriteTokens": 200, "cacheWrite1hTokens": 150}, before)
    assert found is not None
    assert (found["cacheWriteTokens"], found["cacheWrite1hTokens"]) == (-100, 150)
