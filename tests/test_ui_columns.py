"""The columns of long tables: as many as fit, or those that were chosen, table by table."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from server.store import db
from tests import test_ui
from tests.serving import Served
from tests.test_ui import watching

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
lived_in = test_ui.lived_in


OTHERS = (
    "Why chosen", "API key", "Model", "Status", "Tokens", "Cached", "Cost", "First event", "Total",
    "Attempts",
)  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_columns_are_chosen_by_keyboard_and_kept(
    chromium: Browser, served: Served, theme: str
) -> None:
    served.account("studio")
    test_ui.ask(served)
    with watching(chromium, theme, width=900) as seen:
        page = seen.open(f"{served.url}/requests", "Requests")
        head = page.get_by_role("columnheader")
        menu = page.get_by_role("button", name="Columns")
        expect(page.locator("tbody tr.openable")).to_have_count(1)
        for name, there in (("Total", 1), ("First event", 0), ("Attempts", 0)):
            expect(head.filter(has_text=name)).to_have_count(there)
        menu.focus()
        page.keyboard.press("Enter")
        first = page.get_by_role("menuitemcheckbox", name="Account")
        expect(first).to_be_focused()
        seen.check()
        for name in OTHERS:
            item = page.get_by_role("menuitemcheckbox", name=name)
            page.keyboard.press("ArrowDown")
            expect(item).to_be_focused()
            if name in ("First event", "Attempts"):
                expect(item).not_to_be_checked()
                page.keyboard.press("Enter")
                expect(item).to_be_checked()
                expect(head.filter(has_text=name)).to_have_count(1)
        page.keyboard.press("Escape")
        expect(menu).to_be_focused()
        # The second line below the account stays, because its own column was not chosen.
        expect(page.locator("tbody .why-second")).to_be_visible()
        seen.check()
        page.reload()
        expect(head.filter(has_text="Attempts")).to_have_count(1)
        menu.click()
        page.get_by_role("menuitemcheckbox", name="As many as fit").click()
        expect(head.filter(has_text="Attempts")).to_have_count(0)
        page.keyboard.press("Escape")
        page.reload()
        expect(head.filter(has_text="Total")).to_have_count(1)
        expect(head.filter(has_text="Attempts")).to_have_count(0)
    assert seen.troubles == []


def test_each_table_keeps_its_own_choice(chromium: Browser, lived_in: Served) -> None:
    with watching(chromium, width=900) as seen:
        page = seen.open(f"{lived_in.url}/threads?history=all", "Threads")
        head = page.get_by_role("columnheader")
        expect(page.locator("tbody tr.openable").first).to_be_visible()
        expect(head.filter(has_text="Model")).to_have_count(0)
        page.get_by_role("button", name="Columns").click()
        page.get_by_role("menuitemcheckbox", name="Model").click()
        expect(head.filter(has_text="Model")).to_have_count(1)
        page.get_by_role("menuitemcheckbox", name="Cost").click()
        expect(head.filter(has_text="Cost")).to_have_count(0)
        seen.check()
        page.keyboard.press("Escape")
        page.reload()
        expect(head.filter(has_text="Model")).to_have_count(1)
        expect(head.filter(has_text="Cost")).to_have_count(0)
        page = seen.open(f"{lived_in.url}/calls?history=all", "Calls")
        expect(head.filter(has_text="Cost")).to_have_count(1)
        page.get_by_role("button", name="Columns").click()
        expect(page.get_by_role("menuitemcheckbox", name="As many as fit")).to_be_checked()
        seen.check()


WHOLE = """() => [...document.querySelectorAll(".scroll.sticky")]
    .every((one) => one.scrollWidth <= one.clientWidth)"""


@pytest.mark.parametrize("width", [900, 1000, 1300, 1400])
def test_large_amounts_push_columns_out_and_not_the_table(
    chromium: Browser, served: Served, width: int
) -> None:
    served.account("studio")
    for _ in range(3):
        test_ui.ask(served)
    served.rows()
    with db.writing("requests") as connection:
        connection.execute(
            "update request_log set cost = 99999990000, input = 245678901, cached = 240000000, "
            "output = 1234567, duration_ms = 123456789, effort = 'xhigh', model = 'gpt-6.2-astra'"
        )
    with watching(chromium, width=width) as seen:
        page = seen.open(f"{served.url}/requests", "Requests")
        head = page.get_by_role("columnheader")
        expect(page.locator("tbody tr.openable")).to_have_count(3)
        expect(page.locator("tbody tr.openable").first).to_contain_text("$99,999.99")
        # Whatever had to go: the amounts stay, and nothing lies beside the table.
        expect(head.filter(has_text="Cost")).to_have_count(1)
        page.wait_for_function(WHOLE, timeout=30_000)
        # What was chosen stays, and the table scrolls.
        page.get_by_role("button", name="Columns").click()
        for name in ("Attempts", "First event"):
            item = page.get_by_role("menuitemcheckbox", name=name)
            if item.get_attribute("aria-checked") != "true":
                item.click()
        page.keyboard.press("Escape")
        expect(head.filter(has_text="Attempts")).to_have_count(1)
        expect(head.filter(has_text="First event")).to_have_count(1)
        seen.check()
    assert seen.troubles == []


def test_the_last_column_stays_and_rubbish_chooses_nothing(
    chromium: Browser, served: Served
) -> None:
    served.account("studio")
    test_ui.ask(served)
    with watching(chromium, width=1400) as seen:
        page = seen.open(f"{served.url}/requests", "Requests")
        head = page.get_by_role("columnheader")
        rows = page.locator("tbody tr.openable")
        expect(rows).to_have_count(1)
        page.evaluate("localStorage.setItem('requests.columns', 'rubbish,[]')")
        page.reload()
        expect(rows).to_have_count(1)
        expect(head.filter(has_text="Tokens")).to_have_count(1)
        page.evaluate("localStorage.setItem('requests.columns', 'cost,model')")
        page.reload()
        expect(rows).to_have_count(1)
        page.get_by_role("button", name="Columns").click()
        page.get_by_role("menuitemcheckbox", name="Model").click()
        expect(head.filter(has_text="Model")).to_have_count(0)
        last = page.get_by_role("menuitemcheckbox", name="Cost")
        expect(last).to_be_disabled()
        expect(last).to_be_checked()
        seen.check()
        page.get_by_role("menuitemcheckbox", name="Model").click()
        expect(last).to_be_enabled()
    assert seen.troubles == []
