"""A small asyncio client that times streams: first event, lateness of each, requests a second."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field

_DELTA = re.compile(rb'"delta": ?"(\d+\.\d{6})"')


@dataclass
class Timing:
    """What one round of requests saw; milliseconds."""

    first: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0

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
            "input": [{"type": "message", "role": "user", "content": prompt + " " * pad}],
        }
    ).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"accept: text/event-stream\r\nauthorization: Bearer x\r\nsession-id: {session}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def one(port: int, data: bytes, timing: Timing) -> None:
    """One request on its own connection, as Codex makes them."""
    start = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise ConnectionError(head[:80])
        seen, tail, first = b"", b"", None
        while piece := await reader.read(65536):
            now = time.monotonic()
            if first is None:
                first = (now - start) * 1000
            tail = (tail + piece)[-64_000:]
            for found in _DELTA.finditer(piece):
                timing.late.append((now - float(found[1])) * 1000)
            seen = tail[-400:]
            if tail.endswith(b"0\r\n\r\n"):
                break
        writer.close()
        if b"response.completed" not in tail or not seen:
            raise ConnectionError("cut")
        timing.first.append(first or 0.0)
    except (OSError, asyncio.IncompleteReadError):
        timing.failed += 1


async def together(port: int, path: str, streams: int, prompt: str) -> Timing:
    """`streams` requests at once, started 2 ms apart."""
    timing = Timing()
    begun = time.monotonic()
    jobs = []
    for number in range(streams):
        data = request(port, path, prompt, f"s{number}")
        jobs.append(asyncio.ensure_future(one(port, data, timing)))
        await asyncio.sleep(0.002)
    await asyncio.gather(*jobs)
    timing.seconds = time.monotonic() - begun
    return timing


async def hammer(port: int, path: str, connections: int, requests: int) -> Timing:
    """`requests` short requests over `connections` workers, each after the other."""
    timing = Timing()
    left = iter(range(requests))

    async def worker(name: int) -> None:
        data = request(port, path, "PERF n=20 gap=0", f"h{name}")
        for _ in left:
            await one(port, data, timing)

    begun = time.monotonic()
    await asyncio.gather(*(worker(n) for n in range(connections)))
    timing.seconds = time.monotonic() - begun
    return timing
