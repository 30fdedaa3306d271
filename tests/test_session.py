"""Signing in to the dashboard, through the whole app."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.app import Services, create_app
from server.auth.guard import Names, allowed_host, private
from server.auth.session import IDLE_MS, LIFE_MS, MOST, Sessions, csrf_token
from server.config import Config
from server.errors import AppError, NotFound
from server.runtime import _refuse_open_network
from server.store import db, settings

ROOT = "/api/dashboard-auth"
WORD = "correct horse"
NOW = 1_800_000_000_000


class Clock:
    """The wall clock, which a test can move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(db, "now_ms", moved)
    return moved


@pytest.fixture
def app(config: Config, clock: Clock) -> Iterator[Flask]:
    yield create_app(config)
    db.close_databases()


@pytest.fixture
def services(app: Flask) -> Services:
    found: Services = app.extensions["brimline"]
    return found


class Page:
    """A browser page of ours: keeps the cookie, repeats the CSRF token."""

    def __init__(self, app: Flask, **headers: str) -> None:
        self.client: FlaskClient = app.test_client()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.token = ""

    def __call__(self, method: str, path: str, said: Any = None, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"X-CSRF-Token": self.token, **self.headers, **named}
        answer = self.client.open(path, method=method, json=said, headers=sent)
        if answer.is_json and isinstance(answer.json, dict):
            self.token = answer.json.get("csrfToken") or self.token
        return answer

    def auth(self, method: str, path: str, said: Any = None, **headers: str) -> TestResponse:
        return self(method, ROOT + path, said, **headers)


@pytest.fixture
def page(app: Flask) -> Page:
    return Page(app)


def said(answer: TestResponse) -> tuple[int, str]:
    body: Any = answer.json
    return answer.status_code, body["error"]["code"] if "error" in body else ""


