"""Histograms that add up, and the units that make up a span."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from server.usage import histogram
from server.usage.outcomes import percentile


def test_an_addition_adds_every_bucket() -> None:
    one, other = Counter({0: 3, 63: 1, 200: 7}), Counter({0: 2, 200: 1, 419: 9})
    whole = histogram.number(one) + histogram.number(other)
    again = histogram.unpacked(histogram.packed(whole))
    expected = Counter({histogram.middle(name): n for name, n in (one + other).items()})
    assert histogram.durations(again) == expected
    assert histogram.count(again) == (one + other).total()


def test_nothing_is_nothing() -> None:
    assert histogram.packed(0) == b""
    assert histogram.durations(histogram.unpacked(b"")) == Counter()


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        pytest.param(-5, 0, id="a clock that went back"),
        pytest.param(0, 0, id="no time at all"),
        pytest.param(63, 63, id="the last that is exact"),
        pytest.param(10**15, 419, id="a broken clock has a bucket too"),
    ],
)
def test_where_a_duration_goes(ms: int, expected: int) -> None:
    assert histogram.bucket(ms) == expected


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_percentile_is_three_percent_off_at_most(share: float) -> None:
    draw = random.Random(5)
    values = Counter(int(draw.lognormvariate(6, 2)) for _ in range(5000))
    buckets: Counter[int] = Counter()
    for ms, number in values.items():
        buckets[histogram.bucket(ms)] += number
    exact = percentile(values, share)
    found = percentile(histogram.durations(histogram.number(buckets)), share)
    assert found == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize(
    ("first", "end"),
    [(0, 96), (1, 2), (3, 5), (95, 97), (5, 500), (96, 96 * 31), (7, 7), (100, 103), (2, 95)],
)
def test_the_units_make_up_the_span_once(first: int, end: int) -> None:
    found = list(histogram.stretches(first, end))
    quarters = [q for unit, low, high in found for q in range(low, high)]
    assert quarters == list(range(first, end))
    assert all(low % unit == high % unit == 0 for unit, low, high in found)
    assert len(found) <= 5
