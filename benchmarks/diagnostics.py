"""Diagnostics over large logs: `python -m benchmarks.diagnostics [--calls 30000]`.

Writes sessions of 200 calls in today's format, each with a command of the usual kinds, its output
of 4 KB and now and then a patch; reads them into a ledger; then times the pass that gathers
facts, the computing of every section, and each route as the page asks it (median of seven),
without a filter and with one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from flask.testing import FlaskClient

from server.app import create_app
from server.config import Config
from server.store import db
from server.usage import diagnostics
from tests.toollogs import HOME, START, ToolLog

COMMANDS = (
    "rg -n 'total' src/room_{0}", "sed -n 1,120p src/file_{0}.py", "pytest -q tests/test_{0}.py",
    "git status --short", "git diff --stat", "cat src/file_{0}.py src/other_{0}.py", "ls src",
    "npm run build", "ruff check . && mypy", "git add -A && git commit -m 'step {0}'",
)  # fmt: skip
_SESSION = 200
_FILLER = "x" * 4000


def written(home: Path, calls: int) -> int:
    """Write the logs; returns their bytes."""
    size = 0
    for number in range(calls // _SESSION):
        log = ToolLog(number + 1, at=START + number * 3_600_000)
        for step in range(_SESSION):
            log.run(COMMANDS[(step + number) % len(COMMANDS)].format(step % 40), tokens=step)
            log.item(type="reasoning", encrypted_content=_FILLER)
            if step % 10 == 9:
                changes = {f"{HOME}/src/file_{step % 40}.py": {"type": "update"}}
                log.done({"type": "FileChange", "id": f"p{step}", "changes": changes})
        size += log.save(home).stat().st_size
    return size


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=30_000)
    wanted = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        size = written(home / "codex", wanted)
        config = Config(
            port=80, data_dir=home / "data", codex_home=home / "codex", claude_home=home / "claude"
        )
        app = create_app(config)
        services = app.extensions["brimline"]
        services.indexer.scan()
        print(f"{size / 1e6:.0f} MB, {wanted:,} calls")
        used = time.process_time()
        took = _timed(lambda: services.facts.bring_up(gently=False))
        print(f"pass      {took:8.2f} s, {time.process_time() - used:.2f} s of CPU")
        print(f"no news   {_timed(lambda: services.facts.bring_up(gently=False)):8.3f} s")
        print(f"sections  {_timed(diagnostics.compute):8.2f} s")
        facts = db.rows("select count(*) from fact")[0][0]
        pages = db.rows("pragma page_count")[0][0] * db.rows("pragma page_size")[0][0]
        print(f"{facts:,} facts, database {pages / 1e6:.0f} MB")
        for name in (*diagnostics.SECTIONS, "facts", "summary"):
            _print_route(app.test_client(), name)
        db.close_databases()


def _print_route(client: FlaskClient, name: str) -> None:
    path = f"/api/diagnostics/{name}?include_archived=1"
    plain = [_timed(lambda: client.get(path)) for _ in range(7)]
    days = [f"{path}&from=2026-11-{day:02d}" for day in range(1, 8)]  # no answer twice
    filtered = [_timed(lambda one=one: client.get(one)) for one in days]  # type: ignore[misc]
    print(f"{name:20} {_ms(plain)} ms, filtered {_ms(filtered)} ms")


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ms(seconds: list[float]) -> str:
    return f"{1000 * statistics.median(seconds):7.1f}"


if __name__ == "__main__":
    main()
