"""The real Codex CLI exports to the receiver, and the panels equal what its rollout says."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.config import Config
from server.ingest.connect import logs_endpoint, with_otel
from server.store import db
from server.usage import received, telemetry, turns
from server.usage.days import Days
from server.usage.steps import Span
from tests.codexcli import Codex
from tests.serving import Served, serving_with_telemetry
from tests.upstream import Answer, Provider, Received, Script, Stream, called, spoken

PROVIDER_BLOCK = """
model_provider = "brimline"

[model_providers.brimline]
name = "OpenAI"
base_url = "{base}"
env_key = "CLIENT_KEY"
wire_api = "responses"
"""


def tool_turn(request: Received) -> Script:
    """Runs a command, then ends the turn."""
    name = f"resp_{uuid.uuid4().hex}"
    if any(i.get("type") == "function_call_output" for i in request.json["input"]):
        return Stream(spoken("Done.", name))
    failing = "please fail" in json.dumps(request.json["input"])
    arguments = json.dumps({"cmd": "exit 3" if failing else "echo a-secret-argument"})
    call = {"type": "function_call", "name": "exec_command", "arguments": arguments}
    return Stream(called(call, name))


@pytest.fixture
def codex(tmp_path: Path) -> Codex:
    return Codex(tmp_path / "user")


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(default=tool_turn) as running:
        yield running


@pytest.fixture
def served(config: Config, codex: Codex, provider: Provider) -> Iterator[Served]:
    with serving_with_telemetry(config, codex.codex_home, provider) as running:
        yield running


def connect(codex: Codex, served: Served) -> None:
    config = with_otel(PROVIDER_BLOCK.format(base=served.url + "/v1"), logs_endpoint(served.url))
    codex.configure(config)


def test_the_panels_equal_the_rollout(codex: Codex, served: Served) -> None:
    connect(codex, served)
    run = codex.run("say a-secret-prompt", CLIENT_KEY="sk-local")
    assert run.code == 0, run.stderr
    assert served.services.telemetry.settled(30)
    served.services.indexer.scan()
    served.services.telemetry.reconcile()

    now = db.now_ms()
    span = Span(now - 86_400_000, now + 1)
    found = {p["id"]: p for p in telemetry.panels(span, Days("UTC"), now)["panels"]}
    assert found["input"]["value"] == run.usage["input_tokens"] > 0
    assert found["cached"]["value"] == run.usage["cached_input_tokens"]
    assert found["output"]["value"] == run.usage["output_tokens"]
    assert found["input"]["literal"]["value"] == run.usage["input_tokens"]
    assert found["modelCalls"]["value"] == 2
    assert found["conversations"]["value"] == 1
    assert [(t["name"], t["value"], t["succeeded"]) for t in found["tools"]["items"]] == [
        ("exec_command", 1, 1)
    ]
    assert found["success"]["successPercent"] == 100
    assert found["users"]["items"][0]["value"] == 2
    # Log, proxy and telemetry saw the same two calls, and there are two.
    assert db.rows("select seen from call") == [(7,), (7,)]
    quality = received.quality(span, now)
    assert quality["records"] == {"matched": 2, "waiting": 0, "replaced": 0, "provisional": 0}
    assert quality["versions"][0]["name"] == "codex_exec 0.169.0"
    tables = ("telemetry_event", "telemetry_usage", "telemetry_session", "telemetry_count")
    kept = repr([db.rows(f"select * from {table}") for table in tables])
    assert "codex_exec" in kept
    assert "a-secret" not in kept


def test_a_command_that_fails_is_no_success(codex: Codex, served: Served) -> None:
    connect(codex, served)
    assert codex.run("please fail", CLIENT_KEY="sk-local").code == 0
    served.services.indexer.scan()
    served.services.facts.refresh()
    assert served.services.telemetry.settled(30)
    served.services.telemetry.reconcile()

    now = db.now_ms()
    span = Span(now - 86_400_000, now + 1)
    found = {p["id"]: p for p in telemetry.panels(span, Days("UTC"), now)["panels"]}
    assert [(t["name"], t["succeeded"], t["failed"]) for t in found["tools"]["items"]] == [
        ("exec_command", 0, 1)
    ]
    assert found["success"]["tools"] == {"succeeded": 0, "failed": 1}
    literal = {item["name"]: item["value"] for item in found["success"]["literal"]["items"]}
    assert literal["true"] == 1  # as Codex says and SigNoz counts
    call = db.rows("select id from call order by started_at limit 1")[0][0]
    turn = turns.timeline(call)
    assert turn is not None
    assert [s["success"] for s in turn["segments"] if s["kind"] == "tool"] == [False]
    kinds = [s["kind"] for s in turn["segments"]]
    assert kinds[0] == "start"
    assert kinds[1:] == ["waiting", "streaming", "tool", "waiting", "streaming"]


def test_a_conversation_that_leaves_no_log_is_counted(codex: Codex, served: Served) -> None:
    connect(codex, served)
    run = codex.run("hello", "--ephemeral", CLIENT_KEY="sk-local")
    assert run.code == 0, run.stderr
    assert codex.rollouts() == []
    assert served.services.telemetry.settled(30)
    with db.writing() as connection:  # as if it had not gone through our proxy
        connection.execute("delete from call")
        connection.execute("delete from session")
    served.services.telemetry.reconcile()
    now = db.now_ms() + 180_000
    span = Span(now - 86_400_000, now + 1)
    found = {p["id"]: p for p in telemetry.panels(span, Days("UTC"), now)["panels"]}
    assert found["input"]["sources"] == {"ledger": 0, "telemetry": run.usage["input_tokens"]}
    assert found["modelCalls"]["value"] == 2


def test_a_turn_that_fails_makes_no_call(codex: Codex, served: Served, provider: Provider) -> None:
    provider.play(Answer(400, {"error": {"message": "bad", "type": "invalid_request_error"}}))
    connect(codex, served)
    assert codex.run("hello", CLIENT_KEY="sk-local").code != 0
    assert served.services.telemetry.settled(30)
    assert db.rows("select count(*) from telemetry_usage") == [(0,)]
    # Codex loses its last batch when it ends with an error; what came is only its start.
    names = {name for (name,) in db.rows("select name from telemetry_event")}
    assert names <= {"codex.conversation_starts", "codex.startup_phase", "codex.api_request",
                     "codex.user_prompt"}  # fmt: skip
    assert db.rows("select count(*) from telemetry_count where kind = 'refused'") == [(0,)]
