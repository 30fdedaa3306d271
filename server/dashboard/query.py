"""Read the parameters of a query the same way on every route, with a sentence for bad ones."""

from __future__ import annotations

import re
from datetime import date, timedelta

from flask import request

from server.errors import Unprocessable
from server.times import parse
from server.usage.days import Days

_MOST_NAMES = 200
_LONGEST_TEXT = 500
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{0,12})?")
# SQLite's integers end here, and no clock goes so far.
_LAST = 253_402_300_799_999


def text(name: str) -> str:
    """A text, cut at a length no name has; empty when it is not given."""
    return request.args.get(name, "")[:_LONGEST_TEXT]


def names(name: str) -> tuple[str, ...]:
    """Every value that was given."""
    return tuple(one[:_LONGEST_TEXT] for one in request.args.getlist(name)[:_MOST_NAMES] if one)


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """One of the words; an absent or empty one is the default."""
    value = request.args.get(name) or default
    if value not in choices:
        raise Unprocessable(f"“{name}” must be one of: {', '.join(one for one in choices if one)}.")
    return value


def number(name: str, default: int, low: int, high: int) -> int:
    """A whole number between two others."""
    value = request.args.get(name) or str(default)
    if not (value.isascii() and value.isdigit() and len(value) < 10 and low <= int(value) <= high):
        raise Unprocessable(f"“{name}” must be a whole number from {low} to {high}.")
    return int(value)


def amount(name: str, default: float, high: float) -> float:
    """A number from 0, written with digits and at most one point."""
    value = request.args.get(name) or str(default)
    if not (_AMOUNT.fullmatch(value) and float(value) <= high):
        raise Unprocessable(f"“{name}” must be a number from 0 to {high:g}, such as 0.5.")
    return float(value)


def moment(name: str, days: Days, *, end: bool) -> int | None:
    """A time, or a day in the viewer's zone (as an end, the whole day counts), in ms."""
    value = request.args.get(name)
    if not value:
        return None
    try:
        if len(value) == 10:
            at = days.start(date.fromisoformat(value) + timedelta(days=int(end)))
        else:
            at = parse(value)
    except (ValueError, OverflowError) as error:
        raise Unprocessable(
            f"“{name}” must be a day such as 2026-11-21 or a time such as 2026-11-21T09:30:00Z."
        ) from error
    return min(max(at, 0), _LAST)
