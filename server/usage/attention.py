"""What needs a person's eye now, most urgent first. Pure."""

from __future__ import annotations

from typing import Any

from server.sentences import say, told

_MOST = 6
_RANK = {"critical": 0, "warn": 1, "info": 2}


def overview(
    accounts: list[dict[str, Any]], pool: dict[str, Any], today: dict[str, Any], now: int
) -> list[dict[str, Any]]:
    """Sentences for the overview: `{level: critical|warn|info, title, text, href}`, at most six.

    `accounts` and `pool` are the shapes of docs/API.md.
    """
    found: list[dict[str, Any]] = []
    for account in accounts:
        found += _account(account)
    if accounts and not any(a["status"] == "active" for a in accounts):
        found.append(
            _card("critical", say("attention.nobody"), say("attention.resume"), "/accounts")
        )
    if today["unpriced"]:
        title = say("attention.unpriced", count=today["unpriced"])
        text = say("attention.noPrice")
        found.append(_card("info", title, text, "/calls?priceStatus=unpriced"))
    return sorted(found, key=lambda card: _RANK[card["level"]])[:_MOST]


def _account(account: dict[str, Any]) -> list[dict[str, Any]]:
    name, href = account["displayName"], f"/accounts/{account['accountId']}"
    if account["status"] in ("sign_in_needed", "deactivated"):
        reason = account["statusReason"] or say("state.ended")
        return [_card("critical", say("attention.signIn", name=name), reason, href)]
    if account["status"] in ("rate_limited", "quota_exceeded"):
        # The provider may refuse an account whose windows show room; then it says why.
        spent = any(window["remainingPercent"] == 0 for window in account["windows"])
        key = "attention.usedUp" if spent else "attention.refused"
        text = account["statusReason"] or say("attention.returns")
        return [_card("warn", say(key, name=name), text, href)]
    if account["status"] == "paused":
        return []
    cards = []
    for window in account["windows"]:
        pace, left = window["pace"], window["remainingPercent"]
        if pace and pace["runsOutAt"]:
            title = say("attention.runsOut", name=name)
            text = say(
                "attention.behind",
                left=f"{left:.0f}",
                window=window["name"],
                points=f"{-pace['delta']:.0f}",
            )
            cards.append(_card("critical" if left <= 10 else "warn", title, text, href))
        elif window["level"] in ("low", "critical", "spent"):
            level = "warn" if window["level"] == "low" else "critical"
            text = say("attention.left", left=f"{left:.0f}", window=window["name"])
            cards.append(_card(level, say("attention.low", name=name), text, href))
    # One card an account: its most urgent window says enough.
    return sorted(cards, key=lambda card: _RANK[card["level"]])[:1]


def _card(level: str, title: str, text: str, href: str) -> dict[str, Any]:
    said = {"titleSaid": told(title), "textSaid": told(text)}
    return {"level": level, "title": title, "text": text, **said, "href": href}
