"""The model responses that the panels count: the ledger's calls, and what only telemetry saw.

One list, so that a number of two sources has all its rows in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.errors import Unprocessable
from server.store import db
from server.times import iso
from server.usage import behind
from server.usage.outcomes import PATIENCE_MS
from server.usage.steps import Span

LACKS = ("", "model", "conversation")
_LEDGER, _TOLD = 1, 0  # of one moment, the ledger's come first
# By side: its columns, where they are, its time and its number.
_SIDES = {
    _LEDGER: (
        "c.started_at, c.rowid, c.id, c.model, s.key, s.thread, t.title, c.input, c.cached, "
        "c.output",
        "from call c left join session s on s.id = c.session left join thread t "
        "on t.id = s.thread where c.provider in (select value from json_each(?)) and "
        "c.started_at >= ? and c.started_at < ?",
        "c.started_at, c.rowid",
        "c.input, c.cached, c.output",
    ),
    _TOLD: (
        "u.at, u.rowid, null, u.model, nullif(u.session_id, ''), s.thread, t.title, u.input, "
        "u.cached, u.output",
        "from telemetry_usage u left join session s on s.key = u.session_id left join thread t "
        "on t.id = s.thread where u.provider in (select value from json_each(?)) and u.at "
        ">= ? and u.at < ? and u.call is null "
        "and u.at <= ? and not exists (select 1 from call c join session x on x.id = c.session "
        "where x.key = u.session_id and c.started_at > u.at and c.seen & 3)",
        "u.at, u.rowid",
        "u.input, u.cached, u.output",
    ),
}


@dataclass(frozen=True)
class Wanted:
    """Which responses of a span in whole quarters of an hour; empty means all."""

    span: Span
    models: tuple[str, ...] = ()
    conversation: str = ""
    user: str = ""  # by the name that the panel of users shows
    lacks: str = ""


def responses(wanted: Wanted, limit: int, cursor: str, now: int) -> dict[str, Any]:
    """The newest first, `limit` a page, and what all of them come to, by source."""
    place = _place(cursor) if cursor else None
    found: list[tuple[tuple[int, int, int], dict[str, Any]]] = []
    sums: dict[int, tuple[int, ...]] = {}
    with db.reading():
        for side in _SIDES:
            where, values = _where(wanted, side, now)
            figures = ", ".join(f"total({name})" for name in _SIDES[side][3].split(", "))
            (row,) = db.rows(f"select count(*), {figures} {where}", values)  # noqa: S608
            sums[side] = tuple(map(int, row))
            found += _page(side, where, values, place, limit + 1)
    found.sort(key=lambda one: one[0], reverse=True)
    page = found[:limit]
    total = [sum(column) for column in zip(*sums.values(), strict=True)]
    more = len(found) > limit
    return {
        "rows": [row for _, row in page],
        "total": total[0],
        "sources": {"ledger": sums[_LEDGER][0], "telemetry": sums[_TOLD][0]},
        "tokens": {
            "inputTokens": total[1], "cachedInputTokens": total[2], "outputTokens": total[3],
        },
        "hasMore": more,
        "nextCursor": ".".join(map(str, page[-1][0])) if more else None,
    }  # fmt: skip


def _page(
    side: int, where: str, values: list[Any], place: tuple[int, int, int] | None, limit: int
) -> list[tuple[tuple[int, int, int], dict[str, Any]]]:
    columns, _, order, _ = _SIDES[side]
    if place is not None:
        at, last, number = place
        # Of the cursor's moment the other side has shown all of its rows, or none.
        number = number if side == last else (-1 if side > last else 2**62)
        where += f" and ({order}) < (?, ?)"
        values = [*values, at, number]
    first, second = order.split(", ")
    rows = db.rows(
        f"select {columns} {where} order by {first} desc, {second} desc limit ?",  # noqa: S608
        (*values, limit),
    )
    return [((row[0], side, row[1]), _row(side, row)) for row in rows]


def _row(side: int, values: tuple[Any, ...]) -> dict[str, Any]:
    at, _, call, model, conversation, thread, title, taken, cached, output = values
    return {
        "at": iso(at), "source": "ledger" if side == _LEDGER else "telemetry", "callId": call,
        "model": model or None, "conversation": conversation, "threadId": thread, "title": title,
        "inputTokens": taken, "cachedInputTokens": cached, "outputTokens": output,
        "totalTokens": taken + output,
    }  # fmt: skip


def _where(wanted: Wanted, side: int, now: int) -> tuple[str, list[Any]]:
    """Where a side's rows are, narrowed as asked."""
    since, until, whose = wanted.span.values()
    sql, values = _SIDES[side][1], [whose, since, until]
    ours = side == _LEDGER
    if not ours:
        values.append(now - PATIENCE_MS)
    model, session = ("c.model", "s.key") if ours else ("u.model", "u.session_id")
    if wanted.models:
        sql += f" and {model} in ({','.join('?' * len(wanted.models))})"
        values += wanted.models
    if wanted.conversation:
        sql += f" and {session} = ?"
        values.append(wanted.conversation)
    if wanted.lacks:
        sql += f" and coalesce({model if wanted.lacks == 'model' else session}, '') = ''"
    if wanted.user:
        condition, given = behind.user(wanted.user, ours)
        sql += f" and {condition}"
        values += given
    return sql, values


def _place(cursor: str) -> tuple[int, int, int]:
    parts = cursor.split(".")
    digits = len(parts) == 3 and all(one.isascii() and one.isdigit() for one in parts)
    if not digits or max(map(len, parts)) > 18:
        raise Unprocessable("“cursor” must be the nextCursor of an earlier answer.")
    at, side, number = map(int, parts)
    return at, side, number
