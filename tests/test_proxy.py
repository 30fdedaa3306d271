"""The proxy's surface: what reaches the provider, what comes back, what is refused."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard

from server.config import Config
from tests.rig import BODY, CODEX, OPENAI, Rig, running, wait_until
from tests.upstream import Answer, Stream, completed, created, item, message, refusal


@pytest.fixture
def rig(config: Config, database: None) -> Iterator[Rig]:
    with running(config) as found:
        yield found


def test_a_stream_arrives_byte_for_byte(rig: Rig) -> None:
    events = [
        b": hello\n\n",
        b'data: {"type":"response.created","response":{"id":"r"}}\r\n\r\n',
        b'data: {"type":"response.output_text.delta","delta":"\xe2\x80\xa8 \xc2\x85"}\n\n',
        b"data: not json\n\n",
        completed("r"),
        b"data: [DONE]\n\n",
    ]
    rig.provider.play(Stream(events))
    reply = rig.send()
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.body == b"".join(events)


def test_the_body_is_sent_on_untouched(rig: Rig) -> None:
    body = b'{ "model":"gpt-5.5",  "input":[{"type":"compaction_trigger","x":1e2}],"new":{"a":[]}}'
    rig.send(body)
    received = rig.provider.responses()[0]
    assert received.raw == body
    assert received.path == "/backend-api/codex/responses"


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        pytest.param("zstd", lambda b: zstandard.ZstdCompressor().compress(b), id="as Codex sends"),
        pytest.param("gzip", gzip.compress, id="gzip"),
        pytest.param("deflate", zlib.compress, id="deflate with its header"),
        pytest.param("deflate", lambda b: zlib.compress(b)[2:-4], id="deflate without"),
    ],
)
def test_packed_bodies_are_understood(rig: Rig, coding: str, pack: Any) -> None:
    plain = json.dumps(BODY).encode()
    assert rig.send(pack(plain), content_encoding=coding).status == 200
    received = rig.provider.responses()[0]
    assert received.body == plain
    assert received.headers.get("content-encoding") == ("zstd" if coding == "zstd" else None)
    if coding == "zstd":
        assert received.raw == pack(plain), "zstd goes on as it came"


@pytest.mark.parametrize(
    ("body", "headers", "status", "param"),
    [
        pytest.param(b"", {}, 400, None, id="empty"),
        pytest.param(b"{", {}, 400, None, id="not JSON"),
        pytest.param(b"[1]", {}, 400, None, id="not an object"),
        pytest.param(b"{}", {}, 400, "model", id="no model"),
        pytest.param(b'{"model": 5}', {}, 400, "model", id="a model that is no name"),
        pytest.param(b'{"model":"m","stream":"yes"}', {}, 400, "stream", id="stream is no flag"),
        pytest.param(b'{"model":"m","x":' + b"[" * 10_000 + b"}", {}, 400, None, id="10,000 deep"),
        pytest.param(b"\xff\xfe\x00", {}, 400, None, id="not UTF-8"),
        pytest.param(b"junk", {"content_encoding": "zstd"}, 400, None, id="bad zstd"),
        pytest.param(b"junk", {"content_encoding": "gzip"}, 400, None, id="bad gzip"),
        pytest.param(
            gzip.compress(b'{"model":"m"}')[:-6], {"content_encoding": "gzip"}, 400, None, id="torn"
        ),
        pytest.param(b"{}", {"content_encoding": "br"}, 415, None, id="unknown coding"),
        pytest.param(b"{}", {"content_encoding": "gzip, zstd"}, 415, None, id="stacked codings"),
        pytest.param(
            zstandard.ZstdCompressor().compress(bytes(129 << 20)),
            {"content_encoding": "zstd"},
            413,
            None,
            id="a zstd bomb",
        ),
        pytest.param(
            zstandard.ZstdCompressor().compress(b'{"model":"m"}')[:-4],
            {"content_encoding": "zstd"},
            400,
            None,
            id="torn zstd",
        ),
        pytest.param(
            gzip.compress(bytes(129 << 20), 9), {"content_encoding": "gzip"}, 413, None, id="bomb"
        ),
    ],
)
def test_bad_bodies_are_refused_in_openai_words(
    rig: Rig, body: bytes, headers: dict[str, str], status: int, param: str | None
) -> None:
    for path in (CODEX, OPENAI):
        reply = rig.send(body, path, **headers)
        assert reply.status == status
        assert reply.error["message"]
        assert reply.error["type"] == "invalid_request_error"
        assert reply.error.get("param") == param
    assert not rig.provider.responses()
    wait_until(lambda: len(rig.rows()) == 2, "a row each")
    assert {row["status"] for row in rig.rows()} == {"error"}


HI = {"role": "user", "content": "Hi."}


def v1(given: dict[str, Any]) -> bytes:
    return json.dumps({"model": "gpt-5.5", "stream": True, **given}).encode()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            {"messages": [{"role": "system", "content": "Be brief."}, HI]},
            {
                "instructions": "Be brief.",
                "input": [
                    {
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": "Hi."}],
                    }
                ],
            },
            id="messages instead of input",
        ),
        pytest.param(
            {"messages": [HI], "instructions": "Be kind."},
            {"instructions": "Be kind."},
            id="with instructions beside them",
        ),
        pytest.param(
            {
                "input": "x",
                "reasoningEffort": "low",
                "reasoningSummary": "auto",
                "verbosity": "low",
            },
            {"reasoning": {"effort": "low", "summary": "auto"}, "text": {"verbosity": "low"}},
            id="older spellings",
        ),
        pytest.param(
            {"input": "x", "reasoningEffort": "low", "reasoning": {"effort": "high"}},
            {"reasoning": {"effort": "high"}},
            id="which never beat the proper field",
        ),
        pytest.param(
            {"input": "x", "textVerbosity": 5, "reasoning": {"effort": "low"}},
            {"reasoning": {"effort": "low"}},
            id="nor spoil it",
        ),
    ],
)
def test_other_spellings_of_the_openai_surface(
    rig: Rig, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert rig.send(v1(given), OPENAI).status == 200
    sent = json.loads(rig.provider.responses()[0].body)
    assert {key: sent[key] for key in expected} == expected
    assert not {"messages", "reasoningEffort", "reasoningSummary", "verbosity"} & set(sent)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        pytest.param({"messages": [HI], "input": "x"}, "messages", id="both"),
        pytest.param({}, "input", id="neither"),
        pytest.param(
            {"input": "x", "conversation": "c", "previous_response_id": "r"},
            "conversation",
            id="two ways to go on",
        ),
        pytest.param({"input": "x", "reasoning": 5}, "reasoning", id="how to think, as a number"),
        pytest.param({"input": "x", "text": "low"}, "text", id="what to write, as a text"),
        pytest.param({"input": "x", "include": {}}, "include", id="no list"),
        pytest.param({"input": "x", "instructions": ["a"]}, "instructions", id="a list of rules"),
        pytest.param({"input": "x", "tool_choice": 1}, "tool_choice", id="which tool, by number"),
        pytest.param({"input": "x", "parallel_tool_calls": "yes"}, "parallel_tool_calls", id="yes"),
        pytest.param({"input": "x", "service_tier": {}}, "service_tier", id="no tier"),
        pytest.param({"input": "x", "prompt_cache_key": 7}, "prompt_cache_key", id="no key"),
        pytest.param({"input": "x", "client_metadata": []}, "client_metadata", id="no metadata"),
        pytest.param({"input": "x", "store": 1}, "store", id="neither true nor false"),
        pytest.param({"messages": None}, "input", id="null is neither"),
        pytest.param({"messages": []}, "messages", id="none"),
        pytest.param({"messages": "Hi."}, "messages", id="no list"),
        pytest.param({"messages": [5]}, "messages[0]", id="no message"),
        pytest.param({"messages": [{"role": "x"}]}, "messages[0].role", id="nobody's"),
    ],
)
def test_messages_that_cannot_be_understood(rig: Rig, given: dict[str, Any], param: str) -> None:
    reply = rig.send(v1(given), OPENAI)
    assert (reply.status, reply.error["param"]) == (400, param)
    assert not rig.provider.responses()


def test_only_the_chosen_accounts_identity_goes_upstream(rig: Rig) -> None:
    rig.send(
        None,
        authorization="Bearer client-secret",
        chatgpt_account_id="client",
        x_openai_account_routing_override="us",
        cookie="a=b",
        x_forwarded_for="1.2.3.4",
        cf_ray="x",
        session_id="s1",
        thread_id="t1",
        x_codex_beta_features="remote_compaction_v2",
        user_agent="codex_exec/0.169.0 (Debian) dumb",
        originator="codex_exec",
    )
    got = rig.provider.responses()[0].headers
    assert "client" not in json.dumps({k: v for k, v in got.items() if "codex" not in v})
    assert got["authorization"].startswith("Bearer ey")
    assert got["chatgpt-account-id"] in ("acc-1", "acc-2")
    assert got["accept"] == "text/event-stream"
    assert got["accept-encoding"] == "identity"
    assert got["thread-id"] == "t1"
    assert got["x-codex-beta-features"] == "remote_compaction_v2"
    assert got["originator"] == "codex_exec"
    for name in ("cookie", "x-forwarded-for", "cf-ray", "x-openai-account-routing-override"):
        assert name not in got


def test_one_accounts_headers_do_not_reach_the_client(rig: Rig) -> None:
    rig.provider.play(
        Stream(
            headers={
                "set-cookie": "a=b",
                "x-codex-turn-state": "state-1",
                "x-codex-primary-used-percent": "29",
                "x-codex-primary-window-minutes": "300",
                "x-codex-plan-type": "plus",
                "x-models-etag": '"theirs"',
                "x-request-id": "req-1",
                "connection": "x-private",
                "x-private": "1",
            }
        )
    )
    got = rig.send().headers
    assert got["x-codex-turn-state"] == "state-1"
    assert got["x-request-id"] == "req-1"
    for name in ("set-cookie", "x-codex-plan-type", "x-private", "x-models-etag"):
        assert name not in got


def test_v1_takes_what_the_backend_would_refuse(rig: Rig) -> None:
    sent = {"input": "Hi", "max_output_tokens": 5, "temperature": 1, "user": "u", "new_thing": 1}
    assert rig.send(sent, OPENAI).status == 200
    got = rig.provider.responses()[0].json
    assert got["input"][0]["content"] == [{"type": "input_text", "text": "Hi"}]
    assert got["new_thing"] == 1
    assert not {"max_output_tokens", "temperature", "user"} & set(got)


def test_the_codex_route_strips_nothing(rig: Rig) -> None:
    rig.send({"max_output_tokens": 5})
    assert rig.provider.responses()[0].json["max_output_tokens"] == 5


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "collected"])
def test_an_empty_output_is_rebuilt_for_v1(rig: Rig, stream: bool) -> None:
    parts = [created(), *item(message("one"), 0), *item(message("two"), 1), completed()]
    rig.provider.play(Stream(parts))
    reply = rig.send({"stream": stream}, OPENAI)
    response = reply.events[-1]["response"] if stream else reply.json
    texts = [one["content"][0]["text"] for one in response["output"]]
    assert texts == ["one", "two"]
    assert response["usage"]["input_tokens"] == 1000
    assert rig.provider.responses()[0].json["stream"] is True


def test_a_refusal_is_passed_on_unchanged(rig: Rig) -> None:
    rig.provider.play(refusal(400, "context_length_exceeded", "too long"))
    reply = rig.send()
    assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
    assert len(rig.served()) == 1, "it would end the same anywhere"


def test_a_page_instead_of_json_becomes_a_sentence(rig: Rig) -> None:
    rig.provider.play(Answer(404, b"<html>nope</html>", {"content-type": "text/html"}))
    reply = rig.send()
    assert reply.status == 404
    assert "html" not in reply.error["message"]


@pytest.mark.parametrize("path", [CODEX, OPENAI])
def test_other_methods_are_named(rig: Rig, path: str) -> None:
    reply = rig.get(path)
    assert (reply.status, reply.error["code"]) == (405, "method_not_allowed")


def test_other_paths_pass_through(rig: Rig) -> None:
    assert rig.get("/health").status == 404


@pytest.mark.parametrize("path", [CODEX, OPENAI])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("input", 5, id="a number"),
        pytest.param("input", {"type": "message"}, id="an item without its list"),
        pytest.param("input", [5], id="no item"),
        pytest.param("tools", 5, id="no list of tools"),
        pytest.param("tools", [[]], id="no tool"),
        pytest.param("previous_response_id", 5, id="no id"),
        pytest.param("model", "m" * 100_000, id="no name"),
    ],
)
def test_a_wrong_type_is_named_and_goes_nowhere(
    rig: Rig, path: str, field: str, value: object
) -> None:
    reply = rig.send({**BODY, field: value}, path)
    assert (reply.status, reply.error["param"]) == (400, field)
    assert f"“{field}" in reply.error["message"]
    assert len(reply.body) < 500
    assert rig.provider.responses() == []


def test_a_response_without_input_is_refused(rig: Rig) -> None:
    reply = rig.send({**BODY, "input": None}, OPENAI)
    assert (reply.status, reply.error["param"]) == (400, "input")


def test_unknown_items_and_tools_pass(rig: Rig) -> None:
    rig.provider.play(Stream([created("r"), completed("r")]))
    body = {**BODY, "input": [{"type": "new"}], "tools": [{"type": "newer"}], "other": 5}
    assert rig.send(body).status == 200


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        pytest.param(
            b'{"error":{"code":"bad_tool","message":"No such tool sk-proj-%s"}}' % (b"a1B2" * 12),
            "bad_tool",
            "No such tool",
            id="its own code, without a key that it quotes",
        ),
        pytest.param(b'{"detail":"Too old."}', "http_400", "Too old.", id="a detail"),
        pytest.param(b'{"detail":[{"msg":"missing"}]}', "http_400", "missing", id="details"),
    ],
)
def test_the_providers_reason_is_kept(rig: Rig, said: bytes, code: str, words: str) -> None:
    rig.provider.play(Answer(400, said))
    assert rig.send().status == 400
    row = rig.row()
    assert (row["error_code"], row["http_status"]) == (code, 400)
    assert words in row["error_message"]
    assert "a1B2" not in row["error_message"]


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_web_page_is_told_from_the_provider(rig: Rig, status: int) -> None:
    page = Answer(status, b"<html>Welcome</html>", {"Content-Type": "text/html; charset=utf-8"})
    rig.provider.play(page, page, page, page)
    reply = rig.send()
    assert f"web page came instead of the provider's answer (status {status})" in str(reply.error)
    assert rig.row()["error_message"] == reply.error["message"]


@pytest.mark.parametrize("path", [CODEX, OPENAI])
def test_codex_is_told_of_trouble_in_our_words(rig: Rig, path: str) -> None:
    page = Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html; charset=utf-8"})
    rig.provider.play(page)
    reply = rig.send(None, path, user_agent="codex_exec/0.169.0 (Debian 12.0.0; x86_64)")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
    (event,) = reply.events
    assert event["type"] == "response.failed"
    assert event["response"]["error"]["code"] == "server_error", "the other has words of its own"
    assert "web page came instead" in event["response"]["error"]["message"]
    row = rig.row()
    assert (row["status"], row["error_code"], row["http_status"]) == (
        "error",
        "server_is_overloaded",
        200,
    )


def test_a_chat_stops_at_a_web_page(rig: Rig) -> None:
    rig.provider.play(Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}))
    reply = rig.send({"messages": [{"role": "user", "content": "Hi"}]}, "/v1/chat/completions")
    assert (reply.status, reply.error["code"]) == (403, "no_answer")
    assert "web page came instead" in reply.error["message"]
