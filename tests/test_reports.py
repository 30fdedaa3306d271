"""The ledger's verbs: with a server and without one the same figures, files and refusals."""

from __future__ import annotations

import csv
import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from desktop import cli, offline_api, pagefiles, reports, sharing
from desktop.offline_api import address
from server import config, runtime
from server.errors import AppError
from server.sentences import say
from server.store import settings
from server.store.lock import Lock
from server.usage import pricing
from tests.commandline import Brimline
from tests.rollouts import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    built = Tree(tmp_path / "home" / ".codex", seed=41, body=20)
    built.grow(16)
    return built


@pytest.fixture
def brimline(tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Brimline:
    made = Brimline(tmp_path, capsys)
    assert made.json("refresh")["calls"] == tree.sums[0]
    return made


@pytest.mark.parametrize(
    "by",
    ["date", "model", "project", "cwd", "session", "kind", "role", "parent_session", "project_tag"],
)
def test_summary_adds_up(brimline: Brimline, tree: Tree, by: str) -> None:
    said = brimline.json("summary", "--group-by", by, "--limit", "0", "--include-archived")
    assert sum(group["calls"] for group in said["groups"]) == tree.sums[0]
    assert "tokens" in brimline("summary", "--group-by", by)


def test_folders_of_one_name_are_two(brimline: Brimline, tree: Tree) -> None:
    folders = ["/srv/one/api", "/srv/two/api"]
    for number, cwd in enumerate(folders):
        thread = f"01a1512c-f2c6-7608-80ad-ffef86c4c25{number}"
        used = {"input_tokens": 100 + number, "cached_input_tokens": 0, "output_tokens": 1}
        used |= {"reasoning_output_tokens": 0, "total_tokens": 101 + number}
        info = {"total_token_usage": used, "last_token_usage": used}
        said = [
            ("session_meta", {"id": thread, "cwd": cwd}),
            ("turn_context", {"turn_id": "t", "cwd": cwd, "model": "gpt-5.5"}),
            ("event_msg", {"type": "token_count", "info": info}),
        ]
        file = tree.home / "sessions" / f"rollout-2026-06-01T10-00-00-{thread}.jsonl"
        file.write_text(
            "".join(
                json.dumps({"timestamp": "2026-06-01T10:00:00Z", "type": kind, "payload": told})
                + "\n"
                for kind, told in said
            )
        )
    brimline.json("refresh")
    asked = ("summary", "--group-by", "cwd", "--limit", "0", "--include-archived")
    said = brimline.json(*asked)
    assert said["by"] == "cwd"
    found = {group["cwd"]: group["totalTokens"] for group in said["groups"]}
    assert [found[cwd] for cwd in folders] == [101, 102]
    shown = brimline(*asked)
    assert all(cwd in shown for cwd in folders)
    hidden = brimline(*asked, "--privacy-mode", "redacted")
    assert "/srv/" not in hidden and "[redacted cwd:" in hidden


def test_lists(brimline: Brimline, tree: Tree) -> None:
    every = brimline.json("calls", "--limit", "0", "--include-archived")
    assert every["row_count"] == tree.sums[0]
    said = json.loads(brimline("query", "--model", "gpt-5.5", "--limit", "3"))
    assert said["row_count"] == 3 < said["total_matched_rows"] and said["truncated"]
    assert {row["model"] for row in said["rows"]} == {"gpt-5.5"}
    assert brimline.json("threads", "--sort", "cost", "--limit", "2")["row_count"] == 2
    tokens = [row["totalTokens"] for row in brimline.json("expensive")["rows"]]
    assert tokens == sorted(tokens, reverse=True)
    assert brimline.json("insights") == brimline.json("recommendations")
    assert brimline("insights") and brimline("pricing-coverage")
    latest = brimline.json("session")["rows"]
    assert len({row["sessionId"] for row in latest}) == 1
    assert brimline.json("session", latest[0]["threadId"])["row_count"] >= len(latest)
    brimline("session", "nobody", code=1)
    assert "no session" in brimline.error


def test_days_the_wrong_way_round_are_told(brimline: Brimline) -> None:
    for verb in ("summary", "calls", "report", "export"):
        brimline(verb, "--since", "2026-06-02", "--until", "2026-06-01", code=1)
        assert "--since 2026-06-02 lies after --until 2026-06-01" in brimline.error


def test_nothing_found_says_what_to_do(brimline: Brimline) -> None:
    for verb in ("calls", "threads", "expensive", "summary"):
        said = brimline(verb, "--since", "2001-01-01", "--until", "2001-01-02")
        assert "--include-archived" in said and "\n" not in said.strip()
    assert brimline.json("calls", "--since", "2001-01-01", "--until", "2001-01-02")["rows"] == []


def test_costs_that_are_not_whole_are_marked(brimline: Brimline) -> None:
    listed = brimline("calls", "--limit", "0")
    rows = brimline.json("calls", "--limit", "0")["rows"]
    assert listed.count("no price") == sum(row["costUsd"] is None for row in rows) > 0
    said = brimline("summary", "--group-by", "date", "--limit", "0")
    groups = brimline.json("summary", "--group-by", "date", "--limit", "0")["groups"]
    partly = [one for one in groups if one["unpriced"] and one["costUsd"] is not None]
    assert partly and said.count("+") == len(partly) + 1
    assert "+ some of it has no price" in said


def test_the_presets_of_the_summary(brimline: Brimline, capsys: pytest.CaptureFixture[str]) -> None:
    assert brimline.json("summary", "--preset", "expensive") == brimline.json("expensive")
    with pytest.raises(SystemExit):
        brimline("summary", "--preset", "everything")
    assert "by-model" in (said := capsys.readouterr().err) and "expensive" in said


def test_what_is_wrong_in_own_files_is_said_beside_the_figures(brimline: Brimline) -> None:
    folder = Path(brimline("init-thresholds").strip()).parent
    (folder / "thresholds.json").write_text('{"high_cost_usd": "x"}')
    (folder / "projects.json").write_text("{")
    assert brimline.json("summary")["groups"]
    assert "thresholds.json: high_cost_usd must be a number" in brimline.error
    assert "projects.json cannot be used" in brimline.error


@pytest.mark.parametrize(
    "words", [("expensive", "last-7-days"), ("expensive", "today"), ("summary", "last-7-days")]
)
def test_a_preset_and_a_day_do_not_both_say_where_to_begin(
    brimline: Brimline, words: tuple[str, str]
) -> None:
    verb, preset = words
    brimline(verb, "--preset", preset, "--since", "2026-05-01", code=1)
    assert f"--preset {preset} and --since 2026-05-01 both say where to begin" in brimline.error
    brimline("summary", "--preset", "by-model", "--since", "2026-05-01")


def test_the_share_with_a_price_is_one_figure(brimline: Brimline) -> None:
    for words in ((), ("--include-archived",)):
        shown = brimline("pricing-coverage", *words)
        share = brimline.json("pricing-coverage", *words)
        said = brimline.json("setup", *words)
        assert said["pricedRatio"] == share["ratio"]
        assert said["pricedHistory"] == share["history"] == ("all" if words else "active")
        whose = "all sessions" if words else "sessions that are not archived"
        sentence = f"{100 * share['ratio']:.1f}% of the tokens of {whose} have a price."
        assert sentence in shown and sentence in brimline("setup", *words)
    assert share["ratio"] != brimline.json("pricing-coverage")["ratio"], "there are archived ones"


def test_only_large_calls(brimline: Brimline) -> None:
    every = brimline.json("calls", "--limit", "0")["rows"]
    tokens = sorted(row["totalTokens"] for row in every)
    least = tokens[len(tokens) // 2]
    said = brimline.json("query", "--min-tokens", str(least), "--limit", "0")
    wanted = {row["id"] for row in every if row["totalTokens"] >= least}
    assert {row["id"] for row in said["rows"]} == wanted
    assert said["totals"]["totalTokens"] == sum(count for count in tokens if count >= least)
    credits = sorted(row["credits"] for row in every if row["credits"])
    dear = credits[len(credits) // 2]
    found = brimline.json("calls", "--min-credits", f"{dear:.6f}", "--limit", "0")["rows"]
    assert {row["id"] for row in found} == {r["id"] for r in every if (r["credits"] or 0) >= dear}
    assert brimline.json("calls", "--min-tokens", "0", "--limit", "0")["rows"] == every


def test_only_threads_that_ask_for_attention(brimline: Brimline) -> None:
    every = brimline.json("insights", "--limit", "0")["threads"]
    scores = [row["attention"] for row in every]
    assert scores == sorted(scores, reverse=True) and len(scores) > 2
    least = scores[len(scores) // 2]
    said = brimline.json("recommendations", "--min-score", str(least))["threads"]
    assert [row["attention"] for row in said] == [score for score in scores if score >= least]
    one = brimline.json("insights", "--model", "gpt-5.5", "--limit", "1")
    assert len(one["threads"]) == 1


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("calls", "--min-tokens", "-1"), id="less than none"),
        pytest.param(("calls", "--min-tokens", "many"), id="not a number"),
        pytest.param(("query", "--min-credits", "1e999"), id="no end"),
        pytest.param(("insights", "--min-score", "nan"), id="no number at all"),
    ],
)
def test_bad_sizes_are_explained(brimline: Brimline, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        cli.main([*words, "--data-dir", str(brimline.folder / "data")])


@pytest.mark.parametrize("mode", ["redacted", "strict"])
def test_privacy_before_and_after_the_verb(brimline: Brimline, mode: str) -> None:
    for words in (("--privacy-mode", mode, "threads"), ("threads", "--privacy-mode", mode)):
        rows = brimline.json(*words)["rows"]
        assert rows
        for row in rows:
            assert (row["title"] or "Thread ").startswith("Thread ")
            assert (row["project"] or "Project ").startswith("Project ")


def test_files(brimline: Brimline, tree: Tree, tmp_path: Path) -> None:
    for what in ("calls", "threads", "days"):
        place = tmp_path / f"{what}.csv"
        said = brimline.json("export", what, "--output", str(place))
        assert said["rows"] == place.read_text("utf-8-sig").count("\n") - 1 > 0
    page = tmp_path / "report.html"
    brimline("report", "--privacy-mode", "strict", "--include-archived", "--output", str(page))
    text = page.read_text()
    assert f"{tree.sums[1] + tree.sums[3]:,}" in text and "<script" not in text
    assert "Thread " in text and "please do" not in text
    bundle = tmp_path / "bundle.json"
    brimline("support-bundle", "--output", str(bundle))
    facts = json.loads(bundle.read_text())
    assert facts["scan"]["calls"] == tree.sums[0]
    assert str(tmp_path) not in bundle.read_text()
    packed = tmp_path / "bundle.zip"
    brimline("support-bundle", "--output", str(packed))
    with zipfile.ZipFile(packed) as archive:
        assert archive.namelist() == ["support-bundle.json"]
        assert json.loads(archive.read("support-bundle.json"))["scan"] == facts["scan"]
    brimline("export", "--output", str(tmp_path / "nowhere" / "x.csv"), code=1)
    assert "cannot be written" in brimline.error


def test_own_files(brimline: Brimline) -> None:
    place = Path(brimline("init-thresholds").strip())
    assert json.loads(place.read_text())["low_cache_ratio"] == 0.3
    brimline("init-thresholds", code=1)
    assert "exists already" in brimline.error
    brimline("init-thresholds", "--force")
    brimline("init-projects")
    brimline("init-allowance")
    said = brimline("parse-allowance", "5h 79% 6:50 PM Weekly 33% Jun 7")
    assert "5h: 79% left (6:50 PM)" in said
    brimline("parse-allowance", "nothing here", code=1)
    assert "No allowance was found" in brimline.error


def test_a_log_is_inspected(brimline: Brimline, tmp_path: Path) -> None:
    log = max(
        (tmp_path / "home" / ".codex").rglob("rollout-*.jsonl"), key=lambda p: p.stat().st_size
    )
    with log.open("ab") as file:
        file.write(b"no json\n{half a li")
    said = brimline.json("inspect-log", str(log))
    assert said["calls"] > 0 and said["warnings"].get("not_json") == 1
    assert said["lines"] == log.read_bytes().count(b"\n")
    brimline("inspect-log", str(tmp_path), code=1)
    assert "not a file" in brimline.error


def test_rebuilding_changes_nothing_and_reset_empties(brimline: Brimline, tree: Tree) -> None:
    before = brimline.json("summary", "--group-by", "thread", "--limit", "0")
    assert brimline.json("rebuild-index")["calls"] == tree.sums[0]
    after = brimline.json("summary", "--group-by", "thread", "--limit", "0")
    assert [g["totalTokens"] for g in after["groups"]] == [
        g["totalTokens"] for g in before["groups"]
    ]
    assert brimline.json("reset-db", "--yes")["call"] == tree.sums[0]
    assert brimline.json("summary", "--no-refresh")["groups"] == []
    assert brimline.json("refresh")["calls"] == tree.sums[0]
    with pytest.raises(SystemExit):
        cli.main(["reset-db"])


@pytest.mark.parametrize("words", [("rebuild-index",), ("reset-db", "--yes")], ids=" ".join)
def test_a_running_brimline_is_told_apart_from_a_silent_one(
    brimline: Brimline, words: tuple[str, ...]
) -> None:
    lock = Lock(brimline.folder / "data" / "serve.lock")
    assert lock.acquire()
    try:
        brimline(*words, code=69)
    finally:
        lock.release()
    assert "Quit Brimline first" in brimline.error
    assert f"then run brimline {' '.join(words)} again" in brimline.error
    brimline(*words)


def test_rebuilding_heals_a_log_that_counted_under_two_names(
    brimline: Brimline, tree: Tree
) -> None:
    log = next(iter(sorted((brimline.folder / "home/.codex/sessions").rglob("*.jsonl"))))
    data = brimline.folder / "data" / "usage.db"
    with closing(sqlite3.connect(data)) as connection, connection:
        number = connection.execute("select id from source_file where name = ?", (log.stem,))
        columns = (
            "select name from pragma_table_info('source_file') where name not in ('id','name')"
        )
        rest = ", ".join(f'"{row[0]}"' for row in connection.execute(columns))
        source = number.fetchone()[0]
        old = connection.execute(
            f"insert into source_file(name, {rest}) "
            f"select 'rollout-2020-01-01T00-00-00-' || substr(name, -36), {rest} "
            "from source_file where id = ?",
            (source,),
        ).lastrowid
        connection.execute("update source_file set missing = 1 where id = ?", (old,))
        fields = [
            row[0] for row in connection.execute("select name from pragma_table_info('call')")
        ]
        told = ", ".join(f'"{name}"' for name in fields)
        asked = {"id": "'log_old_' || id", "source": str(old)}
        copied = ", ".join(asked.get(name, f'"{name}"') for name in fields)
        where = "where source = ?"
        connection.execute(f"insert into call({told}) select {copied} from call {where}", (source,))
    assert brimline.json("rebuild-index")["calls"] == tree.sums[0]
    said = brimline.json("summary", "--group-by", "thread", "--limit", "0", "--include-archived")
    assert sum(group["calls"] for group in said["groups"]) == tree.sums[0]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("vi", "vi", id="a code"),
        pytest.param("English", "en", id="a name"),
        pytest.param("pt_BR", "pt", id="a country's"),
        pytest.param("zh-Hans", "zh", id="a script's"),
    ],
)
def test_language(text: str, code: str) -> None:
    assert reports.language(text) == code


