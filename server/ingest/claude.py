"""Claude Code project logs → records, by the same kind of fold as Codex rollouts.

Claude's three input figures are disjoint (fresh, read from the cache, written to it); ours lie
inside the input, so that totals of both providers mean the same. A call has two columns more than
one of Codex (`reader.CLAUDE_COLUMNS`): what is kept in the cache for an hour, and the tier.
"""

from __future__ import annotations

from server import shortjson
from server.ingest.codex import Records, lasted_of, odd
from server.ingest.heads import owner_of as codex_owner
from server.ingest.lines import (
    MAX_NUMBER,
    MENDED,
    TITLE_SOURCE,
    fault,
    is_utf8,
    lines_of,
    needle,
    one_line,
    read_json,
    searchable,
    time_ms,
    whole,
)
from server.ingest.reconcile import ASIDE, loose
from server.lazy import field, record

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from server.ingest.codex import Call
    from server.ingest.crew import Told

SYNTHETIC = "<synthetic>"
BELOW = ":"  # between a session and its sub-agent, in the name of the latter's session
BESIDE = "agent-"  # what a sub-agent's log is called that lies beside its session's
FAST = "fast"  # the tier of an answer in fast mode
MOST_ASKED = 40  # lines that are looked at for a title; as the compiled part does
MOST_RAW = 16384  # bytes of a text that the compiled part tells of
NAMED = "", ASIDE  # as `codex.named`: ids are never made up; who asks in a side conversation
_FIGURES = ("input_tokens", "cache_read_input_tokens", "output_tokens")
_PARTS = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")


@record
class State:
    """What earlier lines of a file said."""

    claude: bool = True  # tells the reader whose log it is
    owner: str | None = None  # the session
    meta: dict[str, Any] | None = None
    title: str | None = None
    asked: int = 0  # lines that were looked at for a title
    # Of the session itself, and of a side conversation: who begins the next call and since when,
    # and the last response's message with the same, whose lines may go on, and its request.
    own: list[Any] = field(default_factory=lambda: [None] * 6)
    side: list[Any] = field(default_factory=lambda: [None] * 6)

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(vars(self))

    @classmethod
    def load(cls, values: dict[str, Any]) -> State:
        """From `dump`; keys of another version are ignored."""
        return cls(**{k: v for k, v in values.items() if k in cls.__annotations__})


def owner_of(name: str) -> str:
    """The session that a file's name tells: its own, or for a sub-agent below the one above it."""
    parts = name.replace("\\", "/").split("/")
    if "subagents" in parts[1:]:
        below = parts.index("subagents", 1)
        return BELOW.join((parts[below - 1], *parts[below + 1 :]))
    return parts[-1]


def is_own(name: str) -> bool:
    """Whether a log is a session's own, none of its sub-agents'."""
    owner = owner_of(name)
    return BELOW not in owner and not _is_beside(owner)


def _is_beside(owner: str) -> bool:
    return owner.lower().startswith(BESIDE)


def _is_random(owner: str) -> bool:
    """Whether a sub-agent's name is one that Claude Code made up: seven digits at least."""
    return _is_beside(owner) and len(owner) >= len(BESIDE) + 7


def helper(meta: dict[str, Any], owner: str) -> dict[str, Any]:
    """What a log says of its session, with whose sub-agent that is, if it is one.

    Such a log lies below its session's name; those of earlier versions lie beside it, and tell it.
    """
    above, below, _ = owner.partition(BELOW)
    parent = above if below else meta.get("above")
    said = {name: value for name, value in meta.items() if name != "above"}
    return said | ({"kind": "subagent", "parent": parent} if parent else {})


def foremost(name: str, cwd: str | None) -> tuple[bool, bool, str]:
    """What puts a session's logs in order: the first of them says where and with what it worked.

    That is, of those that tell a folder (`cwd`, as they do), one that lies where it should before a
    copy of its project's folder.
    """
    return cwd is None, folder_of(name, cwd) != cwd, name


def first_told(name: str, began: int | None, alone: bool) -> tuple[bool, bool, int, bool, str]:
    """What puts logs that tell of the same responses in order: they are the first one's.

    A session's own log comes before a sub-agent's, and the original before its copy: it begins
    earlier, or is all in the copy, which goes on (`alone`: a log has responses of its own). Where
    both go on, nothing tells which was first, and the name decides.
    """
    return not is_own(name), began is None, began or 0, alone, name


