"""Snapshots: what was observed of each window, kept at a sane density and read back."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable

from server.accounts.allowance import MINUTE, Credits, Usage, Window, late, ordered
from server.store import db

DENSITY = 5 * MINUTE
DAY = 24 * 60 * MINUTE
DENSE = 35 * DAY  # the 28-day trend, and what held before it
SPARSE = 6 * 60 * MINUTE  # after that one observation in so long is kept
OLDEST = 400 * DAY  # the longest trend that can be asked for
_AT_ONCE = 1000  # rows a transaction, so that no other writer waits for long
_COLUMNS = "account, source, window, used_percent, window_minutes, resets_at, credits, plan"
_RESET_MOVED = MINUTE  # less is the provider's rounding

Row = tuple[str, str, str, float, int | None, int | None, float | None, str | None, int]


# What an account has, as it is stored: keys of windows, credits, banked resets.
Held = tuple[str, str | None, int | None]


class History:
    """Collects observations in memory; `flush` stores those that say something new.

    Snapshots are kept for the trends, so what an account has now is stored beside them: a
    window, or credits, that the provider no longer names must not come back with a restart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Window] = {}  # the last stored observation
        self._waiting: dict[tuple[str, str], Row] = {}
        self._held: dict[str, Held] = {}  # as stored
        self._holding: dict[str, Held] = {}  # to be stored

    def load(self) -> dict[str, Usage]:
        """What each account has, with the newest stored observation of each window."""
        newest = (
            "select s.account, s.window, s.used_percent, s.window_minutes, s.resets_at, "
            "s.observed_at from snapshot s join (select account, window, "
            "max(observed_at) at from snapshot where account != '' group by account, window) m "
            "on s.account = m.account and s.window = m.window and s.observed_at = m.at"
        )
        windows: dict[str, dict[str, Window]] = {}
        for account, key, *rest in db.rows(newest):
            windows.setdefault(account, {})[key] = Window(key, *rest)
        stored = db.rows("select account, windows, credits, reset_credits from allowance_now")
        held: dict[str, Held] = {account: (keys, *rest) for account, keys, *rest in stored}
        with self._lock:
            self._kept = {(a, w.key): w for a, found in windows.items() for w in found.values()}
            self._held = held
        return {account: _usage(held[account], windows.get(account, {})) for account in held}

    def see(self, account: str, usage: Usage, source: str, now: Usage) -> bool:
        """Take an observation, and what the account has by it: True when that is news.

        Does not touch the disk.
        """
        balance = usage.credits.balance if usage.credits else None
        holds = _held(now)
        with self._lock:
            changed = self._holding.get(account, self._held.get(account)) != holds
            if changed:
                self._holding[account] = holds
            for window in usage.windows:
                place = (account, window.key)
                if not _says_more(self._kept.get(place), window):
                    continue
                changed = True
                self._waiting[place] = (
                    account,
                    source,
                    window.key,
                    window.used_percent,
                    window.minutes,
                    window.resets_at,
                    balance,
                    usage.plan,
                    window.observed_at,
                )
        return changed

    def flush(self) -> None:
        """Store what waits; when that fails it goes on waiting."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            holding, self._holding = self._holding, {}
        if not waiting and not holding:
            return
        try:
            with db.writing() as connection:
                connection.executemany(
                    f"insert into snapshot ({_COLUMNS}, observed_at) "  # noqa: S608
                    "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    list(waiting.values()),
                )
                connection.executemany(
                    "replace into allowance_now (account, windows, credits, reset_credits) "
                    "values (?, ?, ?, ?)",
                    [(account, *held) for account, held in holding.items()],
                )
        except BaseException:
            with self._lock:
                self._waiting = {**waiting, **self._waiting}
                self._holding = {**holding, **self._holding}
            raise
        with self._lock:
            self._held.update(holding)
            for place, row in waiting.items():
                self._kept[place] = Window(place[1], row[3], row[4], row[5], row[8])

    def forget(self, account: str, connection: sqlite3.Connection | None = None) -> None:
        """Drop what waits for an account; with a connection, also what is stored."""
        with self._lock:
            for known in (self._waiting, self._kept):
                for place in [place for place in known if place[0] == account]:
                    known.pop(place)
            self._holding.pop(account, None)
            self._held.pop(account, None)
        if connection is not None:
            connection.execute("delete from snapshot where account = ?", (account,))
            connection.execute("delete from allowance_now where account = ?", (account,))

    def forget_old(self, now: int) -> None:
        """Thin out what is older than the trends look at closely.

        The newest observation of a window stays however old it is: it still holds.
        """
        for account, window in db.rows("select distinct account, window from snapshot"):
            _thin(account, window, now - DENSE, SPARSE)
            _thin(account, window, now - OLDEST, now - OLDEST)


def _thin(account: str, window: str, before: int, step: int) -> None:
    """Of the observations before a time, keep the newest in each step."""
    while True:
        with db.writing() as connection:
            gone = connection.execute(
                "delete from snapshot where id in (select id from snapshot s where account = ?1 "
                "and window = ?2 and observed_at < ?3 and exists (select 1 from snapshot l "
                "where l.account = ?1 and l.window = ?2 and l.observed_at > s.observed_at "
                "and l.observed_at < (s.observed_at / ?4 + 1) * ?4) limit ?5)",
                (account, window, before, step, _AT_ONCE),
            ).rowcount
        if gone < _AT_ONCE:
            return


def _says_more(kept: Window | None, seen: Window) -> bool:
    if kept is None:
        return True
    if late(kept, seen):
        return False
    moved = abs((seen.resets_at or 0) - (kept.resets_at or 0)) > _RESET_MOVED
    if moved or kept.minutes != seen.minutes or int(kept.used_percent) != int(seen.used_percent):
        return True
    # Within one percent: at most a row each five minutes, and none when nothing changed.
    again = seen.observed_at - kept.observed_at >= DENSITY
    return again and kept.used_percent != seen.used_percent


def _held(usage: Usage) -> Held:
    paid = usage.credits
    return (
        json.dumps([window.key for window in usage.windows]),
        None if paid is None else json.dumps([paid.has, paid.unlimited, paid.balance]),
        usage.reset_credits,
    )


def _usage(held: Held, windows: dict[str, Window]) -> Usage:
    keys, paid, resets = held
    return Usage(
        ordered(windows[key] for key in json.loads(keys) if key in windows),
        credits=None if paid is None else Credits(*json.loads(paid)),
        reset_credits=resets,
    )


def observed(account: str, since: int, window: str | None = None) -> dict[str, list[Window]]:
    """The stored observations of an account by window, oldest first, from `since` on.

    The last one before `since` comes first, because it still held then.
    """
    found: dict[str, list[Window]] = {}
    keys = db.rows("select distinct window from snapshot where account = ?", (account,))
    for (key,) in keys:
        if window is not None and key != window:
            continue
        rows = db.rows(
            "select used_percent, window_minutes, resets_at, observed_at from snapshot "
            "where account = ? and window = ? and observed_at >= coalesce((select max(observed_at) "
            "from snapshot where account = ? and window = ? and observed_at <= ?), 0) "
            "order by observed_at",
            (account, key, account, key, since),
        )
        found[key] = [Window(key, *row) for row in rows]
    return found


def average(windows: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    values = list(windows)
    return sum(values) / len(values) if values else None
