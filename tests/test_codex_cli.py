"""The real Codex CLI works through the real server: turns, tools, failover, dry pool, ledger."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from server.auth.keys import Draft
from server.auth.limits import Rule
from server.config import Config
from server.ingest.scan import totals
from server.proxy import chooser
from server.sentences import say
from server.store import db, settings
from tests.codexcli import MODEL, Codex, Run
from tests.serving import Served, serving
from tests.upstream import (
    Answer,
    HangUp,
    Provider,
    Received,
    Script,
    Stream,
    called,
    completed,
    created,
    failed,
    item,
    refusal,
    spoken,
    usage_limit,
)

KEY = "sk-of-the-client"
PROVIDER_BLOCK = """
model_provider = "brimline"

[model_providers.brimline]
name = "OpenAI"
base_url = "{base}"
env_key = "CLIENT_KEY"
wire_api = "responses"
"""


def tool_turn(request: Received) -> Stream:
    """Runs `echo one`, then tells what it said; each answer has an id and usage of its own."""
    given = request.json["input"]
    name = f"resp_{uuid.uuid4().hex}"
    outputs = [i["output"] for i in given if i.get("type") == "function_call_output"]
    if outputs:
        return Stream(spoken("It said one." if "one" in str(outputs[-1]) else "Nothing.", name))
    return call_echo(name)


def call_echo(name: str) -> Stream:
    arguments = json.dumps({"cmd": "echo one"})
    call = {"type": "function_call", "name": "exec_command", "arguments": arguments}
    return Stream(called(call, name))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(default=tool_turn) as running:
        yield running


@pytest.fixture
def codex(tmp_path: Path) -> Codex:
    return Codex(tmp_path / "user")


@pytest.fixture
def served(config: Config, provider: Provider, codex: Codex) -> Iterator[Served]:
    with serving(replace(config, codex_home=codex.codex_home), provider) as running:
        running.account("acc-1")
        yield running


def ran_the_tool(run: Run) -> None:
    """One clean run: the command ran, the answer came, and no error was shown."""
    assert (run.code, run.text, run.errors) == (0, "It said one.", []), run.stderr
    assert commands(run) == ["one\n"]


def commands(run: Run) -> list[str]:
    """What the commands printed that the CLI ran."""
    return [
        each["item"]["aggregated_output"]
        for each in run.events
        if each["type"] == "item.completed" and each["item"]["type"] == "command_execution"
    ]


def wait_until(true: Callable[[], Any]) -> None:
    limit = time.monotonic() + 30
    while not true():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.01)


def joined(served: Served, codex: Codex, run: Run) -> None:
    """The rollout's calls are the request log's rows, with equal tokens and equal totals."""
    served.services.indexer.scan()
    calls = {
        row[0]: row[1:]
        for row in db.rows("select id, input, cached, output, reasoning, account, seen from call")
    }
    answered = [row for row in served.rows() if row["status"] == "success"]
    assert len(answered) == 2
    assert {row["response_id"] for row in answered} == set(calls)
    for row in answered:
        said = calls[row["response_id"]]
        assert said[:4] == (row["input"], row["cached"], row["output"], row["reasoning"])
        assert said[4] == row["account"]
        assert said[5] == 3  # the log and the proxy both saw it
    found = totals()
    assert found["files"] == len(codex.rollouts())
    assert found["calls"] == len(answered)
    assert found["tokens"]["input"] == run.usage["input_tokens"]
    assert found["tokens"]["cachedInput"] == run.usage["cached_input_tokens"]
    assert found["tokens"]["output"] == run.usage["output_tokens"]
    assert found["tokens"]["reasoningOutput"] == run.usage["reasoning_output_tokens"]
    assert found["skippedLines"] == 0


@pytest.mark.parametrize("path", ["/v1", "/backend-api/codex"])
def test_a_key_and_no_login(codex: Codex, served: Served, provider: Provider, path: str) -> None:
    codex.configure(PROVIDER_BLOCK.format(base=served.url + path))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    ran_the_tool(run)
    sent = provider.responses()
    assert [request.account for request in sent] == ["acc-1", "acc-1"]
    assert not any(KEY in str(request.headers) for request in sent)
    rows = served.rows()
    assert [row["reason"] for row in rows][1:] == ["same thread"]
    assert {row["endpoint"] for row in rows} == {f"{path}/responses"}
    joined(served, codex, run)


def test_the_bytes_pass_untouched(codex: Codex, served: Served, provider: Provider) -> None:
    """What the CLI sends through us is what it sends to a provider directly."""
    codex.configure(PROVIDER_BLOCK.format(base=f"{provider.url}/codex"))
    codex.run("Say one.", CLIENT_KEY=KEY)
    direct = provider.responses()
    provider.received.clear()
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/backend-api/codex"))
    codex.run("Say one.", CLIENT_KEY=KEY)
    relayed = provider.responses()
    ours = {"authorization", "chatgpt-account-id", "accept-encoding", "host", "content-length"}
    for one, other in zip(direct, relayed, strict=True):
        assert one.json.keys() == other.json.keys()
        assert one.json["tools"] == other.json["tools"]
        assert set(one.headers) - ours == set(other.headers) - ours


# ── with a ChatGPT login ──────────────────────────────────────────────────────────────────


@pytest.fixture
def workspace() -> Iterator[str]:
    """The place where the CLI asks about its own login: another origin than ours."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            known = self.path.endswith("/wham/accounts/check")
            account = {
                "id": "acc-local",
                "workspace_backend_origin": "https://chatgpt.com",
                "account_routing_override": "NO_CONSTRAINT",
            }
            body = json.dumps({"accounts": [account]} if known else {"detail": "no"}).encode()
            self.send_response(200 if known else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as home:
        threading.Thread(target=home.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://localhost:{home.server_port}/backend-api"
        home.shutdown()


LOGIN_BLOCK = """
chatgpt_base_url = "{workspace}"
model_provider = "brimline"

[model_providers.brimline]
name = "OpenAI"
base_url = "{url}/backend-api/codex"
requires_openai_auth = true
wire_api = "responses"
"""


@pytest.mark.parametrize(
    "config_text",
    [
        pytest.param(
            'chatgpt_base_url = "{workspace}"\nopenai_base_url = "{url}/v1"\n',
            id="one line: it tries a WebSocket first and must be sent to HTTP",
        ),
        pytest.param(LOGIN_BLOCK, id="a provider block on the Codex path"),
    ],
)
def test_a_login(
    codex: Codex, served: Served, provider: Provider, workspace: str, config_text: str
) -> None:
    codex.sign_in("acc-local")
    codex.configure(config_text.format(workspace=workspace, url=served.url))
    run = codex.run("Say one.")
    ran_the_tool(run)
    sent = provider.responses()
    assert [request.account for request in sent] == ["acc-1", "acc-1"]
    assert [request.headers["content-encoding"] for request in sent] == ["zstd", "zstd"]
    local = json.loads((codex.codex_home / "auth.json").read_bytes())["tokens"]["access_token"]
    assert not any(local in str(request.headers) for request in sent)
    joined(served, codex, run)


# ── when things fail ──────────────────────────────────────────────────────────────────────


def first_fails(provider: Provider, failure: Script) -> None:
    """The very first request fails, whichever account it came from."""

    def script(request: Received) -> Script:
        return failure if request is provider.responses()[0] else tool_turn

    provider.default = script


IN_HOURS = int(time.time()) + 3 * 3600


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        pytest.param(usage_limit(IN_HOURS), "status 429", id="its allowance is used up"),
        pytest.param(refusal(503, "server_is_overloaded"), "status 503", id="overloaded"),
        pytest.param(Answer(500, b"<html>oh</html>"), "status 500", id="an HTML page"),
        pytest.param(HangUp(), "it hung up", id="it hangs up"),
        pytest.param(
            Stream([created(), failed("rate_limit_exceeded", "Try again in 20s.")]),
            "rate_limit_exceeded",
            id="an error where the answer should begin",
        ),
        pytest.param(refusal(401, "token_expired"), "status 401", id="its token is refused"),
    ],
)
def test_another_try_is_invisible(
    codex: Codex, served: Served, provider: Provider, failure: Script, outcome: str
) -> None:
    served.account("acc-2")
    first_fails(provider, failure)
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/v1"))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    ran_the_tool(run)
    first, second = served.rows()
    attempts = json.loads(first["attempts"])
    assert [each["outcome"] for each in attempts] == [outcome, "ok"]
    moved = attempts[0]["account"] != attempts[1]["account"]
    assert moved is (outcome != "status 401")  # a refused token is renewed, not given up
    assert second["account"] == attempts[1]["account"]
    joined(served, codex, run)


