"""A response's events become chat chunks, and those one chat completion."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import AppError
from server.proxy import chat, sse, translate

USAGE = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 800},
    "output_tokens": 60,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 1260,
}
COUNTS = {
    "prompt_tokens": 1200,
    "completion_tokens": 60,
    "total_tokens": 1260,
    "prompt_tokens_details": {"cached_tokens": 800},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
Event = dict[str, Any]


def ask(**fields: Any) -> translate.Chat:
    return translate.request(
        {"model": "m", "messages": [{"role": "user", "content": "x"}]} | fields
    )


def event(kind: str, **fields: Any) -> Event:
    return {"type": f"response.{kind}", **fields}


def created() -> Event:
    return event("created", response={"id": "resp_1", "model": "gpt-5.5", "created_at": 1700000000})


def completed(**fields: Any) -> Event:
    return event("completed", response={"id": "resp_1", "output": [], "usage": USAGE, **fields})


def incomplete(reason: str) -> Event:
    response = {"id": "resp_1", "status": "incomplete", "incomplete_details": {"reason": reason}}
    return event("incomplete", response=response)


def message(text: str, index: int = 0) -> Event:
    content = [{"type": "output_text", "text": text}]
    item = {"type": "message", "id": f"msg_{index}", "role": "assistant", "content": content}
    return event("output_item.done", output_index=index, item=item)


def citing() -> Event:
    page = {"type": "url_citation", "url": "https://x.test/", "title": "X"}
    found = message("a")
    found["item"]["content"][0]["annotations"] = [page, {"type": "file_path"}, 7]
    return found


def function(kind: str, index: int, arguments: str = "", name: str = "add") -> Event:
    item = {"type": "function_call", "id": f"fc_{index}", "call_id": f"call_{index}", "name": name}
    return event(f"output_item.{kind}", output_index=index, item={**item, "arguments": arguments})


def text(delta: str, index: int = 0, **fields: Any) -> Event:
    where = {"item_id": f"msg_{index}", "output_index": index, "content_index": 0}
    return event("output_text.delta", delta=delta, **{**where, **fields})


def arguments(delta: str, index: int) -> Event:
    return event(
        "function_call_arguments.delta", item_id=f"fc_{index}", output_index=index, delta=delta
    )


def play(*events: Event, **fields: Any) -> list[dict[str, Any]]:
    chunks = chat.Chunks(ask(stream=True, **fields), "fallback", 5)
    found = [chunk for each in events for chunk in chunks.feed(each)]
    return found + chunks.end()


def deltas(chunks: list[dict[str, Any]]) -> list[Any]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def finish(chunks: list[dict[str, Any]]) -> str:
    reasons = [c["finish_reason"] for chunk in chunks for c in chunk["choices"]]
    assert [reason for reason in reasons if reason] == reasons[-1:]  # once, and last
    return str(reasons[-1])


def opening(index: int, identity: str = "", first: str = "") -> dict[str, Any]:
    call = {"index": index, "id": identity or f"call_{index}", "type": "function"}
    return {**call, "function": {"name": "add", "arguments": first}}


def test_a_streamed_answer() -> None:
    chunks = play(created(), text("Hel"), text("lo"), message("Hello"), completed())
    assert deltas(chunks) == [{"role": "assistant", "content": "Hel"}, {"content": "lo"}, {}]
    assert finish(chunks) == "stop"
    for chunk in chunks:
        assert chunk["id"] == "chatcmpl-resp_1"
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["created"] == 1700000000
        assert chunk["model"] == "gpt-5.5"
        assert "usage" not in chunk


def test_usage_comes_last_when_asked_for() -> None:
    chunks = play(created(), text("a"), completed(), stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == COUNTS
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None, None]


def test_unknown_usage_is_not_zero() -> None:
    done = completed(usage=None)
    chunks = play(created(), text("a"), done, stream_options={"include_usage": True})
    assert chunks[-1]["usage"] is None


@pytest.mark.parametrize(
    ("events", "expected", "reason"),
    [
        pytest.param(
            [message("Hello"), completed()],
            [{"role": "assistant", "content": "Hello"}, {}],
            "stop",
            id="text that came only whole",
        ),
        pytest.param(
            [text("Hel"), event("output_text.done", item_id="msg_0", content_index=0, text="Hello")]
            + [message("Hello"), completed(output=[message("Hello")["item"]])],
            [{"role": "assistant", "content": "Hel"}, {"content": "lo"}, {}],
            "stop",
            id="a rest that the deltas lacked is sent once",
        ),
        pytest.param(
            [text("Hello", content_index=None), message("Hello"), completed()],
            [{"role": "assistant", "content": "Hello"}, {}],
            "stop",
            id="a delta that does not say which part it is of",
        ),
        pytest.param(
            [completed(output=[message("Hello")["item"]])],
            [{"role": "assistant", "content": "Hello"}, {}],
            "stop",
            id="all in the last event",
        ),
        pytest.param(
            [event("output_text.delta", delta="Hel"), event("output_text.delta", delta="lo")]
            + [message("Hello"), message("!", 1), completed()],
            [
                {"role": "assistant", "content": "Hel"},
                {"content": "lo"},
                {"content": "!"},
                {},
            ],
            "stop",
            id="deltas that do not say of which item, then the items",
        ),
        pytest.param(
            [event("output_item.added", output_index=0, item={"type": "message", "id": "msg_0"})]
            + [event("output_text.delta", delta="Hello"), message("Hello"), completed()],
            [{"role": "assistant", "content": "Hello"}, {}],
            "stop",
            id="a delta that does not say of which item, after its item",
        ),
        pytest.param(
            [completed(output=[{**message(each)["item"], "id": None} for each in "ab"])],
            [{"role": "assistant", "content": "a"}, {"content": "b"}, {}],
            "stop",
            id="two items without a name, only at the end",
        ),
        pytest.param(
            [text("a"), citing(), completed(output=[citing()["item"]])],
            [
                {"role": "assistant", "content": "a"},
                {
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {"url": "https://x.test/", "title": "X"},
                        }
                    ]
                },
                {},
            ],
            "stop",
            id="pages that a text names, once",
        ),
        pytest.param(
            [event("reasoning_summary_text.delta", output_index=0, delta="Hm")]
            + [text("Hello", 1), message("Hello", 1)]
            + [completed(output=[message("Hello", 7)["item"], function("done", 2, "{}")["item"]])],
            [
                {"role": "assistant", "reasoning_content": "Hm"},
                {"content": "Hello"},
                {"tool_calls": [opening(0, "call_2")]},
                {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
                {},
            ],
            "tool_calls",
            id="a copy under another name is not said twice, a call only there is not lost",
        ),
        pytest.param(
            [completed()], [{"role": "assistant", "content": ""}, {}], "stop", id="nothing said"
        ),
        pytest.param(
            [
                function("added", 0),
                arguments('{"a"', 0),
                arguments(":1}", 0),
                event(
                    "function_call_arguments.done",
                    item_id="fc_0",
                    output_index=0,
                    arguments='{"a":1}',
                ),
                function("done", 0, '{"a":1}'),
                completed(output=[function("done", 0, '{"a":1}')["item"]]),
            ],
            [
                {"role": "assistant", "tool_calls": [opening(0)]},
                {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
                {},
            ],
            "tool_calls",
            id="arguments are not doubled by the events that repeat them",
        ),
        pytest.param(
            [function("added", 0), function("added", 1), arguments("{}", 1), arguments("[]", 0)]
            + [function("done", 1, "{}"), function("done", 0, "[]"), completed()],
            [
                {"role": "assistant", "tool_calls": [opening(0)]},
                {"tool_calls": [opening(1)]},
                {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": "[]"}}]},
                {},
            ],
            "tool_calls",
            id="parallel calls keep their own places",
        ),
        pytest.param(
            [text("Adding."), function("done", 1, "{}"), completed()],
            [
                {"role": "assistant", "content": "Adding."},
                {"tool_calls": [opening(0, "call_1")]},
                {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
                {},
            ],
            "tool_calls",
            id="a call that came only whole, after text",
        ),
        pytest.param(
            [arguments('{"a":', 0), function("done", 0, '{"a":1}'), completed()],
            [
                {"role": "assistant", "tool_calls": [opening(0, first='{"a":')]},
                {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
                {},
            ],
            "tool_calls",
            id="arguments before the call's name wait for it",
        ),
        pytest.param(
            [
                event(
                    "output_item.done",
                    output_index=0,
                    item={
                        "type": "custom_tool_call",
                        "id": "ctc_0",
                        "call_id": "call_0",
                        "name": "run",
                        "input": "ls",
                    },
                ),
                completed(),
            ],
            [
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": "call_0",
                            "type": "custom",
                            "custom": {"name": "run", "input": ""},
                        }
                    ],
                },
                {"tool_calls": [{"index": 0, "custom": {"input": "ls"}}]},
                {},
            ],
            "tool_calls",
            id="a custom tool",
        ),
        pytest.param(
            [event("refusal.delta", item_id="msg_0", content_index=0, delta="No."), completed()],
            [{"role": "assistant", "refusal": "No."}, {}],
            "stop",
            id="a refusal",
        ),
        pytest.param(
            [
                event("reasoning_summary_text.delta", item_id="rs", summary_index=0, delta="Hm"),
                event("reasoning_summary_text.delta", item_id="rs", summary_index=1, delta="So"),
                text("42", 1),
                completed(),
            ],
            [
                {"role": "assistant", "reasoning_content": "Hm"},
                {"reasoning_content": "\n\nSo"},
                {"content": "42"},
                {},
            ],
            "stop",
            id="summaries of the reasoning are shown, parts apart",
        ),
        pytest.param(
            [text("cut"), incomplete("max_output_tokens")],
            [{"role": "assistant", "content": "cut"}, {}],
            "length",
            id="cut for length",
        ),
        pytest.param(
            [function("done", 0), incomplete("content_filter")],
            [{"role": "assistant", "tool_calls": [opening(0)]}, {}],
            "content_filter",
            id="filtered, although a tool was called",
        ),
        pytest.param(
            [text("a"), event("web_search_call.searching", item_id="ws"), {"type": "codex.x"}]
            + [text("b"), completed(), text("late"), completed()],
            [{"role": "assistant", "content": "a"}, {"content": "b"}, {}],
            "stop",
            id="events that are nothing in a chat, and those after the end",
        ),
        pytest.param(
            [{"type": "response.text.delta", "delta": "old"}, event("done", response={})],
            [{"role": "assistant", "content": "old"}, {}],
            "stop",
            id="old event names",
        ),
    ],
)
def test_deltas(events: list[Event], expected: list[Any], reason: str) -> None:
    chunks = play(created(), *events)
    assert deltas(chunks) == expected
    assert finish(chunks) == reason


@pytest.mark.parametrize(
    ("events", "code", "kind"),
    [
        pytest.param([text("a")], "stream_incomplete", "server_error", id="broken off"),
        pytest.param(
            [
                text("a"),
                event("failed", response={"error": {"code": "server_error", "message": "Oh."}}),
                text("b"),
            ],
            "server_error",
            "server_error",
            id="failed in the middle",
        ),
        pytest.param(
            [{"type": "error", "error": {"code": "context_length_exceeded", "message": "Oh."}}],
            "context_length_exceeded",
            "invalid_request_error",
            id="the client's own fault",
        ),
    ],
)
def test_an_error_is_the_last_chunk(events: list[Event], code: str, kind: str) -> None:
    chunks = play(created(), *events)
    assert [("error" in chunk) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    error = chunks[-1]["error"]
    assert (error["code"], error["type"]) == (code, kind)
    assert error["message"]


def test_an_answer_without_an_id_gets_the_requests() -> None:
    chunks = play(text("a"), completed(id="resp_late"))
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-fallback"}
    assert {chunk["created"] for chunk in chunks} == {5}


def whole(*events: Event) -> dict[str, Any]:
    return chat.completion(play(created(), *events, stream_options={"include_usage": True}))


def test_a_completion() -> None:
    assert whole(text("Hel"), text("lo"), completed()) == {
        "id": "chatcmpl-resp_1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-5.5",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": COUNTS,
    }


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [function("added", 0), arguments('{"a"', 0), function("done", 0, '{"a":1}')],
            {
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_0",
                        "type": "function",
                        "function": {"name": "add", "arguments": '{"a":1}'},
                    }
                ],
            },
            id="only a call: no content",
        ),
        pytest.param([], {"content": ""}, id="nothing: empty content"),
        pytest.param(
            [citing()],
            {
                "content": "a",
                "annotations": [
                    {
                        "type": "url_citation",
                        "url_citation": {"url": "https://x.test/", "title": "X"},
                    }
                ],
            },
            id="with the pages it names",
        ),
        pytest.param(
            [event("refusal.delta", delta="No.")],
            {"content": None, "refusal": "No."},
            id="only a refusal: no content",
        ),
        pytest.param(
            [event("reasoning_summary_text.delta", delta="Hm"), text("a"), text("b")],
            {"content": "ab", "reasoning_content": "Hm"},
            id="with a summary of the reasoning",
        ),
    ],
)
def test_a_completions_message(events: list[Event], expected: dict[str, Any]) -> None:
    found = whole(*events, completed())["choices"][0]["message"]
    assert {key: found[key] for key in expected} == expected


def test_chunks_on_the_wire() -> None:
    assert (
        chat.encode([{"a": "é\n"}, {"b": 1}]) == 'data: {"a":"é\\n"}\n\ndata: {"b":1}\n\n'.encode()
    )
    assert chat.DONE == b"data: [DONE]\n\n"


def answer(*events: Event, **fields: Any) -> tuple[chat.Answer, list[bytes]]:
    found = chat.Answer(ask(**fields), "fallback", 5)
    return found, [found.pass_on(sse.encode(each)) for each in events]


def test_a_streamed_answer_ends_once() -> None:
    _, sent = answer(created(), text("a"), completed(), completed(), stream=True)
    assert [b"".join(sent).count(mark) for mark in (b"data: ", b"[DONE]")] == [3, 1]
    assert sent[0] == b""
    assert sent[2].endswith(chat.DONE)


def test_a_plain_answer_is_kept_until_it_is_whole() -> None:
    found, sent = answer(created(), text("a"))
    assert (found.response, b"".join(sent)) == (None, b"")
    found, _ = answer(created(), text("a"), completed())
    assert found.response is not None
    assert found.response["usage"] == COUNTS


def test_a_broken_answer_says_so_and_ends() -> None:
    found, _ = answer(created(), text("a"), stream=True)
    last = found.broken_off("The cable came out.")
    assert b"The cable came out." in last
    assert last.endswith(chat.DONE)
    assert found.pass_on(sse.encode(text("b"))) == b""
    _, sent = answer({"type": "error", "code": "x", "message": "No."}, stream=True)
    assert sent[0].endswith(chat.DONE)


NOON = datetime(2026, 11, 21, 12, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        pytest.param(
            AppError("Dry.", code="usage_limit_reached", status=429, extra={"type": "x"}),
            402,
            "Dry. Try again later.",
            id="dry, nobody knows how long",
        ),
        pytest.param(
            AppError(
                "Dry.",
                code="usage_limit_reached",
                status=429,
                extra={"resets_at": int(NOON.timestamp()) + 3600},
            ),
            402,
            "Dry. Try again at 13:00.",
            id="dry until later today, in the local zone",
        ),
        pytest.param(
            AppError(
                "Dry.",
                code="usage_limit_reached",
                status=429,
                extra={"resets_at": int(NOON.timestamp()) + 86_400},
            ),
            402,
            "Dry. Try again at 12:00 on 22 Nov.",
            id="dry until another day",
        ),
        pytest.param(
            AppError("Resume one.", code="no_accounts", status=503),
            403,
            "Resume one.",
            id="waiting will not help",
        ),
        pytest.param(
            AppError("Too long.", code="context_length_exceeded", status=502),
            400,
            "Too long.",
            id="the client's own fault is not retried",
        ),
        pytest.param(
            AppError("Rest.", code="rate_limit_exceeded", status=429, retry_after=3),
            429,
            "Rest.",
            id="a short rest is worth a retry",
        ),
        pytest.param(
            AppError("Key.", code="rate_limit_exceeded", status=429, retry_after=7200),
            402,
            "Key.",
            id="a key that is spent for hours",
        ),
        pytest.param(
            AppError("Busy.", code="server_is_overloaded", status=503), 503, "Busy.", id="trouble"
        ),
    ],
)
def test_errors_that_a_chat_client_shows(error: AppError, status: int, message: str) -> None:
    found = chat.refusal(error, NOON)
    assert (found.status, found.message) == (status, message)
    # opencode retries a code with “rate_limit” in it, whatever the status.
    spent = status == 402 and error.code == "rate_limit_exceeded"
    assert found.code == ("insufficient_quota" if spent else error.code)
    assert found.extra == {}  # opencode takes digits of a time for a status that it retries
    assert found.retry_after == error.retry_after


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "id", "name", "content"]), inner)
    ),
    max_leaves=8,
)
KIND = st.sampled_from(
    ["created", "output_item.added", "output_item.done", "output_text.delta", "output_text.done"]
    + ["function_call_arguments.delta", "function_call_arguments.done", "completed", "failed"]
    + ["custom_tool_call_input.done", "reasoning_summary_text.delta", "incomplete", "refusal.done"]
).map(lambda name: f"response.{name}")
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call", "custom_tool_call", "reasoning"])},
    optional=dict.fromkeys(
        ("id", "call_id", "name", "arguments", "input", "content", "summary"), JSON
    ),
)
EVENT = st.fixed_dictionaries(
    {"type": KIND | JSON},
    optional={
        "item": ITEM | JSON,
        "response": JSON
        | st.fixed_dictionaries({}, optional={"id": JSON, "output": st.lists(ITEM), "usage": JSON}),
        **dict.fromkeys(("item_id", "output_index", "content_index", "delta", "text"), JSON),
    },
)


# The same events in every run, however busy the machine is.
@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENT, max_size=8))
def test_no_events_break_it(events: list[Event]) -> None:
    chunks = play(*events, stream_options={"include_usage": True})
    assert orjson.loads(orjson.dumps(chunks)) == chunks
    if not any("error" in chunk for chunk in chunks):
        folded = chat.completion(chunks)
        assert folded["object"] == "chat.completion"
    assert sum("error" in chunk for chunk in chunks) <= 1
