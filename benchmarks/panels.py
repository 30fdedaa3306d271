"""The panels over a month of telemetry: `python -m benchmarks.panels [--events 1000000]`.

Fills a database of its own with invented conversations, as Codex tells of them (twelve events a
model call, tools with results, a few failures), together with the calls that their logs would have
left, and asks for every panel, for each page's panels and for the quality of the data. Prints how
long storing took, what the rollups weigh, and the middle and slowest of some answers.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from server.ingest import witness
from server.ingest.otlp import Batch, Event, Usage
from server.store import db, migrations, settings
from server.usage import received, slices, telemetry
from server.usage.days import Days
from server.usage.steps import Span

DAY = 86_400_000
MODELS = ("gpt-5.5", "gpt-5.5-codex", "gpt-5.4-mini")
TOOLS = ("exec_command", "exec_command", "exec_command", "apply_patch", "update_plan", "view_image")
TERMINALS = ("vscode/1.98.2", "iTerm.app/3.5.1", "WezTerm/20260101", "xterm-256color")
USERS = ("ada@example.com", "grace@example.com", None)


class Month:
    """Invented conversations between two moments, the same for the same seed."""

    def __init__(self, since: int, until: int, count: int, seed: int = 7) -> None:
        self.since, self.until, self.count = since, until, count
        self._random = random.Random(seed)  # noqa: S311
        self._number = 0
        self.calls: list[tuple[Any, ...]] = []

    def conversations(self) -> Iterator[list[Event]]:
        """The events of one conversation after another, the earliest first."""
        made = number = 0
        while made < self.count:
            start = self.since + (self.until - self.since) * made // self.count
            events = list(self._talk(f"0199{number:08x}-bench", start))
            made += len(events)
            number += 1
            yield events

    def _talk(self, session: str, at: int) -> Iterator[Event]:
        draw = self._random
        self._common = {
            "session_id": session, "service": "codex_cli_rs", "version": "0.169.0",
            "model": draw.choice(MODELS), "user": draw.choice(USERS),
            "terminal": draw.choice(TERMINALS),
        }  # fmt: skip
        yield self._event("codex.user_prompt", at, attributes={"prompt_length": 40})
        for turn in range(draw.randint(10, 40)):
            if at > self.until:
                return
            at += draw.randint(3000, 60_000)
            yield from self._call(session, turn, at)

    def _call(self, session: str, turn: int, at: int) -> Iterator[Event]:
        draw = self._random
        failed = draw.random() < 0.01
        took = int(draw.lognormvariate(7.5, 0.8))
        yield self._event(
            "codex.api_request", at, kind="POST /responses", status=500 if failed else 200,
            duration_ms=took, attributes={"attempt": 0},
        )  # fmt: skip
        if failed:
            return
        for step, kind in enumerate(("created", "in_progress", "output_item.added") * 2):
            gap = draw.randint(0, 40)
            yield self._event(
                "codex.sse_event", at + step, kind=f"response.{kind}", duration_ms=gap
            )
        taken = 8000 + turn * 1500
        cached, output = int(taken * draw.random()), draw.randint(50, 2000)
        usage = Usage(taken, cached, 0, output, output // 3, 400)
        yield self._event("codex.sse_event", at + 20, kind="response.completed", usage=usage)
        model = self._common["model"]
        self.calls.append((session, at + 25, model, taken, cached, output, output // 3))
        if draw.random() < 0.9:
            yield from self._tool(f"call_{turn}", at + 100)

    def _tool(self, name: str, at: int) -> Iterator[Event]:
        draw = self._random
        tool = draw.choice(TOOLS)
        asked = draw.random() < 0.2
        yield self._event(
            "codex.tool_decision", at, kind="User" if asked else "Config", tool=tool, call_id=name,
            decision="denied" if asked and draw.random() < 0.2 else "approved",
        )  # fmt: skip
        took = int(draw.lognormvariate(6, 1.5))
        yield self._event(
            "codex.tool_result", at + took, tool=tool, call_id=name, duration_ms=took,
            success=draw.random() < 0.93,
        )  # fmt: skip

    def _event(self, name: str, at: int, **more: Any) -> Event:
        self._number += 1
        empty: dict[str, Any] = {
            "kind": None, "tool": None, "call_id": None, "decision": None, "success": None,
            "status": None, "duration_ms": None,
        }  # fmt: skip
        key = self._number.to_bytes(16, "big")
        fields: dict[str, Any] = {**self._common, **empty, **more}
        return Event(key=key, name=name, provider="codex", at=at, **fields)


def fill(month: Month, together: int = 5000) -> int:
    """Store the telemetry and the calls of a month; returns how many events there were."""
    waiting: list[Event] = []
    stored = 0
    for events in month.conversations():
        waiting += events
        if len(waiting) >= together:
            stored += _store(waiting)
            waiting = []
    stored += _store(waiting)
    log(month.calls)
    return stored


def _store(events: list[Event]) -> int:
    now = db.now_ms()
    batches = [Batch("logs", len(events), tuple(events))]
    with db.writing("telemetry") as connection:
        return witness.store(connection, batches, witness.Tally(), now)


def log(calls: list[tuple[Any, ...]]) -> None:
    """Put calls into the ledger, as the reader of their logs would."""
    sessions = sorted({call[0] for call in calls})
    with db.writing("calls") as connection:
        connection.executemany(
            "insert into session(key, provider, thread, forked, inherited, guessed, kind, source, "
            "client) values (?, 'codex', ?, 0, 0, 0, 'user', 1, 'codex_cli_rs')",
            [(name, name) for name in sessions],
        )
        known = dict(connection.execute("select key, id from session"))
        connection.executemany(
            "insert into thread(id, title, provider) values (?, ?, 'codex')",
            [(name, f"Thread {number}") for number, name in enumerate(sessions)],
        )
        connection.executemany(
            "insert into call(id, provider, session, model, initiator, started_at, input, cached, "
            "cache_written, output, reasoning, price_status, seen) "
            "values (?, 'codex', ?, ?, 'user', ?, ?, ?, 0, ?, ?, 'unpriced', 1)",
            [
                (f"resp_{number}", known[session], model, at, *counts)
                for number, (session, at, model, *counts) in enumerate(calls)
            ],
        )


def timed(label: str, ask: Callable[[], Any], times: int = 9) -> None:
    """Ask some times and print the middle and the slowest."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
    print(f"{label}: {statistics.median(took):.1f} ms, slowest {max(took):.1f} ms")


