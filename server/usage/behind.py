"""The calls behind a fact: what every number of the diagnostics links to."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from server.errors import Unprocessable
from server.store import db
from server.usage.days import chosen
from server.usage.privacy import short

_CALLS = "select k.call from fact_call k join {0} x on x.source = k.source and x.number = k.number"
# What is counted per tool run or per file, and not as a fact of its own.
_ROWS = {
    "tool_run": ("tool_run", "x.part = 0 and x.function = lower(?)"),
    "tool_output": ("tool_run", "x.told and x.part = 0 and x.outputs and x.function = ?"),
    "tool_uncounted": (
        "tool_run",
        "x.part = 0 and x.outputs and x.tokens is null and x.function = ?",
    ),
    "root_uncounted": ("tool_run", "x.part = 0 and x.outputs and x.tokens is null and x.root = ?"),
    "command_root": ("tool_run", "x.part = 0 and x.root = ?"),
    "read": ("file_read", "x.path = ?"),
    "reader": ("file_read", "x.reader = ?"),
    "changed": ("file_change", "x.path = ?"),
    "extension": ("file_change", "x.extension = ?"),
}
_PAIRS = {
    "command": ("tool_run", "x.part = 0 and x.root = ? and x.child = ?"),
    "git": ("tool_run", "x.root = ? and x.operation = ?"),
}
# Who saw a call: the numbers of the data's quality.
_SEEN = {"log": 1, "proxy": 2, "telemetry": 4}
_MOST_DAYS = 100
_CONVERSATIONS = ("user", "client")  # a fact of these counts conversations
# Who a call counts for: the account that served it, else who was signed in, as telemetry tells.
LOCAL_USER = "local user"
_USER = (
    "coalesce((select coalesce(a.label, a.email) from account a where a.id = c.account), "  # noqa: S608
    "(select max(w.user) from telemetry_talk w where w.session_id = s.key and w.user != ''), "
    f"'{LOCAL_USER}') = ?"
)
# Telemetry saw nothing of the conversation.
_SILENT = "not exists (select 1 from telemetry_session q where q.session_id = s.key)"
_SILENTLY = "silent_"
_CLIENT = f"(coalesce(s.client, '') = ? and s.kind != 'title' and s.key is not null and {_SILENT})"


def condition(fact: str) -> tuple[str, list[Any]]:
    """A condition on calls (`c`, their session `s`) for a fact written `type:name`.

    Raises `Unprocessable`.
    """
    kind, name = _read(fact)
    if kind == "witness":
        return "c.seen & ?", [_SEEN.get(name, 0)]
    if kind == "sessions":
        return "s.key in (select value from json_each(?))", [json.dumps(name.split(","))]
    if kind == "days":
        return _on_days(name.split(","))
    if kind == "user":
        return user(name, ours=True)
    if kind == "client":
        return _CLIENT, ["" if name == "?" else name]
    table, where, values = _rows(kind.removeprefix(_SILENTLY), name)
    found = f"c.id in ({_CALLS.format(table)} where {where})"
    return (f"({found} and {_SILENT})" if kind.startswith(_SILENTLY) else found), values


def _on_days(names: list[str]) -> tuple[str, list[Any]]:
    """Calls of any of these days, in the zone that is set."""
    zone = chosen()
    values: list[Any] = []
    for name in names[:_MOST_DAYS]:
        try:
            day = date.fromisoformat(name)
            values += [zone.start(day), zone.start(day + timedelta(days=1))]
        except (ValueError, OverflowError) as error:
            raise Unprocessable(
                "“fact” must name days such as days:2026-11-21,2026-11-19."
            ) from error
    either = " or ".join(["(c.started_at >= ? and c.started_at < ?)"] * (len(values) // 2))
    return f"({either})", values


def user(name: str, ours: bool) -> tuple[str, list[Any]]:
    """A condition on the calls (`c`) that count for a user, or on what telemetry told (`u`)."""
    known = _shown(name)
    return (_USER if ours else f"coalesce(u.user, '{LOCAL_USER}') = ?"), [known]


def occurrences(fact: str, where: str, values: list[Any]) -> int | None:
    """How often a fact came in the calls of a condition, which can be oftener than once a call."""
    kind, name = _read(fact)
    if kind in ("witness", "sessions", "days"):
        return None
    calls = "call c left join session s on s.id = c.session left join thread t on t.id = s.thread"
    if kind in _CONVERSATIONS:
        also, given = condition(fact)
        sql = f"select count(distinct c.session) from {calls} where {where} and {also}"  # noqa: S608
        return int(db.rows(sql, (*values, *given))[0][0])
    table, also, given = _rows(kind.removeprefix(_SILENTLY), name)
    times = "sum(x.count)" if table == "fact" else "count(*)"
    silent = f" and {_SILENT}" if kind.startswith(_SILENTLY) else ""
    sql = (
        f"select {times} from {table} x cross join fact_call k on k.source = x.source "  # noqa: S608
        f"and k.number = x.number cross join {calls} "
        f"where c.id = k.call and {also} and {where}{silent}"
    )
    return int(db.rows(sql, (*given, *values))[0][0] or 0)


def _read(fact: str) -> tuple[str, str]:
    kind, _, name = fact.partition(":")
    if not kind or not name:
        raise Unprocessable("“fact” must be a type and a name, such as command_family:pytest.")
    return kind, name


def _rows(kind: str, name: str) -> tuple[str, str, list[Any]]:
    """The table that a fact's rows lie in, the condition on these (`x`), and its values."""
    if kind in _PAIRS:
        return *_PAIRS[kind], [*name.partition(" ")[::2]]
    if kind == "tool_run" and name == "*":
        return "tool_run", "x.part = 0", []
    if kind in _ROWS:
        return *_ROWS[kind], [name]
    return "fact", "x.type = ? and x.name = ?", [kind, name.lower()]


def _shown(name: str) -> str:
    """A user by the name that is shown; the strict privacy mode shows a hash of it."""
    if not name.startswith("User "):
        return name
    known = db.rows(
        "select coalesce(label, email) from account union select user from telemetry_talk"
    )
    return next((one for (one,) in known if one and f"User {short(one)}" == name), name)
