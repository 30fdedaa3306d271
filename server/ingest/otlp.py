"""OTLP bodies → telemetry events: the catalogue of what Codex and Claude Code send, and no more.

Only attributes named here are ever read, so a prompt, a tool's arguments or its output cannot
get further than this module. Everything is optional and may come as text or as a number:
exporters differ by version. The event's name is the attribute `event.name`; the field
`eventName` holds a source location that changes with each release.
"""

from __future__ import annotations

import errno
import json as stdlib_json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
import orjson

SIGNALS = ("logs", "metrics", "traces")

_LONGEST = 200
_EARLIEST = 1_577_836_800_000  # 2020: no such client existed before
_DAY = 86_400_000
_BIGGEST = 2**53
# A real body of 16 MiB has 300,000 of them; a hostile one of `[[],[],…]` would cost 500 MB.
_MOST_PARTS = 500_000


class MalformedError(ValueError):
    """The body is not what its content type says."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one model response; `cached` and `cache_written` are part of `input`."""

    input: int
    cached: int
    cache_written: int
    output: int
    reasoning: int
    ttft_ms: int | None = None

    @property
    def empty(self) -> bool:
        """A warm-up over WebSocket reports a response of nothing; it is no call."""
        return not (self.input or self.output)


@dataclass(frozen=True, slots=True)
class Event:
    """One record, reduced to what may be kept. `key` is equal when it is delivered again."""

    key: bytes
    name: str
    kind: str | None
    provider: str
    session_id: str | None
    at: int
    service: str | None
    version: str | None
    model: str | None
    user: str | None
    terminal: str | None
    tool: str | None
    call_id: str | None
    decision: str | None
    success: bool | None
    status: int | None
    duration_ms: int | None
    count: int = 1
    attributes: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage | None = None
    failed: bool = False  # the log says that what the tool ran failed


