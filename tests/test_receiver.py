"""The door for OTLP on a real waitress: what it takes, refuses, stores, and never waits for."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from server.app import create_app
from server.config import Config
from server.errors import Unprocessable
from server.ingest import receiver, relay, witness
from server.ingest.receiver import Receiver
from server.store import db, settings
from tests.captures import EXPECTED, RUNS, Body, bodies
from tests.rig import wait_until
from tests.serving import Served, serving
from tests.upstream import Provider

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


@pytest.fixture
def served(config: Config) -> Iterator[Served]:
    with Provider() as provider, serving(config, provider) as found:
        found.services.telemetry.start()
        try:
            yield found
        finally:
            found.services.telemetry.stop()


def send(
    served: Served, path: str, body: bytes, kind: str | None = JSON, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", served.config.port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if kind is not None:
        named["Content-Type"] = kind
    connection.request("POST", path, body, named)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text, answer.headers


def post(served: Served, one: Body, path: str = "") -> int:
    status, _, _ = send(served, path or f"/otlp/v1/{one.signal}", one.data, one.content_type)
    return status


def settle(served: Served) -> None:
    assert served.services.telemetry.settled(30)


def counted() -> dict[tuple[str, str], int]:
    found = db.rows("select kind, name, sum(count) from telemetry_count group by kind, name")
    return {(kind, name): number for kind, name, number in found}


@pytest.mark.parametrize("run", RUNS)
def test_a_capture_becomes_rows(served: Served, run: str) -> None:
    for body in bodies(run):
        assert post(served, body) == 200
    settle(served)
    expected = EXPECTED[run]
    named = {k: v for k, v in expected["by_event"].items() if k != "None"}
    found = db.rows("select name, sum(count) from telemetry_event group by name")
    assert dict(found) == named
    sums = db.rows("select count(*), sum(input), sum(cached), sum(output) from telemetry_usage")
    calls, tokens, cached, output = sums[0]
    assert (calls, tokens or 0, cached or 0, output or 0) == (
        expected["completions"], expected["input"], expected["cached"], expected["output"],
    )  # fmt: skip
    assert counted()["records", "logs"] == expected["log_records"]


@pytest.mark.parametrize(
    "path", ["/otlp/v1/logs", "/v1/logs", "/v1/logs/", "/", "/otlp", "/otlp/"],
)  # fmt: skip
@pytest.mark.parametrize("run", ["recommended-pb", "json-exec"])
def test_every_path_takes_both_forms(served: Served, path: str, run: str) -> None:
    for body in bodies(run):
        status, text, headers = send(served, path, body.data, body.content_type)
        assert (status, text) == (200, b"{}" if body.json else b"")
        assert headers["Content-Type"] == body.content_type
    settle(served)
    assert db.rows("select sum(input) from telemetry_usage") == [(EXPECTED[run]["input"],)]


def test_metrics_and_traces_are_taken_and_counted(served: Served) -> None:
    for signal in ("metrics", "traces"):
        (body,) = bodies("json-exec", signal)
        assert post(served, body) == 200
        assert post(served, body, "/") == 200
    settle(served)
    assert counted() == {
        ("batches", "metrics"): 2, ("records", "metrics"): 114,
        ("batches", "traces"): 2, ("records", "traces"): 1024,
    }  # fmt: skip


def test_what_comes_twice_is_stored_once(served: Served) -> None:
    for _ in range(2):
        for body in bodies("appserver-decisions"):
            post(served, body)
    settle(served)
    assert db.rows("select sum(count) from telemetry_event") == [(83,)]
    assert counted()["repeated", "codex"] == counted()["stored", "codex"]
    assert db.rows("select prompts from telemetry_session") == [(4,)]


def test_no_prompt_argument_or_output_reaches_the_disk(served: Served) -> None:
    for run in RUNS:
        for body in bodies(run):
            post(served, body)
    settle(served)
    with db.reading() as connection:
        everything = "\n".join(connection.iterdump())
    for word in ("escalated.txt", "Wall time", "justification", "[REDACTED]"):
        assert word not in everything


def test_gzip_is_unpacked(served: Served) -> None:
    (body,) = bodies("logs-only")
    half = len(body.data) // 2
    packed = gzip.compress(body.data[:half]) + gzip.compress(body.data[half:])
    status, _, _ = send(served, "/otlp/v1/logs", packed, PROTOBUF, content_encoding="gzip")
    assert status == 200
    settle(served)
    assert db.rows("select sum(input) from telemetry_usage") == [(1400,)]


BOMB = gzip.compress(b"\0" * (receiver.DECODED_LIMIT + 1))


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "status"),
    [
        pytest.param(b"{", JSON, "", 400, id="broken JSON"),
        pytest.param(b"", JSON, "", 400, id="empty JSON"),
        pytest.param(b"\xff\xff", PROTOBUF, "", 400, id="broken protobuf"),
        pytest.param(b"[" * 100_000, JSON, "", 400, id="nested without end"),
        pytest.param(b"not gzip", JSON, "gzip", 400, id="not gzip"),
        pytest.param(gzip.compress(b"{}")[:-9], JSON, "gzip", 400, id="half a gzip"),
        pytest.param(gzip.compress(b"") * 5000, JSON, "gzip", 400, id="endless members"),
        pytest.param(BOMB, JSON, "gzip", 413, id="a bomb"),
        pytest.param(b" " * (receiver.WIRE_LIMIT + 1), JSON, "", 413, id="too long"),
        pytest.param(b"{}", "text/plain", "", 415, id="a form's content type"),
        pytest.param(b"{}", JSON, "br", 415, id="another coding"),
        pytest.param(b"{}", JSON, "gzip, gzip", 415, id="coded twice"),
    ],
)  # fmt: skip
def test_bad_bodies_hear_why(
    served: Served, body: bytes, kind: str, encoding: str, status: int
) -> None:
    more = {"content_encoding": encoding} if encoding else {}
    got, text, headers = send(served, "/otlp/v1/logs", body, kind, **more)
    assert got == status
    if kind == PROTOBUF:
        assert headers["Content-Type"] == PROTOBUF and b"body" in text and text[0] == 8
    else:
        assert json.loads(text)["message"]
    settle(served)
    assert sum(n for (kind, _), n in counted().items() if kind == "refused") == 1


def test_without_a_content_type_the_first_byte_tells(served: Served) -> None:
    for run in ("logs-only", "json-failed"):
        for body in bodies(run):
            assert send(served, "/v1/logs", body.data, None)[0] == 200


@pytest.mark.parametrize("path", ["/otlp/v1/logs", "/v1/traces"])
def test_only_post(served: Served, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.config.port, timeout=30)
    connection.request("GET", path)
    assert connection.getresponse().status == 405
    connection.close()


@pytest.mark.parametrize("base", ["/v1", "/backend-api/codex"])
def test_codex_hears_that_no_turn_is_priced(served: Served, base: str) -> None:
    status, text, _ = send(served, f"{base}/analytics/codex/turn-costs", b'{"turn_ids":["t"]}')
    assert (status, json.loads(text)) == (200, {"turns": []})
    assert db.rows("select count(*) from request_log") == [(0,)]


def test_the_guard_stands_before_it(served: Served) -> None:
    for header in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert send(served, "/otlp/v1/logs", b"{}", **header)[0] in (403, 421)


def test_an_open_network_needs_the_token(config: Config) -> None:
    app = create_app(replace(config, host="0.0.0.0", admin_token="t" * 32))
    client = app.test_client()
    where = {
        "base_url": "http://127.0.0.1:80",
        "content_type": JSON,
        "data": b'{"resourceLogs":[]}',
    }
    assert client.post("/otlp/v1/logs", **where).status_code == 401
    good = {"Authorization": f"Bearer {'t' * 32}"}
    assert client.post("/otlp/v1/logs", headers=good, **where).status_code == 200
    db.close_databases()


def test_ten_thousand_random_bodies_and_no_500(config: Config) -> None:
    app = create_app(config)
    layer = app.wsgi_app
    rng = random.Random(7)
    seeds = [body.data for run in RUNS for body in bodies(run)]
    small = [seed for seed in seeds if len(seed) < 8000] + [seed[:3000] for seed in seeds]
    seen: set[int] = set()
    for _ in range(10_000):
        seen.add(_call(layer, rng, _mutate(rng, rng.choice(small))))
        app.extensions["brimline"].telemetry._queue.clear()
        app.extensions["brimline"].telemetry._events = 0
    assert seen <= {200, 400, 413, 415}
    assert {200, 400} <= seen
    db.close_databases()


def _mutate(rng: random.Random, seed: bytes) -> bytes:
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(64))
    body = bytearray(seed)
    for _ in range(rng.choice((1, 3, 30))):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return bytes(body[: rng.randrange(len(body))] if rng.random() < 0.3 else body)


def _call(layer: Any, rng: random.Random, body: bytes) -> int:
    statuses: list[int] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": rng.choice(sorted(receiver.PATHS)) or "/",
        "CONTENT_TYPE": rng.choice([JSON, PROTOBUF, "", "text/x"]),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": rng.choice(["", "", "", "gzip"]),
        "HTTP_HOST": "127.0.0.1",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(body),
    }
    b"".join(layer(environ, lambda status, headers, info=None: statuses.append(int(status[:3]))))
    return statuses[0]


def test_a_hanging_database_delays_nobody(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "_MOST_BATCHES", 20)
    (body,) = bodies("logs-only")
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with db.writing():
            held.set()
            release.wait(120)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    statuses = [send(served, "/otlp/v1/logs", body.data, PROTOBUF)]
    # The writer may have taken some from the queue before it met the lock.
    while statuses[-1][0] == 200 and len(statuses) < 200:
        statuses.append(send(served, "/otlp/v1/logs", body.data, PROTOBUF))
    assert holder.is_alive(), "all were answered while the database hung"
    release.set()
    holder.join(30)
    codes = [status for status, _, _ in statuses]
    assert codes[:20] == [200] * 20
    assert codes[-1] == 503 and statuses[-1][2]["Retry-After"] == "5"
    settle(served)
    assert counted()["refused", "telemetry_queue_full"] == codes.count(503)
    assert db.rows("select sum(input) from telemetry_usage") == [(1400,)]


def test_a_database_that_cannot_write_is_tried_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "_PATIENCE", 0.01)
    real, failures = witness.store, iter([OSError("disk"), OSError("disk")])

    def flaky(*args: Any) -> Any:
        for error in failures:
            raise error
        return real(*args)

    monkeypatch.setattr(witness, "store", flaky)
    (body,) = bodies("logs-only")
    assert post(served, body) == 200
    settle(served)
    assert db.rows("select sum(input) from telemetry_usage") == [(1400,)]


def test_the_last_of_the_disk_is_left_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "_ROOM", 1 << 60)
    (body,) = bodies("logs-only")
    assert post(served, body) == 200
    settle(served)
    assert db.rows("select count(*) from telemetry_event") == [(0,)]
    assert served.services.telemetry.status()["diskFull"] is True
    monkeypatch.setattr(receiver, "_ROOM", 0)
    served.services.telemetry._looked = 0.0
    post(served, body)
    settle(served)
    assert counted()["dropped", "disk full"] == 13


def test_no_more_rows_than_the_setting_keeps(served: Served) -> None:
    settings.change({"telemetryRows": 1000})
    door = served.services.telemetry
    template = next(iter(bodies("appserver-decisions"))).data
    for number in range(40):
        body = template.replace(b"01a1fbc3-f4e8", f"01a1fbc3-{number:04d}".encode())
        assert send(served, "/v1/logs", body)[0] == 200
        settle(served)
        assert db.rows("select count(*) from telemetry_event")[0][0] <= 1101
    door.forget_old()
    assert db.rows("select count(*) from telemetry_event")[0][0] <= 1000
    assert counted()["dropped", "over the most that is kept"] > 100


def test_old_telemetry_is_forgotten(served: Served) -> None:
    for body in bodies("logs-only"):
        post(served, body)
    settle(served)
    with db.writing() as connection:
        for table in ("telemetry_event", "telemetry_usage"):
            connection.execute(f"update {table} set at = at - 91 * 86400000")
        connection.execute("update telemetry_session set last_at = last_at - 91 * 86400000")
    served.services.telemetry.forget_old()
    for table in ("telemetry_event", "telemetry_usage", "telemetry_session"):
        assert db.rows(f"select count(*) from {table}") == [(0,)]


def test_stopping_stores_what_was_accepted(config: Config) -> None:
    create_app(config)
    door = Receiver(config)
    door.start()
    layer = door.wsgi(lambda environ, start: [])
    (body,) = bodies("logs-only")
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/v1/logs", "CONTENT_TYPE": PROTOBUF,
        "CONTENT_LENGTH": str(len(body.data)), "wsgi.input": io.BytesIO(body.data),
    }  # fmt: skip
    list(layer(environ, lambda *_: None))
    door.stop()
    assert db.rows("select sum(input) from telemetry_usage") == [(1400,)]
    db.close_databases()


# ── the relay ─────────────────────────────────────────────────────────────────────────────


class Collector:
    """Another collector on loopback; `statuses` are its next answers, then 200."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes, dict[str, str]]] = []
        self.statuses: list[int] = []
        self.arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.statuses.pop(0) if outer.statuses else 200
                with outer.arrived:
                    outer.got.append((self.path, body, dict(self.headers)))
                    outer.arrived.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def wait(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, 30)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


