"""Which thread is on which account: in memory, stored in the background, forgotten in time."""

from __future__ import annotations

import json
import sqlite3
import threading

from server.store import db

DAY = 24 * 3600 * 1000
# The provider's prompt cache is gone after half an hour; a session may be taken up next day.
LIFE = {"prompt_cache": 30 * 60 * 1000}
FILE = "file"  # the kind of a pin that says which account holds an uploaded file
OWNER = "owner"  # … which account a response or a turn's state came from
HELD = (FILE, OWNER)  # what lies with an account and does not move when it is paused
MOST = 50_000

Place = tuple[str, str]  # kind, key


class Pins:
    """The memory that keeps a thread on an account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Place, tuple[str, int, int]] = {}  # account, created, used
        self._changed: set[Place] = set()

    def load(self) -> None:
        """Read what is stored."""
        found = db.rows(
            "select kind, key, account, created_at, used_at from sticky_session order by used_at"
        )
        with self._lock:
            self._known = {(kind, key): (a, made, used) for kind, key, a, made, used in found}
            self._changed.clear()

    def get(self, kind: str, key: str, now: int) -> str | None:
        """The account of a thread; None when there is none or it was too long ago."""
        with self._lock:
            account, _, used = self._known.get((kind, key), (None, 0, 0))
        return account if account is not None and now - used < LIFE.get(kind, DAY) else None

    def put(self, kind: str, key: str, account: str, now: int) -> None:
        """Remember the account of a thread."""
        with self._lock:
            before, made, _ = self._known.pop((kind, key), (account, now, now))
            # Last in the dict: the oldest are the first to go.
            self._known[(kind, key)] = (account, made if before == account else now, now)
            self._changed.add((kind, key))
            while len(self._known) > MOST:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._changed.add(oldest)

    def drop(
        self, account: str, connection: sqlite3.Connection, keep: tuple[str, ...] = ()
    ) -> None:
        """Forget the pins of an account, but for some kinds, in memory and on disk."""
        with self._lock:
            gone = [
                place
                for place, known in self._known.items()
                if known[0] == account and place[0] not in keep
            ]
            for place in gone:
                del self._known[place]
        connection.execute(
            "delete from sticky_session where account = ? "
            "and kind not in (select value from json_each(?))",
            (account, json.dumps(keep)),
        )

    def expire(self, now: int) -> None:
        """Forget what was too long ago."""
        with self._lock:
            known = list(self._known.items())
        # Outside the lock: looking through all of them takes longer than a request may wait.
        over = [item for item in known if now - item[1][2] >= LIFE.get(item[0][0], DAY)]
        with self._lock:
            for place, pin in over:
                if self._known.get(place) == pin:  # not used meanwhile
                    del self._known[place]
                    self._changed.add(place)

    def flush(self) -> None:
        """Store what changed; when that fails it is tried again."""
        with self._lock:
            changed, self._changed = self._changed, set()
            rows = [(p, self._known.get(p)) for p in changed]
        if not rows:
            return
        try:
            with db.writing() as connection:
                connection.executemany(
                    "replace into sticky_session (kind, key, account, created_at, used_at) "
                    "values (?, ?, ?, ?, ?)",
                    [(*place, *known) for place, known in rows if known is not None],
                )
                connection.executemany(
                    "delete from sticky_session where kind = ? and key = ?",
                    [place for place, known in rows if known is None],
                )
        except BaseException:
            with self._lock:
                self._changed |= changed
            raise
