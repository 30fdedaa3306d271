"""Log and proxy records → one ledger row a response, none counted twice."""

from __future__ import annotations

from server.ingest.codex import lasted_of
from server.lazy import NamedTuple, record
from server.usage.pricing import Tokens, price

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

LOG, PROXY, TELEMETRY = 1, 2, 4
ASIDE = "agent"  # who asked, of a call in a side conversation of Claude

# A copied history is written in one go, so its lines carry the second of the fork; a long one
# takes longer, but no second for so many bytes.
_BURST_MS = 1000
_BURST_BYTES = 4 << 20
# Without a response id, log and proxy may differ by how long the client took to write its line.
_SAME_CALL_MS = 120_000


class Row(NamedTuple):
    """A row of the table `call`, in its columns' order."""

    id: str
    provider: str
    session: int | None
    turn_id: str | None
    model: str | None
    effort: str | None
    tier: str | None
    initiator: str
    started_at: int
    duration_ms: int | None
    input: int
    cached: int
    cache_written: int
    cache_written_1h: int  # a part of it
    output: int
    reasoning: int
    running: int | None
    context_window: int | None
    cost: int | None
    credits: int | None
    price_status: str
    source: int | None
    offset: int | None
    account: str | None
    seen: int


@record(slots=True)
class Finished:
    """What the proxy knows of one request that ended with usage."""

    response_id: str | None
    session_id: str | None
    turn_id: str | None
    model: str | None
    effort: str | None
    tier: str | None
    tokens: Tokens | None  # None: the stream ended without usage; no row is made
    account: str | None
    client: str | None
    started_at: int
    ended_at: int
    duration_ms: int | None
    kind: str | None = None  # of the conversation: title; None: nothing but a log tells
    parent: str | None = None  # the conversation whose title it finds, where Codex tells that
    title: str | None = None  # what to call its thread, should it be one of its own


class Emitted(NamedTuple):
    """What tells one legacy call from the next: the running total and its own tokens.

    Where every call uses the same, a fork's own say the same as those of its parent that were
    not copied; the turn tells them apart.
    """

    running: int | None
    input: int
    cached: int
    output: int
    reasoning: int
    turn: str | None = None


def from_proxy(finished: Finished, session: int | None) -> Row | None:
    """The row of a request; None when it carried no usage or no response id."""
    if finished.tokens is None or not finished.response_id:
        return None
    tokens = finished.tokens
    cost = price(finished.model, finished.tier, finished.ended_at, tokens)
    return Row(
        id=finished.response_id,
        provider="codex",
        session=session,
        turn_id=finished.turn_id,
        model=finished.model,
        effort=finished.effort,
        tier=finished.tier,
        initiator="unknown",
        started_at=finished.ended_at,
        duration_ms=finished.duration_ms,
        input=tokens.input,
        cached=tokens.cached,
        cache_written=tokens.cache_written,
        cache_written_1h=tokens.cache_written_1h,
        output=tokens.output,
        reasoning=tokens.reasoning,
        running=None,
        context_window=None,
        cost=cost.cost,
        credits=cost.credits,
        price_status=cost.status,
        source=None,
        offset=None,
        account=finished.account,
        seen=PROXY,
    )


def join(log: Row, proxy: Row) -> Row:
    """One row from two witnesses: tokens follow the log; time, tier and account the proxy.

    The cost is taken anew: the log has the tokens, the proxy knows the tier.
    """
    model = log.model or proxy.model
    tier = proxy.tier or log.tier
    tokens = _tokens(log)
    cost = price(model, tier, log.started_at, tokens)
    return log._replace(
        session=log.session if log.session is not None else proxy.session,
        turn_id=log.turn_id or proxy.turn_id,
        model=model,
        effort=log.effort or proxy.effort,
        tier=tier,
        duration_ms=log.duration_ms if proxy.duration_ms is None else proxy.duration_ms,
        account=proxy.account or log.account,
        cost=cost.cost,
        credits=cost.credits,
        price_status=cost.status,
        seen=log.seen | proxy.seen,
    )


def _tokens(row: Row) -> Tokens:
    return Tokens(
        row.input, row.cached, row.output, row.reasoning, row.cache_written, row.cache_written_1h
    )


def without_log(row: Row) -> Row | None:
    """What is left of a row when its log line is taken back; None when nobody else saw it."""
    seen = row.seen & ~LOG
    return row._replace(seen=seen, source=None, offset=None) if seen else None


def loose(initiator: str, request: str | None) -> bool:
    """Whether a line of Claude tells of a response by its message's id alone: a side conversation
    repeats it under a request of its own, and some gateways name none.
    """  # noqa: D205
    return initiator == ASIDE or not request


def named(
    message: str, request: str | None, known: Mapping[str, str | None]
) -> tuple[str, str | None]:
    """What a line's response is called, and what the other is called from now on that was so.

    `known`: the message's calls and their requests; a request is None where the line is `loose`.
    A message's id is the smallest request's, whatever was read first; each other has its request
    added to it. What tells no request adds to a message's only one, and to none of several.
    """
    if request is None or not known:  # of several it is nobody's: see `Tellings`
        return message, None
    for name, told in known.items():
        if told == request:
            return name, None
    first = known.get(message)
    if first is None:  # nothing told so far which request it was
        return message, None
    if request < first:
        return message, f"{message}#{first}"
    return f"{message}#{request}", None