def thread_of(name: str) -> str | None:
    """What a log is called inside its project's folder; None where others may be called so."""
    _, _, inside = name.replace("\\", "/").partition("/")
    told = any(codex_owner(part) or _is_random(part) for part in inside.split("/"))
    return inside if told else None


def folder_of(name: str, cwd: str | None) -> str | None:
    """The working folder of a log, as its project's folder was renamed since.

    Claude Code calls that one by the working folder, its other characters made dashes. What a log
    says holds, unless its project's folder is called by a neighbour of that.
    """
    project = name.replace("\\", "/").partition("/")[0]
    said = _dashed(cwd or "")
    if cwd is None or said == project or said.startswith(f"{project}-"):
        return cwd
    cut = max(cwd.rfind("/"), cwd.rfind("\\"))
    before = f"{_dashed(cwd[:cut])}-"
    beside = cut > 0 and project.startswith(before) and len(project) > len(before)
    return cwd[: cut + 1] + project[len(before) :] if beside else cwd


def _dashed(path: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in path)


def fold(
    data: memoryview, base: int, state: State, possible: tuple[int, int] = (0, MAX_NUMBER)
) -> tuple[Records, State]:
    """Read whole lines that begin at byte `base`; the lines of one response become one call.

    A response's lines may lie in two pieces or files; whoever stores them keeps the larger
    figures (`reconcile.larger`). What tells of it without its request, or in a side conversation,
    is a call of its own until then, as all lines of a message tell whose it is. `possible`: from
    when on and until when a time can be.
    """
    records, state = Records(), State(**vars(state))
    state.own, state.side = list(state.own), list(state.side)
    if not len(data):
        return records, state
    bad, patched = _check(data, records)
    calls: dict[tuple[str, str | None, bool], Call] = {}
    for start, looks in _starts(data, state):
        if start in bad:
            continue
        line = _decode(data, start, records, patched)
        if isinstance(line, str):
            _lose(records, line, start in patched)
            continue
        _describe(line, state, looks)
        _ask(line, state)
        call = call_of(line, base + start)
        if call is not None:
            call = _begun(call, state)
            if _odd(line["message"]["usage"]):
                records.warn("mended_number")
            aside = call[4] == ASIDE
            key = call[0], None if loose(call[4], call[1]) else call[1], aside
            before = calls.get(key)
            calls[key] = call if before is None else _larger(before, call, possible)
        elif (kind := _lost(line)) is not None:
            _lose(records, kind, start in patched)
    records.calls = _responses(calls)
    return records, state


def _responses(told: dict[tuple[str, str | None, bool], Call]) -> list[Call]:
    """The calls of a file, from what it told of each message by request, and whether aside.

    A message of several requests is as many responses (`reconcile.named`).
    """
    first: dict[str, str] = {}
    for message, request, _ in told:
        if request is not None:
            first[message] = min(request, first.get(message, request))
    return [
        call
        if request is None or request == first[message]
        else (f"{message}#{request}", *call[1:])
        for (message, request, _), call in told.items()
    ]


def responses(calls: Iterable[Call]) -> list[Call]:
    """A whole file's calls, of several `fold`s too, each response once: as the ledger has them."""
    lines: dict[tuple[str, str | None, bool], Call] = {}
    requests: dict[str, set[str]] = {}
    for call in calls:
        message, request = call[0].removesuffix(f"#{call[1]}"), call[1]
        key = message, None if loose(call[4], request) else request, call[4] == ASIDE
        if key[1] is not None:
            requests.setdefault(message, set()).add(key[1])
        before = lines.get(key)
        lines[key] = call if before is None else _larger(before, call, (0, MAX_NUMBER))
    found: dict[tuple[str, str | None], Call] = {}
    for (message, request, _), call in sorted(lines.items(), key=lambda one: one[0][2]):
        known = requests.get(message, ())
        if request is None and len(known) > 1:
            continue
        name = message, next(iter(known), None) if request is None else request
        before = found.get(name)
        if before is None:
            found[name] = call
        elif call[4] != ASIDE:
            found[name] = _larger(before, call, (0, MAX_NUMBER))
    return list(found.values())


def told(found: Told, owner: str) -> tuple[Records, State] | None:
    """What a crew says of a whole file, without its calls, as `fold` would; None where it has to
    be read here.
    """  # noqa: D205
    if _is_beside(owner):
        return None  # whose sub-agent it is only a line says
    meta, asked, own, side = found.state
    state = State(owner=owner, asked=asked, own=own, side=side)
    if meta is not None:
        cwd, branch, version, written = (_unquoted(part) for part in meta)
        state.meta = _meta(cwd, branch, version, written)
    for count, raw in found.special:
        text = _cut_text(raw)
        if text is None:
            return None
        state.title = one_line(text)
        if state.title is not None:
            state.asked = count
            break
    if found.more and state.title is None:
        return None
    return Records(lines=found.lines), state


