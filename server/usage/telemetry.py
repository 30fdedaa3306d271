"""The seventeen panels: what telemetry adds to the ledger, with nothing counted twice.

Tokens, calls and models come from the ledger, which has them exactly; telemetry adds the
calls that only it saw, and what only it knows (terminals, decisions, tools' outcome). Both are
read from rollups by the quarter of an hour, so that a month of a million events costs little.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

from server.store import db
from server.times import iso
from server.usage import literal, slices
from server.usage.behind import LOCAL_USER
from server.usage.days import Days
from server.usage.durations import Durations
from server.usage.logtools import LogTools
from server.usage.outcomes import PATIENCE_MS, Ending, Failure, failures
from server.usage.steps import Span, Steps, whole_quarters

DETAILS, MOST_DETAILS = 200, 10_000  # conversations that are told of: usually, and at most
ALL = "all"  # as a provider: both together
IDS = (
    "input", "output", "cached", "cacheRate", "conversations", "modelCalls", "models",
    "modelTokens", "tools", "users", "terminals", "success", "decisions",
    "conversationsOverTime", "tokensOverTime", "commandDuration", "conversationDetails",
)  # fmt: skip


class Lone(NamedTuple):
    """The responses of a conversation's quarter of an hour that only telemetry saw."""

    session: str | None
    quarter: int
    model: str | None
    user: str | None
    calls: int
    input: int
    cached: int
    output: int
    last_at: int


def lone(span: Span, now: int) -> list[Lone]:
    """The provisional records of a span: nobody else saw them, so they are counted."""
    patient = now - PATIENCE_MS
    found = db.rows(
        "select u.session_id, u.at / 900000, u.model, u.user, count(*), sum(u.input), "
        "sum(u.cached), sum(u.output), max(u.at) from telemetry_usage u "
        "left join (select s.key as key, max(c.started_at) as at from call c "
        "join session s on s.id = c.session where c.seen & 3 and s.key in "
        "(select session_id from telemetry_usage where call is null and at >= ?1 and at < ?2 "
        "and provider in (select value from json_each(?3))) group by 1) known on known.key "
        "= u.session_id "
        "where u.call is null and u.at >= ?1 and u.at < ?2 "
        "and u.provider in (select value from json_each(?3)) "
        "and u.at <= ?4 and (known.at is null or known.at <= u.at) group by 1, 2, 3, 4",
        (*span.values(), patient),
    )
    return [Lone(*row) for row in found]


def panels(
    asked: Span,
    days: Days,
    now: int,
    *,
    said: bool = True,
    wanted: Iterable[str] = IDS,
    details: int = DETAILS,
) -> dict[str, Any]:
    """The wanted panels, corrected, with their rows' place and (if `said`) SigNoz' own value.

    The span counts by whole quarters of an hour; of conversations the `details` largest are told.
    """
    slices.refresh()
    span = whole_quarters(asked)
    with db.reading():  # one connection, and what it has in memory, for all that follows
        facts = Facts(span, Steps(span, days), now, details)
        built = [_PANELS[name](facts) for name in IDS if name in set(wanted)]
        literally = literal.Literal(span, facts.steps, details)
        seen = coverage(span, sum(one.calls for one in facts.alone))
        return {
            "from": iso(asked.since),
            "to": iso(asked.until),
            "step": facts.steps.name,
            "provider": span.provider or ALL,
            "coverage": seen,
            "panels": [
                {
                    **panel,
                    "literal": literally.value(panel["id"]) if said else None,
                    "behind": _behind(panel["id"], asked),
                }
                for panel in built
            ],
        }


