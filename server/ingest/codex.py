"""Codex rollout lines → records: a fold whose small state is stored with the file's offset.

Only the lines that matter are decoded. They are found by searching the bytes for their names
(an unescaped quote cannot occur inside a JSON string), read by a pattern of their usual shape,
and by the JSON decoder when the shape is another. Bodies of messages are never decoded.
"""

from __future__ import annotations

from server import shortjson
from server.ingest.early import usual as usual
from server.ingest.heads import State as State
from server.ingest.heads import (
    asked_by,
    describe,
    prefix_of,
    take_head,
)
from server.ingest.heads import named as named
from server.ingest.heads import owner_of as owner_of
from server.ingest.heads import whose as whose
from server.ingest.lines import (
    MENDED,
    fault,
    is_utf8,
    lines_of,
    needle,
    read_json,
    searchable,
    time_ms,
    title_of,
)
from server.ingest.lines import whole as whole
from server.lazy import field, record

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from typing import Any

    from server.ingest.crew import Told

    # A call: id, turn, model, effort, initiator, at, duration, input, cached, cache_written,
    # output, reasoning, running, context window, offset; where the log tells a service tier, also
    # `reader.CLAUDE_COLUMNS`. Plain tuples: they travel between processes.
    Call = tuple[Any, ...]

_ODD = 30  # unusual lines in a piece; after so many the rest of it is read here
_IDLE_MS = 6 * 3600_000  # nothing answers for longer; the machine slept

# The compiled part names a head, a message and an item by these numbers.
_NO_KIND, _TURN, _META, _USER, _ITEM, _COMPACTED, _TASK, _SETTINGS = range(8)
_EVENT_KINDS = (_USER, _ITEM, _TASK, _SETTINGS)
_NEEDLES = (
    ('"turn_context"', _TURN),
    ('"session_meta"', _META),
    ('"compacted"', _COMPACTED),
    ('"user_message"', _USER),
    ('"thread_settings_applied"', _SETTINGS),
)
# Looked for only until they were found once.
_TITLE_NEEDLE = ('"UserMessage"', _ITEM)
_TASK_NEEDLE = ('"task_started"', _TASK)


def _late(pattern: str, how: str = "search") -> Any:
    """A pattern that is made when it is used for the first time."""
    made: list[Any] = []

    def use(*given: Any) -> Any:
        if not made:
            import re  # here: most logs need no pattern once the compiled part has read them

            made.append(getattr(re.compile(pattern, re.ASCII), how))
        return made[0](*given)

    return use


def _match(pattern: str) -> Any:
    """A pattern of a usual line; the compiled part needs few of them."""
    if usual:
        return _late(pattern, "match")
    import re

    return re.compile(pattern, re.ASCII).match


# Patterns take long to make, so there are few: of what most lines are. They read Latin-1 text,
# where a place is a byte's place.
_AT = r'\{"timestamp":"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)\.(\d{3})Z",(?:"ordinal":\d+,)?"type":'
_FIGURES = (
    r'\{"input_tokens":(\d{1,15}),"cached_input_tokens":(\d{1,15}),'
    r'(?:"cache_write_input_tokens":(\d{1,15}),)?"output_tokens":(\d{1,15}),'
    r'"reasoning_output_tokens":(\d{1,15}),"total_tokens":(\d{1,15})'
)
_OPENING = _match(_AT)
# A record's names, and what follows from its response id to the figures of the turn.
_NAMES = _match(
    r'"token_usage_record","payload":\{"thread_id":"([^"\\\n]+)","turn_id":"([^"\\\n]*)",'
    r'"session_id":"[^"\\\n]*","root_turn_id":"[^"\\\n]*","response_id":"'
)
_REST = _match(
    r'([^"\\\n]+)","usage":'
    + _FIGURES.replace("(?:", "").replace(",)?", ",").removesuffix(r"(\d{1,15})")
    + r'\d{1,15}\},"turn_token_usage":\{'
)
# Up to the last figure of a count: `}` and what follows is its tail. Older clients told no
# figure of what was written to the cache.
_COUNT = _match(
    _AT
    + r'"event_msg","payload":\{"type":"token_count","info":\{"total_token_usage":'
    + _FIGURES
    + r'\},"last_token_usage":'
    + _FIGURES
)
_OLD = _FIGURES.replace(r'(?:"cache_write_input_tokens":(\d{1,15}),)?', "")
_OLD_COUNT = _match(
    _AT
    + r'"event_msg","payload":\{"type":"token_count","info":\{"total_token_usage":'
    + _OLD
    + r'\},"last_token_usage":'
    + _OLD.removesuffix(r"(\d{1,15})")
    + r"\d{1,15}"
)
_TAIL = _match(
    r'\},(?:"last_usage_includes_reasoning":\w+,)?"model_context_window":(\d{1,15}|null)\}'
    r'(?:,"rate_limits":(null|\{[^\n]*\}))?\}\}\n'
)
# What the names of lines, items and events tell of who begins the next call; the compiled part
# has the same. A line or an event of another name is one that nobody knows.
_BY_TOOL, _BY_COMPACTION, _BY_AGENT, _BY_TURN = 1, 2, 4, 8
_EARLIER = 4  # what was heard before the last call stands so many bits higher
_LINES = """
    response_item event_msg token_usage_record turn_context world_state session_meta
    compacted ghost_snapshot message reasoning function_call function_call_output
    local_shell_call
"""
_BY_AGENTS = """
    agent_message agent_reasoning agent_reasoning_raw_content agent_reasoning_section_break
    agent_message_delta agent_reasoning_delta exec_command_begin mcp_tool_call_begin
    patch_apply_begin web_search_begin web_search_end image_generation_begin
    image_generation_end dynamic_tool_call_request collab_agent_spawn_begin
    collab_agent_interaction_begin collab_waiting_begin collab_close_begin
    collab_resume_begin
"""
_BY_TOOLS = """
    exec_command_end mcp_tool_call_end patch_apply_end view_image_tool_call
    dynamic_tool_call_response collab_agent_spawn_end collab_agent_interaction_end
    collab_waiting_end collab_close_end collab_resume_end
"""
_OTHERS = """
    token_count item_completed item_started user_message task_started task_complete
    turn_started turn_complete turn_aborted turn_diff exec_command_output_delta
    patch_apply_updated terminal_interaction thread_settings_applied thread_name_updated
    thread_goal_updated thread_rolled_back entered_review_mode exited_review_mode error
    warning stream_error background_event deprecation_notice plan_update model_reroute
    session_configured mcp_startup_update mcp_startup_complete hook_started hook_completed
    undo_started undo_completed skill_completed skill_invoked skill_selected skill_started
    skill_used exec_approval_request apply_patch_approval_request elicitation_request
    request_user_input request_permissions guardian_assessment shutdown_complete
"""
_EVENTS = (
    dict.fromkeys(_OTHERS.split(), 0)
    | dict.fromkeys(_BY_AGENTS.split(), _BY_AGENT)
    | dict.fromkeys(_BY_TOOLS.split(), _BY_TOOL)
    | {"context_compacted": _BY_COMPACTION}
)
_AGENT_ITEMS = """
    reasoning function_call custom_tool_call local_shell_call tool_search_call
"""
_TOOL_ITEMS = """
    function_call_output custom_tool_call_output local_shell_call_output tool_search_output
    mcp_tool_call_output
"""
_ITEMS = dict.fromkeys(_AGENT_ITEMS.split(), _BY_AGENT) | dict.fromkeys(
    _TOOL_ITEMS.split(), _BY_TOOL
)
_KNOWN_LINES = frozenset(_LINES.split())
_HEARD = 16  # what is heard from a line, as a kind of line: so many times it
# A line's own name, and that of what it holds; where they stand as usual, and where they do not.
_KINDS = _late(_AT + r'"(\w+)"(?:,"payload":\{"type":"(\w+)")?', "match")
_ANY_KINDS = _late(
    r'\{[^{}\n]{0,300}?"type":\s?"(\w+)"'
    r'(?:[^{}\n]{0,300}?"payload":\s?\{[^{}\n]{0,300}?"type":\s?"(\w+)")?',
    "match",
)
_EVENT = '"event_msg","payload":{"type":'
_NOTHING = _EVENT + '"token_count","info":null,"rate_limits":'  # no call, perhaps limits

