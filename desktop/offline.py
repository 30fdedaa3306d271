"""The data folder without a server: the few verbs of the command line that are safe then.

Whoever opens the folder holds the server's lock, so no server can start in between; with a
server running these verbs go through it instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from desktop.display import moment
from desktop.supervisor import NotRunning
from server.config import Config
from server.errors import BadRequest
from server.store.lock import Lock

if TYPE_CHECKING:
    from server.accounts.pool import Imported, Pool


@contextmanager
def locked(config: Config) -> Iterator[None]:
    """Hold the data folder as a server would; raises `NotRunning` when one has it."""
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = Lock(config.data_dir / "serve.lock")
    if not lock.acquire():
        raise NotRunning(
            "Another Brimline has this data folder, but does not answer. "
            "Wait until it has started or ended, then try again."
        )
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
        db.open_databases(config.data_dir, strict=config.strict_writes)
        try:
            migrations.migrate()
            settings.load()
            found = Pool(config)
            found.load()
            yield found
        finally:
            db.close_databases()


def scan(config: Config, progress: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Bring the index up to date without a server; returns the totals of `brimline scan`."""
    from server.ingest import scan as scanner

    with locked(config):
        return scanner.run(config, progress)


def next_reset(account: dict[str, Any], now: int) -> int:
    """When the first of the account's windows resets; raises `BadRequest` when unknown."""
    resets = [moment(window.get("resetAt")) for window in account.get("windows") or ()]
    ahead = [at for at in resets if at is not None and at > now]
    if not ahead:
        raise BadRequest("No reset of this account is known. Pause it with --for 5h instead.")
    return min(ahead)


def imported(result: Imported) -> dict[str, Any]:
    """What an import says, in the API's shape."""
    return {
        "accountId": result.account,
        "email": result.email,
        "planType": result.plan,
        "status": result.status,
    }