def coverage(span: Span, alone: int) -> dict[str, Any]:
    """How many of the span's calls each witness saw."""
    calls = db.rows(
        "select coalesce(sum(calls), 0) from slice "
        "where quarter >= ? and quarter < ? and provider in (select value from json_each(?))",
        span.quarters(),
    )[0][0]
    # By whom, of all but those that their log alone has seen: those need not be looked at.
    bits = dict(
        db.rows(
            "select seen, count(*) from call "
            "where provider in (select value from json_each(?)) and started_at >= ? "
            "and started_at < ? and seen != 1 group by seen",
            (span.whose, span.since, span.until),
        )
    )
    total = calls + alone
    telemetry = sum(n for seen, n in bits.items() if seen & 4) + alone
    return {
        "calls": total,
        "log": calls - sum(n for seen, n in bits.items() if not seen & 1),
        "proxy": sum(n for seen, n in bits.items() if seen & 2),
        "telemetry": telemetry,
        "telemetryOnly": alone,
        "telemetryPercent": 100 * telemetry / total if total else None,
    }


# ── facts ─────────────────────────────────────────────────────────────────────────────────


class Talk(NamedTuple):
    """What the ledger has of one conversation under one account."""

    account: str
    key: str | None
    thread: str | None
    kind: str | None
    client: str | None
    told: str | None  # what telemetry took it for; None: it saw nothing of it
    calls: int
    tokens: int
    model: str
    last_at: int