_HEAD = _late(r'\{[^{}\n]{0,300}?"type":\s?"(\w+)"', "match")
_STAMP = _late(r'"timestamp":\s?"([^"]{10,40})"')
_PROMPT = '"base_instructions":{"text":"'
_AHEAD = b'"history_base":{'  # as the compiled part looks for it


@record
class Records:
    """What some whole lines said."""

    calls: list[Call] = field(default_factory=list)
    compactions: list[str] = field(default_factory=list)  # earlier calls that summarised
    limits: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # (at, rate limits)
    warnings: dict[str, int] = field(default_factory=dict)  # skipped lines by kind
    decoded: int = 0  # lines of an unusual shape
    lines: int = 0
    tiers: bool = False  # some calls have a tier

    def warn(self, kind: str) -> None:
        """Count a line that could not be used."""
        self.warnings[kind] = self.warnings.get(kind, 0) + 1

    def warn_unknown(self, lines: int, events: int) -> None:
        """Count lines and events of kinds that nobody knows."""
        for kind, count in (("unknown_line", lines), ("unknown_event", events)):
            if count:
                self.warnings[kind] = self.warnings.get(kind, 0) + count

    def unwarn(self, kind: str) -> None:
        """Take one of a kind back."""
        self.warnings[kind] -= 1
        if not self.warnings[kind]:
            del self.warnings[kind]


def legacy(call_id: str) -> bool:
    """Whether the id is ours: the log named no response."""
    return call_id.startswith("log_")


def fold(data: memoryview, base: int, state: State) -> tuple[Records, State]:
    """Read whole lines that begin at byte `base` of the file; `state` is left as it was.

    Reading a file in any pieces that end at line ends gives the same as reading it at once,
    but for `compactions`: they name calls of earlier pieces.
    """
    records, now = Records(), State(**vars(state))
    if usual is None or now.tier or now.thread_tier:  # the compiled part knows no tier
        _Reader(data, base, now, records).read()
    else:
        _quickly(data, base, now, records)
    if records.tiers:  # rows are all as long
        records.calls = [(*call, *_NO_TIER[len(call) - _OWN :]) for call in records.calls]
    return records, now


def _quickly(data: memoryview, base: int, state: State, records: Records) -> None:
    """Let the compiled part take what it knows, and read the lines it leaves."""
    limits: list[tuple[int, bytes]] = []
    place, odd = 0, 0
    while place < len(data):
        place, end, lines, kind, *unknown = usual.read(
            data, place, base, vars(state), prefix_of(state.owner), asked_by(state),
            records.calls, records.compactions, limits,
        )  # fmt: skip
        records.lines += lines
        records.warn_unknown(*unknown)
        while limits:
            _add_limits(records, *limits.pop(0))
        if place < end:
            odd += not kind
            # A log of another shape is read at once: that is quicker than line by line.
            end = len(data) if odd > _ODD and not kind else end
            reader = _Reader(data[place:end], base + place, state, records)
            if kind:
                reader.read_known(kind)
            else:
                reader.read()
            place = end
            if state.tier or state.thread_tier:
                _Reader(data[end:], base + end, state, records).read()
                return


