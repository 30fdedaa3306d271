"""Series and totals by day, read from the rollups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, NamedTuple

from server.store import db
from server.times import iso
from server.usage import finding, names, slices, textdays, textthreads
from server.usage.calls import cost_usd, told_reasoning
from server.usage.days import QUARTER, Days, chosen
from server.usage.slices import Filter

EVERYTHING = Filter()
_LONG = 60  # days
LONGEST = 3700  # days in one answer: ten years
HEADINGS = ("kind", "model", "project", "account")
_KINDS = ("cachedInput", "uncachedInput", "output", "reasoningOutput")
NO_PROJECT = "no project"
_UNNAMED = {"model": "unknown", "project": NO_PROJECT, "account": "not through the proxy"}

Sums = tuple[int, ...]
Day = tuple[str, str, Sums]


@slices.moment()
def today(now: int, zone: str = "") -> dict[str, Any]:
    """What was used since midnight in the zone."""
    local = _local(zone)
    day = local.of(now)
    sums = series(day, day, zone=zone, sessions=False)["days"][0]
    slices.refresh()
    inside = _within(day, day, EVERYTHING, local)
    source, values = slices.summed(inside, joined=True, local=local)
    # A thread that only finds another's title is nobody's work.
    own = "case when s.kind != 'title' then s.thread end"
    threads = db.rows(f"select count(distinct {own}) {source}", values)[0][0]  # noqa: S608
    return {
        "calls": sums["calls"],
        "threads": threads,
        "tokens": _tokens(sums),
        "inputTokens": sums["cachedInput"] + sums["uncachedInput"],
        "cachedInputTokens": sums["cachedInput"],
        "outputTokens": sums["output"],
        "costUsd": sums["costUsd"],
        "unpriced": sums["unpriced"],
        "estimated": sums["estimated"],
    }


def days(count: int, now: int, zone: str = "") -> list[dict[str, Any]]:
    """The last `count` days with today, oldest first, days without calls included."""
    listed = _local(zone).last(count, now)
    found: list[dict[str, Any]] = series(listed[0], listed[-1], zone=zone)["days"]
    return found


def _local(zone: str) -> Days:
    """The days of a zone that a viewer names, else of the one that is set."""
    mine = chosen()
    return Days(zone) if zone and zone != mine.zone else mine


def coverage() -> dict[str, Any]:
    """How much the ledger holds, and when a log was last read."""
    calls = db.rows("select total(calls) from daily_usage where heading = 'model'")[0][0]
    files, last = db.rows("select count(*), max(indexed_at) from source_file")[0]
    return {"calls": int(calls), "files": files, "lastIndexedAt": iso(last)}


@slices.moment()
def series(
    first: str,
    last: str,
    *,
    by: str = "kind",
    zone: str = "",
    wanted: Filter = EVERYTHING,
    sessions: bool = True,
) -> dict[str, Any]:
    """Every day from `first` to `last` (YYYY-MM-DD) with its sums and a series by `by`.

    The ledger's own days come from its rollup; other zones, and filters beyond the provider,
    from the slices. Of `wanted`, the text and the names of provider, models, efforts, projects
    and accounts count. Counting each day's sessions costs the most; without them it is 0.
    """
    with _asked(first, last, wanted, _local(zone)) as asked:
        return _series(asked, by, sessions)


class _Asked(NamedTuple):
    first: str
    last: str
    wanted: Filter
    local: Days
    texts: textdays.TextDays | None = None  # where sessions in memory tell the days


@contextmanager
def _asked(first: str, last: str, wanted: Filter, local: Days) -> Iterator[_Asked]:
    """Some days with the filter, its text looked up if it has one."""
    slices.refresh()
    if (wanted.text or textthreads.does(wanted)) and slices.by_day(
        _within(first, last, wanted, local), local
    ):
        with names.known() as known:
            seen = finding.found(wanted, listed=False, mixed=True)
            if textthreads.does(seen):
                texts = textdays.TextDays(seen, known, first, last)
                yield _Asked(first, last, seen, local, texts)
                return
        wanted = seen
    yield _Asked(first, last, finding.found(wanted), local)


def _series(asked: _Asked, by: str, sessions: bool) -> dict[str, Any]:
    first, last, wanted, local, texts = asked
    heading = by if by != "kind" else "model"
    if texts is not None:
        found = texts.sums()
        named = texts.named(heading) if by != "kind" else []
    elif slices.bare(replace(wanted, provider="")) and slices.by_day(
        _within(first, last, wanted, local), local
    ):
        # Under each heading a day's sums are the same; there are fewer models than projects.
        found = _rolled(first, last, "model", wanted)
        named = _named(first, last, heading, wanted) if by != "kind" else []
    else:
        cut = [*_sliced(first, last, heading, wanted, local)]
        found = [(day, sums) for day, _, sums in cut]
        named = [(day, name, sums[1] + sums[3]) for day, name, sums in cut] if by != "kind" else []
    rows = {day: _empty(day) for day in _between(first, last)}
    for day, sums in found:
        _add(rows[day], sums)
    labels = _tell_apart(rows, named, _UNNAMED.get(by, ""))
    for day, count in _sessions(asked) if sessions else ():
        rows[day]["sessions"] = count
    for row in rows.values():
        _finish(row, by)
    kinds = _told_kinds(list(rows.values()), wanted.provider)
    ordered = sorted(labels, key=lambda name: (-labels[name], name)) if labels else kinds
    return {"days": list(rows.values()), "names": ordered if by != "kind" else kinds}


def _told_kinds(rows: list[dict[str, Any]], provider: str) -> list[str]:
    """The kinds of tokens that the provider's logs tell apart; the others become unknown."""
    reasoned = sum(row["reasoningOutput"] for row in rows)
    if told_reasoning(provider, reasoned) is not None:
        return list(_KINDS)
    for row in rows:
        row["reasoningOutput"] = None
        row["series"].pop(_KINDS[-1], None)
    return list(_KINDS[:-1])


