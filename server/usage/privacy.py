"""What an answer shows of names and places: the one place that the privacy modes are applied.

Normal shows everything; redacted hides what tells what you work on; strict also hides branches,
tags and the accounts' names. An alias that the user gave a project is meant to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from server.sentences import say
from server.usage.roots import last

MODES = ("normal", "redacted", "strict")
_OURS = say("thread.titling")
_PLACES = {"cwd": "cwd", "path": "path", "source": "source", "file": "source", "root": "path",
           "codexHome": "path"}  # fmt: skip
_HIDDEN: dict[str, Any] = {"remoteLabel": None}
_STRICT: dict[str, Any] = {
    "branch": None,
    "relativeCwd": None,
    "tags": [],
    "accountName": None,
    "email": None,
    "user": None,
    "user.account_id": None,  # these two as telemetry's attributes name them
    "user.email": None,
}


def stricter(one: str, other: str) -> str:
    """The mode of the two that shows less."""
    return max(one, other, key=MODES.index)


def short(text: str) -> str:
    """Eight characters that stand for a text and do not tell it."""
    return sha256(text.encode(errors="replace")).hexdigest()[:8]


@dataclass(frozen=True)
class Privacy:
    """A mode, what projects are called, and what the user calls them (`projects.aliases`)."""

    mode: str = "normal"
    aliases: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)  # keys that stand for another project

    @property
    def hides(self) -> bool:
        """Whether names are hidden, so that searching must not find them either."""
        return self.mode != "normal"

    def project(self, key: str | None) -> str | None:
        """A project's name as it is shown."""
        if not key:
            return key
        key = self.same.get(key, key)
        own = last(key)
        alias = self.aliases.get(key) or (None if key in self.names else self.aliases.get(own))
        if alias:
            return alias
        return f"Project {short(key)}" if self.hides else self.names.get(key, own)

    def title(self, title: str | None, thread: str | None) -> str | None:
        """A thread's title as it is shown; the same thread is always called the same.

        A name of ours tells nothing, and stays.
        """
        if not self.hides or title is None or title == _OURS:
            return title
        return f"Thread {short(thread or title)}"

    def shown(self, value: Any) -> Any:
        """A JSON answer with everything in it as this mode shows it."""
        if not self.hides:
            return self._called(value)
        if isinstance(value, list):
            return [self.shown(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {key: self._one(key, inner, value) for key, inner in value.items()}

    def _called(self, value: Any) -> Any:
        """What nothing is hidden of: only projects are not called as in the rows."""
        if isinstance(value, list):
            return [self._called(one) for one in value]
        if not isinstance(value, dict):
            return value
        found = dict(value)
        for key, inner in value.items():
            if key == "project" and isinstance(inner, str):
                found[key] = self.project(inner)
            elif key == "projects" and isinstance(inner, list):
                found[key] = self._projects(inner)
            elif isinstance(inner, dict | list):
                found[key] = self._called(inner)
        return found

    def _projects(self, keys: list[str]) -> list[str]:
        shown = {self.project(key) or "" for key in keys}
        return sorted(shown, key=lambda name: (name.casefold(), name))

    def _one(self, key: str, value: Any, row: dict[str, Any]) -> Any:
        if isinstance(value, str):
            if key == "project":
                return self.project(value)
            if key in ("title", "threadTitle"):
                return self.title(value, row.get("threadId") or row.get("id"))
            if self.hides and key in _PLACES:
                return f"[redacted {_PLACES[key]}:{short(value)}]"
        if key == "projects" and isinstance(value, list):
            return self._projects(value)
        if self.mode == "strict" and key in _STRICT:
            return _STRICT[key]
        if self.hides and key in _HIDDEN:
            return _HIDDEN[key]
        return self.shown(value)
