"""The dashboard's password: argon2id, and the same work whether or not one is set."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import unicodedata
from typing import TYPE_CHECKING

from server.errors import Unprocessable
from server.sentences import say
from server.store import secret

if TYPE_CHECKING:
    from argon2 import PasswordHasher

log = logging.getLogger(__name__)

SHORTEST = 8
LONGEST = 1024  # bounds the work of one request; far above any passphrase
_ROW = "password"


def normal(value: str) -> str:
    """A password as it is hashed: trimmed, and one form for what looks the same.

    Keyboards of different systems send an accented letter as one character or as two.
    """
    return unicodedata.normalize("NFKC", value.strip())


def checked(value: object, what: str = "password") -> str:
    """A new password that can be taken. Raises 422 saying what would do."""
    if not isinstance(value, str):
        raise Unprocessable(f"Send the “{what}” as text.")
    text = normal(value)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise Unprocessable(f"The “{what}” holds half a character. Type it anew.")
    if not SHORTEST <= len(text) <= LONGEST:
        raise Unprocessable(say("door.passwordShort", least=SHORTEST, most=LONGEST))
    return text


class Password:
    """The one password of the dashboard, or none."""

    def __init__(self) -> None:
        # Each check takes 19 MB: 64 at once would take over 1 GB.
        self._slots = threading.BoundedSemaphore(2)
        self._setting = threading.Lock()
        self._hash: str | None = None
        self._nobody: str | None = None

    def load(self) -> None:
        """Read the stored hash."""
        stored = secret.read(_ROW)
        self._hash = None if stored is None else stored.decode()

    @property
    def configured(self) -> bool:
        """Whether a password is set."""
        return self._hash is not None

    def put(self, text: str, *, first: bool = False) -> bool:
        """Set the password to a `checked` text; with `first`, only if there is none yet.

        Returns whether it was set: of two set-ups at once, one wins.
        """
        with self._slots:
            hashed = _hasher().hash(_encoded(text))
        with self._setting:
            if first and self.configured:
                return False
            secret.write(_ROW, hashed.encode())
            self._hash = hashed
        return True

    def clear(self) -> None:
        """Have no password any more."""
        secret.write(_ROW, None)
        self._hash = None

    def matches(self, given: str) -> bool:
        """Whether this is the password. With none set it takes as long and says no."""
        from argon2.exceptions import Argon2Error, InvalidHashError

        with self._slots:
            expected = self._hash
            try:
                return _hasher().verify(expected or self._dummy(), _encoded(normal(given))) and (
                    expected is not None
                )
            except InvalidHashError:
                log.error("the stored password hash is damaged; remove it with the admin token")
                return False
            except Argon2Error:
                return False

    def badge(self) -> str:
        """What a browser keeps to show that it was let in with this password; opens nothing."""
        name = secrets.token_urlsafe(16)
        return f"{name}.{self._seal(name)}"

    def knows(self, badge: str) -> str | None:
        """The browser's name on a badge of the present password; None for any other text."""
        name, _, seal = badge.partition(".")
        if self._hash is None or not badge.isascii():
            return None
        return name if hmac.compare_digest(seal, self._seal(name)) else None

    def _seal(self, name: str) -> str:
        # The hash has a salt that nobody was told: with it a badge ends when the password does.
        key = hashlib.sha256(f"badge {self._hash}".encode()).digest()
        return hmac.new(key, name.encode(), hashlib.sha256).hexdigest()

    def _dummy(self) -> str:
        if self._nobody is None:
            self._nobody = _hasher().hash(b"nobody's password")
        return self._nobody


def _encoded(text: str) -> bytes:
    return text[:LONGEST].encode("utf-8", "surrogatepass")


def _hasher() -> PasswordHasher:
    # Here, not at the top: the server's first answer does not wait for it. The figures are
    # OWASP's (50 ms); written out, so that a release of the library cannot change them.
    from argon2 import PasswordHasher, Type

    return PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1, type=Type.ID)