class Facts:
    """What several panels need, each read once and only when it is asked for."""

    def __init__(self, span: Span, steps: Steps, now: int, details: int = DETAILS) -> None:
        self.span, self.steps, self.now, self.details = span, steps, now, details
        self.alone = lone(span, now)

    @cached_property
    def models(self) -> dict[str, tuple[int, int, int, int]]:
        """Calls, input, cached and output tokens by model."""
        return {
            row[0]: row[1:]
            for row in db.rows(
                "select model, sum(calls), sum(input), sum(cached), sum(output) "  # noqa: S608
                f"from slice where {self._within} group by 1",
                self.span.quarters(),
            )
        }

    @cached_property
    def _within(self) -> str:
        """The condition on slices; of a span with most of them it does not go by their quarter,
        since reading all in the order they lie in is sooner done than looking each one up."""
        low, high, _ = self.span.quarters()
        first, last = db.rows("select min(quarter), max(quarter) + 1 from slice")[0]
        most = first is not None and 3 * (min(high, last) - max(low, first)) > last - first
        quarter = "+quarter" if most else "quarter"
        whose = "provider in (select value from json_each(?))"
        return f"{quarter} >= ? and {quarter} < ? and {whose}"

    @cached_property
    def threads(self) -> dict[int, str]:
        """The thread of each session of the providers; none of a session that found a title."""
        return dict(
            db.rows(
                "select id, thread from session where kind != 'title' and thread is not null "
                "and provider in (select value from json_each(?))",
                (self.span.whose,),
            )
        )

    @cached_property
    def talks(self) -> list[Talk]:
        """Conversations of the ledger, by the account that served them."""
        return [
            Talk(*row)
            for row in db.rows(
                "select l.account, s.key, s.thread, s.kind, s.client, t.kind, l.calls, l.tokens, "  # noqa: S608
                "l.model, l.last_at from (select session, account, sum(calls) as calls, "
                "sum(input + output) as tokens, max(model) as model, max(last_at) as last_at "
                f"from slice where {self._within} group by 1, 2) l "
                "left join session s on s.id = l.session "
                "left join telemetry_session t on t.session_id = s.key",
                self.span.quarters(),
            )
        ]

    @cached_property
    def counted(self) -> dict[str, dict[str, int]]:
        """By heading of the rollup: how often each name came."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        headings = (
            "tool_succeeded", "tool_failed", "tool_ended", "user_decision", "configured_decision",
        )  # fmt: skip
        for heading in headings:
            found[heading] = dict(
                db.rows(
                    "select name, sum(count) from telemetry_slice where quarter >= ? "
                    "and quarter < ? and provider in (select value from json_each(?)) and "
                    "heading = ? group by 1",
                    (*self.span.quarters(), heading),
                )
            )
        return found

    @cached_property
    def durations(self) -> Durations:
        """How long tools and requests took."""
        return Durations(self.span, self.steps)

    @cached_property
    def logged(self) -> LogTools:
        """The tool calls of conversations that telemetry saw nothing of."""
        return LogTools(self.span)

    @cached_property
    def failed_by(self) -> dict[str, int]:
        """How many requests failed, by who says so."""
        return _failed(self.span, self.now)

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(self.failed_by.values())

    def total(self, place: int) -> int:
        """Calls, input, cached or output tokens of the ledger."""
        return sum(sums[place] for sums in self.models.values())

    def conversations(self) -> tuple[set[str], set[str]]:
        """Those with a call, and those that only telemetry saw a prompt of; no helpers."""
        ledger = {one.thread for one in self.talks if one.thread and one.kind != "title"}
        told = db.rows(
            f"select distinct name from ({_PROMPTED})",  # noqa: S608
            self.span.quarters(),
        )
        return ledger, {name for (name,) in told} - ledger


# Conversations that telemetry saw a user's prompt in, under the thread that they belong to.
_PROMPTED = (
    "select k.quarter as quarter, coalesce(s.thread, k.session_id) as name, "
    "k.session_id as session from telemetry_talk k "
    "join telemetry_session t on t.session_id = k.session_id "
    "left join session s on s.key = k.session_id "
    "where k.quarter >= ?1 and k.quarter < ?2 "
    "and k.provider in (select value from json_each(?3)) and t.kind = 'user' "
    "and k.prompts > 0"
)


def sessions_told(span: Span) -> list[str]:
    """The conversations with a prompt of which the ledger has no call in the span."""
    quarters = span.quarters()
    ledger = {
        name
        for (name,) in db.rows(
            "select distinct s.thread from slice l join session s on s.id = l.session "
            "where l.quarter >= ? and l.quarter < ? "
            "and l.provider in (select value from json_each(?)) and s.kind != 'title'",
            quarters,
        )
    }
    told = db.rows(f"select distinct name, session from ({_PROMPTED})", quarters)  # noqa: S608
    return [session for name, session in told if name not in ledger]


def failures_told(span: Span, now: int) -> list[Failure]:
    """Requests that failed as only telemetry tells; the proxy tells each of a session it served.

    They wait as long as a response that only telemetry saw: else a new conversation would show
    nothing but its failures until its first success counts.
    """
    endings = db.rows(
        "select session_id, at, ending, coalesce(json_extract(attributes, '$.attempt'), 0), id "
        "from telemetry_event where provider in (select value from json_each(?)) and at >= "
        "? and at < ? and ending is not null "
        "order by at, id",
        (span.whose, span.since, span.until),
    )
    patient = now - PATIENCE_MS
    told = [one for one in failures(Ending(*row) for row in endings) if one.at <= patient]
    if span.provider == "claude":
        return told
    served = {
        name
        for name in {one.session for one in told if one.session}
        if db.rows(
            "select 1 from request_log where session_id = ? and started_at >= ? "
            "and started_at < ? limit 1",
            (name, span.since, span.until),
        )
    }
    return [one for one in told if one.session not in served]


def _failed(span: Span, now: int) -> dict[str, int]:
    """Requests that failed, by who says so."""
    proxied = 0
    if span.provider != "claude":
        proxied = db.rows(
            "select count(*) from request_log where status = 'error' "
            "and started_at >= ? and started_at < ?",
            (span.since, span.until),
        )[0][0]
    return {"proxy": proxied, "telemetry": len(failures_told(span, now))}


# ── tiles ─────────────────────────────────────────────────────────────────────────────────


def _sum_of(name: str, title: str, place: int) -> Callable[[Facts], dict[str, Any]]:
    """A tile of tokens: the ledger's, and those of the responses that only telemetry saw."""

    def tile(facts: Facts) -> dict[str, Any]:
        return _number(name, title, "tokens", facts.total(place), _alone(facts, name))

    return tile


