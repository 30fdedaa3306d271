"""A side call for a client: one question to the provider, one answer, on an account of the pool.

Compaction of older clients, uploaded files, dictation. Unlike a turn nothing is streamed, so
an answer is read whole, and until then another account may always take over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson

from server.accounts.allowance import windows_from_headers
from server.accounts.pins import FILE
from server.accounts.pool import Token
from server.accounts.provider import SignInNeeded
from server.errors import AppError
from server.proxy import headers, policy, sse
from server.proxy.balance import Choice
from server.proxy.body import Body
from server.proxy.chooser import Wanted
from server.proxy.forward import Gone, Parts, broken, passed, punish, unwelcome
from server.proxy.policy import Outcome, Tries
from server.proxy.recorder import Record
from server.proxy.upstream import Aborted, Exchange, HungUp, Outgoing, Unreachable
from server.sentences import say
from server.store import db

_MOST_BYTES = 64 * 1024 * 1024
_MOST_ATTEMPTS = 20
# What a side call needs to be understood; the rest describes the client's own account or page.
_SENT = ("content-type", "content-encoding", "user-agent", "originator", "session-id", "version")
_KEPT = ("content-type", "content-disposition", "x-request-id")


@dataclass
class Errand:
    """What is asked: a path below the provider's base address, and who may be asked."""

    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    wanted: Wanted
    record: Record
    gone: Callable[[], bool]


def compaction(
    read: Body, given: Mapping[str, str], wanted: Wanted, record: Record, gone: Callable[[], bool]
) -> Errand:
    """What an older Codex asks to have its conversation shortened."""
    kept = {n: v for n, v in given.items() if not (read.plain and n == "content-encoding")}
    return Errand("/codex/responses/compact", read.sent, kept, wanted, record, gone)


@dataclass(frozen=True)
class Reply:
    """The provider's answer, whole."""

    status: int
    body: bytes = field(repr=False)
    headers: tuple[headers.Header, ...] = ()


def run(parts: Parts, errand: Errand) -> Reply:
    """Ask one account after the other until one answers.

    Raises `AppError` (our answer), `PassOn` (the provider's refusal) or `Gone`.
    """
    tries = Tries()
    parts.budget.earn()
    again: Choice | None = None
    for _ in range(_MOST_ATTEMPTS):
        choice = _choose(parts, errand, tries, again)
        account = str(choice.account)
        got = _attempt(parts, errand, choice, tries)
        if isinstance(got, Reply):
            parts.pool.succeeded(account)
            _learn(parts, errand, account, got)
            return got
        _note(parts, errand, choice, got, tries)
        again = choice if _again(parts, got, account, tries) else None
    raise policy.give_up(tries)


def _choose(parts: Parts, errand: Errand, tries: Tries, again: Choice | None) -> Choice:
    if again is not None:
        parts.pool.opened(str(again.account))
        return replace(again, reason=say("choice.again"))
    tried = frozenset(tries.accounts)
    take = parts.chooser.take_surest if tries.ambiguous else parts.chooser.take_patiently
    choice = take(errand.wanted, tried, errand.gone)
    if choice.account is None:
        raise Gone if errand.gone() else _nobody(choice, tries)
    return choice


def _nobody(choice: Choice, tries: Tries) -> Exception:
    limited = any(verdict.block for _, verdict in tries.verdicts)
    failed = policy.serious(tries)
    if policy.cut_off(tries):
        return policy.give_up(tries)
    if choice.state == "busy":
        return policy.busy()
    if failed and all(verdict.word == "no such model" for _, verdict in failed):
        return passed(failed[-1][0])
    if limited or choice.state == "blocked":
        return policy.dry(choice.retry_at, db.now_ms())
    return policy.give_up(tries) if tries.verdicts else policy.no_account(choice.state)


def _attempt(parts: Parts, errand: Errand, choice: Choice, tries: Tries) -> Reply | Outcome:
    account, record = str(choice.account), errand.record
    before = record.elapsed()
    record.account, record.reason = account, choice.reason
    parts.pool.used(account, db.now_ms())
    try:
        got = _ask(parts, errand, account, tries)
    finally:
        parts.chooser.give(account)
    record.attempts.append(
        {
            "account": account,
            "outcome": policy.describe(got) if isinstance(got, Outcome) else "ok",
            "status": got.seen if isinstance(got, Outcome) else got.status,
            "ms": record.elapsed() - before,
            "reason": choice.reason,
        }
    )
    tries.accounts.add(account)
    return got


