"""Accounts as the pages, the tray and scripts read them (docs/API.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.accounts import allowance
from server.accounts.allowance import (
    BLOCKED,
    MONTHLY,
    PRIMARY,
    SECONDARY,
    Headroom,
    Pace,
    Share,
    Usage,
    Window,
)
from server.sentences import told
from server.times import iso

_SUFFIX = {PRIMARY: "Primary", SECONDARY: "Secondary", MONTHLY: "Monthly"}


@dataclass(frozen=True)
class Profile:
    """An account as it is stored, without its tokens."""

    id: str
    label: str | None
    email: str
    plan: str | None
    upstream_id: str | None
    user_id: str | None
    workspace: str | None
    workspace_name: str | None
    status: str
    status_reason: str | None
    blocked_until: int | None
    paused_until: int | None
    covered: str | None  # the block that a pause covers, as `states.kept` writes it
    priority: int
    policy: str
    created_at: int
    updated_at: int


@dataclass(frozen=True)
class View:
    """Everything that is known of one account at a moment."""

    profile: Profile
    name: str
    usage: Usage
    streams: int
    last_used: int
    serving: bool
    usage_error: str | None
    health: dict[str, Any]


def names(profiles: Sequence[Profile]) -> dict[str, str]:
    """What each account is called: its alias, else its e-mail.

    Accounts of one e-mail are told apart by what differs of their workspaces' names and plans,
    and by a piece of their id only where both are the same.
    """
    found = {p.id: p.label or p.email or f"account {p.id[:6]}" for p in profiles}
    shared: dict[str, list[Profile]] = {}
    for profile in profiles:
        if profile.email and not profile.label:
            shared.setdefault(profile.email.casefold(), []).append(profile)
    for same in shared.values():
        if len(same) > 1:
            found.update(_apart(same))
    return found


def _apart(same: Sequence[Profile]) -> dict[str, str]:
    """Names for accounts of one e-mail."""
    # A workspace that they all share says nothing, and may be the provider's for everybody.
    differ = len({profile.workspace_name for profile in same}) > 1
    about = {p.id: (p.workspace_name if differ else None, p.plan) for p in same}
    often = Counter(about.values())
    found = {}
    for profile in same:
        alike = often[about[profile.id]] > 1
        found[profile.id] = _called(profile, (*about[profile.id], profile.id[:4] if alike else ""))
    return found


def _called(profile: Profile, about: Sequence[str | None]) -> str:
    words = ", ".join(word for word in about if word)
    return f"{profile.email} ({words})" if words else profile.email


def account(view: View, now: int, *, auth: bool, stale_after: int) -> dict[str, Any]:
    """One account in full: AccountSummary."""
    profile, usage = view.profile, view.usage
    return {
        "accountId": profile.id,
        "email": profile.email,
        "displayName": view.name,
        "alias": profile.label,
        "planType": profile.plan,
        "status": profile.status,
        **_by_slot(profile.plan, usage.windows, now),
        "lastRefreshAt": iso(view.health["refreshed_at"]),
        "deactivationReason": (
            profile.status_reason
            if profile.status in (allowance.DEACTIVATED, allowance.SIGN_IN_NEEDED)
            else None
        ),
        "chatgptAccountId": profile.upstream_id,
        "workspaceId": profile.workspace,
        "workspaceLabel": profile.workspace_name,
        "routingPolicy": profile.policy,
        "auth": _auth(view.health) if auth else None,
        "windows": [_window(each, now, stale_after) for each in usage.windows],
        "priority": profile.priority,
        **_state(view),
        "onCredits": allowance.on_credits(profile.status, usage, now),
        "activeStreams": view.streams,
        "credits": _credits(usage),
        "availableResetCredits": usage.reset_credits,
        "lastUsedAt": iso(view.last_used or None),
        "usageError": view.usage_error,
        "usageErrorSaid": told(view.usage_error),
    }


def unnamed(shown: dict[str, Any]) -> dict[str, Any]:
    """An account as the strict privacy mode shows it: a piece of its id for every name."""
    neutral = {"displayName": hidden(shown["accountId"]), "email": None}
    return {**shown, **neutral, "alias": None, "workspaceLabel": None}


def hidden(account: str) -> str:
    """What the strict privacy mode calls an account."""
    return f"account {account[:6]}"


def pool(views: Sequence[View], now: int, *, stale_after: int) -> dict[str, Any]:
    """The pool as a whole: `pool` of /api/tray."""
    shares = [Share(v.profile.plan, v.profile.status, v.usage.windows) for v in views]
    states = Counter(share.status for share in shares)
    paid = [allowance.on_credits(v.profile.status, v.usage, now) for v in views]
    state = allowance.pool_state(shares, now, stale_after)
    return {
        "windows": [_average(each, now, stale_after) for each in allowance.headroom(shares, now)],
        "accounts": {
            "total": len(views),
            "active": states[allowance.ACTIVE],
            "paused": states[allowance.PAUSED],
            "blocked": sum(states[status] for status in BLOCKED),
            "signInNeeded": states[allowance.SIGN_IN_NEEDED] + states[allowance.DEACTIVATED],
        },
        # While credits pay for an account, work goes on.
        "state": "low" if state == "spent" and any(paid) else state,
        "onCredits": any(paid),
    }


def snapshot(views: Sequence[View], now: int, *, stale_after: int) -> dict[str, Any]:
    """The pool and its accounts in short, for the tray: the part of /api/tray that is ours."""
    return {
        "pool": pool(views, now, stale_after=stale_after),
        "accounts": [
            {
                "id": view.profile.id,
                "name": view.name,
                "plan": view.profile.plan,
                "status": view.profile.status,
                "windows": [_window(each, now, stale_after) for each in view.usage.windows],
                "credits": _credits(view.usage),
                "availableResetCredits": view.usage.reset_credits,
                "onCredits": allowance.on_credits(view.profile.status, view.usage, now),
                **_state(view),
            }
            for view in views
        ],
    }


# When the accounts have several plans, the pool is shown as the greatest of them.
_PLANS = (
    "enterprise", "business", "team", "pro", "prolite", "plus", "education", "edu",
    "free_workspace", "free", "go", "guest", "quorum", "k12",
)  # fmt: skip


def usage(views: Sequence[View], now: int) -> dict[str, Any]:
    """The pool as one account: a `/wham/usage` answer, in the provider's snake case."""
    serving = [view for view in views if view.profile.status in allowance.IN_ROTATION]
    if not serving:
        return {"plan_type": "guest"}
    plans = {view.profile.plan for view in serving if view.profile.plan}
    plan = next((known for known in _PLANS if known in plans), min(plans, default="unknown"))
    banked = [v.usage.reset_credits for v in serving if v.usage.reset_credits is not None]
    return {
        "plan_type": plan,
        "rate_limit": _limit(serving, "", now),
        "credits": _pool_credits(serving),
        "additional_rate_limits": [
            {
                "limit_name": allowance.name(f"{limit}:", None).removesuffix(" · "),
                "metered_feature": limit,
                "rate_limit": _limit(serving, limit, now),
            }
            for limit in _named(serving)
        ],
        "rate_limit_reset_credits": {"available_count": sum(banked)} if banked else None,
    }


