"""The pages' words where the server needs them: the same catalogues, in the chosen language."""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from server.sentences import told

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


def preferred(accepted: str) -> str:
    """The language of ours that an `Accept-Language` asks for first; English when none is ours."""
    from werkzeug.datastructures import LanguageAccept
    from werkzeug.http import parse_accept_header

    # (`best_match` would take English by its name before Chinese as it is spoken in China.)
    codes = (
        tag.replace("_", "-").split("-")[0].lower()
        for tag, quality in parse_accept_header(accepted[:1000], LanguageAccept)
        if quality > 0
    )
    return next((code for code in codes if code in languages()), "en")


def said(text: str, language: str) -> str:
    """A sentence of ours in that language; any other text as it is."""
    found = told(text)
    return _anew(found, catalogue(language)) or text if found else text


def _anew(found: dict[str, Any], words: dict[str, str]) -> str | None:
    sentence = words.get(f"say.{found['key']}")
    if sentence is None:
        return None
    for name, value in found["values"].items():
        inner = _anew(value, words) or "" if isinstance(value, dict) else str(value)
        sentence = sentence.replace("{{" + name + "}}", inner)
    return sentence