@dataclass(frozen=True, slots=True)
class Batch:
    """What one body held: events to keep, and how many records were left out and why."""

    signal: str
    records: int
    events: tuple[Event, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


def decode(signal: str | None, body: bytes, *, json: bool, now: int) -> Batch:
    """Read one body; without a signal (a bare host was configured) it is told by its content.

    Logs become events. Metrics have no conversation and spans repeat the log events, so both
    are only counted: neither could be told from what the logs already said.
    Raises `MalformedError` with a sentence that holds nothing of the body.
    """
    try:
        if json:
            return _from_json(signal, body, now)
        return _from_protobuf(signal, body, now)
    except (ValueError, RecursionError, TypeError, AttributeError) as error:
        if isinstance(error, MalformedError):
            raise
        form = "JSON" if json else "protobuf"
        raise MalformedError(f"The body is not OTLP {signal or 'data'} as {form}.") from error


# ── JSON ──────────────────────────────────────────────────────────────────────────────────


class _Top(msgspec.Struct):
    resourceLogs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    resourceMetrics: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    resourceSpans: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class _One(msgspec.Struct, gc=False):
    pass


class _Scope(msgspec.Struct, gc=False):
    metrics: list[_One] = []
    spans: list[_One] = []


class _Resource(msgspec.Struct, gc=False):
    scopeMetrics: list[_Scope] = []  # noqa: N815
    scopeSpans: list[_Scope] = []  # noqa: N815


_top = msgspec.json.Decoder(_Top)
_counted = msgspec.json.Decoder(list[_Resource])
_KEYS = {"logs": "resourceLogs", "metrics": "resourceMetrics", "traces": "resourceSpans"}


def _from_json(signal: str | None, body: bytes, now: int) -> Batch:
    if body.count(b"[") + body.count(b"{") > _MOST_PARTS:
        raise MalformedError("The body has too many parts; send smaller batches.")
    signal = signal or _told_by_key(body)
    if signal == "logs":
        data = _loads(body)
        resources = data.get(_KEYS["logs"]) if isinstance(data, dict) else ""
        if not isinstance(resources, list | None):
            raise ValueError
        return _logs(_json_records(resources), now)
    raw = getattr(_top.decode(body), _KEYS[signal]) or b"[]"
    found = _counted.decode(raw)
    if signal == "metrics":
        return Batch(signal, sum(len(s.metrics) for r in found for s in r.scopeMetrics))
    return Batch(signal, sum(len(s.spans) for r in found for s in r.scopeSpans))


def _told_by_key(body: bytes) -> str:
    try:
        top: Any = _top.decode(body)
        present = [name for name, key in _KEYS.items() if getattr(top, key)]
    except msgspec.DecodeError:
        top = _loads(body)
        present = [name for name, key in _KEYS.items() if key in top]
    if not present:
        raise MalformedError(
            "The body has neither resourceLogs, resourceMetrics nor resourceSpans."
        )
    return present[0]


def _loads(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except ValueError:
        # A client that cuts a text in the middle of an emoji sends half a surrogate pair.
        return stdlib_json.loads(raw, parse_constant=_no_json)


def _no_json(constant: str) -> Any:
    """Python would read NaN and Infinity, which are no JSON (OTLP writes them as texts)."""
    raise MalformedError("The body is not JSON: it holds NaN or Infinity as a bare word.")


@dataclass(frozen=True, slots=True)
class _Record:
    """One log record with the attributes we want, whichever form it came in."""

    resource: Mapping[str, Any]
    values: Mapping[str, Any]
    observed: int
    body: str | None


def _json_records(resources: Any) -> Iterator[_Record]:
    for resource in _dicts(resources):
        about = resource.get("resource")
        common = _json_values(about.get("attributes") if isinstance(about, dict) else None)
        for scope in _dicts(resource.get("scopeLogs")):
            for record in _dicts(scope.get("logRecords")):
                observed = _int(record.get("observedTimeUnixNano")) or 0
                body = record.get("body")
                text = body.get("stringValue") if isinstance(body, dict) else None
                yield _Record(
                    common,
                    _json_values(record.get("attributes")),
                    observed or _int(record.get("timeUnixNano")) or 0,
                    text if isinstance(text, str) else None,
                )


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; an exporter that sends something else there sends nothing."""
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield item


def _json_values(attributes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in _dicts(attributes):
        key = item.get("key")
        if isinstance(key, str) and key in _WANTED:
            value = item.get("value")
            if isinstance(value, dict) and value:
                kind, inner = next(iter(value.items()))
                if kind in _SCALARS:
                    found[key] = inner
    return found


_SCALARS = frozenset(("stringValue", "intValue", "boolValue", "doubleValue"))


# ── protobuf ──────────────────────────────────────────────────────────────────────────────


def _from_protobuf(signal: str | None, body: bytes, now: int) -> Batch:
    # Here, not at the top: most starts of the program never meet a body.
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    try:
        if signal in ("logs", None):
            logs = logs_service_pb2.ExportLogsServiceRequest.FromString(body)
            if signal or _is_logs(logs):
                return _logs(_protobuf_records(logs), now)
        if signal in ("traces", None):
            traces = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
            found = [span for r in traces.resource_spans for s in r.scope_spans for span in s.spans]
            if signal or any(len(span.trace_id) == 16 for span in found):
                return Batch("traces", len(found))
        metrics = metrics_service_pb2.ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise MalformedError(f"The body is not OTLP {signal or 'data'} as protobuf.") from error
    return Batch("metrics", sum(len(s.metrics) for r in metrics.resource_metrics
                                for s in r.scope_metrics))  # fmt: skip


def _is_logs(logs: Any) -> bool:
    # The three signals have the same outer fields; only a log record has these inside.
    records = [x for r in logs.resource_logs for s in r.scope_logs for x in s.log_records]
    return any(record.observed_time_unix_nano or record.severity_text for record in records)


def _protobuf_records(logs: Any) -> Iterator[_Record]:
    for resource in logs.resource_logs:
        common = _protobuf_values(resource.resource.attributes)
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield _Record(
                    common,
                    _protobuf_values(record.attributes),
                    record.observed_time_unix_nano or record.time_unix_nano,
                    record.body.string_value or None,
                )


def _protobuf_values(attributes: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in attributes:
        if item.key in _WANTED:
            value = item.value
            which = value.WhichOneof("value")
            if which in _PROTOBUF_SCALARS:
                found[item.key] = getattr(value, which)
    return found


_PROTOBUF_SCALARS = frozenset(("string_value", "int_value", "bool_value", "double_value"))


# ── records → events ──────────────────────────────────────────────────────────────────────


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        return None
    clean = str(value).encode("utf-8", "replace").decode().replace("\0", "")
    return clean[:_LONGEST] or None


@lru_cache(2048)
def _clean(name: str | None) -> str | None:
    """A tool's name, which a model may make up of anything, without secrets; there are few."""
    # Here, not at the top: its shapes take longer to make than the rest of a start.
    from server.ingest import redact

    return name and redact.redact(name)


def _int(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            return None
        value = int(value)
    if isinstance(value, float):
        if not -_BIGGEST < value < _BIGGEST:  # also false for NaN
            return None
        value = round(value)
    return value if isinstance(value, int) and -(2**63) < value < 2**63 else None


def _amount(value: Any) -> int | None:
    number = _int(value)
    return number if number is not None and 0 <= number < _BIGGEST else None


def _bool(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _micro(value: Any) -> int | None:
    try:
        number = round(float(value) * 1_000_000)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < _BIGGEST else None


# Of an error's own words only these are kept: any other word may be part of what a user wrote.
_ERROR_CODES = frozenset(
    """
    aborted account_deactivated api_connection_error api_error authentication_error bad_gateway
    bad_request billing_error billing_hard_limit_reached billing_not_active canceled cancelled
    connection connection_error connection_failed connection_reset content_filter
    content_policy_violation context_length_exceeded context_window_exceeded cyber_policy
    deactivated_workspace denied disconnected error failed forbidden gateway_timeout
    insufficient_permissions insufficient_quota internal_error internal_server_error interrupted
    invalid_api_key invalid_prompt invalid_request invalid_request_error invalid_token
    invalid_value max_output_tokens method_not_allowed missing_scope model_not_found
    model_not_supported network network_error no_accounts none not_found not_found_error
    not_supported other overloaded overloaded_error payload_too_large permission_denied
    permission_error policy_violation previous_response_not_found quota quota_exceeded
    rate_limit rate_limit_error rate_limit_exceeded rate_limited refresh_token_expired
    refresh_token_invalidated refresh_token_reused rejected request_timeout request_too_large
    response_failed sandbox_denied server_error server_is_overloaded service_unavailable
    shell_error slow_down stream_closed stream_disconnected stream_error stream_idle_timeout
    stream_incomplete string_above_max_length timeout timeout_error token_expired
    token_invalidated token_revoked too_many_requests tool_error tool_not_found unauthorized
    unauthorized_error unknown unsupported_country_region_territory unsupported_parameter
    unsupported_value upstream_error upstream_request_timeout upstream_unavailable usage_limit
    usage_limit_exceeded usage_limit_reached usage_not_included user_interrupt validation_error
    websocket_closed websocket_connection_limit_reached workspace_deactivated
    workspace_member_usage_limit_reached
    """.split()  # noqa: SIM905 - a list of so many quotes reads badly
)
_ERRNOS = frozenset(errno.errorcode.values()) | {"ENOTFOUND", "EAI_AGAIN", "EPROTO", "ETIMEOUT"}
_STATUS = re.compile(r"[1-5]\d\d", re.ASCII)
_ERROR_CODE = re.compile(r'"code"\s*:\s*"([a-z0-9_.-]{1,60})"', re.ASCII | re.IGNORECASE)
_HTTP_ERROR = re.compile(r"\bhttp ([1-5]\d\d)\b", re.ASCII | re.IGNORECASE)
_ERROR_WORDS = {
    "disconnect": "disconnected",
    "timed out": "timeout",
    "timeout": "timeout",
    "idle": "timeout",
    "usage limit": "usage_limit",
    "rate limit": "rate_limit",
    "quota": "quota",
    "unauthorized": "unauthorized",
    "connect": "connection",
}


def error_code(value: Any) -> str | None:
    """What kind of error a message tells of. Its own words may quote a prompt or a key, so only
    a code that is known stays of them; else it is `other`."""
    if not isinstance(value, str) or not value:
        return None
    head = value[:4000]
    if code := _ERROR_CODE.search(head):
        return _known(code[1]) or "other"
    if status := _HTTP_ERROR.search(head):
        return f"http_{status[1]}"
    if known := _known(head):
        return known
    lower = head.lower()
    return next((code for words, code in _ERROR_WORDS.items() if words in lower), "other")


def _known(word: str) -> str | None:
    """The word, if it is a code of the list, a status of HTTP or an error of the system."""
    if word in _ERRNOS or _STATUS.fullmatch(word):
        return word
    lower = word.lower()
    number = lower.removeprefix("http_")
    known = lower in _ERROR_CODES or (number != lower and _STATUS.fullmatch(number))
    return lower if known else None


# Attributes that go into `Event.attributes`: name → how it is read.
_EXTRA: dict[str, Callable[[Any], Any]] = {
    "originator": _text,
    "auth_mode": _text,
    "auth.mode": _text,
    "reasoning_effort": _text,
    "reasoning_summary": _text,
    "approval_policy": _text,
    "sandbox_policy": _text,
    "provider_name": _text,
    "mcp_servers": _text,
    "mcp_server": _text,
    "tool_namespace": _text,
    "agent_name": _text,
    "startup.status": _text,
    "outcome": _text,
    "step": _text,
    "env": _text,
    "speed": _text,
    "query_source": _text,
    "decision_type": _text,
    "decision_source": _text,
    "request_id": _text,
    "user.account_id": _text,
    "attempt": _amount,
    "context_window": _amount,
    "auto_compact_token_limit": _amount,
    "prompt_length": _amount,
    "tool_result_seq": _amount,
    "initial_duration_ms": _amount,
    "escalated_duration_ms": _amount,
    "cost_usd": _micro,
    "output_truncated": _bool,
    "auth.connection_reused": _bool,
    "auth.retry_after_unauthorized": _bool,
    "error.message": error_code,
    "error": error_code,
}
_RENAMED = {"error.message": "error", "cost_usd": "cost"}
_WANTED = frozenset(_EXTRA) | {
    "event.name", "event.kind", "event.timestamp", "conversation.id", "session.id",
    "service.name", "service.version", "app.version", "model", "user.email", "terminal.type",
    "tool_name", "call_id", "tool_use_id", "decision", "source", "success", "duration_ms",
    "http.response.status_code", "status_code", "endpoint", "startup.phase",
    "input_token_count", "output_token_count", "cached_token_count", "cache_write_token_count",
    "reasoning_token_count", "ttft_ms", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_creation_tokens",
}  # fmt: skip
_NAME = re.compile(r"(codex|claude_code)\.[a-z0-9_.]{1,60}", re.ASCII)
_KINDS = ("event.kind", "endpoint", "source", "startup.phase")


def _logs(records: Iterable[_Record], now: int) -> Batch:
    events: list[Event] = []
    dropped: Counter[str] = Counter()
    total = 0
    for record in records:
        total += 1
        name = _name(record)
        if name is None:
            dropped["not an event"] += 1
        elif _NAME.fullmatch(name) is None:
            dropped["another program's event"] += 1
        else:
            events.append(_event(name, record, now))
    return Batch("logs", total, tuple(_fold(events)), dict(dropped))


def _name(record: _Record) -> str | None:
    name = record.values.get("event.name")
    if not isinstance(name, str) or not name:
        return None
    # Claude Code names its events without the prefix that its log body has.
    service = str(record.resource.get("service.name") or "")
    claude = service.startswith("claude-code") or (record.body or "").startswith("claude_code.")
    return f"claude_code.{name}" if claude and not name.startswith("claude_code.") else name


def _event(name: str, record: _Record, now: int) -> Event:
    values, resource = record.values, record.resource
    provider = "codex" if name.startswith("codex.") else "claude"
    usage = _codex_usage(values) if provider == "codex" else _claude_usage(name, values)
    kind = next((text for key in _KINDS if (text := _text(values.get(key)))), None)
    told = _moment(values.get("event.timestamp"), record.observed, now)
    event = Event(
        key=b"",
        name=name,
        kind=kind,
        provider=provider,
        session_id=_text(values.get("conversation.id")) or _text(values.get("session.id")),
        # A clock that is ahead must not hide that nothing came since: no event is of the future.
        at=min(told, now),
        service=_text(resource.get("service.name")),
        version=_text(values.get("app.version")) or _text(resource.get("service.version")),
        model=_text(values.get("model")),
        user=_text(values.get("user.email")),
        terminal=_text(values.get("terminal.type")),
        tool=_clean(_text(values.get("tool_name"))),
        call_id=_text(values.get("call_id")) or _text(values.get("tool_use_id")),
        decision=_text(values.get("decision")),
        success=_bool(values.get("success")),
        status=_amount(values.get("http.response.status_code", values.get("status_code"))),
        duration_ms=_amount(values.get("duration_ms")),
        attributes=_extra(values, resource),
        usage=usage,
    )
    return replace(event, key=_key(event, record.observed or told))


def _extra(values: Mapping[str, Any], resource: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for source in (resource, values):
        for name, value in source.items():
            read = _EXTRA.get(name)
            if read is not None and (seen := read(value)) is not None:
                found[_RENAMED.get(name, name)] = seen
    return found


_CODEX_TOKENS = (
    "input_token_count",
    "cached_token_count",
    "cache_write_token_count",
    "output_token_count",
    "reasoning_token_count",
)


def _codex_usage(values: Mapping[str, Any]) -> Usage | None:
    # Two records end a response: one with its duration, and this one with its tokens.
    if "input_token_count" not in values:
        return None
    read = [_amount(values.get(key)) or 0 for key in _CODEX_TOKENS]
    ttft = _amount(values.get("ttft_ms"))
    return Usage(read[0], read[1], read[2], read[3], read[4], ttft)


def _claude_usage(name: str, values: Mapping[str, Any]) -> Usage | None:
    if name != "claude_code.api_request" or "input_tokens" not in values:
        return None
    # Its input is only the uncached part; ours is the whole, as Codex counts it.
    cached = _amount(values.get("cache_read_tokens")) or 0
    written = _amount(values.get("cache_creation_tokens")) or 0
    plain = _amount(values.get("input_tokens")) or 0
    output = _amount(values.get("output_tokens")) or 0
    ttft = _amount(values.get("ttft_ms"))
    return Usage(plain + cached + written, cached, written, output, 0, ttft)


def _moment(stamp: Any, observed: int, now: int) -> int:
    # `timeUnixNano` of the Rust exporter is always 0, so the event's own stamp comes first.
    if isinstance(stamp, str):
        try:
            at = round(datetime.fromisoformat(stamp[:40]).timestamp() * 1000)
        except (ValueError, OverflowError):
            at = 0
        if _EARLIEST <= at <= now + _DAY:
            return at
    at = observed // 1_000_000
    return at if _EARLIEST <= at <= now + _DAY else now


def _key(event: Event, moment: int) -> bytes:
    usage = event.usage
    parts = (
        event.provider, event.session_id, moment, event.name, event.kind,
        event.tool, event.call_id, event.decision, event.duration_ms, event.status,
        usage and (usage.input, usage.cached, usage.output, usage.reasoning),
        event.attributes.get("request_id"),
    )  # fmt: skip
    return blake2b(repr(parts).encode("utf-8", "replace"), digest_size=16).digest()


def _fold(events: list[Event]) -> Iterator[Event]:
    """Runs of delta events become one with a count: an answer streams thousands of them."""
    folded: dict[tuple[Any, ...], list[Event]] = {}
    for event in events:
        if event.name == "codex.sse_event" and str(event.kind).endswith(".delta"):
            folded.setdefault((event.session_id, event.kind, event.model), []).append(event)
        else:
            yield event
    for run in folded.values():
        if len(run) == 1:
            yield run[0]
            continue
        gaps = Counter(str(e.duration_ms) for e in run if e.duration_ms is not None)
        digest = blake2b(b"".join(event.key for event in run), digest_size=16).digest()
        first = run[0]
        attributes = {**first.attributes, "durations": dict(gaps)}
        yield replace(first, key=digest, count=len(run), duration_ms=None, attributes=attributes)
