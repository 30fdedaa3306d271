"""Sums of calls by one heading, and how much of them has a price."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from server.store import db
from server.usage import finding, projects, slices, threads
from server.usage.calls import cost_usd, told_reasoning
from server.usage.days import QUARTER, Days
from server.usage.slices import Filter

GROUPS = {
    "date": "l.quarter",
    "model": "l.model",
    "effort": "l.effort",
    "project": "s.project",
    "cwd": "s.cwd",
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
    "sum(l.unpriced), sum(l.estimated), sum(l.credits)"
)


@slices.moment()
def grouped(
    wanted: Filter,
    by: str,
    days: Days,
    limit: int,
    tags: Mapping[str, Sequence[str]] | None = None,
    alike: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The sums of each group, most tokens first (days newest first); `limit` 0 is all.

    `tags` are those of each project; calls count under each tag of theirs, or under none. `alike`
    names one project for those that are shown by one name.
    """
    slices.refresh()
    wanted = finding.found(wanted)
    everything = slices.bare(wanted)
    singly = wanted.found is not None and wanted.found.calls  # no row for a day tells those
    if by == "date" and not singly and slices.by_day(wanted, days):
        found, total = _newest(wanted, limit)
    elif by == "thread" and everything:
        found, total = _threads(limit, slices.part(wanted))
    else:
        found = _all(wanted, by, days)
        if by in ("project", "tag"):
            found = _told(found, None if by == "project" else tags or {}, alike or {})
        total = len(found)
    rows = [_row(values, by, wanted.provider) for values in (found[:limit] if limit else found)]
    if by == "thread":
        titles = dict(
            db.rows(
                "select id, title from thread where id in (select value from json_each(?))",
                (json.dumps([row["name"] for row in rows]),),
            )
        )
        rows = [{**row, "threadId": row["name"], "threadTitle": titles.get(row["name"])}
                for row in rows]  # fmt: skip
    return {"by": by, "groups": rows, "total": total}


def _all(wanted: Filter, by: str, days: Days) -> list[tuple[Any, ...]]:
    if by == "date":
        return _by_day(wanted, days)
    if _HEADED.get(by) and slices.bare(replace(wanted, provider="")):
        found = _headed(_HEADED[by], wanted)
    else:
        source, values = slices.summed(wanted, joined=GROUPS[by].startswith("s."))
        found = db.rows(
            f"select {GROUPS[by]}, count(distinct nullif(l.session, 0)), {_SUMS} {source} "  # noqa: S608
            "group by 1 order by sum(l.input + l.output) desc, 1",
            values,
        )
        # Of its helpers each counts where they stand apart from the session above them.
        over = {} if by in _APART else slices.over(source, values, GROUPS[by])
        found = [(name, count - over.get(name, 0), *sums) for name, count, *sums in found]
    return found


_APART = ("thread", "session", "kind", "role", "parent")


def _told(
    rows: list[tuple[Any, ...]], tags: Mapping[str, Sequence[str]] | None, alike: Mapping[str, str]
) -> list[tuple[Any, ...]]:
    """Sums of projects by what each counts under: its tags, else the project it is shown as."""
    of = projects.known().of

    def under(project: str) -> Sequence[str | None]:
        if tags is None:
            return (alike.get(project) or of(project) or None,)
        return tags.get(of(project)) or (None,)

    return _folded(rows, under)


_HEADED = {name: name for name in slices.HEADINGS} | {"tag": "project"}


def _headed(heading: str, wanted: Filter) -> list[tuple[Any, ...]]:
    """All calls by a heading, from the rollup that has them."""
    provider = wanted.provider
    only = (" and provider = ?" if provider else "") + slices.kept(wanted)
    return db.rows(
        "select nullif(name, ''), sum(sessions), sum(calls), sum(input), sum(cached), sum(output), "  # noqa: S608
        "sum(reasoning), sum(cost), sum(unpriced), sum(estimated), "
        "iif(sum(rated) > 0, sum(credits), null) "
        f"from heading_usage where heading = ?{only} group by 1 having sum(calls) > 0 "
        "order by sum(input + output) desc, 1",
        [heading, *([provider] if provider else [])],
    )


_LOOSE = f"select null, 0, {_SUMS} from stretch l where l.session = 0 having count(*) > 0"  # noqa: S608
_BY_THREAD = (
    "select * from (select thread, sessions, calls, input, cached, output, reasoning, cost, "  # noqa: S608
    f"unpriced, estimated, credits from thread_usage where {{}} union all {_LOOSE}) "
    "order by input + output desc, 1"
)


def _threads(limit: int, part: str) -> tuple[list[tuple[Any, ...]], int]:
    """All calls by thread, those of none among them, and how many there are."""
    count = f"select (select count(*) from thread_usage where {part}) + "  # noqa: S608
    count += "exists(select 1 from stretch where session = 0)"
    listed = db.rows(f"{_BY_THREAD.format(part)} limit ?", (limit or -1,))
    return listed, int(db.rows(count)[0][0])


