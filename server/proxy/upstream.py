"""Talks HTTP to the provider: one exchange at a time, each of which another thread may end.

`http.client` and not a session library: a proxy that holds tokens must take nothing from the
environment (netrc, proxies, redirects), and must say whether a request had been sent when a
connection failed. Everything above sees only `Upstream.open` and `Exchange`.
"""

from __future__ import annotations

import http.client
import logging
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
from urllib3.util.wait import wait_for_read

from server.proxy.headers import Header

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
FIRST_BYTE_SECONDS = 120.0
IDLE_SECONDS = 300.0
TOTAL_SECONDS = 7200.0
_KEPT_SECONDS = 30.0
_KEPT_CONNECTIONS = 64
_CHUNK = 65536
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

    def __init__(self, connection: http.client.HTTPConnection, gone: Callable[[], bool]) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.aborted: str | None = None
        self.gone = gone
        self.deadline: float | None = None  # monotonic; set only while we wait for the provider
        self.expected = "slow"
        self.total = time.monotonic() + TOTAL_SECONDS
        self._connection = connection
        # Our own: http.client lets go of it when the answer says that the connection will close.
        self._sock: socket.socket | None = connection.sock
        self._response: http.client.HTTPResponse | None = None
        self._left: int | None = None
        self._ended = False

    def connected(self) -> None:
        """Note that there is a connection now; `Aborted` when nobody waits for it any more."""
        self._sock = self._connection.sock
        if self.aborted:
            raise Aborted(self.aborted)

    def send(self, outgoing: Outgoing, path: str) -> None:
        """Send the request and wait for the answer's head."""
        sock = self._connection.sock
        head = _head(outgoing, path, self._connection)
        if len(outgoing.body) <= _CHUNK:
            sock.sendall(head + outgoing.body)  # one packet, one system call
        else:
            sock.sendall(head)
            sock.sendall(outgoing.body)
        response = http.client.HTTPResponse(sock, method=outgoing.method)
        self._response = response
        response.begin()
        self.status = response.status
        self.headers = response.getheaders()
        self._left = response.length
        self.expected = "idle"

    def read1(self) -> bytes:
        """The next bytes as soon as there are any; empty at the end of the body.

        Raises `HungUp` when it was cut where that can be seen, `Aborted` after `abort`.
        """
        response = self._response
        if response is None or self._ended:
            return b""
        self.deadline = time.monotonic() + IDLE_SECONDS
        try:
            if self._left == 0:
                chunk = b""
            elif self._left is None:
                chunk = response.read1(_CHUNK)
            else:
                # `read1` of Python 3.11 does not count down what a Content-Length leaves.
                chunk = response.read1(min(_CHUNK, self._left))
                if not chunk:
                    raise HungUp(kept=False)
                self._left -= len(chunk)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self.ended_by(kept=False) from error
        finally:
            self.deadline = None
        if not chunk:
            if self.aborted:
                raise Aborted(self.aborted)
            self._ended = True
        return chunk

    def more_soon(self, seconds: float) -> bool:
        """Whether more has arrived after this short pause (poll knows no less than 1 ms)."""
        time.sleep(seconds)
        return self.more_within(0)

    def more_within(self, seconds: float) -> bool:
        """Whether more has arrived already, or does within this short time."""
        response, sock = self._response, self._sock
        if response is None or sock is None or self._ended:
            return True
        try:
            sock.setblocking(False)
            try:
                if response.fp is None or self._buffered(response):
                    return True
            finally:
                sock.setblocking(True)
            return _readable(sock, seconds)
        except ssl.SSLWantReadError:
            return _readable(sock, seconds)
        except (OSError, ValueError):
            return True  # the read that follows says what is wrong

    @staticmethod
    def _buffered(response: http.client.HTTPResponse) -> bool:
        """Whether bytes of the body's next part lie in the reader's buffer."""
        waiting = response.fp.peek(1)
        if response.chunked and response.chunk_left == 0:
            # The line end that belongs to the chunk just read is not news.
            waiting = waiting.removeprefix(b"\r\n")
        return bool(waiting)

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
        response = self._response
        return (
            self._ended
            and not self.aborted
            and response is not None
            and not response.will_close
            and self._connection.sock is not None
        )

    def close(self) -> None:
        """Close the connection."""
        if self._response is not None:
            with suppress(OSError):
                self._response.close()
        self._connection.close()

    def finish(self) -> http.client.HTTPConnection | None:
        """End with the answer; returns the connection if it may be kept."""
        if self.reusable and self._response is not None:
            self._response.close()
            return self._connection
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
        self._context = _tls() if parts.scheme == "https" else None
        self._kept: list[tuple[float, http.client.HTTPConnection]] = []
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
        connection, kept = self._connection(fresh)
        exchange = Exchange(connection, gone)
        self.watcher.add(exchange)
        try:
            if connection.sock is None:
                self._connect(connection)
            exchange.connected()
            exchange.deadline = time.monotonic() + (first_byte or FIRST_BYTE_SECONDS)
            try:
                exchange.send(outgoing, self._path + outgoing.path)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise exchange.ended_by(kept=kept) from error
            exchange.deadline = None
        except BaseException:
            self.watcher.discard(exchange)
            exchange.close()
            raise
        return exchange

    def release(self, exchange: Exchange) -> None:
        """End with an exchange; its connection is kept when it can serve again."""
        self.watcher.discard(exchange)
        connection = exchange.finish()
        if connection is None:
            return
        with self._lock:
            if len(self._kept) < _KEPT_CONNECTIONS:
                self._kept.append((time.monotonic(), connection))
                return
        connection.close()

    def start(self) -> None:
        """Start watching."""
        self.watcher.start()

    def stop(self) -> None:
        """End every exchange and close the kept connections."""
        self.watcher.stop()
        with self._lock:
            kept, self._kept = self._kept, []
        for _, connection in kept:
            connection.close()

    def _connection(self, fresh: bool) -> tuple[http.client.HTTPConnection, bool]:
        while not fresh:
            with self._lock:
                if not self._kept:
                    break
                since, connection = self._kept.pop()
            idle = time.monotonic() - since
            # Readable while idle means closed, or bytes that belong to nobody.
            if idle < _KEPT_SECONDS and not _readable(connection.sock, 0):
                return connection, True
            connection.close()
        if self._context is not None:
            return (
                http.client.HTTPSConnection(
                    self._host, self._port, timeout=CONNECT_SECONDS, context=self._context
                ),
                False,
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS), False

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        try:
            connection.connect()
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            # The reason may name the user's own proxy or address, never a token.
            log.info("cannot connect to %s: %s", self._host, error)
            raise Unreachable(str(error)) from error
        # From here the watcher keeps the time.
        connection.sock.settimeout(None)


def _head(outgoing: Outgoing, path: str, connection: http.client.HTTPConnection) -> bytes:
    name = f"[{connection.host}]" if ":" in connection.host else connection.host
    host = name if connection.port == connection.default_port else f"{name}:{connection.port}"
    lines = [f"{outgoing.method} {path} HTTP/1.1", f"host: {host}"]
    lines += [f"{key}: {value}" for key, value in outgoing.headers]
    if outgoing.method != "GET":
        lines.append(f"content-length: {len(outgoing.body)}")
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("a header holds a line end")
    # waitress decoded the client's bytes as latin-1; so do they go out again.
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _readable(sock: socket.socket, seconds: float) -> bool:
    # Not select(): it cannot take a descriptor beyond 1,023.
    return bool(wait_for_read(sock, timeout=seconds))


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not any(path and Path(path).exists() for path in (paths.cafile, paths.capath)):
        # A frozen program may carry an OpenSSL that looks in another system's places.
        context.load_verify_locations(certifi.where())
    return context