def test_an_unknown_language_is_said(brimline: Brimline) -> None:
    with pytest.raises(AppError, match="Choose of"):
        reports.language("klingon")
    brimline("--lang", "de", "summary")
    brimline("--lang", "xx", "summary", code=1)


def _kept(brimline: Brimline) -> Any:
    with offline_api.opened(
        config.load({"data_dir": str(brimline.folder / "data")})[0], None
    ) as api:
        return api.get("/api/settings")["language"]


def test_a_report_changes_nobodys_language(
    brimline: Brimline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "report.html"
    monkeypatch.setenv("CODEX_USAGE_TRACKER_LANG", "ja")
    brimline("report", "--output", str(page))
    assert '<html lang="ja"' in page.read_text()
    brimline("--lang", "de", "report", "--output", str(page))
    assert '<html lang="de"' in page.read_text()
    assert _kept(brimline) == ""


@pytest.mark.parametrize("verb", ["serve", "serve-dashboard"])
def test_a_server_begins_with_a_language_and_keeps_the_chosen_one(
    brimline: Brimline, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(runtime, "serve", lambda *_args: 0)
    monkeypatch.setenv("CODEX_USAGE_TRACKER_LANG", "ja")
    brimline(verb)
    assert _kept(brimline) == "ja"
    brimline("--lang", "de", verb)
    assert _kept(brimline) == "ja"


def test_the_privacy_of_a_run_is_not_stored(
    brimline: Brimline, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def serve(*_args: Any) -> int:
        seen.append((settings.get("privacyMode"), settings.everything()["privacyMode"]))
        return 0

    monkeypatch.setattr(runtime, "serve", serve)
    brimline("--privacy-mode", "strict", "serve-dashboard", "--no-refresh")
    assert seen == [("strict", "strict")]
    brimline("serve-dashboard", "--no-refresh")
    assert seen[1] == ("normal", "normal")


def test_an_address() -> None:
    asked = {"a": None, "b": "", "c": ["x", "y&z"], "d": 0}
    assert address("/p", asked) == "/p?c=x&c=y%26z&d=0"


_ABOUT = {
    "made": "2026-11-21T22:28:03+00:00", "zone": "Asia/Tokyo", "privacy": "strict",
    "history": "active", "prices": "a list", "rates": "another list",
}  # fmt: skip


def test_a_report_trusts_no_name() -> None:
    evil = "<script>alert(1)</script>"
    row = {"calls": 1, "totalTokens": 5, "cacheRatio": None, "costUsd": None}
    figures = {
        "days": [],
        "totals": {
            "calls": 1, "totalTokens": 5, "cachedInput": 0, "uncachedInput": 4, "output": 1,
            "costUsd": None, "unpriced": 1,
        },
        "models": [{**row, "name": evil}],
        "projects": [{**row, "project": evil}],
        "threads": [{**row, "title": evil, "project": None}],
    }  # fmt: skip
    words = {"report.title": evil, "calls.chip.prices": "Prices: {{source}}"}
    spoken = {"language": "en", "direction": "ltr", "words": words}
    text = sharing.page(sharing.Speech(spoken), figures, {**_ABOUT, "prices": evil})
    assert evil not in text and text.count("&lt;script&gt;") == 6


_WHOLE = {"calls": 2, "totalTokens": 5, "cacheRatio": None, "costUsd": 39.43, "unpriced": 0}
_DAY = {"day": "2026-11-01", "cachedInput": 0, "uncachedInput": 4, "output": 1, "sessions": 1}
_NONE = {"cachedInput": 0, "uncachedInput": 4, "output": 1}


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("days", id="a day"),
        pytest.param("models", id="a model"),
        pytest.param("projects", id="a project"),
        pytest.param("threads", id="a thread"),
        pytest.param(None, id="all is priced"),
    ],
)
@pytest.mark.parametrize(
    ("doubt", "mark"),
    [
        pytest.param({"unpriced": 1}, "+", id="not whole"),
        pytest.param({"estimated": 1}, "*", id="an estimate"),
        pytest.param({"unpriced": 1, "estimated": 1}, "*+", id="both"),
    ],
)
def test_a_report_marks_costs_that_are_not_whole_or_not_sure(
    part: str | None, doubt: dict[str, int], mark: str
) -> None:
    def row(name: str) -> dict[str, Any]:
        return {**_WHOLE, **doubt} if name == part else _WHOLE

    figures = {
        "days": [{**_DAY, **row("days")}],
        "totals": {**_WHOLE, **_NONE},
        "models": [{**row("models"), "name": "m"}],
        "projects": [{**row("projects"), "project": "p"}],
        "others": {"projects": {**row("others"), "groups": 3}},
        "threads": [{**row("threads"), "title": "t", "project": "p"}],
    }
    words = {"report.partly": "left out", "cost.estimated": "guessed", "trends.other": "other"}
    spoken = {"language": "en", "direction": "ltr", "words": words}
    text = sharing.page(sharing.Speech(spoken), figures, _ABOUT).replace("<span class=m>", "")
    assert text.count(f"$39.43{mark}<") == (part is not None)
    assert text.count("$39.43<") == 5 + (not part) and "Other (3)" in text
    said = part is not None and mark
    assert ("+ Left out" in text) is ("+" in (said or "")), "a mark is explained where it stands"
    assert ("* Guessed" in text) is ("*" in (said or ""))


@pytest.mark.parametrize(
    ("iso", "zone", "said"),
    [
        pytest.param("2026-11-21T22:28:03.555Z", "", "2026-11-21 22:28 UTC", id="no zone"),
        pytest.param(
            "2026-11-21T22:28:03+00:00", "Asia/Tokyo", "2026-11-22 07:28 JST", id="a zone"
        ),
        pytest.param("2026-11-21", "Asia/Tokyo", "2026-11-21", id="a day"),
        pytest.param("last week", "", "last week", id="no moment"),
        pytest.param(
            "0001-01-01T00:00:00Z", "America/New_York", "0001-01-01T00:00:00Z", id="early"
        ),
    ],
)
def test_a_moment_is_written_for_people(iso: str, zone: str, said: str) -> None:
    assert sharing.moment(iso, zone) == said


def test_a_report_says_what_it_is_of_and_adds_up(
    brimline: Brimline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagefiles, "_ROWS", 1)
    prices, page = tmp_path / "mine.json", tmp_path / "report.html"
    guess = {"input_per_million": 2, "output_per_million": 20, "estimated": True}
    prices.write_text(json.dumps({"models": {"gpt-6.1-codex": guess}}))
    brimline("update-pricing", "--source-file", str(prices))
    brimline("--privacy-mode", "redacted", "report", "--output", str(page))
    text = page.read_text()
    for stamp in ("Made <bdi>20", "Active sessions only", "pricing.json, mine.json, 20"):
        assert stamp in text, stamp
    assert "Codex credits" in text and "* Some of it has an estimated price" in text
    for by in ("model", "project"):
        groups = brimline.json("summary", "--group-by", by, "--limit", "0")["groups"]
        assert f"Other ({len(groups) - 1})" in text
        left = sum(group["totalTokens"] for group in groups[1:])
        assert f">{left:,}<" in text
    # On the terminal the same costs have the same marks.
    said = brimline("summary", "--group-by", "model", "--limit", "0")
    (line,) = (one for one in said.splitlines() if one.startswith("gpt-6.1-codex"))
    assert line.endswith("*") and "* estimated price" in said
    assert "*" in brimline("insights").splitlines()[1]
    pricing.use({}, {})


@pytest.mark.parametrize(
    ("language", "title", "number"),
    [
        pytest.param("en", "Token usage", "1,234,567.5", id="English"),
        pytest.param("de", "Tokenverbrauch", "1.234.567,5", id="German"),
        pytest.param("fr", "Consommation de tokens", "1\u202f234\u202f567,5", id="French"),
        pytest.param("ar", "استهلاك الرموز", "1,234,567.5", id="from right to left"),
    ],
)
def test_a_report_speaks_the_chosen_language(
    brimline: Brimline, tmp_path: Path, language: str, title: str, number: str
) -> None:
    page = tmp_path / "report.html"
    brimline("--lang", language, "report", "--output", str(page))
    text = page.read_text()
    assert f"<h1>{title}</h1>" in text and f'<html lang="{language}"' in text
    assert ('dir="rtl"' in text) is (language == "ar")
    assert "report." not in text and "calls.col" not in text, "every word is in the catalogue"
    speech = sharing.Speech({"language": language, "direction": "ltr", "words": {}})
    assert speech.number(1234567.5, 1) == number


@pytest.mark.parametrize(
    ("language", "cost", "share"),
    [
        pytest.param("en", "$1,234.50", "12.3%", id="English"),
        pytest.param("de", "1.234,50 $", "12,3 %", id="German"),
        pytest.param("vi", "1.234,50 $", "12,3%", id="Vietnamese"),
        pytest.param("zh", "$1,234.50", "12.3%", id="Chinese"),
        pytest.param("ja", "$1,234.50", "12.3%", id="Japanese"),
        pytest.param("ko", "$1,234.50", "12.3%", id="Korean"),
        pytest.param("fr", "1\u202f234,50 $", "12,3 %", id="French"),
        pytest.param("es", "1234,50 $", "12,3 %", id="Spanish"),
        pytest.param("pt", "$ 1.234,50", "12,3%", id="Portuguese"),
        pytest.param("it", "1234,50 $", "12,3%", id="Italian"),
        pytest.param("ru", "1 234,50 $", "12,3 %", id="Russian"),
        pytest.param("ar", "\u200f1,234.50 $", "12.3\u200e%\u200e", id="Arabic"),
    ],
)
def test_a_report_writes_amounts_as_its_language_does(language: str, cost: str, share: str) -> None:
    speech = sharing.Speech({"language": language, "direction": "ltr", "words": {}})
    assert speech.money(1234.5).replace("\u00a0", " ") == cost
    assert speech.share(0.123).replace("\u00a0", " ") == share
    assert " " not in speech.money(1234.5) + speech.share(0.123), "a line does not part them"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(None, "–", id="not known"),
        pytest.param(0, "0,00\u00a0$", id="nothing"),
        pytest.param(0.00001, "<0,0001\u00a0$", id="hardly anything"),
        pytest.param(0.0042, "0,0042\u00a0$", id="less than a cent"),
        pytest.param(10_000, "10.000,00\u00a0$", id="much"),
    ],
)
def test_a_report_writes_small_and_large_amounts(value: float | None, said: str) -> None:
    speech = sharing.Speech({"language": "de", "direction": "ltr", "words": {}})
    assert speech.money(value) == said


