"""How many unclear requests may be sent a second time: a share of all, never a flood."""

from __future__ import annotations

import threading

from server.store import settings

SHARE = 0.2  # one repeat for five requests …
MOST = 20.0  # … and so many at once after a quiet time


class Budget:
    """A provider in trouble gets at most a fifth more requests from us, not twice as many.

    Only what may have been taken counts here. What was certainly not taken (a limit, a refusal,
    no capacity) goes to every account that could serve, because each may answer differently.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = MOST

    def earn(self) -> None:
        """A request began."""
        with self._lock:
            self._left = min(MOST, self._left + SHARE)

    def allows(self, kind: str) -> bool:
        """Whether a request that ended so (an outcome's kind) may be repeated; it counts as done.

        A kept connection that has died is everyday life, not a provider in trouble: it is free.
        """
        if not settings.get("ambiguousRetry"):
            return False
        if kind == "stale":
            return True
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True
