"""Lists of calls: filters, sorting, paging, totals over the whole filter; one call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from server.errors import AppError, NotFound
from server.store import db
from server.times import iso
from server.usage import (
    before,
    behind,
    finding,
    ownfiles,
    pricing,
    projects,
    ratesources,
    recommendations,
    slices,
    sorting,
    thresholds,
    titled,
)  # fmt: skip
from server.usage.slices import Filter
from server.usage.sorting import FROM as _FROM
from server.usage.sorting import SORTS, Page, cursor, read_cursor

__all__ = ["SORTS", "Page", "cursor", "read_cursor"]
_COLUMNS = (
    "c.id, c.started_at, c.provider, s.key, s.thread, t.title, s.project, c.model, c.effort, "
    "c.initiator, c.duration_ms, c.input, c.cached, c.output, c.reasoning, c.cache_written, "
    "c.context_window, c.cost, c.price_status, c.credits, c.account, c.seen, "
    "(select r.id from request_log r where r.response_id = c.id limit 1), "
    # One look into the index for each session of the thread.
    "c.started_at - (select max((select max(p.started_at) from call p where p.session = x.id "
    "and p.started_at < c.started_at)) from session x where x.thread = s.thread), "
    "c.running, s.kind, c.cache_written_1h, c.tier, s.role, "
    "(select nullif(b.tokens, -1) from call_before b where b.call = c.rowid)"
)
PRESETS = {
    "context-bloat": slices.GROWN,
    "context-full": slices.BLOAT,  # of those, what the card of full contexts counts
    "cache-misses": slices.MISS,
    "pricing-gaps": "c.price_status = 'unpriced'",
    "estimated-review": "c.price_status = 'estimated'",
    "usage-credits": "coalesce(c.credits, 0) > 0",
    "reasoning-spike": slices.SPIKE,
}
_PLACED = re.compile(r":([a-z_]+)")
_WITNESSES = ((1, "log"), (2, "proxy"), (4, "telemetry"))


_FEW, _SESSIONS, _SEVERAL = 2000, 200, 20
_MOST_LISTED = 3000  # sessions
_FEW_READ = 8000  # calls that are read for one page
_END = 1 << 62  # no measure is larger
_AMONG = "c.session in ("


@slices.moment()
def search(wanted: Filter, page: Page) -> dict[str, Any]:
    """One page of calls, and totals over everything the filter finds."""
    slices.refresh()
    if page.sort == "project" and not wanted.names:
        page = replace(page, sort="time")  # the order of hidden names would tell them
    wanted = finding.found(wanted)
    where, values = conditions(wanted)
    with db.reading() as connection:
        order = sorting.Order(wanted, page, _accounts(connection) if page.sort == "account" else [])
        held = wanted.found.sums if wanted.found else None
        sums = totals(held or _sums(connection, wanted, where, values))
        sums["reasoningOutput"] = told_reasoning(wanted.provider, sums["reasoningOutput"])
        lead = _leading(connection, wanted, page, order, sums["calls"])
        if _sure(lead, wanted, page):
            # Each of these sessions has the text: looking for them again costs most of the time.
            where, values = conditions(replace(wanted, text="", meant=(), found=None))
        source = order.source(led=lead != "1" or sums["calls"] <= _FEW)
        found = _read(connection, page, order, f"{source} where {lead} and {where}", values)
        more = len(found) > page.limit
        found = found[: page.limit]
        rows = _whole(connection, [row for row, _ in found])
    return {
        "calls": [_row(values) for values in rows],
        "total": sums["calls"],
        "totals": sums,
        "hasMore": more,
        "nextCursor": cursor(found[-1][1], rows[-1][0], page) if more else None,
        **(_times(wanted) if wanted.fact else {}),
    }


def _read(
    connection: Any, page: Page, order: sorting.Order, source: str, values: list[Any]
) -> list[tuple[int, Any]]:
    """The rows of a page's calls and what its cursor says of each; one more, if there is one."""
    found: list[tuple[int, Any]] = []
    offset = page.offset
    for only, given in order.parts():
        if len(found) > page.limit:
            break
        some = connection.execute(
            f"{order.prefix} select c.rowid, {order.told} {source}{only} "  # noqa: S608
            f"order by {order.by} {page.way}, {order.tie} {page.way} limit ? offset ?",
            (*order.given, *values, *given, page.limit + 1 - len(found), offset),
        ).fetchall()
        found += some
        if offset:  # how much of it lies in this part
            count = f"{order.prefix} select count(*) {source}{only}"
            counted = (*order.given, *values, *given)
            whole = 0 if some else connection.execute(count, counted).fetchone()[0]
            offset = max(0, offset - whole) if not some else 0
    return found