@pytest.mark.parametrize(
    ("language", "title"),
    [("en", "Title for a conversation"), ("de", "Titel für ein Gespräch")],
)
def test_a_report_calls_a_thread_that_finds_a_title_so(
    brimline: Brimline, tmp_path: Path, language: str, title: str
) -> None:
    assert say("thread.titling") == sharing.TITLING
    with closing(sqlite3.connect(tmp_path / "data" / "usage.db")) as known, known:
        known.execute("update thread set title = ?, title_source = 'kind'", (sharing.TITLING,))
    page = tmp_path / "report.html"
    brimline("--lang", language, "report", "--include-archived", "--output", str(page))
    assert f">{title}<" in page.read_text()
    said = brimline("threads", "--no-refresh", "--include-archived")
    assert "Title for a conversation" in said  # the command line speaks English


def test_setup_reads_all_and_says_what_is_there(brimline: Brimline, tree: Tree) -> None:
    said = brimline.json("setup", "--skip-pricing")
    assert said["calls"] == tree.sums[0] and 0 < said["pricedRatio"] < 1
    assert said["files"]["projects"] is False
    assert "brimline serve-dashboard --open" in brimline("setup")


def test_what_was_left_out_is_said_as_the_privacy_mode_permits(
    brimline: Brimline, tree: Tree
) -> None:
    secret = tree.home / "sessions" / "secret-client"
    secret.symlink_to(tree.home / "sessions" / "nowhere")
    for words in (["scan"], ["refresh"], ["setup"]):
        assert "secret-client (a link that leads nowhere)" in brimline(*words)
        said = brimline("--privacy-mode", "strict", *words)
        assert "Left out: [redacted path:" in said and "secret-client" not in said


