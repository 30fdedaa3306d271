"""Brimline beside ccusage on the same generated logs: time, CPU and how near the truth.

    npm install --prefix DIR ccusage@20.0.24
    python -m benchmarks.beside --ccusage DIR/node_modules/.bin/ccusage [--mb 100] [--claude 20]
        [--runs 5]

Of the logs so many percent are Claude Code's; `ccusage daily` reads both programs', and where there
are none of Claude Code, `ccusage codex daily`.

Each starts as a process of its own, in turn, with a warm page cache. Brimline starts with an empty
data folder and stores every call; ccusage reads everything each time and stores nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.scan import SCAN, Mixed

Took = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Print medians, and what each counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ccusage", required=True, help="its script")
    parser.add_argument("--mb", type=int, default=100)
    parser.add_argument("--claude", type=int, default=20, help="percent")
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="brimline-beside-") as folder:
        root = Path(folder)
        data, tree = root / "data", Mixed(root / "home", asked.mb, asked.claude)
        print(tree.told)
        environ = {
            **os.environ, "HOME": str(root / "home"), "CODEX_HOME": str(tree.codex_home),
            "CLAUDE_CONFIG_DIR": str(tree.claude_home), "BRIMLINE_NO_KEYRING": "1",
            "XDG_CONFIG_HOME": str(root / "config"), "PYTHONDONTWRITEBYTECODE": "",
        }  # fmt: skip
        ours = [*SCAN, "--data-dir", str(data)]
        what = ["daily"] if asked.claude else ["codex", "daily"]
        theirs = [asked.ccusage, *what, "--json", "--offline"]
        took: Took = {}
        for _ in range(asked.runs + 1):
            shutil.rmtree(data, ignore_errors=True)
            timed(took, "cat", ["cat", *tree.files], environ)
            said = json.loads(timed(took, "brimline, cold", ours, environ))
            timed(took, "brimline, nothing new", ours, environ)
            counted = json.loads(timed(took, "ccusage", theirs, environ))
        report(took)
        both = tree.codex.sums, tree.claude.sums
        truth = sum(sums[1] + sums[3] for sums in both)
        found = said["tokens"]["total"] + said["claude"]["tokens"]["total"]
        print(f"tokens: truth {truth:,}, brimline {found:,}, "
              f"ccusage {counted['totals']['totalTokens']:,}")  # fmt: skip


def timed(took: Took, name: str, command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Run a command, note its wall time and CPU, return what it printed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        stdout = subprocess.DEVNULL if name == "cat" else said
        subprocess.run(command, stdout=stdout, check=True, env=dict(environ))
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        took.setdefault(name, []).append((wall, cpu))
        said.seek(0)
        return said.read()


def report(took: Took) -> None:
    """The medians without the first round, and the best."""
    for name, times in took.items():
        wall, cpu = (statistics.median(each) for each in zip(*times[1:], strict=True))
        best = min(wall for wall, _ in times[1:])
        print(f"{name:22}{wall * 1000:8.0f} ms  best {best * 1000:6.0f}  CPU {cpu * 1000:6.0f}")


if __name__ == "__main__":
    main()