def message_of(row: Row) -> str:
    """The message of a response of Claude, as `named` called it."""
    return row.id.removesuffix(f"#{row.turn_id}")


def larger(before: Row, again: Row, *, first: bool = False) -> Row:
    """One response of Claude told twice: early lines hold a part of the output, so the larger
    counts. `first`: the log that tells again comes before that of `before` (`claude.first_told`).

    Whose call it is and when it was tells one log, in whatever order they are read: one that does
    not tell it as a side conversation, which may repeat what the session itself was told, and of
    several the first. Its lines about one response take their last time; a copy in
    another log leaves the time alone. A side conversation adds nothing to what a session's own
    line tells: it may be another request's.
    """  # noqa: D205
    aside = before.initiator == ASIDE != again.initiator
    same = (before.initiator == ASIDE) == (again.initiator == ASIDE)
    own = before.source == again.source
    told = again if aside or (same and first and not own) else before
    at = max(before.started_at, again.started_at) if own and same else told.started_at
    both = same and told.initiator != ASIDE
    tokens = _largest(before, again) if same else _tokens(told)
    return priced(
        told._replace(
            **tokens._asdict(),
            turn_id=(told.turn_id or before.turn_id or again.turn_id) if both else told.turn_id,
            started_at=at,
            duration_ms=_lasted(told, at),
            # What a call's line says of tools is known by where the response begins in its file.
            offset=before.offset if same and before.source == told.source else told.offset,
            tier=(before.tier or again.tier) if same else told.tier,
            account=before.account or told.account,
            seen=before.seen | told.seen,
        )
    )


def priced(row: Row) -> Row:
    """A row with what it costs."""
    cost = price(row.model, row.tier, row.started_at, _tokens(row))
    return row._replace(cost=cost.cost, credits=cost.credits, price_status=cost.status)


def _lasted(told: Row, at: int) -> int | None:
    """How long a call took that ended at this time, by its first line."""
    if told.duration_ms is None:
        return None
    return lasted_of(at, told.started_at - told.duration_ms)


def _largest(before: Row, again: Row) -> Tokens:
    """The larger of each figure; the input is the sum of its parts, as in `claude._larger`."""
    cached = max(before.cached, again.cached)
    written = max(before.cache_written, again.cache_written)
    return Tokens(
        max(_fresh(before), _fresh(again)) + cached + written,
        cached,
        max(before.output, again.output),
        max(before.reasoning, again.reasoning),
        written,
        max(before.cache_written_1h, again.cache_written_1h),
    )


def _fresh(row: Row) -> int:
    return row.input - row.cached - row.cache_written


def same_call(log: Row, proxy: Row) -> bool:
    """Whether a log row without a response id is the proxy's row, by session, counts and time."""
    return (
        log.session is not None
        and log.session == proxy.session
        and (log.input, log.cached, log.output) == (proxy.input, proxy.cached, proxy.output)
        and abs(log.started_at - proxy.started_at) <= _SAME_CALL_MS
    )


@record(slots=True)
class Fork:
    """What a session says of where it came from, and how far its copied head was matched."""

    started_at: int | None  # when the session began
    written_at: int | None  # when its first line was written
    burst: bool  # it may begin with copied lines: it was spawned or holds its parent's head
    matched: int = 0  # calls known to be inherited from earlier reads
    copy: bool = True  # it says that it begins with copied lines; not what was spawned only

    @property
    def began(self) -> int:
        """The moment of the fork; 0 where nothing tells it."""
        return max(self.written_at or 0, self.started_at or 0)


def inherited(
    calls: Sequence[tuple[int, tuple[Any, ...], int]],
    parent: Sequence[tuple[Any, ...]] | None,
    fork: Fork,
) -> int:
    """How many leading calls (time, values of `Emitted`, place in the log) are the parent's.

    Calls older than the session are copies. With the parent's log, those that repeat its
    sequence are, as long as its history was written and in its turns; without it, those stamped
    with the moment of the fork. Two independent sessions are never merged because one figure is
    equal.
    """
    count = 0
    turns = fork.matched > 0 or not fork.copy  # whether another turn ends the copy
    while count < len(calls):
        at, emitted, offset = calls[count]
        if fork.started_at is not None and at < fork.started_at:
            count += 1
            continue
        if parent is None:
            if not (fork.burst and fork.written_at and at < fork.began + _BURST_MS):
                break
        else:
            place = fork.matched + count
            if place >= len(parent) or parent[place][:_FIGURES] != emitted[:_FIGURES]:
                break
            if fork.began and at >= fork.began + _BURST_MS + offset * 1000 // _BURST_BYTES:
                break
            same = _same_turn(parent[place], emitted)
            if turns and same is False:
                break
            turns = turns or same is True
        count += 1
    return count


_FIGURES = 5  # of `Emitted`


def _same_turn(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool | None:
    """Whether two calls are of one turn; None where one names none, as before 2026."""
    turns = (*one[_FIGURES:], None)[0], (*other[_FIGURES:], None)[0]
    return turns[0] == turns[1] if all(turns) else None
