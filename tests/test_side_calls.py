"""What clients ask beside their requests: answered here, or forwarded for an account."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from server.accounts.allowance import Credits, Usage, Window
from server.config import Config
from server.proxy import local
from server.store import db, settings
from tests.rig import Reply, Rig, running, wait_until
from tests.upstream import USAGE, Answer, HangUp, Script, jwt, refusal, usage_limit

LATER = int(time.time()) + 4 * 3600
CHECK = "/backend-api/wham/accounts/check"
USED = "/api/codex/usage"
COMPACT = "/backend-api/codex/responses/compact"


@pytest.fixture
def rig(config: Config, database: None) -> Iterator[Rig]:
    with running(config) as found:
        yield found


def get(rig: Rig, path: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=30)
    connection.request("GET", path, headers={"connection": "close", **named})
    return Reply(connection.getresponse())


def asked(rig: Rig, path: str) -> list[Any]:
    return [r for r in rig.provider.received if r.path.endswith(path)]


# ── answered here ─────────────────────────────────────────────────────────────────────────


def test_codex_finds_its_own_account_unrouted(rig: Rig) -> None:
    notices: list[str] = []
    rig.proxy.report_to(notices)
    assert notices == []
    settings.change({"apiKeyAuthEnabled": True})
    found = get(rig, CHECK, chatgpt_account_id="ws-own").json
    assert found == {
        "accounts": [
            {
                "id": "ws-own",
                "workspace_backend_origin": "https://chatgpt.com",
                "account_routing_override": "NO_CONSTRAINT",
            }
        ]
    }
    token = jwt({"https://api.openai.com/auth": {"chatgpt_account_id": "ws-token"}})
    found = get(rig, f"{CHECK}/", authorization=f"Bearer {token}").json
    assert found["accounts"][0]["id"] == "ws-token"
    assert get(rig, CHECK, authorization="Bearer x").json == {"accounts": []}
    assert notices == [], "that somebody asks says nothing of Codex's settings here"
    assert asked(rig, "/check") == [], "the client's token stays here"


def test_telemetry_of_a_client_ends_here(rig: Rig) -> None:
    reply = rig.send({"events": []}, "/backend-api/codex/analytics-events/events")
    assert (reply.status, reply.json) == (200, {})
    assert asked(rig, "/events") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('chatgpt_base_url = "http://127.0.0.1:2455/backend-api"', True, id="ours"),
        pytest.param('chatgpt_base_url = "http://localhost:2455"', True, id="by name"),
        pytest.param(
            '[profiles.p]\nchatgpt_base_url = "http://127.0.0.1:2455"', True, id="in a profile"
        ),
        pytest.param('chatgpt_base_url = "http://127.0.0.1:9999"', False, id="another port"),
        pytest.param('chatgpt_base_url = "https://chatgpt.com/backend-api"', False, id="theirs"),
        pytest.param('openai_base_url = "http://127.0.0.1:2455/v1"', False, id="as it should be"),
        pytest.param("chatgpt_base_url = 5", False, id="a number"),
        pytest.param('chatgpt_base_url = "http://[x"', False, id="no address"),
        pytest.param("profiles = 5", False, id="odd"),
        pytest.param("= broken", False, id="broken"),
        pytest.param("", False, id="empty"),
    ],
)
def test_a_config_that_leads_past_us(text: str, expected: bool) -> None:
    assert local.bypasses(text, 2455) is expected


def test_the_start_warns_of_such_a_config(config: Config, database: None) -> None:
    config.codex_home.mkdir(parents=True)
    address = f"http://127.0.0.1:{config.port}/backend-api"
    (config.codex_home / "config.toml").write_text(f'chatgpt_base_url = "{address}"\n')
    with running(config) as rig:
        notices: list[str] = []
        rig.proxy.report_to(notices)
        assert notices == [local.NOTICE]
        get(rig, CHECK)
        rig.proxy.look_at_clients()
        assert notices == [local.NOTICE], "said once"
        (config.codex_home / "config.toml").write_text('model = "gpt-5.5"\n')
        rig.proxy.look_at_clients()
        assert notices == [], "no longer so"


def test_a_config_that_comes_later_is_warned_of_at_the_next_check(rig: Rig, config: Config) -> None:
    notices: list[str] = []
    rig.proxy.report_to(notices)
    config.codex_home.mkdir(parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{config.port}/backend-api"
    (config.codex_home / "work.config.toml").write_text(f'chatgpt_base_url = "{address}"\n')
    get(rig, CHECK)
    assert notices == [local.NOTICE]


# ── the pool's allowance ──────────────────────────────────────────────────────────────────


def observed(rig: Rig, name: str, *used: float, **rest: Any) -> None:
    now = db.now_ms()
    known = [
        Window("primary", used[0], 300, LATER * 1000, now),
        Window("secondary", used[1], 10_080, (LATER + 9000) * 1000, now),
    ]
    if len(used) > 2:
        known.append(Window("codex_spark:secondary", used[2], 10_080, LATER * 1000, now))
    rig.pool.observe(rig.accounts[name], Usage(tuple(known), **rest), "api")


@pytest.mark.parametrize("path", [USED, f"{USED}/", "/backend-api/wham/usage"])
def test_the_pool_is_shown_as_one_account(rig: Rig, path: str) -> None:
    observed(rig, "acc-1", 20, 50, 100, plan="plus", credits=Credits(True, False, 12.5))
    # A Pro account weighs nearly seven times as much.
    observed(rig, "acc-2", 80, 10, plan="pro", reset_credits=2)
    began = time.time()
    found = get(rig, path).json
    assert found["plan_type"] == "pro"
    five = found["rate_limit"]["primary_window"]
    assert (five["used_percent"], five["limit_window_seconds"]) == (72, 18_000)
    assert five["reset_at"] == LATER
    assert LATER - time.time() - 2 < five["reset_after_seconds"] < LATER - began + 2
    assert found["rate_limit"]["secondary_window"]["used_percent"] == 15
    assert (found["rate_limit"]["allowed"], found["rate_limit"]["limit_reached"]) == (True, False)
    assert found["credits"]["balance"] == "12.5"
    assert found["rate_limit_reset_credits"] == {"available_count": 2}
    (spark,) = found["additional_rate_limits"]
    assert (spark["limit_name"], spark["metered_feature"]) == ("Spark", "codex_spark")
    assert spark["rate_limit"]["limit_reached"] is True
    assert spark["rate_limit"]["secondary_window"]["used_percent"] == 100


def test_an_empty_pool_and_a_dry_one(config: Config, database: None) -> None:
    with running(config, ()) as rig:
        assert get(rig, USED).json == {"plan_type": "guest"}
    with running(config, ("acc-1",)) as rig:
        assert get(rig, USED).json["rate_limit"] is None, "unknown is not zero"
        observed(rig, "acc-1", 100, 40, plan="plus")
        assert get(rig, USED).json["rate_limit"]["limit_reached"] is True


def test_who_may_see_the_pool(rig: Rig) -> None:
    observed(rig, "acc-1", 20, 50)
    settings.change({"apiKeyAuthEnabled": True})
    account = {"chatgpt_account_id": "acc-1", "authorization": "Bearer own-token"}
    before = len(asked(rig, "/wham/usage"))
    assert get(rig, USED).status == 401
    assert get(rig, USED, authorization="Bearer sk-clb-nothing").status == 401
    assert get(rig, USED, **account | {"chatgpt_account_id": "strange"}).status == 401
    assert len(asked(rig, "/wham/usage")) == before, "no stranger makes us ask"
    for _ in range(3):
        assert get(rig, USED, **account).json["plan_type"] == "plus"
    (question,) = asked(rig, "/wham/usage")[before:]
    assert question.headers["authorization"] == "Bearer own-token"
    for answer, status in (
        (Answer(401, {}), 401),
        (Answer(403, b"x"), 401),
        (Answer(429, {}), 429),
        (Answer(500, {}), 503),
        (HangUp(), 503),
    ):
        rig.provider.usage_answer = answer
        reply = get(rig, USED, **account | {"authorization": f"Bearer {status}-{id(answer)}"})
        assert reply.status == status
        assert reply.error["message"]


# ── forwarded ─────────────────────────────────────────────────────────────────────────────


def first_fails(rig: Rig, path: str, script: Script, answer: Any) -> None:
    first: list[str] = []

    def play(request: Any) -> Script:
        first.append(request.account)
        return script if request.account == first[0] else Answer(200, answer)

    rig.provider.side[path] = play


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(usage_limit(LATER), id="limit"),
        pytest.param(refusal(401, "token_expired"), id="401 twice"),
        pytest.param(refusal(403, "forbidden"), id="403"),
        pytest.param(refusal(503, "server_is_overloaded"), id="503"),
        pytest.param(refusal(500, "server_error"), id="500"),
        pytest.param(HangUp(), id="hang-up"),
        pytest.param(Answer(200, b"<html>", {"content-type": "text/html"}), id="a page"),
    ],
)
def test_a_compaction_fails_over_and_is_counted(rig: Rig, script: Script) -> None:
    answer = {"id": "resp_c", "object": "response.compaction", "output": [], "usage": USAGE}
    first_fails(rig, "/codex/responses/compact", script, answer)
    reply = rig.send(None, COMPACT, session_id="s", authorization="Bearer client-own")
    assert (reply.status, reply.json) == (200, answer)
    accounts = [r.account for r in asked(rig, "/compact")]
    assert len(set(accounts)) == 2
    assert "client-own" not in str([r.headers for r in rig.provider.received])
    row = rig.row()
    assert (row["status"], row["model"], row["response_id"]) == ("success", "gpt-5.5", "resp_c")
    assert (row["input"], row["cached"], row["output"]) == (1000, 800, 50)
    assert row["account"] == rig.accounts[accounts[-1]]
    assert {c.streams for c in rig.pool.candidates()} == {0}


def test_a_side_call_ends_a_sign_in_that_is_refused_after_its_renewal(rig: Rig) -> None:
    first_fails(rig, "/codex/responses/compact", refusal(401, "token_revoked"), {"id": "resp_c"})
    for _ in range(4):
        assert rig.send(None, COMPACT).status == 200, "the other account serves"
    accounts = [r.account for r in asked(rig, "/compact")]
    assert accounts.count(accounts[0]) == 2, "with the old and the new token, then never again"
    assert len(rig.provider.refreshes) == 1
    shown = rig.pool.summary(rig.accounts[accounts[0]], db.now_ms())
    assert (shown["status"], "revoked" in shown["statusReason"]) == ("sign_in_needed", True)


def test_a_side_call_learns_that_an_account_lacks_the_model(rig: Rig) -> None:
    text = "The 'gpt-9' model is not supported when using Codex with a ChatGPT account."
    rig.provider.side["/codex/responses/compact"] = refusal(400, "", text)
    for _ in range(2):
        reply = rig.send({"model": "gpt-9"}, COMPACT)
        assert (reply.status, "model" in reply.error["message"]) == (400, True)
    assert len(asked(rig, "/compact")) == 2, "each account was asked once"


def test_a_compaction_that_is_refused_is_told_so(rig: Rig) -> None:
    rig.provider.side["/codex/responses/compact"] = Answer(400, {"detail": "too long"})
    reply = rig.send(None, COMPACT)
    assert (reply.status, reply.json) == (400, {"detail": "too long"})
    reply = rig.send(None, "/v1/responses/compact")
    assert reply.error["message"] == "too long"
    assert rig.send(b"{", COMPACT).status == 400
    rig.provider.side["/codex/responses/compact"] = usage_limit(LATER)
    reply = rig.send(None, COMPACT)
    assert (reply.status, reply.error["resets_at"]) == (429, LATER)


def test_a_file_is_used_where_it_was_uploaded(rig: Rig) -> None:
    rig.provider.side["/files"] = Answer(200, {"file_id": "file_1", "upload_url": "https://x.test"})
    rig.provider.side["/files/file_1/uploaded"] = Answer(200, {"status": "success"})
    made = rig.send({"file_name": "a.pdf"}, "/backend-api/files")
    assert made.json["file_id"] == "file_1"
    home = asked(rig, "/files")[0].account
    for _ in range(4):
        assert rig.send({}, "/backend-api/files/file_1/uploaded").status == 200
    assert {r.account for r in asked(rig, "/uploaded")} == {home}
    body = {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]}
    for number in range(4):
        assert rig.send(body, session_id=f"s{number}").status == 200
    assert set(rig.served()) == {home}


def test_dictation_passes_as_it_came(rig: Rig) -> None:
    rig.provider.side["/transcribe"] = Answer(200, {"text": "hello"})
    form = b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\n\x00\xff\r\n--b--\r\n'
    reply = rig.send(
        form,
        "/backend-api/transcribe",
        content_type="multipart/form-data; boundary=b",
        cookie="secret=1",
    )
    assert reply.json == {"text": "hello"}
    (sent,) = asked(rig, "/transcribe")
    assert sent.raw == form
    assert sent.headers["content-type"] == "multipart/form-data; boundary=b"
    assert sent.headers["accept"] == "application/json"
    assert "cookie" not in sent.headers
    wait_until(lambda: len(rig.rows()) == 1, "a row")


def test_side_calls_ask_for_a_key_as_requests_do(rig: Rig) -> None:
    settings.change({"apiKeyAuthEnabled": True})
    for path in (COMPACT, "/backend-api/files", "/backend-api/transcribe"):
        assert rig.send({}, path).status == 401
    assert len(asked(rig, "/files")) == 0


def test_other_side_calls_are_not_ours(rig: Rig) -> None:
    for path in ("/backend-api/ps/plugins/installed", "/backend-api/wham/settings/user"):
        assert get(rig, path).status == 404
    assert rig.send({}, CHECK).status == 405
    assert rig.send({}, "/backend-api/files/../uploaded").status == 404


def test_a_dead_network_blames_nobody(config: Config, database: None) -> None:
    with running(replace(config)) as rig:
        rig.proxy.upstream._port = 9
        reply = rig.send({}, "/backend-api/files")
        assert (reply.status, reply.error["code"]) == (503, "server_is_overloaded")
        assert {c.errors for c in rig.pool.candidates()} == {0}
