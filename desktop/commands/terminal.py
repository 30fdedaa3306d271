"""What the commands share: their parsers, exit codes and words on a terminal."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from server.config import Config

if TYPE_CHECKING:
    from desktop.supervisor import Client

EXIT_ERROR, EXIT_NO_TRAY, EXIT_USAGE, EXIT_UNAVAILABLE = 1, 4, 64, 69


EXIT_CODES = """\
exit codes: 0 done · 1 an error, said in one sentence · 2 wrong usage · 3 the port is busy ·
4 no tray is possible here · 69 the server is not running or cannot be reached"""


def command(
    commands: Any,
    name: str,
    run: Callable[..., int],
    said: str,
    examples: Sequence[str],
    codes: str = EXIT_CODES,
) -> argparse.ArgumentParser:
    """Add one command that calls `run(settings, arguments)`, with its help and examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=said[0].lower() + said[1:].rstrip("."),
        description=said,
        epilog="examples:\n  " + "\n  ".join(examples) + "\n\n" + codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if name != "demo":  # which works on a folder of its own
        add_data_dir(parser)
    parser.set_defaults(run=run, silent=False)
    return parser


def add_data_dir(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    """Let it be told the data folder."""
    parser.add_argument(
        "--data-dir", metavar="DIR", default=default, help="the data folder to work on"
    )


def add_shown(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    """Let it be told how much to show, and in which language."""
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


def json_flag(parser: argparse.ArgumentParser, default: Any = False) -> None:
    """Let it answer in JSON."""
    parser.add_argument(
        "--json", action="store_true", default=default, help="print JSON for scripts"
    )


def say(text: str) -> None:
    """Tell the person at the terminal, on standard error."""
    if sys.stderr is not None:  # a windowed program on Windows has none
        print(text, file=sys.stderr, flush=True)


def now_ms() -> int:
    """The time now."""
    return time.time_ns() // 1_000_000


def client_of(settings: Config) -> Client | None:
    """The running server's client; None when no server runs on this data folder."""
    if not settings.server_file.exists():
        return None  # without loading an HTTP library
    from desktop.supervisor import NotRunning, connect

    with suppress(NotRunning):
        return connect(settings)
    return None


def asked_language(arguments: argparse.Namespace) -> str:
    """The language to speak, empty when none is asked for; an older tracker's variable counts."""
    asked = arguments.lang or os.environ.get("CODEX_USAGE_TRACKER_LANG")
    if not asked:
        return ""
    from desktop.reports import language

    return language(asked)
