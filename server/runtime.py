"""Start, run and stop the server: lock, socket, waitress, background threads, signals."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import waitress
import waitress.server
from waitress.task import ErrorTask

from server import __version__, ownlog
from server.app import Login, Services, create_app
from server.auth.guard import unread
from server.config import NAME, Config
from server.errors import AppError
from server.ingest import reprice
from server.proxy import place
from server.proxy.lane import Channel, Workers
from server.proxy.loop import Loop
from server.store import db, settings
from server.store.lock import Lock, signed
from server.usage import calls

log = logging.getLogger(__name__)

EXIT_PORT_BUSY = 3
_BUSY = (48, 98, 10048)  # macOS, Linux, Windows
DRAIN_SECONDS = 30.0
_MOST_FILES = 4096
_GLANCE_SECONDS = 1.0
_LOOK_SECONDS = 0.1


class PortBusy(AppError):
    """Another program holds the port."""

    status, code = 500, "port_busy"


class Scheduler(threading.Thread):
    """One thread for everything that happens every so often; a failing job is logged by name."""

    def __init__(self, jobs: list[tuple[str, Callable[[], float], Callable[[], None]]]) -> None:
        super().__init__(name="scheduler", daemon=True)
        self._jobs = jobs
        self._told: dict[str, str | None] = {}  # why a job failed the last time
        self._wake = threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Run each job when its time has come, until `stop`."""
        due = {name: time.monotonic() + 0.5 for name, _, _ in self._jobs}
        while not self._stopping:
            now = time.monotonic()
            for name, every, job in self._jobs:
                if now >= due[name] and not self._stopping:
                    self._run(name, job)
                    due[name] = time.monotonic() + every()
            self._wake.wait(max(0.05, min(due.values()) - time.monotonic()))

    def _run(self, name: str, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            if self._stopping:
                return  # the databases close while it is at work: that is no news
            why = db.fault(error)
            if why is None:
                log.exception("the background job “%s” failed; it will run again", name)
            elif self._told.get(name) != why:
                # Once: a full disk stays full for many turns, and the log needs space, too.
                log.warning("the job “%s” waits for the data folder: %s", name, why)
            self._told[name] = why
        else:
            self._told.pop(name, None)

    def stop(self) -> None:
        """End after the job that is running."""
        self._stopping = True
        self._wake.set()


def serve(
    config: Config, announce: Callable[[str], None] = print, login: Login | None = None
) -> int:
    """Run the server until it is told to stop; returns the exit code.

    0 stopped, or another server already has this data folder; 3 the port is busy.
    """
    lock = Lock(config.data_dir / "serve.lock")
    if not _take(lock):
        announce(_already(config))
        return 0
    lock.sign()
    try:
        listener = _bind(config)
        ownlog.start(config, "server")
        return _run(config, listener, announce, login)
    except PortBusy as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return EXIT_PORT_BUSY
    finally:
        lock.release()


def _run(
    config: Config,
    listener: socket.socket,
    announce: Callable[[str], None],
    login: Login | None,
) -> int:
    port = int(listener.getsockname()[1])
    config = Config(**{**vars(config), "port": port})
    # The relay needs the interpreter again after each event, and threads that open streams would
    # keep it so long: at 1 ms the first event of 500 streams is late (docs/PERFORMANCE.md).
    sys.setswitchinterval(0.0002)
    make_room(listener)
    place.streams.turn_on()
    app = create_app(config)
    built: Services = app.extensions["brimline"]
    built.login = login
    try:
        _refuse_open_network(built)
    except AppError:
        listener.close()
        db.close_databases()
        raise
    server = _waitress(app, config, listener)
    stopping = threading.Event()
    # A second signal may interrupt the handler of the first; an Event's lock would wait for itself.
    asked: queue.SimpleQueue[None] = queue.SimpleQueue()
    built.stop = lambda: asked.put(None)
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(ValueError):  # not the main thread: a test runs us
            signal.signal(number, lambda *_: asked.put(None))
    scheduler = Scheduler(_jobs(built))
    web = threading.Thread(target=_serve_web, args=(server, stopping), name="web", daemon=True)
    web.start()
    built.proxy.start()
    built.indexer.start()
    built.facts.start()
    built.telemetry.start()
    scheduler.start()
    _collect_seldom()
    address = f"http://{_shown(config.host)}:{port}/"
    try:
        _write_server_file(config, built)
        announce(f"Brimline is ready at {address}")
        sys.stdout.flush()
        _wait(asked)
    finally:
        stopping.set()
        _stop(built, server, scheduler, config)
        _deaf()
    return 0


def _wait(asked: queue.SimpleQueue[None]) -> None:
    """Wait until the end is asked for.

    With a glance every second: a signal that came while the whole process was stopped may be taken
    by another thread, and Python's handlers run in this one, which nothing would wake.
    """
    while True:
        with suppress(queue.Empty):
            return asked.get(timeout=_GLANCE_SECONDS)


def make_room(listener: socket.socket) -> None:
    """Let the process hold many connections, two for each stream; call it before threads start.

    Systems permit 256 or 1,024 unless they are asked. And Linux enlarges the table of open files
    by halves: with threads that stops the process for 15 to 20 ms each time.
    """
    try:
        import fcntl
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < _MOST_FILES:
            most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
            soft = max(soft, most)
        last = _MOST_FILES if soft == resource.RLIM_INFINITY else min(_MOST_FILES, soft)
        os.close(fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, last - 1))


