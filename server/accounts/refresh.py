"""Keep tokens fresh: one refresh at a time, and a rotated token is on disk before it is used.

A refresh token works once. Using one twice, even in two accounts of one family at the same
moment, can end them all, so every refresh of this process goes through one gate, says on disk
which token it is about to use, and is not repeated while its outcome is unknown.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import peewee

from server.accounts import oauth, provider
from server.accounts.provider import RefreshFailed, SignInNeeded, StillRefused, Unopened
from server.config import Config
from server.errors import AppError
from server.sentences import say
from server.store import db, vault

log = logging.getLogger(__name__)

EARLY = 5 * 60 * 1000  # before the end of an access token
OPAQUE_LIFE = 8 * 24 * 3600 * 1000  # of an access token that does not say when it ends
# New tokens that are refused, too, are renewed again, but not more often than this.
MOST_RENEWALS, WITHIN = 4, 60.0  # seconds
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0  # seconds between tries that failed
_COLUMNS = "access_token, refresh_token, id_token, expires_at, refreshed_at, refreshing"


@dataclass(frozen=True, repr=False)
class Held:
    """The tokens of one account, readable. `refreshing` is the digest of one sent before."""

    access: str
    refresh: str | None
    identity: str | None
    expires_at: int | None
    refreshed_at: int
    refreshing: str | None = None
    saved: bool = True


@dataclass
class _Wait:
    failures: int
    until: float  # monotonic
    message: str


class Credentials:
    """The stored tokens of all accounts."""

    def __init__(self, config: Config) -> None:
        self._url = config.auth_base_url
        self._lock = threading.Lock()
        self._storing = threading.RLock()  # orders what is written
        self._gate = threading.Lock()  # one refresh at a time in the whole process
        self._sealed: dict[str, tuple[Any, ...]] = {}
        self._held: dict[str, Held] = {}
        self._dead: dict[str, tuple[str, str]] = {}  # reason, standing
        self._waits: dict[str, _Wait] = {}
        self._renewed: dict[str, deque[float]] = {}  # monotonic, the latest few

    def load(self) -> None:
        """Read the sealed tokens; none is opened before it is needed."""
        with db.reading(db.secrets) as connection:
            found = connection.execute(f"select account, {_COLUMNS} from credential").fetchall()  # noqa: S608
        with self._lock:
            self._sealed = {row[0]: row[1:] for row in found}
            for known in (self._held, self._dead, self._waits):
                known.clear()

    def accounts(self) -> set[str]:
        """The accounts that have tokens."""
        with self._lock:
            return set(self._sealed) | set(self._held)

    def health(self, account: str, now: int) -> dict[str, Any]:
        """What is known of an account's tokens, without opening them."""
        with self._lock:
            held, sealed = self._held.get(account), self._sealed.get(account)
        if held is not None:
            ends, at = held.expires_at, held.refreshed_at
            refresh, identity = held.refresh is not None, held.identity is not None
        elif sealed is not None:
            ends, at = sealed[3], sealed[4]
            refresh, identity = sealed[1] is not None, sealed[2] is not None
        else:
            ends, at, refresh, identity = None, None, False, False
        state = "unknown" if ends is None else ("valid" if ends > now else "expired")
        return {
            "expires_at": ends,
            "refreshed_at": at,
            "access": state,
            "refresh": "stored" if refresh else "missing",
            "identity": "parsed" if identity else "unknown",
        }

    def keep(self, account: str, found: oauth.SignIn, now: int) -> None:
        """Store the tokens of a sign-in, durably, in place of older ones."""
        held = Held(
            found.access_token,
            found.refresh_token,
            found.id_token,
            found.expires_at,
            min(found.refreshed_at or now, now),
        )
        self._store(account, held)
        with self._lock:
            self._renewed.pop(account, None)

    def revive(self, account: str) -> None:
        """Let an account be asked for again after a permanent failure (the user wants to try)."""
        with self._lock:
            self._dead.pop(account, None)
            self._waits.pop(account, None)

    def give_up(self, account: str, reason: str, standing: str) -> None:
        """Do not ask for this account any more, until `revive` or a new sign-in."""
        with self._lock:
            self._dead[account] = (reason, standing)

    def refused(self, account: str, access: str, error: SignInNeeded) -> bool:
        """Give up as `give_up` does, unless the account has another access token by now."""
        with self._lock:
            held = self._held.get(account)
            if held is None or held.access != access:
                return False
            self._dead[account] = (error.reason, error.standing)
            return True

    def held(self, account: str) -> Held:
        """The account's tokens as they are. Raises `SignInNeeded` when they are of no use."""
        return self._open(account)

    def due(self, account: str, early: int) -> bool:
        """Whether the access token ends within `early` and can be renewed; opens nothing."""
        now = db.now_ms()
        with self._lock:
            wait = self._waits.get(account)
            if account in self._dead or (wait and time.monotonic() < wait.until):
                return False
        health = self.health(account, now)
        if health["refreshed_at"] is None or health["refresh"] != "stored":
            return False
        ends = health["expires_at"] or health["refreshed_at"] + OPAQUE_LIFE
        return bool(now >= ends - early)

    def remove(self, account: str) -> None:
        """Forget an account's tokens, in memory and on disk."""
        with self._storing:
            with db.writing_secrets() as connection:
                for table in ("credential", "account_copy"):
                    connection.execute(f"delete from {table} where account = ?", (account,))  # noqa: S608
            with self._lock:
                for known in (self._sealed, self._held, self._dead, self._waits):
                    known.pop(account, None)

    def fresh(self, account: str, *, early: int = EARLY, patient: bool = False) -> Held:
        """The account's tokens, refreshed first when the access token ends within `early`.

        While another refresh is under way, a token that still works is used as it is, unless
        the caller is patient. A transient failure is nobody's loss while that token works.
        Raises `SignInNeeded` or `RefreshFailed` when there is no usable access token.
        """
        held = self._open(account)
        if not _due(held, db.now_ms(), early):
            return held
        good = not _ended(held, db.now_ms())
        if not self._gate.acquire(blocking=patient or not good):
            return held  # somebody refreshes, and this token still works
        try:
            held = self._open(account)
            if not _due(held, db.now_ms(), early):
                return held
            return self._renew(account, held, "proactive_expiry")
        except RefreshFailed:
            if not good:
                raise
            return held
        finally:
            self._gate.release()

    def renew(self, account: str, stale: str) -> Held:
        """New tokens after the provider refused `stale`; one call however many ask.

        Raises `StillRefused` when the account got several new ones within a minute.
        """
        with self._gate:
            held = self._open(account)
            if held.access != stale:
                return held
            # A new token may be refused, and the next one good; but asking for one at every
            # request would look like an attack.
            since = time.monotonic() - WITHIN
            if sum(at > since for at in self._renewed.get(account, ())) >= MOST_RENEWALS:
                raise StillRefused("The provider refuses tokens that were renewed just now.")
            return self._renew(account, held, "unauthorized_recovery")

    def save_pending(self) -> None:
        """Try again to store tokens that a full disk kept from being stored."""
        with self._lock:
            pending = [(a, held) for a, held in self._held.items() if not held.saved]
        for account, held in pending:
            with self._storing:
                if self._unchanged(account, held):
                    self._store(account, held)

    def stop(self, seconds: float) -> None:
        """Let a refresh that is under way store its tokens, and start no other.

        A process that ends between the provider's answer and the disk loses the account.
        """
        self._gate.acquire(timeout=seconds)  # and never released: this was the last

    # ── inside ────────────────────────────────────────────────────────────────────────────

    def _open(self, account: str) -> Held:
        with self._lock:
            if account in self._dead:
                raise SignInNeeded(*self._dead[account])
            held, sealed = self._held.get(account), self._sealed.get(account)
        if held is not None:
            return held
        if sealed is None:
            raise SignInNeeded(say("state.noTokens"))
        try:
            held = _unsealed(account, sealed)
        except db.StoreError as error:
            # Not for good: the key may come back (a keyring that is still locked, a backup).
            reason = say("state.closed", folder=vault.keys_folder())
            raise Unopened(error.message, reason) from error
        with self._lock:
            return self._held.setdefault(account, held)

    def _renew(self, account: str, held: Held, reason: str) -> Held:
        """Ask for new tokens; the gate is held."""
        if held.refresh is None:
            if _ended(held, db.now_ms()) or reason == "unauthorized_recovery":
                raise self._bury(account, held, SignInNeeded(say("state.noRefresh")))
            return held
        wait = self._waits.get(account)
        if wait is not None and time.monotonic() < wait.until:
            raise RefreshFailed(wait.message)
        if not held.saved:
            self._store(account, replace(held, saved=True))
        self._intend(account, held, _digest(held.refresh))
        try:
            renewed = provider.renew(self._url, held.refresh, reason)
        except SignInNeeded as error:
            raise self._bury(account, held, error) from None
        except RefreshFailed as error:
            self._later(account, error)
            if error.answered:  # it was not used up, so it may be tried early again
                self._intend(account, held, None)
            raise
        return self._accept(account, held, renewed)

    def _accept(self, account: str, held: Held, renewed: provider.Renewed) -> Held:
        access = renewed.access or held.access
        new = Held(
            access,
            renewed.refresh or held.refresh,
            renewed.identity or held.identity,
            oauth.expiry(access),
            db.now_ms(),
        )
        try:
            with self._storing:
                if not self._unchanged(account, held):
                    raise RefreshFailed("The account was signed in again or removed meanwhile.")
                self._store(account, new)
        except RefreshFailed:
            raise
        except (AppError, peewee.DatabaseError, sqlite3.Error, OSError) as failure:
            # The old token is used up: without the new one in memory the account is lost.
            log.warning("renewed tokens are kept in memory until they can be stored: %s", failure)
            with self._lock:
                self._held[account] = replace(new, saved=False)
        if renewed.access is None:
            error = RefreshFailed("The sign-in server sent no access token.", answered=True)
            self._later(account, error)
            raise error
        with self._lock:
            self._waits.pop(account, None)
            renewals = self._renewed.setdefault(account, deque(maxlen=MOST_RENEWALS))
            renewals.append(time.monotonic())
        return new

    def _unchanged(self, account: str, held: Held) -> bool:
        """Whether these are still the account's tokens: no newer sign-in, not removed."""
        with self._lock:
            current = self._held.get(account)
        return current is not None and current.refresh == held.refresh

    def _bury(self, account: str, held: Held, error: SignInNeeded) -> AppError:
        if not self._unchanged(account, held):
            return RefreshFailed("The account was signed in again or removed meanwhile.")
        with self._lock:
            self._dead[account] = (error.reason, error.standing)
        return error

    def _later(self, account: str, error: RefreshFailed) -> None:
        log.warning("an account's tokens were not renewed: %s", error.message)
        with self._lock:
            known = self._waits.get(account)
            failures = known.failures + 1 if known else 1
            pause = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures - 1, 10))
            pause = max(pause, min(float(error.retry_after or 0), LONGEST_WAIT))
            self._waits[account] = _Wait(failures, time.monotonic() + pause, error.message)

    def _intend(self, account: str, held: Held, digest: str | None) -> None:
        if not self._unchanged(account, held):
            return
        with db.writing_secrets() as connection:
            connection.execute(
                "update credential set refreshing = ? where account = ?", (digest, account)
            )
        with self._lock:
            self._held[account] = replace(held, refreshing=digest)

    def _store(self, account: str, held: Held) -> None:
        sealed = _sealed(account, held)
        with self._storing:
            with db.writing_secrets() as connection:
                connection.execute(
                    f"replace into credential (account, {_COLUMNS}) "  # noqa: S608
                    "values (?, ?, ?, ?, ?, ?, ?)",
                    (account, *sealed),
                )
            with self._lock:
                self._sealed[account] = sealed
                self._held[account] = replace(held, saved=True)
                for known in (self._dead, self._waits):
                    known.pop(account, None)


