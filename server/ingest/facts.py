"""Codex rollout lines → facts about each call: a fold beside `codex`, whose calls divide the log.

Pure. What lies between two calls belongs to the later one, so the question for a tool belongs to
the call that asked and its output to the call that read it. Nothing that a person or a program
wrote gets out: names of tools and programs, counts, times, base names and short hashes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from server.ingest import codex, shell
from server.ingest.lines import time_ms
from server.ingest.shell import Command

_MOST_WAITING = 200  # tool runs whose output has not been seen
_LOOP = 3  # searches in a row
_RETRIES = 2
_LONGEST_MS = 12 * 3_600_000  # of a command that nobody timed
_HEAD_BYTES = 4096  # of a line whose end is not needed

_ENVELOPE = re.compile(
    rb'\{"timestamp":"([^"\\]{10,40})",(?:"ordinal":\d+,)?"type":"(\w+)","payload":\{'
    rb'(?:"type":"(\w+)")?'
).match
_CALL_ID = re.compile(rb'"call_id":"([^"\\]{1,200})"').search
_OUTPUT = re.compile(rb'"output":\s?(.)').search
# The terminal's header, as JSON text, at the very start of an output.
_COUNTED = re.compile(
    rb'"output":\s?"(?:Chunk ID: [^\\"]{0,80}\\n)?(?:Wall time: [^\\"]{0,80}\\n)'
    rb'(?:Process [^\\"]{0,120}\\n)?Original token count: (\d{1,12})\\n'
).search
_EXIT = re.compile(
    rb'"output":\s?"(?:[^"\\]|\\n){0,200}?(?:Process exited with code|Exit code:) (-?\d{1,9})\\n'
).search
_OLD_EXIT = re.compile(rb'\\"exit_code\\":\s?(-?\d{1,9})').search
_DONE = re.compile(rb'"output":\s?"(?:[^"\\]|\\n){0,200}?Success\. Updated the following').search
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,80}$")
_SHELLS = frozenset(
    [
        "bash",
        "exec_command",
        "exec",
        "run_command",
        "shell",
        "shell_command",
        "local_shell",
        "terminal",
        "container.exec",
        "user_shell",
    ]
)
_TOOL_ENDS = {
    "web_search_end": "web_search_end",
    "WebSearch": "web_search_end",
    "image_generation_end": "image_generation_end",
    "ImageGeneration": "image_generation_end",
    "image_view": "image_view",
    "ImageView": "image_view",
}
_MCP_FIELDS = ("tool_name", "name", "tool")
_SERVER_FIELDS = ("server_name", "server", "mcp_server")


@dataclass
class State:
    """What earlier lines of a file said; JSON between reads."""

    codex: dict[str, Any] = field(default_factory=dict)
    number: int = 0  # calls so far, copied ones too
    cwd: str = ""
    # Tool runs whose output is to come: [offset, reads, patched files or None, whether an MCP
    # tool's, when asked for, whether a line of its own said so]
    waiting: dict[str, list[Any]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)  # ids whose end was told already
    called: list[str] = field(default_factory=list)  # ids whose run was counted already
    searches: int = 0  # in a row
    failures: int = 0  # in a row within a turn, of any command
    compacted: int = -1  # the number whose compaction was counted
    answers: dict[str, int] = field(default_factory=dict)  # Claude: numbers by message id
    complete: str = ""  # Claude: the message whose turn's end was counted

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(vars(self))

    @classmethod
    def load(cls, values: dict[str, Any]) -> State:
        """From `dump`; keys of another version are ignored."""
        return cls(**{k: v for k, v in values.items() if k in cls.__dataclass_fields__})


class Run(NamedTuple):
    """A tool call that failed: where its log says so, when it was asked for, when it ended."""

    offset: int
    conversation: str
    call: str
    since: int
    at: int


@dataclass
class Found:
    """What some whole lines said, as rows without their source."""

    calls: list[tuple[int, int, int]] = field(default_factory=list)  # number, offset, at
    # (number, type, name) → [category, count, first at, last at]
    facts: dict[tuple[int, str, str], list[Any]] = field(default_factory=dict)
    # offset, part, number, function, root, child, operation, told
    runs: list[tuple[Any, ...]] = field(default_factory=list)
    # offset, tokens, why they are missing, number of files read
    outputs: list[tuple[int, int | None, str | None, int]] = field(default_factory=list)
    # offset, path, part, number, label, reader
    reads: list[tuple[Any, ...]] = field(default_factory=list)
    # offset, path, number, label, extension
    changes: list[tuple[Any, ...]] = field(default_factory=list)
    failures: list[Run] = field(default_factory=list)


def fold(data: bytes, base: int, state: State) -> tuple[Found, State]:
    """Read whole lines that begin at byte `base` of the file; `state` is left as it was."""
    copy = State.load(json.loads(json.dumps(state.dump())))
    reader = _Reader(data, base, copy)
    reader.read()
    return reader.found, reader.state


class Counter:
    """Counts what the lines of any client's log say, at `place` and `at`."""

    def __init__(self, base: int, state: State) -> None:
        self.state = state
        self.found = Found()
        self.at = 0
        self.place = base
        self.meant: int | None = None  # the call that is spoken of; None: the next one

    @property
    def number(self) -> int:
        """The number of the call that is spoken of."""
        return self.state.number if self.meant is None else self.meant

    def call(self, at: int) -> None:
        """The end of a stretch."""
        state = self.state
        self.found.calls.append((state.number, self.place, at))
        state.number += 1

    def fact(self, kind: str, name: Any, category: str, back: int = 0) -> None:
        """Count a fact; names that could be anything but a name are left out."""
        if not isinstance(name, str) or not _NAME.match(name):
            return
        number = max(0, self.number - back)
        row = self.found.facts.setdefault(
            (number, kind, name.lower()), [category, 0, self.at, self.at]
        )
        row[1] += 1
        row[2], row[3] = min(row[2], self.at), max(row[3], self.at)

    def mcp_function(self, space: str, name: str) -> bool:
        """Count a function that is an MCP server's tool; whether it was one."""
        whole = f"{space.rstrip('_')}__{name}" if space.startswith("mcp__") else name
        if not whole.startswith("mcp__"):
            return False
        server, _, tool = whole[5:].partition("__")
        self.fact("mcp_tool", tool or server, "mcp")
        if tool:
            self.fact("mcp_server", server, "mcp")
        return True

    def described(self, command: Any, cwd: str) -> Command | None:
        """What a command line or argv is about."""
        if isinstance(command, list):
            command = [word for word in command if isinstance(word, str)]
        elif not isinstance(command, str):
            return None
        return shell.described(command, cwd)

    def run(self, name: str, command: Command | None) -> None:
        """A tool that is used, with the command that it is given."""
        number, place, state = self.number, self.place, self.state
        if command is None:
            self.found.runs.append((place, 0, number, name, None, None, None, 1))
            return
        self.fact("command_family", command.family, "command")
        git = list(command.git)
        first = git.pop(0) if command.git_first else None
        self.found.runs.append(
            (place, 0, number, name, command.root, command.child, first and first[1], 1)
        )
        for part, (root, operation) in enumerate(git, start=1):
            told = int(part == 1 and first is None)
            self.found.runs.append((place, part, number, name, root, None, operation, told))
        for part, read in enumerate(command.reads):
            self.found.reads.append((place, read.path, part, number, read.label, read.reader))
        if command.searching:
            self.searched()
        else:
            state.searches = 0

    def searched(self) -> None:
        """Something was searched or read; several times in a row is a loop."""
        self.fact("activity", "search_read_command", "activity")
        self.state.searches += 1
        if self.state.searches >= _LOOP:
            self.fact("loop", "search_read_loop", "loop")

    def wait(
        self,
        name: Any,
        command: Command | None,
        files: list[Any] | None,
        mcp: bool,
        *,
        line: bool = True,
    ) -> None:
        """Remember a tool run until its output comes; `line`: a line of its own asked for it."""
        waiting = self.state.waiting
        if not isinstance(name, str) or len(name) > 200:
            return
        while len(waiting) >= _MOST_WAITING:
            waiting.pop(next(iter(waiting)))
        reads = len(command.reads) if command else 0
        waiting[name] = [self.place, reads, files, int(mcp), self.at, int(line)]

    def asked(self, name: Any) -> bool:
        """Remember the id of a tool run; whether it was counted before."""
        if not isinstance(name, str) or len(name) > 200:
            return False
        if name in self.state.called:
            return True
        self.state.called = [*self.state.called[1 - _MOST_WAITING :], name]
        return False

    def again(self, name: Any) -> None:
        """Forget a run whose id a later one uses again: its output came, or it was given up."""
        if not isinstance(name, str) or name not in self.state.called:
            return
        before = self.state.waiting.get(name)
        if before is None or (before[5] and before[4] != self.at):
            self.state.waiting.pop(name, None)
            self.state.called.remove(name)
            self.state.ended = [one for one in self.state.ended if one != name]

    def finished(self, name: str, code: int) -> None:
        """A command ended with an exit code."""
        self.end(name)
        if code == 0:
            self.state.failures = 0
            return
        self.fact("outcome", "command_failed", "failure")
        self.failed()

    def failed(self) -> None:
        """Something failed; several times in a row is a loop."""
        self.state.failures += 1
        if self.state.failures >= _RETRIES:
            self.fact("loop", "retry_or_abort_loop", "loop")

    def end(self, name: str) -> None:
        """The end of a tool run was told."""
        self.state.ended = [*self.state.ended[-63:], name]

    def compact(self) -> None:
        """The context was compacted, which is told two or three times."""
        if self.state.compacted != self.state.number:
            self.state.compacted = self.state.number
            self.fact("compaction", "post_compaction", "context")

    def changed(self, name: str, files: list[Any]) -> None:
        """Files were changed: label, path and extension of each."""
        self.end(name)
        self.state.searches = 0
        self.fact("outcome", "patch_applied", "outcome")
        for label, path, extension in files:
            self.found.changes.append((self.place, path, self.number, label, extension))


