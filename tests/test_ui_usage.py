"""The usage pages in Chromium before the real server, and the languages they speak."""

from __future__ import annotations

import csv
import json
import re
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from server.ingest import scan
from server.store import db, settings
from tests import test_ui
from tests.rollouts import Tree
from tests.serving import Served
from tests.test_i18n import PLURALS, catalogue
from tests.test_ui import Watched, watching

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
watched, lived_in = test_ui.watched, test_ui.lived_in

USAGE = {"/trends": "Trends", "/insights": "Insights", "/threads": "Threads", "/calls": "Calls"}


def largest_thread() -> str:
    found: str = db.rows(
        "select s.thread from call c join session s on s.id = c.session "
        "group by 1 order by count(*) desc limit 1"
    )[0][0]
    return found


def asked(page: Page) -> dict[str, list[str]]:
    # The page's own word: Playwright hears of an address a moment later.
    return parse_qs(page.evaluate("location.search.slice(1)"))


def downloaded(page: Page, button: str, within: str = "main") -> list[list[str]]:
    with page.expect_download() as waiting:
        page.locator(within).get_by_role("button", name=button).first.click()
    with Path(waiting.value.path()).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("width", [880, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_usage_page_is_sound(
    chromium: Browser, lived_in: Served, theme: str, width: int
) -> None:
    thread = largest_thread()
    with watching(chromium, theme, width) as watched:
        for path in (*USAGE, f"/threads/{thread}", f"/threads?expand={thread}"):
            page = watched.open(lived_in.url + path)
            expect(page.locator(".skeleton")).to_have_count(0)
            watched.check()
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{path} scrolls sideways"


def test_empty_usage_pages_say_what_would_fill_them(served: Served, watched: Watched) -> None:
    said = {
        "/trends": "No calls in this time",
        "/insights": "No threads yet",
        "/threads": "No threads yet",
    }
    for path, sentence in said.items():
        page = watched.open(served.url + path)
        expect(page.get_by_text(sentence).first).to_be_visible()
        watched.check()


def test_filters_go_along_from_page_to_page(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/trends", "Trends")
    page.get_by_label("Time", exact=True).select_option("7d")
    page.get_by_role("button", name="Codex", exact=True).click()
    page.get_by_role("button", name="Model:").click()
    page.get_by_role("menuitemcheckbox").first.click()
    page.keyboard.press("Escape")
    kept = asked(page)
    assert kept["range"] == ["7d"]
    assert kept["provider"] == ["codex"]
    rail = page.get_by_role("navigation", name="Main")
    for name in ("Insights", "Threads", "Calls"):
        rail.get_by_role("link", name=name).click()
        expect(page.locator("h1")).to_have_text(name)
        assert asked(page) == kept
    page.get_by_role("button", name="Clear filters").click()
    assert asked(page) == {}


def test_trends_show_what_the_ledger_holds(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/trends?range=all", "Trends")
    calls, tokens = db.rows("select count(*), sum(input + output) from call")[0]
    expect(page.locator("main")).to_contain_text(f"In this time: {tokens:,} tokens")
    for by in ("model", "project", "account", "kind"):
        page.get_by_label("Split by").select_option(by)
        chart = page.locator("section.card", has=page.get_by_label("Split by"))
        chart.get_by_role("button", name="CSV").wait_for()
        rows = downloaded(page, "CSV", "section.card:has(.chart-tools)")
        assert sum(int(cell) for row in rows[1:] for cell in row[1:-1]) == tokens, by
    ranked = downloaded(page, "CSV", "section.card:has(table.ranked)")
    assert sum(int(row[2]) for row in ranked[1:]) == tokens
    assert sum(int(row[4]) for row in ranked[1:]) == calls
    for number, button in enumerate(page.get_by_role("button", name="View as table").all()):
        button.click() if number == 0 else None
    expect(page.get_by_role("columnheader", name="Reasoning output")).to_be_visible()
    watched.check()


def test_a_bar_leads_to_its_calls(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/trends", "Trends")
    page.locator("table.ranked tbody th a").first.click()
    expect(page.locator("h1")).to_have_text("Calls")
    found = asked(page)
    assert found["from"] == found["to"]
    rows = page.locator("tbody tr.openable")
    expect(rows.first).to_be_visible()


def test_a_preset_opens_calls_already_filtered(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/insights", "Insights")
    preset = page.get_by_role("link", name="Cache misses")
    expect(preset.locator(".chip")).to_have_text(re.compile(r"^\d"))
    number = int(preset.locator(".chip").inner_text().split()[0].replace(",", ""))
    preset.click()
    expect(page.locator("h1")).to_have_text("Calls")
    assert asked(page) == {"preset": ["cache-misses"], "sort": ["cache"], "direction": ["asc"]}
    expect(page.locator("header .note")).to_have_text(f"{number:,} call{'s' * (number != 1)}")
    page.get_by_role("button", name="Cache misses: take this filter away").click()
    assert "preset" not in asked(page)
    page.get_by_label("Preset").select_option("reasoning-spike")
    assert asked(page)["sort"] == ["reasoning"]
    watched.check()


def test_a_thread_opens_in_place_and_on_its_page(lived_in: Served, watched: Watched) -> None:
    thread = largest_thread()
    page = watched.open(f"{lived_in.url}/threads?sort=calls", "Threads")
    opener = page.get_by_role("button", name="Show the calls of").first
    expect(opener).to_have_attribute("aria-expanded", "false")
    opener.click()
    expect(opener).to_have_attribute("aria-expanded", "true")
    assert len(asked(page)["expand"]) == 1
    nested = page.locator("table.nested")
    expect(nested.locator("tbody tr").first).to_be_visible()
    nested.get_by_role("button", name="Tokens").click()
    expect(nested.locator("th[aria-sort]")).to_contain_text("Tokens")
    assert asked(page)["sort"] == ["calls"], "its own order leaves the list's alone"
    page.goto(f"{lived_in.url}/threads/{thread}")
    for heading in ("What happened", "Timeline", "Cache and context, call by call"):
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
    page.get_by_role("link", name="Show in Calls").click()
    assert asked(page)["thread"] == [thread]
    expected = db.rows(
        "select count(*) from call c join session s on s.id = c.session where s.thread = ?",
        (thread,),
    )[0][0]
    expect(page.locator("header .note")).to_have_text(f"{expected} calls")


def test_an_unknown_thread_is_said_to_be_unknown(served: Served, watched: Watched) -> None:
    watched.refused.add("threads/nobody")
    page = watched.open(f"{served.url}/threads/nobody")
    expect(page.get_by_text("There is no such thread")).to_be_visible()


@pytest.mark.parametrize(
    ("file", "key"),
    [("Calls of these threads", "total_tokens"), ("One row a thread", "total_tokens")],
)
def test_threads_csv_holds_every_call_or_thread(
    lived_in: Served, watched: Watched, file: str, key: str
) -> None:
    page = watched.open(f"{lived_in.url}/threads?history=all", "Threads")
    page.locator("main").get_by_role("button", name="Download CSV").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name=file).click()
    with Path(waiting.value.path()).open(encoding="utf-8-sig", newline="") as content:
        rows = list(csv.reader(content))
    calls, tokens = db.rows("select count(*), sum(input + output) from call")[0]
    place = rows[0].index(key)
    assert sum(int(row[place]) for row in rows[1:]) == tokens
    assert (len(rows) - 1 == calls) is (file == "Calls of these threads")


def test_insights_show_more_threads_and_keep_it(lived_in: Served, watched: Watched) -> None:
    Tree(lived_in.config.codex_home, seed=9).grow(sessions=20)
    lived_in.services.indexer.scan(wait=True)
    page = watched.open(f"{lived_in.url}/insights?history=all", "Insights")
    shown = page.locator(".pages [role=status]")
    expect(shown).to_have_text(re.compile("^10 of"))
    page.get_by_role("button", name="Load more").click()
    expect(shown).to_have_text(re.compile(r"^(\d+) of \1 "))
    page.reload()
    expect(shown).to_have_text(re.compile(r"^(\d+) of \1 "))
    watched.check()


def test_a_language_is_chosen_and_kept(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/settings", "Settings")
    page.locator("main").get_by_label("Language").select_option("de")
    expect(page.locator("h1")).to_have_text("Einstellungen")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    stored = json.loads(
        page.evaluate("fetch('/api/settings').then((answer) => answer.text())"),
    )
    assert stored["language"] == "de"
    page.goto(f"{lived_in.url}/trends")
    expect(page.get_by_text("Seit Jahresbeginn").first).to_be_visible()
    # The same choice stands on every page.
    chosen = page.get_by_role("navigation").get_by_label("Sprache")
    expect(chosen).to_have_value("de")
    chosen.select_option("en")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.get_by_text("Year to date").first).to_be_visible()
    assert settings.get("language") == "en"
    watched.check()


@pytest.mark.parametrize("code", sorted(set(PLURALS) - {"en"}))
def test_a_browser_is_answered_in_its_language(
    chromium: Browser, lived_in: Served, code: str
) -> None:
    words = catalogue(code)
    context = chromium.new_context(
        locale=code, viewport={"width": 900, "height": 800}, reduced_motion="reduce"
    )
    try:
        watched = Watched(context.new_page())
        for path, word in (
            ("/", "overview.title"),
            ("/trends", "trends.title"),
            ("/threads", "threads.title"),
            ("/settings", "settings.title"),
        ):
            page = watched.open(lived_in.url + path)
            expect(page.locator("h1")).to_have_text(words[word])
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{path} scrolls sideways"
            watched.check()
        way = "rtl" if code == "ar" else "ltr"
        expect(page.locator("html")).to_have_attribute("dir", way)
        assert "{{" not in page.locator("body").inner_text()
    finally:
        context.close()


def test_filters_fold_where_room_is_short(chromium: Browser, lived_in: Served) -> None:
    with watching(chromium, "light", 900) as watched:
        page = watched.open(f"{lived_in.url}/calls", "Calls")
        bar = page.get_by_role("search", name="Filters")
        box = bar.bounding_box()
        assert box is not None and box["height"] < 90, "two rows at most"
        expect(bar.get_by_label("History")).to_be_hidden()
        bar.get_by_role("button", name="More filters").click()
        bar.get_by_label("History").select_option("all")
        assert asked(page) == {"history": ["all"]}
        expect(bar.get_by_role("button", name="More filters")).to_contain_text("1")
        bar.get_by_label("Confidence").select_option("credit:unpriced")
        assert asked(page)["credit"] == ["unpriced"]
        bar.get_by_label("Confidence").select_option("price:unpriced")
        assert "credit" not in asked(page) and asked(page)["price"] == ["unpriced"]
        watched.check()


def test_copied_allowance_is_kept_and_shown(lived_in: Served, watched: Watched) -> None:
    watched.refused.add("allowance/parse")
    page = watched.open(f"{lived_in.url}/insights", "Insights")
    box = page.get_by_label("Copied from Codex")
    form = page.locator("form.paste")
    box.fill("nothing of the kind")
    form.get_by_role("button", name="Save").click()
    # Beside the field, and over no button.
    expect(form.get_by_role("alert")).to_contain_text("No allowance was found in this text")
    expect(page.locator(".said")).to_have_count(0)
    box.fill("5h 79% 6:50 PM Weekly 33% Jun 7")
    form.get_by_role("button", name="Save").click()
    row = page.get_by_role("row", name="copied 5-hour")
    expect(row).to_contain_text("79%")
    expect(row).to_contain_text("6:50 PM")
    watched.check()


def test_strict_usage_pages_name_no_account(lived_in: Served, watched: Watched) -> None:
    settings.change({"privacyMode": "strict"})
    page = watched.open(f"{lived_in.url}/insights", "Insights")
    account = db.rows("select account from call where account is not null limit 1")[0][0]
    row = page.get_by_role("row", name=f"account {account[:6]} 5-hour")
    expect(row).to_be_visible()
    for path in ("/insights", "/calls", "/trends?by=account"):
        page.goto(lived_in.url + path)
        expect(page.locator(".skeleton")).to_have_count(0)
        shown = page.locator("main").inner_text()
        assert not {"studio", "spare"} & set(re.findall(r"\w+", shown)), path
    watched.check()


def test_the_button_and_a_chip_say_when_the_logs_were_read(
    lived_in: Served, watched: Watched
) -> None:
    page = watched.open(f"{lived_in.url}/calls", "Calls")
    said = re.compile(r"Logs last read: \w+ \d+, \d{4}, \d\d:\d\d:\d\d")
    expect(page.get_by_role("button", name="Read the logs now")).to_have_attribute("title", said)
    expect(page.locator(".chip", has_text="Logs read")).to_have_attribute("title", said)
    watched.check()


def test_a_call_under_the_pointer_is_shown_in_a_glance(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls?sort=tokens", "Calls")
    largest = db.rows(
        "select input + output, input - cached from call order by 1 desc, id desc limit 1"
    )[0]
    row = page.locator("tbody tr.openable").first
    row.hover()
    glance = page.locator(".peek")
    expect(glance).to_be_visible()
    for figure in largest:
        expect(glance).to_contain_text(f"{figure:,}")
    watched.check()
    page.get_by_role("heading", name="Calls").hover()
    expect(glance).to_have_count(0)
    row.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(glance).to_have_count(0)


def test_top_leads_back_up(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls", "Calls")
    top = page.get_by_role("button", name="Top", exact=True)
    expect(top).to_have_count(0)
    table = page.locator(".scroll.tall")
    table.evaluate("table => table.scrollTo(0, 1200)")
    expect(top).to_be_visible()
    watched.check()
    top.click()
    expect(top).to_have_count(0)
    expect(table).to_have_js_property("scrollTop", 0)
    expect(page.locator("h1")).to_be_focused()
    watched.open(f"{lived_in.url}/trends", "Trends")
    page.wait_for_function("scrollTo(0, 2000), scrollY > 500")  # once it is long enough
    top.click()
    page.wait_for_function("scrollY === 0")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_skipped_lines_are_explained(chromium: Browser, lived_in: Served, theme: str) -> None:
    log = next(lived_in.config.codex_home.rglob("rollout-*.jsonl"))
    with log.open("ab") as file:
        file.write(b'{"timestamp": "torn\n\x00\x00\x00\n[1, 2]\n')
    lived_in.services.indexer.scan(wait=True)
    skipped = scan.totals()["skippedLines"]
    assert skipped >= 3
    with watching(chromium, theme) as watched:
        page = watched.open(f"{lived_in.url}/calls", "Calls")
        page.get_by_role("button", name=f"{skipped} lines skipped").click()
        dialog = page.get_by_role("dialog", name="What could not be read")
        rows = dialog.get_by_role("group", name="Kind").get_by_role("row")
        for kind in ("not JSON", "not text", "no JSON object"):
            expect(rows.filter(has_text=kind).get_by_role("cell")).to_have_text("1")
        told = dialog.get_by_role("row").filter(has_text=log.stem)
        expect(told.get_by_role("cell")).to_have_text("3")
        watched.check()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        assert watched.troubles == []


@pytest.mark.parametrize("chosen", ["", "Asia/Kathmandu"], ids=["the viewer's", "the setting's"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_days_are_counted_in_one_zone(
    chromium: Browser, lived_in: Served, zone: str, chosen: str
) -> None:
    settings.change({"timeZone": chosen})
    asked: dict[str, str] = {}
    context = chromium.new_context(timezone_id=zone, locale="en-US", reduced_motion="reduce")
    try:
        page = context.new_page()

        def note(address: str) -> None:
            parts = urlsplit(address)
            asked[parts.path] = parse_qs(parts.query).get("tz", [""])[0]

        page.on("request", lambda request: note(request.url))
        for path in ("/trends?range=all", "/insights", "/calls", "/threads", "/"):
            page.goto(lived_in.url + path)
            expect(page.locator(".skeleton")).to_have_count(0)
            page.wait_for_load_state("networkidle")
        wanted = chosen or zone
        for part in ("trends", "trends/summary", "trends/heat", "insights", "calls", "threads"):
            assert asked[f"/api/{part}"] == wanted, part
        assert asked["/api/dashboard/overview"] == wanted
        page.goto(f"{lived_in.url}/trends?range=today")
        today = datetime.fromtimestamp(db.now_ms() / 1000, ZoneInfo(wanted)).date().isoformat()
        with page.expect_request(lambda request: f"from={today}" in request.url):
            page.reload()
    finally:
        context.close()


def test_a_click_anywhere_on_a_thread_opens_its_calls(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/threads", "Threads")
    cell = page.locator("tr.openable").first.locator("td").nth(2)
    for shown in (1, 0):
        cell.click()
        expect(page.locator(".details-row")).to_have_count(shown)
    page.locator("tr.openable .thread-name a").first.click()
    expect(page.locator("h1")).not_to_have_text("Threads")


def archive(served: Served, *, every: int = 2) -> int:
    """Put sessions aside as `codex archive` does; returns how many calls are left."""
    home = served.config.codex_home
    (home / "archived_sessions").mkdir(exist_ok=True)
    for log in sorted((home / "sessions").rglob("*.jsonl"))[::every]:
        log.rename(home / "archived_sessions" / log.name)
    served.services.indexer.scan(wait=True)
    left: int = db.rows(
        "select count(*) from call c left join session s on s.id = c.session left join "
        "source_file f on f.id = s.source where not coalesce(f.archived, 0)"
    )[0][0]
    return left


def test_archived_sessions_count_when_they_are_asked_for(
    lived_in: Served, watched: Watched
) -> None:
    left = archive(lived_in)
    whole = db.rows("select count(*) from call")[0][0]
    assert 0 < left < whole
    page = watched.open(f"{lived_in.url}/calls", "Calls")
    shown = page.locator("header .note")
    expect(shown).to_have_text(f"{left} calls")
    page.get_by_label("History").select_option("all")
    expect(shown).to_have_text(f"{whole} calls")
    page.get_by_role("link", name="Insights").click()
    expect(page.get_by_label("History")).to_have_value("all")
    page.get_by_label("History").select_option("active")
    page.get_by_role("link", name="Calls", exact=True).click()
    expect(shown).to_have_text(f"{left} calls")
    watched.check()


def test_what_only_archived_sessions_hold_is_one_click_away(
    lived_in: Served, watched: Watched
) -> None:
    archive(lived_in, every=1)
    one = db.rows(
        "select s.thread from session s join source_file f on f.id = s.source where f.archived"
    )[0][0]
    page = watched.open(f"{lived_in.url}/calls?thread={one}", "Calls")
    expect(page.get_by_text("Only archived sessions hold such calls")).to_be_visible()
    page.locator("main .empty").get_by_role("button", name="All history").click()
    expect(page.locator("tr.openable").first).to_be_visible()
    watched.check()


def test_an_address_brings_back_what_was_loaded(lived_in: Served, watched: Watched) -> None:
    Tree(lived_in.config.codex_home, seed=9).grow(sessions=20)
    lived_in.services.indexer.scan(wait=True)
    whole = db.rows("select count(*) from call")[0][0]
    assert whole > 200
    page = watched.open(f"{lived_in.url}/calls?history=all", "Calls")
    loaded = page.locator(".pages [role=status]")
    expect(loaded).to_have_text(f"100 of {whole} loaded")
    page.get_by_role("button", name="Load more").click()
    expect(loaded).to_have_text(f"{whole} of {whole} loaded")
    expect(page).to_have_url(re.compile(rf"rows={whole}"))
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(loaded).to_have_text(f"{whole} of {whole} loaded")
    page.get_by_role("button", name="Cost").click()
    expect(loaded).to_have_text(f"100 of {whole} loaded")
    assert asked(page) == {"history": ["all"], "sort": ["cost"]}, "another order begins at its top"


def test_an_opened_thread_keeps_its_order_in_the_address(
    lived_in: Served, watched: Watched
) -> None:
    page = watched.open(f"{lived_in.url}/threads?expand={largest_thread()}", "Threads")
    page.locator("table.nested").get_by_role("button", name="Tokens").click()
    expect(page).to_have_url(re.compile("nested="))
    page.reload()
    expect(page.locator("table.nested th[aria-sort]")).to_contain_text("Tokens")


def test_one_privacy_mode_for_every_usage_page(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/trends", "Trends")
    page.locator("header").get_by_role("button", name="Privacy: all shown").click()
    page.get_by_role("menuitemcheckbox", name="Strict: also no folders").click()
    expect(page.locator("header").get_by_role("button", name="Privacy: strict")).to_be_visible()
    for path in (*USAGE, "/diagnostics"):
        page.goto(lived_in.url + path)
        chip = page.locator("header").get_by_role("button", name="Privacy: strict")
        expect(chip).to_be_visible()
    assert settings.get("privacyMode") == "strict"
    watched.check()
