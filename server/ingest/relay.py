"""Pass received OTLP bodies on, unchanged, to another collector. Off until an address is set."""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from dataclasses import dataclass
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from server.errors import Unprocessable
from server.store import db, secret, settings, vault

log = logging.getLogger(__name__)

_HEADER = "telemetry_relay_header"
_MOST_BYTES = 32 * 1024 * 1024
_TIMEOUT = (5, 15)
_ATTEMPTS = 4
_FIRST_PAUSE = 0.5
_AGAIN = (429, 502, 503, 504)  # what the OTLP specification calls worth another try
# Names who passed a body on, so that Brimlines that relay to one another do not do so for ever.
PASSED = "X-Brimline-Relay"
_PRINTED = re.compile(r"[^\s\x00-\x1f\x7f]+").fullmatch  # no address holds blanks
_SIGNALS = ("/v1/logs", "/v1/metrics", "/v1/traces")


@dataclass(frozen=True, slots=True)
class Parcel:
    """One body as it came."""

    signal: str
    body: bytes
    content_type: str
    encoding: str
    passed: str = ""  # the ids of the Brimlines that passed it on before


def target(base: str, signal: str) -> str:
    """Where a signal goes: `/v1/<signal>` under the base, as OTLP exporters do it."""
    root = base.rstrip("/")
    for path in _SIGNALS:
        root = root.removesuffix(path)
    return f"{root}/v1/{signal}"


