"""Start at login: an XDG autostart entry, a LaunchAgent, or a Run key.

The system's own record is the only state: it is read at each look, so what another tool changed
shows. Login items of macOS were not used: they need a bundle and ask for permission to script.
Nothing is loaded into launchd here, for that would start a second tray, and unloading would kill
the one that asked.
"""

from __future__ import annotations

import os
import plistlib
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from server.config import NAME

LABEL = "dev.brimline"
_RUN_KEY = r"Software\Microsoft\Windows\CurrentVersion\Run"
# Where Windows' Task Manager and Settings keep what the user switched off there.
_APPROVED_KEY = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved"
_STARTUP_FOLDER = ("Microsoft", "Windows", "Start Menu", "Programs", "Startup")


class Login(Protocol):
    """Where one system keeps what starts at login."""

    def read(self) -> str | None:
        """The entry as it is stored; None when nothing starts."""

    def write(self, entry: str) -> None:
        """Store the entry."""

    def remove(self) -> None:
        """Remove the entry; harmless when there is none."""

    def render(self, command: Sequence[str]) -> str:
        """The entry that starts `command`."""


def command(executable: str, *, frozen: bool) -> list[str]:
    """What starts at login: the binary, else the script of the environment we run in.

    (A one-file binary must not name the folder it unpacked into.)
    """
    if frozen:
        return [executable, "tray"]
    script = Path(executable).with_name("brimline.exe" if os.name == "nt" else "brimline")
    if script.is_file():
        return [str(script), "tray"]
    return [executable, "-P", "-m", "desktop", "tray"]


# --- The three formats (values in, text out) ------------------------------------------------------


def desktop_quote(word: str) -> str:
    """One word of an `Exec` line.

    Two rules apply one after the other (Desktop Entry Specification, "The Exec key"): in double
    quotes `"`, `` ` ``, `$` and `\\` get a backslash; then the value as a string doubles each
    backslash. A `%` would be a field code.
    """
    quoted = "".join("\\" + c if c in '"`$\\' else c for c in word)
    return '"' + quoted.replace("\\", "\\\\").replace("%", "%%") + '"'


def desktop_entry(words: Sequence[str]) -> str:
    """The XDG autostart entry that runs `words`."""
    return (
        "[Desktop Entry]\n"
        "Type=Application\n"
        "Name=Brimline\n"
        "Comment=Codex allowance in the tray\n"
        f"Exec={' '.join(desktop_quote(word) for word in words)}\n"
        "Icon=brimline\n"
        "Terminal=false\n"
        "X-GNOME-Autostart-enabled=true\n"
        # The panel's tray must be there first.
        "X-GNOME-Autostart-Delay=5\n"
    )


def entry_hidden(text: str) -> bool:
    """Whether an autostart entry is switched off, as session tools do it."""
    values = dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and line[:1] not in "#["
    )
    flags = {key.strip(): value.strip().lower() for key, value in values.items()}
    return flags.get("Hidden") == "true" or flags.get("X-GNOME-Autostart-enabled") == "false"


def launch_agent(words: Sequence[str]) -> str:
    """The property list that makes launchd run `words` once at each login with a screen."""
    agent = {
        "Label": LABEL,
        "ProgramArguments": list(words),
        "RunAtLoad": True,
        "KeepAlive": False,
        "ProcessType": "Interactive",
        "LimitLoadToSessionType": "Aqua",
    }
    return plistlib.dumps(agent).decode()


# --- The three places -----------------------------------------------------------------------------


class Xdg:
    """`autostart/brimline.desktop` in the user's configuration folder."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        base = environ.get("XDG_CONFIG_HOME", "")
        if not Path(base).is_absolute():  # as XDG's specification says
            base = str(Path(environ.get("HOME", "~")) / ".config")
        self.path = Path(base).expanduser() / "autostart" / f"{NAME}.desktop"

    def read(self) -> str | None:
        """The entry; None when it is missing or switched off."""
        text = _text(self.path)
        return None if text is None or entry_hidden(text) else text

    def write(self, entry: str) -> None:
        """Store the entry whole."""
        _store(self.path, entry)

    def remove(self) -> None:
        """Remove the entry."""
        self.path.unlink(missing_ok=True)

    def render(self, command: Sequence[str]) -> str:
        """See `desktop_entry`."""
        return desktop_entry(command)


class LaunchAgent:
    """`~/Library/LaunchAgents/dev.brimline.plist`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = Path(environ.get("HOME", "~")).expanduser()
        self.path = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"

    def read(self) -> str | None:
        """The property list; None when it is missing, or disabled in itself or in Login Items."""
        text = _text(self.path)
        if text is None:
            return None
        with suppress(plistlib.InvalidFileException, ValueError):
            off = plistlib.loads(text.encode()).get("Disabled") or self._switched_off()
            return None if off else text
        return None

    def write(self, entry: str) -> None:
        """Store the property list; it counts from the next login."""
        _store(self.path, entry)
        if self._switched_off():
            _launchctl("enable", f"{_launch_domain()}/{LABEL}")

    def _switched_off(self) -> bool:
        return disabled_in_launchd(_launchctl("print-disabled", _launch_domain()))

    def remove(self) -> None:
        """Remove the property list."""
        self.path.unlink(missing_ok=True)

    def render(self, command: Sequence[str]) -> str:
        """See `launch_agent`."""
        return launch_agent(command)


