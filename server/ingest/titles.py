"""What threads are called: Codex's own database, then its index of names."""

from __future__ import annotations

import os

from server import shortjson
from server.ingest.lines import BOM, one_line
from server.lazy import Log
from server.store import db, sqlite

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from pathlib import Path

log = Log(__name__)

_MAX_INDEX = 64 << 20
_BETTER = "title_source is null or title_source not in ('name', 'title') or ? in ('name', 'title')"


class Titles:
    """Names of threads, read again whenever Codex changed them."""

    def __init__(self, codex_home: str | Path) -> None:
        self._home = os.fspath(codex_home)
        self._stamp: object = None
        self._told: dict[str, tuple[str, str]] = {}
        self._threads: tuple[object, ...] = ()

    def changed(self) -> bool:
        """Whether Codex changed a name since they were read."""
        return self._now() != self._stamp

    def refresh(self) -> None:
        """Store the names that changed since the last time."""
        stamp = self._now()
        # Where one came as another went, there are as many.
        threads = db.rows("select count(*), total(rowid) from thread")[0]
        if stamp == self._stamp and threads == self._threads:
            return
        if stamp != self._stamp:
            self._names = {**self._from_index(), **self._from_database()}
            self._told = {}
        self._stamp, self._threads = stamp, threads
        existing = dict(db.rows("select id, title from thread"))
        changed = [
            (title, source, thread, source)
            for thread, (title, source) in self._names.items()
            if thread in existing and existing[thread] != title
        ]
        if changed:
            with db.writing("calls") as connection:
                connection.executemany(
                    f"update thread set title = ?, title_source = ? where id = ? and ({_BETTER})",  # noqa: S608
                    changed,
                )

    _names: dict[str, tuple[str, str]] = {}

    def _now(self) -> object:
        stamps = []
        for name in ("state_5.sqlite", "state_5.sqlite-wal", "session_index.jsonl"):
            try:
                said = os.stat(os.path.join(self._home, name))
                stamps.append((said.st_mtime_ns, said.st_size, said.st_ino))
            except OSError:
                stamps.append((0, 0, 0))
        return tuple(stamps)

    def _from_database(self) -> dict[str, tuple[str, str]]:
        if not os.path.isfile(os.path.join(self._home, "state_5.sqlite")):
            return {}
        from pathlib import Path  # here: few have the file

        path = Path(self._home, "state_5.sqlite")
        found: dict[str, tuple[str, str]] = {}
        try:
            connection = sqlite.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.2)
            try:
                columns = {row[1] for row in connection.execute("pragma table_info(threads)")}
                wanted = [name for name in ("title", "name") if name in columns]
                for place, column in enumerate(wanted):
                    for thread, text in connection.execute(
                        f"select id, {column} from threads where {column} is not null"  # noqa: S608
                    ):
                        title = one_line(text) if isinstance(text, str) else None
                        if title and isinstance(thread, str):
                            found[thread] = (title, wanted[place])
            finally:
                connection.close()
        except sqlite.Error as error:
            log.info("Codex's own database of threads cannot be read now: %s", error)
        return found

    def _from_index(self) -> dict[str, tuple[str, str]]:
        path = os.path.join(self._home, "session_index.jsonl")
        found: dict[str, tuple[str, str]] = {}
        try:
            with open(path, "rb") as file:
                data = file.read(_MAX_INDEX)
        except OSError:
            return found
        for line in data.removeprefix(BOM).splitlines():
            try:
                entry = shortjson.mended(shortjson.loads(line.decode(errors="replace")))
            except (ValueError, RecursionError):
                continue
            if not isinstance(entry, dict):
                continue
            name, thread = entry.get("thread_name"), entry.get("id")
            title = one_line(name) if isinstance(name, str) else None
            if title and isinstance(thread, str):
                found[thread] = (title, "index")  # the last line of an id counts
        return found
