"""Threads of a text, or of models, are the same, whether memory or rows tell them."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.usage import finding, insights, names, slices, textthreads, threads
from server.usage.calls import Page
from server.usage.slices import Filter
from tests.rollouts import Tree

TEXTS = (
    "sundial", "a", "7", "Curie", "-", "ÜBERFLUß", "odd-", "2", "branch", "0", "nothing",
    "gpt", "brass", "tin", "hard",
)  # fmt: skip
MODELS = ((), ("brass",), ("tin", "brass"), ("gpt-5.3-codex",), ("none",), ("",))
EFFORTS = ((), (), ("hard",), ("soft", ""))
# What happens to a ledger between two searches.
CHANGES = {
    "as it was scanned": "select 1",
    "helpers have other threads": (
        "update session set thread = (select thread from session order by id desc limit 1) "
        "where id % 5 = 2"
    ),
    "a session has no calls": "delete from call where session in (select min(id) from session)",
    "calls changed": "update call set cost = null, credits = 5, input = 0, cached = 0 "
    "where rowid % 7 = 0",
    "logs are put aside": "update source_file set archived = 1 where id % 3 = 1",
    "all of a thread is put aside": (
        "update source_file set archived = 1 where id in (select source from session "
        "where thread = (select thread from session order by id limit 1))"
    ),
    "sessions have several models": (
        "update call set model = case rowid % 3 when 0 then 'brass' when 1 then 'tin' else model "
        "end where session % 3 = 1"
    ),
    "and several efforts": (
        "update call set effort = case rowid % 3 when 0 then 'hard' else 'soft' end, "
        "model = case when session % 5 = 1 then 'brass' else model end where session % 2 = 1"
    ),
    "some belong to no session": "update call set session = null where rowid % 11 = 0",
    "some only find a title": "update session set kind = 'title' where key = thread and id % 4 = 0",
    "titles changed": "update thread set title = 'odd-' || rowid where rowid % 4 = 1",
}


@pytest.fixture
def tree(config: Config, database: None) -> Tree:
    settings.change({"timeZone": "UTC"})
    built = Tree(config.codex_home, seed=8, body=20)
    built.grow(16)
    Indexer(config, Ledger()).scan()
    with db.writing("calls") as connection:
        connection.execute("update thread set title = 'Mend the sundial ' || id where rowid % 3")
        connection.execute("update thread set title = title || ' Überfluß' where rowid % 4 = 1")
        connection.execute("update session set role = 'Curie' where id % 4 = 0")
        connection.execute("update session set branch = 'branch' || (id % 3) where id % 2")
    return built


def by_rows(monkeypatch: pytest.MonkeyPatch, ask: Any) -> Any:
    """What the threads' sums say that are made of rows."""
    with monkeypatch.context() as patch:
        patch.setattr(textthreads, "does", lambda _wanted: False)
        patch.setattr(finding, "found", lambda wanted, **_: found(wanted))
        return ask()


found = finding.found


def same(one: Any, other: Any) -> None:
    assert one == pytest.approx(other) if isinstance(one, float) else one == other


