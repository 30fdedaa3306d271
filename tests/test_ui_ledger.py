"""What one does with the lists of the ledger: rows that open, columns that fit, missing prices."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Browser, expect

from server.store import db
from server.usage import ownfiles
from tests import test_ui
from tests.claudelogs import ClaudeLog
from tests.serving import Served
from tests.test_ui import Watched, watching

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
watched, lived_in = test_ui.watched, test_ui.lived_in
WIDER = """() => [...document.querySelectorAll(".scroll")]
    .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.className)"""
# Amounts whose ends are out of sight.
CUT = """() => [...document.querySelectorAll("tbody td.num")]
    .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)"""
CALL_PAGE = re.compile(r"/calls/[^?]+$")


def test_a_row_leads_to_the_call_s_page_by_every_way(lived_in: Served, watched: Watched) -> None:
    address = f"{lived_in.url}/calls?history=all"
    page = watched.open(address, "Calls")
    link = page.locator("tbody tr.openable a[data-row]").first
    call = link.get_attribute("href")
    assert call is not None and CALL_PAGE.search(call)
    page.keyboard.press("j")
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{lived_in.url}{call}")
    expect(page.locator("h1")).to_have_text("Call")
    page.go_back()
    cell = page.locator("tbody tr.openable").first.locator("td").last
    cell.dblclick()
    expect(page).to_have_url(f"{lived_in.url}{call}")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.go_back()  # not to the panel that the first of the two clicks opened
    expect(page).to_have_url(address)
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.go_forward()
    expect(page).to_have_url(f"{lived_in.url}{call}")
    page.goto(address)
    expect(cell).to_be_visible()
    with page.context.expect_page() as opened:
        cell.click(button="middle")
    expect(opened.value).to_have_url(f"{lived_in.url}{call}")
    with page.context.expect_page() as opened:
        cell.click(modifiers=["ControlOrMeta"])
    expect(opened.value).to_have_url(f"{lived_in.url}{call}")


@pytest.mark.parametrize("language", ["en", "de", "ru", "ar"])
def test_lists_fit_a_narrow_window(chromium: Browser, lived_in: Served, language: str) -> None:
    thread = db.rows("select id from thread order by id limit 1")[0][0]
    with db.writing() as connection:  # four decimals, the longest of usual amounts
        connection.execute("update call set cost = 2900, price_status = 'estimated'")
    context = chromium.new_context(
        locale=language, viewport={"width": 900, "height": 860}, reduced_motion="reduce"
    )
    context.set_default_timeout(30_000)
    try:
        watched = Watched(context.new_page())
        for path in ("/calls?history=all", "/threads?history=all", f"/threads?expand={thread}"):
            page = watched.open(lived_in.url + path)
            expect(page.locator("html")).to_have_attribute("lang", language)
            expect(page.locator("tbody tr.openable").first).to_be_visible()
            expect(page.locator(".nest .skeleton")).to_have_count(0)
            assert page.evaluate(WIDER) == [], f"{path} scrolls sideways"
            assert page.evaluate(CUT) == [], f"{path} cuts an amount"
    finally:
        context.close()


def test_chosen_columns_stay_though_they_do_not_fit(chromium: Browser, lived_in: Served) -> None:
    with watching(chromium, width=900) as watched:
        page = watched.open(f"{lived_in.url}/calls?history=all", "Calls")
        head = page.locator("thead")
        expect(head.get_by_role("button", name="Cost")).to_be_visible()
        expect(head.get_by_role("button", name="Reasoning")).to_have_count(0)
        page.get_by_role("button", name="Columns").click()
        page.get_by_role("menuitemcheckbox", name="Reasoning").click()
        expect(head.get_by_role("button", name="Reasoning")).to_have_count(1)
        expect(head.get_by_role("button", name="Cost")).to_have_count(1)
        page.keyboard.press("Escape")
        page.reload()
        expect(head.get_by_role("button", name="Reasoning")).to_have_count(1)


def test_models_without_a_price_say_how_to_give_one(served: Served, watched: Watched) -> None:
    log = ClaudeLog(at=db.now_ms() - 60_000)
    log.says("msg_1", {"type": "text", "text": "Done."}, stop="end_turn")
    file = served.config.claude_home / "projects" / "p" / f"{log.key}.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(log.lines).replace("claude-opus-4-6", "claude-opus-7"))
    served.services.indexer.scan(wait=True)
    models = {name for (name,) in db.rows("select distinct model from call where cost is null")}
    assert models
    page = watched.open(f"{served.url}/calls?price=unpriced", "Calls")
    help_ = page.locator(".no-price")
    for model in models:
        expect(help_).to_contain_text(model)
    expect(help_).to_contain_text(str(ownfiles.path("pricing.json")))
    watched.check()
    help_.get_by_role("button", name="Make the file").click()
    expect(help_.get_by_role("button", name="Make the file")).to_have_count(0)
    prices = ownfiles.path("pricing.json")
    given = json.loads(prices.read_text())
    given["models"] = {
        model: {"input_per_million": 2, "cached_input_per_million": 0.2, "output_per_million": 9}
        for model in models
    }
    prices.write_text(json.dumps(given))
    page.goto(f"{served.url}/calls")
    expect(page.locator("tbody tr.openable").first).to_be_visible()
    page.get_by_role("button", name="Read the logs now").click()  # a scheduler's turn otherwise
    expect(page.locator("tbody").get_by_text("no price")).to_have_count(0)


def test_many_accounts_come_a_page_at_a_time(served: Served, watched: Watched) -> None:
    for number in range(55):
        served.account(f"account{number:02}")
    page = watched.open(f"{served.url}/", "Overview")
    lanes = page.locator(".lane")
    expect(lanes).to_have_count(30)
    expect(page.get_by_text("30 of 55 loaded")).to_be_visible()
    watched.check()
    page.get_by_role("button", name="Load more").click()
    expect(lanes).to_have_count(55)
    expect(page.get_by_role("link", name="Show all 55")).to_have_count(0)
    page.goto(f"{served.url}/accounts")
    expect(lanes).to_have_count(50)
    page.get_by_role("button", name="Load more").click()
    expect(lanes).to_have_count(55)


def test_an_empty_ledger_says_what_to_do_though_it_is_filtered(
    served: Served, watched: Watched
) -> None:
    for path in ("/threads?range=7d&model=gpt-5.5", "/calls?range=7d&model=gpt-5.5"):
        page = watched.open(f"{served.url}{path}")
        card = page.locator("main .card").filter(has_text="Codex")
        expect(card.get_by_role("button", name="Read the logs now").first).to_be_visible()
        expect(page.get_by_text("No thread matches")).to_have_count(0)
        watched.check()


def test_the_column_that_orders_the_list_is_shown(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls?history=all&sort=credits", "Calls")
    expect(page.locator("thead th[aria-sort]")).to_have_text(re.compile("Credits"))
    page.goto(f"{lived_in.url}/calls?history=all")
    expect(page.locator("thead th[aria-sort]")).to_have_text(re.compile("Time"))
    expect(page.locator("thead").get_by_role("button", name="Credits")).to_have_count(0)


def test_the_tracker_s_addresses_at_the_root_lead_on(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/?view=calls&preset=cache-misses&history=all", "Calls")
    expect(page).to_have_url(f"{lived_in.url}/calls?preset=cache-misses&history=all")
    page.goto(f"{lived_in.url}/?view=nothing-known")
    expect(page.locator("h1")).to_have_text("Overview")
    expect(page).to_have_url(f"{lived_in.url}/")
