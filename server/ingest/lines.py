"""Lines of both programs' logs: which can be used, their values, and titles of their texts."""

from __future__ import annotations

from codecs import utf_8_decode

from server import shortjson
from server.lazy import UTC, cache, datetime

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from typing import Any


@cache
def _searcher() -> Any:
    """What finds text at memory speed; everything works without it, more slowly."""
    try:  # here: with the compiled part it is rarely needed, and takes long to load
        from stringzilla import Str
    except ImportError:  # pragma: no cover - there is a wheel for every platform we build for
        return bytes
    return Str


def needle(text: str) -> Any:
    """A word as the search that is in use wants it."""
    return text if _searcher() is not bytes else text.encode()


MAX_NUMBER = 2**53
BOM = b"\xef\xbb\xbf"  # that some editors and shells begin a file with
MENDED = "mended_text"  # a line is kept, its bytes that are no UTF-8 replaced
_TITLE = 80
_MOST_TEXT = 1200  # bytes of a message that a title is made of
TITLE_SOURCE = 1200  # of a text; spaces and secrets in it become shorter
# Every secret is a long word, or stands beside one of these.
_LONG_WORD = 16
_SECRETS = (
    "pass", "pwd", "secret", "credential", "token", "key", "cookie", "auth", "bearer", "basic",
    "curl", "://", "--", "identified", "pw", "mysql", "mariadb",
    # … as other languages call a password (`redact` has the whole words)
    "kennwort", "contrase", "senha", "palavra", "wachtwoord", "hasło", "heslo", "lösenord",
    "adgangskode", "salasana", "jelszó", "parol", "şifre", "пароль", "κωδικ", "mật khẩu",
    "kata sandi", "كلمة", "סיסמה", "密码", "密碼", "口令", "パスワード", "비밀번호", "암호",
)  # fmt: skip
# What is part of every secret that may be of letters, slashes and a dot alone.
_LETTERED = (
    "dapi", "hook", "hvs.", "AKIA", "ASIA", "ABIA", "ACCA", "AIza", "SK", "SG.", "eyJ", "GOCSPX",
)  # fmt: skip
_TEXT_KEYS = (b'"message":', b'"text":')


def searchable(data: memoryview) -> Any:
    """Bytes that `needle`s can be found in."""
    return _searcher()(data)


def lines_of(data: memoryview) -> list[bytes]:
    """The whole lines of a piece."""
    return [line + b"\n" for line in bytes(data).split(b"\n")[:-1]]


def fault(line: bytes) -> str | None:
    """Why a line cannot be used, or `MENDED`; None when there is nothing to say of it.

    Bytes that are no UTF-8 do not cost the line: whoever decodes it replaces them.
    """
    text = line.strip(b" \t\r\n")
    if not text:
        return None
    if b"\0" in text:
        return "binary"
    mended = None
    try:
        text.decode()
    except UnicodeDecodeError:
        mended = MENDED
    try:
        if text.startswith(b'{"timestamp":"') and text.endswith(b"}"):
            return mended  # decoded if it turns out to be needed
        return mended if isinstance(as_json(text), dict) else "not_object"
    except RecursionError:
        return "too_deep"
    except ValueError:
        return "encoding" if mended else "not_json"


def as_json(line: bytes) -> Any:
    """A line's value; what is no text in it is replaced. Raises as `json.loads`."""
    return read_json(line)[0]


def read_json(line: bytes) -> tuple[Any, bool]:
    """A line's value as `as_json`, and whether half a surrogate pair in it was replaced."""
    value = shortjson.loads(line.decode(errors="replace"))
    if b"\\u" not in line or (b"\\ud" not in line and b"\\uD" not in line):
        return value, False
    whole = shortjson.mended(value)
    return whole, whole != value


def is_utf8(data: memoryview) -> bool:
    """Whether the bytes are text."""
    try:
        place = 0
        while place < len(data):  # small parts: large strings cost fresh memory each time
            part = data[place : place + 65536]
            place += utf_8_decode(part, "strict", len(part) < 65536)[1]
    except UnicodeDecodeError:
        return False
    return True


def time_ms(text: Any) -> int | None:
    """An ISO time (UTC when it names no zone) in milliseconds."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return round(moment.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None


def whole(value: Any) -> int | None:
    """A count: a whole number, or one written as text or with a point (`12.0`)."""
    if value is None:
        return None
    if type(value) is int:  # most are
        return value if 0 <= value <= MAX_NUMBER else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        return None
    return value


def title_of(line: bytes) -> str | None:
    """The title that the first message of a line gives; None where it gives none."""
    raw = _first_text(line)
    while raw:
        try:
            text = str(shortjson.loads(f'"{raw.decode()}"', strict=False))
            break
        except ValueError:  # cut inside an escape or a letter
            raw = raw[:-1]
    else:
        return None
    return one_line(text)


def _first_text(line: bytes) -> bytes:
    """The first message or text of a line that is not empty, as JSON, of about 600 letters."""
    begin = 0
    while found := [at for key in _TEXT_KEYS if (at := line.find(key, begin)) >= 0]:
        begin = line.index(b":", min(found)) + 1
        begin += line[begin : begin + 1] in (b" ", b"\t")
        if line[begin : begin + 1] == b'"' and (raw := _up_to_quote(line, begin + 1)):
            return raw
    return b""


def _up_to_quote(line: bytes, begin: int) -> bytes:
    """The bytes of a JSON text up to its end, or so many that a title can be made of them."""
    raw = line[begin : begin + _MOST_TEXT]
    end = raw.find(b'"')
    while end > 0 and (end - len(raw[:end].rstrip(b"\\"))) % 2:
        end = raw.find(b'"', end + 1)
    return raw if end < 0 else raw[:end]


def _maybe_secret(text: str) -> bool:
    low = text.lower()
    words = text.split()
    if max(map(len, words), default=0) >= _LONG_WORD and not all(
        len(word) < _LONG_WORD or _is_plain(word) for word in words
    ):
        return True
    for word in _SECRETS:  # noqa: SIM110 - `any` takes twice as long, for each title
        if word in low:
            return True
    return False


def _is_plain(word: str) -> bool:
    """Whether a long word is of letters, as a path is, and of no shape that a secret has."""
    letters = word.replace("/", "").replace(".", "", 1)
    return letters.isalpha() and letters.isascii() and not any(part in word for part in _LETTERED)


def one_line(text: str) -> str | None:
    """A title of at most 80 characters; None for what a program, not a person, wrote.

    Secrets are taken out of it here, before it is stored: every title is made here.
    """
    text = text.lstrip()[:TITLE_SOURCE]
    if _maybe_secret(text):
        from server.ingest.redact import redact  # here: most titles have none, and it takes long

        text = redact(text)
    words = " ".join(text.encode("utf-8", "replace").decode().split())
    if not words or words.startswith("<"):
        return None
    return words if len(words) <= _TITLE else words[: _TITLE - 1].rstrip() + "…"