def _accounts(connection: Any) -> list[str]:
    """The accounts that any call was made with."""
    known = "select distinct name from heading_usage where heading = 'account' and calls > 0"
    return [name for (name,) in connection.execute(known)]


def _whole(connection: Any, numbers: list[int]) -> list[tuple[Any, ...]]:
    """All columns of some calls, in their order; sorting would look these up for every call."""
    rows = connection.execute(
        f"select c.rowid, {_COLUMNS} {_FROM} where c.rowid in ({','.join(map(str, numbers))})"  # noqa: S608
    )
    known = {row[0]: row[1:] for row in rows}
    return [known[number] for number in numbers]


def _times(wanted: Filter) -> dict[str, Any]:
    """How often the fact came that the calls are narrowed to."""
    where, values = conditions(replace(wanted, fact=""))
    return {"occurrences": behind.occurrences(wanted.fact, where, values)}


def _leading(connection: Any, wanted: Filter, page: Page, order: sorting.Order, count: int) -> str:
    """A condition that leads to a page's calls without reading all that lie before them."""
    seen = wanted.found
    if seen is not None and seen.calls:
        # These few lie anywhere, beside what the sessions hold.
        rest = replace(wanted, found=replace(seen, calls=()))
        lead = _leading(connection, rest, page, order, count)
        ids = "select rowid from call where id in (select value from json_each(?))"
        rows = connection.execute(ids, (json.dumps(seen.calls),))
        named = f"({lead} or c.rowid in ({','.join(str(row) for (row,) in rows)}))"
        return "1" if lead == "1" else named
    if not slices.whole(wanted):
        return "1"
    if count <= _FEW:
        return _in_sessions(connection, wanted)
    after = order.after
    if page.sort == "thread":
        need = page.offset + page.limit + 1
        return titled.lead(connection, wanted, after, page.descending, need)
    if page.sort in sorting.NAMED:
        return _newest(connection, wanted, page, order)
    if page.sort in slices.ORDERS and page.descending and _listed(wanted):
        return _topmost(connection, wanted, page, after)
    if page.sort != "time" or wanted in (Filter(), Filter(names=False)):
        return "1"  # an index has them in order
    return _nearest(connection, wanted, page, after[0] if after else None)


def by_sessions(wanted: Filter) -> bool:
    """Whether a filter finds the calls of sessions that hold a text, and asks no more."""
    seen = wanted.found
    rest = replace(wanted, provider="", text="", meant=(), found=None)
    return seen is not None and seen.plain and slices.bare(rest)


def sessions_of(wanted: Filter, *, led: bool = True) -> tuple[str, list[Any]]:
    """`from … where …` of the sums `l` of the sessions of such a filter, and its values.

    Unless `led`, something else leads to the sessions.
    """
    seen, (only, given) = wanted.found, _kept(wanted)
    values = [seen.sessions if seen else "[]", *given]
    if led and seen and not seen.but:
        # The list leads to each of them: as a set it would be sorted first.
        lead = "json_each(?) e cross join session_usage l on l.session = e.value"
        return f"from {lead} where 1{only}", values
    listed = "not in" if seen and seen.but else "in"
    return (
        f"from session_usage l where +l.session {listed} (select value from json_each(?)){only}",  # noqa: S608
        values,
    )