def _alone(facts: Facts, name: str) -> int:
    return sum(getattr(one, name) for one in facts.alone)


def _rate(facts: Facts) -> dict[str, Any]:
    taken, cached = facts.total(1), facts.total(2)
    more, more_cached = _alone(facts, "input"), _alone(facts, "cached")
    whole = taken + more
    return {
        **_number("cacheRate", "Cache rate", "%", 0, 0),
        "value": 100 * (cached + more_cached) / whole if whole else None,
        "sources": {
            "ledger": 100 * cached / taken if taken else None,
            "telemetry": 100 * more_cached / more if more else None,
        },
    }


def _conversations(facts: Facts) -> dict[str, Any]:
    ledger, told = facts.conversations()
    return _number("conversations", "Conversations", None, len(ledger), len(told))


def _model_calls(facts: Facts) -> dict[str, Any]:
    calls = _number("modelCalls", "Model calls", None, facts.total(0), _alone(facts, "calls"))
    return {**calls, "failed": facts.failed, "failedBy": facts.failed_by}


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


def _models(facts: Facts) -> dict[str, Any]:
    calls = Counter({model: sums[0] for model, sums in facts.models.items()})
    told: Counter[str] = Counter()
    for one in facts.alone:
        told[one.model or ""] += one.calls
    return _shared("models", "Model calls by model", calls, told)


def _model_tokens(facts: Facts) -> dict[str, Any]:
    tokens = Counter({model: sums[1] + sums[3] for model, sums in facts.models.items()})
    told: Counter[str] = Counter()
    for one in facts.alone:
        told[one.model or ""] += one.input + one.output
    return _shared("modelTokens", "Tokens by model", tokens, told)


def _shared(name: str, title: str, ledger: Counter[str], told: Counter[str]) -> dict[str, Any]:
    """Shares of both sources, and by source, since their rows lie in two lists."""
    panel = _pie(name, title, ledger + told)
    for item in panel["items"]:
        key = item["name"] or ""
        item["sources"] = {"ledger": ledger[key], "telemetry": told[key]}
    return panel


def _pie(name: str, title: str, counts: Counter[str]) -> dict[str, Any]:
    items = [{"name": key or None, "value": number} for key, number in counts.most_common()]
    return {"id": name, "title": title, "kind": "pie", "unit": None, "items": items}


def _tools(facts: Facts) -> dict[str, Any]:
    """Tool calls by tool: each by its result, with how often it worked and its P95.

    A conversation's are telemetry's, which knows how they went; else those of its log.
    """
    well, badly, other = (
        facts.counted[f"tool_{outcome}"] for outcome in ("succeeded", "failed", "ended")
    )
    told = Counter(well) + Counter(badly) + Counter(other)
    logged = _spelled(facts.logged.by_tool, told)
    panel = _pie("tools", "Tool calls by tool", told + logged)
    panel["estimated"] = facts.durations.estimated("tools")
    for item in panel["items"]:
        name = item["name"] or ""
        known = well.get(name, 0) + badly.get(name, 0)
        item["sources"] = {"telemetry": told[name], "log": logged[name]}
        for outcome, counts in (("succeeded", well), ("failed", badly)):
            item[outcome] = counts.get(name, 0) if told[name] else None
        item["successPercent"] = 100 * well.get(name, 0) / known if known else None
        item["p95Ms"] = facts.durations.of_tool(name)
    return panel


def _spelled(logged: Counter[str], told: Counter[str]) -> Counter[str]:
    """The tools of logs, whose names are kept in small letters, as telemetry spells them."""
    spelling = {name.lower(): name for name, _ in reversed(told.most_common())}
    found: Counter[str] = Counter()
    for name, number in logged.items():
        found[name if name in told else spelling.get(name, name)] += number
    return found


