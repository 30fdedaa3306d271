"""Where a text is found: in which sessions, models, efforts and calls."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from server.errors import AppError
from server.store import db
from server.usage import names, ownfiles, projects
from server.usage.slices import Filter, Found, Held, bare

# What a text is looked for in; the second part only where the privacy mode shows it. Of these
# columns few values exist, so that the text is looked for in each of them once.
_WORDS = ("role",)
_NAMES = ("cwd", "branch")
COLUMNS = (*_WORDS, *_NAMES, "project")
_MODELS = "select distinct name from heading_usage where heading = 'model' and calls > 0"
_TURN = re.compile(r"(?=.*\d)[\w-]{16,}")  # what a turn's id could be
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


def found(wanted: Filter, *, listed: bool = True, mixed: bool = False) -> Filter:
    """The filter with its text looked up, if it has one.

    Unless `listed`, the sessions need not be named where `Found.held` tells all; nor, if `mixed`,
    where that and the models and efforts do.
    """
    if not wanted.text or wanted.found is not None:
        return wanted
    pattern, text = holding(wanted.text), wanted.text
    models = db.rows(f"{_MODELS} and name {pattern.sql}", (pattern.value,))  # noqa: S608
    efforts = [one for (one,) in db.rows(EFFORTS) if text.casefold() in one.casefold()]
    seen = Found("", tuple(model for (model,) in models), tuple(efforts), _calls(text))
    rest = replace(wanted, text="", meant=(), found=None)
    with names.known() as known:
        held, without = _sessions(known, wanted, pattern)
        seen = replace(seen, held=held)
        alone = not seen.calls and bare(rest)
        if listed or not alone or not (mixed or seen.plain):
            seen = _listed(known, seen, held, without)
        if listed and alone and seen.plain:
            total = known.total(held, active=bool(wanted.history))
            seen = replace(seen, sums=names.told(total))
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


def _sessions(known: names.Names, wanted: Filter, pattern: Holds) -> tuple[Held, set[int]]:
    """The sessions with the text by thread, and those that have it not only by its title."""
    if wanted.text.isascii() and "\0" not in wanted.text:
        sessions = set(known.holding(wanted.text))
    else:
        keyed = f"select id from session where key {pattern.sql}"  # noqa: S608
        sessions = set(known.of(db.rows(keyed, (pattern.value,))))
    for condition, values in _parts(wanted, pattern):
        sessions.update(known.of(db.rows(f"select s.id from session s where {condition}", values)))  # noqa: S608
    whole: set[int] = set()
    if wanted.names:
        titled = f"select id from thread where title {pattern.sql}"  # noqa: S608
        whole = known.used(thread for (thread,) in db.rows(titled, (pattern.value,)))
    whole |= known.used(wanted.meant)
    counts = Counter(map(known.thread_of.__getitem__, sessions))
    whole.update(thread for thread, count in counts.items() if count == known.size[thread])
    part: list[int] = []
    if not counts.keys() <= whole:
        thread_of = known.thread_of
        part = [session for session in sessions if thread_of[session] not in whole]
    return Held(whole, part), sessions


def _listed(known: names.Names, seen: Found, held: Held, sessions: set[int]) -> Found:
    """The sessions named; those without the text, where they are fewer."""
    having = [*held.part, *known.within(held.whole)]
    count, found = len(known.number), len(having)
    but = 2 * found > count
    if but:
        others = {*known.thread_number.values()} - held.whole
        having = [session for session in known.within(others) if session not in sessions]
    ids = str([*map(known.sessions.__getitem__, having)])
    return replace(seen, sessions=ids, but=but, many=_MANY * found > count)


def _parts(wanted: Filter, pattern: Holds) -> Iterator[Part]:
    """The conditions, of which a session with the text meets one unless its key or its thread's
    title has it; those that none meets are left out.
    """
    # Few have a parent: the first half leads to those.
    yield f"s.parent > '' and s.parent {pattern.sql}", [pattern.value]
    for column in _WORDS + (_NAMES if wanted.names else ()):
        yield from valued(column, pattern)
    if wanted.names:
        yield from _remotes(wanted.text)
    if wanted.meant:
        yield "s.project in (select value from json_each(?))", [json.dumps(wanted.meant)]


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
