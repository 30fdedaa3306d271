"""The threads of streams meet on one processor, and nothing else is held there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from server.proxy.place import Place

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="this system does not say where a thread runs, or has one processor",
)


@pytest.fixture
def place() -> Iterator[Place]:
    found = Place()
    found.turn_on()
    yield found


def in_a_thread(*steps: Callable[[], object]) -> list[set[int]]:
    """Where a thread may run after each step."""
    found: list[set[int]] = []

    def run() -> None:
        for step in steps:
            step()
            found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return found


def test_threads_meet_where_the_first_was(place: Place) -> None:
    first, second = in_a_thread(place.meet), in_a_thread(place.meet, place.follow)
    assert len(first[0]) == 1
    assert second == [first[0], first[0]]


def test_a_thread_follows_only_when_there_is_a_place(place: Place) -> None:
    everywhere = os.sched_getaffinity(0)
    assert in_a_thread(place.follow) == [everywhere]
    (met,) = in_a_thread(place.meet)
    assert in_a_thread(place.follow) == [met]


def test_other_work_and_its_programs_run_anywhere(place: Place) -> None:
    everywhere = os.sched_getaffinity(0)
    said: list[str] = []

    def ask() -> None:
        words = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
        said.append(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    met, left, _ = in_a_thread(place.meet, place.leave, ask)
    assert len(met) == 1
    assert left == everywhere
    assert said == [f"{len(everywhere)}\n"]


def test_a_thread_that_a_bound_one_started_may_leave(place: Place) -> None:
    everywhere = os.sched_getaffinity(0)
    inner: list[list[set[int]]] = []
    in_a_thread(place.meet, lambda: inner.append(in_a_thread(place.leave)))
    assert inner == [[everywhere]]


def test_after_a_pause_the_place_is_chosen_anew(place: Place) -> None:
    everywhere = os.sched_getaffinity(0)
    met, _, free, again = in_a_thread(place.meet, place.part, place.follow, place.meet)
    assert len(met) == len(again) == 1
    assert free == everywhere


def test_a_processor_that_is_taken_away_ends_it(place: Place) -> None:
    everywhere = os.sched_getaffinity(0)
    in_a_thread(place.meet)
    place._chosen = 1023  # as if it were no longer there
    assert in_a_thread(place.meet) == [everywhere]
    assert in_a_thread(place.meet) == [everywhere]


def test_nothing_happens_until_it_is_turned_on() -> None:
    everywhere = os.sched_getaffinity(0)
    assert in_a_thread(Place().meet) == [everywhere]
