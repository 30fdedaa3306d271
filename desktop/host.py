"""What this desktop offers a tray and a window; what is missing is named with its remedy."""

from __future__ import annotations

import os
import sys
from typing import Any

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
        why = _first_line(error)
        mend = (
            "look at DISPLAY; `brimline serve` works without one"
            if "display" in why.lower()
            else f"it needs Gtk 3 and {_TRAY_PACKAGES} (Debian: apt install {_TRAY_PACKAGES})"
        )
        raise Missing(f"no tray icon is possible here ({why}); {mend}") from error
    backend = str(pystray.Icon.__module__).rpartition(".")[2].lstrip("_")
    if backend == "appindicator" and not _indicator_loads():
        raise Missing(
            "libayatana-appindicator3, which shows tray icons, is not installed "
            f"(Debian: apt install {_TRAY_PACKAGES})"
        )
    if not pystray.Icon.HAS_MENU:
        raise Missing(
            f"the tray has no menu here; install {_TRAY_PACKAGES} and python3-gi "
            f"(Debian: apt install {_TRAY_PACKAGES})"
        )
    return backend


def _indicator_loads() -> bool:
    """Whether the library behind its description is there; the binary brings the description."""
    from pystray import _appindicator

    # A type whose library cannot be loaded is `void`.
    return bool(_appindicator.AppIndicator.Indicator.__gtype__.name != "void")


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
    if _owned("org.kde.StatusNotifierWatcher"):
        return "StatusNotifier"
    if _x_tray():
        return "X system tray"
    raise Missing(
        "this desktop shows no tray icons. GNOME: install the extension “AppIndicator and "
        "KStatusNotifierItem Support”; other panels: add their system tray"
    )


def require_notifications() -> str:
    """Name who shows notifications; raises `Missing` when this desktop shows none."""
    if sys.platform in ("darwin", "win32"):
        return sys.platform
    require_session_bus()
    name = "org.freedesktop.Notifications"
    if _owned(name):
        return "a notification service"
    try:
        startable = name in _ask_bus("ListActivatableNames", None)
    except Exception:  # a bus that does not answer starts nothing
        startable = False
    if startable:
        return "a notification service, which starts when it is needed"
    raise Missing(
        "nothing shows notifications here, so alerts stay silent; install a notification service "
        "(Debian: apt install dunst, or the one of your desktop)"
    )


def _owned(name: str) -> bool:
    try:
        from gi.repository import GLib

        return bool(_ask_bus("NameHasOwner", GLib.Variant("(s)", (name,))))
    except Exception:  # no bus, no gi: then nobody is there either
        return False


def _ask_bus(method: str, argument: Any) -> Any:
    from gi.repository import Gio

    bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
    name, path = "org.freedesktop.DBus", "/org/freedesktop/DBus"
    return bus.call_sync(name, path, name, method, argument, None, 0, 2000, None).unpack()[0]


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
