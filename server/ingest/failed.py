"""Tool calls that failed as their log tells, while telemetry says that the tool worked.

A command that ends with an exit code is a success of the tool that ran it. Log and telemetry come
in any order, so whichever is stored second marks the event, in its own transaction.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b

from server.ingest import fold
from server.ingest.facts import Run
from server.ingest.otlp import Event

_AT_ONCE = 400  # names in one `in (…)`
# Log and telemetry of one end were some ms apart; a command that went on ends later in the log.
_BEFORE_MS, _AFTER_MS = 2000, 10_000


def key(conversation: str, call: str) -> int:
    """A short number for a tool call; ids are as long as the client likes."""
    digest = blake2b(f"{conversation}\n{call}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def meant(runs: Iterable[tuple[int, int]], at: int) -> bool:
    """Whether an event of that moment tells of one of these stretches; a later turn may use an
    id again."""
    return any(since - _BEFORE_MS <= at <= end + _AFTER_MS for since, end in runs)


def store(connection: sqlite3.Connection, source: int, runs: Sequence[Run]) -> int:
    """Remember what a log tells, and correct what telemetry has told; returns how many events."""
    corrected = 0
    connection.executemany(
        'insert or ignore into failed_run(source, "offset", "key", since, at) values (?,?,?,?,?)',
        [(source, run.offset, key(run.conversation, run.call), run.since, run.at) for run in runs],
    )
    for run in runs:
        for number, at, provider, tool in connection.execute(
            "select id, at, provider, coalesce(tool, '') from telemetry_event "  # noqa: S608 - our own words
            f"where call_id = ? and session_id = ? and name in {fold.RESULTS} "
            "and success and not failed",
            (run.call, run.conversation),
        ).fetchall():
            if meant([(run.since, run.at)], at):
                connection.execute("update telemetry_event set failed = 1 where id = ?", (number,))
                fold.failed(connection, provider, at, tool)
                corrected += 1
    return corrected


def marked(connection: sqlite3.Connection, events: Sequence[Event]) -> list[Event]:
    """The events, with those marked whose log has told that they failed."""
    asked = {
        key(event.session_id, event.call_id)
        for event in events
        if event.success and event.session_id and event.call_id
    }
    runs = _runs(connection, sorted(asked))
    if not runs:
        return list(events)
    return [
        replace(event, failed=True) if event.success and _told(event, runs) else event
        for event in events
    ]


def _told(event: Event, runs: dict[int, list[tuple[int, int]]]) -> bool:
    if event.name not in fold.RESULTS or not event.session_id or not event.call_id:
        return False
    return meant(runs.get(key(event.session_id, event.call_id), ()), event.at)


def _runs(connection: sqlite3.Connection, keys: list[int]) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        marks = ",".join("?" * len(part))
        for name, since, at in connection.execute(
            f'select "key", since, at from failed_run where "key" in ({marks})',  # noqa: S608
            part,
        ):
            found[name].append((since, at))
    return found
