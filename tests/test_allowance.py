"""The rules about windows, as tables."""

from __future__ import annotations

import math
from typing import Any

import pytest

from server.accounts import allowance
from server.accounts.allowance import (
    DAY,
    HOUR,
    MINUTE,
    Credits,
    Share,
    Standing,
    Usage,
    Window,
)

NOW = 1_800_000_000_000


def window(
    used: float = 0.0,
    key: str = "primary",
    minutes: int | None = 300,
    left: int | None = 150 * MINUTE,
    at: int = NOW,
) -> Window:
    return Window(key, used, minutes, None if left is None else NOW + left, at)


def week(used: float = 0.0, left: int | None = 4 * DAY, at: int = NOW) -> Window:
    return window(used, "secondary", 10_080, left, at)


@pytest.mark.parametrize(
    ("minutes", "slot", "key", "name"),
    [
        pytest.param(300, "primary", "primary", "5 h", id="five hours"),
        pytest.param(300, "secondary", "primary", "5 h", id="the slot does not matter"),
        pytest.param(10_080, "primary", "secondary", "week", id="a free plan's only window"),
        pytest.param(43_200, "primary", "monthly", "month", id="a monthly plan"),
        pytest.param(44_640, "primary", "monthly", "month", id="a month of 31 days"),
        pytest.param(40_320, "primary", "monthly", "month", id="February"),
        pytest.param(4_320, "primary", "4320m", "3 d", id="a new length is named by itself"),
        pytest.param(180, "secondary", "180m", "3 h", id="a few hours"),
        pytest.param(45, "primary", "45m", "45 min", id="minutes"),
        pytest.param(None, "primary", "primary", "5 h", id="unknown length: the slot"),
        pytest.param(None, "secondary", "secondary", "week", id="unknown length: other slot"),
        pytest.param(0, "secondary", "secondary", "week", id="zero is no length"),
        pytest.param(None, "tertiary", "primary", "5 h", id="a slot nobody knows"),
    ],
)
def test_a_window_is_named_by_its_length(
    minutes: int | None, slot: str, key: str, name: str
) -> None:
    assert allowance.classify(minutes, slot) == key
    assert allowance.name(key, minutes) == name


def test_a_named_limit_shows_its_product() -> None:
    assert allowance.name("codex_spark:primary", 300) == "Spark · 5 h"
    assert allowance.name("new_thing:secondary", 10_080) == "New thing · week"


@pytest.mark.parametrize(
    ("key", "minutes", "name"),
    [
        pytest.param("primary", 300, "5-hour", id="five hours"),
        pytest.param("secondary", 10_080, "weekly", id="a week"),
        pytest.param("monthly", 43_200, "monthly", id="a month"),
        pytest.param("4320m", 4320, "3-day", id="another length"),
        pytest.param("45m", 45, "45-minute", id="a length of no whole hours"),
        pytest.param("codex_spark:primary", 300, "Spark 5-hour", id="a model's own"),
    ],
)
def test_sentences_have_the_long_name_of_a_window(key: str, minutes: int, name: str) -> None:
    assert allowance.name(key, minutes, long=True) == name


@pytest.mark.parametrize(
    ("seen", "left", "level"),
    [
        pytest.param(window(29), 71.0, "ok", id="plain"),
        pytest.param(window(80), 20.0, "low", id="20 % is low"),
        pytest.param(window(79.9), pytest.approx(20.1), "ok", id="just above low"),
        pytest.param(window(90), 10.0, "critical", id="10 % is critical"),
        pytest.param(window(100), 0.0, "spent", id="spent"),
        pytest.param(window(104), 0.0, "spent", id="more than all is not negative"),
        pytest.param(window(100, left=0), 100.0, "ok", id="it has just reset"),
        pytest.param(window(100, left=None), 0.0, "spent", id="no reset is known"),
    ],
)
def test_what_is_left(seen: Window, left: float, level: str) -> None:
    assert allowance.remaining(seen, NOW) == left
    assert allowance.level(allowance.remaining(seen, NOW)) == level


def test_an_unknown_level_is_not_a_number() -> None:
    assert allowance.level(None) == "unknown"


