"""/api/api-keys: the keys of the proxy's clients, and /v1/usage, where a key asks for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.auth import limits
from server.auth.keys import Draft, Key, bearer
from server.auth.limits import Limit, Rule
from server.dashboard import body
from server.dashboard.requests import UNPRICED, total_cost
from server.errors import BadRequest, Unprocessable
from server.sentences import say
from server.store import db
from server.times import iso, parse

if TYPE_CHECKING:
    from server.app import Services

_LARGEST = 2**53 - 1  # what JavaScript, which shows it, still counts exactly
_HOUR = 3600 * 1000
_WEEK = 7 * 24 * _HOUR
_LAST_TIME = 253_402_300_799_999  # the end of the year 9999
_MOST = {"models": 200, "limits": 50, "accounts": 1000}


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("keys", __name__)
    _add_collection(routes, services)
    _add_usage(routes, services)
    return routes


def _add_collection(routes: Blueprint, services: Services) -> None:
    keys = services.keys

    @routes.get("/api/api-keys/")
    def every() -> Any:
        return jsonify([summary(key) for key in keys.all()])

    @routes.post("/api/api-keys/")
    def create() -> Any:
        key, secret = keys.create(_draft(body.read(), _accounts(services)))
        return jsonify({**summary(_without_removed(services, key)), "key": secret})

    @routes.get("/api/api-keys/<identity>")
    def one(identity: str) -> Any:
        return jsonify(summary(keys.get(identity)))

    @routes.patch("/api/api-keys/<identity>")
    def edit(identity: str) -> Any:
        said = body.read()
        end = keys.get(identity).expires_at
        changes = _changes(said, _accounts(services), end)
        reset = _boolean(said, "resetUsage") if "resetUsage" in said else False
        key = keys.edit(identity, changes, _rules(said), reset=reset)
        return jsonify(summary(_without_removed(services, key)))

    @routes.delete("/api/api-keys/<identity>")
    def delete(identity: str) -> Any:
        keys.delete(identity)
        return "", 204

    @routes.post("/api/api-keys/<identity>/regenerate")
    def regenerate(identity: str) -> Any:
        key, secret = keys.regenerate(identity)
        return jsonify({**summary(key), "key": secret})


def _add_usage(routes: Blueprint, services: Services) -> None:
    keys = services.keys

    @routes.get("/api/api-keys/<identity>/trends")
    def trends(identity: str) -> Any:
        return jsonify(_trends(keys.get(identity), db.now_ms()))

    @routes.get("/api/api-keys/<identity>/usage-7d")
    def week(identity: str) -> Any:
        key = keys.get(identity)
        used = _used(key, db.now_ms() - _WEEK)
        return jsonify({"keyId": key.id, **used})

    @routes.get("/v1/usage")
    def own() -> Any:
        key = keys.authenticate(bearer(request.environ))
        # A key that was authenticated is without its limits, which change with every call.
        return jsonify(_own_usage(keys.get(key.id), _pool_usage(services)))


def summary(key: Key) -> dict[str, Any]:
    """A key as the dashboard's JSON shows it; never its secret."""
    return {
        "id": key.id,
        "name": key.name,
        "keyPrefix": key.prefix,
        "allowedModels": None if key.models is None else list(key.models),
        "assignedAccountIds": None if key.accounts is None else list(key.accounts),
        "expiresAt": iso(key.expires_at),
        "isActive": key.active,
        "createdAt": iso(key.created_at),
        "lastUsedAt": iso(key.used_at),
        "limits": [_limit(limit) for limit in key.limits],
    }


def _limit(limit: Limit) -> dict[str, Any]:
    return {
        "id": limit.id,
        "limitType": limit.rule.measure,
        "limitWindow": limit.rule.window,
        "maxValue": limit.rule.maximum,
        "currentValue": limit.used,
        "modelFilter": limit.rule.model,
        "resetAt": iso(limit.resets_at),
    }


# ── reading a body ────────────────────────────────────────────────────────────────────────────


