"""What logs say of the allowance → rows of the table `snapshot`."""

from __future__ import annotations

from server.accounts import windows
from server.ingest import codex

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

_MOST = 200  # percent: more than all may be used, but never by so much
_NUMBERS = (float, int)  # `float | int` would be made anew for each

_keys: dict[tuple[Any, int | None, str], str] = {}


def snapshots(connection: sqlite3.Connection, limits: Sequence[tuple[int, dict[str, Any]]]) -> None:
    """Keep what logs say of the allowance."""
    rows = [row for at, value in limits for row in snapshot_rows(at, value)]
    connection.executemany(
        "insert into snapshot(account, source, window, used_percent, window_minutes, resets_at, "
        "plan, observed_at) values ('', 'log', ?, ?, ?, ?, ?, ?)",
        rows,
    )


def snapshot_rows(at: int, limits: dict[str, Any]) -> list[tuple[Any, ...]]:
    """A log's rate limits as (window, used, minutes, resets at, plan, observed at)."""
    plan = limits.get("plan_type")
    rows = []
    for slot in ("primary", "secondary"):
        window = limits.get(slot)
        if not isinstance(window, dict):
            continue
        used = window.get("used_percent")
        if not isinstance(used, _NUMBERS) or isinstance(used, bool) or not 0 <= used <= _MOST:
            continue
        minutes = codex.whole(window.get("window_minutes"))
        resets = codex.whole(window.get("resets_at"))
        if resets is None and window.get("resets_at") is not None:
            continue  # a window that says what cannot be is not believed in its other figures
        within = None if resets else codex.whole(window.get("resets_in_seconds"))
        moment = resets * 1000 if resets else at + within * 1000 if within else None
        key = _window_key(limits.get("limit_id"), minutes, slot)
        rows.append((key, used, minutes, moment, plan if isinstance(plan, str) else None, at))
    return rows


def _window_key(limit: Any, minutes: int | None, slot: str) -> str:
    """What a window is known by; logs tell of the same few again and again."""
    name = limit if isinstance(limit, str) and limit not in ("", "codex") else ""
    key = _keys.get((name, minutes, slot))
    if key is None:
        if len(_keys) > 1000:  # no log of ours has so many
            _keys.clear()
        key = f"{name}:" * bool(name) + windows.classify(minutes, slot)
        _keys[name, minutes, slot] = key
    return key
