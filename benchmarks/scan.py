"""How long a cold and a warm scan take, as ratios to `cat` of the same files in the same run.

    .venv/bin/python benchmarks/scan.py [--mb 100] [--claude 20] [--runs 7] [--files 5000]

Generates a tree once (in the temporary folder), of which so many percent are logs of Claude Code
(0: Codex' alone, 100: none of Codex'), reads it so that the page cache is warm, then
runs cat, a cold scan (new database, everything stored) and a warm one in turn, and compares
what was counted with the truth. Then: what a look at many unchanged files costs inside the app,
and how soon an appended call is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from server.config import Config  # noqa: E402 - the root must be on the path
from server.ingest.indexer import Indexer  # noqa: E402
from server.ingest.ledger import Ledger  # noqa: E402
from server.store import db, migrations, settings  # noqa: E402
from tests.claudetree import ClaudeTree  # noqa: E402
from tests.rollouts import Rollout, Tree  # noqa: E402

# As users start it; `python -m` alone takes a few milliseconds longer.
_SCRIPT = Path(sys.executable).with_name("brimline")
SCAN = [*([str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "desktop"]),
        "scan", "--json"]  # fmt: skip
PEAK = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}))
"""


def main() -> None:
    """Print the medians, the best, and their ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mb", type=int, default=100)
    options.add_argument("--claude", type=int, default=20, help="percent")
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--files", type=int, default=5000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="brimline-scan-") as folder:
        measure(Path(folder), given.mb, given.claude, given.runs)
    with tempfile.TemporaryDirectory(prefix="brimline-scan-") as folder:
        follow(Path(folder), given.files)


class Mixed:
    """Logs of both programs below a folder, and the truth about them."""

    def __init__(self, root: Path, megabytes: int, claude: int) -> None:
        """`claude`: so many percent are logs of Claude Code."""
        self.codex_home, self.claude_home = root / ".codex", root / ".claude"
        size = megabytes << 20
        self.codex = Tree(self.codex_home, seed=1, body=6000, turns=16)
        self.codex.grow_to(size * (100 - claude) // 100)
        self.claude = ClaudeTree(self.claude_home, seed=1, body=6000, answers=60)
        self.claude.grow_to(size * claude // 100)
        self.files = [str(path) for path in sorted(root.rglob("*.jsonl"))]
        self.size = sum(Path(path).stat().st_size for path in self.files)

    @property
    def told(self) -> str:
        """What there is."""
        calls = f"{len(self.codex.truth)} + {len(self.claude.truth)} calls"
        return f"{self.size / 1e6:.0f} MB, {len(self.files)} files, {calls}; load {load()}"

    @property
    def homes(self) -> dict[str, str]:
        """The variables that say where they are."""
        return {
            "BRIMLINE_CODEX_HOME": str(self.codex_home),
            "BRIMLINE_CLAUDE_HOME": str(self.claude_home),
        }


def measure(folder: Path, megabytes: int, claude: int, runs: int) -> None:
    """One tree, `runs` interleaved rounds."""
    data = folder / "data"
    tree = Mixed(folder / "home", megabytes, claude)
    print(tree.told)
    taken: dict[str, list[float]] = {}

    def note(name: str, wall: float, cpu: float) -> None:
        taken.setdefault(name, []).append(wall)
        taken.setdefault(name + ", CPU", []).append(cpu)

    for _ in range(runs + 1):
        note("cat", *cat(tree.files))
        shutil.rmtree(data, ignore_errors=True)
        for kind in ("cold", "warm"):
            wall, cpu, answer = scan(tree, data)
            note(f"{kind} process", wall, cpu)
            taken.setdefault(f"{kind}, as it says", []).append(answer["seconds"])
            check(answer, tree)
    for name, times in taken.items():
        base = taken["cat, CPU" if name.endswith("CPU") else "cat"][1:]
        middle, best = statistics.median(times[1:]), min(times[1:])
        print(
            f"{name:20}{middle * 1000:9.1f} ms  {middle / statistics.median(base):6.2f} × cat"
            f"   best {best * 1000:9.1f} ms  {best / min(base):6.2f} ×"
        )
    shutil.rmtree(data)
    print(f"largest process {peak(tree, data):.0f} MB; load {load()}")


def follow(folder: Path, files: int) -> None:
    """Inside the app: a look at files of which none changed, and a call that is appended."""
    config = Config(data_dir=folder / "data", codex_home=folder, claude_home=folder / "none")
    tree = Tree(folder, seed=3, body=30, turns=1)
    tree.grow(files)
    db.open_databases(config.data_dir)
    migrations.migrate()
    settings.load()
    indexer = Indexer(config, Ledger())
    indexer.scan()
    sweeps = []
    for _ in range(15):
        began = time.perf_counter()
        indexer.scan()
        sweeps.append(time.perf_counter() - began)
    middle, best = statistics.median(sweeps) * 1000, min(sweeps) * 1000
    print(f"nothing new among {len(tree.paths)} files: {middle:.1f} ms (best {best:.1f})")
    rollout = tree.modern()
    path = tree.save(rollout)
    while "archived_sessions" in path.parts:  # only sweeps look there
        rollout = tree.modern()
        path = tree.save(rollout)
    indexer.scan()
    indexer.start()
    waits = [appended(tree, rollout, path) for _ in range(5)]
    indexer.stop()
    db.close_databases()
    print(f"an appended call is counted after {max(waits):.2f} s at most")


def appended(tree: Tree, rollout: Rollout, path: Path) -> float:
    """Seconds until a turn that Codex adds to a session is in the ledger."""
    before, lines = db.rows("select count(*) from call")[0][0], len(rollout.lines)
    tree.turn(rollout)
    with path.open("ab") as file:
        file.write(b"".join(rollout.lines[lines:]))
    began = time.perf_counter()
    while db.rows("select count(*) from call")[0][0] == before:
        time.sleep(0.01)
    return time.perf_counter() - began


def load() -> str:
    """How busy the machine is, where that can be known."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def timed(command: list[str], **more: object) -> tuple[float, float, bytes]:
    """(seconds, CPU seconds, what it printed) of a process and its children."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, stdout=more.pop("to", subprocess.PIPE), **more)  # type: ignore[call-overload]
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stdout


def cat(files: list[str]) -> tuple[float, float]:
    """One `cat` process over all files."""
    listed = "\0".join(files).encode()
    wall, cpu, _ = timed(["xargs", "-0", "cat"], input=listed, to=subprocess.DEVNULL)
    return wall, cpu


def scan(tree: Mixed, data: Path, *before: str) -> tuple[float, float, dict[str, Any]]:
    """`brimline scan --json`."""
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "",  # installed programs are compiled
        "BRIMLINE_DATA_DIR": str(data),
        **tree.homes,
    }
    wall, cpu, said = timed([*before, *SCAN], cwd=ROOT, env=environment)
    answer: dict[str, Any] = json.loads(said)
    return wall, cpu, answer


def peak(tree: Mixed, data: Path) -> float:
    """The most memory (MB) a process of a cold scan held.

    Asked by a process in between: a child's figure begins with the memory of who started it.
    """
    _, _, answer = scan(tree, data, sys.executable, "-c", PEAK)
    return float(answer["peak"]) / 1024


def check(answer: dict[str, Any], tree: Mixed) -> None:
    """Stop when the scan counted something else than what is there."""
    ours, claudes = answer["tokens"], answer["claude"]["tokens"]
    names = ("input", "cachedInput", "output")
    counted = answer["calls"], *(ours[name] for name in (*names, "reasoningOutput"))
    beside = answer["claude"]["calls"], *(claudes[name] for name in names)
    if (counted, beside) != (tree.codex.sums, tree.claude.sums):
        truth = tree.codex.sums, tree.claude.sums
        raise SystemExit(f"wrong: counted {counted} and {beside}, truth {truth}")


if __name__ == "__main__":
    main()
