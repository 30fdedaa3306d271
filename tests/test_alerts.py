"""What the tray tells by itself, and when it keeps quiet."""

from __future__ import annotations

from typing import Any

import pytest

from desktop import alerts
from desktop.display import View
from tests.test_display import HOUR, MINUTE, NOW, account, iso, view, week, window

SPENT = window(0, level="spent")


def pool(five: float | None, weekly: float | None = 48, reset: int = 2 * HOUR) -> View:
    windows = [window(five, resetAt=iso(NOW + reset)), week(weekly)]
    return view(pool={"windows": windows, "state": "ok"})


def only(name: str, five: float) -> View:
    """A and B, of whom one serves; each has a cycle of its own."""
    reset = iso(NOW + (2 if name == "A" else 4) * HOUR)
    accounts = [account(each, "active" if each == name else "paused") for each in "AB"]
    return view(*accounts, pool={"windows": [window(five, resetAt=reset)], "state": "ok"})


def test_who_is_meant_is_said() -> None:
    (alert,) = alerts.news(only("A", 51), only("A", 45), {}, NOW)[0]
    assert alert.text == (
        "45% of the 5-hour allowance of the accounts in rotation left, resets in 2h 00m."
    )


def titles(before: View, after: View, told: alerts.Told | None = None) -> list[str]:
    return [alert.title for alert in alerts.news(before, after, told or {}, NOW)[0]]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(View(), pool(15), [], id="silent at the start"),
        pytest.param(pool(60), pool(51), [], id="nothing crossed"),
        pytest.param(pool(51), pool(50), ["5-hour allowance: under 50% left"], id="half is gone"),
        pytest.param(pool(50), pool(49), [], id="once per crossing"),
        pytest.param(
            pool(70), pool(12), ["5-hour allowance: under 20% left"], id="only the lower of two"
        ),
        pytest.param(pool(3), pool(0), ["The 5-hour allowance is used up"], id="used up"),
        pytest.param(pool(0), pool(100), ["The 5-hour allowance is back"], id="back"),
        pytest.param(pool(None), pool(10), [], id="from unknown there is no crossing"),
        pytest.param(pool(40, 21), pool(40, 20), ["Weekly allowance: under 20% left"], id="weekly"),
        pytest.param(
            view(account()),
            view(account(status="sign_in_needed")),
            ["work@: sign in again"],
            id="a sign-in ended",
        ),
        pytest.param(
            view(account()),
            view(account(status="quota_exceeded", blockedUntil=iso(NOW + HOUR))),
            ["work@ is spent until 16:00"],
            id="an account is spent",
        ),
        pytest.param(
            view(account()),
            view(account(status="rate_limited", windows=[SPENT], blockedUntil=iso(NOW + HOUR))),
            ["work@ is spent until 16:00"],
            id="an account's 5 hours are spent",
        ),
        pytest.param(
            view(account(status="rate_limited")),
            view(account(status="quota_exceeded")),
            [],
            id="it was out of work before",
        ),
        pytest.param(view(account()), view(account(status="paused")), [], id="the user knows"),
        pytest.param(
            View(trouble="starting"),
            View(trouble="It stopped 4 times", can_start=True),
            ["Brimline's server stopped"],
            id="the server is given up",
        ),
        pytest.param(
            View(trouble="It does not answer"),
            View(trouble="It does not answer", can_start=True, hung=True),
            ["Brimline's server hangs"],
            id="the server hangs",
        ),
        pytest.param(
            View(trouble="It does not answer", hung=True),
            View(trouble="It does not answer", can_start=True, hung=True),
            [],
            id="a server that hangs is told once",
        ),
    ],
)
def test_news(before: View, after: View, expected: list[str]) -> None:
    assert titles(before, after) == expected


