"""Diagnostics on real files and a real database: gathered once, whatever happens; and served."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import zstandard
from flask.testing import FlaskClient

from desktop import cli, diagnosing
from server.app import Services, create_app
from server.config import Config
from server.ingest import facts, gather
from server.ingest.gather import Gatherer
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.usage import diagnostics, factsums, sections, slices
from server.usage.days import chosen
from server.usage.slices import Filter
from tests.rig import wait_until
from tests.rollouts import Tree
from tests.toollogs import HOME, ToolLog

TABLES = ("fact", "fact_call", "tool_run", "file_read", "file_change")
REAL = sorted((Path(__file__).parent / "data" / "rollouts").glob("*.jsonl"))


@pytest.fixture
def indexer(config: Config, database: None) -> Iterator[Indexer]:
    """An indexer on the test's folders, not started."""
    built = Indexer(config, Ledger())
    yield built
    built.stop()


def everything() -> dict[str, list[Any]]:
    """Every row of the facts, without the number of their file."""
    found: dict[str, list[Any]] = {}
    for table in TABLES:
        rows = db.rows(
            f"select f.name, r.* from {table} r join source_file f on f.id = r.source"  # noqa: S608
        )
        found[table] = sorted((row[0], *row[2:]) for row in rows)
    return found


def up_to_date(indexer: Indexer) -> None:
    indexer.scan()
    Gatherer().refresh()


def rich(number: int = 1, *, modern: bool = True) -> ToolLog:
    """A log with something for every section."""
    log = ToolLog(number, modern=modern)
    log.run("cat src/a.py src/b.py", tokens=11)
    log.run("rg -n secret src", tokens=5)
    log.run("git status --short && git commit -m 'hunter2'", tokens=3)
    log.run("gh pr view 12", tokens=None)
    log.run("pytest -q", code=1)
    log.run("pytest -q", code=1)
    changes = {f"{HOME}/src/a.py": {"type": "update"}, f"{HOME}/docs/x.md": {"type": "add"}}
    log.done({"type": "FileChange", "id": "p1", "changes": changes, "status": "completed"})
    log.done({"type": "McpToolCall", "id": "m1", "server": "docs", "tool": "search"})
    log.add("compacted", {"message": "hunter2"})
    log.call()
    log.event("task_complete", turn_id="t")
    return log


# ── gathering ─────────────────────────────────────────────────────────────────────────────


def test_a_second_pass_finds_nothing_to_do(config: Config, indexer: Indexer) -> None:
    rich().save(config.codex_home)
    up_to_date(indexer)
    before = everything()
    assert all(before.values())
    assert Gatherer().bring_up(gently=False) is False
    assert everything() == before


def test_a_log_that_grows_gives_what_a_whole_one_does(config: Config, indexer: Indexer) -> None:
    log = rich()
    lines, path = log.lines, log.save(config.codex_home)
    for end in (3, 7, 8, 19, 30, len(lines)):
        path.write_text("".join(lines[:end]))
        up_to_date(indexer)
    grown = everything()
    path.unlink()
    for table in (*TABLES, "fact_file"):
        with db.writing() as connection:
            connection.execute(f"delete from {table}")  # noqa: S608
    path.write_text("".join(lines))
    up_to_date(indexer)
    assert everything() == grown


def test_a_torn_line_waits_for_its_end(config: Config, indexer: Indexer) -> None:
    log = rich()
    path = log.save(config.codex_home)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    up_to_date(indexer)
    assert not db.rows("select 1 from fact where name = 'task_complete'")
    path.write_bytes(whole)
    up_to_date(indexer)
    assert db.rows("select sum(count) from fact where name = 'task_complete'") == [(1,)]


@pytest.mark.parametrize("lines", [6, 0], ids=["truncated", "another log"])
def test_a_log_that_was_replaced_is_counted_anew(
    config: Config, indexer: Indexer, lines: int
) -> None:
    log = rich()
    path = log.save(config.codex_home)
    up_to_date(indexer)
    new = "".join(log.lines[:lines]) if lines else "".join(rich().lines).replace("rg -n", "ls -n")
    path.write_text(new)
    os.utime(path, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns + 10**9))
    up_to_date(indexer)
    searches = db.rows("select count(*) from tool_run where root = 'rg'")
    assert searches == [(0,)]
    offsets = db.rows('select k."offset" <= f."offset" from fact_file k, source_file f')
    assert offsets == [(1,)]


