"""The shipped data files of this room."""

from __future__ import annotations

import os

from server import shortjson

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from typing import Any


def read(name: str) -> dict[str, Any]:
    """A data file beside this module; also inside the binary."""
    path = os.path.join(os.path.dirname(__file__), name)
    with open(path, encoding="utf-8") as file:
        table: dict[str, Any] = shortjson.loads(file.read())
    return table
