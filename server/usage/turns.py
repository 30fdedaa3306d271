"""What a turn's time went to: waiting, streaming, tools and approvals, by whoever measured it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from server.store import db
from server.times import iso

_MOST_CALLS = 200
_LONGEST = 12 * 3_600_000  # ms: a session's other calls are not looked through
_SLACK = 2000  # ms by which the witnesses' clocks and stamps may differ


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


@dataclass(frozen=True)
class Segment:
    """A stretch of a turn; `source` is who measured it."""

    kind: str  # waiting streaming model tool approval
    start: int
    end: int
    source: str
    call: str | None = None
    name: str | None = None
    success: bool | None = None


def timeline(call_id: str) -> dict[str, Any] | None:
    """The turn of a call in segments, oldest first; None for a call that nobody timed."""
    own = db.rows("select session, turn_id, started_at from call where id = ?", (call_id,))
    if not own:
        return None
    made = _calls(call_id, *own[0])
    found = sorted(_of_calls(made), key=lambda part: (part.start, part.end))
    if not found:
        return None
    since, until = found[0].start, max(part.end for part in found)
    session = own[0][0]
    results, decisions = _heard(session, since, until)
    found = sorted([*found, *tools(results, decisions)], key=lambda p: (p.start, p.end))
    start, end = min(part.start for part in found), max(part.end for part in found)
    return {
        "turnId": own[0][1],
        "calls": len(made),
        "startedAt": iso(start),
        "endedAt": iso(end),
        "segments": [_row(part, start) for part in found],
    }


def course(call: Made) -> list[Segment]:
    """One call's segments: from the proxy where it saw it, else as far as the log tells."""
    if call.sent is not None and call.lasted is not None:
        end = call.sent + call.lasted
        if call.first is None or call.first > call.lasted:
            return [Segment("model", call.sent, end, "proxy", call.id)]
        first = call.sent + call.first
        return [
            Segment("waiting", call.sent, first, "proxy", call.id),
            Segment("streaming", first, end, "proxy", call.id),
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


def tools(results: Iterable[Ran], decisions: Iterable[Ran]) -> list[Segment]:
    """The runs of tools; what a person had to permit waited for that first."""
    asked = {one.tool: one.at for one in decisions if one.tool}
    found = []
    for one in results:
        start = one.at - (one.duration or 0)
        decided = asked.get(one.tool or "")
        if decided is not None and start < decided <= one.at:
            found.append(Segment("approval", start, decided, "telemetry", name=one.name))
            start = decided
        found.append(
            Segment("tool", start, one.at, "telemetry", name=one.name, success=one.success)
        )
    return found


def _of_calls(made: list[Made]) -> list[Segment]:
    return [part for call in made for part in course(call)]


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
        "select e.name, e.kind, e.call_id, e.tool, e.at, e.duration_ms, e.success "
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


def _row(part: Segment, start: int) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "startMs": part.start - start,
        "endMs": part.end - start,
        "callId": part.call,
        "name": part.name,
        "success": part.success,
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