def told(found: Told, owner: str | None) -> tuple[Records, State] | None:
    """What a crew says of a whole file, without its calls, as `fold` would; None where it has to
    be read here. `owner` is what the file's name says.
    """  # noqa: D205
    records, head = Records(lines=found.lines), State(owner=owner)
    for kind, line in found.special:
        if kind != _META:
            head.title = head.title or title_of(line)
        elif not take_head(head, line):
            return None
        elif _PROMPT.encode() not in line:
            records.decoded += 1
    mine = head.meta is not None and head.owner == found.owner
    mine = mine and owner in (None, head.owner)  # else another's head comes first: see `whose`
    sure = mine if found.owner is not None else not found.calls
    alike = (head.totals is not None) == _seems_ahead(found.special)
    if not sure or not alike or (found.more and head.title is None):
        return None
    state = State(*(head.owner, head.meta, head.foreign, *found.state, head.title))
    if found.made_up:
        state.last_id = prefix_of(state.owner) + str(state.last_id)
    records.warn_unknown(*found.unknown)
    for at, raw in found.limits:
        _add_limits(records, at, raw)
    return records, state


def _seems_ahead(special: list[tuple[int, bytes]]) -> bool:
    """Whether a crew took the counters to go on from a parent's."""
    return _AHEAD in next((line for kind, line in special if kind == _META), b"")


