"""One thread that carries all open streams from the provider to their clients.

A stream needs a thread of its own only while something about it may wait: choosing an account,
connecting, taking over after a failure. In between it is here: a socket in a selector, read when
there is something to read. 500 streams cost one thread instead of 500.
"""

from __future__ import annotations

import heapq
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from server.proxy.place import streams

log = logging.getLogger(__name__)

_FINEST = 0.001  # selectors wait for whole milliseconds


class Relay(threading.Thread):
    """Watches sockets and calls back; runs what other threads `post`. Nothing in it may wait."""

    def __init__(self) -> None:
        super().__init__(name="relay", daemon=True)
        self._posted: deque[Callable[[], None]] = deque()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._asleep = False  # or about to be: what is posted now needs the bell
        self._stopping = False

    def start(self) -> None:
        """Begin to carry; only now, because one that never ran would leave its sockets open."""
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, None)
        super().start()

    def post(self, job: Callable[[], None]) -> None:
        """Run this in the relay's thread; any thread may call it."""
        self._posted.append(job)
        if self._asleep:
            self._asleep = False  # one ring is enough: a system call hands the interpreter on
            with suppress(OSError):  # full: it will wake anyway; closed: it has ended
                self._bell.send(b"x")

    def after(self, seconds: float, job: Callable[[], None]) -> None:
        """Run this in a while; only for the relay's own thread."""
        self._number += 1
        heapq.heappush(self._later, (time.monotonic() + seconds, self._number, job))

    def watch(self, sock: socket.socket, ready: Callable[[], None]) -> None:
        """Call `ready` whenever there is something to read, until `forget`."""
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def forget(self, sock: socket.socket) -> None:
        """Watch it no longer. Call this before the socket is closed or used again."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def run(self) -> None:
        """Carry until `stop`."""
        while not self._stopping:
            # Before the look at what was posted: whatever comes after it rings.
            self._asleep = True
            patience = 0 if self._posted else self._patience()
            ready = self._selector.select(patience)
            self._asleep = False
            streams.follow()
            self._hurry()
            for key, _ in ready:
                if key.data is None:
                    self._listen()
                else:
                    self._run(key.data)
                self._hurry()
        while self._posted:
            self._run(self._posted.popleft())
        self._selector.close()
        self._bell.close()
        self._ear.close()

    def _hurry(self) -> None:
        """Run what was posted or is due: a new stream does not queue behind a hundred events."""
        while self._posted:
            self._run(self._posted.popleft())
        while self._later and self._later[0][0] <= time.monotonic():
            self._run(heapq.heappop(self._later)[2])

    def _patience(self) -> float | None:
        """How long to wait for sockets until something else is due."""
        if not self._later:
            return None
        wait = max(0.0, self._later[0][0] - time.monotonic())
        if not 0 < wait < _FINEST:
            return wait
        time.sleep(wait)
        return 0

    def stop(self) -> None:
        """End the thread; what it still carried is left where it is."""
        self._stopping = True
        self.post(lambda: None)
        if self.is_alive():
            self.join(5)

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            while len(self._ear.recv(4096)) == 4096:
                pass

    @staticmethod
    def _run(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:
            log.exception("one stream failed; the others go on")
