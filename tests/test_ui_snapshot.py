"""The snapshot in a browser: it counts as the logs do, and its address keeps what is shown.

APP_CMD=dist/brimline runs the same tests on pages that the binary writes.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from desktop import sharing, snapshot
from server import words
from server.store import db
from tests import test_ui
from tests.claudelogs import ClaudeLog
from tests.rollouts import Tree
from tests.test_ui import Watched

COMMAND = shlex.split(os.environ.get("APP_CMD", "")) or [sys.executable, "-P", "-m", "desktop"]
ROOT = Path(__file__).resolve().parent.parent
HOUR = 3_600_000

pytestmark = [
    pytest.mark.ui,
    pytest.mark.packaged,
    pytest.mark.skipif(not Path(test_ui.CHROMIUM).exists(), reason="no Chromium"),
]
chromium, watched = test_ui.chromium, test_ui.watched


class Written:
    """A home with logs, and the pages that the program writes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = Tree(folder / ".codex", seed=41, body=20)
        self.tree.grow(12)
        log = ClaudeLog(at=db.now_ms() - HOUR)
        log.says("msg_1", {"type": "text", "text": "Done."}, stop="end_turn")
        file = folder / ".claude" / "projects" / "p" / f"{log.key}.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text("".join(log.lines))
        self.calls = self.tree.sums[0] + 1

    def page(self, name: str, *more: str) -> str:
        """The address of a page with all calls; asked for again, the one that is there."""
        place = self.folder / f"{name}.html"
        if not place.exists():
            command = [*COMMAND, "dashboard", "--include-archived", "--output", str(place), *more]
            known = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
            home = {"HOME": str(self.folder), "BRIMLINE_DATA_DIR": str(self.folder / "data")}
            env = {**known, **home, "BRIMLINE_NO_KEYRING": "1", "TZ": "UTC"}
            subprocess.run(command, env=env, cwd=ROOT, check=True, timeout=120)
        return place.as_uri()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    yield Written(tmp_path_factory.mktemp("snapshot"))


def checked(watched: Watched) -> None:
    """Nothing went wrong; where `make test` has fetched axe, a screen reader can use it, too."""
    if test_ui.AXE.exists():
        watched.check()
    assert watched.troubles == []


def matching(page: Page, count: int, total: int) -> None:
    expect(page.locator("#said")).to_have_text(f"{count:,} of {total:,} calls match")


def first_cells(page: Page) -> list[str]:
    return page.locator("#table tr.row td:first-child").all_inner_texts()


def test_it_counts_as_the_logs_do(written: Written, watched: Watched) -> None:
    page = watched.open(written.page("en"))
    figures = page.locator("#totals dd")
    expect(figures.nth(0)).to_have_text(f"{written.calls:,}")
    _, given, _, out, _ = written.tree.sums
    expect(figures.nth(1)).to_have_text(f"{given + out + 10 + 200 + 3000 + 50:,}")
    expect(page.locator("#still")).to_have_count(0)
    expect(page.locator("#period")).to_have_text(re.compile(r"^[A-Z][a-z]+ \d+.*, \d{4}$"))
    expect(page.get_by_role("columnheader", name="Credits")).to_be_visible()
    checked(watched)


def test_a_reload_and_a_copied_link_show_the_same(written: Written, watched: Watched) -> None:
    page = watched.open(written.page("en"))
    page.get_by_label("Provider").select_option(label="Claude")
    matching(page, 1, written.calls)
    page.get_by_label("Provider").select_option(label="Codex")
    matching(page, written.calls - 1, written.calls)
    page.get_by_role("button", name="Models").click()
    page.get_by_role("button", name="Model", exact=True).click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text(re.compile("Model"))
    shown, link = first_cells(page), page.url
    assert "#" in link and len(shown) > 1
    page.reload()
    matching(page, written.calls - 1, written.calls)
    expect(page.locator("th[aria-sort=ascending]")).to_have_text(re.compile("Model"))
    assert first_cells(page) == shown
    page.goto("about:blank")
    page.goto(link)
    matching(page, written.calls - 1, written.calls)
    assert first_cells(page) == shown
    page.get_by_role("button", name="Clear").click()
    matching(page, written.calls, written.calls)
    checked(watched)


