"""Our API keys for clients: who a key is, what it may ask for, and how much.

Everything a request needs is in memory, so that no request waits for the database. What calls
used is written behind: by the recorder, in the transaction that stores the call's own row, or
by `save()`. A reservation lives in memory only; it cannot outlive the call that holds it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from server.auth import limits
from server.auth.limits import LONGEST_OUTPUT, OUTPUT_BUDGET, Estimate, Limit, Rule, Spent
from server.errors import Forbidden, NotFound, TooMany, Unauthorized
from server.sentences import say
from server.store import db

# `Estimate`, `Spent` and how long answers are belong to the limits, but callers meet them here.
__all__ = [
    "LONGEST_OUTPUT",
    "OUTPUT_BUDGET",
    "UNKNOWN",
    "Draft",
    "Estimate",
    "Key",
    "Keys",
    "Reservation",
    "Spent",
    "bearer",
]

PREFIX = "sk-clb-"
SHOWN = 15  # characters of a key that a list may show
UNKNOWN = Estimate()
PATIENCE = 15.0  # seconds that a call waits for others of its key to say what they used
WAITERS = 8  # calls that wait at a time; each has a thread of the server
_RECENT = 20  # calls whose use tells what the next one may use


@dataclass(frozen=True)
class Draft:
    """A key that a user asks for; None means no restriction."""

    name: str
    models: tuple[str, ...] | None = None
    accounts: tuple[str, ...] | None = None
    expires_at: int | None = None
    rules: tuple[Rule, ...] = ()
    active: bool = True


@dataclass(frozen=True)
class Key:
    """One key as it stands, without its secret."""

    id: str
    name: str
    prefix: str
    digest: str
    active: bool
    models: tuple[str, ...] | None
    accounts: tuple[str, ...] | None
    expires_at: int | None
    used_at: int | None
    created_at: int
    limits: tuple[Limit, ...] = ()


@dataclass(eq=False)
class _Counter:
    """A limit in memory; it needs storing while `limit` is not what is `stored`."""

    limit: Limit
    stored: Limit
    reserved: int = 0
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT))  # what calls used

    @property
    def largest(self) -> int | None:
        """The most that a recent call used; None when none has ended yet."""
        return max(self.recent, default=None)


@dataclass(eq=False)
class _Held:
    """A key in memory."""

    key: Key
    stored_use: int | None
    counters: list[_Counter]


@dataclass(eq=False)
class Reservation:
    """What one call holds of its key's limits until it is settled or released."""

    key: str
    estimate: Estimate
    holds: list[tuple[_Counter, int]] = field(repr=False)
    open: bool = True


@dataclass(frozen=True)
class Flushed:
    """What a transaction wrote; hand it to `Keys.stored` once that has committed."""

    counters: list[tuple[_Counter, Limit]]
    uses: list[tuple[_Held, int]]

    def __bool__(self) -> bool:
        return bool(self.counters or self.uses)


