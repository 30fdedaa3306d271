"""How an account stands at a moment, as rules over its stored profile."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from server.accounts.allowance import (
    ACTIVE,
    BLOCKED,
    IN_ROTATION,
    PAUSED,
    SIGN_IN_NEEDED,
    Standing,
)
from server.accounts.oauth import SignIn
from server.accounts.summary import Profile
from server.sentences import say, told


def fields(standing: Standing) -> dict[str, Any]:
    """A standing as fields of a profile; what a pause covered is over with it."""
    return {
        "status": standing.status,
        "status_reason": standing.reason,
        "blocked_until": standing.until,
        "covered": None,
    }


def kept(standing: Standing) -> str | None:
    """A block as a pause keeps it; nothing else outlasts a pause."""
    if standing.status not in BLOCKED or standing.until is None:
        return None
    return json.dumps([standing.status, standing.until, standing.reason], ensure_ascii=False)


def beneath(profile: Profile, now: int) -> Standing:
    """How an account stands, or would without its pause: blocks count while they hold."""
    if profile.status != PAUSED:
        return Standing(profile.status, profile.blocked_until, profile.status_reason)
    if profile.covered is not None:
        block = Standing(*json.loads(profile.covered))
        if block.until is not None and block.until > now:
            return block
    return Standing(ACTIVE)


def current(profile: Profile, now: int) -> Profile:
    """The profile with blocks and pauses that are over taken away; itself when none is."""
    resting = profile.status in BLOCKED or aside(profile)
    blocked_over = resting and (profile.blocked_until or 0) <= now
    pause_over = (
        profile.status == PAUSED
        and profile.paused_until is not None
        and profile.paused_until <= now
    )
    if not (blocked_over or pause_over):
        return profile
    standing = beneath(profile, now) if pause_over else Standing(ACTIVE)
    return replace(profile, paused_until=None, **fields(standing))


def aside(profile: Profile) -> bool:
    """Whether it is out only until a time, because new tokens of it are refused."""
    return profile.status == SIGN_IN_NEEDED and profile.blocked_until is not None


def closed(profile: Profile) -> bool:
    """Whether only the key to its tokens is missing."""
    said = told(profile.status_reason) if profile.status == SIGN_IN_NEEDED else None
    return said is not None and said["key"] == "state.closed"


def without_tokens(profile: Profile, now: int) -> Profile:
    """An account whose tokens are gone, so that it says why it needs a new sign-in."""
    if profile.status not in (*IN_ROTATION, PAUSED) and not closed(profile):
        return profile
    standing = Standing(SIGN_IN_NEEDED, None, say("state.lost"))
    return replace(profile, paused_until=None, updated_at=now, **fields(standing))


def fits(profile: Profile, found: SignIn) -> bool:
    """Whether these tokens are of the same user in the same workspace."""
    if not profile.email and not profile.upstream_id:
        return profile.id == found.identity  # made again without a name
    if profile.upstream_id != found.upstream_id:
        return False
    if profile.user_id and found.user_id:
        return profile.user_id == found.user_id
    return profile.email.casefold() == found.email.casefold()


def signed_in_again(known: Profile, found: SignIn, now: int) -> Profile:
    """The profile of a known account that was signed in anew."""
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
        **fields(standing),
    )


def newcomer(found: SignIn, taken: Collection[str], now: int) -> Profile:
    """The profile of an account that was not here before, under an id that is not taken."""
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
        covered=None,
        priority=0,
        policy="normal",
        created_at=now,
        updated_at=now,
    )
