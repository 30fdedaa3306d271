"""Allowance windows: what they are called, what is left of them, and what follows from that.

A window is known by its length, never by the slot it came in: free plans send a week in the
first slot, and some plans have no 5-hour window at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.accounts.windows import MINUTES as MINUTES
from server.accounts.windows import MONTHLY as MONTHLY
from server.accounts.windows import PRIMARY as PRIMARY
from server.accounts.windows import SECONDARY as SECONDARY
from server.accounts.windows import STANDARD as STANDARD
from server.accounts.windows import classify as classify
from server.sentences import say

# Short for columns and bars, long for sentences: “5 h 62%”, “the 5-hour allowance”.
_SHOWN = {
    PRIMARY: ("5 h", "5-hour"),
    SECONDARY: ("week", "weekly"),
    MONTHLY: ("month", "monthly"),
}

ACTIVE, PAUSED, SIGN_IN_NEEDED, DEACTIVATED = "active", "paused", "sign_in_needed", "deactivated"
RATE_LIMITED, QUOTA_EXCEEDED = "rate_limited", "quota_exceeded"
BLOCKED = (RATE_LIMITED, QUOTA_EXCEEDED)
IN_ROTATION = (ACTIVE, *BLOCKED)

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FARTHEST_RESET = 366 * DAY  # later than this is a mistake of the sender
LOW, CRITICAL = 20.0, 10.0
STALE_AFTER = 10 * MINUTE
TOO_EARLY = 0.03  # of a window: a pace would be noise
ON_PACE = 2.0


@dataclass(frozen=True)
class Window:
    """One allowance window as last observed; `used_percent` may exceed 100."""

    key: str
    used_percent: float
    minutes: int | None
    resets_at: int | None
    observed_at: int


@dataclass(frozen=True)
class Credits:
    """What can be spent when the windows are used up."""

    has: bool
    unlimited: bool
    balance: float | None


@dataclass(frozen=True)
class Usage:
    """What one answer of the provider said about one account."""

    windows: tuple[Window, ...] = ()
    plan: str | None = None
    credits: Credits | None = None
    reset_credits: int | None = None  # banked resets that can be redeemed
    workspace: str | None = None  # what the provider calls it


@dataclass(frozen=True)
class Pace:
    """Use compared with an even spend; `delta` > 0 means more is left than that."""

    expected_remaining: float
    delta: float
    state: str  # on pace | in reserve | in deficit
    runs_out_at: int | None  # only when that is before the reset


@dataclass(frozen=True)
class Standing:
    """Whether an account may serve, and if not, why and until when."""

    status: str
    until: int | None = None
    reason: str | None = None


# ── names ─────────────────────────────────────────────────────────────────────────────────

# A named limit is known to users by its product's name; the provider uses several for one.
_NAMED = {
    "codex_bengalfox": ("codex_spark", "Spark"),
    "codex_other": ("codex_spark", "Spark"),
    "codex_spark": ("codex_spark", "Spark"),
    "gpt_5_3_codex_spark": ("codex_spark", "Spark"),
}
_LABELS = dict(_NAMED.values())
_UNITS = (("d", "day", 1440), ("h", "hour", 60), ("min", "minute", 1))


def name(window_key: str, minutes: int | None, *, long: bool = False) -> str:
    """What people call a window: “5 h”, “week”, “month”, “3 d”, “Spark · week”.

    The long form goes before a noun: “5-hour”, “weekly”, “monthly”, “3-day”, “Spark weekly”.
    """
    limit, _, part = window_key.rpartition(":")
    if limit:
        label = _LABELS.get(limit) or limit.replace("_", " ").strip().capitalize()
        return f"{label}{' ' if long else ' · '}{name(part, minutes, long=long)}"
    if window_key in _SHOWN:
        return _SHOWN[window_key][long]
    return _length(minutes, long) if minutes else window_key


def standard(window: Window) -> bool:
    """Whether a window limits the whole account, not one named model."""
    return ":" not in window.key


def _length(minutes: int, long: bool) -> str:
    unit, word, size = next(each for each in _UNITS if minutes % each[2] == 0)
    return f"{minutes // size}-{word}" if long else f"{minutes // size} {unit}"


def _order(window: Window) -> tuple[bool, int]:
    return (not standard(window), window.minutes or MINUTES.get(window.key, 0))


def ordered(windows: Iterable[Window]) -> tuple[Window, ...]:
    """The account's own windows from short to long, then the named ones."""
    return tuple(sorted(windows, key=_order))


