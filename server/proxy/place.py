"""Keeps the threads that serve streams on one processor, where the system can be asked (Linux).

They share the interpreter, so one of them runs at a time. To hand it to a thread on another
processor takes 25 µs of both, on the same one 3, and a request is a dozen hand-overs. The system
cannot know that and spreads them. Threads that do other work, and programs they start, are free.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

_STAT = Path("/proc/thread-self/stat")
_PROCESSOR = 36  # of the fields behind the name


class Place:
    """The processor on which streams are served; each thread brings itself there, or leaves it.

    Until `turn_on` nothing happens, and for good where it cannot be had.
    """

    def __init__(self) -> None:
        self._all: set[int] = set()
        self._chosen: int | None = None
        self._own = threading.local()

    def turn_on(self) -> None:
        """From now on threads are brought together; call it before they start."""
        if hasattr(os, "sched_setaffinity") and _STAT.exists():
            allowed = os.sched_getaffinity(0)
            self._all = allowed if len(allowed) > 1 else set()

    def turn_off(self) -> None:
        """Let every thread go where it likes, as soon as it asks."""
        self._chosen, self._all = None, set()

    def meet(self) -> None:
        """Come to where streams are served; where nobody is, that is where this thread runs."""
        if self._all and self._chosen is None:
            self._go(None)
            self._chosen = _here()
        self.follow()

    def follow(self) -> None:
        """Come along, if there is a place."""
        if self._all:
            self._go(self._chosen)

    def leave(self) -> None:
        """Before work that takes long or starts a program: it may go on anywhere."""
        if self._all:
            self._go(None)

    def part(self) -> None:
        """Nothing is served: the next that is chooses anew, where the system puts it."""
        self._chosen = None

    def _go(self, processor: int | None) -> None:
        # A new thread begins where the one that started it was bound: its own is not known.
        if getattr(self._own, "at", -1) == processor:
            return
        try:
            os.sched_setaffinity(0, self._all if processor is None else {processor})
            self._own.at = processor
        except OSError:  # taken away from this process meanwhile
            with suppress(OSError):
                os.sched_setaffinity(0, self._all)
            self.turn_off()


def _here() -> int | None:
    """The processor on which this thread runs."""
    try:
        return int(_STAT.read_text().rpartition(")")[2].split()[_PROCESSOR])
    except (OSError, ValueError, IndexError):
        return None


streams = Place()