def digest(secret: str) -> str:
    """What is stored of a key: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def bearer(environ: Mapping[str, Any]) -> str | None:
    """The bearer token of a request, if it carries one."""
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


class Keys:
    """All API keys, in memory and written through."""

    def __init__(self) -> None:
        # _editing orders the edits and may wait for the database; _lock never does.
        self._editing = threading.Lock()
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._waiting = 0
        self._held: dict[str, _Held] = {}
        self._by_digest: dict[str, _Held] = {}

    def load(self) -> None:
        """Read every key and limit."""
        found = {row[0]: _held(row) for row in db.rows(_SELECT_KEYS)}
        for row in db.rows(_SELECT_LIMITS):
            if row[1] in found:
                limit = Limit(Rule(row[2], row[3], row[5], row[4]), row[7], row[6], row[0])
                found[row[1]].counters.append(_Counter(limit, limit))
        for held in found.values():
            _recall(held)
        with self._lock:
            self._held = found
            self._by_digest = {held.key.digest: held for held in found.values()}

    # ── what a request asks ───────────────────────────────────────────────────────────────

    def authenticate(self, token: str | None) -> Key:
        """The key that a bearer token is. Raises 401 `invalid_api_key`, saying what to do."""
        if not token:
            raise _invalid("Send an API key: Authorization: Bearer sk-clb-….")
        held = self._by_digest.get(digest(token))
        if held is None:
            raise _invalid("This API key is not known here. Check it, or ask for a new one.")
        key = held.key
        if not key.active:
            raise _invalid("This API key has been switched off.")
        if key.expires_at is not None and key.expires_at <= db.now_ms():
            raise _invalid("This API key has expired. Ask for a new one.")
        return key

    def allow_model(self, key: Key, model: str) -> None:
        """Raise 403 `model_not_allowed` unless the key may use `model`."""
        if key.models is not None and model not in key.models:
            raise Forbidden(
                f"This API key may not use the model “{model[:100]}”. "
                f"It may use: {', '.join(key.models) or 'none'}.",
                code="model_not_allowed",
            )

    def allow_listing(self, key: Key) -> None:
        """Raise 429 when a limit on all models is used up (lists of models ask this)."""
        now = db.now_ms()
        for limit in self._now(key.id, now).limits:
            if limits.applies(limit.rule, None) and limit.used >= limit.rule.maximum:
                raise limits.refusal(limit, now)

    def reserve(self, key: Key, model: str, estimate: Estimate = UNKNOWN) -> Reservation:
        """Hold what a call may use, in all limits at once or in none.

        What is held is at first the most that the call can use, later what the key's calls have
        used; a call that does not fit beside those under way waits for them, `PATIENCE` at most.
        Raises 429 `rate_limit_exceeded` when a limit has no room. The caller must `settle` or
        `release` the reservation, whatever happens.
        """
        deadline = time.monotonic() + PATIENCE
        with self._freed:
            while True:
                found = self._fit(key, model, estimate, db.now_ms())
                if isinstance(found, Reservation):
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or self._waiting >= WAITERS:
                    raise found
                self._waiting += 1
                self._freed.wait(left)
                self._waiting -= 1

    def _fit(self, key: Key, model: str, estimate: Estimate, now: int) -> Reservation | TooMany:
        """The reservation, or why it must wait for calls under way; raises what lasts."""
        held = self._held.get(key.id)
        if held is None:
            raise _invalid("This API key has been deleted.")
        counters = [c for c in held.counters if limits.applies(c.limit.rule, model)]
        holds = []
        for counter in counters:
            counter.limit = limits.rolled(counter.limit, now)
            room = limits.room(counter.limit, counter.reserved)
            need = limits.needed(counter.limit, estimate, counter.recent)
            if not counter.reserved and not limits.enough(counter.limit, counter.largest):
                raise limits.refusal(counter.limit, now, held=False)
            if not limits.room(counter.limit, 0):
                raise limits.refusal(counter.limit, now)
            if counter.reserved and room < need:
                refusal = limits.refusal(counter.limit, now)
                if counter.limit.rule.measure == "requests":
                    raise refusal  # those under way will count: there is nothing to wait for
                return refusal
            holds.append((counter, min(room, need)))
        for counter, amount in holds:
            counter.reserved += amount
        return Reservation(key.id, estimate, holds)

    def settle(self, reservation: Reservation, spent: Spent | None) -> None:
        """Count what a call used instead of what it held; a second call does nothing.

        None: the provider took the call, but never said what it used (the client left). Then
        the estimated input counts.
        """
        now = db.now_ms()
        with self._lock:
            if not self._let_go(reservation):
                return
            for counter, amount in reservation.holds:
                measure = counter.limit.rule.measure
                more = (
                    limits.charge_unfinished(measure, reservation.estimate, amount)
                    if spent is None
                    else limits.charge(measure, spent)
                )
                limit = limits.rolled(counter.limit, now)
                counter.limit = replace(limit, used=limit.used + more)
                if spent is not None and more:
                    counter.recent.append(more)
            held = self._held.get(reservation.key)
            if held is not None:
                held.key = replace(held.key, used_at=now)
        db.touch("keys")

    def release(self, reservation: Reservation) -> None:
        """Let go of a reservation whose call was never taken; harmless after `settle`."""
        with self._lock:
            self._let_go(reservation)

    def _let_go(self, reservation: Reservation) -> bool:
        was_open, reservation.open = reservation.open, False
        if was_open:
            for counter, amount in reservation.holds:
                counter.reserved -= amount
            self._freed.notify_all()
        return was_open

    # ── writing behind ────────────────────────────────────────────────────────────────────

    def flush(self, connection: sqlite3.Connection) -> Flushed:
        """Write what calls used since the last time, inside the caller's transaction.

        Nothing is forgotten until `stored` says that the transaction has committed.
        """
        with self._lock:
            changed = [
                (counter, counter.limit)
                for held in self._held.values()
                for counter in held.counters
                if counter.limit is not counter.stored and counter.limit.id is not None
            ]
            uses = [
                (held, held.key.used_at)
                for held in self._held.values()
                if held.key.used_at is not None and held.key.used_at != held.stored_use
            ]
        if changed:
            connection.executemany(
                "update key_limit set used = ?, resets_at = ? where id = ?",
                [(limit.used, limit.resets_at, limit.id) for _, limit in changed],
            )
        if uses:
            connection.executemany(
                "update api_key set used_at = ? where id = ?",
                [(used_at, held.key.id) for held, used_at in uses],
            )
        return Flushed(changed, uses)

    def stored(self, flushed: Flushed) -> None:
        """Say that the transaction which wrote this has committed."""
        with self._lock:
            for counter, limit in flushed.counters:
                counter.stored = limit
            for held, used_at in flushed.uses:
                held.stored_use = used_at

    def save(self) -> None:
        """Write what calls used in a transaction of our own (a job, and the last act)."""
        if not self._changed():
            return
        with db.writing() as connection:
            flushed = self.flush(connection)
        self.stored(flushed)

    def _changed(self) -> bool:
        with self._lock:
            return any(
                held.key.used_at != held.stored_use
                or any(counter.limit is not counter.stored for counter in held.counters)
                for held in self._held.values()
            )

    # ── what the dashboard does ───────────────────────────────────────────────────────────

    def all(self) -> list[Key]:
        """Every key, the newest first."""
        now = db.now_ms()
        with self._lock:
            found = [_view(held, now) for held in self._held.values()]
        return sorted(found, key=lambda key: (key.created_at, key.id), reverse=True)

    def get(self, identity: str) -> Key:
        """One key. Raises 404."""
        return self._now(identity, db.now_ms())

    def create(self, draft: Draft) -> tuple[Key, str]:
        """Make a key; returns it and its secret, which is not kept anywhere."""
        now = db.now_ms()
        secret = PREFIX + secrets.token_urlsafe(32)
        with self._editing:
            key = Key(
                id=str(uuid.uuid4()),
                name=draft.name,
                prefix=secret[:SHOWN],
                digest=digest(secret),
                active=draft.active,
                models=draft.models,
                accounts=draft.accounts,
                expires_at=draft.expires_at,
                used_at=None,
                # Two keys of one millisecond would have no order in the list.
                created_at=max([now, *(k.created_at + 1 for k in self.all()[:1])]),
                limits=tuple(limits.begun(rule, now) for rule in draft.rules),
            )
            kept = self._write(key)
            with self._lock:
                held = _Held(replace(key, limits=()), None, [_Counter(x, x) for x in kept])
                self._held[key.id] = self._by_digest[key.digest] = held
        return self.get(key.id), secret

    def adopt(self, key: Key) -> bool:
        """Take over a key made elsewhere, with its digest; False when it is here already."""
        with self._editing:
            with self._lock:
                if key.id in self._held or key.digest in self._by_digest:
                    return False
            kept = self._write(key)
            with self._lock:
                held = _Held(replace(key, limits=()), key.used_at, [_Counter(x, x) for x in kept])
                self._held[key.id] = self._by_digest[key.digest] = held
        return True

    def edit(
        self,
        identity: str,
        changes: Mapping[str, Any],
        rules: Sequence[Rule] | None = None,
        *,
        reset: bool = False,
    ) -> Key:
        """Change fields of a key (`name models accounts expires_at active`) and its limits.

        `rules` None keeps the limits. A rule that stays keeps its use, unless `reset`. Raises 404.
        """
        with self._editing:
            self._edited(identity, changes, rules, reset)
        return self.get(identity)

    def _edited(
        self,
        identity: str,
        changes: Mapping[str, Any],
        rules: Sequence[Rule] | None = None,
        reset: bool = False,
    ) -> None:
        now = db.now_ms()
        before = self._now(identity, now)
        wanted = [limit.rule for limit in before.limits] if rules is None else rules
        after = limits.merged(before.limits, wanted, now, reset=reset)
        kept = self._write(replace(before, **changes, limits=tuple(after)))
        with self._lock:
            held = self._held[identity]
            held.key = replace(held.key, **changes)
            old = {counter.limit.id: counter for counter in held.counters}
            held.counters = [_kept(old.get(limit.id), limit, reset) for limit in kept]

    def forget_account(self, account: str) -> None:
        """Take a removed account from the keys it was assigned to.

        A key that had no other may use none from then on, not all.
        """
        with self._editing:
            with self._lock:
                assigned = {
                    held.key.id: held.key.accounts or ()
                    for held in self._held.values()
                    if account in (held.key.accounts or ())
                }
            for identity, accounts in assigned.items():
                left = tuple(each for each in accounts if each != account)
                self._edited(identity, {"accounts": left})

    def delete(self, identity: str) -> None:
        """Remove a key; its next request is refused. Raises 404."""
        with self._editing:
            self._now(identity, 0)
            with db.writing("keys") as connection:
                connection.execute("delete from key_limit where key = ?", (identity,))
                connection.execute("delete from api_key where id = ?", (identity,))
            with self._lock:
                held = self._held.pop(identity)
                self._by_digest.pop(held.key.digest, None)

    def regenerate(self, identity: str) -> tuple[Key, str]:
        """Give a key a new secret; the old one dies at once, limits and use stay. Raises 404."""
        secret = PREFIX + secrets.token_urlsafe(32)
        prefix, hashed = secret[:SHOWN], digest(secret)
        with self._editing:
            before = self._now(identity, db.now_ms())
            self._write(replace(before, prefix=prefix, digest=hashed))
            with self._lock:
                held = self._held[identity]
                self._by_digest.pop(held.key.digest, None)
                held.key = replace(held.key, prefix=prefix, digest=hashed)
                self._by_digest[held.key.digest] = held
        return self.get(identity), secret

    def _now(self, identity: str, now: int) -> Key:
        with self._lock:
            held = self._held.get(identity)
            if held is None:
                raise NotFound(say("key.gone"))
            return _view(held, now)

    def _write(self, key: Key) -> list[Limit]:
        """Store a key and its limits; returns the limits with their ids."""
        with db.writing("keys") as connection:
            connection.execute(_REPLACE_KEY, _row(key))
            ids = [limit.id for limit in key.limits if limit.id is not None]
            marks = ",".join("?" * len(ids))
            connection.execute(
                f"delete from key_limit where key = ? and id not in ({marks})",  # noqa: S608
                (key.id, *ids),
            )
            return [_write_limit(connection, key.id, limit) for limit in key.limits]


_SELECT_KEYS = (
    "select id, name, prefix, hash, active, allowed_models, accounts, expires_at, used_at, "
    "created_at from api_key"
)
# What was refused here used nothing, and says nothing about the next call.
_SELECT_RECENT = (
    "select model, input, output, cost from request_log where key = ? and input is not null "
    "order by started_at desc limit ?"
)
_SELECT_LIMITS = (
    "select id, key, measure, window, model, maximum, used, resets_at from key_limit order by id"
)
_REPLACE_KEY = (
    "replace into api_key (id, name, prefix, hash, active, allowed_models, accounts, expires_at, "
    "used_at, created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _held(row: tuple[Any, ...]) -> _Held:
    identity, name, prefix, hashed, active, models, accounts, expires, used, created = row
    key = Key(
        id=identity,
        name=name,
        prefix=prefix,
        digest=hashed,
        active=bool(active),
        models=_listed(models),
        accounts=_listed(accounts),
        expires_at=expires,
        used_at=used,
        created_at=created,
    )
    return _Held(key, used, [])


def _recall(held: _Held) -> None:
    """Learn from the log what a key's calls used before the last restart."""
    if not held.counters:
        return
    for model, used, written, cost in reversed(db.rows(_SELECT_RECENT, (held.key.id, _RECENT))):
        spent = Spent(used, written or 0, cost)
        for counter in held.counters:
            rule = counter.limit.rule
            more = limits.charge(rule.measure, spent)
            if more and limits.applies(rule, model):
                counter.recent.append(more)