def _ask(parts: Parts, errand: Errand, account: str, tries: Tries) -> Reply | Outcome:
    try:
        token = parts.pool.token(account)
    except AppError as error:
        needed = isinstance(error, SignInNeeded)
        return Outcome("token", code="sign_in_needed" if needed else "refresh_failed")
    tries.token = token.access_token
    try:
        outgoing = Outgoing("POST", errand.path, _headers(errand, token), errand.body)
        # A new connection: a kept one that had died would make the end unclear.
        exchange = parts.upstream.open(outgoing, gone=errand.gone, fresh=True)
    except (Unreachable, HungUp, Aborted) as error:
        return broken(error)
    try:
        return _read(parts, exchange, account)
    except (HungUp, Aborted) as error:
        return broken(error)
    finally:
        parts.upstream.release(exchange)


def _headers(errand: Errand, token: Token) -> list[headers.Header]:
    given = {name: value for name, value in errand.headers.items() if name in _SENT}
    sent = headers.to_upstream(given, token.access_token, token.upstream_id, plain=False)
    return [(n, v) for n, v in sent if n != "accept"] + [("accept", "application/json")]


def _read(parts: Parts, exchange: Exchange, account: str) -> Reply | Outcome:
    named = {name.lower(): value for name, value in exchange.headers}
    usage = windows_from_headers(named, db.now_ms())
    if usage.windows or usage.credits is not None:
        parts.pool.observe(account, usage, "headers")
    body = bytearray()
    while chunk := exchange.read1():
        body += chunk
        if len(body) > _MOST_BYTES:
            return Outcome("status", 502, message="its answer is far too large")
    if exchange.status < 300 and "text/html" not in named.get("content-type", ""):
        kept = tuple((name, named[name]) for name in _KEPT if name in named)
        return Reply(exchange.status, bytes(body), kept)
    return policy.refused(exchange.status, bytes(body), named)


def _note(parts: Parts, errand: Errand, choice: Choice, outcome: Outcome, tries: Tries) -> None:
    """What a failure teaches about its account, as with a turn. Raises `Gone`."""
    if outcome.kind == "gone":
        raise Gone
    account, now = str(choice.account), db.now_ms()
    verdict = policy.classify(outcome, now)
    tries.verdicts.append((outcome, verdict))
    punish(parts.pool, parts.memory, account, verdict, choice.limit)
    unwelcome(parts.pool, account, outcome, verdict, tries)
    if verdict.word == "no such model":
        parts.memory.cannot(account, errand.wanted.model, now)


def _again(parts: Parts, outcome: Outcome, account: str, tries: Tries) -> bool:
    """Whether to ask this account again, with a new token, not another. Raises the end."""
    verdict = tries.verdicts[-1][1]
    may_repeat = partial(parts.budget.allows, outcome.kind)
    step = policy.next_step(outcome, verdict, account, tries, may_repeat)
    tries.ambiguous += verdict.retry == "R1"
    if step == "refresh":
        tries.refreshed.add(account)
        with suppress(AppError):
            parts.pool.refresh(account, tries.token)
            tries.renewed.add(account)
            return True
        return False
    if step == "stop":
        if outcome.kind == "status" and verdict.retry == "R4":
            raise passed(outcome)
        raise policy.give_up(tries)
    return False


def _learn(parts: Parts, errand: Errand, account: str, reply: Reply) -> None:
    """Who holds what the answer names, and what it used."""
    try:
        said: Any = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return
    if not isinstance(said, dict):
        return
    name = said.get("file_id")
    if errand.path == "/files" and isinstance(name, str) and name:
        parts.pool.pin(FILE, name[:255], account, db.now_ms())
    if isinstance(said.get("id"), str) and errand.record.model is not None:
        errand.record.response_id = said["id"][:255]
        errand.record.tokens = sse.tokens(said.get("usage"))
