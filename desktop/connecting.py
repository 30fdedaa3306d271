"""`brimline connect`, `disconnect` and `doctor`: the clients of this user, from a terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop.commands.terminal import client_of, say
from server.config import Config
from server.errors import AppError

if TYPE_CHECKING:
    from desktop.supervisor import Client
    from server.clientfiles import Change, Clients
    from server.clients import Target

_NAMES = ("codex", "telemetry", "opencode", "openclaw")
_DOCTOR_CODES = "exit codes: 0 requests reach Brimline · 1 something keeps them from it"


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the three commands; `command(name, run, said, examples)` makes a parser."""
    connect = command(
        "connect",
        _connect,
        "Point a client at Brimline: shows the change, keeps a backup, and can be undone.",
        ["brimline connect", "brimline connect codex", "brimline connect telemetry --dry-run",
         "brimline connect opencode --yes", 'eval "$(brimline connect openai)"'],
    )  # fmt: skip
    connect.add_argument(
        "client",
        nargs="?",
        choices=[*_NAMES, "openai"],
        metavar="CLIENT",
        help="codex, telemetry, opencode, openclaw, or openai for the environment of any OpenAI "
        "client; none lists how they stand",
    )
    connect.add_argument(
        "--replace", action="store_true", help="put aside what leads elsewhere now"
    )
    connect.add_argument(
        "--profile-style",
        choices=["auto", "base-url", "provider"],
        default="auto",
        help="Codex: one line (keeps old sessions; the default), or a provider block",
    )
    disconnect = command(
        "disconnect",
        _disconnect,
        "Take Brimline out of a client's configuration again.",
        ["brimline disconnect codex", "brimline disconnect all --yes"],
    )
    disconnect.add_argument(
        "client", choices=[*_NAMES, "all"], metavar="CLIENT", help=", ".join(_NAMES) + ", or all"
    )
    for parser in (connect, disconnect):
        parser.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
        parser.add_argument(
            "--yes", action="store_true", help="do not ask (without a terminal nobody is asked)"
        )
        parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    doctor = command(
        "doctor",
        _doctor,
        "Say why Codex' requests would go past Brimline, and what mends it.",
        ["brimline doctor", "brimline doctor --json"],
        codes=_DOCTOR_CODES,
    )
    doctor.add_argument("--json", action="store_true", help="print JSON for scripts")
    doctor.add_argument(
        "--suggest-repair", action="store_true", help="say what mends it, as is always said"
    )


def _connect(settings: Config, arguments: argparse.Namespace) -> int:
    from server.clients import Wish, snippet

    client = client_of(settings)
    here = _target(settings, client)
    mine = _clients(settings)
    if arguments.client is None:
        return _list(mine, here, as_json=arguments.json)
    if arguments.client == "openai":
        print(snippet("environment", here), end="")
        return 0
    wish = Wish(replace=arguments.replace, style=arguments.profile_style.replace("_", "-"))
    change = mine.connect(arguments.client, here, wish)
    checked = partial(_findings, settings, here) if arguments.client == "codex" else None
    code = _carry_out(mine, change, arguments, connecting=True, checked=checked)
    if arguments.json:
        return code
    if client is None:
        say("brimline: The server is not running; start it with `brimline serve`.")
    if arguments.client == "codex" and code == 0 and not arguments.dry_run:
        _tell_what_hinders(settings, here)
    return code


def _tell_what_hinders(settings: Config, here: Target) -> None:
    """After the change: what in Codex' files or here still leads requests past Brimline."""
    found = _findings(settings, here)
    if any(each["level"] == "problem" for each in found):
        print("Codex' requests do not reach Brimline yet:")
    for each in found:
        print(_finding_row(each))


def _disconnect(settings: Config, arguments: argparse.Namespace) -> int:
    mine = _clients(settings)
    here = _address(settings)
    if arguments.client != "all":
        change = _undoing(mine, arguments.client, here)
        return _carry_out(mine, change, arguments, connecting=False)
    codes = []
    for name in _NAMES:
        try:
            change = _undoing(mine, name, here)
            codes.append(_carry_out(mine, change, arguments, connecting=False))
        except AppError as error:  # one broken file must not keep the others connected
            say(f"brimline: {name}: {error.message}")
            codes.append(1)
    return max(codes)


def _undoing(mine: Clients, name: str, here: Target) -> Change:
    """What disconnecting would do; lines that lead here by the user's own hand are told of."""
    change = mine.disconnect(name)
    if change.changes or mine.look(name, here).state != "by_hand":
        return change
    said = (
        f"Lines of your own in {change.path} lead to Brimline: take them out before you remove it."
    )
    return replace(change, text=said)


