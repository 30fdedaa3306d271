"""Runs the real server on loopback: the application behind waitress, as `brimline serve` does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from server import runtime
from server.accounts import signin
from server.app import Services, create_app
from server.config import Config
from server.store import db, vault
from tests.rig import end, wait_until
from tests.upstream import Provider, auth_json


@dataclass(frozen=True)
class Served:
    """A server that answers at `url`, and what it is made of."""

    url: str
    config: Config
    services: Services

    def rows(self) -> list[dict[str, Any]]:
        """The request log once every request is in it, oldest first."""
        proxy = self.services.proxy
        wait_until(lambda: not proxy.active() and not proxy._recorder._queue, "every row")
        names = (
            "response_id", "session_id", "account", "endpoint", "model", "effort", "status",
            "error_code", "http_status", "reason", "attempts", "input", "cached", "output",
            "reasoning", "client",
        )  # fmt: skip
        query = f"select {', '.join(names)} from request_log order by started_at, rowid"
        return [dict(zip(names, row, strict=True)) for row in db.rows(query)]

    def account(self, name: str, **rest: Any) -> str:
        """Sign an invented account in; the provider knows it as `name`."""
        return self.services.pool.add(auth_json(name, **rest)).id


@contextmanager
def whole_app(base: Path, **more: Any) -> Iterator[Flask]:
    """The whole application with an account, asked without a socket; the provider is not there."""
    nowhere = "http://127.0.0.1:9"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signin, "PORTS", (0,))  # not the computer's own ports
        patch.setenv("XDG_CONFIG_HOME", str(base / "config"))
        patch.setenv("HOME", str(base / "home"))
        patch.setenv("BRIMLINE_NO_KEYRING", "1")
        vault.forget()
        config = replace(
            Config(port=80, data_dir=base / "data", codex_home=base / "c", claude_home=base / "a"),
            upstream_base_url=f"{nowhere}/backend-api",
            auth_base_url=nowhere,
            strict_writes=True,
            **more,
        )
        built = create_app(config)
        services: Services = built.extensions["brimline"]
        services.pool.add(auth_json("acc-1"))
        services.proxy.start()
        yield built
        services.proxy.stop()
        services.pool.stop()
        db.close_databases()
        vault.forget()


@contextmanager
def serving(config: Config, provider: Provider) -> Iterator[Served]:
    """The server for the length of the block, with `provider` as the world outside."""
    listener = runtime._bind(replace(config, port=0))
    config = replace(
        config,
        port=int(listener.getsockname()[1]),
        upstream_base_url=provider.url,
        auth_base_url=provider.auth_url,
    )
    app = create_app(config)
    built: Services = app.extensions["brimline"]
    server = runtime._waitress(app, config, listener)
    web = threading.Thread(target=server.run, daemon=True)
    web.start()
    built.proxy.start()
    try:
        yield Served(f"http://127.0.0.1:{config.port}", config, built)
    finally:
        built.proxy.drain()
        built.proxy.stop()
        end(server, web)
        db.close_databases()


@contextmanager
def serving_with_telemetry(
    config: Config, codex_home: Path, provider: Provider
) -> Iterator[Served]:
    """The server on a Codex home, with an account and a receiver that stores."""
    with serving(replace(config, codex_home=codex_home), provider) as running:
        running.account("acc-1")
        running.services.telemetry.start()
        yield running
        running.services.telemetry.stop()
