"""Sign-in by browser and by device code, against a provider on loopback."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests

from server.accounts import signin
from server.accounts.pool import Pool
from server.accounts.signin import SignInFailed, SignIns
from server.config import Config
from server.errors import BadRequest, Conflict
from server.store import settings, vault
from tests.auth_server import Provider, Reply, access_token, id_token, provider


@pytest.fixture
def upstream() -> Iterator[Provider]:
    with provider() as fake:
        fake.token = lambda body: (
            200,
            {
                "access_token": access_token(),
                "refresh_token": "refresh-1",
                "id_token": id_token(),
            },
        )
        yield fake


@pytest.fixture
def pool(config: Config, upstream: Provider, database: None) -> Iterator[Pool]:
    vault.forget()
    base = f"{upstream.url}/backend-api"
    found = Pool(replace(config, auth_base_url=upstream.url, upstream_base_url=base))
    found.load()
    yield found
    vault.forget()


@pytest.fixture
def signs(
    config: Config, upstream: Provider, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SignIns]:
    monkeypatch.setattr(signin, "PORTS", (0,))
    found = SignIns(replace(config, auth_base_url=upstream.url), pool)
    yield found
    found.stop()


def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.005)


def get(url: str, accept_language: str | None = None) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, headers={"Accept-Language": accept_language}, timeout=30)


def asked(shown: dict[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(shown["authorizationUrl"]).query))


def callback(shown: dict[str, Any], **query: str) -> str:
    values = {"code": "the-code", "state": asked(shown)["state"], **query}
    return f"{shown['callbackUrl']}?" + "&".join(f"{k}={v}" for k, v in values.items())


def test_sign_in_by_browser(signs: SignIns, upstream: Provider, pool: Pool) -> None:
    assert signs.status()["status"] == "pending"  # nothing started, as codex-lb says it
    shown = signs.start()
    assert (shown["method"], shown["listening"], shown["note"]) == ("browser", True, None)
    query = asked(shown)
    assert shown["authorizationUrl"].startswith(f"{upstream.url}/oauth/authorize?")
    assert "+" not in shown["authorizationUrl"]
    assert query["scope"] == "openid profile email offline_access"
    page = get(callback(shown))
    assert (page.status_code, "You are signed in" in page.text) == (200, True)
    assert "the-code" not in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    (raw,) = upstream.asked("/oauth/token")
    form = dict(parse_qsl(raw))
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == query["code_challenge"]
    assert (form["grant_type"], form["code"]) == ("authorization_code", "the-code")
    assert form["redirect_uri"] == query["redirect_uri"] == shown["callbackUrl"]
    status = signs.status(shown["flowId"])
    (candidate,) = pool.candidates()
    assert (status["status"], status["accountId"]) == ("success", candidate.id)
    assert candidate.windows


def test_the_listener_ends_with_the_sign_in(signs: SignIns) -> None:
    shown = signs.start()
    address = urlsplit(shown["callbackUrl"])
    assert get(f"http://{address.netloc}/elsewhere").status_code == 404
    assert get(f"http://{address.netloc}/auth/callback").status_code == 400
    get(callback(shown))

    def closed() -> bool:
        try:
            socket.create_connection((address.hostname or "", address.port or 0), 1).close()
        except OSError:
            return True
        return False

    until(closed)


def test_a_code_is_exchanged_once(signs: SignIns, upstream: Provider) -> None:
    shown = signs.start()
    signs.pasted(callback(shown))
    signs.pasted(callback(shown))
    assert len(upstream.asked("/oauth/token")) == 1


@pytest.mark.parametrize(
    ("accepted", "chosen", "language", "sentence"),
    [
        pytest.param("de-AT,de;q=0.9,en;q=0.5", "", "de", "Sie sind angemeldet.", id="a browser"),
        pytest.param("tlh, zh-CN;q=0.8, en;q=0.1", "", "zh", "您已登录。", id="its second wish"),
        pytest.param("ar", "", "ar", "تم تسجيل الدخول.", id="from right to left"),
        pytest.param("tlh;q=x,,;;", "", "en", "You are signed in.", id="none of ours"),
        pytest.param(None, "", "en", "You are signed in.", id="no wish"),
        pytest.param("de", "fr", "fr", "Vous êtes connecté.", id="the pages' own language"),
    ],
)
def test_the_page_of_a_sign_in_speaks_the_readers_language(
    signs: SignIns, accepted: str | None, chosen: str, language: str, sentence: str
) -> None:
    settings.change({"language": chosen})
    page = get(callback(signs.start()), accept_language=accepted)
    direction = "rtl" if language == "ar" else "ltr"
    assert f"<html lang={language} dir={direction}>" in page.text
    assert sentence in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_callback_of_an_earlier_sign_in_changes_nothing(
    signs: SignIns, upstream: Provider
) -> None:
    shown = signs.start()
    assert "earlier sign-in" in get(callback(shown, state="stale")).text
    with pytest.raises(BadRequest, match="another sign-in"):
        signs.pasted(callback(shown, state="stale"))
    assert signs.status()["status"] == "pending"
    assert upstream.asked("/oauth/token") == []


def test_in_a_container_the_browser_comes_from_outside(
    config: Config, upstream: Provider, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker publishes a port to the container's own address, not to its loopback."""
    monkeypatch.setattr(signin, "PORTS", (0,))
    signs = SignIns(replace(config, auth_base_url=upstream.url, callback_host="0.0.0.0"), pool)
    shown = signs.start("browser")
    address = urlsplit(shown["callbackUrl"])
    assert address.hostname == "127.0.0.1", "what the provider accepts stays"
    outside = callback(shown).replace("127.0.0.1", "127.0.0.3", 1)
    assert "You are signed in" in get(outside).text
    assert len(pool.candidates()) == 1
    signs.stop()


