"""Addresses that were cut, mistyped or kept from elsewhere, in Chromium: no page stays blank."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from server.auth.keys import Draft
from server.store import settings
from tests import test_ui
from tests.serving import Served
from tests.test_ui import Watched, watching

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
watched, lived_in = test_ui.watched, test_ui.lived_in


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/calls/%E0%A4%A", id="cut within a letter"),
        pytest.param("/accounts/%ff", id="no text at all"),
        pytest.param("/threads/%", id="a lone percent sign"),
        pytest.param("/%E0%A4%A", id="no page of ours"),
    ],
)
def test_a_malformed_address_is_not_found(served: Served, watched: Watched, path: str) -> None:
    watched.open(served.url + path, "Nothing here")
    watched.check()


@pytest.mark.parametrize(
    "path",
    [
        "/calls?sort=zzz&range=foo&direction=x&price=x&credit=x&preset=x&provider=x&history=x&rows=x",
        "/threads?sort=zzz&range=foo&price=x&credit=x&provider=x&from=x",
        "/trends?range=foo&provider=x&from=2026-02-31&to=x&by=x",
        "/insights?range=foo&provider=x&from=1&rank=x",
        "/diagnostics?range=foo&provider=x&to=x&sort=x&kind=x&talks=x",
        "/requests?range=foo&status=x&rows=x&page=x&from=x&to=x",
    ],
)
def test_unknown_values_fall_back(served: Served, watched: Watched, path: str) -> None:
    """What nobody knows is as if it were not there: no question is refused, no filter is set."""
    watched.open(served.url + path)
    expect(watched.page.get_by_role("button", name="Clear filters")).to_have_count(0)
    watched.check()


def test_an_empty_ledger_says_so_whatever_the_filters(served: Served, watched: Watched) -> None:
    page = watched.open(f"{served.url}/calls?range=7d&model=gpt-5.5", "Calls")
    expect(page.get_by_text("No calls yet")).to_be_visible()
    expect(page.locator(".empty").get_by_role("button", name="Read the logs now")).to_be_visible()
    watched.check()


def test_a_page_that_fails_says_so_and_the_others_go_on(served: Served, chromium: Browser) -> None:
    with watching(chromium) as seen:
        page = seen.page
        page.route("**/api/request-logs?*", lambda route: route.fulfill(json={}))
        page.goto(f"{served.url}/requests")
        expect(page.get_by_role("heading", name="This page could not be drawn")).to_be_visible()
        page.get_by_role("link", name="API keys", exact=True).click()
        expect(page.locator("h1")).to_have_text("API keys")
        page.goto(f"{served.url}/requests")
        expect(page.get_by_role("heading", name="This page could not be drawn")).to_be_visible()
        page.unroute("**/api/request-logs?*")
        page.get_by_role("button", name="Reload").click()
        expect(page.get_by_text("No requests yet")).to_be_visible()


def test_a_long_key_name_is_within_the_dialog(served: Served, watched: Watched) -> None:
    served.account("studio")
    name = "the laptop in the office " * 4
    served.services.keys.create(Draft(name.strip()))
    page = watched.open(f"{served.url}/requests", "Requests")
    page.get_by_role("button", name="Why this account?").click()
    dialog = page.get_by_role("dialog")
    key = dialog.get_by_label("API key")
    key.select_option(label=name.strip())
    expect(key).to_have_attribute("title", name.strip())
    expect(dialog.locator("tbody tr")).to_have_count(1)
    assert dialog.evaluate("element => element.scrollWidth - element.clientWidth") <= 0
    watched.check()


def test_the_panels_say_that_archived_sessions_count(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/trends", "Trends")
    said = page.locator(".panels-head").get_by_text("Archived sessions count here as well.")
    expect(page.locator(".panels-head")).to_be_visible()
    expect(said).to_have_count(0)  # there are none

    home = lived_in.config.codex_home
    log = min((home / "sessions").rglob("*.jsonl"))
    (home / "archived_sessions").mkdir()
    log.rename(home / "archived_sessions" / log.name)
    lived_in.services.indexer.scan(wait=True)
    page.reload()
    expect(said).to_be_visible()
    page.get_by_label("History").select_option("all")
    expect(said).to_have_count(0)
    watched.check()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("width", "reason", "key"),
    [
        pytest.param(900, ".why-second", ".key-second", id="both under the account"),
        pytest.param(1000, "td.reason", ".key-second", id="the reason has its column"),
        pytest.param(1400, "td.reason", "td.by-key", id="both have their columns"),
    ],
)
def test_a_request_says_why_and_with_which_key(
    chromium: Browser, served: Served, theme: str, width: int, reason: str, key: str
) -> None:
    served.account("studio")
    _, secret = served.services.keys.create(Draft("the laptop in the office upstairs"))
    settings.change({"apiKeyAuthEnabled": True})
    test_ui.ask(served, secret=secret)
    with watching(chromium, theme, width) as seen:
        page = seen.open(f"{served.url}/requests", "Requests")
        row = page.locator("tbody tr.openable")
        expect(row).to_have_count(1)
        expect(row.locator(reason)).to_be_visible()
        expect(row.locator(reason)).not_to_be_empty()
        expect(row.locator(key)).to_be_visible()
        expect(row.locator(key)).to_contain_text("the laptop in the office upstairs")
        for other in {".why-second", "td.reason", ".key-second", "td.by-key"} - {reason, key}:
            expect(row.locator(other)).to_be_hidden()
        hidden = "element => element.scrollWidth - element.clientWidth"
        assert page.locator(".scroll.sticky").evaluate(hidden) <= 1
        seen.check()
