"""One request's life: choose an account, attempt, fail over, relay, write it down.

Until an item of the answer has been shown to the client, another account may take over; after
that never, because a client runs a tool call as soon as it arrives.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from server.accounts.allowance import Usage, windows_from_headers
from server.accounts.pool import Pool
from server.accounts.provider import SignInNeeded
from server.errors import AppError
from server.proxy import headers, policy, sse
from server.proxy.balance import Choice
from server.proxy.body import Body
from server.proxy.budget import Budget
from server.proxy.chat import Answer
from server.proxy.chooser import Chooser, Wanted
from server.proxy.fold import Fold
from server.proxy.memory import Memory
from server.proxy.policy import Outcome, Tries
from server.proxy.recorder import Record
from server.proxy.upstream import Aborted, Exchange, HungUp, Outgoing, Unreachable, Upstream
from server.sentences import say
from server.store import db

log = logging.getLogger(__name__)

# Long enough to see an error that came in one breath with `response.created`, too short to feel.
BREATH = 0.0002
_LAST_BREATH = 0.1
_ERROR_BODY = 256 * 1024
_MOST_ATTEMPTS = 200  # every account may be tried; this only ends a mistake of ours


class Gone(Exception):
    """The client left before there was anything to show it."""


class Cut(Exception):
    """The stream ended before the response did; the client must be able to tell."""


class PassOn(Exception):
    """The provider's own refusal, to be shown as it came."""

    def __init__(self, status: int, body: bytes, code: str = "", message: str = "") -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.body = body
        self.code = code
        self.message = message


class Parts(Protocol):
    """What every turn uses."""

    pool: Pool
    upstream: Upstream
    memory: Memory
    chooser: Chooser
    budget: Budget


@dataclass
class Work:
    """One client's request, read."""

    body: Body
    headers: Mapping[str, str]
    gone: Callable[[], bool]
    record: Record
    early: bool  # whether `response.created` may be shown before more is known
    fold: Fold | Answer | None = None  # rewrites events for the OpenAI surface
    sticky: tuple[str, str] | None = None  # kind and key of its thread
    accounts: tuple[str, ...] | None = None  # those that the client's key may use

    @property
    def wanted(self) -> Wanted:
        """What bears on who serves it."""
        return Wanted(
            model=self.body.model,
            sticky=self.sticky,
            previous=self.body.previous_response,
            files=self.body.files,
            turn_state=self.headers.get("x-codex-turn-state"),
            accounts=self.accounts,
        )


@dataclass
class _Live:
    """An exchange whose answer is being read."""

    account: str
    exchange: Exchange
    began: int = 0  # ms of the request
    greeted: bool = False  # its head has been looked at
    outcome: Outcome | None = None  # how it failed before it was shown
    reader: sse.Reader = field(default_factory=sse.Reader)
    held: list[bytes] = field(default_factory=list)
    broken: str = ""
    failing: bool = False  # and nothing of it was shown that a repeat would contradict
    over: bool = False
    unshown: list[bytes] = field(default_factory=list)
    dropped: bool = False


