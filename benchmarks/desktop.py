"""What the desktop costs: start to icon, click to page, memory, idle CPU, a long day of refreshes.

    .venv/bin/python benchmarks/desktop.py [--seconds 60] [--updates 1500] [--command dist/brimline]

Runs the demo's tray on a private screen and session bus (tests/trayhost.py), from source or as the
binary. Linux; needs what the desktop tests need. Memory is PSS: what others share counts in part.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from PIL import ImageGrab  # noqa: E402 - the root must be on the path

from tests import trayhost  # noqa: E402
from tests.trayhost import TrayHost, until  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print every measure once."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=60, help="how long idleness is watched")
    options.add_argument("--updates", type=int, default=1500, help="menu refreshes")
    options.add_argument("--command", default="", help="the binary; default: from source")
    given = options.parse_args()
    command = shlex.split(given.command) or [sys.executable, "-P", "-m", "desktop"]
    with tempfile.TemporaryDirectory(prefix="brimline-desk-") as folder:
        home = Path(folder)
        with trayhost.desktop(home) as desktop:
            measure(command, home, desktop, given.seconds, given.updates)


def measure(
    command: list[str], home: Path, desktop: trayhost.Desktop, seconds: int, updates: int
) -> None:
    """One tray from its start to its end."""
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("BRIMLINE_")},
        **desktop.environment,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_RUNTIME_DIR": str(home),
        "TMPDIR": str(home),
        "NO_AT_BRIDGE": "1",
        "BRIMLINE_DATA_DIR": str(home / "data"),
        "BRIMLINE_CODEX_HOME": str(home / "codex"),
        "BRIMLINE_CLAUDE_HOME": str(home / "claude"),
        "BRIMLINE_PORT": "0",
        "BRIMLINE_NO_KEYRING": "1",
    }
    host = TrayHost(desktop.bus)
    subprocess.run([*command, "version"], env=env, cwd=ROOT, check=True, capture_output=True)

    began = time.monotonic()
    tray = subprocess.Popen([*command, "tray", "--refresh", "30"], env=env, cwd=ROOT)
    try:
        host.item(30)
        print(f"start to icon           {time.monotonic() - began:6.2f} s")
        until(lambda: any("Today" in line for line in host.lines()), 30)
        print(f"start to live menu      {time.monotonic() - began:6.2f} s")
        windows(host, tray, env, desktop.display)
        idle(tray, seconds)
    finally:
        host.click("Quit")
        began = time.monotonic()
        tray.wait(30)
        print(f"Quit to gone            {time.monotonic() - began:6.2f} s")
    grown(command, host, env, updates)
    host.close()


def windows(
    host: TrayHost, tray: subprocess.Popen[bytes], env: dict[str, str], screen: str
) -> None:
    """Open and close the window three times."""
    closed = memory(tray.pid)
    shown, painted = [], []
    for _ in range(3):
        ground = ImageGrab.grab(xdisplay=screen).tobytes()
        began = time.monotonic()
        host.click("Open dashboard")
        number = until(lambda: seen(env), 30)[0]
        shown.append(time.monotonic() - began)
        until(partial(has_text, screen, ground), 30)
        painted.append(time.monotonic() - began)
        time.sleep(1.0)
        opened = memory(tray.pid)
        subprocess.run(["xdotool", "windowactivate", "--sync", number], env=env, check=False)
        subprocess.run(["xdotool", "key", "alt+F4"], env=env, check=False)
        until(lambda: not seen(env), 10)
        time.sleep(1.0)
    print(f"click to window         {statistics.median(shown):6.2f} s (median of 3)")
    print(f"click to page           {statistics.median(painted):6.2f} s")
    print(f"memory, window closed   {sum(closed.values()):6.0f} MB  {said(closed)}")
    print(f"memory, window open     {sum(opened.values()):6.0f} MB  {said(opened)}")
    again = memory(tray.pid)
    print(f"memory, closed again    {sum(again.values()):6.0f} MB  {said(again)}")


def seen(env: dict[str, str]) -> list[str]:
    """The numbers of the windows that are on the screen."""
    words = ["xdotool", "search", "--onlyvisible", "--name", "^Brimline$"]
    return subprocess.run(words, env=env, capture_output=True, text=True).stdout.split()


def has_text(screen: str, ground: bytes) -> bool:
    """Whether a page is painted: text gives many shades, an empty ground gives few."""
    picture = ImageGrab.grab(xdisplay=screen)
    return picture.tobytes() != ground and len(picture.getcolors(1 << 20) or ()) > 60


def idle(tray: subprocess.Popen[bytes], seconds: int) -> None:
    """The share of one core that tray and server take when nobody looks."""
    time.sleep(5)
    before, began = processor(tray.pid), time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    after = processor(tray.pid)
    for role in sorted(after):
        share = 100 * (after[role] - before.get(role, 0.0)) / passed
        print(f"idle CPU, {role:13} {share:6.2f} % of a core over {passed:.0f} s")


def grown(command: list[str], host: TrayHost, env: dict[str, str], updates: int) -> None:
    """Refresh the menu very often, and see what stays."""
    host.forget()
    tray = subprocess.Popen([*command, "tray", "--refresh", "0.1"], env=env, cwd=ROOT)
    try:
        host.item(30)
        until(lambda: any("Today" in line for line in host.lines()), 30)
        time.sleep(3)
        first, files, before = memory(tray.pid)["tray"], handles(tray.pid), processor(tray.pid)
        began = time.monotonic()
        # Each toggle changes a check mark and every row with an address: the menu is edited.
        for _ in range(updates // 2):
            host.click("Hide addresses")
            host.click("Refresh now")
        passed = time.monotonic() - began
        time.sleep(3)
        took = processor(tray.pid)["tray"] - before["tray"]
        last = memory(tray.pid)["tray"]
        print(f"{updates} menu refreshes    {passed:6.1f} s, CPU of the tray {took:.1f} s")
        print(f"  memory of the tray    {first:6.1f} → {last:.1f} MB")
        print(f"  open files            {files:6d} → {handles(tray.pid)}")
    finally:
        host.click("Quit")
        tray.wait(120)  # what was clicked before is carried out first


# --- /proc ----------------------------------------------------------------------------------------


def roles(root: int) -> dict[int, str]:
    """The tray's processes by what they are for; the server has a session of its own."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")
            parents[int(folder.name)] = int(stat[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
    found = {root}
    while more := {p for p, up in parents.items() if up in found} - found:
        found |= more
    known = ("serve", "window", "tray")
    by_pid = {}
    for pid in found:
        words = names.get(pid, [])
        by_pid[pid] = next((role for role in known if role in words), "web view")
    return by_pid


def memory(root: int) -> dict[str, float]:
    """Megabytes of PSS by role."""
    sums: dict[str, float] = {}
    for pid, role in roles(root).items():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        sums[role] = sums.get(role, 0.0) + kilobytes / 1024
    return sums


def processor(root: int) -> dict[str, float]:
    """Seconds of CPU by role."""
    sums: dict[str, float] = {}
    for pid, role in roles(root).items():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        sums[role] = sums.get(role, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS
    return sums


def handles(pid: int) -> int:
    """Open files of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def said(sums: dict[str, float]) -> str:
    """The parts of a sum."""
    return ", ".join(f"{role} {size:.0f}" for role, size in sorted(sums.items()))


if __name__ == "__main__":
    main()
