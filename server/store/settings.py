"""The runtime settings: one list that the API, the page and the docs read."""

from __future__ import annotations

from server import shortjson
from server.errors import Unprocessable
from server.lazy import NamedTuple, contextmanager
from server.store import db

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Option(NamedTuple):
    """One setting: its JSON key, default, and what it accepts."""

    key: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    pattern: str = ""  # of a text that is not just any text


STRATEGIES = (
    "capacity_weighted",
    "usage_weighted",
    "round_robin",
    "fill_first",
    "reset_drain",
    "single_account",
)
OPTIONS = [
    Option("stickyThreadsEnabled", True, "Keep a thread on its account while it can serve it."),
    Option("preferEarlierResetAccounts", False, "Prefer the account whose week resets first."),
    Option("routingStrategy", "capacity_weighted", "Who serves a new thread.", STRATEGIES),
    Option("singleAccountId", None, "The account that the single-account strategy uses."),
    Option("importWithoutOverwrite", False, "Import the same identity again as a new account."),
    Option("apiKeyAuthEnabled", False, "Ask clients of the proxy for an API key."),
    Option("totpRequiredOnLogin", False, "Ask for a one-time code after the password."),
    Option("ambiguousRetry", True, "Retry once when it is unclear whether a request was taken."),
    Option("streamsPerAccount", 600, "Streams at once on one account.", low=1, high=600),
    Option("usagePollSeconds", 60, "How often the allowance is asked.", low=15, high=3600),
    Option("requestLogDays", 90, "Days the request log is kept; 0 for ever.", low=0, high=3650),
    Option("timeZone", "", "The zone that days are counted in; empty is this computer's."),
    Option("privacyMode", "normal", "What pages show.", ("normal", "redacted", "strict")),
    Option("language", "", "The language of pages; empty follows the system."),
    Option("indexLogs", True, "Read the session logs of Codex and Claude Code."),
    Option("showEvidence", True, "Show a call's log lines on its page."),
    Option("telemetryDays", 90, "Days telemetry is kept; 0 for ever.", low=0, high=3650),
    Option("telemetryRows", 500_000, "Most telemetry events kept.", low=1000, high=20_000_000),
    Option(
        "telemetryRelayUrl",
        "",
        "Another OTLP collector that gets a copy; empty is none.",
        pattern=r"(https?://[^\s@?#]+)?",
    ),
    Option("trayFollows", "pool", "Whose allowance the icon shows: pool, serving, worst or an id."),
    Option("trayStyle", "bars", "What the icon is.", ("bars", "number")),
    Option("trayPercent", "left", "What percentages in the tray count.", ("left", "used")),
    Option("trayHideAddresses", False, "Leave e-mail addresses out of the tray."),
    Option("alertLow", True, "Tell when 50 and 20% are left."),
    Option("alertSpent", True, "Tell when an allowance is used up."),
    Option("alertBack", True, "Tell when an allowance or an account is back."),
    Option("alertMoved", True, "Tell when an account is spent and work moves to another."),
    Option("alertSignIn", True, "Tell when an account must sign in again."),
    Option("alertServer", True, "Tell when the server is in trouble."),
    Option("quietFrom", 0, "The hour in which alerts fall silent.", low=0, high=23),
    Option(
        "quietTo", 0, "The hour in which they speak again; the same hour: never.", low=0, high=23
    ),
]
# What the tray is told with every look; the last ones are its alerts.
TRAY = [option.key for option in OPTIONS if option.key.startswith(("tray", "alert", "quiet"))]
_BY_KEY = {option.key: option for option in OPTIONS}
_cache: dict[str, Any] = {}
_held: dict[str, Any] = {}  # for this run only


def load() -> None:
    """Read the stored values into memory; readers never wait for the database."""
    stored = {
        name: shortjson.loads(value) for name, value in db.rows("select name, value from setting")
    }
    _cache.clear()
    _cache.update({k: v for k, v in stored.items() if k in _BY_KEY})


def get(key: str) -> Any:
    """The value of a setting: what the user chose, else the default."""
    return _held.get(key, _cache.get(key, _BY_KEY[key].default))


@contextmanager
def held(key: str, value: Any) -> Iterator[None]:
    """Let a setting have this value in the block, until somebody changes it; nothing is stored."""
    _held[key] = _checked(_BY_KEY[key], value)
    try:
        yield
    finally:
        _held.pop(key, None)


def everything() -> dict[str, Any]:
    """All settings by key."""
    return {option.key: get(option.key) for option in OPTIONS}


def check(key: str, value: Any) -> None:
    """Raise `Unprocessable` for a value that does not fit, `KeyError` for an unknown key."""
    _checked(_BY_KEY[key], value)


def change(values: dict[str, Any]) -> dict[str, Any]:
    """Store the given settings and return all; keys that are not settings are ignored.

    (The API's GET → edit → PUT round trip carries read-only keys, as codex-lb's does.)
    Raises `Unprocessable` naming the first value that does not fit; then nothing is stored.
    """
    wanted = {key: _checked(_BY_KEY[key], value) for key, value in values.items() if key in _BY_KEY}
    with db.writing("settings") as connection:
        for key, value in wanted.items():
            if value == _BY_KEY[key].default:
                connection.execute("delete from setting where name = ?", (key,))
            else:
                connection.execute(
                    "replace into setting values (?, ?)", (key, shortjson.dumps(value))
                )
    for key, value in wanted.items():
        _held.pop(key, None)
        _cache[key] = value
    return everything()


def _checked(option: Option, value: Any) -> Any:
    if option.choices:
        fits = isinstance(value, str) and value in option.choices
        expected = "one of " + ", ".join(option.choices)
    elif isinstance(option.default, bool):
        fits, expected = isinstance(value, bool), "true or false"
    elif isinstance(option.default, int):
        number = isinstance(value, int) and not isinstance(value, bool)
        fits = number and (option.low or 0) <= value <= (option.high or 2**53)
        expected = f"a whole number from {option.low:g} to {option.high:g}"
    else:
        fits = (value is None and option.default is None) or (
            isinstance(value, str) and len(value) <= 255
        )
        expected = "text of at most 255 characters"
        if option.key == "timeZone":
            fits = fits and (value == "" or _zone(value))
            expected = "the name of a time zone such as Europe/Berlin, or empty for this computer's"
        if option.pattern:
            import re  # here: most settings have none

            fits = fits and bool(re.fullmatch(option.pattern, str(value or "")))
            expected = "an http(s) address without credentials, or empty"
    if not fits:
        raise Unprocessable(f"{option.key} must be {expected}.")
    return value


def _zone(name: str) -> bool:
    """Whether this computer knows a time zone of that name."""
    from zoneinfo import ZoneInfo  # here: most settings are read without it

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