def test_bodies_are_relayed_unchanged(served: Served, collector: Collector) -> None:
    door = served.services.telemetry
    (body,) = bodies("logs-only")
    packed = gzip.compress(body.data)
    send(served, "/", packed, PROTOBUF, content_encoding="gzip")
    assert collector.got == []  # off until it is set
    door.relay.configure(collector.url, "X-Token: sesame")
    send(served, "/", packed, PROTOBUF, content_encoding="gzip")
    collector.wait(1)
    path, got, headers = collector.got[0]
    assert (path, got) == ("/v1/logs", packed)
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"] == PROTOBUF
    assert headers["X-Token"] == "sesame"
    with db.reading(db.secrets) as connection:
        assert "sesame" not in "\n".join(connection.iterdump())
    assert "sesame" not in json.dumps(door.relay.describe())


def test_a_relay_to_itself_ends_after_one_round(served: Served) -> None:
    door = served.services.telemetry
    door.relay.configure(served.url, None)
    (body,) = bodies("logs-only")
    post(served, body)
    wait_until(lambda: door.relay.forwarded and door.settled(1), "the round")
    settle(served)
    assert (door.relay.forwarded, len(door.relay._queue)) == (1, 0)
    assert counted()["batches", "logs"] == 2  # the second was all repetition
    assert counted()["repeated", "codex"] == counted()["stored", "codex"]


