"""Make this machine ready for Brimline, then run it or test it.

    python packaging/bootstrap.py setup              system packages, .venv, the web page
    python packaging/bootstrap.py run [args...]      the same, then Brimline
    python packaging/bootstrap.py test [args...]     the same, then every check; args go to pytest
    python packaging/bootstrap.py binary [--test]    the same, then the one-file program in dist/

It needs Python 3.11 and the package registries, nothing else. What is already in place is left
alone: each step keeps a stamp, a hash of what went into it, in .venv/stamps.json.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
UI = ROOT / "ui"
CLIENTS = ROOT / "tests" / "clients"
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOG = ROOT / "build" / "setup.log"
LINES = ROOT / "server" / "ingest" / "usual.c"

PYTHON_MINIMUM = (3, 11)
# Vite 8 asks for 20.19.
NODE_MINIMUM = (20, 19)

# Debian's names. The first two are what the tray and the window need while they run, the others
# build PyGObject, which has no wheel for Linux.
DESKTOP_PACKAGES = (
    "gir1.2-ayatanaappindicator3-0.1",
    "gir1.2-webkit2-4.1",
    "libgirepository1.0-dev",
    "libcairo2-dev",
    "pkg-config",
    "gcc",
)
TEST_PACKAGES = (
    "xvfb",
    "xauth",
    "xdotool",
    "openbox",
    "dbus-daemon",
    "dbus-x11",
    "procps",
    "chromium",
    "imagemagick",
)

# No wheel on the index, so pip builds these; everything else must be a wheel.
SOURCE_ONLY = ("proxy-tools",)
DESKTOP_LOCK = "linux-desktop.lock"
DESKTOP_SOURCE = ("pycairo", "pygobject")

# Named, because collecting every test takes longer than running these.
PACKAGED_TESTS = (
    "tests/test_tray.py",
    "tests/test_packaged.py",
    "tests/test_webview.py",
    "tests/test_ui_snapshot.py",
)

# Two processes where there are two cores; ARGS="-n 0" has one, and so has ARGS=--pdb.
# `tests/conftest.py` says what goes together and what begins.
SPREAD = ("-n", "auto", "--maxprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder")

NOT_UI_SOURCE = frozenset({"node_modules", "dist", "coverage", ".vite"})


class SetUpError(Exception):
    """A step that cannot go on; the message says what to do next."""


# --- Rules: values in, values out ---------------------------------------------------------------


def node_version(printed: str) -> tuple[int, int, int] | None:
    """Read what `node --version` printed; None when it is not a version."""
    match = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)\S*", printed.strip())
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def node_serves(printed: str) -> bool:
    """Whether that Node.js is new enough to build the web page."""
    version = node_version(printed)
    return version is not None and version >= NODE_MINIMUM


def missing_packages(wanted: Iterable[str], listing: str) -> list[str]:
    """Packages of `wanted` that a `name status` listing of dpkg does not call installed."""
    installed = {
        name
        for name, _, status in (line.partition(" ") for line in listing.splitlines())
        if status.strip() == "installed"
    }
    return [name for name in wanted if name not in installed]


def wanted_packages(*, tests: bool, ensurepip: bool, headers: bool) -> list[str]:
    """Debian packages this set-up needs, given what the interpreter already has."""
    release = f"python3.{sys.version_info.minor}"
    return [
        *DESKTOP_PACKAGES,
        *([] if ensurepip else [f"{release}-venv"]),
        *([] if headers else [f"{release}-dev"]),
        *(TEST_PACKAGES if tests else ()),
    ]


def apt_advice(missing: Sequence[str]) -> str:
    """The line for someone whose apt we may not use."""
    return "sudo apt-get install --no-install-recommends " + " ".join(missing)


def lock_entries(lock: str) -> dict[str, str]:
    """Split a lock file into its requirements: name to text, hashes included."""
    entries: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if line.lstrip().startswith("#"):
            continue
        if not line.startswith((" ", "\t")):
            name = re.split(r"[=\s;\[]", line, maxsplit=1)[0].lower()
        if name:
            entries[name] = entries.get(name, "") + line
    return entries


def command_text(python: str, root: str, packages: str) -> str:
    """The `brimline` command as a script; empty where its first line cannot name `python`."""
    if os.name != "posix" or " " in python or len(python) > 110:
        return ""
    return f"""#!{python} -S
