"""The compiled reader of usual lines: the same as the Python, byte for byte of the state.

It is compiled here anew, so that what is tested is what stands in the source.
"""

from __future__ import annotations

import importlib.util
import random
import re
import sqlite3
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

import bootstrap
import pytest

from server.ingest import codex, reader, workers
from server.usage.days import Days
from tests.rollouts import Tree

REAL = sorted((Path(__file__).parent / "data" / "rollouts").glob("*.jsonl"))
WORDS = [
    b'"token_count"', b'"token_usage_record"', b'"user_message"', b'"compacted"', b'"session_meta"',
    b'"turn_context"', b'"UserMessage"', b'"task_started"', b'"model":"x"', b'"effort":"h"',
    b"\\", b'"', b"\0", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\n", b"\r", b"}", b"{", b"}}\n",
    b"9" * 16, b"-1", b"1.5", b"0", b" ", b"null", b"2026-13-", b"24:00",
]  # fmt: skip


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if bootstrap.compiler() is None or not bootstrap.has_headers():
        pytest.skip("there is no C compiler, or no Python.h")
    path = tmp_path_factory.mktemp("compiled") / "usual.abi3.so"
    bootstrap.compile_lines(path)
    spec = importlib.util.spec_from_file_location(
        "usual", path, loader=ExtensionFileLoader("usual", str(path))
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def both(usual: Any, data: bytes, base: int, state: codex.State) -> list[Any]:
    """What is read compiled, and what is read by Python alone."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for way in (usual, None):
            patch.setattr(codex, "usual", way)
            records, after = codex.fold(memoryview(data), base, state)
            found.append((vars(records), vars(after)))
    return found


def lines_of(tmp_path: Path, seed: int) -> list[list[bytes]]:
    tree = Tree(tmp_path / str(seed), seed=seed, body=60, turns=4)
    tree.grow(6)
    paths = [path for path in tree.paths if path.suffix == ".jsonl"]
    return [path.read_bytes().splitlines(keepends=True) for path in [*paths, *REAL]]


def broken(lines: list[bytes], chance: random.Random) -> bytes:
    """Some lines, a few of them changed in ways that a disk, a bug or an enemy might."""
    lines = list(lines)
    for _ in range(chance.choice((0, 1, 1, 2, 4, 30))):
        number = chance.randrange(len(lines))
        line = bytearray(lines[number])
        # The heads of lines decide, so they are hit more often.
        place = chance.randrange(min(len(line), chance.choice((60, 200, 700, 4000))) or 1)
        how = chance.randrange(7)
        digits = [found.start() for found in re.finditer(rb"\d", bytes(line))]
        if how == 0 and line:
            line[place] = chance.randrange(256)
        elif how == 1:
            del line[place : place + chance.randint(1, 9)]
        elif how == 2:
            line[place:place] = chance.choice(WORDS)
        elif how == 3:
            lines.insert(chance.randrange(len(lines)), bytes(line))
            continue
        elif how == 4:
            del line[place:-1]
        elif how == 5 and digits:
            line[chance.choice(digits)] = ord(chance.choice("0123456789"))
        else:
            other = chance.randrange(len(lines))
            lines[number], lines[other] = lines[other], lines[number]
            continue
        lines[number] = bytes(line)
    data = b"".join(lines)
    return data[: data.rfind(b"\n") + 1]


@pytest.mark.parametrize("seed", range(8))
def test_usual_files_are_read_the_same(usual: Any, tmp_path: Path, seed: int) -> None:
    for lines in lines_of(tmp_path, seed):
        compiled, plain = both(usual, b"".join(lines), 0, codex.State())
        assert compiled == plain


@pytest.mark.parametrize("seed", range(8))
def test_broken_files_are_read_the_same(usual: Any, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = [lines for lines in lines_of(tmp_path, seed) if lines]
    for _ in range(100):
        data = broken(chance.choice(files), chance)
        # In two pieces: what is left of the first is where the second begins.
        cut = data.find(b"\n", chance.randrange(len(data) or 1)) + 1
        state = codex.State(owner=chance.choice((None, "a thread")))
        for part, base in ((data[:cut], 0), (data[cut:], cut)):
            compiled, plain = both(usual, part, base, state)
            assert compiled == plain
            state = codex.State(**plain[1])


@pytest.mark.parametrize(
    ("kept", "given"),
    [
        pytest.param("totals", [1, 2, 3], id="totals of another kind"),
        pytest.param("totals", [2**70, 0, 0, 0, 0], id="totals beyond any integer"),
        pytest.param("totals", [0, "1", None, 0, 0], id="totals that are none"),
        pytest.param("owner", "\ud800", id="an owner that is no text"),
        pytest.param("last_turn", "\udfff", id="a turn that is no text"),
        pytest.param("window", 0, id="a window of nothing"),
        pytest.param("turn_at", 2**80, id="a time beyond any integer"),
        pytest.param("model", 7, id="a model that is a number"),
    ],
)
def test_an_odd_state_breaks_nothing(usual: Any, tmp_path: Path, kept: str, given: Any) -> None:
    for lines in lines_of(tmp_path, 3):
        state = codex.State(**{kept: given})
        records: tuple[list[Any], list[str], list[Any]] = ([], [], [])
        data = memoryview(b"".join(lines))
        asked = (data, 0, 0, vars(state), "log_0", "user", *records)
        place, end, count, kind = usual.read(*asked)
        assert kind in (0, 2, 3)
        assert 0 <= place <= end <= len(data)
        assert 0 <= count <= len(lines)


def test_what_is_no_line_is_left(usual: Any) -> None:
    for data in (b"", b"\n", b"{", b"{}\n", b'{"timestamp":"', b'{"timestamp":"2026-01-02T03:04'):
        for place in (-1, 0, 1, 10**9):
            found = usual.read(memoryview(data), place, 0, {}, "p", "user", [], [], [])
            assert found[2] == 0


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param((), id="nothing"),
        pytest.param((b"", 0, 0, [], "p", "user", [], [], []), id="a state that is a list"),
        pytest.param((b"", 0, 0, {}, "p", "user", (), [], []), id="calls that are a tuple"),
        pytest.param(("x", 0, 0, {}, "p", "user", [], [], []), id="text"),
    ],
)
def test_a_wrong_call_is_an_error(usual: Any, asked: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        usual.read(*asked)


def value(chance: random.Random) -> Any:
    kind = chance.randrange(6)
    if kind == 0:
        return None
    if kind < 4:
        power = chance.choice((0, 7, 8, 15, 16, 23, 24, 31, 32, 47, 48, 62))
        return chance.choice((1, -1)) * 2**power + chance.choice((-1, 0, 1))
    size = chance.choice((0, 1, 50, 57, 58, 59, 300, 9000))
    return chance.choice("aé\0")[:1] * size


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(0, id="none"),
        pytest.param(1, id="one"),
        pytest.param(30, id="about as many as fit in a page"),
        pytest.param(3000, id="many pages"),
    ],
)
def test_rows_become_a_database(usual: Any, count: int) -> None:
    chance = random.Random(count)
    parts = [
        (number, [tuple(value(chance) for _ in range(4)) for _ in range(chance.randint(1, 3))])
        for number in range(count)
    ]
    connection = sqlite3.connect(":memory:")
    # One after another in one connection, as a scan does it.
    for given in (parts[:1], parts):
        connection.deserialize(usual.pages("CREATE TABLE row(a, b, c, d, number)", given))
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        found = connection.execute("select * from row").fetchall()
        assert found == [(*row, number) for number, rows in given for row in rows]
    connection.close()


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        pytest.param([(1, [("a" * 70_000,)])], ValueError, id="a row that is too long"),
        pytest.param([(1, [("\ud800",)])], ValueError, id="text that is none"),
        pytest.param([(1, [(1,) * 70])], ValueError, id="too many columns"),
        pytest.param([(1, [[1]])], ValueError, id="a row that is a list"),
        pytest.param([(1, [(1.5,)])], TypeError, id="a fraction"),
        pytest.param([(1, [(2**64,)])], OverflowError, id="a number beyond any integer"),
        pytest.param([(1, (1,))], TypeError, id="rows that are a tuple"),
        pytest.param([7], TypeError, id="a part that is none"),
    ],
)
def test_what_is_no_row_is_an_error(usual: Any, parts: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        usual.pages("CREATE TABLE row(a, number)", parts)


def test_a_row_that_is_too_long_is_handed_over_by_sqlite(
    usual: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    width = reader.COLUMNS.count(",") + 1
    rows = [("a" * size,) + (None,) * (width - 1) for size in (5, 70_000)]
    tables = []
    for way in (usual, None):
        monkeypatch.setattr(codex, "usual", way)
        connection = sqlite3.connect(":memory:")
        connection.deserialize(workers.table_of([(7, rows)]))
        tables.append(connection.execute("select * from row").fetchall())
        connection.close()
    assert tables[0] == tables[1] == [(*row, 7) for row in rows]


AT = 1_780_000_000_000
CALL = ("id", None, "gpt-5.5", None, "user", AT, None, 1000, 400, 0, 50, 10, 1050, None, 0)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="a usual call"),
        pytest.param({2: None}, id="no model"),
        pytest.param({2: "gpt-unheard-of"}, id="a model without a price"),
        pytest.param({5: AT + 900_000}, id="another quarter of an hour"),
        pytest.param({5: AT - 700_000_000_000}, id="before there was such a log"),
        pytest.param({5: AT * 100}, id="in the future"),
        pytest.param({7: 300}, id="more cached than there was"),
        pytest.param({9: 700}, id="more written than there was"),
        pytest.param({11: 60}, id="more reasoning than output"),
        pytest.param({7: 500_000}, id="a long context"),
        pytest.param({7: 2**52, 10: 2**52}, id="as many tokens as can be"),
    ],
)
def test_calls_are_priced_the_same(
    usual: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: dict[int, Any]
) -> None:
    log = tmp_path / "log"
    log.touch()
    other = tuple(changed.get(place, value) for place, value in enumerate(CALL))
    calls: list[Any] = [CALL, other, CALL, other, other, CALL]
    found = []
    for way in (usual, None):
        monkeypatch.setattr(codex, "usual", way)
        batch = reader.Batch()
        reader._add(batch, codex.Records(calls=calls), Days("UTC"), str(log))
        found.append(batch)
    assert found[0] == found[1]
    assert len(found[0].rows) == len(calls)


def test_what_set_up_compiled_is_used() -> None:
    if bootstrap.LINES.with_suffix(".abi3.so").exists():
        assert codex.usual is not None, "compiled from other sources: run `make setup`"
