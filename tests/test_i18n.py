"""Every catalogue says everything: the same keys and placeholders, each language's plurals."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

UI = Path(__file__).resolve().parent.parent / "ui" / "src"
LOCALES = UI / "locales"
# The plurals of each language (CLDR), as browsers choose them.
PLURALS = {
    "ar": {"zero", "one", "two", "few", "many", "other"},
    "de": {"one", "other"},
    "en": {"one", "other"},
    "es": {"one", "many", "other"},
    "fr": {"one", "many", "other"},
    "it": {"one", "many", "other"},
    "ja": {"other"},
    "ko": {"other"},
    "pt": {"one", "many", "other"},
    "ru": {"one", "few", "many", "other"},
    "vi": {"other"},
    "zh": {"other"},
}
FORM = re.compile(r"(.+)_(zero|one|two|few|many|other)")


def catalogue(code: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((LOCALES / f"{code}.json").read_text(encoding="utf-8"))
    return words


def split(words: dict[str, str]) -> tuple[set[str], dict[str, set[str]]]:
    """Plain keys, and the plural forms of the keys that have some."""
    counted = {key.removesuffix("_other") for key in words if key.endswith("_other")}
    plain, plurals = set(), {key: set[str]() for key in counted}
    for key in words:
        match = FORM.fullmatch(key)
        if match and match[1] in counted:
            plurals[match[1]].add(match[2])
        else:
            plain.add(key)
    return plain, plurals


def holes(text: str) -> set[str]:
    return set(re.findall(r"{{([^}]*)}}", text))


PLAIN, PLURAL = split(catalogue("en"))
OTHERS = sorted(set(PLURALS) - {"en"})


def test_every_language_has_a_file_and_is_offered() -> None:
    assert {path.stem for path in LOCALES.glob("*.json")} == set(PLURALS)
    offered = re.findall(r'code: "(\w+)"', (UI / "languages.ts").read_text(encoding="utf-8"))
    assert Counter(offered) == Counter(PLURALS.keys())


@pytest.mark.parametrize("code", sorted(PLURALS))
def test_every_catalogue_has_the_same_keys(code: str) -> None:
    plain, plurals = split(catalogue(code))
    assert plain - PLAIN == set(), "keys that English does not have"
    assert PLAIN - plain == set(), "keys that are not translated"
    assert plurals == dict.fromkeys(PLURAL, PLURALS[code])


@pytest.mark.parametrize("code", OTHERS)
def test_placeholders_survive_translation(code: str) -> None:
    english, words = catalogue("en"), catalogue(code)
    wrong = []
    for key, text in words.items():
        match = FORM.fullmatch(key)
        base = f"{match[1]}_other" if match and match[1] in PLURAL else key
        if holes(text) != holes(english[base]):
            wrong.append((key, text))
    assert wrong == []


@pytest.mark.parametrize("code", sorted(PLURALS))
def test_no_sentence_is_empty_or_left_over_from_editing(code: str) -> None:
    odd = {
        key: text
        for key, text in catalogue(code).items()
        if not text.strip() or " | " in text or "\n" in text or text != text.rstrip()
    }
    assert odd == {}


@pytest.mark.parametrize("code", OTHERS)
def test_sentences_are_translated(code: str) -> None:
    english = catalogue("en")
    same = [
        key
        for key, text in catalogue(code).items()
        if text == english.get(key) and len(re.sub(r"{{.*?}}", "", text).split()) > 3
    ]
    assert same == [], "long sentences that are still English"


def test_no_word_stands_in_a_page() -> None:
    """Text between tags, and labels that are read out, come from the catalogue."""
    between = re.compile(r">\s*([A-Z][a-z]+(?: [a-z]+)+)\s*<")
    label = re.compile(r'(?:aria-label|title|placeholder|alt)="([^"]*[a-z][^"]*)"')
    found = [
        f"{path.name}: {text}"
        for path in sorted([*UI.glob("pages/*.tsx"), *UI.glob("parts/*.tsx"), *UI.glob("*.tsx")])
        for pattern in (between, label)
        for text in pattern.findall(path.read_text(encoding="utf-8"))
    ]
    assert found == []