def by_thread(wanted: Filter, *, few: bool = False) -> tuple[str, list[Any]]:
    """The same with their sessions `s`; where only `few` threads are asked for, from those on."""
    source, values = sessions_of(wanted, led=not few)
    tables, _, where = source.partition(" where ")
    if tables == "from session_usage l":
        tables = "from session s cross join session_usage l on l.session = s.id"
    else:
        tables += " cross join session s on s.id = l.session"
    return f"{tables} where s.thread is not null and {where}", values


def _listed(wanted: Filter) -> bool:
    """Whether such a filter's sessions are few: of many an index soon leads to enough calls."""
    seen = wanted.found
    few = seen is not None and not seen.but and seen.sessions.count(",") < _MOST_LISTED
    return few and by_sessions(wanted)


def _topmost(connection: Any, wanted: Filter, page: Page, after: tuple[Any, ...]) -> str:
    """The sessions with the first calls by a measure, where those have few calls."""
    seen, left = wanted.found, _FEW_READ
    only, given = _kept(wanted)
    need = page.offset + page.limit + 1
    sessions: list[int] = []
    last = None
    for session, top, calls, beyond in connection.execute(
        f"select l.session, l.top_{page.sort}, l.calls, l.top_{page.sort} > ? "  # noqa: S608
        "from json_each(?) e cross join session_usage l on l.session = e.value "
        f"where 1{only} order by 2 desc",
        (after[0] if after else _END, seen.sessions if seen else "[]", *given),
    ):
        # Each holds a call of the page at least, unless its first lies before the page.
        if need <= 0 and top != last:
            break
        # One at the cursor may have shown all of its calls that are worth as much.
        need -= 0 if beyond or (after and top == after[0]) else 1
        last = top
        sessions.append(session)
        left -= calls
        if left < 0:
            return "1"  # an index leads to the first calls sooner
    return f"{_AMONG}{','.join(map(str, sessions))})"


def _nearest(connection: Any, wanted: Filter, page: Page, at: int | None) -> str:
    """The days that surely hold the page, walked from its beginning on: their sessions when those
    are few, else their time.
    """
    source, given = slices.summed(wanted)
    if "from stretch" not in source:
        return "1"
    # Days in their order; the indexes of headings would have them all sorted first.
    for heading in (*_HEADINGS, "account"):
        source = source.replace(f"l.{heading}", f"+l.{heading}")
    need, last = page.offset + page.limit + 1, None
    seen: list[Stretch] = []
    way, sign = ("desc", 1) if page.descending else ("asc", -1)
    left = need
    for day, session, calls, first_at, last_at in connection.execute(
        f"select l.day, l.session, l.calls, l.first_at, l.last_at {source} order by l.day {way}",  # noqa: S608
        given,
    ):
        if left <= 0 and day != last:
            break
        near, far = (last_at, first_at) if page.descending else (first_at, last_at)
        # What lies across the cursor may hold a row of the page, but is not counted on.
        if at is None or sign * far <= sign * at:
            beyond = at is None or sign * near < sign * at
            seen.append((sign * far, sign * near, calls if beyond else 0, session))
            left -= calls if beyond else 0
            last = day
    return _within(seen, need, sign)


Stretch = tuple[int, int, int, int]  # its end and beginning on the way, calls, session


def _within(seen: list[Stretch], need: int, sign: int) -> str:
    """Where the first calls on the way lie, of stretches that hold at least as many."""
    seen.sort(reverse=True)
    end = seen[-1][0] if seen else 0
    for far, _, calls, _ in seen:
        need -= calls
        if need <= 0:
            end = far
            break
    sessions = {session for _, near, _, session in seen if near >= end}
    if seen and (0 in sessions or len(sessions) > _SEVERAL):
        low, high = sorted((sign * end, sign * max(near for _, near, _, _ in seen)))
        return f"c.started_at between {low} and {high}"
    return f"{_AMONG}{','.join(map(str, sessions))})"


