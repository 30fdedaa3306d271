"""The OTLP receiver under load: `python -m benchmarks.receiver [--rate 200] [--seconds 20]`.

Sends real bodies of the Codex CLI (protobuf, 2.5 to 18 KB) at a fixed rate to a server in its own
process, each under a conversation of its own so that nothing is a repetition. A batch's time counts
from when it was due, so a stall is not hidden. Prints the percentiles, what was refused, and
whether every event that was accepted is stored; then the same with JSON.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from server.ingest import otlp

CAPTURES = Path(__file__).resolve().parent.parent / "tests" / "data" / "otlp"
RUNS = {"protobuf": "recommended-pb", "json": "json-err500"}
SENDERS = 8


class Load:
    """Batches due at a fixed rate, spread over a few connections that stay open."""

    def __init__(self, port: int, form: str, rate: int, seconds: int) -> None:
        self.port, self.rate, self.total = port, rate, rate * seconds
        self.type = "application/json" if form == "json" else "application/x-protobuf"
        self.bodies = list(captured(RUNS[form]))
        self.form = form
        self.took: list[float] = []
        self.statuses: dict[int, int] = {}
        self.events = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        """Send everything."""
        self.began = time.monotonic() + 0.2
        senders = [threading.Thread(target=self._send, args=(n,)) for n in range(SENDERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    def _send(self, first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for number in range(first, self.total, SENDERS):
            body, conversation, events = self.bodies[number % len(self.bodies)]
            fresh = f"{self.form[:1].encode().hex()}{number:010x}".encode().rjust(36, b"0")
            due = self.began + number / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
            connection.request(
                "POST",
                "/otlp/v1/logs",
                body.replace(conversation, fresh),
                {"Content-Type": self.type},
            )
            answer = connection.getresponse()
            answer.read()
            took = time.monotonic() - due
            with self._lock:
                self.took.append(took * 1000)
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                self.events += events if answer.status == 200 else 0
        connection.close()


def captured(run: str) -> list[tuple[bytes, bytes, int]]:
    """The bodies of a run: bytes, the conversation id in them, and how many events they give."""
    found = []
    for path in sorted((CAPTURES / run).glob("*-logs.*")):
        body = path.read_bytes()
        if path.suffix == ".gz":
            body = gzip.decompress(body)
        batch = otlp.decode("logs", body, json=".json" in path.name, now=2_000_000_000_000)
        talks = {event.session_id for event in batch.events if event.session_id}
        if len(talks) == 1:
            # Events without a conversation are the same each time: repetitions, not stored.
            events = sum(1 for event in batch.events if event.session_id)
            found.append((body, talks.pop().encode(), events))
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def stored(port: int) -> int:
    """How many events the server has stored for conversations of this benchmark."""
    url = f"http://127.0.0.1:{port}/api/telemetry/events?from=2026-11-01&to=2026-12-31&limit=1"
    with urllib.request.urlopen(url) as answer:
        return int(json.loads(answer.read())["total"])


def serve(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A server of its own, and its port."""
    (folder / "home").mkdir()
    environment = {
        **os.environ,
        "HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "BRIMLINE_NO_KEYRING": "1",
        "BRIMLINE_UPSTREAM_BASE_URL": "http://127.0.0.1:9/backend-api",
    }
    command = ["-m", "desktop", "serve", "--port", "0", "--data-dir", str(folder / "data")]
    server = subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server, int(server.stdout.readline().rstrip().rstrip("/").rpartition(":")[2])


def main() -> None:
    """Run both forms and print what came of them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=int, default=200)
    options.add_argument("--seconds", type=int, default=20)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server, port = serve(Path(name))
        try:
            known = 0
            for form in RUNS:
                load = Load(port, form, given.rate, given.seconds)
                load.run()
                accepted = time.monotonic()
                loose = 2 if form == "protobuf" else 0  # events without a conversation, once
                while stored(port) - known < load.events + loose:
                    if time.monotonic() - accepted > 30:
                        break
                    time.sleep(0.05)
                lag = time.monotonic() - accepted
                got = stored(port) - known - loose
                known += got + loose
                half, most = percentile(load.took, 0.5), percentile(load.took, 0.99)
                print(
                    f"{form}: {given.rate} batches/s for {given.seconds} s; answered in "
                    f"p50 {half:.1f} ms, p99 {most:.1f} ms, max {max(load.took):.1f} ms; "
                    f"statuses {load.statuses}; "
                    f"{load.events} events accepted, {got} stored, the last {lag:.2f} s later"
                )
        finally:
            server.terminate()
            server.wait(40)


if __name__ == "__main__":
    main()