def _users(facts: Facts) -> dict[str, Any]:
    """Calls, conversations and tokens by user: the account that served, else who was signed in."""
    accounts = dict(db.rows("select id, coalesce(label, email) from account"))
    signed_in = dict(
        db.rows(
            "select session_id, max(user) from telemetry_talk "
            "where quarter >= ? and quarter < ? "
            "and provider in (select value from json_each(?)) and user != '' group by 1",
            facts.span.quarters(),
        )
    )
    found: dict[str, dict[str, Any]] = defaultdict(_user)
    for talk in facts.talks:
        served = accounts.get(talk.account)
        user = found[served or signed_in.get(talk.key) or LOCAL_USER]
        user["account" if served else "signedIn"].add(talk.account if served else talk.key)
        _count(user, "ledger", talk.key, talk.calls, talk.tokens)
    for one in facts.alone:
        user = found[one.user or LOCAL_USER]
        _count(user, "telemetry", one.session, one.calls, one.input + one.output)
    counts = Counter({who: sum(user["calls"].values()) for who, user in found.items()})
    panel = _pie("users", "Requests by user", counts)
    for item in panel["items"]:
        item |= _said(found[item["name"]])
    return panel


def _user() -> dict[str, Any]:
    return {
        "calls": Counter(), "tokens": 0, "talks": set(), "account": set(), "signedIn": set(),
    }  # fmt: skip


def _count(user: dict[str, Any], source: str, talk: str | None, calls: int, tokens: int) -> None:
    user["calls"][source] += calls
    user["tokens"] += tokens
    user["talks"].add(talk)


def _said(user: dict[str, Any]) -> dict[str, Any]:
    """What is told of a user; `account` is the one that served all the ledger's calls."""
    alone = len(user["account"]) == 1 and not user["signedIn"]
    return {
        "conversations": len(user["talks"]),
        "tokens": user["tokens"],
        "sources": {"ledger": user["calls"]["ledger"], "telemetry": user["calls"]["telemetry"]},
        "account": next(iter(user["account"])) if alone else None,
        "conversation": next(iter(user["talks"])) if len(user["talks"]) == 1 else None,
    }


def _terminals(facts: Facts) -> dict[str, Any]:
    """Users' conversations by terminal; those without telemetry by the client that ran them."""
    told = db.rows(
        "select distinct k.terminal, k.session_id from telemetry_talk k "
        "join telemetry_session t on t.session_id = k.session_id "
        "where k.quarter >= ? and k.quarter < ? and k.provider in "
        "(select value from json_each(?)) and k.terminal != '' and t.kind = 'user'",
        facts.span.quarters(),
    )
    families = {(name.partition("/")[0], session) for name, session in told}
    panel = _pie("terminals", "Conversations by terminal", Counter(name for name, _ in families))
    silent = {
        (talk.key, talk.client)
        for talk in facts.talks
        if talk.key is not None and talk.kind != "title" and talk.told is None
    }
    rest = Counter(client or "" for _, client in silent)
    panel["surfaces"] = [{"name": name or None, "value": n} for name, n in rest.most_common()]
    return panel


def _success(facts: Facts) -> dict[str, Any]:
    """Model requests that ended well or not; the tools' outcome beside them, not among them."""
    counts = Counter({"succeeded": facts.total(0) + _alone(facts, "calls"), "failed": facts.failed})
    panel = _pie("success", "Success of requests", counts)
    sources = {
        "succeeded": {"ledger": facts.total(0), "telemetry": _alone(facts, "calls")},
        "failed": {"ledger": facts.failed_by["proxy"], "telemetry": facts.failed_by["telemetry"]},
    }
    for item in panel["items"]:
        item["sources"] = sources[item["name"]]
    whole = counts.total()
    panel["successPercent"] = 100 * counts["succeeded"] / whole if whole else None
    panel["failedBy"] = facts.failed_by
    panel["tools"] = {
        outcome: sum(facts.counted[f"tool_{outcome}"].values())
        for outcome in ("succeeded", "failed")
    }
    return panel


