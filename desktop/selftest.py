"""What works on this machine: the parts of the program, the pages, the tray and the window."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from desktop import host
from server import __version__
from server.config import Config

_SERVER_PARTS = ("flask", "waitress", "peewee", "cryptography", "requests", "orjson", "zstandard")


def run(config: Config) -> dict[str, Any]:
    """Check everything; `ok` is false when something that every role needs is missing."""
    checks = [
        _check("program parts", True, _parts),
        _check("pages", True, _pages),
        _check("data folder", True, lambda: _data_folder(config)),
        _check("icon", True, _icon),
        _check("display", False, host.require_display),
        _check("tray", False, host.require_tray),
        _check("tray host", False, host.require_host),
        _check("window", False, host.require_web_view),
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
    return str(page.parent)


def _data_folder(config: Config) -> str:
    place = config.data_dir
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        raise PermissionError(f"{place} cannot be written; choose another with --data-dir")
    return str(config.data_dir)


def _icon() -> str:
    from desktop import display

    sizes = [display.draw(display.Mark(), size).size[0] for size in (16, 22, 32, 64)]
    return f"drawn at {', '.join(str(size) for size in sizes)} px"
