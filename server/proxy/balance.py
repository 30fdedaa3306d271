"""Which account serves a request, and why."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server.accounts.allowance import Window, remaining

if TYPE_CHECKING:
    from server.accounts.pool import Candidate

DAY = 86_400_000
# A pinned account that is back this soon keeps its thread; the cache there is worth more.
SHORT_BLOCK = 10 * 60_000
_POLICIES = {"burn_first": 0, "normal": 1, "preserve": 2}
_BLOCKED = ("rate_limited", "quota_exceeded")
# Without an observation an account counts as half full: neither shunned nor flooded.
_UNKNOWN_LEFT = 50.0
# Each open stream will use something that no window shows yet.
_STREAM_WEIGHT = 2.5


@dataclass(frozen=True)
class Ask:
    """What about one request bears on the choice."""

    pinned: str | None = None  # the account its thread is on
    owner: str | None = None  # the only account that can continue it
    tried: frozenset[str] = frozenset()
    unable: frozenset[str] = frozenset()  # do not offer this model, as far as we know


@dataclass(frozen=True)
class Rules:
    """The user's settings for balancing."""

    strategy: str = "capacity_weighted"
    single_account: str | None = None
    prefer_earlier_reset: bool = False
    streams_per_account: int = 32


@dataclass(frozen=True)
class Choice:
    """An account and a short sentence why; or None, what keeps all from serving, and until when.

    `state` of a choice without account: empty, paused, sign_in_needed, blocked, resting,
    busy, unable, tried. `keeps_pin` is False when the thread should stay on the new account.
    """

    account: str | None
    reason: str
    state: str = "chosen"
    retry_at: int | None = None
    keeps_pin: bool = False


@dataclass
class _Sorted:
    able: list[Candidate] = field(default_factory=list)
    resting: list[Candidate] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)


def choose(
    candidates: Sequence[Candidate], ask: Ask, rules: Rules, now: int, rand: float
) -> Choice:
    """Pick the account for one request, and say why.

    A thread stays on its account while that can serve it; a short block moves the request but
    not the thread. Otherwise priority, then policy, then the strategy decides among those that
    can serve. `rand` is in [0, 1): give the same for a thread to get the same answer.
    """
    offered = _offered(candidates, ask, rules)
    found = _sort(offered, ask, rules, now)
    able = found.able or _recovering_first(found.resting)
    if not able:
        return _none(offered, found, now)
    keeps_pin = _keeps_pin(candidates, ask, now)
    for candidate in able:
        if candidate.id == ask.owner:
            return Choice(candidate.id, "it holds the earlier response")
        if candidate.id == ask.pinned:
            return Choice(candidate.id, "same thread")
    if len(able) == 1:
        reason = "the only account that can serve now" if len(offered) > 1 else "the only account"
        return Choice(able[0].id, reason, keeps_pin=keeps_pin)
    group = _first_group(able)
    if rules.prefer_earlier_reset:
        soonest = min(_days_to_reset(c, now) for c in group)
        group = [c for c in group if _days_to_reset(c, now) == soonest]
    chosen, reason = _STRATEGIES.get(rules.strategy, _capacity_weighted)(group, now, rand)
    return Choice(chosen.id, reason, keeps_pin=keeps_pin)


def free_at(candidate: Candidate, now: int) -> int | None:
    """When a blocked account may serve again; None when it is not blocked or nobody knows."""
    if candidate.status not in _BLOCKED:
        return None
    until = candidate.blocked_until
    return until if until is not None and until > now else None


def rests_until(candidate: Candidate) -> int:
    """After three errors in a row an account rests 30 s, then twice as long, at most 5 min."""
    if candidate.errors < 3:
        return 0
    rest: int = min(300_000, 30_000 * 2 ** min(candidate.errors - 3, 10))
    return candidate.error_at + rest


def left(candidate: Candidate, key: str, now: int) -> float | None:
    """Percent left in one window; None when it was never observed."""
    window = _window(candidate, key)
    return None if window is None else remaining(window, now)


def _window(candidate: Candidate, key: str) -> Window | None:
    return next((window for window in candidate.windows if window.key == key), None)


def _long_window(candidate: Candidate) -> Window | None:
    return _window(candidate, "secondary") or _window(candidate, "monthly")


def _offered(candidates: Sequence[Candidate], ask: Ask, rules: Rules) -> list[Candidate]:
    if ask.owner is not None and any(c.id == ask.owner for c in candidates):
        return [c for c in candidates if c.id == ask.owner]
    if rules.strategy == "single_account" and rules.single_account:
        return [c for c in candidates if c.id == rules.single_account]
    return list(candidates)


def _sort(offered: Sequence[Candidate], ask: Ask, rules: Rules, now: int) -> _Sorted:
    found = _Sorted()
    for candidate in offered:
        obstacle = _obstacle(candidate, ask, rules, now)
        if obstacle is None:
            found.able.append(candidate)
        elif obstacle == "resting":
            found.resting.append(candidate)
        else:
            found.why[candidate.id] = obstacle
    return found


