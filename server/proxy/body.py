"""What a request's body says, and the little that must change in it.

The bytes are kept as they came. They are decoded and read once, for what routing needs, and
sent on untouched unless the provider would refuse them.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
import zstandard

from server.errors import AppError, BadRequest, TooLarge
from server.proxy.translate import conversation, unheld

MAX_DECODED = 128 * 1024 * 1024
_STEP = 65536
_WINDOW = 8 * 1024 * 1024
_LONGEST_HEADER = 18  # of a zstd frame
_SKIPPABLE = b"\x2a\x4d\x18"  # ends the magic number of a frame without content
_GZIP = b"\x1f\x8b"
_RLE = 2  # a block that repeats its one byte
# The ChatGPT backend answers 400 to these, which the OpenAI API takes.
_REFUSED_FIELDS = (
    "max_output_tokens",
    "metadata",
    "prompt_cache_retention",
    "safety_identifier",
    "temperature",
    "top_p",
    "truncation",
    "user",
)


class _Seen(msgspec.Struct):
    """The fields we look at; everything else is skipped without being built."""

    input: list[msgspec.Raw] | str | None = None
    tools: list[msgspec.Raw] | None = None
    model: Any = None
    stream: Any = None
    store: Any = None
    prompt_cache_key: Any = None
    previous_response_id: str | None = None
    conversation: Any = None
    service_tier: Any = None
    reasoning: Any = None
    client_metadata: Any = None
    messages: msgspec.Raw = msgspec.Raw(b"null")
    instructions: msgspec.Raw = msgspec.Raw(b"null")
    text: msgspec.Raw = msgspec.Raw(b"null")
    include: msgspec.Raw = msgspec.Raw(b"null")
    tool_choice: msgspec.Raw = msgspec.Raw(b"null")
    parallel_tool_calls: msgspec.Raw = msgspec.Raw(b"null")


_INLINE = re.compile(rb";base64,[A-Za-z0-9+/=_-]+")
_FILE_ID = re.compile(rb'(?<!\\)"file_id"\s*:\s*"([\x21\x23-\x5b\x5d-\x7e]{1,200})"')
# An escape in a text; the group is that of half a character, without its other half.
_WHOLE = rb"u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
_ESCAPE = re.compile(rb"\\(?:" + _WHOLE + rb"|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
_MOST_FILES = 100
_LONGEST_MODEL = 200
_BRACE = ord("{")
# What the provider takes in the fields that it knows: how a value begins, in words. Where a field
# of the OpenAI interface has another kind of value, no account could serve the request.
_KINDS = {
    "instructions": (b'"', "a text"),
    "text": (b"{", "an object"),
    "include": (b"[", "a list of texts"),
    "tool_choice": (b'"{', "a text or an object"),
    "parallel_tool_calls": (b"tf", "true or false"),
}
_TYPES: dict[str, tuple[type, str]] = {
    "reasoning": (dict, "an object, for example {“effort”: “low”}"),
    "client_metadata": (dict, "an object"),
    "service_tier": (str, "the name of a tier"),
    "prompt_cache_key": (str, "a text"),
    "store": (bool, "false"),
}
_SHAPES = {
    "input": "a text or a list of items",
    "tools": "a list of tools",
    "previous_response_id": "the id of a response, as text",
}
# Older spellings that clients put beside the fields they mean: field → (where, name there).
_ALIASES = {
    "reasoningEffort": ("reasoning", "effort"),
    "reasoningSummary": ("reasoning", "summary"),
    "textVerbosity": ("text", "verbosity"),
    "verbosity": ("text", "verbosity"),
}
# Where the parser stumbled; the rest of its message is not shown.
_FIELD = re.compile(r"\$\.(input|tools|previous_response_id)\b")
_decoder = msgspec.json.Decoder(_Seen)
_splitter = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class Body:
    """A request's body: the bytes to send, and what they say."""

    sent: bytes = field(repr=False)
    plain: bool  # `sent` no longer has the coding in which it came
    model: str
    stream: bool
    cache_key: str | None
    previous_response: str | None
    tier: str | None
    effort: str | None
    metadata: Mapping[str, Any] = field(repr=False)
    weight: int = 0  # bytes of text in it, pictures and files left out
    files: tuple[str, ...] = ()  # the uploaded files it names


