"""A provider that streams on request, in one asyncio process: `python -m benchmarks.provider PORT`.

The prompt says what to stream: `PERF n=<events> gap=<ms>`. Each delta carries the monotonic
time of its writing, so that a client on the same machine can tell how late it is.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

GONE: dict[str, float] = {}
_PERF = re.compile(rb"PERF n=(\d+) gap=(\d+)")
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"x-codex-primary-used-percent: 20\r\nx-codex-primary-window-minutes: 300\r\n"
    b"x-codex-primary-reset-at: 4102444800\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(kind: str, **rest: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **rest}).encode())


async def _stream(writer: asyncio.StreamWriter, body: bytes, number: int) -> None:
    found = _PERF.search(body)
    count, gap = (int(found[1]), int(found[2]) / 1000) if found else (20, 0.0)
    name = f"resp_{number}"
    writer.write(_HEAD + _chunk(_event("response.created", response={"id": name})))
    for _ in range(count):
        if gap:
            await asyncio.sleep(gap)
            delta = _event("response.output_text.delta", delta=f"{time.monotonic():.6f}")
        else:
            delta = _event("response.output_text.delta", delta="a word ")
        writer.write(_chunk(delta))
        await writer.drain()
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 800},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 10},
        "total_tokens": 1050,
    }
    done = _event("response.completed", response={"id": name, "usage": usage, "output": []})
    writer.write(_chunk(done) + b"0\r\n\r\n")
    await writer.drain()


async def _answer(writer: asyncio.StreamWriter, value: object) -> None:
    body = json.dumps(value).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + _chunk(_event("response.created", response={"id": "resp_silent"})))
    item = {"type": "message", "role": "assistant", "content": []}
    writer.write(_chunk(_event("response.output_item.added", item=item)))
    await writer.drain()
    await reader.read(1)
    GONE["at"] = time.monotonic()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    number = 0
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            path = head.split(b" ", 2)[1]
            number += 1
            if path.startswith(b"/gone"):
                await _answer(writer, GONE)
            elif b"/responses" in path and b"SILENT" in body:
                return await _silent(reader, writer)
            elif b"/responses" in path:
                await _stream(writer, body, id(writer) * 1000 + number)
            elif b"/wham/usage" in path:
                await _answer(writer, {"plan_type": "pro"})
            else:
                await _answer(writer, {"models": []})
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    finally:
        writer.close()
    return None


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
