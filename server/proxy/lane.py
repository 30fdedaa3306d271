"""waitress with three changes: an answer may go on without its thread, threads start when they are
needed, and a stream does not cost its client the connection.

A WSGI application holds its thread until its answer ends. Here it may raise `Detached` once the
answer has begun; then the thread is free, and `Lane` writes the rest from anywhere. Everything else
(parsing, buffers, limits, noticing that the client left) stays waitress' own work.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.task import ThreadedTaskDispatcher, WSGITask

from server.proxy.loop import Watched

KEY = "brimline.lane"
_LAST_CHUNK = b"0\r\n\r\n"


class Detached(BaseException):  # not an Exception: nothing on the way up may answer it
    """The answer goes on elsewhere; `carry_on` is called when the thread has let go of it."""

    def __init__(self, carry_on: Callable[[], None]) -> None:
        super().__init__()
        self.carry_on = carry_on


class Lane:
    """The way to one client while its answer is open; one thread at a time may use it."""

    def __init__(self, task: Any) -> None:
        self._task = task
        self._channel = task.channel

    def write(self, data: bytes) -> None:
        """Send this, or keep it until the client reads; see `waiting`. Never waits itself.

        Raises `ClientDisconnected`.
        """
        task, channel = self._task, self._channel
        if not (data and task.wrote_header and task.chunked_response):
            task.write(data)
            return
        _write(channel, b"%X\r\n%b\r\n" % (len(data), data))

    @property
    def waiting(self) -> int:
        """How many bytes the client has not read yet."""
        return int(self._channel.total_outbufs_len)

    def end(self, *, whole: bool) -> None:
        """End the answer; not `whole`: so that the client can tell."""
        self._channel.end(_End(self._task, whole))

    @property
    def taken_up(self) -> bool:
        """Whether this client's next request is being served."""
        return any(request is not self._task.request for request in self._channel.requests)

    def drop(self) -> None:
        """Close the connection now, whatever the client has not read yet."""
        self.end(whole=False)
        channel = self._channel
        with suppress(OSError):  # the server stopped meanwhile
            # In the loop's own thread, which else would wait until the client can be written to.
            channel.server.trigger.pull_trigger(channel.handle_close)

    def work(self, job: Callable[[], None]) -> None:
        """Let one of the server's threads do something for this client that may take time."""
        self._channel.server.add_task(_Job(job))


def _write(channel: Any, frame: bytes) -> None:
    """Send this without waitress' buffers, where there is room. Raises `ClientDisconnected`."""
    with channel.outbuf_lock:
        if not channel.connected:
            raise ClientDisconnected
        sent = 0 if channel.total_outbufs_len else _send(channel.socket, frame)
    if sent < len(frame):
        channel.write_soon(frame[sent:])


def _send(sock: Any, data: bytes) -> int:
    """Send what goes out at once: an event seldom has to go through waitress' buffers."""
    try:
        return int(sock.send(data))
    except OSError:
        return 0  # full, or broken: the channel finds out which


class _Job:
    """Something to do, as waitress' threads take it."""

    def __init__(self, job: Callable[[], None]) -> None:
        self.service = job

    def cancel(self) -> None:
        """The server stops; so does whatever this was for."""


class _End:
    """The end of an answer, as the channel takes a request's task."""

    def __init__(self, task: Any, whole: bool) -> None:
        self.request = task.request
        self.wrote_header = True
        self.close_on_finish = task.close_on_finish or not whole
        self._task = task
        self._whole = whole

    def service(self) -> None:
        """Write the last chunk."""
        task = self._task
        if self._whole:
            if task.wrote_header and task.chunked_response:
                _write(task.channel, _LAST_CHUNK)
            else:
                task.finish()
            self.close_on_finish = self.close_on_finish or task.close_on_finish


class _Hushed:
    """Stands in for a channel's server while an answer ends, so that its loop sleeps on."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def pull_trigger(self) -> None:
        """Not needed: whoever put this here looks whether the loop has something to do."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