@pytest.mark.parametrize("packed", [False, True], ids=["archived", "compressed"])
def test_a_log_that_moved_is_known(config: Config, indexer: Indexer, packed: bool) -> None:
    log = rich()
    path = log.save(config.codex_home)
    up_to_date(indexer)
    before = everything()
    folder = config.codex_home / "archived_sessions"
    folder.mkdir()
    if packed:
        target = folder / (path.name + ".zst")
        target.write_bytes(zstandard.compress(path.read_bytes()))
        path.unlink()
    else:
        path.rename(folder / path.name)
    up_to_date(indexer)
    assert everything() == before


def test_compressed_logs_are_read(config: Config, indexer: Indexer) -> None:
    log = rich()
    path = log.save(config.codex_home)
    up_to_date(indexer)
    plain = everything()
    for table in (*TABLES, "fact_file"):
        with db.writing() as connection:
            connection.execute(f"delete from {table}")  # noqa: S608
    (path.parent / (path.name + ".zst")).write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()
    up_to_date(indexer)
    assert everything() == plain


@pytest.mark.parametrize("quiet", [False, True], ids=["still written", "silent"])
def test_what_comes_after_the_last_call_settles_with_it(
    config: Config, indexer: Indexer, quiet: bool
) -> None:
    log = rich()
    log.item(type="function_call", name="exec_command", arguments='{"cmd":"make"}', call_id="last")
    path = log.save(config.codex_home)
    if quiet:
        os.utime(path, (1, 1))
    up_to_date(indexer)
    up_to_date(indexer)  # once is enough
    made = "select count(*) from tool_run r join fact_call k using (source, number) where root = ?"
    assert db.rows(made, ("make",)) == [(int(quiet),)]
    # It goes on after all: nothing counts twice.
    log.call()
    log.output("last")
    log.call()
    path.write_bytes(log.text())
    up_to_date(indexer)
    assert db.rows(made, ("make",)) == [(1,)]
    assert db.rows("select outputs, tokens from tool_run where root = 'make'") == [(1, 10)]
    rows = {row["fact_name"]: row for row in diagnostics.facts(Filter())}
    assert rows["build"]["occurrences"] == rows["build"]["associated_calls"] == 1
    assert rows["exec_command"]["occurrences"] == log.text().count(b'"name":"exec_command"')


def test_a_copied_head_counts_for_its_parent_alone(config: Config, indexer: Indexer) -> None:
    tree = Tree(config.codex_home, seed=5, body=60)
    tree.grow(40)
    up_to_date(indexer)
    owned = db.rows(
        "select count(*), count(distinct k.call) from fact_call k join call c on c.id = k.call"
    )[0]
    assert owned[0] == owned[1] == tree.sums[0]
    orphans = db.rows("select count(*) from fact_call where call is null")[0][0]
    assert orphans > 0  # the copies are there, and belong to nobody


def test_parents_that_come_later_give_the_same(config: Config, indexer: Indexer) -> None:
    tree = Tree(config.codex_home, seed=9, body=60)
    tree.grow(30)
    paths = sorted(config.codex_home.rglob("*.jsonl"))
    hidden = {path: path.read_bytes() for path in paths[:10]}
    for path in hidden:
        path.unlink()
    up_to_date(indexer)
    for path, text in hidden.items():
        path.write_bytes(text)
    up_to_date(indexer)
    found = db.rows("select count(distinct k.call) from fact_call k join call c on c.id = k.call")
    assert found == [(tree.sums[0],)]


def test_a_file_under_another_number_is_another_file(config: Config, indexer: Indexer) -> None:
    rich(1).save(config.codex_home)
    up_to_date(indexer)
    with db.writing() as connection:  # what emptying the ledger does
        for table in ("call", "session", "thread", "source_file", "daily_usage"):
            connection.execute(f"delete from {table}")  # noqa: S608
    for path in config.codex_home.rglob("*.jsonl"):
        path.unlink()
    ToolLog(2).save(config.codex_home)
    up_to_date(Indexer(config, Ledger()))
    assert db.rows("select count(*) from tool_run") == [(0,)]


