"""Asking: the provider is asked with an account's token, which is renewed when it must be."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from server.accounts import allowance, provider
from server.accounts.allowance import IN_ROTATION, PAUSED, Usage
from server.accounts.provider import (
    CreditsFailed,
    RefreshFailed,
    SignInNeeded,
    StillRefused,
    UsageFailed,
)
from server.accounts.refresh import Held
from server.accounts.roster import Roster
from server.accounts.standings import Standings
from server.accounts.states import aside
from server.accounts.summary import Profile
from server.config import Config
from server.errors import Conflict, NotFound
from server.sentences import say
from server.store import db

log = logging.getLogger(__name__)

T = TypeVar("T")
AHEAD = 10 * 60_000  # the scheduler renews tokens this early, so that requests need not
_AT_ONCE = 4  # questions to the provider
_NOT_REDEEMED = {
    "no_credit": "credit.none",
    "nothing_to_reset": "credit.nothing",
}


@dataclass(frozen=True, repr=False)
class Token:
    """What a request to the provider carries; never shown."""

    access_token: str
    upstream_id: str | None
    expires_at: int | None


class Asking:
    """What goes to the provider on behalf of accounts, apart from requests."""

    def __init__(self, config: Config, roster: Roster, standings: Standings) -> None:
        self._config = config
        self._roster = roster
        self._standings = standings
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    # ── tokens ────────────────────────────────────────────────────────────────────────────

    def token(self, account: str) -> Token:
        """A usable access token, renewed first when it ends within five minutes.

        Raises `SignInNeeded` (for good) or `RefreshFailed` (for now).
        """
        profile = self._roster.profile(account)
        return self._guarded(profile, lambda: self._roster.credentials.fresh(account))

    def refresh(self, account: str, stale: str) -> Token:
        """A new token after the provider refused `stale`; one call however many ask.

        When none could be had this time, the account stays as it is and shows why.
        """
        profile = self._roster.profile(account)
        try:
            return self._guarded(profile, lambda: self._roster.credentials.renew(account, stale))
        except StillRefused:
            self._standings.put_aside(account)
            raise
        except RefreshFailed as error:
            self._standings.note(account, error)
            raise

    def _with_token(self, profile: Profile, call: Callable[[Token], T]) -> T:
        """Ask with the account's token; once more with a new one when it is refused."""
        token = self.token(profile.id)
        try:
            return self._standings.marked(profile, lambda: call(token))
        except (UsageFailed, CreditsFailed) as error:
            if error.http != 401:
                raise
        renewed = self.refresh(profile.id, token.access_token)
        return self._standings.marked(profile, lambda: call(renewed))

    def _guarded(self, profile: Profile, get: Callable[[], Held]) -> Token:
        held = self._standings.marked(profile, get)
        return Token(held.access, profile.upstream_id, held.expires_at)

    def _renew_quietly(self, profile: Profile) -> None:
        with suppress(SignInNeeded, RefreshFailed, NotFound):
            self._guarded(
                profile,
                lambda: self._roster.credentials.fresh(profile.id, early=AHEAD, patient=True),
            )

    def renew(self) -> None:
        """Renew tokens that end soon, in the background, paused accounts included."""
        self._roster.credentials.save_pending()
        with self._roster.lock:
            able = [p for p in self._roster.profiles.values() if p.status in (*IN_ROTATION, PAUSED)]
        for profile in able:
            if self._roster.credentials.due(profile.id, AHEAD):
                background(partial(self._renew_quietly, profile))

    # ── the allowance ─────────────────────────────────────────────────────────────────────

    def ask(self, account: str, *, after: float = 0.0) -> threading.Event:
        """Ask for an account's allowance in the background; the event is set at the end.

        An account is asked by one thread at a time.
        """
        with self._roster.lock:
            live = self._roster.live.get(account)
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

        background(work)
        return done

    def probe(self, account: str) -> None:
        """Ask for an account's allowance now and wait for the answer.

        Raises what went wrong: `SignInNeeded`, `RefreshFailed` or `UsageFailed`.
        """
        self._roster.profile(account)
        with self._roster.lock:
            under_way = self._roster.live[account].asking
        if under_way is not None:
            under_way.wait(provider.ANSWER_SECONDS)
        self._ask(account)

    def poll_usage(self) -> None:
        """Ask for the allowance of every account that can be asked; returns at once.

        The questions are spread out a little and four at most are under way at a time.
        """
        with self._roster.lock:
            able = [
                p.id for p in self._roster.profiles.values() if p.status in (*IN_ROTATION, PAUSED)
            ]
            able = [a for a in able if time.monotonic() >= self._roster.live[a].ask_after]
        for number, account in enumerate(able):
            # Accounts asked in the same instant each minute look like a machine, and queue.
            self.ask(account, after=random.random() * 0.5 * number)  # noqa: S311

    def _ask_quietly(self, account: str) -> None:
        try:
            self._ask(account)
        except (SignInNeeded, RefreshFailed, UsageFailed, NotFound) as error:
            log.info("the allowance of an account was not read: %s", error.message)
        except Exception:
            log.exception("asking for an account's allowance failed")

    def _ask(self, account: str) -> None:
        profile = self._roster.profile(account)
        try:
            payload = self._payload(profile)
        except (RefreshFailed, UsageFailed) as error:
            self._standings.note(account, error)
            raise
        with self._roster.lock:
            live = self._roster.live.get(account)
            if live is not None:
                live.refusals, live.ask_after, live.usage_error = 0, 0.0, None
                if aside(self._roster.profiles[account]):
                    self._standings.believe(account)
        self._standings.observe(account, allowance.windows_from_usage(payload, db.now_ms()), "api")

    def _payload(self, profile: Profile) -> dict[str, Any]:
        base = self._config.upstream_base_url
        return self._with_token(
            profile, lambda t: provider.usage(base, t.access_token, t.upstream_id)
        )

    # ── banked resets ─────────────────────────────────────────────────────────────────────

    def reset_credits(self, account: str) -> provider.ResetCredits:
        """The account's banked resets, asked now. Raises what went wrong."""
        base = self._config.upstream_base_url
        profile = self._roster.profile(account)
        found = self._with_token(
            profile, lambda t: provider.reset_credits(base, t.access_token, t.upstream_id)
        )
        if found.available is not None:
            self._standings.observe(account, Usage(reset_credits=found.available), "headers")
        return found

    def redeem(self, account: str, credit: str | None, request: str) -> str:
        """Redeem a banked reset, then ask for the allowance; `reset` or `already_redeemed`.

        `request` names this wish: the same one redeems once. Raises `Conflict` when there is
        nothing to redeem or to reset.
        """
        base = self._config.upstream_base_url
        profile = self._roster.profile(account)
        code = self._with_token(
            profile,
            lambda t: provider.redeem(base, t.access_token, t.upstream_id, credit, request),
        )
        if code in _NOT_REDEEMED:
            raise Conflict(say(_NOT_REDEEMED[code], name=self._roster.name(account)), code=code)
        log.info("a reset credit of account %s was redeemed", profile.id)
        with suppress(SignInNeeded, RefreshFailed, UsageFailed):
            self.probe(account)
        return code


def background(work: Callable[[], None]) -> None:
    """Run work beside everything else."""
    # Daemon threads: a question that hangs must not keep the server from ending.
    threading.Thread(target=work, name="provider", daemon=True).start()
