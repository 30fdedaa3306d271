"""Lists of threads with their sums, and one thread's story."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from heapq import nlargest
from typing import Any, NamedTuple

from server.errors import NotFound
from server.sentences import say
from server.store import db
from server.times import iso
from server.usage import (
    afresh,
    calls,
    finding,
    names,
    recommendations,
    slices,
    textthreads,
    thresholds,
    titled,
)
from server.usage.calls import Page
from server.usage.days import QUARTER
from server.usage.slices import Filter
from server.usage.threadsums import COLUMNS, TITLING, TOTALS
from server.usage.threadsums import SORTS as SORTS

_MOST_POINTS = 400  # of the session that a thread's story is about
_MOST_OTHERS = 2000  # of all its others
_TREND = 5  # calls at each end that a trend compares

_WINDOWS = TOTALS.replace(")", ") over ()")
_MEASURED = 10  # columns of TOTALS
_NEVER = 1 << 62
_SESSIONS = 4  # of a thread
_ACROSS = "w.last_at >= ? and w.first_at < ? and (w.first_at < ? or w.last_at >= ?)"
_AS = re.compile(r"\bas (\w+)")
_AS_G = re.compile(r"\bg\.(\w+)")
_MANY = 2000  # from here on a sort needs an index of its own
_HAVING = {
    "context-bloat": "g.grown > 0",
    "context-full": "g.bloat > 0",
    "cache-misses": "g.misses > 0",
    "pricing-gaps": "g.unpriced > 0",
    "estimated-review": "g.estimated > 0",
    "usage-credits": "coalesce(g.credits, 0) > 0",
    "reasoning-spike": "g.spikes > 0",
}


@slices.moment()
def search(wanted: Filter, page: Page, *, titling: bool = True) -> dict[str, Any]:
    """One page of threads, each with the sums of its filtered calls, and the sums of all.

    Without `titling` those that only find a title are left out, and counted.
    """
    slices.refresh()
    after = calls.read_cursor(page.cursor, page) if page.cursor else ()
    with _text(wanted) as (wanted, known):
        return _page(wanted, page, after, titling, known)


def _page(
    wanted: Filter, page: Page, after: tuple[Any, ...], titling: bool, known: names.Names | None
) -> dict[str, Any]:
    groups: _Groups | textthreads.Threads
    if known is not None:
        groups = textthreads.Threads(wanted, known, titling=titling)
        need = page.offset + page.limit + 1
        found = groups.first(page.sort, need, after, descending=page.descending)[page.offset :]
        sums = (len(groups), *groups.sums())
    else:
        groups = _Groups(wanted, page.sort, titling=titling)
        found, sums = _grouped_page(groups, page, after)
    more = len(found) > page.limit
    found = found[: page.limit]
    totals = calls.totals(sums[1:])
    told = calls.told_reasoning(wanted.provider, totals["reasoningOutput"])
    return {
        "threads": _rows(groups.rows([thread for _, thread in found])),
        "total": sums[0],
        "totals": totals | {"reasoningOutput": told},
        "hasMore": more,
        "nextCursor": calls.cursor(found[-1][0], found[-1][1], page) if more else None,
        "leftOut": groups.apart,
    }


# How many threads there are, the dearest, and those that ask most for attention.
Outstanding = tuple[int, dict[str, Any] | None, list[dict[str, Any]]]
Places = list[tuple[Any, ...]]  # what each is ordered by, and the thread


def _grouped_page(
    groups: _Groups, page: Page, after: tuple[Any, ...]
) -> tuple[Places, tuple[Any, ...]]:
    """The threads of a page and one more, and the number and sums of all."""
    order, name = groups.order, groups.name
    way, beyond = ("desc", "<") if page.descending else ("asc", ">")
    paged = f" and ({order}, {name}) {beyond} (?, ?)" if after else ""
    with db.reading() as connection:
        # The groups are made once: for rows and number, and where that needs them for all sums.
        extra = "0" if page.cursor or not groups.prefix else groups.windows
        found = connection.execute(
            f"{groups.prefix} select {order}, g.thread, {extra} {groups.tail}"  # noqa: S608
            f"{paged} order by {order} {way}, {name} {way} limit ? offset ?",
            (*groups.values, *after, page.limit + 1, page.offset),
        ).fetchall()
        sums: tuple[Any, ...] = found[0][2:] if found and extra != "0" else ()
        if len(sums) < _MEASURED:
            sums = (*sums, *groups.sums(connection, counted=bool(sums)))
    return [row[:2] for row in found], sums


@contextmanager
def _text(wanted: Filter) -> Iterator[tuple[Filter, names.Names | None]]:
    """The filter with its text looked up, unless that is in every thread's title; and, if that is
    all that is needed, as for models and efforts, the sessions in memory.
    """
    rest = replace(wanted, text="", meant=(), found=None)
    asked = wanted.text or wanted.models or wanted.efforts
    if not asked or (wanted.text and slices.bare(rest) and _everywhere(wanted)):
        yield wanted, None
        return
    with names.known() as known:
        wanted = finding.found(wanted, listed=False, mixed=True)
        if textthreads.does(wanted):
            yield wanted, known
            return
    yield wanted, None


def outstanding(wanted: Filter, count: int) -> Outstanding:
    """How many threads the filter finds, the dearest, and those that ask most for attention."""
    groups = _Groups(wanted, "attention", "cost")
    if groups.prefix:
        ranked = db.rows(
            f"{groups.prefix} select g.thread, {SORTS['attention']}, {SORTS['cost']} {groups.tail}",  # noqa: S608
            groups.values,
        )
        number = len(ranked)
        first = max(ranked, key=lambda row: (row[2], row[0]), default=None)
        dear = [] if first is None else [first[0]]
        asking = [row[0] for row in nlargest(count, ranked, key=lambda row: (row[1], row[0]))]
    else:
        number = int(db.rows(f"select count(*) {groups.tail}", groups.values)[0][0])  # noqa: S608
        dear, asking = groups.best("cost", 1), groups.best("attention", count)
    rows = {row["id"]: row for row in _rows(groups.rows(list({*dear, *asking})))}
    return number, rows[dear[0]] if dear else None, [rows[name] for name in asking]


def outstanding_of(held: textthreads.Threads, count: int) -> Outstanding:
    """The same of the threads of a text."""
    dear = [thread for _, thread in held.first("cost", 1)]
    asking = [thread for _, thread in held.first("attention", count)]
    rows = {row["id"]: row for row in _rows(held.rows(list({*dear, *asking})))}
    return len(held), rows[dear[0]] if dear else None, [rows[name] for name in asking]


def keep() -> None:
    """A scheduler job: indexes for the sorts of a large ledger, and its sessions in memory."""
    if db.rows("select count(*) from thread_usage")[0][0] < _MANY:
        return
    known = {name for (name,) in db.rows("select name from sqlite_master where type = 'index'")}
    titled.keep()
    names.keep()
    for sort, order in SORTS.items():
        name = f"thread_by_{sort}"
        if name not in known and sort != "thread":
            with db.writing() as connection:
                connection.execute(
                    f"create index {name} on thread_usage({order.replace('g.', '')}, thread, "
                    "everything, active)"
                )


@slices.moment()
def one(name: str) -> dict[str, Any]:
    """A thread with its sessions, curves and lifecycle. Raises `NotFound`."""
    slices.refresh()
    found = db.rows(
        f"select {COLUMNS} from thread_usage g where g.everything and g.thread = ?",  # noqa: S608
        (name,),
    )
    if not found:
        raise NotFound("There is no such thread, or it has no calls. Go back to the list.")
    story = [
        Told(*row)
        for row in db.rows(
            "select c.id, c.started_at, c.input, c.cached, c.output, c.context_window, c.cost, "
            "c.initiator, s.kind, s.key from session s join call c on c.session = s.id "
            "where s.thread = ? order by c.started_at, c.id",
            (name,),
        )
    ]
    own = main_session(story, name)
    return {
        **_rows(found)[0],
        "sessionList": _sessions(name),
        "ownSessionId": own,
        "curve": _curve(story, own),
        "lifecycle": lifecycle(story, thresholds.current(), own),
        "advice": afresh.advice(_own(story), thresholds.current()),
    }


class _Groups:
    """The filter's calls by thread, as `g`: the threads' own rollup where that suffices.

    `prefix` is a `with …` or nothing, `tail` the `from … where …`; only what the order, the
    filter and the sums of all need is summed up, as a page shows few of the threads.
    """

    def __init__(self, wanted: Filter, *sorts: str, titling: bool = True) -> None:
        self.prefix, self.picky, self.spanned, self.recent = "", False, False, False
        self.values: list[Any] = []
        self._everywhere = self._among_sessions = False
        self._wanted = wanted
        self._part = slices.part(wanted)
        rest = replace(self._rest, provider="", found=None)
        source, parts, given = "from g", ["1"], list[Any]()
        plain = slices.bare(rest)
        if wanted.text:
            self._look_up(plain)
        if not plain or (wanted.text and not self._everywhere):
            self._sum_up(rest, [SORTS[sort] for sort in sorts])
        else:
            source, parts = "from thread_usage g", [f"g.{self._part}"]
            if wanted.provider:
                parts.append("g.provider = ?")
                given.append(wanted.provider)
        self.order, self.name, beside = _ordered(sorts[0], wanted.names, bool(self.prefix))
        source += beside
        if wanted.thread:
            parts.append("g.thread = ?")
            given.append(wanted.thread)
        if wanted.preset in _HAVING:
            parts.append(_HAVING[wanted.preset])
        self.apart = 0 if titling else self._left_out()[0]
        if self.apart:
            parts.append(f"g.thread not in ({TITLING})")
        # Whether these are all threads, of which other rollups tell the sums in a few rows.
        known = {f"g.{self._part}", "1", f"g.thread not in ({TITLING})"}
        self.every = not self.prefix and {*parts} <= known
        self.tail = f"{source} where {' and '.join(parts)}"
        self.values += given

    def _look_up(self, plain: bool) -> None:
        """Where the filter's text is; of a filter that asks no more, whether sessions tell it."""
        if plain and _everywhere(self._wanted):
            self._everywhere = True
            self._wanted = replace(self._wanted, found=None)
            return
        self._wanted = finding.found(self._wanted)
        self._among_sessions = plain and calls.by_sessions(self._rest)

    def _sum_up(self, rest: Filter, needed: list[str]) -> None:
        """Make the groups that the threads' own rollup does not hold."""
        having = self._wanted.preset in _HAVING
        text = self._wanted.text and not self._among_sessions
        self.picky = bool(text or having or self._wanted.thread)
        if not self._wanted.text and slices.bare(replace(rest, since=None, until=None)):
            self.recent = not self.picky and self._to_the_end(needed)
            self.spanned = not self.recent and self._inside()
            self.picky |= self.spanned
        if self.picky:
            needed += (TOTALS, _HAVING.get(self._wanted.preset, ""))
        grouped, self.values = self._grouped(" ".join(needed))
        self.prefix = f"with g as ({grouped})"

    @property
    def windows(self) -> str:
        """Beside each row: how many threads there are, and where only groups tell it, the sums."""
        return _WINDOWS if self.picky else "count(*) over ()"

    def best(self, sort: str, count: int) -> list[str]:
        """The first threads by a sort of the threads' own rollup; none where it does not do."""
        if self.prefix:
            return []
        found = db.rows(
            f"select g.thread {self.tail} order by {SORTS[sort]} desc, g.thread desc limit ?",  # noqa: S608
            (*self.values, count),
        )
        return [name for (name,) in found]

    def sums(self, connection: Any, *, counted: bool) -> tuple[Any, ...]:
        """How many threads there are, unless that is known, and their sums."""
        if self.every:
            listed = f"select count(*) from thread_usage g where g.{self._part}"  # noqa: S608
            count = connection.execute(listed).fetchone()[0] - self.apart
            return (count, *self._without(calls.of_sessions(connection, self._rest)))
        if counted and self.prefix and not self.picky:
            return self._without(calls.of_sessions(connection, self._rest))
        found: tuple[Any, ...] = connection.execute(*self._summed()).fetchone()
        if not self.prefix or self.picky:
            return found
        return (found[0] - self.apart, *self._without(found[1:]))

    def _without(self, sums: tuple[Any, ...]) -> tuple[Any, ...]:
        """Sums of all threads, without those that are left out."""
        if not self.apart:
            return sums
        *left, credits = self._left_out()[1:]
        # Where only those that are left out have credits, nobody knows of the others.
        rest = sums[-1] if credits is None else (sums[-1] or 0) - credits or None
        return (*(a - b for a, b in zip(sums[:-1], left, strict=True)), rest)

    def _left_out(self) -> tuple[Any, ...]:
        """How many of the threads only find a title, and their sums."""
        if not db.rows("select 1 from session where kind = 'title' limit 1"):
            return (0,)
        sums = TOTALS.replace("g.", "l.").partition(", ")[2]
        source, values = slices.summed(self._rest, joined=True)
        only = f"{_by_session(source)} and s.thread in ({TITLING})"
        return db.rows(f"select count(distinct s.thread), {sums} {only}", values)[0]  # noqa: S608

    def _summed(self) -> tuple[str, list[Any]]:
        if not self.prefix or self.picky:
            return f"{self.prefix} select {TOTALS} {self.tail}", self.values  # noqa: S608
        sums = TOTALS.replace("g.", "l.").partition(", ")[2]
        source, values = self._source()
        return f"select count(distinct s.thread), {sums} {source}", values  # noqa: S608

    def rows(self, threads: list[str]) -> list[tuple[Any, ...]]:
        """All that is known of some of the threads, in their order."""
        if not threads:
            return []
        marks = ",".join("?" * len(threads))
        if self.prefix:
            grouped, values = self._grouped(among=threads)
            sql = f"with g as ({grouped}) select {COLUMNS} from g"  # noqa: S608
        else:
            only = f"g.{self._part} and g.thread in ({marks})"
            sql = f"select {COLUMNS} from thread_usage g where {only}"  # noqa: S608
            values = threads
        found = {row[0]: row for row in db.rows(sql, values)}
        return [found[name] for name in threads if name in found]

    def _grouped(self, needed: str = "", among: Sequence[str] = ()) -> tuple[str, list[Any]]:
        """What sums calls up by thread; only the measures that `needed` names, if it names any,
        and only the threads `among`, if those are given.
        """
        if self.recent and not among:
            inside, values = self._span("w.last_at >= ?", bounds=1)
            return f"select w.thread as thread, w.last_at as last_at {inside}", values  # noqa: S608
        columns = slices.measures(needed=needed) or "sum(l.calls) as calls"
        kinds = f"{slices.KINDS}, " if not needed or "g.subagents" in needed else ""
        if not needed:
            kinds = f"min(l.provider) as provider, {kinds}"
        only = f" and s.thread in ({','.join('?' * len(among))})" if among else ""
        source, values = self._source()
        if self.spanned:
            source, values = self._across()
        elif among:
            source, values = self._of_some()
        if self._among_sessions:  # each is one row
            kinds = kinds.replace("distinct ", "")
        sql = (
            f"select s.thread as thread, {kinds}{columns} "  # noqa: S608
            f"{source}{only} group by s.thread"
        )
        values = [*values, *among]
        if not self.spanned:
            return sql, values
        # Most threads lie wholly within a span of time: their sums are known.
        named = ", ".join(f"w.{name}" for name in _AS.findall(f"{kinds}{columns}"))
        inside, bounds = self._span("w.last_at >= ? and w.last_at < ? and w.first_at >= ?")
        whole = f"select w.thread as thread, {named} {inside}"
        return f"{whole}{only.replace('s.', 'w.')} union all {sql}", [*bounds, *among, *values]

    def _to_the_end(self, needed: list[str]) -> bool:
        """Whether the filter's times end with the newest call, and no more of a thread is needed
        than when it was last at work: the threads' own rollup tells that.
        """
        if {*_AS_G.findall(" ".join(needed))} - {"last_at", "thread", "model", "effort"}:
            return False
        until = self._wanted.until
        newest = db.rows("select max(last_at) from thread_usage")[0][0]
        return newest is not None and (until is None or until > newest)

    def _inside(self) -> bool:
        """Whether few sessions are of threads that do not lie wholly within the filter's times."""
        among, values = self._span("w.last_at >= ? and w.first_at < ?", bounds=2)
        beyond = "iif(w.first_at < ? or w.last_at >= ?, w.sessions, 0)"
        sessions, count = db.rows(f"select total({beyond}), count(*) {among}", values[:2] + values)[
            0
        ]  # noqa: S608
        return bool(sessions < _SESSIONS * count)

    def _span(self, condition: str, bounds: int = 3) -> tuple[str, list[Any]]:
        """Threads by a condition on the quarters that the filter's times begin and end with."""
        since, until = self._wanted.since or 0, self._wanted.until
        first = since // QUARTER * QUARTER
        end = _NEVER if until is None else -(-until // QUARTER) * QUARTER
        return self._among(condition, [first, end, first][:bounds])

    def _among(self, condition: str, values: list[Any]) -> tuple[str, list[Any]]:
        """The threads' own rollup of the filter's history and provider, by a condition."""
        provider = self._wanted.provider
        only = f" and w.{self._part}{' and w.provider = ?' if provider else ''}"
        return (
            f"from thread_usage w where {condition}{only}",
            [*values, *([provider] if provider else [])],
        )

    def _across(self) -> tuple[str, list[Any]]:
        """The calls, within the filter's times, of threads that reach beyond those."""
        source, values = slices.summed(self._rest, joined=True)
        outside, bounds = self._span(_ACROSS)
        bounds.insert(3, bounds[1])
        return (
            f"{_by_session(source)} and s.thread in (select w.thread {outside})",
            [*values, *bounds],
        )

    def _source(self) -> tuple[str, list[Any]]:
        if self._among_sessions:
            return calls.by_thread(self._rest)
        source, values = slices.summed(self._rest, joined=True)
        return f"{source} and s.thread is not null", values

    def _of_some(self) -> tuple[str, list[Any]]:
        """The filter's calls, where the threads are few that they are asked of."""
        if self._among_sessions:
            return calls.by_thread(self._rest, few=True)
        source, values = self._source()
        return _by_session(source), values

    @property
    def _rest(self) -> Filter:
        return replace(self._wanted, text="", meant=(), names=True, preset="", thread="")


def _by_session(source: str) -> str:
    """What `slices.summed` joined, from the sessions on: of those there are few."""
    table, _, where = source.partition(" left join session s on s.id = l.session where ")
    return (
        f"from session s cross join {table.removeprefix('from ')} on l.session = s.id where {where}"
    )


def _ordered(sort: str, names: bool, summed_up: bool) -> tuple[str, str, str]:
    """What threads are ordered by, the name beside it, and the join that this needs."""
    if sort == "thread":
        if not names:
            return titled.of_threads(names), "g.thread", ""
        return titled.of_threads(names), "t.id", " join thread t on t.id = g.thread"
    if sort in ("model", "effort") and summed_up:
        # The same as is shown: of all the thread's calls, not of those that a filter finds.
        joined = " join thread_usage u on u.thread = g.thread and u.everything"
        return f"u.{sort}", "g.thread", joined
    return SORTS[sort], "g.thread", ""


_OTHERS = (
    "select 1 from thread_usage g left join thread t on t.id = g.thread "
    "where g.everything and not coalesce(t.title {}, 0) limit 1"
)


def _everywhere(wanted: Filter) -> bool:
    """Whether a text is in every thread's title, so that all their calls have it."""
    held = finding.holding(wanted.text)
    return wanted.names and not db.rows(_OTHERS.format(held.sql), (held.value,))


def _rows(found: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    names = [values[0] for values in found]
    marks = ",".join("?" * len(names))
    about = {
        row[0]: row[1:]
        for row in db.rows(f"select id, title, project from thread where id in ({marks})", names)  # noqa: S608
    }
    models, efforts = _tally("model", names), _tally("effort", names)
    relations = _relations(names)
    return [
        _row(values, about.get(values[0], (None, None)))
        | relations.get(values[0], dict.fromkeys(_RELATIONS, 0))
        | {"models": models.get(values[0], []), "efforts": efforts.get(values[0], [])}
        for values in found
    ]


_RELATIONS = ("directCalls", "spawnedCalls", "attachedCalls")


def _relations(threads: list[str]) -> dict[str, dict[str, int]]:
    """How many of a thread's calls are its own, of sessions that name their parent, and of those
    of which only folder and time tell it.
    """  # noqa: D205
    return {
        thread: dict(zip(_RELATIONS, map(int, counts), strict=True))
        for thread, *counts in db.rows(
            "select s.thread, "  # noqa: S608
            "total(l.calls * (s.attached is null and (s.parent is null or s.kind = 'user'))), "
            "total(l.calls * (s.attached is null and s.parent is not null and s.kind != 'user')), "
            "total(l.calls * (s.attached is not null)) "
            "from session s join slice l on l.session = s.id "
            f"where s.thread in ({','.join('?' * len(threads))}) group by s.thread",
            threads,
        )
    }


def _tally(column: str, threads: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for thread, name, count in db.rows(
        f"select s.thread, l.{column}, sum(l.calls) from session s join slice l "  # noqa: S608
        f"on l.session = s.id where s.thread in ({','.join('?' * len(threads))}) "
        f"group by 1, 2 order by {slices.LEAST.format(name=f'l.{column}')}, 3 desc, 2",
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
        "reasoningTokens": calls.told_reasoning(provider, reasoning),
        "totalTokens": first + output,
        "costUsd": calls.cost_usd(cost, count, unpriced),
        "unpriced": unpriced,
        "estimated": estimated,
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


_TITLES = {"title": say("thread.titling")}


def _sessions(thread: str) -> list[dict[str, Any]]:
    title = db.rows("select title from thread where id = ?", (thread,))
    return [
        {
            "id": key,
            "parentId": parent or attached,
            "attachment": "logged" if parent else "inferred" if attached else None,
            "kind": calls.kind(kind),
            "role": role,
            "title": title[0][0] if title and key == thread else _TITLES.get(kind),
            "startedAt": iso(first_at if started is None else started),
            "lastAt": iso(last_at if last_at is not None else ended),
            "calls": count or 0,
            "totalTokens": tokens or 0,
            "costUsd": calls.cost_usd(cost or 0, count or 0, unpriced or 0),
            "unpriced": unpriced or 0,
            "estimated": estimated or 0,
            "cacheRatio": cached / first if first else None,
        }
        for (
            key, parent, kind, role, started, ended, first_at, last_at, count, tokens, cost,
            unpriced, estimated, cached, first, attached,
        ) in db.rows(
            "select s.key, s.parent, s.kind, s.role, s.started_at, s.ended_at, min(l.first_at), "
            "max(l.last_at), sum(l.calls), sum(l.input + l.output), sum(l.cost), sum(l.unpriced), "
            "sum(l.estimated), sum(l.cached), sum(l.input), s.attached from session s "
            "left join slice l on l.session = s.id "
            "where s.thread = ? group by s.id order by coalesce(s.started_at, min(l.first_at))",
            (thread,),
        )
    ]  # fmt: skip


class Told(NamedTuple):
    """A call of a thread, as its story tells it."""

    id: str
    at: int
    input: int
    cached: int
    output: int
    window: int | None
    cost: int | None
    initiator: str | None
    kind: str | None = None
    session: str = ""

    @property
    def full(self) -> float | None:
        """The share of its context window that was filled."""
        return self.input / self.window if self.window else None


Story = Sequence[Told]


def main_session(story: Story, thread: str) -> str:
    """The session whose context a thread's story is about: the thread's own, or, where that has
    no calls, the one with the most of them that is no helper's.
    """
    counts = Counter(call.session for call in story)
    if counts[thread]:
        return thread
    most = Counter(call.session for call in story if calls.kind(call.kind) == "main") or counts
    return max(most, key=lambda one: most[one], default="")


def _own(story: Story) -> list[afresh.Step]:
    """The calls of the thread's own conversation, without its helpers'."""
    return [
        afresh.Step(call.id, call.input, call.cached, call.window, call.initiator or "")
        for call in story
        if calls.kind(call.kind) == "main"
    ]


def _curve(story: Story, own: str = "") -> list[dict[str, Any]]:
    """Every call, or as many as a chart of a session can show: the first, the last, and each
    extreme. Each session has a context of its own.
    """
    sessions: dict[str, list[dict[str, Any]]] = {}
    total = 0
    for number, call in enumerate(story, 1):
        total += call.input + call.output
        sessions.setdefault(call.session, []).append(
            {
                "callId": call.id,
                "number": number,
                "at": iso(call.at),
                "sessionId": call.session,
                "cacheRatio": call.cached / call.input if call.input else None,
                "contextPercent": None if call.full is None else 100 * call.full,
                "totalTokens": call.input + call.output,
                "cumulativeTokens": total,
                "costUsd": None if call.cost is None else call.cost / 1e6,
            }
        )
    others = _MOST_OTHERS // max(1, len(sessions) - 1)
    kept = [
        point
        for session, points in sessions.items()
        for point in _extremes(points, _MOST_POINTS if session == own else others)
    ]
    return sorted(kept, key=lambda point: point["number"])


def _extremes(points: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Of equal stretches of the calls, the lowest and highest points of either line."""
    if len(points) <= min(most, _MOST_POINTS):
        return points
    stretches = max(0, min(most, _MOST_POINTS) - 2) // 4
    kept = {0, len(points) - 1}
    for stretch in range(stretches):
        begin, end = (len(points) * edge // stretches for edge in (stretch, stretch + 1))
        for line in ("cacheRatio", "contextPercent"):
            known = [n for n in range(begin, end) if points[n][line] is not None]
            if known:
                kept |= {pick(known, key=lambda n: points[n][line]) for pick in (min, max)}
    return [points[number] for number in sorted(kept)]


def lifecycle(story: Story, limits: dict[str, float], own: str = "") -> list[dict[str, Any]]:
    """What mattered in a thread's life, oldest call first: only what applies.

    What is said of cache and context is of the session `own` alone: a helper has its own.
    """
    mine = [call for call in story if call.session == own]
    found = [_expensive(story, limits, own), _jump(story), *_trends(mine)]
    jump = found[1]
    if jump is not None:
        found.append(_helper_before(story, jump["callId"]))
    compactions = sum(call.initiator == "compaction" for call in mine)
    if compactions:
        found.append(_signal("compactions", value=compactions))
    return [signal for signal in found if signal is not None]


def _signal(key: str, call: Told | None = None, **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "callId": call.id if call else None,
        "at": iso(call.at) if call else None,
        "from": None,
        "to": None,
        "value": None,
        **more,
    }


def _expensive(story: Story, limits: dict[str, float], own: str) -> dict[str, Any] | None:
    """The first turn that was dear; or, in `to`, how full the context was that made it so."""
    for call in story:
        if (call.cost or 0) / 1e6 >= limits["high_cost_usd"] > 0:
            return _signal("first-expensive-turn", call, value=(call.cost or 0) / 1e6)
        filled = call.full or 0
        if call.session == own and filled >= limits["high_context_percent"] > 0:
            return _signal("first-expensive-turn", call, to=100 * filled)
    return None


def _jump(story: Story) -> dict[str, Any] | None:
    if len(story) < 2:
        return None
    call = max(story, key=lambda one: one.input + one.output)
    return _signal("largest-jump", call, value=call.input + call.output)


def _trends(story: Story) -> list[dict[str, Any]]:
    cache = [call.cached / call.input for call in story if call.input]
    context = [100 * call.full for call in story if call.full is not None]
    found = []
    # The context's are read off a curve that begins and ends with them.
    filled = (context[0], context[-1]) if context else (0, 0)
    shares = _ends(cache) if len(cache) > 1 else (0, 0)
    for key, (begin, end), least in (
        ("cache-trend", shares, 0.001),
        ("context-trend", filled, 0.1),
    ):
        if abs(end - begin) >= least:  # less would be told by the same words twice
            found.append(_signal(key) | {"from": begin, "to": end})
    return found


def _ends(values: list[float]) -> tuple[float, float]:
    """The means of some values at the start and at the end, so that one odd call says little."""
    size = max(1, min(_TREND, len(values) // 2))
    return sum(values[:size]) / size, sum(values[-size:]) / size


def _helper_before(story: Story, call: str) -> dict[str, Any] | None:
    for one in story:
        if one.id == call:
            return None
        if one.kind in ("subagent", "review"):
            return _signal("subagent-before-spike", one)
    return None
