"""The user's projects file, and what a working folder says of its project.

`projects.json` gives projects other names (`aliases`, see `privacy`), words to find them by
(`tags`), and folders whose Git data is not to be looked at (`ignored_paths`). What is said of a
project by its path counts before what is said by its folder's name (`roots.entries`).
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from server.store import db
from server.usage import roots

_MOST_TEXT = 65536
_KEPT_SECONDS = 60.0
_MOST_KEPT = 2000
_ORIGIN = re.compile(r'\[remote "origin"\][^\[]*?^\s*url\s*=\s*(\S+)', re.MULTILINE)
_lock = threading.Lock()
_kept: dict[tuple[str, tuple[str, ...]], tuple[float, dict[str, Any]]] = {}


@dataclass(frozen=True)
class Known:
    """The projects with calls: their roots and what they are called, by the key in the rows."""

    roots: Mapping[str, str]
    names: Mapping[str, str]
    # Keys that stand for another project: removed work trees (`roots.returned`).
    same: Mapping[str, str]

    def of(self, key: str) -> str:
        """The key of the project that a row's key stands for."""
        return self.same.get(key, key)


def known() -> Known:
    """The projects of this ledger; read again only when there are other calls."""
    newest = db.rows("select count(*), max(id) from project")[0]
    mark = (str(db.usage.database), newest, db.revisions().get("calls"))
    before = _latest[:1]
    if before and before[0][0] == mark:
        return before[0][1]
    found = dict(db.rows(_HAVING_CALLS))
    same = roots.returned(found)
    own = {key: root for key, root in found.items() if key not in same}
    made = Known(own, roots.names(own), same)
    _latest[:] = [(mark, made)]
    return made


_latest: list[tuple[Any, Known]] = []
# A fork that only copied the calls of its parent makes no project, which another were told from.
_HAVING_CALLS = (
    "select key, root from project where key in "
    "(select name from daily_usage where heading = 'project')"
)


def listed_aliases(given: Mapping[str, Any]) -> dict[str, str]:
    """The aliases as the file has them; odd ones are left out."""
    found = given.get("aliases")
    return {
        name: alias.strip()[:200]
        for name, alias in (found.items() if isinstance(found, dict) else ())
        if isinstance(name, str) and isinstance(alias, str) and alias.strip()
    }


def aliases(given: Mapping[str, Any], among: Mapping[str, str]) -> dict[str, str]:
    """What the user calls projects, by a project's key or by a folder's name; `among` are the
    roots of the projects.
    """
    told = listed_aliases(given)
    return {one: told[listed[-1]] for one, listed in _meant(told, among).items()}


def tags(given: Mapping[str, Any], among: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The tags of each project, by its key, and by a folder's name."""
    found = given.get("tags")
    told: dict[str, list[str]] = {}
    for name, words in found.items() if isinstance(found, dict) else ():
        if isinstance(name, str) and isinstance(words, list):
            kept = [word.strip()[:80] for word in words if isinstance(word, str) and word.strip()]
            told[name] = kept
    meant = _meant(told, among)
    for one, alias in aliases(given, among).items():  # what the user calls it counts, too
        if alias in told and alias not in meant.get(one, ()):
            meant[one] = [alias, *meant.get(one, ())]
    return {
        one: tuple(dict.fromkeys(word for name in listed for word in told[name]))
        for one, listed in meant.items()
    }


def _meant(told: Mapping[str, Any], among: Mapping[str, str]) -> dict[str, list[str]]:
    """The entries of each project and folder's name, those that count most at the end."""
    if not told:
        return {}
    # `Path` would raise for somebody who is not there.
    whole = {os.path.expanduser(name): name for name in told}  # noqa: PTH111
    found = roots.entries(whole, among)
    for key, root in among.items():
        listed = [*found.get(roots.base(root), ()), *found.get(key, ())]
        if listed:
            found[key] = listed
    return {one: [whole[name] for name in listed] for one, listed in found.items()}


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
