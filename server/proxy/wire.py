"""HTTP/1.1 answers as they come off the wire: the head, and the body without its framing.

Bytes in, values out. `http.client` reads a head with an e-mail parser, a fifth of what a short
request cost, and gives one chunk a call. This is strict instead of lenient: what two readers could
take for two different answers is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

Header = tuple[str, str]

MAX_HEAD = 64 * 1024
_MAX_HEADERS = 256
_MAX_LINE = 4096  # a chunk's size with its extensions; all trailers together
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5]\d\d)(?: .*)?")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_STRAY = re.compile(r"[\r\n\0]")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_EMPTY = (204, 304)
_LENGTHS = {"transfer-encoding", "content-length"}
_FRAMING = _LENGTHS | {"connection"}


class Malformed(ValueError):
    """What came is not an HTTP answer that can be read in one way only."""


class Chunked:
    """A body in chunks: `feed` gives what they hold; `done` after the last."""

    def __init__(self) -> None:
        self.done = False
        self._rest = b""
        self._left = 0
        self._behind = False  # the line end after a chunk's data comes next
        self._trailers = -1  # bytes of trailers so far; -1 before them

    def feed(self, data: bytes) -> bytes:
        """What these bytes hold of the body. Raises `Malformed`."""
        data, at = self._rest + data, 0
        found: list[bytes] = []
        while not self.done:
            if not (self._left or self._behind) and self._trailers < 0:
                at = _whole_chunks(data, at, found)
            if self._left:
                piece = data[at : at + self._left]
                found.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > _MAX_LINE:
                    raise Malformed("a chunk's size is too long")
                break
            self._line(data[at:end])
            at = end + 2
        self._rest = data[at:]
        return b"".join(found)

    def _line(self, line: bytes) -> None:
        if self._behind:
            if line:
                raise Malformed("a chunk is longer than it says")
            self._behind = False
        elif self._trailers >= 0:
            self._trailers += len(line)
            if self._trailers > _MAX_LINE:
                raise Malformed("the trailers are too long")
            self.done = not line
        else:
            self._left = _size(line)
            self._behind = self._left > 0
            self._trailers = -1 if self._left else 0

    def closed(self) -> bool:
        """The connection ended; whether the body had, too."""
        return self.done

    @property
    def surplus(self) -> bool:
        """Whether there was more than the answer."""
        return self.done and bool(self._rest)


def _whole_chunks(data: bytes, at: int, found: list[bytes]) -> int:
    """Take the chunks that are here from end to end, as most are; returns where they stop."""
    while (end := data.find(b"\r\n", at)) >= 0:
        begin = end + 2
        behind = begin + _size(data[at:end])
        if behind == begin or data[behind : behind + 2] != b"\r\n":
            break
        found.append(data[begin:behind])
        at = behind + 2
    return at


@lru_cache(512)
def _size(line: bytes) -> int:
    size = _SIZE.fullmatch(line) if len(line) <= _MAX_LINE else None
    if size is None:
        raise Malformed("a chunk's size is not a number")
    return int(size[1], 16)


class Sized:
    """A body with a Content-Length."""

    def __init__(self, length: int) -> None:
        self.done = length == 0
        self.surplus = False
        self._left = length

    def feed(self, data: bytes) -> bytes:
        """What these bytes hold of the body."""
        self.surplus = self.surplus or len(data) > self._left
        data = data[: self._left]
        self._left -= len(data)
        self.done = self._left == 0
        return data

    def closed(self) -> bool:
        """The connection ended; whether the body had, too."""
        return self.done


class Unsized:
    """A body that lasts until the connection ends."""

    surplus = False

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """These bytes."""
        return data

    def closed(self) -> bool:
        """The connection ended, and the body with it."""
        self.done = True
        return True


Body = Chunked | Sized | Unsized


@dataclass(frozen=True)
class Head:
    """An answer's status and headers, the body to feed, and whether the connection may serve on."""

    status: int
    headers: list[Header]
    body: Body
    keeps: bool


def read_head(came: bytes) -> tuple[Head, bytes] | None:
    """The head and what came behind it; None while it is not whole. Raises `Malformed`.

    Interim answers (100, 103) are skipped.
    """
    while True:
        end = came.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(came) >= MAX_HEAD:
                raise Malformed("the head is too long")
            return None
        head = _head(came[:end].decode("latin-1"))
        came = came[end + 4 :]
        if head.status >= 200:
            return head, came
        if head.status == 101:
            raise Malformed("nobody asked for an upgrade")


def _head(text: str) -> Head:
    lines = text.split("\r\n")
    if len(lines) > _MAX_HEADERS or _STRAY.search("".join(lines)):
        raise Malformed("the head is not made of header lines")
    first = _STATUS.fullmatch(lines[0])
    if first is None:
        raise Malformed("this is not an HTTP/1.1 answer")
    headers = []
    for line in lines[1:]:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise Malformed("a header line has no name")
        headers.append((found[1], found[2]))
    status = int(first[2])
    named: dict[str, set[str]] = {}
    for name, value in headers:
        if (lower := name.lower()) in _FRAMING:
            words = {word.strip().lower() for word in value.split(",")}
            named.setdefault(lower, set()).update(words)
    body = _body(status, named)
    connection = named.get("connection", set())
    keeps = first[1] == "1" and "close" not in connection and not isinstance(body, Unsized)
    return Head(status, headers, body, keeps and len(named.keys() & _LENGTHS) < 2)


def _body(status: int, named: dict[str, set[str]]) -> Body:
    if status < 200 or status in _EMPTY:
        return Sized(0)
    if "transfer-encoding" in named:
        if named["transfer-encoding"] != {"chunked"}:
            raise Malformed("the body has a coding that nobody asked for")
        return Chunked()
    lengths = named.get("content-length")
    if lengths is None:
        return Unsized()
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit() and len(length) < 16):
        raise Malformed("the body's length is not one number")
    return Sized(int(length))
