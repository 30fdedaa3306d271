"""The filters, pages and privacy that every usage route shares."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, g, jsonify, request

from server.accounts.summary import hidden, unnamed
from server.dashboard import query
from server.errors import AppError, Unprocessable
from server.store import db, settings
from server.usage import calls, ownfiles, pricing, projects, roots, slices, trends
from server.usage.calls import Page
from server.usage.days import QUARTER, Days, chosen
from server.usage.privacy import MODES, Privacy, stricter
from server.usage.slices import Filter

_FURTHEST = 9_999_999
_MOST_CREDITS = 1_000_000_000
# A name that stands for nothing finds nothing, rather than everything.
_NOBODY = ("\0",)
_ASCENDING = ("model", "effort", "cache", "thread", "project", "account")
# The ledger's own rollup has a row for each day.
_NAMED = "select distinct name from heading_usage where heading = ? and calls > 0"


def privacy() -> Privacy:
    """What this answer may show: the setting, or less when the request asks for less."""
    known = projects.known()
    aliases = projects.aliases(_given(), known.roots)
    return Privacy(mode(), aliases, known.names, known.same)


def mode() -> str:
    """The privacy mode of this answer: the setting, or a stricter one that the request names."""
    asked = query.choice("privacy", "normal", MODES)
    return stricter(str(settings.get("privacyMode")), asked)


def account(shown: dict[str, Any]) -> dict[str, Any]:
    """An account in full, with the names that this answer may show."""
    return unnamed(shown) if mode() == "strict" else shown


def accounts(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same for several accounts."""
    return [unnamed(one) for one in shown] if mode() == "strict" else shown


def account_name(account: str | None, name: str | None) -> str | None:
    """What an account is called in this answer; None for no account."""
    return hidden(account) if account and mode() == "strict" else name


def _given() -> dict[str, Any]:
    """The user's projects file, as far as it can be used."""
    try:
        return ownfiles.read("projects.json")
    except AppError:
        return {}


def answer(value: Any) -> Any:
    """A JSON response that shows what the privacy mode permits."""
    return jsonify(privacy().shown(value))


_MOST_ANSWERS = 64
_TOPICS = ("calls", "settings", "diagnostics")
_answers: dict[str, tuple[Any, Any]] = {}


