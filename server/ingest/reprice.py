"""Keeps the calls' prices those of the user's own files, whoever stored the calls."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

from server.errors import AppError
from server.ingest.ledger import Ledger
from server.store import db
from server.usage import ownfiles, ownprices, pricing, slices

log = logging.getLogger(__name__)

_CHUNK = 500
_NOTHING: dict[str, Any] = {"models": {}, "aliases": {}}
_UNTOLD = json.dumps({"tables": [_NOTHING] * 3, "row": 0})
_lock = threading.Lock()
_complaints: dict[str, str] = {}  # said once, not every ten seconds


def keep() -> None:
    """A scheduler job: price anew what the files changed, and calls that came without them.

    Prices that came with a newer Brimline change what an older one stored, too.
    """
    with _lock:
        prices = _tables("pricing.json", ownprices.tables)
        credits = _tables("rate-card.json", ownprices.credits)
        rates = _tables("allowance.json", ownprices.credit_rates)
        tables = [prices, credits, rates]
        known: dict[str, Any] = json.loads(_note("prices") or _UNTOLD)
        # The database lowers it when the newest calls go, as their numbers are given away again.
        known["row"] = int(_note("priced") or known["row"])
        newest = int(db.rows("select coalesce(max(rowid), 0) from call")[0][0])
        now: dict[str, Any] = {"tables": tables, "row": newest}
        anew = _note("edition") != pricing.edition()
        changed = known["tables"] != tables
        names = _names(*tables) | (_names(*known["tables"]) if changed else set())
        models = _models(names, everything=anew)
        pricing.use(prices, credits, rates)
        if not anew and (now == known or (not changed and tables == [_NOTHING] * 3)):
            return
        models |= _models(names, everything=anew)  # an alias leads elsewhere now
        moved = _price(models, 0 if changed or anew else known["row"])
        with db.writing(*(["calls"] if moved else [])) as connection:
            if moved:
                Ledger().rebuild(connection)
            connection.executemany(
                "replace into ledger_note values (?, ?)",
                [
                    ("prices", json.dumps(now)),
                    ("priced", str(newest)),
                    ("edition", pricing.edition()),
                ],
            )
    if moved:
        slices.forget()
        log.info("%d calls have a new price", moved)


def _note(name: str) -> str | None:
    found = db.rows("select value from ledger_note where name = ?", (name,))
    return found[0][0] if found else None


def _models(names: set[str], *, everything: bool) -> set[str]:
    """What calls are stored as whose price is told under one of these names."""
    if not names and not everything:
        return set()
    stored = db.rows("select distinct name from daily_usage where heading = 'model'")
    return {
        name
        for (name,) in stored
        if everything or name.lower() in names or pricing.listed(name) in names
    }


def _tables(name: str, read: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read(ownfiles.read(name) or {"models": {}})
    except (AppError, ValueError, TypeError) as error:
        if _complaints.get(name) != str(error):
            _complaints[name] = str(error)
            log.warning("%s is left out: %s", name, error)
        return _NOTHING
    _complaints.pop(name, None)
    return found


def _names(*tables: dict[str, Any]) -> set[str]:
    return {name for one in tables for part in ("models", "aliases") for name in one[part]}


def _price(models: set[str], row: int) -> int:
    """Price the calls of some models anew, from a row on; how many changed."""
    moved = 0
    marks = ",".join("?" * len(models))
    while models:
        found = db.rows(
            "select rowid, model, tier, started_at, input, cached, output, reasoning, "  # noqa: S608
            "cache_written, cache_written_1h, cost, credits, price_status from call "
            f"where rowid > ? and model in ({marks}) order by rowid limit ?",
            (row, *sorted(models), _CHUNK),
        )
        if not found:
            break
        row = found[-1][0]
        fresh = [
            (*pricing.costs(name, tier, at, tuple(tokens)), number, before)
            for number, name, tier, at, *tokens, cost, credits, status in found
            for before in [(cost, credits, status)]
        ]
        changes = [one[:4] for one in fresh if one[:3] != one[4]]
        moved += len(changes)
        if changes:
            with db.writing() as connection:
                connection.executemany(
                    "update call set cost = ?, credits = ?, price_status = ? where rowid = ?",
                    changes,
                )
    return moved