def _decisions(facts: Facts) -> dict[str, Any]:
    """What users decided; what the configuration let through is told apart."""
    panel = _pie("decisions", "User decisions", Counter(facts.counted["user_decision"]))
    configured = Counter(facts.counted["configured_decision"])
    panel["configured"] = [{"name": k, "value": v} for k, v in configured.most_common()]
    return panel


# ── lines and the table ───────────────────────────────────────────────────────────────────


def _talks_over_time(facts: Facts) -> dict[str, Any]:
    quarters = facts.span.quarters()
    threads = facts.threads
    # The index has all of it; a session's slices are its provider's.
    ledger = [
        (quarter, threads[session])
        for quarter, session in db.rows(
            "select quarter, session from slice where quarter >= ? and quarter < ?", quarters[:2]
        )
        if session in threads
    ]
    told = db.rows(f"select distinct quarter, name from ({_PROMPTED})", quarters)  # noqa: S608
    steps = facts.steps
    listed = steps.distinct(ledger)
    points = steps.points(steps.distinct([*ledger, *told]))
    for point, at in zip(points, steps.starts, strict=True):
        point["told"] = point["v"] - listed.get(at, 0)  # of these, what only telemetry has
    return _line("conversationsOverTime", "Conversations over time", None, points)


def _tokens_over_time(facts: Facts) -> dict[str, Any]:
    found = db.rows(
        "select quarter, sum(input + output) from slice "
        "where quarter >= ? and quarter < ? "
        "and provider in (select value from json_each(?)) group by 1",
        facts.span.quarters(),
    )
    more = [(one.quarter, one.input + one.output) for one in facts.alone]
    points = facts.steps.points(facts.steps.sums([*found, *more]))
    told = facts.steps.sums(more)
    for point, at in zip(points, facts.steps.starts, strict=True):
        point["told"] = told.get(at, 0)  # of these, what only telemetry has
    return _line("tokensOverTime", "Tokens over time", "tokens", points)


def _line(name: str, title: str, unit: str | None, points: list[Any]) -> dict[str, Any]:
    return {"id": name, "title": title, "kind": "line", "unit": unit, "points": points}


def _durations(facts: Facts) -> dict[str, Any]:
    """P95 of commands (waiting for an approval included), of all tools and of requests."""
    panel = _line("commandDuration", "Command duration, P95", "ms", [])
    found = facts.durations
    panel["points"], panel["value"] = found.p95("commands"), found.overall("commands")
    for name in ("tools", "requests"):
        panel[name] = {"points": found.p95(name), "value": found.overall(name)}
    panel["estimated"] = any(found.estimated(name) for name in ("tools", "requests"))
    return panel


def _details(facts: Facts) -> dict[str, Any]:
    """Conversations with their calls, tokens, tools and time, the largest first."""
    rows: dict[str | None, dict[str, Any]] = {}
    for talk in facts.talks:
        row = rows.setdefault(talk.key, _detail(talk.key, talk, talk.model or None))
        _add(row, talk.calls, talk.tokens, talk.last_at)
    for one in facts.alone:
        row = rows.setdefault(one.session, _detail(one.session, None, one.model))
        row["told"] += one.calls
        _add(row, one.calls, one.input + one.output, one.last_at)
    chosen = sorted(rows.values(), key=lambda row: -row["tokens"])[: facts.details]
    _complete(chosen, facts)
    return {
        "id": "conversationDetails", "title": "Conversation details", "kind": "table",
        "unit": "ms", "rows": chosen, "total": len(rows), "hasMore": len(rows) > len(chosen),
    }  # fmt: skip


