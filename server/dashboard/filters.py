"""The filters, pages and privacy that every usage route shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from flask import jsonify, request

from server.dashboard import query
from server.errors import AppError, BadRequest
from server.store import db, settings
from server.usage import calls, ownfiles, trends
from server.usage.calls import Page
from server.usage.days import QUARTER, Days, chosen
from server.usage.privacy import MODES, Privacy, aliases, stricter
from server.usage.slices import Filter

_ASCENDING = ("model", "effort", "cache")
_PROJECTS = "select distinct name from daily_usage where heading = 'project' and name != ''"


def privacy() -> Privacy:
    """What this answer may show: the setting, or less when the request asks for less."""
    asked = query.choice("privacy", "normal", MODES)
    try:
        given = aliases(ownfiles.read("projects.json"))
    except AppError:
        given = {}
    return Privacy(stricter(str(settings.get("privacyMode")), asked), given)


def answer(value: Any) -> Any:
    """A JSON response that shows what the privacy mode permits."""
    return jsonify(privacy().shown(value))


_MOST_ANSWERS = 64
_answers: dict[str, tuple[Any, Any]] = {}


def remembered(build: Callable[[], Any]) -> Any:
    """What `build` gives for this address, made anew only when something changed since."""
    where = f"{db.usage.database} {request.full_path}"
    files = tuple(ownfiles.stamp(name) for name in ownfiles.NAMES)
    known = db.revisions()
    # A new day of any zone begins on a quarter of an hour.
    mark = (files, db.now_ms() // QUARTER, *(known.get(t) for t in ("calls", "settings")))
    before = _answers.get(where)
    if before is None or before[0] != mark:
        if len(_answers) >= _MOST_ANSWERS:
            _answers.clear()
        before = _answers[where] = (mark, build())
    return before[1]


def days() -> Days:
    """The viewer's days."""
    zone = request.args.get("tz")
    return Days(zone) if zone else chosen()


def usage() -> Filter:
    """The filter that all usage pages share, without its times."""
    return Filter(
        provider=query.choice("provider", "", ("", "codex", "claude")),
        models=query.names("model"),
        projects=_projects(),
        accounts=query.names("account"),
    )


def full() -> Filter:
    """The filter of lists: of calls, of threads, of what needs attention."""
    local = days()
    first = request.args.get("from") == "first"
    return replace(
        usage(),
        text=query.text("q"),
        names=not privacy().hides,
        efforts=query.names("effort"),
        since=None if first else query.moment("from", local, end=False),
        until=query.moment("to", local, end=True),
        price_status=query.choice("priceStatus", "", ("", "exact", "estimated", "unpriced")),
        thread=query.text("thread"),
        session=query.text("session"),
        preset=query.choice("preset", "", ("", "highest-cost", *calls.PRESETS)),
    )


def page(names: tuple[str, ...]) -> Page:
    """How a list is ordered, and which part of it is wanted."""
    sort = query.choice("sort", "time", names)
    natural = "asc" if sort in _ASCENDING else "desc"
    return Page(
        sort=sort,
        descending=query.choice("direction", natural, ("asc", "desc")) == "desc",
        limit=query.number("limit", 50, 1, 500),
        cursor=request.args.get("cursor", "")[:4000],
    )


def span(length: int = 30) -> tuple[str, str]:
    """The first and the last day of a chart; `from=first` begins with the first call."""
    local = days()
    last = _day("to", local.of(db.now_ms()))
    default = (date.fromisoformat(last) - timedelta(days=length - 1)).isoformat()
    if request.args.get("from") == "first":
        oldest = (date.fromisoformat(last) - timedelta(days=trends.LONGEST - 1)).isoformat()
        first = min(max(trends.first_day(local) or default, oldest), last)
    else:
        first = _day("from", default)
    if not 0 <= (date.fromisoformat(last) - date.fromisoformat(first)).days < trends.LONGEST:
        raise BadRequest("“from” must lie before “to”, by at most ten years.")
    return first, last


def _projects() -> tuple[str, ...]:
    """The projects meant by the shown names, so that a redacted or alias name works too."""
    asked = query.names("project")
    if not asked:
        return ()
    mode = privacy()
    known = [name for (name,) in db.rows(_PROJECTS)]
    meant = [name for name in known if mode.project(name) in asked]
    if not mode.hides:
        meant += [name for name in asked if name not in meant]
    # A name that stands for nothing finds nothing, rather than everything.
    return tuple(meant) or ("\0",)


def _day(name: str, default: str) -> str:
    value = request.args.get(name) or default
    try:
        day = date.fromisoformat(value[:10])
    except ValueError:
        day = date.min
    if not 1990 <= day.year <= 2900:
        raise BadRequest(f"“{name}” must be a day such as 2026-11-21.")
    return day.isoformat()
