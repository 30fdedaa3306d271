"""The page of one call in Chromium: figures, the turn, the witnesses, and the lines behind it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Locator, expect

from server.store import db, settings
from tests import test_ui
from tests.serving import Served
from tests.test_evidence import SECRET, Written
from tests.test_i18n import catalogue
from tests.test_ui import Watched, watching
from tests.upstream import Provider

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served
watched = test_ui.watched


def story(served: Served) -> list[str]:
    """A thread of two turns, in which a file makes the input jump; its calls, oldest first."""
    log = Written()
    rollout = log.rollout
    log.ask("Why does the cart lose items? Look into src/cart.py")
    names = [
        log.call("rg -n 'def add' src", "src/cart.py:41:def add(self, item):"),
        log.call("cat src/cart.py", "class Cart:\n" + "    total = 0\n" * 300),
        log.call("cat .env", f"OPENAI_API_KEY={SECRET}\nDEBUG=1"),
    ]
    log.done()
    rollout.at += 240_000
    log.ask("Now write a test for it")
    names += [log.call("pytest -q tests/test_cart.py", "1 failed, 3 passed in 0.41s") for _ in "12"]
    rollout.item(
        "message", role="assistant", content=[{"type": "output_text", "text": "The test fails."}]
    )
    log.done()
    log.save(served.config)
    at = db.rows("select started_at from call where id = ?", (names[1],))[0][0]
    with db.writing("calls") as connection:
        connection.execute("update call set seen = 7, duration_ms = 900 where id = ?", (names[1],))
        connection.execute("update session set project = 'shop'")
        connection.execute("update thread set title = 'Why does the cart lose items?'")
        connection.execute(
            "insert into request_log (id, response_id, endpoint, status, attempts, started_at, "
            "first_event_ms, duration_ms, input, cached, output) values ('req-1', ?, "
            "'/v1/responses', 'success', '[]', ?, 320, 880, 2000, 100, 50)",
            (names[1], at - 900),
        )
        connection.execute(
            "insert into telemetry_usage values (?, 'codex', ?, ?, 'gpt-5.5', 'ann@example.com', "
            "2000, 100, 0, 50, 5, 330, ?)",
            (b"k", rollout.key, at, names[1]),
        )
    return names


@pytest.mark.parametrize("width", [880, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_sound(chromium: Browser, served: Served, theme: str, width: int) -> None:
    names = story(served)
    with watching(chromium, theme, width) as watched:
        for name in (names[0], names[1], names[-1]):
            page = watched.open(f"{served.url}/calls/{name}", "Call")
            expect(page.locator(".evidence > .entries").first).to_be_visible()
            watched.check()
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{name} scrolls sideways"


def test_a_call_shows_what_it_was_given_and_what_it_answered(
    served: Served, watched: Watched
) -> None:
    names = story(served)
    page = watched.open(f"{served.url}/calls/{names[2]}", "Call")
    main = page.locator("main")
    expect(main).to_contain_text("Compared with the call before")
    expect(main).to_contain_text("+1,000")
    own = page.locator(".evidence > .entries > li")
    expect(own.filter(has_text="total = 0").first).to_be_visible()
    expect(page.locator("pre", has_text="OPENAI_API_KEY")).to_contain_text("[redacted openai_key]")
    expect(main).to_contain_text("Secrets taken out: 1")
    assert SECRET not in page.content()
    page.get_by_role("button", name="Hide tool output").click()
    expect(page.locator("pre", has_text="total = 0")).to_have_count(0)
    expect(main).to_contain_text("Tool output, hidden")
    page.get_by_role("button", name="Full analysis").click()
    expect(main).to_contain_text("Encrypted reasoning")
    watched.check()


def test_the_way_leads_along_the_thread(served: Served, watched: Watched) -> None:
    names = story(served)
    page = watched.open(f"{served.url}/calls/{names[0]}", "Call")
    expect(page.get_by_role("button", name="Earlier in this thread")).to_be_disabled()
    expect(page.locator("main")).to_contain_text("the first call of its thread")
    page.get_by_role("link", name="Later in this thread").click()
    expect(page).to_have_url(f"{served.url}/calls/{names[1]}")
    expect(page.locator("main")).to_contain_text(names[1])
    page.go_back()
    expect(page).to_have_url(f"{served.url}/calls/{names[0]}")
    page.get_by_role("link", name="Why does the cart").click()
    expect(page.locator("h1")).to_have_text("Why does the cart lose items?")
    watched.check()


def test_three_witnesses_and_the_turn(served: Served, watched: Watched) -> None:
    names = story(served)
    page = watched.open(f"{served.url}/calls/{names[1]}", "Call")
    boxes = page.locator(".witnesses > div")
    expect(boxes).to_have_count(3)
    for name, text in (("Session log", "shop"), ("Proxy", "320 ms"), ("Telemetry", "ann@")):
        box = boxes.filter(has_text=name)
        expect(box).to_contain_text("saw this call")
        expect(box).to_contain_text(text)
    lines = page.locator(".turn-line")
    expect(lines.filter(has_text="Waiting for the first token")).to_contain_text("320 ms")
    expect(lines.filter(has_text="Tools")).to_contain_text("4 s")
    expect(page.get_by_role("img", name="exec_command · 2 s · Session log").first).to_be_visible()


def test_a_call_tells_its_rates_and_its_sessions_total(served: Served, watched: Watched) -> None:
    names = story(served)
    with db.writing("calls") as connection:
        connection.execute("update call set running = 98765 where id = ?", (names[1],))
    page = watched.open(f"{served.url}/calls?open={names[1]}", "Calls")
    panel = page.get_by_role("dialog")

    def fact(name: str) -> Locator:
        term = page.locator("dt", has_text=re.compile(f"^{name}$"))
        return page.locator(".facts > div").filter(has=term)

    expect(fact("Session so far")).to_contain_text("98,765")
    for name, text in (("Cost", "exact"), ("Price from", "OpenAI API pricing page"),
                       ("Credits", "exact rate"), ("Credit rate from", "Codex rate card"),
                       ("Provider", "Codex")):  # fmt: skip
        expect(fact(name).first).to_contain_text(text)
    for heading in ("Duration", "Started by"):
        section = panel.locator("section").filter(has=fact(heading)).first
        expect(section.locator("h3")).to_have_text("Derived")
    page.goto(f"{served.url}/calls/{names[1]}")
    expect(page.locator(".figures")).to_contain_text("Session so far")
    expect(fact("Credit rate from")).to_contain_text("Codex rate card")
    watched.check()


def test_pages_lead_to_it(served: Served, watched: Watched) -> None:
    names = story(served)
    page = watched.open(f"{served.url}/calls?open={names[1]}", "Calls")
    page.get_by_role("dialog").get_by_role("link", name="Investigate this call").click()
    expect(page).to_have_url(f"{served.url}/calls/{names[1]}")
    page.goto(f"{served.url}/threads/{db.rows('select id from thread')[0][0]}")
    page.locator("table.nested tbody th a").first.click()
    expect(page.locator("h1")).to_have_text("Call")
    page.goto(f"{served.url}/requests")
    page.locator("tbody tr.openable").first.get_by_role("button").first.click()
    page.locator(".details a.link").first.click()
    expect(page).to_have_url(f"{served.url}/calls/{names[1]}")
    # What the usage tracker's users may have kept.
    page.goto(f"{served.url}/dashboard.html?view=call&record={names[0]}")
    expect(page).to_have_url(f"{served.url}/calls/{names[0]}")
    page.goto(f"{served.url}/dashboard.html?view=threads&sort=cost&date=last-7-days")
    expect(page.locator("h1")).to_have_text("Threads")
    expect(page).to_have_url(f"{served.url}/threads?sort=cost&range=7d")


def test_lines_that_are_off_come_by_an_explicit_act(
    served: Served, watched: Watched, provider: Provider
) -> None:
    names = story(served)
    settings.change({"showEvidence": False})
    page = watched.open(f"{served.url}/calls/{names[1]}", "Call")
    expect(page.get_by_text("Log lines are switched off")).to_be_visible()
    expect(page.locator(".entries")).to_have_count(0)
    watched.check()
    page.get_by_role("button", name="Show log lines").click()
    expect(page.locator(".evidence > .entries").first).to_be_visible()
    page.get_by_role("button", name="Switch off").click()
    expect(page.locator(".entries")).to_have_count(0)
    assert settings.get("showEvidence") is False
    page.goto(f"{served.url}/settings")
    page.get_by_label("Show a call's log lines").click()
    expect(page.get_by_text("Saved").first).to_be_visible()
    assert settings.get("showEvidence") is True


def test_off_from_the_start(chromium: Browser, provider: Provider, served: Served) -> None:
    names = story(served)
    served.services.config = replace(served.config, evidence=False)
    with watching(chromium) as watched:
        page = watched.open(f"{served.url}/calls/{names[1]}", "Call")
        expect(page.get_by_text("Brimline was started without them")).to_be_visible()
        page.get_by_role("button", name="Show log lines").click()
        expect(page.locator(".evidence > .entries").first).to_be_visible()
        watched.check()


def test_a_log_that_is_gone_is_a_sentence(served: Served, watched: Watched) -> None:
    names = story(served)
    next(served.config.codex_home.rglob("*.jsonl")).unlink()
    page = watched.open(f"{served.url}/calls/{names[1]}", "Call")
    expect(page.get_by_text("The log is gone from disk.")).to_be_visible()
    expect(page.locator("main")).to_contain_text("2,000")
    watched.check()


def test_an_unknown_call(served: Served, watched: Watched) -> None:
    watched.refused |= {"calls/nobody", "calls/nobody/evidence"}
    page = watched.open(f"{served.url}/calls/nobody")
    expect(page.get_by_text("There is no such call")).to_be_visible()
    watched.check()


def test_strict_privacy_shows_no_text(served: Served, watched: Watched) -> None:
    names = story(served)
    settings.change({"privacyMode": "strict"})
    page = watched.open(f"{served.url}/calls/{names[1]}", "Call")
    expect(page.get_by_text("shows no text")).to_be_visible()
    expect(page.locator("pre")).to_have_count(0)
    assert "cart" not in page.locator("main").inner_text()
    watched.check()


@pytest.mark.parametrize("code", ["de", "ar", "ja"])
def test_it_speaks_other_languages(chromium: Browser, served: Served, code: str) -> None:
    names = story(served)
    settings.change({"language": code})
    with watching(chromium, width=900) as watched:
        page = watched.open(f"{served.url}/calls/{names[1]}")
        expect(page.get_by_role("heading", name=catalogue(code)["call.turn"])).to_be_visible()
        expect(page.locator(".evidence > .entries").first).to_be_visible()
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0
        watched.check()


def test_a_label_without_a_sign_leaves_no_room_for_one(served: Served, watched: Watched) -> None:
    name = story(served)[0]
    watched.open(f"{served.url}/calls/{name}")
    card = watched.page.locator(".card", has=watched.page.locator(".advice"))
    label = card.locator(".advice li > div:only-child b").first
    expect(label).to_be_visible()
    heading = card.get_by_role("heading", name="What stands out")
    left = "it => it.getBoundingClientRect().left"
    assert abs(heading.evaluate(left) - label.evaluate(left)) < 1
