"""The pool: every account, held in memory and written through.

What the proxy asks (`candidates`, `token`, `observe`, `pinned`, …) never waits for the disk:
those changes are collected and stored by `flush`, which a scheduler job calls. What the user
does (add, pause, resume, rename, remove) is on disk before it counts.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import peewee

from server.accounts import allowance, oauth, provider, summary
from server.accounts.allowance import (
    ACTIVE,
    BLOCKED,
    IN_ROTATION,
    PAUSED,
    SIGN_IN_NEEDED,
    Standing,
    Usage,
    Window,
)
from server.accounts.copies import Copies
from server.accounts.history import History
from server.accounts.pins import HELD, Pins
from server.accounts.provider import CreditsFailed as CreditsFailed
from server.accounts.provider import RefreshFailed as RefreshFailed
from server.accounts.provider import SignInNeeded as SignInNeeded
from server.accounts.provider import StillRefused as StillRefused
from server.accounts.provider import Unopened as Unopened
from server.accounts.provider import UsageFailed as UsageFailed
from server.accounts.refresh import Credentials, Held
from server.accounts.summary import Profile, View
from server.config import Config
from server.errors import Conflict, NotFound, Unprocessable
from server.sentences import say, told
from server.store import db, settings

log = logging.getLogger(__name__)

T = TypeVar("T")
POLICIES = ("burn_first", "normal", "preserve")
SERVING_MS = 5 * 60_000  # after its last request an account still counts as the serving one
AHEAD = 10 * 60_000  # the scheduler renews tokens this early, so that requests need not
ANSWER_SECONDS = 1.5  # an import waits this long for the first allowance
RECENT_MS = 10 * 60_000  # in which failures are compared with successes
_REMEMBERED = 40  # ends of requests, per account
_AT_ONCE = 4  # questions to the provider
_FIRST_REST, _LONGEST_REST = 30_000, 15 * 60_000  # of an account whose new tokens are refused
_NOT_REDEEMED = {
    "no_credit": "credit.none",
    "nothing_to_reset": "credit.nothing",
}
_BLOCKS = {  # what the proxy says when the provider refused, in a sentence
    "usage limit": say("state.usageLimit"),
    "rate limit": say("state.rateLimit"),
    "quota": say("state.quota"),
}
_COLUMNS = tuple(Profile.__dataclass_fields__)


@dataclass(frozen=True)
class Candidate:
    """An account as the balancer sees it."""

    id: str
    label: str
    plan: str | None
    status: str
    blocked_until: int | None
    windows: tuple[Window, ...]
    priority: int
    policy: str
    capacity: float | None
    last_used: int
    streams: int
    errors: int
    error_at: int
    recent: int = 0  # requests in the last ten minutes, while one of them failed
    recent_failed: int = 0
    good_at: int = 0  # when a request last went well, 0 = not since the start


@dataclass(frozen=True, repr=False)
class Token:
    """What a request to the provider carries; never shown."""

    access_token: str
    upstream_id: str | None
    expires_at: int | None


@dataclass(frozen=True)
class Imported:
    """The account that an auth.json became."""

    id: str
    email: str
    plan: str | None
    status: str


@dataclass
class _Live:
    """What is known of an account only while the server runs."""

    usage: Usage = field(default_factory=Usage)
    last_used: int = 0
    streams: int = 0
    errors: int = 0
    error_at: int = 0
    good_at: int = 0
    recent: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    asking: threading.Event | None = None  # set when the question that is under way has ended
    ask_after: float = 0.0  # monotonic
    refusals: int = 0
    usage_error: str | None = None
    doubts: int = 0  # new tokens in a row that the provider refused
    doubted: int = 0  # the last of them, hashed
    doubted_since: int = 0


class Pool:
    """All accounts together."""

    def __init__(self, config: Config) -> None:
        self.notices: list[str] = []  # what had to be mended, for the user
        self._config = config
        self._lock = threading.RLock()  # guards memory; never held around disk or network
        self._changing = threading.RLock()  # orders what is written
        self._profiles: dict[str, Profile] = {}
        self._live: dict[str, _Live] = {}
        self._dirty: set[str] = set()
        self._removed: dict[str, str] = {}  # what accounts were called whose requests are kept
        self._history = History()
        self._pins = Pins()
        self._copies = Copies()
        self._credentials = Credentials(config)
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def load(self, notices: list[str] | None = None) -> None:
        """Read the accounts, their newest snapshots, pins and sealed tokens.

        An account that one of the two databases lost is made again from the other, as far as that
        goes; `notices` then get a sentence about it.
        """
        columns = ", ".join(_COLUMNS)
        stored = db.rows(f"select {columns} from account order by created_at, id")  # noqa: S608
        self._credentials.load()
        self._copies.load()
        self.notices = [] if notices is None else notices
        self._dirty.clear()
        profiles = self._whole([Profile(*row) for row in stored])
        used = dict(
            db.rows(
                "select account, max(started_at) from request_log "
                "where account is not null group by account"
            )
        )
        known = self._history.load()
        self._pins.load()
        with self._lock:
            self._profiles = {profile.id: profile for profile in profiles}
            self._live = {
                p.id: _Live(known.get(p.id, Usage()), int(used.get(p.id, 0))) for p in profiles
            }
            self._removed = dict(db.rows("select id, name from removed_account"))
        for profile in profiles:
            ended = profile.status in (SIGN_IN_NEEDED, allowance.DEACTIVATED)
            if ended and not _closed(profile) and not _aside(profile):
                reason = profile.status_reason or say("state.ended")
                self._credentials.give_up(profile.id, reason, profile.status)

    def _whole(self, stored: list[Profile]) -> list[Profile]:
        """The stored accounts, and those of which only the tokens are there; all stored again.

        A stop between the two files (an import that was cut in two) looks the same, in small.
        """
        now = db.now_ms()
        signed_in = self._credentials.accounts()
        lost = sorted(signed_in - {profile.id for profile in stored})
        made = [self._copies.rebuilt(account, self._opened(account), now) for account in lost]
        found = [_without_tokens(p, now) if p.id not in signed_in else p for p in stored]
        changed = [new for new, old in zip(found, stored, strict=True) if new is not old] + made
        if changed:
            with _stored(), db.writing("accounts") as connection:
                connection.executemany(_UPSERT, [_row(profile) for profile in changed])
            log.info("accounts made again: %d, without tokens: %d", len(made), len(changed))
        for file, key, gone in (
            ("usage.db", "notice.noUsage", bool(made) and not stored),
            ("secrets.db", "notice.noSecrets", len(changed) > len(made) and not signed_in),
        ):
            if gone and not any(text.startswith(file) for text in self.notices):
                self.notices.append(say(key, folder=self._config.data_dir))
        self._remember([*found, *made])
        return sorted([*found, *made], key=lambda profile: (profile.created_at, profile.id))

    def _opened(self, account: str) -> Held | None:
        """The tokens of an account, for what they tell of it; None when they cannot be opened."""
        try:
            return self._credentials.held(account)
        except (SignInNeeded, RefreshFailed):
            return None

    def _remember(self, profiles: list[Profile]) -> None:
        """Keep what accounts are called and how they are set beside their tokens, too."""
        try:
            self._copies.keep(profiles)
        except (sqlite3.Error, OSError) as error:
            log.warning("the copy of an account waits for the data folder: %s", error)
            with self._lock:
                self._dirty.update(profile.id for profile in profiles)

    # ── what the proxy asks ───────────────────────────────────────────────────────────────

    def candidates(self) -> list[Candidate]:
        """Every account with what bears on the choice; blocks and pauses that are over count so."""
        now = db.now_ms()
        with self._lock:
            called = summary.names(list(self._profiles.values()))
            return [
                self._candidate(_current(p, now), self._live[p.id], called[p.id], now)
                for p in self._profiles.values()
            ]

    def token(self, account: str) -> Token:
        """A usable access token, renewed first when it ends within five minutes.

        Raises `SignInNeeded` (for good) or `RefreshFailed` (for now).
        """
        profile = self._profile(account)
        return self._guarded(profile, lambda: self._credentials.fresh(account))

    def refresh(self, account: str, stale: str) -> Token:
        """A new token after the provider refused `stale`; one call however many ask.

        When none could be had this time, the account stays as it is and shows why.
        """
        profile = self._profile(account)
        try:
            return self._guarded(profile, lambda: self._credentials.renew(account, stale))
        except StillRefused:
            self._put_aside(account)
            raise
        except RefreshFailed as error:
            self._note_refusal(account, error)
            raise

    def doubt(self, account: str, renewed: str) -> None:
        """Note that the provider refused a renewed token, without saying that it is for good.

        At the second in a row the account is put aside, each time for longer, and comes back by
        itself.
        """
        with self._lock:
            live = self._live.get(account)
            if live is None or live.doubted == hash(renewed):
                return  # many requests may have met the same refusal
            if live.doubts == 0:
                live.doubted_since = db.now_ms()
            live.doubts, live.doubted = live.doubts + 1, hash(renewed)
            if live.doubts > 1:
                self._put_aside(account)

    def _put_aside(self, account: str) -> None:
        now = db.now_ms()
        with self._lock:
            live, known = self._live.get(account), self._profiles.get(account)
            if live is None or known is None or _current(known, now).status not in IN_ROTATION:
                return
            live.doubted_since = live.doubted_since or now
            rest = min(_LONGEST_REST, _FIRST_REST * 2 ** min(max(0, live.doubts - 2), 10))
            since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(live.doubted_since / 1000))
            reason = say("state.refusing", since=since)
            self._stand(account, Standing(SIGN_IN_NEEDED, now + rest, reason))
        log.info("account %s is put aside: new tokens of it are refused", account)

    def _believe(self, account: str) -> None:
        """The provider accepts the account's sign-in (again); the lock is held."""
        live, known = self._live[account], self._profiles[account]
        live.doubts = live.doubted = live.doubted_since = 0
        if _aside(known):
            self._stand(
                account, allowance.settle(Standing(ACTIVE), live.usage, live.usage, db.now_ms())
            )

    def refused(self, account: str, stale: str, code: str) -> None:
        """Note that the provider refused a token for good: the account needs a new sign-in.

        Nothing changes when it was signed in again or renewed meanwhile.
        """
        error = provider.not_accepted(code)
        with self._lock:
            known = self._profiles.get(account)
            if known is None or not self._credentials.refused(account, stale, error):
                return
            if known.status in (*IN_ROTATION, PAUSED):
                self._stand(account, Standing(error.standing, None, error.reason))
        log.info("account %s needs a new sign-in: %s", account, error.reason)

    def used(self, account: str, now: int) -> None:
        """Note that the account was chosen for a request."""
        with self._lock:
            live = self._live.get(account)
            if live is not None:
                live.last_used = max(live.last_used, now)

    def opened(self, account: str) -> None:
        """Note that a stream on this account began."""
        with self._lock:
            if account in self._live:
                self._live[account].streams += 1

    def closed(self, account: str) -> None:
        """Note that a stream on this account ended."""
        with self._lock:
            if account in self._live:
                self._live[account].streams = max(0, self._live[account].streams - 1)

    def succeeded(self, account: str) -> None:
        """Note a request that went well: earlier errors no longer count."""
        with self._lock:
            if account in self._live:
                live, now = self._live[account], db.now_ms()
                live.errors, live.good_at = 0, now
                live.recent.append((now, True))
                self._believe(account)

    def failed(self, account: str, now: int) -> None:
        """Note an error that may be the account's own."""
        with self._lock:
            if account in self._live:
                self._live[account].errors += 1
                self._live[account].error_at = now
                self._live[account].recent.append((now, False))

    def block(self, account: str, status: str, until: int, reason: str) -> None:
        """Take an account out until a time, because the provider refused.

        A longer block of the same kind stays; paused accounts and those that need a sign-in
        are left as they are. An implausible time becomes one hour.
        """
        now = db.now_ms()
        if not reason.endswith("."):
            reason = _BLOCKS.get(reason) or say("state.answered", words=reason)
        with self._lock:
            profile = self._profiles.get(account)
            if profile is None or profile.status not in IN_ROTATION:
                return
            if status not in BLOCKED:
                self._stand(account, Standing(status, None, reason))
                return
            end = allowance.plausible(until, now) or now + allowance.HOUR
            longer = profile.blocked_until or 0
            if profile.status == allowance.QUOTA_EXCEEDED and longer >= end:
                return
            if profile.status == status:
                end = max(end, longer)
            self._stand(account, Standing(status, end, reason))

    def observe(self, account: str, usage: Usage, source: str) -> None:
        """Take what an answer said about the allowance (`source`: headers or api)."""
        now = db.now_ms()
        with self._lock:
            profile, live = self._profiles.get(account), self._live.get(account)
            if profile is None or live is None:
                return
            before = live.usage
            live.usage = allowance.merge(before, usage, whole=source == "api")
            if usage.plan and usage.plan != profile.plan:
                self._change(account, plan=usage.plan)
            if usage.workspace and usage.workspace != profile.workspace_name:
                self._change(account, workspace_name=usage.workspace)
            standing = Standing(profile.status, profile.blocked_until, profile.status_reason)
            settled = allowance.settle(standing, before, live.usage, now)
            if settled != standing:
                self._stand(account, settled)
            if self._history.see(account, usage, source, live.usage):
                db.touch("accounts")

    def earliest_reset(self, now: int) -> int | None:
        """When the first blocked account may serve again; None when none is blocked."""
        with self._lock:
            current = [_current(profile, now) for profile in self._profiles.values()]
        ends = [p.blocked_until for p in current if p.status in BLOCKED and p.blocked_until]
        return min(ends, default=None)

    def pinned(self, kind: str, key: str) -> str | None:
        """The account a thread is on, while that is remembered and the account exists."""
        account = self._pins.get(kind, key, db.now_ms())
        return account if account in self._profiles else None

    def pin(self, kind: str, key: str, account: str, now: int) -> None:
        """Remember the account of a thread."""
        if account in self._profiles:
            self._pins.put(kind, key, account, now)

    # ── what the user does ────────────────────────────────────────────────────────────────

    def add(self, auth_json: bytes) -> Imported:
        """Add the account of an auth.json, or sign it in again when it is known.

        Raises `BadRequest` (invalid_auth_json) or `Conflict` (duplicate_identity_conflict).
        """
        return self.sign_in(oauth.parse(auth_json))

    def known(self, found: oauth.SignIn) -> str | None:
        """The account that these tokens belong to, if it is here."""
        with self._lock:
            return next((p.id for p in self._profiles.values() if _fits(p, found)), None)

    def sign_in(self, found: oauth.SignIn) -> Imported:
        """Add or renew the account that these tokens belong to, then ask for its allowance."""
        now = db.now_ms()
        with self._changing:
            known = self._same_identity(found)
            if known is None or settings.get("importWithoutOverwrite"):
                profile = self._new_profile(found, now)
            else:
                profile = _signed_in_again(known, found, now)
            # The tokens first: an account without tokens would only show an error.
            with _stored():
                self._credentials.keep(profile.id, found, now)
                self._write(profile)
            with self._lock:
                self._profiles[profile.id] = profile
                live = self._live.setdefault(profile.id, _Live())
                live.ask_after, live.refusals, live.usage_error = 0.0, 0, None
                self._believe(profile.id)
                if known is None:
                    live.usage = self._history.load().get(profile.id, Usage())
        self.ask(profile.id).wait(ANSWER_SECONDS)
        profile = self._profile(profile.id)
        return Imported(profile.id, profile.email, profile.plan, profile.status)

    def pause(self, account: str, until: int | None = None) -> None:
        """Take an account out of rotation, until a time or until it is resumed.

        Its threads move to others; streams that are open go on to their end.
        """
        with self._changing:
            profile = self._profile(account)
            if profile.status not in (*IN_ROTATION, PAUSED):
                why = profile.status_reason or say("account.signIn")
                message = say("account.out", name=self.name(account), reason=why)
                raise Conflict(message, code=profile.status)
            self._save(
                profile,
                also=lambda connection: self._pins.drop(account, connection, keep=HELD),
                status=PAUSED,
                status_reason=None,
                blocked_until=None,
                paused_until=until,
            )

    def resume(self, account: str) -> None:
        """Put an account back into rotation; what its windows say about it applies at once."""
        with self._changing:
            profile = self._profile(account)
            self._credentials.revive(account)
            with self._lock:
                live = self._live[account]
                live.errors, live.refusals, live.ask_after = 0, 0, 0.0
                live.doubts = live.doubted = live.doubted_since = 0
                live.recent.clear()
                usage = live.usage
            standing = allowance.settle(Standing(ACTIVE), usage, usage, db.now_ms())
            self._save(profile, paused_until=None, **_fields(standing))
        if profile.status not in IN_ROTATION:
            self.ask(account)

    def pause_all(self) -> None:
        """Take every account out of rotation until it is resumed."""
        self._each(IN_ROTATION, self.pause)

    def resume_all(self) -> None:
        """Put every paused account back into rotation."""
        self._each((PAUSED,), self.resume)

    def _each(self, states: tuple[str, ...], verb: Callable[[str], None]) -> None:
        now = db.now_ms()
        with self._changing:
            with self._lock:
                found = [p.id for p in self._profiles.values() if _current(p, now).status in states]
            for account in found:
                verb(account)

    def rename(self, account: str, alias: str | None) -> None:
        """Give an account an alias, or take it away."""
        with self._changing:
            self._save(self._profile(account), label=alias)

    def tune(self, account: str, *, priority: int | None = None, policy: str | None = None) -> None:
        """Set how early an account serves, and whether to use it up or spare it."""
        if policy is not None and policy not in POLICIES:
            raise Unprocessable(f"routingPolicy must be one of {', '.join(POLICIES)}.")
        changes: dict[str, Any] = {"priority": priority, "policy": policy}
        with self._changing:
            profile = self._profile(account)
            self._save(profile, **{k: v for k, v in changes.items() if v is not None})

    def remove(self, account: str, *, erase: bool = False) -> None:
        """Forget an account and its tokens; with `erase` also its name, snapshots and requests."""
        with self._changing:
            profile = self._profile(account)
            name = self.name(account)
            with _stored(), db.writing("accounts", "requests") as connection:
                self._credentials.remove(profile.id)
                self._copies.drop(profile.id)
                connection.execute("delete from account where id = ?", (profile.id,))
                self._pins.drop(profile.id, connection)
                if erase:
                    connection.execute("delete from request_log where account = ?", (profile.id,))
                    connection.execute("delete from removed_account where id = ?", (profile.id,))
                else:
                    connection.execute(
                        "replace into removed_account (id, name, removed_at) values (?, ?, ?)",
                        (profile.id, name, db.now_ms()),
                    )
                self._history.forget(profile.id, connection if erase else None)
            with self._lock:
                for known in (self._profiles, self._live):
                    known.pop(profile.id, None)
                self._dirty.discard(profile.id)
                self._removed.pop(profile.id, None)
                if not erase:
                    self._removed[profile.id] = name

    def find(self, name: str) -> str:
        """The id of the account with this id, alias, e-mail, or unique beginning of one."""
        wanted = name.strip().casefold()
        with self._lock:
            spelled = {
                p.id: [text.casefold() for text in (p.id, p.label, p.email) if text]
                for p in self._profiles.values()
            }
        exact = [account for account, texts in spelled.items() if wanted in texts]
        begins = [a for a, texts in spelled.items() if any(t.startswith(wanted) for t in texts)]
        found = exact or (begins if wanted else [])
        if len(found) == 1:
            return found[0]
        if found:
            options = ", ".join(self.name(account) for account in found[:5])
            raise Conflict(f"Several accounts fit “{name}”: {options}.", code="ambiguous_account")
        raise _unknown(name)

    # ── what is shown ─────────────────────────────────────────────────────────────────────

    def summaries(self, now: int, *, auth: bool) -> list[dict[str, Any]]:
        """Every account in full, by e-mail; `auth` adds the health of the tokens."""
        stale_after = self._stale_after()
        return [
            summary.account(view, now, auth=auth, stale_after=stale_after)
            for view in self._views(now)
        ]

    def summary(self, account: str, now: int) -> dict[str, Any]:
        """One account in full."""
        self._profile(account)
        found = self.summaries(now, auth=True)
        return next((each for each in found if each["accountId"] == account), found[0])

    def snapshot(self, now: int) -> dict[str, Any]:
        """The pool and its accounts in short: `pool` and `accounts` of /api/tray."""
        return summary.snapshot(self._views(now), now, stale_after=self._stale_after())

    def usage(self, now: int) -> dict[str, Any]:
        """The pool's allowance in the words of the provider's own `/wham/usage`."""
        return summary.usage(self._views(now), now)

    def serves(self, upstream_id: str) -> bool:
        """Whether an account in rotation counts for this workspace of the provider's."""
        with self._lock:
            return any(
                p.upstream_id == upstream_id and p.status in IN_ROTATION
                for p in self._profiles.values()
            )

    def name(self, account: str) -> str:
        """What people call the account, or called it; the id when nobody knows it."""
        with self._lock:
            known = summary.names(list(self._profiles.values()))
        return known.get(account) or self.removed().get(account, account)

    def removed(self) -> dict[str, str]:
        """What accounts were called that are gone and whose requests are kept, by id.

        In the strict privacy mode that is a piece of the id.
        """
        strict = settings.get("privacyMode") == "strict"
        with self._lock:
            gone = {a: name for a, name in self._removed.items() if a not in self._profiles}
        return {a: f"account {a[:6]}" if strict else name for a, name in gone.items()}

    def reset_of(self, account: str, now: int) -> int | None:
        """When the account's shortest window starts afresh; None when that is unknown."""
        with self._lock:
            live = self._live.get(account)
        windows = live.usage.windows if live else ()
        ends = [w.resets_at for w in windows if allowance.standard(w) and (w.resets_at or 0) > now]
        return ends[0] if ends else None  # windows are in order of length

    # ── scheduler jobs ────────────────────────────────────────────────────────────────────

    def poll_usage(self) -> None:
        """Ask for the allowance of every account that can be asked; returns at once.

        The questions are spread out a little and four at most are under way at a time.
        """
        with self._lock:
            able = [p.id for p in self._profiles.values() if p.status in (*IN_ROTATION, PAUSED)]
            able = [a for a in able if time.monotonic() >= self._live[a].ask_after]
        for number, account in enumerate(able):
            # Accounts asked in the same instant each minute look like a machine, and queue.
            self.ask(account, after=random.random() * 0.5 * number)  # noqa: S311

    def keep_tokens_fresh(self) -> None:
        """Renew tokens that end soon, in the background, paused accounts included."""
        self._credentials.save_pending()
        with self._lock:
            able = [p for p in self._profiles.values() if p.status in (*IN_ROTATION, PAUSED)]
            closed = [p.id for p in self._profiles.values() if _closed(p)]
        if closed:
            self._background(partial(self._reopen, closed))
        for profile in able:
            if self._credentials.due(profile.id, AHEAD):
                self._background(partial(self._renew_quietly, profile))

    def expire_blocks(self) -> None:
        """End blocks and pauses whose time has come, and store what has collected."""
        now = db.now_ms()
        with self._lock:
            for profile in list(self._profiles.values()):
                current = _current(profile, now)
                if current is profile:
                    continue
                usage = self._live[profile.id].usage
                standing = allowance.settle(Standing(ACTIVE), usage, usage, now)
                self._change(profile.id, paused_until=None, **_fields(standing))
        self._pins.expire(now)
        self.flush()

    def forget_old(self) -> None:
        """Thin out snapshots that nobody looks at closely any more (a scheduler job)."""
        self._history.forget_old(db.now_ms())

    def flush(self) -> None:
        """Store what the request path left in memory; when the disk refuses, it stays there."""
        with self._changing:
            with self._lock:
                dirty = [self._profiles[a] for a in self._dirty if a in self._profiles]
                self._dirty.clear()
            try:
                if dirty:
                    with db.writing() as connection:
                        connection.executemany(_UPSERT, [_row(profile) for profile in dirty])
                    self._remember(dirty)
                self._history.flush()
                self._pins.flush()
            except BaseException:
                with self._lock:
                    self._dirty.update(profile.id for profile in dirty)
                raise

    def stop(self) -> None:
        """Before the process ends: wait for a refresh that is under way, store what waits."""
        self._credentials.stop(provider.ANSWER_SECONDS)
        try:
            self.flush()
        except (sqlite3.Error, peewee.PeeweeException, OSError) as error:
            log.warning("the last changes of the accounts could not be stored: %s", error)

    # ── asking the provider ───────────────────────────────────────────────────────────────

    def ask(self, account: str, *, after: float = 0.0) -> threading.Event:
        """Ask for an account's allowance in the background; the event is set at the end.

        An account is asked by one thread at a time.
        """
        with self._lock:
            live = self._live.get(account)
            if live is None:
                done = threading.Event()
                done.set()
                return done
            if live.asking is not None:
                return live.asking
            done = live.asking = threading.Event()

        def work() -> None:
            try:
                if after:
                    time.sleep(after)
                with self._slots:
                    self._ask_quietly(account)
            finally:
                live.asking = None
                done.set()

        self._background(work)
        return done

    def probe(self, account: str) -> None:
        """Ask for an account's allowance now and wait for the answer.

        Raises what went wrong: `SignInNeeded`, `RefreshFailed` or `UsageFailed`.
        """
        self._profile(account)
        with self._lock:
            under_way = self._live[account].asking
        if under_way is not None:
            under_way.wait(provider.ANSWER_SECONDS)
        self._ask(account)

    # ── what is rarely asked ──────────────────────────────────────────────────────────────

    def export(self, account: str) -> Held:
        """The account's tokens, for a file of the user's. Raises `SignInNeeded`."""
        profile = self._profile(account)
        held = self._credentials.held(profile.id)
        log.info("the tokens of account %s were exported", profile.id)
        return held

    def reset_credits(self, account: str) -> provider.ResetCredits:
        """The account's banked resets, asked now. Raises what went wrong."""
        base = self._config.upstream_base_url
        profile = self._profile(account)
        found = self._with_token(
            profile, lambda t: provider.reset_credits(base, t.access_token, t.upstream_id)
        )
        if found.available is not None:
            self.observe(account, Usage(reset_credits=found.available), "headers")
        return found

    def redeem(self, account: str, credit: str | None, request: str) -> str:
        """Redeem a banked reset, then ask for the allowance; `reset` or `already_redeemed`.

        `request` names this wish: the same one redeems once. Raises `Conflict` when there is
        nothing to redeem or to reset.
        """
        base = self._config.upstream_base_url
        profile = self._profile(account)
        code = self._with_token(
            profile,
            lambda t: provider.redeem(base, t.access_token, t.upstream_id, credit, request),
        )
        if code in _NOT_REDEEMED:
            raise Conflict(say(_NOT_REDEEMED[code], name=self.name(account)), code=code)
        log.info("a reset credit of account %s was redeemed", profile.id)
        with suppress(SignInNeeded, RefreshFailed, UsageFailed):
            self.probe(account)
        return code

    def _with_token(self, profile: Profile, call: Callable[[Token], T]) -> T:
        """Ask with the account's token; once more with a new one when it is refused."""
        token = self.token(profile.id)
        try:
            return self._mark(profile, lambda: call(token))
        except (UsageFailed, CreditsFailed) as error:
            if error.http != 401:
                raise
        renewed = self.refresh(profile.id, token.access_token)
        return self._mark(profile, lambda: call(renewed))

    def _ask_quietly(self, account: str) -> None:
        try:
            self._ask(account)
        except (SignInNeeded, RefreshFailed, UsageFailed, NotFound) as error:
            log.info("the allowance of an account was not read: %s", error.message)
        except Exception:
            log.exception("asking for an account's allowance failed")

    def _ask(self, account: str) -> None:
        profile = self._profile(account)
        try:
            payload = self._payload(profile)
        except (RefreshFailed, UsageFailed) as error:
            self._note_refusal(account, error)
            raise
        with self._lock:
            live = self._live.get(account)
            if live is not None:
                live.refusals, live.ask_after, live.usage_error = 0, 0.0, None
                if _aside(self._profiles[account]):
                    self._believe(account)
        self.observe(account, allowance.windows_from_usage(payload, db.now_ms()), "api")

    def _payload(self, profile: Profile) -> dict[str, Any]:
        base = self._config.upstream_base_url
        return self._with_token(
            profile, lambda t: provider.usage(base, t.access_token, t.upstream_id)
        )

    def _note_refusal(self, account: str, error: RefreshFailed | UsageFailed) -> None:
        """An answer that refuses is asked for less often; no network is nobody's fault."""
        with self._lock:
            live = self._live.get(account)
            if live is None:
                return
            if isinstance(error, Unopened) and _closed(self._profiles[account]):
                return  # the account's standing says it
            if live.usage_error != error.message:
                live.usage_error = error.message
                db.touch("accounts")
            if isinstance(error, UsageFailed) and error.http is not None:
                live.refusals += 1
                pause = min(900.0, 30.0 * 2 ** min(live.refusals, 6))
                live.ask_after = time.monotonic() + max(pause, float(error.retry_after or 0))

    def _reopen(self, closed: list[str]) -> None:
        """Put accounts back whose key was found again."""
        for account in closed:
            with suppress(NotFound):
                if self._opened(account) is not None and _closed(self._profile(account)):
                    self.resume(account)

    def _renew_quietly(self, profile: Profile) -> None:
        with suppress(SignInNeeded, RefreshFailed, NotFound):
            self._guarded(
                profile,
                lambda: self._credentials.fresh(profile.id, early=AHEAD, patient=True),
            )

    def _guarded(self, profile: Profile, get: Callable[[], Held]) -> Token:
        held = self._mark(profile, get)
        return Token(held.access, profile.upstream_id, held.expires_at)

    def _mark(self, profile: Profile, call: Callable[[], T]) -> T:
        """Run a call; when it finds that a sign-in is needed, the account says so from then on."""
        try:
            return call()
        except Unopened as error:
            with self._lock:
                known = self._profiles.get(profile.id)
                if known is not None and known.status in IN_ROTATION:  # a pause outlasts it
                    self._stand(profile.id, Standing(SIGN_IN_NEEDED, None, error.reason))
            raise
        except SignInNeeded as error:
            self._credentials.give_up(profile.id, error.reason, error.standing)
            with self._lock:
                known = self._profiles.get(profile.id)
                if known is not None and known.status in (*IN_ROTATION, PAUSED):
                    self._stand(profile.id, Standing(error.standing, None, error.reason))
            raise

    # ── memory and rows ───────────────────────────────────────────────────────────────────

    def _profile(self, account: str) -> Profile:
        with self._lock:
            profile = self._profiles.get(account)
        if profile is None:
            raise _unknown(account)
        return _current(profile, db.now_ms())

    def _stand(self, account: str, standing: Standing) -> None:
        """Change an account's standing in memory; the lock is held."""
        if standing.status == allowance.DEACTIVATED and account in self._live:
            self._live[account].usage_error = None  # an older trouble explains nothing any more
        self._change(account, **_fields(standing))

    def _change(self, account: str, **changes: Any) -> None:
        self._profiles[account] = replace(
            self._profiles[account], updated_at=db.now_ms(), **changes
        )
        self._dirty.add(account)
        db.touch("accounts")

    def _save(
        self,
        profile: Profile,
        *,
        also: Callable[[sqlite3.Connection], None] | None = None,
        **changes: Any,
    ) -> None:
        """Store changes of an account, then make them count."""
        changes["updated_at"] = db.now_ms()
        self._write(replace(profile, **changes), also)
        with self._lock:
            if profile.id in self._profiles:
                self._profiles[profile.id] = replace(self._profiles[profile.id], **changes)

    def _write(
        self, profile: Profile, also: Callable[[sqlite3.Connection], None] | None = None
    ) -> None:
        with _stored(), db.writing("accounts") as connection:
            connection.execute(_UPSERT, _row(profile))
            if also is not None:
                also(connection)
        self._remember([profile])

    def _same_identity(self, found: oauth.SignIn) -> Profile | None:
        with self._lock:
            same = [p for p in self._profiles.values() if _fits(p, found)]
        if len(same) > 1 and not settings.get("importWithoutOverwrite"):
            raise Conflict(
                say("file.several"),
                code="duplicate_identity_conflict",
            )
        return same[0] if same else None

    def _new_profile(self, found: oauth.SignIn, now: int) -> Profile:
        with self._lock:
            taken = set(self._profiles)
        number = 2
        account = found.identity
        while account in taken:
            account, number = f"{found.identity}_{number}", number + 1
        return Profile(
            id=account,
            label=None,
            email=found.email,
            plan=found.plan,
            upstream_id=found.upstream_id,
            user_id=found.user_id,
            workspace=found.workspace,
            workspace_name=found.workspace_name,
            status=ACTIVE,
            status_reason=None,
            blocked_until=None,
            paused_until=None,
            priority=0,
            policy="normal",
            created_at=now,
            updated_at=now,
        )

    def _views(self, now: int) -> list[View]:
        with self._lock:
            profiles = [_current(profile, now) for profile in self._profiles.values()]
            live = {account: replace(known) for account, known in self._live.items()}
        called = summary.names(profiles)
        last = max((known.last_used for known in live.values()), default=0)
        profiles.sort(key=lambda p: (p.email.casefold(), p.created_at, p.id))
        views = []
        for profile in profiles:
            known = live[profile.id]
            recent = known.last_used == last and 0 <= now - last < SERVING_MS
            views.append(
                View(
                    profile,
                    called[profile.id],
                    known.usage,
                    known.streams,
                    known.last_used,
                    known.streams > 0 or (recent and profile.status == ACTIVE),
                    known.usage_error,
                    self._credentials.health(profile.id, now),
                )
            )
        return views

    @staticmethod
    def _candidate(profile: Profile, live: _Live, name: str, now: int) -> Candidate:
        since = now - RECENT_MS
        # Most accounts did not fail lately; then nobody needs to count.
        ends = [ok for at, ok in live.recent if at >= since] if live.error_at >= since else []
        return Candidate(
            id=profile.id,
            label=name,
            plan=profile.plan,
            status=profile.status,
            blocked_until=profile.blocked_until,
            windows=live.usage.windows,
            priority=profile.priority,
            policy=profile.policy,
            capacity=allowance.weekly_capacity(profile.plan),
            last_used=live.last_used,
            streams=live.streams,
            errors=live.errors,
            error_at=live.error_at,
            recent=len(ends),
            recent_failed=ends.count(False),
            good_at=live.good_at,
        )

    @staticmethod
    def _stale_after() -> int:
        return max(allowance.STALE_AFTER, 3000 * int(settings.get("usagePollSeconds")))

    @staticmethod
    def _background(work: Callable[[], None]) -> None:
        # Daemon threads: a question that hangs must not keep the server from ending.
        threading.Thread(target=work, name="provider", daemon=True).start()


