"""The evidence of any call in a very large log: `python -m benchmarks.evidence [--gb 2]`.

Writes a log of that size in today's format (turns of 3 to 40 calls, tool outputs up to 60 KB, a
line of some MB after each hundredth call, as compactions leave them), puts its calls into
a ledger and reads the evidence of some of them from all over the file, each once with the file's
pages thrown out of memory (Linux) and once more. Prints percentiles, the most memory that this
took beyond the program itself, and the same through the HTTP route's own work (JSON included).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from server.app import create_app
from server.config import Config
from server.store import db

THREAD = "01a1fbc5-af83-77a1-9bf9-f8b04c6193aa"
NAME = f"rollout-2026-11-21T01-43-19-{THREAD}"
Place = tuple[str, str, int, int]  # call, turn, offset, input


def written(path: Path, size: int) -> list[Place]:
    """Write the log; returns where its calls are."""
    rng = random.Random(7)
    words = " ".join(
        rng.choice(["def", "token", "path", "x = 1", "return", "key: v"]) for _ in range(20_000)
    )
    places: list[Place] = []
    place = 0
    with path.open("wb", buffering=1 << 22) as file:

        def line(kind: str, **payload: Any) -> None:
            nonlocal place
            data = json.dumps(
                {"timestamp": "2026-11-21T01:43:19.000Z", "type": kind, "payload": payload},
                separators=(",", ":"),
            )
            place += file.write(data.encode() + b"\n")

        line("session_meta", id=THREAD, cwd="/home/dev/shop")
        turn = 0
        while place < size:
            turn += 1
            line("event_msg", type="task_started", turn_id=f"t{turn}")
            line("turn_context", turn_id=f"t{turn}", model="gpt-5.5")
            line(
                "response_item",
                type="message",
                role="user",
                content=[{"type": "input_text", "text": words[:500]}],
            )
            for _ in range(rng.randrange(3, 41)):
                call = f"resp_{len(places)}"
                line(
                    "response_item",
                    type="reasoning",
                    summary=[],
                    encrypted_content=words[: rng.randrange(4000)],
                )
                line(
                    "response_item",
                    type="function_call",
                    name="exec_command",
                    arguments='{"cmd":"cat a.py"}',
                    call_id=call,
                )
                places.append((call, f"t{turn}", place, 1000 + len(places)))
                used = {"input_tokens": places[-1][3], "cached_input_tokens": 0, "output_tokens": 9}
                line(
                    "token_usage_record",
                    thread_id=THREAD,
                    turn_id=f"t{turn}",
                    response_id=call,
                    usage=used,
                )
                shown = words[rng.randrange(9000) :][: int(rng.expovariate(1 / 12_000)) % 60_000]
                line("response_item", type="function_call_output", call_id=call, output=shown)
                if len(places) % 100 == 0:
                    line(
                        "compacted",
                        message="",
                        replacement_history=[{"text": words * rng.randrange(10, 60)}],
                    )
            line("event_msg", type="task_complete", duration_ms=1)
    return places


def stored(path: Path, places: Sequence[Place]) -> None:
    """Put the calls into the ledger as the indexer would."""
    with db.writing() as connection:
        connection.execute(
            "insert into source_file (provider, name, path, inode, size, mtime_ns, offset, "
            "fingerprint, state, archived, missing, calls, input, cached, output, reasoning, "
            "skipped, warnings, indexed_at) "
            "values ('codex', ?, ?, 0, 0, 0, 0, '', '{}', 0, 0, 0, 0, 0, 0, 0, 0, '{}', 0)",
            (NAME, str(path)),
        )
        source = connection.execute("select max(id) from source_file").fetchone()[0]
        connection.executemany(
            "insert into call (id, provider, turn_id, initiator, started_at, input, cached, "
            "cache_written, output, reasoning, price_status, source, offset, seen) "
            "values (?, 'codex', ?, 'tool', 0, ?, 0, 0, 9, 0, 'unpriced', ?, ?, 1)",
            [(call, turn, given, source, offset) for call, turn, offset, given in places],
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def peak() -> float:
    """The most memory of this process so far, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.0)
    parser.add_argument("--calls", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        path = root / "codex/sessions/2026/11/21" / f"{NAME}.jsonl"
        path.parent.mkdir(parents=True)
        child = os.fork()  # what is written costs memory that must not count
        if child == 0:
            places = written(path, int(given.gb * (1 << 30)))
            (root / "places.json").write_text(
                json.dumps(random.Random(1).sample(places, given.calls))
            )
            os._exit(0)
        os.waitpid(child, 0)
        chosen = [tuple(one) for one in json.loads((root / "places.json").read_text())]
        config = Config(
            data_dir=root / "data", codex_home=root / "codex", claude_home=root / "c", port=80
        )
        app = create_app(config)
        stored(path, chosen)
        client = app.test_client()
        client.get("/api/calls/nobody/evidence")
        print(f"{path.stat().st_size / 1e9:.2f} GB, {len(chosen)} calls from all over it")
        for mode in ("quick", "full"):
            before = peak()
            times: dict[str, list[float]] = {"cold": [], "warm": []}
            work: list[float] = []  # of the processor, whatever else it has to do
            for call, *_ in chosen:
                for kind in times:
                    if kind == "cold":
                        _forget(path)
                    began, busy = time.perf_counter(), time.process_time()
                    answer = client.get(f"/api/calls/{call}/evidence?mode={mode}")
                    times[kind].append((time.perf_counter() - began) * 1000)
                    work.append((time.process_time() - busy) * 1000)
                    assert answer.get_json()["state"] == "ok", answer.text[:300]  # noqa: S101
            said = "; ".join(
                f"{kind} p50 {percentile(found, 0.5):.1f} ms, "
                f"p99 {percentile(found, 0.99):.1f} ms, max {max(found):.1f} ms"
                for kind, found in times.items()
            )
            said += f"; CPU p50 {percentile(work, 0.5):.1f} ms, max {max(work):.1f} ms"
            print(f"{mode}: {said}; memory +{peak() - before:.1f} MB")
        db.close_databases()


def _forget(path: Path) -> None:
    if hasattr(os, "posix_fadvise"):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


if __name__ == "__main__":
    main()
