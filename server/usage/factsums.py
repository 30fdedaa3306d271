"""The rollup of the facts: each log's, by the local day, so that a filter is answered at once.

It is brought up by summing up anew the logs of which calls or facts are new; a filter that it
cannot tell (single calls, hours, another zone's days) is answered from the facts themselves.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from server.store import db
from server.usage import slices
from server.usage.days import QUARTER, chosen
from server.usage.slices import Filter

_CHUNK = 40  # logs in one transaction, so that the proxy's recorder never waits long
_FEW = 20  # logs that a request brings up itself
_ALL = 1 << 40
_PATIENCE = 2.0  # seconds
_TOP = 25  # of a day's largest readings and edits
_NOTE = "factsums"
_ROW = "summed_facts"  # up to which call
_TABLES = ("day_fact", "day_run", "day_read", "day_change", "day_top")
_lock = threading.Lock()

# ── asking ────────────────────────────────────────────────────────────────────────────────


def condition(wanted: Filter) -> tuple[str, list[Any]] | None:
    """The condition on `fact_day` (`l`, its session `s`) of a filter's calls, and its values.

    None where the rollup does not tell them.
    """
    if wanted.price_status or not slices.whole(wanted) or not slices.by_day(wanted):
        return None
    where, values = slices.narrowed(replace(wanted, since=None, until=None, history=""))
    if wanted.history:
        where += f" and {slices.ACTIVE}"
    days = chosen()
    for sign, at in ((">=", wanted.since), ("<", wanted.until)):
        if at is not None:
            where += f" and l.day {sign} ?"
            values.append(days.number(at // QUARTER))
    return where, values


def touch(connection: sqlite3.Connection, source: int) -> None:
    """Note in a transaction that a log's facts are others than those that were summed up."""
    connection.execute("insert or ignore into fact_touched values (?)", (source,))


def refresh(*, most: int = _FEW) -> bool:
    """Bring the rollup up to the facts, unless more than `most` logs changed; whether it is.

    On a disk that takes no more the facts themselves must answer.
    """
    try:
        return _brought_up(most)
    except sqlite3.Error as error:
        if db.fault(error) is None:
            raise
        return False


def _brought_up(most: int) -> bool:
    # A page waits for its fellows, not for all logs to be summed up.
    if not _lock.acquire(timeout=_PATIENCE if most <= _FEW else -1):
        return False
    try:
        newest = int(db.rows("select coalesce(max(rowid), 0) from call")[0][0])
        now = {"row": newest, "zone": chosen().mark}
        known = _known()
        if known.get("zone") != now["zone"] or known.get("row", 0) > newest:
            touched = [source for (source,) in db.rows("select distinct source from fact_call")]
            fresh = True
        else:
            touched, fresh = _touched(known["row"], newest), False
        if len(touched) > most:
            return False
        if fresh:
            _empty()
        for start in range(0, len(touched), _CHUNK):
            _sum_up(touched[start : start + _CHUNK])
        if known != now:
            _remember(now)
        return True
    finally:
        _lock.release()


def catch_up() -> None:
    """Bring the rollup up where a request would leave it: many logs changed."""
    if not _known() or db.rows("select count(*) from fact_touched")[0][0] > _FEW:
        refresh(most=_ALL)


def forget() -> None:
    """Sum everything up anew at the next `refresh`."""
    _remember({})


def keep() -> None:
    """Bring everything up; and anew, where calls went without a trace."""
    refresh(most=_ALL)
    ours = db.rows("select total(calls) from fact_day")
    if ours != db.rows("select total(1) from fact_call k join call c on c.id = k.call"):
        forget()
        refresh(most=_ALL)


def _known() -> dict[str, Any]:
    note = db.rows(
        "select value, (select value + 0 from ledger_note where name = ?) "
        "from ledger_note where name = ?",
        (_ROW, _NOTE),
    )
    if not note:
        return {}
    known: dict[str, Any] = json.loads(note[0][0])
    # The database lowers it when the newest calls go, as their numbers are given away again.
    return {**known, "row": note[0][1]} if "row" in known and note[0][1] is not None else known


def _remember(known: dict[str, Any]) -> None:
    with db.writing() as connection:
        connection.execute(
            "replace into ledger_note values (?, ?)", (_NOTE, json.dumps(known, sort_keys=True))
        )
        connection.execute("replace into ledger_note values (?, ?)", (_ROW, known.get("row", 0)))


def _touched(row: int, newest: int) -> list[int]:
    found = db.rows("select source from fact_touched")
    if row != newest:
        found += db.rows(
            "select distinct source from call where rowid > ? and source is not null", (row,)
        )
    return sorted({int(source) for (source,) in found})


# ── summing up ────────────────────────────────────────────────────────────────────────────


def _empty() -> None:
    with db.writing() as connection:
        for table in (*_TABLES, "fact_day", "fact_touched"):
            connection.execute(f"delete from {table}")  # noqa: S608 - our own words
        # Until all is summed up again nothing is known, also after a kill.
        connection.execute("delete from ledger_note where name = ?", (_NOTE,))


def _sum_up(sources: Sequence[int]) -> None:
    given = {"among": json.dumps(sources)}
    with db.writing() as connection:
        connection.create_function("day_number", 1, chosen().number, deterministic=True)
        for table in _TABLES:
            connection.execute(
                f"delete from {table} where day in (select id from fact_day where source in {_AMONG})",  # noqa: S608, E501
                given,
            )
        connection.execute(f"delete from fact_day where source in {_AMONG}", given)  # noqa: S608
        connection.execute(_PLACES)
        connection.execute("delete from fact_place")
        connection.execute(_INSERT_PLACES, given)
        for statement in _STATEMENTS:
            connection.execute(statement)
        connection.execute("delete from fact_place")
        connection.execute(f"delete from fact_touched where source in {_AMONG}", given)  # noqa: S608


