"""The panels on real captures: corrected, literal, and with the ledger's own calls beside them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Config
from server.ingest import otlp, witness
from server.store import db
from server.times import iso
from server.usage import received, telemetry
from server.usage.days import QUARTER, Days
from server.usage.durations import COMMANDS
from server.usage.steps import Span, Steps
from tests.captures import EXPECTED, NOW, RUNS, bodies

SPAN = Span(NOW - 7 * 86_400_000, NOW)
IDS = [
    "input", "output", "cached", "cacheRate", "conversations", "modelCalls", "models",
    "modelTokens", "tools", "users", "terminals", "success", "decisions",
    "conversationsOverTime", "tokensOverTime", "commandDuration", "conversationDetails",
]  # fmt: skip


@pytest.fixture
def client(config: Config) -> Iterator[FlaskClient]:
    app = create_app(config)
    yield app.test_client()
    db.close_databases()


def store(*runs: str) -> None:
    batches = [otlp.decode("logs", b.data, json=b.json, now=NOW) for r in runs for b in bodies(r)]
    with db.writing() as connection:
        witness.store(connection, batches, witness.Tally(), NOW)


def see_in_log(skip: int = 0, session: str | None = None) -> list[str]:
    """Put the calls that telemetry saw into the ledger, 5 ms later, as their log would."""
    usages = db.rows(
        "select session_id, at, model, input, cached, output, reasoning from telemetry_usage "
        "order by at"
    )[skip:]
    names = []
    with db.writing() as connection:
        for number, (name, at, *rest) in enumerate(usages):
            connection.execute(
                "insert or ignore into session(key, provider, thread, forked, inherited, guessed, "
                "kind, source) values (?, 'codex', ?, 0, 0, 0, 'user', 1)",
                (session or name, session or name),
            )
            names.append(f"resp_{skip + number}")
            connection.execute(
                "insert into call(id, provider, session, model, initiator, started_at, input, "
                "cached, cache_written, output, reasoning, price_status, seen) "
                "values (?, 'codex', (select id from session where key = ?), ?, 'user', ?, ?, ?, "
                "0, ?, ?, 'unpriced', 1)",
                (names[-1], session or name, rest[0], at + 5, *rest[1:]),
            )
    return names


def shown(span: Span = SPAN) -> dict[str, dict[str, Any]]:
    return {panel["id"]: panel for panel in telemetry.panels(span, Days("UTC"), NOW)["panels"]}


def counts(items: list[dict[str, Any]]) -> dict[str, int]:
    return {item["name"]: item["value"] for item in items}


@pytest.mark.parametrize("logged", [False, True], ids=["telemetry alone", "with its log"])
@pytest.mark.parametrize("run", RUNS)
def test_the_panels_equal_what_was_expected(database: None, run: str, logged: bool) -> None:
    expected = EXPECTED[run]
    store(run)
    if logged:
        see_in_log()
        assert witness.reconcile() == expected["completions"]
    panels = shown()
    assert list(panels) == IDS
    for name in ("input", "output", "cached"):
        assert panels[name]["value"] == expected[name] == expected["rollout"][name]
    assert panels["modelCalls"]["value"] == expected["completions"]
    rate = expected["cache_rate_pct"]
    assert panels["cacheRate"]["value"] == (
        None if rate is None else pytest.approx(rate, abs=0.001)
    )
    assert panels["conversations"]["value"] == len(expected["conversations"])
    assert counts(panels["tools"]["items"]) == expected["tool_results_by_tool"]
    took = panels["commandDuration"]["tools"]["value"]
    assert took == (
        None if expected["p95_tool_duration_ms"] is None
        else pytest.approx(expected["p95_tool_duration_ms"])
    )  # fmt: skip
    users = {name.partition("/")[0]: n for name, n in expected["decisions"].items()
             if name.endswith("/User")}  # fmt: skip
    assert counts(panels["decisions"]["items"]) == users
    assert counts(panels["terminals"]["items"]) == {"vscode": 1}
    total = expected["input"] + expected["output"]
    assert sum(point["v"] for point in panels["tokensOverTime"]["points"]) == total
    tools = expected["tool_success"]
    assert panels["success"]["tools"] == {
        "succeeded": tools.get("true", 0), "failed": tools.get("false", 0),
    }  # fmt: skip
    assert sum(counts(panels["models"]["items"]).values()) == expected["completions"]
    assert sum(counts(panels["modelTokens"]["items"]).values()) == total


@pytest.mark.parametrize("run", RUNS)
def test_the_literal_values_are_signoz_own(database: None, run: str) -> None:
    expected = EXPECTED[run]
    said = expected["signoz_literal"]
    store(run)
    panels = shown()

    def literal(name: str) -> Any:
        return panels[name]["literal"]

    names = {"True": "true (boolean)", "False": "false (boolean)"}
    assert counts(literal("models")["items"]) == said["model_pie_count"]
    assert counts(literal("tools")["items"]) == said["tool_pie_count"]
    assert counts(literal("success")["items"]) == {
        names.get(name, name): number for name, number in said["success_pie"].items()
    }
    assert literal("commandDuration")["value"] == pytest.approx(said["p95_all_duration_ms"])
    assert literal("modelCalls")["value"] == expected["distinct_call_ids"]
    assert literal("conversations")["value"] == len(expected["conversations"])
    assert literal("input")["value"] == (expected["input"] or None)


def test_failed_requests_are_counted_once(database: None) -> None:
    store("json-failed")
    panels = shown()
    assert counts(panels["success"]["items"]) == {"failed": 2, "succeeded": 0}
    assert panels["success"]["successPercent"] == 0
    assert panels["modelCalls"]["failed"] == 2


def test_attempts_that_were_made_good_are_no_failures(database: None) -> None:
    store("json-err500")
    assert shown()["modelCalls"]["failed"] == 0


def test_a_tool_shows_how_often_it_worked(database: None) -> None:
    store("recommended-pb")
    tool = shown()["tools"]["items"][0]
    assert tool["name"] == "exec_command"
    assert (tool["value"], tool["succeeded"], tool["failed"]) == (2, 2, 0)
    assert tool["successPercent"] == 100


def test_nothing_is_counted_twice(database: None) -> None:
    store(*RUNS)
    before = shown()
    see_in_log()
    witness.reconcile()
    after = shown()
    assert before["input"]["value"] == after["input"]["value"]
    assert after["input"]["sources"]["telemetry"] == 0
    assert after["conversations"]["sources"] == {
        "ledger": after["conversations"]["value"] - 1, "telemetry": 1,  # one run had no call
    }  # fmt: skip
    for one in (*after["users"]["items"], *before["users"]["items"]):
        sources = one.pop("sources")
        assert sources["ledger"] + sources["telemetry"] == one["value"]
    assert after["users"]["items"] == before["users"]["items"]


def test_reconcile_marks_calls_and_can_be_repeated(database: None) -> None:
    store("recommended-pb")
    names = see_in_log()
    assert witness.reconcile() == 4
    assert witness.reconcile() == 0
    assert db.rows("select distinct seen from call") == [(5,)]
    matched = db.rows("select call from telemetry_usage order by at")
    assert [name for (name,) in matched] == names


def test_a_log_that_is_read_anew_is_matched_anew(database: None) -> None:
    store("recommended-pb")
    see_in_log()
    witness.reconcile()
    with db.writing() as connection:
        connection.execute("update call set id = id || 'x' where id = 'resp_1'")
        connection.execute("update call set seen = 1")
    witness.mend()
    assert witness.reconcile() == 1
    assert db.rows("select distinct seen from call") == [(5,)]


def test_what_the_log_tells_otherwise_is_not_counted(database: None) -> None:
    store("recommended-pb")
    see_in_log(skip=1)
    with db.writing() as connection:  # the log has another count for the second call
        connection.execute("update call set input = input + 1 where id = 'resp_1'")
    witness.reconcile()
    total = db.rows("select sum(input) from call")[0][0]
    assert shown()["input"]["sources"] == {"ledger": total, "telemetry": 0}
    quality = received.quality(SPAN, NOW)
    assert quality["records"] == {"matched": 2, "waiting": 0, "replaced": 2, "provisional": 0}


def test_what_is_left_out_of_the_details_is_told_and_asked_for(client: FlaskClient) -> None:
    store(*RUNS)

    def details(more: str = "") -> dict[str, Any]:
        asked = f"/api/telemetry/panels?from=first&id=conversationDetails{more}"
        found: dict[str, Any] = client.get(asked).get_json()["panels"][0]
        return found

    whole = details()
    assert len(whole["rows"]) > 3
    for panel in (whole, whole["literal"]):
        assert (panel["total"], panel["hasMore"]) == (len(panel["rows"]), False)
    part = details("&details=2")
    for panel, all_of_it in ((part, whole), (part["literal"], whole["literal"])):
        assert (panel["total"], panel["hasMore"]) == (all_of_it["total"], True)
        assert panel["rows"] == all_of_it["rows"][:2]
    assert client.get("/api/telemetry/panels?details=0").status_code == 422
    assert client.get("/api/telemetry/panels?details=all").status_code == 422


def test_a_number_of_two_sources_has_one_list_of_all_its_rows(client: FlaskClient) -> None:
    store(*RUNS)
    see_in_log(skip=4)  # the first four were seen by telemetry alone
    witness.reconcile()
    panel = {
        one["id"]: one
        for one in client.get("/api/telemetry/panels?from=first").get_json()["panels"]
    }
    sources = panel["modelCalls"]["sources"]
    assert min(sources.values()) > 0

    def counted(more: str = "") -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"/api/telemetry/counted?from=first{more}").get_json()
        return found

    whole = counted("&limit=500")
    assert (whole["total"], whole["sources"]) == (panel["modelCalls"]["value"], sources)
    assert len(whole["rows"]) == whole["total"]
    for key, name in (("inputTokens", "input"), ("outputTokens", "output")):
        assert whole["tokens"][key] == panel[name]["value"]
        assert sum(row[key] for row in whole["rows"]) == panel[name]["value"]
    rows, cursor = [], ""
    while cursor is not None:  # page by page they are the same
        page = counted(f"&limit=3&cursor={cursor}")
        rows += page["rows"]
        cursor = page["nextCursor"]
    assert rows == whole["rows"]
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
    for item in panel["models"]["items"]:
        asked = f"&model={item['name']}" if item["name"] else "&lacks=model"
        assert counted(asked)["sources"] == item["sources"]
    for item in panel["users"]["items"]:
        found = counted(f"&user={item['name']}")
        assert found["sources"] == item["sources"]
        assert found["tokens"]["inputTokens"] + found["tokens"]["outputTokens"] == item["tokens"]
    for row in panel["conversationDetails"]["rows"]:
        found = counted(f"&conversation={row['conversation']}")
        assert (found["total"], found["sources"]["telemetry"]) == (row["modelCalls"], row["told"])


def test_the_list_behind_the_commands_duration_has_only_commands(client: FlaskClient) -> None:
    store(*RUNS)
    asked = "/api/telemetry/events?from=first&provider=codex&limit=500"
    found = client.get(f"{asked}&has=command").get_json()
    every = client.get(f"{asked}&name=codex.tool_result&has=durationMs").get_json()
    commands = [one for one in every["events"] if one["tool"] in COMMANDS]
    assert 0 < found["total"] == len(commands) < every["total"]
    assert found["events"] == commands
    (panel,) = client.get("/api/telemetry/panels?from=first&id=commandDuration").get_json()[
        "panels"
    ]
    assert max(one["durationMs"] for one in commands) >= panel["value"]


@pytest.mark.parametrize("cursor", ["x", "1.2", "1.2.3.4", "-1.0.1", "9" * 19 + ".0.1", "².0.1"])
def test_a_cursor_of_elsewhere_is_refused(client: FlaskClient, cursor: str) -> None:
    assert client.get(f"/api/telemetry/counted?cursor={cursor}").status_code == 422


def test_the_events_of_tool_calls_say_how_many_calls_they_are(client: FlaskClient) -> None:
    store(*RUNS)
    panel = client.get("/api/telemetry/panels?from=first&id=modelCalls").get_json()["panels"][0]
    events = client.get("/api/telemetry/events?from=first&provider=codex&has=callId").get_json()
    assert events["toolCalls"] == panel["literal"]["value"] < events["total"]


def test_a_record_whose_match_was_not_tried_waits(client: FlaskClient) -> None:
    store("recommended-pb")
    see_in_log()
    at = db.rows("select max(at) from telemetry_usage")[0][0]
    with db.writing() as connection:  # as if all of it had come just now
        by = db.now_ms() - at
        for table in ("telemetry_event", "telemetry_usage"):
            connection.execute(f"update {table} set at = at + ?", (by,))  # noqa: S608
        connection.execute("update call set started_at = started_at + ?", (by,))
    span = Span(at + by - 3_600_000, at + by + 1)
    assert received.quality(span, at + by)["records"]["replaced"] == 0
    assert received.quality(span, at + by)["records"]["waiting"] == 4
    waiting = client.get("/api/telemetry/events?has=waiting").get_json()["events"]
    assert [one["usage"]["standing"] for one in waiting] == ["waiting"] * 4
    assert client.get("/api/telemetry/events?has=replaced").get_json()["total"] == 0


def test_a_young_record_waits_for_its_log(database: None) -> None:
    store("logs-only")
    at = db.rows("select at from telemetry_usage")[0][0]
    assert telemetry.lone(SPAN, at + 119_999) == []
    assert len(telemetry.lone(SPAN, at + 120_000)) == 1


def test_a_title_thread_is_a_helper(database: None) -> None:
    store("recommended-pb", "logs-only")
    with db.writing() as connection:
        title = EXPECTED["logs-only"]["conversations"][0]
        turn = db.rows("select at from telemetry_event where name = 'codex.user_prompt' "
                       "and session_id != ?", (title,))[0][0]  # fmt: skip
        connection.execute(
            "update telemetry_session set sandbox = 'read-only', prompt_length = 430, first_at = ? "
            "where session_id = ?",
            (turn + 2000, title),
        )
    witness.reconcile()
    panels = shown()
    assert panels["conversations"]["value"] == 1  # not among the conversations
    assert counts(panels["terminals"]["items"]) == {"vscode": 1}
    assert panels["input"]["value"] == 6700 + 1400  # but its tokens were used
    kinds = {row["conversation"]: row["kind"] for row in panels["conversationDetails"]["rows"]}
    assert kinds[title] == "helper"
    assert received.quality(SPAN, NOW)["conversations"] == {"helper": 1, "user": 1}
    see_in_log()
    witness.reconcile()  # its log turned up after all
    assert shown()["conversations"]["value"] == 2


def claude_record(name: str, at: str, **attributes: Any) -> dict[str, Any]:
    named = {"event.name": name, "event.timestamp": at, "session.id": "s1", **attributes}
    pairs = [{"key": k, "value": {"stringValue": str(v)}} for k, v in named.items()]
    return {"observedTimeUnixNano": "0", "attributes": pairs}


def test_claude_code_has_panels_of_its_own(database: None) -> None:
    tokens = {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 100,
              "cache_creation_tokens": 20, "model": "claude-x", "duration_ms": 800}  # fmt: skip
    records = [
        claude_record("user_prompt", "2026-11-21T10:00:00Z", prompt_length=9),
        claude_record("api_request", "2026-11-21T10:00:01Z", **tokens),
        claude_record("api_error", "2026-11-21T10:00:02Z", status_code=529, error="Overloaded"),
        claude_record("tool_decision", "2026-11-21T10:00:03Z", tool_name="Bash", decision="accept",
                      source="user_temporary"),
        claude_record("tool_result", "2026-11-21T10:00:04Z", tool_name="Bash", success="true",
                      duration_ms=70, **{"terminal.type": "iTerm.app"}),
    ]  # fmt: skip
    about = [{"key": "service.name", "value": {"stringValue": "claude-code"}}]
    body = {"resourceLogs": [{"resource": {"attributes": about},
                              "scopeLogs": [{"logRecords": records}]}]}  # fmt: skip
    batch = otlp.decode("logs", json.dumps(body).encode(), json=True, now=NOW)
    with db.writing() as connection:
        witness.store(connection, [batch], witness.Tally(), NOW)
    panels = shown(SPAN._replace(provider="claude"))
    assert panels["input"]["value"] == 130
    assert panels["cacheRate"]["value"] == pytest.approx(100 * 100 / 130)
    assert panels["modelCalls"]["failed"] == 1
    assert counts(panels["decisions"]["items"]) == {"accept": 1}
    assert counts(panels["tools"]["items"]) == {"Bash": 1}
    assert counts(panels["terminals"]["items"]) == {"iTerm.app": 1}
    assert panels["commandDuration"]["value"] == 70
    assert panels["tools"]["behind"]["query"]["name"] == "claude_code.tool_result"
    assert shown()["input"]["value"] == 0  # Codex' panels stay Codex'


def test_failures_wait_as_long_as_what_went_well(database: None) -> None:
    about = [{"key": "service.name", "value": {"stringValue": "claude-code"}}]
    at = NOW - 60_000
    records = [
        claude_record("api_request", iso(at) or "", input_tokens=10, output_tokens=5, model="x"),
        claude_record("api_error", iso(at + 1000) or "", status_code=529, error="Overloaded"),
    ]
    body = {"resourceLogs": [{"resource": {"attributes": about},
                              "scopeLogs": [{"logRecords": records}]}]}  # fmt: skip
    batch = otlp.decode("logs", json.dumps(body).encode(), json=True, now=NOW)
    with db.writing() as connection:
        witness.store(connection, [batch], witness.Tally(), NOW)
    span = SPAN._replace(provider="claude")
    found = []
    for now in (NOW, NOW + 120_000):
        panels = {one["id"]: one for one in telemetry.panels(span, Days("UTC"), now)["panels"]}
        calls, share = panels["modelCalls"], panels["success"]["successPercent"]
        found.append((calls["value"], calls["failed"], share))
    assert found == [(0, 0, None), (1, 1, 50.0)]


def claude_told(count: int = 3) -> None:
    """Claude Code's own events, as its exporter sends them."""
    common = [
        {"key": key, "value": {"stringValue": text}}
        for key, text in (("session.id", "c1a0de-1"), ("terminal.type", "iTerm.app/3.5"))
    ]
    records = []
    for number in range(count):
        at = NOW - 2 * 86_400_000 + number * 60_000
        stamp = {"key": "event.timestamp", "value": {"stringValue": iso(at)}}
        said: dict[str, dict[str, Any]] = {
            "user_prompt": {"prompt_length": 4},
            "api_request": {
                "model": "claude-opus-4-6", "input_tokens": 100, "output_tokens": 10,
                "cache_read_tokens": 50, "cache_creation_tokens": 0, "duration_ms": 900,
            },
            "tool_result": {"tool_name": "Bash", "success": "true", "duration_ms": 9000},
        }  # fmt: skip
        for name, more in said.items():
            records.append(
                {
                    "body": {"stringValue": f"claude_code.{name}"},
                    "timeUnixNano": str(at * 1_000_000),
                    "attributes": [
                        *common, stamp, {"key": "event.name", "value": {"stringValue": name}},
                        *(
                            {"key": key, "value": {"stringValue": str(value)}}
                            for key, value in more.items()
                        ),
                    ],
                }
            )  # fmt: skip
    resource = {
        "attributes": [{"key": "service.name", "value": {"stringValue": "claude-code"}}],
    }
    body = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
    batch = otlp.decode("logs", json.dumps(body).encode(), json=True, now=NOW)
    with db.writing() as connection:
        witness.store(connection, [batch], witness.Tally(), NOW)


