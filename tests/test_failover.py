"""Which account takes over, when, and what the client is told when none can."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from server.config import Config
from server.proxy import chooser, slots
from server.sentences import say
from server.store import db, settings
from tests.rig import BODY, CODEX, OPENAI, Rig, running, wait_until
from tests.upstream import (
    Answer,
    HangUp,
    Script,
    Stream,
    created,
    event,
    failed,
    item,
    message,
    refusal,
    spoken,
    usage_limit,
)

LATER = int(time.time()) + 4 * 3600


@pytest.fixture
def rig(config: Config, database: None) -> Iterator[Rig]:
    with running(config) as found:
        yield found


def first_fails(rig: Rig, script: Script) -> None:
    """The account that is asked first gets this script; the others answer well."""
    asked: list[str] = []

    def play(request: Any) -> Script:
        asked.append(request.account)
        return script if request.account == asked[0] else Stream(spoken("from the other"))

    rig.provider.play(play)


TAKEN_OVER = [
    pytest.param(usage_limit(LATER), id="usage limit"),
    pytest.param(usage_limit(), id="usage limit without a time"),
    pytest.param(refusal(429, "rate_limit_exceeded", retry_after="5"), id="rate limit"),
    pytest.param(Answer(429, b"slow down"), id="a 429 that says nothing"),
    pytest.param(refusal(429, "insufficient_quota"), id="quota"),
    pytest.param(refusal(401, "token_expired"), id="401 also after a refresh"),
    pytest.param(refusal(402, "deactivated_workspace"), id="402"),
    pytest.param(Answer(403, b"<html>", {"content-type": "text/html"}), id="a challenge page"),
    pytest.param(Answer(200, b"<html>", {"content-type": "text/html"}), id="a page with 200"),
    pytest.param(refusal(500, "server_error"), id="500"),
    pytest.param(refusal(502, "bad_gateway"), id="502"),
    pytest.param(refusal(503, "server_is_overloaded"), id="503"),
    pytest.param(refusal(504, "timeout"), id="504"),
    pytest.param(refusal(529, "overloaded_error"), id="529"),
    pytest.param(HangUp(), id="hang-up"),
    pytest.param(HangUp(reset=True), id="reset"),
    pytest.param(Stream([]), id="an empty stream"),
    pytest.param(Stream([failed("rate_limit_exceeded")]), id="rate limit as first event"),
    pytest.param(Stream([created(), failed("usage_limit_reached")]), id="limit after created"),
    pytest.param(Stream([created(), failed("server_error")]), id="server error after created"),
    pytest.param(
        Stream([created(), failed("server_is_overloaded")], gap=0.1), id="overload, later"
    ),
    pytest.param(Stream([event("error", code="server_error", message="x")]), id="flat error event"),
    pytest.param(
        Stream([event("error", error={"type": "server_error", "message": "x"})]), id="nested error"
    ),
    pytest.param(Stream([created()], gap=0.1, end="cut"), id="cut after created"),
    pytest.param(
        refusal(400, "", "The 'x' model is not supported when using Codex with a ChatGPT account."),
        id="a model this account lacks",
    ),
]


@pytest.mark.parametrize("path", [CODEX, OPENAI])
@pytest.mark.parametrize("script", TAKEN_OVER)
def test_another_account_takes_over_unseen(rig: Rig, script: Script, path: str) -> None:
    first_fails(rig, script)
    began = time.monotonic()
    reply = rig.send(None, path)
    took = time.monotonic() - began
    assert reply.status == 200
    assert not reply.cut
    assert reply.kinds.count("response.created") == 1
    assert reply.kinds[-1] == "response.completed"
    assert "from the other" in reply.body.decode()
    assert took < chooser.WAIT_SECONDS / 2, "nobody waited for anything to run out"
    assert len(set(rig.served())) == 2
    row = rig.row()
    assert row["status"] == "success"
    assert row["account"] == rig.accounts[rig.served()[-1]]
    outcomes = [attempt["outcome"] for attempt in json.loads(row["attempts"])]
    assert outcomes[-1] == "ok"
    assert len(outcomes) >= 2


@pytest.mark.parametrize("script", TAKEN_OVER)
def test_a_collected_answer_fails_over_as_well(rig: Rig, script: Script) -> None:
    first_fails(rig, script)
    reply = rig.send({"stream": False}, OPENAI)
    assert reply.status == 200
    assert reply.json["output"][0]["content"][0]["text"] == "from the other"


def test_unreachable_is_nobodys_fault(config: Config, database: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with running(config) as rig:
        rig.proxy.upstream._port = port
        reply = rig.send()
        assert (reply.status, reply.error["code"]) == (503, "server_is_overloaded")
        assert "cannot reach the provider" in reply.error["message"]
        assert {c.errors for c in rig.pool.candidates()} == {0}
        assert len(json.loads(rig.row()["attempts"])) == 2


def test_a_401_is_refreshed_once_and_repeated(rig: Rig) -> None:
    tokens: set[str] = set()

    def play(request: Any) -> Script:
        tokens.add(request.headers["authorization"])
        return refusal(401, "token_expired") if len(tokens) == 1 else Stream()

    rig.provider.play(play)
    assert rig.send().status == 200
    assert len(rig.provider.refreshes) == 1
    assert len(set(rig.served())) == 1, "the same account, with its new token"


def test_a_401_soon_after_a_refresh_is_refreshed_again(config: Config, database: None) -> None:
    with running(config, ("acc-1",)) as rig:
        for _ in range(2):
            rig.provider.play(refusal(401, "token_expired"), Stream())
            assert rig.send().status == 200
        assert len(rig.provider.refreshes) == 2
        assert {c.status for c in rig.pool.candidates()} == {"active"}


def test_an_account_whose_new_tokens_are_refused_rests_and_comes_back(
    config: Config, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(config, ("acc-1",)) as rig:
        (account,) = rig.accounts.values()
        rig.provider.play(Answer(401, b""))  # nobody says that it is for good
        assert rig.send().status == 400
        assert rig.pool.summary(account, db.now_ms())["status"] == "active"
        assert rig.send().status == 400
        shown = rig.pool.summary(account, db.now_ms())
        assert shown["status"] == "sign_in_needed"
        assert shown["statusReason"].startswith("The provider has refused its sign-in since 2")
        asked = len(rig.served())
        for _ in range(5):
            assert rig.send().status == 400
        assert (len(rig.served()), len(rig.provider.refreshes)) == (asked, 2), "it rests"
        rig.pool.flush()
        rig.pool.load()  # as after a restart
        later = db.now_ms() + 31_000
        monkeypatch.setattr(db, "now_ms", lambda: later)
        rig.provider.play(Stream())
        assert rig.send().status == 200
        assert rig.pool.summary(account, later)["status"] == "active"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        pytest.param(refusal(403, "account_deactivated"), "this account", id="403"),
        pytest.param(
            Answer(402, b'{"detail":{"code":"deactivated_workspace"}}'), "workspace", id="402"
        ),
        pytest.param(
            refusal(404, "", "Your OpenAI account has been deactivated."), "this account", id="404"
        ),
    ],
)
def test_an_account_that_is_no_more_is_left_out(rig: Rig, script: Script, says: str) -> None:
    first_fails(rig, script)
    for _ in range(3):
        assert rig.send().status == 200, "the other account serves"
    bad = rig.served()[0]
    assert rig.served().count(bad) == 1
    shown = rig.pool.summary(rig.accounts[bad], db.now_ms())
    assert (shown["status"], says in shown["statusReason"]) == ("deactivated", True)
    assert shown["usageError"] is None


@pytest.mark.parametrize("status", [403, 404])
def test_other_refusals_do_not_end_an_account(rig: Rig, status: int) -> None:
    rig.provider.play(refusal(status, "forbidden"))
    assert rig.send().status == status
    assert {c.status for c in rig.pool.candidates()} == {"active"}


def test_a_redirect_is_logged_as_what_it_was(rig: Rig) -> None:
    rig.provider.play(Answer(302, b"", {"location": "http://127.0.0.1:9/login"}))
    assert rig.send().status == 503
    attempts = json.loads(rig.row()["attempts"])
    assert {(each["outcome"], each["status"]) for each in attempts} == {("status 302", 302)}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(refusal(500, "server_error"), id="500"),
        pytest.param(HangUp(), id="hang-up"),
    ],
)
def test_an_unclear_end_is_repeated_once_only(config: Config, database: None, script: Any) -> None:
    with running(config, ("acc-1", "acc-2", "acc-3")) as rig:
        rig.provider.play(script)
        reply = rig.send()
        assert (reply.status, reply.error["code"]) == (503, "server_is_overloaded")
        assert len(rig.served()) == 2


def test_unclear_repeats_are_a_share_of_all(rig: Rig) -> None:
    """A provider in trouble is not sent twice as much."""
    rig.provider.play(refusal(500, "server_error"))
    for _ in range(40):
        assert rig.send().status == 503
        for account in rig.accounts.values():
            rig.pool.resume(account)
    sent = len(rig.provider.responses())
    assert 40 + 20 <= sent <= 40 + 20 + 0.2 * 40
    rig.provider.play(refusal(503, "server_is_overloaded"), account="acc-1")
    rig.provider.play(Stream(), account="acc-2")
    for _ in range(5):
        assert rig.send().status == 200, "what was not taken has no budget"
        rig.pool.resume(rig.accounts["acc-1"])


def test_the_unclear_repeat_can_be_switched_off(rig: Rig) -> None:
    settings.change({"ambiguousRetry": False})
    first_fails(rig, refusal(500, "server_error"))
    assert rig.send().status == 503
    assert len(rig.served()) == 1


def test_what_was_not_taken_goes_through_every_account(config: Config, database: None) -> None:
    names = [f"acc-{n}" for n in range(1, 6)]
    with running(config, names) as rig:
        for name in names[:4]:
            rig.provider.play(refusal(503, "server_is_overloaded"), account=name)
        for _ in range(20):
            assert rig.send().status == 200


def test_the_one_repeat_goes_to_an_account_that_did_not_fail(
    config: Config, database: None
) -> None:
    names = [f"acc-{n}" for n in range(1, 6)]
    with running(config, names) as rig:
        for name in names[:3]:
            rig.provider.play(refusal(500, "server_error"), account=name)
        found = [rig.send().status for _ in range(40)]
    # The first may meet two bad ones, a later one a known bad one and then the third.
    assert found.count(200) >= 38, "each loss finds out about one that nobody knew of"


def test_nothing_is_replayed_after_an_item(rig: Rig) -> None:
    first_fails(rig, Stream([created(), *item(message("half"))], end="cut"))
    reply = rig.send()
    assert reply.status == 200
    assert reply.kinds[-1] == "response.failed", "the client can tell that the stream broke off"
    assert "response.completed" not in reply.kinds
    assert len(rig.served()) == 1
    row = rig.row()
    assert (row["status"], row["error_code"]) == ("error", "stream_incomplete")


def test_an_error_after_an_item_is_passed_on(rig: Rig) -> None:
    rig.provider.play(Stream([created(), *item(message("half")), failed("rate_limit_exceeded")]))
    reply = rig.send()
    assert reply.kinds[-1] == "response.failed"
    assert len(rig.served()) == 1
    assert rig.row()["error_code"] == "rate_limit_exceeded"
    assert "rate_limited" in {c.status for c in rig.pool.candidates()}, "but the account rests"


@pytest.mark.parametrize("code", ["context_length_exceeded", "invalid_prompt"])
def test_an_error_that_would_repeat_is_passed_on(rig: Rig, code: str) -> None:
    rig.provider.play(Stream([created(), failed(code)]))
    reply = rig.send()
    assert (reply.status, reply.kinds[-1]) == (200, "response.failed")
    assert len(rig.served()) == 1


def test_a_dry_pool_says_when_it_is_back(rig: Rig) -> None:
    rig.provider.play(usage_limit(LATER + 100), account="acc-1")
    rig.provider.play(usage_limit(LATER), account="acc-2")
    for _ in range(2):
        began = time.time()
        reply = rig.send()
        assert reply.status == 429
        assert reply.error["type"] == reply.error["code"] == "usage_limit_reached"
        assert reply.error["resets_at"] == LATER
        assert "plan_type" not in reply.error
        assert reply.headers["x-should-retry"] == "false"
        assert LATER - time.time() - 2 < int(reply.headers["retry-after"]) < LATER - began + 2
    assert len(rig.served()) == 2, "the second answer came from memory"
    wait_until(lambda: len(rig.rows()) == 2, "a row each")
    assert [row["status"] for row in rig.rows()] == ["error", "error"]


def test_a_short_rest_is_waited_for(rig: Rig) -> None:
    rig.provider.play(refusal(429, "rate_limit_exceeded", retry_after="30"))
    began = time.monotonic()
    reply = rig.send()
    assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
    assert 28 - (time.monotonic() - began) <= int(reply.headers["retry-after"]) <= 30
    assert "x-should-retry" not in reply.headers, "SDKs wait, too, unless they are told not to"


def test_paused_accounts_are_named(rig: Rig) -> None:
    for account in rig.accounts.values():
        rig.pool.pause(account)
    reply = rig.send()
    assert (reply.status, reply.error["code"]) == (400, "no_accounts")
    assert "paused" in reply.error["message"]
    assert not rig.served()
    assert rig.row()["error_code"] == "no_accounts"


def test_no_account_says_what_to_do(config: Config, database: None) -> None:
    with running(config, ()) as rig:
        reply = rig.send()
        assert reply.status == 400, "Codex shows a 400 at once and repeats a 503"
        assert "add one" in reply.error["message"]


def test_a_chosen_account_that_is_gone_is_named(rig: Rig) -> None:
    settings.change({"routingStrategy": "single_account", "singleAccountId": "gone"})
    reply = rig.send()
    assert (reply.status, reply.json["error"]["code"]) == (400, "no_accounts")
    assert "choose another account" in reply.json["error"]["message"]
    assert rig.provider.responses() == []


def test_a_sign_in_that_ended_is_named(config: Config, database: None) -> None:
    with running(config, ("acc-1",)) as rig:
        rig.provider.token_answer = refusal(401, "refresh_token_invalidated")
        rig.provider.play(refusal(401, "token_expired"))
        for _ in range(2):
            reply = rig.send()
            assert (reply.status, reply.error["code"]) == (400, "no_accounts")
            assert "sign" in reply.error["message"]
        assert len(rig.provider.refreshes) == 1, "it is not asked again"


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        pytest.param("token_expired", "sign_in_needed", "no longer accepts", id="new, yet refused"),
        pytest.param("token_revoked", "sign_in_needed", "revoked", id="revoked"),
        pytest.param("account_deactivated", "deactivated", "deactivated", id="the account is gone"),
    ],
)
def test_a_sign_in_refused_after_its_renewal_is_over(
    rig: Rig, code: str, status: str, says: str
) -> None:
    first_fails(rig, refusal(401, code))
    for _ in range(3):
        assert rig.send().status == 200, "the other account serves"
    bad = rig.served()[0]
    assert rig.served().count(bad) == 2, "with the old and the new token, then never again"
    assert len(rig.provider.refreshes) == 1
    shown = rig.pool.summary(rig.accounts[bad], db.now_ms())
    assert (shown["status"], says in shown["statusReason"]) == (status, True)
    rig.pool.flush()
    rig.pool.load()  # as after a restart
    assert rig.pool.summary(rig.accounts[bad], db.now_ms())["status"] == status


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refusal(503, "busy"), id="busy"),
        pytest.param(Answer(401, b"<html>", {"content-type": "text/html"}), id="a Wi-Fi page"),
        pytest.param(HangUp(), id="hang-up"),
    ],
)
def test_a_sign_in_that_could_not_be_renewed_now_stays(
    config: Config, database: None, answer: Script
) -> None:
    with running(config, ("acc-1",)) as rig:
        rig.provider.token_answer = answer
        rig.provider.play(refusal(401, "token_expired"))
        assert rig.send().status == 400
        assert {c.status for c in rig.pool.candidates()} == {"active"}
        rig.provider.play(Stream())
        assert rig.send().status == 200


def test_a_lacking_model_is_remembered(rig: Rig) -> None:
    text = "The 'gpt-9' model is not supported when using Codex with a ChatGPT account."
    rig.provider.play(refusal(400, "", text))
    for _ in range(2):
        reply = rig.send({"model": "gpt-9"})
        assert reply.status == 400
        assert "model" in reply.error["message"]
    assert len(rig.served()) == 2
    rig.provider.play(Stream())
    assert rig.send().status == 200, "other models still work"


def test_codex_prints_a_sentence_of_a_lacking_model_each_time(rig: Rig) -> None:
    text = "The 'gpt-9' model is not supported when using Codex with a ChatGPT account."
    detail = json.dumps({"detail": text}).encode()
    rig.provider.play(Answer(400, detail, {"Content-Type": "application/json"}))
    for _ in range(2):
        reply = rig.send({"model": "gpt-9"}, user_agent="codex_exec/0.169.0 (Linux)")
        assert (reply.status, reply.error["code"]) == (400, "invalid_prompt")
        assert reply.error["message"] == say("error.model")
    assert len(rig.served()) == 2, "the second time it is known"


def test_a_thread_stays_with_its_account(rig: Rig) -> None:
    for _ in range(12):
        assert rig.send(None, session_id="thread-1").status == 200
    assert len(set(rig.served())) == 1


def test_subagents_follow_their_parent_and_titles_do_not_pin(rig: Rig) -> None:
    title = json.dumps({"thread_source": "thread_title"})
    rig.send(None, session_id="title-1", x_codex_turn_metadata=title)
    assert rig.pool.pinned("session", "title-1") is None
    for thread in ("t-1", "t-2", "t-3", "t-4"):
        rig.send(None, session_id="parent", thread_id=thread)
    assert len(set(rig.served()[1:])) == 1


def test_a_block_does_not_lose_the_pin(rig: Rig) -> None:
    rig.send(None, session_id="s")
    home = rig.served()[0]
    rig.provider.play(refusal(429, "rate_limit_exceeded", retry_after="60"), account=home)
    assert rig.send(None, session_id="s").status == 200
    assert rig.served()[-1] != home
    assert rig.pool.pinned("session", "s") == rig.accounts[home]


def test_a_turn_state_stays_with_the_account_that_issued_it(rig: Rig) -> None:
    def play(request: Any) -> Script:
        return Stream(headers={"x-codex-turn-state": f"state-of-{request.account}"})

    rig.provider.play(play)
    state = rig.send(None, session_id="s").headers["x-codex-turn-state"]
    home = rig.served()[0]
    rig.send(None, session_id="s", x_codex_turn_state=state)
    assert rig.provider.responses()[-1].headers["x-codex-turn-state"] == state
    rig.provider.play(usage_limit(LATER), account=home)
    reply = rig.send(None, session_id="s", x_codex_turn_state=state)
    taker = rig.served()[-1]
    assert taker != home
    assert "x-codex-turn-state" not in rig.provider.responses()[-1].headers
    assert reply.headers["x-codex-turn-state"] == f"state-of-{taker}"


def test_a_connection_that_went_stale_is_replaced(config: Config, database: None) -> None:
    with running(config, ("acc-1",)) as rig:
        for number in range(3):
            rig.provider.play(Stream(spoken(f"answer {number}")), HangUp(), Stream())
            assert rig.send().status == 200
        assert rig.send().status == 200


def test_every_allowance_header_is_observed(rig: Rig) -> None:
    rig.provider.play(
        Stream(
            headers={
                "x-codex-primary-used-percent": "29",
                "x-codex-primary-window-minutes": "300",
                "x-codex-primary-reset-at": str(LATER),
            }
        )
    )
    rig.send(None, session_id="s")
    account = rig.accounts[rig.served()[0]]
    windows = {c.id: c.windows for c in rig.pool.candidates()}[account]
    assert [(w.key, w.used_percent) for w in windows] == [("primary", 29.0)]


def test_a_full_proxy_has_a_short_line(rig: Rig) -> None:
    rig.provider.play(Stream([created(), *item(message("x"))], end="silent"))
    open_now = [rig.open() for _ in range(8)]
    rig.provider.play(Stream())
    found: list[int] = []
    late = threading.Thread(target=lambda: found.append(rig.send().status))
    late.start()
    wait_until(lambda: rig.proxy._slots._waiting == 1, "one in line")
    open_now.pop().close()
    late.join(30)
    assert found == [200]
    for response in open_now:
        response.close()
    wait_until(lambda: rig.proxy.active() == 0, "all slots free")


def test_a_full_proxy_refuses_soon(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "WAIT_SECONDS", 0.2)
    rig.provider.play(Stream([created(), *item(message("x"))], end="silent"))
    open_now = [rig.open() for _ in range(8)]
    reply = rig.send()
    assert (reply.status, reply.error["code"]) == (503, "proxy_busy")
    assert "retry-after" in reply.headers
    as_codex = rig.send(user_agent="codex_exec/0.169.0 (Linux)")
    assert as_codex.status == 200, "after a 503 it would ask thirty times"
    assert b"serves as many streams as it can. Try again in a moment." in as_codex.body
    assert rig.get("/health").status == 404, "other routes still answer"
    for response in open_now:
        response.close()
    wait_until(lambda: rig.proxy.active() == 0, "all slots free")


def test_draining_lets_streams_end_and_takes_no_more(rig: Rig) -> None:
    rig.provider.play(Stream(gap=0.05))
    response = rig.open()
    rig.proxy.drain()
    assert rig.send().status == 503
    assert b"response.completed" in response.read()
    response.close()


def test_a_busy_account_leaves_the_next_stream_to_another(rig: Rig) -> None:
    settings.change({"streamsPerAccount": 1})
    rig.provider.play(Stream([created(), *item(message("x"))], end="silent"))
    first, second = rig.open(), rig.open()
    assert len(set(rig.served())) == 2
    first.close()
    second.close()
    wait_until(lambda: rig.proxy.active() == 0, "all slots free")


def test_a_request_waits_in_line_for_a_busy_account(rig: Rig) -> None:
    settings.change({"streamsPerAccount": 1})
    rig.provider.play(Stream([created(), *item(message("x"))], end="silent"))
    busy = [rig.open(), rig.open()]
    rig.provider.play(Stream(spoken("served in the end")))
    found: list[Any] = []
    waiting = [threading.Thread(target=lambda: found.append(rig.send())) for _ in range(3)]
    for thread in waiting:
        thread.start()
    wait_until(lambda: rig.proxy.chooser.waiting() == 3, "three in line")
    busy[0].close()
    for thread in waiting:
        thread.join(30)
    assert [reply.status for reply in found] == [200, 200, 200]
    assert len(set(rig.served()[2:])) == 1, "on the account that became free"
    assert {c.streams for c in rig.pool.candidates()} == {0, 1}
    busy[1].close()
    wait_until(lambda: {c.streams for c in rig.pool.candidates()} == {0}, "no stream is left over")


def test_the_line_ends(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chooser, "WAIT_SECONDS", 0.3)
    settings.change({"streamsPerAccount": 1})
    rig.provider.play(Stream([created(), *item(message("x"))], end="silent"))
    busy = [rig.open(), rig.open()]
    began = time.monotonic()
    reply = rig.send()
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")
    assert time.monotonic() - began > 0.25, "it did wait"
    leaving = socket.create_connection(("127.0.0.1", rig.port))
    body = json.dumps(BODY).encode()
    head = f"POST {CODEX} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    monkeypatch.setattr(chooser, "WAIT_SECONDS", 60)
    leaving.sendall(head.encode() + body)
    wait_until(lambda: rig.proxy.chooser.waiting() == 1, "one in line")
    leaving.close()
    wait_until(lambda: rig.proxy.chooser.waiting() == 0, "who leaves gives up the place")
    for response in busy:
        response.close()
    wait_until(lambda: rig.proxy.active() == 0, "all slots free")
    assert {row["status"] for row in rig.rows()} >= {"cancelled"}


def test_many_at_once_never_exceed_an_accounts_streams(rig: Rig) -> None:
    settings.change({"streamsPerAccount": 2})
    most: list[int] = []

    def play(request: Any) -> Script:
        most.append(max(c.streams for c in rig.pool.candidates()))
        return Stream(gap=0.005)

    rig.provider.play(play)
    replies: list[int] = []
    threads = [
        threading.Thread(target=lambda: replies.extend(rig.send().status for _ in range(4)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert replies == [200] * 32
    assert max(most) <= 2


def owned(rig: Rig) -> tuple[str, str]:
    """A finished response, and the account that holds it."""
    rig.provider.play(Stream(spoken(name="resp_own")))
    rig.send(None, session_id="s")
    wait_until(lambda: rig.proxy.memory.owner("resp_own"), "known")
    return "resp_own", rig.served()[-1]


@pytest.mark.parametrize("limited", [False, True])
def test_what_only_one_account_can_continue_goes_nowhere_else(rig: Rig, limited: bool) -> None:
    name, home = owned(rig)
    for _ in range(6):
        assert rig.send({"previous_response_id": name}).status == 200
    assert set(rig.served()) == {home}
    if limited:
        rig.provider.play(usage_limit(LATER), account=home)
    else:
        rig.pool.pause(rig.accounts[home])
    reply = rig.send({"previous_response_id": name})
    assert (reply.status, reply.error["code"]) == (400, "previous_response_not_found")
    assert set(rig.served()) == {home}
    assert rig.send().status == 200, "others go on"


def test_a_short_rest_of_the_owner_is_waited_for_by_the_client(rig: Rig) -> None:
    name, home = owned(rig)
    rig.provider.play(refusal(429, "rate_limit_exceeded", retry_after="20"), account=home)
    reply = rig.send({"previous_response_id": name})
    assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")


def test_an_uploaded_file_is_used_where_it_lies(rig: Rig) -> None:
    holder = rig.accounts["acc-2"]
    rig.pool.pin("file", "file-1", holder, db.now_ms())
    part = {"type": "input_file", "file_id": "file-1"}
    body = {"input": [{"type": "message", "role": "user", "content": [part]}]}
    for number in range(6):
        assert rig.send(body, session_id=f"s{number}").status == 200
    assert set(rig.served()) == {"acc-2"}
    rig.pool.pause(holder)
    assert rig.send(body).status == 400, "the pin goes with the pause, the file cannot be had"


def test_a_turn_goes_back_to_the_account_that_began_it(rig: Rig) -> None:
    rig.provider.play(lambda r: Stream(headers={"x-codex-turn-state": f"of-{r.account}"}))
    state = rig.send(None, session_id="s").headers["x-codex-turn-state"]
    home = state.removeprefix("of-")
    for number in range(6):
        rig.send(None, session_id=f"elsewhere-{number}", x_codex_turn_state=state)
    assert set(rig.served()) == {home}


def test_a_limit_of_spark_leaves_other_models_alone(rig: Rig) -> None:
    def play(request: Any) -> Script:
        spark = "spark" in request.json["model"]
        return usage_limit(LATER) if spark and request.account == "acc-1" else Stream()

    rig.provider.play(play)
    for _ in range(8):
        assert rig.send({"model": "gpt-5.3-codex-spark"}).status == 200
    tried = [r.account for r in rig.provider.responses()]
    assert tried.count("acc-1") <= 1, "its Spark limit is remembered"
    assert {c.status for c in rig.pool.candidates()} == {"active"}
    rig.pool.pause(rig.accounts["acc-2"])
    assert rig.send().status == 200, "acc-1 serves other models"
    assert rig.send({"model": "gpt-5.3-codex-spark"}).error["resets_at"] == LATER


def test_an_open_network_asks_who_is_there(config: Config, database: None) -> None:
    with running(config) as rig:
        rig.proxy._config = replace(config, host="0.0.0.0")
        reply = rig.send()
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")


def test_the_pin_survives_a_restart(config: Config, database: None) -> None:
    with running(config) as rig:
        rig.send(None, session_id="s")
        home = rig.accounts[rig.served()[0]]
        rig.pool.flush()
        rig.pool.load()
        assert rig.pool.pinned("session", "s") == home


def test_who_owns_a_response_or_a_turn_survives_a_restart(config: Config, database: None) -> None:
    with running(config, ["acc-1", "acc-2", "acc-3"]) as rig:
        state = {"x-codex-turn-state": "turn-1"}
        rig.provider.play(Stream(spoken(name="resp_own"), headers=state))
        rig.send(None)
        home = rig.served()[0]
        wait_until(lambda: rig.proxy.memory.owner("resp_own"), "known")
        stored = str(db.rows("select key from sticky_session"))
    with running(config, []) as again:
        for number in range(6):
            # The provider of a test knows accounts by their upstream id, as before.
            again.send({"previous_response_id": "resp_own"})
            again.send(None, session_id=f"s{number}", x_codex_turn_state="turn-1")
        assert set(again.served()) == {home}
        assert "resp_own" not in stored and "turn-1" not in stored, "only hashes are kept"
        account = again.pool.find(f"{home}@example.com")
        again.pool.pause(account)
        reply = again.send({"previous_response_id": "resp_own"})
        assert reply.error["code"] == "previous_response_not_found", "a pause moves no owner"


NOT_TAKEN: dict[str, Script] = {
    "limit": usage_limit(LATER),
    "rate": refusal(429, "rate_limit_exceeded", retry_after="600"),
    "quota": refusal(429, "insufficient_quota"),
    "401": refusal(401, "token_expired"),
    "402": refusal(402, "deactivated_workspace"),
    "403": refusal(403, "forbidden"),
    "503": refusal(503, "server_is_overloaded"),
    "529": refusal(529, "overloaded_error"),
    "event": Stream([failed("rate_limit_exceeded")]),
    "overload": Stream([created(), failed("server_is_overloaded")]),
}


@pytest.mark.parametrize("kind", NOT_TAKEN)
def test_no_request_is_lost_while_one_account_is_well(
    config: Config, database: None, kind: str
) -> None:
    names = [f"acc-{n}" for n in range(1, 6)]
    with running(config, names) as rig:
        for bad in range(1, 5):
            rig.provider.play(NOT_TAKEN[kind], account=names[bad - 1])
            for _ in range(5):
                reply = rig.send()
                assert reply.status == 200
                assert reply.kinds.count("response.completed") == 1
        wait_until(lambda: len(rig.rows()) == 20, "a row each")
        assert {row["status"] for row in rig.rows()} == {"success"}


def test_limits_found_by_many_at_once_are_survived(config: Config, database: None) -> None:
    """Twelve requests meet the limit of four accounts at the same moment."""
    names = [f"acc-{n}" for n in range(1, 6)]
    with running(config, names) as rig:
        for name in names[:4]:
            rig.provider.play(usage_limit(LATER), account=name)
        found: list[int] = []

        def go() -> None:
            for _ in range(2):
                found.append(rig.send().status)

        threads = [threading.Thread(target=go) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [200] * 12


def test_no_secret_reaches_the_log_or_an_error(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for script in (HangUp(), refusal(401, "x"), refusal(500, "x"), Stream([failed("x")])):
        rig.provider.play(script)
        said.append(rig.send({"input": "PROMPT-CANARY"}, authorization="Bearer KEY-CANARY").body)
    sent = {request.headers["authorization"] for request in rig.provider.responses()}
    everything = caplog.text + b"".join(said).decode()
    assert "CANARY" not in everything
    for token in sent:
        assert token.removeprefix("Bearer ") not in everything


def test_a_hang_up_on_a_kept_connection_goes_to_another_account(rig: Rig) -> None:
    assert rig.send(**{"session-id": "s"}).status == 200  # its connection is kept
    first = rig.served()[0]
    for _ in range(5):
        rig.provider.play(HangUp(), account=first)
    reply = rig.send(**{"session-id": "s"})
    assert (reply.status, reply.kinds[-1]) == (200, "response.completed")
    other = next(name for name in rig.accounts if name != first)
    assert rig.served()[1:] in ([first, other], [first, first, other])


def test_a_first_error_event_of_any_code_goes_to_another_account(rig: Rig) -> None:
    assert rig.send(**{"session-id": "s"}).status == 200
    rig.provider.play(Stream([event("error", code="x", message="m")]), account=rig.served()[0])
    reply = rig.send(**{"session-id": "s"})
    assert (reply.status, reply.kinds[-1]) == (200, "response.completed")
    assert rig.served()[2] != rig.served()[1]
