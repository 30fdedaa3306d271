"""Lost and damaged databases, as real servers on real files meet them, kill -9 in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rollouts import Tree
from tests.test_kill import add_account
from tests.test_runtime import COMMAND, ROOT, Server, until
from tests.upstream import Provider

STOPS = {
    "aside": "from server.store import db; db._restore = die",
    "unmade": "from server.accounts.copies import Copies; Copies.rebuilt = die",
    "made": "from server.accounts.roster import Roster; Roster._remember = die",
}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


class Home:
    """A data folder, its key, and session logs, which servers come and go on."""

    def __init__(self, base: Path, provider: Provider, codex: Path) -> None:
        self.data, self.config = base / "data", base / "config"
        self.servers: list[Server] = []
        self.env = {
            "BRIMLINE_UPSTREAM_BASE_URL": provider.url,
            "BRIMLINE_AUTH_BASE_URL": provider.auth_url,
            "BRIMLINE_CODEX_HOME": str(codex),
            "XDG_CONFIG_HOME": str(self.config),
            "BRIMLINE_NO_KEYRING": "1",
        }

    def server(self, command: list[str] = COMMAND) -> Server:
        self.servers.append(Server(self.data, port=0, command=command, **self.env))
        return self.servers[-1]

    def die_at(self, stop: str) -> None:
        """A start that is killed at one point of the mending."""
        server = self.server(
            [
                sys.executable,
                "-c",
                "import os, signal\n"
                "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
                f"{STOPS[stop]}\n"
                "from desktop.__main__ import main; main()",
                "serve",
            ]
        )
        assert server.line == ""
        assert server.end() == -signal.SIGKILL

    def brimline(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "desktop", *words, "--data-dir", str(self.data)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **self.env},
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two accounts, one of them paused, and read logs; servers get copies of it."""
    base = tmp_path_factory.mktemp("lived-in")
    Tree(base / "codex", 1).grow(2)
    with Provider() as provider:
        server = Home(base, provider, base / "codex").server()
        try:
            for name in ("ada", "bob"):
                add_account(server, name)
            (bob,) = (a for a in accounts(server) if a["email"].startswith("bob"))
            post(server, f"/api/accounts/{bob['accountId']}/pause")
            until(lambda: server.get("/api/calls")[1]["total"])
        finally:
            server.end()  # the log beside usage.db is empty then: it could mend what we damage
    return base


@pytest.fixture
def home(lived_in: Path, tmp_path: Path, provider: Provider) -> Iterator[Home]:
    for name in ("data", "config"):
        shutil.copytree(lived_in / name, tmp_path / name)
    found = Home(tmp_path, provider, lived_in / "codex")
    yield found
    for server in found.servers:
        server.end(signal.SIGKILL)


def send(server: Server, method: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def ask(server: Server) -> None:
    """A request through the proxy, which must be served."""
    answer = send(server, "POST", "/v1/responses", {"model": "gpt-5.5", "input": "hi"})
    assert answer["status"] == "completed"


def accounts(server: Server) -> list[dict[str, Any]]:
    return list(server.get("/api/accounts")[1]["accounts"])


def post(server: Server, path: str) -> None:
    send(server, "POST", path, {})


def states(server: Server) -> dict[str, str]:
    return {each["email"].partition("@")[0]: each["status"] for each in accounts(server)}


def why(account: dict[str, Any]) -> str:
    return account["deactivationReason"] or account["usageError"] or ""


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(None, id="at once"),
        pytest.param("aside", id="killed when the damaged file was moved"),
        pytest.param("unmade", id="killed before the accounts were made again"),
        pytest.param("made", id="killed when the accounts were stored"),
    ],
)
def test_a_damaged_usage_db_costs_neither_accounts_nor_ledger(home: Home, stop: str | None) -> None:
    (home.data / "usage.db").write_bytes(b"not a database at all" * 999)
    if stop:
        home.die_at(stop)
    server = home.server()
    try:
        assert states(server) == {"ada": "active", "bob": "paused"}
        (notice,) = server.get("/api/live")[1]["notices"]
        (aside,) = home.data.glob("usage.db.corrupt-???????????????")
        assert str(aside) in notice and "delete the kept file" in notice
        until(lambda: server.get("/api/calls")[1]["total"])
        said = home.brimline("status")
        assert notice in said.stdout and "ada@example.com" in said.stdout
    finally:
        assert server.end() == 0
    assert json.loads(home.brimline("status", "--json").stdout)["notices"] == [notice]
    for part in home.data.glob("usage.db.corrupt-*"):
        part.unlink()
    server = home.server()
    try:
        assert server.get("/api/live")[1]["notices"] == []
        assert states(server) == {"ada": "active", "bob": "paused"}
    finally:
        assert server.end() == 0