def _newest(connection: Any, wanted: Filter, page: Page, order: sorting.Order) -> str:
    """The newest days of the models, efforts, projects or accounts that the page shows."""
    after = order.after
    parts: list[str] = []
    newest = Page(limit=page.limit, offset=page.offset)
    at = titled.moment(after[0], page.descending) if after else None
    for name, calls in _headings(connection, wanted, page, order):
        only = replace(wanted, **{f"{page.sort}s": (name,)})  # type: ignore[arg-type]
        lead = _nearest(connection, only, newest, at)
        if lead == "1":
            return lead
        parts.append(lead)
        # Of the one at the cursor it is not known how many are left.
        newest = replace(newest, limit=newest.limit - (calls if at is None else 0))
        at = None
        if newest.offset + newest.limit < 0:
            break
    return f"({' or '.join(parts or ['0'])})"


def _headings(
    connection: Any, wanted: Filter, page: Page, order: sorting.Order
) -> Iterable[tuple[str, int]]:
    """The headings from the page's beginning on, with how many calls each has."""
    if page.sort != "account":
        return titled.headings(connection, wanted, page.sort, order.after, page.descending)
    listed = titled.headings(connection, wanted, page.sort, (), page.descending)
    known = sorted(
        ((order.place(name), name, calls) for name, calls in listed), reverse=page.descending
    )
    first = str(order.after[0]).rpartition(titled.GAP)[0] if order.after else None
    return [
        (name, calls)
        for place, name, calls in known
        if first is None or (place <= first if page.descending else place >= first)
    ]


def _in_sessions(connection: Any, wanted: Filter) -> str:
    """A condition that leads to few calls among many; without one they are read in order."""
    source, given = slices.summed(wanted)
    found = connection.execute(
        f"select distinct l.session {source} limit {_SESSIONS + 1}",  # noqa: S608
        given,
    ).fetchall()
    sessions = [int(session) for (session,) in found]
    if 0 in sessions or len(sessions) > _SESSIONS:  # 0: calls that have no session
        return "1"
    return f"{_AMONG}{','.join(map(str, sessions))})"


def options() -> dict[str, list[str]]:
    """What can be filtered by; read from the rollups, so that it costs nothing."""
    slices.refresh()
    named: dict[str, list[str]] = {"model": [], "project": [], "account": []}
    for heading, name in db.rows(
        "select distinct heading, name from daily_usage where name != '' order by name"
    ):
        named[heading].append(name)
    efforts = [row[0] for row in db.rows(finding.EFFORTS)]
    return {
        "models": named["model"],
        "efforts": sorted(efforts),
        "projects": named["project"],
        "accounts": named["account"],
    }


_HEADINGS = ("model", "effort", "project")
# From here on a sort needs an index of its own; below, reading all calls is as quick.
_MANY = 50_000


def _indexes() -> dict[str, str]:
    """The indexes of a large ledger: their names, and what they are made on."""
    # All that sums by a heading are made of, in its order; of threads also when they were last
    # at work.
    summed = "archived, calls, input, cached, output, reasoning, cost, unpriced, estimated, credits"
    summed += ", last_at"
    return {
        **{f"call_by_{sort}": f"call({SORTS[sort].replace('c.', '')})" for sort in sorting.INDEXED},
        **{f"session_by_{column}": f"session({column})" for column in finding.COLUMNS},
        **{f"stretch_of_{name}": f"stretch({name}, session, {summed})" for name in _HEADINGS},
        **{f"call_before_by_{name}": f"call_before({name})" for name in ("gap", "tokens")},
        "stretch_estimated": "stretch(day, provider, archived, estimated) where estimated > 0",
        # A year's chart by project, of which most rows are read.
        "daily_by_name": "daily_usage(heading, day, name, provider, calls, input, output)",
    }


