"""`json` for short-lived starts: its compiled parts, without what takes long to load.

The library's module makes patterns, and loads what makes patterns; that takes longer than to
read 25 MB of logs. Values, texts and errors are the library's own.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from json import dumps as dumps
    from json import loads as loads
    from typing import Any
else:
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner
    except ImportError:  # another Python
        from json import dumps, loads
    else:

        class _Strictly:
            strict = True
            object_hook = object_pairs_hook = None
            parse_float, parse_int, parse_constant = float, int, float  # float knows NaN

        class _Leniently(_Strictly):
            strict = False

        def _not_known(value):
            raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

        def _encoder(between, after):
            # No look for circles, no indentation, no sorting, no skipping; NaN is allowed.
            return make_encoder(
                None, _not_known, encode_basestring_ascii, None, after, between, False, False, True
            )

        _scanners = {True: make_scanner(_Strictly), False: make_scanner(_Leniently)}
        _encoders = {pair: _encoder(*pair) for pair in ((", ", ": "), (",", ":"))}

        def loads(text, *, strict=True):
            """What `json.loads` makes of a text."""
            whole = text.strip(" \t\n\r")
            try:
                value, end = _scanners[strict](whole, 0)
            except (StopIteration, SystemError):
                # The compiled scanner names its mistake by a class of `json.decoder`; where that
                # is not loaded yet, Python 3.11 raises SystemError instead.
                end = -1
            if end == len(whole):
                return value
            import json  # it says what is wrong

            return json.loads(text, strict=strict)

        def dumps(value, *, separators=(", ", ": ")):
            """What `json.dumps` makes of a value."""
            return "".join(_encoders[separators](value, 0))


def mended(value: Any) -> Any:
    """A JSON value whose texts can be stored: half a surrogate pair becomes U+FFFD.

    JSON permits `"\\ud800"`, but it is no character, and neither a database nor a file takes it.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)
    elif isinstance(value, dict):
        return {mended(key): mended(inner) for key, inner in value.items()}
    elif isinstance(value, list):
        return [mended(inner) for inner in value]
    return value
