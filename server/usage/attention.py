"""What needs a person's eye now, most urgent first. Pure."""

from __future__ import annotations

from typing import Any

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
            _card("critical", "No account can serve", "Resume or add an account.", "/accounts")
        )
    if today["unpriced"]:
        calls = f"{today['unpriced']} call{'s' if today['unpriced'] != 1 else ''} of today"
        text = "Their model is missing from the price table, so the cost leaves them out."
        found.append(_card("info", f"{calls} without a price", text, "/calls?priceStatus=unpriced"))
    return sorted(found, key=lambda card: _RANK[card["level"]])[:_MOST]


def _account(account: dict[str, Any]) -> list[dict[str, Any]]:
    name, href = account["displayName"], f"/accounts/{account['accountId']}"
    if account["status"] in ("sign_in_needed", "deactivated"):
        reason = account["statusReason"] or "Its sign-in is no longer accepted."
        return [_card("critical", f"{name} needs a sign-in", reason, href)]
    if account["status"] in ("rate_limited", "quota_exceeded"):
        return [_card("warn", f"{name} is used up", "It returns at its reset.", href)]
    if account["status"] == "paused":
        return []
    cards = []
    for window in account["windows"]:
        pace, left = window["pace"], window["remainingPercent"]
        if pace and pace["runsOutAt"]:
            behind = f"{-pace['delta']:.0f} points behind an even pace"
            title = f"{name} runs out before its reset"
            text = f"{left:.0f}% left of its {window['name']}, {behind}."
            cards.append(_card("critical" if left <= 10 else "warn", title, text, href))
        elif window["level"] in ("low", "critical", "spent"):
            level = "warn" if window["level"] == "low" else "critical"
            title = f"{name} has little left"
            cards.append(_card(level, title, f"{left:.0f}% left of its {window['name']}.", href))
    # One card an account: its most urgent window says enough.
    return sorted(cards, key=lambda card: _RANK[card["level"]])[:1]


def _card(level: str, title: str, text: str, href: str) -> dict[str, Any]:
    return {"level": level, "title": title, "text": text, "href": href}
