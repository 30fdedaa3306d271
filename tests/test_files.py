"""The user's own files, copied allowance, summaries and coverage."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Config
from server.ingest import limits, reprice
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from server.usage import allowance_copy, ownfiles, pricing, privacy, slices, summary
from tests.rollouts import Tree
from tests.test_claude import SESSION, answer

HOUR = 3_600_000


@pytest.fixture
def client(config: Config) -> Iterator[FlaskClient]:
    pricing.use({}, {})
    Tree(config.codex_home, seed=37, body=20).grow(16)
    app = create_app(config)
    Indexer(config, Ledger()).scan()
    with app.test_client() as made:
        yield made
    db.close_databases()
    pricing.use({}, {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(
            "5h 79% 6:50 PM Weekly 33% Jun 7",
            [("five_hour", 79, "6:50 PM"), ("weekly", 33, "Jun 7")],
            id="one line, as the guide shows it",
        ),
        pytest.param(
            "5h 79% 6:50 PM\nWeekly 33% Jun 7",
            [("five_hour", 79, "6:50 PM"), ("weekly", 33, "Jun 7")],
            id="a line each",
        ),
        pytest.param("WEEK\u00a012.5%", [("weekly", 12.5, None)], id="a hard space, no reset"),
        pytest.param(
            "five-hour limit: 88% left (resets 14:33)",
            [("five_hour", 88, "14:33")],
            id="words between, as /status has them",
        ),
        pytest.param("5h 79%\n5h 12%", [("five_hour", 79, None)], id="the first one counts"),
        pytest.param(
            "5h 79% 6:50 PM\nWeekly limit: 33% left",
            [("five_hour", 79, "6:50 PM"), ("weekly", 33, None)],
            id="two lines, each of another form",
        ),
        pytest.param(
            "5h\n79%\nWeekly 33% Jun 7",
            [("weekly", 33, "Jun 7"), ("five_hour", 79, None)],
            id="one window over two lines",
        ),
        pytest.param("5h - 79% left", [("five_hour", 79, None)], id="a dash between is no sign"),
        pytest.param("5h 12% left (left)", [("five_hour", 12, None)], id="filler is no reset"),
        pytest.param("week 12% ((resets Jun 7))", [("weekly", 12, "Jun 7")], id="brackets twice"),
        pytest.param("week 12% Jun 7 (Sun)", [("weekly", 12, "Jun 7 (Sun)")], id="its own bracket"),
        pytest.param("5h 9% remaining, resets in 2h", [("five_hour", 9, "in 2h")], id="a span"),
        pytest.param(
            "5h 9% (resets at 14:33) | weekly 5%",
            [("five_hour", 9, "14:33"), ("weekly", 5, None)],
            id="what lies between two",
        ),
        pytest.param("weekly 12,5 % Jun 7", [("weekly", 12.5, "Jun 7")], id="a comma"),
        pytest.param("15h 30%", [], id="a label inside another word is none"),
        pytest.param("", [], id="nothing"),
        pytest.param("5h " * 9000, [], id="a lot of nothing"),
    ],
)
def test_parse(text: str, found: list[tuple[str, float, str | None]]) -> None:
    read = allowance_copy.parse(text)
    assert [(one["key"], one["remainingPercent"], one["resetText"]) for one in read] == found


@pytest.mark.parametrize(
    "text", ["5h -5%", "weekly 140%", "5h 79% Weekly -1%", "five-hour: \u221212 %", "5h 1000%"]
)
def test_a_percentage_that_cannot_be_is_refused_and_nothing_kept(
    client: FlaskClient, text: str
) -> None:
    bad = client.post("/api/allowance/parse", json={"text": text, "save": True})
    assert (bad.status_code, bad.get_json()["error"]["code"]) == (422, "invalid_percent")
    assert "between 0 and 100" in bad.get_json()["error"]["message"]
    assert not ownfiles.path("allowance.json").exists()


def test_one_window_that_is_copied_leaves_the_other(client: FlaskClient) -> None:
    def copied(text: str) -> dict[str, float]:
        sent = {"text": text, "save": True}
        assert client.post("/api/allowance/parse", json=sent).status_code == 200
        kept = client.get("/api/allowance").get_json()["copied"]
        return {one["key"]: one["remainingPercent"] for one in kept}

    assert copied("5h 79% 6:50 PM Weekly 33% Jun 7") == {"five_hour": 79, "weekly": 33}
    assert copied("Weekly 1%") == {"five_hour": 79, "weekly": 1}
    assert copied("5h 0.5%") == {"five_hour": 0.5, "weekly": 1}
    ownfiles.write("allowance.json", {"windows": {"weekly": {"remaining_percent": 0.4}}})
    assert copied("5h 0%") == {"five_hour": 0, "weekly": 40}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        pytest.param("thresholds", {"high_cost_usd": "much", "low_cache_ratio": 0.2},
                     ["high_cost_usd must be a number"], id="a word for a number"),
        pytest.param("thresholds", {"low_output_tokens": -1, "high_cost_usd": True},
                     ["low_output_tokens must be", "high_cost_usd must be"], id="below nothing"),
        pytest.param("thresholds", {"other": "x"}, [], id="an unknown name is left alone"),
        pytest.param("projects", {"aliases": [], "tags": {"a": "b"}, "ignored_paths": "x"},
                     ["aliases must be an object", "tags.a must be a list",
                      "ignored_paths must be a list"], id="every part is of another kind"),
        pytest.param("projects", {"aliases": {"a": 5}}, ["aliases.a must be a text"],
                     id="an alias"),
        pytest.param("allowance", {"windows": [{"key": "weekly", "remaining_percent": 140}]},
                     ["windows.weekly must say"], id="more than all is left"),
        pytest.param("allowance", {"windows": 5}, ["windows must be a list"], id="no windows"),
        pytest.param("allowance", {"windows": [7], "credit_rates": 3},
                     ["windows.0 must say", "credit_rates must be an object"], id="no rates"),
        pytest.param("pricing", {"models": {"m": {"input_per_million": "x"}}},
                     ["a rate of m is no number"], id="a price"),
        pytest.param("pricing", {"models": [1]}, ["models and aliases must be objects"],
                     id="a list of models"),
        pytest.param("rate-card", {"models": {"m": [1, 2]}}, ["m has no rates"], id="two rates"),
    ],
)  # fmt: skip
def test_wrong_values_in_own_files_are_told_and_the_rest_goes_on(
    client: FlaskClient, name: str, value: Any, said: list[str]
) -> None:
    ownfiles.write(f"{name}.json", value)
    about = client.get("/api/usage/files").get_json()[name]
    texts = [one["text"] for one in about["problems"]]
    assert len(texts) == len(said)
    for text, part in zip(texts, said, strict=True):
        assert part in text and text.startswith(f"{name}.json") and "until" in text.casefold()
    assert all(one["said"]["key"].startswith("own.") for one in about["problems"])
    reprice.keep()
    for path in ("/api/insights", "/api/calls", "/api/threads", "/api/allowance", "/api/summary"):
        assert client.get(path).status_code == 200
    if name == "thresholds":
        current = client.get("/api/insights").get_json()["thresholds"]
        assert current["high_cost_usd"] == 1.0
        assert current["low_cache_ratio"] == value.get("low_cache_ratio", 0.3)


def test_templates_have_nothing_wrong_with_them(client: FlaskClient) -> None:
    for name in ("thresholds", "projects", "allowance", "pricing"):
        assert client.post(f"/api/usage/files/{name}").status_code == 200
    client.post("/api/pricing/update", json={"rateCard": True})
    files = client.get("/api/usage/files").get_json()
    assert set(files) == {"thresholds", "projects", "allowance", "pricing", "rate-card"}
    assert all(one["configured"] and one["problems"] == [] for one in files.values())


@pytest.mark.parametrize("kind", ["folder", "pipe", "closed"])
def test_an_own_file_that_is_none(client: FlaskClient, kind: str) -> None:
    place = ownfiles.path("thresholds.json")
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        place.write_text("{}")
        place.chmod(0)
    problems = client.get("/api/usage/files").get_json()["thresholds"]["problems"]
    assert problems and "thresholds.json cannot be used" in problems[0]["text"]
    assert client.get("/api/insights").status_code == 200


@pytest.mark.parametrize(
    ("remaining", "left", "points"),
    [
        pytest.param(50.0, 2 * HOUR, 30.0, id="an hour on, a fifth should remain"),
        pytest.param(10.0, 2 * HOUR, 0.0, id="already beyond the pace"),
        pytest.param(50.0, HOUR // 2, 50.0, id="it resets before: everything"),
    ],
)
def test_left_on_pace(remaining: float, left: int, points: float) -> None:
    assert allowance_copy.left_on_pace(remaining, left, 300, HOUR) == points
    assert allowance_copy.left_on_pace(remaining, None, 300, HOUR) is None


def test_copied_allowance_is_kept_with_its_age(client: FlaskClient) -> None:
    sent = {"text": "5h 79% 6:50 PM Weekly 33% Jun 7", "save": True}
    assert len(client.post("/api/allowance/parse", json=sent).get_json()["windows"]) == 2
    kept = client.get("/api/allowance").get_json()["copied"]
    assert [(one["label"], one["remainingPercent"]) for one in kept] == [("5h", 79), ("Weekly", 33)]
    assert all(0 <= one["ageMs"] < 60_000 for one in kept)
    observed = client.get("/api/allowance").get_json()["observed"]
    assert observed and {one["source"] for one in observed} == {"log"}
    assert all(one["resetAt"] is None or one["ageMs"] >= 0 for one in observed)
    bad = client.post("/api/allowance/parse", json={"text": "hello", "save": True})
    assert (bad.status_code, bad.get_json()["error"]["code"]) == (422, "nothing_found")
    assert client.post("/api/allowance/parse", json={"text": 5}).status_code == 422


@pytest.mark.parametrize("name", ["thresholds", "projects", "allowance"])
def test_a_template_is_written_once(client: FlaskClient, name: str) -> None:
    made = client.post(f"/api/usage/files/{name}")
    assert made.status_code == 200
    place = ownfiles.path(f"{name}.json")
    assert made.get_json()["path"] == str(place) and place.stat().st_mode & 0o777 == 0o600
    again = client.post(f"/api/usage/files/{name}")
    assert (again.status_code, again.get_json()["error"]["code"]) == (409, "file_exists")
    assert client.post(f"/api/usage/files/{name}", json={"force": True}).status_code == 200
    assert place.with_suffix(".json.bak").exists()
    about = client.get("/api/usage/files").get_json()[name]
    assert about["configured"] is True and about["error"] is None
    for broken in ("[1]", "{", '{"a": NaN}', "[" * 100_000, "\x00"):
        place.write_text(broken)
        assert client.get("/api/usage/files").get_json()[name]["error"]
        assert client.get("/api/insights").status_code == 200


def test_an_unknown_file(client: FlaskClient) -> None:
    assert client.post("/api/usage/files/passwords").status_code == 404


def test_an_alias_shows_everywhere_and_in_every_mode(client: FlaskClient) -> None:
    name = db.rows("select project from session where project is not null")[0][0]
    ownfiles.write("projects.json", {"aliases": {f"/home/x/{name}/": "Shown", "other": 5}})
    for mode in privacy.MODES:
        groups = client.get(f"/api/summary?by=project&limit=0&privacy={mode}").get_json()["groups"]
        assert "Shown" in [group["project"] for group in groups]
        found = client.get(f"/api/calls?project=Shown&privacy={mode}").get_json()
        assert found["total"] > 0


@pytest.mark.parametrize("by", list(summary.GROUPS))
def test_a_summary_adds_up(client: FlaskClient, by: str) -> None:
    answer = client.get(f"/api/summary?by={by}&limit=0").get_json()
    totals = client.get("/api/calls").get_json()["totals"]
    assert sum(one["totalTokens"] for one in answer["groups"]) == totals["totalTokens"]
    assert sum(one["calls"] for one in answer["groups"]) == totals["calls"]
    assert answer["total"] == len(answer["groups"])


def test_coverage_puts_the_gaps_first(client: FlaskClient) -> None:
    answer = client.get("/api/pricing/coverage").get_json()
    totals = client.get("/api/calls").get_json()["totals"]
    assert answer["tokens"] == totals["totalTokens"]
    assert answer["models"][0]["priceStatus"] == "unpriced"
    assert 0 < answer["ratio"] < 1


def test_warnings_are_counted(client: FlaskClient, config: Config) -> None:
    log = next(config.codex_home.rglob("rollout-*.jsonl"))
    with log.open("ab") as file:
        file.write(b"no json\n[1,2]\n")
    assert client.get("/recalc").status_code == 200
    said: dict[str, Any] = client.get("/api/ledger/warnings").get_json()
    assert said["skippedLines"] >= 2 and sum(said["kinds"].values()) >= 2
    assert json.dumps(said["files"]).count(log.name.removesuffix(".jsonl")) == 1


@pytest.mark.parametrize("mode", ["redacted", "strict"])
def test_warnings_tell_no_name_that_a_log_was_given(
    client: FlaskClient, config: Config, mode: str
) -> None:
    usual = next(config.codex_home.rglob("rollout-*.jsonl"))
    odd = usual.with_name("secret-client-notes.jsonl")
    thread = "019f9999-0000-7000-9000-000000000001"
    odd.write_bytes(usual.read_bytes().replace(usual.stem[-36:].encode(), thread.encode()))
    for log in (usual, odd):
        with log.open("ab") as file:
            file.write(b"no json\n")
    assert client.get("/recalc").status_code == 200
    plain = client.get("/api/ledger/warnings").get_data(as_text=True)
    assert "secret-client" in plain and usual.stem in plain
    hidden = client.get(f"/api/ledger/warnings?privacy={mode}").get_data(as_text=True)
    assert "secret-client" not in hidden and "[redacted path:" in hidden
    assert usual.stem in hidden, "Codex's own name tells nothing"


def _seen(at: int, resets_at: int | None) -> None:
    with db.writing() as connection:
        connection.execute("delete from snapshot")
        connection.execute(
            "insert into snapshot(account, source, window, used_percent, window_minutes, "
            "resets_at, observed_at) values ('', 'log', 'primary', 70, 300, ?, ?)",
            (resets_at, at),
        )


def test_what_a_log_saw_before_a_reset_is_not_known_any_more(client: FlaskClient) -> None:
    now = db.now_ms()
    for resets, used, left in ((now + HOUR, 70, 30), (now - 1, None, None)):
        _seen(now - HOUR, resets)
        (window,) = client.get("/api/allowance").get_json()["observed"]
        assert (window["usedPercent"], window["remainingPercent"]) == (used, left)


@pytest.mark.parametrize(
    ("window", "believed"),
    [
        pytest.param({"used_percent": 70, "resets_at": 1_800_000_000}, True, id="usual"),
        pytest.param({"used_percent": 104.5, "resets_at": 1_800_000_000}, True, id="overdrawn"),
        pytest.param({"used_percent": 70}, True, id="no reset is told"),
        pytest.param({"used_percent": 250, "resets_at": 1_800_000_000}, False, id="far too much"),
        pytest.param({"used_percent": 70, "resets_at": -5}, False, id="a reset before time"),
        pytest.param({"used_percent": 70, "resets_at": "soon"}, False, id="a reset in words"),
        pytest.param({"used_percent": -1}, False, id="less than nothing"),
        pytest.param({"used_percent": True}, False, id="no number"),
    ],
)
def test_an_impossible_window_replaces_no_good_one(window: dict[str, Any], believed: bool) -> None:
    told = {"primary": {"window_minutes": 300, **window}}
    assert bool(limits.snapshot_rows(1_790_000_000_000, told)) is believed


@pytest.mark.parametrize("mode", ["redacted", "strict"])
def test_a_search_finds_the_names_that_are_shown_instead(client: FlaskClient, mode: str) -> None:
    listed = client.get(f"/api/threads?privacy={mode}").get_json()["threads"]
    row = next(one for one in listed if one["title"].startswith("Thread "))
    for text in (row["title"], row["title"].upper(), row["title"][-8:]):
        asked = {"privacy": mode, "q": text}
        found = client.get("/api/threads", query_string=asked).get_json()["threads"]
        assert [one["id"] for one in found] == [row["id"]]
        assert client.get("/api/calls", query_string=asked).get_json()["total"] == row["calls"]
    asked = {"privacy": "normal", "q": row["title"]}
    assert client.get("/api/threads", query_string=asked).get_json()["total"] == 0


PAGE = """
<Prices tier="batch" rows={[ ["gpt-6.1-codex", 1, null, 2], ]} />
<Prices tier="standard" name="x" rows={[
  ["gpt-6.1-codex (<272K context length)", 2, 0.2, 20], ["gpt-5.5", 5, "-", 30],
  ["odd", "-", "-", "-"],
]} />
"""


def test_own_prices_price_every_call_anew(client: FlaskClient) -> None:
    before = client.get("/api/calls").get_json()["totals"]
    assert before["unpriced"] > 0
    said = client.post("/api/pricing/update", json={"text": PAGE, "source": "a page"})
    assert said.status_code == 200 and said.get_json()["models"] == 2
    totals = client.get("/api/calls").get_json()["totals"]
    assert totals["unpriced"] == 0 and totals["costUsd"] > before["costUsd"]
    rows = client.get("/api/calls?model=gpt-6.1-codex&limit=500").get_json()["calls"]
    for row in rows:
        rest = row["inputTokens"] - row["cachedInputTokens"]
        cost = (rest * 2 + row["cachedInputTokens"] * 0.2 + row["outputTokens"] * 20) / 1e6
        assert row["costUsd"] == pytest.approx(cost, abs=1e-6) and row["priceStatus"] == "exact"
    assert client.get("/api/trends?from=first").get_json()["days"][0]["unpriced"] == 0
    ownfiles.path("pricing.json").unlink()
    reprice.keep()
    assert client.get("/api/calls").get_json()["totals"] == before


def test_prices_of_a_newer_version_price_what_an_older_one_stored(client: FlaskClient) -> None:
    """As after an update: what was stored without a price has one."""

    def totals() -> Any:
        return client.get("/api/calls").get_json()["totals"], _rollup()

    before = totals()
    with db.writing("calls") as connection:
        connection.execute("update call set cost = null, price_status = 'unpriced'")
        connection.execute("update ledger_note set value = '2020-01-01' where name = 'edition'")
        Ledger().rebuild(connection)
    slices.forget()
    assert totals()[0]["costUsd"] is None
    reprice.keep()
    assert totals() == before
    # It was done once; a first scan's own calls never need it.
    changes = db.usage.connection().total_changes
    reprice.keep()
    assert db.usage.connection().total_changes == changes


def _rollup() -> Any:
    return db.rows("select * from daily_usage order by heading, day, name")


def test_claude_calls_cost_by_what_they_wrote_and_how_fast(config: Config) -> None:
    pricing.use({}, {})
    shop = config.claude_home / "projects" / "-home-dev-shop"
    shop.mkdir(parents=True)
    hour = {"cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 150}}
    lines = [
        answer("m1", 5),
        answer("m2", 5, usage=hour),
        answer("m3", 5, usage={"speed": "fast"}),
        answer("m4", 5, message={"model": "claude-opus-4-6[1m]"}),
        answer("m5", 5, message={"model": "claude-opus-7"}),
    ]
    (shop / f"{SESSION}.jsonl").write_bytes(b"".join(lines))
    app = create_app(config)
    Indexer(config, Ledger()).scan()
    reprice.keep()
    with app.test_client() as client:
        calls = client.get("/api/calls").get_json()["calls"]
        report = client.get("/api/pricing/coverage").get_json()
    db.close_databases()
    # 10 fresh, 3,000 read, 200 written, 5 out: at 5, 0.5, 6.25 (an hour: 10) and 25 a million.
    plain = 10 * 5 + 3000 * 0.5 + 200 * 6.25 + 5 * 25
    assert {call["id"]: call["costUsd"] and round(call["costUsd"] * 1e6) for call in calls} == {
        "m1": round(plain),
        "m2": round(plain + 150 * (10 - 6.25)),
        "m3": round(plain * 6),
        "m4": round(plain),
        "m5": None,
    }
    told = {call["id"]: (call["cacheWriteTokens"], call["cacheWrite1hTokens"]) for call in calls}
    assert told["m1"] == (200, 0) and told["m2"] == (200, 150)
    assert {call["id"] for call in calls if call["tier"] == "fast"} == {"m3"}
    without = [one["model"] for one in report["models"] if one["priceStatus"] == "unpriced"]
    assert without == ["claude-opus-7"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("# a page without tables", id="another page"),
        pytest.param('{"models": {"x": {"input_per_million": -1}}}', id="below nothing"),
        pytest.param('{"models": [1]}', id="no object"),
        pytest.param('{"models": {"x": 5}}', id="a number for a model"),
        pytest.param("{" * 5000, id="deep"),
        pytest.param('<P tier="standard" rows={[ [1], ]} />', id="a row too short"),
    ],
)
def test_prices_that_are_none(client: FlaskClient, text: str) -> None:
    answer = client.post("/api/pricing/update", json={"text": text})
    assert answer.status_code == 422
    assert answer.get_json()["error"]["code"] == "pricing_not_understood"
    assert not ownfiles.path("pricing.json").exists()


def test_own_credit_rates_go_first(client: FlaskClient) -> None:
    rates = {"gpt-5.5": {"input_per_million": 1000, "output_per_million": 2000}}
    ownfiles.write(
        "allowance.json", {"credit_rates": rates, "aliases": {"gpt-6.1-codex": "gpt-5.5"}}
    )
    before = client.get("/api/calls?model=gpt-5.5&limit=1").get_json()["calls"][0]
    assert before["creditConfidence"] == "exact"
    reprice.keep()
    row = client.get("/api/calls?model=gpt-5.5&limit=1").get_json()["calls"][0]
    # Without a rate for cached input it costs as much as other input.
    expected = (row["inputTokens"] * 1000 + row["outputTokens"] * 2000) / 1e6
    assert row["credits"] == pytest.approx(expected, abs=1e-6)
    assert (row["creditModel"], row["creditConfidence"]) == ("gpt-5.5", "user_override")
    told = client.get(f"/api/calls/{row['id']}").get_json()
    assert told["creditSource"] == {"file": "allowance.json", "name": None, "at": None}
    every = client.get("/api/calls?creditConfidence=user_override").get_json()["total"]
    both = client.get("/api/calls?model=gpt-5.5&model=gpt-6.1-codex").get_json()["total"]
    assert every == both
    ownfiles.write("allowance.json", {"credit_rates": {"gpt-5.5": "free"}})
    reprice.keep()  # what cannot be used changes nothing but itself
    assert client.get("/api/calls?model=gpt-5.5&limit=1").get_json()["calls"][0] == before


@pytest.mark.parametrize(
    ("zone", "status"),
    [
        pytest.param("Europe/Berlin", 200, id="a zone"),
        pytest.param("", 200, id="this computer's"),
        pytest.param("Mars/Base", 422, id="none"),
        pytest.param("../../etc/passwd", 422, id="a path"),
        pytest.param("Europe/Ber\0lin", 422, id="a null byte"),
        pytest.param(None, 422, id="nothing"),
    ],
)
def test_a_time_zone_must_be_one(client: FlaskClient, zone: Any, status: int) -> None:
    answer = client.put("/api/settings", json={"timeZone": zone})
    assert answer.status_code == status
    if status == 422:
        assert "Europe/Berlin" in answer.get_json()["error"]["message"]
