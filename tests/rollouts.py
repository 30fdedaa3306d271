"""A seedable generator of trees of Codex rollouts, with the truth about every call in them.

    tree = Tree(folder, seed=7)
    tree.grow(sessions=20)
    tree.truth            # {call's name: (input, cached, output, reasoning)}

Shapes: the format of 0.169 (records, forks without copies, sub-agents, compaction) and the
older one (counters, re-emitted and reset; forks and sub-agents that begin with a copy of their
parent's history), archived duplicates, torn tails, and text that only looks like a call.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Tokens = tuple[int, int, int, int]  # input, cached, output, reasoning
_FIELDS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
_MODELS = ("gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-6.1-codex")
_EFFORTS = ("low", "medium", "high", "xhigh")
_START = 1_780_000_000_000


def usage(tokens: Tokens, *, written: bool = False) -> dict[str, int]:
    """A usage object as Codex writes it."""
    names = dict(zip(_FIELDS, tokens, strict=True))
    if written:
        names = {
            "input_tokens": tokens[0],
            "cached_input_tokens": tokens[1],
            "cache_write_input_tokens": 0,
            "output_tokens": tokens[2],
            "reasoning_output_tokens": tokens[3],
        }
    return {**names, "total_tokens": tokens[0] + tokens[2]}


def stamp(at: int) -> str:
    """A time as Codex writes it."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03d}Z"


