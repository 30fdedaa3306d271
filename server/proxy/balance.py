"""Which account serves a request, and why."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from server.accounts.allowance import MINUTES, Window, remaining, standard
from server.accounts.allowance import name as window_name
from server.sentences import say

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
# Half of so many requests failed: the provider throttles a few accounts for hours, and every
# try there costs its user half a minute.
_ENOUGH = 8
_PROBE_EVERY = 60_000
# Whoever failed goes last for so long, and then gets one request to show whether it is well.
_SHY = 30_000
# An account that served this lately is the surest to serve again.
_LATELY = 10 * 60_000
_SHORT_MINUTES = 1440


# Why nobody serves. The most hopeful obstacle speaks: it is the one that ends without anybody's
# doing.
_NOBODY = {
    "busy": "nobody.busy",
    "tried": "nobody.tried",
    "blocked": "nobody.blocked",
    "unable": "nobody.unable",
    "sign_in_needed": "nobody.signIn",
    "paused": "nobody.paused",
}


@dataclass(frozen=True)
class Ask:
    """What about one request bears on the choice."""

    pinned: str | None = None  # the account its thread is on
    owner: str | None = None  # the only account that can continue it
    tried: frozenset[str] = frozenset()
    unable: frozenset[str] = frozenset()  # do not offer this model, as far as we know
    limit: str | None = None  # the named limit that this model counts for
    spent: Mapping[str, int] = field(default_factory=dict)  # account → until, of that limit


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
    busy, unable, tried, chosen_gone (the strategy's one account). `keeps_pin` is False when the
    thread should stay on the new account.
    """

    account: str | None
    reason: str
    state: str = "chosen"
    retry_at: int | None = None
    keeps_pin: bool = False
    limit: str | None = None  # the named limit that the request counts for


@dataclass(frozen=True)
class Row:
    """One account in an explained choice.

    `state`: chosen, waiting (it could, another goes first), left_out, or what keeps it from
    serving. `share` is its chance in percent, `headroom` the percent left that counts.
    """

    account: str
    state: str
    reason: str
    share: float
    headroom: float
    retry_at: int | None = None


@dataclass
class _Field:
    """Who is asked, who can, and among whom the strategy decides."""

    seen: list[Candidate]  # everybody, as this request sees them
    offered: list[Candidate]
    able: list[Candidate] = field(default_factory=list)
    group: list[Candidate] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)  # what keeps an account from serving
    passed: dict[str, str] = field(default_factory=dict)  # why another goes first
    ahead: str = ""  # why the group goes before those that it was narrowed from last


def choose(
    candidates: Sequence[Candidate], ask: Ask, rules: Rules, now: int, rand: float
) -> Choice:
    """Pick the account for one request, and say why.

    A thread stays on its account while that can serve it; a short block moves the request but
    not the thread. Otherwise priority, then policy, then the strategy decides among those that
    can serve. `rand` is in [0, 1): give the same for a thread to get the same answer.
    """
    choice = _choose(_narrow(candidates, ask, rules, now), ask, rules, (now, rand))
    return replace(choice, limit=ask.limit) if ask.limit else choice


def explain(
    candidates: Sequence[Candidate], ask: Ask, rules: Rules, now: int, rand: float | None
) -> tuple[Choice, list[Row]]:
    """The choice that `choose` makes, and what it made of every account.

    Without `rand` it is the likeliest choice.
    """
    found = _narrow(candidates, ask, rules, now)
    choice = _choose(found, ask, rules, (now, rand or 0.0))
    shares = _shares(found, choice, ask, rules, now)
    if rand is None and len(shares) > 1:
        choice = _choose(found, ask, rules, (now, _middle_of_the_largest(shares)))
    return choice, [_row(candidate, found, choice, shares, now) for candidate in found.seen]


