"""The rows of the tables `session` and `thread`, as the logs tell of them."""

from __future__ import annotations

from server.ingest import claude
from server.ingest.callrows import project_of

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    from server.ingest.callrows import Calls
    from server.ingest.files import Source
    from server.ingest.folders import Projects
    from server.ingest.reader import Batch

_NO_PROJECT = (
    "delete from project where key = ?1 and not exists (select 1 from session where project = ?1)"
)

_NO_THREAD = (
    "delete from thread where id = ?1 and not exists (select 1 from session where thread = ?1)"
)

# id, project, provider, started_at, last_at, title, title_source, whether the session is the one
# that gave the thread its name (a sub-agent may be stored before it)
ADD_THREAD = (
    "insert into thread(id, project, provider, started_at, last_at, title, title_source) "
    "values (?1,?2,?3,?4,?5,?6,?7) "
    "on conflict(id) do update set last_at = coalesce(max(last_at, excluded.last_at), last_at, "
    "excluded.last_at), started_at = min(coalesce(started_at, excluded.started_at), "
    "coalesce(excluded.started_at, started_at)), "
    "project = iif(?8, coalesce(excluded.project, project), coalesce(project, excluded.project)), "
    "title_source = iif(title is null, excluded.title_source, title_source), "
    "title = coalesce(title, excluded.title)"
)


