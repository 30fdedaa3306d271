"""The built pages in Chromium, before the real server: every page, both themes, the journeys."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from server.accounts.allowance import DAY, HOUR, Usage, Window
from server.app import pages_folder
from server.auth.keys import Draft
from server.auth.limits import Rule
from server.config import Config
from server.store import db, vault
from tests.rollouts import Tree
from tests.serving import Served, serving
from tests.upstream import Provider, auth_json, refusal, usage_limit

AXE = Path(__file__).parent / "clients" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"

pytestmark = [
    pytest.mark.ui,
    pytest.mark.skipif(not (pages_folder() / "index.html").is_file(), reason="pages not built"),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium"),
]


# What a page waits for is not what is tested here, unless a test says so.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as fake:
        yield fake


@pytest.fixture
def served(config: Config, provider: Provider) -> Iterator[Served]:
    vault.forget()
    with serving(config, provider) as found:
        yield found
    vault.forget()


class Watched:
    """A page, and everything about it that must not happen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.troubles: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.troubles.append(f"thrown: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)
        self.refused: set[str] = set()  # paths whose refusal is part of the test

    def _console(self, message: Any) -> None:
        # A refused answer logs itself; `_answered` judges those.
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.troubles.append(f"console: {message.text}")

    def _failed(self, request: Any) -> None:
        # A question that a newer one replaced was called off by the page itself.
        if request.failure != "net::ERR_ABORTED":
            self.troubles.append(f"failed: {request.url} {request.failure}")

    def _answered(self, response: Any) -> None:
        path = response.url.partition("?")[0].partition("/api/")[2]
        if response.status >= 400 and path not in self.refused:
            self.troubles.append(f"{response.status}: {response.url}")

    def open(self, url: str, title: str = "") -> Page:
        """Go there and wait until it is drawn."""
        self.page.goto(url)
        expect(self.page.locator("h1")).to_be_visible()
        expect(self.page.locator(".skeleton")).to_have_count(0)
        if title:
            expect(self.page).to_have_title(f"{title} · Brimline")
        return self.page

    def check(self) -> None:
        """Nothing went wrong, and a screen reader can use what is shown."""
        # Rows that are about to be replaced are paler than text may be.
        expect(self.page.locator("[aria-busy=true], .skeleton")).to_have_count(0)
        found = self.page.evaluate(
            AXE.read_text() + "\n;axe.run(document, {resultTypes: ['violations']})"
        )
        faults = [
            f"{rule['id']}: {[node['target'] for node in rule['nodes']][:3]}"
            for rule in found["violations"]
        ]
        assert faults == [], self.page.url
        assert self.troubles == [], self.page.url
        expect(self.page.locator("h1")).to_have_count(1)


@contextmanager
def watching(browser: Browser, theme: str = "light", width: int = 1280) -> Iterator[Watched]:
    scheme: Any = theme
    context = browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": 860},
        locale="en-US",
        reduced_motion="reduce",
    )
    context.set_default_timeout(30_000)
    try:
        yield Watched(context.new_page())
    finally:
        context.close()


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    # Asked for after the server, so that the browser lets go of it first: a server waits for its
    # open connections.
    with watching(chromium) as found:
        yield found
        assert found.troubles == []


def window(key: str, used: float, minutes: int, ends: int, now: int) -> Window:
    return Window(key, used, minutes, now + ends, now)


def observe(served: Served, account: str, five_hours: float, week: float) -> None:
    now = db.now_ms()
    windows = (
        window("primary", five_hours, 300, 2 * HOUR, now),
        window("secondary", week, 10080, 3 * DAY, now),
    )
    served.services.pool.observe(account, Usage(windows=windows), "api")


