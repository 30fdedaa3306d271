"""The real opencode, a Chat Completions client, works through the real server."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from server.auth.keys import Draft
from server.auth.limits import Rule, Spent
from server.config import Config
from server.store import settings
from tests.serving import Served, serving
from tests.upstream import Provider, Received, Stream, called, spoken, usage_limit

CLIENTS = Path(__file__).resolve().parent / "clients" / "node_modules"


@cache
def binary() -> Path:
    """opencode's own program; it exists for Linux on x64 alone, and not for every such machine."""
    found = sorted(CLIENTS.glob("opencode-*/bin/opencode*"))
    if not found:
        pytest.skip("opencode is not installed; `make setup` brings it where there is one")
    tried = subprocess.run([str(found[0]), "--version"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("opencode does not run on this machine (it needs glibc and AVX2)")
    return found[0]


def turn(request: Received) -> Stream:
    """A title for the session; for the agent a command, then what it said."""
    body = request.json
    if any(item["type"] == "function_call_output" for item in body["input"]):
        return Stream(spoken("It said one.", "resp_2"))
    if "bash" not in [tool["name"] for tool in body.get("tools", [])]:
        return Stream(spoken("A title", "resp_title"))
    arguments = json.dumps({"command": "echo one", "description": "Says one"})
    return Stream(called({"type": "function_call", "name": "bash", "arguments": arguments}))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(default=turn) as running:
        yield running


@pytest.fixture
def served(config: Config, provider: Provider) -> Iterator[Served]:
    with serving(config, provider) as running:
        for name in ("acc-1", "acc-2"):
            running.account(name)
        yield running


def run(
    folder: Path, url: str, *flags: str, key: str = "sk-of-the-client"
) -> subprocess.CompletedProcess[str]:
    """One `opencode run` to its end, in a home of its own, with a project's configuration."""
    work = folder / "work"
    work.mkdir()
    ours = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": key},
        "models": {"gpt-5.5": {"tool_call": True}},
    }
    settings: dict[str, Any] = {
        "provider": {"brimline": ours},
        "model": "brimline/gpt-5.5",
        "autoupdate": False,
        "share": "disabled",
        "permission": {"bash": "allow"},
    }
    (work / "opencode.json").write_text(json.dumps(settings))
    return opencode(folder, *flags, "Say one.")


def opencode(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`opencode run` in the working folder, with what is configured in the home."""
    program = binary()
    nowhere = "http://127.0.0.1:9"  # whatever it wants from the internet is refused at once
    return subprocess.run(
        [str(program), "run", *words],
        cwd=folder / "work",
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "TERM": "dumb",
            "NO_PROXY": "127.0.0.1,localhost",
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,  # its first start unpacks itself
        check=False,
    )


def test_a_tool_round_trip(tmp_path: Path, served: Served, provider: Provider) -> None:
    done = run(tmp_path, served.url, "--format", "json")
    parts = [json.loads(line)["part"] for line in done.stdout.splitlines()]
    outputs = [part["state"]["output"] for part in parts if part["type"] == "tool"]
    assert [text.strip() for text in outputs] == ["one"]
    assert [part["text"] for part in parts if part["type"] == "text"] == ["It said one."]
    reasons = [part["reason"] for part in parts if part["type"] == "step-finish"]
    assert reasons == ["tool-calls", "stop"]
    agent = [request for request in provider.responses() if "tools" in request.json]
    assert len({request.account for request in agent}) == 1
    statuses = [row["status"] for row in served.rows()]
    assert statuses.count("success") >= len(agent)
    # It may end before the answer to its other question is there: what to call the session.
    assert set(statuses) <= {"success", "cancelled"}


def test_it_is_connected_and_disconnected(
    tmp_path: Path, served: Served, provider: Provider
) -> None:
    (tmp_path / "work").mkdir()
    file = tmp_path / "config" / "opencode" / "opencode.json"
    file.parent.mkdir(parents=True)
    mine = (
        b'{\n  "$schema": "https://opencode.ai/config.json",\n  "share": "disabled", // mine\n}\n'
    )
    file.write_bytes(mine)
    given = requests.post(f"{served.url}/api/connect/opencode/apply", json={}, timeout=30).json()
    assert (given["path"], given["status"]["state"]) == (str(file), "connected")
    connected = file.read_bytes()
    done = opencode(tmp_path, "--format", "json", "Say one.")
    parts = [json.loads(line)["part"] for line in done.stdout.splitlines()]
    assert [part["text"] for part in parts if part["type"] == "text"] == ["It said one."]
    assert {row["endpoint"] for row in served.rows()} == {"/v1/chat/completions"}
    assert file.read_bytes() == connected  # it leaves the file as we wrote it
    requests.post(f"{served.url}/api/connect/opencode/undo", json={}, timeout=30)
    assert file.read_bytes() == mine


def test_a_dry_pool_ends_it_with_a_sentence(
    tmp_path: Path, served: Served, provider: Provider
) -> None:
    # opencode finds a status in this time, and retries it for ever, where a body tells it.
    later = int(time.time()) + 3600
    provider.default = usage_limit(next(at for at in count(later) if "524" in str(at)))
    done = run(tmp_path, served.url)
    assert done.returncode == 1
    assert "Try again at" in done.stderr + done.stdout


def test_a_spent_key_ends_it_with_a_sentence(
    tmp_path: Path, served: Served, provider: Provider
) -> None:
    keys = served.services.keys
    made, secret = keys.create(Draft("spent", rules=(Rule("total_tokens", "weekly", 500_000),)))
    keys.settle(keys.reserve(made, "gpt-5.5"), Spent(500_000, 24_500))
    settings.change({"apiKeyAuthEnabled": True})
    done = run(tmp_path, served.url, key=secret)
    assert done.returncode == 1
    assert "total_tokens limit (weekly) is used up" in done.stderr + done.stdout
    assert not provider.responses()
