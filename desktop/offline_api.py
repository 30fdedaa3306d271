"""The dashboard's own routes for the command line: through the server, or without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from desktop import offline
from server.config import Config
from server.errors import AppError

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from desktop.supervisor import Client

_SECONDS = 24 * 3600.0


class Api(Protocol):
    """What answers a path of docs/API.md."""

    def get(self, path: str, **asked: Any) -> Any:
        """The JSON at a path; raises `AppError` with the server's sentence."""

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send JSON, get JSON."""

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """Replace what is at a path."""

    def fetch(self, path: str, **asked: Any) -> bytes:
        """The bytes of a file."""


def address(path: str, asked: dict[str, Any]) -> str:
    """A path with its query; what is None or empty is left out, a list repeats its name."""
    pairs = [(name, value) for name, value in asked.items() if value not in (None, "", [], ())]
    query = urlencode(pairs, doseq=True)
    return f"{path}?{query}" if query else path


class _Served:
    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, path: str, **asked: Any) -> Any:
        return self._client.get(address(path, asked), timeout=120.0)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._client.post(path, body or {}, timeout=_SECONDS)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self._client.put(path, body)

    def fetch(self, path: str, **asked: Any) -> bytes:
        return self._client.fetch(address(path, asked))


class _Alone:
    def __init__(self, client: FlaskClient, base: str) -> None:
        self._client = client
        self._base = base

    def get(self, path: str, **asked: Any) -> Any:
        return json.loads(self.fetch(path, **asked))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._said(self._client.post(path, json=body or {}, **self._who()))

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self._said(self._client.put(path, json=body, **self._who()))

    def fetch(self, path: str, **asked: Any) -> bytes:
        answer = self._client.get(address(path, asked), **self._who())
        if answer.status_code >= 400:
            self._said(answer)
        return bytes(answer.get_data())

    def _who(self) -> dict[str, Any]:
        return {"base_url": self._base, "headers": {"Authorization": f"Bearer {self._token}"}}

    @property
    def _token(self) -> str:
        token: str = self._client.application.extensions["brimline"].tray_token
        return token

    @staticmethod
    def _said(answer: Any) -> Any:
        said = json.loads(answer.get_data() or b"{}")
        if answer.status_code >= 400:
            error = said.get("error") or {}
            raise AppError(
                str(error.get("message") or "The answer cannot be read."),
                code=str(error.get("code") or "error"),
            )
        return said


@contextmanager
def opened(config: Config, client: Client | None) -> Iterator[Api]:
    """The running server's routes, else the same routes over the data folder itself."""
    if client is not None:
        yield _Served(client)
        return
    with offline.locked(config):
        from server.app import create_app
        from server.ingest import reprice
        from server.store import db

        alone = Config(**{**vars(config), "host": "127.0.0.1"})
        app = create_app(alone)
        try:
            # Nobody's scheduler does it here: the user's own files hold for what is asked next,
            # also where no logs are read first.
            reprice.keep()
            yield _Alone(app.test_client(), f"http://127.0.0.1:{alone.port}")
        finally:
            db.close_databases()