def code(key: str, clock: Clock) -> str:
    return pyotp.TOTP(key).generate_otp(clock.now // 30_000)


def second_step(page: Page, clock: Clock) -> tuple[str, list[str]]:
    """Set one-time codes up and ask for them; the secret and the recovery codes."""
    key = page.auth("POST", "/totp/setup/start").json["secret"]  # type: ignore[index]
    done = page.auth("POST", "/totp/setup/confirm", {"secret": key, "code": code(key, clock)})
    assert said(done) == (200, "")
    assert page("PUT", "/api/settings", {"totpRequiredOnLogin": True}).status_code == 200
    clock.now += 60_000
    return key, done.json["recoveryCodes"]  # type: ignore[index]


class TestPassword:
    def test_without_one_the_dashboard_is_open_here(self, page: Page) -> None:
        assert page.auth("GET", "/session").json == {
            "authenticated": True,
            "passwordRequired": False,
            "totpRequiredOnLogin": False,
            "totpConfigured": False,
            "methods": [],
            "csrfToken": None,
        }
        assert page("GET", "/api/settings").status_code == 200
        assert said(page.auth("POST", "/password/login", {"password": "x"})) == (
            400,
            "password_not_configured",
        )

    def test_setting_one_closes_it_for_everybody_else(self, app: Flask, page: Page) -> None:
        done = page.auth("POST", "/password/setup", {"password": WORD})
        assert done.json["authenticated"] and done.json["passwordRequired"]  # type: ignore[index]
        cookie = done.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
        assert page("GET", "/api/settings").json["passwordConfigured"]  # type: ignore[index]
        stranger = Page(app)
        assert said(stranger("GET", "/api/settings")) == (401, "authentication_required")
        assert said(stranger.auth("POST", "/password/setup", {"password": WORD}))[0] == 401
        assert not stranger.auth("GET", "/session").json["authenticated"]  # type: ignore[index]
        again = page.auth("POST", "/password/setup", {"password": WORD})
        assert said(again) == (409, "password_already_configured")

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"password": " 1234567 "}, (422, "validation_error")),
            ({"password": 12345678}, (422, "validation_error")),
            ({}, (422, "validation_error")),
            ([], (422, "validation_error")),
        ],
    )
    def test_what_cannot_be_one(self, page: Page, body: Any, expected: tuple[int, str]) -> None:
        assert said(page.auth("POST", "/password/setup", body)) == expected
        assert not page.auth("GET", "/session").json["passwordRequired"]  # type: ignore[index]

    def test_signing_in_and_out(self, app: Flask, page: Page, services: Services) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        other = Page(app)
        wrong = other.auth("POST", "/password/login", {"password": "wrong horse"})
        assert said(wrong) == (401, "invalid_credentials")
        assert other.auth("POST", "/password/login", {"password": WORD}).status_code == 200
        assert other("GET", "/api/settings").status_code == 200
        kept = other.client.get_cookie(services.cookie)
        assert kept is not None
        assert said(other.auth("POST", "/logout")) == (200, "")
        other.client.set_cookie(services.cookie, kept.value)  # a copy of the cookie is worthless
        assert said(other("GET", "/api/settings"))[0] == 401

    def test_signing_in_again_changes_the_id(self, page: Page, services: Services) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        before = page.client.get_cookie(services.cookie)
        page.auth("POST", "/password/login", {"password": WORD})
        after = page.client.get_cookie(services.cookie)
        assert before and after and before.value != after.value
        assert len(services.sessions.all(db.now_ms())) == 1

    def test_changing_it_ends_every_other_session(self, app: Flask, page: Page) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        other = Page(app)
        other.auth("POST", "/password/login", {"password": WORD})
        wrong = {"currentPassword": "wrong horse", "newPassword": "battery staple"}
        assert said(page.auth("POST", "/password/change", wrong)) == (401, "invalid_credentials")
        right = {"currentPassword": WORD, "newPassword": "battery staple"}
        assert said(page.auth("POST", "/password/change", right)) == (200, "")
        assert page("GET", "/api/settings").status_code == 200
        assert said(other("GET", "/api/settings"))[0] == 401
        assert said(other.auth("POST", "/password/login", {"password": WORD}))[0] == 401

    def test_removing_it_opens_the_dashboard_and_clears_the_codes(
        self, page: Page, clock: Clock
    ) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        second_step(page, clock)
        assert said(page.auth("DELETE", "/password", {"password": "nope nope"}))[0] == 401
        assert said(page.auth("DELETE", "/password", {"password": WORD})) == (200, "")
        state: Any = page.auth("GET", "/session").json
        assert state["authenticated"] and not state["passwordRequired"]
        assert not state["totpConfigured"] and not settings.get("totpRequiredOnLogin")

    def test_the_trays_token_removes_a_forgotten_one(self, app: Flask, services: Services) -> None:
        Page(app).auth("POST", "/password/setup", {"password": WORD})
        tray = Page(app, Authorization=f"Bearer {services.tray_token}")
        assert tray("GET", "/api/settings").status_code == 200
        assert said(tray.auth("DELETE", "/password")) == (200, "")
        assert not services.password.configured

    def test_guessing_is_slowed_down_and_tells_how_long(self, page: Page, app: Flask) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        guesser = Page(app)
        for _ in range(5):
            answer = guesser.auth("POST", "/password/login", {"password": "wrong horse"})
            assert said(answer)[0] == 401
        answer = guesser.auth("POST", "/password/login", {"password": "wrong horse"})
        assert said(answer) == (429, "password_rate_limited")
        assert 0 < int(answer.headers["Retry-After"]) <= 48
        assert page("GET", "/api/settings").status_code == 200  # who is in stays in

    def test_wrong_ones_do_not_delay_a_right_one(self, page: Page, app: Flask) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        guesser = Page(app)
        for _ in range(19):
            guesser.auth("POST", "/password/login", {"password": "wrong horse"})
        assert said(guesser.auth("POST", "/password/login", {"password": WORD})) == (200, "")

    def test_nobody_locks_the_owners_browser_out(
        self, page: Page, app: Flask, services: Services
    ) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        assert page.auth("POST", "/logout").status_code == 200
        guesser = Page(app)
        for _ in range(30):
            guesser.auth("POST", "/password/login", {"password": "wrong horse"})
        right = {"password": WORD}
        late = said(guesser.auth("POST", "/password/login", right))
        assert late == (429, "password_rate_limited"), "a stranger's are no longer looked at"
        assert said(page.auth("POST", "/password/login", right)) == (200, "")
        badge = page.client.get_cookie(f"{services.cookie}-known", path=ROOT)
        assert badge and badge.http_only and badge.same_site == "Strict"
        guesser.client.set_cookie(badge.key, badge.value + "0", path=ROOT)
        assert said(guesser.auth("POST", "/password/login", right))[0] == 429, "not to be forged"

    def test_the_password_alone_makes_no_browser_known(
        self, page: Page, app: Flask, clock: Clock, services: Services
    ) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        steps = second_step(page, clock)
        other = Page(app)
        other.auth("POST", "/password/login", {"password": WORD})
        assert other.client.get_cookie(f"{services.cookie}-known", path=ROOT) is None
        other.auth("POST", "/totp/verify", {"code": code(steps[0], clock)})
        assert other.client.get_cookie(f"{services.cookie}-known", path=ROOT)

    def test_many_guesses_at_once_are_many_guesses(self, app: Flask, page: Page) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})

        def guess(_: int) -> int:
            wrong = {"password": "wrong horse"}
            return Page(app).auth("POST", "/password/login", wrong).status_code

        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(guess, range(16)))
        assert sorted(found) == [401] * 5 + [429] * 11

    def test_a_right_password_is_no_guess(self, page: Page, app: Flask) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        for _ in range(8):
            assert Page(app).auth("POST", "/password/login", {"password": WORD}).status_code == 200


