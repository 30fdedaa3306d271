"""Requests that the proxy finished → calls, one with what a log tells of them."""

from __future__ import annotations

from server.ingest import callrows, reconcile, sessions

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from server.ingest.callrows import Calls
    from server.ingest.reconcile import Finished, Row


class Requests:
    """Joins requests with the calls. Every method runs inside a transaction."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def see(self, connection: sqlite3.Connection, finished: Sequence[Finished]) -> bool:
        """Add or join each; whether any of them is a call."""
        named = {one.response_id for one in finished if one.response_id}
        # All at once: each statement costs the proxy.
        known = callrows.rows_of(connection, list(named))
        found = [self._see(connection, one, known) for one in finished]
        return any(found)

    def _see(self, connection: sqlite3.Connection, one: Finished, known: dict[str, Row]) -> bool:
        session, project, logged = _session_for(connection, one)
        row = reconcile.from_proxy(one, session)
        if row is None:
            return False
        same = known.get(row.id)
        if same is None and logged:
            same = callrows.twin(connection, row, reconcile.LOG)
        if same is None:
            self._calls.add(connection, row, project)
        elif same.seen & reconcile.PROXY == 0:
            # The response id names the call for ever; a made-up id gives way to it.
            row = reconcile.join(same, row)._replace(id=row.id)
            self._calls.replace(connection, same, row)
        else:
            return True
        known[row.id] = row  # it may come twice at once
        return True


def _session_for(
    connection: sqlite3.Connection, one: Finished
) -> tuple[int | None, str | None, bool]:
    """The session of a request, its project, and whether a log has told of it."""
    if not one.session_id:
        return None, None, False
    found = connection.execute(
        "select id, thread, project, source from session where key = ?", (one.session_id,)
    ).fetchone()
    if found:
        connection.execute(
            "update thread set last_at = coalesce(max(last_at, ?1), ?1) where id = ?2",
            (one.ended_at, found[1]),
        )
        return int(found[0]), found[2], found[3] is not None
    parent = one.parent if one.parent != one.session_id else None
    meta = {
        "client": one.client, "started": one.started_at, "kind": one.kind, "parent": parent,
        "title": one.title,
    }  # fmt: skip
    added = sessions.add(connection, one.session_id, "codex", meta, None, one.ended_at)[0]
    return added, None, False