def read(raw: bytes, coding: str, *, openai: bool, limit: int = MAX_DECODED) -> Body:
    """Decode and look through a request's body.

    `openai` marks the `/v1` surface, whose clients send what the backend refuses. Raises
    `BadRequest`, `TooLarge` or 415 with a sentence that says what is wrong.
    """
    coding = coding.strip().lower()
    decoded = decode(raw, coding, limit)
    try:
        text, mark = decoded, None
        seen = _look(decoded)
    except BadRequest:
        text, mark = _marked(decoded)
        if mark is None:
            raise
        seen = _look(text)
    _check(seen, openai=openai)
    # The provider takes zstd as Codex sends it; the others we undo ourselves.
    sent, plain = (raw, False) if coding in ("", "identity", "zstd") else (decoded, True)
    if openai:
        changed = _for_backend(text, seen)
        if changed is not None:
            sent, plain = _unmarked(changed, mark), True
    reasoning = seen.reasoning if isinstance(seen.reasoning, dict) else {}
    return Body(
        sent=sent,
        plain=plain,
        model=seen.model,
        stream=bool(seen.stream) if openai else True,
        cache_key=_text(seen.prompt_cache_key),
        previous_response=_text(seen.previous_response_id),
        tier=_text(seen.service_tier),
        effort=_text(reasoning.get("effort")),
        metadata=seen.client_metadata if isinstance(seen.client_metadata, dict) else {},
        weight=_weight(decoded),
        files=_files(decoded),
    )


def _check(seen: _Seen, *, openai: bool) -> None:
    """Refuse what no account could serve; items and tools of any kind pass."""
    if not isinstance(seen.model, str) or not seen.model.strip():
        raise invalid("“model” must be the name of a model.", "model")
    if len(seen.model) > _LONGEST_MODEL:
        raise invalid(f"“model” must have at most {_LONGEST_MODEL} characters.", "model")
    if seen.stream is not None and not isinstance(seen.stream, bool):
        raise invalid("“stream” must be true or false.", "stream")
    if isinstance(seen.input, list):
        _check_objects(seen.input, "input")
    _check_objects(seen.tools or [], "tools")
    if openai:
        _check_asked(seen)


def _check_asked(seen: _Seen) -> None:
    """Refuse what asks nothing or in two ways at once, and fields of another kind than theirs."""
    for name, (begins, kind) in _KINDS.items():
        first = bytes(getattr(seen, name))[:1]
        if first != b"n" and first not in begins:
            raise invalid(f"“{name}” must be {kind}.", name)
    for name, (wanted, kind) in _TYPES.items():
        value = getattr(seen, name)
        if value is not None and not isinstance(value, wanted):
            raise invalid(f"“{name}” must be {kind}.", name)
    messages = bytes(seen.messages) != b"null"
    if messages and seen.input is not None:
        raise invalid("Send either “input” or “messages”, not both.", "messages")
    if seen.conversation is not None and seen.previous_response_id is not None:
        problem = "Send either “conversation” or “previous_response_id”, not both."
        raise invalid(problem, "conversation")
    if seen.input is None and not messages and seen.previous_response_id is None:
        raise invalid("“input” is missing: send a text or a list of items.", "input")


def _check_objects(found: list[msgspec.Raw], name: str) -> None:
    for at, each in enumerate(found):
        if memoryview(each)[0] != _BRACE:
            raise invalid(f"“{name}[{at}]” must be an object.", name)


def _files(decoded: bytes) -> tuple[str, ...]:
    """The ids of uploaded files; text that only speaks of them has its quotes escaped."""
    if b'"file_id"' not in decoded:
        return ()
    found = {match[1].decode("ascii") for match in _FILE_ID.finditer(decoded)}
    return tuple(sorted(found))[:_MOST_FILES]


