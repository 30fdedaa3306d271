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

    def wait(self) -> int:
        """Whole seconds until the next try is allowed; 0 when it is allowed now."""
        with self._lock:
            self._refill()
            return 0 if self._left >= 1 else max(1, round((1 - self._left) * self._seconds))

    def failed(self) -> None:
        """Count a wrong guess."""
        with self._lock:
            self._refill()
            self._left = max(0.0, self._left - 1)

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) / self._seconds)
        self._at = now
