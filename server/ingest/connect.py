"""The `[otel]` section of a Codex config.toml: added, joined, recognised and taken out, as text.

Pure: text in, text out. The user's own lines are never reformatted, and taking our lines out
leaves the file as it was, byte for byte.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import Any

from server.errors import BadRequest, Conflict
from server.sentences import misplaced, say

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Section:
    """A section of ours at the end of a TOML file, between two comments that name it.

    Without a header, the keys join a section that is there. `keys` are those that we write;
    what somebody else put between our lines is never ours. Codex
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
            *([self.header] if self.header else []),
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


def with_otel(text: str, endpoint: str, token: str | None = None, *, replace: bool = False) -> str:
    """`text` with `[otel]` keys that send Codex' logs to `endpoint`, and nothing else.

    Protobuf, no prompts, no tool output, no delta records. Keys of the user's own stay, where
    metrics and traces go too; without any, neither are sent. What this function wrote before is
    replaced. `token` goes along as a bearer header (needed only beyond loopback).

    Raises `Conflict` code `config_has_other_value` when the user's own keys send logs elsewhere,
    or more of them, and `replace` is not set (then they become comments until `without_otel`;
    what is such a comment already is not asked for again), code `otel_section_exists` when they
    are written so that they cannot be joined, and `BadRequest` when the file is not TOML.
    """
    plain = without_otel(text)
    parsed = _parse(plain)
    existing = parsed.get("otel", {})
    if not isinstance(existing, dict):
        raise _not_joined()
    ours = tomllib.loads("\n".join(_section(endpoint, token)))
    kept = {key: value for key, value in existing.items() if key in _THEIRS or key not in ours}
    lines = [line for line in _section(endpoint, token) if line.split(" ")[0] not in kept]
    done, agreed = plain, _put_aside_before(text, existing)
    for key in existing:
        if key not in kept:
            _ask(key, existing[key], ours[key], replace=replace or key in agreed)
            done = _put_aside(done, key)
    expected = {**parsed, "otel": {**ours, **kept}}
    found = next((each for each in _ways(done, lines) if _says(each, expected)), None)
    if found is None:
        raise _not_joined()
    return found


def without_otel(text: str) -> str:
    """`text` as it was before `with_otel`; any other text is left as it is."""
    if not OTEL.present(text):
        return text
    return re.sub(rf"^{re.escape(_ASIDE)}", "", OTEL.removed(text), flags=re.MULTILINE)


def sends_elsewhere(otel: Any) -> bool:
    """Whether an `[otel]` of the user's own sends logs to anybody."""
    return not isinstance(otel, dict) or otel.get("exporter", "none") != "none"


# Where metrics and traces go is no business of ours once the user has said it.
_THEIRS = ("metrics_exporter", "trace_exporter")
_ASIDE = "# brimline telemetry put this aside: "
_HEADER = re.compile(r"^[ \t]*\[[ \t]*([\"']?)otel\1[ \t]*\][ \t]*(?:#[^\n]*|\r)?$", re.MULTILINE)
_TABLE = re.compile(r"[ \t]*\[")


def _ask(key: str, theirs: Any, ours: Any, *, replace: bool) -> None:
    """Refuse to put a key aside without consent, unless it changes nothing that is sent."""
    if replace or theirs in (ours, "none"):
        return
    # The value stays untold: its headers may hold a key.
    raise Conflict(
        say("connect.otelOther", field=key),
        code="config_has_other_value",
    )


def _put_aside_before(text: str, keys: Iterable[str]) -> frozenset[str]:
    """Which of these `[otel]` keys an earlier consent has made comments."""
    try:
        live = _parse(OTEL.removed(text)).get("otel", {})
    except BadRequest:
        return frozenset()  # of a text that cannot be read nothing is known, so it is asked for
    return frozenset(key for key in keys if not isinstance(live, dict) or key not in live)


def _put_aside(text: str, key: str) -> str:
    """`text` with each line of an `[otel]` key, and each table below it, made a comment."""
    name = rf"([\"']?){re.escape(key)}\1[ \t]*"
    value = re.compile(rf"[ \t]*{name}[=.]").match
    below = re.compile(
        rf"[ \t]*\[[ \t]*([\"']?)otel\1[ \t]*\.[ \t]*{name.replace('1', '2')}[\].]"
    ).match
    section, table, done = False, False, []
    for line in _LINE.findall(text):
        if _TABLE.match(line):
            section, table = bool(_HEADER.match(line.rstrip("\r\n"))), bool(below(line))
        done.append(_ASIDE + line if line.strip() and (table or section and value(line)) else line)
    return "".join(done)


def _ways(text: str, lines: Sequence[str]) -> Iterator[str]:
    """`text` with these lines first in its `[otel]`, or else in one of ours at its end.

    There may be several ways: what looks like a header may lie within a text.
    """
    inner = replace_fields(OTEL, header="")
    for header in _HEADER.finditer(text):
        found = text.find("\n", header.start())
        end = len(text) if found < 0 else found + 1
        yield inner.added(text[:end], lines) + text[end:]
    yield OTEL.added(text, lines)


def _says(text: str, expected: dict[str, Any]) -> bool:
    try:
        return _parse(text) == expected
    except BadRequest:
        return False


def _not_joined() -> Conflict:
    return Conflict(
        say("connect.otelJoin"),
        code="otel_section_exists",
    )


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
            say("connect.toml", why=misplaced(error)),
            code="invalid_config_toml",
        ) from error