def check_url(url: str) -> str:
    """The address without a trailing slash; raises `Unprocessable` saying what is wrong with it."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.scheme in ("http", "https") and parts.hostname and _PRINTED(url))
        usable = usable and not parts.query
        secret_in_it = parts.username or parts.password
        _ = parts.port
    except ValueError:
        usable, secret_in_it = False, None
    if not usable or secret_in_it or len(url) > 255:
        raise Unprocessable(
            "The relay needs an http(s) address such as http://localhost:4318, without "
            "credentials; put a token into the header.",
        )
    return url.rstrip("/")


def check_header(header: str) -> tuple[str, str]:
    """`Name: value` as its parts; raises `Unprocessable` when it is not one header."""
    name, colon, value = header.partition(":")
    name, value = name.strip(), value.strip()
    token = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
    clean = value.isascii() and value.isprintable() and 0 < len(value) <= 4000
    if not colon or not token or not clean or name.lower() in ("host", "content-length"):
        raise Unprocessable(
            "Write the header as “Name: value”, for example “signoz-access-token: …”.",
        )
    return name, value


class Relay:
    """A thread with a bounded queue; a slow or dead collector costs only its own copies."""

    def __init__(self) -> None:
        self._id = token_hex(8)
        self._queue: deque[Parcel] = deque()
        self._bytes = 0
        self._wake = threading.Condition()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._header: tuple[str, str] | None = None
        self._header_read = False
        self.forwarded = self.failed = self.dropped = 0
        self.last_error: str | None = None
        self.last_at: int | None = None

    def start(self) -> None:
        """Start forwarding."""
        self._thread = threading.Thread(target=self._run, name="telemetry-relay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End at once; what still waits is for the other collector to miss."""
        self._stopping.set()
        with self._wake:
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(3)

    def offer(self, parcel: Parcel) -> None:
        """Queue a copy when a collector is set; the oldest goes when there are too many.

        What this Brimline passed on itself has come round in a circle, and ends here.
        """
        if not settings.get("telemetryRelayUrl") or self._id in parcel.passed:
            return
        with self._wake:
            self._queue.append(parcel)
            self._bytes += len(parcel.body)
            while self._bytes > _MOST_BYTES:
                self._bytes -= len(self._queue.popleft().body)
                self.dropped += 1
            self._wake.notify()

    # ── settings ──────────────────────────────────────────────────────────────────────

    def configure(self, url: str, header: str | None) -> None:
        """Set where copies go ("" ends it) and the header they carry (None leaves it, "" drops it).

        The header is sealed like a sign-in. Raises `Unprocessable` before anything is changed.
        """
        wanted = check_url(url) if url else ""
        if header:
            check_header(header)
        if header:
            secret.write(_HEADER, vault.seal("secret", "value", _HEADER, header.encode()))
        elif header == "" or not url:
            secret.write(_HEADER, None)
        settings.change({"telemetryRelayUrl": wanted})
        with self._wake:
            self._header_read = False
            if not wanted:
                self.dropped += len(self._queue)
                self._queue.clear()
                self._bytes = 0

    def describe(self) -> dict[str, Any]:
        """Its address, whether a header goes along (never its value), and how it fares."""
        header = self._current_header()
        return {
            "url": settings.get("telemetryRelayUrl"),
            "headerName": header[0] if header else None,
            "forwarded": self.forwarded,
            "failed": self.failed,
            "dropped": self.dropped,
            "waiting": len(self._queue),
            "lastError": self.last_error,
            "lastAt": self.last_at,
        }

    def _current_header(self) -> tuple[str, str] | None:
        if not self._header_read:
            sealed = secret.read(_HEADER)
            self._header = None
            if sealed is not None:
                plain = vault.unseal("secret", "value", _HEADER, sealed).decode()
                self._header = check_header(plain)
            self._header_read = True
        return self._header

    # ── its thread ────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._wake:
                while not self._queue and not self._stopping.is_set():
                    self._wake.wait()
                if self._stopping.is_set():
                    return
                parcel = self._queue.popleft()
                self._bytes -= len(parcel.body)
            try:
                self._send(parcel)
            except Exception as error:
                # Its words may hold the address' answer; the kind says enough.
                self._failed(type(error).__name__)

    def _send(self, parcel: Parcel) -> None:
        base = str(settings.get("telemetryRelayUrl") or "")
        if not base:
            self._dropped()
            return
        for attempt in range(_ATTEMPTS):
            status, unreached = self._try(target(base, parcel.signal), parcel)
            if (unreached or status in _AGAIN) and attempt < _ATTEMPTS - 1:
                self._stopping.wait(_FIRST_PAUSE * 2**attempt)
                if self._stopping.is_set():
                    return
                if not settings.get("telemetryRelayUrl"):
                    self._dropped()
                    return
                continue
            if 200 <= status < 300:
                self.forwarded += 1
                self.last_error, self.last_at = None, db.now_ms()
            else:
                self._failed(unreached or f"it answered {status}")
            return

    def _try(self, url: str, parcel: Parcel) -> tuple[int, str]:
        """The status it answered; or 0 and why there is no answer, which another try may have.

        A collector that restarts refuses connections for a moment. The error's words may hold
        the address; its kind says enough.
        """
        # Here, not at the top: most installations relay nothing.
        import requests

        try:
            return self._post(url, parcel), ""
        except (requests.ConnectionError, requests.Timeout) as error:
            return 0, type(error).__name__

    def _post(self, url: str, parcel: Parcel) -> int:
        # Here, not at the top: most installations relay nothing.
        import requests

        headers = {"Content-Type": parcel.content_type, "User-Agent": "brimline-relay"}
        headers[PASSED] = f"{parcel.passed},{self._id}".lstrip(",")
        if parcel.encoding:
            headers["Content-Encoding"] = parcel.encoding
        if header := self._current_header():
            headers[header[0]] = header[1]
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                url, data=parcel.body, headers=headers, timeout=_TIMEOUT, allow_redirects=False,
                stream=True,
            )  # fmt: skip
            with answer:
                return answer.status_code

    def _dropped(self) -> None:
        """The relay was ended while this one was on its way."""
        with self._wake:
            self.dropped += 1

    def _failed(self, why: str) -> None:
        self.failed += 1
        if self.last_error != why:
            log.warning("telemetry could not be relayed (%s)", why)
        self.last_error, self.last_at = why, db.now_ms()
