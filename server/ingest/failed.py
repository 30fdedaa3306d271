"""Tool calls that failed as their log tells, while telemetry says that the tool worked.

A command that ends with an exit code is a success of the tool that ran it. Log and telemetry come
in any order, so whichever is stored second marks the event, in its own transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from server.ingest import fold
from server.ingest.facts import Run
from server.ingest.otlp import Event

_AT_ONCE = 400  # names in one `in (…)`
# Log and telemetry of one end were some ms apart; a command that went on ends later in the log.
_BEFORE_MS, _AFTER_MS = 2000, 10_000
_CLOSE_MS = 1000

Stretch = tuple[int, int]  # since a tool was asked for, until it ended


def key(conversation: str, call: str) -> int:
    """A short number for a tool call; ids are as long as the client likes."""
    digest = blake2b(f"{conversation}\n{call}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def meant(runs: Iterable[Stretch], ends: Sequence[int]) -> set[int]:
    """Which of `ends` (the moments of one id's results) tell of a run that failed, by place. Pure.

    A run has one result: that of its end, or (of a command that went on in the background) the
    first since it was asked for. A later call may use an id again, even within its turn.
    """
    fits = sorted(
        (_far(run, at), at, place, run)
        for run in runs
        for place, at in enumerate(ends)
        if run[0] - _BEFORE_MS <= at <= run[1] + _AFTER_MS
    )
    found: set[int] = set()
    told: set[Stretch] = set()
    for _, _, place, run in fits:
        if run not in told and place not in found:
            told.add(run)
            found.add(place)
    return found


def _far(run: Stretch, at: int) -> tuple[bool, bool, int]:
    """How little a moment has to do with the result of a run."""
    since, end = run
    if abs(at - end) <= _CLOSE_MS:
        return False, False, abs(at - end)
    return True, at < since, abs(at - since)


def store(connection: sqlite3.Connection, source: int, runs: Sequence[Run]) -> int:
    """Remember what a log tells, and correct what telemetry has told; returns how many events."""
    connection.executemany(
        'insert or ignore into failed_run(source, "offset", "key", since, at) values (?,?,?,?,?)',
        [(source, run.offset, key(run.conversation, run.call), run.since, run.at) for run in runs],
    )
    return sum(_judge(connection, *name) for name in {(one.conversation, one.call) for one in runs})


def judge(connection: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Mark those of the stored events, and of others with their ids, whose log told of failure."""
    asked = {
        key(event.session_id, event.call_id): (event.session_id, event.call_id)
        for event in events
        if event.name in fold.RESULTS and event.session_id and event.call_id
    }
    for number in _known(connection, sorted(asked)):
        _judge(connection, *asked[number])


def _judge(connection: sqlite3.Connection, conversation: str, call: str) -> int:
    """Say anew which results of one id failed; returns how many were told otherwise before."""
    runs = connection.execute(
        'select since, max(at) from failed_run where "key" = ? group by since',
        (key(conversation, call),),
    ).fetchall()
    ends = connection.execute(
        "select id, at, provider, coalesce(tool, ''), success, failed from telemetry_event "  # noqa: S608 - our own words
        f"where call_id = ? and session_id = ? and name in {fold.RESULTS} order by at, id",
        (call, conversation),
    ).fetchall()
    bad = meant(runs, [end[1] for end in ends])
    changed = 0
    for place, (number, at, provider, tool, success, before) in enumerate(ends):
        now = bool(success) and place in bad
        if now != bool(before):
            connection.execute("update telemetry_event set failed = ? where id = ?", (now, number))
            fold.failed(connection, provider, at, tool, failed=now)
            changed += 1
    return changed


def _known(connection: sqlite3.Connection, keys: list[int]) -> list[int]:
    """Those of the ids of which a log tells that one failed."""
    found: list[int] = []
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        marks = ",".join("?" * len(part))
        sql = f'select distinct "key" from failed_run where "key" in ({marks})'  # noqa: S608
        found += [number for (number,) in connection.execute(sql, part)]
    return found
