from __future__ import annotations

from typing import Any

import pytest

from server import errors
from server.errors import AppError, Forbidden, Unauthorized
from server.proxy import policy
from server.proxy.policy import Outcome, Tries, Trouble

NOW = 1_800_000_000_000
HOUR = 3_600_000


def status(number: int, code: str = "", **rest: Any) -> Outcome:
    return Outcome("status", status=number, code=code, **rest)


def within(code: str, **rest: Any) -> Outcome:
    return Outcome("event", code=code, **rest)


@pytest.mark.parametrize(
    ("outcome", "retry", "block", "until", "counts"),
    [
        pytest.param(Outcome("unreachable"), "R0", None, None, False, id="the network's fault"),
        pytest.param(Outcome("hangup"), "R1", None, None, True, id="hang-up"),
        pytest.param(Outcome("empty"), "R1", None, None, True, id="an empty answer"),
        pytest.param(Outcome("stale"), "R1", None, None, False, id="a stale connection"),
        pytest.param(Outcome("slow"), "R2", None, None, True, id="no first byte"),
        pytest.param(Outcome("token"), "R0", None, None, True, id="no token"),
        pytest.param(
            Outcome("token", code="sign_in_needed"), "R0", None, None, False, id="no sign-in"
        ),
        pytest.param(status(401), "R0", None, None, False, id="401"),
        pytest.param(status(403), "R0", None, None, True, id="403"),
        pytest.param(status(503), "R0", None, None, True, id="503 was not taken"),
        pytest.param(status(529), "R0", None, None, True, id="529 was not taken"),
        pytest.param(status(500), "R1", None, None, True, id="500 may have been taken"),
        pytest.param(status(502), "R1", None, None, True, id="502 may have been taken"),
        pytest.param(status(521), "R0", None, None, True, id="the edge met a server that is down"),
        pytest.param(status(530), "R0", None, None, True, id="the edge found no server"),
        pytest.param(status(520), "R1", None, None, True, id="the edge got an odd answer"),
        pytest.param(status(524), "R1", None, None, True, id="524 may have been taken"),
        pytest.param(status(400, "invalid_prompt"), "R4", None, None, False, id="400"),
        pytest.param(status(404), "R4", None, None, False, id="404"),
        pytest.param(status(413), "R4", None, None, False, id="413"),
        pytest.param(
            status(429, "usage_limit_reached", resets_at=NOW + HOUR),
            "R0",
            "rate_limited",
            NOW + HOUR,
            False,
            id="the 5 h window",
        ),
        pytest.param(
            status(429, "usage_limit_reached", resets_at=NOW + 90 * HOUR),
            "R0",
            "quota_exceeded",
            NOW + 90 * HOUR,
            False,
            id="the week",
        ),
        pytest.param(
            status(429, "usage_limit_reached", resets_at=NOW - 1),
            "R0",
            "rate_limited",
            NOW + 300_000,
            False,
            id="a reset that has passed is none",
        ),
        pytest.param(
            status(429, "usage_limit_reached", resets_at=NOW + 400 * 24 * HOUR),
            "R0",
            "rate_limited",
            NOW + 300_000,
            False,
            id="a reset beyond a year is none",
        ),
        pytest.param(
            status(429, "usage_limit_reached", retry_after=60.0),
            "R0",
            "rate_limited",
            NOW + 60_000,
            False,
            id="Retry-After stands in",
        ),
        pytest.param(
            status(429, "insufficient_quota"),
            "R0",
            "quota_exceeded",
            NOW + HOUR,
            False,
            id="quota",
        ),
        pytest.param(
            status(429, "rate_limit_exceeded", message="Please try again in 1.2s."),
            "R0",
            "rate_limited",
            NOW + 1200,
            False,
            id="the time in a sentence",
        ),
        pytest.param(status(429), "R0", "rate_limited", NOW + 2000, False, id="a burst"),
        pytest.param(
            within("usage_limit_reached", resets_at=NOW + HOUR),
            "R0",
            "rate_limited",
            NOW + HOUR,
            False,
            id="a limit inside a stream",
        ),
        pytest.param(
            within("server_is_overloaded"), "R0", None, None, True, id="overload inside a stream"
        ),
        pytest.param(within("slow_down"), "R0", None, None, True, id="slow down"),
        pytest.param(within("server_error"), "R1", None, None, True, id="error inside a stream"),
        pytest.param(within("error"), "R1", None, None, True, id="an error without a code"),
        pytest.param(within("context_length_exceeded"), "R4", None, None, False, id="too long"),
        pytest.param(
            within("cyber_policy"), "R4", None, None, False, id="what was asked is at fault"
        ),
        pytest.param(within("x"), "R1", None, None, True, id="a code nobody knows"),
        pytest.param(
            status(400, message="The 'x' model is not supported when using Codex"),
            "R0",
            None,
            None,
            False,
            id="a model this account lacks",
        ),
    ],
)
def test_classify(
    outcome: Outcome, retry: str, block: str | None, until: int | None, counts: bool
) -> None:
    verdict = policy.classify(outcome, NOW)
    assert (verdict.retry, verdict.block, verdict.until, verdict.counts) == (
        retry,
        block,
        until,
        counts,
    )