class _Reader:
    def __init__(self, data: memoryview, base: int, state: State, records: Records) -> None:
        self.data = data
        # Each byte a letter: text is read faster than bytes, and places are the same.
        self.letters = str(data, "latin-1")
        self.text: Any = None
        self.base = base
        self.state = state
        self.records = records
        self.add = records.calls.append
        self.bad: set[int] = set()
        self.patched: set[int] = set()  # lines counted as `MENDED`
        self.prefix = ""  # of the ids we make up
        # What the next line of the same kind probably repeats.
        self.names = ""  # a record's text from its kind to its response id
        self.thread, self.turn = "", ""
        self.tail = ""  # a count's text after its figures
        self.taken = -1  # the last line with tokens: one that names them twice counts once
        self.tier = state.tier or state.thread_tier

    def read(self) -> None:
        if not len(self.data):
            return
        self.text = searchable(self.data)
        self._check()
        find, letters = self.text.find, self.letters
        others = self._others()
        ahead, kind = others.pop()
        word, step = needle('"token_'), len('"token_')
        record, count = self._next_record, self._next_count
        place = find(word, 0)
        while place >= 0:
            while ahead < place:
                self._other(ahead, kind)
                ahead, kind = others.pop()
            # Here time counts: most lines differ from the last of their kind only in time, id
            # and figures, and nothing of them is looked at twice.
            if not (record if letters[place + 7] == "u" else count)(place):
                self._token(place)
            place = find(word, place + step)
        while others:
            self._other(ahead, kind)
            ahead, kind = others.pop()

    def read_known(self, kind: int) -> None:
        """Read the only line, which the compiled part found whole and of this kind."""
        self.records.lines += 1
        if kind == _META:
            self._meta(0)
        else:
            self._event(0, kind)

    def _others(self) -> list[tuple[int, int]]:
        """Where the other words that matter are, last one first, behind an end that none has."""
        state, find = self.state, self.text.find
        needles = list(_NEEDLES)
        if state.title is None:
            needles.append(_TITLE_NEEDLE)
        if not state.window:
            needles.append(_TASK_NEEDLE)
        found = [(len(self.data), _NO_KIND)]
        self._names(found)
        for word, kind in needles:
            wanted, step = needle(word), len(word)
            place = find(wanted, 0)
            while place >= 0:
                found.append((place, kind))
                place = find(wanted, place + step)
        found.sort(reverse=True)
        return found

    def _names(self, found: list[tuple[int, int]]) -> None:
        """Count lines and events of kinds that nobody knows; others may tell who began a call."""
        letters, bad = self.letters, self.bad
        start, size = 0, len(letters)
        while start < size:
            end = letters.find("\n", start)
            end = size if end < 0 else end
            if start not in bad and (heard := self._told(*self._named(start))):
                found.append((start, heard * _HEARD))
            start = end + 1

    def _told(self, line: str | None, name: str | None) -> int:
        """What a line of this name, that holds one of this name, tells of who begins a call."""
        if line == "response_item":
            return _ITEMS.get(name or "", 0)
        if line == "event_msg":
            heard = _EVENTS.get(name or "token_count")
            if heard is None:
                self.records.warn("unknown_event")
            return heard or 0
        if line is not None and line not in _KNOWN_LINES:
            self.records.warn("unknown_line")
        return 0

    def _named(self, start: int) -> tuple[str | None, str | None]:
        """The name of a line, and of what it holds."""
        found = _KINDS(self.letters, start)
        if found and (found[5] or found[4] != "event_msg"):
            return found[4], found[5]
        found = _ANY_KINDS(self.letters, start)
        return (found[1], found[2]) if found else (None, None)

    def _hear(self, start: int, heard: int) -> None:
        """Note what a line tells of who begins the next call."""
        state = self.state
        if state.records:
            state.heard |= heard & ~_BY_COMPACTION  # the call before it made that
            return
        state.heard |= heard
        if heard & _BY_TOOL:
            state.ended = self._moment(start) or state.ended

    def _moment(self, start: int) -> int | None:
        """When a line was written."""
        opening = _OPENING(self.letters, start)
        if opening:
            return _clock(*opening.groups())
        at = _STAMP(self.letters[start : self._end(start)])
        return time_ms(at[1]) if at else None

    # ── lines that cannot be used ─────────────────────────────────────────────────────

    def _check(self) -> None:
        """Find lines that are no JSON objects; only odd ones are looked at one by one."""
        count = self.text.count
        lines = count(needle("\n"))
        self.records.lines += lines
        alike = count(needle('}\n{"timestamp":"')) == lines - 1
        alike = (
            alike and bytes(self.data[:14]) == b'{"timestamp":"' and bytes(self.data[-2:]) == b"}\n"
        )
        whole = self.letters.isascii() or is_utf8(self.data)
        if alike and whole and self.text.find(needle("\0")) < 0:
            return
        start = 0
        for line in lines_of(self.data):
            kind = fault(line)
            if kind:
                self.records.warn(kind)
                (self.patched if kind == MENDED else self.bad).add(start)
            start += len(line)

    def _lose(self, kind: str, start: int) -> None:
        """Count a line that cannot be used; one that was mended in vain counts as that no more."""
        if start in self.patched:
            self.patched.remove(start)
            self.records.unwarn(MENDED)
            kind = "encoding" if kind == "not_json" else kind
        self.records.warn(kind)

    def _start(self, place: int) -> int:
        """Where the line of `place` begins."""
        return self.letters.rfind("\n", 0, place) + 1

    def _end(self, start: int) -> int:
        """Where the line that holds `start` ends, its newline left out."""
        return self.letters.find("\n", start)

    def _line(self, start: int) -> bytes:
        return bytes(self.data[start : self._end(start)])

    def _decode(self, start: int) -> dict[str, Any] | None:
        """The line as JSON; a line that is none is counted once."""
        if start in self.bad:
            return None
        kind = "not_json"
        try:
            value, mended = read_json(self._line(start))
            if isinstance(value, dict):
                if mended:
                    self._mend(start)
                self.records.decoded += 1
                return value
            kind = "not_object"
        except RecursionError:
            kind = "too_deep"
        except ValueError:
            pass
        self.bad.add(start)
        self._lose(kind, start)
        return None

    def _mend(self, start: int) -> None:
        """Count a line whose text was mended, once."""
        if start not in self.patched:
            self.patched.add(start)
            self.records.warn(MENDED)

    # ── calls ─────────────────────────────────────────────────────────────────────────

    def _token(self, place: int) -> None:
        letters = self.letters
        letter = letters[place + 7]
        if letters[place - 1] == "\\" or letter not in "cu":  # quoted text, another word
            return
        start = self._start(place)
        if start in self.bad or start == self.taken:
            return
        self.taken = start
        # "token_usage_record" or "token_count"
        usual = self._usual_record(start) if letter == "u" else self._usual_count(start)
        if not usual:
            self._unusual(start)

    def _next_record(self, place: int) -> bool:
        """A record of the same turn as the one before it."""
        letters, names = self.letters, self.names
        if not names or not letters.startswith(names, place):
            return False
        start = letters.rfind("\n", place - 100 if place > 100 else 0, place) + 1
        if start in self.bad:
            return False
        opening, rest = _OPENING(letters, start), _REST(letters, place + len(names))
        if opening is None or rest is None or opening.end() != place:
            return False
        end = letters.find("\n", rest.end())
        if letters.find('{"timestamp"', rest.end(), end) >= 0:
            return False  # another line follows where this one was torn
        colon = letters.rfind(":", rest.end(), end)
        if not letters.startswith('"total_tokens":', colon - 14) or letters[end - 3 : end] != "}}}":
            return False
        running = letters[colon + 1 : end - 3]
        if not running.isdecimal() or len(running) > 15:
            return False
        minute, second, ms = opening.groups()
        at = (_minutes.get(minute) or _minute(minute)) + int(second) * 1000 + int(ms)
        response, *figures = rest.groups()
        own = tuple(map(int, figures))
        state = self.state
        self.taken = start
        known = state.last_turn == self.turn and state.owner == self.thread and state.last_id
        if not known or state.user or state.turn_at or self.tier or not response.isascii():
            names3 = self.thread, self.turn, _decoded(response)
            self._record(at, names3, own, int(running), start)
            return True
        # What `_record` does, without calling anything.
        state.last_id = response
        state.count += 1
        lasted = at - (state.output_at or at - _IDLE_MS - 1)
        initiator = "tool" if state.heard & _BY_TOOL else _went_on(state)
        state.heard = (state.heard & 15) << _EARLIER
        self.add(
            (response, self.turn or None, state.model, state.effort, initiator, at,
             lasted if 0 <= lasted <= _IDLE_MS else None, *own, int(running), state.window,
             self.base + start)
        )  # fmt: skip
        return True

    def _next_count(self, place: int) -> bool:
        """A count that ends as the one before it."""
        letters, tail, state = self.letters, self.tail, self.state
        end = letters.find("\n", place) + 1 - len(tail)
        if not tail or not letters.startswith(tail, end):
            return False
        start = letters.rfind("\n", place - 100 if place > 100 else 0, place) + 1
        figures = (_COUNT if state.records else _OLD_COUNT)(letters, start)
        if figures is None or figures.end() != end or start in self.bad:
            return False
        self.taken = start
        if state.records:
            state.output_at = _clock(*figures.groups()[:3])
            return True
        minute, *numbers = figures.groups()
        self._counted(minute, start, *map(int, numbers))
        return True

    def _usual_record(self, start: int) -> bool:
        opening = _OPENING(self.letters, start)
        found = _NAMES(self.letters, opening.end()) if opening else None
        if found is None:
            return False
        self.names = found[0]
        self.thread, self.turn = map(_decoded, found.groups())
        return self._next_record(found.start())

    def _usual_count(self, start: int) -> bool:
        letters, state = self.letters, self.state
        found = _COUNT(letters, start)
        tail = _TAIL(letters, found.end()) if found else None
        if found is None or tail is None:
            return self._no_count(start)
        self.tail = letters[found.end() : tail.end()]
        window, raw = tail.groups()
        if window != "null":
            state.window = int(window)
        if raw and raw != "null":
            self._limits(_clock(*found.groups()[:3]), raw)
        minute, *numbers = found.groups()
        figures = [int(number or 0) for number in numbers]
        second, ms, a, b, _, c, d, running, first, cached, written, output, reasoning, _ = figures
        self._counted(
            minute, start, second, ms, a, b, c, d, running, first, cached, output, reasoning,
            written,
        )  # fmt: skip
        return True

    def _no_count(self, start: int) -> bool:
        """A count without figures: it may tell of the allowance."""
        opening = _OPENING(self.letters, start)
        if opening is None or not self.letters.startswith(_NOTHING, opening.end()):
            return False
        raw = self.letters[opening.end() + len(_NOTHING) : self._end(start)]
        if not raw.endswith("}}") or not (
            raw == "null}}" or raw.startswith("{") and raw[-3] == "}"
        ):
            return False
        at = self.state.output_at = _clock(*opening.groups())
        self.tail = ""  # its limits are no longer the last ones
        if raw != "null}}":
            self._limits(at, raw[:-2])
        return True

    def _limits(self, at: int, raw: str) -> None:
        """Keep rate limits that differ from the last."""
        from zlib import crc32  # here: the compiled part has its own

        limits = raw.encode("latin-1")
        checksum = crc32(limits)
        if checksum != self.state.limits:
            self.state.limits = checksum
            _add_limits(self.records, at, limits)

    def _counted(  # noqa: PLR0913 - a count's figures in their order
        self,
        minute: str,
        start: int,
        second: int,
        ms: int,
        a: int,
        b: int,
        c: int,
        d: int,
        running: int,
        first: int,
        cached: int,
        output: int,
        reasoning: int,
        written: int = 0,
    ) -> None:
        """Take a count's time, and its figures unless they are those of the one before."""
        state = self.state
        at = state.output_at = (_minutes.get(minute) or _minute(minute)) + second * 1000 + ms
        before = state.totals
        sums = [a, b, c, d, running]
        if state.records or sums == before:
            return
        own = (first, cached, written, output, reasoning)
        plain = before and first and not (state.turn_at or state.user or self.tier)
        if not plain or not before or running <= before[-1]:
            self._advance(at, sums, own, start)
            return
        if len(before) != 5 or a < before[0] or b < before[1] or c < before[2] or d < before[3]:
            self._advance(at, sums, own, start)
            return
        # What `_advance` does in the midst of a turn, without calling anything.
        state.totals = sums
        prefix = self.prefix = self.prefix or prefix_of(state.owner)
        # An f-string takes twice as long here.
        name = state.last_id = "%s_%d_%x_%x_%x_%x" % (prefix, state.epoch, a, b, c, d)  # noqa: UP031
        initiator = _went_on(state)
        lasted = lasted_of(at, state.ended)
        state.ended = at
        state.heard = (state.heard & 15) << _EARLIER
        state.count += 1
        self.add(
            (name, state.turn, state.model, state.effort, initiator, at, lasted, *own, running,
             state.window, self.base + start)
        )  # fmt: skip

    def _unusual(self, start: int) -> None:
        head = _HEAD(self.letters, start)
        if head and head[1] not in ("event_msg", "token_usage_record"):
            return  # a body that holds such a word as a value
        line = self._decode(start)
        payload = line.get("payload") if line else None
        if line is None or not isinstance(payload, dict):
            return
        kind = line.get("type")
        if kind == "token_usage_record":
            self._unusual_record(line, payload, start)
        elif kind == "event_msg" and payload.get("type") == "token_count":
            self._unusual_count(line, payload, start)

    def _unusual_record(self, line: dict[str, Any], payload: dict[str, Any], start: int) -> None:
        at, own = time_ms(line.get("timestamp")), _usage(payload.get("usage"))
        response = payload.get("response_id")
        if at is None or own is None or not isinstance(response, str) or not response:
            self._lose("bad_record", start)
            return
        if odd(payload.get("usage")):
            self.records.warn("mended_number")
        if _lacking(payload.get("usage")):
            self.records.warn("partial_count")
        thread = payload.get("thread_id")
        names = (
            str(thread) if thread else self.state.owner or "",
            str(payload.get("turn_id") or ""),
            response,
        )
        sums = _usage(payload.get("thread_token_usage"))
        self._record(at, names, own, sums[0] + sums[3] if sums else None, start)

    def _unusual_count(self, line: dict[str, Any], payload: dict[str, Any], start: int) -> None:
        at = time_ms(line.get("timestamp"))
        if at is None:
            self._lose("bad_time", start)
            return
        self.state.output_at = at
        self.tail = ""
        self._unusual_limits(at, payload.get("rate_limits"))
        info = payload.get("info")
        if not isinstance(info, dict) or not (_TOTAL in info or _LAST in info):
            # Null is usual: such a count tells of the allowance only.
            if info is not None or "info" not in payload:
                self._lose("missing_info", start)
            return
        window = whole(info.get("model_context_window"))
        if window is None and info.get("model_context_window") is not None:
            self.records.warn("bad_window")
        self.state.window = window or self.state.window
        if not self.state.records:
            self._unusual_usage(at, info, start)

    def _unusual_limits(self, at: int, limits: Any) -> None:
        if isinstance(limits, dict):
            from zlib import crc32

            checksum = crc32(shortjson.dumps(limits, separators=(",", ":")).encode())
            if checksum != self.state.limits:
                self.state.limits = checksum
                self.records.limits.append((at, limits))

    def _unusual_usage(self, at: int, info: dict[str, Any], start: int) -> None:
        total, last = _told(info.get(_TOTAL)), _told(info.get(_LAST))
        if total is None and last is None:
            self._lose("missing_info", start)
            return
        self._missing(total, last)
        # A counter with a wrong figure would count again what was counted: the other must do.
        sums, own = (None if odd(value) else _usage(value) for value in (total, last))
        if (odd(total) or odd(last)) and (sums or own):
            self.records.warn("mended_number")
        elif odd(total) or odd(last):
            self._lose("bad_number", start)
        if own and odd(total):
            self._advance(at, self._added(own), own, start)
        elif sums:
            whole = _counter(total, own, self.state.totals)
            figures = self._completed(own, last, total, whole) if own else (0,) * 5
            if whole != self.state.totals:
                self._advance(at, whole, figures, start)
        elif own and any(own) and [at, *own] != self.state.totals:
            self.state.totals = [at, *own]  # no total: the moment and the figures identify it
            self._legacy_call(at, own, None, start)

    def _missing(self, total: Any, last: Any) -> None:
        """Count what a count does not tell; one that tells nothing is no call."""
        for name, told in (("missing_total", total), ("missing_last", last)):
            if told is None:
                self.records.warn(name)
        if _lacking(total) or _lacking(last):
            self.records.warn("partial_count")

    def _completed(
        self, own: tuple[int, ...], last: Any, total: Any, sums: list[int]
    ) -> tuple[int, ...]:
        """A call's figures; one that is not told is what its counter went on by."""
        before = self.state.totals
        # Without an earlier figure of the counter's, or after it began anew, it began at 0.
        goes_on = (
            before and len(before) == 5 and all(a <= b for a, b in zip(before, sums, strict=True))
        )
        base = before if goes_on and before else [0] * 5
        lacking = {*_lacking(last)} - {*_unknown(total)}
        if before == [] or not lacking:
            return own
        found = list(own)
        for name, place, counter in _COUNTERS:
            if name in lacking:
                found[place] = max(sums[counter] - base[counter], 0)
        found[1], found[4] = min(found[1], found[0]), min(found[4], found[3])
        return tuple(found)

    def _added(self, own: tuple[int, ...]) -> list[int]:
        """What the counter should say after a call."""
        before = self.state.totals
        base = before if before and len(before) == 5 else [0] * 5
        more = own[0], own[1], own[3], own[4], own[0] + own[3]
        return [have + new for have, new in zip(base, more, strict=True)]

    def _advance(self, at: int, sums: list[int], own: tuple[int, ...], start: int) -> None:
        """A counter moved: a call, unless it only went back to nothing."""
        before = self.state.totals
        if before == []:
            self.state.totals = sums
            # What was answered in this log was counted, too; else it tells where a parent stood.
            heard = self.state.heard
            if heard & _BY_AGENT and not heard & _BY_COMPACTION and any(own):
                self._legacy_call(at, own, sums, start)
            return
        if before and len(before) != len(sums):
            before = None
        lower = before is not None and (
            sums[4] < before[4]
            or sums[0] < before[0]
            or sums[1] < before[1]
            or sums[2] < before[2]
            or sums[3] < before[3]
        )
        if lower:
            self.state.epoch += 1
        self.state.totals = sums
        if not any(own):
            base = [0] * 5 if lower or before is None else before
            own = (sums[0] - base[0], sums[1] - base[1], 0, sums[2] - base[2], sums[3] - base[3])
        if any(own):
            self._legacy_call(at, own, sums, start)

    def _legacy_call(
        self, at: int, own: tuple[int, ...], sums: list[int] | None, start: int
    ) -> None:
        state = self.state
        a, b, c, d = (sums or [at, own[0], own[1], own[3]])[:4]
        self.prefix = self.prefix or prefix_of(state.owner)
        name = f"{self.prefix}_{state.epoch}_{a:x}_{b:x}_{c:x}_{d:x}"
        began = max(state.ended or 0, state.turn_at or 0) or None
        state.ended = at
        initiator = asked_by(state) if state.user else _went_on(state)
        running = None if sums is None else sums[4]
        self._add(name, state.turn, initiator, at, lasted_of(at, began), own, start, running)

    def _record(
        self,
        at: int,
        names: tuple[str, str, str],
        own: tuple[int, ...],
        running: int | None,
        start: int,
    ) -> None:
        state = self.state
        thread, turn, response = names
        state.records = True
        if state.owner is None or (state.meta is None and state.last_id is None):
            state.owner = thread
        if thread != state.owner:
            return  # copied history: the call belongs to the thread it names
        new = turn != state.last_turn or state.user
        initiator = asked_by(state) if new else _went_on(state)
        state.heard |= _BY_TURN if new else 0
        began = max(state.output_at or 0, state.turn_at or 0) or None
        state.last_turn = turn
        self._add(response, turn or None, initiator, at, lasted_of(at, began), own, start, running)

    def _add(  # noqa: PLR0913 - one row, built once
        self,
        name: str,
        turn: str | None,
        initiator: str,
        at: int,
        duration: int | None,
        own: tuple[int, ...],
        start: int,
        running: int | None,
    ) -> None:
        state = self.state
        state.last_id = name
        state.count += 1
        state.user = False
        state.turn_at = None
        state.heard = (state.heard & 15) << _EARLIER
        more = (0, self.tier) if self.tier else ()
        self.records.tiers = self.records.tiers or bool(more)
        self.add(
            (name, turn, state.model, state.effort, initiator, at, duration, *own, running,
             state.window, self.base + start, *more)
        )  # fmt: skip

    # ── what the calls belong to ──────────────────────────────────────────────────────

    def _other(self, place: int, kind: int) -> None:
        letters, state = self.letters, self.state
        if kind >= _HEARD:
            self._hear(place, kind // _HEARD)
            return
        needless = state.window if kind == _TASK else kind == _ITEM and state.title is not None
        if letters[place - 1] == "\\" or needless:
            return
        start = letters.rfind("\n", 0, place) + 1
        if start in self.bad:
            return
        opening = _OPENING(letters, start)
        envelope = self._envelope(start, opening)
        if kind == _TURN and envelope == "turn_context":
            self._turn(start, opening)
        elif kind == _META and envelope == "session_meta":
            self._meta(start)
        elif kind == _COMPACTED and envelope == "compacted":
            self._compacted()
        elif kind in _EVENT_KINDS and envelope == "event_msg" and place - start < 400:
            self._event(start, kind)

    def _envelope(self, start: int, opening: Any) -> str:
        """The kind of a line."""
        if opening and self.letters[opening.end()] == '"':
            begin = int(opening.end()) + 1
            end = self.letters.find('"', begin, begin + 100)
            if end >= 0:
                return self.letters[begin:end]
        head = _HEAD(self.letters, start)
        if head:
            return str(head[1])
        line = self._decode(start)
        return str(line.get("type")) if line else ""

    def _turn(self, start: int, opening: Any) -> None:
        line, state = self.letters[start : self._end(start)], self.state
        told = _told_plainly(line) or self._told_exactly(start)
        if told is None:
            return
        state.model, state.effort, state.turn = told[0] or state.model, *told[1:]
        state.tier = self._told_tier(start)
        self.tier = state.tier or state.thread_tier
        if opening:
            state.turn_at = _clock(*opening.groups())
            return
        at = _STAMP(line)
        state.turn_at = time_ms(at[1]) if at else None

    def _settings(self, start: int) -> None:
        """What a thread's turns ask for from now on, unless they say otherwise."""
        if self._named(start)[1] == "thread_settings_applied":
            self.state.thread_tier = self._told_tier(start)
            self.tier = self.state.tier or self.state.thread_tier

    def _told_tier(self, start: int) -> str | None:
        if not _tells_tier(self.letters[start : self._end(start)]):
            return None
        decoded = self.records.decoded
        line = self._decode(start)
        self.records.decoded = decoded  # the line's shape is usual
        payload = line.get("payload") if line else None
        return _outermost(payload, ("service_tier",), 40) if isinstance(payload, dict) else None

    def _told_exactly(self, start: int) -> tuple[str | None, ...] | None:
        """A turn's model, effort and id; None where the line cannot be used."""
        line = self._decode(start)
        payload = line.get("payload") if line else None
        if not isinstance(payload, dict):
            return None
        return tuple(_outermost(payload, names, most) for names, most in _TURNS)

    def _event(self, start: int, kind: int) -> None:
        state = self.state
        if kind == _SETTINGS:
            self._settings(start)
            return
        if kind == _TASK:
            if not state.window:
                window = _number(self.letters[start : self._end(start)], '"model_context_window":')
                state.window = window or state.window
            return
        if kind == _USER:
            state.user = True
            if not state.records and state.turn_at is None:  # what follows began no earlier
                state.ended = self._moment(start) or state.ended
        if state.title is None:
            state.title = title_of(self._line(start))

    def _compacted(self) -> None:
        """The call before it made the summary (files that name their calls)."""
        name = self.state.last_id
        if not self.state.records:
            self.state.heard |= _BY_COMPACTION
        if not self.state.records or name is None:
            return
        # The next call does what that one came before.
        before = self.state.heard >> _EARLIER
        self.state.heard |= before & _BY_TOOL
        self.state.user = self.state.user or bool(before & _BY_TURN)
        calls = self.records.calls
        if calls and calls[-1][0] == name:
            calls[-1] = (*calls[-1][:4], "compaction", *calls[-1][5:])
        else:
            self.records.compactions.append(name)

    def _meta(self, start: int) -> None:
        line = self._decode_meta(start)
        if line is not None and describe(self.state, line):
            self.prefix = ""

    def _decode_meta(self, start: int) -> dict[str, Any] | None:
        # The prompt is most of this line; without it, decoding takes a tenth of the time.
        find, end = self.letters.find, self._end(start)
        text = find(_PROMPT, start, end)
        if text >= 0:
            text += len(_PROMPT)
            close = find('"', text, end)
            while close > 0 and self.letters[close - 1] == "\\":
                close = find('"', close + 1, end)
            try:
                cut = bytes(self.data[start:text]) + bytes(self.data[close:end])
                value, mended = read_json(cut)
                if isinstance(value, dict):
                    if mended:
                        self._mend(start)
                    return value
            except (ValueError, RecursionError):
                pass
        return self._decode(start)


def _went_on(state: State) -> str:
    """Who began a call within a turn, as far as the log tells."""
    heard = state.heard
    if heard & _BY_COMPACTION:
        return "compaction"
    if heard & _BY_TOOL:
        return "tool"
    # In an agent's thread it is an agent that asks, whatever for.
    return "agent" if heard & _BY_AGENT or asked_by(state) == "agent" else "unknown"


def _add_limits(records: Records, at: int, raw: bytes) -> None:
    try:
        value, mended = read_json(raw)
    except (ValueError, RecursionError):
        records.warn("rate_limits")
        return
    if isinstance(value, dict):
        if mended:
            records.warn(MENDED)
        records.limits.append((at, value))


_minutes: dict[str, int] = {}


def _clock(minute: str, second: str, ms: str) -> int:
    """Milliseconds of a stamp; a minute is worked out once."""
    return (_minutes.get(minute) or _minute(minute)) + int(second) * 1000 + int(ms)


def _minute(minute: str) -> int:
    if len(_minutes) > 50_000:
        _minutes.clear()
    base = _minutes[minute] = time_ms(minute + ":00Z") or 0
    return base


def _decoded(letters: str) -> str:
    """Text of a file that was read as Latin-1."""
    return letters if letters.isascii() else letters.encode("latin-1").decode("utf-8", "replace")


def _text_after(letters: str, place: int, before: str) -> str | None:
    """The text up to the next quote behind `before`, which must be at `place`."""
    if not letters.startswith(before, place):
        return None
    begin = place + len(before)
    end = letters.find('"', begin)
    return letters[begin:end] if end >= 0 else None


_TURNS = (("model",), 200), (("effort", "reasoning_effort"), 40), (("turn_id",), 200)


def _told_plainly(line: str) -> tuple[str | None, str | None, str | None] | None:
    """A turn's model, effort and id; None where only decoding tells them."""
    settings = line.find('"collaboration_mode":')
    if settings >= 0 and line.find('"model":', 0, settings) < 0:
        return None  # they name a model too, and the turn's own wins
    model = _given(line, 'model":', 200)
    effort = _given(line, 'effort":', 40, ('"', '"reasoning_'))
    turn = _given(line, 'turn_id":', 200)
    return None if "" in (model, effort, turn) else (model, effort, turn)


_OWN = 15  # columns of each call
_NO_TIER = (0, None)
_TIER = '"service_tier":'


def _tells_tier(line: str) -> bool:
    """Whether a line may tell of a tier; the compiled part leaves such a line."""
    place = line.find(_TIER)
    while place >= 0:
        place += len(_TIER)
        if not line.startswith(("null", " null"), place):
            return True
        place = line.find(_TIER, place)
    return False


def _outermost(payload: dict[str, Any], names: tuple[str, ...], most: int) -> str | None:
    """The first text of these names that is not empty, the outermost one, cut to `most`."""
    level = [payload]
    while level:
        for part in level:
            for name in names:
                text = part.get(name)
                if isinstance(text, str) and text:
                    return text[:most]
        level = [inner for part in level for inner in part.values() if isinstance(inner, dict)]
    return None


def _given(line: str, key: str, most: int, heads: tuple[str, ...] = ('"',)) -> str | None:
    """The first text behind a key that is not empty; "" for one of more than `most` letters or
    with escapes.
    """  # noqa: D205
    place = line.find(key)
    while place >= 0:
        begin = place + len(key)
        if line.endswith(heads, 0, place) and line.startswith(('"', ' "'), begin):
            begin = line.index('"', begin) + 1
            end = line.find('"', begin)
            if begin < end:
                plain = end <= begin + most and "\\" not in line[begin:end]
                return _decoded(line[begin:end]) if plain else ""
        place = line.find(key, begin)
    return None


def _number(line: str, key: str) -> int | None:
    """The whole number that follows a key."""
    place = line.find(key)
    digits = line[place + len(key) :].lstrip(" ")[:16] if place >= 0 else ""
    size = next((n for n, letter in enumerate(digits) if not "0" <= letter <= "9"), len(digits))
    return int(digits[:size]) if 0 < size < 16 else None


_TOLD = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)
_SUM = "total_tokens"


