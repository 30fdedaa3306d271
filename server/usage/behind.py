"""The calls behind a fact: what every number of the diagnostics links to."""

from __future__ import annotations

from typing import Any

from server.errors import Unprocessable

_CALLS = "select k.call from fact_call k join {0} x on x.source = k.source and x.number = k.number"
# What is counted per tool run or per file, and not as a fact of its own.
_ROWS = {
    "tool_run": ("tool_run", "x.part = 0 and x.function = ?"),
    "tool_output": ("tool_run", "x.told and x.part = 0 and x.outputs and x.function = ?"),
    "command_root": ("tool_run", "x.part = 0 and x.root = ?"),
    "read": ("file_read", "x.path = ?"),
    "reader": ("file_read", "x.reader = ?"),
    "changed": ("file_change", "x.path = ?"),
    "extension": ("file_change", "x.extension = ?"),
}
_PAIRS = {
    "command": ("tool_run", "x.part = 0 and x.root = ? and x.child = ?"),
    "git": ("tool_run", "x.root = ? and x.operation = ?"),
}
# Who saw a call: the numbers of the data's quality.
_SEEN = {"log": 1, "proxy": 2, "telemetry": 4}
_FACT = f"{_CALLS.format('fact')} where x.type = ? and x.name = ?"


def condition(fact: str) -> tuple[str, list[Any]]:
    """A condition on calls (`c`) for a fact written `type:name`. Raises `Unprocessable`."""
    kind, _, name = fact.partition(":")
    if not kind or not name:
        raise Unprocessable("“fact” must be a type and a name, such as command_family:pytest.")
    if kind == "witness":
        return "c.seen & ?", [_SEEN.get(name, 0)]
    if kind in _PAIRS:
        table, where = _PAIRS[kind]
        values: list[Any] = [*name.partition(" ")[::2]]
    elif kind in _ROWS:
        table, where = _ROWS[kind]
        values = [name]
    else:
        return f"c.id in ({_FACT})", [kind, name.lower()]
    return f"c.id in ({_CALLS.format(table)} where {where})", values