def test_a_busy_collector_is_asked_again(
    served: Served, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_FIRST_PAUSE", 0.01)
    collector.statuses = [503, 429]
    served.services.telemetry.relay.configure(collector.url, None)
    (body,) = bodies("logs-only")
    post(served, body)
    collector.wait(3)
    assert {got for _, got, _ in collector.got} == {body.data}


def test_a_collector_that_refuses_the_connection_is_asked_again(
    served: Served, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, post_on, tries = served.services.telemetry.relay, relay.Relay._post, list[str]()

    def cut_twice(self: relay.Relay, url: str, parcel: relay.Parcel) -> int:
        tries.append(url)
        # Nobody listens there: what a collector looks like while it restarts.
        there = url if len(tries) > 2 else "http://127.0.0.1:9/v1/logs"
        return post_on(self, there, parcel)

    monkeypatch.setattr(relay, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(relay.Relay, "_post", cut_twice)
    door.configure(collector.url, None)
    (body,) = bodies("logs-only")
    post(served, body)
    wait_until(lambda: door.forwarded + door.failed > 0, "the end of the batch")
    assert [got for _, got, _ in collector.got] == [body.data]
    assert (door.forwarded, door.failed, len(tries), door.last_error) == (1, 0, 3, None)


def test_a_dead_collector_costs_only_its_copies(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_FIRST_PAUSE", 0.01)
    door = served.services.telemetry
    door.relay.configure("http://127.0.0.1:9", None)
    for body in bodies("recommended-pb"):
        assert post(served, body) == 200
    settle(served)
    assert db.rows("select sum(input) from telemetry_usage") == [(6700,)]
    wait_until(lambda: door.relay.failed == 3, "all three failed")
    assert door.relay.describe()["lastError"] == "ConnectionError"


def test_too_much_for_the_collector_drops_the_oldest(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_MOST_BYTES", 10)
    one = relay.Relay()
    settings.change({"telemetryRelayUrl": "http://127.0.0.1:9"})
    for letter in b"abcd":
        one.offer(relay.Parcel("logs", bytes([letter]) * 4, JSON, ""))
    assert [parcel.body for parcel in one._queue] == [b"cccc", b"dddd"]
    assert one.dropped == 2


def test_what_waits_when_the_relay_ends_is_dropped(database: None) -> None:
    one = relay.Relay()
    one.configure("http://127.0.0.1:9", None)
    for _ in range(14):
        one.offer(relay.Parcel("logs", b"x", JSON, ""))
    one.configure("", None)
    one._send(relay.Parcel("logs", b"on its way", JSON, ""))
    found = one.describe()
    assert (found["waiting"], found["dropped"], found["failed"]) == (0, 15, 0)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        pytest.param("http://c:4318", "http://c:4318/v1/traces", id="a base"),
        pytest.param("http://c/x/", "http://c/x/v1/traces", id="a base with a path"),
        pytest.param("http://c/v1/logs", "http://c/v1/traces", id="the address of one signal"),
    ],
)
def test_where_a_signal_goes(base: str, expected: str) -> None:
    assert relay.target(base, "traces") == expected


@pytest.mark.parametrize(
    "url",
    ["ftp://c", "c:4318", "http://", "http://u:p@c", "http://c:99999", "http://c?token=x", "http://[",
     "http://exa mple", "http://exa\tmple", "http://" + "c" * 300],
)  # fmt: skip
def test_no_address_is_refused(url: str) -> None:
    with pytest.raises(Unprocessable, match="address"):
        relay.check_url(url)


@pytest.mark.parametrize(
    "header", ["x", ": v", "a b: c", "x:", "x: a\nb: c", "Host: c", "x: é", "x: " + "a" * 5000]
)
def test_no_header_is_refused(header: str) -> None:
    with pytest.raises(Unprocessable, match="header"):
        relay.check_header(header)
