"""A provider that streams on request: `python -m benchmarks.provider PORT`.

One process, one epoll loop, answers made beforehand: what is measured against it should be the
other side. The prompt says what to stream: `PERF n=<events> gap=<ms>`. With a gap each delta
carries the monotonic time of its writing, so that a client on the same machine can tell how
late it is; without one the whole answer is one write.
"""

from __future__ import annotations

import heapq
import json
import re
import select
import socket
import sys
import time
from dataclasses import dataclass, field

GONE: dict[str, float] = {}
_PERF = re.compile(rb"PERF n=(\d+) gap=(\d+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"x-codex-primary-used-percent: 20\r\nx-codex-primary-window-minutes: 300\r\n"
    b"x-codex-primary-reset-at: 4102444800\r\ntransfer-encoding: chunked\r\n\r\n"
)
_USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 800},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 1050,
}


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(kind: str, **rest: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **rest}).encode())


def _delta(text: str) -> bytes:
    return _chunk(_event("response.output_text.delta", delta=text))


_NAME = "resp_0123456789"  # in its place comes a number of the same length
_CREATED = _chunk(_event("response.created", response={"id": _NAME}))
_DONE = (
    _chunk(
        _event(
            "response.completed",
            # codex-lb counts the request as broken off without `output` and `status`.
            response={"id": _NAME, "status": "completed", "usage": _USAGE, "output": []},
        )
    )
    + b"0\r\n\r\n"
)
_ITEM = _chunk(
    _event(
        "response.output_item.added", item={"type": "message", "role": "assistant", "content": []}
    )
)
_WORD = _delta("a word ")


@dataclass
class _Client:
    """One connection: what came, what is still to go out."""

    sock: socket.socket
    came: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)
    left: int = 0  # events still to send
    gap: float = 0.0
    name: bytes = b""
    silent: bool = False


class Server:
    """Answers until it is ended."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=2048)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._clients: dict[int, _Client] = {}
        self._due: list[tuple[float, int, _Client]] = []
        self._whole: dict[int, bytes] = {}
        self._number = 0

    def run(self) -> None:
        """Serve for ever."""
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1
            for number, flags in self._epoll.poll(wait):
                if number == self._listener.fileno():
                    self._accept()
                elif client := self._clients.get(number):
                    self._serve(client, flags)
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                due, _, client = heapq.heappop(self._due)
                self._next(client, due)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[sock.fileno()] = _Client(sock)
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _serve(self, client: _Client, flags: int) -> None:
        try:
            if flags & select.EPOLLOUT:
                self._write(client, b"")
            if flags & ~select.EPOLLOUT:
                piece = client.sock.recv(262144)
                if not piece:
                    return self._close(client)
                client.came += piece
                self._read(client)
        except OSError:
            self._close(client)
        return None

    def _read(self, client: _Client) -> None:
        came = client.came
        end = came.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(came[: end + 2])
        length = _LENGTH.search(head)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(came) < size:
            return
        body = bytes(came[end + 4 : size])
        del came[:size]
        path = head.split(b" ", 2)[1]
        if b"/responses" in path:
            self._stream(client, body)
        elif path.startswith(b"/gone"):
            self._answer(client, GONE)
        elif b"/wham/usage" in path:
            self._answer(client, {"plan_type": "pro"})
        else:
            self._answer(client, {"models": []})

    def _stream(self, client: _Client, body: bytes) -> None:
        self._number += 1
        client.name = b"resp_%010d" % self._number
        if b"SILENT" in body:
            client.silent = True
            return self._write(client, self._named(client, _HEAD + _CREATED + _ITEM))
        found = _PERF.search(body)
        count, gap = (int(found[1]), int(found[2]) / 1000) if found else (20, 0.0)
        if not gap:
            whole = self._whole.get(count)
            if whole is None:
                whole = self._whole[count] = _HEAD + _CREATED + _WORD * count + _DONE
            return self._write(client, self._named(client, whole))
        client.left, client.gap = count, gap
        self._write(client, self._named(client, _HEAD + _CREATED))
        self._later(client, time.monotonic() + gap)
        return None

    def _next(self, client: _Client, due: float) -> None:
        if client.sock.fileno() < 0:
            return
        client.left -= 1
        try:
            if client.left >= 0:
                self._write(client, _delta(f"{time.monotonic():.6f}"))
                self._later(client, due + client.gap)
            else:
                self._write(client, self._named(client, _DONE))
        except OSError:
            self._close(client)

    def _later(self, client: _Client, due: float) -> None:
        self._number += 1
        heapq.heappush(self._due, (due, self._number, client))

    @staticmethod
    def _named(client: _Client, data: bytes) -> bytes:
        return data.replace(_NAME.encode(), client.name)

    def _answer(self, client: _Client, value: object) -> None:
        body = json.dumps(value).encode()
        head = (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._write(client, head.encode() + body)

    def _write(self, client: _Client, data: bytes) -> None:
        waiting = bool(client.out)
        data = bytes(client.out) + data if waiting else data
        try:
            sent = client.sock.send(data)
        except BlockingIOError:
            sent = 0
        client.out = bytearray(data[sent:])
        if bool(client.out) != waiting:
            flags = select.EPOLLIN | (select.EPOLLOUT if client.out else 0)
            self._epoll.modify(client.sock.fileno(), flags)

    def _close(self, client: _Client) -> None:
        if client.silent:
            GONE["at"] = time.monotonic()
        self._clients.pop(client.sock.fileno(), None)
        client.sock.close()


def main() -> None:
    """Listen on the port of the command line, print it, serve."""
    server = Server(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(server.port, flush=True)
    server.run()


if __name__ == "__main__":
    main()
