"""The telemetry of the demo's invented work, as Codex and Claude Code would export it.

Pure: `sample` says what happened, OTLP bodies come out. The conversations, tokens, tools and
times are those of the logs and requests; a few runs left no log, and one record is not ours.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

DAYS = 14  # so long ago telemetry was switched on
CODEX, CLAUDE, _EXEC = "codex-app-server", "claude-code", "codex_exec"
_VERSIONS = {CODEX: "0.169.0", _EXEC: "0.169.0", CLAUDE: "2.1.0"}
_USER = "sam@example.com"
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_TOGETHER = 400  # records of one body
_TERMINALS = ("kitty", "kitty", "vscode/1.99.0", "tmux-256color")
_ASKED = ("git commit", "npm run build", "npm test")  # what a person has to permit
_ASKED_LONG = 1500  # ms: nobody decides faster
_TITLE_PROMPT = 430  # characters: Codex asks for every title in the same words
# Runs without a log (`codex exec --ephemeral`): how long ago, and how many calls.
_LONE = ((6 * _DAY + 2 * _HOUR, 4), (_DAY + 3 * _HOUR, 3), (50 * _MINUTE, 2))

Tokens = tuple[int, int, int, int]  # input, cached, output, reasoning


class Record(NamedTuple):
    """One log record: when, by which service, and its attributes."""

    at: int
    service: str
    values: dict[str, Any]


class Talk(NamedTuple):
    """Whose records they are."""

    key: str
    model: str
    service: str = CODEX
    terminal: str = "kitty"

    @classmethod
    def of(cls, key: str, model: str) -> Talk:
        """A conversation in one of the terminals of its user."""
        return cls(key, model, CODEX, _TERMINALS[int(key[-2:], 16) % len(_TERMINALS)])


class Call(NamedTuple):
    """One model response."""

    started: int
    took: int
    first: int  # ms until its first event
    tokens: Tokens
    attempt: int = 0


class Tool(NamedTuple):
    """One run of a tool."""

    name: str
    call: str
    started: int
    took: int
    failed: bool


class Exporter:
    """Writes down what the clients would tell, from the day on which they began to."""

    def __init__(self, now: int, seed: int) -> None:
        self.records: list[Record] = []
        self._now = now
        self._since = now - DAYS * _DAY
        self._silent: set[str] = set()  # conversations that began before
        self._random = random.Random(seed)  # noqa: S311 - of its own: the logs stay as they are

    def began(self, talk: Talk, at: int, prompt: str | None = None) -> None:
        """A conversation starts."""
        if at < self._since:
            self._silent.add(talk.key)
        about = {"approval_policy": "on-request", "sandbox_policy": "workspace-write"}
        self._codex(talk, at, "conversation_starts", {**about, "provider_name": "openai"})
        if prompt is not None:
            self.prompted(talk, at + 15, prompt)

    def titled(self, talk: Talk, call: Call) -> None:
        """Codex asks, in a thread of its own that leaves no log, what another is about."""
        at = call.started - 60
        if at < self._since:
            self._silent.add(talk.key)
        about = {"approval_policy": "never", "sandbox_policy": "read-only"}
        self._codex(talk, at, "conversation_starts", {**about, "provider_name": "openai"})
        self._codex(talk, at + 15, "user_prompt", {"prompt_length": str(_TITLE_PROMPT)})
        self.called(talk, call, opens=True)

    def prompted(self, talk: Talk, at: int, prompt: str) -> None:
        """A turn starts; how long its prompt is, and no more."""
        self._codex(talk, at, "user_prompt", {"prompt_length": str(len(prompt))})

    def refused(self, talk: Talk, at: int, status: int, took: int) -> None:
        """A request was not taken, and the client tries again."""
        said = {"duration_ms": str(took), "error.message": f"http {status}"}
        self._codex(talk, at, "api_request", {**said, **_request(status, attempt=0)})

    def called(self, talk: Talk, call: Call, *, opens: bool = False) -> None:
        """A response was complete; `opens`: the first of its turn."""
        head = min(call.first, 90 + call.first // 4)
        asked = {"duration_ms": str(head), **_request(200, call.attempt)}
        self._codex(talk, call.started + head, "api_request", asked)
        if opens:
            first = {"duration_ms": str(call.first)}
            self._codex(talk, call.started + call.first, "turn_ttft", first)
        done = {"event.kind": "response.completed"}
        ended = call.started + call.took
        # Two records end a response: one with its duration, one with its tokens.
        self._codex(talk, ended, "sse_event", {**done, "duration_ms": "0"})
        read, cached, output, reasoning = call.tokens
        used = {
            "input_token_count": str(read),
            "output_token_count": str(output),
            "cached_token_count": cached,
            "cache_write_token_count": 0,
            "reasoning_token_count": reasoning,
            "tool_token_count": str(read + output),
            "ttft_ms": call.first,
        }
        self._codex(talk, ended, "sse_event", {**done, **used})

    def ran(self, talk: Talk, tool: Tool, command: str, *, declined: bool) -> None:
        """A command ended; what it asked for was decided by the user or by the configuration."""
        asked = declined or asks(command, tool.took)
        decision = "denied" if declined else "approved"
        if asked and not declined and self._random.random() < 0.2:
            decision = "approved_for_session"
        about = {"tool_name": tool.name, "tool_namespace": "functions", "call_id": tool.call}
        source = {"decision": decision, "source": "User" if asked else "Config"}
        waited = tool.took * (9 if declined else 7) // 10 if asked else 4
        decided = tool.started + min(waited, tool.took)
        self._codex(talk, decided, "tool_decision", {**about, **source})
        # The tool worked whatever its command's exit code was: of that only the log tells.
        went = "false" if declined else "true"
        result = {"duration_ms": str(tool.took), "success": went, "output_truncated": "false"}
        ended = tool.started + tool.took
        self._codex(talk, ended, "tool_result", {**about, **result, "agent_name": "/root"})

    def _codex(self, talk: Talk, at: int, name: str, values: dict[str, Any]) -> None:
        common = {
            "event.name": f"codex.{name}",
            "conversation.id": talk.key,
            "app.version": _VERSIONS[talk.service],
            "originator": "codex_exec" if talk.service == _EXEC else "codex_cli_rs",
            "terminal.type": talk.terminal,
            "auth_mode": "Chatgpt",
            "user.email": _USER,
            "model": talk.model,
            "slug": talk.model,
        }
        if talk.key not in self._silent:
            self.records.append(Record(at, talk.service, {**common, **values}))

    # --- Claude Code ----------------------------------------------------------------------------

    def claude_prompted(self, key: str, at: int, prompt: str) -> None:
        """A conversation of Claude Code starts."""
        if at < self._since:
            self._silent.add(key)
        self._claude(key, at, "user_prompt", {"prompt_length": str(len(prompt))})

    def claude_called(
        self, key: str, at: int, model: str, usage: dict[str, int], took: int
    ) -> None:
        """A response of Claude Code was complete; `usage` as its log has it."""
        used = {
            "input_tokens": str(usage["input_tokens"]),
            "output_tokens": str(usage["output_tokens"]),
            "cache_read_tokens": str(usage["cache_read_input_tokens"]),
            "cache_creation_tokens": str(usage["cache_creation_input_tokens"]),
        }
        said = {"model": model, "duration_ms": str(took), **used}
        self._claude(key, at, "api_request", said)

    def claude_ran(self, key: str, tool: Tool) -> None:
        """A tool of Claude Code ended."""
        about = {"tool_name": tool.name, "tool_use_id": tool.call}
        asked = tool.name in ("Write", "Edit")
        took = self._random.randint(30, tool.took)  # its log has only when the result was read
        ended = tool.started + tool.took
        source = {"decision": "accept", "source": "user_temporary" if asked else "config"}
        decided = ended - took + (took * 6 // 10 if asked else 3)
        self._claude(key, decided, "tool_decision", {**about, **source})
        went = {"success": "false" if tool.failed else "true", "duration_ms": str(took)}
        self._claude(key, ended, "tool_result", {**about, **went})

    def _claude(self, key: str, at: int, name: str, values: dict[str, Any]) -> None:
        common = {"event.name": name, "session.id": key, "user.email": _USER}
        if key not in self._silent:
            self.records.append(Record(at, CLAUDE, {**common, "terminal.type": "kitty", **values}))

    # --- What only telemetry saw ----------------------------------------------------------------

    def finish(self) -> None:
        """Add the runs that left no log, and a record of a program that is not ours."""
        for number, (ago, calls) in enumerate(_LONE):
            self._lone(self._now - ago, calls, broken=number == len(_LONE) - 1)
        stray = {"event.name": "notes.opened", "session.id": "notes"}
        self.records.append(Record(self._now - _HOUR, "sticky-notes", stray))
        self.records.sort(key=lambda record: record.at)

    def _lone(self, at: int, calls: int, *, broken: bool) -> None:
        bits = f"{at:012x}{self._random.getrandbits(80):020x}"
        key = f"{bits[:8]}-{bits[8:12]}-7{bits[13:16]}-8{bits[17:20]}-{bits[20:32]}"
        talk = Talk(key, "gpt-5.4-mini", _EXEC, "unknown")
        self.began(talk, at, "Summarise what the last night's run changed")
        read = 13_000
        for number in range(calls):
            read += self._random.randint(400, 2600)
            output = self._random.randint(60, 700)
            tokens = (read, 0 if not number else read // 2 // 128 * 128, output, output // 3)
            call = Call(at + 40, 1500 + output * 11, self._random.randint(400, 1200), tokens)
            self.called(talk, call, opens=not number)
            at = call.started + call.took
            if number < calls - 1:
                name = f"call_{self._random.getrandbits(64):016x}"
                run = Tool("exec_command", name, at, self._random.randint(30, 900), failed=False)
                self.ran(talk, run, "git log --oneline -5", declined=False)
                at += run.took
        if broken:
            why = '{"response":{"error":{"code":"server_is_overloaded"}}}'
            failed = {"event.kind": "response.failed", "error.message": why, "duration_ms": "640"}
            self._codex(talk, at + 2000, "sse_event", failed)


def _request(status: int, attempt: int) -> dict[str, Any]:
    return {
        "http.response.status_code": status,
        "attempt": attempt,
        "endpoint": "/responses",
    }


def turn(talk: Talk, call: Call, prompt: str, seed: int) -> Iterator[bytes]:
    """The bodies of one turn that was only just made, with one call and no tools."""
    exporter = Exporter(call.started + call.took, seed)
    exporter.prompted(talk, call.started, prompt)
    exporter.called(talk, call, opens=True)
    return bodies(exporter.records)


def asks(command: str, took: int) -> bool:
    """Whether a person was asked before a command ran."""
    return command.startswith(_ASKED) and took >= _ASKED_LONG


def bodies(records: list[Record]) -> Iterator[bytes]:
    """OTLP bodies (JSON), each of one service, in the order of time."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for number, record in enumerate(records):
        run = runs.setdefault(record.service, [])
        run.append(_written(record, number))
        if len(run) == _TOGETHER:
            yield _body(record.service, runs.pop(record.service))
    for service, run in runs.items():
        yield _body(service, run)


def _body(service: str, records: list[dict[str, Any]]) -> bytes:
    about = {"service.name": service, "service.version": _VERSIONS.get(service, "1.0")}
    scope = {"scope": {"name": service}, "logRecords": records}
    resource = {"resource": {"attributes": _attributes(about)}, "scopeLogs": [scope]}
    return json.dumps({"resourceLogs": [resource]}, separators=(",", ":")).encode()


def _written(record: Record, number: int) -> dict[str, Any]:
    at = datetime.fromtimestamp(record.at / 1000, UTC).isoformat(timespec="milliseconds")
    values = {**record.values, "event.timestamp": at.replace("+00:00", "Z")}
    # Records of one millisecond are told apart by what follows it.
    observed = str(record.at * 1_000_000 + number % 1_000_000)
    return {"observedTimeUnixNano": observed, "attributes": _attributes(values)}


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": value} if isinstance(value, int) else
         {"stringValue": value}}
        for key, value in values.items()
    ]  # fmt: skip
