from __future__ import annotations

from typing import Any

import pytest

from server.proxy import headers


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        pytest.param("authorization", False, id="the client's key"),
        pytest.param("chatgpt-account-id", False, id="the client's account"),
        pytest.param("x-openai-account-routing-override", False, id="the client's region"),
        pytest.param("openai-organization", False, id="the client's organisation"),
        pytest.param("cookie", False, id="cookies"),
        pytest.param("host", False, id="our address"),
        pytest.param("content-length", False, id="framing"),
        pytest.param("transfer-encoding", False, id="hop by hop"),
        pytest.param("connection", False, id="hop by hop, itself"),
        pytest.param("x-hop", False, id="hop by hop, named by connection"),
        pytest.param("x-forwarded-for", False, id="where the client is"),
        pytest.param("x-forwarded-anything", False, id="any of the family"),
        pytest.param("cf-connecting-ip", False, id="where the client is, by Cloudflare"),
        pytest.param("x-real-ip", False, id="where the client is, by nginx"),
        pytest.param("forwarded", False, id="where the client is, by RFC 7239"),
        pytest.param("sec-fetch-site", False, id="a browser's"),
        pytest.param("accept-encoding", False, id="compression we would have to undo"),
        pytest.param("session-id", True, id="the session"),
        pytest.param("thread-id", True, id="the thread"),
        pytest.param("x-codex-turn-metadata", True, id="the turn"),
        pytest.param("x-codex-anything-new", True, id="what Codex adds next"),
        pytest.param("originator", True, id="the client's name"),
        pytest.param("user-agent", True, id="no client is disguised"),
        pytest.param("content-encoding", True, id="the body's coding"),
        pytest.param("x-client-request-id", True, id="the client's own id"),
    ],
)
def test_what_goes_to_the_provider(name: str, passes: bool) -> None:
    given = {"connection": "close, X-Hop", name: "v" if name != "connection" else "X-Hop"}
    sent = headers.to_upstream(given, "token", "acc", plain=False)
    assert ((name, "v") in sent) == passes
    assert ("authorization", "Bearer token") in sent
    assert ("chatgpt-account-id", "acc") in sent
    assert len({name for name, _ in sent}) == len(sent), "nothing is said twice"


def test_a_synthetic_account_id_is_not_sent() -> None:
    assert "chatgpt-account-id" not in dict(headers.to_upstream({}, "t", None, plain=False))


def test_an_undone_coding_is_not_claimed() -> None:
    sent = headers.to_upstream({"content-encoding": "gzip"}, "t", None, plain=True)
    assert "content-encoding" not in dict(sent)


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        pytest.param("Set-Cookie", False, id="a cookie"),
        pytest.param("Transfer-Encoding", False, id="waitress would raise"),
        pytest.param("Content-Length", False, id="we frame anew"),
        pytest.param("Content-Encoding", False, id="there is none"),
        pytest.param("X-Hop", False, id="named by connection"),
        pytest.param("x-codex-primary-used-percent", False, id="one account's window"),
        pytest.param("x-codex-bengalfox-secondary-reset-at", False, id="its other window"),
        pytest.param("x-codex-credits-balance", False, id="one account's credits"),
        pytest.param("x-codex-active-limit", False, id="one account's limit"),
        pytest.param("x-codex-rate-limit-reached-type", False, id="one account's reason"),
        pytest.param("x-codex-promo-message", False, id="one account's offer"),
        pytest.param("x-codex-plan-type", False, id="one account's plan"),
        pytest.param("x-models-etag", False, id="one account's catalogue"),
        pytest.param("CF-Ray", False, id="the provider's network"),
        pytest.param("x-codex-turn-state", True, id="the turn needs it"),
        pytest.param("x-reasoning-included", True, id="the client counts by it"),
        pytest.param("x-request-id", True, id="what support asks for"),
        pytest.param("openai-processing-ms", True, id="anything else"),
    ],
)
def test_what_goes_back(name: str, passes: bool) -> None:
    given = [("Connection", "X-Hop"), (name, "v")]
    assert ((name, "v") in headers.to_client(given, own=[("Own", "1")])) == passes


def test_a_value_that_would_split_the_answer_is_dropped() -> None:
    assert headers.to_client([("x-a", "b\r\nSet-Cookie: c")], own=[]) == []


def test_the_pool_speaks_as_one_account() -> None:
    windows: list[dict[str, Any]] = [
        {
            "key": "primary",
            "usedPercent": 29.04,
            "windowMinutes": 300,
            "resetAt": "2026-11-21T12:00:00Z",
        },
        {"key": "secondary", "usedPercent": None, "windowMinutes": 10080, "resetAt": None},
        {"key": "codex_spark:secondary", "usedPercent": 1.0, "windowMinutes": 1, "resetAt": None},
    ]
    assert headers.pool_allowance(windows) == [
        ("x-codex-primary-used-percent", "29.0"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-primary-reset-at", "1795262400"),
    ]


def test_names_come_from_the_environment() -> None:
    environ = {"HTTP_SESSION_ID": "s", "CONTENT_TYPE": "a/b", "REQUEST_METHOD": "POST"}
    assert headers.received(environ) == {"session-id": "s", "content-type": "a/b"}