class Sessions:
    """Which session a log is of, and its thread. Every method runs inside a transaction."""

    def __init__(self, calls: Calls, projects: Projects, reread: set[int]) -> None:
        self._calls = calls
        self._projects = projects
        self._reread = reread  # files that are to be read anew
        # Folders with sessions that are not as they were (reviews.py); None: nobody knows which.
        self.stirred: set[str] | None = None

    def of_batch(
        self, connection: sqlite3.Connection, source: Source, batch: Batch, number: int | None
    ) -> tuple[int, str | None]:
        """The session of a batch and its project, made or brought up to date."""
        state = batch.state
        meta = dict(state.get("meta") or {})
        if source.provider == "claude":
            meta = claude.helper(meta, state["owner"])
        meta["parent"] = meta.get("parent") or state.get("foreign")
        known = connection.execute(
            "select project, cwd from session where key = ?", (state["owner"],)
        )
        before = known.fetchone()
        if source.provider == "claude":
            before = self._describe(connection, source, state["owner"], meta) or before
        else:
            before = self._agree(connection, source, state, meta, before)
        # It counts for what it always did, whatever became of the folder; the folder is asked for
        # all the same, as a session that had no calls yet may be the first of its project.
        of_folder = self._projects.key(meta.get("cwd"))
        meta["project"] = (before and before[0]) or of_folder
        last = meta.get("written") if batch.last is None else batch.last
        owner = state["owner"]
        meta["number"] = number
        session, thread, new = add(connection, owner, source.provider, meta, source.id, last)
        if new:
            self.adopt(connection, owner, thread)
        if source.provider == "claude":
            lead(connection, thread)
        # What a sub-agent is asked is no person's word.
        own = source.provider != "claude" or claude.is_own(source.name)
        if own and state.get("title") and thread == owner:
            connection.execute(
                "update thread set title = ?, title_source = 'first_message' "
                "where id = ? and title is null",
                (state["title"], thread),
            )
        if before and not before[0]:  # the proxy knows no folders
            meta["project"] = project_of(connection, session)
            if meta["project"]:
                self._calls.count_for(connection, session, None, meta["project"])
        return session, meta["project"]

    def stir(self, *folders: str | None) -> None:
        """Note that sessions of these folders are not as they were."""
        if self.stirred is not None:
            self.stirred.update(filter(None, folders))

    def _describe(
        self, connection: sqlite3.Connection, source: Source, key: str, meta: dict[str, Any]
    ) -> tuple[str | None] | None:
        """Let a log's `meta` tell of a session of Claude what holds: what its foremost log says.

        Returns the session's project where a log has told of it before.
        """
        place = claude.foremost(source.name, meta.get("cwd"))
        meta["cwd"] = claude.folder_of(source.name, meta.get("cwd"))
        known = connection.execute(
            "select s.id, s.project, s.cwd, s.client, f.name, json_extract(f.state, '$.meta.cwd') "
            "from session s "
            "join source_file f on f.id = s.source where s.key = ?",
            (key,),
        ).fetchone()
        if known is None:
            return None
        session, before, cwd, client, name, said = known
        # Its first lines may have told nothing of it.
        later = name == source.name and client is None and meta.get("client") is not None
        if later or place < claude.foremost(name, said):
            return (self._move(connection, session, key, before, meta),)
        meta.update(cwd=cwd, branch=None, client=None, version=None, behind=name != source.name)
        return (before,)

    def _agree(
        self,
        connection: sqlite3.Connection,
        source: Source,
        state: dict[str, Any],
        meta: dict[str, Any],
        before: tuple[str | None, str | None] | None,
    ) -> tuple[str | None, str | None] | None:
        """Let a log of Codex tell of a session that others tell of what its foremost log says:
        the first by name of those that tell a folder. Returns the session's project and folder.
        """  # noqa: D205
        self.stir(meta.get("cwd"), before and before[1])
        if before is None or not _is_begun_with(connection, source):
            return before
        key = state["owner"]
        others = connection.execute(
            "select json_extract(state, '$.meta.cwd') is null, name from source_file "
            "where provider = 'codex' and id != ? and instr(state, ?) "
            "and json_extract(state, '$.owner') = ?",
            (source.id, key, key),
        ).fetchall()
        if not others:
            return before
        if min(others) < (meta.get("cwd") is None, source.name):
            facts = ("cwd", "branch", "client", "version", "terminal", "started")
            meta.update(dict.fromkeys(facts))
            return before
        (session,) = connection.execute("select id from session where key = ?", (key,)).fetchone()
        project = self._move(connection, session, key, before[0], meta)
        connection.execute(
            "update session set terminal = ?, started_at = coalesce(?, started_at) where id = ?",
            (meta.get("terminal"), meta.get("started"), session),
        )
        connection.execute(
            "update thread set title = ? where id = ? and title_source = 'first_message' "
            "and ?1 is not null",
            (state.get("title"), key),
        )
        return project, meta.get("cwd")

    def _move(
        self,
        connection: sqlite3.Connection,
        session: int,
        key: str,
        before: str | None,
        meta: dict[str, Any],
    ) -> str | None:
        """Have a session be described by another log than before; returns its project."""
        project = self._projects.key(meta["cwd"])
        if project != before:
            self._calls.count_for(connection, session, before, project)
        connection.execute(
            "update session set project = ?, cwd = ?, branch = ?, client = ?, client_version = ? "
            "where id = ?",
            (project, *(meta.get(k) for k in ("cwd", "branch", "client", "version")), session),
        )
        connection.execute("update thread set project = ? where id = ?", (project, key))
        connection.execute(_NO_PROJECT, (before,))
        return project

    def follow(self, connection: sqlite3.Connection, name: str) -> None:
        """Count a session of Claude under the project that its log's new name tells."""
        key = claude.owner_of(name)
        found = connection.execute(
            "select id, thread, project, cwd from session where key = ? and provider = 'claude'",
            (key,),
        ).fetchone()
        cwd = claude.folder_of(name, found[3]) if found else None
        if not found or cwd == found[3]:
            return
        session, thread, before, _ = found
        project = self._projects.key(cwd)
        self._calls.count_for(connection, session, before, project)
        connection.execute(
            "update session set project = ?, cwd = ? where id = ?", (project, cwd, session)
        )
        connection.execute(
            "update thread set project = ? where id = ? and id = ?", (project, thread, key)
        )
        lead(connection, thread)
        connection.execute(_NO_PROJECT, (before,))

    def adopt(self, connection: sqlite3.Connection, owner: str, thread: str) -> None:
        """Children that were read before their parent: join its thread, be told apart anew."""
        for session, child, kind, guessed, source in connection.execute(
            "select id, key, kind, guessed, source from session where parent = ?", (owner,)
        ).fetchall():
            if kind != "user" and thread != child:
                connection.execute(
                    "update session set thread = ? where thread = ?", (thread, child)
                )
                connection.execute(
                    "update session set thread = ? where thread = ?", (thread, owner)
                )
                for former in {child, owner} - {thread}:
                    _merge_thread(connection, former, thread)
            if guessed and source:
                self._reread |= logs_of(connection, session, source)