# ── plans ─────────────────────────────────────────────────────────────────────────────────

_CAPACITY: dict[str, dict[str, float]] = {
    **dict.fromkeys(("plus", "business", "team", "edu"), {PRIMARY: 225.0, SECONDARY: 7_560.0}),
    "prolite": {PRIMARY: 1_125.0, SECONDARY: 37_800.0},
    **dict.fromkeys(("pro", "enterprise"), {PRIMARY: 1_500.0, SECONDARY: 50_400.0}),
    "free": {SECONDARY: 1_134.0, MONTHLY: 1_134.0},
}
_SAME_PLAN = {
    "education": "edu",
    "k12": "edu",
    **dict.fromkeys(("guest", "go", "free_workspace", "quorum"), "free"),
}
# An account of an unknown plan still counts in an average: as the smallest paid one.
_LEAST = {PRIMARY: 225.0, SECONDARY: 7_560.0, MONTHLY: 1_134.0}


def capacity(plan: str | None, window_key: str) -> float | None:
    """How many credits a plan has in a window; None when nobody knows."""
    known = (plan or "").lower()
    return _CAPACITY.get(_SAME_PLAN.get(known, known), {}).get(window_key)


def weekly_capacity(plan: str | None) -> float | None:
    """How many credits a plan has a week, or a month when it has no week."""
    return capacity(plan, SECONDARY) or capacity(plan, MONTHLY)


# ── what is left ──────────────────────────────────────────────────────────────────────────


def remaining(window: Window, now: int) -> float:
    """Percent left, 100 once the window has reset."""
    if window.resets_at is not None and now >= window.resets_at:
        return 100.0
    return min(100.0, max(0.0, 100.0 - window.used_percent))


def level(left: float | None) -> str:
    """ok, low (20 % or less), critical (10 % or less) or spent; unknown stays unknown."""
    if left is None:
        return "unknown"
    if left <= 0:
        return "spent"
    if left <= CRITICAL:
        return "critical"
    return "low" if left <= LOW else "ok"


def stale(window: Window, now: int, after: int = STALE_AFTER) -> bool:
    """Whether the observation is too old to be called current."""
    return now - window.observed_at > after


def pace(window: Window, now: int) -> Pace | None:
    """Compare use with an even spend; None in the first 3 % of a window or when it is unknown."""
    rate = _rate(window, now)
    if rate is None or window.resets_at is None:
        return None
    elapsed, used_per_ms = rate
    left = remaining(window, now)
    expected = max(0.0, 100.0 - 100.0 * elapsed / ((window.minutes or 0) * MINUTE))
    runs_out = None
    if used_per_ms > 0:
        moment = now + left / used_per_ms
        runs_out = int(moment) if moment < window.resets_at else None
    return Pace(
        round(expected, 2), round(left - expected, 2), _pace_state(left - expected), runs_out
    )


def _pace_state(delta: float) -> str:
    if abs(delta) <= ON_PACE:
        return "on pace"
    return "in reserve" if delta > 0 else "in deficit"


def _rate(window: Window, now: int) -> tuple[int, float] | None:
    """How long the window runs and how fast it was used (percent a millisecond)."""
    if window.resets_at is None or not window.minutes or now >= window.resets_at:
        return None
    length = window.minutes * MINUTE
    elapsed = length - (window.resets_at - now)
    if elapsed < TOO_EARLY * length:
        return None
    return elapsed, (100.0 - remaining(window, now)) / elapsed


def series(observed: Sequence[Window], times: Iterable[int]) -> list[tuple[int, float]]:
    """Percent left at each of the times: the last observation holds until its window resets.

    `observed` is in order of time. Times before the first observation are left out.
    """
    points: list[tuple[int, float]] = []
    index = -1
    for moment in times:
        while index + 1 < len(observed) and observed[index + 1].observed_at <= moment:
            index += 1
        if index >= 0:
            points.append((moment, round(remaining(observed[index], moment), 2)))
    return points


# ── the pool ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Share:
    """One account's part in the pool: its plan decides how much its percentages weigh."""

    plan: str | None
    status: str
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Headroom:
    """A window averaged over the accounts in rotation."""

    window: Window
    remaining: float
    pace: Pace | None


