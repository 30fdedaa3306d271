"""waitress' loop, without asking every connection again for every event.

waitress asks each of its connections before each wait what to watch it for. With 500 streams open
that takes half a millisecond of every new request, in which no stream moves. Here a connection
that is `at_rest` is asked again only after something came on it or it was `stir`red.
"""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from waitress import wasyncore

from server.proxy.place import streams

# Whatever changed without a word is seen after this.
_SWEEP_SECONDS = 1.0


class Watched(dict[int, Any]):
    """waitress' connections by descriptor; tells who comes and who goes."""

    def __init__(self, stir: Callable[[int], None], went: Callable[[int], None]) -> None:
        super().__init__()
        self.stir, self._went = stir, went

    def __setitem__(self, number: int, connection: Any) -> None:
        super().__setitem__(number, connection)
        self.stir(number)

    def __delitem__(self, number: int) -> None:
        self._went(number)  # before its descriptor is closed, and perhaps given to another
        super().__delitem__(number)


class Loop:
    """Takes the place of `wasyncore` in a server that was made with `map`."""

    def __init__(self) -> None:
        self.map = Watched(self.stir, self._forget)
        self._selector = selectors.DefaultSelector()
        self._stirred: deque[int] = deque()
        self._lively: set[int] = set()  # asked before each wait
        self._watched: dict[int, int] = {}
        self._sweep = 0.0
        self._asleep = False  # or about to be

    def rouse(self, pull: Callable[[], None]) -> None:
        """Call `pull`, which ends a wait, unless the loop is awake and will look anyway."""
        if self._asleep:
            self._asleep = False
            pull()

    def stir(self, number: int) -> None:
        """Ask this connection before the next wait; any thread may call it.

        Call it after the change, and pull the server's trigger after that.
        """
        self._stirred.append(number)

    def loop(self, timeout: float = 1.0, **_: Any) -> None:
        """Serve until no connection is left, the listening one included."""
        while self.map:
            self._turn(timeout)
        self._selector.close()

    def _turn(self, timeout: float) -> None:
        # First of all: what changes behind this is roused for, what changed before is seen below.
        self._asleep = True
        now = time.monotonic()
        if now >= self._sweep:
            self._sweep = now + _SWEEP_SECONDS
            self._lively.update(list(self.map))
        while self._stirred:
            self._lively.add(self._stirred.popleft())
        for number in list(self._lively):
            self._ask(number)
        ready = self._selector.select(timeout)
        self._asleep = False
        streams.follow()
        for key, events in ready:
            self._lively.add(key.fd)
            for event, act in ((1, wasyncore.read), (2, wasyncore.write)):
                # The first may have closed it.
                if events & event and (connection := self.map.get(key.fd)) is key.data:
                    act(connection)

    def _ask(self, number: int) -> None:
        connection = self.map.get(number)
        if connection is None:
            return self._lively.discard(number)
        # First: what changes while it is asked stirs it again.
        rests = getattr(connection, "at_rest", False)
        events = selectors.EVENT_READ if connection.readable() else 0
        if connection.writable() and not connection.accepting:
            events |= selectors.EVENT_WRITE
        if events != self._watched.get(number, 0):
            self._watch(number, events, connection)
        if rests:
            self._lively.discard(number)
        return None

    def _watch(self, number: int, events: int, connection: Any) -> None:
        before = self._watched.get(number, 0)
        if not events:
            self._selector.unregister(number)
        elif before:
            self._selector.modify(number, events, connection)
        else:
            self._selector.register(number, events, connection)
        self._watched[number] = events

    def _forget(self, number: int) -> None:
        self._lively.discard(number)
        if self._watched.pop(number, 0):
            with suppress(KeyError, ValueError, OSError):
                self._selector.unregister(number)