def test_pasting_works_while_the_port_waits(signs: SignIns, pool: Pool) -> None:
    shown = signs.start("browser")
    assert shown["listening"] is True
    assert signs.pasted(callback(shown), shown["flowId"])["status"] == "success"
    assert len(pool.candidates()) == 1


def test_a_second_sign_in_replaces_the_first(signs: SignIns, pool: Pool) -> None:
    first = signs.start()
    second = signs.start()
    assert signs.status(first["flowId"])["status"] == "error"
    with pytest.raises(Conflict, match="Another sign-in took the place"):
        signs.pasted(callback(first), first["flowId"])
    assert signs.pasted(callback(second), second["flowId"])["status"] == "success"
    assert len(pool.candidates()) == 1


def test_every_new_sign_in_gets_the_port_of_the_one_before(
    signs: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = signs.start()
    port = urlsplit(first["callbackUrl"]).port
    monkeypatch.setattr(signin, "PORTS", (port, 0))
    for _ in range(3):
        shown = signs.start()
        assert shown["callbackUrl"] == first["callbackUrl"]
        assert (shown["listening"], shown["note"]) == (True, None)
    assert "You are signed in" in get(callback(shown)).text
    assert signs.start()["callbackUrl"] == first["callbackUrl"]  # after one that is done, too


def test_two_that_start_at_once_do_not_take_each_others_port(
    signs: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = signs.start()
    monkeypatch.setattr(signin, "PORTS", (urlsplit(first["callbackUrl"]).port, 0))
    with ThreadPoolExecutor(4) as several:
        found = list(several.map(lambda _: signs.start(), range(4)))
    assert {(shown["callbackUrl"], shown["note"]) for shown in found} == {
        (first["callbackUrl"], None)
    }


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "http://[", "http://127.0.0.1:1455/auth/callback", "?state=x", "x" * 99_999],
)
def test_a_pasted_address_that_is_none(signs: SignIns, address: str) -> None:
    signs.start()
    with pytest.raises(BadRequest, match="whole address"):
        signs.pasted(address)


@pytest.mark.parametrize(
    "around",
    [
        "{} ",
        " \n{}\t",
        '"{}"',
        "'{}'",
        "‹{}>",
        "<{}>",
        "\u200b{}\u200b",
        "“{}”",
        "`{}`",
        "\ufeff{}",
    ],
)
def test_what_stands_around_a_pasted_address_is_no_part_of_it(signs: SignIns, around: str) -> None:
    shown = signs.start()
    assert signs.pasted(around.format(callback(shown)))["status"] == "success"


