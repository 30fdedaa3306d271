"""What the window does with a page: links that lead out, the light of the desktop.

A page of the test's own stands in for the dashboard, so that it can say what it sees.
APP_CMD=dist/brimline runs the same tests against the binary.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from server import __version__
from server.config import NAME

ROOT = Path(__file__).resolve().parent.parent
COMMAND = shlex.split(os.environ.get("APP_CMD", "")) or [sys.executable, "-P", "-m", "desktop"]
REQUIRED = os.environ.get("BRIMLINE_REQUIRE_DESKTOP") == "1"

try:
    from tests import trayhost
    from tests.trayhost import until

    _missing = trayhost.missing() if sys.platform == "linux" else ["Linux"]
except (ImportError, ValueError) as error:
    _missing = [f"PyGObject ({error})"]
if _missing:
    _sentence = f"the tests of the window need {', '.join(_missing)}"
    if REQUIRED:
        pytest.fail(_sentence, pytrace=False)
    pytest.skip(_sentence, allow_module_level=True)

pytestmark = pytest.mark.packaged

OUT = "https://outside.example/sign-in?code=1&state=2"
# The link fills the page, so that any click on the page is a click on it.
PAGE = f"""<!doctype html><title>Brimline</title>
<a href="{OUT.replace("&", "&amp;")}" target="_blank" rel="noreferrer"
   style="position:fixed;inset:0">out</a>
