"""Read a JSON body the same strict way on every dashboard route."""

from __future__ import annotations

import json
from typing import Any

from flask import request

from server.errors import Unprocessable

DEEPEST = 64
LONGEST = 255
_MOST_DIGITS = 100
_TOO_DEEP = "The body is nested too deeply."


def read(*, optional: bool = False) -> dict[str, Any]:
    """The request's JSON object; an absent body is `{}` when it is optional.

    Raises `Unprocessable` for another content type (a form could be posted by any web page) and
    for text that is not a JSON object, holds NaN, or is nested deeper than 64 levels.
    """
    raw = request.get_data(cache=False)
    if not raw.strip() and optional:
        return {}
    if request.mimetype != "application/json":
        raise Unprocessable("Send the body as JSON, with Content-Type: application/json.")
    try:
        value = json.loads(raw, parse_constant=_refuse, parse_int=_whole)
        depth = _depth(value)
    except RecursionError as error:
        raise Unprocessable(_TOO_DEEP) from error
    except ValueError as error:
        raise Unprocessable("The body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise Unprocessable("The body must be a JSON object.")
    if depth > DEEPEST:
        raise Unprocessable(_TOO_DEEP)
    return value


def text(given: dict[str, Any], name: str, longest: int = LONGEST) -> str | None:
    """A field that is text or left out (None), of so many printable characters at most."""
    value = given.get(name)
    if value is None:
        return None
    # Not printable are also lone surrogates, which neither a file nor the database takes.
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise Unprocessable(f"{name} must be text of at most {longest} printable characters.")
    return value


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _whole(digits: str) -> int:
    # Python itself refuses more than 4,300, in words for programmers.
    if len(digits) > _MOST_DIGITS:
        raise Unprocessable(f"A number in the body has more than {_MOST_DIGITS} digits.")
    return int(digits)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= DEEPEST:
        depth += 1
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    return depth
