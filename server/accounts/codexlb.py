"""Reads the data folder of codex-lb: accounts with their tokens, API keys, settings.

Its columns have been renamed and added to from release to release, so each is looked for under
the names it has had, and what is missing is left at its default. Nothing there is changed.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.accounts import oauth
from server.accounts.oauth import SignIn, moment
from server.errors import AppError, BadRequest
from server.sentences import why

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

DATABASE, KEY_FILE = "store.db", "encryption.key"
# Ids that codex-lb made up for accounts whose own it did not know; the provider knows none.
_SYNTHETIC = ("email_", "local_")
_LARGEST_KEY = 4096


@dataclass(frozen=True)
class Account:
    """One account of codex-lb: its sign-in, or why that cannot be read."""

    id: str
    email: str
    sign_in: SignIn | None
    problem: str | None
    paused: bool
    alias: str | None
    policy: str | None
    priority: int | None


@dataclass(frozen=True)
class Limit:
    """A ceiling of an API key, in codex-lb's words."""

    measure: str
    window: str
    maximum: int
    model: str | None
    used: int
    resets_at: int | None


@dataclass(frozen=True)
class ApiKey:
    """An API key of codex-lb; its digest is all that is stored of the secret, there as here."""

    id: str
    name: str
    prefix: str
    digest: str = field(repr=False)
    active: bool
    models: tuple[str, ...] | None
    accounts: tuple[str, ...] | None
    expires_at: int | None
    used_at: int | None
    created_at: int | None
    limits: tuple[Limit, ...]


@dataclass(frozen=True)
class Found:
    """Everything that can be taken over."""

    accounts: tuple[Account, ...]
    keys: tuple[ApiKey, ...]
    settings: dict[str, Any]


def read(folder: Path, key_file: Path | None = None) -> Found:
    """Read a data folder of codex-lb. Raises `BadRequest`, saying what to do."""
    try:
        path = folder / DATABASE if folder.is_dir() else folder
        there = path.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise _unusable(f"There is no {DATABASE} in {folder}. codex-lb keeps it in ~/.codex-lb.")
    secret = _fernet(key_file or path.parent / KEY_FILE)
    try:
        with _opened_database(path) as database:
            database.row_factory = sqlite3.Row
            accounts = tuple(_account(row, secret) for row in _rows(database, "accounts"))
            keys = _keys(database)
            settings = _settings(_rows(database, "dashboard_settings"))
    except sqlite3.Error as error:
        raise _unusable(
            f"{path} cannot be read ({error}). Stop codex-lb, and make sure it is its database."
        ) from error
    except OSError as error:
        raise _unusable(
            f"{path} cannot be read ({why(error)}). Make sure that you may read it, and that "
            "there is room for a copy."
        ) from error
    if not accounts and not keys and not settings:
        raise _unusable(f"{path} holds no account, key or setting of codex-lb.")
    return Found(accounts, keys, settings)


