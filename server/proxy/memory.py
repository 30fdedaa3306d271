"""What the proxy learns while it runs, bounded and forgotten in time."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

_MOST = 10_000
# A plan may gain a model at any time; asking once an hour costs one extra try.
UNABLE_MS = 3_600_000


class Memory:
    """Which account owns what, does not offer which model, has used up which named limit."""

    def __init__(self) -> None:
        self._owners: OrderedDict[bytes, str] = OrderedDict()
        self._unable: dict[tuple[str, str], int] = {}
        self._spent: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def own(self, value: str | None, account: str) -> None:
        """Remember that `value` (a turn state, a response id) came from this account."""
        if not value:
            return
        key = _digest(value)
        with self._lock:
            self._owners[key] = account
            self._owners.move_to_end(key)
            if len(self._owners) > _MOST:
                self._owners.popitem(last=False)

    def owner(self, value: str | None) -> str | None:
        """The account that issued `value`; None when it is not known."""
        if not value:
            return None
        with self._lock:
            return self._owners.get(_digest(value))

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


def _digest(value: str) -> bytes:
    return hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=16).digest()
