"""What a turn's time went to, from its beginning to its last answer, by whoever measured it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from server.store import db
from server.times import iso

_MOST_CALLS = 200
_LONGEST = 12 * 3_600_000  # ms: a session's other calls are not looked through
_SLACK = 2000  # ms by which the witnesses' clocks and stamps may differ
_VERSION_7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Made(NamedTuple):
    """A call of a turn: when its answer was complete, and what is known of its course."""

    id: str
    at: int
    duration: int | None
    ttft: int | None
    sent: int | None  # by the proxy
    first: int | None
    lasted: int | None


class Ran(NamedTuple):
    """A tool's end, or a decision about it, as telemetry told it."""

    tool: str | None
    name: str | None
    at: int
    duration: int | None
    success: bool | None


class Tried(NamedTuple):
    """An HTTP attempt of a request: sent, answered or broken off."""

    start: int
    end: int
    status: int | None
    went: bool
    source: str
    call: str = ""  # within whose request it was; "": a request of its own


@dataclass(frozen=True)
class Segment:
    """A stretch of a turn; `source` is who measured it."""

    kind: str  # start retry waiting streaming model tool approval
    start: int
    end: int
    source: str
    call: str | None = None
    name: str | None = None
    success: bool | None = None
    attempts: int | None = None  # of a retry: how many failed


def timeline(call_id: str) -> dict[str, Any] | None:
    """The turn of a call in segments, oldest first; None for a call that nobody timed."""
    own = db.rows("select session, turn_id, started_at from call where id = ?", (call_id,))
    if not own:
        return None
    session, turn, _ = own[0]
    made = _calls(call_id, *own[0])
    found = [part for call in made for part in course(call)]
    if not found:
        return None
    whole = bool(turn) and len(made) < _MOST_CALLS
    first = min(part.start for part in found)
    since = (begun(turn, first) if whole else None) or first
    until = max(part.end for part in found)
    tried = shared(made, _tried(session, since, until) if whole else ())
    found = [part for call in made for part in course(call, tried[call.id])]
    found += tools(*_heard(session, since, until))
    if since < (first := min(part.start for part in found)):
        found.append(Segment("start", since, first, "log"))
    found.sort(key=lambda part: (part.start, part.end))
    start, end = found[0].start, max(part.end for part in found)
    return {
        "turnId": own[0][1],
        "calls": len(made),
        "startedAt": iso(start),
        "endedAt": iso(end),
        "segments": [_row(part, start) for part in found],
    }


def begun(turn: str | None, first: int) -> int | None:
    """When a turn began, which Codex' ids of turns tell; None for ids of other kinds."""
    parts = _VERSION_7.fullmatch(turn or "")
    at = int(parts[1] + parts[2], 16) if parts else None
    return at if at is not None and 0 <= first - at <= _LONGEST else None


def shared(made: Sequence[Made], tried: Iterable[Tried]) -> dict[str, list[Tried]]:
    """The attempts by the call that they led to: the next one that was sent and ended."""
    found: dict[str, list[Tried]] = {call.id: [] for call in made}
    ends = [call.at for call in made]
    for one in sorted(tried):
        if one.call in found:
            found[one.call].append(one)
            continue
        place = bisect_left(ends, one.end)
        while place < len(made) and _beside(one, made[place]):
            place += 1
        if place < len(made):
            found[made[place].id].append(one)
    return found


def _beside(one: Tried, call: Made) -> bool:
    """Whether a request failed while a call was under way, and so did not lead to it."""
    return one.source == "proxy" and call.sent is not None and call.sent <= one.start


def course(call: Made, tried: Sequence[Tried] = ()) -> list[Segment]:
    """One call's segments: from the proxy where it saw it, else as far as others tell."""
    sent = call.sent
    if sent is None or call.lasted is None:
        return _heard_of(call, tried)
    failed = [one for one in tried if one.source == "proxy"]
    inside = max((one.end for one in failed), default=sent)
    began, end = max(sent, inside), sent + call.lasted
    found = _retried(call.id, failed, began)
    if call.first is None or call.first > call.lasted or sent + call.first < began:
        return [*found, Segment("model", began, end, "proxy", call.id)]
    first = sent + call.first
    return [
        *found,
        Segment("waiting", began, first, "proxy", call.id),
        Segment("streaming", first, end, "proxy", call.id),
    ]