def _sealed(account: str, held: Held) -> tuple[Any, ...]:
    def sealed(column: str, value: str | None) -> bytes | None:
        if value is None:
            return None
        return vault.seal("credential", column, account, value.encode("ascii"))

    return (
        sealed("access_token", held.access),
        sealed("refresh_token", held.refresh),
        sealed("id_token", held.identity),
        held.expires_at,
        held.refreshed_at,
        held.refreshing,
    )


def _unsealed(account: str, row: tuple[Any, ...]) -> Held:
    def opened(column: str, value: bytes | None) -> str | None:
        if value is None:
            return None
        return vault.unseal("credential", column, account, value).decode("ascii")

    return Held(
        opened("access_token", row[0]) or "",
        opened("refresh_token", row[1]),
        opened("id_token", row[2]),
        *row[3:6],
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _ends(held: Held) -> int:
    return held.expires_at if held.expires_at is not None else held.refreshed_at + OPAQUE_LIFE


def _ended(held: Held, now: int) -> bool:
    return now >= _ends(held)


def _due(held: Held, now: int, early: int) -> bool:
    # An earlier try may have used this refresh token up: wait until there is nothing to lose.
    unclear = held.refresh is not None and held.refreshing == _digest(held.refresh)
    return now >= _ends(held) - (0 if unclear else early)