def test_what_can_still_be_read_of_a_damaged_usage_db_is_taken_over(home: Home) -> None:
    server = home.server()
    try:
        for _ in range(3):
            ask(server)
        send(server, "PUT", "/api/settings", {"streamsPerAccount": 5})
        key = send(server, "POST", "/api/api-keys", {"name": "laptop"})
        until(lambda: server.get("/api/request-logs")[1]["total"] == 3)
    finally:
        assert server.end() == 0
    with sqlite3.connect(home.data / "usage.db") as opened:
        found = opened.execute("select rootpage from sqlite_master where name = 'account'")
        page, size = found.fetchone()[0], opened.execute("pragma page_size").fetchone()[0]
        opened.execute("insert into setting values ('privacyMode', '\"none of ours\"')")
    opened.close()
    with (home.data / "usage.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    server = home.server()
    try:
        assert "usage.db was damaged" in server.get("/api/live")[1]["notices"][0]
        assert states(server) == {"ada": "active", "bob": "paused"}
        assert server.get("/api/request-logs")[1]["total"] == 3
        assert server.get("/api/settings")[1]["streamsPerAccount"] == 5
        assert server.get("/api/settings")[1]["privacyMode"] == "normal"
        (kept,) = server.get("/api/api-keys")[1]
        assert (kept["id"], kept["name"]) == (key["id"], "laptop")
    finally:
        assert server.end() == 0


def test_damage_while_it_runs_is_said_and_the_proxy_goes_on(home: Home) -> None:
    server = home.server()
    try:
        until(lambda: server.get("/api/calls")[1]["total"])
        for name in ("usage.db", "usage.db-wal"):
            with (home.data / name).open("r+b") as file:
                file.write(b"\xff" * (home.data / name).stat().st_size)
        until(lambda: server.get("/api/request-logs")[0] == 507)
        _, said = server.get("/api/request-logs")
        assert "start it again" in said["error"]["message"]
        ask(server)
        until(lambda: any("start it again" in n for n in server.get("/api/live")[1]["notices"]))
        ask(server)
        assert server.end() == 0
        server = home.server()
        assert states(server) == {"ada": "active", "bob": "paused"}
        until(lambda: server.get("/api/request-logs")[1]["total"] >= 2)  # of before the start
        until(lambda: server.get("/api/calls")[1]["total"])
        ask(server)
    finally:
        assert server.end() == 0


def test_a_scan_that_meets_the_damage_first_keeps_the_sign_ins(home: Home) -> None:
    (home.data / "usage.db").write_bytes(b"not a database at all" * 999)
    assert home.brimline("scan", "--json").returncode == 0
    server = home.server()
    try:
        assert states(server) == {"ada": "active", "bob": "paused"}
        assert "usage.db was damaged" in server.get("/api/live")[1]["notices"][0]
    finally:
        assert server.end() == 0


def test_a_missing_usage_db_leaves_no_log_of_the_old_one_to_the_new(home: Home) -> None:
    killed = home.server()
    post(killed, "/api/accounts/pause-all")
    post(killed, "/api/accounts/resume-all")
    killed.end(signal.SIGKILL)
    (home.data / "usage.db").unlink()
    assert (home.data / "usage.db-wal").exists()  # of a server that was killed
    server = home.server()
    try:
        assert states(server) == {"ada": "active", "bob": "active"}
        assert "usage.db" in server.get("/api/live")[1]["notices"][0]
    finally:
        assert server.end() == 0


@pytest.mark.parametrize("lost", ["damaged", "missing"])
def test_without_secrets_db_every_account_asks_for_a_new_sign_in(home: Home, lost: str) -> None:
    for path in home.data.glob("secrets.db*"):
        path.unlink()
    if lost == "damaged":
        (home.data / "secrets.db").write_bytes(b"not a database at all" * 999)
    if lost == "missing":  # whoever meets it first says it
        said = home.brimline("accounts")
        assert "secrets.db, which holds the sign-ins, was missing" in said.stderr
        assert said.stdout.count("Its stored sign-in is lost") == 2
        for path in home.data.glob("secrets.db*"):
            path.unlink()
        with sqlite3.connect(home.data / "usage.db") as opened:
            opened.execute("update account set status = 'active', status_reason = null")
        opened.close()
    server = home.server()
    try:
        assert states(server) == {"ada": "sign_in_needed", "bob": "sign_in_needed"}
        for account in accounts(server):
            assert "secrets.db was damaged or missing" in account["deactivationReason"]
        (notice,) = server.get("/api/live")[1]["notices"]
        assert "Sign in to each account again" in notice
        server.end(signal.SIGKILL)
        server = home.server()
        assert states(server) == {"ada": "sign_in_needed", "bob": "sign_in_needed"}
        add_account(server, "ada")
        assert states(server)["ada"] == "active"
    finally:
        server.end()


def test_without_its_key_every_account_asks_for_a_new_sign_in_until_it_is_back(
    home: Home,
) -> None:
    (key,) = (home.config / "brimline" / "keys").iterdir()
    aside = key.rename(key.with_suffix(".away"))
    server = home.server()
    try:
        asked = {"ada": "sign_in_needed", "bob": "paused"}  # a pause outlasts it
        until(lambda: states(server) == asked)
        until(lambda: all(str(key.parent) in why(each) for each in accounts(server)))
        server.end(signal.SIGKILL)
        add_account(server := home.server(), "ada")  # with a new key
        assert states(server)["ada"] == "active"
        server.end(signal.SIGKILL)
        aside.rename(key)
        server = home.server()  # both keys open what they sealed
        until(lambda: [why(each) for each in accounts(server)] == ["", ""])
        assert states(server) == {"ada": "active", "bob": "paused"}
    finally:
        server.end()
