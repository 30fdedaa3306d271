"""What a desktop lacks is named with its remedy, and the rest works."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from desktop import cli, host, supervisor
from server import runtime
from tests.rig import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux may lack parts")


def _module(monkeypatch: pytest.MonkeyPatch, backend: str, kind: str) -> None:
    """pystray as it is where the indicator's description is there, but maybe not its library."""
    icon = type("Icon", (), {"__module__": f"pystray.{backend}", "HAS_MENU": backend != "_xorg"})
    indicator = SimpleNamespace(Indicator=SimpleNamespace(__gtype__=SimpleNamespace(name=kind)))
    part = SimpleNamespace(AppIndicator=indicator)
    monkeypatch.setitem(sys.modules, "pystray", SimpleNamespace(Icon=icon, _appindicator=part))
    monkeypatch.setenv("DISPLAY", ":0")


def test_the_tray_that_can_be_drawn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _module(monkeypatch, "_appindicator", "AppIndicator")
    assert host.require_tray() == "appindicator"


@pytest.mark.parametrize(
    ("backend", "kind", "said"),
    [
        pytest.param(
            "_appindicator",
            "void",
            "libayatana-appindicator3, which shows tray icons, is not installed (Debian: apt",
            id="the binary brings the description, not the library",
        ),
        pytest.param("_xorg", "", "the tray has no menu here; install", id="no Gtk at all"),
    ],
)
def test_a_tray_that_cannot_be_drawn_says_why(
    backend: str, kind: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _module(monkeypatch, backend, kind)
    with pytest.raises(host.Missing) as missing:
        host.require_tray()
    assert said in str(missing.value)


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        pytest.param('Can\'t connect to display ":9"', "look at DISPLAY; `brimline serve`", id="X"),
        pytest.param("must be an interface", "it needs Gtk 3 and gir1.2-ayatana", id="no Gtk"),
    ],
)
def test_a_library_that_fails_is_no_traceback(
    error: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "pystray":
                raise TypeError(error)

    monkeypatch.delitem(sys.modules, "pystray", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.setenv("DISPLAY", ":9")
    with pytest.raises(host.Missing, match="no tray icon is possible here") as missing:
        host.require_tray()
    assert error in str(missing.value)
    assert mend in str(missing.value)


@pytest.mark.parametrize(
    ("owned", "startable", "said"),
    [
        pytest.param(True, [], "a notification service", id="it runs"),
        pytest.param(
            False,
            ["org.freedesktop.Notifications"],
            "a notification service, which starts when it is needed",
            id="the bus starts it",
        ),
        pytest.param(False, ["org.other"], None, id="none"),
    ],
)
def test_who_shows_notifications(
    owned: bool, startable: list[str], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "require_session_bus", lambda: ":1.1")
    monkeypatch.setattr(host, "_owned", lambda name: owned)
    monkeypatch.setattr(host, "_ask_bus", lambda method, argument: startable)
    if said is not None:
        assert host.require_notifications() == said
        return
    with pytest.raises(host.Missing, match="install a notification service"):
        host.require_notifications()


def test_without_a_tray_the_window_opens_beside_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it ends with the server, in whose terminal somebody pressed Ctrl-C."""
    opened = tmp_path / "opened"
    script = "import sys, time; open(sys.argv[1], 'w').write(sys.argv[2]); time.sleep(600)"

    def command(*words: str) -> list[str]:
        return [sys.executable, "-c", script, str(opened), words[0]]

    def serve(config: Any, announce: Any, login: Any) -> int:
        assert not opened.exists(), "the pages are not there yet"
        announce("Brimline is ready")
        wait_until(lambda: opened.exists() and opened.read_text() == "window", "a window", 30)
        return 0

    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(host, "require_tray", lambda: _raise(host.Missing("nothing draws it")))
    monkeypatch.setattr(supervisor, "self_command", command)
    monkeypatch.setattr(runtime, "serve", serve)
    assert cli.main(["--data-dir", str(tmp_path / "data")]) == 0
    said = capsys.readouterr()
    assert "no tray here: nothing draws it" in said.err
    assert "Brimline is ready" in said.out


def _raise(error: Exception) -> str:
    raise error
