"""The demo's outside world: a provider on loopback, and somebody who works through the proxy."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from desktop import sample, signals
from desktop.supervisor import find
from server.config import Config

THREAD = "01a1fbe2-0000-7000-8000-000000000000"  # what the client that is played works on
_MODEL, PROMPT = "gpt-5.5", "Is this a demo?"
TELEMETRY = "/otlp/v1/logs"
_PAUSE = 45.0  # seconds between two requests of the client that is played
_SAID = "This is Brimline's demo: no provider is behind it."


class Provider:
    """Tells each account's allowance and gives short answers; everything else is refused."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Answers)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, name="provider", daemon=True).start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    began = 0

    def server_activate(self) -> None:
        self.began = int(time.time() * 1000)
        super().server_activate()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a caller leaves early."""


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Say nothing on the terminal."""

    def do_GET(self) -> None:
        account = self.headers.get("chatgpt-account-id") or ""
        if self.path.endswith("/wham/usage") and account in sample.ACCOUNTS:
            self._say(200, sample.allowance(account, self.server.began))
        elif self.path.partition("?")[0].endswith("/models"):
            self._say(200, {"models": []})
        else:
            self._refuse()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.endswith("/responses"):
            self._stream()
        else:
            self._refuse()

    def _stream(self) -> None:
        """A short answer, a few seconds long."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for pause, event in _answer():
            time.sleep(pause)
            self.wfile.write(event)
            self.wfile.flush()
        self.close_connection = True

    def _refuse(self) -> None:
        self._say(403, {"error": {"code": "demo", "message": _SAID}})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def _event(kind: str, **rest: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **rest})}\n\n".encode()


def _answer() -> Iterator[tuple[float, bytes]]:
    """The events of one answer, each after its pause."""
    number = random.getrandbits(96)  # noqa: S311 - only names
    name, item = f"resp_{number:032x}", {"type": "message", "id": "msg_1", "role": "assistant"}
    text = {"type": "output_text", "text": _SAID, "annotations": []}
    read, written = 21_000 + number % 90_000, 80 + number % 700
    used = sample.figures((read, read // 128 * 116, written, written // 3))
    usage = {
        **used,
        "input_tokens_details": {"cached_tokens": used["cached_input_tokens"]},
        "output_tokens_details": {"reasoning_tokens": used["reasoning_output_tokens"]},
    }
    yield 0.4, _event("response.created", response={"id": name, "status": "in_progress"})
    yield 0.5, _event("response.output_item.added", output_index=0, item={**item, "content": []})
    for word in _SAID.split():
        delta = {"item_id": "msg_1", "output_index": 0, "delta": f"{word} "}
        yield 0.3, _event("response.output_text.delta", **delta)
    yield 0.1, _event("response.output_item.done", output_index=0, item={**item, "content": [text]})
    done = {"id": name, "object": "response", "status": "completed", "output": [], "usage": usage}
    yield 0.1, _event("response.completed", response=done)


class Client(threading.Thread):
    """Plays somebody who works: a request through the proxy now and then."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="client", daemon=True)
        self._config = config
        self._stopping = threading.Event()

    def run(self) -> None:
        """Ask, pause, ask again, until `stop`."""
        pause = 1.0
        while not self._stopping.wait(pause):
            address = find(self._config)
            if address is not None:
                pause = _PAUSE
                # The user may have closed the door (keys) or paused everyone: then nobody works.
                with suppress(OSError, http.client.HTTPException):
                    self._ask(address.port)

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()

    def _ask(self, port: int) -> None:
        body = {
            "model": _MODEL,
            "instructions": "",
            "input": [{"role": "user", "content": PROMPT}],
            "reasoning": {"effort": "medium"},
            "stream": True,
            "store": False,
        }
        headers = {
            "content-type": "application/json",
            "originator": "codex_cli_rs",
            "user-agent": "codex_cli_rs/0.169.0 (demo)",
            "session-id": THREAD,
        }
        started, clock = int(time.time() * 1000), time.monotonic()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            path = "/backend-api/codex/responses"
            connection.request("POST", path, json.dumps(body).encode(), headers)
            answer = connection.getresponse()
            answer.readline()
            first = time.monotonic() - clock
            rest = answer.read()
        tokens = _used(rest)
        if tokens is not None:
            took = time.monotonic() - clock
            call = signals.Call(started, int(took * 1000), int(first * 1000), tokens)
            self._tell(port, call)

    def _tell(self, port: int, call: signals.Call) -> None:
        """Export the turn, as a client with telemetry does."""
        talk = signals.Talk.of(THREAD, _MODEL)
        for body in signals.turn(talk, call, PROMPT, seed=0):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.request("POST", TELEMETRY, body, {"content-type": "application/json"})
                connection.getresponse().read()


def _used(stream: bytes) -> signals.Tokens | None:
    """The tokens that an answer's last event tells; None when it did not come to its end."""
    for line in reversed(stream.splitlines()):
        if line.startswith(b"data:") and b'"response.completed"' in line:
            used = json.loads(line[5:])["response"]["usage"]
            cached = used["input_tokens_details"]["cached_tokens"]
            reasoning = used["output_tokens_details"]["reasoning_tokens"]
            return used["input_tokens"], cached, used["output_tokens"], reasoning
    return None
