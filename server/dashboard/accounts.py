"""/api/accounts and /api/usage: whose allowance it is, and the verbs that change it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.accounts import allowance, history
from server.accounts.allowance import (
    DAY,
    FARTHEST_RESET,
    HOUR,
    MINUTE,
    MONTHLY,
    PRIMARY,
    SECONDARY,
    Window,
)
from server.accounts.pool import POLICIES, Imported, Pool
from server.accounts.provider import ResetCredits
from server.accounts.refresh import Held
from server.dashboard import body, filters, uploaded
from server.dashboard.requests import FAILED
from server.errors import AppError, Unprocessable
from server.sentences import say, told
from server.store import db
from server.times import iso, parse

if TYPE_CHECKING:
    from server.app import Services

LONGEST_ALIAS = 255
_WEEK = 7 * DAY


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("accounts", __name__)
    _add_reading(routes, services)
    _add_verbs(routes, services)
    _add_changes(routes, services)
    _add_usage(routes, services)
    _add_secrets(routes, services)
    return routes


def _add_reading(routes: Blueprint, services: Services) -> None:
    pool = services.pool

    @routes.get("/api/accounts")
    def everyone() -> Any:
        now, named = db.now_ms(), request.args.get("named")
        # What an account is called finds it in every mode; only the answer hides it.
        found = [pool.summary(pool.find(named), now)] if named else pool.summaries(now, auth=True)
        return jsonify({"accounts": filters.accounts(found)})

    @routes.get("/api/accounts/names")
    def names() -> Any:
        called = pool.called(hidden=filters.mode() == "strict").items()
        return jsonify({"accounts": [{"accountId": a, "displayName": name} for a, name in called]})

    @routes.get("/api/accounts/removed")
    def removed() -> Any:
        gone = pool.removed().items()
        return jsonify({"accounts": [{"accountId": a, "displayName": name} for a, name in gone]})

    @routes.get("/api/accounts/<account>/trends")
    def trends(account: str) -> Any:
        days = _number("days", 28, 1, 400)
        known = pool.summary(account, db.now_ms())["accountId"]
        latest = next((c.windows for c in pool.candidates() if c.id == known), ())
        return jsonify(_trends(known, latest, days))

    @routes.post("/api/accounts/import")
    def add() -> Any:
        return jsonify(_import(services, uploaded.files()))


def _shown(pool: Pool, account: str) -> dict[str, Any]:
    """One account in full, as it stands now."""
    return filters.account(pool.summary(account, db.now_ms()))


def _add_verbs(routes: Blueprint, services: Services) -> None:
    pool = services.pool

    @routes.post("/api/accounts/<account>/pause")
    def pause(account: str) -> Any:
        given = body.read(optional=True)
        now = db.now_ms()
        pool.summary(account, now)  # an unknown account before a bad time
        pool.pause(account, _until(services, account, given.get("until"), now))
        return jsonify({"status": "paused", "account": filters.account(pool.summary(account, now))})

    @routes.post("/api/accounts/<account>/reactivate")
    @routes.post("/api/accounts/<account>/resume")
    def resume(account: str) -> Any:
        pool.resume(account)
        return jsonify({"status": "reactivated", "account": _shown(pool, account)})

    @routes.post("/api/accounts/pause-all")
    def pause_all() -> Any:
        pool.pause_all()
        return jsonify({"accounts": filters.accounts(pool.summaries(db.now_ms(), auth=True))})

    @routes.post("/api/accounts/resume-all")
    def resume_all() -> Any:
        pool.resume_all()
        return jsonify({"accounts": filters.accounts(pool.summaries(db.now_ms(), auth=True))})

    @routes.post("/api/accounts/<account>/probe")
    def probe(account: str) -> Any:
        pool.probe(account)
        return jsonify(_shown(pool, account))


def _add_changes(routes: Blueprint, services: Services) -> None:
    pool = services.pool

    @routes.put("/api/accounts/<account>/alias")
    def alias(account: str) -> Any:
        given = body.read()
        pool.summary(account, db.now_ms())
        text = _alias(given)
        pool.rename(account, text)
        return jsonify({"accountId": account, "alias": text})

    @routes.patch("/api/accounts/<account>")
    def tune(account: str) -> Any:
        given = body.read()
        pool.summary(account, db.now_ms())
        pool.tune(account, priority=_priority(given), policy=_policy(given))
        return jsonify(_shown(pool, account))

    @routes.put("/api/accounts/<account>/routing-policy")
    def policy(account: str) -> Any:
        given = body.read()
        pool.summary(account, db.now_ms())
        chosen = _policy(given)
        if chosen is None:
            raise Unprocessable(f"routingPolicy must be one of {', '.join(POLICIES)}.")
        pool.tune(account, policy=chosen)
        return jsonify({"accountId": account, "routingPolicy": chosen})

    @routes.delete("/api/accounts/<account>")
    def remove(account: str) -> Any:
        kept = request.args.get("history", "keep")
        if kept not in ("keep", "erase"):
            raise Unprocessable("history must be keep or erase.")
        pool.remove(account, erase=kept == "erase")
        services.keys.forget_account(account)
        return jsonify({"status": "deleted"})


def _add_secrets(routes: Blueprint, services: Services) -> None:
    pool = services.pool
    credits = "/api/accounts/<account>/rate-limit-reset-credits"

    @routes.post("/api/accounts/<account>/export/auth")
    def export(account: str) -> Any:
        response = jsonify(_exported(pool.summary(account, db.now_ms()), pool.export(account)))
        response.headers["Cache-Control"] = "no-store"
        return response

    @routes.get(credits)
    def banked(account: str) -> Any:
        return jsonify({"accountId": account, **_resets(pool.reset_credits(account))})

    @routes.post(f"{credits}/consume")
    def redeem(account: str) -> Any:
        given = body.read(optional=True)
        credit, asked = _name(given, "creditId"), _name(given, "redeemRequestId")
        code = pool.redeem(account, credit, asked or str(uuid.uuid4()))
        return jsonify({"code": code, "account": _shown(pool, account)})


def _add_usage(routes: Blueprint, services: Services) -> None:
    @routes.get("/api/usage/summary")
    def summary() -> Any:
        now = db.now_ms()
        listed, pool = services.pool.summaries(now, auth=False), services.pool.whole(now)
        return jsonify(usage_summary(listed, pool, now))

    @routes.get("/api/usage/history")
    def past() -> Any:
        return jsonify(_history(services, _number("hours", 24, 1, 168), db.now_ms()))

    @routes.get("/api/usage/window")
    def window() -> Any:
        key = request.args.get("window", "")
        if key not in allowance.STANDARD:
            raise Unprocessable("window must be primary, secondary or monthly.")
        return jsonify(usage_window(services.pool.summaries(db.now_ms(), auth=False), key))


# ── secrets and credits ───────────────────────────────────────────────────────────────────


def _exported(account: dict[str, Any], held: Held) -> dict[str, Any]:
    """An account's tokens in codex-lb's shape: as Codex and as opencode keep them."""
    upstream = account["chatgptAccountId"]
    name = re.sub(r"[^A-Za-z0-9._@-]+", "-", account["email"] or account["accountId"])
    return {
        "filename": f"auth-{name}.json",
        "note": say("export.once"),
        "noteSaid": told(say("export.once")),
        "account": {
            "accountId": account["accountId"],
            "chatgptAccountId": upstream,
            "email": account["email"],
        },
        "tokens": {
            "idToken": held.identity,
            "accessToken": held.access,
            "refreshToken": held.refresh,
            "expiresAtMs": held.expires_at,
        },
        "codexAuthJson": {
            "auth_mode": "chatgpt",
            "OPENAI_API_KEY": None,
            "tokens": {
                "id_token": held.identity,
                "access_token": held.access,
                "refresh_token": held.refresh,
                "account_id": upstream,
            },
            "last_refresh": iso(held.refreshed_at),
        },
        "opencodeAuthJson": {
            "openai": {
                "type": "oauth",
                "refresh": held.refresh,
                "access": held.access,
                "expires": held.expires_at,
                "accountId": upstream,
            }
        },
    }


def _resets(found: ResetCredits) -> dict[str, Any]:
    return {
        "availableCount": found.available,
        "credits": [
            {
                "id": each.id,
                "resetType": each.kind,
                "status": each.status,
                "title": each.title,
                "description": each.description,
                "grantedAt": iso(each.granted_at),
                "expiresAt": iso(each.expires_at),
                "redeemedAt": iso(each.redeemed_at),
            }
            for each in found.credits
        ],
    }


def _name(given: dict[str, Any], key: str) -> str | None:
    value = given.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", value):
        raise Unprocessable(f"{key} must be an id: at most 128 letters, digits, dots or dashes.")
    return value


# ── what a request says ───────────────────────────────────────────────────────────────────


def _import(services: Services, files: list[tuple[str, bytes]]) -> dict[str, Any]:
    if len(files) == 1:
        return _imported(services.pool.add(files[0][1]))
    imported, failed = [], []
    for name, content in files:
        try:
            imported.append(_imported(services.pool.add(content)))
        except AppError as error:
            failed.append({"file": name[:255], "code": error.code, "message": error.message})
    return {"imported": imported, "failed": failed}


def _imported(found: Imported) -> dict[str, Any]:
    return {
        "accountId": found.id,
        "email": found.email,
        "planType": found.plan,
        "status": found.status,
    }


def _until(services: Services, account: str, value: Any, now: int) -> int | None:
    if value is None:
        return None
    if value == "reset":
        end = services.pool.reset_of(account, now)
        if end is None:
            raise Unprocessable(say("account.resetUnknown"))
        return end
    try:
        end = parse(value) if isinstance(value, str) else 0
    except (ValueError, OverflowError):
        end = 0
    if not now < end <= now + FARTHEST_RESET:
        raise Unprocessable(
            'until must be null, "reset", or a time to come within a year, '
            "such as 2030-01-31T12:00:00Z."
        )
    return end


def _alias(given: dict[str, Any]) -> str | None:
    value = given.get("alias")
    if "alias" not in given or not (value is None or isinstance(value, str)):
        raise Unprocessable("alias must be text, or null to take it away.")
    text = (value or "").strip()
    if len(text) > LONGEST_ALIAS or not text.isprintable():
        raise Unprocessable(f"alias must be at most {LONGEST_ALIAS} printable characters.")
    return text or None


def _priority(given: dict[str, Any]) -> int | None:
    value = given.get("priority")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -1000 <= value <= 1000:
        raise Unprocessable("priority must be a whole number from -1000 to 1000.")
    return value


def _policy(given: dict[str, Any]) -> str | None:
    value = given.get("routingPolicy")
    if value is not None and value not in POLICIES:
        raise Unprocessable(f"routingPolicy must be one of {', '.join(POLICIES)}.")
    return None if value is None else str(value)


def _number(name: str, default: int, low: int, high: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    # isdecimal also takes other scripts' digits, which int() reads as well.
    number = int(text) if text.isdecimal() and len(text) < 6 else low - 1
    if not low <= number <= high:
        raise Unprocessable(f"{name} must be a whole number from {low} to {high}.")
    return number


# ── codex-lb's shapes ─────────────────────────────────────────────────────────────────────


def usage_summary(
    listed: Iterable[dict[str, Any]], pool: dict[str, Any], now: int
) -> dict[str, Any]:
    """`/api/usage/summary`: the pool's windows, and seven days of the request log."""
    averaged = {window["key"]: window for window in pool["windows"]}
    accounts = [account for account in listed if account["status"] in allowance.IN_ROTATION]
    count, failed, cancelled, tokens, cached, cost = db.rows(
        f"select count(*), coalesce(sum({FAILED}), 0), "  # noqa: S608
        "coalesce(sum(status = 'cancelled'), 0), "
        "coalesce(sum(coalesce(input, 0) + coalesce(output, 0)), 0), "
        "coalesce(sum(cached), 0), sum(cost) from request_log where started_at >= ?",
        (now - _WEEK,),
    )[0]
    worst = db.rows(
        "select error_code from request_log where started_at >= ? and error_code is not null "  # noqa: S608
        f"and {FAILED} group by 1 order by count(*) desc, 1 limit 1",
        (now - _WEEK,),
    )
    # Requests without any known price cost an unknown sum; no requests cost nothing.
    total = round((cost or 0) / 1e6, 6) if cost is not None or not count else None
    return {
        "primaryWindow": _pool_window(averaged.get(PRIMARY), accounts, PRIMARY),
        "secondaryWindow": _pool_window(averaged.get(SECONDARY), accounts, SECONDARY),
        "monthlyWindow": _pool_window(averaged.get(MONTHLY), accounts, MONTHLY),
        "cost": {"currency": "USD", "totalUsd7d": total},
        "metrics": {
            "requests7d": count,
            "tokensSecondaryWindow": tokens,
            "cachedTokensSecondaryWindow": cached,
            "errorRate7d": round(failed / count, 4) if count else None,
            "topError": worst[0][0] if worst else None,
            "cancelled7d": cancelled,
        },
    }


