"""A log under another name: whose it is, and which project it counts for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest import claude, renames
from server.ingest.files import Found
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from server.usage import roots, slices, summary
from server.usage.days import Days
from server.usage.slices import Filter
from tests.claudelogs import ClaudeLog

KEY = "7c4e0d2a-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("name", "cwd", "expected"),
    [
        pytest.param("-home-me-app/x", "/home/me/app", "/home/me/app", id="as it was called"),
        pytest.param("-home-me-app/x", "/home/me/app/ui", "/home/me/app/ui", id="inside it"),
        pytest.param("-home-me-my-app/x", "/home/me/my_app", "/home/me/my_app", id="other signs"),
        pytest.param("-home-me-new/x", "/home/me/old", "/home/me/new", id="renamed"),
        pytest.param("-home-me-new/k/subagents/a", "/home/me/old", "/home/me/new", id="a helper"),
        pytest.param("C--Users-me-new/x", "C:\\Users\\me\\old", "C:\\Users\\me\\new", id="Windows"),
        pytest.param("-srv-new/x", "/home/me/old", "/home/me/old", id="moved far away"),
        pytest.param("copies/x", "/home/me/old", "/home/me/old", id="a folder of another kind"),
        pytest.param("-home-me-/x", "/home/me/old", "/home/me/old", id="no name is left"),
        pytest.param("-new/x", "/old", "/old", id="the root has no neighbours"),
        pytest.param("-home-me-new/x", None, None, id="nothing is known"),
        pytest.param("x", "/home/me/old", "/home/me/old", id="a log outside any folder"),
    ],
)
def test_the_working_folder_of_a_claude_log(
    name: str, cwd: str | None, expected: str | None
) -> None:
    assert claude.folder_of(name, cwd) == expected


def found(name: str, inode: int = 1) -> Found:
    return Found("claude", name, f"/p/{name}.jsonl", inode, 9, 9, archived=False)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        pytest.param(f"-a/{KEY}", f"-b/{KEY}", True, id="its project's folder was renamed"),
        pytest.param(f"-a/{KEY}/subagents/agent-1", f"-b/{KEY}/subagents/agent-1", True,
                     id="a helper's"),
        pytest.param(f"-a/{KEY}/subagents/agent-1", f"-b/{KEY}/subagents/agent-2", False,
                     id="another helper"),
        pytest.param(f"-a/{KEY}", f"-b/{KEY[:-1]}2", False, id="another session"),
        pytest.param("-a/agent-1", "-b/agent-1", False, id="a name that others may have"),
        pytest.param("-a/agent-77aa11b", "-b/agent-77aa11b", True, id="a helper's beside it"),
    ],
)  # fmt: skip
def test_which_log_of_claude_is_a_known_one(old: str, new: str, same: bool) -> None:
    known, there = {("claude", old): found(old)}, {("claude", new): found(new)}
    expected = [(("claude", old), ("claude", new))] if same else []
    assert renames.renamed(known, there, lambda _: True) == expected
    assert renames.renamed(known, there, lambda _: False) == [], "it is there: that is a copy"


def told(heading: str = "project") -> dict[str, tuple[int, int]]:
    """Calls and tokens by a heading, the same from the ledger's rollup and the lists'."""
    slices.refresh()
    wanted = {
        name: (calls, tokens)
        for name, calls, tokens in db.rows(
            "select name, sum(calls), sum(input + output) from daily_usage where heading = ? "
            "group by 1 having sum(calls) > 0",
            (heading,),
        )
    }
    answer = summary.grouped(Filter(), heading, Days("UTC"), 0)["groups"]
    key = "project" if heading == "project" else "name"
    assert {row[key]: (row["calls"], row["totalTokens"]) for row in answer} == wanted
    return {roots.last(name): sums for name, sums in wanted.items()}


def filled(home: Path) -> ClaudeLog:
    """A session with a helper, each with two calls."""
    log, helper = ClaudeLog(1), ClaudeLog(1, agent="agent-1")
    for number in range(2):
        log.run(f"m{number}", "Bash", command="ls")
        helper.run(f"h{number}", "Read", file_path="x")
    log.save(home)
    helper.save(home)
    return log


@pytest.mark.parametrize("full", [True, False], ids=["by a sweep", "by a poll"])
def test_a_renamed_project_folder_takes_its_sessions_along(
    config: Config, database: None, full: bool
) -> None:
    log = filled(config.claude_home)
    indexer = Indexer(config, Ledger())
    indexer.scan()
    before = told()
    assert list(before) == ["secret-project"] and before["secret-project"][0] == 4
    place = config.claude_home / "projects"
    (place / "-home-me-secret-project").rename(place / "-home-me-open-project")
    indexer._pass(full=full)
    assert told() == {"open-project": before["secret-project"]}
    assert db.rows("select count(*), sum(missing) from source_file") == [(2, 0)]
    assert db.rows("select distinct project, cwd from session") == [
        (roots.key("/home/me/open-project"), "/home/me/open-project")
    ]
    assert db.rows("select project from thread") == [(roots.key("/home/me/open-project"),)]
    assert db.rows("select root from project") == [("/home/me/open-project",)], "one name is free"
    log.run("m9", "Bash", command="ls")
    (place / "-home-me-open-project" / f"{log.key}.jsonl").write_bytes(log.text())
    indexer._pass(full=full)
    assert {name: calls for name, (calls, _) in told().items()} == {"open-project": 5}
    state: list[Any] = db.rows("select * from daily_usage order by heading, name")
    with db.writing("calls") as connection:
        Ledger().rebuild(connection)
    assert db.rows("select * from daily_usage order by heading, name") == state


def test_a_copied_project_folder_outlives_the_first(config: Config, database: None) -> None:
    filled(config.claude_home)
    indexer = Indexer(config, Ledger())
    indexer.scan()
    place = config.claude_home / "projects"
    shutil.copytree(place / "-home-me-secret-project", place / "-home-me-open-project")
    indexer.scan()
    assert {name: calls for name, (calls, _) in told().items()} == {"secret-project": 4}
    shutil.rmtree(place / "-home-me-secret-project")
    indexer.scan()
    assert {name: calls for name, (calls, _) in told().items()} == {"open-project": 4}
    assert db.rows("select sum(missing) from source_file") == [(0,)]
