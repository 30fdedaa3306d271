"""The user's own prices and credit rates: from a file or a price page to tables. Pure."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

from server.errors import Unprocessable
from server.sentences import say, why

_ROWS = r"[^>]*?rows=\{(\[.*?\])\s*\}"
_CONTEXT = re.compile(r"\s*\(<\s*272K context length\)", re.IGNORECASE)
# As the trackers' files spell a rate: dollars or credits a million tokens.
_UNITS = ("_per_million", "_credits_per_million", "")
_MOST = 1e6
TIERS = ("standard", "batch", "flex", "priority")
# What an entry may say of a model: its rates by tier, those of long calls, and numbers.
_BESIDE = ("aliases", "schema", "unit")  # what is no model in a file without that heading
_KINDS = (*TIERS, "long", "priorityLong", "fast", "fastLong", "ultrafast", "ultrafastLong")
_NUMBERS = {
    "cacheWrite": 100,
    "cacheWriteHour": 100,
    "longAbove": 1_000_000_000,
}  # and their highest
SCHEMA = "codex-usage-tracker-pricing-v1"
UNIT = "credits per million tokens: input, cached input, output"


class _OtherKindError(ValueError):
    """A rate card where prices belong, or prices where a rate card does."""


def read(text: str, tier: str = "standard", *, card: bool = False) -> dict[str, Any]:
    """A pricing.json from the text of one, or of OpenAI's price page; with `card` a rate card.

    Raises `Unprocessable` (code `pricing_not_understood`) when it is neither, or the other one.
    """
    try:
        given = json.loads(text) if text.lstrip().startswith("{") else {"models": _page(text, tier)}
        if not (credits if card else tables)(given)["models"]:
            raise ValueError(say("why.noModel"))
    except _OtherKindError as error:
        raise Unprocessable(
            say("prices.other", why=str(error)), code="pricing_not_understood"
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unprocessable(
            say("prices.unknown", why=why(error)[:120]),
            code="pricing_not_understood",
        ) from error
    return given


def sure(given: dict[str, Any]) -> dict[str, Any]:
    """A pricing.json that was read, without the models whose price is marked as an estimate."""
    listed = _models(given)
    kept = {name: rates for name, rates in listed.items() if not _guessed(rates)}
    return {**given, "models": kept} if "models" in given else kept


def _guessed(rates: Any) -> bool:
    periods = rates if isinstance(rates, list) else [rates]
    return any(isinstance(one, dict) and one.get("estimated") is True for one in periods)


def _page(text: str, tier: str) -> dict[str, Any]:
    found = re.search(rf'tier="{re.escape(tier)}"{_ROWS}', text, re.DOTALL)
    if not found:
        raise ValueError(say("why.tier", name=tier))
    models: dict[str, Any] = {}
    for name, first, cached, output, *_ in json.loads(re.sub(r",(\s*[\]}])", r"\1", found[1])):
        rates = {"input_per_million": first, "output_per_million": output}
        if isinstance(cached, int | float):
            rates["cached_input_per_million"] = cached
        if isinstance(first, int | float) and isinstance(output, int | float):
            models[_CONTEXT.sub("", str(name)).strip()] = rates
    return models


def tables(given: dict[str, Any]) -> dict[str, Any]:
    """The table that `pricing.use` takes. Raises `ValueError` naming what does not fit."""
    if _kind(given) == "credits":
        raise _OtherKindError(say("why.isCredits"))
    return _tables(given)


def _kind(given: dict[str, Any]) -> str | None:
    """What a file says that its rates are, as their numbers alone do not tell; None: nothing."""
    said = " ".join(str(given.get(name) or "") for name in ("_schema", "schema", "unit")).lower()
    if "rate-card" in said or "credit" in said:
        return "credits"
    if "pricing" in said or "dollar" in said or "usd" in said:
        return "dollars"
    listed = _models(given)
    each = listed.values() if isinstance(listed, dict) else ()
    names = (str(key) for one in each if isinstance(one, dict) for key in one)
    return "credits" if any(name.endswith("_credits_per_million") for name in names) else None


def told(given: dict[str, Any], *, card: bool) -> dict[str, Any]:
    """A file that was read, with its models under their heading and the kind of its rates."""
    kind = {"unit": UNIT} if card else {"_schema": SCHEMA}
    rest = given if "models" in given else {k: v for k, v in given.items() if k.startswith("_")}
    return {**kind, **rest, "models": _models(given)}


def _tables(given: dict[str, Any]) -> dict[str, Any]:
    listed, aliases = _models(given), given.get("aliases") or {}
    if not isinstance(listed, dict) or not isinstance(aliases, dict):
        raise ValueError(say("why.tables"))
    return {
        "models": {str(name).lower(): _periods(name, rates) for name, rates in listed.items()},
        "aliases": {str(name).lower(): str(to).lower() for name, to in aliases.items()},
    }


def _models(given: dict[str, Any]) -> Any:
    """The models of a file, which may stand in it without a heading."""
    alone = {k: v for k, v in given.items() if not k.startswith("_") and k not in _BESIDE}
    return given.get("models", alone)


def credits(given: dict[str, Any]) -> dict[str, Any]:
    """The same for a rate card in credits."""
    if _kind(given) == "dollars":
        raise _OtherKindError(say("why.isDollars"))
    made = _tables(given)
    return {**made, "models": {name: rows[0]["standard"] for name, rows in made["models"].items()}}


def credit_rates(given: dict[str, Any]) -> dict[str, Any]:
    """The same for the `credit_rates` and `aliases` of an allowance.json."""
    rates = given.get("credit_rates") or {}
    if not isinstance(rates, dict):
        raise ValueError(say("why.credits"))
    return credits({"models": rates, "aliases": given.get("aliases")})


def pinned(given: dict[str, Any], source: str, at: str) -> dict[str, Any]:
    """A pricing.json that keeps these prices, whatever a later update brings."""
    before = given.get("_source")
    stamp = before if isinstance(before, dict) else {"name": source}
    note = "`brimline update-pricing --source-file` of this file brings these prices back."
    return {
        "_schema": SCHEMA,
        "_source": {**stamp, "pinned": True, "pinned_at": at, "pin_note": note},
        "models": _models(given),
        "aliases": given.get("aliases") or {},
    }


def _periods(name: Any, rates: Any) -> list[dict[str, Any]]:
    """What holds for a model, one entry from each day on that its rates changed."""
    if isinstance(rates, list) and rates and all(isinstance(one, dict) for one in rates):
        return [_whole_entry(name, one) for one in rates]
    return [_entry(name, rates)]


def _whole_entry(name: Any, given: dict[str, Any]) -> dict[str, Any]:
    """An entry as the shipped table has it, and as `pinned` writes it."""
    entry: dict[str, Any] = {}
    for kind in _KINDS:
        if kind in given:
            entry[kind] = _checked(name, given[kind])
    if "standard" not in entry:
        raise ValueError(say("why.noRates", name=str(name)[:60]))
    if "from" in given:
        _day(name, str(given["from"]))
        entry["from"] = str(given["from"])
    entry |= _numbers(name, given)
    if given.get("estimated"):
        entry["estimated"] = str(given["estimated"])
    return entry


def _numbers(name: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The multiples of the input rate that a cache write costs, and where a call is long."""
    found: dict[str, Any] = {}
    for kind, most in _NUMBERS.items():
        value = given.get(kind)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise ValueError(say("why.write", kind=kind, name=str(name)[:60], most=most))
        found[kind] = int(value) if kind == "longAbove" else value
    return found


