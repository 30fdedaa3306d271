"""The ledger's rows as text: aligned columns, with marks beside costs that are not whole."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "groups": (
        ("name", "name"), ("calls", "calls"), ("sessions", "sessions"), ("totalTokens", "tokens"),
        ("cachedInputTokens", "cached"), ("uncachedInputTokens", "uncached"),
        ("outputTokens", "output"), ("cacheRatio", "cache"), ("costUsd", "cost"),
    ),
    "calls": (
        ("at", "time"), ("threadTitle", "thread"), ("model", "model"), ("effort", "effort"),
        ("totalTokens", "tokens"), ("cachedInputTokens", "cached"),
        ("uncachedInputTokens", "uncached"), ("outputTokens", "output"), ("cacheRatio", "cache"),
        ("costUsd", "cost"), ("id", "id"),
    ),
    "threads": (
        ("lastAt", "latest"), ("title", "thread"), ("project", "project"), ("calls", "calls"),
        ("totalTokens", "tokens"), ("cacheRatio", "cache"), ("costUsd", "cost"),
        ("attention", "attention"), ("severity", "severity"), ("id", "id"),
    ),
    "cards": (
        ("severity", "severity"), ("key", "what"), ("count", "count"), ("value", "value"),
        ("unit", "unit"), ("threadTitle", "thread"),
    ),
    "models": (
        ("model", "model"), ("priceStatus", "price"), ("calls", "calls"), ("tokens", "tokens"),
        ("costUsd", "cost"),
    ),
}  # fmt: skip


def table(
    rows: Sequence[dict[str, Any]], kind: str, arguments: argparse.Namespace, whole: Any
) -> str:
    """Rows of a kind for people, or `whole` as JSON for scripts."""
    if arguments.json:
        return json.dumps(whole)
    if not rows:
        return _NOTHING.get(kind, "")
    columns = _COLUMNS[kind]
    marks = max(len(_mark(row)) for row in rows)  # figures keep their places beside these
    lines = [[title + " " * marks * (key == "costUsd") for key, title in columns]]
    lines += [[_text(key, row, marks) for key, _ in columns] for row in rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    text = "\n".join(
        "  ".join(
            text.rjust(width) if _number(key) else text.ljust(width)
            for text, width, (key, _) in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    )
    return "\n".join((text, *_legend(rows)))


_WIDEN = "Ask for more days or another filter, or for archived sessions with --include-archived."
_NOTHING = {
    "calls": f"No call is found. {_WIDEN}",
    "threads": f"No thread is found. {_WIDEN}",
    "groups": f"Nothing was used. {_WIDEN}",
    "models": f"Nothing was used. {_WIDEN}",
    "cards": "Nothing needs attention.",
}


def _legend(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What the marks beside costs mean, of those that are there."""
    marks = set("".join(map(_mark, rows)))
    said = {
        "*": "* estimated price",
        "+": "+ some of it has no price (`brimline pricing-coverage`)",
    }
    return [text for mark, text in said.items() if mark in marks]


def _mark(row: dict[str, Any]) -> str:
    """What stands beside a cost: of a call, of a sum, or of a card that is one."""
    dollars = row.get("value") if row.get("unit") == "usd" else row.get("costUsd")
    if dollars is None:
        return ""
    guessed = row.get("estimated") or row.get("priceStatus") == "estimated"
    return ("*" if guessed else "") + ("+" if row.get("unpriced") else "")


# How the figure of a card is written.
_AS = {"usd": "costUsd", "ratio": "cacheRatio"}


def _text(key: str, row: dict[str, Any], marks: int) -> str:
    unit = row.get("unit") if key == "value" else None
    if unit == "percent" and row["value"] is not None:
        return percent(row["value"] / 100)
    cell = _AS.get(unit or "", key)
    return _cell(cell, _called(key, row)) + (_mark(row).ljust(marks) if cell == "costUsd" else "")


def _called(key: str, row: dict[str, Any]) -> Any:
    """A figure of a row; a thread without a title goes by its id."""
    value = row.get(key)
    if value is None and key in ("title", "threadTitle"):
        name = row.get("threadId") or row.get("sessionId") or row.get("id")
        return name and str(name)[:13]
    return value


def _number(key: str) -> bool:
    return key.endswith(("okens", "calls", "sessions", "Usd", "Ratio", "count", "value"))


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "no price" if key == "costUsd" else "–"
    if key == "costUsd":
        return f"${value:,.4f}" if 0 < value < 0.01 else f"${value:,.2f}"
    if key == "cacheRatio":
        return percent(value)
    if key in ("at", "lastAt"):
        return str(value)[:16].replace("T", " ")
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else plain(str(value))[:48]


def plain(text: str) -> str:
    """Text that cannot steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def percent(value: float | None) -> str:
    """A part of one, in percent."""
    return "–" if value is None else f"{100 * value:.1f}%"
