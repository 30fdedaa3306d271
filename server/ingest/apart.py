"""Reading beside a server: another process folds, so that requests need not wait for it.

A fork is not safe in a process with threads, so our own program is started again in a role that
nobody calls by hand (`scan-worker`). It gets its jobs on stdin and says on stdout what it found,
as plain values behind their length.
"""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any, NamedTuple

from server.ingest import workers
from server.ingest.files import Job, Source, fingerprint
from server.ingest.reader import Batch
from server.usage.days import Days, of_zone

ROLE = "scan-worker"


class Part(NamedTuple):
    """What a stretch of a job's file said."""

    number: int  # of the job
    error: str | None  # why the file could not be read further
    batch: Batch
    fingerprint: str


def parts(jobs: Sequence[Job], days: Days, limit: int) -> Generator[Part, None, None]:
    """Each job's file in batches of about `limit` calls, in the jobs' order.

    Ends early, without an error, when the other process cannot be started or dies: the jobs
    that were not finished are still to be done.
    """
    try:
        child = subprocess.Popen(  # noqa: S603 - ourselves
            _command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError:
        return
    if child.stdin is None or child.stdout is None:  # pragma: no cover - both are asked for
        return
    try:
        orders = [
            (_plain(job.source), job.offset, job.state, None if job.anew else limit) for job in jobs
        ]
        with suppress(OSError), child.stdin as pipe:
            marshal.dump((days.zone, orders), pipe)
        while (frame := _frame(child.stdout)) is not None:
            number, error, batch, stamp = frame
            yield Part(number, error, Batch(*batch), stamp)
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


def _command() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, ROLE]
    return [sys.executable, "-P", "-m", "server.ingest.apart"]


def _plain(source: Source) -> tuple[Any, ...]:
    return tuple(getattr(source, name) for name in Source.__slots__)


def _frame(pipe: IO[bytes]) -> tuple[Any, ...] | None:
    head = pipe.read(8)
    size = int.from_bytes(head, "little")
    data = pipe.read(size) if len(head) == 8 else b""
    if not data or len(data) < size:
        return None
    values: tuple[Any, ...] = marshal.loads(data)  # noqa: S302 - our own child's
    return values


def serve() -> int:
    """Be the other process."""
    with suppress(AttributeError, OSError):
        os.nice(5)  # the proxy goes first
    with open(0, "rb", closefd=False) as orders, open(1, "wb", closefd=False) as answers:  # noqa: PTH123
        try:
            zone, jobs = marshal.load(orders)  # noqa: S302 - our own parent's
        except (EOFError, ValueError, TypeError):
            return 2  # its parent died before it said what to do, or somebody typed the role
        days = of_zone(zone)
        for number, (source, offset, state, limit) in enumerate(jobs):
            job = Job(Source(*source), offset, state)
            for part in _fold(number, job, days, limit):
                data = marshal.dumps((*part[:2], part.batch.plain(), part.fingerprint))
                answers.write(len(data).to_bytes(8, "little") + data)
            answers.flush()
    return 0


def _fold(number: int, job: Job, days: Days, limit: int | None) -> Iterator[Part]:
    try:
        for batch in workers.batches(job, days, limit):
            yield Part(number, None, batch, fingerprint(job.source.path, batch.offset))
    except Exception as error:
        yield Part(number, workers.why(error), Batch(), "")


if __name__ == "__main__":
    sys.exit(serve())
