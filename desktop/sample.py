"""Invented work for the demo: session logs as Codex and Claude Code write them, and requests.

Pure: a seed and `now` in, files and records out. Everything that Brimline then shows of it goes
the way that real work goes: logs are indexed, requests are recorded, both are joined.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from desktop import signals
from desktop.signals import Call, Exporter, Talk, Tool

DAYS = 60
PROXY_DAYS = 30
_TITLED_DAYS = 4
_AGAIN = 1400  # ms after which a request that led to nothing is tried again
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000

ACCOUNTS = ("studio", "work", "spare", "home")
_SERVING = ("studio", "studio", "studio", "work", "work", "spare")

_PROJECTS = {
    "storefront": (
        "Let guests check out without an account",
        "Find why the cart total is off by a cent",
        "Cache product pages at the edge",
        "Show delivery dates before payment",
        "Move the search box to the new index",
        "Make the gallery usable by keyboard",
    ),
    "billing-api": (
        "Retry webhooks with growing pauses",
        "Split the invoice module",
        "Add refunds in part",
        "Prove that no payment is taken twice",
        "Upgrade to the new tax tables",
    ),
    "atlas-mobile": (
        "Keep drafts when the app is closed",
        "Fix the crash when the phone turns",
        "Draw the map offline",
        "Shrink the first download",
    ),
    "infra": (
        "Roll certificates before they end",
        "Alert on slow queries, not on busy ones",
        "Restore a backup every night, and say so",
    ),
    "handbook": ("Explain how releases are made", "One page on incidents"),
    "forecast": (
        "Compare the two demand models",
        "Read sales as they come in",
        "Explain outliers in a sentence",
    ),
}
_WEIGHTS = (6, 5, 4, 3, 1, 2)
_BRANCHES = ("main", "main", "feature/next", "fix/rounding")
# Model, effort, how much of the work it does.
_MODELS = (
    ("gpt-5.5", "high", 7),
    ("gpt-5.5", "medium", 6),
    ("gpt-5.6-sol", "xhigh", 2),
    ("gpt-5.4", "medium", 3),
    ("gpt-5.4-mini", "low", 3),
)
_TITLES = "gpt-5.4-mini"
_CLAUDE = ("claude-opus-4-6", "claude-sonnet-4-6")
_CLAUDE_TOOLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Bash", {"command": "npm test"}), ("Bash", {"command": "git diff --stat"}),
    ("Bash", {"command": "pytest -q"}), ("Read", {"file_path": "src/cart.ts"}),
    ("Read", {"file_path": "README.md"}), ("Grep", {"pattern": "total", "path": "src"}),
    ("Glob", {"pattern": "**/*.ts"}), ("Edit", {"file_path": "src/cart.ts"}),
    ("Write", {"file_path": "docs/notes.md"}), ("Task", {"subagent_type": "Explore"}),
    ("mcp__docs__search", {"query": "…"}), ("Skill", {"skill": "release-notes"}),
)  # fmt: skip
_COMMANDS = (
    "rg -n total src", "sed -n 1,120p src/cart.ts", "pytest -q", "npm test", "git diff --stat",
    "git status --short", "ls src", "npm run build", "git commit -am wip", "cat package.json",
    "ruff check .", "git log --oneline -5",
)  # fmt: skip


@dataclass
class Sample:
    """What the demo writes: files by their path below a home, requests of the proxy, telemetry."""

    codex: dict[str, bytes] = field(default_factory=dict)
    claude: dict[str, bytes] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    told: list[signals.Record] = field(default_factory=list)


def make(now: int, seed: int = 7) -> Sample:
    """Sixty days of work of a small team, ending a few minutes ago."""
    maker = _Maker(now, seed)
    for ago in range(DAYS, -1, -1):
        maker.day(now // _DAY * _DAY - ago * _DAY)
    maker.finish()
    return maker.sample


def stamp(at: int) -> str:
    """A time as both clients write it."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def figures(tokens: tuple[int, int, int, int]) -> dict[str, int]:
    """Tokens as Codex writes them, in its order."""
    read, cached, output, reasoning = tokens
    return {
        "input_tokens": read,
        "cached_input_tokens": cached,
        "cache_write_input_tokens": 0,
        "output_tokens": output,
        "reasoning_output_tokens": reasoning,
        "total_tokens": read + output,
    }


