from __future__ import annotations

import random

import orjson
import pytest

from server.proxy import sse
from server.usage.pricing import Tokens
from tests.upstream import completed, created, event, failed, item, message, spoken

ODD = [
    b": a comment\n\n",
    b'data: {"type":"response.created","response":{"id":"r1"}}\r\n\r\n',
    b'event: x\rdata: {"type":"response.output_text.delta",\rdata: "delta":"1"}\r\r',
    b'data:{"type":"response.output_text.delta","delta":"\xe2\x80\xa8\xc2\x85"}\n\n',
    completed("r1"),
    b"data: [DONE]\n\n",
]


def test_every_split_gives_the_same_events() -> None:
    whole = b"".join(ODD)
    for cut in range(len(whole)):
        reader = sse.Reader()
        found = reader.feed(whole[:cut]) + reader.feed(whole[cut:])
        assert b"".join(found) == whole
        assert (reader.response_id, reader.terminal) == ("r1", "response.completed")


def test_random_crumbs_give_the_same_bytes() -> None:
    whole = b"".join(ODD * 3)
    draw = random.Random(7)
    for _ in range(50):
        reader, found, at = sse.Reader(), [], 0
        while at < len(whole):
            step = draw.randint(1, 9)
            found += reader.feed(whole[at : at + step])
            at += step
        assert b"".join(found) == whole
        assert reader.tokens == Tokens(1000, 800, 50, 10, 0)


@pytest.mark.parametrize(
    ("events", "begun", "terminal", "failure"),
    [
        pytest.param([created()], False, None, None, id="an opening commits to nothing"),
        pytest.param([b": ping\n\n", b"data: [DONE]\n\n"], False, None, None, id="nor noise"),
        pytest.param([event("codex.rate_limits")], False, None, None, id="nor the allowance"),
        pytest.param([created(), item(message("x"))[0]], True, None, None, id="an item does"),
        pytest.param(spoken(), True, "response.completed", None, id="a whole answer"),
        pytest.param([completed()], True, "response.completed", None, id="completed alone"),
        pytest.param(
            [event("response.incomplete", response={"id": "r"})],
            True,
            "response.incomplete",
            None,
            id="incomplete is an end",
        ),
        pytest.param(
            [created(), failed("slow_down")], False, None, "slow_down", id="failed before an item"
        ),
        pytest.param(
            [event("error", code="a", message="b")], False, None, "a", id="a flat error event"
        ),
        pytest.param(
            [event("error", error={"code": "c"})], False, None, "c", id="a nested error event"
        ),
        pytest.param([event("error", error={"type": "t"})], False, None, "t", id="only a type"),
        pytest.param([event("error")], False, None, "error", id="an error that says nothing"),
        pytest.param(
            [*item(message("x")), failed("rate_limit_exceeded")],
            True,
            None,
            "rate_limit_exceeded",
            id="failed after an item",
        ),
        pytest.param(
            [event("response.output_text.delta", delta='"type":"response.completed" "error"')],
            True,
            None,
            None,
            id="text that talks about events",
        ),
    ],
)
def test_what_a_stream_says(
    events: list[bytes], begun: bool, terminal: str | None, failure: str | None
) -> None:
    reader = sse.Reader()
    reader.feed(b"".join(events))
    assert (reader.begun, reader.terminal) == (begun, terminal)
    assert (reader.failure.code if reader.failure else None) == failure


def test_the_last_event_may_lack_its_blank_line() -> None:
    reader = sse.Reader()
    reader.feed(created() + completed().rstrip())
    assert reader.terminal is None
    assert reader.end()[0].endswith(b"\n\n")
    assert reader.terminal == "response.completed"


def test_half_an_event_is_dropped_at_the_end() -> None:
    reader = sse.Reader()
    reader.feed(completed()[:40])
    assert reader.end() == []


def test_an_event_may_be_large_but_not_boundless() -> None:
    reader = sse.Reader(max_event=1000)
    assert reader.feed(b"data: " + b"x" * 900 + b"\n\n")
    with pytest.raises(sse.EventTooLarge):
        reader.feed(b"data: " + b"x" * 2000)


def test_a_large_event_in_small_pieces_takes_linear_time() -> None:
    reader = sse.Reader()
    for _ in range(2000):
        reader.feed(b"x" * 4096)
    assert len(reader.feed(b"\n\n")[0]) == 2000 * 4096 + 2


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(None, None, id="none"),
        pytest.param({"input_tokens": 1}, None, id="half of it is unknown, not zero"),
        pytest.param({"input_tokens": True, "output_tokens": 1}, None, id="a flag is no count"),
        pytest.param({"input_tokens": -1, "output_tokens": 1}, None, id="below zero"),
        pytest.param({"input_tokens": 2**60, "output_tokens": 1}, None, id="beyond reason"),
        pytest.param({"input_tokens": 5, "output_tokens": 1}, Tokens(5, 0, 1, 0, 0), id="plain"),
        pytest.param(
            {
                "input_tokens": 12.0,
                "input_tokens_details": {"cached_tokens": 4.0},
                "output_tokens": 1e3,
            },
            Tokens(12, 4, 1000, 0, 0),
            id="whole numbers written with a point",
        ),
        pytest.param({"input_tokens": 12.5, "output_tokens": 1}, None, id="half a token"),
        pytest.param(
            {"input_tokens": 5, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 9}},
            Tokens(5, 5, 3, 0, 0),
            id="cached lies inside input",
        ),
        pytest.param(
            {
                "input_tokens": 5,
                "output_tokens": 3,
                "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
            Tokens(5, 1, 3, 2, 2),
            id="all parts",
        ),
        pytest.param(
            {"input_tokens": 5, "output_tokens": 3, "input_tokens_details": "x"},
            Tokens(5, 0, 3, 0, 0),
            id="details that are none",
        ),
    ],
)
def test_tokens(usage: object, expected: Tokens | None) -> None:
    assert sse.tokens(usage) == expected


def test_a_reset_is_in_milliseconds() -> None:
    told = sse.failure(orjson.loads(b'{"type":"error","error":{"code":"x","resets_at":5}}'))
    assert told.resets_at == 5000
