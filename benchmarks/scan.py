"""How long a cold and a warm scan take, as ratios to `cat` of the same files in the same run.

    .venv/bin/python benchmarks/scan.py [--mb 100] [--runs 7]

Generates a tree once (in the temporary folder), reads it so that the page cache is warm, then
runs cat, a cold scan (new database, everything stored), and a warm one in turn, and compares
what was counted with the truth.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.rollouts import Tree  # noqa: E402 - the root must be on the path

SCAN = """
import json, sys
from pathlib import Path
from server.config import Config
from server.ingest import scan
home, data = map(Path, sys.argv[1:])
print(json.dumps(scan.run(Config(data_dir=data, codex_home=home, claude_home=home / "none"))))
"""


def main() -> None:
    """Print the medians and ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mb", type=int, default=100)
    options.add_argument("--runs", type=int, default=7)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="brimline-scan-") as folder:
        measure(Path(folder), given.mb, given.runs)


def measure(folder: Path, megabytes: int, runs: int) -> None:
    """One tree, `runs` interleaved rounds."""
    home, data = folder / "home", folder / "data"
    tree = Tree(home, seed=1, body=6000, turns=16)
    tree.grow_to(megabytes << 20)
    files = [str(path) for path in sorted(home.rglob("*.jsonl"))]
    size = sum(Path(path).stat().st_size for path in files)
    print(f"{size / 1e6:.0f} MB, {len(files)} files, {len(tree.truth)} calls")
    times: dict[str, list[float]] = {
        "cat": [],
        "cold": [],
        "cold process": [],
        "warm": [],
        "warm process": [],
    }
    for _ in range(runs + 1):
        times["cat"].append(cat(files))
        shutil.rmtree(data, ignore_errors=True)
        for kind in ("cold", "warm"):
            began = time.perf_counter()
            answer = scan(home, data)
            times[f"{kind} process"].append(time.perf_counter() - began)
            times[kind].append(answer["seconds"])
            check(answer, tree)
    base = statistics.median(times["cat"][1:])
    for name, taken in times.items():
        middle = statistics.median(taken[1:])
        print(f"{name:14}{middle * 1000:8.1f} ms  {middle / base:6.2f} × cat")


def cat(files: list[str]) -> float:
    """Seconds for one `cat` process over all files."""
    began = time.perf_counter()
    listed = "\0".join(files).encode()
    subprocess.run(["xargs", "-0", "cat"], input=listed, stdout=subprocess.DEVNULL, check=True)  # noqa: S607
    return time.perf_counter() - began


def scan(home: Path, data: Path) -> dict[str, float]:
    """A scan in a process of its own."""
    command = [sys.executable, "-c", SCAN, str(home), str(data)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S603
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def check(answer: dict[str, float], tree: Tree) -> None:
    """Stop when the scan counted something else than what is there."""
    tokens: dict[str, int] = answer["tokens"]  # type: ignore[assignment]
    counted = (
        answer["calls"],
        tokens["input"],
        tokens["cachedInput"],
        tokens["output"],
        tokens["reasoningOutput"],
    )
    if counted != tree.sums:
        raise SystemExit(f"wrong: counted {counted}, truth {tree.sums}")


if __name__ == "__main__":
    main()
