"""What the tray says and draws."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from desktop import display
from desktop.display import SEPARATOR, Row, View
from desktop.icon import Bar, Mark

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = int(datetime(2026, 3, 4, 15, 0, tzinfo=UTC).timestamp() * 1000)  # a Wednesday


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")


def window(
    left: float | None, name: str = "5 h", minutes: int = 300, **more: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "key": {300: "primary", 10080: "secondary"}.get(minutes, "monthly"),
        "name": name,
        "longName": {"5 h": "5-hour", "week": "weekly", "month": "monthly"}.get(name, name),
        "remainingPercent": left,
        "windowMinutes": minutes,
        "resetAt": iso(NOW + 2 * HOUR + 5 * MINUTE),
        "stale": False,
        "observedAt": iso(NOW - 3 * MINUTE),
        "level": "ok",
        "pace": None,
    }
    return {**found, **more}


def week(left: float | None, **more: Any) -> dict[str, Any]:
    return window(left, "week", 10080, **{"resetAt": iso(NOW + 3 * DAY + 4 * HOUR), **more})


def account(name: str = "work@", status: str = "active", **more: Any) -> dict[str, Any]:
    found = {
        "id": f"id-{name}",
        "name": name,
        "status": status,
        "statusReason": None,
        "windows": [window(62), week(41)],
        "serving": False,
        "pausedUntil": None,
        "blockedUntil": None,
    }
    return {**found, **more}


def snapshot(*accounts: dict[str, Any], state: str = "ok", **more: Any) -> dict[str, Any]:
    found = {
        "pool": {"windows": [window(71), week(48)], "state": state},
        "accounts": list(accounts) or [account()],
        "today": {"calls": 57, "tokens": 1_234_567, "costUsd": 3.41},
        "updatedAt": iso(NOW),
        "show": 0,
        "notices": [],
    }
    return {**found, **more}


def view(*accounts: dict[str, Any], **more: Any) -> View:
    return View(snapshot(*accounts, **more), zone=UTC)


def texts(rows: tuple[Row, ...]) -> list[str]:
    return [row.text for row in rows]


def row(rows: tuple[Row, ...], start: str) -> Row:
    return next(found for found in rows if found.text.startswith(start))


# --- Words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        pytest.param(1, "1m", id="never shorter than a minute"),
        pytest.param(42 * MINUTE, "42m", id="minutes alone"),
        pytest.param(41 * MINUTE + 1, "42m", id="a minute begun counts"),
        pytest.param(3 * HOUR + 7 * MINUTE, "3h 07m", id="minutes keep two digits"),
        pytest.param(HOUR, "1h 00m", id="a full hour"),
        pytest.param(DAY - 1, "1d 0h", id="rounding carries into the day"),
        pytest.param(6 * DAY + 2 * HOUR + 59 * MINUTE, "6d 2h", id="days drop the minutes"),
    ],
)
def test_countdown(milliseconds: int, said: str) -> None:
    assert display.countdown(milliseconds) == said


@pytest.mark.parametrize(
    ("left", "said"),
    [
        pytest.param(None, "–", id="unknown is neither 0 nor 100"),
        pytest.param(0.0, "0%", id="only a true 0 is 0"),
        pytest.param(0.2, "1%", id="something left is not 0"),
        pytest.param(62.4, "62%", id="rounded"),
        pytest.param(99.9, "99%", id="something used is not 100"),
        pytest.param(100.0, "100%", id="untouched"),
    ],
)
def test_percent(left: float | None, said: str) -> None:
    assert display.percent(left) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        pytest.param(None, "–", id="unknown"),
        pytest.param(0, "0", id="nothing yet is known to be 0"),
        pytest.param(950, "950", id="small numbers whole"),
        pytest.param(999_999, "1 M", id="never 1e+03 k"),
        pytest.param(1_234_567, "1.23 M", id="three digits"),
        pytest.param(48_100_000_000, "48.1 G", id="a heavy year"),
    ],
)
def test_tokens(count: int | None, said: str) -> None:
    assert display.tokens(count) == said


@pytest.mark.parametrize(
    ("dollars", "said"),
    [
        pytest.param(None, "–", id="no price known"),
        pytest.param(0.0, "$0.00", id="nothing spent"),
        pytest.param(0.004, "under $0.01", id="not free, only cheap"),
        pytest.param(1234.5, "$1,234.50", id="thousands"),
    ],
)
def test_money(dollars: float | None, said: str) -> None:
    assert display.money(dollars) == said


@pytest.mark.parametrize(
    ("text", "at"),
    [
        pytest.param(iso(NOW), NOW, id="the API's own"),
        pytest.param(None, None, id="absent"),
        pytest.param("soon", None, id="nonsense is unknown, not an error"),
        pytest.param(12, None, id="not even text"),
    ],
)
def test_moment(text: Any, at: int | None) -> None:
    assert display.moment(text) == at


@pytest.mark.parametrize(
    ("at", "said"),
    [
        pytest.param(NOW + HOUR, "16:00", id="today needs no day"),
        pytest.param(NOW + 12 * HOUR, "Thu 03:00", id="tomorrow"),
        pytest.param(NOW + 20 * DAY, "24 Mar 15:00", id="a weekday would be the wrong week's"),
    ],
)
def test_clock(at: int, said: str) -> None:
    assert display.clock(at, NOW, UTC) == said


# --- Menu ---------------------------------------------------------------------------------------


def test_the_whole_menu_in_order() -> None:
    rows = display.menu(view(account(serving=True), account("spare@", "paused")), NOW)
    assert texts(rows) == [
        "███████░░░   5 h 71%  ·  resets in 2h 05m",
        "█████░░░░░   week 48%  ·  resets in 3d 4h",
        "Today   1.23 M tokens  ·  $3.41  ·  updated 3m ago",
        "-",
        "● work@   5 h 62% (2h 05m) · week 41% (3d 4h)",
        "spare@   5 h 62% (2h 05m) · week 41% (3d 4h)   paused",
        "-",
        "Pause all",
        "Resume all",
        "-",
        "Open dashboard",
        "Refresh now",
        "-",
        "Icon",
        "Alerts",
        "Hide addresses",
        "Start at login",
        "-",
        "Open log folder",
        "Copy diagnostics",
        "-",
        "Quit",
    ]
    assert [found.text for found in rows if found.default] == ["Open dashboard"]


def test_what_people_look_for_is_not_grey() -> None:
    """A desktop greys what cannot be clicked; the figures lead to their page."""
    rows = display.menu(view(account()), NOW)
    assert [(row.action, row.enabled) for row in rows[:3]] == [
        (("open", "/"), True),
        (("open", "/"), True),
        (("open", "/calls"), True),
    ]


@pytest.mark.parametrize(
    ("login", "enabled", "checked"),
    [
        pytest.param(True, True, True, id="on"),
        pytest.param(False, True, False, id="off"),
        pytest.param(None, False, False, id="the demo does not start at the user's login"),
    ],
)
def test_start_at_login(login: bool | None, enabled: bool, checked: bool) -> None:
    rows = display.menu(replace(view(account()), login=login), NOW)
    found = next(row for row in rows if row.text == "Start at login")
    assert (found.enabled, found.checked) == (enabled, checked)


@pytest.mark.parametrize(
    ("unheard", "first"),
    [
        pytest.param(None, ["50 and 20% left"], id="alerts can be shown"),
        pytest.param(
            "nothing shows notifications here; install dunst",
            ["Nothing shows notifications here", "Install dunst", "-", "50 and 20% left"],
            id="what is missing stands above the switches, with its remedy",
        ),
    ],
)
def test_alerts_that_nobody_would_see_say_so(unheard: str | None, first: list[str]) -> None:
    rows = display.menu(replace(view(account()), unheard=unheard), NOW)
    alerts = next(row for row in rows if row.text == "Alerts")
    assert texts(alerts.children)[: len(first)] == first


@pytest.mark.parametrize(
    ("more", "tail"),
    [
        pytest.param({"pace": None}, "resets in 2h 05m", id="too early to tell"),
        pytest.param(
            {"pace": {"state": "in reserve", "runsOutAt": None}}, "lasts until reset", id="reserve"
        ),
        pytest.param(
            {"pace": {"state": "in deficit", "runsOutAt": iso(NOW + 80 * MINUTE)}},
            "runs out in 1h 20m",
            id="the time it runs out beats the word",
        ),
        pytest.param(
            {"pace": {"state": "in deficit", "runsOutAt": iso(NOW + 9 * HOUR)}},
            "lasts until reset",
            id="after the reset it does not run out",
        ),
        pytest.param(
            {"stale": True, "pace": {"state": "on pace", "runsOutAt": None}},
            "not fresh",
            id="old numbers make no forecast",
        ),
        pytest.param({"resetAt": iso(NOW - 1)}, "71%", id="a reset that is past is not shown"),
        pytest.param(
            {"remainingPercent": 0.0, "pace": {"state": "in deficit", "runsOutAt": None}},
            "used up",
            id="what is used up does not last",
        ),
    ],
)
def test_a_window_says_what_its_pace_means(more: dict[str, Any], tail: str) -> None:
    pool = {"windows": [window(71, **more)], "state": "ok"}
    assert display.menu(view(pool=pool), NOW)[0].text.endswith(tail)


def test_an_account_says_what_its_pace_means() -> None:
    deficit = {"state": "in deficit", "runsOutAt": iso(NOW + 80 * MINUTE)}
    windows = [window(62, pace=deficit), week(41, stale=True)]
    row = next(row for row in display.menu(view(account(windows=windows)), NOW) if row.children)
    assert texts(row.children)[:2] == [
        "5 h: 62% left, resets in 2h 05m, runs out in 1h 20m",
        "week: 41% left, resets in 3d 4h, not fresh",
    ]


@pytest.mark.parametrize(
    ("windows", "names"),
    [
        pytest.param([week(48)], ["week"], id="no 5 h window: the weekly one is not renamed"),
        pytest.param([week(48), window(71)], ["5 h", "week"], id="the shorter one comes first"),
        pytest.param([window(9, "month", 43200)], ["month"], id="a monthly plan"),
        pytest.param([], ["Allowance:"], id="nothing known is said so"),
    ],
)
def test_windows_are_named_by_length(windows: list[dict[str, Any]], names: list[str]) -> None:
    rows = display.pool_rows(snapshot(pool={"windows": windows, "state": "ok"}), NOW)
    assert [re.sub(r"^[█░]+ +| \d+%.*| not.*", "", text) for text in rows] == names


@pytest.mark.parametrize(
    ("more", "state"),
    [
        pytest.param({}, "", id="well"),
        pytest.param({"status": "paused"}, "paused", id="until resumed"),
        pytest.param(
            {"status": "paused", "pausedUntil": iso(NOW + HOUR)},
            "paused until 16:00",
            id="for an hour",
        ),
        pytest.param(
            {"status": "quota_exceeded", "blockedUntil": iso(NOW + 3 * DAY)},
            "spent until Sat 15:00",
            id="the week is used up",
        ),
        pytest.param({"status": "rate_limited"}, "blocked", id="the provider refuses"),
        pytest.param({"status": "sign_in_needed"}, "sign in again", id="sign-in ended"),
        pytest.param(
            {"windows": [window(5, level="critical"), week(15, level="low")]},
            "critical",
            id="the worst of its windows",
        ),
    ],
)
def test_account_state(more: dict[str, Any], state: str) -> None:
    assert display.account_state(account(**more), NOW, UTC) == state


RUNS_OUT = {"state": "in deficit", "runsOutAt": iso(NOW + 80 * MINUTE)}
HELD = account(
    status="rate_limited",
    windows=[window(40, pace=RUNS_OUT), week(70)],
    blockedUntil=iso(NOW + HOUR),
    serving=True,
)


def test_a_blocked_account_is_marked_and_says_until_when() -> None:
    """Not as one that serves, and without a pace: nothing is spent now."""
    shown = view(HELD, state="spent")
    line = display.account_line(HELD, shown, NOW)
    assert line == "✕ work@   5 h 40% (2h 05m) · week 70% (3d 4h)   blocked until 16:00"
    children = next(each for each in display.menu(shown, NOW) if "work@" in each.text).children
    assert children[0].text == "5 h: 40% left, resets in 2h 05m"


@pytest.mark.parametrize(
    ("accounts", "left", "tail"),
    [
        pytest.param([HELD], 40, "blocked until 16:00", id="the provider refuses it"),
        pytest.param(
            [{**HELD, "blockedUntil": iso(NOW + DAY)}, {**HELD, "id": "b"}],
            40,
            "blocked until 16:00",
            id="the first that comes back counts",
        ),
        pytest.param([{**HELD, "blockedUntil": None}], 40, "blocked", id="nobody knows"),
        pytest.param([HELD], 0, "used up", id="a used-up window says that itself"),
    ],
)
def test_a_pool_that_is_blocked_does_not_run_out(
    accounts: list[dict[str, Any]], left: float, tail: str
) -> None:
    pool = {"windows": [window(left, pace=RUNS_OUT)], "state": "spent"}
    shown = view(*accounts, pool=pool)
    assert display.pool_rows(shown.snapshot or {}, NOW, UTC)[0].endswith(f"  ·  {tail}")
    if left:
        assert tail in display.tooltip(shown, NOW)


def test_an_account_without_figures_shows_a_dash() -> None:
    assert display.account_line(account(windows=[]), view(), NOW) == "work@   –"


@pytest.mark.parametrize(
    ("status", "pause", "resume"),
    [
        pytest.param("active", True, False, id="active"),
        pytest.param("paused", False, True, id="paused"),
        pytest.param("quota_exceeded", True, False, id="a spent one may be kept out for longer"),
        pytest.param("sign_in_needed", False, False, id="out of rotation anyway"),
    ],
)
def test_what_can_be_clicked(status: str, pause: bool, resume: bool) -> None:
    rows = display.menu(view(account(status=status)), NOW)
    children = next(each for each in rows if "work@" in each.text).children
    by_text = {child.text: child for child in children}
    assert by_text["Pause"].enabled is pause
    assert by_text["Pause for 1 hour"].action == ("pause", "id-work@", "1h")
    assert by_text["Pause until reset"].enabled is pause
    assert by_text["Resume"].enabled is resume
    assert row(rows, "Pause all").enabled is pause
    assert row(rows, "Resume all").enabled is resume


def test_the_shape_stays_whatever_an_account_does() -> None:
    """A menu of the same shape is edited while it is open; see livemenu."""

    def shape(rows: tuple[Row, ...]) -> Any:
        return [(r == SEPARATOR, r.checked is None, shape(r.children)) for r in rows]

    active = shape(display.menu(view(account()), NOW))
    assert shape(display.menu(view(account(status="paused")), NOW)) == active
    assert shape(display.menu(view(account(serving=True), state="low"), NOW + HOUR)) == active


def test_trouble_moves_no_row_and_old_figures_stay() -> None:
    well = display.menu(view(account()), NOW)
    shot = snapshot(account())
    rows = display.menu(View(shot, "The server is starting", zone=UTC), NOW)
    assert rows[2] == Row("⚠ The server is starting", enabled=False)
    assert "71%" in rows[0].text
    assert not row(rows, "Pause all").enabled
    assert texts(rows)[3:] == texts(well)[3:]


def test_trouble_before_anything_is_known_comes_first() -> None:
    rows = display.menu(View(None, "The server is starting"), NOW)
    assert rows[0] == Row("⚠ The server is starting", enabled=False)


@pytest.mark.parametrize(
    ("shot", "place"),
    [pytest.param(None, 0, id="nothing known"), pytest.param(snapshot(), 2, id="old figures")],
)
def test_a_spent_restart_budget_offers_a_start(shot: dict[str, Any] | None, place: int) -> None:
    rows = display.menu(View(shot, "It stopped", can_start=True), NOW)
    assert rows[place] == Row("⚠ It stopped: start it again", ("restart",))


def test_notices_are_shown() -> None:
    rows = display.menu(view(notices=["usage.db was damaged"]), NOW)
    assert rows[0].text == "⚠ usage.db was damaged"


def test_no_account_says_what_to_do() -> None:
    shot = {**snapshot(), "accounts": [], "pool": {"windows": [], "state": "empty"}}
    assert display.menu(View(shot), NOW)[0].action == ("open", "/accounts")


@pytest.mark.parametrize(
    ("states", "said"),
    [
        pytest.param(["paused", "paused"], "All accounts are paused: resume one", id="all paused"),
        pytest.param(["sign_in_needed"], "Every account needs a new sign-in", id="signed out"),
        pytest.param(
            ["paused", "deactivated"],
            "No account can serve: each is paused or needs a sign-in",
            id="some of each",
        ),
        pytest.param(["paused", "active"], "Allowance: not known yet", id="one is not asked yet"),
    ],
)
def test_without_windows_the_first_row_says_why(states: list[str], said: str) -> None:
    accounts = [account(f"{n}@", state, windows=[]) for n, state in enumerate(states)]
    shot = snapshot(*accounts, pool={"windows": [], "state": "unknown"})
    assert display.pool_rows(shot, NOW) == [said]


# --- Tooltip ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        pytest.param(view(), "Brimline  5 h 71% (2h 05m) · week 48% (3d 4h)", id="well"),
        pytest.param(
            view(account("a@"), account("b@", windows=[window(3, level="critical")])),
            "Brimline  5 h 71% (2h 05m) · week 48% (3d 4h) · b@ critical",
            id="the worst account is named",
        ),
        pytest.param(
            view(state="paused"),
            "Brimline  5 h 71% (2h 05m) · week 48% (3d 4h) · paused",
            id="paused",
        ),
        pytest.param(
            View(None, "The server is starting"), "Brimline: The server is starting", id="trouble"
        ),
        pytest.param(View(), "Brimline: no account yet", id="nothing known"),
    ],
)
def test_tooltip(shown: View, line: str) -> None:
    assert display.tooltip(shown, NOW) == line


def test_the_tooltip_fits_windows() -> None:
    long = View(None, "x" * 300)
    assert len(display.tooltip(long, NOW)) == 127
    crowd = view(account("n" * 120, windows=[window(3, level="critical")]))
    assert display.tooltip(crowd, NOW).endswith("week 48% (3d 4h)")


# --- What the icon is of ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        pytest.param(view(), Mark((Bar(71), Bar(48)), "ok"), id="the pool's two windows"),
        pytest.param(
            view(pool={"windows": [week(48)], "state": "low"}),
            Mark((Bar(48),), "low"),
            id="one window is one bar",
        ),
        pytest.param(
            View(snapshot(), "gone"), Mark((Bar(71), Bar(48)), "down"), id="the server is down"
        ),
        pytest.param(View(), Mark(state="unknown"), id="nothing is known"),
        pytest.param(
            view(state="a new state"), Mark((Bar(71), Bar(48)), "unknown"), id="a newer server's"
        ),
        pytest.param(
            view(pool={"windows": [window(70.6, pace={"expectedRemaining": 41.0})], "state": "ok"}),
            Mark((Bar(71, 40),), "ok"),
            id="rounded, so that it is not redrawn for nothing",
        ),
    ],
)
def test_mark(shown: View, expected: Mark) -> None:
    assert display.mark(shown) == expected


WORK = account("work", windows=[window(90), week(80)], serving=True)
HOME = account("home", windows=[window(30), week(9, level="critical")])


@pytest.mark.parametrize(
    ("follows", "bars", "state"),
    [
        pytest.param("pool", (71, 48), "ok", id="all accounts together"),
        pytest.param("serving", (90, 80), "ok", id="the one that serves"),
        pytest.param("worst", (30, 9), "critical", id="the one that ends first"),
        pytest.param("id-home", (30, 9), "critical", id="one that the user chose"),
        pytest.param("id-gone", (71, 48), "ok", id="a removed account gives way to the pool"),
    ],
)
def test_whom_the_icon_follows(follows: str, bars: tuple[int, int], state: str) -> None:
    found = display.mark(view(WORK, HOME, settings={"trayFollows": follows}))
    assert tuple(bar.fill for bar in found.bars) == bars
    assert found.state == state


def test_the_tooltip_names_whom_the_icon_follows() -> None:
    shown = view(WORK, HOME, settings={"trayFollows": "serving"})
    assert display.tooltip(shown, NOW).startswith("Brimline  work: 5 h 90%")


@pytest.mark.parametrize(
    ("status", "windows", "state"),
    [
        pytest.param("paused", [window(50)], "paused", id="paused"),
        pytest.param("quota_exceeded", [window(50)], "spent", id="refused by the provider"),
        pytest.param("sign_in_needed", [window(50)], "sign_in_needed", id="signed out"),
        pytest.param("active", [], "unknown", id="nothing is known"),
        pytest.param("active", [window(50, stale=True)], "stale", id="not fresh"),
        pytest.param(
            "active",
            [window(50), window(2, "Spark 5 h", key="codex_spark:primary", level="critical")],
            "ok",
            id="a limit on one model is not the account's",
        ),
    ],
)
def test_the_state_of_one_account(status: str, windows: list[dict[str, Any]], state: str) -> None:
    one = account("one", status, windows=windows)
    assert display.mark(view(one, settings={"trayFollows": "id-one"})).state == state


def test_percent_used_turns_every_figure() -> None:
    paced = window(71, pace={"expectedRemaining": 60.0, "state": "on pace", "runsOutAt": None})
    shown = view(
        pool={"windows": [paced, week(48)], "state": "ok"}, settings={"trayPercent": "used"}
    )
    assert display.mark(shown).bars == (Bar(29, 40), Bar(52))
    rows = display.menu(shown, NOW)
    assert rows[0].text.startswith("███░░░░░░░   5 h 29% used")
    assert row(rows, "work@").text == "work@   5 h 38% used (2h 05m) · week 59% used (3d 4h)"
    assert row(rows, "work@").children[0].text == "5 h: 38% used, resets in 2h 05m"
    assert "5 h 29% used (2h 05m) · week 52% used" in display.tooltip(shown, NOW)


@pytest.mark.parametrize(
    ("windows", "percent", "digits"),
    [
        pytest.param([window(71), week(48)], "left", "48", id="the one that ends first"),
        pytest.param([window(71), week(48)], "used", "52", id="as used"),
        pytest.param([window(100)], "left", "100", id="three digits"),
        pytest.param([window(0.3)], "left", "1", id="something left is not 0"),
        pytest.param([window(None)], "left", "–", id="unknown is not 0"),
    ],
)
def test_the_number_in_the_icon(windows: list[Any], percent: str, digits: str) -> None:
    chosen = {"trayStyle": "number", "trayPercent": percent}
    shown = view(pool={"windows": windows, "state": "ok"}, settings=chosen)
    assert display.mark(shown).digits == digits


def test_choices_are_marked_and_send_what_they_say() -> None:
    rows = display.menu(view(WORK, HOME, settings={"trayFollows": "id-home"}), NOW)
    icon = row(rows, "Icon").children
    assert [r.text for r in icon if r.checked] == ["home", "Bars", "Percent left"]
    assert row(icon, "Number").action == ("set", '{"trayStyle": "number"}')
    bells = row(rows, "Alerts").children
    assert row(bells, "Used up").action == ("set", '{"alertSpent": false}')
    assert [r.text for r in bells if r.radio and r.checked] == ["No quiet hours"]


def test_quiet_hours_of_ones_own_are_listed() -> None:
    rows = display.menu(view(settings={"quietFrom": 1, "quietTo": 5}), NOW)
    checked = [r.text for r in row(rows, "Alerts").children if r.radio and r.checked]
    assert checked == ["Quiet from 1:00 to 5:00"]


def test_hidden_addresses_are_nowhere() -> None:
    mail = account("me@example.com", windows=[window(3, level="critical")])
    shown = view(mail, account("spare"), settings={"trayHideAddresses": True})
    rows = display.menu(shown, NOW)
    said = [*texts(rows), *texts(row(rows, "Icon").children), display.tooltip(shown, NOW)]
    assert not [text for text in said if "example" in text]
    assert row(rows, "Account 1").children
    assert row(rows, "spare").children, "a name of one's own is no address"


@pytest.mark.parametrize(
    ("accounts", "verbs"),
    [
        pytest.param(
            [account("a", "paused"), account("b"), account("c", "quota_exceeded")],
            [("resume", "id-a"), ("pause", "id-b"), ("pause", "id-c")],
            id="the others rest, this one works",
        ),
        pytest.param(
            [account("a"), account("b", "paused"), account("c", "sign_in_needed")],
            [],
            id="it already is",
        ),
    ],
)
def test_only_this_one(accounts: list[dict[str, Any]], verbs: list[tuple[str, str]]) -> None:
    assert display.only(accounts, "id-a") == verbs
    rows = display.menu(view(*accounts), NOW)
    assert row(row(rows, "a ").children, "Only this one").enabled is bool(verbs)


def test_an_account_on_credits_is_not_called_spent() -> None:
    spent = window(0, level="spent", pace={"state": "in deficit"})
    paid = account(windows=[spent], onCredits=True)
    of = view(paid, pool={"windows": [spent], "state": "low", "onCredits": True})
    assert display.account_line(paid, of, NOW).endswith("served by credits")
    assert display.pool_rows(of.snapshot or {}, NOW)[0].endswith("used up, served by credits")
    assert display.tooltip(of, NOW).endswith("5 h 0% (2h 05m) · served by credits")
    pinned = view(paid, settings={"trayFollows": paid["id"]})
    assert display.followed(pinned).state == "low"


def test_a_used_up_window_is_called_so() -> None:
    spent = window(0, level="spent", pace={"state": "in deficit"})
    (row,) = display.pool_rows(
        view(pool={"windows": [spent], "state": "spent"}).snapshot or {}, NOW
    )
    assert row.endswith("used up")


@pytest.mark.parametrize(
    ("credits", "said"),
    [
        pytest.param({"has": True, "balance": 12.5}, ["Credits: 12.5"], id="not rounded"),
        pytest.param({"unlimited": True}, ["Credits: unlimited"], id="unlimited"),
        pytest.param({"has": True, "balance": None}, ["Credits: there are some"], id="how many?"),
        pytest.param({"has": False, "balance": 0.0}, [], id="none"),
    ],
)
def test_credits_are_said_as_they_are(credits: dict[str, Any], said: list[str]) -> None:
    facts = texts(row(display.menu(view(account(credits=credits)), NOW), "work@").children)
    assert [fact for fact in facts if fact.startswith("Credits")] == said


def test_credits_and_resets_are_told() -> None:
    rich = account(credits={"has": True, "unlimited": False, "balance": 1250.0})
    facts = texts(row(display.menu(view(rich), NOW), "work@").children)
    assert "Credits: 1,250" in facts
    banked = account(availableResetCredits=2)
    assert "Resets to use: 2" in texts(row(display.menu(view(banked), NOW), "work@").children)


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        pytest.param(12_000, "just now", id="a menu that counts seconds is restless"),
        pytest.param(3 * MINUTE, "3m ago", id="minutes"),
        pytest.param(5 * HOUR, "5h ago", id="hours"),
        pytest.param(3 * DAY, "3d ago", id="days"),
    ],
)
def test_ago(milliseconds: int, said: str) -> None:
    assert display.ago(milliseconds) == said
