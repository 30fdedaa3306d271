"""The stored telemetry events, filtered and paged, and how good the telemetry is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from server.errors import Unprocessable
from server.store import db
from server.times import iso
from server.usage.durations import COMMANDS
from server.usage.outcomes import PATIENCE_MS, standing
from server.usage.steps import PROVIDERS, Span, whole_quarters
from server.usage.telemetry import failures_told, sessions_told

# Events that come at least this long after the last one mean that telemetry has stopped.
SILENCE_MS = 10 * 60_000

_COLUMNS = (
    "id", "at", "name", "kind", "provider", "session_id", "service", "version", "model", "user",
    "terminal", "tool", "call_id", "decision", "success", "status", "duration_ms", "count",
    "failed",
)  # fmt: skip
# Filters by name in a query → column; an allow-list, since they end up in SQL.
TEXTS = {
    "name": "name", "kind": "kind", "conversation": "session_id", "model": "model",
    "user": "user", "terminal": "terminal", "tool": "tool", "callId": "call_id",
    "decision": "decision", "version": "version", "service": "service",
}  # fmt: skip
_BY_USER = "lower(coalesce(e.kind, '')) like 'user%'"
_LATER = (
    "exists (select 1 from call c join session s on s.id = c.session "
    "where s.key = e.session_id and c.started_at > e.at and c.seen & 3)"
)
_HAS = {
    "model": "e.model is not null",
    "tool": "e.tool is not null",
    "user": "e.user is not null",
    "terminal": "e.terminal is not null",
    "decision": "e.decision is not null",
    "success": "e.success is not null",
    "callId": "e.call_id is not null",
    "conversation": "e.session_id is not null",
    "durationMs": "e.duration_ms is not null",
    "tokens": "u.key is not null",
    # What the panel of commands' durations measures.
    "command": "e.name in ('codex.tool_result', 'claude_code.tool_result') "
    "and e.duration_ms is not null and e.tool in ({})".format(  # noqa: UP032 - reads better
        ", ".join(f"'{name}'" for name in sorted(COMMANDS))
    ),
    # Each request that failed for good by one event, as the panels count them.
    "failed": "e.id in (select value from json_each(?))",
    # Of a conversation with a prompt that the ledger has no call of.
    "alone": "e.session_id in (select value from json_each(?))",
    "userDecision": f"e.decision is not null and {_BY_USER}",
    # What the panels count of the responses: those of a call, and those that nobody else saw.
    "counted": f"(u.call is not null or (u.key is not null and e.at <= ? and not {_LATER}))",
    # The standings of a response (`outcomes.standing`); `?` is the last moment that is not young.
    "matched": "u.call is not null",
    "replaced": f"u.key is not null and u.call is null and e.at <= ? and {_LATER}",
    "provisional": f"u.key is not null and u.call is null and e.at <= ? and not {_LATER}",
    "waiting": "u.key is not null and u.call is null and e.at > ?",
}
_KIND = "e.session_id in (select session_id from telemetry_session where kind = '{}')"
_HAS["helper"] = _KIND.format("helper")  # in a conversation that Codex started for itself
HAS = ("", *_HAS)
_LACKS = {
    name: f"coalesce(e.{TEXTS[name]}, '') = ''"
    for name in ("model", "tool", "user", "decision", "conversation")
}
_LACKS["helper"] = _KIND.format("user")
_LACKS["userDecision"] = f"e.decision is not null and not {_BY_USER}"  # the configuration's
LACKS = ("", *_LACKS)
# How a tool's run went in the end: a command's exit code, where the log has one, decides.
_WENT = {"well": "(e.success and not e.failed)", "badly": "(not e.success or e.failed)"}
WENT = ("", *_WENT)
# A terminal's name without its version stands for all of them.
_FAMILY = "substr(e.terminal, 1, instr(e.terminal || '/', '/') - 1)"


@dataclass(frozen=True)
class Wanted:
    """Which events: those of a span that have one of the given values in each named column."""

    span: Span
    texts: dict[str, tuple[str, ...]]
    success: bool | None = None
    went: str = ""
    has: str = ""
    lacks: str = ""


def events(wanted: Wanted, limit: int, cursor: str) -> dict[str, Any]:
    """The newest first, `limit` a page; `nextCursor` continues after the last one."""
    sql, values = _where(wanted)
    total = db.rows(
        "select count(*), coalesce(sum(e.count), 0), "  # noqa: S608 - our own words
        "count(distinct nullif(e.session_id, '')), count(u.key), total(u.input), "
        "total(u.cached), total(u.output), "
        f"count(distinct coalesce(e.session_id, '') || ' ' || e.call_id) {sql}",
        values,
    )[0]
    if cursor:
        at, number = _place(cursor)
        sql += " and (e.at, e.id) < (?, ?)"
        values += [at, number]
    columns = ", ".join(f"e.{name}" for name in _COLUMNS)
    found = db.rows(
        f"select {columns}, e.attributes, u.input, u.cached, u.cache_written, u.output, "  # noqa: S608
        "u.reasoning, u.ttft_ms, u.call, exists (select 1 from call c join session s "
        "on s.id = c.session where s.key = e.session_id and c.started_at > e.at and c.seen & 3) "
        f"{sql} order by e.at desc, e.id desc limit ?",
        [*values, limit + 1],
    )
    now = db.now_ms()
    page = found[:limit]
    more = len(found) > limit
    return {
        "events": [_row(row, now) for row in page],
        "total": total[0],
        "records": total[1],
        "conversations": total[2],
        "tokens": _tokens(*map(int, total[3:7])),
        "toolCalls": total[7],
        "hasMore": more,
        "nextCursor": f"{page[-1][1]}.{page[-1][0]}" if more else None,
    }


def _tokens(told: int, taken: int, cached: int, output: int) -> dict[str, int] | None:
    """What responses used; None where no event is one's."""
    if not told:
        return None
    return {"inputTokens": taken, "cachedInputTokens": cached, "outputTokens": output}


