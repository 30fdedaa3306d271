"""The CSV files and /recalc: the same figures as the pages, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.accounts.pool import Pool
from server.app import create_app
from server.config import Config
from server.dashboard.exports import cell
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.ingest.reconcile import Finished
from server.store import db, settings
from server.usage.pricing import Tokens
from server.usage.privacy import MODES
from tests.rollouts import Tree


@pytest.fixture
def client(config: Config, monkeypatch: pytest.MonkeyPatch) -> Any:
    Tree(config.codex_home, seed=29, body=20).grow(30)
    app = create_app(config)
    Indexer(config, Ledger()).scan()
    with app.test_client() as made:
        yield made
    db.close_databases()


def table(client: FlaskClient, path: str) -> list[dict[str, str]]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "text/csv" and "attachment" in answer.headers["Content-Disposition"]
    text = answer.get_data().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")', id="a formula"),
        pytest.param("+1", "'+1", id="a sum"),
        pytest.param("-1+cmd", "'-1+cmd", id="a difference"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="an old formula"),
        pytest.param("\t=1", "'\t=1", id="a formula after a tab"),
        pytest.param('plain, with "quotes"', 'plain, with "quotes"', id="quoting is the writer's"),
        pytest.param(-5, -5, id="a number below nothing stays one"),
        pytest.param(None, "", id="unknown is empty, not nothing"),
        pytest.param(["a", "b"], "a b", id="a list"),
        pytest.param([{"name": "=a", "calls": 2}, {"name": None}], "'=a ", id="names in a list"),
    ],
)
def test_a_cell(value: Any, shown: Any) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        pytest.param("normal", "Work", id="its name"),
        pytest.param("redacted", "Work", id="names of accounts are no work"),
        pytest.param("strict", "acc-1", id="the id stands for it"),
    ],
)
def test_an_account_is_called_by_its_name(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, mode: str, shown: str
) -> None:
    monkeypatch.setattr(Pool, "name", lambda _, account: {"acc-1": "Work"}[account])
    with db.writing("calls") as connection:
        connection.execute("update call set account = 'acc-1'")
    rows = table(client, f"/api/exports/calls.csv?privacy={mode}")
    assert rows and {row["account"] for row in rows} == {shown}
    older = client.get(f"/api/usage?privacy={mode}").get_json()["rows"]
    assert older and {row["account"] for row in older} == {shown}
    groups = client.get(f"/api/summary?by=account&privacy={mode}&history=all").get_json()["groups"]
    assert [group["name"] for group in groups] == ["acc-1"]
    assert [group["accountName"] for group in groups] == [None if mode == "strict" else "Work"]


def test_calls_are_the_list(client: FlaskClient) -> None:
    rows = table(client, "/api/exports/calls.csv?sort=tokens&model=gpt-5.5")
    totals = client.get("/api/calls?model=gpt-5.5").get_json()["totals"]
    assert len(rows) == totals["calls"] > 20
    assert sum(int(row["total_tokens"]) for row in rows) == totals["totalTokens"]
    values = [int(row["total_tokens"]) for row in rows]
    assert values == sorted(values, reverse=True)


def test_more_rows_than_a_page(client: FlaskClient) -> None:
    every = client.get("/api/calls").get_json()["total"]
    rows = table(client, "/api/exports/calls.csv?limit=3")
    assert len(rows) == every == len({row["record_id"] for row in rows})


def test_threads_and_days(client: FlaskClient) -> None:
    totals = client.get("/api/calls").get_json()["totals"]
    rows = table(client, "/api/exports/threads.csv")
    assert sum(int(row["total_tokens"]) for row in rows) == totals["totalTokens"]
    rows = table(client, "/api/exports/days.csv?from=first&by=model&to=2026-12-31")
    assert sum(int(row["calls"]) for row in rows) == totals["calls"]
    assert any(name.startswith("tokens: gpt") for name in rows[0])
    assert all(int(row["calls"]) > 0 for row in rows), "days with usage and no others"
    assert sum(int(row["total_tokens"]) for row in rows) == totals["totalTokens"]
    assert {row["provider"] for row in rows} == {"codex"}
    assert table(client, "/api/exports/days.csv?from=first&provider=claude") == []


@pytest.mark.parametrize("mode", MODES)
def test_a_thread_that_finds_a_title_is_called_so_everywhere(
    client: FlaskClient, mode: str
) -> None:
    title = "Title for a conversation"
    request = Finished(
        "resp_t", "finds-1", None, "gpt-5.5", "low", None, Tokens(10, 0, 5, 0), None, None,
        db.now_ms() - 2000, db.now_ms() - 1000, 1000, "title", None, title,
    )  # fmt: skip
    with db.writing("calls") as connection:
        Ledger().see_requests(connection, [request])
    asked = f"privacy={mode}&history=all"
    rows = table(client, f"/api/exports/threads.csv?{asked}")
    assert [row["thread"] for row in rows].count(title) == 1
    rows = table(client, f"/api/exports/calls.csv?{asked}")
    assert [row["record_id"] for row in rows if row["thread"] == title] == ["resp_t"]
    (one,) = client.get(f"/api/calls?thread=finds-1&{asked}").get_json()["calls"]
    assert (one["threadTitle"], one["threadId"]) == (title, "finds-1")
    story = client.get(f"/api/threads/finds-1?{asked}").get_json()
    assert (story["title"], story["sessionList"][0]["title"]) == (title, title)
    groups = client.get(f"/api/summary?by=thread&limit=500&{asked}").get_json()["groups"]
    assert [each["threadId"] for each in groups if each["threadTitle"] == title] == ["finds-1"]
    if mode == "normal":  # a search finds what is shown
        found = client.get(f"/api/threads?q=title+for+a&{asked}").get_json()["threads"]
        assert [each["id"] for each in found] == ["finds-1"]


def test_a_title_is_harmless_and_private(client: FlaskClient) -> None:
    with db.writing("calls") as connection:
        connection.execute("update thread set title = '=cmd|'' /C calc''!A0'")
    rows = table(client, "/api/exports/calls.csv")
    assert {row["thread"] for row in rows} == {"'=cmd|' /C calc'!A0"}
    rows = table(client, "/api/exports/calls.csv?privacy=strict")
    assert all(row["thread"].startswith("Thread ") for row in rows)
    assert all(row["project"].startswith("Project ") for row in rows if row["project"])


@pytest.mark.parametrize("path", ["/recalc", "/api/recalc"])
def test_recalc(client: FlaskClient, path: str) -> None:
    answer = client.get(path).get_json()
    assert answer["ok"] is True and set(answer["providers"]) == {"codex", "claude", "combined"}
    # The same words, the same numbers: without archived sessions, as the pages show them.
    shown, every = (
        client.get(f"/api/trends/summary{asked}").get_json()["ytd"]
        for asked in ("?history=active", "")
    )
    for ours, theirs in (
        ("ytd_total_tokens", "tokens"),
        ("days_with_usage", "daysWithUsage"),
        ("sessions", "sessions"),
    ):
        assert answer[ours] == answer["providers"]["combined"][ours] == shown[theirs]
    assert shown["tokens"] < every["tokens"] and shown["sessions"] < every["sessions"]
    assert answer["providers"]["claude"]["highest_single_day"] is None
    assert client.post(path).status_code == 200


def test_a_bad_filter_is_an_error_and_no_file(client: FlaskClient) -> None:
    answer = client.get("/api/exports/calls.csv?sort=nothing")
    assert answer.status_code == 422 and answer.is_json


def test_usage_in_the_words_of_the_tracker(client: FlaskClient) -> None:
    every = client.get("/api/calls").get_json()["totals"]
    active = client.get("/api/calls?history=active").get_json()["totals"]
    said = client.get("/api/usage?limit=7&offset=3").get_json()
    rows = client.get("/api/calls?history=active&limit=10").get_json()["calls"]
    assert [row["record_id"] for row in said["rows"]] == [row["id"] for row in rows[3:]]
    assert said["next_offset"] == 10 and said["history_scope"] == "active"
    assert said["summary"]["visible_calls"] == active["calls"] < every["calls"]
    said = client.get("/api/usage?limit=all&include_archived=1&refresh=1").get_json()
    assert len(said["rows"]) == said["total_available_rows"] == every["calls"]
    assert sum(row["total_tokens"] for row in said["rows"]) == every["totalTokens"]
    assert said["has_more"] is False and said["next_offset"] is None
    for bad in ("limit=0", "limit=-1", "offset=x", "include_archived=2", "refresh=maybe"):
        assert client.get(f"/api/usage?{bad}").status_code == 422, bad


def test_an_idle_poll_is_small(client: FlaskClient) -> None:
    assert len(client.get("/api/live").get_data()) <= 2000


def test_the_recalc_services_health_is_understood(client: FlaskClient) -> None:
    said = client.get("/health").get_json()
    assert said["ok"] is True and said["service"] == "codex_usage_recalc"
    assert said["status"] == "ok" and said["name"] == "brimline"
    assert said["dashboard"].startswith("http://") and said["timestamp"].endswith("Z")
    assert said["sessions_root"].endswith("/sessions")
    assert said["claude_projects_root"].endswith("/projects")
    assert said["providers_available"] == {"codex": True, "claude": False, "combined": True}
    settings.change({"privacyMode": "strict"})
    hidden = client.get("/health").get_json()
    assert hidden["sessions_root"] != said["sessions_root"]


def test_a_locked_server_tells_strangers_no_folder(tmp_path: Path) -> None:
    config = Config(
        port=80,
        data_dir=tmp_path / "data",
        codex_home=tmp_path / "codex",
        claude_home=tmp_path / "claude",
        admin_token="a" * 32,
        host="0.0.0.0",  # noqa: S104 - nothing listens
    )
    app = create_app(config)
    with app.test_client() as stranger:
        said = stranger.get("/health").get_json()
        assert said["ok"] is True and said["sessions_root"] is None
        assert said["claude_projects_root"] is None
        given = {"Authorization": f"Bearer {'a' * 32}"}
        assert stranger.get("/health", headers=given).get_json()["sessions_root"]
    db.close_databases()


@pytest.mark.parametrize("path", ["/recalc", "/api/recalc", "/health"])
def test_what_may_be_asked_is_told_without_a_word(client: FlaskClient, path: str) -> None:
    answer = client.options(path)
    assert answer.status_code == 204 and not answer.data
    assert "GET" in answer.headers["Allow"]
    assert "Access-Control-Allow-Origin" not in answer.headers
