"""The dashboard's window: a web view of the local pages, a process of its own.

The tray speaks to it on stdin, one line an order: first `first` and a one-time address (or nothing
while the server is away), then `raise`, `open /path` or `quit`; `raise` and `open` are answered on
stdout, for they may come while the window is closing. The end of stdin closes it, so
it never outlives its tray. Size and place are remembered from the events of moving
and resizing: asking the window itself while it closes waits for the thread that is asking. They
are written down while it is open, so that the end of a desktop's session loses nothing.
"""

from __future__ import annotations

import json
import locale
import os
import re
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

import platformdirs

from desktop import host
from desktop.supervisor import (
    Address,
    Client,
    NotRunning,
    connect,
    find,
    use_host_libraries,
)
from desktop.wake import Wake
from server import __version__
from server.config import Config
from server.errors import AppError
from server.store.lock import Lock

T = TypeVar("T")

TITLE = "Brimline"
DONE = "done"  # the answer to an order on stdin
_DEFAULT = {"width": 1280, "height": 840}
_MINIMUM = (480, 420)
_GROUNDS = {True: "#131517", False: "#FAF9F6"}  # the pages' own, so that opening does not flash
_LOOK = 0.4
_LAST_SECONDS = 2.0  # for what is written down, or saved, at the end

# What pywebview does to offer functions to a page is forbidden by the page's own policy (it makes
# them from text), so ours are offered here: `await pywebview.api.save(path, name)`.
BRIDGE = """(() => {
  const bridge = window.pywebview;
  if (!bridge) return;  // another page is on its way, and gets its own
  for (const name of ["save", "saveText", "retry", "zoom", "language"]) {
    bridge._returnValuesCallbacks[name] = {};
    bridge.api[name] = (...given) => {
      const id = String(Math.random()).slice(2);
      const answer = new Promise((ok, no) => bridge._checkValue(name, ok, no, id));
      bridge._jsApiCallback(name, given, id);
      return answer;
    };
  }
  const steps = { "+": 1, "=": 1, "-": -1, "0": 0 };
  if (!bridge.brimlineKeys && !navigator.userAgent.includes("Windows")) {
    bridge.brimlineKeys = true;
    addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey || !(event.key in steps)) return;
      event.preventDefault();
      bridge.api.zoom(steps[event.key]);
    });
  }
  if (!bridge.brimlineTells && location.protocol.startsWith("http")) {
    bridge.brimlineTells = true;
    const root = document.documentElement;
    const tell = () => bridge.api.language(root.lang);
    new MutationObserver(tell).observe(root, { attributeFilter: ["lang"] });
    tell();
  }
  window.dispatchEvent(new CustomEvent("brimlinewindow"));
})()"""

_LANGUAGE = re.compile("[a-z]{2}")
ZOOMS = (0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)


def run(config: Config, *, path: str = "/", child: bool = False) -> int:
    """Show the window until it is closed; 0 also when one was open and is raised instead.

    As the tray's child it ends with 1 where no web view exists, and the tray opens the browser;
    on its own it opens the browser itself.
    """
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    use_host_libraries()
    lock = Lock(config.data_dir / "window.lock")
    if not lock.acquire():
        Wake(config.data_dir / "window.wake").tell(path)
        return 0
    try:
        host.require_web_view()
        window = Window(config, path, lock)
        window.show(*_pipes() if child else (None, None))
        _leave()
        return 0
    except host.Missing as missing:
        print(f"brimline: {missing}", file=sys.stderr)  # noqa: T201
        return 1 if child else _in_browser(config, path)
    finally:
        lock.release()


def _leave() -> None:
    """End the process even if a thread of pywebview never will.

    One that waits for the page's answer when the window closes waits for ever, and the tray would
    take this process for an open window.
    """
    limit = time.monotonic() + _LAST_SECONDS
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, limit - time.monotonic()))
            if thread.is_alive():
                os._exit(0)


def _downloads() -> str:
    """Where saving starts: the user's downloads, else home."""
    downloads = Path(platformdirs.user_downloads_dir())
    return str(downloads if downloads.is_dir() else Path.home())


