"""/api/calls, /api/threads, /api/insights, /api/trends and /api/scan: what was used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.accounts import allowance
from server.dashboard import body, filters, query
from server.errors import Unprocessable
from server.ingest import reprice, scan
from server.store import db
from server.times import iso
from server.usage import calls, deltas, insights, summary, threads, thresholds, trends, turns

if TYPE_CHECKING:
    from server.app import Services


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("usage", __name__)
    filters.read_at_once(routes)
    _add_calls(routes, services)
    _add_threads(routes)
    _add_trends(routes)
    _add_scan(routes, services)

    @routes.get("/api/summary")
    def groups() -> Any:
        by = query.choice("by", "date", tuple(summary.GROUPS))
        local, limit = filters.days(), query.number("limit", 20, 0, 100_000)
        wanted, tags = filters.of_sums(), filters.tags()
        alike = filters.alike() if by == "project" else {}
        found = filters.remembered(lambda: summary.grouped(wanted, by, local, limit, tags, alike))
        if by == "account":  # an account may be called something else without a new call
            found = {**found, "groups": [_called(services, group) for group in found["groups"]]}
        return filters.answer(found)

    @routes.get("/api/pricing/coverage")
    def coverage() -> Any:
        return jsonify(summary.coverage(filters.of_sums()))

    return routes


def _add_scan(routes: Blueprint, services: Services) -> None:
    @routes.get("/api/scan")
    def totals() -> Any:
        return filters.answer({**scan.totals(), "quality": scan.quality()})

    @routes.get("/api/scan/last")
    def last() -> Any:
        return jsonify({"readAt": iso(services.indexer.read_at)})

    @routes.post("/api/scan")
    def bring_up_to_date() -> Any:
        wait = body.read(optional=True).get("wait", True)
        if not isinstance(wait, bool):
            raise Unprocessable("“wait” must be true or false.")
        services.indexer.scan(wait=wait)
        if wait:
            reprice.keep()
        return filters.answer({**scan.totals(), "quality": scan.quality()})


def _called(services: Services, group: dict[str, Any]) -> dict[str, Any]:
    account = group["name"]
    return {**group, "accountName": services.pool.name(account) if account else None}


def _add_calls(routes: Blueprint, services: Services) -> None:
    @routes.get("/api/calls")
    def listed() -> Any:
        page = filters.page_of_calls(services.pool.called)
        return filters.answer(calls.search(filters.single(), page))

    @routes.get("/api/calls/options")
    def options() -> Any:
        words = {word for listed in filters.tags().values() for word in listed}
        archived = filters.any_archived()
        return filters.answer(
            {
                **calls.options(),
                "tags": sorted(words),
                "archived": archived,
                "thresholds": thresholds.current(),
            }
        )

    @routes.get("/api/calls/<path:name>")
    def one(name: str) -> Any:
        call = calls.one(name)
        previous = calls.one(call["previous"]) if call["previous"] else None
        return filters.answer(
            {
                **call,
                "deltas": deltas.deltas(call, previous),
                "confidence": deltas.confidence(call),
                "allowanceImpact": _impact(services, call),
                "log": turns.log_of(name),
                "request": _request_row(services, call["requestId"]),
                "telemetry": turns.witness(name),
                "turn": turns.timeline(name),
            }
        )


def _add_threads(routes: Blueprint) -> None:
    @routes.get("/api/threads")
    def threads_listed() -> Any:
        wanted, page = filters.of_threads(), filters.page(tuple(threads.SORTS))
        titling = filters.titling()
        return filters.answer(
            filters.remembered(lambda: threads.search(wanted, page, titling=titling))
        )

    @routes.get("/api/threads/<path:name>")
    def thread(name: str) -> Any:
        return filters.answer(threads.one(name))

    @routes.get("/api/insights")
    def attention() -> Any:
        return filters.answer(filters.remembered(lambda: insights.found(filters.of_threads())))


def _add_trends(routes: Blueprint) -> None:
    @routes.get("/api/trends")
    def trend() -> Any:
        return jsonify(filters.remembered(chart))

    @routes.get("/api/trends/summary")
    def sums() -> Any:
        first, last = filters.span()
        zone, wanted = request.args.get("tz", ""), filters.usage()
        now = db.now_ms()
        return jsonify(
            filters.remembered(lambda: trends.summary(first, last, now, zone=zone, wanted=wanted))
        )

    @routes.get("/api/trends/heat")
    def heat() -> Any:
        first, last = filters.span()
        zone = request.args.get("tz", "")
        wanted = filters.usage()
        return jsonify(
            filters.remembered(lambda: trends.heat(first, last, zone=zone, wanted=wanted))
        )


def chart() -> dict[str, Any]:
    """The series that the request asks for, its projects called as the privacy mode does."""
    first, last = filters.span()
    by = query.choice("by", "kind", trends.HEADINGS)
    zone = request.args.get("tz", "")
    found = trends.series(first, last, by=by, zone=zone, wanted=filters.usage())
    if by != "project":
        return found
    mode = filters.privacy()
    shown = {name: mode.project(name) or name for name in found["names"]}
    shown[trends.NO_PROJECT] = trends.NO_PROJECT
    if len({*shown.values()}) == len(shown):  # nothing is called as another is
        for day in found["days"]:
            day["series"] = {shown[name]: tokens for name, tokens in day["series"].items()}
        return {**found, "names": [shown[name] for name in found["names"]]}
    sums: dict[str, int] = {}
    for day in found["days"]:
        series: dict[str, int] = {}
        for name, tokens in day["series"].items():
            series[shown[name]] = series.get(shown[name], 0) + tokens
            sums[shown[name]] = sums.get(shown[name], 0) + tokens
        day["series"] = series
    return {**found, "names": sorted(sums, key=lambda name: (-sums[name], name))}


def days_of(provider: str) -> set[str]:
    """The days of that series on which something of a provider's is in it."""
    wanted = filters.usage()
    if wanted.provider and wanted.provider != provider:
        return set()
    wanted = replace(wanted, provider=provider)
    zone = request.args.get("tz", "")
    found = trends.series(*filters.span(), zone=zone, wanted=wanted, sessions=False)
    return {day["day"] for day in found["days"] if day["calls"]}


_WINDOWS = (allowance.PRIMARY, allowance.SECONDARY, allowance.MONTHLY)


def _impact(services: Services, call: dict[str, Any]) -> list[dict[str, Any]]:
    """A call's credits in percent of what its account's plan has in each window, where known."""
    used, account = call["credits"], call["accountId"]
    plan = next((one.plan for one in services.pool.candidates() if one.id == account), None)
    full = {key: allowance.capacity(plan, key) for key in _WINDOWS}
    return [
        {"key": key, "percent": 100 * used / credits}
        for key, credits in full.items()
        if credits and used is not None
    ]


def _request_row(services: Services, request_id: str | None) -> Any:
    from server.dashboard import requests

    return requests.one(services, request_id) if request_id else None