def test_both_providers_together_are_their_sum(client: FlaskClient) -> None:
    store(*RUNS)
    see_in_log(skip=4)
    witness.reconcile()
    claude_told()

    def asked(provider: str) -> dict[str, Any]:
        found = client.get(f"/api/telemetry/panels?from=first&provider={provider}").get_json()
        assert found["provider"] == provider
        return {one["id"]: one for one in found["panels"]} | {"coverage": found["coverage"]}

    codex, claude, both = asked("codex"), asked("claude"), asked("all")
    assert claude["modelCalls"]["value"] == 3
    for name in ("input", "output", "cached", "conversations", "modelCalls"):
        assert both[name]["value"] == codex[name]["value"] + claude[name]["value"]
        told = [one[name]["literal"]["value"] for one in (codex, claude, both)]
        assert told[2] == told[0] + told[1]
    for name in ("models", "modelTokens", "tools", "users", "terminals", "decisions", "success"):
        every = Counter(counts(codex[name]["items"])) + Counter(counts(claude[name]["items"]))
        assert Counter(counts(both[name]["items"])) == every
    for name in ("conversationsOverTime", "tokensOverTime"):
        sums = [
            one["v"] + other["v"]
            for one, other in zip(codex[name]["points"], claude[name]["points"], strict=True)
        ]
        assert [point["v"] for point in both[name]["points"]] == sums
    slowest = max(claude["commandDuration"]["value"], codex["commandDuration"]["value"])
    assert both["commandDuration"]["value"] <= slowest == 9000
    details = [one["conversationDetails"]["total"] for one in (codex, claude, both)]
    assert details[2] == details[0] + details[1]
    for key in ("calls", "telemetry", "telemetryOnly"):
        assert both["coverage"][key] == codex["coverage"][key] + claude["coverage"][key]
    listed = client.get("/api/telemetry/counted?from=first&provider=all").get_json()
    assert listed["sources"] == both["modelCalls"]["sources"]
    events = client.get("/api/telemetry/events?from=first&provider=all&name=tool_result")
    names = {one["name"] for one in events.get_json()["events"]}
    assert names == {"codex.tool_result", "claude_code.tool_result"}
    quality = client.get("/api/telemetry/quality?from=first&provider=all").get_json()
    assert quality["records"]["provisional"] == both["modelCalls"]["sources"]["telemetry"]
    behind = both["tools"]["behind"]
    assert client.get(behind["path"], query_string=behind["query"]).get_json()["total"] == len(
        [one for one in events.get_json()["events"] if one["tool"]]
    )


