"""A span of time in steps: the hours, local days, weeks or months of a line."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

from server.times import iso
from server.usage.days import QUARTER, Days
from server.usage.outcomes import percentile

_HOUR = 3_600_000
# How long a span each step suits; a longer one has months.
_SUITS = (("hour", 3 * 24 * _HOUR), ("day", 93 * 24 * _HOUR), ("week", 800 * 24 * _HOUR))

Histograms = dict[int, Counter[int]]  # by step: how often each value came


PROVIDERS = ("codex", "claude")


class Span(NamedTuple):
    """A stretch of time, in ms, its end left out, and whose calls or events; "" is everybody's."""

    since: int
    until: int
    provider: str = "codex"

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers that are meant."""
        return (self.provider,) if self.provider else PROVIDERS

    @property
    def whose(self) -> str:
        """The providers that are meant as a JSON list, for a condition of SQL."""
        return json.dumps(self.providers)

    def values(self) -> tuple[int, int, str]:
        """Both ends and `whose`."""
        return self.since, self.until, self.whose

    def quarters(self) -> tuple[int, int, str]:
        """The first quarter of an hour, the first after the last, and `whose`."""
        return self.since // QUARTER, -(-self.until // QUARTER), self.whose


def whole_quarters(span: Span) -> Span:
    """The span with the quarters of an hour that it touches in full."""
    first, end, _ = span.quarters()
    return Span(first * QUARTER, end * QUARTER, span.provider)


class Steps:
    """The hours of a short span, the viewer's days, weeks or months of a longer one."""

    def __init__(self, span: Span, days: Days) -> None:
        self._days = days
        length = span.until - span.since
        self.name = next((name for name, most in _SUITS if length <= most), "month")
        self.starts = list(self._all(span)) if span.until > span.since else []

    def of(self, at: int) -> int:
        """The start of the step that a moment lies in."""
        return self.starts[max(0, bisect_right(self.starts, at) - 1)]

    def index(self, quarter: int) -> int:
        """The start of the step that a quarter of an hour lies in."""
        return self.of(quarter * QUARTER)

    def sums(self, rows: Iterable[tuple[int, int]]) -> dict[int, int]:
        """Values by quarter added up by step."""
        found: dict[int, int] = defaultdict(int)
        for quarter, value in rows:
            found[self.index(quarter)] += value
        return found

    def distinct(self, rows: Iterable[tuple[int, str]]) -> dict[int, int]:
        """How many different names came in each step."""
        found: dict[int, set[str]] = defaultdict(set)
        # There can be a row for each call: nothing is called here but what must be.
        starts = self.starts
        firsts = [-(-start // QUARTER) for start in starts[1:]]
        for quarter, name in rows:
            found[starts[bisect_right(firsts, quarter)]].add(name)
        return {at: len(names) for at, names in found.items()}

    def bounds(self, span: Span) -> list[tuple[int, int, int]]:
        """Each step's start, its first quarter within the span, and the first after it."""
        ends = [*self.starts[1:], span.until]
        return [
            (start, max(start, span.since) // QUARTER, end // QUARTER)
            for start, end in zip(self.starts, ends, strict=True)
        ]

    def points(self, values: Mapping[int, Any], empty: Any = 0) -> list[dict[str, Any]]:
        """One point a step, `empty` where nothing happened."""
        return [{"t": iso(at), "v": values.get(at, empty)} for at in self.starts]

    def p95(self, histograms: Histograms) -> list[dict[str, Any]]:
        """The 95th percentile by step; None where nothing was measured."""
        return self.points({at: percentile(h, 0.95) for at, h in histograms.items()}, None)

    def _all(self, span: Span) -> Iterable[int]:
        at = self._start(span.since)
        while at < span.until:
            yield at
            if self.name == "hour":
                at += _HOUR
            else:
                at = self._days.start(self._next(date.fromisoformat(self._days.of(at))))

    def _start(self, at: int) -> int:
        day = date.fromisoformat(self._days.of(at))
        if self.name == "week":
            day -= timedelta(days=day.weekday())
        elif self.name == "month":
            day = day.replace(day=1)
        midnight = self._days.start(day)
        return midnight + (at - midnight) // _HOUR * _HOUR if self.name == "hour" else midnight

    def _next(self, day: date) -> date:
        if self.name == "month":
            return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        return day + timedelta(days=7 if self.name == "week" else 1)


def overall(histograms: Histograms) -> float | None:
    """The 95th percentile of all steps together."""
    return percentile(sum(histograms.values(), Counter()), 0.95)
