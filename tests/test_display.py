"""What the tray says and draws."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pytest
from PIL import Image, ImageStat

from desktop import display
from desktop.display import SEPARATOR, Bar, Mark, Row, View

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
        "remainingPercent": left,
        "windowMinutes": minutes,
        "resetAt": iso(NOW + 2 * HOUR + 5 * MINUTE),
        "stale": False,
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
        pytest.param(0.0, "0 %", id="only a true 0 is 0"),
        pytest.param(0.2, "1 %", id="something left is not 0"),
        pytest.param(62.4, "62 %", id="rounded"),
        pytest.param(99.9, "99 %", id="something used is not 100"),
        pytest.param(100.0, "100 %", id="untouched"),
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
        "███████░░░   5 h 71 %  ·  resets in 2h 05m",
        "█████░░░░░   week 48 %  ·  resets in 3d 4h",
        "Today   1.23 M tokens  ·  $3.41  ·  updated 15:00",
        "-",
        "● work@   5 h 62 % · week 41 %",
        "spare@   5 h 62 % · week 41 %   paused",
        "-",
        "Pause all",
        "Resume all",
        "-",
        "Open dashboard",
        "Refresh now",
        "Start at login",
        "-",
        "Quit",
    ]
    assert [found.text for found in rows if found.default] == ["Open dashboard"]


@pytest.mark.parametrize(
    ("more", "tail"),
    [
        pytest.param({"pace": None}, "resets in 2h 05m", id="too early to tell"),
        pytest.param(
            {"pace": {"state": "in reserve", "runsOutAt": None}}, "in reserve", id="reserve"
        ),
        pytest.param(
            {"pace": {"state": "in deficit", "runsOutAt": iso(NOW + 80 * MINUTE)}},
            "runs out in 1h 20m",
            id="the time it runs out beats the word",
        ),
        pytest.param(
            {"pace": {"state": "in deficit", "runsOutAt": iso(NOW + 9 * HOUR)}},
            "in deficit",
            id="after the reset it does not run out",
        ),
        pytest.param(
            {"stale": True, "pace": {"state": "on pace", "runsOutAt": None}},
            "not fresh",
            id="old numbers make no forecast",
        ),
        pytest.param({"resetAt": iso(NOW - 1)}, "71 %", id="a reset that is past is not shown"),
    ],
)
def test_a_window_says_what_its_pace_means(more: dict[str, Any], tail: str) -> None:
    pool = {"windows": [window(71, **more)], "state": "ok"}
    assert display.menu(view(pool=pool), NOW)[0].text.endswith(tail)


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
    rows = display.pool_rows(snapshot(pool={"windows": windows, "state": "ok"}), NOW, UTC)
    assert [re.sub(r"^[█░]+ +| \d+ %.*| not.*", "", text) for text in rows] == names


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


def test_an_account_without_figures_shows_a_dash() -> None:
    assert display.account_line(account(windows=[]), NOW, UTC) == "work@   –"


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
    children = row(rows, "work@").children
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


def test_trouble_comes_first_and_old_figures_stay() -> None:
    rows = display.menu(View(snapshot(), "The server is starting", zone=UTC), NOW)
    assert rows[0] == Row("The server is starting", enabled=False)
    assert "71 %" in rows[1].text
    assert not row(rows, "Pause all").enabled


def test_a_spent_restart_budget_offers_a_start() -> None:
    rows = display.menu(View(None, "It stopped", can_start=True), NOW)
    assert rows[1] == Row("Start the server again", ("restart",))


def test_notices_are_shown() -> None:
    rows = display.menu(view(notices=["usage.db was damaged"]), NOW)
    assert rows[0].text == "⚠ usage.db was damaged"


def test_no_account_says_what_to_do() -> None:
    shot = {**snapshot(), "accounts": [], "pool": {"windows": [], "state": "empty"}}
    assert display.menu(View(shot), NOW)[0].action == ("open", "/accounts")


# --- Tooltip ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        pytest.param(view(), "Brimline  5 h 71 % (2h 05m) · week 48 % (3d 4h)", id="well"),
        pytest.param(
            view(account("a@"), account("b@", windows=[window(3, level="critical")])),
            "Brimline  5 h 71 % (2h 05m) · week 48 % (3d 4h) · b@ critical",
            id="the worst account is named",
        ),
        pytest.param(
            view(state="paused"),
            "Brimline  5 h 71 % (2h 05m) · week 48 % (3d 4h) · all paused",
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
    assert display.tooltip(crowd, NOW).endswith("week 48 % (3d 4h)")


# --- Alerts -------------------------------------------------------------------------------------


def pool(five: float | None, weekly: float | None = 48) -> View:
    return view(pool={"windows": [window(five), week(weekly)], "state": "ok"})


@pytest.mark.parametrize(
    ("before", "after", "titles"),
    [
        pytest.param(View(), pool(15), [], id="silent at the start"),
        pytest.param(pool(60), pool(51), [], id="nothing crossed"),
        pytest.param(pool(51), pool(50), ["5 h: under 50 % left"], id="half is gone"),
        pytest.param(pool(50), pool(49), [], id="once per crossing"),
        pytest.param(pool(70), pool(12), ["5 h: under 20 % left"], id="only the lower of two"),
        pytest.param(pool(3), pool(0), ["The 5 h allowance is used up"], id="used up"),
        pytest.param(pool(0), pool(100), ["The 5 h allowance is back"], id="back"),
        pytest.param(pool(None), pool(10), [], id="from unknown there is no crossing"),
        pytest.param(pool(40, 21), pool(40, 20), ["week: under 20 % left"], id="weekly"),
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
        pytest.param(view(account()), view(account(status="paused")), [], id="the user knows"),
        pytest.param(
            View(trouble="starting"),
            View(trouble="It stopped 4 times", can_start=True),
            ["Brimline's server stopped"],
            id="the server is given up",
        ),
    ],
)
def test_alerts(before: View, after: View, titles: list[str]) -> None:
    assert [alert.title for alert in display.alerts(before, after, NOW)] == titles


# --- Icon ---------------------------------------------------------------------------------------

SIZES = (16, 22, 24, 32, 64)


def tone(picture: Image.Image) -> Image.Image:
    """The picture as someone without colour vision sees it, on a light panel."""
    ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, picture).convert("L")


def full_row(picture: Image.Image) -> list[bool]:
    """Which pixels of a row through the upper bar's middle are filled with a colour."""
    size = picture.size[0]
    line = [picture.getpixel((x, round(size * 4.5 / 16))) for x in range(size)]
    return [isinstance(p, tuple) and p[3] > 200 and max(p[:3]) - min(p[:3]) > 40 for p in line]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("left", "some", "all_of_it"),
    [
        pytest.param(0, False, False, id="empty"),
        pytest.param(0.4, True, False, id="something left never looks empty"),
        pytest.param(13, True, False, id="13"),
        pytest.param(99.6, True, False, id="something used never looks full"),
        pytest.param(100, True, True, id="full"),
    ],
)
def test_a_bar_never_lies(size: int, left: float, some: bool, all_of_it: bool) -> None:
    filled = full_row(display.draw(Mark((Bar(left), Bar(50)), "ok"), size))
    edge = round(size / 16 + 0.01)
    inner = filled[edge : size - edge]
    assert any(inner) is some
    assert all(inner) is all_of_it


