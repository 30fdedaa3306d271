"""`brimline scan` without the rest of the command line.

Parsing words, reading a configuration and looking for a server load modules for longer than it
takes to read 50 MB of logs. Here is only the usual case; whatever is not usual is left to `cli`.
"""

from __future__ import annotations

import gc
import os
import sys
import time

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TextIO

# The folders' variables as in `server.config`; any other variable of ours is not usual.
_HOMES = {
    "codex_home": ("BRIMLINE_CODEX_HOME", "CODEX_HOME"),
    "claude_home": ("BRIMLINE_CLAUDE_HOME", "CLAUDE_CONFIG_DIR"),
}
_KNOWN = {
    "BRIMLINE_DATA_DIR", "BRIMLINE_CODEX_HOME", "BRIMLINE_CLAUDE_HOME",
    "BRIMLINE_NO_KEYRING",  # a scan needs no key
}  # fmt: skip
_OURS = ("BRIMLINE_", "CODEX_USAGE_", "AI_USAGE_", "CODEX_LB_")


class Folders:
    """The part of a configuration that a scan needs."""

    strict_writes = False
    sessions_root = projects_root = None  # who sets them has no usual scan

    def __init__(self, data_dir: str, codex_home: str, claude_home: str) -> None:
        self.data_dir = data_dir
        self.codex_home = codex_home
        self.claude_home = claude_home


def folders(data_dir: str | None, env: Mapping[str, str]) -> Folders | None:
    """What `config.load` would say; None where it takes more than the environment to know."""
    home = env.get("HOME", "")
    if not sys.platform.startswith("linux") or not os.path.isabs(home):
        return None
    for name, value in env.items():
        if value and name.startswith(_OURS) and name not in _KNOWN:
            return None
    settings = env.get("XDG_CONFIG_HOME", "").strip() or f"{home}/.config"
    share = env.get("XDG_DATA_HOME", "").strip() or f"{home}/.local/share"
    if not (os.path.isabs(settings) and os.path.isabs(share)):
        return None
    if os.path.lexists(f"{settings}/brimline/config.toml"):
        return None
    found = [
        data_dir or env.get("BRIMLINE_DATA_DIR") or f"{share}/brimline",
        _first(env, _HOMES["codex_home"]) or f"{home}/.codex",
        _first(env, _HOMES["claude_home"]) or _claude(home, settings),
    ]
    if any(path.startswith("~") or not os.path.isabs(path) for path in found):
        return None
    return Folders(*found)


def _claude(home: str, settings: str) -> str:
    newer = f"{settings}/claude"
    return f"{home}/.claude,{newer}" if os.path.isdir(f"{newer}/projects") else f"{home}/.claude"


def _first(env: Mapping[str, str], names: Sequence[str]) -> str:
    return next((env[name] for name in names if env.get(name)), "")


def asked(words: Sequence[str]) -> tuple[bool, str | None] | None:
    """(JSON?, data folder) of `scan [--json] [--data-dir DIR]`; None for any other words."""
    left = list(words)
    if not left or left.pop(0) != "scan":
        return None
    plain, folder = True, None
    while left:
        word = left.pop(0)
        if word == "--json":
            plain = False
        elif word == "--data-dir" and left and not left[0].startswith("-"):
            folder = left.pop(0)
        else:
            return None
    return not plain, folder


def scan(words: Sequence[str]) -> str | None:
    """Do a usual scan and return what to say of it; None when `cli` has to do it."""
    began = time.monotonic()
    order = asked(words)
    where = folders(order[1], os.environ) if order else None
    if order is None or where is None or os.path.lexists(f"{where.data_dir}/server.json"):
        return None
    gc.disable()  # nothing here makes cycles, and even loading is quicker without the search
    from server.ingest import early

    early.begin(where.data_dir, where.codex_home, where.claude_home)  # beside what is loaded now
    from server.errors import AppError
    from server.ingest import scan as scanning

    try:
        with Progress(sys.stderr if sys.stderr and sys.stderr.isatty() else None) as progress:
            totals = scanning.run(where, progress.show)
    except AppError:
        early.take()
        gc.enable()
        return None  # `cli` meets it again, and says what to do
    return report(totals, round(time.monotonic() - began, 3), as_json=order[0])


def leave(text: str) -> None:
    """Say `text` and end the process at once: nothing is left that would have to be put away."""
    os._exit(spoken(text))