def _collect_seldom() -> None:
    """Keep the collector of cycles out of the streams' way: no stream moves while it looks.

    A full collection took 20 to 80 ms, in the middle of a storm of new streams. What lives as long
    as the server is left out from now on, the young are looked at in small lots, and all the rest
    when nothing is open, by `_collect`.
    """
    gc.freeze()
    gc.set_threshold(500, 4, 2_000)
    gc.enable()  # a server's command starts without it, which is a tenth quicker


def _collect(built: Services) -> None:
    if not built.proxy.active():
        place.streams.part()
        gc.collect()


def _deaf() -> None:
    """Ignore late signals: the interpreter would die of one while it takes itself down."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(ValueError):  # not the main thread: a test runs us
            signal.signal(number, signal.SIG_IGN)


def _serve_web(server: Any, stopping: threading.Event) -> None:
    try:
        server.run()
    except OSError:
        # Closing pulls the sockets from under waitress' loop; at any other time it is a fault.
        if not stopping.is_set():
            raise


def _stop(built: Services, server: Any, scheduler: Scheduler, config: Config) -> None:
    """Let streams end and refuse new ones, then close: web, scheduler, indexer, database."""
    log.info("stopping: %d streams are open", built.proxy.active())
    with suppress(OSError):
        config.server_file.unlink()
    built.proxy.drain()
    limit = time.monotonic() + DRAIN_SECONDS
    # Clients that come meanwhile are answered (that we end): they would wait at a closed door.
    while built.proxy.active() and time.monotonic() < limit:
        time.sleep(0.05)
    with suppress(Exception):
        server.accepting = False
    built.proxy.stop()
    scheduler.stop()
    built.facts.stop()
    built.indexer.stop()
    # Threads first: one that ends an answer later would wake a loop whose descriptor is closed, and
    # write into whatever has that number by then.
    server.task_dispatcher.shutdown(timeout=1)
    server.close()
    built.telemetry.stop()
    for save in (built.pool.stop, built.keys.save):
        with suppress(Exception):
            save()
    db.close_databases()


def _jobs(built: Services) -> list[tuple[str, Callable[[], float], Callable[[], None]]]:
    return [
        (
            "allowance",
            lambda: float(settings.get("usagePollSeconds")),
            built.pool.poll_usage,
        ),
        ("tokens", lambda: 60.0, built.pool.keep_tokens_fresh),
        ("accounts", lambda: 5.0, built.pool.expire_blocks),
        ("keys", lambda: 5.0, built.keys.save),
        ("sessions", lambda: 60.0, built.sessions.save),
        ("models", lambda: 300.0, built.proxy.refresh_models),
        ("clients", lambda: 10.0, built.proxy.look_at_clients),
        ("retention", lambda: 3600.0, built.proxy.forget_old),
        ("snapshots", lambda: 3600.0, built.pool.forget_old),
        ("prices", lambda: 10.0, reprice.keep),
        ("rollups", lambda: 10.0, calls.keep),
        ("telemetry", lambda: 5.0, built.telemetry.reconcile),
        ("memory", lambda: 30.0, lambda: _collect(built)),
        ("telemetry retention", lambda: 3600.0, built.telemetry.forget_old),
    ]


class _Unread(ErrorTask):  # type: ignore[misc]
    """waitress' answer to what it cannot read as a request, in our words and with our headers."""

    def execute(self) -> None:
        """Answer, and end the connection: where the next request begins is not known."""
        error = self.request.error
        self.status = f"{error.code} {error.reason}"
        headers, body = unread(error.code, str(getattr(self.request, "path", "")))
        self.response_headers.extend(headers)
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(Channel):
    error_task_class = _Unread


def _waitress(app: Any, config: Config, listener: socket.socket) -> Any:
    # Every limit and its reason: docs/ARCHITECTURE.md, "Threads and limits".
    loop = Loop()
    server = waitress.server.create_server(
        app,
        map=loop.map,
        sockets=[listener],
        _dispatcher=Workers(config.threads),
        connection_limit=2000,
        asyncore_use_poll=True,
        channel_request_lookahead=1,
        channel_timeout=7200,
        cleanup_interval=10,
        backlog=2048,
        max_request_header_size=65536,
        max_request_body_size=134217728,
        outbuf_high_watermark=1048576,
        ident=None,
        expose_tracebacks=False,
        clear_untrusted_proxy_headers=True,
    )
    server.channel_class = _Channel
    server.asyncore = loop
    server.pull_trigger = partial(loop.rouse, server.trigger.pull_trigger)
    return server


