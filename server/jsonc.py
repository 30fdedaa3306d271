"""JSON with comments, edited as text: a member goes in, comes out, and nothing else moves.

Pure. Reads JSON, JSON with comments and trailing commas, and JSON5 (names without quotes, single
quotes), because the clients that we configure read these. The libraries for it read only, or
write the whole file anew and lose the user's own layout.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from server.errors import BadRequest
from server.sentences import say

DEEPEST = 64
_SPACE = re.compile(r"(?:[\s\ufeff]|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_DOUBLE = re.compile(r'"(?:[^"\\\n]|\\.)*"', re.DOTALL)
_SINGLE = re.compile(r"'(?:[^'\\\n]|\\.)*'", re.DOTALL)
_NAME = re.compile(r"[^\W\d][\w$]*|\$[\w$]*")
_WORD = re.compile(r"[-+.\w]+")
_NUMBERS = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|Infinity|NaN|\d+\.?\d*(?:[eE][-+]?\d+)?"
                      r"|\.\d+(?:[eE][-+]?\d+)?)")  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A name and its value, and where the name begins."""

    name: str
    start: int
    value: Node


@dataclass(frozen=True)
class Node:
    """A value and where it stands; objects have members."""

    start: int
    end: int
    plain: Any = None
    members: tuple[Member, ...] | None = None

    def member(self, name: str) -> Member | None:
        """The member of that name; the last counts, as in every JSON reader."""
        found = [each for each in self.members or () if each.name == name]
        return found[-1] if found else None


def read(text: str, *, five: bool = False) -> Any:
    """The value of `text`; `five` takes JSON5 names and quotes. Raises `BadRequest`."""
    return _Reader(text, five).whole().plain


def put(text: str, path: tuple[str, ...], value: Any, *, five: bool = False) -> str:
    """`text` with `value` at `path`: in place of what is there, else first in its object.

    Objects on the way are made; an empty text becomes an object. Raises `BadRequest` when a part
    of the path is not an object.
    """
    if not text.strip("\ufeff \t\r\n"):
        end = "\r\n" if "\r\n" in text else "\n"
        text = ("\ufeff" if text.startswith("\ufeff") else "") + "{}" + end
    root = _Reader(text, five).whole()
    node, depth = root, 0
    while True:
        if node.members is None:
            raise BadRequest(f"“{'.'.join(path[:depth]) or 'The file'}” is not an object there.")
        found = node.member(path[depth])
        if found is None:
            return _insert(text, root, node, depth, _nested(path[depth:], value))
        depth += 1
        if depth == len(path):
            there = found.value
            written = _written(value, _unit(text, root), depth, _end(text))
            return text[: there.start] + written + text[there.end :]
        node = found.value


def drop(text: str, path: tuple[str, ...], *, five: bool = False) -> str:
    """`text` without the member at `path`, the reverse of `put`; without one it stays as it is."""
    node = _Reader(text, five).whole()
    for name in path[:-1]:
        found = node.member(name)
        if found is None:
            return text
        node = found.value
    gone = node.member(path[-1])
    return text if gone is None else _without(text, node, gone)


def _without(text: str, node: Node, gone: Member) -> str:
    start, end = gone.start, gone.value.end
    while text[start - 1] in " \t\r\n":
        start -= 1
    after = _SPACE.match(text, end)
    follows = after.end() if after else end
    if len(node.members or ()) == 1:
        if text[follows] == ",":
            end = follows + 1
        left = text[node.start + 1 : start] + text[end : node.end - 1]
        # An object that held nothing else closes up again.
        return text[: node.start + 1] + (left if left.strip() else "") + text[node.end - 1 :]
    if text[follows] == ",":
        return text[:start] + text[end:follows] + text[follows + 1 :]
    # The last one: the comma before it goes too.
    comma = max(each.value.end for each in node.members or () if each.start < gone.start)
    comma = _SPACE.match(text, comma).end()  # type: ignore[union-attr]
    return text[:comma] + text[comma + 1 : start] + text[end:]


def _insert(text: str, root: Node, node: Node, depth: int, member: tuple[str, Any]) -> str:
    unit, end = _unit(text, root), _end(text)
    name, value = member
    inner = end + unit * (depth + 1)
    written = f"{inner}{json.dumps(name)}: {_written(value, unit, depth + 1, end)}"
    at = node.start + 1
    if node.members:
        return text[:at] + written + "," + text[at:]
    rest = text[at : node.end - 1]
    return text[:at] + written + (rest if "\n" in rest else rest + end + unit * depth) + text[
        node.end - 1 :
    ]  # fmt: skip


