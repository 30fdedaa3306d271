"""The data folder: modes, the one writer, damage and backups."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from server import runtime
from server.store import db, makeschema, migrations, readymade, schema, settings
from server.store.lock import FolderError, Lock
from server.store.models import Setting

ROOT = Path(__file__).resolve().parent.parent


def put(name: str, value: str = "1") -> None:
    with db.writing("settings"):
        Setting.create(name=name, value=value)


def names() -> list[str]:
    return [row[0] for row in db.rows("select name from setting order by name")]


def reopen(folder: Path) -> list[str]:
    db.close_databases()
    notices = db.open_databases(folder, strict=True)
    migrations.migrate()
    return notices


@pytest.mark.usefixtures("database")
class TestStore:
    def test_only_the_owner_can_read_it(self, config: object) -> None:
        folder = Path(str(db.usage.database)).parent
        put("x")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for path in folder.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name

    def test_a_write_outside_writing_raises(self) -> None:
        with pytest.raises(RuntimeError, match="outside writing"):
            Setting.create(name="x", value="1")

    def test_a_failed_write_leaves_nothing_and_no_revision(self) -> None:
        before = db.revisions().get("settings", 0)
        with pytest.raises(ValueError, match="stop"), db.writing("settings"):
            Setting.create(name="x", value="1")
            raise ValueError("stop")
        assert names() == []
        assert db.revisions().get("settings", 0) == before

    def test_writers_take_turns(self) -> None:
        def many(number: int) -> None:
            for item in range(20):
                put(f"{number}-{item}")

        threads = [threading.Thread(target=many, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(names()) == 160

    def test_the_reason_of_a_failed_write_is_kept(self) -> None:
        with pytest.raises(sqlite3.OperationalError, match="disk is full"), db.writing() as raw:
            raw.execute("rollback")  # what SQLite does by itself when the disk is full
            raise sqlite3.OperationalError("database or disk is full")

    def test_reading_does_not_keep_a_connection(self) -> None:
        names()
        assert db.usage.is_closed()


def test_a_full_disk_still_lets_people_read(database: None, tmp_path: Path) -> None:
    # Without a connection that stays, the next reader would have to make a -shm file.
    put("x")
    folder = Path(str(db.usage.database)).parent
    assert (folder / "usage.db-shm").exists() and (folder / "usage.db-wal").exists()


def damage(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[4096:8192] = b"\xff" * 4096
    path.write_bytes(body)


@pytest.mark.parametrize(
    "hurt",
    [
        pytest.param(damage, id="a torn page"),
        pytest.param(lambda path: path.write_bytes(b"not a database" * 999), id="garbage"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
    ],
)
def test_a_damaged_file_is_kept_and_the_backup_returns(
    database: None, config: object, hurt: object
) -> None:
    path = Path(str(db.usage.database))
    put("kept")
    db.close_databases()
    assert db.backup(path) is not None
    hurt(path)  # type: ignore[operator]
    notices = reopen(path.parent)
    assert len(notices) == 1 and "backup" in notices[0]
    assert names() == ["kept"]
    assert list(path.parent.glob("usage.db.corrupt-*"))


def test_without_a_backup_a_new_file_starts_and_the_old_is_kept(database: None) -> None:
    path = Path(str(db.usage.database))
    db.close_databases()
    path.write_bytes(b"junk" * 5000)
    notices = reopen(path.parent)
    assert "a new one was started" in notices[0]
    assert names() == []


NEARLY_FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # what a nearly full disk does to a file
from server.store import db
try:
    db.open_databases(sys.argv[1])
except db.StoreError as error:
    print(error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
def test_whole_files_that_cannot_be_opened_stay_where_they_are(database: None) -> None:
    put("kept")
    folder = Path(str(db.usage.database)).parent
    db.close_databases()
    words = [sys.executable, "-c", NEARLY_FULL, str(folder)]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "secrets.db: " in said.stdout and "then start again" in said.stdout, said
    assert not list(folder.glob("*.corrupt-*")), "nothing was damaged"
    assert reopen(folder) == []
    assert names() == ["kept"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are none")
def test_a_link_that_leads_nowhere_is_a_sentence(tmp_path: Path) -> None:
    loop = tmp_path / "usage.db"
    loop.symlink_to(loop)
    with pytest.raises(db.StoreError, match="Move it away"):
        db.open_databases(tmp_path)
    db.close_databases()


@pytest.mark.parametrize("version", [0, 1, 7])
def test_another_programs_database_is_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "usage.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("create table account (x)")
        theirs.execute(f"pragma user_version = {version}")
    db.open_databases(tmp_path)
    with pytest.raises(db.StoreError, match="another program"):
        migrations.migrate()
    db.close_databases()
    with closing(sqlite3.connect(path)) as theirs:
        tables = theirs.execute("select name from sqlite_master").fetchall()
    assert tables == [("account",)]


def test_a_job_that_the_end_overtakes_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    began, go = threading.Event(), threading.Event()

    def job() -> None:
        began.set()
        assert go.wait(30)
        raise sqlite3.ProgrammingError("the database is closed")

    scheduler = runtime.Scheduler([("tokens", lambda: 60, job)])
    scheduler.start()
    assert began.wait(30)
    scheduler.stop()
    go.set()
    scheduler.join(30)
    assert caplog.records == []


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(db.StoreError) as caught:
        db.open_databases(tmp_path / "file" / "data")
    assert "--data-dir" in caught.value.message


def test_backups_are_private_and_few(database: None) -> None:
    path = Path(str(db.usage.database))
    put("x")
    folder = path.parent / "backups"
    folder.mkdir()
    for number in range(9):
        (folder / f"usage-2020010{number}T000000.db").write_bytes(b"x")
    copy = db.backup(path)
    assert copy is not None and stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert len(list(folder.glob("usage-*.db"))) == 5
    opened = sqlite3.connect(copy)
    assert opened.execute("select name from setting").fetchall() == [("x",)]
    opened.close()


def test_a_newer_schema_is_refused(database: None) -> None:
    with db.writing() as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(db.StoreError, match="newer"):
        migrations.migrate()


def test_migrating_twice_changes_nothing(database: None) -> None:
    migrations.migrate()
    migrations.migrate()
    assert names() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("routingStrategy", "best"),
        ("routingStrategy", 1),
        ("stickyThreadsEnabled", "yes"),
        ("stickyThreadsEnabled", None),
        ("streamsPerAccount", 0),
        ("streamsPerAccount", 601),
        ("streamsPerAccount", True),
        ("streamsPerAccount", 1.5),
        ("timeZone", 5),
        ("timeZone", "x" * 256),
        ("singleAccountId", []),
    ],
)
def test_a_setting_that_does_not_fit_changes_nothing(
    database: None, key: str, value: object
) -> None:
    with pytest.raises(Exception, match=key):
        settings.change({"preferEarlierResetAccounts": True, key: value})
    assert settings.get("preferEarlierResetAccounts") is False
    assert names() == []


def test_settings_survive_and_defaults_are_not_stored(database: None) -> None:
    settings.change({"streamsPerAccount": 5, "totpConfigured": True})
    settings.load()
    assert settings.get("streamsPerAccount") == 5
    settings.change({"streamsPerAccount": 600})
    assert names() == []


@pytest.mark.parametrize(
    "hurt",
    [
        pytest.param(lambda path: path.write_bytes(b"garbage!" * 1000), id="garbage"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:5000]), id="cut"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
    ],
)
def test_damaged_secrets_start_anew_and_the_rest_stays(database: None, hurt: object) -> None:
    folder = Path(str(db.usage.database)).parent
    put("kept")
    db.close_databases()
    hurt(folder / "secrets.db")  # type: ignore[operator]
    reopen(folder)
    assert names() == ["kept"]
    with db.reading(db.secrets) as connection:
        assert connection.execute("select count(*) from credential").fetchone() == (0,)


def test_a_folder_that_is_a_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "serve.lock", tmp_path / "file" / "data" / "serve.lock"):
        with pytest.raises(FolderError, match="--data-dir"):
            Lock(path).acquire()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        pytest.param(sqlite3.OperationalError("database or disk is full"), True, id="full"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), True, id="full, a file"),
        pytest.param(sqlite3.OperationalError("database is locked"), True, id="locked"),
        pytest.param(sqlite3.OperationalError("no such column: x"), False, id="our mistake"),
        pytest.param(ValueError("disk is full"), False, id="no fault of a disk"),
    ],
)
def test_a_fault_of_the_disk_is_told_from_a_mistake(error: Exception, why: bool) -> None:
    assert bool(db.fault(error)) is why


def test_a_job_on_a_full_disk_writes_one_line(caplog: pytest.LogCaptureFixture) -> None:
    turns = iter([*[sqlite3.OperationalError("database or disk is full")] * 3, KeyError("x")])
    ended = threading.Event()

    def job() -> None:
        error = next(turns, None)
        if error is None:
            ended.set()
            return
        raise error

    scheduler = runtime.Scheduler([("rollups", lambda: 0.01, job)])
    scheduler.start()
    assert ended.wait(30)
    scheduler.stop()
    scheduler.join(30)
    told = [(record.levelname, bool(record.exc_info)) for record in caplog.records]
    assert told == [("WARNING", False), ("ERROR", True)]
    assert "disk is full" in caplog.records[0].getMessage()


def test_the_tables_are_those_of_the_models() -> None:
    written = Path(schema.__file__).read_text(encoding="utf-8")
    assert written == makeschema.text(), "run: python -m server.store.makeschema"


def test_ready_made_tables_are_what_a_new_database_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readymade, "_FOLDER", str(tmp_path / "program"))
    found = {}
    for ready in (False, True):
        data = tmp_path / f"ready {ready}"
        if ready:
            (tmp_path / "program").mkdir()
            (tmp_path / "program" / "tables-of-yesterday-1.db").write_bytes(b"old")
            readymade.make()
            readymade.make()
            assert len(list((tmp_path / "program").iterdir())) == 1
        assert bool(readymade.tables()) == ready
        db.open_new(data)
        try:
            migrations.migrate()
            db.keep_new()
        finally:
            db.drop_new()
        with closing(sqlite3.connect(data / "usage.db")) as connection:
            found[ready] = [
                connection.execute("pragma user_version").fetchone(),
                connection.execute("pragma journal_mode").fetchone(),
                connection.execute("select type, name, sql from sqlite_master").fetchall(),
                connection.execute("pragma integrity_check").fetchall(),
            ]
    assert found[True] == found[False]
    assert found[True][3] == [("ok",)]