def test_the_fill_drains_to_the_left() -> None:
    filled = full_row(display.draw(Mark((Bar(50), Bar(50)), "ok"), 64))
    assert filled[10]
    assert not filled[50]


@pytest.mark.parametrize("size", SIZES)
def test_states_differ_without_colour(size: int) -> None:
    bars = (Bar(71, 56), Bar(48, 60))
    unknown = (Bar(None), Bar(None))
    pictures = {
        state: tone(
            display.draw(Mark(unknown if state in ("unknown", "empty") else bars, state), size)
        )
        for state in display.STATES
    }
    for one, other in combinations(display.STATES, 2):
        difference = [
            abs(a - b)
            for a, b in zip(pictures[one].tobytes(), pictures[other].tobytes(), strict=True)
        ]
        # At least a twentieth of the picture is clearly lighter or darker.
        assert sum(d > 30 for d in difference) >= size * size / 20, (one, other)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ground", [(255, 255, 255), (19, 21, 23)])
def test_it_reads_on_light_and_dark(size: int, ground: tuple[int, int, int]) -> None:
    for state in display.STATES:
        picture = display.draw(Mark((Bar(71, 56), Bar(48, 60)), state), size)
        alone = Image.new("RGB", (size, size), ground)
        shown = alone.copy()
        shown.paste(picture, mask=picture)
        low, high = shown.convert("L").getextrema()
        assert isinstance(low, int)
        assert isinstance(high, int)
        assert high - low > 60, state
        assert ImageStat.Stat(picture.getchannel("A")).mean[0] > 25, state


@pytest.mark.parametrize("name", ["ok", "low", "critical", "quiet"])
@pytest.mark.parametrize("ground", [(255, 255, 255), (19, 21, 23)])
def test_contrast_is_at_least_three(name: str, ground: tuple[int, int, int]) -> None:
    def luminance(colour: tuple[int, ...]) -> float:
        linear = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
            for c in (value / 255 for value in colour)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    one, other = sorted((luminance(display._COLOURS[name]), luminance(ground)))
    assert (other + 0.05) / (one + 0.05) >= 3


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