@contextmanager
def _opened_database(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, opened so that nothing is made or changed beside it.

    SQLite makes files beside one that was in WAL mode, which a folder may not allow. So without
    changes that wait beside it, it is read as it lies; with some, from a copy, unless the program
    that holds it keeps both files there already.
    """
    wal, shm, journal = (path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))
    uri = path.absolute().as_uri()
    waiting = [each for each in (wal, journal) if each.is_file() and each.stat().st_size]
    if wal.is_file() and shm.is_file():
        with closing(sqlite3.connect(f"{uri}?mode=ro", uri=True)) as database:
            yield database
    elif not waiting:
        with closing(sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)) as database:
            yield database
    else:
        with tempfile.TemporaryDirectory(prefix="brimline-") as folder:
            for each in (path, *waiting):
                shutil.copyfile(each, Path(folder, each.name))
            with closing(sqlite3.connect(Path(folder, path.name))) as database:
                yield database


def _unusable(message: str) -> BadRequest:
    return BadRequest(message, code="invalid_codex_lb_folder")


def _fernet(path: Path) -> Fernet:
    from cryptography.fernet import Fernet

    try:
        with path.open("rb") as file:
            return Fernet(file.read(_LARGEST_KEY).strip())
    except OSError as error:
        raise _unusable(
            f"The key {path} cannot be read ({error.strerror}). codex-lb's tokens open only with "
            "it; give its place with --key-file."
        ) from error
    except ValueError as error:
        raise _unusable(f"{path} is not a key of codex-lb (44 characters).") from error


# ── rows ──────────────────────────────────────────────────────────────────────────────────


def _rows(database: sqlite3.Connection, table: str) -> list[sqlite3.Row]:
    known = database.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone()
    return database.execute(f"select * from {table}").fetchall() if known else []  # noqa: S608


def _first(row: sqlite3.Row, *names: str) -> Any:
    """The first of these columns that is there and not null."""
    known = row.keys()
    return next((row[name] for name in names if name in known and row[name] is not None), None)


def _text(row: sqlite3.Row, *names: str) -> str | None:
    value = _first(row, *names)
    return value.strip()[:255] or None if isinstance(value, str) else None


def _account(row: sqlite3.Row, secret: Fernet) -> Account:
    email = _text(row, "email") or ""
    status = (_text(row, "status") or "").lower()
    priority = _first(row, "priority", "manual_priority")
    found, problem = None, None
    try:
        found = _sign_in(row, secret)
    except AppError as error:
        problem = error.message
    return Account(
        id=str(_first(row, "id")),
        email=found.email if found and found.email else email,
        sign_in=found,
        problem=problem,
        paused=status == "paused",
        alias=_text(row, "alias"),
        policy=_text(row, "routing_policy"),
        priority=priority if isinstance(priority, int) and abs(priority) <= 1000 else None,
    )


def _sign_in(row: sqlite3.Row, secret: Fernet) -> SignIn:
    access, refresh, identity = (
        _opened(_first(row, f"{kind}_token_encrypted", f"encrypted_{kind}_token"), secret)
        for kind in ("access", "refresh", "id")
    )
    if access is None:
        raise _unusable("It has no access token there. Sign in to it here.")
    upstream = _text(row, "chatgpt_account_id")
    if upstream and upstream.startswith(_SYNTHETIC):
        upstream = None
    when = _first(row, "last_refresh", "last_refresh_at")
    return oauth.sign_in(access, refresh, identity, account=upstream, refreshed=when)


def _opened(sealed: Any, secret: Fernet) -> str | None:
    from cryptography.fernet import InvalidToken

    if sealed is None or sealed in ("", b""):
        return None
    try:
        return secret.decrypt(sealed).decode("ascii")
    except (InvalidToken, ValueError, TypeError) as error:
        raise _unusable("Its tokens do not open with this key file.") from error


def _keys(database: sqlite3.Connection) -> tuple[ApiKey, ...]:
    limits: dict[str, list[Limit]] = {}
    for row in _rows(database, "api_key_limits"):
        limits.setdefault(str(_first(row, "api_key_id", "key_id")), []).append(_limit(row))
    assigned: dict[str, list[str]] = {}
    for table in ("api_key_accounts", "api_key_account_assignments"):
        for row in _rows(database, table):
            account = _first(row, "account_id")
            assigned.setdefault(str(_first(row, "api_key_id", "key_id")), []).append(str(account))
    found = [_key(row, limits, assigned) for row in _rows(database, "api_keys")]
    return tuple(key for key in found if len(key.digest) == 64)


def _key(
    row: sqlite3.Row, limits: dict[str, list[Limit]], assigned: dict[str, list[str]]
) -> ApiKey:
    name = str(_first(row, "id"))
    return ApiKey(
        id=name,
        name=_text(row, "name") or "codex-lb",
        prefix=_text(row, "key_prefix", "prefix") or "sk-clb-",
        digest=(_text(row, "key_hash", "hash") or "").lower(),
        active=bool(_first(row, "is_active", "active") in (1, True)),
        models=_listed(_first(row, "allowed_models")),
        accounts=tuple(assigned[name]) if name in assigned else None,
        expires_at=moment(_first(row, "expires_at")),
        used_at=moment(_first(row, "last_used_at")),
        created_at=moment(_first(row, "created_at")),
        limits=tuple(each for each in limits.get(name, ()) if each.maximum > 0),
    )


def _limit(row: sqlite3.Row) -> Limit:
    maximum, used = _first(row, "max_value"), _first(row, "current_value")
    return Limit(
        measure=(_text(row, "limit_type") or "").lower(),
        window=(_text(row, "limit_window") or "").lower(),
        maximum=maximum if isinstance(maximum, int) else 0,
        model=_text(row, "model_filter"),
        used=used if isinstance(used, int) and used > 0 else 0,
        resets_at=moment(_first(row, "reset_at")),
    )


def _listed(value: Any) -> tuple[str, ...] | None:
    try:
        found = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list):
        return None
    return tuple(each for each in found if isinstance(each, str) and each)


# Not import_without_overwrite: there it kept two workspaces of one e-mail apart, here they are
# two accounts anyway, and a second sign-in would only make copies.
_FLAGS = {
    "sticky_threads_enabled": "stickyThreadsEnabled",
    "prefer_earlier_reset_accounts": "preferEarlierResetAccounts",
    "api_key_auth_enabled": "apiKeyAuthEnabled",
}
# What has another name here, or the nearest that there is.
_STRATEGIES = {"relative_availability": "capacity_weighted", "sequential_drain": "fill_first"}


def _settings(rows: Sequence[sqlite3.Row]) -> dict[str, Any]:
    """Its settings under our keys; `singleAccountId` still holds codex-lb's id."""
    if not rows:
        return {}
    row = rows[0]
    found: dict[str, Any] = {
        ours: bool(row[theirs])
        for theirs, ours in _FLAGS.items()
        if theirs in row.keys()  # noqa: SIM118
    }
    strategy = _text(row, "routing_strategy")
    if strategy:
        found["routingStrategy"] = _STRATEGIES.get(strategy.lower(), strategy.lower())
    single = _text(row, "single_account_id")
    if single:
        found["singleAccountId"] = single
    return found