def _pool_window(
    window: dict[str, Any] | None, accounts: list[dict[str, Any]], key: str
) -> dict[str, Any] | None:
    if window is None:
        return None
    suffix = key.capitalize()
    full = [account[f"capacityCredits{suffix}"] for account in accounts]
    left = [account[f"remainingCredits{suffix}"] for account in accounts]
    known = [value for value in full if value is not None]
    return {
        "remainingPercent": window["remainingPercent"],
        "capacityCredits": sum(known) if known else None,
        "remainingCredits": round(sum(v for v in left if v is not None), 2) if known else None,
        "resetAt": window["resetAt"],
        "windowMinutes": window["windowMinutes"],
    }


def usage_window(listed: Iterable[dict[str, Any]], key: str) -> dict[str, Any]:
    """`/api/usage/window`: one window of each account."""
    return {
        "windowKey": key,
        "windowMinutes": allowance.MINUTES[key],
        "accounts": [
            _item(account, key, account["usage"][f"{key}RemainingPercent"]) for account in listed
        ],
    }


def _history(services: Services, hours: int, now: int) -> dict[str, Any]:
    since = now - hours * HOUR
    items = []
    for account in services.pool.summaries(now, auth=False):
        seen = history.observed(account["accountId"], since, PRIMARY).get(PRIMARY, [])
        times = range(since, now + 1, 5 * MINUTE)
        mean = history.average(left for _, left in allowance.series(seen, times))
        items.append(_item(account, PRIMARY, None if mean is None else round(mean, 2)))
    return {"windowHours": hours, "accounts": items}


