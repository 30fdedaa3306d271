"""What the tray shows: a snapshot of `/api/tray` → menu rows, tooltip, what the icon is of.

Pure: the snapshot and `now` come in, values go out. `icon` draws, `alerts` tells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from desktop.icon import STATES, Bar, Mark, whole

UNKNOWN = "–"
USED_UP = "used up"
CREDITS = "served by credits"  # an account, or the pool, whose windows are used up
TOOLTIP_MAX = 127  # Windows cuts a longer one
_MINUTE = 60_000
_CELLS = 10


@dataclass(frozen=True)
class View:
    """Everything the tray knows at one moment."""

    snapshot: Mapping[str, Any] | None = None  # the last answer of /api/tray
    trouble: str | None = None  # why the server does not answer; None while it does
    can_start: bool = False  # the restart budget is spent: offer to start the server by hand
    hung: bool = False  # the server has its folder, but has not answered for long
    login: bool | None = False  # start at login is on; None where it is not offered (the demo)
    zone: tzinfo | None = None  # the user's, for clock times
    unheard: str | None = None  # why no alert can be shown; None where they can

    @property
    def choices(self) -> Mapping[str, Any]:
        """The user's settings for the tray; an older server sends none."""
        return (self.snapshot or {}).get("settings") or {}

    @property
    def accounts(self) -> Sequence[Mapping[str, Any]]:
        """The accounts of the snapshot."""
        return (self.snapshot or {}).get("accounts") or ()


@dataclass(frozen=True)
class Row:
    """One row of the menu. Without an action and children it is a fact that cannot be clicked."""

    text: str
    action: tuple[str, ...] = ()
    enabled: bool = True
    checked: bool | None = None
    radio: bool = False  # one of a group is checked
    default: bool = False
    children: tuple[Row, ...] = ()


SEPARATOR = Row("-")


# --- Words --------------------------------------------------------------------------------------


