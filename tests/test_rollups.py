"""Every rollup says what the calls say, whatever was added, replaced or taken away meanwhile."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.usage import calls, insights, roots, slices, summary, threads, trends
from server.usage.calls import Page
from server.usage.days import QUARTER, Days
from server.usage.slices import Filter
from tests.rollouts import Tree

ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"]


@pytest.fixture
def tree(config: Config, database: None) -> Tree:
    """A tree that grew twice, with a call that belongs to no session."""
    settings.change({"timeZone": "UTC"})
    built = Tree(config.codex_home, seed=11, body=20)
    indexer = Indexer(config, Ledger())
    for files in (10, 8):
        built.grow(files)
        indexer.scan()
        slices.refresh()
    with db.writing("calls") as connection:
        connection.execute(
            "insert into call(id, provider, model, initiator, started_at, input, cached, "
            "cache_written, output, reasoning, price_status, seen) values "
            "('alone', 'codex', null, 'unknown', 1780000000000, 9, 0, 0, 1, 0, 'unpriced', 2)"
        )
        ledger = Ledger()
        ledger.rebuild(connection)
    slices.refresh()
    return built


def taken_away() -> None:
    """A call that vanished, which only a comparison of sums can see."""
    with db.writing("calls") as connection:
        connection.execute("delete from call where rowid = (select min(rowid) from call)")
        Ledger().rebuild(connection)
    slices.keep()


@pytest.mark.parametrize("zone", ZONES)
def test_the_map_of_hours_tells_each_call_at_its_local_hour(tree: Tree, zone: str) -> None:
    taken_away()
    for wanted in (Filter(), Filter(provider="codex"), Filter(models=("gpt-5.5",))):
        expected = [[0] * 24 for _ in range(7)]
        for at, used, model in db.rows("select started_at, input + output, model from call"):
            if not wanted.models or model in wanted.models:
                local = datetime.fromtimestamp(at / 1000, ZoneInfo(zone))
                expected[local.weekday()][local.hour] += used
        found = trends.heat("2026-01-01", "2026-12-31", zone=zone, wanted=wanted)
        assert found["tokens"] == expected


@pytest.mark.parametrize("zone", [*ZONES, "Africa/Casablanca", "Pacific/Apia", ""])
@pytest.mark.parametrize("year", [2011, 2026])
def test_shifts_tell_the_distance_of_each_quarter_from_utc(zone: str, year: int) -> None:
    days = Days(zone)
    spans = days.shifts(date(year, 1, 1), date(year, 12, 31))
    assert spans[0][0] * QUARTER == days.start(date(year, 1, 1))
    assert spans[-1][1] * QUARTER == days.start(date(year + 1, 1, 1))
    assert all(one[1] == next_[0] for one, next_ in zip(spans, spans[1:], strict=False))
    for begin, end, shift in spans:
        for quarter in {begin, begin + 1, (begin + end) // 2, end - 1}:
            moment = datetime.fromtimestamp(quarter * QUARTER / 1000, UTC)
            away = moment.astimezone(ZoneInfo(zone) if zone else None).utcoffset()
            assert away == timedelta(milliseconds=shift * QUARTER)


_SLOW = {
    "model": "nullif(c.model, '')",
    "effort": "nullif(c.effort, '')",
    "project": "s.project",
    "account": "nullif(c.account, '')",
    "provider": "c.provider",
    "thread": "s.thread",
}


@pytest.mark.parametrize("by", list(_SLOW))
@pytest.mark.parametrize("provider", ["", "codex"])
def test_sums_by_a_heading_are_those_of_the_calls(tree: Tree, by: str, provider: str) -> None:
    taken_away()
    wanted: dict[Any, tuple[Any, ...]] = {
        name: tuple(sums)
        for name, *sums in db.rows(
            f"select {_SLOW[by]}, count(*), count(distinct c.session), sum(c.input + c.output), "
            "sum(c.reasoning), sum(c.cost is null), sum(c.credits) from call c left join session s "
            "on s.id = c.session where ? in ('', c.provider) group by 1",
            (provider,),
        )
    }
    answer = summary.grouped(Filter(provider=provider), by, Days("UTC"), 0)
    assert answer["total"] == len(wanted)
    for group in answer["groups"]:
        calls, sessions, tokens, reasoning, unpriced, credits = wanted[
            group["project"] if by == "project" else group["name"]
        ]
        assert (group["calls"], group["sessions"], group["totalTokens"]) == (
            calls, sessions, tokens,
        )  # fmt: skip
        assert (group["reasoningTokens"], group["unpriced"]) == (reasoning, unpriced)
        assert group["credits"] == (None if credits is None else credits / 1e6)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_the_newest_days_come_first_and_all_are_counted(tree: Tree, zone: str) -> None:
    expected: dict[str, tuple[int, set[int | None]]] = {}
    for at, session in db.rows("select started_at, session from call"):
        day = datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).date().isoformat()
        calls, sessions = expected.setdefault(day, (0, set()))
        expected[day] = calls + 1, sessions | ({session} - {None})
    for limit in (3, 0):
        answer = summary.grouped(Filter(), "date", Days(zone), limit)
        assert answer["total"] == len(expected)
        assert [(one["name"], one["calls"], one["sessions"]) for one in answer["groups"]] == [
            (day, expected[day][0], len(expected[day][1]))
            for day in sorted(expected, reverse=True)[: limit or None]
        ]


def test_sessions_of_a_day_follow_the_zone_that_is_set(tree: Tree) -> None:
    settings.change({"timeZone": "Asia/Kathmandu"})
    expected: dict[str, set[int]] = {}
    for at, session in db.rows("select started_at, session from call where session is not null"):
        day = datetime.fromtimestamp(at / 1000, ZoneInfo("Asia/Kathmandu")).date().isoformat()
        expected.setdefault(day, set()).add(session)
    days = trends.series("2026-01-01", "2026-12-31")["days"]
    assert {day["day"]: day["sessions"] for day in days if day["sessions"]} == {
        day: len(sessions) for day, sessions in expected.items()
    }


EVERY: dict[str, dict[str, Any]] = {
    "all": {},
    "a provider": {"provider": "codex"},
    "a model": {"models": ("gpt-5.5",)},
    "a project": {"projects": tuple(roots.key(f"/home/dev/project-{n}") for n in (1, 2))},
    "a month": {"since": 1_770_000_000_000 // QUARTER * QUARTER},
    "a text": {"text": "project-1"},
    "priced": {"price_status": "exact"},
}
SPAN = ("2026-01-01", "2026-12-31")


def told(wanted: Filter, zone: str) -> dict[str, Any]:
    """What every list and chart says, but for what a whole thread is like."""
    days = Days(zone)
    everything = Page(limit=500)
    answers: dict[str, Any] = {
        f"calls by {sort}": calls.search(wanted, Page(sort=sort, limit=40))
        for sort in ("time", "tokens", "thread", "model")
    }
    answers |= {
        f"summary by {by}": by_name(summary.grouped(wanted, by, days, 0))
        for by in (*_SLOW, "date", "session", "kind")
    }
    answers["threads"] = threads.search(wanted, everything)
    answers["insights"] = insights.found(wanted)
    for rows in (answers["threads"]["threads"], answers["insights"]["threads"]):
        for row in rows:
            row.pop("models"), row.pop("efforts")
    answers["coverage"] = summary.coverage(wanted)
    plain = Filter(
        provider=wanted.provider,
        models=wanted.models,
        projects=wanted.projects,
        history=wanted.history,
    )
    for by in trends.HEADINGS:
        answers[f"trends by {by}"] = trends.series(*SPAN, by=by, zone=zone, wanted=plain)
    answers["sums"] = trends.summary(*SPAN, 1_780_000_000_000, zone=zone, wanted=plain)
    answers["sums"].pop("providers")  # what there is to choose from
    answers["heat"] = trends.heat(*SPAN, zone=zone, wanted=plain)
    return answers


def by_name(found: dict[str, Any]) -> dict[str, Any]:
    return {group.get("name", group.get("project")): group for group in found["groups"]}


def without_archived() -> None:
    """Take archived sessions out of the ledger, as if there had never been one."""
    gone = "select s.id from session s join source_file f on f.id = s.source where f.archived"
    with db.writing("calls") as connection:
        connection.execute(f"delete from call where session in ({gone})")
        Ledger().rebuild(connection)
    slices.forget()
    slices.refresh()


def put_aside(home: Path, every: int) -> None:
    """Archive some of the active logs and take some of the archived ones back."""
    archive, active = home / "archived_sessions", home / "sessions" / "2026" / "01" / "01"
    active.mkdir(parents=True, exist_ok=True)
    archive.mkdir(exist_ok=True)
    for number, path in enumerate(sorted(home.glob("sessions/**/*.jsonl"))):
        if number % every == 0:
            path.replace(archive / path.name)
    for number, path in enumerate(sorted(archive.glob("*.jsonl"))):
        if number % every == 1:
            path.replace(active / path.name)


@pytest.mark.parametrize(
    ("ours", "zone"),
    [
        pytest.param("UTC", "UTC", id="UTC"),
        pytest.param("Asia/Kathmandu", "Asia/Kathmandu", id="a zone of 45 minutes"),
        pytest.param("UTC", "Asia/Kathmandu", id="another zone than ours"),
    ],
)
@pytest.mark.parametrize("named", list(EVERY))
def test_without_archived_sessions_all_is_as_if_they_had_never_been(
    tree: Tree, config: Config, named: str, ours: str, zone: str
) -> None:
    settings.change({"timeZone": ours})
    indexer = Indexer(config, Ledger())
    wanted = EVERY[named]
    for every in (3, 2):  # what was archived before comes back, in part
        slices.refresh()
        put_aside(config.codex_home, every)
        indexer.scan()
    active = told(Filter(history="active", **wanted), zone)
    whole = told(Filter(**wanted), zone)
    assert whole["threads"]["totals"]["calls"] > active["threads"]["totals"]["calls"] > 0
    slices.forget()
    slices.refresh()
    assert told(Filter(**wanted), zone) == whole, "moving the sums is as good as summing up anew"
    assert told(Filter(history="active", **wanted), zone) == active
    without_archived()
    expected = told(Filter(**wanted), zone)
    for name, answer in active.items():
        assert answer == expected[name], name


def test_a_session_that_moved_is_seen_by_a_server_that_was_not_told(
    tree: Tree, config: Config
) -> None:
    before = calls.search(Filter(history="active"), Page())["total"]
    slices.keep()
    session, count = db.rows(
        "select s.id, count(*) from session s join source_file f on f.id = s.source "
        "join call c on c.session = s.id where not f.archived group by 1 order by 1 limit 1"
    )[0]
    with db.writing() as connection:  # another process did this: no revision tells of it
        connection.execute(
            "update source_file set archived = 1 where id = (select source from session "
            "where id = ?)",
            (session,),
        )
    assert calls.search(Filter(history="active"), Page())["total"] == before - count
