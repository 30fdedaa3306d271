"""Sign-in files: every spelling is read, everything else is refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.accounts import oauth
from server.errors import BadRequest
from tests.auth_server import ENDS, access_token, auth_json, id_token, jwt

ACCESS, REFRESH, IDENTITY = access_token(), "refresh-1", id_token()
SNAKE = {"id_token": IDENTITY, "access_token": ACCESS, "refresh_token": REFRESH}
CAMEL = {"idToken": IDENTITY, "accessToken": ACCESS, "refreshToken": REFRESH}
AT = 1_793_527_200_000  # 2026-11-01T10:00:00Z


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("raw", "refreshed_at"),
    [
        pytest.param(auth_json(), AT + 123, id="Codex 0.169, nanoseconds"),
        pytest.param(
            dump(
                {"tokens": {**SNAKE, "account_id": "ws-1"}, "last_refresh": "2026-11-01T10:00:00Z"}
            ),
            AT,
            id="Codex without auth_mode",
        ),
        pytest.param(
            dump(
                {"tokens": {**CAMEL, "accountId": "ws-1"}, "lastRefreshAt": "2026-11-01T10:00:00Z"}
            ),
            AT,
            id="camel case",
        ),
        pytest.param(dump({"tokens": SNAKE}), None, id="no account id, no last refresh"),
        pytest.param(
            dump({"OPENAI_API_KEY": "sk-x", "tokens": SNAKE}), None, id="a key beside the tokens"
        ),
        pytest.param(b"\xef\xbb\xbf" + dump({"tokens": SNAKE}), None, id="a byte order mark"),
        pytest.param(
            json.dumps({"tokens": SNAKE}).encode("utf-16"), None, id="UTF-16 from PowerShell"
        ),
        pytest.param(
            dump({"tokens": SNAKE, "last_refresh": "2026-11-01T10:00:00"}), AT, id="no zone is UTC"
        ),
        pytest.param(dump({"tokens": SNAKE, "last_refresh": "soon"}), None, id="unclear time"),
        pytest.param(dump({"tokens": SNAKE, "last_refresh": AT // 1000}), AT, id="epoch seconds"),
        pytest.param(dump({"tokens": SNAKE, "last_refresh": AT}), AT, id="epoch milliseconds"),
        pytest.param(
            dump({"filename": "x", "codexAuthJson": {"tokens": SNAKE}}), None, id="export"
        ),
        pytest.param(dump(SNAKE), None, id="the tokens alone"),
    ],
)
def test_the_spellings_of_auth_json(raw: bytes, refreshed_at: int | None) -> None:
    found = oauth.parse(raw)
    assert (found.access_token, found.refresh_token, found.id_token) == (ACCESS, REFRESH, IDENTITY)
    assert (found.email, found.plan) == ("ada@example.com", "plus")
    assert (found.upstream_id, found.user_id) == ("ws-1", "user-1")
    assert found.expires_at == ENDS * 1000
    assert found.refreshed_at == refreshed_at


def test_opencodes_file_is_read() -> None:
    access = jwt(
        {
            "exp": ENDS,
            "https://api.openai.com/profile": {"email": "eve@example.com"},
            "https://api.openai.com/auth": {"chatgpt_plan_type": "pro", "user_id": "u"},
        }
    )
    found = oauth.parse(
        dump({"openai": {"type": "oauth", "access": access, "refresh": "r", "accountId": "ws-9"}})
    )
    assert (found.email, found.plan, found.user_id) == ("eve@example.com", "pro", "u")
    assert (found.upstream_id, found.refresh_token, found.id_token) == ("ws-9", "r", None)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"\x00\xff\xfe\x00", "not JSON", id="binary"),
        pytest.param(b'{"tokens": ', "not JSON", id="torn"),
        pytest.param(b"[" * 10_000, "not JSON", id="10,000 deep lists"),
        pytest.param(b'{"tokens":' * 10_000, "not JSON", id="10,000 deep objects"),
        pytest.param(b'{"tokens":' * 9_000 + b"1" + b"}" * 9_000, "not JSON", id="deep, closed"),
        pytest.param(b" " * 300_000, "too large", id="huge"),
        pytest.param(b"[]", "not an auth.json", id="a list"),
        pytest.param(b"null", "not an auth.json", id="null"),
        pytest.param(b"{}", "no ChatGPT sign-in", id="an empty object"),
        pytest.param(dump({"name": "package"}), "no ChatGPT sign-in", id="a foreign file"),
        pytest.param(dump({"tokens": None}), "no ChatGPT sign-in", id="signed out"),
        pytest.param(
            dump({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-hidden"}), "API key", id="an API key"
        ),
        pytest.param(
            dump({"openai": {"type": "api", "key": "sk-hidden"}}), "API key", id="opencode's key"
        ),
        pytest.param(dump({"claudeAiOauth": {}}), "Claude", id="Claude's file"),
        pytest.param(dump({"tokens": {}}), "no access token", id="no tokens in it"),
        pytest.param(dump({"tokens": {**SNAKE, "access_token": 5}}), "damaged", id="a number"),
        pytest.param(
            dump({"tokens": {**SNAKE, "access_token": ["x"]}}), "damaged", id="a list in it"
        ),
        pytest.param(
            dump({"tokens": {**SNAKE, "refresh_token": "a\r\nHost: evil"}}),
            "damaged",
            id="a header smuggled in",
        ),
        pytest.param(
            dump({"tokens": {**SNAKE, "id_token": "\ud800"}}), "damaged", id="a lone surrogate"
        ),
        pytest.param(
            dump({"tokens": {**SNAKE, "access_token": "x" * 40_000}}), "damaged", id="a long token"
        ),
        pytest.param(
            dump({"tokens": {"access_token": "opaque", "id_token": jwt({"sub": "x"})}}),
            "whose they are",
            id="nobody's tokens",
        ),
        pytest.param(
            dump({"tokens": {**SNAKE, "account_id": "a" * 180}}),
            "account_id",
            id="an account id that is none would make it another account",
        ),
        pytest.param(dump({"tokens": {**SNAKE, "account_id": 5}}), "account_id", id="a number"),
        pytest.param(
            dump({"tokens": {**SNAKE, "id_token": "a.b.c", "account_id": "ws-1"}}),
            "^id_token in this file is damaged",
            id="an id token that says nothing",
        ),
        pytest.param(
            dump({"tokens": {**SNAKE, "access_token": "a.b.c", "account_id": "ws-1"}}),
            "^access_token in this file is damaged",
            id="an access token that says nothing",
        ),
    ],
)
def test_what_is_no_auth_json(raw: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as caught:
        oauth.parse(raw)
    assert (caught.value.code, caught.value.status) == ("invalid_auth_json", 400)
    assert "hidden" not in caught.value.message
    assert "smuggled" not in caught.value.message


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(jwt({"exp": 5}), {"exp": 5}, id="plain"),
        pytest.param("opaque", {}, id="opaque"),
        pytest.param("a.!!!.c", {}, id="no base64"),
        pytest.param("a.W10.c", {}, id="a list"),
        pytest.param("a.é.c", {}, id="not ASCII"),
    ],
)
def test_claims(token: str, expected: dict[str, Any]) -> None:
    assert oauth.claims(token) == expected


@pytest.mark.parametrize(
    ("exp", "at"),
    [
        pytest.param(1_800_000_000, 1_800_000_000_000, id="plain"),
        pytest.param(1.5e9, 1_500_000_000_000, id="a float"),
        pytest.param("1800000000", None, id="text"),
        pytest.param(True, None, id="true"),
        pytest.param(-1, None, id="negative"),
        pytest.param(10**30, None, id="too far"),
    ],
)
def test_expiry(exp: Any, at: int | None) -> None:
    assert oauth.expiry(jwt({"exp": exp})) == at


def test_identity_is_the_user_in_a_workspace() -> None:
    def identity(**who: Any) -> str:
        return oauth.parse(auth_json(**who)).identity

    assert identity() == identity(email="renamed@example.com", plan="pro")
    assert identity() != identity(account="ws-2")
    assert identity() != identity(user="user-2")
    assert identity(user=None) != identity(user=None, email="b@example.com")
    assert identity(user=None) == identity(user=None, email="ADA@example.com")


@pytest.mark.parametrize("email", ["a\u0000b@x", "\ud800@x", "x" * 400, 5, None])
def test_a_strange_email_is_not_stored(email: Any) -> None:
    assert oauth.parse(auth_json(email=email)).email == ""
