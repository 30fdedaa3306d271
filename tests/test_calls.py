"""/api/calls: every filter, order and page over the whole ledger; any text is harmless."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from server.times import parse
from server.usage import calls, ownfiles
from tests.rollouts import Tree


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FlaskClient, Tree]]:
    """The app over an indexed tree, once for all tests here, as they only read."""
    folder = tmp_path_factory.mktemp("calls")
    config = Config(
        data_dir=folder / "data", codex_home=folder / "codex", claude_home=folder / "claude",
        port=80, strict_writes=True,
    )  # fmt: skip
    tree = Tree(config.codex_home, seed=21, body=20)
    tree.grow(24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIMLINE_NO_KEYRING", "1")
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        app = create_app(config)
        Indexer(config, Ledger()).scan()
        with app.test_client() as made:
            yield made, tree
        db.close_databases()


@pytest.fixture
def client(served: tuple[FlaskClient, Tree]) -> FlaskClient:
    """The app's client."""
    return served[0]


@pytest.fixture
def tree(served: tuple[FlaskClient, Tree]) -> Tree:
    """What the ledger holds."""
    return served[1]


def get(client: FlaskClient, path: str, **query: Any) -> Any:
    answer = client.get(path, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_totals_are_the_truth(client: FlaskClient, tree: Tree) -> None:
    answer = get(client, "/api/calls", limit=5)
    assert len(answer["calls"]) == 5
    totals = answer["totals"]
    assert (
        totals["calls"], totals["input"], totals["cachedInput"], totals["output"],
        totals["reasoningOutput"],
    ) == tree.sums  # fmt: skip
    assert totals["totalTokens"] == tree.sums[1] + tree.sums[3]
    assert totals["uncachedInput"] == tree.sums[1] - tree.sums[2]
    assert totals["unpriced"] > 0  # a model that no table knows


SHOWN = {
    "time": "at", "tokens": "totalTokens", "input": "inputTokens", "cached": "cachedInputTokens",
    "uncached": "uncachedInputTokens", "output": "outputTokens", "reasoning": "reasoningTokens",
    "cost": "costUsd", "cache": "cacheRatio", "duration": "durationMs", "model": "model",
    "effort": "effort", "context": "contextPercent", "credits": "credits", "gap": "gapMs",
}  # fmt: skip


@pytest.mark.parametrize("sort", list(calls.SORTS))
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_hold_every_row_once_in_order(
    client: FlaskClient, tree: Tree, sort: str, direction: str
) -> None:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = get(client, "/api/calls", sort=sort, direction=direction, limit=37, cursor=cursor)
        found += answer["calls"]
        cursor = answer["nextCursor"]
        assert answer["hasMore"] is (cursor is not None)
        if cursor is None:
            break
    assert len({row["id"] for row in found}) == len(found) == tree.sums[0]
    if sort not in SHOWN:
        return
    values = [row[SHOWN[sort]] for row in found]
    known = [value for value in values if value is not None]
    assert values[len(known) :] == [None] * (len(values) - len(known)), "unknown comes last"
    assert known == sorted(known, reverse=direction == "desc")


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"q": "project-1"}, id="text"),
        pytest.param({"provider": "codex"}, id="provider"),
        pytest.param({"model": ["gpt-5.5", "gpt-5.4"]}, id="two models"),
        pytest.param({"effort": "high"}, id="effort"),
        pytest.param({"project": "project-1"}, id="project"),
        pytest.param({"priceStatus": "unpriced"}, id="price status"),
        pytest.param({"from": "2026-05-30", "to": "2026-05-31", "tz": "UTC"}, id="days"),
        pytest.param({"from": "2026-05-30T00:00:00Z"}, id="from a moment"),
        pytest.param({"provider": "claude"}, id="nothing"),
        pytest.param({"history": "active"}, id="no archived sessions"),
        pytest.param({"history": "active", "model": "gpt-5.5"}, id="active and a model"),
        pytest.param({"creditConfidence": "unpriced"}, id="no credit rate"),
        pytest.param({"creditConfidence": "exact", "effort": "high"}, id="a sure rate"),
        pytest.param({"creditConfidence": "user_override"}, id="nobody set a rate"),
    ],
)
def test_totals_cover_the_filter_not_the_page(client: FlaskClient, query: dict[str, Any]) -> None:
    answer = get(client, "/api/calls", limit=500, **query)
    rows = list(answer["calls"])
    while answer["nextCursor"]:
        answer = get(client, "/api/calls", limit=500, cursor=answer["nextCursor"], **query)
        rows += answer["calls"]
    totals = answer["totals"]
    assert answer["total"] == totals["calls"] == len(rows)
    assert totals["input"] == sum(row["inputTokens"] for row in rows)
    assert totals["unpriced"] == sum(row["costUsd"] is None for row in rows)
    for row in rows:
        if "project" in query:
            assert row["project"] == query["project"]
        if "model" in query:
            assert row["model"] in query["model"]


