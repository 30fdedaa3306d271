"""Standings: what the provider's answers make of an account, and for how long."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from server.accounts import allowance, provider
from server.accounts.allowance import (
    ACTIVE,
    BLOCKED,
    IN_ROTATION,
    PAUSED,
    SIGN_IN_NEEDED,
    Standing,
    Usage,
)
from server.accounts.provider import RefreshFailed, SignInNeeded, Unopened, UsageFailed
from server.accounts.roster import Roster
from server.accounts.states import aside, beneath, closed, current, fields, kept
from server.accounts.summary import Profile
from server.sentences import say
from server.store import db

log = logging.getLogger(__name__)

T = TypeVar("T")
_FIRST_REST, _LONGEST_REST = 30_000, 15 * 60_000  # of an account whose new tokens are refused
_BLOCKS = {  # what the proxy says when the provider refused, in a sentence
    "usage limit": say("state.usageLimit"),
    "rate limit": say("state.rateLimit"),
    "quota": say("state.quota"),
}


class Standings:
    """How accounts come to stand by what the provider answers, and how that ends."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def observe(self, account: str, usage: Usage, source: str) -> None:
        """Take what an answer said about the allowance (`source`: headers or api)."""
        now = db.now_ms()
        with self._roster.lock:
            profile, live = self._roster.profiles.get(account), self._roster.live.get(account)
            if profile is None or live is None:
                return
            before = live.usage
            live.usage = allowance.merge(before, usage, whole=source == "api")
            if usage.plan and usage.plan != profile.plan:
                self._roster.change(account, plan=usage.plan)
            if usage.workspace and usage.workspace != profile.workspace_name:
                self._roster.change(account, workspace_name=usage.workspace)
            standing = beneath(profile, now)
            settled = allowance.settle(standing, before, live.usage, now)
            if settled != standing:
                self._settle(profile, settled)
            if self._roster.history.see(account, usage, source, live.usage):
                db.touch("accounts")

    def block(self, account: str, status: str, until: int, reason: str) -> None:
        """Take an account out until a time, because the provider refused.

        A longer block of the same kind stays; a paused account stays paused and is blocked when
        it is resumed; one that needs a sign-in is left as it is. An implausible time becomes one
        hour.
        """
        now = db.now_ms()
        if not reason.endswith("."):
            reason = _BLOCKS.get(reason) or say("state.answered", words=reason)
        with self._roster.lock:
            profile = self._roster.profiles.get(account)
            if profile is None or profile.status not in (*IN_ROTATION, PAUSED):
                return
            if status not in BLOCKED:
                if profile.status != PAUSED:
                    self._roster.stand(account, Standing(status, None, reason))
                return
            end = allowance.plausible(until, now) or now + allowance.HOUR
            before = beneath(profile, now)
            longer = before.until or 0
            if before.status == allowance.QUOTA_EXCEEDED and longer >= end:
                return
            if before.status == status:
                end = max(end, longer)
            self._settle(profile, Standing(status, end, reason))

    def _settle(self, profile: Profile, standing: Standing) -> None:
        """Let an account stand so, or once its pause is over; the lock is held."""
        if profile.status == PAUSED:
            self._roster.change(profile.id, covered=kept(standing))
        else:
            self._roster.stand(profile.id, standing)

    def refused(self, account: str, stale: str, code: str) -> None:
        """Note that the provider refused a token for good: the account needs a new sign-in.

        Nothing changes when it was signed in again or renewed meanwhile.
        """
        error = provider.not_accepted(code)
        with self._roster.lock:
            known = self._roster.profiles.get(account)
            if known is None or not self._roster.credentials.refused(account, stale, error):
                return
            if known.status in (*IN_ROTATION, PAUSED):
                self._roster.stand(account, Standing(error.standing, None, error.reason))
        log.info("account %s needs a new sign-in: %s", account, error.reason)

    def doubt(self, account: str, renewed: str) -> None:
        """Note that the provider refused a renewed token, without saying that it is for good.

        At the second in a row the account is put aside, each time for longer, and comes back by
        itself.
        """
        with self._roster.lock:
            live = self._roster.live.get(account)
            if live is None or live.doubted == hash(renewed):
                return  # many requests may have met the same refusal
            if live.doubts == 0:
                live.doubted_since = db.now_ms()
            live.doubts, live.doubted = live.doubts + 1, hash(renewed)
            if live.doubts > 1:
                self.put_aside(account)

    def put_aside(self, account: str) -> None:
        """Take an account out for a while whose renewed tokens are refused."""
        now = db.now_ms()
        with self._roster.lock:
            live, known = self._roster.live.get(account), self._roster.profiles.get(account)
            if live is None or known is None or current(known, now).status not in IN_ROTATION:
                return
            live.doubted_since = live.doubted_since or now
            rest = min(_LONGEST_REST, _FIRST_REST * 2 ** min(max(0, live.doubts - 2), 10))
            since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(live.doubted_since / 1000))
            reason = say("state.refusing", since=since)
            self._roster.stand(account, Standing(SIGN_IN_NEEDED, now + rest, reason))
        log.info("account %s is put aside: new tokens of it are refused", account)

    def believe(self, account: str) -> None:
        """The provider accepts the account's sign-in (again); the lock is held."""
        live, known = self._roster.live[account], self._roster.profiles[account]
        live.doubts = live.doubted = live.doubted_since = 0
        if aside(known):
            self._roster.stand(
                account, allowance.settle(Standing(ACTIVE), live.usage, live.usage, db.now_ms())
            )

    def expire(self, now: int) -> None:
        """End blocks and pauses whose time has come."""
        with self._roster.lock:
            for profile in list(self._roster.profiles.values()):
                if current(profile, now) is profile:
                    continue
                usage = self._roster.live[profile.id].usage
                standing = beneath(current(profile, now), now)
                standing = allowance.settle(standing, usage, usage, now)
                self._roster.change(profile.id, paused_until=None, **fields(standing))

    def note(self, account: str, error: RefreshFailed | UsageFailed) -> None:
        """An answer that refuses is asked for less often; no network is nobody's fault."""
        with self._roster.lock:
            live = self._roster.live.get(account)
            if live is None:
                return
            if isinstance(error, Unopened) and closed(self._roster.profiles[account]):
                return  # the account's standing says it
            if live.usage_error != error.message:
                live.usage_error = error.message
                db.touch("accounts")
            if isinstance(error, UsageFailed) and error.http is not None:
                live.refusals += 1
                pause = min(900.0, 30.0 * 2 ** min(live.refusals, 6))
                live.ask_after = time.monotonic() + max(pause, float(error.retry_after or 0))

    def marked(self, profile: Profile, call: Callable[[], T]) -> T:
        """Run a call; when it finds that a sign-in is needed, the account says so from then on."""
        try:
            return call()
        except Unopened as error:
            with self._roster.lock:
                known = self._roster.profiles.get(profile.id)
                if known is not None and known.status in IN_ROTATION:  # a pause outlasts it
                    self._roster.stand(profile.id, Standing(SIGN_IN_NEEDED, None, error.reason))
            raise
        except SignInNeeded as error:
            self._roster.credentials.give_up(profile.id, error.reason, error.standing)
            with self._roster.lock:
                known = self._roster.profiles.get(profile.id)
                if known is not None and known.status in (*IN_ROTATION, PAUSED):
                    self._roster.stand(profile.id, Standing(error.standing, None, error.reason))
            raise