def headroom(shares: Sequence[Share], now: int) -> list[Headroom]:
    """The pool's windows, each averaged over accounts in rotation, weighted by plan capacity.

    Blocked accounts are in rotation: what they have used up is missing from the pool.
    """
    found: dict[str, list[tuple[float, Window]]] = {}
    for share in shares:
        if share.status not in IN_ROTATION:
            continue
        for window in filter(standard, share.windows):
            weight = capacity(share.plan, window.key) or _LEAST.get(window.key, 1.0)
            found.setdefault(window.key, []).append((weight, window))
    averaged = [_average(key, parts, now) for key, parts in found.items()]
    return sorted(averaged, key=lambda each: _order(each.window))


def _average(key: str, parts: list[tuple[float, Window]], now: int) -> Headroom:
    total = sum(weight for weight, _ in parts)
    left = sum(weight * remaining(window, now) for weight, window in parts) / total
    resets = [w.resets_at for _, w in parts if w.resets_at is not None and w.resets_at > now]
    lengths = {window.minutes for _, window in parts}
    window = Window(
        key,
        used_percent=100.0 - left,
        minutes=lengths.pop() if len(lengths) == 1 else MINUTES.get(key),
        resets_at=min(resets, default=None),
        observed_at=max(window.observed_at for _, window in parts),
    )
    return Headroom(window, left, _pool_pace(parts, now))


def _pool_pace(parts: list[tuple[float, Window]], now: int) -> Pace | None:
    known = [(weight, w, p) for weight, w in parts if (p := pace(w, now)) is not None]
    total = sum(weight for weight, _, _ in known)
    if not total:
        return None
    expected = sum(weight * p.expected_remaining for weight, _, p in known) / total
    left = sum(weight * remaining(w, now) for weight, w, _ in known)
    speed = sum(weight * rate[1] for weight, w, _ in known if (rate := _rate(w, now)))
    first_reset = min(w.resets_at for _, w, _ in known if w.resets_at is not None)
    runs_out = now + left / speed if speed else None
    delta = left / total - expected
    soon = runs_out is not None and runs_out < first_reset
    return Pace(
        round(expected, 2),
        round(delta, 2),
        _pace_state(delta),
        int(runs_out) if soon and runs_out is not None else None,
    )


def pool_state(shares: Sequence[Share], now: int, after: int = STALE_AFTER) -> str:
    """One word for the icon: ok, low, critical, spent, paused, unknown, stale, …"""
    serving = [share for share in shares if share.status in IN_ROTATION]
    if not serving:
        return _idle_state(shares)
    if all(share.status in BLOCKED for share in serving):
        return "spent"
    windows = [w for share in serving for w in share.windows if standard(w)]
    if not windows:
        return "unknown"
    if all(stale(window, now, after) for window in windows):
        return "stale"
    return level(min(each.remaining for each in headroom(serving, now)))


def _idle_state(shares: Sequence[Share]) -> str:
    if not shares:
        return "empty"
    return "paused" if any(share.status == PAUSED for share in shares) else "sign_in_needed"


# ── what observations change ──────────────────────────────────────────────────────────────


def merge(before: Usage, after: Usage, *, whole: bool) -> Usage:
    """What is known after an observation.

    A whole answer (`/wham/usage`) that names windows replaces all of them, so that a window
    the plan no longer has goes away, and so do credits; headers replace only what they name.
    """
    named = whole and any(standard(w) for w in after.windows)
    windows = {} if named else {w.key: w for w in before.windows}
    older = {w.key: w for w in before.windows}
    for window in after.windows:
        known = older.get(window.key)
        windows[window.key] = known if known is not None and late(known, window) else window
    return Usage(
        ordered(windows.values()),
        after.plan or before.plan,
        after.credits if named else after.credits or before.credits,
        before.reset_credits if after.reset_credits is None else after.reset_credits,
        after.workspace or before.workspace,
    )


def late(known: Window, seen: Window) -> bool:
    """Whether `seen` is an answer that was overtaken by a newer one.

    More than a few minutes cannot be: then the computer's clock was set back.
    """
    return 0 < known.observed_at - seen.observed_at <= STALE_AFTER


def usable(credits: Credits | None) -> bool:
    """Whether credits can pay when the windows are used up."""
    if credits is None:
        return False
    if credits.balance is not None:
        return credits.unlimited or credits.balance > 0
    return credits.unlimited or credits.has


