"""Tool calls of the panels without telemetry: the logs tell of them, and nothing counts twice."""

from __future__ import annotations

from typing import Any

from server.store import db
from server.usage import behind, telemetry
from server.usage.days import Days
from server.usage.logtools import LogTools
from server.usage.steps import Span, whole_quarters

NOW = 1_790_000_000_000
SPAN = Span(NOW - 86_400_000, NOW)


def logged(source: int, session: str, tools: tuple[str, ...], at: int = NOW - 3_600_000) -> None:
    """A log with one call of a session, and the tools that were used before it."""
    with db.writing() as connection:
        connection.execute(
            "insert into session(key, provider, thread, forked, inherited, guessed, kind, source) "
            "values (?, 'codex', ?, 0, 0, 0, 'user', ?)",
            (session, session, source),
        )
        connection.execute(
            "insert into call(id, provider, session, model, initiator, started_at, input, cached, "
            "cache_written, output, reasoning, price_status, seen) values "
            "(?, 'codex', (select id from session where key = ?), 'gpt-5', 'user', ?, 9, 0, 0, 1, "
            "0, 'unpriced', 1)",
            (f"of {session}", session, at),
        )
        connection.execute(
            "insert into fact_call(source, number, offset, at, call) values (?, 0, 0, ?, ?)",
            (source, at, f"of {session}"),
        )
        connection.executemany(
            "insert into tool_run(source, offset, part, number, function, told, outputs) "
            "values (?, ?, ?, 0, ?, 1, 0)",
            [(source, n, 0, tool) for n, tool in enumerate(tools)]
            + [(source, 0, 1, "exec_command")],  # a further git step is no call of its own
        )


def heard(session: str, tool: str) -> None:
    """Telemetry of a session: one call of a tool."""
    with db.writing() as connection:
        connection.execute(
            "insert into telemetry_session(session_id, provider, kind, prompts, first_at, last_at) "
            "values (?, 'codex', 'user', 1, ?, ?)",
            (session, SPAN.since, NOW),
        )
        connection.execute(
            "insert into telemetry_slice(provider, heading, quarter, name, count, input, cached, "
            "output) values ('codex', 'tool_succeeded', ?, ?, 1, 0, 0, 0)",
            ((NOW - 3_600_000) // 900_000, tool),
        )


def shown() -> dict[str, dict[str, Any]]:
    found = telemetry.panels(SPAN, Days("UTC"), NOW, wanted=("tools", "conversationDetails"))
    return {panel["id"]: panel for panel in found["panels"]}


def test_logs_alone_tell_of_tools(database: None) -> None:
    logged(1, "a", ("exec_command", "exec_command", "update_plan"))
    panels = shown()
    assert {item["name"]: item["value"] for item in panels["tools"]["items"]} == {
        "exec_command": 2, "update_plan": 1,
    }  # fmt: skip
    first = panels["tools"]["items"][0]
    assert first["sources"] == {"telemetry": 0, "log": 2}
    # A log does not say how each went, nor how long it took.
    assert [first[key] for key in ("succeeded", "failed", "successPercent", "p95Ms")] == [None] * 4
    row = panels["conversationDetails"]["rows"][0]
    assert (row["toolCalls"], row["toolsFrom"], row["toolDurationMs"]) == (3, "log", None)


def test_a_conversation_that_telemetry_knows_is_not_counted_again(database: None) -> None:
    logged(1, "a", ("exec_command", "exec_command"))
    logged(2, "b", ("exec_command",))
    heard("a", "exec_command")
    panels = shown()
    assert panels["tools"]["items"][0]["sources"] == {"telemetry": 1, "log": 1}
    assert panels["tools"]["items"][0]["value"] == 2
    rows = {row["conversation"]: row for row in panels["conversationDetails"]["rows"]}
    assert rows["a"]["toolsFrom"] == "telemetry"
    assert (rows["b"]["toolCalls"], rows["b"]["toolsFrom"]) == (1, "log")


def test_a_tool_is_one_however_it_is_spelled(database: None) -> None:
    logged(1, "a", ("bash",))
    logged(2, "b", ("bash", "read"))
    heard("a", "Bash")
    items = {item["name"]: item["sources"] for item in shown()["tools"]["items"]}
    assert items == {"Bash": {"telemetry": 1, "log": 1}, "read": {"telemetry": 0, "log": 1}}
    where, values = behind.condition("silent_tool_run:Bash")
    sql = f"select c.id from call c left join session s on s.id = c.session where {where}"
    assert len(db.rows(sql, values)) == 1


def test_only_the_calls_of_the_span_count(database: None) -> None:
    logged(1, "a", ("exec_command",), at=SPAN.since - 86_400_000)
    assert not shown()["tools"]["items"]
    assert not LogTools(whole_quarters(SPAN)).by_talk