def _tell_apart(
    rows: dict[str, dict[str, Any]], named: Iterable[tuple[str, str, int]], unnamed: str
) -> dict[str, int]:
    """Put each name's tokens into its day; returns the sums of the names."""
    lines = {day: row["series"] for day, row in rows.items()}
    names: dict[str, int] = {}
    for day, name, tokens in named:
        label = name or unnamed
        series = lines[day]
        series[label] = series.get(label, 0) + tokens
        names[label] = names.get(label, 0) + tokens
    return names


def first_day(days: Days) -> str | None:
    """The day of the oldest call; None while there is none."""
    at = db.rows("select min(started_at) from call")[0][0]
    return None if at is None else days.of(at)


@slices.moment()
def summary(
    first: str, last: str, now: int, *, zone: str = "", wanted: Filter = EVERYTHING
) -> dict[str, Any]:
    """The sums of a range, the year so far, today, and three calendar weeks (from Monday)."""
    local = _local(zone)
    today = date.fromisoformat(local.of(now))
    monday = today - timedelta(days=today.weekday())
    spans = [
        (date.fromisoformat(first), date.fromisoformat(last)),
        (today.replace(month=1, day=1), today),
        (today, today),
        (monday, today),
        (monday - timedelta(days=7), monday - timedelta(days=1)),
        (monday - timedelta(days=14), monday - timedelta(days=8)),
    ]
    begin, end = min(start for start, _ in spans), max(stop for _, stop in spans)
    if (end - begin).days >= LONGEST:
        begin = spans[0][0]
    with _asked(begin.isoformat(), end.isoformat(), wanted, local) as asked:
        days = _series(asked, "kind", False)["days"]
        among = asked.texts.sessions() if asked.texts else None
        listed = [_sum(days, start, stop, asked, among) for start, stop in spans]
    return {
        "range": listed[0],
        "ytd": listed[1],
        "today": listed[2],
        "weeks": listed[3:],
        "providers": [
            name for (name,) in db.rows("select distinct provider from daily_usage order by 1 desc")
        ],
    }


@slices.moment()
def heat(
    first: str, last: str, *, zone: str = "", wanted: Filter = EVERYTHING
) -> dict[str, list[list[int]]]:
    """Tokens and calls by weekday (Monday first) and hour of the zone."""
    slices.refresh()
    local = _local(zone)
    days = (date.fromisoformat(last) - date.fromisoformat(first)).days
    if wanted.text and days <= _LONG:
        # Of a text's sessions, those of a few days are few.
        with _asked(first, last, wanted, local) as asked:
            wanted = asked.texts.listed() if asked.texts else asked.wanted
    wanted = finding.found(wanted)
    tokens, counts = ([[0] * 24 for _ in range(7)] for _ in range(2))
    source, given = _quarters(wanted)
    for begin, end, shift in local.shifts(date.fromisoformat(first), date.fromisoformat(last)):
        # The first hour of 1970 was a Thursday's.
        for hour, used, count in db.rows(
            f"select (quarter + ?) / 4 % 168, sum(tokens), sum(calls) {source} "  # noqa: S608
            "and quarter >= ? and quarter < ? group by 1",
            (shift, *given, begin, end),
        ):
            weekday, hour = divmod((hour + 72) % 168, 24)  # noqa: PLW2901
            tokens[weekday][hour] += used
            counts[weekday][hour] += count
    return {"tokens": tokens, "calls": counts}