@pytest.mark.parametrize(
    "text",
    ["%", "_", "'", '"', "\\", "\0", "😀", "'; drop table call; --", "a" * 5000, "‮", "\ud800"],
)
@pytest.mark.parametrize("name", ["q", "model", "effort", "project", "account"])
def test_any_text_is_harmless(client: FlaskClient, name: str, text: str) -> None:
    query = {name: text.encode("utf-8", "surrogatepass")}
    answer = client.get("/api/calls", query_string=query)
    assert answer.status_code == 200
    if text == "%" and name == "q":
        assert answer.get_json()["total"] == 0  # a percent sign, not anything


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "id; drop"}, {"direction": "up"}, {"limit": "0"}, {"limit": "501"},
        {"limit": "x"}, {"limit": "٣"}, {"from": "yesterday"}, {"to": "2026-13-01"},
        {"from": "9999-12-31"}, {"to": "9999-12-31"}, {"to": "0001-01-01"},
        {"from": "0001-01-01T00:00:00+23:59"}, {"cursor": "x"}, {"cursor": "W10"}, {"cursor": "ß"},
        {"cursor": "WyJ0aW1lIiwgdHJ1ZSwgMTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwLCAieCJd"},
        {"tz": "Mars/Base"}, {"tz": "../../etc/passwd"}, {"tz": "\0"}, {"provider": "all"},
        {"priceStatus": "free"}, {"page": "-1"}, {"page": "0"}, {"page": "x"}, {"offset": "-5"},
        {"history": "some"}, {"creditConfidence": "sure"},
    ],
    ids=str,
)  # fmt: skip
def test_bad_values_are_explained(client: FlaskClient, query: dict[str, str]) -> None:
    answer = client.get("/api/calls", query_string=query)
    assert answer.status_code in (200, 422)
    if answer.status_code == 422:
        assert len(answer.get_json()["error"]["message"]) > 20


def test_one_call_knows_its_neighbours(client: FlaskClient) -> None:
    rows = get(client, "/api/calls", limit=500, direction="asc")["calls"]
    session = rows[40]["sessionId"]
    mine = [row["id"] for row in rows if row["sessionId"] == session]
    for place, name in enumerate(mine):
        one = get(client, f"/api/calls/{name}")
        assert one["previous"] == (mine[place - 1] if place else None)
        assert one["next"] == (mine[place + 1] if place + 1 < len(mine) else None)
        assert one["request"] is None
    assert client.get("/api/calls/none").status_code == 404


def test_options_name_what_there_is(client: FlaskClient) -> None:
    options = get(client, "/api/calls/options")
    assert "gpt-5.5" in options["models"]
    assert set(options["efforts"]) <= {"low", "medium", "high", "xhigh"}
    assert all(name.startswith("project-") for name in options["projects"])
    assert options["thresholds"]["high_context_percent"] == 0.6


def test_scan_says_what_is_new(client: FlaskClient, tree: Tree) -> None:
    assert get(client, "/api/scan")["calls"] == tree.sums[0]
    tree.grow(2)
    before = db.now_ms()
    answer = client.post("/api/scan", json={"wait": True})
    assert parse(get(client, "/api/scan/last")["readAt"]) >= before
    assert answer.get_json()["calls"] == tree.sums[0]
    assert client.post("/api/scan", json={"wait": "yes"}).status_code == 422


@pytest.mark.parametrize("value", ["-1", "0", "1.5", "x", "٣"])
def test_a_page_that_is_none_is_an_error(client: FlaskClient, value: str) -> None:
    for path in ("/api/calls", "/api/threads"):
        answer = client.get(path, query_string={"page": value})
        assert answer.status_code == 422
        assert "“page” must be a whole number" in answer.get_json()["error"]["message"]


