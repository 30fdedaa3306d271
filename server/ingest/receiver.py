"""The door for OTLP: read a body, answer at once, store afterwards.

A client that waits for a slow receiver holds up its user (Codex' exit took 5 to 21 s with a
receiver that never answered), so nothing here waits for the database. A bounded queue feeds
one writer thread; when it is full the batch is refused and counted.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from server.config import Config
from server.errors import AppError, BadRequest, TooLarge, Unauthorized, Unavailable
from server.ingest import otlp, witness
from server.ingest.otlp import Batch
from server.ingest.relay import PASSED, Parcel, Relay
from server.ingest.witness import Tally
from server.store import db, settings

log = logging.getLogger(__name__)

WIRE_LIMIT = 4 * 1024 * 1024
DECODED_LIMIT = 16 * 1024 * 1024
_MOST_EVENTS = 20_000  # waiting to be written: some 30 MB
_MOST_BATCHES = 4000
_TOGETHER = 400  # events a transaction, so that nobody else waits long for the writer's lock
_PATIENCE = 5.0  # seconds between attempts to write while the database cannot
_ATTEMPTS = 24
_MEMBERS = 100  # of one gzip body; each costs a copy of the rest
_ROOM = 200 * 1024 * 1024  # telemetry is not what the last of the disk is for
_LOOK_EVERY = 10.0
_RECENT = 2 * 3_600_000  # ms; older conversations are judged by the hour

# Exporters use an endpoint as it was configured, so a bare host sends all three signals to `/`.
PATHS: dict[str, str | None] = {
    "": None,
    "/otlp": None,
    **{f"/otlp/v1/{signal}": signal for signal in otlp.SIGNALS},
    **{f"/v1/{signal}": signal for signal in otlp.SIGNALS},
}
# With an exporter set, Codex asks its provider what its turns cost; we price calls ourselves.
_TURN_COSTS = "/analytics/codex/turn-costs"
_JSON = ("application/json",)
_PROTOBUF = ("application/x-protobuf", "application/protobuf")
_GRPC_CODES = {400: 3, 401: 16, 405: 12, 413: 8, 415: 3, 503: 14}
_REASONS = {
    400: "Bad Request", 401: "Unauthorized", 405: "Method Not Allowed",
    413: "Content Too Large", 415: "Unsupported Media Type", 503: "Service Unavailable",
}  # fmt: skip

_PASSED = "HTTP_" + PASSED.upper().replace("-", "_")
_MOST_PASSED = 1000

StartResponse = Callable[..., Any]
WSGI = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Receiver:
    """Accepts OTLP on its paths; `start` begins to store what was accepted."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.relay = Relay()
        self.last_batch_at: int | None = None
        self._queue: deque[Batch] = deque()
        self._events = 0
        self._tally: Tally = Counter()
        self._kept: Tally = Counter()  # counts that could not be stored yet
        self._wake = threading.Condition()
        self._stopping = threading.Event()
        self._busy = False
        self._thread: threading.Thread | None = None
        self._stored: int | None = None  # events in the table, once counted
        self._looked = 0.0
        self._full = False
        self._matched: tuple[Any, Any] | None = None
        self._mended = 0.0

    def wsgi(self, next_app: WSGI) -> WSGI:
        """The layer: serves OTLP and passes the rest on."""

        def layer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            path = str(environ.get("PATH_INFO") or "/").rstrip("/")
            method = environ.get("REQUEST_METHOD")
            if method == "POST" and path.endswith(_TURN_COSTS):
                return _no_costs(start_response)
            if path not in PATHS or (method != "POST" and path in ("", "/otlp")):
                return next_app(environ, start_response)
            json_body = _type(environ) not in _PROTOBUF
            try:
                if method != "POST":
                    raise AppError("Send OTLP with POST.", status=405, code="method_not_allowed")
                json_body = self._accept(environ, PATHS[path])
            except AppError as error:
                self._refused(error)
                return _refuse(error, start_response, json_body)
            return _success(start_response, json_body)

        return layer

    def start(self) -> None:
        """Start the thread that stores, and the relay."""
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()
        self.relay.start()

    def stop(self) -> None:
        """Store what was accepted (for at most two seconds), then end."""
        self.settled(2)
        self._stopping.set()
        with self._wake:
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(3)
        self.relay.stop()

    def settled(self, seconds: float) -> bool:
        """Wait until everything accepted so far is stored; False when that takes longer."""
        limit = time.monotonic() + seconds
        with self._wake:
            while self._queue or self._tally or self._busy:
                rest = limit - time.monotonic()
                if rest <= 0 or self._thread is None or not self._thread.is_alive():
                    return False
                self._wake.notify_all()
                self._wake.wait(min(rest, 0.05))
        return True

    def status(self) -> dict[str, Any]:
        """How the door fares: what waits, and whether the disk is too full to store."""
        return {
            "waitingBatches": len(self._queue),
            "waitingEvents": self._events,
            "diskFull": self._full,
            "lastBatchAt": self.last_batch_at,
        }

    # ── one request ───────────────────────────────────────────────────────────────────

    def _accept(self, environ: dict[str, Any], signal: str | None) -> bool:
        """Take one body; returns whether it was JSON."""
        self._check_caller(environ)
        wire = _read(environ)
        kind = _type(environ)
        encoding = str(environ.get("HTTP_CONTENT_ENCODING") or "").strip().lower()
        body = _unpack(wire, encoding)
        json_body = _is_json(kind, body)
        now = db.now_ms()
        try:
            batch = otlp.decode(signal, body, json=json_body, now=now)
        except otlp.MalformedError as error:
            raise BadRequest(str(error), code="malformed_otlp") from error
        except Exception as error:
            # A body we did not foresee is the sender's to hear of, never a 500.
            log.exception("an OTLP body of %d bytes could not be read", len(body))
            raise BadRequest("The body cannot be read as OTLP.", code="malformed_otlp") from error
        self._enqueue(batch)
        self.last_batch_at = now
        passed = str(environ.get(_PASSED) or "")[:_MOST_PASSED]
        self.relay.offer(Parcel(batch.signal, wire, _sent_type(kind, json_body), encoding, passed))
        return json_body

    def _check_caller(self, environ: dict[str, Any]) -> None:
        # On loopback whoever passed the guard runs on this computer, as Codex does.
        caller = environ.get("brimline.caller")
        if not self.config.loopback and getattr(caller, "kind", "") not in ("admin", "tray"):
            raise Unauthorized(
                "Send the admin token as a bearer token: set it in the exporter's headers.",
            )

    def _enqueue(self, batch: Batch) -> None:
        size = len(batch.events)
        with self._wake:
            waiting = self._events + size
            if self._queue and (waiting > _MOST_EVENTS or len(self._queue) >= _MOST_BATCHES):
                raise Unavailable(
                    "Brimline cannot store telemetry as fast as it comes; send it again later.",
                    code="telemetry_queue_full",
                    retry_after=5,
                )
            self._queue.append(batch)
            self._events = waiting
            self._wake.notify_all()

    def _refused(self, error: AppError) -> None:
        with self._wake:
            self._tally["refused", error.code] += 1

    # ── the writer thread ─────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._tally and not self._stopping.is_set():
                    self._wake.wait()
                if not self._queue and not self._tally:
                    return
                batches, tally = self._take()
            self._store(batches, tally)
            with self._wake:
                self._busy = False
                self._wake.notify_all()
            # A breath: the proxy's recorder and the indexer want the writer's lock as well.
            self._stopping.wait(0.001)

    def _take(self) -> tuple[list[Batch], Tally]:
        batches: list[Batch] = []
        size = 0
        while self._queue and (not batches or size + len(self._queue[0].events) <= _TOGETHER):
            batches.append(self._queue.popleft())
            size += len(batches[-1].events)
        self._events -= size
        tally, self._tally = self._tally, Counter()
        self._busy = True
        return batches, tally

    def _store(self, batches: list[Batch], tally: Tally) -> None:
        """Write, trying again while the database cannot; gives up after two minutes."""
        if self._no_room():
            self._kept += tally
            self._kept["dropped", "disk full"] += sum(len(batch.events) for batch in batches)
            return
        tally += self._kept
        for attempt in range(_ATTEMPTS):
            try:
                with db.writing("telemetry") as connection:
                    new = witness.store(connection, batches, tally, db.now_ms())
                self._kept.clear()
                self._keep_within(new)
                return
            except Exception as error:
                if attempt == 0:
                    log.warning("telemetry cannot be stored (%s); trying again", error)
                if self._stopping.wait(_PATIENCE):
                    break
        lost = sum(len(batch.events) for batch in batches)
        log.error("%d telemetry events were given up", lost)
        self._kept["dropped", "could not be stored"] += lost

    def _no_room(self) -> bool:
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            try:
                self._full = shutil.disk_usage(self.config.data_dir).free < _ROOM
            except OSError:
                self._full = False
        return self._full

    def _keep_within(self, new: int) -> None:
        """The quota holds between the hourly clean-ups too."""
        if self._stored is None:
            self._stored = witness.count()
        else:
            self._stored += new
        most = int(settings.get("telemetryRows"))
        if self._stored > most + max(100, most // 50):
            self._stored -= witness.trim()

    # ── jobs of the scheduler ─────────────────────────────────────────────────────────

    def reconcile(self) -> None:
        """Join what was stored with the ledger, when either has changed."""
        known = db.revisions()
        if time.monotonic() - self._mended > 60:
            witness.mend()
            self._mended = time.monotonic()
        now = (known.get("telemetry"), known.get("calls"))
        if now != self._matched:
            witness.reconcile(since=db.now_ms() - _RECENT)
            known = db.revisions()
            self._matched = (known.get("telemetry"), known.get("calls"))

    def forget_old(self) -> None:
        """Remove what is older or more than the settings keep."""
        witness.forget_old(db.now_ms())
        witness.mark_helpers()
        self._stored = None


def _type(environ: dict[str, Any]) -> str:
    return str(environ.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()


def _sent_type(kind: str, json_body: bool) -> str:
    return kind or (_JSON[0] if json_body else _PROTOBUF[0])


def _is_json(kind: str, body: bytes) -> bool:
    if kind in _JSON:
        return True
    if kind in _PROTOBUF:
        return False
    if not kind:
        return body.lstrip()[:1] == b"{"
    raise AppError(
        "Send application/json or application/x-protobuf.",
        status=415,
        code="unsupported_media_type",
    )


def _read(environ: dict[str, Any]) -> bytes:
    # waitress has the body in full and its length is true, chunked ones included.
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > WIRE_LIMIT:
        raise TooLarge("An OTLP body may have 4 MiB; let the exporter send smaller batches.")
    return bytes(environ["wsgi.input"].read(length)) if length else b""


def _unpack(wire: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return wire
    if encoding != "gzip":
        raise AppError(
            "Send the body plain or with gzip.", status=415, code="unsupported_content_encoding"
        )
    body = b""
    rest = wire
    try:
        for _ in range(_MEMBERS):
            inflate = zlib.decompressobj(31)
            body += inflate.decompress(rest, DECODED_LIMIT + 1 - len(body))
            if len(body) > DECODED_LIMIT:
                raise TooLarge("An OTLP body may have 16 MiB when unpacked; send smaller batches.")
            if not inflate.eof:
                raise BadRequest("The gzip body ends too early.", code="malformed_otlp")
            rest = inflate.unused_data
            if not rest:
                return body
    except zlib.error as error:
        raise BadRequest("The body is not gzip.", code="malformed_otlp") from error
    raise BadRequest("The gzip body has too many members.", code="malformed_otlp")


def _success(start_response: StartResponse, json_body: bool) -> Iterable[bytes]:
    # An Export…ServiceResponse without a partial success: all was taken.
    body = b"{}" if json_body else b""
    kind = _JSON[0] if json_body else _PROTOBUF[0]
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _no_costs(start_response: StartResponse) -> Iterable[bytes]:
    body = b'{"turns":[]}'
    headers = [("Content-Type", _JSON[0]), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def _refuse(error: AppError, start_response: StartResponse, json_body: bool) -> Iterable[bytes]:
    """A google.rpc.Status in the form that was sent, as the OTLP specification asks."""
    code = _GRPC_CODES.get(error.status, 2)
    if json_body:
        body = json.dumps({"code": code, "message": error.message}).encode()
    else:
        text = error.message.encode()
        body = bytes((0x08, code, 0x12)) + _varint(len(text)) + text
    headers = [
        ("Content-Type", _JSON[0] if json_body else _PROTOBUF[0]),
        ("Content-Length", str(len(body))),
    ]
    if error.retry_after is not None:
        headers.append(("Retry-After", str(error.retry_after)))
    start_response(f"{error.status} {_REASONS.get(error.status, 'Error')}", headers)
    return [body]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
