"""Chat requests become the Responses requests that the provider takes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import AppError, BadRequest, openai_body
from server.proxy import translate

USER = {"role": "user", "content": "hi"}
HI = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5.5", "messages": list(messages) or [USER], **fields}


def translated(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return translate.request(chat(*messages, **fields)).body


def said(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts)}


def call(identity: str = "call_1", name: str = "add", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_the_least_request() -> None:
    assert translated() == {
        "model": "gpt-5.5",
        "instructions": "",
        "input": [HI],
        "stream": True,
        "store": False,
    }


@pytest.mark.parametrize(
    ("messages", "instructions", "items"),
    [
        pytest.param(
            [{"role": "system", "content": "Be brief."}, USER],
            "Be brief.",
            [HI],
            id="a system message is the instructions",
        ),
        pytest.param(
            [
                {"role": "system", "content": "One."},
                {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
                {"role": "system", "content": None},
                USER,
            ],
            "One.\nTwo.",
            [HI],
            id="several are joined, empty ones leave no blank line",
        ),
        pytest.param(
            [USER, {"role": "system", "content": "From now on in French."}],
            "",
            [HI, said("developer", {"type": "input_text", "text": "From now on in French."})],
            id="a later one keeps its place",
        ),
        pytest.param(
            [{"role": "system", "content": "Say hello."}],
            "",
            [said("developer", {"type": "input_text", "text": "Say hello."})],
            id="with nothing else it is the input, for the provider refuses an empty one",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "text", "text": "a"}], "name": "dana", "x": 1}],
            "",
            [said("user", {"type": "input_text", "text": "a"})],
            id="unknown message fields are ignored",
        ),
        pytest.param(
            [USER, {"role": "assistant", "content": "Hello."}, USER],
            "",
            [HI, said("assistant", {"type": "output_text", "text": "Hello."}), HI],
            id="what the assistant said is output",
        ),
        pytest.param(
            [
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm"},
                        {"type": "text", "text": "A"},
                        {"type": "refusal", "refusal": "B"},
                    ],
                    "reasoning_details": [{"x": 1}],
                },
                {"role": "assistant", "content": None, "refusal": "No."},
                {"role": "assistant", "content": ""},
            ],
            "",
            [
                HI,
                said(
                    "assistant",
                    {"type": "output_text", "text": "A"},
                    {"type": "refusal", "refusal": "B"},
                ),
                said("assistant", {"type": "refusal", "refusal": "No."}),
            ],
            id="refusals are kept, thoughts and empty messages are not",
        ),
        pytest.param(
            [
                USER,
                {"role": "assistant", "content": "Adding.", "tool_calls": [call("c1"), call("c2")]},
                {"role": "tool", "tool_call_id": "c1", "content": "3"},
                {
                    "role": "tool",
                    "tool_call_id": "c2",
                    "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "5"}],
                },
            ],
            "",
            [
                HI,
                said("assistant", {"type": "output_text", "text": "Adding."}),
                {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
                {"type": "function_call", "call_id": "c2", "name": "add", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "3"},
                {"type": "function_call_output", "call_id": "c2", "output": "45"},
            ],
            id="calls and their results are items of their own",
        ),
        pytest.param(
            [
                {"role": "assistant", "tool_calls": [call("c1", arguments={"a": 1})]},
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": [{"type": "image_url", "image_url": {"url": PIXEL}}],
                },
            ],
            "",
            [
                {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a":1}'},
                {
                    "type": "function_call_output",
                    "call_id": "c1",
                    "output": [{"type": "input_image", "image_url": PIXEL}],
                },
            ],
            id="parsed arguments are written out; a tool may answer with a picture",
        ),
        pytest.param(
            [
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "c9", "type": "custom", "custom": {"name": "run", "input": "ls"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c9", "content": "a.txt"},
            ],
            "",
            [
                {"type": "custom_tool_call", "call_id": "c9", "name": "run", "input": "ls"},
                {"type": "custom_tool_call_output", "call_id": "c9", "output": "a.txt"},
            ],
            id="a custom tool's result has its own type",
        ),
    ],
)
def test_messages(
    messages: list[dict[str, Any]], instructions: str, items: list[dict[str, Any]]
) -> None:
    body = translated(*messages)
    assert body["instructions"] == instructions
    assert body["input"] == items


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param(
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
            {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
            id="a picture by address, with its detail",
        ),
        pytest.param(
            {"type": "image_url", "image_url": PIXEL},
            {"type": "input_image", "image_url": PIXEL},
            id="a picture given as bare text",
        ),
        pytest.param(
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_000_000}},
            {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 9_000_000},
            id="a large picture is not dropped in silence",
        ),
        pytest.param(
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "JVBERg=="}},
            {
                "type": "input_file",
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64,JVBERg==",
            },
            id="bare base64 gets its type from the name",
        ),
        pytest.param(
            {"type": "file", "file": {"data": "AA==", "mime_type": "text/plain"}},
            {"type": "input_file", "file_data": "data:text/plain;base64,AA=="},
            id="or from the type that is said",
        ),
        pytest.param(
            {"type": "file", "file": {"file_data": "data:text/plain;base64,AA=="}},
            {"type": "input_file", "file_data": "data:text/plain;base64,AA=="},
            id="a data URL stays",
        ),
    ],
)
def test_parts(part: dict[str, Any], expected: dict[str, Any]) -> None:
    body = translated({"role": "user", "content": [part]})
    assert body["input"] == [said("user", expected)]


PARAMETERS = {"type": "object", "properties": {"a": {"type": "number"}}}


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        pytest.param(
            {
                "type": "function",
                "function": {
                    "name": "add",
                    "description": "Adds.",
                    "parameters": PARAMETERS,
                    "strict": True,
                },
            },
            {
                "type": "function",
                "name": "add",
                "description": "Adds.",
                "parameters": PARAMETERS,
                "strict": True,
            },
            id="strict is kept",
        ),
        pytest.param(
            {"type": "function", "function": {"name": "add"}},
            {
                "type": "function",
                "name": "add",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            },
            id="left out, strict means false in a chat",
        ),
        pytest.param(
            {"type": "function", "name": "add", "parameters": PARAMETERS},
            {"type": "function", "name": "add", "parameters": PARAMETERS, "strict": False},
            id="an already flat function",
        ),
        pytest.param(
            {
                "type": "custom",
                "custom": {
                    "name": "run",
                    "format": {
                        "type": "grammar",
                        "grammar": {"syntax": "lark", "definition": "start: A"},
                    },
                },
            },
            {
                "type": "custom",
                "name": "run",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"},
            },
            id="a custom tool and its grammar",
        ),
        pytest.param(
            {"type": "web_search_preview", "search_context_size": "low"},
            {"type": "web_search", "search_context_size": "low"},
            id="the old name of web search",
        ),
        pytest.param(
            {"type": "hologram", "depth": 3},
            {"type": "hologram", "depth": 3},
            id="tools we do not know pass",
        ),
    ],
)
def test_tools(tool: dict[str, Any], expected: dict[str, Any]) -> None:
    assert translated(tools=[tool])["tools"] == [expected]


TOOLS = [{"type": "function", "function": {"name": "add"}}]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"tool_choice": "required"}, {"tool_choice": "required"}, id="word"),
        pytest.param(
            {"tool_choice": {"type": "function", "function": {"name": "add"}}},
            {"tool_choice": {"type": "function", "name": "add"}},
            id="a function by name",
        ),
        pytest.param(
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [{"type": "function", "function": {"name": "add"}}],
                    },
                }
            },
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "required",
                    "tools": [{"type": "function", "name": "add"}],
                }
            },
            id="some of the tools",
        ),
        pytest.param(
            {"tool_choice": {"type": "web_search_preview"}},
            {"tool_choice": {"type": "web_search"}},
            id="web search by its old name",
        ),
        pytest.param(
            {"parallel_tool_calls": False}, {"parallel_tool_calls": False}, id="one by one"
        ),
    ],
)
def test_how_tools_are_chosen(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    body = translated(tools=TOOLS, **fields)
    assert {key: body[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"reasoning_effort": "high"}, {"reasoning": {"effort": "high"}}, id="effort"),
        pytest.param(
            {"reasoning_effort": "high", "reasoning": {"effort": "low", "summary": "auto"}},
            {"reasoning": {"effort": "low", "summary": "auto"}},
            id="an explicit effort wins",
        ),
        pytest.param({"reasoningEffort": "low"}, {"reasoning": {"effort": "low"}}, id="alias"),
        pytest.param({"verbosity": "low"}, {"text": {"verbosity": "low"}}, id="verbosity"),
        pytest.param(
            {"response_format": {"type": "json_object"}},
            {"text": {"format": {"type": "json_object"}}},
            id="any JSON",
        ),
        pytest.param({"response_format": {"type": "text"}}, {}, id="text is what comes anyway"),
        pytest.param(
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "sum", "schema": PARAMETERS, "strict": True},
                }
            },
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "sum",
                        "schema": PARAMETERS,
                        "strict": True,
                    }
                }
            },
            id="JSON of a form",
        ),
        pytest.param(
            {"prompt_cache_key": "k", "service_tier": "priority"},
            {"prompt_cache_key": "k", "service_tier": "priority"},
            id="the cache key and a tier pass",
        ),
        pytest.param({"service_tier": "auto"}, {}, id="the usual tier need not be asked for"),
        pytest.param(
            {
                "n": 1,
                "temperature": 0.2,
                "top_p": 1,
                "max_tokens": 32000,
                "max_completion_tokens": 5,
                "stop": ["x"],
                "seed": 1,
                "logprobs": True,
                "user": "u",
                "store": True,
                "metadata": {"a": "b"},
                "presence_penalty": 1,
                "frequency_penalty": 1,
                "logit_bias": {},
                "made_up": 1,
            },
            {},
            id="what the backend refuses is left out",
        ),
        pytest.param(
            {"web_search_options": {"user_location": {"approximate": {"country": "DE"}}}},
            {
                "tools": [
                    {
                        "type": "web_search",
                        "user_location": {"type": "approximate", "country": "DE"},
                    }
                ]
            },
            id="web search as an option is a tool",
        ),
        pytest.param(
            {"stream_options": {"include_obfuscation": False}},
            {"stream_options": {"include_obfuscation": False}},
            id="obfuscation",
        ),
        pytest.param({"tools": [], "tool_choice": "auto"}, {}, id="no tools, nothing to choose"),
    ],
)
def test_options(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert translated(**fields) == {**translated(), **expected}


def test_json_mode_keeps_the_word_json_in_the_input() -> None:
    system = {"role": "system", "content": "Answer in JSON."}
    body = translated(system, USER, response_format={"type": "json_object"})
    assert body["instructions"] == ""
    assert body["input"][0]["role"] == "developer"


def test_how_the_client_wants_the_answer() -> None:
    plain = translate.request(chat())
    streamed = translate.request(chat(stream=True, stream_options={"include_usage": True}))
    assert (plain.stream, plain.include_usage) == (False, False)
    assert (streamed.stream, streamed.include_usage) == (True, True)
    assert streamed.body["stream"] is plain.body["stream"] is True


def part(value: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [value]}]}


def assistant(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", **fields}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"model": None}, "model", id="no model"),
        pytest.param({"model": ""}, "model", id="empty model"),
        pytest.param({"model": 5}, "model", id="model a number"),
        pytest.param({"messages": None}, "messages", id="no messages"),
        pytest.param({"messages": []}, "messages", id="no message"),
        pytest.param(assistant(content=""), "messages", id="only silence"),
        pytest.param({"messages": "hi"}, "messages", id="messages as text"),
        pytest.param({"messages": ["hi"]}, "messages[0]", id="a message as text"),
        pytest.param({"messages": [{"content": "x"}]}, "messages[0].role", id="no role"),
        pytest.param({"messages": [{"role": []}]}, "messages[0].role", id="role a list"),
        pytest.param({"messages": [{"role": "user"}]}, "messages[0].content", id="user is silent"),
        pytest.param(
            {"messages": [{"role": "function", "name": "f", "content": "1"}]},
            "messages[0].role",
            id="function role",
        ),
        pytest.param(
            {"messages": [{"role": "system", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]",
            id="a picture as system text",
        ),
        pytest.param(part(7), "messages[0].content[0].type", id="a part that is a number"),
        pytest.param(part({"type": "smell"}), "messages[0].content[0].type", id="unknown part"),
        pytest.param(part({"type": "text"}), "messages[0].content[0]", id="text without text"),
        pytest.param(
            part({"type": "input_audio", "input_audio": {}}), "messages[0].content[0]", id="audio"
        ),
        pytest.param(
            part({"type": "file", "file": {"file_id": "f"}}),
            "messages[0].content[0].file.file_id",
            id="an uploaded file",
        ),
        pytest.param(
            part({"type": "file", "file": {}}),
            "messages[0].content[0].file.file_data",
            id="an empty file",
        ),
        pytest.param(
            part({"type": "image_url", "image_url": {}}),
            "messages[0].content[0].image_url.url",
            id="a picture from nowhere",
        ),
        pytest.param(assistant(content=5), "messages[0].content", id="assistant says a number"),
        pytest.param(assistant(tool_calls={}), "messages[0].tool_calls", id="calls not a list"),
        pytest.param(
            assistant(tool_calls=[{}]), "messages[0].tool_calls[0].id", id="call without id"
        ),
        pytest.param(
            assistant(tool_calls=[{"id": "a"}]),
            "messages[0].tool_calls[0].function.name",
            id="call without a name",
        ),
        pytest.param(
            assistant(tool_calls=[call(arguments=5)]),
            "messages[0].tool_calls[0].function.arguments",
            id="arguments a number",
        ),
        pytest.param(
            assistant(function_call={"name": "f"}), "messages[0].function_call", id="old call"
        ),
        pytest.param(
            {"messages": [{"role": "tool", "content": "3"}]},
            "messages[0].tool_call_id",
            id="an answer to nothing",
        ),
        pytest.param({"n": 2}, "n", id="two answers"),
        pytest.param({"modalities": ["text", "audio"]}, "modalities", id="speech"),
        pytest.param({"audio": {"voice": "x"}}, "audio", id="a voice"),
        pytest.param({"functions": [{}]}, "functions", id="old functions"),
        pytest.param({"tools": {}}, "tools", id="tools not a list"),
        pytest.param({"tools": [1]}, "tools[0]", id="a tool that is a number"),
        pytest.param(
            {"tools": [{"type": "function"}]}, "tools[0].function.name", id="nameless tool"
        ),
        pytest.param(
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]},
            "tools[0].function.parameters",
            id="parameters a list",
        ),
        pytest.param({"tool_choice": "required"}, "tool_choice", id="a tool must be, none is"),
        pytest.param({"tool_choice": 3, "tools": TOOLS}, "tool_choice", id="choice a number"),
        pytest.param({"stream": "yes"}, "stream", id="stream as text"),
        pytest.param({"stream_options": []}, "stream_options", id="stream options a list"),
        pytest.param({"reasoning_effort": 3}, "reasoning_effort", id="effort a number"),
        pytest.param({"response_format": "json"}, "response_format", id="format as text"),
        pytest.param(
            {"response_format": {"type": "xml"}}, "response_format.type", id="unknown format"
        ),
        pytest.param(
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            id="schema missing",
        ),
        pytest.param(
            {
                "response_format": {"type": "json_object"},
                "text": {"format": {"type": "text"}},
            },
            "response_format",
            id="two formats",
        ),
    ],
)
def test_what_cannot_be_translated_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        translate.request({**chat(), **fields})
    error = openai_body(raised.value)["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert f"“{param}”" in error["message"]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[1]", id="not an object"),
        pytest.param(b'{"model": "secret prompt', id="cut"),
        pytest.param(b"\xff\xfe", id="binary"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="10,000 deep"),
        pytest.param(
            orjson.dumps(chat())[:-1] + b',"text":{"x":' + b"[" * 300 + b"]" * 300 + b"}}",
            id="deep enough to be read but not written",
        ),
    ],
)
def test_a_body_that_is_no_request(raw: bytes) -> None:
    with pytest.raises(BadRequest) as raised:
        translate.read(raw).encoded()
    assert "secret" not in raised.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "name", "function", "image_url", "url", "file", "id"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
WORDS = st.sampled_from(
    ["user", "system", "assistant", "tool", "function", "custom", "text", "json_schema", "auto"]
    + ["allowed_tools", "image_url", "file", "web_search_preview", "json_object", "required"]
)
MESSAGE = st.fixed_dictionaries(
    {"role": WORDS},
    optional={
        "content": JSON
        | st.lists(
            st.fixed_dictionaries({"type": WORDS}, optional={"file": JSON, "image_url": JSON})
        ),
        "tool_calls": JSON | st.lists(st.fixed_dictionaries({"id": WORDS, "type": WORDS})),
        "tool_call_id": JSON,
    },
)
REQUEST = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(MESSAGE, min_size=1, max_size=3)},
    optional={
        **dict.fromkeys(("n", "stream", "stream_options", "reasoning", "text"), JSON | WORDS),
        "tools": JSON | st.lists(st.fixed_dictionaries({"type": WORDS, "function": JSON})),
        "tool_choice": JSON | WORDS | st.fixed_dictionaries({"type": WORDS, "allowed_tools": JSON}),
        "response_format": JSON | st.fixed_dictionaries({"type": WORDS, "json_schema": JSON}),
        "web_search_options": JSON,
        "service_tier": JSON,
    },
)


# The same requests in every run, however busy the machine is.
@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REQUEST | st.dictionaries(st.text(max_size=5), JSON))
def test_no_request_breaks_it(value: dict[str, Any]) -> None:
    try:
        encoded = translate.request(value).encoded()
    except AppError as error:
        assert error.status == 400
    else:
        assert orjson.loads(encoded)["input"] != []
