"""The tray, its window and its server on a private desktop, as a user meets them.

APP_CMD=dist/brimline runs the same tests against the binary; SHOTS=folder keeps pictures.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest
from PIL import Image, ImageGrab

from desktop import display
from tests import upstream

ROOT = Path(__file__).resolve().parent.parent
COMMAND = shlex.split(os.environ.get("APP_CMD", "")) or [sys.executable, "-P", "-m", "desktop"]
SHOTS = os.environ.get("SHOTS")
REQUIRED = os.environ.get("BRIMLINE_REQUIRE_DESKTOP") == "1"

try:
    from tests import trayhost
    from tests.trayhost import TrayHost, until

    _missing = trayhost.missing() if sys.platform == "linux" else ["Linux"]
except (ImportError, ValueError) as error:
    _missing = [f"PyGObject ({error})"]
if _missing:
    _sentence = f"the desktop tests need {', '.join(_missing)}"
    if REQUIRED:
        pytest.fail(_sentence, pytrace=False)
    pytest.skip(_sentence, allow_module_level=True)


pytestmark = pytest.mark.packaged  # the same tests pass on the binary


def usage(five: float, week: float, later: int = 0) -> dict[str, Any]:
    """The provider's answer with so much used."""
    now = int(time.time())
    return {
        "plan_type": "plus",
        "rate_limit": {
            "allowed": True,
            "limit_reached": False,
            "primary_window": {
                "used_percent": five,
                "limit_window_seconds": 18000,
                "reset_at": now + 7500 + later,
            },
            "secondary_window": {
                "used_percent": week,
                "limit_window_seconds": 604800,
                "reset_at": now + 300000,
            },
        },
    }


_PASTE = """
import gi
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, Gtk
print(Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text() or "", end="")
"""


