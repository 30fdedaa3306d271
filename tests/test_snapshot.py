"""The snapshot: one file with the calls, safe whatever they are called, that asks for nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from desktop import pagefiles, sharing, snapshot
from server import words
from tests.commandline import Brimline
from tests.rollouts import Tree

_FOLDER = Path(snapshot.__file__).parent
_SCRIPT = (_FOLDER / "snapshot.js").read_text("utf-8")
_ABOUT = {
    "made": "2026-11-21T20:00:00+00:00", "zone": "", "privacy": "normal", "history": "active",
    "prices": "prices", "rates": "rates",
}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    built = Tree(tmp_path / "home" / ".codex", seed=41, body=20)
    built.grow(12)
    return built


@pytest.fixture
def brimline(tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Brimline:
    made = Brimline(tmp_path, capsys)
    assert made.json("refresh")["calls"] == tree.sums[0]
    return made


def _embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    said: dict[str, Any] = json.loads(found[1])
    return said


def _rows(page: str) -> list[dict[str, Any]]:
    said = _embedded(page)
    return [dict(zip(said["columns"], row, strict=True)) for row in said["rows"]]


def _written(brimline: Brimline, verb: str, *more: str) -> str:
    place = brimline.folder / "page.html"
    brimline(verb, "--output", str(place), *more)
    return place.read_text("utf-8")


def _figures(title: str) -> dict[str, Any]:
    sums = {"calls": 1, "totalTokens": 5, "cacheRatio": None, "costUsd": None, "unpriced": 1}
    return {
        "days": [],
        "totals": {**sums, "cachedInput": 0, "uncachedInput": 4, "output": 1},
        "models": [{**sums, "name": title}],
        "projects": [{**sums, "project": title}],
        "threads": [{**sums, "title": title, "project": title}],
        "calls": [{"id": "c", "at": "2026-11-21T19:00:00Z", "threadTitle": title}],
    }


def _speech(language: str = "en") -> sharing.Speech:
    said = {"language": language, "direction": "ltr", "words": words.catalogue(language)}
    return sharing.Speech(said)


@pytest.mark.parametrize(
    "title",
    [
        pytest.param("</script><script>alert(1)</script>", id="ends the data"),
        pytest.param("<!--<script>", id="begins a comment that swallows the rest"),
        pytest.param('"><img src=x onerror=alert(1)>', id="an element"),
        pytest.param("a\u2028b&amp;\\u003c", id="odd letters"),
    ],
)
def test_no_title_becomes_markup(title: str) -> None:
    page = snapshot.page(_speech(), _figures(title), _ABOUT)
    assert page.count("<script") == page.count("</script>") == 2
    assert "<!--" not in page and "<img" not in page
    assert _rows(page)[0]["threadTitle"] == title, "it is shown as it is"


def test_the_policy_permits_its_own_script_and_style_alone() -> None:
    page = snapshot.page(_speech(), _figures("a"), _ABOUT)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    script = re.search(r"<script>(.*?)</script>", page, re.S)
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert policy and script and style

    def named(text: str) -> str:
        return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"

    assert policy[1].startswith("default-src 'none'; ")
    assert f"script-src {named(script[1])};" in policy[1]
    assert f"style-src {named(style[1])};" in policy[1]
    assert "unsafe" not in policy[1] and "http:" not in page and "https:" not in page
    assert not re.search(r"\sstyle=|\son[a-z]+=", page), "which the policy would not permit"
    assert "fetch(" not in script[1] and "innerHTML" not in script[1]


def test_every_word_of_the_script_is_there() -> None:
    used = set(re.findall(r'"((?:[a-z]+\.)+[A-Za-z0-9]+)"', _SCRIPT))
    ranges = {f"range.{name}" for name in ("all", "today", "7d", "30d", "custom")}
    assert used <= set(snapshot.WORDS) and ranges <= set(snapshot.WORDS)
    for language in words.languages():
        assert set(snapshot.WORDS) - set(words.catalogue(language)) == set(), language


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_script_is_one() -> None:
    path = str(_FOLDER / "snapshot.js")
    assert subprocess.run(["node", "--check", path], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("verb", ["dashboard", "open-dashboard"])
def test_a_snapshot_has_the_calls(
    brimline: Brimline, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = _written(brimline, verb)
    assert opened == ([(brimline.folder / "page.html").as_uri()] if verb != "dashboard" else [])
    listed = brimline.json("calls", "--limit", "0")
    assert [row["id"] for row in _rows(page)] == [row["id"] for row in listed["rows"]]
    assert _embedded(page)["total"] == listed["total_matched_rows"]
    for row, call in zip(_rows(page), listed["rows"], strict=True):
        assert row == {name: call[name] for name in snapshot.COLUMNS}
    assert "Active sessions only" in page and "Privacy: all shown" in page
    assert "Prices: <bdi>OpenAI" in page


def test_a_snapshot_of_all_history_says_so(brimline: Brimline) -> None:
    page = _written(brimline, "dashboard", "--include-archived")
    whole = brimline.json("calls", "--limit", "0", "--include-archived")["row_count"]
    assert len(_rows(page)) == whole and "All history" in page


def test_a_bound_is_said_and_keeps_the_newest(brimline: Brimline) -> None:
    listed = brimline.json("calls", "--limit", "0")["rows"]
    page = _written(brimline, "dashboard", "--limit", "7")
    assert [row["id"] for row in _rows(page)] == [row["id"] for row in listed[:7]]
    assert _embedded(page)["total"] == len(listed) > 7, "the page tells how many there are"
    assert len(_rows(_written(brimline, "dashboard", "--limit", "0"))) == len(listed)


def test_many_calls_are_asked_for_piece_by_piece(
    brimline: Brimline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagefiles, "_AT_ONCE", 3)
    listed = brimline.json("calls", "--limit", "8")["rows"]
    page = _written(brimline, "dashboard", "--limit", "8")
    assert [row["id"] for row in _rows(page)] == [row["id"] for row in listed]


def test_strict_privacy_names_nothing(brimline: Brimline) -> None:
    titles = {row["threadTitle"] for row in brimline.json("calls", "--limit", "0")["rows"]} - {None}
    projects = {row["project"] for row in brimline.json("calls", "--limit", "0")["rows"]} - {None}
    page = _written(brimline, "dashboard", "--privacy-mode", "strict")
    assert titles and not [name for name in titles | projects if f'"{name}"' in page]
    assert "Privacy: strict" in page


def test_the_language_of_a_snapshot(brimline: Brimline) -> None:
    page = _written(brimline, "dashboard", "--lang", "ar")
    assert '<html lang="ar" dir="rtl">' in page and _embedded(page)["lang"] == "ar"
    assert not re.search(r">(snapshot|filter|calls|report)\.", page), "every word is there"


def test_a_report_has_no_script(brimline: Brimline) -> None:
    assert "<script" not in _written(brimline, "report")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        pytest.param({}, "–", id="nothing known"),
        pytest.param(
            {"shipped": [{"name": "a", "checked": "2026-01-01"},
                         {"name": "b", "checked": "2026-02-01"}]},
            "b, 2026-02-01", id="the newest list that is shipped",
        ),
        pytest.param(
            {"models": 3, "problems": [], "source": {"name": "mine", "fetched_at": "2026-03-01"}},
            "pricing.json, mine, 2026-03-01", id="the user's own",
        ),
        pytest.param(
            {"models": 3, "problems": ["x"], "shipped": [{"name": "a", "checked": "2026-01-01"}]},
            "a, 2026-01-01", id="a broken one does not hold",
        ),
    ],
)  # fmt: skip
def test_whose_prices_hold(file: dict[str, Any], said: str) -> None:
    assert pagefiles._source("pricing.json", file, "") == said