class _Gather:
    """Stands in for a channel to collect what a task writes."""

    def __init__(self, channel: Any) -> None:
        self.server = channel.server
        self.found: list[bytes] = []

    def write_soon(self, data: bytes) -> None:
        """Collect."""
        self.found.append(data)


class _Task(WSGITask):  # type: ignore[misc]
    """waitress' task: knows its lane, and sends the head with the first words."""

    channel: Any

    def write(self, data: bytes) -> None:
        """Send this; the head goes out with the first of it."""
        if self.wrote_header or not data:
            super().write(data)
            return
        channel = self.channel
        gather = _Gather(channel)
        self.channel = gather
        try:
            super().write(data)
        finally:
            self.channel = channel
        channel.write_soon(b"".join(gather.found))

    def get_environment(self) -> dict[str, Any]:
        """The WSGI environment."""
        environ: dict[str, Any] = super().get_environment()
        environ[KEY] = Lane(self)
        self.environ = None  # waitress' copy: with the lane it would be a cycle, body included
        return environ

    def set_close_on_finish(self) -> None:
        """Close the connection behind this answer; not because it comes in chunks."""
        asked = self.request.headers.get("CONNECTION", "").lower() == "close"
        if self.wrote_header or not self.chunked_response or asked:
            super().set_close_on_finish()


class Channel(HTTPChannel):  # type: ignore[misc]
    """A client's connection, whose answer may go on without the thread that began it."""

    task_class: Any = _Task
    server: Any
    _detached = False
    _carried = False  # an answer goes on without a thread, and none is ending it

    def service(self) -> None:
        """Serve one request, or begin to."""
        self._detached = False
        try:
            super().service()
        except Detached as left:
            self._detached = self._carried = True
            left.carry_on()
        self.stir()

    @property
    def at_rest(self) -> bool:
        """Whether only a client's word, or `stir`, can change what to watch this for."""
        return self._quiet and (self._carried or not self.requests)

    @property
    def _quiet(self) -> bool:
        return not (self.total_outbufs_len or self.will_close or self.close_when_flushed)

    def stir(self) -> None:
        """Something has changed that the server's loop does not see by itself."""
        if (number := self._fileno) is not None and isinstance(self._map, Watched):
            self._map.stir(number)

    def write_soon(self, data: Any) -> int:
        """Send this, or keep it until the client reads."""
        sent = int(super().write_soon(data))
        if self._carried and self.total_outbufs_len:
            self.stir()
            self.server.pull_trigger()
        return sent

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Wait for a client that does not read; not for the relay, whose other streams go on."""
        if not self._detached:
            super()._flush_outbufs_below_high_watermark()

    def end(self, end: Any) -> None:
        """End an answer that went on without a thread: waitress' own after-care, once more."""
        if not self.requests:
            return  # the server stopped meanwhile
        # The client sends on but does not read: its next answer would keep a thread waiting.
        unread = len(self.requests) > 1 and self.total_outbufs_len > 0
        end.close_on_finish = end.close_on_finish or unread
        self._carried = False

        def once(*_: Any) -> Any:
            # Taken back before the last chunk goes out: with it the client may send its next
            # request, and another thread takes that up while this one is still here.
            self.task_class = _Task
            return end

        self.task_class = once
        server = self.server
        self.server = _Hushed(server)
        try:
            with suppress(ClientDisconnected):
                super().service()
        finally:
            self.server = server
            if self.requests or not (self.connected and self._quiet):
                self.stir()
                server.pull_trigger()


class Workers(ThreadedTaskDispatcher):  # type: ignore[misc]
    """The server's threads: each is started when there is work that nobody is free for."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def add_task(self, task: Any) -> None:
        """Let a thread do this as soon as one is free, or may be started."""
        with self.lock:
            self.queue.append(task)
            idle = len(self.threads) - self.stop_count - self.active_count
            if len(self.queue) <= idle or len(self.threads) >= self._most or self.stop_count:
                self.queue_cv.notify()
                return
            number = len(self.threads)
            self.threads.add(number)
            self.active_count += 1
            self.start_new_thread(self.handler_thread, number)