@pytest.mark.parametrize("path", ["/api/calls", "/api/threads"])
def test_pages_can_be_counted(client: FlaskClient, path: str) -> None:
    name = path.rpartition("/")[2]
    whole = get(client, path, limit=60)
    for query in ({"page": 3, "limit": 10}, {"offset": 20, "limit": 10}):
        part = get(client, path, **query)
        assert [row["id"] for row in part[name]] == [row["id"] for row in whole[name][20:30]]
        assert part["totals"] == whole["totals"] and part["total"] == whole["total"]
    far = get(client, path, page=99999)
    assert far[name] == [] and not far["hasMore"] and far["totals"] == whole["totals"]
    threads = get(client, "/api/threads", **{"from": "2020-01-01", "page": 9000})
    assert threads["threads"] == [] and threads["totals"]["calls"] == whole["totals"]["calls"]


def test_archived_sessions_can_be_left_out(client: FlaskClient) -> None:
    archived = {
        key
        for (key,) in db.rows(
            "select s.key from session s join source_file f on f.id = s.source where f.archived"
        )
    }
    assert archived
    every = get(client, "/api/calls")["totals"]
    away = sum(get(client, "/api/calls", session=key)["total"] for key in archived)
    active = get(client, "/api/calls", history="active", limit=500)
    assert not {row["sessionId"] for row in active["calls"]} & archived
    assert active["total"] == every["calls"] - away
    wanted = {"history": "active", "from": "first", "to": "2026-12-31"}
    for by in ("kind", "model", "project"):
        days = get(client, "/api/trends", by=by, **wanted)["days"]
        assert sum(day["calls"] for day in days) == active["total"], by
    assert get(client, "/api/trends/summary", **wanted)["range"]["calls"] == active["total"]
    heat = get(client, "/api/trends/heat", **wanted)
    assert sum(map(sum, heat["calls"])) == active["total"]
    threads = get(client, "/api/threads", history="active")
    assert threads["totals"]["calls"] == active["total"]
    groups = get(client, "/api/summary", by="model", history="active")["groups"]
    assert sum(group["calls"] for group in groups) == active["total"]


def test_each_call_has_one_credit_confidence(client: FlaskClient) -> None:
    totals = {
        sure: get(client, "/api/calls", creditConfidence=sure)["total"]
        for sure in ("exact", "estimated", "user_override", "unpriced")
    }
    assert sum(totals.values()) == get(client, "/api/calls")["total"]
    assert totals["exact"] and totals["unpriced"] and not totals["user_override"]
    for row in get(client, "/api/calls", creditConfidence="exact")["calls"]:
        assert row["creditConfidence"] == "exact" and row["creditModel"] == row["model"]
    none = get(client, "/api/calls", creditConfidence="exact", model="gpt-unheard-of")
    assert none["total"] == 0


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["initiator", "provider"])
def test_calls_of_a_word_stand_together_in_time(
    client: FlaskClient, sort: str, direction: str
) -> None:
    found = get(client, "/api/calls", sort=sort, direction=direction, limit=500)["calls"]
    order = ["unknown", "agent", "compaction", "tool", "user", "claude", "codex"]
    placed = [(order.index(row[sort]), row["at"]) for row in found]
    assert placed == sorted(placed, reverse=direction == "desc")


def test_a_call_tells_where_its_rates_are_from(client: FlaskClient) -> None:
    for row in get(client, "/api/calls", limit=200)["calls"]:
        one = get(client, f"/api/calls/{row['id']}")
        if row["priceStatus"] == "unpriced":
            assert one["priceModel"] is one["priceSource"] is None
        else:
            assert one["priceSource"]["name"] == "OpenAI API pricing page"
            assert one["priceSource"]["file"] is None and one["priceSource"]["at"]
        assert (one["creditSource"] is None) is (row["creditConfidence"] == "unpriced")


def test_a_call_tells_the_total_of_its_session_so_far(client: FlaskClient) -> None:
    found = get(client, "/api/calls", sort="time", direction="asc", limit=500)["calls"]
    for row in found[:60]:
        one = get(client, f"/api/calls/{row['id']}")
        logged = db.rows("select running from call where id = ?", (row["id"],))[0][0]
        assert one["cumulativeTokens"] == logged >= row["totalTokens"]
        assert "cumulativeTokens" in one["confidence"]["exact"]