class TestSecondStep:
    @pytest.fixture
    def steps(self, page: Page, clock: Clock) -> tuple[str, list[str]]:
        page.auth("POST", "/password/setup", {"password": WORD})
        return second_step(page, clock)

    def test_the_password_alone_opens_nothing(
        self, app: Flask, steps: tuple[str, list[str]], clock: Clock, services: Services
    ) -> None:
        other = Page(app)
        assert not other.auth("GET", "/session").json["totpRequiredOnLogin"]  # type: ignore[index]
        state: Any = other.auth("POST", "/password/login", {"password": WORD}).json
        assert not state["authenticated"] and state["totpRequiredOnLogin"]
        first = other.client.get_cookie(services.cookie)
        for method, path in (("GET", "/api/settings"), ("GET", f"{ROOT}/sessions")):
            assert said(other(method, path)) == (401, "totp_required")
        for path in ("/password/change", "/totp/setup/start", "/totp/disable"):
            assert said(other.auth("POST", path, {})) == (401, "totp_required")
        assert other("GET", "/api/session").json["totpRequired"]  # type: ignore[index]
        done = other.auth("POST", "/totp/verify", {"code": code(steps[0], clock)})
        assert done.json["authenticated"]  # type: ignore[index]
        after = other.client.get_cookie(services.cookie)
        assert first and after and first.value != after.value
        assert other("GET", "/api/settings").json["totpConfigured"]  # type: ignore[index]
        other.client.set_cookie(services.cookie, first.value)
        assert said(other("GET", "/api/settings")) == (401, "authentication_required")

    def test_a_code_opens_one_session(
        self, app: Flask, steps: tuple[str, list[str]], clock: Clock
    ) -> None:
        for expected in (200, 400):
            other = Page(app)
            other.auth("POST", "/password/login", {"password": WORD})
            answer = other.auth("POST", "/totp/verify", {"code": code(steps[0], clock)})
            assert answer.status_code == expected

    def test_a_recovery_code_does_too(self, app: Flask, steps: tuple[str, list[str]]) -> None:
        other = Page(app)
        other.auth("POST", "/password/login", {"password": WORD})
        assert said(other.auth("POST", "/totp/verify", {"code": steps[1][3]})) == (200, "")
        renewed = other.auth("POST", "/totp/recovery-codes", {"code": steps[1][4]})
        assert len(renewed.json["recoveryCodes"]) == 10  # type: ignore[index]

    def test_a_code_without_the_password_is_worth_nothing(
        self, app: Flask, steps: tuple[str, list[str]], clock: Clock
    ) -> None:
        answer = Page(app).auth("POST", "/totp/verify", {"code": code(steps[0], clock)})
        assert said(answer) == (401, "authentication_required")

    def test_guessing_codes_is_slowed_down(self, app: Flask, steps: tuple[str, list[str]]) -> None:
        other = Page(app)
        other.auth("POST", "/password/login", {"password": WORD})
        for _ in range(5):
            assert said(other.auth("POST", "/totp/verify", {"code": "xxxxxx"}))[0] == 400
        answer = other.auth("POST", "/totp/verify", {"code": "xxxxxx"})
        assert said(answer) == (429, "totp_rate_limited")
        assert "Retry-After" in answer.headers

    def test_turning_it_off_takes_a_code(
        self, page: Page, steps: tuple[str, list[str]], clock: Clock
    ) -> None:
        assert said(page.auth("POST", "/totp/disable", {"code": "000"})) == (
            400,
            "invalid_totp_code",
        )
        assert said(page.auth("POST", "/totp/disable", {"code": code(steps[0], clock)})) == (
            200,
            "",
        )
        found: Any = page("GET", "/api/settings").json
        assert not found["totpConfigured"] and not found["totpRequiredOnLogin"]

    def test_bearers_owe_no_code(self, app: Flask, steps: Any, services: Services) -> None:
        tray = Page(app, Authorization=f"Bearer {services.tray_token}")
        assert tray("GET", "/api/settings").status_code == 200

    def test_a_ticket_opens_everything(self, app: Flask, steps: Any, services: Services) -> None:
        window = Page(app)
        answer = window.client.get(f"/?ticket={services.sessions.ticket()}")
        assert answer.status_code == 303
        assert window("GET", "/api/settings").status_code == 200
        assert window("GET", "/api/session").json["csrfToken"]  # type: ignore[index]

    def test_what_cannot_be_set_up(self, page: Page) -> None:
        assert said(page.auth("POST", "/totp/setup/start")) == (400, "password_not_configured")
        wanted = page("PUT", "/api/settings", {"totpRequiredOnLogin": True})
        assert said(wanted) == (400, "invalid_totp_config")
        page.auth("POST", "/password/setup", {"password": WORD})
        body = {"secret": "JBSWY3DPEHPK3PXP", "code": "123456"}
        assert said(page.auth("POST", "/totp/setup/confirm", body)) == (400, "invalid_totp_setup")
        assert said(page.auth("POST", "/totp/setup/confirm", {"secret": 1})) == (
            422,
            "validation_error",
        )