def _nested(path: tuple[str, ...], value: Any) -> tuple[str, Any]:
    for name in reversed(path[1:]):
        value = {name: value}
    return path[0], value


def _written(value: Any, unit: str, depth: int, end: str) -> str:
    lines = json.dumps(value, ensure_ascii=False, indent=unit).split("\n")
    return (end + unit * depth).join(lines)


def _unit(text: str, root: Node) -> str:
    """What the file indents by: as its first member does."""
    first = root.members[0].start if root.members else 0
    line = text[text.rfind("\n", 0, first) + 1 : first]
    return line if line and not line.strip() else "  "


def _end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _refuse(name: str) -> Any:
    raise ValueError(name)  # Python would read NaN and Infinity


@dataclass
class _Reader:
    text: str
    five: bool
    at: int = field(default=0)

    def whole(self) -> Node:
        found = self._value(0)
        self._space()
        if self.at < len(self.text):
            raise self._broken(say("why.after"))
        return found

    def _value(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise self._broken(say("why.nested"))
        self._space()
        start, sign = self.at, self.text[self.at : self.at + 1]
        if sign == "{":
            return self._object(depth)
        if sign == "[":
            return self._array(depth)
        plain = self._string() if sign in ("'", '"') and sign else self._word()
        return Node(start, self.at, plain)

    def _object(self, depth: int) -> Node:
        start, members = self.at, list[Member]()
        self.at += 1
        while not self._closes("}", bool(members)):
            begins = self.at
            name = self._name()
            self._space()
            self._take(":")
            members.append(Member(name, begins, self._value(depth + 1)))
        plain = {each.name: each.value.plain for each in members}
        return Node(start, self.at, plain, tuple(members))

    def _array(self, depth: int) -> Node:
        start, values = self.at, list[Any]()
        self.at += 1
        while not self._closes("]", bool(values)):
            values.append(self._value(depth + 1).plain)
        return Node(start, self.at, values)

    def _closes(self, sign: str, comma: bool) -> bool:
        """Take the closing sign, or the comma that must stand before another value."""
        self._space()
        if comma and self.text[self.at : self.at + 1] == ",":
            self.at += 1
            self._space()
        elif comma and self.text[self.at : self.at + 1] != sign:
            raise self._broken(say("why.comma", sign=sign))
        if self.text[self.at : self.at + 1] != sign:
            return False
        self.at += 1
        return True

    def _name(self) -> str:
        sign = self.text[self.at : self.at + 1]
        if sign == '"' or (sign == "'" and self.five):
            return self._string()
        found = _NAME.match(self.text, self.at) if self.five else None
        if found is None:
            raise self._broken(say("why.quotes"))
        self.at = found.end()
        return found[0]

    def _string(self) -> str:
        double = self.text[self.at] == '"'
        found = (_DOUBLE if double else _SINGLE).match(self.text, self.at)
        if found is None or not (double or self.five):
            raise self._broken(say("why.open"))
        self.at = found.end()
        said = found[0]
        if not double:
            inner = said[1:-1].replace("\\'", "'")
            said = '"' + re.sub(r'(?<!\\)((?:\\\\)*)"', r'\1\\"', inner) + '"'
        try:
            return str(json.loads(said, strict=False))
        except ValueError:
            if self.five:  # escapes that only JSON5 has; nothing that we look at
                return said[1:-1]
            raise self._broken(say("why.text")) from None

    def _word(self) -> Any:
        found = _WORD.match(self.text, self.at)
        words = {"true": True, "false": False, "null": None}
        if found is not None and found[0] in words:
            self.at = found.end()
            return words[found[0]]
        if found is None or not _NUMBERS.fullmatch(found[0]):
            raise self._broken(say("why.noValue"))
        self.at = found.end()
        try:
            return json.loads(found[0], parse_constant=_refuse)
        except ValueError:
            if self.five:
                return found[0]
            raise self._broken(say("why.value")) from None

    def _take(self, sign: str) -> None:
        if self.text[self.at : self.at + 1] != sign:
            raise self._broken(say("why.sign", sign=sign))
        self.at += 1

    def _space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _broken(self, why: str) -> BadRequest:
        line = self.text.count("\n", 0, self.at) + 1
        return BadRequest(
            say("connect.json", line=line, why=why),
            code="invalid_client_config",
        )
