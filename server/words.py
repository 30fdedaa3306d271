"""The pages' words where the server needs them: the same catalogues, in the chosen language."""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from pathlib import Path

RIGHT_TO_LEFT = ("ar",)
_ROOT = Path(getattr(sys, "_MEIPASS", Path(__file__).resolve().parent.parent))
# Beside the built pages, as the binary has them; else where they are written.
_PLACES = (_ROOT / "ui" / "dist" / "words", _ROOT / "ui" / "src" / "locales")


def languages() -> list[str]:
    """The codes of the languages there are."""
    return sorted({path.stem for place in _PLACES for path in place.glob("*.json")})


@lru_cache(maxsize=4)
def catalogue(language: str) -> dict[str, str]:
    """Every word of a language by its key; empty when there is no such language."""
    if language not in languages():
        return {}
    for place in reversed(_PLACES):  # the sources are never older than the built ones
        path = place / f"{language}.json"
        if path.is_file():
            words: dict[str, str] = json.loads(path.read_text("utf-8"))
            return words
    return {}