def _told(value: Any) -> Any:
    """Figures; None where none of them is told, which is no counter that stands at nothing."""
    if not isinstance(value, dict):
        return value
    return value if any(value.get(name) is not None for name in (*_TOLD, _SUM)) else None


def _usage(value: Any) -> tuple[int, int, int, int, int] | None:
    """(input, cached, cache_written, output, reasoning); an impossible figure counts nothing."""
    if not isinstance(value, dict):
        return None
    first, cached, written, output, reasoning = (whole(value.get(name)) or 0 for name in _TOLD)
    if odd(value):  # parts are no larger than what is left of their whole
        cached = min(cached, first)
        written, reasoning = min(written, first - cached), min(reasoning, output)
    return first, cached, written, output, reasoning


def odd(value: Any, names: tuple[str, ...] = _TOLD) -> bool:
    """Whether figures hold one that cannot be, or are none at all; null is one that is not told."""
    if not isinstance(value, dict):
        return value is not None
    return any(value.get(name) is not None and whole(value[name]) is None for name in names)


# A call's figures that each client tells: its place among the call's, and among the counter's.
_COUNTERS = (
    ("input_tokens", 0, 0),
    ("cached_input_tokens", 1, 1),
    ("output_tokens", 3, 2),
    ("reasoning_output_tokens", 4, 3),
)
_TOTAL, _LAST = "total_token_usage", "last_token_usage"


