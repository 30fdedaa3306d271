"""/api/threads, /api/insights, /api/trends/*: sums that equal the calls, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Config
from server.dashboard import filters
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.times import iso
from server.usage import insights, slices, threads, thresholds
from tests.rollouts import Tree


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """The app over an indexed tree, once for all tests here, as they only read."""
    folder = tmp_path_factory.mktemp("threads")
    config = Config(
        data_dir=folder / "data", codex_home=folder / "codex", claude_home=folder / "claude",
        port=80, strict_writes=True,
    )  # fmt: skip
    Tree(config.codex_home, seed=23, body=20).grow(40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIMLINE_NO_KEYRING", "1")
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        app = create_app(config)
        settings.change({"timeZone": "UTC"})
        Indexer(config, Ledger()).scan()
        with app.test_client() as made:
            yield made
        db.close_databases()


def get(client: FlaskClient, path: str, **asked: Any) -> Any:
    answer = client.get(path, query_string=asked)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def some(column: str, table: str = "call") -> Any:
    return db.rows(f"select {column} from {table} where {column} != '' order by random()")[0][0]


def everything(client: FlaskClient, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = get(client, "/api/threads", limit=7, cursor=cursor, **asked)
        found += answer["threads"]
        if not answer["hasMore"]:
            assert answer["total"] == len(found)
            assert sum(row["totalTokens"] for row in found) == answer["totals"]["totalTokens"]
            assert sum(row["calls"] for row in found) == answer["totals"]["calls"]
            return found
        cursor = answer["nextCursor"]


_NAMED = ("thread", "model", "effort")  # see test_titled


@pytest.mark.parametrize("sort", [sort for sort in threads.SORTS if sort not in _NAMED])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_hold_every_thread_once_in_order(
    client: FlaskClient, sort: str, direction: str
) -> None:
    key = {
        "time": "lastAt", "tokens": "totalTokens", "calls": "calls", "cost": "costUsd",
        "credits": "credits", "cache": "cacheRatio", "context": "maxContextPercent",
        "duration": "durationMs", "attention": "attention",
    }[sort]  # fmt: skip
    rows = everything(client, sort=sort, direction=direction)
    assert len({row["id"] for row in rows}) == len(rows) > 7
    values = [(-1 if row[key] is None else row[key]) for row in rows]
    assert values == sorted(values, reverse=direction == "desc")
    calls = get(client, "/api/calls")["totals"]
    assert sum(row["totalTokens"] for row in rows) == calls["totalTokens"]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"model": "gpt-5.5"}, id="one model"),
        pytest.param({"model": ["gpt-5.5", "gpt-5.4"], "effort": "high"}, id="two and an effort"),
        pytest.param({"priceStatus": "unpriced"}, id="what has no price"),
        pytest.param({"from": "2026-05-29", "to": "2026-06-02"}, id="some days"),
        pytest.param(
            {"from": "2026-05-29", "to": "2026-06-02", "tz": "Asia/Kathmandu"},
            id="some days of a zone with an odd offset",
        ),
        pytest.param({"provider": "claude"}, id="a provider without calls"),
        pytest.param({"project": "no such project"}, id="a project that is not there"),
    ],
)
def test_a_filter_finds_the_same_calls_in_threads_and_lists(
    client: FlaskClient, asked: dict[str, Any]
) -> None:
    rows = everything(client, **asked)
    totals = get(client, "/api/calls", **asked)["totals"]
    assert sum(row["calls"] for row in rows) == totals["calls"]
    assert sum(row["totalTokens"] for row in rows) == totals["totalTokens"]
    assert sum(row["unpriced"] for row in rows) == totals["unpriced"]
    if len(asked) == 1 and "from" not in asked:  # the list itself, beyond its rollup
        counted = get(client, "/api/calls", q="-", **asked)["totals"]
        assert counted == totals


@pytest.mark.parametrize("inside", [True, False], ids=["mostly within", "mostly across"])
def test_a_span_of_time_finds_the_same_either_way(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    monkeypatch.setattr(threads._Groups, "_inside", lambda _self: inside)
    first, last = db.rows("select min(started_at), max(started_at) from call")[0]
    step = (last - first) // 9
    for start, end in ((0, 4), (3, 5), (4, 9), (0, 9), (8, 9), (3, 20), (0, 20)):
        # Whole quarters of an hour, as the rollups have them.
        bounds = [(first + n * step) // 900_000 * 900_000 for n in (start, end)]
        asked = {"from": iso(bounds[0]), "to": iso(bounds[1])}
        if end == 20:  # without an end, which is later than the newest call
            del asked["to"]
        filters.forget()
        found = {row["id"]: row for row in everything(client, sort="cost", **asked)}
        for sort in ("time", "thread", "model"):
            assert {row["id"]: row for row in everything(client, sort=sort, **asked)} == found
            listed = get(client, "/api/threads", sort=sort, limit=2, **asked)
            assert listed["total"] == len(found)
            assert listed["totals"]["totalTokens"] == sum(r["totalTokens"] for r in found.values())
        expected = db.rows(
            "select s.thread, count(*), sum(c.input + c.output), count(distinct s.id), "
            "min(c.started_at) from call c join session s on s.id = c.session "
            "where c.started_at >= ? and c.started_at < ? group by 1",
            bounds,
        )
        assert {
            (name, row["calls"], row["totalTokens"], row["sessions"], row["startedAt"])
            for name, row in found.items()
        } == {(name, *sums, iso(at)) for name, *sums, at in expected}
        top = get(client, "/api/insights", **asked)["threads"]
        assert all(row == found[row["id"]] for row in top) and top


def test_a_threads_story(client: FlaskClient) -> None:
    rows = everything(client)
    row = max(rows, key=lambda row: (row["subagents"], row["calls"]))
    assert row["subagents"] > 0
    story = get(client, f"/api/threads/{row['id']}")
    assert {key: story[key] for key in row} == row
    assert len(story["sessionList"]) >= row["sessions"] > 1
    assert sum(one["totalTokens"] for one in story["sessionList"]) == row["totalTokens"]
    kinds = {one["kind"] for one in story["sessionList"]}
    assert kinds <= {"main", "subagent", "review"} and "subagent" in kinds
    assert story["curve"][-1]["cumulativeTokens"] == row["totalTokens"]
    assert [point["at"] for point in story["curve"]] == sorted(p["at"] for p in story["curve"])
    assert "largest-jump" in {signal["key"] for signal in story["lifecycle"]}
    listed = get(client, "/api/calls", thread=row["id"], limit=500)
    assert listed["total"] == row["calls"]
    assert listed["calls"][-1]["gapMs"] is None
    assert all(one["gapMs"] >= 0 for one in listed["calls"][:-1])


@pytest.mark.parametrize(
    ("cached", "told"),
    [
        pytest.param((66, 66), set(), id="no change is no news"),
        pytest.param((66, 20), {"cache-trend"}, id="a loss"),
    ],
)
def test_a_trend_is_told_where_there_is_one(
    client: FlaskClient, cached: tuple[int, int], told: set[str]
) -> None:
    story: threads.Story = [
        threads.Told(f"r{n}", n, 100, share, 1, 1000, None, "user")
        for n, share in enumerate(cached)
    ]
    found = {signal["key"] for signal in threads.lifecycle(story, thresholds.current())}
    assert found & {"cache-trend", "context-trend"} == told


def test_the_context_went_from_its_first_figure_to_its_last() -> None:
    filled = [37, 200, 400, 600, 800, 919]
    story: threads.Story = [
        threads.Told(f"r{n}", n, size, 0, 1, 1000, None, "user") for n, size in enumerate(filled)
    ]
    found = threads.lifecycle(story, thresholds.current())
    trend = next(signal for signal in found if signal["key"] == "context-trend")
    assert (trend["from"], trend["to"]) == (pytest.approx(3.7), pytest.approx(91.9))


def told(session: str, *calls: tuple[int, int | None]) -> list[threads.Told]:
    """Calls of a session that each filled so much of a thousand, and what they cost in cents."""
    kind = None if session == "own" else "subagent"
    return [
        threads.Told(
            f"{session}{n}", n, filled, 0, 1, 1000, None if c is None else c * 10_000,
            "user", kind, session,
        )
        for n, (filled, c) in enumerate(calls)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("story", "said"),
    [
        pytest.param(
            told("own", (110, 1), (110, 1)) + told("sub", (551, 1), (700, 1)), [],
            id="a sub-agent's full context is not the thread's",
        ),
        pytest.param(
            told("own", (110, 1), (620, 11), (640, 82)),
            [
                ("first-expensive-turn", None, pytest.approx(62)),
                ("context-trend", None, pytest.approx(64)),
            ],
            id="a context that made a turn dear is what is told of it",
        ),
        pytest.param(
            told("own", (110, 1), (110, 120)), [("first-expensive-turn", 1.2, None)],
            id="a dear turn says what it cost",
        ),
        pytest.param(
            told("own", (110, 1)) + told("sub", (900, 150)), [("first-expensive-turn", 1.5, None)],
            id="a dear turn may be a sub-agent's",
        ),
    ],
)  # fmt: skip
def test_a_story_of_context_is_of_one_session(
    story: list[threads.Told], said: list[tuple[str, float | None, float | None]]
) -> None:
    found = threads.lifecycle(story, thresholds.current(), threads.main_session(story, "own"))
    keys = ("first-expensive-turn", "context-trend")
    assert [(one["key"], one["value"], one["to"]) for one in found if one["key"] in keys] == said


@pytest.mark.parametrize(
    ("story", "own"),
    [
        pytest.param(told("own", (1, 1)) + told("sub", (1, 1), (2, 1)), "own", id="the thread's"),
        pytest.param(told("a", (1, 1)) + told("b", (1, 1), (2, 1)), "b", id="only helpers"),
        pytest.param([], "", id="no calls"),
    ],
)
def test_which_session_a_threads_story_is_about(story: list[threads.Told], own: str) -> None:
    assert threads.main_session(story, "own") == own


def test_each_session_has_a_curve_of_its_own() -> None:
    story = told("own", *[(n % 900 + 1, 1) for n in range(900)])
    for number in range(60):
        story += told(f"sub{number}", *[(n + 1, 1) for n in range(90)])
    curve = threads._curve(story, "own")
    assert sum(point["sessionId"] == "own" for point in curve) <= 400
    assert {point["sessionId"] for point in curve} == {call.session for call in story}
    assert len(curve) <= 2400
    assert [point["number"] for point in curve] == sorted(point["number"] for point in curve)


def test_a_long_threads_curve_stays_drawable() -> None:
    story: threads.Story = [
        threads.Told(f"r{n}", n * 1000, 10, 5, 1, 100, None, "user") for n in range(1001)
    ]
    curve = threads._curve(story)
    assert len(curve) <= 400 and curve[-1]["callId"] == "r1000"
    assert curve[-1]["cumulativeTokens"] == 11 * 1001
    assert (curve[0]["number"], curve[-1]["number"]) == (1, 1001)


def test_a_long_threads_curve_keeps_every_drop_of_the_cache() -> None:
    drops = {n for n in range(1200) if n % 100 == 37}
    story: threads.Story = [
        threads.Told(f"r{n}", n, 10 + n % 7, 0 if n in drops else 9, 1, 100, None, "user")
        for n in range(1200)
    ]
    curve = threads._curve(story)
    assert len(curve) <= 400
    assert {p["number"] - 1 for p in curve if p["cacheRatio"] == 0} == drops
    assert [p["number"] for p in curve] == sorted({p["number"] for p in curve})
    assert max(p["contextPercent"] for p in curve) == 16


@pytest.mark.parametrize("preset", [key for key, *_ in insights.PRESETS])
def test_a_presets_count_is_what_it_opens(client: FlaskClient, preset: str) -> None:
    found = next(p for p in get(client, "/api/insights")["presets"] if p["key"] == preset)
    asked = {"preset": preset, "sort": found["sort"], "direction": found["direction"]}
    assert get(client, f"/api/{found['view']}", **asked)["total"] == found["count"]


def test_insights_follow_the_filter(client: FlaskClient) -> None:
    every = get(client, "/api/insights")
    assert [card["key"] for card in every["cards"]][:1] == ["highest-cost"]
    scores = [row["attention"] for row in every["threads"]]
    assert len(scores) == 10 and scores == sorted(scores, reverse=True)
    one = get(client, "/api/insights", model="gpt-5.5")
    assert one["presets"][-2]["count"] == 0  # it has a price
    none = get(client, "/api/insights", provider="claude")
    assert none["cards"] == [] and none["threads"] == []
    assert every["thresholds"]["high_context_percent"] == 0.6


def test_new_thresholds_count_anew(client: FlaskClient) -> None:
    from server.usage import ownfiles

    before = get(client, "/api/insights")["presets"][3]["count"]
    ownfiles.write("thresholds.json", {"low_cache_ratio": 1.01, "high_uncached_input_tokens": 0})
    try:
        after = get(client, "/api/insights")
        with_input = db.rows("select count(*) from call where input > 0")[0][0]
        assert before < after["presets"][3]["count"] == with_input
        assert after["thresholds"]["low_cache_ratio"] == 1.01
        ownfiles.path("thresholds.json").write_text("[1,")
        assert get(client, "/api/insights")["presets"][3]["count"] == before
    finally:
        ownfiles.path("thresholds.json").unlink()


def test_sums_of_trends(client: FlaskClient) -> None:
    days = get(client, "/api/trends", **{"from": "first", "to": "2026-12-31"})["days"]
    total = get(client, "/api/calls")["totals"]
    sums = get(client, "/api/trends/summary", **{"from": "first", "to": "2026-12-31"})
    assert sums["range"]["tokens"] == total["totalTokens"]
    assert sums["range"]["calls"] == total["calls"] == sum(day["calls"] for day in days)
    assert sums["range"]["costUsd"] == pytest.approx(total["costUsd"])
    sessions = db.rows("select count(distinct session) from call")[0][0]
    assert sums["range"]["sessions"] == sessions <= sum(day["sessions"] for day in days)
    assert sums["range"]["daysWithUsage"] == sum(day["calls"] > 0 for day in days)
    best = max(days, key=lambda day: day["cachedInput"] + day["uncachedInput"] + day["output"])
    assert sums["range"]["highestDay"]["day"] == best["day"]
    assert len(sums["weeks"]) == 3 and sums["ytd"]["from"].endswith("-01-01")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_heat_adds_up(client: FlaskClient, zone: str) -> None:
    asked = {"from": "2026-05-01", "to": "2026-12-31", "tz": zone}
    heat = get(client, "/api/trends/heat", **asked)
    assert [len(row) for row in heat["tokens"]] == [24] * 7
    assert sum(map(sum, heat["tokens"])) == get(client, "/api/calls")["totals"]["totalTokens"]
    one = get(client, "/api/trends/heat", model="gpt-5.5", **asked)
    only = get(client, "/api/calls", model="gpt-5.5")["totals"]["calls"]
    assert sum(map(sum, one["calls"])) == only


def test_the_rollups_mend_themselves(client: FlaskClient) -> None:
    slices.keep()
    before = db.rows("select * from slice")
    with db.writing("calls") as connection:  # as if calls had gone without a trace
        connection.execute("update slice set calls = calls + 1, input = input + 7")
    slices.keep()
    assert db.rows("select * from slice") == before
    assert db.rows("select total(calls) from thread_usage where everything") == db.rows(
        "select total(calls) from slice"
    )


@pytest.mark.parametrize("mode", ["redacted", "strict"])
def test_privacy_hides_names_everywhere(client: FlaskClient, mode: str) -> None:
    projects = {name for (name,) in db.rows("select distinct project from session") if name}
    titles = {name for (name,) in db.rows("select title from thread") if name}
    thread = everything(client)[0]
    for path in (
        "/api/calls", "/api/calls/options", "/api/threads", "/api/insights",
        f"/api/threads/{thread['id']}", "/api/trends?by=project&from=first",
    ):  # fmt: skip
        answer = client.get(path + ("&" if "?" in path else "?") + f"privacy={mode}")
        assert answer.status_code == 200
        for name in projects | titles:
            assert f'"{name}"' not in answer.text, path
    hidden = everything(client, privacy=mode)
    assert all((row["title"] or "Thread ").startswith("Thread ") for row in hidden)
    shown = next(row["project"] for row in hidden if row["project"])
    assert shown.startswith("Project ")
    # The shown name filters, the real one does not.
    assert get(client, "/api/calls", project=shown, privacy=mode)["total"] > 0
    for name in projects:
        assert get(client, "/api/calls", project=name, privacy=mode)["total"] == 0
        assert get(client, "/api/calls", q=name, privacy=mode)["total"] == 0


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        pytest.param("/api/threads", {"sort": "reasoning"}, id="a sort of another list"),
        pytest.param("/api/threads", {"cursor": "x"}, id="a cursor of nobody"),
        pytest.param("/api/calls", {"preset": "everything"}, id="an unknown preset"),
        pytest.param("/api/insights", {"from": "soon"}, id="a day that is none"),
        pytest.param("/api/calls", {"from": "2026-06-02", "to": "2026-06-01"}, id="backwards"),
        pytest.param("/api/trends/heat", {"tz": "Mars/Base"}, id="an unknown zone"),
        pytest.param("/api/calls", {"privacy": "none"}, id="an unknown mode"),
    ],
)
def test_bad_queries_are_explained(client: FlaskClient, path: str, asked: dict[str, str]) -> None:
    answer = client.get(path, query_string=asked)
    assert answer.status_code == 422
    assert answer.get_json()["error"]["message"]


def test_an_unknown_thread(client: FlaskClient) -> None:
    assert client.get("/api/threads/nothing").status_code == 404


def test_the_rollups_pass_the_check_at_start(client: FlaskClient) -> None:
    # SQLite 3.40 reports damage in some sound tables; the folder would be "mended" each time.
    assert db.rows("pragma quick_check") == [("ok",)]


def test_a_cards_count_is_what_it_opens(client: FlaskClient) -> None:
    found = get(client, "/api/insights")
    view = {preset["key"]: preset["view"] for preset in found["presets"]} | {
        "context-full": "calls"
    }
    opened = {
        card["key"]: get(client, f"/api/{view[card['preset']]}", preset=card["preset"])["total"]
        for card in found["cards"]
        if not card["threadId"]
    }
    assert opened == {card["key"]: card["count"] for card in found["cards"] if not card["threadId"]}


@pytest.mark.parametrize("path", ["/api/calls", "/api/threads", "/api/insights"])
def test_the_dearest_are_an_order_and_leave_nothing_out(client: FlaskClient, path: str) -> None:
    every, dear = (get(client, path, preset=preset) for preset in ("", "highest-cost"))
    assert dear.get("total") == every.get("total")


@pytest.mark.parametrize("preset", ["context-bloat", "context-full"])
def test_a_presets_threads_are_those_of_its_calls(client: FlaskClient, preset: str) -> None:
    listed = get(client, "/api/threads", preset=preset, limit=500)["threads"]
    calls = get(client, "/api/calls", preset=preset, limit=500)["calls"]
    assert {row["id"] for row in listed} == {call["threadId"] for call in calls}


def test_a_call_tells_whose_work_it_was(client: FlaskClient) -> None:
    kinds = dict(db.rows("select key, coalesce(kind, 'main') from session"))
    for call in get(client, "/api/calls", limit=500)["calls"]:
        told = kinds[call["sessionId"]]
        assert call["kind"] == (told if told in ("subagent", "review", "title") else "main")


@pytest.mark.parametrize("path", ["/api/trends", "/api/trends/summary", "/api/trends/heat"])
def test_trends_follow_the_effort(client: FlaskClient, path: str) -> None:
    span = {"from": "2026-05-20", "to": "2026-06-20", "tz": "UTC"}
    effort = some("effort")

    def count(**asked: str) -> int:
        found = get(client, path, **span, **asked)
        if "range" in found:
            return int(found["range"]["calls"])
        days = found["calls"] if "calls" in found else [[day["calls"] for day in found["days"]]]
        return sum(map(sum, days))

    calls = db.rows("select count(*) from call where effort = ?", (effort,))[0][0]
    assert 0 < count(effort=effort) == calls < count()


def text_of(where: str) -> str:
    """A text that only some calls of some thread have."""
    if where == "model of a part":
        sql = "select model from call c join session s on s.id = c.session where model != '' "
        return str(db.rows(f"{sql} group by model order by count(*) limit 1")[0][0])
    if where == "sub-agent":
        return str(db.rows("select key from session where kind = 'subagent' limit 1")[0][0])
    if where.startswith("call"):
        name = str(db.rows("select id from call where session is not null limit 1")[0][0])
        return name if where == "call" else name[:-1]
    column = {"title": "title from thread", "thread": "thread from session"}.get(
        where, f"{where} from session"
    )
    name = column.split()[0]
    return str(db.rows(f"select {column} where {name} != '' order by {name} limit 1")[0][0])


@pytest.mark.parametrize("more", [{}, {"effort": "high"}, {"from": "2026-05-29"}, {"sort": "cost"}])
@pytest.mark.parametrize(
    "where",
    ["title", "thread", "sub-agent", "role", "cwd", "project", "model of a part", "call", "calls"],
)
def test_a_text_finds_the_same_calls_by_thread(
    client: FlaskClient, where: str, more: dict[str, str]
) -> None:
    text = text_of(where)
    calls = get(client, "/api/calls", q=text, limit=500, **{**more, "sort": "time"})
    owned = [call for call in calls["calls"] if call["threadId"]]
    found = get(client, "/api/threads", q=text, limit=500, **more)
    counts: dict[str, int] = {}
    for call in owned:
        counts[call["threadId"]] = counts.get(call["threadId"], 0) + 1
    if calls["total"] <= 500:
        assert {row["id"]: row["calls"] for row in found["threads"]} == counts
    assert found["totals"]["calls"] == sum(row["calls"] for row in found["threads"])
    assert found["total"] == len(found["threads"])
    for row in found["threads"][:5]:
        asked = {"q": text, "thread": row["id"], **more, "sort": "time"}
        assert get(client, "/api/calls", **asked)["total"] == row["calls"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"sort": "cost"},
        {"sort": "thread"},
        {"effort": "high"},
        {"from": "2026-05-25"},
        {"from": "2026-05-25", "sort": "tokens"},
        {"history": "active"},
        {"provider": "codex"},
        {"limit": 3},
        {"preset": "context-full"},
        {"q": "-"},
    ],
)
def test_threads_that_only_find_a_title_may_be_left_out(
    client: FlaskClient, more: dict[str, Any]
) -> None:
    limit = {"limit": 500, **more}
    before = get(client, "/api/threads", **limit)
    alone = [row["id"] for row in before["threads"][::3]]
    marks = ",".join("?" * len(alone))
    kinds = db.rows(f"select kind, id from session where key in ({marks})", alone)
    try:
        with db.writing() as connection:
            connection.execute(
                f"update session set kind = 'title' where key in ({marks}) and key = thread", alone
            )
        filters.forget()
        every, rest = (
            get(client, "/api/threads", titling=way, **limit) for way in ("show", "hide")
        )
    finally:
        with db.writing() as connection:
            connection.executemany("update session set kind = ? where id = ?", kinds)
        filters.forget()
    assert every["leftOut"] == 0 and every["total"] == before["total"]
    if more.get("limit") is None:
        kept = [row for row in before["threads"] if row["id"] not in alone]
        assert [row["id"] for row in rest["threads"]] == [row["id"] for row in kept]
        assert rest["totals"]["calls"] == sum(row["calls"] for row in kept)
        assert rest["totals"]["input"] == sum(row["inputTokens"] for row in kept)
    assert rest["total"] == before["total"] - len(alone)
    if not {"q", "preset"} & {*more}:
        assert rest["leftOut"] == len(alone)


@pytest.mark.parametrize("by", ["date", "model", "kind", "thread"])
@pytest.mark.parametrize("text", ["project-1", "zzznothing", "-", "gpt-5"])
def test_a_text_narrows_sums_as_it_does_lists(client: FlaskClient, by: str, text: str) -> None:
    told = get(client, "/api/calls", q=text)["totals"]
    groups = get(client, "/api/summary", q=text, by=by, limit=0)["groups"]
    assert sum(group["calls"] for group in groups) == told["calls"]
    assert sum(group["totalTokens"] for group in groups) == told["totalTokens"]
    priced = get(client, "/api/pricing/coverage", q=text)["models"]
    assert sum(model["calls"] for model in priced) == told["calls"]


def test_the_id_of_a_call_narrows_sums(client: FlaskClient) -> None:
    name = some("id")
    for by in ("date", "model"):
        (group,) = get(client, "/api/summary", q=name, by=by, limit=0)["groups"]
        assert group["calls"] == 1


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/threads", {"fact": "tool:Bash"}),
        ("/api/insights", {"fact": "tool:Bash"}),
        ("/api/summary", {"fact": "tool:Bash"}),
        ("/api/summary", {"preset": "context-bloat"}),
        ("/api/pricing/coverage", {"preset": "context-bloat"}),
    ],
)
def test_what_chooses_single_calls_is_refused_by_sums(
    client: FlaskClient, path: str, asked: dict[str, str]
) -> None:
    answer = client.get(path, query_string=asked)
    assert answer.status_code == 422 and "Leave it out" in answer.text
