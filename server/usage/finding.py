"""Where a text is found: in which sessions, models, efforts and calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from server.errors import AppError
from server.store import db
from server.usage import ownfiles, projects
from server.usage.slices import Filter, Found

# What a text is looked for in; the second part only where the privacy mode shows it. Of these
# columns few values exist, so that the text is looked for in each of them once.
_WORDS = ("role",)
_NAMES = ("cwd", "branch")
COLUMNS = (*_WORDS, *_NAMES, "project")
_MODELS = "select distinct name from heading_usage where heading = 'model' and calls > 0"
_TURN = re.compile(r"(?=.*\d)[\w-]{16,}")  # what a turn's id could be
_LARGE = 3000  # sessions
_MANY = 25  # a text that more than one of so many sessions holds
_MOST_VALUES = 2000
_MOST_CALLS = 200
# Few efforts exist: an index leads from each to the next.
EFFORTS = (
    "with recursive e(name) as (select min(effort) from stretch union all "
    "select (select min(effort) from stretch where effort > e.name) from e where e.name is not null"
    ") select name from e where name != ''"
)
_VALUES = (
    "with recursive e(name) as (select min({0}) from session union all "
    "select (select min({0}) from session where {0} > e.name) from e where e.name is not null "
    "limit {1}) select name, name like ? escape '\\' from e where name is not null"
)

# Whose remotes are looked up, which takes a look at the disk each: those used last.
_FOLDERS = (
    "select cwd from (select cwd, max(id) as newest from session where cwd is not null "
    "group by cwd) order by newest desc limit 300"
)

Part = tuple[str, list[Any]]  # a condition on a session `s`, and its values


def found(wanted: Filter) -> Filter:
    """The filter with its text looked up, if it has one."""
    if not wanted.text or wanted.found is not None:
        return wanted
    pattern, text = like(wanted.text), wanted.text
    models = db.rows(f"{_MODELS} and name like ? escape '\\'", (pattern,))  # noqa: S608
    efforts = [one for (one,) in db.rows(EFFORTS) if text.casefold() in one.casefold()]
    sessions, but, many = _sessions(wanted, pattern)
    seen = Found(sessions, tuple(m for (m,) in models), tuple(efforts), _calls(text), but, many)
    return replace(wanted, found=seen)


def like(text: str) -> str:
    """A pattern for `like … escape '\\'` that finds `text` anywhere, whatever is in it."""
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _calls(text: str) -> tuple[str, ...]:
    """An id is found by its beginning, unless very many begin so; a turn by the whole of it."""
    begins = (text, text + "\U0010ffff", _MOST_CALLS + 1)
    names = db.rows("select id from call where id >= ? and id < ? limit ?", begins)
    if len(names) > _MOST_CALLS:
        return ()
    if _TURN.fullmatch(text):
        names += db.rows("select id from call where turn_id = ? limit 2000", (text,))
    return tuple(name for (name,) in names)


def _sessions(wanted: Filter, pattern: str) -> tuple[str, bool, bool]:
    """The sessions with the text as a JSON list; with True, those without it, as they are fewer;
    with another True, they are many.
    """
    count = int(db.rows("select count(*) from session")[0][0])
    if count > _LARGE:
        rest = _few_without(wanted, pattern, count)
        if rest is not None:
            return json.dumps(rest), True, False
    lists: list[str] = []
    found, before = 0, ""
    given: list[Any] = []
    for one, values in _parts(wanted, pattern):
        # Each session once: what the parts before this one found is not found again.
        many, listed = db.rows(
            f"select count(*), json_group_array(s.id) from session s where {one}{before}",  # noqa: S608
            [*values, *given],
        )[0]
        found += many
        lists += [listed[1:-1]] if many else []
        before = f" and ({one}) is not true{before}"
        given = [*values, *given]
    return f"[{','.join(lists)}]", False, _MANY * found > count


def _few_without(wanted: Filter, pattern: str, count: int) -> list[int] | None:
    """The sessions without the text, when its key or its thread's title alone leaves few."""
    for table, column, lead in _BROAD[: 2 if wanted.names else 1]:
        some = f"select {column} as held from {table} order by rowid desc limit {_SAMPLE}"  # noqa: S608
        asked = f"select 2 * total(held {_HOLDS}) > count(*) from ({some})"  # noqa: S608
        if not db.rows(asked, (pattern,))[0][0]:
            continue
        without = f"{lead} not coalesce({column} {_HOLDS}, 0)"
        left = [session for (session,) in db.rows(without + ")" * ("(" in lead), (pattern,))]
        if 2 * len(left) <= count:
            return _without(wanted, pattern, left)
    return None


_HOLDS = "like ? escape '\\'"
_SAMPLE = 500  # the newest, which tell whether most have a text
# What a text that most sessions have is mostly in.
_BROAD = (
    ("session", "key", "select id from session where"),
    ("thread", "title", "select id from session where thread in (select id from thread where"),
)


def _without(wanted: Filter, pattern: str, sessions: list[int]) -> list[int]:
    """Those of some sessions that do not have the text at all."""
    among = json.dumps(sessions)
    gone: set[int] = set()
    for condition, values in _parts(wanted, pattern):
        rows = db.rows(
            "select s.id from session s where s.id in (select value from json_each(?)) "  # noqa: S608
            f"and ({condition})",
            [among, *values],
        )
        gone.update(session for (session,) in rows)
    return [session for session in sessions if session not in gone]


def _parts(wanted: Filter, pattern: str) -> Iterator[Part]:
    """The conditions, of which a session with the text meets one; those that none meets are left
    out.
    """
    yield "s.key like ? escape '\\'", [pattern]
    # Few have a parent: the first half leads to those.
    yield "s.parent > '' and s.parent like ? escape '\\'", [pattern]
    for column in _WORDS + (_NAMES if wanted.names else ()):
        yield from valued(column, pattern)
    if wanted.names:
        yield from _remotes(wanted.text)
    if wanted.meant:
        yield "s.project in (select value from json_each(?))", [json.dumps(wanted.meant)]
    if wanted.names:
        # Last, as it is the dearest to ask of a session that another part found.
        titled = "select id from thread where title like ? escape '\\'"
        yield f"s.thread in ({titled})", [pattern]


def _remotes(text: str) -> Iterator[Part]:
    """The folders whose project's remote has the text in its label."""
    try:
        given = ownfiles.read("projects.json")
    except AppError:
        given = {}
    left_alone, wanted = projects.ignored(given), text.casefold()
    folders = [folder for (folder,) in db.rows(_FOLDERS)]
    having = [
        folder
        for folder in folders
        if wanted in (projects.place(folder, left_alone)["remoteLabel"] or "").casefold()
    ]
    if having:
        yield "s.cwd in (select value from json_each(?))", [json.dumps(having)]


def valued(column: str, pattern: str, table: str = "s") -> Iterator[Part]:
    """A column of few values among sessions, in some of which the text is."""
    values = db.rows(_VALUES.format(column, _MOST_VALUES), (pattern,))
    having = [value for value, holds in values if holds]
    if len(values) + 1 >= _MOST_VALUES:
        yield f"{table}.{column} like ? escape '\\'", [pattern]
    elif having:
        yield f"{table}.{column} in (select value from json_each(?))", [json.dumps(having)]  # noqa: S608