def on_credits(status: str, usage: Usage, now: int) -> bool:
    """Whether an account serves by its credits: a window is used up, and they pay."""
    spent = any(standard(w) and remaining(w, now) <= 0 for w in usage.windows)
    return status == ACTIVE and spent and usable(usage.credits)


def settle(standing: Standing, before: Usage, after: Usage, now: int) -> Standing:
    """The standing that follows from an observation.

    Paused, sign-in needed and deactivated never change by windows. Usable credits outweigh
    used-up windows. A block ends at its time, or early when a window visibly started afresh.
    """
    if standing.status not in IN_ROTATION:
        return standing
    if not usable(after.credits):
        spent = _spent(after.windows, now)
        if spent is not None:
            return standing if _outlasts(standing, spent) else spent
    if standing.status in BLOCKED:
        over = standing.until is None or standing.until <= now
        paid = usable(after.credits) and not usable(before.credits)
        if not (over or paid or renewed(before.windows, after.windows)):
            return standing
    return Standing(ACTIVE)


def _outlasts(standing: Standing, spent: Standing) -> bool:
    """Whether a block is at least as long as what the windows say, give or take rounding."""
    if standing.status not in BLOCKED or standing.until is None or spent.until is None:
        return False
    return standing.until >= spent.until - MINUTE


def _spent(windows: Sequence[Window], now: int) -> Standing | None:
    ends: dict[str, tuple[int, str]] = {}
    for window in windows:
        if not standard(window) or remaining(window, now) > 0:
            continue
        status = RATE_LIMITED if _short(window) else QUOTA_EXCEEDED
        end = window.resets_at if window.resets_at and window.resets_at > now else None
        until = end or now + (MINUTES[PRIMARY] * MINUTE if _short(window) else HOUR)
        shown = name(window.key, window.minutes, long=True)
        ends[status] = max(ends.get(status, (0, "")), (until, say("state.spent", window=shown)))
    for status in (QUOTA_EXCEEDED, RATE_LIMITED):  # the longer block is the one to tell
        if status in ends:
            return Standing(status, *ends[status])
    return None


def _short(window: Window) -> bool:
    if window.minutes is None:
        return window.key == PRIMARY
    return window.minutes <= 1440


def renewed(before: Sequence[Window], after: Sequence[Window]) -> bool:
    """Whether one of the account's windows visibly started afresh.

    Two points are more than rounding and answers out of order can explain.
    """
    known = {window.key: window for window in before if standard(window)}
    for window in after:
        old = known.get(window.key)
        if old is None or late(old, window):
            continue
        freed = old.used_percent >= 100 > window.used_percent
        if freed or window.used_percent <= old.used_percent - 2:
            return True
    return False


def plausible(until: int | None, now: int) -> int | None:
    """A reset that can be believed: in the future, within 366 days; else None."""
    return until if until is not None and now < until <= now + FARTHEST_RESET else None


# ── the provider's two spellings ──────────────────────────────────────────────────────────


def windows_from_usage(payload: Any, now: int) -> Usage:
    """Read a `/wham/usage` answer. Every field may be absent or wrong; those are left out."""
    body = _mapping(payload)
    windows = _usage_windows(_mapping(body.get("rate_limit")), "", now)
    extra = body.get("additional_rate_limits")
    for each in extra if isinstance(extra, list) else ():
        limit = _mapping(each)
        named = limit_key(limit.get("metered_feature"), limit.get("limit_name"))
        if named:
            windows += _usage_windows(_mapping(limit.get("rate_limit")), named, now)
    banked = _number(_mapping(body.get("rate_limit_reset_credits")).get("available_count"))
    return Usage(
        ordered(_one_a_key(windows)),
        plan_name(body.get("plan_type")),
        _credits(_mapping(body.get("credits")), ("has_credits", "unlimited", "balance")),
        None if banked is None else int(banked),
        workspace_name(body.get("workspace_label")),
    )


def _usage_windows(limit: Mapping[str, Any], named: str, now: int) -> list[Window]:
    found = []
    for slot in (PRIMARY, SECONDARY, MONTHLY):
        raw = _mapping(limit.get(f"{slot}_window"))
        seconds = _number(raw.get("limit_window_seconds"))
        resets_at = _number(raw.get("reset_at"))
        after = _number(raw.get("reset_after_seconds"))
        if resets_at is None and after is not None and after > 0:
            resets_at = now / 1000 + after
        minutes = None if seconds is None else math.ceil(seconds / 60)
        window = _window((slot, named), _number(raw.get("used_percent")), minutes, resets_at, now)
        if window is not None:
            found.append(window)
    return found


