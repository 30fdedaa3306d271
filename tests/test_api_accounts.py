"""/api/accounts and /api/usage through the whole application."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.accounts.allowance import DAY, HOUR, Usage, Window
from server.app import Services, create_app
from server.config import Config
from server.dashboard import keys as dashboard_keys
from server.proxy.recorder import Record, Recorder
from server.store import db, vault
from server.times import iso
from tests.auth_server import Provider, access_token, auth_json, id_token, provider, usage


@pytest.fixture
def upstream() -> Iterator[Provider]:
    with provider() as fake:
        yield fake


@pytest.fixture
def app(config: Config, upstream: Provider) -> Iterator[Flask]:
    vault.forget()
    base = f"{upstream.url}/backend-api"
    yield create_app(replace(config, auth_base_url=upstream.url, upstream_base_url=base))
    db.close_databases()
    vault.forget()


@pytest.fixture
def built(app: Flask) -> Services:
    found: Services = app.extensions["brimline"]
    return found


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def upload(client: FlaskClient, *files: bytes) -> TestResponse:
    data = {"auth_json": [(io.BytesIO(raw), f"auth-{n}.json") for n, raw in enumerate(files)]}
    return client.post("/api/accounts/import", data=data)


def add(client: FlaskClient, name: str = "ada", **who: Any) -> str:
    values = {"email": f"{name}@example.com", "user": name, "account": f"ws-{name}", **who}
    answer = upload(client, auth_json(access_token(name), f"refresh-{name}", **values))
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["accountId"])


def account(client: FlaskClient, wanted: str) -> dict[str, Any]:
    found = client.get("/api/accounts").get_json()["accounts"]
    return next(each for each in found if each["accountId"] == wanted)


def test_an_error_names_its_sentence_beside_the_body(client: FlaskClient) -> None:
    answer = upload(client, b"nonsense")
    assert error(answer) == (400, "invalid_auth_json")
    assert json.loads(answer.headers["X-Brimline-Said"]) == {"key": "file.noJson", "values": {}}
    answer = client.get("/api/usage/window?window=bad")
    assert "X-Brimline-Said" not in answer.headers


def error(answer: TestResponse) -> tuple[int, str]:
    body = answer.get_json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["message"].endswith((".", "Z"))
    return answer.status_code, body["error"]["code"]


# ── import ────────────────────────────────────────────────────────────────────────────────


def test_import_answers_codex_lbs_shape_and_shows_the_allowance(client: FlaskClient) -> None:
    answer = upload(client, auth_json())
    assert answer.status_code == 200
    body = answer.get_json()
    assert set(body) == {"accountId", "email", "planType", "status"}
    assert (body["email"], body["planType"], body["status"]) == (
        "ada@example.com",
        "plus",
        "active",
    )
    shown = account(client, body["accountId"])
    assert shown["usage"]["primaryRemainingPercent"] == 75.0
    assert shown["capacityCreditsPrimary"] == 225
    assert shown["remainingCreditsPrimary"] == 168.75
    assert [w["name"] for w in shown["windows"]] == ["5 h", "week"]
    assert shown["auth"]["access"]["expiresAt"] == "2100-01-01T00:00:00.000Z"
    text = client.get("/api/accounts").text + client.get("/api/tray").text
    assert access_token() not in text
    assert "refresh-1" not in text


def test_several_files_at_once(client: FlaskClient) -> None:
    answer = upload(client, auth_json(), b"broken", auth_json(user="bob", email="b@example.com"))
    body = answer.get_json()
    assert [each["email"] for each in body["imported"]] == ["ada@example.com", "b@example.com"]
    assert [(each["file"], each["code"]) for each in body["failed"]] == [
        ("auth-1.json", "invalid_auth_json")
    ]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("application/json", id="as JSON"),
        pytest.param("application/x-www-form-urlencoded", id="as curl --data-binary sends it"),
        pytest.param("application/octet-stream", id="as bytes"),
        pytest.param("", id="without a type"),
    ],
)
def test_the_file_itself_may_be_the_body(client: FlaskClient, kind: str) -> None:
    answer = client.post("/api/accounts/import", data=auth_json(), content_type=kind)
    assert answer.status_code == 200, answer.text
    assert set(answer.get_json()) == {"accountId", "email", "planType", "status"}
    assert answer.get_json()["email"] == "ada@example.com"


def test_a_list_of_files_may_be_the_body(client: FlaskClient) -> None:
    bob = json.loads(auth_json(user="bob", email="b@example.com"))
    answer = client.post("/api/accounts/import", json=[json.loads(auth_json()), 5, bob])
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    assert [each["email"] for each in body["imported"]] == ["ada@example.com", "b@example.com"]
    assert [(each["file"], each["code"]) for each in body["failed"]] == [
        ("auth-2.json", "invalid_auth_json")
    ]


def test_a_form_may_call_its_field_otherwise(client: FlaskClient) -> None:
    data = {"file": [(io.BytesIO(auth_json()), "my.json")]}
    assert client.post("/api/accounts/import", data=data).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        pytest.param(b"", "multipart/form-data", 400, "invalid_auth_json", id="no boundary"),
        pytest.param(
            b"--x\r\ngarbage",
            "multipart/form-data; boundary=x",
            400,
            "invalid_auth_json",
            id="torn",
        ),
        pytest.param(
            b"\xff\x00" * 500,
            "multipart/form-data; boundary=x",
            400,
            "invalid_auth_json",
            id="noise",
        ),
        pytest.param(b"{}", "application/json", 400, "invalid_auth_json", id="JSON"),
        pytest.param(b"", "", 400, "invalid_auth_json", id="nothing"),
        pytest.param(b" \n", "application/json", 400, "invalid_auth_json", id="blank"),
        pytest.param(b"[]", "application/json", 400, "invalid_auth_json", id="a list of nothing"),
        pytest.param(b"[" * 10_000, "application/json", 400, "invalid_auth_json", id="deep"),
        pytest.param(b"[1" + b"0" * 5_000, "text/json", 400, "invalid_auth_json", id="digits"),
        pytest.param(b"[{}" + b",{}" * 100 + b"]", "", 400, "invalid_auth_json", id="101 files"),
        pytest.param(
            b"a=b&c=d", "application/x-www-form-urlencoded", 400, "invalid_auth_json", id="a form"
        ),
        pytest.param(b"\xef\xbb\xbf{", "application/json", 400, "invalid_auth_json", id="a BOM"),
        pytest.param(
            b"x" * (1 << 20) + b"y",
            "multipart/form-data; boundary=x",
            413,
            "payload_too_large",
            id="more than 1 MiB",
        ),
    ],
)
def test_a_body_that_is_no_upload(
    client: FlaskClient, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = client.post("/api/accounts/import", data=content, content_type=kind)
    assert error(answer) == (status, code)
    if status == 413:
        assert "codex login" in answer.get_json()["error"]["message"]


def test_a_list_of_nothing_is_told_the_same_either_way(client: FlaskClient) -> None:
    sent = client.post("/api/accounts/import", data=b"[]", content_type="application/json")
    file = (io.BytesIO(b"[]"), "auth.json")
    form = client.post("/api/accounts/import", data={"auth_json": file})
    assert sent.get_json() == form.get_json()
    assert "Send the auth.json" not in sent.get_json()["error"]["message"]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[" * 10_000, id="10,000 deep"),
        pytest.param(b'{"OPENAI_API_KEY":"sk-hidden"}', id="an API key"),
        pytest.param(b"x" * 500_000, id="half a megabyte"),
        pytest.param(b'{"tokens":{"access_token":NaN}}', id="NaN"),
    ],
)
def test_a_file_that_is_no_auth_json(client: FlaskClient, raw: bytes) -> None:
    answer = upload(client, raw)
    assert error(answer) == (400, "invalid_auth_json")
    assert "hidden" not in answer.text
    assert client.get("/api/accounts").get_json() == {"accounts": []}


def test_a_duplicate_that_is_unclear_is_a_conflict(client: FlaskClient) -> None:
    client.put("/api/settings", json={"importWithoutOverwrite": True})
    add(client)
    add(client)
    client.put("/api/settings", json={"importWithoutOverwrite": False})
    values = {"email": "ada@example.com", "user": "ada", "account": "ws-ada"}
    assert error(upload(client, auth_json(**values))) == (409, "duplicate_identity_conflict")


# ── removing ──────────────────────────────────────────────────────────────────────────────


def test_a_removed_account_keeps_its_name_as_long_as_its_requests(client: FlaskClient) -> None:
    gone, erased = add(client), add(client, "bob", email="bob@example.com", user="bob")
    for each in (gone, erased):
        with db.writing() as connection:
            connection.execute(
                "insert into request_log (id, account, endpoint, status, attempts, started_at) "
                "values (?, ?, '/v1/responses', 'success', '[]', 1)",
                (f"r-{each}", each),
            )
    client.put(f"/api/accounts/{gone}/alias", json={"alias": "old work"})
    client.delete(f"/api/accounts/{gone}")
    client.delete(f"/api/accounts/{erased}?history=erase")
    rows = client.get("/api/request-logs?search=old+work").get_json()["requests"]
    assert [(row["accountId"], row["accountName"]) for row in rows] == [(gone, "old work")]
    assert client.get("/api/accounts/removed").get_json() == {
        "accounts": [{"accountId": gone, "displayName": "old work"}]
    }
    client.put("/api/settings", json={"privacyMode": "strict"})
    (row,) = client.get("/api/request-logs").get_json()["requests"]
    assert row["accountName"] == f"account {gone[:6]}"
    assert add(client) == gone  # it comes back, and is called what it is called now
    assert client.get("/api/accounts/removed").get_json() == {"accounts": []}


def test_strict_pages_of_the_ledger_know_no_accounts_name(client: FlaskClient) -> None:
    gone, here = add(client), add(client, "bob", email="bob@example.com", user="bob")
    client.put(f"/api/accounts/{gone}/alias", json={"alias": "old work"})
    with db.writing() as connection:
        connection.execute(
            "insert into request_log (id, account, endpoint, status, attempts, started_at) "
            "values ('r', ?, '/v1/responses', 'success', '[]', 1)",
            (gone,),
        )
    client.delete(f"/api/accounts/{gone}")

    def called(**query: str) -> dict[str, str]:
        found = client.get("/api/accounts/names", query_string=query).get_json()["accounts"]
        return {one["accountId"]: one["displayName"] for one in found}

    assert called() == {gone: "old work", here: "bob@example.com"}
    hidden = {gone: f"account {gone[:6]}", here: f"account {here[:6]}"}
    assert called(privacy="strict") == hidden
    client.put("/api/settings", json={"privacyMode": "strict"})
    assert called() == hidden


def test_the_folder_of_logs_is_a_path_like_others(built: Services, client: FlaskClient) -> None:
    home = client.get("/api/live").get_json()["codexHome"]
    assert home == str(built.config.codex_home)
    for mode in ("redacted", "strict"):
        client.put("/api/settings", json={"privacyMode": mode})
        assert client.get("/api/live").get_json()["codexHome"].startswith("[redacted path:")


def test_what_ends_after_its_account_was_erased_leaves_nothing(
    built: Services, client: FlaskClient
) -> None:
    kept, erased = add(client), add(client, "bob", email="bob@example.com", user="bob")
    client.delete(f"/api/accounts/{kept}")
    client.delete(f"/api/accounts/{erased}?history=erase")
    writer = Recorder(built.ledger, built.keys)
    writer.start()
    records = [
        Record(id=f"r-{each}", endpoint="/v1/responses", started_at=1, account=each)
        for each in (erased, kept, None)
    ]
    for record in records:
        writer.put(record, wait=0)
    assert all(record.written.wait(30) for record in records)
    writer.stop()
    found = client.get("/api/request-logs").get_json()
    assert {row["accountId"] for row in found["requests"]} == {kept, None}
    assert client.get("/api/request-logs/options").get_json()["accountIds"] == [kept]


# ── verbs ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", ["reactivate", "resume"])
def test_pause_and_resume(client: FlaskClient, verb: str) -> None:
    wanted = add(client)
    before = client.get("/api/live").get_json()["revisions"]["accounts"]
    answer = client.post(f"/api/accounts/{wanted}/pause").get_json()
    assert answer["status"] == "paused"
    assert (answer["account"]["status"], answer["account"]["pausedUntil"]) == ("paused", None)
    assert client.get("/api/tray").get_json()["pool"]["state"] == "paused"
    assert client.get("/api/live").get_json()["revisions"]["accounts"] > before
    answer = client.post(f"/api/accounts/{wanted}/{verb}").get_json()
    assert (answer["status"], answer["account"]["status"]) == ("reactivated", "active")


@pytest.mark.parametrize("all_", [True, False], ids=["all", "one"])
def test_a_pause_lifts_no_block(client: FlaskClient, built: Services, all_: bool) -> None:
    wanted = add(client)
    path = "/api/accounts/{}-all" if all_ else f"/api/accounts/{wanted}/{{}}"
    built.pool.block(wanted, "quota_exceeded", db.now_ms() + HOUR, "quota")
    before = account(client, wanted)
    assert client.post(path.format("pause")).status_code == 200
    paused = account(client, wanted)
    assert [paused[key] for key in ("status", "blockedUntil", "statusReason")] == [
        "paused", None, None,
    ]  # fmt: skip
    assert "covered" not in paused
    assert client.post(path.format("resume")).status_code == 200
    after = account(client, wanted)
    for key in ("status", "blockedUntil", "pausedUntil", "statusReason", "statusReasonSaid"):
        assert after.get(key) == before.get(key), key
    assert after["status"] == "quota_exceeded"


def test_pausing_until_the_reset_or_a_time(client: FlaskClient) -> None:
    wanted = add(client)
    reset = account(client, wanted)["resetAtPrimary"]
    answer = client.post(f"/api/accounts/{wanted}/pause", json={"until": "reset"}).get_json()
    assert answer["account"]["pausedUntil"] == reset
    time = iso(db.now_ms() + HOUR)
    answer = client.post(f"/api/accounts/{wanted}/pause", json={"until": time}).get_json()
    assert answer["account"]["pausedUntil"] == time
    assert client.post(f"/api/accounts/{wanted}/pause", json={"until": None}).status_code == 200
    assert account(client, wanted)["pausedUntil"] is None


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        pytest.param(b'{"until":"soon"}', "application/json", 422, id="a word"),
        pytest.param(b'{"until":"2020-01-01T00:00:00Z"}', "application/json", 422, id="past"),
        pytest.param(b'{"until":"9999-01-01T00:00:00Z"}', "application/json", 422, id="too far"),
        pytest.param(b'{"until":5}', "application/json", 422, id="a number"),
        pytest.param(b'{"until":["x"]}', "application/json", 422, id="a list"),
        pytest.param(b'{"until":NaN}', "application/json", 422, id="NaN"),
        pytest.param(b'{"until":' * 5000, "application/json", 422, id="deep"),
        pytest.param(b"[]", "application/json", 422, id="not an object"),
        pytest.param(b"\xff", "application/json", 422, id="no text"),
        pytest.param(b'{"until":null}', "text/plain", 422, id="not JSON"),
    ],
)
def test_a_pause_that_is_not_understood(
    client: FlaskClient, content: bytes, kind: str, status: int
) -> None:
    wanted = add(client)
    answer = client.post(f"/api/accounts/{wanted}/pause", data=content, content_type=kind)
    assert error(answer)[0] == status
    assert account(client, wanted)["status"] == "active"


def test_until_a_reset_nobody_knows(client: FlaskClient, upstream: Provider) -> None:
    upstream.usage = lambda _: (200, {})
    wanted = add(client)
    answer = client.post(f"/api/accounts/{wanted}/pause", json={"until": "reset"})
    assert error(answer) == (422, "validation_error")


def test_all_at_once(client: FlaskClient) -> None:
    add(client, "ada")
    add(client, "bob")
    for verb, status in (("pause-all", "paused"), ("resume-all", "active")):
        answer = client.post(f"/api/accounts/{verb}").get_json()
        assert [each["status"] for each in answer["accounts"]] == [status] * 2


def test_probe_asks_now(client: FlaskClient, upstream: Provider) -> None:
    wanted = add(client)
    upstream.usage = lambda _: (200, usage(88))
    answer = client.post(f"/api/accounts/{wanted}/probe").get_json()
    assert answer["usage"]["primaryRemainingPercent"] == 12.0
    assert answer["windows"][0]["level"] == "low"
    upstream.usage = lambda _: (200, b"<html>")
    assert error(client.post(f"/api/accounts/{wanted}/probe")) == (503, "usage_unavailable")
    upstream.usage = lambda _: (401, {})
    upstream.token = lambda _: (401, {"error": {"code": "refresh_token_expired"}})
    assert error(client.post(f"/api/accounts/{wanted}/probe")) == (409, "sign_in_needed")
    assert account(client, wanted)["deactivationReason"] == "Its sign-in has expired."
    assert error(client.post(f"/api/accounts/{wanted}/pause")) == (409, "sign_in_needed")


def test_alias(client: FlaskClient) -> None:
    wanted = add(client)
    answer = client.put(f"/api/accounts/{wanted}/alias", json={"alias": "  Work "})
    assert answer.get_json() == {"accountId": wanted, "alias": "Work"}
    assert account(client, wanted)["displayName"] == "Work"
    answer = client.put(f"/api/accounts/{wanted}/alias", json={"alias": None})
    assert answer.get_json()["alias"] is None
    assert account(client, wanted)["displayName"] == "ada@example.com"


@pytest.mark.parametrize(
    "given", [{}, {"alias": 5}, {"alias": "x" * 256}, {"alias": "a\nb"}, {"alias": "\ud800"}]
)
def test_an_alias_that_does_not_fit(client: FlaskClient, given: dict[str, Any]) -> None:
    wanted = add(client)
    assert error(client.put(f"/api/accounts/{wanted}/alias", json=given))[0] == 422


def test_priority_and_policy(client: FlaskClient) -> None:
    wanted = add(client)
    answer = client.patch(
        f"/api/accounts/{wanted}", json={"priority": 5, "routingPolicy": "burn_first"}
    ).get_json()
    assert (answer["priority"], answer["routingPolicy"]) == (5, "burn_first")
    answer = client.patch(f"/api/accounts/{wanted}", json={"somethingElse": 1}).get_json()
    assert (answer["priority"], answer["routingPolicy"]) == (5, "burn_first")


@pytest.mark.parametrize(
    "given",
    [
        {"priority": "high"},
        {"priority": True},
        {"priority": 1.5},
        {"priority": 10**30},
        {"routingPolicy": "always"},
        {"routingPolicy": ["normal"]},
        {"routingPolicy": {}},
        {"priority": 1, "routingPolicy": "x"},
    ],
)
def test_a_change_that_does_not_fit_changes_nothing(
    client: FlaskClient, given: dict[str, Any]
) -> None:
    wanted = add(client)
    assert error(client.patch(f"/api/accounts/{wanted}", json=given))[0] == 422
    shown = account(client, wanted)
    assert (shown["priority"], shown["routingPolicy"]) == (0, "normal")


def test_routing_policy_has_codex_lbs_route_too(client: FlaskClient) -> None:
    where = f"/api/accounts/{add(client)}/routing-policy"
    answer = client.put(where, json={"routingPolicy": "preserve"}).get_json()
    assert answer["routingPolicy"] == "preserve"
    for given in ({}, {"routingPolicy": None}, {"routingPolicy": "fast"}, {"routingPolicy": 1}):
        assert error(client.put(where, json=given)) == (422, "validation_error")


def test_an_exported_account_can_be_imported(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wanted = add(client)
    answer = client.post(f"/api/accounts/{wanted}/export/auth")
    assert answer.headers["Cache-Control"] == "no-store"
    shown = answer.get_json()
    assert shown["filename"] == "auth-ada@example.com.json"
    assert shown["tokens"]["refreshToken"] == "refresh-ada"
    assert access_token("ada") not in caplog.text
    assert f"account {wanted} were exported" in caplog.text
    client.delete(f"/api/accounts/{wanted}")
    for part in ("codexAuthJson", "opencodeAuthJson"):
        again = upload(client, json.dumps(shown[part]).encode()).get_json()
        assert again["status"] == "active"
    assert upload(client, answer.data).get_json()["accountId"] == wanted


def test_a_dead_sign_in_is_not_exported(client: FlaskClient, upstream: Provider) -> None:
    wanted = add(client)
    upstream.usage = lambda _: (401, {})
    upstream.token = lambda _: (401, {"error": {"code": "refresh_token_expired"}})
    client.post(f"/api/accounts/{wanted}/probe")
    assert error(client.post(f"/api/accounts/{wanted}/export/auth")) == (409, "sign_in_needed")


CREDIT = {
    "id": "rc_1",
    "reset_type": "full",
    "status": "available",
    "granted_at": "2026-11-01T00:00:00Z",
    "expires_at": 1_798_761_600,
    "title": "A reset",
}


def test_reset_credits_are_shown_and_redeemed(client: FlaskClient, upstream: Provider) -> None:
    wanted = add(client)
    where = f"/api/accounts/{wanted}/rate-limit-reset-credits"
    upstream.other = lambda path, body: (200, {"credits": [CREDIT, 5, {}], "available_count": 1})
    shown = client.get(where).get_json()
    assert (shown["accountId"], shown["availableCount"]) == (wanted, 1)
    assert [(c["id"], c["title"], c["expiresAt"]) for c in shown["credits"]] == [
        ("rc_1", "A reset", "2027-01-01T00:00:00.000Z")
    ]
    assert account(client, wanted)["availableResetCredits"] == 1
    upstream.other = lambda path, body: (200, {"code": "reset"})
    upstream.usage = lambda _: (
        200,
        usage(0, 0, rate_limit_reset_credits={"available_count": 0}),
    )
    given = {"creditId": "rc_1", "redeemRequestId": "wish-1"}
    answer = client.post(f"{where}/consume", json=given).get_json()
    assert answer["code"] == "reset"
    assert answer["account"]["availableResetCredits"] == 0
    assert answer["account"]["usage"]["primaryRemainingPercent"] == 100.0
    asked = upstream.asked("/consume")
    assert asked == [{"redeem_request_id": "wish-1", "credit_id": "rc_1"}]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param((200, {"code": "no_credit"}), (409, "no_credit"), id="none left"),
        pytest.param(
            (409, {"error": {"code": "nothing_to_reset"}}), (409, "nothing_to_reset"), id="full"
        ),
        pytest.param((200, {"code": "what"}), (503, "reset_credits_unavailable"), id="unclear"),
        pytest.param((200, b"<html>"), (503, "reset_credits_unavailable"), id="a page"),
        pytest.param((500, {}), (503, "reset_credits_unavailable"), id="a failure"),
        pytest.param((0, None), (503, "reset_credits_unavailable"), id="no answer"),
        pytest.param((200, {"code": "already_redeemed"}), (200, ""), id="asked twice"),
    ],
)
def test_a_reset_that_is_not_redeemed(
    client: FlaskClient, upstream: Provider, answer: Any, expected: tuple[int, str]
) -> None:
    where = f"/api/accounts/{add(client)}/rate-limit-reset-credits/consume"
    upstream.other = lambda path, body: answer
    reply = client.post(where)
    assert reply.status_code == expected[0]
    if expected[1]:
        assert error(reply) == expected


@pytest.mark.parametrize("given", [{"creditId": 5}, {"redeemRequestId": ""}, {"creditId": "a b"}])
def test_a_wish_that_is_not_understood(client: FlaskClient, given: dict[str, Any]) -> None:
    where = f"/api/accounts/{add(client)}/rate-limit-reset-credits/consume"
    assert error(client.post(where, json=given)) == (422, "validation_error")


def test_a_key_that_is_edited_while_its_account_is_removed(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = add(client, "ada"), add(client, "bob")
    made = client.post("/api/api-keys/", json={"name": "k"}).get_json()
    real = dashboard_keys._changes

    def late(*given: Any) -> dict[str, Any]:
        """The accounts were looked at; before they are stored, one is removed."""
        found = real(*given)
        assert client.delete(f"/api/accounts/{ada}").status_code == 200
        return found

    monkeypatch.setattr(dashboard_keys, "_changes", late)
    one = f"/api/api-keys/{made['id']}"
    edited = client.patch(one, json={"assignedAccountIds": [ada, bob]})
    assert edited.get_json()["assignedAccountIds"] == [bob]
    assert client.get(one).get_json()["assignedAccountIds"] == [bob]


# ── the dry run ───────────────────────────────────────────────────────────────────────────


def test_the_dry_run_says_who_and_why(client: FlaskClient, built: Services) -> None:
    ada, bob, eve = (add(client, name) for name in ("ada", "bob", "eve"))
    client.post(f"/api/accounts/{eve}/pause")
    client.patch(f"/api/accounts/{bob}", json={"priority": 5})
    found = client.get("/api/routing/explain?model=gpt-5.5").get_json()
    assert found["choice"]["accountId"] == found["candidates"][0]["accountId"] == bob
    assert found["choice"]["reason"] == "it has the higher priority"
    states = {each["accountId"]: (each["state"], each["reason"]) for each in found["candidates"]}
    assert states[ada] == ("waiting", "another has a higher priority")
    assert states[eve] == ("paused", "it is paused")
    assert [each["sharePercent"] for each in found["candidates"]] == [100.0, 0.0, 0.0]
    assert {c.streams for c in built.pool.candidates()} == {0}, "nothing was taken"
    built.pool.pin("session", "s-1", ada, db.now_ms())
    found = client.get("/api/routing/explain?session=s-1").get_json()
    assert (found["choice"]["accountId"], found["choice"]["reason"]) == (ada, "same thread")
    built.pool.pin("file", "file-1", bob, db.now_ms())
    found = client.get("/api/routing/explain?session=s-1&fileId=file-1").get_json()
    assert (found["ownerAccountId"], found["choice"]["accountId"]) == (bob, bob)


def test_the_dry_run_of_an_empty_pool_and_of_bad_questions(client: FlaskClient) -> None:
    found = client.get("/api/routing/explain").get_json()
    assert (found["choice"]["state"], found["candidates"]) == ("empty", [])
    assert found["choice"]["reasonSaid"] == {"key": "nobody.empty", "values": {}}
    assert error(client.get("/api/routing/explain?keyId=nobody")) == (404, "not_found")
    for query in ("model=" + "x" * 300, "session=%00", "previousResponseId=%0a"):
        assert error(client.get(f"/api/routing/explain?{query}")) == (422, "validation_error")


def test_delete(client: FlaskClient, built: Services) -> None:
    wanted = add(client)
    built.pool.flush()
    assert error(client.delete(f"/api/accounts/{wanted}?history=burn"))[0] == 422
    assert client.delete(f"/api/accounts/{wanted}").get_json() == {"status": "deleted"}
    assert client.get("/api/accounts").get_json() == {"accounts": []}
    assert db.rows("select count(*) from snapshot")[0][0] == 2
    add(client)
    assert client.delete(f"/api/accounts/{wanted}?history=erase").status_code == 200
    assert db.rows("select count(*) from snapshot")[0][0] == 0


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("POST", "pause", None),
        ("POST", "pause", {"until": "soon"}),
        ("POST", "reactivate", None),
        ("POST", "resume", None),
        ("POST", "probe", None),
        ("PUT", "alias", {"alias": "x"}),
        ("PUT", "routing-policy", {"routingPolicy": "normal"}),
        ("PATCH", "", {"priority": 1}),
        ("POST", "export/auth", None),
        ("GET", "rate-limit-reset-credits", None),
        ("POST", "rate-limit-reset-credits/consume", None),
        ("DELETE", "", None),
        ("GET", "trends", None),
    ],
)
@pytest.mark.parametrize("wanted", ["nobody", "%00", "a%20b", "a" * 500, "%ff", "💥"])
def test_an_account_nobody_knows(
    client: FlaskClient, method: str, path: str, given: Any, wanted: str
) -> None:
    where = f"/api/accounts/{wanted}/{path}".rstrip("/")
    answer = (
        client.open(where, method=method, json=given)
        if given
        else client.open(where, method=method)
    )
    assert error(answer) in [(404, "account_not_found"), (404, "not_found"), (405, "http_405")]


# ── codex-lb's shapes ─────────────────────────────────────────────────────────────────────


def test_usage_of_an_empty_pool(client: FlaskClient) -> None:
    summary = client.get("/api/usage/summary").get_json()
    assert summary["primaryWindow"] is None
    assert summary["cost"] == {"currency": "USD", "totalUsd7d": 0.0}
    assert client.get("/api/usage/history").get_json() == {"windowHours": 24, "accounts": []}
    assert client.get("/api/usage/window?window=primary").get_json() == {
        "windowKey": "primary",
        "windowMinutes": 300,
        "accounts": [],
    }
    assert client.get("/api/dashboard/overview").status_code == 200


def test_usage_summary(client: FlaskClient) -> None:
    add(client, "ada")
    add(client, "bob")
    summary = client.get("/api/usage/summary").get_json()
    assert summary["primaryWindow"]["remainingPercent"] == 75.0
    assert summary["primaryWindow"]["capacityCredits"] == 450
    assert summary["primaryWindow"]["remainingCredits"] == 337.5
    assert summary["primaryWindow"]["windowMinutes"] == 300
    assert summary["secondaryWindow"]["remainingPercent"] == 60.0
    assert summary["monthlyWindow"] is None
    assert summary["metrics"]["requests7d"] == 0


def test_usage_window_says_nothing_where_nothing_is_known(
    client: FlaskClient, upstream: Provider
) -> None:
    upstream.usage = lambda _: (200, usage(None, 30))
    wanted = add(client)
    items = client.get("/api/usage/window?window=primary").get_json()["accounts"]
    assert items == [
        {
            "accountId": wanted,
            "remainingPercentAvg": None,
            "capacityCredits": 225,
            "remainingCredits": None,
        }
    ]


@pytest.mark.parametrize(
    "query",
    ["window?window=weekly", "window", "window?window=", "history?hours=0", "history?hours=169",
     "history?hours=x", "history?hours=-1", "history?hours=1e3", "history?hours=٩٩٩٩٩٩"],
)  # fmt: skip
def test_a_usage_query_that_does_not_fit(client: FlaskClient, query: str) -> None:
    assert error(client.get(f"/api/usage/{query}")) == (422, "validation_error")


def test_a_trend_begins_with_the_first_observation(client: FlaskClient, built: Services) -> None:
    wanted = add(client)
    now = db.now_ms()
    built.pool.observe(wanted, Usage((Window("primary", 25.0, 300, now + HOUR, now),)), "api")
    body = client.get(f"/api/accounts/{wanted}/trends").get_json()
    assert {point["v"] for point in body["primary"]} == {75.0}, "before it is stored"
    built.pool.flush()
    body = client.get(f"/api/accounts/{wanted}/trends").get_json()
    assert {point["v"] for point in body["primary"]} == {75.0}


def test_trends_are_real_and_hold_the_last_value(client: FlaskClient, built: Services) -> None:
    wanted = add(client)
    built.pool.flush()
    now = db.now_ms()
    with db.writing() as connection:
        connection.execute("delete from snapshot")
        for days, used in ((30, 10.0), (20, 50.0), (1, 90.0)):
            connection.execute(
                "insert into snapshot (account, source, window, used_percent, window_minutes, "
                "resets_at, observed_at) values (?, 'api', 'secondary', ?, 10080, ?, ?)",
                (wanted, used, now - days * DAY + 7 * DAY, now - days * DAY),
            )
    built.pool.load()  # it knows what is stored, and nothing newer
    body = client.get(f"/api/accounts/{wanted}/trends").get_json()
    values = [point["v"] for point in body["secondary"]]
    assert body["accountId"] == wanted
    assert body["primary"] == []
    assert len(values) in (672, 673)
    assert (values[0], values[-1]) == (90.0, 10.0)
    assert 50.0 in values
    assert 100.0 in values  # reset, and not used since
    assert body["secondary"][1]["t"] > body["secondary"][0]["t"]
    short = client.get(f"/api/accounts/{wanted}/trends?days=7").get_json()
    assert len(short["secondary"]) in (168, 169)
    assert error(client.get(f"/api/accounts/{wanted}/trends?days=0"))[0] == 422


def test_trends_show_the_windows_of_named_limits_too(client: FlaskClient, built: Services) -> None:
    wanted = add(client)
    now = db.now_ms()
    spark = Window("codex_spark:primary", 20.0, 300, now + HOUR, now)
    three = Window("4320m", 60.0, 4320, now + DAY, now)
    built.pool.observe(wanted, Usage((spark, three)), "headers")
    body = client.get(f"/api/accounts/{wanted}/trends").get_json()
    found = [(one["key"], one["name"], one["points"][-1]["v"]) for one in body["others"]]
    assert found == [("4320m", "3 d", 40.0), ("codex_spark:primary", "Spark · 5 h", 80.0)]


def test_history_averages_the_time_not_the_rows(client: FlaskClient, built: Services) -> None:
    wanted = add(client)
    built.pool.flush()
    now = db.now_ms()
    with db.writing() as connection:
        connection.execute("delete from snapshot")
        for hours, used in ((30, 20.0), (1, 80.0), (0.9, 80.0), (0.8, 80.0)):
            connection.execute(
                "insert into snapshot (account, source, window, used_percent, window_minutes, "
                "resets_at, observed_at) values (?, 'api', 'primary', ?, 300, null, ?)",
                (wanted, used, now - int(hours * HOUR)),
            )
    (item,) = client.get("/api/usage/history?hours=10").get_json()["accounts"]
    assert item["remainingPercentAvg"] == pytest.approx(74, abs=1)


def test_every_answer_is_json(client: FlaskClient) -> None:
    add(client)
    for path in ("accounts", "usage/summary", "usage/history", "usage/window?window=monthly"):
        json.loads(client.get(f"/api/{path}").data)


# ── sign-in ───────────────────────────────────────────────────────────────────────────────


def test_signing_in_by_browser_through_the_api(
    client: FlaskClient, upstream: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.accounts.signin.PORTS", (0,))
    tokens = {"access_token": access_token(), "refresh_token": "r", "id_token": id_token()}
    upstream.token = lambda _: (200, tokens)
    assert client.get("/api/oauth/status").get_json()["status"] == "pending"
    shown = client.post("/api/oauth/start", json={"forceMethod": "browser"}).get_json()
    state = parse_qs(urlsplit(shown["authorizationUrl"]).query)["state"][0]
    answer = client.post(
        "/api/oauth/manual-callback",
        json={"callbackUrl": f"{shown['callbackUrl']}?code=c&state={state}"},
    ).get_json()
    assert (answer["status"], answer["errorMessage"]) == ("success", None)
    assert client.get("/api/oauth/status").get_json()["accountId"] == answer["accountId"]
    assert account(client, answer["accountId"])["email"] == "ada@example.com"
    assert client.post("/api/oauth/complete").get_json()["status"] == "success"


@pytest.mark.parametrize(
    ("path", "given", "status"),
    [
        ("start", {"forceMethod": "fax"}, 422),
        ("start", {"forceMethod": ["browser"]}, 422),
        ("start", {"forceMethod": "device"}, 502),
        ("complete", {"deviceAuthId": 5}, 422),
        ("complete", {"deviceAuthId": "unknown"}, 409),
        ("manual-callback", {}, 422),
        ("manual-callback", {"callbackUrl": 5}, 422),
        ("manual-callback", {"callbackUrl": "x"}, 409),
    ],
)
def test_a_sign_in_that_is_not_understood(
    client: FlaskClient, path: str, given: dict[str, Any], status: int
) -> None:
    assert error(client.post(f"/api/oauth/{path}", json=given))[0] == status