class _Reader(Counter):
    def __init__(self, data: bytes, base: int, state: State) -> None:
        super().__init__(base, state)
        self.data = data
        self.base = base
        self.owner: str | None = None

    def read(self) -> None:
        before = codex.State.load(self.state.codex)
        records, after = codex.fold(memoryview(self.data), self.base, before)
        self.state.codex = after.dump()
        self.owner = after.owner
        calls = {call[14]: call[5] for call in records.calls}
        start, data = 0, self.data
        while start < len(data):
            end = data.find(b"\n", start)
            if end < 0:
                break
            self.place = self.base + start
            if self.place in calls:
                self.call(calls[self.place])
            else:
                self._line(start, end)
            start = end + 1

    def _line(self, start: int, end: int) -> None:
        head = _ENVELOPE(self.data, start, min(end, start + 400))
        if head is None:
            self._unusual(start, end)
            return
        kind = (head[3] or b"").decode()
        take = _LINES.get((head[2].decode(), kind)) or _LINES.get((head[2].decode(), "*"))
        if take is None:
            return
        at = time_ms(head[1].decode("ascii", "replace"))
        if at is not None:
            self.at = at
            take(self, kind, start, end)

    def _unusual(self, start: int, end: int) -> None:
        """A line of another shape: written in the usual one, then read again."""
        if end - start > 1 << 20 or self.data.find(b'"payload"', start, end) < 0:
            return
        line = _decoded(self.data[start:end])
        payload = line.get("payload")
        if not isinstance(payload, dict) or not isinstance(line.get("type"), str):
            return
        kind = payload.get("type")
        body = {"type": kind, **payload} if isinstance(kind, str) else payload
        usual = {"timestamp": line.get("timestamp"), "type": line["type"], "payload": body}
        text = json.dumps(usual, separators=(",", ":")).encode()
        if _ENVELOPE(text):
            inner = _Reader(text, self.base, self.state)
            inner.found, inner.place, inner.owner = self.found, self.place, self.owner
            inner._line(0, len(text))

    def _payload(self, start: int, end: int) -> dict[str, Any]:
        payload = _decoded(self.data[start:end]).get("payload")
        return payload if isinstance(payload, dict) else {}

    # ── where and when ────────────────────────────────────────────────────────────────

    def _turn(self, kind: str, start: int, end: int) -> None:
        cwd = self._payload(start, end).get("cwd")
        if isinstance(cwd, str):
            self.state.cwd = cwd[:4096]

    def _asked(self, kind: str, start: int, end: int) -> None:
        """A person spoke: what came before is no part of a loop."""
        self.state.searches = self.state.failures = 0

    def _record(self, kind: str, start: int, end: int) -> None:
        """A call that is not this log's: copied history ends with it."""
        self.call(self.at)

    # ── what was asked for ────────────────────────────────────────────────────────────

    def _function(self, kind: str, start: int, end: int) -> None:
        payload = self._payload(start, end)
        self.fact("tool", kind, "tool")
        name = payload.get("name") if kind != "local_shell_call" else "local_shell"
        if not isinstance(name, str) or not _NAME.match(name):
            return
        name = name.lower()
        space = payload.get("namespace")
        mcp = self.mcp_function(space, name) if isinstance(space, str) else None
        mcp = mcp or self.mcp_function("", name)
        self.fact("function", name, "tool")
        command = self._command(name, payload)
        files = None
        if kind == "custom_tool_call" and isinstance(payload.get("input"), str):
            files = [list(one) for one in shell.patched(payload["input"], self.state.cwd)]
        elif command and command.patched:
            files = [list(one) for one in command.patched]
        if name != "write_stdin" and not command:
            self.state.searches = 0
        call = payload.get("call_id") or payload.get("id")
        self.again(call)
        if self.asked(call):
            return  # its item came first and was counted
        self.run(name, command)
        self.wait(call, command, files, bool(mcp))

    def _command(self, name: str, payload: dict[str, Any]) -> Command | None:
        last = re.split(r"\.|__", name)[-1]
        if name not in _SHELLS and last not in _SHELLS:
            return None
        given: Any = payload.get("arguments")
        if isinstance(payload.get("action"), dict):
            given = payload["action"]
        elif isinstance(given, str):
            given = _decoded(given)
        if not isinstance(given, dict):
            return None
        command = given.get("cmd", given.get("command"))
        cwd = next((given[key] for key in _FOLDERS if isinstance(given.get(key), str)), "")
        return self.described(command, cwd or self.state.cwd)

    # ── what came back ────────────────────────────────────────────────────────────────

    def _output(self, kind: str, start: int, end: int) -> None:
        self.fact("tool", kind, "tool")
        head = self.data[start : min(end, start + _HEAD_BYTES)]
        name = _CALL_ID(head) or _CALL_ID(self.data, start, end)
        if name is None:
            return
        call = name[1].decode("utf-8", "replace")
        waiting = self.state.waiting.get(call)
        if waiting is None:
            return
        counted = _COUNTED(head)
        shape = _OUTPUT(head) or _OUTPUT(self.data, start, end)
        missing = None
        if counted is None:
            text = shape is not None and shape[1] == b'"'
            missing = "string_no_header" if text else "non_string_output"
        tokens = int(counted[1]) if counted else None
        self.found.outputs.append((waiting[0], tokens, missing, waiting[1]))
        self._ended(call, head, start, end, waiting[2])
        del self.state.waiting[call]

    def _ended(self, name: str, head: bytes, start: int, end: int, files: Any) -> None:
        """What an output says of success, unless an event has told it."""
        if name in self.state.ended:
            return
        code = _EXIT(head) or _OLD_EXIT(self.data, max(start, end - 300), end)
        if files:
            if _DONE(head) or (code and int(code[1]) == 0):
                self.changed(name, files)
        elif code:
            self.finished(name, int(code[1]))
        self._bad(name, {}, code is not None and int(code[1]) != 0)

    # ── events ────────────────────────────────────────────────────────────────────────

    def _item(self, kind: str, start: int, end: int) -> None:
        found = _ITEM(self.data, start, min(end, start + 600))
        shape = found[1].decode() if found else ""
        take = _ITEMS.get(shape)
        if take is None and shape not in _TOOL_ENDS:
            return
        payload = self._payload(start, end)
        item = payload.get("item")
        thread = payload.get("thread_id")
        if not isinstance(item, dict) or (self.owner and thread not in (None, self.owner)):
            return  # another thread's item: copied history
        if take is None:
            self.fact("tool", _TOOL_ENDS[shape], "tool")
        else:
            take(self, item)

    def _executed(self, item: dict[str, Any]) -> None:
        name = item.get("id") or item.get("call_id")
        if not isinstance(name, str) or name in self.state.ended:
            return
        # What code calls by itself has no line of its own but this; input to a running command
        # has it as well, and is no further run.
        function = _SOURCES.get(str(item.get("source")), "shell")
        if function and not self.asked(name):
            command = self.described(item.get("command"), str(item.get("cwd") or self.state.cwd))
            self.run(function, command)
            self.wait(name, command, None, False, line=False)
        code = codex_int(item.get("exit_code"))
        if code is not None:
            self._bad(name, item, code != 0)
            self.finished(name, code)

    def _bad(self, name: Any, item: dict[str, Any], failed: bool) -> None:
        """Remember which run failed; telemetry knows its id, and how it ended not always."""
        if not failed or not self.owner or not isinstance(name, str) or not name:
            return
        waiting = self.state.waiting.get(name)
        began = waiting[4] if waiting else self.at - _lasted(item.get("duration"))
        self.found.failures.append(Run(self.place, self.owner, name, began, self.at))

    def _patched(self, item: dict[str, Any]) -> None:
        name = item.get("id") or item.get("call_id")
        name = name if isinstance(name, str) else ""
        if name and name in self.state.ended:
            return
        failed = item.get("success") is False or item.get("status") in ("failed", "declined")
        if failed:
            self._bad(name, item, True)
            self.end(name)
            self.fact("outcome", "patch_failed", "failure")
            self.failed()
            return
        paths = [path for key in _CHANGES for path in _paths(item.get(key))]
        files = [list(shell.hashed(path, self.state.cwd)) for path in dict.fromkeys(paths)]
        self.changed(name, files)

    def _mcp(self, item: dict[str, Any]) -> None:
        self.fact("tool", "mcp_tool_call_end", "tool")
        name = item.get("id") or item.get("call_id")
        self._bad(name, item, item.get("status") == "failed")
        known = self.state.waiting.get(name) if isinstance(name, str) else None
        if known and known[3]:
            return  # its function said which it is
        inner = item.get("invocation")
        said = inner if isinstance(inner, dict) else item
        tool = next((said[key] for key in _MCP_FIELDS if isinstance(said.get(key), str)), None)
        server = next((said[k] for k in _SERVER_FIELDS if isinstance(said.get(k), str)), None)
        self.fact("mcp_tool", tool, "mcp")
        self.fact("mcp_server", server, "mcp")

    def _compaction(self, item: dict[str, Any]) -> None:
        self.compact()

    def _agents(self, item: dict[str, Any]) -> None:
        self.fact("tool", "agent_tool_call", "tool")

    def _event(self, kind: str, start: int, end: int) -> None:
        payload = self._payload(start, end)
        if kind in _EVENTS:
            _EVENTS[kind](self, payload)
        elif kind in _TOOL_ENDS:
            self.fact("tool", _TOOL_ENDS[kind], "tool")
        elif kind in _OUTCOMES:
            self._outcome(kind)

    def _outcome(self, kind: str) -> None:
        # A turn ends with the call before it; there may be no other.
        self.fact("outcome", kind, _OUTCOMES[kind], back=1)
        if kind == "task_complete":
            self.state.searches = self.state.failures = 0
        else:
            self.failed()

    def _plain(self, kind: str, start: int, end: int) -> None:
        self.fact("tool", kind, "tool")

    def _compacted(self, kind: str, start: int, end: int) -> None:
        self.compact()

    def _skill(self, kind: str, start: int, end: int) -> None:
        payload = self._payload(start, end)
        for key in ("skill_name", "skill_id", "skill"):
            value = payload.get(key)
            if isinstance(value, dict):
                value = value.get("name", value.get("id"))
            if isinstance(value, str):
                self.fact("skill", value, "skill")
                return


