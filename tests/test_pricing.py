"""Prices and credits: exact, estimated, or honestly unknown."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from server.ingest import reader
from server.usage import ownprices, pricing, tables
from server.usage.days import Days
from server.usage.pricing import Parts, Price, Tokens, costs, names, parts, price

EDITION = ("2026-11-21", "9ef489e12966")
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
            "gpt-5.4-nano", "priority", JUNE, MILLION, 34_500, "estimated", id="no such tier rate"
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


def ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


# A thousand of each kind, which makes no call long.
KINDS = {
    "input": Tokens(1000),
    "read": Tokens(1000, cached=1000),
    "5m": Tokens(1000, cache_written=1000),
    "1h": Tokens(1000, cache_written=1000, cache_written_1h=1000),
    "output": Tokens(0, output=1000),
}
NOW = ms("2026-11-21")


@pytest.mark.parametrize(
    ("model", "at", "rates"),
    [
        pytest.param("claude-fable-5-2", NOW, (8, 0.2, 10, 16, 40), id="fable 5.2"),
        pytest.param("claude-fable-5-1", NOW, (10, 0.25, 12.5, 20, 50), id="a cheaper cache"),
        pytest.param("claude-mythos-5", NOW, (10, 1, 12.5, 20, 50), id="mythos 5"),
        pytest.param("claude-opus-5-5", NOW, (4, 0.2, 5, 8, 20), id="opus 5.5"),
        pytest.param("claude-opus-5", NOW, (5, 0.5, 6.25, 10, 25), id="opus 5"),
        pytest.param("claude-opus-4-6", NOW, (5, 0.5, 6.25, 10, 25), id="opus 4.6"),
        pytest.param("claude-opus-4-1-20250805", NOW, (15, 1.5, 18.75, 30, 75), id="opus 4.1"),
        pytest.param("claude-sonnet-5-5", ms("2026-10-06"), (2, 0.2, 2.5, 4, 10), id="till a day"),
        pytest.param("claude-sonnet-5-5", ms("2026-10-07"), (2, 0.1, 2.5, 4, 10), id="from it on"),
        pytest.param("claude-sonnet-4-5-20250929", NOW, (3, 0.3, 3.75, 6, 15), id="sonnet 4.5"),
        pytest.param("claude-haiku-5-5", NOW, (0.1, 0.01, 0.125, 0.2, 0.5), id="haiku 5.5"),
        pytest.param("claude-haiku-4-5", NOW, (1, 0.1, 1.25, 2, 5), id="haiku 4.5"),
        pytest.param("claude-3-5-haiku-20241022", NOW, (0.8, 0.08, 1, 1.6, 4), id="haiku 3.5"),
        pytest.param("claude-3-haiku-20240307", NOW, (0.25, 0.03, 0.3, 0.5, 1.25), id="haiku 3"),
        pytest.param("gpt-6.2-sol", NOW, (2, 0.1, 2.5, 2.5, 10), id="no choice of writes"),
        pytest.param("gpt-6.1-sol", NOW, (2, 0.1, 2.5, 2.5, 10), id="Codex' default"),
        pytest.param("gpt-6-astra", NOW, (10, 1, 12.5, 12.5, 50), id="the dearest"),
        pytest.param("gpt-6-luna", NOW, (0.1, 0.01, 0.125, 0.125, 0.5), id="the cheapest"),
        pytest.param("gpt-5.6-sol", ms("2026-08-20"), (5, 0.5, 6.25, 6.25, 30), id="before a cut"),
        pytest.param("gpt-5.6-sol", ms("2026-08-21"), (4, 0.4, 5, 5, 20), id="after the cut"),
    ],
)
def test_each_kind_of_token_costs_its_own(model: str, at: int, rates: tuple[float, ...]) -> None:
    found = {kind: price(model, None, at, tokens) for kind, tokens in KINDS.items()}
    assert [one.cost for one in found.values()] == [round(rate * 1000) for rate in rates]
    assert {one.status for one in found.values()} == {"exact"}


@pytest.mark.parametrize(
    ("model", "tier", "day", "tokens", "cost", "status"),
    [
        pytest.param("claude-haiku-5-5", None, "2026-11-21", Tokens(100_000, 0, 1000), 10_500,
                     "exact", id="not yet long"),
        pytest.param("claude-haiku-5-5", None, "2026-11-21", Tokens(100_001, 0, 1000), 52_501,
                     "exact", id="long: the output too"),
        pytest.param("claude-haiku-5-5", None, "2026-11-21",
                     Tokens(200_000, 150_000, 0, 0, 50_000, 50_000), 57_500, "exact",
                     id="what is cached makes it long, and costs the long rate"),
        pytest.param("claude-sonnet-4-5", None, "2026-11-21", Tokens(200_001, 0, 0), 1_200_006,
                     "exact", id="above 200,000"),
        pytest.param("claude-opus-4-6", None, "2026-03-12", Tokens(300_000, 0, 0), 3_000_000,
                     "exact", id="while long calls cost more"),
        pytest.param("claude-opus-4-6", None, "2026-03-13", Tokens(300_000, 0, 0), 1_500_000,
                     "exact", id="since they do not"),
        pytest.param("claude-opus-4-6", "fast", "2026-11-21", Tokens(1000, 0, 1000), 180_000,
                     "exact", id="fast: the answer says so"),
        pytest.param("claude-opus-4-6", "fast", "2026-03-12", Tokens(300_000, 0, 0), 18_000_000,
                     "exact", id="fast and long"),
        pytest.param("claude-opus-5-5", "fast", "2026-11-21",
                     Tokens(2000, 1000, 0, 0, 1000, 1000), 16_400, "exact", id="fast: the cache"),
        pytest.param("claude-sonnet-5-5", "fast", "2026-11-21", Tokens(1000), 2000, "estimated",
                     id="fast where there is no such rate"),
        pytest.param("claude-opus-5-5[1m]", None, "2026-11-21", Tokens(1000), 4000, "exact",
                     id="with its longest context"),
        pytest.param("global.anthropic.claude-sonnet-4-5-20250929-v1:0", None, "2026-11-21",
                     Tokens(1000), 3000, "exact", id="Bedrock, everywhere"),
        pytest.param("us.anthropic.claude-opus-4-6-v1", None, "2026-11-21", Tokens(1000), 5000,
                     "estimated", id="Bedrock, in a region"),
        pytest.param("claude-haiku-4-5@20251001", None, "2026-11-21", Tokens(1000), 1000,
                     "estimated", id="Vertex"),
        pytest.param("claude-opus-4-7@default", None, "2026-11-21", Tokens(1000), 5000,
                     "estimated", id="Vertex, without a date"),
        pytest.param("anthropic/claude-opus-4.8", None, "2026-11-21", Tokens(1000), 5000,
                     "estimated", id="a gateway"),
        pytest.param("claude-opus-6", None, "2026-11-21", MILLION, None, "unpriced",
                     id="a model to come"),
        pytest.param("claude-opus-4-6-20260205", None, "2026-11-21", MILLION, None, "unpriced",
                     id="a date that is not official"),
        pytest.param("claude", None, "2026-11-21", MILLION, None, "unpriced", id="a family"),
        pytest.param("gpt-6.1-sol", "priority", "2026-11-21", Tokens(300_000, 0, 1000), 2_430_000,
                     "estimated", id="fast and long, of OpenAI's newest"),
        pytest.param("gpt-6.2-sol", "ultrafast", "2026-11-21", Tokens(1000), 6000, "estimated",
                     id="ultrafast"),
        pytest.param("gpt-6.2-sol", "ultrafast", "2027-03-01", Tokens(1000), 12_000, "estimated",
                     id="ultrafast, later"),
        pytest.param("gpt-5.5", "somehow", "2026-11-21", Tokens(1000), 5000, "estimated",
                     id="a tier that nobody knows"),
        pytest.param("gpt-daybreak-blue-latest", None, "2026-11-21", Tokens(1000), 4000,
                     "estimated", id="a name that may lead elsewhere"),
        pytest.param("gpt-daybreak-red-latest", None, "2026-11-21", MILLION, None, "unpriced",
                     id="a name without a price"),
        pytest.param("gpt-5.1-2025-11-13", None, "2026-11-21", Tokens(1000), 1250, "exact",
                     id="a snapshot"),
    ],
)  # fmt: skip
def test_tiers_long_calls_and_names(
    model: str, tier: str | None, day: str, tokens: Tokens, cost: int | None, status: str
) -> None:
    found = price(model, tier, ms(day), tokens)
    assert (found.cost, found.status) == (cost, status)


@pytest.mark.parametrize("model", [name for name in names() if "claude" in name] + ["claude-x"])
def test_many_calls_of_claude_cost_what_each_one_costs(model: str) -> None:
    figures = [(90_000, 400, 300, 7, 0), (900_000, 1, 5, 77, 0), (0, 0, 0, 0, 0)]
    calls = [
        ("id", None, model, None, "unknown", at, None, *tokens, None, None, 0, hour, tier)
        for at in range(ms("2026-01-01"), NOW, 86_400_000 * 60)
        for tokens in figures
        for hour, tier in ((0, None), (tokens[2], None), (tokens[2] // 2, "fast"))
    ]
    batch = reader.Batch()
    reader._add_calls(batch, calls, Days("UTC"), __file__)
    assert len(batch.rows) == len(calls) and batch.warnings == {}
    for row, call in zip(batch.rows, calls, strict=True):
        first, cached, written, output, reasoning = row[7:12]
        told = first, cached, output, reasoning, written, call[15]
        assert row[15:18] == costs(model, call[16], row[5], told)
        assert row[18:] == call[15:]


def test_no_more_is_kept_for_an_hour_than_was_written() -> None:
    call = ("id", None, "claude-opus-5", None, "unknown", NOW, None, 10, 0, 4, 1, 0, None, None, 0)
    batch = reader.Batch()
    reader._add_calls(batch, [(*call, 9, None)], Days("UTC"), __file__)
    assert batch.rows[0][18:] == (4, None) and batch.warnings == {"mended_number": 1}


def test_a_new_table_has_a_new_edition() -> None:
    """Whoever changes the tables changes `edition` too: it has stored calls priced anew."""
    shipped = tables.read("prices.json")
    edition = shipped.pop("edition")
    text = json.dumps([shipped, tables.read("credit_rates.json")], sort_keys=True)
    assert (edition, hashlib.sha256(text.encode()).hexdigest()[:12]) == EDITION


def test_the_shipped_table_comes_back_through_a_file() -> None:
    shipped = tables.read("prices.json")
    again = ownprices.tables(json.loads(json.dumps(ownprices.pinned(shipped, "x", "y"))))
    assert again == {"models": shipped["models"], "aliases": shipped["aliases"]}


@pytest.mark.parametrize(
    ("rates", "entry"),
    [
        pytest.param({"input": 2, "output": 8, "cache_write_per_million": 2.5,
                      "cache_write_1h_per_million": 4},
                     {"standard": [2, None, 8], "cacheWrite": 1.25, "cacheWriteHour": 2},
                     id="writes in dollars"),
        pytest.param({"input": 2, "output": 8}, {"standard": [2, None, 8]}, id="no writes"),
        pytest.param([{"standard": [1, 2, 3], "longAbove": 5, "fast": [2, 4, 6]}],
                     {"standard": [1, 2, 3], "fast": [2, 4, 6], "longAbove": 5}, id="an entry"),
        pytest.param([{"standard": [1, 2, 3], "cacheWriteHour": -1}],
                     "cacheWriteHour of m is no number from 0 to 100", id="below nothing"),
        pytest.param([{"standard": [1, 2, 3], "longAbove": "x"}],
                     "longAbove of m is no number from 0 to 1000000000", id="a text"),
        pytest.param({"input": 2, "output": 8, "cache_write_per_million": -1},
                     "a rate of m is no number from 0 up", id="a write below nothing"),
    ],
)  # fmt: skip
def test_what_an_own_file_may_say(rates: Any, entry: Any) -> None:
    given = {"models": {"m": rates}}
    if isinstance(entry, str):
        with pytest.raises(ValueError, match=entry):
            ownprices.tables(given)
    else:
        assert ownprices.tables(given)["models"]["m"] == [entry]


def test_an_own_price_holds_for_every_spelling() -> None:
    own = {"models": {"claude-opus-5": [{"standard": [1, 1, 1]}]}, "aliases": {}}
    pricing.use(own, {})
    try:
        for name in ("claude-opus-5", "Claude-Opus-5[1m]", "us.anthropic.claude-opus-5-v1:0"):
            assert price(name, None, NOW, Tokens(1000)).cost == 1000
            assert pricing.listed(name) == "claude-opus-5"
    finally:
        pricing.use({}, {})
