"""The rollups behind lists and charts: kept up by reading only what changed.

Slices are what no zone cuts; stretches are a session's slices within a day of the zone that is
set; `thread_usage` is all of a thread.

New calls have higher row numbers than all before, up to the one that the note `summed` names
nothing is new. Whatever else happens to a call, a session or a log (calls that grow, are taken
back or priced anew, sessions that change threads, logs that are archived) is noted by the
database itself, in the same transaction (`store/triggers.py`), as a session that is to be summed up
again. That the sums are those of the ledger's own rollup is compared now and then all the same.

Each row knows whether its session is archived, so that either answer is a sum of rows.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

from server.store import db
from server.usage import before, thresholds
from server.usage.days import QUARTER, Days, chosen

log = logging.getLogger(__name__)

_MADE = 9  # goes up when rollups are made otherwise, so that they are made anew
_CHUNK = 150  # sessions in one transaction, so that the proxy's recorder never waits long
_TOKENS = "(c.input + c.output)"
KEYS = ("session", "quarter", "model", "effort", "account", "price_status", "provider")
_SUMS = (
    "calls", "input", "cached", "output", "reasoning", "cost", "credits", "credited",
    "unpriced",
    "unpriced_tokens", "estimated", "estimated_tokens", "duration", "first_at", "last_at",
    "max_context", "bloat", "grown", "misses", "least_cache", "spikes",
    "most_reasoning", "dear", "idle",
)  # fmt: skip
_LARGEST = {"last_at", "max_context", "most_reasoning"}
_SMALLEST = {"first_at", "least_cache"}
_lock = threading.RLock()  # taken before the database's own
_fresh: list[Any] = []  # what the last refresh summed up by
_compared: list[Any] = []
_faults: list[str] = []  # why the last refresh could not write


class Held(NamedTuple):
    """The same sessions, of those with calls, as `usage.names` numbers them."""

    whole: set[int]  # the threads that have it in all of their sessions
    part: list[int]  # of other threads, those of their sessions that have it


@dataclass(frozen=True)
class Found:
    """Where a text was found; a call that has any of it counts."""

    sessions: str  # JSON list of Session
    models: tuple[str, ...]
    efforts: tuple[str, ...]
    calls: tuple[str, ...] = ()
    but: bool = False  # everywhere but in these sessions
    many: bool = False  # they are so many that each of them is looked at at a price
    held: Held | None = field(default=None, compare=False, repr=False)
    sums: tuple[Any, ...] | None = None  # of all its calls, where these sessions tell it

    def condition(self, table: str) -> tuple[str, list[Any]]:
        """The condition on calls (`c`) or a rollup (`l`, which knows no single calls)."""
        names = [("model", self.models), ("effort", self.efforts)]
        if table == "c":
            names.append(("id", self.calls))
        listed = "in (select value from json_each(?))"
        # Many sessions are no way to calls: those in question are looked for among them.
        parts = [f"{'+' if self.many else ''}{table}.session {listed}"]
        if self.but:
            parts = [f"({table}.session > 0 and {table}.session not {listed})"]
        parts += [f"{table}.{column} in ({','.join('?' * len(v))})" for column, v in names if v]
        return f"({' or '.join(parts)})", [self.sessions, *(one for _, v in names for one in v)]

    @property
    def plain(self) -> bool:
        """Whether sessions alone tell it."""
        return not (self.models or self.efforts or self.calls)


@dataclass(frozen=True)
class Filter:
    """Which calls; empty means all. `since` and `until` are ms, `until` exclusive."""

    text: str = ""
    provider: str = ""
    models: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    price_status: str = ""
    thread: str = ""
    session: str = ""
    preset: str = ""
    fact: str = ""  # type:name, of the diagnostics
    history: str = ""  # active leaves archived sessions out
    least_tokens: int = 0  # of a single call, as are its credits (micro-credits)
    least_credits: int = 0
    names: bool = True  # whether `text` may find what a privacy mode hides
    meant: tuple[str, ...] = ()  # projects and threads whose shown name or tags hold `text`
    found: Found | None = None  # what `finding.found` made of `text`


# What Codex keeps under `sessions`; a session without a log of its own is no archived one.
ACTIVE = "not exists (select 1 from source_file a where a.archived and a.id = s.source)"


def bare(wanted: Filter) -> bool:
    """Whether a filter names nothing, but for archived sessions and for what is shown."""
    return replace(wanted, names=True, history="") == Filter()


def kept(wanted: Filter, table: str = "") -> str:
    """` and …`: the rows of a rollup that are of the filter's history."""
    return f" and {table}archived = 0" if wanted.history else ""


