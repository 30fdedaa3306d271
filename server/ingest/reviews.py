"""Reviews whose log names no parent: each joins the session that it most likely was part of.

A session is also a review when its log tells nothing of the kind and no model but the reviews'
own has answered in it.
"""

from __future__ import annotations

from server import shortjson
from server.ingest.sessions import ADD_THREAD
from server.lazy import record
from server.store import db

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from typing import Any


@record(slots=True)
class Candidate:
    """A session that a review may belong to, and when anything happened in it."""

    key: str
    started_at: int
    ended_at: int
    moments: list[int]  # its calls next to the review


MODEL = "codex-auto-review"
NEARBY = 3_600_000  # a session that ended longer ago is another matter

_REVIEWS = (
    "select id, key, cwd, thread, parent, attached, started_at from session "
    "where kind = 'review' and provider = 'codex' and (parent is null or attached is not null)"
)
# Sessions that are what their model says, and whether that is a review.
_BY_MODEL = (
    "select s.id, s.key, s.thread, s.kind, exists (select 1 from call where session = s.id) "  # noqa: S608
    f"and not exists (select 1 from call where session = s.id and model is not '{MODEL}') "
    "from session s join source_file f on f.id = s.source "
    "where (?1 is null or s.cwd in (select value from json_each(?1))) "
    "and s.provider = 'codex' and s.parent is null and s.kind in ('user', 'review') "
    "and coalesce(json_extract(f.state, '$.meta.kind'), 'user') = 'user'"
)
_SESSIONS = (
    "select cwd, id, key, started_at, coalesce(ended_at, started_at) from session "
    "where kind = 'user' and provider = 'codex' and started_at is not null "
    "and cwd in (select value from json_each(?))"
)
_NEXT = (
    "select max(started_at) from call where session = ?1 and started_at <= ?2 union all "
    "select min(started_at) from call where session = ?1 and started_at > ?2"
)
# The session and what descends from it, which shares its thread.
_MOVE = (
    "with recursive part(id, key) as (select id, key from session where key = ?1 union "
    "select s.id, s.key from session s join part on s.parent = part.key where s.kind != 'user') "
    "update session set thread = ?2 where id in (select id from part)"
)


def attach(folders: set[str] | None) -> None:
    """Have every review without a parent, of these folders or all, belong where it should.

    The outcome is the same in whatever order the logs were read: it follows from what is stored.
    """
    _take_models_word(folders)
    reviews = [row for row in db.rows(_REVIEWS) if folders is None or row[2] in folders]
    if not reviews:
        return
    sessions: dict[str, list[tuple[Any, ...]]] = {}
    for cwd, *session in db.rows(
        _SESSIONS, (shortjson.dumps(sorted({row[2] for row in reviews if row[2]})),)
    ):
        sessions.setdefault(cwd, []).append(tuple(session))
    moves = []
    for _, key, cwd, thread, parent, attached, at in reviews:
        best = None if parent or at is None else nearest(at, _around(sessions.get(cwd, ()), at))
        wanted = best or _thread_of(parent) or key
        if (best, wanted) != (attached, thread):
            moves.append((key, best, wanted, thread))
    if moves:
        with db.writing("calls") as connection:
            for move in moves:
                _move(connection, *move)


def _take_models_word(folders: set[str] | None) -> None:
    """Have sessions be reviews whose model alone says so, and no longer once another answers."""
    asked = None if folders is None else shortjson.dumps(sorted(folders))
    changed = [
        (number, key, thread, "review" if reviews else "user")
        for number, key, thread, kind, reviews in db.rows(_BY_MODEL, (asked,))
        if (kind == "review") != bool(reviews)
    ]
    if not changed:
        return
    with db.writing("calls") as connection:
        for number, key, thread, kind in changed:
            connection.execute("update session set kind = ? where id = ?", (kind, number))
            if kind == "user":
                _move(connection, key, None, key, thread)


def nearest(at: int, candidates: Iterable[Candidate]) -> str | None:
    """The session whose activity is nearest to a moment, of those that had begun by then.

    None where all had ended more than `NEARBY` before. Of equals the one that began last.
    """
    ranked = [
        (min(abs(at - moment) for moment in (one.started_at, one.ended_at, *one.moments)), one)
        for one in candidates
        if one.started_at <= at <= one.ended_at + NEARBY
    ]
    best = min(ranked, key=lambda pair: (pair[0], -pair[1].started_at, pair[1].key), default=None)
    return best[1].key if best else None


def _around(sessions: Iterable[tuple[Any, ...]], at: int) -> Iterable[Candidate]:
    for number, key, started, ended in sessions:
        if started <= at <= ended + NEARBY:
            moments = [when for (when,) in db.rows(_NEXT, (number, at)) if when is not None]
            yield Candidate(key, started, ended, moments)


def _thread_of(parent: str | None) -> str | None:
    """Where a review belongs whose parent was told after all."""
    if parent is None:
        return None
    found = db.rows("select thread from session where key = ?", (parent,))
    return str(found[0][0]) if found else parent


def _move(
    connection: sqlite3.Connection, key: str, attached: str | None, thread: str, former: str
) -> None:
    """Have a review, and what descends from it, belong to another thread, or be its own."""
    connection.execute("update session set attached = ? where key = ?", (attached, key))
    if thread == former:
        return
    project, started, ended, title = connection.execute(
        "select s.project, s.started_at, s.ended_at, json_extract(f.state, '$.title') "
        "from session s left join source_file f on f.id = s.source where s.key = ?",
        (key,),
    ).fetchone()
    own = thread == key
    title = title if own else None
    connection.execute(
        ADD_THREAD,
        (thread, project, "codex", started, ended, title, title and "first_message", own),
    )
    connection.execute(_MOVE, (key, thread))
    connection.execute(
        "delete from thread where id = ?1 and not exists (select 1 from session where thread = ?1)",
        (former,),
    )