_AMONG = "(select value from json_each(:among))"
# Each call of the logs with its figures, and (`place`) its log, day and the rest of a filter.
_PLACES = (
    "create temp table if not exists fact_place (source integer, number integer, at integer, "
    "call text, call_row integer, started_at integer, input integer, cached integer, "
    "output integer, reasoning integer, session integer, day integer, model text, effort text, "
    "account text, provider text, place integer, primary key (source, number)) without rowid"
)
_KEYS = "source, session, day, model, effort, account, provider"
_INSERT_PLACES = (
    "insert into fact_place select k.source, k.number, k.at, c.id, c.rowid, c.started_at, "  # noqa: S608
    "c.input, c.cached, c.output, c.reasoning, coalesce(c.session, 0), "
    "day_number(c.started_at / 900000), coalesce(c.model, ''), coalesce(c.effort, ''), "
    "coalesce(c.account, ''), c.provider, null "
    f"from fact_call k cross join call c on c.id = k.call where k.source in {_AMONG}"
)
_JOIN = "from fact_place p cross join {} x on x.source = p.source and x.number = p.number"
_TOPS = (
    "insert into day_top(day, kind, size, label, reader, paths, call, at) "  # noqa: S608
    "select place, '{kind}', size, label, reader, paths, call, at from (select *, row_number() "
    "over (partition by place order by size desc, at desc, call) as rank from (select p.place, "
    "{size} as size, max(x.label) as label, {reader} as reader, count(*) as paths, p.call, "
    'max(p.at) as at {join} {where} group by p.place, x.source, x."offset")) where rank <= {most}'
)
_STATEMENTS = (
    f"insert into fact_day({_KEYS}, calls, shells, patches) "  # noqa: S608
    f"select {_KEYS}, count(*), 0, 0 from fact_place group by 1, 2, 3, 4, 5, 6, 7",
    "update fact_place set place = (select id from fact_day d where d.source = fact_place.source "
    "and d.session = fact_place.session and d.day = fact_place.day "
    "and d.model = fact_place.model and d.effort = fact_place.effort "
    "and d.account = fact_place.account and d.provider = fact_place.provider)",
    "insert into day_fact(day, type, name, category, count, calls, input, cached, output, "  # noqa: S608
    "reasoning, latest, ratios, rated, largest) select p.place, x.type, x.name, max(x.category), "
    "sum(x.count), count(*), sum(p.input), sum(p.cached), sum(p.output), sum(p.reasoning), "
    "max(p.started_at), total(case when p.input > 0 then 1.0 * p.cached / p.input end), "
    f"sum(p.input > 0), max((p.input + p.output) << 32 | p.call_row) {_JOIN.format('fact')} "
    "group by 1, 2, 3",
    # A type as a whole has no name: each of its calls counts once.
    "insert into day_fact(day, type, name, category, count, calls, input, cached, output, "  # noqa: S608
    "reasoning, latest, ratios, rated, largest) select place, type, '', '', sum(count), count(*), "
    "sum(input), sum(cached), sum(output), sum(reasoning), 0, 0, 0, 0 from (select p.place, "
    "x.type, sum(x.count) as count, p.input, p.cached, p.output, p.reasoning "
    f"{_JOIN.format('fact')} group by p.source, p.number, x.type) group by 1, 2",
    "insert into day_run(day, function, root, child, operation, missing, first, count, outputs, "  # noqa: S608
    "counted, uncounted, tokens) select p.place, x.function, x.root, x.child, x.operation, "
    "x.missing, x.part = 0, count(*), sum(x.outputs), sum(x.tokens is not null), "
    "sum(x.outputs and x.tokens is null), sum(x.tokens) "
    f"{_JOIN.format('tool_run')} group by 1, 2, 3, 4, 5, 6, 7",
    "update fact_day set shells = found.number from (select p.place as place, "  # noqa: S608
    "count(distinct x.\"offset\") as number "
    f"{_JOIN.format('tool_run')} where x.operation is not null group by 1) as found "
    "where found.place = fact_day.id",
    "insert into day_read(day, path, reader, label, events, counted, tokens, productive) "  # noqa: S608
    "select p.place, x.path, x.reader, max(x.label), count(*), sum(x.tokens is not null), "
    "sum(x.tokens), sum(exists(select 1 from file_change m where m.path = x.path and "
    'm.source = x.source and m."offset" > x."offset")) '
    f"{_JOIN.format('file_read')} group by 1, 2, 3",
    "insert into day_change(day, path, extension, label, count, latest) "  # noqa: S608
    "select p.place, x.path, x.extension, max(x.label), count(*), max(p.at) "
    f"{_JOIN.format('file_change')} group by 1, 2, 3",
    "update fact_day set patches = found.number from (select p.place as place, "  # noqa: S608
    "count(distinct x.\"offset\") as number "
    f"{_JOIN.format('file_change')} group by 1) as found where found.place = fact_day.id",
    _TOPS.format(
        kind="read", size="sum(x.tokens)", reader="x.reader", join=_JOIN.format("file_read"),
        where="where x.tokens is not null", most=_TOP,
    ),
    _TOPS.format(
        kind="change", size="count(*)", reader="null", join=_JOIN.format("file_change"),
        where="", most=_TOP,
    ),
)  # fmt: skip
