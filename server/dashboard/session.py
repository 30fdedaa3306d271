"""/api/session: who is signed in to the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.auth.guard import Caller, same_secret
from server.auth.throttle import Throttle
from server.dashboard import body
from server.errors import Forbidden, TooMany, Unauthorized, Unprocessable
from server.sentences import say
from server.store import db

if TYPE_CHECKING:
    from server.app import Services


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("session", __name__)
    throttle = Throttle(5, 36.0)

    @routes.get("/api/session")
    def session() -> Any:
        return jsonify(_state(services, request.environ["brimline.caller"]))

    @routes.post("/api/session")
    def sign_in() -> Any:
        _check(services, throttle, body.read().get("token"))
        services.sessions.close(request.cookies.get(services.cookie, ""))
        identity = services.sessions.open(db.now_ms(), "token")
        response = jsonify(_state(services, services.caller(identity)))
        set_cookie(services, response, identity)
        return response

    @routes.delete("/api/session")
    def sign_out() -> Any:
        services.sessions.close(request.cookies.get(services.cookie, ""))
        response = jsonify(_state(services, Caller("anonymous")))
        response.delete_cookie(services.cookie, path="/")
        return response

    @routes.post("/api/session/ticket")
    def ticket() -> Any:
        only_the_owner()
        return jsonify({"ticket": services.sessions.ticket()})

    return routes


def only_the_owner() -> None:
    """Raise `Forbidden` unless the tray's or the admin's token came with the request."""
    if request.environ["brimline.caller"].kind not in ("tray", "admin"):
        raise Forbidden("This needs the tray's token or the admin token.")


def set_cookie(services: Services, response: Any, value: str) -> None:
    """Put the session cookie on a response: strict, unseen by scripts, named by our port."""
    response.set_cookie(
        services.cookie,
        value,
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
        path="/",
    )


def methods(services: Services) -> list[str]:
    """The ways in that this server knows: `password`, `token`."""
    known = {"password": services.password.configured, "token": bool(services.config.admin_token)}
    return [name for name, usable in known.items() if usable]


def _state(services: Services, caller: Caller) -> dict[str, Any]:
    known = caller.kind != "anonymous" or not services.locked()
    return {
        "authenticated": known and caller.verified,
        "required": services.locked(),
        "methods": methods(services),
        "totpRequired": known and not caller.verified,
        "csrfToken": caller.csrf or None,
    }


def _check(services: Services, throttle: Throttle, token: Any) -> None:
    if not isinstance(token, str):
        raise Unprocessable("Send the admin token as “token”.")
    expected = services.config.admin_token
    if expected and same_secret(token, expected):
        # Nobody guesses so many random characters at any speed: the right one never waits.
        return
    wait = throttle.take()
    if wait:
        raise TooMany(
            say("door.tokenWait", seconds=wait),
            code="password_rate_limited",
            retry_after=wait,
        )
    raise Unauthorized(say("door.token"), code="invalid_credentials")