def _item(account: dict[str, Any], key: str, percent: float | None) -> dict[str, Any]:
    full = allowance.capacity(account["planType"], key)
    return {
        "accountId": account["accountId"],
        "remainingPercentAvg": percent,
        "capacityCredits": full,
        "remainingCredits": (
            None if percent is None or full is None else round(full * percent / 100, 2)
        ),
    }


def _trends(account: str, latest: Iterable[Window], days: int) -> dict[str, Any]:
    """Percent left over time; `latest` is what the account has now, which may not be stored yet."""
    now = db.now_ms()
    since = now - days * DAY
    # Hours up to the last whole one, and now: at most 673 points for 28 days.
    step = HOUR if days <= 31 else DAY
    times = [*range(since - since % step + step, now, step), now]
    found: dict[str, Any] = {"accountId": account}
    seen = history.observed(account, since)
    for window in latest:
        kept = seen.setdefault(window.key, [])
        if not kept or window.observed_at > kept[-1].observed_at:
            kept.append(window)
    for key in allowance.STANDARD:
        found[key] = _points(seen.get(key, []), times)
    # Windows of other lengths, and those of named limits such as Spark's.
    found["others"] = [
        {"key": one.key, "name": allowance.name(one.key, one.minutes), "points": points}
        for one in allowance.ordered(kept[-1] for kept in seen.values() if kept)
        if one.key not in allowance.STANDARD and (points := _points(seen[one.key], times))
    ]
    return found


def _points(seen: Sequence[Window], times: Sequence[int]) -> list[dict[str, Any]]:
    return [{"t": iso(at), "v": left} for at, left in allowance.series(seen, times)]
