"""The accounts: list, import, pause and resume, and bringing over those of codex-lb."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlencode

from desktop.commands.terminal import (
    EXIT_ERROR,
    add_data_dir,
    client_of,
    command,
    json_flag,
    now_ms,
    say,
)
from server.config import Config
from server.errors import AppError

if TYPE_CHECKING:
    from desktop.supervisor import Client


AUTH_JSON_LIMIT = 1 << 20
_PIPE_SECONDS = 5.0  # for the shell to begin writing


def add(commands: Any) -> None:
    """Add accounts, pause, resume and import."""
    _add_accounts(commands)
    _add_states(commands)
    _add_import(commands)


def _add_accounts(commands: Any) -> None:
    accounts = command(
        commands,
        "accounts",
        _accounts,
        "List the accounts, or add some from a Codex auth.json.",
        ["brimline accounts", "brimline accounts import ~/.codex/auth.json"],
    )
    json_flag(accounts)
    accounts.set_defaults(verb="list")
    verbs = accounts.add_subparsers(dest="verb", metavar="list | import FILE…")
    listing = verbs.add_parser("list", help="list the accounts (the default)")
    importing = verbs.add_parser("import", help="add accounts from auth.json files")
    importing.add_argument("files", nargs="+", metavar="FILE", help="an auth.json of Codex")
    for verb in (listing, importing):
        add_data_dir(verb)
        json_flag(verb, default=argparse.SUPPRESS)


def _add_states(commands: Any) -> None:
    for name, run, said in (
        ("pause", _pause, "Take an account out of rotation."),
        ("resume", _resume, "Put a paused account back into rotation."),
    ):
        parser = command(
            commands,
            name,
            run,
            said,
            [f"brimline {name} work", f"brimline {name} --all"]
            + (["brimline pause work@example.com --for 1h30m"] if name == "pause" else []),
        )
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("name", nargs="?", metavar="NAME", help="label, e-mail, or its beginning")
        who.add_argument("--all", action="store_true", help="all accounts")
        if name == "pause":
            until = parser.add_mutually_exclusive_group()
            until.add_argument("--for", dest="duration", type=duration, metavar="1h30m")
            until.add_argument("--until-reset", action="store_true", help="until a window resets")
        json_flag(parser)


def _add_import(commands: Any) -> None:
    bring = command(
        commands,
        "import",
        _bring,
        "Bring over the accounts, API keys and settings of codex-lb.",
        ["brimline import codex-lb", "brimline import codex-lb /srv/codex-lb --json"],
    )
    bring.add_argument("program", choices=["codex-lb"])
    bring.add_argument("folder", nargs="?", default="~/.codex-lb", metavar="DIR")
    bring.add_argument(
        "--key-file", metavar="FILE", help="its encryption key (default DIR/encryption.key)"
    )
    json_flag(bring)


def duration(text: str) -> int:
    """`45m`, `2h`, `1h30m` or `1d` in milliseconds."""
    match = re.fullmatch(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?", text.strip().lower())
    parts = [int(part or 0) for part in match.groups()] if match else [0]
    total = sum(n * unit for n, unit in zip(parts, (86400, 3600, 60), strict=False)) * 1000
    if not 0 < total <= 366 * 86400 * 1000:
        raise argparse.ArgumentTypeError("give a time such as 45m, 2h, 1h30m or 1d")
    return total


def _accounts(settings: Config, arguments: argparse.Namespace) -> int:
    if arguments.verb == "import":
        return _import(settings, arguments)
    found = _shown(settings, arguments)
    if arguments.json:
        print(json.dumps({"accounts": found}))
        return 0
    if not found:
        print("No account yet. Add one: brimline accounts import ~/.codex/auth.json")
    for account in found:
        figures = " · ".join(_figure(window) for window in account.get("windows") or ()) or "–"
        name = _names(account)[0]
        why = account.get("deactivationReason") or account.get("usageError")
        print(f"{name}   {account.get('planType') or '–'}   {account['status']}   {figures}")
        if why:
            print(f"    {why}")
    return 0


def hides_names(arguments: argparse.Namespace) -> bool:
    """Whether accounts are asked for without their names."""
    return getattr(arguments, "privacy_mode", None) == "strict"


def _figure(window: dict[str, Any]) -> str:
    from desktop import display

    return f"{window['name']} {display.percent(window.get('remainingPercent'))}"


def _shown(settings: Config, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The accounts, by the names that may be shown."""
    from desktop import offline

    found = _summaries(settings)  # a server's are as its settings say
    strict = client_of(settings) is None and offline.is_strict()
    return [offline.unnamed(one) for one in found] if strict or hides_names(arguments) else found


