"""What a view of the ledger says of itself: its name, its filters, and what it does not know."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from server.store import db
from server.usage import slices
from tests import test_ui
from tests.claudelogs import ClaudeLog
from tests.serving import Served
from tests.test_ui import Watched
from tests.test_ui_usage import asked

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
watched, lived_in = test_ui.watched, test_ui.lived_in
HOUR = 3_600_000
WAIT_MS = 30_000


def unpriced(served: Served) -> None:
    """A call of a model that has no price, an hour ago."""
    log = ClaudeLog(at=db.now_ms() - HOUR)
    log.says("msg_1", {"type": "text", "text": "Done."}, stop="end_turn")
    file = served.config.claude_home / "projects" / "p" / f"{log.key}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(log.lines).replace("claude-opus-4-6", "claude-opus-97"))
    served.services.indexer.scan(wait=True)
    assert db.rows("select count(*) from call where cost is null and provider = 'claude'")[0][0]


def own_thread() -> str:
    """A thread with calls of its own session."""
    sql = "select s.key from session s join call c on c.session = s.id where s.key = s.thread"
    return str(db.rows(f"{sql} and s.provider = 'codex' order by s.key limit 1")[0][0])


def test_what_has_no_price_costs_no_zero_dollars(lived_in: Served, watched: Watched) -> None:
    unpriced(lived_in)
    page = watched.open(f"{lived_in.url}/trends?provider=claude", "Trends")
    cost = page.locator("section.card").filter(
        has=page.get_by_role("heading", name="Estimated cost")
    )
    expect(cost).to_contain_text("None of these calls has a price")
    expect(cost.locator(".no-price")).to_contain_text("claude-opus-97")
    expect(page.locator("main")).not_to_contain_text("$0.00")
    watched.check()


def test_a_sum_without_all_prices_has_a_mark(lived_in: Served, watched: Watched) -> None:
    at = db.rows("select max(started_at) from call where provider = 'codex'")[0][0]
    with db.writing() as connection:
        connection.execute(
            "update call set cost = null, price_status = 'unpriced' where started_at = ?", (at,)
        )
        connection.execute("update call set cost = 3000000 where started_at < ?", (at,))
    slices.forget()
    lived_in.services.indexer.scan(wait=True)
    page = watched.open(f"{lived_in.url}/threads?history=all", "Threads")
    mark = page.locator("dl.totals div").filter(has_text="estimated cost").locator("abbr")
    expect(mark).to_have_attribute("title", "1 call without a price is not in it")
    expect(mark).to_have_text("+")
    watched.check()


def test_the_dearest_threads_are_a_view_with_a_name(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/insights?history=all", "Insights")
    page.locator(".presets").get_by_text("Highest cost").click()
    expect(page.locator("h1")).to_have_text("Threads")
    expect(page.get_by_text("Threads, the most expensive first")).to_be_visible()
    assert asked(page) == {"preset": ["highest-cost"], "sort": ["cost"], "history": ["all"]}
    expect(page.get_by_label("Preset")).to_have_value("highest-cost")
    page.get_by_role("button", name="Highest cost").click()
    expect(page.get_by_text("Threads, the most expensive first")).to_have_count(0)
    assert asked(page) == {"history": ["all"]}
    page.get_by_label("Preset").select_option("cache-misses")
    expect(page.locator("h1")).to_have_text("Calls")
    expect(page.get_by_text("Calls that used little from the cache")).to_be_visible()
    assert asked(page)["preset"] == ["cache-misses"]
    watched.check()


@pytest.mark.parametrize(
    "place",
    [
        "Insights",
        "Threads",
        "Trends",
        "Diagnostics",
    ],
)
def test_effort_and_text_go_along(lived_in: Served, watched: Watched, place: str) -> None:
    page = watched.open(f"{lived_in.url}/calls?effort=high&q=a", "Calls")
    rail = page.get_by_role("navigation")
    rail.get_by_role("link", name=place, exact=True).click()
    expect(page.locator("h1")).to_have_text(place)
    bar = page.get_by_role("search", name="Filters")
    expect(bar.get_by_role("button", name="Effort")).to_contain_text("high")
    expect(bar.get_by_role("searchbox", name="Search")).to_have_value("a")
    assert asked(page) == {"effort": ["high"], "q": ["a"]}
    rail.get_by_role("link", name="Calls", exact=True).click()
    expect(page.locator("h1")).to_have_text("Calls")
    assert asked(page) == {"effort": ["high"], "q": ["a"]}


@pytest.mark.parametrize(
    ("sort", "name"),
    [
        ("gap", "Gap before"),
        ("cumulative", "Session so far"),
        ("account", "Account"),
        ("seen", "Seen by"),
    ],
)
def test_calls_sort_by_what_few_look_for(
    lived_in: Served, watched: Watched, sort: str, name: str
) -> None:
    page = watched.open(f"{lived_in.url}/calls?sort={sort}&direction=asc&history=all", "Calls")
    head = page.get_by_role("columnheader", name=name)
    expect(head).to_have_attribute("aria-sort", "ascending", timeout=WAIT_MS)
    expect(page.locator("tr.openable").first).to_be_visible(timeout=WAIT_MS)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending", timeout=WAIT_MS)
    assert asked(page) == {"sort": [sort], "history": ["all"]}
    watched.check()


def test_rows_behind_a_chart_have_its_text(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/trends?q=gpt&history=all", "Trends")
    link = page.locator('main a[href^="/calls"]').first
    expect(link).to_have_attribute("href", re.compile("[?&]q=gpt"), timeout=WAIT_MS)
    page.get_by_role("searchbox", name="Search").fill("no such text at all")
    expect(page.get_by_text("No calls in this time")).to_be_visible(timeout=WAIT_MS)
    assert asked(page)["q"] == ["no such text at all"]
    watched.check()


def test_a_time_without_threads_is_no_empty_ledger(lived_in: Served, watched: Watched) -> None:
    address = f"{lived_in.url}/insights?range=custom&from=2020-01-01&to=2020-01-05"
    page = watched.open(address, "Insights")
    expect(page.get_by_text("No thread matches these filters")).to_be_visible()
    expect(page.get_by_text("No threads yet")).to_have_count(0)
    expect(page.get_by_text("Nothing needs you now")).to_have_count(0)
    page.get_by_role("button", name="Clear filters").last.click()
    expect(page.locator("table").first).to_be_visible()


def test_threads_that_find_titles_count_until_they_are_hidden(
    lived_in: Served, watched: Watched
) -> None:
    thread = own_thread()
    with db.writing() as connection:
        connection.execute("update session set kind = 'title' where key = ?", (thread,))
    page = watched.open(f"{lived_in.url}/threads?history=all", "Threads")
    link = page.locator(f'tbody a[href="/threads/{thread}"]')
    expect(link).to_have_count(1, timeout=WAIT_MS)
    page.get_by_role("button", name="Hide 1 title lookup", exact=True).click(timeout=WAIT_MS)
    expect(link).to_have_count(0, timeout=WAIT_MS)
    expect(page).to_have_url(re.compile(r"[?&]titling=hide"), timeout=WAIT_MS)
    page.get_by_label("Preset").select_option("highest-cost")
    expect(page).to_have_url(re.compile(r"[?&]preset=highest-cost"), timeout=WAIT_MS)
    expect(page.locator("tbody tr.openable").first).to_be_visible(timeout=WAIT_MS)
    expect(link).to_have_count(0, timeout=WAIT_MS)
    page.get_by_role("button", name="1 title lookup hidden").click(timeout=WAIT_MS)
    expect(link).to_have_count(1, timeout=WAIT_MS)
    watched.check()


def test_a_sub_agents_calls_say_so(lived_in: Served, watched: Watched) -> None:
    thread = own_thread()
    with db.writing() as connection:
        connection.execute(
            "update session set kind = 'subagent', role = 'explorer' where key = ?", (thread,)
        )
    page = watched.open(f"{lived_in.url}/threads/{thread}")
    own = page.locator("table.nested tbody tr th")
    expect(own.first).to_be_visible()
    marked = page.locator("table.nested .whose").first
    expect(marked).to_contain_text("sub-agent")
    expect(marked).to_contain_text("explorer")
    watched.check()
