"""/api/settings and /api/models: what can be set, and what can be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from server.dashboard import body
from server.errors import BadRequest
from server.store import settings

if TYPE_CHECKING:
    from server.app import Services


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
        raise BadRequest(
            "Set up one-time codes first, then ask for them at sign-in.",
            code="invalid_totp_config",
        )
    if said.get("apiKeyAuthEnabled") is False and not services.config.loopback:
        raise BadRequest(
            f"Brimline listens on {services.config.host}: without API keys, anyone on the network "
            "could spend your allowance. Listen on 127.0.0.1 before turning them off.",
            code="invalid_settings",
        )
