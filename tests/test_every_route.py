"""Ten thousand generated requests over every route: none is an internal error.

Each chunk is a group of routes. The pieces are those that break programs: wrong types, sizes,
encodings, orders; the mix is hypothesis's, and the same in every run.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from server.app import Services
from tests.serving import whole_app
from tests.upstream import auth_json

CHUNKS = {
    "accounts": ("/api/accounts", "/api/oauth", "/api/import", "/api/routing"),
    "usage": ("/api/usage", "/api/trends", "/api/calls", "/api/request-logs", "/api/dashboard/"),
    "keys": ("/api/api-keys",),
    "doors": ("/api/session", "/api/dashboard-auth", "/api/settings"),
    "proxy": ("/v1", "/backend-api", "/api/codex"),
    "telemetry": ("/otlp", "/api/telemetry"),
}
# Not Flask's: they sit in front of it.
BEFORE_FLASK = [
    "/v1/responses", "/v1/chat/completions", "/v1/models", "/v1/responses/compact",
    "/backend-api/codex/responses", "/backend-api/codex/models", "/backend-api/files",
    "/backend-api/codex/responses/compact", "/backend-api/files/<name>/uploaded",
    "/backend-api/transcribe", "/backend-api/wham/usage", "/backend-api/wham/accounts/check",
    "/backend-api/codex/analytics-events/events", "/api/codex/usage", "/v1/logs", "/v1/traces",
    "/v1/metrics", "/otlp/v1/logs", "/otlp/v1/traces", "/otlp/v1/metrics",
]  # fmt: skip
SPARED = ("/api/shutdown",)
METHODS = ("GET", "GET", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
TEXTS = (
    "", " ", "0", "1", "-1", "5", "28", "10000000000", "1e9", "NaN", "١٢", "null", "true",
    "primary",
    "secondary", "2026-11-21", "2026-02-30", "0001-01-01", "9999-12-31T23:59:59Z", "reset", "keep",
    "2030-01-31T12:00:00Z", "UTC", "Europe/Berlin", "../../etc/passwd", "gpt-5.5", "time", "asc",
    "%", "%00", "\x00", "\ud800", "💥", "‮", "'; drop table account; --", "<script>", "a" * 300,
    "x" * 5000, "acc-1@example.com", "session", "browser", "device", "day", "model", "codex",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.5, 2**53, 10**400, -(10**30), 1e308, [], {}, [None], [[]],
    {"a": 1},
    ["gpt-5.5"], [1, "x", None], {"": {"": {}}}, [{"limitType": "requests", "limitWindow": "5h"}],
    [{"limitType": "cost_usd", "limitWindow": "daily", "maxValue": 1}], [{"maxValue": "x"}],
    [{"role": "user", "content": "hi"}], [{"role": "tool", "content": None}], [{"role": 5}],
    [{"type": "message", "content": [{"type": "input_file", "file_id": "f"}]}], *TEXTS,
)  # fmt: skip
FIELDS = (
    "until", "alias", "priority", "routingPolicy", "forceMethod", "deviceAuthId", "callbackUrl",
    "flowId", "creditId", "redeemRequestId", "folder", "keyFile", "token", "password", "code",
    "currentPassword", "newPassword", "secret", "name", "allowedModels", "assignedAccountIds",
    "expiresAt", "limits", "weeklyTokenLimit", "isActive", "resetUsage", "wait", "model", "input",
    "stream", "store", "messages", "tools", "tool_choice", "response_format",
    "previous_response_id",
    "prompt_cache_key", "reasoning", "client_metadata", "service_tier", "n", "stop", "max_tokens",
    "instructions", "include", "text", "stream_options", "resourceLogs", "resourceSpans",
    "timeZone", "usagePollSeconds", "routingStrategy", "streamsPerAccount", "singleAccountId",
    "telemetryRelayUrl", "privacyMode", "requestLogDays", "file_name",
)  # fmt: skip
QUERIES = (
    "limit", "offset", "cursor", "search", "accountId", "status", "model", "modelOption", "q", "tz",
    "reasoningEffort", "since", "until", "from", "to", "by", "sort", "direction", "provider",
    "days",
    "hours", "window", "history", "flowId", "keyId", "session", "fileId", "previousResponseId",
    "client_version", "ticket", "effort", "project", "account", "priceStatus", "kind", "name",
)  # fmt: skip
TYPES = ("application/json", "application/json; charset=utf-16", "text/plain", "",
    "multipart/form-data",
         "multipart/form-data; boundary=b", "application/x-protobuf",
    "application/x-www-form-urlencoded",
         "image/\xff")  # fmt: skip
RAW = (
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"\x00", b"[" * 3000, b'{"a":' * 200, b"NaN",
    b'{"model":NaN}', b'{"model":"\\ud800","input":"x"}', b"{}" * 2, b"--b\r\n\r\n\r\n--b--\r\n",
    b'--b\r\ncontent-disposition: form-data; name="auth_json"; filename="\xff"\r\n\r\n{}\r\n'
    b"--b--\r\n",
    b"(\xb5/\xfd\x04\x00", b"\x1f\x8b\x08", b"\x0a\x05hello", b'{"input":"' + b"x" * 70_000 + b'"}',
)  # fmt: skip
HEADERS = (
    ("Content-Encoding", "gzip"), ("Content-Encoding", "zstd"), ("Content-Encoding", "br, x"),
    ("Authorization", "Bearer"), ("Authorization", "Bearer \xff"), ("Authorization", "Basic x"),
    ("Cookie", "brimline_session_80=\xff; =; ;"), ("Origin", "null"), ("Origin",
    "http://evil.test"),
    ("session-id", "\xff" * 300), ("x-codex-turn-metadata", "{"), ("x-codex-turn-metadata", "[1]"),
    ("x-codex-turn-state", "x" * 9000), ("Connection", "close, x-a"), ("Expect", "100-continue"),
    ("chatgpt-account-id", "\xe4"), ("Accept", "text/html"), ("Range", "bytes=0-1"), ("Upgrade",
    "websocket"),
    ("If-None-Match", "*"), ("If-Modified-Since", "yesterday"), ("X-CSRF-Token", "x"),
)  # fmt: skip

texts = st.sampled_from(TEXTS)
bodies = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES), max_size=5).map(
        lambda found: json.dumps(found).encode("utf-8", "surrogatepass")
    ),
    st.sampled_from(RAW),
)
requests = st.tuples(
    st.sampled_from(METHODS),
    st.lists(texts, min_size=3, max_size=3),
    st.dictionaries(st.sampled_from(QUERIES), texts, max_size=3),
    bodies,
    st.sampled_from((*TYPES, *TYPES[:1] * 8)),
    st.lists(st.sampled_from(HEADERS), max_size=1),
    st.booleans(),
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The whole application with an account and an API key; the provider is not there."""
    with whole_app(tmp_path_factory.mktemp("every")) as found:
        yield found


