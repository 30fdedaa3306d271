"""The user's projects file, and what a working folder says of its project.

`projects.json` gives projects other names (`aliases`, see `privacy`), words to find them by
(`tags`), and folders whose Git data is not to be looked at (`ignored_paths`).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

_MOST_TEXT = 65536
_KEPT_SECONDS = 60.0
_MOST_KEPT = 2000
_ORIGIN = re.compile(r'\[remote "origin"\][^\[]*?^\s*url\s*=\s*(\S+)', re.MULTILINE)
_lock = threading.Lock()
_kept: dict[tuple[str, tuple[str, ...]], tuple[float, dict[str, Any]]] = {}


def tags(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The tags of each project by its name; a path stands for its last folder."""
    found = given.get("tags")
    made: dict[str, tuple[str, ...]] = {}
    for name, words in found.items() if isinstance(found, dict) else ():
        if isinstance(name, str) and isinstance(words, list):
            named = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
            kept = [word.strip()[:80] for word in words if isinstance(word, str) and word.strip()]
            made[named] = tuple(dict.fromkeys((*made.get(named, ()), *kept)))
    return made


def ignored(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The folders that are left alone, with all that is in them."""
    found = given.get("ignored_paths")
    listed = found if isinstance(found, list) else ()
    return tuple(str(Path(one).expanduser()) for one in listed if isinstance(one, str) and one)


def place(cwd: str | None, left_alone: tuple[str, ...] = ()) -> dict[str, Any]:
    """Where in its project a folder lies, and the project's remote: `{relativeCwd, remoteLabel,
    remoteHash}`, each None when it is not known. Looks at the disk at most once a minute.
    """
    if not cwd:
        return dict(_UNKNOWN)
    key, now = (cwd, left_alone), time.monotonic()
    with _lock:
        known = _kept.get(key)
        if known is None or now - known[0] > _KEPT_SECONDS:
            if len(_kept) >= _MOST_KEPT:
                _kept.clear()
            known = _kept[key] = (now, _looked(Path(cwd), left_alone))
    return dict(known[1])


_UNKNOWN: dict[str, Any] = {"relativeCwd": None, "remoteLabel": None, "remoteHash": None}


def _looked(path: Path, left_alone: tuple[str, ...]) -> dict[str, Any]:
    try:
        if not path.is_absolute() or any(path.is_relative_to(folder) for folder in left_alone):
            return dict(_UNKNOWN)
        root = next((f for f in (path, *path.parents) if (f / ".git").exists()), None)
        if root is None:
            return dict(_UNKNOWN)
        return {"relativeCwd": path.relative_to(root).as_posix(), **_remote(root / ".git")}
    except (OSError, ValueError):  # a folder of another computer, or none that can be
        return dict(_UNKNOWN)


def _remote(git: Path) -> dict[str, Any]:
    unknown = {"remoteLabel": None, "remoteHash": None}
    if not (git / "config").is_file():
        return unknown  # a work tree elsewhere: its data lie with the main one
    with (git / "config").open(encoding="utf-8", errors="replace") as file:
        found = _ORIGIN.search(file.read(_MOST_TEXT))
    if not found:
        return unknown
    url = found[1]
    label = re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git")
    # The address may hold a name or a token: only its end is ever shown.
    return {"remoteLabel": label or None, "remoteHash": sha256(url.encode()).hexdigest()[:16]}