@dataclass
class Rollout:
    """One file in the making."""

    key: str
    modern: bool
    at: int
    name: str
    began: int = 0
    lines: list[bytes] = field(default_factory=list)
    total: Tokens = (0, 0, 0, 0)
    ordinal: int = 0
    # Legacy: what a copy of this history would hold, as (total, last).
    emitted: list[tuple[Tokens, Tokens]] = field(default_factory=list)

    def add(self, kind: str, payload: dict[str, Any], at: int | None = None) -> None:
        """Write a line."""
        line: dict[str, Any] = {"timestamp": stamp(self.at if at is None else at)}
        if self.modern:
            line["ordinal"] = self.ordinal
            self.ordinal += 1
        line |= {"type": kind, "payload": payload}
        self.lines.append(json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def event(self, kind: str, at: int | None = None, **payload: Any) -> None:
        """Write an event."""
        self.add("event_msg", {"type": kind, **payload}, at)

    def item(self, kind: str, **payload: Any) -> None:
        """Write a response item."""
        self.add("response_item", {"type": kind, **payload})


class Tree:
    """A folder of rollouts under `home`, and what they truly hold."""

    def __init__(self, home: Path, seed: int, *, body: int = 300, turns: int = 4) -> None:
        """`body`: bytes of tool output and reasoning a call; `turns`: at most so many."""
        self.home = home
        self.random = random.Random(seed)
        self.body = body
        self.turns = turns
        self.truth: dict[str, Tokens] = {}
        self.rollouts: list[Rollout] = []
        self.paths: list[Path] = []
        self.bytes = 0
        self._at = _START
        self._text = "".join(self.random.choice("abc defg ") for _ in range(40_000))

    @property
    def sums(self) -> tuple[int, int, int, int, int]:
        """Calls, input, cached, output and reasoning in all."""
        parts = list(self.truth.values())
        return (
            len(parts),
            sum(part[0] for part in parts),
            sum(part[1] for part in parts),
            sum(part[2] for part in parts),
            sum(part[3] for part in parts),
        )

    def grow(self, sessions: int) -> None:
        """Add sessions of all kinds."""
        kinds = (
            (self.modern, 5), (self.legacy, 4), (self.modern_fork, 1), (self.modern_child, 1),
            (self.legacy_fork, 2), (self.legacy_child, 1), (self.lost_parent, 1),
        )  # fmt: skip
        choices = [make for make, weight in kinds for _ in range(weight)]
        for _ in range(sessions):
            self.save(self.random.choice(choices)())

    def grow_to(self, size: int) -> None:
        """Add sessions until the tree has about `size` bytes."""
        while self.bytes < size:
            self.grow(1)

    # ── kinds of sessions ─────────────────────────────────────────────────────────────

    def modern(self) -> Rollout:
        """A session of 0.169."""
        rollout = self._begin(modern=True)
        self._meta(rollout)
        self._turns(rollout)
        return rollout

    def legacy(self) -> Rollout:
        """A session of an older client."""
        rollout = self._begin(modern=False)
        self._meta(rollout)
        self._turns(rollout)
        return rollout

    def modern_fork(self) -> Rollout:
        """A fork without a copy whose counters go on; some hold foreign records all the same."""
        parent = self._parent(modern=True)
        rollout = self._begin(modern=True)
        rollout.total = parent.total
        self._meta(rollout, forked_from_id=parent.key, history_mode="paginated")
        if self.random.random() < 0.5:
            self._record(rollout, (900, 100, 20, 5), thread=parent.key, real=False)
        self._turns(rollout)
        return rollout

    def modern_child(self) -> Rollout:
        """A sub-agent."""
        parent = self._parent(modern=True)
        rollout = self._begin(modern=True)
        self._meta(rollout, **_spawned(parent.key))
        self._turns(rollout)
        return rollout

    def legacy_fork(self) -> Rollout:
        """A fork that begins with a copy of its parent's history, old or new times."""
        return self._copy(self._parent(modern=False), old=self.random.random() < 0.5)

    def legacy_child(self) -> Rollout:
        """A sub-agent that begins with its parent's history, stamped anew."""
        parent = self._parent(modern=False)
        return self._copy(parent, old=False, **_spawned(parent.key))

    def lost_parent(self) -> Rollout:
        """A fork whose parent's file is gone."""
        parent = self._begin(modern=False)
        self._meta(parent)
        before = dict(self.truth)
        self._turns(parent)
        self.truth = before  # nobody can count what is in no file but as a copy
        return self._copy(parent, old=self.random.random() < 0.5)

    def turn(self, rollout: Rollout) -> None:
        """Go on with a session; what it adds is at the end of its lines."""
        self._turn(rollout, f"turn-{len(rollout.lines)}", "gpt-5.5")

    # ── parts ─────────────────────────────────────────────────────────────────────────

    def _begin(self, *, modern: bool) -> Rollout:
        self._at += self.random.randrange(60_000, 7_200_000)
        bits = f"{self._at:012x}{self.random.getrandbits(80):020x}"
        key = f"{bits[:8]}-{bits[8:12]}-7{bits[13:16]}-8{bits[17:20]}-{bits[20:32]}"
        name = f"rollout-{stamp(self._at)[:19].replace(':', '-')}-{key}"
        return Rollout(key, modern, self._at, name, self._at)

    def _parent(self, *, modern: bool) -> Rollout:
        fits = [one for one in self.rollouts if one.modern is modern and one.total != (0,) * 4]
        if not fits:
            fits = [self.modern() if modern else self.legacy()]
            self.save(fits[0])
        return self.random.choice(fits)

    def _meta(self, rollout: Rollout, **more: Any) -> None:
        payload = {
            "id": rollout.key,
            "timestamp": stamp(rollout.at - 6),
            "cwd": f"/home/dev/project-{self.random.randrange(6)}",
            "originator": "codex_cli_rs",
            "cli_version": "0.169.0" if rollout.modern else "0.61.0",
            "source": "cli",
            "base_instructions": {"text": 'You are "Codex".\n' + self._text[: self.body * 4]},
            **more,
        }
        rollout.add("session_meta", payload)

    def _copy(self, parent: Rollout, *, old: bool, **more: Any) -> Rollout:
        rollout = self._begin(modern=False)
        if not more:
            more = {"forked_from_id": parent.key}
        self._meta(rollout, **more)
        # The copy ends where the fork was made; it holds at least one call of the parent's.
        cut = self.random.randrange(1, len(parent.emitted) + 1)
        times = iter(range(900))
        rollout.add("session_meta", {"id": parent.key, "timestamp": stamp(parent.at), "cwd": "/x"})
        for place, (total, last) in enumerate(parent.emitted[:cut]):
            at = parent.began + place if old else rollout.at + next(times)
            rollout.event("user_message", at, message="copied")
            self._count(rollout, total, last, at=at)
            rollout.emitted.append((total, last))
            rollout.total = total
        rollout.at += 5_000
        self._turns(rollout)
        return rollout

    def _turns(self, rollout: Rollout) -> None:
        model = self.random.choice(_MODELS)
        for turn in range(self.random.randrange(1, self.turns + 1)):
            rollout.at += self.random.randrange(1_500, 90_000)
            self._turn(rollout, f"turn-{turn}-{rollout.key[:8]}", model)

    def _turn(self, rollout: Rollout, turn: str, model: str) -> None:
        rollout.event("task_started", turn_id=turn, model_context_window=258400)
        context = {"cwd": "/home/dev/x", "model": model, "effort": self.random.choice(_EFFORTS)}
        rollout.add("turn_context", {"turn_id": turn, **context} if rollout.modern else context)
        if rollout.modern:
            content = [{"type": "text", "text": f"please do {turn}"}]
            item = {"type": "UserMessage", "id": turn, "content": content}
            rollout.event("item_completed", thread_id=rollout.key, turn_id=turn, item=item)
        else:
            rollout.event("user_message", message=f"please do {turn}")
            if rollout.total != (0,) * 4 and self.random.random() < 0.5:
                self._count(rollout, rollout.total, (0, 0, 0, 0))  # re-emitted
        for _ in range(self.random.randrange(1, 9)):
            self._call(rollout, turn)
        if self.random.random() < 0.15:
            self._compaction(rollout, turn)
        rollout.event("task_complete", turn_id=turn, duration_ms=1000)

    def _call(self, rollout: Rollout, turn: str) -> None:
        rollout.at += self.random.randrange(1_200, 30_000)
        own = self._tokens()
        rollout.item("reasoning", encrypted_content=self._some(0.5))
        if rollout.modern:
            rollout.item("function_call", name="exec_command", arguments='{"cmd":"ls"}')
            self._record(rollout, own, turn=turn)
            self._tool(rollout)
            self._count(rollout, rollout.total, own)
        else:
            rollout.item("function_call", name="shell", arguments='{"command":["ls"]}')
            if self.random.random() < 0.04:
                rollout.total = (0, 0, 0, 0)  # the counter starts again
            rollout.total = _plus(rollout.total, own)
            self._count(rollout, rollout.total, own)
            self.truth[f"{rollout.key}#{len(rollout.emitted)}"] = own
            rollout.emitted.append((rollout.total, own))
            self._tool(rollout)
        self._noise(rollout, own)

    def _record(
        self,
        rollout: Rollout,
        own: Tokens,
        *,
        turn: str = "turn-x",
        thread: str | None = None,
        real: bool = True,
    ) -> None:
        response = f"resp_{self.random.getrandbits(128):032x}"
        if real:
            rollout.total = _plus(rollout.total, own)
            self.truth[response] = own
        rollout.add(
            "token_usage_record",
            {
                "thread_id": thread or rollout.key,
                "turn_id": turn,
                "session_id": rollout.key,
                "root_turn_id": turn,
                "response_id": response,
                "usage": usage(own, written=True),
                "turn_token_usage": usage(own, written=True),
                "thread_token_usage": usage(rollout.total, written=True),
            },
        )

    def _count(
        self, rollout: Rollout, total: Tokens, last: Tokens, *, at: int | None = None
    ) -> None:
        percent = float(len(rollout.lines) // 300)
        limits = {
            "limit_id": "codex",
            "primary": {"used_percent": percent, "window_minutes": 300, "resets_at": 1_790_000_000},
            "secondary": {"used_percent": 6.0, "window_minutes": 10080, "resets_at": None},
        }
        rollout.event(
            "token_count",
            at,
            info={
                "total_token_usage": usage(total, written=rollout.modern),
                "last_token_usage": usage(last, written=rollout.modern),
                "model_context_window": 258400,
            },
            rate_limits=limits,
        )

    def _compaction(self, rollout: Rollout, turn: str) -> None:
        if rollout.modern:
            self._record(rollout, self._tokens(), turn=turn)
        rollout.add("compacted", {"message": "", "replacement_history": [{"text": self._some(1)}]})
        rollout.add("turn_context", {"turn_id": turn, "model": "gpt-5.5", "effort": "high"})
        # An estimate of the new context: the total stands still.
        self._count(rollout, rollout.total, (777, 0, 0, 0))

    def _tool(self, rollout: Rollout) -> None:
        text = self._some(2)
        if self.random.random() < 0.05:  # a log inside a log
            text += rollout.lines[-1].decode()
        rollout.item("function_call_output", call_id="call_1", output=text)

    def _noise(self, rollout: Rollout, own: Tokens) -> None:
        chance = self.random.random()
        if chance < 0.1:
            self._count(rollout, rollout.total, own)  # re-emitted
        elif chance < 0.14:
            rollout.event("token_count", info=None, rate_limits=None)
        elif chance < 0.17:  # a result that holds such an object as a value
            inner = {"type": "token_count", "info": {"last_token_usage": usage(own)}}
            rollout.item("mcp_result", result={"type": "event_msg", "payload": inner})

    def _tokens(self) -> Tokens:
        first = self.random.randrange(1_000, 200_000)
        output = self.random.randrange(1, 4_000)
        return (first, self.random.randrange(first), output, self.random.randrange(output))

    def _some(self, share: float) -> str:
        size = int(self.random.expovariate(1 / (self.body * share + 1)))
        begin = self.random.randrange(20_000)
        text = self._text[begin : begin + size % 20_000]
        return text * (1 + size // 20_000)

    # ── files ─────────────────────────────────────────────────────────────────────────

    def save(self, rollout: Rollout) -> Path:
        """Write the file where Codex would; some lie archived, some in both places."""
        chance = self.random.random()
        day = stamp(rollout.at)[:10].replace("-", "/")
        folder = self.home / "sessions" / day
        if chance < 0.15:
            folder = self.home / "archived_sessions"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{rollout.name}.jsonl"
        data = b"".join(rollout.lines)
        if self.random.random() < 0.1:
            data += rollout.lines[-1][: len(rollout.lines[-1]) // 2]  # torn: not whole yet
        path.write_bytes(data)
        if 0.15 <= chance < 0.2:
            twin = self.home / "archived_sessions" / path.name
            twin.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, twin)
        self.bytes += len(data)
        self.rollouts.append(rollout)
        self.paths.append(path)
        return path


def _plus(one: Tokens, other: Tokens) -> Tokens:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])


def _spawned(parent: str) -> dict[str, Any]:
    spawn = {"parent_thread_id": parent, "depth": 1, "agent_role": "explorer"}
    return {"source": {"subagent": {"thread_spawn": spawn}}}
