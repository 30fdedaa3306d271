"""Logs of our own, readable by their owner alone; loads nothing of the server."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from server.config import Config

_NOISY = ("urllib3", "peewee", "waitress", "PIL")


class OwnersFile(logging.handlers.RotatingFileHandler):
    """A log that only its owner may read, also after it was turned over."""

    def _open(self) -> Any:
        stream = super()._open()
        with suppress(OSError):
            Path(self.baseFilename).chmod(0o600)
        return stream


def folder(config: Config) -> Path:
    """The folder of the logs, made where it is missing."""
    place = config.data_dir / "logs"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def last_words(config: Config, name: str) -> BinaryIO:
    """An empty `<name>.err` for what a child says on stderr, opened to be written."""
    path = folder(config) / f"{name}.err"
    with suppress(OSError):
        path.unlink()  # whatever mode it had; Windows keeps one that is still written
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def start(config: Config, name: str, *, copies: int = 4, console: bool = True) -> None:
    """Log to `<data folder>/logs/<name>.log`, turned over at 1 MB; warnings to stderr as well."""
    handlers: list[logging.Handler] = []
    with suppress(OSError):
        path = folder(config) / f"{name}.log"
        handlers.append(OwnersFile(path, maxBytes=1 << 20, backupCount=copies, encoding="utf-8"))
    if console and sys.stderr is not None:
        shown = logging.StreamHandler()
        shown.setLevel(logging.WARNING)
        handlers.append(shown)
    logging.basicConfig(
        level=config.log_level.upper(),
        handlers=handlers,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