def _pipes() -> tuple[TextIO, TextIO]:
    """The tray's orders and our answers, kept from what the window starts.

    (A browser that a link opened would hold standard output, and the tray would wait for its end.)
    """
    answers = os.fdopen(os.dup(1), "w")
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)
    return sys.stdin, answers


def _in_browser(config: Config, path: str) -> int:
    return 0 if webbrowser.open(connect(config).ticket_url(path)) else 1


def own_page(path: str) -> str:
    """A path of our own pages; anything else is the first page."""
    return path if path.startswith("/") and not path.startswith("//") else "/"


class Window:
    """One web view, the server behind it, and where it stands on the screen."""

    def __init__(self, config: Config, path: str, lock: Lock) -> None:
        self._config = config
        self._lock = lock
        self._path = own_page(path)
        self._shown: Address | None = None  # the server process the page came from
        self._wake = Wake(config.data_dir / "window.wake")
        self._place = _Place(config.data_dir / "window.json")
        self._closed = threading.Event()
        self._retry = threading.Event()
        self._window: Any = None

    def show(self, orders: TextIO | None, answers: TextIO | None) -> None:
        """Open it, and return when it is closed."""
        import webview

        _speak_a_language()
        _name_program()
        url = self._first(orders) or self._url(self._path)
        self._window = webview.create_window(
            f"{TITLE} (demo)" if os.environ.get("BRIMLINE_DEMO") else TITLE,
            url,
            html=None if url else self._away(),
            js_api=Api(self._config, self),
            min_size=_MINIMUM,
            background_color=_GROUNDS[prefers_dark()],
            text_select=True,
            zoomable=True,
            **self._place.start(_screens(webview)),
        )
        events = self._window.events
        in_order(events)
        events.resized += self._place.resized
        events.moved += self._note_place
        events.maximized += lambda: self._place.maximize(True)
        events.restored += lambda: self._place.maximize(False)
        events.loaded += self._when_loaded
        # The answers to the page too would be evaluated from text, which its policy forbids.
        self._window.evaluate_js = lambda script, callback=None: self._window.run_js(script)
        # Known before the window has gone: whoever wants it back by then gets another.
        events.closing += self._closed.set
        events.closed += self._when_closed
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        if orders is not None and answers is not None:
            threading.Thread(
                target=self._obey, args=(orders, answers), name="orders", daemon=True
            ).start()
        storage = self._config.data_dir / "webview"
        storage.mkdir(exist_ok=True, mode=0o700)
        webview.start(
            gui="gtk" if sys.platform.startswith("linux") else None,
            private_mode=False,  # else the pages have no local storage
            storage_path=str(storage),
            icon=_icon(self._config),
        )

    def retry(self) -> None:
        """Look for the server now."""
        self._retry.set()

    def speak(self, language: str) -> None:
        """Remember the language that the page speaks, for when there is no server to ask."""
        self._place.language = language

    def _away(self) -> str:
        from desktop import awaypage  # here: it reads the words of all languages

        return awaypage.page(self._place.language)

    def zoom(self, step: int) -> None:
        """Make the page larger (1), smaller (-1) or as it was made (0)."""
        self._place.zoom = zoomed(self._place.zoom, step)
        self._show_zoom()

    def _note_place(self, x: float, y: float) -> None:
        """Remember where it would be put to stand here again.

        GTK tells where the page began, but places the frame around it, so that the window would
        creep by the size of its frame at each start; and only its own thread can ask for the frame.
        """
        if not sys.platform.startswith("linux"):
            self._place.moved(x, y)
            return
        from gi.repository import GLib

        GLib.idle_add(self._note_frame)

    def _note_frame(self) -> None:
        if not self._closed.is_set():
            self._place.moved(*self._window.native.get_position())

    def _when_loaded(self) -> None:
        self._window.run_js(BRIDGE)
        self._show_zoom()

    def _show_zoom(self) -> None:
        # Windows' web view has the keys and the memory for it itself.
        with suppress(Exception):  # the window may be closing
            if sys.platform == "darwin":
                from PyObjCTools import AppHelper
                from webview.platforms.cocoa import BrowserView as Cocoa

                view = Cocoa.instances[self._window.uid].webview
                AppHelper.callAfter(view.setPageZoom_, self._place.zoom)
            elif sys.platform.startswith("linux"):
                from gi.repository import GLib
                from webview.platforms.gtk import BrowserView

                view = BrowserView.instances[self._window.uid].webview
                GLib.idle_add(view.set_zoom_level, self._place.zoom)

    def ask_where(self, name: str) -> Path | None:
        """Let the user choose where to save `name`; None when they think better of it."""
        import webview

        chosen = self._window.create_file_dialog(
            webview.FileDialog.SAVE, directory=_downloads(), save_filename=name
        )
        first = chosen if isinstance(chosen, str) else (chosen or [None])[0]
        return Path(first) if first else None

    def _first(self, orders: TextIO | None) -> str | None:
        """The address that the tray hands over at the start; it saves us asking for one."""
        if orders is None:
            return None
        word, _, url = orders.readline().strip().partition(" ")
        address = find(self._config)
        if word != "first" or address is None or not url.startswith(f"{address.url}/"):
            return None
        self._shown = address
        return url

    def _url(self, path: str) -> str | None:
        """A one-time address of the page, or None while the server is away."""
        try:
            client = connect(self._config)
            url = client.ticket_url(path)
        except AppError:
            return None
        self._shown = client.address
        client.close()
        return url

    def _when_closed(self) -> None:
        self._closed.set()
        self._place.save()
        self._lock.release()  # this process takes a moment to end; the next window need not wait

    def _watch(self) -> None:
        """Raise when asked by another start; load again when another server process is there."""
        while not self._closed.wait(_LOOK):
            self._place.keep()
            if self._wake.changed():
                self._wanted(own_page(self._wake.told()))
            address = find(self._config)
            gone = self._shown is None or self._retry.is_set()
            moved = (
                address is not None
                and self._shown is not None
                and ((address.pid, address.port) != (self._shown.pid, self._shown.port))
            )
            if address is not None and (gone or moved):
                self._retry.clear()
                self._load(self._path if gone else self._current_path())

    def _wanted(self, path: str) -> None:
        """Another start wants the window: at a page of its own, or where it is."""
        if path != "/":
            self._load(path)
        self._raise()

    def _load(self, path: str) -> None:
        url = self._url(path)
        if url is not None and not self._closed.is_set():
            self._path = path
            self._window.load_url(url)

    def _current_path(self) -> str:
        with suppress(Exception):  # the page may be gone at this very moment
            from urllib.parse import urlsplit

            parts = urlsplit(self._window.get_current_url() or "")
            return parts.path or "/"
        return "/"

    def _obey(self, orders: TextIO, answers: TextIO) -> None:
        with suppress(OSError, ValueError):
            for line in orders:
                word, _, rest = line.strip().partition(" ")
                if word == "quit":
                    break
                if self._closed.is_set():
                    return  # without an answer, the tray opens another
                if word == "open":
                    self._load(rest)
                self._raise()
                if self._closed.is_set():
                    return
                answers.write(DONE + "\n")
                answers.flush()
        self._close()

    def _raise(self) -> None:
        with suppress(Exception):  # it may be closing
            self._window.restore()
            self._window.show()
            if hasattr(self._window.native, "present"):
                from gi.repository import GLib

                GLib.idle_add(self._window.native.present)

    def _close(self) -> None:
        import webview

        # A window that is not ready yet cannot be closed, and a second destroy fails on GTK.
        self._window.events.shown.wait(10)
        if not self._closed.is_set() and self._window in webview.windows:
            self._window.destroy()


