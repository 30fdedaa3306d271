"""Which headers cross the proxy, in either direction.

Requests: everything a client says about its work passes (`x-codex-*`, `session-id`, …);
whatever says who is asking, or belongs to one connection, does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

Header = tuple[str, str]

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_SENT = _HOP_BY_HOP | {
    # The client's own identity: the chosen account's takes its place.
    "authorization",
    "chatgpt-account-id",
    "x-openai-account-routing-override",
    "openai-organization",
    "openai-project",
    "x-api-key",
    "api-key",
    "cookie",
    # This connection, and where the client is.
    "host",
    "content-length",
    "expect",
    "accept",
    "accept-encoding",
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    # A browser's.
    "origin",
    "referer",
}
_NOT_SENT_PREFIXES = ("x-forwarded-", "cf-", "sec-", "proxy-")
# Codex shows whatever arrives last, so one account's numbers would flicker from turn to turn
# and warn of a limit that the pool does not have; the pool's own view takes their place.
_ALLOWANCE_WORDS = ("-primary-", "-secondary-", "-limit", "-credits-", "-plan-type", "-promo-")
_NOT_RETURNED = _HOP_BY_HOP | {
    "set-cookie",
    "content-length",
    "content-encoding",
    "content-type",
    "cache-control",
    "x-models-etag",
    "etag",
    "server",
    "date",
    "alt-svc",
    "strict-transport-security",
    "report-to",
    "nel",
}


def received(environ: Mapping[str, Any]) -> dict[str, str]:
    """The request's headers by lower-case name."""
    found = {
        key[5:].replace("_", "-").lower(): str(value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        found["content-type"] = str(environ["CONTENT_TYPE"])
    return found


def to_upstream(
    headers: Mapping[str, str], access_token: str, upstream_id: str | None, *, plain: bool
) -> list[Header]:
    """What goes to the provider: the client's headers with the account's identity.

    `plain` says that the body no longer has the coding in which it came.
    """
    named = {word.strip().lower() for word in headers.get("connection", "").split(",")}
    kept = [
        (name, value)
        for name, value in headers.items()
        if name not in _NOT_SENT
        and name not in named
        and not name.startswith(_NOT_SENT_PREFIXES)
        and not (plain and name == "content-encoding")
    ]
    if "content-type" not in headers:
        kept.append(("content-type", "application/json"))
    kept += [
        ("accept", "text/event-stream"),
        # Anything else would have to be undone to be read, and Codex asks for nothing else.
        ("accept-encoding", "identity"),
        ("authorization", f"Bearer {access_token}"),
    ]
    if upstream_id:
        kept.append(("chatgpt-account-id", upstream_id))
    return kept


def to_client(headers: Iterable[Header], *, own: Iterable[Header]) -> list[Header]:
    """What goes back: the provider's headers without what describes one account or connection.

    waitress refuses hop-by-hop headers from applications (PEP 3333), so they stop here.
    `own` (content type, the pool's allowance, our catalogue's tag) is added.
    """
    given = list(headers)
    named = {
        word.strip().lower()
        for name, value in given
        if name.lower() == "connection"
        for word in value.split(",")
    }
    kept = [
        (name, value)
        for name, value in given
        if name.lower() not in _NOT_RETURNED
        and name.lower() not in named
        and not name.lower().startswith("cf-")
        and not is_allowance(name.lower())
        and _printable(value)
    ]
    return [*kept, *own]


def is_allowance(name: str) -> bool:
    """Whether a header in lower case tells one account's allowance."""
    return name.startswith("x-codex-") and any(word in name for word in _ALLOWANCE_WORDS)


def _printable(value: str) -> bool:
    return not any(character in value for character in "\r\n\0")


def pool_allowance(windows: Iterable[Mapping[str, Any]]) -> list[Header]:
    """The pool's windows (of `/api/tray`) as the headers that Codex reads."""
    found = []
    for window in windows:
        key, used = window.get("key"), window.get("usedPercent")
        if key not in ("primary", "secondary") or used is None:
            continue
        found.append((f"x-codex-{key}-used-percent", f"{used:.1f}"))
        if window.get("windowMinutes"):
            found.append((f"x-codex-{key}-window-minutes", str(window["windowMinutes"])))
        if window.get("resetAt"):
            # Unix seconds: Codex ignores an ISO date here.
            resets = datetime.fromisoformat(window["resetAt"])
            found.append((f"x-codex-{key}-reset-at", str(int(resets.timestamp()))))
    return found
