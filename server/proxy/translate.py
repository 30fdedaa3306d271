"""Chat Completions requests as the Responses requests that the provider takes.

The two interfaces: https://platform.openai.com/docs/guides/migrate-to-responses
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import orjson

from server.errors import BadRequest

# Passed on as given: what the Responses interface knows by the same name. All else that a chat
# client may send (temperature, max_tokens, stop, seed, user, …) the ChatGPT backend refuses
# with 400, so it is left out rather than passed through.
_SAME = ("prompt_cache_key", "client_metadata")
_SYSTEM = ("system", "developer")
# Clients that keep a model's thoughts in the history send them back; they are not input.
_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details", "thinking", "redacted_thinking")
# Not from the system's table: the same request must be the same on every machine.
_FILE_TYPES = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "json": "application/json",
    "html": "text/html",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
}


@dataclass(frozen=True)
class Chat:
    """A chat request: what goes to the provider, and how the client wants the answer."""

    body: dict[str, Any]
    model: str
    stream: bool
    include_usage: bool

    def encoded(self) -> bytes:
        """The Responses request as bytes; `BadRequest` when it is nested too deeply to be sent."""
        try:
            return orjson.dumps(self.body)
        except (orjson.JSONEncodeError, RecursionError) as error:
            raise BadRequest("The request is nested too deeply; make its JSON flatter.") from error


def read(decoded: bytes) -> Chat:
    """Translate a body; raises `BadRequest` as `request` does, and when it is not JSON."""
    try:
        chat = orjson.loads(decoded)
    except (orjson.JSONDecodeError, RecursionError) as error:
        # The parser's own words may quote the body, which may hold a prompt.
        raise _unread(decoded) or BadRequest(
            "The body is not valid JSON. Send a JSON object with “model” and “messages”.",
            extra={"param": None},
        ) from error
    if not isinstance(chat, dict):
        raise BadRequest(
            "The body must be a JSON object with “model” and “messages”.", extra={"param": None}
        )
    return request(chat)


def _unread(decoded: bytes) -> BadRequest | None:
    """The refusal of JSON that is right but cannot be held, which names the field."""
    try:
        fields = json.loads(decoded, parse_int=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return next((unheld(name) for name, value in fields.items() if not _holds(value)), None)


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _holds(value: Any) -> bool:
    try:
        orjson.loads(json.dumps(value))
    except (orjson.JSONDecodeError, RecursionError):
        return False
    return True


def unheld(param: str) -> BadRequest:
    """The refusal of a field with a value that JSON allows and no program can hold."""
    return _wrong(
        param[:100],
        "holds a number that is too large (such as 1e400) or half of a character; write it in "
        "another way or leave it out",
    )


def request(chat: dict[str, Any]) -> Chat:
    """Translate one request.

    Raises `BadRequest` whose `param` names the first field that is wrong or that the provider
    has nothing for; unknown fields are ignored.
    """
    _refuse_impossible(chat)
    model = chat.get("model")
    if not isinstance(model, str) or not model.strip():
        raise _wrong("model", "must be the name of a model, for example gpt-5.5")
    options = _object(chat, "stream_options")
    text = _text_options(chat)
    # The provider looks for the word "json" in the input alone, so there it must stay.
    in_place = text.get("format", {}).get("type") == "json_object"
    instructions, items = _conversation(_messages(chat), in_place)
    body: dict[str, Any] = {
        "model": model,
        "instructions": instructions,
        "input": items,
        "stream": True,
        "store": False,
    }
    body.update({key: chat[key] for key in _SAME if chat.get(key) is not None})
    body.update(_tool_options(chat))
    reasoning = _reasoning(chat)
    include = chat.get("include")
    tier = chat.get("service_tier")
    optional = {
        "reasoning": reasoning,
        "text": text,
        "include": include if isinstance(include, list) else None,
        # These two mean: as the account is set up.
        "service_tier": tier if isinstance(tier, str) and tier not in ("auto", "default") else None,
    }
    body.update({key: value for key, value in optional.items() if value})
    if isinstance(options.get("include_obfuscation"), bool):
        body["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}
    return Chat(
        body=body,
        model=model,
        stream=_flag(chat, "stream") or False,
        include_usage=options.get("include_usage") is True,
    )


def _wrong(param: str, problem: str, code: str = "invalid_request_error") -> BadRequest:
    return BadRequest(f"“{param}” {problem}.", code=code, extra={"param": param})


def _unsupported(param: str, problem: str) -> BadRequest:
    return _wrong(param, problem, "unsupported_parameter")


def _refuse_impossible(chat: dict[str, Any]) -> None:
    if chat.get("n") not in (None, 1):
        raise _unsupported("n", "must be 1: the provider gives one answer a request")
    modalities = chat.get("modalities")
    spoken = isinstance(modalities, list) and "audio" in modalities
    if spoken or chat.get("audio") is not None:
        raise _unsupported(
            "modalities" if spoken else "audio", "cannot ask for speech; ask for text"
        )
    for name in ("functions", "function_call"):
        if chat.get(name):
            raise _unsupported(name, "is the old way to declare functions; use “tools”")


def _object(chat: dict[str, Any], name: str) -> dict[str, Any]:
    value = chat.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(name, "must be an object")
    return value


def _flag(chat: dict[str, Any], name: str) -> bool | None:
    value = chat.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, "must be true or false")
    return value


def _word(chat: dict[str, Any], name: str) -> str | None:
    value = chat.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(name, "must be text")
    return value or None


def _reasoning(chat: dict[str, Any]) -> dict[str, Any]:
    found = dict(_object(chat, "reasoning"))
    for name, alias in (("effort", "reasoningEffort"), ("summary", "reasoningSummary")):
        asked = _word(chat, f"reasoning_{name}") or _word(chat, alias)
        if asked is not None:
            found.setdefault(name, asked)
    # `enabled`, `exclude` and the like are another provider's.
    return {key: found[key] for key in ("effort", "summary", "context") if found.get(key)}


def _text_options(chat: dict[str, Any]) -> dict[str, Any]:
    found = dict(_object(chat, "text"))
    if found.get("format") is not None and not isinstance(found["format"], dict):
        raise _wrong("text.format", "must be an object")
    verbosity = _word(chat, "verbosity") or _word(chat, "textVerbosity")
    if verbosity is not None:
        found.setdefault("verbosity", verbosity)
    wanted = _format(_object(chat, "response_format"))
    if wanted:
        if found.get("format"):
            raise _wrong("response_format", "and “text.format” say the same twice; send one")
        found["format"] = wanted
    return {key: value for key, value in found.items() if value is not None}


def _format(wanted: dict[str, Any]) -> dict[str, Any]:
    kind = wanted.get("type")
    if not wanted or kind == "text":
        return {}
    if kind == "json_object":
        return {"type": kind}
    if kind != "json_schema":
        raise _wrong("response_format.type", "must be text, json_object or json_schema")
    schema = wanted.get("json_schema")
    if not isinstance(schema, dict):
        raise _wrong("response_format.json_schema", "must be an object with name and schema")
    name = schema.get("name")
    if not isinstance(name, str) or not name:
        raise _wrong("response_format.json_schema.name", "must be a name")
    if not isinstance(schema.get("schema"), dict):
        raise _wrong("response_format.json_schema.schema", "must be a JSON schema")
    known = ("name", "description", "schema", "strict")
    return {"type": kind, **{key: schema[key] for key in known if schema.get(key) is not None}}


# Tools


def _tool_options(chat: dict[str, Any]) -> dict[str, Any]:
    given = chat.get("tools")
    if given is not None and not isinstance(given, list):
        raise _wrong("tools", "must be a list")
    tools = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(given or [])]
    if isinstance(chat.get("web_search_options"), dict):
        tools.append(_web_search(chat["web_search_options"]))
    choice = _choice(chat.get("tool_choice"))
    parallel = _flag(chat, "parallel_tool_calls")
    if not tools:
        if choice not in (None, "auto", "none"):
            raise _wrong("tool_choice", "asks for a tool, but “tools” is empty")
        return {}
    found: dict[str, Any] = {"tools": tools}
    if choice is not None:
        found["tool_choice"] = choice
    if parallel is not None:
        found["parallel_tool_calls"] = parallel
    return found


def _tool(tool: Any, param: str) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str) or not kind:
        raise _wrong(param, "must be an object with a type, such as function")
    if kind == "function":
        return _function(tool.get("function", tool), f"{param}.function")
    if kind == "custom":
        return _custom(tool.get("custom", tool), f"{param}.custom")
    # The provider's own tools have one form in both interfaces but for this old name.
    return {**tool, "type": "web_search"} if kind == "web_search_preview" else dict(tool)


def _function(given: Any, param: str) -> dict[str, Any]:
    name = _tool_name(given, param)
    parameters = given.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise _wrong(f"{param}.parameters", "must be a JSON schema")
    found = {"type": "function", "name": name}
    if isinstance(given.get("description"), str):
        found["description"] = given["description"]
    return {
        **found,
        "parameters": {"type": "object", "properties": {}} if parameters is None else parameters,
        # Left out it means false here and true there.
        "strict": given.get("strict") is True,
    }


def _custom(given: Any, param: str) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "custom", "name": _tool_name(given, param)}
    if isinstance(given.get("description"), str):
        found["description"] = given["description"]
    form = given.get("format")
    if isinstance(form, dict):
        grammar = form.get("grammar")
        inner = grammar if isinstance(grammar, dict) else {}
        rest = {key: value for key, value in form.items() if key != "grammar"}
        found["format"] = {**rest, **inner}
    return found


def _tool_name(given: Any, param: str) -> str:
    name = given.get("name") if isinstance(given, dict) else None
    if not isinstance(name, str) or not name:
        raise _wrong(f"{param}.name", "must be a name")
    return name


def _web_search(options: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "web_search"}
    if isinstance(options.get("search_context_size"), str):
        found["search_context_size"] = options["search_context_size"]
    place = options.get("user_location")
    if isinstance(place, dict) and isinstance(place.get("approximate"), dict):
        found["user_location"] = {"type": "approximate", **place["approximate"]}
    return found


def _choice(choice: Any) -> Any:
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(kind, str):
        raise _wrong("tool_choice", "must be auto, none, required or an object that names a tool")
    if kind in ("function", "custom"):
        return {"type": kind, "name": _tool_name(choice.get(kind, choice), f"tool_choice.{kind}")}
    if kind == "allowed_tools" and isinstance(choice.get(kind), dict):
        return _allowed(choice[kind])
    return {**choice, "type": "web_search"} if kind == "web_search_preview" else choice


def _allowed(allowed: dict[str, Any]) -> dict[str, Any]:
    tools = allowed.get("tools")
    if not isinstance(tools, list):
        raise _wrong("tool_choice.allowed_tools.tools", "must be a list")
    named = [_choice(tool) for tool in tools]
    return {"type": "allowed_tools", "mode": allowed.get("mode", "auto"), "tools": named}


# Messages


def conversation(body: dict[str, Any]) -> tuple[str, list[Any]]:
    """The instructions and input items of `messages`, where a Responses request has these."""
    return _conversation(_messages(body), False)


def _messages(chat: dict[str, Any]) -> list[dict[str, Any]]:
    messages = chat.get("messages")
    if not isinstance(messages, list):
        raise _wrong("messages", "must be a list of messages")
    if not messages:
        raise _wrong("messages", "must hold at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _wrong(f"messages[{index}]", "must be an object with role and content")
    return messages


def _conversation(messages: list[dict[str, Any]], in_place: bool) -> tuple[str, list[Any]]:
    """The instructions and the input items.

    System text at the start becomes the instructions. Later system text stays where it is: moved
    to the front it would lose its meaning, and the provider its prompt cache.
    """
    leading = 0
    while leading < len(messages) and messages[leading].get("role") in _SYSTEM:
        leading += 1
    if in_place or leading == len(messages):
        leading = 0  # with no other message there would be no input at all
    instructions = [
        _plain(message.get("content"), f"messages[{index}].content")
        for index, message in enumerate(messages[:leading])
    ]
    items: list[Any] = []
    custom_calls: set[str] = set()
    for index, message in enumerate(messages[leading:], leading):
        items += _items(message, f"messages[{index}]", custom_calls)
    if not items:
        raise _wrong("messages", "say nothing: give at least one of them content")
    return "\n".join(text for text in instructions if text), items


def _items(message: dict[str, Any], at: str, custom_calls: set[str]) -> list[dict[str, Any]]:
    role = message.get("role")
    content = message.get("content")
    if role in _SYSTEM:
        text = _plain(content, f"{at}.content")
        return [_message("developer", [{"type": "input_text", "text": text}])]
    if role == "user":
        return [_message("user", _parts(content, f"{at}.content"))]
    if role == "assistant":
        return _assistant(message, at, custom_calls)
    if role == "tool":
        return [_tool_result(message, at, custom_calls)]
    if role == "function":
        raise _unsupported(f"{at}.role", "is the old way to answer a function; use the role tool")
    raise _wrong(f"{at}.role", "must be system, developer, user, assistant or tool")


def _message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def _plain(content: Any, at: str) -> str:
    """Text that may only be text: a string or a list of text parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong(at, "must be text or a list of text parts")
    return "".join(_text_part(part, f"{at}[{index}]") for index, part in enumerate(content))