def _choose(found: _Field, ask: Ask, rules: Rules, draw: tuple[int, float]) -> Choice:
    now, rand = draw
    if not found.able:
        return _none(found, now)
    keeps_pin = _keeps_pin(found.seen, ask, now)
    for candidate in found.able:
        if candidate.id == ask.owner:
            return Choice(candidate.id, say("choice.owner"))
    for candidate in found.able:
        if candidate.id == ask.pinned:
            return Choice(candidate.id, say("choice.thread"))
    if len(found.able) == 1:
        several = len(found.offered) > 1
        key = "choice.onlyNow" if several else "choice.only"
        # Where the settings leave the others out, it is not the only one there is.
        reason = say(key if len(found.offered) == len(found.seen) else "other.alone")
        return Choice(found.able[0].id, reason, keeps_pin=keeps_pin)
    chosen, reason = _strategy(rules)(found.group, now, rand)
    if len(found.group) == 1:
        reason = found.ahead  # the strategy had nothing to choose from
    return Choice(chosen.id, reason, keeps_pin=keeps_pin)


def free_at(candidate: Candidate, now: int) -> int | None:
    """When a blocked account may serve again; None when it is not blocked or nobody knows."""
    if candidate.status not in _BLOCKED:
        return None
    until = candidate.blocked_until
    return until if until is not None and until > now else None


def rests_until(candidate: Candidate) -> int:
    """When an account that failed may serve again; 0 when it did not fail enough.

    After three errors in a row it rests 30 s, then twice as long, at most 5 min. One that
    fails every other request gets one request a minute, until the failures are ten minutes old.
    """
    rest = 0
    if candidate.errors >= 3:
        rest = candidate.error_at + min(300_000, 30_000 * 2 ** min(candidate.errors - 3, 10))
    if candidate.recent >= _ENOUGH and 2 * candidate.recent_failed >= candidate.recent:
        rest = max(rest, candidate.last_used + _PROBE_EVERY)
    return rest


def failing(candidate: Candidate, now: int) -> bool:
    """Whether its last request failed a moment ago, or one is out to see if it is well again."""
    met = max(candidate.error_at, candidate.last_used)
    return candidate.errors > 0 and now < met + _SHY


def unproved(candidate: Candidate, now: int) -> bool:
    """Whether nothing lately says that it would serve."""
    return candidate.errors > 0 or candidate.good_at <= now - _LATELY


def _short_window(candidate: Candidate, now: int) -> Window | None:
    return _tightest([w for w in candidate.windows if _minutes(w) <= _SHORT_MINUTES], now)


def _long_window(candidate: Candidate, now: int) -> Window | None:
    return _tightest([w for w in candidate.windows if _minutes(w) > _SHORT_MINUTES], now)


def _tightest(windows: Sequence[Window], now: int) -> Window | None:
    """Of several windows of an account, the one that will stop it first."""
    own = [window for window in windows if standard(window)]
    return min(own, key=lambda w: remaining(w, now), default=None)


def _minutes(window: Window) -> int:
    return window.minutes or MINUTES.get(window.key, _SHORT_MINUTES)


def _has(candidate: Candidate, limit: str | None) -> bool:
    return any(w.key.startswith(f"{limit}:") for w in candidate.windows)


def _seen(candidate: Candidate, ask: Ask, now: int) -> Candidate:
    """The account as a request under a named limit sees it: by that limit's windows alone.

    Spark has an allowance of its own: it can be used up while the account's week is not, and
    the other way round.
    """
    if ask.limit is None:
        return candidate
    own = [w for w in candidate.windows if w.key.startswith(f"{ask.limit}:")]
    ends = [w.resets_at for w in own if w.resets_at and remaining(w, now) <= 0]
    ends += [until for account, until in ask.spent.items() if account == candidate.id]
    if not own and not ends:
        return candidate
    shown = tuple(replace(w, key=w.key.partition(":")[2]) for w in own)
    status, until = candidate.status, candidate.blocked_until
    if status in ("active", *_BLOCKED):
        until = max((end for end in ends if end > now), default=None)
        status = "quota_exceeded" if until else "active"
    return replace(candidate, windows=shown, status=status, blocked_until=until)


def _offered(candidates: Sequence[Candidate], ask: Ask, rules: Rules) -> list[Candidate]:
    if ask.owner is not None and any(c.id == ask.owner for c in candidates):
        return [c for c in candidates if c.id == ask.owner]
    if rules.strategy == "single_account" and rules.single_account:
        return [c for c in candidates if c.id == rules.single_account]
    return list(candidates)


