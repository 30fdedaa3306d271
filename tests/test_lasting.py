"""Connections that go from one page to the next: what one page left must not reach the next."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.store import db


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[None]:
    db.open_databases(tmp_path / "data")
    with db.writing() as connection:
        connection.execute("create table counted (n integer)")
        connection.executemany("insert into counted values (?)", [(n,) for n in range(5000)])
    yield
    db.close_databases()


def number() -> int:
    return int(db.rows("select count(*) from counted")[0][0])


def connection() -> sqlite3.Connection:
    with db.reading_pages():
        return db.usage.connection()


def add() -> None:
    with db.writing() as raw:
        raw.execute("insert into counted values (1)")


def test_the_next_page_takes_the_connection_over(ledger: None) -> None:
    assert connection() is connection()
    assert db.usage.is_closed()  # this thread has none between pages


def test_what_was_left_unread_does_not_keep_the_next_page_in_its_moment(ledger: None) -> None:
    with db.reading_pages():
        left = db.usage.connection().execute("select n from counted")
        assert left.fetchone() == (0,)
    thread = threading.Thread(target=add)
    thread.start()
    thread.join()
    with db.reading_pages():
        assert number() == 5001
    with pytest.raises(sqlite3.ProgrammingError):
        left.fetchone()


def test_a_transaction_that_was_left_open_is_taken_back(ledger: None) -> None:
    with db.reading_pages():
        db.usage.connection().execute("begin immediate")
        db.usage.connection().execute("insert into counted values (1)")
    add()  # nobody holds the lock
    assert number() == 5001


def test_a_page_may_write_as_ever(ledger: None) -> None:
    with db.reading_pages():
        add()
        assert number() == 5001
    assert number() == 5001


def test_a_page_within_a_page_has_the_same_connection(ledger: None) -> None:
    with db.reading_pages():
        outer = db.usage.connection()
        with db.reading_pages():
            assert db.usage.connection() is outer
        assert number() == 5000


def test_few_are_kept_however_many_pages_there_are_at_once(ledger: None) -> None:
    inside, leave = threading.Barrier(13), threading.Event()

    def page() -> None:
        with db.reading_pages():
            assert number() == 5000
            inside.wait(30)
            assert leave.wait(30)

    threads = [threading.Thread(target=page) for _ in range(12)]
    for thread in threads:
        thread.start()
    inside.wait(30)
    leave.set()
    for thread in threads:
        thread.join()
    assert len(db.usage._kept) == db._MOST_KEPT


def test_none_stays_open_when_the_database_is_closed(ledger: None, tmp_path: Path) -> None:
    first = connection()
    with db.reading_pages():  # one that is in use meanwhile
        second = db.usage.connection()
        closing = threading.Thread(target=db.close_databases)
        closing.start()
        closing.join()
    for each in (first, second):
        with pytest.raises(sqlite3.ProgrammingError):
            each.execute("select 1")
    assert db.usage._kept == []
    assert not (tmp_path / "data" / "usage.db-wal").exists()


def test_a_table_that_is_new_is_known_to_the_next_page(ledger: None) -> None:
    with db.reading_pages():
        assert number() == 5000
    with db.writing() as raw:
        raw.execute("drop table counted")
        raw.execute("create table counted (n integer, more text)")
    with db.reading_pages():
        assert db.rows("select * from counted") == []
