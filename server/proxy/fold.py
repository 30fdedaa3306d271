"""Folds a response's events into the response: for clients that do not stream.

The provider only streams, and its last event may come with an empty `output`; then the output
is rebuilt from the items that went before it.
"""

from __future__ import annotations

from typing import Any

from server.proxy import sse

_ITEM = b'"response.output_item.done"'
_LAST = (b'"response.completed"', b'"response.incomplete"', b'"response.failed"')


class Fold:
    """Remembers finished items until the response ends.

    `response` is then the whole response object.
    """

    def __init__(self) -> None:
        self.response: dict[str, Any] | None = None
        self._items: list[bytes] = []

    def pass_on(self, event: bytes) -> bytes:
        """The event as the client shall get it: the last one with its output filled in."""
        if _ITEM in event:
            self._items.append(event)
        elif any(mark in event for mark in _LAST):
            return self._finish(event)
        return event

    def _finish(self, event: bytes) -> bytes:
        value = sse.parse(event)
        response = value.get("response")
        if not isinstance(response, dict) or value.get("type") not in _NAMES:
            return event
        self.response = response
        if response.get("output") or not self._items:
            return event
        response["output"] = self._output()
        return sse.encode(value)

    def _output(self) -> list[Any]:
        found = []
        for position, event in enumerate(self._items):
            value = sse.parse(event)
            if value.get("type") == "response.output_item.done" and "item" in value:
                index = value.get("output_index")
                found.append((index if isinstance(index, int) else position, value["item"]))
        return [item for _, item in sorted(found, key=lambda pair: pair[0])]


_NAMES = ("response.completed", "response.incomplete", "response.failed")
