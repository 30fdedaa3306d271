"""What clients ask beside their requests and we answer ourselves.

A Codex whose `chatgpt_base_url` names Brimline sends its account checks and its own allowance
questions here. They are answered for the pool; its telemetry is taken and thrown away.
"""

from __future__ import annotations

import hashlib
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from server.accounts import oauth, provider
from server.accounts.pool import Pool
from server.auth.keys import bearer
from server.config import Config
from server.errors import AppError, TooMany, Unauthorized
from server.proxy import headers
from server.sentences import say
from server.store import db, settings

NOTICE = say("notice.bypass")
_AUTH = "https://api.openai.com/auth"
_BELIEVED_SECONDS = 60.0
_MOST_BELIEVED = 256
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Local:
    """Answers side calls from what we know."""

    def __init__(self, config: Config, pool: Pool) -> None:
        self.notices: list[str] = []
        self._config = config
        self._pool = pool
        self._believed: dict[bytes, float] = {}  # digests of tokens that were checked
        self._lock = threading.Lock()

    def report_to(self, notices: list[str]) -> None:
        """Warn here, from now on, while Codex's own settings send its requests past us."""
        self.notices = notices
        self.look()

    def look(self) -> None:
        """Say, or no longer say, that Codex's settings on this computer lead past us.

        Only they tell: anybody may ask for the account check, from anywhere.
        """
        known, leads = NOTICE in self.notices, self._led_past()
        if leads and not known:
            self.notices.append(NOTICE)
        elif known and not leads:
            self.notices.remove(NOTICE)

    def _led_past(self) -> bool:
        home = self._config.codex_home
        try:
            paths = [home / "config.toml", *home.glob("*.config.toml")]
        except OSError:
            return False
        return any(bypasses(_text(path), self._config.port) for path in paths)

    def accounts_check(self, environ: Mapping[str, Any]) -> bytes:
        """The answer without which Codex sends no request: its own account, unrouted."""
        given = headers.received(environ)
        name = given.get("chatgpt-account-id") or _account_of(bearer(environ))
        self.look()
        entry = {
            "id": name,
            # It accepts nothing but HTTPS here, and this origin tells it to change nothing.
            "workspace_backend_origin": "https://chatgpt.com",
            "account_routing_override": "NO_CONSTRAINT",
        }
        return orjson.dumps({"accounts": [entry] if name else []})

    def usage(self, environ: Mapping[str, Any], knows_key: Callable[[str | None], bool]) -> bytes:
        """The pool's allowance in the words of `/wham/usage`. Raises 401, 429 or 503."""
        caller = environ.get("brimline.caller")
        named = getattr(caller, "kind", "anonymous") != "anonymous"
        open_here = self._config.loopback and not settings.get("apiKeyAuthEnabled")
        if not (named or open_here or knows_key(bearer(environ))):
            self._check(environ)
        return orjson.dumps(self._pool.usage(db.now_ms()))

    def _check(self, environ: Mapping[str, Any]) -> None:
        """Whether the caller holds a ChatGPT token of one of our accounts."""
        token = bearer(environ)
        name = headers.received(environ).get("chatgpt-account-id")
        if not token or not name or not self._pool.serves(name):
            raise Unauthorized(
                "Send an API key of Brimline, or the ChatGPT token and chatgpt-account-id of one "
                "of its accounts.",
                code="invalid_api_key",
            )
        digest = hashlib.sha256(f"{name}\0{token}".encode("utf-8", "replace")).digest()
        with self._lock:
            if time.monotonic() < self._believed.get(digest, 0.0):
                return
        self._ask(token, name)
        with self._lock:
            if len(self._believed) >= _MOST_BELIEVED:
                self._believed.clear()
            self._believed[digest] = time.monotonic() + _BELIEVED_SECONDS

    def _ask(self, token: str, name: str) -> None:
        try:
            provider.usage(self._config.upstream_base_url, token, name)
        except provider.UsageFailed as error:
            if error.http in (401, 403):
                message = "The provider does not accept this ChatGPT token."
                raise Unauthorized(message, code="invalid_api_key") from None
            if error.http == 429:
                message = "The provider is asked too often. Try again in a minute."
                raise TooMany(message, retry_after=error.retry_after or 60) from None
            raise _unchecked() from None
        except AppError:
            raise _unchecked() from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def bypasses(text: str, port: int) -> bool:
    """Whether Codex's config.toml sends its side calls to us, and thereby its requests past us."""
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return False
    places = [found]
    profiles = found.get("profiles")
    if isinstance(profiles, dict):
        places += [each for each in profiles.values() if isinstance(each, dict)]
    return any(_is_ours(place.get("chatgpt_base_url"), port) for place in places)


def _is_ours(address: Any, port: int) -> bool:
    if not isinstance(address, str):
        return False
    try:
        parts = urlsplit(address)
        return parts.hostname in _LOOPBACK and (parts.port or 80) == port
    except ValueError:
        return False


def _account_of(token: str | None) -> str | None:
    auth = oauth.claims(token).get(_AUTH) if token else None
    name = auth.get("chatgpt_account_id") if isinstance(auth, dict) else None
    return name if isinstance(name, str) else None


def _unchecked() -> AppError:
    return AppError(
        "The provider cannot be asked whose token this is. Try again in a moment.",
        status=503,
        code="upstream_error",
        retry_after=5,
    )
