"""The command line: one subcommand a role (tray, serve, window) or a verb.

Each command imports only what it needs, so that `brimline status` starts as fast as it can.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop import quick
from server import __version__, config
from server.errors import AppError

if TYPE_CHECKING:
    from desktop.supervisor import Client

EXIT_ERROR, EXIT_NO_TRAY, EXIT_USAGE, EXIT_UNAVAILABLE = 1, 4, 64, 69
AUTH_JSON_LIMIT = 1 << 20
# How a write to standard output fails: the reader has left, or the disk behind it is full.
_UNHEARD = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_SCAN_SECONDS = 24 * 3600.0

_GUARD_CODES = """\
exit codes: 0 enough is left · 1 less is left · 64 wrong usage · 69 it is not known: the server
is not running, or the figures are missing or old"""
_EXIT_CODES = """\
exit codes: 0 done · 1 an error, said in one sentence · 2 wrong usage · 3 the port is busy ·
4 no tray is possible here · 69 the server is not running or cannot be reached"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors are one sentence on stderr."""
    if (sys.argv[1:] if argv is None else argv) == ["scan-worker"]:
        from server.ingest import apart  # the server's helper in the binary: no word to a user

        return apart.serve()
    arguments = _understood(sys.argv[1:] if argv is None else list(argv))
    try:
        given = ("data_dir", "host", "port", "evidence")
        settings, warnings = config.load({name: getattr(arguments, name, None) for name in given})
        for warning in warnings:
            _say(f"brimline: {warning}")
        code = int(arguments.run(settings, arguments))
        if sys.stdout is None and (arguments.run in _SILENT or sys.platform == "win32"):
            return code  # a program in the background, or in a window, has none
        return quick.spoken() or code
    except AppError as error:
        _say(f"brimline: {error.message}")
        return _exit_code(error)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is not None or error.errno not in _UNHEARD:
            raise
        return quick.unheard(error)


def _understood(words: list[str]) -> argparse.Namespace:
    try:
        return _parser().parse_args(words)
    except SystemExit as end:
        # What `guard` says of the allowance must not be mixed up with a slip of the pen.
        if end.code == 2 and "guard" in words:
            raise SystemExit(EXIT_USAGE) from None
        raise


def _exit_code(error: AppError) -> int:
    from desktop.supervisor import NotRunning

    if isinstance(error, NotRunning) or error.code == "server_running":
        return EXIT_UNAVAILABLE
    return EXIT_ERROR


def _say(text: str) -> None:
    if sys.stderr is not None:  # a windowed program on Windows has none
        print(text, file=sys.stderr, flush=True)


# --- What can be asked ----------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="brimline",
        description="Shows what is left of your Codex allowance and spreads work over accounts.",
        epilog="Without a command: the tray where there is a desktop, else the server.\n\n"
        + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"brimline {__version__}")
    _add_data_dir(parser, default=None)
    _add_shown(parser, default=None)
    parser.set_defaults(run=_default)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    rooms = (_add_roles, _add_figures, _add_ledger, _add_verbs, _add_import, _add_clients)
    for add in (*rooms, _add_machine):
        add(commands)
    return parser


