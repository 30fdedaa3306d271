"""Sign-in on the provider's own pages: by browser, by device code, or by pasting the address.

One sign-in at a time; a new one replaces the one before. Codes, verifiers and tokens stay in
memory and never reach a log, an answer or an error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from server import words
from server.accounts import oauth, provider
from server.accounts.pool import Pool
from server.config import Config
from server.errors import AppError, BadRequest, Conflict
from server.sentences import say, told
from server.store import db, settings

log = logging.getLogger(__name__)

# The two addresses that the provider accepts for this client; the second is for when the
# first is taken, for example by Codex's own sign-in.
PORTS = (1455, 1457)
SCOPE = "openid profile email offline_access"
LIFE_SECONDS = 900
_LONGEST_LIFE = 86_400.0
_SLOWER = 5.0  # seconds added when the provider asks to slow down
_LONGEST_ADDRESS = 8192
# What mails, chats and consoles put around an address.
_AROUND = "\"'`<>()[]{}‹›«»“”„‘’‚"
_TICK = 0.25  # seconds after which a listener looks whether its sign-in is over
_CLOSING = 10.0  # seconds that are given to it to close its socket


class SignInFailed(AppError):
    """The provider did not let the sign-in go on; the message says what to do."""

    status, code = 502, "sign_in_failed"


@dataclass
class Flow:
    """One sign-in from its start to its end."""

    method: str  # browser | device
    note: str | None = None  # why this method and not another
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(64), repr=False)
    redirect_uri: str = ""
    listening: bool = False
    device: dict[str, Any] = field(default_factory=dict, repr=False)
    status: str = "pending"  # pending | success | error
    error: str | None = None
    account: str | None = None
    claimed: bool = False  # a code came in; a second one is not exchanged
    ended: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event | None = None  # set once its listener's socket is closed
    ends_at: float = field(default_factory=lambda: time.monotonic() + LIFE_SECONDS)


class SignIns:
    """Starts sign-ins and carries them to an account in the pool."""

    def __init__(self, config: Config, pool: Pool) -> None:
        self._base = config.auth_base_url
        self._host = config.callback_host
        self._pool = pool
        self._lock = threading.Lock()
        self._starting = threading.Lock()  # two at once would take each other's port
        self._flow: Flow | None = None

    def start(self, method: str | None = None) -> dict[str, Any]:
        """Begin a sign-in; without a method, the first that works here.

        By browser with a local callback; where its ports are taken, by device code; where the
        provider has none, by browser with the address pasted by hand. The sign-in before has
        ended and closed its port by then, so that this one gets the same.
        """
        with self._starting:
            return self._start(method)

    def _start(self, method: str | None) -> dict[str, Any]:
        self._replace(None)
        if method == "device":
            return self._begin_device(None)
        flow = self._begin_browser()
        if not flow.listening and method is None:
            taken = ", ".join(str(port) for port in PORTS)
            with suppress(SignInFailed):
                return self._begin_device(say("signin.portsTaken", ports=taken))
            flow = self._begin_browser()
        self._replace(flow)
        return self._shown(flow)

    def status(self, wanted: str | None = None) -> dict[str, Any]:
        """How the sign-in stands; nothing started counts as pending, as in codex-lb."""
        with self._lock:
            flow = self._flow
        if flow is None:
            return _said("pending", None, None, None)
        if wanted is not None and wanted != flow.id:
            return _said("error", say("signin.replaced"), None, None)
        if flow.status == "pending" and time.monotonic() > flow.ends_at:
            self._fail(flow, say("signin.codeLate" if flow.device else "signin.late"))
        return _said(flow.status, flow.error, flow.id, flow.account)

    def complete(self, device_id: str | None, wanted: str | None = None) -> dict[str, Any]:
        """How the device sign-in stands. Raises `Conflict` when it is not the current one."""
        with self._lock:
            flow = self._flow
        other = device_id is not None and (flow is None or flow.device.get("id") != device_id)
        if other or (wanted and (flow is None or flow.id != wanted)):
            raise Conflict(say("signin.over"), code="sign_in_replaced")
        return self.status()

    def pasted(self, address: str, wanted: str | None = None) -> dict[str, Any]:
        """Go on with the address that the browser was sent to."""
        with self._lock:
            flow = self._flow
        if flow is not None and wanted and wanted != flow.id:
            raise Conflict(say("signin.replaced"), code="sign_in_replaced")
        if flow is None or flow.method != "browser":
            raise Conflict(say("paste.none"), code="sign_in_replaced")
        try:
            query = parse_qs(urlsplit(_bare(address[:_LONGEST_ADDRESS])).query)
        except ValueError:
            query = {}
        if not ("code" in query or "error" in query):
            raise BadRequest(
                say("paste.whole"),
                code="invalid_callback",
            )
        if not self._ours(flow, query):
            raise BadRequest(
                say("paste.other"),
                code="invalid_callback",
            )
        self._came_back(flow, query)
        return self.status()

    def stop(self) -> None:
        """End whatever is under way."""
        self._replace(None)

    # ── by browser ────────────────────────────────────────────────────────────────────────

    def _begin_browser(self) -> Flow:
        flow = Flow("browser", redirect_uri=f"http://127.0.0.1:{PORTS[0]}/auth/callback")
        server = self._listen(flow)
        if server is not None:
            port = int(server.server_address[1])
            flow.redirect_uri = f"http://127.0.0.1:{port}/auth/callback"
            flow.listening = True
            if port != PORTS[0] and PORTS[0]:
                flow.note = say("signin.otherPort", taken=PORTS[0], port=port)
        else:
            flow.note = say("signin.noPort")
        return flow

    def _listen(self, flow: Flow) -> ThreadingHTTPServer | None:
        for port in PORTS:
            try:
                server = ThreadingHTTPServer((self._host, port), _handler(self, flow))
            except OSError:
                continue
            server.daemon_threads = True
            flow.closed = threading.Event()
            threading.Thread(target=_serve, args=(server, flow), daemon=True).start()
            return server
        return None

    def _authorization_url(self, flow: Flow) -> str:
        digest = hashlib.sha256(flow.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": provider.CLIENT_ID,
            "redirect_uri": flow.redirect_uri,
            "scope": SCOPE,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            "state": flow.state,
            "id_token_add_organizations": "true",
            "codex_cli_simplified_flow": "true",
            "originator": "brimline",
        }
        return f"{self._base}/oauth/authorize?{urlencode(query, quote_via=quote)}"

    def came_back(self, flow: Flow, query: dict[str, list[str]]) -> str:
        """The browser came back: finish, and return the sentence for its page."""
        if not self._ours(flow, query):
            return say("signin.pageOther")
        self._came_back(flow, query)
        if flow.status == "success":
            return say("signin.pageDone")
        return flow.error or say("signin.pageGoesOn")

    @staticmethod
    def _ours(flow: Flow, query: dict[str, list[str]]) -> bool:
        given = (query.get("state") or [""])[0].encode("utf-8", "replace")
        return hmac.compare_digest(given, flow.state.encode())

    def _came_back(self, flow: Flow, query: dict[str, list[str]]) -> None:
        with self._lock:
            if flow.claimed or flow.status != "pending":
                return  # browsers ask twice; a code works once
            flow.claimed = True
        if "error" in query:
            self._fail(flow, say("signin.refused"))
        else:
            self._exchange(flow, query["code"][0], flow.verifier, flow.redirect_uri)

    # ── by device code ────────────────────────────────────────────────────────────────────

    def _begin_device(self, note: str | None) -> dict[str, Any]:
        flow = Flow("device", note)
        answer = self._ask("/api/accounts/deviceauth/usercode", {"client_id": provider.CLIENT_ID})
        data = answer.data if isinstance(answer.data, dict) else {}
        code, device = data.get("user_code") or data.get("usercode"), data.get("device_auth_id")
        if answer.status == 404:
            raise SignInFailed(
                say("device.none"),
                code="device_auth_unavailable",
            )
        if answer.page:
            raise SignInFailed(say("error.page", status=answer.status))
        if answer.status != 200 or not isinstance(code, str) or not isinstance(device, str):
            raise SignInFailed(say("signin.noCode", status=answer.status))
        life = _life(data)
        flow.device = {
            "id": device[:500],
            "code": code[:50],
            "interval": min(max(_seconds(data.get("interval"), 5.0), 1.0), 60.0),
            "life": life,
        }
        flow.ends_at = time.monotonic() + life
        self._replace(flow)
        threading.Thread(target=self._wait_for_device, args=(flow,), daemon=True).start()
        return self._shown(flow)

    def _wait_for_device(self, flow: Flow) -> None:
        interval = float(flow.device["interval"])
        question = {"device_auth_id": flow.device["id"], "user_code": flow.device["code"]}
        while not flow.ended.wait(min(interval, max(0.0, flow.ends_at - time.monotonic()))):
            if time.monotonic() >= flow.ends_at:
                self._fail(flow, say("signin.codeLate"))
                return
            try:
                answer = self._ask("/api/accounts/deviceauth/token", question)
            except SignInFailed:
                continue  # the network may come back before the code ends
            code, _ = provider.problem(answer.data)
            data = answer.data if isinstance(answer.data, dict) else {}
            if code == "slow_down":
                interval += _SLOWER
            if _still_waiting(answer.status, code, data):
                continue
            grant, verifier = data.get("authorization_code"), data.get("code_verifier")
            if answer.status == 200 and isinstance(grant, str) and isinstance(verifier, str):
                self._exchange(flow, grant, verifier, f"{self._base}/deviceauth/callback")
            else:
                self._fail(flow, say("signin.codeRefused"))
            return

    # ── both ──────────────────────────────────────────────────────────────────────────────

    def _exchange(self, flow: Flow, code: str, verifier: str, redirect_uri: str) -> None:
        form = {
            "grant_type": "authorization_code",
            "client_id": provider.CLIENT_ID,
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        }
        try:
            renewed = provider.exchange(self._base, form)
            found = _read(renewed)
            if flow.ended.is_set():
                return  # replaced or stopped meanwhile
            account = self._pool.sign_in(found).id
        except AppError as error:
            self._fail(flow, error.message)
            return
        except Exception:
            log.exception("a sign-in could not be finished")
            self._fail(flow, say("signin.notStored"))
            return
        flow.account, flow.status = account, "success"
        flow.ended.set()

    def _ask(self, path: str, body: dict[str, Any]) -> provider.Answer:
        try:
            return provider.ask("POST", f"{self._base}{path}", body=body)
        except provider.Unreachable as error:
            raise SignInFailed(f"The sign-in server {error}. Check the network.") from None

    @staticmethod
    def _fail(flow: Flow, message: str) -> None:
        flow.status, flow.error = "error", message
        flow.ended.set()

    def _replace(self, flow: Flow | None) -> None:
        with self._lock:
            before, self._flow = self._flow, flow
        if before is not None and before is not flow:
            before.ended.set()
            if before.closed is not None:
                before.closed.wait(_CLOSING)

    def _shown(self, flow: Flow) -> dict[str, Any]:
        browser = flow.method == "browser"
        device = flow.device
        return {
            "method": flow.method,
            "flowId": flow.id,
            "note": flow.note,
            "noteSaid": told(flow.note),
            "authorizationUrl": self._authorization_url(flow) if browser else None,
            "callbackUrl": flow.redirect_uri if browser else None,
            "listening": flow.listening,
            "verificationUrl": None if browser else f"{self._base}/codex/device",
            "userCode": device.get("code"),
            "deviceAuthId": device.get("id"),
            "intervalSeconds": int(device["interval"]) if device else None,
            "expiresInSeconds": math.ceil(device["life"]) if device else LIFE_SECONDS,
        }


def _said(status: str, error: str | None, flow: str | None, account: str | None) -> dict[str, Any]:
    return {
        "status": status,
        "errorMessage": error,
        "errorSaid": told(error),
        "flowId": flow,
        "accountId": account,
    }


def _read(given: provider.SignedIn) -> oauth.SignIn:
    try:
        return oauth.sign_in(given.access, given.refresh, given.identity)
    except BadRequest as error:  # its words are about a file, and there is none
        raise SignInFailed(say("signin.unread")) from error


def _still_waiting(status: int, code: str, data: dict[str, Any]) -> bool:
    if code in ("authorization_pending", "slow_down") or data.get("status") == "pending":
        return True
    return status in (403, 404, 429) or status >= 500


def _seconds(value: Any, default: float) -> float:
    """Seconds as the provider spells them, as a number or as its digits."""
    try:
        number = isinstance(value, int | float | str) and not isinstance(value, bool)
        found = float(value) if number else default
    except (ValueError, OverflowError):
        return default
    return found if math.isfinite(found) and found > 0 else default


def _bare(pasted: str) -> str:
    """The address in what was pasted: without quotes around it, and what no address can hold."""
    kept = (char for char in pasted if char.isprintable() and not char.isspace())
    return "".join(kept).strip(_AROUND)


def _life(data: dict[str, Any]) -> float:
    """How long a device code lasts, as the provider said: by seconds or by its end."""
    ends = oauth.moment(data.get("expires_at"))
    left = 0.0 if ends is None else (ends - db.now_ms()) / 1000
    return min(_seconds(data.get("expires_in"), left if left > 0 else LIFE_SECONDS), _LONGEST_LIFE)


# ── the page that the browser comes back to ───────────────────────────────────────────────

_PAGE = (
    "<!doctype html><html lang=%s dir=%s><meta charset=utf-8><title>Brimline</title>"
    "<meta name=viewport content='width=device-width'><meta name=color-scheme content='light dark'>"
    "<body style='font:16px system-ui;margin:15vh auto;max-width:32em;padding:0 1em'>"
    "<p>%s</p></body></html>"
)


def page(sentence: str, accepted: str) -> str:
    """The page of a sentence, in the language of our pages or else of the browser."""
    language = str(settings.get("language")) or words.preferred(accepted)
    direction = "rtl" if language in words.RIGHT_TO_LEFT else "ltr"
    return _PAGE % (language, direction, html.escape(words.said(sentence, language)))


def _serve(server: ThreadingHTTPServer, flow: Flow) -> None:
    """Wait for the browser until the sign-in has ended or its time is over."""
    try:
        server.timeout = _TICK
        while not flow.ended.is_set() and time.monotonic() < flow.ends_at:
            server.handle_request()
    finally:
        server.server_close()
        if flow.closed is not None:
            flow.closed.set()


def _handler(signs: SignIns, flow: Flow) -> type[BaseHTTPRequestHandler]:
    come_back: Callable[[Flow, dict[str, list[str]]], str] = signs.came_back

    class Callback(BaseHTTPRequestHandler):
        timeout = 10
        server_version, sys_version = "brimline", ""

        def do_GET(self) -> None:  # noqa: N802
            parts = urlsplit(self.path[:_LONGEST_ADDRESS])
            if parts.path != "/auth/callback":
                self._answer(404, say("signin.pageNothing"))
                return
            query = parse_qs(parts.query)
            if "code" not in query and "error" not in query:
                self._answer(400, say("signin.pageNoCode"))
                return
            self._answer(200, come_back(flow, query))

        def _answer(self, status: int, sentence: str) -> None:
            content = page(sentence, self.headers.get("Accept-Language", "")).encode()
            self.send_response(status)
            for name, value in (
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Length", str(len(content))),
                ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
                ("Referrer-Policy", "no-referrer"),  # the address holds the code
                ("Cache-Control", "no-store"),
                ("Vary", "Accept-Language"),
                ("Connection", "close"),
            ):
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Say nothing: the address holds the code."""

    return Callback