def _listed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def _row(key: Key) -> tuple[Any, ...]:
    return (
        key.id,
        key.name,
        key.prefix,
        key.digest,
        key.active,
        None if key.models is None else json.dumps(key.models),
        None if key.accounts is None else json.dumps(key.accounts),
        key.expires_at,
        key.used_at,
        key.created_at,
    )


def _write_limit(connection: sqlite3.Connection, key: str, limit: Limit) -> Limit:
    rule = limit.rule
    cursor = connection.execute(
        "replace into key_limit (id, key, measure, window, model, maximum, used, resets_at) "
        "values (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            limit.id,
            key,
            rule.measure,
            rule.window,
            rule.model,
            rule.maximum,
            limit.used,
            limit.resets_at,
        ),
    )
    return replace(limit, id=cursor.lastrowid)


def _kept(old: _Counter | None, limit: Limit, reset: bool) -> _Counter:
    """The counter of an edited limit: the same object, since calls under way hold it."""
    if old is None:
        # Written once more: SQLite may have given it the id of a limit that the same edit
        # removed, and a flush in between may have put that one's use there.
        return _Counter(limit, replace(limit))
    # A call may have ended between the reading and the writing, so the use in memory counts.
    old.stored = limit
    old.limit = limit if reset else replace(old.limit, rule=limit.rule)
    return old


def _view(held: _Held, now: int) -> Key:
    return replace(held.key, limits=tuple(limits.rolled(c.limit, now) for c in held.counters))


def _invalid(message: str) -> Unauthorized:
    return Unauthorized(message, code="invalid_api_key")


def visible(key: Key | None, models: Iterable[str]) -> list[str]:
    """The models of a list that a key may use; without a key, all."""
    allowed = None if key is None else key.models
    return [model for model in models if allowed is None or model in allowed]