def _narrow(candidates: Sequence[Candidate], ask: Ask, rules: Rules, now: int) -> _Field:
    seen = [_seen(candidate, ask, now) for candidate in candidates]
    found = _Field(seen, _offered(seen, ask, rules))
    holders = {c.id for c in candidates if _has(c, ask.limit)}
    for candidate in found.offered:
        obstacle = _obstacle(candidate, ask, rules, now)
        if obstacle is not None:
            found.why[candidate.id] = obstacle
    found.able = [c for c in found.offered if c.id not in found.why]
    if not found.able:
        resting = [c for c in found.offered if found.why[c.id] == "resting"]
        found.able = _recovering_first(resting)
    found.group = found.able
    for (ahead, reason), rank in _sieves(holders, rules, now):
        best = min(map(rank, found.group), default=0)
        behind = {c.id: reason for c in found.group if rank(c) != best}
        found.passed |= behind
        found.ahead = ahead if behind else found.ahead
        found.group = [c for c in found.group if rank(c) == best]
    return found


_Rank = Callable[["Candidate"], int]


def _sieves(holders: set[str], rules: Rules, now: int) -> list[tuple[tuple[str, str], _Rank]]:
    """Who goes first whatever the strategy says; the sentences for those and for the others."""
    found: list[tuple[tuple[str, str], _Rank]] = [
        ((say("choice.model"), say("other.model")), lambda c: c.id not in holders),
        ((say("choice.well"), say("other.failed")), lambda c: failing(c, now)),
        ((say("choice.priority"), say("other.priority")), lambda c: -c.priority),
        ((say("choice.policy"), say("other.policy")), lambda c: _POLICIES.get(c.policy, 1)),
    ]
    if rules.prefer_earlier_reset:
        sentences = say("choice.earlier"), say("other.earlier")
        found.append((sentences, lambda c: _days_to_reset(c, now)))
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


def _none(found: _Field, now: int) -> Choice:
    if found.seen and not found.offered:
        # Only the single-account strategy leaves everybody out.
        return Choice(None, say("nobody.gone"), "chosen_gone")
    states = set(found.why.values())
    for state, key in _NOBODY.items():
        if state in states:
            times = [at for at in (free_at(c, now) for c in found.offered) if at is not None]
            return Choice(None, say(key), state, min(times, default=None))
    return Choice(None, say("nobody.empty"), "empty")


def _keeps_pin(candidates: Sequence[Candidate], ask: Ask, now: int) -> bool:
    for candidate in candidates:
        if candidate.id == ask.pinned:
            until = free_at(candidate, now)
            if candidate.status in _BLOCKED:
                return until is not None and until - now <= SHORT_BLOCK
            return candidate.status == "active"
    return False


def _days_to_reset(candidate: Candidate, now: int) -> int:
    window = _long_window(candidate, now)
    if window is None or window.resets_at is None:
        return 10_000
    return max(0, window.resets_at - now) // DAY


def _headroom(candidate: Candidate, now: int) -> float:
    """Percent left that counts: of the long window, nothing while the short one is spent."""
    short, long = _short_window(candidate, now), _long_window(candidate, now)
    if short is not None and remaining(short, now) <= 0:
        return 0.0
    window = long or short
    known = _UNKNOWN_LEFT if window is None else remaining(window, now)
    return max(0.0, known - _STREAM_WEIGHT * candidate.streams)


def _short_left(candidate: Candidate, now: int) -> float | None:
    window = _short_window(candidate, now)
    return None if window is None else remaining(window, now)


def _said(candidate: Candidate, now: int) -> str:
    window = _long_window(candidate, now) or _short_window(candidate, now)
    if window is None:
        return say("room.unknown")
    called = window_name(window.key, window.minutes, long=True)
    return say("room.of", left=f"{remaining(window, now):.0f}", window=called)


_Picked = tuple["Candidate", str]


def _weights(group: Sequence[Candidate], now: int) -> list[float]:
    known = [c.capacity for c in group if c.capacity]
    usual = statistics.fmean(known) if known else 1.0
    return [(c.capacity or usual) * _headroom(c, now) for c in group]