def test_a_kill_loses_nothing_and_counts_nothing_twice(config: Config, indexer: Indexer) -> None:
    for number in range(1, 9):
        rich(number).save(config.codex_home)
    up_to_date(indexer)
    expected = everything()
    with db.writing() as connection:
        for table in (*TABLES, "fact_file"):
            connection.execute(f"delete from {table}")  # noqa: S608
    db.close_databases()
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from server.ingest import gather\n"
        "from server.store import db, settings\n"
        "db.open_databases(Path(sys.argv[1])); settings.load()\n"
        "gather._PIECE = 1024\n"
        "stored, store = [], gather._store\n"
        "def counted(*given):\n"
        "    store(*given)\n"
        "    stored.append(1)\n"
        "    if len(stored) == 20:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "gather._store = counted\n"
        "gather.Gatherer().bring_up(gently=False)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script, str(config.data_dir)], cwd=root, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    db.open_databases(config.data_dir, strict=True)
    settings.load()
    assert 0 < db.rows("select count(*) from fact_file")[0][0] < 8
    Gatherer().bring_up(gently=False)
    assert everything() == expected


def test_a_log_that_cannot_be_read_is_passed_by(config: Config, indexer: Indexer) -> None:
    path = rich(1).save(config.codex_home)
    rich(2).save(config.codex_home)
    indexer.scan()
    path.unlink()
    Gatherer().bring_up(gently=False)
    assert db.rows("select count(*) from fact_file") == [(1,)]