def test_search_finds_what_a_row_stands_for(client: FlaskClient) -> None:
    row = next(r for r in get(client, "/api/calls", limit=500)["calls"] if r["project"])
    cwd, turn = db.rows(
        "select s.cwd, c.turn_id from call c join session s on s.id = c.session where c.id = ?",
        (row["id"],),
    )[0]
    for text in filter(None, (cwd, turn, row["sessionId"], row["effort"])):
        assert get(client, "/api/calls", q=text)["total"] > 0, text
        if text != row["effort"] and text != turn:
            assert get(client, "/api/threads", q=text)["total"] > 0, text
    assert get(client, "/api/calls", q=cwd, privacy="redacted")["total"] == 0


def test_tags_and_aliases_are_found(client: FlaskClient, tree: Tree) -> None:
    place = ownfiles.path("projects.json")
    given = {
        "aliases": {"project-1": "Sundial"},
        "tags": {"/home/someone/project-1": ["Client work", 5, ""], "project-2": ["side"], "x": 1},
        "ignored_paths": ["/home/someone/private"],
    }
    place.write_text(json.dumps(given))
    try:
        mine = get(client, "/api/calls", project="project-1")["total"]
        assert mine and get(client, "/api/calls", tag="Client work")["total"] == mine
        assert get(client, "/api/calls", q="client w")["total"] == mine
        assert get(client, "/api/calls", q="sundi", privacy="strict")["total"] == mine
        assert get(client, "/api/calls", q="client w", privacy="strict")["total"] == 0
        assert get(client, "/api/threads", q="sundial")["totals"]["calls"] == mine
        assert get(client, "/api/calls", tag="Client work", project="project-2")["total"] == 0
        assert get(client, "/api/calls/options")["tags"] == ["Client work", "side"]
        assert get(client, "/api/calls/options", privacy="strict")["tags"] == []
        name = get(client, "/api/calls", project="Sundial", limit=1)["calls"][0]["id"]
        one = get(client, f"/api/calls/{name}")
        assert one["tags"] == ["Client work"] and one["project"] == "Sundial" and one["cwd"]
        hidden = get(client, f"/api/calls/{name}", privacy="strict")
        assert (hidden["tags"], hidden["branch"], hidden["relativeCwd"]) == ([], None, None)
        assert hidden["cwd"].startswith("[redacted cwd:")
    finally:
        place.unlink()


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"model": "gpt-5.5"}, id="a model"),
        pytest.param({"q": "project-1"}, id="a text"),
        pytest.param({"project": "project-2", "history": "active"}, id="active of a project"),
        pytest.param({"from": "2026-05-28", "to": "2026-06-10"}, id="days"),
        pytest.param({"from": "2026-05-28", "tz": "Asia/Kathmandu"}, id="another zone's days"),
    ],
)
def test_many_calls_are_led_to_without_missing_any(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, query: dict[str, str], direction: str
) -> None:
    whole = get(client, "/api/calls", limit=500, direction=direction, **query)
    names = [row["id"] for row in whole["calls"]]
    assert len(names) > 20
    monkeypatch.setattr(calls, "_FEW", -1)  # as in a large ledger
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None and len(found) < len(names):
        page = get(client, "/api/calls", limit=7, direction=direction, cursor=cursor, **query)
        found += [row["id"] for row in page["calls"]]
        cursor = page["nextCursor"]
    assert found[: len(names)] == names[: len(found)]
    later = get(client, "/api/calls", limit=5, offset=11, direction=direction, **query)
    assert [row["id"] for row in later["calls"]] == names[11:16]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("minTokens", "1.5", id="tokens are whole"),
        pytest.param("minCredits", "1e9", id="an exponent"),
        pytest.param("minCredits", "-1", id="below none"),
        pytest.param("minCredits", "²", id="a digit of another kind"),
        pytest.param("minCredits", "9" * 12, id="beyond all"),
    ],
)
def test_a_size_that_is_none_is_refused(client: FlaskClient, name: str, value: str) -> None:
    answer = client.get("/api/calls", query_string={name: value})
    assert answer.status_code == 422 and name in answer.get_data(as_text=True)
