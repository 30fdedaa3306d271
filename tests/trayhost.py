"""A desktop of our own for tests: screen, window manager, session bus, tray and notifications.

The tray of a real panel speaks two D-Bus protocols: StatusNotifierItem for the icon and
dbusmenu for its menu. `TrayHost` speaks them too, so that a test reads and clicks what a user
would see, without a panel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

T = TypeVar("T")

PROGRAMS = ("Xvfb", "xauth", "openbox", "dbus-daemon", "xdotool")

_WATCHER = """<node><interface name="org.kde.StatusNotifierWatcher">
<method name="RegisterStatusNotifierItem"><arg type="s" direction="in"/></method>
<method name="RegisterStatusNotifierHost"><arg type="s" direction="in"/></method>
<property name="RegisteredStatusNotifierItems" type="as" access="read"/>
<property name="IsStatusNotifierHostRegistered" type="b" access="read"/>
<property name="ProtocolVersion" type="i" access="read"/>
<signal name="StatusNotifierItemRegistered"><arg type="s"/></signal>
<signal name="StatusNotifierHostRegistered"/></interface></node>"""

_NOTIFICATIONS = """<node><interface name="org.freedesktop.Notifications">
<method name="Notify"><arg type="s" direction="in"/><arg type="u" direction="in"/>
<arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="s" direction="in"/>
<arg type="as" direction="in"/><arg type="a{sv}" direction="in"/><arg type="i" direction="in"/>
<arg type="u" direction="out"/></method>
<method name="CloseNotification"><arg type="u" direction="in"/></method>
</interface></node>"""


def missing() -> list[str]:
    """Programs that these tests need and this machine lacks."""
    return [name for name in PROGRAMS if not shutil.which(name)]


def until(look: Callable[[], T], seconds: float = 30.0, why: str = "") -> T:
    """Wait until `look` returns something true, and return it; its errors count as not yet."""
    limit = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < limit:
        try:
            found = look()
            if found:
                return found
            last = found
        except Exception as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {why}; last: {last!r}")


@dataclass
class Desktop:
    """A running private desktop; `environment` is what its programs need."""

    display: str
    bus: str
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def desktop(folder: Path, screen: str = "1280x800x24") -> Iterator[Desktop]:
    """Start a screen, a window manager and a session bus; stop them afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        display = _start_screen(started, screen)
        env = {**os.environ, "DISPLAY": display, "HOME": str(folder)}
        bus = _start_bus(started, env)
        env["DBUS_SESSION_BUS_ADDRESS"] = bus
        started.append(
            subprocess.Popen(["openbox"], env=env, stdout=-3, stderr=-3, start_new_session=True)
        )
        yield Desktop(display, bus, {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus})
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
            if process.stdout is not None:
                process.stdout.close()


def _start_screen(started: list[subprocess.Popen[bytes]], screen: str) -> str:
    # Xvfb chooses a free number and writes it to the pipe once it can be used.
    read, write = os.pipe()
    words = ["Xvfb", "-displayfd", str(write), "-screen", "0", screen, "-nolisten", "tcp"]
    started.append(
        subprocess.Popen(words, pass_fds=[write], stdout=-3, stderr=-3, start_new_session=True)
    )
    os.close(write)
    with os.fdopen(read) as answer:
        return f":{int(answer.readline())}"


def _start_bus(started: list[subprocess.Popen[bytes]], env: dict[str, str]) -> str:
    words = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address"]
    bus = subprocess.Popen(words, env=env, stdout=-1, stderr=-3, start_new_session=True)
    started.append(bus)
    assert bus.stdout is not None
    return bus.stdout.readline().decode().strip()


@dataclass(frozen=True)
class Item:
    """One row of a menu as the panel gets it."""

    number: int
    depth: int
    label: str
    enabled: bool
    checked: bool | None
    separator: bool

    def __str__(self) -> str:
        mark = {True: " [x]", False: " [ ]", None: ""}[self.checked]
        off = "" if self.enabled else " (off)"
        return "  " * self.depth + ("---" if self.separator else self.label) + mark + off


