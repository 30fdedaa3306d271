"""`brimline demo`: the whole program on invented data, in a folder that is gone afterwards.

Accounts are imported, logs indexed, requests recorded and telemetry received by the program's own
parts; only the provider is played, on loopback, so nothing leaves this computer and nothing of the
user is read. A client is played too: now and then a request goes through the proxy, so that the
demo is alive.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from desktop import leftovers, offline, sample, signals, stage
from server import config as configuration
from server.config import Config
from server.store.lock import Lock

_UNTIL = 4_102_444_800  # the invented sign-ins end in 2100


@contextmanager
def prepared(port: int | None = None) -> Iterator[Config]:
    """A configuration of the demo's own, filled and with its provider; all gone at the end.

    The environment of this process is changed too, for the children it starts.
    """
    folder = Path(tempfile.mkdtemp(prefix=leftovers.DEMO))
    lock = Lock(folder / leftovers.DEMO_LOCK)  # so that no other start sweeps it away
    lock.acquire()
    provider = stage.Provider()
    client = None
    try:
        config = _settle(folder, provider.address, port)
        _fill(config, int(time.time() * 1000))
        client = stage.Client(config)
        client.start()
        yield config
    finally:
        if client is not None:
            client.stop()
        provider.close()
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _settle(folder: Path, provider: str, port: int | None) -> Config:
    """Point everything at the demo's folder, whatever the user has set."""
    own = {
        "BRIMLINE_CONFIG": folder / "config.toml",
        "BRIMLINE_KEYS_DIR": folder / "keys",
        "BRIMLINE_DATA_DIR": folder / "data",
        "BRIMLINE_CODEX_HOME": folder / "codex",
        "BRIMLINE_CLAUDE_HOME": folder / "claude",
        # Its pages can connect clients, too: not the user's own.
        "OPENCODE_CONFIG": folder / "opencode" / "opencode.json",
        "OPENCLAW_CONFIG_PATH": folder / "openclaw" / "openclaw.json",
        "BRIMLINE_UPSTREAM_BASE_URL": f"{provider}/backend-api",
        "BRIMLINE_AUTH_BASE_URL": provider,
        "BRIMLINE_HOST": "127.0.0.1",
        "BRIMLINE_PORT": port or 0,
        "BRIMLINE_NO_KEYRING": 1,
        "BRIMLINE_DEMO": 1,
    }
    for names in configuration.ENVIRONMENT.values():
        for name in names:
            os.environ.pop(name, None)
    os.environ.update({name: str(value) for name, value in own.items()})
    config, _ = configuration.load()
    return config


def _fill(config: Config, now: int) -> None:
    made = sample.make(now)
    # Codex names threads after their first prompt; the one that is played has no log to tell it.
    named = {"id": stage.THREAD, "thread_name": stage.PROMPT, "updated_at": sample.stamp(now)}
    made.codex["session_index.jsonl"] += json.dumps(named).encode() + b"\n"
    for home, files in ((config.codex_home, made.codex), (config.claude_home, made.claude)):
        for name, content in files.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    with offline.pool(config) as pool:
        ids = {}
        for name in sample.ACCOUNTS:
            ids[name] = offline.add(pool, auth_json(name))["accountId"]
            pool.rename(ids[name], name)
        pool.pause(ids["home"])
        # The client that is played is in the middle of a thread.
        pool.pin("session", stage.THREAD, ids["studio"], now)
        pool.flush()
        _remember(ids, now)
        _record(made.requests, ids)
        _tell(config, signals.bodies(made.told))


def _remember(ids: dict[str, str], now: int) -> None:
    """Four weeks of the allowance, as if it had been asked all along."""
    from server.store import db

    rows = [
        (ids[name], "api", key, used, minutes, resets_at, sample.PLANS[name], at)
        for name in sample.ACCOUNTS
        for key, used, minutes, resets_at, at in sample.snapshots(name, now)
    ]
    with db.writing("accounts") as connection:
        connection.executemany(
            "insert into snapshot (account, source, window, used_percent, window_minutes, "
            "resets_at, plan, observed_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


def _record(requests: list[dict[str, Any]], ids: dict[str, str]) -> None:
    """Write requests down the way the proxy does."""
    from server.auth.keys import Keys
    from server.ingest.ledger import Ledger
    from server.proxy.recorder import Record, Recorder
    from server.usage.pricing import Tokens

    keys = Keys()
    keys.load()
    recorder = Recorder(Ledger(), keys)
    recorder.start()
    for request in requests:
        used = request["tokens"]
        attempts = [{**each, "account": ids[each["account"]]} for each in request["attempts"]]
        known = {**request, "account": ids[request["account"]], "attempts": attempts}
        known["tokens"] = None if used is None else Tokens(*used)
        recorder.put(Record(**known), wait=0)
    recorder.stop()


def _tell(config: Config, bodies: Iterable[bytes]) -> None:
    """Hand telemetry to the receiver, as the server would."""
    from server.ingest.receiver import Receiver

    def nobody(*_: Any) -> list[bytes]:
        raise AssertionError("the receiver takes what is sent to its path")

    receiver = Receiver(config)
    door = receiver.wsgi(nobody)
    receiver.start()
    for body in bodies:
        sent = {"REQUEST_METHOD": "POST", "PATH_INFO": stage.TELEMETRY}
        sent |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
        list(door({**sent, "wsgi.input": io.BytesIO(body)}, lambda *_: None))
    receiver.settled(30)
    receiver.stop()


def auth_json(name: str) -> bytes:
    """A sign-in of an invented account, as Codex would keep it."""
    claims = {
        "chatgpt_account_id": name,
        "chatgpt_plan_type": sample.PLANS[name],
        "chatgpt_user_id": f"user-{name}",
    }
    identity = {"email": f"{name}@example.com", "https://api.openai.com/auth": claims}
    tokens = {
        "id_token": _unsigned({**identity, "exp": _UNTIL}),
        "access_token": _unsigned({"exp": _UNTIL, "for": name}),
        "refresh_token": f"demo-{name}",
        "account_id": name,
    }
    return json.dumps({"tokens": tokens, "last_refresh": "2026-01-01T00:00:00Z"}).encode()


def _unsigned(claims: dict[str, Any]) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(claims)}.demo"


def run(config: Config, show: Callable[[Config], int], port: int | None) -> int:
    """Prepare the demo, have `show` run it, and clean up; returns its exit code."""
    with prepared(port) as own:
        return show(replace(own, log_level=config.log_level))
