"""The days of a text: its charts, where sessions in memory tell them.

Most sessions lie within a day and keep to one model, project and account: their sums are those of
that day. Of the others the rows of each day are read.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date
from typing import Any

from server.store import db
from server.usage import names, slices
from server.usage.slices import Filter, Found, Held

_TOLD = ("calls", "input", "cached", "output", "reasoning", "cost", "unpriced", "estimated")


def does(wanted: Filter) -> bool:
    """Whether a filter, its text looked up, asks for no more than sessions that have it."""
    seen = wanted.found
    rest = replace(wanted, text="", meant=(), found=None)
    return seen is not None and seen.held is not None and seen.plain and slices.bare(rest)


class TextDays:
    """The days, of the zone that is set, of such a filter within its `names.known`."""

    def __init__(self, wanted: Filter, known: names.Names, first: str, last: str) -> None:
        self._wanted, self._known = wanted, known
        self._low, self._high = (date.fromisoformat(day).toordinal() for day in (first, last))
        held = wanted.found.held if wanted.found else None
        among = known.holders(held or Held(set(), []), active=bool(wanted.history))
        self._one: list[int] = []  # of one day
        self._at: list[int] = []  # which that is
        self._several: list[int] = []
        day, low, high = known.day, self._low, self._high
        for session in among:
            at = day[session]
            if low <= at <= high:
                self._one.append(session)
                self._at.append(at)
            elif at == names.SEVERAL:
                self._several.append(session)

    def sums(self) -> list[tuple[str, tuple[int, ...]]]:
        """The sums of each day."""
        totals: dict[int, int] = {}
        for at, total in zip(self._at, map(self._known.sums.__getitem__, self._one), strict=True):
            totals[at] = totals.get(at, 0) + total
        told = [(_name(at), _sums(total)) for at, total in totals.items()]
        sums = ", ".join(f"sum(l.{name})" for name in _TOLD)
        read = self._read(self._several, f"l.day, {sums}", "l.day")
        return told + [(_name(at), tuple(row)) for at, *row in read]

    def named(self, heading: str) -> list[tuple[str, str, int]]:
        """The tokens of each name under a heading by day."""
        known, totals, apart = self._known, dict[tuple[int, str], int](), [*self._several]
        label = known.labels[heading]
        first, output = known.plain["input"], known.plain["output"]
        for at, session in zip(self._at, self._one, strict=True):
            name = label[session]
            if name is None:
                apart.append(session)
                continue
            key = (at, name)
            totals[key] = totals.get(key, 0) + first[session] + output[session]
        read = self._read(apart, f"l.day, l.{heading}, sum(l.input + l.output)", "1, 2")
        listed = [(at, name, tokens) for (at, name), tokens in totals.items()]
        days = {at: _name(at) for at in {*self._at, *(row[0] for row in read)}}
        return [(days[at], name, tokens) for at, name, tokens in (*listed, *read)]

    def listed(self) -> Filter:
        """The filter with no other sessions named than may have calls on these days."""
        ids = map(self._known.sessions.__getitem__, (*self._one, *self._several))
        return replace(self._wanted, found=Found(str([*ids]), (), ()))

    def _read(self, sessions: list[int], columns: str, by: str) -> list[tuple[Any, ...]]:
        """What the rows of each day say of some of the sessions."""
        if not sessions:
            return []
        source, values = self._source(sessions)
        return db.rows(f"select {columns} {source} group by {by}", values)  # noqa: S608

    def _source(self, sessions: list[int]) -> tuple[str, list[Any]]:
        ids = str([*map(self._known.sessions.__getitem__, sessions)])
        return (
            "from json_each(?) e cross join stretch l on l.session = e.value "
            "where l.day between ? and ?",
            [ids, self._low, self._high],
        )

    def sessions(self) -> dict[int, set[int]]:
        """The sessions with calls on each day, by what they count as."""
        known, found = self._known, defaultdict[int, set[int]](set)
        counted = known.counted
        for at, one in zip(self._at, map(counted.__getitem__, self._one), strict=True):
            found[at].add(one)
        if self._several:
            source, values = self._source(self._several)
            read = db.rows(f"select distinct l.day, l.session {source}", values)  # noqa: S608
            for at, session in read:
                found[at].add(counted[known.number[session]])
        return found


def between(sessions: dict[int, set[int]], start: date, stop: date) -> int:
    """How many of the sessions of days had calls on some of those."""
    low, high = start.toordinal(), stop.toordinal()
    return len(set().union(*(among for at, among in sessions.items() if low <= at <= high)))


def _name(day: int) -> str:
    return date.fromordinal(day).isoformat()


def _sums(total: int) -> tuple[int, ...]:
    return tuple(names.field(name, total) for name in _TOLD)
