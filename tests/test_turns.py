"""Where a turn's time went, what changed since the call before, and when to start afresh."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Config
from server.store import db
from server.usage import thresholds
from server.usage.afresh import Step, advice
from server.usage.deltas import confidence, deltas
from server.usage.turns import Made, Ran, Segment, Tried, begun, course, shared, tools

AT = 1_795_225_400_000


@pytest.mark.parametrize(
    ("made", "segments"),
    [
        pytest.param(
            Made("a", 9_000, 4_000, 500, 5_000, 700, 3_900),
            [("waiting", 5_000, 5_700, "proxy"), ("streaming", 5_700, 8_900, "proxy")],
            id="the proxy measured it itself",
        ),
        pytest.param(
            Made("a", 9_000, 4_000, 500, 5_000, None, 3_900),
            [("model", 5_000, 8_900, "proxy")],
            id="no first event was seen",
        ),
        pytest.param(
            Made("a", 9_000, 4_000, 500, None, None, None),
            [("waiting", 5_000, 5_500, "telemetry"), ("streaming", 5_500, 9_000, "telemetry")],
            id="telemetry knows the first token",
        ),
        pytest.param(
            Made("a", 9_000, 4_000, 4_500, None, None, None),
            [("model", 5_000, 9_000, "log")],
            id="a first token after the end is none",
        ),
        pytest.param(
            Made("a", 9_000, 4_000, None, None, None, None),
            [("model", 5_000, 9_000, "log")],
            id="the log knows how long it took",
        ),
        pytest.param(Made("a", 9_000, None, None, None, None, None), [], id="nobody knows"),
    ],
)
def test_a_calls_course(made: Made, segments: list[tuple[str, int, int, str]]) -> None:
    assert [(s.kind, s.start, s.end, s.source) for s in course(made)] == segments


@pytest.mark.parametrize(
    ("decided", "segments"),
    [
        pytest.param(None, [("tool", 1_000, 5_000)], id="nobody was asked"),
        pytest.param(4_000, [("approval", 1_000, 4_000), ("tool", 4_000, 5_000)], id="asked"),
        pytest.param(900, [("tool", 1_000, 5_000)], id="decided before it began"),
        pytest.param(6_000, [("tool", 1_000, 5_000)], id="decided for another run"),
    ],
)
def test_an_approval_is_told_from_the_tools_run(
    decided: int | None, segments: list[tuple[str, int, int]]
) -> None:
    results = [Ran("t", "exec_command", 5_000, 4_000, True)]
    asked = [] if decided is None else [Ran("t", "exec_command", decided, None, None)]
    found: list[Segment] = tools(results, asked)
    assert [(s.kind, s.start, s.end) for s in found] == segments


@pytest.mark.parametrize(
    ("call", "tried", "segments"),
    [
        pytest.param(
            Made("a", 9_000, 8_500, 500, None, None, None),
            [
                Tried(5_000, 5_100, 500, False, "telemetry"),
                Tried(6_000, 6_200, 200, True, "telemetry"),
            ],
            [("retry", 5_000, 6_000), ("waiting", 6_000, 6_700), ("streaming", 6_700, 9_000)],
            id="telemetry saw each attempt",
        ),
        pytest.param(
            Made("a", 9_000, 8_500, None, None, None, None),
            [Tried(6_000, 6_200, 200, True, "telemetry")],
            [("model", 6_000, 9_000)],
            id="when it was sent is telemetry's, not the log's line before",
        ),
        pytest.param(
            Made("a", 9_000, 4_000, None, 5_000, 3_000, 3_900),
            [
                Tried(4_000, 4_100, 500, False, "proxy"),
                Tried(5_000, 6_500, 429, False, "proxy", "a"),
            ],
            [("retry", 4_000, 6_500), ("waiting", 6_500, 8_000), ("streaming", 8_000, 8_900)],
            id="the client's and the proxy's attempts are one",
        ),
        pytest.param(
            Made("a", 9_000, 4_000, None, 5_000, 700, 3_900),
            [Tried(4_900, 5_000, 200, True, "telemetry")],
            [("waiting", 5_000, 5_700), ("streaming", 5_700, 8_900)],
            id="the proxy's word decides",
        ),
        pytest.param(
            Made("a", 9_000, 4_000, None, None, None, None),
            [Tried(5_000, 5_100, 500, False, "telemetry")],
            [("model", 5_000, 9_000)],
            id="which attempt went well is not known",
        ),
    ],
)
def test_attempts_of_one_request_stand_together(
    call: Made, tried: list[Tried], segments: list[tuple[str, int, int]]
) -> None:
    found = course(call, tried)
    assert [(s.kind, s.start, s.end) for s in found] == segments
    failed = [one for one in tried if not one.went]
    if found[0].kind == "retry":
        assert (found[0].attempts, found[0].call) == (len(failed), "a")
        assert found[0].name == ", ".join(f"HTTP {one.status}" for one in failed)


def test_an_attempt_belongs_to_the_call_that_it_led_to() -> None:
    made = [Made(name, at, None, None, None, None, None) for name, at in (("a", 100), ("b", 200))]
    tried = [Tried(at, at + 5, 200, True, "telemetry") for at in (190, 10, 90, 120, 300)]
    found = shared(made, tried)
    assert [one.start for one in found["a"]] == [10, 90]
    assert [one.start for one in found["b"]] == [120, 190]


def test_what_failed_beside_a_call_led_to_the_next() -> None:
    made = [Made("a", 100, None, None, 20, 5, 80), Made("b", 200, None, None, 120, 5, 80)]
    found = shared(
        made,
        [Tried(50, 60, 503, False, "proxy"), Tried(10, 15, 503, False, "proxy"),
         Tried(120, 130, 429, False, "proxy", "b")],
    )  # fmt: skip
    assert [one.start for one in found["a"]] == [10]
    assert [one.start for one in found["b"]] == [50, 120]


@pytest.mark.parametrize(
    ("turn", "at"),
    [
        pytest.param("01a1fbcb-e8d9-7b82-80ab-19d342d91da4", 1_795_225_807_065, id="of Codex"),
        pytest.param("01a1fbcb-e8d9-4b82-80ab-19d342d91da4", None, id="a chance number"),
        pytest.param("01a00000-e8d9-7b82-80ab-19d342d91da4", None, id="long ago"),
        pytest.param("01b00000-e8d9-7b82-80ab-19d342d91da4", None, id="after its first call"),
        pytest.param("7", None, id="of an older client"),
        pytest.param(None, None, id="none"),
    ],
)
def test_when_a_turn_began(turn: str | None, at: int | None) -> None:
    assert begun(turn, 1_795_225_807_100) == at


def test_a_turn_begins_before_its_first_request(client: FlaskClient) -> None:
    turn = f"{(AT - 9_000):012x}"
    turn = f"{turn[:8]}-{turn[8:]}-7b82-80ab-19d342d91da4"
    with db.writing() as connection:
        connection.execute("update call set turn_id = ?", (turn,))
        connection.execute("update request_log set session_id = 's'")
        connection.execute(
            "insert into request_log (id, session_id, endpoint, status, http_status, attempts, "
            "started_at, duration_ms) values ('e', 's', '/', 'error', 503, '[]', ?, 300)",
            (AT - 6_000,),
        )
    said = client.get("/api/calls/r2").get_json()["turn"]["segments"]
    assert [(s["kind"], s["startMs"], s["endMs"], s["attempts"]) for s in said[:3]] == [
        ("start", 0, 3_000, None),
        ("retry", 3_000, 5_000, 1),
        ("waiting", 5_000, 5_600, None),
    ]
    assert said[1]["name"] == "HTTP 503"


def row(first: int, cached: int, output: int = 100, **more: Any) -> dict[str, Any]:
    return {
        "inputTokens": first, "cachedInputTokens": cached, "uncachedInputTokens": first - cached,
        "outputTokens": output, "reasoningTokens": 0, "totalTokens": first + output,
        "cacheRatio": cached / first if first else None, "costUsd": None, "contextPercent": None,
        "priceStatus": "exact", **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("previous", "call", "reading"),
    [
        pytest.param(row(50_000, 48_000), row(51_000, 2_000), "cache-drop", id="the cache is gone"),
        pytest.param(row(50_000, 48_000), row(60_000, 48_000), "more-new", id="more was added"),
        pytest.param(row(50_000, 10_000), row(50_000, 48_000), "better-reuse", id="reused again"),
        pytest.param(row(50_000, 48_000), row(50_100, 48_000), "stable", id="as before"),
        pytest.param(row(50_000, 48_000), row(9_000, 8_000), "less", id="less of everything"),
    ],
)
def test_what_happened_to_the_cache(
    previous: dict[str, Any], call: dict[str, Any], reading: str
) -> None:
    found = deltas(call, previous)
    assert found is not None
    assert found["reading"] == reading
    assert found["inputTokens"] == call["inputTokens"] - previous["inputTokens"]
    assert found["costUsd"] is None
    assert deltas(call, None) is None


@pytest.mark.parametrize(
    ("status", "where"),
    [("exact", "derived"), ("estimated", "estimated"), ("unpriced", None)],
)
def test_a_cost_is_as_sure_as_its_price(status: str, where: str | None) -> None:
    found = confidence(row(9, 1, priceStatus=status, costUsd=0.1))
    assert [how for how, keys in found.items() if "costUsd" in keys] == ([where] if where else [])
    assert "inputTokens" in found["exact"]


def steps(
    first: int, last: int, *, cache: float = 0.9, window: int | None = 100_000, count: int = 12
) -> list[Step]:
    half = count // 2
    sizes = [first] * half + [last] * (count - half)
    return [Step(f"c{n}", s, int(s * cache), window, "tool") for n, s in enumerate(sizes)]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        pytest.param(steps(9_000, 20_000), None, id="much room is left"),
        pytest.param(steps(9_000, 70_000), "context-full", id="the window is nearly full"),
        pytest.param(steps(9_000, 55_000), "carrying", id="each call carries much more than once"),
        pytest.param(steps(50_000, 55_000), None, id="it was always like this"),
        pytest.param(steps(9_000, 55_000, cache=0.1), "cache-lost", id="and pays for it anew"),
        pytest.param(steps(9_000, 70_000, count=6), None, id="too early to tell"),
        pytest.param(
            [*steps(9_000, 70_000), Step("x", 70_000, 0, 100_000, "compaction")],
            None,
            id="it was just summarised",
        ),
        pytest.param(steps(9_000, 150_000, window=None), "carrying", id="of an unknown window"),
        pytest.param(steps(9_000, 70_000, window=None), None, id="unknown, and not that much"),
        pytest.param([], None, id="no calls"),
        pytest.param(steps(0, 0), None, id="empty calls"),
    ],
)
def test_when_to_start_afresh(given: list[Step], key: str | None) -> None:
    found = advice(given, thresholds.DEFAULTS)
    assert (found and found["key"]) == key
    if found:
        assert found["callId"] == given[-1].id


@pytest.fixture
def client(config: Config) -> Iterator[FlaskClient]:
    """A call that all three witnesses saw, the second of its turn, which ran a tool."""
    app = create_app(config)
    with db.writing() as connection:
        connection.execute(
            "insert into session (key, provider, thread, kind, forked, inherited, guessed) "
            "values ('s', 'codex', 's', 'user', 0, 0, 0)"
        )
        connection.execute(
            "insert into thread (id, provider, title) values ('s', 'codex', 'A thread')"
        )
        for name, at, cached in (("r1", AT, 0), ("r2", AT + 10_000, 900)):
            connection.execute(
                "insert into call (id, provider, session, turn_id, initiator, started_at, "
                "duration_ms, input, cached, cache_written, output, reasoning, price_status, "
                "seen) values (?, 'codex', 1, 't', 'user', ?, 4000, 1000, ?, 0, 50, 0, "
                "'unpriced', 7)",
                (name, at, cached),
            )
        connection.execute(
            "insert into request_log (id, response_id, endpoint, status, attempts, started_at, "
            "first_event_ms, duration_ms) values ('q', 'r1', '/', 'success', '[]', ?, 600, 3900)",
            (AT - 4_000,),
        )
        connection.execute(
            "insert into telemetry_usage values (?, 'codex', 's', ?, 'gpt-5.5', 'ann', "
            "1000, 900, 0, 50, 0, 800, 'r2')",
            (b"k", AT + 10_000),
        )
        for name, kind, at, lasted in (
            ("codex.tool_decision", "User", AT + 3_000, None),
            ("codex.tool_result", None, AT + 5_500, 5_000),
        ):
            connection.execute(
                "insert into telemetry_event (key, name, kind, provider, session_id, at, tool, "
                "call_id, duration_ms, success, count, terminal, attributes) "
                "values (?, ?, ?, 'codex', 's', ?, 'exec_command', 'c', ?, 1, 1, 'kitty', '{}')",
                (name.encode(), name, kind, at, lasted),
            )
    with app.test_client() as made:
        yield made
    db.close_databases()


def test_a_call_page_has_all_witnesses_and_its_turn(client: FlaskClient) -> None:
    said = client.get("/api/calls/r2").get_json()
    assert said["witnesses"] == ["log", "proxy", "telemetry"]
    assert said["telemetry"]["firstTokenMs"] == 800
    assert said["telemetry"]["user"] == "ann"
    assert said["deltas"]["cachedInputTokens"] == 900
    assert said["deltas"]["reading"] == "better-reuse"
    turn = said["turn"]
    assert (turn["turnId"], turn["calls"]) == ("t", 2)
    assert [(s["kind"], s["startMs"], s["endMs"], s["source"]) for s in turn["segments"]] == [
        ("waiting", 0, 600, "proxy"),
        ("streaming", 600, 3_900, "proxy"),
        ("approval", 4_500, 7_000, "telemetry"),
        ("tool", 7_000, 9_500, "telemetry"),
        ("waiting", 10_000, 10_800, "telemetry"),
        ("streaming", 10_800, 14_000, "telemetry"),
    ]
    assert turn["segments"][2]["name"] == "exec_command"
    first = client.get("/api/calls/r1").get_json()
    assert first["deltas"] is None
    assert first["telemetry"] is None
    assert first["log"] is None
    strict = client.get("/api/calls/r2?privacy=strict").get_json()
    assert "ann" not in json.dumps(strict)


def test_a_thread_says_when_to_start_afresh(client: FlaskClient) -> None:
    assert client.get("/api/threads/s").get_json()["advice"] is None
    with db.writing() as connection:
        for n in range(12):
            connection.execute(
                "insert into call (id, provider, session, initiator, started_at, input, cached, "
                "cache_written, output, reasoning, context_window, price_status, seen) "
                "values (?, 'codex', 1, 'tool', ?, ?, 0, 0, 50, 0, 100000, 'unpriced', 1)",
                (f"n{n}", AT + 20_000 + n, 5_000 * (n + 1)),
            )
        connection.execute("delete from slice")
    found = client.get("/api/threads/s").get_json()["advice"]
    assert found["key"] == "cache-lost"
    assert found["contextPercent"] == 50.0
    assert found["carriedTokens"] == 50_000