_UPSERT = (
    f"replace into account ({', '.join(_COLUMNS)}) "  # noqa: S608
    f"values ({', '.join('?' * len(_COLUMNS))})"
)


@contextmanager
def _stored() -> Iterator[None]:
    """What the disk refuses is an error that says what to do."""
    try:
        yield
    except (sqlite3.Error, peewee.PeeweeException, OSError) as error:
        raise db.StoreError(
            say("store.damaged") if db.damaged(error) else say("store.refused", why=error),
            title="The data folder cannot be written",
        ) from error


def _row(profile: Profile) -> tuple[Any, ...]:
    return tuple(getattr(profile, column) for column in _COLUMNS)


def _fields(standing: Standing) -> dict[str, Any]:
    return {
        "status": standing.status,
        "status_reason": standing.reason,
        "blocked_until": standing.until,
    }


def _current(profile: Profile, now: int) -> Profile:
    """The profile with blocks and pauses that are over taken away; itself when none is."""
    resting = profile.status in BLOCKED or _aside(profile)
    blocked_over = resting and (profile.blocked_until or 0) <= now
    pause_over = (
        profile.status == PAUSED
        and profile.paused_until is not None
        and profile.paused_until <= now
    )
    if not (blocked_over or pause_over):
        return profile
    return replace(profile, paused_until=None, **_fields(Standing(ACTIVE)))