class RunKey:
    """The value `Brimline` of the user's Run key, or a shortcut that an installer made.

    What the user switches off in the Task Manager is kept elsewhere and counts as off.
    """

    value = "Brimline"

    def __init__(self, environ: Mapping[str, str]) -> None:
        base = environ.get("APPDATA", "")
        self.shortcut = Path(base, *_STARTUP_FOLDER, f"{self.value}.lnk") if base else None

    def read(self) -> str | None:
        """The command line, or the quoted path of the shortcut; None when nothing starts."""
        stored = self._value(_RUN_KEY, self.value)
        if stored is not None and not self._switched_off("Run", self.value):
            return str(stored)
        shortcut = self.shortcut
        if shortcut is None or not shortcut.is_file():
            return None
        return None if self._switched_off("StartupFolder", shortcut.name) else f'"{shortcut}"'

    def write(self, entry: str) -> None:
        """Store the command line; an installer's shortcut is switched on again instead."""
        if sys.platform == "win32":
            import winreg

            shortcut = self.shortcut
            if shortcut is not None and shortcut.is_file():
                self._delete(_RUN_KEY, self.value)  # never both
                self._delete(rf"{_APPROVED_KEY}\StartupFolder", shortcut.name)
                return
            with winreg.CreateKey(winreg.HKEY_CURRENT_USER, _RUN_KEY) as key:
                winreg.SetValueEx(key, self.value, 0, winreg.REG_SZ, entry)
            self._delete(rf"{_APPROVED_KEY}\Run", self.value)

    def remove(self) -> None:
        """Remove the value and the shortcut."""
        self._delete(_RUN_KEY, self.value)
        if self.shortcut is not None:
            self.shortcut.unlink(missing_ok=True)

    def render(self, command: Sequence[str]) -> str:
        """The words quoted as Windows programs take them apart."""
        return subprocess.list2cmdline(command)

    def _switched_off(self, kind: str, name: str) -> bool:
        mark = self._value(rf"{_APPROVED_KEY}\{kind}", name)
        return isinstance(mark, bytes) and bool(mark[:1]) and mark[0] & 1 == 1

    def _value(self, path: str, name: str) -> object:
        if sys.platform != "win32":
            return None
        import winreg

        with suppress(OSError), winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as key:
            return winreg.QueryValueEx(key, name)[0]
        return None

    def _delete(self, path: str, name: str) -> None:
        if sys.platform == "win32":
            import winreg

            with (
                suppress(FileNotFoundError),
                winreg.OpenKey(winreg.HKEY_CURRENT_USER, path, 0, winreg.KEY_SET_VALUE) as key,
            ):
                winreg.DeleteValue(key, name)


def disabled_in_launchd(listed: str) -> bool:
    """Whether `launchctl print-disabled` lists our agent as switched off."""
    found = re.search(rf'"{re.escape(LABEL)}"\s*=>\s*(\w+)', listed)
    return found is not None and found[1] in ("disabled", "true")


def _launch_domain() -> str:
    return f"gui/{os.getuid()}"


def _launchctl(*words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            ["launchctl", *words],  # noqa: S607 - the system's
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def place(system: str, environ: Mapping[str, str]) -> Login:
    """Where the given system (`sys.platform`) keeps it."""
    if system == "win32":
        return RunKey(environ)
    return LaunchAgent(environ) if system == "darwin" else Xdg(environ)


# --- Verbs ----------------------------------------------------------------------------------------


def _here() -> tuple[Login, list[str]]:
    frozen = bool(getattr(sys, "frozen", False))
    return place(sys.platform, os.environ), command(sys.executable, frozen=frozen)


def enabled() -> bool:
    """Whether Brimline starts at login, by the system's own record."""
    return _here()[0].read() is not None


def lost() -> str | None:
    """The program that the entry starts, when it is no longer there; else None."""
    login = _here()[0]
    stored = login.read()
    if stored is None or _program_exists(login, stored):
        return None
    return str(_program(login, stored))


def enable() -> None:
    """Start at login from now on."""
    login, words = _here()
    login.write(login.render(words))


def disable() -> None:
    """Do not start at login any more."""
    _here()[0].remove()


def heal() -> bool:
    """Rewrite the entry when the program has moved; True when that was needed.

    An entry that names a program which still exists is left alone: the user may keep two.
    """
    login, words = _here()
    return _heal(login, words)


def _heal(login: Login, words: Sequence[str]) -> bool:
    stored = login.read()
    wanted = login.render(words)
    if stored is None or stored == wanted or _program_exists(login, stored):
        return False
    login.write(wanted)
    return True


def _program_exists(login: Login, stored: str) -> bool:
    return _program(login, stored).is_file()


def _program(login: Login, stored: str) -> Path:
    if isinstance(login, LaunchAgent):
        words = plistlib.loads(stored.encode()).get("ProgramArguments") or [""]
        return Path(str(words[0]))
    if isinstance(login, Xdg):
        line = next((x for x in stored.splitlines() if x.startswith("Exec=")), "Exec=")
        return Path(desktop_program(line.removeprefix("Exec=")))
    return Path(_windows_program(stored))


def desktop_program(line: str) -> str:
    """The program of an `Exec` value: `desktop_quote` undone for the first word."""
    value = line.replace("\\\\", "\\").replace("%%", "%")
    if not value.startswith('"'):
        return value.split(" ", 1)[0]
    word, escaped = "", False
    for c in value[1:]:
        if c == '"' and not escaped:
            break
        escaped = c == "\\" and not escaped
        word += "" if escaped else c
    return word


def _windows_program(line: str) -> str:
    return line[1:].split('"', 1)[0] if line.startswith('"') else line.split(" ", 1)[0]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _store(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
