"""The seventeen panels: what telemetry adds to the ledger, with nothing counted twice.

Tokens, calls and models come from the ledger, which has them exactly; telemetry adds the
calls that only it saw, and what only it knows (terminals, decisions, tools' outcome).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, NamedTuple

from server.store import db
from server.times import iso
from server.usage import literal
from server.usage.days import Days
from server.usage.literal import Span
from server.usage.outcomes import Ending, failures, percentile, standing

_HOUR = 3_600_000
_QUARTER = 900_000
_HOURLY = 3 * 24 * _HOUR  # a longer span is shown by day
_MOST_DETAILS = 200
_COMMANDS = frozenset(
    ("exec_command", "shell", "shell_command", "local_shell", "unified_exec", "container.exec",
     "Bash")
)  # fmt: skip
LOCAL_USER = "local user"


class Lone(NamedTuple):
    """A response that only telemetry saw."""

    session: str | None
    at: int
    model: str | None
    user: str | None
    input: int
    cached: int
    output: int


class Conversations(NamedTuple):
    """Conversations by quarter of an hour."""

    ledger: set[tuple[int, str]]
    telemetry: set[tuple[int, str]]

    def names(self) -> set[str]:
        """Each once."""
        return {name for _, name in self.ledger | self.telemetry}


def lone(span: Span, now: int) -> list[Lone]:
    """The provisional records of a span: nobody else saw them, so they are counted."""
    found = db.rows(
        "select u.session_id, u.at, u.model, u.user, u.input, u.cached, u.output, "
        "exists (select 1 from call c where c.session = s.id and c.started_at > u.at "
        "and c.seen & 3) from telemetry_usage u left join session s on s.key = u.session_id "
        "where u.call is null and u.at >= ? and u.at < ? and u.provider = ?",
        tuple(span),
    )
    return [
        Lone(*row[:7])
        for row in found
        if standing(matched=False, at=row[1], later_call=bool(row[7]), now=now) == "provisional"
    ]


def panels(span: Span, days: Days, now: int) -> dict[str, Any]:
    """Every panel, corrected, each with SigNoz' literal value and where its rows are."""
    alone = lone(span, now)
    steps = Steps(span, days)
    tiles = _tiles(span, alone)
    shares = _shares(span, alone)
    lines = _lines(span, alone, steps)
    details = _details(span, alone)
    built = [*tiles, *shares, *lines, details]
    return {
        "from": iso(span.since),
        "to": iso(span.until),
        "step": steps.name,
        "provider": span.provider,
        "coverage": coverage(span, len(alone)),
        "panels": [_with_rows(panel, span) for panel in built],
    }


def coverage(span: Span, alone: int) -> dict[str, Any]:
    """How many of the span's calls each witness saw."""
    calls, log, proxy, telemetry = db.rows(
        "select count(*), coalesce(sum(seen & 1 != 0), 0), coalesce(sum(seen & 2 != 0), 0), "
        "coalesce(sum(seen & 4 != 0), 0) from call "
        "where started_at >= ? and started_at < ? and provider = ?",
        tuple(span),
    )[0]
    total = calls + alone
    return {
        "calls": total,
        "log": log,
        "proxy": proxy,
        "telemetry": telemetry + alone,
        "telemetryOnly": alone,
        "telemetryPercent": 100 * (telemetry + alone) / total if total else None,
    }


