"""/api/oauth: signing in to an account, by browser, device code or a pasted address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.accounts.signin import SignIns
from server.dashboard import body
from server.errors import Unprocessable

if TYPE_CHECKING:
    from server.app import Services

_LONGEST_ID = 4096  # the provider's own, opaque to us


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("oauth", __name__)
    signs = SignIns(services.config, services.pool)

    @routes.post("/api/oauth/start")
    def start() -> Any:
        method = body.read(optional=True).get("forceMethod")
        if method not in (None, "browser", "device"):
            raise Unprocessable("forceMethod must be browser, device or null.")
        return jsonify(signs.start(method))

    @routes.get("/api/oauth/status")
    def status() -> Any:
        return jsonify(signs.status(request.args.get("flowId")))

    @routes.post("/api/oauth/complete")
    def complete() -> Any:
        given = body.read(optional=True)
        body.text(given, "userCode")  # older clients send it along; the device's id says enough
        device, wanted = body.text(given, "deviceAuthId", _LONGEST_ID), body.text(given, "flowId")
        return jsonify(signs.complete(device, wanted))

    @routes.post("/api/oauth/manual-callback")
    def pasted() -> Any:
        given = body.read()
        address, wanted = given.get("callbackUrl"), body.text(given, "flowId")
        if not isinstance(address, str):
            raise Unprocessable("callbackUrl must be the address as text.")
        return jsonify(signs.pasted(address, wanted))

    return routes