def proxied(name: str, session: str, status: str, at: int) -> tuple[Any, ...]:
    return (name, session, "/v1/responses", status, "[]", at)


def test_failures_of_a_session_that_the_proxy_served_are_the_proxys(database: None) -> None:
    store("json-failed")  # two failures, as telemetry saw them
    session, at = EXPECTED["json-failed"]["conversations"][0], NOW - 86_400_000
    with db.writing() as connection:
        connection.executemany(
            "insert into request_log(id, session_id, endpoint, status, attempts, started_at) "
            "values (?,?,?,?,?,?)",
            [proxied(f"r{n}", session, "error", at) for n in range(2)]
            + [proxied("r9", session, "success", at)],
        )
    assert shown()["success"]["items"][0] == {
        "name": "failed", "value": 2, "sources": {"ledger": 2, "telemetry": 0},
    }  # fmt: skip


def test_tiles_without_anything_are_unknown_where_they_must_be(database: None) -> None:
    panels = shown()
    assert panels["cacheRate"]["value"] is None
    assert panels["commandDuration"]["value"] is None
    assert panels["success"]["successPercent"] is None
    assert panels["input"]["literal"]["value"] is None


def test_days_are_the_viewers(database: None) -> None:
    store("recommended-pb")  # at 01:51 UTC
    for zone, day in (("UTC", "2026-11-21T00:00"), ("America/New_York", "2026-11-20T05:00")):
        found = telemetry.panels(SPAN, Days(zone), NOW)["panels"]
        points = next(p for p in found if p["id"] == "tokensOverTime")["points"]
        assert [p["t"][:16] for p in points if p["v"]] == [day]


