"""One stream's way through the relay, from the moment its request is sent to its end."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from waitress.channel import ClientDisconnected

from server.errors import AppError
from server.proxy.forward import BREATH, Gone, PassOn, Turn
from server.proxy.lane import Lane
from server.proxy.relay import Relay

log = logging.getLogger(__name__)

# A model may think for minutes. Clients ignore a comment, and what stands between them and us
# (proxies, firewalls, a sleeping laptop's router) sees that the connection is alive.
KEEP_SECONDS = 15.0
_KEEP_LOOK = 5.0
_COMMENT = b": the provider is still at work\n\n"

# More than this and the client is slow: the provider is read on when it has caught up.
_MUCH, _LITTLE = 256 * 1024, 64 * 1024
_LOOK_SECONDS = 0.05
# Five minutes in which a client takes nothing: it is let go. Counted, so that a laptop's sleep
# is one look and not hours.
_LOOKS = 6000
_LAST_BREATH = 0.1


@dataclass(frozen=True)
class Ends:
    """What the routes do for a stream."""

    start: Callable[[], None]  # say that an answer begins
    refuse: Callable[[Exception], bytes]  # say that none does: its body; frees all
    shape: Callable[[list[bytes]], bytes]  # events as this client reads them
    finish: Callable[[Callable[[], None]], None]  # free all and write the row; then call this
    failed: Callable[[], None]  # note a fault of ours
    broken_off: Callable[[], bytes]  # the client's last words when it ended too soon
    wait: float  # seconds that the end may wait for the row


class Keeper:
    """Sends a comment to clients whose streams have been silent; lives in the relay's thread."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._open: set[Carry] = set()
        self._looking = False

    def add(self, carry: Carry) -> None:
        """Look after a stream, until `discard`."""
        self._open.add(carry)
        if not self._looking:
            self._looking = True
            self.relay.after(min(_KEEP_LOOK, KEEP_SECONDS), self._look)

    def discard(self, carry: Carry) -> None:
        """It has ended, or its client does not read."""
        self._open.discard(carry)

    def _look(self) -> None:
        now = time.monotonic()
        for carry in list(self._open):
            carry.keep_alive(now)
        self._looking = bool(self._open)
        if self._looking:
            self.relay.after(min(_KEEP_LOOK, KEEP_SECONDS), self._look)