def _complete(rows: list[dict[str, Any]], facts: Facts) -> None:
    """What the chosen conversations are called, and what is known of their tools by whom."""
    names = [row["conversation"] for row in rows]
    threads = [row["threadId"] for row in rows]
    titles = dict(_among("select id, title from thread where id in", threads))
    kinds = dict(
        _among("select session_id, kind from telemetry_session where session_id in", names)
    )
    tools = {
        name: rest
        for name, *rest in _among(
            "select session_id, sum(results), sum(tool_ms) from telemetry_talk "
            "where quarter >= ? and quarter < ? "
            "and provider in (select value from json_each(?)) and session_id in",
            names, facts.span.quarters(), "group by 1",
        )
    }  # fmt: skip
    for row in rows:
        name = row["conversation"]
        row["kind"] = row["kind"] or kinds.get(name)
        row["lastAt"] = iso(row["lastAt"])
        row["title"] = titles.get(row["threadId"])
        if name in kinds:
            calls, took = tools.get(name, (0, 0))
            row["toolCalls"], row["toolDurationMs"] = calls, took if calls else None
            row["toolsFrom"] = "telemetry"
        elif name in facts.logged.by_talk:
            row["toolCalls"], row["toolsFrom"] = facts.logged.by_talk[name], "log"


def _among(
    sql: str, names: list[Any], before: tuple[Any, ...] = (), after: str = ""
) -> list[tuple[Any, ...]]:
    known = [name for name in names if name is not None]
    return db.rows(f"{sql} ({','.join('?' * len(known))}) {after}", (*before, *known))


def _detail(name: str | None, known: Talk | None, model: str | None) -> dict[str, Any]:
    return {
        "conversation": name, "title": None, "kind": known.kind if known else None,
        "modelCalls": 0, "told": 0, "tokens": 0, "model": model, "lastAt": 0, "toolCalls": None,
        "toolDurationMs": None, "toolsFrom": None, "threadId": known.thread if known else None,
    }  # fmt: skip


def _add(row: dict[str, Any], calls: int, tokens: int, at: int) -> None:
    row["modelCalls"] += calls
    row["tokens"] += tokens
    row["lastAt"] = max(row["lastAt"], at)


# ── where the rows are ────────────────────────────────────────────────────────────────────

# A name without its provider's prefix is that event of both.
_EVENTS = {
    "tools": {"name": "tool_result"},
    "terminals": {"has": "terminal", "lacks": "helper"},
    "success": {"name": "api_request"},
    "decisions": {"name": "tool_decision"},
    "commandDuration": {"name": "tool_result"},
    "conversations": {"name": "user_prompt"},
    "conversationsOverTime": {"name": "user_prompt"},
}


def _behind(panel: str, span: Span) -> dict[str, Any]:
    query = {"from": iso(span.since), "to": iso(span.until), "provider": span.provider or ALL}
    events = _EVENTS.get(panel)
    path = "/api/calls" if events is None else "/api/telemetry/events"
    if events is None:
        query["provider"] = span.provider
    elif "name" in events and span.provider:
        prefix = "claude_code" if span.provider == "claude" else "codex"
        events = {"name": f"{prefix}.{events['name']}"}
    return {"path": path, "query": {**query, **(events or {})}}


_PANELS: dict[str, Callable[[Facts], dict[str, Any]]] = {
    "input": _sum_of("input", "Input tokens", 1),
    "output": _sum_of("output", "Output tokens", 3),
    "cached": _sum_of("cached", "Cached tokens", 2),
    "cacheRate": _rate,
    "conversations": _conversations,
    "modelCalls": _model_calls,
    "models": _models,
    "modelTokens": _model_tokens,
    "tools": _tools,
    "users": _users,
    "terminals": _terminals,
    "success": _success,
    "decisions": _decisions,
    "conversationsOverTime": _talks_over_time,
    "tokensOverTime": _tokens_over_time,
    "commandDuration": _durations,
    "conversationDetails": _details,
}
