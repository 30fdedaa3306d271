"""What the tray shows: a snapshot of `/api/tray` → menu rows, tooltip, icon picture, alerts.

Pure: the snapshot and `now` come in, values go out. The icon is the headroom meter in small: the
shorter window over the longer one, each bar filled with the percent *left*, and a tick where an
even pace would be. A state is a shape as well as a colour, so that it can be told without colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

from PIL import Image, ImageChops, ImageDraw

UNKNOWN = "–"
TOOLTIP_MAX = 127  # Windows cuts a longer one
_MINUTE = 60_000
_CELLS = 10


@dataclass(frozen=True)
class View:
    """Everything the tray knows at one moment."""

    snapshot: Mapping[str, Any] | None = None  # the last answer of /api/tray
    trouble: str | None = None  # why the server does not answer; None while it does
    can_start: bool = False  # the restart budget is spent: offer to start the server by hand
    login: bool = False  # start at login is on
    zone: tzinfo | None = None  # the user's, for clock times


@dataclass(frozen=True)
class Row:
    """One row of the menu. Without an action and children it is a fact that cannot be clicked."""

    text: str
    action: tuple[str, ...] = ()
    enabled: bool = True
    checked: bool | None = None
    default: bool = False
    children: tuple[Row, ...] = ()


SEPARATOR = Row("-")


@dataclass(frozen=True)
class Alert:
    """One notification: a title and a sentence."""

    title: str
    text: str


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
    return f"{_whole(value, 100)} %"


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


def _whole(value: float, top: int) -> int:
    """`value` percent in steps of 100/top; only a true 0 is 0 and only a true 100 is full."""
    if value <= 0:
        return 0
    if value >= 100:
        return top
    return min(top - 1, max(1, round(value * top / 100)))


def _bar(value: float | None) -> str:
    filled = 0 if value is None else _whole(value, _CELLS)
    return "█" * filled + "░" * (_CELLS - filled)


def _until_reset(window: Mapping[str, Any], now: int) -> str | None:
    reset = moment(window.get("resetAt"))
    return countdown(reset - now) if reset is not None and reset > now else None


def _pace_words(window: Mapping[str, Any], now: int) -> str:
    """What the pace means for the user; nothing while it is too early to tell."""
    pace = window.get("pace")
    if not pace:
        return ""
    ends, reset = moment(pace.get("runsOutAt")), moment(window.get("resetAt"))
    if ends is not None and ends > now and (reset is None or ends < reset):
        return f"runs out in {countdown(ends - now)}"
    return str(pace.get("state") or "")


# --- Menu ---------------------------------------------------------------------------------------


def menu(view: View, now: int) -> tuple[Row, ...]:
    """The whole menu. Its shape changes only with the accounts, windows or kind of trouble.

    (A menu whose shape stays can be edited while it is open; see `livemenu`.)
    """
    shot = view.snapshot or {}
    accounts = list(shot.get("accounts") or ())
    parts = [_headline(view, now), tuple(_account_row(a, now, view.zone) for a in accounts)]
    alive = view.snapshot is not None and view.trouble is None
    if accounts:
        parts.append(_for_all(accounts, alive))
    parts.append(
        (
            Row("Open dashboard", ("open",), default=True),
            Row("Refresh now", ("refresh",)),
            Row("Start at login", ("login",), checked=view.login),
        )
    )
    parts.append((Row("Quit", ("quit",)),))
    rows: list[Row] = []
    for part in parts:
        if part:
            rows += [SEPARATOR, *part] if rows else part
    return tuple(rows)


def _headline(view: View, now: int) -> tuple[Row, ...]:
    rows = []
    if view.trouble is not None:
        rows.append(Row(view.trouble, enabled=False))
        if view.can_start:
            rows.append(Row("Start the server again", ("restart",)))
    shot = view.snapshot
    if shot is None:
        return tuple(rows)
    rows += [Row(f"⚠ {text}", enabled=False) for text in list(shot.get("notices") or ())[:3]]
    action = () if shot.get("accounts") else ("open", "/accounts")
    rows += [Row(text, action, bool(action)) for text in pool_rows(shot, now, view.zone)]
    rows.append(Row(_today_row(shot, now, view.zone), enabled=False))
    return tuple(rows)


def pool_rows(shot: Mapping[str, Any], now: int, zone: tzinfo | None) -> list[str]:
    """The pool in sentences, as the top of the menu and `brimline status` show it."""
    windows = ordered((shot.get("pool") or {}).get("windows"))
    if not shot.get("accounts"):
        return ["No account yet: add one in the dashboard"]
    return [_window_row(window, now) for window in windows] or ["Allowance: not known yet"]


def ordered(windows: Any) -> list[Mapping[str, Any]]:
    """Windows from the shortest to the longest; a length that is not known comes last."""
    return sorted(windows or (), key=lambda window: window.get("windowMinutes") or 1 << 30)


def _window_row(window: Mapping[str, Any], now: int) -> str:
    left = window.get("remainingPercent")
    # The bar first: menus have proportional letters, and bars of one length start the column.
    said = [f"{_bar(left)}   {window['name']} {percent(left)}"]
    reset = _until_reset(window, now)
    if reset:
        said.append(f"resets in {reset}")
    if window.get("stale"):
        said.append("not fresh")
    elif _pace_words(window, now):
        said.append(_pace_words(window, now))
    return "  ·  ".join(said)


def _today_row(shot: Mapping[str, Any], now: int, zone: tzinfo | None) -> str:
    today = shot.get("today") or {}
    said = f"Today   {tokens(today.get('tokens'))} tokens  ·  {money(today.get('costUsd'))}"
    at = moment(shot.get("updatedAt"))
    return said if at is None else f"{said}  ·  updated {clock(at, now, zone)}"


_STATES = {
    "rate_limited": "blocked",
    "quota_exceeded": "spent",
    "sign_in_needed": "sign in again",
    "deactivated": "deactivated",
}


_PAUSABLE = ("active", "rate_limited", "quota_exceeded")


def account_state(account: Mapping[str, Any], now: int, zone: tzinfo | None) -> str:
    """What keeps the account from serving, or the worst level of its windows; "" when well."""
    status = account.get("status")
    if status == "paused":
        until = moment(account.get("pausedUntil"))
        return f"paused until {clock(until, now, zone)}" if until else "paused"
    if status in _STATES:
        until = moment(account.get("blockedUntil"))
        return _STATES[status] + (f" until {clock(until, now, zone)}" if until else "")
    levels = {window.get("level") for window in account.get("windows") or ()}
    return next((level for level in ("spent", "critical", "low") if level in levels), "")


def account_line(account: Mapping[str, Any], now: int, zone: tzinfo | None) -> str:
    """One account in one line: `● work@   5 h 62 % · week 41 %   low`; the dot: it serves now."""
    windows = ordered(account.get("windows"))
    figures = " · ".join(f"{w['name']} {percent(w.get('remainingPercent'))}" for w in windows)
    mark = "● " if account.get("serving") else ""
    parts = [mark + str(account.get("name")), figures or UNKNOWN, account_state(account, now, zone)]
    return "   ".join(part for part in parts if part)


def _account_row(account: Mapping[str, Any], now: int, zone: tzinfo | None) -> Row:
    key = str(account["id"])
    paused = account.get("status") == "paused"
    can_pause = account.get("status") in _PAUSABLE
    facts = [
        Row(
            f"{w['name']}: {percent(w.get('remainingPercent'))} left{_reset_tail(w, now)}",
            (),
            False,
        )
        for w in ordered(account.get("windows"))
    ]
    if account.get("statusReason"):
        facts.append(Row(str(account["statusReason"])[:120], enabled=False))
    rows = [
        *facts,
        *([SEPARATOR] if facts else ()),
        Row("Pause", ("pause", key), can_pause),
        Row("Pause for 1 hour", ("pause", key, "1h"), can_pause),
        Row("Pause until reset", ("pause", key, "reset"), can_pause and _has_reset(account, now)),
        Row("Resume", ("resume", key), paused),
        Row("Open", ("open", f"/accounts/{key}")),
    ]
    return Row(account_line(account, now, zone), children=tuple(rows))


def _reset_tail(window: Mapping[str, Any], now: int) -> str:
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


# --- Tooltip ------------------------------------------------------------------------------------


def tooltip(view: View, now: int) -> str:
    """One line of at most 127 characters: the pool's windows with their resets, and who is low."""
    if view.trouble is not None:
        return _cut(f"Brimline: {view.trouble}")
    shot = view.snapshot or {}
    if not shot.get("accounts"):
        return "Brimline: no account yet"
    pool = shot.get("pool") or {}
    said = [_short(window, now) for window in ordered(pool.get("windows"))]
    line = "Brimline  " + (" · ".join(said) or f"allowance {UNKNOWN}")
    state = _STATE_WORDS.get(str(pool.get("state")))
    if state:
        line += f" · {state}"
    worst = _worst(shot["accounts"], now, view.zone)
    if worst and len(line) + len(worst) + 3 <= TOOLTIP_MAX:
        line += f" · {worst}"
    return _cut(line)