_CREDIT_HEADERS = (
    "x-codex-credits-has-credits",
    "x-codex-credits-unlimited",
    "x-codex-credits-balance",
)
_FAMILY = re.compile(r"x-codex-(?:(.{1,64})-)?(primary|secondary)-used-percent")


def windows_from_headers(headers: Mapping[str, str], now: int) -> Usage:
    """Read the `x-codex-*` headers of an answer; what cannot be read is left out.

    Only `reset-at` in epoch seconds counts as a reset, as in Codex itself.
    """
    lower = {key.lower(): str(value) for key, value in headers.items()}
    windows = []
    for key in lower:
        match = _FAMILY.fullmatch(key)
        if match is None:
            continue
        family, slot = match.groups()
        named = ""
        if family:
            named = limit_key(family, lower.get(f"x-codex-{family}-limit-name"))
        prefix = key.removesuffix("used-percent")
        minutes = _number(lower.get(f"{prefix}window-minutes"))
        window = _window(
            (slot, named),
            _number(lower[key]),
            None if minutes is None else math.ceil(minutes),
            _number(lower.get(f"{prefix}reset-at")),
            now,
        )
        if window is not None:
            windows.append(window)
    return Usage(
        ordered(_one_a_key(windows)),
        plan_name(lower.get("x-codex-plan-type")),
        _credits(lower, _CREDIT_HEADERS),
    )


def _window(
    place: tuple[str, str],
    used: float | None,
    minutes: int | None,
    resets_seconds: float | None,
    now: int,
) -> Window | None:
    slot, named = place
    if used is None:
        return None
    if not used and not minutes and not resets_seconds:
        return None  # the provider's way to say that there is no such window
    if minutes is not None and not 0 < minutes <= FARTHEST_RESET // MINUTE:
        minutes = None
    resets_at = None if resets_seconds is None else int(min(resets_seconds, 1e14) * 1000)
    key = classify(minutes, slot)
    return Window(
        f"{named}:{key}" if named else key,
        max(0.0, used),
        minutes,
        plausible(resets_at, now),
        now,
    )


def _one_a_key(windows: Iterable[Window]) -> list[Window]:
    # Two windows of one length in one answer: the fuller one decides what can be spent.
    kept: dict[str, Window] = {}
    for window in windows:
        known = kept.get(window.key)
        if known is None or window.used_percent > known.used_percent:
            kept[window.key] = window
    return list(kept.values())


def limit_key(feature: Any, label: Any) -> str:
    """The key of a named limit from the provider's names for it; "" when it has none."""
    slugs = [re.sub(r"[^a-z0-9]+", "_", x.lower()[:64]) for x in (feature, label) if _text(x)]
    for slug in slugs:
        if slug.strip("_") in _NAMED:
            return _NAMED[slug.strip("_")][0]
    return slugs[0].strip("_") if slugs else ""


def limit_of(model: str, windows: Iterable[Window]) -> str | None:
    """The named limit that a model counts for; None when it counts for the account's own.

    Known by the model's name, or because an account has a limit of that very name.
    """
    named = limit_key(None, model)
    if not named:
        return None
    if named in _LABELS or any(w.key.startswith(f"{named}:") for w in windows):
        return named
    return None


def plan_name(value: Any) -> str | None:
    """A plan as we store it: lower case; None when the text says nothing."""
    if not _text(value):
        return None
    plan = str(value).strip().lower()
    fits = re.fullmatch(r"[a-z0-9][a-z0-9_ .-]{0,39}", plan)
    return plan if fits and plan not in ("unknown", "none", "null") else None


def workspace_name(value: Any) -> str | None:
    """A workspace's name as we store it; None when the text says nothing."""
    if not isinstance(value, str) or not value.isprintable():
        return None
    return value.strip()[:80] or None


def _credits(raw: Mapping[str, Any], names: tuple[str, str, str]) -> Credits | None:
    has, unlimited, balance = (raw.get(key) for key in names)
    if has is None and unlimited is None and balance is None:
        return None
    return Credits(_true(has), _true(unlimited), _number(balance))


def _true(value: Any) -> bool:
    return value is True or str(value).strip().lower() in ("true", "1")


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) < 1e15 else None
