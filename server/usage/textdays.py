"""The days of a text, or of models and efforts: their charts, where sessions in memory tell them.

Most sessions lie within a day and keep to one model, project and account: their sums are those of
that day. Of the others the rows of each day are read. Of a session of which only some models or
efforts count, memory has the sums of those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from itertools import chain
from typing import Any

from server.store import db
from server.usage import names, textthreads
from server.usage.slices import Filter, Found, Held

_TOLD = ("calls", "input", "cached", "output", "reasoning", "cost", "unpriced", "estimated")
_NO_SESSION = 0  # in a rollup, of calls that belong to none


class TextDays:
    """The days, of the zone that is set, of a filter that `textthreads.does`, within the
    `names.known` that it was looked up in.
    """

    def __init__(self, wanted: Filter, known: names.Names, first: str, last: str) -> None:
        self._wanted, self._known = wanted, known
        self._low, self._high = (date.fromisoformat(day).toordinal() for day in (first, last))
        held = (wanted.found.held if wanted.found else None) or Held(set(), [])
        active, asks = bool(wanted.history), textthreads.asks(wanted)
        self._asks = asks is not None
        among: Iterable[int] = known.holders(held, active=active)
        shares: dict[int, names.Share] = {}
        if asks is not None:
            among, shares = _either(among, *known.sharing(asks))
            if active:
                among = (one for one in among if not known.archived[one])
                shares = {one: of for one, of in shares.items() if not known.archived[one]}
        self._one, self._at, self._several = self._apart(among)
        # The sessions of which only some calls count.
        self._part, self._part_at, self._parts_several = self._apart(shares)
        self._shares = [*map(shares.__getitem__, self._part)]

    def _apart(self, among: Iterable[int]) -> tuple[list[int], list[int], list[int]]:
        """The sessions of one of the days, which that is, and those that may have calls on some."""
        one: list[int] = []
        days: list[int] = []
        several: list[int] = []
        day, low, high = self._known.day, self._low, self._high
        for session in among:
            at = day[session]
            if low <= at <= high:
                one.append(session)
                days.append(at)
            elif at == names.SEVERAL:
                several.append(session)
        return one, days, several

    def sums(self) -> list[tuple[str, tuple[int, ...]]]:
        """The sums of each day; a day may be told in parts."""
        totals: dict[int, int] = {}
        for at, total in zip(self._at, map(self._known.sums.__getitem__, self._one), strict=True):
            totals[at] = totals.get(at, 0) + total
        for at, share in zip(self._part_at, self._shares, strict=True):
            totals[at] = totals.get(at, 0) + share.sums
        told = [(_name(at), _sums(total)) for at, total in totals.items()]
        sums = ", ".join(f"sum(l.{name})" for name in _TOLD)
        read = self._read(f"l.day, {sums}", "group by l.day", self._several, self._parts_several)
        return told + [(_name(at), tuple(row)) for at, *row in read]

    def named(self, heading: str) -> list[tuple[str, str, int]]:
        """The tokens of each name under a heading by day; both may be told in parts."""
        known, totals = self._known, dict[tuple[int, str], int]()
        apart, parts = [*self._several], [*self._parts_several]
        label = known.labels[heading]
        first, output = known.plain["input"], known.plain["output"]
        for at, session in zip(self._at, self._one, strict=True):
            name = label[session]
            if name is None:
                apart.append(session)
                continue
            key = (at, name)
            totals[key] = totals.get(key, 0) + first[session] + output[session]
        for at, session, (sums, _) in zip(self._part_at, self._part, self._shares, strict=True):
            name = label[session]
            if name is None:
                parts.append(session)
                continue
            key = (at, name)
            tokens = names.field("input", sums) + names.field("output", sums)
            totals[key] = totals.get(key, 0) + tokens
        columns = f"l.day, l.{heading}, sum(l.input + l.output)"
        read = self._read(columns, "group by 1, 2", apart, parts)
        listed = [(at, name, tokens) for (at, name), tokens in totals.items()]
        days = {at: _name(at) for at in {at for at, *_ in chain(listed, read)}}
        return [(days[at], name, tokens) for at, name, tokens in (*listed, *read)]

    def listed(self) -> Filter:
        """The filter with no other sessions named, if it names any, than may have calls on these
        days.
        """
        seen = self._wanted.found
        if seen is None:
            return self._wanted
        ids = map(self._known.sessions.__getitem__, (*self._one, *self._several))
        return replace(self._wanted, found=Found(str([*ids]), seen.models, seen.efforts))

    def _read(
        self, columns: str, how: str, whole: list[int], parts: list[int]
    ) -> list[tuple[Any, ...]]:
        """What the rows of each day say of some of the sessions, of some of which only a part
        counts, and of the calls of none.
        """
        found: list[tuple[Any, ...]] = []
        for ids, condition, given in self._sources(whole, parts):
            found += db.rows(
                f"select {columns} from json_each(?) e "  # noqa: S608
                "cross join stretch l on l.session = e.value "
                f"where l.day between ? and ? and {condition} {how}",
                (str(ids), self._low, self._high, *given),
            )
        return found

    def _sources(
        self, whole: list[int], parts: list[int]
    ) -> Iterator[tuple[list[int], str, list[Any]]]:
        """The sessions whose rows are read, with the condition on those."""
        id_of = self._known.sessions.__getitem__
        if whole:
            yield [*map(id_of, whole)], "1", []
        if self._asks:  # the model of a call tells it, even if the call is of no session
            yield [_NO_SESSION, *map(id_of, parts)], *textthreads.named(self._wanted)

    def sessions(self) -> dict[int, set[int]]:
        """The sessions with calls on each day, by what they count as."""
        known, found = self._known, defaultdict[int, set[int]](set)
        counted = known.counted
        one, days = chain(self._one, self._part), chain(self._at, self._part_at)
        for at, session in zip(days, map(counted.__getitem__, one), strict=True):
            found[at].add(session)
        columns = "distinct l.day, l.session"
        for at, session in self._read(columns, "", self._several, self._parts_several):
            if session != _NO_SESSION:
                found[at].add(counted[known.number[session]])
        return found


def _either(
    held: Iterable[int], whole: set[int], some: dict[int, names.Share]
) -> tuple[set[int], dict[int, names.Share]]:
    """The sessions that hold a text or are wholly of what is asked, and what counts of others."""
    whole.update(held)
    return whole, {session: share for session, share in some.items() if session not in whole}


def between(sessions: dict[int, set[int]], start: date, stop: date) -> int:
    """How many of the sessions of days had calls on some of those."""
    low, high = start.toordinal(), stop.toordinal()
    return len(set().union(*(among for at, among in sessions.items() if low <= at <= high)))


def _name(day: int) -> str:
    return date.fromordinal(day).isoformat()


def _sums(total: int) -> tuple[int, ...]:
    return tuple(names.field(name, total) for name in _TOLD)
