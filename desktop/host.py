"""What this desktop offers a tray and a window; what is missing is named with its remedy."""

from __future__ import annotations

import os
import sys

_TRAY_PACKAGES = "gir1.2-ayatanaappindicator3-0.1"
_WINDOW_PACKAGES = "gir1.2-webkit2-4.1"


class Missing(Exception):
    """A part of the desktop is not there; the message says what it is and how to get it."""


def require_display() -> str:
    """Name the screen; raises `Missing` when there is none."""
    if sys.platform in ("darwin", "win32"):
        return sys.platform
    for name in ("WAYLAND_DISPLAY", "DISPLAY"):
        if os.environ.get(name):
            return f"{name}={os.environ[name]}"
    raise Missing("there is no display (DISPLAY is not set); `brimline serve` works without one")


def require_tray() -> str:
    """Name what draws the tray icon; raises `Missing` when nothing can."""
    require_display()
    try:
        import pystray
    except Exception as error:  # Xlib raises its own DisplayNameError, gi a ValueError
        raise Missing(f"no tray icon is possible here ({_first_line(error)})") from error
    backend = str(pystray.Icon.__module__).rpartition(".")[2].lstrip("_")
    if not pystray.Icon.HAS_MENU:
        raise Missing(
            f"the tray has no menu here; install {_TRAY_PACKAGES} and python3-gi "
            f"(Debian: apt install {_TRAY_PACKAGES})"
        )
    return backend


def require_session_bus() -> str:
    """Name the session bus; raises `Missing` when there is none. Linux only."""
    try:
        from gi.repository import Gio

        return str(Gio.bus_get_sync(Gio.BusType.SESSION, None).get_unique_name())
    except Exception as error:
        raise Missing(
            "there is no session D-Bus; start Brimline from your desktop session, or with "
            "`dbus-run-session brimline tray`"
        ) from error


def require_host() -> str:
    """Name who shows tray icons; raises `Missing` when this desktop shows none."""
    if sys.platform in ("darwin", "win32"):
        return sys.platform
    require_display()
    if _watcher():
        return "StatusNotifier"
    if _x_tray():
        return "X system tray"
    raise Missing(
        "this desktop shows no tray icons. GNOME: install the extension “AppIndicator and "
        "KStatusNotifierItem Support”; other panels: add their system tray"
    )


def _watcher() -> bool:
    try:
        from gi.repository import Gio, GLib

        bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
        answer = bus.call_sync(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "NameHasOwner",
            GLib.Variant("(s)", ("org.kde.StatusNotifierWatcher",)),
            None,
            0,
            2000,
            None,
        )
        return bool(answer.unpack()[0])
    except Exception:  # no bus, no gi: then there is no watcher either
        return False


def _x_tray() -> bool:
    if not os.environ.get("DISPLAY"):
        return False
    try:
        from Xlib.display import Display  # type: ignore[import-untyped]

        screen = Display()
        try:
            selection = screen.intern_atom(f"_NET_SYSTEM_TRAY_S{screen.get_default_screen()}")
            return bool(screen.get_selection_owner(selection))
        finally:
            screen.close()
    except Exception:  # python-xlib raises many kinds when the screen refuses us
        return False


def require_web_view() -> str:
    """Name what shows the window; raises `Missing` when the browser must do."""
    require_display()
    if sys.platform in ("darwin", "win32"):
        return "the system's web view"
    try:
        import gi

        gi.require_version("Gtk", "3.0")
        gi.require_version("WebKit2", "4.1")
        from gi.repository import WebKit2

        version = (WebKit2.get_major_version(), WebKit2.get_minor_version())
        return "WebKitGTK {}.{}".format(*version)
    except Exception as error:
        raise Missing(
            "the window needs WebKitGTK; until then the dashboard opens in the browser "
            f"(Debian: apt install {_WINDOW_PACKAGES})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
