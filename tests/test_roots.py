"""What a project is: its root, its key, its name among others, and whose an entry of a file is."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.ingest import folders
from server.usage import roots


@pytest.mark.parametrize(
    ("paths", "called"),
    [
        pytest.param(["/one/api"], ["api"], id="alone"),
        pytest.param(["/one/api", "/two/web"], ["api", "web"], id="of two names"),
        pytest.param(["/one/api", "/two/api"], ["one/api", "two/api"], id="two of a name"),
        pytest.param(
            ["/a/one/api", "/b/one/api", "/b/two/api"],
            ["a/one/api", "b/one/api", "two/api"],
            id="each as long as it must be",
        ),
        pytest.param(["/api", "/one/api"], ["/api", "one/api"], id="one has nothing above it"),
        pytest.param(["C:/x/api", "/x/api"], ["C:/x/api", "/x/api"], id="of two systems"),
        pytest.param(["C:/one/api", "D:/two/api"], ["one/api", "two/api"], id="Windows"),
        pytest.param(["/", "C:"], ["/", "C:"], id="whole disks"),
        pytest.param(["api", "/one/api"], ["api", "one/api"], id="no whole path"),
        pytest.param(["/one/API", "/two/api"], ["API", "api"], id="told apart by capitals"),
    ],
)
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
def test_what_projects_are_called(paths: list[str], called: list[str], turned: bool) -> None:
    held = {roots.key(path): path for path in (reversed(paths) if turned else paths)}
    found = roots.names(held)
    assert [found[roots.key(path)] for path in paths] == called
    assert [roots.ending(name, held) for name in called if "/" in name.strip("/")] == [
        [roots.key(path)]
        for path, name in zip(paths, called, strict=True)
        if "/" in name.strip("/")
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("/one/api", "/one//api/", True, id="slashes"),
        pytest.param("/one/api", "/one/x/../api", True, id="dots"),
        pytest.param("/one/api", "/two/api", False, id="other folders"),
        pytest.param("/one/api", "/one/API", False, id="capitals tell folders apart"),
        pytest.param("C:\\One\\api", "c:/one/API/", True, id="but not those of Windows"),
        pytest.param("\\\\?\\C:\\one\\api", "C:\\one\\api", True, id="a long path of Windows"),
        pytest.param("\\\\pc\\one\\api", "\\\\PC\\two\\api", False, id="folders of a network"),
        pytest.param("/one/a\\b", "/one/a/b", False, id="a backslash in a name"),
        pytest.param("/one/\udce9", "/one/x", False, id="half a character"),
    ],
)
def test_which_paths_are_one_project(one: str, other: str, same: bool) -> None:
    assert (roots.key(one) == roots.key(other)) is same


@pytest.mark.parametrize(
    ("key", "own"),
    [
        pytest.param(roots.key("/one/api"), "api", id="a key"),
        pytest.param(roots.key("/one/issue #12345678"), "issue #12345678", id="marks in a name"),
        pytest.param(roots.key("/"), "/", id="the disk"),
        pytest.param("api", "api", id="a name"),
        pytest.param("api#12", "api#12", id="a name that is nearly a key"),
    ],
)
def test_the_name_in_a_key(key: str, own: str) -> None:
    assert roots.last(key) == own


ONE, TWO, WEB = (roots.key(path) for path in ("/one/api", "/two/api", "C:/w/web"))
HELD = {ONE: "/one/api", TWO: "/two/api", WEB: "C:/w/web"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        pytest.param("/one/api", [ONE], id="by its path"),
        pytest.param("/one/api/", [ONE], id="a slash at its end"),
        pytest.param("c:\\W\\web", [WEB], id="Windows, with other capitals"),
        pytest.param("one/api", [ONE], id="as it is shown"),
        pytest.param("api", ["api"], id="by its name"),
        pytest.param("/three/api", ["api"], id="a path of another computer"),
        pytest.param("three/api", ["api"], id="the end of one"),
    ],
)
def test_whose_an_entry_is(name: str, meant: list[str]) -> None:
    assert roots.entries({name: "x"}, HELD) == {one: [name] for one in meant}


# ── the disk ──────────────────────────────────────────────────────────────────────────────


def made(top: Path, *paths: str) -> None:
    for path in paths:
        (top / path).mkdir(parents=True)


def test_a_project_is_its_git_root(tmp_path: Path) -> None:
    made(tmp_path, "shop/src/deep")
    inside = str(tmp_path / "shop" / "src" / "deep")
    assert folders.root_of(inside) == roots.tidy(inside)
    (tmp_path / "shop" / ".git").mkdir()
    assert folders.root_of(inside + "/") == roots.tidy(str(tmp_path / "shop"))


@pytest.mark.parametrize(
    ("said", "root"),
    [
        pytest.param("gitdir: {top}/shop/.git/worktrees/fix\n", "shop", id="a work tree"),
        pytest.param("gitdir: ../shop/.git/worktrees/fix", "shop", id="named from beside it"),
        pytest.param("gitdir: {top}/shop/.bare/worktrees/fix", "shop", id="of a bare repository"),
        pytest.param("gitdir: {top}/shop.git/worktrees/fix", "shop", id="of a bare one beside"),
        pytest.param("gitdir: ../shop/.git/modules/fix", "tree", id="a submodule"),
        pytest.param(
            "gitdir: {top}/shop/.git/modules/lib/sub/worktrees/x", "shop/lib/sub",
            id="a work tree of a submodule",
        ),
        pytest.param("gitdir: {top}/kept.git", "tree", id="Git data that lie elsewhere"),
        pytest.param("gitdir:", "tree", id="nothing said"),
        pytest.param("", "tree", id="empty"),
        pytest.param("no such thing\0", "tree", id="something else"),
    ],
)  # fmt: skip
def test_a_folder_whose_git_is_a_file(tmp_path: Path, said: str, root: str) -> None:
    made(tmp_path, "tree/src")
    (tmp_path / "tree" / ".git").write_text(said.format(top=tmp_path))
    assert folders.root_of(str(tmp_path / "tree" / "src")) == roots.tidy(f"{tmp_path}/{root}")


def test_a_work_tree_that_windows_made(tmp_path: Path) -> None:
    made(tmp_path, "tree")
    (tmp_path / "tree" / ".git").write_text("gitdir: c:/code/shop/.git/worktrees/fix")
    assert folders.root_of(str(tmp_path / "tree")) == "C:/code/shop"


@pytest.mark.parametrize(
    ("cwd", "root"),
    [
        pytest.param("/no/such/place", "/no/such/place", id="a folder"),
        pytest.param("/no/shop/.claude/worktrees/red-fox/src", "/no/shop", id="of Claude Code"),
        pytest.param("/no/.codex/worktrees/1f2e/shop", "/no/.codex/worktrees/shop", id="of Codex"),
        pytest.param(
            "/no/.codex/worktrees/9a0b/shop/src", "/no/.codex/worktrees/shop", id="inside one"
        ),
        pytest.param("/no/.codex/worktrees/1f2e", "/no/.codex/worktrees/1f2e", id="above them"),
        pytest.param("c:\\x\\shop", "C:/x/shop", id="of Windows"),
        pytest.param(
            "C:\\u\\.codex\\worktrees\\1f2e\\shop", "C:/u/.codex/worktrees/shop",
            id="a work tree of Windows",
        ),
        pytest.param("/no/a\0b", "/no/a\0b", id="no folder could be called so"),
        pytest.param("relative", "relative", id="no whole path"),
    ],
)  # fmt: skip
def test_folders_that_are_gone(cwd: str, root: str) -> None:
    assert folders.root_of(cwd) == root


@pytest.mark.parametrize(
    ("others", "whose"),
    [
        pytest.param([], None, id="of no project that is known"),
        pytest.param(["/src/shop"], "/src/shop", id="of the only one of its name"),
        pytest.param(["/src/shop", "/old/shop"], None, id="of one of two"),
        pytest.param(["/src/till"], None, id="of another name"),
    ],
)
def test_whose_a_removed_work_tree_must_be(others: list[str], whose: str | None) -> None:
    tree = "/home/.codex/worktrees/shop"
    held = {roots.key(path): path for path in (tree, *others)}
    expected = {roots.key(tree): roots.key(whose)} if whose else {}
    assert roots.returned(held) == expected
