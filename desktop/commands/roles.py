"""The roles: tray, server, window and demo."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from desktop.commands.terminal import (
    EXIT_NO_TRAY,
    EXIT_UNAVAILABLE,
    add_shown,
    asked_language,
    client_of,
    command,
    say,
)
from server import config
from server.config import Config
from server.errors import AppError


def add(commands: Any) -> None:
    """Add what runs for long: tray, server, window and demo."""
    for one in (_add_tray, _add_serve, _add_window, _add_quit, _add_demo, _add_dashboard):
        parser = one(commands)
        # It does something rather than say something, and may start without a standard output.
        parser.set_defaults(silent=True)


def _add_tray(commands: Any) -> argparse.ArgumentParser:
    tray = command(
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
    return tray


def _add_serve(commands: Any) -> argparse.ArgumentParser:
    serve = command(
        commands,
        "serve",
        _serve,
        "Run the server alone: proxy, ledger and pages.",
        ["brimline serve", "brimline serve --port 2456 --data-dir /srv/brimline"],
    )
    serve.add_argument("--host", help="the address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", help=f"the port to listen on (default {config.DEFAULT_PORT})")
    _add_evidence(serve)
    return serve


def _add_window(commands: Any) -> argparse.ArgumentParser:
    window = command(
        commands,
        "window",
        _window,
        "Open the dashboard's window, or raise the one that is open.",
        ["brimline window"],
    )
    window.add_argument("--path", default="/", help="the page to open (default /)")
    window.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return window


def _add_quit(commands: Any) -> argparse.ArgumentParser:
    return command(
        commands,
        "quit",
        _quit,
        "End Brimline: the tray and its window with the server, or the server alone.",
        ["brimline quit"],
    )


def _add_demo(commands: Any) -> argparse.ArgumentParser:
    demo = command(
        commands,
        "demo",
        _demo,
        "Look around on invented data, in a folder that is gone afterwards.",
        ["brimline demo", "brimline demo --serve --port 2460"],
    )
    demo.description = f"{demo.description} It takes no --data-dir: your own data is not touched."
    demo.add_argument("--serve", action="store_true", help="the server alone, without a tray")
    demo.add_argument("--port", type=_port, help="the port to listen on (default: a free one)")
    return demo


def _add_dashboard(commands: Any) -> argparse.ArgumentParser:
    serve = command(
        commands,
        "serve-dashboard",
        _serve_dashboard,
        "Run the server, and show the dashboard in the browser with --open.",
        ["brimline serve-dashboard --open"],
    )
    add_shown(serve)
    serve.add_argument("--open", action="store_true", help="open the browser")
    serve.add_argument("--no-refresh", action="store_true", help="do not wait for new logs")
    serve.add_argument("--host", help="the address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", help=f"the port to listen on (default {config.DEFAULT_PORT})")
    _add_evidence(serve)
    return serve


def _add_evidence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-context-api",
        dest="evidence",
        action="store_const",
        const=False,
        help="show no log lines of a call until you turn them on on its page",
    )
    parser.add_argument(
        "--context-api",
        dest="evidence",
        choices=["explicit", "disabled"],
        action=_Evidence,
        help="disabled is --no-context-api, explicit is as usual",
    )


class _Evidence(argparse.Action):
    """What another tracker's two words say of log lines."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, _option: Any = None) -> None:
        if values == "disabled":
            namespace.evidence = False


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError("give a port from 1 to 65535")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError("give seconds from 0.1 to 3600")
    return value


def usual(settings: Config, arguments: argparse.Namespace) -> int:
    """No command: the tray where there is a desktop, else the server.

    Where there is a screen but no tray is possible, the window opens beside the server.
    """
    if not _has_screen():
        return _serve(settings, arguments)
    arguments.open, arguments.refresh = True, None
    code = _tray(settings, arguments)
    if code != EXIT_NO_TRAY:
        return code
    with _beside(settings) as show:
        return _serve(settings, arguments, show)