def _plus(one: tuple[int, int, int, int], two: tuple[int, int, int, int]) -> Any:
    return tuple(a + b for a, b in zip(one, two, strict=True))


@dataclass
class _Session:
    """One rollout in the making."""

    key: str
    at: int
    cwd: str
    model: str
    effort: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    context: int = 14_000
    total: tuple[int, int, int, int] = (0, 0, 0, 0)
    began: int = 0

    @property
    def talk(self) -> Talk:
        """Whose telemetry it is."""
        return Talk.of(self.key, self.model)

    def add(self, kind: str, payload: dict[str, Any]) -> None:
        """Write one line."""
        head = {"timestamp": stamp(self.at), "ordinal": len(self.lines)}
        self.lines.append({**head, "type": kind, "payload": payload})

    def event(self, kind: str, **payload: Any) -> None:
        """Write one event."""
        self.add("event_msg", {"type": kind, **payload})

    def done(self, turn: str, item: dict[str, Any]) -> None:
        """Write that one step of a turn is over."""
        self.event("item_completed", thread_id=self.key, turn_id=turn, item=item)


class _Maker:
    """Invents work, day by day."""

    def __init__(self, now: int, seed: int) -> None:
        self.sample = Sample()
        self._now = now
        self._random = random.Random(seed)  # noqa: S311
        self._exporter = Exporter(now, seed)
        self._opened: set[str] = set()  # turns with a call
        self._names: list[dict[str, Any]] = []
        self._five = 0.0

    def day(self, start: int) -> None:
        """The sessions of one day: few at the weekend, more and more of them over time."""
        weekday = datetime.fromtimestamp(start / 1000, UTC).weekday()
        growth = 1 - (self._now - start) / _DAY / DAYS / 2
        most = 2 if weekday > 4 else 5
        today = start + _DAY > self._now
        for _ in range(3 if today else round(self._random.uniform(0, most) * growth)):
            at = start + int(self._random.triangular(7, 20, 14) * _HOUR)
            if today:  # whatever time it is, today has begun
                at = self._now - int(self._random.uniform(0.2, 0.9) * (self._now - start))
            self._codex(min(at, self._now - 4 * _MINUTE))
        if self._random.random() < (0.15 if weekday > 4 else 0.55):
            at = start + int(self._random.triangular(8, 19, 11) * _HOUR)
            self._claude(min(at, self._now - 20 * _MINUTE))

    def finish(self) -> None:
        """The names of threads, and requests and telemetry in the order of time."""
        index = b"".join(json.dumps(entry).encode() + b"\n" for entry in self._names)
        self.sample.codex["session_index.jsonl"] = index
        self.sample.requests.sort(key=lambda request: request["started_at"])
        self._exporter.finish()
        self.sample.told = self._exporter.records

    # --- Codex ----------------------------------------------------------------------------------

    def _codex(self, at: int) -> None:
        project = self._random.choices(list(_PROJECTS), _WEIGHTS)[0]
        title = self._random.choice(_PROJECTS[project])
        model, effort, _ = self._random.choices(_MODELS, [m[2] for m in _MODELS])[0]
        session = self._begin(at, project, model, effort)
        self._names.append(
            {"id": session.key, "thread_name": title, "updated_at": stamp(session.at)}
        )
        for number in range(self._random.randint(1, 4)):
            if not number:
                self._titled(session)
            self._turn(session, title if not number else "Go on, and run the tests")
            if number == 1 and self._random.random() < 0.3:
                self._helper(session, project)
            session.at += int(self._random.uniform(1, 14) * _MINUTE)
            if session.at > self._now - 3 * _MINUTE:
                break
        self._save(session)

    def _begin(
        self, at: int, project: str, model: str, effort: str, source: Any = "cli"
    ) -> _Session:
        at += self._random.randrange(1000)
        bits = f"{at:012x}{self._random.getrandbits(80):020x}"
        key = f"{bits[:8]}-{bits[8:12]}-7{bits[13:16]}-8{bits[17:20]}-{bits[20:32]}"
        session = _Session(key, at, f"/home/sam/src/{project}", model, effort, began=at)
        meta = {
            "session_id": key,
            "id": key,
            "timestamp": stamp(at),
            "cwd": session.cwd,
            "originator": "codex_cli_rs",
            "cli_version": "0.169.0",
            "source": source,
            "model_provider": "openai",
            "git": {"branch": self._random.choice(_BRANCHES)},
        }
        session.add("session_meta", meta)
        self._exporter.began(session.talk, at)
        return session

    def _titled(self, session: _Session) -> None:
        """The thread that finds the session's title: a request, telemetry, and no log."""
        # Of a generator of its own, so that the rest of the work stays as it is.
        draw = random.Random(session.key)  # noqa: S311
        at = session.at + 700 + draw.randrange(1500)
        bits = f"{at:012x}{draw.getrandbits(80):020x}"
        key = f"{bits[:8]}-{bits[8:12]}-7{bits[13:16]}-8{bits[17:20]}-{bits[20:32]}"
        if at < self._now - _TITLED_DAYS * _DAY:
            return  # they have no name in lists: a few are enough
        account = _SERVING[int(key[-4:], 16) % len(_SERVING)]
        tokens = (2_100 + draw.randrange(900), 0, 14 + draw.randrange(20), 0)
        took, first = 900 + draw.randrange(900), 420 + draw.randrange(300)
        reason = "most headroom, 63% left"
        self.sample.requests.append(
            {
                "id": f"req_{draw.getrandbits(96):024x}",
                "endpoint": "/backend-api/codex/responses",
                "started_at": at,
                "session": key,
                "turn": None,
                "kind": "title",
                "model": _TITLES,
                "effort": "low",
                "client": "codex_cli_rs/0.169.0",
                "account": account,
                "reason": reason,
                "attempts": [_attempt(account, "ok", 200, took, reason)],
                "status": "success",
                "http_status": 200,
                "response_id": f"resp_{draw.getrandbits(128):032x}",
                "tokens": tokens,
                "first_event_ms": first,
                "duration_ms": took,
            }
        )
        self._exporter.titled(Talk.of(key, _TITLES), Call(at, took, first, tokens))

    def _helper(self, parent: _Session, project: str) -> None:
        spawn = {"parent_thread_id": parent.key, "depth": 1, "agent_role": "explorer"}
        source = {"subagent": {"thread_spawn": spawn}}
        child = self._begin(parent.at - 90_000, project, "gpt-5.4-mini", "low", source)
        self._turn(child, "Find every caller and list them")
        self._save(child)

    def _turn(self, session: _Session, prompt: str) -> None:
        # As Codex makes them: the first digits are the moment at which the turn began.
        turn = f"{session.at:012x}{session.key.replace('-', '')[-16:]}{len(session.lines):04x}"
        turn = f"{turn[:8]}-{turn[8:12]}-7{turn[13:16]}-8{turn[17:20]}-{turn[20:]}"
        session.event("task_started", turn_id=turn, model_context_window=258_400)
        context = {"turn_id": turn, "cwd": session.cwd, "model": session.model}
        session.add("turn_context", {**context, "effort": session.effort})
        words = [{"type": "text", "text": prompt, "text_elements": []}]
        session.done(turn, {"type": "UserMessage", "id": f"m-{turn}", "content": words})
        self._exporter.prompted(session.talk, session.at, prompt)
        began = session.at
        session.at += 120 + int(session.key[-3:], 16) % 800  # hooks and servers start
        for step in range(self._random.randint(3, 14)):
            self._call(session, turn, last=False)
            if step > 2 and session.at > self._now - 2 * _MINUTE:
                break
        self._call(session, turn, last=True)
        session.event(
            "task_complete",
            turn_id=turn,
            duration_ms=session.at - began,
            time_to_first_token_ms=self._random.randint(600, 3000),
        )

    def _call(self, session: _Session, turn: str, *, last: bool) -> None:
        tokens = self._tokens(session)
        took = 1500 + tokens[2] * self._random.randint(9, 16)
        started = session.at
        session.at += took
        response = f"resp_{self._random.getrandbits(128):032x}"
        call = f"call_{self._random.getrandbits(64):016x}"
        command = self._random.choice(_COMMANDS)
        if not last:
            arguments = json.dumps({"cmd": command})
            item = {"type": "function_call", "name": "exec_command", "arguments": arguments}
            session.add("response_item", {**item, "call_id": call})
        session.total = _plus(session.total, tokens)
        names = {"thread_id": session.key, "turn_id": turn, "session_id": session.key}
        used = {"usage": figures(tokens), "turn_token_usage": figures(tokens)}
        names |= {"root_turn_id": turn, "response_id": response}
        record = {**names, **used, "thread_token_usage": figures(session.total)}
        session.add("token_usage_record", record)
        if not last:
            self._command(session, turn, call, command)
        self._count(session, tokens)
        self._request(session, turn, response, (started, took), tokens)

    def _command(self, session: _Session, turn: str, call: str, command: str) -> None:
        took = self._random.randint(20, 9000)
        session.at += took
        failed = self._random.random() < 0.08
        # Of what a person had to permit, some was not permitted.
        declined = failed and signals.asks(command, took)
        run = Tool("exec_command", call, session.at - took, took, failed)
        self._exporter.ran(session.talk, run, command, declined=declined)
        item = {
            "type": "CommandExecution",
            "id": call,
            "command": ["/bin/bash", "-lc", command],
            "cwd": f"file://{session.cwd}",
            "parsed_cmd": [{"type": "unknown", "cmd": command}],
            "status": "declined" if declined else "failed" if failed else "completed",
            "aggregated_output": "" if declined else "…\n",
            "exit_code": None if declined else int(failed),
            "duration": {"secs": took // 1000, "nanos": took % 1000 * 1_000_000},
        }
        session.done(turn, item)
        said = f"Wall time: {took / 1000:.4f} seconds\nProcess exited with code {int(failed)}\n"
        said += f"Original token count: {took % 1900 + 12}\nOutput:\n…\n"
        if declined:
            said = "exec_command failed: rejected by user"
        output = {"type": "function_call_output", "call_id": call, "output": said}
        session.add("response_item", output)
        if command.startswith("sed") and took % 3:
            self._patch(session, turn, call)

    def _patch(self, session: _Session, turn: str, call: str) -> None:
        """The file that was read is changed."""
        item = {
            "type": "FileChange",
            "id": f"{call}_patch",
            "changes": {f"{session.cwd}/src/cart.ts": {"type": "update"}},
            "status": "completed",
        }
        session.done(turn, item)

    def _count(self, session: _Session, tokens: tuple[int, int, int, int]) -> None:
        info = {
            "total_token_usage": figures(session.total),
            "last_token_usage": figures(tokens),
            "model_context_window": 258_400,
        }
        session.event("token_count", info=info, rate_limits=None)

    def _tokens(self, session: _Session) -> tuple[int, int, int, int]:
        fresh = int(self._random.expovariate(1 / 2600)) + 300
        first = session.total == (0, 0, 0, 0)
        session.context = min(session.context + fresh, 240_000)
        cold = first or self._random.random() < 0.05  # now and then the cache has forgotten
        cached = 9_984 if cold else (session.context - fresh) // 128 * 128
        output = int(self._random.expovariate(1 / 520)) + 40
        return session.context, cached, output, int(output * self._random.uniform(0.15, 0.7))

    def _save(self, session: _Session) -> None:
        day = stamp(session.began)[:10].replace("-", "/")
        name = f"rollout-{stamp(session.began)[:19].replace(':', '-')}-{session.key}.jsonl"
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in session.lines)
        self.sample.codex[f"sessions/{day}/{name}"] = data.encode()

    # --- The proxy ------------------------------------------------------------------------------

    def _request(
        self,
        session: _Session,
        turn: str,
        response: str,
        span: tuple[int, int],
        tokens: tuple[int, int, int, int],
    ) -> None:
        """The proxy's record of one call; a few were moved, refused or left."""
        started, took = span
        if started < self._now - PROXY_DAYS * _DAY:
            return
        # A thread stays on its account.
        account = _SERVING[int(session.key[-4:], 16) % len(_SERVING)]
        chance = self._random.random()
        reason = "same thread"
        attempts = [_attempt(account, "ok", 200, took, reason)]
        if chance < 0.015:
            other = "work" if account != "work" else "studio"
            reason = "most headroom, 63% left"
            attempts = [
                _attempt(other, "status 429", 429, 210, "same thread"),
                _attempt(account, "ok", 200, took, reason),
            ]
        first = min(took, self._random.randint(380, 2600))
        request: dict[str, Any] = {
            "id": f"req_{self._random.getrandbits(96):024x}",
            "endpoint": "/backend-api/codex/responses",
            "started_at": started,
            "session": session.key,
            "turn": turn,
            "model": session.model,
            "effort": session.effort,
            "client": "codex_cli_rs/0.169.0",
            "account": account,
            "reason": reason,
            "attempts": attempts,
            "status": "success",
            "http_status": 200,
            "response_id": response,
            "tokens": tokens,
            "first_event_ms": first,
            "duration_ms": took,
        }
        self.sample.requests.append(request)
        refused = chance > 0.992 and self._failed(session, request)
        started, took, first = (
            request[name] for name in ("started_at", "duration_ms", "first_event_ms")
        )
        call = Call(started, took, first, tokens, attempt=int(refused))
        self._exporter.called(session.talk, call, opens=turn not in self._opened)
        self._opened.add(turn)

    def _failed(self, session: _Session, request: dict[str, Any]) -> bool:
        """A request before it that led to nothing; returns whether the provider refused it."""
        left = self._random.random() < 0.5
        failed = {
            **request,
            "id": f"req_{self._random.getrandbits(96):024x}",
            "status": "cancelled" if left else "error",
            "http_status": 200 if left else 503,
            "error_code": None if left else "server_is_overloaded",
            "error_message": None if left else "The provider is overloaded; try again.",
            "response_id": None,
            "tokens": None,
            "first_event_ms": None,
            "duration_ms": 1200,
        }
        if not left:
            failed["attempts"] = [
                _attempt(request["account"], "status 503", 503, 1190, request["reason"])
            ]
            self._exporter.refused(session.talk, failed["started_at"] + 1200, 503, 1200)
        # What is shown as one call took both.
        request["started_at"] += _AGAIN
        request["duration_ms"] -= _AGAIN
        request["first_event_ms"] = min(request["first_event_ms"], request["duration_ms"])
        self.sample.requests.append(failed)
        return not left

    # --- Claude Code ----------------------------------------------------------------------------

    def _claude(self, at: int) -> None:
        project = self._random.choices(list(_PROJECTS), _WEIGHTS)[0]
        bits = f"{self._random.getrandbits(128):032x}"
        key = f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-8{bits[17:20]}-{bits[20:32]}"
        head = {"cwd": f"/home/sam/src/{project}", "gitBranch": "main", "sessionId": key}
        title = self._random.choice(_PROJECTS[project])
        model = self._random.choice(_CLAUDE)
        lines: list[dict[str, Any]] = [
            {**head, "type": "user", "version": "2.1.0", "uuid": f"u-{bits[:12]}",
             "timestamp": stamp(at), "message": {"role": "user", "content": title}}
        ]  # fmt: skip
        self._exporter.claude_prompted(key, at, title)
        context = 18_000
        for number in range(self._random.randint(4, 22)):
            pause = self._random.randint(4_000, 40_000)
            at += pause
            fresh = self._random.randint(200, 3000)
            usage = {
                "input_tokens": self._random.randint(3, 40),
                "cache_creation_input_tokens": fresh,
                "cache_read_input_tokens": context,
                "output_tokens": self._random.randint(60, 1400),
            }
            context += fresh
            name = f"msg_{bits[:10]}{number:04d}"
            tool = self._claude_tool(f"toolu_{bits[:10]}{number:04d}")
            message = {"id": name, "role": "assistant", "model": model, "content": [tool]}
            base = {**head, "parentUuid": None, "isSidechain": False, "version": "2.1.0"}
            lines.append(
                {**base, "type": "assistant", "uuid": f"a-{name}", "requestId": f"req_{name}",
                 "timestamp": stamp(at),
                 "message": {**message, "stop_reason": "tool_use", "usage": usage}}
            )  # fmt: skip
            result = {"type": "tool_result", "tool_use_id": tool["id"], "content": "…"}
            if tool["name"] == "Bash" and self._random.random() < 0.12:
                result["is_error"] = True
            took = min(pause - 1000, 1200 + usage["output_tokens"] * 14)
            self._exporter.claude_called(key, at, model, usage, took)
            run = Tool(tool["name"], tool["id"], at, 900, "is_error" in result)
            self._exporter.claude_ran(key, run)
            lines.append(
                {**base, "type": "user", "uuid": f"r-{name}", "timestamp": stamp(at + 900),
                 "message": {"role": "user", "content": [result]}}
            )  # fmt: skip
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        folder = f"projects/-home-sam-src-{project}"
        self.sample.claude[f"{folder}/{key}.jsonl"] = data.encode()

    def _claude_tool(self, name: str) -> dict[str, Any]:
        tool, given = self._random.choice(_CLAUDE_TOOLS)
        return {"type": "tool_use", "id": name, "name": tool, "input": given}


