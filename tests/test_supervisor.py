"""The tray's server: found, adopted, restarted within its budget, replaced, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop import supervisor
from desktop.supervisor import Address, Budget, Client, NotRunning, Refused, Supervisor
from desktop.wake import Wake
from server import __version__
from server.config import Config
from server.store.lock import Lock

# A server process in little: what the supervisor sees of ours, of any version and health.
STUB = """
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
folder, version, pid = sys.argv[1], sys.argv[2], int(sys.argv[3] or os.getpid())
if sys.argv[4:]:
    import fcntl
    lock = open(sys.argv[4], "a")
    fcntl.flock(lock, fcntl.LOCK_EX)
class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
    def do_GET(self):
        if self.path == "/text":
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            return self.wfile.write(b"hi")
        if self.path == "/health":
            return self.answer(200, {"name": "brimline", "pid": pid, "version": version})
        self.answer(404, {"error": {"code": "not_found", "message": "There is nothing there."}})
    def do_POST(self):
        if self.headers["Authorization"] != "Bearer secret":
            return self.answer(500, ["not our shape"])
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.answer(200, {"ok": True, "ticket": "once"})
        if self.path == "/api/shutdown":
            os.unlink(os.path.join(folder, "server.json"))
            threading.Thread(target=server.shutdown).start()
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
said = {"host": "127.0.0.1", "port": server.server_port, "pid": os.getpid(),
        "version": version, "token": "secret"}
with open(os.path.join(folder, "server.new"), "w") as file:
    json.dump(said, file)
os.replace(os.path.join(folder, "server.new"), os.path.join(folder, "server.json"))
server.serve_forever()
"""


def until(look: Callable[[], Any], seconds: float = 30.0) -> Any:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


class Stubs:
    """Starts stub servers, and ends them."""

    def __init__(self, config: Config, script: Path) -> None:
        self.config = config
        self.script = script
        self.started: list[subprocess.Popen[bytes]] = []
        self.locking: list[str] = []  # the lock that a real server holds
        script.write_text(STUB)
        config.data_dir.mkdir()

    def words(self, version: str = __version__, pid: int | str = "") -> list[str]:
        return [sys.executable, str(self.script), str(self.config.data_dir), version, str(pid)] + (
            self.locking
        )

    def start(self, version: str = __version__, pid: int | str = "") -> Address:
        process = subprocess.Popen(self.words(version, pid))
        self.started.append(process)
        return until(lambda: self.address(process.pid))  # type: ignore[no-any-return]

    def address(self, pid: int | None = None) -> Address | None:
        found = supervisor.find(self.config)
        return found if found is not None and pid in (None, found.pid) else None

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()


@pytest.fixture
def stubs(config: Config, tmp_path: Path) -> Iterator[Stubs]:
    found = Stubs(config, tmp_path / "stub.py")
    yield found
    found.end()


@pytest.fixture
def tended(config: Config, stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor whose server is the stub."""
    monkeypatch.setattr(supervisor, "self_command", lambda *words: stubs.words())
    found = Supervisor(config)
    yield found
    found.stop()
    if found._child is not None:
        found._child.kill()
        found._child.wait()


def alive(found: Supervisor) -> Client:
    return until(found.tend)  # type: ignore[no-any-return]


# --- Finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="no file"),
        pytest.param("", id="empty"),
        pytest.param("[]", id="another shape"),
        pytest.param('{"host": "127.0.0.1", "port": "x"}', id="half a file"),
    ],
)
def test_a_broken_server_file_is_no_server(config: Config, text: str | None) -> None:
    config.data_dir.mkdir()
    if text is not None:
        config.server_file.write_text(text)
    assert supervisor.find(config) is None
    with pytest.raises(NotRunning, match="brimline serve"):
        supervisor.connect(config)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        pytest.param("127.0.0.1", "http://127.0.0.1:9", id="as it listens"),
        pytest.param("0.0.0.0", "http://127.0.0.1:9", id="everywhere is reached at home"),
        pytest.param("::", "http://[::1]:9", id="everywhere, IPv6"),
        pytest.param("localhost", "http://localhost:9", id="a name"),
        pytest.param("192.168.1.4", "http://192.168.1.4:9", id="one network card"),
    ],
)
def test_where_a_server_is_reached(host: str, url: str) -> None:
    assert Address(host, 9, 1, "1", "t").url == url


