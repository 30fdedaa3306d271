"""Durations as histograms that add up by one addition, and what quarters make up a span. Pure.

A histogram is one number: each bucket's count in 32 bits of its own, the lowest bucket first.
Durations up to 63 ms have a bucket each; above, a bucket is 5 % wide, so that a percentile taken
from it is at most 2.5 % off.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping

_EXACT = 64
_GROWTH = math.log(1.05)
_LAST = 419  # 24 days; what took longer counts as that
_BITS = 32

# Histograms are kept of these many quarters of an hour each: a quarter, an hour, a day (UTC).
UNITS = (1, 4, 96)


def bucket(ms: int) -> int:
    """The bucket of a duration."""
    if ms < _EXACT:
        return max(0, ms)
    return min(_LAST, _EXACT + int(math.log(ms / _EXACT) / _GROWTH))


def middle(number: int) -> int:
    """The duration that stands for a bucket."""
    if number < _EXACT:
        return number
    return round(_EXACT * math.exp((number - _EXACT + 0.5) * _GROWTH))


def number(counts: Mapping[int, int]) -> int:
    """Counts by bucket as one number."""
    return sum(count << (_BITS * name) for name, count in counts.items())


def packed(whole: int) -> bytes:
    """The number as it is stored: no longer than its highest bucket needs."""
    return whole.to_bytes(-(-whole.bit_length() // _BITS) * _BITS // 8, "little")


def unpacked(data: bytes) -> int:
    """The number that was stored."""
    return int.from_bytes(data, "little")


def durations(whole: int) -> Counter[int]:
    """How often each duration came, by the one that stands for its bucket."""
    data = packed(whole)
    counts = struct.unpack(f"<{len(data) // 4}I", data)
    return Counter({middle(name): count for name, count in enumerate(counts) if count})


def stretches(first: int, end: int) -> Iterable[tuple[int, int, int]]:
    """Whole units (unit, first, end) that make up the quarters `first` to `end`, end left out.

    As few as can be: the days inside, the hours around them, the quarters at both ends.
    """
    if first >= end:
        return
    yield from _within(first, end, len(UNITS) - 1)


def _within(first: int, end: int, level: int) -> Iterable[tuple[int, int, int]]:
    unit = UNITS[level]
    low, high = -(-first // unit) * unit, end // unit * unit
    if low >= high:
        if level:
            yield from _within(first, end, level - 1)
        return
    if first < low:
        yield from _within(first, low, level - 1)
    yield unit, low, high
    if high < end:
        yield from _within(high, end, level - 1)


def count(whole: int) -> int:
    """How many durations there are in all."""
    data = packed(whole)
    return sum(struct.unpack(f"<{len(data) // 4}I", data))
