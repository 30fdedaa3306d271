"""What the system tells of another process, and how one is ended by its number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def holds(pid: int, lock: Path) -> bool:
    """Whether process `pid` has the file `lock` open, as far as the system tells.

    A number in a file may be another process's by now, or of a container's own counting; the open
    file is a proof. Without /proc the process's own command must be ours; else the answer is no.
    """
    if pid <= 1 or pid == os.getpid():
        return False
    if sys.platform.startswith("linux"):
        return _has_open(pid, lock)
    return sys.platform != "win32" and _is_our_server(_command(pid))


def _has_open(pid: int, lock: Path) -> bool:
    try:
        wanted = lock.stat()
    except OSError:
        return False
    with suppress(OSError):  # it ended, or is another user's
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed at this moment
                found = handle.stat()
                if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    return False


def _command(pid: int) -> str:
    words = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
        return said.stdout
    return ""


def _is_our_server(command: str) -> bool:
    words = command.split()
    ours = any(word == "desktop" or Path(word).name.startswith("brimline") for word in words)
    return ours and "serve" in words


def work(pid: int) -> int | None:
    """How long process `pid` has computed, in the system's ticks; None where that is not told."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
        parts = said.rpartition(")")[2].split()  # its name, in brackets, may hold anything
        return int(parts[11]) + int(parts[12])
    except (OSError, ValueError, IndexError):
        return None


def end(pid: int, *, forced: bool) -> None:
    """Ask a process to end, or end it; one that is gone already is fine."""
    number = signal.SIGTERM
    if forced and sys.platform != "win32":
        number = signal.SIGKILL
    with suppress(OSError):
        os.kill(pid, number)
