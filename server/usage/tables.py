"""The shipped data files of this room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read(name: str) -> dict[str, Any]:
    """A data file beside this module; also inside the binary."""
    table: dict[str, Any] = json.loads(Path(__file__).with_name(name).read_text("utf-8"))
    return table
