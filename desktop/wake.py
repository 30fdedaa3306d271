"""A file by which one of our processes wakes another: tray, window and command line."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class Wake:
    """A file whose change says “look now”; the same on every system, and cheap to watch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()

    def touch(self) -> None:
        """Wake whoever watches."""
        with suppress(OSError):
            self._path.touch(mode=0o600)
            os.utime(self._path)

    def tell(self, text: str) -> None:
        """Wake whoever watches, with a word on what is wanted."""
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            fresh.touch(mode=0o600)
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self._path)  # whole or not at all: the watcher may look at any moment

    def told(self) -> str:
        """The word of the last one who called `tell`; empty when there was none."""
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def changed(self) -> bool:
        """Whether it was touched since the last look."""
        stamp = self._stamp()
        changed, self._seen = stamp != self._seen, stamp
        return changed

    def _stamp(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0