def scattered(count: int, span: Span, sessions: int = 20_000) -> list[tuple[Any, ...]]:
    """Calls all over a span, hardly two of a session in one quarter of an hour."""
    draw = random.Random(3)  # noqa: S311
    return [
        (
            f"0199{draw.randrange(sessions):08x}-bench", draw.randrange(span.since, span.until),
            draw.choice(MODELS), 8000, 4000, 300, 100,
        )
        for _ in range(count)
    ]  # fmt: skip


def main() -> None:
    """Fill, ask, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--days", type=int, default=30)
    options.add_argument("--scattered", type=int, help="so many calls all over the days instead")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        db.open_databases(Path(name))
        migrations.migrate()
        settings.load()
        now = db.now_ms()
        span = Span(now - given.days * DAY, now)
        began = time.perf_counter()
        if given.scattered:
            log(scattered(given.scattered, span))
        else:
            stored = fill(Month(*span[:2], given.events))
            print(f"{stored} events stored in {time.perf_counter() - began:.1f} s")
        began = time.perf_counter()
        matched = witness.reconcile()
        print(f"{matched} calls matched in {time.perf_counter() - began:.1f} s")
        slices.refresh()
        measure(span, now)
        db.close_databases()


def measure(span: Span, now: int) -> None:
    """Every panel by itself, each page's together, and what stands beside them."""
    days = Days("Europe/Berlin")
    for panel in telemetry.IDS:
        for said in (False, True):
            name = f"{panel}, {'literal too' if said else 'corrected'}"
            ask = partial(telemetry.panels, span, days, now, wanted=(panel,), said=said)
            timed(name, ask)
    timed("all seventeen, literal too", lambda: telemetry.panels(span, days, now))
    timed("quality", lambda: received.quality(span, now))


if __name__ == "__main__":
    main()
