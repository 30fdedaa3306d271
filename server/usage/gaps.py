"""How long its thread was silent before a call: of every call, so that lists go by it.

`call_gap` has a number for each call: the gap, and below it the call's row, so that no two are
alike and an index alone leads from page to page. It is told anew with the sums of a thread, in
their transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from server.store import db

_ROW_BITS = 24
_LONGEST = (1 << 38) - 1  # eight years: what is longer is as long
_PLACE = f"(coalesce(min({{}}, {_LONGEST}), -1) << {_ROW_BITS} | ({{}} & {(1 << _ROW_BITS) - 1}))"
_KEEP = "on conflict(call) do update set place = excluded.place where place != excluded.place"
_AMONG = "in (select value from json_each(?))"
_OF_THREADS = (
    f"insert into call_gap(call, place) select number, {_PLACE.format('gap', 'number')} from "  # noqa: S608
    "(select c.rowid as number, c.started_at - max(c.started_at) over (partition by s.thread "
    "order by c.started_at range between unbounded preceding and 1 preceding) as gap "
    f"from session s cross join call c on c.session = s.id where s.thread {_AMONG}) where 1 {_KEEP}"
)
# Of calls that belong to no thread nobody knows what was before them.
_ALONE = (
    f"insert into call_gap(call, place) select c.rowid, {_PLACE.format('null', 'c.rowid')} "  # noqa: S608
    f"from call c where {{}} {_KEEP}"
)
_OF_NONE = _ALONE.format("c.session is null")
_OF_UNKNOWN = _ALONE.format(f"c.session {_AMONG} and c.session not in (select id from session)")  # noqa: S608


def tell(connection: sqlite3.Connection, threads: Iterable[str], sessions: Iterable[int]) -> None:
    """Tell the gaps of these threads' calls, and of those of the sessions that have no thread."""
    among = list(sessions)
    connection.execute(_OF_THREADS, (json.dumps(list(threads)),))
    connection.execute(_OF_UNKNOWN, (json.dumps(among),))
    if 0 in among:
        connection.execute(_OF_NONE)


def keep() -> None:
    """A scheduler job: forget the gaps of calls that are no more."""
    more = "select (select count(*) from call_gap) > (select count(*) from call)"
    if db.rows(more)[0][0]:
        with db.writing() as connection:
            connection.execute("delete from call_gap where call not in (select rowid from call)")
