"""Health, what changed, and the tray's own routes."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from server import __version__
from server.config import NAME, shown
from server.dashboard import exports, session
from server.ingest import files
from server.sentences import told
from server.store import db, settings
from server.times import iso
from server.usage.days import chosen
from server.usage.privacy import Privacy

if TYPE_CHECKING:
    from server.app import Services

_READING = ("GET", "HEAD", "OPTIONS")


_USUAL = "~/.codex"


def _home(services: Services) -> str:
    """The folder whose logs are read, as the privacy mode shows it; the usual one tells nothing."""
    home = shown(services.config.codex_home)
    if home == _USUAL:
        return home
    return str(Privacy(str(settings.get("privacyMode"))).shown({"codexHome": home})["codexHome"])


def _health(services: Services) -> Response:
    ends = services.proxy.draining
    answer = jsonify(
        {
            "name": NAME,
            "version": __version__,
            "pid": os.getpid(),
            "startedAt": iso(db.revisions()["started"]),
            **_recalc_service(services),
            "status": "draining" if ends else "ok",
            "ok": not ends,
        }
    )
    if ends:
        # Whoever spreads work by this answer sends no more, as we would refuse it.
        answer.status_code, answer.headers["Retry-After"] = 503, "2"
    return answer


def _recalc_service(services: Services) -> dict[str, Any]:
    """What the recalc service that Brimline replaces said, for its users' scripts.

    Folders are told only to who may see the pages.
    """
    caller = request.environ.get("brimline.caller")
    known = (caller is not None and caller.kind != "anonymous") or not services.locked()
    roots = files.sessions_root(services.config), *files.projects_roots(services.config)
    codex, *claude = map(os.path.isdir, roots)
    named = exports.sources(services) if known else dict.fromkeys(exports.SOURCES)
    return {
        "service": "codex_usage_recalc",
        "dashboard": request.host_url,
        "sessions_root": named["codex_sessions_root"],
        "claude_projects_root": named["claude_projects_root"],
        "providers_available": {
            "codex": codex,
            "claude": any(claude),
            "combined": codex or any(claude),
        },
        "timestamp": iso(db.now_ms()),
    }


def blueprint(services: Services) -> Blueprint:
    """The routes of this module."""
    routes = Blueprint("control", __name__)

    @routes.route("/health", methods=["GET", "OPTIONS"])
    @routes.route("/api/health", methods=["GET", "OPTIONS"])
    def health() -> Any:
        asked = request.method == "OPTIONS"
        return exports.permitted("GET, HEAD, OPTIONS") if asked else _health(services)

    @routes.get("/api/live")
    def live() -> Any:
        local = chosen()
        services.indexer.watched()
        return jsonify(
            {
                "revisions": db.revisions(),
                "indexing": services.indexer.progress(),
                "activeStreams": services.proxy.active(),
                "notices": services.notices,
                "noticesSaid": [told(text) for text in services.notices],
                "today": local.of(db.now_ms()),
                "zone": local.zone,
                "codexHome": _home(services),
                "shortToken": services.config.short_token,
            }
        )

    @routes.post("/api/show")
    def show() -> Any:
        services.show_requests += 1
        return jsonify({"ok": True})

    @routes.post("/api/shutdown")
    def shutdown() -> Any:
        session.only_the_owner()
        if services.stop is not None:
            services.stop()
        return jsonify({"ok": True})

    @routes.after_app_request
    def nudge(response: Response) -> Response:
        """Let the tray look at once when something was changed, rather than at its next turn."""
        changes = request.method not in _READING and request.path.startswith("/api/")
        if changes and response.status_code < 400:
            with suppress(OSError):  # no tray made the file
                os.utime(services.config.data_dir / "tray.look")
        return response

    return routes
