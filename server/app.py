"""The application: services, routes, error answers and the built pages, behind the guard."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flask import Flask, Response, jsonify, redirect, request, send_from_directory
from peewee import PeeweeException
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Rule

from server import errors
from server.accounts.pool import Pool
from server.auth.guard import Caller, Guard, same_secret
from server.auth.keys import Keys, bearer
from server.auth.password import Password
from server.auth.session import Sessions, csrf_token
from server.auth.totp import Totp
from server.config import Config
from server.dashboard import (
    accounts,
    auth,
    connect,
    control,
    desktop,
    diagnostics,
    evidence,
    exports,
    files,
    importing,
    keys,
    oauth,
    overview,
    requests,
    routing,
    session,
    usage,
)
from server.dashboard import settings as settings_routes
from server.dashboard import telemetry as telemetry_routes
from server.errors import AppError
from server.ingest.gather import Gatherer
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.ingest.receiver import Receiver
from server.proxy.routes import Proxy
from server.sentences import say, told
from server.store import db, migrations, settings

log = logging.getLogger(__name__)

DEMO = say("notice.demo")
_BODY = 1 << 20  # bytes of a request; a route that takes more says so itself
_PROXY_PREFIXES = ("/v1/", "/backend-api/", "/otlp/")


class Login(Protocol):
    """The system's record of what starts when its user logs in."""

    def enabled(self) -> bool:
        """Whether Brimline does."""

    def enable(self) -> None:
        """Make it so. Raises `OSError`."""

    def disable(self) -> None:
        """Undo it. Raises `OSError`."""


@dataclass
class Services:
    """What the routes use; one of each for the life of the process."""

    config: Config
    pool: Pool
    proxy: Proxy
    ledger: Ledger
    indexer: Indexer
    facts: Gatherer
    sessions: Sessions
    keys: Keys
    password: Password
    totp: Totp
    telemetry: Receiver
    notices: list[str]
    tray_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    evidence_opened: bool = False  # the owner permitted log lines that were off from the start
    show_requests: int = 0  # a second start asks the tray to raise the window
    stop: Any = None  # set by the runtime: () -> None
    login: Login | None = None  # set by a desktop that started us

    @property
    def cookie(self) -> str:
        """The session cookie's name; cookies of one host are shared by its ports."""
        return f"brimline_session_{self.config.port}"

    def identify(self, environ: dict[str, Any]) -> Caller:
        """Who sent this request, as far as the dashboard is concerned."""
        token = bearer(environ)
        if token is not None:
            if self.config.admin_token and same_secret(token, self.config.admin_token):
                return Caller("admin")
            return Caller("tray" if same_secret(token, self.tray_token) else "anonymous")
        cookies = str(environ.get("HTTP_COOKIE") or "")
        for part in cookies.split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie:
                return self.caller(value)
        return Caller("anonymous")

    def caller(self, identity: str) -> Caller:
        """Who the session cookie `identity` belongs to."""
        found = self.sessions.find(identity, db.now_ms())
        if found is None:
            return Caller("anonymous")
        verified = found.verified or not self.second_step()
        return Caller("session", verified, found.id, csrf_token(identity))

    def locked(self) -> bool:
        """Whether `/api/*` asks who is there."""
        return bool(self.config.admin_token) or self.password.configured or not self.config.loopback

    def second_step(self) -> bool:
        """Whether the password alone is not enough."""
        required = bool(settings.get("totpRequiredOnLogin"))
        return required and self.totp.configured and self.password.configured


def services() -> Services:
    """The services of the application that is handling this request."""
    from flask import current_app

    found: Services = current_app.extensions["brimline"]
    return found


