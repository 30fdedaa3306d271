"""What telemetry said, in the database: stored, joined with the ledger, and forgotten in time."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from server.ingest import failed, fold, match
from server.ingest.match import Conversation, Seen
from server.ingest.otlp import Batch, Event
from server.ingest.reconcile import TELEMETRY
from server.store import db, settings
from server.usage.days import QUARTER
from server.usage.outcomes import ending

_DAY = 86_400_000
_CHUNK = 200  # rows a transaction, so that nobody else waits long for the writer's lock
_AT_ONCE = 400  # names in one `in (…)`

Tally = Counter[tuple[str, str]]  # (kind, name) → how many


# ── store ─────────────────────────────────────────────────────────────────────────────────


def store(connection: sqlite3.Connection, batches: Sequence[Batch], tally: Tally, now: int) -> int:
    """Write batches inside the caller's transaction; returns how many events were new."""
    events: dict[bytes, Event] = {}
    counts = Counter(tally)
    for batch in batches:
        counts["batches", batch.signal] += 1
        counts["records", batch.signal] += batch.records
        for reason, number in batch.dropped.items():
            counts["dropped", reason] += number
        for event in batch.events:
            if event.key in events:
                counts["repeated", event.provider] += 1
            events[event.key] = event
    for key in _known(connection, events):
        counts["repeated", events.pop(key).provider] += 1
    new = list(events.values())
    fold.fold(connection, new)
    _insert(connection, new)
    failed.judge(connection, new)
    _sessions(connection, new)
    for event in new:
        counts["stored", event.provider] += 1
        counts["version", f"{event.service or event.provider} {event.version or '?'}"] += 1
    _count(connection, counts, now)
    return len(new)


def _known(connection: sqlite3.Connection, keys: Iterable[bytes]) -> list[bytes]:
    names = list(keys)
    found: list[bytes] = []
    for start in range(0, len(names), _AT_ONCE):
        part = names[start : start + _AT_ONCE]
        marks = ",".join("?" * len(part))
        sql = f"select key from telemetry_event where key in ({marks})"  # noqa: S608
        found += [bytes(row[0]) for row in connection.execute(sql, part)]
    return found


def _insert(connection: sqlite3.Connection, events: Sequence[Event]) -> None:
    connection.executemany(
        "insert into telemetry_event(key, name, kind, provider, session_id, at, service, version, "
        "model, user, terminal, tool, call_id, decision, success, status, duration_ms, count, "
        "attributes, ending, failed) values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                e.key, e.name, e.kind, e.provider, e.session_id, e.at, e.service, e.version,
                e.model, e.user, e.terminal, e.tool, e.call_id, e.decision, e.success, e.status,
                e.duration_ms, e.count, orjson.dumps(e.attributes).decode(),
                ending(e.name, e.kind, e.status, e.success, e.attributes), e.failed,
            )
            for e in events
        ],
    )  # fmt: skip
    connection.executemany(
        "insert or ignore into telemetry_usage(key, provider, session_id, at, model, user, input, "
        "cached, cache_written, output, reasoning, ttft_ms) values (?,?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                e.key, e.provider, e.session_id, e.at, e.model, e.user, u.input, u.cached,
                u.cache_written, u.output, u.reasoning, u.ttft_ms,
            )
            for e in events
            if (u := e.usage) is not None and not u.empty
        ],
    )  # fmt: skip


def _sessions(connection: sqlite3.Connection, events: Iterable[Event]) -> None:
    found: dict[str, list[Any]] = {}
    for event in events:
        if event.session_id is None:
            continue
        row = found.setdefault(
            event.session_id, [event.session_id, event.provider, 0, None, None, event.at, event.at]
        )
        row[5], row[6] = min(row[5], event.at), max(row[6], event.at)
        if event.name.endswith(".user_prompt"):
            row[2] += 1
            row[3] = row[3] if row[3] is not None else event.attributes.get("prompt_length")
        row[4] = event.attributes.get("sandbox_policy") or row[4]
    connection.executemany(
        "insert into telemetry_session(session_id, provider, kind, prompts, prompt_length, "
        "sandbox, first_at, last_at) values (?,?,'user',?,?,?,?,?) "
        "on conflict(session_id) do update set prompts = prompts + excluded.prompts"
        ", prompt_length = coalesce(prompt_length, excluded.prompt_length)"
        ", sandbox = coalesce(excluded.sandbox, sandbox)"
        ", first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)",
        list(found.values()),
    )


def _count(connection: sqlite3.Connection, counts: Tally, now: int) -> None:
    day = datetime.fromtimestamp(now / 1000, UTC).date().isoformat()
    connection.executemany(
        "insert into telemetry_count(day, kind, name, count, last_at) values (?,?,?,?,?) "
        "on conflict(kind, name, day) do update set count = count + excluded.count"
        ", last_at = max(last_at, excluded.last_at)",
        [(day, kind, name, number, now) for (kind, name), number in counts.items() if number],
    )


# ── join with the ledger ──────────────────────────────────────────────────────────────────