def keep() -> None:
    """A scheduler job: the rollups, and indexes for the sorts of a large ledger."""
    from server.usage import threads  # here, as it builds upon this module

    slices.keep()
    threads.keep()
    before.keep()
    if db.rows("select total(calls) from daily_usage where heading = 'model'")[0][0] < _MANY:
        return
    known = dict(db.rows("select name, sql from sqlite_master where type = 'index'"))
    for name, columns in _indexes().items():
        made = f"CREATE INDEX {name} on {columns}"
        if known.get(name) == made:
            continue
        with db.writing() as connection:
            connection.execute(f"drop index if exists {name}")  # of what it was made on before
            connection.execute(made)


@slices.moment()
def one(name: str) -> dict[str, Any]:
    """A call with its neighbours in the session. Raises `NotFound`."""
    found = db.rows(f"select {_COLUMNS} {_FROM} where c.id = ?", (name,))  # noqa: S608
    if not found:
        raise NotFound("There is no such call. It may have been read anew; go back to the list.")
    row = _row(found[0])
    last = db.rows(_NEAR.format("<", "desc"), (name,))
    after = db.rows(_NEAR.format(">", "asc"), (name,))
    previous = db.rows(f"select {_COLUMNS} {_FROM} where c.id = ?", last[0]) if last else []  # noqa: S608
    running, kind = row["cumulativeTokens"], found[0][25]
    helper = kind in ("subagent", "review")
    return {
        **row,
        **ratesources.of(row["model"]),
        **_place(name),
        "previous": last[0][0] if last else None,
        "next": after[0][0] if after else None,
        "recommendations": recommendations.recommend(
            row, thresholds.current(), running=running, helper=helper
        ),
        "flags": recommendations.flags(row),
        "cacheLabel": recommendations.cache_label(row, _row(previous[0]) if previous else None),
    }


def _place(name: str) -> dict[str, Any]:
    """Where the call's work was: the folder, its branch, and what the user calls it."""
    found = db.rows(
        "select s.cwd, s.branch, s.project from call c join session s on s.id = c.session "
        "where c.id = ?",
        (name,),
    )
    cwd, branch, project = found[0] if found else (None, None, None)
    try:
        given = ownfiles.read("projects.json")
    except AppError:
        given = {}
    known = projects.known()
    tags = list(projects.tags(given, known.roots).get(known.of(project or ""), ()))
    place = projects.place(cwd, projects.ignored(given))
    return {"cwd": cwd, "branch": branch, "tags": tags, **place}


# The neighbours in the thread; the row's own session where it has no thread.
_NEAR = (
    "select c.id from call c where c.session in (select y.id from session x join session y on "
    "y.thread = x.thread where x.id = (select session from call where id = ?1)) and "
    "(c.started_at, c.id) {0} (select started_at, id from call where id = ?1) "
    "order by c.started_at {1}, c.id {1} limit 1"
)


def conditions(wanted: Filter) -> tuple[str, list[Any]]:
    """The condition on a call (`c`, its session `s`, its thread `t`), and its values."""
    parts: list[str] = ["1"]
    values: list[Any] = []
    seen = finding.found(wanted).found
    if seen is not None:
        condition, given = seen.condition("c")
        parts.append(condition)
        values += given
    unnamed = "" in wanted.models  # calls whose log names no model
    for column, names in (
        ("coalesce(c.model, '')" if unnamed else "c.model", wanted.models),
        ("c.effort", wanted.efforts),
        ("s.project", wanted.projects),
        ("c.account", wanted.accounts),
    ):
        if names:
            parts.append(f"{column} in ({','.join('?' * len(names))})")
            values += names
    for condition, value in (
        ("c.provider = ?", wanted.provider),
        ("c.price_status = ?", wanted.price_status),
        ("s.thread = ?", wanted.thread),
        ("s.key = ?", wanted.session),
        ("c.started_at >= ?", wanted.since),
        ("c.started_at < ?", wanted.until),
    ):
        if value not in ("", None):
            parts.append(condition)
            values.append(value)
    if wanted.history:
        parts.append(slices.ACTIVE)
    _narrow(wanted, parts, values)
    return " and ".join(parts), values


