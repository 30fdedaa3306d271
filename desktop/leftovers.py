"""What killed binaries left behind: the folders that a one-file program unpacks itself into.

A program that ends removes its folder (`_MEI…` in the temporary folder); one that was killed
cannot. Only folders that hold our pages are ours, and only those that no process uses go.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from server.config import NAME

_UNPACKING = 300.0  # a folder younger than this may be one that is being filled
_OURS = ("ui/dist/index.html", "base_library.zip")


def sweep_soon() -> None:
    """Remove them in a thread of its own, in the binary; from source there is nothing to remove."""
    if getattr(sys, "frozen", False):
        threading.Thread(target=_sweep_own, name="leftovers", daemon=True).start()


def _sweep_own() -> None:
    with suppress(OSError):
        sweep(Path(tempfile.gettempdir()), str(getattr(sys, "_MEIPASS", "")), time.time())


def sweep(place: Path, mine: str, now: float) -> list[Path]:
    """Remove the folders in `place` that nobody uses, `mine` apart; returns those that went."""
    found = [
        folder
        for folder in sorted(place.glob("_MEI*"))
        if str(folder) != mine and ours(folder) and now - folder.stat().st_mtime > _UNPACKING
    ]
    # Looking at every process costs more than the rest; mostly there is no reason to.
    busy = in_use(found) if found else set()
    return [folder for folder in found if folder not in busy and _remove(folder)]


def ours(folder: Path) -> bool:
    """Whether a folder is one of this program's, of this user, and not a link to elsewhere."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return False
        mine = sys.platform == "win32" or folder.stat().st_uid == os.getuid()
    except OSError:
        return False
    return mine and all((folder / name).is_file() for name in _OURS)


def in_use(folders: Iterable[Path]) -> set[Path]:
    """Which of these folders a running process has loaded libraries from. Linux only.

    (Windows itself refuses to remove what is loaded; macOS has a bundle, which unpacks nothing.)
    """
    if not sys.platform.startswith("linux"):
        return set()
    found = set()
    wanted = {f"{folder}/": folder for folder in folders}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            loaded = (process / "maps").read_text(errors="replace")
        except PermissionError:
            if _may_be_ours(process):
                return set(wanted.values())
            continue
        except OSError:
            continue  # it has just ended
        found |= {folder for start, folder in wanted.items() if start in loaded}
    return found


def _may_be_ours(process: Path) -> bool:
    """Whether a process that does not let us look may be using such a folder."""
    with suppress(OSError):
        return NAME.encode() in (process / "cmdline").read_bytes()
    return False


def _remove(folder: Path) -> bool:
    gone = folder.with_name(f"{folder.name}.gone")
    try:
        # Windows refuses this while a library in it is loaded; elsewhere no one finds half of it.
        folder.rename(gone)
    except OSError:
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True
