from __future__ import annotations

import mmap
import sys
import time
from pathlib import Path

import pytest

from desktop import leftovers


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


def test_from_source_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_sweep_own", lambda: pytest.fail("it looked"))
    leftovers.sweep_soon()
