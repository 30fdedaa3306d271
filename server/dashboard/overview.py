"""/api/dashboard/overview and /api/tray: where am I now?

The overview serves codex-lb's shape, the four keys that its documentation promises, and our
own, so that one request paints the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from server import __version__
from server.accounts.allowance import IN_ROTATION
from server.dashboard import accounts, filters, query
from server.dashboard.requests import FAILED, UNPRICED, total_cost
from server.store import db, settings
from server.times import iso, parse
from server.usage import attention, trends

if TYPE_CHECKING:
    from server.app import Services

HOUR = 3600 * 1000
_MOST_ACCOUNTS = 1_000_000
BUCKETS, BUCKET = 28, 6 * HOUR  # seven days in steps of six hours, as codex-lb draws them


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("overview", __name__)
    filters.read_at_once(routes)

    @routes.get("/api/dashboard/overview")
    def overview() -> Any:
        now = db.now_ms()
        summaries = filters.accounts(services.pool.summaries(now, auth=False))
        pool = services.pool.whole(now)
        # A page with a thousand accounts shows the first of them.
        shown = summaries[: query.number("accounts", len(summaries), 0, _MOST_ACCOUNTS)]
        zone = filters.days().zone
        today = trends.today(now, zone)
        return jsonify(
            {
                "lastSyncAt": iso(max((_synced(a) for a in summaries), default=0) or None),
                "accounts": shown,
                "summary": accounts.usage_summary(summaries, pool, now),
                "windows": {
                    "primary": accounts.usage_window(shown, "primary"),
                    "secondary": accounts.usage_window(shown, "secondary"),
                },
                "trends": request_trends(now),
                **_documented(summaries, now),
                "pool": pool,
                "unmeasured": sum(
                    one["status"] in IN_ROTATION and not one["windows"] for one in summaries
                ),
                "today": today,
                "days": trends.days(14, now, zone),
                "attention": attention.overview(summaries, pool, today, now),
                "ledger": trends.coverage(),
            }
        )

    @routes.get("/api/tray")
    def tray() -> Any:
        now = db.now_ms()
        today = trends.today(now)
        return jsonify(
            {
                **services.pool.snapshot(now),
                "today": {key: today[key] for key in ("calls", "tokens", "costUsd")},
                "updatedAt": iso(now),
                "show": services.show_requests,
                "version": __version__,
                "notices": services.notices,
                "settings": {key: settings.get(key) for key in settings.TRAY},
            }
        )

    return routes


def request_trends(now: int) -> dict[str, list[dict[str, Any]]]:
    """Requests, tokens, cost and error rate of the proxy in 28 buckets of six hours."""
    first = now // BUCKET - BUCKETS + 1
    found = {
        bucket: rest
        for bucket, *rest in db.rows(
            "select started_at / ?, count(*), sum(coalesce(input, 0) + coalesce(output, 0)), "  # noqa: S608
            f"sum(cost), {UNPRICED}, sum({FAILED}) from request_log where started_at >= ? "
            "group by 1",
            (BUCKET, first * BUCKET),
        )
    }
    series: dict[str, list[dict[str, Any]]] = {
        "requests": [],
        "tokens": [],
        "cost": [],
        "errorRate": [],
    }
    for bucket in range(first, first + BUCKETS):
        count, tokens, cost, unpriced, failed = found.get(bucket, (0, 0, 0, 0, 0))
        at = iso(bucket * BUCKET)
        series["requests"].append({"t": at, "v": count})
        series["tokens"].append({"t": at, "v": tokens or 0})
        series["cost"].append({"t": at, "v": total_cost(cost, unpriced)})
        series["errorRate"].append({"t": at, "v": round(failed / count, 4) if count else 0.0})
    return series


def _documented(summaries: list[dict[str, Any]], now: int) -> dict[str, Any]:
    count, failed, tokens_in, tokens_out, cost, unpriced = db.rows(
        f"select count(*), coalesce(sum({FAILED}), 0), "  # noqa: S608
        f"coalesce(sum(input), 0), coalesce(sum(output), 0), sum(cost), {UNPRICED} "
        "from request_log where started_at >= ?",
        (now - 24 * HOUR,),
    )[0]
    states = [account["status"] for account in summaries]
    return {
        "accountCounts": {
            "total": len(states),
            "active": states.count("active"),
            "paused": states.count("paused"),
            "rateLimited": states.count("rate_limited"),
            "quotaExceeded": states.count("quota_exceeded"),
            "deactivated": states.count("deactivated") + states.count("sign_in_needed"),
        },
        "usageSummary": {
            "totalTokens": tokens_in + tokens_out,
            "totalCost": total_cost(cost, unpriced),
            "inputTokens": tokens_in,
            "outputTokens": tokens_out,
        },
        "requestCount": count,
        "errorRate": round(100 * failed / count, 2) if count else 0.0,
    }


def _synced(account: dict[str, Any]) -> int:
    return max((parse(w["observedAt"]) for w in account["windows"] if w["observedAt"]), default=0)
