"""Lists of threads with their sums, and one thread's story."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from server.errors import NotFound
from server.store import db
from server.times import iso
from server.usage import afresh, calls, recommendations, slices, thresholds
from server.usage.calls import Page
from server.usage.slices import Filter

_MOST_POINTS = 400
_TREND = 5  # calls at each end that a trend compares

# Unknown sorts below everything, so that no row gets lost between pages.
_ATTENTION = (
    "round(min(g.cost * 24e-6, 72) + min(coalesce(g.credits, 0) * 2.4e-6, 72) "
    "+ min((g.input + g.output) / 3500.0, 42) "
    "+ (case when g.input > 0 then max(0, min((0.55 - 1.0 * g.cached / g.input) * 70, 38)) "
    "else 0 end) + min(coalesce(g.max_context, 0) * 45 / 10000.0, 45) "
    "+ (case when g.unpriced = g.calls then 36 when g.unpriced + g.estimated > 0 then 18 "
    "else 0 end) + 4 * g.subagents + 6 * g.reviews "
    "+ 10 * ((g.bloat > 0) + (g.misses > 0) + (g.spikes > 0) + (g.dear > 0) + (g.idle > 0)), 2)"
)
SORTS = {
    "time": "g.last_at",
    "tokens": "(g.input + g.output)",
    "calls": "g.calls",
    "cost": "(case when g.unpriced = g.calls then -1 else g.cost end)",
    "credits": "coalesce(g.credits, -1)",
    "cache": "coalesce(1.0 * g.cached / nullif(g.input, 0), -1.0)",
    "context": "coalesce(g.max_context, -1)",
    "duration": "coalesce(g.duration, -1)",
    "attention": _ATTENTION,
}
_COLUMNS = (
    "g.thread, g.provider, g.sessions, g.subagents, g.reviews, g.calls, g.input, g.cached, "
    "g.output, g.reasoning, g.cost, g.credits, g.unpriced, g.estimated, g.duration, g.first_at, "
    f"g.last_at, g.max_context, g.bloat, g.misses, g.spikes, g.dear, g.idle, {_ATTENTION}"
)
_TOTALS = (
    "count(*), total(g.calls), total(g.input), total(g.cached), total(g.output), "
    "total(g.reasoning), total(g.cost), total(g.unpriced)"
)
_WINDOWS = _TOTALS.replace(")", ") over ()")
_HAVING = {
    "context-bloat": "g.bloat > 0",
    "cache-misses": "g.misses > 0",
    "pricing-gaps": "g.unpriced > 0",
    "estimated-review": "g.estimated > 0",
    "usage-credits": "coalesce(g.credits, 0) > 0",
    "reasoning-spike": "g.spikes > 0",
}


def search(wanted: Filter, page: Page) -> dict[str, Any]:
    """One page of threads, each with the sums of its filtered calls, and the sums of all."""
    slices.refresh()
    (prefix, tail), values = _source(wanted)
    order = SORTS[page.sort]
    way, beyond = ("desc", "<") if page.descending else ("asc", ">")
    paged = ""
    after: tuple[Any, ...] = ()
    if page.cursor:
        after = calls.read_cursor(page.cursor, page)
        paged = f" and ({order}, g.thread) {beyond} (?, ?)"
    with db.reading() as connection:
        # In one statement the groups are made once.
        found = connection.execute(
            f"{prefix} select {_COLUMNS}, {order}, 0 {tail}{paged} "  # noqa: S608 - our words
            f"order by {order} {way}, g.thread {way} limit ? offset ?"
            if page.cursor or not prefix
            else f"{prefix} select {_COLUMNS}, {order}, {_WINDOWS} {tail} "
            f"order by {order} {way}, g.thread {way} limit ? offset ?",
            (*values, *after, page.limit + 1, page.offset),
        ).fetchall()
        if found and prefix and not page.cursor:
            sums = found[0][-8:]
            found = [row[:-8] for row in found]
        else:
            sums = connection.execute(f"{prefix} select {_TOTALS} {tail}", values).fetchone()  # noqa: S608
            found = [row[:-1] for row in found]
    more = len(found) > page.limit
    found = found[: page.limit]
    return {
        "threads": _rows(found),
        "total": sums[0],
        "totals": calls.totals(sums[1:]),
        "hasMore": more,
        "nextCursor": calls.cursor(found[-1][-1], found[-1][0], page) if more else None,
    }


def one(name: str) -> dict[str, Any]:
    """A thread with its sessions, curves and lifecycle. Raises `NotFound`."""
    slices.refresh()
    found = db.rows(f"select {_COLUMNS}, 0 from thread_usage g where g.thread = ?", (name,))  # noqa: S608
    if not found:
        raise NotFound("There is no such thread, or it has no calls. Go back to the list.")
    story = db.rows(
        "select c.id, c.started_at, c.input, c.cached, c.output, c.reasoning, c.context_window, "
        "c.cost, c.initiator, s.kind from session s join call c on c.session = s.id "
        "where s.thread = ? order by c.started_at, c.id",
        (name,),
    )
    return {
        **_rows(found)[0],
        "sessionList": _sessions(name),
        "curve": _curve(story),
        "lifecycle": lifecycle(story, thresholds.current()),
        "advice": afresh.advice(_own(story), thresholds.current()),
    }


def _source(wanted: Filter) -> tuple[tuple[str, str], list[Any]]:
    """`with …` and `from … where …` of the groups: the threads' rollup where it suffices."""
    parts: list[str] = ["1"]
    values: list[Any] = []
    prefix, groups = "", "from thread_usage g"
    rest = replace(wanted, text="", meant=(), names=True, preset="", thread="", provider="")
    if rest != Filter():
        where, values = slices.narrowed(replace(rest, provider=wanted.provider))
        prefix = (
            f"with g as (select s.thread as thread, min(l.provider) as provider, {slices.KINDS}, "  # noqa: S608
            f"{slices.measures()} from slice l join session s on s.id = l.session "
            f"where {where} group by s.thread)"
        )
        groups = "from g"
    elif wanted.provider:
        parts.append("g.provider = ?")
        values.append(wanted.provider)
    if wanted.thread:
        parts.append("g.thread = ?")
        values.append(wanted.thread)
    if wanted.text:
        columns = ("g.thread", *(("t.title", "t.project") if wanted.names else ()))
        inner = ("x.key", "x.role", *(("x.cwd", "x.branch") if wanted.names else ()))
        within = " or ".join(f"{c} like ? escape '\\'" for c in inner)
        found = [f"{c} like ? escape '\\'" for c in columns]
        found.append(f"t.project in ({','.join('?' * len(wanted.meant))})")
        found.append(f"g.thread in (select x.thread from session x where {within})")  # noqa: S608
        parts.append(f"({' or '.join(found)})")
        pattern = calls.like(wanted.text)
        values += [pattern] * len(columns) + list(wanted.meant) + [pattern] * len(inner)
        groups += " left join thread t on t.id = g.thread"
    if wanted.preset in _HAVING:
        parts.append(_HAVING[wanted.preset])
    return (prefix, f"{groups} where {' and '.join(parts)}"), values


