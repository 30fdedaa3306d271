"""Small favours of the desktop: show a folder, fill the clipboard, say how things are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from desktop import autostart, display, selftest
from desktop.supervisor import find
from server import __version__
from server.config import Config
from server.errors import AppError


def open_folder(folder: Path) -> None:
    """Show a folder in the desktop's file manager; raises `AppError` that names the folder."""
    if sys.platform == "win32":
        os.startfile(folder)  # noqa: S606
        return
    opener = "/usr/bin/open" if sys.platform == "darwin" else "xdg-open"
    try:
        subprocess.Popen(  # noqa: S603
            [opener, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise AppError(f"No file manager was found; the logs are in {folder}.") from error


def copy(text: str) -> None:
    """Put text on the clipboard. On Linux call it on the tray's main thread."""
    programs = {"darwin": "/usr/bin/pbcopy", "win32": "clip.exe"}
    if sys.platform in programs:
        encoding = "utf-16" if sys.platform == "win32" else "utf-8"
        subprocess.run(  # noqa: S603
            [programs[sys.platform]], input=text.encode(encoding), check=False, timeout=5
        )
        return
    from gi.repository import Gdk, GLib, Gtk

    def fill() -> bool:
        clipboard = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD)
        clipboard.set_text(text, -1)
        clipboard.store()
        return False

    GLib.idle_add(fill)


def diagnostics(config: Config, view: display.View) -> str:
    """What a report of a fault needs: versions, parts and states; no names, tokens or prompts."""
    report = selftest.parts_of_the_desktop()
    address = find(config)
    server = "not running"
    if address is not None and view.trouble is None:
        server = f"version {address.version}, process {address.pid}, port {address.port}"
    shot = view.snapshot or {}
    pool = shot.get("pool") or {}
    lines = [
        f"Brimline {__version__}",
        f"Python {sys.version.split()[0]} on {sys.platform}"
        + (", one file" if getattr(sys, "frozen", False) else ", from source"),
        f"Server: {server}",
        f"Trouble: {view.trouble or 'none'}",
        f"Pool: {pool.get('state', 'unknown')}; accounts {pool.get('accounts') or 'unknown'}",
        *(f"Account {place}: {_account(a)}" for place, a in enumerate(view.accounts, 1)),
        *(f"Notice: {text}" for text in shot.get("notices") or ()),
        f"Start at login: {'on' if autostart.enabled() else 'off'}",
        *(f"{name}: {said}" for name, said in report),
    ]
    return "\n".join(lines) + "\n"


def _account(account: object) -> str:
    found = account if isinstance(account, dict) else {}
    figures = ", ".join(
        f"{w['name']} {display.percent(w.get('remainingPercent'))}"
        for w in display.ordered(found.get("windows"))
    )
    return (
        f"{found.get('plan') or 'plan unknown'}, {found.get('status')}, {figures or 'no figures'}"
    )
