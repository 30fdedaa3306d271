"""A lock on a file that the operating system drops when its holder dies."""

from __future__ import annotations

import os
import sys

from server.errors import AppError
from server.lazy import suppress

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from pathlib import Path


class FolderError(AppError):
    """The data folder cannot be made or written; the message says what to do."""

    status, code = 507, "data_folder_unusable"


class Lock:
    """One holder at a time, across processes; no stale pid files to clean up."""

    def __init__(self, path: Path | str) -> None:
        self.path = os.fspath(path)
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock, making its folder; False when another process has it.

        Raises `FolderError` when the folder cannot be made or written.
        """
        folder = os.path.dirname(self.path)
        try:
            os.makedirs(folder, exist_ok=True, mode=0o700)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FolderError(
                f"Brimline cannot use its data folder {folder}: "
                f"{error.strerror or error}. Make it a writable folder, "
                "or choose another with --data-dir."
            ) from error
        try:
            _lock(handle)
        except OSError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def sign(self) -> None:
        """Write down who holds it, for `signed`; only once it is held."""
        if self._handle is not None and sys.platform != "win32":  # there nobody else may read it
            with suppress(OSError):  # a full disk: it is held all the same
                os.ftruncate(self._handle, 0)
                os.pwrite(self._handle, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def signed(path: Path) -> int | None:
    """The process that signed the lock at `path` last; whether it lives is not said."""
    try:
        return int(path.read_bytes()[:20])
    except (OSError, ValueError):
        return None


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
