"""What lines of Claude's say of one response, however many are there when they are read."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from server.config import Config
from server.ingest.lines import time_ms
from tests.test_claude_order import Logs, Told, cold, equal, in_steps, put, ways
from tests.test_exact_sums import A, B, Line, line

ONE, TWO, THREE = (f"-home-me-x/{name}" for name in (A, B, A.replace("a", "c", 1) + "c"))


def grown(config: Config, logs: Logs, name: str) -> Told:
    """What is kept of logs that were read after each of their lines."""
    steps: list[Logs] = []
    for log, lines in logs.items():
        steps += [{log: lines[:count]} for count in range(1, len(lines) + 1)]
    return in_steps(config, steps, name)


def every_way(
    config: Config, logs: Logs, compiled_part: Any, monkeypatch: pytest.MonkeyPatch
) -> Told:
    """What all ways of reading the same logs say, each line for itself among them."""
    found = ways(config, logs, compiled_part, monkeypatch, itertools.permutations(logs))
    for number, order in enumerate(itertools.permutations(logs)):
        kept = grown(config, {name: logs[name] for name in order}, f"grown{number}")
        found[f"grown {order}"] = kept
    return equal(found)


def say(second: int, output: int, request: str | None = "r1", **rest: Any) -> Line:
    return line(A, second, output, "msg_1", requestId=request, **rest)


def never(second: int, output: int, at: str) -> Line:
    return {**say(second, output), "timestamp": at}


BEFORE, LONG = "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize("bad", [BEFORE, LONG])
@pytest.mark.parametrize(
    "order",
    [
        pytest.param("bad good", id="the first line's time cannot be"),
        pytest.param("good bad", id="a later one's"),
        pytest.param("bad bad good", id="two"),
        pytest.param("good bad later", id="one between"),
        pytest.param("bad later good", id="then not in order"),
    ],
)
def test_a_time_that_cannot_be_gives_way(
    config: Config,
    compiled_part: Any,
    monkeypatch: pytest.MonkeyPatch,
    bad: str,
    order: str,
) -> None:
    made = {"bad": never(1, 5, bad), "good": say(10, 6), "later": say(20, 7)}
    lines = [made[word] for word in order.split()]
    found = every_way(config, {ONE: lines}, compiled_part, monkeypatch)
    latest = max(one["timestamp"] for one in lines if one["timestamp"] != bad)
    (call,) = found["calls"]
    assert call[6] == time_ms(latest)


LOOSE = say(5, 900, None)


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        pytest.param({ONE: [say(1, 5), LOOSE]}, [900], id="adds to the only one"),
        pytest.param({ONE: [LOOSE, say(1, 5)]}, [900], id="that comes later"),
        pytest.param({ONE: [say(1, 5), LOOSE, say(9, 7, "r2")]}, [5, 7], id="between two"),
        pytest.param({ONE: [LOOSE, say(1, 5), say(9, 7, "r2")]}, [5, 7], id="before two"),
        pytest.param({ONE: [say(9, 7, "r2"), LOOSE, say(1, 5)]}, [5, 7], id="the smaller last"),
        pytest.param({ONE: [say(1, 5), say(9, 7, "r2"), LOOSE]}, [5, 7], id="after two"),
        pytest.param({ONE: [say(1, 5), LOOSE, say(3, 6), say(9, 7, "r2")]}, [6, 7],
                     id="the first one goes on"),
        pytest.param({ONE: [say(1, 5)], TWO: [LOOSE], THREE: [say(9, 7, "r2")]}, [5, 7],
                     id="in three logs"),
        pytest.param({ONE: [LOOSE], TWO: [say(1, 5), say(9, 7, "r2")]}, [5, 7], id="in two"),
        pytest.param({ONE: [LOOSE, say(1, 5)], TWO: [say(9, 7, "r2"), LOOSE]}, [5, 7],
                     id="crossed"),
        pytest.param({ONE: [say(1, 5), LOOSE], TWO: [say(2, 6)]}, [900], id="one request, twice"),
    ],
)  # fmt: skip
def test_a_line_without_a_request_adds_to_the_only_one(
    config: Config,
    compiled_part: Any,
    monkeypatch: pytest.MonkeyPatch,
    logs: Logs,
    expected: list[int],
) -> None:
    found = every_way(config, logs, compiled_part, monkeypatch)
    assert sorted(call[11] for call in found["calls"]) == expected


def asked(second: int, text: Any) -> Line:
    said = line(A, second, 0, "x")
    return {**said, "type": "user", "message": {"role": "user", "content": text}}


def test_each_request_of_a_message_began_for_itself(
    config: Config, compiled_part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        asked(1, "do"), say(3, 5), say(4, 6),
        asked(7, [{"type": "tool_result", "content": "done"}]), say(9, 7, "r2"), say(10, 8, "r2"),
    ]  # fmt: skip
    found = every_way(config, {ONE: lines}, compiled_part, monkeypatch)
    told = [(call[0], call[5], call[-2]) for call in found["calls"]]
    assert sorted(told) == [("msg_1", "user", 3000), ("msg_1#r2", "tool", 3000)]


# ── anything ──────────────────────────────────────────────────────────────────────────────


def anything(chance: random.Random, names: Sequence[str]) -> Logs:
    """Few messages, told by many lines in any way."""
    logs: Logs = {}
    for name in names:
        lines = []
        for _ in range(chance.randrange(1, 6)):
            second = chance.randrange(1, 50)
            if chance.random() < 0.2:
                lines.append(asked(second, chance.choice(["go", [{"type": "tool_result"}]])))
            said = line(
                name.rpartition("/")[2], second, chance.randrange(1, 900),
                chance.choice(["msg_1", "msg_1", "msg_2"]),
                requestId=chance.choice(["r1", "r1", "r2", "r3", None]),
                isSidechain=chance.random() < 0.2,
            )  # fmt: skip
            if chance.random() < 0.1:
                said["message"]["usage"]["speed"] = "fast"
            if chance.random() < 0.1:
                said["odd"] = True
            lines.append(said)
        logs[name] = lines
    return logs


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_told_is_told_alike(
    config: Config, compiled_part: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    logs = anything(chance, [ONE, TWO, THREE][: chance.randrange(1, 4)])
    every_way(config, logs, compiled_part, monkeypatch)
    put(config, logs)
    assert cold(config)["calls"]


def test_what_the_first_lines_leave_out_is_told_later(
    config: Config, compiled_part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sub-agent's log tells more than the session's own, whose first line tells nothing of it."""
    bare = {k: v for k, v in say(9, 5).items() if k not in ("sessionId", "cwd")}
    told = {k: v for k, v in line(A, 3, 7, "msg_2", version="2").items() if k != "cwd"}
    late = {k: v for k, v in line(A, 8, 6, "msg_3", isSidechain=True).items() if k != "cwd"}
    logs = {ONE: [bare, told], f"{ONE}/subagents/agent-1": [late]}
    found = every_way(config, logs, compiled_part, monkeypatch)
    assert found["sessions"][0][5:8] == ("claude-code", "2", time_ms(told["timestamp"]))
