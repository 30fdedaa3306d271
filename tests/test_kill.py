"""Kill -9 while requests are being served: what a client saw the end of is on disk."""

from __future__ import annotations

import http.client
import json
import signal
import sqlite3
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from tests.test_runtime import Server, until
from tests.upstream import Provider, Received, Stream, auth_json, spoken

# The end of an answer waits 50 ms for its row and not longer, which a busy machine may need.
PATIENT = [
    sys.executable,
    "-c",
    "from server.proxy import routes; routes.WAIT_SECONDS = 30.0\n"
    "from desktop.__main__ import main; main()",
    "serve",
]


def add_account(server: Server, name: str) -> None:
    head = 'Content-Disposition: form-data; name="auth_json"; filename="auth.json"'
    body = f"--B\r\n{head}\r\n\r\n".encode() + auth_json(name) + b"\r\n--B--\r\n"
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/api/accounts/import",
        body,
        {"Content-Type": "multipart/form-data; boundary=B"},
    )
    urllib.request.urlopen(request, timeout=30).close()


def turns(port: int, seen: list[str], stop: threading.Event) -> None:
    """One request after the other; notes each response whose end this client saw."""
    while not stop.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            body = json.dumps({"model": "gpt-5.5", "stream": True, "input": []})
            connection.request("POST", "/backend-api/codex/responses", body)
            whole = connection.getresponse().read()  # raises when the last chunk is missing
            done = whole.rpartition(b"data: ")[2]
            seen.append(json.loads(done)["response"]["id"])
        except (OSError, http.client.HTTPException, ValueError):
            stop.wait(0.01)
        finally:
            connection.close()


@pytest.mark.parametrize("moment", [0.15, 0.4, 0.75])
def test_a_row_whose_end_was_seen_survives_a_kill(tmp_path: Path, moment: float) -> None:
    numbers = iter(range(1_000_000))

    def answer(_: Received) -> Stream:
        return Stream(spoken(name=f"resp_{next(numbers)}"))

    with Provider(default=answer) as provider:
        server = Server(tmp_path / "data", BRIMLINE_UPSTREAM_BASE_URL=provider.url, command=PATIENT)
        add_account(server, "acc-1")
        seen: list[str] = []
        stop = threading.Event()
        clients = [threading.Thread(target=turns, args=(server.port, seen, stop)) for _ in range(6)]
        for client in clients:
            client.start()
        until(lambda: len(seen) > 5)
        time.sleep(moment)
        server.end(signal.SIGKILL)
        stop.set()
        for client in clients:
            client.join(60)
    opened = sqlite3.connect(tmp_path / "data" / "usage.db")
    kept = {row[0] for row in opened.execute("select response_id from request_log")}
    calls = {row[0] for row in opened.execute("select id from call")}
    assert opened.execute("pragma integrity_check").fetchone() == ("ok",)
    opened.close()
    assert set(seen) - kept == set()
    assert set(seen) - calls == set()