def test_the_shipped_rate_card_and_a_template_of_prices(brimline: Brimline) -> None:
    before = brimline.json("calls", "--limit", "0")["rows"]
    said = brimline.json("update-rate-card")
    card = json.loads(Path(said["path"]).read_text())
    assert card["models"]["gpt-5.5"] == [125, 12.5, 750] and card["_source"]["fetched_at"]
    place = brimline("init-pricing").strip()
    assert json.loads(Path(place).read_text())["models"] == {}
    brimline("init-pricing", code=1)
    assert brimline.json("calls", "--limit", "0")["rows"] == before, "neither changes a price"


def test_active_sessions_only(brimline: Brimline) -> None:
    active = brimline.json("calls", "--limit", "1")["total_matched_rows"]
    again = brimline.json("calls", "--limit", "1", "--history", "active")["total_matched_rows"]
    every = brimline.json("calls", "--limit", "1", "--history", "all")["total_matched_rows"]
    same = brimline.json("calls", "--limit", "1", "--include-archived")["total_matched_rows"]
    assert again == active < every == same == brimline.json("scan")["calls"]
    groups = brimline.json("summary", "--group-by", "model", "--limit", "0")["groups"]
    assert sum(group["calls"] for group in groups) == active
    coverage = brimline.json("pricing-coverage")["models"]
    assert sum(model["calls"] for model in coverage) == active
    for verb in ("threads", "expensive", "query", "recommendations", "diagnostics"):
        assert "left out" not in brimline(verb, "--include-archived")
    assert brimline("summary").endswith("--include-archived counts them, too.\n")
    brimline("update-pricing", "--source-file", "nowhere.json", code=1)
    assert "nowhere.json cannot be read: No such file or directory." in brimline.error


