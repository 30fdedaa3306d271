"""The overview and the tray's snapshot: both documented shapes, and never a made-up number."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from server.config import Config
from server.store import db
from server.usage import attention
from tests.serving import Served, serving
from tests.upstream import Provider


@pytest.fixture
def served(config: Config) -> Iterator[Served]:
    with Provider() as provider, serving(config, provider) as found:
        yield found


def get(served: Served, path: str) -> Any:
    with urllib.request.urlopen(served.url + path, timeout=30) as answer:
        return json.loads(answer.read())


def test_an_empty_installation_shows_no_numbers_it_does_not_know(served: Served) -> None:
    found = get(served, "/api/dashboard/overview")
    assert found["accounts"] == [] and found["lastSyncAt"] is None
    assert found["pool"]["state"] == "empty"
    assert found["today"]["calls"] == 0
    assert found["accountCounts"]["total"] == 0
    assert found["errorRate"] == 0.0
    tray = get(served, "/api/tray")
    assert tray["pool"]["windows"] == [] and tray["accounts"] == []


def test_a_page_asks_for_as_many_accounts_as_it_shows(served: Served) -> None:
    for number in range(3):
        served.account(f"acc-{number}")
    whole = get(served, "/api/dashboard/overview")
    part = get(served, "/api/dashboard/overview?accounts=2")
    assert len(whole["accounts"]) == 3 and part["accounts"] == whole["accounts"][:2]
    for window in ("primary", "secondary"):
        listed = [found["windows"][window]["accounts"] for found in (part, whole)]
        assert listed[0] == listed[1][:2] and len(listed[1]) == 3
    for name in ("pool", "unmeasured", "accountCounts", "summary", "attention"):
        assert part[name] == whole[name]
    assert whole["unmeasured"] in (0, 3)
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(served, "/api/dashboard/overview?accounts=many")
    with refused.value as answer:
        assert answer.code == 422


def test_the_shapes_of_both_documents(served: Served) -> None:
    served.account("acc-1")
    body = json.dumps({"model": "gpt-5.5", "stream": True, "input": "hi"}).encode()
    request = urllib.request.Request(
        f"{served.url}/v1/responses", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).read()
    found = get(served, "/api/dashboard/overview")
    assert {"lastSyncAt", "accounts", "summary", "windows", "trends"} <= set(found)
    assert {"primary", "secondary"} == set(found["windows"])
    assert {"primaryWindow", "secondaryWindow", "cost", "metrics"} <= set(found["summary"])
    for name in ("requests", "tokens", "cost", "errorRate"):
        assert len(found["trends"][name]) == 28
        assert set(found["trends"][name][0]) == {"t", "v"}
    assert found["trends"]["requests"][-1]["v"] == 1
    assert set(found["accountCounts"]) == {
        "total",
        "active",
        "paused",
        "rateLimited",
        "quotaExceeded",
        "deactivated",
    }
    assert found["usageSummary"] == {
        "totalTokens": 1050,
        "totalCost": pytest.approx(found["usageSummary"]["totalCost"]),
        "inputTokens": 1000,
        "outputTokens": 50,
    }
    assert (found["requestCount"], found["errorRate"]) == (1, 0.0)
    assert len(found["days"]) == 14 and found["days"][-1]["calls"] == 1


@pytest.mark.parametrize(
    "path",
    ["/api/dashboard/overview", "/api/calls", "/api/threads", "/api/trends", "/api/insights"],
)
def test_pages_are_read_while_the_data_folder_takes_nothing(
    served: Served, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a full disk: whatever writes fails, and what is there can be read.
    monkeypatch.setattr(db.usage, "_pragmas", {**db.usage._pragmas, "query_only": 1})
    assert get(served, path)


def test_clients_own_mistakes_are_no_errors_of_the_pool(served: Served) -> None:
    rows = [
        ("success", 200, None),
        ("error", 503, "server_is_overloaded"),
        ("error", 400, "no_accounts"),
        ("error", 400, "invalid_request_error"),
        ("error", 413, "payload_too_large"),
        ("error", 403, "model_not_allowed"),
        ("cancelled", None, None),
        ("incomplete", 200, None),
    ]
    with db.writing("requests") as connection:
        connection.executemany(
            "insert into request_log (id, endpoint, status, http_status, error_code, attempts, "
            "started_at) values (?, '/v1/responses', ?, ?, ?, '[]', ?)",
            [(f"r{n}", *row, db.now_ms()) for n, row in enumerate(rows)],
        )
    found = get(served, "/api/dashboard/overview")
    assert (found["requestCount"], found["errorRate"]) == (8, 25.0)
    assert found["trends"]["errorRate"][-1]["v"] == 0.25
    metrics = get(served, "/api/usage/summary")["metrics"]
    assert (metrics["errorRate7d"], metrics["cancelled7d"]) == (0.25, 1)
    assert metrics["topError"] == "no_accounts", "the first of equals"


def account(**changes: Any) -> dict[str, Any]:
    window = {
        "key": "secondary",
        "name": "week",
        "longName": "weekly",
        "remainingPercent": 50.0,
        "level": "ok",
        "pace": None,
    }
    return {
        "accountId": "a",
        "displayName": "work@",
        "status": "active",
        "statusReason": None,
        "windows": [{**window, **changes.pop("window", {})}],
        **changes,
    }


LATE = {"runsOutAt": "2026-11-21T12:00:00Z", "delta": -22.0}


@pytest.mark.parametrize(
    ("accounts", "unpriced", "titles"),
    [
        pytest.param([], 0, [], id="nothing at all"),
        pytest.param([account()], 0, [], id="all is well"),
        pytest.param(
            [account(window={"level": "critical", "remainingPercent": 7.0, "pace": LATE})],
            0,
            [("critical", "work@ runs out before its reset")],
            id="runs out",
        ),
        pytest.param(
            [account(window={"level": "low", "remainingPercent": 18.0})],
            0,
            [("warn", "work@ has little left")],
            id="low without a known pace",
        ),
        pytest.param(
            [account(status="sign_in_needed"), account()],
            0,
            [("critical", "work@ needs a sign-in")],
            id="sign in",
        ),
        pytest.param(
            [account(status="paused")],
            0,
            [("critical", "All accounts are paused")],
            id="all paused",
        ),
        pytest.param(
            [account(status="paused"), account(status="rate_limited")],
            0,
            [
                ("critical", "No account can serve"),
                ("critical", "work@ is refused by the provider"),
            ],
            id="paused and refused: it is not the pausing alone",
        ),
        pytest.param(
            [
                *[account(window={"remainingPercent": 7.0, "pace": LATE})] * 20,
                account(status="quota_exceeded", window={"remainingPercent": 0}, displayName="u@"),
                account(status="rate_limited", displayName="r@"),
                account(status="sign_in_needed", displayName="s@"),
            ],
            1,
            [
                ("critical", "s@ needs a sign-in"),
                ("critical", "r@ is refused by the provider"),
                ("critical", "u@ is used up"),
                ("critical", "work@ runs out before its reset"),
                ("critical", "Further accounts that need a look: 19"),
                ("info", "Calls of today without a price: 1"),
            ],
            id="a dead sign-in is not hidden behind accounts that run out",
        ),
        pytest.param(
            [account(window={"level": "spent", "remainingPercent": 0.0}, onCredits=True)],
            0,
            [("warn", "work@ is served by credits")],
            id="credits keep the work going",
        ),
        pytest.param(
            [account(window={"remainingPercent": 30.0, "pace": LATE})] * 6,
            0,
            [("warn", "work@ runs out before its reset")] * 6,
            id="six have room",
        ),
        pytest.param(
            [account()], 2, [("info", "Calls of today without a price: 2")], id="unpriced"
        ),
    ],
)
def test_what_needs_attention(
    accounts: list[dict[str, Any]], unpriced: int, titles: list[tuple[str, str]]
) -> None:
    found = attention.overview(accounts, {}, {"unpriced": unpriced}, 0)
    assert [(card["level"], card["title"]) for card in found] == titles
    assert all(card["text"] and card["href"].startswith("/") for card in found)
