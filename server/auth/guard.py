"""The outermost gate: which hosts, origins and callers may reach any route at all.

One WSGI layer in front of everything, static files and unknown paths included, because a
check that each route must remember is a check that one route forgets. Rules: OWASP ASVS 5
(3.4.3, 3.5.1) and Go 1.25's CrossOriginProtection, tightened to reads as well.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from server import errors
from server.errors import AppError, Forbidden, Unauthorized

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "object-src 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = [
    ("Content-Security-Policy", CSP),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
]
_OWN_NAMES = ("127.0.0.1", "localhost", "::1")
_PROXY_PREFIXES = ("/v1/", "/backend-api/", "/otlp/")
# Signing in and out: each of these checks for itself what it is given.
_OPEN = frozenset(
    {
        "/api/health",
        "/api/session",
        "/api/dashboard-auth/session",
        "/api/dashboard-auth/password/login",
        "/api/dashboard-auth/totp/verify",
        "/api/dashboard-auth/logout",
    }
)
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

StartResponse = Callable[..., Any]
WSGI = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


@dataclass(frozen=True)
class Caller:
    """Who a request says it is, once believed."""

    kind: str  # anonymous admin tray session
    verified: bool = True  # False: a one-time code is still owed
    session: str = ""  # the session's id, as lists show it
    csrf: str = ""  # what unsafe requests of this session must repeat


def split_host(value: str) -> tuple[str, int | None] | None:
    """`name[:port]` of a Host header in lower case; None when it is not one.

    IPv6 comes in brackets; a trailing dot is dropped. Nothing is matched by prefix, because
    `127.0.0.1.evil.example` is a name anyone can register.
    """
    text = value.strip().lower()
    if text.startswith("["):
        name, closed, rest = text[1:].partition("]")
        if not closed or not _is_ip(name):
            return None
    else:
        name, _, port = text.partition(":")
        rest = f":{port}" if ":" in text else ""
        name = name.removesuffix(".")
    if rest and not (rest[0] == ":" and rest[1:].isascii() and rest[1:].isdigit()):
        return None
    if not name or any(c in name for c in "/\\@?# \t,"):
        return None
    return name, int(rest[1:]) if rest else None


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def allowed_host(header: str | None, port: int, names: Container[str]) -> bool:
    """Whether a Host header names this server: an allowed name and our own port."""
    parsed = split_host(header or "")
    if parsed is None:
        return False
    name, given = parsed
    return name in names and (given == port if given is not None else port in (80, 443))


def allowed_origin(
    site: str | None, mode: str | None, origin: str | None, port: int, names: Container[str]
) -> bool:
    """Whether a browser sent this from our own page, or no browser sent it at all.

    `site` and `mode` are Sec-Fetch-Site and -Mode. Browsers always send them to loopback;
    `same-site` is foreign, since every port of localhost is the same site. A navigation the
    user typed (`none`) may open a page.
    """
    if site is not None and not (
        site == "same-origin" or (site == "none" and mode in ("navigate", None))
    ):
        return False
    if origin is None:
        return True
    scheme, separator, host = origin.partition("://")
    if not separator or scheme not in ("http", "https"):
        return False  # includes "null"
    return allowed_host(host, port, names)


class Names:
    """The host names that are ours: loopback, and what we listen on beyond it.

    On every interface, any address written as a number is one that reached us: rebinding
    needs a name, and a page of another address is refused by its origin.
    """

    def __init__(self, host: str) -> None:
        self._known = frozenset(_OWN_NAMES) | {host.lower()}
        self._any_address = host in ("0.0.0.0", "::", "")  # noqa: S104

    def __contains__(self, name: object) -> bool:
        return name in self._known or (self._any_address and _is_ip(str(name)))


class Guard:
    """Refuse foreign hosts and pages, name the caller, and add the security headers.

    `environ["brimline.caller"]` holds the `Caller` for the routes behind it.
    """

    def __init__(
        self,
        app: WSGI,
        *,
        identify: Callable[[dict[str, Any]], Caller],
        locked: Callable[[], bool],
        host: str = "127.0.0.1",
    ) -> None:
        self.app = app
        self.identify = identify
        self.locked = locked
        self.names = Names(host)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, or answer the refusal in the route's own error shape."""
        path = str(environ.get("PATH_INFO") or "/")

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            have = {name.lower() for name, _ in headers}
            extra = [(k, v) for k, v in SECURITY_HEADERS if k.lower() not in have]
            if path.startswith("/api/") and "cache-control" not in have:
                extra.append(("Cache-Control", "no-store"))
            return start_response(status, headers + extra, exc_info)

        try:
            self._check(environ, path)
        except AppError as error:
            return _refuse(error, path, start)
        return self.app(environ, start)

    def _check(self, environ: dict[str, Any], path: str) -> None:
        port = int(environ.get("SERVER_PORT") or 0)
        if not allowed_host(environ.get("HTTP_HOST"), port, self.names):
            raise Forbidden(
                "This server answers only to its own address on this computer.",
                code="host_not_allowed",
                status=421,
            )
        if not allowed_origin(
            environ.get("HTTP_SEC_FETCH_SITE"),
            environ.get("HTTP_SEC_FETCH_MODE"),
            environ.get("HTTP_ORIGIN"),
            port,
            self.names,
        ):
            raise Forbidden("Another site may not use this server.", code="origin_not_allowed")
        if "websocket" in str(environ.get("HTTP_UPGRADE") or "").lower():
            # Codex falls back to HTTP at once on 426 only; any other answer costs it seconds
            # or is fatal, and waitress cannot upgrade (docs/adr/0002).
            raise AppError("Use HTTP streaming.", code="upgrade_required", status=426)
        caller = self.identify(environ)
        environ["brimline.caller"] = caller
        if private(path):
            self._check_caller(environ, caller)

    def _check_caller(self, environ: dict[str, Any], caller: Caller) -> None:
        if caller.kind == "anonymous" and self.locked():
            raise Unauthorized("Sign in first, or send the admin token as a bearer token.")
        if not caller.verified:
            raise Unauthorized(
                "Send the one-time code of your authenticator first.", code="totp_required"
            )
        if caller.kind == "session" and not _meant(environ, caller):
            raise Forbidden(
                "Repeat the session's csrfToken in the header X-CSRF-Token (GET /api/session "
                "gives it), or send the admin token as a bearer token.",
                code="csrf_token_required",
            )


