"""Price and credit tables: tokens → cost, credits and how sure we are.

A model that the table does not name is unpriced. Nothing is guessed from the start of a name:
`gpt-5*` would price every later model like gpt-5.
"""

from __future__ import annotations

from server.lazy import NamedTuple, cache
from server.usage import tables

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from typing import Any

    Five = tuple[int, int, int, int, int]

# Rates are nano-dollars (or nano-credits) a token, so that sums stay integers.
_NANO = 1000
_DAY_MS = 86_400_000

# What a client may ask for, or an answer may say, and the column of the table with its rates.
# A tier that is none of them costs as the standard one, as an estimate.
_STANDARD = ("", "default", "auto", "standard")
_TIERS = {"fast": "priority", "priority": "priority", "flex": "flex", "batch": "batch",
          "ultrafast": "ultrafast"}  # fmt: skip


class Tokens(NamedTuple):
    """The tokens of one call: cached and cache_written lie inside input, reasoning in output."""

    input: int
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    cache_written: int = 0
    cache_written_1h: int = 0  # the part of cache_written that is kept for an hour


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

    normal: Five  # input, cached, cache write, output, cache write for an hour
    long: Five | None  # the whole call, when its input is long
    status: str
    longest: int = 0  # the most input that is not long


def price(model: str | None, tier: str | None, at: int, tokens: Tokens) -> Price:
    """The cost of one call that ended `at` (ms).

    `exact` at standard rates; `estimated` where the rate or the tier is not certain: a tier is
    only what the client asked for, the provider does not confirm it. Claude's fast mode is what
    the answer says, and so exact.
    """
    cost, credits, status = costs(model, tier, at, tokens)
    return Price(cost, status, credits)


def costs(
    model: str | None, tier: str | None, at: int, tokens: tuple[int, ...]
) -> tuple[int | None, int | None, str]:
    """(cost, credits, status) as in `price`, for tokens in the order of `Tokens`."""
    if model is None:
        return None, None, "unpriced"
    periods, credit = _card(model, tier or "")
    rates = _in_force(periods, at)
    credits = None if credit is None else _sum(credit, tokens)
    if rates is None:
        return None, credits, "unpriced"
    return _sum(_used(rates, tokens[0]), tokens), credits, rates.status


class Tariff(NamedTuple):
    """What holds for a model without a tier from `since` until before `until`."""

    since: int
    until: float
    rates: Rates | None
    credit: Five | None
    longest: float  # input above it makes a call a long one


def tariff(model: str | None, at: int) -> Tariff:
    """The rates that `costs` would use for calls about that time, for many calls at once."""
    if model is None:
        return Tariff(0, float("inf"), None, None, 0)
    periods, credit = _card(model, "")
    since, until, rates = 0, float("inf"), None
    for start, listed in periods:
        if at >= start:
            since, rates = start, listed
        else:
            until = min(until, start)
    if rates is None or not rates.long:
        return Tariff(since, until, rates, credit, float("inf"))
    return Tariff(since, until, rates, credit, rates.longest)