def _add_data_dir(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    parser.add_argument(
        "--data-dir", metavar="DIR", default=default, help="the data folder to work on"
    )


def _add_shown(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    parser.add_argument(
        "--privacy-mode",
        choices=["normal", "redacted", "strict"],
        default=default,
        help="show fewer names than the settings do",
    )
    parser.add_argument(
        "--lang",
        metavar="CODE",
        default=default,
        help="speak this language (de, vi…): this report, or pages for which none was chosen yet",
    )


def _add_evidence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-context-api",
        dest="evidence",
        action="store_const",
        const=False,
        help="show no log lines of a call until you turn them on on its page",
    )


def _command(
    commands: Any,
    name: str,
    run: Callable[..., int],
    said: str,
    examples: Sequence[str],
    codes: str = _EXIT_CODES,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=said[0].lower() + said[1:].rstrip("."),
        description=said,
        epilog="examples:\n  " + "\n  ".join(examples) + "\n\n" + codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_data_dir(parser)
    parser.set_defaults(run=run)
    return parser


def _json_flag(parser: argparse.ArgumentParser, default: Any = False) -> None:
    parser.add_argument(
        "--json", action="store_true", default=default, help="print JSON for scripts"
    )


def _add_roles(commands: Any) -> None:
    tray = _command(
        commands,
        "tray",
        _tray,
        "Show the tray icon; starts the server, or takes over one that runs.",
        ["brimline tray", "brimline tray --open"],
    )
    tray.add_argument("--open", action="store_true", help="open the window at once")
    tray.add_argument(
        "--refresh", metavar="SECONDS", type=_seconds, help="how often to look (default 30)"
    )
    serve = _command(
        commands,
        "serve",
        _serve,
        "Run the server alone: proxy, ledger and pages.",
        ["brimline serve", "brimline serve --port 2456 --data-dir /srv/brimline"],
    )
    serve.add_argument("--host", help="the address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", help=f"the port to listen on (default {config.DEFAULT_PORT})")
    _add_evidence(serve)
    window = _command(
        commands,
        "window",
        _window,
        "Open the dashboard's window, or raise the one that is open.",
        ["brimline window"],
    )
    window.add_argument("--path", default="/", help="the page to open (default /)")
    window.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    demo = _command(
        commands,
        "demo",
        _demo,
        "Look around on invented data, in a folder that is gone afterwards.",
        ["brimline demo", "brimline demo --serve --port 2460"],
    )
    demo.add_argument("--serve", action="store_true", help="the server alone, without a tray")
    demo.add_argument("--port", type=_port, help="the port to listen on (default: a free one)")


def _add_figures(commands: Any) -> None:
    status = _command(
        commands,
        "status",
        _status,
        "Show what is left of the allowance.",
        ["brimline status", "brimline status --json"],
    )
    _json_flag(status)
    guard = _command(
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
    _json_flag(guard)
    scan = _command(
        commands,
        "scan",
        _scan,
        "Read new session logs, then print the ledger's totals.",
        ["brimline scan", "brimline scan --json"],
    )
    _json_flag(scan)


def _add_ledger(commands: Any) -> None:
    from desktop import reports

    def add(
        name: str, verb: Callable[..., str], said: str, examples: Sequence[str]
    ) -> argparse.ArgumentParser:
        parser = _command(commands, name, _ledger, said, examples)
        _add_shown(parser)
        _json_flag(parser)
        reports.common(parser)
        parser.set_defaults(verb=verb)
        return parser

    reports.add(add)
    serve = _command(
        commands,
        "serve-dashboard",
        _serve_dashboard,
        "Run the server, and show the dashboard in the browser with --open.",
        ["brimline serve-dashboard --open"],
    )
    _add_shown(serve)
    serve.add_argument("--open", action="store_true", help="open the browser")
    serve.add_argument("--no-refresh", action="store_true", help="do not wait for new logs")
    serve.add_argument("--host", help="the address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", help=f"the port to listen on (default {config.DEFAULT_PORT})")
    _add_evidence(serve)
    inspect = _command(
        commands,
        "inspect-log",
        _inspect_log,
        "Say what is in one session log, without storing anything.",
        ["brimline inspect-log ~/.codex/sessions/2026/11/21/rollout-….jsonl"],
    )
    inspect.add_argument("path", metavar="PATH", help="a .jsonl or .jsonl.zst file")
    rebuild = _command(
        commands,
        "rebuild-index",
        _rebuild_index,
        "Read all session logs anew; what is known of deleted logs stays.",
        ["brimline rebuild-index"],
    )
    reset = _command(
        commands,
        "reset-db",
        _reset_db,
        "Empty the ledger. Accounts, keys and the request log stay.",
        ["brimline reset-db --yes"],
    )
    reset.add_argument("--yes", action="store_true", required=True, help="you mean it")
    for parser in (inspect, rebuild, reset):
        _json_flag(parser)


def _add_verbs(commands: Any) -> None:
    accounts = _command(
        commands,
        "accounts",
        _accounts,
        "List the accounts, or add some from a Codex auth.json.",
        ["brimline accounts", "brimline accounts import ~/.codex/auth.json"],
    )
    _json_flag(accounts)
    accounts.set_defaults(verb="list")
    verbs = accounts.add_subparsers(dest="verb", metavar="list | import FILE…")
    listing = verbs.add_parser("list", help="list the accounts (the default)")
    importing = verbs.add_parser("import", help="add accounts from auth.json files")
    importing.add_argument("files", nargs="+", metavar="FILE", help="an auth.json of Codex")
    for verb in (listing, importing):
        _add_data_dir(verb)
        _json_flag(verb, default=argparse.SUPPRESS)
    for name, run, said in (
        ("pause", _pause, "Take an account out of rotation."),
        ("resume", _resume, "Put a paused account back into rotation."),
    ):
        parser = _command(
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
            until.add_argument("--for", dest="duration", type=_duration, metavar="1h30m")
            until.add_argument("--until-reset", action="store_true", help="until a window resets")


def _add_import(commands: Any) -> None:
    bring = _command(
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
    _json_flag(bring)


def _add_clients(commands: Any) -> None:
    from desktop import connecting

    connecting.add(partial(_command, commands))


def _add_machine(commands: Any) -> None:
    autostart = _command(
        commands,
        "autostart",
        _autostart,
        "Start at login: switch it on or off, or see which.",
        ["brimline autostart on", "brimline autostart status"],
    )
    autostart.add_argument("state", choices=["on", "off", "status"])
    selftest = _command(
        commands,
        "selftest",
        _selftest,
        "See what works on this machine, and what is missing for the rest.",
        ["brimline selftest", "brimline selftest --json"],
    )
    _json_flag(selftest)
    _command(commands, "version", _version, "Print the version of Brimline.", ["brimline version"])


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError("give a port from 1 to 65535")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError("give a percentage from 0 to 100")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError("give seconds from 0.1 to 3600")
    return value


def _duration(text: str) -> int:
    """`45m`, `2h`, `1h30m` or `1d` in milliseconds."""
    match = re.fullmatch(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?", text.strip().lower())
    parts = [int(part or 0) for part in match.groups()] if match else [0]
    total = sum(n * unit for n, unit in zip(parts, (86400, 3600, 60), strict=False)) * 1000
    if not 0 < total <= 366 * 86400 * 1000:
        raise argparse.ArgumentTypeError("give a time such as 45m, 2h, 1h30m or 1d")
    return total


# --- Roles ----------------------------------------------------------------------------------------


def _default(settings: config.Config, arguments: argparse.Namespace) -> int:
    if not _has_screen():
        return _serve(settings, arguments)
    arguments.open, arguments.refresh = True, None
    code = _tray(settings, arguments)
    return _serve(settings, arguments) if code == EXIT_NO_TRAY else code


def _has_screen() -> bool:
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _serve(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import autostart, leftovers
    from server import runtime

    leftovers.sweep_soon()
    if _asked_language(arguments):
        from desktop import offline_api

        with offline_api.opened(settings, _client(settings)) as api:
            _speak(api, arguments)
    # The page offers "start at login" where there is somebody to log in, to what is not invented.
    login = autostart if _has_screen() and not os.environ.get("BRIMLINE_DEMO") else None
    return runtime.serve(settings, lambda line: print(line, flush=True), login)


def _tray(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import leftovers, tray

    leftovers.sweep_soon()
    return tray.run(settings, open_window=arguments.open, refresh=arguments.refresh)


def _window(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import window

    return window.run(settings, path=arguments.path, child=arguments.child)


def _demo(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import demo

    def show(own: config.Config) -> int:
        arguments.data_dir = own.data_dir
        return _serve(own, arguments) if arguments.serve else _default(own, arguments)

    print("Inventing two months of work …", file=sys.stderr, flush=True)
    return demo.run(settings, show, arguments.port)


# --- Figures --------------------------------------------------------------------------------------


def _client(settings: config.Config) -> Client | None:
    """The running server's client; None when no server runs on this data folder."""
    if not settings.server_file.exists():
        return None  # without loading an HTTP library
    from desktop.supervisor import NotRunning, connect

    with suppress(NotRunning):
        return connect(settings)
    return None


def _status(settings: config.Config, arguments: argparse.Namespace) -> int:
    client = _client(settings)
    if client is not None:
        shot = client.get("/api/tray")
        where = {"running": True, "address": client.address.url, "pid": client.address.pid}
    else:
        shot, where = _stored_snapshot(settings), {"running": False, "address": None, "pid": None}
    if arguments.json:
        known = {k: shot.get(k) for k in ("version", "pool", "accounts", "today", "updatedAt")}
        print(json.dumps({**where, **known, "notices": shot.get("notices") or []}))
    else:
        _print_status(shot, where)
    if client is None:
        _say("brimline: The server is not running; start it with `brimline serve`.")
        return EXIT_UNAVAILABLE
    return 0


def _guard(settings: config.Config, arguments: argparse.Namespace) -> int:
    client = _client(settings)
    if client is None:
        _say("brimline: The server is not running; start it with `brimline serve`.")
        return EXIT_UNAVAILABLE
    shot = client.get("/api/tray")
    of = shot["pool"]
    if arguments.account:
        of = _tray_account(shot["accounts"], client.get("/api/accounts"), arguments.account)
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
    # A window with a colon in its key limits one named model only.
    windows = [w for w in of.get("windows") or () if ":" not in str(w.get("key"))]
    known = [w for w in windows if w.get("remainingPercent") is not None and not w.get("stale")]
    idle = of.get("status") or of.get("state")
    if idle in _OUT_OF_WORK:
        code, said = EXIT_ERROR, f"Nothing can serve now: {idle.replace('_', ' ')}."
    elif not known or len(known) < len(windows):
        code, said = EXIT_UNAVAILABLE, "What is left is not known, or the figures are old."
    else:
        tightest = min(known, key=lambda w: float(w["remainingPercent"]))
        left = float(tightest["remainingPercent"])
        code = 0 if left >= least else EXIT_ERROR
        said = f"{left:g}% of the {tightest['name']} allowance is left; asked for {least:g}%."
    figures = {w["name"]: w.get("remainingPercent") for w in windows}
    return {"ok": code == 0, "exitCode": code, "message": said, "remaining": figures}


_OUT_OF_WORK = (
    "paused", "spent", "empty", "sign_in_needed", "deactivated", "rate_limited", "quota_exceeded",
)  # fmt: skip


def _stored_snapshot(settings: config.Config) -> dict[str, Any]:
    """What the data folder last knew; nothing is asked of the provider, nothing is made."""
    if not (settings.data_dir / "usage.db").exists():
        return {"pool": None, "accounts": [], "version": __version__}
    from desktop import offline

    with offline.pool(settings) as pool:
        return {**pool.snapshot(_now()), "version": __version__}


def _now() -> int:
    return time.time_ns() // 1_000_000


def _print_status(shot: dict[str, Any], where: dict[str, Any]) -> None:
    from datetime import datetime

    from desktop import display

    zone = datetime.now().astimezone().tzinfo
    if where["running"]:
        print(f"Brimline {shot['version']} at {where['address']}/ (process {where['pid']})")
    for row in display.pool_rows(shot, _now()):
        print(row)
    view = display.View(shot, zone=zone)
    for account in view.accounts:
        print(display.account_line(account, view, _now()))


def _scan(settings: config.Config, arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    client = _client(settings)
    with quick.Progress(sys.stderr if sys.stderr and sys.stderr.isatty() else None) as progress:
        if client is not None:
            totals = _scan_by_server(client, progress)
        else:
            from server.ingest import scan

            totals = scan.run(settings, progress.show)
    seconds = round(time.monotonic() - started, 3)
    print(quick.report(totals, seconds, as_json=arguments.json))
    return 0


def _scan_by_server(client: Client, progress: quick.Progress) -> dict[str, Any]:
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
        answer = client.post("/api/scan", {"wait": True}, timeout=_SCAN_SECONDS)
    finally:
        done.set()
    return dict(answer)


# --- Verbs ----------------------------------------------------------------------------------------


def _accounts(settings: config.Config, arguments: argparse.Namespace) -> int:
    if arguments.verb == "import":
        return _import(settings, arguments)
    found = _summaries(settings)
    if arguments.json:
        print(json.dumps({"accounts": found}))
        return 0
    if not found:
        print("No account yet. Add one: brimline accounts import ~/.codex/auth.json")
    for account in found:
        figures = " · ".join(_figure(window) for window in account.get("windows") or ()) or "–"
        name = _names(account)[0]
        print(f"{name}   {account.get('planType') or '–'}   {account['status']}   {figures}")
    return 0


def _figure(window: dict[str, Any]) -> str:
    from desktop import display

    return f"{window['name']} {display.percent(window.get('remainingPercent'))}"


def _summaries(settings: config.Config) -> list[dict[str, Any]]:
    client = _client(settings)
    if client is not None:
        return list(client.get("/api/accounts")["accounts"])
    if not (settings.data_dir / "usage.db").exists():
        return []
    from desktop import offline

    with offline.pool(settings) as pool:
        return pool.summaries(_now(), auth=True)


def _import(settings: config.Config, arguments: argparse.Namespace) -> int:
    imported, failed = [], []
    client = _client(settings)
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
        _say(f"brimline: {one['file']}: {one['message']}")
    return EXIT_ERROR if failed else 0


def _import_one(
    settings: config.Config, client: Client | None, name: str, content: bytes
) -> dict[str, Any]:
    if client is not None:
        return dict(client.upload("/api/accounts/import", "auth_json", [(name, content)]))
    from desktop import offline

    with offline.pool(settings) as pool:
        return offline.add(pool, content)


def _auth_json(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(AUTH_JSON_LIMIT + 1)
    except OSError as error:
        raise AppError(
            f"It cannot be read: {error.strerror}. Codex keeps it at ~/.codex/auth.json.",
            code="unreadable",
        ) from error
    if len(content) > AUTH_JSON_LIMIT:
        raise AppError("It is larger than any auth.json; take the file Codex wrote.", code="large")
    return content


def _bring(settings: config.Config, arguments: argparse.Namespace) -> int:
    given = {"folder": str(Path(arguments.folder).expanduser().absolute())}
    if arguments.key_file:
        given["keyFile"] = str(Path(arguments.key_file).expanduser().absolute())
    client = _client(settings)
    if client is not None:
        found = dict(client.post("/api/import/codex-lb", given, timeout=300.0))
    else:
        from desktop import bringover

        found = bringover.run(settings, given)
    failed = any(each["problem"] for each in (*found["accounts"], *found["keys"]))
    if arguments.json:
        print(json.dumps(found))
        return EXIT_ERROR if failed else 0
    for each in found["accounts"]:
        print(f"account {each['email']}: {each['problem'] or each['status']}")
    for each in found["keys"]:
        print(f"key {each['name']} ({each['keyPrefix']}…): {each['problem'] or 'works here'}")
    for name, value in found["settings"].items():
        print(f"setting {name}: {json.dumps(value)}")
    for left in found["settingsLeft"]:
        print(f"setting left out: {left}")
    print(found["note"])
    return EXIT_ERROR if failed else 0


def _pause(settings: config.Config, arguments: argparse.Namespace) -> int:
    chosen = _chosen(_summaries(settings), arguments, ("active", "rate_limited", "quota_exceeded"))
    client = _client(settings)
    for account in chosen:
        if client is not None:
            body = {"until": _until(arguments)}
            client.post(f"/api/accounts/{account['accountId']}/pause", body)
        else:
            _pause_offline(settings, arguments, account["accountId"])
        print(f"Paused {_names(account)[0]}.")
    return 0


def _pause_offline(settings: config.Config, arguments: argparse.Namespace, account: str) -> None:
    from desktop import offline

    until = _now() + arguments.duration if arguments.duration else None
    with offline.pool(settings) as pool:
        offline.pause(pool, account, until, reset=arguments.until_reset, now=_now())


def _resume(settings: config.Config, arguments: argparse.Namespace) -> int:
    chosen = _chosen(_summaries(settings), arguments, ("paused",))
    client = _client(settings)
    for account in chosen:
        if client is not None:
            client.post(f"/api/accounts/{account['accountId']}/resume")
        else:
            _resume_offline(settings, account["accountId"])
        print(f"Resumed {_names(account)[0]}.")
    return 0


def _resume_offline(settings: config.Config, account: str) -> None:
    from desktop import offline

    with offline.pool(settings) as pool:
        pool.resume(account)


def _chosen(
    accounts: list[dict[str, Any]], arguments: argparse.Namespace, able: Sequence[str]
) -> list[dict[str, Any]]:
    """The named account, or with --all those in a state that the verb applies to."""
    if not arguments.all:
        return [match(arguments.name, accounts)]
    if not accounts:
        raise AppError("There is no account yet. Add one with `brimline accounts import`.")
    found = [account for account in accounts if account["status"] in able]
    if not found:
        print("Nothing to do: no account is in a state for that.")
    return found


def match(name: str, accounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The account a person means: a whole id, label or e-mail, else the only one beginning so.

    Raises `AppError` that lists the candidates when several fit, or all when none does.
    """
    wanted = name.strip().casefold()
    exact = [a for a in accounts if wanted in [n.casefold() for n in _names(a)]]
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

    at = datetime.fromtimestamp((_now() + arguments.duration) / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


# --- The ledger -----------------------------------------------------------------------------------


def _ledger(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import offline_api, reports

    with offline_api.opened(settings, _client(settings)) as api:
        arguments.lang = _asked_language(arguments)
        arguments.folder = settings.data_dir
        print(reports.run(api, arguments))
    return 0


def _asked_language(arguments: argparse.Namespace) -> str:
    """The language to speak, empty when none is asked for; an older tracker's variable counts."""
    asked = arguments.lang or os.environ.get("CODEX_USAGE_TRACKER_LANG")
    if not asked:
        return ""
    from desktop.reports import language

    return language(asked)


def _speak(api: Any, arguments: argparse.Namespace) -> None:
    """Begin with the language that was asked for; one chosen on the pages stays."""
    asked = _asked_language(arguments)
    if asked and not api.get("/api/settings")["language"]:
        api.put("/api/settings", {"language": asked})


def _serve_dashboard(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import offline_api

    client = _client(settings)
    with offline_api.opened(settings, client) as api:
        _speak(api, arguments)
        if arguments.privacy_mode:
            api.put("/api/settings", {"privacyMode": arguments.privacy_mode})
        if not arguments.no_refresh:
            api.post("/api/scan", {"wait": True})
    if client is not None:
        print(f"Brimline already runs at {client.address.url}/")
        _browse(settings, arguments)
        return 0
    from server import runtime

    def announce(line: str) -> None:
        print(line, flush=True)
        _browse(settings, arguments)

    return runtime.serve(settings, announce)


def _browse(settings: config.Config, arguments: argparse.Namespace) -> None:
    client = _client(settings) if arguments.open else None
    if client is not None:
        import webbrowser

        webbrowser.open(client.ticket_url("/insights"))


def _inspect_log(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import logs

    found = logs.inspect(Path(arguments.path).expanduser())
    if arguments.json:
        print(json.dumps(found))
        return 0
    for name, value in found.items():
        said = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{name}: {said or 'none' if isinstance(value, dict) else said}")
    return 0


def _rebuild_index(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import logs

    found = logs.rebuild(settings)
    print(
        json.dumps(found) if arguments.json else f"{found['files']} files, {found['calls']} calls."
    )
    return 0


def _reset_db(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import logs

    removed = logs.reset(settings)
    print(json.dumps(removed) if arguments.json else f"Removed {removed['call']} calls.")
    return 0


# --- This machine ---------------------------------------------------------------------------------


def _autostart(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import autostart

    if arguments.state == "on":
        autostart.enable()
    elif arguments.state == "off":
        autostart.disable()
    print("on" if autostart.enabled() else "off")
    return 0


def _selftest(settings: config.Config, arguments: argparse.Namespace) -> int:
    from desktop import selftest

    report = selftest.run(settings)
    if arguments.json:
        print(json.dumps(report))
    else:
        for check in report["checks"]:
            mark = "ok" if check["ok"] else "MISSING" if check["required"] else "absent"
            print(f"{mark:8} {check['name']}: {check['detail']}")
    return 0 if report["ok"] else EXIT_ERROR


def _version(settings: config.Config, arguments: argparse.Namespace) -> int:
    print(f"brimline {__version__}")
    return 0


# They do something rather than say something, and may be started without a standard output.
_SILENT = (_default, _tray, _serve, _window, _demo, _autostart, _serve_dashboard)
