"""Set-up: its rules as tables, its locks as promises, its stamps on real files."""

import json
import os
import re
import sys
from pathlib import Path

import bootstrap
import pytest

from tests import spread

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "packaging").glob("*.lock"))
NPM_FOLDERS = [ROOT / "ui", ROOT / "tests" / "clients"]


@pytest.mark.parametrize(
    ("printed", "version", "serves"),
    [
        pytest.param("v20.20.2\n", (20, 20, 2), True, id="as node prints it"),
        pytest.param("v20.19.0", (20, 19, 0), True, id="just new enough"),
        pytest.param("v20.18.9", (20, 18, 9), False, id="one minor too old"),
        pytest.param("v18.19.0\n", (18, 19, 0), False, id="Debian 12's own"),
        pytest.param("v25.0.0-nightly2026", (25, 0, 0), True, id="a nightly"),
        pytest.param("", None, False, id="no node"),
        pytest.param("node: not found", None, False, id="a complaint is no version"),
    ],
)
def test_node_version(printed: str, version: tuple[int, int, int] | None, serves: bool) -> None:
    assert bootstrap.node_version(printed) == version
    assert bootstrap.node_serves(printed) is serves


@pytest.mark.parametrize(
    ("listing", "missing"),
    [
        pytest.param("gcc installed\nxvfb installed\n", [], id="all there"),
        pytest.param("gcc installed\n", ["xvfb"], id="dpkg never heard of one"),
        pytest.param("gcc installed\nxvfb config-files\n", ["xvfb"], id="removed, settings left"),
        pytest.param("gcc installed\nxvfb not-installed\n", ["xvfb"], id="known, not installed"),
        pytest.param("gcc installed\ngcc installed\nxvfb installed", [], id="two architectures"),
        pytest.param("", ["gcc", "xvfb"], id="empty machine, in the wanted order"),
    ],
)
def test_missing_packages(listing: str, missing: list[str]) -> None:
    assert bootstrap.missing_packages(["gcc", "xvfb"], listing) == missing


@pytest.mark.parametrize(
    ("tests", "ensurepip", "headers", "extra"),
    [
        pytest.param(False, True, True, set(), id="running needs only the desktop's"),
        pytest.param(False, False, True, {"venv"}, id="Debian's python without venv"),
        pytest.param(False, True, False, {"dev"}, id="an interpreter without headers"),
        pytest.param(True, True, True, set(bootstrap.TEST_PACKAGES), id="tests drive a screen"),
    ],
)
def test_wanted_packages(tests: bool, ensurepip: bool, headers: bool, extra: set[str]) -> None:
    wanted = bootstrap.wanted_packages(tests=tests, ensurepip=ensurepip, headers=headers)
    own = f"python3.{sys.version_info.minor}-"
    assert {name.removeprefix(own) for name in wanted} == {*bootstrap.DESKTOP_PACKAGES, *extra}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["setup"], ("setup", []), id="alone"),
        pytest.param(["test", "-k", "tray", "-x"], ("test", ["-k", "tray", "-x"]), id="pytest's"),
        pytest.param(["run", "--port", "2456"], ("run", ["--port", "2456"]), id="brimline's"),
    ],
)
def test_parse(arguments: list[str], expected: tuple[str, list[str]]) -> None:
    assert bootstrap.parse(arguments) == expected


def test_without_apt_it_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "apt_prefix", lambda: None)
    monkeypatch.setattr(bootstrap, "has_ensurepip", lambda: True)
    monkeypatch.setattr(bootstrap, "has_headers", lambda: True)
    monkeypatch.setattr(bootstrap, "installed_listing", lambda _: "gcc installed\n")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    progress = bootstrap.Progress(total=1)
    progress.step("System packages", lambda p: bootstrap.system_packages(p, tests=False))
    told = capsys.readouterr().out
    assert "[1/1] System packages … 5 missing" in told
    assert bootstrap.apt_advice(bootstrap.DESKTOP_PACKAGES[:5]) in told
    assert "pkg-config gcc" not in told


def test_no_apt_when_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIMLINE_NO_APT", "1")
    assert bootstrap.apt_prefix() is None


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "setup.log"
    monkeypatch.setattr(bootstrap, "LOG", path)
    return path


def test_a_failed_command_shows_its_own_two_ends(log: Path) -> None:
    progress = bootstrap.Progress(total=1)
    progress.run([sys.executable, "-c", "print('earlier')"])
    script = "for i in range(40): print('line', i)\nraise SystemExit(3)"
    with pytest.raises(bootstrap.SetUpError) as caught:
        progress.run([sys.executable, "-c", script])
    told = str(caught.value)
    assert "ended with code 3" in told
    assert "line 0\n" in told
    assert "… 16 lines …" in told
    assert "line 39" in told
    assert "line 14" not in told
    assert "earlier" not in told
    assert "earlier" in log.read_text()


