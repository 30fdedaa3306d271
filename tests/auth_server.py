"""The provider's sign-in and allowance on loopback: what it answers is a test's to say."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any]  # status; dict → JSON, bytes → as they are

ENDS = 4_102_444_800  # 2100


def jwt(claims: dict[str, Any]) -> str:
    """An unsigned token that says `claims`."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(claims)}.sig"


def access_token(name: str = "one", exp: int | None = ENDS) -> str:
    """An access token that ends at `exp` (seconds); different for each name."""
    return jwt({"jti": name} if exp is None else {"jti": name, "exp": exp})


def id_token(
    email: str = "ada@example.com",
    account: str | None = "ws-1",
    user: str | None = "user-1",
    plan: str | None = "plus",
    **more: Any,
) -> str:
    """An id token as the provider writes it; `more` are further claims about the sign-in."""
    auth = {"chatgpt_account_id": account, "chatgpt_user_id": user, "chatgpt_plan_type": plan}
    auth.update(more)
    return jwt({"email": email, "https://api.openai.com/auth": auth})


def auth_json(access: str | None = None, refresh: str | None = "refresh-1", **who: Any) -> bytes:
    """An auth.json as Codex 0.169 writes it."""
    tokens = {
        "id_token": id_token(**who),
        "access_token": access or access_token(),
        "refresh_token": refresh,
        "account_id": who.get("account", "ws-1"),
    }
    body = {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": tokens,
        "last_refresh": "2026-11-01T10:00:00.123456789Z",
    }
    return json.dumps(body).encode()


def usage(primary: float | None = 25, weekly: float | None = 40, **more: Any) -> dict[str, Any]:
    """A `/wham/usage` payload."""

    def window(used: float | None, seconds: int, left: int) -> dict[str, Any] | None:
        if used is None:
            return None
        return {
            "used_percent": used,
            "limit_window_seconds": seconds,
            "reset_after_seconds": left,
        }

    return {
        "plan_type": "plus",
        "rate_limit": {
            "allowed": True,
            "limit_reached": False,
            "primary_window": window(primary, 18_000, 9_000),
            "secondary_window": window(weekly, 604_800, 302_400),
        },
        **more,
    }


class Provider:
    """A fake provider: `token` and `usage` answer, `calls` is what was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str], Any]] = []
        self.token: Callable[[dict[str, Any]], Reply] = lambda body: (500, {})
        self.usage: Callable[[dict[str, str]], Reply] = lambda headers: (200, usage())
        self.other: Callable[[str, Any], Reply] = lambda path, body: (404, {})
        self.url = ""

    def asked(self, path: str) -> list[Any]:
        """The bodies sent to a path."""
        return [body for where, _, body in list(self.calls) if where.endswith(path)]

    def answer(self, path: str, headers: dict[str, str], body: Any) -> Reply:
        self.calls.append((path, headers, body))
        if path.endswith("/oauth/token"):
            return self.token(body)
        if path.endswith("/wham/usage"):
            return self.usage(headers)
        return self.other(path, body)


@contextmanager
def provider() -> Iterator[Provider]:
    """Run a fake provider."""
    fake = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                body: Any = json.loads(raw) if raw else None
            except ValueError:
                body = raw.decode()
            headers = {key.lower(): value for key, value in self.headers.items()}
            status, said = fake.answer(self.path, headers, body)
            if status == 0:  # hang up without a word
                self.close_connection = True
                return
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _do  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