def test_a_session_that_is_named_is_shown_archived_or_not(brimline: Brimline) -> None:
    rows = brimline.json("query", "--limit", "0", "--include-archived")["rows"]
    active = {row["sessionId"] for row in brimline.json("query", "--limit", "0")["rows"]}
    put_aside = next(row["sessionId"] for row in rows if row["sessionId"] not in active)
    found = brimline.json("session", put_aside)["row_count"]
    assert found == sum(row["sessionId"] == put_aside for row in rows)
    brimline("session", put_aside, "--history", "active", code=1)


@pytest.mark.parametrize(
    "words",
    [
        ["summary"], ["calls"], ["query"], ["threads"], ["session"], ["insights"],
        ["recommendations"], ["expensive"], ["pricing-coverage"],
    ],
)  # fmt: skip
def test_a_look_reads_new_logs_first(brimline: Brimline, tree: Tree, words: list[str]) -> None:
    before = brimline.json("scan")["calls"]
    tree.grow(sessions=1)
    brimline(*words, "--no-refresh")
    look = ("calls", "--limit", "1", "--include-archived", "--no-refresh")
    assert brimline.json(*look)["total_matched_rows"] == before
    brimline(*words)
    assert brimline.json(*look)["total_matched_rows"] == tree.sums[0] > before


