"""What works on this machine: the parts of the program, the pages, the tray and the window."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from desktop import host
from server import __version__
from server.config import Config

_SERVER_PARTS = ("flask", "waitress", "peewee", "cryptography", "requests", "orjson", "zstandard")

_DESKTOP: tuple[tuple[str, Callable[[], str]], ...] = (
    ("display", host.require_display),
    ("tray", host.require_tray),
    ("tray host", host.require_host),
    ("notifications", host.require_notifications),
    ("window", host.require_web_view),
)


def parts_of_the_desktop() -> list[tuple[str, str]]:
    """Each part of the desktop by name, and what it is or why it is missing."""
    return [(name, str(_check(name, False, look)["detail"])) for name, look in _DESKTOP]


def run(config: Config) -> dict[str, Any]:
    """Check everything; `ok` is false when something that every role needs is missing."""
    checks = [
        _check("program parts", True, _parts),
        _check("pages", True, _pages),
        _check("data folder", True, lambda: _data_folder(config)),
        _check("icon", True, _icon),
        *(_check(name, False, look) for name, look in _DESKTOP),
    ]
    return {
        "ok": all(check["ok"] for check in checks if check["required"]),
        "version": __version__,
        "python": sys.version.split()[0],
        "platform": sys.platform,
        "frozen": bool(getattr(sys, "frozen", False)),
        "checks": checks,
    }


def _check(name: str, required: bool, look: Callable[[], str]) -> dict[str, Any]:
    try:
        ok, detail = True, look()
    except Exception as error:  # a broken part can raise anything when it is imported
        ok, detail = False, str(error) or type(error).__name__
    return {"name": name, "ok": ok, "required": required, "detail": detail}


def _parts() -> str:
    for name in _SERVER_PARTS:
        importlib.import_module(name)
    importlib.import_module("server.runtime")
    return f"{len(_SERVER_PARTS) + 1} found"


def _pages() -> str:
    from server.app import pages_folder

    page = pages_folder() / "index.html"
    if not page.is_file():
        raise FileNotFoundError("they are not built; run `make setup`")
    # A program that was packed while they were being built has a page without its script.
    named = re.findall(r'(?:src|href)="/([^"]+)"', page.read_text(encoding="utf-8"))
    lost = [name for name in named if not (page.parent / name).is_file()]
    if lost:
        raise FileNotFoundError(f"{lost[0]} is missing; build them again with `make setup`")
    return str(page.parent)


def _data_folder(config: Config) -> str:
    place = config.data_dir
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        raise PermissionError(f"{place} cannot be written; choose another with --data-dir")
    return str(config.data_dir)


def _icon() -> str:
    from desktop import icon

    sizes = [icon.draw(icon.Mark(), size).size[0] for size in (16, 22, 32, 64)]
    return f"drawn at {', '.join(str(size) for size in sizes)} px"