class TrayHost:
    """Shows tray icons to tests, and collects notifications."""

    def __init__(self, bus: str) -> None:
        self.notes: list[tuple[str, str]] = []  # title, text
        self._items: list[tuple[str, str]] = []
        self._news = threading.Condition()
        self._context = GLib.MainContext()
        self._loop = GLib.MainLoop(self._context)
        flags = Gio.DBusConnectionFlags
        self._bus = Gio.DBusConnection.new_for_address_sync(
            bus,
            flags.AUTHENTICATION_CLIENT | flags.MESSAGE_BUS_CONNECTION,
            None,
            None,
        )
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(30)

    def close(self) -> None:
        """Leave the bus."""
        self._loop.quit()
        self._thread.join(30)
        self._bus.close_sync(None)

    def mute(self) -> None:
        """Be a desktop without a notification service, until `unmute`."""
        self._disown("org.freedesktop.Notifications")

    def unmute(self) -> None:
        """Be a desktop with a notification service again."""
        self._own("org.freedesktop.Notifications")

    def hide(self) -> None:
        """Be a desktop without a tray, until `show`."""
        self._disown("org.kde.StatusNotifierWatcher")

    def show(self) -> None:
        """Be a desktop with a tray again."""
        self._own("org.kde.StatusNotifierWatcher")

    def forget(self) -> None:
        """Forget the icons that registered so far."""
        with self._news:
            self._items.clear()

    def item(self, seconds: float = 30.0) -> tuple[str, str]:
        """The newest tray icon, waited for."""
        with self._news:
            if not self._news.wait_for(lambda: self._items, seconds):
                raise AssertionError("no tray icon registered")
            return self._items[-1]

    def properties(self) -> dict[str, Any]:
        """What the icon says of itself: Id, Status, Title, IconName, Menu, …"""
        argument = GLib.Variant("(s)", ("org.kde.StatusNotifierItem",))
        found = self._call(*self.item(), "org.freedesktop.DBus.Properties", "GetAll", argument)
        return dict(found[0])

    def menu(self) -> list[Item]:
        """The menu's rows, submenus after their row and one level deeper."""
        owner, path = self.item()[0], self.properties()["Menu"]
        name = "com.canonical.dbusmenu"
        self._call(owner, path, name, "AboutToShow", GLib.Variant("(i)", (0,)))
        layout = self._call(owner, path, name, "GetLayout", GLib.Variant("(iias)", (0, -1, [])))
        self._settle()
        return list(_flat(layout[1], -1))

    def lines(self) -> list[str]:
        """The menu as text, a line a row."""
        return [str(item) for item in self.menu()]

    def click(self, label: str, under: str | None = None) -> None:
        """Click the row with this label, once it can be clicked.

        With `under`, in the submenu of the row beginning so.
        """
        found = until(lambda: self._clickable(label, under), why=f"a row “{label}” to click")[0]
        event = GLib.Variant(
            "(isvu)", (found.number, "clicked", GLib.Variant("i", 0), int(time.time()))
        )
        menu = self.properties()["Menu"]
        self._call(self.item()[0], menu, "com.canonical.dbusmenu", "Event", event)

    def _clickable(self, label: str, under: str | None) -> list[Item]:
        rows = self.menu()
        first = 0
        if under is not None:
            first = 1 + next(i for i, row in enumerate(rows) if row.label.startswith(under))
        return [row for row in rows[first:] if row.label == label and row.enabled]

    # --- Our side of the bus --------------------------------------------------------------------

    def _serve(self, ready: threading.Event) -> None:
        self._context.push_thread_default()
        for path, text in (
            ("/StatusNotifierWatcher", _WATCHER),
            ("/org/freedesktop/Notifications", _NOTIFICATIONS),
        ):
            interface = Gio.DBusNodeInfo.new_for_xml(text).interfaces[0]
            self._bus.register_object(path, interface, self._answer, self._property, None)
        self._own("org.freedesktop.Notifications")
        self._own("org.kde.StatusNotifierWatcher")
        ready.set()
        self._loop.run()
        self._context.pop_thread_default()

    def _settle(self) -> None:
        """Wait until what came before has been taken in: an answer overtakes what others say."""
        done = threading.Event()
        rest = GLib.Idle()  # of a lower priority than messages
        rest.set_callback(lambda *_: done.set())
        rest.attach(self._context)
        assert done.wait(30), "the tray's host hangs"

    def _own(self, name: str) -> None:
        self._call(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "RequestName",
            GLib.Variant("(su)", (name, 0)),
        )

    def _disown(self, name: str) -> None:
        self._call(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "ReleaseName",
            GLib.Variant("(s)", (name,)),
        )

    def _answer(self, *call: Any) -> None:
        connection, sender, _, _, method, parameters, invocation = call
        values = parameters.unpack()
        if method == "RegisterStatusNotifierItem":
            said = values[0]
            item = (sender, said) if said.startswith("/") else (said, "/StatusNotifierItem")
            with self._news:
                self._items.append(item)
                self._news.notify_all()
        if method == "Notify":
            self.notes.append((values[3], values[4]))
            invocation.return_value(GLib.Variant("(u)", (1,)))
            return
        invocation.return_value(None)

    def _property(self, *asked: Any) -> Any:
        known = {
            "RegisteredStatusNotifierItems": GLib.Variant("as", ["".join(i) for i in self._items]),
            "IsStatusNotifierHostRegistered": GLib.Variant("b", True),
            "ProtocolVersion": GLib.Variant("i", 0),
        }
        return known[asked[4]]

    def _call(self, *call: Any) -> Any:
        owner, path, interface, method, argument = call
        answer = self._bus.call_sync(
            owner, path, interface, method, argument, None, Gio.DBusCallFlags.NONE, 30_000, None
        )
        return answer.unpack()


def _flat(node: Any, depth: int) -> Iterator[Item]:
    number, values, children = node
    if number:
        toggle = values.get("toggle-state") if "toggle-type" in values else None
        yield Item(
            number,
            depth,
            # dbusmenu doubles an underscore, since a single one marks a shortcut.
            str(values.get("label", "")).replace("__", "_"),
            bool(values.get("enabled", True)),
            None if toggle is None else toggle == 1,
            values.get("type") == "separator",
        )
    for child in children:
        yield from _flat(child, depth + 1)
