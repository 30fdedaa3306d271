"""The charts of a text, or of models, are the same, whether memory or rows tell them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.usage import finding, textthreads, trends
from server.usage.days import chosen
from server.usage.slices import Filter
from tests.rollouts import Tree

TEXTS = ("sundial", "a", "7", "Curie", "-", "ÜBER", "2", "nothing", "gpt", "rollout", "brass")
# What happens to a ledger between two looks at its charts.
CHANGES = {
    "as it was scanned": "select 1",
    "sessions go on for days": (
        "update call set started_at = started_at + (rowid % 4) * 86400000 where session % 3 = 1"
    ),
    "several efforts": (
        "update call set effort = case rowid % 5 when 0 then 'high' when 1 then 'brassy' "
        "else effort end where session % 3 = 2"
    ),
    "several models and accounts": (
        "update call set model = case rowid % 3 when 0 then 'brass' else model end, "
        "account = case rowid % 4 when 0 then 'second' else account end where session % 2 = 1"
    ),
    "sub-agents count as one": (
        "update session set head = (select min(id) from session) where id % 4 = 3"
    ),
    "projects changed": "update session set project = null where id % 4 = 2",
    "logs are put aside": "update source_file set archived = 1 where id % 3 = 1",
    "some belong to no session": "update call set session = null where rowid % 11 = 0",
    "and the first of sessions that are there still": (
        "update call set session = null where session % 5 = 1 and rowid % 2 = 0"
    ),
}


@pytest.fixture
def tree(config: Config, database: None) -> Tree:
    settings.change({"timeZone": "UTC"})
    built = Tree(config.codex_home, seed=9, body=6)
    built.grow(8)
    Indexer(config, Ledger()).scan()
    with db.writing("calls") as connection:
        connection.execute("update thread set title = 'Mend the sundial ' || id where rowid % 3")
        connection.execute("update session set role = 'Curie' where id % 4 = 0")
    return built


found = finding.found


def charts(wanted: Filter, first: str, last: str, zone: str, now: int) -> list[Any]:
    return [
        *(trends.series(first, last, by=by, zone=zone, wanted=wanted) for by in trends.HEADINGS),
        trends.heat(first, last, zone=zone, wanted=wanted),
        trends.summary(first, last, now, zone=zone, wanted=wanted),
    ]


def asked_for(chance: random.Random) -> dict[str, Any]:
    """A text, or some of the models and efforts that there are."""
    if chance.random() < 0.5:
        return {"text": chance.choice(TEXTS)}
    found: dict[str, Any] = {}
    for name in chance.choice((("model",), ("effort",), ("model", "effort"))):
        read = db.rows(f"select distinct coalesce({name}, '') from call order by 1")  # noqa: S608
        known = [value for (value,) in read] + ["nobody's"]
        found[f"{name}s"] = tuple(chance.sample(known, chance.randint(1, 2)))
    return found


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_any_chart_is_drawn_alike(tree: Tree, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    chance, told = random.Random(zone), 0
    # The days in memory are those of another zone than at first.
    trends.summary("2026-01-01", "2026-12-31", 0, wanted=Filter(text="Curie"))
    settings.change({"timeZone": zone})
    for change in CHANGES.values():
        with db.writing("calls") as connection:
            connection.execute(change)
        ends = db.rows("select min(started_at), max(started_at) from call")[0]
        days = chosen().last(6, ends[1])
        for _ in range(6):
            wanted = Filter(
                **asked_for(chance),
                history=chance.choice(("", "active")),
                names=chance.random() < 0.8,
            )
            first = chance.choice([chosen().of(ends[0]), *days])
            asked = (wanted, first, days[-1], chance.choice(("", "", "UTC", "Asia/Tokyo")), ends[1])
            ours = charts(*asked)
            with monkeypatch.context() as patch:
                patch.setattr(textthreads, "does", lambda _wanted: False)
                patch.setattr(finding, "found", lambda wanted, **_: found(wanted))
                assert ours == charts(*asked), (change, asked)
            told += ours[-1]["range"]["calls"]
    assert told
