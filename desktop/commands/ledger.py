"""The ledger: what was used, and the care of its index."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from desktop import otherfiles
from desktop.commands.terminal import (
    add_shown,
    asked_language,
    client_of,
    command,
    json_flag,
    say,
)
from server.config import Config
from server.errors import AppError


def add(commands: Any) -> None:
    """Add the reports, and the commands for the index itself."""
    from desktop import reports

    def report(
        name: str, verb: Callable[..., str], said: str, examples: Sequence[str]
    ) -> argparse.ArgumentParser:
        parser = command(commands, name, _ledger, said, examples)
        add_shown(parser)
        otherfiles.add(parser)
        json_flag(parser)
        reports.common(parser)
        parser.set_defaults(verb=verb, report=name not in reports.OF_THE_FOLDER)
        return parser

    reports.add(report)
    inspect = command(
        commands,
        "inspect-log",
        _inspect_log,
        "Say what is in one session log, without storing anything.",
        ["brimline inspect-log ~/.codex/sessions/2026/11/21/rollout-….jsonl"],
    )
    inspect.add_argument("path", metavar="PATH", help="a .jsonl or .jsonl.zst file")
    inspect.add_argument(
        "--codex-home", metavar="DIR", help="look for a log of that name below this folder"
    )
    rebuild = command(
        commands,
        "rebuild-index",
        _rebuild_index,
        "Read all session logs anew; what is known of deleted logs stays.",
        ["brimline rebuild-index"],
    )
    rebuild.add_argument("--codex-home", metavar="DIR", help="read Codex' logs from here")
    reset = command(
        commands,
        "reset-db",
        _reset_db,
        "Empty the ledger. Accounts, keys and the request log stay.",
        ["brimline reset-db --yes"],
    )
    reset.add_argument("--yes", action="store_true", required=True, help="you mean it")
    for parser in (inspect, rebuild, reset):
        json_flag(parser)


def _ledger(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import offline_api, reports

    named = otherfiles.given(arguments)
    client = client_of(settings)
    settings = _of_home(settings, arguments, running=client is not None)
    said = reports.alone(settings, arguments) if client is None and not named else None
    if said is not None:
        print(said)
        return 0
    if named:
        source = otherfiles.opened(settings, named, getattr(arguments, "writes", ""))
    else:
        source = offline_api.opened(settings, client)
    with source as api:
        arguments.lang = asked_language(arguments)
        arguments.folder = settings.data_dir
        print(reports.run(api, arguments))
        for problem in reports.problems(api):
            say(f"brimline: {problem}")
    return 0


def _of_home(settings: Config, arguments: argparse.Namespace, *, running: bool) -> Config:
    """The configuration by which Codex' logs are read from where --codex-home says.

    Raises `AppError` where that is no folder, or where a server reads its own.
    """
    asked = arguments.codex_home
    if asked is None:
        return settings
    home = Path(asked).expanduser().absolute()
    if not home.is_dir():
        raise AppError(f"{home} is no folder. Name the one in which Codex keeps “sessions”.")
    if running and home != settings.codex_home:
        raise AppError(
            "A server reads the logs of this data folder. Stop it before --codex-home, or set "
            "BRIMLINE_CODEX_HOME and start it again."
        )
    return replace(settings, codex_home=home, sessions_root=None)


def _log(path: Path, home: str | None) -> Path:
    """A log by its path, else by its name alone where Codex keeps its logs."""
    if home is None or path.exists():
        return path
    folders = (Path(home).expanduser() / name for name in ("sessions", "archived_sessions"))
    return next((one for folder in folders for one in folder.rglob("*") if one.name == path.name),
                path)  # fmt: skip


def _inspect_log(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import logs, printed

    found = logs.inspect(_log(Path(arguments.path).expanduser(), arguments.codex_home))
    if arguments.json:
        print(json.dumps(found))
        return 0
    for note in found.pop("notes"):
        print(printed.plain(note))
    for name, value in found.items():
        said = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(printed.plain(f"{name}: {said or 'none' if isinstance(value, dict) else said}"))
    return 0


def _rebuild_index(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import logs

    running = client_of(settings) is not None
    found = logs.rebuild(_of_home(settings, arguments, running=running))
    print(
        json.dumps(found) if arguments.json else f"{found['files']} files, {found['calls']} calls."
    )
    return 0


def _reset_db(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import logs

    removed = logs.reset(settings)
    print(json.dumps(removed) if arguments.json else f"Removed {removed['call']} calls.")
    return 0
