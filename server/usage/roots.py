"""What a project is: its root, the key that rows carry for it, and what it is called. Pure.

The key holds the folder's own name and a checksum of the whole path, so that two folders of one
name are two projects, and no row changes when a second one comes. What a project is called follows
from which others there are, when it is shown.
"""

from __future__ import annotations

import posixpath
from binascii import crc32  # `hashlib` takes longer to load than a folder to look up

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Mapping

_MARK = "#"  # between the name and eight digits
_DIGITS = frozenset("0123456789abcdef")


def tidy(path: str) -> str:
    """A path with single slashes and none at its end; Windows' drives in capitals."""
    if windows(path):
        path = path.replace("\\", "/")
        path = path[4:] if path.startswith("//?/") else path
        path = path[:1].upper() + path[1:]
    return posixpath.normpath(path)


def key(root: str) -> str:
    """What a project's rows carry. On Windows, capitals tell no folders apart."""
    root = tidy(root)
    same = root.casefold() if windows(f"{root}/") else root
    return f"{base(same)}{_MARK}{crc32(same.encode(errors='replace')):08x}"


def last(name: str) -> str:
    """The folder's own name in a key; a name that is no key is that itself."""
    own, mark, digits = name.rpartition(_MARK)
    return own if mark and len(digits) == 8 and _DIGITS.issuperset(digits) else name


def base(root: str) -> str:
    """The folder's own name in a root."""
    return root.rpartition("/")[2] or root


def names(roots: Mapping[str, str]) -> dict[str, str]:
    """What each project is called, by its key, from their roots: by the folder's own name, and
    where several have it by as much of the path before it as tells each from all others.
    """
    alike: dict[str, list[str]] = {}
    for one, root in roots.items():
        alike.setdefault(base(root), []).append(one)
    found: dict[str, str] = {}
    for own, group in alike.items():
        if len(group) == 1:
            found[group[0]] = own
        else:
            found |= _grown({one: roots[one].split("/") for one in group})
    return found


def _grown(paths: dict[str, list[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    length = 1
    while paths:
        length += 1
        ends = {one: "/".join(parts[-length:]) for one, parts in paths.items()}
        tally: dict[str, int] = {}
        for end in ends.values():
            tally[end] = tally.get(end, 0) + 1
        for one, end in ends.items():
            if tally[end] == 1 or len(paths[one]) <= length:
                found[one] = end
                del paths[one]
    return found


def returned(roots: Mapping[str, str]) -> dict[str, str]:
    """The projects that are only work trees of the Codex app, by the one whose they must be: the
    app calls a work tree as its project is called. Where several are called so, nobody knows.
    """
    alike: dict[str, list[str]] = {}
    for one, root in roots.items():
        alike.setdefault(base(root), []).append(one)
    found: dict[str, str] = {}
    for group in alike.values():
        trees = [one for one in group if _app_tree(roots[one])]
        others = [one for one in group if one not in trees]
        if len(others) == 1:
            found |= dict.fromkeys(trees, others[0])
    return found


def app_root(path: str) -> str:
    """A folder inside a work tree of the Codex app (`.codex/worktrees/<digits>/<name>`) as that
    of all work trees of its name; any other as it is.
    """
    parts = path.split("/")
    for place in range(1, len(parts) - 2):
        if parts[place] == "worktrees" and parts[place - 1].startswith(".codex"):
            return "/".join([*parts[: place + 1], parts[place + 2]])
    return path


def _app_tree(root: str) -> bool:
    parts = root.split("/")
    return len(parts) > 2 and parts[-2] == "worktrees" and parts[-3].startswith(".codex")


def ending(asked: str, roots: Mapping[str, str]) -> list[str]:
    """The keys of the projects whose path is, or ends with, what is asked for."""
    wanted = tidy(asked)
    return [
        one for one, root in roots.items() if root == wanted or f"/{root}".endswith(f"/{wanted}")
    ]


def entries(given: Mapping[str, object], roots: Mapping[str, str]) -> dict[str, list[str]]:
    """Which entries of a user's table are whose, by the project's key, or by a folder's name.

    A path is the project's that is rooted there; `one/api` that of each path that ends so. Other
    entries, and paths that are no project's, stand for the folder's name.
    """
    found: dict[str, list[str]] = {}
    for name in given:
        path = tidy(name)
        whole = path.startswith("/") or windows(f"{path}/")
        if whole:
            meant = [key(path)] if key(path) in roots else []
        else:
            meant = ending(path, roots) if "/" in path else []
        for one in meant or [base(path)]:
            found.setdefault(one, []).append(name)
    return found


def windows(path: str) -> bool:
    """Whether a path is one of Windows."""
    return path.startswith("\\\\") or (path[1:3] in (":\\", ":/") and path[0].isalpha())