def _summaries(settings: Config) -> list[dict[str, Any]]:
    client = client_of(settings)
    if client is not None:
        return list(client.get("/api/accounts")["accounts"])
    if not (settings.data_dir / "usage.db").exists():
        return []
    from desktop import offline

    with offline.pool(settings) as pool:
        for text in pool.notices:
            say(f"brimline: {text}")
        return pool.summaries(now_ms(), auth=True)


def _import(settings: Config, arguments: argparse.Namespace) -> int:
    imported, failed = [], []
    client = client_of(settings)
    for name in arguments.files:
        try:
            content = _auth_json(Path(name).expanduser())
            imported.append(_import_one(settings, client, Path(name).name, content))
        except AppError as error:
            failed.append({"file": name, "code": error.code, "message": error.message})
    if arguments.json:
        print(json.dumps({"imported": imported, "failed": failed}))
    for one in imported if not arguments.json else ():
        print(f"Imported {one['email'] or one['accountId']} ({one['planType'] or 'plan unknown'}).")
    for one in failed:
        say(f"brimline: {one['file']}: {one['message']}")
    return EXIT_ERROR if failed else 0


def _import_one(
    settings: Config, client: Client | None, name: str, content: bytes
) -> dict[str, Any]:
    if client is not None:
        return dict(client.upload("/api/accounts/import", "auth_json", [(name, content)]))
    from desktop import offline

    with offline.pool(settings) as pool:
        return offline.add(pool, content)


def _auth_json(path: Path) -> bytes:
    try:
        with _opened(path) as file:
            content = file.read(AUTH_JSON_LIMIT + 1)
    except OSError as error:
        raise AppError(
            f"It cannot be read: {error.strerror}. Codex keeps it at ~/.codex/auth.json.",
            code="unreadable",
        ) from error
    if len(content) > AUTH_JSON_LIMIT:
        raise AppError("It is larger than any auth.json; take the file Codex wrote.", code="large")
    return content


def _opened(path: Path) -> BinaryIO:
    """The file, or the shell's pipe; one that nobody writes to would be waited for without end."""
    if not path.is_fifo():
        return path.open("rb")
    import select

    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not select.select([handle], [], [], _PIPE_SECONDS)[0]:
        os.close(handle)
        raise OSError(errno.ETIMEDOUT, "it is a pipe that nobody writes to")
    os.set_blocking(handle, True)
    return os.fdopen(handle, "rb")


def _bring(settings: Config, arguments: argparse.Namespace) -> int:
    given = {"folder": str(Path(arguments.folder).expanduser().absolute())}
    if arguments.key_file:
        given["keyFile"] = str(Path(arguments.key_file).expanduser().absolute())
    client = client_of(settings)
    if client is not None:
        found = dict(client.post("/api/import/codex-lb", given, timeout=300.0))
    else:
        from desktop import bringover

        found = bringover.run(settings, given)
    failed = any(each["problem"] for each in (*found["accounts"], *found["keys"]))
    if arguments.json:
        print(json.dumps(found))
    else:
        _tell(found)
    return EXIT_ERROR if failed else 0


def _tell(found: Mapping[str, Any]) -> None:
    """Say in lines what was brought over."""
    for each in found["accounts"]:
        print(f"account {each['email']}: {_outcome(each, each['status'])}")
    for each in found["keys"]:
        print(f"key {each['name']} ({each['keyPrefix']}…): {_outcome(each, 'works here')}")
    for name, value in found["settings"].items():
        print(f"setting {name}: {json.dumps(value)}")
    for left in found["settingsLeft"]:
        print(f"setting left out: {left}")
    rows = (*found["accounts"], *found["keys"])
    if all(each["known"] for each in rows) and not found["settings"]:
        print("Nothing is new: what this folder holds is here already, and was left as it is.")
    print(found["note"])


def _outcome(row: Mapping[str, Any], new: str) -> str:
    """What became of an account or a key that was to be brought over."""
    if row["known"]:
        return "here already, left as it is"
    return str(row["problem"] or new)


def _pause(settings: Config, arguments: argparse.Namespace) -> int:
    chosen = _chosen(
        settings, _summaries(settings), arguments, ("active", "rate_limited", "quota_exceeded")
    )
    client = client_of(settings)
    for account in chosen:
        if client is not None:
            body = {"until": _until(arguments)}
            client.post(f"/api/accounts/{account['accountId']}/pause", body)
        else:
            _pause_offline(settings, arguments, account["accountId"])
    return _report(settings, arguments, chosen, "Paused")


def _pause_offline(settings: Config, arguments: argparse.Namespace, account: str) -> None:
    from desktop import offline

    until = now_ms() + arguments.duration if arguments.duration else None
    with offline.pool(settings) as pool:
        offline.pause(pool, account, until, reset=arguments.until_reset, now=now_ms())


