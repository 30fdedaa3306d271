"""Price and credit tables: tokens → cost, credits and how sure we are.

A model that the table does not name is unpriced. Nothing is guessed from the start of a name:
`gpt-5*` would price every later model like gpt-5.
"""

from __future__ import annotations

from server.lazy import UTC, NamedTuple, cache, datetime
from server.usage import tables

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from typing import Any

# Rates are nano-dollars (or nano-credits) a token, so that sums stay integers.
_NANO = 1000


class Tokens(NamedTuple):
    """The tokens of one call: cached and cache_written lie inside input, reasoning in output."""

    input: int
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    cache_written: int = 0


class Price(NamedTuple):
    """What a call cost: micro-dollars and micro-credits, None where no rate is known."""

    cost: int | None
    status: str  # exact estimated unpriced
    credits: int | None = None


class Parts(NamedTuple):
    """What each kind of token of one call cost, in micro-dollars; rounded one by one."""

    uncached: int
    cached: int
    output: int


class Rates(NamedTuple):
    """The rates that hold for one model and tier from one moment on (nano-dollars a token)."""

    normal: tuple[int, int, int, int]  # input, cached, cache write, output
    long: tuple[int, int, int, int] | None  # the whole call, when its input is long
    status: str


def price(model: str | None, tier: str | None, at: int, tokens: Tokens) -> Price:
    """The cost of one call that ended `at` (ms).

    `exact` at standard rates; `estimated` where the rate or the tier is not certain: a tier is
    only what the client asked for, the provider does not confirm it.
    """
    cost, credits, status = costs(model, tier, at, tokens)
    return Price(cost, status, credits)


def costs(
    model: str | None, tier: str | None, at: int, tokens: tuple[int, int, int, int, int]
) -> tuple[int | None, int | None, str]:
    """(cost, credits, status) as in `price`, for tokens in the order of `Tokens`."""
    if model is None:
        return None, None, "unpriced"
    periods, credit, longest = _card(model, tier or "")
    rates = _in_force(periods, at)
    credits = None if credit is None else _sum(credit, tokens)
    if rates is None:
        return None, credits, "unpriced"
    use = rates.long if rates.long and tokens[0] > longest else rates.normal
    return _sum(use, tokens), credits, rates.status


class Tariff(NamedTuple):
    """What holds for a model without a tier from `since` until before `until`."""

    since: int
    until: float
    rates: Rates | None
    credit: tuple[int, int, int, int] | None
    longest: float  # input above it makes a call a long one


def tariff(model: str | None, at: int) -> Tariff:
    """The rates that `costs` would use for calls about that time, for many calls at once."""
    if model is None:
        return Tariff(0, float("inf"), None, None, 0)
    periods, credit, longest = _card(model, "")
    since, until, rates = 0, float("inf"), None
    for start, listed in periods:
        if at >= start:
            since, rates = start, listed
        else:
            until = min(until, start)
    if rates is None or not rates.long:
        return Tariff(since, until, rates, credit, float("inf"))
    return Tariff(since, until, rates, credit, longest)


def parts(model: str | None, tier: str | None, at: int, tokens: Tokens) -> Parts | None:
    """What the cost in `price` is made of; None where it has none."""
    if model is None:
        return None
    periods, _, longest = _card(model, tier or "")
    rates = _in_force(periods, at)
    if rates is None:
        return None
    use = rates.long if rates.long and tokens.input > longest else rates.normal
    cached = min(tokens.cached, tokens.input)
    written = min(tokens.cache_written, tokens.input - cached)
    return Parts(
        uncached=_sum(use, (tokens.input - cached, 0, 0, 0, written)),
        cached=_sum(use, (cached, cached, 0, 0, 0)),
        output=_sum(use, (0, 0, tokens.output, 0, 0)),
    )


def credit_rate(model: str | None) -> tuple[str | None, str]:
    """The model whose credit rate counts for another, and how sure that is.

    `exact`: the rate card names it; `estimated`: by an alias; `user_override`: the user's own
    rate; `unpriced`: there is none, and the name is None.
    """
    table = _credit_table()
    name = (model or "").lower().replace("_", "-")
    by = table["aliases"].get(name)
    listed = table["models"].get(by or name) if name else None
    if not listed:
        return None, "unpriced"
    if (by or name) in _own.get("rates", ()):
        return by or name, "user_override"
    return (by, "estimated") if by else (name, "exact")


