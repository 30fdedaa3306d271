"""The relay's thread: whatever is posted runs, however it sleeps."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from server.proxy.relay import Relay


@pytest.fixture
def relay() -> Iterator[Relay]:
    found = Relay()
    found.start()
    yield found
    found.stop()


def test_a_sleeping_relay_is_woken_each_time(relay: Relay) -> None:
    for _ in range(300):
        ran = threading.Event()
        relay.post(ran.set)
        assert ran.wait(30), "nobody woke it"


def test_nothing_that_many_threads_post_is_left_behind(relay: Relay) -> None:
    found: list[int] = []
    done = threading.Event()

    def post(first: int) -> None:
        for number in range(first, first + 250):
            relay.post(lambda number=number: found.append(number))  # type: ignore[misc]
            if number % 50 == 0:
                found_now = threading.Event()
                relay.post(found_now.set)
                assert found_now.wait(30)

    threads = [threading.Thread(target=post, args=(n * 250,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    relay.post(done.set)
    assert done.wait(30)
    assert sorted(found) == list(range(2000))


def test_what_is_posted_before_the_start_runs_with_it() -> None:
    relay, ran = Relay(), threading.Event()
    relay.post(ran.set)
    relay.start()
    try:
        assert ran.wait(30)
    finally:
        relay.stop()


def test_what_begins_does_not_queue_behind_what_is_open(relay: Relay) -> None:
    """Whatever an event of one stream leads to comes before the events of all others."""
    pairs = [socket.socketpair() for _ in range(4)]
    found: list[str] = []
    done = threading.Event()

    def ready(ear: socket.socket) -> None:
        found.append("event")
        relay.forget(ear)
        relay.post(lambda: found.append("new"))
        relay.after(0, lambda: found.append("due"))
        if found.count("event") == len(pairs):
            relay.after(0, done.set)  # behind the last that is due

    def begin() -> None:
        for bell, ear in pairs:
            bell.send(b"x")  # all are ready at the next look
            relay.watch(ear, lambda ear=ear: ready(ear))  # type: ignore[misc]

    relay.post(begin)
    assert done.wait(30)
    assert found == ["event", "new", "due"] * len(pairs)
    for pair in pairs:
        for sock in pair:
            sock.close()
