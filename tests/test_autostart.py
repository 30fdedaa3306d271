"""Start at login: what is written for each system, and that it is the system's own state."""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import plistlib
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from desktop import autostart, cli
from desktop.autostart import LaunchAgent, RunKey, Xdg


def exec_words(value: str) -> list[str]:
    """Take an Exec value apart as desktops do: string escapes, the shell's quoting, field codes."""
    script = f"printf '%s\\n' {value.replace(chr(92) * 2, chr(92))}"
    said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    return [word.replace("%%", "%") for word in said.stdout.splitlines()]


@pytest.mark.parametrize(
    "word",
    [
        pytest.param("/opt/brimline/brimline", id="plain"),
        pytest.param("/home/a b/brimline", id="a space"),
        pytest.param('/home/"q"/brimline', id="a quote"),
        pytest.param("/home/$HOME/`id`/brimline", id="nothing is expanded"),
        pytest.param("/home/back\\slash", id="a backslash"),
        pytest.param("/home/100%U/brimline", id="not a field code"),
    ],
)
def test_an_exec_line_survives_any_path(word: str) -> None:
    value = f"{autostart.desktop_quote(word)} {autostart.desktop_quote('tray')}"
    assert exec_words(value) == [word, "tray"]
    assert autostart.desktop_program(value) == word


def test_the_xdg_entry_is_a_desktop_entry() -> None:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(autostart.desktop_entry(["/opt/brimline", "tray"]))
    entry = dict(parser["Desktop Entry"])
    assert entry["Type"] == "Application"
    assert entry["Exec"] == '"/opt/brimline" "tray"'
    assert entry["Terminal"] == "false"


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        pytest.param("", False, id="as written"),
        pytest.param("Hidden=true", True, id="switched off by the session's own tool"),
        pytest.param("Hidden = True", True, id="spaces and case"),
        pytest.param("#Hidden=true", False, id="a comment"),
        pytest.param("X-GNOME-Autostart-enabled=false", True, id="switched off in GNOME"),
    ],
)
def test_a_hidden_entry_is_off(line: str, hidden: bool) -> None:
    assert autostart.entry_hidden(autostart.desktop_entry(["/x"]) + line) is hidden


def test_the_launch_agent_runs_the_tray_once_at_login() -> None:
    agent = plistlib.loads(
        autostart.launch_agent(["/Applications/B & C/brimline", "tray"]).encode()
    )
    assert agent["ProgramArguments"] == ["/Applications/B & C/brimline", "tray"]
    assert agent["RunAtLoad"] is True
    assert agent["KeepAlive"] is False
    assert agent["LimitLoadToSessionType"] == "Aqua"


def test_the_run_key_is_quoted_for_windows() -> None:
    rendered = RunKey({}).render([r"C:\Program Files\Brimline\brimline.exe", "tray"])
    assert rendered == r'"C:\Program Files\Brimline\brimline.exe" tray'
    assert autostart._windows_program(rendered) == r"C:\Program Files\Brimline\brimline.exe"


@pytest.mark.parametrize(
    ("system", "kind"),
    [("linux", Xdg), ("darwin", LaunchAgent), ("win32", RunKey)],
)
def test_each_system_has_its_place(system: str, kind: type) -> None:
    assert isinstance(autostart.place(system, {"HOME": "/nobody"}), kind)


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_on_and_off_leave_nothing(system: str, tmp_path: Path) -> None:
    login = autostart.place(system, {"HOME": str(tmp_path)})
    assert login.read() is None
    login.write(login.render(["/opt/brimline", "tray"]))
    assert login.read() is not None
    login.remove()
    login.remove()
    assert login.read() is None
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


_Values = dict[str, tuple[str | bytes, int]]


