"""Slow guessing down without ever locking the owner out.

Whoever answers a right password at once, however many wrong ones came before, checks them all; so
it is bounded who can use up whose tries. A browser that was let in before has tries of its own,
which no stranger can spend, and behind the strangers' tries lies a reserve: there a wrong one is
answered like one that was not looked at, and a right one still opens.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

# 5 + 75 in the first hour, and with the reserve's 15 + 5 a hundred (ASVS 4.0, 2.2.1).
_FRONT = (5, 48.0)
_RESERVE = (15, 720.0)
_MOST_KNOWN = 64


class Throttle:
    """A token bucket: `burst` tries at once, then one each so many seconds."""

    def __init__(
        self, burst: int, seconds: float, clock: Callable[[], float] = time.monotonic
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


@dataclass(frozen=True)
class Try:
    """One attempt: whether to look at it, and what to say when it is wrong.

    `wait` is 0 when it may be called wrong; else whole seconds, said in place of that.
    """

    looked_at: bool
    wait: int
    throttle: Throttle | None = None

    def give_back(self) -> None:
        """It was right, or was none."""
        if self.throttle is not None:
            self.throttle.give_back()


class _Tries:
    def __init__(self, clock: Callable[[], float]) -> None:
        self.front = Throttle(*_FRONT, clock)
        self.reserve = Throttle(*_RESERVE, clock)

    def claim(self) -> Try:
        wait = self.front.take()
        if not wait:
            return Try(True, 0, self.front)
        if not self.reserve.take():
            return Try(True, wait, self.reserve)
        return Try(False, wait)


class Guesses:
    """The tries at one secret: those of strangers together, those of each known browser apart.

    All strangers are one, because every caller comes from 127.0.0.1.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._strangers = _Tries(clock)
        self._known: OrderedDict[str, _Tries] = OrderedDict()
        self._lock = threading.Lock()

    def claim(self, browser: str | None = None) -> Try:
        """Claim a try, for a browser that was let in before or for a stranger."""
        if browser is None:
            return self._strangers.claim()
        with self._lock:
            tries = self._known.setdefault(browser, _Tries(self._clock))
            self._known.move_to_end(browser)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return tries.claim()