def walk(*views: View) -> list[str]:
    """What is told on the way through several looks."""
    told: alerts.Told = {}
    said = []
    for before, after in zip(views, views[1:], strict=False):
        found, told = alerts.news(before, after, told, NOW)
        said += [alert.title for alert in found]
    return said


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        pytest.param(
            [pool(51), pool(49), pool(51), pool(49)],
            ["5-hour allowance: under 50% left"],
            id="a figure that wavers is told once per cycle",
        ),
        pytest.param(
            [pool(51), pool(49), pool(22), pool(19), pool(21), pool(18)],
            ["5-hour allowance: under 50% left", "5-hour allowance: under 20% left"],
            id="each threshold once",
        ),
        pytest.param(
            [pool(51), pool(49), pool(100, reset=7 * HOUR), pool(48, reset=7 * HOUR)],
            ["5-hour allowance: under 50% left", "5-hour allowance: under 50% left"],
            id="a new cycle is told again",
        ),
        pytest.param(
            [pool(51), pool(49), pool(60, reset=2 * HOUR + MINUTE), pool(48)],
            ["5-hour allowance: under 50% left"],
            id="a reset that only trembles is the same cycle",
        ),
        pytest.param(
            [pool(1), pool(0), pool(1), pool(0)],
            ["The 5-hour allowance is used up", "The 5-hour allowance is back"],
            id="used up once per cycle",
        ),
        pytest.param(
            [only("A", 51), only("A", 45), only("B", 80), only("A", 45), only("B", 79)],
            ["5-hour allowance: under 50% left"],
            id="the same cycle again, after another account served",
        ),
        pytest.param(
            [only("A", 51), only("A", 45), only("B", 80), only("B", 48)],
            ["5-hour allowance: under 50% left", "5-hour allowance: under 50% left"],
            id="another account's crossing is its own",
        ),
        pytest.param(
            [only("A", 0), only("B", 80)], [], id="another account's allowance did not come back"
        ),
        pytest.param([pool(0, 0), pool(100, 0)], [], id="no use of 5 hours without a week"),
    ],
)
def test_once_per_cycle(views: list[View], expected: list[str]) -> None:
    assert walk(*views) == expected


def test_what_credits_pay_for_goes_on() -> None:
    paid = view(pool={"windows": [SPENT], "state": "low", "onCredits": True})
    (alert,) = alerts.news(pool(3), paid, {}, NOW)[0]
    assert (alert.title, alert.text) == (
        "The 5-hour allowance is used up",
        "Work goes on, served by credits.",
    )


@pytest.mark.parametrize(
    ("others", "text"),
    [
        pytest.param([account("home")], "Work goes on with home.", id="the one that is left"),
        pytest.param(
            [account("home"), account("spare", serving=True)],
            "Work goes on with spare.",
            id="the one that serves now",
        ),
        pytest.param(
            [account("home"), account("spare")],
            "Work goes to the 2 other accounts.",
            id="several could",
        ),
        pytest.param(
            [account("home", "paused")], "No other account can serve now.", id="nobody is left"
        ),
    ],
)
def test_who_takes_over_is_named(others: list[dict[str, Any]], text: str) -> None:
    before = view(account("work"), *others)
    after = view(account("work", "quota_exceeded"), *others)
    (alert,) = alerts.news(before, after, {}, NOW)[0]
    assert (alert.text, alert.kind) == (text, alerts.MOVED)


@pytest.mark.parametrize("status", ["quota_exceeded", "rate_limited"])
def test_an_account_that_is_back_is_told(status: str) -> None:
    assert titles(view(account(status=status)), view(account())) == ["work@ is back"]


def test_several_accounts_in_one_look_are_one_notification() -> None:
    names = [f"a{n}" for n in range(1, 9)]
    well = view(*(account(name) for name in names), account("spare"))
    spent = view(*(account(name, "rate_limited") for name in names), account("spare"))
    (gone,) = alerts.news(well, spent, {}, NOW)[0]
    assert gone.title == "8 accounts are blocked"
    assert gone.text == "a1, a2, a3, a4, a5 and 3 more. Work goes on with spare."
    one = account("a1", "rate_limited", windows=[SPENT], blockedUntil=iso(NOW + 2 * HOUR))
    two = account("a2", "rate_limited", blockedUntil=iso(NOW + HOUR))
    (both,) = alerts.news(view(account("a1"), account("a2")), view(one, two), {}, NOW)[0]
    assert both.title == "2 accounts are out of work"
    assert both.text == "a1 and a2. No account can serve until 16:00."
    (back,) = alerts.news(spent, well, {}, NOW)[0]
    assert back.title == "8 accounts are back"
    assert back.text == "a1, a2, a3, a4, a5 and 3 more serve again."