class Turn:
    """Serves one request. `open`, then `events` to their end or not, then always `close`."""

    def __init__(self, parts: Parts, work: Work) -> None:
        self._pool = parts.pool
        self._upstream = parts.upstream
        self._memory = parts.memory
        self._chooser = parts.chooser
        self._budget = parts.budget
        self._budget.earn()
        self._work = work
        self._wanted = work.wanted
        self._record = work.record
        self._tries = Tries()
        self._choice = Choice(None, "")
        self._pending: _Live | None = None  # sent, and not known to be an answer
        self._live: _Live | None = None
        self._last: _Live | None = None  # the one whose end is the request's end
        self.news: tuple[str, Usage] | None = None  # for `learn`
        self._shown = False  # something reached the client
        self._sure = False  # an item did, or is about to
        self._left = False  # the client takes no more

    @property
    def upstream_headers(self) -> list[headers.Header]:
        """The headers of the answer that is being relayed."""
        return self._live.exchange.headers if self._live else []

    @property
    def final(self) -> bool:
        """Whether a repeat could be paid for twice."""
        return any(v.retry == "R2" for _, v in self._tries.verdicts)

    @property
    def streams(self) -> bool:
        """Whether the client reads events."""
        return self._work.body.stream

    def open(self) -> None:
        """Attempt until there is something to show.

        Raises `AppError` (our answer), `PassOn` (the provider's) or `Gone`.
        """
        self.launch()
        self.settle()

    def events(self) -> Iterator[list[bytes]]:
        """The events for the client, each whole, as they come. Raises `Cut` when they break off."""
        while (live := self._live) is not None:
            for found in self._relay(live):
                yield self._seen(found)
            if self._live is live:
                break
        if not self.ended:
            raise Cut

    # ── opening ───────────────────────────────────────────────────────────────────────────

    def launch(self, again: str | None = None, fresh: bool = False) -> None:
        """Send the request to one account after the other until one takes it.

        Its answer is then to be read: by `settle`, or by `watched` and `arrive`. Raises as `open`.
        """
        for _ in range(_MOST_ATTEMPTS):
            account = again or self._choose()
            if again is not None:
                self._pool.opened(account)
            outcome = self._dispatch(account, fresh=fresh)
            if outcome is None:
                return
            again, fresh = self._next(account, outcome)
        raise policy.give_up(self._tries)

    def settle(self) -> None:
        """Wait for the answer, and attempt on until there is one to show. Raises as `open`."""
        while (live := self._pending) is not None:
            self._pending = None
            live.exchange.attach()
            outcome = live.outcome or self._begin(live)
            self.learn()
            if outcome is None:
                self._show(live)
            else:
                self._note_attempt(live.account, live.began, outcome)
                self._drop(live)
                self.launch(*self._next(live.account, outcome))

    def watched(self) -> socket.socket | None:
        """The socket to watch for the answer of what was launched."""
        return self._pending.exchange.detach() if self._pending else None

    def arrive(self, *, last: bool) -> str:
        """Read what has come of the answer, without waiting.

        more: again when there is something to read; soon: again after a breath, and then with
        `last`; open: `detach` shows it; failing: `settle`, in a thread that may wait.
        """
        live = self._pending
        if live is None:
            return "failing"
        try:
            if not live.exchange.answered():
                return "more"
            state = "failing" if self._refused(live) else self._arrive(live)
        except (HungUp, Aborted) as error:
            live.outcome = broken(error)
            return "failing"
        if state == "open" or (state == "soon" and last):
            self._pending = None
            self._show(live)
            return "open"
        return state

    def _arrive(self, live: _Live) -> str:
        while (chunk := live.exchange.read_ready()) is not None:
            known = self._take_in(live, chunk)
            if isinstance(known, Outcome):
                live.outcome = known
                return "failing"
            if known:
                return "open"
        return "soon" if self._may_show(live) else "more"

    def learn(self) -> None:
        """Keep what an answer said of its account's allowance; may write to the database."""
        news, self.news = self.news, None
        if news is not None:
            self._pool.observe(*news, "headers")

    def _show(self, live: _Live) -> None:
        """This answer is the client's."""
        self._note_attempt(live.account, live.began, None)
        self._live = self._last = live

    # ── without a thread ──────────────────────────────────────────────────────────────────

    def detach(self) -> tuple[socket.socket | None, list[bytes]]:
        """Go on by `step` instead of `events`; returns the socket to watch and the first events."""
        live = self._live
        if live is None:
            return None, []
        held, live.held = live.held, []
        return live.exchange.detach(), self._seen(held)

    def step(self) -> tuple[list[bytes], str]:
        """Read what has come, without waiting: the events for the client, and what is next.

        more: read when there is something to read; now: read again; last: only the end of the
        answer is missing; over: nothing more comes; failing: `replace` may save it.
        """
        live = self._live
        if live is None:
            return [], "over"
        try:
            chunk = live.exchange.read_ready()
        except (HungUp, Aborted) as error:
            live.broken, chunk = str(error), b""
        if chunk is None:
            return [], "last" if live.reader.terminal else "more"
        found = self._pass(live, chunk)
        if live.failing:
            live.unshown = found
            return [], "failing"
        if live.over:
            return self._seen(found), "over"
        if live.exchange.at_hand:
            return self._seen(found), "now"
        return self._seen(found), "last" if live.reader.terminal else "more"

    def pause(self) -> None:
        """The client does not read: what the provider does not send now is no silence."""
        if self._live is not None:
            self._live.exchange.deadline = None

    def left(self) -> None:
        """The client stopped reading for good: it counts as one that left."""
        self._left = True

    def replace(self) -> list[bytes]:
        """Let another account take over, which may take time; else what is left to be shown.

        After it there is either an answer to `detach` again, or nothing.
        """
        live = self._live
        if live is None or self._take_over(live):
            return []
        return self._seen(live.unshown)

    @property
    def ended(self) -> bool:
        """Whether the client got an end that it understands."""
        return self._last is None or self._ended(self._last)

    @property
    def well(self) -> bool:
        """Whether nothing but the usual is left to do: `close` will not wait for anything."""
        return self._last is not None and self._last.reader.terminal is not None

    def _seen(self, found: list[bytes]) -> list[bytes]:
        if found and not self._shown:
            self._shown = True
            self._record.first_event_ms = self._record.elapsed()
        return found

    def close(self) -> None:
        """Release what is held, and note in the record how it ended. Call it once."""
        held = [live for live in (self._live, self._pending) if live is not None]
        self._live = self._pending = None
        if self._last is not None:
            self._note_end(self._last)
        for live in held:
            self._drop(live)

    # ── choosing ──────────────────────────────────────────────────────────────────────────

    def _choose(self) -> str:
        """An account whose stream is ours now; waits in line while all are busy."""
        choice = self._take(frozenset(self._tries.accounts))
        self._choice = choice
        if choice.account is None:
            if choice.state == "busy" and self._work.gone():
                raise Gone
            if self._tries.stale is not None:
                # Nobody else can; on a new connection this one may.
                account, self._tries.stale = self._tries.stale, None
                self._pool.opened(account)
                return account
            raise self._nobody(choice)
        return choice.account

    def _take(self, tried: frozenset[str]) -> Choice:
        if self._tries.ambiguous:
            # Nothing else may be tried after this.
            return self._chooser.take_surest(self._wanted, tried, self._work.gone)
        return self._chooser.take_patiently(self._wanted, tried, self._work.gone)

    def _nobody(self, choice: Choice) -> Exception:
        """The answer when no account can take the request (any more)."""
        if policy.cut_off(self._tries):
            return policy.give_up(self._tries)
        if choice.state == "busy":
            return policy.busy()
        if self._owner_is_away(choice):
            return policy.owner_away(self._wanted.previous is not None)
        failed = policy.serious(self._tries)
        if failed and all(verdict.word == "no such model" for _, verdict in failed):
            return passed(failed[-1][0])
        if failed and choice.state != "blocked":
            return policy.give_up(Tries(verdicts=failed))
        limited = any(verdict.block for _, verdict in self._tries.verdicts)
        if limited or choice.state == "blocked":
            return policy.dry(choice.retry_at, db.now_ms())
        if self._tries.verdicts:
            return policy.give_up(self._tries)
        return policy.no_account(choice.state)

    def _owner_is_away(self, choice: Choice) -> bool:
        """Whether the only account that can continue this is out for more than a moment."""
        if self._chooser.owner(self._wanted) is None:
            return False
        until = choice.retry_at
        if choice.state == "tried":
            last = self._tries.verdicts[-1][1]
            if last.block is None and last.word != "no token":
                return False
            until = last.until
        return until is None or until - db.now_ms() > policy.SHORT_WAIT

    # ── one attempt ───────────────────────────────────────────────────────────────────────

    def _dispatch(self, account: str, *, fresh: bool) -> Outcome | None:
        """Send the request to one account; None once it is under way."""
        began = self._record.elapsed()
        self._record.account, self._record.reason = account, self._choice.reason
        sent = self._send(account, fresh=fresh)
        if isinstance(sent, Outcome):
            self._chooser.give(account)
            self._note_attempt(account, began, sent)
            return sent
        self._pending = _Live(account, sent, began)
        return None

    def _note_attempt(self, account: str, began: int, outcome: Outcome | None) -> None:
        self._record.attempts.append(
            {
                "account": account,
                "outcome": "ok" if outcome is None else policy.describe(outcome),
                "status": 200 if outcome is None else outcome.seen,
                "ms": self._record.elapsed() - began,
                "reason": self._choice.reason,
            }
        )

    def _send(self, account: str, *, fresh: bool) -> Outcome | Exchange:
        try:
            token = self._pool.token(account)
        except AppError as error:
            # It needs a sign-in, could not be renewed now, or was removed meanwhile.
            needed = isinstance(error, SignInNeeded)
            return Outcome("token", code="sign_in_needed" if needed else "refresh_failed")
        self._tries.token = token.access_token
        body, given = self._work.body, self._own_state(account)
        sent = headers.to_upstream(given, token.access_token, token.upstream_id, plain=body.plain)
        self._pool.used(account, db.now_ms())
        outgoing = Outgoing("POST", "/codex/responses", sent, body.sent)
        try:
            return self._upstream.begin(outgoing, gone=self._work.gone, fresh=fresh)
        except (Unreachable, HungUp, Aborted) as error:
            return broken(error)

    def _own_state(self, account: str) -> Mapping[str, str]:
        """The client's headers; without a turn state that another account issued."""
        given = self._work.headers
        value = given.get("x-codex-turn-state")
        if value is None:
            return given
        owner = self._memory.owner(value)
        if owner is None and self._work.sticky is not None:
            # After a restart of ours the pin still tells who has been serving this thread.
            owner = self._pool.pinned(*self._work.sticky)
        if owner == account:
            return given
        return {name: text for name, text in given.items() if name != "x-codex-turn-state"}

    def _begin(self, live: _Live) -> Outcome | None:
        """Read until the answer is known to be good, or not; what was read is held back."""
        try:
            live.exchange.answered()
            if self._refused(live):
                named = {name.lower(): value for name, value in live.exchange.headers}
                return policy.refused(live.exchange.status, _error_body(live.exchange), named)
            return self._first_events(live)
        except (HungUp, Aborted) as error:
            return broken(error)

    def _refused(self, live: _Live) -> bool:
        """Whether the head says that this is no answer; notes what else it says."""
        if live.greeted:
            return False
        named = {name.lower(): value for name, value in live.exchange.headers}
        self._observe(live.account, named)
        if live.exchange.status != 200 or "text/html" in named.get("content-type", ""):
            return True
        live.greeted = True
        self._memory.own(named.get("x-codex-turn-state"), live.account)
        return False

    def _first_events(self, live: _Live) -> Outcome | None:
        while True:
            known = self._take_in(live, live.exchange.read1())
            if isinstance(known, Outcome):
                return known
            if known or (self._may_show(live) and not live.exchange.more_soon(BREATH)):
                return None

    def _take_in(self, live: _Live, chunk: bytes) -> Outcome | bool:
        """Hold back what these bytes complete: a failure, or whether the answer is surely good."""
        try:
            found = live.reader.feed(chunk) if chunk else live.reader.end()
        except sse.EventTooLarge:
            return Outcome("empty")
        # After a change of account the client has seen an opening already.
        live.held += [e for e in found if not (self._shown and sse.is_opening(e))]
        if live.reader.failure and not live.reader.begun:
            outcome = _outcome_of(live.reader.failure)
            if policy.classify(outcome, db.now_ms()).retry != "R4":
                return outcome
            # It would end the same anywhere, and clients know what to do with it.
            self._sure = True
            return True
        if live.reader.begun or live.reader.terminal:
            self._commit(live)
            return True
        return False if chunk else Outcome("empty")

    def _may_show(self, live: _Live) -> bool:
        """Whether an opening may be shown before more is known."""
        return bool(live.held) and self._work.early and not self._shown

    def _observe(self, account: str, named: Mapping[str, str]) -> None:
        if self._memory.said_before(account, named):
            return
        usage = windows_from_headers(named, db.now_ms())
        if usage.windows or usage.credits is not None:
            self.news = account, usage

    def _commit(self, live: _Live) -> None:
        """An account answers for certain: no other may any more, and the thread stays with it."""
        self._sure = True
        work = self._work
        self._pool.succeeded(live.account)
        self._memory.can(live.account, work.body.model)
        sticky = self._chooser.sticky(self._wanted)
        if sticky and not self._choice.keeps_pin:
            self._pool.pin(*sticky, live.account, db.now_ms())

    # ── after an attempt ──────────────────────────────────────────────────────────────────

    def _next(self, account: str, outcome: Outcome) -> tuple[str | None, bool]:
        """The account to try again, None to choose another; and whether on a new connection.

        Raises the answer for the client when there is nothing left to try.
        """
        now = db.now_ms()
        verdict = policy.classify(outcome, now)
        self._tries.verdicts.append((outcome, verdict))
        punish(self._pool, self._memory, account, verdict, self._choice.limit)
        unwelcome(self._pool, account, outcome, verdict, self._tries)
        if verdict.word == "no such model":
            self._memory.cannot(account, self._work.body.model, now)
        may_repeat = partial(self._budget.allows, outcome.kind)
        step = policy.next_step(outcome, verdict, account, self._tries, may_repeat)
        if verdict.retry == "R1":
            self._tries.ambiguous += 1
        if step == "stop":
            raise self._final(outcome, verdict)
        if step == "refresh" and self._refresh(account):
            return account, False
        self._tries.accounts.add(account)
        stale = outcome.kind == "stale"
        self._tries.stale = account if stale else None
        return None, stale

    def _refresh(self, account: str) -> bool:
        self._tries.refreshed.add(account)
        try:
            self._pool.refresh(account, self._tries.token)
        except AppError:
            return False
        self._tries.renewed.add(account)
        return True

    def _final(self, outcome: Outcome, verdict: policy.Verdict) -> Exception:
        if outcome.kind == "gone":
            return Gone()
        if outcome.kind == "status" and verdict.retry == "R4":
            return passed(outcome)
        return policy.give_up(self._tries)

    # ── relaying ──────────────────────────────────────────────────────────────────────────

    def _relay(self, live: _Live) -> Iterator[list[bytes]]:
        """The events of one answer, until its end or until another account takes over."""
        if live.held:
            held, live.held = live.held, []
            yield held
        while not (live.reader.terminal and not live.exchange.more_within(_LAST_BREATH)):
            found = self._pass(live, self._read(live))
            if live.failing and self._take_over(live):
                return
            if found:
                yield found
            if live.over:
                return

    def _pass(self, live: _Live, chunk: bytes) -> list[bytes]:
        """The events that these bytes complete; notes in `live` what they mean."""
        found = self._feed(live, chunk)
        live.over = not chunk or bool(live.broken)
        if not self._sure:
            live.failing = self._failing(live, chunk)
            if live.reader.begun or live.reader.terminal:
                self._commit(live)
        return found

    def _read(self, live: _Live) -> bytes:
        """The next bytes; empty at the end, however it came."""
        try:
            return live.exchange.read1()
        except (HungUp, Aborted) as error:
            live.broken = str(error)
            return b""

    def _feed(self, live: _Live, chunk: bytes) -> list[bytes]:
        try:
            return live.reader.feed(chunk) if chunk else live.reader.end()
        except sse.EventTooLarge as error:
            live.broken = error.message
            return []

    @staticmethod
    def _failing(live: _Live, chunk: bytes) -> bool:
        if live.reader.begun or live.reader.terminal:
            return False
        return live.reader.failure is not None or not chunk

    def _take_over(self, live: _Live) -> bool:
        """Give the request to another account after its opening was shown; False if none can."""
        outcome = Outcome("hangup")
        if live.reader.failure is not None:
            outcome = _outcome_of(live.reader.failure)
        elif live.exchange.aborted:
            outcome = broken(Aborted(live.exchange.aborted))
        self._live = None
        self._drop(live)
        try:
            again, fresh = self._after(live.account, outcome)
            self.launch(again, fresh)
            self.settle()
        except (AppError, PassOn, Gone) as error:
            log.info("no other account took over: %s", type(error).__name__)
            return False
        return True

    def _after(self, account: str, outcome: Outcome) -> tuple[str | None, bool]:
        self._record.attempts[-1] |= {"outcome": policy.describe(outcome), "status": outcome.seen}
        return self._next(account, outcome)

    @staticmethod
    def _ended(live: _Live) -> bool:
        """Whether the client got an end that it understands."""
        return live.reader.terminal is not None or live.reader.failure is not None

    def _note_end(self, live: _Live) -> None:
        record, reader = self._record, live.reader
        record.response_id = reader.response_id
        record.tokens = reader.tokens
        self._memory.own(reader.response_id, live.account)
        if self._left:
            record.status = "cancelled"
            return
        if reader.terminal is not None:
            record.status = "incomplete" if reader.terminal.endswith("incomplete") else "success"
            return
        failure = reader.failure
        if failure is not None:
            record.error_code, record.error_message = failure.code, failure.message
            if reader.begun:
                verdict = policy.classify(_outcome_of(failure), db.now_ms())
                punish(self._pool, self._memory, live.account, verdict, self._choice.limit)
        elif live.exchange.aborted == "gone" or self._work.gone():
            record.status = "cancelled"
        else:
            record.error_code = "stream_incomplete"
            record.error_message = f"The provider's stream broke off ({live.broken or 'its end'})."

    def _drop(self, live: _Live) -> None:
        if not live.dropped:
            live.dropped = True
            self._upstream.release(live.exchange)
            self._chooser.give(live.account)


