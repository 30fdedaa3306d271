"""How `make test` spreads the tests over its two processes."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling


def drives_chromium(nodeid: str) -> bool:
    return nodeid.startswith("tests/test_ui")


def piece(nodeid: str) -> str:
    """What runs in one process: a file, or all that drives Chromium.

    Files stay whole because the tests of some build on those before them. A Chromium keeps more
    than one core busy by itself: two at a time would slow all else.
    """
    return "pages" if drives_chromium(nodeid) else nodeid.partition("::")[0]


class Spread(LoadFileScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        return piece(nodeid)
