"""/api/dashboard-auth: the password, the one-time code and the open sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify, request

from server.auth import password as passwords
from server.auth.guard import Caller
from server.auth.throttle import Guesses, Try
from server.dashboard import body
from server.dashboard.session import methods, set_cookie
from server.errors import AppError, BadRequest, Conflict, TooMany, Unauthorized, Unprocessable
from server.sentences import say
from server.store import db, settings
from server.times import iso

if TYPE_CHECKING:
    from server.app import Services

_ROOT = "/api/dashboard-auth"
_KNOWN_SECONDS = 180 * 24 * 3600


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("auth", __name__)
    _add_sign_in(routes, services)
    _add_password(routes, services, Guesses())
    _add_totp(routes, services, Guesses())
    _add_sessions(routes, services)
    return routes


def _add_sign_in(routes: Blueprint, services: Services) -> None:
    @routes.get(f"{_ROOT}/session")
    def session() -> Any:
        return jsonify(_state(services, _caller()))

    @routes.post(f"{_ROOT}/logout")
    def log_out() -> Any:
        services.sessions.close(_cookie(services))
        response = jsonify({"status": "ok"})
        response.delete_cookie(services.cookie, path="/")
        return response


def _add_password(routes: Blueprint, services: Services, guesses: Guesses) -> None:
    password = services.password

    @routes.post(f"{_ROOT}/password/setup")
    def set_up() -> Any:
        wanted = passwords.checked(body.read().get("password"))
        if password.configured or not password.put(wanted, first=True):
            raise Conflict(say("door.passwordSet"), code="password_already_configured")
        # The step is new for everybody: a session from before did not know a password.
        return _signed_in(services, verified=True, others_end=True)

    @routes.post(f"{_ROOT}/password/login")
    def log_in() -> Any:
        _check(services, guesses, body.read().get("password"))
        return _signed_in(services, verified=False)

    @routes.post(f"{_ROOT}/password/change")
    def change() -> Any:
        said = body.read()
        wanted = passwords.checked(said.get("newPassword"), "newPassword")
        _check(services, guesses, said.get("currentPassword"), "currentPassword")
        password.put(wanted)
        return _others_ended(services, {"status": "ok"})

    @routes.delete(f"{_ROOT}/password")
    def remove() -> Any:
        _keep_the_network_closed(services)
        # The tray's token and the admin token prove the owner: the way back in after
        # forgetting the password.
        if _caller().kind not in ("tray", "admin") or not password.configured:
            _check(services, guesses, body.read().get("password"))
        settings.change({"totpRequiredOnLogin": False})
        services.totp.clear()
        password.clear()
        services.sessions.close_all()
        db.touch("settings")
        response = jsonify({"status": "ok"})
        response.delete_cookie(services.cookie, path="/")
        return response


def _add_totp(routes: Blueprint, services: Services, guesses: Guesses) -> None:
    totp = services.totp

    @routes.post(f"{_ROOT}/totp/setup/start")
    def start() -> Any:
        _may_set_up(services)
        offer = totp.offer(db.now_ms())
        return jsonify({"secret": offer.secret, "otpauthUri": offer.uri, "qrSvgDataUri": offer.svg})

    @routes.post(f"{_ROOT}/totp/setup/confirm")
    def confirm() -> Any:
        _may_set_up(services)
        said = body.read()
        codes = totp.confirm(_code(said, "secret"), _code(said, "code"), db.now_ms())
        db.touch("settings")
        return _others_ended(services, {"status": "ok", "recoveryCodes": codes})

    @routes.post(f"{_ROOT}/totp/verify")
    def verify() -> Any:
        if _caller().kind != "session":
            raise Unauthorized(say("door.passwordBefore"))
        _check_code(services, guesses)
        return _signed_in(services, verified=True)

    @routes.post(f"{_ROOT}/totp/disable")
    def disable() -> Any:
        _check_code(services, guesses)
        settings.change({"totpRequiredOnLogin": False})
        totp.clear()
        return _others_ended(services, {"status": "ok"})

    @routes.post(f"{_ROOT}/totp/recovery-codes")
    def renew() -> Any:
        _check_code(services, guesses)
        return jsonify({"status": "ok", "recoveryCodes": totp.new_recovery_codes()})


def _add_sessions(routes: Blueprint, services: Services) -> None:
    @routes.get(f"{_ROOT}/sessions")
    def every() -> Any:
        own = _caller().session
        return jsonify(
            {
                "sessions": [
                    {
                        "id": session.id,
                        "method": session.method,
                        "verified": session.verified,
                        "createdAt": iso(session.created_at),
                        "lastUsedAt": iso(session.used_at),
                        "expiresAt": iso(session.ends_at()),
                        "current": session.id == own,
                    }
                    for session in services.sessions.all(db.now_ms())
                ]
            }
        )

    @routes.delete(f"{_ROOT}/sessions/<identity>")
    def one(identity: str) -> Any:
        services.sessions.close_by_id(identity)
        return jsonify({"status": "ok"})

    @routes.delete(f"{_ROOT}/sessions")
    def others() -> Any:
        own = _cookie(services) if _caller().kind == "session" else ""
        return jsonify({"status": "ok", "ended": services.sessions.close_all(but=own)})


# ── answers ───────────────────────────────────────────────────────────────────────────────────


def _state(services: Services, caller: Caller) -> dict[str, Any]:
    known = caller.kind != "anonymous" or not services.locked()
    return {
        "authenticated": known and caller.verified,
        "passwordRequired": services.password.configured,
        # Said only after the password: a stranger learns nothing about the second step.
        "totpRequiredOnLogin": known and services.second_step(),
        "totpConfigured": services.totp.configured,
        "methods": methods(services),
        "csrfToken": caller.csrf or None,
    }


def _signed_in(services: Services, *, verified: bool, others_end: bool = False) -> Any:
    """A new session in place of the caller's own, at every step, so that no id outlives one."""
    before = _cookie(services)
    identity = services.sessions.open(db.now_ms(), "password", verified=verified)
    if others_end:
        services.sessions.close_all(but=identity)
    elif before:
        services.sessions.close(before)
    response = jsonify(_state(services, services.caller(identity)))
    set_cookie(services, response, identity)
    if verified or not services.second_step():
        _give_badge(services, response)
    return response


