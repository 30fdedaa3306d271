"""All sessions with calls in memory: their keys, whose threads they are, and their sums.

So a text's sessions are found, and added up, without reading a row for each of them. The table
`session_name` numbers each change of a session: what is in memory is brought up by the rows with
higher numbers than those it has seen. It is the ledger's as of the same moment, as that table is
written in the transaction that sums up a session's calls.
"""

from __future__ import annotations

import json
import threading
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, compress, repeat
from operator import contains
from sys import intern
from typing import Any, NamedTuple

from server.store import db
from server.usage.slices import Held, measures
from server.usage.threadsums import SORTS

# What is added up, all of it as one number: a field has 64 bits. What mostly is 0 comes last, as
# that takes no memory. `score` is what asks for attention, in hundredths, rounded up.
FIELDS = (
    "calls", "input", "cached", "output", "reasoning", "cost", "duration", "timed", "score",
    "credits", "rated", "credited", "grown", "misses", "bloat", "spikes", "unpriced",
    "unpriced_tokens", "estimated", "estimated_tokens",
)  # fmt: skip
_TOTALS = ("calls", "input", "cached", "output", "reasoning", "cost", "unpriced", "estimated")
PLAIN = ("calls", "input", "output", "cost", "score")  # by which threads are often ordered
ENDS = ("last_at", "max_context", "least_cache", "most_reasoning")
_MADE = {
    "timed": "u.duration is not null",
    "rated": "u.credits is not null",
    "score": "cast(100 * {} as integer) + 2".format(
        SORTS["attention"]
        .replace("g.subagents", "(s.kind != 'review')")
        .replace("g.reviews", "(s.kind = 'review')")
        .replace("g.", "u.")
    ),
}
_BITS = 64
_SHIFTS = {name: place * _BITS for place, name in enumerate(FIELDS)}
_HALF, _WHOLE = 1 << (_BITS - 1), 1 << _BITS
_CHANGES = "select coalesce(max(change), 0) from session_name"
_ROWS = (
    "select n.change, n.session, n.thread, n.key, u.archived, coalesce(s.head, n.session), "  # noqa: S608
    f"{', '.join(f'coalesce(u.{name}, -1)' for name in ENDS)}, "
    f"{', '.join(_MADE.get(name, f'coalesce(u.{name}, 0)') for name in FIELDS)} "
    "from session_name n left join session_usage u on u.session = n.session "
    "left join session s on s.id = n.session where n.change > ? order by n.change"
)
# What the calls of sessions are of, and what they come to by that.
HEADINGS = ("model", "project", "account")
SEVERAL = 0  # no day has this number
_CELLS = (
    "select distinct l.session, l.day, l.effort, l.model, l.project, l.account "
    "from session_name n cross join stretch l on l.session = n.session where n.change > ?"
)
_MADE_OF = [_MADE.get(name, f"u.{name}") for name in FIELDS]
_SHARES = (
    "select u.session, u.model, u.effort, "  # noqa: S608
    f"{', '.join(f'coalesce(u.{name}, -1)' for name in ENDS)}, "
    f"{', '.join(f'coalesce({made}, 0)' for made in _MADE_OF)} "
    f"from (select l.session, l.model, l.effort, {measures()} from json_each(?) e "
    "cross join stretch l on l.session = e.value group by 1, 2, 3) u "
    "left join session s on s.id = u.session"
)
Pair = tuple[str, str]  # a model and an effort
_NOBODY = "\0"  # no text has it
_FIRST = 6  # columns before the ends
_SUMS = _FIRST + len(ENDS)
_PLAIN_AT = [(name, _SUMS + FIELDS.index(name)) for name in PLAIN]


class Share(NamedTuple):
    """Some of a session's calls: their sums as one number, and their `ENDS`."""

    sums: int
    ends: tuple[int, ...]


