"""Days and series: from the rollups, and from the calls for another zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.usage import calls, roots, trends
from server.usage.calls import Page
from server.usage.days import Days
from server.usage.slices import Filter
from tests.rollouts import Tree

NOW = 1_780_300_000_000


@pytest.fixture
def tree(config: Config, database: None) -> Tree:
    """An indexed tree, its days counted in UTC."""
    settings.change({"timeZone": "UTC"})
    built = Tree(config.codex_home, seed=31, body=20)
    built.grow(24)
    Indexer(config, Ledger()).scan()
    return built


@pytest.mark.parametrize("by", trends.HEADINGS)
@pytest.mark.parametrize("zone", ["", "Asia/Kathmandu", "America/St_Johns"])
def test_a_series_adds_up_to_the_truth(tree: Tree, by: str, zone: str) -> None:
    answer = trends.series("2026-05-20", "2026-06-20", by=by, zone=zone)
    days = answer["days"]
    assert len(days) == 32
    assert sum(day["calls"] for day in days) == tree.sums[0]
    assert sum(day["cachedInput"] for day in days) == tree.sums[2]
    assert sum(day["cachedInput"] + day["uncachedInput"] for day in days) == tree.sums[1]
    assert sum(day["output"] for day in days) == tree.sums[3]
    assert sum(sum(day["series"].values()) for day in days) == tree.sums[1] + tree.sums[3]
    assert {name for day in days for name in day["series"]} == set(answer["names"])


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Pacific/Kiritimati", "UTC"])
def test_a_day_is_the_viewers(tree: Tree, zone: str) -> None:
    wanted: dict[str, int] = {}
    for (at,) in db.rows("select started_at from call"):
        day = datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).date().isoformat()
        wanted[day] = wanted.get(day, 0) + 1
    days = trends.series("2026-05-20", "2026-06-20", zone=zone)["days"]
    assert {day["day"]: day["calls"] for day in days if day["calls"]} == wanted


def test_today_and_the_last_days(tree: Tree) -> None:
    at = db.rows("select max(started_at) from call")[0][0]
    today = trends.today(at)
    assert today["calls"] > 0
    assert 0 < today["threads"] <= today["calls"]
    assert today["tokens"] == today["inputTokens"] + today["outputTokens"]
    days = trends.days(14, at)
    assert len(days) == 14
    assert days[-1]["calls"] == today["calls"]
    assert days[-1]["day"] == Days("UTC").of(at)
    assert trends.coverage()["calls"] == tree.sums[0]


def test_nothing_used_is_nothing_unknown_is_none(database: None) -> None:
    today = trends.today(NOW)
    assert (today["calls"], today["tokens"], today["costUsd"]) == (0, 0, 0)
    with db.writing() as connection:
        connection.execute(
            "insert into daily_usage values (?, 'model', 'codex', 'gpt-6', 2, 9, 0, 1, 0, 0, 2)",
            (Days("").of(NOW),),
        )
    assert trends.today(NOW)["costUsd"] is None


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        pytest.param("Europe/Berlin", date(2026, 3, 29), 23, id="a short day"),
        pytest.param("Europe/Berlin", date(2026, 10, 25), 25, id="a long day"),
        pytest.param("Asia/Kathmandu", date(2026, 5, 1), 24, id="an odd offset"),
    ],
)
def test_days_of_a_zone(zone: str, day: date, hours: int) -> None:
    days = Days(zone)
    start = days.start(day)
    assert days.of(start) == day.isoformat()
    assert days.of(start - 1) < day.isoformat()
    assert days.of(start + hours * 3_600_000 - 1) == day.isoformat()
    assert days.of(start + hours * 3_600_000) > day.isoformat()


def test_a_zone_that_nobody_knows_stops_nothing(tree: Tree) -> None:
    # Stored where the zone was known: on another computer, or by another version of the tables.
    with db.writing() as connection:
        connection.execute("replace into setting values ('timeZone', '\"Mars/Base\"')")
    settings.load()
    assert trends.today(NOW)["calls"] >= 0
    assert len(trends.days(3, NOW)) == 3


@pytest.fixture
def client(config: Config) -> Iterator[FlaskClient]:
    """The app on an empty ledger."""
    app = create_app(config)
    with app.test_client() as made:
        yield made
    db.close_databases()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 200), ({"from": "2026-01-01", "to": "2026-01-31", "by": "model"}, 200),
        ({"by": "weather"}, 422), ({"from": "x"}, 422), ({"tz": "Nowhere/Else"}, 422),
        ({"from": "2026-02-01", "to": "2026-01-01"}, 422),
        ({"from": "0001-01-01", "to": "9999-12-31"}, 422), ({"to": "0001-01-01"}, 422),
        ({"provider": "x"}, 422), ({"tz": "Asia/Tokyo", "to": "2899-12-31"}, 200),
    ],
    ids=str,
)  # fmt: skip
def test_the_route(client: FlaskClient, query: dict[str, str], status: int) -> None:
    answer = client.get("/api/trends", query_string=query)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert len(answer.get_json()["days"]) >= 30


@pytest.mark.parametrize("asked", ["", "Asia/Kathmandu", "Asia/Katmandu", "Europe/Berlin"])
def test_stretches_follow_the_zone_that_is_set(tree: Tree, asked: str) -> None:
    """Katmandu is Kathmandu by another name, so that its days are those of the rollup."""
    project = roots.key("/home/dev/project-1")
    wanted = Filter(projects=(project,))
    trends.series("2026-05-20", "2026-06-20", wanted=wanted)  # summed up in UTC
    settings.change({"timeZone": "Asia/Kathmandu"})
    expected: dict[str, int] = {}
    zone = ZoneInfo(asked or "Asia/Kathmandu")
    for (at,) in db.rows(
        "select c.started_at from call c join session s on s.id = c.session where s.project = ?",
        (project,),
    ):
        day = datetime.fromtimestamp(at / 1000, zone).date().isoformat()
        expected[day] = expected.get(day, 0) + 1
    days = trends.series("2026-05-20", "2026-06-20", zone=asked, wanted=wanted)["days"]
    assert {day["day"]: day["calls"] for day in days if day["calls"]} == expected != {}
    sessions = db.rows(
        "select count(distinct c.session) from call c join session s on s.id = c.session "
        "where s.project = ?",
        (project,),
    )[0][0]
    sums = trends.summary("2026-05-20", "2026-06-20", NOW, zone=asked, wanted=wanted)["range"]
    assert (sums["calls"], sums["sessions"]) == (sum(expected.values()), sessions)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_today_begins_at_the_viewers_midnight(tree: Tree, zone: str) -> None:
    for (at,) in db.rows("select distinct started_at / 21600000 * 21600000 from call"):
        day = trends.series(Days(zone).of(at), Days(zone).of(at), zone=zone)["days"][0]
        today = trends.today(at, zone)
        assert today["calls"] == day["calls"]
        assert trends.days(14, at, zone)[-1] == day
        begin = Days(zone).start(date.fromisoformat(day["day"]))
        threads = db.rows(
            "select count(distinct s.thread) from call c join session s on s.id = c.session "
            "where c.started_at >= ? and c.started_at < ?",
            (begin, begin + 86_400_000),
        )[0][0]
        assert today["threads"] == threads


@pytest.mark.parametrize("zone", ["", "Asia/Kathmandu"])
@pytest.mark.parametrize("history", ["", "active"])
def test_a_text_narrows_charts_as_it_does_lists(tree: Tree, zone: str, history: str) -> None:
    call, session = db.rows("select c.id, s.key from call c join session s on s.id = c.session")[9]
    seen = []
    for text in ("5.5", "high", "project-1", session[:13], call[:9], "no such text"):
        wanted = Filter(text=text, history=history)
        listed = calls.search(wanted, Page(limit=5000))
        rows, tokens = listed["calls"], listed["totals"]["totalTokens"]
        seen.append(len(rows))
        at = [datetime.fromisoformat(row["at"]).astimezone(ZoneInfo(zone or "UTC")) for row in rows]
        first, last = "2026-05-01", "2026-07-01"
        for by in trends.HEADINGS:
            found = trends.series(first, last, by=by, zone=zone, wanted=wanted)["days"]
            told = {day["day"]: day["calls"] for day in found if day["calls"]}
            assert told == Counter(moment.date().isoformat() for moment in at), (text, by)
            assert sum(sum(day["series"].values()) for day in found) == tokens
            by_day = {
                (moment.date(), row["sessionId"]) for moment, row in zip(at, rows, strict=True)
            }
            assert sum(day["sessions"] for day in found) == len(by_day)
        heat = trends.heat(first, last, zone=zone, wanted=wanted)
        assert sum(map(sum, heat["tokens"])) == tokens
        assert sum(map(sum, heat["calls"])) == len(rows)
        sums = trends.summary(first, last, NOW, zone=zone, wanted=wanted)["range"]
        assert (sums["calls"], sums["tokens"]) == (len(rows), tokens)
        assert sums["sessions"] == len({row["sessionId"] for row in rows})
    assert all(seen[:-1]) and not seen[-1]
