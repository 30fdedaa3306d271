"""The `[otel]` section of a Codex config.toml: added, recognised and taken out again, as text.

Pure: text in, text out. The user's own lines are never reformatted, and taking our lines out
leaves the file as it was, byte for byte.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from server.errors import BadRequest, Conflict

_BEGIN = "# >>> brimline telemetry >>>"
_BEGIN_JOINED = "# >>> brimline telemetry (the line before had no end) >>>"
_END = "# <<< brimline telemetry <<<"
_NOTE = "# `brimline disconnect telemetry` takes these lines out again."
_OPENING = re.compile(
    rf"(?:^{re.escape(_BEGIN)}|(?P<joined>\r?\n){re.escape(_BEGIN_JOINED)})[ \t]*(?:\r?\n|\Z)",
    re.MULTILINE,
)
_OURS = re.compile(
    r"(?:log_user_prompt|log_sse_deltas|tool_result|exporter|metrics_exporter|trace_exporter)\s*="
)


def with_otel(text: str, endpoint: str, token: str | None = None) -> str:
    """`text` with a section that sends Codex' logs to `endpoint`, and nothing else.

    Protobuf, no prompts, no tool output, no delta records, neither metrics nor traces. A section
    that this function wrote before is replaced. `token` goes along as a bearer header (needed
    only beyond loopback). Raises `Conflict` when the file has an `[otel]` of the user's own and
    `BadRequest` when it is not TOML.
    """
    plain = without_otel(text)
    if "otel" in _parse(plain):
        raise Conflict(
            "This config.toml already has an [otel] section, and Brimline does not change it. "
            "Remove it and connect again; Brimline can pass what it receives on to your "
            "collector (Settings, Telemetry relay).",
            code="otel_section_exists",
        )
    end = "\r\n" if "\r\n" in plain else "\n"
    joined = bool(plain) and not plain.endswith("\n")
    lines = [_BEGIN_JOINED if joined else _BEGIN, *_section(endpoint, token), _END]
    done = plain + (end if joined else "") + end.join(lines) + end
    if _parse(done) != {**_parse(plain), "otel": tomllib.loads("\n".join(lines))["otel"]}:
        raise BadRequest("This config.toml cannot take a section at its end; add [otel] by hand.")
    return done


def without_otel(text: str) -> str:
    """`text` without the section that `with_otel` added; any other text is left as it is.

    What somebody put between our lines stays: Codex writes the sections it adds itself before a
    file's last comment, which is our end mark (seen with 0.169, `codex mcp add`).
    """
    opening = _OPENING.search(text)
    if opening is None:
        return text
    header, own, rest = _taken_apart(text[opening.end() :])
    if any(line.strip() and not line.lstrip().startswith("#") for line in own):
        own.insert(0, header)  # keys of the user's own in our section: it is theirs now
    kept = "".join([*own, *rest])
    return text[: opening.start()] + ((opening["joined"] or "") if kept else "") + kept


def state(text: str) -> str:
    """Whose `[otel]` it is: ours, foreign, absent, or broken when the file is not TOML."""
    if _OPENING.search(text):
        return "ours"
    try:
        return "foreign" if "otel" in tomllib.loads(text) else "absent"
    except (tomllib.TOMLDecodeError, RecursionError):
        return "broken"


def _taken_apart(text: str) -> tuple[str, list[str], list[str]]:
    """The header of our section, what others put into the section, and what follows it."""
    header, own, rest = "", list[str](), list[str]()
    section, ended = True, False
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        bare = line.strip()
        if bare == _END and not ended:
            section, ended = False, True
        elif section and bare == "[otel]":
            header = line
        elif section and bare != _NOTE and not _OURS.match(bare):
            section = not bare.startswith("[")
            (own if section else rest).append(line)
        elif not section:
            rest.append(line)
    return header, own, rest


def logs_endpoint(base: str) -> str:
    """Where Codex sends its logs, given the server's address; Codex uses it as it stands."""
    return base.rstrip("/") + "/otlp/v1/logs"


def _section(endpoint: str, token: str | None) -> list[str]:
    # A JSON text is a TOML basic string, control characters and quotes included.
    parts = [f"endpoint = {json.dumps(endpoint)}", 'protocol = "binary"']
    if token:
        parts.append(f'headers = {{ "authorization" = {json.dumps(f"Bearer {token}")} }}')
    return [
        _NOTE,
        "[otel]",
        "log_user_prompt = false",
        "log_sse_deltas = false",
        "tool_result = { max_bytes = 0 }",
        f"exporter = {{ otlp-http = {{ {', '.join(parts)} }} }}",
        'metrics_exporter = "none"',
        'trace_exporter = "none"',
    ]


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadRequest(
            f"This config.toml is not valid TOML ({str(error)[:120]}). Mend it, then try again.",
            code="invalid_config_toml",
        ) from error
