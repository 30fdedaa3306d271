"""/api/import/codex-lb: bring over the accounts, keys and settings of a codex-lb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from server.accounts import codexlb
from server.accounts.allowance import DEACTIVATED, SIGN_IN_NEEDED
from server.accounts.oauth import SignIn
from server.accounts.pool import POLICIES
from server.auth import limits
from server.auth.keys import Key
from server.dashboard import body
from server.errors import AppError, Unprocessable
from server.store import db, settings

if TYPE_CHECKING:
    from server.app import Services

_NOTE = (
    "Do not start codex-lb again with these accounts: a refresh token works once, so the two "
    "programs would sign each other out. The dashboard's password, one-time codes and the "
    "request history stay there; codex-lb's files were not changed."
)
_LONGEST = 4096


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("importing", __name__)

    @routes.post("/api/import/codex-lb")
    def bring() -> Any:
        given = body.read()
        folder, key_file = _path(given, "folder"), _path(given, "keyFile")
        if folder is None:
            raise Unprocessable("folder must be the data folder of codex-lb, such as ~/.codex-lb.")
        return jsonify(bring_over(services, codexlb.read(folder, key_file)))

    return routes


def bring_over(services: Services, found: codexlb.Found) -> dict[str, Any]:
    """Take over what was found; what cannot be taken is said and stops nothing else.

    What is here already is left as it is (`known`); only settings that differ are changed.
    """
    accounts, ids = [], {}
    for account in found.accounts:
        row = _account(services, account)
        accounts.append(row)
        if row["accountId"] is not None:
            ids[account.id] = row["accountId"]
    keys = [_key(services, key, ids) for key in found.keys]
    chosen, left = _settings(found.settings, ids)
    return {
        "accounts": accounts,
        "keys": keys,
        "settings": chosen,
        "settingsLeft": left,
        "note": _NOTE,
    }


def _account(services: Services, found: codexlb.Account) -> dict[str, Any]:
    row = {
        "email": found.email,
        "accountId": None,
        "status": None,
        "problem": found.problem,
        "known": False,
    }
    if found.sign_in is None:
        return row
    pool = services.pool
    try:
        known = _works_here(services, found.sign_in)
        if known is not None:
            return {
                **row,
                "accountId": known["accountId"],
                "status": known["status"],
                "known": True,
            }
        account = pool.sign_in(found.sign_in).id
        if found.alias:
            pool.rename(account, found.alias)
        policy = found.policy if found.policy in POLICIES else None
        pool.tune(account, priority=found.priority, policy=policy)
        if found.paused:
            pool.pause(account)
    except AppError as error:
        return {**row, "problem": error.message}
    return {**row, "accountId": account, "status": pool.summary(account, db.now_ms())["status"]}


def _works_here(services: Services, found: SignIn) -> dict[str, Any] | None:
    """The account of these tokens, when it is here and its own sign-in works.

    Since the folder was read first, that sign-in has been renewed: the folder's refresh token
    may be used up, and taking it again would sign the account out.
    """
    account = services.pool.known(found)
    if account is None:
        return None
    shown = services.pool.summary(account, db.now_ms())
    return None if shown["status"] in (SIGN_IN_NEEDED, DEACTIVATED) else shown


def _key(services: Services, found: codexlb.ApiKey, ids: dict[str, str]) -> dict[str, Any]:
    row = {"name": found.name, "keyPrefix": found.prefix, "problem": None, "known": False}
    now = db.now_ms()
    rules = [_limit(limit, now) for limit in found.limits]
    missing = [name for name in found.accounts or () if name not in ids]
    key = Key(
        id=found.id,
        name=found.name[:128],
        prefix=found.prefix[:32],
        digest=found.digest,
        # A key that loses an account must not silently get all of them.
        active=found.active and (found.accounts is None or len(missing) < len(found.accounts)),
        models=found.models,
        accounts=None
        if found.accounts is None
        else tuple(ids[n] for n in found.accounts if n in ids),
        expires_at=found.expires_at,
        used_at=found.used_at,
        created_at=found.created_at or now,
        limits=tuple(rule for rule in rules if rule is not None),
    )
    if not services.keys.adopt(key):
        return {**row, "known": True}
    if None in rules:
        row["problem"] = "One of its limits is of a kind that does not exist here."
    if missing:
        row["problem"] = "Some of its accounts were not brought over."
    return row


def _limit(found: codexlb.Limit, now: int) -> limits.Limit | None:
    if found.measure not in limits.MEASURES or found.window not in limits.WINDOWS:
        return None
    rule = limits.Rule(found.measure, found.window, found.maximum, found.model)
    begun = limits.begun(rule, now)
    if found.resets_at is None or not now < found.resets_at <= begun.resets_at:
        return begun
    return limits.Limit(rule, found.resets_at, found.used)


def _settings(found: dict[str, Any], ids: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    wanted, before = dict(found), settings.everything()
    left = []
    if "singleAccountId" in wanted:
        wanted["singleAccountId"] = ids.get(wanted["singleAccountId"])
    if wanted.get("routingStrategy", settings.STRATEGIES[0]) not in settings.STRATEGIES:
        left.append(f"routingStrategy {wanted.pop('routingStrategy')}")
    wanted = {key: value for key, value in wanted.items() if value != before.get(key)}
    settings.change(wanted)
    return wanted, left


def _path(given: dict[str, Any], name: str) -> Path | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        raise Unprocessable(f"{name} must be a path.")
    try:
        return Path(value.encode("utf-8").decode("utf-8")).expanduser()
    except (RuntimeError, UnicodeError) as error:
        raise Unprocessable(f"{name} must be a path that exists here.") from error
