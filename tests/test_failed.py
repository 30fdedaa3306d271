"""Commands that failed by their log, whichever of log and telemetry was stored first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import pytest
from flask.testing import FlaskClient

from server.app import Services
from server.config import Config
from server.ingest import facts, failed, fold, otlp, witness
from server.ingest.facts import Run
from server.ingest.otlp import Batch, Event
from server.store import db
from server.times import iso
from server.usage import turns
from server.usage.days import Days
from server.usage.durations import Durations
from server.usage.received import Wanted, events
from server.usage.steps import Span, Steps
from tests import test_evidence
from tests.toollogs import ToolLog

AT = 1_795_225_500_000
SPAN = Span(AT - 86_400_000, AT + 86_400_000)


app_config, client = test_evidence.app_config, test_evidence.client


def told(name: str, at: int, call: str, **more: object) -> Event:
    fields: dict[str, object] = {
        "kind": None, "provider": "codex", "session_id": "s", "service": None, "version": None,
        "model": None, "user": None, "terminal": None, "tool": "exec_command", "decision": None,
        "success": None, "status": None, "duration_ms": None, **more,
    }  # fmt: skip
    key = f"{name} {at} {call}".encode()
    return Event(key=key, name=name, at=at, call_id=call, **fields)  # type: ignore[arg-type]


def ended(at: int, call: str, *, success: bool = True) -> Event:
    return told("codex.tool_result", at, call, success=success, duration_ms=100)


def hear(*found: Event) -> None:
    with db.writing() as connection:
        witness.store(
            connection, [Batch("logs", len(found), found)], witness.Tally(), AT + 3_600_000
        )


def read(*runs: Run) -> int:
    with db.writing() as connection:
        return failed.store(connection, 1, runs)


def outcomes() -> dict[str, int]:
    return dict(
        db.rows(
            "select heading, sum(count) from telemetry_slice where heading like 'tool\\_%' "
            "escape '\\' and count != 0 group by 1 having sum(count) != 0"
        )
    )


def run(call: str, since: int, at: int, offset: int = 7) -> Run:
    return Run(offset, "s", call, since, at)


FAILED = run("c1", AT - 500, AT)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([lambda: hear(ended(AT, "c1")), lambda: read(FAILED)], id="telemetry first"),
        pytest.param([lambda: read(FAILED), lambda: hear(ended(AT, "c1"))], id="the log first"),
        pytest.param(
            [lambda: hear(ended(AT, "c1")), lambda: read(FAILED), lambda: read(FAILED)],
            id="the log is read again",
        ),
        pytest.param(
            [lambda: read(FAILED), lambda: hear(ended(AT, "c1")), lambda: hear(ended(AT, "c1"))],
            id="delivered twice",
        ),
    ],
)
def test_a_command_that_failed_is_no_success(
    database: None, order: list[Callable[[], object]]
) -> None:
    hear(ended(AT + 50, "other"))
    for step in order:
        step()
    assert outcomes() == {"tool_succeeded": 1, "tool_failed": 1}
    # SigNoz' own query goes on counting what the attribute says.
    assert db.rows(
        "select name, sum(count) from telemetry_slice where heading = 'success' group by 1"
    ) == [("true", 2)]
    badly = events(Wanted(SPAN, {}, went="badly"), 10, "")
    assert [(e["toolCallId"], e["success"], e["failed"]) for e in badly["events"]] == [
        ("c1", True, True)
    ]
    assert events(Wanted(SPAN, {}, went="well"), 10, "")["total"] == 1
    assert events(Wanted(SPAN, {}, success=True), 10, "")["total"] == 2


@pytest.mark.parametrize(
    ("runs", "ends", "meant"),
    [
        pytest.param([(-500, 0)], [0], {0}, id="ended when the log says"),
        pytest.param([(-500, 9_000_000)], [0], {0}, id="a command that went on"),
        pytest.param([(-900_000, -800_000)], [0], set(), id="an earlier turn's, of the same id"),
        pytest.param([(800_000, 900_000)], [0], set(), id="a later turn's, of the same id"),
        pytest.param([(60, 100), (160, 200)], [9, 101, 201], {1, 2}, id="two of three of a turn"),
        pytest.param([(60, 100)], [9, 101, 201], {1}, id="one amid two that went well"),
        pytest.param([(60, 100), (160, 200)], [201], {0}, id="some results are lost"),
        pytest.param([(0, 60_000)], [9_000, 21_000], {0}, id="in the background, its id used"),
        pytest.param([(0, 60_000)], [-900, 9_000], {1}, id="in the background, after another"),
        pytest.param([], [1, 2], set(), id="none failed"),
    ],
)
def test_which_of_several_results_is_meant(
    runs: list[tuple[int, int]], ends: list[int], meant: set[int]
) -> None:
    assert failed.meant(runs, ends) == meant


IN_A_TURN = [("c1", 0), ("c1", 300), ("c1", 600), ("c2", 60_000), ("c3", 61_000)]


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_an_id_used_for_each_command_of_a_turn(database: None, order: tuple[int, ...]) -> None:
    """Exit codes 0, 3 and 1 of one id, then others: panel and rows say the same, in any order."""
    first, second, third, *rest = (ended(AT + ms, name) for name, ms in IN_A_TURN)
    steps: list[Callable[[], object]] = [
        lambda: hear(first, third),
        lambda: hear(second, *rest),
        lambda: read(run("c1", AT + 250, AT + 295, 8)),
        lambda: read(run("c1", AT + 550, AT + 598, 9)),
    ]
    for step in order:
        steps[step]()
        told = outcomes()
        for went, heading in (("well", "tool_succeeded"), ("badly", "tool_failed")):
            assert events(Wanted(SPAN, {}, went=went), 10, "")["total"] == told.get(heading, 0)
    assert outcomes() == {"tool_succeeded": 3, "tool_failed": 2}
    badly = events(Wanted(SPAN, {}, went="badly"), 10, "")["events"]
    assert [one["at"] for one in badly] == [iso(AT + 600), iso(AT + 300)]
    with db.writing() as connection:
        for quarter in (AT // 900_000, (AT + 61_000) // 900_000):
            fold.refold(connection, quarter)
    assert outcomes() == {"tool_succeeded": 3, "tool_failed": 2}


def test_another_conversations_failure_is_its_own(database: None) -> None:
    hear(ended(AT, "c1"))
    assert read(Run(7, "another", "c1", AT - 500, AT)) == 0
    assert outcomes() == {"tool_succeeded": 1}


def test_an_id_that_is_used_again_is_another_call(database: None) -> None:
    hear(ended(AT, "c1"), ended(AT + 60_000, "c1"))
    hear(ended(AT + 120_000, "c1", success=False), ended(AT + 120_000, "c1", success=False))
    assert outcomes() == {"tool_succeeded": 2, "tool_failed": 1}
    read(run("c1", AT + 59_000, AT + 60_000))
    assert outcomes() == {"tool_succeeded": 1, "tool_failed": 2}
    assert db.rows("select sum(results), sum(calls) from telemetry_talk") == [(3, 1)]
    durations = Durations(SPAN, Steps(SPAN, Days("UTC")))
    assert sum(sum(counts.values()) for counts in durations.by_step("tools").values()) == 3


def test_what_was_corrected_stays_so_when_a_quarter_is_counted_anew(database: None) -> None:
    hear(ended(AT, "c1"), ended(AT + 10, "c2"))
    read(FAILED)
    with db.writing() as connection:
        fold.refold(connection, AT // 900_000)
    assert outcomes() == {"tool_succeeded": 1, "tool_failed": 1}


def test_no_text_of_a_client_is_stored(database: None) -> None:
    read(run("a-secret-call-id", AT - 1, AT))
    assert "secret" not in repr(db.rows("select * from failed_run"))
    assert otlp.Event.__dataclass_fields__["failed"].default is False


# ── what a log says ───────────────────────────────────────────────────────────────────────


def failures(log: ToolLog) -> list[tuple[str, int]]:
    found, _ = facts.fold(log.text(), 0, facts.State())
    assert all(one.conversation == log.key for one in found.failures)
    return [(one.call, one.at - one.since) for one in found.failures]


def item(log: ToolLog) -> None:
    log.run("false", "c1", code=1)


def old_output(log: ToolLog) -> None:
    log.item(type="function_call", name="shell", arguments='{"command":["false"]}', call_id="c1")
    log.item(type="function_call_output", call_id="c1",
             output='{"output":"","metadata":{"exit_code":1}}')  # fmt: skip


def terminal_output(log: ToolLog) -> None:
    log.item(type="function_call", name="exec_command", arguments='{"cmd":"false"}', call_id="c1")
    log.output("c1", code=1)


def patch(log: ToolLog) -> None:
    log.item(type="custom_tool_call", name="apply_patch", input="*** Begin Patch", call_id="c1")
    log.done({"type": "FileChange", "id": "c1", "changes": {"a": {}}, "status": "failed"})


def mcp(log: ToolLog) -> None:
    log.item(type="function_call", name="mcp__docs__find", arguments="{}", call_id="c1")
    log.done({"type": "McpToolCall", "id": "c1", "server": "d", "tool": "f", "status": "failed"})


@pytest.mark.parametrize("write", [item, old_output, terminal_output, patch, mcp],
                         ids=lambda f: f.__name__)  # fmt: skip
def test_a_log_tells_which_call_failed(write: Callable[[ToolLog], None]) -> None:
    log = ToolLog()
    log.run("true", "c0")
    write(log)
    log.call()
    assert [name for name, _ in failures(log)] == ["c1"]
    assert failures(log)[0][1] <= 5_000  # since it was asked for


def test_a_command_in_the_background_began_when_it_did() -> None:
    log = ToolLog()
    log.item(type="function_call", name="exec_command", arguments='{"cmd":"sleep 9"}', call_id="c1")
    log.item(type="function_call_output", call_id="c1",
             output="Chunk ID: a\\nProcess running with session ID 1\\n")  # fmt: skip
    log.done({"type": "CommandExecution", "id": "c1", "command": ["sleep", "9"], "exit_code": 2,
              "duration": {"secs": 9, "nanos": 5_000_000}})  # fmt: skip
    assert failures(log) == [("c1", 9_005)]


def test_an_id_of_an_earlier_turn_is_a_run_of_its_own() -> None:
    log = ToolLog()
    for code in (1, 0, 1):
        log.run("git status", "call_1", code=code)
        log.turn()
    found, _ = facts.fold(log.text(), 0, facts.State())
    assert len(found.runs) == 3
    assert len(found.outputs) == 3
    assert [one.call for one in found.failures] == ["call_1"] * 2


def test_three_commands_of_one_id_in_one_turn(client: FlaskClient, app_config: Config) -> None:
    """A provider that calls each tool of a turn `call_1`: log, telemetry, panel, rows, timeline."""
    log = ToolLog(at=db.now_ms() - 600_000)
    codes, told_at = (0, 3, 1), []
    for code in codes:
        log.run(f"exit {code}", "call_1", code=code)
        told_at.append(log.at - 1000)  # as the item of its end, before its output
    log.call()
    log.turn()
    for name in ("call_8", "call_9"):
        log.run("true", name)
        told_at.append(log.at - 1000)
    log.call()
    log.save(app_config.codex_home)
    names = ("call_1", "call_1", "call_1", "call_8", "call_9")
    heard = [
        replace(ended(at + 5, name), session_id=log.key)
        for at, name in zip(told_at, names, strict=True)
    ]
    services: Services = client.application.extensions["brimline"]
    hear(heard[0], heard[1])
    services.indexer.scan()
    services.facts.refresh()
    hear(*heard[2:])
    answer = client.get("/api/telemetry/panels?id=tools&id=success").get_json()["panels"]
    (tool,) = next(one for one in answer if one["id"] == "tools")["items"]
    assert (tool["succeeded"], tool["failed"]) == (3, 2)
    for went, ids in (("well", names[:1] + names[3:]), ("badly", names[1:3])):
        found = client.get(f"/api/telemetry/events?name=codex.tool_result&went={went}").get_json()
        assert tuple(one["toolCallId"] for one in found["events"]) == ids[::-1]
        assert found["total"] == len(ids)
    first = db.rows("select id from call order by started_at")[0][0]
    segments = (turns.timeline(first) or {})["segments"]
    ran = {one["endMs"]: one["success"] for one in segments if one["kind"] == "tool"}
    assert [ran[at] for at in sorted(ran)][:3] == [True, False, False]
