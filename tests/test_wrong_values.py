"""Every field of every route's body with wrong values: 422 `validation_error`, nothing changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from server.app import Services
from server.auth.keys import Draft
from server.store import db, settings
from tests.serving import whole_app

ADMIN = "an-admin-token-of-the-test"
OWNER = {"Authorization": f"Bearer {ADMIN}"}
MISSING = object()


@dataclass(frozen=True)
class Raw:
    """A value as JSON text that `json.dumps` would not write."""

    text: str


WRONG: dict[str, Any] = {
    "missing": MISSING,
    "null": None,
    "true": True,
    "one": 1,
    "negative": -5,
    "huge": 10**30,
    "fraction": 1.5,
    "digits without end": Raw("1" + "0" * 5000),
    "NaN": Raw("NaN"),
    "beyond floats": Raw("1e999"),
    "empty": "",
    "blank": "  ",
    "word": "no",
    "NUL": "x\0y",
    "control": "x\x1by",
    "lone surrogate": "x\ud800y",
    "long": "a" * 100_000,
    "list": [],
    "list of a number": [1],
    "object": {},
    "nested": {"a": {"b": [1]}},
    "deep": Raw("[" * 500 + "]" * 500),
}
TEXTS = ("empty", "blank", "word", "NUL", "control", "lone surrogate", "long")
CLEAN = ("empty", "blank", "word")
OPTIONAL = ("missing", "null")
BOOLEAN = ("missing", "true")
LIMIT = {"limitType": "requests", "limitWindow": "daily", "maxValue": 5, "modelFilter": "m"}
KEY = {
    "name": "n", "allowedModels": ["gpt-5.5"], "assignedAccountIds": [], "isActive": True,
    "expiresAt": "2030-01-01T00:00:00Z", "limits": [], "weeklyTokenLimit": 5, "resetUsage": False,
}  # fmt: skip
KEY_FIELDS = {
    "name": CLEAN,  # a blank one has an answer of its own: 400 invalid_api_key_payload
    "allowedModels": (*OPTIONAL, "list"),
    "assignedAccountIds": (*OPTIONAL, "list"),
    "isActive": BOOLEAN,
    "expiresAt": OPTIONAL,
    "limits": (*OPTIONAL, "list"),
    "weeklyTokenLimit": (*OPTIONAL, "one"),
    "resetUsage": BOOLEAN,
}
REFRESH = ({"wait": False, "include_archived": False},
           {"wait": BOOLEAN, "include_archived": (*BOOLEAN, "null")})  # fmt: skip
AUTH = "/api/dashboard-auth"
# What of an account only a request changes; the rest may change by itself meanwhile.
WISHES = ("accountId", "alias", "status", "pausedUntil", "priority", "routingPolicy")

# Route → a right body, and for each of its fields those of WRONG that are right, too.
BODIES: dict[str, tuple[dict[str, Any], dict[str, tuple[str, ...]]]] = {
    "POST /api/accounts/{account}/pause": ({"until": None}, {"until": OPTIONAL}),
    "PUT /api/accounts/{account}/alias": ({"alias": "x"}, {"alias": ("null", *CLEAN)}),
    "PATCH /api/accounts/{account}": (
        {"priority": 1, "routingPolicy": "normal"},
        {"priority": (*OPTIONAL, "one", "negative"), "routingPolicy": OPTIONAL},
    ),
    "PUT /api/accounts/{account}/routing-policy": (
        {"routingPolicy": "normal"}, {"routingPolicy": ()},
    ),
    "POST /api/accounts/{account}/rate-limit-reset-credits/consume": (
        {"creditId": "a", "redeemRequestId": "b"},
        {"creditId": (*OPTIONAL, "word"), "redeemRequestId": (*OPTIONAL, "word")},
    ),
    "POST /api/import/codex-lb": (
        {"folder": "/nowhere", "keyFile": "/nowhere"},
        {"folder": ("blank", "word", "control"), "keyFile": (*OPTIONAL, *CLEAN, "control")},
    ),
    "POST /api/oauth/start": ({"forceMethod": "device"}, {"forceMethod": OPTIONAL}),
    "POST /api/oauth/complete": (
        {"deviceAuthId": "x", "userCode": "y", "flowId": "z"},
        dict.fromkeys(("deviceAuthId", "userCode", "flowId"), (*OPTIONAL, *CLEAN)),
    ),
    "POST /api/oauth/manual-callback": (
        {"callbackUrl": "http://localhost/?code=1&state=2", "flowId": "x"},
        {"callbackUrl": TEXTS, "flowId": (*OPTIONAL, *CLEAN)},
    ),
    "POST /api/scan": ({"wait": False}, {"wait": BOOLEAN}),
    "POST /api/session": ({"token": "x"}, {"token": TEXTS}),
    "PUT /api/tray": ({"visible": True}, {"visible": ("true",)}),
    "PUT /api/desktop": ({"startAtLogin": True}, {"startAtLogin": ("true",)}),
    "POST /api/connect/codex/preview": (
        {"undo": False, "replace": False, "style": "auto"},
        {"undo": BOOLEAN, "replace": BOOLEAN, "style": ("missing",)},
    ),
    "POST /api/connect/codex/apply": (
        {"replace": False, "style": "auto", "seen": "x"},
        {"replace": BOOLEAN, "style": ("missing",), "seen": (*OPTIONAL, *TEXTS)},
    ),
    "POST /api/connect/codex/undo": ({"seen": "x"}, {"seen": (*OPTIONAL, *TEXTS)}),
    "POST /api/diagnostics/refresh": REFRESH,
    "POST /api/diagnostics/commands/refresh": REFRESH,
    "POST /api/evidence/settings": ({"enabled": True}, {"enabled": ("true",)}),
    "POST /api/context-settings": ({"enabled": True}, {"enabled": ("true",)}),
    "POST /api/pricing/update": (
        {"text": "x", "tier": "standard", "source": "x", "rateCard": False},
        {"text": (), "tier": (), "source": (), "rateCard": ()},  # the text tells no price anyway
    ),
    "POST /api/pricing/pin": ({"text": "x", "source": "x"}, {"text": OPTIONAL, "source": ()}),
    "POST /api/allowance/parse": (
        {"text": "5h 79% 6:50 PM", "save": False}, {"text": (), "save": BOOLEAN},
    ),
    "POST /api/usage/files/pricing": ({"force": True}, {"force": BOOLEAN}),
    "PUT /api/telemetry/relay": (
        {"url": "http://x", "header": "a: b"},
        {"url": ("missing", "empty", "blank"), "header": (*OPTIONAL, "empty")},
    ),
    "POST /api/api-keys/": (KEY, KEY_FIELDS),
    "PATCH /api/api-keys/{key}": (KEY, {**KEY_FIELDS, "name": ("missing", *CLEAN)}),
    f"POST {AUTH}/password/setup": ({"password": "short"}, {"password": ()}),
    f"POST {AUTH}/password/login": ({"password": "x"}, {"password": TEXTS}),
    f"POST {AUTH}/password/change": (
        {"currentPassword": "x", "newPassword": "y" * 10},
        {"currentPassword": TEXTS, "newPassword": ()},
    ),
    # The admin's token needs no password while one is set; here none is.
    f"DELETE {AUTH}/password": ({"password": "x"}, {"password": TEXTS}),
    f"POST {AUTH}/totp/disable": ({"code": "x"}, {"code": TEXTS[:-1]}),
    f"POST {AUTH}/totp/recovery-codes": ({"code": "x"}, {"code": TEXTS[:-1]}),
}  # fmt: skip
# These ask before they read: for a password, for a session.
LATE = [f"POST {AUTH}/totp/setup/confirm", f"POST {AUTH}/totp/verify"]
NO_BODY = {
    "POST /api/accounts/<account>/reactivate", "POST /api/accounts/<account>/resume",
    "POST /api/accounts/pause-all", "POST /api/accounts/resume-all",
    "POST /api/accounts/<account>/probe", "POST /api/accounts/<account>/export/auth",
    "POST /api/accounts/import", "POST /api/api-keys/<identity>/regenerate",
    "POST /api/show", "POST /api/shutdown", "POST /api/session/ticket", "POST /api/recalc",
    f"POST {AUTH}/logout", f"POST {AUTH}/totp/setup/start",
}  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application with an account and a key; the provider is not there."""
    with whole_app(tmp_path_factory.mktemp("wrong"), admin_token=ADMIN) as found:
        yield found