def _error_body(exchange: Exchange) -> bytes:
    found = bytearray()
    with suppress(HungUp, Aborted):
        while len(found) < _ERROR_BODY and (chunk := exchange.read1()):
            found += chunk
    return bytes(found)


def _outcome_of(failure: sse.Failure) -> Outcome:
    return Outcome(
        "event",
        status=failure.status,
        code=failure.code,
        message=failure.message,
        resets_at=failure.resets_at,
    )


def punish(
    pool: Pool, memory: Memory, account: str, verdict: policy.Verdict, limit: str | None
) -> None:
    """What a failure means for its account, or for the named limit that the request counts for."""
    if verdict.block and verdict.until is not None:
        if limit is not None:
            # The account's own allowance is not touched: other models go on there.
            memory.spend(account, limit, verdict.until)
        else:
            pool.block(account, verdict.block, verdict.until, verdict.word)
    elif verdict.counts:
        pool.failed(account, db.now_ms())


def unwelcome(
    pool: Pool, account: str, outcome: Outcome, verdict: policy.Verdict, tries: Tries
) -> None:
    """What a refusal means for the account's sign-in."""
    if dead := policy.gone(outcome):
        pool.refused(account, tries.token, dead)
    elif policy.sign_in_ended(outcome, verdict, account, tries):
        pool.refused(account, tries.token, outcome.code)
    elif verdict.word == "unauthorised" and account in tries.renewed:
        pool.doubt(account, tries.token)


def broken(error: Exception) -> Outcome:
    """How an attempt ended that has no answer."""
    if isinstance(error, Unreachable):
        return Outcome("unreachable")
    if isinstance(error, HungUp):
        return Outcome("stale" if error.kept else "hangup")
    why = error.why if isinstance(error, Aborted) else "slow"
    return Outcome("gone" if why in ("gone", "stopping") else "slow")


def passed(outcome: Outcome) -> Exception:
    """The provider's own refusal, to be shown as it came."""
    if outcome.json:
        return PassOn(outcome.status or 502, outcome.body, outcome.code, outcome.message)
    said = outcome.message or "The provider refused this request and did not say why in JSON."
    if outcome.page is not None:
        said = say("error.page", status=outcome.page)
    return AppError(said, status=outcome.status or 502, code=outcome.code or "upstream_error")
