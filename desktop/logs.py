"""Logs and the index by hand: look into one file, read everything anew, empty the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from desktop import offline
from server.config import Config
from server.errors import AppError

_PIECE = 8 << 20
_LONGEST = 64 << 20
_LEDGER = (
    "call", "session", "thread", "source_file", "daily_usage", "slice", "thread_usage", "fact",
    "fact_call", "fact_file", "tool_run", "file_read", "file_change", "failed_run",
    "diagnostic_snapshot", "told_twice", "told_again",
)  # fmt: skip


_HELD = (
    "Brimline is running and uses this data folder; {command} needs it alone. Quit Brimline first "
    "(`brimline quit`, or Ctrl+C where `brimline serve` runs), then run {command} again."
)


def inspect(path: Path) -> dict[str, Any]:
    """What the parser finds in one log, without storing anything. Raises `AppError`."""
    from server.ingest import claude, codex, files, reader
    from server.ingest.lines import BOM

    name = path.name[:-4] if reader.packed(path.name) else path.name
    name = name[:-6] if name[-6:].lower() == ".jsonl" else name
    told = files.thread_of(str(path))
    rollout = name.startswith("rollout-") or told is not None
    fold: Callable[..., Any] = codex.fold if rollout else claude.fold
    state: Any = codex.State() if rollout else claude.State()
    if rollout:
        state.owner = codex.owner_of(name) or told
    found = {"calls": 0, "input": 0, "cached": 0, "output": 0, "reasoning": 0, "lines": 0}
    models: dict[str, int] = {}
    batch = reader.Batch()
    warnings = batch.warnings
    calls: list[codex.Call] = []
    base = rate_limits = 0
    pieces = _Pieces(path)
    for piece in pieces:
        lines = piece if base else piece.removeprefix(BOM)
        records, state = fold(memoryview(lines), base + len(piece) - len(lines), state)
        base += len(piece)
        found["lines"] += piece.count(b"\n")
        rate_limits += len(records.limits)
        for kind, count in records.warnings.items():
            warnings[kind] = warnings.get(kind, 0) + count
        calls += records.calls
    for one in calls if rollout else claude.responses(calls):
        call = reader.mended(one, batch, str(path))
        models[call[2] or "unknown"] = models.get(call[2] or "unknown", 0) + 1
        found["calls"] += 1
        for key, place in (("input", 7), ("cached", 8), ("output", 10), ("reasoning", 11)):
            found[key] += call[place]
    if pieces.too_long:
        warnings["too_long"] = pieces.too_long
    return {
        "path": str(path),
        "provider": "codex" if rollout else "claude",
        "session": state.owner if rollout else claude.owner_of(str(path.with_name(name))),
        "bytes": pieces.size,
        **found,
        "models": models,
        "rateLimits": rate_limits,
        "warnings": warnings,
        "unfinishedBytes": pieces.rest,
        "notes": _notes(pieces, warnings, found["calls"]),
    }


# What a warning means, for a person; the words of the pages are in the catalogues.
_KINDS = {
    "not_json": "is not JSON, or ends too early",
    "not_object": "is no JSON object",
    "binary": "is not text",
    "encoding": "is not text in UTF-8",
    "too_deep": "is nested too deeply",
    "too_long": "is longer than 64 MB",
    "bad_number": "has a figure that cannot be",
    "bad_time": "has no time that can be",
    "bad_record": "has a usage record in an unknown form",
    "rate_limits": "has an allowance in an unknown form",
    "missing_info": "counts tokens, but tells none",
}


_MENDED = {
    "mended_number": "a figure cannot be (a part larger than its whole); it is cut, and counts so",
    "mended_time": "a time cannot be; the call counts at the time of the file",
    "missing_total": "a count lacks the session's total; the call's own figures count",
    "missing_last": "a count lacks the call's own figures; they are worked out of the totals",
    "partial_count": "a count lacks a figure; it is worked out of the totals where they tell it",
    "bad_window": "a count's context window cannot be; the one before holds",
    "unknown_event": "an event of a kind that is not known; it was passed over",
    "unknown_line": "a line of a kind that is not known; it was passed over",
    "mended_text": "a line holds bytes that are no UTF-8; they are replaced, and the line counts",
}


def _notes(pieces: _Pieces, warnings: dict[str, int], calls: int) -> list[str]:
    """What there is to say about the file, in sentences."""
    said = [
        f"{count:,} × a line {_KINDS[kind]}; it is left out."
        for kind, count in sorted(warnings.items())
        if kind in _KINDS
    ]
    said += [f"{warnings[kind]:,} × {what}." for kind, what in _MENDED.items() if kind in warnings]
    if pieces.cut:
        said.append(
            "The compressed log ends before its end, as after a copy that broke off. What comes "
            "before counts; compress or copy it again to have the rest."
        )
    elif pieces.size == 0:
        said.append("The file is empty.")
    elif pieces.nothing:
        said.append(
            "The file holds nothing but NUL bytes: what was written never reached the disk, as "
            "after a power cut. Nothing in it can be read."
        )
    elif pieces.rest:
        said.append(
            f"The last {pieces.rest:,} bytes are a line without an end. They are read once the "
            "line is finished; if the program that wrote it was stopped, they stay unread."
        )
    if not calls and pieces.size and not pieces.nothing:
        said.append("No call was found: either none has ended yet, or this is no session log.")
    return said


class _Pieces:
    """Whole lines in pieces; a last line without an end is left out, as the indexer does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = self.rest = self.too_long = 0
        self.nothing = True  # but NUL bytes
        self.cut = False  # a packed log that ends before its end

    def __iter__(self) -> Iterator[bytes]:
        from server.ingest import reader

        rest, endless = b"", False
        for piece in _bytes_of(self.path):
            self.size += len(piece)
            self.nothing = self.nothing and not piece.strip(b"\0")
            rest += piece
            end = rest.rfind(b"\n") + 1
            if endless and end:
                # What is left of a line that was too long ends here.
                begin = rest.find(b"\n") + 1
                rest, end, endless = rest[begin:], end - begin, False
            if end and not endless:
                yield rest[:end]
                rest = rest[end:]
            elif len(rest) > _LONGEST:
                self.too_long += not endless
                rest, endless = b"", True
        self.rest = len(rest)
        self.nothing = self.nothing and self.size > 0
        self.cut = reader.cut_off(str(self.path))