@pytest.mark.parametrize(
    ("seen", "state", "runs_out"),
    [
        pytest.param(window(50), "on pace", None, id="half spent at half time"),
        pytest.param(window(52), "on pace", NOW + 8_307_692, id="2 points are on pace"),
        pytest.param(window(30), "in reserve", None, id="less than half spent"),
        pytest.param(window(75), "in deficit", NOW + 50 * MINUTE, id="a third of the time left"),
        pytest.param(window(0), "in reserve", None, id="unused never runs out"),
        pytest.param(window(100), "in deficit", NOW, id="has run out"),
        pytest.param(window(9, left=292 * MINUTE), None, None, id="too early to tell"),
        pytest.param(window(9, left=290 * MINUTE), "in deficit", NOW + 6_066_666, id="after 3 %"),
        pytest.param(window(9, left=0), None, None, id="over"),
        pytest.param(window(9, left=None), None, None, id="no reset is known"),
        pytest.param(window(9, minutes=None), None, None, id="no length is known"),
        pytest.param(window(9, left=400 * MINUTE), None, None, id="a reset beyond the window"),
    ],
)
def test_pace(seen: Window, state: str | None, runs_out: int | None) -> None:
    found = allowance.pace(seen, NOW)
    assert (found.state if found else None) == state
    assert (found.runs_out_at if found else None) == runs_out


@pytest.mark.parametrize(
    ("plan", "key", "credits"),
    [
        pytest.param("plus", "primary", 225, id="plus"),
        pytest.param("PRO", "secondary", 50_400, id="case does not matter"),
        pytest.param("k12", "secondary", 7_560, id="k12 counts as edu"),
        pytest.param("go", "monthly", 1_134, id="go counts as free"),
        pytest.param("free", "primary", None, id="free has no 5 hours"),
        pytest.param("brand_new", "primary", None, id="an unknown plan is unknown"),
        pytest.param(None, "secondary", None, id="no plan"),
    ],
)
def test_capacity(plan: str | None, key: str, credits: float | None) -> None:
    assert allowance.capacity(plan, key) == credits


def test_a_monthly_plan_has_a_capacity_too() -> None:
    assert allowance.weekly_capacity("free") == 1_134
    assert allowance.weekly_capacity(None) is None


# ── the pool ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        pytest.param([], {}, id="no account"),
        pytest.param([Share("plus", "active", ())], {}, id="nothing observed is not 100"),
        pytest.param(
            [
                Share("plus", "active", (window(100),)),
                Share("pro", "active", (window(0),)),
            ],
            {"primary": 86.96},
            id="weighted by plan: pro is 6.7 plus",
        ),
        pytest.param(
            [
                Share("plus", "active", (window(20),)),
                Share("plus", "paused", (window(90),)),
                Share("plus", "sign_in_needed", (window(90),)),
            ],
            {"primary": 80.0},
            id="only those in rotation",
        ),
        pytest.param(
            [
                Share("plus", "active", (window(20),)),
                Share("plus", "rate_limited", (window(100),)),
            ],
            {"primary": 40.0},
            id="a blocked account is missing from the pool",
        ),
        pytest.param(
            [
                Share("new", "active", (window(0),)),
                Share("plus", "active", (window(50),)),
            ],
            {"primary": 75.0},
            id="an unknown plan weighs like the smallest",
        ),
        pytest.param(
            [
                Share("free", "active", (window(10, "monthly", 43_200, 9 * DAY),)),
                Share("plus", "active", (window(50), week(30))),
            ],
            {"primary": 50.0, "secondary": 70.0, "monthly": 90.0},
            id="each window over those that have it",
        ),
        pytest.param(
            [Share("pro", "active", (window(5), window(99, "codex_spark:primary")))],
            {"primary": 95.0},
            id="a named limit is not the pool's",
        ),
    ],
)
def test_headroom(shares: list[Share], expected: dict[str, float]) -> None:
    found = allowance.headroom(shares, NOW)
    assert {each.window.key: round(each.remaining, 2) for each in found} == expected