def test_the_alerts_of_one_look_are_one_notification() -> None:
    """Most desktops show one at a time, so that of two only the last would be seen."""
    before = view(account(), pool={"windows": [window(3)], "state": "low"})
    after = view(
        account(status="rate_limited", windows=[SPENT], blockedUntil=iso(NOW + HOUR)),
        pool={"windows": [SPENT], "state": "spent"},
    )
    (one,) = alerts.joined(alerts.news(before, after, {}, NOW)[0])
    assert one.title == "The 5-hour allowance is used up"
    assert one.text == (
        "All accounts, resets in 2h 05m. work@ is spent until 16:00. "
        "No account can serve until 16:00."
    )


@pytest.mark.parametrize(
    ("kinds", "first"),
    [
        pytest.param([alerts.BACK, alerts.LOW, alerts.SIGN_IN], alerts.SIGN_IN, id="a sign-in"),
        pytest.param([alerts.LOW, alerts.MOVED, alerts.SPENT], alerts.SPENT, id="all is used up"),
        pytest.param([alerts.BACK, alerts.SERVER], alerts.SERVER, id="the server"),
    ],
)
def test_the_gravest_of_several_gives_the_title(kinds: list[str], first: str) -> None:
    (one,) = alerts.joined([alerts.Alert(kind, "Words.", kind) for kind in kinds])
    assert one.title == first
    assert all(kind in one.title + one.text for kind in kinds)


def test_a_notification_has_the_room_that_windows_gives_it() -> None:
    (one,) = alerts.joined([alerts.Alert("t" * 100, "x" * 200, alerts.LOW)] * 3)
    assert len(one.text) == 250
    assert one.text.endswith("…")


def test_what_is_alone_is_told_as_it_is() -> None:
    alone = alerts.Alert("t", "x", alerts.BACK)
    assert (alerts.joined([alone]), alerts.joined([])) == ([alone], [])


def test_hidden_addresses_stay_hidden() -> None:
    hide = {"settings": {"trayHideAddresses": True}}
    before = view(account("me@example.com"), **hide)
    after = view(account("me@example.com", "sign_in_needed"), **hide)
    (alert,) = alerts.news(before, after, {}, NOW)[0]
    assert alert.title == "Account 1: sign in again"


@pytest.mark.parametrize(
    ("choices", "hour", "heard"),
    [
        pytest.param({}, 3, True, id="an older server sends no choices"),
        pytest.param({"alertLow": False}, 12, False, id="switched off"),
        pytest.param({"alertSpent": False}, 12, True, id="another switch"),
        pytest.param({"quietFrom": 22, "quietTo": 7}, 23, False, id="before midnight"),
        pytest.param({"quietFrom": 22, "quietTo": 7}, 6, False, id="after midnight"),
        pytest.param({"quietFrom": 22, "quietTo": 7}, 7, True, id="the night is over"),
        pytest.param({"quietFrom": 9, "quietTo": 17}, 12, False, id="in one day"),
        pytest.param({"quietFrom": 9, "quietTo": 9}, 9, True, id="no quiet hours"),
    ],
)
def test_what_is_heard(choices: dict[str, Any], hour: int, heard: bool) -> None:
    low = alerts.Alert("5-hour allowance: under 20% left", "", alerts.LOW)
    failed = alerts.Alert("That did not work", "")
    assert (low in alerts.audible([low, failed], choices, hour)) is heard
    assert failed in alerts.audible([low, failed], choices, hour), "the answer to a click"