def first() -> int:
    """When the first call or event was that is known of; now when there is none."""
    found = db.rows(
        "select min(at) from (select min(started_at) as at from call "
        "union all select min(at) from telemetry_event)"
    )[0][0]
    return int(found) if found is not None else db.now_ms()


def _where(wanted: Wanted) -> tuple[str, list[Any]]:
    sql = (
        "from telemetry_event e left join telemetry_usage u on u.key = e.key "
        "where e.at >= ? and e.at < ?"
    )
    values: list[Any] = [wanted.span.since, wanted.span.until]
    if wanted.span.provider:
        sql += " and e.provider = ?"
        values.append(wanted.span.provider)
    for name, given in wanted.texts.items():
        if name == "name":
            given = tuple(full for one in given for full in _full_names(one))
        if given:
            marks = ",".join("?" * len(given))
            either = f" or {_FAMILY} in ({marks})" if name == "terminal" else ""
            sql += f" and (e.{TEXTS[name]} in ({marks}){either})"
            values += [*given, *given] if either else given
    if wanted.success is not None:
        sql += " and e.success = ?"
        values.append(wanted.success)
    words = ((wanted.went, _WENT), (wanted.lacks, _LACKS), (wanted.has, _HAS))
    sql += "".join(f" and {conditions[word]}" for word, conditions in words if word)
    if wanted.has:
        values += _given(wanted)
    return sql, values


def _full_names(name: str) -> tuple[str, ...]:
    """A name without its provider's prefix stands for the event of both."""
    return (name,) if "." in name else (f"codex.{name}", f"claude_code.{name}")


def _given(wanted: Wanted) -> list[Any]:
    """The values that what an event must have asks for."""
    if wanted.has in _TOLD:
        return [_told(wanted.span, _TOLD[wanted.has])]
    return [db.now_ms() - PATIENCE_MS] if "?" in _HAS[wanted.has] else []


_TOLD: dict[str, Callable[[Span], list[Any]]] = {
    "failed": lambda span: [one.id for one in failures_told(span, db.now_ms())],
    "alone": sessions_told,
}


def _told(span: Span, found: Callable[[Span], list[Any]]) -> str:
    """What the panels count as telemetry's of a span, as a JSON list."""
    return json.dumps(found(whole_quarters(span)))


def _place(cursor: str) -> tuple[int, int]:
    at, _, number = cursor.partition(".")
    digits = at.isascii() and at.isdigit() and number.isascii() and number.isdigit()
    if not digits or len(at) > 15 or len(number) > 18:
        raise Unprocessable("“cursor” must be the nextCursor of an earlier answer.")
    return int(at), int(number)


