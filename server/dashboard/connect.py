"""/api/connect: the clients of this machine, pointed at us and back again."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from server import clients, doctor
from server.clientfiles import Change, Clients, places, read_text, signed_in, target
from server.clients import Target, Wish
from server.dashboard import body
from server.errors import AppError, Conflict, Unprocessable
from server.sentences import say
from server.store import settings

if TYPE_CHECKING:
    from server.app import Services

# Two clicks at once must not both read a file before either has written it.
_writing = threading.Lock()


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("connect", __name__)

    @routes.get("/api/connect")
    def listed() -> Any:
        here, mine = _target(services), _clients(services)
        found = [_described(services, mine, here, name) for name in clients.NAMES]
        return jsonify(
            {
                "address": here.base,
                "keysRequired": here.keys,
                "keyVariable": clients.KEY_VARIABLE,
                "environment": clients.snippet("environment", here),
                "clients": found,
            }
        )

    @routes.post("/api/connect/<client>/preview")
    def previewed(client: str) -> Any:
        given = body.read(optional=True)
        mine = _clients(services)
        if _flag(given, "undo"):
            change = mine.disconnect(client)
        else:
            change = mine.connect(client, _target(services), _wish(given))
        return jsonify(_change(change))

    @routes.post("/api/connect/<client>/apply")
    def applied(client: str) -> Any:
        given = body.read(optional=True)
        with _writing:
            mine, here = _clients(services), _target(services)
            change = mine.connect(client, here, _wish(given))
            return _carried_out(services, mine, change, given, on=True)

    @routes.post("/api/connect/<client>/undo")
    def undone(client: str) -> Any:
        given = body.read(optional=True)
        with _writing:
            mine = _clients(services)
            return _carried_out(services, mine, mine.disconnect(client), given, on=False)

    return routes


def _carried_out(
    services: Services, mine: Clients, change: Change, given: dict[str, Any], *, on: bool
) -> Any:
    if os.environ.get("BRIMLINE_DEMO"):
        raise Conflict(say("connect.demo"), code="demo")
    seen = given.get("seen")
    if not (seen is None or isinstance(seen, str)):
        raise Unprocessable("“seen” must be the text that the preview gave.")
    backup = mine.apply(change, connecting=on, seen=seen)
    status = _described(services, mine, _target(services), change.client)
    written = {"written": change.changes, "backup": str(backup) if backup else None}
    return jsonify({**_change(change), **written, "status": status})


def _clients(services: Services) -> Clients:
    where = places(services.config.codex_home, os.environ)
    return Clients(services.config.data_dir, where)


def _target(services: Services) -> Target:
    keys = bool(settings.get("apiKeyAuthEnabled"))
    return target(services.config, keys, services.proxy.models())


def _described(services: Services, mine: Clients, here: Target, client: str) -> dict[str, Any]:
    look = mine.look(client, here)
    return {
        "id": client,
        "name": clients.NAMES[client],
        "path": str(look.path),
        "found": look.found,
        "connected": look.state in ("connected", "by_hand"),
        "state": look.state,
        "text": look.text,
        "undoable": look.ours,
        "snippet": _snippet(client, here),
        "problems": _problems(services, here) if client == "codex" else [],
    }


def _snippet(client: str, here: Target) -> str:
    # Beyond loopback telemetry needs the admin token, which is no page's to show.
    return clients.snippet(client, replace(here, token="…" if here.token is not None else None))


def _problems(services: Services, here: Target) -> list[dict[str, Any]]:
    """What of Codex' own files keeps requests away; the environment it starts in is not ours."""
    home = services.config.codex_home
    path = home / "config.toml"
    try:
        text = read_text(path)
    except AppError:
        return []  # the state says it
    facts = doctor.Facts(here, True, text, str(path), signed_in=signed_in(home))
    found = doctor.findings(facts)
    # That it is not connected (yet) is the state, not a fault.
    told = ("not_connected", "other_port", "elsewhere", "provider_missing", "config_broken")
    return [vars(each) for each in found if each.code not in told]


def _change(change: Change) -> dict[str, Any]:
    return {
        "client": change.client,
        "path": str(change.path),
        "changes": change.changes,
        "diff": change.diff,
        "text": change.text,
        "notes": list(change.notes),
        "seen": change.seen,
    }


def _wish(given: dict[str, Any]) -> Wish:
    style = given.get("style", "auto")
    if style not in clients.STYLES:
        raise Unprocessable(f"“style” must be one of {', '.join(clients.STYLES)}.")
    return Wish(replace=_flag(given, "replace"), style=style)


def _flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise Unprocessable(f"“{name}” must be true or false.")
    return value