def _named(views: Sequence[View]) -> list[str]:
    keys = {window.key for view in views for window in view.usage.windows}
    return sorted({limit for limit, _, part in (key.rpartition(":") for key in keys) if limit})


def _limit(views: Sequence[View], limit: str, now: int) -> dict[str, Any] | None:
    """One limit of the pool: its windows, averaged by what each plan can spend."""
    shares = [
        Share(v.profile.plan, v.profile.status, _windows_of(v.usage.windows, limit)) for v in views
    ]
    found = {each.window.key: each for each in allowance.headroom(shares, now)}
    if not found:
        return None
    blocked = not limit and all(view.profile.status in BLOCKED for view in views)
    spent = any(each.remaining <= 0 for each in found.values())
    return {
        "allowed": not (blocked or spent),
        "limit_reached": blocked or spent,
        **{
            f"{key}_window": _seconds(found[key], now) if key in found else None
            for key in allowance.STANDARD
        },
    }


def _windows_of(windows: Sequence[Window], limit: str) -> tuple[Window, ...]:
    if not limit:
        return tuple(filter(allowance.standard, windows))
    own = [window for window in windows if window.key.startswith(f"{limit}:")]
    return tuple(replace(window, key=window.key.partition(":")[2]) for window in own)


def _seconds(each: Headroom, now: int) -> dict[str, Any]:
    resets_at = each.window.resets_at
    return {
        "used_percent": int(100 - each.remaining),
        "limit_window_seconds": each.window.minutes and each.window.minutes * 60,
        "reset_after_seconds": None if resets_at is None else max(0, resets_at - now) // 1000,
        "reset_at": None if resets_at is None else resets_at // 1000,
    }