class _Registry(types.ModuleType):
    """As much of `winreg` as a Run key needs, over a dictionary."""

    HKEY_CURRENT_USER, KEY_SET_VALUE, REG_SZ = "HKCU", 2, 1

    def __init__(self) -> None:
        super().__init__("winreg")
        self.keys: dict[str, _Values] = {}

    def _key(self, root: str, path: str, make: bool) -> contextlib.nullcontext[Any]:
        assert root == "HKCU"
        if not make and path not in self.keys:
            raise FileNotFoundError(2, "no such key")
        return contextlib.nullcontext(self.keys.setdefault(path, {}))

    def OpenKey(self, root: str, path: str, reserved: int = 0, access: int = 1) -> Any:  # noqa: N802
        assert reserved == 0
        return self._key(root, path, make=False)

    def CreateKey(self, root: str, path: str) -> Any:  # noqa: N802
        return self._key(root, path, make=True)

    def QueryValueEx(self, key: _Values, name: str) -> tuple[str | bytes, int]:  # noqa: N802
        if name not in key:
            raise FileNotFoundError(2, "no such value")
        return key[name]

    def SetValueEx(self, key: Any, name: str, reserved: int, kind: int, value: str) -> None:  # noqa: N802
        assert reserved == 0
        key[name] = (value, kind)

    def DeleteValue(self, key: _Values, name: str) -> None:  # noqa: N802
        if name not in key:
            raise FileNotFoundError(2, "no such value")
        del key[name]


def test_on_and_off_in_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = _Registry()
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(sys, "platform", "win32")
    login = autostart.place("win32", {})
    assert login.read() is None, "no such key"
    login.remove()
    words = [r"C:\Program Files\Brimline\brimline.exe", "tray"]
    login.write(login.render(words))
    assert registry.keys == {
        r"Software\Microsoft\Windows\CurrentVersion\Run": {
            "Brimline": (r'"C:\Program Files\Brimline\brimline.exe" tray', registry.REG_SZ)
        }
    }
    assert login.read() == login.render(words)
    # The program moved and the old one is gone: the entry follows.
    moved = [r"D:\Brimline\brimline.exe", "tray"]
    assert autostart._heal(login, moved)
    assert login.read() == login.render(moved)
    login.remove()
    login.remove()
    assert login.read() is None, "no such value"