def _row(row: tuple[Any, ...], now: int) -> dict[str, Any]:
    event = dict(zip(_COLUMNS, row, strict=False))
    attributes, taken, cached, written, output, reasoning, ttft, call, later = row[len(_COLUMNS) :]
    usage = None
    if taken is not None:
        usage = {
            "inputTokens": taken, "cachedInputTokens": cached, "cacheWrittenTokens": written,
            "outputTokens": output, "reasoningTokens": reasoning, "firstTokenMs": ttft,
            "callId": call,
            "standing": standing(
                matched=call is not None, at=event["at"], later_call=bool(later), now=now
            ),
        }  # fmt: skip
    return {
        "id": event["id"], "at": iso(event["at"]), "name": event["name"], "kind": event["kind"],
        "provider": event["provider"], "conversation": event["session_id"],
        "service": event["service"], "version": event["version"], "model": event["model"],
        "user": event["user"], "terminal": event["terminal"], "tool": event["tool"],
        "toolCallId": event["call_id"], "decision": event["decision"],
        "success": None if event["success"] is None else bool(event["success"]),
        "failed": bool(event["failed"]), "status": event["status"],
        "durationMs": event["duration_ms"], "count": event["count"],
        "attributes": orjson.loads(attributes), "usage": usage,
    }  # fmt: skip


# ── quality ───────────────────────────────────────────────────────────────────────────────


def quality(asked: Span, now: int) -> dict[str, Any]:
    """How far the telemetry of a span can be trusted, and what was left out of it and why."""
    span = whole_quarters(asked)
    counts = _counts(span)
    return {
        "signals": [
            {"name": name, "batches": number, "records": counts["records"].get(name, (0, 0))[0],
             "lastAt": iso(last)}
            for name, (number, last) in sorted(counts["batches"].items())
        ],
        "versions": _listed(counts["version"]),
        "stored": _listed(counts["stored"]),
        "repeated": sum(number for number, _ in counts["repeated"].values()),
        "dropped": _listed(counts["dropped"]),
        "refused": _listed(counts["refused"]),
        "records": _standings(span, now),
        "conversations": dict(
            db.rows(
                "select t.kind, count(distinct k.session_id) from telemetry_talk k "
                "join telemetry_session t on t.session_id = k.session_id "
                "where k.quarter >= ? and k.quarter < ? "
                "and k.provider in (select value from json_each(?)) group by 1",
                span.quarters(),
            )
        ),
        "silence": _silence(span.provider, now),
    }  # fmt: skip


def _counts(span: Span) -> dict[str, dict[str, tuple[int, int]]]:
    kinds = ("batches", "records", "stored", "repeated", "dropped", "refused", "version")
    found: dict[str, dict[str, tuple[int, int]]] = {kind: {} for kind in kinds}
    first, last = str(iso(span.since))[:10], str(iso(span.until))[:10]
    for kind, name, number, at in db.rows(
        "select kind, name, sum(count), max(last_at) from telemetry_count "
        "where day >= ? and day <= ? group by kind, name",
        (first, last),
    ):
        found.setdefault(kind, {})[name] = (number, at)
    return found


def _listed(counts: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))
    return [{"name": name, "count": number, "lastAt": iso(at)} for name, (number, at) in ordered]


def _standings(span: Span, now: int) -> dict[str, int]:
    """How many records stand how: all are counted, those without a call are looked at."""
    found: Counter[str] = Counter(matched=0, waiting=0, replaced=0, provisional=0)
    for at, later, number in db.rows(
        "select u.at, exists (select 1 from session s join call c on c.session = s.id "
        "where s.key = u.session_id and c.started_at > u.at and c.seen & 3), count(*) "
        "from telemetry_usage u where u.call is null "
        "and u.provider in (select value from json_each(?)) and u.at >= ? "
        "and u.at < ? group by 1, 2",
        (span.whose, span.since, span.until),
    ):
        found[standing(matched=False, at=at, later_call=bool(later), now=now)] += number
    every = db.rows(
        "select coalesce(sum(count), 0) from telemetry_slice where heading = 'usage' "
        "and quarter >= ? and quarter < ? and provider in (select value from json_each(?))",
        span.quarters(),
    )[0][0]
    found["matched"] = max(0, every - found.total())
    return dict(found)


def _silence(provider: str, now: int) -> dict[str, Any]:
    """The silence of a provider; of both, of the one that fell silent, else that spoke last."""
    if provider:
        return silence(provider, now)
    found = [silence(one, now) for one in PROVIDERS]
    return max(found, key=lambda one: (one["silentSince"] or "", one["lastEventAt"] or ""))


def silence(provider: str, now: int) -> dict[str, Any]:
    """When each source last spoke, and since when calls come without telemetry."""
    event = db.rows("select max(at) from telemetry_event where provider = ?", (provider,))[0][0]
    call = db.rows("select max(started_at) from call where provider = ? and seen & 3", (provider,))[
        0
    ][0]
    silent = None
    if event is not None and call is not None and call - event > SILENCE_MS:
        silent = event
    return {
        "provider": provider, "lastEventAt": iso(event), "lastCallAt": iso(call),
        "silentSince": iso(silent),
    }  # fmt: skip
