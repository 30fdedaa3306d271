"""What a log tells of its calls: who began each, how long it took, and what is amiss in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.ingest.codex import State
from tests.rollouts import usage
from tests.test_codex import META, count, line, read, record, tokens, way

__all__ = ["way"]  # each test by the compiled part and by Python


def event(kind: str, at: int = 5000, **payload: Any) -> bytes:
    return line("event_msg", {"type": kind, **payload}, at)


def informed(info: Any) -> bytes:
    return event("token_count", info=info)


FULL = usage((1000, 100, 10, 0))


@pytest.mark.parametrize(
    ("odd", "expected", "kinds"),
    [
        pytest.param(informed(None), [], {}, id="null is usual: only the allowance is told"),
        pytest.param(informed("x"), [], {"missing_info": 1}, id="a text"),
        pytest.param(informed({}), [], {"missing_info": 1}, id="nothing"),
        pytest.param(event("token_count"), [], {"missing_info": 1}, id="not even a name"),
        pytest.param(
            informed({"total_token_usage": FULL, "last_token_usage": {"input_tokens": 1000}}),
            [(1000, 100, 10, 0)],
            {"partial_count": 1},
            id="what the call does not tell, its total does",
        ),
        pytest.param(
            informed({"last_token_usage": {"input_tokens": 1000}}),
            [(1000, 0, 0, 0)],
            {"partial_count": 1, "missing_total": 1},
            id="nor does a total",
        ),
        pytest.param(
            informed({"total_token_usage": FULL}),
            [(1000, 100, 10, 0)],
            {"missing_last": 1},
            id="no figures of the call",
        ),
        pytest.param(
            informed({"last_token_usage": FULL}),
            [(1000, 100, 10, 0)],
            {"missing_total": 1},
            id="no total",
        ),
        pytest.param(
            informed(
                {
                    "total_token_usage": FULL,
                    "last_token_usage": FULL,
                    "model_context_window": "wide",
                }
            ),
            [(1000, 100, 10, 0)],
            {"bad_window": 1},
            id="a window that is no number",
        ),
        pytest.param(event("brand_new"), [], {"unknown_event": 1}, id="an event nobody knows"),
        pytest.param(
            line("event_msg", {"text": "x", "type": "brand_new"}),
            [],
            {"unknown_event": 1},
            id="its name elsewhere",
        ),
        pytest.param(line("brand_new", {}), [], {"unknown_line": 1}, id="a line nobody knows"),
        pytest.param(
            line("response_item", {"type": "brand_new"}), [], {}, id="items are not for us"
        ),
        pytest.param(
            event("agent_message", message=r'{"type":"event_msg","payload":{"type":"brand_new"'),
            [],
            {},
            id="a body that looks like one",
        ),
    ],
)
@pytest.mark.parametrize("spaced", [False, True], ids=["usual", "spaced"])
def test_nothing_is_dropped_without_a_word(
    odd: bytes, expected: list[tuple[int, ...]], kinds: dict[str, int], spaced: bool
) -> None:
    if spaced:  # as another writer has it
        odd = json.dumps(json.loads(odd)).encode() + b"\n"
    records, _ = read(line("session_meta", META), odd)
    assert tokens(records) == expected
    assert records.warnings == kinds


def test_a_call_that_lacks_a_figure_has_what_its_counter_went_on_by() -> None:
    lacking = informed(
        {
            "total_token_usage": usage((1500, 300, 25, 4)),
            "last_token_usage": {"input_tokens": 500, "output_tokens": 15},
        }
    )
    records, _ = read(
        line("session_meta", META), count((1000, 100, 10, 0), (1000, 100, 10, 0)), lacking
    )
    assert tokens(records) == [(1000, 100, 10, 0), (500, 200, 15, 4)]


def told_of(*lines: bytes, kind: str | None = None) -> list[tuple[str, int | None]]:
    """Who began each call, and how long it took."""
    source = {"source": {"subagent": kind}} if kind else {}
    records, _ = read(line("session_meta", META | source), *lines)
    return [(call[4], call[6]) for call in records.calls]


def moved(n: int, at: int) -> bytes:
    return count((10 * n, 0, n, 0), (10, 0, 1, 0), at)


TURN = line("turn_context", {"turn_id": "t", "model": "gpt-5", "cwd": "/x"}, 1000)
ASKED = event("user_message", 1200, message="go")
OUTPUT = line("response_item", {"type": "function_call_output", "output": "x"}, 4000)
CALL = line("response_item", {"type": "function_call", "name": "shell"}, 2500)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [TURN, ASKED, moved(1, 2000), moved(2, 5000), moved(3, 9000)],
            [("user", 1000), ("unknown", 3000), ("unknown", 4000)],
            id="a log that says no more than that calls were made",
        ),
        pytest.param(
            [TURN, ASKED, CALL, moved(1, 3000), OUTPUT, CALL, moved(2, 6000)],
            [("user", 2000), ("tool", 2000)],
            id="a tool gave something back; its own time is not the model's",
        ),
        pytest.param(
            [TURN, ASKED, moved(1, 2000), event("mcp_tool_call_end", 4000), moved(2, 6000)],
            [("user", 1000), ("tool", 2000)],
            id="a tool of a server",
        ),
        pytest.param(
            [TURN, ASKED, moved(1, 2000), event("agent_message", 3000), moved(2, 6000)],
            [("user", 1000), ("agent", 4000)],
            id="it went on by itself",
        ),
        pytest.param(
            [
                TURN,
                ASKED,
                moved(1, 2000),
                OUTPUT,
                line("compacted", {"message": ""}),
                moved(2, 6000),
            ],
            [("user", 1000), ("compaction", 2000)],
            id="its history was cut short",
        ),
        pytest.param(
            [TURN, ASKED, moved(1, 2000), event("context_compacted", 3000), moved(2, 6000)],
            [("user", 1000), ("compaction", 4000)],
            id="… as an event says",
        ),
        pytest.param(
            [
                TURN,
                ASKED,
                moved(1, 2000),
                event("user_message", 60_000, message="?"),
                moved(2, 61_000),
            ],
            [("user", 1000), ("user", 1000)],
            id="nobody worked until somebody asked again",
        ),
        pytest.param(
            [TURN, ASKED, moved(1, 2000), moved(1, 4000), moved(2, 6000)],
            [("user", 1000), ("unknown", 4000)],
            id="a count told again is no end of a call",
        ),
        pytest.param([moved(1, 2000)], [("unknown", None)], id="nothing is known of the beginning"),
    ],
)
def test_who_began_a_call_is_what_the_log_tells(
    lines: list[bytes], expected: list[tuple[str, int | None]]
) -> None:
    assert told_of(*lines) == expected
    whole = [line("session_meta", META), *lines]
    state, found = State(), []
    for one in whole:  # in pieces it is the same
        records, state = read(one, state=State.load(json.loads(json.dumps(state.dump()))))
        found += [(call[4], call[6]) for call in records.calls]
    assert found == expected


def test_in_an_agents_thread_an_agent_asks() -> None:
    assert told_of(moved(1, 2000), moved(2, 3000), kind="review") == [
        ("agent", None),
        ("agent", 1000),
    ]


def test_a_named_call_without_a_tools_result_was_begun_by_no_tool() -> None:
    again = record() | {"response_id": "second"}
    lines = [line("token_usage_record", one) for one in (record(), again)]
    assert [who for who, _ in told_of(*lines)] == ["user", "unknown"]
    assert [who for who, _ in told_of(lines[0], OUTPUT, lines[1])] == ["user", "tool"]