def routes(app: Flask) -> list[str]:
    """The template of every route."""
    found = {rule.rule for rule in app.url_map.iter_rules()} | set(BEFORE_FLASK)
    return sorted(found - set(SPARED))


def chunk(app: Flask, prefixes: tuple[str, ...]) -> list[str]:
    return [rule for rule in routes(app) if rule.startswith(prefixes)]


def others(app: Flask) -> list[str]:
    named = tuple(prefix for prefixes in CHUNKS.values() for prefix in prefixes)
    return [rule for rule in routes(app) if not rule.startswith(named)]


@pytest.mark.parametrize("name", [*CHUNKS, "others"])
def test_nothing_is_an_internal_error(
    app: Flask, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    templates = others(app) if name == "others" else chunk(app, CHUNKS[name])
    assert templates
    client = app.test_client()
    services: Services = app.extensions["brimline"]
    names = {"tray": f"Bearer {services.tray_token}"}
    account = services.pool.add(auth_json("acc-1")).id

    @hypothesis.settings(
        max_examples=1450,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(st.sampled_from(templates), requests)
    def ask(template: str, parts: Any) -> None:
        method, filled, query, body, content, extra, known = parts
        if not services.pool.candidates():
            services.pool.add(auth_json("acc-1"))  # a request removed it
        values = iter([account, *filled] if known else filled)
        path = re.sub(r"<[^>]+>", lambda _: spelled(next(values)) or "x", template)
        sent = Headers([("Authorization", names["tray"]), ("Content-Type", content)])
        for key, value in extra:
            sent.set(key, value)
        check(client, method, path, query, body, sent)

    ask()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def spelled(text: str) -> str:
    """A text as part of an address; what begins with % is one already, however odd."""
    return text if text.startswith("%") else quote(text.encode("utf-8", "surrogatepass"), safe="")


def check(
    client: FlaskClient, method: str, path: str, query: dict[str, str], body: bytes, sent: Headers
) -> None:
    asked = "&".join(f"{key}={spelled(value)}" for key, value in query.items())
    answer = client.open(f"{path}?{asked}", method=method, data=body, headers=sent)
    answer.get_data()
    answer.close()
    told = f"{method} {path[:80]}?{asked[:80]} {body[:80]!r}: {answer.status_code}"
    assert answer.status_code != 500, f"{told} {answer.data[:300]!r}"
    if answer.status_code >= 400 and method != "HEAD" and path.startswith("/api/"):
        error = answer.get_json()["error"]
        assert error["message"], told
        assert error["code"], told
