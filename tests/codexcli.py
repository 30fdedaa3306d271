"""Runs the real Codex CLI in a home of its own, against an address that the test chooses."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

VERSION = "0.169.0"
CLIENTS = Path(__file__).resolve().parent / "clients" / "node_modules"
MODEL = "gpt-5.5"


def binary() -> Path:
    """The CLI that the test set-up installed; without it the test is skipped, in CI it fails."""
    # The native program itself: its Node wrapper costs 50 ms and hides the exit signal.
    found = sorted(CLIENTS.glob("@openai/codex-*/vendor/*/bin/codex*"))
    if found:
        return found[0]
    message = "The Codex CLI is not installed; `make setup` brings it (npm ci in tests/clients)."
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def unsigned_jwt(claims: Mapping[str, Any]) -> str:
    """A token with these claims; Codex reads tokens without checking who signed them."""

    def part(value: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}.c2ln"


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

    def sign_in(self, account: str, expires: int = 4_102_444_800) -> None:
        """Write the auth.json of a ChatGPT login that is good until 2100."""
        claims = {
            "email": "dana@example.test",
            "exp": expires,
            "https://api.openai.com/auth": {
                "chatgpt_account_id": account,
                "chatgpt_plan_type": "pro",
                "chatgpt_user_id": "user-local",
            },
        }
        token = unsigned_jwt(claims)
        tokens = {
            "id_token": token,
            "access_token": token,
            "refresh_token": "local-refresh",
            "account_id": account,
        }
        path = self.codex_home / "auth.json"
        path.write_text(
            json.dumps(
                {
                    "auth_mode": "chatgpt",
                    "OPENAI_API_KEY": None,
                    "tokens": tokens,
                    "last_refresh": "2026-11-01T00:00:00.000000000Z",
                }
            )
        )
        path.chmod(0o600)

    def run(self, prompt: str, *flags: str, **environ: str) -> Run:
        """One `codex exec` to its end."""
        done = subprocess.run(
            [
                str(self.program),
                "exec",
                "--json",
                "--skip-git-repo-check",
                "--dangerously-bypass-approvals-and-sandbox",
                *flags,
                prompt,
            ],
            cwd=self.work,
            env=self._environment(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return Run(done.returncode, events, done.stderr)

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
