"""What the tray tells by itself: two views of the world → notifications worth a look.

Pure. Nothing is told at the start, for then there is nothing to compare with; a threshold is told
once per cycle of its window; each kind can be switched off, and quiet hours silence them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
_NAMES = 6  # that a notification lists
_REBOUND = 10.0  # so many points above a threshold is a new cycle where no reset is known


@dataclass(frozen=True)
class Alert:
    """One notification: a title, a sentence, and the switch that silences it."""

    title: str
    text: str
    kind: str = ERROR


# What has been told of a window in its present cycle: its reset, and the lowest threshold. Its
# key names the accounts in rotation too, for another account's figures are another window's.
Told = Mapping[str, tuple[int | None, int]]


def news(before: View, after: View, told: Told, now: int) -> tuple[list[Alert], Told]:
    """What changed that the user wants to hear of, and what counts as told from now on."""
    found: list[Alert] = []
    if after.hung and not before.hung and after.trouble:
        found.append(Alert("Brimline's server hangs", after.trouble, SERVER))
    elif after.can_start and not before.can_start and after.trouble and not after.hung:
        found.append(Alert("Brimline's server stopped", after.trouble, SERVER))
    if not before.snapshot or not after.snapshot:
        return found, told
    crossings, told = _crossings(before.snapshot, after.snapshot, told, now)
    found += crossings
    return found + _accounts_news(before, after, now), told


def audible(found: Sequence[Alert], choices: Mapping[str, Any], hour: int) -> list[Alert]:
    """Those that the user's switches and quiet hours let through."""
    if _quiet(choices, hour):
        return [alert for alert in found if alert.kind == ERROR]
    return [alert for alert in found if choices.get(alert.kind, True)]


_FIRST = (ERROR, SERVER, SIGN_IN, SPENT, MOVED, LOW, BACK)  # whose title a notification has
_LONGEST = 250  # characters that a Windows notification has room for


def joined(found: Sequence[Alert]) -> list[Alert]:
    """The alerts of one look as one notification, the gravest first.

    Most desktops show one at a time, so that of two only the last would be seen.
    """
    if len(found) < 2:
        return list(found)
    first, *others = sorted(found, key=lambda alert: _FIRST.index(alert.kind))
    text = " ".join([first.text, *(f"{other.title}. {other.text}" for other in others)])
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return [replace(first, text=cut)]


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
    paid = bool((new.get("pool") or {}).get("onCredits"))
    rotation = _rotation(new)
    same, serves = rotation == _rotation(old), _can_serve(new)
    found: list[Alert] = []
    kept = dict(told)
    for window in (new.get("pool") or {}).get("windows") or ():
        key, left = f"{rotation} {window['key']}", window.get("remainingPercent")
        was = (before.get(window["key"]) or {}).get("remainingPercent")
        if was is None or left is None:
            continue
        reset = display.moment(window.get("resetAt"))
        if key in kept and _afresh(kept[key], reset, left):
            del kept[key]
        alert, threshold = _crossing(window, was, left, kept.get(key), now)
        if alert is not None and (alert.kind != BACK or (same and serves)):
            found.append(_worded(alert, new, paid))
        if threshold is not None:
            kept[key] = (reset, threshold)
    return found, kept


def _worded(alert: Alert, shot: Mapping[str, Any], paid: bool) -> Alert:
    """The alert as it is true while credits pay, or while accounts rest."""
    if alert.kind == SPENT and paid:
        return replace(alert, text=f"Work goes on, {display.CREDITS}.")
    if len(_rotation(shot)) == len(shot.get("accounts") or ()):
        return alert
    text = alert.text.replace("of all accounts' ", "of the ", 1)
    text = text.replace(" allowance left", " allowance of the accounts in rotation left", 1)
    return replace(alert, text=text.replace("All accounts", "All accounts in rotation", 1))


def _rotation(shot: Mapping[str, Any]) -> list[str]:
    """The accounts whose figures the pool's are."""
    return sorted(
        str(account["id"])
        for account in shot.get("accounts") or ()
        if account.get("status") == "active" or account.get("status") in display.BLOCKED
    )


def _can_serve(shot: Mapping[str, Any]) -> bool:
    """Whether an allowance that came back is of use: no other window holds all accounts up."""
    pool = shot.get("pool") or {}
    if pool.get("state") in ("spent", "paused", "empty"):
        return False
    return bool(pool.get("onCredits")) or all(
        window.get("remainingPercent") is None or window["remainingPercent"] > 0
        for window in pool.get("windows") or ()
        if ":" not in window["key"]  # a limit on one model only
    )


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
    tail, name = display.reset_tail(window, now), display.long_name(window)
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
    title = f"{name[:1].upper()}{name[1:]} allowance: under {crossed[-1]}% left"
    return Alert(title, text, LOW), crossed[-1]


def _accounts_news(before: View, after: View, now: int) -> list[Alert]:
    """What became of the accounts: each kind of news is one notification, however many it names."""
    known = {account["id"]: account.get("status") for account in before.accounts}
    ended, spent, back = [], [], []
    for account in after.accounts:
        was, status = known.get(account["id"]), account.get("status")
        if was is None or was == status:
            continue
        if status == "sign_in_needed":
            ended.append(account)
        elif status in display.BLOCKED and was not in display.BLOCKED:
            spent.append(account)
        elif status == "active" and was in display.BLOCKED:
            back.append(account)
    found = [_signed_out(account, after) for account in ended]
    found += [_moved(spent, after, now)] if spent else []
    return found + ([_back(back, after)] if back else [])


def _signed_out(account: Mapping[str, Any], view: View) -> Alert:
    text = f"Its sign-in ended; {_heir(account, view) or 'no other account can serve'}."
    return Alert(f"{display.account_name(account, view)}: sign in again", text, SIGN_IN)


def _moved(spent: Sequence[Mapping[str, Any]], view: View, now: int) -> Alert:
    heir = _heir(spent[0], view)
    text = f"{heir[0].upper()}{heir[1:]}." if heir else _nobody(view, now)
    if len(spent) == 1:
        state = display.account_state(spent[0], now, view.zone)
        return Alert(f"{display.account_name(spent[0], view)} is {state}", text, MOVED)
    states = {display.account_state(each, now, None).split(" ")[0] for each in spent}
    word = states.pop() if len(states) == 1 else "out of work"
    return Alert(f"{len(spent)} accounts are {word}", f"{_named(spent, view)}. {text}", MOVED)


def _nobody(view: View, now: int) -> str:
    """That no account can serve, and until when where that is known."""
    ends = [display.moment(account.get("blockedUntil")) for account in view.accounts]
    known = [end for end in ends if end is not None and end > now]
    if not known:
        return "No other account can serve now."
    return f"No account can serve until {display.clock(min(known), now, view.zone)}."


def _back(back: Sequence[Mapping[str, Any]], view: View) -> Alert:
    if len(back) == 1:
        return Alert(f"{_named(back, view)} is back", "It serves again.", BACK)
    return Alert(f"{len(back)} accounts are back", f"{_named(back, view)} serve again.", BACK)


def _named(accounts: Sequence[Mapping[str, Any]], view: View) -> str:
    """Their names as a list that a notification has room for."""
    names = [display.account_name(account, view) for account in accounts]
    if len(names) > _NAMES:
        names = [*names[: _NAMES - 1], f"{len(names) - _NAMES + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


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
