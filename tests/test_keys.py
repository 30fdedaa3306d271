"""The limits' rules as tables, and keys on a real database."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from server.auth import limits
from server.auth.keys import Draft, Keys, visible
from server.auth.limits import Estimate, Limit, Rule, Spent
from server.errors import AppError, NotFound
from server.store import db

DAY = 24 * 3600 * 1000
TOKENS = Rule("total_tokens", "daily", 1000)
# What an owner gives a colleague.
ORDINARY = (
    Rule("total_tokens", "5h", 500_000),
    Rule("total_tokens", "weekly", 2_500_000),
    Rule("cost_usd", "monthly", 10_000_000),
)


@pytest.mark.parametrize(
    ("window", "late", "resets_after"),
    [
        pytest.param("5h", -1, 0, id="the last millisecond still counts"),
        pytest.param("5h", 0, 5 * DAY // 24, id="the end belongs to the next window"),
        pytest.param("daily", 1, DAY, id="a day later"),
        pytest.param("weekly", 7 * DAY * 3 + 5, 7 * DAY * 4, id="weeks of silence are skipped"),
        pytest.param("7d", 7 * DAY, 14 * DAY, id="7d is a week"),
        pytest.param("monthly", 31 * DAY, 60 * DAY, id="a month is 30 days"),
    ],
)
def test_a_window_rolls_by_whole_lengths(window: str, late: int, resets_after: int) -> None:
    limit = Limit(Rule("requests", window, 5), resets_at=10**12, used=4)
    after = limits.rolled(limit, 10**12 + late)
    assert after.resets_at == 10**12 + resets_after
    assert after.resets_at > 10**12 + late
    assert after.used == (4 if late < 0 else 0)


@pytest.mark.parametrize(
    ("filter_", "model", "expected"),
    [
        pytest.param(None, "gpt-5.2", True, id="global"),
        pytest.param(None, None, True, id="a list of models meets global rules"),
        pytest.param("gpt-5.2", "gpt-5.2", True, id="its model"),
        pytest.param("gpt-5.2", "gpt-5.2-codex", False, id="never by prefix"),
        pytest.param("gpt-5.2", None, False, id="a list of models meets no model rule"),
    ],
)
def test_a_rule_applies(filter_: str | None, model: str | None, expected: bool) -> None:
    assert limits.applies(Rule("requests", "daily", 1, filter_), model) is expected


SPENT = Spent(input=100, output=20, cost=1500, credits=7)


@pytest.mark.parametrize(
    ("measure", "spent", "expected"),
    [
        ("total_tokens", SPENT, 120),
        ("input_tokens", SPENT, 100),
        ("output_tokens", SPENT, 20),
        ("cost_usd", SPENT, 1500),
        ("requests", SPENT, 1),
        ("credits", SPENT, 7),
        pytest.param("cost_usd", Spent(100, 20), 0, id="a model without a price costs nothing"),
        pytest.param(
            "total_tokens", Spent(-5, 0), 0, id="a provider's nonsense gives nothing back"
        ),
    ],
)
def test_charge(measure: str, spent: Spent, expected: int) -> None:
    assert limits.charge(measure, spent) == expected


@pytest.mark.parametrize(
    ("measure", "estimate", "expected"),
    [
        pytest.param("total_tokens", Estimate(), 8192, id="unknown"),
        pytest.param("total_tokens", Estimate(input=100_000), 108_192, id="a long context"),
        pytest.param("input_tokens", Estimate(input=50), 50, id="input is known"),
        pytest.param("output_tokens", Estimate(input=50), 8192, id="output never is"),
        pytest.param("cost_usd", Estimate(), 2_000_000, id="no price"),
        pytest.param("cost_usd", Estimate(cost=300), 300, id="a price"),
        pytest.param("requests", Estimate(input=9), 1, id="one request"),
    ],
)
def test_budget(measure: str, estimate: Estimate, expected: int) -> None:
    assert limits.budget(measure, estimate) == expected


@pytest.mark.parametrize(
    ("measure", "held", "expected"),
    [
        pytest.param("total_tokens", 8000, 500, id="its input was read"),
        pytest.param("total_tokens", 30, 30, id="never more than was left"),
        pytest.param("output_tokens", 8000, 0, id="output is not guessed"),
        pytest.param("cost_usd", 8000, 40, id="the input's price"),
        pytest.param("requests", 1, 1, id="it was a request"),
    ],
)
def test_a_call_that_was_left_counts_its_input(measure: str, held: int, expected: int) -> None:
    estimate = Estimate(input=500, input_cost=40, cost=900)
    assert limits.charge_unfinished(measure, estimate, held) == expected


def test_an_edit_keeps_the_use_of_a_rule_that_stays() -> None:
    have = [Limit(TOKENS, 5000, used=7, id=1), Limit(Rule("requests", "5h", 9), 600, 3, id=2)]
    wanted = [Rule("total_tokens", "daily", 50), Rule("cost_usd", "5h", 1)]
    kept, fresh = limits.merged(have, wanted, 100, reset=False)
    assert kept == Limit(wanted[0], 5000, used=7, id=1)
    assert fresh == Limit(wanted[1], 100 + 5 * 3600 * 1000)
    again, _ = limits.merged(have, wanted, 100, reset=True)
    assert again == Limit(wanted[0], 100 + DAY, used=0, id=1)


@pytest.mark.parametrize(
    ("limit", "words", "wait"),
    [
        pytest.param(
            Limit(Rule("total_tokens", "weekly", 10, "gpt-5.2"), 1_800_000_000_000, 12),
            ["total_tokens", "weekly", "gpt-5.2", "Usage resets at 2027-01-15T08:00:00Z."],
            60,
            id="used up",
        ),
        pytest.param(
            Limit(Rule("cost_usd", "5h", 10), 1_800_000_000_000, 3),
            ["cost_usd", "5h", "still running", "Try again when they have ended."],
            5,
            id="held by others: soon, whenever the window ends",
        ),
    ],
)
def test_a_refusal_says_what_and_until_when(limit: Limit, words: list[str], wait: int) -> None:
    error = limits.refusal(limit, 1_800_000_000_000 - 60_000)
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", wait)
    assert error.extra["resets_at"] == 1_800_000_000 - 60 + wait
    for word in words:
        assert word in error.message


# ── on a real database ───────────────────────────────────────────────────────────────────────


class Clock:
    """The wall clock, which a test can move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(db, "now_ms", moved)
    return moved


