"""OTLP bodies → events: the catalogue, what is never kept, and what hostile bodies do."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from server.ingest import otlp
from server.ingest.otlp import Batch, Event, MalformedError, Usage
from tests.captures import EXPECTED, NOW, RUNS, bodies


def events(run: str) -> list[Event]:
    return [
        event
        for body in bodies(run)
        for event in otlp.decode("logs", body.data, json=body.json, now=NOW).events
    ]


def record(at: str | None = "2026-11-21T01:00:00.000Z", **attributes: Any) -> dict[str, Any]:
    """A log record; attribute names with `__` for `.`."""
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    if at:
        named["event.timestamp"] = at
    return {
        "timeUnixNano": "0",
        "observedTimeUnixNano": "1795225286757080344",
        "body": None,
        "attributes": [{"key": key, "value": value_of(value)} for key, value in named.items()],
    }


def value_of(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue"}.get(type(value))
    return {kind or "stringValue": value}


def logs(*records: Any, service: str = "codex_exec") -> bytes:
    about = [{"key": "service.name", "value": {"stringValue": service}}]
    scopes = [{"scope": {"name": "codex_otel.log_only"}, "logRecords": list(records)}]
    return json.dumps(
        {"resourceLogs": [{"resource": {"attributes": about}, "scopeLogs": scopes}]}
    ).encode()


def read(*records: Any, service: str = "codex_exec") -> Batch:
    return otlp.decode("logs", logs(*records, service=service), json=True, now=NOW)


def only(*records: Any, service: str = "codex_exec") -> Event:
    (event,) = read(*records, service=service).events
    return event


@pytest.mark.parametrize("run", RUNS)
def test_the_captures_add_up(run: str) -> None:
    expected = EXPECTED[run]
    batches = [otlp.decode("logs", b.data, json=b.json, now=NOW) for b in bodies(run)]
    found = [event for batch in batches for event in batch.events]
    names = Counter({"None": sum(sum(batch.dropped.values()) for batch in batches)})
    for event in found:
        names[event.name] += event.count
    usages = [event.usage for event in found if event.usage]
    assert sum(batch.records for batch in batches) == expected["log_records"]
    assert +names == expected["by_event"]
    assert len(usages) == expected["completions"]
    assert sum(u.input for u in usages) == expected["input"]
    assert sum(u.cached for u in usages) == expected["cached"]
    assert sum(u.output for u in usages) == expected["output"]
    assert sorted({e.user for e in found if e.user}) == expected["users"]
    assert sorted({e.terminal for e in found if e.terminal}) == expected["terminal"]
    assert {e.session_id for e in found if e.session_id} == set(expected["conversations"])
    assert {e.version for e in found} == {"0.169.0"}


@pytest.mark.parametrize("run", RUNS)
def test_a_bare_host_is_told_by_content(run: str) -> None:
    for body in bodies(run):
        named = otlp.decode("logs", body.data, json=body.json, now=NOW)
        assert otlp.decode(None, body.data, json=body.json, now=NOW) == named


@pytest.mark.parametrize(("signal", "count"), [("traces", 512), ("metrics", 57)])
def test_spans_and_metrics_are_counted_and_left(signal: str, count: int) -> None:
    (body,) = bodies("json-exec", signal)
    for asked in (signal, None):
        batch = otlp.decode(asked, body.data, json=True, now=NOW)
        assert (batch.signal, batch.records, batch.events) == (signal, count, ())


@pytest.mark.parametrize("run", RUNS)
def test_no_prompt_argument_or_output_is_kept(run: str) -> None:
    kept = repr(events(run))
    for word in ("escalated.txt", "Wall time", "justification", "[REDACTED]", "fake failure"):
        assert word not in kept


SECRET = "do not keep me"


@pytest.mark.parametrize(
    "name", ["prompt", "arguments", "output", "tool_input", "tool_parameters", "full_command",
             "user.name", "anything.else", "error.message", "response", "body"],
)  # fmt: skip
def test_attributes_outside_the_list_are_never_read(name: str) -> None:
    event = only(record(event__name="codex.tool_result", **{name.replace(".", "__"): SECRET}))
    assert SECRET not in repr(event)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param('{"response":{"error":{"code":"server_error","message":"secret"}}}',
                     "server_error", id="the raw event names its code"),
        pytest.param("http 500", "http_500", id="an HTTP error"),
        pytest.param("stream disconnected before completion: why", "disconnected", id="cut"),
        pytest.param("request timed out", "timeout", id="time"),
        pytest.param("You've hit your usage limit. Visit …", "usage_limit", id="the limit"),
        pytest.param("some user's words", "other", id="words of their own never stay"),
        pytest.param("sk-proj-abcDEF123", "other", id="a key of one word"),
        pytest.param("hunter2", "other", id="a password of one word"),
        pytest.param("swordfish", "other", id="a password of letters alone"),
        pytest.param("EXPLODINGKEY", "other", id="no error of the system"),
        pytest.param('{"code":"sk-proj-abcDEF123"}', "other", id="a key where a code belongs"),
        pytest.param('{"code":"429"}', "429", id="a status where a code belongs"),
        pytest.param("ECONNRESET", "ECONNRESET", id="an error of the system"),
        pytest.param("rate_limit_exceeded", "rate_limit_exceeded", id="a known code"),
        pytest.param("none", "none", id="what Codex says when all is well"),
        pytest.param("", None, id="empty is no error"),
        pytest.param(5, None, id="not text"),
    ],
)  # fmt: skip
def test_errors_become_codes(message: Any, code: str | None) -> None:
    assert otlp.error_code(message) == code


@pytest.mark.parametrize(
    ("attributes", "field", "expected"),
    [
        pytest.param({"duration_ms": "412"}, "duration_ms", 412, id="a number as text"),
        pytest.param({"duration_ms": 412}, "duration_ms", 412, id="a number"),
        pytest.param({"duration_ms": {"intValue": "412"}}, "duration_ms", 412, id="as in JSON"),
        pytest.param({"duration_ms": 1e300}, "duration_ms", None, id="beyond any clock"),
        pytest.param({"duration_ms": "-3"}, "duration_ms", None, id="less than nothing"),
        pytest.param({"duration_ms": "９"}, "duration_ms", None, id="other digits"),
        pytest.param({"duration_ms": "9" * 5000}, "duration_ms", None, id="endless digits"),
        pytest.param({"success": "True"}, "success", True, id="truth as text"),
        pytest.param({"success": False}, "success", False, id="truth"),
        pytest.param({"success": "maybe"}, "success", None, id="neither"),
        pytest.param({"model": "m" * 5000}, "model", "m" * 200, id="long text is cut"),
        pytest.param({"model": "a\0b\ud800"}, "model", "ab?", id="what SQLite cannot hold"),
        pytest.param({"model": {"arrayValue": {}}}, "model", None, id="a list"),
        pytest.param({"model": {}}, "model", None, id="an empty value"),
        pytest.param({"tool_use_id": "t1"}, "call_id", "t1", id="Claude's name for it"),
        pytest.param({"event__kind": "response.failed"}, "kind", "response.failed", id="kind"),
        pytest.param({"source": "User"}, "kind", "User", id="who decided"),
    ],
)
def test_values_are_read_leniently(attributes: dict[str, Any], field: str, expected: Any) -> None:
    assert getattr(only(record(event__name="codex.tool_result", **attributes)), field) == expected


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        pytest.param("2026-11-21T01:00:00.123Z", 1795222800123, id="the event's own stamp"),
        pytest.param("rubbish", 1795225286757, id="else when it was observed"),
        pytest.param(None, 1795225286757, id="without a stamp"),
        pytest.param("2036-01-01T00:00:00Z", 1795225286757, id="from the future"),
        pytest.param("0001-01-01T00:00:00Z", 1795225286757, id="from the year one"),
    ],
)
def test_when_it_happened(stamp: str | None, expected: int) -> None:
    assert only(record(at=stamp, event__name="codex.user_prompt")).at == expected


def test_a_clock_that_is_ahead_is_held_back_and_is_still_known_again() -> None:
    ahead = record(at="2026-11-21T18:00:00Z", event__name="codex.user_prompt")
    del ahead["observedTimeUnixNano"]
    arrived = 1_795_282_200_000  # half an hour before its stamp
    (first,) = otlp.decode("logs", logs(ahead), json=True, now=arrived).events
    (again,) = otlp.decode("logs", logs(ahead), json=True, now=arrived + 5000).events
    assert (first.at, again.at) == (arrived, arrived + 5000)
    assert first.key == again.key


def test_without_any_time_it_happened_now() -> None:
    bare = {"attributes": [{"key": "event.name", "value": {"stringValue": "codex.x"}}]}
    assert only(bare).at == NOW


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param(None, "not an event", id="the exporter's own chatter"),
        pytest.param("http.request", "another program's event", id="another program"),
        pytest.param("codex.DROP TABLE", "another program's event", id="no name of ours"),
    ],
)
def test_what_is_left_out_says_why(name: str | None, reason: str) -> None:
    batch = read(record(event__name=name) if name else record())
    assert (batch.events, batch.dropped) == ((), {reason: 1})


def test_claude_code_is_understood() -> None:
    event = only(
        record(
            event__name="api_request", session__id="s", model="claude-x", input_tokens="10",
            output_tokens=5, cache_read_tokens=100, cache_creation_tokens=20, cost_usd="0.0123",
            duration_ms=900, request_id="req_1",
        ),
        service="claude-code",
    )  # fmt: skip
    assert event.name == "claude_code.api_request"
    assert (event.provider, event.session_id) == ("claude", "s")
    assert event.usage == Usage(130, 100, 20, 5, 0)
    assert event.attributes == {"request_id": "req_1", "cost": 12300}


def test_an_answer_of_a_thousand_deltas_is_one_row() -> None:
    delta = {"event__name": "codex.sse_event", "event__kind": "response.output_text.delta"}
    many = [record(**delta, conversation__id="c", duration_ms=str(n % 3)) for n in range(1000)]
    event = only(*many)
    assert (event.count, event.duration_ms) == (1000, None)
    assert event.attributes["durations"] == {"0": 334, "1": 333, "2": 333}


def test_the_same_record_has_the_same_key_in_both_forms() -> None:
    plain = record(event__name="codex.tool_result", call_id="c", duration_ms="5")
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    one = scope.log_records.add(observed_time_unix_nano=1795225286757080344)
    for item in plain["attributes"]:
        pair = one.attributes.add(key=item["key"])
        pair.value.string_value = item["value"]["stringValue"]
    (again,) = otlp.decode("logs", request.SerializeToString(), json=False, now=NOW).events
    assert again.key == only(plain).key
    assert only(record(event__name="codex.tool_result", call_id="d")).key != again.key


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty JSON"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"[" * 200_000, id="nested without end"),
        pytest.param(b'{"x":' + b"[" * 9999 + b"]" * 9999 + b"}", id="nested beside"),
        pytest.param(b'{"resourceLogs":[' + b"[]," * 600_000 + b"[]]}", id="millions of parts"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b'{"resourceLogs":"x"}', id="a text for a list"),
        pytest.param(b'{"resourceLogs":{"scopeLogs":[]}}', id="one resource for a list"),
        pytest.param(b'{"resourceLogs":[NaN]}', id="no number"),
        pytest.param(b'{"resourceLogs":[{"scopeLogs":-Infinity}]}', id="no end"),
        pytest.param(b'{"resourceLogs":[{"x":Infinity}]}', id="no end beside"),
    ],
)
def test_rubbish_is_refused_in_a_sentence(body: bytes) -> None:
    with pytest.raises(MalformedError, match="body"):
        otlp.decode("logs", body, json=True, now=NOW)


_KEYS = st.sampled_from(
    ["resourceLogs", "resource", "attributes", "scopeLogs", "logRecords", "key", "value", "body",
     "stringValue", "intValue", "observedTimeUnixNano", "scopeSpans", "resourceSpans"]
)  # fmt: skip
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_KEYS | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=25,
)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        pytest.param("exec_command", "exec_command", id="a tool"),
        pytest.param("mcp__docs__search", "mcp__docs__search", id="a server's"),
        pytest.param(f"sk-proj-{'Ab3dEf6h' * 4}", "[redacted openai_key]", id="a key"),
        pytest.param("run password=hunter22", "run password=[redacted assignment]", id="one in it"),
    ],
)
def test_a_tools_name_holds_no_secret(name: str, kept: str) -> None:
    assert only(record(event__name="codex.tool_result", tool_name=name)).tool == kept


@given(value=_json, signal=st.sampled_from([*otlp.SIGNALS, None]))
@settings(max_examples=300, deadline=None)
def test_any_json_is_read_or_refused(value: Any, signal: str | None) -> None:
    body = json.dumps(value).encode("utf-8", "surrogatepass")
    try:
        otlp.decode(signal, body, json=True, now=NOW)
    except MalformedError as error:
        assert str(error)


@given(value=_json)
@settings(max_examples=300, deadline=None)
def test_any_attribute_value_is_read_or_left(value: Any) -> None:
    event = record(event__name="codex.tool_result")
    event["attributes"] += [{"key": name, "value": value} for name in sorted(otlp._WANTED)]
    event["observedTimeUnixNano"] = value
    event["body"] = value
    with suppress(MalformedError):
        read(event)


@given(body=st.binary(max_size=300), signal=st.sampled_from([*otlp.SIGNALS, None]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(body: bytes, signal: str | None) -> None:
    try:
        otlp.decode(signal, body, json=False, now=NOW)
    except MalformedError as error:
        assert str(error)
