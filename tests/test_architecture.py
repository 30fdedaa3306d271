"""Which room may import which, and what a pure module may not touch (docs/ARCHITECTURE.md)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "store": {"config", "errors", "sentences", "times", "store"},
    "accounts": {"config", "errors", "sentences", "times", "store", "accounts"},
    "auth": {"config", "errors", "sentences", "times", "store", "auth"},
    "usage": {"errors", "sentences", "times", "store", "usage"},
    "ingest": {"config", "errors", "times", "store", "accounts.windows", "usage", "ingest"},
    "proxy": {
        "config",
        "errors",
        "sentences",
        "times",
        "store",
        "accounts",
        "auth.keys",
        "usage.pricing",
        "ingest.reconcile",
        "ingest.redact",
        "ingest.ledger",
        "proxy",
    },
    "dashboard": {
        "config",
        "errors",
        "sentences",
        "times",
        "store",
        "accounts",
        "auth",
        "proxy",
        "ingest",
        "usage",
        "dashboard",
        "",  # the version
    },
}
PURE = [
    "server/auth/limits.py",
    "server/sentences.py",
    "server/times.py",
    "server/clients.py",
    "server/doctor.py",
    "server/jsonc.py",
    "server/accounts/allowance.py",
    "server/accounts/states.py",
    "server/accounts/windows.py",
    "server/lazy.py",
    "server/shortjson.py",
    "server/proxy/balance.py",
    "server/proxy/policy.py",
    "server/proxy/sse.py",
    "server/proxy/wire.py",
    "server/proxy/headers.py",
    "server/proxy/translate.py",
    "server/proxy/chat.py",
    "server/ingest/codex.py",
    "server/ingest/heads.py",
    "server/ingest/lines.py",
    "server/ingest/claude.py",
    "server/ingest/reconcile.py",
    "server/ingest/match.py",
    "server/ingest/redact.py",
    "server/ingest/connect.py",
    "server/ingest/otlp.py",
    "server/ingest/facts.py",
    "server/ingest/shell.py",
    "server/usage/outcomes.py",
    "server/usage/vcs.py",
    "server/usage/histogram.py",
    "server/usage/attention.py",
    "server/usage/allowance_copy.py",
    "server/usage/pricing.py",
    "server/usage/privacy.py",
    "server/usage/recommendations.py",
    "server/usage/roots.py",
    "server/usage/deltas.py",
    "server/usage/afresh.py",
    "server/ingest/entries.py",
    "desktop/display.py",
    "desktop/icon.py",
    "desktop/alerts.py",
]
EFFECTS = {
    "asyncio", "flask", "os", "pathlib", "peewee", "requests", "socket", "sqlite3",
    "subprocess", "threading", "time", "urllib3",
}  # fmt: skip
MAY_IMPORT_FLASK = ("server/app.py", "server/dashboard/", "server/ingest/receiver.py")


def imports(path: Path) -> set[str]:
    """Every module a file imports, those under `if TYPE_CHECKING` left out."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module.startswith("server"):
                found.update(f"{node.module}.{name.name}" for name in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    for path in python_files(f"server/{room}"):
        for name in imports(path):
            if not name.startswith("server."):
                continue
            inner = name.removeprefix("server.")
            allowed = any(inner == ok or inner.startswith(f"{ok}.") for ok in ROOMS[room] if ok)
            is_room = inner.split(".")[0] in {*ROOMS, "app", "runtime"}
            assert allowed or not is_room or inner in ROOMS, f"{path.name} imports {name}"


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_touch_nothing(name: str) -> None:
    path = ROOT / name
    roots = {module.split(".")[0] for module in imports(path)}
    assert roots & EFFECTS == set()
    reads_clock = [
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("now", "utcnow", "today")
    ]
    assert reads_clock == []
    known = set(sys.stdlib_module_names) | {
        "server",
        "orjson",
        "msgspec",
        "stringzilla",
        "PIL",
        "google",
        "opentelemetry",
    }
    assert roots - known - {"desktop", "__future__"} == set()


def test_flask_stays_at_the_edge() -> None:
    for path in python_files("server"):
        relative = path.relative_to(ROOT).as_posix()
        if "flask" in {name.split(".")[0] for name in imports(path)}:
            assert relative.startswith(MAY_IMPORT_FLASK), relative


# Without a server the command line opens the data folder itself, under the server's lock.
WITHOUT_A_SERVER = {
    "cli.py": ("server.ingest",),
    "roles.py": ("server.runtime", "server.store.settings"),
    "figures.py": ("server.ingest",),
    "quick.py": ("server.ingest",),
    "offline.py": ("server.store", "server.accounts"),
    "offline_api.py": ("server.app", "server.store", "server.ingest"),
    "otherfiles.py": ("server.ingest",),
    "reports.py": ("server.ingest",),
    "connecting.py": ("server.clients", "server.clientfiles", "server.doctor"),
    "logs.py": ("server.store", "server.ingest"),
    "selftest.py": ("server.app",),
    "awaypage.py": ("server.words",),
    "bringover.py": ("server.app", "server.store"),
    "demo.py": (
        "server.store",
        "server.accounts",
        "server.ingest",
        "server.proxy",
        "server.auth",
        "server.usage",
    ),
}


def test_the_desktop_talks_to_the_server_only_by_http() -> None:
    shared = (
        "server.config", "server.errors", "server.lazy", "server.ownlog", "server.shortjson",
        "server.store.lock", "server.__version__",
    )  # fmt: skip
    for path in python_files("desktop"):
        allowed = (*shared, *WITHOUT_A_SERVER.get(path.name, ()))
        for name in imports(path):
            if name.startswith("server."):
                fits = name == "server.store" or name.startswith(allowed)
                assert fits, f"{path.name} imports {name}"


def test_rooms_have_no_sub_folders_and_say_what_they_are() -> None:
    for room in ROOMS:
        folder = ROOT / "server" / room
        assert [p.name for p in folder.iterdir() if p.is_dir() and p.name != "__pycache__"] == []
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def test_nothing_reads_the_founders_folder_or_names_a_machine() -> None:
    bad = ("../" + "shared", "/wo" + "rk/", "/ro" + "ot/")
    for folder in ("server", "desktop", "packaging", "tests", "docs", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".toml", ".sh"} and "node_modules" not in path.parts:
                text = path.read_text(errors="replace")
                assert not [word for word in bad if word in text], path
