"""The proxy against its own provider in the same run: `python -m benchmarks.proxy`.

Prints, over interleaved rounds: how much later the first event comes (5 streams), requests a
second at 16 connections as a share of direct, first event, lateness, CPU and memory at 200 and
500 slow streams, how soon upstream closes after the client, start to the first 200, idle memory.
Another proxy that was started before, towards the same provider, may take part as the peer.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
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

    def __init__(self, folder: Path, provider_port: int = 0) -> None:
        command = [sys.executable, "-m", "benchmarks.provider", str(provider_port)]
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


def cpu(pid: int) -> float:
    """CPU seconds that a process has used; nan where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gone(rig: Rig, port: int) -> float:
    """Seconds from the client's close to upstream's notice, under a silent upstream."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(load.request(port, PATH, "SILENT", "gone"))
        found = b""
        while b"output_item.added" not in found:
            piece = client.recv(65536)
            assert piece, f"the silent stream was cut: {found!r}"
            found += piece
        time.sleep(0.3)
        left = time.monotonic()
    for _ in range(600):
        noticed = json.loads(rig.get("/gone", rig.direct)).get("at", 0)
        if noticed > left:
            return float(noticed - left)
        time.sleep(0.005)
    return float("nan")


class Peak(threading.Thread):
    """Looks at a process's memory four times a second, while a round runs."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.most = 0.0
        self._pid = pid
        self._over = threading.Event()

    def run(self) -> None:
        """Look until the round is over."""
        while not self._over.wait(0.25):
            self.most = max(self.most, pss(self._pid))

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


class Seen:
    """What the rounds saw of one server."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid
        self.five: list[float] = []
        self.rates: list[float] = []
        self.costs: list[float] = []
        self.rows: dict[int, dict[str, list[float]]] = {}
        self.failed = 0
        self.why = ""

    def note(self, timing: load.Timing) -> load.Timing:
        """Count what failed."""
        self.failed += timing.failed
        self.why = self.why or timing.why
        return timing

    def short(self, requests: int) -> None:
        """Five streams, then short requests over 16 connections."""
        five = self.note(load.together(self.port, PATH, 5, "PERF n=20 gap=20"))
        self.five.append(load.percentile(five.first, 0.5))
        before = cpu(self.pid)
        many = self.note(load.hammer(self.port, PATH, 16, requests))
        self.rates.append(many.rate())
        self.costs.append((cpu(self.pid) - before) / requests * 1000)

    def slow(self, streams: int) -> None:
        """Many slow streams at once."""
        row = self.rows.setdefault(streams, {})
        before = cpu(self.pid)
        with Peak(self.pid) as peak:
            slow = self.note(load.together(self.port, PATH, streams, "PERF n=60 gap=100"))
        used = (cpu(self.pid) - before) / max(1, len(slow.late)) * 1e6
        for name, value in (
            ("first p50", load.percentile(slow.first, 0.5)),
            ("first p99", load.percentile(slow.first, 0.99)),
            ("late p50", load.percentile(slow.late, 0.5)),
            ("late p99", load.percentile(slow.late, 0.99)),
            ("cpu", used),
            ("pss", peak.most),
        ):
            row.setdefault(name, []).append(value)


def measure(rig: Rig, options: argparse.Namespace) -> dict[str, Seen]:
    """Run the rounds, each server in turn."""
    seen = {
        "direct": Seen(rig.direct, rig.provider.pid),
        "brimline": Seen(rig.port, rig.server.pid),
    }
    if options.peer:
        port, pid = map(int, options.peer.split(":"))
        seen["peer"] = Seen(port, pid)
    requests = {"direct": 10_000, "brimline": 2000, "peer": 200}
    for name in seen:
        load.hammer(seen[name].port, PATH, 16, requests[name] // 10)  # warm
    for _ in range(options.rounds):
        for name, one in seen.items():
            one.short(requests[name])
        for streams in options.streams:
            for one in seen.values():
                one.slow(streams)
    return seen


def report(rig: Rig, seen: dict[str, Seen]) -> None:
    """Print the tables."""
    middle = statistics.median
    direct, ours = seen["direct"], seen["brimline"]
    closed = [gone(rig, rig.port) for _ in range(5)]

    def compared(one: Seen) -> str:
        added = middle(p - d for p, d in zip(one.five, direct.five, strict=True))
        share = middle(p / d for p, d in zip(one.rates, direct.rates, strict=True))
        return (
            f"+{added:.2f} ms first event, {middle(one.rates):.0f} req/s = {share:.2%} of direct, "
            f"{middle(one.costs):.2f} ms CPU a request, {one.failed} failed {one.why}"
        )

    print(f"load {os.getloadavg()[0]:.1f}")
    for name, one in seen.items():
        print(f"{name:<9} {compared(one)}")
    if "peer" in seen:
        ratio = middle(o / p for o, p in zip(ours.rates, seen["peer"].rates, strict=True))
        print(f"requests/s, brimline over the peer: {ratio:.1f}")
    for streams in ours.rows:
        for name, one in seen.items():
            row = {key: middle(values) for key, values in one.rows[streams].items()}
            print(
                f"{streams:>4} streams {name:<9}"
                f" first p50/p99 {row['first p50']:.2f}/{row['first p99']:.2f} ms,"
                f" late p50/p99 {row['late p50']:.2f}/{row['late p99']:.2f} ms,"
                f" {row['cpu']:.0f} us CPU an event, {row['pss']:.1f} MB"
            )
    print(f"client gone to upstream closed, worst of 5: {max(closed):.3f} s")
    print(f"start to the first 200: {rig.started:.2f} s; idle {rig.idle_pss:.1f} MB")
    print(f"after the load: {pss(rig.server.pid):.1f} MB")


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, nargs="*", default=[200, 500])
    parser.add_argument("--peer", help="PORT:PID of another proxy towards --provider-port")
    parser.add_argument("--provider-port", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), options.provider_port)
        try:
            report(rig, measure(rig, options))
        finally:
            rig.close()


if __name__ == "__main__":
    main()