def test_the_pools_reset_is_the_earliest_and_its_pace_an_average() -> None:
    shares = [
        Share("plus", "active", (window(75, left=150 * MINUTE),)),
        Share("plus", "active", (window(25, left=30 * MINUTE),)),
    ]
    (found,) = allowance.headroom(shares, NOW)
    assert found.window.resets_at == NOW + 30 * MINUTE
    assert found.pace is not None
    assert found.pace.expected_remaining == 30.0  # 50 and 10
    assert found.pace.delta == 20.0
    assert found.pace.runs_out_at is None  # not before the first reset


@pytest.mark.parametrize(
    ("shares", "state"),
    [
        pytest.param([], "empty", id="no account"),
        pytest.param([Share(None, "active", ())], "unknown", id="nothing observed"),
        pytest.param([Share(None, "paused", (window(),))], "paused", id="all paused"),
        pytest.param([Share(None, "sign_in_needed", ())], "sign_in_needed", id="sign in"),
        pytest.param([Share(None, "deactivated", ())], "sign_in_needed", id="deactivated"),
        pytest.param(
            [Share(None, "paused", ()), Share(None, "sign_in_needed", ())],
            "paused",
            id="paused is what the user can undo",
        ),
        pytest.param([Share(None, "rate_limited", (window(100),))], "spent", id="all blocked"),
        pytest.param([Share(None, "active", (window(50),))], "ok", id="ok"),
        pytest.param([Share(None, "active", (window(5), week(85)))], "low", id="the worst window"),
        pytest.param([Share(None, "active", (window(5), week(92)))], "critical", id="critical"),
        pytest.param(
            [Share(None, "active", (window(50, at=NOW - HOUR),))], "stale", id="an old observation"
        ),
    ],
)
def test_the_pool_in_one_word(shares: list[Share], state: str) -> None:
    assert allowance.pool_state(shares, NOW) == state


# ── standing ──────────────────────────────────────────────────────────────────────────────

BLOCK = Standing("quota_exceeded", NOW + DAY, "The provider said so.")
RICH, POOR = Credits(True, False, 12.5), Credits(False, False, 0.0)


@pytest.mark.parametrize(
    ("standing", "before", "after", "status", "until"),
    [
        pytest.param(
            Standing("active"), (), (window(99.9), week(50)), "active", None, id="some is left"
        ),
        pytest.param(
            Standing("active"),
            (),
            (window(100), week(50)),
            "rate_limited",
            NOW + 150 * MINUTE,
            id="5 h used up until its reset",
        ),
        pytest.param(
            Standing("active"),
            (),
            (window(100, left=None),),
            "rate_limited",
            NOW + 300 * MINUTE,
            id="no reset known: one window",
        ),
        pytest.param(
            Standing("active"),
            (),
            (window(100), week(100)),
            "quota_exceeded",
            NOW + 4 * DAY,
            id="the week outweighs the 5 hours",
        ),
        pytest.param(
            Standing("active"),
            (),
            (window(100, "monthly", 43_200, 9 * DAY),),
            "quota_exceeded",
            NOW + 9 * DAY,
            id="a month used up",
        ),
        pytest.param(
            Standing("active"),
            (),
            (window(100, left=-MINUTE),),
            "active",
            None,
            id="a window that has reset is not used up",
        ),
        pytest.param(
            Standing("active"),
            (),
            (window(100, "codex_spark:primary"),),
            "active",
            None,
            id="a named limit does not stop the account",
        ),
        pytest.param(
            Standing("paused"), (), (window(100),), "paused", None, id="paused stays paused"
        ),
        pytest.param(
            Standing("sign_in_needed", None, "x"),
            (),
            (window(0),),
            "sign_in_needed",
            None,
            id="windows do not sign in",
        ),
        pytest.param(
            Standing("deactivated", None, "x"), (), (window(0),), "deactivated", None, id="dead"
        ),
        pytest.param(
            BLOCK, (week(99),), (week(99),), "quota_exceeded", NOW + DAY, id="a block holds"
        ),
        pytest.param(
            BLOCK,
            (week(99),),
            (week(98.5),),
            "quota_exceeded",
            NOW + DAY,
            id="rounding is no new window",
        ),
        pytest.param(BLOCK, (week(99),), (week(1),), "active", None, id="the week began afresh"),
        pytest.param(BLOCK, (week(100),), (week(99),), "active", None, id="no longer used up"),
        pytest.param(BLOCK, (), (week(1),), "quota_exceeded", NOW + DAY, id="nothing to compare"),
        pytest.param(
            BLOCK,
            (window(99),),
            (window(100, left=HOUR),),
            "quota_exceeded",
            NOW + DAY,
            id="a longer block of the provider outlasts a spent window",
        ),
        pytest.param(
            Standing("rate_limited", NOW + HOUR, "x"),
            (window(100, left=HOUR),),
            (window(100, left=HOUR + 900),),
            "rate_limited",
            NOW + HOUR,
            id="a reset that wavers is no news",
        ),
        pytest.param(
            Standing("rate_limited", NOW + HOUR, "x"),
            (),
            (window(100, left=HOUR), week(100)),
            "quota_exceeded",
            NOW + 4 * DAY,
            id="then the week is spent too",
        ),
        pytest.param(
            Standing("rate_limited", NOW, "x"), (), (window(1),), "active", None, id="time is up"
        ),
        pytest.param(
            Standing("rate_limited", None, "x"), (), (), "active", None, id="a block without end"
        ),
    ],
)
def test_what_windows_do_to_an_account(
    standing: Standing,
    before: tuple[Window, ...],
    after: tuple[Window, ...],
    status: str,
    until: int | None,
) -> None:
    found = allowance.settle(standing, Usage(before), Usage(after), NOW)
    assert (found.status, found.until) == (status, until)
    assert (found.reason is None) == (status in ("active", "paused"))


