from __future__ import annotations

import mmap
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from desktop import leftovers
from server.store.lock import Lock

ROOT = Path(__file__).resolve().parent.parent


def folder(place: Path, name: str, files: tuple[str, ...] = leftovers._OURS) -> Path:
    made = place / name
    made.mkdir()
    for file in files:
        (made / file).parent.mkdir(parents=True, exist_ok=True)
        (made / file).write_bytes(b"x" * 5000)
    return made


@pytest.mark.parametrize(
    ("name", "files", "age", "gone"),
    [
        pytest.param("_MEIa1", leftovers._OURS, 3600, True, id="a killed one's"),
        pytest.param("_MEIa1", leftovers._OURS, 5, False, id="one that may be unpacking now"),
        pytest.param("_MEIa1", ("base_library.zip",), 3600, False, id="another program's"),
        pytest.param("_MEImine", leftovers._OURS, 3600, False, id="the one we run from"),
        pytest.param("other", leftovers._OURS, 3600, False, id="no unpacked program"),
    ],
)
def test_what_goes(
    tmp_path: Path, name: str, files: tuple[str, ...], age: float, gone: bool
) -> None:
    made = folder(tmp_path, name, files)
    swept = leftovers.sweep(tmp_path, str(tmp_path / "_MEImine"), time.time() + age)
    assert (swept == [made], made.exists()) == (gone, not gone)
    assert not list(tmp_path.glob("*.gone"))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    kept = folder(tmp_path, "precious")
    (tmp_path / "_MEIlink").symlink_to(kept)
    assert leftovers.sweep(tmp_path, "", time.time() + 3600) == []
    assert (kept / "base_library.zip").is_file()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_one_that_a_process_uses_stays(tmp_path: Path) -> None:
    made = folder(tmp_path, "_MEIa1")
    with (made / "base_library.zip").open("rb") as file:
        library = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        assert leftovers.sweep(tmp_path, "", time.time() + 3600) == []
        library.close()
    assert leftovers.sweep(tmp_path, "", time.time() + 3600) == [made]


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        pytest.param("_MEIa1.gone", True, id="a removal that was cut off"),
        pytest.param("_MEIa1.gone.gone", True, id="and cut off again"),
        pytest.param("_MEI.gone", False, id="no name of an unpacked program"),
        pytest.param("_MEIa1.gone.old", False, id="a name of somebody else's"),
    ],
)
def test_what_a_sweep_had_begun_with_is_finished(tmp_path: Path, name: str, gone: bool) -> None:
    made = folder(tmp_path, name, ("libpython3.so",))
    leftovers.sweep(tmp_path, "", time.time())
    assert made.exists() is not gone


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_a_sweep_had_begun_with_stays_while_a_process_uses_it(tmp_path: Path) -> None:
    made = folder(tmp_path, "_MEIa1.gone", ("libpython3.so",))
    with (made / "libpython3.so").open("rb") as file:
        library = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        assert leftovers.sweep(tmp_path, "", time.time()) == []
        library.close()
    assert leftovers.sweep(tmp_path, "", time.time()) == [made]


DEMO_FILES = ("data/usage.db", "keys/vault.key", "demo.lock")


@pytest.mark.parametrize(
    ("name", "held", "age", "gone"),
    [
        pytest.param("brimline-demo-a", None, 3600, True, id="a killed one's"),
        pytest.param("brimline-demo-a", None, 5, False, id="one that may be starting now"),
        pytest.param("brimline-demo-a", "demo.lock", 3600, False, id="it runs"),
        pytest.param("brimline-demo-a", "data/serve.lock", 3600, False, id="its server runs"),
        pytest.param("brimline-demo-a", "data/tray.lock", 3600, False, id="its tray runs"),
        pytest.param("brimline-demo", None, 3600, False, id="another name"),
    ],
)
def test_which_demos_go(
    tmp_path: Path, name: str, held: str | None, age: float, gone: bool
) -> None:
    made = folder(tmp_path, name, DEMO_FILES)
    lock = Lock(made / (held or "other.lock"))
    assert lock.acquire()
    swept = leftovers.sweep_demos(tmp_path, time.time() + age)
    lock.release()
    assert (swept == [made], made.exists()) == (gone, not gone)


def test_a_demo_behind_a_link_is_not_followed(tmp_path: Path) -> None:
    kept = folder(tmp_path, "precious", DEMO_FILES)
    (tmp_path / "brimline-demo-a").symlink_to(kept)
    assert leftovers.sweep_demos(tmp_path, time.time() + 3600) == []
    assert (kept / "data" / "usage.db").is_file()


def test_from_source_no_binary_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "sweep", lambda *_: pytest.fail("it looked"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    leftovers._sweep_own()


SERVER = """
import signal, sys, time
from pathlib import Path
from desktop import leftovers
leftovers._WATCHED = 0.05
leftovers.end_with_demo(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_demos_server_ends_with_a_demo_that_was_killed(tmp_path: Path) -> None:
    made = folder(tmp_path, "brimline-demo-a", DEMO_FILES)
    lock = Lock(made / "demo.lock")
    assert lock.acquire()
    words = [sys.executable, "-c", SERVER, str(made / "data")]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
    assert server.stdout is not None
    with server.stdout:
        assert server.stdout.readline() == b"ready\n"
        assert server.poll() is None
        lock.release()  # as the operating system does when its holder is killed
        assert server.wait(30) == -signal.SIGTERM


# A program in two processes, as the one-file binary is: the first starts the second and waits.
LOADER = """
import subprocess, sys
sys.exit(subprocess.Popen([sys.executable, "-c", sys.argv[1]]).wait())
"""
LOADED = """
import os, sys, time
from desktop import leftovers
sys.frozen = True
leftovers._WATCHED = 0.1
leftovers.end_with_loader(lambda: os._exit(7))
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as /proc tells it")
def test_who_kills_the_binary_kills_what_it_unpacked() -> None:
    words = [sys.executable, "-c", LOADER, LOADED]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as loader:
        assert loader.stdout is not None
        pid = int(loader.stdout.readline())
        loader.kill()
        loader.wait(30)
        assert loader.stdout.read() == "", "the pipe closes when the second has ended"
        assert not Path(f"/proc/{pid}/fd/1").exists()


def test_from_source_nobody_unpacked_us() -> None:
    leftovers.end_with_loader(lambda: pytest.fail("it ended"))
    assert leftovers._loader() is None
