"""This machine: start at login, what works here, the version."""

from __future__ import annotations

import argparse
import json
from typing import Any

from desktop.commands.terminal import EXIT_ERROR, command, json_flag, say
from server import __version__
from server.config import Config
from server.errors import AppError


def add(commands: Any) -> None:
    """Add autostart, selftest and version."""
    autostart = command(
        commands,
        "autostart",
        _autostart,
        "Start at login: switch it on or off, or see which.",
        ["brimline autostart on", "brimline autostart status"],
    )
    autostart.set_defaults(silent=True)
    autostart.add_argument("state", choices=["on", "off", "status"])
    json_flag(autostart)
    selftest = command(
        commands,
        "selftest",
        _selftest,
        "See what works on this machine, and what is missing for the rest.",
        ["brimline selftest", "brimline selftest --json"],
    )
    json_flag(selftest)
    command(commands, "version", _version, "Print the version of Brimline.", ["brimline version"])


def _autostart(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import autostart

    try:
        if arguments.state == "on":
            autostart.enable()
        elif arguments.state == "off":
            autostart.disable()
    except OSError as error:
        where = error.filename or "the system's record"
        raise AppError(
            f"Start at login was not changed: {where}: {error.strerror}. "
            "Make that place writable, then try again."
        ) from None
    on, lost = autostart.enabled(), autostart.lost()
    if arguments.json:
        print(json.dumps({"enabled": on, "missingProgram": lost}))
    else:
        print("on" if on else "off")
        if lost is not None:
            say(
                f"brimline: The entry starts {lost}, which is no longer there. "
                "`brimline autostart on` writes it anew."
            )
    return 0


def _selftest(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import selftest

    report = selftest.run(settings)
    if arguments.json:
        print(json.dumps(report))
    else:
        for check in report["checks"]:
            mark = "ok" if check["ok"] else "MISSING" if check["required"] else "absent"
            print(f"{mark:8} {check['name']}: {check['detail']}")
    return 0 if report["ok"] else EXIT_ERROR


def _version(settings: Config, arguments: argparse.Namespace) -> int:
    print(f"brimline {__version__}")
    return 0
