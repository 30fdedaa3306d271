"""Claude Code log lines → facts about each call, as `facts` reads them from Codex rollouts.

Pure. A message is written as several lines, and its tools' results may lie between them, so what
a message asks for belongs to it by its id; a result belongs to the call that read it, the next.
Nothing that a person or a program wrote gets out.
"""

from __future__ import annotations

import json
import re
from typing import Any

from server.ingest import claude, shell
from server.ingest.facts import Counter, Found, State
from server.ingest.lines import time_ms
from server.ingest.reconcile import ASIDE, loose

_MOST_ANSWERS = 64  # names of messages whose further lines are expected, two of each
_TOOL = re.compile(r"[A-Za-z0-9_.:-]{1,200}$")
_CHANGING = {
    "edit": "file_path",
    "multiedit": "file_path",
    "write": "file_path",
    "notebookedit": "notebook_path",
}
_READING = {"read": "file_path", "notebookread": "notebook_path"}
_SCANNING = ("grep", "glob")
_SHELLS = ("bash", "powershell")
_AGENTS = ("task", "agent")
_UNCOUNTED = "no_token_count"  # Claude Code does not write how long an output was
_INTERRUPTED = "[Request interrupted by user"
_REJECTED = "User rejected"


def fold(data: bytes, base: int, state: State) -> tuple[Found, State]:
    """Read whole lines that begin at byte `base` of the file; `state` is left as it was."""
    reader = _Reader(base, State.load(json.loads(json.dumps(state.dump()))))
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        reader.line(data[start:end], base + start)
        start = end + 1
    return reader.found, reader.state


class _Reader(Counter):
    def line(self, text: bytes, place: int) -> None:
        """Count what one line says; of one that cannot be read, nothing."""
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(line, dict):
            return
        at = time_ms(line.get("timestamp"))
        self.place, self.meant = place, None
        self.at = self.at if at is None else at
        if isinstance(line.get("cwd"), str):
            self.state.cwd = line["cwd"][:4096]
        if line.get("type") == "assistant":
            self._answer(line)
        elif line.get("type") == "user":
            self._user(line)
        elif line.get("type") == "system" and line.get("subtype") == "compact_boundary":
            self.compact()

    # ── what was asked for ────────────────────────────────────────────────────────────

    def _answer(self, line: dict[str, Any]) -> None:
        call = claude.call_of(line, self.place)
        message = line.get("message")
        if call is None or not isinstance(message, dict):
            return
        answers = self.state.answers
        name = _name(call, answers)
        if name not in answers:
            answers[name] = self.state.number
            if call[4] != ASIDE:
                answers.setdefault(call[0], self.state.number)
            self.call(self.at)
            while len(answers) > _MOST_ANSWERS:
                answers.pop(next(iter(answers)))
        self.meant = answers[name]
        for place, block in enumerate(_blocks(message)):
            if block.get("type") in ("tool_use", "server_tool_use"):
                # A run is known by where it begins; every block of a line needs a place of its own.
                self.place = call[14] + place
                self._use(block)
        if message.get("stop_reason") == "end_turn" and self.state.complete != name:
            self.state.complete = name
            self.fact("outcome", "task_complete", "outcome")
            self.state.searches = self.state.failures = 0

    def _use(self, block: dict[str, Any]) -> None:
        name, key, given = block.get("name"), block.get("id"), block.get("input")
        if not isinstance(name, str) or not isinstance(key, str) or not _TOOL.match(name):
            return
        if key in self.state.waiting or key in self.state.ended:
            return  # the same block, in a later line of its message
        name = name.lower()
        given = given if isinstance(given, dict) else {}
        self.fact("tool", str(block["type"]), "tool")
        self.fact("function", name, "tool")
        self.mcp_function("", name)
        command = self.described(given.get("command"), self.state.cwd) if name in _SHELLS else None
        self.run(name[:80], command)
        files: list[Any] | None = None
        if command is None:
            files = self._file_tool(name, given)
        elif command.patched:
            files = [list(one) for one in command.patched]
        self.wait(key, command, files, name in _SHELLS)

    def _file_tool(self, name: str, given: dict[str, Any]) -> list[Any] | None:
        """A tool of Claude Code's own: what it reads, and the files that it changes if it works."""
        cwd = self.state.cwd
        changed = given.get(_CHANGING.get(name, ""))
        if isinstance(changed, str) and changed:
            return [list(shell.hashed(changed[:4096], cwd))]
        if name in _READING or name in _SCANNING:
            self._read(name, given.get(_READING.get(name, "path")))
            return None
        self.state.searches = 0
        if name in _AGENTS:
            self.fact("tool", "agent_tool_call", "tool")
            self.fact("subagent", given.get("subagent_type"), "agent")
        elif name == "skill":
            self.fact("skill", given.get("skill", given.get("command")), "skill")
        return None

    def _read(self, name: str, path: Any) -> None:
        kind = "search_path_scan" if name in _SCANNING else "direct_file_read"
        if not isinstance(path, str) or not path:
            path = "." if name in _SCANNING else None
        if path:
            label, place, _ = shell.hashed(path[:4096], self.state.cwd)
            self.found.reads.append((self.place, place, 0, self.number, label, f"{kind}:{name}"))
        self.searched()

    # ── what came back ────────────────────────────────────────────────────────────────

    def _user(self, line: dict[str, Any]) -> None:
        message = line.get("message")
        if not isinstance(message, dict):
            return
        if line.get("isCompactSummary"):
            self.compact()
            return
        rejected = str(line.get("toolUseResult", ""))[:40].startswith(_REJECTED)
        asked = isinstance(message.get("content"), str)
        text = message["content"] if asked else ""
        for block in _blocks(message):
            if block.get("type") == "tool_result":
                self._result(block, rejected)
            elif block.get("type") == "text":
                asked, text = True, str(block.get("text"))
        if text.startswith(_INTERRUPTED):
            # A turn ends with the call before it; there may be no other.
            self.fact("outcome", "turn_aborted", "failure", back=1)
            self.failed()
        elif asked and not line.get("isMeta"):
            self.state.searches = self.state.failures = 0

    def _result(self, block: dict[str, Any], rejected: bool) -> None:
        self.fact("tool", "tool_result", "tool")
        key = block.get("tool_use_id")
        if not isinstance(key, str) or key not in self.state.waiting:
            return
        run = self.state.waiting.pop(key)
        place, reads, files, shelled = run[:4]
        self.found.outputs.append((place, None, _UNCOUNTED, reads))
        bad = block.get("is_error") is True
        if rejected:
            self.end(key)
        elif files and bad:
            self.end(key)
            self.fact("outcome", "patch_failed", "failure")
            self.failed()
        elif files:
            self.changed(key, files)
        elif shelled:
            self.finished(key, int(bad))
        else:
            self.end(key)


def _name(call: Any, answers: dict[str, int]) -> str:
    """What tells a response from the others: of a message, each request is one."""
    message, request = call[:2]
    if call[4] == ASIDE:  # it is another response, unless nobody else tells of it
        return f"{message} {ASIDE}"
    own = f"{message}#{request}"
    if message not in answers or loose(call[4], request):
        return message if loose(call[4], request) else own
    # What was told without a request is the first one's.
    told = any(name.startswith(f"{message}#") for name in answers)
    return own if told else message


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []
