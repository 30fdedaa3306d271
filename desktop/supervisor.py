"""Find, start, adopt, restart and stop the server; the small client that talks to it.

A server found running is adopted rather than fought for its port, and one of another version is
drained and replaced. It is started in a session of its own: live Codex turns run through it, so
it outlives a tray that crashes. At most three restarts in ten minutes; then the user decides.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop import process
from server import __version__, ownlog
from server.config import NAME, Config
from server.errors import AppError, Unavailable
from server.store.lock import Lock, signed

if TYPE_CHECKING:
    import requests  # when something is asked: the window, which is to be there at once, need not

RESTARTS = 3
RESTART_WINDOW = 600.0
_START_SECONDS = 30.0  # a first start on a slow disk, with a migration
_SAID = 4096
HUNG_SECONDS = 30.0  # without any answer; a machine that is merely busy answers sooner
BIRTH_SECONDS = 300.0  # without a first answer, though it computes
_STEP = 5.0  # the most that one look adds: time in which we slept too is no silence
_LAST_ASK = 10.0  # how long a server is waited for before it is taken for hung
_END_SECONDS = 5.0  # between asking a hung process to end and ending it


class NotRunning(Unavailable):
    """No server answers for this data folder."""


class Refused(AppError):
    """The server answered with an error; its code, status and sentence are passed on."""


@dataclass(frozen=True)
class Address:
    """What a running server says about itself in server.json."""

    host: str
    port: int
    pid: int
    version: str
    token: str

    @property
    def url(self) -> str:
        """Where to reach it from this machine, without a slash at the end."""
        host = self.host
        with suppress(ValueError):
            ip = ipaddress.ip_address(host)
            if ip.is_unspecified:
                host = "::1" if ip.version == 6 else "127.0.0.1"
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def __repr__(self) -> str:  # the token must not reach a log
        return f"Address({self.url}, pid={self.pid}, version={self.version})"


def find(config: Config) -> Address | None:
    """The server of this data folder as its file describes it; it may be dead by now."""
    try:
        said = json.loads(config.server_file.read_text(encoding="utf-8"))
        return Address(
            host=str(said["host"]),
            port=int(said["port"]),
            pid=int(said["pid"]),
            version=str(said["version"]),
            token=str(said["token"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def answers(url: str, timeout: float = 2.0) -> bool:
    """Whether a Brimline answers at this address, whoever's it is."""
    import requests

    with requests.Session() as session:
        session.trust_env = False
        try:
            said = session.get(f"{url}/health", timeout=timeout, allow_redirects=False).json()
        except (requests.RequestException, ValueError):
            return False
    return isinstance(said, dict) and said.get("name") == NAME


class Client:
    """Speaks to one server as its tray. Never through a proxy, never elsewhere."""

    def __init__(self, address: Address, timeout: float = 5.0) -> None:
        import requests

        self.address = address
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {address.token}"

    def get(self, path: str, *, timeout: float | None = None) -> Any:
        """The JSON at `path`; raises `NotRunning` or `Refused`."""
        return self._ask("GET", path, timeout=timeout)

    def post(self, path: str, body: Any = None, *, timeout: float | None = None) -> Any:
        """Send JSON to `path`; raises `NotRunning` or `Refused`."""
        return self._ask("POST", path, json={} if body is None else body, timeout=timeout)

    def put(self, path: str, body: Any) -> Any:
        """Replace what is at `path`; raises `NotRunning` or `Refused`."""
        return self._ask("PUT", path, json=body)

    def upload(self, path: str, field: str, files: Sequence[tuple[str, bytes]]) -> Any:
        """Send files as a multipart form; raises `NotRunning` or `Refused`."""
        parts = [(field, (name, content, "application/json")) for name, content in files]
        return self._ask("POST", path, files=parts, timeout=30.0)

    def fetch(self, path: str) -> bytes:
        """The bytes at `path`, for saving; raises `NotRunning` or `Refused`."""
        return self._response("GET", path, timeout=60.0).content

    def healthy(self, timeout: float = 2.0) -> bool:
        """Whether the process that wrote server.json answers there, and not another program."""
        try:
            said = self.get("/health", timeout=timeout)
        except AppError:
            return False
        return (
            isinstance(said, dict)
            and said.get("name") == NAME
            and said.get("pid") == self.address.pid
        )

    def ticket_url(self, path: str = "/", *, timeout: float | None = None) -> str:
        """An address that signs a browser in once."""
        ticket = self.post("/api/session/ticket", timeout=timeout)["ticket"]
        return f"{self.address.url}{path}?ticket={ticket}"

    def close(self) -> None:
        """Drop the connection."""
        self._session.close()

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        response = self._response(method, path, **options)
        try:
            return response.json()
        except ValueError as error:
            raise NotRunning(f"Another program answers at {self.address.url}.") from error

    def _response(self, method: str, path: str, **options: Any) -> requests.Response:
        import requests

        options["timeout"] = options.get("timeout") or self._timeout
        try:
            response = self._session.request(
                method, self.address.url + path, allow_redirects=False, **options
            )
        except requests.RequestException as error:
            # The exception's own text can hold the request; ours holds the address only.
            raise NotRunning(f"Brimline's server at {self.address.url} does not answer.") from error
        if response.status_code >= 400:
            raise _refusal(response)
        return response


def _refusal(response: requests.Response) -> Refused:
    status = response.status_code
    try:
        said = response.json()["error"]
        return Refused(str(said["message"]), code=str(said["code"]), status=status)
    except (ValueError, KeyError, TypeError):
        return Refused(f"The server answered {status}.", status=status)


def connect(config: Config) -> Client:
    """A client of the running server; raises `NotRunning` with what to do."""
    address = find(config)
    if address is not None:
        client = Client(address)
        if client.healthy():
            return client
        client.close()
    raise NotRunning(
        "Brimline's server is not running on this data folder. "
        "Start it with `brimline serve`, or start the tray with `brimline tray`."
    )


def self_command(*words: str) -> list[str]:
    """The command that starts this program again in another role, frozen or from source."""
    if getattr(sys, "frozen", False):
        return [sys.executable, *words]
    # -P: a folder named desktop where the user happens to stand is not ours.
    return [sys.executable, "-P", "-m", "desktop", *words]


def child_environment(
    environ: Mapping[str, str], *, outlives: bool, frozen: bool
) -> dict[str, str]:
    """The environment of a child. One that outlives us unpacks the binary for itself."""
    env = dict(environ)
    if frozen and outlives:
        env["PYINSTALLER_RESET_ENVIRONMENT"] = "1"
    if not frozen:
        # `-m desktop` must be found wherever the tray was started.
        root = str(Path(__file__).resolve().parent.parent)
        paths = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p and p != root]
        env["PYTHONPATH"] = os.pathsep.join([root, *paths])
    return env


def use_host_libraries() -> None:
    """Let what we start from now on (a browser, WebKit) load the host's libraries, not ours.

    The binary's start-up points LD_LIBRARY_PATH at what it unpacked and keeps the old value.
    """
    if not getattr(sys, "frozen", False) or not sys.platform.startswith("linux"):
        return
    original = os.environ.get("LD_LIBRARY_PATH_ORIG")
    if original is None:
        os.environ.pop("LD_LIBRARY_PATH", None)
    else:
        os.environ["LD_LIBRARY_PATH"] = original


def own_session() -> dict[str, Any]:
    """Options of `Popen` that detach a child from our terminal and process group."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


class Budget:
    """How often the server may be restarted by itself: three times in ten minutes."""

    def __init__(self) -> None:
        self._restarts: list[float] = []

    def take(self, now: float) -> bool:
        """Count one restart; False when there have been too many."""
        self._restarts = [at for at in self._restarts if now - at < RESTART_WINDOW]
        if len(self._restarts) >= RESTARTS:
            return False
        self._restarts.append(now)
        return True

    def reset(self) -> None:
        """The user wants another try."""
        self._restarts.clear()


class Silence:
    """How long a server has been silent, as far as we were awake to listen."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._seconds = 0.0

    def heard(self, now: float) -> None:
        """It answered, or there is none to answer."""
        self._last, self._seconds = now, 0.0

    def missed(self, now: float) -> float:
        """It did not answer; the seconds of silence so far."""
        if self._last is not None:
            # After a suspended laptop, or a tray that got no time itself, one look is one step.
            self._seconds += min(now - self._last, _STEP)
        self._last = now
        return self._seconds


class Supervisor:
    """Keeps one server alive for the tray. `tend` is one look; call it every second or so."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.trouble: str | None = "The server is starting"
        self.exhausted = False
        self._budget = Budget()
        self._child: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self._started = False  # a start that follows is a restart
        self._since = 0.0
        self._asked = False
        self._draining: int | None = None  # the pid of the version that is being replaced
        self.hung = False  # it has the folder, but has not answered for HUNG_SECONDS
        self._silence = Silence()
        self._idle = Silence()  # how long it has not computed
        self._work: int | None = None
        self._answered: int | None = None  # the pid that answered last
        self._ending: tuple[int, float] | None = None  # a hung pid, and when it is ended by force

    @property
    def can_restart(self) -> bool:
        """Whether only the user can have it started: the budget is spent, or one stays hung."""
        left = self.hung and self._ending is None and self._target() is not None
        return self.exhausted or left

    def tend(self) -> Client | None:
        """The client of a healthy server, after starting or replacing one if need be.

        None while there is none; `trouble` then says why.
        """
        client = self._adopt()
        if client is not None:
            self._heard(client.address.pid)
            return client
        if self._own():
            if time.monotonic() - self._since > _START_SECONDS:
                self.trouble = "The server does not answer"
            self._listen()
            return None
        if self._child is not None:
            self._mourn(self._child)
        if self._replacing():
            return None
        if not self._folder_free():
            self._listen()
            return None
        self._heard(None)
        if not self.exhausted and self._may_start():
            self._start()
        return None

    def restart(self) -> None:
        """Start again after the budget was spent, because the user asked."""
        self._budget.reset()
        self.exhausted = False
        self._started = False
        pid = self._target()
        if self.hung and pid is not None:
            self._end(pid)

    def stop(self, seconds: float = 5.0) -> str | None:
        """Stop the server; open streams may take longer and then end without us.

        One that hangs is ended. What runs on all the same is returned as a sentence.
        """
        client, asked = self._client, False
        pid = self._target()
        if client is not None:
            with suppress(AppError):
                client.post("/api/shutdown")
                asked = True
            client.close()
        elif self._child is not None and self._child.poll() is None:
            self._child.terminate()
        self._client = None
        if not asked and pid is not None and self._busy():
            process.end(pid, forced=False)
            asked = True
        self._wait(asked, seconds)
        if self.hung and pid is not None and self._busy():
            process.end(pid, forced=True)
            self._wait(asked, seconds)
        self._sweep()
        if not self._busy():
            return None
        which = "" if pid is None else f" (process {pid})"
        return (
            f"The server{which} has not ended yet: it may be finishing open work. "
            "If it stays, end that process."
        )

    def _wait(self, asked: bool, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and self._lives(asked) and (not self.hung or self._busy()):
            time.sleep(0.05)

    def _busy(self) -> bool:
        """Whether somebody holds the data folder."""
        lock = Lock(self.config.data_dir / "serve.lock")
        with suppress(AppError):
            if not lock.acquire():
                return True
        lock.release()
        return False

    def _own(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _target(self) -> int | None:
        """The process that serves the folder, if it is sure enough to be ended by its number.

        It answered us, or it proves to have the lock open, or we started it.
        """
        address = find(self.config)
        said = None if address is None else address.pid
        if said is not None and said == self._answered:
            return said
        lock = self.config.data_dir / "serve.lock"
        for pid in (signed(lock), said):
            if pid is not None and process.holds(pid, lock):
                return pid
        return self._child.pid if self._child is not None and self._own() else None

    def _heard(self, pid: int | None) -> None:
        self._silence.heard(time.monotonic())
        self._idle.heard(time.monotonic())
        self.hung, self._ending = False, None
        self._answered = pid

    def _listen(self) -> None:
        """Nobody answered this look. After a long silence it hangs, and our own is ended."""
        now, pid = time.monotonic(), self._target()
        silent, idle = self._silence.missed(now), self._rests(pid, now)
        if pid is None:
            return
        # A first answer may take minutes, when a large database is mended; but not without work.
        born = pid == self._answered
        if silent < HUNG_SECONDS or not (born or idle >= HUNG_SECONDS or silent >= BIRTH_SECONDS):
            return
        if not self.hung and self._answers_late():
            self._silence.heard(time.monotonic())
            return
        self.hung = True
        if self._ending is not None or (self._own() and (born or idle >= HUNG_SECONDS)):
            self.trouble = "The server does not answer; it is started again"
            self._end(pid)

    def _rests(self, pid: int | None, now: float) -> float:
        """For how many seconds that process has not computed; 0 where nobody tells."""
        work = None if pid is None else process.work(pid)
        if work is None or work != self._work:
            self._work = work
            self._idle.heard(now)
            return 0.0
        return self._idle.missed(now)

    def _answers_late(self) -> bool:
        address = find(self.config)
        if address is None:
            return False
        client = Client(address)
        try:
            return client.healthy(_LAST_ASK)
        finally:
            client.close()

    def _end(self, pid: int) -> None:
        """Ask it to end, once; by force when it did not."""
        now = time.monotonic()
        if self._ending is None or self._ending[0] != pid:
            self._ending = (pid, now + _END_SECONDS)
            process.end(pid, forced=False)
        elif now > self._ending[1]:
            process.end(pid, forced=True)

    def _lives(self, asked: bool) -> bool:
        if self._child is not None and self._child.poll() is None:
            return True
        return asked and self.config.server_file.exists()

    def _sweep(self) -> None:
        """Remove what a server that was killed left: its address and our token for it."""
        if not self.config.server_file.exists():
            return
        lock = Lock(self.config.data_dir / "serve.lock")
        with suppress(AppError, OSError):
            if lock.acquire():  # nobody serves this folder
                self.config.server_file.unlink(missing_ok=True)
        lock.release()

    def _adopt(self) -> Client | None:
        address = find(self.config)
        if address is None:
            self._forget()
            return None
        if self._client is None or self._client.address != address:
            self._forget()
            self._client = Client(address)
        if not self._client.healthy():
            self._forget()
            return None
        if address.version != __version__:
            self._replace(self._client)
            return None
        self._started, self._draining, self.trouble = True, None, None
        self.exhausted = False
        return self._client

    def _forget(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def _replace(self, client: Client) -> None:
        self.trouble = f"Replacing the server of version {client.address.version}"
        if self._draining != client.address.pid:
            self._draining, self._asked = client.address.pid, True
            with suppress(AppError):
                client.post("/api/shutdown")

    def _replacing(self) -> bool:
        """Whether the old version was asked just now or has not closed its door yet."""
        asked, self._asked = self._asked, False
        return asked or (self._draining is not None and find(self.config) is not None)

    def _folder_free(self) -> bool:
        """Whether a new server could take the data folder: nobody holds its lock."""
        self.config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = Lock(self.config.data_dir / "serve.lock")
        if lock.acquire():
            lock.release()
            return True
        if self._draining is None:
            self.trouble = "A server has the data folder, but does not answer"
        return False

    def _may_start(self) -> bool:
        if not self._started or self._draining is not None:
            return True
        if self._budget.take(time.monotonic()):
            return True
        self.exhausted = True
        reason = f": {self._reason()}" if self._reason() else ""
        self.trouble = f"The server stopped {RESTARTS + 1} times in 10 minutes{reason}"
        return False

    def _start(self) -> None:
        self.trouble = "The server is starting"
        self._draining = None
        self._answered = None  # a number from before may be another process by now
        self._since = time.monotonic()
        words = ["serve", "--data-dir", str(self.config.data_dir)]
        words += ["--host", self.config.host, "--port", str(self.config.port)]
        frozen = bool(getattr(sys, "frozen", False))
        with ownlog.last_words(self.config, "serve") as errors:
            self._child = subprocess.Popen(  # noqa: S603
                self_command(*words),
                env=child_environment(os.environ, outlives=True, frozen=frozen),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                **own_session(),
            )

    def _mourn(self, child: subprocess.Popen[bytes]) -> None:
        """A child ended: remember why, and that the next start is a restart."""
        self._child = None
        self._started = True
        code = child.returncode
        self.trouble = self._reason() or f"The server ended with code {code}"

    def _reason(self) -> str:
        """The last line the server wrote to stderr: it names what to do."""
        with suppress(OSError), (ownlog.folder(self.config) / "serve.err").open("rb") as file:
            lines = file.read()[-_SAID:].decode(errors="replace").strip().splitlines()
            return lines[-1].strip()[:200] if lines else ""
        return ""
