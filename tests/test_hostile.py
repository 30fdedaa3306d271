"""Seeded nonsense on every route of the proxy: an answer each time, never a 500."""

from __future__ import annotations

import http.client
import json
import random
from typing import Any

from server.config import Config
from tests.rig import BODY, CODEX, OPENAI, running

PATHS = (CODEX, OPENAI, "/v1/chat/completions", "/v1/models", "/backend-api/codex/models")
VALUES: list[Any] = [
    None, True, 0, -1, 2**70, 1.5, "", "x" * 3000, "\u0000", "ä\u2028", [], {}, [[]], {"a": {}},
    "gpt-5.5", ["gpt-5.5"], {"effort": 5}, {"effort": "high"}, [{"type": 5}], [None], "none",
]  # fmt: skip
FIELDS = (
    "model", "stream", "store", "input", "messages", "tools", "tool_choice", "reasoning", "text",
    "prompt_cache_key", "previous_response_id", "service_tier", "client_metadata", "include",
    "response_format", "stream_options", "n", "user", "metadata", "max_output_tokens",
)  # fmt: skip
HEADERS = {
    "content-encoding": ["", "identity", "zstd", "gzip", "GZIP", "br", "gzip, gzip", "x" * 500],
    "session-id": ["", "s", "é" * 300, "'; drop table request_log"],
    "x-codex-turn-metadata": ["", "{", "[]", '{"turn_id":5}', '{"thread_source":{}}', "[" * 5000],
    "x-codex-turn-state": ["", "x" * 4000],
    "authorization": ["", "Bearer", "Bearer ", "Basic x", "Bearer é"],
    "user-agent": ["", " ", "a b c", "é"],
    "content-type": ["", "text/plain", "multipart/form-data"],
}


def body(draw: random.Random) -> bytes:
    value: Any = dict(BODY)
    for _ in range(draw.randint(0, 5)):
        value[draw.choice(FIELDS)] = draw.choice(VALUES)
    raw = json.dumps(value).encode()
    kind = draw.random()
    if kind < 0.1:
        return raw[: draw.randint(0, len(raw))]
    if kind < 0.2:
        at = draw.randint(0, len(raw))
        return raw[:at] + draw.randbytes(3) + raw[at:]
    return draw.randbytes(draw.randint(0, 60)) if kind < 0.25 else raw


def test_nonsense_is_answered(config: Config, database: None) -> None:
    draw = random.Random(20261121)
    with running(config) as rig:
        for _ in range(400):
            headers = {
                name: draw.choice(values).encode()
                for name, values in HEADERS.items()
                if draw.random() < 0.15
            }
            method = draw.choice(("POST", "POST", "POST", "GET", "PUT", "DELETE"))
            sent = body(draw)
            path = draw.choice(PATHS) + draw.choice(("", "", "/", "?client_version=%00", "?x=[]"))
            connection = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=30)
            connection.request(method, path, sent, {**headers, "connection": "close"})
            response = connection.getresponse()
            answer = response.read()
            connection.close()
            assert response.status != 500, (method, path, headers, sent)
            if response.status >= 400 and "json" in str(response.getheader("content-type")):
                assert json.loads(answer)["error"]["message"]
        assert rig.proxy.active() == 0
        assert rig.send().status == 200