def _aside(profile: Profile) -> bool:
    """Whether it is out only until a time, because new tokens of it are refused."""
    return profile.status == SIGN_IN_NEEDED and profile.blocked_until is not None


def _closed(profile: Profile) -> bool:
    """Whether only the key to its tokens is missing."""
    said = told(profile.status_reason) if profile.status == SIGN_IN_NEEDED else None
    return said is not None and said["key"] == "state.closed"


def _without_tokens(profile: Profile, now: int) -> Profile:
    """An account whose tokens are gone, so that it says why it needs a new sign-in."""
    if profile.status not in (*IN_ROTATION, PAUSED) and not _closed(profile):
        return profile
    standing = Standing(SIGN_IN_NEEDED, None, say("state.lost"))
    return replace(profile, paused_until=None, updated_at=now, **_fields(standing))


def _fits(profile: Profile, found: oauth.SignIn) -> bool:
    """Whether these tokens are of the same user in the same workspace."""
    if not profile.email and not profile.upstream_id:
        return profile.id == found.identity  # made again without a name
    if profile.upstream_id != found.upstream_id:
        return False
    if profile.user_id and found.user_id:
        return profile.user_id == found.user_id
    return profile.email.casefold() == found.email.casefold()


def _signed_in_again(known: Profile, found: oauth.SignIn, now: int) -> Profile:
    # A pause is the user's; a new sign-in does not undo it.
    standing = Standing(PAUSED if known.status == PAUSED else ACTIVE)
    return replace(
        known,
        email=found.email or known.email,
        upstream_id=known.upstream_id or found.upstream_id,
        plan=found.plan or known.plan,
        user_id=found.user_id or known.user_id,
        workspace=found.workspace or known.workspace,
        workspace_name=found.workspace_name or known.workspace_name,
        updated_at=now,
        **_fields(standing),
    )


def _unknown(name: str) -> NotFound:
    return NotFound(say("account.gone", name=name[:80]), code="account_not_found")
