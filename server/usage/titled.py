"""Calls and threads in the order of names: of threads, those without one last, or of models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from server.store import db
from server.usage import slices
from server.usage.slices import Filter

# Below every letter, so that titles and the names behind them compare one after the other.
GAP = "\x1f"
LAST = "\U0010ffff"
_LAST = "char(1114111)"
TITLE = f"coalesce(nullif(t.title, ''), {_LAST}) collate nocase"
_END = 999_999_999_999_999  # no time is later
_MANY = 2000  # threads
_ANYTHING: dict[str, Any] = {"text": "", "meant": (), "found": None}


def of_calls(sort: str, names: bool, descending: bool) -> str:
    """What a call (`c`, its session `s` and thread `t`) is ordered by: a name, and within it the
    newest first. Without `names` titles are hidden, and the order must not tell them.
    """
    time = f"printf('%015d', {'' if descending else f'{_END} - '}c.started_at)"
    if sort != "thread":
        table = "s" if sort == "project" else "c"
        return f"({_either(f'{table}.{sort}', descending)} || char(31) || {time})"
    title = _either("t.title", descending) if names else "''"
    thread = _either("s.thread", descending)
    return f"({title} || char(31) || {thread} || char(31) || {time}) collate nocase"


def _either(name: str, descending: bool) -> str:
    """A name to order by; one that is unknown comes last either way."""
    return f"coalesce({name}, '')" if descending else f"coalesce(nullif({name}, ''), {_LAST})"


def moment(value: Any, descending: bool) -> int | None:
    """The time in what `of_calls` made; None when there is none in it."""
    digits = str(value).rpartition(GAP)[2]
    if not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) if descending else _END - int(digits)


def headings(
    connection: Any, wanted: Filter, sort: str, after: tuple[Any, ...], descending: bool
) -> Iterator[tuple[str, int]]:
    """The models, efforts or projects of the filter's calls in their order, with how many."""
    if slices.bare(wanted):
        source = f"name as name, calls from heading_usage where heading = ?{slices.kept(wanted)}"
        values = [sort]
    else:
        source, values = slices.summed(wanted)
        source = f"l.{sort} as name, l.calls as calls {source}"
    way, beyond = ("desc", "<=") if descending else ("asc", ">=")
    order, where = _either("name", descending), ""
    if after:
        where = f"where {order} {beyond} ?"
        values = [*values, str(after[0]).rpartition(GAP)[0]]
    yield from connection.execute(
        f"select name, sum(calls) from (select {source}) {where} group by 1 order by {order} {way}",  # noqa: S608
        values,
    )


def of_threads(names: bool) -> str:
    """What a thread (`t`, its sums `g`) is ordered by."""
    return TITLE if names else "g.thread"


def keep() -> None:
    """A scheduler job: an index over the titles of many threads."""
    if db.rows("select count(*) from thread")[0][0] >= _MANY:
        with db.writing() as connection:
            connection.execute(
                f"create index if not exists thread_by_title on thread({_plain(TITLE)}, id)"
            )


def lead(
    connection: Any, wanted: Filter, after: tuple[Any, ...], descending: bool, need: int
) -> str:
    """A condition on a call that leads to a page's threads, walked from its beginning on."""
    source, given = _counted(wanted)
    loose = int(connection.execute(*_loose(wanted)).fetchone()[0])
    found: list[str] = []
    for rest, values in _walks(wanted.names, after, descending):
        for name, count in connection.execute(
            f"select t.id, {source} where t.id is not null and {rest}",  # noqa: S608
            [*given, *values],
        ):
            if not count:
                continue
            found.append(name)
            # Of the thread at the cursor it is not known how many calls are left.
            need -= count if not values or name != values[-1] else 0
            if need <= 0:
                return _among(connection, found, loose > 0)
    return _among(connection, found, loose > 0)


def _walks(
    names: bool, after: tuple[Any, ...], descending: bool
) -> list[tuple[str, tuple[str, ...]]]:
    """The condition and order by which threads are walked, one after the other."""
    order = TITLE if names else "''"
    way, beyond = ("desc", "<=") if descending else ("asc", ">=")
    by = f"order by {order} {way}, t.id {way}"
    title, thread, _ = [*str(after[0]).rsplit(GAP, 2), "", ""][:3] if after else ("", "", "")
    whole = (f"({order}, t.id) {beyond} (?, ?)", (title, thread)) if after else ("1", ())
    if not (names and descending):
        return [(f"{whole[0]} {by}", whole[1])]
    # Those without a title have the last one of all: downwards they would come first.
    known, unknown = f"{order} < {_LAST}", f"{order} = {_LAST}"
    if after and not title:
        return [(f"{unknown} and t.id <= ? {by}", (thread,))]
    return [(f"{known} and {whole[0]} {by}", whole[1]), (f"{unknown} {by}", ())]


def _plain(sql: str) -> str:
    return sql.replace("t.", "")


def _counted(wanted: Filter) -> tuple[str, list[Any]]:
    """The threads `t` with how many of the filter's calls each has."""
    if slices.bare(wanted):
        joined = f"u.thread = t.id and u.{slices.part(wanted)}"
        return f"u.calls from thread t join thread_usage u on {joined}", []
    seen = wanted.found
    if seen and seen.many and seen.plain and slices.bare(replace(wanted, **_ANYTHING)):
        # Many of the threads have it: the first of them are found by looking at one after another.
        condition, values = seen.condition("l")
        of_thread = (
            "select sum(l.calls) from session s cross join session_usage l on l.session = s.id "  # noqa: S608
            f"where s.thread = t.id and {condition}{slices.kept(wanted, 'l.')}"
        )
        return f"coalesce(({of_thread}), 0) from thread t", values
    source, values = slices.summed(wanted, joined=True)
    grouped = f"select s.thread as thread, sum(l.calls) as calls {source} group by 1"  # noqa: S608
    return f"u.calls from ({grouped}) u join thread t on t.id = u.thread", values


def _loose(wanted: Filter) -> tuple[str, list[Any]]:
    """How many of the filter's calls belong to no thread; they stand at the end."""
    source, values = slices.summed(wanted)
    return f"select total(l.calls) {source} and l.session = 0", values  # noqa: S608


def _among(connection: Any, threads: list[str], loose: bool) -> str:
    marks = ",".join("?" * len(threads))
    sessions = connection.execute(f"select id from session where thread in ({marks})", threads)  # noqa: S608
    listed = f"c.session in ({','.join(str(session) for (session,) in sessions)})"
    return f"({listed} or c.session is null)" if loose else listed