def _offered_by_us(method: T) -> T:
    """Keep pywebview from offering a method itself; see `BRIDGE`."""
    method._serializable = False  # type: ignore[attr-defined]
    return method


class Api:
    """What the page may ask of the window."""

    def __init__(self, config: Config, window: Window) -> None:
        self._config = config  # names with an underscore are not shown to the page
        self._window = window

    @_offered_by_us
    def retry(self) -> None:
        """Look for the server now."""
        self._window.retry()

    @_offered_by_us
    def zoom(self, step: int) -> None:
        """Make the page larger (1), smaller (-1) or as it was made (0)."""
        if step in (-1, 0, 1):
            self._window.zoom(step)

    @_offered_by_us
    def language(self, code: str) -> None:
        """Know the language that the page speaks."""
        if isinstance(code, str) and _LANGUAGE.fullmatch(code):
            self._window.speak(code)

    @_offered_by_us
    def save(self, path: str, name: str) -> dict[str, Any]:
        """Save what our server has at `path` under a name that the user chooses."""
        if not isinstance(path, str) or not path.startswith(("/api/", "/assets/")):
            return {"saved": False, "message": "Only this server's own files can be saved."}
        return self._keep(name, lambda: self._fetched(path))

    @_offered_by_us
    def saveText(self, name: str, text: str) -> dict[str, Any]:  # noqa: N802 - the page's name
        """Save text that the page made under a name that the user chooses."""
        if not isinstance(text, str):
            return {"saved": False, "message": "Only text can be saved."}
        return self._keep(name, lambda: text.encode("utf-8", "replace"))

    def _fetched(self, path: str) -> bytes:
        address = find(self._config)
        if address is None:
            raise NotRunning("The server is away; nothing was saved.")
        return Client(address).fetch(path)

    def _keep(self, name: Any, content: Callable[[], bytes]) -> dict[str, Any]:
        place = self._window.ask_where(Path(str(name)).name or "brimline.csv")
        if place is None:
            return {"saved": False, "message": None}
        try:
            place.write_bytes(content())
        except AppError as error:
            return {"saved": False, "message": error.message}
        except OSError as error:
            return {"saved": False, "message": f"It was not saved: {error.strerror}."}
        return {"saved": True, "message": str(place)}