@pytest.mark.parametrize("days", [2, 40, 300, 2000])
def test_a_name_counts_once_in_each_step(days: int) -> None:
    span = Span(NOW // QUARTER * QUARTER - days * 86_400_000, NOW // QUARTER * QUARTER)
    steps = Steps(span, Days("Asia/Kathmandu"))
    draw = random.Random(days)
    first, end, _ = span.quarters()
    rows = [(draw.randrange(first, end), f"talk {draw.randrange(40)}") for _ in range(500)]
    names: dict[int, set[str]] = {}
    for quarter, name in rows:
        names.setdefault(steps.index(quarter), set()).add(name)
    assert steps.distinct(rows) == {at: len(found) for at, found in names.items()}


def test_a_span_counts_by_the_quarter_of_an_hour(database: None) -> None:
    store("recommended-pb")
    ((first,), *_) = db.rows("select at from telemetry_usage order by at")
    quarter = first // QUARTER * QUARTER
    panels = shown(Span(first + 1, first + 2))
    for name in ("tokensOverTime", "conversationsOverTime"):
        assert len(panels[name]["points"]) == 1
    total = panels["input"]["value"] + panels["output"]["value"]
    assert panels["tokensOverTime"]["points"][0]["v"] == total == 6855
    assert panels["tokensOverTime"]["literal"]["points"][0]["v"] == total
    before = shown(Span(quarter - QUARTER, quarter))
    assert before["input"]["value"] == before["conversations"]["value"] == 0


def test_the_literal_values_can_be_left_out(client: FlaskClient) -> None:
    store("recommended-pb")
    answer = client.get(f"/api/telemetry/panels?{WHEN}&literal=false").get_json()
    assert {panel["literal"] for panel in answer["panels"]} == {None}


@pytest.mark.parametrize(
    ("mode", "title", "user"),
    [
        pytest.param("normal", "Fix the parser", "signed-in@example.com", id="everything"),
        pytest.param("redacted", "Thread ", "signed-in@example.com", id="no titles"),
        pytest.param("strict", "Thread ", "User ", id="no titles and no people"),
    ],
)
def test_the_privacy_mode_holds_for_panels(
    client: FlaskClient, mode: str, title: str, user: str
) -> None:
    store("recommended-pb")
    see_in_log()
    with db.writing() as connection:
        connection.execute(
            "insert into thread(id, title, provider) select thread, 'Fix the parser', 'codex' "
            "from session"
        )
        connection.execute("update telemetry_talk set user = 'signed-in@example.com'")
    panels = client.get(f"/api/telemetry/panels?{WHEN}&privacy={mode}").get_json()["panels"]
    known = {panel["id"]: panel for panel in panels}
    assert known["input"]["title"] == "Input tokens"
    assert known["conversationDetails"]["rows"][0]["title"].startswith(title)
    assert known["users"]["items"][0]["name"].startswith(user)
    assert known["users"]["literal"]["items"][0]["name"].startswith(user)


@pytest.mark.parametrize("standing", ["matched", "waiting", "replaced", "provisional"])
def test_a_standing_leads_to_its_events(client: FlaskClient, standing: str) -> None:
    store("recommended-pb")
    see_in_log(skip=1)
    witness.reconcile()
    told = client.get(f"/api/telemetry/quality?{WHEN}").get_json()["records"]
    found = client.get(f"/api/telemetry/events?{WHEN}&has={standing}").get_json()
    assert found["total"] == told[standing]
    assert {event["usage"]["standing"] for event in found["events"]} <= {standing}


def test_a_number_of_two_sources_has_the_rows_of_both(client: FlaskClient) -> None:
    store(*RUNS)
    see_in_log(skip=3)
    witness.reconcile()
    found = client.get(f"/api/telemetry/panels?{WHEN}&id=models&id=success&id=users").get_json()
    for panel in found["panels"]:
        for item in panel["items"]:
            assert sum(item["sources"].values()) == item["value"]
    models = next(panel for panel in found["panels"] if panel["id"] == "models")["items"]
    for item in models:
        only = f"model={item['name']}" if item["name"] else "lacks=model"
        rows = client.get(f"/api/telemetry/events?{WHEN}&has=provisional&{only}").get_json()
        assert rows["total"] == item["sources"]["telemetry"]
    assert sum(item["sources"]["telemetry"] for item in models) > 0


# ── the routes ────────────────────────────────────────────────────────────────────────────

WHEN = "from=2026-11-20&to=2026-11-22&tz=UTC"


def test_the_panels_route(client: FlaskClient) -> None:
    store("recommended-pb")
    answer = client.get(f"/api/telemetry/panels?{WHEN}").get_json()
    assert [panel["id"] for panel in answer["panels"]] == IDS
    assert answer["step"] == "hour"
    for panel in answer["panels"]:
        where = panel["behind"]
        behind = client.get(where["path"], query_string=where["query"])
        assert behind.status_code == 200, (panel["id"], behind.get_json())


def test_the_events_route_pages_through_everything(client: FlaskClient) -> None:
    store(*RUNS)
    seen: list[int] = []
    cursor = ""
    while True:
        page = client.get(f"/api/telemetry/events?{WHEN}&limit=37&cursor={cursor}").get_json()
        seen += [event["id"] for event in page["events"]]
        cursor = page["nextCursor"]
        if not page["hasMore"]:
            break
    stored = db.rows("select id from telemetry_event order by at desc, id desc")
    assert seen == [name for (name,) in stored]
    assert page["total"] == len(seen)
    assert page["records"] == sum(sum(v for k, v in EXPECTED[r]["by_event"].items() if k != "None")
                                  for r in RUNS)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "count"),
    [
        pytest.param("name=codex.tool_result", 3, id="by name"),
        pytest.param("name=codex.tool_result&name=codex.tool_decision", 5, id="of two names"),
        pytest.param("name=codex.tool_result&success=false", 1, id="what went wrong"),
        pytest.param("tool=update_plan", 1, id="by tool"),
        pytest.param("has=tokens", 4, id="with tokens"),
        pytest.param("has=durationMs&name=codex.api_request", 6, id="with a duration"),
        pytest.param("user=dev@example.com&name=codex.user_prompt", 1, id="by user"),
        pytest.param("provider=claude", 0, id="of the other provider"),
        pytest.param("has=counted", 4, id="that the panels count"),
        pytest.param("has=counted&lacks=model", 0, id="of no model"),
        pytest.param("name=codex.tool_result&lacks=tool", 0, id="of no tool"),
        pytest.param("name=%27%20or%201=1--", 0, id="text is only text"),
    ],
)
def test_events_are_filtered(client: FlaskClient, query: str, count: int) -> None:
    store("recommended-pb")
    assert client.get(f"/api/telemetry/events?{WHEN}&{query}").get_json()["total"] == count