def spoken(text: str | None = None) -> int:
    """Print `text`, and send out all that was printed: 0, or 1 when it cannot be written."""
    if sys.stdout is None:
        return unheard(None)
    try:
        if text is not None:
            print(text)
        sys.stdout.flush()
    except OSError as error:
        return unheard(error)
    return 0


def unheard(error: OSError | None) -> int:
    """Say why standard output took nothing (None: it is closed); returns the exit code.

    That a reader (`| head`) has left needs no words.
    """
    from server.lazy import suppress

    if not isinstance(error, BrokenPipeError) and sys.stderr is not None:
        why = "it is closed" if error is None else error.strerror
        with suppress(OSError):  # nobody may listen there either
            print(f"brimline: Nothing can be written to standard output: {why}.", file=sys.stderr)
    if sys.stdout is not None:
        # What is still buffered goes nowhere, so that Python does not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 1


def report(totals: dict[str, Any], seconds: float, *, as_json: bool) -> str:
    """A scan's answer, for scripts or for people."""
    if as_json:
        from server import shortjson  # here: reading begins before it is loaded

        wanted = {key: totals[key] for key in ("files", "calls", "tokens", "skippedLines")}
        rest = {"claude": totals["claude"], "quality": totals.get("quality")}
        return shortjson.dumps({**wanted, "seconds": seconds, **rest})
    return "\n".join((*counted(totals, f" {seconds:.1f} s."), *lost(totals)))


def counted(totals: dict[str, Any], end: str = "") -> list[str]:
    """A sentence on what Codex used, ending in `end`, and one on Claude Code where it was used."""
    claude = totals.get("claude") or {}
    said = [f"Codex: {_counted(totals)}{end}"]
    return [*said, f"Claude Code: {_counted(claude)}"] if claude.get("files") else said


def _counted(found: dict[str, Any]) -> str:
    tokens = found["tokens"]
    return (
        f"{found['calls']:,} calls in {found['files']:,} files: {tokens['total']:,} tokens "
        f"({tokens['input']:,} input, {tokens['cachedInput']:,} of it cached; "
        f"{tokens['output']:,} output)."
    )


def lost(totals: dict[str, Any]) -> list[str]:
    """What of either's logs could not be taken as it stands, in sentences."""
    skipped = totals["skippedLines"] + (totals.get("claude") or {}).get("skippedLines", 0)
    lines = "1 line could not be read and was left out."
    if skipped != 1:
        lines = f"{skipped:,} lines could not be read and were left out."
    said = [lines] if skipped else []
    return [*said, *quality(totals.get("quality") or {})]


LEFT_OUT = {
    "unreadable": "a log that cannot be read",
    "cut_off": "the compressed log ends before its end; what comes before is counted",
    "closed_folder": "a folder that cannot be opened",
    "linked_again": "a link to a folder that is read already",
    "broken_link": "a link that leads nowhere",
    "leads_out": "a link that leads out of the log folders, to no log of a session",
    "no_file": "no file, but a pipe or a device",
    "odd_name": "its name is not UTF-8",
    "other_name": "no log of a session, neither by its name nor by how it begins",
    "copied_log": "it repeats a log that is counted",
}


def quality(found: dict[str, Any]) -> list[str]:
    """What was mended or left out, in sentences."""
    said = []
    if found.get("mendedLines"):
        said.append(
            f"{found['mendedLines']:,} lines had figures, times or letters that cannot be; mended."
        )
    shown = found.get("leftOut", [])[:10]
    for one in shown:
        path = "".join(c if c.isprintable() else "?" for c in one["path"])
        said.append(f"Left out: {path} ({LEFT_OUT.get(one['kind'], one['kind'])}).")
    more = found.get("leftOutTotal", 0) - len(shown)
    return [*said, f"Left out: {more:,} more."] if more > 0 else said


class Progress:
    """One line on a terminal that is written again and again; nothing elsewhere."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.stream is not None:
            self.stream.write("\r\033[K")
            self.stream.flush()

    def show(self, progress: dict[str, Any] | None) -> None:
        """Draw how far a scan is."""
        if self.stream is None or not progress:
            return
        total = progress["bytesTotal"]
        share = min(1.0, progress["bytesDone"] / total) if total else 0.0
        cells = int(share * 30)
        self.stream.write(
            f"\r\033[K[{'#' * cells}{'.' * (30 - cells)}] {share:4.0%}  "
            f"{progress['filesDone']:,} of {progress['filesTotal']:,} files  "
            f"{progress['bytesDone'] / 1e6:,.0f} of {total / 1e6:,.0f} MB"
        )
        self.stream.flush()
