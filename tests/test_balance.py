from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from server.accounts.allowance import Window
from server.accounts.pool import Candidate
from server.proxy.balance import Ask, Rules, choose, explain
from server.sentences import told

NOW = 1_800_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def window(key: str, used: float, resets: int = DAY) -> Window:
    return Window(key, used, 300 if key == "primary" else 10_080, NOW + resets, NOW)


def account(name: str, week: float | None = 50, five: float | None = 10, **rest: Any) -> Candidate:
    """An account by how much of its windows is used."""
    windows = []
    if five is not None:
        windows.append(window("primary", five, HOUR))
    if week is not None:
        windows.append(window("secondary", week, rest.pop("resets", 3 * DAY)))
    base = Candidate(
        id=name,
        label=name,
        plan="plus",
        status="active",
        blocked_until=None,
        windows=tuple(windows),
        priority=0,
        policy="normal",
        capacity=7560.0,
        last_used=0,
        streams=0,
        errors=0,
        error_at=0,
    )
    return replace(base, **rest)


def blocked(name: str, until: int | None, status: str = "rate_limited", **rest: Any) -> Candidate:
    at = None if until is None else NOW + until
    return account(name, status=status, blocked_until=at, **rest)


A, B = account("a"), account("b", week=20)


@pytest.mark.parametrize(
    ("candidates", "ask", "expected", "reason"),
    [
        pytest.param([A, B], Ask(pinned="a"), "a", "same thread", id="a thread stays"),
        pytest.param([A, B], Ask(pinned="gone"), "a", None, id="a pin to nobody is no pin"),
        pytest.param([A], Ask(), "a", "the only account", id="one account"),
        pytest.param(
            [A, account("p", status="paused")],
            Ask(pinned="p"),
            "a",
            "the only account that can serve now",
            id="a paused account serves nothing",
        ),
        pytest.param([A, B], Ask(tried=frozenset("a")), "b", None, id="not the same one twice"),
        pytest.param([A, B], Ask(pinned="a", tried=frozenset("a")), "b", None, id="nor by its pin"),
        pytest.param([A, B], Ask(unable=frozenset("a")), "b", None, id="it lacks the model"),
        pytest.param(
            [A, B], Ask(pinned="b", owner="a"), "a", "it holds the earlier response", id="an owner"
        ),
        pytest.param([blocked("a", HOUR), B], Ask(pinned="a"), "b", None, id="a blocked pin moves"),
        pytest.param(
            [blocked("a", -1), B], Ask(pinned="a"), "a", "same thread", id="a block that is over"
        ),
        pytest.param(
            [account("a", errors=3, error_at=NOW - 1000), B], Ask(), "b", None, id="errors rest it"
        ),
        pytest.param(
            [account("a", week=0, errors=1, error_at=NOW - 29_000), account("b", week=99)],
            Ask(),
            "b",
            None,
            id="whose last request failed goes last for a while",
        ),
        pytest.param(
            [account("a", week=0, priority=5, errors=1, error_at=NOW), account("b", week=99)],
            Ask(),
            "b",
            None,
            id="also when it has priority",
        ),
        pytest.param(
            [account("a", week=0, errors=1, error_at=NOW - 30_000), account("b", week=99)],
            Ask(),
            "a",
            None,
            id="then it may show that it is well",
        ),
        pytest.param(
            [
                account("a", week=0, errors=1, error_at=NOW - HOUR, last_used=NOW - 5),
                account("b", week=99),
            ],
            Ask(),
            "b",
            None,
            id="one request at a time",
        ),
        pytest.param(
            [account("a", errors=1, error_at=NOW), B],
            Ask(pinned="a"),
            "a",
            "same thread",
            id="one failure does not move a thread",
        ),
        pytest.param(
            [account("a", errors=1, error_at=NOW)], Ask(), "a", None, id="better than no answer"
        ),
        pytest.param(
            [account("a", errors=3, error_at=NOW - 31_000), account("b", status="paused")],
            Ask(),
            "a",
            None,
            id="a rest ends",
        ),
        pytest.param(
            [
                account("a", errors=9, error_at=NOW - 1000),
                account("b", errors=3, error_at=NOW - 1000),
            ],
            Ask(),
            "b",
            None,
            id="all rest: the one that is back first",
        ),
        pytest.param(
            [account("a", priority=1, week=99), B], Ask(), "a", None, id="priority before headroom"
        ),
        pytest.param(
            [account("a", policy="burn_first", week=99), B], Ask(), "a", None, id="burn first"
        ),
        pytest.param(
            [account("a", policy="preserve", week=0), B], Ask(), "b", None, id="preserve goes last"
        ),
        pytest.param(
            [account("a", policy="preserve"), account("b", status="paused")],
            Ask(),
            "a",
            None,
            id="preserve serves when nobody else can",
        ),
        pytest.param(
            [account("a", streams=32), B], Ask(pinned="a"), "b", None, id="no stream is left on it"
        ),
        pytest.param(
            [account("a", five=100), B], Ask(), "b", None, id="a spent 5 h window has no headroom"
        ),
        pytest.param(
            [account("a", week=100), account("b", week=100)], Ask(), "a", None, id="all spent: try"
        ),
    ],
)
def test_choice(candidates: list[Candidate], ask: Ask, expected: str, reason: str | None) -> None:
    choice = choose(candidates, ask, Rules(), NOW, 0.0)
    assert choice.account == expected
    if reason is not None:
        assert choice.reason == reason


