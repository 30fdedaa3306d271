"""The seventeen panels: what telemetry adds to the ledger, with nothing counted twice.

Tokens, calls and models come from the ledger, which has them exactly; telemetry adds the
calls that only it saw, and what only it knows (terminals, decisions, tools' outcome).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

from server.store import db
from server.times import iso
from server.usage import literal
from server.usage.days import Days
from server.usage.outcomes import Ending, failures, percentile, standing
from server.usage.steps import Histograms, Span, Steps, overall

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


def panels(span: Span, days: Days, now: int, *, said: bool = True) -> dict[str, Any]:
    """Every panel, corrected, where its rows are and (unless not `said`) SigNoz' literal value."""
    with db.reading():  # one connection, and what it has in memory, for all that follows
        facts = Facts(span, Steps(span, days), lone(span, now))
        literally = literal.values(span, facts.steps) if said else {}
        built = [*_tiles(facts), *_shares(facts), *_lines(facts), _details(facts)]
        seen = coverage(span, len(facts.alone))
    return {
        "from": iso(span.since),
        "to": iso(span.until),
        "step": facts.steps.name,
        "provider": span.provider,
        "coverage": seen,
        "panels": [
            {**panel, "literal": literally.get(panel["id"]), "behind": _behind(panel["id"], span)}
            for panel in built
        ],
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


# ── facts ─────────────────────────────────────────────────────────────────────────────────


class Talk(NamedTuple):
    """What the ledger has of one conversation under one account."""

    session: int | None
    account: str | None
    calls: int
    tokens: int
    model: str | None
    last_at: int


class Known(NamedTuple):
    """A conversation's own row in the ledger."""

    key: str
    thread: str
    kind: str
    client: str | None


class Facts:
    """What several panels need, each read once."""

    def __init__(self, span: Span, steps: Steps, alone: list[Lone]) -> None:
        self.span, self.steps, self.alone = span, steps, alone
        # model → calls, input, cached, output
        self.models: dict[str, tuple[int, int, int, int]] = {
            row[0]: row[1:]
            for row in db.rows(
                "select coalesce(model, ''), count(*), sum(input), sum(cached), sum(output) "
                "from call where started_at >= ? and started_at < ? and provider = ? group by 1",
                tuple(span),
            )
        }
        self.talks = [
            Talk(*row)
            for row in db.rows(
                "select session, account, count(*), sum(input + output), max(model), "
                "max(started_at) from call where started_at >= ? and started_at < ? "
                "and provider = ? group by 1, 2",
                tuple(span),
            )
        ]
        self.sessions: dict[int, Known] = {
            number: Known(*rest)
            for number, *rest in db.rows(
                "select id, key, thread, kind, client from session where provider = ?",
                (span.provider,),
            )
        }
        self.told: dict[str, str] = dict(
            db.rows(
                "select session_id, kind from telemetry_session where provider = ?",
                (span.provider,),
            )
        )
        # tool, success (-1 unknown), ms, at: each tool call once
        self.tools = db.rows(
            "select coalesce(tool, ''), min(coalesce(success, -1)), max(duration_ms), min(at) "
            "from telemetry_event where at >= ? and at < ? and provider = ? "
            "and name in ('codex.tool_result', 'claude_code.tool_result') "
            "group by session_id, coalesce(call_id, id)",
            tuple(span),
        )
        self.failed_by = _failed(span)
        self.failed = sum(self.failed_by.values())

    def total(self, place: int) -> int:
        """Calls, input, cached or output tokens of the ledger."""
        return sum(sums[place] for sums in self.models.values())

    def conversations(self) -> tuple[set[str], set[str]]:
        """Those with a call, and those that only telemetry saw a prompt of; no helpers."""
        known = (self.sessions.get(talk.session or 0) for talk in self.talks)
        ledger = {one.thread for one in known if one is not None and one.kind != "title"}
        told = db.rows(f"select distinct name from ({_PROMPTED})", tuple(self.span))  # noqa: S608
        return ledger, {name for (name,) in told} - ledger


# Conversations that telemetry saw a user's prompt in, under the thread that they belong to.
_PROMPTED = (
    "select e.at as at, coalesce(s.thread, e.session_id) as name from telemetry_event e "
    "join telemetry_session t on t.session_id = e.session_id "
    "left join session s on s.key = e.session_id "
    "where e.at >= ? and e.at < ? and e.provider = ? and t.kind = 'user' "
    "and e.name in ('codex.user_prompt', 'claude_code.user_prompt')"
)
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


def _failed(span: Span) -> dict[str, int]:
    """Requests that failed: the proxy tells each of a session it served, telemetry the others'."""
    told = failures(Ending(*row) for row in db.rows(_ENDINGS, tuple(span)))
    if span.provider != "codex":
        return {"proxy": 0, "telemetry": len(told)}
    within = (span.since, span.until)
    served = db.rows(
        "select coalesce(session_id, ''), sum(status = 'error') from request_log "
        "where started_at >= ? and started_at < ? group by 1",
        within,
    )
    sessions = {session for session, _ in served}
    proxied: int = sum(count for _, count in served)
    return {"proxy": proxied, "telemetry": sum(one.session not in sessions for one in told)}


# ── tiles ─────────────────────────────────────────────────────────────────────────────────


def _tiles(facts: Facts) -> list[dict[str, Any]]:
    alone = facts.alone
    calls, taken, cached, output = (facts.total(place) for place in range(4))
    more = sum(one.input for one in alone)
    more_cached = sum(one.cached for one in alone)
    ledger, told = facts.conversations()
    whole = taken + more
    return [
        _number("input", "Input tokens", "tokens", taken, more),
        _number("output", "Output tokens", "tokens", output, sum(one.output for one in alone)),
        _number("cached", "Cached tokens", "tokens", cached, more_cached),
        {
            **_number("cacheRate", "Cache rate", "%", 0, 0),
            "value": 100 * (cached + more_cached) / whole if whole else None,
            "sources": {
                "ledger": 100 * cached / taken if taken else None,
                "telemetry": 100 * more_cached / more if more else None,
            },
        },
        _number("conversations", "Conversations", None, len(ledger), len(told)),
        {
            **_number("modelCalls", "Model calls", None, calls, len(alone)),
            "failed": facts.failed,
        },
    ]


def _number(name: str, title: str, unit: str | None, ledger: int, told: int) -> dict[str, Any]:
    return {
        "id": name,
        "title": title,
        "kind": "number",
        "unit": unit,
        "value": ledger + told,
        "sources": {"ledger": ledger, "telemetry": told},
    }


# ── shares ────────────────────────────────────────────────────────────────────────────────


def _shares(facts: Facts) -> list[dict[str, Any]]:
    calls = Counter({model: sums[0] for model, sums in facts.models.items()})
    tokens = Counter({model: sums[1] + sums[3] for model, sums in facts.models.items()})
    for one in facts.alone:
        calls[one.model or ""] += 1
        tokens[one.model or ""] += one.input + one.output
    return [
        _pie("models", "Model calls by model", calls),
        _pie("modelTokens", "Tokens by model", tokens),
        _tools(facts),
        _users(facts),
        _terminals(facts),
        _success(facts, calls.total()),
        _decisions(facts),
    ]


def _pie(name: str, title: str, counts: Counter[str]) -> dict[str, Any]:
    items = [{"name": key or None, "value": number} for key, number in counts.most_common()]
    return {"id": name, "title": title, "kind": "pie", "unit": None, "items": items}


def _tools(facts: Facts) -> dict[str, Any]:
    """Tool calls by tool: each call once, with how often it worked and its P95."""
    calls: Counter[str] = Counter()
    outcome: dict[str, Counter[int]] = defaultdict(Counter)
    took: dict[str, Counter[int]] = defaultdict(Counter)
    for tool, ok, ms, _ in facts.tools:
        calls[tool] += 1
        outcome[tool][ok] += 1
        if ms is not None:
            took[tool][ms] += 1
    panel = _pie("tools", "Tool calls by tool", calls)
    for item in panel["items"]:
        name = item["name"] or ""
        known = outcome[name][1] + outcome[name][0]
        item["succeeded"], item["failed"] = outcome[name][1], outcome[name][0]
        item["successPercent"] = 100 * outcome[name][1] / known if known else None
        item["p95Ms"] = percentile(took[name], 0.95)
    return panel


def _users(facts: Facts) -> dict[str, Any]:
    """Calls, conversations and tokens by user: the account that served, else who was signed in."""
    accounts = dict(db.rows("select id, coalesce(label, email) from account"))
    signed_in = dict(
        db.rows(
            "select session_id, max(user) from telemetry_usage "
            "where at >= ? and at < ? and provider = ? and user is not null group by 1",
            tuple(facts.span),
        )
    )
    counts: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    talks: dict[str, set[str | None]] = defaultdict(set)
    rows: list[tuple[str, str | None, int, int]] = []
    for talk in facts.talks:
        known = facts.sessions.get(talk.session or 0)
        key = known.key if known else None
        user = accounts.get(talk.account) or signed_in.get(key)
        rows.append((user or LOCAL_USER, key, talk.calls, talk.tokens))
    rows += [(o.user or LOCAL_USER, o.session, 1, o.input + o.output) for o in facts.alone]
    for user, session, number, total in rows:
        counts[user] += number
        tokens[user] += total
        talks[user].add(session)
    panel = _pie("users", "Requests by user", counts)
    for item in panel["items"]:
        item["conversations"] = len(talks[item["name"]])
        item["tokens"] = tokens[item["name"]]
    return panel


def _terminals(facts: Facts) -> dict[str, Any]:
    """Conversations by terminal; for those without telemetry, by the client that ran them."""
    told = db.rows(
        "select distinct terminal, session_id from telemetry_event "
        "where at >= ? and at < ? and provider = ? and terminal is not null "
        "and session_id is not null",
        tuple(facts.span),
    )
    families = {(name.partition("/")[0], session) for name, session in told}
    panel = _pie("terminals", "Conversations by terminal", Counter(name for name, _ in families))
    seen = {facts.sessions[talk.session] for talk in facts.talks if talk.session in facts.sessions}
    rest = Counter(
        one.client or "" for one in seen if one.kind != "title" and one.key not in facts.told
    )
    panel["surfaces"] = [{"name": name or None, "value": n} for name, n in rest.most_common()]
    return panel


def _success(facts: Facts, succeeded: int) -> dict[str, Any]:
    """Model requests that ended well or not; the tools' outcome beside them, not among them."""
    tools = Counter(ok for _, ok, _, _ in facts.tools)
    counts = Counter({"succeeded": succeeded, "failed": facts.failed})
    panel = _pie("success", "Success of requests", counts)
    panel["successPercent"] = 100 * succeeded / counts.total() if counts.total() else None
    panel["failedBy"] = facts.failed_by
    panel["tools"] = {"succeeded": tools[1], "failed": tools[0]}
    return panel


def _decisions(facts: Facts) -> dict[str, Any]:
    """What users decided; what the configuration let through is told apart."""
    users: Counter[str] = Counter()
    configured: Counter[str] = Counter()
    for decision, source, number in db.rows(
        "select decision, lower(coalesce(kind, '')), count(*) from telemetry_event "
        "where at >= ? and at < ? and provider = ? and decision is not null "
        "and name in ('codex.tool_decision', 'claude_code.tool_decision') group by 1, 2",
        tuple(facts.span),
    ):
        (users if source.startswith("user") else configured)[decision] += number
    panel = _pie("decisions", "User decisions", users)
    panel["configured"] = [{"name": k, "value": v} for k, v in configured.most_common()]
    return panel


# ── lines and the table ───────────────────────────────────────────────────────────────────


def _lines(facts: Facts) -> list[dict[str, Any]]:
    span, steps = facts.span, facts.steps
    tokens: dict[int, int] = defaultdict(int)
    for at, total in steps.rows("sum(input + output)", "call", "started_at", span, "provider = ?"):
        tokens[at] += total
    for one in facts.alone:
        tokens[steps.of(one.at)] += one.input + one.output
    talks = steps.rows(
        "count(distinct x.name)",
        f"(select c.started_at as at, s.thread as name from call c "  # noqa: S608
        "join session s on s.id = c.session where c.started_at >= ? and c.started_at < ? "
        f"and c.provider = ? and s.kind != 'title' union {_PROMPTED})",
        "at",
        Span(*span),
        times=2,
    )
    return [
        _line("conversationsOverTime", "Conversations over time", None, steps.points(dict(talks))),
        _line("tokensOverTime", "Tokens over time", "tokens", steps.points(tokens)),
        _durations(facts),
    ]


def _line(name: str, title: str, unit: str | None, points: list[Any]) -> dict[str, Any]:
    return {"id": name, "title": title, "kind": "line", "unit": unit, "points": points}


def _durations(facts: Facts) -> dict[str, Any]:
    """P95 of commands (waiting for an approval included), of all tools and of requests."""
    span, steps = facts.span, facts.steps
    commands: Histograms = defaultdict(Counter)
    tools: Histograms = defaultdict(Counter)
    requests: Histograms = defaultdict(Counter)
    for tool, _, ms, at in facts.tools:
        if ms is not None:
            tools[steps.of(at)][ms] += 1
            if tool in _COMMANDS:
                commands[steps.of(at)][ms] += 1
    for at, ms in db.rows(
        "select at, duration_ms from telemetry_event where at >= ? and at < ? "
        "and provider = ? and duration_ms is not null and (name = 'claude_code.api_request' or "
        "(name = 'codex.api_request' and kind like '%/responses'))",
        tuple(span),
    ):
        requests[steps.of(at)][ms] += 1
    panel = _line("commandDuration", "Command duration, P95", "ms", steps.p95(commands))
    panel["value"] = overall(commands)
    for name, found in (("tools", tools), ("requests", requests)):
        panel[name] = {"points": steps.p95(found), "value": overall(found)}
    return panel


def _details(facts: Facts) -> dict[str, Any]:
    """Conversations with their calls, tokens, tools and time, the largest first."""
    rows: dict[str | None, dict[str, Any]] = {}
    for talk in facts.talks:
        known = facts.sessions.get(talk.session or 0)
        key = known.key if known else None
        row = rows.setdefault(key, _detail(key, known, talk.model))
        _add(row, talk.calls, talk.tokens, talk.last_at)
    for one in facts.alone:
        row = rows.setdefault(one.session, _detail(one.session, None, one.model))
        _add(row, 1, one.input + one.output, one.at)
    chosen = sorted(rows.values(), key=lambda row: -row["tokens"])[:_MOST_DETAILS]
    for row in chosen:
        name = row["conversation"]
        row["kind"] = row["kind"] or facts.told.get(name)
        row["lastAt"] = iso(row["lastAt"])
        if name in facts.told:
            row["toolCalls"], row["toolDurationMs"] = _tools_of(name, facts.span)
        if row["threadId"]:
            found = db.rows("select title from thread where id = ?", (row["threadId"],))
            row["title"] = found[0][0] if found else None
    return {
        "id": "conversationDetails", "title": "Conversation details", "kind": "table",
        "unit": "ms", "rows": chosen,
    }  # fmt: skip


def _detail(name: str | None, known: Known | None, model: str | None) -> dict[str, Any]:
    return {
        "conversation": name, "title": None, "kind": known.kind if known else None,
        "modelCalls": 0, "tokens": 0, "model": model, "lastAt": 0, "toolCalls": None,
        "toolDurationMs": None, "threadId": known.thread if known else None,
    }  # fmt: skip


def _add(row: dict[str, Any], calls: int, tokens: int, at: int) -> None:
    row["modelCalls"] += calls
    row["tokens"] += tokens
    row["lastAt"] = max(row["lastAt"], at)


def _tools_of(session: str, span: Span) -> tuple[int, int | None]:
    found: tuple[int, int | None] = db.rows(
        "select count(distinct coalesce(call_id, id)), sum(duration_ms) from telemetry_event "
        "where session_id = ? and at >= ? and at < ? "
        "and name in ('codex.tool_result', 'claude_code.tool_result')",
        (session, span.since, span.until),
    )[0]
    return found


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


def _behind(panel: str, span: Span) -> dict[str, Any]:
    query = {"from": iso(span.since), "to": iso(span.until), "provider": span.provider}
    events = _EVENTS.get(panel)
    if events is not None and span.provider == "claude":
        events = {key: text.replace("codex.", "claude_code.") for key, text in events.items()}
    path = "/api/calls" if events is None else "/api/telemetry/events"
    return {"path": path, "query": {**query, **(events or {})}}