def _obstacle(candidate: Candidate, ask: Ask, rules: Rules, now: int) -> str | None:
    if candidate.id in ask.tried:
        return "tried"
    if candidate.status == "paused":
        return "paused"
    if candidate.status in ("sign_in_needed", "deactivated"):
        return "sign_in_needed"
    if candidate.status in _BLOCKED and (
        candidate.blocked_until is None or candidate.blocked_until > now
    ):
        return "blocked"
    if candidate.id in ask.unable:
        return "unable"
    if candidate.streams >= rules.streams_per_account:
        return "busy"
    return "resting" if rests_until(candidate) > now else None


def _recovering_first(resting: list[Candidate]) -> list[Candidate]:
    # An account that may fail again is better than no answer.
    return [min(resting, key=lambda c: (rests_until(c), c.id))] if resting else []


def _none(offered: Sequence[Candidate], found: _Sorted, now: int) -> Choice:
    states = set(found.why.values())
    if not offered:
        return Choice(None, "no account", "empty")
    # The most hopeful obstacle speaks: it is the one that ends without anybody's doing.
    for state in ("busy", "tried", "blocked", "unable", "sign_in_needed", "paused"):
        if state in states:
            times = [at for at in (free_at(c, now) for c in offered) if at is not None]
            return Choice(None, f"no account: {state}", state, min(times, default=None))
    return Choice(None, "no account", "empty")


def _keeps_pin(candidates: Sequence[Candidate], ask: Ask, now: int) -> bool:
    for candidate in candidates:
        if candidate.id == ask.pinned:
            until = free_at(candidate, now)
            if candidate.status in _BLOCKED:
                return until is not None and until - now <= SHORT_BLOCK
            return candidate.status == "active"
    return False


def _first_group(able: Sequence[Candidate]) -> list[Candidate]:
    def rank(candidate: Candidate) -> tuple[int, int]:
        return -candidate.priority, _POLICIES.get(candidate.policy, 1)

    best = min(rank(c) for c in able)
    return [c for c in able if rank(c) == best]


def _days_to_reset(candidate: Candidate, now: int) -> int:
    window = _long_window(candidate)
    if window is None or window.resets_at is None:
        return 10_000
    return max(0, window.resets_at - now) // DAY


def _headroom(candidate: Candidate, now: int) -> float:
    """Percent left that counts: of the long window, nothing while the short one is spent."""
    short, long = _window(candidate, "primary"), _long_window(candidate)
    if short is not None and remaining(short, now) <= 0:
        return 0.0
    window = long or short
    known = _UNKNOWN_LEFT if window is None else remaining(window, now)
    return max(0.0, known - _STREAM_WEIGHT * candidate.streams)


def _said(candidate: Candidate, now: int) -> str:
    window = _long_window(candidate) or _window(candidate, "primary")
    return "allowance not known yet" if window is None else f"{remaining(window, now):.0f} % left"


_Picked = tuple["Candidate", str]


def _capacity_weighted(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    known = [c.capacity for c in group if c.capacity]
    usual = statistics.fmean(known) if known else 1.0
    weights = [(c.capacity or usual) * _headroom(c, now) for c in group]
    total = sum(weights)
    if total <= 0:
        return _usage_weighted(group, now, rand)
    point = rand * total
    for candidate, weight in zip(group, weights, strict=True):
        point -= weight
        if point < 0:
            most = weight == max(weights)
            word = "most headroom" if most else "a share by headroom"
            return candidate, f"{word}, {_said(candidate, now)}"
    return group[-1], f"a share by headroom, {_said(group[-1], now)}"


def _usage_weighted(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    def order(candidate: Candidate) -> tuple[float, float, int, str]:
        short = left(candidate, "primary", now)
        short = _UNKNOWN_LEFT if short is None else short
        return -_headroom(candidate, now), -short, candidate.last_used, candidate.id

    chosen = min(group, key=order)
    return chosen, f"least used, {_said(chosen, now)}"


def _round_robin(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    return min(group, key=lambda c: (c.last_used, c.id)), "its turn"


def _fill_first(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    def order(candidate: Candidate) -> tuple[bool, float, float, str]:
        short = left(candidate, "primary", now)
        long = _headroom(candidate, now)
        return long <= 0, 100.0 if short is None else short, long, candidate.id

    chosen = min(group, key=order)
    return chosen, f"fullest first, {_said(chosen, now)}"


def _reset_drain(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    def order(candidate: Candidate) -> tuple[bool, int, float, float, str]:
        short = left(candidate, "primary", now)
        room = _headroom(candidate, now)
        days = _days_to_reset(candidate, now)
        return room <= 0, days, -(_UNKNOWN_LEFT if short is None else short), -room, candidate.id

    chosen = min(group, key=order)
    return chosen, f"resets first, {_said(chosen, now)}"


_STRATEGIES: dict[str, Callable[[Sequence[Candidate], int, float], _Picked]] = {
    "capacity_weighted": _capacity_weighted,
    "usage_weighted": _usage_weighted,
    "round_robin": _round_robin,
    "fill_first": _fill_first,
    "reset_drain": _reset_drain,
    "single_account": _usage_weighted,
}