@pytest.fixture
def keys(database: None, clock: Clock) -> Iterator[Keys]:
    built = Keys()
    built.load()
    yield built


def reloaded() -> Keys:
    again = Keys()
    again.load()
    return again


def used(keys: Keys) -> list[int]:
    return [limit.used for limit in keys.all()[0].limits]


def refused(call: Any, *args: Any) -> AppError:
    with pytest.raises(AppError) as caught:
        call(*args)
    return caught.value


class TestLife:
    def test_the_secret_is_shown_once_and_kept_nowhere(self, keys: Keys) -> None:
        key, secret = keys.create(Draft("ci"))
        assert secret.startswith("sk-clb-") and len(secret) == 7 + 43
        assert key.prefix == secret[:15]
        stored = " ".join(map(str, db.rows("select * from api_key")[0]))
        assert secret not in stored and secret[15:] not in stored
        assert keys.authenticate(secret).id == key.id
        assert reloaded().authenticate(secret).id == key.id

    @pytest.mark.parametrize(
        "token", [None, "", "sk-clb-", "sk-clb-x", "é" * 9, "\ud800", "a" * 9999]
    )
    def test_any_other_token_is_refused(self, keys: Keys, token: str | None) -> None:
        error = refused(keys.authenticate, token)
        assert (error.status, error.code) == (401, "invalid_api_key")
        assert not token or token == "sk-clb-" or token not in error.message

    def test_it_ends_when_it_says(self, keys: Keys, clock: Clock) -> None:
        _, secret = keys.create(Draft("short", expires_at=clock.now + 1000))
        keys.authenticate(secret)
        clock.now += 1000
        assert "expired" in refused(keys.authenticate, secret).message

    def test_revoking_works_at_once(self, keys: Keys) -> None:
        key, secret = keys.create(Draft("x"))
        keys.edit(key.id, {"active": False})
        assert "switched off" in refused(keys.authenticate, secret).message
        assert refused(reloaded().authenticate, secret).code == "invalid_api_key"
        keys.edit(key.id, {"active": True})
        keys.authenticate(secret)
        keys.delete(key.id)
        assert refused(keys.authenticate, secret).code == "invalid_api_key"
        assert db.rows("select * from api_key union all select * from api_key") == []

    def test_a_new_secret_ends_the_old_one_and_keeps_the_use(self, keys: Keys) -> None:
        key, old = keys.create(Draft("x", rules=(TOKENS,)))
        keys.settle(keys.reserve(key, "m"), SPENT)
        _, new = keys.regenerate(key.id)
        assert refused(keys.authenticate, old).code == "invalid_api_key"
        assert keys.authenticate(new).id == key.id
        assert used(keys) == [120]

    def test_newest_first_even_within_a_millisecond(self, keys: Keys) -> None:
        for name in "abc":
            keys.create(Draft(name))
        assert [key.name for key in keys.all()] == ["c", "b", "a"]
        assert [key.name for key in reloaded().all()] == ["c", "b", "a"]

    def test_restrictions_survive_a_restart(self, keys: Keys) -> None:
        keys.create(Draft("x", models=("m",), accounts=("a", "b"), rules=(TOKENS,)))
        assert reloaded().all() == keys.all()

    def test_models(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", models=("gpt-5.2",)))
        keys.allow_model(key, "gpt-5.2")
        error = refused(keys.allow_model, key, "gpt-5.1")
        assert (error.status, error.code) == (403, "model_not_allowed")
        assert visible(key, ["a", "gpt-5.2"]) == ["gpt-5.2"]
        assert visible(None, ["a"]) == ["a"]

    def test_what_is_not_there(self, keys: Keys) -> None:
        for call in (keys.get, keys.delete, keys.regenerate):
            with pytest.raises(NotFound):
                call("nobody")
        with pytest.raises(NotFound):
            keys.edit("nobody", {})


class TestLimits:
    def test_settling_is_exact_and_happens_once(self, keys: Keys) -> None:
        rules = [Rule(m, "daily", 10**6) for m in limits.MEASURES]
        key, _ = keys.create(Draft("x", rules=tuple(rules)))
        held = keys.reserve(key, "m")
        assert used(keys) == [0] * 6
        keys.settle(held, SPENT)
        keys.settle(held, SPENT)
        keys.release(held)
        assert used(keys) == [120, 100, 20, 1500, 1, 7]
        assert keys.all()[0].used_at == db.now_ms()

    def test_releasing_leaves_nothing(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(Rule("requests", "5h", 1),)))
        held = keys.reserve(key, "m")
        assert refused(keys.reserve, key, "m").status == 429
        keys.release(held)
        keys.settle(held, SPENT)
        assert used(keys) == [0]
        keys.reserve(key, "m")

    def test_one_full_limit_holds_nothing_in_the_others(self, keys: Keys) -> None:
        rules = (TOKENS, Rule("requests", "5h", 1))
        key, _ = keys.create(Draft("x", rules=rules))
        keys.settle(keys.reserve(key, "m"), Spent(1, 1))
        for _ in range(3):
            assert "requests" in refused(keys.reserve, key, "m").message
        keys.edit(key.id, {}, [TOKENS])
        keys.release(keys.reserve(key, "m", Estimate(input=998)))

    def test_a_model_rule_counts_only_its_model(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(Rule("requests", "daily", 1, "big"),)))
        keys.settle(keys.reserve(key, "small"), SPENT)
        keys.settle(keys.reserve(key, "big"), SPENT)
        keys.settle(keys.reserve(key, "small"), SPENT)
        assert used(keys) == [1]
        assert "model big" in refused(keys.reserve, key, "big").message
        keys.allow_listing(key)

    def test_a_full_global_rule_also_closes_the_list_of_models(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(Rule("requests", "daily", 1),)))
        keys.settle(keys.reserve(key, "m"), SPENT)
        assert refused(keys.allow_listing, key).status == 429

    def test_the_next_window_is_empty(self, keys: Keys, clock: Clock) -> None:
        key, _ = keys.create(Draft("x", rules=(Rule("requests", "daily", 1),)))
        keys.settle(keys.reserve(key, "m"), SPENT)
        assert refused(keys.reserve, key, "m").retry_after == DAY // 1000
        clock.now += DAY
        assert used(keys) == [0]
        held = keys.reserve(key, "m")
        clock.now += DAY
        keys.settle(held, SPENT)  # it counts in the window in which it ends
        assert used(keys) == [1]
        assert keys.all()[0].limits[0].resets_at == clock.now + DAY

    def test_fifty_at_once_never_exceed_a_nearly_spent_key(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(TOKENS, Rule("requests", "daily", 29))))
        for _ in range(22):
            keys.settle(keys.reserve(key, "m"), Spent(20, 20))
        start, won = threading.Barrier(50), []

        def call(_: int) -> None:
            start.wait()
            try:
                held = keys.reserve(key, "m", Estimate(input=20))
            except AppError as error:
                assert error.code == "rate_limit_exceeded"
                return
            won.append(1)
            keys.settle(held, Spent(20, 20))

        with ThreadPoolExecutor(50) as pool:
            list(pool.map(call, range(50)))
        assert 1 <= len(won) <= 3
        assert used(keys) == [880 + 40 * len(won), 22 + len(won)]
        assert used(keys)[0] <= 1000

    @pytest.mark.parametrize(
        ("rule", "spent"),
        [
            pytest.param(Rule("output_tokens", "5h", 100_000), Spent(5, 30_000), id="long answers"),
            pytest.param(Rule("input_tokens", "5h", 3_500), Spent(1_000, 5), id="files, history"),
            pytest.param(Rule("total_tokens", "5h", 100_000), Spent(1_000, 30_000), id="both"),
            pytest.param(Rule("cost_usd", "5h", 1_000_000), Spent(1, 1, 900_000), id="dear"),
            pytest.param(Rule("credits", "5h", 25_000), Spent(1, 1, 1, 9_999), id="credits"),
        ],
    )
    def test_a_new_keys_calls_wait_for_what_the_first_one_uses(
        self, keys: Keys, rule: Rule, spent: Spent
    ) -> None:
        key, _ = keys.create(Draft("x", rules=(rule,)))
        start, won = threading.Barrier(50), []

        def call(_: int) -> None:
            start.wait()
            try:
                held = keys.reserve(key, "m", Estimate(input=2, input_cost=1, cost=2, credits=2))
            except AppError:
                return
            won.append(1)
            time.sleep(0.02)
            keys.settle(held, spent)

        with ThreadPoolExecutor(50) as pool:
            list(pool.map(call, range(50)))
        assert won
        assert used(keys)[0] <= rule.maximum

    @pytest.mark.parametrize(
        ("rule", "large", "first"),
        [
            pytest.param(
                Rule("total_tokens", "5h", 200_000), Spent(1_000, 95_000), None, id="long answers"
            ),
            pytest.param(
                Rule("output_tokens", "5h", 200_000), Spent(1_000, 95_000), None, id="their output"
            ),
            pytest.param(
                Rule("cost_usd", "5h", 6_000_000), Spent(1, 1, 2_900_000), None, id="dear ones"
            ),
            pytest.param(
                Rule("total_tokens", "5h", 200_000),
                Spent(1_000, 60_000),
                Spent(90, 9),
                id="a title",
            ),
        ],
    )
    def test_large_first_calls_at_once_stay_within_a_small_limit(
        self,
        keys: Keys,
        monkeypatch: pytest.MonkeyPatch,
        rule: Rule,
        large: Spent,
        first: Spent | None,
    ) -> None:
        monkeypatch.setattr("server.auth.keys.PATIENCE", 0.0)
        key, _ = keys.create(Draft("x", rules=(rule,)))
        asked = Estimate(input=1_000, input_cost=5_000, cost=250_000, most_cost=3_845_000)
        if first:
            keys.settle(keys.reserve(key, "m", asked), first)
        for round_ in range(3):
            together: list[Any] = []
            with contextlib.suppress(AppError):
                while len(together) < 50:  # all that the key lets run at once
                    together.append(keys.reserve(key, "m", asked))
            assert together or round_
            for held in together:
                keys.settle(held, large)
        assert used(keys)[0] <= rule.maximum

    @pytest.mark.parametrize(
        ("estimate", "together"),
        [
            pytest.param(Estimate(input=10, input_cost=50, cost=250_000), 3, id="a question"),
            pytest.param(
                Estimate(input=50_000, input_cost=60_000, cost=900_000, most_cost=4_000_000),
                2,
                id="a long one",
            ),
        ],
    )
    def test_a_fresh_keys_calls_run_side_by_side(
        self, keys: Keys, estimate: Estimate, together: int
    ) -> None:
        key, _ = keys.create(Draft("x", rules=ORDINARY))
        for known in (keys, reloaded()):  # nothing is known after a restart, either
            held = [known.reserve(key, "m", estimate) for _ in range(together)]
            for one in held:
                known.release(one)

    def test_after_a_restart_the_log_says_what_calls_use(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(*ORDINARY, Rule("total_tokens", "5h", 1, "big"))))
        with db.writing() as connection:
            connection.executemany(
                "insert into request_log (id, key, endpoint, model, status, attempts, input, "
                "output, cost, started_at) values (?, ?, '/v1/responses', 'm', 'success', '[]', "
                "?, 50, 3000, ?)",
                [(f"{n}", key.id, 2000, n) for n in range(20)] + [("c", key.id, None, 30)],
            )
        again = reloaded()
        for _ in range(60):  # unknown ones would hold 128,000
            again.reserve(key, "m", Estimate(input=10, cost=9))

    def test_a_nearly_spent_key_begins_nothing_that_would_not_fit(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(Rule("total_tokens", "5h", 100),)))
        for _ in range(6):
            keys.settle(keys.reserve(key, "m"), Spent(10, 5))
        error = refused(keys.reserve, key, "m")
        assert "less than its calls use" in error.message
        assert error.retry_after is not None and error.retry_after > 60
        assert used(keys) == [90]

    def test_one_huge_call_does_not_close_a_key_for_good(self, keys: Keys, clock: Clock) -> None:
        key, _ = keys.create(Draft("x", rules=(Rule("total_tokens", "5h", 100),)))
        keys.settle(keys.reserve(key, "m"), Spent(900, 0))
        clock.now += DAY
        keys.settle(keys.reserve(key, "m"), Spent(40, 0))

    def test_an_edit_during_a_call_loses_nothing(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(TOKENS, Rule("requests", "5h", 5))))
        held = keys.reserve(key, "m")
        keys.edit(key.id, {"name": "y"}, [Rule("total_tokens", "daily", 9000)])
        keys.settle(held, SPENT)
        assert used(keys) == [120]
        keys.save()
        assert used(reloaded()) == [120]

    def test_a_reset_empties_every_counter(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(TOKENS,)))
        keys.settle(keys.reserve(key, "m"), SPENT)
        keys.edit(key.id, {}, reset=True)
        assert used(keys) == used(reloaded()) == [0]

    def test_an_edit_while_an_account_is_removed_keeps_what_it_set(
        self, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key, _ = keys.create(Draft("x", accounts=("a", "gone")))
        real, began = keys._write, threading.Event()

        def remove() -> None:
            began.set()
            keys.forget_account("gone")

        removal = threading.Thread(target=remove)

        def late(*given: Any) -> Any:
            if not removal.ident:
                removal.start()
                began.wait(30)
            return real(*given)

        monkeypatch.setattr(keys, "_write", late)
        keys.edit(key.id, {"accounts": ("b", "gone")})
        removal.join(30)
        assert keys.get(key.id).accounts == reloaded().get(key.id).accounts == ("b",)

    def test_a_deleted_key_in_the_middle_of_a_call(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(TOKENS,)))
        held = keys.reserve(key, "m")
        keys.delete(key.id)
        keys.settle(held, SPENT)
        assert refused(keys.reserve, key, "m").code == "invalid_api_key"
        keys.save()


class TestWriteBehind:
    def test_use_is_stored_with_the_callers_transaction(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(TOKENS,)))
        keys.settle(keys.reserve(key, "m"), SPENT)
        assert used(reloaded()) == [0]
        with db.writing() as connection:
            flushed = keys.flush(connection)
        keys.stored(flushed)
        assert used(reloaded()) == [120]
        with db.writing() as connection:
            assert not keys.flush(connection)

    def test_a_transaction_that_failed_is_written_again(self, keys: Keys) -> None:
        key, _ = keys.create(Draft("x", rules=(TOKENS,)))
        keys.settle(keys.reserve(key, "m"), SPENT)
        with pytest.raises(ValueError, match="disk"), db.writing() as connection:
            keys.flush(connection)
            raise ValueError("disk full")
        assert used(reloaded()) == [0]
        keys.save()
        assert used(reloaded()) == [120]
        assert reloaded().all()[0].used_at == db.now_ms()

    def test_saving_nothing_writes_nothing(self, keys: Keys) -> None:
        keys.create(Draft("x", rules=(TOKENS,)))
        with db.reading() as connection:
            before = connection.execute("PRAGMA data_version").fetchone()
            keys.save()
            assert connection.execute("PRAGMA data_version").fetchone() == before
