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
_UNTOLD: dict[str, Any] = {"tables": [_NOTHING] * 3, "row": 0}
_lock = threading.Lock()
_complaints: dict[str, str] = {}  # said once, not every ten seconds


def keep() -> None:
    """A scheduler job: price anew what the files changed, and calls that came without them."""
    with _lock:
        prices = _tables("pricing.json", ownprices.tables)
        credits = _tables("rate-card.json", ownprices.credits)
        rates = _tables("allowance.json", ownprices.credit_rates)
        tables = [prices, credits, rates]
        note = db.rows("select value from ledger_note where name = 'prices'")
        known: dict[str, Any] = json.loads(note[0][0]) if note else _UNTOLD
        newest = int(db.rows("select coalesce(max(rowid), 0) from call")[0][0])
        now: dict[str, Any] = {"tables": tables, "row": newest}
        pricing.use(prices, credits, rates)
        if now == known or (known["tables"] == tables == [_NOTHING] * 3):
            return
        changed = known["tables"] != tables
        names = _names(*tables) | (_names(*known["tables"]) if changed else set())
        moved = sum(_price(name, 0 if changed else known["row"]) for name in sorted(names))
        with db.writing(*(["calls"] if moved else [])) as connection:
            if moved:
                Ledger().rebuild(connection)
            connection.execute("replace into ledger_note values ('prices', ?)", (json.dumps(now),))
    if moved:
        slices.forget()
        log.info("%d calls have a new price", moved)


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


def _price(model: str, row: int) -> int:
    """Price the calls of one model anew, from a row on; how many changed."""
    moved = 0
    while True:
        found = db.rows(
            "select rowid, model, tier, started_at, input, cached, output, reasoning, "
            "cache_written, cost, credits, price_status from call "
            "where rowid > ? and lower(model) = ? order by rowid limit ?",
            (row, model, _CHUNK),
        )
        if not found:
            return moved
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
