"""The desktop that started this server: start at login, and whether its tray can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from server.dashboard import body, session
from server.errors import AppError, Unprocessable
from server.sentences import say, why

if TYPE_CHECKING:
    from server.app import Services

_WRONG = "validation_error"
_NO_TRAY = say("notice.noTray")


def _desktop(services: Services) -> dict[str, Any]:
    """Whether Brimline starts at login; None where the server runs without a desktop."""
    login = services.login
    return {"startAtLogin": None if login is None else login.enabled()}


def _note_tray(notices: list[str], visible: Any) -> None:
    """Say that nothing shows the tray's icon, or no longer say so."""
    if not isinstance(visible, bool):
        raise Unprocessable("visible must be true or false.")
    if _NO_TRAY in notices:
        notices.remove(_NO_TRAY)
    if not visible:
        notices.append(_NO_TRAY)


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

    @routes.put("/api/tray")
    def tray() -> Any:
        session.only_the_owner()
        _note_tray(services.notices, body.read().get("visible"))
        return jsonify({"ok": True})

    return routes
