"""The command line: words, names, exit codes; with a server and without one."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from desktop import cli
from desktop.commands import accounts, figures, terminal
from server import __version__
from server.config import Config
from server.errors import AppError
from server.store.lock import Lock
from tests import upstream
from tests.commandline import Brimline
from tests.rollouts import Tree

COMMANDS = [
    "tray", "serve", "window", "demo", "status", "guard", "scan", "accounts", "pause", "resume",
    "autostart", "selftest", "version", "connect", "disconnect", "doctor",
]  # fmt: skip
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[upstream.Provider]:
    """The provider, and an environment that points at it."""
    with upstream.Provider() as found:
        now = int(time.time())
        found.usage = {
            "plan_type": "plus",
            "rate_limit": {
                "primary_window": {
                    "used_percent": 29,
                    "limit_window_seconds": 18000,
                    "reset_at": now + 7500,
                },
                "secondary_window": {
                    "used_percent": 52,
                    "limit_window_seconds": 604800,
                    "reset_at": now + 300000,
                },
            },
        }
        monkeypatch.setenv("BRIMLINE_UPSTREAM_BASE_URL", found.url)
        monkeypatch.setenv("BRIMLINE_AUTH_BASE_URL", found.auth_url)
        yield found


@pytest.fixture
def brimline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Brimline:
    return Brimline(tmp_path, capsys)


@pytest.fixture
def server(tmp_path: Path, provider: upstream.Provider) -> Iterator[None]:
    """A real server on the same data folder."""
    words = [sys.executable, "-m", "desktop", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*words, "--data-dir", str(tmp_path / "data")], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().startswith(b"Brimline is ready")
        yield
        process.terminate()
    assert process.wait(60) == 0


# --- Words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert f"examples:\n  brimline {command}" in said
    assert "--data-dir" in said
    assert "exit codes:" in said


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["dance"], id="no such command"),
        pytest.param(["pause"], id="whom?"),
        pytest.param(["pause", "work", "--all"], id="one or all"),
        pytest.param(["pause", "work", "--for", "soon"], id="no duration"),
        pytest.param(["pause", "work", "--for", "1h", "--until-reset"], id="two ends"),
        pytest.param(["tray", "--refresh", "0"], id="a busy loop"),
        pytest.param(["autostart", "maybe"], id="no such state"),
        pytest.param(["accounts", "import"], id="which file?"),
    ],
)
def test_wrong_words_are_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        pytest.param("45m", 45, id="minutes"),
        pytest.param("2h", 120, id="hours"),
        pytest.param("1h30m", 90, id="both"),
        pytest.param("1d", 1440, id="a day"),
        pytest.param("1D2H", 1560, id="capitals"),
    ],
)
def test_duration(text: str, minutes: int) -> None:
    assert accounts.duration(text) == minutes * 60_000


@pytest.mark.parametrize("text", ["", "0m", "h", "5", "-1h", "1h 30m x", "999d9999h"])
def test_no_duration(text: str) -> None:
    with pytest.raises(Exception, match="45m, 2h"):
        accounts.duration(text)


ACCOUNTS: list[dict[str, Any]] = [
    {"accountId": "a1", "alias": "Work", "email": "me@work.example"},
    {"accountId": "a2", "alias": None, "displayName": "me@home", "email": "me@home.example"},
    {"accountId": "b3", "alias": None, "email": "work2@x.example"},
]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("work", "a1", id="a whole label beats the beginning of another"),
        pytest.param("WORK2", "b3", id="capitals do not matter"),
        pytest.param("me@h", "a2", id="a unique beginning"),
        pytest.param("a2", "a2", id="an id"),
        pytest.param("me@work.example", "a1", id="an e-mail"),
    ],
)
def test_match(name: str, found: str) -> None:
    assert accounts.match(name, ACCOUNTS)["accountId"] == found


def test_match_takes_what_is_shown_before_an_e_mail_that_two_have() -> None:
    named = {"accountId": "a1", "alias": "Work", "displayName": "Work", "email": "ada@example.com"}
    plain = {"accountId": "a2", "displayName": "ada@example.com", "email": "ada@example.com"}
    assert accounts.match("ADA@example.com", [named, plain]) is plain
    assert accounts.match("work", [named, plain]) is named


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        pytest.param("me", r"fits several accounts: Work \(a1\), me@home \(a2\)", id="ambiguous"),
        pytest.param("nobody", "Accounts: Work, me@home, work2@x.example", id="unknown"),
        pytest.param("", "There is no account", id="empty fits nobody"),
    ],
)
def test_no_match(name: str, sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        accounts.match(name, ACCOUNTS)


# --- Without a server -----------------------------------------------------------------------------


def test_version(brimline: Brimline) -> None:
    assert brimline("version") == f"brimline {__version__}\n"


def test_a_setting_nobody_reads_is_reported(
    brimline: Brimline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIMLINE_COLOUR", "teal")
    brimline("version")
    assert "BRIMLINE_COLOUR is set" in brimline.error


def test_status_without_anything(brimline: Brimline) -> None:
    said = json.loads(brimline("status", "--json", code=69))
    assert said["running"] is False
    assert said["pool"] is None
    assert "brimline serve" in brimline.error
    assert not (brimline.folder / "data").exists()


def test_accounts_without_a_server(brimline: Brimline, provider: upstream.Provider) -> None:
    assert "No account yet" in brimline("accounts")
    files = [brimline.auth_json("work"), brimline.auth_json("home")]
    assert "Imported work@example.com" in brimline("accounts", "import", *files)
    listed = json.loads(brimline("accounts", "--json"))["accounts"]
    assert [account["email"] for account in listed] == ["home@example.com", "work@example.com"]
    assert "5 h 71% · week 48%" in brimline("accounts")

    def hidden(*strict: str) -> None:
        for way in (["accounts"], ["accounts", "--json"], ["status"], ["status", "--json"]):
            told = brimline(*strict, *way, code=69 if "status" in way else 0)
            assert "@example.com" not in told and "account " in told

    hidden("--privacy-mode", "strict")

    assert brimline("pause", "wo", "--for", "1h").startswith("Paused work")
    said = json.loads(brimline("status", "--json", code=69))
    states = {account["name"].split("@")[0]: account["status"] for account in said["accounts"]}
    assert states == {"home": "active", "work": "paused"}
    assert "paused until" in brimline("status", code=69)

    assert brimline("pause", "home", "--until-reset").startswith("Paused home")
    assert brimline("resume", "--all").count("Resumed") == 2
    assert "Nothing to do" in brimline("resume", "--all")
    assert brimline.json("resume", "--all") == {"accounts": []}
    (paused,) = brimline.json("pause", "home", "--for", "1h")["accounts"]
    assert (paused["name"], paused["status"]) == ("home@example.com", "paused")
    assert paused["pausedUntil"].endswith("Z")
    (resumed,) = brimline.json("resume", "home")["accounts"]
    assert (resumed["status"], resumed["pausedUntil"]) == ("active", None)


def test_an_import_that_fails_says_which(brimline: Brimline, provider: upstream.Provider) -> None:
    broken = brimline.folder / "broken.json"
    broken.write_text("{")
    words = [str(broken), str(brimline.folder / "missing.json"), brimline.auth_json("work")]
    said = json.loads(brimline("accounts", "import", "--json", *words, code=1))
    assert [one["email"] for one in said["imported"]] == ["work@example.com"]
    assert [one["code"] for one in said["failed"]] == ["invalid_auth_json", "unreadable"]
    assert "missing.json: It cannot be read" in brimline.error


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are none")
def test_an_import_from_a_pipe(
    brimline: Brimline, provider: upstream.Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = brimline.folder / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(accounts, "_PIPE_SECONDS", 0.1)
    brimline("accounts", "import", str(pipe), code=1)
    assert "nobody writes to" in brimline.error
    monkeypatch.setattr(accounts, "_PIPE_SECONDS", 60)
    sign_in = brimline.auth_json("work")
    with subprocess.Popen(["/bin/sh", "-c", 'cat "$0" > "$1"', sign_in, str(pipe)]):
        assert "work@example.com" in brimline("accounts", "import", str(pipe))


def test_a_folder_that_someone_holds_is_left_alone(
    brimline: Brimline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_WAIT_SECONDS", 0.5)
    (brimline.folder / "data").mkdir()
    (brimline.folder / "data" / "usage.db").touch()
    lock = Lock(brimline.folder / "data" / "serve.lock")
    assert lock.acquire()
    brimline("pause", "--all", code=69)
    assert "does not answer" in brimline.error
    brimline("scan", code=69)
    assert "waiting for it" in brimline.error and "does not answer" in brimline.error
    lock.release()


def test_scans_wait_for_who_has_the_folder_and_for_each_other(tmp_path: Path) -> None:
    home = tmp_path / "codex"
    tree = Tree(home, seed=2, body=30)
    tree.grow(4)
    data = tmp_path / "data"
    lock = Lock(data / "serve.lock")
    assert lock.acquire()
    words = [sys.executable, "-m", "desktop", "scan", "--json", "--data-dir", str(data)]
    env = {**os.environ, "BRIMLINE_CODEX_HOME": str(home)}
    scans = [
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env
        )
        for _ in range(3)
    ]
    for scan in scans:
        assert scan.stderr is not None and "waiting for it" in scan.stderr.readline()
    lock.release()
    said = [scan.communicate(timeout=120) for scan in scans]
    for scan, (answer, error) in zip(scans, said, strict=True):
        assert (scan.returncode, error) == (0, "")
        assert json.loads(answer)["calls"] == tree.sums[0]


def test_a_scan_beside_a_starting_server_asks_it(
    brimline: Brimline, server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = terminal.client_of
    found: list[object] = []

    def starting(settings: Config) -> Any:
        found.append(asked(settings) if found else None)  # at first it has the lock, and no more
        return found[-1]

    monkeypatch.setattr(figures, "client_of", starting)
    assert "calls" in brimline.json("scan")
    assert len(found) == 2 and "waiting for it" in brimline.error


def test_scan_prints_the_contract(
    brimline: Brimline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIMLINE_CODEX_HOME", str(tmp_path / "codex"))
    said = json.loads(brimline("scan", "--json"))
    assert list(said) == [
        "files", "calls", "tokens", "skippedLines", "seconds", "claude", "quality",
    ]  # fmt: skip
    assert list(said["tokens"]) == [
        "input", "cachedInput", "output", "reasoningOutput", "total",
    ]  # fmt: skip
    assert "0 calls in 0 files" in brimline("scan")


@pytest.mark.parametrize("words", [["status"], ["scan"], ["version"], ["autostart", "status"]])
def test_quick_commands_do_not_load_the_server(words: list[str], tmp_path: Path) -> None:
    script = (
        "import sys; from desktop import cli; cli.main(sys.argv[1:]); "
        "print(sorted({'flask', 'waitress', 'requests', 'pystray', 'gi'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", script, *words, "--data-dir", str(tmp_path)]
    loaded = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    assert loaded.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "desktop", "version"]
    ended = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, cwd=ROOT)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
def test_no_screen_is_said_in_one_line(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    words = [sys.executable, "-m", "desktop", "tray", "--data-dir", str(tmp_path)]
    ended = subprocess.run(words, env=env, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 4
    assert ended.stderr.startswith("brimline: no tray here: there is no display")
    assert ended.stderr.count("\n") == 1


def test_selftest_names_what_is_missing(
    brimline: Brimline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    cli.main(["selftest", "--json"])
    said: dict[str, Any] = json.loads(brimline._capsys.readouterr().out)
    checks = {check["name"]: check for check in said["checks"]}
    assert checks["program parts"]["ok"]
    assert checks["icon"]["ok"]
    assert not checks["tray"]["ok"]
    assert "display" in checks["tray"]["detail"]
    assert said["ok"] is checks["pages"]["ok"]  # nothing else that every role needs is missing


@pytest.mark.parametrize("state", ["sign_in_needed", "deactivated"])
def test_resume_says_that_a_sign_in_is_needed(
    brimline: Brimline, tmp_path: Path, state: str
) -> None:
    brimline("accounts", "import", brimline.auth_json("work"))
    with closing(sqlite3.connect(tmp_path / "data" / "usage.db")) as known, known:
        known.execute("update account set status = ?", (state,))
    assert "Resumed" not in brimline("resume", "work", code=1)
    assert "work@example.com needs a new sign-in" in brimline.error
    assert "Nothing to do" in brimline("resume", "--all")


def test_resume_all_says_who_is_still_blocked(brimline: Brimline, tmp_path: Path) -> None:
    brimline("accounts", "import", brimline.auth_json("work"), brimline.auth_json("home"))
    with closing(sqlite3.connect(tmp_path / "data" / "usage.db")) as known, known:
        known.execute(
            "update account set status = 'quota_exceeded', status_reason = 'Its month is used up.',"
            " blocked_until = ? where email like 'work%'",
            (int(time.time() * 1000) + 3_600_000,),
        )
    assert brimline("pause", "--all").count("Paused") == 2
    said = brimline("resume", "--all").splitlines()
    assert said[0] == "Resumed home@example.com."
    assert said[1].startswith("Resumed work@example.com. It is blocked until ")
    assert said[1].endswith(": Its month is used up.")
    states = {one["email"]: one["status"] for one in brimline.json("accounts")["accounts"]}
    assert states == {"home@example.com": "active", "work@example.com": "quota_exceeded"}
    brimline("pause", "--all")
    told = brimline.json("resume", "--all")["accounts"]
    assert [one["status"] for one in told] == ["active", "quota_exceeded"]


# --- With a server --------------------------------------------------------------------------------


def test_the_verbs_go_through_the_server(brimline: Brimline, server: None) -> None:
    assert "Imported work" in brimline("accounts", "import", brimline.auth_json("work"))
    said = json.loads(brimline("status", "--json"))
    assert said["running"] is True
    assert [account["status"] for account in said["accounts"]] == ["active"]
    assert "week 48%" in brimline("status")
    assert brimline("pause", "work", "--until-reset").startswith("Paused work")
    assert json.loads(brimline("accounts", "--json"))["accounts"][0]["status"] == "paused"
    assert brimline("resume", "work").startswith("Resumed work")
    assert brimline("pause", "--all").startswith("Paused work")
    brimline("pause", "nobody", code=1)
    assert "There is no account “nobody”" in brimline.error
    assert list(json.loads(brimline("scan", "--json"))) == [
        "files", "calls", "tokens", "skippedLines", "seconds", "claude", "quality",
    ]  # fmt: skip


def test_a_broken_file_is_refused_by_the_server(brimline: Brimline, server: None) -> None:
    broken = brimline.folder / "broken.json"
    broken.write_text("[]")
    brimline("accounts", "import", str(broken), code=1)
    assert brimline.error.startswith("brimline: ")
    assert "broken.json" in brimline.error