def test_a_line_nobody_thought_of_keeps_no_other_log_back(
    config: Config, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rich(1).save(config.codex_home)
    rich(2).save(config.codex_home)
    indexer.scan()
    fold = facts.fold

    def failing(data: bytes, base: int, state: facts.State) -> Any:
        if b"-000000000001" in data:
            raise TypeError("odd")
        return fold(data, base, state)

    monkeypatch.setattr(facts, "fold", failing)
    Gatherer().bring_up(gently=False)
    assert db.rows("select count(*) from fact_file") == [(1,)]
    monkeypatch.undo()
    Gatherer().bring_up(gently=False)
    assert db.rows("select count(*) from fact_file") == [(2,)]


def test_the_thread_follows_the_ledger(
    config: Config, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "POLL_SECONDS", 0.01)
    rich().save(config.codex_home)
    busy = threading.Event()
    busy.set()
    gatherer = Gatherer(busy.is_set)
    indexer.scan()
    gatherer.start()
    try:
        assert diagnostics.computed() is None
        busy.clear()
        wait_until(lambda: diagnostics.computed() is not None, "the sections")
        assert gatherer.error is None
    finally:
        gatherer.stop()


def test_archiving_makes_new_sections(
    config: Config, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(gather, "SNAPSHOT_SECONDS", 0.01)
    rich().save(config.codex_home)
    up_to_date(indexer)
    assert not diagnostics.stale()
    log = next((config.codex_home / "sessions").rglob("*.jsonl"))
    archive = config.codex_home / "archived_sessions"
    archive.mkdir()
    log.rename(archive / log.name)
    indexer.scan()
    assert diagnostics.stale()

    def rows(scope: str) -> int:
        found = diagnostics.stored("overview", scope)
        return before if found is None else int(found["usage_rows"])

    before = 0
    before = rows("all")
    gatherer = Gatherer()
    gatherer.start()
    try:
        wait_until(lambda: rows("active") < before, "the archived log is left out")
        assert rows("all") == before
    finally:
        gatherer.stop()


def test_an_emptied_ledger_leaves_no_sections_behind(
    config: Config, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "POLL_SECONDS", 0.01)
    rich().save(config.codex_home)
    up_to_date(indexer)
    assert not diagnostics.stale()
    with db.writing("calls") as connection:
        for table in ("call", "session", "thread", "source_file", "daily_usage"):
            connection.execute(f"delete from {table}")  # noqa: S608
    assert diagnostics.stale()
    gatherer = Gatherer()
    gatherer.start()  # as after a start: what is stored is older than the ledger
    try:
        wait_until(lambda: not diagnostics.stale(), "new sections")
        assert not any(everything().values())
    finally:
        gatherer.stop()


# ── sections ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def client(config: Config) -> Iterator[FlaskClient]:
    """The routes over one rich log, refreshed."""
    rich().save(config.codex_home)
    app = create_app(config)
    services: Services = app.extensions["brimline"]
    services.indexer.scan()
    yield app.test_client()
    db.close_databases()


def got(client: FlaskClient, path: str) -> Any:
    answer = client.get(f"/api/diagnostics/{path}")
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_before_the_first_pass_sections_are_missing(client: FlaskClient) -> None:
    for section in diagnostics.SECTIONS:
        found = got(client, section)
        assert (found["status"], found["snapshot"]) == ("missing", None)
        assert found["refreshed"] is False
        assert got(client, f"{section}?model=gpt-5.5")["status"] == "missing"


def test_a_refresh_has_every_section(client: FlaskClient) -> None:
    answer = client.post("/api/diagnostics/refresh", json={})
    assert answer.status_code == 200
    found = answer.get_json()
    assert found["refreshed"] is True
    assert list(found["sections"]) == list(diagnostics.SECTIONS.values())
    assert found["meta"]["source_log_analysis_passes"] == 1
    assert found["history_scope"] == "active"
    for section, key in diagnostics.SECTIONS.items():
        one = got(client, section)
        assert one["status"] == "ready"
        assert one == {**found["sections"][key], "refreshed": False}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """A data folder with one rich log, whose sections are computed; for tests that only read."""
    folder = tmp_path_factory.mktemp("diagnostics")
    config = Config(
        data_dir=folder / "data", codex_home=folder / "codex", claude_home=folder / "claude",
        port=80, strict_writes=True,
    )  # fmt: skip
    rich().save(config.codex_home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIMLINE_NO_KEYRING", "1")
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        app = create_app(config)
        services: Services = app.extensions["brimline"]
        services.indexer.scan()
        services.facts.refresh()
        db.close_databases()
        APPS[config.data_dir] = app.test_client()
        yield config


APPS: dict[Path, FlaskClient] = {}


@pytest.fixture
def ready(computed: Config) -> Iterator[FlaskClient]:
    """The routes over `computed`; the databases are this test's again."""
    db.open_databases(computed.data_dir, strict=True)
    settings.load()
    yield APPS[computed.data_dir]
    db.close_databases()


def test_tool_output(ready: FlaskClient) -> None:
    found = got(ready, "tool-output")
    assert found["summary"] == {
        "function_calls": 6,
        "function_outputs": 6,
        "outputs_with_original_token_count": 5,
        "outputs_missing_original_token_count": 1,
        "original_token_sum": 39,
    }
    assert found["functions"][0]["function"] == "exec_command"
    roots = {row["root"]: row["original_token_sum"] for row in found["command_roots"]}
    assert roots == {"cat": 11, "rg": 5, "git": 3, "gh": None, "pytest": 20}
    assert found["missing_reasons"] == [{"name": "string_no_header", "count": 1}]


def test_commands(ready: FlaskClient) -> None:
    found = got(ready, "commands")
    assert found["summary"] == {
        "shell_function_calls": 6,
        "command_root_count": 5,
        "missing_command": 0,
    }
    assert found["commands"][0] == {
        "root": "pytest",
        "total": 2,
        "children": [{"child": "<arg>", "count": 2}],
    }


def test_git(ready: FlaskClient) -> None:
    found = got(ready, "git-interactions")
    assert found["summary"]["git_shell_calls"] == 2
    assert found["summary"]["git_command_calls"] == 2
    assert found["summary"]["github_cli_calls"] == 1
    rows = {(row["root"], row["operation"]): row for row in found["interactions"]}
    assert rows[("git", "status")]["mutability"] == "read_only"
    assert rows[("git", "status")]["original_token_sum"] == 3
    assert rows[("git", "commit")]["mutability"] == "local_mutation"
    assert rows[("git", "commit")]["original_token_sum"] is None  # the line's output counts once
    assert rows[("gh", "pr")]["category"] == "pull_request"


def test_files(ready: FlaskClient) -> None:
    reads = got(ready, "file-reads")
    rows = {row["path_label"]: row for row in reads["top_paths"]}
    assert rows["a.py"]["original_token_sum"] == 6  # 11 over two files, the rest to the first
    assert rows["b.py"]["original_token_sum"] == 5
    assert reads["summary"]["read_events"] == 3
    changes = got(ready, "file-modifications")
    assert changes["summary"] == {
        "modification_events": 1,
        "modified_path_events": 2,
        "unique_paths_modified": 2,
        "largest_event_path_count": 2,
    }
    assert {row["extension"] for row in changes["by_extension"]} == {".py", ".md"}
    productivity = got(ready, "read-productivity")
    assert productivity["summary"]["productive_read_events"] == 1
    readers = {row["reader"]: row["productive_read_pct"] for row in productivity["readers"]}
    assert readers == {"direct_file_read:cat": 50.0, "search_path_scan:rg": 0.0}


def test_concentration(ready: FlaskClient) -> None:
    found = got(ready, "concentration")
    assert [one["dimension"] for one in found["dimensions"]] == ["source_log", "cwd", "day"]
    for one in found["dimensions"]:
        assert one["group_count"] == 1
        assert one["top_1_share"] == one["effective_group_count"] == 1
        assert list(one["metrics"]) == found["metrics"]


@pytest.mark.parametrize(
    ("values", "top", "effective"),
    [
        pytest.param([], None, None, id="nothing"),
        pytest.param([0, 0], None, None, id="nothing but zeros"),
        pytest.param([5], 1.0, 1.0, id="one has all"),
        pytest.param([1, 1, 1, 1], 0.25, 4.0, id="four equal ones"),
        pytest.param([6, 2, 2], 0.6, 2.272727, id="uneven"),
    ],
)
def test_concentrated(values: list[float], top: float | None, effective: float | None) -> None:
    found = sections.concentrated(values)
    assert (found["top_1_share"], found["effective_group_count"]) == (top, effective)


def test_facts_and_their_calls_agree(ready: FlaskClient) -> None:
    rows = got(ready, "facts?limit=0")["rows"]
    assert len(rows) > 10
    for row in rows:
        one = f"fact_type={row['fact_type']}&fact_name={row['fact_name']}"
        calls = got(ready, f"fact-calls?{one}&limit=500")
        assert calls["total_matched_rows"] == row["associated_calls"]
        assert sum(call["totalTokens"] for call in calls["rows"]) == row["associated_total_tokens"]
        assert max(call["totalTokens"] for call in calls["rows"]) == row["largest_call_tokens"]
        listed = ready.get(f"/api/calls?fact={row['fact_type']}:{row['fact_name']}").get_json()
        assert listed["total"] == row["associated_calls"]
        assert listed["occurrences"] == row["occurrences"]


@pytest.mark.parametrize(
    ("fact", "calls"),
    [
        ("command_root:pytest", 2), ("command:git status", 1), ("git:git commit", 1),
        ("git:gh pr", 1), ("reader:search_path_scan:rg", 1), ("extension:.md", 1),
        ("tool_run:exec_command", 6), ("command_root:nothing", 0), ("no_such:type", 0),
    ],
)  # fmt: skip
def test_every_number_leads_to_its_calls(ready: FlaskClient, fact: str, calls: int) -> None:
    found = ready.get("/api/calls", query_string={"fact": fact}).get_json()
    assert found["total"] == len(found["calls"]) == calls


def test_a_list_says_how_often_its_fact_came(ready: FlaskClient) -> None:
    def times(fact: str) -> int:
        return int(ready.get("/api/calls", query_string={"fact": fact}).get_json()["occurrences"])

    found = got(ready, "tool-output")
    assert times("tool_run:*") == times("silent_tool_run:*") == found["summary"]["function_calls"]
    for row in found["functions"]:
        assert times(f"tool_run:{row['function']}") == row["calls"]
        missing = row["outputs_missing_original_token_count"]
        assert times(f"tool_uncounted:{row['function']}") == missing
    for row in found["command_roots"]:
        missing = row["outputs_missing_original_token_count"]
        assert times(f"root_uncounted:{row['root']}") == missing
    for row in got(ready, "commands")["commands"]:
        assert times(f"command_root:{row['root']}") == row["total"]
    for row in got(ready, "git-interactions")["interactions"]:
        assert times(f"git:{row['root']} {row['operation']}") == row["calls"]
    for row in got(ready, "read-productivity")["readers"]:
        assert times(f"reader:{row['reader']}") == row["read_events"]
    for row in got(ready, "file-modifications")["top_paths"]:
        assert times(f"changed:{row['path_hash']}") == row["modifications"]


def test_paths_lead_to_their_calls(ready: FlaskClient) -> None:
    for section, kind in (("file-reads", "read"), ("file-modifications", "changed")):
        for row in got(ready, section)["top_paths"]:
            fact = f"{kind}:{row['path_hash']}"
            assert ready.get("/api/calls", query_string={"fact": fact}).get_json()["total"] == 1


def test_views(ready: FlaskClient) -> None:
    assert {row["fact_type"] for row in got(ready, "compactions")["rows"]} == {"compaction"}
    assert "loop" in {row["fact_type"] for row in got(ready, "loops")["rows"]}
    tools = {row["fact_type"] for row in got(ready, "tools?limit=0")["rows"]}
    assert {"tool", "function", "mcp_tool", "mcp_server", "command_family"} == tools
    summary = got(ready, "summary")["rows"]
    assert all(row["associated_calls"] <= 7 for row in summary)
    by_name = got(ready, "facts?sort=fact&limit=3")["rows"]
    names = [row["fact_name"] for row in by_name]
    assert names == sorted(names)
    assert got(ready, "facts?limit=3")["truncated"] is True
    assert got(ready, "facts?fact_type=mcp_tool")["rows"][0]["fact_name"] == "search"
    second = got(ready, "fact-calls?fact_type=tool&fact_name=function_call&limit=2&offset=2")
    assert (second["row_count"], second["next_offset"]) == (2, 4)


def test_filters_narrow_every_section(ready: FlaskClient) -> None:
    for section in diagnostics.SECTIONS:
        assert got(ready, f"{section}?model=gpt-5.5")["snapshot"]["usage_rows_scanned"] == 7
        found = got(ready, f"{section}?model=none&from=2020-01-01")
        assert found["snapshot"]["usage_rows_scanned"] == 0
    assert got(ready, "facts?model=gpt-5.5&limit=0")["rows"] == got(ready, "facts?limit=0")["rows"]
    assert got(ready, "facts?until=2020-01-01")["rows"] == []
    assert got(ready, "facts?min_tokens=999999999")["rows"] == []


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A ledger of several days, zones' edges, projects and models, with its facts."""
    folder = tmp_path_factory.mktemp("many")
    config = Config(data_dir=folder / "data", codex_home=folder / "codex", claude_home=folder / "c",
                    port=80)  # fmt: skip
    for number in range(1, 7):
        log = rich(number, modern=number % 3 > 0)
        for step in range(5):
            log.run(f"git add . && git commit -m x && cat a{step}.py b.py", tokens=7 * step)
            log.run("rg -n x src", tokens=step)
        log.save(config.codex_home, archived=number == 6)
    for path in REAL:
        day = config.codex_home / "sessions/2026/11/21"
        day.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, day / path.name.partition("__")[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIMLINE_NO_KEYRING", "1")
        services: Services = create_app(config).extensions["brimline"]
    services.indexer.scan()
    services.facts.refresh()
    with db.writing() as connection:
        connection.execute(
            "update call set account = 'a' || (rowid % 2), model = 'm' || (rowid % 3), "
            "effort = case rowid % 4 when 0 then null else 'high' end, "
            "started_at = started_at + (rowid % 4) * 47000000"
        )
        connection.execute("update session set project = 'p' || (id % 2)")
    slices.forget()
    slices.refresh()
    factsums.forget()
    db.close_databases()
    yield config.data_dir


def filters() -> dict[str, Filter]:
    found = db.rows("select min(started_at), max(started_at) from call")[0]
    days = [chosen().start(date.fromisoformat(chosen().of(at))) for at in found]
    second = chosen().start(date.fromisoformat(chosen().of(days[0] + 36 * 3_600_000)))
    session, thread = db.rows("select key, thread from session order by id limit 1")[0]
    return {
        "all": Filter(),
        "active": Filter(history="active"),
        "a day": Filter(since=days[0], until=second),
        "from the second day": Filter(since=second),
        "until the last day": Filter(until=days[1]),
        "nobody's days": Filter(since=1, until=2),
        "a model": Filter(models=("m1",)),
        "two models, an effort": Filter(models=("m0", "m2"), efforts=("high",)),
        "an account": Filter(accounts=("a1",), since=second),
        "a project": Filter(projects=("p0",)),
        "a provider": Filter(provider="codex"),
        "another provider": Filter(provider="claude"),
        "a session": Filter(session=session),
        "a thread": Filter(thread=thread),
        "a text of models": Filter(text="m1"),
        "a text of sessions": Filter(text=session, since=second),
        "a text of projects": Filter(text="p0", meant=("p0",), models=("m1",)),
    }


SECTION_NAMES = [*diagnostics.SECTIONS, "facts", "summary"]


@pytest.mark.parametrize("section", SECTION_NAMES)
def test_the_rollup_tells_what_the_facts_do(many: Path, section: str) -> None:
    db.open_databases(many, strict=True)
    settings.load()
    try:
        assert factsums.refresh(most=100)
        told = 0
        for name, wanted in filters().items():
            assert sections.scoped(wanted).days is not None or name == "nobody's days"
            summed = diagnostics._built(section, wanted)
            single = diagnostics._built(section, wanted, single=True)
            for found in (summed, single):
                found["snapshot"].pop("computed_at")
            assert alike(summed) == alike(single), name
            told += single["snapshot"]["usage_rows_scanned"] > 0
        assert told == len(filters()) - 2
    finally:
        db.close_databases()


def alike(value: Any) -> Any:
    """Without the order of rows that are level, and what adding up in another order changes."""
    if isinstance(value, dict):
        return {key: alike(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted((alike(inner) for inner in value), key=repr)
    return round(value, 9) if isinstance(value, float) else value


def test_the_rollup_follows_the_facts(config: Config, indexer: Indexer) -> None:
    log = rich()
    log.save(config.codex_home)
    up_to_date(indexer)
    wanted = Filter(provider="codex")

    def runs(*, single: bool = False) -> Any:
        found = diagnostics._built("tool-output", wanted, single=single)
        return found["summary"]

    before = runs()
    assert before == runs(single=True)
    log.run("pytest -q", tokens=5)
    log.save(config.codex_home)
    rich(2).save(config.codex_home)
    indexer.scan()
    gatherer = Gatherer()
    gatherer.bring_up()
    assert runs() == runs(single=True) != before  # a request brings it up
    with db.writing("calls") as connection:
        connection.execute("delete from call where rowid % 2")
    slices.forget()
    gatherer.refresh()  # what went without a trace is found out
    assert runs() == runs(single=True)


def test_nothing_archived_is_told_as_the_scope_that_was_asked_for(client: FlaskClient) -> None:
    assert client.post("/api/diagnostics/refresh", json={}).status_code == 200
    for query, scope in (("", "active"), ("?include_archived=0", "active"),
                         ("?include_archived=1", "all")):  # fmt: skip
        for section in diagnostics.SECTIONS:
            assert got(client, f"{section}{query}")["snapshot"]["history_scope"] == scope


def test_what_is_archived_goes_without_a_refresh(config: Config, client: FlaskClient) -> None:
    other = rich(2)
    other.save(config.codex_home)
    services: Services = client.application.extensions["brimline"]
    services.indexer.scan()
    client.post("/api/diagnostics/refresh", json={})
    assert got(client, "overview?include_archived=0")["usage_rows"] == 14
    assert got(client, "summary?include_archived=0")["rows"]
    calls = sum(row["associated_calls"] for row in got(client, "facts?limit=0")["rows"])
    path = next(config.codex_home.glob(f"sessions/**/{other.name}"))
    aside = config.codex_home / "archived_sessions"
    aside.mkdir(exist_ok=True)
    path.rename(aside / other.name)
    services.indexer.scan()
    assert got(client, "overview?include_archived=0")["usage_rows"] == 7
    assert got(client, "overview")["snapshot"]["history_scope"] == "active"
    assert got(client, "overview?include_archived=1")["usage_rows"] == 14
    after = sum(row["associated_calls"] for row in got(client, "facts?limit=0")["rows"])
    assert after == calls // 2


def test_archived_logs_count_when_they_are_asked_for(config: Config, client: FlaskClient) -> None:
    rich(2).save(config.codex_home, archived=True)
    services: Services = client.application.extensions["brimline"]
    services.indexer.scan()
    found = client.post("/api/diagnostics/refresh", json={"include_archived": True}).get_json()
    assert found["history_scope"] == "all"
    assert found["sections"]["overview"]["usage_rows"] == 14
    assert got(client, "overview")["usage_rows"] == 7
    assert got(client, "overview?include_archived=1")["usage_rows"] == 14
    assert got(client, "overview?include_archived=1&history=active")["usage_rows"] == 7


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "nothing", 404), ("post", "nothing/refresh", 404), ("get", "fact-calls", 422),
        ("get", "facts?sort=nothing", 422), ("get", "facts?limit=-1", 422),
        ("get", "overview?include_archived=maybe", 422), ("get", "facts?since=yesterday", 422),
        ("get", "facts?min_tokens=x", 422),
        ("get", "fact-calls?fact_type=a&fact_name=b&limit=0", 422),
    ],
)  # fmt: skip
def test_bad_input_is_told(ready: FlaskClient, method: str, path: str, status: int) -> None:
    answer = getattr(ready, method)(f"/api/diagnostics/{path}")
    assert answer.status_code == status
    assert answer.get_json()["error"]["message"]


def test_a_refresh_reads_what_is_new_first(config: Config, client: FlaskClient) -> None:
    first, second = rich(1), rich(2)
    path = first.save(config.codex_home)
    found = client.post("/api/diagnostics/refresh", json={"wait": True}).get_json()
    assert found["sections"]["overview"]["usage_rows"] == 7  # a log that nobody had read
    first.run("ls")
    path.write_bytes(first.text())
    second.save(config.codex_home)
    found = client.post("/api/diagnostics/refresh", json={"wait": True}).get_json()
    assert found["sections"]["overview"]["usage_rows"] == 15
    assert got(client, "overview")["usage_rows"] == 15


@pytest.mark.parametrize("body", [{"wait": "x"}, {"include_archived": 7}, [], "x"])
def test_a_bad_refresh_is_told(client: FlaskClient, body: Any) -> None:
    assert client.post("/api/diagnostics/refresh", json=body).status_code == 422


@pytest.mark.parametrize("dimension", ["source_log", "cwd", "day"])
def test_the_largest_groups_lead_to_their_calls(ready: FlaskClient, dimension: str) -> None:
    found = ready.get("/api/diagnostics/concentration").get_json()
    groups = next(one for one in found["dimensions"] if one["dimension"] == dimension)
    rows = groups["top_rows"][:3]
    names = [row.get("session") or row.get("project") or row["label"] for row in rows]
    asked = {
        "source_log": f"fact=sessions:{','.join(names)}",
        "cwd": "&".join(f"project={name}" for name in names),
        "day": f"fact=days:{','.join(names)}",
    }
    listed = ready.get(f"/api/calls?limit=500&{asked[dimension]}").get_json()
    tokens = sum(call["totalTokens"] for call in listed["calls"])
    assert tokens == sum(row["total_tokens"] for row in rows) > 0
    assert ready.get("/api/calls?fact=sessions:none").get_json()["total"] == 0
    assert ready.get("/api/calls?fact=days:1999-01-01").get_json()["total"] == 0


@pytest.mark.parametrize("fact", ["days:soon", "days:9999-12-31", "days:2026-11-21,"])
def test_days_that_are_none_are_told(ready: FlaskClient, fact: str) -> None:
    assert ready.get(f"/api/calls?fact={fact}").status_code == 422


def test_a_fact_without_a_name_is_told(ready: FlaskClient) -> None:
    assert ready.get("/api/calls?fact=pytest").status_code == 422


def test_a_section_refreshes_alone(client: FlaskClient) -> None:
    found = client.post("/api/diagnostics/commands/refresh").get_json()
    assert (found["section"], found["status"], found["refreshed"]) == ("commands", "ready", True)


def test_status(client: FlaskClient) -> None:
    assert got(client, "status") == {
        "running": False, "progress": None, "computedAt": None, "error": None,
    }  # fmt: skip
    client.post("/api/diagnostics/refresh")
    assert got(client, "status")["computedAt"]


# ── privacy ───────────────────────────────────────────────────────────────────────────────

PRIVATE = ("hunter2", "secret", "/home", "src/a.py", "Begin Patch", "-m ")


def test_nothing_private_is_stored_or_served(ready: FlaskClient) -> None:
    stored = repr(everything()) + repr(db.rows("select * from diagnostic_snapshot"))
    stored += repr(db.rows("select name, offset, fingerprint from fact_file"))
    served = "".join(
        ready.get(f"/api/diagnostics/{path}").text
        for path in (*diagnostics.SECTIONS, *diagnostics.VIEWS, "summary")
        if path != "concentration"  # projects are named there, as everywhere
    )
    for word in PRIVATE:
        assert word not in stored.replace("secret-project", "")
        assert word not in served


@pytest.mark.parametrize("mode", ["redacted", "strict"])
def test_privacy_modes_hide_names_of_files_and_projects(ready: FlaskClient, mode: str) -> None:
    for path in (*diagnostics.SECTIONS, "facts", "summary"):
        text = ready.get(f"/api/diagnostics/{path}?privacy={mode}").text
        for word in ("a.py", "b.py", "x.md", "secret-project"):
            assert word not in text, path


# ── the command line ──────────────────────────────────────────────────────────────────────


def printed(config: Config, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    folders = [f"--data-dir={config.data_dir}"]
    code = cli.main(["diagnostics", *words, *folders])
    return code, capsys.readouterr().out


def test_the_command_line_has_every_view(
    config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rich().save(config.codex_home)
    monkeypatch.setenv("CODEX_HOME", str(config.codex_home))
    assert printed(config, capsys, "commands")[1].startswith("Nothing was computed yet")
    code, text = printed(config, capsys, "commands", "--refresh")
    assert code == 0
    assert "pytest" in text
    for view in (*diagnosing.TABLES, *diagnosing.SECTIONS):
        more = ["--fact-type", "tool", "--fact-name", "function_call"]
        code, text = printed(
            config, capsys, view, "--json", *(more if view == "fact-calls" else [])
        )
        assert code == 0
        assert json.loads(text)["raw_context_included"] is False
    assert printed(config, capsys, "fact-calls")[0] == 1
    assert "pytest" in printed(config, capsys, "facts", "--fact-type", "command_family")[1]
