"""Allowance that a person copied from Codex: read from text, kept in allowance.json. Pure."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any

from server.errors import Unprocessable
from server.sentences import say

_LABELS = {
    "5h": "five_hour",
    "5-hour": "five_hour",
    "five-hour": "five_hour",
    "weekly": "weekly",
    "week": "weekly",
}
_SHOWN = {"five_hour": "5h", "weekly": "Weekly"}
_NAMED = {"five_hour": "5-hour", "weekly": "weekly"}
_LABEL = r"(5h|5-hour|five-hour|weekly|week)"
_NUMBER = r"([-\u2212]?\d+(?:[.,]\d+)?)"
_LINE = re.compile(rf"\s*{_LABEL}\s+{_NUMBER}\s*%\s*(.*?)\s*", re.IGNORECASE)
_ANY = re.compile(rf"(?<![\w-]){_LABEL}(?![\w-])", re.IGNORECASE)
_PERCENT = re.compile(rf"{_NUMBER}\s*%")
_FILLER = re.compile(r"^(left|remaining|available|resets?(\s+(at|on))?)(?![\w-])", re.IGNORECASE)
_AROUND = " \t.,;:|\u00b7-\u2013\u2014"
_LONGEST = 20_000
_RESET = 80


def parse(text: str) -> list[dict[str, Any]]:
    """The windows named in what Codex shows, each `{key, label, remainingPercent, resetText}`.

    A line may hold one window (`5h 79% 6:50 PM`), and what lies between such lines several. The
    first of a kind counts, and the number is what remains. Nothing found is `[]`. Raises
    `Unprocessable` (code `invalid_percent`) when a number is below 0 or above 100.
    """
    text = text[:_LONGEST].replace("\u00a0", " ")
    found: dict[str, dict[str, Any]] = {}
    others = [""]  # what lies between the lines of the usual form
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match and not _ANY.search(match[3]):
            _keep(found, match[1], match[2], match[3])
            others.append("")
        else:
            others[-1] += f"{line} "
    for other in others:
        _keep_all(found, " ".join(other.split()))
    return list(found.values())


def _keep_all(found: dict[str, dict[str, Any]], flat: str) -> None:
    marks = list(_ANY.finditer(flat))
    for mark, following in zip_longest(marks, marks[1:]):
        segment = flat[mark.end() : following.start() if following else None]
        percent = _PERCENT.search(segment)
        if percent:
            _keep(found, mark[1], percent[1], segment[percent.end() :])


def _keep(found: dict[str, dict[str, Any]], label: str, number: str, rest: str) -> None:
    key = _LABELS[label.lower()]
    percent = float(number.replace("\u2212", "-").replace(",", "."))
    if not 0 <= percent <= 100:
        raise Unprocessable(
            say("copied.percent", window=_NAMED[key], given=f"{percent:g}"), code="invalid_percent"
        )
    if key not in found:
        found[key] = {
            "key": key,
            "label": _SHOWN[key],
            "remainingPercent": percent,
            "resetText": _reset(rest)[:_RESET] or None,
        }


def _reset(rest: str) -> str:
    """When a window starts afresh, without the words and brackets around it."""
    rest, before = rest.strip(_AROUND), None
    while rest != before:
        before = rest
        rest = _FILLER.sub("", rest).strip(_AROUND)
        if rest.startswith("(") and rest.endswith(")"):
            rest = rest[1:-1].strip(_AROUND)
    return rest


def stored(windows: list[dict[str, Any]], captured_at: str | None) -> list[dict[str, Any]]:
    """Windows in the shape of allowance.json."""
    return [
        {
            "key": one["key"],
            "label": one["label"],
            # In this file a number up to 1 is a share of 1.
            "remaining_percent": one["remainingPercent"]
            / (1 if one["remainingPercent"] > 1 else 100),
            "reset_at": one["resetText"],
            "captured_at": captured_at,
        }
        for one in windows
        for left in [one["remainingPercent"]]
    ]


def merged(before: Any, fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The windows of an allowance.json with some of them new; the others stay as they were."""
    if isinstance(before, dict):
        before = [{"key": key, **one} for key, one in before.items() if isinstance(one, dict)]
    kept = before if isinstance(before, list) else []
    named = {one["key"]: one for one in fresh}
    merged = [
        named.pop(one["key"]) if isinstance(one, dict) and one.get("key") in named else one
        for one in kept
    ]
    return [*merged, *named.values()]


def listed(given: dict[str, Any]) -> list[dict[str, Any]]:
    """The windows of an allowance.json, odd ones left out; a share up to 1 is of 1."""
    windows = given.get("windows")
    if isinstance(windows, dict):
        windows = [{"key": key, **one} for key, one in windows.items() if isinstance(one, dict)]
    found = []
    for one in windows if isinstance(windows, list) else []:
        percent = one.get("remaining_percent") if isinstance(one, dict) else None
        if isinstance(percent, bool) or not isinstance(percent, int | float):
            continue
        percent = float(percent) * (1 if percent > 1 else 100)
        if 0 <= percent <= 100 and isinstance(one.get("key"), str):
            found.append(
                {
                    "key": one["key"][:40],
                    "label": _text(one.get("label")) or one["key"][:40],
                    "remainingPercent": percent,
                    "resetText": _text(one.get("reset_at")),
                    "capturedAt": _text(one.get("captured_at")),
                }
            )
    return found


def _text(value: Any) -> str | None:
    return value[:_RESET] if isinstance(value, str) and value else None


def left_on_pace(
    remaining: float, resets_at: int | None, minutes: int | None, until: int
) -> float | None:
    """Percent points to spend by `until` (ms) and still be on an even pace then.

    None when the window's length or reset is unknown.
    """
    if resets_at is None or not minutes:
        return None
    due = 100 * max(0, resets_at - until) / (minutes * 60_000)
    return round(max(0.0, remaining - min(due, 100.0)), 2)
