"""Dashboard sessions: who has signed in, how, and how far.

Server-side rows, so that signing out ends a session at once. The id is 256 random bits and
only its SHA-256 is stored. A ticket is what the tray hands to the window it opens: it works
once, for a minute, and leaves the address bar with the redirect.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, replace

from server.errors import NotFound
from server.sentences import say
from server.store import db

IDLE_MS = 12 * 3600 * 1000
LIFE_MS = 7 * 24 * 3600 * 1000
MOST = 10
TICKET_SECONDS = 60.0


@dataclass(frozen=True)
class Session:
    """One open session; `id` is what lists show, `digest` what is stored of the cookie."""

    digest: str
    created_at: int
    used_at: int
    method: str = "ticket"  # ticket token password
    verified: bool = True  # the second step was passed, or never asked

    @property
    def id(self) -> str:
        """A name for the session that opens nothing."""
        return self.digest[:16]

    def ends_at(self) -> int:
        """When it ends if nobody uses it again."""
        return min(self.used_at + IDLE_MS, self.created_at + LIFE_MS)


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


def csrf_token(identity: str) -> str:
    """What a page must repeat in `X-CSRF-Token`: only who was given it can know it.

    Keyed by the cookie's own 256 bits, which no script can read, so nothing needs storing.
    """
    return hmac.new(identity.encode("utf-8", "replace"), b"csrf", hashlib.sha256).hexdigest()


class Sessions:
    """The open dashboard sessions, held in memory and written through to secrets.db."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}
        self._stored_use: dict[str, int] = {}
        self._tickets: dict[str, float] = {}

    def load(self) -> None:
        """Read the stored sessions."""
        with db.reading(db.secrets) as connection:
            found = connection.execute(
                "select digest, created_at, used_at, method, verified from login"
            ).fetchall()
        with self._lock:
            self._open = {
                digest: Session(digest, created, used, method, bool(verified))
                for digest, created, used, method, verified in found
            }
            self._stored_use = {s.digest: s.used_at for s in self._open.values()}

    def open(self, now: int, method: str = "ticket", *, verified: bool = True) -> str:
        """Start a session and return its id for the cookie; the oldest gives way to an 11th."""
        identity = secrets.token_urlsafe(32)
        session = Session(_digest(identity), now, now, method, verified)
        with self._lock:
            self._open[session.digest] = session
            by_use = sorted(self._open.values(), key=lambda s: (s.used_at, s is session))
            old = [s.digest for s in by_use[:-MOST]]
            self._forget(old)
            self._stored_use[session.digest] = now
        with db.writing_secrets() as connection:
            connection.execute(
                "insert into login (digest, created_at, used_at, method, verified) "
                "values (?, ?, ?, ?, ?)",
                (session.digest, now, now, method, verified),
            )
            connection.executemany("delete from login where digest = ?", [(d,) for d in old])
        return identity

    def find(self, identity: str, now: int) -> Session | None:
        """The open session of a cookie; using it keeps it from idling out."""
        digest = _digest(identity)
        with self._lock:
            session = self._open.get(digest)
            if session is None or now >= session.ends_at():
                self._forget([digest])
                return None
            session = replace(session, used_at=max(session.used_at, now))
            self._open[digest] = session
        return session

    def valid(self, identity: str, now: int) -> bool:
        """Whether a cookie belongs to an open session."""
        return self.find(identity, now) is not None

    def all(self, now: int) -> list[Session]:
        """Every open session, the last used first."""
        with self._lock:
            found = [s for s in self._open.values() if now < s.ends_at()]
        return sorted(found, key=lambda s: s.used_at, reverse=True)

    def close(self, identity: str) -> None:
        """End the session of a cookie now."""
        self._end([_digest(identity)])

    def close_by_id(self, identity: str) -> None:
        """End the session that lists show under this id. Raises 404."""
        with self._lock:
            found = [s.digest for s in self._open.values() if s.id == identity]
        if not found:
            raise NotFound(say("session.gone"))
        self._end(found)

    def close_all(self, *, but: str = "") -> int:
        """End every session except that of the cookie `but`; returns how many that were."""
        kept = _digest(but) if but else ""
        with self._lock:
            found = [digest for digest in self._open if digest != kept]
        self._end(found)
        return len(found)

    def save(self) -> None:
        """Store when sessions were last used and drop those that have ended (a job)."""
        now = db.now_ms()
        with self._lock:
            ended = [s.digest for s in self._open.values() if now >= s.ends_at()]
            used = [
                (s.used_at, s.digest)
                for s in self._open.values()
                if s.used_at != self._stored_use.get(s.digest)
            ]
            self._forget(ended)
            self._stored_use.update({digest: at for at, digest in used if digest in self._open})
        if not ended and not used:
            return
        with db.writing_secrets() as connection:
            connection.executemany("update login set used_at = ? where digest = ?", used)
            connection.executemany("delete from login where digest = ?", [(d,) for d in ended])

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

    def _end(self, digests: Collection[str]) -> None:
        with self._lock:
            self._forget(digests)
        with db.writing_secrets() as connection:
            connection.executemany("delete from login where digest = ?", [(d,) for d in digests])

    def _forget(self, digests: Collection[str]) -> None:
        for digest in digests:
            self._open.pop(digest, None)
            self._stored_use.pop(digest, None)