def in_order(events: Any) -> None:
    """Have what moves a window told one after the other, before the handlers are added.

    pywebview starts a thread for each event, and of two sizes the earlier could be noted last.
    """
    from webview.event import Event

    for name in ("resized", "moved", "maximized", "restored"):
        setattr(events, name, Event(None, should_lock=True))


def zoomed(level: float, step: int) -> float:
    """The next zoom up (1) or down (-1) from `level`; 0 is 100 %."""
    if step == 0:
        return 1.0
    beyond = [z for z in ZOOMS if (z > level + 0.01 if step > 0 else z < level - 0.01)]
    if not beyond:
        return level
    return beyond[0] if step > 0 else beyond[-1]


class _Place:
    """Size, place and zoom of the window, kept in the data folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now: dict[str, Any] = {**_DEFAULT, **self._read()}
        self._kept = dict(self._now)
        self._saving = threading.Lock()

    @property
    def zoom(self) -> float:
        """How large the page is shown; 1 is as it was made."""
        return float(self._now.get("zoom") or 1.0)

    @zoom.setter
    def zoom(self, level: float) -> None:
        self._now["zoom"] = level

    @property
    def language(self) -> str:
        """The code of the language that the pages spoke last; empty when it is not known."""
        return str(self._now.get("language") or "")

    @language.setter
    def language(self, code: str) -> None:
        self._now["language"] = code

    def start(self, screens: list[tuple[int, int, int, int]]) -> dict[str, Any]:
        """Arguments for a new window: the last place, if a screen is still there."""
        return fit(self._now, screens)

    def resized(self, width: float, height: float) -> None:
        """Remember a size; that of a maximized window is the screen's, not the user's."""
        if not self._now.get("maximized"):
            self._now.update(width=int(width), height=int(height))

    def moved(self, x: float, y: float) -> None:
        """Remember a place."""
        if not self._now.get("maximized"):
            self._now.update(x=int(x), y=int(y))

    def maximize(self, on: bool) -> None:
        """Remember whether it fills the screen."""
        self._now["maximized"] = on

    def keep(self) -> None:
        """Write down what changed since the last time, if anything did."""
        if self._now != self._kept:
            self.save()

    def save(self) -> None:
        """Write it down whole."""
        temporary = self._path.with_suffix(f".{os.getpid()}")
        with self._saving, suppress(OSError):
            now = dict(self._now)
            temporary.write_text(json.dumps(now), encoding="utf-8")
            temporary.replace(self._path)
            self._kept = now

    def _read(self) -> dict[str, Any]:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(said, dict):
            return {}
        numbers: dict[str, Any] = {
            key: int(said[key])
            for key in ("width", "height", "x", "y")
            if isinstance(said.get(key), (int, float)) and not isinstance(said[key], bool)
        }
        zoom = said.get("zoom")
        if not (isinstance(zoom, (int, float)) and ZOOMS[0] <= zoom <= ZOOMS[-1]):
            zoom = 1.0
        spoken = said.get("language")
        if isinstance(spoken, str) and _LANGUAGE.fullmatch(spoken):
            numbers = {**numbers, "language": spoken}
        return {**numbers, "maximized": said.get("maximized") is True, "zoom": float(zoom)}


def fit(place: dict[str, Any], screens: list[tuple[int, int, int, int]]) -> dict[str, Any]:
    """Arguments of a window that is reachable on the given screens (x, y, width, height).

    A place whose title bar would be off every screen is forgotten: the screen was unplugged.
    """
    widest = max((s[2] for s in screens), default=10**4)
    highest = max((s[3] for s in screens), default=10**4)
    found: dict[str, Any] = {
        "width": min(max(place["width"], _MINIMUM[0]), widest),
        "height": min(max(place["height"], _MINIMUM[1]), highest),
        "maximized": bool(place.get("maximized")),
    }
    x, y = place.get("x"), place.get("y")
    if x is None or y is None:
        return found
    for left, top, width, height in screens:
        if left - 50 <= x < left + width - 100 and top <= y < top + height - 50:
            return {**found, "x": x, "y": y}
    return found


def _screens(webview: Any) -> list[tuple[int, int, int, int]]:
    return [(s.x, s.y, s.width, s.height) for s in webview.screens]


def prefers_dark() -> bool:
    """Whether this desktop is dark, as far as its web view will think so too."""
    with suppress(Exception):  # each system's setting may be missing
        if sys.platform == "win32":
            return _windows_dark()
        if sys.platform == "darwin":
            words = ["/usr/bin/defaults", "read", "-g", "AppleInterfaceStyle"]
            return (
                b"Dark"
                in subprocess.run(  # noqa: S603
                    words, capture_output=True, timeout=2, check=False
                ).stdout
            )
        return _gtk_dark()
    return False


def _windows_dark() -> bool:
    if sys.platform != "win32":
        return False
    import winreg

    path = r"Software\Microsoft\Windows\CurrentVersion\Themes\Personalize"
    with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as key:
        return not winreg.QueryValueEx(key, "AppsUseLightTheme")[0]


def _gtk_dark() -> bool:
    import gi

    gi.require_version("Gtk", "3.0")
    from gi.repository import Gtk

    settings = Gtk.Settings.get_default()
    if settings is None:
        return False
    # The variable goes before the setting, also for the pages.
    name = os.environ.get("GTK_THEME") or str(settings.props.gtk_theme_name or "")
    return bool(settings.props.gtk_application_prefer_dark_theme) or name.lower().endswith("dark")


def _speak_a_language() -> None:
    """Keep WebKit from calling the user's language “C”, which no page can format numbers in.

    It takes the name of the C locale's UTF-8 form, which Python itself falls back to, for a
    language; of the plain C locale it makes en-US.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")
    if (locale.setlocale(locale.LC_CTYPE) or "C").partition(".")[0] in ("C", "POSIX"):
        os.environ["LC_ALL"] = "C"
        locale.setlocale(locale.LC_ALL, "C")


def _name_program() -> None:
    """Let the desktop know whose window it is (its icon and .desktop file)."""
    if sys.platform.startswith("linux"):
        from gi.repository import GLib

        GLib.set_prgname("brimline")
        GLib.set_application_name(TITLE)


def _icon(config: Config) -> str | None:
    if not sys.platform.startswith("linux"):
        return None
    folder = config.data_dir / "tray"
    folder.mkdir(exist_ok=True, mode=0o700)
    path = folder / f"window-{__version__}.png"
    with suppress(OSError):
        if not path.exists():
            _draw_icon(path)
        return str(path)
    return None


def _draw_icon(path: Path) -> None:
    from desktop import icon  # here: loading it takes a tenth of the time to the page

    temporary = path.with_suffix(f".{os.getpid()}")
    icon.draw(icon.EMBLEM, 128).save(temporary, "PNG")
    temporary.replace(path)