class Carry:
    """A stream without a thread: `begin` after `Turn.launch`, and the relay does the rest."""

    def __init__(self, keeper: Keeper, lane: Lane, turn: Turn, ends: Ends) -> None:
        self._keeper = keeper
        self._relay = keeper.relay
        self._wrote = time.monotonic()
        self._lane = lane
        self._turn = turn
        self._ends = ends
        self._sock: socket.socket | None = None
        self._opened = False  # the answer has begun
        self._slowly = False  # a thread sees to it that it does
        self._reads = False  # its socket is to be watched
        self._last = False  # the end of the answer has been given a moment to come
        self._over = False
        self._ended = False
        self._looks = 0  # in a row in which the client took nothing
        self._least = 0  # what it had not read yet at the last look

    def begin(self) -> None:
        """Wait for the answer in the relay; for the thread that sent the request."""
        self._relay.post(self._safely(self._await))

    # ── in the relay's thread ─────────────────────────────────────────────────────────────

    def keep_alive(self, now: float) -> None:
        """Say something to the client when nothing was said for long."""
        if self._over or self._lane.waiting or now - self._wrote < KEEP_SECONDS:
            return
        self._wrote = now
        try:
            self._lane.write(_COMMENT)
        except ClientDisconnected:
            self._finish_soon()

    def _await(self) -> None:
        self._sock = self._turn.watched()
        if self._sock is None:
            return self._open_slowly()
        # It may be here already, even all of it: then there is nothing to watch.
        self._reads = True
        self._arrive()
        if self._reads:
            self._relay.watch(self._sock, self._safely(self._come))
        return None

    def _come(self) -> None:
        if self._opened:
            self._ready()
        else:
            self._arrive()

    def _arrive(self, *, last: bool = False) -> None:
        """Look whether the answer has begun."""
        if self._opened or self._over or self._slowly:
            return
        state = self._turn.arrive(last=last)
        if state == "soon":
            self._relay.after(BREATH, self._safely(lambda: self._arrive(last=True)))
        elif state == "failing":
            self._open_slowly()
        elif state == "open":
            self._open()
            if not self._over:
                self._keeper.add(self)
                self._ready()

    def _open(self) -> None:
        self._opened = True
        self._ends.start()
        if self._turn.news:
            self._lane.work(self._turn.learn)
        self._sock, found = self._turn.detach()
        if not self._write(found):
            self._finish_soon()

    def _open_slowly(self) -> None:
        """What has failed goes on in a thread that may wait."""
        self._slowly = True
        self._forget()
        self._lane.work(self._safely(self._settle))

    def _ready(self) -> None:
        if self._over:
            return
        following = "now"
        while following == "now" and self._lane.waiting <= _MUCH:
            found, following = self._turn.step()
            if not self._write(found):
                self._finish_soon()
                return
        if following in ("more", "now", "last") and self._lane.waiting > _MUCH:
            self._forget()
            self._turn.pause()
            self._wait(self._look)
        elif following == "last" and not self._last:
            self._last = True
            self._relay.after(_LAST_BREATH, self._safely(self._finish_soon))
        elif following == "failing":
            self._forget()
            self._lane.work(self._safely(self._replace))
        elif following == "over":
            self._finish_soon()

    def _look(self) -> None:
        """Read on once the client has."""
        if self._over:
            return
        if self._lane.waiting <= _LITTLE:
            self._watch()
        elif self._stuck():
            self._turn.left()
            self._lane.drop()
            self._finish_soon()
        else:
            self._relay.after(_LOOK_SECONDS, self._safely(self._look))

    def _wait(self, look: Callable[[], None]) -> None:
        """Look at the client's reading from now on."""
        self._looks, self._least = 0, self._lane.waiting
        self._relay.after(_LOOK_SECONDS, self._safely(look))

    def _stuck(self) -> bool:
        """Whether the client has taken nothing for too long; call it once a look."""
        waiting = self._lane.waiting
        self._looks = 0 if waiting < self._least else self._looks + 1
        self._least = waiting
        if self._looks < _LOOKS:
            return False
        log.info("a client took nothing of its answer for too long and is let go")
        return True

    def _write(self, found: list[bytes]) -> bool:
        """Pass events on; False when the client has left."""
        if found and (data := self._ends.shape(found)):
            self._wrote = time.monotonic()
            try:
                self._lane.write(data)
            except ClientDisconnected:
                return False
        return True

    def _watch(self) -> None:
        """Read what there is, and from now on whatever comes."""
        if self._sock is not None:
            self._relay.watch(self._sock, self._safely(self._ready))
            self._keeper.add(self)
            self._ready()

    def _forget(self) -> None:
        self._reads = False
        self._keeper.discard(self)
        if self._sock is not None:
            self._relay.forget(self._sock)

    def _finish_soon(self) -> None:
        if self._over:
            return
        self._over = True
        self._forget()
        if self._turn.well:
            self._finish()
        else:
            # What follows a failure may write to the database.
            self._lane.work(self._safely(self._finish))

    def _end(self) -> None:
        """The client's end, once its row is on disk or has taken too long."""
        if self._ended:
            return
        self._ended = True
        if not self._opened:  # by a fault of ours
            self._refuse(RuntimeError("no answer began"))
            return
        whole = self._turn.ended
        with suppress(ClientDisconnected):
            if not whole and (said := self._ends.broken_off()):
                self._lane.write(said)
                whole = True
        self._lane.end(whole=whole)
        if self._lane.waiting:
            self._wait(self._see_off)

    def _see_off(self) -> None:
        """The answer is over: what the client has still to read does not keep it for ever."""
        if not self._lane.waiting or self._lane.taken_up:
            return
        if self._stuck():
            self._lane.drop()
        else:
            self._relay.after(_LOOK_SECONDS, self._see_off)

    # ── in any thread ─────────────────────────────────────────────────────────────────────

    def _settle(self) -> None:
        try:
            self._turn.settle()
        except (AppError, PassOn, Gone) as error:
            self._refuse(error)
        else:
            self._go_on(self._open)

    def _refuse(self, error: Exception) -> None:
        """There is no stream: an error instead, or nothing for a client that has left."""
        self._over = self._ended = True
        body = self._ends.refuse(error)
        with suppress(ClientDisconnected):
            if body:
                self._lane.write(body)
        self._lane.end(whole=bool(body))

    def _replace(self) -> None:
        found = self._turn.replace()
        if found:
            self._relay.post(self._safely(lambda: self._close_with(found)))
        else:
            self._go_on(self._reopen)

    def _reopen(self) -> None:
        self._sock, found = self._turn.detach()
        if self._sock is None or not self._write(found):
            self._finish_soon()

    def _go_on(self, show: Callable[[], None]) -> None:
        """Show what another account answers, and relay the rest."""

        def run() -> None:
            show()
            if not self._over:
                self._watch()

        self._relay.post(self._safely(run))

    def _close_with(self, found: list[bytes]) -> None:
        self._write(found)
        self._finish_soon()

    def _finish(self) -> None:
        self._ends.finish(lambda: self._relay.post(self._end))
        self._relay.post(lambda: self._relay.after(self._ends.wait, self._end))

    def _safely(self, job: Callable[[], None]) -> Callable[[], None]:
        """This, and if it fails by a fault of ours, the stream's end."""

        def run() -> None:
            try:
                job()
            except Exception:
                log.exception("a stream could not be carried on")
                self._ends.failed()
                self._over = True
                self._relay.post(self._forget)
                self._lane.work(self._finish)

        return run
