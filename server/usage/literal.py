"""SigNoz' own queries over the stored events, so that both dashboards can be compared.

They are kept as they are, with what they really measure: the model pie counts records, the
tool pie counts decision and result, “model calls” are tool calls (docs/API.md).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import orjson

from server.store import db
from server.usage.steps import Histograms, Span, Steps, overall

_MOST_DETAILS = 200

_WHERE = " from telemetry_event where at >= ? and at < ? and provider = ?"


def _rows(columns: str, span: Span, rest: str = "") -> list[tuple[Any, ...]]:
    return db.rows(f"select {columns}{_WHERE}{rest}", tuple(span))  # noqa: S608


def values(span: Span, steps: Steps) -> dict[str, dict[str, Any]]:
    """What SigNoz would show, by panel."""
    tiles = {name: {"value": value} for name, value in _tiles(span).items()}
    histograms = _durations(span, steps)
    talks = steps.rows(
        "count(distinct x.session_id)", "telemetry_event", "at", span, "x.provider = ?"
    )
    tokens = steps.rows("sum(x.input + x.output)", "telemetry_usage", "at", span, "x.provider = ?")
    return {
        **tiles,
        "models": {"items": _pie("model", span)},
        "modelTokens": {"items": _tokens_by_model(span)},
        "tools": {"items": _pie("tool", span)},
        "users": {"items": _pie("user", span, distinct=True)},
        "terminals": {"items": _pie("terminal", span, distinct=True)},
        "success": {"items": _success(span)},
        "decisions": {"items": _pie("decision", span)},
        "conversationsOverTime": {"points": steps.points(dict(talks))},
        "tokensOverTime": {"points": steps.points(dict(tokens))},
        "commandDuration": {"points": steps.p95(histograms), "value": overall(histograms)},
        "conversationDetails": {"rows": _details(span)},
    }


def _tiles(span: Span) -> dict[str, Any]:
    """The six tiles; None where SigNoz has nothing to add up."""
    sums = db.rows(
        "select sum(input), sum(output), sum(cached) from telemetry_usage "
        "where at >= ? and at < ? and provider = ?",
        tuple(span),
    )[0]
    ids = _rows("count(distinct session_id), count(distinct call_id)", span)[0]
    taken, output, cached = sums
    return {
        "input": taken,
        "output": output,
        "cached": cached,
        "cacheRate": 100 * cached / taken if taken else None,
        "conversations": ids[0],
        "modelCalls": ids[1],
    }


def _pie(column: str, span: Span, *, distinct: bool = False) -> list[dict[str, Any]]:
    """Records (or conversations) by the value of one column, where it exists."""
    measure = "count(distinct session_id)" if distinct else "sum(count)"
    found = _rows(f"{column}, {measure}", span, f" and {column} is not null group by {column}")
    return _items(Counter({str(name): number for name, number in found}))


def _success(span: Span) -> list[dict[str, Any]]:
    """Records by `success`, as it was sent: text, or (of a model list request) a boolean."""
    found = _rows(
        "name = 'codex.api_request', success, sum(count)",
        span,
        " and success is not null group by 1, 2",
    )
    named = {
        f"{'true' if ok else 'false'}{' (boolean)' if plain else ''}": number
        for plain, ok, number in found
    }
    return _items(Counter(named))


def _tokens_by_model(span: Span) -> list[dict[str, Any]]:
    """Input and output tokens by model."""
    found = db.rows(
        "select model, sum(input + output) from telemetry_usage "
        "where at >= ? and at < ? and provider = ? and model is not null group by model",
        tuple(span),
    )
    return _items(Counter(dict(found)))


def _items(counts: Counter[str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": number} for name, number in counts.most_common()]


def _durations(span: Span, steps: Steps) -> Histograms:
    """How often each `duration_ms` came, whatever it measures."""
    found: Histograms = defaultdict(Counter)
    # By quarter of an hour: every step begins at one, in every zone.
    for quarter, ms, number in _rows(
        "at / 900000, duration_ms, sum(count)", span, " and duration_ms is not null group by 1, 2"
    ):
        found[steps.of(max(quarter * 900_000, span.since))][ms] += number
    for at, attributes in _rows("at, attributes", span, " and count > 1"):
        for text, number in orjson.loads(attributes).get("durations", {}).items():
            found[steps.of(at)][int(text)] += number
    return found


def _details(span: Span) -> list[dict[str, Any]]:
    """The table: every duration of a conversation added up, and its tool calls as model calls."""
    found = _rows(
        "session_id, sum(duration_ms), count(distinct call_id)",
        span,
        " and duration_ms is not null and session_id is not null group by 1 "
        f"order by 2 desc limit {_MOST_DETAILS}",
    )
    return [
        {"conversation": name, "durationMs": total, "modelCalls": calls}
        for name, total, calls in found
    ]