def add(
    connection: sqlite3.Connection,
    key: str,
    provider: str,
    meta: dict[str, Any],
    source: int | None,
    last: int | None,
) -> tuple[int, str, bool]:
    """(session, its thread, whether it is new). Facts of a log win over none."""
    known = connection.execute(
        "select id, thread, source, started_at, parent from session where key = ?", (key,)
    ).fetchone()
    kind = meta.get("kind") or "user"
    thread = str(known[1]) if known else key
    parent = meta.get("parent")
    # The first read of a file may have ended before the lines that describe its session.
    late = known is not None and any(
        before is None and said is not None
        for before, said in zip(known[3:], (meta.get("started"), parent), strict=True)
    )
    if kind != "user" and parent and (known is None or thread == key):
        above = connection.execute("select thread from session where key = ?", (parent,)).fetchone()
        thread = str(above[0]) if above else str(parent)
    values = {
        "thread": thread, "parent": parent, "forked": bool(meta.get("forked")), "kind": kind,
        "role": meta.get("role"), "project": meta.get("project"), "cwd": meta.get("cwd"),
        "branch": meta.get("branch"), "client": meta.get("client"),
        "client_version": meta.get("version"), "terminal": meta.get("terminal"),
        "started_at": meta.get("started"), "ended_at": last, "source": source,
    }  # fmt: skip
    if known is None:
        cursor = connection.execute(
            "insert into session(id, key, provider, inherited, guessed, thread, parent, forked, "
            "kind, role, project, cwd, branch, client, client_version, terminal, started_at, "
            "ended_at, source) values (?,?,?,0,0,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (meta.get("number"), key, provider, *values.values()),
        )
        session = int(cursor.lastrowid or 0)
    else:
        session = int(known[0])
        if source is not None and known[2] != source and _told_by(connection, session, known[2]):
            _update_session(connection, session, {**values, "source": None}, late)
        elif source is not None:
            several = provider == "claude"  # a session's own log, and its sub-agents'
            told = {**values, "source": None} if meta.get("behind") else values
            _update_session(connection, session, told, known[2] != source or late, several)
    named = (meta["title"], "kind") if meta.get("title") and thread == key else (None, None)
    connection.execute(
        ADD_THREAD,
        (
            thread,
            meta.get("project"),
            provider,
            meta.get("started"),
            last,
            *named,
            thread == key,
        ),
    )
    if known is not None and known[1] != thread:
        connection.execute(_NO_THREAD, (known[1],))
    new = known is None or (source is not None and (known[2] is None or late))
    return session, thread, new


def lead(connection: sqlite3.Connection, thread: str | None = None) -> None:
    """Let Claude's sub-agents count as one with the session above them, or with one another where
    no log of that is there; and a thread be of that one's project, or of theirs where it tells
    none. Of one thread, or of all.
    """  # noqa: D205
    only, given = ("", ()) if thread is None else (" and thread = ?1", (thread,))
    connection.execute(_LEAD + only, given)
    connection.execute(_PLACE + only.replace("thread", "id"), given)


_HEAD = (
    "coalesce((select above.id from session above where above.key = session.parent), "
    "(select min(other.id) from session other where other.parent = session.parent "
    "and other.kind = 'subagent'))"
)
_LEAD = (
    f"update session set head = {_HEAD} "  # noqa: S608 - our own words
    f"where kind = 'subagent' and provider = 'claude' and head is not {_HEAD}"
)
_PLACE = (
    "update thread set project = (select s.project from session s where s.thread = thread.id "
    "order by s.project is null, s.kind = 'subagent', s.key limit 1) where provider = 'claude' and "
    "exists (select 1 from session s where s.thread = thread.id and s.key != thread.id)"
)


def _is_begun_with(connection: sqlite3.Connection, source: Source) -> bool:
    """Whether a log is read from its beginning: nothing of it is stored."""
    found = connection.execute('select "offset" from source_file where id = ?', (source.id,))
    return found.fetchone() in (None, (0,))


def _told_by(connection: sqlite3.Connection, session: int, source: int | None) -> bool:
    """Whether a log of Codex that is there has told of a session's calls: another is its copy."""
    found = connection.execute(
        "select 1 from source_file f where f.id = ?2 and not f.missing and f.provider = 'codex' "
        "and exists (select 1 from call where session = ?1 and source = f.id and seen & 1)",
        (session, source),
    )
    return found.fetchone() is not None


def _update_session(
    connection: sqlite3.Connection,
    session: int,
    values: dict[str, Any],
    whole: bool,
    several: bool = False,
) -> None:
    """`several`: other logs tell of the same session, which is as long as all of them."""
    kept = {"ended_at": "max(coalesce(ended_at, 0), {})"}
    if several:
        kept["started_at"] = "min(coalesce(started_at, {0}), {0})"
    told = values
    if not whole:
        told = {name: values[name] for name in ("ended_at", "thread", *kept)}
    names = [name for name, value in told.items() if value is not None]
    assigned = ", ".join(
        f"{name} = {kept.get(name, '{}').format(f'?{place}')}"
        for place, name in enumerate(names, start=1)
    )
    connection.execute(
        f"update session set {assigned} where id = ?{len(names) + 1}",  # noqa: S608 - our names
        (*(values[name] for name in names), session),
    )


def _merge_thread(connection: sqlite3.Connection, former: str, thread: str) -> None:
    """What was a thread until its parent was known becomes a part of another."""
    connection.execute(
        "update thread set last_at = coalesce(max(thread.last_at, old.last_at), thread.last_at, "
        "old.last_at), "
        "started_at = min(coalesce(thread.started_at, old.started_at), "
        "coalesce(old.started_at, thread.started_at)) "
        "from thread old where old.id = ? and thread.id = ?",
        (former, thread),
    )
    connection.execute(_NO_THREAD, (former,))


def logs_of(connection: sqlite3.Connection, session: int, source: int) -> set[int]:
    """A session's logs: the last one that told of it (`source`), and whose calls it has."""
    calls = connection.execute(
        "select distinct source from call where session = ? and source is not null", (session,)
    )
    return {int(source), *(int(number) for (number,) in calls)}