def countdown(milliseconds: int) -> str:
    """A duration as people say it: `42m`, `3h 07m`, `6d 2h`; never shorter than a minute."""
    minutes = max(1, -(-milliseconds // _MINUTE))
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes % 60:02d}m" if hours else f"{minutes}m"


def percent(value: float | None) -> str:
    """Percent left: whole, but never 0 while something is left nor 100 once something is used."""
    if value is None:
        return UNKNOWN
    return f"{whole(value, 100)}%"


def share(left: float | None, choices: Mapping[str, Any]) -> float | None:
    """A percentage as the user likes to count it: what is left, or what is used."""
    return left if left is None or choices.get("trayPercent") != "used" else 100.0 - left


def tokens(count: int | None) -> str:
    """A count of tokens in at most five characters: 950, 12.4 k, 3.1 M."""
    if count is None:
        return UNKNOWN
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size * 0.9995:
            return f"{count / size:.3g} {unit}"
    return str(count)


def money(dollars: float | None) -> str:
    """A cost in dollars and cents; something below a cent is said so."""
    if dollars is None:
        return UNKNOWN
    return "under $0.01" if 0 < dollars < 0.01 else f"${dollars:,.2f}"


def moment(text: str | None) -> int | None:
    """An ISO time of the API as milliseconds UTC; None for nothing or nonsense."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000) if text else None
    except (ValueError, TypeError, OverflowError):
        return None


def clock(at: int, now: int, zone: tzinfo | None) -> str:
    """A time of day, with the weekday when it is not today's: `16:04`, `Fri 16:04`."""
    then, today = (datetime.fromtimestamp(t / 1000, zone) for t in (at, now))
    if then.date() == today.date():
        return f"{then:%H:%M}"
    return f"{then:%a %H:%M}" if abs(then - today) < timedelta(days=6) else f"{then:%d %b %H:%M}"


def _bar(value: float | None) -> str:
    filled = 0 if value is None else whole(value, _CELLS)
    return "█" * filled + "░" * (_CELLS - filled)


def _until_reset(window: Mapping[str, Any], now: int) -> str | None:
    reset = moment(window.get("resetAt"))
    return countdown(reset - now) if reset is not None and reset > now else None


def long_name(window: Mapping[str, Any]) -> str:
    """What a window is called before a noun: `5-hour`, `weekly`."""
    return str(window.get("longName") or window["name"])


def _outlook(window: Mapping[str, Any], now: int, held: str | None = None) -> str:
    """What an old figure or the pace means for the user; nothing while it is too early to tell.

    `held`: what is said instead of a pace, as nothing is spent now; "" for no words at all.
    """
    if window.get("stale"):
        return "not fresh"
    if window.get("remainingPercent") is not None and window["remainingPercent"] <= 0:
        return USED_UP
    return _pace_words(window, now) if held is None else held


def _pace_words(window: Mapping[str, Any], now: int) -> str:
    pace = window.get("pace")
    if not pace:
        return ""
    ends, reset = moment(pace.get("runsOutAt")), moment(window.get("resetAt"))
    if ends is not None and ends > now and (reset is None or ends < reset):
        return f"runs out in {countdown(ends - now)}"
    if reset is not None and reset > now and window.get("remainingPercent"):
        return "lasts until reset"
    return str(pace.get("state") or "")


# --- Menu ---------------------------------------------------------------------------------------


def menu(view: View, now: int) -> tuple[Row, ...]:
    """The whole menu. Its shape changes only with the accounts, windows or kind of trouble.

    (A menu whose shape stays can be edited while it is open; see `livemenu`.)
    """
    alive = view.snapshot is not None and view.trouble is None
    parts = [_headline(view, now), tuple(_account_row(a, view, now) for a in view.accounts)]
    if view.accounts:
        parts.append(_for_all(view.accounts, alive))
    parts += [
        (Row("Open dashboard", ("open",), default=True), Row("Refresh now", ("refresh",))),
        _options(view, alive),
        (
            Row("Open log folder", ("logs",)),
            Row("Copy diagnostics", ("diagnostics",)),
        ),
        (Row("Quit", ("quit",)),),
    ]
    rows: list[Row] = []
    for part in parts:
        if part:
            rows += [SEPARATOR, *part] if rows else part
    return tuple(rows)


def _headline(view: View, now: int) -> tuple[Row, ...]:
    shot = view.snapshot
    if shot is None:
        return (_trouble_row(view),) if view.trouble is not None else ()
    rows = [Row(f"⚠ {text}", enabled=False) for text in list(shot.get("notices") or ())[:3]]
    # They can be clicked, as a desktop greys what cannot, and these are what people look for.
    page = "/" if view.accounts else "/accounts"
    rows += [Row(text, ("open", page)) for text in pool_rows(shot, now, view.zone)]
    # Trouble takes the place of today's figures: a row more would move all others under the cursor.
    last = Row(_today_row(shot, now), ("open", "/calls"))
    return (*rows, last if view.trouble is None else _trouble_row(view))


def _trouble_row(view: View) -> Row:
    if view.can_start:
        return Row(f"⚠ {view.trouble}: start it again", ("restart",))
    return Row(f"⚠ {view.trouble}", enabled=False)


def pool_rows(shot: Mapping[str, Any], now: int, zone: tzinfo | None = None) -> list[str]:
    """The pool in sentences, as the top of the menu and `brimline status` show it."""
    windows = ordered((shot.get("pool") or {}).get("windows"))
    if not shot.get("accounts"):
        return ["No account yet: add one in the dashboard"]
    choices = shot.get("settings") or {}
    held = _all_blocked(shot, now, zone)
    said = [_window_row(window, choices, now, held) for window in windows]
    if (shot.get("pool") or {}).get("onCredits"):
        said = [f"{row}, {CREDITS}" if row.endswith(USED_UP) else row for row in said]
    return said or [_no_windows(shot)]


def _all_blocked(shot: Mapping[str, Any], now: int, zone: tzinfo | None) -> str | None:
    """`blocked until 16:04` while no account in rotation may serve, by the first that may again."""
    if (shot.get("pool") or {}).get("state") != "spent":
        return None
    blocked = [a for a in shot.get("accounts") or () if a.get("status") in BLOCKED]
    ends = [at for a in blocked if (at := moment(a.get("blockedUntil"))) is not None and at > now]
    if not blocked:
        return None
    return f"blocked until {clock(min(ends), now, zone)}" if ends else "blocked"


def _no_windows(shot: Mapping[str, Any]) -> str:
    """Why there is no allowance to show; it is not a lack of knowledge when nothing can serve."""
    states = {account.get("status") for account in shot["accounts"]}
    if states == {"paused"}:
        return "All accounts are paused: resume one"
    if states <= {"sign_in_needed", "deactivated"}:
        return "Every account needs a new sign-in"
    if states <= {"paused", "sign_in_needed", "deactivated"}:
        return "No account can serve: each is paused or needs a sign-in"
    return "Allowance: not known yet"


def ordered(windows: Any) -> list[Mapping[str, Any]]:
    """Windows from the shortest to the longest; a length that is not known comes last."""
    return sorted(windows or (), key=lambda window: window.get("windowMinutes") or 1 << 30)


def _window_row(
    window: Mapping[str, Any], choices: Mapping[str, Any], now: int, held: str | None
) -> str:
    shown = share(window.get("remainingPercent"), choices)
    # The bar first: menus have proportional letters, and bars of one length start the column.
    said = [f"{_bar(shown)}   {window['name']} {_shown(window, choices)}"]
    reset = _until_reset(window, now)
    if reset:
        said.append(f"resets in {reset}")
    outlook = _outlook(window, now, held)
    return "  ·  ".join([*said, outlook] if outlook else said)


def _today_row(shot: Mapping[str, Any], now: int) -> str:
    today = shot.get("today") or {}
    said = f"Today   {tokens(today.get('tokens'))} tokens  ·  {money(today.get('costUsd'))}"
    at = _observed(shot)
    return said if at is None else f"{said}  ·  updated {ago(now - at)}"


def _observed(shot: Mapping[str, Any]) -> int | None:
    """When the newest of the shown figures was learned from the provider."""
    windows = (shot.get("pool") or {}).get("windows") or ()
    known = [at for window in windows if (at := moment(window.get("observedAt"))) is not None]
    return max(known, default=None)


def ago(milliseconds: int) -> str:
    """How long ago, in steps that do not make a menu restless."""
    if milliseconds < _MINUTE:
        return "just now"
    minutes = milliseconds // _MINUTE
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days}d ago"
    return f"{hours}h ago" if hours else f"{minutes}m ago"


