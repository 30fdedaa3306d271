"""Runs the real Codex CLI in a home of its own, against an address that the test chooses."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.upstream import auth_json

VERSION = "0.169.0"
CLIENTS = Path(__file__).resolve().parent / "clients" / "node_modules"
MODEL = "gpt-5.5"


def binary() -> Path:
    """The CLI that the test set-up installed; without it the test is skipped, in CI it fails."""
    # The native program itself: its Node wrapper costs 50 ms and hides the exit signal.
    found = sorted(CLIENTS.glob("@openai/codex-*/vendor/*/bin/codex*"))
    if found:
        return found[0]
    message = "The Codex CLI is not installed; `make test` brings it (npm ci in tests/clients)."
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@dataclass(frozen=True)
class Run:
    """What one `codex exec` left behind."""

    code: int
    events: list[dict[str, Any]]
    stderr: str

    @property
    def text(self) -> str:
        """The last message of the agent."""
        said = [
            item.get("text", "")
            for event in self.events
            if event.get("type") == "item.completed"
            and (item := event.get("item", {})).get("type") == "agent_message"
        ]
        return str(said[-1]) if said else ""

    @property
    def errors(self) -> list[str]:
        """Every sentence about an error, warnings of a retry included."""
        found = []
        for event in self.events:
            if event.get("type") == "error":
                found.append(str(event.get("message")))
            elif event.get("type") == "turn.failed":
                found.append(str(event.get("error", {}).get("message")))
        return found

    @property
    def usage(self) -> dict[str, int]:
        """The turn's tokens as Codex counts them."""
        done = [event for event in self.events if event.get("type") == "turn.completed"]
        return dict(done[-1]["usage"]) if done else {}


class Codex:
    """One user of the CLI: a home, a CODEX_HOME and an empty working folder."""

    def __init__(self, folder: Path) -> None:
        self.program = binary()
        self.home = folder / "home"
        self.codex_home = folder / "codex"
        self.work = folder / "work"
        for each in (self.home, self.codex_home, self.work):
            each.mkdir(parents=True, exist_ok=True)

    def configure(self, config: str) -> None:
        """Write config.toml: `config` after what keeps the CLI quiet."""
        quiet = f'model = "{MODEL}"\ncheck_for_update_on_startup = false\nweb_search = "disabled"\n'
        rest = "\n[analytics]\nenabled = false\n"
        (self.codex_home / "config.toml").write_text(quiet + config + rest)

    def sign_in(self, account: str) -> None:
        """Write the auth.json of a ChatGPT login that is good until 2100."""
        path = self.codex_home / "auth.json"
        path.write_bytes(auth_json(account))
        path.chmod(0o600)

    def run(self, prompt: str, *flags: str, **environ: str) -> Run:
        """One `codex exec` to its end."""
        with self.start(prompt, *flags, **environ) as running:
            try:
                out, stderr = running.communicate(timeout=100)
            except subprocess.TimeoutExpired:
                running.kill()
                raise
        events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return Run(running.returncode, events, stderr)

    def start(self, prompt: str, *flags: str, **environ: str) -> subprocess.Popen[str]:
        """Begin one `codex exec`."""
        return subprocess.Popen(
            [
                str(self.program),
                "exec",
                "--json",
                "--skip-git-repo-check",
                # The sandbox of the CLI is not ours to test, and not every machine has it.
                "--dangerously-bypass-approvals-and-sandbox",
                *flags,
                prompt,
            ],
            cwd=self.work,
            env=self._environment(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def cli(self, *words: str) -> None:
        """Another command of the CLI, such as `mcp add`, that writes its configuration."""
        subprocess.run(
            [str(self.program), *words],
            cwd=self.work,
            env=self._environment({}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
        )

    def rollouts(self) -> list[Path]:
        """The session logs it wrote, oldest first."""
        return sorted((self.codex_home / "sessions").rglob("rollout-*.jsonl"))

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        nowhere = "http://127.0.0.1:9"  # whatever it wants from the internet is refused at once
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "CODEX_HOME": str(self.codex_home),
            "TERM": "dumb",
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "http_proxy": nowhere,
            "https_proxy": nowhere,
            **extra,
        }
