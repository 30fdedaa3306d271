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
_ROWS = 12  # of models and projects; one more has the others


def report(api: Api, arguments: argparse.Namespace, asked: dict[str, Any]) -> str:
    """The short page: sums and tables."""
    about = _about(api, arguments, asked)
    return sharing.page(_speech(api, arguments), _figures(api, asked), about)


def snapshot(api: Api, arguments: argparse.Namespace, asked: dict[str, Any]) -> str:
    """The page with calls, the newest, as many as --limit says."""
    most = snapshots.USUAL if arguments.limit is None else arguments.limit or snapshots.MOST
    figures = {**_figures(api, asked), "calls": _calls(api, asked, min(most, snapshots.MOST))}
    return snapshots.page(_speech(api, arguments), figures, _about(api, arguments, asked))


def _about(api: Api, arguments: argparse.Namespace, asked: dict[str, Any]) -> dict[str, str]:
    """What the figures are of, as every page says it."""
    settings, files = api.get("/api/settings"), api.get("/api/usage/files")
    modes = (str(settings.get("privacyMode") or "normal"), arguments.privacy_mode or "normal")
    zone = str(settings.get("timeZone") or "")
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "zone": zone,
        "privacy": max(modes, key=_MODES.index),
        "history": asked["history"],
        "prices": _source("pricing.json", files["pricing"], zone),
        "rates": _source("rate-card.json", files["rate-card"], zone),
    }


def _speech(api: Api, arguments: argparse.Namespace) -> sharing.Speech:
    # Asked for one page, a language changes nobody's.
    lang = arguments.lang or api.get("/api/settings")["language"]
    return sharing.Speech(api.get("/api/words", lang=lang))


def _figures(api: Api, asked: dict[str, Any]) -> dict[str, Any]:
    span = {**asked, "from": asked["from"] or "first"}
    unrated = api.get("/api/calls", **asked, creditConfidence="unpriced", limit=1)["total"]
    groups = {
        f"{by}s": api.get("/api/summary", **asked, by=by, limit="0")["groups"]
        for by in ("model", "project")
    }
    return {
        "days": api.get("/api/trends", **span)["days"],
        "totals": {**api.get("/api/calls", **asked, limit=1)["totals"], "unrated": unrated},
        **{name: listed[:_ROWS] for name, listed in groups.items()},
        "others": {
            name: _together(listed[_ROWS:]) for name, listed in groups.items() if listed[_ROWS:]
        },
        "threads": api.get("/api/threads", **asked, sort="attention", limit=20)["threads"],
    }


_ADDED = ("calls", "totalTokens", "inputTokens", "cachedInputTokens", "unpriced", "estimated")


def _together(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Groups as one row, and how many they are."""
    row: dict[str, Any] = {name: sum(one[name] for one in groups) for name in _ADDED}
    costs = [one["costUsd"] for one in groups if one["costUsd"] is not None]
    read = row["inputTokens"]
    return {
        **row,
        "groups": len(groups),
        "costUsd": sum(costs) if costs else None,
        "cacheRatio": row["cachedInputTokens"] / read if read else None,
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


def _source(name: str, file: dict[str, Any], zone: str) -> str:
    """Whose prices hold, and of when: the user's own file, else the newest list that is shipped."""
    stamp = file.get("source") or {}
    fetched = sharing.moment(str(stamp.get("fetched_at") or ""), zone)
    said: tuple[Any, ...] = (name, stamp.get("name"), fetched)
    if not file.get("models") or file.get("problems"):
        shipped: list[dict[str, Any]] = file.get("shipped") or []
        said = max(((one["checked"], one["name"]) for one in shipped), default=())[::-1]
    return ", ".join(str(one) for one in said if one) or "–"