@pytest.mark.parametrize(
    ("mark", "on"),
    [
        pytest.param(b"\x02" + bytes(11), True, id="switched on"),
        pytest.param(b"\x03" + bytes(11), False, id="switched off in the Task Manager"),
        pytest.param(b"", True, id="nothing said"),
    ],
)
def test_what_the_task_manager_says_counts(
    mark: bytes, on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = _Registry()
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(sys, "platform", "win32")
    login = autostart.place("win32", {})
    login.write(r"C:\brimline.exe tray")
    approved = registry.keys[rf"{autostart._APPROVED_KEY}\Run"] = {"Brimline": (mark, 3)}
    assert (login.read() is not None) is on
    login.write(r"C:\brimline.exe tray")
    assert login.read() == r"C:\brimline.exe tray"
    assert approved == {}


def test_an_installer_s_shortcut_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = _Registry()
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(sys, "platform", "win32")
    login = autostart.place("win32", {"APPDATA": str(tmp_path)})
    assert isinstance(login, RunKey)
    assert login.shortcut is not None
    assert login.read() is None
    login.shortcut.parent.mkdir(parents=True)
    login.shortcut.touch()
    assert login.read() == f'"{login.shortcut}"'
    assert autostart._heal(login, [r"D:\brimline.exe", "tray"]) is False
    off: _Values = {login.shortcut.name: (b"\x03" + bytes(11), 3)}
    registry.keys[rf"{autostart._APPROVED_KEY}\StartupFolder"] = off
    assert login.read() is None
    login.write(r"D:\brimline.exe tray")
    assert login.read() == f'"{login.shortcut}"'
    assert registry.keys.get(autostart._RUN_KEY) is None, "never both"
    login.remove()
    assert login.read() is None
    assert not login.shortcut.exists()


@pytest.mark.parametrize(
    ("listed", "off"),
    [
        pytest.param('\t"dev.brimline" => disabled\n', True, id="today's word"),
        pytest.param('\t"dev.brimline" => true\n', True, id="the older word"),
        pytest.param('\t"dev.brimline" => enabled\n', False, id="switched on"),
        pytest.param('\t"dev.brimline.other" => disabled\n', False, id="another agent"),
        pytest.param("", False, id="nothing said"),
    ],
)
def test_what_login_items_say_counts(
    listed: str, off: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, asked = tmp_path / "answer", tmp_path / "asked"
    answer.write_text(listed)
    control = tmp_path / "bin" / "launchctl"
    control.parent.mkdir()
    # As much of launchctl as we use: it lists, and `enable` clears the list.
    control.write_text(
        f'#!/bin/sh\necho "$@" >>"{asked}"\n'
        f'case "$1" in enable) : >"{answer}";; *) cat "{answer}";; esac\n'
    )
    control.chmod(0o755)
    monkeypatch.setenv("PATH", f"{control.parent}:/usr/bin:/bin")
    login = autostart.place("darwin", {"HOME": str(tmp_path)})
    assert isinstance(login, LaunchAgent)
    login.path.parent.mkdir(parents=True)
    login.path.write_text(login.render(["/opt/brimline", "tray"]))
    assert (login.read() is None) is off
    login.write(login.render(["/opt/brimline", "tray"]))
    assert login.read() is not None
    assert (f"enable gui/{os.getuid()}/dev.brimline" in asked.read_text()) is off


def test_a_broken_launch_agent_counts_as_off(tmp_path: Path) -> None:
    agent = LaunchAgent({"HOME": str(tmp_path)})
    agent.write("not a property list")
    assert agent.read() is None


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize(
    ("there", "healed"),
    [
        pytest.param(False, True, id="the program moved: the entry follows"),
        pytest.param(True, False, id="another copy that still exists is the user's choice"),
    ],
)
def test_healing(system: str, there: bool, healed: bool, tmp_path: Path) -> None:
    login = autostart.place(system, {"HOME": str(tmp_path)})
    old, new = tmp_path / "old folder" / "brimline", tmp_path / "brimline"
    new.touch()
    if there:
        old.parent.mkdir()
        old.touch()
    login.write(login.render([str(old), "tray"]))
    assert autostart._heal(login, [str(new), "tray"]) is healed
    assert (str(new) in (login.read() or "")) is healed
    assert autostart._heal(login, [str(new), "tray"]) is False


def test_healing_never_switches_it_on(tmp_path: Path) -> None:
    login = autostart.place("linux", {"HOME": str(tmp_path)})
    assert autostart._heal(login, ["/new", "tray"]) is False
    assert login.read() is None


def test_what_starts_is_the_program_itself(tmp_path: Path) -> None:
    python = tmp_path / "python"
    assert autostart.command(str(python), frozen=False)[-3:] == ["-m", "desktop", "tray"]
    script = tmp_path / "brimline"
    script.touch()
    assert autostart.command(str(python), frozen=False) == [str(script), "tray"]
    assert autostart.command("/opt/brimline", frozen=True) == ["/opt/brimline", "tray"]


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG place")
def test_the_command_line_switches_it(tmp_path: Path) -> None:
    def said(word: str) -> str:
        words = [sys.executable, "-m", "desktop", "autostart", word]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    assert [said(word) for word in ("status", "on", "status", "off")] == ["off", "on", "on", "off"]


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG place")
def test_an_entry_without_its_program_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("BRIMLINE_CONFIG", str(tmp_path / "config.toml"))
    login = autostart.place("linux", {"XDG_CONFIG_HOME": str(tmp_path)})

    def status(*words: str) -> tuple[str, str]:
        asked = ["autostart", "status", *words, "--data-dir", str(tmp_path / "data")]
        assert cli.main(asked) == 0
        said = capsys.readouterr()
        return said.out.strip(), said.err

    assert json.loads(status("--json")[0]) == {"enabled": False, "missingProgram": None}
    gone = str(tmp_path / "old" / "brimline")
    login.write(login.render([gone, "tray"]))
    assert json.loads(status("--json")[0]) == {"enabled": True, "missingProgram": gone}
    out, err = status()
    assert out == "on"
    assert gone in err
    login.write(login.render([sys.executable, "tray"]))
    assert status() == ("on", "")


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG entry")
def test_a_place_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "closed").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "closed"))
    monkeypatch.setenv("BRIMLINE_CONFIG", str(tmp_path / "config.toml"))
    assert cli.main(["autostart", "on", "--data-dir", str(tmp_path / "data")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("brimline: Start at login was not changed:")
    assert said.endswith("Make that place writable, then try again.\n")