_STATE_WORDS = {
    "paused": "all paused",
    "stale": "not fresh",
    "sign_in_needed": "sign in again",
}


def _short(window: Mapping[str, Any], now: int) -> str:
    reset = _until_reset(window, now)
    left = f"{window['name']} {percent(window.get('remainingPercent'))}"
    return f"{left} ({reset})" if reset else left


def _worst(accounts: Sequence[Mapping[str, Any]], now: int, zone: tzinfo | None) -> str | None:
    order = ("spent", "critical", "low")
    found: list[tuple[int, str]] = []
    for account in accounts:
        state = account_state(account, now, zone)
        if state in order or account.get("status") in _STATES:
            found.append(
                (order.index(state) if state in order else 0, f"{account['name']} {state}")
            )
    return min(found)[1] if found else None


def _cut(line: str) -> str:
    return line if len(line) <= TOOLTIP_MAX else line[: TOOLTIP_MAX - 1] + "…"


# --- Alerts -------------------------------------------------------------------------------------

_THRESHOLDS = (50, 20)


def alerts(before: View, after: View, now: int) -> list[Alert]:
    """What changed that the user wants to hear of; nothing at the start, once per crossing."""
    found: list[Alert] = []
    if after.can_start and not before.can_start and after.trouble:
        found.append(Alert("Brimline's server stopped", after.trouble))
    if not before.snapshot or not after.snapshot:
        return found
    found += _pool_alerts(before.snapshot, after.snapshot, now)
    known = {account["id"]: account for account in before.snapshot.get("accounts") or ()}
    for account in after.snapshot.get("accounts") or ():
        old = known.get(account["id"])
        if old is not None and old.get("status") != account.get("status"):
            found += _account_alerts(account, now, after.zone)
    return found