def _unquoted(part: Any) -> Any:
    """The text of a JSON text without its quotes; anything else as it is."""
    return shortjson.loads(f'"{part.decode()}"') if isinstance(part, bytes) else part


def _cut_text(raw: bytes) -> str | None:
    """The text of which this is JSON, or so much of it as a title is made of; None: too little."""
    if len(raw) < MOST_RAW:
        return str(_unquoted(raw))
    while raw:
        try:
            text = str(_unquoted(raw))
        except ValueError:  # cut inside an escape or a letter
            raw = raw[:-1]
            continue
        return text if len(text.lstrip()) > TITLE_SOURCE else None
    return None


def _check(data: memoryview, records: Records) -> tuple[set[int], set[int]]:
    """Where the lines are that cannot be used, and those that are used mended."""
    text = searchable(data)
    records.lines = text.count(needle("\n"))
    usual = text.count(needle('}\n{"')) == records.lines - 1 and bytes(data[:2]) == b'{"'
    if usual and text.find(needle("\0")) < 0 and is_utf8(data):
        return set(), set()
    bad: set[int] = set()
    patched: set[int] = set()
    start = 0
    for line in lines_of(data):
        kind = fault(line)
        if kind:
            records.warn(kind)
            (patched if kind == MENDED else bad).add(start)
        start += len(line)
    return bad, patched


def _lose(records: Records, kind: str, patched: bool) -> None:
    """Count a line that cannot be used; one that was mended in vain counts as that no more."""
    if patched:
        records.unwarn(MENDED)
        kind = "encoding" if kind == "not_json" else kind
    records.warn(kind)


def _starts(data: memoryview, state: State) -> Iterator[tuple[int, bool]]:
    """Where the lines begin that matter: answers, and what they answer; and whether such a line is
    looked at for a title.
    """  # noqa: D205
    text = searchable(data)
    answer, person = _next(data, text, '"assistant"', 0), _next(data, text, '"user"', 0)
    while True:
        start = answer if person < 0 or 0 <= answer < person else person
        if start < 0:
            return
        looks = start == person and state.title is None and state.asked < MOST_ASKED
        state.asked += looks
        yield start, looks
        end = text.find(needle("\n"), start)
        answer = _next(data, text, '"assistant"', end) if answer == start else answer
        person = _next(data, text, '"user"', end) if person == start else person


def _next(data: memoryview, text: Any, word: str, place: int) -> int:
    """Where the next line begins that holds a word, unless as a part of a text; -1: none does."""
    place = text.find(needle(word), place)
    while place > 0 and data[place - 1] == 0x5C:
        place = text.find(needle(word), place + 1)
    return place if place < 0 else int(text.rfind(needle("\n"), 0, place)) + 1


def _decode(
    data: memoryview, start: int, records: Records, patched: set[int]
) -> dict[str, Any] | str:
    """A line, or why it is none."""
    end = searchable(data).find(needle("\n"), start)
    try:
        line, mended = read_json(bytes(data[start:end]))
        if isinstance(line, dict):
            if mended and start not in patched:
                patched.add(start)
                records.warn(MENDED)
            return line
        return "not_object"
    except RecursionError:
        return "too_deep"
    except ValueError:
        return "not_json"


def _describe(line: dict[str, Any], state: State, looks: bool) -> None:
    if state.meta is None and isinstance(line.get("sessionId"), str):
        names = line.get("cwd"), line.get("gitBranch"), line.get("version")
        state.meta = _meta(*names, time_ms(line.get("timestamp")))
        if _is_beside(state.owner or "") and line["sessionId"] != state.owner:
            state.meta["above"] = line["sessionId"]
    if looks and line.get("type") == "user" and not line.get("isMeta"):
        message = line.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            content = next((c.get("text") for c in content if isinstance(c, dict)), None)
        if isinstance(content, str):
            state.title = one_line(content)


def _meta(cwd: Any, branch: Any, version: Any, at: int | None) -> dict[str, Any]:
    return {
        "kind": "user",
        "cwd": _text(cwd),
        "branch": _text(branch),
        "client": "claude-code",
        "version": _text(version),
        "started": at,
        "written": at,
    }