def _attempt(account: str, outcome: str, status: int, took: int, reason: str) -> dict[str, Any]:
    return {
        "account": account,
        "outcome": outcome,
        "status": status,
        "ms": took,
        "reason": reason,
    }


# --- Allowance ------------------------------------------------------------------------------------

# Percent used of 5 h and week, and minutes until their resets.
_USED = {
    "studio": (29.0, 46.0, 131, 4 * 1440 + 170),
    "work": (83.0, 61.0, 74, 2 * 1440 + 420),
    "spare": (37.0, 93.0, 212, 1440 + 95),
    "home": (6.0, 22.0, 268, 6 * 1440 + 20),
}
PLANS = {"studio": "pro", "work": "plus", "spare": "plus", "home": "plus"}


def allowance(account: str, now: int) -> dict[str, Any]:
    """What the provider would say of an account's allowance (`/wham/usage`)."""
    five, week, soon, late = _USED[account]
    return {
        "plan_type": PLANS[account],
        "rate_limit": {
            "allowed": True,
            "limit_reached": False,
            "primary_window": _window(five, 18_000, now + soon * _MINUTE),
            "secondary_window": _window(week, 604_800, now + late * _MINUTE),
        },
    }


def _window(used: float, seconds: int, resets_at: int) -> dict[str, Any]:
    return {
        "used_percent": used,
        "limit_window_seconds": seconds,
        "reset_at": resets_at // 1000,
    }


def snapshots(account: str, now: int) -> list[tuple[str, float, int, int, int]]:
    """Four weeks of observations: window, percent used, minutes, reset, when; oldest first."""
    five, week, soon, late = _USED[account]
    found = []
    for key, used, minutes, rest in (
        ("primary", five, 300, soon),
        ("secondary", week, 10_080, late),
    ):
        length, reset = minutes * _MINUTE, now + rest * _MINUTE
        step = max(length // 20, 20 * _MINUTE)
        for at in range(now - 28 * _DAY, now, step):
            cycles = (reset - at - 1) // length
            ends = reset - cycles * length
            elapsed = 1 - (ends - at) / length
            # Other cycles ended higher or lower than this one will.
            peak = used / max(0.05, 1 - rest * _MINUTE / length)
            peak = min(98.0, peak * (0.55 + ((cycles * 37 + len(account)) % 50) / 100))
            level = used * elapsed / (1 - rest / minutes) if not cycles else peak * elapsed
            found.append((key, round(min(99.0, level), 1), minutes, ends, at))
    return sorted(found, key=lambda row: row[4])