@pytest.mark.parametrize(
    ("candidates", "ask", "state", "retry_at"),
    [
        pytest.param([], Ask(), "empty", None, id="no account"),
        pytest.param([account("a", status="paused")], Ask(), "paused", None, id="all paused"),
        pytest.param(
            [account("a", status="paused"), account("b", status="sign_in_needed")],
            Ask(),
            "sign_in_needed",
            None,
            id="paused, or without a sign-in",
        ),
        pytest.param(
            [blocked("a", HOUR), blocked("b", MINUTE, "quota_exceeded")],
            Ask(),
            "blocked",
            NOW + MINUTE,
            id="the first that is back",
        ),
        pytest.param([blocked("a", None)], Ask(), "blocked", None, id="nobody knows when"),
        pytest.param(
            [blocked("a", HOUR), account("b", status="paused")],
            Ask(),
            "blocked",
            NOW + HOUR,
            id="a block ends by itself, a pause does not",
        ),
        pytest.param([account("a", streams=32)], Ask(), "busy", None, id="all streams taken"),
        pytest.param([A], Ask(tried=frozenset("a")), "tried", None, id="all were tried"),
        pytest.param([A], Ask(unable=frozenset("a")), "unable", None, id="none has the model"),
        pytest.param(
            [blocked("a", HOUR), B], Ask(owner="a"), "blocked", NOW + HOUR, id="the owner is away"
        ),
    ],
)
def test_nobody_can(
    candidates: list[Candidate], ask: Ask, state: str, retry_at: int | None
) -> None:
    choice = choose(candidates, ask, Rules(), NOW, 0.0)
    assert (choice.account, choice.state, choice.retry_at) == (None, state, retry_at)
    assert told(choice.reason) is not None, "pages say it in the reader's language"


@pytest.mark.parametrize(
    ("home", "keeps"),
    [
        pytest.param(blocked("a", MINUTE), True, id="it is back in a minute"),
        pytest.param(blocked("a", 3 * DAY), False, id="it is away for days"),
        pytest.param(blocked("a", None), False, id="nobody knows when"),
        pytest.param(account("a", status="paused"), False, id="the user took it out"),
        pytest.param(account("a", errors=5, error_at=NOW), True, id="it rests after errors"),
        pytest.param(account("a", streams=32), True, id="it is busy"),
    ],
)
def test_a_short_absence_keeps_the_pin(home: Candidate, keeps: bool) -> None:
    choice = choose([home, B], Ask(pinned="a"), Rules(), NOW, 0.0)
    assert (choice.account, choice.keeps_pin) == ("b", keeps)