def _draft(said: dict[str, Any], accounts: set[str]) -> Draft:
    if "name" not in said:
        raise Unprocessable("Give the key a “name”.")
    fields = _changes(said, accounts)
    if "resetUsage" in said:
        _boolean(said, "resetUsage")  # nothing is used yet
    return Draft(**fields, rules=tuple(_rules(said) or ()))


def _changes(said: dict[str, Any], accounts: set[str], end: int | None = None) -> dict[str, Any]:
    """The fields that a body sets, under the names of `Key`; what is absent stays.

    `end` is when the key ends as it stands: it may be said again, even when it has passed.
    """
    readers: dict[str, tuple[str, Callable[[], Any]]] = {
        "name": ("name", lambda: _name(said["name"])),
        "allowedModels": ("models", lambda: _texts(said, "allowedModels", _MOST["models"])),
        "assignedAccountIds": ("accounts", lambda: _known(said, accounts)),
        "expiresAt": ("expires_at", lambda: _end(said["expiresAt"], end)),
        "isActive": ("active", lambda: _boolean(said, "isActive")),
    }
    return {field: read() for key, (field, read) in readers.items() if key in said}


def _name(value: Any) -> str:
    name = _text(value, "name")
    if not name:
        raise _payload("A key needs a name that is not blank.")
    return name


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise Unprocessable(f"{what} must be text.")
    text = value.strip()
    if len(text) > 128:
        raise Unprocessable(f"{what} must have at most 128 characters.")
    # Also refuses lone surrogates, which SQLite cannot store.
    if not text.isprintable():
        raise Unprocessable(f"{what} must not contain control characters.")
    return text


def _texts(said: dict[str, Any], what: str, most: int) -> tuple[str, ...] | None:
    value = said[what]
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > most:
        raise Unprocessable(f"{what} must be null or a list of at most {most} texts.")
    texts = [_text(item, f"each of {what}") for item in value]
    if "" in texts:
        raise _payload(f"{what} must not contain a blank text.")
    return tuple(dict.fromkeys(texts))


def _known(said: dict[str, Any], accounts: set[str]) -> tuple[str, ...] | None:
    wanted = _texts(said, "assignedAccountIds", _MOST["accounts"])
    for account in wanted or ():
        if account not in accounts:
            raise _payload(f"There is no account “{account}”. Take ids from /api/accounts.")
    return wanted


def _without_removed(services: Services, key: Key) -> Key:
    """The key as it stands without accounts that were removed while it was stored.

    Who removes an account takes it from the keys afterwards, so one of the two sees the other.
    """
    gone = set(key.accounts or ()) - _accounts(services)
    for account in gone:
        services.keys.forget_account(account)
    return services.keys.get(key.id) if gone else key


def _accounts(services: Services) -> set[str]:
    return {candidate.id for candidate in services.pool.candidates()}


def _end(value: Any, before: int | None) -> int | None:
    if value is None:
        return None
    try:
        at = parse(value) if isinstance(value, str) else -1
    except (ValueError, OverflowError):
        at = -1
    if not 0 <= at <= _LAST_TIME:
        raise Unprocessable("expiresAt must be null or a time such as 2030-12-31T00:00:00Z.")
    if at <= db.now_ms() and at != before:
        raise Unprocessable(say("key.past"))
    return at


def _boolean(said: dict[str, Any], what: str) -> bool:
    value = said[what]
    if not isinstance(value, bool):
        raise Unprocessable(f"{what} must be true or false.")
    return value


def _rules(said: dict[str, Any]) -> list[Rule] | None:
    """The limits that a body sets; None when it does not speak of limits."""
    weekly = _weekly(said)
    if "limits" in said:
        value = said["limits"]
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > _MOST["limits"]:
            raise Unprocessable(f"limits must be a list of at most {_MOST['limits']} rules.")
        rules = [_rule(item) for item in value]
    else:
        return weekly
    if len({rule.identity for rule in rules}) < len(rules):
        raise _payload(say("key.same"))
    return rules


