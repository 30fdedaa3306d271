"""Lists of calls in every order, both ways round: told against all calls, sorted in Python."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.usage import calls
from tests.rollouts import Tree

NAMES = {"acc-1": "zoe@example.com", "acc-2": "Anna", "acc-3": "mia", "acc-4": "Anna"}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """The app over a ledger in which each column has unknown and equal values, too."""
    folder = tmp_path_factory.mktemp("sorting")
    config = Config(
        data_dir=folder / "data", codex_home=folder / "codex", claude_home=folder / "claude",
        port=80, strict_writes=True,
    )  # fmt: skip
    Tree(config.codex_home, seed=34, body=20).grow(14)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIMLINE_NO_KEYRING", "1")
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        create_app(config)
        with db.writing() as connection:
            connection.executemany(
                "insert into removed_account(id, name, removed_at) values (?, ?, 1)", NAMES.items()
            )
        db.close_databases()
        app = create_app(config)
        settings.change({"timeZone": "UTC"})
        Indexer(config, Ledger()).scan()
        vary()
        with app.test_client() as made:
            yield made
        db.close_databases()


def vary() -> None:
    """Unknown values of every kind, accounts, witnesses, and calls that belong to no session."""
    with db.writing("calls") as connection:
        for statement in (
            "update call set account = 'acc-' || (rowid % 7) where rowid % 7 between 1 and 5",
            "update call set seen = 1 + rowid % 7",
            "update call set duration_ms = null where rowid % 3 = 0",
            "update call set cost = null, price_status = 'unpriced' where rowid % 11 = 0",
            "update call set credits = null where rowid % 5 = 0",
            "update call set context_window = null where rowid % 6 = 0",
            "update call set effort = null where rowid % 13 = 0",
            "update call set model = null where rowid % 17 = 0",
            "update call set input = 0, cached = 0 where rowid % 19 = 0",
            "update call set provider = 'claude', reasoning = 0 where rowid % 23 = 0",
            "update call set session = null where rowid % 29 = 0",
            "update session set project = null where id % 4 = 0",
            "update thread set title = null where rowid % 5 = 0",
        ):
            connection.execute(statement)
        Ledger().rebuild(connection)


def get(client: FlaskClient, **query: Any) -> Any:
    answer = client.get("/api/calls", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def pages(client: FlaskClient, limit: int, **query: Any) -> list[Row]:
    """All rows of a list, page by page."""
    found: list[Row] = []
    cursor: str | None = ""
    while cursor is not None:
        page = get(client, limit=limit, cursor=cursor, **query)
        found += page["calls"]
        cursor = page["nextCursor"]
    return found


def bits(row: Row) -> int:
    return sum({"log": 1, "proxy": 2, "telemetry": 4}[one] for one in row["witnesses"])


def account(row: Row) -> Any:
    if row["accountId"] is None:
        return None
    name: str = row["accountId"]
    return NAMES.get(name, name).casefold(), name


VALUES: dict[str, Callable[[Row], Any]] = {
    "time": lambda row: row["at"],
    "tokens": lambda row: row["totalTokens"],
    "reasoning": lambda row: row["reasoningTokens"],
    "cost": lambda row: row["costUsd"],
    "cache": lambda row: row["cacheRatio"],
    "duration": lambda row: row["durationMs"],
    "context": lambda row: row["contextPercent"],
    "credits": lambda row: row["credits"],
    "gap": lambda row: row["gapMs"],
    "cumulative": lambda row: row["cumulativeTokens"],
    "seen": lambda row: (bits(row), row["at"]),
    "account": account,
    "model": lambda row: row["model"],
    "effort": lambda row: row["effort"],
    "project": lambda row: row["project"],
    "thread": lambda row: (row["threadTitle"] or "").casefold() or None,
}
FILTERS: list[Any] = [
    pytest.param({}, id="all"),
    pytest.param({"model": "gpt-5.5"}, id="a model"),
    pytest.param({"account": ["acc-2", "acc-3"]}, id="two accounts"),
    pytest.param({"q": "project-1"}, id="a text"),
    pytest.param({"from": "2026-05-28", "to": "2026-06-10"}, id="days"),
    pytest.param({"priceStatus": "exact"}, id="with a price"),
]


@pytest.mark.parametrize("query", FILTERS)
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("few", [pytest.param(2000, id="few"), pytest.param(-1, id="many")])
def test_every_order_is_that_of_the_values(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, query: Row, direction: str, few: int
) -> None:
    every = pages(client, 500, **query)
    monkeypatch.setattr(calls, "_FEW", few)  # -1: as in a large ledger
    for sort, value in VALUES.items():
        found = pages(client, 31, sort=sort, direction=direction, **query)
        assert sorted(row["id"] for row in found) == sorted(row["id"] for row in every), sort
        values = [value(row) for row in found]
        known = [one for one in values if one is not None]
        assert values[len(known) :] == [None] * (len(values) - len(known)), sort
        assert known == sorted(known, reverse=direction == "desc"), sort
        for start in (0, 3, len(known) - 2, len(known) + 2):
            begin = max(0, start)
            part = get(client, sort=sort, direction=direction, offset=begin, limit=5, **query)
            names = [row["id"] for row in part["calls"]]
            assert names == [row["id"] for row in found[begin : begin + 5]], (sort, begin)


def test_an_account_is_ordered_by_what_it_is_shown_as(client: FlaskClient) -> None:
    found = pages(client, 60, sort="account", direction="asc")
    assert [*dict.fromkeys(row["accountId"] for row in found)] == [
        "acc-5", "acc-2", "acc-4", "acc-3", "acc-1", None,
    ]  # fmt: skip


def test_where_names_are_hidden_the_order_does_not_tell_them(client: FlaskClient) -> None:
    found = pages(client, 60, sort="account", direction="asc", privacy="strict")
    order = [*dict.fromkeys(row["accountId"] for row in found)]
    assert order == sorted(filter(None, order)) + [None]


def test_a_file_has_the_order_of_the_list(client: FlaskClient) -> None:
    for sort in ("gap", "account", "seen"):
        for direction in ("asc", "desc"):
            asked = {"sort": sort, "direction": direction}
            text = client.get("/api/exports/calls.csv", query_string=asked).text
            rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
            listed = [row["id"] for row in pages(client, 500, **asked)]
            assert [row["record_id"] for row in rows] == listed


def test_gaps_follow_what_happens_to_calls(client: FlaskClient) -> None:
    def told() -> list[Any]:
        found = pages(client, 200, sort="gap", direction="desc")
        gaps = [row["gapMs"] for row in found]
        known = [gap for gap in gaps if gap is not None]
        assert gaps == sorted(known, reverse=True) + [None] * (len(gaps) - len(known))
        return gaps

    before = told()
    with db.writing("calls") as connection:
        row = connection.execute(
            "select rowid, id from call where session is not null order by started_at limit 1 "
            "offset 40"
        ).fetchone()
        connection.execute(
            "update call set started_at = started_at + 86400000 where rowid = ?", row[:1]
        )
    moved = told()
    assert moved != before
    with db.writing("calls") as connection:
        connection.execute("update call set session = null where rowid = ?", row[:1])
    assert told().count(None) >= before.count(None)
    with db.writing("calls") as connection:
        connection.execute("delete from call where rowid = ?", row[:1])
    assert len(told()) == len(before) - 1


@pytest.mark.parametrize("sort", ["gap", "account", "seen", "cost"])
def test_a_cursor_of_another_kind_is_refused_or_harmless(client: FlaskClient, sort: str) -> None:
    for value in ("x", "", 7, -1, 1.5, "\x1f", "acc-1\x1fx"):
        page = calls.Page(sort=sort, descending=False)
        cursor = calls.cursor(value, "x", page)
        asked = {"sort": sort, "direction": "asc", "cursor": cursor}
        assert client.get("/api/calls", query_string=asked).status_code in (200, 422)


def test_the_indexes_of_a_large_ledger_follow_their_orders(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.writing() as connection:
        connection.execute("create index call_by_reasoning on call(reasoning)")  # of an older order
    monkeypatch.setattr(calls, "_MANY", 1)
    calls.keep()
    calls.keep()
    made = dict(db.rows("select name, sql from sqlite_master where type = 'index'"))
    assert "claude" in made["call_by_reasoning"] and "call_before_by_gap" in made
    plan = db.rows(
        "explain query plan select call from call_before where gap < 9 order by gap desc"
    )
    assert "call_before_by_gap" in str(plan)
    found = pages(client, 100, sort="gap", direction="asc")
    known = [row["gapMs"] for row in found if row["gapMs"] is not None]
    assert known == sorted(known)