_STATES = {
    "rate_limited": "blocked",
    "quota_exceeded": "spent",
    "sign_in_needed": "sign in again",
    "deactivated": "deactivated",
}


BLOCKED = ("rate_limited", "quota_exceeded")  # for a while, by a used-up window or the provider
_PAUSABLE = ("active", *BLOCKED)


def account_name(account: Mapping[str, Any], view: View) -> str:
    """What an account is called; with addresses hidden, by its place in the list."""
    name = str(account.get("name"))
    if "@" not in name or not view.choices.get("trayHideAddresses"):
        return name
    ids = [each.get("id") for each in view.accounts]
    return f"Account {ids.index(account.get('id')) + 1}" if account.get("id") in ids else "Account"


def account_state(account: Mapping[str, Any], now: int, zone: tzinfo | None) -> str:
    """What keeps the account from serving, or the worst level of its windows; "" when well."""
    status = account.get("status")
    if status == "paused":
        until = moment(account.get("pausedUntil"))
        return f"paused until {clock(until, now, zone)}" if until else "paused"
    if status in _STATES:
        until = moment(account.get("blockedUntil"))
        worst = _worst_level({"windows": _standard(account)})
        word = "spent" if status == "rate_limited" and worst == "spent" else _STATES[status]
        return word + (f" until {clock(until, now, zone)}" if until else "")
    return CREDITS if account.get("onCredits") else _worst_level(account)


def _worst_level(account: Mapping[str, Any]) -> str:
    levels = {window.get("level") for window in account.get("windows") or ()}
    return next((level for level in ("spent", "critical", "low") if level in levels), "")


def account_line(account: Mapping[str, Any], view: View, now: int) -> str:
    """One account in one line: `● work@   5 h 62% (2h 05m) · week 41% (3d 4h)   low`.

    The dot: it serves now; the cross: it is blocked, and the end of the line says until when.
    In brackets: how long until the window starts afresh.
    """
    windows = ordered(account.get("windows"))
    figures = " · ".join(_short(window, view.choices, now) for window in windows)
    mark = "● " if account.get("serving") else ""
    mark = "✕ " if account.get("status") in BLOCKED else mark
    state = account_state(account, now, view.zone)
    parts = [mark + account_name(account, view), figures or UNKNOWN, state]
    return "   ".join(part for part in parts if part)


