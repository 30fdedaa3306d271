"""The proxy on a real waitress, with real accounts, before a scripted provider."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import waitress.server
import waitress.wasyncore

from server.accounts.pool import Pool
from server.config import Config
from server.proxy.lane import Channel, Workers
from server.proxy.loop import Loop
from server.proxy.routes import Proxy
from server.store import db
from tests.upstream import Provider, auth_json

CODEX = "/backend-api/codex/responses"
OPENAI = "/v1/responses"
BODY = {"model": "gpt-5.5", "stream": True, "store": False, "input": []}


class SilentLedger:
    """Remembers what the recorder handed on."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def see_requests(self, connection: Any, finished: Sequence[Any]) -> None:
        self.seen.extend(finished)


class Rig:
    """A running proxy; `accounts` maps each account's upstream id to our id."""

    def __init__(self, config: Config, provider: Provider, names: Sequence[str]) -> None:
        self.provider = provider
        self.ledger = SilentLedger()
        self.pool = Pool(config)
        self.pool.load()
        self.accounts = {name: self.pool.add(auth_json(name)).id for name in names}
        self.proxy = Proxy(config, self.pool, self.ledger)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(listener.getsockname()[1])
        loop = Loop()
        self._server = waitress.server.create_server(
            self.proxy.wsgi(_nothing),
            map=loop.map,
            sockets=[listener],
            _dispatcher=Workers(config.threads),
            channel_request_lookahead=1,
            asyncore_use_poll=True,
            ident=None,
            clear_untrusted_proxy_headers=True,
            max_request_body_size=134217728,
            asyncore_loop_timeout=0.05,  # so that the end of a test is quick
        )
        self._server.channel_class = Channel
        self._server.asyncore = loop
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        self.proxy.start()
        self._thread.start()

    def stop(self) -> None:
        self.proxy.stop()
        end(self._server, self._thread)

    def send(self, body: Any = None, path: str = CODEX, **headers: str) -> Reply:
        """POST a body (JSON unless bytes); header names with `_` for `-`."""
        return Reply(self.open(body, path, **headers))

    def open(self, body: Any = None, path: str = CODEX, **headers: str) -> http.client.HTTPResponse:
        """The same, without reading the answer's body."""
        sent = body if isinstance(body, bytes) else json.dumps(BODY | (body or {})).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {"content-type": "application/json", "connection": "close", **named}
        connection.request("POST", path, sent, given)
        return connection.getresponse()

    def get(self, path: str, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers={"connection": "close", **named})
        return Reply(connection.getresponse())

    def rows(self) -> list[dict[str, Any]]:
        """The request log, oldest first."""
        names = [name for (_, name, *_) in db.rows("pragma table_info(request_log)")]
        found = db.rows("select * from request_log order by started_at, rowid")
        return [dict(zip(names, row, strict=True)) for row in found]

    def row(self) -> dict[str, Any]:
        """The only row, waited for."""
        wait_until(lambda: len(self.rows()) == 1, "one row")
        return self.rows()[0]

    def served(self) -> list[str]:
        """Which account each request to the provider went to."""
        return [request.account for request in self.provider.responses()]


class Reply:
    """An answer read to its end; `cut` says that it broke off."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.cut = False
        try:
            self.body = response.read()
        except http.client.IncompleteRead as error:
            self.body, self.cut = error.partial, True
        response.close()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def events(self) -> list[dict[str, Any]]:
        found = []
        for block in self.body.split(b"\n\n"):
            for line in block.split(b"\n"):
                if line.startswith(b"data: "):
                    found.append(json.loads(line[6:]))
        return found

    @property
    def kinds(self) -> list[str]:
        return [str(event["type"]) for event in self.events]


def _nothing(environ: Any, start_response: Any) -> Any:
    start_response("404 Not Found", [("Content-Length", "0")])
    return [b""]


def end(server: Any, web: threading.Thread) -> None:
    """Stop a waitress: its connections, then its threads, then its loop, which closes what it has.

    In this order, for a thread that still works writes to the loop's trigger, whose descriptor
    somebody else may have by then.
    """

    def let_go() -> None:
        waitress.wasyncore.dispatcher.close(server)
        for channel in list(server.active_channels.values()):
            channel.handle_close()

    server.trigger.pull_trigger(let_go)  # in the loop's own thread
    server.task_dispatcher.shutdown(timeout=30)
    with server.trigger.lock:  # the loop takes it before it does what it was given
        server.trigger.thunks.append(server.trigger.close)
        server.trigger.pull_trigger()
    web.join(30)
    assert not web.is_alive(), "the web loop did not end"


def wait_until(what: Callable[[], object], name: str, seconds: float = 30) -> None:
    """Wait until something holds, or fail with its name."""
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, f"never came: {name}"
        time.sleep(0.005)


@contextmanager
def running(
    config: Config, names: Sequence[str] = ("acc-1", "acc-2"), threads: int = 16
) -> Iterator[Rig]:
    """A provider and a proxy with these accounts, stopped afterwards."""
    with Provider() as provider:
        config = replace(
            config, upstream_base_url=provider.url, auth_base_url=provider.auth_url, threads=threads
        )
        rig = Rig(config, provider, names)
        rig.start()
        try:
            yield rig
        finally:
            rig.stop()
