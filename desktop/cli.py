"""The command line: one subcommand a role (tray, serve, window) or a verb; `commands` has them.

Each command imports only what it needs, so that `brimline status` starts as fast as it can.
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from functools import partial

from desktop import connecting, otherfiles, quick
from desktop.commands import accounts, figures, ledger, machine, roles
from desktop.commands.terminal import (
    EXIT_CODES,
    EXIT_ERROR,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    add_data_dir,
    add_shown,
    command,
    say,
)
from server import __version__, config
from server.errors import AppError

# How a write to standard output fails: the reader has left, or the disk behind it is full.
_UNHEARD = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


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
            say(f"brimline: {warning}")
        otherfiles.check(arguments)
        code = int(arguments.run(settings, arguments))
        if sys.stdout is None and (arguments.silent or sys.platform == "win32"):
            return code  # a program in the background, or in a window, has none
        return quick.spoken() or code
    except AppError as error:
        say(f"brimline: {error.message}")
        return _exit_code(error)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is not None or error.errno not in _UNHEARD:
            raise
        return quick.unheard(error)


def _understood(words: list[str]) -> argparse.Namespace:
    """What the words ask for; ends the process with help or a usage error."""
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="brimline",
        description="Shows what is left of your Codex allowance and spreads work over accounts.",
        epilog="Without a command: the tray where there is a desktop, else the server.\n\n"
        + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"brimline {__version__}")
    add_data_dir(parser, default=None)
    add_shown(parser, default=None)
    otherfiles.add(parser, default=None)
    parser.set_defaults(run=roles.usual, silent=True)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for subject in (roles, figures, ledger, accounts):
        subject.add(commands)
    connecting.add(partial(command, commands))
    machine.add(commands)
    return parser
