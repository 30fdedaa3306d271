"""Facts of Claude Code's logs: each block once, at the message that asked, in whatever pieces."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from server.config import Config
from server.ingest import claudefacts, facts, shell
from server.ingest.gather import Gatherer
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from server.usage import diagnostics
from server.usage.slices import Filter
from tests.claudelogs import HOME, ClaudeLog, rich

EDITED = [("a.py", shell.hashed("src/a.py", HOME)[1], ".py")]


def folded(log: ClaudeLog) -> facts.Found:
    return claudefacts.fold(log.text(), 0, facts.State())[0]


def counted(found: facts.Found) -> dict[str, dict[int, int]]:
    """How often each fact is at each call."""
    counts: dict[str, dict[int, int]] = {}
    for (number, kind, name), row in found.facts.items():
        counts.setdefault(f"{kind}/{name}", {})[number] = row[1]
    return counts


def asked(log: ClaudeLog) -> None:
    log.run("m1", "Bash", command="pytest -q")


def snapshots(log: ClaudeLog) -> None:
    use = log.use("Bash", command="pytest -q")
    log.says("m1", use, stop=None)
    log.says("m1", use)
    log.result(1)
    log.says("m1", use)


def blocks(log: ClaudeLog) -> None:
    log.says("m1", {"type": "thinking", "thinking": "hunter2"}, stop=None)
    log.says("m1", {"type": "text", "text": "hunter2"}, stop=None)
    asked(log)


@pytest.mark.parametrize("write", [asked, snapshots, blocks], ids=lambda f: f.__name__)
def test_a_block_counts_once_at_its_message(write: Callable[[ClaudeLog], None]) -> None:
    log = ClaudeLog()
    write(log)
    log.says("m2", {"type": "text", "text": "done"}, stop="end_turn")
    found = folded(log)
    assert [call[0] for call in found.calls] == [0, 1]
    assert counted(found) == {
        "tool/tool_use": {0: 1},
        "function/bash": {0: 1},
        "command_family/pytest": {0: 1},
        "tool/tool_result": {1: 1},
        "outcome/task_complete": {1: 1},
    }
    assert [run[2:] for run in found.runs] == [(0, "bash", "pytest", "<arg>", None, 1)]
    assert [row[1:] for row in found.outputs] == [(None, "no_token_count", 0)]


def test_results_between_the_lines_of_a_message_belong_to_the_next() -> None:
    log = ClaudeLog()
    log.says("m1", log.use("Read", file_path=f"{HOME}/src/a.py"))
    log.result(1)
    log.says("m1", log.use("Bash", command="ls"))
    log.result(2)
    log.says("m2", stop="end_turn")
    found = counted(folded(log))
    assert (found["tool/tool_use"], found["tool/tool_result"]) == ({0: 2}, {1: 2})


def test_two_tools_in_one_line_are_two_runs() -> None:
    log = ClaudeLog()
    log.says("m1", log.use("Bash", command="git status"), log.use("Bash", command="git diff"))
    found = folded(log)
    assert len({run[0] for run in found.runs}) == 2
    assert [run[6] for run in found.runs] == ["status", "diff"]


@pytest.mark.parametrize(
    ("tool", "given", "reads"),
    [
        pytest.param(
            "Read",
            {"file_path": f"{HOME}/src/a.py"},
            [("src/a.py", "direct_file_read:read")],
            id="file",
        ),
        pytest.param(
            "Grep", {"pattern": "hunter2"}, [(".", "search_path_scan:grep")], id="no path: here"
        ),
        pytest.param(
            "Glob",
            {"pattern": "*.py", "path": "src"},
            [("src", "search_path_scan:glob")],
            id="folder",
        ),
        pytest.param(
            "Bash", {"command": "cat src/a.py"}, [("src/a.py", "direct_file_read:cat")], id="shell"
        ),
        pytest.param("Read", {"file_path": 7}, [], id="not a path"),
        pytest.param("Read", {}, [], id="nothing given"),
    ],
)
def test_reads(tool: str, given: dict[str, Any], reads: list[tuple[str, str]]) -> None:
    log = ClaudeLog()
    log.run("m1", tool, **given)
    found = folded(log)
    assert [(row[1], row[5]) for row in found.reads] == [
        (shell.hashed(path, HOME)[1], reader) for path, reader in reads
    ]
    assert counted(found)["activity/search_read_command"] == {0: 1}


@pytest.mark.parametrize(
    ("tool", "given", "bad", "told", "outcome", "changes"),
    [
        pytest.param(
            "Edit", {"file_path": "src/a.py"}, False, {}, "patch_applied", EDITED, id="edit"
        ),
        pytest.param(
            "Write",
            {"file_path": f"{HOME}/src/a.py"},
            False,
            {},
            "patch_applied",
            EDITED,
            id="write",
        ),
        pytest.param(
            "MultiEdit", {"file_path": "src/a.py"}, False, {}, "patch_applied", EDITED, id="multi"
        ),
        pytest.param(
            "NotebookEdit",
            {"notebook_path": "src/a.py"},
            False,
            {},
            "patch_applied",
            EDITED,
            id="notebook",
        ),
        pytest.param(
            "Edit",
            {"file_path": "src/a.py"},
            True,
            "Error: x",
            "patch_failed",
            [],
            id="refused by the tool",
        ),
        pytest.param(
            "Edit",
            {"file_path": "src/a.py"},
            True,
            "User rejected tool use",
            None,
            [],
            id="by the person",
        ),
        pytest.param(
            "Bash", {"command": "make"}, True, "Error: exit 2", "command_failed", [], id="command"
        ),
        pytest.param("Bash", {"command": "make"}, False, {}, None, [], id="command that works"),
        pytest.param("WebFetch", {"url": "hunter2"}, True, "Error", None, [], id="another tool"),
    ],
)
def test_outcomes(
    tool: str, given: dict[str, Any], bad: bool, told: Any, outcome: str | None, changes: list[Any]
) -> None:
    log = ClaudeLog()
    log.says("m1", log.use(tool, **given))
    log.result(1, bad=bad, told=told)
    log.says("m2")
    found = folded(log)
    outcomes = {name: row for name, row in counted(found).items() if name.startswith("outcome/")}
    assert outcomes == ({f"outcome/{outcome}": {1: 1}} if outcome else {})
    assert [(row[3], row[1], row[4]) for row in found.changes] == changes


@pytest.mark.parametrize(
    ("tool", "given", "expected"),
    [
        pytest.param("mcp__docs__Search", {}, {"mcp_tool/search", "mcp_server/docs"}, id="mcp"),
        pytest.param(
            "Task",
            {"subagent_type": "Explore", "prompt": "hunter2"},
            {"tool/agent_tool_call", "subagent/explore"},
            id="sub-agent",
        ),
        pytest.param("Agent", {"prompt": "hunter2"}, {"tool/agent_tool_call"}, id="of no kind"),
        pytest.param("Skill", {"skill": "pdf"}, {"skill/pdf"}, id="skill"),
        pytest.param("Skill", {"command": "pdf"}, {"skill/pdf"}, id="skill, older"),
        pytest.param(
            "Task", {"subagent_type": "do this: hunter2!"}, {"tool/agent_tool_call"}, id="no name"
        ),
    ],
)
def test_other_tools(tool: str, given: dict[str, Any], expected: set[str]) -> None:
    log = ClaudeLog()
    log.run("m1", tool, **given)
    usual = {"tool/tool_use", "tool/tool_result", f"function/{tool.lower()}"}
    assert set(counted(folded(log))) == expected | usual


def test_loops_end_with_what_a_person_says() -> None:
    log = ClaudeLog()
    for name in range(3):
        log.run(f"m{name}", "Grep", pattern="x")
    log.prompt("go on")
    log.run("m3", "Grep", pattern="x")
    for name in range(4, 6):
        log.run(f"m{name}", "Bash", bad=True, command="make")
    log.says("m6", stop="end_turn")
    found = counted(folded(log))
    assert found["loop/search_read_loop"] == {2: 1}
    assert found["loop/retry_or_abort_loop"] == {6: 1}


def test_a_stopped_turn_and_a_compaction() -> None:
    log = ClaudeLog()
    log.run("m1", "Bash", command="sleep 9")
    log.prompt([{"type": "text", "text": "[Request interrupted by user for tool use]"}])
    log.add("system", subtype="compact_boundary", compactMetadata={"trigger": "auto"})
    log.prompt("A summary: hunter2", isCompactSummary=True)
    log.says("m2")
    found = counted(folded(log))
    assert found["outcome/turn_aborted"] == {0: 1}
    assert found["compaction/post_compaction"] == {1: 1}


def test_in_pieces_it_is_the_same() -> None:
    log = rich()
    whole = folded(log)
    chance = random.Random(7)
    for _ in range(20):
        state, found, place = facts.State(), facts.Found(), 0
        lines = list(log.lines)
        while lines:
            size = chance.randint(1, 3)
            piece = "".join(lines[:size]).encode()
            del lines[:size]
            part, state = claudefacts.fold(piece, place, state)
            place += len(piece)
            for name, value in vars(part).items():
                kept = getattr(found, name)
                if name == "facts":
                    for key, row in value.items():
                        before = kept.get(key)
                        kept[key] = (
                            row
                            if before is None
                            else [row[0], before[1] + row[1], before[2], row[3]]
                        )
                else:
                    kept.extend(value)
        assert found == whole


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"{",
        b"nothing",
        b'{"type":"assistant"}',
        b'{"type":"user","message":[]}',
        b"[" * 9999,
        b'{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":{}}]}}',
        b'{"type":"user","message":{"content":[7,null,"x"]},"timestamp":{}}',
        b'{"type":"assistant","timestamp":"2026-06-01T10:00:00Z","message":{"id":"m","usage":{},'
        b'"content":[{"type":"tool_use","name":{},"id":[],"input":7},{"type":"tool_use"}]}}',
    ],
)
def test_odd_lines_say_nothing(line: bytes) -> None:
    found, _ = claudefacts.fold(line + b"\n", 0, facts.State())
    assert set(counted(found)) <= {"tool/tool_result"}


def test_the_diagnostics_know_both_clients(config: Config, database: None) -> None:
    rich().save(config.claude_home)
    rich(agent="agent-1").save(config.claude_home)  # its calls are the session's
    copy = rich()
    copy.key = rich(2).key  # the history copied into another session: nobody's second time
    copy.save(config.claude_home)
    indexer = Indexer(config, Ledger())
    indexer.scan()
    indexer.stop()
    Gatherer().refresh()
    reads = diagnostics.live("file-reads", Filter(provider="claude"))
    assert reads["summary"]["read_events"] == 4
    changes = diagnostics.live("file-modifications", Filter())
    assert changes["summary"]["modification_events"] == 2
    rows = {row["fact_name"]: row for row in diagnostics.facts(Filter())}
    assert (rows["explore"]["occurrences"], rows["explore"]["associated_calls"]) == (2, 2)
    assert rows["task_complete"]["associated_total_tokens"] == 2 * 3260
    said = repr(
        [
            db.rows(f"select * from {name}")
            for name in ("fact", "tool_run", "file_read", "fact_file")
        ]
    )  # noqa: S608
    assert "hunter2" not in said
