"""One line of a log as an entry that a person can read: what happened, when, and its text. Pure.

Knows the shapes of Codex' rollouts, old and new, and of Claude Code's project logs. A shape it
does not know becomes an entry with its name and without text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from server.ingest.lines import time_ms, whole

# What goes into a call, what comes out of it, and what is only said about it.
INWARD = ("user", "instructions", "context", "tool_output")
OUTWARD = ("assistant", "reasoning", "tool_call")
_SHORT = 200

Json = dict[str, Any]


@dataclass
class Entry:
    """What one line says. `text` is as it was written: whoever shows it takes secrets out."""

    kind: str  # user assistant instructions context reasoning tool_call tool_output command
    #            file_change mcp search compaction turn usage session event long unreadable
    label: str | None = None  # a tool's or an event's name
    text: str | None = None
    at: int | None = None
    began: int | None = None
    duration: int | None = None
    tool: str | None = None  # the id that joins a tool's call and output
    usage: Json | None = None
    figures: Json = field(default_factory=dict)  # counts and words that hold no content
    history: list[tuple[str, str]] = field(default_factory=list)  # (role, text) of a compaction
    response: str | None = None  # the call that this line ends or belongs to
    totals: tuple[int, ...] | None = None  # of a token count
    place: int = 0
    size: int = 0
    chars: int | None = None  # of a text that was not kept

    @property
    def length(self) -> int | None:
        """How many characters the text has, whether it is here or not."""
        return len(self.text) if self.text is not None else self.chars


def codex(line: Json) -> list[Entry]:
    """The entries of a rollout's line."""
    payload = line.get("payload")
    kind = line.get("type")
    make = _LINES.get(str(kind))
    if make is None or not isinstance(payload, dict):
        found = [Entry("event", label=_word(kind))]
    else:
        found = make(payload)
    at = time_ms(line.get("timestamp"))
    for entry in found:
        entry.at = at
    return found


# ── Codex ─────────────────────────────────────────────────────────────────────────────────


def _session(payload: Json) -> list[Entry]:
    said = [_word(payload.get(key)) for key in ("originator", "cli_version")]
    base = payload.get("base_instructions")
    length = len(content(base.get("text"))) if isinstance(base, dict) else None
    return [
        Entry(
            "session",
            label=" ".join(word for word in said if word) or None,
            figures={"instructionChars": length},
        )
    ]


def _turn(payload: Json) -> list[Entry]:
    names = ("model", "effort", "approval_policy", "approvals_reviewer")
    said = [_word(payload.get(name)) for name in names]
    return [Entry("turn", text=" · ".join(word for word in said if word) or None)]


def _record(payload: Json) -> list[Entry]:
    return [
        Entry(
            "usage",
            label="response",
            usage=figures(payload.get("usage")),
            figures={
                "turn": figures(payload.get("turn_token_usage")),
                "session": figures(payload.get("thread_token_usage")),
            },
            response=_word(payload.get("response_id")),
        )
    ]


def _compacted(payload: Json) -> list[Entry]:
    history = payload.get("replacement_history")
    items = [_told(item) for item in history] if isinstance(history, list) else []
    summary = payload.get("message")
    if isinstance(summary, str) and summary:
        items.insert(0, ("summary", summary))
    return [Entry("compaction", label="compacted", figures={"items": len(items)}, history=items)]


def _told(item: Any) -> tuple[str, str]:
    if not isinstance(item, dict):
        return "item", content(item)
    role = _word(item.get("role")) or _word(item.get("type")) or "item"
    said = item.get("content", item.get("text", item.get("output", item.get("arguments"))))
    return role, content(said)


def _item(payload: Json) -> list[Entry]:
    kind = str(payload.get("type"))
    if kind == "message":
        return [_message(_word(payload.get("role")), content(payload.get("content")))]
    if kind == "reasoning":
        return [_reasoning(payload)]
    tool = _word(payload.get("call_id"))
    if kind.endswith(("_call_output", "_search_output")) or kind == "mcp_result":
        said = payload.get("output", payload.get("result", payload.get("tools")))
        return [
            Entry("tool_output", label=_word(payload.get("name")), text=output(said), tool=tool)
        ]
    if kind.endswith("_call"):
        return [Entry("tool_call", label=_tool(payload, kind), text=_asked(payload), tool=tool)]
    return [Entry("event", label=_word(kind))]


