"""Accounts kept twice: what secrets.db remembers of each, for the day usage.db is lost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from server.accounts import oauth
from server.accounts.allowance import ACTIVE, DEACTIVATED, PAUSED, SIGN_IN_NEEDED
from server.accounts.refresh import Held
from server.accounts.summary import Profile
from server.errors import AppError
from server.store import db

_LASTING = (PAUSED, SIGN_IN_NEEDED, DEACTIVATED)  # a block ends by itself
_NAMES = tuple(each.name for each in fields(Profile) if each.name not in ("id", "updated_at"))


class Copies:
    """The stored copies of all accounts."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def load(self) -> None:
        """Read the copies."""
        with db.reading(db.secrets) as connection:
            found = connection.execute("select account, profile from account_copy").fetchall()
        self._known = dict(found)

    def keep(self, profiles: Iterable[Profile]) -> None:
        """Store the copies of these accounts where they changed, durably."""
        written = {profile.id: _written(profile) for profile in profiles}
        new = [(a, text) for a, text in written.items() if self._known.get(a) != text]
        if new:
            with db.writing_secrets() as connection:
                connection.executemany(
                    "replace into account_copy (account, profile) values (?, ?)", new
                )
            self._known.update(new)

    def drop(self, account: str) -> None:
        """Forget an account; its row goes with its tokens."""
        self._known.pop(account, None)

    def rebuilt(self, account: str, held: Held | None, now: int) -> Profile:
        """An account that usage.db does not know: as it was, or as its tokens tell.

        With neither it has no name, but can be signed in again or removed.
        """
        kept = _read(self._known.get(account))
        return _profile(account, kept or _told(held), now)


def _written(profile: Profile) -> str:
    values = {name: getattr(profile, name) for name in _NAMES}
    values["blocked_until"] = values["covered"] = None
    if profile.status not in _LASTING:
        values |= {"status": ACTIVE, "status_reason": None}
    return json.dumps(values, ensure_ascii=False)


def _read(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _told(held: Held | None) -> dict[str, Any]:
    if held is None:
        return {}
    try:
        found = oauth.sign_in(held.access, held.refresh, held.identity)
    except AppError:  # tokens that say nothing of their owner
        return {}
    return {name: getattr(found, name) for name in _NAMES if hasattr(found, name)}


def _profile(account: str, known: dict[str, Any], now: int) -> Profile:
    usual: dict[str, Any] = dict.fromkeys(_NAMES)
    usual |= {"email": "", "status": ACTIVE, "priority": 0, "policy": "normal", "created_at": now}
    usual |= {name: value for name, value in known.items() if name in usual and value is not None}
    return Profile(id=account, updated_at=now, **usual)