def test_digest_follows_content_names_and_values(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    before = bootstrap.digest([one, two], "3.11")
    assert bootstrap.digest([two, one], "3.11") == before, "order does not matter"
    assert bootstrap.digest([one, two], "3.12") != before
    assert bootstrap.digest([one], "3.11") != before
    two.write_text("c")
    assert bootstrap.digest([one, two], "3.11") != before
    two.unlink()
    assert bootstrap.digest([one, two], "3.11") != before, "a file that left is a change too"


def test_a_stamp_holds_until_its_inputs_or_results_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    result = tmp_path / "index.html"
    assert not bootstrap.fresh("page", "abc"), "nothing was done yet"
    bootstrap.stamp("page", "abc")
    bootstrap.stamp("other", "def")
    assert bootstrap.fresh("page", "abc")
    assert not bootstrap.fresh("page", "abd"), "other inputs"
    assert not bootstrap.fresh("page", "abc", result), "the result was deleted"
    result.touch()
    assert bootstrap.fresh("page", "abc", result)
    (tmp_path / "stamps.json").write_text('{"page": "ab')
    assert not bootstrap.fresh("page", "abc"), "half a file is no stamp"


def test_an_interrupted_step_is_not_taken_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)

    def interrupted() -> str:
        raise KeyboardInterrupt

    assert bootstrap.once("page", "old", lambda: "built") == "built"
    assert bootstrap.once("page", "old", interrupted) == "up to date"
    with pytest.raises(KeyboardInterrupt):
        bootstrap.once("page", "new", interrupted)
    assert bootstrap.once("page", "old", lambda: "built again") == "built again"


def test_a_tray_that_cannot_be_built_does_not_stop_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise bootstrap.SetUpError("meson: girepository-1.0 not found")

    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "tray_obstacle", lambda: "")
    monkeypatch.setattr(bootstrap, "install", refuse)
    monkeypatch.setattr("sys.platform", "linux")
    bootstrap.Progress(total=1).step("Tray and window", bootstrap.desktop_step)
    told = capsys.readouterr().out
    assert "could not be built, so the tray is off" in told
    assert "girepository-1.0 not found" in told
    assert not bootstrap.stamps().get(bootstrap.DESKTOP_LOCK)


@pytest.mark.parametrize(
    ("source", "compiler", "told"),
    [
        pytest.param("int main(", "cc", "error", id="it does not compile"),
        pytest.param("", None, "a C compiler or Python's C headers are missing", id="no compiler"),
    ],
)
def test_a_part_that_cannot_be_compiled_does_not_stop_set_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    compiler: str | None,
    told: str,
) -> None:
    if compiler and bootstrap.compiler() is None:
        pytest.skip("there is no C compiler")
    lines = tmp_path / "usual.c"
    lines.write_text(source)
    old = tmp_path / "usual.abi3.so"
    old.write_text("compiled from what it was before")
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "LINES", lines)
    monkeypatch.setattr(bootstrap, "has_headers", lambda: True)
    monkeypatch.setattr(bootstrap, "compiler", lambda: compiler)
    for _ in range(2):
        bootstrap.Progress(total=1).step("Quick scans", bootstrap.compiled_step)
        said = capsys.readouterr().out
        assert "left out, so scans are slower" in said
        assert told in said
        assert not old.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stamps.json", "usual.c"]


