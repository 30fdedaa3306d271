"""Dashboard sessions: who has signed in, by ticket or by token.

Server-side rows, so that signing out ends a session at once. The id is 256 random bits and
only its SHA-256 is stored. A ticket is what the tray hands to the window it opens: it works
once, for a minute, and leaves the address bar with the redirect.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time

from server.store import db

IDLE_MS = 12 * 3600 * 1000
LIFE_MS = 7 * 24 * 3600 * 1000
MOST = 10
TICKET_SECONDS = 60.0


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


class Sessions:
    """The open dashboard sessions, held in memory and written through to secrets.db."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[int, int]] = {}  # digest → created, used
        self._tickets: dict[str, float] = {}

    def load(self) -> None:
        """Read the stored sessions."""
        with db.reading(db.secrets) as connection:
            found = connection.execute("select digest, created_at, used_at from login").fetchall()
        with self._lock:
            self._open = {digest: (created, used) for digest, created, used in found}

    def open(self, now: int) -> str:
        """Start a session and return its id for the cookie; the oldest gives way to an 11th."""
        identity = secrets.token_urlsafe(32)
        with self._lock:
            self._open[_digest(identity)] = (now, now)
            old = sorted(self._open, key=lambda digest: self._open[digest][1])[:-MOST]
            for digest in old:
                del self._open[digest]
        with db.writing_secrets() as connection:
            connection.execute("insert into login values (?, ?, ?)", (_digest(identity), now, now))
            connection.executemany("delete from login where digest = ?", [(d,) for d in old])
        return identity

    def valid(self, identity: str, now: int) -> bool:
        """Whether a cookie belongs to an open session; using it keeps it from idling out."""
        digest = _digest(identity)
        with self._lock:
            created, used = self._open.get(digest, (0, 0))
            if not created or now - used > IDLE_MS or now - created > LIFE_MS:
                self._open.pop(digest, None)
                return False
            self._open[digest] = (created, max(used, now))
        return True

    def close(self, identity: str) -> None:
        """End a session now."""
        digest = _digest(identity)
        with self._lock:
            self._open.pop(digest, None)
        with db.writing_secrets() as connection:
            connection.execute("delete from login where digest = ?", (digest,))

    def ticket(self) -> str:
        """A one-time ticket that opens a session within a minute."""
        value = secrets.token_urlsafe(24)
        limit = time.monotonic() + TICKET_SECONDS
        with self._lock:
            now = time.monotonic()
            self._tickets = {t: until for t, until in self._tickets.items() if until > now}
            self._tickets[_digest(value)] = limit
        return value

    def redeem(self, ticket: str) -> bool:
        """Whether a ticket is good; it is not good a second time."""
        with self._lock:
            until = self._tickets.pop(_digest(ticket), 0.0)
        return until > time.monotonic()
