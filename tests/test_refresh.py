"""Tokens are renewed once, stored before use, and never asked for in vain."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from server.accounts import oauth, refresh
from server.accounts.provider import RefreshFailed, SignInNeeded, StillRefused
from server.accounts.refresh import Credentials
from server.config import Config
from server.store import db, vault
from tests.auth_server import ENDS, Provider, Reply, access_token, auth_json, provider

MINUTE = 60_000


@pytest.fixture
def upstream() -> Iterator[Provider]:
    with provider() as fake:
        yield fake


@pytest.fixture
def settled(config: Config, upstream: Provider) -> Config:
    return replace(config, auth_base_url=upstream.url)


@pytest.fixture
def credentials(settled: Config, database: None) -> Iterator[Credentials]:
    vault.forget()
    found = Credentials(settled)
    found.load()
    yield found
    vault.forget()


def ends_in(minutes: float, name: str = "old") -> str:
    return access_token(name, int(db.now_ms() / 1000 + minutes * 60))


def keep(credentials: Credentials, access: str, token: str | None = "refresh-1") -> None:
    found = oauth.parse(auth_json(access, token))
    credentials.keep("one", replace(found, refreshed_at=db.now_ms()), db.now_ms())


def rotating(upstream: Provider) -> list[str]:
    """A strict server: each refresh token works once."""
    spent: list[str] = []

    def token(body: dict[str, Any]) -> Reply:
        given = body["refresh_token"]
        if given in spent:
            return 401, {"error": {"code": "refresh_token_reused"}}
        spent.append(given)
        number = len(spent) + 1
        return 200, {
            "access_token": access_token(f"new-{number}"),
            "refresh_token": f"refresh-{number}",
        }

    upstream.token = token
    return spent


def stored(column: str) -> Any:
    with db.reading(db.secrets) as connection:
        row = connection.execute(f"select {column} from credential").fetchone()  # noqa: S608
    return row[0] if row else None


def stored_refresh() -> str:
    return vault.unseal("credential", "refresh_token", "one", stored("refresh_token")).decode()


@pytest.mark.parametrize(
    ("minutes", "asked"),
    [
        pytest.param(6, 0, id="six minutes left"),
        pytest.param(4, 1, id="four minutes left"),
        pytest.param(-1, 1, id="over"),
    ],
)
def test_a_token_is_renewed_five_minutes_early(
    credentials: Credentials, upstream: Provider, minutes: float, asked: int
) -> None:
    rotating(upstream)
    keep(credentials, ends_in(minutes))
    held = credentials.fresh("one")
    assert len(upstream.calls) == asked
    assert (held.expires_at == ENDS * 1000) == bool(asked)
    assert credentials.fresh("one") == held  # and not again
    assert len(upstream.calls) == asked


@pytest.mark.parametrize(("days", "asked"), [(7.9, 0), (8.1, 1)])
def test_a_token_that_does_not_say_is_renewed_after_eight_days(
    credentials: Credentials,
    upstream: Provider,
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    asked: int,
) -> None:
    rotating(upstream)
    keep(credentials, "opaque")
    now = db.now_ms()
    monkeypatch.setattr(db, "now_ms", lambda: now + int(days * 24 * 60 * MINUTE))
    credentials.fresh("one")
    assert len(upstream.calls) == asked


def test_the_question_is_codexs_and_carries_nothing_else(
    credentials: Credentials, upstream: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # a proxy must not see the token
    rotating(upstream)
    keep(credentials, ends_in(1))
    credentials.fresh("one")
    ((path, headers, body),) = upstream.calls
    assert path == "/oauth/token"
    assert body == {
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
        "refresh_reason": "proactive_expiry",
    }
    assert headers["user-agent"].startswith("brimline/")
    assert "authorization" not in headers


def test_a_storm_makes_one_call_and_uses_no_token_twice(
    credentials: Credentials, upstream: Provider
) -> None:
    spent = rotating(upstream)
    stale = access_token("old")
    keep(credentials, stale)
    with ThreadPoolExecutor(64) as threads:
        held = list(threads.map(lambda _: credentials.renew("one", stale), range(64)))
    assert spent == ["refresh-1"]
    assert {h.access for h in held} == {access_token("new-2")}


def test_refreshes_of_all_accounts_go_one_after_another(
    credentials: Credentials, upstream: Provider
) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def token(body: dict[str, Any]) -> Reply:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.01)
        with lock:
            inside -= 1
        return 200, {"access_token": access_token("n"), "refresh_token": "r"}

    upstream.token = token
    names = [f"account-{n}" for n in range(6)]
    for name in names:
        credentials.keep(name, oauth.parse(auth_json(ends_in(-1))), db.now_ms())
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(credentials.fresh, names))
    assert (len(upstream.calls), most) == (6, 1)


def test_the_intent_and_the_new_token_are_on_disk_in_time(
    credentials: Credentials, upstream: Provider, settled: Config
) -> None:
    seen: list[Any] = []

    def token(body: dict[str, Any]) -> Reply:
        seen.append(stored("refreshing"))
        return 200, {"access_token": access_token("new"), "refresh_token": "refresh-2"}

    upstream.token = token
    keep(credentials, ends_in(1))
    credentials.fresh("one")
    assert seen == [refresh._digest("refresh-1")]
    assert stored("refreshing") is None
    assert stored_refresh() == "refresh-2"
    again = Credentials(settled)
    again.load()
    assert again.fresh("one").access == access_token("new")


def test_after_a_crash_in_between_the_token_is_not_risked_early(
    credentials: Credentials, upstream: Provider, settled: Config
) -> None:
    rotating(upstream)
    access = ends_in(3)
    keep(credentials, access)
    with db.writing_secrets() as connection:
        connection.execute("update credential set refreshing = ?", (refresh._digest("refresh-1"),))
    again = Credentials(settled)
    again.load()
    assert again.fresh("one").access == access
    assert upstream.calls == []  # the token it has is still good


@pytest.mark.parametrize(
    ("status", "body", "standing", "says"),
    [
        pytest.param(
            401, {"error": {"code": "refresh_token_expired"}}, "sign_in_needed", "expired", id="old"
        ),
        pytest.param(
            401,
            {"error": {"code": "refresh_token_reused"}},
            "sign_in_needed",
            "another program",
            id="reused",
        ),
        pytest.param(
            401,
            {"error": {"code": "refresh_token_invalidated"}},
            "sign_in_needed",
            "revoked",
            id="revoked",
        ),
        pytest.param(
            400,
            {"error": "invalid_grant", "error_description": "x"},
            "sign_in_needed",
            "no longer accepts",
            id="OAuth's own spelling",
        ),
        pytest.param(400, {"error_code": "token_revoked"}, "sign_in_needed", "revoked", id="flat"),
        pytest.param(
            401, {"error": {"code": "brand_new"}}, "sign_in_needed", "no longer", id="any other 401"
        ),
        pytest.param(
            403, {"error": {"code": "account_suspended"}}, "deactivated", "suspended", id="dead"
        ),
        pytest.param(
            401, {"code": "account_deactivated"}, "deactivated", "deactivated", id="dead 2"
        ),
    ],
)
def test_a_final_no_is_never_asked_again(
    credentials: Credentials,
    upstream: Provider,
    status: int,
    body: dict[str, Any],
    standing: str,
    says: str,
) -> None:
    upstream.token = lambda _: (status, body)
    keep(credentials, ends_in(-1))
    for _ in range(3):
        with pytest.raises(SignInNeeded, match=says) as caught:
            credentials.fresh("one")
        assert caught.value.standing == standing
        assert "refresh-1" not in str(caught.value)
    assert len(upstream.calls) == 1
    credentials.revive("one")
    with pytest.raises(SignInNeeded):
        credentials.fresh("one")
    assert len(upstream.calls) == 2


@pytest.mark.parametrize(
    ("reply", "unclear"),
    [
        pytest.param((500, {}), False, id="500"),
        pytest.param((429, {"error": {"code": "rate_limit"}}), False, id="429"),
        pytest.param((400, {"error": "invalid_request"}), False, id="an unknown 400"),
        pytest.param((401, b"<html>log in to the hotel</html>"), False, id="a captive portal"),
        pytest.param((302, {}), False, id="a redirect is not followed"),
        pytest.param((200, b"<html>"), True, id="200 with HTML"),
        pytest.param((200, b"[" * 20_000), True, id="200 with deep JSON"),
        pytest.param((200, b"x" * 2_000_000), True, id="200 with 2 MB"),
        pytest.param((200, {}), False, id="200 without tokens"),
        pytest.param((200, {"access_token": "a b"}), False, id="a token with a space"),
        pytest.param((0, {}), True, id="hung up"),
    ],
)
def test_a_passing_failure_backs_off(
    credentials: Credentials,
    upstream: Provider,
    caplog: pytest.LogCaptureFixture,
    reply: Reply,
    unclear: bool,
) -> None:
    upstream.token = lambda _: reply
    keep(credentials, ends_in(-1))
    for _ in range(5):
        with pytest.raises(RefreshFailed) as caught:
            credentials.fresh("one")
    assert len(upstream.calls) == 1  # the next try is seconds away
    assert (stored("refreshing") is not None) == unclear
    assert "refresh-1" not in caplog.text + caught.value.message


def test_a_good_token_goes_on_while_renewing_fails(
    credentials: Credentials, upstream: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.token = lambda _: (503, {})
    access = ends_in(4)
    keep(credentials, access)
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            assert credentials.fresh("one").access == access
    assert len(upstream.calls) == 1
    assert access not in caplog.text


def test_the_wait_grows_and_ends(
    credentials: Credentials, upstream: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("server.accounts.refresh.time.monotonic", lambda: clock[0])
    upstream.token = lambda _: (500, {})
    keep(credentials, ends_in(-1))
    asked_at = []
    for _ in range(600):
        before = len(upstream.calls)
        with pytest.raises(RefreshFailed):
            credentials.fresh("one")
        if len(upstream.calls) > before:
            asked_at.append(clock[0] - 1000)
        clock[0] += 1
    assert asked_at == [0, 5, 15, 35, 75, 155, 315]
    rotating(upstream)
    clock[0] += 300
    assert credentials.fresh("one").access == access_token("new-2")


def test_a_dead_network_blames_nobody(
    config: Config, database: None, caplog: pytest.LogCaptureFixture
) -> None:
    vault.forget()
    credentials = Credentials(config)  # its provider is nowhere
    keep(credentials, ends_in(-1))
    with pytest.raises(RefreshFailed, match="Check the network"):
        credentials.fresh("one")
    assert stored("refreshing") is None  # it never left
    vault.forget()


def test_without_a_refresh_token_the_access_token_is_used_to_its_end(
    credentials: Credentials, upstream: Provider
) -> None:
    keep(credentials, ends_in(2), None)
    assert credentials.fresh("one").access
    keep(credentials, ends_in(-1), None)
    with pytest.raises(SignInNeeded, match="without a refresh token"):
        credentials.fresh("one")
    assert upstream.calls == []


def test_a_rotated_token_outlives_a_full_disk(
    credentials: Credentials, upstream: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = rotating(upstream)
    keep(credentials, ends_in(-1))
    real = db.writing_secrets
    rotated = threading.Event()

    def full() -> Any:
        if spent and not rotated.is_set():
            raise OSError(28, "No space left on device")
        return real()

    monkeypatch.setattr("server.accounts.refresh.db.writing_secrets", full)
    assert credentials.fresh("one").access == access_token("new-2")
    assert stored_refresh() == "refresh-1"
    rotated.set()
    credentials.save_pending()
    assert stored_refresh() == "refresh-2"


def test_a_new_sign_in_wins_over_a_refresh_that_is_under_way(
    credentials: Credentials, upstream: Provider
) -> None:
    def token(body: dict[str, Any]) -> Reply:
        keep(credentials, access_token("signed-in"), "refresh-new")
        return 401, {"error": {"code": "refresh_token_reused"}}

    upstream.token = token
    keep(credentials, ends_in(-1))
    with pytest.raises(RefreshFailed):
        credentials.fresh("one")
    assert credentials.fresh("one").access == access_token("signed-in")
    assert stored_refresh() == "refresh-new"


def test_an_account_removed_during_its_refresh_stays_removed(
    credentials: Credentials, upstream: Provider
) -> None:
    def token(body: dict[str, Any]) -> Reply:
        credentials.remove("one")
        return 200, {"access_token": access_token("new"), "refresh_token": "refresh-2"}

    upstream.token = token
    keep(credentials, ends_in(-1))
    with pytest.raises(RefreshFailed):
        credentials.fresh("one")
    assert stored("account") is None
    with pytest.raises(SignInNeeded):
        credentials.fresh("one")


def test_a_lost_key_is_not_a_lost_sign_in(
    credentials: Credentials, upstream: Provider, settled: Config
) -> None:
    keep(credentials, ends_in(60))
    (key,) = vault.keys_folder().iterdir()
    content = key.read_text()
    key.unlink()
    vault.forget()
    again = Credentials(settled)
    again.load()
    with pytest.raises(RefreshFailed, match="Put the key"):
        again.fresh("one")
    key.write_text(content)
    assert again.fresh("one").access


def test_new_tokens_that_are_refused_too_are_renewed_a_few_times_a_minute(
    credentials: Credentials, upstream: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("server.accounts.refresh.time.monotonic", lambda: clock[0])
    spent = rotating(upstream)
    keep(credentials, access_token("old"))
    new = access_token("old")
    for _ in range(4):
        new = credentials.renew("one", new).access
    for _ in range(10):
        with pytest.raises(StillRefused, match="renewed just now"):
            credentials.renew("one", new)
    assert len(spent) == len(set(spent)) == 4, "no refresh token is used twice"
    clock[0] += 60
    assert credentials.renew("one", new).access != new
    assert len(spent) == 5