def shares(candidates: list[Candidate], rules: Rules) -> Counter[str]:
    draws = [choose(candidates, Ask(), rules, NOW, n / 1000).account for n in range(1000)]
    return Counter(str(name) for name in draws)


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        pytest.param([account("a", 50), account("b", 50)], {"a": 500, "b": 500}, id="equal"),
        pytest.param([account("a", 75), account("b", 25)], {"a": 250, "b": 750}, id="by headroom"),
        pytest.param(
            [account("a", 50), account("b", 50, capacity=22_680.0)],
            {"a": 250, "b": 750},
            id="by capacity",
        ),
        pytest.param(
            [account("a", 50), account("b", 50, capacity=None)],
            {"a": 500, "b": 500},
            id="an unknown plan counts as usual",
        ),
        pytest.param(
            [account("a", 50), account("b", None, None)],
            {"a": 500, "b": 500},
            id="an unknown allowance counts as half",
        ),
        pytest.param(
            [account("a", 50, streams=10), account("b", 50)],
            {"a": 333, "b": 667},
            id="open streams weigh",
        ),
        pytest.param([account("a", 100), account("b", 50)], {"b": 1000}, id="spent gets none"),
    ],
)
def test_capacity_weighted(candidates: list[Candidate], expected: dict[str, int]) -> None:
    found = shares(candidates, Rules())
    for name, count in expected.items():
        assert abs(found[name] - count) <= 2


@pytest.mark.parametrize(
    ("strategy", "candidates", "expected"),
    [
        pytest.param("usage_weighted", [account("a", 50), account("b", 20)], "b", id="least used"),
        pytest.param(
            "usage_weighted",
            [account("a", 50, last_used=2), account("b", 50, last_used=1)],
            "b",
            id="a tie goes to the one that waited",
        ),
        pytest.param(
            "round_robin",
            [account("a", 0, last_used=5), account("b", 90, last_used=4)],
            "b",
            id="whose turn it is",
        ),
        pytest.param(
            "fill_first", [account("a", 10, 20), account("b", 10, 80)], "b", id="fullest first"
        ),
        pytest.param(
            "fill_first",
            [account("a", 10, 20), account("b", 100, 80)],
            "a",
            id="not a full one",
        ),
        pytest.param(
            "reset_drain",
            [account("a", 10, resets=5 * DAY), account("b", 90, resets=DAY)],
            "b",
            id="what is lost soonest",
        ),
        pytest.param("unheard_of", [account("a", 100), account("b", 50)], "b", id="as by default"),
    ],
)
def test_strategies(strategy: str, candidates: list[Candidate], expected: str) -> None:
    assert choose(candidates, Ask(), Rules(strategy=strategy), NOW, 0.0).account == expected


def test_a_single_account_serves_alone() -> None:
    rules = Rules(strategy="single_account", single_account="b")
    choice = choose([A, B], Ask(pinned="a"), rules, NOW, 0.0)
    assert (choice.account, choice.reason) == ("b", "only one account may serve this")
    assert choose([A, blocked("b", HOUR)], Ask(), rules, NOW, 0.0).state == "blocked"
    assert choose([A, B], Ask(), Rules(strategy="single_account"), NOW, 0.0).account == "b"


def test_an_earlier_reset_is_preferred_when_asked() -> None:
    soon, late = account("a", 90, resets=DAY), account("b", 10, resets=6 * DAY)
    rules = Rules(prefer_earlier_reset=True)
    assert set(shares([soon, late], rules)) == {"a"}


def test_the_reason_says_what_is_left() -> None:
    choice = choose([account("a", 29), account("b", 90)], Ask(), Rules(), NOW, 0.0)
    assert choice.reason == "most headroom, 71% of its weekly allowance left"
    choice = choose([account("a", 29), account("b", 90)], Ask(), Rules(), NOW, 0.999)
    assert choice.reason == "a share by headroom, 10% of its weekly allowance left"


