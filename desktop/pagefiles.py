"""What goes into the pages that are written to a file, asked of the dashboard's routes."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from desktop import sharing
from desktop import snapshot as snapshots

if TYPE_CHECKING:
    from desktop.offline_api import Api

_MODES = ("normal", "redacted", "strict")
_AT_ONCE = 500


def report(api: Api, arguments: argparse.Namespace, asked: dict[str, Any]) -> str:
    """The short page: sums and tables."""
    return sharing.page(_speech(api, arguments), _figures(api, asked))


def snapshot(api: Api, arguments: argparse.Namespace, asked: dict[str, Any]) -> str:
    """The page with calls, the newest, as many as --limit says."""
    most = snapshots.USUAL if arguments.limit is None else arguments.limit or snapshots.MOST
    figures = {**_figures(api, asked), "calls": _calls(api, asked, min(most, snapshots.MOST))}
    settings, files = api.get("/api/settings"), api.get("/api/usage/files")
    modes = (str(settings.get("privacyMode") or "normal"), arguments.privacy_mode or "normal")
    about = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "zone": settings.get("timeZone") or "",
        "privacy": max(modes, key=_MODES.index),
        "history": asked["history"],
        "prices": _source("pricing.json", files["pricing"]),
        "rates": _source("rate-card.json", files["rate-card"]),
    }
    return snapshots.page(_speech(api, arguments), figures, about)


def _speech(api: Api, arguments: argparse.Namespace) -> sharing.Speech:
    # Asked for one page, a language changes nobody's.
    lang = arguments.lang or api.get("/api/settings")["language"]
    return sharing.Speech(api.get("/api/words", lang=lang))


def _figures(api: Api, asked: dict[str, Any]) -> dict[str, Any]:
    span = {**asked, "from": asked["from"] or "first"}
    return {
        "days": api.get("/api/trends", **span)["days"],
        "totals": api.get("/api/calls", **asked, limit=1)["totals"],
        "models": api.get("/api/summary", **asked, by="model", limit="12")["groups"],
        "projects": api.get("/api/summary", **asked, by="project", limit="12")["groups"],
        "threads": api.get("/api/threads", **asked, sort="attention", limit=20)["threads"],
    }


def _calls(api: Api, asked: dict[str, Any], most: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = None
    while len(rows) < most:
        left = min(most - len(rows), _AT_ONCE)
        answer = api.get("/api/calls", **asked, limit=left, cursor=cursor)
        rows += answer["calls"]
        cursor = answer["nextCursor"]
        if cursor is None:
            break
    return rows


def _source(name: str, file: dict[str, Any]) -> str:
    """Whose prices hold, and of when: the user's own file, else the newest list that is shipped."""
    stamp = file.get("source") or {}
    said: tuple[Any, ...] = (name, stamp.get("name"), stamp.get("fetched_at"))
    if not file.get("models") or file.get("problems"):
        shipped: list[dict[str, Any]] = file.get("shipped") or []
        said = max(((one["checked"], one["name"]) for one in shipped), default=())[::-1]
    return ", ".join(str(one) for one in said if one) or "–"
