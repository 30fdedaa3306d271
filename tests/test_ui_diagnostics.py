"""The diagnostics page in Chromium before the real server."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests import claudelogs, test_ui
from tests.serving import Served
from tests.test_diagnostics import rich
from tests.test_ui import Watched, watching

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
watched = test_ui.watched


@pytest.fixture
def worked(served: Served) -> Served:
    """A server whose logs hold something for every section, computed."""
    for number in range(1, 4):
        rich(number).save(served.config.codex_home)
    served.services.indexer.scan()
    served.services.facts.refresh()
    return served


@pytest.mark.parametrize("width", [900, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_sound(chromium: Browser, worked: Served, theme: str, width: int) -> None:
    with watching(chromium, theme, width) as watched:
        page = watched.open(f"{worked.url}/diagnostics", "Diagnostics")
        expect(page.get_by_role("region", name="Loops and outcomes")).to_be_visible()
        watched.check()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_before_anything_was_computed_it_says_so(served: Served, watched: Watched) -> None:
    rich().save(served.config.codex_home)
    served.services.indexer.scan()
    page = watched.open(f"{served.url}/diagnostics")
    expect(page.get_by_text("Not computed yet")).to_be_visible()
    watched.check()
    page.get_by_role("button", name="Refresh").last.click()
    expect(page.get_by_role("region", name="Facts")).to_be_visible()
    expect(page.get_by_text(re.compile("^Computed .* Logs read: 1$"))).to_be_visible()


def test_numbers_lead_to_their_calls(worked: Served, watched: Watched) -> None:
    page = watched.open(f"{worked.url}/diagnostics?range=all")
    row = page.get_by_role("region", name="Commands", exact=True).get_by_role("row").nth(1)
    expect(row).to_contain_text("pytest")
    row.get_by_role("link", name="6").click()
    expect(page).to_have_url(re.compile(r"/calls\?.*fact=command_root%3Apytest"))
    expect(page.get_by_text("6 calls", exact=True)).to_be_visible()
    chip = page.get_by_role("button", name=re.compile("^Fact: pytest"))
    chip.click()
    expect(page.get_by_text("21 calls", exact=True)).to_be_visible()


def test_the_largest_call_opens_its_own_page(worked: Served, watched: Watched) -> None:
    page = watched.open(f"{worked.url}/diagnostics")
    row = page.get_by_role("region", name="Facts").get_by_role("row").nth(1)
    row.get_by_role("link").last.click()
    expect(page).to_have_url(re.compile("/calls/resp_"))
    expect(page.locator("h1")).to_be_visible()


def test_facts_sort_and_narrow_by_address(worked: Served, watched: Watched) -> None:
    page = watched.open(f"{worked.url}/diagnostics")
    facts = page.get_by_role("region", name="Facts")
    facts.get_by_role("button", name="Times").click()
    expect(page).to_have_url(re.compile("sort=times"))
    expect(facts.locator("th[aria-sort=descending]")).to_have_text(re.compile("Times"))
    facts.get_by_label("Kind").select_option("mcp_tool")
    expect(page).to_have_url(re.compile("kind=mcp_tool"))
    expect(facts.get_by_role("row")).to_have_count(2)
    page.reload()
    expect(facts.get_by_role("row")).to_have_count(2)
    page.go_back()
    expect(facts.get_by_label("Kind")).to_have_value("")


def test_filters_compute_anew_and_go_along(worked: Served, watched: Watched) -> None:
    page = watched.open(f"{worked.url}/diagnostics?range=custom&from=2020-01-01&to=2020-01-02")
    expect(page.get_by_text(re.compile("Computed for these filters"))).to_be_visible()
    expect(page.get_by_text("No call matches", exact=False).first).to_be_visible()
    expect(page.get_by_role("region", name="Commands", exact=True)).to_have_count(0)
    watched.check()
    page.goto(f"{worked.url}/diagnostics?model=gpt-5.5")
    page.get_by_role("navigation").get_by_role("link", name="Calls", exact=True).click()
    expect(page).to_have_url(re.compile(r"/calls\?model=gpt-5.5"))


def test_csv_holds_every_row(worked: Served, watched: Watched) -> None:
    page = watched.open(f"{worked.url}/diagnostics")
    with page.expect_download() as waiting:
        page.get_by_role("region", name="File reads").get_by_role("button", name="CSV").click()
    with Path(waiting.value.path()).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "reads", "output_tokens"]
    assert {row[0].split()[0] for row in rows[1:]} == {"a.py", "b.py", "src"}


def test_a_failure_can_be_tried_again(worked: Served, watched: Watched) -> None:
    watched.refused.add("diagnostics/commands")
    watched.page.route(
        "**/api/diagnostics/commands*",
        lambda route: route.fulfill(
            status=507, json={"error": {"code": "x", "message": "The disk is full."}}
        ),
    )
    page = watched.open(f"{worked.url}/diagnostics")
    expect(page.get_by_text("The disk is full.")).to_be_visible()
    page.unroute("**/api/diagnostics/commands*")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Commands", exact=True)).to_be_visible()


def test_refresh_counts_what_is_new(worked: Served, watched: Watched) -> None:
    page = watched.open(f"{worked.url}/diagnostics")
    rich(9).save(worked.config.codex_home)
    worked.services.indexer.scan()
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_text(re.compile("Logs read: 4$"))).to_be_visible()


@pytest.mark.parametrize("title", ["Largest reads", "Largest edits"])
def test_an_occasion_opens_its_call(worked: Served, watched: Watched, title: str) -> None:
    page = watched.open(f"{worked.url}/diagnostics?range=all")
    row = page.get_by_role("region", name=title).get_by_role("row").nth(1)
    row.get_by_role("link").last.click()
    expect(page).to_have_url(re.compile("/calls/resp_"))
    watched.check()


def test_file_types_lead_to_their_calls(worked: Served, watched: Watched) -> None:
    page = watched.open(f"{worked.url}/diagnostics?range=all")
    kinds = page.get_by_role("region", name="Edits by file type")
    kinds.get_by_role("link", name=".py").click()
    expect(page).to_have_url(re.compile("fact=extension%3A.py"))
    expect(page.get_by_text("3 calls", exact=True)).to_be_visible()


def test_concentration_can_be_kept(worked: Served, watched: Watched) -> None:
    page = watched.open(f"{worked.url}/diagnostics?range=all")
    with page.expect_download() as waiting:
        page.get_by_role("region", name="Concentration").get_by_role("button", name="CSV").click()
    with Path(waiting.value.path()).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:3] == ["dimension", "group", "total_tokens"]
    assert {row[0] for row in rows[1:]} == {"source_log", "cwd", "day"}


def test_claude_code_has_facts_too(served: Served, watched: Watched) -> None:
    claudelogs.rich().save(served.config.claude_home)
    served.services.indexer.scan()
    served.services.facts.refresh()
    page = watched.open(f"{served.url}/diagnostics?range=all&provider=claude")
    tools = page.get_by_role("region", name="Tool output")
    expect(tools.get_by_role("row", name=re.compile("^edit"))).to_be_visible()
    expect(page.get_by_role("region", name="Facts")).to_contain_text("Sub-agents")
    watched.check()
