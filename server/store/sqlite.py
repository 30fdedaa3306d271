"""What we use of `sqlite3`, whose own module loads `datetime` for conversions we do not use."""

from __future__ import annotations

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3 as _sqlite
else:
    import sys

    def _library():
        """`_sqlite3` without what it loads for one word.

        It takes `lru_cache` from `functools`, which loads others for longer than all of SQLite
        takes. In a process that has no `functools` yet there is one with that word alone, for
        this moment.
        """
        if "functools" in sys.modules:
            import _sqlite3

            return _sqlite3
        from _functools import _lru_cache_wrapper

        def lru_cache(maxsize=128, typed=False):
            return lambda make: _lru_cache_wrapper(make, maxsize, typed, tuple)

        sys.modules["functools"] = small = type(sys)("functools")
        small.lru_cache = lru_cache
        try:
            import _sqlite3
        finally:
            del sys.modules["functools"]
        return _sqlite3

    try:
        _sqlite = _library()
    except ImportError:  # another Python
        import sqlite3 as _sqlite

Connection = _sqlite.Connection
DatabaseError = _sqlite.DatabaseError
Error = _sqlite.Error
IntegrityError = _sqlite.IntegrityError
OperationalError = _sqlite.OperationalError
ProgrammingError = _sqlite.ProgrammingError
connect = _sqlite.connect