@pytest.mark.parametrize(
    ("standing", "had", "has", "status"),
    [
        pytest.param(Standing("active"), None, RICH, "active", id="credits pay"),
        pytest.param(Standing("active"), None, POOR, "rate_limited", id="none left"),
        pytest.param(Standing("active"), None, Credits(True, True, None), "active", id="unlimited"),
        pytest.param(BLOCK, POOR, RICH, "active", id="bought while blocked"),
        pytest.param(BLOCK, RICH, RICH, "quota_exceeded", id="blocked although credits were there"),
    ],
)
def test_credits_outweigh_used_up_windows(
    standing: Standing, had: Credits | None, has: Credits, status: str
) -> None:
    before, after = Usage((window(100),), None, had), Usage((window(100),), None, has)
    assert allowance.settle(standing, before, after, NOW).status == status


@pytest.mark.parametrize(
    ("until", "kept"),
    [
        pytest.param(NOW + 1, NOW + 1, id="soon"),
        pytest.param(NOW, None, id="now is past"),
        pytest.param(NOW - DAY, None, id="past"),
        pytest.param(NOW + 367 * DAY, None, id="too far"),
        pytest.param(None, None, id="unknown"),
    ],
)
def test_an_implausible_reset_is_ignored(until: int | None, kept: int | None) -> None:
    assert allowance.plausible(until, NOW) == kept


def test_headers_replace_what_they_name_and_a_whole_answer_everything() -> None:
    before = Usage((window(10), week(20)), "plus", RICH)
    headers = allowance.merge(before, Usage((window(12),)), whole=False)
    assert [w.used_percent for w in headers.windows] == [12, 20]
    assert (headers.plan, headers.credits) == ("plus", RICH)
    whole = allowance.merge(before, Usage((week(21),), "pro", POOR), whole=True)
    assert [w.key for w in whole.windows] == ["secondary"]
    assert (whole.plan, whole.credits) == ("pro", POOR)
    nothing = allowance.merge(before, Usage(), whole=True)
    assert nothing.windows == before.windows  # silence is not news
    late = allowance.merge(before, Usage((window(5, at=NOW - 1),)), whole=False)
    assert late.windows[0].used_percent == 10
    set_back = allowance.merge(before, Usage((window(5, at=NOW - HOUR),)), whole=False)
    assert set_back.windows[0].used_percent == 5  # the clock was wrong, not the answer