def _ask(line: dict[str, Any], state: State) -> None:
    """Who begins the next call, and when: a person's words, what a tool gave back, a summary."""
    message = line.get("message")
    if line.get("type") != "user" or line.get("isMeta") or not isinstance(message, dict):
        return
    content = message.get("content")
    if not isinstance(content, list | str):
        return
    by = "user"
    if isinstance(content, list):
        first = next((block for block in content if isinstance(block, dict)), {})
        by = "tool" if first.get("type") == "tool_result" else by
    lane = _lane(line.get("isSidechain"), state)
    lane[:2] = "compaction" if line.get("isCompactSummary") else by, time_ms(line.get("timestamp"))


def _begun(call: Call, state: State) -> Call:
    """The call with who began it, and how long it took.

    The lines of a response follow one another; another request of its message is another one.
    """
    aside, at = call[4] == ASIDE, call[5]
    lane = _lane(aside, state)
    by, since, last, last_by, last_since, asked = (*lane, None)[:6]
    request = None if loose(call[4], call[1]) else call[1]
    if call[0] != last or (request and asked and request != asked):
        last_by, last_since, asked = by, since, None
    lane[:] = None, at, call[0], last_by, last_since, request or asked
    who = ASIDE if aside else last_by or "unknown"
    return (*call[:4], who, at, lasted_of(at, last_since), *call[7:])


def _lane(aside: Any, state: State) -> list[Any]:
    return state.side if aside else state.own


def call_of(line: dict[str, Any], place: int) -> Call | None:
    """The call that a line tells of; None for every other line."""
    message = line.get("message")
    if line.get("type") != "assistant" or not isinstance(message, dict):
        return None
    usage, at = message.get("usage"), time_ms(line.get("timestamp"))
    model = _text(message.get("model"))
    request = _text(line.get("requestId"))
    name = _text(message.get("id")) or request or _text(line.get("uuid"))
    if not isinstance(usage, dict) or at is None or name is None or model == SYNTHETIC:
        return None
    fresh, read, output = (whole(usage.get(kind)) or 0 for kind in _FIGURES)
    written, hour = _written(usage)
    tier = FAST if usage.get("speed") == FAST else None
    initiator = ASIDE if line.get("isSidechain") else "unknown"
    first = fresh + read + written
    return (
        name, request, model, None, initiator, at, None, first, read, written, output, 0, None,
        None, place, hour, tier,
    )  # fmt: skip


def _lost(line: dict[str, Any]) -> str | None:
    """Why a line that tells of tokens is no call; None for a line that tells of none."""
    message = line.get("message")
    if line.get("type") != "assistant" or not isinstance(message, dict):
        return None
    if not isinstance(message.get("usage"), dict) or message.get("model") == SYNTHETIC:
        return None
    return "bad_time" if time_ms(line.get("timestamp")) is None else "bad_record"


def _written(usage: dict[str, Any]) -> tuple[int, int]:
    """What was written to the cache, and how much of that for an hour."""
    parts = usage.get("cache_creation")
    if isinstance(parts, dict):
        brief, hour = (whole(parts.get(kind)) for kind in _PARTS)
        if brief is not None or hour is not None:
            return (brief or 0) + (hour or 0), hour or 0
    # Without the two, it is what was there before there was a choice: five minutes.
    return whole(usage.get("cache_creation_input_tokens")) or 0, 0


def _odd(usage: dict[str, Any]) -> bool:
    """Whether a figure is there that cannot be; it counts as nothing."""
    parts = usage.get("cache_creation")
    names = (*_FIGURES, "cache_creation_input_tokens")
    return odd(usage, names) or odd(parts, _PARTS)


def _larger(before: Call, again: Call, possible: tuple[int, int]) -> Call:
    """What two lines tell of one response, by the same rule as `reconcile.larger`."""
    tier = before[16] or again[16]
    # The larger of each part of the input, which is their sum: lines may contradict each other.
    fresh, read, written, output, reasoning = map(max, _apart(before), _apart(again))
    figures = fresh + read + written, read, written, output, reasoning
    at = max(before[5], again[5], key=lambda at: (possible[0] <= at < possible[1], at))
    lasted = None if before[6] is None else lasted_of(at, before[5] - before[6])
    hour = max(before[15], again[15])
    return (*before[:5], at, lasted, *figures, *before[12:15], hour, tier)


def _apart(call: Call) -> tuple[int, ...]:
    """A call's disjoint input figures, and the others."""
    return (call[7] - call[8] - call[9], *call[8:12])


def _text(value: Any) -> str | None:
    return value[:4096] if isinstance(value, str) and value else None
