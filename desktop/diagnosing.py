"""`brimline diagnostics`: facts, their calls and the stored sections, on the terminal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from server.errors import AppError

if TYPE_CHECKING:
    from desktop.offline_api import Api

TABLES = ("summary", "facts", "tools", "compactions", "loops", "fact-calls")
SECTIONS = (
    "overview", "tool-output", "commands", "git-interactions", "file-reads", "file-modifications",
    "read-productivity", "concentration",
)  # fmt: skip
_SORTS = (
    "uncached", "tokens", "cached", "output", "cache", "largest", "calls", "occurrences", "time",
    "fact",
)  # fmt: skip
_Columns = tuple[tuple[str, str], ...]
_COLUMNS: _Columns = (
    ("fact_type", "kind"), ("fact_name", "fact"), ("occurrences", "times"),
    ("associated_calls", "calls"), ("associated_uncached_input_tokens", "uncached"),
    ("associated_total_tokens", "tokens"),
)  # fmt: skip
_CALLS: _Columns = (
    ("at", "time"), ("model", "model"), ("totalTokens", "tokens"),
    ("uncachedInputTokens", "uncached"), ("id", "id"),
)  # fmt: skip
# A section's own list, and what is shown of its rows.
_LISTS: dict[str, tuple[str, _Columns]] = {
    "tool-output": ("functions", (("function", "tool"), ("calls", "runs"),
                                  ("original_token_sum", "output tokens"))),
    "commands": ("commands", (("root", "program"), ("total", "runs"))),
    "git-interactions": ("interactions", (("root", "program"), ("operation", "operation"),
                                          ("mutability", "effect"), ("calls", "runs"))),
    "file-reads": ("top_paths", (("path_label", "file"), ("path_hash", "hash"),
                                 ("read_events", "reads"), ("original_token_sum", "tokens"))),
    "file-modifications": ("top_paths", (("path_label", "file"), ("path_hash", "hash"),
                                         ("modifications", "changes"))),
    "read-productivity": ("readers", (("reader", "reader"), ("read_events", "reads"),
                                      ("productive_read_pct", "then changed %"))),
    "concentration": ("dimensions", (("dimension", "by"), ("group_count", "groups"),
                                     ("top_1_share", "top 1"), ("top_5_share", "top 5"),
                                     ("effective_group_count", "effective"))),
}  # fmt: skip


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Put the verb on the command line; `command` as `reports.add` has it."""
    parser = command(
        "diagnostics", _diagnostics, "Print what tools, commands and files the work used.",
        ["brimline diagnostics facts --sort calls", "brimline diagnostics commands --refresh",
         "brimline diagnostics fact-calls --fact-type command_family --fact-name pytest"],
    )  # fmt: skip
    parser.add_argument(
        "view", nargs="?", choices=[*TABLES, *SECTIONS], default="overview", metavar="VIEW",
        help=f"one of: {', '.join((*TABLES, *SECTIONS))} (overview)",
    )  # fmt: skip
    for name in ("fact-type", "fact-name", "fact-category", "model", "effort", "thread"):
        parser.add_argument(f"--{name}", metavar=name.rpartition("-")[2].upper())
    parser.add_argument("--min-tokens", type=int, metavar="N", help="only of calls so large")
    parser.add_argument("--sort", choices=_SORTS)
    parser.add_argument("--direction", choices=["asc", "desc"])
    parser.add_argument("--offset", type=int, metavar="N", help="skip so many calls")


def _diagnostics(api: Api, arguments: argparse.Namespace) -> str:
    if arguments.fresh:
        api.post("/api/diagnostics/refresh", {"wait": True})
    if arguments.view == "fact-calls" and not (arguments.fact_type and arguments.fact_name):
        raise AppError("Say which: --fact-type and --fact-name, as `diagnostics facts` lists them.")
    found = api.get(f"/api/diagnostics/{arguments.view}", **_asked(arguments))
    if arguments.json:
        return json.dumps(found)
    if arguments.view in TABLES:
        columns = _CALLS if arguments.view == "fact-calls" else _COLUMNS
        if arguments.view == "summary":
            columns = tuple(pair for pair in _COLUMNS if pair[0] != "fact_name")
        return _table(found["rows"], columns) if found["rows"] else _empty(api, arguments)
    if found["status"] == "missing":
        return "Nothing was computed yet. Run this with --refresh."
    return _section(arguments.view, found)


def _empty(api: Api, arguments: argparse.Namespace) -> str:
    """Why there are no rows: what was not read yet is not known to be nothing."""
    if api.get("/api/diagnostics/status")["running"]:
        return "The logs are being read for this. Ask again in a moment."
    stored = api.get("/api/diagnostics/overview", privacy=arguments.privacy_mode)
    if stored["status"] == "missing":
        return "The logs were not read for this yet. Run this with --refresh."
    return "None in these calls."


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    section = arguments.view in SECTIONS
    asked = {
        "from": arguments.since,
        "to": arguments.until,
        "provider": arguments.provider,
        "privacy": arguments.privacy_mode,
        "history": arguments.history or "active",
        "include_archived": "1" if arguments.history == "all" else None,
        "model": arguments.model,
        "effort": arguments.effort,
        "thread": arguments.thread,
    }
    if section:
        return asked
    limit = arguments.limit if arguments.limit is not None else 20
    return {
        **asked,
        "limit": str(min(limit, 500) or 500) if arguments.view == "fact-calls" else str(limit),
        "offset": None if arguments.offset is None else str(arguments.offset),
        "sort": None if arguments.view == "summary" else arguments.sort,
        "direction": arguments.direction,
        "min_tokens": None if arguments.min_tokens is None else str(arguments.min_tokens),
        "fact_type": arguments.fact_type,
        "fact_name": arguments.fact_name,
        "fact_category": arguments.fact_category,
    }


def _section(view: str, found: dict[str, Any]) -> str:
    figures = found.get("summary") or {
        key: value
        for key, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    lines = [f"{key.replace('_', ' ')}: {_shown(value)}" for key, value in figures.items()]
    if view in _LISTS:
        key, columns = _LISTS[view]
        lines += ["", _table(found[key][:8], columns)] if found[key] else []
    return "\n".join(lines).strip()


def _table(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]]) -> str:
    lines = [[title for _, title in columns]]
    lines += [[_shown(row.get(key)) for key, _ in columns] for row in rows]
    numbers = [isinstance(rows[0].get(key), int | float) for key, _ in columns]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in lines
    )


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    # Text that cannot steer a terminal.
    return "".join(char if char.isprintable() else " " for char in str(value))[:60]
