"""What was before a call: how long its thread was silent, and the tokens of its session so far.

Told of every call with the sums of its thread, in their transaction, so that lists go by it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from server.store import db

_AMONG = "in (select value from json_each(?))"
_INSERT = "insert into call_before(call, gap, tokens)"
_KEEP = (
    "on conflict(call) do update set gap = excluded.gap, tokens = excluded.tokens "
    "where gap != excluded.gap or tokens != excluded.tokens"
)
_GAP = (
    "c.started_at - max(c.started_at) over (partition by s.thread order by c.started_at "
    "range between unbounded preceding and 1 preceding)"
)
# Codex' logs say it; of Claude's the calls are added up.
_TOKENS = (
    "case when c.running is not null then c.running when c.provider = 'claude' then "
    "sum(c.input + c.output) over (partition by c.session order by c.started_at, c.id) end"
)
_OF_THREADS = (
    f"{_INSERT} select c.rowid, coalesce({_GAP}, -1), coalesce({_TOKENS}, -1) "  # noqa: S608
    f"from session s cross join call c on c.session = s.id where s.thread {_AMONG} {_KEEP}"
)
# Of calls that belong to no session nobody knows what was before them.
_ALONE = f"{_INSERT} select c.rowid, -1, coalesce(c.running, -1) from call c where {{}} {_KEEP}"  # noqa: S608
_OF_NONE = _ALONE.format("c.session is null")
_OF_UNKNOWN = _ALONE.format(f"c.session {_AMONG} and c.session not in (select id from session)")  # noqa: S608


def tell(connection: sqlite3.Connection, threads: Iterable[str], sessions: Iterable[int]) -> None:
    """Tell it of these threads' calls, and of those of the sessions that have no thread."""
    among = list(sessions)
    connection.execute(_OF_THREADS, (json.dumps(list(threads)),))
    connection.execute(_OF_UNKNOWN, (json.dumps(among),))
    if 0 in among:
        connection.execute(_OF_NONE)


def keep() -> None:
    """A scheduler job: forget calls that are no more."""
    more = "select (select count(*) from call_before) > (select count(*) from call)"
    if db.rows(more)[0][0]:
        with db.writing() as connection:
            connection.execute("delete from call_before where call not in (select rowid from call)")
