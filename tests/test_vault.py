"""The vault: what is sealed opens only in its place, with its key."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from server.config import Config
from server.store import db, vault
from server.store.db import StoreError

PLACE = ("credential", "access_token", "one")


@pytest.fixture(autouse=True)
def _open(database: None) -> Iterator[None]:
    vault.forget()
    yield
    vault.forget()


def test_a_secret_comes_back_and_is_not_readable_on_disk(config: Config) -> None:
    sealed = vault.seal(*PLACE, b"very secret")
    assert vault.unseal(*PLACE, sealed) == b"very secret"
    assert b"very secret" not in sealed
    assert vault.seal(*PLACE, b"very secret") != sealed  # a nonce is used once


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(("secret", "access_token", "one"), id="another table"),
        pytest.param(("credential", "refresh_token", "one"), id="another column"),
        pytest.param(("credential", "access_token", "two"), id="another account"),
    ],
)
def test_a_secret_cannot_be_moved(place: tuple[str, str, str]) -> None:
    sealed = vault.seal(*PLACE, b"x")
    with pytest.raises(StoreError, match="sign in again"):
        vault.unseal(*place, sealed)


@pytest.mark.parametrize("position", [0, 3, 10, 25, -1])
def test_a_changed_byte_is_noticed(position: int) -> None:
    sealed = bytearray(vault.seal(*PLACE, b"secret"))
    sealed[position] ^= 1
    with pytest.raises(StoreError):
        vault.unseal(*PLACE, bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" * 30])
def test_what_is_no_secret_is_refused(sealed: bytes) -> None:
    with pytest.raises(StoreError):
        vault.unseal(*PLACE, sealed)


def test_the_key_file_is_private_and_outside_the_data_folder(config: Config) -> None:
    vault.seal(*PLACE, b"x")
    (key,) = vault.keys_folder().iterdir()
    assert config.data_dir not in key.parents
    if os.name == "posix":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700


def test_the_same_key_serves_the_next_start() -> None:
    sealed = vault.seal(*PLACE, b"x")
    vault.forget()
    assert vault.unseal(*PLACE, sealed) == b"x"
    assert len(list(vault.keys_folder().iterdir())) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param("missing", id="the key is gone"),
        pytest.param("damaged", id="the key is damaged"),
        pytest.param("other", id="another key lies there"),
    ],
)
def test_without_its_key_the_folder_says_what_to_do(spoil: str) -> None:
    sealed = vault.seal(*PLACE, b"x")
    (key,) = vault.keys_folder().iterdir()
    if spoil == "missing":
        key.unlink()
    else:
        key.write_text("@@@" if spoil == "damaged" else "A" * 43 + "=")
    vault.forget()
    with pytest.raises(StoreError, match="Put the key of this data folder back"):
        vault.unseal(*PLACE, sealed)
    assert len(list(vault.keys_folder().iterdir())) == (0 if spoil == "missing" else 1)


def test_a_lost_key_keeps_nobody_from_signing_in_again() -> None:
    sealed = vault.seal(*PLACE, b"old")
    (key,) = vault.keys_folder().iterdir()
    aside = key.rename(key.with_suffix(".away"))
    vault.forget()
    renewed = vault.seal(*PLACE, b"new")
    vault.forget()
    assert vault.unseal(*PLACE, renewed) == b"new"
    with pytest.raises(StoreError, match="Put the key"):
        vault.unseal(*PLACE, sealed)
    aside.rename(key)  # it comes back: both open
    assert vault.unseal(*PLACE, sealed) == b"old"
    assert vault.unseal(*PLACE, renewed) == b"new"


def test_a_folder_that_cannot_hold_the_key_is_named() -> None:
    vault.keys_folder().parent.mkdir(parents=True)
    vault.keys_folder().write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="Make that folder writable"):
        vault.seal(*PLACE, b"x")
    with db.reading(db.secrets) as connection:
        assert connection.execute("select count(*) from secret").fetchone() == (0,)


# ── the keyring ───────────────────────────────────────────────────────────────────────────


class Ring:
    """A keyring as the `keyring` package shows it."""

    priority = 5.0

    def __init__(self, *, fails: bool = False) -> None:
        self.kept: dict[str, str] = {}
        self.fails = fails

    def set_password(self, service: str, user: str, password: str) -> None:
        if self.fails:
            raise RuntimeError(f"locked: {password}")
        self.kept[f"{service}/{user}"] = password

    def get_password(self, service: str, user: str) -> str | None:
        return self.kept.get(f"{service}/{user}")


def _install(monkeypatch: pytest.MonkeyPatch, ring: Ring, module: str) -> None:
    kind = type("Keyring", (Ring,), {"__module__": module})
    ring.__class__ = kind
    package, backend = ModuleType("keyring"), ModuleType("keyring.backend")
    backend.get_all_keyring = lambda: [ring]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", package)
    monkeypatch.setitem(sys.modules, "keyring.backend", backend)
    monkeypatch.delenv("BRIMLINE_NO_KEYRING")


def test_the_systems_keyring_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    _install(monkeypatch, ring, "keyring.backends.SecretService")
    sealed = vault.seal(*PLACE, b"x")
    vault.forget()
    assert vault.unseal(*PLACE, sealed) == b"x"
    assert len(ring.kept) == 1
    assert not vault.keys_folder().exists()


def test_a_keyring_without_the_key_is_not_asked_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ring = Ring()
    _install(monkeypatch, ring, "keyring.backends.SecretService")
    sealed = vault.seal(*PLACE, b"x")
    vault.forget()
    asked: list[str] = []

    def look(service: str, user: str) -> None:
        asked.append(user)

    monkeypatch.setattr(ring, "get_password", look)
    for _ in range(3):
        with pytest.raises(StoreError, match="neither in the keyring"):
            vault.unseal(*PLACE, sealed)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("module", "fails"),
    [
        pytest.param("keyrings.alt.file", False, id="a plain-text backend never counts"),
        pytest.param("keyring.backends.SecretService", True, id="a locked keyring"),
    ],
)
def test_without_a_safe_keyring_a_file_keeps_the_key(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: str,
    fails: bool,
) -> None:
    ring = Ring(fails=fails)
    _install(monkeypatch, ring, module)
    with caplog.at_level("DEBUG"):
        vault.seal(*PLACE, b"x")
    assert ring.kept == {}
    (key,) = vault.keys_folder().iterdir()
    assert key.read_text().strip() not in caplog.text
