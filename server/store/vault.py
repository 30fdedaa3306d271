"""The vault: seals the secrets of one data folder with a key that lies outside it.

A sealed value is bound to its place (table, column and row), so it cannot be moved to another
account. The key is in the system's keyring or, without one, in a 0600 file in the
configuration folder: a copy of the data folder alone opens nothing.

Layout of a sealed value: version (1 byte), key id (8), nonce (12), AES-256-GCM text and tag.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets as random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from server.config import NAME, config_dir
from server.store import db
from server.store.db import StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

log = logging.getLogger(__name__)

_VERSION = b"\x01"
_ID_BYTES, _NONCE_BYTES, _KEY_BYTES, _TAG_BYTES = 8, 12, 32, 16
_ROW = "key_id"  # in secrets.db; names the key, holds no secret
_KEYRING_SECONDS = 5.0  # a keyring may wait for somebody to type a password
_KEYRING_REST = 30.0  # seconds until one that had no answer is asked for the same key again
# Backends that encrypt. `keyring` can be configured to plain-text ones; those never count.
_SAFE_BACKENDS = (
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
    "keyring.backends.macOS",
    "keyring.backends.Windows",
)

_lock = threading.RLock()
_current: dict[str, bytes] = {}  # path of secrets.db → id of the key that seals
_keys: dict[bytes, bytes] = {}  # key id → key
_asked: dict[bytes, float] = {}  # key id → when (monotonic) the keyring did not have it


def seal(table: str, column: str, row: str, plain: bytes) -> bytes:
    """Encrypt `plain` for one place; with a new key when the old one cannot be had.

    What the old key sealed opens again when that key comes back. Raises `StoreError` when no key
    can be kept.
    """
    key_id, key = _key()
    nonce = random.token_bytes(_NONCE_BYTES)
    text = _cipher(key).encrypt(nonce, plain, _place(table, column, row))
    return _VERSION + key_id + nonce + text


def unseal(table: str, column: str, row: str, sealed: bytes) -> bytes:
    """Decrypt what `seal` made for the same place.

    Raises `StoreError`, saying what to do, when the key is missing or is not the right one.
    """
    from cryptography.exceptions import InvalidTag

    sealed = bytes(sealed)
    head = len(_VERSION) + _ID_BYTES
    if len(sealed) < head + _NONCE_BYTES + _TAG_BYTES or sealed[:1] != _VERSION:
        raise _unreadable("a stored secret is damaged")
    key = _find(sealed[1:head])
    nonce, text = sealed[head : head + _NONCE_BYTES], sealed[head + _NONCE_BYTES :]
    try:
        return _cipher(key).decrypt(nonce, text, _place(table, column, row))
    except InvalidTag as error:
        raise _unreadable("the key does not fit, or a stored secret was changed") from error


def _cipher(key: bytes) -> AESGCM:
    # Here, not at the top: the server's first answer does not wait for it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _place(table: str, column: str, row: str) -> bytes:
    return f"{table}|{column}|{row}".encode("utf-8", "surrogatepass")


def _unreadable(why: str) -> StoreError:
    return StoreError(
        f"The stored sign-ins cannot be opened: {why}. Put the key of this data folder back "
        f"into {keys_folder()}, or remove the accounts and sign in again.",
        title="The key does not open the vault",
        code="vault_key_unusable",
    )


# ── the key ───────────────────────────────────────────────────────────────────────────────


def keys_folder() -> Path:
    """Where key files lie: outside the data folder, which people copy and back up."""
    return Path(os.environ.get("BRIMLINE_KEYS_DIR") or config_dir() / "keys")


def _key() -> tuple[bytes, bytes]:
    """The key that seals: the one that secrets.db names, a new one where that is lost."""
    folder = str(db.secrets.database)
    with _lock:
        known = _current.get(folder) or _known_id()
        if known is not None:
            try:
                key = _find(known)
            except StoreError as error:
                log.warning("a new key is made: %s", error.message)
                known = None
        if known is None:
            known, key = _new_key()
            _keys[known] = key
        _current[folder] = known
        return known, key


def forget() -> None:
    """Drop the keys from memory; the next use looks for them again."""
    with _lock:
        for known in (_current, _keys, _asked):
            known.clear()


def _known_id() -> bytes | None:
    with db.reading(db.secrets) as connection:
        row = connection.execute("select value from secret where name = ?", (_ROW,)).fetchone()
    # A damaged name is as good as none: whatever it sealed names its key itself.
    return bytes(row[0]) if row is not None and len(row[0]) == _ID_BYTES else None


def _new_key() -> tuple[bytes, bytes]:
    key_id, key = random.token_bytes(_ID_BYTES), random.token_bytes(_KEY_BYTES)
    if not _into_keyring(key_id, key):
        _write_file(key_id, key)
    # Last: a folder that names a key which was never kept could not be opened again.
    with db.writing_secrets() as connection:
        connection.execute("replace into secret values (?, ?)", (_ROW, key_id))
    return key_id, key


def _find(key_id: bytes) -> bytes:
    """A key that was made before. Raises `StoreError`, saying why it cannot be had."""
    with _lock:
        known = _keys.get(key_id)
        if known is not None:
            return known
        # The file first: asking a keyring costs a tenth of a second even where there is none.
        path = _path(key_id)
        try:
            text: str | None = path.read_text(encoding="ascii")
        except FileNotFoundError:
            text = _asked_for(key_id)
        except (OSError, ValueError) as error:
            raise _unreadable(f"its key file {path} cannot be read") from error
        if text is None:
            raise _unreadable(f"its key {key_id.hex()} is neither in the keyring nor in a file")
        with suppress(ValueError):
            key = base64.b64decode(text.strip(), validate=True)
            if len(key) == _KEY_BYTES:
                _keys[key_id] = key
                return key
    raise _unreadable(f"its key {key_id.hex()} is damaged")


def _asked_for(key_id: bytes) -> str | None:
    """What the keyring has; one that had nothing, or hung, is asked again after a while."""
    if time.monotonic() < _asked.get(key_id, -_KEYRING_REST) + _KEYRING_REST:
        return None
    found = _from_keyring(key_id)
    if found is None:
        _asked[key_id] = time.monotonic()
    return found


def _path(key_id: bytes) -> Path:
    return keys_folder() / f"{key_id.hex()}.key"


def _write_file(key_id: bytes, key: bytes) -> None:
    path = _path(key_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.name == "posix":
            path.parent.chmod(0o700)
        # The mode is there from the first moment: write-then-chmod leaves a gap.
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"Brimline cannot keep its key in {path.parent}: {error.strerror or error}. "
            "Make that folder writable and try again.",
            title="The key cannot be kept",
        ) from error


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ── the system's keyring ──────────────────────────────────────────────────────────────────


def _into_keyring(key_id: bytes, key: bytes) -> bool:
    """Keep the key in the keyring; False when there is none that is safe and works."""
    text = base64.b64encode(key).decode("ascii")

    def keep() -> str | None:
        backend = _backend()
        if backend is None:
            return None
        backend.set_password(NAME, key_id.hex(), text)  # type: ignore[attr-defined]
        return str(backend.get_password(NAME, key_id.hex()))  # type: ignore[attr-defined]

    return _patiently(keep) == text


def _from_keyring(key_id: bytes) -> str | None:
    def look() -> str | None:
        backend = _backend()
        if backend is None:
            return None
        found = backend.get_password(NAME, key_id.hex())  # type: ignore[attr-defined]
        return None if found is None else str(found)

    return _patiently(look)


def _backend() -> object | None:
    if os.environ.get("BRIMLINE_NO_KEYRING") == "1":
        return None
    from keyring.backend import get_all_keyring

    safe = [b for b in get_all_keyring() if type(b).__module__.startswith(_SAFE_BACKENDS)]
    return max(safe, key=lambda backend: backend.priority, default=None)


def _patiently(ask: Callable[[], str | None]) -> str | None:
    """The keyring's answer; None when it fails or does not answer in time."""
    if os.environ.get("BRIMLINE_NO_KEYRING") == "1":
        return None
    answer: list[str | None] = []

    def run() -> None:
        try:
            answer.append(ask())
        except Exception as error:
            # Its own words may hold what we gave it, so only the kind is logged.
            log.info("the keyring cannot be used (%s)", type(error).__name__)

    thread = threading.Thread(target=run, name="keyring", daemon=True)
    thread.start()
    thread.join(_KEYRING_SECONDS)
    return answer[0] if answer else None