def test_an_address_does_not_show_its_token() -> None:
    assert "secret" not in repr(Address("127.0.0.1", 9, 1, "1", "secret"))


def test_the_client_tells_errors_apart(stubs: Stubs) -> None:
    client = Client(stubs.start())
    with pytest.raises(Refused, match=r"There is nothing there\.") as refused:
        client.get("/api/nothing")
    assert (refused.value.code, refused.value.status) == ("not_found", 404)
    with pytest.raises(NotRunning, match="Another program"):
        client.get("/text")
    assert client.ticket_url("/accounts").endswith("/accounts?ticket=once")
    client._session.headers["Authorization"] = "Bearer wrong"
    with pytest.raises(Refused, match="answered 500"):
        client.post("/api/show")
    client.close()


def test_another_program_on_the_port_is_not_ours(config: Config, stubs: Stubs) -> None:
    stubs.start(pid=1)  # it answers with another pid than the file's
    with pytest.raises(NotRunning):
        supervisor.connect(config)


# --- Tending --------------------------------------------------------------------------------------


def test_it_starts_one_and_keeps_it(tended: Supervisor) -> None:
    assert tended.tend() is None
    assert tended.trouble == "The server is starting"
    first = alive(tended)
    assert tended.trouble is None
    assert tended.tend() is first


def test_it_adopts_the_one_that_runs(stubs: Stubs, tended: Supervisor) -> None:
    address = stubs.start()
    client = tended.tend()
    assert client is not None
    assert client.address == address


def test_a_dead_one_is_replaced_within_the_budget(tended: Supervisor) -> None:
    pids = set()
    for _ in range(supervisor.RESTARTS + 1):
        client = alive(tended)
        pids.add(client.address.pid)
        os.kill(client.address.pid, signal.SIGKILL)
        until(lambda: tended.tend() is None)
    assert len(pids) == supervisor.RESTARTS + 1
    until(lambda: tended.tend() or tended.exhausted)
    assert tended.exhausted
    assert tended.trouble is not None
    assert "stopped 4 times in 10 minutes" in tended.trouble
    assert tended.tend() is None
    tended.restart()
    assert alive(tended).address.pid not in pids