def _heard_of(call: Made, tried: Sequence[Tried]) -> list[Segment]:
    """The segments of a call that did not come through the proxy."""
    told = [one for one in tried if one.source == "telemetry"]
    if told and told[-1].went:
        *failed, last = told
        found = _retried(call.id, [one for one in failed if not one.went], last.start)
        first = None if call.ttft is None else last.end + call.ttft
        if first is None or first > call.at:
            return [*found, Segment("model", last.start, call.at, "telemetry", call.id)]
        return [
            *found,
            Segment("waiting", last.start, first, "telemetry", call.id),
            Segment("streaming", first, call.at, "telemetry", call.id),
        ]
    if call.duration is None:
        return []
    start = call.at - call.duration
    if call.ttft is not None and 0 <= call.ttft <= call.duration:
        return [
            Segment("waiting", start, start + call.ttft, "telemetry", call.id),
            Segment("streaming", start + call.ttft, call.at, "telemetry", call.id),
        ]
    return [Segment("model", start, call.at, "log", call.id)]


def _retried(call: str, failed: Sequence[Tried], until: int) -> list[Segment]:
    """The attempts before the one that went well, and the pauses between them, as one."""
    if not failed:
        return []
    said = dict.fromkeys(f"HTTP {one.status}" for one in failed if one.status is not None)
    return [
        Segment(
            "retry", failed[0].start, max(until, failed[0].start), failed[0].source, call,
            ", ".join(said) or None, success=False, attempts=len(failed),
        )
    ]  # fmt: skip


def tools(results: Iterable[Ran], decisions: Iterable[Ran]) -> list[Segment]:
    """The runs of tools; what a person had to permit waited for that first."""
    asked: dict[str, list[int]] = defaultdict(list)
    for one in decisions:
        asked[one.tool or ""].append(one.at)
    found = []
    for one in results:
        start = one.at - (one.duration or 0)
        # A later run may have the same id: its decision lies elsewhere.
        during = [at for at in asked[one.tool or ""] if one.tool and start < at <= one.at]
        decided = max(during, default=None)
        if decided is not None:
            found.append(Segment("approval", start, decided, "telemetry", name=one.name))
            start = decided
        found.append(
            Segment("tool", start, one.at, "telemetry", name=one.name, success=one.success)
        )
    return found


def _calls(call_id: str, session: int | None, turn: str | None, at: int) -> list[Made]:
    where = "c.id = ?"
    values: list[Any] = [call_id]
    if session is not None and turn:
        # The nearest ones of a very long turn.
        where = (
            "c.id in (select id from call where session = ? and started_at between ? and ? "
            "and turn_id = ? order by abs(started_at - ?), id limit ?)"
        )
        values = [session, at - _LONGEST, at + _LONGEST, turn, at, _MOST_CALLS]
    return [
        Made(*row)
        for row in db.rows(
            "select c.id, c.started_at, c.duration_ms, "  # noqa: S608 - our own words
            "(select max(u.ttft_ms) from telemetry_usage u where u.call = c.id), "
            "r.started_at, r.first_event_ms, r.duration_ms from call c left join request_log r "
            "on r.id = (select max(id) from request_log where response_id = c.id) "
            f"where {where} order by c.started_at, c.id",
            values,
        )
    ]


