"""A seedable generator of trees of Claude Code logs, with the truth about every call in them.

    tree = ClaudeTree(folder, seed=7)
    tree.grow(sessions=20)
    tree.truth            # {response's id: (input, cached, written, output)}

Shapes: the order of keys of several versions, responses in one to three lines of which early ones
hold a part of the output, writes to the cache by lifetime, notices of the client's own, side
conversations, sub-agents with logs of their own, resumed sessions that begin with a copy, lines
of other kinds, torn tails, and text that only looks like an answer.
"""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.rollouts import stamp

Tokens = tuple[int, int, int, int]  # input (all of it), cached, written, output
_START = 1_780_000_000_000
_MODELS = ("claude-opus-4-6", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001")
_PROMPTS = (
    "Mend the cart", "mend the cart: it says \"user\" and \\ twice\nthen stops", "<command-name>",
    "Größer, 日本語 and 🙂", "  and now the tests", "", "[Request interrupted by user]",
)  # fmt: skip
_ODD_TEXT = '{"type":"assistant","message":{"usage":{"output_tokens":9}}} \\"assistant\\" \\u0041'


@dataclass
class Log:
    """One file in the making."""

    key: str  # the session
    at: int
    name: str  # inside the projects' folder
    old: bool = False  # the order of keys of an earlier version
    side: bool = False
    agent: str | None = None
    lines: list[bytes] = field(default_factory=list)
    last: str | None = None


class ClaudeTree:
    """Files below `home`/projects, and what they really say."""

    def __init__(self, home: Path, seed: int, *, body: int = 300, answers: int = 8) -> None:
        """`body`: bytes of a tool's output; `answers`: of a session, at most."""
        self.home = home
        self.random = random.Random(seed)
        self.body = body
        self.answers = answers
        self.truth: dict[str, Tokens] = {}
        self.logs: list[Log] = []
        self.paths: list[Path] = []
        self.bytes = 0
        self._at = _START
        self._text = "".join(self.random.choice("abc defg ") for _ in range(40_000))

    @property
    def sums(self) -> tuple[int, int, int, int]:
        """Calls, input, cached and output in all."""
        parts = list(self.truth.values())
        return (len(parts), *(sum(part[n] for part in parts) for n in (0, 1, 3)))  # type: ignore[return-value]

    def grow(self, sessions: int) -> None:
        """Add sessions of all kinds, each in one or several files."""
        for _ in range(sessions):
            kind = self.random.randrange(10)
            log = self.session()
            if kind == 0 and len(self.logs) > 1:
                self.resumed(log, self.random.choice(self.logs[:-1]))
            self.talk(log)
            if kind == 1:
                log.lines.append(b'{"parentUuid":null,"type":"assistant","mess')
            self.save(log)
            for _ in range(self.random.choice((0, 0, 0, 1, 2))):
                self.save(self.sub_agent(log))

    def grow_to(self, size: int) -> None:
        """Add sessions until the tree has about `size` bytes."""
        while self.bytes < size:
            self.grow(1)

    # ── files ─────────────────────────────────────────────────────────────────────────

    def session(self) -> Log:
        """A session's own log, without an answer yet."""
        self._at += self.random.randrange(60_000, 4_000_000)
        key, project = self._id(), f"-home-me-proj{self.random.randrange(12)}"
        log = Log(key, self._at, f"{project}/{key}", old=self.random.random() < 0.3)
        self.logs.append(log)
        if self.random.random() < 0.3:
            log.lines.append(self._dumped({"type": "summary", "summary": "Cart", "leafUuid": key}))
        if self.random.random() < 0.5:
            snapshot = {"messageId": key, "trackedFileBackups": {}, "timestamp": stamp(log.at)}
            line = {"type": "file-history-snapshot", "messageId": key, "snapshot": snapshot}
            log.lines.append(self._dumped(line))
        self.person(log, self.random.choice(_PROMPTS), isMeta=self.random.random() < 0.2)
        self.person(log, self.random.choice(_PROMPTS))
        return log

    def sub_agent(self, above: Log) -> Log:
        """The log of a sub-agent, beside its session's."""
        agent = self._id()[:8]
        log = Log(above.key, above.at, f"{above.name}/subagents/agent-{agent}", side=True)
        log.agent = agent
        self.person(log, "Look for the cart")
        self.talk(log)
        return log

    def resumed(self, log: Log, before: Log) -> None:
        """Begin a log with what another session said, as resuming did."""
        log.lines[:0] = [
            line.replace(before.key.encode(), log.key.encode())
            for line in before.lines
            if line.endswith(b"\n")
        ]

    def save(self, log: Log) -> Path:
        """Write a log where Claude Code would."""
        path = self.home / "projects" / f"{log.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = b"".join(log.lines)
        path.write_bytes(data)
        self.bytes += len(data)
        self.paths.append(path)
        return path

    # ── lines ─────────────────────────────────────────────────────────────────────────

    def talk(self, log: Log) -> None:
        """Add some answers, and what tools said to them."""
        for _ in range(self.random.randint(1, self.answers)):
            self.answer(log)
            size = self.random.randrange(self.body * 2 + 1)
            place = self.random.randrange(len(self._text) - 100)
            body = (self._text[place:] * (size // 1000 + 1))[:size]
            odd = self.random.random()
            block = {"type": "tool_result", "content": body + (_ODD_TEXT if odd < 0.1 else "")}
            told = {"stdout": body[:200], "interrupted": False, "structuredPatch": [{"a": [1.5e3]}]}
            self._add(log, "user", {"role": "user", "content": [block]}, toolUseResult=told)
            if odd > 0.9:
                self._add(log, "system", None, subtype="compact_boundary", content="Compacted")

    def answer(self, log: Log) -> str:
        """Add one response; returns its id."""
        chance, name = self.random, f"msg_01{self._id()[:18]}"
        fresh, read, written = (
            chance.randrange(30),
            chance.randrange(150_000),
            chance.randrange(900),
        )
        output, parts = chance.randrange(20, 900), chance.choice((1, 1, 2, 3))
        usage: dict[str, Any] = {
            "input_tokens": fresh, "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read, "service_tier": "standard",
        }  # fmt: skip
        if chance.random() < 0.7:
            brief = chance.randrange(written + 1)
            usage["cache_creation"] = {
                "ephemeral_5m_input_tokens": brief, "ephemeral_1h_input_tokens": written - brief,
            }  # fmt: skip
        model, request = chance.choice(_MODELS), f"req_011{self._id()[:20]}"
        named = {} if chance.random() < 0.05 else {"requestId": request}
        for number in range(parts):
            so_far = output if number == parts - 1 else chance.randrange(1, 9)
            text = self._text[: chance.randrange(400)]
            message = {
                "model": model, "id": name, "type": "message", "role": "assistant",
                "content": [{"type": "text", "text": text + (_ODD_TEXT if fresh == 3 else "")}],
                "stop_reason": None, "usage": {**usage, "output_tokens": so_far},
            }  # fmt: skip
            self._add(log, "assistant", message, **named)
        if chance.random() < 0.05:
            notice: dict[str, Any] = {
                "id": self._id(),
                "role": "assistant",
                "model": "<synthetic>",
                "content": [],
            }
            notice["usage"] = {"input_tokens": 0, "output_tokens": 0}
            self._add(log, "assistant", notice, isApiErrorMessage=True)
        self.truth[name] = (fresh + read + written, read, written, output)
        return name

    def person(self, log: Log, text: str, **more: Any) -> None:
        """Add what a person said."""
        whole = self.random.random() < 0.5
        content: Any = text if whole else [{"type": "text", "text": text}]
        self._add(log, "user", {"role": "user", "content": content}, **more)

    def _add(self, log: Log, kind: str, message: Any, **more: Any) -> None:
        log.at += self.random.randrange(300, 9000)
        head = {
            "parentUuid": log.last, "isSidechain": log.side, "userType": "external",
            "cwd": "/home/me/proj" + log.name[13:15].strip("/"), "sessionId": log.key,
            "version": "1.0.64" if log.old else "2.1.44", "gitBranch": "main",
        }  # fmt: skip
        if log.agent:
            head["agentId"] = log.agent
        told = {} if message is None else {"message": message}
        said = {**told, **more, "type": kind} if log.old else {"type": kind, **told, **more}
        log.last = self._id()
        self._line(log, {**head, **said, "uuid": log.last, "timestamp": stamp(log.at)})

    def _line(self, log: Log, value: dict[str, Any]) -> None:
        log.lines.append(self._dumped(value))

    def _dumped(self, value: dict[str, Any]) -> bytes:
        plain = self.random.random() < 0.1
        text = json.dumps(value, ensure_ascii=plain, separators=(",", ":"))
        return text.encode() + b"\n"

    def _id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))