def test_an_event_shows_its_tokens_and_standing(client: FlaskClient) -> None:
    store("logs-only")
    url = f"/api/telemetry/events?{WHEN}&has=tokens"
    (event,) = client.get(url).get_json()["events"]
    assert event["usage"]["inputTokens"] == 1400
    assert event["usage"]["callId"] is None
    see_in_log()
    witness.reconcile()
    (event,) = client.get(url).get_json()["events"]
    assert (event["usage"]["callId"], event["usage"]["standing"]) == ("resp_0", "matched")


@pytest.mark.parametrize(
    "url",
    [
        "panels?from=x",
        "panels?to=2026-13-01",
        "panels?tz=Mars",
        "panels?from=2026-02-02&to=2026-01-01",
        "panels?from=1990-01-01&to=2026-01-01",
        "panels?from=0001-01-01&to=0001-01-02",
        "panels?to=9999-12-31",
        "panels?provider=x",
        "panels?id=zz",
        "panels?id=input&id=zz",
        "events?limit=0",
        "events?limit=9999",
        "events?cursor=x",
        "events?cursor=1.99999999999999999999",
        "events?success=1",
        "events?has=key",
        "quality?from=9999-12-31T23:59:59%2B99",
    ],
)
def test_bad_queries_hear_why(client: FlaskClient, url: str) -> None:
    answer = client.get(f"/api/telemetry/{url}")
    assert answer.status_code == 422
    assert answer.get_json()["error"]["message"]