def test_calls_whose_credit_rate_is_sure(brimline: Brimline) -> None:
    every = brimline.json("calls", "--limit", "1")["total_matched_rows"]
    sure = brimline.json("calls", "--limit", "1", "--credit-confidence", "exact")
    assert 0 < sure["total_matched_rows"] < every


def test_own_prices(brimline: Brimline, tmp_path: Path) -> None:
    brimline("pin-pricing", "--output", str(tmp_path / "shipped.json"))
    shipped = json.loads((tmp_path / "shipped.json").read_text())
    assert shipped["_source"]["pinned"] is True and shipped["_source"]["pinned_at"][-1] == "Z"
    assert len(shipped["models"]["gpt-5.6-luna"]) == 2, "prices keep the days from which they hold"
    source = tmp_path / "prices.json"
    rates = {"input_per_million": 2, "output_per_million": 20}
    source.write_text(json.dumps({"models": {"gpt-6.1-codex": rates}}))
    assert brimline("update-pricing", "--source-file", str(source)).startswith("1 models")
    assert brimline.json("pricing-coverage")["ratio"] == 1
    brimline("pin-pricing", "--output", str(tmp_path / "pin.json"))
    pin = json.loads((tmp_path / "pin.json").read_text())
    assert pin["models"]["gpt-6.1-codex"] == [{"standard": [2, None, 20]}]
    assert pin["models"]["gpt-5.5"] == shipped["models"]["gpt-5.5"]
    brimline("pin-pricing", "--output", str(tmp_path / "pin.json"), code=1)
    brimline("update-rate-card", "--source-file", str(tmp_path / "none.json"), code=1)
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"models": {"gpt-6.1-codex": [100, 10, 1000]}}))
    brimline("update-rate-card", "--source-file", str(card))
    rows = brimline.json("calls", "--model", "gpt-6.1-codex", "--limit", "5")["rows"]
    assert all(row["credits"] > 0 for row in rows)
    brimline("update-pricing", "--source-url", "http://x", code=1)
    pricing.use({}, {})


def test_pinned_prices_come_back_to_the_last_cent(brimline: Brimline, tmp_path: Path) -> None:
    def costs() -> dict[str, Any]:
        rows = brimline.json("query", "--limit", "0", "--include-archived")["rows"]
        return {row["id"]: (row["costUsd"], row["priceStatus"], row["credits"]) for row in rows}

    before, pin, other = costs(), tmp_path / "pin.json", tmp_path / "other.json"
    brimline("pin-pricing", "--output", str(pin))
    dear = {"input_per_million": 900, "output_per_million": 900}
    models = ("gpt-5.5", "gpt-5.4", "gpt-6.1-codex")
    other.write_text(json.dumps({"models": dict.fromkeys(models, dear)}))
    brimline("update-pricing", "--source-file", str(other))
    assert costs() != before
    brimline("update-pricing", "--source-file", str(pin))
    assert costs() == before
    # A file that is named is pinned instead of what holds.
    brimline("pin-pricing", "--pricing", str(other), "--output", str(tmp_path / "second.json"))
    second = json.loads((tmp_path / "second.json").read_text())
    assert set(second["models"]) == set(models) and second["_source"]["name"] == "other.json"
    brimline("pin-pricing", "--pricing", str(tmp_path / "no"), "--output", "x.json", code=1)
    other.write_text('{"models": {"a": {"input": -1}}}')
    brimline("pin-pricing", "--pricing", str(other), "--output", "x.json", code=1)
    assert "a rate of a is no number" in brimline.error


def test_dollars_are_not_taken_for_credits_nor_credits_for_dollars(
    brimline: Brimline, tmp_path: Path
) -> None:
    pin, card = tmp_path / "pin.json", tmp_path / "card.json"
    brimline("pin-pricing", "--output", str(pin))
    brimline("update-rate-card", "--output", str(card))
    before = brimline.json("calls", "--limit", "0")["rows"]
    for words, instead in (
        (("update-rate-card", "--source-file", str(pin)), "update-pricing --source-file"),
        (("update-pricing", "--source-file", str(card)), "update-rate-card --source-file"),
        (("--pricing", str(card), "summary"), "update-rate-card --source-file"),
        (("--rate-card", str(pin), "summary"), "update-pricing --source-file"),
    ):
        brimline(*words, code=1)
        assert instead in brimline.error
        assert ("Nothing was changed: it " in brimline.error) is ("--source-file" in words)
    assert brimline.json("calls", "--limit", "0")["rows"] == before
    brimline("update-pricing", "--source-file", str(pin))
    brimline("update-rate-card", "--source-file", str(card))
    # A file put there by hand changes nothing either, and is told.
    folder = brimline.folder / "data"
    (folder / "pricing.json").write_text(card.read_text())
    assert brimline.json("calls", "--limit", "0")["rows"] == before
    assert "pricing.json cannot be used: it is a rate card in credits" in brimline.error


def test_a_plain_list_of_prices_keeps_its_kind(brimline: Brimline, tmp_path: Path) -> None:
    plain = tmp_path / "plain.json"
    plain.write_text(json.dumps({"gpt-6.1-codex": [2, 0.2, 20], "aliases": {"mine": "gpt-5.5"}}))
    for verb, other in (
        ("update-pricing", "update-rate-card"),
        ("update-rate-card", "update-pricing"),
    ):
        said = brimline.json(verb, "--source-file", str(plain))
        assert said["models"] == 1
        brimline(other, "--source-file", said["path"], code=1)
    assert brimline.json("pricing-coverage")["ratio"] == 1
    pricing.use({}, {})


