"""The guard's rules as tables, and the guard in front of a real app."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from dataclasses import replace
from typing import Any

import pytest

from server import runtime
from server.auth.guard import (
    SECURITY_HEADERS,
    Caller,
    Guard,
    allowed_host,
    allowed_origin,
    split_host,
)
from server.config import Config
from tests.rig import end

OWN = ("127.0.0.1", "localhost", "::1")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("127.0.0.1:2455", True, id="our address"),
        pytest.param("localhost:2455", True, id="our name"),
        pytest.param("LOCALHOST:2455", True, id="names have no case"),
        pytest.param("localhost.:2455", True, id="the root dot is the same name"),
        pytest.param("[::1]:2455", True, id="IPv6 in brackets"),
        pytest.param("127.0.0.1", False, id="no port means 80"),
        pytest.param("127.0.0.1:2456", False, id="another port"),
        pytest.param("127.0.0.1:02455x", False, id="a port is digits"),
        pytest.param("127.0.0.1.evil.example:2455", False, id="never by prefix"),
        pytest.param("evil.example:2455", False, id="a rebinding page"),
        pytest.param("127.evil.com:2455", False, id="looks like loopback"),
        pytest.param("0.0.0.0:2455", False, id="the zero address"),
        pytest.param("[::ffff:127.0.0.1]:2455", False, id="mapped address"),
        pytest.param("user@127.0.0.1:2455", False, id="user info"),
        pytest.param("127.0.0.1:2455, evil", False, id="two hosts folded"),
        pytest.param("", False, id="empty"),
        pytest.param(None, False, id="absent"),
    ],
)
def test_host(header: str | None, expected: bool) -> None:
    assert allowed_host(header, 2455, OWN) is expected


def test_split_host_drops_nothing_it_does_not_understand() -> None:
    assert split_host("[::1") is None
    assert split_host("[evil]:1") is None
    assert split_host("a b:1") is None


@pytest.mark.parametrize(
    ("site", "mode", "origin", "expected"),
    [
        pytest.param(None, None, None, True, id="not a browser"),
        pytest.param("same-origin", "cors", None, True, id="our page reads"),
        pytest.param("same-origin", "cors", "http://127.0.0.1:2455", True, id="our page writes"),
        pytest.param("none", "navigate", None, True, id="typed address"),
        pytest.param("none", "cors", None, False, id="none is for navigations"),
        pytest.param("cross-site", "navigate", None, False, id="a link on another site"),
        pytest.param("cross-site", "no-cors", None, False, id="an image on another site"),
        pytest.param("same-site", "cors", None, False, id="another port of localhost"),
        pytest.param(None, None, "null", False, id="a sandboxed frame"),
        pytest.param(None, None, "http://localhost:2455", True, id="our other name"),
        pytest.param(None, None, "http://localhost:3000", False, id="another port"),
        pytest.param(None, None, "http://evil.example", False, id="another site"),
        pytest.param(None, None, "file://", False, id="a file"),
        pytest.param(None, None, "chrome-extension://abc", False, id="an extension"),
        pytest.param("same-origin", "cors", "http://evil.example", False, id="they disagree"),
    ],
)
def test_origin(site: str | None, mode: str | None, origin: str | None, expected: bool) -> None:
    assert allowed_origin(site, mode, origin, 2455, OWN) is expected


def call(
    path: str, *, locked: bool = False, kind: str = "anonymous", **extra: str
) -> tuple[str, dict[str, str]]:
    """One request through a guard; the status line and the headers."""
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"in"]

    def start(status: str, headers: list[tuple[str, str]], exc: Any = None) -> None:
        seen["status"], seen["headers"] = status, dict(headers)

    guard = Guard(app, identify=lambda _: Caller(kind), locked=lambda: locked)
    environ = {"PATH_INFO": path, "SERVER_PORT": "2455", "HTTP_HOST": "127.0.0.1:2455", **extra}
    list(guard(environ, start))
    return seen["status"], seen["headers"]


@pytest.mark.parametrize(
    "path", ["/", "/assets/x.js", "/api/accounts", "/v1/models", "/health", "/nowhere"]
)
def test_every_route_is_guarded(path: str) -> None:
    assert call(path, HTTP_HOST="evil.example")[0].startswith("421")
    assert call(path, HTTP_ORIGIN="http://evil.example")[0].startswith("403")
    status, headers = call(path)
    assert status == "200 OK"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_api_answers_are_not_stored_by_browsers() -> None:
    assert call("/api/accounts")[1]["Cache-Control"] == "no-store"


def test_an_upgrade_gets_426_at_once() -> None:
    status, _ = call("/v1/responses", HTTP_UPGRADE="websocket")
    assert status.startswith("426")


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        pytest.param("/api/accounts", "anonymous", "401", id="private"),
        pytest.param("/api/accounts", "admin", "200", id="admin"),
        pytest.param("/api/accounts", "tray", "200", id="tray"),
        pytest.param("/api/accounts", "session", "200", id="signed in"),
        pytest.param("/api/session", "anonymous", "200", id="the sign-in itself"),
        pytest.param("/", "anonymous", "200", id="the page that asks"),
        pytest.param("/health", "anonymous", "200", id="health"),
        pytest.param("/v1/models", "anonymous", "200", id="the proxy has its own keys"),
    ],
)
def test_locked(path: str, kind: str, expected: str) -> None:
    assert call(path, locked=True, kind=kind)[0].startswith(expected)


HEAD = b"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, "invalid_request_error", id="no start line"),
        pytest.param(
            HEAD + b"Content-Length: x\r\n\r\n", 400, "invalid_request_error", id="no length"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            400, "invalid_request_error", id="no chunk",
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501, "not_implemented", id="an encoding"
        ),
        pytest.param(
            HEAD + b"Content-Length: 999999999\r\n\r\n", 413, "payload_too_large", id="a body"
        ),
        # Not a byte more: what the server has not read resets the connection.
        pytest.param(
            HEAD + b"X: ".ljust(65536 - len(HEAD), b"x"), 431, "headers_too_large", id="headers"
        ),
    ],
)  # fmt: skip
def test_what_is_no_request_gets_our_answer(
    config: Config, sent: bytes, status: int, code: str
) -> None:
    def nothing(*_: Any) -> list[bytes]:
        raise AssertionError("it is no request")

    listener = runtime._bind(replace(config, port=0))
    server = runtime._waitress(nothing, config, listener)
    web = threading.Thread(target=server.run, daemon=True)
    web.start()
    try:
        with socket.create_connection(listener.getsockname(), timeout=30) as client:
            client.sendall(sent)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            body = answer.read()
            assert client.recv(1) == b""  # and the connection ends
    finally:
        end(server, web)
    error = json.loads(body)["error"]
    assert (answer.status, error["code"]) == (status, code)
    assert error["message"].endswith(".") and "x" * 20 not in error["message"]
    assert {name: answer.headers[name] for name, _ in SECURITY_HEADERS} == dict(SECURITY_HEADERS)
    assert answer.headers["Content-Type"] == "application/json"
