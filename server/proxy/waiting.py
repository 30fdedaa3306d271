"""Finished requests that the database did not take before the end, in a file until the next start.

A damaged database takes nothing until a start puts it aside, and a full disk may stay full; what
the proxy did meanwhile is not lost by that start.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

log = logging.getLogger(__name__)

NAME = "requests.waiting"


def keep(folder: Path, waiting: Sequence[dict[str, Any]]) -> bool:
    """Write them down, only for their owner's eyes, in place of what was kept before."""
    path = folder / NAME
    fresh = path.with_name(f"{NAME}.{os.getpid()}")
    try:
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            for one in waiting:
                with suppress(TypeError):  # text that no file takes
                    file.write(orjson.dumps(one) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        log.warning("%d requests are lost: they cannot be kept: %s", len(waiting), error.strerror)
        with suppress(OSError):
            fresh.unlink()
        return False
    log.warning("%d requests wait in %s for the next start", len(waiting), NAME)
    return True


def take(folder: Path) -> list[dict[str, Any]]:
    """What was kept; the file stays until `forget`. A line that cannot be read is left out."""
    try:
        lines = (folder / NAME).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(ValueError):
            one = orjson.loads(line)
            if isinstance(one, dict):
                found.append(one)
    return found


def forget(folder: Path) -> None:
    """All of it is stored."""
    with suppress(OSError):
        (folder / NAME).unlink()