def _pool_credits(views: Sequence[View]) -> dict[str, Any] | None:
    known = [view.usage.credits for view in views if view.usage.credits is not None]
    if not known:
        return None
    balances = [each.balance for each in known if each.balance is not None]
    return {
        "has_credits": any(each.has for each in known),
        "unlimited": any(each.unlimited for each in known),
        "balance": f"{sum(balances):g}" if balances else None,
        "approx_local_messages": None,
        "approx_cloud_messages": None,
    }


def _state(view: View) -> dict[str, Any]:
    profile = view.profile
    return {
        "statusReason": profile.status_reason,
        "statusSaid": told(profile.status_reason),
        "blockedUntil": iso(profile.blocked_until),
        "pausedUntil": iso(profile.paused_until),
        "serving": view.serving,
    }


def _by_slot(plan: str | None, windows: Sequence[Window], now: int) -> dict[str, Any]:
    known = {window.key: window for window in windows}
    percents: dict[str, float | None] = {}
    fields: dict[str, Any] = {}
    for key, suffix in _SUFFIX.items():
        window = known.get(key)
        left = None if window is None else round(allowance.remaining(window, now), 2)
        full = allowance.capacity(plan, key)
        percents[f"{key}RemainingPercent"] = left
        fields[f"resetAt{suffix}"] = iso(window.resets_at) if window else None
        fields[f"windowMinutes{suffix}"] = window.minutes if window else None
        fields[f"capacityCredits{suffix}"] = full if window else None
        fields[f"remainingCredits{suffix}"] = (
            None if left is None or full is None else round(full * left / 100, 2)
        )
    return {"usage": percents, **fields}


def _window(window: Window, now: int, stale_after: int) -> dict[str, Any]:
    left = allowance.remaining(window, now)
    return _shown(window, left, allowance.pace(window, now), now, stale_after)


def _average(each: Headroom, now: int, stale_after: int) -> dict[str, Any]:
    return _shown(each.window, each.remaining, each.pace, now, stale_after)


def _shown(
    window: Window, left: float, pace: Pace | None, now: int, stale_after: int
) -> dict[str, Any]:
    return {
        "key": window.key,
        "name": allowance.name(window.key, window.minutes),
        "longName": allowance.name(window.key, window.minutes, long=True),
        "usedPercent": round(100.0 - left, 2),
        "remainingPercent": round(left, 2),
        "windowMinutes": window.minutes,
        "resetAt": iso(window.resets_at),
        "observedAt": iso(window.observed_at),
        "stale": allowance.stale(window, now, stale_after),
        "level": allowance.level(left),
        "pace": None
        if pace is None
        else {
            "expectedRemaining": pace.expected_remaining,
            "delta": pace.delta,
            "state": pace.state,
            "runsOutAt": iso(pace.runs_out_at),
        },
    }


def _auth(health: dict[str, Any]) -> dict[str, Any]:
    return {
        "access": {"expiresAt": iso(health["expires_at"]), "state": health["access"]},
        "refresh": {"expiresAt": None, "state": health["refresh"]},
        "idToken": {"expiresAt": None, "state": health["identity"]},
    }


def _credits(usage: Usage) -> dict[str, Any] | None:
    if usage.credits is None:
        return None
    known = usage.credits
    return {"has": known.has, "unlimited": known.unlimited, "balance": known.balance}
