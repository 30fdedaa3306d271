"""What short-lived starts use instead of modules that take long to load.

A scan of a day's logs takes less time than to import `dataclasses` (which loads `inspect`),
`typing` and `logging`. A type checker sees the real ones.
"""

from __future__ import annotations

import sys

__all__ = [
    "UTC", "Local", "Lock", "Log", "NamedTuple", "RLock", "cache", "contextmanager", "date",
    "datetime", "defaultdict", "field", "get_ident", "record", "suppress", "time", "timedelta",
    "tzinfo",
]  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import defaultdict
    from contextlib import contextmanager, suppress
    from dataclasses import dataclass as record
    from dataclasses import field
    from datetime import UTC, date, datetime, time, timedelta, tzinfo
    from functools import cache
    from threading import Lock, RLock, get_ident
    from threading import local as Local  # noqa: N812
    from typing import Any, NamedTuple
else:
    try:  # what `threading` and `collections` hand on
        from _collections import defaultdict
        from _thread import RLock, get_ident
        from _thread import _local as Local  # noqa: N812
        from _thread import allocate_lock as Lock  # noqa: N812
    except ImportError:  # another Python
        from collections import defaultdict
        from threading import Lock, RLock, get_ident
        from threading import local as Local  # noqa: N812
    try:  # `datetime` first makes its classes in Python, then takes these
        from _datetime import UTC, date, datetime, time, timedelta, tzinfo
    except ImportError:  # another Python
        from datetime import UTC, date, datetime, time, timedelta, tzinfo
    try:
        from _collections import _tuplegetter
    except ImportError:
        from operator import itemgetter

        def _tuplegetter(place, _):
            return property(itemgetter(place))

    class suppress:  # noqa: N801 - as `contextlib` has it
        """Errors of these kinds end the block and nothing else."""

        def __init__(self, *kinds):
            self._kinds = kinds

        def __enter__(self):
            pass

        def __exit__(self, kind, *_):
            return kind is not None and issubclass(kind, self._kinds)

    class _Block:
        """A generator's one yield as a `with` block, as `contextlib` has it."""

        def __init__(self, steps):
            self._steps = steps

        def __enter__(self):
            try:
                return next(self._steps)
            except StopIteration:
                raise RuntimeError("generator didn't yield") from None

        def __exit__(self, kind, error, trace):
            if kind is None:
                for _ in self._steps:
                    raise RuntimeError("generator didn't stop")
                return False
            try:
                self._steps.throw(error)
            except StopIteration as ended:
                return ended is not error  # a StopIteration of the block goes on
            except BaseException as other:
                # Python makes of a StopIteration that leaves a generator a RuntimeError.
                if other is not error and not (
                    isinstance(error, StopIteration) and other.__cause__ is error
                ):
                    raise
                error.__traceback__ = trace
                return False
            raise RuntimeError("generator didn't stop after throw()")

    def contextmanager(make):
        """`with` blocks from a function that yields once."""

        def begin(*given, **named):
            return _Block(make(*given, **named))

        begin.__doc__, begin.__name__ = make.__doc__, make.__name__
        begin.__wrapped__ = make
        return begin

    def cache(make):
        """Remember what was made of each set of values."""
        known = {}

        def use(*given):
            try:
                return known[given]
            except KeyError:
                value = known[given] = make(*given)
                return value

        use.cache_clear = known.clear
        return use

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
            names = tuple(body.get("__annotations__", ()))
            given = {one: body.pop(one) for one in names if one in body}
            wanted = [f"{one}=_d[{one!r}]" if one in given else one for one in names]
            space = {"_d": given, "_new": tuple.__new__}
            made = f"def __new__(_cls,{','.join(wanted)}): return _new(_cls, ({','.join(names)},))"
            exec(made, space)  # noqa: S102
            places = {one: _tuplegetter(place, None) for place, one in enumerate(names)}
            whole = {
                "__slots__": (), "__new__": space["__new__"], "__repr__": _said,
                "__getnewargs__": _plain, "__match_args__": names, "_fields": names, "_make": _make,
                "_replace": _replace, "_asdict": _asdict,
            }  # fmt: skip
            return type.__new__(type, name, (tuple,), {**whole, **places, **body})

    @classmethod
    def _make(cls, values):
        made = tuple.__new__(cls, values)
        if len(made) != len(cls._fields):
            raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
        return made

    def _replace(self, **new):
        values = [new.pop(name, old) for name, old in zip(self._fields, self, strict=True)]
        if new:
            raise ValueError(f"Got unexpected field names: {list(new)!r}")
        return self._make(values)

    def _plain(self):
        return tuple(self)

    def _asdict(self):
        return dict(zip(self._fields, self, strict=True))

    def _said(self):
        said = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({said})"

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
