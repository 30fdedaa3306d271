"""waitress on our loop: whatever it must notice about a connection that rests, it notices."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from server.config import Config
from tests.rig import BODY, CODEX, Rig, running, wait_until
from tests.upstream import Stream, completed


@pytest.fixture
def rig(config: Config, database: None) -> Iterator[Rig]:
    with running(config) as found:
        yield found


def at_rest(rig: Rig) -> list[bool]:
    """Whether each connection rests, and the loop asks it no more."""
    lively = rig._server.asyncore._lively
    channels = list(rig._server.active_channels.items())
    return [channel.at_rest and number not in lively for number, channel in channels]


def test_a_connection_that_rests_is_closed_when_its_time_is_up(rig: Rig) -> None:
    with socket.create_connection(("127.0.0.1", rig.port), timeout=30) as sock:
        wait_until(lambda: at_rest(rig) == [True], "it rests", 30)
        rig._server.adj.cleanup_interval = 0.1
        rig._server.adj.channel_timeout = 0
        rig._server.next_channel_cleanup = 0
        assert sock.recv(1) == b""
    wait_until(lambda: not rig._server.active_channels, "it is gone", 30)


def test_a_connection_that_rests_may_ask_again(rig: Rig) -> None:
    rig.provider.play(Stream(gap=0.01))
    body = json.dumps(BODY).encode()
    head = f"POST {CODEX} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", rig.port), timeout=30) as sock:
        for _ in range(3):
            sock.sendall(head.encode() + body)
            found = b""
            while not found.endswith(b"\r\n0\r\n\r\n"):
                piece = sock.recv(65536)
                assert piece, found
                found += piece
            assert completed() in found
            wait_until(lambda: at_rest(rig) == [True], "it rests", 30)


def test_requests_that_come_all_at_once_are_answered_in_turn(rig: Rig) -> None:
    rig.provider.play(Stream(gap=0.01))
    body = json.dumps(BODY).encode()
    head = f"POST {CODEX} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", rig.port), timeout=30) as sock:
        # More than the loop reads ahead: it must be told to read on after each answer.
        for _ in range(4):
            sock.sendall(head.encode() + body)
        found = b""
        while found.count(b"\r\n0\r\n\r\n") < 4:
            piece = sock.recv(65536)
            assert piece, found
            found += piece
        assert found.count(b"HTTP/1.1 200") == 4
        wait_until(lambda: at_rest(rig) == [True], "it rests", 30)


def test_a_client_that_leaves_while_its_stream_rests_is_noticed(rig: Rig) -> None:
    rig.provider.play(Stream([], end="silent"))
    body = json.dumps(BODY).encode()
    head = f"POST {CODEX} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", rig.port), timeout=30) as sock:
        sock.sendall(head.encode() + body)
        wait_until(lambda: rig.proxy.active() == 1, "it is served", 30)
        wait_until(lambda: at_rest(rig) == [True], "it rests", 30)
        wait_until(
            lambda: rig._server.task_dispatcher.active_count == 0, "no thread waits for it", 30
        )
    wait_until(lambda: rig.proxy.active() == 0, "it is over", 30)
    assert rig.row()["status"] == "cancelled"
