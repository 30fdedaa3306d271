"""The tray: asks the server, draws what `display` says, forwards clicks.

pystray has the main thread; one thread of ours looks, paints and carries out what was clicked, so
the menu never waits for the server.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from desktop import alerts, autostart, desk, display, host, icon, leftovers
from desktop.supervisor import (
    Client,
    Supervisor,
    child_environment,
    find,
    self_command,
    use_host_libraries,
)
from desktop.wake import Wake
from desktop.window import DONE
from server import ownlog
from server.config import Config
from server.errors import AppError
from server.store.lock import Lock

log = logging.getLogger(__name__)

EXIT_NO_TRAY = 4
REFRESH = 30.0
_EAGER = 2.0  # in the first minute, and for a minute after a click
_EAGER_SECONDS = 60.0
_ANXIOUS = 0.5  # while the server is not there
_TICK = 0.5  # how soon a second start is noticed
_WINDOW_SECONDS = 15.0
_TICKET_SECONDS = 2.0
_SERVER_SECONDS = 60.0  # how long the browser waits for a server that is starting
_SLEPT = 20.0  # the clocks disagree by so much only when the computer slept
_ASKED = ("active", "rate_limited", "quota_exceeded")  # whose allowance the provider tells


def run(config: Config, *, open_window: bool = False, refresh: float | None = None) -> int:
    """Show the tray until Quit. 0 it ended, or one runs already; 4 no tray is possible here."""
    try:
        host.require_display()
        if sys.platform not in ("darwin", "win32"):
            host.require_tray()
            host.require_session_bus()
    except host.Missing as missing:
        _say(f"no tray here: {missing}")
        return EXIT_NO_TRAY
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    use_host_libraries()
    lock = Lock(config.data_dir / "tray.lock")
    if not lock.acquire():
        return _raise_other(config)
    try:
        ownlog.start(config, "tray", copies=1, console=False)
        # As the kill would have it: the server goes on, for the next tray.
        leftovers.end_with_loader(lambda: os._exit(1))
        return Tray(config, refresh or REFRESH).run(open_window=open_window)
    finally:
        lock.release()


def _say(text: str) -> None:
    if sys.stderr is not None:
        print(f"brimline: {text}", file=sys.stderr, flush=True)  # noqa: T201


def _raise_other(config: Config) -> int:
    address = find(config)
    if address is not None:
        with suppress(AppError):
            Client(address).post("/api/show")
    Wake(config.data_dir / "tray.wake").touch()
    _say("already running; its window opens")
    return 0


class Sleep:
    """Notices that the computer slept: the wall's clock went on, the process's did not.

    (Windows' monotonic clock goes on too; there a look that comes far too late tells it.)
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def over(self, wall: float, monotonic: float) -> bool:
        """Whether it slept since the last time this was asked."""
        last, self._last = self._last, (wall, monotonic)
        return last is not None and wall - last[0] > min(monotonic - last[1], _TICK) + _SLEPT


class Tray:
    """One tray icon and the window it opens."""

    def __init__(self, config: Config, refresh: float) -> None:
        self.config = config
        self.view = display.View(trouble="The server is starting")
        self._refresh = refresh
        self._supervisor = Supervisor(config)
        self._wake = Wake(config.data_dir / "tray.wake")
        self._leave = Wake(config.data_dir / "tray.quit")
        self._changes = Wake(config.data_dir / "tray.look")
        self._changes.touch()  # the server only touches a file that is there
        self._actions: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()
        self._window = _Window(self)
        self._icon: Any = None
        self._on_main: Callable[..., None] = lambda function, *args: function(*args)
        self._client: Client | None = None
        self.stopping = False
        self._shows: int | None = None
        self._visible: tuple[int, bool] | None = None  # to which server what was said
        self._used_at = time.monotonic()
        self._sleep = Sleep()
        self._refreshing = threading.Lock()  # held while the provider is asked
        self._demo = bool(os.environ.get("BRIMLINE_DEMO"))  # it changes nothing of the user's
        self._painted: tuple[Any, ...] = ()
        self._told: alerts.Told = {}
        self._verbs: dict[str, Callable[..., None]] = {
            "open": self._open,
            "pause": self._pause,
            "resume": self._resume,
            "restart": self._supervisor.restart,
            "login": self._toggle_login,
            "refresh": self._refresh_now,
            "look": lambda: None,
            "only": self._only,
            "set": self._set_choices,
            "logs": self._open_logs,
            "diagnostics": self._copy_diagnostics,
            "quit": self._quit,
        }

    def run(self, *, open_window: bool = False) -> int:
        """Show the icon and look after the server until Quit."""
        from desktop import livemenu

        self._on_main = livemenu.on_main_thread()
        if not self._demo:
            with suppress(OSError):
                autostart.heal()
        self._icon = livemenu.icon_class()(
            "brimline", icon.draw(display.mark(self.view)), "Brimline", self._menu()
        )
        self._icon.folder = self.config.data_dir / "tray"
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ask("quit"))
        if open_window:
            self.ask("open")
        self._without_a_host()
        self._icon.run(lambda icon: self._work())
        return 0

    def ask(self, *action: str) -> None:
        """Have something done by the tray's own thread; callable from any thread."""
        self._actions.put(action)

    # --- The thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        self._icon.visible = True
        while not self.stopping:
            try:
                self._look()
            except Exception:
                log.exception("the tray's look failed; it will look again")
            self._paint()
            self._carry_out_until(time.monotonic() + self._pause_length())
        self._window.close()
        left = self._supervisor.stop()
        if left:
            self._notify(alerts.Alert("Brimline's server is still running", left))
        self._on_main(self._icon.stop)

    def _pause_length(self) -> float:
        if self.view.trouble is not None:
            return min(_ANXIOUS, self._refresh)
        eager = time.monotonic() - self._used_at < _EAGER_SECONDS
        return min(_EAGER if eager else self._refresh, self._refresh)

    def _carry_out_until(self, moment: float) -> None:
        """Wait for the next look; a click, a second start or waking up ends the wait."""
        while not self.stopping and time.monotonic() < moment:
            if self._sleep.over(time.time(), time.monotonic()):
                log.info("this computer slept; asking for fresh figures")
                self._refresh_now()
                return
            try:
                action = self._actions.get(timeout=min(_TICK, self._refresh))
            except queue.Empty:
                if self._woken():
                    return
                continue
            self._carry_out(action)
            return

    def _woken(self) -> bool:
        """Whether there is a reason to stop waiting: a second start, a change, `brimline quit`."""
        if self._leave.changed():
            self._quit()
            return True
        if self._wake.changed():
            self._window.show("/")
            return True
        return self._changes.changed()

    def _carry_out(self, action: tuple[str, ...]) -> None:
        self._used_at = time.monotonic()
        try:
            self._verbs[action[0]](*action[1:])
        except AppError as error:
            log.warning("%s: %s", action[0], error.message)
            self._notify(alerts.Alert("That did not work", error.message))
        except OSError as error:
            log.warning("%s: %s", action[0], error)
            self._notify(alerts.Alert("That did not work", str(error)))

    def _look(self) -> None:
        """Tend the server, fetch the snapshot, tell what changed."""
        before = self.view
        self._client = self._supervisor.tend()
        snapshot = before.snapshot
        trouble = self._supervisor.trouble
        if self._client is not None:
            try:
                snapshot, trouble = self._client.get("/api/tray"), None
            except AppError as error:
                trouble = error.message
        self.view = display.View(
            snapshot=snapshot,
            trouble=trouble,
            can_start=self._supervisor.can_restart,
            hung=self._supervisor.hung,
            login=None if self._demo else autostart.enabled(),
            zone=datetime.now().astimezone().tzinfo,
            unheard=_unheard(),
        )
        self._tell(before)
        self._say_whether_visible()
        if trouble is None and snapshot is not None:
            self._notice_show(int(snapshot.get("show") or 0))

    def _tell(self, before: display.View) -> None:
        now = _now()
        found, self._told = alerts.news(before, self.view, self._told, now)
        hour = alerts.hour_of(now, self.view.zone)
        for alert in alerts.joined(alerts.audible(found, self.view.choices, hour)):
            self._notify(alert)

    def _say_whether_visible(self) -> None:
        """Have the pages say it while nothing shows our icon; told again to each new server."""
        client = self._client
        if client is None:
            return
        state = (client.address.pid, _visible())
        if state != self._visible:
            with suppress(AppError):  # the next look tries again
                client.put("/api/tray", {"visible": state[1]})
                self._visible = state

    def _notice_show(self, shows: int) -> None:
        if self._shows is not None and shows > self._shows:
            self._window.show("/")
        self._shows = shows

    # --- The picture --------------------------------------------------------------------------

    def _paint(self) -> None:
        """Hand over what changed, and only that: an untouched icon costs the panel nothing."""
        now = _now()
        mark, title = display.mark(self.view), display.tooltip(self.view, now)
        rows = display.menu(self.view, now)
        old = self._painted or (None, None, None)
        self._painted = (mark, title, rows)
        if mark != old[0]:
            self._on_main(self._set, "icon", icon.draw(mark))
        if title != old[1]:
            self._on_main(self._set, "title", title)
        if rows != old[2]:
            self._on_main(self._icon.update_menu)

    def _set(self, name: str, value: Any) -> None:
        setattr(self._icon, name, value)

    def _menu(self) -> Any:
        import pystray

        def items() -> list[Any]:
            return [self._item(row) for row in self._rows()]

        return pystray.Menu(items)

    def _rows(self) -> tuple[display.Row, ...]:
        return self._painted[2] if self._painted else display.menu(self.view, _now())

    def _item(self, row: display.Row) -> Any:
        import pystray

        if row == display.SEPARATOR:
            return pystray.Menu.SEPARATOR
        action: Any = None
        if row.children:
            action = pystray.Menu(*(self._item(child) for child in row.children))
        elif row.action:
            action = self._asking(row.action)
        checked = None if row.checked is None else lambda item, on=row.checked: on
        return pystray.MenuItem(
            row.text,
            action,
            checked=checked,
            radio=row.radio,
            default=row.default,
            enabled=row.enabled and (bool(row.action) or bool(row.children)),
        )

    def _asking(self, action: tuple[str, ...]) -> Callable[[Any, Any], None]:
        # pystray counts arguments: no default values, no partials.
        return lambda icon, item: self.ask(*action)

    def _notify(self, alert: alerts.Alert) -> None:
        log.info("told the user: %s", alert.title)
        # Without a title pystray fails on macOS.
        self._on_main(self._icon.notify, alert.text, alert.title)

    def _without_a_host(self) -> None:
        """Where nothing shows tray icons the window opens instead, and the reason is said."""
        try:
            host.require_host()
        except host.Missing as missing:
            text = f"{missing}. The window opens instead; `brimline quit` ends Brimline."
            _say(f"no tray icon: {text}")
            log.warning("no tray icon: %s", text)
            self._notify(alerts.Alert("No tray icon", f"{text[0].upper()}{text[1:]}"))
            self.ask("open")

    # --- What can be clicked -------------------------------------------------------------------

    def _open(self, path: str = "/") -> None:
        self._window.show(path)

    def _pause(self, account: str, until: str | None = None) -> None:
        if account == "*":
            self._server().post("/api/accounts/pause-all")
            return
        if until == "1h":
            at = datetime.fromtimestamp(_now() / 1000 + 3600, UTC)
            until = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._server().post(f"/api/accounts/{account}/pause", {"until": until})

    def _resume(self, account: str) -> None:
        every = account == "*"
        self._server().post(
            "/api/accounts/resume-all" if every else f"/api/accounts/{account}/resume"
        )

    def _only(self, account: str) -> None:
        for verb, key in display.only(self.view.accounts, account):
            self._server().post(f"/api/accounts/{key}/{verb}")

    def _set_choices(self, values: str) -> None:
        self._server().put("/api/settings", json.loads(values))

    def _refresh_now(self) -> None:
        """Have the server ask the provider; in a thread, for a provider may take its time."""
        client = self._client
        if client is None or not self._refreshing.acquire(blocking=False):
            return  # one is on its way: another would only ask the provider the same again
        keys = [str(a["id"]) for a in self.view.accounts if a.get("status") in _ASKED]

        def ask() -> None:
            other = Client(client.address, timeout=20.0)
            try:
                for key in keys:
                    with suppress(AppError):  # the account's own row says what is wrong with it
                        other.post(f"/api/accounts/{key}/probe")
            finally:
                other.close()
                self._refreshing.release()
            self.ask("look")

        threading.Thread(target=ask, name="refresh", daemon=True).start()

    def _open_logs(self) -> None:
        desk.open_folder(ownlog.folder(self.config))

    def _copy_diagnostics(self) -> None:
        text = desk.diagnostics(self.config, self.view)
        self._on_main(desk.copy, text)

    def _toggle_login(self) -> None:
        if autostart.enabled():
            autostart.disable()
        else:
            autostart.enable()

    def _quit(self) -> None:
        self.stopping = True

    def _server(self) -> Client:
        if self._client is None:
            raise AppError("The server is not running; nothing was changed.")
        return self._client

    def ticket_url(self, path: str, timeout: float | None = None) -> str:
        """An address for the browser that signs it in once."""
        return self._server().ticket_url(path, timeout=timeout)