def _pool_alerts(old: Mapping[str, Any], new: Mapping[str, Any], now: int) -> list[Alert]:
    before = {w["key"]: w for w in (old.get("pool") or {}).get("windows") or ()}
    found = []
    for window in (new.get("pool") or {}).get("windows") or ():
        was = (before.get(window["key"]) or {}).get("remainingPercent")
        left = window.get("remainingPercent")
        if was is None or left is None:
            continue
        reset = _reset_tail(window, now)
        name = window["name"]
        if left <= 0 < was:
            found.append(Alert(f"The {name} allowance is used up", f"All accounts{reset}."))
        elif was <= 0 < left:
            found.append(Alert(f"The {name} allowance is back", f"{percent(left)} left{reset}."))
        else:
            crossed = [limit for limit in _THRESHOLDS if left <= limit < was]
            if crossed:
                text = f"{percent(left)} of all accounts' {name} allowance left{reset}."
                found.append(Alert(f"{name}: under {crossed[-1]} % left", text))
    return found


def _account_alerts(account: Mapping[str, Any], now: int, zone: tzinfo | None) -> list[Alert]:
    name, status = account.get("name"), account.get("status")
    if status == "sign_in_needed":
        return [Alert(f"{name}: sign in again", "Its sign-in ended; work goes to other accounts.")]
    if status == "quota_exceeded":
        state = account_state(account, now, zone)
        return [Alert(f"{name} is {state}", "Work goes to the other accounts.")]
    return []


# --- Icon ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """One window in the icon: percent left, where an even pace would be, and its level."""

    left: float | None
    expected: float | None = None
    level: str = "ok"


@dataclass(frozen=True)
class Mark:
    """What the icon says; two equal marks are one picture."""

    bars: tuple[Bar, ...] = field(default=(Bar(None), Bar(None)))
    state: str = "unknown"


# The program's own icon: a good day.
EMBLEM = Mark((Bar(71, 56), Bar(48, 60)), "ok")


def mark(view: View) -> Mark:
    """The icon of a view. Percentages are rounded, so that it is redrawn only when it shows."""
    shot = view.snapshot or {}
    pool = shot.get("pool") or {}
    bars = tuple(_icon_bar(window) for window in ordered(pool.get("windows"))[:2])
    state = str(pool.get("state") or "unknown")
    if view.trouble is not None:
        state = "down"
    return Mark(bars or Mark().bars, state if state in STATES else "unknown")


def _icon_bar(window: Mapping[str, Any]) -> Bar:
    pace = window.get("pace") or {}
    left, expected = window.get("remainingPercent"), pace.get("expectedRemaining")
    return Bar(
        None if left is None else _whole(left, 100),
        None if expected is None else round(expected / 4) * 4,
        str(window.get("level") or "ok"),
    )


