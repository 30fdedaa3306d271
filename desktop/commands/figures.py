"""What is left and what was read: status, guard and scan."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from desktop import quick
from desktop.commands.accounts import hides_names, match
from desktop.commands.terminal import (
    EXIT_ERROR,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    client_of,
    command,
    json_flag,
    now_ms,
    say,
)
from server import __version__
from server.config import Config
from server.errors import AppError, Conflict

if TYPE_CHECKING:
    from desktop.supervisor import Client

_SCAN_SECONDS = 24 * 3600.0
_WAIT_SECONDS = 600.0  # for another scan, or a server that starts or ends
_LOOK_SECONDS = 0.2


_WAITING = (
    "Another Brimline is at work on this data folder (a scan, or a server that is starting); "
    "waiting for it."
)

_GUARD_CODES = """\
exit codes: 0 enough is left · 1 less is left · 64 wrong usage · 69 it is not known: the server
is not running, or the figures are missing or old"""


def add(commands: Any) -> None:
    """Add status, guard and scan."""
    status = command(
        commands,
        "status",
        _status,
        "Show what is left of the allowance.",
        ["brimline status", "brimline status --json"],
    )
    json_flag(status)
    guard = command(
        commands,
        "guard",
        _guard,
        "Say by the exit code whether enough of the allowance is left; for scripts.",
        ["brimline guard --min-remaining 10 && codex exec 'go on'",
         "brimline guard --min-remaining 25 --account work --json"],
        codes=_GUARD_CODES,
    )  # fmt: skip
    guard.add_argument(
        "--min-remaining",
        metavar="PERCENT",
        type=_share,
        required=True,
        help="what must be left of every window",
    )
    guard.add_argument("--account", metavar="NAME", help="of this account, not of the pool")
    json_flag(guard)
    scan = command(
        commands,
        "scan",
        _scan,
        "Read new session logs, then print the ledger's totals. In --json “files”, “calls”, "
        "“tokens” and “skippedLines” are Codex's; “claude” has those of Claude Code.",
        ["brimline scan", "brimline scan --json"],
    )
    json_flag(scan)


def _share(text: str) -> float:
    with suppress(ValueError):
        value = float(text)
        if 0 <= value <= 100:
            return value
    raise argparse.ArgumentTypeError("give a percentage from 0 to 100")


def _status(settings: Config, arguments: argparse.Namespace) -> int:
    client = client_of(settings)
    if client is not None:
        shot = client.get("/api/tray")
        shot["hidesNames"] = client.get("/api/settings").get("privacyMode") == "strict"
        where = {"running": True, "address": client.address.url, "pid": client.address.pid}
    else:
        shot, where = _stored_snapshot(settings), {"running": False, "address": None, "pid": None}
    if hides_names(arguments) or shot.pop("hidesNames", False):
        from desktop import offline

        named = [{**one, "name": offline.hidden(one["id"])} for one in shot.get("accounts") or ()]
        shot = {**shot, "accounts": named}
    if arguments.json:
        known = {k: shot.get(k) for k in ("version", "pool", "accounts", "today", "updatedAt")}
        print(json.dumps({**where, **known, "notices": shot.get("notices") or []}))
    else:
        _print_status(shot, where)
    if client is None:
        say("brimline: The server is not running; start it with `brimline serve`.")
        return EXIT_UNAVAILABLE
    return 0


def _guard(settings: Config, arguments: argparse.Namespace) -> int:
    client = client_of(settings)
    if client is None:
        say("brimline: The server is not running; start it with `brimline serve`.")
        return EXIT_UNAVAILABLE
    shot = client.get("/api/tray")
    of = shot["pool"]
    if arguments.account is not None:
        full = client.get("/api/accounts")
        try:
            of = _tray_account(shot["accounts"], full, arguments.account)
        except AppError as error:  # a wrong name says nothing of the allowance
            say(f"brimline: {error.message}")
            return EXIT_USAGE
    verdict = guarded(of, arguments.min_remaining)
    if arguments.json:
        print(json.dumps(verdict))
    else:
        print(verdict["message"])
    return int(verdict["exitCode"])


def _tray_account(
    accounts: list[dict[str, Any]], full: dict[str, Any], name: str
) -> dict[str, Any]:
    wanted = match(name, full["accounts"])["accountId"]
    return next(account for account in accounts if account["id"] == wanted)


def guarded(of: dict[str, Any], least: float) -> dict[str, Any]:
    """Whether at least `least` percent of every window of a pool or an account are left."""
    from desktop import display

    # A window with a colon in its key limits one named model only.
    windows = [w for w in of.get("windows") or () if ":" not in str(w.get("key"))]
    known = [w for w in windows if w.get("remainingPercent") is not None and not w.get("stale")]
    idle = of.get("status") or of.get("state")
    if idle in _OUT_OF_WORK:
        code, said = EXIT_ERROR, f"Nothing can serve now: {_OUT_OF_WORK[idle]}."
    elif not known or len(known) < len(windows):
        code, said = EXIT_UNAVAILABLE, "What is left is not known, or the figures are old."
    else:
        tightest = min(known, key=lambda w: float(w["remainingPercent"]))
        left = float(tightest["remainingPercent"])
        code = 0 if left >= least else EXIT_ERROR
        name = display.long_name(tightest)
        said = f"{left:g}% of the {name} allowance is left; asked for {least:g}%."
        if of.get("onCredits"):
            said += " Work goes on, served by credits."
    figures = {w["name"]: w.get("remainingPercent") for w in windows}
    return {"ok": code == 0, "exitCode": code, "message": said, "remaining": figures}


_OUT_OF_WORK = {
    "paused": "paused",
    "empty": "there is no account yet",
    "sign_in_needed": "a new sign-in is needed",
    "deactivated": "deactivated",
    "rate_limited": "blocked by the provider for a while",
    "spent": "every account is used up or blocked for a while",
    "quota_exceeded": "the allowance is used up",
}


def _stored_snapshot(settings: Config) -> dict[str, Any]:
    """What the data folder last knew; nothing is asked of the provider, nothing is made."""
    if not (settings.data_dir / "usage.db").exists():
        return {"pool": None, "accounts": [], "version": __version__}
    from desktop import offline

    with offline.pool(settings) as pool:
        shot = {**pool.snapshot(now_ms()), "hidesNames": offline.is_strict()}
        return {**shot, "version": __version__, "notices": pool.notices}


def _print_status(shot: dict[str, Any], where: dict[str, Any]) -> None:
    from datetime import datetime

    from desktop import display

    zone = datetime.now().astimezone().tzinfo
    if where["running"]:
        print(f"Brimline {shot['version']} at {where['address']}/ (process {where['pid']})")
    for text in shot.get("notices") or ():
        print(f"Notice: {text}")
    for row in display.pool_rows(shot, now_ms(), zone):
        print(row)
    view = display.View(shot, zone=zone)
    for account in view.accounts:
        print(display.account_line(account, view, now_ms()))


def _scan(settings: Config, arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    mode = arguments.privacy_mode or "normal"
    with quick.Progress(sys.stderr if sys.stderr and sys.stderr.isatty() else None) as progress:
        totals = _scanned(settings, progress, mode)
    seconds = round(time.monotonic() - started, 3)
    print(quick.report(totals, seconds, as_json=arguments.json))
    return 0


def _scanned(settings: Config, progress: quick.Progress, mode: str) -> dict[str, Any]:
    """Have the server scan, or scan here; while another scan has the folder, wait for it."""
    from server.ingest import scan

    until, told = time.monotonic() + _WAIT_SECONDS, False
    while True:
        client = client_of(settings)
        if client is not None:
            return _scan_by_server(client, progress, mode)
        try:
            return scan.run(settings, progress.show, mode)
        except Conflict as error:
            if error.code != "server_running" or time.monotonic() >= until:
                raise
        if not told:
            say("brimline: " + _WAITING)
            told = True
        time.sleep(_LOOK_SECONDS)


def _scan_by_server(client: Client, progress: quick.Progress, mode: str) -> dict[str, Any]:
    """Have the running server scan, and show its progress meanwhile."""
    from desktop.supervisor import Client

    done = threading.Event()

    def watch() -> None:
        other = Client(client.address)
        while not done.wait(0.2):
            with suppress(AppError):
                progress.show(other.get("/api/live").get("indexing"))

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    if progress.stream is not None:
        watcher.start()
    try:
        answer = client.post(f"/api/scan?privacy={mode}", {"wait": True}, timeout=_SCAN_SECONDS)
    finally:
        done.set()
    return dict(answer)