@pytest.mark.parametrize("change", CHANGES)
def test_any_search_is_answered_alike(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    chance = random.Random(change)
    monkeypatch.setattr(textthreads, "_LEAST", 2)
    threads.search(Filter(text="Curie"), Page())  # what is known before the change
    with db.writing("calls") as connection:
        connection.execute(CHANGES[change])
    sorts, some = list(threads.SORTS), 0
    for number in range(120):
        monkeypatch.setattr(textthreads, "_FEW", chance.choice((0, 3, 200)))
        named = number % 3 == 0
        wanted = Filter(
            text="" if named else chance.choice(TEXTS),
            models=chance.choice(MODELS) if named else (),
            efforts=chance.choice(EFFORTS) if named else (),
            history=chance.choice(("", "active")),
            names=chance.random() < 0.8,
        )
        page = Page(
            sort=sorts[number % len(sorts)],
            descending=chance.random() < 0.6,
            limit=chance.choice((1, 2, 5, 50)),
            offset=chance.choice((0, 0, 3)),
        )
        titling = chance.random() < 0.6
        for _ in range(3):
            ours = threads.search(wanted, page, titling=titling)
            theirs = by_rows(
                monkeypatch, lambda w=wanted, p=page, t=titling: threads.search(w, p, titling=t)
            )
            assert ours == theirs, (wanted, page, titling)
            some += len(ours["threads"])
            if not ours["nextCursor"]:
                break
            page = replace(page, cursor=ours["nextCursor"], offset=0)
        if number % 5 == 0:
            cards = insights.found(wanted)
            assert cards == by_rows(monkeypatch, lambda w=wanted: insights.found(w)), wanted
    assert some > 100


def test_what_is_in_memory_is_the_ledgers(tree: Tree) -> None:
    several = 0
    for change in CHANGES.values():
        with db.writing("calls") as connection:
            connection.execute(change)
        slices.refresh()
        with names.known() as known:
            rows = db.rows(
                "select s.id, s.thread, u.archived, u.calls, u.input from session_usage u "
                "join session s on s.id = u.session"
            )
            assert {
                (
                    session, known.threads[known.thread_of[number]], known.archived[number],
                    names.field("calls", known.sums[number]),
                    names.field("input", known.sums[number]),
                )
                for session, number in known.number.items()
            } == {*rows}  # fmt: skip
            for thread, count in db.rows("select thread, count(*) from thread_usage group by 1"):
                assert count and known.size[known.thread_number[thread]] > 0
            assert sum(known.totals) == sum(known.sums[n] for n in known.number.values())
            for number, shares in known._shares.items():
                parts = names.joined([*shares]).sums
                for name in ("calls", "cost", "output"):
                    whole = names.field(name, known.sums[number])
                    assert names.field(name, parts) == whole, name
                several += 1
            assert sum(known.size) == len(known.number)
            assert sum(known.active) == sum(not row[2] for row in rows)
    assert several


def test_an_older_moment_is_answered_from_that(tree: Tree) -> None:
    with db.reading():
        with slices.moment():
            before = threads.search(Filter(text="Curie"), Page())
            # Another thread sees a newer moment meanwhile.
            other = sqlite3.connect(str(db.usage.database), isolation_level=None)
            other.execute("update session_name set thread = null, change = 1 << 40")
            newer = names.Names()
            newer.mark = 1 << 40
            names._shared[:] = [(db.usage.database, db.usage.anchor), newer]
            assert threads.search(Filter(text="Curie"), Page()) == before
        other.close()
    assert before["total"]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param((0,) * 20, id="nothing"),
        pytest.param(tuple(range(20)), id="each its own"),
        pytest.param((-1, 5, -(1 << 40), *([1 << 50] * 17)), id="below nothing"),
    ],
)
def test_sums_of_sums_are_told_apart(values: tuple[int, ...]) -> None:
    total = sum(names.packed(values) for _ in range(1000))
    assert names.unpacked(total) == {
        name: 1000 * value for name, value in zip(names.FIELDS, values, strict=True)
    }


@pytest.mark.parametrize(
    ("text", "small"),
    [
        pytest.param("ABC-xyz", "abc-xyz", id="ASCII"),
        pytest.param("ÄBC", "Äbc", id="other letters stay, as they do for SQLite"),
        pytest.param("\u212a", "\u212a", id="a sign that is a small k elsewhere"),
    ],
)
def test_letters_are_made_small_as_sqlite_does(text: str, small: str) -> None:
    assert names.folded(text) == small


def test_what_was_read_in_part_is_read_anew(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    before = threads.search(Filter(text="Curie"), Page())
    names._shared.clear()
    take = names.Names.take

    def stopped(self: names.Names, rows: Any) -> None:
        take(self, [next(iter(rows))])
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(names.Names, "take", stopped)
        with pytest.raises(sqlite3.OperationalError):
            threads.search(Filter(text="Curie"), Page())
    assert threads.search(Filter(text="Curie"), Page()) == before
