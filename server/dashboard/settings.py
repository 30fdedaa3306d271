"""/api/settings and /api/models: what can be set, and what can be asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from server import words
from server.dashboard import body
from server.dashboard.telemetry import refuse_own
from server.errors import BadRequest, Unprocessable
from server.sentences import say
from server.store import db, settings

if TYPE_CHECKING:
    from server.app import Services

_FOLLOWS = ("pool", "serving", "worst")
# Lone surrogates too: JSON can carry them, and neither SQLite nor a page takes them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("settings", __name__)

    @routes.get("/api/settings")
    def read() -> Any:
        return jsonify(_with_derived(services, settings.everything()))

    @routes.put("/api/settings")
    def write() -> Any:
        said = body.read()
        _check_safe(services, said)
        _check_names(said)
        return jsonify(_with_derived(services, settings.change(said)))

    @routes.get("/api/models")
    def models() -> Any:
        return jsonify({"models": services.proxy.models()})

    return routes


def _with_derived(services: Services, values: dict[str, Any]) -> dict[str, Any]:
    # Read-only: clients send them back in a round trip, and `change` ignores them.
    return {
        **values,
        "totpConfigured": services.totp.configured,
        "passwordConfigured": services.password.configured,
    }


def _check_safe(services: Services, said: dict[str, Any]) -> None:
    """Refuse what would lock the owner out or leave the proxy open to a network."""
    if said.get("totpRequiredOnLogin") is True and not services.totp.configured:
        raise BadRequest(say("settings.codesFirst"), code="invalid_totp_config")
    if said.get("apiKeyAuthEnabled") is False and not services.config.loopback:
        raise BadRequest(
            say("settings.keysNeeded", host=services.config.host),
            code="invalid_settings",
        )


def _check_names(said: dict[str, Any]) -> None:
    """Refuse a text that names nothing there is, or that no page could show.

    What is stored already passes: a page sends all settings back, and an account that one of
    them names may have been removed meanwhile.
    """
    known = settings.everything()
    for key, value in said.items():
        if key in known and isinstance(value, str) and value != known[key]:
            _check_name(key, value)


def _check_name(key: str, value: str) -> None:
    if key == "timeZone":
        return  # zones have a check of their own, whose sentence says what one looks like
    if key == "telemetryRelayUrl":
        refuse_own(value.strip())
    if _CONTROL.search(value):
        raise Unprocessable(f"{key} must be text without control characters.")
    if key == "language" and value not in ("", *words.languages()):
        codes = ", ".join(words.languages())
        raise Unprocessable(f"language must be one of {codes}, or empty to follow the system.")
    if key == "singleAccountId" and not _is_account(value):
        raise Unprocessable("singleAccountId must be the id of an account that is here, or null.")
    if key == "trayFollows" and value not in _FOLLOWS and not _is_account(value):
        known = ", ".join(_FOLLOWS)
        raise Unprocessable(f"trayFollows must be {known} or the id of an account that is here.")


def _is_account(value: str) -> bool:
    return bool(db.rows("select 1 from account where id = ?", (value,)))
