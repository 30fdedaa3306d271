"""Which project a working folder belongs to, as the disk tells."""

from __future__ import annotations

import os

from server.usage import roots
from server.usage.roots import app_root, tidy, windows

_MOST_TEXT = 4096


class Projects:
    """The projects of working folders, each folder looked at once."""

    def __init__(self) -> None:
        self.roots: dict[str, str] = {}  # by project
        self._keys: dict[str, str] = {}  # by working folder

    def key(self, cwd: str | None) -> str | None:
        """The key of a folder's project. Starts no process."""
        if not cwd:
            return None
        key = self._keys.get(cwd)
        if key is None:
            root = root_of(cwd)
            key = self._keys[cwd] = roots.key(root)
            self.roots[key] = min(root, self.roots.get(key, root))
        return key


def root_of(cwd: str) -> str:
    """The project's root of a working folder: where its Git data lie, for a work tree those of
    the main one; else the folder itself. Starts no process.
    """
    folder = os.path.normpath(cwd)
    while os.path.isabs(folder):
        if os.path.lexists(os.path.join(folder, ".git")):
            return tidy(_main(folder, os.path.join(folder, ".git")))
        above = os.path.dirname(folder)
        if above == folder:
            break
        folder = above
    return _former(tidy(cwd))


def _main(folder: str, git: str) -> str:
    """The main root of a folder, whose `.git` is a file in work trees and in submodules."""
    if not os.path.isfile(git):
        return folder
    try:
        with open(git, encoding="utf-8", errors="replace") as file:
            word, _, place = file.read(_MOST_TEXT).partition(":")
    except OSError:
        return folder
    place = place.strip()
    if word != "gitdir" or not place:
        return folder
    where = tidy(place if windows(place) else os.path.join(folder, place))
    above, inside, number = where.rpartition("/worktrees/")
    if not inside or "/" in number:
        return folder  # a submodule, which is a project of its own
    top, inside, module = above.partition("/.git/modules/")
    if inside:  # a work tree of a submodule
        return f"{top}/{module}"
    # Beside the work trees of a bare repository lies no main one: its folder is the root.
    holder, _, own = above.rpartition("/")
    return holder if own in (".git", ".bare") else above.removesuffix(".git")


def _former(root: str) -> str:
    """The root of a folder without Git data, which may be a work tree that was removed since:
    Claude Code puts its own into the project, the Codex app into its own folder.
    """
    top, inside, _ = root.partition("/.claude/worktrees/")
    return top if inside and top else app_root(root)
