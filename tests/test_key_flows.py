"""API keys from outside: real HTTP, real clients' ways to ask, a provider that answers."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from tests.rig import wait_until
from tests.serving import Served, serving
from tests.upstream import Provider, Stream, auth_json, completed, created, item, message

ADMIN = "an-admin-token-of-32-characters!"
SCRIPT = Path(__file__).with_name("data") / "key-life.sh"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        found.usage = {
            "plan_type": "plus",
            "rate_limit": {
                "allowed": True,
                "primary_window": {"used_percent": 25, "limit_window_seconds": 18_000},
                "secondary_window": {"used_percent": 40, "limit_window_seconds": 604_800},
            },
        }
        yield found


@pytest.fixture
def served(config: Config, provider: Provider) -> Iterator[Served]:
    # As many threads as 50 calls at once take (the default has several times as many).
    with serving(replace(config, admin_token=ADMIN, threads=160), provider) as found:
        yield found


def ask(
    served: Served, method: str, path: str, token: str, body: Any = None, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", served.config.port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(
        method,
        path,
        None if body is None else json.dumps(body),
        {"authorization": f"Bearer {token}", "content-type": "application/json", **named},
    )
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    try:
        found = json.loads(raw or b"null")
    except ValueError:
        found = raw
    return answer.status, found, {name.lower(): value for name, value in answer.getheaders()}


def key(served: Served, **limits: Any) -> tuple[str, str]:
    """A key with one limit: its id and its secret."""
    ask(served, "PUT", "/api/settings", ADMIN, {"apiKeyAuthEnabled": True})
    body = {"name": "k", "limits": [limits] if limits else None}
    _, made, _ = ask(served, "POST", "/api/api-keys/", ADMIN, body)
    return made["id"], made["key"]


TURN = {"model": "gpt-5.5", "stream": True, "store": False, "input": []}
CHAT = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hi."}]}
ONE = {"limitType": "requests", "limitWindow": "daily", "maxValue": 1}


@pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="needs bash, curl and jq"
)
def test_the_twelve_steps(served: Served, tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_bytes(auth_json("acc-1"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", str(SCRIPT)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "BASE_URL": served.url, "ADMIN_TOKEN": ADMIN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = dict((part.split("\n", 1) + [""])[:2] for part in done.stdout.split("== ")[1:])
    assert len(steps) == 12
    assert json.loads(steps["2"])["primaryRemainingPercent"] == 75
    assert json.loads(steps["3"])["apiKeyAuthEnabled"] is True
    assert json.loads(steps["4"])["key"].startswith("sk-clb-")
    limits = json.loads(steps["6"])["limits"]
    assert [limit.get("max") or limit["maxUsd"] for limit in limits] == [2_500_000, 500_000, 10]
    assert json.loads(steps["7"])["name"] == "ops-key-renamed"
    assert sorted(each["maxValue"] for each in json.loads(steps["8"])["limits"]) == [
        300_000,
        2_000_000,
        12_000_000,
    ]
    assert [each["currentValue"] for each in json.loads(steps["9"])["limits"]] == [0, 0, 0]
    assert json.loads(steps["10"])["key"] != json.loads(steps["4"])["key"]
    listed = json.loads(steps["11"])
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["gpt-5.2"], "as step 4 allowed"
    assert steps["12"].startswith("HTTP/1.1 204")


def test_a_revoke_counts_at_once(served: Served) -> None:
    served.account("acc-1")
    identity, secret = key(served)
    assert ask(served, "POST", "/v1/responses", secret, TURN)[0] == 200
    ask(served, "PATCH", f"/api/api-keys/{identity}", ADMIN, {"isActive": False})
    status, said, _ = ask(served, "POST", "/v1/responses", secret, TURN)
    assert (status, said["error"]["code"]) == (401, "invalid_api_key")
    ask(served, "PATCH", f"/api/api-keys/{identity}", ADMIN, {"isActive": True})
    assert ask(served, "GET", "/v1/models", secret)[0] == 200
    ask(served, "DELETE", f"/api/api-keys/{identity}", ADMIN)
    assert ask(served, "GET", "/v1/models", secret)[0] == 401


def test_a_key_asks_what_it_used(served: Served) -> None:
    served.account("acc-1")
    identity, secret = key(served, limitType="requests", limitWindow="5h", maxValue=7)
    assert ask(served, "POST", "/v1/responses", secret, TURN)[0] == 200

    def counted() -> bool:
        return bool(ask(served, "GET", "/v1/usage", secret)[1]["request_count"])

    wait_until(counted, "the request is in the log", 30)
    ask(served, "PATCH", f"/api/api-keys/{identity}", ADMIN, {"allowedModels": ["other"]})
    assert ask(served, "POST", "/v1/responses", secret, TURN)[0] == 403
    said = ask(served, "GET", "/v1/usage", secret)[1]
    (limit,) = said["limits"]
    assert limit.pop("reset_at") > 1_600_000_000
    assert limit == {
        "limit_type": "requests",
        "limit_window": "5h",
        "max_value": 7,
        "current_value": 1,
        "remaining_value": 6,
        "model_filter": None,
        "source": "api_key_limit",
    }
    assert (said["request_count"], said["total_tokens"]) == (1, 1050), "a refusal uses nothing"
    assert said["cached_input_tokens"] == 800 and said["total_cost_usd"] > 0
    assert set(said["account_pool_usage"]) == {"primary", "secondary"}
    assert ask(served, "GET", "/v1/usage", "")[0] == 401


def test_a_key_lists_what_it_may_use_and_nothing_else(served: Served) -> None:
    served.account("acc-1")
    identity, secret = key(served)
    ask(
        served, "PATCH", f"/api/api-keys/{identity}", ADMIN,
        {"allowedModels": ["a-new-one", "gpt-5.5"]},
    )  # fmt: skip
    models = ask(served, "GET", "/v1/models", secret)[1]["data"]
    assert [model["id"] for model in models] == ["gpt-5.5", "a-new-one"]
    assert {"object", "created", "owned_by", "metadata"} < set(models[0]) == set(models[1])
    assert models[0]["metadata"]["supported_reasoning_levels"]
    assert models[1]["metadata"] == {}
    ask(served, "PATCH", f"/api/api-keys/{identity}", ADMIN, {"allowedModels": []})
    assert ask(served, "GET", "/v1/models", secret)[1]["data"] == []


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        pytest.param({**ONE, "maxValue": 7}, 7, id="requests"),
        # An answer of the provider counts 1,050 tokens.
        pytest.param(
            {"limitType": "total_tokens", "limitWindow": "5h", "maxValue": 10_000}, 9, id="tokens"
        ),
    ],
)
def test_fifty_at_once_stay_within_a_nearly_spent_key(
    served: Served, provider: Provider, limit: dict[str, Any], most: int
) -> None:
    served.account("acc-1")
    identity, secret = key(served, **limit)
    provider.default = Stream(wait=0.5)
    with ThreadPoolExecutor(50) as threads:
        found = list(
            threads.map(lambda _: ask(served, "POST", "/v1/responses", secret, TURN), range(50))
        )
    served_ok = [status for status, _, _ in found].count(200)
    assert 1 <= served_ok <= most
    assert {status for status, _, _ in found} == {200, 429}
    (now,) = ask(served, "GET", f"/api/api-keys/{identity}", ADMIN)[1]["limits"]
    assert now["currentValue"] <= limit["maxValue"]
    assert len(provider.responses()) == served_ok


@pytest.mark.parametrize(
    ("path", "body", "client", "status", "kind"),
    [
        pytest.param(
            "/v1/chat/completions", CHAT, "opencode/1.18", 402, "insufficient_quota", id="opencode"
        ),
        pytest.param(
            "/v1/responses", TURN, "OpenAI/Python 3.5", 429, "rate_limit_error", id="an SDK"
        ),
        pytest.param(
            "/v1/responses", TURN, "codex_exec/0.169", 429, "usage_limit_reached", id="Codex"
        ),
    ],
)
def test_a_spent_key_stops_every_client_and_says_why(
    served: Served, path: str, body: Any, client: str, status: int, kind: str
) -> None:
    served.account("acc-1")
    _, secret = key(served, **ONE)
    assert ask(served, "POST", "/v1/responses", secret, TURN)[0] == 200
    got, said, headers = ask(served, "POST", path, secret, body, user_agent=client)
    error = said["error"]
    code = "insufficient_quota" if status == 402 else "rate_limit_exceeded"
    assert (got, error["code"], error["type"]) == (status, code, kind)
    assert "requests limit (daily) is used up. Usage resets at" in error["message"]
    assert int(headers["retry-after"]) > 80_000
    assert status == 402 or headers["x-should-retry"] == "false"
    # Codex prints this time; opencode finds a status to retry in any long number.
    assert ("resets_at" in error) is (status == 429)


@pytest.mark.parametrize("path", ["/v1/responses", "/backend-api/codex/responses/compact"])
def test_a_key_whose_accounts_were_removed_says_so(served: Served, path: str) -> None:
    gone, stays = served.account("acc-1"), served.account("acc-2")
    identity, secret = key(served)
    one = f"/api/api-keys/{identity}"
    ask(served, "PATCH", one, ADMIN, {"assignedAccountIds": [gone, stays]})
    assert ask(served, "DELETE", f"/api/accounts/{gone}", ADMIN)[0] == 200
    assert ask(served, "GET", one, ADMIN)[1]["assignedAccountIds"] == [stays]
    ask(served, "PATCH", one, ADMIN, {"assignedAccountIds": []})
    status, said, _ = ask(served, "POST", path, secret, TURN)
    assert (status, said["error"]["code"]) == (400, "no_accounts")
    assert "API keys, and choose other accounts" in said["error"]["message"]


def test_the_most_a_limit_may_be_is_named(served: Served) -> None:
    body = {"name": "k", "limits": [{**ONE, "maxValue": 10**30}]}
    status, said, _ = ask(served, "POST", "/api/api-keys/", ADMIN, body)
    assert (status, "from 1 to 9007199254740991" in said["error"]["message"]) == (422, True)


def fifty_long_ones(served: Served, provider: Provider, secret: str) -> set[int]:
    """Fifty calls at once whose streams end only when all others were answered."""
    used = {"input_tokens": 1_000, "output_tokens": 95_000, "total_tokens": 96_000}
    asked, go = len(provider.responses()), threading.Event()
    events = [created(), *item(message("Hi.")), completed(usage=used)]
    provider.default = Stream(events, hold=(1, go))
    with ThreadPoolExecutor(50) as threads:
        calls = [
            threads.submit(ask, served, "POST", "/v1/responses", secret, TURN) for _ in range(50)
        ]
        try:
            wait_until(
                lambda: (
                    sum(call.done() for call in calls) + len(provider.responses()) == asked + 50
                ),
                "all answered, but for those that run",
            )
        finally:
            go.set()
        return {call.result()[0] for call in calls}


def test_large_streams_at_once_stay_within_a_small_limit_over_a_restart(
    config: Config, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.auth.keys.PATIENCE", 0.05)  # every stream outlasts the wait
    config = replace(config, admin_token=ADMIN, threads=160)
    with serving(config, provider) as served:
        served.account("acc-1")
        identity, secret = key(served, limitType="total_tokens", limitWindow="5h", maxValue=200_000)
    for start in range(3):
        with serving(config, provider) as served:
            statuses = fifty_long_ones(served, provider, secret)
            served.rows()
            (limit,) = ask(served, "GET", f"/api/api-keys/{identity}", ADMIN)[1]["limits"]
            assert limit["currentValue"] <= 200_000
            # The third start has 8,000 tokens left.
            assert statuses == ({200, 429} if start < 2 else {429})


def test_what_no_price_is_known_for_costs_an_unknown_sum(served: Served) -> None:
    served.account("acc-1")
    identity, secret = key(served)

    def costs() -> list[float | None]:
        served.rows()
        one = f"/api/api-keys/{identity}"
        hours = ask(served, "GET", f"{one}/trends", ADMIN)[1]["cost"]
        page = ask(served, "GET", "/api/dashboard/overview", ADMIN)[1]
        return [
            ask(served, "GET", f"{one}/usage-7d", ADMIN)[1]["totalCostUsd"],
            ask(served, "GET", "/v1/usage", secret)[1]["total_cost_usd"],
            page["usageSummary"]["totalCost"],
            None if any(hour["v"] is None for hour in hours) else sum(h["v"] for h in hours),
        ]

    assert costs() == [0, 0, 0, 0], "nothing was used"
    ask(served, "POST", "/v1/responses", secret, {**TURN, "model": "gpt-6.1-codex"})
    assert costs() == [None] * 4
    ask(served, "POST", "/v1/responses", secret, TURN)
    assert all(costs()), "what is known of it"


def test_a_key_whose_accounts_are_paused_says_so(served: Served) -> None:
    paused, _ = served.account("acc-1"), served.account("acc-2")
    identity, secret = key(served)
    ask(served, "PATCH", f"/api/api-keys/{identity}", ADMIN, {"assignedAccountIds": [paused]})
    assert ask(served, "POST", f"/api/accounts/{paused}/pause", ADMIN)[0] == 200
    status, said, _ = ask(served, "POST", "/v1/responses", secret, TURN)
    assert (status, said["error"]["code"]) == (400, "no_accounts")
    assert "this API key may use are paused" in said["error"]["message"]
