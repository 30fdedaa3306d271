"""Connecting clients through the pages' routes and the command line; the real Codex CLI follows."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from desktop import cli
from server.app import create_app
from server.config import Config
from server.store import db, settings
from tests.codexcli import Codex
from tests.serving import Served, serving, serving_with_telemetry
from tests.upstream import Provider, Received, Script, Stream, spoken

MINE = 'model = "gpt-5.5"\n\n[tui]\nanimations = false\n'


@pytest.fixture
def app(config: Config) -> Iterator[Flask]:
    yield create_app(config)
    db.close_databases()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def file_of(config: Config, text: str = MINE) -> Path:
    path = config.codex_home / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def state(client: FlaskClient, name: str) -> dict[str, Any]:
    found = client.get("/api/connect").get_json()["clients"]
    return next(each for each in found if each["id"] == name)


# --- The routes -----------------------------------------------------------------------------------


def test_all_clients_are_listed(client: FlaskClient, config: Config) -> None:
    file_of(config)
    found = client.get("/api/connect").get_json()
    assert found["address"] == "http://127.0.0.1:80"
    assert found["keysRequired"] is False
    assert 'OPENAI_BASE_URL="http://127.0.0.1:80/v1"' in found["environment"]
    states = {each["id"]: (each["found"], each["connected"], each["state"])
              for each in found["clients"]}  # fmt: skip
    assert states == {
        "codex": (True, False, "absent"),
        "telemetry": (True, False, "absent"),
        "opencode": (False, False, "missing"),
        "openclaw": (False, False, "missing"),
    }
    assert all(each["text"] and each["snippet"] for each in found["clients"])


@pytest.mark.parametrize("name", ["codex", "telemetry", "opencode", "openclaw"])
def test_a_preview_then_the_change_then_back(
    client: FlaskClient, config: Config, name: str
) -> None:
    path = file_of(config)
    seen = client.post(f"/api/connect/{name}/preview", json={}).get_json()
    assert seen["changes"] and seen["diff"].count("\n+") > 1
    assert path.read_text() == MINE
    done = client.post(f"/api/connect/{name}/apply", json={"seen": seen["seen"]}).get_json()
    assert done["written"] and done["diff"] == seen["diff"]
    assert done["status"]["connected"] and done["status"]["undoable"]
    if done["backup"]:
        assert stat.S_IMODE(Path(done["backup"]).stat().st_mode) == 0o600
        assert Path(done["backup"]).read_text() == MINE
    again = client.post(f"/api/connect/{name}/apply", json={}).get_json()
    assert (again["written"], again["changes"]) == (False, False)
    back = client.post(f"/api/connect/{name}/preview", json={"undo": True}).get_json()
    assert back["diff"].count("\n-") >= 1
    undone = client.post(f"/api/connect/{name}/undo", json={"seen": back["seen"]}).get_json()
    assert undone["written"] and not undone["status"]["connected"]
    assert path.read_text() == MINE


@pytest.mark.parametrize(
    ("path", "given", "status", "code"),
    [
        ("codex/apply", {"seen": "old"}, 409, "client_config_changed"),
        ("codex/apply", {"seen": 5}, 422, "validation_error"),
        ("codex/preview", {"undo": "yes"}, 422, "validation_error"),
        ("codex/preview", {"replace": 1}, 422, "validation_error"),
        ("codex/preview", {"style": ["provider"]}, 422, "validation_error"),
        ("codex/preview", [], 422, "validation_error"),
        ("emacs/preview", {}, 404, "not_found"),
        ("emacs/undo", {}, 404, "not_found"),
    ],
)
def test_bad_input_is_said(
    client: FlaskClient, config: Config, path: str, given: Any, status: int, code: str
) -> None:
    file = file_of(config)
    answer = client.post(f"/api/connect/{path}", json=given)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (status, code)
    assert file.read_text() == MINE


def test_another_value_is_kept_without_consent(client: FlaskClient, config: Config) -> None:
    path = file_of(config, 'openai_base_url = "https://eu.example.com/v1"\n')
    assert state(client, "codex")["state"] == "elsewhere"
    refused = client.post("/api/connect/codex/preview", json={})
    assert refused.status_code == 409
    assert refused.get_json()["error"]["code"] == "config_has_other_value"
    client.post("/api/connect/codex/apply", json={"replace": True})
    assert state(client, "codex")["state"] == "connected"
    client.post("/api/connect/codex/undo", json={})
    assert path.read_text() == 'openai_base_url = "https://eu.example.com/v1"\n'


def test_keys_that_are_asked_for_are_named(client: FlaskClient, config: Config) -> None:
    file_of(config)
    settings.change({"apiKeyAuthEnabled": True})
    found = client.post("/api/connect/codex/preview", json={}).get_json()
    assert '+env_key = "BRIMLINE_API_KEY"' in found["diff"]
    assert "make one on the API keys page" in found["text"]


def test_codex_own_troubles_are_told(client: FlaskClient, config: Config) -> None:
    file_of(config, 'chatgpt_base_url = "http://localhost:80/backend-api"\n')
    assert [each["code"] for each in state(client, "codex")["problems"]] == ["chatgpt_base_url"]


def test_the_demo_leaves_files_alone(
    client: FlaskClient, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(config)
    monkeypatch.setenv("BRIMLINE_DEMO", "1")
    assert client.post("/api/connect/codex/apply", json={}).get_json()["error"]["code"] == "demo"
    assert path.read_text() == MINE


def test_a_broken_file_is_told(client: FlaskClient, config: Config) -> None:
    file_of(config, "[")
    assert state(client, "codex")["state"] == "broken"
    answer = client.post("/api/connect/codex/apply", json={})
    assert answer.get_json()["error"]["code"] == "invalid_config_toml"


def test_a_locked_dashboard_locks_it(config: Config) -> None:
    app = create_app(replace(config, admin_token="t" * 32))
    assert app.test_client().get("/api/connect").status_code == 401
    assert app.test_client().post("/api/connect/codex/apply", json={}).status_code == 401
    db.close_databases()


# --- The command line -----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "codex"
    folder.mkdir()
    (folder / "config.toml").write_text(MINE)
    (folder / "auth.json").write_text('{"tokens": {}}')
    monkeypatch.setenv("CODEX_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.main(list(words))
    return code, capsys.readouterr().out


def test_commands_connect_and_come_back(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "config.toml"
    code, out = said(capsys, "connect", "codex", "--dry-run")
    assert (code, path.read_text()) == (0, MINE)
    assert '+openai_base_url = "http://127.0.0.1:2455/v1"' in out
    for client in ("codex", "telemetry", "opencode", "openclaw"):
        assert said(capsys, "connect", client, "--yes")[0] == 0
    listed = json.loads(said(capsys, "connect", "--json")[1])["clients"]
    assert [each["state"] for each in listed] == ["connected"] * 4
    for client in ("codex", "telemetry", "opencode", "openclaw"):
        assert said(capsys, "disconnect", client)[0] == 0  # nobody to ask: the command is the wish
    assert path.read_text() == MINE
    assert "OPENAI_BASE_URL" in said(capsys, "connect", "openai")[1]


def test_what_still_leads_past_us_is_said_after_connecting(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = 'chatgpt_base_url = "http://127.0.0.1:2455/backend-api"\n'
    (home / "config.toml").write_text(address)
    code, out = said(capsys, "connect", "codex")
    assert code == 0
    assert "Codex' requests do not reach Brimline yet:" in out
    assert "→ Remove chatgpt_base_url from" in out
    code, out = said(capsys, "connect", "codex", "--json")
    assert [each["code"] for each in json.loads(out)["problems"]] == ["chatgpt_base_url"]
    (home / "config.toml").write_text(MINE)
    assert "do not reach" not in said(capsys, "connect", "codex")[1]


def test_all_are_disconnected_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for client in ("codex", "telemetry", "openclaw"):
        assert said(capsys, "connect", client)[0] == 0
    broken = Path.home() / ".openclaw" / "openclaw.json"
    broken.write_text("{")
    assert cli.main(["disconnect", "all"]) == 1
    assert "openclaw: Line 1" in capsys.readouterr().err
    assert (home / "config.toml").read_text() == MINE


def test_lines_by_hand_are_told_of_before_brimline_goes(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = 'openai_base_url = "http://127.0.0.1:2455/v1"\n'
    (home / "config.toml").write_text(by_hand)
    code, out = said(capsys, "disconnect", "all")
    rows = out.splitlines()
    assert code == 0
    assert rows[0].startswith("codex: Lines of your own in ") and "take them out" in rows[0]
    assert rows[1] == "telemetry: Nothing here is Brimline's."
    assert (home / "config.toml").read_text() == by_hand


def test_a_refusal_is_one_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "config.toml").write_text('model_provider = "azure"\n')
    assert cli.main(["connect", "codex"]) == 1
    assert "--replace" in capsys.readouterr().err
    assert said(capsys, "connect", "codex", "--replace", "--profile-style", "provider")[0] == 0
    assert said(capsys, "disconnect", "codex", "--json")[0] == 0
    assert (home / "config.toml").read_text() == 'model_provider = "azure"\n'


def test_somebody_at_a_terminal_is_asked(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal:
        answer = "n\n"

        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return self.answer

    terminal = Terminal()
    monkeypatch.setattr("sys.stdin", terminal)
    assert said(capsys, "connect", "codex")[0] == 1
    assert (home / "config.toml").read_text() == MINE
    terminal.answer = "y\n"
    assert said(capsys, "connect", "codex")[0] == 0
    assert (home / "config.toml").read_text() != MINE


def test_doctor_says_what_is_wrong_by_its_exit_code(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out = said(capsys, "doctor", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["running"]) == (1, False, False)
    assert [each["code"] for each in found["findings"]] == ["server_not_running", "not_connected"]
    assert said(capsys, "connect", "codex")[0] == 0
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example")
    (home / "work.config.toml").write_text('model_provider = "azure"\n')
    code, out = said(capsys, "doctor")
    assert code == 1
    assert "NO_PROXY=127.0.0.1" in out and "--profile work" in out


def test_doctor_knows_a_server_of_another_data_folder(
    home: Path, tmp_path: Path, config: Config
) -> None:
    with Provider() as provider, serving(config, provider) as served:
        environ = {
            **os.environ,
            "BRIMLINE_PORT": served.url.rpartition(":")[2],
            "BRIMLINE_DATA_DIR": str(home / "other"),
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        command = [sys.executable, "-m", "desktop", "doctor", "--json"]
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, timeout=120)
    found = json.loads(done.stdout)
    assert (done.returncode, found["running"]) == (1, False)
    assert found["findings"][0]["code"] == "other_server"
    assert str(home / "other") in found["findings"][0]["text"]


# --- The real Codex CLI ---------------------------------------------------------------------------


def answer(request: Received) -> Script:
    return Stream(spoken("Hello back.", f"resp_{uuid.uuid4().hex}"))


@pytest.fixture
def codex(tmp_path: Path) -> Codex:
    return Codex(tmp_path / "user")


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(default=answer) as running:
        yield running


@pytest.fixture
def served(config: Config, codex: Codex, provider: Provider) -> Iterator[Served]:
    with serving_with_telemetry(config, codex.codex_home, provider) as running:
        yield running


def ask(served: Served, client: str, verb: str) -> dict[str, Any]:
    given = requests.post(f"{served.url}/api/connect/{client}/{verb}", json={}, timeout=30)
    assert given.status_code == 200, given.text
    return dict(given.json())


def test_codex_goes_through_the_proxy_until_it_is_disconnected(
    codex: Codex, served: Served, provider: Provider
) -> None:
    codex.sign_in("acc-local")
    codex.configure('chatgpt_base_url = "http://127.0.0.1:9/backend-api"\n')
    before = (codex.codex_home / "config.toml").read_bytes()
    ask(served, "codex", "apply")
    run = codex.run("Hello.")
    assert (run.code, run.text, run.errors) == (0, "Hello back.", []), run.stderr
    assert [request.account for request in provider.responses()] == ["acc-1"]
    assert [row["endpoint"] for row in served.rows()] == ["/v1/responses"]
    # An old session goes on when the line is gone and back again: its provider is “openai”.
    resumed = codex.run("Again.", "resume", "--last")
    assert resumed.code == 0, resumed.stderr
    assert len(provider.responses()) == 2
    ask(served, "codex", "undo")
    assert (codex.codex_home / "config.toml").read_bytes() == before


def test_codex_reads_what_we_write_into_a_windows_file(codex: Codex, served: Served) -> None:
    codex.sign_in("acc-local")
    codex.configure('chatgpt_base_url = "http://127.0.0.1:9/backend-api"\n')
    file = codex.codex_home / "config.toml"
    before = b"\xef\xbb\xbf" + file.read_bytes().rstrip().replace(b"\n", b"\r\n")
    file.write_bytes(before)
    ask(served, "telemetry", "apply")
    ask(served, "codex", "apply")
    run = codex.run("Hello.")
    assert (run.code, run.text, run.errors) == (0, "Hello back.", []), run.stderr
    assert [row["endpoint"] for row in served.rows()] == ["/v1/responses"]
    assert served.services.telemetry.settled(30)
    assert db.rows("select count(*) from telemetry_usage") == [(1,)]
    ask(served, "telemetry", "undo")
    ask(served, "codex", "undo")
    assert file.read_bytes() == before


def test_codex_without_any_sign_in(codex: Codex, served: Served) -> None:
    codex.configure("")
    before = (codex.codex_home / "config.toml").read_bytes()
    url = f"{served.url}/api/connect/codex/apply"
    assert requests.post(url, json={"style": "provider"}, timeout=30).ok
    run = codex.run("Hello.")
    assert (run.code, run.text, run.errors) == (0, "Hello back.", []), run.stderr
    ask(served, "codex", "undo")
    assert (codex.codex_home / "config.toml").read_bytes() == before


def test_codex_with_a_demanded_key(codex: Codex, served: Served, provider: Provider) -> None:
    settings.change({"apiKeyAuthEnabled": True})
    made = requests.post(f"{served.url}/api/api-keys", json={"name": "codex"}, timeout=30).json()
    codex.configure("")
    before = (codex.codex_home / "config.toml").read_bytes()
    assert made["key"] not in ask(served, "codex", "apply")["diff"]
    run = codex.run("Hello.", BRIMLINE_API_KEY=made["key"])
    assert (run.code, run.text, run.errors) == (0, "Hello back.", []), run.stderr
    assert len(served.rows()) == 1
    ask(served, "codex", "undo")
    assert (codex.codex_home / "config.toml").read_bytes() == before


def test_codex_telemetry_arrives_until_it_is_disconnected(
    codex: Codex, served: Served, provider: Provider
) -> None:
    codex.sign_in("acc-local")
    codex.configure('chatgpt_base_url = "http://127.0.0.1:9/backend-api"\n')
    before = (codex.codex_home / "config.toml").read_bytes()
    ask(served, "codex", "apply")
    ask(served, "telemetry", "apply")
    # Codex writes into the file, and puts it between our lines.
    codex.cli("mcp", "add", "mine", "--", "true")
    codex.cli("mcp", "remove", "mine")
    codex.cli("mcp", "add", "mine", "--", "true")
    run = codex.run("Hello.")
    assert run.code == 0, run.stderr
    assert served.services.telemetry.settled(30)
    assert db.rows("select count(*) from telemetry_usage") == [(1,)]
    ask(served, "telemetry", "undo")
    ask(served, "codex", "undo")
    codex.cli("mcp", "remove", "mine")
    after = (codex.codex_home / "config.toml").read_bytes()
    assert after.rstrip() == before.rstrip()