def _text_part(part: Any, at: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        if part.get("type") in _THOUGHTS:
            return ""
        if isinstance(part.get("text"), str):
            return str(part["text"])
    raise _wrong(at, "must be a text part: only text can stand here")


def _parts(content: Any, at: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    if not isinstance(content, list):
        raise _wrong(at, "must be text or a list of parts")
    found = [_part(part, f"{at}[{index}]") for index, part in enumerate(content)]
    return [part for part in found if part is not None]


def _part(part: Any, at: str) -> dict[str, Any] | None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "input_text", "output_text"):
        return {"type": "input_text", "text": _text_part(part, at)}
    if kind in ("image_url", "input_image"):
        return _image(part, at)
    if kind in ("file", "input_file"):
        return _file(part.get("file", part), f"{at}.file")
    if kind == "input_audio":
        raise _unsupported(at, "is audio, which the provider does not take here; send a transcript")
    if kind in _THOUGHTS:
        return None
    raise _wrong(f"{at}.type", "must be text, image_url or file")


def _image(part: dict[str, Any], at: str) -> dict[str, Any]:
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, dict) else given
    if not isinstance(url, str) or not url:
        raise _wrong(f"{at}.image_url.url", "must be an address or a data: URL")
    detail = given.get("detail") if isinstance(given, dict) else part.get("detail")
    found = {"type": "input_image", "image_url": url}
    return {**found, "detail": detail} if isinstance(detail, str) else found