def _capacity_weighted(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    weights = _weights(group, now)
    total = sum(weights)
    if total <= 0:
        return _usage_weighted(group, now, rand)
    point = rand * total
    for candidate, weight in zip(group, weights, strict=True):
        point -= weight
        if point < 0:
            key = "choice.most" if weight == max(weights) else "choice.share"
            return candidate, say(key + _sized(group), room=_said(candidate, now))
    return group[-1], say("choice.share" + _sized(group), room=_said(group[-1], now))


def _sized(group: Sequence[Candidate]) -> str:
    """What the reason's name ends with when plans of different sizes were weighed.

    Half of a large plan is more than nine tenths of a small one: the sentence must say so.
    """
    return "Sized" if len({c.capacity for c in group if c.capacity}) > 1 else ""


def _usage_weighted(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    def order(candidate: Candidate) -> tuple[float, float, int, str]:
        short = _short_left(candidate, now)
        short = _UNKNOWN_LEFT if short is None else short
        return -_headroom(candidate, now), -short, candidate.last_used, candidate.id

    chosen = min(group, key=order)
    return chosen, say("choice.least", room=_said(chosen, now))


def _round_robin(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    return min(group, key=lambda c: (c.last_used, c.id)), say("choice.turn")


def _fill_first(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    def order(candidate: Candidate) -> tuple[bool, float, float, str]:
        short = _short_left(candidate, now)
        long = _headroom(candidate, now)
        return long <= 0, 100.0 if short is None else short, long, candidate.id

    chosen = min(group, key=order)
    return chosen, say("choice.fullest", room=_said(chosen, now))


def _reset_drain(group: Sequence[Candidate], now: int, rand: float) -> _Picked:
    def order(candidate: Candidate) -> tuple[bool, int, float, float, str]:
        short = _short_left(candidate, now)
        room = _headroom(candidate, now)
        days = _days_to_reset(candidate, now)
        return room <= 0, days, -(_UNKNOWN_LEFT if short is None else short), -room, candidate.id

    chosen = min(group, key=order)
    return chosen, say("choice.resets", room=_said(chosen, now))


_STRATEGIES: dict[str, Callable[[Sequence[Candidate], int, float], _Picked]] = {
    "capacity_weighted": _capacity_weighted,
    "usage_weighted": _usage_weighted,
    "round_robin": _round_robin,
    "fill_first": _fill_first,
    "reset_drain": _reset_drain,
    "single_account": _usage_weighted,
}


def _strategy(rules: Rules) -> Callable[[Sequence[Candidate], int, float], _Picked]:
    return _STRATEGIES.get(rules.strategy, _capacity_weighted)


# ── the explained choice ──────────────────────────────────────────────────────────────────

_SENTENCES = {
    "tried": say("other.tried"),
    "paused": say("other.paused"),
    "sign_in_needed": say("other.signIn"),
    "blocked": say("other.blocked"),
    "unable": say("other.unable"),
    "busy": say("other.busy"),
    "resting": say("other.resting"),
}


def _shares(found: _Field, choice: Choice, ask: Ask, rules: Rules, now: int) -> dict[str, float]:
    """How likely each account is to get such a request, in percent."""
    if choice.account is None:
        return {}
    decided = choice.account in (ask.owner, ask.pinned) or len(found.able) == 1
    weights = _weights(found.group, now)
    if decided or _strategy(rules) is not _capacity_weighted or sum(weights) <= 0:
        return {choice.account: 100.0}
    parts = zip(found.group, weights, strict=True)
    return {c.id: round(100 * weight / sum(weights), 1) for c, weight in parts}


def _middle_of_the_largest(shares: Mapping[str, float]) -> float:
    """The draw in [0, 1) that falls on the account with the largest share."""
    likeliest = max(shares, key=lambda account: shares[account])
    below = list(shares.values())[: list(shares).index(likeliest)]
    return (sum(below) + shares[likeliest] / 2) / sum(shares.values())


def _row(
    candidate: Candidate, found: _Field, choice: Choice, shares: Mapping[str, float], now: int
) -> Row:
    name, retry_at = candidate.id, None
    if name == choice.account:
        state, reason = "chosen", choice.reason
    elif name in found.why:
        state = found.why[name]
        reason = _SENTENCES[state]
        retry_at = rests_until(candidate) if state == "resting" else free_at(candidate, now)
    elif any(c.id == name for c in found.offered):
        state = "waiting"
        reason = found.passed.get(name) or say("other.could", room=_said(candidate, now))
    else:
        state, reason = "left_out", say("other.alone")
    room = round(_headroom(candidate, now), 2)
    return Row(name, state, reason, shares.get(name, 0.0), room, retry_at)