def _quarters(wanted: Filter) -> tuple[str, list[Any]]:
    """`from … where …` of the tokens and calls of each quarter of an hour."""
    if slices.bare(replace(wanted, provider="")):
        only = (" and provider = ?" if wanted.provider else "") + slices.kept(wanted)
        return f"from quarter_usage where 1{only}", _given(wanted)
    if _singly(wanted):
        source, values = slices.summed(wanted)
    else:
        where, values = slices.narrowed(wanted)
        joined = " left join session s on s.id = l.session" if wanted.projects else ""
        source = f"from slice l{joined} where {where}"
    sums = "l.quarter, l.input + l.output as tokens, l.calls"
    return f"from (select {sums} {source}) where 1", values  # noqa: S608


def _singly(wanted: Filter) -> bool:
    """Whether a text is found in single calls, which no row for a day tells apart."""
    return wanted.found is not None and bool(wanted.found.calls)


def _sum(
    days: list[dict[str, Any]],
    start: date,
    stop: date,
    asked: _Asked,
    among: dict[int, set[int]] | None,
) -> dict[str, Any]:
    first, last = start.isoformat(), stop.isoformat()
    inside = [day for day in days if first <= day["day"] <= last]
    used = [(_tokens(day), day["day"]) for day in inside if day["calls"]]
    highest = max(used, key=lambda one: (one[0], one[1])) if used else None
    count, unpriced, estimated = (
        sum(day[name] for day in inside) for name in ("calls", "unpriced", "estimated")
    )
    cost = sum(day["costUsd"] or 0 for day in inside)
    return {
        "from": first,
        "to": last,
        "calls": count,
        "tokens": sum(tokens for tokens, _ in used),
        "sessions": (
            _distinct(start, stop, asked.wanted, asked.local)
            if among is None
            else textdays.between(among, start, stop)
        ),
        "daysWithUsage": len(used),
        "highestDay": {"day": highest[1], "tokens": highest[0]} if highest else None,
        "costUsd": cost_usd(round(cost * 1e6), count, unpriced),
        "unpriced": unpriced,
        "estimated": estimated,
    }


def _distinct(start: date, stop: date, wanted: Filter, local: Days) -> int:
    """How many sessions had calls on some days."""
    first, last = start.isoformat(), stop.isoformat()
    source, values = slices.summed(_within(first, last, wanted, local))
    if (stop - start).days > _LONG:
        # So the index by session is walked, in whose order each session is counted at once.
        source = source.replace("l.day", "+l.day")
    sessions = db.rows(
        f"select count(*) from (select distinct l.session {source} and l.session != 0)",  # noqa: S608
        values,
    )
    return int(sessions[0][0]) - slices.over(source, values).get(0, 0)


def _tokens(day: dict[str, Any]) -> int:
    total: int = day["cachedInput"] + day["uncachedInput"] + day["output"]
    return total


def _within(first: str, last: str, wanted: Filter, local: Days) -> Filter:
    return replace(
        wanted,
        since=local.start(date.fromisoformat(first)),
        until=local.start(date.fromisoformat(last) + timedelta(days=1)),
    )


def _sessions(asked: _Asked) -> Iterable[tuple[str, int]]:
    """How many sessions had a call on each day."""
    first, last, wanted, local, texts = asked
    if texts is not None:
        found = texts.sessions().items()
        return [(date.fromordinal(day).isoformat(), len(among)) for day, among in found]
    slices.refresh()
    inside = _within(first, last, wanted, local)
    source, values = slices.summed(inside, local=local)
    if slices.by_day(inside, local) and not _singly(inside):
        if slices.bare(replace(wanted, provider="")):
            return _sessions_counted(first, last, wanted)
        counted = db.rows(
            f"select l.day, count(distinct l.session) {source} and l.session != 0 group by 1",  # noqa: S608
            values,
        )
        over = slices.over(source, values, "l.day")
        return [(date.fromordinal(day).isoformat(), n - over.get(day, 0)) for day, n in counted]
    heads = slices.heads()
    seen: dict[str, set[int]] = {}
    for quarter, session in db.rows(f"select distinct l.quarter, l.session {source}", values):  # noqa: S608
        if session:
            seen.setdefault(local.of(quarter * QUARTER), set()).add(heads.get(session, session))
    return [(day, len(sessions)) for day, sessions in seen.items()]


