"""The scripted provider: a real HTTP server on loopback that answers as its script says.

    with Provider() as provider:
        provider.play(Answer(429, {...}), account="acc-1")
        ...
        provider.received[0].json["model"]

Alone: `python -m tests.upstream --port 8181 --script tools` serves until it is stopped, for a
real Codex CLI; it prints its address and then one line a request.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import socket
import struct
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import zstandard
from urllib3.util.wait import wait_for_read

USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 800},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 1050,
}


# ── events ────────────────────────────────────────────────────────────────────────────────


def event(kind: str, **rest: Any) -> bytes:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **rest})}\n\n".encode()


def created(name: str = "resp_1") -> bytes:
    return event("response.created", response={"id": name, "status": "in_progress"})


def message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


def item(value: dict[str, Any], index: int = 0) -> list[bytes]:
    """The events of one finished output item."""
    return [
        event("response.output_item.added", output_index=index, item={**value, "content": []}),
        event("response.output_item.done", output_index=index, item=value),
    ]


def completed(name: str = "resp_1", **rest: Any) -> bytes:
    response = {"id": name, "status": "completed", "output": [], "usage": USAGE, **rest}
    return event("response.completed", response={"object": "response", **response})


def failed(code: str, text: str = "no", **rest: Any) -> bytes:
    error = {"code": code, "message": text, **rest}
    return event("response.failed", response={"id": "resp_x", "status": "failed", "error": error})


def spoken(text: str = "Hello.", name: str = "resp_1") -> list[bytes]:
    """The events of a plain answer."""
    added, done = item(message(text))
    delta = event("response.output_text.delta", item_id="msg_1", output_index=0, delta=text)
    return [created(name), added, delta, done, completed(name)]


def called(tool: Mapping[str, Any], name: str = "resp_1") -> list[bytes]:
    """The events of an answer that calls a tool."""
    value = {"id": "fc_1", "call_id": "call_1", "status": "completed", **tool}
    return [
        created(name),
        event("response.output_item.added", output_index=0, item=value),
        event("response.output_item.done", output_index=0, item=value),
        completed(name),
    ]


# ── scripts ───────────────────────────────────────────────────────────────────────────────


@dataclass
class Answer:
    """A whole answer: a JSON body (or bytes), a status and headers."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Stream:
    """A 200 event stream.

    `gap` seconds before each event but the first; `wait` before the head. `framing`: chunked,
    length, close. `end`: whole; cut (the connection breaks off); silent (nothing more, until
    the other side leaves). `hold` keeps the stream open after the named number of events until
    the event is set.
    """

    events: Sequence[bytes] = field(default_factory=spoken)
    headers: Mapping[str, str] = field(default_factory=dict)
    gap: float = 0.0
    wait: float = 0.0
    framing: str = "chunked"
    end: str = "whole"
    bytewise: bool = False
    hold: tuple[int, threading.Event] | None = None


@dataclass
class HangUp:
    """The connection is closed without an answer; `reset` does it by RST."""

    reset: bool = False


@dataclass
class Silence:
    """Nothing comes at all, until the other side leaves."""


Script = Answer | Stream | HangUp | Silence | Callable[["Received"], Any]


def usage_limit(resets_at: int | None = None, **rest: Any) -> Answer:
    """The provider's answer when an account's allowance is used up."""
    error: dict[str, Any] = {"type": "usage_limit_reached", "message": "The usage limit has been"}
    error |= {"plan_type": "plus", **({"resets_at": resets_at} if resets_at else {}), **rest}
    return Answer(429, {"error": error})


def refusal(status: int, code: str, text: str = "no", **headers: str) -> Answer:
    body = {"error": {"code": code, "type": code, "message": text}}
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None  # when the other side left, as far as it was noticed
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def account(self) -> str:
        return self.headers.get("chatgpt-account-id", "")

    @property
    def body(self) -> bytes:
        coding = self.headers.get("content-encoding", "")
        if coding == "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(self.raw)
        if coding == "gzip":
            return gzip.decompress(self.raw)
        return zlib.decompress(self.raw) if coding == "deflate" else self.raw

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def left(self) -> None:
        self.closed_at = time.monotonic()
        self.closed.set()