def _narrow(wanted: Filter, parts: list[str], values: list[Any]) -> None:
    """What is asked of single calls: how large they are, a fact about them, a preset."""
    for order, least in (("tokens", wanted.least_tokens), ("credits", wanted.least_credits)):
        if least:
            parts.append(f"{SORTS[order]} >= ?")
            values.append(least)
    if wanted.fact:
        condition, given = behind.condition(wanted.fact)
        parts.append(condition)
        values += given
    if wanted.preset in PRESETS:  # the dearest are an order alone
        limits = thresholds.current()
        # Named places would not mix with the others; a threshold is a number of ours.
        parts.append(_PLACED.sub(lambda name: repr(limits[name[1]]), PRESETS[wanted.preset]))


_SUMMED = (
    "total(calls), total(input), total(cached), total(output), total(reasoning), total(cost), "
    "total(unpriced), total(estimated), sum(credits)"
)
_OF_EACH = _SUMMED.replace("(", "(l.")
_SINGLY = (
    "count(*), total(c.input), total(c.cached), total(c.output), total(c.reasoning), "
    "total(c.cost), total(c.cost is null), total(c.price_status = 'estimated'), sum(c.credits)"
)
Sums = tuple[Any, ...]


def _sums(connection: Any, wanted: Filter, where: str, values: list[Any]) -> Sums:
    """What `totals` writes, of all that the filter finds."""
    seen = wanted.found
    if seen is not None and seen.calls:
        rest = replace(wanted, found=replace(seen, calls=()))
        if slices.whole(rest):
            condition, given = seen.condition("l")
            named = (json.dumps(seen.calls), *values, *given)
            alone = connection.execute(
                f"select {_SINGLY} {_FROM} where c.id in (select value from json_each(?)) "  # noqa: S608
                f"and {where} and not coalesce({condition.replace('l.', 'c.')}, 0)",
                named,
            ).fetchone()
            return _together(_sums(connection, rest, where, values), alone)
    rest = replace(wanted, text="", meant=(), found=None)
    if seen is not None and slices.bare(replace(rest, provider="")) and not seen.calls:
        if seen.but:
            return _together(_everything(connection, wanted), _left_out(connection, wanted), -1)
        if not (seen.models and seen.efforts):
            return _of_text(connection, wanted, seen)
    only = _heading(wanted)
    if only is not None:
        return _headed(connection, wanted, *only)
    if slices.whole(wanted):
        source, given = slices.summed(wanted)
        sql = f"select {_SUMMED} {source}"  # noqa: S608
    else:
        sql, given = f"select {_SINGLY} {_FROM} where {where}", values  # noqa: S608
    sums: Sums = connection.execute(sql, given).fetchone()
    return sums


def of_sessions(connection: Any, wanted: Filter) -> Sums:
    """What `totals` writes, of those of a filter's calls that belong to a session."""
    only = _heading(wanted)
    if only is not None:
        return _together(_headed(connection, wanted, *only), _loose(connection, wanted), -1)
    seen = wanted.found
    if seen is not None and by_sessions(wanted):
        found = _of_sessions(connection, wanted, seen)
        if seen.but:
            rest = replace(wanted, text="", meant=(), found=None)
            return _together(of_sessions(connection, rest), found, -1)
        return found
    source, values = slices.summed(wanted)
    sql = f"select {_OF_EACH} {source} and l.session != 0"  # noqa: S608
    sums: Sums = connection.execute(sql, values).fetchone()
    return sums


