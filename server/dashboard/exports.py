"""/api/exports/*.csv: a list as a file for a spreadsheet; /recalc, /api/usage of older tools."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request, stream_with_context

from server.dashboard import filters, query
from server.dashboard import usage as usage_routes
from server.ingest import files
from server.store import db
from server.times import iso
from server.usage import calls, threads, trends
from server.usage.calls import Page
from server.usage.slices import Filter

if TYPE_CHECKING:
    from server.app import Services

_PART = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# A column's heading, by the names that scripts use, and the field it shows.
Columns = tuple[tuple[str, str], ...]
_SUMS: Columns = (
    ("total_tokens", "totalTokens"), ("input_tokens", "inputTokens"),
    ("cached_input_tokens", "cachedInputTokens"), ("uncached_input_tokens", "uncachedInputTokens"),
    ("output_tokens", "outputTokens"), ("reasoning_output_tokens", "reasoningTokens"),
    ("estimated_cost_usd", "costUsd"), ("price_status", "priceStatus"),
    ("usage_credits", "credits"),
)  # fmt: skip
CALLS: Columns = (
    ("timestamp", "at"), ("thread", "threadTitle"), ("call_duration_ms", "durationMs"),
    ("previous_call_delta_ms", "gapMs"), ("initiated", "initiator"), ("project", "project"),
    ("model", "model"), ("effort", "effort"), *_SUMS,
    ("usage_credit_confidence", "creditConfidence"), ("cache_write_tokens", "cacheWriteTokens"),
    ("cache_write_1h_tokens", "cacheWrite1hTokens"), ("tier", "tier"),
    ("cache_ratio", "cacheRatio"), ("context_window_percent", "contextPercent"),
    ("attention", "attention"), ("provider", "provider"), ("account", "account"),
    ("witnesses", "witnesses"), ("thread_id", "threadId"), ("session_id", "sessionId"),
    ("record_id", "id"),
)  # fmt: skip
THREADS: Columns = (
    ("thread", "title"), ("provider", "provider"), ("project", "project"),
    ("started_at", "startedAt"), ("last_at", "lastAt"), ("calls", "calls"),
    ("sessions", "sessions"), ("subagents", "subagents"), ("models", "models"),
    ("efforts", "efforts"), *_SUMS, ("cache_ratio", "cacheRatio"),
    ("max_context_percent", "maxContextPercent"), ("duration_ms", "durationMs"),
    ("attention", "attention"), ("severity", "severity"), ("signals", "flags"),
    ("thread_id", "id"),
)  # fmt: skip
DAYS: Columns = (
    ("day", "day"), ("provider", "providers"), ("calls", "calls"), ("sessions", "sessions"),
    ("total_tokens", "totalTokens"), ("cached_input_tokens", "cachedInput"),
    ("uncached_input_tokens", "uncachedInput"), ("output_tokens", "output"),
    ("reasoning_output_tokens", "reasoningOutput"),
    ("estimated_cost_usd", "costUsd"), ("unpriced_calls", "unpriced"),
    ("estimated_calls", "estimated"),
)  # fmt: skip


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("exports", __name__)

    @routes.get("/api/exports/calls.csv")
    def call_file() -> Response:
        page = filters.page_of_calls(services.pool.called)
        return _file("calls", CALLS, _of_people(services, filters.single(), page))

    @routes.get("/api/exports/threads.csv")
    def thread_file() -> Response:
        page = filters.page(tuple(threads.SORTS))
        listed = partial(threads.search, titling=filters.titling())
        return _file("threads", THREADS, _pages(listed, "threads", filters.full(), page))

    @routes.get("/api/exports/days.csv")
    def day_file() -> Response:
        found = usage_routes.chart()
        names = [] if "cachedInput" in found["names"] else found["names"]
        series = [f"tokens: {name}" for name in names]
        rows = ({**day, **{f"tokens: {n}": day["series"].get(n, 0) for n in names}}
                for day in _used(found["days"]))  # fmt: skip
        return _file("days", (*DAYS, *zip(series, series, strict=True)), rows)

    @routes.route("/recalc", methods=["GET", "POST", "OPTIONS"])
    @routes.route("/api/recalc", methods=["GET", "POST", "OPTIONS"])
    def recalc() -> Response:
        if request.method == "OPTIONS":
            return permitted("GET, HEAD, POST, OPTIONS")
        services.indexer.scan(wait=True)
        return jsonify(recalculated(services, db.now_ms()))

    @routes.get("/api/usage")
    def rows() -> Response:
        if query.choice("refresh", "0", _SWITCH) in _ON:
            services.indexer.scan(wait=True)
        return jsonify(usage_rows(services))

    return routes


def _used(days: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Days with usage, with the sum of their tokens and whose clients were used."""
    known = {name: usage_routes.days_of(name) for name in ("codex", "claude")}
    for day in days:
        if day["calls"]:
            total = day["cachedInput"] + day["uncachedInput"] + day["output"]
            used = [name for name, those in known.items() if day["day"] in those]
            yield {**day, "totalTokens": total, "providers": used}