def _message(role: str | None, text: str) -> Entry:
    if role == "assistant":
        return Entry("assistant", text=text)
    if role in ("developer", "system"):
        return Entry("instructions", label=role, text=text)
    # Codex writes what it adds by itself as a user's message in brackets.
    added = text.lstrip().startswith(("<", "# AGENTS.md"))
    return Entry("context" if added else "user", text=text)


def _reasoning(payload: Json) -> Entry:
    hidden = payload.get("encrypted_content")
    said = content(payload.get("summary", payload.get("summary_text")))
    said = said or content(payload.get("content", payload.get("raw_content")))
    length = len(hidden) if isinstance(hidden, str) else None
    return Entry("reasoning", text=said or None, figures={"encryptedChars": length})


def _tool(payload: Json, kind: str) -> str | None:
    space = _word(payload.get("namespace"))
    name = _word(payload.get("name")) or kind.removesuffix("_call")
    return f"{space}.{name}" if space else name


def _asked(payload: Json) -> str | None:
    said = payload.get("arguments", payload.get("input", payload.get("action")))
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return str(said)
    return command(said) or (None if said is None else _dumped(said))


def command(said: Any) -> str | None:
    """The command line in a tool's arguments, where that is what they are."""
    if not isinstance(said, dict):
        return said if isinstance(said, str) else None
    found = said.get("cmd", said.get("command"))
    if isinstance(found, list) and all(isinstance(word, str) for word in found):
        return str(found[-1]) if found[1:2] in (["-lc"], ["-c"]) else " ".join(found)
    return found if isinstance(found, str) else None


def output(said: Any) -> str:
    """What a tool answered, whatever it is wrapped in."""
    if isinstance(said, dict):
        for key in ("content", "output", "text", "content_items"):
            if key in said:
                return output(said[key])
        return _dumped(said)
    return content(said)


def _event(payload: Json) -> list[Entry]:
    kind = str(payload.get("type"))
    make = _EVENTS.get(kind)
    if make:
        return [make(payload)]
    entry = Entry("event", label=_word(kind), duration=whole(payload.get("duration_ms")))
    first = whole(payload.get("time_to_first_token_ms"))
    if first is not None:
        entry.figures["firstTokenMs"] = first
    reason = _word(payload.get("reason"))
    if reason:
        entry.figures["reason"] = reason
    if kind in ("error", "warning", "stream_error"):
        entry.text = content(payload.get("message"))
    return [entry]


def _count(payload: Json) -> Entry:
    info = payload.get("info")
    info = info if isinstance(info, dict) else {}
    total, last = figures(info.get("total_token_usage")), figures(info.get("last_token_usage"))
    totals = None
    if total:
        totals = tuple(int(total[key] or 0) for key in ("input", "cached", "output", "reasoning"))
    return Entry(
        "usage",
        label="count",
        usage=last,
        figures={"session": total, "contextWindow": whole(info.get("model_context_window"))},
        totals=totals,
    )


def _completed(payload: Json) -> Entry:
    item = payload.get("item")
    item = item if isinstance(item, dict) else {}
    began, ended = whole(payload.get("started_at_ms")), whole(payload.get("completed_at_ms"))
    make = _ITEMS.get(str(item.get("type")))
    entry = make(item) if make else Entry("event", label=_word(item.get("type")))
    entry.began = began
    if entry.duration is None and began is not None and ended is not None and ended >= began:
        entry.duration = ended - began
    return entry


def _execution(item: Json) -> Entry:
    lasted = item.get("duration")
    ms = None
    if isinstance(lasted, dict):
        ms = round(
            (whole(lasted.get("secs")) or 0) * 1000 + (whole(lasted.get("nanos")) or 0) / 1e6
        )
    return Entry(
        "command",
        label=_word(item.get("source")),
        text=command({"command": item.get("command")}),
        duration=ms,
        tool=_word(item.get("id")) or _word(item.get("call_id")),
        figures={"exitCode": _code(item.get("exit_code")), "status": _word(item.get("status"))},
    )


