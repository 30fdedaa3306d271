"""Series and totals by day, read from the rollups."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from server.store import db
from server.times import iso
from server.usage.calls import cost_usd
from server.usage.days import Days, chosen

LONGEST = 3700  # days in one answer: ten years
HEADINGS = ("kind", "model", "project", "account")
_KINDS = ("cachedInput", "uncachedInput", "output", "reasoningOutput")
_SUMS = "sum(calls), sum(input), sum(cached), sum(output), sum(reasoning), sum(cost), sum(unpriced)"
_UNNAMED = {"model": "unknown", "project": "no project", "account": "not through the proxy"}

Day = tuple[str, str, tuple[int, ...]]  # day, name, sums


def today(now: int) -> dict[str, Any]:
    """What was used since local midnight."""
    local = chosen()
    day = local.of(now)
    sums = db.rows(
        f"select {_SUMS} from daily_usage where heading = 'model' and day = ?",  # noqa: S608
        (day,),
    )[0]
    calls, first, cached, output, _, cost, unpriced = (int(value or 0) for value in sums)
    start = local.start(date.fromisoformat(day))
    threads = db.rows(
        "select count(distinct s.thread) from call c join session s on s.id = c.session "
        "where c.started_at >= ?",
        (start,),
    )[0][0]
    return {
        "calls": calls,
        "threads": threads,
        "tokens": first + output,
        "inputTokens": first,
        "cachedInputTokens": cached,
        "outputTokens": output,
        "costUsd": cost_usd(cost, calls, unpriced),
        "unpriced": unpriced,
    }


def days(count: int, now: int) -> list[dict[str, Any]]:
    """The last `count` days with today, oldest first, days without calls included."""
    listed = chosen().last(count, now)
    found: list[dict[str, Any]] = series(listed[0], listed[-1])["days"]
    return found


def coverage() -> dict[str, Any]:
    """How much the ledger holds, and when a log was last read."""
    calls = db.rows("select total(calls) from daily_usage where heading = 'model'")[0][0]
    files, last = db.rows("select count(*), max(indexed_at) from source_file")[0]
    return {"calls": int(calls), "files": files, "lastIndexedAt": iso(last)}


def series(
    first: str, last: str, *, by: str = "kind", zone: str = "", provider: str = ""
) -> dict[str, Any]:
    """Every day from `first` to `last` (YYYY-MM-DD) with its sums and a series by `by`.

    Another zone than the ledger's is counted from the calls themselves.
    """
    heading = by if by != "kind" else "model"
    own = chosen()
    if not zone or zone in (own.zone, _system_name()):
        found: Iterable[Day] = _rolled(first, last, heading, provider)
    else:
        found = _counted(first, last, heading, provider, Days(zone))
    names: dict[str, int] = {}
    rows = {day: _empty(day) for day in _between(first, last)}
    for day, name, sums in found:
        _add(rows[day], sums)
        if by != "kind":
            label = name or _UNNAMED[by]
            tokens = sums[1] + sums[3]
            rows[day]["series"][label] = rows[day]["series"].get(label, 0) + tokens
            names[label] = names.get(label, 0) + tokens
    for row in rows.values():
        _finish(row, by)
    ordered = sorted(names, key=lambda name: (-names[name], name)) if names else list(_KINDS)
    return {"days": list(rows.values()), "names": ordered if by != "kind" else list(_KINDS)}


def _system_name() -> str:
    return "UTC" if time.timezone == 0 and not time.daylight else ""


def _between(first: str, last: str) -> Iterable[str]:
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    for n in range(min((end - day).days + 1, LONGEST)):
        yield (day + timedelta(days=n)).isoformat()


def _empty(day: str) -> dict[str, Any]:
    return {
        "day": day,
        "calls": 0,
        "cachedInput": 0,
        "uncachedInput": 0,
        "output": 0,
        "reasoningOutput": 0,
        "costUsd": 0,
        "unpriced": 0,
        "series": {},
    }


def _add(row: dict[str, Any], sums: tuple[int, ...]) -> None:
    calls, first, cached, output, reasoning, cost, unpriced = sums
    row["calls"] += calls
    row["cachedInput"] += cached
    row["uncachedInput"] += first - cached
    row["output"] += output
    row["reasoningOutput"] += reasoning
    row["costUsd"] += cost
    row["unpriced"] += unpriced


def _finish(row: dict[str, Any], by: str) -> None:
    row["costUsd"] = cost_usd(row["costUsd"], row["calls"], row["unpriced"])
    if by == "kind":
        row["series"] = {
            "cachedInput": row["cachedInput"],
            "uncachedInput": row["uncachedInput"],
            # Reasoning is part of output; side by side they must not count twice.
            "output": row["output"] - row["reasoningOutput"],
            "reasoningOutput": row["reasoningOutput"],
        }


def _rolled(first: str, last: str, heading: str, provider: str) -> Iterable[Day]:
    only = "and provider = ? " if provider else ""
    for day, name, *sums in db.rows(
        f"select day, name, {_SUMS} from daily_usage where heading = ? and day between ? and ? "  # noqa: S608
        f"{only}group by day, name",
        (heading, first, last, *([provider] if provider else [])),
    ):
        yield day, name, tuple(sums)


def _counted(first: str, last: str, heading: str, provider: str, local: Days) -> Iterable[Day]:
    name = {
        "model": "c.model",
        "project": "(select project from session where id = c.session)",
        "account": "c.account",
    }[heading]
    day = date.fromisoformat(first)
    end = date.fromisoformat(last)
    only = "and c.provider = ? " if provider else ""
    for start in _between(day.isoformat(), end.isoformat()):
        begin = date.fromisoformat(start)
        span = (local.start(begin), local.start(begin + timedelta(days=1)))
        for label, *sums in db.rows(
            f"select coalesce({name}, ''), count(*), sum(input), sum(cached), sum(output), "  # noqa: S608
            "sum(reasoning), sum(coalesce(cost, 0)), sum(cost is null) from call c "
            f"where c.started_at >= ? and c.started_at < ? {only}group by 1",
            (*span, *([provider] if provider else [])),
        ):
            yield start, label, tuple(sums)