_ITEM = re.compile(rb'"item":\{"type":"(\w+)"').search
# Who started a command → what its run is called.
_SOURCES = {
    "user_shell": "user_shell",
    "unified_exec_startup": "exec_command",
    "unified_exec_interaction": "",
}
_FOLDERS = ("workdir", "working_directory", "cwd")
_CHANGES = ("changes", "changed_paths", "paths", "files", "modified_paths")
_OUTCOMES = {
    "task_complete": "outcome",
    "turn_aborted": "failure",
    "thread_rolled_back": "failure",
}
_ITEMS: dict[str, Callable[[_Reader, dict[str, Any]], None]] = {
    "CommandExecution": _Reader._executed,
    "FileChange": _Reader._patched,
    "McpToolCall": _Reader._mcp,
    "ContextCompaction": _Reader._compaction,
    "CollabAgentToolCall": _Reader._agents,
}
_EVENTS: dict[str, Callable[[_Reader, dict[str, Any]], None]] = {
    "exec_command_end": _Reader._executed,
    "patch_apply_end": _Reader._patched,
    "mcp_tool_call_end": _Reader._mcp,
    "context_compacted": _Reader._compaction,
}
_Take = Callable[[_Reader, str, int, int], None]
_LINES: dict[tuple[str, str], _Take] = {
    ("response_item", "function_call"): _Reader._function,
    ("response_item", "custom_tool_call"): _Reader._function,
    ("response_item", "local_shell_call"): _Reader._function,
    ("response_item", "function_call_output"): _Reader._output,
    ("response_item", "custom_tool_call_output"): _Reader._output,
    ("response_item", "tool_search_call"): _Reader._plain,
    ("response_item", "tool_search_output"): _Reader._plain,
    ("response_item", "web_search_call"): _Reader._plain,
    ("event_msg", "item_completed"): _Reader._item,
    ("event_msg", "user_message"): _Reader._asked,
    ("event_msg", "task_started"): _Reader._asked,
    ("token_usage_record", "*"): _Reader._record,
    ("turn_context", "*"): _Reader._turn,
    ("compacted", "*"): _Reader._compacted,
    **{
        ("event_msg", name): _Reader._event
        for name in (*_EVENTS, *_OUTCOMES, "web_search_end", "image_generation_end")
    },
    **{
        ("event_msg", f"skill_{name}"): _Reader._skill
        for name in ("invoked", "selected", "started", "used", "completed")
    },
}


def _decoded(text: bytes | str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _lasted(duration: Any) -> int:
    """The ms of an item's duration; a long time when it has none."""
    if isinstance(duration, dict):
        seconds, nanos = codex_int(duration.get("secs")), codex_int(duration.get("nanos"))
        if seconds is not None and 0 <= seconds < _LONGEST_MS // 1000:
            return seconds * 1000 + (nanos or 0) // 1_000_000
    return _LONGEST_MS


def codex_int(value: Any) -> int | None:
    """A whole number that a line holds; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _paths(value: Any) -> Iterator[str]:
    """The paths of a patch event: the keys of an object, or a list of paths or of objects."""
    if isinstance(value, dict):
        yield from (path[:4096] for path in list(value)[:1000] if path)
    elif isinstance(value, list):
        for one in value[:1000]:
            if isinstance(one, str) and one:
                yield one[:4096]
            elif isinstance(one, dict):
                name = next((one[k] for k in ("path", "file", "filename") if one.get(k)), None)
                if isinstance(name, str):
                    yield name[:4096]
