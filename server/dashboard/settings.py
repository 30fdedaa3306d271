"""/api/settings and /api/models: what can be set, and what can be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from server.dashboard import body
from server.store import settings

if TYPE_CHECKING:
    from server.app import Services


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("settings", __name__)

    @routes.get("/api/settings")
    def read() -> Any:
        return jsonify(_with_derived(settings.everything()))

    @routes.put("/api/settings")
    def write() -> Any:
        return jsonify(_with_derived(settings.change(body.read())))

    @routes.get("/api/models")
    def models() -> Any:
        return jsonify({"models": services.proxy.models()})

    return routes


def _with_derived(values: dict[str, Any]) -> dict[str, Any]:
    # Read-only: clients send them back in a round trip, and `change` ignores them.
    return {**values, "totpConfigured": False, "passwordConfigured": False}