def _day(name: Any, given: str) -> None:
    try:
        date.fromisoformat(given)
    except ValueError:
        raise ValueError(say("why.day", value=given[:30], name=str(name)[:60])) from None


def _entry(name: Any, rates: Any) -> dict[str, Any]:
    if isinstance(rates, list) and len(rates) == 3:
        values = rates
    elif isinstance(rates, dict):
        values = [
            next((rates[key] for word in _UNITS if (key := part + word) in rates), None)
            for part in ("input", "cached_input", "output")
        ]
    else:
        raise ValueError(say("why.noRates", name=str(name)[:60]))
    entry: dict[str, Any] = {"standard": _checked(name, values)}
    if isinstance(rates, dict):
        entry |= _writes(name, rates, values[0])
    if isinstance(rates, dict) and rates.get("estimated") is True:
        entry["estimated"] = str(rates.get("estimate_reason") or "the user's estimate")
    return entry


def _writes(name: Any, rates: dict[str, Any], first: float) -> dict[str, Any]:
    """What a cache write costs, where a file says so in dollars."""
    told = {
        kind: next((rates[key] for word in _UNITS if (key := part + word) in rates), None)
        for kind, part in (("cacheWrite", "cache_write"), ("cacheWriteHour", "cache_write_1h"))
    }
    for value in told.values():
        if value is not None:
            _checked(name, [value, None, 0])
    return {kind: value / first for kind, value in told.items() if value is not None and first}


def _checked(name: Any, values: Any) -> list[float | None]:
    """Rates of input, cached input and output, of which the second may be unknown."""
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(say("why.three", name=str(name)[:60]))
    for place, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not ((number and 0 <= value <= _MOST) or (value is None and place == 1)):
            raise ValueError(say("why.rate", name=str(name)[:60]))
    return values
