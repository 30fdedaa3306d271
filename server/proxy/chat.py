"""A response's events in the words of Chat Completions: chunk by chunk, or folded into one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from server.errors import AppError
from server.proxy import policy, sse
from server.proxy.translate import Chat

DONE = b"data: [DONE]\n\n"

_RENAMED = {
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
}
_CLIENT_FAULTS = (
    "context_length_exceeded",
    "invalid_prompt",
    "invalid_request_error",
    "cyber_policy",
)


@dataclass
class _Item:
    """One output item, as far as it has been passed on."""

    tool: int | None = None  # its place among the tool calls, once announced
    custom: bool = False
    sent: dict[tuple[str, Any], int] = field(default_factory=dict)  # characters by part
    waiting: str = ""  # arguments that came before the call's name


class Chunks:
    """Turns a response's events into chat chunks, one call of `feed` an event.

    What was sent as deltas is not sent again when an event repeats it whole; what came only
    whole is sent then. `failure` is set when the provider reported an error, `finished` once
    the response has ended well. After the last event call `end`.
    """

    def __init__(self, chat: Chat, request_id: str, created: int) -> None:
        self.failure: sse.Failure | None = None
        self.finished = False
        self._include_usage = chat.include_usage
        self._id = f"chatcmpl-{request_id}"
        self._model = chat.model
        self._created = created
        self._begun = False
        self._calls = 0
        self._said: set[str] = set()  # kinds of words that were sent
        self._items: dict[tuple[str, Any], _Item] = {}
        self._current: _Item | None = None
        self._nameless = False  # nothing has named the current item yet

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The chunks that `event` brings; none for events that say nothing to a chat client."""
        if self.finished or self.failure:
            return []
        kind = str(event.get("type") or "")
        kind = _RENAMED.get(kind, kind)
        if kind in ("response.failed", "error"):
            self.failure = sse.failure(event)
            return [_error(self.failure)]
        response = event.get("response")
        if isinstance(response, dict) and kind.startswith("response."):
            self._learn(response)
            if kind in ("response.completed", "response.done", "response.incomplete"):
                return self._finish(kind, response)
            return []
        return self._opened(self._content(kind, event))

    def end(self, message: str = "") -> list[dict[str, Any]]:
        """What to send when the stream is over: an error chunk if it broke off, else nothing."""
        if self.finished or self.failure:
            return []
        said = message or "The provider's answer broke off; ask again."
        self.failure = sse.Failure("stream_incomplete", said, None, None)
        return [_error(self.failure)]

    def _learn(self, response: dict[str, Any]) -> None:
        if self._begun:
            return  # a client tells streams apart by the id, so it must stay the same
        if isinstance(response.get("id"), str) and response["id"]:
            self._id = f"chatcmpl-{response['id']}"
        if isinstance(response.get("model"), str) and response["model"]:
            self._model = response["model"]
        created = response.get("created_at")
        if isinstance(created, int | float) and not isinstance(created, bool):
            self._created = int(created) if 0 < created < 2**53 else self._created

    def _content(self, kind: str, event: dict[str, Any]) -> list[dict[str, Any]]:
        item = event.get("item")
        if kind in ("response.output_item.added", "response.output_item.done"):
            if not isinstance(item, dict):
                return []
            known = self._item(event, item)
            whole = kind.endswith("done")
            return self._whole(known, item) if whole else self._announce(known, item)
        if not kind.endswith((".delta", ".done")):
            return []
        found = _DELTAS.get(kind.rpartition(".")[0])
        if found is None:
            return []
        name, place, repeated = found
        text = event.get("delta") if kind.endswith(".delta") else event.get(repeated)
        # Left out it is the first part, as the whole item will count it.
        index = (_key(event.get(place)) or 0) if place else None
        return self._send(self._item(event, {}), (name, index), text, whole=kind.endswith(".done"))

    def _item(self, event: dict[str, Any], item: dict[str, Any]) -> _Item:
        """The item an event is about, by any of its names (its id is not its call_id)."""
        names: list[tuple[str, Any]] = [
            ("id", event.get("item_id") or item.get("id")),
            ("call_id", item.get("call_id")),
            ("index", event.get("output_index")),
        ]
        names = [(kind, _key(value)) for kind, value in names if _key(value) not in (None, "")]
        if not names:
            # It is about the item that is under way, or about the next that will have a name.
            self._current = self._current or _Item()
            self._nameless = not self._items
            return self._current
        known = next((self._items[name] for name in names if name in self._items), None)
        if known is None:
            known = self._current if self._nameless and self._current else _Item()
        for name in names:
            self._items.setdefault(name, known)
        self._current, self._nameless = known, False
        return known

    def _announce(self, known: _Item, item: dict[str, Any]) -> list[dict[str, Any]]:
        """The first chunk of a tool call: its id and name."""
        kind, name = item.get("type"), item.get("name")
        if kind not in ("function_call", "custom_tool_call") or known.tool is not None:
            return []
        if not isinstance(name, str) or not name:
            return []
        known.tool, known.custom = self._calls, kind == "custom_tool_call"
        self._calls += 1
        identity = item.get("call_id") or item.get("id")
        inner = "custom" if known.custom else "function"
        first, known.waiting = known.waiting, ""
        call = {
            "index": known.tool,
            "id": identity if isinstance(identity, str) else f"call_{known.tool}",
            "type": inner,
            inner: {"name": name, ("input" if known.custom else "arguments"): first},
        }
        return [{"tool_calls": [call]}]

    def _whole(self, known: _Item, item: dict[str, Any]) -> list[dict[str, Any]]:
        """What of a finished item has not been sent yet."""
        found = self._announce(known, item)
        for name in ("arguments", "input"):
            if known.tool is not None and known.custom == (name == "input"):
                found += self._send(known, ("call", None), item.get(name), whole=True)
        for holder, kinds in (("content", _CONTENT), ("summary", _SUMMARY)):
            parts = item.get(holder)
            for index, part in enumerate(parts if isinstance(parts, list) else []):
                if isinstance(part, dict) and str(part.get("type")) in kinds:
                    name, text = kinds[str(part["type"])]
                    found += self._send(known, (name, index), part.get(text), whole=True)
                    found += self._cited(known, index, part)
        return found

    def _cited(self, known: _Item, index: int, part: dict[str, Any]) -> list[dict[str, Any]]:
        """The web pages that a part of the text names, once it is whole."""
        given = part.get("annotations")
        given = given if isinstance(given, list) else []
        cited = [_citation(each) for each in given if _cites(each)]
        if not cited or ("annotations", index) in known.sent:
            return []
        known.sent[("annotations", index)] = len(cited)
        return [{"annotations": cited}]

    def _late(self, item: dict[str, Any], before: set[str]) -> list[dict[str, Any]]:
        """What of the last event's copy of an item has not been sent yet.

        Some providers name items anew there and leave some out, so words are taken from a copy
        only when it is known to be one, or when there were no such words `before`.
        """
        names = {(kind, _key(item.get(kind))) for kind in ("id", "call_id")}
        known = next((self._items[name] for name in names if name in self._items), None)
        said = _WORDS_OF.get(str(item.get("type")), set()) & before
        return [] if said and known is None else self._whole(known or _Item(), item)

    def _send(
        self, known: _Item, part: tuple[str, Any], text: Any, *, whole: bool
    ) -> list[dict[str, Any]]:
        if not isinstance(text, str):
            return []
        sent = known.sent.get(part, 0)
        new = text[sent:] if whole else text
        if not new:
            return []
        known.sent[part] = sent + len(new)
        name, index = part
        self._said.add(name)
        if name != "call":
            later = name == "reasoning_content" and not sent and isinstance(index, int) and index
            return [{name: f"\n\n{new}" if later else new}]
        if known.tool is None:
            known.waiting += new
            return []
        inner = {"custom": {"input": new}} if known.custom else {"function": {"arguments": new}}
        return [{"tool_calls": [{"index": known.tool, **inner}]}]

    def _finish(self, kind: str, response: dict[str, Any]) -> list[dict[str, Any]]:
        output = response.get("output")
        deltas: list[dict[str, Any]] = []
        before = set(self._said)
        for item in output if isinstance(output, list) else []:
            if isinstance(item, dict):
                deltas += self._late(item, before)
        found = self._opened(deltas)
        if not self._begun:
            found += self._opened([{"content": ""}])
        self.finished = True
        found.append(self._chunk({}, _finish_reason(kind, response, self._calls)))
        if self._include_usage:
            last = self._chunk({})
            found.append({**last, "choices": [], "usage": usage(response.get("usage"))})
        return found

    def _opened(self, deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Chunks of these deltas; the very first also says whose words they are."""
        found = []
        for delta in deltas:
            found.append(self._chunk(delta if self._begun else {"role": "assistant", **delta}))
            self._begun = True
        return found

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        }
        return {**chunk, "usage": None} if self._include_usage else chunk


# Event name without its ending → what it is in a chat, where its index is, what repeats it whole.
_DELTAS: dict[str, tuple[str, str, str]] = {
    "response.output_text": ("content", "content_index", "text"),
    "response.refusal": ("refusal", "content_index", "refusal"),
    "response.function_call_arguments": ("call", "", "arguments"),
    "response.custom_tool_call_input": ("call", "", "input"),
    "response.reasoning_summary_text": ("reasoning_content", "summary_index", "text"),
}
_WORDS_OF = {"message": {"content", "refusal"}, "reasoning": {"reasoning_content"}}
_CONTENT = {"output_text": ("content", "text"), "refusal": ("refusal", "refusal")}
_SUMMARY = {"summary_text": ("reasoning_content", "text")}


def _key(value: Any) -> Any:
    """`value` if it can name something, else None."""
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _cites(annotation: Any) -> bool:
    return isinstance(annotation, dict) and annotation.get("type") == "url_citation"


def _citation(annotation: dict[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in annotation.items() if key != "type"}
    return {"type": "url_citation", "url_citation": inner}


def _finish_reason(kind: str, response: dict[str, Any], calls: int) -> str:
    if kind == "response.incomplete" or response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return "content_filter" if reason == "content_filter" else "length"
    return "tool_calls" if calls else "stop"


def _error(failure: sse.Failure) -> dict[str, Any]:
    kind = "invalid_request_error" if failure.code in _CLIENT_FAULTS else "server_error"
    message = failure.message or "The provider reported an error; ask again."
    return {"error": {"message": message, "type": kind, "param": None, "code": failure.code}}


def usage(given: Any) -> dict[str, Any] | None:
    """A Responses `usage` object in chat's words; None when it says nothing usable."""
    tokens = sse.tokens(given)
    if tokens is None:
        return None
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


def encode(chunks: Iterable[dict[str, Any]]) -> bytes:
    """Chunks as they go over the wire."""
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)