class Asking:
    """The admin, who may ask everything."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()
        self.services: Services = app.extensions["brimline"]
        self.account = self.services.pool.summaries(db.now_ms(), auth=False)[0]["accountId"]
        keys = self.services.keys
        self.key = (keys.all() or [keys.create(Draft("k"))[0]])[-1].id

    def send(self, route: str, body: bytes, content: str = "application/json") -> tuple[int, Any]:
        method, path = route.format(account=self.account, key=self.key).split(" ")
        answer = self.client.open(
            path,
            method=method,
            data=body,
            content_type=content,
            headers=OWNER,
        )
        return answer.status_code, answer.get_json(silent=True)

    def state(self) -> tuple[Any, ...]:
        """All that a refused request must leave as it was."""
        services = self.services
        accounts = services.pool.summaries(db.now_ms(), auth=False)
        files = sorted((p.name, p.read_bytes()) for p in services.config.data_dir.glob("*.json"))
        clients = Path(services.config.codex_home) / "config.toml"
        relay = self.client.get("/api/telemetry/relay", headers=OWNER)
        return (
            [{name: each[name] for name in WISHES} for each in accounts], services.keys.all(),
            settings.everything(), files, clients.exists() and clients.read_bytes(),
            relay.get_json()["headerName"], services.password.configured,
        )  # fmt: skip


def with_value(body: dict[str, Any], field: str, value: Any) -> bytes:
    if value is MISSING:
        return json.dumps({k: v for k, v in body.items() if k != field}).encode()
    if isinstance(value, Raw):
        return json.dumps({**body, field: "@@"}).replace('"@@"', value.text).encode()
    return json.dumps({**body, field: value}).encode()


def refused(asking: Asking, route: str, body: bytes, told: str, content: str = "") -> None:
    before = asking.state()
    status, said = asking.send(route, body, content or "application/json")
    assert (status, said and said["error"]["code"]) == (422, "validation_error"), (told, said)
    assert said["error"]["message"], told
    assert list(said) == ["error"] and list(said["error"]) == ["code", "message"], told
    assert asking.state() == before, f"{told}: half-written"


PRICES = "POST /api/pricing/update", "POST /api/pricing/pin", "POST /api/allowance/parse"


@pytest.mark.parametrize("route", list(BODIES))
def test_a_wrong_value_is_refused_and_changes_nothing(app: Flask, route: str) -> None:
    asking = Asking(app)
    body, fields = BODIES[route]
    assert set(body) == set(fields)
    for field, fits in fields.items():
        for name, value in WRONG.items():
            if name in fits:
                continue
            sent, told = with_value(body, field, value), f"{route} {field}: {name}"
            if route in PRICES:  # a text that says nothing has a code of its own
                before = asking.state()
                status, said = asking.send(route, sent)
                own = ("pricing_not_understood", "nothing_found", "validation_error")
                assert status == 422 and said["error"]["code"] in own, (told, said)
                assert asking.state() == before, told
            else:
                refused(asking, route, sent, told)


@pytest.mark.parametrize("route", [route for route in BODIES if route not in PRICES])
def test_what_fits_is_not_called_wrong(app: Flask, route: str) -> None:
    asking = Asking(app)
    body, fields = BODIES[route]
    for field, fits in fields.items():
        for name in fits:
            status, said = asking.send(route, with_value(body, field, WRONG[name]))
            assert status not in (422, 500), (route, field, name, said)


@pytest.mark.parametrize("route", list(BODIES))
def test_a_body_that_is_no_json_object_is_refused(app: Flask, route: str) -> None:
    asking = Asking(app)
    right = json.dumps(BODIES[route][0]).encode()
    for raw, content in (
        (b"{", ""), (b"[]", ""), (b"null", ""), (b'"x"', ""), (b"\xff\xfe", ""), (b"5", ""),
        (b"{}{}", ""), (right + b",", ""), (right, "text/plain"),
        (b"a=b", "application/x-www-form-urlencoded"), (right, "multipart/form-data; boundary=b"),
        (right, "application/xml"),
    ):  # fmt: skip
        refused(asking, route, raw, f"{route} {raw[:20]!r} {content}", content)


@pytest.mark.parametrize("option", settings.OPTIONS, ids=lambda option: option.key)
def test_a_wrong_setting_is_refused(app: Flask, option: settings.Option) -> None:
    asking = Asking(app)
    fits = {"missing"}
    if isinstance(option.default, bool):
        fits |= {"true"}
    elif isinstance(option.default, int):
        fits |= {"one"} if (option.low or 0) <= 1 else set()
    elif option.default is None:
        fits |= {"null"}
    elif option.default == "":
        fits |= {"empty"}
    if option.key == "totpRequiredOnLogin":
        fits |= {"true"}  # 400 invalid_totp_config: nothing is set up
    for name, value in WRONG.items():
        if name not in fits:
            body = with_value({option.key: option.default}, option.key, value)
            refused(asking, "PUT /api/settings", body, f"{option.key}: {name}")


@pytest.mark.parametrize("field", list(LIMIT))
def test_a_wrong_limit_of_a_key_is_refused(app: Flask, field: str) -> None:
    asking = Asking(app)
    fits = {"maxValue": ("one",), "modelFilter": (*OPTIONAL, *CLEAN)}.get(field, ())
    for name, value in WRONG.items():
        if name not in fits:
            limit = with_value(LIMIT, field, value)
            body = b'{"name":"n","limits":[' + limit + b"]}"
            for route in ("POST /api/api-keys/", "PATCH /api/api-keys/{key}"):
                refused(asking, route, body, f"{route} limits.{field}: {name}")


def test_a_key_cannot_be_made_to_end_in_the_past_but_edited_when_it_has(app: Flask) -> None:
    asking = Asking(app)
    past = b'{"name":"n","expiresAt":"2020-01-01T00:00:00Z"}'
    refused(asking, "POST /api/api-keys/", past, "made")
    refused(asking, "PATCH /api/api-keys/{key}", past, "edited")
    ended = asking.services.keys.edit(asking.key, {"expires_at": db.now_ms() - 60_000})
    shown = asking.client.get(f"/api/api-keys/{ended.id}", headers=OWNER).get_json()
    again = json.dumps({"name": "renamed", "expiresAt": shown["expiresAt"]}).encode()
    status, said = asking.send("PATCH /api/api-keys/{key}", again)
    assert (status, said["name"]) == (200, "renamed"), said
    asking.services.keys.edit(asking.key, {"expires_at": None})


def test_a_key_can_be_made_switched_off(app: Flask) -> None:
    status, said = Asking(app).send("POST /api/api-keys/", b'{"name":"off","isActive":false}')
    assert (status, said["isActive"]) == (200, False)


def test_every_route_that_reads_a_body_is_here(app: Flask) -> None:
    named = {route.replace("{account}", "<account>").replace("{key}", "<identity>")
             .replace("codex/", "<client>/").replace("commands/", "<section>/")
             .replace("files/pricing", "files/<name>") for route in [*BODIES, *LATE]}  # fmt: skip
    found = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) & {"POST", "PUT", "PATCH"}
        if rule.rule.startswith("/api/")
    }
    assert found - named - NO_BODY - {"PUT /api/settings"} == set()
