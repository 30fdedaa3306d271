"""The threads of a text, where a filter asks no more than that and the history.

Of most of these threads all sessions have the text: their stored sums hold, and indexes have them
in every order. Only those of which a part has it are summed up, from the rows of their sessions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any

from server.store import db
from server.usage import names, slices, titled
from server.usage.slices import Filter, Held
from server.usage.threadsums import COLUMNS, SORTS, TITLING

_NAMED = ("thread", "model", "effort")  # what a thread has, whichever of its sessions are found
_FEW = 200  # threads that are looked at one by one
_LEAST = 40  # threads that are summed up at once
Place = tuple[Any, ...]  # what a thread is ordered by, and its name


def does(wanted: Filter) -> bool:
    """Whether a filter whose text is looked up is one of these."""
    rest = replace(wanted, text="", meant=(), found=None)
    seen = wanted.found
    return seen is not None and seen.held is not None and seen.plain and slices.bare(rest)


class Threads:
    """The threads of such a filter, within the `names.known` that it was looked up in."""

    def __init__(self, wanted: Filter, known: names.Names, *, titling: bool = True) -> None:
        self._wanted, self._known = wanted, known
        self._part = slices.part(wanted)
        held = wanted.found.held if wanted.found else None
        self._whole, self._some = held or Held(set(), [])
        if wanted.history:
            self._whole = {thread for thread in self._whole if known.active[thread]}
            self._some = [session for session in self._some if not known.archived[session]]
        some = {*map(known.thread_of.__getitem__, self._some)}
        out: set[int] = set()
        if not titling:
            titles = known.used(thread for (thread,) in db.rows(TITLING))
            out = titles & (self._whole | some)
            self._whole, some = self._whole - out, some - out
            self._some = [one for one in self._some if known.thread_of[one] not in out]
        self._of_some = some
        self.apart = len(out)  # how many are left out, as they only find a title
        self._total = known.total(Held(self._whole, self._some), active=bool(wanted.history))

    def __len__(self) -> int:
        return len(self._whole) + len(self._of_some)

    def measures(self) -> dict[str, Any]:
        """The sums of all of them, and the ends of those measures that anything was counted of."""
        found: dict[str, Any] = names.unpacked(self._total)
        found["credits"] = found["credits"] if found["rated"] else None
        held, active = Held(self._whole, self._some), bool(self._wanted.history)
        for count, end, pick in (
            ("bloat", "max_context", max),
            ("misses", "least_cache", min),
            ("spikes", "most_reasoning", max),
        ):
            values = map(
                self._known.ends[end].__getitem__, self._known.holders(held, active=active)
            )
            known = (value for value in values if value >= 0) if found[count] else iter(())
            found[end] = pick(known, default=None)
        return found

    def first(
        self, sort: str, need: int, after: tuple[Any, ...] = (), *, descending: bool = True
    ) -> list[Place]:
        """The first threads by a sort, after a place."""
        if sort in _NAMED:
            return self._stored(sort, need, after, descending, self._whole | self._of_some)
        found = self._stored(sort, need, after, descending, self._whole)
        found.sort(reverse=descending)
        for few in self._likely(sort, need, after, descending):
            if len(found) >= need and not _before(few[0], found[need - 1], descending):
                break  # nor is any behind it
            exact = self._summed(SORTS[sort], [thread for _, thread in few])
            found += [one for one in exact if not after or _before(after, one, descending)]
            found.sort(reverse=descending)
        return found[:need]

    def _likely(
        self, sort: str, need: int, after: tuple[Any, ...], descending: bool
    ) -> Iterator[list[Place]]:
        """The threads of which a part has the text, in the order of the best that they can be."""
        threads = self._known.threads
        best: list[Place] = [(most, threads[one]) for one, most in self._bounds(sort)]
        if sort == "attention":
            if not descending:  # the bound is an upper one
                best = [(-1.0, thread) for _, thread in best]
        elif after:
            best = [one for one in best if _before(after, one, descending)]
        best.sort(reverse=descending)
        step = max(need, _LEAST)
        for start in range(0, len(best), step):
            yield best[start : start + step]

    def _bounds(self, sort: str) -> Iterable[tuple[int, float]]:
        """The threads of which a part has the text, with the most that `SORTS` makes of it."""
        thread_of = self._known.thread_of
        if sort in _LARGEST:
            most: dict[int, int] = {}
            values = self._known.ends[_LARGEST[sort]]
            for session in self._some:
                thread, value = thread_of[session], values[session]
                if value >= most.get(thread, value):
                    most[thread] = value
            return most.items()
        bound = _BOUNDS[sort]
        return [(thread, bound(total)) for thread, total in self._totals.items()]

    @cached_property
    def _totals(self) -> dict[int, int]:
        """The sums of what has the text of each thread of which a part has it."""
        totals: dict[int, int] = {}
        for session in self._some:
            thread = self._known.thread_of[session]
            totals[thread] = totals.get(thread, 0) + self._known.sums[session]
        return totals

    def _stored(
        self, sort: str, need: int, after: tuple[Any, ...], descending: bool, among: set[int]
    ) -> list[Place]:
        """The first of some threads by what is stored of them: of many an index has the order."""
        order, name, source = SORTS[sort], "g.thread", f"thread_usage g where g.{self._part}"
        if sort in _NAMED:  # of all the thread's sessions, as is shown
            source = "thread_usage g where g.everything"
        if sort == "thread":
            order = titled.of_threads(self._wanted.names)
            name, source = ("t.id", "thread t where 1") if self._wanted.names else (name, source)
        way, beyond = ("desc", "<") if descending else ("asc", ">")
        values = [*after]
        if after:
            source += f" and ({order}, {name}) {beyond} (?, ?)"
        if len(among) < _FEW:
            source += f" and {name} in (select value from json_each(?))"  # noqa: S608
            values.append(json.dumps([*map(self._known.threads.__getitem__, among)]))
        sql = f"select {order}, {name} from {source} order by {order} {way}, {name} {way}"  # noqa: S608
        with db.reading() as connection:
            number = self._known.thread_number.get
            found = (one for one in connection.execute(sql, values) if number(one[1]) in among)
            return [*islice(found, need)]

    def _summed(self, order: str, threads: list[str]) -> list[Place]:
        """Threads of which a part has the text, with what they are ordered by."""
        sums, values = self._grouped(threads, order)
        return db.rows(f"select {order}, g.thread from ({sums}) g", values)  # noqa: S608

    def _grouped(self, threads: list[str], needed: str = "") -> tuple[str, list[Any]]:
        """What sums up the sessions of threads of which a part has the text, by thread; only what
        `needed` names, if it names any.
        """
        known, among = self._known, {*map(self._known.thread_number.get, threads)}
        sessions = [known.sessions[one] for one in self._some if known.thread_of[one] in among]
        columns = slices.measures(needed=needed) or "sum(l.calls) as calls"
        kinds = ""
        if not needed or "g.subagents" in needed:  # each session is one row
            kinds = f"{slices.KINDS.replace('distinct ', '')}, "
        if not needed:
            kinds = f"min(l.provider) as provider, {kinds}"
        only = slices.kept(self._wanted, "l.")
        sql = (
            f"select s.thread as thread, {kinds}{columns} from json_each(?) e "  # noqa: S608
            "cross join session_usage l on l.session = e.value cross join session s "
            f"on s.id = l.session where 1{only} group by s.thread"
        )
        return sql, [str(sessions)]

    def rows(self, threads: list[str]) -> list[tuple[Any, ...]]:
        """All that is known of some of the threads, in their order."""
        number = self._known.thread_number
        whole = [thread for thread in threads if number[thread] in self._whole]
        marks = ",".join("?" * len(whole))
        only = f"g.{self._part} and g.thread in ({marks})"
        found = db.rows(f"select {COLUMNS} from thread_usage g where {only}", whole)  # noqa: S608
        if len(whole) < len(threads):
            sums, values = self._grouped(threads)
            found += db.rows(f"select {COLUMNS} from ({sums}) g", values)  # noqa: S608
        known = {row[0]: row for row in found}
        return [known[thread] for thread in threads if thread in known]

    def sums(self) -> tuple[Any, ...]:
        """The sums of all of them."""
        return names.told(self._total)


def _before(one: Place, other: Place, descending: bool) -> bool:
    """Whether a place comes before another."""
    return tuple(one) > tuple(other) if descending else tuple(one) < tuple(other)


def _of(value: str, known: str) -> Callable[[int], float]:
    """A sum of a total; -1 where another, which counts what is known of it, is 0."""
    return lambda total: names.field(value, total) if names.field(known, total) else -1


def _ratio(total: int) -> float:
    first = names.field("input", total)
    return names.field("cached", total) / first if first else -1.0


def _cost(total: int) -> float:
    unknown = names.field("unpriced", total) == names.field("calls", total)
    return -1 if unknown else names.field("cost", total)


# What `SORTS` orders by, of a total or as the largest of its sessions. A thread asks for no more
# attention than its sessions do together: each summand of that is at most the sum of theirs, or
# the largest of theirs.
_LARGEST = {"time": "last_at", "context": "max_context"}
_BOUNDS: dict[str, Callable[[int], float]] = {
    "tokens": lambda total: names.field("input", total) + names.field("output", total),
    "calls": lambda total: names.field("calls", total),
    "cost": _cost,
    "credits": _of("credits", "rated"),
    "cache": _ratio,
    "duration": _of("duration", "timed"),
    "attention": lambda total: names.field("score", total) / 100,
}