class App:
    """Brimline on the private desktop: started, asked, clicked."""

    def __init__(self, home: Path, desktop: trayhost.Desktop, provider: upstream.Provider) -> None:
        self.home = home
        self.data = home / "data"
        self.provider = provider
        self.display = desktop.display
        self.host = TrayHost(desktop.bus)
        self.process: subprocess.Popen[bytes] | None = None
        self.later = 0  # seconds by which the 5-hour window ends later than usual
        self.browsed = home / "browsed"
        self.opened = home / "opened"
        tools = home / "bin"
        tools.mkdir()
        opener = tools / "xdg-open"
        opener.write_text(f'#!/bin/sh\necho "$1" >> {self.opened}\n')
        opener.chmod(0o700)
        browser = home / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" >> {self.browsed}\n')
        browser.chmod(0o700)
        self.env = {
            **{k: os.environ[k] for k in ("PATH", "LANG", "TMPDIR") if k in os.environ},
            **desktop.environment,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "share"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_RUNTIME_DIR": str(home),
            "NO_AT_BRIDGE": "1",
            "BROWSER": str(browser),
            "BRIMLINE_DATA_DIR": str(self.data),
            "BRIMLINE_PORT": "0",
            "BRIMLINE_NO_KEYRING": "1",
            "BRIMLINE_UPSTREAM_BASE_URL": provider.url,
            "BRIMLINE_AUTH_BASE_URL": provider.auth_url,
        }

    # --- Starting and stopping ------------------------------------------------------------------

    def popen(self, *words: str, stderr: IO[bytes] | int | None = None, **env: str) -> Any:
        return subprocess.Popen(
            [*COMMAND, *words], env={**self.env, **env}, cwd=ROOT, stderr=stderr
        )

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            env={**self.env, **env},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self) -> None:
        """Start the tray and wait until its menu is live."""
        self.host.forget()
        self.process = self.popen("tray", "--refresh", "0.3")
        self.host.item(60)
        until(lambda: self.says("Today   "), 60, "a live menu")

    def ready(self) -> App:
        """A running tray, two active accounts, half-full windows, no open window."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        if self.windows():
            self.close_window()
        self.spend(29, 52)
        self.post("/api/accounts/resume-all")
        until(lambda: self.says("███████░░░   5 h 71%"), 30, "the usual figures")
        until(lambda: not self.says("paused"), 30, "nothing paused")
        self.host.notes.clear()
        return self

    def quit(self) -> int:
        """Click Quit and wait; harmless when nothing runs."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.host.click("Quit")
        return int(self.process.wait(60))

    def kill(self) -> None:
        """Kill the tray without a warning; the binary is two processes, which both go."""
        assert self.process is not None
        below = [p for p in self.tree() if p != os.getpid()]
        for pid in below:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"tray" in words:
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    # --- Asking ---------------------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "server.json").read_text())
        return found

    def get(self, path: str) -> Any:
        return self._ask(path, None, self.info()["token"])

    def notices(self) -> list[str]:
        """The keys of what the pages say above all else."""
        return [said["key"] for said in self.get("/api/live")["noticesSaid"]]

    def post(self, path: str, body: Any = None, token: str | None = None) -> Any:
        raw = json.dumps(body or {}).encode()
        return self._ask(path, raw, token or self.info()["token"])

    def settings(self, **values: Any) -> None:
        """What the Settings page sends."""
        raw = json.dumps(values).encode()
        self._ask("/api/settings", raw, self.info()["token"], "PUT")

    def _ask(self, path: str, body: bytes | None, token: str, method: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.info()['port']}{path}"
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def spend(self, five: float, week: float) -> None:
        """Have the provider say so much is used, and the server ask now.

        It asks for one account after the other, and the tray may look in between.
        """
        self.provider.usage = usage(five, week, self.later)
        for account in self.get("/api/accounts")["accounts"]:
            self.post(f"/api/accounts/{account['accountId']}/probe")

    def statuses(self) -> list[str]:
        return sorted(account["status"] for account in self.get("/api/accounts")["accounts"])

    def says(self, text: str) -> bool:
        return any(text in line for line in self.host.lines())

    def row(self, start: str) -> trayhost.Item:
        return next(item for item in self.host.menu() if item.label.startswith(start))

    def icon(self) -> Image.Image:
        with Image.open(self.host.properties()["IconName"]) as picture:
            return picture.convert("RGBA")

    def clipboard(self) -> str:
        """What another program would paste."""
        words = [sys.executable, "-c", _PASTE]
        return subprocess.run(words, env=self.env, capture_output=True, text=True).stdout

    # --- The screen -----------------------------------------------------------------------------

    def windows(self) -> list[str]:
        return self.xdotool("search", "--onlyvisible", "--name", "^Brimline$").split()

    def xdotool(self, *words: str) -> str:
        # `--sync` waits for ever for a window that closes meanwhile, or has that size already.
        command = ["timeout", "10", "xdotool", *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True).stdout

    def memory(self) -> dict[str, Any]:
        """Where the window stands and how large its page is, as it was last written down."""
        found: dict[str, Any] = json.loads((self.data / "window.json").read_text())
        return found

    def ask_window(self, reached: Callable[[dict[str, Any]], bool], *words: str) -> None:
        """Ask the window manager until the window has written down what came of it.

        On a busy machine a program that asks may be cut off, or the window may not be up yet.
        """

        def asked() -> bool:
            self.xdotool(*words)
            with suppress(AssertionError):
                return until(lambda: reached(self.memory()), 4)
            return False

        until(asked, 90, f"{words[0]} is written down")

    def close_window(self) -> None:
        for _ in range(8):
            for number in self.windows():
                self.xdotool("windowactivate", "--sync", number)
                # Sent to the focus, not to the window: openbox ignores synthetic events.
                self.xdotool("key", "alt+F4")
            # On a busy machine the key may come before the focus; then it is pressed again.
            with suppress(AssertionError):
                until(lambda: not self.windows(), 4, "the window closes")
                return
        raise AssertionError(f"the window stays: {self.windows()}")

    def shot(self, name: str) -> Image.Image:
        picture = ImageGrab.grab(xdisplay=self.display)
        if SHOTS:
            picture.save(Path(SHOTS) / f"{name}.png")
        return picture

    def page_shown(self) -> bool:
        """Whether the window shows a page: text gives many shades, an empty ground gives few."""
        number = self.windows()[0]
        said = self.xdotool("getwindowgeometry", "--shell", number)
        place = dict(line.split("=") for line in said.split())
        x, y, width, height = (int(place[key]) for key in ("X", "Y", "WIDTH", "HEIGHT"))
        part = self.shot("window").crop((x, y, x + width, y + height))
        return len(part.getcolors(1 << 20) or ()) > 40

    def tree(self) -> dict[int, str]:
        """The tray's descendants and the server's, by pid."""
        parents: dict[int, tuple[int, str]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                name, _, rest = (folder / "stat").read_text().rpartition(")")
                parents[int(folder.name)] = (int(rest.split()[1]), name.partition("(")[2])
            except OSError:
                continue
        found = {os.getpid(): ""}
        while more := {p: n for p, (up, n) in parents.items() if up in found and p not in found}:
            found.update(more)
        return found


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    home = tmp_path_factory.mktemp("desk")
    with trayhost.desktop(home) as desktop, upstream.Provider() as provider:
        provider.usage = usage(29, 52)
        found = App(home, desktop, provider)
        names = []
        for name in ("work", "spare"):
            names.append(home / f"{name}.json")
            names[-1].write_bytes(upstream.auth_json(name))
        imported = found.run("accounts", "import", *map(str, names))
        assert imported.returncode == 0, imported.stderr
        try:
            yield found
        finally:
            if found.process is not None and found.process.poll() is None:
                found.process.terminate()
                found.process.wait(60)
            found.host.close()


# --- Icon and menu --------------------------------------------------------------------------------


def test_the_icon_is_there_and_speaks(app: App) -> None:
    app.ready()
    title = re.compile(r"Brimline  5 h 71% \(2h.*week 48%.*", re.DOTALL)
    until(lambda: title.fullmatch(app.host.properties()["Title"]), why="its figures")
    said = app.host.properties()
    assert (said["Id"], said["Status"]) == ("brimline", "Active")


def test_the_icon_is_a_picture_of_the_numbers(app: App) -> None:
    before = app.ready().icon()
    assert before.size == (64, 64)
    app.spend(92, 95)

    def alarming() -> bool:
        red, green, _, alpha = app.icon().getpixel((5, 18))  # type: ignore[misc]
        return bool(alpha == 255 and red > 150 > green)

    until(alarming, 30, "the icon shows a bar in the colour of little left")
    assert app.icon().tobytes() != before.tobytes()


def test_the_menu_follows_the_numbers(app: App) -> None:
    app.ready().spend(87, 92)
    row = r"work@.*   5 h 13% \(2h \d?\dm\) · week 8% \(3d 11h\)   critical"
    until(lambda: re.fullmatch(row, app.row("work@").label), why="the new figures")


def test_pause_all_reaches_the_server_and_the_icon(app: App) -> None:
    before = app.ready().icon().tobytes()
    app.host.click("Pause all")
    until(lambda: app.statuses() == ["paused", "paused"], 30, "both paused")
    until(lambda: app.row("Resume all").enabled and not app.row("Pause all").enabled, 30)
    until(lambda: app.icon().tobytes() != before, 30, "the icon says so")
    app.shot("paused")
    app.host.click("Resume all")
    until(lambda: app.statuses() == ["active", "active"], 30, "both resumed")


def test_one_account_is_paused_and_resumed(app: App) -> None:
    app.ready().host.click("Pause", under="work@")
    until(lambda: app.row("work@").label.endswith("paused"), 30, "its row says so")
    assert app.statuses() == ["active", "paused"]
    app.host.click("Resume", under="work@")
    until(lambda: app.statuses() == ["active", "active"], 30, "resumed")


@pytest.mark.parametrize("how", ["Pause for 1 hour", "Pause until reset"])
def test_a_pause_may_end_by_itself(app: App, how: str) -> None:
    app.ready().host.click(how, under="spare@")
    until(lambda: "paused until" in app.row("spare@").label, 30, "its row says until when")


def test_an_open_menu_survives_a_refresh(app: App) -> None:
    """The rows keep their numbers: a panel that shows them has nothing to close."""
    before = [(item.number, item.depth) for item in app.ready().host.menu()]
    app.host.click("Pause", under="work@")
    until(lambda: app.row("work@").label.endswith("paused"), 30)
    app.spend(40, 60)
    until(lambda: app.says("60%"), 30, "the new figures")
    assert [(item.number, item.depth) for item in app.host.menu()] == before
    app.host.click("Resume", under="work@")
    # The row that said Pause all the time pauses again: it was edited, not left as it was.
    until(lambda: app.statuses() == ["active", "active"], 30)
    app.host.click("Pause", under="work@")
    until(lambda: app.statuses() == ["active", "paused"], 30)


def test_rows_that_come_and_go_leave_the_others_open(app: App) -> None:
    """A panel keeps what it shows: the rows that stay keep their numbers."""

    def numbers() -> dict[str, int]:
        return {row.label: row.number for row in app.host.menu() if row.depth == 0 and row.label}

    stay = ("Pause all", "Alerts", "Quit")
    app.ready()
    before = {name: numbers()[name] for name in stay}
    said = "Nothing shows notifications here, so alerts stay silent"
    app.host.mute()
    try:
        until(lambda: app.row(said).depth == 1, 30, "a row more in a submenu")
        assert {name: numbers()[name] for name in stay} == before
        app.host.click("Used up", under="Alerts")
        until(lambda: app.get("/api/settings")["alertSpent"] is False, 30, "each row is its own")
        app.settings(alertSpent=True)
    finally:
        app.host.unmute()
    until(lambda: not app.says(said), 30, "and it goes again")
    path = app.home / "third.json"
    path.write_bytes(upstream.auth_json("third"))
    assert app.run("accounts", "import", str(path)).returncode == 0
    until(lambda: app.row("third@").depth == 0, 30, "a row for the new account")
    assert {name: numbers()[name] for name in stay} == before
    found = app.get("/api/accounts")["accounts"]
    third = next(a["accountId"] for a in found if a["email"].startswith("third@"))
    app._ask(f"/api/accounts/{third}", None, app.info()["token"], "DELETE")
    until(lambda: not app.says("third@"), 30, "and it goes with it")
    assert {name: numbers()[name] for name in stay} == before


def test_a_crossing_is_told_once(app: App) -> None:
    app.later = 600  # a new cycle: nothing has been told of it
    # In two steps, so that half a step (one account is asked before the other) crosses nothing.
    app.ready().spend(55, 52)
    until(lambda: app.host.notes, why="a notification")
    app.spend(81, 52)
    until(lambda: len(app.host.notes) > 1, why="another one")
    app.spend(82, 52)
    until(lambda: app.says("18%"))
    titles = [title for title, _ in app.host.notes]
    assert titles == ["5-hour allowance: under 50% left", "5-hour allowance: under 20% left"]
    text = app.host.notes[1][1]
    assert text.startswith("19% of all accounts' 5-hour allowance left, resets in 2h")


def test_only_this_one(app: App) -> None:
    app.ready().host.click("Only this one", under="spare@")
    until(lambda: app.row("work@").label.endswith("paused"), 30, "the other one rests")
    assert app.statuses() == ["active", "paused"]
    until(lambda: app.row("Resume all").enabled, 30)
    app.host.click("Resume all")
    until(lambda: app.statuses() == ["active", "active"], 30, "both work again")


def test_the_icon_can_be_a_number(app: App) -> None:
    bars = app.ready().icon().tobytes()
    app.host.click("Number", under="Icon")
    until(lambda: app.get("/api/settings")["trayStyle"] == "number", why="the choice is kept")
    until(lambda: app.icon().tobytes() != bars, why="the icon is a number")
    app.host.click("Percent used", under="Icon")
    until(lambda: app.says("5 h 29% used"), 30, "percentages count what is used")
    app.host.click("Percent left", under="Icon")
    app.host.click("Bars", under="Icon")
    until(lambda: app.icon().tobytes() == bars, 30, "and bars again")


def test_addresses_can_be_hidden(app: App) -> None:
    app.ready().host.click("Hide addresses")
    until(lambda: app.says("Account 1   "), 30, "a row without an address")
    assert not app.says("@")
    app.host.click("Hide addresses")
    until(lambda: app.says("work@"), 30, "they are back")


@pytest.mark.parametrize(
    ("chosen", "usual", "shown"),
    [
        pytest.param({"trayPercent": "used"}, {"trayPercent": "left"}, "5 h 29% used", id="used"),
        pytest.param(
            {"trayStyle": "number"}, {"trayStyle": "bars"}, "    Number [x]", id="a number"
        ),
        pytest.param(
            {"trayFollows": "worst"},
            {"trayFollows": "pool"},
            "    The lowest account [x]",
            id="whose allowance the icon shows",
        ),
        pytest.param(
            {"quietFrom": 21, "quietTo": 6},
            {"quietFrom": 0, "quietTo": 0},
            "    Quiet from 21:00 to 6:00 [x]",
            id="quiet hours that the menu itself does not offer",
        ),
        *(
            pytest.param({key: False}, {key: True}, f"{label} [ ]", id=f"no alert: {label}")
            for label, key in display._SWITCHES
        ),
    ],
)
def test_the_settings_page_reaches_the_menu(
    app: App, chosen: dict[str, Any], usual: dict[str, Any], shown: str
) -> None:
    app.ready().settings(**chosen)
    try:
        until(lambda: app.says(shown.strip()), 30, "the menu follows")
    finally:
        app.settings(**usual)
    until(lambda: not app.says(shown.strip()), 30, "and back")


def test_a_change_on_a_page_is_seen_at_once(app: App) -> None:
    """Not only at the tray's next look, which may be half a minute away."""
    look = app.ready().data / "tray.look"
    os.utime(look, (1, 1))
    app.get("/api/settings")
    assert look.stat().st_mtime == 1, "reading changes nothing"
    app.post("/api/accounts/pause-all")
    assert look.stat().st_mtime > 1
    app.post("/api/accounts/resume-all")


def test_a_switched_off_alert_is_silent(app: App) -> None:
    app.later = 1200
    app.ready().host.click("50 and 20% left", under="Alerts")
    until(lambda: app.get("/api/settings")["alertLow"] is False, 30, "the switch is stored")
    until(lambda: not app.row("50 and 20% left").checked, 30, "and shown")
    app.spend(83, 52)
    # The first row is of all accounts; one account's own is there before.
    until(lambda: "5 h 17%" in app.host.menu()[0].label, 30, "the figures")
    app.host.click("50 and 20% left", under="Alerts")
    until(lambda: app.get("/api/settings")["alertLow"] is True, 30, "switched on")
    assert not app.host.notes


def test_diagnostics_are_on_the_clipboard(app: App) -> None:
    app.ready().host.click("Copy diagnostics")
    said = until(app.clipboard, 30, "text on the clipboard")
    assert said.startswith("Brimline ")
    assert "Account 2: plus, active, 5 h 71%, week 48%" in said
    assert "tray host: StatusNotifier" in said
    assert app.info()["token"] not in said
    assert "@" not in said


def test_the_log_folder_opens(app: App) -> None:
    app.ready().host.click("Open log folder")
    opened = until(lambda: app.opened.read_text().strip(), 30, "the file manager")
    assert opened == str(app.data / "logs")


def test_start_at_login(app: App) -> None:
    app.ready().host.click("Start at login")
    entry = app.home / "config" / "autostart" / "brimline.desktop"
    until(entry.exists, 30, "the entry")
    assert 'Exec="' in entry.read_text()
    until(lambda: app.row("Start at login").checked, 30, "the check mark")
    assert app.run("autostart", "status").stdout == "on\n"
    assert app.run("autostart", "off").stdout == "off\n"
    until(lambda: not app.row("Start at login").checked, 30, "the menu tells the system's state")


# --- Server ---------------------------------------------------------------------------------------


def test_only_the_tray_may_stop_the_server(app: App) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        app.ready().post("/api/shutdown", token="guessed")
    with refused.value as answer:
        assert answer.code in (401, 403)
    assert app.get("/health")["status"] == "ok"


def test_a_killed_server_comes_back(app: App) -> None:
    tray = app.ready().process
    old = app.info()["pid"]
    os.kill(old, signal.SIGKILL)
    until(lambda: app.info()["pid"] != old and app.get("/health")["pid"] == app.info()["pid"])
    until(lambda: app.says("Today   "), 30, "no row of trouble is left")
    assert tray is not None
    assert tray.poll() is None


def test_a_killed_tray_leaves_the_server_to_the_next(app: App) -> None:
    app.ready().host.click("Open dashboard")
    until(app.windows, 60, "the window")
    server = app.info()["pid"]
    app.kill()
    until(lambda: not app.windows(), 30, "the window follows its tray")
    assert app.get("/health")["pid"] == server
    app.start()
    assert app.info()["pid"] == server


# --- Window ---------------------------------------------------------------------------------------


def test_the_window_shows_the_page_once(app: App) -> None:
    app.ready().host.click("Open dashboard")
    until(app.windows, 60, "the window")
    until(app.page_shown, 60, "the page")
    app.host.click("Open dashboard")
    app.host.click("Refresh now")
    until(lambda: app.run("window").returncode == 0, 30, "another start raises it")
    assert len(app.windows()) == 1


def test_a_closed_window_leaves_nothing(app: App) -> None:
    app.ready().host.click("Open dashboard")
    until(app.windows, 60, "the window")
    until(app.page_shown, 60, "the page")
    app.close_window()
    until(lambda: not [n for n in app.tree().values() if "WebKit" in n], 30, "WebKit ends")
    assert app.says("Today   ")


def test_the_window_remembers_its_place(app: App) -> None:
    app.ready().host.click("Open dashboard")
    number = until(app.windows, 60, "the window")[0]
    until(app.page_shown, 60, "the page")

    def sized(kept: dict[str, Any]) -> bool:
        return (kept["width"], kept["height"]) == (900, 640)

    app.ask_window(sized, "windowsize", number, "900", "640")
    app.xdotool("windowmove", number, "150", "90")
    app.close_window()
    assert sized(app.memory())
    app.host.click("Open dashboard")
    number = until(app.windows, 60, "the window again")[0]
    until(lambda: "900x640" in app.xdotool("getwindowgeometry", number), 60, "its size")


def test_the_window_does_not_creep_by_its_frame(app: App) -> None:
    app.ready().host.click("Open dashboard")
    number = until(app.windows, 60, "the window")[0]
    until(app.page_shown, 60, "the page")
    app.ask_window(lambda kept: bool(kept["width"] == 700), "windowsize", number, "700", "480")
    app.ask_window(
        lambda kept: (kept.get("x"), kept.get("y")) == (150, 120),
        "windowmove",
        number,
        "150",
        "120",
    )
    stood = app.xdotool("getwindowgeometry", number).splitlines()[1:]
    app.close_window()
    app.host.click("Open dashboard")
    number = until(app.windows, 60, "the window again")[0]
    until(
        lambda: app.xdotool("getwindowgeometry", number).splitlines()[1:] == stood, 60, "its place"
    )
    until(app.page_shown, 60, "the page")
    app.close_window()
    assert (app.memory()["x"], app.memory()["y"]) == (150, 120)


def test_the_window_zooms_and_remembers(app: App) -> None:
    app.ready().host.click("Open dashboard")
    number = until(app.windows, 60, "the window")[0]
    until(app.page_shown, 60, "the page")
    before = app.shot("usual").tobytes()

    def pressed(key: str, reached: Callable[[float], bool]) -> bool:
        if not reached(app.memory()["zoom"]):
            app.xdotool("windowactivate", "--sync", number)
            app.xdotool("key", key)  # heard once the page's script runs
        with suppress(AssertionError):
            return until(lambda: reached(app.memory()["zoom"]), 2)
        return False

    until(lambda: pressed("ctrl+plus", lambda zoom: zoom > 1), why="the zoom is written down")
    until(lambda: app.shot("larger").tobytes() != before, why="a larger page")
    app.close_window()
    assert app.memory()["zoom"] > 1
    app.host.click("Open dashboard")
    number = until(app.windows, 60, "the window again")[0]
    until(app.page_shown, 60, "the page")
    assert app.memory()["zoom"] > 1
    until(lambda: pressed("ctrl+0", lambda zoom: zoom == 1), why="as it was made")
    app.close_window()
    assert app.memory()["zoom"] == 1


def test_a_second_start_raises_the_window(app: App) -> None:
    second = app.ready().run("tray")
    assert second.returncode == 0
    assert "already running" in second.stderr
    until(lambda: len(app.windows()) == 1, 30, "the window")


def test_without_a_server_the_window_waits_for_it(app: App, tmp_path: Path) -> None:
    app.ready()
    away: dict[str, Any] = {"BRIMLINE_DATA_DIR": str(tmp_path / "away")}
    window = app.popen("window", **away)
    try:
        until(app.windows, 60, "the window")
        until(app.page_shown, 60, "it says that the server is away")
        before = app.shot("away").tobytes()
        server = app.popen("serve", **away)
        until(lambda: app.shot("back").tobytes() != before, 30, "the page comes by itself")
    finally:
        window.terminate()
        window.wait(60)
        server.terminate()
        server.wait(60)


@pytest.mark.skipif("APP_CMD" in os.environ, reason="the binary has its own descriptions")
def test_without_web_kit_the_browser_opens(app: App, tmp_path: Path) -> None:
    app.ready().quit()
    # A broken description of WebKit is found first.
    (tmp_path / "WebKit2-4.1.typelib").write_bytes(b"broken")
    (tmp_path / "WebKit2-4.0.typelib").write_bytes(b"broken")
    app.host.forget()
    # The window gives up before the server is there, which the browser waits for.
    words = ("tray", "--open", "--refresh", "0.3")
    app.process = app.popen(*words, GI_TYPELIB_PATH=str(tmp_path))
    app.host.item(30)
    until(lambda: app.says("Today   "), 30, "a live menu")
    first = until(lambda: app.browsed.read_text().splitlines(), 30, "the browser")
    app.host.click("Open dashboard")
    until(lambda: len(app.browsed.read_text().splitlines()) == 2, 30, "the browser again")
    assert "/?ticket=" in first[0]
    assert not app.windows()
    assert app.quit() == 0


# --- What a desktop may lack ----------------------------------------------------------------------


def test_no_display_is_one_line(app: App) -> None:
    ended = app.run("tray", DISPLAY="", WAYLAND_DISPLAY="")
    assert ended.returncode == 4
    assert ended.stderr.startswith("brimline: no tray here: there is no display")
    assert "Traceback" not in ended.stderr


def test_no_session_bus_is_one_line(app: App) -> None:
    ended = app.run("tray", DBUS_SESSION_BUS_ADDRESS="unix:path=/nowhere/bus")
    assert ended.returncode == 4
    assert "there is no session D-Bus" in ended.stderr


def test_no_tray_host_opens_the_window_and_says_why(app: App, tmp_path: Path) -> None:
    app.ready().quit()
    app.host.hide()
    said = tmp_path / "said"
    try:
        with said.open("wb") as file:
            app.process = app.popen("tray", "--refresh", "0.3", stderr=file)
        until(app.windows, 60, "the window")
        assert "AppIndicator" in said.read_text()
        logs = "".join(path.read_text() for path in (app.data / "logs").glob("tray.log*"))
        assert "AppIndicator" in logs
        assert "`brimline quit`" in logs
        until(lambda: any("No tray icon" in title for title, _ in app.host.notes), 30, "a notice")
        until(lambda: app.notices() == ["notice.noTray"], 30, "the pages say it, too")
        app.host.show()
        until(lambda: app.notices() == [], 30, "and no longer when there is somebody")
        assert app.run("quit").returncode == 0
        assert app.process is not None
        app.process.wait(60)
        until(lambda: app.run("quit").returncode == 69, 60, "nothing is left to end")
    finally:
        app.host.show()
        assert app.process is not None
        app.process.terminate()
        app.process.wait(60)


def test_a_desktop_without_notifications_is_served(app: App) -> None:
    app.ready().host.mute()
    try:
        app.spend(85, 52)
        until(lambda: app.says("15%"), 30, "it goes on")
        said = "Nothing shows notifications here, so alerts stay silent (off)"
        until(lambda: app.says(said), 30, "the menu says what is missing")
        assert app.says("Install a notification service (Debian: apt install dunst")
        app.host.unmute()
        until(lambda: not app.says(said), 30, "and no longer when it is there")
        app.host.mute()
        until(lambda: app.says(said), 30, "it is gone again")
        assert app.quit() == 0
    finally:
        app.host.unmute()


# --- The end --------------------------------------------------------------------------------------


def test_quit_leaves_nothing(app: App) -> None:
    app.ready().host.click("Open dashboard")
    until(app.windows, 60, "the window")
    server = app.info()["pid"]
    assert app.quit() == 0
    until(lambda: not Path(f"/proc/{server}").exists(), 30, "the server ends")
    assert not (app.data / "server.json").exists()
    # Their own processes end a moment after the window's, which takes them along.
    until(lambda: not app.windows(), why="no window is left")
    until(lambda: not [name for name in app.tree().values() if "WebKit" in name], why="no WebKit")
