"""Rollouts with tools in them, line by line: the shapes of current clients and of older ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.rollouts import stamp, usage

START = 1_795_000_000_000
HOME = "/home/me/secret-project"


class ToolLog:
    """One rollout in the making; `call` ends a stretch as a model response does."""

    def __init__(self, number: int = 1, *, modern: bool = True, at: int = START) -> None:
        self.key = f"01a1fbc5-af83-77a1-9bf9-{number:012x}"
        self.modern = modern
        self.at = at
        self.lines: list[str] = []
        self.total = (0, 0, 0, 0)
        self.calls = 0
        meta = {"id": self.key, "timestamp": stamp(at), "cwd": HOME, "source": "cli"}
        self.add("session_meta", meta)
        self.turn()

    @property
    def name(self) -> str:
        """As Codex names the file."""
        return f"rollout-2026-11-18T10-00-00-{self.key}.jsonl"

    def add(self, kind: str, payload: dict[str, Any]) -> None:
        """Write a line, a second later."""
        self.at += 1000
        line: dict[str, Any] = {"timestamp": stamp(self.at)}
        if self.modern:
            line["ordinal"] = len(self.lines)
        line |= {"type": kind, "payload": payload}
        self.lines.append(json.dumps(line, separators=(",", ":")) + "\n")

    def item(self, **payload: Any) -> None:
        """Write a response item."""
        self.add("response_item", payload)

    def event(self, kind: str, **payload: Any) -> None:
        """Write an event."""
        self.add("event_msg", {"type": kind, **payload})

    def done(self, item: dict[str, Any], thread: str = "") -> None:
        """Write an item that is complete."""
        self.event("item_completed", thread_id=thread or self.key, turn_id="t", item=item)

    def turn(self, model: str = "gpt-5.5") -> None:
        """Begin a turn."""
        self.add("turn_context", {"turn_id": "t", "cwd": HOME, "model": model, "effort": "high"})

    def call(self, fresh: int = 1000, cached: int = 500, thread: str = "") -> str:
        """A model response; returns its id."""
        self.calls += 1
        tokens = (fresh + cached, cached, 100, 40)
        if not thread:
            a, b, c, d = self.total
            self.total = (a + tokens[0], b + tokens[1], c + tokens[2], d + tokens[3])
        name = f"resp_{self.key[-4:]}_{self.calls}"
        if self.modern:
            own = usage(tokens, written=True)
            names = {"thread_id": thread or self.key, "turn_id": "t", "session_id": self.key}
            names |= {"root_turn_id": "t", "response_id": name}
            running = usage(self.total, written=True)
            figures = {"usage": own, "turn_token_usage": own, "thread_token_usage": running}
            self.add("token_usage_record", {**names, **figures})
        info = {"total_token_usage": usage(self.total), "last_token_usage": usage(tokens)}
        self.event("token_count", info={**info, "model_context_window": 258_400}, rate_limits=None)
        return name

    def run(self, command: str, name: str = "", *, tokens: int | None = 10, code: int = 0) -> None:
        """A command: asked for, a call, and what it says, as 0.169 tells it."""
        call = name or f"call_{len(self.lines)}"
        self.item(
            type="function_call",
            name="exec_command",
            arguments=json.dumps({"cmd": command}),
            call_id=call,
        )
        self.call()
        words = {"command": ["/bin/bash", "-lc", command], "cwd": f"file://{HOME}"}
        self.done({"type": "CommandExecution", "id": call, **words, "exit_code": code})
        self.output(call, tokens=tokens, code=code)

    def output(self, call: str, *, tokens: int | None = 10, code: int = 0) -> None:
        """What a command said."""
        head = f"Chunk ID: ab12\nWall time: 0.1 seconds\nProcess exited with code {code}\n"
        if tokens is not None:
            head += f"Original token count: {tokens}\n"
        self.item(type="function_call_output", call_id=call, output=head + "Output:\nhunter2\n")

    def text(self) -> bytes:
        """The whole file."""
        return "".join(self.lines).encode()

    def save(self, home: Path, *, archived: bool = False) -> Path:
        """Put the file where Codex would."""
        folder = home / ("archived_sessions" if archived else "sessions/2026/11/18")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        path.write_bytes(self.text())
        return path