def _carry_out(
    mine: Clients,
    change: Change,
    arguments: argparse.Namespace,
    *,
    connecting: bool,
    checked: Callable[[], list[dict[str, Any]]] | None = None,
) -> int:
    if not arguments.json and change.changes:
        print(f"{change.path}:\n{change.diff}", end="")
    dry = bool(arguments.dry_run)
    if change.changes and not dry and not arguments.yes and not arguments.json:
        dry = not _agreed()
        if dry:
            say("brimline: Nothing was changed.")
            return 1
    backup = None if dry else mine.apply(change, connecting=connecting)
    if arguments.json:
        told = {**_told(change), "written": change.changes and not dry,
                "backup": str(backup) if backup else None}  # fmt: skip
        if checked is not None and not dry:
            told["problems"] = checked()
        print(json.dumps(told))
        return 0
    print(_outcome(change, dry=dry, connecting=connecting))
    if backup is not None:
        print(f"A backup is at {backup}.")
    return 0


def _outcome(change: Change, *, dry: bool, connecting: bool) -> str:
    if dry and change.changes:
        return "Nothing was written (--dry-run)."
    if change.changes or connecting:
        return change.text
    return f"{change.client}: {change.text}"  # of several, and no file was named before


def _agreed() -> bool:
    if not (sys.stdin and sys.stdin.isatty()):
        return True  # nobody to ask: the command was the wish, and a backup is kept
    print("Write this? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _told(change: Change) -> dict[str, Any]:
    return {
        "client": change.client,
        "path": str(change.path),
        "changes": change.changes,
        "diff": change.diff,
        "text": change.text,
    }


def _list(mine: Clients, here: Target, *, as_json: bool) -> int:
    looks = [mine.look(name, here) for name in _NAMES]
    if as_json:
        told = [{"id": each.client, "path": str(each.path), "found": each.found,
                 "state": each.state, "text": each.text} for each in looks]  # fmt: skip
        print(json.dumps({"address": here.base, "clients": told}))
        return 0
    for each in looks:
        print(f"{each.client:10} {each.text}\n{'':10} {each.path}")
    return 0


def _doctor(settings: Config, arguments: argparse.Namespace) -> int:
    from server import doctor

    client = client_of(settings)
    here = _target(settings, client)
    facts = _facts(settings, here, client is not None)
    if client is None:
        from desktop.supervisor import answers

        facts = replace(facts, stranger=answers(here.base))
    found = doctor.findings(facts)
    ok = doctor.healthy(found)
    if arguments.json:
        told = [vars(each) for each in found]
        print(json.dumps({"ok": ok, "address": here.base, "running": client is not None,
                          "findings": told}))  # fmt: skip
        return 0 if ok else 1
    for each in found:
        print(_finding_row(vars(each)))
    if ok:
        print(f"Codex' requests reach Brimline at {here.base}.")
    return 0 if ok else 1


def _finding_row(found: dict[str, Any]) -> str:
    return f"{found['level']:8} {found['text']}\n{'':8} → {found['mend']}"


def _findings(settings: Config, here: Target) -> list[dict[str, Any]]:
    """What the doctor finds, apart from a server that is not running."""
    from server import doctor

    return [vars(each) for each in doctor.findings(_facts(settings, here, True))]


def _facts(settings: Config, here: Target, running: bool) -> Any:
    from server.clientfiles import read_text, signed_in
    from server.doctor import Facts

    path = settings.codex_home / "config.toml"
    text, problem = None, None
    try:
        text = read_text(path)
    except AppError as error:
        problem = error.message
    return Facts(
        target=here,
        running=running,
        folder=str(settings.data_dir),
        config=text,
        path=str(path),
        environ=dict(os.environ),
        signed_in=signed_in(settings.codex_home),
        others=_other_files(settings.codex_home),
        problem=problem,
    )


def _other_files(codex_home: Path) -> dict[str, str]:
    """What is layered over config.toml: profiles, and what lies in this folder and above it."""
    from server.clientfiles import read_text

    paths = sorted(codex_home.glob("*.config.toml"))
    with suppress(OSError):
        here = Path.cwd()
        paths += [each / ".codex" / "config.toml" for each in (here, *here.parents)]
    found = {}
    for path in paths:
        if path.parent.resolve() != codex_home.resolve() or path.name != "config.toml":
            with suppress(AppError):
                text = read_text(path)
                if text is not None:
                    found[str(path)] = text
    return found


def _clients(settings: Config) -> Clients:
    from server.clientfiles import Clients, places

    return Clients(settings.data_dir, places(settings.codex_home, os.environ))


def _address(settings: Config) -> Target:
    """Where the server is, or will be; enough to know lines that lead there."""
    from server.clientfiles import target

    return target(_running_at(settings, client_of(settings)), False, [])


def _running_at(settings: Config, client: Client | None) -> Config:
    if client is None:
        return settings
    return replace(settings, host=client.address.host, port=client.address.port)


def _target(settings: Config, client: Client | None) -> Target:
    """Where the server is, or will be, and what it asks of clients."""
    from desktop import offline_api
    from server.clientfiles import target

    settings = _running_at(settings, client)
    with offline_api.opened(settings, client) as api:
        keys = bool(api.get("/api/settings")["apiKeyAuthEnabled"])
        models = api.get("/api/models")["models"]
    return target(settings, keys, models)
