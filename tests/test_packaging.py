"""What the packages carry says what the program does."""

from __future__ import annotations

import plistlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from desktop import autostart, cli
from server import __version__
from server.config import DEFAULT_PORT

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
METAINFO = PACKAGING / "linux" / "dev.brimline.Brimline.metainfo.xml"
SKILL = PACKAGING / "skill"


def ini(name: str) -> ConfigParser:
    found = ConfigParser(interpolation=None, strict=True)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string((PACKAGING / "linux" / name).read_text())
    return found


def accepted(line: str) -> bool:
    """Whether the command line understands this command; `N` and `NAME` stand for values."""
    words = [{"N": "10", "NAME": "work"}.get(word, word) for word in shlex.split(line)]
    assert words[0] == "brimline"
    try:
        cli._parser().parse_args(words[1:])
    except SystemExit as end:
        return not end.code
    return True


def test_the_version_is_said_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    releases = ElementTree.parse(METAINFO).findall("releases/release")
    assert project["version"] == releases[0].get("version") == __version__


def test_the_menu_entry_starts_the_program() -> None:
    entry = ini("brimline.desktop")
    for section in entry.sections():
        assert accepted(entry[section]["Exec"]), section
    main = entry["Desktop Entry"]
    assert (main["Icon"], main["StartupWMClass"]) == ("brimline", "brimline")
    for action in filter(None, main["Actions"].split(";")):
        assert f"Desktop Action {action}" in entry
    assert ElementTree.parse(METAINFO).findtext("launchable") == "brimline.desktop"


@pytest.mark.skipif(not shutil.which("appstreamcli"), reason="appstreamcli is not installed")
def test_the_store_metadata_is_valid() -> None:
    words = ["appstreamcli", "validate", "--no-net", str(METAINFO)]
    assert subprocess.run(words, capture_output=True).returncode == 0


def test_the_service_serves_and_may_drain() -> None:
    service = ini("brimline.service")["Service"]
    assert service["ExecStart"] == "/usr/bin/brimline serve"
    assert int(service["TimeoutStopSec"]) > 30, "the drain of server.runtime"
    # Wrong usage and a busy port do not get better by themselves.
    assert service["RestartPreventExitStatus"].split() == ["2", "3"]


def test_the_launch_agent_is_what_autostart_writes() -> None:
    shipped = plistlib.loads((PACKAGING / "macos" / "dev.brimline.plist").read_bytes())
    written = plistlib.loads(autostart.launch_agent(shipped["ProgramArguments"]).encode())
    assert shipped == written


def test_the_image_serves_on_its_volumes() -> None:
    text = (PACKAGING / "docker" / "Dockerfile").read_text()
    assert f"EXPOSE {DEFAULT_PORT} 1455" in text
    assert 'VOLUME ["/data", "/keys"]' in text
    assert "USER brimline" in text
    for source in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.M):
        for name in source.split():
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize(
    ("system", "kind", "icon", "backend"),
    [
        pytest.param("darwin", "bundle", "ICNS", "pystray._darwin", id="macOS"),
        pytest.param("win32", "file", "ICO", "pystray._win32", id="Windows"),
    ],
)
def test_the_recipe_holds_for_other_systems(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    kind: str,
    icon: str,
    backend: str,
) -> None:
    """PyInstaller itself builds only for the system it runs on; its recipe is followed here."""
    for name in ("server", "desktop"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "ui" / "dist").mkdir(parents=True)
    (tmp_path / "ui" / "dist" / "index.html").touch()
    said: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def part(name: str) -> Any:
        def note(*words: Any, **options: Any) -> Any:
            said[name] = words, options
            return SimpleNamespace(pure=[], scripts=[], binaries=[], datas=[])

        return note

    names = ("Analysis", "PYZ", "EXE", "COLLECT", "BUNDLE")
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = (ROOT / "build.spec").read_text()
    exec(spec, {"SPECPATH": str(tmp_path), **{name: part(name) for name in names}})  # noqa: S102
    made = Path(said["EXE"][1]["icon"])
    with Image.open(made) as picture:
        assert (picture.format, max(picture.size) >= 256) == (icon, True)
    hidden = said["Analysis"][1]["hiddenimports"]
    assert backend in hidden
    assert not [name for name in hidden if "gtk" in name or "xorg" in name]
    carried = {target for _, target in said["Analysis"][1]["datas"]}
    assert {"ui/dist", "server/usage", "server/proxy"} <= carried
    assert ("BUNDLE" in said) == (kind == "bundle")
    if kind == "bundle":
        options = said["BUNDLE"][1]
        assert (options["version"], options["info_plist"]["LSUIElement"]) == (__version__, True)
        plistlib.dumps(options["info_plist"])


def test_no_library_of_the_building_machine_goes_into_the_image() -> None:
    left_out = (ROOT / ".dockerignore").read_text().split()
    assert {"**/*.so", "**/node_modules", "ui/dist", ".venv"} <= set(left_out)


def test_the_package_carries_what_there_is() -> None:
    script = (PACKAGING / "linux" / "deb.sh").read_text()
    for name in re.findall(r"^put \d+ (\S+)", script, re.M):
        assert name.startswith("dist/") or (ROOT / name).is_file(), name


def skill() -> tuple[dict[str, str], str]:
    _, head, body = (SKILL / "SKILL.md").read_text().split("---\n", 2)
    return dict(line.split(": ", 1) for line in head.splitlines()), body


def test_the_skill_can_be_found() -> None:
    head, _ = skill()
    assert set(head) == {"name", "description"}
    assert re.fullmatch(r"[a-z0-9-]{1,64}", head["name"])
    assert len(head["description"]) <= 1024
    assert not set("<>") & set(head["description"])


def test_the_skill_is_presented() -> None:
    # Two levels of `key: "value"`, which is all that Codex asks for; no YAML reader is needed.
    said: dict[str, Any] = {}
    for line in (SKILL / "agents" / "openai.yaml").read_text().splitlines():
        key, _, value = line.strip().partition(":")
        said[key] = value.strip().strip('"')
    assert 25 <= len(said["short_description"]) <= 64
    assert f"${skill()[0]['name']}" in said["default_prompt"]


def test_the_skill_names_commands_that_exist() -> None:
    commands = set(re.findall(r"`(brimline [^`]+)`", skill()[1]))
    assert len(commands) > 4
    assert [line for line in commands if not accepted(line)] == []