def _loose(connection: Any, wanted: Filter) -> Sums:
    """The sums of those of a filter's calls that belong to no session."""
    source, values = slices.summed(replace(wanted, text="", meant=(), found=None))
    for heading in _HEADINGS:  # the session leads to fewer
        source = source.replace(f"l.{heading}", f"+l.{heading}")
    sql = f"select {_SUMMED} {source} and l.session = 0"  # noqa: S608
    found: Sums = connection.execute(sql, values).fetchone()
    return found


def _everything(connection: Any, wanted: Filter) -> Sums:
    return _headed(connection, wanted, "provider", ())


def _headed(connection: Any, wanted: Filter, heading: str, names: tuple[str, ...]) -> Sums:
    """The sums of all calls of a provider, or of some names under a heading, of few rows."""
    only = f" and name in ({_marks(names)})" if names else ""
    only += (" and provider = ?" if wanted.provider else "") + slices.kept(wanted)
    found: Sums = connection.execute(
        "select total(calls), total(input), total(cached), total(output), total(reasoning), "  # noqa: S608
        "total(cost), total(unpriced), total(estimated), "
        "iif(total(rated) > 0, sum(credits), null) "
        f"from heading_usage where heading = ?{only}",
        (heading, *names, *([wanted.provider] if wanted.provider else [])),
    ).fetchone()
    return found


def _heading(wanted: Filter) -> tuple[str, tuple[str, ...]] | None:
    """The one heading that a filter narrows by, and its names; None when there is more to it."""
    named = [
        (heading, names)
        for heading, names in (
            ("model", wanted.models),
            ("effort", wanted.efforts),
            ("project", wanted.projects),
            ("account", wanted.accounts),
        )
        if names
    ]
    rest = replace(wanted, provider="", models=(), efforts=(), projects=(), accounts=())
    if len(named) > 1 or not slices.bare(rest):
        return None
    return named[0] if named else ("provider", ())


def _left_out(connection: Any, wanted: Filter) -> Sums:
    """The sums of what a text that most sessions have is not in."""
    seen = wanted.found
    if seen is None:
        return (0,) * 8 + (None,)
    if seen.plain:
        return _together(_of_sessions(connection, wanted, seen), _loose(connection, wanted))
    named = (*seen.models, *seen.efforts)
    only, given = _kept(wanted)
    found: Sums = connection.execute(
        f"select {_SUMMED} from stretch l where (session = 0 or session in "  # noqa: S608
        f"(select value from json_each(?))) and model not in ({_marks(seen.models)}) "
        f"and effort not in ({_marks(seen.efforts)}){only}",
        (seen.sessions, *named, *given),
    ).fetchone()
    return found


def _sure(lead: str, wanted: Filter, page: Page) -> bool:
    """Whether a lead names sessions that a text was found in, and nothing but that finds calls."""
    only_sessions = wanted.found is not None and wanted.found.plain
    return only_sessions and page.sort != "thread" and lead.startswith(_AMONG)


def _kept(wanted: Filter) -> tuple[str, list[Any]]:
    """` and …`: the rows of a rollup `l` that are of the filter's provider and history."""
    provider = [wanted.provider] if wanted.provider else []
    return (" and l.provider = ?" if provider else "") + slices.kept(wanted, "l."), provider


def _of_text(connection: Any, wanted: Filter, seen: slices.Found) -> Sums:
    """The sums of where a text was found: of models or of efforts, and of what else the sessions
    with it hold.
    """
    if seen.plain:
        return _of_sessions(connection, wanted, seen)
    heading, names = ("model", seen.models) if seen.models else ("effort", seen.efforts)
    only, given = _kept(wanted)
    others = connection.execute(
        f"select {_OF_EACH} from json_each(?) e cross join stretch l on l.session = e.value "  # noqa: S608
        f"where l.{heading} not in ({_marks(names)}){only}",
        (seen.sessions, *names, *given),
    ).fetchone()
    return _together(_headed(connection, wanted, heading, names), others)