class Provider:
    """The server. Scripts queue by account; the last one queued goes on for ever."""

    def __init__(self, port: int = 0, default: Script | None = None) -> None:
        self.received: list[Received] = []
        self.default: Script = default or Stream()
        self.models: list[dict[str, Any]] = []
        self.usage: dict[str, Any] = {"plan_type": "plus"}
        self.refreshes: list[dict[str, Any]] = []
        self.token_answer: Script | None = None
        self.usage_answer: Script | None = None
        self.side: dict[str, Script] = {}  # answers on other paths
        self._scripts: dict[str, deque[Script]] = {}
        self._lock = threading.Lock()
        provider = self

        class Handler(_Handler):
            owner = provider

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that leave are part of the play."""

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for request in self.received:
            request.closed.set()

    @property
    def url(self) -> str:
        """What `upstream_base_url` is set to."""
        return f"http://127.0.0.1:{self.port}/backend-api"

    @property
    def auth_url(self) -> str:
        """What `auth_base_url` is set to."""
        return f"http://127.0.0.1:{self.port}"

    def play(self, *scripts: Script, account: str = "") -> None:
        """Queue scripts for an account's next requests (or for everybody's)."""
        with self._lock:
            self._scripts[account] = deque(scripts)

    def responses(self) -> list[Received]:
        """The requests for responses so far."""
        return [r for r in self.received if r.path.endswith("/responses")]

    def next_script(self, account: str) -> Script:
        with self._lock:
            queue = self._scripts.get(account) or self._scripts.get("")
            if not queue:
                return self.default
            return queue.popleft() if len(queue) > 1 else queue[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Provider

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._take()

    def do_POST(self) -> None:
        self._take()

    def _take(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Received(self.command, urlsplit(self.path).path, headers, raw)
        self.owner.received.append(request)
        self._perform(self._script_for(request), request)

    def _script_for(self, request: Received) -> Any:
        owner = self.owner
        if request.path.endswith("/responses"):
            script = owner.next_script(request.account)
        elif request.path.endswith("/models"):
            script = Answer(200, {"models": owner.models}, {"etag": '"provider"'})
        elif request.path.endswith("/wham/usage"):
            script = owner.usage_answer or Answer(200, owner.usage)
        elif request.path.endswith("/oauth/token"):
            owner.refreshes.append(_form_or_json(request))
            script = owner.token_answer or Answer(200, _new_tokens(len(owner.refreshes)))
        else:
            name = request.path.removeprefix("/backend-api")
            script = owner.side.get(name, Answer(404, {"detail": "Not Found"}))
        while callable(script) and not isinstance(script, Answer | Stream | HangUp | Silence):
            script = script(request)
        return script

    def _perform(self, script: Any, request: Received) -> None:
        try:
            if isinstance(script, Stream):
                self._stream(script, request)
            elif isinstance(script, Answer):
                self._answer(script)
            elif isinstance(script, HangUp):
                self._hang_up(script)
            else:
                self._wait_for_leave(request)
        except OSError:
            request.left()
            self.close_connection = True

    def _answer(self, script: Answer) -> None:
        whole = script.body if isinstance(script.body, bytes) else json.dumps(script.body).encode()
        self.send_response(script.status)
        given = {name.lower() for name in script.headers}
        if "content-type" not in given:
            self.send_header("content-type", "application/json")
        for name, value in script.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole)

    def _hang_up(self, script: HangUp) -> None:
        if script.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR) if not script.reset else self.connection.close()

    def _stream(self, script: Stream, request: Received) -> None:
        if script.wait and self._left_within(script.wait, request):
            return
        whole = b"".join(script.events)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        for name, value in script.headers.items():
            self.send_header(name, value)
        framing = {"chunked": ("transfer-encoding", "chunked"), "close": ("connection", "close")}
        self.send_header(*framing.get(script.framing, ("content-length", str(len(whole)))))
        self.end_headers()
        for number, part in enumerate(self._parts(script)):
            if script.hold and number == script.hold[0]:
                script.hold[1].wait(60)
            if number and script.gap and self._left_within(script.gap, request):
                return
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if self._chunked(script) else part)
        self._end(script, request)

    @staticmethod
    def _parts(script: Stream) -> Iterator[bytes]:
        for one in script.events:
            if script.bytewise:
                yield from (one[i : i + 1] for i in range(len(one)))
            else:
                yield one

    @staticmethod
    def _chunked(script: Stream) -> bool:
        return script.framing == "chunked"

    def _end(self, script: Stream, request: Received) -> None:
        if script.end == "silent":
            return self._wait_for_leave(request)
        if script.end == "cut":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif self._chunked(script):
            self.wfile.write(b"0\r\n\r\n")
        elif script.framing == "close":
            self.close_connection = True
        return None

    def _left_within(self, seconds: float, request: Received) -> bool:
        """Wait, unless the other side leaves first."""
        # Clients say nothing while they listen, so what can be read is an end (also in TLS).
        gone = wait_for_read(self.connection, timeout=seconds)
        if gone:
            request.left()
            self.close_connection = True
        return gone

    def _wait_for_leave(self, request: Received) -> None:
        self._left_within(60, request)
        self.close_connection = True


# ── accounts ──────────────────────────────────────────────────────────────────────────────


def jwt(claims: Mapping[str, Any]) -> str:
    """A token with these claims that nobody signed."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(claims)}.x"