def part(wanted: Filter) -> str:
    """The column of `thread_usage` that marks the rows with the sums of the filter's history."""
    return "active" if wanted.history else "everything"


def narrowed(wanted: Filter) -> tuple[str, list[Any]]:
    """The condition on slices (`l`, joined with their session `s`) and its values."""
    parts: list[str] = ["1"]
    values: list[Any] = []
    for column, named in (
        ("l.model", wanted.models),
        ("l.effort", wanted.efforts),
        ("s.project", wanted.projects),
        ("l.account", wanted.accounts),
    ):
        if named:
            parts.append(f"{column} in ({','.join('?' * len(named))})")
            values += named
    for condition, value in (
        ("l.provider = ?", wanted.provider),
        ("l.price_status = ?", wanted.price_status),
        ("s.key = ?", wanted.session),
        ("s.thread = ?", wanted.thread),
        ("l.quarter >= ?", None if wanted.since is None else wanted.since // QUARTER),
        ("l.quarter < ?", None if wanted.until is None else -(-wanted.until // QUARTER)),
    ):
        if value not in ("", None):
            parts.append(condition)
            values.append(value)
    if wanted.history:
        parts.append("l.archived = 0")
    if wanted.found is not None:
        condition, given = wanted.found.condition("l")
        parts.append(condition)
        values += given
    return " and ".join(parts), values


def summed(
    wanted: Filter, *, joined: bool = False, local: Days | None = None
) -> tuple[str, list[Any]]:
    """`from … where …` of the rollup with the fewest rows that tells the filter's calls, and its
    values. The rollup is `l`, its session `s` (surely so when `joined`); both have the measures.

    `local` are the days that the answer is told by, when it is.
    """
    if wanted.found is not None and wanted.found.calls:
        return _with_calls(wanted, wanted.found)
    if not by_day(wanted, local):
        where, values = narrowed(wanted)
        needed = joined or wanted.projects or wanted.thread or wanted.session
        return f"from slice l{_JOIN if needed else ''} where {where}", values
    days = chosen()
    rest = replace(wanted, projects=(), since=None, until=None)
    where, values = narrowed(rest)
    if wanted.projects:
        where += f" and l.project in ({','.join('?' * len(wanted.projects))})"
        values += wanted.projects
    for sign, at in ((">=", wanted.since), ("<", wanted.until)):
        if at is not None:
            where += f" and l.day {sign} ?"
            values.append(days.number(at // QUARTER))
    needed = joined or wanted.thread or wanted.session
    return f"from stretch l{_JOIN if needed else ''} where {where}", values


_JOIN = " left join session s on s.id = l.session"


def _with_calls(wanted: Filter, seen: Found) -> tuple[str, list[Any]]:
    """The slices that hold a text, and a row for each call beside them whose id has it."""
    where, values = narrowed(replace(wanted, found=None))
    held, given = replace(seen, calls=()).condition("l")
    limits = thresholds.current() | {"archived": _PUT_ASIDE}
    # Named places would not mix with the others; a threshold is a number of ours.
    single = _PLACED.sub(lambda name: str(limits[name[1]]), _OF_CALLS)
    table = (
        f"select {', '.join((*KEYS, 'archived', *_SUMS))} from slice l where {held} "  # noqa: S608
        f"union all {single} where c.id in (select value from json_each(?)) "
        f"and not coalesce({held.replace('l.', 'c.')}, 0) group by c.id"
    )
    return (
        f"from ({table}) l{_JOIN} where {where}",
        [*given, json.dumps(seen.calls), *given, *values],
    )


_PLACED = re.compile(r":([a-z_]+)")
_PUT_ASIDE = "(select count(*) from archived_session x where x.session = c.session)"


def by_day(wanted: Filter, local: Days | None = None) -> bool:
    """Whether stretches tell the filter: its bounds are days of ours, and `local`'s are too."""
    days = chosen()
    if not (days.begins(wanted.since) and days.begins(wanted.until)):
        return False
    return local is None or local is days or _agree(local, days, wanted)


def _agree(local: Days, days: Days, wanted: Filter) -> bool:
    """Whether two zones have the same days within a filter's times."""
    if local.mark == days.mark:
        return True
    first = db.rows("select min(day), max(day) from stretch")[0]
    if first[0] is None:
        return True
    since = first[0] if wanted.since is None else days.number(wanted.since // QUARTER)
    until = first[1] + 1 if wanted.until is None else days.number(wanted.until // QUARTER)
    key = (local.mark, days.mark, since, until)
    if key not in _agreed:
        if len(_agreed) > 200:
            _agreed.clear()
        _agreed[key] = until - since <= _LONGEST and all(
            local.start(day) == days.start(day)
            for day in map(date.fromordinal, range(since, until + 1))
        )
    return _agreed[key]


_LONGEST = 4000  # days: more are not compared
_agreed: dict[tuple[str, str, int, int], bool] = {}


def whole(wanted: Filter) -> bool:
    """Whether slices tell the filter's calls exactly: nothing about single calls is asked."""
    bounds = (at for at in (wanted.since, wanted.until) if at is not None)
    looked_up = wanted.found is not None and not wanted.found.calls
    named = (wanted.text and not looked_up) or wanted.preset or wanted.fact
    sized = wanted.least_tokens or wanted.least_credits
    return not (named or sized) and all(at % QUARTER == 0 for at in bounds)


def measures(table: str = "l", needed: str = "") -> str:
    """The SQL that sums rows of a rollup up to one, columns in the order of the table.

    With `needed`, an expression over such sums as `g`, only those that it names.
    """
    named = set(re.findall(r"\bg\.(\w+)", needed)) if needed else _SUMS
    return ", ".join(f"{_fold(name)}({table}.{name}) as {name}" for name in _SUMS if name in named)


def columns(table: str) -> str:
    """The measures as they stand in a rollup's rows."""
    return ", ".join(f"{table}.{name}" for name in _SUMS)


def _fold(name: str) -> str:
    return "max" if name in _LARGEST else "min" if name in _SMALLEST else "sum"


def keep() -> None:
    """A scheduler job: refresh, and compare with the ledger's own rollup when calls changed."""
    refresh()
    seen = db.revisions().get("calls")
    if _compared[:1] == [seen]:
        return
    found = _differences()
    if found is not None and found != _compared[1:]:
        forget()
        refresh()
    _compared[:] = [seen, *(_differences() or [])]


def refresh() -> None:
    """Bring both rollups up to the ledger; costs a look when nothing changed.

    On a disk that takes no more the rollups stay as they are: readers answer from them.
    """
    try:
        _bring_up()
    except sqlite3.Error as error:
        why = db.fault(error)
        if why is None:
            raise
        if _faults != [why]:
            _faults[:] = [why]  # told once: the log needs space, too
            log.warning("the ledger's sums stay as they are: %s", why)
    else:
        _faults.clear()


def _bring_up() -> None:
    if db.reading_one_moment():
        return
    with _lock:
        limits = thresholds.current()
        zone = chosen().mark
        mark = [str(db.usage.database), limits, zone]
        if _fresh == mark and _settled():
            return
        note = db.rows("select value from ledger_note where name = 'slices'")
        known = json.loads(note[0][0]) if note else {}
        if known.get("limits") != limits or known.get("made") != _MADE or not _whole():
            known = {}
            _everything()
        elif known.get("zone") != zone:
            _other_days()
        _mark_news()
        while _sum_up(limits):
            pass
        now = {"limits": limits, "zone": zone, "made": _MADE}
        if known != now:
            _remember(now)
        _fresh[:] = mark


# The newest call, the newest that is summed up, and whether anything else is to be.
_NEWS = (
    "select coalesce((select max(rowid) from call), 0), "
    "(select value + 0 from ledger_note where name = 'summed'), "
    "exists (select 1 from unsummed) or exists (select 1 from unsummed_thread)"
)
_MOVED = (
    "select id from session where source in (select id from source_file where archived) "
    "and id not in (select session from archived_session) union "
    "select session from archived_session where session not in (select id from session "
    "where source in (select id from source_file where archived))"
)
_ARCHIVED = -1  # in `unsummed`: some logs were archived or taken back
_SUMMED_NOW = "replace into ledger_note select 'summed', coalesce(max(rowid), 0) from call"


def _settled() -> bool:
    """Whether nothing is to be summed up."""
    newest, summed, more = db.rows(_NEWS)[0]
    return newest == summed and not more


def _whole() -> bool:
    """Whether it is known up to which call all are summed up, and that call may be there."""
    newest, summed, _ = db.rows(_NEWS)[0]
    return summed is not None and summed <= newest


def _mark_news() -> None:
    """Note the sessions of new calls, and those that were archived or taken back."""
    if _settled():
        return
    with db.writing() as connection:
        connection.execute(
            "insert or ignore into unsummed select distinct coalesce(session, 0) from call "
            "where rowid > (select value + 0 from ledger_note where name = 'summed')"
        )
        connection.execute(_SUMMED_NOW)
        moved = connection.execute("delete from unsummed where session = ?", (_ARCHIVED,))
        if moved.rowcount:
            connection.execute(f"insert or ignore into unsummed {_MOVED}")


def forget() -> None:
    """Sum everything up anew at the next refresh: prices or thresholds changed."""
    with _lock:
        with db.writing() as connection:
            connection.execute("delete from ledger_note where name = 'slices'")
        _fresh.clear()


@contextmanager
def moment() -> Iterator[None]:
    """Within the block all that is read is of one moment, and the sums are those of the calls.

    Nothing may be written in it.
    """
    with db.reading() as connection:
        if connection.in_transaction:
            yield
            return
        refresh()
        connection.execute("begin")
        try:
            if not _settled():
                # A call came in between: this time nobody may write until it is summed up.
                connection.execute("rollback")
                with _lock, db.usage.write_lock:
                    refresh()
                    connection.execute("begin")
                    _settled()  # the moment is that of the first look
            yield
        finally:
            if connection.in_transaction:
                connection.execute("rollback")


_TABLES = (
    "stretch", "thread_usage", "session_usage", "quarter_usage", "day_sessions", "heading_usage",
    "archived_session", "archived_usage", "call_before",
)  # fmt: skip


def _everything() -> None:
    """Begin anew: nothing is summed up, and every session is to be."""
    with db.writing() as connection:
        for table in ("slice", *_TABLES, "unsummed", "unsummed_thread"):
            connection.execute(f"delete from {table}")  # noqa: S608 - our own words
        connection.execute(f"{_SILENCED} thread is not null")
        connection.execute("insert into unsummed select distinct coalesce(session, 0) from call")
        connection.execute(_SUMMED_NOW)
        connection.execute("delete from ledger_note where name = 'slices'")


def _other_days() -> None:
    """Cut the slices into the days of another zone."""
    with db.writing() as connection:
        _know_days(connection)
        connection.execute("delete from stretch")
        connection.execute(f"{_INSERT_STRETCH} group by 1, 2, 3, 4, 5, 6, 7, 8")
        connection.execute(f"update session_name set change = {_NEXT}")  # noqa: S608
        for table in ("day_sessions", "archived_usage"):
            connection.execute(f"delete from {table}")  # noqa: S608 - our own words
        for statement in (_COUNT_SESSIONS, *_COUNT_ARCHIVED):
            connection.execute(statement.format(""), {"sign": 1})


def _know_days(connection: sqlite3.Connection) -> None:
    connection.create_function("day_number", 1, chosen().number, deterministic=True)
    connection.create_function("day_name", 1, _day_name, deterministic=True)


def _day_name(number: int) -> str:
    return date.fromordinal(number).isoformat()


def _differences() -> list[Any] | None:
    """Both sums, when they differ: a call went without a trace, or a session changed threads."""
    sums = "total(calls), total(input), total(output), total(cost)"
    ours = db.rows(f"select {sums} from slice")  # noqa: S608
    theirs = db.rows(f"select {sums} from daily_usage where heading = 'model'")  # noqa: S608
    ours += db.rows("select total(calls), total(tokens) from quarter_usage")
    ours += db.rows("select total(calls), total(cost) from heading_usage where heading = 'effort'")
    theirs += [(theirs[0][0], theirs[0][1] + theirs[0][2]), (theirs[0][0], theirs[0][3])]
    left = db.rows(
        "select thread from thread_usage where thread not in (select thread from session) limit 1"
    )
    ours += db.rows("select project, sum(calls) from stretch group by 1 order by 1")
    theirs += db.rows(
        "select name, sum(calls) from daily_usage where heading = 'project' group by 1 order by 1"
    )
    return [ours, theirs, left] if ours != theirs or left else None


def _remember(known: dict[str, Any]) -> None:
    with db.writing() as connection:
        connection.execute(
            "replace into ledger_note values ('slices', ?)", (json.dumps(known, sort_keys=True),)
        )


def _sum_up(limits: dict[str, float]) -> bool:
    """Sum up some of the sessions that are to be; False when there were none."""
    with db.writing() as connection:
        found = connection.execute("select session from unsummed limit ?", (_CHUNK,)).fetchall()
        sessions = _families(connection, [int(one) for (one,) in found if one != _ARCHIVED])
        left = connection.execute("select thread from unsummed_thread").fetchall()
        if not sessions and not left:
            return False
        _know_days(connection)
        _count(connection, sessions, -1)
        archived = _archived(connection, sessions)
        for session in sessions:
            _sum_session(connection, session, limits | {"archived": session in archived})
        _count(connection, sessions, 1)
        threads = _threads(connection, sessions) | {str(thread) for (thread,) in left}
        for thread in threads:
            connection.execute("delete from thread_usage where thread = ?", (thread,))
            connection.execute(_INSERT_THREAD, (thread,))
            if _mixed(connection, thread):
                connection.execute(_INSERT_ACTIVE, (thread,))
        before.tell(connection, threads, sessions)
        given = (json.dumps(sessions),)
        for statement in (_TOLD, f"{_SILENCED} {_SILENT}"):
            connection.execute(statement, given)
        connection.execute(f"delete from unsummed where session {_AMONG}", given)  # noqa: S608
        connection.execute("delete from unsummed_thread")
        return True


def heads() -> dict[int, int]:
    """The sessions that do not count for themselves: Claude's sub-agents, which count as one with
    the session above them; each with that session.
    """  # noqa: D205
    return dict(db.rows("select id, head from session where head is not null"))


def over(source: str, values: Sequence[Any], by: str = "0") -> dict[Any, int]:
    """By how many a count of the distinct sessions of `summed` rows is too high, by a column.

    Only the rows of sessions that count as one are asked, of which there may be none.
    """
    if not db.rows("select 1 from session where head is not null limit 1"):
        return {}
    family = "select id from session where head is not null union select head from session"
    counts = f"count(distinct l.session) - count(distinct {COUNTED})"
    only = f"l.session in ({family})"
    return dict(db.rows(f"select {by}, {counts} {source} and {only} group by 1", values))  # noqa: S608


def _families(connection: sqlite3.Connection, sessions: list[int]) -> list[int]:
    """Sessions with those that count as one with them: so each is counted once."""
    heads = f"select coalesce(head, id) from session where id {_AMONG}"  # noqa: S608
    found = connection.execute(
        f"select id from session where head in ({heads}) union "  # noqa: S608
        f"select head from session where id {_AMONG} and head is not null",
        (json.dumps(sessions),) * 2,
    )
    return sessions + sorted({int(session) for (session,) in found} - set(sessions))


def _sum_session(connection: sqlite3.Connection, session: int, given: dict[str, float]) -> None:
    connection.execute("delete from slice where session = ?", (session,))
    connection.execute(_insert(session), given | {"session": session})
    connection.execute("delete from stretch where session = ?", (session,))
    connection.execute(
        f"{_INSERT_STRETCH} where l.session = ? group by 1, 2, 3, 4, 5, 6, 7, 8", (session,)
    )
    connection.execute("delete from session_usage where session = ?", (session,))
    connection.execute(_INSERT_SESSION, (session,))


def _archived(connection: sqlite3.Connection, sessions: Sequence[int]) -> set[int]:
    """Which of some sessions are archived, noted as that."""
    among = (json.dumps(list(sessions)),)
    connection.execute(f"delete from archived_session where session {_AMONG}", among)  # noqa: S608
    connection.execute(
        f"insert into archived_session select id from session where id {_AMONG} "  # noqa: S608
        "and source in (select id from source_file where archived)",
        among,
    )
    found = connection.execute(
        f"select session from archived_session where session {_AMONG}",  # noqa: S608
        among,
    )
    return {int(session) for (session,) in found}


_AMONG = "in (select value from json_each(?))"


def _mixed(connection: sqlite3.Connection, thread: str) -> bool:
    """Whether a thread, whose rollup over all of it is there, has archived sessions."""
    found = connection.execute("select 1 from thread_usage where thread = ? and active", (thread,))
    return found.fetchone() is None


def _count(connection: sqlite3.Connection, sessions: Sequence[int], sign: int) -> None:
    """Add sessions to what is summed up over all of them, or with -1 take them out of it."""
    given = {"sign": sign, "among": json.dumps(list(sessions))}
    among = "and session in (select value from json_each(:among))"
    counted = [_COUNT_QUARTERS, _COUNT_SESSIONS, *_COUNT_HEADINGS]
    if connection.execute("select 1 from archived_session limit 1").fetchone():
        counted += _COUNT_ARCHIVED
    for statement in counted:
        connection.execute(statement.format(among), given)


def _threads(connection: sqlite3.Connection, sessions: Sequence[int]) -> set[str]:
    marks = ",".join("?" * len(sessions))
    found = connection.execute(
        f"select distinct thread from session where id in ({marks})",  # noqa: S608
        list(sessions),
    )
    return {str(thread) for (thread,) in found}


def _insert(session: int) -> str:
    where = "c.session = :session" if session else "c.session is null"
    return f"{_INSERT_SLICE} where {where} group by 1, 2, 3, 4, 5, 6, 7"


MISS = (
    "(c.input > 0 and 1.0 * c.cached / c.input < :low_cache_ratio "
    "and c.input - c.cached >= :high_uncached_input_tokens)"
)
BLOAT = (
    "(coalesce(c.context_window, 0) > 0 and "
    "1.0 * c.input / c.context_window >= :high_context_percent)"
)
GROWN = f"({BLOAT} or coalesce(c.running, 0) >= :large_cumulative_tokens)"
SPIKE = (
    "(c.output >= :reasoning_min_output_tokens and c.output > 0 and "
    "1.0 * c.reasoning / c.output >= :high_reasoning_ratio)"
)
DEAR = "(coalesce(c.cost, 0) > 0 and c.cost >= 1000000 * :high_cost_usd)"
IDLE = f"({_TOKENS} >= :expensive_low_output_total_tokens and c.output <= :low_output_tokens)"
_OF_CALLS = (
    "select coalesce(c.session, 0), c.started_at / 900000, coalesce(c.model, ''), "  # noqa: S608
    "coalesce(c.effort, ''), coalesce(c.account, ''), c.price_status, c.provider, "
    ":archived, count(*), sum(c.input), sum(c.cached), sum(c.output), sum(c.reasoning), "
    "sum(coalesce(c.cost, 0)), sum(c.credits), sum(coalesce(c.credits, 0) > 0), "
    "sum(c.cost is null), "
    f"sum(case when c.cost is null then {_TOKENS} else 0 end), "
    "sum(c.price_status = 'estimated'), "
    f"sum(case when c.price_status = 'estimated' then {_TOKENS} else 0 end), "
    "sum(c.duration_ms), min(c.started_at), max(c.started_at), "
    "max(case when c.context_window > 0 then 10000 * c.input / c.context_window end), "
    f"sum({BLOAT}), sum({GROWN}), sum({MISS}), "
    f"min(case when {MISS} then 10000 * c.cached / c.input end), "
    f"sum({SPIKE}), max(case when {SPIKE} then c.reasoning end), sum({DEAR}), sum({IDLE}) "
    "from call c"
)
_INSERT_SLICE = f"insert into slice({', '.join((*KEYS, 'archived', *_SUMS))}) {_OF_CALLS}"
_INSERT_STRETCH = (
    "insert into stretch(day, session, model, effort, project, account, price_status, provider, "  # noqa: S608
    f"archived, {', '.join(_SUMS)}) select day_number(l.quarter), l.session, l.model, l.effort, "
    f"coalesce(s.project, ''), l.account, l.price_status, l.provider, l.archived, {measures()} "
    "from slice l left join session s on s.id = l.session"
)
# What calls are sorted by; unknown sorts below everything, so that no row gets lost between pages.
ORDERS = {
    "tokens": "(c.input + c.output)",
    "input": "c.input",
    "cached": "c.cached",
    "uncached": "(c.input - c.cached)",
    "output": "c.output",
    # Claude's logs do not tell it.
    "reasoning": "(case when c.provider = 'claude' and c.reasoning = 0 then -1 "
    "else c.reasoning end)",
    "cost": "coalesce(c.cost, -1)",
    "cache": "(case when c.input > 0 then 1.0 * c.cached / c.input else -1.0 end)",
    "duration": "coalesce(c.duration_ms, -1)",
    "context": "coalesce(1.0 * c.input / nullif(c.context_window, 0), -1.0)",
    "credits": "coalesce(c.credits, -1)",
}
_INSERT_SESSION = (
    "insert into session_usage(session, provider, archived, "  # noqa: S608
    f"{', '.join(_SUMS)}, {', '.join(f'top_{order}' for order in ORDERS)}) "
    f"select l.session, min(l.provider), l.archived, {measures()}, t.* from stretch l cross join "
    f"(select {', '.join(f'max({order})' for order in ORDERS.values())} from call c "
    "where c.session = ?1) t where l.session = ?1 and l.session != 0 group by l.session"
)
# What one transaction changes may have one number (`usage.names`).
_NEXT = "(select coalesce(max(change), 0) + 1 from session_name)"
_TOLD = (
    f"insert into session_name(session, thread, key, change) select s.id, s.thread, s.key, {_NEXT} "  # noqa: S608, E501
    f"from session s join session_usage u on u.session = s.id where s.id {_AMONG} "
    "on conflict do update set thread = excluded.thread, key = excluded.key, "
    "change = excluded.change"
)
_SILENCED = f"update session_name set thread = null, key = null, change = {_NEXT} where"  # noqa: S608
_SILENT = (
    f"session {_AMONG} and thread is not null "  # noqa: S608
    "and not exists (select 1 from session_usage u where u.session = session_name.session)"
)
_COUNT_QUARTERS = (
    "insert into quarter_usage select quarter, provider, archived, :sign * sum(calls), "
    ":sign * sum(input + output) from slice where 1 {} group by 1, 2, 3 on conflict do update set "
    "calls = calls + excluded.calls, tokens = tokens + excluded.tokens"
)
# What a row's session counts as: Claude's sub-agents count as one with the session above them.
COUNTED = "coalesce((select head from session where id = l.session), l.session)"
_COUNT_SESSIONS = (
    "insert into day_sessions "  # noqa: S608 - our own words
    f"select day, provider, archived, :sign * count(distinct {COUNTED}) from stretch l "
    "where session != 0 {} group by 1, 2, 3 "
    "on conflict do update set sessions = sessions + excluded.sessions"
)
HEADINGS = ("model", "effort", "project", "account", "provider")
_HEADED = (
    "calls", "input", "cached", "output", "reasoning", "cost", "credits", "unpriced",
    "unpriced_tokens", "estimated",
)  # fmt: skip
_COUNT_HEADINGS = tuple(
    "insert into heading_usage(heading, name, provider, archived, sessions, rated, "  # noqa: S608
    f"{', '.join(_HEADED)}) select '{heading}', {heading}, provider, archived, "
    f":sign * count(distinct nullif({COUNTED}, 0)), "
    ":sign * count(credits), "
    f"{', '.join(f'coalesce(:sign * sum({name}), 0)' for name in _HEADED)} from stretch l "
    "where 1 {} group by 2, 3, 4 on conflict do update set "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in ("sessions", "rated", *_HEADED))
    for heading in HEADINGS
)
_DAILY = ("calls", "input", "cached", "output", "reasoning", "cost", "unpriced")
_COUNT_ARCHIVED = tuple(
    f"insert into archived_usage(heading, day, provider, name, {', '.join(_DAILY)}) "  # noqa: S608
    f"select '{heading}', day_name(day), provider, {heading}, "
    f"{', '.join(f':sign * sum({name})' for name in _DAILY)} from stretch where archived {{}} "
    "group by 2, 3, 4 on conflict do update set "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in _DAILY)
    for heading in ("model", "project", "account")
)
KINDS = (
    "count(distinct l.session) as sessions, "
    # What finds a title stands alone, where nobody told whose.
    "count(distinct case when s.kind = 'subagent' or s.kind = 'title' and s.key != s.thread "
    "then l.session end) as subagents, "
    "count(distinct case when s.kind = 'review' then l.session end) as reviews"
)
# A thread's reviews say less of it than its own work.
LEAST = "{name} in ('codex-auto-review', '')"
_MOST = (
    "(select x.{0} from session y join slice x on x.session = y.id where y.thread = s.thread "  # noqa: S608
    f"group by 1 order by {LEAST.format(name='x.{0}')}, sum(x.calls) desc, 1 limit 1)"
)
_INSERT_THREAD = (
    "insert into thread_usage(thread, everything, active, provider, sessions, subagents, reviews, "  # noqa: S608
    f"{', '.join(_SUMS)}, model, effort) select s.thread, {{}}, min(l.provider), {KINDS}, "
    f"{measures()}, {_MOST.format('model')}, {_MOST.format('effort')} "
    "from session s join slice l on l.session = s.id where s.thread = ? {} group by s.thread"
)
# Of a thread that has archived sessions, the others; none where there are no others.
_INSERT_ACTIVE = _INSERT_THREAD.format("0, 1", "and not l.archived")
_INSERT_THREAD = _INSERT_THREAD.format("1, not max(l.archived)", "")
