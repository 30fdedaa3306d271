"""The server as a process: its contract on start, on a busy port, on signals and on kill."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from server import __version__
from server.store.lock import Lock
from tests.upstream import Provider, Stream, auth_json, created, item, message

COMMAND = [sys.executable, "-m", "desktop", "serve"]
ROOT = Path(__file__).resolve().parent.parent


def until(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true answer of `check`, or a failure after `seconds`."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found = check()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


class Server:
    """One `brimline serve` of its own."""

    def __init__(
        self,
        folder: Path,
        *more: str,
        port: int = 0,
        command: Sequence[str] = COMMAND,
        **env: str,
    ) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*command, "--port", str(port), "--data-dir", str(folder), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **env},
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().strip()

    @property
    def port(self) -> int:
        return int(self.line.rstrip("/").rpartition(":")[2])

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def post(self, path: str, body: bytes) -> http.client.HTTPResponse:
        """The answer of a connection that ends with it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {"content-type": "application/json", "connection": "close"}
        connection.request("POST", path, body, given)
        return connection.getresponse()

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data")
    yield found
    found.end()


def test_it_says_where_it_is_and_answers(server: Server) -> None:
    assert server.line.startswith("Brimline is ready at http://127.0.0.1:")
    status, body = server.get("/health")
    assert (status, body["status"], body["name"]) == (200, "ok", "brimline")
    assert (body["version"], body["pid"]) == (__version__, server.process.pid)


def test_the_control_file_is_private_and_leaves_with_the_server(server: Server) -> None:
    path = server.folder / "server.json"
    said = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    log = server.folder / "logs" / "server.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert (said["port"], said["pid"]) == (server.port, server.process.pid)
    assert server.end() == 0
    assert not path.exists()


def test_many_signals_at_once_end_it_once(server: Server) -> None:
    # `make` and a terminal each pass the signal on: the second may interrupt the first's handler.
    limit = time.monotonic() + 0.1
    while time.monotonic() < limit:
        server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def test_while_streams_end_newcomers_are_told_so(tmp_path: Path) -> None:
    with Provider(default=Stream([created(), *item(message("x"))], end="silent")) as provider:
        server = Server(tmp_path / "data", BRIMLINE_UPSTREAM_BASE_URL=provider.url)
        try:
            assert server.post("/api/accounts/import", auth_json("acc-1")).status == 200
            turn = json.dumps({"model": "gpt-5.5", "stream": True, "input": []}).encode()
            with server.post("/v1/responses", turn) as stream:
                assert stream.status == 200
                server.process.send_signal(signal.SIGTERM)
                said = until(lambda: draining(server))
                assert (said["ok"], said["name"], said["pid"]) == (
                    False,
                    "brimline",
                    server.process.pid,
                )
                late = server.post("/v1/responses", turn)
                assert (late.status, late.getheader("retry-after")) == (503, "2")
                assert json.loads(late.read())["error"]["code"] == "proxy_busy"
                assert server.process.poll() is None, "the open stream goes on"
            assert server.process.wait(60) == 0
        finally:
            server.end()


def draining(server: Server) -> Any:
    status, said = server.get("/health")
    return said if (status, said["status"]) == (503, "draining") else None


def test_a_signal_that_came_while_it_was_stopped_ends_it(server: Server) -> None:
    """As after Ctrl-Z, or in a frozen container: any thread may take the signal then."""
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
        server.process.send_signal(number)
    assert server.process.wait(60) == 0


def test_a_second_start_leaves_the_first_alone(server: Server) -> None:
    second = Server(server.folder)
    assert second.process.wait(60) == 0
    second.end()
    assert "already runs" in second.line
    assert server.get("/health")[0] == 200


def test_a_scan_that_has_the_folder_is_waited_for(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "serve.lock")
    assert lock.acquire()  # as a scan does: it does not sign
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--data-dir", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert process.stdout is not None
        assert "waiting for it" in process.stderr.readline()
        lock.release()
        assert "is ready at" in process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_busy_port_names_its_holder(server: Server, tmp_path: Path) -> None:
    other = Server(tmp_path / "other", port=server.port)
    assert other.process.wait(60) == 3
    assert other.process.stderr is not None
    said = other.process.stderr.read()
    other.end()
    assert str(server.process.pid) in said and "another Brimline" in said


def test_a_busy_port_of_a_stranger(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        other = Server(tmp_path / "data", port=stranger.getsockname()[1])
        assert other.process.wait(60) == 3
        assert other.process.stderr is not None
        said = other.process.stderr.read()
        other.end()
    assert "in use" in said and "Traceback" not in said
    if sys.platform.startswith("linux"):
        assert str(os.getpid()) in said


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_computer_is_no_busy_port(tmp_path: Path, host: str) -> None:
    other = Server(tmp_path / "data", "--host", host)
    assert other.process.wait(60) == 1
    assert other.process.stderr is not None
    said = other.process.stderr.read()
    other.end()
    assert f"cannot listen on {host}" in said and "127.0.0.1 always is one" in said


def test_a_start_that_cannot_say_where_it_is_ends_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data" / "server.json" / "in the way").mkdir(parents=True)
    server = Server(tmp_path / "data")
    assert server.process.wait(60) == 1
    assert server.process.stderr is not None
    said = server.process.stderr.read()
    server.end()
    assert "cannot write" in said and "server.json" in said and "Traceback" not in said
    assert sorted(each.name for each in (tmp_path / "data").glob("server.*")) == ["server.json"]


def test_with_an_admin_token_strangers_get_401(tmp_path: Path) -> None:
    token = "t" * 40
    server = Server(tmp_path / "data", CODEX_LB_ADMIN_API_TOKEN=token)
    try:
        assert server.get("/api/accounts")[0] == 401
        assert server.get("/api/nowhere")[0] == 401
        assert server.get("/api/accounts", Authorization=f"Bearer {token}")[0] == 200
        assert server.get("/api/accounts", Authorization="Bearer wrong")[0] == 401
    finally:
        server.end()


def test_it_will_not_open_to_the_network_without_a_sign_in(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--host", "0.0.0.0")
    assert server.process.wait(60) != 0
    assert server.process.stderr is not None
    said = server.process.stderr.read()
    server.end()
    assert "0.0.0.0" in said and "Traceback" not in said


def test_a_damaged_database_is_told_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "usage.db").write_bytes(b"not a database at all" * 1000)
    server = Server(folder)
    try:
        _, body = server.get("/api/live")
        assert "damaged" in body["notices"][0]
        assert list(folder.glob("usage.db.corrupt-*"))
    finally:
        server.end()


def test_kill_and_start_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for _ in range(3):
        server = Server(folder)
        assert server.get("/health")[0] == 200
        server.end(signal.SIGKILL)
    server = Server(folder)
    try:
        assert server.get("/health")[0] == 200
    finally:
        assert server.end() == 0
    connection = sqlite3.connect(folder / "usage.db")
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()
