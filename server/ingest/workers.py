"""Reading many files at once: other processes fold, this one stores."""

from __future__ import annotations

import marshal
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from server.ingest.reader import Batch

WORTH_IT = 16 << 20  # bytes; below, starting a process costs more than it brings
# Storing is this process's alone, so it takes less of the reading.
_OWN_SHARE = 0.25

Read = tuple[Any, list[Batch], OSError | None]


def read(
    jobs: Sequence[Any],
    batches: Callable[[Any, Any, int | None], Iterator[Batch]],
    days: Any,
    whole: int,
) -> Iterator[Read]:
    """Each job with its batches, in no certain order.

    Other processes help where a fork is safe: on Linux, while this process has one thread.
    """
    count = min(os.cpu_count() or 1, 4) - 1
    if sys.platform != "linux" or threading.active_count() > 1 or whole < WORTH_IT or count < 1:
        for job in jobs:
            yield _one(job, batches, days)
        return
    own, shares = _share(jobs, count)
    children = [_child(share, batches, days) for share in shares]
    try:
        for job in own:
            yield _one(job, batches, days)
            for child in children:
                yield from child.ready()
        for child in children:
            yield from child.rest()
    finally:
        for child in children:
            child.close()


def _one(job: Any, batches: Callable[..., Iterator[Batch]], days: Any) -> Read:
    try:
        return job, list(batches(job, days, None)), None
    except OSError as error:
        return job, [], error


def _share(jobs: Sequence[Any], count: int) -> tuple[list[Any], list[list[Any]]]:
    """Longest first, each to whoever has least to do."""
    shares: list[list[Any]] = [[] for _ in range(count + 1)]
    weights = [_OWN_SHARE, *[1.0] * count]
    loads = [0.0] * (count + 1)
    for job in sorted(jobs, key=lambda job: job.offset - job.source.size):
        place = min(range(count + 1), key=loads.__getitem__)
        shares[place].append(job)
        loads[place] += (job.source.size - job.offset + 20_000) / weights[place]
    return shares[0], shares[1:]


class _Child:
    """A process that folds its share and sends what it found."""

    def __init__(self, pid: int, pipe: int, jobs: Sequence[Any]) -> None:
        self._pid = pid
        self._pipe = pipe
        self._jobs = jobs
        self._bytes = bytearray()
        self._done = 0

    def ready(self) -> Iterator[Read]:
        """What has arrived, without waiting."""
        with suppress(BlockingIOError):
            while part := os.read(self._pipe, 1 << 20):
                self._bytes += part
        yield from self._frames()

    def rest(self) -> Iterator[Read]:
        """Everything that is still to come; what a killed child left undone is an error."""
        os.set_blocking(self._pipe, True)
        while part := os.read(self._pipe, 1 << 20):
            self._bytes += part
            yield from self._frames()
        for job in self._jobs[self._done :]:
            yield job, [], OSError("the process that read this file ended early")
        self._done = len(self._jobs)

    def _frames(self) -> Iterator[Read]:
        start = 0
        while len(self._bytes) - start >= 8:
            size = int.from_bytes(self._bytes[start : start + 8], "little")
            if len(self._bytes) - start - 8 < size:
                break
            values = marshal.loads(self._bytes[start + 8 : start + 8 + size])  # noqa: S302
            start += 8 + size
            job = self._jobs[self._done]
            self._done += 1
            if isinstance(values, str):
                yield job, [], OSError(values)
            else:
                yield job, [Batch(*one) for one in values], None
        if start:
            del self._bytes[:start]

    def close(self) -> None:
        """Drop the pipe; a child that still writes ends by that."""
        os.close(self._pipe)
        os.waitpid(self._pid, 0)


def _child(jobs: Sequence[Any], batches: Callable[..., Iterator[Batch]], days: Any) -> _Child:
    receive, send = os.pipe()
    with suppress(ImportError, OSError, AttributeError):
        import fcntl

        fcntl.fcntl(send, fcntl.F_SETPIPE_SZ, 1 << 20)
    pid = os.fork()
    if pid:
        os.close(send)
        os.set_blocking(receive, False)
        return _Child(pid, receive, jobs)
    status = 1
    try:
        os.close(receive)
        with open(send, "wb", buffering=0) as pipe:  # noqa: PTH123 - from a descriptor
            for job in jobs:
                _, found, error = _one(job, batches, days)
                values = str(error) if error else [batch.plain() for batch in found]
                data = marshal.dumps(values)
                _send(pipe, len(data).to_bytes(8, "little") + data)
        status = 0
    finally:
        # No clean-up of what belongs to the parent: its database, its threads, its files.
        os._exit(status)


def _send(pipe: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[pipe.write(view) :]
