"""What the proxy learns while it runs, bounded and forgotten in time."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping

from server.accounts.pins import OWNER
from server.accounts.pool import Pool
from server.store import db

# A plan may gain a model at any time; asking once an hour costs one extra try.
UNABLE_MS = 3_600_000
_SAME_SECONDS = 1.0


class Memory:
    """Which account owns what, does not offer which model, has used up which named limit."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool  # keeps owners: they outlive a restart, written behind like pins
        self._unable: dict[tuple[str, str], int] = {}
        self._spent: dict[tuple[str, str], int] = {}
        self._told: dict[str, tuple[tuple[tuple[str, str], ...], float]] = {}
        self._lock = threading.Lock()

    def own(self, value: str | None, account: str) -> None:
        """Remember that `value` (a turn state, a response id) came from this account."""
        if not value:
            return
        self._pool.pin(OWNER, _digest(value), account, db.now_ms())

    def owner(self, value: str | None) -> str | None:
        """The account that issued `value`; None when it is not known."""
        return self._pool.pinned(OWNER, _digest(value)) if value else None

    def said_before(self, account: str, named: Mapping[str, str]) -> bool:
        """Whether these headers told the same of this account within the last second."""
        told = tuple(item for item in named.items() if item[0].startswith("x-codex-"))
        now = time.monotonic()
        before, since = self._told.get(account, ((), 0.0))
        if told == before and now - since < _SAME_SECONDS:
            return True
        self._told[account] = told, now
        return False

    def cannot(self, account: str, model: str, now: int) -> None:
        """Remember that this account does not offer this model."""
        with self._lock:
            self._unable[account, model] = now + UNABLE_MS

    def can(self, account: str, model: str) -> None:
        """It does after all."""
        if self._unable:
            with self._lock:
                self._unable.pop((account, model), None)

    def unable(self, model: str, now: int) -> frozenset[str]:
        """The accounts that do not offer this model, as far as we know."""
        if not self._unable:
            return frozenset()
        with self._lock:
            self._unable = {key: until for key, until in self._unable.items() if until > now}
            return frozenset(account for account, name in self._unable if name == model)

    def spend(self, account: str, limit: str, until: int) -> None:
        """Remember that this account's named limit is used up until a time."""
        with self._lock:
            self._spent[account, limit] = max(until, self._spent.get((account, limit), 0))

    def spent(self, limit: str, now: int) -> dict[str, int]:
        """The accounts whose named limit is used up, and until when."""
        if not self._spent:
            return {}
        with self._lock:
            self._spent = {key: until for key, until in self._spent.items() if until > now}
            return {
                account: until for (account, name), until in self._spent.items() if name == limit
            }


def _digest(value: str) -> str:
    return hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=16).hexdigest()
