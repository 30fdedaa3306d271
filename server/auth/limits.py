"""The ceilings of a key: which apply, when they start afresh, what a call costs them.

Windows are fixed and roll from the moment the limit was made. A call counts in the window in
which it ends, with what the provider said it used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from server.errors import TooMany

_HOUR = 3600 * 1000
_DAY = 24 * _HOUR
# A month is 30 days, so that every window of a limit is equally long.
WINDOWS = {"5h": 5 * _HOUR, "daily": _DAY, "weekly": 7 * _DAY, "7d": 7 * _DAY, "monthly": 30 * _DAY}
# cost_usd counts micro-dollars, credits micro-credits.
MEASURES = ("total_tokens", "input_tokens", "output_tokens", "cost_usd", "requests", "credits")

OUTPUT_BUDGET = 8192
# The longest answer that a model gives. The provider takes no smaller bound from us.
LONGEST_OUTPUT = 128_000
# What may come to the input that the body does not show: files, pictures, what an earlier response
# says, what hosted tools find.
_UNSEEN_INPUT = 64_000
# What is held of a limit while little is known of its key's calls: a share of what is left, at
# least the most that this call can use, at most what any can use (a context window of input, the
# longest output).
_SHARES = 4
_LARGE = {
    "input_tokens": _UNSEEN_INPUT,
    "output_tokens": LONGEST_OUTPUT,
    "total_tokens": LONGEST_OUTPUT,
    "cost_usd": 2_000_000,
    "credits": 50_000_000,
}
CEILINGS = {
    "input_tokens": 400_000,
    "output_tokens": LONGEST_OUTPUT,
    "total_tokens": 400_000 + LONGEST_OUTPUT,
    "cost_usd": 20_000_000,
    "credits": 500_000_000,
}
HELD_RETRY = 5  # seconds after which to ask again when calls under way hold what is left
_UNKNOWN_BUDGETS = {"cost_usd": 2_000_000, "credits": 50_000_000, "requests": 1}


@dataclass(frozen=True)
class Rule:
    """What a user asked for: at most `maximum` of `measure` in each `window`."""

    measure: str
    window: str
    maximum: int
    model: str | None = None  # None: every model

    @property
    def identity(self) -> tuple[str, str, str | None]:
        """What makes two rules the same rule, whatever their maximum."""
        return self.measure, self.window, self.model


@dataclass(frozen=True)
class Limit:
    """A rule and how much of it is used in the window that ends at `resets_at`."""

    rule: Rule
    resets_at: int
    used: int = 0
    id: int | None = None  # its row, once stored


@dataclass(frozen=True)
class Estimate:
    """What a call may use, before it is sent; None where nobody can say."""

    input: int | None = None
    input_cost: int | None = None  # micro-dollars of the input alone
    cost: int | None = None  # of input and expected output
    credits: int | None = None  # micro-credits of input and expected output
    most_cost: int | None = None  # of input and the longest output
    most_credits: int | None = None


@dataclass(frozen=True)
class Spent:
    """What the provider said a call used; `input` contains the cached part."""

    input: int
    output: int
    cost: int | None = None  # None: the model has no known price
    credits: int | None = None


def begun(rule: Rule, now: int) -> Limit:
    """A fresh limit whose first window starts now."""
    return Limit(rule, resets_at=now + WINDOWS[rule.window])


def rolled(limit: Limit, now: int) -> Limit:
    """The limit as it stands at `now`: once its window has ended, an unused later one.

    The window moves by whole lengths until it ends in the future, so that a limit keeps its
    hour of the day however long nobody used the key.
    """
    if now < limit.resets_at:
        return limit
    length = WINDOWS[limit.rule.window]
    return replace(
        limit, used=0, resets_at=limit.resets_at + ((now - limit.resets_at) // length + 1) * length
    )


def applies(rule: Rule, model: str | None) -> bool:
    """Whether a rule counts a call to `model`; no model (a list of models) meets global rules."""
    return rule.model is None or rule.model == model


def room(limit: Limit, reserved: int) -> int:
    """What is neither used nor held by calls that are under way; at least 0."""
    return max(0, limit.rule.maximum - limit.used - reserved)


def budget(measure: str, estimate: Estimate) -> int:
    """How much to hold for one call until it is known what it used."""
    if measure == "input_tokens":
        return OUTPUT_BUDGET if estimate.input is None else max(1, estimate.input)
    if measure == "output_tokens":
        return OUTPUT_BUDGET
    if measure == "total_tokens":
        return OUTPUT_BUDGET + (estimate.input or 0)
    known = {"cost_usd": estimate.cost, "credits": estimate.credits}.get(measure)
    return _UNKNOWN_BUDGETS[measure] if known is None else max(1, known)


def needed(limit: Limit, estimate: Estimate, recent: Collection[int] = ()) -> int:
    """How much of a limit must be free for one more call.

    `recent` is what the key's last calls used. While there are none, the most that this call can
    use; the more there are, the more what they used counts: one short call (a thread's title) says
    little about the next.
    """
    measure = limit.rule.measure
    if measure not in CEILINGS or estimate.input == 0:  # one of a count, or a call without a model
        return budget(measure, estimate)
    most = _most(limit, estimate)
    if not recent:
        return max(budget(measure, estimate), most)
    seen = (estimate.input or 0) if measure in ("input_tokens", "total_tokens") else 0
    return max(max(recent), seen, most // (1 + len(recent)))


def _most(limit: Limit, estimate: Estimate) -> int:
    """The most that a call may use of a limit, as far as that can be told before it is sent."""
    measure = limit.rule.measure
    known = {"cost_usd": estimate.most_cost, "credits": estimate.most_credits}.get(measure)
    if known is not None:
        return known
    seen = (estimate.input or 0) if measure in ("input_tokens", "total_tokens") else 0
    return max(seen + _LARGE[measure], min(CEILINGS[measure], room(limit, 0) // _SHARES))


def enough(limit: Limit, largest: int | None) -> bool:
    """Whether a call may begin while no other is under way.

    Not when less is left than the key's calls use; but half of a window's limit is always enough,
    or one very large call would close the key for good.
    """
    left = room(limit, 0)
    return left > 0 and left >= min(largest or 1, limit.rule.maximum // 2)


def charge(measure: str, spent: Spent) -> int:
    """What a finished call adds to a limit. A cost nobody knows adds nothing."""
    amounts = {
        "total_tokens": spent.input + spent.output,
        "input_tokens": spent.input,
        "output_tokens": spent.output,
        "cost_usd": spent.cost or 0,
        "requests": 1,
        "credits": spent.credits or 0,
    }
    return max(0, amounts[measure])


def charge_unfinished(measure: str, estimate: Estimate, held: int) -> int:
    """What a call adds that the provider took but never summed up: its input, as estimated.

    Otherwise a client that hangs up just before the end would read for nothing.
    """
    if measure == "requests":
        return 1
    by_measure = {
        "total_tokens": estimate.input,
        "input_tokens": estimate.input,
        "cost_usd": estimate.input_cost,
    }
    return min(held, by_measure.get(measure) or 0)


def merged(have: Iterable[Limit], wanted: Sequence[Rule], now: int, *, reset: bool) -> list[Limit]:
    """The limits after an edit: a rule that stays keeps its use and its window, unless reset."""
    old = {} if reset else {limit.rule.identity: limit for limit in have}
    ids = {limit.rule.identity: limit.id for limit in have}
    return [
        replace(old.get(rule.identity) or begun(rule, now), rule=rule, id=ids.get(rule.identity))
        for rule in wanted
    ]


def refusal(limit: Limit, now: int, *, held: bool = True) -> TooMany:
    """The error for a call that a limit does not let through; `held`: others are under way."""
    rule = limit.rule
    what = f"{rule.measure} limit ({rule.window}"
    what += f", model {rule.model})" if rule.model else ")"
    at = datetime.fromtimestamp(limit.resets_at / 1000, UTC).isoformat(timespec="seconds")
    resets = f"Usage resets at {at.removesuffix('+00:00')}Z."
    if held and limit.used < rule.maximum:
        message = (
            f"What is left of this API key's {what} is held by its requests that are still "
            "running. Try again when they have ended."
        )
        # They end long before the window does, so a client should ask again soon.
        soon = {"resets_at": now // 1000 + HELD_RETRY}
        return TooMany(message, retry_after=HELD_RETRY, extra=soon)
    extra = {"resets_at": limit.resets_at // 1000}
    if limit.used < rule.maximum:
        return TooMany(
            f"What is left of this API key's {what} is less than its calls use. {resets}",
            retry_after=max(1, -(-(limit.resets_at - now) // 1000)),
            extra=extra,
        )
    return TooMany(
        # No counts: opencode takes three digits of them for a status that it retries for ever.
        f"This API key's {what} is used up. {resets}",
        retry_after=max(1, -(-(limit.resets_at - now) // 1000)),
        extra=extra,
    )
