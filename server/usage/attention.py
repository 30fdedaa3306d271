"""What needs a person's eye now, most urgent first. Pure."""

from __future__ import annotations

from typing import Any

from server.sentences import say, told

_MOST = 6
_RANK = {"critical": 0, "warn": 1, "info": 2}
# What no waiting mends comes before what a reset mends, and that before mere warnings.
_SIGN_IN, _REFUSED, _USED_UP, _RUNS_OUT, _LOW = range(5)
_Urgent = tuple[int, int, float, dict[str, Any]]


def overview(
    accounts: list[dict[str, Any]], pool: dict[str, Any], today: dict[str, Any], now: int
) -> list[dict[str, Any]]:
    """Sentences for the overview: `{level: critical|warn|info, title, text, href}`, at most six.

    `accounts` and `pool` are the shapes of docs/API.md. Where more accounts need a look than
    there is room for, the most urgent are named and a last card says how many more there are.
    """
    states = {account["status"] for account in accounts}
    first: list[dict[str, Any]] = []
    if states and "active" not in states:
        key = "attention.allPaused" if states == {"paused"} else "attention.nobody"
        first.append(_card("critical", say(key), say("attention.resume"), "/accounts"))
    last: list[dict[str, Any]] = []
    if today["unpriced"]:
        title = say("attention.unpriced", count=today["unpriced"])
        text = say("attention.noPrice")
        last.append(_card("info", title, text, "/calls?range=today&price=unpriced&history=all"))
    found = sorted(
        (urgent for account in accounts for urgent in _account(account)),
        key=lambda urgent: urgent[:3],
    )
    return [*first, *_shortened(found, _MOST - len(first) - len(last)), *last]


def _shortened(found: list[_Urgent], room: int) -> list[dict[str, Any]]:
    cards = [card for *_, card in found]
    if len(cards) <= room:
        return cards
    rest = cards[room - 1 :]
    title = say("attention.more", count=len(rest))
    level = min((card["level"] for card in rest), key=_RANK.__getitem__)
    return [*cards[: room - 1], _card(level, title, say("attention.seeAll"), "/accounts")]


def _account(account: dict[str, Any]) -> list[_Urgent]:
    name, href = account["displayName"], f"/accounts/{account['accountId']}"
    if account["status"] in ("sign_in_needed", "deactivated"):
        reason = account["statusReason"] or say("state.ended")
        card = _card("critical", say("attention.signIn", name=name), reason, href)
        return [(0, _SIGN_IN, 0.0, card)]
    if account["status"] in ("rate_limited", "quota_exceeded"):
        # The provider may refuse an account whose windows show room; then it says why.
        spent = any(window["remainingPercent"] == 0 for window in account["windows"])
        kind, key = (_USED_UP, "attention.usedUp") if spent else (_REFUSED, "attention.refused")
        text = account["statusReason"] or say("attention.returns")
        return [(0, kind, 0.0, _card("critical", say(key, name=name), text, href))]
    if account["status"] == "paused":
        return []
    if account.get("onCredits"):
        return [_paid(account, href)]
    # One card an account: its most urgent window says enough.
    cards = [urgent for window in account["windows"] for urgent in _window(name, href, window)]
    return sorted(cards, key=lambda urgent: urgent[:3])[:1]


def _paid(account: dict[str, Any], href: str) -> _Urgent:
    """Work goes on, but it costs credits until the reset."""
    spent = next(w for w in account["windows"] if w["level"] == "spent" and ":" not in w["key"])
    text = say("attention.creditsPay", window=spent["longName"])
    card = _card("warn", say("attention.credits", name=account["displayName"]), text, href)
    return (_RANK["warn"], _LOW, 0.0, card)


def _window(name: str, href: str, window: dict[str, Any]) -> list[_Urgent]:
    pace, left = window["pace"], window["remainingPercent"]
    if pace and pace["runsOutAt"]:
        title = say("attention.runsOut", name=name)
        text = say(
            "attention.behind",
            left=f"{left:.0f}",
            window=window["longName"],
            points=f"{-pace['delta']:.0f}",
        )
        level = "critical" if left <= 10 else "warn"
        return [(_RANK[level], _RUNS_OUT, left, _card(level, title, text, href))]
    if window["level"] in ("low", "critical", "spent"):
        level = "warn" if window["level"] == "low" else "critical"
        text = say("attention.left", left=f"{left:.0f}", window=window["longName"])
        card = _card(level, say("attention.low", name=name), text, href)
        return [(_RANK[level], _LOW, left, card)]
    return []


def _card(level: str, title: str, text: str, href: str) -> dict[str, Any]:
    said = {"titleSaid": told(title), "textSaid": told(text)}
    return {"level": level, "title": title, "text": text, **said, "href": href}
