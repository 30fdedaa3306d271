"""How long the server takes for each list and chart over a large ledger.

    python -m benchmarks.lists [--calls 1000000] [--archived]

With `--archived` a fifth of the threads lies in the archive, and every list leaves them out.

Rows are made up in SQL; what is timed is the whole route, from the request to its JSON, in the
server's process: the median of the runs as if something were new each time, then the median of
repetitions, which remembered answers serve. Beside the wall time stand the milliseconds of CPU,
which other work on the machine changes less, and the least of them, which it changes least.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from server.app import create_app
from server.config import Config
from server.dashboard import filters
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.usage import calls, roots

DAY = 86_400_000
PATHS = (
    "/api/calls",
    "/api/calls?model=gpt-5.3",
    "/api/calls?model=gpt-5.9",
    "/api/calls?session=s500",
    "/api/calls?project=project-3",
    "/api/calls?provider=codex&from={month}",
    "/api/calls?sort=tokens",
    "/api/calls?sort=cost",
    "/api/calls?sort=thread",
    "/api/calls?sort=model",
    "/api/calls?sort=effort",
    "/api/calls?sort=project",
    "/api/calls?sort=initiator",
    "/api/calls?sort=provider",
    "/api/calls?sort=gap",
    "/api/calls?sort=cumulative",
    "/api/calls?sort=account",
    "/api/calls?sort=seen&from={month}",
    "/api/calls?sort=cost&direction=asc",
    "/api/calls?history=active",
    "/api/calls?q=s50",
    "/api/calls?q=s12",
    "/api/calls?q=thread",
    "/api/calls?q=r5",
    "/api/calls?q=s1",
    "/api/calls/options",
    "/api/calls/r500000",
    "/api/threads",
    "/api/threads?sort=cost",
    "/api/threads?sort=thread",
    "/api/threads?sort=model",
    "/api/threads?sort=attention",
    "/api/threads?from={week}",
    "/api/threads?from={month}",
    "/api/threads?from={month}&sort=thread",
    "/api/threads?project=project-3",
    "/api/threads?model=gpt-5.3",
    "/api/threads?q=s50",
    "/api/threads?q=s1",
    "/api/threads?q=thread&sort=thread",
    "/api/threads/t78",
    "/api/insights",
    "/api/insights?from={month}",
    "/api/trends",
    "/api/trends?by=model",
    "/api/trends?q=s50",
    "/api/trends/summary?q=s12",
    "/api/trends/heat?q=s12",
    "/api/trends?by=project&from={year}",
    "/api/trends/summary",
    "/api/trends/heat",
    "/api/trends/heat?from={year}",
    "/api/summary?by=model",
    "/api/summary",
    "/api/summary?by=thread",
    "/api/pricing/coverage",
    "/api/dashboard/overview",
    "/api/tray",
)


def fill(calls: int, now: int) -> None:
    """A year of calls: 40 a session, in bursts, five models, twelve projects, two of them of one
    name; a thread's three sessions begin on one day, as sub-agents do.
    """
    sessions = max(1, calls // 40)
    folders = [f"/home/me/{'old' if n == 11 else 'src'}/project-{min(n, 10)}" for n in range(12)]
    with db.writing("calls") as connection:
        connection.executemany(
            "insert into project(id, key, root) values (?, ?, ?)",
            [(n + 1, roots.key(folder), folder) for n, folder in enumerate(folders)],
        )
        connection.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) "
            "insert into session(id, key, provider, thread, forked, inherited, guessed, kind, "
            "project, started_at) select i, 's' || i, 'codex', 't' || (i - i % 3), 0, 0, 0, "
            "case i % 3 when 0 then 'user' else 'subagent' end, "
            "(select key from project where id = 1 + i % 12), "
            "? - abs((i - i % 3) * 7919 % 365) * ? - (i % 600) * 60000 from n",
            (sessions, now, DAY),
        )
        connection.execute(
            "insert into thread(id, title, project, provider) select distinct thread, "
            "'thread ' || thread, min(project), 'codex' from session group by thread"
        )
        connection.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) "
            "insert into call(id, provider, session, model, effort, initiator, started_at, "
            "duration_ms, input, cached, cache_written, output, reasoning, running, "
            "context_window, cost, credits, price_status, seen) "
            "select 'r' || i, 'codex', s.id, 'gpt-5.' || (s.id % 5), 'high', 'agent', "
            "s.started_at + (i / ?) * 45000, 4000, 20000 + i % 90000, 15000 + i % 9000, 0, "
            "100 + i % 900, i % 90, i, 272000, 9000 + i % 5000, 200, 'exact', 1 "
            "from n join session s on s.id = 1 + i % ?",
            (calls, sessions, sessions),
        )
        Ledger().rebuild(connection)


def put_aside() -> None:
    """Give each session a log; those of every fifth thread lie in the archive."""
    with db.writing("calls") as connection:
        connection.execute(
            "insert into source_file(id, provider, name, path, inode, size, mtime_ns, offset, "
            "fingerprint, state, archived, missing, calls, input, cached, output, reasoning, "
            "skipped, warnings, indexed_at) select id, 'codex', key, '/logs/' || key, id, 1, 1, 1, "
            "'', '{}', id / 3 % 5 = 0, 0, 0, 0, 0, 0, 0, 0, '{}', 1 from session"
        )
        connection.execute("update session set source = id")


def main() -> None:
    """Fill a ledger, ask for everything, print milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--archived", action="store_true")
    parser.add_argument("--only", default="", help="paths that hold this")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = Config(
            port=80, data_dir=root / "data", codex_home=root / "c", claude_home=root / "k"
        )
        app = create_app(config)
        settings.change({"timeZone": "UTC"})
        now = db.now_ms()
        fill(asked.calls, now)
        if asked.archived:
            put_aside()
        began = time.perf_counter()
        calls.keep()
        seconds = time.perf_counter() - began
        rows = db.rows("select count(*) from slice")[0][0]
        print(f"{asked.calls:,} calls; {rows:,} slices in {seconds:.1f} s, once")
        spans = {
            name: time.strftime("%Y-%m-%d", time.gmtime(now / 1000 - days * 86400))
            for name, days in (("week", 6), ("month", 29), ("year", 364))
        }
        with app.test_client() as client:
            for path in PATHS:
                if asked.only in path:
                    measure(client, active(path.format(**spans), asked.archived), asked.runs)
        db.close_databases()


def active(path: str, archived: bool) -> str:
    """A path as the pages ask it where there are archived sessions."""
    if not archived or "history=" in path:
        return path
    return f"{path}{'&' if '?' in path else '?'}history=active"


def measure(client: object, path: str, runs: int) -> None:
    """Print how long one path takes."""
    fresh: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    for _ in range(runs + 1):
        filters.forget()
        for took in (fresh, again):
            wall, used = time.perf_counter(), time.thread_time()
            answer = client.get(path)  # type: ignore[attr-defined]
            took.append((time.perf_counter() - wall, time.thread_time() - used))
            assert answer.status_code == 200, (path, answer.text)
    shown = "  ".join(
        f"{name} {statistics.median(each[place] for each in took[1:]) * 1000:6.1f}"
        for took, called in ((fresh, "new"), (again, "again"))
        for place, name in enumerate((f"{called} ms", "CPU"))
    )
    best = min(used for _, used in fresh[1:]) * 1000
    print(f"best {best:6.1f}  {shown}  {len(answer.get_data()):8,} B  {path}")


if __name__ == "__main__":
    main()
