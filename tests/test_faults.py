"""The fault matrix: kinds of failure × how many of five accounts fail × many requests at once.

Nothing is lost where the provider had not taken a request, an unclear one is repeated once at
most, and nothing is replayed after an item. `FAULT_REQUESTS=500` runs the long matrix.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from server.config import Config
from tests.rig import Reply, Rig, running, wait_until
from tests.upstream import (
    Answer,
    HangUp,
    Script,
    Stream,
    created,
    failed,
    item,
    message,
    refusal,
    usage_limit,
)

MANY = int(os.environ.get("FAULT_REQUESTS", "24"))
AT_ONCE = 6
NAMES = [f"acc-{n}" for n in range(1, 6)]
LATER = int(time.time()) + 4 * 3600

NOT_TAKEN: dict[str, Script] = {
    "usage limit": usage_limit(LATER),
    "rate limit": refusal(429, "rate_limit_exceeded", retry_after="600"),
    "quota": refusal(429, "insufficient_quota"),
    "sign-in refused": refusal(401, "token_expired"),
    "workspace gone": refusal(402, "deactivated_workspace"),
    "challenge page": Answer(403, b"<html>", {"content-type": "text/html"}),
    "overloaded": refusal(503, "server_is_overloaded"),
    "a page of the edge": Answer(523, b"<html>", {"content-type": "text/html"}),
    "overloaded, its own status": refusal(529, "overloaded_error"),
    "limit inside the stream": Stream([failed("rate_limit_exceeded")]),
    "overload after the opening": Stream([created(), failed("server_is_overloaded")]),
}
UNCLEAR: dict[str, Script] = {
    "server error": refusal(500, "server_error"),
    "bad gateway": Answer(502, b"<html>", {"content-type": "text/html"}),
    "hang-up": HangUp(),
    "reset": HangUp(reset=True),
    "empty stream": Stream([]),
    "cut after the opening": Stream([created()], end="cut"),
}
SHOWN: dict[str, Script] = {
    "cut after an item": Stream([created(), *item(message("half"))], end="cut"),
    "failed after an item": Stream([created(), *item(message("half")), failed("server_error")]),
}


@pytest.fixture
def rig(config: Config, database: None) -> Iterator[Rig]:
    with running(config, NAMES) as found:
        yield found


def storm(rig: Rig, bad: int, script: Script, tag: str) -> list[Reply]:
    """Many requests while `bad` accounts play the script and the others are well."""
    for name in NAMES:
        rig.provider.play(script if name in NAMES[:bad] else Stream(), account=name)
        # What the round before taught about the account is forgotten, so that it is asked again.
        rig.pool.resume(rig.accounts[name])

    def send(number: int) -> Reply:
        if number % 8 == 7:
            for name in NAMES[:bad]:
                rig.pool.resume(rig.accounts[name])
        return rig.send(None, x_client_request_id=f"{tag}-{number}")

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(send, range(MANY)))


def attempts(rig: Rig, tag: str) -> Counter[str]:
    """How often each of our requests reached the provider."""
    sent = [r.headers["x-client-request-id"] for r in rig.provider.responses()]
    return Counter(name for name in sent if name.startswith(f"{tag}-"))


def met(rig: Rig, bad: int) -> int:
    """How many requests met an account that fails."""
    return sum(r.account in NAMES[:bad] for r in rig.provider.responses())


@pytest.mark.parametrize("kind", NOT_TAKEN)
def test_what_was_not_taken_is_never_lost(rig: Rig, kind: str) -> None:
    for bad in range(1, 5):
        for reply in storm(rig, bad, NOT_TAKEN[kind], f"bad{bad}"):
            assert (reply.status, reply.cut) == (200, False)
            assert reply.kinds.count("response.created") == 1
            assert reply.kinds[-1] == "response.completed"
    assert met(rig, 4) > 8, "the failures were really met"
    wait_until(lambda: len(rig.rows()) == 4 * MANY, "a row each")
    assert {row["status"] for row in rig.rows()} == {"success"}
    assert {c.streams for c in rig.pool.candidates()} == {0}


@pytest.mark.parametrize("kind", NOT_TAKEN)
def test_when_all_fail_the_client_is_told_and_can_go_on(rig: Rig, kind: str) -> None:
    for reply in storm(rig, 5, NOT_TAKEN[kind], "all"):
        if reply.status == 200:  # the opening was shown before the account failed
            assert reply.cut or reply.kinds[-1] == "response.failed"
            continue
        assert reply.status in (400, 402, 403, 429, 503)
        assert reply.error["message"]
        assert reply.status not in (429, 503) or "retry-after" in reply.headers
    for reply in storm(rig, 0, Stream(), "well"):
        assert reply.status == 200


@pytest.mark.parametrize("kind", UNCLEAR)
def test_what_is_unclear_is_repeated_once_at_most(rig: Rig, kind: str) -> None:
    for bad in (1, 3, 5):
        tag = f"bad{bad}"
        for reply in storm(rig, bad, UNCLEAR[kind], tag):
            whole = reply.status == 200 and reply.kinds[-1:] == ["response.completed"]
            told = reply.status == 503 or reply.cut or "response.failed" in reply.kinds
            assert whole or told
        assert max(attempts(rig, tag).values()) <= 2
    assert {c.streams for c in rig.pool.candidates()} == {0}


# With one repeat, a loss needs two accounts that fail and of which nobody knew it. Measured, 500
# requests for each of 1 to 4 failing accounts, at 1, 6 and 32 at once: none of 6,000 was lost; the
# unluckiest draws lose as many as stand below, all among the first four. Where accounts that had
# served turned bad all at once, 0 to 3 of 500 were lost, all among the first six.
@pytest.mark.parametrize(("bad", "lost"), [(1, 0), (2, 1), (3, 1), (4, 2)])
def test_accounts_that_answer_500_are_avoided_after_the_first(
    rig: Rig, bad: int, lost: int
) -> None:
    for name in NAMES:
        rig.provider.play(
            UNCLEAR["server error"] if name in NAMES[:bad] else Stream(), account=name
        )

    def send(number: int) -> Reply:
        return rig.send(None, session_id=f"thread-{number}", x_client_request_id=f"500-{number}")

    learning = [send(number).status for number in range(12)]
    assert learning[4:] == [200] * 8, "only the first few had to learn it"
    assert learning.count(503) <= lost
    with ThreadPoolExecutor(AT_ONCE) as threads:
        replies = list(threads.map(send, range(12, 12 + MANY)))
    assert {reply.status for reply in replies} == {200}, "whoever repeats goes to a proved one"
    assert max(attempts(rig, "500").values()) <= 2


@pytest.mark.parametrize("kind", SHOWN)
def test_nothing_is_replayed_after_an_item(rig: Rig, kind: str) -> None:
    for bad in (2, 5):
        tag = f"bad{bad}"
        replies = storm(rig, bad, SHOWN[kind], tag)
        assert set(attempts(rig, tag).values()) == {1}
        for reply in replies:
            assert reply.cut or reply.kinds[-1] in ("response.completed", "response.failed")


def test_a_storm_of_64_refreshes_each_account_once(config: Config, database: None) -> None:
    with running(config, NAMES, threads=144) as rig:
        refreshed_once(rig)


def refreshed_once(rig: Rig) -> None:
    first: dict[str, str] = {}

    def play(request: Any) -> Script:
        token = request.headers["authorization"]
        stale = first.setdefault(request.account, token) == token
        return refusal(401, "token_expired") if stale else Stream()

    rig.provider.play(play)
    with ThreadPoolExecutor(64) as threads:
        replies = list(threads.map(lambda _: rig.send(), range(64)))
    assert [reply.status for reply in replies] == [200] * 64
    used = [each["refresh_token"] for each in rig.provider.refreshes]
    assert len(used) == len(set(used)) == len(first), "one refresh each, no token twice"
