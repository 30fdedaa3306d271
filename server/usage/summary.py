"""Sums of calls by one heading, and how much of them has a price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from server.store import db
from server.usage import slices, threads
from server.usage.calls import cost_usd
from server.usage.days import QUARTER, Days
from server.usage.slices import Filter

GROUPS = {
    "date": "l.quarter",
    "model": "l.model",
    "effort": "l.effort",
    "project": "s.project",
    "account": "l.account",
    "provider": "l.provider",
    "thread": "s.thread",
    "session": "s.key",
    "kind": "s.kind",
    "role": "s.role",
    "parent": "s.parent",
    "tag": "s.project",  # folded further, as the tags are in the user's own file
}
_SUMS = (
    "sum(l.calls), sum(l.input), sum(l.cached), sum(l.output), sum(l.reasoning), sum(l.cost), "
    "sum(l.unpriced), sum(l.credits)"
)


def grouped(
    wanted: Filter,
    by: str,
    days: Days,
    limit: int,
    tags: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The sums of each group, most tokens first (days newest first); `limit` 0 is all.

    `tags` are those of each project; calls count under each tag of theirs, or under none.
    """
    slices.refresh()
    if by == "date":
        found = _by_day(wanted, days)
    else:
        source, values = slices.summed(wanted, joined=GROUPS[by].startswith("s."))
        found = db.rows(
            f"select {GROUPS[by]}, count(distinct l.session), {_SUMS} {source} "  # noqa: S608
            "group by 1 order by sum(l.input + l.output) desc, 1",
            values,
        )
    if by == "tag":
        found = _by_tag(found, tags or {})
    rows = [_row(values, by) for values in (found[:limit] if limit else found)]
    if by == "thread":
        titles = dict(db.rows("select id, title from thread"))
        rows = [{**row, "threadId": row["name"], "threadTitle": titles.get(row["name"])}
                for row in rows]  # fmt: skip
    return {"by": by, "groups": rows, "total": len(found)}


def coverage(wanted: Filter) -> dict[str, Any]:
    """Tokens and calls by model, those without a price first, and the share that has one."""
    slices.refresh()
    source, values = slices.summed(wanted)
    rows = [
        {
            "model": model or None,
            "provider": provider,
            "calls": count,
            "tokens": tokens,
            "costUsd": cost_usd(cost, count, unpriced),
            "priceStatus": threads.price_status(count, unpriced, estimated),
            "unpricedTokens": without,
        }
        for model, provider, count, tokens, cost, unpriced, estimated, without in db.rows(
            "select l.model, l.provider, sum(l.calls), sum(l.input + l.output), sum(l.cost), "  # noqa: S608
            "sum(l.unpriced), sum(l.estimated), sum(l.unpriced_tokens) "
            f"{source} group by 1, 2 order by 8 desc, 4 desc",
            values,
        )
    ]
    tokens = sum(row["tokens"] for row in rows)
    priced = tokens - sum(row["unpricedTokens"] for row in rows)
    ratio = priced / tokens if tokens else None
    return {"models": rows, "tokens": tokens, "pricedTokens": priced, "ratio": ratio}


def _by_tag(
    projects: list[tuple[Any, ...]], tags: Mapping[str, Sequence[str]]
) -> list[tuple[Any, ...]]:
    sums: dict[str | None, list[Any]] = {}
    for project, *found in projects:
        for tag in tags.get(project or "") or (None,):
            total = sums.setdefault(tag, [None] * len(found))
            for place, value in enumerate(found):
                if value is not None:
                    total[place] = (total[place] or 0) + value
    return sorted(((tag, *total) for tag, total in sums.items()), key=lambda one: -one[3] - one[5])


def _by_day(wanted: Filter, days: Days) -> list[tuple[Any, ...]]:
    sums: dict[str, list[Any]] = {}
    sessions: dict[str, set[int]] = {}
    daily = slices.by_day(wanted, days)
    source, values = slices.summed(wanted, local=days)
    at = "l.day" if daily else "l.quarter"
    for when, session, *found in db.rows(
        f"select {at}, l.session, {_SUMS} {source} group by 1, 2",  # noqa: S608
        values,
    ):
        day = date.fromordinal(when).isoformat() if daily else days.of(when * QUARTER)
        sessions.setdefault(day, set()).add(session)
        total = sums.setdefault(day, [0] * 7 + [None])
        for place, value in enumerate(found):
            if value is not None:
                total[place] = (total[place] or 0) + value
    return [(day, len(sessions[day]), *sums[day]) for day in sorted(sums, reverse=True)]


def _row(values: tuple[Any, ...], by: str) -> dict[str, Any]:
    name, sessions, count, first, cached, output, reasoning, cost, unpriced, credits = values
    # A project's own key, so that the privacy modes know it.
    named = {"project": name} if by == "project" else {"name": name or None}
    return {
        **named,
        "calls": count,
        "sessions": sessions,
        "totalTokens": first + output,
        "inputTokens": first,
        "cachedInputTokens": cached,
        "uncachedInputTokens": first - cached,
        "outputTokens": output,
        "reasoningTokens": reasoning,
        "cacheRatio": cached / first if first else None,
        "costUsd": cost_usd(cost, count, unpriced),
        "unpriced": unpriced,
        "credits": None if credits is None else credits / 1e6,
    }
