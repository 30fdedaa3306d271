"""Reading begins before anything is known of what is read: a first scan's logs, while the rest
of the program is loaded.

What is found here is only a guess: whoever finds the logs properly takes from it what fits.
"""  # noqa: D205

from __future__ import annotations

import os

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from typing import Any

FORM = 11  # of the compiled part
_DEEPEST = 6  # folders: year, month, day, and some that somebody made
_THREADS = 3

try:  # reads usual lines compiled (usual.c); without it they are all read in Python
    from server.ingest import usual as usual

    if usual.FORM != FORM:  # compiled before the last update
        usual = None  # type: ignore[assignment]
except ImportError:  # there was no C compiler at set-up
    usual = None  # type: ignore[assignment]

_begun: list[tuple[list[str], Any]] = []  # paths and the crew that reads them


def begin(data_dir: str, codex_home: str) -> None:
    """Begin to read the logs, if nothing can be known of them yet."""
    if usual is None or os.path.lexists(f"{data_dir}/usage.db"):  # noqa: PTH110 - loads no `pathlib`
        return
    paths: list[str] = []
    for name in ("sessions", "archived_sessions"):
        _find(os.path.join(codex_home, name), _DEEPEST, paths)
    # Parents begin before their children, and names begin with the time.
    paths.sort(key=os.path.basename)
    if paths:
        _begun.append((paths, usual.crew(list(map(os.fsencode, paths)), threads())))


def take() -> tuple[list[str], Any] | None:
    """What was begun, once."""
    return _begun.pop() if _begun else None


def threads() -> int:
    """How many threads read beside the one that stores."""
    return max(1, min((os.cpu_count() or 1) - 1, _THREADS))


def _find(folder: str, deep: int, paths: list[str]) -> None:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(".jsonl"):
                    if name.startswith("rollout-"):
                        paths.append(entry.path)
                elif deep and "." not in name and entry.is_dir():
                    _find(entry.path, deep - 1, paths)
    except OSError:  # whoever finds the logs says what is wrong
        return