def test_a_spent_key_says_when_to_come_back(
    codex: Codex, served: Served, provider: Provider
) -> None:
    """The key's own limit, with accounts that could serve: Codex asks once and tells the time."""
    keys = served.services.keys
    made, secret = keys.create(Draft("spent", rules=(Rule("requests", "daily", 1),)))
    keys.settle(keys.reserve(made, "gpt-5.5"), None)
    settings.change({"apiKeyAuthEnabled": True})
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/v1"))
    run = codex.run("Say one.", CLIENT_KEY=secret)
    assert run.code == 1
    assert "You’ve hit your usage limit. Try again at" in run.errors[-1]
    # One row: it did not ask again.
    assert [row["error_code"] for row in served.rows()] == ["rate_limit_exceeded"]
    assert not provider.responses()


def test_a_dry_pool_says_when_to_come_back(
    codex: Codex, served: Served, provider: Provider
) -> None:
    provider.default = usage_limit(IN_HOURS)
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/backend-api/codex"))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    at = time.gmtime(IN_HOURS)
    clock = f"{at.tm_hour % 12 or 12}:{at.tm_min:02} {'PM' if at.tm_hour >= 12 else 'AM'}"
    assert run.code == 1
    assert "You’ve hit your usage limit. Try again at" in run.errors[-1]
    assert clock in run.errors[-1]
    assert [row["error_code"] for row in served.rows()] == ["usage_limit_reached"]