<script>
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
requestAnimationFrame(() => fetch("/seen?" + (dark ? "dark" : "light")));
addEventListener("brimlinewindow", async () => {{
  document.documentElement.lang = "vi";  // as our pages do once they know the choice
  const wanted = await (await fetch("/wanted")).text();
  if (!wanted) return;
  const api = pywebview.api;
  const saved = await (wanted === "text" ? api.saveText("calls.csv", "a,b\\r\\n1,2\\r\\n")
                                         : api.save("/api/calls.csv", "calls.csv"));
  fetch("/saved?" + encodeURIComponent(JSON.stringify(saved)));
}});
</script>"""
# What leads a program of Gtk's to its modules; the binary unpacks none.
HOSTS = ("LD_LIBRARY_PATH=", "GDK_PIXBUF", "GIO_", "GTK_", "PANGO_", "XDG_DATA_DIRS=")
CSV = "a,b\r\n1,2\r\n"


@dataclass
class Played:
    """A server that the window takes for ours, and what its page told it."""

    port: int = 0
    asked: list[str] = field(default_factory=list)  # addresses, in order
    seen: list[str] = field(default_factory=list)
    wanted: str = ""  # what its page saves as soon as it can: "text" or "file"
    saved: list[Any] = field(default_factory=list)


@contextmanager
def played(data: Path) -> Iterator[Played]:
    told = Played()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            told.asked.append(path)
            if path == "/seen":
                told.seen.append(query)
            if path == "/saved":
                told.saved.append(json.loads(unquote(query)))
            health = json.dumps({"name": NAME, "pid": os.getpid(), "version": __version__})
            answers = {
                "/": ("text/html", PAGE),
                "/accounts/work": ("text/html", PAGE),
                "/wanted": ("text/plain", told.wanted),
                "/api/calls.csv": ("text/csv", CSV),
            }
            self._answer(*answers.get(path, ("application/json", health)))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer("application/json", json.dumps({"ticket": "t"}))

        def _answer(self, kind: str, text: str) -> None:
            raw = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        data.mkdir(parents=True)
        said = {"host": "127.0.0.1", "port": told.port, "pid": os.getpid()}
        known = {**said, "version": __version__, "token": "t" * 32}
        (data / "server.json").write_text(json.dumps(known))
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[trayhost.Desktop]:
    with trayhost.desktop(tmp_path_factory.mktemp("desk")) as found:
        yield found


@contextmanager
def shown(home: Path, desk: trayhost.Desktop, **env: str) -> Iterator[dict[str, str]]:
    """The window alone, on the private desktop; yields its environment."""
    whole = {
        **{k: os.environ[k] for k in ("PATH", "LANG", "TMPDIR") if k in os.environ},
        **desk.environment,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "share"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_RUNTIME_DIR": str(home),
        "NO_AT_BRIDGE": "1",
        **env,
    }
    words = [*COMMAND, "window", "--data-dir", str(home / "data")]
    process = subprocess.Popen(words, env=whole, cwd=ROOT)
    try:
        yield whole
    finally:
        process.terminate()
        process.wait(60)


def windows(env: dict[str, str]) -> list[str]:
    return _xdotool(env, "search", "--onlyvisible", "--name", "^Brimline$").split()


def _xdotool(env: dict[str, str], *words: str) -> str:
    command = ["timeout", "10", "xdotool", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("theme", "light"),
    [
        pytest.param("Adwaita", "light", id="a light desktop"),
        pytest.param("Adwaita:dark", "dark", id="a dark desktop"),
    ],
)
def test_the_page_has_the_light_of_the_desktop(
    tmp_path: Path, desk: trayhost.Desktop, theme: str, light: str
) -> None:
    with played(tmp_path / "data") as told, shown(tmp_path, desk, GTK_THEME=theme):
        until(lambda: told.seen, 60, "the page says what it sees")
        assert told.seen[0] == light


def test_the_window_remembers_the_language_of_its_page(
    tmp_path: Path, desk: trayhost.Desktop
) -> None:
    def kept() -> bool:
        said = json.loads((tmp_path / "data" / "window.json").read_text())
        return bool(said.get("language") == "vi")

    with played(tmp_path / "data") as told, shown(tmp_path, desk):
        until(lambda: told.seen, 60, "the page is there")
        until(kept, 60, "its language is written down")


def test_a_link_that_leads_out_opens_the_browser(tmp_path: Path, desk: trayhost.Desktop) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!/bin/sh\nenv > {tmp_path}/environment\n"
        f'printf "%s" "$1" > {opened}.new && mv {opened}.new {opened}\n'
    )
    browser.chmod(0o700)
    with (
        played(tmp_path / "data") as told,
        shown(tmp_path, desk, BROWSER=str(browser)) as env,
    ):
        until(lambda: told.seen, 60, "the page is there")
        number = until(lambda: windows(env), 60, "its window")[0]

        def clicked() -> bool:
            # A window that has just come up may not take a click yet.
            _xdotool(env, "mousemove", "--window", number, "300", "200", "click", "1")
            return opened.is_file()

        until(clicked, 60, "the browser opens")
        assert opened.read_text() == OUT
        given = (tmp_path / "environment").read_text().splitlines()
        misled = [line for line in given if "_MEI" in line and line.startswith(HOSTS)]
        assert misled == [], "the browser finds the host's libraries and pictures"
        assert windows(env) == [number], "no second window"
        assert told.seen == ["light"], "the page stays"


def test_a_page_asked_for_reaches_the_window_that_is_open(
    tmp_path: Path, desk: trayhost.Desktop
) -> None:
    with played(tmp_path / "data") as told, shown(tmp_path, desk) as env:
        until(lambda: told.seen, 60, "the page is there")
        number = until(lambda: windows(env), 60, "its window")
        asked = ["window", "--path", "/accounts/work", "--data-dir", str(tmp_path / "data")]
        assert subprocess.run([*COMMAND, *asked], env=env, cwd=ROOT, timeout=60).returncode == 0
        until(lambda: "/accounts/work" in told.asked, 60, "the account's page is loaded")
        until(lambda: len(told.seen) == 2, 60, "and drawn")
        assert windows(env) == number, "no second window"


@pytest.mark.parametrize("wanted", ["text", "file"])
def test_a_table_is_saved_by_a_dialog(tmp_path: Path, desk: trayhost.Desktop, wanted: str) -> None:
    with played(tmp_path / "data") as told:
        told.wanted = wanted
        with shown(tmp_path, desk) as env:

            def asking() -> list[str]:
                return _xdotool(env, "search", "--onlyvisible", "--name", "^Save file$").split()

            until(asking, 60, "the dialog")
            assert not list(tmp_path.glob("*.csv")), "nothing is written before"

            def saved() -> bool:
                # One that has just come up may not take keys yet.
                for number in asking():
                    _xdotool(env, "windowactivate", "--sync", number)
                    _xdotool(env, "key", "Return")
                return bool(told.saved)

            until(saved, 60, "the page hears of it")
    # In the user's downloads, or at home where there are none.
    path = tmp_path / "calls.csv"
    assert told.saved == [{"saved": True, "message": str(path)}]
    assert path.read_bytes().decode("utf-8-sig") == CSV