_ON = ("1", "true", "yes", "on")
_SWITCH = (*_ON, "0", "false", "no", "off")
_MOST_ROWS = 10_000


def usage_rows(services: Services) -> dict[str, Any]:
    """Calls in the words of the usage tracker: `limit` and `offset` page, archives on request."""
    archived = query.choice("include_archived", "0", _SWITCH) in _ON
    limit = _MOST_ROWS
    if request.args.get("limit") != "all":
        limit = query.number("limit", 500, 1, _MOST_ROWS)
    offset = query.number("offset", 0, 0, 9_999_999)
    wanted = replace(filters.single(), history="" if archived else "active")
    found = calls.search(wanted, Page(limit=limit, offset=offset))
    mode, sums = filters.privacy(), found["totals"]
    shown = list(with_accounts(services, mode.mode, mode.shown(found["calls"])))
    return {
        "schema": "codex-usage-tracker-usage-v1",
        "rows": [{heading: row.get(field) for heading, field in CALLS} for row in shown],
        "loaded_row_count": len(shown),
        "total_available_rows": found["total"],
        "limit": limit,
        "offset": offset,
        "has_more": found["hasMore"],
        "next_offset": offset + len(shown) if found["hasMore"] else None,
        "include_archived": archived,
        "history_scope": "all-history" if archived else "active",
        "privacy_mode": mode.mode,
        "refreshed_at": trends.coverage()["lastIndexedAt"],
        "summary": {
            "visible_calls": sums["calls"],
            "total_tokens": sums["totalTokens"],
            "input_tokens": sums["input"],
            "cached_input_tokens": sums["cachedInput"],
            "uncached_input_tokens": sums["uncachedInput"],
            "output_tokens": sums["output"],
            "reasoning_output_tokens": sums["reasoningOutput"],
            "estimated_cost_usd": sums["costUsd"],
            "usage_credits": sums["credits"],
        },
    }


def cell(value: Any) -> Any:
    """A value as a spreadsheet shall see it: text that it would take for a formula is text."""
    if isinstance(value, list):
        named = [one.get("name") or "" if isinstance(one, dict) else one for one in value]
        value = " ".join(str(one) for one in named)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value.replace("\0", "")
    return "" if value is None else value


def with_accounts(
    services: Services, mode: str, rows: Iterable[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Calls with `account`: what people call it, which the strict mode leaves at its id."""
    names: dict[str, str] = {}
    for row in rows:
        account = row["accountId"]
        if account and mode != "strict" and account not in names:
            names[account] = services.pool.name(account)
        yield {**row, "account": names.get(account, account)}


def _of_people(services: Services, wanted: Filter, page: Page) -> Iterator[dict[str, Any]]:
    rows = _pages(calls.search, "calls", wanted, page)
    return with_accounts(services, filters.privacy().mode, rows)


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


def _file(name: str, columns: Columns, rows: Iterator[dict[str, Any]]) -> Response:
    first = next(rows, None)  # an error of the first page is an answer, not half a file

    def lines() -> Iterator[str]:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        buffer.write("\ufeff")  # without it Excel does not take the file for UTF-8
        writer.writerow([cell(heading) for heading, _ in columns])
        for row in () if first is None else _chain(first, rows):
            writer.writerow([cell(row.get(field)) for _, field in columns])
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


def permitted(methods: str) -> Response:
    """What may be asked, as the token dashboard's service said it; to no other site."""
    return Response(status=204, headers={"Allow": methods})


_SEED_NAMES = {"codex": "codex", "claude": "claude", "combined": ""}


def recalculated(services: Services, now: int) -> dict[str, Any]:
    """What the token dashboard's own service answered, from our ledger."""
    today = filters.days().of(now)
    first = f"{today[:4]}-01-01"
    # Without archived sessions, as that service read one folder and as the pages show it.
    sums = {
        name: trends.summary(first, today, now, wanted=Filter(provider=one, history="active"))[
            "ytd"
        ]
        for name, one in _SEED_NAMES.items()
    }
    every = sums["combined"]
    return {
        "ok": True,
        "updated_at": iso(now),
        "today": today,
        "ytd_total_tokens": every["tokens"],
        "days_with_usage": every["daysWithUsage"],
        "sessions": every["sessions"],
        "sources": sources(services),
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


SOURCES = ("codex_sessions_root", "claude_projects_root")


def sources(services: Services) -> dict[str, str]:
    """Where the logs lie, as far as the privacy mode shows it."""
    mode = filters.privacy()
    config = services.config
    roots = (files.sessions_root(config), ",".join(files.projects_roots(config)))
    return {
        name: mode.shown({"path": path})["path"] for name, path in zip(SOURCES, roots, strict=True)
    }
