"""The real OpenAI SDK against the real server: what its users would notice."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from server.config import Config
from tests.serving import Served, serving
from tests.upstream import (
    USAGE,
    Answer,
    Provider,
    Received,
    Stream,
    called,
    completed,
    created,
    event,
    failed,
    item,
    message,
    refusal,
    spoken,
    usage_limit,
)

COUNTS = (1000, 50, 1050, 800, 10)
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}}},
        "strict": True,
    },
}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def served(config: Config, provider: Provider) -> Iterator[Served]:
    with serving(config, provider) as running:
        running.account("acc-1")
        yield running


@pytest.fixture
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key="sk-of-the-client") as made:
        yield made


def ask(client: OpenAI, **fields: Any) -> Any:
    messages = [{"role": "user", "content": "Say hello."}]
    return client.chat.completions.create(**{"model": "gpt-5.5", "messages": messages, **fields})


def in_full(text: str) -> list[bytes]:
    """Every event of a spoken answer, as the SDK's accumulator insists on them."""
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    added, done = item(message(text))
    return [
        created(),
        added,
        event("response.content_part.added", part=part, **where),
        event("response.output_text.delta", delta=text, **where),
        event("response.output_text.done", text=text, **where),
        event("response.content_part.done", part={**part, "text": text}, **where),
        done,
        completed(),
    ]


def counts(usage: Any) -> tuple[int, ...]:
    return (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.prompt_tokens_details.cached_tokens,
        usage.completion_tokens_details.reasoning_tokens,
    )


# ── chat ──────────────────────────────────────────────────────────────────────────────────


def test_chat(client: OpenAI, provider: Provider, served: Served) -> None:
    found = ask(client, temperature=0.5, max_tokens=100, reasoning_effort="low")
    assert found.id == "chatcmpl-resp_1"
    assert found.object == "chat.completion"
    assert found.choices[0].message.content == "Hello."
    assert found.choices[0].finish_reason == "stop"
    assert counts(found.usage) == COUNTS
    sent = provider.responses()[0]
    assert sent.account == "acc-1"
    assert "sk-of-the-client" not in str(sent.headers)
    assert sent.json == {
        "model": "gpt-5.5",
        "instructions": "",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Say hello."}],
            }
        ],
        "reasoning": {"effort": "low"},
        "stream": True,
        "store": False,
    }
    [row] = served.rows()
    assert (row["endpoint"], row["status"], row["effort"]) == (
        "/v1/chat/completions",
        "success",
        "low",
    )
    assert (row["input"], row["cached"], row["output"], row["reasoning"]) == (1000, 800, 50, 10)
    assert row["response_id"] == "resp_1"


def test_chat_streams(client: OpenAI, provider: Provider) -> None:
    parts = [
        event("response.output_text.delta", item_id="msg_1", output_index=0, delta=text)
        for text in ("Hel", "lo", ".")
    ]
    provider.default = Stream([created(), *parts, *item(message("Hello.")), completed()])
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    said = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    assert said == ["Hel", "lo", ".", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert counts(chunks[-1].usage) == COUNTS
    assert {chunk.id for chunk in chunks} == {"chatcmpl-resp_1"}


def test_each_word_comes_at_once(client: OpenAI, provider: Provider) -> None:
    rest = threading.Event()
    words = [
        event("response.output_text.delta", item_id="msg_1", output_index=0, delta=text)
        for text in ("Hello", ".")
    ]
    whole = [created(), *words, item(message("Hello."))[1], completed()]
    provider.default = Stream(whole, hold=(2, rest))
    stream = ask(client, stream=True)
    try:
        assert next(stream).choices[0].delta.content == "Hello"
    finally:
        rest.set()
    assert [chunk.choices[0].delta.content for chunk in stream] == [".", None]


def tool_turn(request: Received) -> Stream:
    """Asks for a sum, and says it once it is there."""
    results = [i["output"] for i in request.json["input"] if i["type"] == "function_call_output"]
    if results:
        return Stream(spoken(f"It is {results[0]}.", "resp_2"))
    call = {"type": "function_call", "name": "add", "arguments": '{"a":1}'}
    return Stream(called(call))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_tool_round_trip(client: OpenAI, provider: Provider, stream: bool) -> None:
    provider.default = tool_turn
    messages: list[Any] = [{"role": "user", "content": "Add."}]

    def turn() -> Any:
        options: dict[str, Any] = {"model": "gpt-5.5", "messages": messages, "tools": [ADD]}
        if not stream:
            return client.chat.completions.create(**options).choices[0]
        with client.chat.completions.stream(**options) as events:
            for _ in events:
                pass
            return events.get_final_completion().choices[0]

    first = turn()
    assert first.finish_reason == "tool_calls"
    assert first.message.content is None
    [call] = first.message.tool_calls
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "add", '{"a":1}')
    messages += [
        first.message.model_dump(exclude_none=True, exclude={"parsed"}),
        {"role": "tool", "tool_call_id": call.id, "content": "3"},
    ]
    assert turn().message.content == "It is 3."
    before, after = provider.responses()
    assert before.json["tools"][0]["strict"] is True
    kinds = [entry["type"] for entry in after.json["input"]]
    assert kinds == ["message", "function_call", "function_call_output"]