def test_the_sources_are_compiled_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A start must not depend on whether Python may keep bytecode."""
    for name in ("server/a.py", "desktop/b.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    for name, value in (("ROOT", tmp_path), ("LOG", tmp_path / "log"), ("PYTHON", sys.executable)):
        monkeypatch.setattr(bootstrap, name, value)
    monkeypatch.setattr(bootstrap, "once", lambda *_: "installed")
    monkeypatch.setattr(bootstrap, "digest", lambda *_: "")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    bootstrap.Progress(total=1).step("Brimline itself", bootstrap.project_step)
    assert "installed" in capsys.readouterr().out
    assert sorted(path.name.split(".")[0] for path in tmp_path.rglob("*.pyc")) == ["a", "b"]


def test_page_sources_leave_out_what_the_build_makes(tmp_path: Path) -> None:
    for name in ("src/App.tsx", "index.html", "dist/index.html", "node_modules/a/b.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {path.relative_to(tmp_path).as_posix() for path in bootstrap.sources(tmp_path)}
    assert found == {"src/App.tsx", "index.html"}


def test_lock_entries_keep_markers_and_hashes() -> None:
    lock = (
        "# by make lock\nFlask==3.1 ; x == 'y' \\\n    --hash=sha256:aa\n    # via me\nsix==1 \\\n"
    )
    assert bootstrap.lock_entries(lock) == {
        "flask": "Flask==3.1 ; x == 'y' \\\n    --hash=sha256:aa\n",
        "six": "six==1 \\\n",
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_pin_by_hash_and_name_no_registry(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    entries = bootstrap.lock_entries(text)
    assert entries
    for name, entry in entries.items():
        assert "==" in entry, name
        assert "--hash=sha256:" in entry, name


def test_locks_agree_on_shared_packages() -> None:
    seen: dict[str, list[str]] = {}
    for lock in LOCKS:
        for name, entry in bootstrap.lock_entries(lock.read_text()).items():
            versions = re.findall(r"^\S+==(\S+)", entry, re.MULTILINE)
            assert seen.setdefault(name, versions) == versions, f"{name} in {lock.name}"


def test_what_is_built_from_source_is_locked() -> None:
    assert set(bootstrap.SOURCE_ONLY) <= set(bootstrap.locked("runtime.lock"))
    assert set(bootstrap.DESKTOP_SOURCE) <= set(bootstrap.locked("linux-desktop.lock"))


@pytest.mark.parametrize("folder", NPM_FOLDERS, ids=lambda path: path.name)
def test_npm_locks_pin_by_hash_and_name_no_registry(folder: Path) -> None:
    lock = json.loads((folder / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert not str(entry.get("resolved", "")).startswith("http"), name
        # npm writes such halves when it adds to a lock; `npm ci` then refuses the whole file.
        assert entry.get("version"), f"{name}: write the lock anew, without node_modules"
        assert entry.get("integrity") or entry.get("inBundle"), name
    assert "omit-lockfile-registry-resolved=true" in (folder / ".npmrc").read_text()


@pytest.mark.parametrize("folder", NPM_FOLDERS, ids=lambda path: path.name)
def test_npm_locks_hold_every_system_s_part(folder: Path) -> None:
    # A registry that lacks one system's package leaves a hole, and `npm ci` refuses such a lock.
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    locked = {name.rpartition("node_modules/")[2] for name in packages}
    wanted = {part for entry in packages.values() for part in entry.get("optionalDependencies", {})}
    assert sorted(wanted - locked) == []


def test_every_test_of_the_binary_is_named() -> None:
    marked = {
        path.relative_to(bootstrap.ROOT).as_posix()
        for path in (bootstrap.ROOT / "tests").glob("test_*.py")
        if "pytest.mark.packaged" in path.read_text(encoding="utf-8")
    }
    assert marked - {"tests/test_bootstrap.py"} == set(bootstrap.PACKAGED_TESTS)


def test_what_is_passed_on_overrules_the_two_processes() -> None:
    title, words, _ = bootstrap.checks(["-n", "0", "tests/test_db.py"])[-1]
    assert title == "pytest"
    assert words[1:] == [*bootstrap.SPREAD, "-n", "0", "tests/test_db.py"]


@pytest.mark.parametrize(
    ("nodeid", "piece"),
    [
        pytest.param("tests/test_ui.py::test_a[x]", "pages", id="Chromium's"),
        pytest.param("tests/test_ui_call.py::test_a", "pages", id="never two of them at a time"),
        pytest.param("tests/test_tray.py::test_a[a::b]", "tests/test_tray.py", id="a whole file"),
    ],
)
def test_a_piece_of_the_tests_runs_in_one_process(nodeid: str, piece: str) -> None:
    assert spread.piece(nodeid) == piece


def test_every_test_in_chromium_is_known_by_its_files_name() -> None:
    marked = {
        path.name
        for path in (bootstrap.ROOT / "tests").glob("test_*.py")
        if re.search(r"^from playwright\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert "test_ui.py" in marked
    assert all(spread.drives_chromium(f"tests/{name}") for name in marked)


@pytest.mark.skipif(os.name == "nt", reason="there pip's own program starts it")
@pytest.mark.parametrize(
    ("python", "kept"),
    [
        pytest.param("/a/.venv/bin/python", True, id="usual"),
        pytest.param("/a b/.venv/bin/python", False, id="a space ends the first line's program"),
        pytest.param("/" + "a" * 120 + "/python", False, id="longer than a first line may be"),
    ],
)
def test_the_command_starts_without_site_where_it_can(python: str, kept: bool) -> None:
    text = bootstrap.command_text(python, "/a", "/a/packages")
    assert bool(text) is kept
    if kept:
        assert text.startswith(f"#!{python} -S\n")
        compile(text, "brimline", "exec")
