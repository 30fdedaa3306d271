"""The data folder without a server: the few verbs of the command line that are safe then.

Whoever opens the folder holds the server's lock, so no server can start in between; with a
server running these verbs go through it instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from desktop.supervisor import NotRunning
from server.config import Config
from server.errors import BadRequest
from server.store.lock import Lock

if TYPE_CHECKING:
    from server.accounts.pool import Pool

_ANSWER_SECONDS = 30.0


_SILENT = (
    "Another Brimline has this data folder, but does not answer. "
    "Wait until it has started or ended, then try again."
)


@contextmanager
def locked(config: Config, held: str = _SILENT) -> Iterator[None]:
    """Hold the data folder as a server would; raises `NotRunning` with `held` when one has it."""
    lock = Lock(config.data_dir / "serve.lock")
    if not lock.acquire():
        raise NotRunning(held)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def pool(config: Config) -> Iterator[Pool]:
    """The accounts of a data folder that no server uses."""
    from server.accounts.pool import Pool
    from server.store import db, migrations, settings

    with locked(config):
        notices = db.open_databases(config.data_dir, strict=config.strict_writes)
        try:
            migrations.migrate()
            settings.load()
            found = Pool(config)
            found.load(notices)
            yield found
        finally:
            db.close_databases()


def is_strict() -> bool:
    """Whether the settings of the folder that was read last hide what accounts are called."""
    from server.store import settings

    return bool(settings.get("privacyMode") == "strict")


def unnamed(account: dict[str, Any]) -> dict[str, Any]:
    """An account of `/api/accounts` as the strict privacy mode shows it."""
    from server.accounts import summary

    return summary.unnamed(account)


def hidden(account: str) -> str:
    """What the strict privacy mode calls an account."""
    from server.accounts import summary

    return summary.hidden(account)


def add(found: Pool, auth_json: bytes) -> dict[str, Any]:
    """Import one auth.json; returns what the API would.

    The pool asks the provider in the background and may renew the tokens then, so we stay until
    that is over: a renewed token that is not stored would sign the account out.
    """
    result = found.add(auth_json)
    found.ask(result.id).wait(_ANSWER_SECONDS)
    found.flush()
    return {
        "accountId": result.id,
        "email": result.email,
        "planType": result.plan,
        "status": result.status,
    }


def pause(found: Pool, account: str, until: int | None, *, reset: bool, now: int) -> None:
    """Pause an account for good, until a time, or until its shortest window starts afresh."""
    if reset:
        until = found.reset_of(account, now)
        if until is None:
            raise BadRequest("No reset of this account is known. Give a time: --for 5h.")
    found.pause(account, until)