def _rows(found: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    names = [values[0] for values in found]
    marks = ",".join("?" * len(names))
    about = {
        row[0]: row[1:]
        for row in db.rows(f"select id, title, project from thread where id in ({marks})", names)  # noqa: S608
    }
    models, efforts = _tally("model", names), _tally("effort", names)
    return [
        _row(values, about.get(values[0], (None, None)))
        | {"models": models.get(values[0], []), "efforts": efforts.get(values[0], [])}
        for values in found
    ]


def _tally(column: str, threads: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for thread, name, count in db.rows(
        f"select s.thread, l.{column}, sum(l.calls) from session s join slice l "  # noqa: S608
        f"on l.session = s.id where s.thread in ({','.join('?' * len(threads))}) "
        "group by 1, 2 order by 3 desc, 2",
        threads,
    ):
        found.setdefault(thread, []).append({"name": name or None, "calls": count})
    return found


def _row(values: tuple[Any, ...], about: tuple[Any, ...]) -> dict[str, Any]:
    thread, provider, sessions, subagents, reviews, count, first, cached, output, reasoning = (
        values[:10]
    )
    cost, credits, unpriced, estimated, duration, first_at, last_at, context = values[10:18]
    score = values[23]
    return {
        "id": thread,
        "title": about[0],
        "provider": provider,
        "project": about[1],
        "startedAt": iso(first_at),
        "lastAt": iso(last_at),
        "calls": count,
        "sessions": sessions,
        "subagents": subagents + reviews,
        "inputTokens": first,
        "cachedInputTokens": cached,
        "uncachedInputTokens": first - cached,
        "outputTokens": output,
        "reasoningTokens": reasoning,
        "totalTokens": first + output,
        "costUsd": calls.cost_usd(cost, count, unpriced),
        "unpriced": unpriced,
        "priceStatus": price_status(count, unpriced, estimated),
        "credits": None if credits is None else credits / 1e6,
        "cacheRatio": cached / first if first else None,
        "maxContextPercent": None if context is None else context / 100,
        "durationMs": duration,
        "attention": score,
        "severity": recommendations.severity(score),
        "flags": _flags(values),
    }


def price_status(count: int, unpriced: int, estimated: int) -> str:
    """The word for a group of calls, of which some have no price and some an estimate."""
    if unpriced >= count:
        return "unpriced"
    if estimated + unpriced == 0:
        return "exact"
    return "estimated" if estimated == count else "mixed"


def _flags(values: tuple[Any, ...]) -> list[str]:
    bloat, misses, spikes, dear, idle = values[18:23]
    named = (
        ("pricing-gap", values[12]),
        ("estimated-pricing", values[13]),
        ("high-cost", dear),
        ("context-bloat", bloat),
        ("low-cache", misses),
        ("reasoning-spike", spikes),
        ("low-output", idle),
        ("subagent-attribution", values[3] + values[4]),
    )
    return [key for key, count in named if count]


_KINDS = {"subagent": "subagent", "review": "review"}


def _sessions(thread: str) -> list[dict[str, Any]]:
    title = db.rows("select title from thread where id = ?", (thread,))
    return [
        {
            "id": key,
            "parentId": parent,
            "kind": _KINDS.get(kind, "main"),
            "role": role,
            "title": title[0][0] if title and key == thread else None,
            "startedAt": iso(first_at if started is None else started),
            "lastAt": iso(last_at if last_at is not None else ended),
            "calls": count or 0,
            "totalTokens": tokens or 0,
            "costUsd": calls.cost_usd(cost or 0, count or 0, unpriced or 0),
            "cacheRatio": cached / first if first else None,
        }
        for (
            key, parent, kind, role, started, ended, first_at, last_at, count, tokens, cost,
            unpriced, cached, first,
        ) in db.rows(
            "select s.key, s.parent, s.kind, s.role, s.started_at, s.ended_at, min(l.first_at), "
            "max(l.last_at), sum(l.calls), sum(l.input + l.output), sum(l.cost), sum(l.unpriced), "
            "sum(l.cached), sum(l.input) from session s left join slice l on l.session = s.id "
            "where s.thread = ? group by s.id order by coalesce(s.started_at, min(l.first_at))",
            (thread,),
        )
    ]  # fmt: skip


Story = list[tuple[Any, ...]]  # id, at, input, cached, output, reasoning, window, cost, by, kind


def _own(story: Story) -> list[afresh.Step]:
    """The calls of the thread's own conversation, without its helpers'."""
    return [
        afresh.Step(name, first, cached, window, by)
        for name, _, first, cached, _, _, window, _, by, kind in story
        if kind not in ("subagent", "review", "title")
    ]


def _curve(story: Story) -> list[dict[str, Any]]:
    """Every call, or as many evenly taken ones as a chart can show, the last one always."""
    step = max(1, -(-len(story) // _MOST_POINTS))
    points, total = [], 0
    for number, (name, at, first, cached, output, _, window, cost, *_rest) in enumerate(story):
        total += first + output
        if (len(story) - 1 - number) % step:
            continue
        points.append(
            {
                "callId": name,
                "at": iso(at),
                "cacheRatio": cached / first if first else None,
                "contextPercent": 100 * first / window if window else None,
                "totalTokens": first + output,
                "cumulativeTokens": total,
                "costUsd": None if cost is None else cost / 1e6,
            }
        )
    return points


def lifecycle(story: Story, limits: dict[str, float]) -> list[dict[str, Any]]:
    """What mattered in a thread's life, oldest call first: only what applies."""
    found = [_expensive(story, limits), _jump(story), *_trends(story)]
    jump = found[1]
    if jump is not None:
        found.append(_helper_before(story, jump["callId"]))
    compactions = sum(row[8] == "compaction" for row in story)
    if compactions:
        found.append(_signal("compactions", value=compactions))
    return [signal for signal in found if signal is not None]


def _signal(key: str, row: tuple[Any, ...] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "callId": row[0] if row else None,
        "at": iso(row[1]) if row else None,
        "from": None,
        "to": None,
        "value": None,
        **more,
    }


def _expensive(story: Story, limits: dict[str, float]) -> dict[str, Any] | None:
    for row in story:
        cost, context = (row[7] or 0) / 1e6, row[2] / row[6] if row[6] else 0
        if cost >= limits["high_cost_usd"] > 0 or context >= limits["high_context_percent"] > 0:
            value = None if row[7] is None else cost
            return _signal("first-expensive-turn", row, value=value)
    return None


def _jump(story: Story) -> dict[str, Any] | None:
    if len(story) < 2:
        return None
    row = max(story, key=lambda row: row[2] + row[4])
    return _signal("largest-jump", row, value=row[2] + row[4])


def _trends(story: Story) -> list[dict[str, Any]]:
    cache = [row[3] / row[2] for row in story if row[2]]
    context = [100 * row[2] / row[6] for row in story if row[6]]
    return [
        _signal(key) | dict(zip(("from", "to"), _ends(values), strict=True))
        for key, values in (("cache-trend", cache), ("context-trend", context))
        if len(values) >= 2
    ]


def _ends(values: list[float]) -> tuple[float, float]:
    """The means of some values at the start and at the end, so that one odd call says little."""
    size = max(1, min(_TREND, len(values) // 2))
    return sum(values[:size]) / size, sum(values[-size:]) / size


def _helper_before(story: Story, call: str) -> dict[str, Any] | None:
    for row in story:
        if row[0] == call:
            return None
        if row[9] in ("subagent", "review"):
            return _signal("subagent-before-spike", row)
    return None
