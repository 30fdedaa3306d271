"""Slow guessing down without ever locking the owner out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Throttle:
    """A token bucket for failures: 5 at once, then one each 36 s (100 an hour, ASVS 4.0 2.2.1).

    There is one bucket for everybody, because every caller comes from 127.0.0.1.
    """

    def __init__(
        self,
        burst: int = 5,
        seconds: float = 36.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = float(burst)
        self._seconds = seconds
        self._clock = clock
        self._left = self._burst
        self._at = clock()
        self._lock = threading.Lock()

    def take(self) -> int:
        """Claim one try: 0 when it may go ahead, else whole seconds until the next one.

        Claimed before the slow check, so that many guesses at once are many guesses; a right
        one hands its claim back.
        """
        with self._lock:
            self._refill()
            if self._left < 1:
                return max(1, round((1 - self._left) * self._seconds))
            self._left -= 1
            return 0

    def give_back(self) -> None:
        """The claimed try was right, or was none."""
        with self._lock:
            self._refill()
            self._left = min(self._burst, self._left + 1)

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) / self._seconds)
        self._at = now
