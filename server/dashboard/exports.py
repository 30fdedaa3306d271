"""/api/exports/*.csv: what a list shows, as a file for a spreadsheet; /recalc of an older tool."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, stream_with_context

from server.dashboard import filters
from server.dashboard import usage as usage_routes
from server.store import db
from server.times import iso
from server.usage import calls, threads, trends
from server.usage.calls import Page
from server.usage.slices import Filter

if TYPE_CHECKING:
    from server.app import Services

_PART = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
CALLS = (
    "at", "provider", "threadTitle", "threadId", "sessionId", "project", "initiator", "model",
    "effort", "durationMs", "gapMs", "totalTokens", "inputTokens", "cachedInputTokens",
    "uncachedInputTokens", "cacheWriteTokens", "outputTokens", "reasoningTokens", "cacheRatio",
    "contextPercent", "costUsd", "priceStatus", "credits", "accountId", "attention", "id",
)  # fmt: skip
THREADS = (
    "lastAt", "startedAt", "title", "id", "provider", "project", "calls", "sessions", "subagents",
    "totalTokens", "inputTokens", "cachedInputTokens", "uncachedInputTokens", "outputTokens",
    "reasoningTokens", "cacheRatio", "maxContextPercent", "durationMs", "costUsd", "priceStatus",
    "credits", "attention", "severity", "flags",
)  # fmt: skip
DAYS = (
    "day", "calls", "sessions", "cachedInput", "uncachedInput", "output", "reasoningOutput",
    "costUsd", "unpriced",
)  # fmt: skip


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("exports", __name__)

    @routes.get("/api/exports/calls.csv")
    def call_file() -> Response:
        page = filters.page(tuple(calls.SORTS))
        return _file("calls", CALLS, _pages(calls.search, "calls", filters.full(), page))

    @routes.get("/api/exports/threads.csv")
    def thread_file() -> Response:
        page = filters.page(tuple(threads.SORTS))
        return _file("threads", THREADS, _pages(threads.search, "threads", filters.full(), page))

    @routes.get("/api/exports/days.csv")
    def day_file() -> Response:
        found = usage_routes.chart()
        names = [] if "cachedInput" in found["names"] else found["names"]
        rows = ({**day, **{f"tokens: {n}": day["series"].get(n, 0) for n in names}}
                for day in found["days"])  # fmt: skip
        return _file("days", (*DAYS, *(f"tokens: {name}" for name in names)), rows)

    @routes.get("/recalc")
    @routes.post("/recalc")
    @routes.get("/api/recalc")
    @routes.post("/api/recalc")
    def recalc() -> Response:
        services.indexer.scan(wait=True)
        return jsonify(recalculated(services, db.now_ms()))

    return routes


def cell(value: Any) -> Any:
    """A value as a spreadsheet shall see it: text that it would take for a formula is text."""
    if isinstance(value, list):
        value = " ".join(str(one) for one in value)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value.replace("\0", "")
    return "" if value is None else value


def _pages(
    search: Callable[[Filter, Page], dict[str, Any]], name: str, wanted: Filter, page: Page
) -> Iterator[dict[str, Any]]:
    page = replace(page, limit=_PART, cursor="")
    mode = filters.privacy()
    while True:
        found = search(wanted, page)
        yield from mode.shown(found[name])
        if not found["hasMore"]:
            return
        page = replace(page, cursor=found["nextCursor"])


def _file(name: str, columns: tuple[str, ...], rows: Iterator[dict[str, Any]]) -> Response:
    first = next(rows, None)  # an error of the first page is an answer, not half a file

    def lines() -> Iterator[str]:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        buffer.write("\ufeff")  # without it Excel does not take the file for UTF-8
        writer.writerow([cell(column) for column in columns])
        for row in () if first is None else _chain(first, rows):
            writer.writerow([cell(row.get(column)) for column in columns])
            if buffer.tell() > 65536:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue()

    answer = Response(stream_with_context(lines()), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="brimline-{name}.csv"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _chain(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from rest


_SEED_NAMES = {"codex": "codex", "claude": "claude", "combined": ""}


def recalculated(services: Services, now: int) -> dict[str, Any]:
    """What the token dashboard's own service answered, from our ledger."""
    today = filters.days().of(now)
    first = f"{today[:4]}-01-01"
    sums = {
        name: trends.summary(first, today, now, wanted=Filter(provider=provider))["ytd"]
        for name, provider in _SEED_NAMES.items()
    }
    every = sums["combined"]
    return {
        "ok": True,
        "updated_at": iso(now),
        "today": today,
        "ytd_total_tokens": every["tokens"],
        "days_with_usage": every["daysWithUsage"],
        "sessions": every["sessions"],
        "sources": _sources(services),
        "providers_available": {name: bool(one["calls"]) for name, one in sums.items()},
        "providers": {
            name: {
                "ytd_total_tokens": one["tokens"],
                "days_with_usage": one["daysWithUsage"],
                "sessions": one["sessions"],
                "highest_single_day": one["highestDay"] and one["highestDay"]["tokens"],
            }
            for name, one in sums.items()
        },
    }


def _sources(services: Services) -> dict[str, Any]:
    mode = filters.privacy()
    named = {
        "codex_sessions_root": services.config.codex_home / "sessions",
        "claude_projects_root": services.config.claude_home / "projects",
    }
    return {name: mode.shown({"path": str(path)})["path"] for name, path in named.items()}