def test_chat_with_a_form(client: OpenAI, provider: Provider) -> None:
    provider.default = Stream(spoken('{"a": 1}'))
    schema = {"name": "sum", "schema": {"type": "object"}, "strict": True}
    found = ask(client, response_format={"type": "json_schema", "json_schema": schema})
    assert json.loads(found.choices[0].message.content) == {"a": 1}
    form = provider.responses()[0].json["text"]["format"]
    assert form == {"type": "json_schema", **schema}


# ── responses and models ──────────────────────────────────────────────────────────────────


def test_responses(client: OpenAI, provider: Provider) -> None:
    found = client.responses.create(model="gpt-5.5", input="Say hello.", max_output_tokens=99)
    assert found.output_text == "Hello."  # although the provider's last event had no output
    assert found.usage is not None
    assert found.usage.total_tokens == USAGE["total_tokens"]
    assert "max_output_tokens" not in provider.responses()[0].json


def test_responses_stream(client: OpenAI, provider: Provider) -> None:
    provider.default = Stream(in_full("Hello."))
    with client.responses.stream(model="gpt-5.5", input="Say hello.") as events:
        kinds = [each.type for each in events]
        final = events.get_final_response()
    assert "response.output_text.delta" in kinds
    assert final.output_text == "Hello."


def test_models(client: OpenAI, provider: Provider) -> None:
    names = [model.id for model in client.models.list()]
    assert "gpt-5.5" in names


# ── errors ────────────────────────────────────────────────────────────────────────────────


def test_a_dry_pool_is_said_once(client: OpenAI, provider: Provider, served: Served) -> None:
    provider.default = usage_limit(int(time.time()) + 7200)
    with pytest.raises(openai.APIStatusError) as raised:
        ask(client)
    assert raised.value.status_code == 402
    assert raised.value.code == "usage_limit_reached"
    assert "Try again at " in str(raised.value)
    assert len(served.rows()) == 1  # not retried
    with pytest.raises(openai.RateLimitError):
        client.responses.create(model="gpt-5.5", input="x")
    assert len(served.rows()) == 2


@pytest.mark.parametrize("chat", [False, True])
def test_a_burst_is_waited_for(client: OpenAI, provider: Provider, chat: bool) -> None:
    burst = refusal(429, "rate_limit_exceeded", "Rate limit reached. Please try again in 2s.")
    provider.play(burst, Stream(in_full("Hi.")))
    if chat:
        assert ask(client).choices[0].message.content == "Hi."
    else:
        assert client.responses.create(model="gpt-5.5", input="x").output_text == "Hi."


def test_all_paused_says_who_must_do_what(client: OpenAI, served: Served) -> None:
    for summary in served.services.pool.candidates():
        served.services.pool.pause(summary.id)
    with pytest.raises(openai.PermissionDeniedError, match="Resume one"):
        ask(client, stream=True)


def test_another_account_takes_over(client: OpenAI, provider: Provider, served: Served) -> None:
    served.account("acc-2")
    provider.play(usage_limit(int(time.time()) + 7200), account="acc-1")
    for _ in range(3):  # whoever was chosen first
        assert ask(client).choices[0].message.content == "Hello."


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"n": 2}, "n", id="two answers"),
        pytest.param({"messages": []}, "messages", id="no message"),
        pytest.param({"tools": [{"type": "function"}]}, "tools[0].function.name", id="bad tool"),
    ],
)
def test_bad_requests(
    client: OpenAI, provider: Provider, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, **fields)
    assert raised.value.param == param
    assert provider.responses() == []


def test_the_providers_refusal_is_shown(client: OpenAI, provider: Provider) -> None:
    body = {
        "error": {"message": "Bad.", "type": "invalid_request_error", "code": "x", "param": "y"}
    }
    provider.default = Answer(400, body)
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client)
    assert (raised.value.code, raised.value.param) == ("x", "y")
    assert "Bad." in str(raised.value)


def test_a_refusal_of_another_shape_is_shown(client: OpenAI, provider: Provider) -> None:
    provider.default = Answer(400, {"detail": "Unsupported parameter: x"})
    with pytest.raises(openai.BadRequestError, match="Unsupported parameter: x"):
        ask(client)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_prompt_that_is_too_long(client: OpenAI, provider: Provider, stream: bool) -> None:
    provider.default = Stream([created(), failed("context_length_exceeded", "Too long.")])
    with pytest.raises(openai.APIError, match="Too long") as raised:
        list(ask(client, stream=stream))
    assert raised.value.code == "context_length_exceeded"
    assert len(provider.responses()) == 1