class Names:
    """What is known of the sessions and their threads. Each has a number, which it keeps."""

    def __init__(self) -> None:
        self.mark = 0
        self.number: dict[int, int] = {}  # of a session
        self.sessions: list[int] = []
        self.thread_of: list[int] = []
        self.sums: list[int] = []
        self.ends = {name: array("q") for name in ENDS}
        self.plain = {name: array("q") for name in PLAIN}
        self.archived = bytearray()
        self.counted = array("q")  # the session as which each counts
        self.day = array("q")  # of each session, of the zone that is set
        self.labels: dict[str, list[str | None]] = {name: [] for name in HEADINGS}  # None: several
        self._mixes: dict[tuple[Pair, ...], set[int]] = {}  # sessions by what their calls are of
        self._mix_of: list[tuple[Pair, ...]] = []
        self._shares: dict[int, tuple[Share, ...]] = {}  # of each of a mix, where it is of several
        self._keys: list[str] = []
        self._numbers: list[int] = []
        self.thread_number: dict[str, int] = {}
        self.threads: list[str] = []
        self.members: list[list[int]] = []  # the sessions of each thread
        self.size: list[int] = []  # how many those are
        self.active: list[int] = []  # how many of them are not archived
        self.totals: list[int] = []

    def take(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Learn changes, the oldest first; a session without a thread is none any more."""
        for row in rows:
            self.mark, session, thread, key, archived, counted = row[:_FIRST]
            number = self.number.get(session)
            if number is not None:
                self._count(number, -1)
                self._mix(number, ())
                self._keys[number] = _NOBODY
                del self.number[session]
            if thread is None:
                continue
            if number is None:
                number = self._new(session)
            self.number[session] = number
            self.thread_of[number] = self._thread(thread)
            self._keys[number], self.archived[number] = folded(key or ""), archived
            self.counted[number] = counted
            for place, name in enumerate(ENDS, _FIRST):
                self.ends[name][number] = row[place]
            self.sums[number] = packed(row[_SUMS:])
            for name, place in _PLAIN_AT:
                self.plain[name][number] = row[place]
            self._count(number, 1)

    def tell_apart(self, cells: Iterable[tuple[Any, ...]]) -> None:
        """Learn which days, models, efforts and so on the calls of changed sessions are of."""
        mixes: dict[int, list[Pair]] = defaultdict(list)
        known: set[int] = set()
        for session, day, effort, *labels in cells:
            pair, number = (labels[0], effort), self.number.get(session)
            if pair not in mixes[session]:
                mixes[session].append(pair)
            if number is None:
                continue
            first = number not in known
            known.add(number)
            self.day[number] = day if first or self.day[number] == day else SEVERAL
            for name, label in zip(HEADINGS, labels, strict=True):
                column = self.labels[name]
                column[number] = intern(label) if first or column[number] == label else None
        several = [session for session, mix in mixes.items() if len(mix) > 1]
        shares = shares_of(several) if several else {}
        for session, mix in mixes.items():
            number = self.number.get(session)
            if number is not None:
                mix.sort()
                self._mix(number, tuple(mix))
                if session in shares:
                    self._shares[number] = tuple(map(shares[session].__getitem__, mix))

    def _mix(self, number: int, mix: tuple[Pair, ...]) -> None:
        before = self._mix_of[number]
        if before:
            self._mixes[before].discard(number)
            if not self._mixes[before]:
                del self._mixes[before]
        self._shares.pop(number, None)
        self._mix_of[number] = mix
        if mix:
            self._mixes.setdefault(mix, set()).add(number)

    def sharing(self, wanted: Callable[[str, str], bool]) -> tuple[set[int], dict[int, Share]]:
        """The sessions all of whose calls are of models and efforts that are wanted; and what
        those calls come to of the sessions of which only some are.
        """
        whole: set[int] = set()
        some: dict[int, Share] = {}
        for mix, sessions in self._mixes.items():
            kept = [place for place, pair in enumerate(mix) if wanted(*pair)]
            if len(kept) == len(mix):
                whole |= sessions
            elif kept:
                for session in sessions:
                    shares = self._shares[session]
                    some[session] = joined([shares[place] for place in kept])
        return whole, some

    def _count(self, number: int, sign: int) -> None:
        thread = self.thread_of[number]
        if sign > 0:
            self.members[thread].append(number)
        else:
            self.members[thread].remove(number)
        self.size[thread] += sign
        self.active[thread] += 0 if self.archived[number] else sign
        self.totals[thread] += sign * self.sums[number]

    def _new(self, session: int) -> int:
        number = len(self.sessions)
        self._numbers.append(number)
        self.sessions.append(session)
        self._keys.append(_NOBODY)
        self._mix_of.append(())
        self.day.append(SEVERAL)
        self.counted.append(0)
        for column in self.labels.values():
            column.append(None)
        self.thread_of.append(0)
        self.sums.append(0)
        self.archived.append(0)
        for values in (*self.ends.values(), *self.plain.values()):
            values.append(-1)
        return number

    def _thread(self, name: str) -> int:
        number = self.thread_number.get(name)
        if number is None:
            number = self.thread_number[name] = len(self.threads)
            self.threads.append(name)
            self.members.append([])
            for counts in (self.size, self.active, self.totals):
                counts.append(0)
        return number

    def holding(self, text: str) -> Iterable[int]:
        """The sessions whose key has a text of ASCII, whatever its case."""
        return compress(self._numbers, map(contains, self._keys, repeat(folded(text))))

    def of(self, sessions: Iterable[tuple[int]]) -> Iterable[int]:
        """Sessions that the database names, of those with calls."""
        return [self.number[session] for (session,) in sessions if session in self.number]

    def used(self, threads: Iterable[str]) -> set[int]:
        """Threads that the database names, of those with calls."""
        known = (self.thread_number.get(thread) for thread in threads)
        return {number for number in known if number is not None and self.size[number]}

    def within(self, threads: Iterable[int]) -> Iterator[int]:
        """The sessions of some threads."""
        return chain.from_iterable(map(self.members.__getitem__, threads))

    def total(self, held: Held, *, active: bool) -> int:
        """The sums of the sessions with a text, as one number."""
        if active:
            return sum(map(self.sums.__getitem__, self.holders(held, active=True)))
        whole = sum(map(self.totals.__getitem__, held.whole))
        return whole + sum(map(self.sums.__getitem__, held.part))

    def holders(self, held: Held, *, active: bool) -> Iterator[int]:
        """The sessions with a text, or those of them that are not archived."""
        sessions = chain(self.within(held.whole), held.part)
        archived = self.archived
        return (one for one in sessions if not archived[one]) if active else sessions


def shares_of(sessions: list[int]) -> dict[int, dict[Pair, Share]]:
    """What the calls of some sessions come to by model and effort."""
    found: dict[int, dict[Pair, Share]] = {}
    for session, model, effort, *row in db.rows(_SHARES, (json.dumps(sessions),)):
        share = Share(packed(row[len(ENDS) :]), tuple(row[: len(ENDS)]))
        found.setdefault(session, {})[model, effort] = share
    return found


def joined(shares: list[Share]) -> Share:
    """Several shares as one."""
    if len(shares) == 1:
        return shares[0]
    ends = zip(*(share.ends for share in shares), strict=True)
    return Share(
        sum(share.sums for share in shares),
        tuple(
            min((value for value in values if value >= 0), default=-1)
            if name == "least_cache"
            else max(values)
            for name, values in zip(ENDS, ends, strict=True)
        ),
    )


def packed(values: Iterable[int]) -> int:
    """Values of `FIELDS` as one number: the numbers' sum is that of the sums."""
    number = 0
    for value in reversed([*values]):
        number = (number << _BITS) + int(value)
    return number


def field(name: str, number: int) -> int:
    """One of the sums, none of which is below 0."""
    return (number >> _SHIFTS[name]) & (_WHOLE - 1)


def unpacked(number: int) -> dict[str, int]:
    """The sums by name."""
    found: dict[str, int] = {}
    for name in FIELDS:
        value = number % _WHOLE
        found[name] = value - _WHOLE if value >= _HALF else value
        number = (number - found[name]) >> _BITS
    return found


def told(total: int) -> tuple[Any, ...]:
    """A total as `calls.totals` writes it."""
    sums = unpacked(total)
    return (*(sums[name] for name in _TOTALS), sums["credits"] if sums["rated"] else None)


def folded(text: str) -> str:
    """A text with the letters of ASCII small, and no others, as SQLite compares with `like`."""
    if text.isascii():
        return text.lower()
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


@contextmanager
def known() -> Iterator[Names]:
    """The sessions as of the moment that this thread reads in; nobody changes them meanwhile."""
    with _lock:
        file = (db.usage.database, db.usage.anchor)
        if _shared[:1] != [file]:
            _shared[:] = [file, Names()]
        names: Names = _shared[1]
        mark = int(db.rows(_CHANGES)[0][0])
        if mark < names.mark:
            names = Names()  # another thread reads in a newer moment
        if mark != names.mark:
            _bring_up(names)
        yield names


def _bring_up(names: Names) -> None:
    try:
        with db.reading() as connection:
            since = (names.mark,)
            names.take(connection.execute(_ROWS, since))
            names.tell_apart(connection.execute(_CELLS, since))
    except BaseException:
        _shared.clear()  # a part of the changes with one number may be missing
        raise


_lock = threading.RLock()
_shared: list[Any] = []  # the file that they are of, and the sessions


def keep() -> None:
    """Bring the sessions up, so that the next search need not."""
    with known():
        pass