def _heard(session: int | None, since: int, until: int) -> tuple[list[Ran], list[Ran]]:
    results: list[Ran] = []
    decisions: list[Ran] = []
    for name, kind, *rest in db.rows(
        "select e.name, e.kind, e.call_id, e.tool, e.at, e.duration_ms, "
        "e.success and not e.failed "
        "from telemetry_event e join session s on s.key = e.session_id where s.id = ? "
        "and e.at between ? and ? and e.name in ('codex.tool_result', 'codex.tool_decision', "
        "'claude_code.tool_result', 'claude_code.tool_decision') order by e.at limit 1000",
        (session, since - _SLACK, until + _SLACK),
    ):
        tool, label, at, lasted, success = rest
        ran = Ran(tool, label, at, lasted, None if success is None else bool(success))
        if name.endswith("tool_result"):
            results.append(ran)
        elif (kind or "").lower().startswith("user"):
            decisions.append(ran)
    return results, decisions


def _tried(session: int | None, since: int, until: int) -> list[Tried]:
    """Every HTTP attempt of a conversation: as telemetry tells, and what failed in the proxy."""
    key = db.rows("select key from session where id = ?", (session,))
    if not key:
        return []
    asked = (key[0][0], since - _SLACK, until + _SLACK)
    found = []
    for name, at, took, status in db.rows(
        "select name, at, coalesce(duration_ms, 0), status from telemetry_event "
        "where session_id = ? and at between ? and ? and ((name = 'codex.api_request' "
        "and kind like '%/responses') or name in ('claude_code.api_request', "
        "'claude_code.api_error')) order by at limit 1000",
        asked,
    ):
        codex, went = name.startswith("codex."), name == "claude_code.api_request"
        went = went or (codex and status is not None and 200 <= status < 400)
        # Codex measures until an answer begins, Claude Code until its end.
        found.append(Tried(at - took, at if codex or not went else at - took, status, went,
                           "telemetry"))  # fmt: skip
    return found + _failed(*asked)


def _failed(key: str, since: int, until: int) -> list[Tried]:
    """What failed of the proxy's requests: whole ones, and attempts of those that went well."""
    found = []
    for at, took, status, error, attempts, call in db.rows(
        "select started_at, coalesce(duration_ms, 0), http_status, status = 'error', attempts, "
        "coalesce(response_id, '') "
        "from request_log where started_at between ? and ? and session_id = ? "
        "order by started_at limit 1000",
        (since, until, key),
    ):
        if error:
            found.append(Tried(at, at + took, status, False, "proxy"))
            continue
        for one in orjson.loads(attempts)[:-1]:
            lasted = int(one.get("ms") or 0)
            found.append(Tried(at, at + lasted, one.get("status"), False, "proxy", call))
            at += lasted
    return found


def _row(part: Segment, start: int) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "startMs": part.start - start,
        "endMs": part.end - start,
        "callId": part.call,
        "name": part.name,
        "success": part.success,
        "attempts": part.attempts,
        "source": part.source,
    }


def witness(call_id: str) -> dict[str, Any] | None:
    """What telemetry says of a call; None when it did not see it."""
    found = db.rows(
        "select u.at, u.model, u.user, u.input, u.cached, u.output, u.reasoning, u.ttft_ms, "
        "(select e.terminal from telemetry_event e where e.key = u.key), "
        "(select e.version from telemetry_event e where e.key = u.key) "
        "from telemetry_usage u where u.call = ? order by u.at limit 1",
        (call_id,),
    )
    if not found:
        return None
    at, model, user, first, cached, output, reasoning, ttft, terminal, version = found[0]
    return {
        "at": iso(at),
        "model": model,
        "user": user,
        "inputTokens": first,
        "cachedInputTokens": cached,
        "outputTokens": output,
        "reasoningTokens": reasoning,
        "totalTokens": first + output,
        "firstTokenMs": ttft,
        "terminal": terminal,
        "version": version,
    }


def log_of(call_id: str) -> dict[str, Any] | None:
    """Where a call's line lay when it was counted; None when no log told of it."""
    found = db.rows(
        "select f.path, c.offset, f.archived, f.missing from call c join source_file f "
        "on f.id = c.source where c.id = ? and c.offset is not null",
        (call_id,),
    )
    if not found:
        return None
    path, offset, archived, missing = found[0]
    return {
        "file": path,
        "offset": offset,
        "archived": bool(archived),
        "missing": bool(missing),
    }