def test_a_series_holds_the_last_value_until_the_reset() -> None:
    seen = [window(40, left=HOUR), window(10, left=6 * HOUR, at=NOW + 2 * HOUR)]
    times = [NOW - HOUR, NOW, NOW + HOUR // 2, NOW + HOUR, NOW + 3 * HOUR, NOW + 7 * HOUR]
    assert [left for _, left in allowance.series(seen, times)] == [60, 60, 100, 90, 100]
    assert allowance.series([], times) == []


# ── the provider's spellings ──────────────────────────────────────────────────────────────

SECONDS = NOW // 1000


def raw(used: Any = 20, seconds: Any = 18_000, **more: Any) -> dict[str, Any]:
    return {"used_percent": used, "limit_window_seconds": seconds, **more}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param([], [], id="not an object"),
        pytest.param(None, [], id="null"),
        pytest.param({"rate_limit": None}, [], id="null limit"),
        pytest.param({"rate_limit": {"primary_window": "x"}}, [], id="text for a window"),
        pytest.param(
            {"rate_limit": {"primary_window": raw(20, reset_at=SECONDS + 60)}},
            [("primary", 20, 300, NOW + 60_000)],
            id="reset in epoch seconds",
        ),
        pytest.param(
            {"rate_limit": {"primary_window": raw(20, reset_after_seconds=60)}},
            [("primary", 20, 300, NOW + 60_000)],
            id="reset derived from the seconds left",
        ),
        pytest.param(
            {"rate_limit": {"primary_window": raw(20, 604_800)}},
            [("secondary", 20, 10_080, None)],
            id="a week in the first slot",
        ),
        pytest.param(
            {"rate_limit": {"primary_window": raw(20, 2_592_000)}},
            [("monthly", 20, 43_200, None)],
            id="a month in the first slot",
        ),
        pytest.param(
            {"rate_limit": {"primary_window": raw(20, 17_990)}},
            [("primary", 20, 300, None)],
            id="seconds are rounded up to minutes",
        ),
        pytest.param(
            {"rate_limit": {"primary_window": raw(20, None), "secondary_window": raw(30, None)}},
            [("primary", 20, None, None), ("secondary", 30, None, None)],
            id="no lengths: the slots decide",
        ),
        pytest.param(
            {
                "rate_limit": {
                    "primary_window": raw(20, 604_800),
                    "secondary_window": raw(30, 604_800),
                }
            },
            [("secondary", 30, 10_080, None)],
            id="two of one length: the fuller one",
        ),
        pytest.param({"rate_limit": {"primary_window": raw(None)}}, [], id="no percentage"),
        pytest.param({"rate_limit": {"primary_window": raw("x")}}, [], id="a word"),
        pytest.param({"rate_limit": {"primary_window": raw(math.nan)}}, [], id="not a number"),
        pytest.param({"rate_limit": {"primary_window": raw(True)}}, [], id="true is no percentage"),
        pytest.param(
            {"rate_limit": {"primary_window": raw(-5)}}, [("primary", 0, 300, None)], id="negative"
        ),
        pytest.param(
            {"rate_limit": {"primary_window": raw(104, reset_at=1)}},
            [("primary", 104, 300, None)],
            id="a reset in the past is ignored",
        ),
        pytest.param(
            {"rate_limit": {"primary_window": raw(1, 10**12, reset_at=10**18)}},
            [("primary", 1, None, None)],
            id="impossible numbers",
        ),
        pytest.param(
            {
                "additional_rate_limits": [
                    None,
                    {"limit_name": "", "rate_limit": {"primary_window": raw(1)}},
                    {
                        "limit_name": "GPT-5.3-Codex-Spark",
                        "metered_feature": "codex_bengalfox",
                        "rate_limit": {"primary_window": raw(7)},
                    },
                    {
                        "limit_name": "Other Thing",
                        "rate_limit": {"secondary_window": raw(8, 604_800)},
                    },
                ]
            },
            [("codex_spark:primary", 7, 300, None), ("other_thing:secondary", 8, 10_080, None)],
            id="named limits",
        ),
    ],
)
def test_reading_the_usage_answer(payload: Any, expected: list[tuple[Any, ...]]) -> None:
    found = allowance.windows_from_usage(payload, NOW)
    assert [(w.key, w.used_percent, w.minutes, w.resets_at) for w in found.windows] == expected