@pytest.mark.parametrize(
    ("sizes", "draw", "expected"),
    [
        pytest.param((50_400, 7560), 0.0, "most headroom by plan size, 60%", id="large"),
        pytest.param((50_400, 7560), 0.999, "a share by headroom and plan size, 90%", id="small"),
        pytest.param((7560, 7560), 0.999, "most headroom, 90%", id="the same size"),
        pytest.param((None, 7560), 0.999, "most headroom, 90%", id="counts as usual"),
    ],
)
def test_the_reason_says_when_plans_of_other_sizes_were_weighed(
    sizes: tuple[float | None, float], draw: float, expected: str
) -> None:
    pair = [
        replace(account(name, used), capacity=size)
        for name, used, size in zip("ab", (40, 10), sizes, strict=True)
    ]
    reason = choose(pair, Ask(), Rules(), NOW, draw).reason
    assert reason == f"{expected} of its weekly allowance left"


def spark(name: str, used: float | None, **rest: Any) -> Candidate:
    """An account with an allowance for Spark, or without one."""
    found = account(name, **rest)
    if used is None:
        return found
    own = (window("codex_spark:primary", 0, HOUR), window("codex_spark:secondary", used))
    return replace(found, windows=found.windows + own)


SPARK = Ask(limit="codex_spark")


@pytest.mark.parametrize(
    ("candidates", "ask", "expected"),
    [
        pytest.param(
            [spark("a", 90, week=0), spark("b", 10, week=99)],
            replace(SPARK, pinned="b"),
            "b",
            id="its own week counts",
        ),
        pytest.param(
            [spark("a", 50, status="quota_exceeded", blocked_until=NOW + DAY)],
            SPARK,
            "a",
            id="it serves Spark although its own week is used up",
        ),
        pytest.param(
            [spark("a", 100), spark("b", 50)], SPARK, "b", id="a used-up Spark week blocks Spark"
        ),
        pytest.param([spark("a", 100)], Ask(), "a", id="…and nothing else"),
        pytest.param(
            [spark("a", 10), spark("b", 99)],
            replace(SPARK, spent={"a": NOW + HOUR}),
            "b",
            id="the provider refused Spark there",
        ),
        pytest.param(
            [spark("a", None, week=0), spark("b", 99)], SPARK, "b", id="who has Spark goes first"
        ),
        pytest.param([spark("a", None)], SPARK, "a", id="nobody has it, as far as we know: try"),
        pytest.param(
            [spark("a", 10, status="paused"), spark("b", 99)], SPARK, "b", id="a pause is a pause"
        ),
    ],
)
def test_a_model_with_an_allowance_of_its_own(
    candidates: list[Candidate], ask: Ask, expected: str
) -> None:
    assert choose(candidates, ask, Rules(), NOW, 0.0).account == expected


def only(name: str, key: str, minutes: int, used: float, **rest: Any) -> Candidate:
    """An account whose plan has one window."""
    return account(name, windows=(Window(key, used, minutes, NOW + DAY, NOW),), **rest)


@pytest.mark.parametrize("strategy", ["usage_weighted", "fill_first", "reset_drain"])
@pytest.mark.parametrize(
    ("key", "minutes"),
    [
        pytest.param("secondary", 10_080, id="weekly only"),
        pytest.param("monthly", 43_200, id="monthly only"),
        pytest.param("4320m", 4320, id="a length nobody has seen"),
    ],
)
def test_plans_with_one_window_are_compared(strategy: str, key: str, minutes: int) -> None:
    full, empty = only("a", key, minutes, 100), only("b", key, minutes, 10)
    assert choose([full, empty], Ask(), Rules(strategy=strategy), NOW, 0.0).account == "b"


def test_the_tightest_of_two_long_windows_counts() -> None:
    month = Window("monthly", 95, 43_200, NOW + DAY, NOW)
    tight = account("a", week=0)
    tight = replace(tight, windows=(*tight.windows, month))
    rules = Rules(strategy="usage_weighted")
    assert choose([tight, account("b", week=60)], Ask(), rules, NOW, 0.0).account == "b"