def test_one_that_cannot_start_says_why(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('The port 2455 is in use by “x”.')"]
    monkeypatch.setattr(supervisor, "self_command", lambda *words: failing)
    found = Supervisor(config)
    until(lambda: found.tend() or found.exhausted)
    assert found.trouble is not None
    assert found.trouble.endswith("The port 2455 is in use by “x”.")


def test_another_version_is_drained_and_replaced(stubs: Stubs, tended: Supervisor) -> None:
    old = stubs.start(version="0.0.1")
    assert tended.tend() is None
    assert tended.trouble == "Replacing the server of version 0.0.1"
    new = alive(tended).address
    assert (new.version, new.pid == old.pid) == (__version__, False)
    assert stubs.started[0].wait(30) == 0


def test_stop_ends_an_adopted_one_too(config: Config, stubs: Stubs, tended: Supervisor) -> None:
    stubs.start()
    assert tended.tend() is not None
    tended.stop()
    assert stubs.started[0].wait(30) == 0
    assert not config.server_file.exists()


def test_stop_sweeps_up_after_one_that_was_killed(
    config: Config, stubs: Stubs, tended: Supervisor
) -> None:
    stubs.start()
    assert until(tended.tend) is not None
    stubs.started[0].kill()
    stubs.started[0].wait()
    assert config.server_file.exists()
    began = time.monotonic()
    tended.stop(seconds=30)
    assert not config.server_file.exists()
    assert time.monotonic() - began < 20, "nobody is left to wait for"


def test_stop_leaves_the_file_of_one_that_hangs(config: Config, stubs: Stubs) -> None:
    stubs.start()
    lock = Lock(config.data_dir / "serve.lock")
    assert lock.acquire()
    try:
        Supervisor(config).stop(seconds=0)
        assert config.server_file.exists()
    finally:
        lock.release()


@pytest.fixture
def impatient(config: Config, stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that hold the folder's lock, and a supervisor that waits for seconds only."""
    stubs.locking = [str(config.data_dir / "serve.lock")]
    monkeypatch.setattr(supervisor, "HUNG_SECONDS", 1.0)
    monkeypatch.setattr(supervisor, "_END_SECONDS", 0.2)
    monkeypatch.setattr(supervisor, "_LAST_ASK", 5.0)


def test_one_of_ours_that_hangs_is_ended_and_started_again(
    impatient: None, tended: Supervisor
) -> None:
    first = alive(tended).address.pid
    os.kill(first, signal.SIGSTOP)
    until(lambda: tended.tend() is None and tended.hung, 60)
    assert tended.trouble == "The server does not answer; it is started again"
    assert not tended.can_restart, "nothing for the user to do"
    assert until(tended.tend, 60).address.pid != first
    assert not (tended.hung or tended.can_restart)
    assert len(tended._budget._restarts) == 1


def test_an_adopted_one_that_hangs_is_the_users_to_end(
    impatient: None, stubs: Stubs, tended: Supervisor
) -> None:
    first = stubs.start().pid
    assert until(tended.tend) is not None
    os.kill(first, signal.SIGSTOP)
    until(lambda: tended.tend() is None and tended.can_restart, 60)
    assert tended.hung
    assert tended.trouble == "A server has the data folder, but does not answer"
    assert stubs.started[0].poll() is None, "another's server is not ended unasked"
    tended.restart()
    assert until(tended.tend, 60).address.pid != first
    assert stubs.started[0].wait(30) == -signal.SIGKILL


def test_stop_ends_one_that_hangs(
    config: Config, impatient: None, stubs: Stubs, tended: Supervisor
) -> None:
    stubs.start()
    assert until(tended.tend) is not None
    os.kill(stubs.started[0].pid, signal.SIGSTOP)
    until(lambda: tended.tend() is None and tended.hung, 60)
    assert tended.stop(seconds=1) is None
    assert stubs.started[0].wait(30) == -signal.SIGKILL
    assert not config.server_file.exists()


def test_one_that_hung_before_we_came_is_the_users_to_end(
    impatient: None, stubs: Stubs, tended: Supervisor
) -> None:
    first = stubs.start().pid
    os.kill(first, signal.SIGSTOP)
    until(lambda: tended.tend() is None and tended.can_restart, 60)
    assert tended.hung
    assert stubs.started[0].poll() is None, "another's server is not ended unasked"
    tended.restart()
    assert until(tended.tend, 60).address.pid != first
    assert stubs.started[0].wait(30) == -signal.SIGKILL


def test_only_who_has_the_lock_is_ended(config: Config, impatient: None, stubs: Stubs) -> None:
    """A number left in a file may be somebody else's by now."""
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lock = Lock(config.data_dir / "serve.lock")
    assert lock.acquire()  # by this process, which says nothing of itself
    said = {"host": "127.0.0.1", "port": 9, "pid": bystander.pid, "version": "1", "token": "t"}
    config.server_file.write_text(json.dumps(said))
    (config.data_dir / "serve.lock").write_text(str(bystander.pid))
    found = Supervisor(config)
    try:
        until(lambda: found.tend() is None and found._silence._seconds > 2)
        assert not (found.hung or found.can_restart)
        found.restart()
        assert found.stop(seconds=0) == (
            "The server has not ended yet: it may be finishing open work. "
            "If it stays, end that process."
        )
        assert bystander.poll() is None
    finally:
        lock.release()
        bystander.communicate()


BEFORE_THE_ANSWER = """
import fcntl, sys, time
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_EX)
while True:
    sys.argv[2:] or time.sleep(600)
"""


def test_one_of_ours_that_hangs_before_its_first_answer_is_ended(
    impatient: None, stubs: Stubs, tended: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = [sys.executable, "-c", BEFORE_THE_ANSWER, *stubs.locking]
    monkeypatch.setattr(supervisor, "self_command", lambda *words: hanging)
    until(lambda: tended.tend() is None and tended.hung, 60)
    assert tended.trouble == "The server does not answer; it is started again"
    assert tended._child is not None
    first = tended._child.pid
    monkeypatch.setattr(supervisor, "self_command", lambda *words: stubs.words())
    assert until(tended.tend, 60).address.pid != first
    assert len(tended._budget._restarts) == 1


def test_a_long_start_that_works_is_left_to_the_user(
    impatient: None, stubs: Stubs, tended: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = [sys.executable, "-c", BEFORE_THE_ANSWER, *stubs.locking, "works"]
    monkeypatch.setattr(supervisor, "self_command", lambda *words: working)
    monkeypatch.setattr(supervisor, "HUNG_SECONDS", 5.0)  # it computes at least once in that time
    monkeypatch.setattr(supervisor, "BIRTH_SECONDS", 6.0)
    until(lambda: tended.tend() is None and tended.can_restart, 60)
    assert tended._child is not None
    assert tended._child.poll() is None, "mending a large database may take minutes"
    first = tended._child.pid
    monkeypatch.setattr(supervisor, "self_command", lambda *words: stubs.words())
    tended.restart()
    assert until(tended.tend, 60).address.pid != first


def test_stop_says_what_it_leaves_behind(impatient: None, stubs: Stubs, tended: Supervisor) -> None:
    pid = stubs.start().pid
    assert until(tended.tend) is not None
    os.kill(pid, signal.SIGSTOP)
    left = tended.stop(seconds=0)
    assert left is not None
    assert f"process {pid}" in left


def test_a_sleep_of_the_computer_is_no_silence_of_the_server() -> None:
    silence = supervisor.Silence()
    silence.heard(0)
    assert silence.missed(2) == 2
    assert silence.missed(9000) < supervisor.HUNG_SECONDS
    silence.heard(9001)
    assert silence.missed(9002) == 1


def test_the_budget_refills_with_time() -> None:
    budget = Budget()
    assert [budget.take(at) for at in (0, 1, 2, 3)] == [True, True, True, False]
    assert budget.take(supervisor.RESTART_WINDOW) is True
    assert budget.take(supervisor.RESTART_WINDOW) is False


# --- Children -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outlives", "frozen", "unpacks"),
    [
        pytest.param(True, True, True, id="a frozen server unpacks for itself"),
        pytest.param(False, True, False, id="a frozen window shares our folder"),
        pytest.param(True, False, False, id="from source there is nothing to unpack"),
    ],
)
def test_the_environment_of_a_child(outlives: bool, frozen: bool, unpacks: bool) -> None:
    env = supervisor.child_environment({"A": "b"}, outlives=outlives, frozen=frozen)
    assert ("PYINSTALLER_RESET_ENVIRONMENT" in env) is unpacks
    assert env["A"] == "b"
    assert ("PYTHONPATH" in env) is not frozen


def test_a_child_starts_wherever_we_stand(tmp_path: Path) -> None:
    (tmp_path / "desktop").mkdir()
    (tmp_path / "desktop" / "__main__.py").write_text("print('not ours')")
    env = supervisor.child_environment(os.environ, outlives=False, frozen=False)
    words = supervisor.self_command("version")
    said = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert said.stdout == f"brimline {__version__}\n"


def test_wake(tmp_path: Path) -> None:
    watcher = Wake(tmp_path / "wake")
    assert watcher.changed() is False
    Wake(tmp_path / "wake").touch()
    assert watcher.changed() is True
    assert watcher.changed() is False


def test_the_token_reaches_no_file_of_the_tray(config: Config, tended: Supervisor) -> None:
    alive(tended)
    token = json.loads(config.server_file.read_text())["token"]
    logs = b"".join(path.read_bytes() for path in (config.data_dir / "logs").iterdir())
    assert token.encode() not in logs
