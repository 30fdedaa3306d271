"""What a log of Claude Code tells of its calls: who began each, and how long it took."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.ingest.claude import State, fold
from tests.claudelogs import ClaudeLog

Write = Callable[[ClaudeLog], None]


def asked(log: ClaudeLog) -> None:
    log.prompt("Mend the cart")
    log.at += 4000
    log.says("m1", {"type": "text", "text": "Done"})


def worked(log: ClaudeLog) -> None:
    log.prompt("Mend the cart")
    log.says("m1", log.use("Bash", command="ls"))
    log.at += 60_000
    log.result(1)
    log.says("m2", {"type": "text", "text": "…"})
    log.at += 2000
    log.says("m2", {"type": "text", "text": "Done"})


def in_parts(log: ClaudeLog) -> None:
    """A response whose tools ran before its last line was written."""
    log.prompt("Mend the cart")
    log.says("m1", log.use("Bash", command="ls"))
    log.result(1)
    log.says("m1", log.use("Bash", command="pwd"))
    log.result(2)
    log.says("m2", {"type": "text", "text": "Done"})


def summarised(log: ClaudeLog) -> None:
    log.prompt("What happened so far", isCompactSummary=True)
    log.says("m1", {"type": "text", "text": "Right"})


def blocks(log: ClaudeLog) -> None:
    log.prompt([{"type": "text", "text": "Mend the cart"}])
    log.prompt("A caveat of the client's own", isMeta=True)
    log.says("m1", {"type": "text", "text": "Done"})


def unasked(log: ClaudeLog) -> None:
    log.says("m1", {"type": "text", "text": "Hello"})
    log.says("m2", {"type": "text", "text": "Again"})


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        pytest.param(asked, [("m1", "user", 5000)], id="a person asked"),
        pytest.param(
            worked,
            [("m1", "user", 1000), ("m2", "tool", 4000)],
            id="a tool gave something back; its own time is not the model's",
        ),
        pytest.param(
            in_parts,
            [("m1", "user", 3000), ("m2", "tool", 1000)],
            id="who began a response began all of its lines",
        ),
        pytest.param(summarised, [("m1", "compaction", 1000)], id="after a compaction"),
        pytest.param(blocks, [("m1", "user", 2000)], id="blocks of text, and a notice"),
        pytest.param(
            unasked, [("m1", "unknown", None), ("m2", "unknown", 1000)], id="the log does not say"
        ),
    ],
)
@pytest.mark.parametrize("agent", ["", "a1"], ids=["own", "side"])
def test_who_began_a_call_is_what_the_log_tells(
    write: Write, expected: list[tuple[str, str, int | None]], agent: str
) -> None:
    log = ClaudeLog(agent=agent)
    write(log)
    if agent:
        expected = [(name, "agent", lasted) for name, _, lasted in expected]
    records, _ = fold(memoryview(log.text()), 0, State())
    assert [(call[0], call[4], call[6]) for call in records.calls] == expected
    state = State()
    found: dict[str, tuple[str, str, int | None]] = {}
    for line in log.lines:  # line by line, as it is written: the last telling of each
        records, state = fold(memoryview(line.encode()), 0, State.load(state.dump()))
        found |= {call[0]: (call[0], call[4], call[6]) for call in records.calls}
    assert list(found.values()) == expected