def ask(served: Served, secret: str = "", **body: Any) -> None:
    """One turn of a client through the proxy, with an API key if it has one."""
    sent = {"model": "gpt-5.5", "stream": True, "store": False, "input": [], **body}
    request = urllib.request.Request(
        f"{served.url}/v1/responses",
        data=json.dumps(sent).encode(),
        headers={
            "Content-Type": "application/json",
            "session-id": "s-1",
            "Authorization": f"Bearer {secret}",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        error.close()


@pytest.fixture
def lived_in(served: Served, provider: Provider) -> Served:
    """A server with accounts in every state, requests that went well and badly, and a ledger."""
    names = ("studio", "work", "lab", "spare")
    ids = {name: served.account(name, plan="pro" if name == "studio" else "plus") for name in names}
    observe(served, ids["studio"], 29, 52)
    observe(served, ids["work"], 82, 38)
    observe(served, ids["lab"], 8, 93)
    pool = served.services.pool
    for name in ("work", "lab", "spare"):
        pool.pause(ids[name])
    ask(served)  # so that the thread is studio's, whose allowance then ends in the middle
    for name in ("work", "lab"):
        pool.resume(ids[name])
    provider.play(usage_limit(int(time.time()) + 3600), account="studio")
    ask(served)
    provider.play(refusal(400, "invalid_request_error", "Unknown model."))
    ask(served, model="gpt-nope")
    tree = Tree(served.config.codex_home, seed=3)
    tree._at = db.now_ms() - 6 * DAY
    tree.grow(sessions=8)
    served.services.indexer.scan(wait=True)
    return served


PAGES = {
    "/": "Overview",
    "/accounts": "Accounts",
    "/requests": "Requests",
    "/calls": "Calls",
    "/calls?range=7d&sort=cost": "Calls",
    "/keys": "API keys",
    "/settings": "Settings",
    "/nothing/here": "Nothing here",
}


@pytest.mark.parametrize("width", [880, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_sound(chromium: Browser, lived_in: Served, theme: str, width: int) -> None:
    account = lived_in.services.pool.candidates()[0].id
    with watching(chromium, theme, width) as watched:
        for path, title in {**PAGES, f"/accounts/{account}": "studio@example.com"}.items():
            watched.open(lived_in.url + path, title)
            watched.check()


@pytest.mark.parametrize("width", [900, 1000, 1100, 1400])
def test_no_column_of_the_requests_is_cut(chromium: Browser, lived_in: Served, width: int) -> None:
    with watching(chromium, width=width) as watched:
        page = watched.open(f"{lived_in.url}/requests", "Requests")
        expect(page.locator("table.rows tbody tr").first).to_be_visible(timeout=30_000)
        hidden = "element => element.scrollWidth - element.clientWidth"
        assert page.locator(".scroll.sticky").evaluate(hidden) <= 1


def test_empty_pages_say_what_would_fill_them(served: Served, watched: Watched) -> None:
    said = {
        "/": ["No account yet", "codex/auth.json", "codex/sessions"],
        "/accounts": ["No account yet", "In the browser", "By device code", "By file"],
        "/requests": ["No requests yet", "How to point Codex at Brimline"],
        "/calls": ["No calls yet", "Read the logs now"],
        "/settings": [f'openai_base_url = "{served.url}/v1"'],
    }
    for path, sentences in said.items():
        page = watched.open(served.url + path)
        for sentence in sentences:
            expect(page.get_by_text(sentence).first).to_be_visible()
        watched.check()


def test_accounts_are_added_by_file(served: Served, watched: Watched, tmp_path: Path) -> None:
    watched.refused.add("accounts/import")
    good, bad = tmp_path / "auth.json", tmp_path / "other.json"
    good.write_bytes(auth_json("studio"))
    bad.write_text('{"tokens": 5}')
    page = watched.open(f"{served.url}/accounts", "Accounts")
    page.get_by_role("button", name="By file").click()
    page.locator("input[type=file]").set_input_files([bad, good])
    expect(page.get_by_text("auth.json: added studio@example.com")).to_be_visible()
    refusal_text = page.locator(".outcomes .error")
    expect(refusal_text).to_contain_text("other.json:")
    link = page.get_by_role("link", name="studio@example.com")
    expect(link).to_be_visible()
    assert [account.label for account in served.services.pool.candidates()] == [
        "studio@example.com"
    ]
    link.click()
    expect(page.locator("h1")).to_have_text("studio@example.com")
    watched.check()


def test_pause_and_resume_from_the_overview(lived_in: Served, watched: Watched) -> None:
    def status() -> dict[str, str]:
        return {found.label: found.status for found in lived_in.services.pool.candidates()}

    page = watched.open(lived_in.url, "Overview")
    page.get_by_role("button", name="Pause work@example.com").click()
    expect(page.get_by_text("work@example.com is paused.")).to_be_visible()
    expect(page.get_by_role("button", name="Resume work@example.com")).to_be_visible()
    assert status()["work@example.com"] == "paused"
    lane = page.get_by_role("group", name="work@example.com")
    expect(lane).to_contain_text("paused")
    page.get_by_role("button", name="Resume work@example.com").click()
    expect(page.get_by_role("button", name="Pause work@example.com")).to_be_visible()
    assert status()["work@example.com"] == "active"


def test_a_pause_can_end_by_itself(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/accounts", "Accounts")
    page.get_by_role("button", name="Pause lab@example.com").click()
    watched.check()
    page.get_by_role("menuitem", name="For 1 hour").click()
    expect(page.get_by_text("paused until")).to_be_visible()
    rows = db.rows("select paused_until from account where email = 'lab@example.com'")
    assert 0 < rows[0][0] - db.now_ms() <= HOUR


def test_rename_and_remove(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/accounts", "Accounts")
    page.get_by_role("button", name="More actions for lab@example.com").click()
    page.get_by_role("menuitem", name="Rename").click()
    watched.check()
    page.get_by_label("Name shown for").fill("Bench")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("link", name="Bench")).to_be_visible()
    page.get_by_role("button", name="More actions for Bench").click()
    page.get_by_role("menuitem", name="Remove").click()
    dialog = page.get_by_role("dialog", name="Remove Bench?")
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Bench is removed.")).to_be_visible()
    expect(page.get_by_text("Bench", exact=True)).to_have_count(0)
    assert "Bench" not in {found.label for found in lived_in.services.pool.candidates()}


def test_meters_say_what_they_show(lived_in: Served, watched: Watched) -> None:
    page = watched.open(lived_in.url, "Overview")
    lane = page.get_by_role("group", name="work@example.com")
    meter = lane.get_by_role("meter").first
    expect(meter).to_have_attribute("aria-valuenow", "18")
    expect(lane).to_contain_text("18% left · low")
    expect(page.get_by_role("group", name="lab@example.com")).to_contain_text("7% left · critical")


def test_requests_are_filtered_and_the_address_keeps_it(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/requests", "Requests")
    rows = page.locator("tbody tr.openable")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Status:").click()
    page.get_by_role("menuitemcheckbox", name="ok").click()
    page.keyboard.press("Escape")
    expect(rows).to_have_count(2)
    expect(page).to_have_url(re.compile("status=ok"))
    page.reload()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Clear filters").click()
    expect(rows).to_have_count(3)
    page.get_by_role("searchbox").fill("gpt-nope")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile("q=gpt-nope"))


def test_a_request_shows_its_attempts(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/requests", "Requests")
    page.locator("tbody tr.openable").nth(1).get_by_role("button").click()
    attempts = page.locator(".attempts li")
    expect(attempts).to_have_count(2)
    expect(attempts.nth(0)).to_contain_text("429")
    expect(attempts.nth(1)).to_contain_text("200")
    expect(page).to_have_url(re.compile("open="))
    watched.check()


def test_calls_sort_by_column(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls", "Calls")
    head = page.get_by_role("columnheader", name="Tokens")
    page.get_by_role("button", name="Tokens", exact=True).click()
    expect(head).to_have_attribute("aria-sort", "descending")
    most = max(row[0] for row in db.rows("select input + output from call"))
    first = page.locator("tbody tr.openable").first
    expect(first).to_contain_text(f"{most:,}")
    expect(page).to_have_url(re.compile("sort=tokens"))
    page.get_by_role("button", name="Tokens", exact=True).click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(page).to_have_url(re.compile("direction=asc"))
    expect(page.locator("th[aria-sort]")).to_have_count(1)


def test_the_time_of_a_call_is_a_link_to_its_page(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls?history=all", "Calls")
    link = page.locator("tbody a[data-row]").nth(1)
    address = link.get_attribute("href")
    link.click()
    expect(page).to_have_url(f"{lived_in.url}{address}", timeout=30_000)
    expect(page.locator("h1")).to_have_text("Call", timeout=30_000)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_totals_are_the_server_s(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls?history=all", "Calls")
    calls, tokens = db.rows("select count(*), sum(input + output) from call")[0]
    totals = page.locator(".totals")
    expect(totals).to_contain_text(f"{calls:,}")
    expect(totals).to_contain_text(f"{tokens:,}")


def test_a_call_has_witnesses(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls", "Calls")
    page.locator("tbody tr.openable").last.click()
    panel = page.get_by_role("dialog", name="Call")
    expect(panel.get_by_text("Session log saw this call")).to_be_visible()
    watched.check()
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(page).not_to_have_url(re.compile("open="))


def test_csv_holds_every_call(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls?history=all", "Calls")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("timestamp,thread,")
    assert len(lines) - 1 == db.rows("select count(*) from call")[0][0]


def test_keys_reach_everything(lived_in: Served, watched: Watched) -> None:
    page = watched.open(lived_in.url, "Overview")
    for key, title in (("a", "Accounts"), ("r", "Requests"), ("s", "Settings"), ("c", "Calls")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.locator("h1")).to_have_text(title)
    expect(page.locator("tbody tr.openable").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Call")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Calls")
    expect(page.get_by_role("searchbox")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard keys")).to_be_visible()
    watched.check()


def test_settings_are_kept(served: Served, watched: Watched) -> None:
    page = watched.open(f"{served.url}/settings", "Settings")
    page.get_by_label("Prefer the account whose week resets first").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    streams = page.get_by_label("Streams at once on one account")
    streams.fill("900")
    expect(page.get_by_text("Write a whole number from 1 to 600.")).to_be_visible()
    streams.fill("8")
    streams.press("Enter")
    expect(page.get_by_text("Saved", exact=True)).to_have_count(2)
    page.get_by_label("Theme").select_option("dark")
    page.reload()
    expect(page.get_by_label("Streams at once on one account")).to_have_value("8")
    expect(page.get_by_label("Prefer the account whose week")).to_be_checked()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_gate_asks_for_the_admin_token(
    chromium: Browser, config: Config, provider: Provider
) -> None:
    token = "a-token-of-more-than-32-characters-0123"
    vault.forget()
    locked = replace(config, admin_token=token)
    with serving(locked, provider) as served, watching(chromium) as watched:
        watched.refused.add("session")
        page = watched.open(f"{served.url}/accounts", "Sign in")
        watched.check()
        page.get_by_label("Admin token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not the admin token")
        page.get_by_label("Admin token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("h1")).to_have_text("Accounts")
        page.get_by_role("button", name="By file").click()
        page.locator("input[type=file]").set_input_files(
            {"name": "auth.json", "mimeType": "application/json", "buffer": auth_json("studio")}
        )
        expect(page.get_by_text("added studio@example.com")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("h1")).to_have_text("Sign in")
        assert watched.troubles == []


def test_a_server_that_is_away_is_said_and_found_again(served: Served, watched: Watched) -> None:
    page = watched.page
    page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    page.goto(served.url)
    expect(page.locator("h1")).to_have_text("Brimline does not answer")
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("h1")).to_have_text("Overview")
    watched.troubles = [text for text in watched.troubles if "REFUSED" not in text]


def test_what_changes_elsewhere_appears(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/requests", "Requests")
    expect(page.locator("tbody tr.openable")).to_have_count(3)
    ask(lived_in)
    # No reload: the page's own pulse tells it.
    expect(page.locator("tbody tr.openable")).to_have_count(4)


def test_new_calls_appear_in_a_short_list(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/calls?history=all", "Calls")
    before = db.rows("select count(*) from call")[0][0]
    expect(page.get_by_text(f"{before} of {before} loaded")).to_be_visible()
    tree = Tree(lived_in.config.codex_home, seed=4)
    tree._at = db.now_ms() - DAY
    tree.grow(sessions=1)
    lived_in.services.indexer.scan(wait=True)
    after = db.rows("select count(*) from call")[0][0]
    assert before < after
    expect(page.get_by_text(f"of {after} loaded")).to_be_visible(timeout=30_000)
    newest = db.rows("select input + output from call order by started_at desc limit 2")
    for (tokens,) in newest:
        expect(page.locator("tbody")).to_contain_text(f"{tokens:,}")


def test_an_appended_call_comes_with_a_pulse_and_pulses_do_not_pile_up(
    lived_in: Served, watched: Watched
) -> None:
    page = watched.open(f"{lived_in.url}/calls?history=all", "Calls")
    before = db.rows("select count(*) from call")[0][0]
    expect(page.get_by_text(f"{before} of {before} loaded")).to_be_visible(timeout=30_000)
    steps: list[str] = []
    pulses = [0, 0]  # under way, at most

    def asked(request: Request) -> None:
        path = urlsplit(request.url).path
        if path == "/api/live":
            pulses[0] += 1
            pulses[1] = max(pulses)
        if path in ("/api/live", "/api/calls"):
            steps.append(path)

    def answered(request: Request) -> None:
        pulses[0] -= request.url.endswith("/api/live") and pulses[0] > 0

    page.on("request", asked)
    page.on("requestfinished", answered)
    page.on("requestfailed", answered)
    tree = Tree(lived_in.config.codex_home, seed=4)
    tree._at = db.now_ms() - DAY
    tree.grow(sessions=1)
    lived_in.services.indexer.start()  # it finds the log by itself
    try:
        expect(page.get_by_text(f"{before} of {before} loaded")).to_have_count(0, timeout=30_000)
    finally:
        lived_in.services.indexer.stop()
    assert steps.index("/api/live") < steps.index("/api/calls")
    assert pulses[1] == 1


def one_time_code(secret: str) -> str:
    """What an authenticator app shows now (RFC 6238)."""
    return str(pyotp.TOTP(secret).now())


def test_a_password_and_codes_close_the_pages(served: Served, watched: Watched) -> None:
    watched.refused |= {"dashboard-auth/password/change"}
    page = watched.open(f"{served.url}/settings", "Settings")
    page.get_by_role("button", name="Set a password").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("New password", exact=True).fill("correct horse")
    dialog.get_by_label("New password again").fill("correct house")
    dialog.get_by_role("button", name="Set a password").click()
    expect(page.get_by_text("The two new passwords differ.")).to_be_visible()
    watched.check()
    dialog.get_by_label("New password again").fill("correct horse")
    dialog.get_by_role("button", name="Set a password").click()
    expect(page.get_by_text("The password is set.")).to_be_visible()
    expect(page.get_by_text("this one")).to_be_visible()

    page.get_by_role("button", name="Set up").click()
    secret = page.get_by_label("The secret", exact=True).inner_text()
    watched.check()
    page.get_by_role("textbox", name="One-time code").fill(one_time_code(secret))
    page.get_by_role("button", name="Turn on").click()
    codes = page.get_by_role("list", name="Recovery codes").get_by_role("listitem")
    expect(codes).to_have_count(10)
    recovery = codes.first.inner_text()
    page.get_by_role("button", name="I have kept them").click()
    expect(page.get_by_label("Ask for a code at each sign-in")).to_be_checked()

    page.get_by_role("button", name="Change it").click()
    dialog.get_by_label("Present password").fill("wrong")
    for label in ("New password", "New password again"):
        dialog.get_by_label(label, exact=True).fill("another horse")
    dialog.get_by_role("button", name="Change it").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not the password")
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    watched.check()
    page.get_by_label("One-time code").fill(recovery)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("h1")).to_have_text("Overview")


def test_a_session_elsewhere_is_ended(chromium: Browser, served: Served, watched: Watched) -> None:
    served.services.password.put("correct horse")
    pages = []
    with watching(chromium) as other:
        for one in (other, watched):
            page = one.open(f"{served.url}/settings", "Sign in")
            page.get_by_label("Password").fill("correct horse")
            page.get_by_role("button", name="Sign in").click()
            expect(page.locator("h1")).to_have_text("Settings")
            pages.append(page)
        rows = watched.page.locator(".sessions li")
        expect(rows).to_have_count(2)
        rows.get_by_role("button").click()
        expect(rows).to_have_count(1)
        expect(pages[0].locator("h1")).to_have_text("Sign in")


def test_the_life_of_a_key(served: Served, watched: Watched) -> None:
    page = watched.open(f"{served.url}/keys", "API keys")
    expect(page.get_by_text("No key yet")).to_be_visible()
    page.get_by_label("Ask clients for a key").click()
    expect(page.get_by_text("refuses every request")).to_be_visible()
    page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Create a key").click()
    expect(dialog.get_by_text("Give the key a name.")).to_be_visible()
    dialog.get_by_role("textbox", name="Name").fill("laptop")
    dialog.get_by_label("Expires").select_option("30d")
    dialog.get_by_label("Tokens a week").fill("1.5 M")
    watched.check()
    dialog.get_by_role("button", name="Create a key").click()
    secret = page.get_by_label("The secret", exact=True).inner_text()
    watched.check()
    assert served.services.keys.authenticate(secret).name == "laptop"
    page.get_by_role("button", name="I have copied it").click()
    row = page.get_by_role("listitem").filter(has_text="laptop")
    expect(row).to_contain_text("0 of 1.5 M tokens, a week")
    expect(page.get_by_text("refuses every request")).to_have_count(0)


def test_a_key_is_edited_renewed_and_deleted(served: Served, watched: Watched) -> None:
    _, secret = served.services.keys.create(Draft("laptop", rules=(Rule("requests", "5h", 9),)))
    page = watched.open(f"{served.url}/keys", "API keys")
    dialog = page.get_by_role("dialog")
    row = page.get_by_role("listitem").filter(has_text="laptop")
    page.get_by_role("button", name="Edit laptop").click()
    dialog.get_by_label("Only these").first.check()
    dialog.get_by_label("GPT-5.5", exact=True).check()
    dialog.get_by_role("button", name="Add a limit").click()
    limit = dialog.get_by_role("group", name="Limit 2")
    limit.get_by_label("At most").fill("2,50")
    limit.get_by_label("What is limited").select_option("cost_usd")
    watched.check()
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("$0.00 of $2.50, a day")
    key = served.services.keys.all()[0]
    assert key.models == ("gpt-5.5",)
    assert [limit.rule.maximum for limit in key.limits] == [9, 2_500_000]

    def choose(name: str) -> None:
        page.get_by_role("button", name="More actions for laptop").click()
        page.get_by_role("menuitem", name=name).click()

    choose("Switch off")
    expect(row).to_contain_text("switched off")
    choose("Switch on")
    choose("Make a new secret")
    dialog.get_by_role("button", name="Make a new secret").click()
    expect(page.get_by_label("The secret", exact=True)).not_to_have_text(secret)
    page.get_by_role("button", name="I have copied it").click()
    choose("Delete")
    watched.check()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No key yet")).to_be_visible()
    assert served.services.keys.all() == []


def test_order_policy_and_export_of_an_account(lived_in: Served, watched: Watched) -> None:
    account = next(c for c in lived_in.services.pool.candidates() if c.label.startswith("lab"))
    page = watched.open(f"{lived_in.url}/accounts/{account.id}", "lab@example.com")
    page.get_by_label("Order").select_option("Use first")
    expect(page.get_by_text("The priority is saved.")).to_be_visible()
    page.get_by_label("Policy").select_option("Preserve for last")
    expect(page.get_by_text("The policy is saved.")).to_be_visible()
    found = {c.id: (c.priority, c.policy) for c in lived_in.services.pool.candidates()}
    assert found[account.id] == (1, "preserve")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Export its sign-in").click()
    watched.check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    tokens = json.loads(Path(download.value.path()).read_text())["tokens"]
    assert {"access_token", "refresh_token", "id_token"} <= set(tokens)


def test_an_address_is_pasted_and_refused(served: Served, watched: Watched) -> None:
    watched.refused.add("oauth/manual-callback")
    page = watched.open(f"{served.url}/accounts", "Accounts")
    page.get_by_role("button", name="In the browser").click()
    link = page.get_by_role("link", name="Open the sign-in page")
    expect(link).to_have_attribute("href", re.compile("/oauth/authorize.*code_challenge="))
    paste = page.get_by_label("The address the browser ended on")
    if not paste.is_visible():  # a port was free, so pasting is the second choice
        page.get_by_text("could not show the last page").click()
    watched.check()
    paste.fill("http://127.0.0.1:1455/auth/callback?nothing")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("Paste the whole address")
    page.get_by_role("button", name="Another way").click()
    expect(page.get_by_role("button", name="By device code")).to_be_visible()


def test_a_dry_run_says_who_and_why(lived_in: Served, watched: Watched) -> None:
    page = watched.open(f"{lived_in.url}/requests", "Requests")
    page.get_by_role("button", name="Why this account?").click()
    rows = page.get_by_role("dialog").locator("tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("work@example.com")
    expect(rows.filter(has_text="spare@example.com")).to_contain_text("it is paused")
    watched.check()
    lived_in.services.pool.pause_all()
    expect(page.get_by_text("No account can serve it now.")).to_be_visible(timeout=30_000)


def test_the_trays_settings_are_kept(served: Served, watched: Watched) -> None:
    account = served.account("studio")
    page = watched.open(f"{served.url}/settings", "Settings")
    page.get_by_label("The icon shows").select_option("studio@example.com")
    page.get_by_label("Percentages in the tray are").select_option("What is used")
    page.get_by_label("Used up").click()
    page.get_by_label("Quiet from").select_option("22")
    page.get_by_label("Quiet until").select_option("7")
    expect(page.get_by_text("No alerts between these hours.")).to_be_visible()
    kept = {"trayFollows": account, "trayPercent": "used", "alertSpent": False, "quietTo": 7}
    page.wait_for_function(
        """async (kept) => {
            const found = await (await fetch("/api/settings")).json();
            return Object.entries(kept).every(([key, value]) => found[key] === value);
        }""",
        arg=kept,
    )
    watched.check()


def test_requests_are_filtered_by_key(served: Served, watched: Watched) -> None:
    served.account("studio")
    key, secret = served.services.keys.create(Draft("laptop"))
    page = watched.open(f"{served.url}/keys", "API keys")
    page.get_by_label("Ask clients for a key").click()
    expect(page.get_by_text("On: the proxy answers only")).to_be_visible()
    # The page says so at once; the server a moment later.
    page.wait_for_function(
        "async () => (await (await fetch('/api/settings')).json()).apiKeyAuthEnabled === true"
    )
    ask(served, secret=secret)
    page.get_by_role("button", name="More actions for laptop").click()
    page.get_by_role("menuitem", name="Show its requests").click()
    rows = page.locator("tbody tr.openable")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile(f"key={key.id}"))
    rows.get_by_role("button").click()
    details = page.locator(".details")
    expect(details).to_contain_text("laptop")
    expect(details).to_contain_text("Until the first event")
    expect(details.locator(".spent")).to_contain_text("$0.0029")