def table() -> dict[str, Any]:
    """All prices that hold: `models` with their rates by date, and `aliases`."""
    held = _table()
    return {"models": held["models"], "aliases": held["aliases"]}


def names() -> list[str]:
    """The models that have a price, and their aliases."""
    table = _table()
    return sorted([*table["models"], *table["aliases"]])


def _in_force(periods: tuple[tuple[int, Rates], ...], at: int) -> Rates | None:
    found = None
    for start, listed in periods:
        if at >= start:
            found = listed
    return found


def _sum(rates: tuple[int, int, int, int], tokens: tuple[int, int, int, int, int]) -> int:
    total, cached, output, _, written = tokens
    if cached + written > total:
        cached = min(cached, total)
        written = min(written, total - cached)
    nano = (
        (total - cached - written) * rates[0]
        + cached * rates[1]
        + written * rates[2]
        + output * rates[3]
    )
    return (nano + _NANO // 2) // _NANO


@cache
def _card(
    model: str, tier: str
) -> tuple[tuple[tuple[int, Rates], ...], tuple[int, int, int, int] | None, int]:
    return _periods(model, tier), _credit_rates(model), int(_table()["longContextAbove"])


_own: dict[str, dict[str, Any]] = {}
_NONE: dict[str, Any] = {"models": {}, "aliases": {}}


def use(
    prices: dict[str, Any], credits: dict[str, Any], rates: dict[str, Any] | None = None
) -> None:
    """Let the user's own tables (`models`, `aliases`) go before the shipped ones from now on.

    `credits` is a rate card, and `rates` what the user set for single models: it goes first.
    """
    card, own = {**_NONE, **credits}, {**_NONE, **(rates or {})}
    _own.update(prices=prices, credits=_merged(card, own), rates=own["models"])
    for cached in (_card, _table, _credit_table, _periods, _credit_rates):
        cached.cache_clear()


def _merged(shipped: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = {name: {**shipped[name], **own.get(name, {})} for name in ("models", "aliases")}
    # A model with a price of its own is no longer another's alias.
    for name in own.get("models", {}):
        if name not in own.get("aliases", {}):
            both["aliases"].pop(name, None)
    return {**shipped, **both}


@cache
def _table() -> dict[str, Any]:
    return _merged(tables.read("prices.json"), _own.get("prices", {}))


@cache
def _credit_table() -> dict[str, Any]:
    return _merged(tables.read("credit_rates.json"), _own.get("credits", {}))


@cache
def _periods(model: str, tier: str) -> tuple[tuple[int, Rates], ...]:
    table = _table()
    name = model.lower()
    entries = table["models"].get(table["aliases"].get(name, name), [])
    return tuple((_start(entry), _rates(entry, tier.lower())) for entry in entries)


def _start(entry: dict[str, Any]) -> int:
    if "from" not in entry:
        return 0
    return int(datetime.fromisoformat(entry["from"]).replace(tzinfo=UTC).timestamp()) * 1000


def _rates(entry: dict[str, Any], tier: str) -> Rates:
    tier = {"fast": "priority"}.get(tier, tier)
    special = tier in ("priority", "flex", "batch")
    listed = entry.get(tier) if special else entry["standard"]
    write = entry.get("cacheWrite", 1)
    long = entry.get("long")
    if tier == "priority" and listed:
        long = None  # the priority rate stands for long context too
    elif tier == "flex" and listed and long:
        long = [listed[0] * 2, listed[1] and listed[1] * 2, listed[2] * 1.5]
    sure = not special and "estimated" not in entry
    return Rates(
        _nano(listed or entry["standard"], write),
        _nano(long, write) if long else None,
        "exact" if sure else "estimated",
    )


def _nano(listed: list[float | None], write: float) -> tuple[int, int, int, int]:
    first, cached, output = listed
    if first is None or output is None:
        raise ValueError("a price needs an input and an output rate")
    # No cached rate listed: the provider gives no discount.
    cached = first if cached is None else cached
    return (
        round(first * _NANO),
        round(cached * _NANO),
        round(first * write * _NANO),
        round(output * _NANO),
    )


@cache
def _credit_rates(model: str) -> tuple[int, int, int, int] | None:
    table = _credit_table()
    name = model.lower().replace("_", "-")
    listed = table["models"].get(table["aliases"].get(name, name))
    return _nano(listed, 1) if listed else None
