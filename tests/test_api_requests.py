"""/api/request-logs: shapes, filters, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.dashboard import requests
from server.errors import AppError
from server.store import db

START = 1_800_000_000_000


class Names:
    def name(self, account: str) -> str:
        return {"a": "Anna"}.get(account, account)


class Live:
    def live(self) -> list[dict[str, Any]]:
        return [{"requestId": "r", "startedAt": START, "model": "m"}]


class Services:
    pool, proxy = Names(), Live()


def put(name: str, at: int, **fields: Any) -> None:
    row = {
        "id": name,
        "started_at": START + at * 1000,
        "endpoint": "/v1/responses",
        "status": "success",
        "attempts": json.dumps([{"account": "a", "outcome": "ok", "status": 200}]),
        **fields,
    }
    with db.writing("requests") as connection:
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        connection.execute(
            f"insert into request_log ({columns}) values ({marks})", tuple(row.values())
        )


@pytest.fixture
def client(database: None) -> Iterator[FlaskClient]:
    app = Flask("test")
    app.register_blueprint(requests.blueprint(Services()))  # type: ignore[arg-type]

    @app.errorhandler(AppError)
    def known(error: AppError) -> Any:
        return {"error": {"code": error.code, "message": error.message}}, error.status

    used = {"input": 10, "cached": 4, "output": 5, "reasoning": 1, "cost": 1500}
    put("r1", 1, account="a", key="k1", model="gpt-5.5", effort="high", **used)
    put("r2", 2, account="b", model="gpt-5.5", status="error", error_code="usage_limit_reached")
    put("r3", 3, account="b", model="gpt-6_x", status="error", error_code="insufficient_quota")
    put("r4", 4, status="error", error_code="server_error", error_message="100% broken")
    put("r5", 5, account="a", model="gpt-6-x", status="cancelled")
    with app.test_client() as found:
        yield found


def ids(client: FlaskClient, query: str) -> list[str]:
    body = client.get(f"/api/request-logs?{query}").json
    assert body is not None
    return [row["requestId"] for row in body["requests"]]


def test_a_row_has_every_field(client: FlaskClient) -> None:
    body = client.get("/api/request-logs?accountId=a&status=ok").json
    assert body is not None
    assert (body["total"], body["hasMore"]) == (1, False)
    row = body["requests"][0]
    assert row["requestedAt"] == "2027-01-15T08:00:01.000Z"
    expected = {
        "requestId": "r1",
        "accountId": "a",
        "accountName": "Anna",
        "status": "ok",
        "tokens": 15,
        "cachedInputTokens": 4,
        "reasoningEffort": "high",
        "costUsd": 0.0015,
        "latencyMs": None,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["attempts"][0]["accountName"] == "Anna"


def test_unknown_is_null_not_zero(client: FlaskClient) -> None:
    body = client.get("/api/request-logs?search=r4").json
    assert body is not None
    row = body["requests"][0]
    assert [row[k] for k in ("tokens", "costUsd", "accountId", "accountName")] == [None] * 4


def test_a_cost_is_split_only_while_it_adds_up(client: FlaskClient) -> None:
    tokens = {"input": 200_000, "cached": 100_000, "output": 10_000}
    put("good", 8, model="gpt-5.5", cost=850_000, **tokens)
    put("old", 9, model="gpt-5.5", cost=123, **tokens)
    body = client.get("/api/request-logs?limit=2").json
    assert body is not None
    old, good = (row["costParts"] for row in body["requests"])
    assert good == {"uncachedInput": 0.5, "cachedInput": 0.05, "output": 0.3}
    assert old is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", "r5 r4 r3 r2 r1", id="newest first"),
        pytest.param("limit=2", "r5 r4", id="a page"),
        pytest.param("limit=2&offset=4", "r1", id="the last page"),
        pytest.param("offset=99", "", id="beyond the end"),
        pytest.param("accountId=a&accountId=b", "r5 r3 r2 r1", id="several accounts"),
        pytest.param("apiKeyId=k1", "r1", id="an API key"),
        pytest.param("status=ok", "r1", id="ok"),
        pytest.param("status=rate_limit&status=quota", "r3 r2", id="limits"),
        pytest.param("status=error", "r4", id="errors"),
        pytest.param("status=cancelled", "r5", id="cancelled"),
        pytest.param("status=all&status=ok", "r5 r4 r3 r2 r1", id="all"),
        pytest.param("model=gpt-5.5", "r2 r1", id="a model"),
        pytest.param("reasoningEffort=high", "r1", id="an effort"),
        pytest.param("modelOption=gpt-5.5:::high", "r1", id="a model at an effort"),
        pytest.param("modelOption=gpt-5.5:::", "r2", id="a model without effort"),
        pytest.param("modelOption=gpt-5.5:::&model=zzz", "r2", id="the option rules"),
        pytest.param("since=2027-01-15T08:00:04Z", "r5 r4", id="since"),
        pytest.param("until=2027-01-15T10:00:02%2B02:00", "r2 r1", id="until, in a zone"),
        pytest.param("until=2027-01-15T10:00:02+02:00", "r2 r1", id="its plus not escaped"),
        pytest.param("search=GPT-5", "r2 r1", id="search knows no case"),
        pytest.param("search=100%25", "r4", id="a percent sign is itself"),
        pytest.param("search=6_x", "r3", id="an underscore is itself"),
        pytest.param("search='%20or%201=1", "", id="text is never SQL"),
        pytest.param("search=rate_limit", "r2", id="a status"),
        pytest.param("search=%00", "", id="NUL is in no row"),
        pytest.param("search=r%004", "", id="and does not end the text"),
        pytest.param("search=2027-01-15T08:00:05", "r5", id="a time"),
    ],
)
def test_filters(client: FlaskClient, query: str, expected: str) -> None:
    assert ids(client, query) == expected.split()


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=-1",
        "limit=1e3",
        "limit=%D9%A1",
        "offset=-1",
        "status=fine",
        "modelOption=x",
        "since=yesterday",
        "until=9999999-01-01",
        "accountId=" + "x" * 501,
    ],
)
def test_bad_values_are_named(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/api/request-logs?{query}")
    assert answer.status_code == 422
    assert answer.json is not None
    assert query.split("=")[0] in answer.json["error"]["message"]


def test_options(client: FlaskClient) -> None:
    body = client.get("/api/request-logs/options").json
    assert body == {
        "accountIds": ["a", "b"],
        "modelOptions": [
            {"model": "gpt-5.5", "reasoningEffort": None},
            {"model": "gpt-5.5", "reasoningEffort": "high"},
            {"model": "gpt-6-x", "reasoningEffort": None},
            {"model": "gpt-6_x", "reasoningEffort": None},
        ],
        "statuses": ["ok", "rate_limit", "quota", "error", "cancelled"],
    }
    narrowed = client.get("/api/request-logs/options?accountId=a&status=ok").json
    assert narrowed is not None
    assert narrowed["accountIds"] == ["a", "b"], "a facet does not narrow itself"
    assert [m["model"] for m in narrowed["modelOptions"]] == ["gpt-5.5", "gpt-6-x"]


def test_live_and_one(client: FlaskClient) -> None:
    body = client.get("/api/request-logs/live").json
    assert body is not None
    assert body["requests"][0]["startedAt"] == "2027-01-15T08:00:00.000Z"
    found = requests.one(Services(), "r1")  # type: ignore[arg-type]
    assert found is not None
    assert found["requestId"] == "r1"
    assert requests.one(Services(), "zzz") is None  # type: ignore[arg-type]
