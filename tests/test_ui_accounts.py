"""Journeys of accounts in Chromium: a device code, banked resets, what the server says in words."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from server.accounts.allowance import DAY, HOUR, Credits, Usage
from server.store import db, settings
from tests import auth_server, test_ui
from tests.serving import Served
from tests.test_i18n import catalogue
from tests.test_ui import Watched, ask, observe, watching, window
from tests.upstream import Answer, Provider, Received, Stream, auth_json, refusal

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
watched, lived_in = test_ui.watched, test_ui.lived_in

START = Answer(
    200, {"device_auth_id": "dev-1", "user_code": "WXYZ-1234", "interval": 1, "expires_in": 600}
)
GRANTED = Answer(200, {"authorization_code": "granted", "code_verifier": "theirs"})


def tokens(name: str) -> Answer:
    import json

    return Answer(200, json.loads(auth_json(name))["tokens"])


def test_a_device_code_is_shown_and_ends_in_an_account(
    served: Served, provider: Provider, watched: Watched
) -> None:
    signed_in = threading.Event()
    provider.side["/api/accounts/deviceauth/usercode"] = START
    provider.side["/api/accounts/deviceauth/token"] = lambda _: (
        GRANTED if signed_in.is_set() else Answer(403, {})
    )
    provider.token_answer = tokens("acc-9")
    page = watched.open(f"{served.url}/accounts", "Accounts")
    page.get_by_role("button", name="By device code").click()
    expect(page.get_by_label("The device code", exact=True).first).to_have_text("WXYZ-1234")
    link = page.get_by_role("link", name="Open the page")
    expect(link).to_have_attribute("href", f"{provider.auth_url}/codex/device")
    expect(page.get_by_text(re.compile("Waiting"))).to_be_visible()
    watched.check()
    signed_in.set()
    expect(page.get_by_text("acc-9@example.com is signed in.")).to_be_visible()
    expect(page.get_by_role("link", name="acc-9@example.com", exact=True)).to_be_visible()


def test_a_refused_device_code_says_what_to_do_in_the_readers_language(
    served: Served, provider: Provider, watched: Watched
) -> None:
    provider.side["/api/accounts/deviceauth/usercode"] = START
    provider.side["/api/accounts/deviceauth/token"] = refusal(400, "access_denied")
    settings.change({"language": "de"})
    page = watched.open(f"{served.url}/accounts")
    page.get_by_role("button", name="Gerätecode").click()
    expect(page.get_by_role("alert")).to_have_text(
        "Der Anbieter wies diesen Gerätecode ab. Beginnen Sie neu."
    )
    watched.check()
    settings.change({"language": ""})


def test_no_device_codes_is_an_error_that_names_other_ways(
    served: Served, watched: Watched
) -> None:
    watched.refused.add("oauth/start")
    page = watched.open(f"{served.url}/accounts", "Accounts")
    page.get_by_role("button", name="By device code").click()
    expect(page.get_by_role("alert")).to_contain_text("Sign in by browser or by file")
    page.get_by_role("button", name="Another way").click()
    expect(page.get_by_role("button", name="In the browser")).to_be_visible()


def test_a_wrong_file_is_refused_in_the_readers_language(
    served: Served, watched: Watched, tmp_path: Path
) -> None:
    watched.refused.add("accounts/import")
    settings.change({"language": "es"})
    wrong = tmp_path / "auth.json"
    wrong.write_text("nonsense")
    page = watched.open(f"{served.url}/accounts")
    page.get_by_role("button", name=catalogue("es")["signing.file"]).click()
    page.locator("input[type=file]").set_input_files(wrong)
    expect(page.locator(".outcomes")).to_contain_text("Este archivo no es JSON")
    watched.check()
    settings.change({"language": ""})


def test_a_banked_reset_is_redeemed_once(
    served: Served, provider: Provider, watched: Watched
) -> None:
    left = [{"id": "rc_1", "status": "available", "title": "A full reset"}]
    wishes: list[Any] = []

    def redeem(request: Received) -> Answer:
        wishes.append(request.json["redeem_request_id"])
        left.clear()
        provider.usage = usage(0)
        return Answer(200, {"code": "reset"})

    def usage(used: int) -> dict[str, Any]:
        window = {"used_percent": used, "limit_window_seconds": 604_800}
        return {
            "plan_type": "plus",
            "rate_limit": {"allowed": True, "primary_window": window},
            "rate_limit_reset_credits": {"available_count": len(left)},
        }

    provider.usage = usage(97)
    where = "/wham/rate-limit-reset-credits"
    provider.side[where] = lambda _: Answer(200, {"credits": left, "available_count": len(left)})
    provider.side[f"{where}/consume"] = redeem
    account = served.account("acc-1")
    page = watched.open(f"{served.url}/accounts/{account}", "acc-1@example.com")
    page.get_by_role("button", name="Redeem").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("A full reset")
    watched.check()
    dialog.get_by_role("button", name="Redeem this one").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("100% left").first).to_be_visible()
    assert len(wishes) == 1 and re.fullmatch(r"[0-9a-f]{32}", wishes[0])


@pytest.mark.parametrize("path", ["/accounts", "/"])
def test_a_monthly_plan_says_so_and_a_weekly_one_does_not(
    served: Served, watched: Watched, path: str
) -> None:
    now = db.now_ms()
    month = window("monthly", 29, 43_200, 20 * DAY, now)
    served.services.pool.observe(served.account("acc-1"), Usage(windows=(month,)), "api")
    observe(served, served.account("acc-2"), 20, 45)
    page = watched.open(f"{served.url}{path}")
    lanes = page.locator(".lane")
    expect(lanes.filter(has_text="acc-1@example.com")).to_contain_text("71% left · monthly")
    weekly = lanes.filter(has_text="acc-2@example.com")
    expect(weekly).to_contain_text("55% left")
    expect(weekly).not_to_contain_text("monthly")
    watched.check()


@pytest.mark.parametrize("path", ["/accounts", "/"])
def test_a_used_up_window_says_that_credits_pay(
    served: Served, watched: Watched, path: str
) -> None:
    now = db.now_ms()
    spent = window("primary", 100, 300, 2 * HOUR, now)
    week = window("secondary", 40, 10_080, 3 * DAY, now)
    usage = Usage(windows=(spent, week), credits=Credits(True, False, 12.5))
    served.services.pool.observe(served.account("acc-1"), usage, "api")
    page = watched.open(f"{served.url}{path}")
    lane = page.locator(".lane")
    expect(lane).to_contain_text("0% left · served by credits")
    expect(lane).not_to_contain_text("used up")
    if path == "/":
        expect(page.locator(".attention")).to_contain_text("acc-1@example.com is served by credits")
        figures = page.locator(".figure")
        expect(figures).to_contain_text("5-hour headroom, used up: served by credits")
    watched.check()


def test_a_window_of_accounts_out_of_rotation_alone_is_said_to_be_missing(
    served: Served, watched: Watched
) -> None:
    pool, now = served.services.pool, db.now_ms()
    weekly = served.account("acc-1")
    pool.observe(weekly, Usage(windows=(window("secondary", 40, 10_080, DAY, now),)), "api")
    usual = served.account("acc-2")
    observe(served, usual, 20, 45)
    pool.pause(usual)
    figures = watched.open(f"{served.url}/", "Overview").locator(".figure")
    expect(figures).to_contain_text("5-hour headroom: no account in rotation has this window")
    expect(figures).to_contain_text("60%")
    watched.check()
    pool.block(weekly, "sign_in_needed", 0, "Its sign-in has ended.")
    watched.page.reload()
    expect(figures).to_contain_text("weekly headroom: no account can serve")
    watched.check()


def test_a_lane_says_why_an_account_is_held_back_though_it_has_room(
    served: Served, provider: Provider, watched: Watched
) -> None:
    account = served.account("acc-1")
    observe(served, account, 29, 52)
    provider.play(refusal(429, "rate_limit_exceeded", retry_after="600"))
    ask(served)
    page = watched.open(f"{served.url}/", "Overview")
    lane = page.get_by_role("group", name="acc-1@example.com")
    expect(lane).to_contain_text("The provider asks for a pause: too many requests")
    expect(page.locator(".attention")).to_contain_text("is refused by the provider")
    figures = page.locator(".figure")
    expect(figures).to_contain_text("5-hour headroom: no account can serve")
    watched.check()
    settings.change({"language": "fr"})
    page.reload()
    expect(lane).to_contain_text("Le fournisseur demande une pause")
    expect(page.locator(".attention")).to_contain_text("Le fournisseur refuse acc-1@example.com")
    settings.change({"language": ""})


def test_a_request_in_flight_is_a_row_that_becomes_a_finished_one(
    served: Served, provider: Provider, watched: Watched
) -> None:
    served.account("acc-1")
    go_on = threading.Event()
    provider.default = Stream(hold=(2, go_on))
    client = threading.Thread(target=ask, args=(served,))
    client.start()
    page = watched.open(f"{served.url}/requests", "Requests")
    row = page.locator("tr.live-row")
    expect(row).to_contain_text("acc-1@example.com")
    expect(row).to_contain_text("the only account")
    expect(row).to_contain_text("gpt-5.5")
    watched.check()
    go_on.set()
    client.join(30)
    expect(row).to_have_count(0)
    expect(page.locator("tbody tr.openable")).to_have_count(1)
    expect(page.locator("tbody tr.openable")).to_contain_text("the only account")


def test_an_ended_sign_in_is_grey_and_has_its_button(served: Served, watched: Watched) -> None:
    pool = served.services.pool
    account = served.account("acc-1")
    observe(served, account, 29, 52)
    pool.block(account, "sign_in_needed", 0, "Its sign-in has ended.")
    page = watched.open(f"{served.url}/accounts", "Accounts")
    lane = page.get_by_role("listitem").filter(has_text="acc-1@example.com")
    expect(lane.locator(".bar[data-level=idle]")).to_have_count(2)
    lane.get_by_role("button", name="Sign in again").click()
    dialog = page.get_by_role("dialog", name="Sign in again")
    expect(dialog.get_by_role("button", name="In the browser")).to_be_visible()
    watched.check()


def test_the_history_begins_with_what_was_seen_first(served: Served, watched: Watched) -> None:
    account = served.account("acc-1")
    observe(served, account, 29, 52)
    page = watched.open(f"{served.url}/accounts/{account}")
    chart = page.get_by_role("img", name="Percent left over the last 28 days")
    expect(chart.locator("canvas")).to_be_visible()
    watched.check()


@pytest.mark.parametrize("width", [900, 1400])
def test_accounts_of_one_e_mail_are_told_apart_where_they_are_listed(
    served: Served, chromium: Browser, width: int
) -> None:
    mail = "ada.of.the.analytical.engines@mathematics.example.com"
    for upstream_id in ("ws-1", "ws-2"):
        who = {"email": mail, "user": "u1", "account": upstream_id}
        found = served.services.pool.add(
            auth_server.auth_json(access=auth_server.access_token(upstream_id), **who)
        )
        observe(served, found.id, 30, 40)
    ask(served)
    names = {c.id: served.services.pool.name(c.id) for c in served.services.pool.candidates()}
    ends = [name.partition(" ")[2] for name in names.values()]
    assert len(set(ends)) == 2
    with watching(chromium, width=width) as seen:
        page = seen.open(f"{served.url}/accounts", "Accounts")
        for end in ends:
            whole(page.get_by_text(end, exact=True))
        seen.check()
        page = seen.open(f"{served.url}/requests", "Requests")
        row = page.locator("tbody .served").filter(has_text=mail)
        whole(row.get_by_text(re.compile(r"^\(")))
    assert seen.troubles == []


def whole(text: Locator) -> None:
    """Nothing of it is cut off."""
    expect(text).to_be_visible()
    assert text.evaluate("e => e.scrollWidth <= e.clientWidth")
