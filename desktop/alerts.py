"""What the tray tells by itself: two views of the world → notifications worth a look.

Pure. Nothing is told at the start, for then there is nothing to compare with; a threshold is told
once per cycle of its window; each kind can be switched off, and quiet hours silence them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from desktop import display
from desktop.display import View

LOW, SPENT, BACK, MOVED, SIGN_IN, SERVER, ERROR = (
    "alertLow",
    "alertSpent",
    "alertBack",
    "alertMoved",
    "alertSignIn",
    "alertServer",
    "error",  # the answer to a click; never silenced
)
THRESHOLDS = (50, 20)
_JITTER = 5 * 60_000  # a reset that moved by less is the same reset
_REBOUND = 10.0  # so many points above a threshold is a new cycle where no reset is known


@dataclass(frozen=True)
class Alert:
    """One notification: a title, a sentence, and the switch that silences it."""

    title: str
    text: str
    kind: str = ERROR


# What has been told of a window in its present cycle: its reset, and the lowest threshold.
Told = Mapping[str, tuple[int | None, int]]


def news(before: View, after: View, told: Told, now: int) -> tuple[list[Alert], Told]:
    """What changed that the user wants to hear of, and what counts as told from now on."""
    found: list[Alert] = []
    if after.can_start and not before.can_start and after.trouble:
        found.append(Alert("Brimline's server stopped", after.trouble, SERVER))
    if not before.snapshot or not after.snapshot:
        return found, told
    crossings, told = _crossings(before.snapshot, after.snapshot, told, now)
    found += crossings
    known = {account["id"]: account for account in before.snapshot.get("accounts") or ()}
    for account in after.snapshot.get("accounts") or ():
        old = known.get(account["id"])
        if old is not None and old.get("status") != account.get("status"):
            found += _account_news(old, account, after, now)
    return found, told


def audible(found: Sequence[Alert], choices: Mapping[str, Any], hour: int) -> list[Alert]:
    """Those that the user's switches and quiet hours let through."""
    if _quiet(choices, hour):
        return [alert for alert in found if alert.kind == ERROR]
    return [alert for alert in found if choices.get(alert.kind, True)]


def hour_of(now: int, zone: tzinfo | None) -> int:
    """The hour of the user's day."""
    return datetime.fromtimestamp(now / 1000, zone).hour


def _quiet(choices: Mapping[str, Any], hour: int) -> bool:
    start, end = int(choices.get("quietFrom") or 0), int(choices.get("quietTo") or 0)
    if start <= end:
        return start <= hour < end
    return hour >= start or hour < end  # over midnight


def _crossings(
    old: Mapping[str, Any], new: Mapping[str, Any], told: Told, now: int
) -> tuple[list[Alert], Told]:
    before = {w["key"]: w for w in (old.get("pool") or {}).get("windows") or ()}
    found: list[Alert] = []
    kept = dict(told)
    for window in (new.get("pool") or {}).get("windows") or ():
        key, left = window["key"], window.get("remainingPercent")
        was = (before.get(key) or {}).get("remainingPercent")
        if was is None or left is None:
            continue
        reset = display.moment(window.get("resetAt"))
        if key in kept and _afresh(kept[key], reset, left):
            del kept[key]
        alert, threshold = _crossing(window, was, left, kept.get(key), now)
        if alert is not None:
            found.append(alert)
        if threshold is not None:
            kept[key] = (reset, threshold)
    return found, kept


def _afresh(told: tuple[int | None, int], reset: int | None, left: float) -> bool:
    """Whether the window began a new cycle since something was told of it."""
    before, threshold = told
    if before is None or reset is None:
        return left >= threshold + _REBOUND
    return left > threshold and reset > before + _JITTER


def _crossing(
    window: Mapping[str, Any],
    was: float,
    left: float,
    told: tuple[int | None, int] | None,
    now: int,
) -> tuple[Alert | None, int | None]:
    """What a window's step from `was` to `left` is worth telling, and the threshold it reached."""
    tail, name = display.reset_tail(window, now), window["name"]
    lowest = told[1] if told else 101
    if left <= 0 < was and lowest > 0:
        return Alert(f"The {name} allowance is used up", f"All accounts{tail}.", SPENT), 0
    if was <= 0 < left:
        text = f"{display.percent(left)} left{tail}."
        return Alert(f"The {name} allowance is back", text, BACK), None
    crossed = [limit for limit in THRESHOLDS if left <= limit < min(was, lowest)]
    if not crossed:
        return None, None
    text = f"{display.percent(left)} of all accounts' {name} allowance left{tail}."
    return Alert(f"{name}: under {crossed[-1]}% left", text, LOW), crossed[-1]


def _account_news(
    old: Mapping[str, Any], account: Mapping[str, Any], view: View, now: int
) -> list[Alert]:
    name, status = display.account_name(account, view), account.get("status")
    heir = _heir(account, view)
    if status == "sign_in_needed":
        text = f"Its sign-in ended; {heir or 'no other account can serve'}."
        return [Alert(f"{name}: sign in again", text, SIGN_IN)]
    if status == "quota_exceeded":
        state = display.account_state(account, now, view.zone)
        text = f"{heir[0].upper()}{heir[1:]}." if heir else "No other account can serve now."
        return [Alert(f"{name} is {state}", text, MOVED)]
    if status == "active" and old.get("status") == "quota_exceeded":
        return [Alert(f"{name} is back", "It serves again.", BACK)]
    return []


def _heir(account: Mapping[str, Any], view: View) -> str | None:
    """Who does the work now that `account` cannot, as half a sentence."""
    others = [
        other
        for other in (view.snapshot or {}).get("accounts") or ()
        if other["id"] != account["id"] and other.get("status") == "active"
    ]
    serving = [other for other in others if other.get("serving")]
    if serving or len(others) == 1:
        return f"work goes on with {display.account_name((serving or others)[0], view)}"
    return f"work goes to the {len(others)} other accounts" if others else None
