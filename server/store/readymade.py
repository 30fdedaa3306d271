"""The tables of a new usage.db, ready to be copied: to make them takes 110 statements and 5 ms.

Made at set-up by `python -m server.store.readymade`; where that was not done for these very
tables, a new database makes its own.
"""

from __future__ import annotations

import os

from server.lazy import suppress
from server.store import migrations, schema, sqlite

_FOLDER = os.path.dirname(__file__)  # noqa: PTH120 - a scan starts without pathlib
_BEGIN, _END = "tables-", ".db"


def _path() -> str:
    version = len(migrations.MIGRATIONS)
    return os.path.join(_FOLDER, f"{_BEGIN}{schema.FORM}-{version}{_END}")  # noqa: PTH118


def tables() -> bytes:
    """A database with every table and no row, at the newest schema; empty where none is ready."""
    try:
        with open(_path(), "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b""


def make() -> None:
    """Make the file that `tables` reads, and drop those of other tables."""
    path = _path()
    if os.path.exists(path):  # noqa: PTH110
        return
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)  # noqa: PTH108
    connection = sqlite.connect(new, isolation_level=None)
    connection.execute("begin")
    for statement in schema.USAGE:
        connection.execute(statement)
    connection.execute(f"pragma user_version = {len(migrations.MIGRATIONS)}")
    connection.execute("commit")
    connection.close()
    os.replace(new, path)  # noqa: PTH105
    for name in os.listdir(_FOLDER):  # noqa: PTH208
        if name.startswith(_BEGIN) and name.endswith(_END) and name != os.path.basename(path):  # noqa: PTH119
            os.unlink(os.path.join(_FOLDER, name))  # noqa: PTH108, PTH118


if __name__ == "__main__":
    make()