class _Window:
    """The child process that shows the dashboard; it talks on stdin and dies with us."""

    def __init__(self, tray: Tray) -> None:
        self._tray = tray
        self._child: subprocess.Popen[bytes] | None = None
        self._orders = 0  # told, but not answered yet
        self._wanted = "/"

    def show(self, path: str) -> None:
        """Open the window at `path`, or raise the one that is open."""
        self._wanted = path
        if self._tell(f"open {path}" if path != "/" else "raise"):
            self._orders += 1
            return
        self._orders = 0
        frozen = bool(getattr(sys, "frozen", False))
        words = ["window", "--child", "--path", path]
        words += ["--data-dir", str(self._tray.config.data_dir)]
        self._child = subprocess.Popen(  # noqa: S603
            self_command(*words),
            env=child_environment(os.environ, outlives=False, frozen=frozen),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=ownlog.last_words(self._tray.config, "window"),
        )
        self._tell(f"first {self._first_page(path)}")
        watcher = threading.Thread(
            target=self._watch, args=(self._child, path), name="window", daemon=True
        )
        watcher.start()

    def close(self) -> None:
        """Close the window and wait for it briefly."""
        child = self._child
        if child is None or child.poll() is not None:
            return
        self._tell("quit")
        with suppress(OSError):
            if child.stdin is not None:
                child.stdin.close()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()

    def _first_page(self, path: str) -> str:
        """The page's one-time address, asked for while the window's process starts; or nothing.

        (It goes through the pipe, for everyone may read a process's arguments.)
        """
        try:
            return self._tray.ticket_url(path, timeout=_TICKET_SECONDS)
        except AppError:
            return ""  # the window looks for the server itself

    def _tell(self, line: str) -> bool:
        child = self._child
        if child is None or child.poll() is not None or child.stdin is None:
            return False
        try:
            child.stdin.write(line.encode() + b"\n")
            child.stdin.flush()
        except OSError:
            return False
        return True

    def _watch(self, child: subprocess.Popen[bytes], path: str) -> None:
        """A window that fails at once cannot be shown here: the browser takes over."""
        started = time.monotonic()
        for line in child.stdout or ():
            self._orders -= line.strip() == DONE.encode()
        code = child.wait()
        for pipe in (child.stdin, child.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        if self._tray.stopping:
            return
        if self._orders > 0:  # it was closing when we wanted it back
            self._tray.ask("open", self._wanted)
        elif code and time.monotonic() - started < _WINDOW_SECONDS:
            log.warning("the window ended with code %d; opening the browser", code)
            self._browse(path)

    def _browse(self, path: str) -> None:
        """Open the browser, once the server is there: at a first start it takes a moment."""
        limit = time.monotonic() + _SERVER_SECONDS
        while not self._tray.stopping:
            try:
                url = self._tray.ticket_url(path)
            except AppError as error:
                if time.monotonic() > limit:
                    log.warning("the browser was not opened: %s", error.message)
                    return
                time.sleep(_ANXIOUS)
                continue
            webbrowser.open(url)
            return


def _unheard() -> str | None:
    try:
        host.require_notifications()
    except host.Missing as missing:
        return str(missing)
    return None


def _visible() -> bool:
    """Whether somebody shows tray icons here."""
    try:
        host.require_host()
    except host.Missing:
        return False
    return True


def _now() -> int:
    return time.time_ns() // 1_000_000