@pytest.mark.parametrize(
    ("outcome", "tries", "allowed", "step"),
    [
        pytest.param(status(429), Tries(), True, "another", id="a limit: the next account"),
        pytest.param(status(503), Tries(ambiguous=1), True, "another", id="overload: the next"),
        pytest.param(status(401), Tries(), True, "refresh", id="401: refresh first"),
        pytest.param(status(401), Tries(refreshed={"a"}), True, "another", id="401 twice: next"),
        pytest.param(status(401), Tries(refreshed={"b"}), True, "refresh", id="another's refresh"),
        pytest.param(status(500), Tries(), True, "another", id="unclear: once more"),
        pytest.param(status(500), Tries(ambiguous=1), True, "stop", id="unclear: never twice"),
        pytest.param(status(500), Tries(), False, "stop", id="unclear: not when switched off"),
        pytest.param(Outcome("stale"), Tries(), True, "another", id="stale: another account"),
        pytest.param(Outcome("slow"), Tries(), True, "stop", id="unclear by time: never"),
        pytest.param(Outcome("gone"), Tries(), True, "stop", id="the client left"),
        pytest.param(status(400), Tries(), True, "stop", id="it would end the same"),
        pytest.param(
            Outcome("unreachable"),
            Tries(verdicts=[(Outcome("unreachable"), policy.Verdict("R0", "unreachable"))] * 2),
            True,
            "stop",
            id="all accounts share the network",
        ),
        pytest.param(Outcome("unreachable"), Tries(), True, "another", id="a blink of the network"),
    ],
)
def test_next_step(outcome: Outcome, tries: Tries, allowed: bool, step: str) -> None:
    verdict = policy.classify(outcome, NOW)
    assert policy.next_step(outcome, verdict, "a", tries, lambda: allowed) == step


@pytest.mark.parametrize(
    ("outcome", "tries", "ended"),
    [
        pytest.param(Outcome("status", 401, json=True), Tries(), False, id="a first 401"),
        pytest.param(
            Outcome("status", 401, json=True),
            Tries(refreshed={"a"}),
            False,
            id="no new token came: the auth server could not be read",
        ),
        pytest.param(
            Outcome("status", 401, json=True), Tries(renewed={"a"}), True, id="a new one, too"
        ),
        pytest.param(
            Outcome("event", 401, "token_revoked"), Tries(renewed={"a"}), True, id="inside a 200"
        ),
        pytest.param(
            Outcome("status", 401, json=True), Tries(renewed={"b"}), False, id="of another account"
        ),
        pytest.param(
            Outcome("status", 401, page=401), Tries(renewed={"a"}), False, id="a page in between"
        ),
        pytest.param(Outcome("status", 401), Tries(renewed={"a"}), False, id="nobody's words"),
        pytest.param(
            Outcome("status", 403, json=True), Tries(renewed={"a"}), False, id="another refusal"
        ),
    ],
)
def test_when_a_sign_in_has_ended(outcome: Outcome, tries: Tries, ended: bool) -> None:
    verdict = policy.classify(outcome, NOW)
    assert policy.sign_in_ended(outcome, verdict, "a", tries) is ended


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        pytest.param("Please try again in 1.2s.", 1200, id="seconds"),
        pytest.param("try again in 350ms", 350, id="milliseconds"),
        pytest.param("Try again in 2m", 120_000, id="minutes"),
        pytest.param("try again later", None, id="no time"),
        pytest.param("try again in 9999999999999s", policy.YEAR, id="beyond reason"),
    ],
)
def test_wait_hint(text: str, wait: int | None) -> None:
    assert policy.wait_hint(text) == wait