def _weight(decoded: bytes) -> int:
    if b";base64," not in decoded:
        return len(decoded)
    return len(_INLINE.sub(b"", decoded))


def invalid(message: str, param: str | None = None) -> BadRequest:
    """A 400 in OpenAI's words that names the parameter."""
    return BadRequest(message, extra={"param": param})


def decode(raw: bytes, coding: str, limit: int = MAX_DECODED) -> bytes:
    """The body without its content coding, at most `limit` bytes of it."""
    if coding in ("", "identity"):
        if len(raw) > limit:
            raise _too_large(limit)
        return raw
    if coding == "zstd":
        if _cut_zstd(raw):
            raise invalid("The body's zstd data does not end where it should.")
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
            io.BytesIO(raw), read_across_frames=True
        )
        return _drain_zstd(reader, limit)
    if coding in ("gzip", "x-gzip", "deflate"):
        return _inflate(raw, coding, limit)
    raise AppError(
        "This content-encoding is not supported. Send zstd, gzip, deflate or none.",
        status=415,
        code="unsupported_media_type",
    )


def _cut_zstd(raw: bytes) -> bool:
    """Whether zstd data breaks off: the decoder would take what is there for the whole.

    Walks from block to block (RFC 8878, 3.1.1); what is no frame is the decoder's to refuse.
    """
    at = 0
    while at < len(raw):
        rest = raw[at : at + _LONGEST_HEADER]
        if rest[1:4] == _SKIPPABLE and rest[0] >> 4 == 5:
            at += 8 + int.from_bytes(rest[4:8], "little")
            continue
        try:
            found = zstandard.get_frame_parameters(rest)
            at += zstandard.frame_header_size(rest)
        except zstandard.ZstdError:
            return len(rest) < _LONGEST_HEADER and b"\x28\xb5\x2f\xfd".startswith(rest[:4])
        at = _past_blocks(raw, at) + 4 * found.has_checksum
    return at > len(raw)


def _past_blocks(raw: bytes, at: int) -> int:
    """Where a frame's last block ends; beyond the data when it is not there."""
    while True:
        header = int.from_bytes(raw[at : at + 3], "little")
        if at + 3 > len(raw):
            return len(raw) + 1
        at += 3 + (1 if header & 6 == _RLE else header >> 3)
        if header & 1:
            return at


def _drain_zstd(reader: zstandard.ZstdDecompressionReader, limit: int) -> bytes:
    found = bytearray()
    try:
        while step := reader.read(_STEP):
            found += step
            if len(found) > limit:
                raise _too_large(limit)
    except zstandard.ZstdError as error:
        raise invalid("The body is not valid zstd data.") from error
    return bytes(found)


def _inflate(raw: bytes, coding: str, limit: int) -> bytes:
    if raw.startswith(_GZIP):
        return _gunzip(raw, limit)
    # 47 takes zlib by its header; some clients send deflate without one.
    bare = coding == "deflate" and not _has_zlib_header(raw)
    inflater = zlib.decompressobj(-15 if bare else 47)
    try:
        found = inflater.decompress(raw, limit + 1)
    except zlib.error as error:
        raise invalid(f"The body is not valid {coding} data.") from error
    if len(found) > limit:
        raise _too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise invalid(f"The body's {coding} data does not end where it should.")
    return found