@contextmanager
def _beside(settings: Config) -> Iterator[Callable[[], None]]:
    """Give what opens the window, or the browser, as a process that ends with this one."""
    from desktop.supervisor import child_environment, self_command

    opened: list[subprocess.Popen[bytes]] = []

    def show() -> None:
        words = self_command("window", "--data-dir", str(settings.data_dir))
        frozen = bool(getattr(sys, "frozen", False))
        env = child_environment(os.environ, outlives=False, frozen=frozen)
        opened.append(subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL))  # noqa: S603

    try:
        yield show
    finally:
        for window in opened:
            window.terminate()
            window.wait(10)


def _has_screen() -> bool:
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _serve(
    settings: Config, arguments: argparse.Namespace, ready: Callable[[], None] | None = None
) -> int:
    gc.disable()  # while it loads: all of that stays. The running server turns it on.
    from desktop import autostart, leftovers
    from server import runtime

    leftovers.sweep_soon()
    leftovers.end_with_loader(lambda: os.kill(os.getpid(), signal.SIGTERM))
    if asked_language(arguments):
        from desktop import offline_api

        with offline_api.opened(settings, client_of(settings)) as api:
            _speak(api, arguments)
    # The page offers "start at login" where there is somebody to log in, to what is not invented.
    login = autostart if _has_screen() and not os.environ.get("BRIMLINE_DEMO") else None

    def announce(line: str) -> None:
        print(line, flush=True)
        if ready is not None:
            ready()

    if os.environ.get("BRIMLINE_DEMO"):
        leftovers.end_with_demo(settings.data_dir)
    return runtime.serve(settings, announce, login)


def _tray(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import leftovers, tray

    leftovers.sweep_soon()
    return tray.run(settings, open_window=arguments.open, refresh=arguments.refresh)


def _quit(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop.wake import Wake
    from server.store.lock import Lock

    lock = Lock(settings.data_dir / "tray.lock")
    if settings.data_dir.exists() and not lock.acquire():
        Wake(settings.data_dir / "tray.quit").touch()
        print("Brimline ends, and its server with it.")
        return 0
    lock.release()
    client = client_of(settings)
    if client is None:
        say("brimline: Brimline is not running on this data folder; there is nothing to end.")
        return EXIT_UNAVAILABLE
    client.post("/api/shutdown")
    print("The server ends.")
    return 0


def _window(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import window

    return window.run(settings, path=arguments.path, child=arguments.child)


def _demo(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import demo

    if arguments.data_dir is not None:
        raise AppError("The demo has a folder of its own: start it without --data-dir.")

    def show(own: Config) -> int:
        arguments.data_dir = own.data_dir
        return _serve(own, arguments) if arguments.serve else usual(own, arguments)

    print("Inventing two months of work …", file=sys.stderr, flush=True)
    return demo.run(settings, show, arguments.port)


def _serve_dashboard(settings: Config, arguments: argparse.Namespace) -> int:
    from desktop import offline_api

    client = client_of(settings)
    with offline_api.opened(settings, client) as api:
        _speak(api, arguments)
        if not arguments.no_refresh:
            api.post("/api/scan", {"wait": True})
    if client is not None:
        print(f"Brimline already runs at {client.address.url}/")
        if arguments.privacy_mode:
            say(
                "brimline: --privacy-mode holds for a server that it starts. Stop the one that "
                "runs first, or choose the mode under Settings."
            )
        _browse(settings, arguments)
        return 0
    from server import runtime
    from server.store import settings as stored

    def announce(line: str) -> None:
        print(line, flush=True)
        _browse(settings, arguments)

    mode = arguments.privacy_mode
    with stored.held("privacyMode", mode) if mode else nullcontext():
        return runtime.serve(settings, announce)


def _browse(settings: Config, arguments: argparse.Namespace) -> None:
    client = client_of(settings) if arguments.open else None
    if client is not None:
        import webbrowser

        webbrowser.open(client.ticket_url("/insights"))


def _speak(api: Any, arguments: argparse.Namespace) -> None:
    """Begin with the language that was asked for; one chosen on the pages stays."""
    asked = asked_language(arguments)
    if asked and not api.get("/api/settings")["language"]:
        api.put("/api/settings", {"language": asked})
