"""A client that times streams: first event, lateness of each, requests a second.

One epoll loop on bare sockets, so that what is measured is the server and not the client.
"""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

_DELTA = re.compile(rb'"delta": ?"(\d+\.\d{6})"')
_PATIENCE = 60.0


@dataclass
class Timing:
    """What one round of requests saw; milliseconds."""

    first: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0
    why: str = ""  # how the first that failed did

    def rate(self) -> float:
        """Requests a second."""
        return len(self.first) / self.seconds


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def request(port: int, path: str, prompt: str, session: str, pad: int = 2000) -> bytes:
    """The bytes of one streaming request, about as large as a small Codex turn."""
    body = json.dumps(
        {
            "model": "gpt-5.5",
            "stream": True,
            "store": False,
            "prompt_cache_key": session,
            "instructions": "Be brief.",
            "input": [{"type": "message", "role": "user", "content": prompt + " " * pad}],
        }
    ).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"accept: text/event-stream\r\nauthorization: Bearer x\r\nsession-id: {session}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class _Asking:
    """One worker: its connection and the request that is under way."""

    data: bytes
    again: Iterator[int]
    sock: socket.socket | None = None
    began: float = 0.0
    seen: float = 0.0  # when the first event came
    got: bytes = b""  # the last of what came
    head: bytes = b""
    total: int = 0


class _Round:
    """Runs workers until each has asked as often as it should."""

    def __init__(self, port: int) -> None:
        self.timing = Timing()
        self._port = port
        self._epoll = select.epoll()
        self._open: dict[int, _Asking] = {}

    def run(self, starts: list[tuple[float, _Asking]]) -> Timing:
        """Start each worker at its second, in order; until all are done."""
        begun = time.monotonic()
        waiting = deque((begun + at, asking) for at, asking in starts)
        quiet = begun
        while waiting or self._open:
            wait = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 1.0
            ready = self._epoll.poll(wait)
            for number, _ in ready:
                self._take(self._open[number])
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                self._ask(waiting.popleft()[1])
            quiet = now if ready or waiting else quiet
            if now - quiet > _PATIENCE:
                for asking in list(self._open.values()):
                    self._failed(asking, "nothing came")
        self.timing.seconds = time.monotonic() - begun
        self._epoll.close()
        return self.timing

    def _ask(self, asking: _Asking) -> None:
        if next(asking.again, None) is None:
            return self._close(asking)
        asking.began, asking.seen = time.monotonic(), 0.0
        asking.got = asking.head = b""
        asking.total = 0
        try:
            if asking.sock is None:
                asking.sock = socket.create_connection(("127.0.0.1", self._port), timeout=10)
                asking.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open[asking.sock.fileno()] = asking
                self._epoll.register(asking.sock.fileno(), select.EPOLLIN)
            asking.sock.sendall(asking.data)
        except OSError as error:
            self._failed(asking, str(error))
        return None

    def _take(self, asking: _Asking) -> None:
        assert asking.sock is not None
        try:
            piece = asking.sock.recv(262144)
        except OSError as error:
            return self._failed(asking, str(error))
        now = time.monotonic()
        if not piece:
            return self._failed(asking, f"cut after {asking.total} bytes: {asking.got[-80:]!r}")
        asking.total += len(piece)
        got = asking.got + piece
        if not asking.head and not self._head(asking, got):
            return None
        if not asking.seen and b"response.created" in got:
            asking.seen = now
        # Whole lines only: the rest is looked at with what comes next.
        end = got.rfind(b"\n") + 1
        for found in _DELTA.finditer(got, 0, end):
            self.timing.late.append((now - float(found[1])) * 1000)
        if got.endswith(b"0\r\n\r\n") and b"response.completed" in got:
            return self._done(asking)
        # A last event and the end of the stream may come apart.
        last = got.rfind(b"response.completed")
        asking.got = got[last - 10 :] if last >= 0 else got[end:]
        return None

    def _head(self, asking: _Asking, got: bytes) -> bool:
        """Whether the head is there, and good."""
        end = got.find(b"\r\n\r\n")
        if end < 0:
            asking.got = got
            return False
        asking.head = got[:end].lower()
        good = b" 200 " in asking.head.split(b"\r\n", 1)[0]
        if not good:
            self._failed(asking, repr(got[:200]))
        return good

    def _done(self, asking: _Asking) -> None:
        self.timing.first.append((asking.seen - asking.began) * 1000)
        if b"connection: close" in asking.head:
            self._close(asking)
        self._ask(asking)

    def _failed(self, asking: _Asking, why: str) -> None:
        self.timing.failed += 1
        self.timing.why = self.timing.why or why
        self._close(asking)
        self._ask(asking)

    def _close(self, asking: _Asking) -> None:
        if asking.sock is not None:
            self._open.pop(asking.sock.fileno(), None)
            asking.sock.close()
            asking.sock = None


def together(port: int, path: str, streams: int, prompt: str, apart: float = 0.002) -> Timing:
    """`streams` requests at once, each on its own connection, started 2 ms apart."""
    starts = [
        (n * apart, _Asking(request(port, path, prompt, f"s{n}"), iter(range(1))))
        for n in range(streams)
    ]
    return _Round(port).run(starts)


def hammer(port: int, path: str, connections: int, requests: int) -> Timing:
    """`requests` short requests over `connections` workers, each after the other.

    A connection is used again unless the answer says that it will close.
    """
    left = iter(range(requests))
    prompt = "PERF n=20 gap=0"
    starts = [
        (0.0, _Asking(request(port, path, prompt, f"h{n}"), left)) for n in range(connections)
    ]
    return _Round(port).run(starts)
