"""Where the price and the credit rate of a call come from: which list, and of which day."""

from __future__ import annotations

from typing import Any

from server.errors import AppError
from server.usage import ownfiles, pricing, tables

_SHIPPED = {"prices": "prices.json", "credits": "credit_rates.json"}
# Models whose rates come from another list than the first.
_LISTS = (("claude", "Claude pricing page"), ("gpt-5.6", "Codex rate card, gpt-5.6"))


def of(model: str | None) -> dict[str, Any]:
    """`priceModel` (whose price counts), `priceSource` and `creditSource`: None without a rate.

    A source is {file, name, at}: the user's own file by its name, else None, what the list is
    called, and the day or moment it is of.
    """
    priced, mine = pricing.price_rate(model)
    rated, _ = pricing.credit_rate(model)
    return {
        "priceModel": priced,
        "priceSource": _source("prices", priced, mine),
        "creditSource": _source("credits", rated, pricing.credit_file(rated)),
    }


def _source(kind: str, model: str | None, file: str | None) -> dict[str, Any] | None:
    if model is None:
        return None
    if file:
        return {"file": file, **_stamp(file)}
    listed = tables.read(_SHIPPED[kind])["sources"]
    name = next((name for begin, name in _LISTS if model.startswith(begin)), None)
    found = next((one for one in listed if one["name"] == name), listed[0])
    return {"file": None, "name": found["name"], "at": found["checked"]}


def _stamp(file: str) -> dict[str, Any]:
    """What one of the user's own files says of where it is from."""
    try:
        given = ownfiles.read(file).get("_source")
    except AppError:
        given = None
    stamp = given if isinstance(given, dict) else {}
    name, at = stamp.get("name"), stamp.get("fetched_at")
    return {
        "name": name if isinstance(name, str) else None,
        "at": at if isinstance(at, str) else None,
    }
