"""How long tools, commands and requests took: exact for few, from histograms for many."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import orjson

from server.store import db
from server.usage import histogram
from server.usage.outcomes import percentile
from server.usage.steps import Histograms, Span, Steps, overall

# So many values are looked at singly; above, a histogram answers as quickly for any number.
_EXACTLY = 2000
# The tools that run commands.
COMMANDS = frozenset(
    ("exec_command", "shell", "shell_command", "local_shell", "unified_exec", "container.exec",
     "Bash")
)  # fmt: skip
_TOOL = "tool "


class Durations:
    """Percentiles of the durations of a span, by step and as a whole.

    Kinds: tools, commands (a part of the tools), requests, and all, whatever it measures.
    """

    def __init__(self, span: Span, steps: Steps) -> None:
        self._span, self._steps = span, steps

    def p95(self, kind: str) -> list[dict[str, Any]]:
        """The 95th percentile by step; None where nothing was measured."""
        return self._steps.p95(self._found[kind])

    def overall(self, kind: str) -> float | None:
        """The 95th percentile of the span."""
        return overall(self._found[kind])

    def of_tool(self, tool: str) -> float | None:
        """The 95th percentile of one tool."""
        if self.estimated("tools"):
            return percentile(histogram.durations(self._sum(_TOOL + tool)), 0.95)
        return percentile(Counter(ms for name, _, ms in self._tools if name == tool), 0.95)

    def estimated(self, kind: str) -> bool:
        """Whether a histogram tells it, within 3 %."""
        if kind in ("tools", "commands"):
            return self._number(_series(self._span.whose, _TOOL)) > _EXACTLY
        return self._number([_PLAIN[kind]]) > _EXACTLY

    # ── where they are ────────────────────────────────────────────────────────────────

    @cached_property
    def _found(self) -> dict[str, Histograms]:
        return _Found(self)

    def by_step(self, kind: str) -> Histograms:
        """How often each duration came in each step."""
        if self.estimated(kind):
            if kind in ("tools", "commands"):
                series = _series(self._span.whose, _TOOL)
                if kind == "commands":
                    series = [name for name in series if name[len(_TOOL) :] in COMMANDS]
                return self._estimate(series)
            return self._estimate([_PLAIN[kind]])
        if kind == "all":
            return self._everything()
        if kind == "requests":
            return self._counted(self._requests())
        rows = [row for row in self._tools if kind == "tools" or row[0] in COMMANDS]
        return self._counted((at, ms) for _, at, ms in rows)

    def _counted(self, rows: Iterable[tuple[int, int]]) -> Histograms:
        found: Histograms = defaultdict(Counter)
        for at, ms in rows:
            found[self._steps.of(at)][ms] += 1
        return found

    def _estimate(self, series: list[str]) -> Histograms:
        found: Histograms = {}
        for start, first, end in self._steps.bounds(self._span):
            whole = sum(self._sum(name, first, end) for name in series)
            if whole:
                found[start] = histogram.durations(whole)
        return found

    def _sum(self, series: str, first: int | None = None, end: int | None = None) -> int:
        low, high, whose = self._span.quarters()
        low, high = (low if first is None else first), (high if end is None else end)
        whole = 0
        for unit, begin, stop in histogram.stretches(low, high):
            for (counts,) in db.rows(
                "select counts from telemetry_histogram "
                "where provider in (select value from json_each(?)) and series = ? "
                "and unit = ? and quarter >= ? and quarter < ?",
                (whose, series, unit, begin, stop),
            ):
                whole += histogram.unpacked(counts)
        return whole

    def _number(self, series: list[str]) -> int:
        """How many values there are, as far as that decides anything."""
        found = 0
        for name in series:
            if name not in self._counts:
                self._counts[name] = histogram.count(self._sum(name))
            found += self._counts[name]
        return found

    @cached_property
    def _counts(self) -> dict[str, int]:
        return {}

    @cached_property
    def _tools(self) -> list[tuple[str, int, int]]:
        """Tool, time and duration of each tool's result."""
        return db.rows(
            "select coalesce(tool, ''), at, duration_ms from telemetry_event "
            "where at >= ? and at < ? and provider in (select value from json_each(?)) "
            "and name in ('codex.tool_result', 'claude_code.tool_result') "
            "and duration_ms is not null",
            self._span.values(),
        )

    def _requests(self) -> list[tuple[int, int]]:
        return db.rows(
            "select at, duration_ms from telemetry_event where at >= ? and at < ? "
            "and provider in (select value from json_each(?)) and duration_ms is not null "
            "and (name = 'claude_code.api_request' "
            "or (name = 'codex.api_request' and kind like '%/responses'))",
            self._span.values(),
        )

    def _everything(self) -> Histograms:
        found: Histograms = defaultdict(Counter)
        where = (
            "from telemetry_event where at >= ? and at < ? "
            "and provider in (select value from json_each(?))"
        )
        for at, ms, number in db.rows(
            f"select at, duration_ms, count {where} and duration_ms is not null",  # noqa: S608
            self._span.values(),
        ):
            found[self._steps.of(at)][ms] += number
        for at, attributes in db.rows(
            f"select at, attributes {where} and count > 1",  # noqa: S608
            self._span.values(),
        ):
            for text, number in orjson.loads(attributes).get("durations", {}).items():
                found[self._steps.of(at)][int(text)] += number
        return found


_PLAIN = {"requests": "request", "all": "all"}


class _Found(dict[str, Histograms]):
    """Each kind's histograms, made when they are first asked for."""

    def __init__(self, durations: Durations) -> None:
        super().__init__()
        self._durations = durations

    def __missing__(self, kind: str) -> Histograms:
        self[kind] = self._durations.by_step(kind)
        return self[kind]


def _series(whose: str, start: str) -> list[str]:
    """The series that begin so: one a tool."""
    # Days (of which there are few) tell which tools there ever were.
    found = db.rows(
        "select distinct series from telemetry_histogram "
        "where provider in (select value from json_each(?)) and series >= ? "
        "and series < ?",
        (whose, start, start + "\U0010ffff"),
    )
    return [name for (name,) in found]
