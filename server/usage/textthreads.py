"""The threads of a text, or of models and efforts, where a filter asks no more but the history.

Of most of the threads of a text all sessions have it: their stored sums hold, and indexes have them
in every order. Only those of which a part has it are summed up, from the rows of their sessions.
Most sessions keep to one model: what is said of the sessions with a text holds for them, and of the
others it is known in memory what their calls come to by model.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from heapq import nlargest, nsmallest
from itertools import chain, islice
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
    """Whether a filter, its text looked up if it has one, is one of these."""
    if not slices.bare(replace(wanted, text="", meant=(), found=None, models=(), efforts=())):
        return False
    named, seen = bool(wanted.models or wanted.efforts), wanted.found
    if not wanted.text:
        return named
    return not named and seen is not None and seen.held is not None and not seen.calls


def asks(wanted: Filter) -> Callable[[str, str], bool] | None:
    """Which models and efforts count, whatever the session; None where none does."""
    models, efforts = wanted.models, wanted.efforts
    if not wanted.text:
        return lambda model, effort: (
            (not models or model in models) and (not efforts or effort in efforts)
        )
    seen = wanted.found
    if seen is None or seen.plain:
        return None
    return lambda model, effort: model in seen.models or effort in seen.efforts


def named(wanted: Filter) -> tuple[str, list[Any]]:
    """The condition on a rollup `l` that is met where `asks` tells that a call counts."""
    seen = wanted.found
    models, efforts = (seen or wanted).models, (seen or wanted).efforts
    parts = [
        f"l.{column} in ({','.join('?' * len(listed))})"
        for column, listed in (("model", models), ("effort", efforts))
        if listed
    ]
    return f"({(' or ' if seen else ' and ').join(parts)})", [*models, *efforts]


class Threads:
    """The threads of such a filter, within the `names.known` that it was looked up in."""

    def __init__(self, wanted: Filter, known: names.Names, *, titling: bool = True) -> None:
        self._wanted, self._known = wanted, known
        self._part = slices.part(wanted)
        held = wanted.found.held if wanted.found else None
        self._whole, self._some = held or Held(set(), [])
        self._shares: dict[int, names.Share] = {}  # of the other sessions
        self._asks = asks(wanted)
        if self._asks is not None:
            self._share(self._asks)
        if wanted.history:
            self._whole = {thread for thread in self._whole if known.active[thread]}
            self._keep(lambda session: not known.archived[session])
        thread_of = known.thread_of
        some = {*map(thread_of.__getitem__, chain(self._some, self._shares))}
        out: set[int] = set()
        if not titling:
            titles = known.used(thread for (thread,) in db.rows(TITLING))
            out = titles & (self._whole | some)
            self._whole, some = self._whole - out, some - out
            if out:
                self._keep(lambda session: thread_of[session] not in out)
        self._of_some = some
        self.apart = len(out)  # how many are left out, as they only find a title
        self._total = known.total(Held(self._whole, self._some), active=bool(wanted.history))
        self._total += sum(share.sums for share in self._shares.values())

    def _share(self, asks: Callable[[str, str], bool]) -> None:
        """Add the calls whose model and effort are asked for."""
        thread_of, size = self._known.thread_of, self._known.size
        sessions, shares = self._known.sharing(asks)
        sessions.update(self._some)
        counts = Counter(map(thread_of.__getitem__, sessions))
        whole = self._whole | {thread for thread, count in counts.items() if count == size[thread]}
        self._whole = whole
        self._some = [session for session in sessions if thread_of[session] not in whole]
        self._shares = {
            session: share
            for session, share in shares.items()
            if session not in sessions and thread_of[session] not in whole
        }

    def _keep(self, which: Callable[[int], bool]) -> None:
        """Keep some of the sessions of threads of which a part counts."""
        self._some = [*filter(which, self._some)]
        self._shares = {one: share for one, share in self._shares.items() if which(one)}

    def __len__(self) -> int:
        return len(self._whole) + len(self._of_some)

    def measures(self) -> dict[str, Any]:
        """The sums of all of them, and the ends of those measures that anything was counted of;
        with the calls of no session that count.
        """
        asks = self._asks
        loose = (
            names.shares_of([0]).get(0, {}).items() if asks else ()  # their model tells it
        )
        shares = [*self._shares.values(), *(share for pair, share in loose if asks and asks(*pair))]
        among = sum(share.sums for pair, share in loose if asks and asks(*pair))
        found: dict[str, Any] = names.unpacked(self._total + among)
        found["credits"] = found["credits"] if found["rated"] else None
        held, active = Held(self._whole, self._some), bool(self._wanted.history)
        for count, end, pick in (
            ("bloat", "max_context", max),
            ("misses", "least_cache", min),
            ("spikes", "most_reasoning", max),
        ):
            place, known = names.ENDS.index(end), self._known.ends[end]
            values = chain(
                map(known.__getitem__, self._known.holders(held, active=active)),
                (share.ends[place] for share in shares),
            )
            told = (value for value in values if value >= 0) if found[count] else iter(())
            found[end] = pick(told, default=None)
        return found

    def first(
        self, sort: str, need: int, after: tuple[Any, ...] = (), *, descending: bool = True
    ) -> list[Place]:
        """The first threads by a sort, after a place."""
        if sort in _NAMED:
            return self._stored(sort, need, after, descending, self._whole | self._of_some)
        found = self._stored(sort, need, after, descending, self._whole)
        if sort != "attention":
            found += self._of_part(sort, need, after, descending)
            found.sort(reverse=descending)
            return found[:need]
        found.sort(reverse=descending)
        for few in self._likely(need, descending):
            if len(found) >= need and not _before(few[0], found[need - 1], descending):
                break  # nor is any behind it
            exact = self._summed(SORTS[sort], [thread for _, thread in few])
            found += [one for one in exact if not after or _before(after, one, descending)]
            found.sort(reverse=descending)
        return found[:need]

    def _likely(self, need: int, descending: bool) -> Iterator[list[Place]]:
        """The threads of which a part counts, in the order of the most attention they can ask."""
        threads, bounds = self._known.threads, self._bounds("attention")
        if not descending:  # the bound is an upper one
            bounds = dict.fromkeys(bounds, -1.0)
        step = max(need, _LEAST)
        while bounds:
            few = _foremost(bounds, step, descending)
            places = sorted(((bounds[one], threads[one]) for one in few), reverse=descending)
            for start in range(0, len(places), step):
                yield places[start : start + step]
            bounds = {one: most for one, most in bounds.items() if one not in few}
            step *= 4

    def _of_part(
        self, sort: str, need: int, after: tuple[Any, ...], descending: bool
    ) -> list[Place]:
        """The first of the threads of which a part counts, by what sums in memory tell."""
        threads, values = self._known.threads, self._bounds(sort)
        if after:
            values = {
                one: value
                for one, value in values.items()
                if _before(after, (value, threads[one]), descending)
            }
        return [(values[one], threads[one]) for one in _foremost(values, need, descending)]

    def _bounds(self, sort: str) -> dict[int, float]:
        """The threads of which a part counts, with what `SORTS` makes of it; of attention, with
        the most that it can make of it.
        """
        if sort in _LARGEST:
            return self._ends(_LARGEST[sort])
        if sort in _ADDED:
            found = self._added(_ADDED[sort])
            if sort == "attention":
                return {one: value / 100 for one, value in found.items()}
            if sort == "cost":
                bound = _BOUNDS["cost"]
                unknown = {one for one, value in found.items() if not value}
                return found | {one: bound(self._totals[one]) for one in unknown}
            return found
        bound = _BOUNDS[sort]
        return {thread: bound(total) for thread, total in self._totals.items()}

    def _ends(self, end: str) -> dict[int, float]:
        """The largest of what counts of each thread of which a part does."""
        most: dict[int, float] = {}
        place, values = names.ENDS.index(end), self._known.ends[end]
        shared = (share.ends[place] for share in self._shares.values())
        for thread, value in zip(
            self._owners, chain(map(values.__getitem__, self._some), shared), strict=True
        ):
            if value >= most.get(thread, value):
                most[thread] = value
        return most

    def _added(self, fields: tuple[str, ...]) -> dict[int, float]:
        """The sum of some fields by thread of which a part counts."""
        sums: dict[int, float] = {}
        for name in fields:
            values = map(self._known.plain[name].__getitem__, self._some)
            shared = (names.field(name, share.sums) for share in self._shares.values())
            for thread, value in zip(self._owners, chain(values, shared), strict=True):
                sums[thread] = sums.get(thread, 0) + value
        return sums

    @cached_property
    def _owners(self) -> list[int]:
        """Whose thread each of the sessions is of which a part counts."""
        return [*map(self._known.thread_of.__getitem__, chain(self._some, self._shares))]

    @cached_property
    def _totals(self) -> dict[int, int]:
        """The sums of what counts of each thread of which a part does."""
        thread_of, sums = self._known.thread_of, self._known.sums
        totals: dict[int, int] = {}
        for session in self._some:
            thread = thread_of[session]
            totals[thread] = totals.get(thread, 0) + sums[session]
        for session, share in self._shares.items():
            thread = thread_of[session]
            totals[thread] = totals.get(thread, 0) + share.sums
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
        """What sums up the sessions of threads of which a part counts, by thread; only what
        `needed` names, if it names any.
        """
        members = self._known.within(map(self._known.thread_number.__getitem__, threads))
        columns = slices.measures(needed=needed) or "sum(l.calls) as calls"
        kinds = ""
        if not needed or "g.subagents" in needed:
            kinds = f"{slices.KINDS}, "
        if not needed:
            kinds = f"min(l.provider) as provider, {kinds}"
        source, values = self._sources([*members])
        if source.startswith("json_each"):  # each session is one row
            kinds = kinds.replace("distinct ", "")
        only = slices.kept(self._wanted, "l.")
        sql = (
            f"select s.thread as thread, {kinds}{columns} from {source} "  # noqa: S608
            f"cross join session s on s.id = l.session where 1{only} group by s.thread"
        )
        return sql, values

    def _sources(self, members: list[int]) -> tuple[str, list[Any]]:
        """The rows `l` of those of some sessions that count, or of what counts of them."""
        ids, some = self._known.sessions, self._set_of_some
        given = str([ids[one] for one in members if one in some])
        rows = "json_each(?) e cross join session_usage l on l.session = e.value"
        shared = [ids[one] for one in members if one in self._shares]
        if not shared:
            return rows, [given]
        condition, values = named(self._wanted)
        names_of = f"l.session, l.provider, l.archived, {slices.columns('l')}"
        return (
            f"(select {names_of} from {rows} union all select {names_of} "  # noqa: S608
            "from json_each(?) e cross join stretch l on l.session = e.value "
            f"where {condition}) l",
            [given, str(shared), *values],
        )

    @cached_property
    def _set_of_some(self) -> set[int]:
        return {*self._some}

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


def _foremost(values: dict[int, float], count: int, descending: bool) -> set[int]:
    """Those of the first values, and all that are as much as the last of them."""
    if len(values) <= count:
        return {*values}
    if descending:
        last = nlargest(count, values.values())[-1]
        return {one for one, value in values.items() if value >= last}
    last = nsmallest(count, values.values())[-1]
    return {one for one, value in values.items() if value <= last}


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


# What `SORTS` orders by, of a total or as the largest of its sessions. Of attention it is a bound:
# a thread asks for no more than its sessions do together, as each summand is at most the sum of
# theirs, or the largest of theirs.
_ADDED = {
    "tokens": ("input", "output"),
    "calls": ("calls",),
    "cost": ("cost",),
    "attention": ("score",),
}
_LARGEST = {"time": "last_at", "context": "max_context"}
_BOUNDS: dict[str, Callable[[int], float]] = {
    "cost": _cost,
    "credits": _of("credits", "rated"),
    "cache": _ratio,
    "duration": _of("duration", "timed"),
}
