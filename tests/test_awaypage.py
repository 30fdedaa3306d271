"""The window's page while there is no server: in every language, whole without the server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from desktop import awaypage
from desktop.window import Api, _Place
from server import words


def test_it_has_the_words_of_every_language() -> None:
    page = awaypage.page("de")
    (given,) = re.findall(r"const all = (.*);", page)
    known = json.loads(given)
    assert sorted(known) == words.languages()
    assert len(known) == 12
    assert all(set(said) == set(awaypage._KEYS) for said in known.values())
    assert 'const last = "de";' in page
    assert known["en"]["away.title"] in page, "and English before the script has run"


def test_it_is_there_without_any_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_PLACES", ())
    page = awaypage.page()
    assert "brimline serve" in page
    assert "const all = {};" in page


def test_nothing_in_it_can_end_its_script() -> None:
    assert awaypage.page("</script>").count("</script>") == 1


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        pytest.param("de", "de", id="a code"),
        pytest.param("</script>", "", id="no code"),
        pytest.param("", "", id="a page that says none"),
        pytest.param(7, "", id="no text"),
    ],
)
def test_the_window_remembers_what_its_page_spoke(tmp_path: Path, code: str, kept: str) -> None:
    place = _Place(tmp_path / "window.json")

    class Window:
        def speak(self, language: str) -> None:
            place.language = language

    Api(None, Window()).language(code)  # type: ignore[arg-type]
    place.keep()
    assert _Place(tmp_path / "window.json").language == kept


@pytest.mark.parametrize("said", ['"de-DE"', '"<b>"', "5", "null"])
def test_a_broken_memory_speaks_the_systems_language(tmp_path: Path, said: str) -> None:
    (tmp_path / "window.json").write_text(f'{{"language": {said}}}')
    assert _Place(tmp_path / "window.json").language == ""