def test_paused_accounts_are_told_at_once(codex: Codex, served: Served, provider: Provider) -> None:
    served.services.pool.pause_all()
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/backend-api/codex"))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    assert (run.code, run.errors[-1]) == (1, say("error.paused"))
    # One row: it did not ask again.
    assert [row["error_code"] for row in served.rows()] == ["no_accounts"]
    assert not provider.responses()


def nobody(served: Served) -> str:
    served.services.pool.remove(served.services.pool.find("acc-1@example.com"))
    return KEY


def signed_out(served: Served) -> str:
    pool = served.services.pool
    account = pool.candidates()[0].id
    pool.refused(account, pool.token(account).access_token, "token_revoked")
    return KEY


def key_of(served: Served, **draft: Any) -> str:
    settings.change({"apiKeyAuthEnabled": True})
    return served.services.keys.create(Draft("k", **draft))[1]


@pytest.mark.parametrize(
    ("prepare", "says", "codes"),
    [
        pytest.param(nobody, say("error.empty"), ["no_accounts"], id="no account"),
        pytest.param(signed_out, say("error.signIn"), ["no_accounts"], id="signed out"),
        pytest.param(
            lambda served: key_of(served, active=False),
            "This API key has been switched off.",
            [],
            id="its key was revoked",
        ),
        pytest.param(
            lambda served: key_of(served) and "sk-clb-other",
            "This API key is not known here. Check it, or ask for a new one.",
            [],
            id="a key of nobody",
        ),
        pytest.param(
            lambda served: key_of(served, models=("gpt-4",)),
            f"This API key may not use the model “{MODEL}”. It may use: gpt-4.",
            ["model_not_allowed"],
            id="a model that its key may not use",
        ),
    ],
)
@pytest.mark.parametrize("base", ["/v1", "/backend-api/codex"])
def test_a_refusal_is_printed_as_we_say_it(
    codex: Codex,
    served: Served,
    provider: Provider,
    base: str,
    prepare: Callable[[Served], str],
    says: str,
    codes: list[str],
) -> None:
    """The sentence alone, and at once: nothing that it asks again would be answered otherwise."""
    secret = prepare(served)
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}{base}"))
    run = codex.run("Say one.", CLIENT_KEY=secret)
    assert (run.code, run.errors) == (1, [says] * 2), "an event, and the turn's end"
    assert [row["error_code"] for row in served.rows()] == codes
    assert not provider.responses()