def test_reading_plan_and_credits() -> None:
    found = allowance.windows_from_usage(
        {
            "plan_type": "Pro",
            "credits": {"has_credits": True, "unlimited": False, "balance": "12.5"},
            "rate_limit_reset_credits": {"available_count": 2},
        },
        NOW,
    )
    assert found == Usage((), "pro", RICH, 2)
    strange = {"plan_type": "x" * 99, "credits": {"has_credits": "1", "balance": "soon"}}
    assert allowance.windows_from_usage(strange, NOW) == Usage((), None, Credits(True, False, None))


P, S = "x-codex-primary-", "x-codex-secondary-"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, [], id="none"),
        pytest.param(
            {
                "X-Codex-Primary-Used-Percent": "20.5",
                f"{P}window-minutes": "300",
                f"{P}reset-at": str(SECONDS + 60),
                f"{S}used-percent": "104",
                f"{S}window-minutes": "10080",
            },
            [("primary", 20.5, 300, NOW + 60_000), ("secondary", 104, 10_080, None)],
            id="both windows, more than all is kept",
        ),
        pytest.param({f"{P}used-percent": "lots"}, [], id="unparsable: no window"),
        pytest.param(
            {f"{P}used-percent": "0", f"{P}window-minutes": "0"}, [], id="0 of 0 is no window"
        ),
        pytest.param(
            {f"{P}used-percent": "0", f"{P}window-minutes": "300"},
            [("primary", 0, 300, None)],
            id="0 of 5 h is one",
        ),
        pytest.param(
            {f"{P}used-percent": "3", f"{P}reset-at": "2027-01-01T00:00:00Z"},
            [("primary", 3, None, None)],
            id="an ISO date is ignored",
        ),
        pytest.param(
            {f"{P}used-percent": "3", f"{P}reset-after-seconds": "60"},
            [("primary", 3, None, None)],
            id="seconds left alone are not used",
        ),
        pytest.param(
            {
                "x-codex-bengalfox-primary-used-percent": "9",
                "x-codex-bengalfox-primary-window-minutes": "300",
                "x-codex-bengalfox-limit-name": "codex_bengalfox",
            },
            [("codex_spark:primary", 9, 300, None)],
            id="another family is a named limit",
        ),
    ],
)
def test_reading_headers(headers: dict[str, str], expected: list[tuple[Any, ...]]) -> None:
    found = allowance.windows_from_headers(headers, NOW)
    assert [(w.key, w.used_percent, w.minutes, w.resets_at) for w in found.windows] == expected


def test_credits_in_headers() -> None:
    prefix = "x-codex-credits-"
    headers = {f"{prefix}has-credits": "True", f"{prefix}unlimited": "0", f"{prefix}balance": "3"}
    assert allowance.windows_from_headers(headers, NOW).credits == Credits(True, False, 3.0)


def test_credits_that_are_no_longer_reported_go_away() -> None:
    window = Window("primary", 50.0, 300, NOW + HOUR, NOW)
    rich = Usage((window,), credits=Credits(True, False, 12.5))
    assert allowance.merge(rich, Usage((window,)), whole=True).credits is None
    assert allowance.merge(rich, Usage((window,)), whole=False).credits == rich.credits


@pytest.mark.parametrize(
    ("status", "used", "credits", "paid"),
    [
        pytest.param("active", 100.0, Credits(True, False, 12.5), True, id="credits pay"),
        pytest.param("active", 99.0, Credits(True, False, 12.5), False, id="not yet needed"),
        pytest.param("active", 100.0, None, False, id="there are none"),
        pytest.param("paused", 100.0, Credits(True, True, None), False, id="it does not serve"),
    ],
)
def test_what_is_served_by_credits(
    status: str, used: float, credits: Credits | None, paid: bool
) -> None:
    usage = Usage((Window("primary", used, 300, NOW + HOUR, NOW),), credits=credits)
    assert allowance.on_credits(status, usage, NOW) is paid
