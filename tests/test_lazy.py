"""Stand-ins for modules that take long to load do what those do."""

from __future__ import annotations

import collections
import contextlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from server import lazy, shortjson

VALUES = [
    pytest.param({"a": [1, -2, 2.5, 1e300, None, True, "ü\n\u2028\ud800"], "b": {}}, id="all"),
    pytest.param("", id="an empty text"),
    pytest.param([[], {}, 10**30], id="empty ones, and a long number"),
    pytest.param(float("inf"), id="no number"),
]
TEXTS = [
    pytest.param(' \t\r\n{"a": 1} \n', id="spaces around it"),
    pytest.param("NaN", id="NaN"),
    pytest.param("-Infinity", id="minus infinity"),
    pytest.param("", id="nothing"),
    pytest.param("   ", id="only spaces"),
    pytest.param('{"a": 1} x', id="more behind it"),
    pytest.param('{"a": 1}{', id="another value"),
    pytest.param("\ufeff{}", id="a byte order mark"),
    pytest.param('"a\nb"', id="a line end in a text"),
    pytest.param('{"a"', id="torn"),
    pytest.param("[1,]", id="a comma too much"),
    pytest.param("\u00a0[1]", id="a space that JSON does not know"),
    pytest.param('"\\ud83d\\ude00 \\udc00"', id="pairs"),
    pytest.param("9" * 5000, id="too long a number"),
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_values_are_written_as_json_writes_them(value: Any, separators: tuple[str, str]) -> None:
    assert shortjson.dumps(value, separators=separators) == json.dumps(value, separators=separators)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_read_as_json_reads_them(text: str, strict: bool) -> None:
    try:
        expected = repr(json.loads(text, strict=strict))
    except ValueError as error:
        with pytest.raises(type(error)) as found:
            shortjson.loads(text, strict=strict)
        assert str(found.value) == str(error)
    else:
        assert repr(shortjson.loads(text, strict=strict)) == expected


def test_a_torn_text_is_told_where_nothing_has_loaded_the_library() -> None:
    """Python's compiled reader names its mistake by a class that must have been loaded."""
    script = (
        "import sys; from server import shortjson; assert 'json' not in sys.modules\n"
        "for text in ('{\"a\":\"b', '[1,]', '{\"a\"', '{1:2}'):\n"
        "    try: shortjson.loads(text)\n"
        "    except ValueError as error: print(type(error).__name__)\n"
    )
    said = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert said.stdout.split() == ["JSONDecodeError"] * 4, said.stderr


def test_what_is_too_deep_is_said_to_be() -> None:
    with pytest.raises(RecursionError):
        shortjson.loads("[" * 100_000)


def test_what_json_does_not_know_is_an_error() -> None:
    with pytest.raises(TypeError):
        shortjson.dumps({"a": object()})


class Point(lazy.NamedTuple):
    """A point."""

    x: int
    y: int = 2

    @property
    def sum(self) -> int:
        """Of both."""
        return self.x + self.y


def test_a_named_tuple_is_one() -> None:
    model: Any = collections.namedtuple("model", ["x", "y"], defaults=[2])  # noqa: PYI024
    one, same = Point(1), model(1)
    assert (one.x, one.y, one.sum) == (1, 2, 3)
    assert tuple(one) == (1, 2)
    assert repr(one) == repr(same).replace("model", "Point")
    assert one._asdict() == same._asdict()
    assert one._replace(y=5) == Point(x=1, y=5)
    assert Point._fields == ("x", "y")
    assert Point._make([3, 4]) == (3, 4)
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301
    assert type(pickle.loads(pickle.dumps(one))) is Point  # noqa: S301
    match one:
        case Point(x, y):
            assert (x, y) == (1, 2)
    for values in ((), (1, 2, 3)):
        with pytest.raises(TypeError):
            Point(*values)
    with pytest.raises(TypeError):
        Point._make([1])
    with pytest.raises(ValueError, match="z"):
        one._replace(z=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        one.x = 3  # type: ignore[misc]


@pytest.mark.parametrize("suppress", [lazy.suppress, contextlib.suppress])
def test_only_the_named_errors_are_suppressed(suppress: Any) -> None:
    with suppress(OSError, ValueError):
        raise FileNotFoundError
    with pytest.raises(TypeError), suppress(OSError):
        raise TypeError
    with suppress(OSError):
        pass


def test_what_was_made_is_remembered() -> None:
    asked = []

    @lazy.cache
    def double(value: int) -> int:
        asked.append(value)
        return 2 * value

    assert [double(1), double(1), double(2)] == [2, 2, 4]
    assert asked == [1, 2]
    double.cache_clear()
    assert double(1) == 2
    assert asked == [1, 2, 1]


@pytest.mark.parametrize("manager", [lazy.contextmanager, contextlib.contextmanager])
def test_a_block_is_what_its_function_says(manager: Any) -> None:
    said: list[str] = []

    @manager  # type: ignore[untyped-decorator]
    def block(name: str, *, quiet: bool = False) -> Any:
        said.append(f"begin {name}")
        try:
            yield name.upper()
        except ValueError:
            said.append("failed")
            if not quiet:
                raise
        except KeyError as error:
            raise TypeError("another") from error
        finally:
            said.append("end")

    with block("a") as name:
        assert name == "A"
    with block("b", quiet=True):
        raise ValueError
    with pytest.raises(ValueError, match="told"), block("c"):
        raise ValueError("told")
    with pytest.raises(TypeError, match="another"), block("d"):
        raise KeyError
    with pytest.raises(StopIteration), block("e"):
        raise StopIteration
    assert said == [
        "begin a", "end", "begin b", "failed", "end", "begin c", "failed", "end", "begin d", "end",
        "begin e", "end",
    ]  # fmt: skip

    @manager
    def never() -> Any:
        yield from ()

    @manager
    def twice() -> Any:
        yield
        yield

    with pytest.raises(RuntimeError, match="didn't yield"), never():
        pass
    with pytest.raises(RuntimeError, match="didn't stop"), twice():
        pass


def test_sqlite_loads_next_to_nothing_and_leaves_nothing_behind() -> None:
    script = (
        "import sys; from server.store import sqlite; print('functools' in sys.modules);"
        "print(sqlite.connect(':memory:').execute('select 1 + 1').fetchone()[0]);"
        "import functools, sqlite3; print(functools.lru_cache(len)('abc'));"
        "print(sqlite3.Connection is sqlite.Connection)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.stdout.split() == ["False", "2", "3", "True"]
