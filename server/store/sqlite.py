"""What we use of `sqlite3`, whose own module loads `datetime` for conversions we do not use."""

from __future__ import annotations

__all__ = [
    "Connection", "DatabaseError", "Error", "OperationalError", "ProgrammingError", "connect",
]  # fmt: skip

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from sqlite3 import (
        Connection,
        DatabaseError,
        Error,
        OperationalError,
        ProgrammingError,
        connect,
    )
else:
    try:
        from _sqlite3 import (
            Connection,
            DatabaseError,
            Error,
            OperationalError,
            ProgrammingError,
            connect,
        )
    except ImportError:  # another Python
        from sqlite3 import (
            Connection,
            DatabaseError,
            Error,
            OperationalError,
            ProgrammingError,
            connect,
        )