def test_a_pasted_address_may_have_been_wrapped(signs: SignIns) -> None:
    address = callback(signs.start())
    wrapped = "\n".join((address[:40], address[40:-3], address[-3:]))
    assert signs.pasted(wrapped)["status"] == "success"


def test_nothing_to_paste_for(signs: SignIns) -> None:
    with pytest.raises(Conflict):
        signs.pasted("http://127.0.0.1:1455/auth/callback?code=1&state=2")


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        pytest.param((400, {"error": "invalid_grant"}), "HTTP 400", id="refused"),
        pytest.param((200, b"<html>"), "web page came", id="HTML: something in between"),
        pytest.param((200, {"access_token": "x"}), "HTTP 200", id="half of the tokens"),
        pytest.param((0, {}), "Check the network", id="hung up"),
        pytest.param(
            (200, {"access_token": "a", "refresh_token": "b", "id_token": "c"}),
            "The tokens that the provider sent",
            id="nobody's tokens",
        ),
    ],
)
def test_an_exchange_that_fails_says_so(
    signs: SignIns, upstream: Provider, pool: Pool, reply: Reply, says: str
) -> None:
    upstream.token = lambda _: reply
    found = signs.pasted(callback(signs.start()))
    assert found["status"] == "error"
    assert says in found["errorMessage"]
    assert pool.candidates() == []


def test_a_refusal_on_the_providers_page(signs: SignIns) -> None:
    shown = signs.start()
    state = asked(shown)["state"]
    get(f"{shown['callbackUrl']}?error=access_denied&state={state}")
    found = signs.status()
    assert (found["status"], "Start again" in found["errorMessage"]) == ("error", True)