def _file(given: Any, at: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise _wrong(at, "must be an object with file_data")
    if given.get("file_id") is not None:
        raise _unsupported(
            f"{at}.file_id", "names an uploaded file, which belongs to one account; send file_data"
        )
    name = given.get("filename")
    found = {"type": "input_file"}
    if isinstance(name, str) and name:
        found["filename"] = name
    data = given.get("file_data") or given.get("data")
    url = given.get("file_url")
    if isinstance(data, str):
        return {**found, "file_data": _data_url(data, given)}
    if isinstance(url, str) and url:
        return {**found, "file_url": url}
    raise _wrong(f"{at}.file_data", "must be the file's content in base64")


def _data_url(data: str, given: dict[str, Any]) -> str:
    if data.startswith("data:"):
        return data
    ending = str(given.get("filename") or "").lower().rpartition(".")[2]
    said = given.get("mime_type") or given.get("content_type")
    kind = said if isinstance(said, str) else _FILE_TYPES.get(ending, "application/octet-stream")
    return f"data:{kind};base64,{data}"


def _assistant(message: dict[str, Any], at: str, custom_calls: set[str]) -> list[dict[str, Any]]:
    if message.get("function_call"):
        raise _unsupported(f"{at}.function_call", "is the old form of a call; use “tool_calls”")
    parts = _said(message.get("content"), f"{at}.content")
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    items = [_message("assistant", parts)] if parts else []
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise _wrong(f"{at}.tool_calls", "must be a list")
    for index, call in enumerate(calls or []):
        items.append(_call(call, f"{at}.tool_calls[{index}]", custom_calls))
    return items


def _said(content: Any, at: str) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return [
            {"type": "refusal", "refusal": part["refusal"]}
            if isinstance(part, dict) and isinstance(part.get("refusal"), str)
            else {"type": "output_text", "text": text}
            for index, part in enumerate(content)
            if (isinstance(part, dict) and isinstance(part.get("refusal"), str))
            or (text := _text_part(part, f"{at}[{index}]"))
        ]
    text = _plain(content, at)
    return [{"type": "output_text", "text": text}] if text else []


def _call(call: Any, at: str, custom_calls: set[str]) -> dict[str, Any]:
    identity = call.get("id") if isinstance(call, dict) else None
    if not isinstance(identity, str) or not identity:
        raise _wrong(f"{at}.id", "must be the id under which the call was made")
    if call.get("type") == "custom":
        given = call.get("custom")
        name = _tool_name(given, f"{at}.custom")
        custom_calls.add(identity)
        said = given.get("input") if isinstance(given, dict) else None
        text = said if isinstance(said, str) else ""
        return {"type": "custom_tool_call", "call_id": identity, "name": name, "input": text}
    given = call.get("function")
    name = _tool_name(given, f"{at}.function")
    arguments = given.get("arguments", "{}") if isinstance(given, dict) else "{}"
    if isinstance(arguments, dict):  # some clients keep them parsed
        arguments = _compact(arguments)
    if not isinstance(arguments, str):
        raise _wrong(f"{at}.function.arguments", "must be JSON as text")
    return {"type": "function_call", "call_id": identity, "name": name, "arguments": arguments}


def _compact(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise BadRequest("The request is nested too deeply; make its JSON flatter.") from error


def _tool_result(message: dict[str, Any], at: str, custom_calls: set[str]) -> dict[str, Any]:
    identity = message.get("tool_call_id")
    if not isinstance(identity, str) or not identity:
        raise _wrong(f"{at}.tool_call_id", "must be the id of the call that this answers")
    content = message.get("content")
    pictures = isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") in ("image_url", "file") for part in content
    )
    where = f"{at}.content"
    output: Any = _parts(content, where) if pictures else _plain(content, where)
    kind = "custom_tool_call_output" if identity in custom_calls else "function_call_output"
    return {"type": kind, "call_id": identity, "output": output}
