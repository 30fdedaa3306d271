"""What killed programs left in the temporary folder: an unpacked binary, a demo's data.

A one-file program unpacks itself into `_MEI…` and the demo works in `brimline-demo-…`; both are
gone when they end, but not when they were killed. Only folders that are certainly ours go (ours
by what is in them, by name, and by their owner), and of those only what no process uses.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from server.config import NAME
from server.errors import AppError
from server.store.lock import Lock

_UNPACKING = 300.0  # a folder younger than this may be one that is being filled
_OURS = ("ui/dist/index.html", "base_library.zip")
# One that a sweep had begun with when its process ended: too little is left to know it by.
_BEGUN = re.compile(r"_MEI\w+(\.gone)+")
_WATCHED = 2.0  # seconds between two looks at whether the demo still runs
DEMO = "brimline-demo-"
DEMO_LOCK = "demo.lock"  # held by the demo itself; a server that outlived it holds one of its own
_LOCKS = (DEMO_LOCK, "data/serve.lock", "data/tray.lock", "data/window.lock")


def sweep_soon() -> None:
    """Remove them in a thread of its own; a program that ends earlier leaves the rest for later."""
    threading.Thread(target=_sweep_own, name="leftovers", daemon=True).start()


def end_with_loader(end: Callable[[], None]) -> None:
    """Call `end` when the process that unpacked us is killed: it is the one that users see.

    The one-file program is two processes, and the first passes on every signal but a kill.
    """
    loader = _loader()
    if loader is not None:
        threading.Thread(target=_outlive, args=(loader, end), name="loader", daemon=True).start()


def _loader() -> int | None:
    if not getattr(sys, "frozen", False) or not sys.platform.startswith("linux"):
        return None
    parent = os.getppid()
    with suppress(OSError):
        if Path(f"/proc/{parent}/exe").samefile(sys.executable):
            return parent
    return None


def _outlive(loader: int, end: Callable[[], None]) -> None:
    while os.getppid() == loader:
        time.sleep(_WATCHED / 2)
    end()


def _sweep_own() -> None:
    place, now = Path(tempfile.gettempdir()), time.time()
    with suppress(OSError):
        sweep_demos(place, now)
    if getattr(sys, "frozen", False):
        with suppress(OSError):
            sweep(place, str(getattr(sys, "_MEIPASS", "")), now)


def sweep(place: Path, mine: str, now: float) -> list[Path]:
    """Remove the unpacked binaries in `place` that nobody uses, `mine` apart; those that went."""
    found = [
        folder
        for folder in sorted(place.glob("_MEI*"))
        if str(folder) != mine and (_begun(folder) or (ours(folder) and _rests(folder, now)))
    ]
    # Looking at every process costs more than the rest; mostly there is no reason to.
    busy = in_use(found) if found else set()
    return [folder for folder in found if folder not in busy and _remove(folder)]


def sweep_demos(place: Path, now: float) -> list[Path]:
    """Remove the folders of demos in `place` that no process works in; returns those that went."""
    found = [folder for folder in sorted(place.glob(f"{DEMO}*")) if _of_this_user(folder)]
    return [folder for folder in found if _rests(folder, now) and _end_demo(folder)]


def end_with_demo(data_dir: Path) -> None:
    """Have this process, a demo's server, end when the demo that started it was killed."""
    path = data_dir.parent / DEMO_LOCK
    if not path.is_file():
        return

    def watch() -> None:
        lock = Lock(path)
        while path.is_file() and not lock.acquire():
            time.sleep(_WATCHED)
        lock.release()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=watch, name="demo", daemon=True).start()


def _end_demo(folder: Path) -> bool:
    """Remove a demo's folder while all its locks are ours; nothing where one is not."""
    locks = [Lock(folder / name) for name in _LOCKS if (folder / name).parent.is_dir()]
    try:
        if not all(lock.acquire() for lock in locks):
            return False
        if sys.platform != "win32":
            shutil.rmtree(folder, ignore_errors=True)
            return True
    except AppError:
        return False
    finally:
        for lock in locks:
            lock.release()
    shutil.rmtree(folder, ignore_errors=True)  # Windows removes no file that is open
    return True


def ours(folder: Path) -> bool:
    """Whether a folder is one of this program's, of this user, and not a link to elsewhere."""
    return _of_this_user(folder) and all((folder / name).is_file() for name in _OURS)


def _begun(folder: Path) -> bool:
    return bool(_BEGUN.fullmatch(folder.name)) and _of_this_user(folder)


def _of_this_user(folder: Path) -> bool:
    try:
        if folder.is_symlink() or not folder.is_dir():
            return False
        return sys.platform == "win32" or folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def _rests(folder: Path, now: float) -> bool:
    """Whether nothing was made or removed in it for a while."""
    try:
        return now - folder.stat().st_mtime > _UNPACKING
    except OSError:
        return False


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
    gone = folder if _begun(folder) else folder.with_name(f"{folder.name}.gone")
    try:
        # Windows refuses this while a library in it is loaded; elsewhere no one finds half of it.
        if gone != folder:
            folder.rename(gone)
    except OSError:
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True