def _newest(wanted: Filter, limit: int) -> tuple[list[tuple[Any, ...]], int]:
    """The sums of the newest days, and how many days have any."""
    source, values = slices.summed(wanted)
    if slices.bare(wanted):
        used = db.rows(_DAYS.format(slices.kept(wanted)))
    else:
        used = db.rows(f"select distinct l.day {source}", values)  # noqa: S608
    days = [day for (day,) in used]
    days.sort(reverse=True)
    oldest = days[:limit][-1] if limit and days else 0
    found = db.rows(
        f"select l.day, count(distinct nullif(l.session, 0)), {_SUMS} {source} "  # noqa: S608
        "and l.day >= ? group by 1 order by 1 desc",
        [*values, oldest],
    )
    over = slices.over(f"{source} and l.day >= ?", [*values, oldest], "l.day")
    listed = [
        (date.fromordinal(day).isoformat(), count - over.get(day, 0), *sums)
        for day, count, *sums in found
    ]
    return listed, len(days)


# Each day's sessions are counted; calls that have none are few.
_DAYS = (
    "select day from day_sessions where 1{} group by 1 having sum(sessions) > 0 "
    "union select day from stretch where session = 0"
)


@slices.moment()
def coverage(wanted: Filter) -> dict[str, Any]:
    """Tokens and calls by model, those without a price first, and the share that has one."""
    slices.refresh()
    wanted = finding.found(wanted)
    if slices.bare(wanted):
        only = slices.kept(wanted, "l.")
        source = f"from heading_usage l where l.heading = 'model' and l.calls > 0{only}"
        model, values = "l.name", list[Any]()
    else:
        (source, values), model = slices.summed(wanted), "l.model"
    rows = [
        {
            "model": name or None,
            "provider": provider,
            "calls": count,
            "tokens": tokens,
            "costUsd": cost_usd(cost, count, unpriced),
            "unpriced": unpriced,
            "estimated": estimated,
            "priceStatus": threads.price_status(count, unpriced, estimated),
            "unpricedTokens": without,
        }
        for name, provider, count, tokens, cost, unpriced, estimated, without in db.rows(
            f"select {model}, l.provider, sum(l.calls), sum(l.input + l.output), sum(l.cost), "  # noqa: S608
            "sum(l.unpriced), sum(l.estimated), sum(l.unpriced_tokens) "
            f"{source} group by 1, 2 order by 8 desc, 4 desc",
            values,
        )
    ]
    tokens = sum(row["tokens"] for row in rows)
    priced = tokens - sum(row["unpricedTokens"] for row in rows)
    ratio = priced / tokens if tokens else None
    return {"models": rows, "tokens": tokens, "pricedTokens": priced, "ratio": ratio}


def _folded(
    rows: list[tuple[Any, ...]], into: Callable[[str], Sequence[str | None]]
) -> list[tuple[Any, ...]]:
    """The sums of projects as those of what each counts under."""
    sums: dict[str | None, list[Any]] = {}
    for project, *found in rows:
        for name in into(project or ""):
            total = sums.setdefault(name, [None] * len(found))
            for place, value in enumerate(found):
                if value is not None:
                    total[place] = (total[place] or 0) + value
    return sorted(
        ((name, *total) for name, total in sums.items()), key=lambda one: -one[3] - one[5]
    )


def _by_day(wanted: Filter, days: Days) -> list[tuple[Any, ...]]:
    source, values = slices.summed(wanted, local=days)
    sums: dict[str, list[Any]] = {}
    sessions: dict[str, set[int]] = {}
    heads = slices.heads()
    for quarter, session, *measured in db.rows(
        f"select l.quarter, l.session, {_SUMS} {source} group by 1, 2",  # noqa: S608
        values,
    ):
        day = days.of(quarter * QUARTER)
        sessions.setdefault(day, set()).update(
            {heads.get(session, session)} - {0}
        )  # 0: calls of none
        total = sums.setdefault(day, [0] * 8 + [None])
        for place, value in enumerate(measured):
            if value is not None:
                total[place] = (total[place] or 0) + value
    return [(day, len(sessions[day]), *sums[day]) for day in sorted(sums, reverse=True)]


def _row(values: tuple[Any, ...], by: str, provider: str) -> dict[str, Any]:
    name, sessions, count, first, cached, output, reasoning, cost = values[:8]
    unpriced, estimated, credits = values[8:]
    # Keys of their own, so that the privacy modes know them.
    named = {by: name} if by in ("project", "cwd") else {"name": name or None}
    return {
        **named,
        "calls": count,
        "sessions": sessions,
        "totalTokens": first + output,
        "inputTokens": first,
        "cachedInputTokens": cached,
        "uncachedInputTokens": first - cached,
        "outputTokens": output,
        "reasoningTokens": told_reasoning(name if by == "provider" else provider, reasoning),
        "cacheRatio": cached / first if first else None,
        "costUsd": cost_usd(cost, count, unpriced),
        "unpriced": unpriced,
        "estimated": estimated,
        "credits": None if credits is None else credits / 1e6,
    }
