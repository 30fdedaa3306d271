"""One thread that writes down finished requests, as many at a time as have queued."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import orjson
from peewee import PeeweeException

from server.auth.keys import Keys, Reservation
from server.ingest.reconcile import Finished
from server.proxy import waiting
from server.proxy.place import streams
from server.sentences import say
from server.store import db
from server.usage.pricing import Tokens, price

log = logging.getLogger(__name__)

# How long the end of a stream may wait for its row; a slow disk never holds a turn longer.
WAIT_SECONDS = 0.05
_BATCH = 500
_GATHER = 0.001
_BACKLOG = 20_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
NOTICE, DAMAGED = say("notice.disk"), say("notice.damaged")
_COLUMNS = (
    "id, response_id, session_id, account, key, endpoint, model, effort, tier, status, "
    "error_code, error_message, http_status, reason, attempts, input, cached, output, reasoning, "
    "cost, first_event_ms, duration_ms, client, started_at"
)
_INSERT = f"insert or ignore into request_log ({_COLUMNS}) values ({','.join('?' * 24)})"  # noqa: S608


@dataclass
class Record:
    """What is known of one request so far; its row once it is finished."""

    id: str
    endpoint: str
    started_at: int
    began: float = field(default_factory=time.monotonic)
    session: str | None = None
    turn: str | None = None
    kind: str | None = None  # of a conversation that Codex started for itself: title
    parent: str | None = None  # the one that it started it for, where it says so
    model: str | None = None
    effort: str | None = None
    tier: str | None = None
    client: str | None = None
    key: str | None = None
    reservation: Reservation | None = None
    account: str | None = None
    reason: str | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    status: str = "error"
    error_code: str | None = None
    error_message: str | None = None
    http_status: int | None = None
    response_id: str | None = None
    tokens: Tokens | None = None
    first_event_ms: int | None = None
    duration_ms: int | None = None
    ending: threading.Lock = field(default_factory=threading.Lock)  # held by who ended it
    written: threading.Event = field(default_factory=threading.Event)
    then: Callable[[], None] | None = None  # called by the recorder once the row is on disk

    def elapsed(self) -> int:
        """Milliseconds since the request came."""
        return int((time.monotonic() - self.began) * 1000)


class SeesRequests(Protocol):
    """The ledger, as far as the recorder knows it."""

    def see_requests(self, connection: sqlite3.Connection, finished: Sequence[Finished]) -> None:
        """Join finished requests with the ledger, inside the recorder's transaction."""


