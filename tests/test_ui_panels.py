"""The telemetry panels in Chromium: in their places, corrected and literal, and their rows."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.panels import DAY, Month, fill
from server.clientfiles import Clients, Look
from server.ingest import witness
from server.ingest.otlp import Batch
from server.store import db
from server.usage import slices, telemetry
from server.usage.days import chosen
from server.usage.steps import Span
from tests import test_ui
from tests.serving import Served
from tests.test_ui import Watched, watching

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
watched = test_ui.watched

PLACES = {
    "/trends": [
        "Tokens, conversations and calls", "Model calls by model", "Tokens by model",
        "Conversations over time", "Tokens over time",
    ],
    "/diagnostics": [
        "Tool calls by tool", "User decisions", "Conversations by terminal", "Requests by user",
        "Success of requests", "Command duration, P95", "Conversation details",
        "Quality of the telemetry",
    ],
    "/requests": ["Success of requests"],
}  # fmt: skip


@pytest.fixture
def told(served: Served) -> Served:
    """A server that Codex has told a month of work, whose logs it has read."""
    now = db.now_ms()
    month = Month(now - 20 * DAY, now - 600_000, 1500)
    fill(month)
    witness.reconcile()
    slices.refresh()
    return served


def figures(page: Page) -> dict[str, str]:
    expect(page.locator(".tiles dd strong").first).to_be_visible()
    names = page.locator(".tiles dt").all_inner_texts()
    values = page.locator(".tiles dd strong").all_inner_texts()
    return dict(zip(names, values, strict=True))


def asked(page: Page) -> dict[str, list[str]]:
    # The page's own word: Playwright hears of an address a moment later.
    return parse_qs(page.evaluate("location.search.slice(1)"))


@pytest.mark.parametrize("width", [900, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_panel_stands_in_its_place(
    chromium: Browser, told: Served, theme: str, width: int
) -> None:
    with watching(chromium, theme, width) as watched:
        for path, titles in PLACES.items():
            for measure in ("", "?measure=signoz"):
                page = watched.open(f"{told.url}{path}{measure}")
                for title in titles:
                    heading = page.locator(".panels").get_by_role("heading", name=title, exact=True)
                    expect(heading).to_be_visible()
                expect(page.locator(".skeleton")).to_have_count(0)
                watched.check()
                wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert wider <= 0, f"{path} scrolls sideways"


def test_the_figures_are_the_servers_and_signoz_is_a_click_away(
    told: Served, watched: Watched
) -> None:
    now = db.now_ms()
    found = telemetry.panels(Span(now - 29 * DAY, now), chosen(), now)["panels"]
    known = {panel["id"]: panel for panel in found}
    page = watched.open(f"{told.url}/trends", "Trends")
    assert figures(page)["Input tokens"] == f"{known['input']['value']:,}"
    assert figures(page)["Model calls"] == f"{known['modelCalls']['value']:,}"
    page.get_by_role("button", name="SigNoz query").click()
    assert asked(page)["measure"] == ["signoz"]
    literal = f"{known['modelCalls']['literal']['value']:,}"
    expect(page.locator(".tiles dd strong").last).to_have_text(literal)
    assert literal != f"{known['modelCalls']['value']:,}"
    page.get_by_role("button", name="Corrected").click()
    assert "measure" not in asked(page)


def test_a_number_leads_to_its_rows(told: Served, watched: Watched) -> None:
    page = watched.open(f"{told.url}/trends", "Trends")
    calls = figures(page)["Model calls"]
    page.get_by_role("link", name=calls, exact=True).click()
    expect(page.locator("header .note")).to_have_text(f"{calls} calls")
    page = watched.open(f"{told.url}/diagnostics?range=30d", "Diagnostics")
    tools = page.locator(".card", has=page.get_by_role("heading", name="Tool calls by tool"))
    number = tools.locator("tbody td.strong a").first
    many = number.inner_text()
    number.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{many} events")
    expect(dialog.locator("tbody tr").first).to_contain_text("codex.tool_result")
    watched.check()
    dialog.get_by_role("button", name="Load more").click()
    expect(dialog.locator("tbody tr")).to_have_count(min(100, int(many.replace(",", ""))))
    dialog.get_by_role("button", name="Close").click()
    assert "events" not in asked(page)


def test_a_number_of_both_sources_has_all_its_rows_in_one_list(
    told: Served, watched: Watched
) -> None:
    now = db.now_ms()
    (heard,) = list(Month(now - DAY, now - 600_000, 1, seed=9).conversations())
    alone = [
        replace(event, session_id="0199ffff-alone", key=f"alone {number}".encode())
        for number, event in enumerate(heard)
    ]
    with db.writing("telemetry") as connection:  # a conversation whose log was never read
        batch = Batch("logs", len(alone), tuple(alone))
        witness.store(connection, [batch], witness.Tally(), now)
    lost = sum(event.usage is not None for event in alone)
    page = watched.open(f"{told.url}/trends", "Trends")
    calls = figures(page)["Model calls"]
    page.get_by_role("link", name=calls, exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Model calls: {calls}")
    expect(dialog.get_by_role("link", name=f"{lost} only in telemetry")).to_be_visible()
    expect(dialog.get_by_role("link", name=re.compile("in the ledger"))).to_be_visible()
    expect(dialog.locator("tbody tr")).to_have_count(50)
    watched.check()
    dialog.get_by_role("button", name="Load more").click()
    expect(dialog.locator("tbody tr")).to_have_count(100)
    dialog.get_by_role("button", name="Close").click()
    assert "counted" not in asked(page)


def test_more_conversations_are_loaded_and_the_address_says_so(
    served: Served, watched: Watched
) -> None:
    at = db.now_ms() - 3_600_000
    with db.writing() as connection:
        for number in range(450):
            connection.execute(
                "insert into session(id, key, provider, thread, forked, inherited, guessed, kind) "
                "values (?1, 's' || ?1, 'codex', 't' || ?1, 0, 0, 0, 'user')",
                (number + 1,),
            )
            connection.execute(
                "insert into call(id, provider, session, initiator, started_at, input, cached, "
                "cache_written, output, reasoning, price_status, seen) "
                "values ('c' || ?1, 'codex', ?1, 'user', ?2, 10, 0, 0, 1, 0, 'unpriced', 1)",
                (number + 1, at),
            )
    page = watched.open(f"{served.url}/diagnostics?range=30d", "Diagnostics")
    card = page.locator(".card", has=page.get_by_role("heading", name="Conversation details"))
    expect(card.locator("tbody tr")).to_have_count(200)
    card.get_by_role("button", name="Load more").click()
    expect(card.locator("tbody tr")).to_have_count(400)
    assert asked(page)["talks"] == ["400"]
    page.reload()
    expect(card.locator("tbody tr")).to_have_count(400)
    card.get_by_role("button", name="Load more").click()
    expect(card.locator("tbody tr")).to_have_count(450)
    expect(card.get_by_role("button", name="Load more")).to_have_count(0)
    watched.check()


def test_days_are_the_viewers(told: Served, chromium: Browser) -> None:
    context = chromium.new_context(timezone_id="Pacific/Auckland", locale="en-US")
    context.set_default_timeout(30_000)
    try:
        page = context.new_page()
        for path, part in (("/trends", "panels"), ("/diagnostics?range=30d", "quality")):
            with page.expect_request(re.compile(rf"/api/telemetry/{part}\?")) as sent:
                page.goto(told.url + path)
            assert parse_qs(urlsplit(sent.value.url).query)["tz"] == ["Pacific/Auckland"]
        page.goto(f"{told.url}/trends?range=30d")
        card = page.locator(".card", has=page.get_by_role("heading", name="Tokens over time"))
        card.get_by_role("button", name="View as table").click()
        expect(card.locator("tbody tr")).to_have_count(30)
    finally:
        context.close()


def test_the_quality_leads_to_its_calls(told: Served, watched: Watched) -> None:
    page = watched.open(f"{told.url}/diagnostics?range=30d", "Diagnostics")
    pair = page.locator("#quality dl > div", has=page.get_by_text("Session log", exact=True))
    number = pair.get_by_role("link")
    many = number.inner_text().split(" ")[0]
    number.click()
    expect(page.locator("header .note").first).to_have_text(f"{many} calls")
    expect(page.get_by_role("button", name="Witnesses: Session log")).to_be_visible()
    watched.check()


def test_a_chart_has_a_table_and_a_file(told: Served, watched: Watched) -> None:
    page = watched.open(f"{told.url}/trends", "Trends")
    card = page.locator(".card", has=page.get_by_role("heading", name="Tokens over time"))
    card.get_by_role("button", name="View as table").click()
    expect(card.get_by_role("columnheader", name="Tokens")).to_be_visible()
    with page.expect_download() as waiting:
        card.get_by_role("button", name="CSV").click()
    rows = list(csv.reader(Path(waiting.value.path()).read_text().splitlines()))
    total = sum(int(row[1]) for row in rows[1:])
    sums = figures(page)
    assert total == sum(
        int(sums[name].replace(",", "")) for name in ("Input tokens", "Output tokens")
    )


@pytest.mark.parametrize("path", ["/trends", "/diagnostics"])
def test_without_telemetry_the_page_says_how_to_switch_it_on(
    served: Served, watched: Watched, path: str
) -> None:
    page = watched.open(served.url + path)
    expect(page.get_by_text("No telemetry in this time")).to_be_visible()
    link = page.get_by_role("link", name="Switch telemetry on").first
    assert link.get_attribute("href") == "/settings#connect"
    watched.check()


def test_telemetry_that_is_connected_is_not_offered_again(
    served: Served, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = Look("telemetry", Path("config.toml"), True, "connected", "", True)
    monkeypatch.setattr(Clients, "look", lambda *_: connected)
    page = watched.open(served.url + "/diagnostics")
    said = page.get_by_text("Telemetry is connected, but nothing arrived")
    expect(said).to_be_visible(timeout=30_000)
    expect(page.get_by_role("link", name="Switch telemetry on")).to_have_count(0)
    watched.check()


@pytest.mark.parametrize("language", ["de", "ar"])
def test_other_languages_are_sound(told: Served, chromium: Browser, language: str) -> None:
    context = chromium.new_context(
        locale=language, viewport={"width": 900, "height": 800}, reduced_motion="reduce"
    )
    try:
        watched = Watched(context.new_page())
        for path in PLACES:
            page = watched.open(told.url + path)
            expect(page.locator("html")).to_have_attribute("lang", language)
            watched.check()
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, path
    finally:
        context.close()


def test_the_relay_is_set_on_the_settings_page(served: Served, watched: Watched) -> None:
    watched.refused.add("telemetry/relay")
    page = watched.open(f"{served.url}/settings", "Settings")
    card = page.locator("#relay")
    url, header = card.get_by_label("Address of the collector"), card.locator("input").nth(1)
    url.fill("http://me:secret@example.com")
    card.get_by_role("button", name="Save").click()
    expect(card.get_by_role("alert")).to_contain_text("without credentials")
    url.fill("http://127.0.0.1:9")
    header.fill("x-token: very secret")
    card.get_by_role("button", name="Save").click()
    expect(card.get_by_role("button", name="Forget the header")).to_be_visible()
    assert "very secret" not in page.content()
    assert served.services.telemetry.relay.describe()["headerName"] == "x-token"
    card.get_by_role("button", name="Stop passing on").click()
    expect(card.get_by_role("button", name="Stop passing on")).to_have_count(0)
    assert served.services.telemetry.relay.describe()["url"] == ""
    watched.check()


@pytest.mark.parametrize("width", [900, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_long_name_takes_no_table_over(
    chromium: Browser, served: Served, theme: str, width: int
) -> None:
    """A model of 200 letters, and a client's version of as many."""
    now = db.now_ms()
    long = "m" * 200
    (heard,) = list(Month(now - DAY, now - 600_000, 1, seed=9).conversations())
    said = [replace(event, model=long, version=f"0.1.{long}") for event in heard]
    with db.writing("telemetry") as connection:
        witness.store(connection, [Batch("logs", len(said), tuple(said))], witness.Tally(), now)
    with watching(chromium, theme, width) as watched:
        page = watched.open(f"{served.url}/diagnostics?range=30d", "Diagnostics")
        table = page.locator("table.talks")
        expect(table).to_be_visible()
        card = page.locator(".card", has=page.get_by_role("heading", name="Quality of the tele"))
        shown = card.locator(".lists li span").filter(has_text="mmm")
        expect(shown).to_have_attribute("title", re.compile("m{200}"))
        expect(shown).to_be_visible()
        assert table.locator("xpath=..").evaluate("it => it.scrollWidth - it.clientWidth") <= 1
        if width == 1400:
            model = table.locator("td", has_text="mmm")
            expect(model).to_have_attribute("title", long)
            assert model.evaluate("it => it.clientWidth") <= 200
            assert table.locator("tbody th").first.evaluate("it => it.clientWidth") >= 200
        assert shown.evaluate("it => it.clientHeight") <= 60
        watched.check()