def _others_ended(services: Services, said: dict[str, Any]) -> Any:
    """End every session; one that asked gets a new id, known to have passed every step."""
    if _caller().kind != "session":
        services.sessions.close_all()
        return jsonify(said)
    identity = services.sessions.open(db.now_ms(), "password", verified=True)
    services.sessions.close_all(but=identity)
    response = jsonify({**said, "csrfToken": services.caller(identity).csrf})
    set_cookie(services, response, identity)
    _give_badge(services, response)
    return response


def _caller() -> Caller:
    caller: Caller = request.environ["brimline.caller"]
    return caller


def _cookie(services: Services) -> str:
    return request.cookies.get(services.cookie, "")


def _give_badge(services: Services, response: Any) -> None:
    """Let the browser be known from now on, so that no stranger's guesses slow it down."""
    if services.password.configured and _browser(services) is None:
        response.set_cookie(
            f"{services.cookie}-known",
            services.password.badge(),
            max_age=_KNOWN_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
            path=_ROOT,
        )


def _browser(services: Services) -> str | None:
    """The name of a browser that was let in before; None for a stranger."""
    return services.password.knows(request.cookies.get(f"{services.cookie}-known", ""))


# ── checks ────────────────────────────────────────────────────────────────────────────────────


def _check(services: Services, guesses: Guesses, given: Any, what: str = "password") -> None:
    if not isinstance(given, str):
        raise Unprocessable(f"Send the password as “{what}”.")
    attempt = guesses.claim(_browser(services))
    right = attempt.looked_at and services.password.matches(given)
    if attempt.looked_at and not services.password.configured:
        attempt.give_back()
        raise BadRequest(say("door.noPassword"), code="password_not_configured")
    if not right:
        _slow_down(attempt, "password")
        raise Unauthorized(say("door.password"), code="invalid_credentials")
    attempt.give_back()


def _slow_down(attempt: Try, what: str) -> None:
    """Raise 429 where a wrong answer is not to be told from one that was not looked at."""
    if attempt.wait:
        raise TooMany(
            say("door.codeWait" if what == "totp" else "door.passwordWait", seconds=attempt.wait),
            code=f"{what}_rate_limited",
            retry_after=attempt.wait,
        )


def _check_code(services: Services, guesses: Guesses) -> None:
    code = _code(body.read(), "code")
    if not services.totp.configured:
        raise BadRequest(say("door.noCodes"), code="invalid_totp_setup")
    attempt = guesses.claim(_browser(services))
    if not (attempt.looked_at and services.totp.verify(code, db.now_ms())):
        _slow_down(attempt, "totp")
        raise BadRequest(
            say("door.code"),
            code="invalid_totp_code",
        )
    attempt.give_back()


def _code(said: dict[str, Any], what: str) -> str:
    value = said.get(what)
    if not isinstance(value, str) or len(value) > 128:
        raise Unprocessable(f"Send the “{what}” as text.")
    return value.strip()


def _may_set_up(services: Services) -> None:
    if not services.password.configured:
        raise BadRequest(say("door.passwordFirst"), code="password_not_configured")
    if services.totp.configured:
        raise BadRequest(say("door.codesSet"), code="invalid_totp_setup")


def _keep_the_network_closed(services: Services) -> None:
    config = services.config
    if not config.loopback and not config.admin_token:
        raise AppError(
            say("door.kept", host=config.host),
            status=409,
            code="password_required",
        )