def reconcile(since: int = 0) -> int:
    """Give every telemetry record its call where the ledger has one; returns how many it found.

    Reads first and writes in short transactions; running it again changes nothing.
    Whether a conversation is a helper is judged anew only for those begun since `since`.
    """
    waiting = db.rows(
        "select u.key, s.id, u.at, u.input, u.cached, u.output, u.reasoning "
        "from telemetry_usage u join session s on s.key = u.session_id where u.call is null"
    )
    telemetry = [
        Seen(bytes(key), str(sid), at, (i, c, o, r)) for key, sid, at, i, c, o, r in waiting
    ]
    pairs = match.pair(telemetry, _calls({int(one.session) for one in telemetry}))
    for start in range(0, len(pairs), _CHUNK):
        part = pairs[start : start + _CHUNK]
        with db.writing("telemetry", "calls") as connection:
            connection.executemany("update telemetry_usage set call = ? where key = ?",
                                   [(call, key) for key, call in part])  # fmt: skip
            connection.executemany("update call set seen = seen | ? where id = ?",
                                   [(TELEMETRY, call) for _, call in part])  # fmt: skip
    mark_helpers(since)
    return len(pairs)


def _calls(sessions: Iterable[int]) -> list[Seen]:
    names = sorted(sessions)
    found: list[Seen] = []
    for start in range(0, len(names), _AT_ONCE):
        part = names[start : start + _AT_ONCE]
        marks = ",".join("?" * len(part))
        sql = (
            "select c.id, c.session, c.started_at, c.input, c.cached, c.output, c.reasoning "  # noqa: S608
            f"from call c where c.session in ({marks}) "
            "and not exists (select 1 from telemetry_usage u where u.call = c.id)"
        )
        found += [Seen(n, str(s), at, (i, c, o, r)) for n, s, at, i, c, o, r in db.rows(sql, part)]
    return found


def mend() -> None:
    """Let records look for their call again when a log was read anew and its rows replaced."""
    lost = db.rows(
        "select u.key from telemetry_usage u left join call c on c.id = u.call "
        "where u.call is not null and c.id is null"
    )
    unmarked = db.rows(
        "select c.id from telemetry_usage u join call c on c.id = u.call where c.seen & ? = 0",
        (TELEMETRY,),
    )
    if lost or unmarked:
        with db.writing("telemetry") as connection:
            connection.executemany("update telemetry_usage set call = null where key = ?", lost)
            connection.executemany(
                "update call set seen = seen | ? where id = ?",
                [(TELEMETRY, name) for (name,) in unmarked],
            )


def mark_helpers(since: int = 0) -> None:
    """Say of each conversation since then whether Codex started it for itself."""
    rows = db.rows(
        "select t.session_id, t.kind, s.kind, s.source is not null, t.prompts, t.prompt_length, "
        "t.sandbox, t.first_at from telemetry_session t "
        "left join session s on s.key = t.session_id "
        "where t.first_at >= ? and (t.kind != 'user' or t.sandbox = 'read-only' "
        "or s.kind in ('title', 'review'))",
        (since,),
    )
    changed = []
    for name, now_kind, kind, logged, prompts, length, sandbox, first_at in rows:
        turns = db.rows(
            "select at from telemetry_event where name = 'codex.user_prompt' "
            "and at between ? and ? and session_id != ?",
            (first_at - 60_000, first_at, name),
        )
        one = Conversation(bool(logged), kind if logged or kind != "user" else None, prompts,
                           length, sandbox, first_at)  # fmt: skip
        wanted = "helper" if match.is_helper(one, [at for (at,) in turns]) else "user"
        if wanted != now_kind:
            changed.append((wanted, name))
    if changed:
        with db.writing("telemetry") as connection:
            connection.executemany(
                "update telemetry_session set kind = ? where session_id = ?", changed
            )


# ── forget ────────────────────────────────────────────────────────────────────────────────


def forget_old(now: int) -> int:
    """Keep telemetry as long and as large as the settings say; returns how many events went."""
    gone = 0
    days = int(settings.get("telemetryDays"))
    if days:
        # Whole days (UTC), so that no rollup is left that tells of a part.
        before = (now // _DAY - days) * _DAY
        gone += _delete("select id from telemetry_event where at < ? order by at limit ?", before)
        with db.writing("telemetry") as connection:
            for table, column in (("telemetry_usage", "at"), ("telemetry_session", "last_at")):
                sql = f"delete from {table} where {column} < ?"  # noqa: S608
                connection.execute(sql, (before,))
            fold.forget(connection, before // QUARTER, usage=True)
    return gone + trim()


def trim() -> int:
    """Remove the oldest events beyond the most that are kept."""
    most = int(settings.get("telemetryRows"))
    extra = count() - most
    if extra <= 0:
        return 0
    cut = db.rows("select at from telemetry_event order by at limit 1 offset ?", (extra - 1,))
    gone = _delete("select id from telemetry_event where at <= ? order by at limit ?", cut[0][0])
    with db.writing("telemetry") as connection:
        fold.refold(connection, cut[0][0] // QUARTER)
        _count(connection, Counter({("dropped", "over the most that is kept"): gone}), db.now_ms())
    return gone


def count() -> int:
    """How many events are stored."""
    return int(db.rows("select count(*) from telemetry_event")[0][0])


def _delete(which: str, bound: int) -> int:
    gone = 0
    while True:
        with db.writing("telemetry") as connection:
            removed = connection.execute(
                f"delete from telemetry_event where id in ({which})",  # noqa: S608
                (bound, _CHUNK * 5),
            ).rowcount
        gone += removed
        if removed < _CHUNK * 5:
            return gone
