"""The pool: every account, held in memory and written through.

What the proxy asks (`candidates`, `token`, `observe`, `pinned`, …) never waits for the disk:
those changes are collected and stored by `flush`, which a scheduler job calls. What the user
does (add, pause, resume, rename, remove) is on disk before it counts.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import peewee

from server.accounts import allowance, oauth, provider, summary
from server.accounts.allowance import ACTIVE, BLOCKED, IN_ROTATION, PAUSED, Standing, Usage, Window
from server.accounts.asking import Asking, background
from server.accounts.asking import Token as Token
from server.accounts.pins import HELD
from server.accounts.provider import CreditsFailed as CreditsFailed
from server.accounts.provider import RefreshFailed as RefreshFailed
from server.accounts.provider import SignInNeeded as SignInNeeded
from server.accounts.provider import StillRefused as StillRefused
from server.accounts.provider import Unopened as Unopened
from server.accounts.provider import UsageFailed as UsageFailed
from server.accounts.refresh import Held
from server.accounts.roster import Live, Roster, stored, unknown
from server.accounts.standings import Standings
from server.accounts.states import (
    beneath,
    closed,
    current,
    fields,
    fits,
    kept,
    newcomer,
    signed_in_again,
)
from server.accounts.summary import Profile, View
from server.config import Config
from server.errors import Conflict, NotFound, Unprocessable
from server.sentences import say
from server.store import db, settings

log = logging.getLogger(__name__)

POLICIES = ("burn_first", "normal", "preserve")
SERVING_MS = 5 * 60_000  # after its last request an account still counts as the serving one
ANSWER_SECONDS = 1.5  # an import waits this long for the first allowance
RECENT_MS = 10 * 60_000  # in which failures are compared with successes


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


@dataclass(frozen=True)
class Imported:
    """The account that an auth.json became."""

    id: str
    email: str
    plan: str | None
    status: str


class Pool:
    """All accounts together."""

    def __init__(self, config: Config) -> None:
        self._roster = Roster(config)
        self._standings = Standings(self._roster)
        self._asking = Asking(config, self._roster, self._standings)

    @property
    def notices(self) -> list[str]:
        """What had to be mended, for the user."""
        return self._roster.notices

    def load(self, notices: list[str] | None = None) -> None:
        """Read the accounts, their newest snapshots, pins and sealed tokens.

        An account that one of the two databases lost is made again from the other, as far as that
        goes; `notices` then get a sentence about it.
        """
        self._roster.load(notices)

    # ── what the proxy asks ───────────────────────────────────────────────────────────────

    def token(self, account: str) -> Token:
        """A usable access token, renewed first when it ends within five minutes.

        Raises `SignInNeeded` (for good) or `RefreshFailed` (for now).
        """
        return self._asking.token(account)

    def refresh(self, account: str, stale: str) -> Token:
        """A new token after the provider refused `stale`; one call however many ask.

        When none could be had this time, the account stays as it is and shows why.
        """
        return self._asking.refresh(account, stale)

    def doubt(self, account: str, renewed: str) -> None:
        """Note that the provider refused a renewed token, without saying that it is for good.

        At the second in a row the account is put aside, each time for longer, and comes back by
        itself.
        """
        self._standings.doubt(account, renewed)

    def refused(self, account: str, stale: str, code: str) -> None:
        """Note that the provider refused a token for good: the account needs a new sign-in.

        Nothing changes when it was signed in again or renewed meanwhile.
        """
        self._standings.refused(account, stale, code)

    def block(self, account: str, status: str, until: int, reason: str) -> None:
        """Take an account out until a time, because the provider refused.

        A longer block of the same kind stays; a paused account stays paused and is blocked when
        it is resumed; one that needs a sign-in is left as it is. An implausible time becomes one
        hour.
        """
        self._standings.block(account, status, until, reason)

    def observe(self, account: str, usage: Usage, source: str) -> None:
        """Take what an answer said about the allowance (`source`: headers or api)."""
        self._standings.observe(account, usage, source)

    def candidates(self) -> list[Candidate]:
        """Every account with what bears on the choice; blocks and pauses that are over count so."""
        now = db.now_ms()
        with self._roster.lock:
            called = summary.names(list(self._roster.profiles.values()))
            return [
                self._candidate(current(p, now), self._roster.live[p.id], called[p.id], now)
                for p in self._roster.profiles.values()
            ]

    def used(self, account: str, now: int) -> None:
        """Note that the account was chosen for a request."""
        with self._roster.lock:
            live = self._roster.live.get(account)
            if live is not None:
                live.last_used = max(live.last_used, now)

    def opened(self, account: str) -> None:
        """Note that a stream on this account began."""
        with self._roster.lock:
            if account in self._roster.live:
                self._roster.live[account].streams += 1

    def closed(self, account: str) -> None:
        """Note that a stream on this account ended."""
        with self._roster.lock:
            if account in self._roster.live:
                self._roster.live[account].streams = max(0, self._roster.live[account].streams - 1)

    def succeeded(self, account: str) -> None:
        """Note a request that went well: earlier errors no longer count."""
        with self._roster.lock:
            if account in self._roster.live:
                live, now = self._roster.live[account], db.now_ms()
                live.errors, live.good_at = 0, now
                live.recent.append((now, True))
                self._standings.believe(account)

    def failed(self, account: str, now: int) -> None:
        """Note an error that may be the account's own."""
        with self._roster.lock:
            if account in self._roster.live:
                self._roster.live[account].errors += 1
                self._roster.live[account].error_at = now
                self._roster.live[account].recent.append((now, False))

    def earliest_reset(self, now: int) -> int | None:
        """When the first blocked account may serve again; None when none is blocked."""
        with self._roster.lock:
            known = [current(profile, now) for profile in self._roster.profiles.values()]
        ends = [p.blocked_until for p in known if p.status in BLOCKED and p.blocked_until]
        return min(ends, default=None)

    def pinned(self, kind: str, key: str) -> str | None:
        """The account a thread is on, while that is remembered and the account exists."""
        account = self._roster.pins.get(kind, key, db.now_ms())
        return account if account in self._roster.profiles else None

    def pin(self, kind: str, key: str, account: str, now: int) -> None:
        """Remember the account of a thread."""
        if account in self._roster.profiles:
            self._roster.pins.put(kind, key, account, now)

    # ── what the user does ────────────────────────────────────────────────────────────────

    def add(self, auth_json: bytes) -> Imported:
        """Add the account of an auth.json, or sign it in again when it is known.

        Raises `BadRequest` (invalid_auth_json) or `Conflict` (duplicate_identity_conflict).
        """
        return self.sign_in(oauth.parse(auth_json))

    def known(self, found: oauth.SignIn) -> str | None:
        """The account that these tokens belong to, if it is here."""
        with self._roster.lock:
            return next((p.id for p in self._roster.profiles.values() if fits(p, found)), None)

    def sign_in(self, found: oauth.SignIn) -> Imported:
        """Add or renew the account that these tokens belong to, then ask for its allowance."""
        now = db.now_ms()
        with self._roster.changing:
            known = self._same_identity(found)
            if known is None or settings.get("importWithoutOverwrite"):
                with self._roster.lock:
                    taken = set(self._roster.profiles)
                profile = newcomer(found, taken, now)
            else:
                profile = signed_in_again(known, found, now)
            # The tokens first: an account without tokens would only show an error.
            with stored():
                self._roster.credentials.keep(profile.id, found, now)
                self._roster.write(profile)
            with self._roster.lock:
                self._roster.profiles[profile.id] = profile
                live = self._roster.live.setdefault(profile.id, Live())
                live.ask_after, live.refusals, live.usage_error = 0.0, 0, None
                self._standings.believe(profile.id)
                if known is None:
                    live.usage = self._roster.history.load().get(profile.id, Usage())
        self.ask(profile.id).wait(ANSWER_SECONDS)
        profile = self._roster.profile(profile.id)
        return Imported(profile.id, profile.email, profile.plan, profile.status)

    def pause(self, account: str, until: int | None = None) -> None:
        """Take an account out of rotation, until a time or until it is resumed.

        Its threads move to others; streams that are open go on to their end. A block that holds
        is there again after the pause.
        """
        with self._roster.changing:
            profile = self._roster.profile(account)
            if profile.status not in (*IN_ROTATION, PAUSED):
                why = profile.status_reason or say("account.signIn")
                message = say("account.out", name=self.name(account), reason=why)
                raise Conflict(message, code=profile.status)
            self._roster.save(
                profile,
                also=lambda connection: self._roster.pins.drop(account, connection, keep=HELD),
                status=PAUSED,
                status_reason=None,
                blocked_until=None,
                paused_until=until,
                covered=kept(beneath(profile, db.now_ms())),
            )

    def resume(self, account: str) -> None:
        """Put an account back into rotation; what its windows say about it applies at once.

        The end of a pause lifts no block; resuming an account that is blocked and not paused does.
        """
        with self._roster.changing:
            profile = self._roster.profile(account)
            self._roster.credentials.revive(account)
            with self._roster.lock:
                live = self._roster.live[account]
                live.errors, live.refusals, live.ask_after = 0, 0, 0.0
                live.doubts = live.doubted = live.doubted_since = 0
                live.recent.clear()
                usage = live.usage
            now = db.now_ms()
            standing = beneath(profile, now) if profile.status == PAUSED else Standing(ACTIVE)
            standing = allowance.settle(standing, usage, usage, now)
            self._roster.save(profile, paused_until=None, **fields(standing))
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
        with self._roster.changing:
            with self._roster.lock:
                found = [
                    p.id for p in self._roster.profiles.values() if current(p, now).status in states
                ]
            for account in found:
                verb(account)

    def rename(self, account: str, alias: str | None) -> None:
        """Give an account an alias, or take it away."""
        with self._roster.changing:
            self._roster.save(self._roster.profile(account), label=alias)

    def tune(self, account: str, *, priority: int | None = None, policy: str | None = None) -> None:
        """Set how early an account serves, and whether to use it up or spare it."""
        if policy is not None and policy not in POLICIES:
            raise Unprocessable(f"routingPolicy must be one of {', '.join(POLICIES)}.")
        changes: dict[str, Any] = {"priority": priority, "policy": policy}
        with self._roster.changing:
            profile = self._roster.profile(account)
            self._roster.save(profile, **{k: v for k, v in changes.items() if v is not None})

    def remove(self, account: str, *, erase: bool = False) -> None:
        """Forget an account and its tokens; with `erase` also its name, snapshots and requests."""
        self._roster.remove(account, erase=erase)

    def find(self, name: str) -> str:
        """The id of the account with this id, name, e-mail, or unique beginning of one.

        What an account is shown as wins over an e-mail that another one has, too.
        """
        wanted = name.strip().casefold()
        with self._roster.lock:
            profiles = list(self._roster.profiles.values())
        called = {account: text.casefold() for account, text in summary.names(profiles).items()}
        spelled = {
            p.id: [called[p.id], *(text.casefold() for text in (p.id, p.email) if text)]
            for p in profiles
        }
        exact = [account for account, text in called.items() if text == wanted]
        exact = exact or [account for account, texts in spelled.items() if wanted in texts]
        begins = [a for a, texts in spelled.items() if any(t.startswith(wanted) for t in texts)]
        found = exact or (begins if wanted else [])
        if len(found) == 1:
            return found[0]
        if found:
            options = ", ".join(self.name(account) for account in found[:5])
            raise Conflict(f"Several accounts fit “{name}”: {options}.", code="ambiguous_account")
        raise unknown(name)

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
        self._roster.profile(account)
        found = self.summaries(now, auth=True)
        return next((each for each in found if each["accountId"] == account), found[0])

    def snapshot(self, now: int) -> dict[str, Any]:
        """The pool and its accounts in short: `pool` and `accounts` of /api/tray."""
        return summary.snapshot(self._views(now), now, stale_after=self._stale_after())

    def whole(self, now: int) -> dict[str, Any]:
        """The pool as a whole: `pool` of /api/tray."""
        return summary.pool(self._views(now), now, stale_after=self._stale_after())

    def usage(self, now: int) -> dict[str, Any]:
        """The pool's allowance in the words of the provider's own `/wham/usage`."""
        return summary.usage(self._views(now), now)

    def serves(self, upstream_id: str) -> bool:
        """Whether an account in rotation counts for this workspace of the provider's."""
        with self._roster.lock:
            return any(
                p.upstream_id == upstream_id and p.status in IN_ROTATION
                for p in self._roster.profiles.values()
            )

    def name(self, account: str) -> str:
        """What people call the account, or called it; the id when nobody knows it."""
        return self._roster.name(account)

    def removed(self) -> dict[str, str]:
        """What accounts were called that are gone and whose requests are kept, by id.

        In the strict privacy mode that is a piece of the id.
        """
        return self._roster.removed()

    def called(self, *, hidden: bool) -> dict[str, str]:
        """What every account is or was called, by id; `hidden`, each has a piece of its id."""
        return self._roster.called(hidden=hidden)

    def reset_of(self, account: str, now: int) -> int | None:
        """When the account's shortest window starts afresh; None when that is unknown."""
        with self._roster.lock:
            live = self._roster.live.get(account)
        windows = live.usage.windows if live else ()
        ends = [w.resets_at for w in windows if allowance.standard(w) and (w.resets_at or 0) > now]
        return ends[0] if ends else None  # windows are in order of length

    # ── scheduler jobs ────────────────────────────────────────────────────────────────────

    def poll_usage(self) -> None:
        """Ask for the allowance of every account that can be asked; returns at once.

        The questions are spread out a little and four at most are under way at a time.
        """
        self._asking.poll_usage()

    def keep_tokens_fresh(self) -> None:
        """Renew tokens that end soon, in the background, paused accounts included."""
        self._asking.renew()
        with self._roster.lock:
            shut = [p.id for p in self._roster.profiles.values() if closed(p)]
        if shut:
            background(partial(self._reopen, shut))

    def expire_blocks(self) -> None:
        """End blocks and pauses whose time has come, and store what has collected."""
        now = db.now_ms()
        self._standings.expire(now)
        self._roster.pins.expire(now)
        self.flush()

    def flush(self) -> None:
        """Store what the request path left in memory; when the disk refuses, it stays there."""
        self._roster.flush()

    def forget_old(self) -> None:
        """Thin out snapshots that nobody looks at closely any more (a scheduler job)."""
        self._roster.history.forget_old(db.now_ms())

    def stop(self) -> None:
        """Before the process ends: wait for a refresh that is under way, store what waits."""
        self._roster.credentials.stop(provider.ANSWER_SECONDS)
        try:
            self.flush()
        except (sqlite3.Error, peewee.PeeweeException, OSError) as error:
            log.warning("the last changes of the accounts could not be stored: %s", error)

    # ── asking the provider ───────────────────────────────────────────────────────────────

    def ask(self, account: str, *, after: float = 0.0) -> threading.Event:
        """Ask for an account's allowance in the background; the event is set at the end.

        An account is asked by one thread at a time.
        """
        return self._asking.ask(account, after=after)

    def probe(self, account: str) -> None:
        """Ask for an account's allowance now and wait for the answer.

        Raises what went wrong: `SignInNeeded`, `RefreshFailed` or `UsageFailed`.
        """
        self._asking.probe(account)

    def reset_credits(self, account: str) -> provider.ResetCredits:
        """The account's banked resets, asked now. Raises what went wrong."""
        return self._asking.reset_credits(account)

    def redeem(self, account: str, credit: str | None, request: str) -> str:
        """Redeem a banked reset, then ask for the allowance; `reset` or `already_redeemed`.

        `request` names this wish: the same one redeems once. Raises `Conflict` when there is
        nothing to redeem or to reset.
        """
        return self._asking.redeem(account, credit, request)

    # ── what is rarely asked ──────────────────────────────────────────────────────────────

    def export(self, account: str) -> Held:
        """The account's tokens, for a file of the user's. Raises `SignInNeeded`."""
        profile = self._roster.profile(account)
        held = self._roster.credentials.held(profile.id)
        log.info("the tokens of account %s were exported", profile.id)
        return held

    def _reopen(self, shut: list[str]) -> None:
        """Put accounts back whose key was found again."""
        for account in shut:
            with suppress(NotFound):
                known = self._roster.profile(account)
                if closed(known) and self._roster.opened(account) is not None:
                    self.resume(account)

    # ── what these share ──────────────────────────────────────────────────────────────────

    def _same_identity(self, found: oauth.SignIn) -> Profile | None:
        with self._roster.lock:
            same = [p for p in self._roster.profiles.values() if fits(p, found)]
        if len(same) > 1 and not settings.get("importWithoutOverwrite"):
            raise Conflict(
                say("file.several"),
                code="duplicate_identity_conflict",
            )
        return same[0] if same else None

    def _views(self, now: int) -> list[View]:
        with self._roster.lock:
            profiles = [current(profile, now) for profile in self._roster.profiles.values()]
            live = {account: replace(known) for account, known in self._roster.live.items()}
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
                    self._roster.credentials.health(profile.id, now),
                )
            )
        return views

    @staticmethod
    def _candidate(profile: Profile, live: Live, name: str, now: int) -> Candidate:
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
