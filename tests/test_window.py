"""Where the window stands, how large its page is, and what it saves."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pytest

from desktop import window
from desktop.window import Api, _Place, fit, zoomed
from server.config import Config
from server.store.lock import Lock

SCREEN = [(0, 0, 1920, 1080)]
TWO = [(0, 0, 1920, 1080), (1920, 0, 1280, 1024)]


@pytest.mark.parametrize(
    ("place", "screens", "expected"),
    [
        pytest.param({"x": 100, "y": 80}, SCREEN, (100, 80), id="where it was"),
        pytest.param({"x": 2000, "y": 80}, TWO, (2000, 80), id="on the second screen"),
        pytest.param({"x": 2000, "y": 80}, SCREEN, None, id="that screen was unplugged"),
        pytest.param({"x": 100, "y": -40}, SCREEN, None, id="its title could not be reached"),
        pytest.param({"x": 100, "y": 1075}, SCREEN, None, id="below the screen"),
        pytest.param({"x": -20, "y": 10}, SCREEN, (-20, 10), id="a little beyond the edge"),
        pytest.param({}, SCREEN, None, id="never shown before"),
    ],
)
def test_it_comes_back_where_it_can_be_reached(
    place: dict[str, int], screens: list[tuple[int, int, int, int]], expected: Any
) -> None:
    found = fit({"width": 900, "height": 640, **place}, screens)
    assert (found["width"], found["height"]) == (900, 640)
    assert ((found["x"], found["y"]) if "x" in found else None) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param((10, 10), (480, 420), id="never too small to use"),
        pytest.param((9000, 9000), (1920, 1080), id="never larger than the screen"),
    ],
)
def test_its_size_fits_the_screen(size: tuple[int, int], expected: tuple[int, int]) -> None:
    found = fit({"width": size[0], "height": size[1]}, SCREEN)
    assert (found["width"], found["height"]) == expected


@pytest.mark.parametrize(
    ("level", "step", "expected"),
    [
        pytest.param(1.0, 1, 1.1, id="larger"),
        pytest.param(1.0, -1, 0.9, id="smaller"),
        pytest.param(2.5, 0, 1.0, id="as it was made"),
        pytest.param(3.0, 1, 3.0, id="the largest"),
        pytest.param(0.5, -1, 0.5, id="the smallest"),
        pytest.param(1.03, 1, 1.1, id="from between two steps"),
    ],
)
def test_zoom(level: float, step: int, expected: float) -> None:
    assert zoomed(level, step) == expected


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[1]", id="not an object"),
        pytest.param(b'{"width":"wide","zoom":"large","x":true}', id="values of other kinds"),
        pytest.param(b'{"zoom":900}', id="a zoom nobody can read"),
        pytest.param(b"\xff\xfe", id="not text"),
    ],
)
def test_a_broken_memory_is_forgotten(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "window.json"
    path.write_bytes(content)
    place = _Place(path)
    assert place.zoom == 1.0
    assert place.start(SCREEN)["width"] == window._DEFAULT["width"]


def test_what_it_remembers(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    place = _Place(path)
    place.resized(900, 640)
    place.moved(20, 30)
    place.zoom = 1.25
    place.maximize(True)
    place.resized(1920, 1080)  # the screen's size, not the user's
    place.save()
    kept = json.loads(path.read_text())
    expected = {"width": 900, "height": 640, "x": 20, "y": 30, "maximized": True, "zoom": 1.25}
    assert kept == expected
    assert _Place(path).zoom == 1.25


def test_what_changed_is_written_down_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    place = _Place(path)
    place.keep()
    assert not path.exists(), "nothing changed"
    place.resized(900, 640)
    place.keep()
    assert json.loads(path.read_text())["width"] == 900
    path.unlink()
    place.keep()
    assert not path.exists(), "it is written down already"


def test_the_last_of_many_sizes_is_the_one_it_remembers(tmp_path: Path) -> None:
    events = types.SimpleNamespace()
    window.in_order(events)
    place = _Place(tmp_path / "window.json")
    events.resized += place.resized
    for width in range(500, 900):
        events.resized.set(width, 640)
        assert place.start(SCREEN)["width"] == width


class _NoWindow:
    """Stands where the web view would; nobody chooses a place."""

    def __init__(self, chosen: Path | None = None) -> None:
        self.chosen = chosen
        self.asked: list[str] = []

    def ask_where(self, name: str) -> Path | None:
        self.asked.append(name)
        return self.chosen


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("https://example.com/x.csv", id="another server"),
        pytest.param("//example.com/x.csv", id="another server in disguise"),
        pytest.param("/health", id="not a file to save"),
        pytest.param(None, id="not a path"),
    ],
)
def test_only_our_own_files_are_saved(config: Config, path: Any) -> None:
    nowhere = _NoWindow()
    answer = Api(config, nowhere).save(path, "calls.csv")  # type: ignore[arg-type]
    assert nowhere.asked == []
    assert answer == {"saved": False, "message": "Only this server's own files can be saved."}


def test_what_a_page_made_is_saved_where_the_user_says(config: Config, tmp_path: Path) -> None:
    chosen = _NoWindow(tmp_path / "mine.csv")
    answer = Api(config, chosen).saveText("../../calls.csv", "a,b\r\n")  # type: ignore[arg-type]
    assert answer == {"saved": True, "message": str(tmp_path / "mine.csv")}
    assert (tmp_path / "mine.csv").read_bytes() == b"a,b\r\n"
    assert chosen.asked == ["calls.csv"], "a name, never a path"


def test_changing_ones_mind_saves_nothing(config: Config) -> None:
    answer = Api(config, _NoWindow()).saveText("calls.csv", "a")  # type: ignore[arg-type]
    assert answer == {"saved": False, "message": None}


def test_a_full_or_closed_folder_is_said(config: Config, tmp_path: Path) -> None:
    chosen = _NoWindow(tmp_path / "missing" / "calls.csv")
    answer = Api(config, chosen).saveText("calls.csv", "a")  # type: ignore[arg-type]
    assert answer["message"] == "It was not saved: No such file or directory."


@pytest.mark.parametrize(
    ("path", "loaded"),
    [
        pytest.param("/accounts/a1", ["/accounts/a1"], id="an account's “Open”"),
        pytest.param("/", [], id="it only comes to the front"),
        pytest.param("//evil.example", [], id="no page of ours"),
    ],
)
def test_a_window_that_runs_shows_what_another_start_wants(
    config: Config, monkeypatch: pytest.MonkeyPatch, path: str, loaded: list[str]
) -> None:
    config.data_dir.mkdir()
    lock = Lock(config.data_dir / "window.lock")
    assert lock.acquire()
    running = window.Window(config, "/", lock)
    pages: list[str] = []
    raised: list[bool] = []
    monkeypatch.setattr(running, "_load", pages.append)
    monkeypatch.setattr(running, "_raise", lambda: raised.append(True))
    monkeypatch.setattr(running, "_place", types.SimpleNamespace(keep=lambda: None))
    looks = iter([False, True])
    monkeypatch.setattr(running, "_closed", types.SimpleNamespace(wait=lambda _: next(looks)))
    try:
        assert window.run(config, path=path, child=True) == 0
        running._watch()
    finally:
        lock.release()
    assert (pages, raised) == (loaded, [True])
