"""The user's own files in the data folder: thresholds, projects, prices, copied allowance."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from server.errors import AppError, Conflict, Unprocessable
from server.sentences import say, why
from server.store import db

_LARGEST = 4 << 20
NAMES = ("thresholds.json", "projects.json", "pricing.json", "rate-card.json", "allowance.json")
_known: dict[Path, tuple[tuple[int, int, int], dict[str, Any] | AppError]] = {}


def path(name: str) -> Path:
    """Where the file lies, whether or not it is there."""
    return Path(str(db.usage.database)).parent / name


def stamp(name: str) -> tuple[int, int, int] | None:
    """What changes whenever the file does; None while it is missing."""
    try:
        said = path(name).stat()
    except OSError:
        return None
    return said.st_mtime_ns, said.st_size, said.st_ino


def read(name: str) -> dict[str, Any]:
    """The file's JSON object, `{}` when there is none; read again only when it changed.

    Raises `Unprocessable` with the reason when it cannot be used.
    """
    now = stamp(name)
    if now is None:
        return {}
    place = path(name)
    before = _known.get(place)
    if before is None or before[0] != now:
        before = _known[place] = (now, _parse(place, now[1]))
    if isinstance(before[1], AppError):
        raise before[1]
    return before[1]


def error(name: str) -> str | None:
    """Why the file cannot be used; None when it can, or is not there."""
    try:
        read(name)
    except AppError as problem:
        return problem.message
    return None


def write(name: str, value: dict[str, Any], *, force: bool = True) -> Path:
    """Store the file (0600) in one step, the one before beside it as `.bak`.

    Raises `Conflict` (code `file_exists`) when there is one and `force` is off.
    """
    place = path(name)
    if place.exists():
        if not force:
            raise Conflict(
                f"{place.name} exists already. Edit it, or force a new one.", code="file_exists"
            )
        backup = place.with_suffix(".json.bak")
        backup.unlink(missing_ok=True)
        _private(backup, place.read_bytes()[:_LARGEST])
    temporary = place.with_suffix(f".{os.getpid()}")
    temporary.unlink(missing_ok=True)
    _private(temporary, json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")
    temporary.replace(place)
    return place


def _private(place: Path, content: bytes) -> None:
    handle = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _parse(place: Path, size: int) -> dict[str, Any] | AppError:
    def refuse(name: str) -> Any:
        raise ValueError(say("why.infinite", value=name))

    try:
        if not place.is_file():  # a pipe would be waited for
            raise ValueError(say("why.irregular"))
        if size > _LARGEST:
            raise ValueError(say("why.large", most=_LARGEST >> 20))
        value = json.loads(place.read_bytes(), parse_constant=refuse)
        if not isinstance(value, dict):
            raise ValueError(say("why.object"))
    except (OSError, ValueError, RecursionError) as problem:
        said = say("own.broken", file=place.name, why=why(problem))
        return Unprocessable(said, code="file_not_usable")
    return value