def parts(model: str | None, tier: str | None, at: int, tokens: Tokens) -> Parts | None:
    """What the cost in `price` is made of; None where it has none."""
    if model is None:
        return None
    rates = _in_force(_card(model, tier or "")[0], at)
    if rates is None:
        return None
    use = _used(rates, tokens.input)
    cached = min(tokens.cached, tokens.input)
    written = min(tokens.cache_written, tokens.input - cached)
    return Parts(
        uncached=_sum(use, (tokens.input - cached, 0, 0, 0, written, tokens.cache_written_1h)),
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


def price_rate(model: str | None) -> tuple[str | None, str | None]:
    """The model whose price counts for another, and the user's file that has it.

    None for the first where there is no price, for the second where the shipped table has it.
    """
    name = _found(model)[0] if model else ""
    if name not in _table()["models"]:
        return None, None
    return name, "pricing.json" if name in _own.get("prices", _NONE)["models"] else None


def credit_file(name: str | None) -> str | None:
    """The user's file that has the credit rate of a name as `credit_rate` tells it; None where
    it is the shipped card's.
    """
    if name in _own.get("rates", ()):
        return "allowance.json"
    return "rate-card.json" if name in _own.get("card", ()) else None


def table() -> dict[str, Any]:
    """All prices that hold: `models` with their rates by date, and `aliases`."""
    held = _table()
    return {"models": held["models"], "aliases": held["aliases"]}


def names() -> list[str]:
    """The models that have a price, and their aliases."""
    table = _table()
    return sorted([*table["models"], *table["aliases"]])


def edition() -> str:
    """Which shipped prices these are: calls that others priced are to be priced anew."""
    return str(_table()["edition"])


def listed(model: str) -> str:
    """The name in the table whose price holds for a model; its own where there is none."""
    return _found(model)[0]


def _in_force(periods: tuple[tuple[int, Rates], ...], at: int) -> Rates | None:
    found = None
    for start, rates in periods:
        if at >= start:
            found = rates
    return found


def _used(rates: Rates, first: int) -> Five:
    return rates.long if rates.long and first > rates.longest else rates.normal


def _sum(rates: Five, tokens: tuple[int, ...]) -> int:
    total, cached, output, _, written, *more = tokens
    if cached + written > total:
        cached = min(cached, total)
        written = min(written, total - cached)
    hour = min(more[0], written) if more else 0
    nano = (
        (total - cached - written) * rates[0]
        + cached * rates[1]
        + (written - hour) * rates[2]
        + output * rates[3]
        + hour * rates[4]
    )
    return (nano + _NANO // 2) // _NANO


@cache
def _card(model: str, tier: str) -> tuple[tuple[tuple[int, Rates], ...], Five | None]:
    return _periods(model, tier), _credit_rates(model)


_own: dict[str, dict[str, Any]] = {}
_NONE: dict[str, Any] = {"models": {}, "aliases": {}}


def use(
    prices: dict[str, Any], credits: dict[str, Any], rates: dict[str, Any] | None = None
) -> None:
    """Let the user's own tables (`models`, `aliases`) go before the shipped ones from now on.

    `credits` is a rate card, and `rates` what the user set for single models: it goes first.
    """
    card, own = {**_NONE, **credits}, {**_NONE, **(rates or {})}
    _own.update(
        prices={**_NONE, **prices},
        credits=_merged(card, own),
        rates=own["models"],
        card=card["models"],
    )
    for cached in (_card, _table, _credit_table, _periods, _credit_rates, _found):
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
    name, sure = _found(model)
    entries = _table()["models"].get(name, [])
    longest = int(_table()["longContextAbove"])
    found = [(_start(entry), _rates(entry, tier.lower(), longest)) for entry in entries]
    if not sure:
        found = [(start, rates._replace(status="estimated")) for start, rates in found]
    return tuple(found)


@cache
def _found(model: str) -> tuple[str, bool]:
    """The entry of a model, and whether its price is that of the maker's own service."""
    table, name = _table(), model.lower()
    plain = name.removesuffix("[1m]")  # how Claude Code calls a model with its longest context
    bare, sure = _bare(plain)
    for known, certain in ((name, True), (plain, True), (bare, sure)):
        to = table["aliases"].get(known, known)
        if to in table["models"]:
            return to, certain
    return name, True


# Where the clouds sell Claude at its own price; elsewhere they may ask for a tenth more.
_EVERYWHERE = "global"


def _bare(name: str) -> tuple[str, bool]:
    """The maker's name of a model that others call by a longer one, and whether it costs the same.

    Bedrock: region.anthropic.NAME-v1:0; Vertex: NAME@date; gateways: anthropic/NAME.
    """
    maker, slash, rest = name.rpartition("/")
    if slash:
        name = rest.replace(".", "-") if maker == "anthropic" else rest
    region, dot, rest = name.rpartition("anthropic.")
    if dot:
        name = rest.partition(":")[0]
        head, mark, number = name.rpartition("-v")
        name = head if mark and number.isdigit() else name
    name, at, date = name.partition("@")
    if at and date != "default":
        name = f"{name}-{date}"
    return name, not (slash or dot or at) or region == f"{_EVERYWHERE}."


def _start(entry: dict[str, Any]) -> int:
    """When an entry begins to hold: midnight UTC of its day."""
    if "from" not in entry:
        return 0
    year, month, day = map(int, str(entry["from"]).split("-"))
    # Days since 1970, as years begin in March; a scan does not load `datetime` for it.
    year -= month < 3
    days = year * 365 + year // 4 - year // 100 + year // 400
    return (days + (153 * ((month + 9) % 12) + 2) // 5 + day - 719_469) * _DAY_MS


def _rates(entry: dict[str, Any], tier: str, longest: int) -> Rates:
    answered = tier == "fast" and "fast" in entry  # Claude's, which the answer names
    kind = "fast" if answered else _TIERS.get(tier, "")
    special = tier not in _STANDARD
    own = entry.get(kind) if kind else None
    write, hour = entry.get("cacheWrite", 1), entry.get("cacheWriteHour")
    long = entry.get("long")
    if own and kind == "flex" and long:
        long = [own[0] * 2, own[1] and own[1] * 2, own[2] * 1.5]
    elif own:
        long = entry.get(f"{kind}Long")  # where there is none, the tier's rate stands for it too
    sure = (answered or not special) and "estimated" not in entry
    return Rates(
        _nano(own or entry["standard"], write, hour),
        _nano(long, write, hour) if long else None,
        "exact" if sure else "estimated",
        entry.get("longAbove", longest),
    )


def _nano(rates: list[float | None], write: float, hour: float | None = None) -> Five:
    first, cached, output = rates
    if first is None or output is None:
        raise ValueError("a price needs an input and an output rate")
    # No cached rate listed: the provider gives no discount.
    cached = first if cached is None else cached
    return (
        round(first * _NANO),
        round(cached * _NANO),
        round(first * write * _NANO),
        round(output * _NANO),
        round(first * (write if hour is None else hour) * _NANO),
    )


@cache
def _credit_rates(model: str) -> Five | None:
    table = _credit_table()
    name = model.lower().replace("_", "-")
    rates = table["models"].get(table["aliases"].get(name, name))
    return _nano(rates, 1) if rates else None