def test_a_full_pool_is_waited_for_and_named(
    codex: Codex, served: Served, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chooser, "WAIT_SECONDS", 0.05)
    settings.change({"streamsPerAccount": 1})
    served.services.pool.opened(served.services.pool.candidates()[0].id)
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/v1"))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    assert run.code == 1
    assert say("error.busy") in run.errors[-1]
    rows = [(row["error_code"], row["http_status"]) for row in served.rows()]
    assert rows == [("rate_limit_exceeded", 200)] * 6
    assert not provider.responses()


def test_a_server_that_drains_is_asked_until_another_is_there(
    codex: Codex, served: Served, provider: Provider
) -> None:
    served.services.proxy.drain()
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/v1"))
    with codex.start("Say one.", CLIENT_KEY=KEY) as running:
        wait_until(lambda: len(served.rows()) >= 2)
        served.services.proxy._draining = False  # as the next server
        out, _ = running.communicate(timeout=100)
    assert running.returncode == 0, out
    assert {row["error_code"] for row in served.rows()} == {"proxy_busy", None}


def test_a_dead_upstream_ends_soon_and_says_why(codex: Codex, served: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    served.services.proxy.upstream._port = port
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/backend-api/codex"))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    assert run.code == 1
    assert "cannot reach the provider. Check the network connection" in run.errors[0]
    assert "cannot reach the provider. Check the network connection" in run.errors[-1]
    assert [row["error_code"] for row in served.rows()] == ["server_is_overloaded"] * 6


def test_a_web_page_in_place_of_the_provider_is_named(
    codex: Codex, served: Served, provider: Provider
) -> None:
    """Codex prints our sentence, not that the model is at capacity."""
    page = Answer(200, b"<html>Sign in to the Wi-Fi</html>", {"content-type": "text/html"})
    provider.play(page)
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/v1"))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    assert run.code == 1
    for said in (run.errors[0], run.errors[-1]):
        assert "A web page came instead of the provider's answer (status 200)" in said
        assert "sign in to the network" in said


def test_a_short_rest_is_waited_for(codex: Codex, served: Served, provider: Provider) -> None:
    first_fails(provider, refusal(429, "rate_limit_exceeded", "Slow down.", retry_after="1"))
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/v1"))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    assert (run.code, run.text) == (0, "It said one.")
    assert [row["status"] for row in served.rows()] == ["error", "success", "success"]


def test_nothing_is_replayed_after_an_item(
    codex: Codex, served: Served, provider: Provider
) -> None:
    """The CLI runs a tool as soon as its call is here; if the stream then ends, it goes on."""
    served.account("acc-2")
    first_fails(provider, Stream(call_echo("resp_cut").events[:-1], end="cut"))
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/backend-api/codex"))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    assert (run.code, run.text) == (0, "It said one.")
    assert commands(run) == ["one\n"]
    first, second = served.rows()
    assert (first["error_code"], second["status"]) == ("stream_incomplete", "success")
    assert len(json.loads(first["attempts"])) == 1
    assert first["account"] == second["account"]


def test_ctrl_c_reaches_the_provider(codex: Codex, served: Served, provider: Provider) -> None:
    provider.default = Stream(spoken()[:3], end="silent")
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/v1"))
    with codex.start("Say one.", CLIENT_KEY=KEY) as running:
        wait_until(lambda: served.services.proxy.live() and provider.responses())
        wait_until(lambda: served.services.proxy.live()[0]["firstEventMs"] is not None)
        running.send_signal(signal.SIGINT)
        assert provider.responses()[0].closed.wait(30)
        running.communicate(timeout=60)
    wait_until(lambda: not served.services.proxy.active())
    wait_until(lambda: [row["status"] for row in served.rows()] == ["cancelled"])


def test_a_resumed_session_stays(codex: Codex, served: Served, provider: Provider) -> None:
    served.account("acc-2")
    codex.configure(PROVIDER_BLOCK.format(base=f"{served.url}/v1"))
    codex.run("Say one.", CLIENT_KEY=KEY)
    again = codex.run("And again.", "resume", "--last", CLIENT_KEY=KEY)
    assert again.code == 0
    rows = served.rows()
    assert len({row["account"] for row in rows}) == 1
    assert len({row["session_id"] for row in rows}) == 1
    assert [row["reason"] for row in rows][1:] == ["same thread"] * (len(rows) - 1)
    assert len(codex.rollouts()) == 1


def test_a_remote_compaction_is_counted(codex: Codex, served: Served, provider: Provider) -> None:
    """The history is packed by the provider in mid-turn; trackers of token_count miss that call."""

    def script(request: Received) -> Stream:
        kinds = [entry.get("type") for entry in request.json["input"]]
        name = f"resp_{uuid.uuid4().hex}"
        if kinds[-1] != "compaction_trigger":
            # The packed history no longer shows that the command was run.
            return Stream(spoken("Done.", name)) if "compaction" in kinds else tool_turn(request)
        packed = {"type": "compaction", "id": "cmp_1", "encrypted_content": "packed"}
        return Stream([created(name), *item(packed), completed(name)])

    provider.default = script
    limit = "model_auto_compact_token_limit = 500\n"  # each answer counts 1,050
    codex.configure(limit + PROVIDER_BLOCK.format(base=f"{served.url}/v1"))
    run = codex.run("Say one.", CLIENT_KEY=KEY)
    assert run.code == 0, run.errors
    kinds = [request.json["input"][-1].get("type") for request in provider.responses()]
    assert "compaction_trigger" in kinds
    served.services.indexer.scan()
    rows = served.rows()
    assert {row["status"] for row in rows} == {"success"}
    calls = {row[0] for row in db.rows("select id from call where seen = 3")}
    assert calls == {row["response_id"] for row in rows}
    assert totals()["tokens"]["input"] == sum(row["input"] for row in rows)


# ── the program itself ────────────────────────────────────────────────────────────────────


@contextmanager
def program(config: Config, port: int, provider: Provider) -> Iterator[subprocess.Popen[str]]:
    """`brimline serve` as a user starts it, from its line to its end."""
    environ = {
        **os.environ,
        "BRIMLINE_UPSTREAM_BASE_URL": provider.url,
        "BRIMLINE_AUTH_BASE_URL": provider.auth_url,
        "BRIMLINE_CODEX_HOME": str(config.codex_home),
        "BRIMLINE_CLAUDE_HOME": str(config.claude_home),
    }
    command = [sys.executable, "-m", "desktop", "serve", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--data-dir", str(config.data_dir)],
        cwd=Path(__file__).parent.parent,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            assert running.stdout is not None
            said = []
            for line in running.stdout:
                said.append(line)
                if f"http://127.0.0.1:{port}/" in line:
                    break
            else:
                pytest.fail("brimline serve ended early: " + "".join(said))
            yield running
        finally:
            running.terminate()
            assert running.wait(60) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_a_restart_in_mid_session(codex: Codex, config: Config, provider: Provider) -> None:
    """The server stops, the CLI waits, the server comes back: the thread is where it was."""
    config = replace(config, codex_home=codex.codex_home)
    with serving(config, provider) as first:
        for name in ("acc-1", "acc-2", "acc-3"):
            first.account(name)
    port = free_port()
    impatient = "request_max_retries = 0\n"  # it says sooner that it waits
    codex.configure(PROVIDER_BLOCK.format(base=f"http://127.0.0.1:{port}/v1") + impatient)
    with program(config, port, provider):
        ran_the_tool(codex.run("Say one.", CLIENT_KEY=KEY))
    # Nobody listens now, and the CLI knows how to wait.
    with codex.start("And again.", "resume", "--last", CLIENT_KEY=KEY) as waiting:
        assert waiting.stdout is not None
        first_line = next(line for line in waiting.stdout if "econnecting" in line)
        assert "waiting for network" in first_line
        with program(config, port, provider):
            waiting.communicate(timeout=100)
    assert waiting.returncode == 0
    assert len({request.account for request in provider.responses()}) == 1
    with serving(config, provider) as last:
        rows = last.rows()
    assert [row["reason"] for row in rows][1:] == ["same thread"] * 2
