"""Facts about calls: every shape that clients write, in whatever pieces it is read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from server.ingest import facts, shell
from tests.toollogs import HOME, ToolLog

REAL = sorted((Path(__file__).parent / "data" / "rollouts").glob("*.jsonl"))


def folded(log: ToolLog) -> facts.Found:
    return facts.fold(log.text(), 0, facts.State())[0]


def counted(found: facts.Found) -> dict[str, int]:
    """How often each fact is in a log."""
    counts: dict[str, int] = {}
    for (_, kind, name), row in found.facts.items():
        counts[f"{kind}/{name}"] = counts.get(f"{kind}/{name}", 0) + row[1]
    return counts


def mcp_item(log: ToolLog) -> None:
    log.done({"type": "McpToolCall", "id": "m1", "server": "docs", "tool": "Search", "result": {}})


def mcp_event(log: ToolLog) -> None:
    inner = {"server": "docs", "tool": "Search", "arguments": {"q": "hunter2"}}
    log.event("mcp_tool_call_end", call_id="m1", invocation=inner, result={"Ok": {}})


def mcp_flat(log: ToolLog) -> None:
    log.event("mcp_tool_call_end", call_id="m1", server_name="docs", tool_name="search")


def mcp_function(log: ToolLog) -> None:
    log.item(type="function_call", name="mcp__docs__search", arguments="{}", call_id="m1")
    mcp_event(log)


def mcp_namespace(log: ToolLog) -> None:
    named = {"name": "search", "namespace": "mcp__docs__", "arguments": "{}"}
    log.item(type="function_call", **named, call_id="m1")
    mcp_item(log)


@pytest.mark.parametrize(
    "write", [mcp_item, mcp_event, mcp_flat, mcp_function, mcp_namespace], ids=lambda f: f.__name__
)
def test_an_mcp_call_is_counted_once(write: Callable[[ToolLog], None]) -> None:
    log = ToolLog()
    write(log)
    log.call()
    found = counted(folded(log))
    assert found["mcp_tool/search"] == 1
    assert found["mcp_server/docs"] == 1
    assert found["tool/mcp_tool_call_end"] == 1


def patch_item(log: ToolLog) -> None:
    changes = {f"{HOME}/src/a.py": {"type": "update", "unified_diff": "hunter2"}}
    log.done({"type": "FileChange", "id": "p1", "changes": changes, "status": "completed"})


def patch_keys(log: ToolLog) -> None:
    log.event("patch_apply_end", call_id="p1", success=True, changes={f"{HOME}/src/a.py": {}})


def patch_list(log: ToolLog) -> None:
    log.event("patch_apply_end", call_id="p1", success=True, changes=[{"path": "src/a.py"}])


def patch_paths(log: ToolLog) -> None:
    log.event("patch_apply_end", call_id="p1", success=True, changed_paths=["src/a.py"])


PATCH = "*** Begin Patch\n*** Update File: src/a.py\n+hunter2\n*** End Patch"


def patch_text(log: ToolLog) -> None:
    log.item(type="custom_tool_call", name="apply_patch", input=PATCH, call_id="p1")
    said = "Exit code: 0\nWall time: 0 seconds\nOutput:\nSuccess. Updated the following files:\n"
    log.item(type="custom_tool_call_output", call_id="p1", output=said)


def patch_both(log: ToolLog) -> None:
    log.item(type="custom_tool_call", name="apply_patch", input=PATCH, call_id="p1")
    patch_item(log)
    log.item(type="custom_tool_call_output", call_id="p1", output="Exit code: 0\nOutput:\n")


def patch_by_shell(log: ToolLog) -> None:
    command = ["bash", "-lc", f"apply_patch <<'EOF'\n{PATCH}\nEOF"]
    arguments = json.dumps({"command": command})
    log.item(type="function_call", name="shell", arguments=arguments, call_id="p1")
    said = json.dumps({"output": "Success.", "metadata": {"exit_code": 0}})
    log.item(type="function_call_output", call_id="p1", output=said)


@pytest.mark.parametrize(
    "write",
    [patch_item, patch_keys, patch_list, patch_paths, patch_text, patch_both, patch_by_shell],
    ids=lambda f: f.__name__,
)
def test_a_patch_is_counted_once(write: Callable[[ToolLog], None]) -> None:
    log = ToolLog()
    write(log)
    log.call()
    found = folded(log)
    label, path, extension = shell.hashed(f"{HOME}/src/a.py")
    assert [row[1:] for row in found.changes] == [(path, 0, label, extension)]
    assert counted(found)["outcome/patch_applied"] == 1


def test_a_patch_that_failed_changed_nothing() -> None:
    log = ToolLog()
    log.event("patch_apply_end", call_id="p1", success=False, changes={"a": {}})
    log.done({"type": "FileChange", "id": "p2", "changes": {"a": {}}, "status": "declined"})
    log.call()
    found = folded(log)
    assert found.changes == []
    assert counted(found)["outcome/patch_failed"] == 2
    assert counted(found)["loop/retry_or_abort_loop"] == 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("exec_command", {"cmd": "git status"}, id="a string"),
        pytest.param("shell", {"command": ["bash", "-lc", "git status"]}, id="argv with a shell"),
        pytest.param("shell", {"command": ["git", "status"]}, id="argv"),
        pytest.param("functions.exec_command", {"cmd": "git status"}, id="a prefix"),
        pytest.param("shell_command", {"command": "git status", "workdir": "/x"}, id="a folder"),
    ],
)
def test_commands_of_every_shape(name: str, arguments: dict[str, object]) -> None:
    log = ToolLog()
    given = json.dumps(arguments)
    log.item(type="function_call", name=name, arguments=given, call_id="c1")
    log.call()
    log.output("c1", tokens=7)
    found = folded(log)
    assert counted(found)["command_family/git"] == 1
    assert found.runs[0][2:] == (0, name, "git", "status", "status", 1)
    assert [(tokens, why) for _, tokens, why, _ in found.outputs] == [(7, None)]


def test_a_local_shell_call() -> None:
    log = ToolLog(modern=False)
    action = {"type": "exec", "command": ["bash", "-lc", "ls"]}
    log.item(type="local_shell_call", call_id="c1", status="completed", action=action)
    log.call()
    assert folded(log).runs[0][3:6] == ("local_shell", "ls", "<none>")


def test_a_command_that_the_user_ran() -> None:
    log = ToolLog()
    item = {"type": "CommandExecution", "id": "u1", "command": ["bash", "-lc", "make test"]}
    log.done({**item, "source": "user_shell", "exit_code": 2, "cwd": f"file://{HOME}"})
    log.call()
    found = folded(log)
    assert found.runs[0][3:6] == ("user_shell", "make", "test")
    assert counted(found)["outcome/command_failed"] == 1


def ran(log: ToolLog, source: str | None = None, **more: object) -> None:
    item = {"type": "CommandExecution", "id": "c1", "command": ["bash", "-lc", "git status"]}
    log.done({**item, **({"source": source} if source else {}), "exit_code": 1, **more})


def run_item(log: ToolLog) -> None:
    ran(log, "unified_exec_startup")


def run_item_of_no_source(log: ToolLog) -> None:
    ran(log)


def run_event(log: ToolLog) -> None:
    log.event("exec_command_end", call_id="c1", command=["git", "status"], exit_code=1)


def run_item_and_event(log: ToolLog) -> None:
    ran(log, "agent")
    run_event(log)


def run_function(log: ToolLog) -> None:
    arguments = json.dumps({"cmd": "git status"})
    log.item(type="function_call", name="exec_command", arguments=arguments, call_id="c1")


def run_both(log: ToolLog) -> None:
    run_function(log)
    ran(log, "unified_exec_startup")


def run_all(log: ToolLog) -> None:
    run_function(log)
    log.output("c1", code=1)
    ran(log, "unified_exec_startup")
    run_event(log)


def run_item_first(log: ToolLog) -> None:
    ran(log, "unified_exec_startup")
    run_function(log)
    log.output("c1", code=1)


def run_with_input(log: ToolLog) -> None:
    ran(log, "unified_exec_startup")
    ran(log, "unified_exec_interaction", id="c2", exit_code=None)


RUNS = [run_item, run_item_of_no_source, run_event, run_item_and_event, run_both, run_all,
        run_item_first, run_with_input]  # fmt: skip


@pytest.mark.parametrize("write", RUNS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "line by line"])
def test_a_command_is_counted_once(write: Callable[[ToolLog], None], cut: bool) -> None:
    log = ToolLog()
    write(log)
    log.call()
    runs, counts, state, base = [], {"command_family/git": 0, "outcome/command_failed": 0}, None, 0
    for data in [line.encode() for line in log.lines] if cut else [log.text()]:
        found, state = facts.fold(data, base, state or facts.State())
        base += len(data)
        runs += found.runs
        for name, number in counted(found).items():
            counts[name] = counts.get(name, 0) + number
    assert [row[4:7] for row in runs] == [("git", "status", "status")]
    assert counts["command_family/git"] == 1
    assert counts["outcome/command_failed"] == 1


@pytest.mark.parametrize(
    ("output", "tokens", "missing"),
    [
        pytest.param("Wall time: 1\nOriginal token count: 5\n", 5, None, id="no chunk"),
        pytest.param("Hi\nWall time: 1\nOriginal token count: 5\n", None, "string_no_header",
                     id="only at the start"),
        pytest.param("plain", None, "string_no_header", id="no header"),
        pytest.param([{"type": "input_text", "text": "x"}], None, "non_string_output", id="parts"),
        pytest.param(None, None, "non_string_output", id="nothing"),
    ],
)  # fmt: skip
def test_tokens_of_an_output(output: object, tokens: int | None, missing: str | None) -> None:
    log = ToolLog()
    arguments = '{"cmd":"ls"}'
    log.item(type="function_call", name="exec_command", arguments=arguments, call_id="c1")
    log.call()
    log.item(type="function_call_output", call_id="c1", output=output)
    assert folded(log).outputs[0][1:3] == (tokens, missing)


def test_a_stretch_belongs_to_the_call_that_ends_it() -> None:
    log = ToolLog()
    log.run("rg x src")
    log.call()
    found = folded(log)
    assert [call[0] for call in found.calls] == [0, 1]
    assert (0, "command_family", "search") in found.facts
    assert (1, "tool", "function_call_output") in found.facts


def test_a_turn_s_end_belongs_to_the_call_before() -> None:
    log = ToolLog()
    log.call()
    log.event("task_complete", turn_id="t")
    assert (0, "outcome", "task_complete") in folded(log).facts


def test_searching_in_a_row_is_a_loop() -> None:
    log = ToolLog()
    for command in ("rg a", "cat b", "ls", "sed -n 1p c"):
        log.run(command)
    assert counted(folded(log))["loop/search_read_loop"] == 2
    log = ToolLog()
    for command in ("rg a", "cat b", "pytest", "ls", "cat c"):
        log.run(command)
    assert "loop/search_read_loop" not in counted(folded(log))


def test_failing_in_a_row_is_a_loop() -> None:
    log = ToolLog()
    for code in (1, 0, 1, 1, 1):
        log.run("pytest", code=code)
    found = counted(folded(log))
    assert found["outcome/command_failed"] == 4
    assert found["loop/retry_or_abort_loop"] == 2


def test_a_compaction_is_counted_once() -> None:
    log = ToolLog()
    log.call()
    log.add("compacted", {"message": "hunter2", "replacement_history": []})
    log.event("context_compacted")
    log.done({"type": "ContextCompaction", "id": "k1"})
    log.call()
    assert counted(folded(log))["compaction/post_compaction"] == 1


def test_skills_and_other_tools() -> None:
    log = ToolLog()
    log.event("skill_used", skill={"name": "brimline", "path": "/home/me/x"})
    log.event("skill_invoked", skill_name="two words")
    log.event("web_search_end", query="hunter2")
    log.done({"type": "WebSearch", "id": "w", "query": "hunter2"})
    log.item(type="tool_search_call", arguments={"q": "hunter2"})
    log.call()
    found = counted(folded(log))
    assert found["skill/brimline"] == 1
    assert [name for name in found if name.startswith("skill/")] == ["skill/brimline"]
    assert found["tool/web_search_end"] == 2
    assert found["tool/tool_search_call"] == 1


def test_another_thread_s_items_are_copied_history() -> None:
    log = ToolLog()
    log.done({"type": "FileChange", "id": "p", "changes": {"a": {}}}, thread="another")
    log.call(thread="another")
    log.run("rg x")
    log.call()
    found = folded(log)
    assert found.changes == []
    assert [call[0] for call in found.calls] == [0, 1, 2]
    assert (1, "command_family", "search") in found.facts  # after the copied call


def test_any_pieces_give_the_same() -> None:
    log = ToolLog()
    for command in ("rg a src", "cat b c", "git status", "pytest"):
        log.run(command, code=int(command == "pytest"))
    patch_both(log)
    log.call()
    whole, parts, state = folded(log), facts.Found(), facts.State()
    base = 0
    for line in log.text().splitlines(keepends=True):
        state = facts.State.load(json.loads(json.dumps(state.dump())))
        found, state = facts.fold(line, base, state)
        base += len(line)
        for name in ("calls", "runs", "outputs", "reads", "changes"):
            getattr(parts, name).extend(getattr(found, name))
        for key, row in found.facts.items():
            assert parts.facts.setdefault(key, row) is row or parts.facts[key][0] == row[0]
            if parts.facts[key] is not row:
                parts.facts[key][1] += row[1]
    for name in ("calls", "runs", "outputs", "reads", "changes"):
        assert getattr(parts, name) == getattr(whole, name)
    assert {k: v[1] for k, v in parts.facts.items()} == {k: v[1] for k, v in whole.facts.items()}


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name.split("__")[0])
def test_real_files_say_no_more_than_names(path: Path) -> None:
    found, state = facts.fold(path.read_bytes(), 0, facts.State())
    told = repr(vars(found))
    for private in ("/home", "echo one", "please do", "sub task", "Begin Patch"):
        assert private not in told
    assert all(key[0] <= state.number for key in found.facts)


def test_odd_lines_are_passed_by() -> None:
    log = ToolLog()
    odd = [
        b"\n", b"null\n", b"[1]\n", b"{}\n", b"\xff\xfe\n",
        b'{"timestamp":"x","type":"event_msg"}\n',
        b'{"timestamp":"2026-11-18T10:00:00.000Z","type":"response_item","payload":{"type":'
        b'"function_call","name":7,"arguments":[],"call_id":{}}}\n',
        b'{"timestamp":"2026-11-18T10:00:00.000Z","type":"event_msg","payload":{"type":'
        b'"item_completed","item":{"type":"FileChange","changes":[1,null,{}]}}}\n',
        b'{"type":"response_item","timestamp":"2026-11-18T10:00:00.000Z","payload":{"name":"shell",'
        b'"type":"function_call","arguments":"{\\"command\\":[\\"ls\\"]}","call_id":"q"}}\n',
    ]  # fmt: skip
    found, _ = facts.fold(log.text() + b"".join(odd), 0, facts.State())
    assert counted(found)["command_family/list"] == 1  # the keys in another order


ODD: tuple[object, ...] = (
    None,
    7,
    -1,
    1.5,
    True,
    "",
    [],
    {},
    "x" * 300,
    [[]],
    {"a": {}},
    ["a", 1],
    "\ud800",
    10**30,
)


def spoiled(value: object, dice: random.Random) -> object:
    """A value with some of its parts replaced."""
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if dice.random() > 0.03}
        return {
            key: dice.choice(ODD) if dice.random() < 0.06 else spoiled(one, dice)
            for key, one in kept.items()
        }
    if isinstance(value, list):
        return [dice.choice(ODD) if dice.random() < 0.05 else spoiled(one, dice) for one in value]
    return dice.choice(ODD) if dice.random() < 0.03 else value


@pytest.mark.parametrize("seed", [1, 2])
def test_any_line_can_be_read(seed: int) -> None:
    dice = random.Random(seed)
    lines = [line for path in REAL for line in path.read_bytes().splitlines()]
    for write in (mcp_item, mcp_flat, patch_item, patch_list, patch_text, patch_by_shell):
        log = ToolLog()
        write(log)
        lines += [line.encode() for line in log.lines]
    state = facts.State()
    for _ in range(1200):
        line = dice.choice(lines)
        if dice.random() < 0.5:
            line = json.dumps(spoiled(json.loads(line), dice), separators=(",", ":")).encode()
        else:
            part = bytearray(line)
            for _ in range(3):
                part[dice.randrange(len(part))] = dice.randrange(256)
            line = bytes(part).replace(b"\n", b" ")
        found, state = facts.fold(line + b"\n", 0, state)
        json.dumps(state.dump()).encode()
        repr(vars(found)).encode()
