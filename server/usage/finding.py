"""Where a text is found: in which sessions, models, efforts and calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

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
    "limit {1}) select name, name {2} from e where name is not null"
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
    pattern, text = holding(wanted.text), wanted.text
    models = db.rows(f"{_MODELS} and name {pattern.sql}", (pattern.value,))  # noqa: S608
    efforts = [one for (one,) in db.rows(EFFORTS) if text.casefold() in one.casefold()]
    sessions, but, many = _sessions(wanted, pattern)
    seen = Found(sessions, tuple(m for (m,) in models), tuple(efforts), _calls(text), but, many)
    return replace(wanted, found=seen)


class Holds(NamedTuple):
    """What stands behind a column in SQL that holds a text, whatever its case and what is in it."""

    sql: str
    value: str


def holding(text: str) -> Holds:
    """How a column is asked whether it holds `text`.

    SQLite's `like` knows the case of ASCII alone. Of other texts each letter is asked for in both.
    """
    if text.isascii():
        plain = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return Holds("like ? escape '\\'", f"%{plain}%")
    return Holds("glob ?", f"*{''.join(map(_either, text))}*")


def _either(letter: str) -> str:
    """A pattern of `glob` that finds a letter in either case, and no more than that."""
    found = {letter}
    for _ in range(2):  # some have two small ones
        found |= {way for one in found for way in (one.lower(), one.upper(), one.title())}
    found |= {"ς"} if "σ" in found else set()
    single = sorted(one for one in found if len(one) == 1)
    return f"[{''.join(single)}]" if len(single) > 1 or letter in "*?[" else letter


def _calls(text: str) -> tuple[str, ...]:
    """An id is found by its beginning, unless very many begin so; a turn by the whole of it."""
    names: list[tuple[str]] = []
    for begin in sorted({text, text.lower(), text.upper()}):
        begins = (begin, begin + "\U0010ffff", _MOST_CALLS + 1)
        names += db.rows("select id from call where id >= ? and id < ? limit ?", begins)
    if len(names) > _MOST_CALLS:
        return ()
    if _TURN.fullmatch(text):
        names += db.rows("select id from call where turn_id = ? limit 2000", (text,))
    return tuple(name for (name,) in names)


def _sessions(wanted: Filter, pattern: Holds) -> tuple[str, bool, bool]:
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


def _few_without(wanted: Filter, pattern: Holds, count: int) -> list[int] | None:
    """The sessions without the text, when its key or its thread's title alone leaves few."""
    for table, column, lead in _BROAD[: 2 if wanted.names else 1]:
        some = f"select {column} as held from {table} order by rowid desc limit {_SAMPLE}"  # noqa: S608
        asked = f"select 2 * total(held {pattern.sql}) > count(*) from ({some})"  # noqa: S608
        if not db.rows(asked, (pattern.value,))[0][0]:
            continue
        without = f"{lead} not coalesce({column} {pattern.sql}, 0)"
        left = [session for (session,) in db.rows(without + ")" * ("(" in lead), (pattern.value,))]
        if 2 * len(left) <= count:
            return _without(wanted, pattern, left)
    return None


_SAMPLE = 500  # the newest, which tell whether most have a text
# What a text that most sessions have is mostly in.
_BROAD = (
    ("session", "key", "select id from session where"),
    ("thread", "title", "select id from session where thread in (select id from thread where"),
)


def _without(wanted: Filter, pattern: Holds, sessions: list[int]) -> list[int]:
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


def _parts(wanted: Filter, pattern: Holds) -> Iterator[Part]:
    """The conditions, of which a session with the text meets one; those that none meets are left
    out.
    """
    yield f"s.key {pattern.sql}", [pattern.value]
    # Few have a parent: the first half leads to those.
    yield f"s.parent > '' and s.parent {pattern.sql}", [pattern.value]
    for column in _WORDS + (_NAMES if wanted.names else ()):
        yield from valued(column, pattern)
    if wanted.names:
        yield from _remotes(wanted.text)
    if wanted.meant:
        yield "s.project in (select value from json_each(?))", [json.dumps(wanted.meant)]
    if wanted.names:
        # Last, as it is the dearest to ask of a session that another part found.
        titled = f"select id from thread where title {pattern.sql}"  # noqa: S608 - ours
        yield f"s.thread in ({titled})", [pattern.value]


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


def valued(column: str, pattern: Holds, table: str = "s") -> Iterator[Part]:
    """A column of few values among sessions, in some of which the text is."""
    values = db.rows(_VALUES.format(column, _MOST_VALUES, pattern.sql), (pattern.value,))
    having = [value for value, holds in values if holds]
    if len(values) + 1 >= _MOST_VALUES:
        yield f"{table}.{column} {pattern.sql}", [pattern.value]
    elif having:
        yield f"{table}.{column} in (select value from json_each(?))", [json.dumps(having)]  # noqa: S608
