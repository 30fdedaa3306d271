"""Claude Code logs with tools in them, line by line: one message is several lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.rollouts import stamp

START = 1_795_000_000_000
HOME = "/home/me/secret-project"


class ClaudeLog:
    """One session's log in the making."""

    def __init__(self, number: int = 1, *, agent: str = "", at: int = START) -> None:
        self.key = f"7c4e0d2a-0000-4000-8000-{number:012x}"
        self.agent = agent
        self.at = at
        self.lines: list[str] = []
        self.uses = 0

    def add(self, kind: str, **rest: Any) -> None:
        """Write a line, a second later."""
        self.at += 1000
        line = {
            "parentUuid": None, "isSidechain": bool(self.agent), "cwd": HOME, "version": "2.1.0",
            "sessionId": self.key, "type": kind, "uuid": f"u-{len(self.lines)}",
            "timestamp": stamp(self.at), **rest,
        }  # fmt: skip
        self.lines.append(json.dumps(line, separators=(",", ":")) + "\n")

    def says(self, name: str, *blocks: dict[str, Any], stop: str | None = "tool_use") -> None:
        """Write one line of a message; the same name again is the same message."""
        usage = {
            "input_tokens": 10, "cache_creation_input_tokens": 200, "output_tokens": 50,
            "cache_read_input_tokens": 3000,
        }  # fmt: skip
        message: dict[str, Any] = {
            "id": name,
            "role": "assistant",
            "model": "claude-opus-4-6",
            "usage": usage,
        }
        message |= {"content": list(blocks), "stop_reason": stop}
        self.add("assistant", requestId=f"req_{name}", message=message)

    def use(self, tool: str, **given: Any) -> dict[str, Any]:
        """A block that uses a tool; its id is `toolu_1`, `toolu_2` and so on."""
        self.uses += 1
        return {"type": "tool_use", "id": f"toolu_{self.uses}", "name": tool, "input": given}

    def result(self, number: int, *, bad: bool = False, told: Any = None) -> None:
        """Write what a tool said."""
        block = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": "hunter2"}
        message = {"role": "user", "content": [block | ({"is_error": True} if bad else {})]}
        self.add("user", message=message, **({} if told is None else {"toolUseResult": told}))

    def prompt(self, text: Any, **rest: Any) -> None:
        """Write what a person said."""
        self.add("user", message={"role": "user", "content": text}, **rest)

    def run(self, name: str, tool: str, *, bad: bool = False, **given: Any) -> None:
        """A message that uses a tool, and its result."""
        self.says(name, self.use(tool, **given))
        self.result(self.uses, bad=bad)

    def text(self) -> bytes:
        """The whole file."""
        return "".join(self.lines).encode()

    def save(self, home: Path) -> Path:
        """Put the file where Claude Code would."""
        folder = home / "projects" / "-home-me-secret-project"
        if self.agent:
            folder = folder / self.key / "subagents"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.agent or self.key}.jsonl"
        path.write_bytes(self.text())
        return path


def rich(number: int = 1, agent: str = "") -> ClaudeLog:
    """A log with something of everything."""
    log = ClaudeLog(number, agent=agent)
    log.prompt("hunter2")
    log.run(f"{agent}m1", "Grep", pattern="hunter2", path="src")
    log.says(f"{agent}m2", log.use("Read", file_path="src/a.py"), log.use("Bash", command="ls"))
    log.result(2)
    log.says(f"{agent}m2", log.use("Edit", file_path="src/a.py", old_string="hunter2"))
    log.result(3)
    log.result(4)
    log.run(f"{agent}m3", "Task", subagent_type="Explore", prompt="hunter2")
    log.run(f"{agent}m4", "mcp__docs__search", query="hunter2")
    log.says(f"{agent}m5", {"type": "text", "text": "hunter2"}, stop="end_turn")
    return log