def test_a_stream_that_breaks_off_is_an_error(client: OpenAI, provider: Provider) -> None:
    provider.default = Stream(spoken()[:3], end="cut")
    said = []
    with pytest.raises(openai.APIError, match="broke off"):
        for chunk in ask(client, stream=True):
            said += [choice.delta.content for choice in chunk.choices]
    assert said == ["Hello."]
    assert len(provider.responses()) == 1  # never again after an item


def test_trouble_at_the_provider_is_not_multiplied(client: OpenAI, provider: Provider) -> None:
    provider.default = refusal(503, "server_is_overloaded", "Full.", retry_after="0")
    with pytest.raises(openai.InternalServerError):
        ask(client.with_options(max_retries=0))
    assert len(provider.responses()) == 1


def test_a_broken_off_plain_answer_is_an_error(client: OpenAI, provider: Provider) -> None:
    provider.default = Stream(spoken()[:3], end="cut")
    with pytest.raises(openai.InternalServerError, match="broke off"):
        ask(client.with_options(max_retries=0))
    assert len(provider.responses()) == 1


# ── what no SDK would send ────────────────────────────────────────────────────────────────


def post(served: Served, body: bytes, method: str = "POST", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", served.config.port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, "/v1/chat/completions", body, named)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


ASKED = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Say hello."}]}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(b"", {}, 400, id="nothing"),
        pytest.param(b"[]", {}, 400, id="a list"),
        pytest.param(b'{"model"', {}, 400, id="half a body"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, {}, 400, id="10,000 deep"),
        pytest.param(b"\x00\xff", {}, 400, id="bytes"),
        pytest.param(b"x", {"content_encoding": "zstd"}, 400, id="no zstd"),
        pytest.param(b"x", {"content_encoding": "gzip"}, 400, id="no gzip"),
        pytest.param(b"x", {"content_encoding": "br"}, 415, id="a coding we do not have"),
        pytest.param(
            gzip.compress(bytes(200 << 20), 9), {"content_encoding": "gzip"}, 413, id="a bomb"
        ),
    ],
)
def test_bodies_that_are_no_request(
    served: Served, provider: Provider, body: bytes, headers: dict[str, str], status: int
) -> None:
    found, said = post(served, body, **headers)
    assert (found, said["error"]["type"]) == (status, "invalid_request_error")
    assert said["error"]["message"].endswith(".")
    assert provider.responses() == []


def test_a_packed_body_is_read(served: Served) -> None:
    packed = gzip.compress(json.dumps(ASKED).encode())
    status, said = post(served, packed, content_encoding="gzip")
    assert (status, said["choices"][0]["message"]["content"]) == (200, "Hello.")


def test_only_post(served: Served) -> None:
    status, said = post(served, b"", "GET")
    assert (status, said["error"]["code"]) == (405, "method_not_allowed")


def test_a_session_stays_on_its_account(served: Served, provider: Provider) -> None:
    """As opencode names its sessions."""
    for name in ("acc-2", "acc-3", "acc-4"):
        served.account(name)
    for _ in range(4):
        post(served, json.dumps(ASKED).encode(), x_session_id="ses_1")
    assert len({request.account for request in provider.responses()}) == 1
    assert [row["reason"] for row in served.rows()][1:] == ["same thread"] * 3
    assert {row["session_id"] for row in served.rows()} == {"ses_1"}


def test_a_client_that_leaves_frees_the_provider(served: Served, provider: Provider) -> None:
    provider.default = Stream(spoken()[:3], end="silent")
    connection = http.client.HTTPConnection("127.0.0.1", served.config.port, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps({**ASKED, "stream": True}))
    answer = connection.getresponse()
    assert b"Hello." in answer.readline()
    answer.close()
    connection.close()
    assert provider.responses()[0].closed.wait(30)


def mangled(value: Any, dice: random.Random) -> Any:
    """`value` with one or more of its parts replaced by something that does not belong there."""
    wrong: list[Any] = [None, True, -1, 1e308, "", "\u0000", "x" * 300, [], {}, [[]], {"type": "x"}]
    if dice.random() < 0.15:
        return dice.choice(wrong)
    if isinstance(value, dict):
        return {key: mangled(inner, dice) for key, inner in value.items()}
    if isinstance(value, list):
        return [mangled(inner, dice) for inner in value]
    return value


def test_no_request_is_an_internal_error(served: Served) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    whole = {
        "model": "gpt-5.5",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            {"role": "assistant", "content": "x", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "3"},
        ],
        "tools": [ADD],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "stream_options": {"include_usage": True},
        "reasoning_effort": "low",
        "prompt_cache_key": "k",
        "service_tier": "priority",
        "n": 1,
    }
    dice = random.Random(7)
    seen = set()
    for _ in range(150):
        status, said = post(served, json.dumps(mangled(whole, dice)).encode())
        assert status == 200 or said["error"]["message"], said
        seen.add(status)
    assert seen == {200, 400}
