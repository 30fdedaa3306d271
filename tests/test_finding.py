"""A text finds the same calls by whatever way the ledger's size makes the quicker one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.usage import calls, finding, slices, threads
from server.usage.calls import Page
from server.usage.slices import Filter
from tests.rollouts import Tree


@pytest.fixture
def tree(config: Config, database: None) -> Tree:
    """A tree with titles, and a call that belongs to no session."""
    settings.change({"timeZone": "UTC"})
    built = Tree(config.codex_home, seed=5, body=20)
    built.grow(14)
    Indexer(config, Ledger()).scan()
    with db.writing("calls") as connection:
        connection.execute("update thread set title = 'Mend the sundial ' || id where rowid % 5")
        connection.execute("update session set role = 'Curie', branch = 'fix_%' where id % 4 = 0")
        connection.execute("update thread set title = title || ' Überfluß' where rowid % 3 = 1")
        connection.execute("update session set branch = 'οδός[*]' where id % 4 = 1")
        connection.execute("update call set id = 'ég' || id where rowid % 9 = 1")
        connection.execute(
            "insert into call(id, provider, model, initiator, started_at, input, cached, "
            "cache_written, output, reasoning, price_status, seen) values "
            "('alone-1', 'codex', 'odd', 'unknown', 1780000000000, 9, 0, 0, 1, 0, 'unpriced', 2)"
        )
        Ledger().rebuild(connection)
    return built


def slow(text: str) -> list[tuple[Any, ...]]:
    """Every call with the text: id, input, output, cost, credits; newest first."""
    sql = (
        "select c.id, c.input, c.output, c.cost, c.credits, s.key, s.parent, s.role, s.cwd, "
        "s.branch, s.project, t.title, c.model, c.effort from call c left join session s on "
        "s.id = c.session left join thread t on t.id = s.thread order by c.started_at desc, c.id "
        "desc"
    )
    wanted = text.casefold()
    return [
        row[:5]
        for row in db.rows(sql)
        if row[0].startswith((text, text.lower()))
        or any(wanted in (word or "").casefold() for word in row[5:])
    ]


TEXTS = ["sundial", "-", "a", "e", "Curie", "fix_%", "%", "_", "project-1", "gpt", "gpt-5.5",
         "high", "odd", "alone", "nothing at all", "'", "7", "CURIE", "ALONE", "überfluß",
         "ÜBERFLUß", "ς[*]", "ΟΔΌΣ", "Ég", "ég"]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("_MOST_VALUES", 2000, id="few folders"),
        pytest.param("_MOST_VALUES", 1, id="many folders"),
    ],
)
def test_a_text_finds_what_holds_it(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, text: str, name: str, value: int
) -> None:
    monkeypatch.setattr(finding, name, value)
    monkeypatch.setattr(calls, "_FEW", 10 if value else 2000)
    expected = slow(text)
    found = calls.search(Filter(text=text), Page(limit=7))
    totals = found["totals"]
    assert totals["calls"] == found["total"] == len(expected)
    assert totals["input"] == sum(row[1] for row in expected)
    assert totals["output"] == sum(row[2] for row in expected)
    assert totals["unpriced"] == sum(row[3] is None for row in expected)
    credits = [row[4] for row in expected if row[4] is not None]
    assert totals["credits"] == (pytest.approx(sum(credits) / 1e6) if credits else None)
    assert [row["id"] for row in found["calls"]] == [row[0] for row in expected[:7]]
    more = calls.search(Filter(text=text), Page(limit=7, cursor=found["nextCursor"] or ""))
    if found["nextCursor"]:
        assert [row["id"] for row in more["calls"]] == [row[0] for row in expected[7:14]]


@pytest.mark.parametrize("many", [0, 10_000], ids=["looked at singly", "walked"])
@pytest.mark.parametrize("sort", ["time", "thread", "model", "cost"])
@pytest.mark.parametrize("history", ["", "active"])
def test_the_pages_of_every_order_hold_each_call_once(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, sort: str, many: int, history: str
) -> None:
    monkeypatch.setattr(calls, "_FEW", 10)
    monkeypatch.setattr(finding, "_MANY", many)
    with db.writing("calls") as connection:
        connection.execute("update source_file set archived = 1 where id % 4 = 1")
    archived = {
        row[0]
        for row in db.rows(
            "select c.id from call c join session s on s.id = c.session join source_file f "
            "on f.id = s.source where f.archived"
        )
    }
    assert archived
    for text in ("sundial", "Curie", "project-1", "gpt-5.5", "7", "high"):
        wanted = Filter(text=text, history=history, provider="codex" if many else "")
        expected = [row for row in slow(text) if not history or row[0] not in archived]
        ids: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = Page(sort=sort, limit=40, cursor=cursor, descending=sort != "thread")
            found = calls.search(wanted, page)
            ids += [row["id"] for row in found["calls"]]
            cursor = found["nextCursor"]
        assert sorted(ids) == sorted(row[0] for row in expected), text
        assert found["totals"]["calls"] == len(expected)
        assert found["totals"]["input"] == sum(row[1] for row in expected)


@pytest.mark.parametrize("read", [0, 300, 8000], ids=["none", "some", "all"])
@pytest.mark.parametrize("sort", slices.ORDERS)
def test_a_texts_calls_come_in_order_however_many_are_read(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, sort: str, read: int
) -> None:
    monkeypatch.setattr(calls, "_FEW", 10)
    monkeypatch.setattr(calls, "_FEW_READ", read)
    held = {row[0] for row in slow("sundial")}
    ordered = f"select id from call c order by {slices.ORDERS[sort]} desc, rowid desc"
    expected = [name for (name,) in db.rows(ordered) if name in held]
    ids: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        found = calls.search(Filter(text="sundial"), Page(sort=sort, limit=9, cursor=cursor))
        ids += [row["id"] for row in found["calls"]]
        cursor = found["nextCursor"]
    assert ids == expected


def test_the_beginning_that_very_many_ids_share_is_no_text(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "resp_"
    assert db.rows("select count(*) from call where id like 'resp_%'")[0][0] > 20
    monkeypatch.setattr(finding, "_MOST_CALLS", 20)
    assert calls.search(Filter(text=start), Page())["total"] == 0
    one = db.rows("select id from call where id like 'resp_%' limit 1")[0][0]
    assert [row["id"] for row in calls.search(Filter(text=one), Page())["calls"]] == [one]


def test_a_remote_is_found_by_its_label(tree: Tree, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / ".git").mkdir(parents=True)
    (work / ".git" / "config").write_text(
        '[remote "origin"]\n\turl = https://u:pw@x.y/t/astrolabe.git\n'
    )
    with db.writing("calls") as connection:
        connection.execute("update session set cwd = ? where id % 3 = 0", (str(work),))
    wanted = db.rows(
        "select count(*) from call c join session s on s.id = c.session where s.id % 3 = 0"
    )[0][0]

    def count(text: str, **more: Any) -> Any:
        return calls.search(Filter(text=text, **more), Page())["total"]

    assert count("Astrolabe") == wanted > 0
    assert count("u:pw") == count("astrolabe", names=False) == 0
    assert count("astrolabe nowhere") == 0


@pytest.mark.parametrize("text", TEXTS)
def test_threads_find_what_calls_find(tree: Tree, text: str) -> None:
    listed = threads.search(Filter(text=text), Page(limit=500))
    kept = [row for row in slow(text) if row[0] != "alone-1"]
    assert sum(row["calls"] for row in listed["threads"]) == len(kept)