def test_quality_says_what_was_left_out(client: FlaskClient) -> None:
    with db.writing() as connection:
        batches = [otlp.decode("logs", b.data, json=b.json, now=NOW)
                   for _ in range(2) for b in bodies("json-err500")]  # fmt: skip
        tally = witness.Tally({("refused", "malformed_otlp"): 3})
        witness.store(connection, batches, tally, NOW)
    found = client.get(f"/api/telemetry/quality?{WHEN}&to=2026-11-23").get_json()
    assert found["dropped"][0]["name"] == "not an event" and found["dropped"][0]["count"] == 2
    assert found["refused"][0]["count"] == 3
    assert found["versions"][0]["name"] == "codex_exec 0.169.0"
    assert found["repeated"] == found["stored"][0]["count"]
    assert found["records"]["provisional"] == 2
    assert found["coverage"]["telemetryOnly"] == 2
    assert found["relay"]["url"] == ""
    assert found["receiver"]["waitingBatches"] == 0


def test_numbers_of_the_quality_lead_to_as_many_rows(client: FlaskClient) -> None:
    store(*RUNS)
    see_in_log(skip=3)
    with db.writing() as connection:
        connection.execute("update call set seen = seen | 2 where rowid % 2")
    witness.reconcile()
    told = client.get(f"/api/telemetry/quality?{WHEN}").get_json()
    for name in ("log", "proxy"):
        calls = client.get(f"/api/calls?{WHEN}&fact=witness:{name}").get_json()
        assert calls["total"] == told["coverage"][name] > 0
    counted = client.get(f"/api/telemetry/events?{WHEN}&has=counted").get_json()
    assert counted["total"] == told["coverage"]["telemetry"]
    panel = client.get(f"/api/telemetry/panels?{WHEN}&id=success").get_json()["panels"][0]
    failed = client.get(f"/api/telemetry/events?{WHEN}&provider=codex&has=failed").get_json()
    assert failed["total"] == panel["failedBy"]["telemetry"] > 0
    for kind, query in (("user", "lacks=helper"), ("helper", "has=helper")):
        events = client.get(f"/api/telemetry/events?{WHEN}&provider=codex&{query}").get_json()
        assert events["conversations"] == told["conversations"].get(kind, 0)
    assert told["conversations"]["user"] > 0