def _code(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _change(item: Json) -> Entry:
    changes = item.get("changes")
    named: list[str] = []
    if isinstance(changes, dict):
        for path, change in changes.items():
            kind = change.get("type") if isinstance(change, dict) else None
            named.append(f"{_word(kind) or 'change'} {path}")
    return Entry(
        "file_change",
        text="\n".join(named) or None,
        tool=_word(item.get("id")) or _word(item.get("call_id")),
        figures={"files": len(named), "status": _word(item.get("status"))},
    )


def _mcp(item: Json) -> Entry:
    asked = item.get("invocation")
    asked = asked if isinstance(asked, dict) else item
    names = [_word(asked.get(key)) for key in ("server", "tool")]
    return Entry(
        "mcp",
        label=".".join(name for name in names if name) or None,
        tool=_word(item.get("id")) or _word(item.get("call_id")),
        figures={"status": _word(item.get("status"))},
    )


_LINES: dict[str, Callable[[Json], list[Entry]]] = {
    "session_meta": _session,
    "turn_context": _turn,
    "token_usage_record": _record,
    "compacted": _compacted,
    "response_item": _item,
    "event_msg": _event,
}
_EVENTS: dict[str, Callable[[Json], Entry]] = {
    "token_count": _count,
    "item_completed": _completed,
    "user_message": lambda p: _message("user", content(p.get("message"))),
    "agent_message": lambda p: _message("assistant", content(p.get("message"))),
    "agent_reasoning": lambda p: Entry("reasoning", text=content(p.get("text")) or None),
    "exec_command_end": _execution,
    "patch_apply_end": _change,
    "mcp_tool_call_end": _mcp,
    "context_compacted": lambda _: Entry("compaction", label="context_compacted"),
}
_ITEMS: dict[str, Callable[[Json], Entry]] = {
    "UserMessage": lambda i: _message("user", content(i.get("content"))),
    "AgentMessage": lambda i: _message("assistant", content(i.get("content"))),
    "Reasoning": _reasoning,
    "CommandExecution": _execution,
    "FileChange": _change,
    "McpToolCall": _mcp,
    "WebSearch": lambda i: Entry("search", label="web_search", text=content(i.get("query"))),
    "ContextCompaction": lambda _: Entry("compaction", label="context_compacted"),
}


# ── Claude Code ───────────────────────────────────────────────────────────────────────────


def claude(line: Json) -> list[Entry]:
    """The entries of a Claude project log's line."""
    message = line.get("message")
    at = time_ms(line.get("timestamp"))
    kind = str(line.get("type"))
    if not isinstance(message, dict) or kind not in ("user", "assistant"):
        found = [Entry("event", label=_word(line.get("subtype")) or _word(kind))]
    elif line.get("isCompactSummary"):
        items = [("summary", content(message.get("content")))]
        found = [Entry("compaction", label="compacted", figures={"items": 1}, history=items)]
    else:
        found = [_block(block, kind) for block in _blocks(message.get("content"))]
        if kind == "assistant":
            found += _claude_usage(message, line)
    name = found[-1].response if kind == "assistant" and found else None
    for entry in found:
        entry.at = at
        entry.response = name
        if kind == "user" and line.get("isMeta") and entry.kind == "user":
            entry.kind = "context"
    return found


def _blocks(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [said]


def _block(block: Any, role: str) -> Entry:
    if not isinstance(block, dict):
        return _message(role, content(block))
    kind = block.get("type")
    if kind == "tool_use":
        said = block.get("input")
        text = command(said) or (None if said is None else _dumped(said))
        return Entry(
            "tool_call", label=_word(block.get("name")), text=text, tool=_word(block.get("id"))
        )
    if kind == "tool_result":
        return Entry(
            "tool_output", text=output(block.get("content")), tool=_word(block.get("tool_use_id"))
        )
    if kind in ("thinking", "redacted_thinking"):
        return Entry("reasoning", text=content(block.get("thinking")) or None)
    return _message(role, content([block]))


def _claude_usage(message: Json, line: Json) -> list[Entry]:
    said = message.get("usage")
    if not isinstance(said, dict):
        return []
    fresh, read, written, out = (
        whole(said.get(key)) or 0
        for key in (
            "input_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "output_tokens",
        )
    )
    usage = {
        "input": fresh + read + written,
        "cached": read,
        "cacheWrite": written,
        "output": out,
        "reasoning": None,
        "total": fresh + read + written + out,
    }
    name = _word(message.get("id")) or _word(line.get("uuid"))
    return [Entry("usage", label="response", usage=usage, response=name)]


# ── Both ──────────────────────────────────────────────────────────────────────────────────


def content(said: Any) -> str:
    """The text of a message's content: of parts, or of a plain text. Images are named only."""
    if said is None:
        return ""
    if isinstance(said, str):
        return _picture(said) if said.startswith("data:") else said
    if isinstance(said, list):
        return "\n".join(text for text in map(_part, said) if text)
    return _part(said)


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return content(part) if isinstance(part, str) else _dumped(part)
    for key in ("text", "summary_text", "thinking", "refusal"):
        if isinstance(part.get(key), str):
            return str(part[key])
    image = part.get("image_url", part.get("source", part.get("data")))
    if isinstance(image, dict):
        image = image.get("url", image.get("data"))
    if "image" in str(part.get("type")) or "image" in str(part.get("mimeType")):
        return _picture(image if isinstance(image, str) else "")
    if "content" in part:
        return content(part["content"])
    return f"[{_word(part.get('type')) or 'part'}]"


def _picture(data: str) -> str:
    return f"[image, {len(data) * 3 // 4 // 1024} KiB]"


def figures(value: Any) -> Json | None:
    """A usage object under our names; None when there is none."""
    if not isinstance(value, dict) or not value:
        return None
    first, out = whole(value.get("input_tokens")), whole(value.get("output_tokens"))
    total = whole(value.get("total_tokens"))
    if total is None and first is not None and out is not None:
        total = first + out
    return {
        "input": first,
        "cached": whole(value.get("cached_input_tokens")),
        "cacheWrite": whole(value.get("cache_write_input_tokens")),
        "output": out,
        "reasoning": whole(value.get("reasoning_output_tokens")),
        "total": total,
    }


def _word(value: Any) -> str | None:
    return value[:_SHORT] if isinstance(value, str) and value else None


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "[unreadable]"


# ── What a line is made of, for the full analysis ─────────────────────────────────────────

GROUPS = (
    "encrypted_reasoning_state",
    "visible_payload_fields",
    "local_goal_metadata",
    "rate_limit_metadata",
    "token_callback_metadata",
    "turn_context_metadata",
    "protocol_metadata",
    "other_serialized_metadata",
)
_TEXTS = {
    "text", "message", "content", "output", "arguments", "input", "summary", "thinking",
    "aggregated_output", "stdout", "stderr", "last_agent_message", "summary_text", "command",
    "query", "result", "replacement_history",
}  # fmt: skip
_ABOUT = {
    "token_count": "token_callback_metadata",
    "token_usage_record": "token_callback_metadata",
    "thread_goal_updated": "local_goal_metadata",
    "turn_context": "turn_context_metadata",
    "session_meta": "turn_context_metadata",
    "world_state": "turn_context_metadata",
    "thread_settings_applied": "turn_context_metadata",
    "response_item": "protocol_metadata",
    "event_msg": "protocol_metadata",
    "user": "protocol_metadata",
    "assistant": "protocol_metadata",
}


def shares(line: Json, size: int) -> dict[str, int]:
    """How many characters of a line belong to which group."""
    found: dict[str, int] = {}
    payload = line.get("payload", line.get("message"))
    inner = payload if isinstance(payload, dict) else {}
    kind = str(line.get("type"))
    about = _ABOUT.get(str(inner.get("type"))) or _ABOUT.get(kind, "other_serialized_metadata")
    _measure(inner, found, 0)
    rest = max(0, size - sum(found.values()))
    found[about] = found.get(about, 0) + rest
    return found


def _length(value: Any) -> int:
    """How long a value is as JSON; what a compaction keeps can be some MB."""
    try:
        return len(orjson.dumps(value))
    except TypeError:  # too deep for it, or half a character
        return len(_dumped(value))


def _measure(value: Json, found: dict[str, int], depth: int) -> None:
    for key, inner in value.items():
        group = None
        if key == "encrypted_content":
            group = "encrypted_reasoning_state"
        elif key == "rate_limits":
            group = "rate_limit_metadata"
        elif key in _TEXTS and inner:
            group = "visible_payload_fields"
        if group:
            length = len(inner) if isinstance(inner, str) else _length(inner)
            found[group] = found.get(group, 0) + length
        elif isinstance(inner, dict) and depth < 4:
            _measure(inner, found, depth + 1)
