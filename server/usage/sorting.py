"""What calls are ordered by, either way round; what is unknown comes last."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.errors import Unprocessable
from server.usage import slices, titled
from server.usage.slices import Filter

FROM = "from call c left join session s on s.id = c.session left join thread t on t.id = s.thread"
# What was before calls leads to them in its order, or is looked up for those that are known.
_LEADING = FROM.replace("call c", "call_before b cross join call c on c.rowid = b.call", 1)
_BESIDE = FROM.replace("call c", "call c cross join call_before b on b.call = c.rowid", 1)
_BEFORE = {"gap": "b.gap", "cumulative": "b.tokens"}
NAMED = ("thread", "model", "effort", "project", "account")  # in which the newest come first
_MAYBE_UNKNOWN = ("reasoning", "cost", "cache", "duration", "context", "credits", *_BEFORE)
# By one of a few words, and within it by time: one number, so that an index serves both ways.
_FURTHEST = 1_000_000_000_000_000  # no time is later
_STARTERS = ("agent", "compaction", "tool", "user")
_RANK = " ".join(f"when '{word}' then {place}" for place, word in enumerate(_STARTERS, 1))
SORTS = {
    "time": "c.started_at",
    **slices.ORDERS,
    "initiator": f"((case c.initiator {_RANK} else 0 end) * {_FURTHEST} + c.started_at)",
    "provider": f"((c.provider = 'codex') * {_FURTHEST} + c.started_at)",
    "seen": f"(c.seen * {_FURTHEST} + c.started_at)",
    **_BEFORE,
    **{name: titled.of_calls(name, True, True) for name in NAMED},
}
# What an index of the calls themselves has in order.
INDEXED = tuple(sort for sort in SORTS if sort not in ("time", *_BEFORE, *NAMED))
_RANKS = {"initiator": len(_STARTERS) + 1, "provider": 2, "seen": 8}


@dataclass(frozen=True)
class Page:
    """How to order, and which part."""

    sort: str = "time"
    descending: bool = True
    limit: int = 50
    cursor: str = ""
    offset: int = 0  # rows to leave out, for who counts pages
    called: Mapping[str, str] = field(default_factory=dict)  # what each account is shown as

    @property
    def way(self) -> str:
        """The direction in SQL."""
        return "desc" if self.descending else "asc"


Part = tuple[str, tuple[Any, ...]]  # a condition on a call, and its values


class Order:
    """The order of one page's calls: `by` in SQL, and `told`, what its cursor says of a call."""

    def __init__(self, wanted: Filter, page: Page, accounts: list[str]) -> None:
        self._page, self._wanted = page, wanted
        # Many calls may be worth as much: an index has those in the order of their rows.
        self.tie = "c.rowid" if page.sort in INDEXED else "c.id"
        if page.sort in _BEFORE:
            self.tie = "b.call"
        self.by = SORTS[page.sort]
        if page.sort in NAMED:
            self.by = titled.of_calls(page.sort, wanted.names, page.descending)
        self.told, self.prefix, self.beside = self.by, "", ""
        self.given: tuple[Any, ...] = ()
        self._places: dict[str, str] = {}
        if page.sort == "account":
            self._by_names(accounts)
        self.after = self._after(page)

    def _by_names(self, accounts: list[str]) -> None:
        """By what accounts are called, which another database knows."""
        names = sorted(filter(None, accounts), key=lambda one: self._name(one))
        self._places = {name: f"{place:07d}" for place, name in enumerate(names, 1)}
        self.prefix = (
            "with called(account, place) as materialized (select key, value from json_each(?))"
        )
        self.beside = " left join called d on d.account = c.account"
        self.given = (json.dumps(self._places),)
        time = self.told.rpartition(" || ")[2]
        self.by = f"(coalesce(d.place, '{self.place('')}') || char(31) || {time}"

    def _name(self, account: str) -> tuple[str, str]:
        return self._page.called.get(account, account).casefold(), account

    def place(self, account: str) -> str:
        """Where an account stands among the others; calls of none come last."""
        return self._places.get(account) or ("" if self._page.descending else "~")

    def _after(self, page: Page) -> tuple[Any, ...]:
        """After what the page begins, as the order has it; nothing for the first one."""
        if not page.cursor:
            return ()
        value, name = read_cursor(page.cursor, page)
        if page.sort == "account":
            account, gap, time = str(value).rpartition(titled.GAP)
            value = f"{self.place(account.replace(titled.LAST, ''))}{gap}{time}"
        return value, name

    def source(self, led: bool) -> str:
        """`from …` of the calls; whether something else than the order leads to them."""
        if self._page.sort in _BEFORE:
            return _BESIDE if led else _LEADING
        return FROM + self.beside

    def parts(self) -> list[Part]:
        """The conditions by which the page is read, one after the other."""
        beyond = "<" if self._page.descending else ">"
        last = "?" if self.tie == "c.id" else "(select rowid from call where id = ?)"
        paged: Part = ("", ())
        if self.after:
            paged = (f" and ({self.by}, {self.tie}) {beyond} (?, {last})", self.after)
        if self._page.sort in _RANKS and (self._wanted.since or self._wanted.until):
            return [(within + paged[0], paged[1]) for within in self._ranks()]
        if self._page.descending or self._page.sort not in _MAYBE_UNKNOWN:
            return [paged]
        # Unknown is below every number: upwards it would come first.
        known, unknown = f" and {self.by} >= 0", f" and {self.by} < 0"
        if self.after and size(self.after[0]) < 0:
            return [(unknown + paged[0], paged[1])]
        return [(known + paged[0], paged[1]), (unknown, ())]

    def _ranks(self) -> list[str]:
        """The stretch of a filter's time within each word, which an index leads to at once."""
        since, until = self._wanted.since or 0, self._wanted.until or _FURTHEST
        at = size(self.after[0]) // _FURTHEST if self.after else None
        ranks, down = range(_RANKS[self._page.sort]), self._page.descending
        return [
            f" and {self.by} >= {rank * _FURTHEST + since} "
            f"and {self.by} < {rank * _FURTHEST + until}"
            for rank in (reversed(ranks) if down else ranks)
            if at is None or (rank <= at if down else rank >= at)
        ]


def cursor(value: Any, name: str, page: Page) -> str:
    """Where the next page begins: after this value and name."""
    text = json.dumps([page.sort, page.descending, value, name])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, page: Page) -> tuple[Any, Any]:
    """What `cursor` wrote. Raises `Unprocessable` for another list's, or any other text."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        sort, way, value, name = json.loads(base64.b64decode(padded, b"-_", validate=True))
        fits = sort == page.sort and way is page.descending and isinstance(name, str)
        fits = fits and isinstance(value, str | int | float) and abs(size(value)) < 2**63
        (str(value) + name).encode()
    except (ValueError, TypeError, RecursionError, binascii.Error):
        fits = False
    if not fits:
        raise Unprocessable("The cursor does not belong to this list. Start again without one.")
    return value, name


def size(value: Any) -> float:
    """A number of a cursor; 0 for a text."""
    return value if isinstance(value, int | float) else 0