def test_own_files_hold_without_a_refresh(brimline: Brimline, tree: Tree) -> None:
    def whole() -> tuple[int, float, float]:
        said = brimline.json("calls", "--limit", "1", "--no-refresh")["totals"]
        return said["calls"], said["costUsd"], said["credits"]

    before = whole()
    tree.grow(1)
    prices = brimline.folder / "data" / "pricing.json"
    prices.write_text(json.dumps({"models": {"gpt-5.5": [1000, 1000, 1000]}}))
    after = whole()
    assert after[0] == before[0] and after[1] > before[1], "the prices are new, the calls are not"
    allowance = brimline.folder / "data" / "allowance.json"
    allowance.write_text(json.dumps({"credit_rates": {"gpt-5.5": [9000, 9000, 9000]}}))
    assert whole()[2] > before[2]
    prices.unlink()
    allowance.unlink()
    assert whole() == before


def test_a_log_steers_no_terminal(brimline: Brimline, tree: Tree, tmp_path: Path) -> None:
    log = next(tree.home.rglob("rollout-*.jsonl"))
    odd = tmp_path / log.name
    odd.write_bytes(log.read_bytes().replace(b'"model":"', b'"model":"\\u001b[5m').replace(
        b'"model": "', b'"model": "\\u001b[5m'))  # fmt: skip
    assert any("\x1b" in model for model in brimline.json("inspect-log", str(odd))["models"])
    said = brimline("inspect-log", str(odd))
    assert "[5m" in said and "\x1b" not in said


def test_diagnostics_that_were_not_read_say_so(brimline: Brimline) -> None:
    for view in ("facts", "tools", "summary"):
        assert "Run this with --refresh" in brimline("diagnostics", view)
    assert "--refresh" not in brimline("diagnostics", "facts", "--refresh", "--limit", "3")
    nothing = brimline("diagnostics", "facts", "--thread", "nobody-has-it")
    assert nothing.strip() == "None in these calls."


def test_a_refresh_without_a_server_says_what_one_does(brimline: Brimline, tree: Tree) -> None:
    tree.grow(3)
    quick = brimline.json("refresh")
    assert quick["calls"] == tree.sums[0]
    (brimline.folder / "data" / "thresholds.json").write_text("{}")  # so the routes are asked
    assert brimline.json("refresh") == quick
    (brimline.folder / "data" / "thresholds.json").write_text("{")
    assert brimline("refresh") and "thresholds.json" in brimline.error


def test_a_report_by_other_prices_changes_nothing(brimline: Brimline, tmp_path: Path) -> None:
    before = brimline.json("summary", "--group-by", "model", "--include-archived")
    prices = tmp_path / "twice.json"
    rates = {"input_per_million": 1000, "cached_input_per_million": 1000, "output_per_million": 0}
    prices.write_text(json.dumps({"models": {"gpt-5.5": rates}}))
    words = ("summary", "--group-by", "model", "--include-archived")
    for line in (("--pricing", str(prices), *words), (*words, "--pricing", str(prices))):
        said = {one["name"]: one for one in brimline.json(*line)["groups"]}
        group = said["gpt-5.5"]
        assert group["costUsd"] == pytest.approx(group["inputTokens"] / 1000)
        same = {one["name"]: one for one in before["groups"]}
        assert {name: said[name] for name in said if name != "gpt-5.5"} == {
            name: same[name] for name in same if name != "gpt-5.5"
        }
    assert brimline.json(*words) == before
    assert not (brimline.folder / "data" / "pricing.json").exists()


@pytest.mark.parametrize(
    ("option", "text", "words", "expected"),
    [
        pytest.param(
            "rate-card", {"models": {"gpt-6.1-codex": [1e5, 1e5, 1e5]}},
            ("calls", "--model", "gpt-6.1-codex", "--limit", "1", "--include-archived"),
            lambda said: said["rows"][0]["credits"] > 10, id="rate card",
        ),
        pytest.param(
            "allowance", {"credit_rates": {"gpt-6.1-codex": [1e5, 1e5, 1e5]}},
            ("calls", "--model", "gpt-6.1-codex", "--limit", "1", "--include-archived"),
            lambda said: said["rows"][0]["credits"] > 10, id="allowance",
        ),
        pytest.param(
            "thresholds", {"high_cost_usd": 1e6, "high_context_percent": 5}, ("insights",),
            lambda said: "context-bloat" not in {card["key"] for card in said["cards"]},
            id="thresholds",
        ),
        pytest.param(
            "projects", {"aliases": {"project-1": "Atlas", "project-2": "Atlas"}},
            ("summary", "--group-by", "project", "--privacy-mode", "redacted", "--limit", "0"),
            lambda said: "Atlas" in {group.get("project", group.get("name"))
                                     for group in said["groups"]},
            id="projects",
        ),
    ],
)  # fmt: skip
def test_other_files_hold_for_one_report(
    brimline: Brimline, tmp_path: Path, option: str, text: Any, words: Any, expected: Any
) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps(text))
    assert expected(brimline.json(f"--{option}", str(file), *words))
    assert not (brimline.folder / "data" / f"{option}.json").exists()


