"""How many requests are served at once; a few more wait a moment instead of failing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# Each stream may need a worker thread (to begin, or when another account takes over), and so does
# each one that waits; the rest stay free, so that pages and health answer under any load.
_KEPT_FREE = 56
_MOST_STREAMS = 600
WAIT_SECONDS = 5.0
_LOOK_SECONDS = 0.1


class Slots:
    """A slot for each open request, sized by the number of worker threads."""

    def __init__(self, threads: int) -> None:
        self.streams = min(_MOST_STREAMS, max(threads // 2, threads - _KEPT_FREE))
        self._line = (threads - self.streams) // 2
        self._free = threading.BoundedSemaphore(self.streams)
        self._lock = threading.Lock()
        self._waiting = 0

    def acquire(self, gone: Callable[[], bool]) -> bool:
        """Take a slot; waits a moment when there is none. False when it was in vain."""
        if self._free.acquire(blocking=False):
            return True
        with self._lock:
            if self._waiting >= self._line:
                return False
            self._waiting += 1
        try:
            limit = time.monotonic() + WAIT_SECONDS
            while time.monotonic() < limit and not gone():
                if self._free.acquire(timeout=_LOOK_SECONDS):
                    return True
            return False
        finally:
            with self._lock:
                self._waiting -= 1

    def release(self) -> None:
        """Give a slot back."""
        self._free.release()