def _weekly(said: dict[str, Any]) -> list[Rule] | None:
    """An older client's one number for a week, which `limits` beats."""
    value = said.get("weeklyTokenLimit")
    if value is None:
        return [] if "weeklyTokenLimit" in said else None
    return [Rule("total_tokens", "weekly", _maximum(value, "weeklyTokenLimit"))]


def _rule(value: Any) -> Rule:
    if not isinstance(value, dict):
        raise Unprocessable("Each limit must be an object.")
    model = value.get("modelFilter")
    if model is not None:
        model = _text(model, "modelFilter") or None
    return Rule(
        _choice(value, "limitType", limits.MEASURES),
        _choice(value, "limitWindow", tuple(limits.WINDOWS)),
        _maximum(value.get("maxValue"), "maxValue"),
        model,
    )


def _choice(value: dict[str, Any], what: str, choices: tuple[str, ...]) -> str:
    given = value.get(what)
    if not isinstance(given, str) or given not in choices:
        raise Unprocessable(f"{what} must be one of {', '.join(choices)}.")
    return given


def _maximum(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
        raise Unprocessable(f"{what} must be a whole number from 1 to {_LARGEST}.")
    return value


def _payload(message: str) -> BadRequest:
    return BadRequest(message, code="invalid_api_key_payload")


# ── what a key used ───────────────────────────────────────────────────────────────────────────


def _used(key: Key, since: int) -> dict[str, Any]:
    found = db.rows(
        "select count(*), sum(coalesce(input, 0) + coalesce(output, 0)), sum(cached), sum(cost), "  # noqa: S608
        # What was refused here asked no account, and used nothing.
        f"{UNPRICED} from request_log where key = ? and started_at >= ? and attempts != '[]'",
        (key.id, since),
    )
    requests, tokens, cached, cost, unpriced = found[0]
    return {
        "totalRequests": requests,
        "totalTokens": tokens or 0,
        "cachedInputTokens": cached or 0,
        "totalCostUsd": total_cost(cost, unpriced),
    }


def _trends(key: Key, now: int) -> dict[str, Any]:
    """Tokens and cost of each hour of the last seven days."""
    first = (now // _HOUR - 7 * 24 + 1) * _HOUR
    found = db.rows(
        "select started_at / ? * ?, sum(coalesce(input, 0) + coalesce(output, 0)), "  # noqa: S608
        f"sum(cost), {UNPRICED} from request_log where key = ? and started_at >= ? group by 1",
        (_HOUR, _HOUR, key.id, first),
    )
    tokens = {at: value for at, value, *_ in found}
    cost = {at: total_cost(*values) for at, _, *values in found}
    hours = range(first, now + 1, _HOUR)
    return {
        "keyId": key.id,
        "tokens": [{"t": iso(at), "v": tokens.get(at) or 0} for at in hours],
        "cost": [{"t": iso(at), "v": cost.get(at, 0.0)} for at in hours],
    }


def _own_usage(key: Key, pool: dict[str, float | None]) -> dict[str, Any]:
    used = _used(key, 0)
    return {
        "request_count": used["totalRequests"],
        "total_tokens": used["totalTokens"],
        "cached_input_tokens": used["cachedInputTokens"],
        "total_cost_usd": used["totalCostUsd"],
        "limits": [
            {
                "limit_type": limit.rule.measure,
                "limit_window": limit.rule.window,
                "max_value": limit.rule.maximum,
                "current_value": limit.used,
                "remaining_value": max(0, limit.rule.maximum - limit.used),
                "model_filter": limit.rule.model,
                "reset_at": limit.resets_at // 1000,
                "source": "api_key_limit",
            }
            for limit in key.limits
        ],
        "account_pool_usage": pool,
    }


def _pool_usage(services: Services) -> dict[str, float | None]:
    """The pool's used percent by window; None while nobody knows."""
    windows = services.pool.whole(db.now_ms())["windows"]
    used = {window["key"]: window["usedPercent"] for window in windows}
    return {"primary": used.get("primary"), "secondary": used.get("secondary")}
