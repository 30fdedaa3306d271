"""What pages keep to: the privacy mode, filters on the way to the next, a table's head."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from server.store import settings
from tests import test_ui
from tests.serving import Served
from tests.test_ui import Watched

chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
lived_in, watched = test_ui.lived_in, test_ui.watched
LONG = 30_000  # ms, for a machine that is much slower


def test_strict_pages_show_the_mode_and_no_accounts_name(
    lived_in: Served, watched: Watched
) -> None:
    ids = [one.id for one in lived_in.services.pool.candidates()]
    settings.change({"privacyMode": "strict"})
    for path, title in (("/", "Overview"), ("/accounts", "Accounts"), ("/requests", "Requests")):
        page = watched.open(f"{lived_in.url}{path}", title)
        chip = page.locator("header").get_by_role("button", name="Privacy: strict")
        expect(chip).to_be_visible(timeout=LONG)
        neutral = re.compile("|".join(f"account {one[:6]}" for one in ids))
        expect(page.get_by_text(neutral).first).to_be_visible(timeout=LONG)
        assert "studio@" not in page.locator("main").inner_text()


def test_keys_take_the_filters_along(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls?range=7d&q=x&sort=cost", "Calls")
    page.keyboard.press("g")
    page.keyboard.press("h")
    expect(page).to_have_url(f"{lived_in.url}/threads?range=7d&q=x", timeout=LONG)


def test_a_thread_list_keeps_its_head(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/threads", "Threads")
    page.set_viewport_size({"width": 1100, "height": 400})
    expect(page.locator('.scroll[data-fits="yes"]')).to_be_visible(timeout=LONG)
    head = page.locator("table.threads > thead th").first
    page.wait_for_function(
        "() => { const table = document.querySelector('table.threads');"
        " scrollBy(0, table.getBoundingClientRect().top + 20);"
        " const top = table.querySelector('thead th').getBoundingClientRect().top;"
        " return table.getBoundingClientRect().top < 0 && Math.abs(top) < 2; }",
        timeout=LONG,
    )
    expect(head).to_be_in_viewport()