def _lacking(value: Any) -> list[str]:
    """The figures that are not told, of some that should be."""
    if not isinstance(value, dict):
        return []
    return [name for name, _, _ in _COUNTERS if value.get(name) is None]


def _unknown(total: Any) -> list[str]:
    """The figures that a counter does not tell, and that do not follow from its sum either."""
    lacking = _lacking(total)
    follows = isinstance(total, dict) and total.get(_SUM) is not None
    sides = {"input_tokens", "output_tokens"}
    return [name for name in lacking if not (follows and sides.intersection(lacking) == {name})]


def _counter(
    total: dict[str, Any], own: tuple[int, ...] | None, before: list[int] | None
) -> list[int]:
    """A counter's sums. One that is not told stands still where no other moved; else it went on by
    what the call says.
    """  # noqa: D205
    told = [whole(total.get(name)) for name in (*(name for name, _, _ in _COUNTERS), _SUM)]
    first, cached, output, reasoning, running = told
    known = before if before and len(before) == 5 else None
    if known and all(one in (None, stood) for one, stood in zip(told, known, strict=True)):
        return known
    began = known is None or any(
        one is not None and one < stood for one, stood in zip(told, known, strict=True)
    )
    base = [0] * 5 if began or known is None else known
    more = own or (0,) * 5
    if first is None:
        fits = running is not None and output is not None and running >= output
        first = running - output if fits else base[0] + more[0]  # type: ignore[operator]
    if output is None:
        output = running - first if running is not None and running >= first else base[2] + more[3]
    cached = base[1] + more[1] if cached is None else cached
    reasoning = base[3] + more[4] if reasoning is None else reasoning
    return [first, cached, output, reasoning, first + output if running is None else running]


def lasted_of(at: int, began: int | None) -> int | None:
    """How long a call took; None where that is not known, or the machine slept."""
    return at - began if began is not None and 0 <= at - began <= _IDLE_MS else None
