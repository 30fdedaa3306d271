"""Prices and credits: exact, estimated, or honestly unknown."""

from __future__ import annotations

import pytest

from server.ingest import reader
from server.usage.days import Days
from server.usage.pricing import Parts, Price, Tokens, costs, names, parts, price

JUNE, LATE = 1_780_000_000_000, 1_786_000_000_000  # before and after 30 July 2026
MILLION = Tokens(200_000, 100_000, 10_000, 5_000)


@pytest.mark.parametrize(
    ("model", "tier", "at", "tokens", "cost", "status"),
    [
        pytest.param("gpt-5.5", None, JUNE, MILLION, 850_000, "exact", id="standard"),
        pytest.param("GPT-5.5", "default", JUNE, MILLION, 850_000, "exact", id="any case"),
        pytest.param("gpt-5.5", "priority", JUNE, MILLION, 2_125_000, "estimated", id="priority"),
        pytest.param("gpt-5.5", "fast", JUNE, MILLION, 2_125_000, "estimated", id="fast"),
        pytest.param("gpt-5.5", "flex", JUNE, MILLION, 425_000, "estimated", id="flex"),
        pytest.param(
            "gpt-5.4-mini", "priority", JUNE, MILLION, 127_500, "estimated", id="no such tier rate"
        ),
        pytest.param(
            "gpt-5.4", None, JUNE, Tokens(272_000, 0, 0), 680_000, "exact", id="just not long"
        ),
        pytest.param(
            "gpt-5.4", None, JUNE, Tokens(272_001, 0, 0), 1_360_005, "exact", id="long context"
        ),
        pytest.param(
            "gpt-5.4", "flex", JUNE, Tokens(300_000, 0, 1_000), 761_250, "estimated", id="long flex"
        ),
        pytest.param(
            "gpt-5.6-terra", None, JUNE, Tokens(1_000_0, 0, 0), 25_000, "exact", id="old rate"
        ),
        pytest.param(
            "gpt-5.6-terra", None, LATE, Tokens(1_000_0, 0, 0), 20_000, "exact", id="new rate"
        ),
        pytest.param(
            "gpt-5.6", None, LATE, Tokens(1_000, 0, 0, 0, 400), 5_500, "exact", id="cache writes"
        ),
        pytest.param(
            "gpt-5.2-pro", None, LATE, Tokens(1_000, 500, 0), 21_000, "exact", id="no cached rate"
        ),
        pytest.param(
            "gpt-5", None, LATE, Tokens(100, 500, 0), 13, "exact", id="cached above input"
        ),
        pytest.param(
            "codex-auto-review", None, LATE, Tokens(1_000, 0, 0), 1_500, "estimated", id="estimate"
        ),
        pytest.param("gpt-6.1", None, LATE, MILLION, None, "unpriced", id="unknown is not 0"),
        pytest.param("gpt-5.5-x", None, LATE, MILLION, None, "unpriced", id="no prefix guess"),
        pytest.param(None, None, LATE, MILLION, None, "unpriced", id="no model"),
    ],
)
def test_price(
    model: str | None, tier: str | None, at: int, tokens: Tokens, cost: int | None, status: str
) -> None:
    found = price(model, tier, at, tokens)
    assert (found.cost, found.status) == (cost, status)


def test_credits_follow_the_rate_card() -> None:
    assert price("gpt-5.5", None, JUNE, Tokens(1_000_000, 0, 0)).credits == 125_000_000
    assert price("gpt-5.4-nano", None, JUNE, Tokens(1_000, 0, 0)).credits is None
    assert price("gpt-6.1", None, JUNE, MILLION) == Price(None, "unpriced", None)


def test_every_name_has_a_price() -> None:
    assert len(names()) > 25
    assert all(price(name, None, LATE, Tokens(1_000)).cost is not None for name in names())


@pytest.mark.parametrize(
    ("model", "tokens", "expected"),
    [
        pytest.param("gpt-5.5", MILLION, Parts(500_000, 50_000, 300_000), id="adds up to the cost"),
        pytest.param(
            "gpt-5.4", Tokens(272_001, 0, 0), Parts(1_360_005, 0, 0), id="long context rates"
        ),
        pytest.param("gpt-5.5", Tokens(5, 9, 0), Parts(0, 3, 0), id="more cached than there is"),
        pytest.param("no-such-model", MILLION, None, id="unpriced"),
        pytest.param(None, MILLION, None, id="no model"),
    ],
)
def test_parts(model: str | None, tokens: Tokens, expected: Parts | None) -> None:
    assert parts(model, None, JUNE, tokens) == expected
    if expected is not None and tokens is MILLION:
        assert sum(expected) == price(model, None, JUNE, tokens).cost


@pytest.mark.parametrize("model", [*names(), "gpt-unheard-of", None])
def test_many_calls_cost_what_each_one_costs(model: str | None) -> None:
    hours = range(1_700_000_000_000, 1_830_000_000_000, 86_400_000 * 30)
    figures = [(1000, 400, 0, 7, 3), (900_000, 1, 5, 77, 3), (10, 40, 3, 7, 0), (0, 0, 0, 0, 0)]
    calls = [
        ("id", None, model, None, "tool", at, None, *tokens, None, None, 0)
        for at in hours
        for tokens in figures
    ]
    batch = reader.Batch()
    reader._add_calls(batch, calls, Days("UTC"), __file__)
    assert len(batch.rows) == len(calls)
    for row in batch.rows:
        first, cached, written, output, reasoning = row[7:12]
        assert row[15:] == costs(model, None, row[5], (first, cached, output, reasoning, written))
