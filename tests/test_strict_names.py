"""The strict privacy mode names no account, on any page; a name that one knows still finds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from server.store import db, settings
from tests.serving import whole_app
from tests.upstream import auth_json

NAME, MAIL, SPACE = "old work", "anna@example.com", "Anna's"
PAGES = (
    "/api/accounts", "/api/dashboard/overview", "/api/request-logs", "/api/routing/explain",
    "/api/accounts/names", "/api/accounts/removed",
)  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    with whole_app(tmp_path) as app:
        found = app.test_client()
        found.environ_base["HTTP_X_BRIMLINE"] = "1"
        yield found


def test_no_page_names_an_account_in_the_strict_mode(client: FlaskClient) -> None:
    added = client.post("/api/accounts/import", data=auth_json("anna"))
    account = added.get_json()["accountId"]
    client.put(f"/api/accounts/{account}/alias", json={"alias": NAME})
    tried = json.dumps([{"account": account, "outcome": "ok"}])
    with db.writing() as connection:
        connection.execute(
            "insert into request_log (id, account, endpoint, status, attempts, started_at) "
            "values ('r', ?, '/v1/responses', 'success', ?, 1)",
            (account, tried),
        )
    assert NAME in client.get(f"/api/request-logs?search={NAME}").get_data(as_text=True)
    settings.change({"privacyMode": "strict"})
    for page in PAGES:
        answer = client.get(page)
        text = answer.get_data(as_text=True)
        assert (answer.status_code, NAME in text, MAIL in text) == (200, False, False), page
    assert client.get(f"/api/request-logs?search={NAME}").get_json()["total"] == 0
    (row,) = client.get("/api/request-logs").get_json()["requests"]
    assert row["accountName"] == row["attempts"][0]["accountName"] == f"account {account[:6]}"
    for named in (NAME, "ANNA@", account):
        answer = client.get("/api/accounts", query_string={"named": named}).get_json()
        assert [one["accountId"] for one in answer["accounts"]] == [account]
    answer = client.post(f"/api/accounts/{account}/pause", json={})
    assert NAME not in answer.get_data(as_text=True)


def test_a_name_that_no_account_has_is_a_clear_error(client: FlaskClient) -> None:
    assert client.get("/api/accounts?named=nobody").status_code == 404
