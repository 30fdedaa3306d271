"""What a page may change about the desktop that started this server: start at login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from server.dashboard import body
from server.errors import AppError
from server.sentences import say, why

if TYPE_CHECKING:
    from server.app import Services

_WRONG = "validation_error"


def _desktop(services: Services) -> dict[str, Any]:
    """Whether Brimline starts at login; None where the server runs without a desktop."""
    login = services.login
    return {"startAtLogin": None if login is None else login.enabled()}


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("desktop", __name__)

    @routes.get("/api/desktop")
    def desktop() -> Any:
        return jsonify(_desktop(services))

    @routes.put("/api/desktop")
    def change_desktop() -> Any:
        wanted = body.read().get("startAtLogin")
        if not isinstance(wanted, bool):
            raise AppError("startAtLogin must be true or false.", status=422, code=_WRONG)
        login = services.login
        if login is None:
            raise AppError(say("desktop.noLogin"), status=409, code="conflict")
        try:
            (login.enable if wanted else login.disable)()
        except OSError as error:
            said = say("desktop.failed", why=why(error))
            raise AppError(said, status=409, code="conflict") from error
        return jsonify(_desktop(services))

    return routes
