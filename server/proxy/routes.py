"""What Codex and other clients talk to: the proxy's routes, as one WSGI layer.

It sits in front of Flask, because the hot paths need nothing of it. A thread opens a stream and
hands it to the relay; `Watcher` ends it when its client leaves or time is up.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import orjson
from waitress.channel import ClientDisconnected
from werkzeug.http import parse_etags

from server import errors
from server.accounts.pool import Pool
from server.auth.keys import Key, Keys
from server.config import Config
from server.errors import AppError, Unauthorized
from server.ingest.redact import redact
from server.proxy import body as bodies
from server.proxy import errand, headers, place, policy, translate
from server.proxy.budget import Budget
from server.proxy.carry import Carry, Ends, Keeper
from server.proxy.catalogue import Catalogue, tag_of
from server.proxy.chat import Answer, refusal
from server.proxy.chooser import Chooser, Wanted
from server.proxy.fold import Fold
from server.proxy.forward import Cut, Gone, PassOn, Turn, Work
from server.proxy.gate import Gate
from server.proxy.lane import KEY, Detached, Lane
from server.proxy.local import Local
from server.proxy.memory import Memory
from server.proxy.recorder import WAIT_SECONDS, Record, Recorder, SeesRequests
from server.proxy.relay import Relay
from server.proxy.slots import Slots
from server.proxy.sse import encode
from server.proxy.upstream import Upstream
from server.store import db, settings

log = logging.getLogger(__name__)

StartResponse = Callable[..., Any]
WSGI = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_POOL_SECONDS = 1.0  # how long the pool's allowance headers are taken from memory
_DAY = 86_400_000
_SOON = 60  # seconds that SDKs wait by themselves before they ask again
_CHAT = "/v1/chat/completions"
_AUDIO = "/v1/audio/transcriptions"  # OpenAI's name for the side call that Codex has too
_UPLOADED = re.compile(r"/backend-api/files/([A-Za-z0-9_.-]{1,200})/uploaded")


class Proxy:
    """The proxy: its routes, its threads, and what it has open."""

    def __init__(
        self, config: Config, pool: Pool, ledger: SeesRequests, keys: Keys | None = None
    ) -> None:
        self.pool = pool
        self.upstream = Upstream(config.upstream_base_url)
        self.memory = Memory(pool)
        self.budget = Budget()
        self.chooser = Chooser(pool, self.memory)
        self._config = config
        self._gate = Gate(keys or Keys())
        self._recorder = Recorder(ledger, self._gate.keys, config.data_dir)
        self._relay = Relay()
        self._keeper = Keeper(self._relay)
        self._catalogue = Catalogue(pool, self.upstream)
        self._local = Local(config, pool)
        self._slots = Slots(config.threads)
        self._open: dict[str, Record] = {}
        self._draining = False
        self._allowance: tuple[float, list[headers.Header]] = (0.0, [])
        self._routes: dict[str, dict[str, WSGI]] = {
            "/backend-api/codex/responses": {"POST": self._responses},
            "/v1/responses": {"POST": self._responses},
            _CHAT: {"POST": self._responses},
            "/backend-api/codex/models": {"GET": self._models},
            "/v1/models": {"GET": self._models},
            "/backend-api/codex/responses/compact": {"POST": self._errand},
            "/v1/responses/compact": {"POST": self._errand},
            "/backend-api/files": {"POST": self._errand},
            "/backend-api/transcribe": {"POST": self._errand},
            _AUDIO: {"POST": self._errand},
        }
        self._answered: dict[str, dict[str, WSGI]] = {
            "/backend-api/wham/accounts/check": {"GET": self._accounts_check},
            "/backend-api/wham/usage": {"GET": self._usage},
            "/api/codex/usage": {"GET": self._usage},
            "/backend-api/codex/analytics-events/events": {"POST": _thrown_away},
        }

    # ── for the app ───────────────────────────────────────────────────────────────────────

    def report_to(self, notices: list[str]) -> None:
        """Put sentences for the user into this list, as long as they hold: rows cannot be kept."""
        self._recorder.notices = notices
        self._local.report_to(notices)

    def look_at_clients(self) -> None:
        """Whether Codex's settings here still lead past us, or do by now: a scheduler job."""
        self._local.look()

    def wsgi(self, next_app: WSGI) -> WSGI:
        """The layer: serves its own paths and passes the rest on."""

        def layer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            path = str(environ.get("PATH_INFO") or "/")
            methods = self._methods(path)
            if methods is None:
                place.streams.leave()
                return next_app(environ, start_response)
            place.streams.meet()
            try:
                if path.rstrip("/") not in self._answered:
                    environ["brimline.key"] = self._admit(environ)
                route = methods.get(str(environ.get("REQUEST_METHOD")))
                if route is None:
                    raise AppError(
                        f"Use {' or '.join(methods)} here.", status=405, code="method_not_allowed"
                    )
                return route(environ, start_response)
            except AppError as error:
                return _answer_error(_for_caller(error, environ, path), start_response)
            except ClientDisconnected:
                raise
            except Exception:
                number = secrets.token_hex(4)
                log.exception("unexpected error %s on %s", number, path)
                message = f"Something went wrong inside Brimline (number {number}); see its log."
                return _answer_error(AppError(message, code="server_error"), start_response)

        return layer

    def start(self) -> None:
        """Start the threads that watch streams and write the log."""
        self.upstream.start()
        self._recorder.start()
        self._relay.start()

    def stop(self) -> None:
        """End what is open, write what is finished, end the threads."""
        self._draining = True
        self.upstream.stop()
        limit = time.monotonic() + 2
        while self._open and time.monotonic() < limit:
            time.sleep(0.01)
        self._recorder.stop()
        self._relay.stop()
        try:
            # The scheduler stores pins every few seconds; the last ones would be lost, and with
            # them the account (and its prompt cache) of each thread that waits for our return.
            self.pool.flush()
        except Exception as error:
            why = db.fault(error)
            log.warning("what the pool remembers could not be stored: %s", why, exc_info=not why)

    def drain(self) -> None:
        """Refuse new streams; those that are open go on."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Whether new streams are refused, because the server is about to end."""
        return self._draining

    def active(self) -> int:
        """How many requests are open."""
        return len(self._open)

    def live(self) -> list[dict[str, Any]]:
        """The requests that are open, oldest first."""
        return [
            {
                "requestId": record.id,
                "startedAt": record.started_at,
                "model": record.model,
                "accountId": record.account,
                "apiKeyId": record.key,
                "endpoint": record.endpoint,
                "reason": record.reason,
                "firstEventMs": record.first_event_ms,
            }
            for record in sorted(self._open.copy().values(), key=lambda r: r.started_at)
        ]

    def models(self) -> list[dict[str, str]]:
        """The models users can choose, for `/api/models`."""
        return [
            {"id": model["slug"], "name": str(model.get("display_name") or model["slug"])}
            for model in self._catalogue.models()
            if model.get("visibility") != "hide"
        ]

    def refresh_models(self) -> None:
        """Bring the catalogue up to date (a scheduler job)."""
        self._catalogue.refresh()

    def forget_old(self) -> None:
        """Drop request-log rows older than the setting says (a scheduler job)."""
        days = int(settings.get("requestLogDays"))
        if days <= 0:
            return
        before = db.now_ms() - days * _DAY
        while True:
            # In small pieces, so that no other writer waits for long.
            with db.writing() as connection:
                gone = connection.execute(
                    "delete from request_log where id in "
                    "(select id from request_log where started_at < ? limit 1000)",
                    (before,),
                ).rowcount
            if gone < 1000:
                return

    # ── routes ────────────────────────────────────────────────────────────────────────────

    def _methods(self, path: str) -> dict[str, WSGI] | None:
        path = path.rstrip("/")
        if path.startswith("/backend-api/files/") and _UPLOADED.fullmatch(path):
            return {"POST": self._errand}
        return self._routes.get(path) or self._answered.get(path)

    def _admit(self, environ: Mapping[str, Any]) -> Key | None:
        key = self._gate.admit(environ)
        if key is not None:
            return key
        caller = environ.get("brimline.caller")
        if not self._config.loopback and getattr(caller, "kind", "anonymous") == "anonymous":
            raise Unauthorized(
                "Send the admin token as a bearer token: this server is open to the network.",
                code="invalid_api_key",
            )
        return None

    def _models(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        query = parse_qs(str(environ.get("QUERY_STRING") or ""), max_num_fields=20)
        version = query.get("client_version")
        catalogue = self._catalogue
        answer, tag = catalogue.for_codex(version[0]) if version else catalogue.for_others()
        shown = self._gate.only(environ["brimline.key"], answer)
        # Codex compares the tag with that of every answer, so it is the pool's whatever a key may
        # see of the list; only the whole list can then be known by it.
        known = shown is answer
        if not known and not version:
            tag, known = tag_of(shown), True
        given = parse_etags(environ.get("HTTP_IF_NONE_MATCH"))
        if known and given.contains_weak(tag.strip('"')):
            start_response("304 Not Modified", [("ETag", tag)])
            return [b""]
        return _answer(200, shown, [("ETag", tag)], start_response)

    def _accounts_check(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        return _answer(200, self._local.accounts_check(environ), (), start_response)

    def _usage(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        answer = self._local.usage(environ, self._gate.knows)
        return _answer(200, answer, [("Cache-Control", "no-store")], start_response)

    def _errand(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"]).rstrip("/")
        record = Record(id=f"req_{secrets.token_hex(12)}", endpoint=path, started_at=db.now_ms())
        if self._draining or not self._slots.acquire(_gone(environ)):
            return self._refuse_busy(record, start_response)
        self._open[record.id] = record
        try:
            reply = errand.run(self, self._asked(environ, record))
        except Gone:
            record.status = "cancelled"
            self._finish(None, record)
            raise ClientDisconnected from None
        except (AppError, PassOn) as error:
            return self._failed(error, None, record, start_response)
        except BaseException:
            record.error_code, record.http_status = "internal_error", 500
            self._finish(None, record)
            raise
        record.status, record.http_status = "success", reply.status
        self._finish(None, record)
        kept = headers.to_client(reply.headers, own=[])
        content = dict(reply.headers).get("content-type", "application/json")
        return _answer(reply.status, reply.body, kept, start_response, content)

    def _asked(self, environ: dict[str, Any], record: Record) -> errand.Errand:
        """The side call that a request stands for; a compaction is read as a request is."""
        given = headers.received(environ)
        record.client = _client(given)
        record.session = given.get("session-id")
        raw: bytes = environ["wsgi.input"].read()
        key: Key | None = environ["brimline.key"]
        accounts = None if key is None else key.accounts
        if record.endpoint.endswith("/compact"):
            read = bodies.read(raw, given.get("content-encoding", ""), openai=False)
            record.model, record.effort, record.tier = read.model, read.effort, read.tier
            self._gate.reserve(key, read, record)
            wanted = Wanted(
                model=read.model,
                sticky=_sticky(given, read, {}),
                previous=read.previous_response,
                files=read.files,
                turn_state=given.get("x-codex-turn-state"),
                accounts=accounts,
            )
            return errand.compaction(read, given, wanted, record, _gone(environ))
        self._gate.reserve_side_call(key, record)
        below = record.endpoint.removeprefix("/backend-api")
        below = "/transcribe" if below == _AUDIO else below
        uploaded = _UPLOADED.fullmatch(record.endpoint)
        wanted = Wanted(files=(uploaded[1],) if uploaded else (), accounts=accounts)
        return errand.Errand(below, raw, given, wanted, record, _gone(environ))

    def _responses(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"]).rstrip("/")
        record = Record(id=f"req_{secrets.token_hex(12)}", endpoint=path, started_at=db.now_ms())
        if self._draining or not self._slots.acquire(_gone(environ)):
            record.client = _client(headers.received(environ))
            return self._refuse_busy(record, start_response)
        self._open[record.id] = record
        turn: Turn | None = None
        try:
            work, collect = self._work(environ, record, openai=path.startswith("/v1/"))
            turn = Turn(self, work)
            lane: Lane | None = environ.get(KEY)
            if lane is not None and not collect:
                turn.launch()
                ends = self._ends(turn, work, start_response)
                raise Detached(Carry(self._keeper, lane, turn, ends).begin)
            turn.open()
            if collect:
                return self._collected(turn, work.fold, record, start_response)
            self._start(turn, record, self._pool_headers(), start_response)
            return self._events(turn, work, record)
        except Detached:
            raise
        except Gone:
            record.status, record.http_status = "cancelled", None
            self._finish(turn, record)
            raise ClientDisconnected from None
        except (AppError, PassOn) as error:
            return self._failed(error, turn, record, start_response)
        except BaseException:
            record.error_code, record.http_status = "internal_error", 500
            self._finish(turn, record)
            raise

    def _work(self, environ: dict[str, Any], record: Record, *, openai: bool) -> tuple[Work, bool]:
        given = headers.received(environ)
        record.client = _client(given)
        record.session = given.get("session-id")
        raw, coding = environ["wsgi.input"].read(), given.get("content-encoding", "")
        fold: Fold | Answer | None = Fold() if openai else None
        if record.endpoint == _CHAT:
            asked = translate.read(bodies.decode(raw, coding.strip().lower()))
            fold = Answer(asked, record.id, record.started_at // 1000)
            read = bodies.read(asked.encoded(), "", openai=True)
            read = replace(read, plain=True, stream=asked.stream)
        else:
            read = bodies.read(raw, coding, openai=openai)
        metadata = _metadata(given, read.metadata)
        record.model, record.effort, record.tier = read.model, read.effort, read.tier
        record.session = (
            record.session
            or _text(metadata.get("session_id"))
            or read.cache_key
            or _text(given.get("x-session-id"))
        )
        record.turn = _text(metadata.get("turn_id"))
        if metadata.get("thread_source") == _TITLE:
            record.kind, record.parent = "title", _text(metadata.get("parent_thread_id"))
        key: Key | None = environ["brimline.key"]
        self._gate.reserve(key, read, record)
        work = Work(
            body=read,
            headers=given,
            gone=_gone(environ),
            record=record,
            # A chat shows nothing before an item, and until then an error keeps its status.
            early=read.stream and record.endpoint != _CHAT,
            fold=fold,
            sticky=_sticky(given, read, metadata),
            accounts=None if key is None else key.accounts,
        )
        return work, not read.stream

    @staticmethod
    def _start(
        turn: Turn, record: Record, pool: list[headers.Header], start_response: StartResponse
    ) -> None:
        own = [
            ("Content-Type", "text/event-stream"),
            ("Cache-Control", "no-cache"),
            ("X-Accel-Buffering", "no"),
            *pool,
        ]
        record.http_status = 200
        start_response("200 OK", headers.to_client(turn.upstream_headers, own=own))

    def _ends(self, turn: Turn, work: Work, start_response: StartResponse) -> Ends:
        """What a stream without a thread needs of us."""
        fold, record = work.fold, work.record
        own = self._pool_headers()  # now: the relay, which starts the answer, must not wait for it

        def shape(found: list[bytes]) -> bytes:
            return b"".join(found if fold is None else map(fold.pass_on, found))

        def refuse(error: Exception) -> bytes:
            if isinstance(error, Gone):
                record.status, record.http_status = "cancelled", None
                self._finish(turn, record)
                return b""
            if not isinstance(error, AppError | PassOn):
                error = AppError("Something went wrong inside Brimline; see its log.")
            return b"".join(self._failed(error, turn, record, start_response))

        def failed() -> None:
            record.error_code, record.http_status = "internal_error", 500

        def broken_off() -> bytes:
            return b"" if record.status == "cancelled" else _broken_off(record, fold)

        return Ends(
            start=lambda: self._start(turn, record, own, start_response),
            refuse=refuse,
            shape=shape,
            finish=lambda then: self._finish(turn, record, then),
            failed=failed,
            broken_off=broken_off,
            wait=WAIT_SECONDS,
        )

    def _events(self, turn: Turn, work: Work, record: Record) -> Iterator[bytes]:
        fold = work.fold
        try:
            for found in turn.events():
                yield b"".join(found if fold is None else map(fold.pass_on, found))
        except Cut:
            self._finish(turn, record)
            if record.status == "cancelled":
                raise ClientDisconnected from None
            yield _broken_off(record, fold)
        finally:
            self._finish(turn, record)

    def _collected(
        self,
        turn: Turn,
        answer: Fold | Answer | None,
        record: Record,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        fold = answer or Fold()
        try:
            for found in turn.events():
                for event in found:
                    fold.pass_on(event)
        except Cut as error:
            turn.close()
            if record.status == "cancelled":
                raise Gone from error
            message = "The provider's answer broke off. It may have been counted; try again."
            raise AppError(message, status=502, code="stream_incomplete") from error
        turn.close()
        own = self._pool_headers()
        kept = headers.to_client(turn.upstream_headers, own=own)
        if fold.response is None or fold.response.get("status") == "failed":
            raise AppError(
                record.error_message or "The provider reported an error and no reason.",
                status=502,
                code=record.error_code or "server_error",
            )
        record.http_status = 200
        self._finish(turn, record)
        return _answer(200, orjson.dumps(fold.response), kept, start_response)

    # ── ends ──────────────────────────────────────────────────────────────────────────────

    def _refuse_busy(self, record: Record, start_response: StartResponse) -> Iterable[bytes]:
        stopping = self._draining
        why = "is stopping" if stopping else "serves as many streams as it can"
        # While it stops Codex shall go on asking, until another Brimline is there.
        error = (AppError if stopping else policy.Busy)(
            f"Brimline {why}. Try again in a moment.",
            status=503,
            code="proxy_busy",
            retry_after=2,
        )
        event = policy.event_for_codex(error) if _streams_to_codex(record) else None
        record.error_code, record.error_message = error.code, error.message
        record.http_status = error.status if event is None else 200
        record.duration_ms = record.elapsed()
        self._recorder.put(record, wait=0)
        if event is None:
            return _answer_error(error, start_response)
        return _answer_event(record, event, (), start_response)

    def _failed(
        self,
        error: AppError | PassOn,
        turn: Turn | None,
        record: Record,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        event = None
        if isinstance(error, AppError):
            record.error_code = record.error_code or error.code
            record.error_message = record.error_message or error.message
            error = _for_client(error, record)
            if turn is not None and turn.streams and _streams_to_codex(record):
                event = policy.event_for_codex(error)
        else:
            record.error_code = record.error_code or error.code or f"http_{error.status}"
            # The provider may quote what it was sent; keys and tokens in it are not kept.
            record.error_message = record.error_message or redact(error.message) or None
        record.http_status = error.status if event is None else 200
        self._finish(turn, record)
        own = self._pool_headers()
        if isinstance(error, PassOn):
            if _is_codex(record.client, record.endpoint) and policy.lacks_model(error.message):
                # Of a 400 of the provider's it prints the whole JSON.
                return _answer_error(policy.for_codex(policy.no_account("unable")), start_response)
            openai = record.endpoint.startswith("/v1/")
            body = _in_openai_words(error) if openai else error.body
            return _answer(error.status, body, own, start_response)
        if event is not None:
            return _answer_event(record, event, own, start_response)
        # A key's limit has the provider's code for "slow down", but it lasts for hours.
        lasting = error.code != "rate_limit_exceeded" or (error.retry_after or 0) > _SOON
        spent = error.status == 429 and lasting
        if spent or (turn is not None and turn.final):
            own = [*own, ("x-should-retry", "false")]  # SDKs would ask twice more
        return _answer_error(error, start_response, own)

    def _finish(
        self, turn: Turn | None, record: Record, then: Callable[[], None] | None = None
    ) -> None:
        """Free the slot and write the row, once; waits a little for the row to be on disk.

        With `then` it does not wait: that is called once the row is there.
        """
        if not record.ending.acquire(blocking=False):
            return
        try:
            if turn is not None:
                turn.close()
        finally:
            self._slots.release()
            record.duration_ms = record.elapsed()
            self._gate.settle(record)
            record.then = then
            self._recorder.put(record, wait=0)
            # Open until it is queued: `stop` writes only what has queued once nothing is open.
            self._open.pop(record.id, None)
        if then is None:
            record.written.wait(WAIT_SECONDS)

    def _pool_headers(self) -> list[headers.Header]:
        """The pool's allowance and our catalogue's tag: what every answer carries."""
        since, found = self._allowance
        now = time.monotonic()
        if now - since > _POOL_SECONDS:
            view = self.pool.whole(db.now_ms())
            found = headers.pool_allowance(view["windows"])
            self._allowance = now, found
        tag = self._catalogue.tag
        return [*found, ("x-models-etag", tag)] if tag else found


_TITLE = "thread_title"  # a thread of its own that Codex starts to find another's title


def _never() -> bool:
    return False


def _gone(environ: Mapping[str, Any]) -> Callable[[], bool]:
    found: Callable[[], bool] = environ.get("waitress.client_disconnected") or _never
    return found


def _thrown_away(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """A client's telemetry about itself: it belongs to nobody else, so it ends here."""
    return _answer(200, b"{}", (), start_response)


def _metadata(given: Mapping[str, str], inside: Mapping[str, Any]) -> Mapping[str, Any]:
    """What Codex says about the turn, in a header or in the body."""
    for text in (given.get("x-codex-turn-metadata"), inside.get("x-codex-turn-metadata")):
        if isinstance(text, str):
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
            if isinstance(value, dict):
                return value
    return inside


def _sticky(
    given: Mapping[str, str], read: bodies.Body, metadata: Mapping[str, Any]
) -> tuple[str, str] | None:
    """The kind and key of the thread this request belongs to; None when it has none.

    Sub-agents and reviews carry their parent's session. A title is made once, by anybody.
    """
    if metadata.get("thread_source") == _TITLE:
        return None
    if given.get("session-id"):
        return "session", given["session-id"][:255]
    if read.cache_key:
        return "prompt_cache", read.cache_key[:255]
    for name in ("x-session-id", "x-session-affinity"):
        if given.get(name):
            return "session", given[name][:255]
    return None


def _text(value: Any) -> str | None:
    return value[:255] if isinstance(value, str) and value else None


def _in_openai_words(error: PassOn) -> bytes:
    """The provider's refusal as SDKs read it; its `{"detail"}` would be lost on them."""
    value = orjson.loads(error.body)
    if isinstance(value.get("error"), dict):
        return error.body
    message = error.message or "The provider refused the request."
    return orjson.dumps(errors.openai_body(AppError(message, status=error.status, code="refused")))


def _for_client(error: AppError, record: Record) -> AppError:
    """An error in the words that this kind of client understands."""
    if record.endpoint == _CHAT:
        return refusal(error, datetime.now().astimezone())
    return policy.for_codex(error) if _is_codex(record.client, record.endpoint) else error


def _for_caller(error: AppError, environ: Mapping[str, Any], path: str) -> AppError:
    """The same before the request was read."""
    client = _client(headers.received(environ))
    return policy.for_codex(error) if _is_codex(client, path.rstrip("/")) else error


def _client(given: Mapping[str, str]) -> str | None:
    """What the client calls itself."""
    return (given.get("user-agent") or "").split(" ")[0][:100] or None


def _is_codex(client: str | None, path: str) -> bool:
    """Whether Codex asks for an answer of a model, in which it prints our sentences."""
    asks = path.endswith(("/responses", "/compact"))
    return asks and (client or "").lower().startswith("codex")


def _streams_to_codex(record: Record) -> bool:
    return record.endpoint.endswith("/responses") and _is_codex(record.client, record.endpoint)


def _broken_off(record: Record, fold: Fold | Answer | None) -> bytes:
    message = record.error_message or "The provider's stream broke off."
    if isinstance(fold, Answer):
        return fold.broken_off(message)
    return _failure(record, record.error_code, message)


def _failure(record: Record, code: str | None, message: str) -> bytes:
    """The event that ends a stream which failed."""
    # A bare `error` means nothing to Codex (it reports a stream that closed too soon).
    response = {
        "id": record.response_id or record.id,
        "object": "response",
        "created_at": record.started_at // 1000,
        "status": "failed",
        "error": {"code": code, "message": message, "type": "server_error"},
        "incomplete_details": None,
        "model": record.model,
        "output": [],
    }
    return encode({"type": "response.failed", "response": response})


def _answer_event(
    record: Record,
    event: tuple[str, str],
    extra: Iterable[headers.Header],
    start_response: StartResponse,
) -> Iterable[bytes]:
    """An answer that is nothing but its failure."""
    said = _failure(record, *event)
    return _answer(200, said, extra, start_response, "text/event-stream")


def _answer_error(
    error: AppError, start_response: StartResponse, extra: Iterable[headers.Header] = ()
) -> Iterable[bytes]:
    body = json.dumps(errors.openai_body(error)).encode()
    return _answer(error.status, body, [*errors.headers(error).items(), *extra], start_response)


def _answer(
    status: int,
    body: bytes,
    extra: Iterable[headers.Header],
    start_response: StartResponse,
    content: str = "application/json",
) -> Iterable[bytes]:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    fixed = [("Content-Type", content), ("Content-Length", str(len(body)))]
    start_response(f"{status} {phrase}", [*fixed, *extra])
    return [body]