class Steps:
    """The hours or local days of a span."""

    def __init__(self, span: Span, days: Days) -> None:
        self._days = days
        self.hourly = span.until - span.since <= _HOURLY
        self.name = "hour" if self.hourly else "day"
        self.starts = list(self._all(span)) if span.until > span.since else []

    def of(self, quarter: int) -> int:
        """The start of the step that a quarter of an hour lies in."""
        at = quarter * _QUARTER
        midnight = self._days.start(date.fromisoformat(self._days.of(at)))
        return midnight + (at - midnight) // _HOUR * _HOUR if self.hourly else midnight

    def _all(self, span: Span) -> Iterable[int]:
        at, last = self.of(span.since // _QUARTER), span.until
        while at < last:
            yield at
            if self.hourly:
                at += _HOUR
            else:
                day = date.fromisoformat(self._days.of(at)) + timedelta(days=1)
                at = self._days.start(day)

    def points(self, values: dict[int, Any], empty: Any = 0) -> list[dict[str, Any]]:
        """One point a step, `empty` where nothing happened."""
        return [{"t": iso(at), "v": values.get(at, empty)} for at in self.starts]

    def summed(self, quarters: Iterable[tuple[int, int]]) -> list[dict[str, Any]]:
        """Points of values that add up."""
        found: dict[int, int] = defaultdict(int)
        for quarter, value in quarters:
            found[self.of(quarter)] += value
        return self.points(found)

    def distinct(self, quarters: Iterable[tuple[int, str]]) -> list[dict[str, Any]]:
        """Points of how many different names there were."""
        found: dict[int, set[str]] = defaultdict(set)
        for quarter, name in quarters:
            found[self.of(quarter)].add(name)
        return self.points({at: len(names) for at, names in found.items()})

    def p95(self, quarters: dict[int, Counter[int]]) -> list[dict[str, Any]]:
        """Points of the 95th percentile; None where nothing was measured."""
        found: dict[int, Counter[int]] = defaultdict(Counter)
        for quarter, histogram in quarters.items():
            found[self.of(quarter)] += histogram
        return self.points({at: percentile(h, 0.95) for at, h in found.items()}, None)


# ── tiles ─────────────────────────────────────────────────────────────────────────────────


def _tiles(span: Span, alone: list[Lone]) -> list[dict[str, Any]]:
    calls, taken, cached, output = db.rows(
        "select count(*), coalesce(sum(input), 0), coalesce(sum(cached), 0), "
        "coalesce(sum(output), 0) from call "
        "where started_at >= ? and started_at < ? and provider = ?",
        tuple(span),
    )[0]
    said = literal.totals(span)
    more = {
        "input": sum(one.input for one in alone),
        "output": sum(one.output for one in alone),
        "cached": sum(one.cached for one in alone),
    }
    whole = taken + more["input"]
    talks = _conversations(span)
    names = talks.names()
    rate = 100 * (cached + more["cached"]) / whole if whole else None
    ledger_names = {name for _, name in talks.ledger}
    return [
        _number("input", "Input tokens", "tokens", (taken, more["input"]), said["input"]),
        _number("output", "Output tokens", "tokens", (output, more["output"]), said["output"]),
        _number("cached", "Cached tokens", "tokens", (cached, more["cached"]), said["cached"]),
        {
            **_number("cacheRate", "Cache rate", "%", (0, 0), said["cacheRate"]),
            "value": rate,
            "sources": {"ledger": 100 * cached / taken if taken else None, "telemetry": None},
        },
        _number(
            "conversations", "Conversations", None,
            (len(ledger_names), len(names - ledger_names)), said["conversations"],
        ),
        {
            **_number("modelCalls", "Model calls", None, (calls, len(alone)), said["modelCalls"]),
            "failed": _failed(span),
        },
    ]  # fmt: skip


def _number(
    name: str, title: str, unit: str | None, parts: tuple[int, int], said: Any
) -> dict[str, Any]:
    return {
        "id": name,
        "title": title,
        "kind": "number",
        "unit": unit,
        "value": sum(parts),
        "sources": {"ledger": parts[0], "telemetry": parts[1]},
        "literal": {"value": said},
    }


def _conversations(span: Span) -> Conversations:
    """Conversations with a call, and those that only telemetry saw a prompt of; no helpers."""
    ledger = db.rows(
        "select distinct c.started_at / 900000, coalesce(s.thread, s.key) from call c "
        "join session s on s.id = c.session where c.started_at >= ? and c.started_at < ? "
        "and c.provider = ? and s.kind != 'title'",
        tuple(span),
    )
    told = db.rows(
        "select distinct e.at / 900000, coalesce(s.thread, e.session_id) from telemetry_event e "
        "join telemetry_session t on t.session_id = e.session_id "
        "left join session s on s.key = e.session_id "
        "where e.at >= ? and e.at < ? and e.provider = ? and t.kind = 'user' "
        "and e.name in ('codex.user_prompt', 'claude_code.user_prompt')",
        tuple(span),
    )
    return Conversations(set(ledger), set(told))


_ENDINGS = (
    "select session_id, at, case "
    "when name in ('codex.api_request', 'claude_code.api_error') then "
    "  case when status between 200 and 399 then 'done' else 'refused' end "
    "when name = 'codex.websocket_request' then 'cut' "
    "when kind = 'response.failed' then 'failed' else 'cut' end, "
    "coalesce(json_extract(attributes, '$.attempt'), 0) from telemetry_event "
    "where at >= ? and at < ? and provider = ? and ("
    "(name = 'codex.api_request' and kind like '%/responses') "
    "or name = 'claude_code.api_error' "
    "or (name = 'codex.websocket_request' and success = 0) "
    "or (name = 'codex.sse_event' and kind in ('response.failed', 'response.completed') "
    "and json_extract(attributes, '$.error') is not null)) order by at, id"
)


def _failed(span: Span) -> int:
    """Requests that failed: the proxy tells each of a session it served, telemetry the others'."""
    told = failures(Ending(*row) for row in db.rows(_ENDINGS, tuple(span)))
    if span.provider != "codex":
        return len(told)
    within = (span.since, span.until)
    served = db.rows(
        "select coalesce(session_id, ''), sum(status = 'error') from request_log "
        "where started_at >= ? and started_at < ? group by 1",
        within,
    )
    sessions = {session for session, _ in served}
    proxied: int = sum(count for _, count in served)
    return proxied + sum(one.session not in sessions for one in told)


# ── shares ────────────────────────────────────────────────────────────────────────────────


def _shares(span: Span, alone: list[Lone]) -> list[dict[str, Any]]:
    calls: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for model, number, total in db.rows(
        "select coalesce(model, ''), count(*), sum(input + output) from call "
        "where started_at >= ? and started_at < ? and provider = ? group by 1",
        tuple(span),
    ):
        calls[model] += number
        tokens[model] += total
    for one in alone:
        calls[one.model or ""] += 1
        tokens[one.model or ""] += one.input + one.output
    return [
        _pie("models", "Model calls by model", calls, literal.pie("model", span)),
        _pie("modelTokens", "Tokens by model", tokens, literal.tokens_by_model(span)),
        _tools(span),
        _users(span, alone),
        _terminals(span),
        _success(span, sum(calls.values())),
        _decisions(span),
    ]


def _pie(name: str, title: str, counts: Counter[str], said: list[dict[str, Any]]) -> dict[str, Any]:
    items = [{"name": key or None, "value": number} for key, number in counts.most_common()]
    return {
        "id": name, "title": title, "kind": "pie", "unit": None, "items": items,
        "literal": {"items": said},
    }  # fmt: skip


_TOOL_CALLS = (
    "select coalesce(tool, ''), min(coalesce(success, -1)), max(duration_ms), min(at) "
    "from telemetry_event where at >= ? and at < ? and provider = ? "
    "and name in ('codex.tool_result', 'claude_code.tool_result') "
    "group by session_id, coalesce(call_id, id)"
)


def _tools(span: Span) -> dict[str, Any]:
    """Tool calls by tool: each call once, with how often it worked and its P95."""
    calls: Counter[str] = Counter()
    outcome: dict[str, Counter[int]] = defaultdict(Counter)
    took: dict[str, Counter[int]] = defaultdict(Counter)
    for tool, ok, ms, _ in db.rows(_TOOL_CALLS, tuple(span)):
        calls[tool] += 1
        outcome[tool][ok] += 1
        if ms is not None:
            took[tool][ms] += 1
    panel = _pie("tools", "Tool calls by tool", calls, literal.pie("tool", span))
    for item in panel["items"]:
        name = item["name"] or ""
        known = outcome[name][1] + outcome[name][0]
        item["succeeded"], item["failed"] = outcome[name][1], outcome[name][0]
        item["successPercent"] = 100 * outcome[name][1] / known if known else None
        item["p95Ms"] = percentile(took[name], 0.95)
    return panel


def _users(span: Span, alone: list[Lone]) -> dict[str, Any]:
    """Calls, conversations and tokens by user: the account that served, else who was signed in."""
    counts: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    talks: dict[str, set[str]] = defaultdict(set)
    rows = db.rows(
        "select coalesce(a.label, a.email, u.user, ''), coalesce(s.key, ''), count(*), "
        "sum(c.input + c.output) from call c left join account a on a.id = c.account "
        "left join telemetry_usage u on u.call = c.id left join session s on s.id = c.session "
        "where c.started_at >= ? and c.started_at < ? and c.provider = ? group by 1, 2",
        tuple(span),
    )
    rows += [(one.user or "", one.session or "", 1, one.input + one.output) for one in alone]
    for user, session, number, total in rows:
        counts[user or LOCAL_USER] += number
        tokens[user or LOCAL_USER] += total
        talks[user or LOCAL_USER].add(session)
    said = literal.pie("user", span, distinct=True)
    panel = _pie("users", "Requests by user", counts, said)
    for item in panel["items"]:
        item["conversations"] = len(talks[item["name"]])
        item["tokens"] = tokens[item["name"]]
    return panel


def _terminals(span: Span) -> dict[str, Any]:
    """Conversations by terminal; for those without telemetry, by the client that ran them."""
    told = db.rows(
        "select distinct terminal, session_id from telemetry_event "
        "where at >= ? and at < ? and provider = ? and terminal is not null "
        "and session_id is not null",
        tuple(span),
    )
    counts = Counter(
        name for name, _ in {(name.partition("/")[0], session) for name, session in told}
    )
    rest = db.rows(
        "select coalesce(s.client, ''), count(distinct s.id) from call c "
        "join session s on s.id = c.session where c.started_at >= ? and c.started_at < ? "
        "and c.provider = ? and s.kind != 'title' and not exists "
        "(select 1 from telemetry_session t where t.session_id = s.key) group by 1",
        tuple(span),
    )
    said = literal.pie("terminal", span, distinct=True)
    panel = _pie("terminals", "Conversations by terminal", counts, said)
    panel["surfaces"] = [{"name": name or None, "value": number} for name, number in rest]
    return panel


def _success(span: Span, succeeded: int) -> dict[str, Any]:
    """Model requests that ended well or not; the tools' outcome beside them, not among them."""
    failed = _failed(span)
    tools = Counter(ok for _, ok, _, _ in db.rows(_TOOL_CALLS, tuple(span)))
    counts = Counter({"succeeded": succeeded, "failed": failed})
    panel = _pie("success", "Success of requests", counts, literal.success(span))
    known = succeeded + failed
    panel["successPercent"] = 100 * succeeded / known if known else None
    panel["tools"] = {"succeeded": tools[1], "failed": tools[0]}
    return panel


def _decisions(span: Span) -> dict[str, Any]:
    """What users decided; what the configuration let through is told apart."""
    users: Counter[str] = Counter()
    configured: Counter[str] = Counter()
    for decision, source, number in db.rows(
        "select decision, lower(coalesce(kind, '')), count(*) from telemetry_event "
        "where at >= ? and at < ? and provider = ? and decision is not null "
        "and name in ('codex.tool_decision', 'claude_code.tool_decision') group by 1, 2",
        tuple(span),
    ):
        (users if source.startswith("user") else configured)[decision] += number
    panel = _pie("decisions", "User decisions", users, literal.pie("decision", span))
    panel["configured"] = [{"name": k, "value": v} for k, v in configured.most_common()]
    return panel


# ── lines and the table ───────────────────────────────────────────────────────────────────


def _lines(span: Span, alone: list[Lone], steps: Steps) -> list[dict[str, Any]]:
    tokens = db.rows(
        "select started_at / 900000, sum(input + output) from call where started_at >= ? "
        "and started_at < ? and provider = ? group by 1",
        tuple(span),
    ) + [(one.at // _QUARTER, one.input + one.output) for one in alone]
    said_tokens = db.rows(
        "select at / 900000, sum(input + output) from telemetry_usage where at >= ? and at < ? "
        "and provider = ? group by 1",
        tuple(span),
    )
    said_talks = db.rows(
        "select distinct at / 900000, session_id from telemetry_event where at >= ? and at < ? "
        "and provider = ? and session_id is not null",
        tuple(span),
    )
    talks = _conversations(span)
    return [
        _line("conversationsOverTime", "Conversations over time", None,
              steps.distinct(talks.ledger | talks.telemetry), steps.distinct(said_talks)),
        _line("tokensOverTime", "Tokens over time", "tokens",
              steps.summed(tokens), steps.summed(said_tokens)),
        _durations(span, steps),
    ]  # fmt: skip


def _line(
    name: str, title: str, unit: str | None, points: list[Any], said: list[Any]
) -> dict[str, Any]:
    return {
        "id": name, "title": title, "kind": "line", "unit": unit, "points": points,
        "literal": {"points": said},
    }  # fmt: skip


def _durations(span: Span, steps: Steps) -> dict[str, Any]:
    """P95 of commands (waiting for an approval included), of all tools and of requests."""
    commands: dict[int, Counter[int]] = defaultdict(Counter)
    tools: dict[int, Counter[int]] = defaultdict(Counter)
    requests: dict[int, Counter[int]] = defaultdict(Counter)
    for tool, _, ms, at in db.rows(_TOOL_CALLS, tuple(span)):
        if ms is not None:
            tools[at // _QUARTER][ms] += 1
            if tool in _COMMANDS:
                commands[at // _QUARTER][ms] += 1
    for quarter, ms, number in db.rows(
        "select at / 900000, duration_ms, count(*) from telemetry_event where at >= ? and at < ? "
        "and provider = ? and duration_ms is not null and (name = 'claude_code.api_request' or "
        "(name = 'codex.api_request' and kind like '%/responses')) group by 1, 2",
        tuple(span),
    ):
        requests[quarter][ms] += number
    said = literal.durations(span)
    panel = _line(
        "commandDuration", "Command duration, P95", "ms", steps.p95(commands), steps.p95(said)
    )
    for name, found in (("tools", tools), ("requests", requests)):
        panel[name] = {"points": steps.p95(found), "value": literal.p95(found)}
    panel["value"] = literal.p95(commands)
    panel["literal"]["value"] = literal.p95(said)
    return panel


def _details(span: Span, alone: list[Lone]) -> dict[str, Any]:
    """Conversations with their calls, tokens, tools and time, the largest first."""
    rows: dict[str, dict[str, Any]] = {}
    for name, title, kind, calls, tokens, model, last in db.rows(
        "select s.key, t.title, s.kind, count(*), sum(c.input + c.output), max(c.model), "
        "max(c.started_at) from call c join session s on s.id = c.session "
        "left join thread t on t.id = s.thread where c.started_at >= ? and c.started_at < ? "
        "and c.provider = ? group by s.id order by 5 desc limit 200",
        tuple(span),
    ):
        rows[name] = _detail(name, title, kind, (calls, tokens, model, last))
    for one in alone:
        name = one.session or ""
        row = rows.setdefault(name, _detail(name, None, None, (0, 0, one.model, one.at)))
        row["modelCalls"] += 1
        row["tokens"] += one.input + one.output
        row["lastAt"] = max(row["lastAt"], one.at)
    _add_tools(rows, span)
    chosen = sorted(rows.values(), key=lambda row: -row["tokens"])[:_MOST_DETAILS]
    for row in chosen:
        row["lastAt"] = iso(row["lastAt"])
    return {
        "id": "conversationDetails", "title": "Conversation details", "kind": "table",
        "unit": "ms", "rows": chosen, "literal": {"rows": literal.details(span, _MOST_DETAILS)},
    }  # fmt: skip


def _detail(
    name: str, title: str | None, kind: str | None, sums: tuple[int, int, str | None, int]
) -> dict[str, Any]:
    calls, tokens, model, last = sums
    return {
        "conversation": name or None, "title": title, "kind": kind, "modelCalls": calls,
        "tokens": tokens, "model": model, "lastAt": last, "toolCalls": None,
        "toolDurationMs": None,
    }  # fmt: skip


def _add_tools(rows: dict[str, dict[str, Any]], span: Span) -> None:
    helpers = dict(db.rows("select session_id, kind from telemetry_session"))
    for name, calls, total in db.rows(
        "select session_id, count(distinct coalesce(call_id, id)), sum(duration_ms) "
        "from telemetry_event where at >= ? and at < ? and provider = ? "
        "and name in ('codex.tool_result', 'claude_code.tool_result') group by 1",
        tuple(span),
    ):
        if name in rows:
            rows[name]["toolCalls"], rows[name]["toolDurationMs"] = calls, total
    for name, row in rows.items():
        known = helpers.get(name)
        row["kind"] = row["kind"] or known
        if known is not None and row["toolCalls"] is None:
            row["toolCalls"] = 0  # telemetry saw the conversation, and no tool in it


# ── where the rows are ────────────────────────────────────────────────────────────────────

_EVENTS = {
    "tools": {"name": "codex.tool_result"},
    "terminals": {"has": "terminal"},
    "success": {"name": "codex.api_request"},
    "decisions": {"name": "codex.tool_decision"},
    "commandDuration": {"name": "codex.tool_result"},
    "conversations": {"name": "codex.user_prompt"},
    "conversationsOverTime": {"name": "codex.user_prompt"},
}


def _with_rows(panel: dict[str, Any], span: Span) -> dict[str, Any]:
    query = {"from": iso(span.since), "to": iso(span.until), "provider": span.provider}
    events = _EVENTS.get(panel["id"])
    if events is not None and span.provider == "claude":
        events = {key: text.replace("codex.", "claude_code.") for key, text in events.items()}
    path = "/api/calls" if events is None else "/api/telemetry/events"
    return {**panel, "behind": {"path": path, "query": {**query, **(events or {})}}}