def test_the_second_port_serves_when_the_first_is_taken(
    signs: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(signin, "PORTS", (port, 0))
        shown = signs.start()
        assert shown["listening"]
        assert f"Port {port} is in use" in shown["note"]
        assert parse_qs(urlsplit(shown["authorizationUrl"]).query)["redirect_uri"] == [
            shown["callbackUrl"]
        ]


def test_without_ports_and_device_codes_the_address_is_pasted(
    signs: SignIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(signin, "PORTS", (taken.getsockname()[1],))
        shown = signs.start()
        assert (shown["method"], shown["listening"]) == ("browser", False)
        assert "paste" in shown["note"]
        assert signs.pasted(callback(shown))["status"] == "success"


# ── device code ───────────────────────────────────────────────────────────────────────────


class Device:
    """The provider's device endpoints: `replies` to polls, in order; the last one stays."""

    def __init__(self, *replies: Reply, start: Reply | None = None) -> None:
        self.start = start or (
            200,
            {"device_auth_id": "dev-1", "user_code": "AB-12", "interval": "5"},
        )
        self.replies = list(replies)

    def __call__(self, path: str, body: Any) -> Reply:
        if path.endswith("/usercode"):
            return self.start
        assert body == {"device_auth_id": "dev-1", "user_code": "AB-12"}
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


GRANTED: Reply = (200, {"authorization_code": "granted", "code_verifier": "theirs"})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between polls are noted, not waited."""
    waits: list[float] = []
    real = threading.Event.wait
    others = set(threading.enumerate())  # such as one that an earlier test left behind

    def wait(event: Any, seconds: float | None = None) -> bool:
        if seconds is not None and seconds >= 5 and threading.current_thread() not in others:
            waits.append(seconds)
            seconds = 0.001
        return bool(real(event, seconds))

    monkeypatch.setattr(threading.Event, "wait", wait)
    return waits


def test_sign_in_by_device_code(
    signs: SignIns, upstream: Provider, pool: Pool, hasty: list[float]
) -> None:
    pending: list[Reply] = [(403, {}), (404, {}), (400, {"error": "slow_down"}), (502, b"<html>")]
    upstream.other = Device(*pending, GRANTED)
    shown = signs.start("device")
    assert (shown["method"], shown["userCode"]) == ("device", "AB-12")
    assert shown["verificationUrl"] == f"{upstream.url}/codex/device"
    assert (shown["intervalSeconds"], shown["expiresInSeconds"]) == (5, 900)
    until(lambda: signs.complete("dev-1")["status"] == "success")
    form = dict(parse_qsl(upstream.asked("/oauth/token")[0]))
    assert (form["code"], form["code_verifier"]) == ("granted", "theirs")
    assert form["redirect_uri"] == f"{upstream.url}/deviceauth/callback"
    assert hasty[:5] == [5, 5, 5, 10, 10]
    assert len(pool.candidates()) == 1


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        pytest.param({"expires_in": 3}, 3, id="shorter than a poll"),
        pytest.param({"expires_in": "1200"}, 1200, id="digits"),
        pytest.param({"expires_in": 7200}, 7200, id="long"),
        pytest.param({"expires_in": 10**9}, 86_400, id="nobody waits longer than a day"),
        pytest.param({"expires_at": "2100-01-01T00:00:00Z"}, 86_400, id="by its end"),
        pytest.param({"expires_at": "2000-01-01T00:00:00Z"}, 900, id="an end in the past"),
        pytest.param({"expires_in": 0, "expires_at": 5}, 900, id="nonsense"),
        pytest.param({"expires_in": "NaN"}, 900, id="no number"),
        pytest.param({"expires_in": True}, 900, id="a boolean"),
        pytest.param({"expires_in": [3]}, 900, id="a list"),
        pytest.param({"expires_in": 10**400}, 900, id="beyond floats"),
        pytest.param({}, 900, id="not said"),
    ],
)
def test_a_device_code_lasts_as_long_as_the_provider_says(
    signs: SignIns, upstream: Provider, more: dict[str, Any], seconds: int
) -> None:
    code = {"device_auth_id": "dev-1", "user_code": "AB-12", "interval": "60", **more}
    upstream.other = Device((403, {}), start=(200, code))
    assert signs.start("device")["expiresInSeconds"] == seconds


def test_a_short_device_code_ends_before_the_next_poll(signs: SignIns, upstream: Provider) -> None:
    code = {"device_auth_id": "dev-1", "user_code": "AB-12", "interval": 60, "expires_in": 0.05}
    upstream.other = Device((403, {}), start=(200, code))
    shown = signs.start("device")
    flow = signs._flow
    assert flow is not None
    until(flow.ended.is_set)
    found = signs.status(shown["flowId"])
    assert (found["status"], found["errorSaid"]["key"]) == ("error", "signin.codeLate")


def test_a_device_code_runs_out(
    signs: SignIns, upstream: Provider, hasty: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.other = Device((403, {}))
    shown = signs.start("device")
    assert signs._flow is not None
    signs._flow.ends_at = time.monotonic() - 1
    until(lambda: signs.status(shown["flowId"])["status"] == "error")
    assert "in time" in signs.status()["errorMessage"]


def test_a_refused_device_code(signs: SignIns, upstream: Provider, hasty: list[float]) -> None:
    upstream.other = Device((400, {"error": "access_denied"}))
    signs.start("device")
    until(lambda: signs.status()["status"] == "error")


@pytest.mark.parametrize(
    ("reply", "code", "says"),
    [
        pytest.param((404, {}), "device_auth_unavailable", "no device codes", id="not offered"),
        pytest.param((200, b"<html>"), "sign_in_failed", "A web page came", id="HTML"),
        pytest.param((403, b"<!doctype html>"), "sign_in_failed", "A web page came", id="barred"),
        pytest.param((200, {"user_code": 5}), "sign_in_failed", "HTTP 200", id="nonsense"),
        pytest.param((0, {}), "sign_in_failed", "Check the network", id="hung up"),
    ],
)
def test_no_device_code(
    signs: SignIns, upstream: Provider, reply: Reply, code: str, says: str
) -> None:
    upstream.other = Device(start=reply)
    with pytest.raises(SignInFailed) as caught:
        signs.start("device")
    assert (caught.value.code, caught.value.status) == (code, 502)
    assert says in caught.value.message


def test_a_device_sign_in_that_was_replaced(
    signs: SignIns, upstream: Provider, hasty: list[float]
) -> None:
    upstream.other = Device((403, {}))
    signs.start("device")
    signs.start("browser")
    with pytest.raises(Conflict):
        signs.complete("dev-1")