def _refuse_open_network(built: Services) -> None:
    """Another host than loopback needs API keys, and a password or the admin token.

    Who starts it with the admin token cannot have opened its pages on loopback before (a container
    that publishes ports): keys are asked for from then on, and made on the pages by that token.
    """
    config = built.config
    if config.loopback:
        return
    missing = []
    if not (built.password.configured or config.admin_token):
        missing.append("set a dashboard password (or BRIMLINE_ADMIN_API_TOKEN)")
    elif config.admin_token and not settings.get("apiKeyAuthEnabled"):
        settings.change({"apiKeyAuthEnabled": True})
        log.warning(
            "clients need API keys from now on, as Brimline listens on %s: "
            "open its pages with the admin token and make one under API keys",
            config.host,
        )
    if not settings.get("apiKeyAuthEnabled"):
        missing.append("turn on API keys for clients")
    if missing:
        raise AppError(
            f"Brimline will not listen on {config.host}: anyone on the network could spend your "
            f"allowance. Start it on 127.0.0.1 and, in its settings, {' and '.join(missing)}; "
            "then start it again.",
            title="Refused to open to the network",
            code="open_network_refused",
        )


def _bind(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":
        # On Windows this option would let two servers share the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        if error.errno in _BUSY:
            raise PortBusy(_busy_sentence(config)) from error
        raise AppError(_bind_sentence(config, error), code="cannot_listen") from error
    return listener


def _bind_sentence(config: Config, error: OSError) -> str:
    mend = "Give an address of this computer with --host; 127.0.0.1 always is one."
    if error.errno == errno.EACCES:
        mend = "Choose a port from 1024 up with --port (and tell your clients)."
    place = f"{_shown(config.host)}:{config.port}"
    return f"Brimline cannot listen on {place}: {error.strerror or error}. {mend}"


def _busy_sentence(config: Config) -> str:
    place = f"{_shown(config.host)}:{config.port}"
    holder = _holder(config)
    who = f" by {holder}" if holder else ""
    return (
        f"The port {place} is in use{who}. Stop that program, or choose another port with "
        "--port (and tell your clients)."
    )


def _holder(config: Config) -> str | None:
    """Who answers on the port, or which process has it, when that can be known."""
    import http.client

    try:
        probe = http.client.HTTPConnection(config.host, config.port, timeout=1)
        probe.request("GET", "/health")
        said = json.loads(probe.getresponse().read(4096))
        if said.get("name") == NAME:
            return f"another Brimline (process {said.get('pid')}, data folder elsewhere)"
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        pass
    return _listening_process(config.port) if sys.platform.startswith("linux") else None


def _listening_process(port: int) -> str | None:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                part = line.split()
                if part[3] == "0A" and int(part[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{part[9]}]")
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(str(link.readlink()) in inodes for link in (folder / "fd").iterdir()):
                name = (folder / "comm").read_text().strip()
                return f"“{name}” (process {folder.name})"
    return None


def _take(lock: Lock) -> bool:
    """Take the data folder; False when a server has it. A scan is waited for: it will end."""
    waiting = False
    while not lock.acquire():
        if sys.platform == "win32" or _alive(signed(Path(lock.path))):  # only servers sign
            return False
        if not waiting:
            print("A scan has this data folder; waiting for it.", file=sys.stderr, flush=True)  # noqa: T201
            waiting = True
        time.sleep(_LOOK_SECONDS)
    return True


def _alive(process: int | None) -> bool:
    if not process or process < 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _already(config: Config) -> str:
    try:
        known = json.loads(config.server_file.read_text())
        return f"Brimline already runs at http://{_shown(known['host'])}:{known['port']}/"
    except (OSError, ValueError, KeyError, TypeError):
        return "Brimline already runs on this data folder."


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _write_server_file(config: Config, built: Services) -> None:
    temporary = config.server_file.with_suffix(f".{os.getpid()}")
    try:
        _write_address(config, built, temporary)
        temporary.replace(config.server_file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise db.StoreError(
            f"Brimline cannot write {config.server_file}: {error.strerror or error}. Free some "
            "space or mend the folder, then start again."
        ) from error


def _write_address(config: Config, built: Services, path: Path) -> None:
    # The token in it lets the tray of this user control the server, so 0600 from the start.
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(
            {
                "host": config.host,
                "port": config.port,
                "pid": os.getpid(),
                "version": __version__,
                "token": built.tray_token,
            },
            file,
        )
