"""Time: events arrive as they come, and whatever nobody waits for ends soon."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from waitress.channel import HTTPChannel

from server.config import Config
from server.proxy import carry, upstream
from server.proxy.forward import Turn
from tests.rig import BODY, CODEX, OPENAI, Reply, Rig, running, wait_until
from tests.upstream import Silence, Stream, completed, created, item, message, spoken

BEGUN = [created(), *item(message("x"))]


@pytest.fixture
def rig(config: Config, database: None) -> Iterator[Rig]:
    with running(config) as found:
        yield found


def connect(rig: Rig, path: str = CODEX, *, small: bool = False, **fields: object) -> socket.socket:
    """Send a request on a bare socket, as a client that may vanish."""
    body = json.dumps(BODY | fields).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", rig.port))
    sock.sendall(head.encode() + body)
    return sock


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    found, seen = bytearray(), 0
    while found.find(mark, seen) < 0:
        seen = max(0, len(found) - len(mark))
        piece = sock.recv(65536)
        assert piece, bytes(found)
        found += piece
    return bytes(found)


@pytest.mark.parametrize("path", [CODEX, OPENAI, "/v1/chat/completions"])
def test_a_long_silence_is_kept_alive_by_comments(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(carry, "KEEP_SECONDS", 0.05)
    go = threading.Event()
    events = [created(), *item(message("x")), completed()]
    rig.provider.play(Stream(events, hold=(3, go)))
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
    sock = connect(rig, path, **chat if "chat" in path else {})
    comment = b": the provider is still at work\n\n"
    got = read_until(sock, comment)
    got += read_until(sock, comment)
    go.set()
    got += read_until(sock, b"[DONE]" if "chat" in path else b"response.completed")
    assert b"\n\n" + comment[:10] in got or b"\r\n" + comment[:10] in got, "between events"
    sock.close()
    wait_until(lambda: rig.row()["status"] == "success", "the row")
    assert not rig.proxy._keeper._open, "nothing is looked after any more"


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_each_event_arrives_when_it_is_sent(rig: Rig, framing: str) -> None:
    go = threading.Event()
    events = [created(), *item(message("x")), completed()]
    for held in range(1, len(events)):
        go.clear()
        rig.provider.play(Stream(events, framing=framing, hold=(held, go)))
        response = rig.open()
        got = b""
        while got.count(b"\n\n") < held:
            got += response.read1(65536)
        assert got == b"".join(events[:held])
        go.set()
        assert response.read() == b"".join(events[held:])
        response.close()


@pytest.mark.parametrize("path", [CODEX, OPENAI])
def test_events_split_anywhere_arrive_whole(rig: Rig, path: str) -> None:
    rig.provider.play(Stream(spoken("ä" * 50), bytewise=True))
    assert rig.send(None, path).kinds[-1] == "response.completed"


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    "fields",
    [pytest.param({}, id="streamed"), pytest.param({"stream": False}, id="collected")],
)
def test_a_client_that_left_frees_everything(rig: Rig, fields: dict[str, Any], reset: bool) -> None:
    rig.provider.play(Stream(BEGUN, end="silent"))
    sock = connect(rig, OPENAI, **fields)
    if not fields:
        read_until(sock, b"output_item.done")
    wait_until(lambda: rig.provider.responses(), "the request upstream")
    request = rig.provider.responses()[0]
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.close()
    assert request.closed.wait(30), "long before any deadline"
    wait_until(lambda: rig.proxy.active() == 0, "the slot is free")
    assert rig.row()["status"] == "cancelled"
    assert all(c.streams == 0 for c in rig.pool.candidates())


def test_a_client_that_leaves_before_the_head_frees_everything(rig: Rig) -> None:
    rig.provider.play(Silence())
    sock = connect(rig)
    wait_until(lambda: rig.provider.responses(), "the request upstream")
    sock.close()
    assert rig.provider.responses()[0].closed.wait(30), "long before any deadline"
    row = rig.row()
    assert (row["status"], row["http_status"]) == ("cancelled", None)
    assert len(rig.served()) == 1, "nobody else is asked for a client that left"


def test_a_client_that_stops_reading_is_not_taken_for_silence(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "IDLE_SECONDS", 2.0)
    rig._server.adj.outbuf_high_watermark = 1048576  # as the server has it
    rig.provider.play(Stream([created(), BIG]))
    sock = connect(rig, small=True)
    wait_until(rig.provider.responses, "the request upstream")
    wait_until(lambda: exchange(rig).deadline is None and waiting(rig) > carry._MUCH, "it is full")
    time.sleep(2.5)  # longer than the provider may be silent, while it is not
    assert BIG[-100:] in read_until(sock, b"\r\n0\r\n\r\n"), "whole, with the last chunk"
    sock.close()


BIG = completed(output=[message("x" * 8_000_000)])


def exchange(rig: Rig) -> upstream.Exchange:
    """The one that is open, as soon as it is."""
    wait_until(lambda: len(rig.proxy.upstream.watcher._open) == 1, "one exchange", 30)
    (found,) = rig.proxy.upstream.watcher._open
    return found


def waiting(rig: Rig) -> int:
    """How many bytes our clients have not read yet."""
    return sum(c.total_outbufs_len for c in list(rig._server.active_channels.values()))


LONG = [created(), *[item(message("x" * 9000))[1]] * 900]


@pytest.mark.parametrize(
    ("answer", "much", "status"),
    [
        pytest.param(Stream([created(), BIG], end="silent"), 0, "cancelled", id="no end comes"),
        pytest.param(Stream([created(), BIG]), 0, "cancelled", id="the end comes with the event"),
        pytest.param(
            Stream([created() + BIG], framing="length"), 0, "cancelled", id="all comes at once"
        ),
        pytest.param(Stream(LONG, end="silent"), 0, "cancelled", id="in mid-answer"),
        pytest.param(Stream([created(), BIG]), len(BIG) * 2, "success", id="with all sent"),
        pytest.param(Stream(LONG, end="cut"), len(BIG) * 2, "error", id="before our last words"),
    ],
)
def test_a_client_that_never_reads_is_let_go_and_stops_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, answer: Stream, much: int, status: str
) -> None:
    monkeypatch.setattr(carry, "_LOOKS", 12)
    monkeypatch.setattr(carry, "_MUCH", much or carry._MUCH)
    rig._server.adj.outbuf_high_watermark = 1048576  # as the server has it
    rig.provider.play(answer, Stream())
    sock = connect(rig, small=True)
    wait_until(rig.provider.responses, "the request upstream")
    limit = time.monotonic() + 1
    while time.monotonic() < limit:
        assert rig.send().kinds[-1] == "response.completed"
    wait_until(lambda: rig.proxy.active() == 0, "the slot is free")
    wait_until(lambda: not rig._server.active_channels, "the connection is closed")
    wait_until(lambda: rig._server.task_dispatcher.active_count == 0, "the thread is free")
    assert all(c.streams == 0 for c in rig.pool.candidates())
    wait_until(lambda: len(rig.rows()) == len(rig.served()), "the row")
    assert rig.rows()[0]["status"] == status
    sock.close()


def test_a_slow_client_is_not_let_go_while_it_takes_something(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carry, "_LOOKS", 30)  # TCP itself makes pauses of half a second
    # The system takes more of us only when a third of its own buffer is empty. That grows to
    # megabytes by itself, which a client on a busy machine does not read in the time it has.
    rig._server.adj.socket_options = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)]
    rig.provider.play(Stream([created(), BIG]))
    sock = connect(rig, small=True)
    began, got = time.monotonic(), 0
    while got < len(BIG):
        got += len(read_until(sock, b"xx"))
        time.sleep(0.0015)
    assert time.monotonic() - began > 1.6, "longer than a client may take nothing"
    wait_until(lambda: rig.row()["status"] == "success", "the row")
    sock.close()


def test_usage_is_booked_when_the_client_leaves_at_the_end(rig: Rig) -> None:
    rig.provider.play(Stream([*BEGUN, completed("resp_9")], end="silent"))
    sock = connect(rig)
    read_until(sock, b"response.completed")
    sock.close()
    row = rig.row()
    assert (row["status"], row["response_id"], row["input"]) == ("success", "resp_9", 1000)


def test_an_end_that_never_comes_is_not_waited_for(rig: Rig) -> None:
    rig.provider.play(Stream([*BEGUN, completed()], end="silent"))
    assert rig.send().kinds[-1] == "response.completed"


@pytest.mark.parametrize(
    ("limit", "attribute", "events"),
    [
        pytest.param("FIRST_BYTE_SECONDS", "deadline", [], id="no first byte"),
        pytest.param("IDLE_SECONDS", "deadline", BEGUN, id="silent in mid-stream"),
        pytest.param("TOTAL_SECONDS", "total", BEGUN, id="too long in all"),
    ],
)
def test_deadlines(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, limit: str, attribute: str, events: list[bytes]
) -> None:
    monkeypatch.setattr(upstream, limit, 1234.0)
    rig.provider.play(Stream(events, end="silent") if events else Silence())
    with ThreadPoolExecutor(1) as client:
        opening = client.submit(rig.open)
        wait_until(rig.provider.responses, "the request upstream")
        shown = b""
        while events and b"output_item.done" not in shown:
            shown += opening.result(30).read1(65536)
        # (The deadline is set anew whenever something is read.)
        wait_until(
            lambda: (getattr(exchange(rig), attribute) or 0) > time.monotonic() + 1000, limit
        )

        def over() -> bool:
            for each in list(rig.proxy.upstream.watcher._open):
                setattr(each, attribute, time.monotonic())  # as if the time had passed
            return not rig.proxy.active()

        wait_until(over, "its end")
        reply = Reply(opening.result(30))
    assert len(rig.served()) == 1, "a request that may have been taken is not sent again"
    if events:
        assert told_of_the_end(reply)
    else:
        assert (reply.status, reply.error["code"]) == (503, "server_is_overloaded")


def test_a_drip_is_ended_by_the_total_deadline(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "TOTAL_SECONDS", 0.5)
    rig.provider.play(Stream([*BEGUN, *spoken("x" * 5000)], bytewise=True, gap=0.01))
    reply = rig.send()
    assert reply.cut or reply.status == 503


def test_a_cut_is_seen_whatever_the_framing(rig: Rig) -> None:
    for framing in ("chunked", "length", "close"):
        rig.provider.play(Stream(BEGUN, framing=framing, end="cut"))
        assert told_of_the_end(rig.send())


def told_of_the_end(reply: Reply) -> bool:
    """Whether the answer ends as one that failed, and no client waits for more of it."""
    last = reply.events[-1]
    failed = last["type"] == "response.failed" and last["response"]["status"] == "failed"
    return failed and not reply.cut and last["response"]["error"]["code"] == "stream_incomplete"


def test_stopping_ends_open_streams(rig: Rig) -> None:
    rig.provider.play(Stream(BEGUN, end="silent"))
    response = rig.open()
    rig.proxy.stop()
    assert rig.proxy.active() == 0, "and not only given up on"
    assert Reply(response).kinds[-1:] == ["response.failed"]
    rig.proxy.start = lambda: None  # type: ignore[method-assign]


def test_what_ends_while_the_proxy_stops_has_its_row(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, go = threading.Event(), threading.Event()
    close = Turn.close

    def slowly(turn: Turn) -> None:
        ending.set()
        go.wait(30)
        close(turn)

    monkeypatch.setattr(Turn, "close", slowly)
    response = rig.open()
    assert ending.wait(30)
    assert rig.proxy.active() == 1, "not over before its row is queued"
    stopping = threading.Thread(target=rig.proxy.stop)
    stopping.start()
    go.set()
    stopping.join(30)
    assert [row["status"] for row in rig.rows()] == ["success"]
    response.close()


def test_many_streams_at_once_keep_their_order(rig: Rig) -> None:
    rig.provider.play(Stream([created(), *[b"data: {}\n\n"] * 20, *BEGUN[1:], completed()]))
    found: list[bool] = []

    def go() -> None:
        for _ in range(10):
            reply = rig.send()
            found.append(reply.body.endswith(completed()))

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80
    wait_until(lambda: len(rig.rows()) == 80, "a row each")
    assert {row["status"] for row in rig.rows()} == {"success"}


def test_a_stream_leaves_the_clients_connection_open(rig: Rig) -> None:
    rig.provider.play(Stream(gap=0.02))
    connection = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=30)
    for _ in range(3):
        connection.request("POST", CODEX, json.dumps(BODY))
        response = connection.getresponse()
        assert response.read().endswith(completed())
        assert not response.will_close
    connection.close()


def test_the_next_request_may_come_before_the_last_one_is_put_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = HTTPChannel.service

    def slowly(channel: HTTPChannel) -> None:
        served(channel)
        if threading.current_thread() is rig.proxy._relay:
            time.sleep(0.1)  # the client has its end, and asks on

    monkeypatch.setattr(HTTPChannel, "service", slowly)
    rig.provider.play(Stream(gap=0.02))  # so that the relay has it
    connection = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=30)
    for _ in range(3):
        connection.request("POST", CODEX, json.dumps(BODY))
        assert connection.getresponse().read().endswith(completed())
    connection.close()


def test_a_second_request_may_be_sent_before_the_first_answer(rig: Rig) -> None:
    rig.provider.play(Stream(gap=0.02))
    body = json.dumps(BODY).encode()
    head = f"POST {CODEX} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", rig.port), timeout=30) as sock:
        sock.sendall((head.encode() + body) * 2)
        found = b""
        while found.count(b"\r\n0\r\n\r\n") < 2:
            piece = sock.recv(65536)
            assert piece, found
            found += piece
    assert found.count(b"HTTP/1.1 200 OK") == found.count(b"event: response.completed") == 2


def test_a_server_without_our_channel_keeps_a_thread_for_the_stream(rig: Rig) -> None:
    rig._server.channel_class = HTTPChannel
    rig.provider.play(Stream(gap=0.02))
    assert rig.send().body.endswith(completed())
    assert rig.row()["status"] == "success"
    rig.provider.play(Stream(BEGUN, end="cut"))
    assert told_of_the_end(rig.send())


def test_open_streams_hold_no_threads(config: Config, database: None) -> None:
    with running(config, threads=120) as rig:
        rig.provider.play(Stream(BEGUN, end="silent"))
        streams = [connect(rig) for _ in range(60)]
        for sock in streams:
            read_until(sock, b"output_item.done")
        assert rig.proxy.active() == 60
        wait_until(lambda: rig._server.task_dispatcher.active_count < 10, "the threads are free")
        assert rig.proxy.active() == 60
        for sock in streams:
            sock.close()
        wait_until(lambda: rig.proxy.active() == 0, "all slots free")