def completion(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The `chat.completion` that a whole stream of chunks amounts to.

    The chunks are those of `Chunks` with `include_usage`, and without an error among them.
    """
    said: dict[str, list[str]] = {}
    calls: list[dict[str, Any]] = []
    cited: list[dict[str, Any]] = []
    finish, counts = "stop", None
    found: dict[str, Any] = {}
    for chunk in chunks:
        found = {"id": chunk["id"], "created": chunk["created"], "model": chunk["model"]}
        counts = chunk.get("usage") or counts
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            _add_calls(calls, choice["delta"].get("tool_calls", ()))
            cited += choice["delta"].get("annotations", ())
            for name in _WORDS & choice["delta"].keys():
                said.setdefault(name, []).append(choice["delta"][name])
    message = _message({name: "".join(pieces) for name, pieces in said.items()}, calls)
    if cited:
        message["annotations"] = cited
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**found, "object": "chat.completion", "choices": [choice], "usage": counts}


_WORDS = {"content", "refusal", "reasoning_content"}


def _message(said: dict[str, str], calls: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": said.get("content"),
        "refusal": said.get("refusal"),
    }
    if "reasoning_content" in said:
        message["reasoning_content"] = said["reasoning_content"]
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None and message["refusal"] is None:
        message["content"] = ""
    return message


def _add_calls(calls: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for delta in deltas:
        if delta["index"] == len(calls):
            calls.append({key: value for key, value in delta.items() if key != "index"})
            continue
        call = calls[delta["index"]]
        for inner, piece in (("function", "arguments"), ("custom", "input")):
            if inner in delta:
                call[inner] = {**call[inner], piece: call[inner][piece] + delta[inner][piece]}


class Answer:
    """A response on its way to a chat client: takes the place of `fold.Fold`.

    `response` is the whole `chat.completion`, once there is one.
    """

    def __init__(self, chat: Chat, request_id: str, created: int) -> None:
        self.response: dict[str, Any] | None = None
        self._stream = chat.stream
        # The usage of a plain answer is always told; the last chunk brings it.
        wanted = chat if chat.stream else replace(chat, include_usage=True)
        self._chunks = Chunks(wanted, request_id, created)
        self._kept: list[dict[str, Any]] = []

    def pass_on(self, event: bytes) -> bytes:
        """The event as the client shall get it: as chunks, none, or the last ones and the end."""
        value = sse.parse(event)
        over = self._over
        found = self._chunks.feed(value) if value else []
        if not self._stream:
            self._kept += found
            if self._chunks.finished and self.response is None:
                self.response, self._kept = completion(self._kept), []
            return b""
        return encode(found) + (DONE if self._over and not over else b"")

    def broken_off(self, message: str) -> bytes:
        """What ends a stream that broke off before the response did."""
        return encode(self._chunks.end(message)) + DONE

    @property
    def _over(self) -> bool:
        return self._chunks.finished or self._chunks.failure is not None


# ── Errors ────────────────────────────────────────────────────────────────────────────────


def refusal(error: AppError, now: datetime) -> AppError:
    """`error` with a status at which a chat client stops and shows its message.

    Some retry 429 and 5xx for ever without a word; a pool that stays dry is not worth that.
    The same goes for a client's key whose limit lasts, and for a web page that stands before the
    provider. A short rest (429 with Retry-After) and the provider's own trouble stay as they
    are. `now` gives the zone in which the message names the time.
    """
    if error.code == "usage_limit_reached":
        return _as(error, 402, f"{error.message}{_try_again(error.extra.get('resets_at'), now)}")
    if policy.lasts(error):
        # opencode 1.18 retries whatever has “rate_limit” in its code, with any status.
        return _as(error, 402, error.message, "insufficient_quota")
    if error.code == "no_accounts":
        return _as(error, 403, error.message)
    if isinstance(error, policy.Trouble) and error.stays:
        return _as(error, 403, error.message, "no_answer")
    if error.code in _CLIENT_FAULTS and error.status >= 500:
        return _as(error, 400, error.message)
    return error


def _as(error: AppError, status: int, message: str, code: str | None = None) -> AppError:
    # No `resets_at` and no other long number: opencode 1.18 looks for status codes anywhere in
    # the body, finds 524 in 1795240000, and then retries for ever. Retry-After says it, too.
    named = code or error.code
    return AppError(message, code=named, status=status, retry_after=error.retry_after)


def _try_again(resets_at: Any, now: datetime) -> str:
    if not isinstance(resets_at, int):
        return " Try again later."
    at = datetime.fromtimestamp(resets_at, now.tzinfo)
    day = "" if at.date() == now.date() else f" on {at.day} {at:%b}"
    return f" Try again at {at:%H:%M}{day}."