class _Rule(Rule):
    """A route whose code for making its own address is made when that is asked for.

    Nobody here asks: addresses are only matched, and the code for all took a tenth of the start.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compile_now = super()._compile_builder

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            return compile_now(append_unknown)(rule, **values)

        return build


def create_app(config: Config) -> Flask:
    """Build the application on an opened data folder. Starts no thread and opens no socket."""
    notices = db.open_databases(config.data_dir, strict=config.strict_writes)
    if os.environ.get("BRIMLINE_DEMO"):
        notices.append(DEMO)
    migrations.migrate()
    settings.load()
    pool = Pool(config)
    pool.load(notices)
    sessions = Sessions()
    sessions.load()
    client_keys = Keys()
    client_keys.load()
    password, totp = Password(), Totp()
    password.load()
    totp.load()
    ledger = Ledger()
    indexer = Indexer(config, ledger)
    built = Services(
        config=config,
        pool=pool,
        proxy=Proxy(config, pool, ledger, client_keys),
        ledger=ledger,
        indexer=indexer,
        facts=Gatherer(lambda: indexer.progress() is not None),
        sessions=sessions,
        keys=client_keys,
        password=password,
        totp=totp,
        telemetry=Receiver(config),
        notices=notices,
    )
    built.proxy.report_to(notices)
    app = Flask("brimline", static_folder=None)
    app.url_rule_class = _Rule
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = _BODY
    app.extensions["brimline"] = built
    rooms = (control, overview, accounts, requests, usage, settings_routes, session, auth, keys)
    for routes in (
        *rooms,
        connect,
        desktop,
        diagnostics,
        evidence,
        exports,
        files,
        importing,
        oauth,
        routing,
        telemetry_routes,
    ):
        app.register_blueprint(routes.blueprint(built))
    _add_error_answers(app)
    _add_pages(app, built)
    # The three hot paths skip Flask: it would cost them 0.15 ms each (docs/PERFORMANCE.md).
    app.wsgi_app = Guard(  # type: ignore[method-assign]
        built.telemetry.wsgi(built.proxy.wsgi(app.wsgi_app)),
        identify=built.identify,
        locked=built.locked,
        host=config.host,
    )
    return app


def _add_error_answers(app: Flask) -> None:
    def answer(error: AppError) -> Response:
        shape = errors.dashboard_body
        if request.path.startswith(_PROXY_PREFIXES):
            shape = errors.openai_body
        response = jsonify(shape(error))
        response.status_code = error.status
        response.headers.update(errors.headers(error))
        said = None if shape is errors.openai_body else told(error.message)
        if said is not None:
            # Beside the documented body, for pages in another language.
            response.headers["X-Brimline-Said"] = json.dumps(said)
        return response

    @app.errorhandler(AppError)
    def known(error: AppError) -> Response:
        return answer(error)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        response = answer(_as_ours(error))
        response.headers.extend(_allow(error, response.status_code))
        return response

    @app.errorhandler(sqlite3.Error)
    @app.errorhandler(PeeweeException)
    def disk(error: Exception) -> Response:
        log.warning("the data folder failed on %s %s: %s", request.method, request.path, error)
        said = "store.damaged" if db.damaged(error) else "store.unusable"
        return answer(db.StoreError(say(said)))

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        number = secrets.token_hex(4)
        log.exception("unexpected error %s on %s %s", number, request.method, request.path)
        message = f"Something went wrong inside Brimline (number {number}); its log says more."
        return answer(AppError(message))


def _as_ours(error: HTTPException) -> AppError:
    """What Flask itself refuses, in our words and with what to do."""
    status = error.code or 500
    if isinstance(error, MethodNotAllowed) and _only_a_page(error):
        status = 404
    codes = {404: "not_found", 413: "payload_too_large", 415: "unsupported_media_type"}
    said = error.description or error.name
    if status == 404:
        said = f"There is nothing at {request.path[:200]}."
    elif status == 405:
        said = f"{request.method[:20]} is not possible here. Possible: {_methods(error)}."
    elif status == 413 and request.path == "/api/accounts/import":
        said = say("file.large")
    elif status == 413:
        said = say("file.body", most=(request.max_content_length or _BODY) >> 20)
    return AppError(said, status=status, code=codes.get(status, f"http_{status}"))


def _methods(error: HTTPException) -> str:
    """What may be asked at an address, besides what every address answers."""
    known = set(getattr(error, "valid_methods", None) or ())
    return ", ".join(sorted(known - {"HEAD", "OPTIONS"}))


def _allow(error: HTTPException, status: int) -> dict[str, str]:
    # A 405 must name what is allowed (RFC 9110, 15.5.6).
    return {"Allow": _methods(error)} if status == 405 else {}


def _only_a_page(error: MethodNotAllowed) -> bool:
    """Whether nothing is there but a page of the UI, which takes any path and is only read."""
    if set(error.valid_methods or ()) - {"GET", "HEAD", "OPTIONS"} or request.path == "/":
        return False
    from flask import current_app

    rule, _ = current_app.url_map.bind("").match(request.path, method="GET", return_rule=True)
    return bool(rule.endpoint == "page")


def pages_folder() -> Path:
    """Where the built pages lie: beside the program, or inside the binary."""
    root = Path(getattr(sys, "_MEIPASS", Path(__file__).resolve().parent.parent))
    return root / "ui" / "dist"


def _is_file(folder: Path, path: str) -> bool:
    """Whether a page asks for a file of ours; a name that no disk could hold is none."""
    try:
        return bool(path) and (folder / path).is_file()
    except (OSError, ValueError):
        return False


def _add_pages(app: Flask, built: Services) -> None:
    folder = pages_folder()

    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    def page(path: str) -> Any:
        ticket = request.args.get("ticket")
        if ticket is not None:
            return _sign_in(built, ticket, "/" + path)
        if path.startswith(("api/", "v1/", "backend-api/", "otlp/")):
            raise errors.NotFound(f"There is nothing at {request.path[:200]}.")
        if path.startswith("assets/") or _is_file(folder, path):
            response = send_from_directory(folder, path, max_age=0)
            if path.startswith("assets/"):
                response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
            return response
        if not (folder / "index.html").is_file():
            message = "The pages are not built. Run `make setup`, then reload."
            return Response(message, status=503, mimetype="text/plain")
        response = send_from_directory(folder, "index.html", max_age=0)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _sign_in(built: Services, ticket: str, path: str) -> Any:
    # A redirect, so that the used ticket leaves the address bar and the history.
    response = redirect(path if not path.startswith("//") else "/", code=303)
    if built.sessions.redeem(ticket):
        session.set_cookie(built, response, built.sessions.open(db.now_ms()))
    return response