class TestCsrf:
    @pytest.fixture
    def signed_in(self, page: Page) -> Page:
        page.auth("POST", "/password/setup", {"password": WORD})
        return page

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            pytest.param({}, 200, id="the session's token"),
            pytest.param({"X_CSRF_Token": ""}, 403, id="none"),
            pytest.param({"X_CSRF_Token": "0" * 64}, 403, id="another's"),
            pytest.param({"X_CSRF_Token": "é"}, 403, id="not even hex"),
            pytest.param({"X_CSRF_Token": "", "Sec_Fetch_Site": "same-origin"}, 200, id="our page"),
            pytest.param({"Sec_Fetch_Site": "same-site"}, 403, id="another port"),
            pytest.param({"Sec_Fetch_Site": "cross-site"}, 403, id="another site"),
            pytest.param({"Origin": "http://localhost:3000"}, 403, id="another origin"),
        ],
    )
    def test_a_change_with_a_cookie(
        self, signed_in: Page, headers: dict[str, str], expected: int
    ) -> None:
        assert signed_in("PUT", "/api/settings", {}, **headers).status_code == expected
        assert signed_in("GET", "/api/settings", X_CSRF_Token="").status_code == 200

    def test_a_bearer_needs_none_and_its_cookie_does_not_count(
        self, signed_in: Page, services: Services
    ) -> None:
        token = f"Bearer {services.tray_token}"
        answer = signed_in("PUT", "/api/settings", {}, X_CSRF_Token="", Authorization=token)
        assert answer.status_code == 200
        answer = signed_in("GET", "/api/settings", Authorization="Bearer wrong")
        assert said(answer) == (401, "authentication_required")

    def test_it_belongs_to_one_session(self, app: Flask, signed_in: Page) -> None:
        other = Page(app)
        other.auth("POST", "/password/login", {"password": WORD})
        assert other.token != signed_in.token
        assert other("PUT", "/api/settings", {}, X_CSRF_Token=signed_in.token).status_code == 403


class TestSessionsList:
    def test_they_can_be_seen_and_ended(self, app: Flask, page: Page) -> None:
        page.auth("POST", "/password/setup", {"password": WORD})
        others = [Page(app) for _ in range(3)]
        for other in others:
            other.auth("POST", "/password/login", {"password": WORD})
        found: Any = page.auth("GET", "/sessions").json
        assert len(found["sessions"]) == 4
        assert [s["current"] for s in found["sessions"]].count(True) == 1
        assert found["sessions"][0].keys() == {
            "id", "method", "verified", "createdAt", "lastUsedAt", "expiresAt", "current",
        }  # fmt: skip
        seen: Any = others[0].auth("GET", "/sessions").json
        target = next(s["id"] for s in seen["sessions"] if s["current"])
        assert said(page.auth("DELETE", f"/sessions/{target}")) == (200, "")
        assert said(others[0]("GET", "/api/settings"))[0] == 401
        assert said(page.auth("DELETE", f"/sessions/{target}")) == (404, "not_found")
        assert page.auth("DELETE", "/sessions").json == {"status": "ok", "ended": 2}
        assert said(others[1]("GET", "/api/settings"))[0] == 401
        assert page("GET", "/api/settings").status_code == 200


