"""Shoots the README's pictures from the demo: the real window and the real menu in a real panel.

    .venv/bin/python packaging/pictures.py [--command dist/brimline] [--out docs/pictures]

Linux, with what the desktop tests need and xfce4-panel. Writes overview.png and tray.png.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image, ImageChops, ImageGrab  # noqa: E402 - the root must be on the path
from Xlib.display import Display  # type: ignore[import-untyped]  # noqa: E402

from desktop import icon  # noqa: E402
from tests import trayhost  # noqa: E402
from tests.trayhost import until  # noqa: E402

SCREEN = "1500x1060x24"
PANEL = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array"><value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="false"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="30"/>
      <property name="icon-size" type="uint" value="22"/>
      <property name="plugin-ids" type="array">
        <value type="int" value="1"/><value type="int" value="2"/><value type="int" value="3"/>
      </property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="separator">
      <property name="expand" type="bool" value="true"/>
      <property name="style" type="uint" value="0"/>
    </property>
    <property name="plugin-2" type="string" value="systray">
      <property name="icon-size" type="uint" value="22"/>
    </property>
    <property name="plugin-3" type="string" value="clock"/>
  </property>
</channel>
"""


def main() -> None:
    """Shoot both pictures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--command", default="", help="the binary; default: from source")
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    command = shlex.split(given.command) or [sys.executable, "-P", "-m", "desktop"]
    with tempfile.TemporaryDirectory(prefix="brimline-pictures-") as folder:
        home = Path(folder)
        settings = home / ".config" / "xfce4" / "xfconf" / "xfce-perchannel-xml"
        settings.mkdir(parents=True)
        (settings / "xfce4-panel.xml").write_text(PANEL)
        os.environ.update(HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"))
        with trayhost.desktop(home, SCREEN) as desktop:
            shoot(command, {**os.environ, **desktop.environment, "NO_AT_BRIDGE": "1"}, given.out)


def shoot(command: list[str], env: dict[str, str], out: Path) -> None:
    """Start panel and demo, and take both pictures."""
    paper(env)
    panel = subprocess.Popen(["xfce4-panel", "--disable-wm-check"], env=env, stderr=-3)
    time.sleep(3)  # the panel's tray is there before the demo looks for one
    demo = subprocess.Popen([*command, "demo"], env=env, cwd=ROOT)
    try:
        number = until(
            lambda: xdotool(env, "search", "--onlyvisible", "--name", "demo").split(), 60
        )
        overview(env, number[0]).save(out / "overview.png", optimize=True)
        xdotool(env, "windowminimize", "--sync", number[0])
        time.sleep(2)
        tray(env).save(out / "tray.png", optimize=True)
    finally:
        demo.terminate()
        demo.wait(30)
        panel.terminate()
        panel.wait(10)


def overview(env: dict[str, str], number: str) -> Image.Image:
    """The window's page, without its frame."""
    xdotool(env, "windowsize", "--sync", number, "1280", "980")
    xdotool(env, "windowmove", "--sync", number, "100", "40")
    xdotool(env, "mousemove", "2", "1050")
    time.sleep(12)  # the logs are read, and the page has its last figures
    screen = Display(env["DISPLAY"])
    window = screen.create_resource_object("window", int(number))
    size, root = window.get_geometry(), screen.screen().root
    place = root.translate_coords(window, 0, 0)
    x, y = abs(place.x), abs(place.y)
    screen.close()
    return grab(env).crop((x, y, x + size.width, y + size.height))


def paper(env: dict[str, str]) -> None:
    """A light ground instead of the bare screen's black."""
    screen = Display(env["DISPLAY"])
    root = screen.screen().root
    root.change_attributes(background_pixel=0xE4E6E8)
    root.clear_area()
    screen.sync()
    screen.close()


def tray(env: dict[str, str]) -> Image.Image:
    """The panel's end and the open menu below it."""
    before = grab(env)
    x, y = until(lambda: find_icon(before) or (0, 0), 5)
    xdotool(env, "mousemove", str(x), str(y), "click", "1")
    time.sleep(1.5)
    after = grab(env)
    box = ImageChops.difference(before, after).getbbox()
    if box is None:
        raise SystemExit("The menu did not open.")
    left, _, right, bottom = box
    return after.crop((left - 10, 0, min(after.width, right + 10), bottom + 10))


def find_icon(picture: Image.Image) -> tuple[int, int] | None:
    """Where the panel shows our icon: its colours are nobody else's."""
    wanted = set(icon._COLOURS.values())
    strip = picture.crop((0, 0, picture.width, 30))
    found = [
        (x, y)
        for x in range(strip.width)
        for y in range(strip.height)
        if strip.getpixel((x, y)) in wanted
    ]
    return found[len(found) // 2] if found else None


def grab(env: dict[str, str]) -> Image.Image:
    """The whole screen."""
    return ImageGrab.grab(xdisplay=env["DISPLAY"]).convert("RGB")


def xdotool(env: dict[str, str], *words: str) -> str:
    """Run xdotool; what it prints."""
    return subprocess.run(["xdotool", *words], env=env, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