def _bytes_of(path: Path) -> Any:
    """A log's bytes in pieces, unpacked. Raises `AppError`."""
    import zstandard

    if not path.is_file():
        raise AppError(f"{path} is not a file. Give the path of a .jsonl or .jsonl.zst log.")
    try:
        with path.open("rb") as file:
            source: Any = file
            if path.suffix.lower() == ".zst":
                source = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
                    file, read_across_frames=True
                )
            while piece := source.read(_PIECE):
                yield piece
    except zstandard.ZstdError as error:
        raise AppError(f"{path} is damaged: it cannot be unpacked ({error}).") from error
    except (OSError, EOFError) as error:
        raise AppError(f"{path} cannot be read: {error}.") from error


def rebuild(config: Config) -> dict[str, Any]:
    """Read every log that is still on disk anew; rows of logs that are gone stay.

    A log that is gone while another of its thread is there was renamed or copied: its rows are
    the other's, and so replaced.
    """
    from server.ingest import renames, scan
    from server.ingest.ledger import Ledger
    from server.store import db

    with _opened(config, "brimline rebuild-index"), db.writing("calls") as connection:
        listed = connection.execute("select provider, name, id, missing from source_file")
        known = {(row[0], row[1]): (int(row[2]), bool(row[3])) for row in listed.fetchall()}
        lost = [key for key, (_, missing) in known.items() if missing]
        for gone, there in renames.outlived(known, lost):
            Ledger().hand_over(connection, known[gone][0], known[there][0])
        connection.execute(
            "update source_file set fingerprint = '', size = 0, mtime_ns = 0, inode = 0 "
            "where missing = 0"
        )
        connection.execute("delete from ledger_note where name = 'slices'")
    return scan.run(config)


def reset(config: Config) -> dict[str, int]:
    """Empty the ledger (never the accounts, keys or request log); rows removed, by table."""
    from server.store import db

    with _opened(config, "brimline reset-db --yes"), db.writing("calls") as connection:
        removed = {
            table: connection.execute(f"delete from {table}").rowcount  # noqa: S608 - our names
            for table in _LEDGER
        }
        connection.execute("delete from ledger_note")
    return removed


def _opened(config: Config, command: str) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def opened() -> Any:
        from server.store import db, migrations, settings

        with offline.locked(config, _HELD.format(command=command)):
            db.open_databases(config.data_dir, strict=config.strict_writes)
            try:
                migrations.migrate()
                settings.load()
                yield
            finally:
                db.close_databases()

    return opened()
