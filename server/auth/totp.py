"""One-time codes as the second step of signing in, and the recovery codes behind them.

A code works once, because the step it belongs to is stored before it is believed. The secret
is sealed; recovery codes are 80 random bits each, kept as SHA-256 and struck off when used.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from server.errors import BadRequest
from server.sentences import say
from server.store import db, secret, vault

STEP_MS = 30_000
OFFER_MS = 15 * 60 * 1000
RECOVERY_CODES = 10
_SECRET_ROW, _STEP_ROW, _RECOVERY_ROW = "totp", "totp_step", "totp_recovery"
_PLACE = ("secret", "value", _SECRET_ROW)


@dataclass(frozen=True)
class Offer:
    """A secret that nobody has confirmed yet, and how to bring it into an authenticator."""

    secret: str
    uri: str
    svg: str


def accepted_step(key: str, code: str, now: int, last: int) -> int | None:
    """The step that `code` belongs to, one before or after now at most; None when it is wrong.

    Steps up to `last` are used up. Only ASCII digits are a code: pyotp alone would also take
    full-width ones.
    """
    import pyotp

    if not re.fullmatch(r"[0-9]{6}", code):
        return None
    totp, current, found = pyotp.TOTP(key), now // STEP_MS, None
    for step in (current - 1, current, current + 1):
        # No early end: the time taken says nothing about which step it was.
        if hmac.compare_digest(totp.generate_otp(step), code) and step > last:
            found = step
    return found


def recovery_code() -> str:
    """A fresh recovery code: 80 bits in four groups that can be read out."""
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[i : i + 4] for i in range(0, 16, 4))


def _digest(code: str) -> str:
    plain = re.sub(r"[\s-]", "", code).lower()
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


class Totp:
    """The second step of the dashboard's sign-in, or none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._configured = False
        self._last = 0
        self._recovery: list[str] = []
        self._offers: dict[str, int] = {}  # digest of a secret → when the offer ends

    def load(self) -> None:
        """Read what is stored; the secret itself stays sealed until a code is checked."""
        with self._lock:
            self._configured = secret.read(_SECRET_ROW) is not None
            self._last = int(secret.read(_STEP_ROW) or b"0")
            self._recovery = json.loads(secret.read(_RECOVERY_ROW) or b"[]")

    @property
    def configured(self) -> bool:
        """Whether an authenticator has been confirmed."""
        return self._configured

    @property
    def recovery_left(self) -> int:
        """How many recovery codes are still good."""
        return len(self._recovery)

    def offer(self, now: int) -> Offer:
        """A new secret to confirm within 15 minutes; nothing changes until then."""
        import pyotp
        import segno

        key = pyotp.random_base32(32)  # 160 bits
        uri = pyotp.TOTP(key).provisioning_uri(name="dashboard", issuer_name="Brimline")
        # White behind it: a dark page would make the code unreadable for many cameras.
        svg = segno.make(uri, error="m").svg_data_uri(scale=5, light="white")
        with self._lock:
            self._offers = {d: until for d, until in self._offers.items() if until > now}
            self._offers[_digest(key)] = now + OFFER_MS
        return Offer(key, uri, svg)

    def confirm(self, key: str, code: str, now: int) -> list[str]:
        """Turn the second step on with an offered secret and a code of it; the recovery codes.

        Raises 400 `invalid_totp_setup` or `invalid_totp_code`.
        """
        with self._lock:
            if self._offers.get(_digest(key), 0) <= now:
                raise BadRequest(
                    say("door.setupOver"),
                    code="invalid_totp_setup",
                )
            step = accepted_step(key, code, now, 0)
            if step is None:
                raise BadRequest(
                    say("door.codeFirst"),
                    code="invalid_totp_code",
                )
            fresh = [recovery_code() for _ in range(RECOVERY_CODES)]
            with db.writing_secrets():
                secret.write(_SECRET_ROW, vault.seal(*_PLACE, key.encode()))
                self._store_step(step)
                self._store_recovery([_digest(value) for value in fresh])
            self._configured = True
            self._offers.clear()
        return fresh

    def verify(self, code: str, now: int) -> bool:
        """Whether this is a code of now, or a recovery code; neither is good a second time."""
        with self._lock:
            if not self._configured:
                return False
            return self._use_code(code, now) or self._use_recovery(code)

    def new_recovery_codes(self) -> list[str]:
        """Replace the recovery codes; the old ones are worthless from now on."""
        fresh = [recovery_code() for _ in range(RECOVERY_CODES)]
        with self._lock:
            self._store_recovery([_digest(value) for value in fresh])
        return fresh

    def clear(self) -> None:
        """Have no second step any more."""
        with self._lock:
            with db.writing_secrets():
                for row in (_SECRET_ROW, _STEP_ROW, _RECOVERY_ROW):
                    secret.write(row, None)
            self._configured, self._last, self._recovery = False, 0, []

    def _use_code(self, code: str, now: int) -> bool:
        sealed = secret.read(_SECRET_ROW)
        if sealed is None:
            return False
        key = vault.unseal(*_PLACE, sealed).decode()
        step = accepted_step(key, code, now, self._last)
        if step is None:
            return False
        self._store_step(step)
        return True

    def _use_recovery(self, code: str) -> bool:
        given = _digest(code)
        left = [value for value in self._recovery if not hmac.compare_digest(value, given)]
        if len(left) == len(self._recovery):
            return False
        self._store_recovery(left)
        return True

    def _store_step(self, step: int) -> None:
        secret.write(_STEP_ROW, str(step).encode())
        self._last = step

    def _store_recovery(self, digests: Sequence[str]) -> None:
        secret.write(_RECOVERY_ROW, json.dumps(list(digests)).encode())
        self._recovery = list(digests)
