"""What short-lived starts use instead of modules that take long to load.

A scan of a day's logs takes less time than to import `dataclasses` (which loads `inspect`),
`typing` and `logging`. A type checker sees the real ones.
"""

from __future__ import annotations

import sys
from collections import namedtuple

__all__ = ["Log", "NamedTuple", "field", "record"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass as record
    from dataclasses import field
    from typing import Any, NamedTuple
else:

    class _Made:
        def __init__(self, make):
            self.make = make

    def field(*, default_factory):
        """A value that is made for each object."""
        return _Made(default_factory)

    def record(cls=None, *, slots=False):
        """A class of named values: `__init__`, `__eq__` and `__repr__` from its annotations."""
        if cls is None:
            return lambda found: record(found, slots=slots)
        names = tuple(cls.__annotations__)
        given = {name: vars(cls)[name] for name in names if name in vars(cls)}
        made = {name: value.make for name, value in given.items() if isinstance(value, _Made)}
        wanted = [
            name if name not in given else f"{name}=_no" if name in made else f"{name}=_d[{name!r}]"
            for name in names
        ]
        lines = [
            f" self.{name}={f'_m[{name!r}]() if {name} is _no else ' if name in made else ''}{name}"
            for name in names
        ]
        space = {"_d": given, "_m": made, "_no": object()}
        exec(f"def __init__(self,{','.join(wanted)}):\n" + "\n".join(lines), space)  # noqa: S102
        body = {name: value for name, value in vars(cls).items() if not (slots and name in given)}
        for name in ("__dict__", "__weakref__"):
            body.pop(name, None)
        if slots:
            body["__slots__"] = names
        body.setdefault("__init__", space["__init__"])
        body.setdefault("__eq__", lambda one, other: _same(names, one, other))
        body.setdefault("__repr__", lambda one: _shown(names, one))
        return type(cls.__name__, cls.__bases__, body)

    def _same(names, one, other):
        if type(one) is not type(other):
            return NotImplemented
        return all(getattr(one, name) == getattr(other, name) for name in names)

    def _shown(names, one):
        said = ", ".join(f"{name}={getattr(one, name)!r}" for name in names)
        return f"{type(one).__name__}({said})"

    class _Tuples(type):
        def __new__(mcs, name, bases, body):
            if not bases:
                return super().__new__(mcs, name, bases, body)
            names = body.get("__annotations__", {})
            defaults = [body[one] for one in names if one in body]
            made = namedtuple(name, names, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                if key not in names and key not in ("__module__", "__annotations__"):
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Tuples):
        """A tuple whose places have names."""


class Log:
    """A logger that loads `logging` with the first thing it has to say."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name in ("debug", "info") and "logging" not in sys.modules:
            return lambda *_: None  # nobody has set it up, so nobody would hear it
        import logging

        return getattr(logging.getLogger(self._name), name)
