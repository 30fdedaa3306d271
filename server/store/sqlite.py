"""What we use of `sqlite3`, whose own module loads `datetime` for conversions we do not use."""

from __future__ import annotations

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3 as _sqlite
else:
    try:
        import _sqlite3 as _sqlite
    except ImportError:  # another Python
        import sqlite3 as _sqlite

Connection = _sqlite.Connection
DatabaseError = _sqlite.DatabaseError
Error = _sqlite.Error
IntegrityError = _sqlite.IntegrityError
OperationalError = _sqlite.OperationalError
ProgrammingError = _sqlite.ProgrammingError
connect = _sqlite.connect