class TestAdminToken:
    @pytest.fixture
    def config(self, config: Config) -> Config:
        return replace(config, admin_token="a" * 32)

    def test_it_works_everywhere_and_opens_a_session(self, app: Flask) -> None:
        assert said(Page(app)("GET", "/api/settings")) == (401, "authentication_required")
        assert said(Page(app).auth("POST", "/password/setup", {"password": WORD}))[0] == 401
        bearer = Page(app, Authorization="Bearer " + "a" * 32)
        assert bearer("GET", "/api/settings").status_code == 200
        page = Page(app)
        assert said(page("POST", "/api/session", {"token": "wrong"})) == (
            401,
            "invalid_credentials",
        )
        state: Any = page("POST", "/api/session", {"token": "a" * 32}).json
        assert state["authenticated"] and state["methods"] == ["token"]
        assert page("PUT", "/api/settings", {}).status_code == 200
        assert page("DELETE", "/api/session").json["authenticated"] is False  # type: ignore[index]
        assert said(page("GET", "/api/settings"))[0] == 401


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/settings", True),
        ("/api/session/ticket", True),
        ("/api/dashboard-auth/password/setup", True),
        ("/api/dashboard-auth/sessions", True),
        pytest.param("/api/dashboard-auth/session/", False, id="a last slash changes nothing"),
        ("/api/dashboard-auth/password/login", False),
        ("/api/dashboard-auth/totp/verify", False),
        ("/api/dashboard-auth/logout", False),
        ("/api/session", False),
        ("/api/health", False),
        ("/api/codex/usage", False),
        ("/v1/usage", False),
        ("/", False),
    ],
)
def test_what_is_private(path: str, expected: bool) -> None:
    assert private(path) is expected


@pytest.mark.parametrize(
    ("host", "header", "expected"),
    [
        ("127.0.0.1", "192.168.1.5:2455", False),
        ("192.168.1.5", "192.168.1.5:2455", True),
        ("192.168.1.5", "192.168.1.6:2455", False),
        pytest.param("0.0.0.0", "192.168.1.6:2455", True, id="an address cannot be rebound"),
        pytest.param("0.0.0.0", "evil.example:2455", False, id="a name can"),
    ],
)
def test_our_own_names(host: str, header: str, expected: bool) -> None:
    assert allowed_host(header, 2455, Names(host)) is expected


class TestNetworkBind:
    @pytest.mark.parametrize(
        ("keys", "password", "token", "missing"),
        [
            (False, False, False, ["password", "API keys"]),
            (True, False, False, ["password"]),
            (False, True, False, ["API keys"]),
            (True, True, False, []),
            (True, False, True, []),
            pytest.param(False, False, True, [], id="the token alone: keys are turned on"),
        ],
    )
    def test_what_it_takes(
        self, config: Config, keys: bool, password: bool, token: bool, missing: list[str]
    ) -> None:
        config = replace(config, host="0.0.0.0", admin_token="a" * 32 if token else "")
        built: Services = create_app(config).extensions["brimline"]
        settings.change({"apiKeyAuthEnabled": keys})
        if password:
            built.password.put(WORD)
        try:
            _refuse_open_network(built)
            said = ""
        except AppError as error:
            said = error.message
        finally:
            db.close_databases()
        assert [word for word in ("password", "API keys") if word in said] == missing
        assert missing or settings.get("apiKeyAuthEnabled")

    def test_neither_can_be_turned_off_meanwhile(self, config: Config, clock: Clock) -> None:
        app = create_app(replace(config, host="0.0.0.0"))
        built: Services = app.extensions["brimline"]
        built.password.put(WORD)
        page = Page(app)
        page.auth("POST", "/password/login", {"password": WORD})
        answer = page("PUT", "/api/settings", {"apiKeyAuthEnabled": False})
        assert said(answer) == (400, "invalid_settings")
        answer = page.auth("DELETE", "/password", {"password": WORD})
        assert said(answer) == (409, "password_required")
        db.close_databases()