def _gunzip(raw: bytes, limit: int) -> bytes:
    """All members of gzip data, one after the other (RFC 1952, 2.2)."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as reader:
            found = reader.read(limit + 1)
    except EOFError as error:
        raise invalid("The body's gzip data does not end where it should.") from error
    except (OSError, zlib.error) as error:
        raise invalid("The body is not valid gzip data.") from error
    if len(found) > limit:
        raise _too_large(limit)
    return found


def _has_zlib_header(raw: bytes) -> bool:
    return len(raw) > 1 and raw[0] & 0x0F == 8 and (raw[0] << 8 | raw[1]) % 31 == 0


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit >> 20} MiB. Send less in one request.")


def _look(decoded: bytes) -> _Seen:
    try:
        return _decoder.decode(decoded)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        if not decoded.strip():
            raise invalid("The body is empty. Send a JSON object.") from error
        found = _FIELD.search(str(error)) if isinstance(error, msgspec.ValidationError) else None
        if found:
            raise invalid(f"“{found[1]}” must be {_SHAPES[found[1]]}.", found[1]) from error
        raise invalid(_complaint(error)) from error


def _complaint(error: Exception) -> str:
    # Messages of parsers may quote the body; only their kind is told.
    if isinstance(error, msgspec.ValidationError):
        return "The body must be a JSON object."
    if isinstance(error, RecursionError):
        return "The body is nested too deeply."
    return "The body is not valid JSON."


def _text(value: Any) -> str | None:
    return value[:512] if isinstance(value, str) and value else None


def _marked(decoded: bytes) -> tuple[bytes, bytes | None]:
    """The body with a mark for each half of a character, and the mark; None without any.

    JSON allows an escape such as \\ud800 without its other half (RFC 8259, 8.2); our parser does
    not. Where nothing else is wrong, that is the provider's to judge.
    """
    count = 0
    while (mark := b"half a character %d:" % count) in decoded:
        count += 1
    text = _ESCAPE.sub(lambda found: mark + found[1] if found[1] else found[0], decoded)
    return (decoded, None) if len(text) == len(decoded) else (text, mark)


def _unmarked(text: bytes, mark: bytes | None) -> bytes:
    return text if mark is None else text.replace(mark, b"\\u")


def _members(raw: Any) -> dict[str, Any] | None:
    """The fields of an object, each as it was written; None when it is something else."""
    if raw is None or isinstance(raw, dict):
        return raw or {}
    text = bytes(raw)
    if text == b"null":
        return {}
    return _splitter.decode(text) if text[0] == _BRACE else None


def _value(raw: msgspec.Raw, name: str) -> Any:
    try:
        return orjson.loads(bytes(raw))
    except (orjson.JSONDecodeError, RecursionError) as error:
        # It was found to be JSON before it was cut into fields.
        raise unheld(name) from error


def _for_backend(decoded: bytes, seen: _Seen) -> bytes | None:
    """The body as the ChatGPT backend takes it; None when it already is.

    Fields that need no change are carried over as they were written.
    """
    if seen.store is True:
        raise invalid("“store” must be false: responses are not kept.", "store")
    value: dict[str, Any] = dict(_splitter.decode(decoded))
    before = len(value)
    for name in _REFUSED_FIELDS:
        value.pop(name, None)
    changed = before != len(value) or seen.stream is not True or seen.store is not False
    value.update({"stream": True, "store": False})
    if isinstance(seen.input, str):
        text = {"type": "input_text", "text": value["input"]}
        value["input"] = [{"type": "message", "role": "user", "content": [text]}]
        changed = True
    changed |= _spelled_out(value)
    return msgspec.json.encode(value) if changed else None


def _spelled_out(value: dict[str, Any]) -> bool:
    """Put what is spelled in another way where the backend looks; whether there was any."""
    changed = False
    if bytes(value.get("messages", b"null")) != b"null":
        said, value["input"] = conversation({"messages": _value(value.pop("messages"), "messages")})
        own = _value(value["instructions"], "instructions") if "instructions" in value else None
        value["instructions"] = "\n".join(
            text for text in (own, said) if isinstance(text, str) and text
        )
        changed = True
    for alias in _ALIASES.keys() & value.keys():
        place, name = _ALIASES[alias]
        given, found = value.pop(alias), _members(value.get(place))
        changed = True
        if bytes(given)[:1] == b'"' and found is not None:
            value[place] = {name: given, **found}
    return changed
