"""Brings another program's accounts over while no server runs: through the app itself."""

from __future__ import annotations

from typing import Any

from desktop import offline
from server.app import create_app
from server.config import Config
from server.errors import AppError
from server.store import db


def run(config: Config, given: dict[str, Any]) -> dict[str, Any]:
    """What `POST /api/import/codex-lb` answers. Raises `AppError` with its sentence."""
    with offline.locked(config):
        app = create_app(config)
        built = app.extensions["brimline"]
        try:
            answer = app.test_client().post(
                "/api/import/codex-lb",
                json=given,
                base_url=f"http://127.0.0.1:{config.port}",
                headers={"Authorization": f"Bearer {built.tray_token}"},
            )
            body: dict[str, Any] = answer.get_json()
            if answer.status_code != 200:
                error = body["error"]
                raise AppError(error["message"], code=error["code"], status=answer.status_code)
            return body
        finally:
            built.pool.stop()
            db.close_databases()
