"""The `[otel]` section of a Codex config.toml: added, recognised and taken out again, as text.

Pure: text in, text out. The user's own lines are never reformatted, and taking our lines out
leaves the file as it was, byte for byte.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.errors import BadRequest, Conflict

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Section:
    """A section of ours at the end of a TOML file, between two comments that name it.

    `keys` are those that we write; what somebody else put between our lines is never ours. Codex
    does that: what it adds goes before a file's last comment, our end (0.169, `codex mcp add`).
    """

    what: str
    command: str
    header: str
    keys: tuple[str, ...]

    def added(self, plain: str, lines: Sequence[str]) -> str:
        """`plain`, which has no such section, with one of these lines."""
        end = newline(plain)
        joined = bool(plain) and not plain.endswith("\n")
        whole = [
            self._joined if joined else self._begin,
            self._note,
            self.header,
            *lines,
            self._end,
        ]
        return plain + (end if joined else "") + end.join(whole) + end

    def present(self, text: str) -> bool:
        """Whether the section is there."""
        return self._opening.search(text) is not None

    def removed(self, text: str) -> str:
        """`text` without the section, byte for byte as it was; other text is left as it is."""
        opening = self._opening.search(text)
        if opening is None:
            return text
        header, own, rest = self._taken_apart(text[opening.end() :])
        if any(line.strip() and not line.lstrip().startswith("#") for line in own):
            own.insert(0, header)  # keys of the user's own in our section: it is theirs now
        kept = "".join([*own, *rest])
        return text[: opening.start()] + ((opening["joined"] or "") if kept else "") + kept

    @property
    def _begin(self) -> str:
        return f"# >>> brimline {self.what} >>>"

    @property
    def _joined(self) -> str:
        return f"# >>> brimline {self.what} (the line before had no end) >>>"

    @property
    def _end(self) -> str:
        return f"# <<< brimline {self.what} <<<"

    @property
    def _note(self) -> str:
        return f"# `{self.command}` takes these lines out again."

    @property
    def _opening(self) -> re.Pattern[str]:
        return re.compile(
            rf"(?:^{re.escape(self._begin)}|(?P<joined>\r?\n){re.escape(self._joined)})"
            r"[ \t]*(?:\r?\n|\Z)",
            re.MULTILINE,
        )

    def _taken_apart(self, text: str) -> tuple[str, list[str], list[str]]:
        """The header, what others put into the section, and what follows it."""
        header, own, rest = "", list[str](), list[str]()
        section, ended = True, False
        for line in _LINE.findall(text):
            bare = line.strip()
            if bare == self._end and not ended:
                section, ended = False, True
            elif section and bare == self.header:
                header = line
            elif section and bare != self._note and not self._writes(bare):
                section = not bare.startswith("[")
                (own if section else rest).append(line)
            elif not section:
                rest.append(line)
        return header, own, rest

    def _writes(self, line: str) -> bool:
        key, equals, _ = line.partition("=")
        return bool(equals) and key.strip() in self.keys


OTEL = Section(
    "telemetry",
    "brimline disconnect telemetry",
    "[otel]",
    ("log_user_prompt", "log_sse_deltas", "tool_result", "exporter", "metrics_exporter",
     "trace_exporter"),
)  # fmt: skip


def newline(text: str) -> str:
    """How the lines of `text` end."""
    return "\r\n" if "\r\n" in text else "\n"


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
    lines = _section(endpoint, token)
    done = OTEL.added(plain, lines)
    if _parse(done) != {**_parse(plain), "otel": tomllib.loads("\n".join(lines))}:
        raise BadRequest("This config.toml cannot take a section at its end; add [otel] by hand.")
    return done


def without_otel(text: str) -> str:
    """`text` without the section that `with_otel` added; any other text is left as it is."""
    return OTEL.removed(text)


def state(text: str) -> str:
    """Whose `[otel]` it is: ours, foreign, absent, or broken when the file is not TOML."""
    if OTEL.present(text):
        return "ours"
    try:
        return "foreign" if "otel" in tomllib.loads(text) else "absent"
    except (tomllib.TOMLDecodeError, RecursionError):
        return "broken"


def logs_endpoint(base: str) -> str:
    """Where Codex sends its logs, given the server's address; Codex uses it as it stands."""
    return base.rstrip("/") + "/otlp/v1/logs"


def _section(endpoint: str, token: str | None) -> list[str]:
    # A JSON text is a TOML basic string, control characters and quotes included.
    parts = [f"endpoint = {json.dumps(endpoint)}", 'protocol = "binary"']
    if token:
        parts.append(f'headers = {{ "authorization" = {json.dumps(f"Bearer {token}")} }}')
    return [
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