def _resume(settings: Config, arguments: argparse.Namespace) -> int:
    chosen = _chosen(settings, _summaries(settings), arguments, ("paused",))
    client = client_of(settings)
    for account in chosen:
        _can_serve(account)
        if client is not None:
            client.post(f"/api/accounts/{account['accountId']}/resume")
        else:
            _resume_offline(settings, account["accountId"])
    return _report(settings, arguments, chosen, "Resumed")


def _report(
    settings: Config, arguments: argparse.Namespace, chosen: list[dict[str, Any]], done: str
) -> int:
    """Say what was done, or for scripts how these accounts stand now."""
    if arguments.json:
        keys = {account["accountId"] for account in chosen}
        now = [one for one in _summaries(settings) if one["accountId"] in keys]
        told = [{"id": one["accountId"], "name": _names(one)[0], "status": one["status"],
                 "pausedUntil": one.get("pausedUntil")} for one in now]  # fmt: skip
        print(json.dumps({"accounts": told}))
        return 0
    if not chosen:
        print("Nothing to do: no account is in a state for that.")
    blocked = _blocked(settings) if chosen and done == "Resumed" else {}
    for account in chosen:
        print(f"{done} {_names(account)[0]}.{blocked.get(account['accountId'], '')}")
    return 0


def _blocked(settings: Config) -> dict[str, str]:
    """What there is to say of the accounts that a resume leaves blocked, by their ids."""
    from desktop.display import clock, moment

    found = {}
    for one in _summaries(settings):
        until = moment(one.get("blockedUntil"))
        if one["status"] in ("rate_limited", "quota_exceeded") and until is not None:
            when = clock(until, now_ms(), None)
            why = f": {one['statusReason']}" if one["statusReason"] else "."
            found[one["accountId"]] = f" It is blocked until {when}{why}"
    return found


def _can_serve(account: dict[str, Any]) -> None:
    if account["status"] in ("sign_in_needed", "deactivated"):
        raise AppError(
            f"{_names(account)[0]} needs a new sign-in; resuming does not help. Open Brimline, "
            "Accounts, and sign in again, or use `brimline accounts import` with a new auth.json."
        )


def _resume_offline(settings: Config, account: str) -> None:
    from desktop import offline

    with offline.pool(settings) as pool:
        pool.resume(account)


def _named(settings: Config, name: str, accounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The account that a person means; its name finds it also where answers hide names."""
    client = client_of(settings)
    try:
        return match(name, accounts)
    except AppError:
        if client is None or not any(account["email"] is None for account in accounts):
            raise
    found = client.get(f"/api/accounts?{urlencode({'named': name})}")["accounts"]
    return dict(found[0])


def _chosen(
    settings: Config,
    accounts: list[dict[str, Any]],
    arguments: argparse.Namespace,
    able: Sequence[str],
) -> list[dict[str, Any]]:
    """The named account, or with --all those in a state that the verb applies to."""
    if not arguments.all:
        return [_named(settings, arguments.name, accounts)]
    if not accounts:
        raise AppError("There is no account yet. Add one with `brimline accounts import`.")
    return [account for account in accounts if account["status"] in able]


def match(name: str, accounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The account a person means: a whole id, label or e-mail, else the only one beginning so.

    What an account is shown as wins over an e-mail that another one has, too. Raises `AppError`
    that lists the candidates when several fit, or all when none does.
    """
    wanted = name.strip().casefold()
    exact = [a for a in accounts if str(a.get("displayName")).casefold() == wanted]
    exact = exact or [a for a in accounts if wanted in [n.casefold() for n in _names(a)]]
    begins = [a for a in accounts if any(n.casefold().startswith(wanted) for n in _names(a))]
    found = exact or (begins if wanted else [])
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{_names(a)[0]} ({a['accountId']})" for a in found)
        raise AppError(f"“{name}” fits several accounts: {listed}. Give more of the name.")
    listed = ", ".join(_names(a)[0] for a in accounts) or "none yet"
    raise AppError(f"There is no account “{name}”. Accounts: {listed}.")


def _names(account: dict[str, Any]) -> list[str]:
    keys = ("alias", "displayName", "email", "accountId")
    return [str(account[key]) for key in keys if account.get(key)]


def _until(arguments: argparse.Namespace) -> str | None:
    """The `until` of the API: an ISO time, "reset", or nothing."""
    if arguments.until_reset:
        return "reset"
    if arguments.duration is None:
        return None
    from datetime import UTC, datetime

    at = datetime.fromtimestamp((now_ms() + arguments.duration) / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
