"""Talks HTTP to the provider: one exchange at a time, each of which another thread may end.

Bare sockets and not a session library: a proxy that holds tokens must take nothing from the
environment (netrc, proxies, redirects), and must say whether a request had been sent when a
connection failed. Everything above sees only `Upstream.open` and `Exchange`.
"""

from __future__ import annotations

import logging
import re
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import certifi

from server.proxy import wire
from server.proxy.headers import Header

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
FIRST_BYTE_SECONDS = 120.0
IDLE_SECONDS = 300.0
TOTAL_SECONDS = 7200.0
_KEPT_SECONDS = 30.0
_KEPT_CONNECTIONS = 64
_CHUNK = 65536
# select() cannot take a descriptor beyond 1,023; Windows, which has no poll(), can.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
_ACK_NOW = getattr(socket, "TCP_QUICKACK", None)  # Linux
_STRAY = re.compile(r"[\r\n\0]")
TICK = 0.1


class Unreachable(Exception):
    """No connection came about: the request was certainly not sent."""


class HungUp(Exception):
    """The connection ended before an answer; `kept` says that it had served before."""

    def __init__(self, kept: bool) -> None:
        super().__init__("the provider closed the connection")
        self.kept = kept


class Aborted(Exception):
    """We ended the exchange: `why` is gone (the client left), slow, idle, total or stopping."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Outgoing:
    """A request to the provider; the path is below its base address."""

    method: str
    path: str
    headers: Sequence[Header] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


class Exchange:
    """One request to the provider and its answer.

    Only the thread that opened it reads; any thread may `abort`.
    """

    def __init__(self, gone: Callable[[], bool], *, kept: bool = False) -> None:
        self.kept = kept  # its connection has served before
        self.status = 0
        self.headers: list[Header] = []
        self.aborted: str | None = None
        self.gone = gone
        self.deadline: float | None = None  # monotonic; set only while we wait for the provider
        self.expected = "slow"
        self.total = time.monotonic() + TOTAL_SECONDS
        self._sock: socket.socket | None = None
        self._body: wire.Body | None = None
        self._head = b""  # of the answer, while it is not whole
        self._ready = b""  # of the body, read and not yet handed out
        self._keeps = False
        self._ended = False

    def connected(self, sock: socket.socket) -> None:
        """Take this connection; `Aborted` when nobody waits for it any more."""
        self._sock = sock
        if self.aborted:
            raise Aborted(self.aborted)

    def send(self, head: bytes, body: bytes) -> None:
        """Send the request. `answered` waits for what comes back."""
        sock = self._sock
        if sock is None:
            raise HungUp(kept=False)
        if len(body) > _CHUNK:
            self._block(True)
            sock.sendall(head)
            sock.sendall(body)
            return
        data = head + body  # one packet, one system call
        sent = _send_now(sock, data) if sock.gettimeout() == 0 else 0
        if sent < len(data):
            self._block(True)
            sock.sendall(data[sent:])

    def answered(self) -> bool:
        """Wait for the answer's head; when detached: whether it has come.

        Raises `HungUp`, or `Aborted` after `abort`.
        """
        try:
            while self._body is None:
                self._more_head()
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except (OSError, ValueError, HungUp) as error:
            raise self.ended_by(kept=self.kept) from error
        return True

    def _more_head(self) -> None:
        sock = self._sock
        piece = _receive(sock) if sock is not None else b""
        if not piece:
            raise HungUp(kept=False)
        self._head += piece
        found = wire.read_head(self._head)
        if found is None:
            return
        answer, rest = found
        self.status, self.headers, self._head = answer.status, answer.headers, b""
        self._body, self._keeps = answer.body, answer.keeps
        self._ready = self._body.feed(rest) if rest else b""
        self.expected, self.deadline = "idle", None

    def read1(self) -> bytes:
        """The next bytes as soon as there are any; empty at the end of the body.

        Raises `HungUp` when it was cut where that can be seen, `Aborted` after `abort`.
        """
        self.deadline = time.monotonic() + IDLE_SECONDS
        try:
            while (chunk := self._take()) is None:
                self._more()
        except (OSError, ValueError) as error:
            raise self.ended_by(kept=False) from error
        finally:
            self.deadline = None
        return chunk

    def _take(self) -> bytes | None:
        """What is ready; empty at the end of the body, None when more must come first."""
        if self._ready:
            chunk, self._ready = self._ready, b""
            return chunk
        if self._body is not None and not self._body.done:
            return None
        if not self._ended and self.aborted:
            raise Aborted(self.aborted)
        self._ended = True
        return b""

    def _more(self) -> None:
        """Receive once; waits unless the socket does not block."""
        sock, body = self._sock, self._body
        if sock is None or body is None:
            raise HungUp(kept=False)
        piece = _receive(sock)
        if piece:
            self._ready = body.feed(piece)
        elif not body.closed():
            raise self.ended_by(kept=False)

    def detach(self) -> socket.socket | None:
        """Read without waiting from now on; returns the socket to watch. See `read_ready`."""
        self._block(False)
        return self._sock

    def attach(self) -> None:
        """Wait again when reading."""
        self._block(True)

    def _block(self, waits: bool) -> None:
        sock = self._sock
        # Each of these calls lets another thread have the interpreter, so none is in vain.
        if sock is not None and (sock.gettimeout() is None) != waits:
            with suppress(OSError):
                sock.setblocking(waits)

    def read_ready(self) -> bytes | None:
        """`read1` for a detached exchange; None when nothing has come yet."""
        self.deadline = time.monotonic() + IDLE_SECONDS
        try:
            if (chunk := self._take()) is None:
                self._more()
                chunk = self._take()
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except (OSError, ValueError) as error:
            raise self.ended_by(kept=False) from error
        return chunk

    @property
    def at_hand(self) -> bool:
        """Whether the next read gives something, or the end, without asking the socket."""
        return bool(self._ready) or self._body is None or self._body.done

    def more_soon(self, seconds: float) -> bool:
        """Whether more has arrived after this short pause (poll knows no less than 1 ms)."""
        if self.at_hand:
            return True
        time.sleep(seconds)
        return self.more_within(0)

    def more_within(self, seconds: float) -> bool:
        """Whether more has arrived already, or does within this short time."""
        sock = self._sock
        if sock is None or self._has_more(sock):
            return True
        if not seconds:
            return False
        return _readable(sock, seconds)

    def _has_more(self, sock: socket.socket) -> bool:
        """Whether there is anything to read; takes from the socket what is there."""
        if self.at_hand:
            return True
        try:
            sock.setblocking(False)
            try:
                self._more()
            finally:
                sock.setblocking(True)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except (OSError, ValueError, HungUp, Aborted):
            return True  # the read that follows says what is wrong
        return self.at_hand

    def ended_by(self, *, kept: bool) -> Exception:
        """The exception that tells why the connection ended."""
        return Aborted(self.aborted) if self.aborted else HungUp(kept)

    def abort(self, why: str) -> None:
        """End the exchange now, also under a thread that is reading (only shutdown does that)."""
        self.aborted = self.aborted or why
        sock = self._sock
        if sock is not None:
            with suppress(OSError):
                # The plain socket's: SSLSocket.shutdown pulls the session from under a reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    @property
    def reusable(self) -> bool:
        """Whether the answer was read to its end and the connection may serve again."""
        body = self._body
        return (
            self._ended
            and self._keeps
            and not self.aborted
            and body is not None
            and not body.surplus
        )

    def close(self) -> None:
        """Close the connection."""
        if self._sock is not None:
            with suppress(OSError):
                self._sock.close()

    def finish(self) -> socket.socket | None:
        """End with the answer; returns the connection if it may be kept."""
        if self.reusable:
            sock, self._sock = self._sock, None
            return sock
        self.close()
        return None


class Watcher(threading.Thread):
    """Looks at every open exchange ten times a second, and ends those nobody waits for.

    A worker that is blocked in a read cannot see that its client left, or that time is up
    (a socket's own timeout starts afresh with every byte of a drip).
    """

    def __init__(self) -> None:
        super().__init__(name="watcher", daemon=True)
        self._open: set[Exchange] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False

    def add(self, exchange: Exchange) -> None:
        """Watch this exchange until `discard`."""
        with self._lock:
            self._open.add(exchange)
        self._wake.set()

    def discard(self, exchange: Exchange) -> None:
        """Watch it no longer."""
        with self._lock:
            self._open.discard(exchange)

    def run(self) -> None:
        """Watch until `stop`; sleeps while nothing is open."""
        while not self._stopping:
            with self._lock:
                exchanges = list(self._open)
                if not exchanges:
                    self._wake.clear()
            if not exchanges:
                self._wake.wait()
                continue
            self._look(exchanges)
            time.sleep(TICK)

    def _look(self, exchanges: list[Exchange]) -> None:
        now = time.monotonic()
        for exchange in exchanges:
            if exchange.aborted:
                # Again: the first time it may not have had a socket yet.
                exchange.abort(exchange.aborted)
            elif exchange.gone():
                exchange.abort("gone")
            elif exchange.deadline is not None and now > exchange.deadline:
                exchange.abort(exchange.expected)
            elif now > exchange.total:
                exchange.abort("total")

    def stop(self) -> None:
        """End every open exchange, and the thread."""
        self._stopping = True
        with self._lock:
            exchanges = list(self._open)
        for exchange in exchanges:
            exchange.abort("stopping")
        self._wake.set()


class Upstream:
    """The provider at one base address; keeps finished connections for a short while."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._path = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._context: ssl.SSLContext | None = None
        name = f"[{self._host}]" if ":" in self._host else self._host
        usual = self._port in (None, 443 if self._secure else 80)
        self._name = name if usual else f"{name}:{self._port}"
        self._kept: list[tuple[float, socket.socket]] = []
        self._lock = threading.Lock()
        self.watcher = Watcher()

    def open(
        self,
        outgoing: Outgoing,
        *,
        gone: Callable[[], bool] = lambda: False,
        fresh: bool = False,
        first_byte: float | None = None,
    ) -> Exchange:
        """Send a request and return once the answer's head is there.

        Raises `Unreachable`, `HungUp` or `Aborted`. `gone` tells whether whoever waits for
        this has left; `fresh` asks for a new connection.
        """
        exchange = self.begin(outgoing, gone=gone, fresh=fresh, first_byte=first_byte)
        try:
            exchange.attach()
            exchange.answered()
        except BaseException:
            self.release(exchange)
            raise
        return exchange

    def begin(
        self,
        outgoing: Outgoing,
        *,
        gone: Callable[[], bool] = lambda: False,
        fresh: bool = False,
        first_byte: float | None = None,
    ) -> Exchange:
        """`open`, but return once the request is sent; `Exchange.answered` reads on."""
        sock = None if fresh else self._kept_one()
        exchange = Exchange(gone, kept=sock is not None)
        self.watcher.add(exchange)
        try:
            exchange.connected(sock or self._connect())
            exchange.deadline = time.monotonic() + (first_byte or FIRST_BYTE_SECONDS)
            try:
                head = _head(outgoing, self._path + outgoing.path, self._name)
                exchange.send(head, outgoing.body)
            except (OSError, ValueError, HungUp) as error:
                raise exchange.ended_by(kept=exchange.kept) from error
        except BaseException:
            self.watcher.discard(exchange)
            exchange.close()
            raise
        return exchange

    def release(self, exchange: Exchange) -> None:
        """End with an exchange; its connection is kept when it can serve again."""
        self.watcher.discard(exchange)
        sock = exchange.finish()
        if sock is None:
            return
        if sock.gettimeout() != 0:
            sock.setblocking(False)
        with self._lock:
            if len(self._kept) < _KEPT_CONNECTIONS:
                self._kept.append((time.monotonic(), sock))
                return
        sock.close()

    def start(self) -> None:
        """Start watching."""
        self.watcher.start()

    def stop(self) -> None:
        """End every exchange and close the kept connections."""
        self.watcher.stop()
        with self._lock:
            kept, self._kept = self._kept, []
        for _, sock in kept:
            sock.close()

    def _kept_one(self) -> socket.socket | None:
        """A connection that has served before and looks well; None when there is none."""
        while self._kept:
            with self._lock:
                if not self._kept:
                    break
                since, sock = self._kept.pop()
            idle = time.monotonic() - since
            if idle < _KEPT_SECONDS and _silent(sock):
                return sock
            sock.close()
        return None

    def _connect(self) -> socket.socket:
        port = self._port or (443 if self._secure else 80)
        try:
            sock = socket.create_connection((self._host, port), timeout=CONNECT_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._secure:
                sock = self._secured(sock)
        except (OSError, UnicodeError) as error:
            # The reason may name the user's own proxy or address, never a token.
            log.info("cannot connect to %s: %s", self._host, error)
            raise Unreachable(str(error)) from error
        # From here the watcher keeps the time.
        sock.settimeout(None)
        return sock

    def _secured(self, sock: socket.socket) -> socket.socket:
        try:
            with self._lock:
                # Not before it is needed: reading the system's certificates takes 20 ms.
                context = self._context = self._context or _tls()
            return context.wrap_socket(sock, server_hostname=self._host)
        except BaseException:
            sock.close()
            raise


def _head(outgoing: Outgoing, path: str, host: str) -> bytes:
    lines = [f"{outgoing.method} {path} HTTP/1.1", f"host: {host}"]
    lines += [f"{key}: {value}" for key, value in outgoing.headers]
    if outgoing.method != "GET":
        lines.append(f"content-length: {len(outgoing.body)}")
    if _STRAY.search("".join(lines)):
        raise ValueError("a header holds a line end")
    # waitress decoded the client's bytes as latin-1; so do they go out again.
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _receive(sock: socket.socket) -> bytes:
    """What has come; its receipt is told at once.

    On a connection that has served before, Linux tells it up to 40 ms later, and a provider that
    sends small packets one after the other (Nagle's algorithm) waits for it before the next.
    """
    piece = sock.recv(_CHUNK)
    if piece and _ACK_NOW is not None:
        # Not kept by the system, so it is asked for each time.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _ACK_NOW, 1)
    return piece


def _send_now(sock: socket.socket, data: bytes) -> int:
    """How much of this goes out without waiting."""
    try:
        return sock.send(data)
    except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
        return 0


def _silent(sock: socket.socket) -> bool:
    """Whether nothing came on a connection that was kept, which does not block.

    What came means that it was closed, or is bytes that belong to nobody.
    """
    try:
        socket.socket.recv(sock, 1, socket.MSG_PEEK)  # below TLS
    except (BlockingIOError, InterruptedError):
        return True
    except OSError:
        return False
    return False


def _readable(sock: socket.socket, seconds: float) -> bool:
    with _Selector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not any(path and Path(path).exists() for path in (paths.cafile, paths.capath)):
        # A frozen program may carry an OpenSSL that looks in another system's places.
        context.load_verify_locations(certifi.where())
    return context