def remembered(build: Callable[[], Any]) -> Any:
    """What `build` gives for this address, made anew only when something changed since."""
    where = f"{db.usage.database} {request.full_path}"
    files = tuple(ownfiles.stamp(name) for name in ownfiles.NAMES)
    known = db.revisions()
    # A new day of any zone begins on a quarter of an hour.
    mark = (files, db.now_ms() // QUARTER, *(known.get(topic) for topic in _TOPICS))
    before = _answers.get(where)
    if before is None or before[0] != mark:
        if len(_answers) >= _MOST_ANSWERS:
            _answers.clear()
        before = _answers[where] = (mark, build())
    return before[1]


def forget() -> None:
    """Make every answer anew."""
    _answers.clear()


def read_at_once(routes: Blueprint) -> None:
    """Let each request of these routes read over one connection, which the next one takes over:
    opening it and preparing its statements takes milliseconds.
    """

    @routes.before_request
    def opened() -> None:
        g.reading = ExitStack()
        g.reading.enter_context(db.reading_pages())

    @routes.teardown_request
    def closed(_error: BaseException | None) -> None:
        if "reading" in g:
            g.pop("reading").close()


def days() -> Days:
    """The viewer's days."""
    zone = request.args.get("tz")
    return Days(zone) if zone else chosen()


def usage() -> Filter:
    """The filter that all usage pages share, without its times."""
    text = query.text("q")
    return Filter(
        text=text,
        meant=_meant(text) if text else (),
        names=not privacy().hides,
        provider=query.choice("provider", "", ("", "codex", "claude")),
        models=_models(),
        efforts=query.names("effort"),
        projects=_projects(),
        accounts=query.names("account"),
        history="active" if _active() else "",
    )


CREDITS = ("exact", "estimated", "user_override", "unpriced")


def _models() -> tuple[str, ...]:
    """The models asked for, of which those whose credit rate is as sure as is asked for."""
    asked = query.names("model")
    sure = query.choice("creditConfidence", "", ("", *CREDITS))
    if not sure:
        return asked
    known = asked or _known("model")
    return tuple(name for name in known if pricing.credit_rate(name)[1] == sure) or _NOBODY


def _known(heading: str) -> tuple[str, ...]:
    """All names under a heading."""
    slices.refresh()
    return tuple(name for (name,) in db.rows(_NAMED, (heading,)))


def _active() -> bool:
    """Whether archived sessions are left out; where there are none, nothing need be asked."""
    if query.choice("history", "all", ("all", "active")) == "all":
        return False
    return any_archived()


def any_archived() -> bool:
    """Whether Codex put aside any of the sessions that are known."""
    return bool(db.rows("select 1 from source_file where archived limit 1"))


def full() -> Filter:
    """The filter of lists: of calls, of threads, of what needs attention; and of facts."""
    local = days()
    first = request.args.get("from") == "first"
    since = None if first else query.moment("from", local, end=False)
    until = query.moment("to", local, end=True)
    if since is not None and until is not None and since >= until:
        raise Unprocessable("“from” must not lie after “to”. Exchange them, or leave one out.")
    return replace(
        usage(),
        since=since,
        until=until,
        price_status=query.choice("priceStatus", "", ("", "exact", "estimated", "unpriced")),
        thread=query.text("thread"),
        session=query.text("session"),
        preset=query.choice("preset", "", ("", "highest-cost", *calls.PRESETS)),
        fact=query.text("fact"),
    )


def of_threads() -> Filter:
    """The filter of threads: a fact belongs to single calls."""
    return _without(full(), "fact")


def of_sums() -> Filter:
    """The filter of sums, which no row tells of single calls."""
    return _without(full(), "preset", "fact")


def _without(wanted: Filter, *names: str) -> Filter:
    for name in names:
        if getattr(wanted, name):
            raise Unprocessable(
                f"“{name}” finds single calls, which this list does not tell apart. "
                "Leave it out, or ask /api/calls."
            )
    return wanted


def single() -> Filter:
    """The filter of lists of calls, which also asks how large each of them is."""
    return replace(
        full(),
        least_tokens=query.number("minTokens", 0, 0, _FURTHEST * 100),
        least_credits=round(query.amount("minCredits", 0, _MOST_CREDITS) * 1e6),
    )


def titling() -> bool:
    """Whether threads that only find a title are wanted."""
    return query.choice("titling", "show", ("show", "hide")) == "show"


def page(names: tuple[str, ...]) -> Page:
    """How a list is ordered, and which part of it is wanted."""
    sort = query.choice("sort", "time", names)
    natural = "asc" if sort in _ASCENDING else "desc"
    cursor = request.args.get("cursor", "")[:4000]
    limit = query.number("limit", 50, 1, 500)
    return Page(
        sort=sort,
        descending=query.choice("direction", natural, ("asc", "desc")) == "desc",
        limit=limit,
        cursor=cursor,
        offset=0 if cursor else _offset(limit),
    )


def page_of_calls(called: Callable[..., dict[str, str]]) -> Page:
    """The same for lists of calls; `called` says what accounts are called, to order by that."""
    return by_name(page(tuple(calls.SORTS)), called)


def by_name(found: Page, called: Callable[..., dict[str, str]]) -> Page:
    """A page of calls that is ordered by what accounts are called, if it is by accounts.

    Where that is hidden the order must not tell it: it is that of their ids.
    """
    if found.sort != "account" or privacy().mode == "strict":
        return found
    return replace(found, called=called(hidden=False))


def _offset(limit: int) -> int:
    """Where a page begins for who counts: `offset` rows, or whole pages from 1 on."""
    rows = query.number("offset", 0, 0, _FURTHEST)
    return rows or (query.number("page", 1, 1, _FURTHEST) - 1) * limit


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
        raise Unprocessable("“from” must lie before “to”, by at most ten years.")
    return first, last


def _projects() -> tuple[str, ...]:
    """The projects meant by the shown names, so that a redacted or alias name works too.

    A name that none is shown by (any more) means all whose folder's path ends so.
    """
    asked, tagged = query.names("project"), query.names("tag")
    if not asked and not tagged:
        return ()
    mode = privacy()
    known = list(filter(None, _known("project")))
    shown = {name: mode.project(name) for name in known}
    meant = [name for name in known if shown[name] in asked]
    if not mode.hides:
        there = projects.known()
        for name in set(asked).difference(shown.values()):
            ends = {name, *roots.ending(name, there.roots)}
            meant += [one for one in {name, *known} if there.of(one) in ends and one not in meant]
    if tagged:
        words, of = tags(), projects.known().of
        among = meant if asked else known
        meant = [name for name in among if set(words.get(of(name), ())) & set(tagged)]
    return tuple(meant) or _NOBODY


def alike() -> dict[str, str]:
    """One project for each of those that are shown by one name."""
    mode, first = privacy(), dict[str | None, str]()
    named = filter(None, _known("project"))
    return {name: first.setdefault(mode.project(name), name) for name in named}


def tags() -> dict[str, tuple[str, ...]]:
    """The tags of each project, as far as the privacy mode shows them."""
    if privacy().mode == "strict":
        return {}
    return projects.tags(_given(), projects.known().roots)


def _meant(text: str) -> tuple[str, ...]:
    """The projects whose name as it is shown, or one of whose tags, holds a text; and the threads
    whose name holds it that is shown in place of their title.
    """
    mode, words, wanted, of = privacy(), tags(), text.casefold(), projects.known().of
    named = [
        name
        for name in filter(None, _known("project"))
        if wanted in (mode.project(name) or "").casefold()
        or any(wanted in word.casefold() for word in words.get(of(name), ()))
    ]
    if mode.hides and set(wanted) <= _CODED:
        titled = db.rows("select id, title from thread where title is not null")
        named += [id for id, title in titled if wanted in (mode.title(title, id) or "").casefold()]
    return tuple(named)


_CODED = set("thread 0123456789abcdef")  # the letters of `Thread 1f2e3d4c`


def _day(name: str, default: str) -> str:
    value = request.args.get(name) or default
    try:
        day = date.fromisoformat(value[:10])
    except ValueError:
        day = date.min
    if not 1990 <= day.year <= 2900:
        raise Unprocessable(f"“{name}” must be a day such as 2026-11-21.")
    return day.isoformat()