def panel_of(client: FlaskClient, name: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/telemetry/panels?{WHEN}&id={name}").get_json()
    return dict(found["panels"][0])


def test_numbers_of_the_panels_lead_to_as_many_rows(client: FlaskClient) -> None:
    def events(query: str) -> dict[str, Any]:
        return dict(client.get(f"/api/telemetry/events?{WHEN}&provider=codex&{query}").get_json())

    def calls(query: str) -> dict[str, Any]:
        return dict(client.get(f"/api/calls?{WHEN}&provider=codex&{query}").get_json())

    store(*RUNS)
    see_in_log(skip=3)
    witness.reconcile()
    with db.writing() as connection:  # a conversation that telemetry saw nothing of
        connection.execute(
            "insert into session(key, provider, thread, forked, inherited, guessed, kind, source, "
            "client) values ('quiet', 'codex', 'quiet', 0, 0, 0, 'user', 1, 'codex_exec')"
        )
        connection.execute(
            "update call set session = (select id from session where key = 'quiet') "
            "where id = 'resp_4'"
        )
    decisions = panel_of(client, "decisions")
    for items, way in ((decisions["items"], "has"), (decisions["configured"], "lacks")):
        for item in items:
            assert events(f"{way}=userDecision&decision={item['name']}")["total"] == item["value"]
    talks = panel_of(client, "conversations")["sources"]
    assert events("has=alone")["conversations"] == talks["telemetry"]
    for name, place in (("input", "inputTokens"), ("cached", "cachedInputTokens")):
        told = panel_of(client, name)["sources"]
        assert events("has=provisional")["tokens"][place] == told["telemetry"]
        assert calls("")["totals"]["input" if name == "input" else "cachedInput"] == told["ledger"]
    for item in panel_of(client, "users")["items"]:
        found = calls(f"fact=user:{item['name']}")
        assert found["total"] == item["sources"]["ledger"]
    for item in panel_of(client, "terminals")["surfaces"]:
        assert calls(f"fact=client:{item['name'] or '?'}")["occurrences"] == item["value"] > 0


def test_silence_is_told(database: None) -> None:
    assert received.silence("codex", NOW)["silentSince"] is None
    store("logs-only")
    see_in_log()
    assert received.silence("codex", NOW)["silentSince"] is None
    with db.writing() as connection:
        connection.execute("update call set started_at = started_at + 700000")
    assert received.silence("codex", NOW)["silentSince"] is not None


def test_the_relay_is_set_and_its_header_never_told(client: FlaskClient) -> None:
    url = "/api/telemetry/relay"
    body = {"url": "http://localhost:4318/", "header": "Authorization: Bearer sesame"}
    answer = client.put(url, json=body)
    assert answer.get_json()["url"] == "http://localhost:4318"
    assert answer.get_json()["headerName"] == "Authorization"
    assert "sesame" not in answer.get_data(as_text=True)
    assert client.put(url, json={"url": "nonsense"}).status_code == 422
    assert client.put(url, json={"url": 5}).status_code == 422
    assert client.get(url).get_json()["url"] == "http://localhost:4318"
    assert client.put(url, json={"url": ""}).get_json()["headerName"] is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:80", "http://localhost/v1/logs", "http://[::1]:80/", "http://0.0.0.0",
        "http://127.8.0.1", "http://localhost.", "http://127.1/", "http://2130706433",
        "http://[::ffff:127.0.0.1]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["telemetry/relay", "settings"])
def test_the_relay_does_not_take_its_own_address(client: FlaskClient, url: str, way: str) -> None:
    key = "url" if way == "telemetry/relay" else "telemetryRelayUrl"
    answer = client.put(f"/api/{way}", json={key: url})
    assert answer.status_code == 422
    assert "own address" in answer.get_json()["error"]["message"]
    assert client.get("/api/telemetry/relay").get_json()["url"] == ""
    assert client.put(f"/api/{way}", json={key: "http://localhost:4318"}).status_code == 200


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://x", "http://user:pw@host", "http://a b"])
def test_the_settings_do_not_take_a_bad_address(client: FlaskClient, url: str) -> None:
    answer = client.put("/api/settings", json={"telemetryRelayUrl": url})
    assert answer.status_code == 422
    assert "telemetryRelayUrl" in answer.get_json()["error"]["message"]


def test_strict_hides_whose_account_an_event_was(client: FlaskClient) -> None:
    store("recommended-pb")
    asked = f"/api/telemetry/events?{WHEN}&limit=500"

    def told(mode: str) -> set[Any]:
        events = client.get(f"{asked}&privacy={mode}").get_json()["events"]
        return {one["attributes"].get("user.account_id") for one in events}

    assert told("normal") - {None}
    assert told("strict") == {None}