def test_back_undoes_a_look_into_a_group(written: Written, watched: Watched) -> None:
    page = watched.open(written.page("en") + "#view=days")
    expect(page.get_by_role("button", name="Days", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    days = first_cells(page)
    page.locator("#table tr.row").last.click()
    expect(page.get_by_role("button", name="Calls", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(page.get_by_label("From", exact=True)).to_be_visible()
    assert (
        page.get_by_label("From", exact=True).input_value()
        == page.get_by_label("To", exact=True).input_value()
        != ""
    )
    page.locator("#table tr.row").first.click()
    expect(page.locator("tr.detail")).to_be_visible()
    said = page.locator("tr.detail").inner_text()
    page.reload()
    expect(page.locator("tr.detail")).to_have_text(re.compile(re.escape(said.splitlines()[0])))
    assert page.locator("tr.detail").inner_text() == said, "the call is open again"
    page.go_back()
    expect(page.locator("tr.detail")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("button", name="Days", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    assert first_cells(page) == days
    checked(watched)


def test_a_time_is_counted_back_from_the_page(written: Written, watched: Watched) -> None:
    page = watched.open(written.page("en"))
    page.get_by_label("Time").select_option(label="Today")
    expect(page).to_have_url(re.compile("#range=today$"))
    expect(page.get_by_label("From", exact=True)).to_be_hidden()
    page.get_by_label("Search").fill("claude")
    expect(page).to_have_url(re.compile("#range=today&q=claude$"))
    said = page.locator("#said").inner_text()
    page.reload()
    expect(page.locator("#said")).to_have_text(said)
    page.go_back()  # typing is no step of its own
    expect(page).not_to_have_url(re.compile("#"))
    matching(page, written.calls, written.calls)
    for named, days in (("This week", 7), ("This month", 31)):
        page.get_by_label("Time").select_option(label=named)
        begin, end = (page.locator(f"#{one}").input_value() for one in ("from", "to"))
        first, last = date.fromisoformat(begin), date.fromisoformat(end)
        assert 0 <= (last - first).days < days
        assert (first.weekday() == 0) if days == 7 else (first.day == 1)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("view=constructor&sort=toString", id="no view, no column"),
        pytest.param("model=gone&project=gone&provider=x", id="names of another page"),
        pytest.param("range=custom&from=never&to=2026-99-99", id="no days"),
        pytest.param("call=resp_gone&order=sideways", id="a call of another page"),
        pytest.param("%E0%A4%A&&=&q", id="no address at all"),
    ],
)
def test_what_a_link_asks_in_vain(written: Written, watched: Watched, asked: str) -> None:
    page = watched.open(f"{written.page('en')}#{asked}")
    matching(page, written.calls, written.calls)
    assert watched.troubles == []


def test_strict_and_from_right_to_left(written: Written, watched: Watched) -> None:
    page = watched.open(
        written.page("ar", "--privacy-mode", "strict", "--lang", "ar") + "#view=projects"
    )
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.locator("#views button[aria-pressed=true]")).to_have_text("المشاريع")
    expect(page.locator("#totals dd").first).to_have_text(f"{written.calls:,}")
    assert "secret-project" not in page.content()
    checked(watched)


def _said(language: str) -> dict[str, Any]:
    direction = "rtl" if language == "ar" else "ltr"
    return {"language": language, "direction": direction, "words": words.catalogue(language)}


def _figures() -> dict[str, Any]:
    calls = [
        {
            **dict.fromkeys(snapshot.COLUMNS),
            **{name: 1 for name in snapshot.COLUMNS if name.endswith("Tokens")},
            "id": f"c-{hour}", "at": f"2026-11-{20 - hour // 24:02}T{hour % 24:02}:00:00Z",
            "provider": "codex", "model": "gpt-5.5", "priceStatus": "exact", "costUsd": 0.5,
            "credits": 2, "creditModel": "gpt-5.5", "durationMs": 61_000, "initiator": "user",
        }
        for hour in range(40)
    ]  # fmt: skip
    totals = {
        "calls": 40, "totalTokens": 40, "cachedInput": 40, "uncachedInput": 40, "output": 40,
        "costUsd": 20.0, "unpriced": 0, "cacheRatio": None,
    }  # fmt: skip
    lists: dict[str, Any] = {name: [] for name in ("days", "models", "projects", "threads")}
    return {**lists, "totals": totals, "calls": calls}


_ABOUT = {
    "made": "2026-11-21T20:00:00+00:00", "zone": "UTC", "privacy": "normal", "history": "active",
    "prices": "prices", "rates": "rates",
}  # fmt: skip


def test_every_language_has_its_words(watched: Watched, tmp_path: Path) -> None:
    for language in words.languages():
        place = tmp_path / f"{language}.html"
        text = snapshot.page(sharing.Speech(_said(language)), _figures(), _ABOUT)
        place.write_text(text, encoding="utf-8")
        page = watched.open(place.as_uri() + "#call=c-7")
        expect(page.locator("tr.detail")).to_be_visible()
        body = page.locator("body").inner_text()
        assert not re.search(r"(?:[a-z]+\.)+(?:col|total|price)\.|\{\{|undefined", body), language
        assert not re.search(r"\d{4}-\d\d-\d\d", page.locator("#period").inner_text()), language
        expect(page.locator("#totals dd").first).to_have_text("40")
        assert watched.troubles == [], language
