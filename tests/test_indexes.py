"""Indexes that the compiled part writes: what SQLite would have made, or nothing at all."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from server.ingest import early, indexes
from server.store import db, migrations

Row = tuple[Any, ...]

TABLE = "create table t(name text not null, number integer, other, value integer not null)"
INDEXES = {  # and how the compiled part is told of them
    "create unique index by_name on t(name)": ((0,), True, -1, 0),
    "create index by_numbers on t(number, value)": ((1, 3), False, -1, 0),
    "create index by_value on t(value)": ((3,), False, -1, 0),
    "create index odd on t(number, other, value) where value != 1": ((1, 2, 3), False, 3, 1),
}
UNIQUE, PAIR, PLAIN, PARTIAL = INDEXES


@pytest.fixture
def usual(compiled_part: Any) -> Any:
    return compiled_part


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma synchronous = off")  # no test cuts the power
    connection.execute("pragma journal_mode = memory")
    return connection


def database(path: Path, rows: list[Row], page: int = 4096) -> int:
    """Make a table; returns its root page."""
    with closing(connect(path)) as connection:
        connection.execute(f"pragma page_size = {page}")
        connection.execute(TABLE)
        connection.execute("begin")
        connection.executemany("insert into t values (?, ?, ?, ?)", rows)
        connection.execute("commit")
        found = connection.execute("select rootpage from sqlite_master where name = 't'")
        return int(found.fetchone()[0])


def promise(path: Path, statements: list[str]) -> None:
    """Note indexes whose roots will be the next pages."""
    with closing(connect(path)) as connection:
        connection.execute("pragma writable_schema = on")
        last = connection.execute("pragma page_count").fetchone()[0]
        for place, statement in enumerate(statements, 1):
            connection.execute(
                "insert into sqlite_master(type, name, tbl_name, rootpage, sql) "
                "values ('index', ?, 't', ?, ?)",
                (statement.split(" on ")[0].split()[-1], last + place, statement),
            )
        assert connection.execute("pragma page_count").fetchone()[0] == last


def some_rows(count: int, seed: int = 1) -> list[Row]:
    chance = random.Random(seed)
    numbers = [None, 0, 1, -1, 127, -129, 1 << 23, -(1 << 40), (1 << 63) - 1, -(1 << 62)]
    return [
        (
            f"{'resp_' * chance.randrange(3)}{chance.randbytes(chance.randrange(3, 35)).hex()}ü{n}",
            chance.choice(numbers),
            "text",
            1 if n % 3 else chance.choice(numbers[1:]),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("page", [512, 4096, 32768])
@pytest.mark.parametrize("count", [0, 1, 2, 60, 61, 62, 63, 64, 65, 66, 3_000])
def test_an_index_is_what_sqlite_would_have_made(
    usual: Any, tmp_path: Path, count: int, page: int
) -> None:
    path = tmp_path / "t.db"
    told = [UNIQUE, PAIR, PLAIN]
    root = database(path, some_rows(count), page)
    promise(path, told)
    assert usual.index(bytes(path), root, [INDEXES[statement] for statement in told])
    with closing(connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        for order in ("name", "number, value, rowid", "value, rowid"):
            (plan,) = connection.execute(f"explain query plan select 1 from t order by {order}")
            assert "INDEX" in plan[3]
            rows = connection.execute(f"select * from t order by {order}").fetchall()
            assert rows == connection.execute(f"select * from t order by +{order}").fetchall()
        # and it is one that goes on
        connection.executemany("insert into t values (?, ?, ?, ?)", some_rows(300, seed=2))
        connection.execute("delete from t where rowid % 3 = 0")
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]


def test_each_length_of_the_last_page_is_right(usual: Any, tmp_path: Path) -> None:
    """Where the last entry would stand alone above two pages, one of which would be empty."""
    path = tmp_path / "t.db"
    for count in range(1, 150):
        path.unlink(missing_ok=True)
        root = database(path, [(f"{n:040}", n, None, n) for n in range(count)], 512)
        promise(path, [UNIQUE, PLAIN])
        assert usual.index(bytes(path), root, [INDEXES[UNIQUE], INDEXES[PLAIN]])
        with closing(connect(path)) as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)], count


def test_rows_that_a_condition_leaves_out_have_no_entry(usual: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    root = database(path, [(str(n), n, "text", 1) for n in range(500)])
    promise(path, [PARTIAL, PLAIN])
    assert usual.index(bytes(path), root, [INDEXES[PARTIAL], INDEXES[PLAIN]])
    with closing(connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        connection.execute("update t set value = 2 where rowid = 7")
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    ("rows", "statement"),
    [
        pytest.param([("a", 1, None, 1), ("b", 1, None, 1), ("a", 2, None, 1)], UNIQUE, id="twice"),
        pytest.param([("a" * 30, 1, None, 1)] * 2, UNIQUE, id="alike to the end"),
        pytest.param([("a", 1, None, 2)], PARTIAL, id="more columns than it sorts by"),
        pytest.param([("a" * 5000, 1, None, 1)], PLAIN, id="a row with pages of its own"),
        pytest.param([("a" * 1500, 1, None, 1)], UNIQUE, id="a key with pages of its own"),
        pytest.param([("a", "many", None, 1), ("b", 1, None, 1)], PAIR, id="texts and numbers"),
        pytest.param([("a", "many", None, 1)], PAIR, id="a text and a number"),
        pytest.param([("a", 1.5, None, 1)], PAIR, id="a fraction"),
        pytest.param([("a", b"x", None, 1)], PAIR, id="bytes"),
        pytest.param([("a", -(1 << 63), None, 1)], PAIR, id="the smallest number"),
    ],
)
def test_what_is_not_plain_is_left_to_sqlite(
    usual: Any, tmp_path: Path, rows: list[Row], statement: str
) -> None:
    path = tmp_path / "t.db"
    root = database(path, rows)
    before = path.read_bytes()
    assert usual.index(bytes(path), root, [INDEXES[statement]]) is False
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:9000], id="cut off"),
        pytest.param(lambda data: data + bytes(4096), id="a page too many"),
        pytest.param(lambda data: b"X" + data[1:], id="another program's"),
        pytest.param(lambda data: data[:4096] + bytes(len(data) - 4096), id="pages of nothing"),
        pytest.param(lambda data: data[:4096] + b"\xff" * (len(data) - 4096), id="pages of noise"),
        pytest.param(lambda data: data[:20] + b"\x08" + data[21:], id="something at pages' ends"),
    ],
)
def test_another_file_is_left_as_it_is(usual: Any, tmp_path: Path, break_it: Any) -> None:
    path = tmp_path / "t.db"
    root = database(path, some_rows(500))
    path.write_bytes(break_it(path.read_bytes()))
    before = path.read_bytes()
    assert usual.index(bytes(path), root, [INDEXES[PLAIN]]) is False
    assert path.read_bytes() == before


@pytest.mark.parametrize("seed", range(40))
def test_no_byte_of_a_broken_file_does_harm(usual: Any, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "t.db"
    root = database(path, some_rows(400, seed), 512)
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 5, 300))):
        data[chance.randrange(512, len(data))] = chance.choice((0, 255, chance.randrange(256)))
    path.write_bytes(data)
    assert usual.index(bytes(path), root, [INDEXES[UNIQUE], INDEXES[PAIR]]) in (True, False)


def test_a_file_that_is_not_there_is_an_error(usual: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        usual.index(bytes(tmp_path / "none"), 2, [INDEXES[PLAIN]])


# ── of a new database ─────────────────────────────────────────────────────────────────────

CALL = (
    "insert into call(id, provider, session, started_at, input, cached, output, reasoning, "
    "initiator, cache_written, price_status, seen) "
    "values (?, 'codex', ?, ?, 1, 0, 1, 0, 'user', 0, 'exact', ?)"
)


def new_database(folder: Path, calls: list[Row]) -> list[indexes.Dropped]:
    """Begin a database with these calls; returns the indexes that they went in without."""
    db.open_new(folder)
    migrations.migrate()
    dropped = indexes.drop()
    assert not db.rows("pragma index_list(call)")
    with db.writing() as connection:
        connection.executemany(CALL, calls)
    return dropped


@pytest.fixture
def _compiled(usual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "usual", usual)
    monkeypatch.setattr(indexes, "_FEW", 0)


def made(folder: Path) -> list[Row]:
    """The indexes of `call` as a program finds them that opens the database later."""
    with closing(sqlite3.connect(folder / "usage.db")) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        rows = connection.execute(
            "select name, sql from sqlite_master where tbl_name = 'call' and type = 'index'"
        ).fetchall()
    return sorted(rows)


@pytest.mark.usefixtures("_compiled")
def test_a_new_database_has_its_indexes_back(tmp_path: Path) -> None:
    calls = [(f"call {n}", n % 50 or None, 1_000 - n // 7, 1) for n in range(5_000)]
    dropped = new_database(tmp_path, calls)
    try:
        with db.reading():
            assert indexes.write(dropped)
            assert db.rows("select count(*) from call where session = 3") == [(100,)]
            with db.writing() as connection, pytest.raises(sqlite3.IntegrityError):
                connection.execute(CALL, ("call 17", 1, 1, 1))
        db.keep_new()
    finally:
        db.drop_new()
    assert made(tmp_path) == sorted((index.name, index.sql) for index in dropped)


@pytest.mark.usefixtures("_compiled")
@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([("one", 1, 1, 1), ("two", 1, 1, 1), ("one", 2, 2, 1)], id="a call twice"),
        pytest.param([("one", 1, 1, 1), ("two", 1, 1, 3)], id="a call of the proxy's"),
    ],
)
def test_others_are_left_to_sqlite(tmp_path: Path, calls: list[Row]) -> None:
    dropped = new_database(tmp_path, calls)
    try:
        with db.reading():
            assert not indexes.write(dropped)
            assert not db.rows("pragma index_list(call)")
            with db.writing() as connection:
                for statement in indexes.statements(dropped):
                    connection.execute(statement)
        db.keep_new()
    finally:
        db.drop_new()
    names = {name for name, _ in made(tmp_path)}
    assert names == {index.name for index in dropped} - {"call_id"}


@pytest.mark.usefixtures("_compiled")
def test_sqlite_says_that_the_disk_is_full(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    dropped = new_database(tmp_path, [(f"call {n}", n, n, 1) for n in range(3_000)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "usage.db.new").stat().st_size
    try:
        with db.reading():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5_000, before[1]))
            try:
                assert not indexes.write(dropped)
                with pytest.raises(sqlite3.OperationalError, match="full|I/O"), db.writing() as own:
                    own.execute(dropped[0].sql)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            # and once there is room, nothing is amiss
            with db.writing() as connection:
                for index in dropped:
                    connection.execute(index.sql)
        db.keep_new()
    finally:
        db.drop_new()
    assert len(made(tmp_path)) == len(dropped)


def left_alone(folder: Path, within: Callable[[], AbstractContextManager[Any]]) -> None:
    """The indexes of a database of one call are SQLite's to make."""
    dropped = new_database(folder, [("one", 1, 1, 1)])
    try:
        with within():
            assert not indexes.write(dropped)
    finally:
        db.drop_new()


def test_a_few_are_left_to_sqlite(
    usual: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early, "usual", usual)
    left_alone(tmp_path, db.reading)


@pytest.mark.usefixtures("_compiled")
def test_nothing_is_written_within_a_transaction(tmp_path: Path) -> None:
    left_alone(tmp_path, db.writing)


def test_without_a_compiled_part_sqlite_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early, "usual", None)
    left_alone(tmp_path, db.reading)