def _given(wanted: Filter) -> list[str]:
    return [wanted.provider] if wanted.provider else []


def _sessions_counted(first: str, last: str, wanted: Filter) -> Iterable[tuple[str, int]]:
    only = (" and provider = ?" if wanted.provider else "") + slices.kept(wanted)
    span = [date.fromisoformat(day).toordinal() for day in (first, last)]
    counted = db.rows(
        f"select day, sum(sessions) from day_sessions where day between ? and ?{only} group by 1",  # noqa: S608
        [*span, *_given(wanted)],
    )
    return [(date.fromordinal(day).isoformat(), count) for day, count in counted]


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
        "estimated": 0,
        "sessions": 0,
        "series": {},
    }


def _add(row: dict[str, Any], sums: tuple[int, ...]) -> None:
    calls, first, cached, output, reasoning, cost, unpriced, estimated = sums
    row["calls"] += calls
    row["cachedInput"] += cached
    row["uncachedInput"] += first - cached
    row["output"] += output
    row["reasoningOutput"] += reasoning
    row["costUsd"] += cost
    row["unpriced"] += unpriced
    row["estimated"] += estimated


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


def _rolled(first: str, last: str, heading: str, wanted: Filter) -> list[tuple[str, Sums]]:
    source, values = _days_rolled(first, last, heading, wanted)
    sums = ", ".join(f"sum({_left(name, wanted)})" for name in _MEASURED)
    found = db.rows(f"select d.day, {sums} {source} group by d.day", values)  # noqa: S608
    guessed = _guessed(first, last, wanted)
    return [(day, (*sums, guessed.get(day, 0))) for day, *sums in found]


def _guessed(first: str, last: str, wanted: Filter) -> dict[str, int]:
    """How many calls of each day have an estimated price, which the rollup of days has not."""
    slices.refresh()
    only = (" and provider = ?" if wanted.provider else "") + slices.kept(wanted)
    span = [date.fromisoformat(day).toordinal() for day in (first, last)]
    counted = db.rows(
        "select day, sum(estimated) from stretch "  # noqa: S608
        f"where estimated > 0 and day between ? and ?{only} group by 1",
        [*span, *_given(wanted)],
    )
    return {date.fromordinal(day).isoformat(): count for day, count in counted}


def _named(first: str, last: str, heading: str, wanted: Filter) -> list[tuple[str, str, int]]:
    source, values = _days_rolled(first, last, heading, wanted)
    tokens = f"{_left('input', wanted)} + {_left('output', wanted)}"
    sql = f"select d.day, d.name, {tokens} {source} and {_left('calls', wanted)} > 0"  # noqa: S608
    return db.rows(sql, values)


_MEASURED = ("calls", "input", "cached", "output", "reasoning", "cost", "unpriced")


def _left(name: str, wanted: Filter) -> str:
    """A measure of a day, without what of it is archived where that is left out."""
    return f"d.{name} - coalesce(a.{name}, 0)" if wanted.history else f"d.{name}"


def _days_rolled(first: str, last: str, heading: str, wanted: Filter) -> tuple[str, list[str]]:
    joined = ""
    if wanted.history:
        slices.refresh()
        joined = " left join archived_usage a using (heading, day, provider, name)"
    only = " and d.provider = ?" if wanted.provider else ""
    return (
        f"from daily_usage d{joined} where d.heading = ? and d.day between ? and ?{only}",
        [heading, first, last, *_given(wanted)],
    )


def _sliced(first: str, last: str, heading: str, wanted: Filter, local: Days) -> Iterable[Day]:
    slices.refresh()
    inside = _within(first, last, wanted, local)
    daily = slices.by_day(inside, local) and not _singly(inside)
    project = "l.project" if daily else "coalesce(s.project, '')"
    name = {"model": "l.model", "project": project, "account": "l.account"}[heading]
    source, values = slices.summed(inside, joined=heading == "project" and not daily, local=local)
    for at, label, *sums in db.rows(
        f"select l.{'day' if daily else 'quarter'}, {name}, sum(l.calls), sum(l.input), "  # noqa: S608
        "sum(l.cached), sum(l.output), sum(l.reasoning), sum(l.cost), sum(l.unpriced), "
        "sum(l.estimated) "
        f"{source} group by 1, 2",
        values,
    ):
        day = date.fromordinal(at).isoformat() if daily else local.of(at * QUARTER)
        yield day, label, tuple(sums)
