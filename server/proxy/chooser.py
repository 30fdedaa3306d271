"""Chooses the account for a request, with what the pool, the settings and the memory know.

The rule itself is `balance`; here it meets the moment. Choosing takes the account's stream in
the same breath, so that many requests at once do not all see the last free one.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.accounts.allowance import limit_of
from server.accounts.pins import FILE
from server.accounts.pool import Candidate, Pool
from server.proxy import balance
from server.proxy.balance import Ask, Choice, Row, Rules
from server.proxy.memory import Memory
from server.store import db, settings

# A stream ends every few seconds; whoever waited this long is told so.
WAIT_SECONDS = 20.0
_LOOK_SECONDS = 0.1  # how soon a waiting request notices that its client left
_LOOK_AGAIN = 1.0


@dataclass(frozen=True)
class Wanted:
    """What a request says that bears on who serves it."""

    model: str = ""
    sticky: tuple[str, str] | None = None  # kind and key of its thread
    previous: str | None = None  # the response it continues
    files: tuple[str, ...] = ()  # the uploaded files it names
    turn_state: str | None = None
    accounts: tuple[str, ...] | None = None  # those that the client's key may use


class Chooser:
    """Who serves the next request; and who waits while all accounts are busy."""

    def __init__(self, pool: Pool, memory: Memory) -> None:
        self._pool = pool
        self._memory = memory
        self._choosing = threading.Lock()
        self._waiting: list[_Place] = []
        self._line = threading.Lock()

    def take(self, wanted: Wanted, tried: frozenset[str] = frozenset()) -> Choice:
        """Choose an account and count a stream on it, which `give` ends."""
        with self._choosing:
            candidates, ask, draw = self._ask(wanted, tried)
            choice = balance.choose(candidates, ask, rules(), db.now_ms(), draw)
            if choice.account is not None:
                self._pool.opened(choice.account)
                # At once: the next in line must see that a doubtful account is being tried.
                self._pool.used(choice.account, db.now_ms())
            elif choice.state in ("empty", "paused") and wanted.accounts is not None:
                # There may be accounts that could, but the client's key may use none of them.
                return replace(choice, state=f"key_{choice.state}")
            return choice

    def take_surest(
        self, wanted: Wanted, tried: frozenset[str], gone: Callable[[], bool]
    ) -> Choice:
        """`take_patiently` for a request that may be sent only this once more.

        One that served lately, else one whose last request did not fail, else any.
        """
        now = db.now_ms()
        known = self._pool.candidates()
        unproved = frozenset(c.id for c in known if balance.unproved(c, now))
        failed = frozenset(c.id for c in known if c.errors)
        for doubtful in (unproved, failed):
            choice = self.take(wanted, tried | doubtful)
            if choice.account is not None:
                return choice
        return self.take_patiently(wanted, tried, gone)

    def take_patiently(
        self, wanted: Wanted, tried: frozenset[str], gone: Callable[[], bool]
    ) -> Choice:
        """`take`, but wait in line while every account that could serve is at its streams."""
        choice = self.take(wanted, tried)
        if choice.state != "busy":
            return choice
        place = _Place()
        with self._line:
            self._waiting.append(place)
        try:
            while choice.state == "busy" and time.monotonic() < place.until and not gone():
                if place.turn.wait(_LOOK_SECONDS) or place.due():
                    place.turn.clear()
                    choice = self.take(wanted, tried)
                    if choice.state == "busy":
                        self._wake(after=place)  # it may fit somebody else
            return choice
        finally:
            with self._line:
                self._waiting.remove(place)
            if place.turn.is_set():
                self._wake()

    def give(self, account: str) -> None:
        """End a stream on an account."""
        self._pool.closed(account)
        if self._waiting:
            self._wake()

    def waiting(self) -> int:
        """How many requests are in line."""
        return len(self._waiting)

    def explain(self, wanted: Wanted) -> dict[str, Any]:
        """What would be chosen now, and why each account would or would not be."""
        now = db.now_ms()
        candidates, ask, draw = self._ask(wanted, frozenset())
        likeliest = self.sticky(wanted) is None  # a thread's draw is known, another's is not
        choice, rows = balance.explain(candidates, ask, rules(), now, None if likeliest else draw)
        return {
            "at": now,
            "strategy": rules().strategy,
            "limit": ask.limit,
            "pinned": ask.pinned,
            "owner": ask.owner,
            "choice": choice,
            "rows": _in_order(rows),
            "candidates": {candidate.id: candidate for candidate in candidates},
        }

    def sticky(self, wanted: Wanted) -> tuple[str, str] | None:
        """The thread that is kept on one account; None when threads are not."""
        return wanted.sticky if settings.get("stickyThreadsEnabled") else None

    def owner(self, wanted: Wanted) -> str | None:
        """The only account that can serve this, because it holds what the request names."""
        found = self._memory.owner(wanted.previous)
        for name in wanted.files:
            found = found or self._pool.pinned(FILE, name)
        return found

    # ── inside ────────────────────────────────────────────────────────────────────────────

    def _ask(self, wanted: Wanted, tried: frozenset[str]) -> tuple[list[Candidate], Ask, float]:
        now = db.now_ms()
        candidates = self._pool.candidates()
        if wanted.accounts is not None:
            candidates = [c for c in candidates if c.id in wanted.accounts]
        sticky = self.sticky(wanted)
        pinned = self._pool.pinned(*sticky) if sticky else None
        limit = limit_of(wanted.model, (w for c in candidates for w in c.windows))
        ask = Ask(
            # What a turn began with counts more than where its thread was before.
            pinned=self._memory.owner(wanted.turn_state) or pinned,
            owner=self.owner(wanted),
            tried=tried,
            unable=self._memory.unable(wanted.model, now),
            limit=limit,
            spent=self._memory.spent(limit, now) if limit else {},
        )
        # The same thread gets the same draw, so that it stays together while its account rests.
        draw = _draw(sticky[1]) if sticky else random.random()  # noqa: S311
        return candidates, ask, draw

    def _wake(self, after: _Place | None = None) -> None:
        """Let the first in line choose, or the one behind `after`."""
        with self._line:
            begin = 0 if after is None else self._waiting.index(after) + 1
            for place in self._waiting[begin : begin + 1]:
                place.turn.set()


class _Place:
    """A place in the line of those that wait for a stream."""

    def __init__(self) -> None:
        self.turn = threading.Event()
        self.until = time.monotonic() + WAIT_SECONDS
        self._next = time.monotonic() + _LOOK_AGAIN

    def due(self) -> bool:
        """Whether to look without being called: an account may have come back."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + _LOOK_AGAIN
        return True


def _draw(key: str) -> float:
    digest = hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=6).digest()
    return int.from_bytes(digest) / (1 << 48)


def rules() -> Rules:
    """The user's settings for balancing, as they are now."""
    return Rules(
        strategy=settings.get("routingStrategy"),
        single_account=settings.get("singleAccountId"),
        prefer_earlier_reset=settings.get("preferEarlierResetAccounts"),
        streams_per_account=settings.get("streamsPerAccount"),
    )


def _in_order(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.state != "chosen", row.state != "waiting", -row.share))