def _account_row(account: Mapping[str, Any], view: View, now: int) -> Row:
    key = str(account["id"])
    status = account.get("status")
    can_pause = status in _PAUSABLE
    facts = [Row(fact, enabled=False) for fact in _facts(account, view, now)]
    rows = [
        *facts,
        *([SEPARATOR] if facts else ()),
        # The plain word comes first, and is what the pages' own button does: until resumed.
        Row("Pause", ("pause", key), can_pause),
        Row("Pause for 1 hour", ("pause", key, "1h"), can_pause),
        Row("Pause until reset", ("pause", key, "reset"), can_pause and _has_reset(account, now)),
        Row("Resume", ("resume", key), status == "paused"),
        Row("Only this one", ("only", key), _can_be_alone(account, view)),
        Row("Open", ("open", f"/accounts/{key}")),
    ]
    return Row(account_line(account, view, now), children=tuple(rows))


def _facts(account: Mapping[str, Any], view: View, now: int) -> list[str]:
    """What the submenu of an account says before its verbs."""
    word = "used" if view.choices.get("trayPercent") == "used" else "left"
    said = []
    held = None if account.get("status") == "active" else ""
    for window in ordered(account.get("windows")):
        shown = percent(share(window.get("remainingPercent"), view.choices))
        outlook = _outlook(window, now, held)
        fact = f"{window['name']}: {shown} {word}{reset_tail(window, now)}"
        said.append(f"{fact}, {outlook}" if outlook else fact)
    said += _credits(account.get("credits") or {})
    if account.get("availableResetCredits"):
        said.append(f"Resets to use: {account['availableResetCredits']}")
    if account.get("statusReason"):
        said.append(str(account["statusReason"])[:120])
    return said


def _credits(credits: Mapping[str, Any]) -> list[str]:
    balance = credits.get("balance")
    if credits.get("unlimited"):
        return ["Credits: unlimited"]
    if balance is None:
        return ["Credits: there are some"] if credits.get("has") else []
    if not (credits.get("has") or balance > 0):
        return []
    return ["Credits: " + f"{balance:,.2f}".rstrip("0").rstrip(".")]


def _can_be_alone(account: Mapping[str, Any], view: View) -> bool:
    """Whether “Only this one” would change something: it can serve, and another one does too."""
    if account.get("status") not in (*_PAUSABLE, "paused"):
        return False
    alone = only(view.accounts, str(account["id"]))
    return len(view.accounts) > 1 and bool(alone)


def only(accounts: Sequence[Mapping[str, Any]], key: str) -> list[tuple[str, str]]:
    """The verbs that leave account `key` as the only one in rotation: (verb, account id)."""
    verbs = [
        ("resume", key) for a in accounts if a.get("id") == key and a.get("status") == "paused"
    ]
    others = [a for a in accounts if a.get("id") != key and a.get("status") in _PAUSABLE]
    return [*verbs, *(("pause", str(a["id"])) for a in others)]


def reset_tail(window: Mapping[str, Any], now: int) -> str:
    """`, resets in 2h 05m`, or nothing when that is not known."""
    reset = _until_reset(window, now)
    return f", resets in {reset}" if reset else ""


def _has_reset(account: Mapping[str, Any], now: int) -> bool:
    return any(_until_reset(window, now) for window in account.get("windows") or ())


def _for_all(accounts: Sequence[Mapping[str, Any]], alive: bool) -> tuple[Row, ...]:
    states = {account.get("status") for account in accounts}
    return (
        Row("Pause all", ("pause", "*"), alive and bool(states.intersection(_PAUSABLE))),
        Row("Resume all", ("resume", "*"), alive and "paused" in states),
    )


# --- Choices ------------------------------------------------------------------------------------

_FOLLOWS = (
    ("The pool", "pool"),
    ("The account that serves", "serving"),
    ("The lowest account", "worst"),
)
_STYLES = (("Bars", "bars"), ("Number", "number"))
_PERCENTS = (("Percent left", "left"), ("Percent used", "used"))
_SWITCHES = (
    ("50 and 20% left", "alertLow"),
    ("Used up", "alertSpent"),
    ("Back again", "alertBack"),
    ("An account is spent", "alertMoved"),
    ("Sign-in needed", "alertSignIn"),
    ("Server trouble", "alertServer"),
)
_QUIET_HOURS = ((0, 0), (22, 7), (20, 8), (18, 9))


