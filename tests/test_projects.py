"""What a working folder and the projects file say of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.usage import projects

UNKNOWN = {"relativeCwd": None, "remoteLabel": None, "remoteHash": None}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param({"tags": {"a": ["x", "y", "x"]}}, {"a": ("x", "y")}, id="each tag once"),
        pytest.param({"tags": {"/h/a": ["x"], "a": ["y"]}}, {"a": ("x", "y")}, id="path and name"),
        pytest.param({"tags": {"C:\\\\w\\\\a": ["x"]}}, {"a": ("x",)}, id="a Windows path"),
        pytest.param(
            {"aliases": {"/h/a": "Payments"}, "tags": {"Payments": ["x"], "a": ["y"]}},
            {"a": ("x", "y"), "Payments": ("x",)},
            id="by what the user calls it",
        ),
        pytest.param({"tags": ["a"]}, {}, id="a list"),
        pytest.param({"tags": {"a": "x", "b": [1, " ", "z"]}}, {"b": ("z",)}, id="odd ones"),
    ],
)
def test_tags(given: dict[str, Any], found: dict[str, tuple[str, ...]]) -> None:
    assert projects.tags(given, {}) == found


@pytest.mark.parametrize(
    ("url", "label"),
    [
        pytest.param("https://user:secret@example.com/team/sundial.git", "sundial", id="https"),
        pytest.param("git@example.com:team/sundial.git", "sundial", id="ssh"),
        pytest.param("/srv/git/sundial/", "sundial", id="a folder"),
    ],
)
def test_the_remote_of_a_folder(tmp_path: Path, url: str, label: str) -> None:
    inside = tmp_path / "work" / "src" / "deep"
    inside.mkdir(parents=True)
    git = tmp_path / "work" / ".git"
    git.mkdir()
    (git / "config").write_text(
        f'[core]\n\tbare = false\n[remote "other"]\n\turl = https://no/x\n'
        f'[remote "origin"]\n\turl = {url}\n\tfetch = +refs\n'
    )
    found = projects.place(str(inside))
    assert (found["relativeCwd"], found["remoteLabel"]) == ("src/deep", label)
    assert len(found["remoteHash"]) == 16 and "secret" not in str(found)
    assert projects.place(str(inside), (str(tmp_path / "work"),)) == UNKNOWN


@pytest.mark.parametrize(
    "cwd",
    [
        pytest.param(None, id="unknown"),
        pytest.param("relative/folder", id="no whole path"),
        pytest.param("C:\\\\Users\\\\x", id="another system's"),
        pytest.param("/no/such/folder", id="gone"),
        pytest.param("/a\0b", id="no folder could be called so"),
        pytest.param("/" + "x" * 5000, id="too long"),
    ],
)
def test_folders_that_say_nothing(cwd: str | None) -> None:
    assert projects.place(cwd) == UNKNOWN


def test_a_work_tree_elsewhere_has_a_place_and_no_remote(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /elsewhere")
    assert projects.place(str(tmp_path)) == {**UNKNOWN, "relativeCwd": "."}