class Recorder(threading.Thread):
    """Writes each finished request once: its row in the request log and its call in the ledger."""

    def __init__(self, ledger: SeesRequests, keys: Keys, folder: Path | None = None) -> None:
        super().__init__(name="recorder", daemon=True)
        self._folder = folder  # where what cannot be stored waits for the next start
        self.notices: list[str] = []
        self._ledger = ledger
        self._keys = keys
        self._queue: deque[Record] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._dropped = 0

    def put(self, record: Record, wait: float = WAIT_SECONDS) -> bool:
        """Queue a finished request; returns whether its row was committed within `wait` seconds."""
        if len(self._queue) >= _BACKLOG:
            self._dropped += 1
            return False
        self._queue.append(record)
        if not self._wake.is_set():
            self._wake.set()
        return record.written.wait(wait)

    def start(self) -> None:
        """Begin to write, first of all what the last process could not."""
        if self._folder is not None:
            self._take_up(self._folder)
        super().start()

    def _take_up(self, folder: Path) -> None:
        found = [record for one in waiting.take(folder) if (record := _read(one)) is not None]
        if not found:
            waiting.forget(folder)
            return
        log.info("%d requests waited for this start", len(found))
        found[-1].then = partial(waiting.forget, folder)  # they are written in this order
        self._queue.extendleft(reversed(found))
        self._wake.set()

    def run(self) -> None:
        """Write what queues, until `stop`."""
        with db.reading():  # this thread keeps its connection: opening one costs a millisecond
            self._run()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            self._wake.wait()
            self._wake.clear()
            streams.follow()
            # Those that end at the same time share a transaction, which costs more than a row.
            time.sleep(_GATHER)
            while self._queue:
                if self._write_some():
                    pause = _FIRST_PAUSE
                elif self._stopping.is_set():
                    break
                else:
                    self._stopping.wait(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
            if self._stopping.is_set():
                return

    def stop(self) -> None:
        """Write what is left, and end; what cannot be written waits for the next start."""
        self._stopping.set()
        self._wake.set()
        if self.is_alive():
            self.join(5)
        left = list(self._queue)
        if left and self._folder is not None:
            # One that is being written at this moment is stored once all the same, by its id.
            waiting.keep(self._folder, [_kept(record) for record in left])

    def _write_some(self) -> bool:
        batch = [self._queue[i] for i in range(min(_BATCH, len(self._queue)))]
        try:
            self._write(batch)
        except (sqlite3.Error, PeeweeException, OSError) as error:
            notice = DAMAGED if db.damaged(error) else NOTICE
            if notice not in self.notices:
                log.warning("requests cannot be written: %s", error)
                self.notices.append(notice)
            return False
        except Exception:
            log.exception("requests could not be joined with the ledger; writing them one by one")
            self._write_singly(batch)
        for record in batch:
            self._queue.popleft()
            record.written.set()
            then, record.then = record.then, None  # it holds the stream, which holds the record
            if then is not None:
                then()
        told = [notice for notice in (NOTICE, DAMAGED) if notice in self.notices]
        for notice in told:
            self.notices.remove(notice)
        if told:
            log.warning("requests are written again; %d were lost", self._dropped)
        return True

    def _write(self, batch: Sequence[Record], *, ledger: bool = True) -> None:
        finished = [_finished(r) for r in batch if r.tokens is not None] if ledger else []
        with db.writing("requests", *(("calls",) if finished else ())) as connection:
            erased = _erased(connection, batch)
            rows = [_row(record) for record in batch if record.account not in erased]
            connection.executemany(_INSERT, rows)
            for each in finished:
                each.account = None if each.account in erased else each.account
            if finished:
                self._ledger.see_requests(connection, finished)
            flushed = self._keys.flush(connection)
        self._keys.stored(flushed)

    def _write_singly(self, batch: Sequence[Record]) -> None:
        """One bad row must not take the others with it."""
        for record in batch:
            try:
                self._write([record])
            except Exception:
                try:
                    self._write([record], ledger=False)
                except Exception:
                    log.exception("a request could not be written down")


def _erased(connection: sqlite3.Connection, batch: Sequence[Record]) -> set[str]:
    """The accounts that were removed with their history while these requests were under way.

    Asked inside the transaction: a removal comes before it, or finds these rows to erase.
    """
    known = (
        "select 1 from account where id = ? union all select 1 from removed_account where id = ?"
    )
    return {
        name
        for name in {record.account for record in batch}
        if name is not None and connection.execute(known, (name, name)).fetchone() is None
    }


_PASSING = ("began", "reservation", "tokens", "ending", "written", "then")
_KEPT = [each.name for each in fields(Record) if each.name not in _PASSING]


def _kept(record: Record) -> dict[str, Any]:
    said = {name: getattr(record, name) for name in _KEPT}
    cleaned = {k: _clean(v) if isinstance(v, str) else v for k, v in said.items()}
    return {**cleaned, "tokens": None if record.tokens is None else list(record.tokens)}


def _read(said: dict[str, Any]) -> Record | None:
    """A record as it was kept; None when it is none of ours."""
    known = {name: said[name] for name in _KEPT if name in said}
    tokens = said.get("tokens")
    try:
        if not (isinstance(said["id"], str) and type(said["started_at"]) is int):
            return None
        record = Record(**known)
        record.tokens = None if tokens is None else Tokens(*tokens)
        _row(record)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    return record


def _row(record: Record) -> tuple[Any, ...]:
    used = record.tokens
    cost = None
    if used is not None:
        cost = price(record.model, record.tier, record.started_at, used).cost
    return (
        record.id,
        record.response_id,
        _clean(record.session),
        record.account,
        record.key,
        record.endpoint,
        _clean(record.model),
        _clean(record.effort),
        _clean(record.tier),
        record.status,
        _clean(record.error_code),
        _clean(record.error_message),
        record.http_status,
        record.reason,
        orjson.dumps(record.attempts).decode(),
        *((None,) * 4 if used is None else (used.input, used.cached, used.output, used.reasoning)),
        cost,
        record.first_event_ms,
        record.duration_ms,
        _clean(record.client),
        record.started_at,
    )


def _finished(record: Record) -> Finished:
    return Finished(
        response_id=record.response_id,
        session_id=_clean(record.session),
        turn_id=_clean(record.turn),
        model=_clean(record.model),
        effort=_clean(record.effort),
        tier=_clean(record.tier),
        tokens=record.tokens,
        account=record.account,
        client=_clean(record.client),
        started_at=record.started_at,
        ended_at=record.started_at + (record.duration_ms or 0),
        duration_ms=record.duration_ms,
        kind=record.kind,
        parent=_clean(record.parent),
        title=say("thread.titling") if record.kind == "title" else None,
    )


def _clean(text: str | None) -> str | None:
    """Text that SQLite takes: clients can send lone surrogates."""
    return None if text is None else text[:500].encode("utf-8", "replace").decode()
