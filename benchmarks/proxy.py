"""The proxy against its own provider in the same run: `python -m benchmarks.proxy`.

Prints, over interleaved rounds: how much later the first event comes (5 streams), requests a
second at 16 connections as a share of direct, lateness at 200 slow streams, how soon upstream
closes after the client, start to the first 200, and idle memory.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks import load

PATH = "/backend-api/codex/responses"


def unsigned(claims: dict[str, object]) -> str:
    """A JWT nobody signed."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(claims)}.x"


def auth_json(number: int) -> bytes:
    """A Codex auth.json for an invented account."""
    claims = {"chatgpt_account_id": f"acc-{number}", "chatgpt_plan_type": "pro"}
    identity = {"email": f"a{number}@example.com", "https://api.openai.com/auth": claims}
    tokens = {
        "id_token": unsigned({**identity, "exp": 4102444800}),
        "access_token": unsigned({"exp": 4102444800}),
        "refresh_token": f"refresh-{number}",
        "account_id": f"acc-{number}",
    }
    return json.dumps({"tokens": tokens, "last_refresh": "2026-11-20T00:00:00Z"}).encode()


class Rig:
    """A provider and a Brimline with two accounts, each its own process."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.provider"]
        self.provider = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        assert self.provider.stdout is not None
        self.direct = int(self.provider.stdout.readline())
        (folder / "home").mkdir()
        environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "BRIMLINE_NO_KEYRING": "1",
            "BRIMLINE_UPSTREAM_BASE_URL": f"http://127.0.0.1:{self.direct}/backend-api",
        }
        began = time.monotonic()
        serve = ["-m", "desktop", "serve", "--port", "0", "--data-dir", str(folder / "data")]
        self.server = subprocess.Popen(  # noqa: S603
            [sys.executable, *serve], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        self.port = int(line.rstrip().rstrip("/").rpartition(":")[2])
        self.get("/health")
        self.started = time.monotonic() - began
        self.idle_pss = pss(self.server.pid)
        for number in range(2):
            self.add(number)

    def get(self, path: str, port: int | None = None) -> bytes:
        """A plain GET."""
        address = f"http://127.0.0.1:{port or self.port}{path}"
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310
            return bytes(answer.read())

    def add(self, number: int) -> None:
        """Import an account over HTTP."""
        head = 'Content-Disposition: form-data; name="auth_json"; filename="auth.json"'
        body = f"--B\r\n{head}\r\n\r\n".encode() + auth_json(number) + b"\r\n--B--\r\n"
        request = urllib.request.Request(  # noqa: S310
            f"http://127.0.0.1:{self.port}/api/accounts/import",
            body,
            {"Content-Type": "multipart/form-data; boundary=B"},
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310

    def close(self) -> None:
        """End both processes."""
        self.server.terminate()
        self.server.wait(40)
        self.provider.kill()
        self.provider.wait()


def pss(pid: int) -> float:
    """Proportional memory of a process, MB; nan where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return float("nan")
    return int(next(x for x in text.splitlines() if x.startswith("Pss:")).split()[1]) / 1024


async def gone(rig: Rig) -> float:
    """Seconds from the client's close to upstream's notice, under a silent upstream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(load.request(rig.port, PATH, "SILENT", "gone"))
    await reader.readuntil(b"output_item.added")
    await asyncio.sleep(0.3)
    left = time.monotonic()
    writer.close()
    for _ in range(600):
        noticed = json.loads(rig.get("/gone", rig.direct)).get("at", 0)
        if noticed > left:
            return float(noticed - left)
        await asyncio.sleep(0.02)
    return float("nan")


async def measure(rig: Rig, rounds: int, streams: int) -> None:
    """Run the rounds and print the table."""
    first: dict[str, list[float]] = {"direct": [], "proxy": []}
    rate: dict[str, list[float]] = {"direct": [], "proxy": []}
    late: list[float] = []
    tails: list[float] = []
    failed = 0
    ports = {"direct": rig.direct, "proxy": rig.port}
    await load.hammer(rig.port, PATH, 16, 200)  # warm
    for _ in range(rounds):
        for name, port in ports.items():
            five = await load.together(port, PATH, 5, "PERF n=20 gap=20")
            first[name].append(load.percentile(five.first, 0.5))
            many = await load.hammer(port, PATH, 16, 3000 if name == "direct" else 1000)
            rate[name].append(many.rate())
            failed += five.failed + many.failed
        slow = await load.together(rig.port, PATH, streams, "PERF n=40 gap=100")
        late.append(load.percentile(slow.late, 0.5))
        tails.append(load.percentile(slow.late, 0.99))
        failed += slow.failed
    closed = [await gone(rig) for _ in range(5)]
    middle = statistics.median
    added = middle(p - d for p, d in zip(first["proxy"], first["direct"], strict=True))
    shares = [p / d for p, d in zip(rate["proxy"], rate["direct"], strict=True)]
    table = [
        ("first event later than direct, p50, 5 streams", f"{added:.2f} ms", "<= 4"),
        ("requests/s at 16 connections, of direct", f"{middle(shares):.1%}", ">= 2 %"),
        (f"lateness at {streams} slow streams, p50", f"{middle(late):.2f} ms", ""),
        (f"lateness at {streams} slow streams, p99", f"{middle(tails):.2f} ms", "<= 10"),
        ("client gone to upstream closed, worst of 5", f"{max(closed):.2f} s", "<= 1"),
        ("start to the first 200", f"{rig.started:.2f} s", "<= 0.8"),
        ("serve, idle, PSS", f"{rig.idle_pss:.1f} MB", "<= 80"),
        ("serve, after the load, PSS", f"{pss(rig.server.pid):.1f} MB", ""),
        ("requests that failed", str(failed), "0"),
        ("requests/s, proxy", f"{middle(rate['proxy']):.0f}", ""),
        ("requests/s, direct", f"{middle(rate['direct']):.0f}", ""),
    ]
    for name, value, aim in table:
        print(f"{name:<48} {value:>12}   {aim}")


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder))
        try:
            asyncio.run(measure(rig, options.rounds, options.streams))
        finally:
            rig.close()


if __name__ == "__main__":
    main()