@pytest.mark.parametrize(
    ("recent", "failed", "idle", "expected"),
    [
        pytest.param(8, 4, 1000, "b", id="every other request failed"),
        pytest.param(40, 19, 1000, "a", id="most went well"),
        pytest.param(7, 7, 1000, "a", id="too few to tell"),
        pytest.param(8, 4, 61_000, "a", id="one request a minute finds out"),
    ],
)
def test_an_account_that_often_fails_is_kept_apart(
    recent: int, failed: int, idle: int, expected: str
) -> None:
    home = account("a", recent=recent, recent_failed=failed, last_used=NOW - idle)
    choice = choose([home, B], Ask(pinned="a"), Rules(), NOW, 0.0)
    assert (choice.account, choice.keeps_pin) == (expected, expected == "b")
    assert choose([home], Ask(), Rules(), NOW, 0.0).account == "a", "better than no answer"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_without_a_draw_the_likeliest_is_explained(order: tuple[int, ...]) -> None:
    accounts = [account("a", week=82), account("b", week=8), account("c", week=60)]
    choice, rows = explain([accounts[i] for i in order], Ask(), Rules(), NOW, None)
    assert choice.account == "b"
    assert max(rows, key=lambda row: row.share).account == "b"


def test_the_explained_choice_is_the_choice() -> None:
    candidates = [
        account("a", week=75),
        account("b", week=25),
        account("paused", status="paused"),
        blocked("limited", HOUR),
        account("late", priority=-1),
        account("ill", errors=3, error_at=NOW),
        account("busy", streams=32),
    ]
    ask = Ask(unable=frozenset({"unable"}))
    choice, rows = explain([*candidates, account("unable")], ask, Rules(), NOW, 0.0)
    assert choice == choose([*candidates, account("unable")], ask, Rules(), NOW, 0.0)
    found = {row.account: row for row in rows}
    assert {name: row.state for name, row in found.items()} == {
        "a": "chosen",
        "b": "waiting",
        "paused": "paused",
        "limited": "blocked",
        "late": "waiting",
        "ill": "resting",
        "busy": "busy",
        "unable": "unable",
    }
    assert (found["a"].share, found["b"].share, found["late"].share) == (25.0, 75.0, 0.0)
    assert found["late"].reason == "another has a higher priority"
    assert found["limited"].retry_at == NOW + HOUR
    assert found["ill"].retry_at == NOW + 30_000


def test_an_explanation_of_nothing() -> None:
    choice, rows = explain([], Ask(), Rules(), NOW, 0.0)
    assert (choice.state, rows) == ("empty", [])
    _, rows = explain([A, B], Ask(owner="b"), Rules(), NOW, 0.0)
    assert [(row.state, row.share) for row in rows] == [("left_out", 0.0), ("chosen", 100.0)]


@pytest.mark.parametrize("strategy", ["capacity_weighted", "usage_weighted", "round_robin"])
@pytest.mark.parametrize(
    ("others", "reason"),
    [
        pytest.param([account("b", priority=-1)], "it has the higher priority", id="priority"),
        pytest.param(
            [account("b", policy="preserve")], "its policy lets it go first", id="the others spare"
        ),
        pytest.param(
            [account("b", errors=1, error_at=NOW)],
            "the last requests of the others failed",
            id="they failed",
        ),
        pytest.param(
            [account("b", priority=-1), account("c", policy="preserve")],
            "its policy lets it go first",
            id="what decided last",
        ),
    ],
)
def test_what_decided_before_the_strategy_is_the_reason(
    strategy: str, others: list[Candidate], reason: str
) -> None:
    rules = Rules(strategy=strategy)
    candidates = [account("a", week=99), *others]
    assert choose(candidates, Ask(), rules, NOW, 0.5).reason == reason
    choice, _ = explain(candidates, Ask(), rules, NOW, None)
    assert (choice.account, choice.reason) == ("a", reason)


def test_the_strategy_speaks_for_those_it_chose_among() -> None:
    candidates = [account("a"), account("b", last_used=1), account("c", priority=-1)]
    choice = choose(candidates, Ask(), Rules(strategy="round_robin"), NOW, 0.5)
    assert (choice.account, choice.reason) == ("a", "its turn")