def test_a_file_of_ones_own_place_is_written_there(brimline: Brimline, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    brimline("--thresholds", str(mine), "init-thresholds")
    assert json.loads(mine.read_text())["high_cost_usd"] == 1.0
    assert not (brimline.folder / "data" / "thresholds.json").exists()
    brimline("--thresholds", str(mine), "init-thresholds", code=1)
    assert "exists already" in brimline.error


@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param(("--pricing", "none.json", "summary"), "no file", id="a file that is not"),
        pytest.param(("--pricing", "broken.json", "summary"), "broken.json", id="no JSON"),
        pytest.param(
            ("--pricing", "broken.json", "summary"),
            "Correct the file, or leave --pricing out: then the data folder's own holds.",
            id="what to do, as nothing else holds",
        ),
        pytest.param(("--pricing", "broken.json", "refresh"), "for reports", id="what is kept"),
        pytest.param(("--projects", "broken.json", "status"), "for reports", id="no report"),
    ],
)
def test_files_that_do_not_do_are_explained(
    brimline: Brimline, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    (tmp_path / "broken.json").write_text("{")
    given = [str(tmp_path / word) if word.endswith(".json") else word for word in words]
    brimline(*given, code=1)
    assert why in brimline.error


def test_the_other_files_do_beside_a_server(brimline: Brimline, tmp_path: Path) -> None:
    lock = Lock(brimline.folder / "data" / "serve.lock")
    assert lock.acquire()
    try:
        prices = tmp_path / "prices.json"
        prices.write_text(json.dumps({"models": {"gpt-5.5": [1, 1, 1]}}))
        assert brimline.json("--pricing", str(prices), "pricing-coverage")["models"]
    finally:
        lock.release()


@pytest.mark.parametrize(
    ("words", "own"),
    [
        pytest.param(("init-thresholds",), "thresholds", id="thresholds"),
        pytest.param(("init-projects",), "projects", id="projects"),
        pytest.param(("init-allowance",), "allowance", id="allowance"),
        pytest.param(("init-pricing",), "pricing", id="prices"),
        pytest.param(("update-rate-card",), "rate-card", id="the rate card"),
        pytest.param(("parse-allowance", "5h 79% Weekly 33%"), "allowance", id="what was copied"),
    ],
)
def test_a_file_is_written_where_output_says(
    brimline: Brimline, tmp_path: Path, words: tuple[str, ...], own: str
) -> None:
    mine = tmp_path / "mine.json"
    said = brimline(*words, "--output", str(mine))
    assert json.loads(mine.read_text())
    assert str(mine) in said or words[0] == "parse-allowance"
    assert not (brimline.folder / "data" / f"{own}.json").exists()


def test_prices_without_estimates(brimline: Brimline, tmp_path: Path) -> None:
    prices, mine = tmp_path / "prices.json", tmp_path / "mine.json"
    sure, guessed = {"input_per_million": 1, "output_per_million": 2}, {"estimated": True}
    given = {"models": {"gpt-5.5": sure, "gpt-6.1-codex": {**sure, **guessed}}}
    prices.write_text(json.dumps(given))
    words = ("update-pricing", "--source-file", str(prices), "--output", str(mine))
    assert brimline.json(*words)["models"] == 2
    said = brimline.json(*words, "--no-estimates")
    assert said["models"] == 1 and said["path"] == str(mine)
    assert list(json.loads(mine.read_text())["models"]) == ["gpt-5.5"]
    prices.write_text(json.dumps({"models": {"a": {**sure, **guessed}}}))
    brimline(*words, "--no-estimates", code=1)
    assert "Every price of this file is an estimate" in brimline.error


def test_logs_of_another_home(
    brimline: Brimline, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Tree(tmp_path / "other" / ".codex", seed=7, body=20)
    other.grow(5)
    brimline.folder = tmp_path / "second"
    said = brimline.json("refresh", "--codex-home", str(other.home))
    assert said["calls"] == other.sums[0] != tree.sums[0]
    counted = f"{other.sums[0]:,} calls"
    assert counted in brimline("setup", "--codex-home", str(other.home))
    brimline("rebuild-index", "--codex-home", str(other.home))
    brimline("refresh", "--codex-home", str(tmp_path / "nowhere"), code=1)
    assert "is no folder" in brimline.error
    monkeypatch.setattr("desktop.commands.ledger.client_of", lambda _settings: object())
    brimline("refresh", "--codex-home", str(other.home), code=1)
    assert "A server reads the logs of this data folder" in brimline.error


def test_calls_with_a_price_by_another_name(brimline: Brimline) -> None:
    said = json.loads(brimline("query", "--pricing-status", "priced", "--limit", "0"))
    assert {row["priceStatus"] for row in said["rows"]} == {"exact"}


def test_the_lines_of_a_call(brimline: Brimline) -> None:
    call = brimline.json("calls", "--limit", "1")["rows"][0]["id"]
    said = json.loads(brimline("context", call, "--max-entries", "2"))
    assert 0 < len(said["entries"]) <= 2
    every = json.loads(brimline("context", call, "--max-entries", "0", "--include-tool-output"))
    assert len(every["entries"]) >= len(said["entries"])
    brimline("context", "no-such-call", code=1)
    assert "no such call" in brimline.error.lower()


def test_an_export_of_the_newest(brimline: Brimline, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    assert brimline.json("export", "--output", str(file), "--limit", "3")["rows"] == 3
    listed = brimline.json("calls", "--limit", "3")["rows"]
    with file.open(encoding="utf-8-sig", newline="") as text:
        found = list(csv.DictReader(text))
    assert len(found) == 3 and all(
        row["id"] in one.values() for row, one in zip(listed, found, strict=True)
    )


@pytest.mark.parametrize(
    ("content", "most", "kept", "rows"),
    [
        pytest.param(b"a,b\r\n1,2\r\n3,4\r\n", 1, b"a,b\r\n1,2\r\n", 1, id="the first"),
        pytest.param(b"a\n1\n2\n", 0, b"a\n1\n2\n", 2, id="all"),
        pytest.param(b'a\n"1\n2"\n3\n', 1, b'a\n"1\n2"\n', 1, id="a line's end in a field"),
        pytest.param(b"", 3, b"", 0, id="nothing"),
    ],
)
def test_records_of_a_file(content: bytes, most: int, kept: bytes, rows: int) -> None:
    assert reports._records(content, most) == (kept, rows)


def test_words_of_the_usage_tracker_are_understood() -> None:
    parse = cli._parser().parse_args
    assert parse(["serve-dashboard", "--context-api", "disabled"]).evidence is False
    assert parse(["serve-dashboard", "--context-api", "explicit"]).evidence is None
    assert parse(["doctor", "--suggest-repair"])


def test_a_log_is_found_by_its_name(brimline: Brimline, tree: Tree) -> None:
    file = next(iter(sorted((tree.home / "sessions").rglob("*.jsonl"))))
    whole = brimline.json("inspect-log", str(file))
    assert brimline.json("inspect-log", file.name, "--codex-home", str(tree.home)) == whole
    brimline("inspect-log", "none.jsonl", "--codex-home", str(tree.home), code=1)
    assert "none.jsonl" in brimline.error