import sys

sys.path[:0] = [{root!r}, {packages!r}]
from desktop.__main__ import main

sys.exit(main())
"""


def digest(paths: Iterable[Path], *values: str) -> str:
    """One hash over files (name and content) and values; a missing file counts as itself."""
    total = hashlib.sha256()
    for value in values:
        total.update(f"={value}\0".encode())
    for path in sorted(paths):
        content = path.read_bytes() if path.is_file() else b"(missing)"
        total.update(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}\0".encode())
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()


def sources(folder: Path) -> Iterator[Path]:
    """Every file below `folder` that goes into building the web page."""
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - NOT_UI_SOURCE)
        yield from (Path(base, name) for name in files if not name.endswith(".tsbuildinfo"))


def shortened(lines: Sequence[str]) -> list[str]:
    """The two ends of a long output: npm says what is wrong at the start, pip at the end."""
    if len(lines) <= 26:
        return list(lines)
    return [*lines[:8], f"… {len(lines) - 24} lines …", *lines[-16:]]


# --- Telling ------------------------------------------------------------------------------------


@dataclass
class Progress:
    """Numbered steps on the terminal, each with the time it took and the notes it left."""

    total: int
    number: int = 0
    title: str = ""
    began: float = 0.0
    notes: list[str] = field(default_factory=list)

    def step(self, title: str, action: Callable[[Progress], str]) -> None:
        """Run one step and print its outcome, a few words that `action` returns."""
        self.number += 1
        self.title, self.began = f"[{self.number}/{self.total}] {title}", time.monotonic()
        print(f"{self.title} … ", end="", flush=True)
        try:
            outcome = action(self)
        except BaseException:
            print("failed", flush=True)
            raise
        self.tick(final=f"{outcome} ({time.monotonic() - self.began:.1f} s)")
        while self.notes:
            print("      " + self.notes.pop(0).replace("\n", "\n      "), flush=True)

    def tick(self, final: str = "") -> None:
        """Show that the step is alive, where the line can be written again."""
        if sys.stdout.isatty():
            text = final or f"{time.monotonic() - self.began:.0f} s"
            print(f"\r\033[K{self.title} … {text}", end="\n" if final else "", flush=True)
        elif final:
            print(final, flush=True)

    def run(
        self,
        command: Sequence[str | Path],
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run a command with its output in the log; its last lines come back on failure."""
        words = [str(word) for word in command]
        with LOG.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(words)}\n")
            log.flush()
            start = log.tell()
            code = self._wait(
                subprocess.Popen(
                    words,
                    cwd=cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        if code:
            raise SetUpError(failure(words, code, start))

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        try:
            while True:
                try:
                    return process.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    self.tick()
        except BaseException:
            process.terminate()
            raise


def failure(words: Sequence[str], code: int, start: int) -> str:
    """What a failed command wrote, shortened, and what to do."""
    with LOG.open(encoding="utf-8", errors="replace") as log:
        log.seek(start)
        lines = shortened(log.read().splitlines())
    told = "\n".join(f"    {line}" for line in lines)
    return (
        f"{Path(words[0]).name} ended with code {code}:\n{told}\n"
        f"The whole log is {LOG}\n"
        "If the network was the reason, run the same command again: it goes on where it stopped."
    )


# --- Stamps -------------------------------------------------------------------------------------


def stamps() -> dict[str, str]:
    """What each finished step was made from."""
    try:
        found = json.loads((VENV / "stamps.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def fresh(name: str, made_from: str, *results: Path) -> bool:
    """Whether a step was already done with exactly this, and its results still exist."""
    return stamps().get(name) == made_from and all(path.exists() for path in results)


def stamp(name: str, made_from: str) -> None:
    """Note that a step is done."""
    text = json.dumps({**stamps(), name: made_from}, indent=1)
    VENV.mkdir(exist_ok=True)
    (VENV / "stamps.json").write_text(text, encoding="utf-8")


def once(name: str, made_from: str, action: Callable[[], str], *results: Path) -> str:
    """Do `action` unless it was done with exactly this; what it returns is the outcome."""
    if fresh(name, made_from, *results):
        return "up to date"
    # Whoever interrupts it leaves half a result, which must not pass for the earlier whole one.
    stamp(name, "")
    outcome = action()
    stamp(name, made_from)
    return outcome


# --- System packages ----------------------------------------------------------------------------


def apt_prefix() -> list[str] | None:
    """How to call apt-get here, or None where we may not."""
    if sys.platform == "win32":
        return None
    if os.environ.get("BRIMLINE_NO_APT") or not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0:
        return [sudo, "-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    return None


def has_ensurepip() -> bool:
    """Whether venv can bring pip; Debian's python3 leaves it to another package."""
    return importlib.util.find_spec("ensurepip") is not None


def has_headers() -> bool:
    """Whether this interpreter's C headers are installed."""
    return Path(sysconfig.get_path("include"), "Python.h").exists()


def installed_listing(packages: Sequence[str]) -> str:
    """What dpkg knows of these packages, one `name status` a line."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages]
    return subprocess.run(query, capture_output=True, text=True).stdout


def system_packages(progress: Progress, *, tests: bool) -> str:
    """Install the Debian packages that are missing, or say which they are."""
    wanted = wanted_packages(tests=tests, ensurepip=has_ensurepip(), headers=has_headers())
    if not shutil.which("dpkg-query"):
        progress.notes.append("Needed, under this system's names: " + " ".join(wanted))
        return "not Debian, so they are yours to install"
    missing = missing_packages(wanted, installed_listing(wanted))
    if not missing:
        return "up to date"
    apt = apt_prefix()
    if apt is None:
        progress.notes.append(f"Set-up goes on without them. To add them:\n{apt_advice(missing)}")
        return f"{len(missing)} missing, and apt asks for a password here"
    try:
        progress.run([*apt, "update"])
        progress.run([*apt, "install", "-y", "--no-install-recommends", *missing])
    except SetUpError as error:
        progress.notes.append(f"Set-up goes on without {' '.join(missing)}. {error}")
        return "apt-get failed"
    return f"installed {len(missing)}"


def tray_obstacle() -> str:
    """Why the tray's library cannot be built on this Linux; empty when it can."""
    if not shutil.which("pkg-config") or not (shutil.which("gcc") or shutil.which("cc")):
        return "pkg-config or a C compiler is missing"
    if not has_headers():
        return "Python's C headers are missing"
    for library in ("gobject-introspection-1.0", "cairo"):
        if subprocess.run(["pkg-config", "--exists", library]).returncode:
            return f"the headers of {library} are missing"
    return ""


# --- Python -------------------------------------------------------------------------------------


def interpreter() -> str:
    """What .venv depends on: another Python, machine or folder needs another .venv."""
    words = (sys.implementation.cache_tag, sys.base_prefix, platform.machine(), str(ROOT))
    return " ".join(map(str, words))


def pip(*arguments: str | Path) -> list[str | Path]:
    """The pip of .venv, quiet about itself."""
    common = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    return [PYTHON, "-m", "pip", "install", *common, *arguments]


def build_environment() -> dict[str, str]:
    """Our environment with the programs of .venv first, where builds find meson and ninja."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    # Node.js brings its own list of certificate authorities; a company's is in the system's.
    node = {"NODE_USE_SYSTEM_CA": "1", "npm_config_update_notifier": "false"}
    return {**node, **os.environ, "PATH": path}


def environment_step(_: Progress) -> str:
    """Create .venv, or create it anew for another interpreter."""
    return once("venv", interpreter(), create_environment, PYTHON)


def create_environment() -> str:
    """Make an empty .venv with pip."""
    if not has_ensurepip():
        package = f"python3.{sys.version_info.minor}-venv"
        raise SetUpError(
            f"Python's ensurepip is missing. Install it with\n    sudo apt-get install {package}"
        )
    venv.EnvBuilder(clear=True, with_pip=True, symlinks=os.name != "nt").create(VENV)
    return f"created for Python {platform.python_version()}"


def install(progress: Progress, entries: Mapping[str, str], source: Sequence[str] = ()) -> None:
    """Install locked requirements by hash: wheels, and from source only what is named."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "requirements.txt")
        lock.write_text("".join(entries.values()), encoding="utf-8")
        built = [f"--no-binary={name}" for name in source]
        # Builds see .venv, whose tools were locked by hash; an isolated one would fetch its own.
        progress.run(
            pip("--require-hashes", "--no-deps", "--only-binary=:all:", *built)
            + ["--no-build-isolation", "--use-pep517", "-r", lock],
            environment=build_environment(),
        )


def locked(name: str) -> dict[str, str]:
    """The requirements in one of our lock files."""
    return lock_entries((PACKAGING / name).read_text(encoding="utf-8"))


def lock_step(progress: Progress, name: str, source: Sequence[str] = ()) -> str:
    """Install one lock file: first its wheels, then, in order, what has to be built."""

    def install_all() -> str:
        entries = locked(name)
        built = {package: entries.pop(package) for package in source}
        install(progress, entries)
        for package, text in built.items():
            install(progress, {package: text}, source=[package])
        return "installed"

    return once(name, digest([PACKAGING / name], interpreter()), install_all)


def desktop_step(progress: Progress) -> str:
    """Build what draws the tray and the window on Linux, where it can be built."""
    obstacle = tray_obstacle()
    if obstacle:
        return f"left out, so the tray is off: {obstacle}"
    try:
        return lock_step(progress, DESKTOP_LOCK, source=DESKTOP_SOURCE)
    except SetUpError as error:
        progress.notes.append(str(error))
        return "could not be built, so the tray is off"


def project_step(progress: Progress) -> str:
    """Install Brimline itself, editable, which makes the `brimline` command."""

    def install_project() -> str:
        progress.run(pip("--no-deps", "--no-build-isolation", "--editable", ROOT))
        return "installed"

    outcome = once("project", digest([ROOT / "pyproject.toml"], interpreter()), install_project)
    # Where Python keeps no bytecode (PYTHONDONTWRITEBYTECODE), each start would compile every
    # module again, which doubles the time until the first answer. What is fresh is left alone.
    try:
        progress.run([PYTHON, "-m", "compileall", "-q", "server", "desktop"], cwd=ROOT)
        progress.run([PYTHON, "-m", "server.store.readymade"], cwd=ROOT)
    except SetUpError as error:
        progress.notes.append(str(error))
    return outcome


def command_step(_: Progress) -> str:
    """Let the command start without `site`, which reads every .pth file of .venv first.

    `desktop.__main__` makes up for that where more than a scan is asked for.
    """
    script = BIN / "brimline"
    packages = sysconfig.get_path("purelib", "venv", {"base": str(VENV)})
    text = command_text(str(PYTHON), str(ROOT), packages)
    if not text or not script.is_file():
        return "as pip made it"
    if script.read_text(encoding="utf-8") == text:
        return "up to date"
    new = script.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o755)
    new.replace(script)
    return "written"


def compiler() -> str | None:
    """A C compiler that takes cc's words; Windows' own does not."""
    return None if sys.platform == "win32" else shutil.which("cc") or shutil.which("gcc")


def compile_lines(target: Path) -> None:
    """Compile what reads usual log lines. Raises `SetUpError`, and then leaves no target."""
    cc = compiler()
    target.unlink(missing_ok=True)
    if cc is None or not has_headers():
        raise SetUpError("a C compiler or Python's C headers are missing")
    mac = ("-bundle", "-undefined", "dynamic_lookup")
    made = target.with_suffix(".new")  # a server that runs keeps the file it began with
    words = [
        *(cc, "-std=c11", "-O3", "-fPIC", "-pthread"),
        *(mac if sys.platform == "darwin" else ("-shared",)),
        *(f"-I{sysconfig.get_path('include')}", str(LINES), "-o", str(made)),
    ]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, errors="replace")
    if found.returncode != 0:
        made.unlink(missing_ok=True)
        raise SetUpError("\n".join(shortened(found.stderr.splitlines())))
    made.replace(target)


def compiled_step(progress: Progress) -> str:
    """Compile what makes scans quicker; Python does the same without it."""
    target = LINES.with_suffix(".abi3.so")

    def build() -> str:
        compile_lines(target)
        return "compiled"

    try:
        parts = [LINES, *sorted(LINES.parent.glob("*.h"))]
        return once("lines", digest(parts, interpreter(), str(compiler())), build, target)
    except SetUpError as error:
        progress.notes.append(str(error))
        return "left out, so scans are slower"


# --- Node.js and the web page -------------------------------------------------------------------


def own_node() -> str:
    """The version this machine's Node.js prints, empty when there is none with npm."""
    node = shutil.which("node")
    if not node or not shutil.which("npm"):
        return ""
    return subprocess.run([node, "--version"], capture_output=True, text=True).stdout


def node_step(progress: Progress) -> str:
    """Find a Node.js that serves, or put one into .venv."""
    printed = own_node()
    if node_serves(printed):
        return f"{printed.strip()} of this machine"
    outcome = lock_step(progress, "node.lock")
    return f"from PyPI ({outcome}), because this machine's is {printed.strip() or 'missing'}"


def npm(*arguments: str) -> list[str | Path]:
    """An npm command line, from .venv where the machine's Node.js is missing or too old."""
    path = None if node_serves(own_node()) else str(BIN)
    return [shutil.which("npm", path=path) or "npm", *arguments]


def npm_inputs(folder: Path) -> list[Path]:
    """The files that decide what `npm ci` installs."""
    return [folder / name for name in ("package.json", "package-lock.json", ".npmrc")]


def npm_step(progress: Progress, folder: Path) -> str:
    """Install a folder's locked npm packages."""

    def clean_install() -> str:
        quiet = ("--include=dev", "--no-audit", "--no-fund", "--loglevel=error")
        progress.run(npm("ci", *quiet), cwd=folder, environment=build_environment())
        return "installed"

    made_from = digest(npm_inputs(folder), platform.machine())
    name = folder.relative_to(ROOT).as_posix()
    return once(name, made_from, clean_install, folder / "node_modules")


def page_step(progress: Progress) -> str:
    """Build the web page into ui/dist."""

    def build() -> str:
        progress.run(npm("run", "build"), cwd=UI, environment=build_environment())
        return "built"

    return once("page", digest(sources(UI)), build, UI / "dist" / "index.html")


# --- Commands -----------------------------------------------------------------------------------


def set_up(*, tests: bool, build: bool = False) -> None:
    """Every step, in order; nothing is done twice."""
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text("", encoding="utf-8")
    linux = sys.platform.startswith("linux")
    steps: list[tuple[str, Callable[[Progress], str]]] = [
        ("Python environment", environment_step),
        ("Python packages", lambda p: lock_step(p, "runtime.lock", source=SOURCE_ONLY)),
        ("Brimline itself", project_step),
        ("Quick start", command_step),
        ("Quick scans", compiled_step),
        ("Node.js", node_step),
        ("Web packages", lambda p: npm_step(p, UI)),
        ("Web page", page_step),
    ]
    if linux:
        steps.insert(0, ("System packages", lambda p: system_packages(p, tests=tests)))
        steps.insert(3, ("Tray and window", desktop_step))
    if build and not tests:
        steps.append(("Build tools", lambda p: lock_step(p, "dev.lock")))
    if tests:
        steps.append(("Test tools", lambda p: lock_step(p, "dev.lock")))
        steps.append(("Test clients", lambda p: npm_step(p, CLIENTS)))
    progress = Progress(total=len(steps))
    for title, action in steps:
        progress.step(title, action)


def run(arguments: Sequence[str]) -> int:
    """Set up, then become Brimline: the tray where there is a desktop, else the server."""
    set_up(tests=False)
    words = [str(BIN / "brimline"), *arguments]
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(words[0], words)
    # Windows' exec would return to the terminal at once and leave Brimline behind it.
    return subprocess.call(words)


def checks(arguments: Sequence[str]) -> list[tuple[str, list[str | Path], Path]]:
    """What `test` runs, in order: a title, a command and its folder."""
    return [
        ("ruff check", [BIN / "ruff", "check"], ROOT),
        ("ruff format", [BIN / "ruff", "format", "--check"], ROOT),
        ("mypy", [BIN / "mypy"], ROOT),
        ("web page types", npm("run", "typecheck"), UI),
        ("web page tests", npm("test"), UI),
        ("pytest", [BIN / "pytest", *SPREAD, *arguments], ROOT),
    ]


def test(arguments: Sequence[str]) -> int:
    """Set up, then run every check; all of them run, and any failure counts."""
    set_up(tests=True)
    summary: list[str] = []
    failed = False
    for title, command, folder in checks(arguments):
        print(f"\n== {title} ==", flush=True)
        began = time.monotonic()
        words = [str(word) for word in command]
        code = subprocess.call(words, cwd=folder, env=build_environment(), stdin=subprocess.DEVNULL)
        failed = failed or code != 0
        outcome = "ok" if code == 0 else f"FAILED ({code})"
        summary.append(f"  {title:<16}{outcome:<12}{time.monotonic() - began:6.1f} s")
    print("\n" + "\n".join(summary))
    return 1 if failed else 0


def binary(arguments: Sequence[str]) -> int:
    """Set up, build the one-file program, try it; with --test run the desktop tests on it too."""
    tests = "--test" in arguments
    set_up(tests=tests, build=True)
    print("\nBuilding dist/brimline (about a minute) …", flush=True)
    environment = {
        **build_environment(),
        # The same sources in the same folder give the same file, byte for byte.
        "SOURCE_DATE_EPOCH": commit_time(),
        "PYTHONHASHSEED": "1",
    }
    words = [str(PYTHON), "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR", "build.spec"]
    if subprocess.call(words, cwd=ROOT, env=environment) != 0:
        raise SetUpError("PyInstaller failed; what it said stands above.")
    made = ROOT / "dist" / ("brimline.exe" if os.name == "nt" else "brimline")
    if made.is_dir():  # macOS: the bundle beside it is what people get
        made /= "brimline"
    if subprocess.call([made, "selftest"]) != 0:
        raise SetUpError("The binary does not pass its own test; see above.")
    total = hashlib.sha256(made.read_bytes()).hexdigest()
    (ROOT / "dist" / "SHA256SUMS").write_text(f"{total}  {made.name}\n", encoding="utf-8")
    print(f"\n{made.relative_to(ROOT)}  {made.stat().st_size / 1e6:.1f} MB  sha256 {total}")
    if not tests:
        return 0
    pytest = [str(BIN / "pytest"), "-q", "-m", "packaged", *PACKAGED_TESTS]
    return subprocess.call(pytest, cwd=ROOT, env={**build_environment(), "APP_CMD": str(made)})


def commit_time() -> str:
    """The seconds of the commit that is built; an archive without one counts as zip's first."""
    git = shutil.which("git")
    if git is not None:
        words = [git, "log", "-1", "--format=%ct"]
        found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.strip():
            return found.stdout.strip()
    return "315532800"


def parse(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command and what it passes on."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=("setup", "run", "test", "binary"))
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    found = parser.parse_args(arguments)
    return found.command, found.arguments


def main(arguments: Sequence[str]) -> int:
    """Run one command; the result is the exit code."""
    command, rest = parse(arguments)
    if sys.version_info[:2] < PYTHON_MINIMUM:
        print(f"Brimline needs Python 3.11 or newer; this is {platform.python_version()}.")
        print("With another one installed:  make setup PYTHON=python3.11")
        return 2
    try:
        if command == "run":
            return run(rest)
        if command == "test":
            return test(rest)
        if command == "binary":
            return binary(rest)
        set_up(tests=False)
    except SetUpError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