# Each has a contrast of at least 3:1 on white and on #131517, since a tray does not tell which
# of the two it is.
_INK = (122, 130, 138)
_COLOURS = {
    "ok": (24, 140, 157),
    "low": (186, 112, 8),
    "critical": (214, 66, 54),
    "spent": (214, 66, 54),
    "quiet": (122, 130, 138),
}
STATES = (
    "ok",
    "low",
    "critical",
    "spent",
    "paused",
    "unknown",
    "stale",
    "down",
    "sign_in_needed",
    "empty",
)
_QUIET = ("paused", "unknown", "down", "empty")
_OVERSAMPLE = 8


def draw(shown: Mark, size: int = 64) -> Image.Image:
    """The icon as a square RGBA picture that reads on light and on dark panels, 16 to 64 px."""
    pen = _Pen(size)
    bars = shown.bars[:2]
    for bar, (top, bottom, tick_top, tick_bottom) in zip(bars, _places(len(bars)), strict=True):
        _draw_bar(pen, bar, (top, bottom, tick_top, tick_bottom), shown.state)
    if shown.state == "stale":
        pen.dim(0.5)
    badge = _BADGES.get(shown.state)
    if badge:
        badge(pen)
    return pen.picture()


def _places(count: int) -> tuple[tuple[int, int, int, int], ...]:
    # In sixteenths: top and bottom of the bar, then of its tick, which stands out on one side.
    return ((4, 12, 3, 13),) if count == 1 else ((1, 8, 0, 8), (10, 15, 10, 16))


class _Pen:
    """Draws in sixteenths of the picture; edges fall on whole pixels of the final size."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.image = Image.new("RGBA", (size * _OVERSAMPLE,) * 2, (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)

    def at(self, sixteenths: float) -> int:
        """A place in sixteenths as a place on the oversampled canvas, on a final pixel's edge."""
        return round(sixteenths * self.size / 16) * _OVERSAMPLE

    def free(self, sixteenths: float) -> float:
        """A place that need not fall on a pixel's edge."""
        return sixteenths * self.size * _OVERSAMPLE / 16

    def dim(self, share: float) -> None:
        """Make everything drawn so far fainter."""
        self.image.putalpha(self.image.getchannel("A").point(lambda alpha: int(alpha * share)))
        self.draw = ImageDraw.Draw(self.image)

    def clear(self, shape: Callable[[ImageDraw.ImageDraw], None]) -> None:
        """Cut a shape out, so that what is drawn there next stands apart."""
        cut = Image.new("L", self.image.size, 255)
        shape(ImageDraw.Draw(cut))
        self.image.putalpha(ImageChops.multiply(self.image.getchannel("A"), cut))
        self.draw = ImageDraw.Draw(self.image)

    def picture(self) -> Image.Image:
        """The finished picture in its final size."""
        return self.image.resize((self.size, self.size), Image.Resampling.BOX)


def _draw_bar(pen: _Pen, bar: Bar, place: tuple[int, int, int, int], state: str) -> None:
    top, bottom, tick_top, tick_bottom = (pen.at(edge) for edge in place)
    right, line = pen.at(16), max(_OVERSAMPLE, pen.at(1))
    radius = pen.free(1.6)
    box = (0, top, right - 1, bottom - 1)
    if bar.left is not None and bar.left > 0:
        _fill(pen, bar, (line, top + line, right - line, bottom - line), state)
    pen.draw.rounded_rectangle(box, radius, outline=(*_INK, 255), width=line)
    if bar.left is None and state in ("unknown", "ok", "low"):
        _dash(pen, top, bottom, line)
    if bar.expected is not None and bar.left is not None and state not in _QUIET:
        inner = right - 2 * line
        x = line + round(inner * bar.expected / 100 / _OVERSAMPLE) * _OVERSAMPLE
        x = min(max(x, line), right - 2 * line)
        pen.clear(lambda cut: cut.rectangle((x, top + line, x + line - 1, bottom - line - 1), 0))
        beyond = x >= line + _length(bar.left, inner)
        ends = (
            (tick_top, tick_bottom - 1) if beyond else _outside(top, bottom, tick_top, tick_bottom)
        )
        pen.draw.rectangle((x, ends[0], x + line - 1, ends[1]), (*_INK, 255))


def _outside(top: int, bottom: int, tick_top: int, tick_bottom: int) -> tuple[int, int]:
    # On the fill the tick is a gap; only its end beside the bar is drawn.
    return (tick_top, top) if tick_top < top else (bottom - 1, tick_bottom - 1)