@pytest.mark.usefixtures("database")
class TestSessions:
    def built(self) -> Sessions:
        sessions = Sessions()
        sessions.load()
        return sessions

    def test_they_survive_a_restart_and_the_cookie_is_not_stored(self) -> None:
        identity = self.built().open(NOW, "password", verified=False)
        found = self.built().find(identity, NOW + 5)
        assert found is not None and (found.method, found.verified) == ("password", False)
        with db.reading(db.secrets) as connection:
            stored = str(connection.execute("select * from login").fetchall())
        assert identity not in stored and csrf_token(identity) not in stored

    def test_idle_and_old_ones_end(self) -> None:
        sessions = self.built()
        identity = sessions.open(NOW)
        assert sessions.valid(identity, NOW + IDLE_MS - 1)
        assert not sessions.valid(identity, NOW + 2 * IDLE_MS)
        identity, at = sessions.open(NOW), NOW
        while at < NOW + LIFE_MS:
            assert sessions.valid(identity, at)
            at += IDLE_MS - 1
        assert not sessions.valid(identity, NOW + LIFE_MS)

    def test_use_is_stored_now_and_then_and_the_dead_are_dropped(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sessions = self.built()
        used, idle = sessions.open(NOW), sessions.open(NOW)
        later = NOW + IDLE_MS - 5
        sessions.find(used, later)
        monkeypatch.setattr(db, "now_ms", lambda: later + 10)
        sessions.save()
        again = self.built()
        assert again.valid(used, later + IDLE_MS - 1) and not again.valid(idle, NOW)
        with db.reading(db.secrets) as connection:
            assert connection.execute("select count(*) from login").fetchone() == (1,)

    def test_the_eleventh_ends_the_one_unused_for_longest(self) -> None:
        sessions = self.built()
        found = [sessions.open(NOW + n) for n in range(MOST)]
        sessions.find(found[0], NOW + 100)
        sessions.open(NOW + 200)
        assert sessions.valid(found[0], NOW + 300) and not sessions.valid(found[1], NOW + 300)
        assert len(self.built().all(NOW + 300)) == MOST

    def test_a_ticket_works_once(self) -> None:
        sessions = self.built()
        ticket = sessions.ticket()
        assert sessions.redeem(ticket) and not sessions.redeem(ticket)
        assert not sessions.redeem("x") and not sessions.redeem("")

    def test_ending_what_is_not_there(self) -> None:
        with pytest.raises(NotFound):
            self.built().close_by_id("nobody")
        self.built().close("nobody")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("language", "zz", id="no such language"),
        pytest.param("singleAccountId", "zz", id="the proxy would have nobody"),
        pytest.param("trayFollows", "zz", id="the tray would follow nobody"),
        pytest.param("telemetryRelayUrl", "http://a/\0", id="no control characters"),
        pytest.param("language", "\ud800", id="no lone surrogates"),
    ],
)
def test_a_setting_that_names_nothing_is_refused(
    config: Config, clock: Clock, key: str, value: str
) -> None:
    page = Page(create_app(config))
    before = page("GET", "/api/settings").get_json()
    assert said(page("PUT", "/api/settings", {key: value})) == (422, "validation_error")
    assert page("GET", "/api/settings").get_json() == before
    assert page("PUT", "/api/settings", {**before, "language": "de"}).status_code == 200
    db.close_databases()


def test_a_removed_account_does_not_spoil_the_other_settings(config: Config, clock: Clock) -> None:
    page = Page(create_app(config))
    settings.change({"singleAccountId": "gone", "trayFollows": "gone"})
    everything = page("GET", "/api/settings").get_json()
    assert page("PUT", "/api/settings", {**everything, "alertLow": False}).status_code == 200
    db.close_databases()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        pytest.param("POST", "/v1/nothing", 404, id="a client's mistake"),
        pytest.param("PUT", "/backend-api/nothing", 404, id="a client's mistake there"),
        pytest.param("POST", "/api/nothing", 404, id="no route"),
        pytest.param("POST", "/nothing", 404, id="pages are read only"),
        pytest.param("POST", "/api/live", 405, id="a route that is read"),
        pytest.param("PATCH", "/api/settings", 405, id="a route that takes others"),
    ],
)
def test_unknown_paths_are_told_from_wrong_methods(
    config: Config, clock: Clock, method: str, path: str, expected: int
) -> None:
    answer = Page(create_app(config))(method, path)
    assert answer.status_code == expected
    if expected == 405:
        assert "GET" in answer.headers["Allow"]
        assert "Possible: GET" in answer.get_json()["error"]["message"]
    db.close_databases()