def _options(view: View, alive: bool) -> tuple[Row, ...]:
    choices = view.choices
    hidden = bool(choices.get("trayHideAddresses"))
    return (
        Row("Icon", enabled=alive, children=_icon_rows(view, alive)),
        Row("Alerts", enabled=alive, children=_alert_rows(view, alive)),
        Row("Hide addresses", _set(trayHideAddresses=not hidden), alive, checked=hidden),
        Row("Start at login", ("login",), view.login is not None, checked=bool(view.login)),
    )


def _set(**values: Any) -> tuple[str, ...]:
    return ("set", json.dumps(values))


def _icon_rows(view: View, alive: bool) -> tuple[Row, ...]:
    choices = view.choices
    pinned = [(account_name(a, view), str(a["id"])) for a in view.accounts]
    follows = str(choices.get("trayFollows", "pool"))
    if follows not in {value for _, value in (*_FOLLOWS, *pinned)}:
        follows = "pool"  # the pinned account is gone
    return (
        *_one_of((*_FOLLOWS, *pinned), follows, "trayFollows", alive),
        SEPARATOR,
        *_one_of(_STYLES, choices.get("trayStyle", "bars"), "trayStyle", alive),
        SEPARATOR,
        *_one_of(_PERCENTS, choices.get("trayPercent", "left"), "trayPercent", alive),
    )


def _one_of(
    options: Sequence[tuple[str, str]], chosen: str, key: str, alive: bool
) -> tuple[Row, ...]:
    return tuple(
        Row(text, _set(**{key: value}), alive, checked=value == chosen, radio=True)
        for text, value in options
    )


def _alert_rows(view: View, alive: bool) -> tuple[Row, ...]:
    choices = view.choices
    said = (view.unheard or "").split("; ")  # what is missing; how to get it
    unheard = [Row(part[:1].upper() + part[1:], enabled=False) for part in said if part]
    unheard += [SEPARATOR] if unheard else []
    switches = [
        Row(text, _set(**{key: not choices.get(key, True)}), alive, choices.get(key, True))
        for text, key in _SWITCHES
    ]
    now = (choices.get("quietFrom") or 0, choices.get("quietTo") or 0)
    now = (0, 0) if now[0] == now[1] else now
    hours = _QUIET_HOURS if now in _QUIET_HOURS else (*_QUIET_HOURS, now)
    quiet = [
        Row(
            _quiet_words(start, end),
            _set(quietFrom=start, quietTo=end),
            alive,
            checked=(start, end) == now,
            radio=True,
        )
        for start, end in hours
    ]
    return (*unheard, *switches, SEPARATOR, *quiet)


def _quiet_words(start: int, end: int) -> str:
    return "No quiet hours" if start == end else f"Quiet from {start}:00 to {end}:00"


# --- Tooltip ------------------------------------------------------------------------------------


def tooltip(view: View, now: int) -> str:
    """One line of at most 127 characters: the shown windows with their resets, and who is low."""
    if view.trouble is not None:
        return _cut(f"Brimline: {view.trouble}")
    if not view.accounts:
        return "Brimline: no account yet"
    shown = followed(view)
    said = [_short(window, view.choices, now) for window in shown.windows]
    line = f"Brimline  {shown.name}" + (" · ".join(said) or f"allowance {UNKNOWN}")
    state = CREDITS if shown.on_credits else _STATE_WORDS.get(shown.state)
    if shown.state == "spent" and not _spent(shown.windows):
        state = _blocked_words(shown, view, now)
    if state:
        line += f" · {state}"
    worst = _worst(view, now)
    if worst and len(line) + len(worst) + 3 <= TOOLTIP_MAX:
        line += f" · {worst}"
    return _cut(line)


_STATE_WORDS = {
    "paused": "paused",
    "stale": "not fresh",
    "sign_in_needed": "sign in again",
}


def _blocked_words(shown: Followed, view: View, now: int) -> str | None:
    """What holds back an account or a pool whose windows show room."""
    if shown.account is not None:
        return account_state(shown.account, now, view.zone)
    return _all_blocked(view.snapshot or {}, now, view.zone)


def _short(window: Mapping[str, Any], choices: Mapping[str, Any], now: int) -> str:
    reset = _until_reset(window, now)
    said = f"{window['name']} {_shown(window, choices)}"
    return f"{said} ({reset})" if reset else said


def _shown(window: Mapping[str, Any], choices: Mapping[str, Any]) -> str:
    """A window's percentage as the user counts it; what is used is said to be that."""
    used = " used" if choices.get("trayPercent") == "used" else ""
    return percent(share(window.get("remainingPercent"), choices)) + used