def _length(left: float, inner: int) -> int:
    """Length of the fill in canvas pixels: more than nothing above 0, less than all below 100."""
    return _whole(left, inner // _OVERSAMPLE) * _OVERSAMPLE


def _fill(pen: _Pen, bar: Bar, box: tuple[int, int, int, int], state: str) -> None:
    x0, y0, x1, y1 = box
    colour = _COLOURS["quiet" if state in _QUIET else bar.level if bar.level in _COLOURS else "ok"]
    end = x0 + _length(bar.left or 0, x1 - x0)
    pen.draw.rectangle((x0, y0, end - 1, y1 - 1), (*colour, 255))
    if state == "paused":
        pen.clear(lambda cut: _hatch(cut, pen, box))


def _hatch(cut: ImageDraw.ImageDraw, pen: _Pen, box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    step, width, height = pen.free(3), pen.free(1.4), y1 - y0
    x = x0 - height
    while x < x1:
        cut.polygon([(x, y1), (x + width, y1), (x + width + height, y0), (x + height, y0)], 0)
        x += step  # type: ignore[assignment]


def _dash(pen: _Pen, top: int, bottom: int, line: int) -> None:
    middle = (top + bottom) // 2 // _OVERSAMPLE * _OVERSAMPLE
    pen.draw.rectangle((pen.at(5), middle, pen.at(11) - 1, middle + line - 1), (*_INK, 255))


def _badge_low(pen: _Pen) -> None:
    f = pen.free
    pen.clear(lambda cut: cut.polygon([(f(5.6), f(16)), (f(11.5), f(4.6)), (f(17.4), f(16))], 0))
    points = [(f(7.4), f(16)), (f(11.5), f(7.6)), (f(16), f(16))]
    pen.draw.polygon(points, (*_COLOURS["low"], 255))


def _disc(pen: _Pen, colour: str) -> None:
    f = pen.free
    pen.clear(lambda cut: cut.ellipse((f(6.4), f(6.4), f(17.6), f(17.6)), 0))
    pen.draw.ellipse((f(7.6), f(7.6), f(16) - 1, f(16) - 1), (*_COLOURS[colour], 255))


def _badge_spent(pen: _Pen) -> None:
    _disc(pen, "spent")
    pen.clear(lambda cut: cut.rectangle((pen.at(9), pen.at(10), pen.at(15) - 1, pen.at(13) - 1), 0))


def _badge_paused(pen: _Pen) -> None:
    at = pen.at
    pen.clear(lambda cut: cut.rectangle((at(8), at(6), at(16), at(16)), 0))
    for x in (9, 13):
        pen.draw.rectangle((at(x), at(7), at(x + 3) - 1, at(16) - 1), (*_INK, 255))


def _badge_stale(pen: _Pen) -> None:
    f, line = pen.free, max(_OVERSAMPLE, pen.at(1))
    pen.clear(lambda cut: cut.ellipse((f(6), f(6), f(17.6), f(17.6)), 0))
    pen.draw.ellipse((f(7), f(7), f(16) - 1, f(16) - 1), outline=(*_INK, 255), width=line)
    middle = f(11.5)
    hands = [(middle, f(8.6)), (middle, middle + line / 2), (f(14), middle + line / 2)]
    pen.draw.line(hands, (*_INK, 255), line)


def _badge_down(pen: _Pen) -> None:
    f, line = pen.free, max(_OVERSAMPLE, round(pen.free(2)))
    ends = [(f(1), f(15)), (f(15), f(1))]
    pen.clear(lambda cut: cut.line(ends, 0, round(line * 2.2)))
    pen.draw.line(ends, (*_COLOURS["critical"], 255), line)


def _badge_sign_in(pen: _Pen) -> None:
    at = pen.at
    pen.clear(lambda cut: cut.rectangle((at(10), at(0), at(16), at(16)), 0))
    colour = (*_COLOURS["low"], 255)
    pen.draw.rectangle((at(12), at(1), at(15) - 1, at(10) - 1), colour)
    pen.draw.rectangle((at(12), at(12), at(15) - 1, at(15) - 1), colour)


def _badge_empty(pen: _Pen) -> None:
    at = pen.at
    pen.clear(lambda cut: cut.rectangle((at(6), at(6), at(16), at(16)), 0))
    pen.draw.rectangle((at(10), at(7), at(12) - 1, at(15) - 1), (*_INK, 255))
    pen.draw.rectangle((at(7), at(10), at(15) - 1, at(12) - 1), (*_INK, 255))


_BADGES: dict[str, Callable[[_Pen], None]] = {
    "low": _badge_low,
    "critical": lambda pen: _disc(pen, "critical"),
    "spent": _badge_spent,
    "paused": _badge_paused,
    "stale": _badge_stale,
    "down": _badge_down,
    "sign_in_needed": _badge_sign_in,
    "empty": _badge_empty,
}