def _of_sessions(connection: Any, wanted: Filter, seen: slices.Found) -> Sums:
    """The sums of sessions that are known, each of which is one row."""
    source, values = sessions_of(replace(wanted, found=replace(seen, but=False)))
    found: Sums = connection.execute(f"select {_OF_EACH} {source}", values).fetchone()  # noqa: S608
    return found


def _marks(named: tuple[str, ...]) -> str:
    return ",".join("?" * len(named))


def _together(one: Sums, other: Sums, sign: int = 1) -> Sums:
    """Sums added up, or with -1 taken away; credits stay unknown where nothing has them."""
    known = [credits for credits in (one[-1], other[-1]) if credits is not None]
    credits = None if not known else (one[-1] or 0) + sign * (other[-1] or 0)
    if sign < 0 and not credits:
        credits = None if one[-1] is None or other[-1] else one[-1]
    return (*(a + sign * b for a, b in zip(one[:-1], other[:-1], strict=True)), credits)


def totals(sums: tuple[Any, ...]) -> dict[str, Any]:
    """Sums as `_SUMMED` has them, as the API writes them."""
    *counted, credits = sums
    calls, first, cached, output, reasoning, cost, unpriced, estimated = map(int, counted)
    return {
        "calls": calls,
        "input": first,
        "cachedInput": cached,
        "uncachedInput": first - cached,
        "output": output,
        "reasoningOutput": reasoning,
        "totalTokens": first + output,
        "costUsd": cost_usd(cost, calls, unpriced),
        "unpriced": unpriced,
        "estimated": estimated,
        "credits": None if credits is None else credits / 1e6,
    }


def told_reasoning(provider: str, reasoning: int) -> int | None:
    """The reasoning tokens; None for Claude, whose logs do not tell them apart from the output."""
    return None if provider == "claude" and not reasoning else reasoning


def cost_usd(cost: int, calls: int, unpriced: int) -> float | None:
    """Dollars; None when there are calls and none of them has a price."""
    return None if calls and unpriced >= calls else cost / 1e6


def _row(values: tuple[Any, ...]) -> dict[str, Any]:
    (name, at, provider, session, thread, title, project, model, effort, initiator, duration) = (
        values[:11]
    )
    first, cached, output, reasoning, written, window, cost, status, credits = values[11:20]
    account, seen, request, gap = values[20:24]
    credit_model, confidence = pricing.credit_rate(model)
    row = {
        "id": name,
        "at": iso(at),
        "provider": provider,
        "sessionId": session,
        "threadId": thread,
        "threadTitle": title,
        "project": project,
        "model": model,
        "effort": effort,
        "tier": values[27],
        "initiator": initiator,
        # Whose work within the thread it was: its own, or that of which helper.
        "kind": kind(values[25]),
        "role": values[28],
        "durationMs": duration,
        "inputTokens": first,
        "cachedInputTokens": cached,
        "uncachedInputTokens": first - cached,
        "cacheWriteTokens": written,
        "cacheWrite1hTokens": values[26],
        "outputTokens": output,
        "reasoningTokens": told_reasoning(provider, reasoning),
        "totalTokens": first + output,
        "cacheRatio": cached / first if first else None,
        "cumulativeTokens": values[29],
        "contextPercent": 100 * first / window if window else None,
        "costUsd": None if cost is None else cost / 1e6,
        "priceStatus": status,
        "credits": None if credits is None else credits / 1e6,
        "creditModel": credit_model,
        "creditConfidence": confidence,
        "accountId": account,
        "witnesses": [word for bit, word in _WITNESSES if seen & bit],
        "requestId": request,
        "gapMs": gap,
    }
    row["attention"] = recommendations.attention(row)
    return row


_KINDS = ("subagent", "review", "title")


def kind(session: str | None) -> str:
    """The word for a session's kind: a thread's own work, or that of a helper."""
    return session if session in _KINDS else "main"
