"""`brimline scan` without a server: bring the index up to date, and add it up."""

from __future__ import annotations

import gc
import os
import time

from server.errors import Conflict
from server.ingest import workers
from server.ingest.files import Job, Source, discover
from server.store.lock import Lock
from server.usage.days import Days

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from server.ingest.files import Files, Folders
    from server.ingest.workers import Team

# A first scan of so many bytes is stored at once or not at all; a longer one goes on where it was.
_AT_ONCE = 1 << 30


def totals() -> dict[str, Any]:
    """What the Codex logs say in all, archived sessions included, and beside it, under `claude`,
    what those of Claude Code say (database open).
    """
    from server.store import db

    found = {
        provider: figures
        for provider, *figures in db.rows(
            "select provider, count(*), total(calls), total(input), total(cached), total(output), "
            "total(reasoning), total(skipped) from source_file group by provider"
        )
    }
    nothing = [0] * 7
    claude = _said(found.get("claude", nothing))
    return {**_said(found.get("codex", nothing)), "claude": claude}


def _said(figures: list[float]) -> dict[str, Any]:
    files, calls, first, cached, output, reasoning, skipped = map(int, figures)
    return {
        "files": files,
        "calls": calls,
        "tokens": {
            "input": first,
            "cachedInput": cached,
            "output": output,
            "reasoningOutput": reasoning,
            "total": first + output,
        },
        "skippedLines": skipped,
    }


_MOST_PLACES = 200
_MENDED = (  # kinds of lines that count, though not as they stand
    "mended_number", "mended_time", "mended_text", "partial_count", "missing_last",
    "missing_total", "bad_window",
)  # fmt: skip


def quality() -> dict[str, Any]:
    """What the logs held that could not be taken as it stands (database open): lines lost, lines
    mended, and the files and folders that were left out, with the kind of trouble.
    """
    from server.ingest.files import left_out
    from server.store import db

    figures = "coalesce(json_extract(warnings, '$.{}'), 0)".format
    skipped, mended = db.rows(
        f"select total(skipped), "  # noqa: S608
        f"total({' + '.join(map(figures, _MENDED))}) "
        "from source_file where warnings != '{}'"
    )[0]
    closed = db.rows(
        "select path, kind from source_file join "
        "(select 'unreadable' as kind union select 'cut_off') "
        "on json_extract(warnings, '$.' || kind) where not missing and warnings != '{}' "
        "order by path"
    )
    # What is read elsewhere already is no loss; it is only listed.
    places = sorted([*closed, *left_out()], key=lambda place: place[1] == "linked_again")
    return {
        "skippedLines": int(skipped),
        "mendedLines": int(mended),
        "leftOut": [{"path": path, "kind": kind} for path, kind in places[:_MOST_PLACES]],
        "leftOutTotal": sum(kind != "linked_again" for _, kind in places),
    }


def run(
    config: Folders,
    progress: Callable[[dict[str, int]], None] | None = None,
    privacy: str = "normal",
) -> dict[str, Any]:
    """Scan without a server and return the totals and the seconds it took.

    Places are told as the stored privacy mode, or `privacy` where it shows less, permits.
    Raises `Conflict` (code `server_running`) when a server has the data folder (ask it instead,
    with `POST /api/scan`), or another scan (try again when that has ended).
    """
    began = time.perf_counter()
    lock = Lock(os.path.join(config.data_dir, "serve.lock"))
    if not lock.acquire():
        raise Conflict(
            "Another Brimline has this data folder: a scan, or a server that does not answer. "
            "Wait until it has ended, or end it, then try again.",
            code="server_running",
        )
    # Nothing here makes cycles; looking for them costs a tenth of the time.
    looks = gc.isenabled()
    gc.disable()
    early = _begin(config)
    try:
        found = _scan(config, early, progress)
        found["quality"] = _shown(found["quality"], found.pop("privacy"), privacy)
        return {**found, "seconds": round(time.perf_counter() - began, 4)}
    finally:
        if early is not None:
            early[1].close()
        if looks:
            gc.enable()
        lock.release()


def _begin(config: Folders) -> tuple[Files, Team] | None:
    """Let helpers read while the database is made; only where nothing can be known yet."""
    if os.path.exists(os.path.join(config.data_dir, "usage.db")):
        return None
    found = discover(config)
    jobs = [Job(Source(*file)) for file in found.values()]
    return (found, workers.start(jobs, Days(), fresh=True)) if jobs else None


def _scan(
    config: Folders,
    early: tuple[Files, Team] | None,
    progress: Callable[[dict[str, int]], None] | None,
) -> dict[str, Any]:
    # Here: a helper that reads already need not wait for them.
    from server.store import db, sqlite

    new = early is not None and sum(job.left for job in early[1].jobs) <= _AT_ONCE
    try:
        if new:
            db.open_new(config.data_dir)
        else:
            db.open_databases(config.data_dir, strict=config.strict_writes, all_of_it=False)
        answer = _fill(config, early, progress)
        if new:
            db.keep_new()
        return answer
    except sqlite.Error as error:
        raise db.StoreError(
            f"Brimline cannot write to its data folder {config.data_dir}: {error}. "
            "Free some space, or choose another folder with --data-dir."
        ) from error
    finally:
        (db.drop_new if new else db.close_databases)()


def _fill(
    config: Folders,
    early: tuple[Files, Team] | None,
    progress: Callable[[dict[str, int]], None] | None,
) -> dict[str, Any]:
    from server.ingest.indexer import Indexer
    from server.ingest.ledger import Ledger
    from server.store import db, migrations, settings

    with db.reading():  # opened once: each time SQLite reads what the tables are
        migrations.migrate()
        settings.load()
        indexer = Indexer(config, Ledger(), alone=True)
        indexer.watch, indexer.early = progress, early
        indexer.scan()
        stored = settings.get("privacyMode")
        return {**totals(), "quality": quality(), "privacy": str(stored)}


def _shown(found: dict[str, Any], stored: str, asked: str) -> dict[str, Any]:
    if stored == asked == "normal":
        return found  # and a scan starts sooner without what follows
    from server.usage.privacy import Privacy, stricter

    return dict(Privacy(stricter(stored, asked)).shown(found))
