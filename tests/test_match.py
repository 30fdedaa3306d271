"""Which telemetry record is which call, which conversations are helpers, what failed."""

from __future__ import annotations

from collections import Counter

import pytest

from server.ingest.match import Conversation, Seen, is_helper, pair
from server.usage.outcomes import Ending, Failure, failures, percentile, standing

ONE = (1200, 1000, 40, 0)


@pytest.mark.parametrize(
    ("telemetry", "calls", "expected"),
    [
        pytest.param([Seen(b"t", "s", 1000, ONE)], [Seen("c", "s", 1005, ONE)], [(b"t", "c")],
                     id="5 ms apart, as in every capture"),
        pytest.param([Seen(b"t", "s", 1000, ONE)], [Seen("c", "x", 1000, ONE)], [],
                     id="never across conversations"),
        pytest.param([Seen(b"t", "s", 1000, ONE)], [Seen("c", "s", 1000, (1200, 1000, 41, 0))], [],
                     id="never with other counts"),
        pytest.param([Seen(b"t", "s", 0, ONE)], [Seen("c", "s", 10_000, ONE)], [(b"t", "c")],
                     id="ten seconds are near"),
        pytest.param([Seen(b"t", "s", 0, ONE)], [Seen("c", "s", 10_001, ONE)], [],
                     id="more are not"),
        pytest.param([Seen(b"a", "s", 0, ONE), Seen(b"b", "s", 3000, ONE)],
                     [Seen("c", "s", 2999, ONE)], [(b"b", "c")], id="the nearest wins"),
        pytest.param([Seen(b"a", "s", 0, ONE), Seen(b"b", "s", 100, ONE)],
                     [Seen("c", "s", 0, ONE), Seen("d", "s", 100, ONE)],
                     [(b"a", "c"), (b"b", "d")], id="equal calls pair off one to one"),
        pytest.param([Seen(b"a", "s", 0, (0, 0, 0, 0))], [Seen("c", "s", 0, (0, 0, 0, 0))], [],
                     id="a warm-up is no call"),
    ],
)  # fmt: skip
def test_pairs(telemetry: list[Seen], calls: list[Seen], expected: list[tuple[bytes, str]]) -> None:
    assert pair(telemetry, calls) == expected
    assert pair(telemetry[::-1], calls[::-1]) == expected or len(expected) > 1


@pytest.mark.parametrize(
    ("matched", "age", "later", "expected"),
    [
        pytest.param(True, 0, False, "matched", id="somebody else saw it"),
        pytest.param(False, 1, False, "waiting", id="its log line may be on its way"),
        pytest.param(False, 120_000, False, "provisional", id="only telemetry saw it: counted"),
        pytest.param(False, 120_000, True, "replaced", id="the log was read past it: not counted"),
        pytest.param(False, 1, True, "waiting", id="nobody may have looked for its call yet"),
        pytest.param(True, 1, True, "matched", id="however young"),
    ],
)
def test_standing(matched: bool, age: int, later: bool, expected: str) -> None:
    assert standing(matched=matched, at=10**12, later_call=later, now=10**12 + age) == expected


def talk(**change: object) -> Conversation:
    about = {"logged": False, "kind": None, "prompts": 1, "prompt_length": 430,
             "sandbox": "read-only", "first_at": 100_000}  # fmt: skip
    return Conversation(**{**about, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "turns", "expected"),
    [
        pytest.param(talk(), [99_000], True, id="a title is asked for right after a turn"),
        pytest.param(talk(), [], False, id="nobody else prompted"),
        pytest.param(talk(), [60_000], False, id="the turn was long before"),
        pytest.param(talk(), [100_001], False, id="the turn came after"),
        pytest.param(talk(logged=True), [99_000], False, id="helpers leave no log"),
        pytest.param(talk(sandbox="workspace-write"), [99_000], False, id="helpers only read"),
        pytest.param(talk(prompts=2), [99_000], False, id="helpers are asked once"),
        pytest.param(talk(prompt_length=25), [99_000], False, id="a user's short question"),
        pytest.param(talk(prompt_length=None), [99_000], False, id="unknown is not a helper"),
        pytest.param(talk(kind="title", logged=True), [], True, id="the ledger knows it"),
        pytest.param(talk(kind="subagent"), [99_000], False, id="sub-agents work for the user"),
    ],
)
def test_helpers(one: Conversation, turns: list[int], expected: bool) -> None:
    assert is_helper(one, turns) is expected


def ended(*whats: tuple[str, int] | str) -> list[Ending]:
    """Endings of one conversation, a second apart: `what` or (what, attempt)."""
    pairs = [what if isinstance(what, tuple) else (what, 0) for what in whats]
    return [Ending("s", n * 2000, what, attempt) for n, (what, attempt) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("endings", "expected"),
    [
        pytest.param(ended("done", "done"), 0, id="all went well"),
        pytest.param(ended(("refused", 0), ("refused", 1), ("done", 2)), 0, id="made good later"),
        pytest.param(ended(("refused", 0), ("refused", 1)), 1, id="the last attempt failed"),
        pytest.param(ended(("refused", 0), ("done", 0)), 1, id="a new request is no retry"),
        pytest.param(ended("done", "failed", "cut"), 2, id="two failures far apart"),
        pytest.param([Ending("s", 0, "failed"), Ending("s", 2, "cut")], 1,
                     id="one failure leaves two records"),
        pytest.param([Ending("s", 0, "failed"), Ending("x", 2, "cut")], 2,
                     id="of two conversations"),
        pytest.param(ended("cut"), 1, id="a stream that ended early"),
    ],
)  # fmt: skip
def test_failures(endings: list[Ending], expected: int) -> None:
    found = failures(endings)
    assert len(found) == expected
    assert all(isinstance(one, Failure) for one in found)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], None, id="nothing is unknown, not 0"),
        pytest.param([7], 7, id="one value"),
        pytest.param([0, 100], 95, id="between neighbours by line"),
        pytest.param([1] * 19 + [21], 2, id="the line starts at the last of the equal ones"),
        pytest.param(list(range(101)), 95, id="a hundred steps"),
    ],
)
def test_percentile(values: list[int], expected: float | None) -> None:
    assert percentile(Counter(values), 0.95) == (
        None if expected is None else pytest.approx(expected)
    )
