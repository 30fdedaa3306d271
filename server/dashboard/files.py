"""The user's own files (thresholds, projects, prices, copied allowance), and parser warnings."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from server import words
from server.accounts import allowance
from server.accounts.allowance import Window
from server.dashboard import body, filters, query
from server.errors import AppError, NotFound, Unprocessable
from server.ingest import reprice, scan
from server.sentences import say, told
from server.store import db
from server.times import iso, parse
from server.usage import (
    allowance_copy,
    ownchecks,
    ownfiles,
    ownprices,
    pricing,
    projects,
    tables,
    thresholds,
)
from server.usage.days import chosen

if TYPE_CHECKING:
    from server.app import Services

_HOUR = 3_600_000
# How Codex and Claude Code name logs: by time and session alone.
_USUAL = re.compile(
    r"(rollout-[0-9T-]{19}-|agent-)?[0-9a-f]{6,}(-[0-9a-f]{4,}){0,4}(\.jsonl)?(\.zst)?"
)
TEMPLATES: dict[str, dict[str, Any]] = {
    "thresholds": dict(thresholds.DEFAULTS),
    "projects": {"aliases": {}, "ignored_paths": [], "tags": {}},
    "allowance": {
        "schema": "codex-usage-tracker-allowance-v1",
        "windows": [
            {"key": key, "label": label, "remaining_percent": None, "reset_at": None,
             "captured_at": None}
            for key, label in (("five_hour", "5h"), ("weekly", "Weekly"))
        ],
        "credit_rates": {},
        "aliases": {},
    },
    "pricing": {
        "_schema": "codex-usage-tracker-pricing-v1",
        "_example": {
            "a-model": {"input_per_million": 1.25, "cached_input_per_million": 0.125,
                        "output_per_million": 10.0},
        },
        "models": {},
        "aliases": {},
    },
}  # fmt: skip


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("files", __name__)

    _add_files(routes)
    _add_prices(routes)

    @routes.get("/api/allowance")
    def allowances() -> Any:
        now = db.now_ms()
        return filters.answer({"observed": _observed(services, now), "copied": _kept(now)})

    @routes.get("/api/ledger/warnings")
    def warnings() -> Any:
        return filters.answer(parser_warnings())

    return routes


def _add_files(routes: Blueprint) -> None:
    @routes.get("/api/words")
    def spoken() -> Any:
        language = query.choice("lang", "en", tuple(words.languages()))
        way = "rtl" if language in words.RIGHT_TO_LEFT else "ltr"
        found = words.catalogue(language)
        return jsonify({"language": language, "direction": way, "words": found})

    @routes.get("/api/usage/files")
    def overview() -> Any:
        return filters.answer({name: _about(name) for name in (*TEMPLATES, "rate-card")})

    @routes.post("/api/usage/files/<name>")
    def template(name: str) -> Any:
        if name not in TEMPLATES:
            raise NotFound(f"There is no such file. Choose one of: {', '.join(TEMPLATES)}.")
        force = body.read(optional=True).get("force", False)
        if not isinstance(force, bool):
            raise Unprocessable("“force” must be true or false.")
        place = ownfiles.write(f"{name}.json", TEMPLATES[name], force=force)
        return jsonify({"path": str(place)})

    @routes.post("/api/allowance/parse")
    def copied() -> Any:
        return jsonify({"windows": _copied(body.read())})


def _add_prices(routes: Blueprint) -> None:
    @routes.post("/api/pricing/update")
    def prices() -> Any:
        return jsonify(_new_prices(body.read()))

    @routes.post("/api/pricing/pin")
    def pinned() -> Any:
        return jsonify(_pinned(body.read(optional=True)))


def _about(name: str) -> dict[str, Any]:
    file = f"{name}.json"
    try:
        given = ownfiles.read(file)
    except AppError:
        given = {}
    wrong = ownchecks.problems(file)
    found: dict[str, Any] = {
        "path": str(ownfiles.path(file)),
        "configured": ownfiles.stamp(file) is not None,
        "error": ownfiles.error(file),
        "problems": [{"text": text, "said": told(text)} for text in wrong],
    }
    if name == "thresholds":
        found["values"] = thresholds.merged(given)
    elif name == "projects":
        found["aliases"] = projects.listed_aliases(given)
        found["tags"] = given.get("tags") if isinstance(given.get("tags"), dict) else {}
        paths = given.get("ignored_paths")
        found["ignoredPaths"] = paths if isinstance(paths, list) else []
    elif name == "allowance":
        found["windows"] = allowance_copy.listed(given)
    else:
        models = given.get("models")
        found["models"] = len(models) if isinstance(models, dict) else 0
        stamped = given.get("_source")
        found["source"] = stamped if isinstance(stamped, dict) else None
        shipped = "prices.json" if name == "pricing" else "credit_rates.json"
        found["shipped"] = tables.read(shipped)["sources"]
    return found


def _new_prices(given: dict[str, Any]) -> dict[str, Any]:
    """Store prices, or a rate card in credits, and price every call of those models anew."""
    text, tier = given.get("text"), given.get("tier", "standard")
    card, source = given.get("rateCard", False), body.text(given, "source")
    shipped = text is None and card is True
    if not (isinstance(text, str) or shipped) or tier not in ownprices.TIERS:
        raise Unprocessable("Send the file's “text”, and a “tier” if it is not standard.")
    if not isinstance(card, bool):
        raise Unprocessable("“rateCard” must be true or false.")
    # Without a text, a copy of the rate card that Brimline brings along.
    fresh = (
        tables.read("credit_rates.json") if shipped else ownprices.read(str(text), tier, card=card)
    )
    fresh = _wished(fresh, given.get("estimates", True))
    source = source or ("the rate card of this version" if shipped else None)
    name = "rate-card.json" if card else "pricing.json"
    try:
        before = ownfiles.read(name)
    except AppError:
        before = {}
    aliases = {**(before.get("aliases") or {}), **(fresh.get("aliases") or {})}
    stamped = {"name": source or "a file", "fetched_at": iso(db.now_ms())}
    fresh = ownprices.told(fresh, card=card)
    place = ownfiles.write(name, {"_source": stamped, **fresh, "aliases": aliases})
    reprice.keep()
    return {"path": str(place), "models": len(fresh["models"]), "source": stamped}


def _wished(fresh: dict[str, Any], estimates: Any) -> dict[str, Any]:
    """New prices with the estimates among them, or without."""
    if not isinstance(estimates, bool):
        raise Unprocessable("“estimates” must be true or false.")
    kept = fresh if estimates else ownprices.sure(fresh)
    if not kept.get("models", kept):
        raise Unprocessable("Every price of this file is an estimate. Take it with its estimates.")
    return kept


def _pinned(given: dict[str, Any]) -> dict[str, Any]:
    """All prices that hold, or those of a file that is sent, as a file to keep."""
    now, text = iso(db.now_ms()) or "", body.text(given, "text")
    if text is not None:
        return ownprices.pinned(ownprices.read(text), body.text(given, "source") or "a file", now)
    try:
        own = ownfiles.read("pricing.json")
    except AppError:
        own = {}
    stamp = own.get("_source")
    names = [str(stamp["name"])] if isinstance(stamp, dict) and stamp.get("name") else []
    if not names and own.get("models"):
        names = ["pricing.json"]
    names += [f"{one['name']}, {one['checked']}" for one in tables.read("prices.json")["sources"]]
    return ownprices.pinned(pricing.table(), "; ".join(names), now)


def _copied(given: dict[str, Any]) -> list[dict[str, Any]]:
    text, save = given.get("text"), given.get("save", False)
    if not isinstance(text, str) or not isinstance(save, bool):
        raise Unprocessable("Send the copied text as “text”, and “save” as true or false.")
    windows = allowance_copy.parse(text)
    if not windows:
        raise Unprocessable(say("copied.none"), code="nothing_found")
    if save:
        before = ownfiles.read("allowance.json") or TEMPLATES["allowance"]
        fresh = allowance_copy.stored(windows, iso(db.now_ms()))
        kept = allowance_copy.merged(before.get("windows"), fresh)
        ownfiles.write("allowance.json", {**before, "windows": kept})
    return windows


def _kept(now: int) -> list[dict[str, Any]]:
    try:
        windows = allowance_copy.listed(ownfiles.read("allowance.json"))
    except AppError:
        return []
    for one in windows:
        try:
            one["ageMs"] = max(0, now - parse(one["capturedAt"]))
        except (TypeError, ValueError):
            one["ageMs"] = None
    return windows


def _observed(services: Services, now: int) -> list[dict[str, Any]]:
    found = []
    for account in services.pool.candidates():
        found += [_window(one, now, "account", account.id) for one in account.windows]
    latest = db.rows(
        "select window, used_percent, window_minutes, resets_at, max(observed_at) from snapshot "
        "where account = '' group by window order by window"
    )
    return found + [_window(Window(*values), now, "log", None) for values in _logged(latest)]


def _logged(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(key, used, minutes, resets, at) for key, used, minutes, resets, at in rows]


def _window(window: Window, now: int, source: str, account: str | None) -> dict[str, Any]:
    remaining = allowance.remaining(window, now)
    pace = allowance.pace(window, now)
    tomorrow = date.fromisoformat(chosen().of(now)) + timedelta(days=1)
    until = {"hour": now + _HOUR, "today": chosen().start(tomorrow)}
    reset = window.resets_at is not None and now >= window.resets_at
    left: float | None = remaining
    used: float | None = window.used_percent
    if reset:
        # What was seen holds no more. An account is asked again at once; a log tells what was used
        # since only with the next call.
        left, used = (remaining, 100 - remaining) if source == "account" else (None, None)
    return {
        "key": window.key,
        "name": allowance.name(window.key, window.minutes),
        "longName": allowance.name(window.key, window.minutes, long=True),
        "source": source,
        "accountId": account,
        "usedPercent": used,
        "remainingPercent": left,
        "level": None if left is None else allowance.level(left),
        "windowMinutes": window.minutes,
        "resetAt": iso(window.resets_at),
        "observedAt": iso(window.observed_at),
        "ageMs": max(0, now - window.observed_at),
        "runsOutAt": iso(pace.runs_out_at) if pace else None,
        "leftOnPace": {
            name: None
            if reset
            else allowance_copy.left_on_pace(remaining, window.resets_at, window.minutes, at)
            for name, at in until.items()
        },
    }


def _named(name: str) -> str:
    """A log's name as the privacy mode allows: Claude's begins with its project's folder, and what
    no client has named may be called anything.
    """
    mode = filters.privacy()
    own = name.rpartition("/")[2]
    return own if mode.hides and _USUAL.fullmatch(own) else str(mode.shown({"path": name})["path"])


def parser_warnings() -> dict[str, Any]:
    """What the logs held that could not be used, by file and by kind."""
    files, kinds = [], dict[str, int]()
    for name, provider, text in db.rows(
        "select name, provider, warnings from source_file where warnings != '{}' order by name"
    ):
        said = json.loads(text)
        files.append({"name": _named(name), "provider": provider, "warnings": said})
        for kind, count in said.items():
            kinds[kind] = kinds.get(kind, 0) + count
    return {"files": files[:1000], "kinds": kinds, **scan.quality()}
