"""The rows of the table `source_file`: how far each log is read, and what it is said to hold."""

from __future__ import annotations

from server import shortjson
from server.ingest.reader import CUT_OFF
from server.store import db

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from server.ingest.files import Source
    from server.ingest.reader import Batch
    from server.ingest.reconcile import Row

# The kinds of warning that are no lost line.
_HARMLESS = {
    "unusual_shape", "mended_number", "mended_time", "mended_text", "unreadable", CUT_OFF,
    "unknown_line", "unknown_event", "missing_total", "missing_last", "partial_count", "bad_window",
}  # fmt: skip


def add(connection: sqlite3.Connection, source: Source, number: int | None) -> int:
    """Add a log of which nothing is stored; returns its number."""
    cursor = connection.execute(
        'insert into source_file(id, provider, name, path, inode, size, mtime_ns, "offset", '
        "fingerprint, state, archived, missing, calls, input, cached, output, reasoning, skipped, "
        "warnings, indexed_at) values (?,?,?,?,?,?,?,0,'','{}',?,0,0,0,0,0,0,0,'{}',?)",
        (
            number,
            source.provider,
            source.name,
            source.path,
            source.inode,
            source.size,
            source.mtime_ns,
            source.archived,
            db.now_ms(),
        ),
    )
    return int(cursor.lastrowid or 0)


def move(
    connection: sqlite3.Connection, source: Source, batch: Batch, added: Sequence[int]
) -> None:
    """Note how far a log is read, and what that added to it."""
    if batch.guessed and batch.state.get("owner"):
        end_with_calls(connection, batch.state["owner"])
    skipped = skipped_lines(batch)
    before = connection.execute(
        "select warnings from source_file where id = ?", (source.id,)
    ).fetchone()
    warnings = shortjson.loads(before[0]) if before else {}
    known = dict(warnings)
    warnings.pop("unreadable", None)  # now it was read
    warnings.pop(CUT_OFF, None)  # the batch says it again if it still is
    for kind, count in batch.warnings.items():
        warnings[kind] = warnings.get(kind, 0) + count
    connection.execute(
        'update source_file set path = ?, inode = ?, size = ?, mtime_ns = ?, "offset" = ?, '
        "fingerprint = ?, state = ?, archived = ?, missing = 0, calls = calls + ?, "
        "input = input + ?, cached = cached + ?, output = output + ?, reasoning = reasoning + ?, "
        "skipped = skipped + ?, warnings = case when ? then ? else warnings end, indexed_at = ? "
        "where id = ?",
        (
            source.path,
            source.inode,
            source.size,
            source.mtime_ns,
            batch.offset,
            source.fingerprint,
            shortjson.dumps(batch.state, separators=(",", ":")),
            source.archived,
            *added[:5],
            skipped,
            warnings != known,
            shortjson.dumps(warnings),
            db.now_ms(),
            source.id,
        ),
    )


def skipped_lines(batch: Batch) -> int:
    """How many lines of a batch are lost."""
    return sum(n for kind, n in batch.warnings.items() if kind not in _HARMLESS)


def uncount(connection: sqlite3.Connection, row: Row) -> None:
    """Take a call out of what its file is said to hold."""
    recount(connection, row, -1)


def recount(connection: sqlite3.Connection, row: Row, sign: int) -> None:
    """Add a row's figures to what its file is said to hold; as a call (1), out of it (-1), or to
    a call that is counted (0).
    """
    times = sign or 1
    connection.execute(
        "update source_file set calls = calls + ?, input = input + ?, cached = cached + ?, "
        "output = output + ?, reasoning = reasoning + ? where id = ?",
        (
            sign,
            times * row.input,
            times * row.cached,
            times * row.output,
            times * row.reasoning,
            row.source,
        ),
    )


def empty(connection: sqlite3.Connection, source: int) -> None:
    """Let a file and its session be as if nothing of it had been read."""
    _forget_guesses(connection, source)
    # The head that another log of the session begins with is still cut out of that one's calls.
    connection.execute(
        "update session set inherited = 0, guessed = 0 where (source = ?1 or key = "
        "(select json_extract(state, '$.owner') from source_file where id = ?1)) "
        "and not exists (select 1 from call where session = session.id and seen & 1)",
        (source,),
    )
    # It is as long as what is left of it, until it is read.
    connection.execute(
        "update session set ended_at = (select max(started_at) from call where session = "
        "session.id) where source = ?",
        (source,),
    )
    connection.execute(
        "update source_file set calls = 0, input = 0, cached = 0, output = 0, reasoning = 0, "
        "skipped = 0, warnings = '{}', \"offset\" = 0, state = '{}' where id = ?",
        (source,),
    )


def _forget_guesses(connection: sqlite3.Connection, source: int) -> None:
    """Let a session end with its calls again if times in a log of it had to be guessed."""
    found = connection.execute(
        "select json_extract(state, '$.owner') from source_file where id = ? "
        "and json_extract(warnings, '$.mended_time')",
        (source,),
    ).fetchone()
    if found is not None:
        end_with_calls(connection, found[0])


def end_with_calls(connection: sqlite3.Connection, owner: str) -> None:
    """Let a session and its thread end with their calls, whatever was guessed before."""
    connection.execute(
        "update session set ended_at = (select max(started_at) from call where session = "
        "session.id) where key = ?",
        (owner,),
    )
    connection.execute(
        "update thread set last_at = (select max(ended_at) from session where thread = thread.id) "
        "where id in (select thread from session where key = ?)",
        (owner,),
    )


def hand_over(connection: sqlite3.Connection, gone: int, copy: int) -> None:
    """Add what a file that is gone was said to hold to one that says the same."""
    sums = ("calls", "input", "cached", "output", "reasoning")
    added = ", ".join(f"{name} = source_file.{name} + old.{name}" for name in sums)
    connection.execute(
        f"update source_file set {added} from source_file old "  # noqa: S608 - our names
        "where old.id = ? and source_file.id = ?",
        (gone, copy),
    )
    connection.execute("delete from source_file where id = ?", (gone,))