@pytest.mark.parametrize(
    ("retry_at", "status_code", "code", "after"),
    [
        pytest.param(NOW + 30_000, 429, "rate_limit_exceeded", 30, id="Codex waits by itself"),
        pytest.param(NOW + 1, 429, "rate_limit_exceeded", 1, id="never zero seconds"),
        pytest.param(NOW + HOUR, 429, "usage_limit_reached", 3600, id="Codex says when"),
        pytest.param(None, 429, "usage_limit_reached", 300, id="nobody knows when"),
    ],
)
def test_dry(retry_at: int | None, status_code: int, code: str, after: int) -> None:
    answer = policy.dry(retry_at, NOW)
    assert (answer.status, answer.code, answer.retry_after) == (status_code, code, after)
    body = errors.openai_body(answer)["error"]
    assert "plan_type" not in body
    if code == "usage_limit_reached":
        assert body["type"] == "usage_limit_reached"
        assert body.get("resets_at") == (None if retry_at is None else retry_at // 1000)


@pytest.mark.parametrize(
    ("outcome", "status_code", "code"),
    [
        pytest.param(Outcome("unreachable"), 503, "server_is_overloaded", id="no network"),
        pytest.param(status(401), 400, "no_accounts", id="a 401 would be the client's"),
        pytest.param(status(500), 503, "server_is_overloaded", id="never a bare 5xx"),
        pytest.param(Outcome("slow"), 503, "server_is_overloaded", id="no answer in time"),
        pytest.param(Outcome("hangup"), 503, "server_is_overloaded", id="hang-up"),
        pytest.param(status(403, "banned"), 403, "banned", id="the provider's refusal"),
    ],
)
def test_give_up(outcome: Outcome, status_code: int, code: str) -> None:
    answer = policy.give_up(Tries(verdicts=[(outcome, policy.classify(outcome, NOW))]))
    assert (answer.status, answer.code) == (status_code, code)


def html(status_code: int) -> Outcome:
    return policy.refused(status_code, b"<html>", {"content-type": "text/html"})


@pytest.mark.parametrize(
    ("outcome", "stays"),
    [
        pytest.param(html(200), True, id="the sign-in page of a network"),
        pytest.param(html(404), True, id="another page in between"),
        pytest.param(html(502), False, id="a page of the provider's edge"),
        pytest.param(Outcome("hangup"), False, id="hang-up"),
        pytest.param(Outcome("unreachable"), False, id="no network"),
        pytest.param(status(503, "server_is_overloaded"), None, id="Codex has words for that"),
    ],
)
def test_trouble_that_is_told_in_our_words(outcome: Outcome, stays: bool | None) -> None:
    answer = policy.give_up(Tries(verdicts=[(outcome, policy.classify(outcome, NOW))]))
    assert getattr(answer, "stays", None) is stays


@pytest.mark.parametrize(
    ("state", "expected"),
    [("empty", 400), ("paused", 400), ("sign_in_needed", 400), ("chosen_gone", 400)],
)
def test_no_account_says_who_must_do_what(state: str, expected: int) -> None:
    answer = policy.no_account(state)
    assert (answer.status, answer.code, answer.retry_after) == (expected, "no_accounts", None)
    assert "Brimline" in answer.message


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(policy.no_account("paused"), 400, "invalid_prompt", id="printed at once"),
        pytest.param(Unauthorized("Which?", code="x"), 400, "invalid_prompt", id="401: six times"),
        pytest.param(Forbidden("No.", code="x"), 400, "invalid_prompt", id="403: six times"),
        pytest.param(
            policy.owner_away(True), 400, "previous_response_not_found", id="it knows this one"
        ),
        pytest.param(policy.dry(None, NOW), 429, "usage_limit_reached", id="it knows a limit"),
        pytest.param(policy.dry(NOW + 1000, NOW), 429, "rate_limit_exceeded", id="it waits"),
        pytest.param(Trouble("Down."), 503, "server_is_overloaded", id="trouble may pass"),
    ],
)
def test_what_codex_is_told(error: AppError, status: int, code: str) -> None:
    told = policy.for_codex(error)
    assert (told.status, told.code, told.message) == (status, code, error.message)


def test_codex_is_told_of_trouble_by_an_event() -> None:
    assert policy.event_for_codex(Trouble("Down.")) == ("server_error", "Down.")
    code, words = policy.event_for_codex(policy.busy()) or ("", "")
    assert code == "rate_limit_exceeded"
    assert words.endswith("Please try again in 1s.")
    assert policy.event_for_codex(policy.no_account("paused")) is None