def auth_json(name: str, *, plan: str = "plus", expires: int = 4102444800) -> bytes:
    """A Codex auth.json for an invented account whose upstream id is `name`."""
    claims = {"chatgpt_account_id": name, "chatgpt_plan_type": plan, "chatgpt_user_id": f"u-{name}"}
    identity = {"email": f"{name}@example.com", "https://api.openai.com/auth": claims}
    tokens = {
        "id_token": jwt({**identity, "exp": expires}),
        "access_token": jwt({"exp": expires, "for": name}),
        "refresh_token": f"refresh-{name}",
        "account_id": name,
    }
    return json.dumps({"tokens": tokens, "last_refresh": "2026-11-20T00:00:00Z"}).encode()


def _new_tokens(number: int) -> dict[str, str]:
    return {
        "access_token": jwt({"exp": 4102444800, "refresh": number}),
        "refresh_token": f"rotated-{number}",
        "id_token": "",
    }


def _form_or_json(request: Received) -> dict[str, Any]:
    if "json" in request.headers.get("content-type", ""):
        value = request.json
        return value if isinstance(value, dict) else {}
    from urllib.parse import parse_qsl

    return dict(parse_qsl(request.body.decode()))


# ── alone ─────────────────────────────────────────────────────────────────────────────────


def tool_turn(request: Received) -> Stream:
    """A turn as a coding client expects it: call a tool, then speak when its output is here."""
    body = request.json
    given = body.get("input") or []
    name = f"resp_{len(given)}_{int(time.monotonic() * 1000)}"
    kinds = {str(i.get("type")) for i in given if isinstance(i, dict)}
    tool = None if kinds & {"function_call_output", "custom_tool_call_output"} else _shell(body)
    return Stream(spoken("All done.", name) if tool is None else called(tool, name))


def _shell(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """A call of whichever tool of this client runs a command."""
    tools = list(body.get("tools") or [])
    for one in body.get("input") or []:
        if isinstance(one, dict) and one.get("type") == "additional_tools":
            tools += one.get("tools") or []
    names = {str(tool.get("name")): tool.get("type") for tool in tools if isinstance(tool, dict)}
    arguments = {
        "exec_command": {"cmd": "echo brimline"},
        "shell_command": {"command": "echo brimline"},
        "shell": {"command": ["echo", "brimline"]},
    }
    for name, value in arguments.items():
        if names.get(name) == "function":
            return {"type": "function_call", "name": name, "arguments": json.dumps(value)}
    if names.get("exec") == "custom":
        script = 'const r = await tools.exec_command({cmd: "echo brimline"}); text(r.output);'
        return {"type": "custom_tool_call", "name": "exec", "input": script}
    return None


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="A scripted provider on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", choices=("plain", "tools", "limit"), default="tools")
    parser.add_argument("--limited", action="append", default=[], help="accounts at their limit")
    given = parser.parse_args()
    scripts: dict[str, Script] = {
        "plain": Stream(),
        "tools": tool_turn,
        "limit": usage_limit(int(time.time()) + 3600),
    }
    with Provider(given.port, scripts[given.script]) as provider:
        for account in given.limited:
            provider.play(usage_limit(int(time.time()) + 3600), account=account)
        sys.stdout.write(f"{provider.url}\n")
        seen = 0
        while True:
            sys.stdout.flush()
            time.sleep(0.2)
            for request in provider.received[seen:]:
                seen += 1
                sys.stdout.write(f"{request.method} {request.path} {request.account}\n")


if __name__ == "__main__":
    main()
