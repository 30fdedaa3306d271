"""Reading begins before anything is known of what is read: a first scan's logs, while the rest
of the program is loaded.

What is found here is only a guess: whoever finds the logs properly takes from it what fits.
"""  # noqa: D205

from __future__ import annotations

import os

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from typing import Any

FORM = 23  # of the compiled part
_DEEPEST = 6  # folders: year, month, day, and some that somebody made
_THREADS = 3

try:  # reads usual lines compiled (usual.c); without it they are all read in Python
    from server.ingest import usual as usual

    if usual.FORM != FORM:  # compiled before the last update
        usual = None  # type: ignore[assignment]
except ImportError:  # there was no C compiler at set-up
    usual = None  # type: ignore[assignment]

# Paths, the crew that reads them, and the first path of Claude's.
_begun: list[tuple[list[str], Any, int]] = []


def begin(data_dir: str, codex_home: str, claude_home: str = "") -> None:
    """Begin to read the logs, if nothing can be known of them yet."""
    if usual is None or os.path.lexists(f"{data_dir}/usage.db"):  # noqa: PTH110 - loads no `pathlib`
        return
    paths: list[str] = []
    for name in ("sessions", "archived_sessions"):
        _find(os.path.join(codex_home, name), _DEEPEST, paths)
    # Parents begin before their children, and names begin with the time.
    paths.sort(key=os.path.basename)
    first = len(paths)
    for root in filter(None, claude_home.split(",")):
        at = root if os.path.basename(root) == "projects" else os.path.join(root, "projects")
        _find(at, _DEEPEST, paths, "")
    paths[first:] = sorted(paths[first:])  # a session's own log before its sub-agents'
    if paths:
        _begun.append((paths, usual.crew(list(map(os.fsencode, paths)), threads(), first), first))


def take() -> tuple[list[str], Any, int] | None:
    """What was begun, once."""
    return _begun.pop() if _begun else None


def threads() -> int:
    """How many threads read beside the one that stores."""
    return max(1, min((os.cpu_count() or 1) - 1, _THREADS))


def _find(folder: str, deep: int, paths: list[str], prefix: str = "rollout-") -> None:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(".jsonl"):
                    if name.startswith(prefix):
                        paths.append(entry.path)
                elif deep and "." not in name and entry.is_dir():
                    _find(entry.path, deep - 1, paths, prefix)
    except OSError:  # whoever finds the logs says what is wrong
        return