def private(path: str) -> bool:
    """Whether a path is the dashboard's own, so that a locked dashboard asks who is there."""
    path = path.rstrip("/")
    # `/api/codex/usage` is a client's route: it checks the client's own token.
    if path == "/recalc":  # an older dashboard's name for one of the usage pages' routes
        return True
    return path.startswith("/api/") and path not in _OPEN and not path.startswith("/api/codex/")


def _meant(environ: dict[str, Any], caller: Caller) -> bool:
    """Whether a session's own page sent this, and not a page that rides on its cookie.

    `Sec-Fetch-Site: same-origin` says the same as the token: browsers write that header
    themselves and no script can (docs/SECURITY.md).
    """
    if environ.get("REQUEST_METHOD") in _SAFE_METHODS:
        return True
    if environ.get("HTTP_SEC_FETCH_SITE") == "same-origin":
        return True
    return same_secret(str(environ.get("HTTP_X_CSRF_TOKEN") or ""), caller.csrf)


def same_secret(given: str, expected: str) -> bool:
    """Compare in constant time, whatever characters were given."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def unread(status: int, path: str) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body for a request that was no HTTP, or larger than one may be.

    `path` is what could be read of it, which may be nothing.
    """
    code, message = _UNREAD.get(status, (f"http_{status}", _NOT_SERVED))
    headers, body = _answer(AppError(message, code=code, status=status), path)
    return [*headers, *SECURITY_HEADERS, ("Cache-Control", "no-store")], body


_NOT_SERVED = "Brimline could not serve this request. Send it again; Brimline's log may say more."
_UNREAD = {
    400: (
        "invalid_request_error",
        "This is no valid HTTP request: its first line, a header, or how the length of its body "
        "is given. Send it with an ordinary HTTP client.",
    ),
    413: ("payload_too_large", "A request's body may have 128 MB here. Send less."),
    431: (
        "headers_too_large",
        "A request's headers may have 64 KB here. Send fewer or shorter ones.",
    ),
    501: (
        "not_implemented",
        "A body may come with Transfer-Encoding: chunked, or with a Content-Length; in no other "
        "encoding.",
    ),
}


def _answer(error: AppError, path: str) -> tuple[list[tuple[str, str]], bytes]:
    shape = errors.openai_body if path.startswith(_PROXY_PREFIXES) else errors.dashboard_body
    body = json.dumps(shape(error)).encode()
    return [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body


def _refuse(error: AppError, path: str, start: StartResponse) -> Iterable[bytes]:
    headers, body = _answer(error, path)
    reasons = {401: "Unauthorized", 403: "Forbidden", 421: "Misdirected Request"}
    start(f"{error.status} {reasons.get(error.status, 'Upgrade Required')}", headers)
    return [body]
