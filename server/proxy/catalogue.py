"""The models that the accounts offer together, as one list with one tag."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from server.accounts.pool import Candidate, Pool
from server.errors import AppError
from server.proxy.headers import to_upstream
from server.proxy.upstream import Aborted, HungUp, Outgoing, Unreachable, Upstream

log = logging.getLogger(__name__)

# What Codex called itself when this was written; a newer one that asks us replaces it.
_CLIENT_VERSION = "0.169.0"
_MOST_BYTES = 8 * 1024 * 1024
# What the plain list tells of a model; the rest is Codex's own.
_ABOUT = (
    "display_name", "description", "context_window", "input_modalities",
    "supported_reasoning_levels", "default_reasoning_level", "supports_reasoning_summaries",
    "support_verbosity", "default_verbosity", "prefer_websockets",
    "supports_parallel_tool_calls", "supported_in_api", "minimal_client_version", "priority",
    "available_in_plans",
)  # fmt: skip
_ANSWER_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 60.0  # a client that waits does not ask a silent provider each time


class Catalogue:
    """Every plan's models, asked of the provider now and then; the shipped list until then."""

    def __init__(self, pool: Pool, upstream: Upstream) -> None:
        self._pool = pool
        self._upstream = upstream
        self._plans: dict[str, list[dict[str, Any]]] = {}
        self._merged: list[dict[str, Any]] = []
        self._version = _CLIENT_VERSION
        self._asking = threading.Lock()
        self._asked = -_ASK_AGAIN_SECONDS  # monotonic
        self.tag: str | None = None  # None until a list has come from the provider

    def refresh(self) -> None:
        """Ask once for each plan; a plan that does not answer keeps what it had."""
        with self._asking:
            self._asked = time.monotonic()
            for plan, accounts in _by_plan(self._pool.candidates()).items():
                for account in accounts[:2]:
                    models = self._ask(account)
                    if models:
                        self._plans[plan] = models
                        break
            self._merge()

    def for_codex(self, version: str | None) -> tuple[bytes, str]:
        """The answer to a Codex client and its tag.

        Until the provider has answered it is the plain list, at which Codex takes its own
        bundled catalogue: ours has no instructions in it, and a model without them is worse.
        """
        if version and version.replace(".", "").isalnum() and len(version) < 32:
            self._version = version
        if self.tag is None and time.monotonic() - self._asked >= _ASK_AGAIN_SECONDS:
            self.refresh()
        if self.tag is None:
            return self.for_others()
        return orjson.dumps({"models": self._merged, **_listed(self._merged)}), self.tag

    def for_others(self) -> tuple[bytes, str]:
        """The list as the OpenAI API gives it, and its tag."""
        answer = orjson.dumps(_listed(self.models()))
        return answer, tag_of(answer)

    def models(self) -> list[dict[str, Any]]:
        """All models, the most important first."""
        return self._merged or shipped()

    def _merge(self) -> None:
        found: dict[str, dict[str, Any]] = {}
        for _, models in sorted(self._plans.items()):
            for model in models:
                found.setdefault(model["slug"], model)
        merged = sorted(found.values(), key=_priority)
        if merged:
            self._merged = merged
            self.tag = tag_of(json.dumps(merged, sort_keys=True).encode())

    def _ask(self, account: Candidate) -> list[dict[str, Any]]:
        try:
            token = self._pool.token(account.id)
            headers = to_upstream({}, token.access_token, token.upstream_id, plain=True)
            path = f"/codex/models?client_version={self._version}"
            exchange = self._upstream.open(
                Outgoing("GET", path, headers), first_byte=_ANSWER_SECONDS
            )
        except (AppError, Unreachable, HungUp, Aborted) as error:
            log.info("the model list of %s could not be read: %s", account.id, error)
            return []
        body = bytearray()
        try:
            with suppress(HungUp, Aborted):
                while len(body) < _MOST_BYTES and (chunk := exchange.read1()):
                    body += chunk
        finally:
            self._upstream.release(exchange)
        return _models(bytes(body)) if exchange.status == 200 else []


def tag_of(answer: bytes) -> str:
    """The tag of a list: it changes when a byte of it does."""
    return f'"{hashlib.sha256(answer).hexdigest()[:32]}"'


@cache
def shipped() -> list[dict[str, Any]]:
    """The list that came with this program."""
    file = Path(__file__).with_name("models.json")
    return _models(file.read_bytes())


def _models(body: bytes) -> list[dict[str, Any]]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    models = value.get("models") if isinstance(value, dict) else None
    if not isinstance(models, list):
        return []
    return [m for m in models if isinstance(m, dict) and isinstance(m.get("slug"), str)]


def _by_plan(candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.status not in ("paused", "sign_in_needed", "deactivated"):
            found.setdefault(candidate.plan or "", []).append(candidate)
    return found


def _priority(model: dict[str, Any]) -> tuple[float, str]:
    value = model.get("priority")
    return (float(value) if isinstance(value, int | float) else 1e9), model["slug"]


def _listed(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    entries = [
        {**entry(model["slug"]), "metadata": {key: model[key] for key in _ABOUT if key in model}}
        for model in models
        if model.get("visibility") != "hide"
    ]
    return {"object": "list", "data": entries}


def entry(name: str) -> dict[str, Any]:
    """A model of which no more than the name is known, as the OpenAI API lists it."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "openai", "metadata": {}}