def _worst(view: View, now: int) -> str | None:
    order = ("spent", "critical", "low")
    found: list[tuple[int, str]] = []
    for account in view.accounts:
        state = account_state(account, now, view.zone)
        if state in order or account.get("status") in _STATES:
            place = order.index(state) if state in order else 0
            found.append((place, f"{account_name(account, view)} {state}"))
    return min(found)[1] if found else None


def _cut(line: str) -> str:
    return line if len(line) <= TOOLTIP_MAX else line[: TOOLTIP_MAX - 1] + "…"


# --- What the icon is of ------------------------------------------------------------------------


@dataclass(frozen=True)
class Followed:
    """Whose allowance the icon shows: a name to say first, windows, and a state."""

    name: str
    windows: tuple[Mapping[str, Any], ...]
    state: str
    on_credits: bool = False
    account: Mapping[str, Any] | None = None  # None for the pool


def followed(view: View) -> Followed:
    """The pool or an account, as the user chose; the pool where there is no such account."""
    account = _chosen_account(view)
    if account is None:
        pool = (view.snapshot or {}).get("pool") or {}
        windows = tuple(ordered(pool.get("windows")))
        state = str(pool.get("state") or "unknown")
        return Followed("", windows, state, bool(pool.get("onCredits")) and _spent(windows))
    name = f"{account_name(account, view)}: "
    paid = bool(account.get("onCredits"))
    return Followed(name, tuple(_standard(account)), _icon_state(account), paid, account)


def _spent(windows: Sequence[Mapping[str, Any]]) -> bool:
    return any(window.get("level") == "spent" for window in windows)


def _chosen_account(view: View) -> Mapping[str, Any] | None:
    wanted = str(view.choices.get("trayFollows", "pool"))
    if wanted == "serving":
        fits = [account for account in view.accounts if account.get("serving")]
    elif wanted == "worst":
        fits = sorted(
            (a for a in view.accounts if a.get("status") in _PAUSABLE and _least(a) is not None),
            key=lambda account: _least(account) or 0.0,
        )
    else:
        fits = [account for account in view.accounts if account.get("id") == wanted]
    return fits[0] if fits else None


def _standard(account: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # A window with a colon in its key limits one named model only.
    return [w for w in ordered(account.get("windows")) if ":" not in str(w.get("key"))]


def _least(account: Mapping[str, Any]) -> float | None:
    known = [w.get("remainingPercent") for w in _standard(account)]
    return min((left for left in known if left is not None), default=None)


def _icon_state(account: Mapping[str, Any]) -> str:
    status = account.get("status")
    by_status = {
        "paused": "paused",
        "sign_in_needed": "sign_in_needed",
        "deactivated": "sign_in_needed",
        "rate_limited": "spent",
        "quota_exceeded": "spent",
    }
    if status in by_status:
        return by_status[status]
    windows = _standard(account)
    if not windows:
        return "unknown"
    if all(window.get("stale") for window in windows):
        return "stale"
    worst = _worst_level({"windows": windows}) or "ok"
    return "low" if worst == "spent" and account.get("onCredits") else worst


def mark(view: View) -> Mark:
    """The icon of a view. Percentages are rounded, so that it is redrawn only when it shows."""
    shown = followed(view)
    bars = tuple(_icon_bar(window, view.choices) for window in shown.windows[:2])
    state = "down" if view.trouble is not None else shown.state
    return Mark(
        bars or Mark().bars,
        state if state in STATES else "unknown",
        _digits(shown.windows, view.choices),
    )


def _icon_bar(window: Mapping[str, Any], choices: Mapping[str, Any]) -> Bar:
    pace = window.get("pace") or {}
    fill = share(window.get("remainingPercent"), choices)
    even = share(pace.get("expectedRemaining"), choices)
    return Bar(
        None if fill is None else whole(fill, 100),
        None if even is None else round(even / 4) * 4,
        str(window.get("level") or "ok"),
    )


def _digits(windows: Sequence[Mapping[str, Any]], choices: Mapping[str, Any]) -> str | None:
    """The number of the window that ends the work first; None while the icon is of bars."""
    if choices.get("trayStyle") != "number":
        return None
    known = [left for w in windows if (left := w.get("remainingPercent")) is not None]
    if not known:
        return UNKNOWN
    return str(whole(share(min(known), choices) or 0.0, 100))
