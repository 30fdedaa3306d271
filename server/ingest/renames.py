"""Which logs are known ones under another name: one thread has one log."""

from __future__ import annotations

from server.ingest import claude
from server.ingest.heads import owner_of

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from server.ingest.files import Found

    Key = tuple[str, str]  # provider, name


def renamed(
    known: Mapping[Key, Found], found: Mapping[Key, Found], gone: Callable[[Key], bool]
) -> list[tuple[Key, Key]]:
    """What is known by a name that is gone, and the new name of its thread's log.

    Of several new ones the same file counts, else the first by name. A file that is there under
    its old name too is a copy; a name that is known already is none to follow.
    """
    new = _by_thread(key for key in found if key not in known)
    if not new:
        return []
    pairs = []
    for thread, old in _by_thread(key for key in known if key not in found).items():
        names = new.get(thread, [])
        for key in old:
            if names and gone(key):
                same = [name for name in names if found[name].inode == known[key].inode]
                pairs.append((key, (same or names)[0]))
                names.remove(pairs[-1][1])
    return pairs


def outlived(known: Iterable[Key], lost: Iterable[Key]) -> list[tuple[Key, Key]]:
    """Lost logs, each with a known one of its thread that is there."""
    threads = _by_thread(lost)
    if not threads:
        return []
    there = _by_thread(set(known).difference(*threads.values()))
    return [(key, there[one][0]) for one, keys in threads.items() if one in there for key in keys]


def _by_thread(keys: Iterable[Key]) -> dict[str, list[Key]]:
    """The logs by the thread that their names tell, in order: Codex' at the end, Claude's behind
    its project's folder.
    """  # noqa: D205
    found: dict[str, list[Key]] = {}
    for key in sorted(keys):
        thread = owner_of(key[1]) if key[0] == "codex" else claude.thread_of(key[1])
        if thread:
            found.setdefault(thread, []).append(key)
    return found
