"""The tool calls of conversations that only their logs tell of: telemetry saw none of these."""

from __future__ import annotations

from collections import Counter

from server.store import db
from server.usage.steps import Span

# From the files of the silent conversations on, so that no other file's calls are looked at.
_RUNS = (
    "with quiet as materialized (select s.id as id, s.key as key, s.source as source "
    "from session s where s.id in (select session from slice where quarter >= ?1 "
    "and quarter < ?2) and s.provider in (select value from json_each(?3)) "
    "and s.source is not null and not exists "
    "(select 1 from telemetry_session t where t.session_id = s.key)) "
    "select q.key, x.function, count(*) from (select distinct source from quiet) f "
    "cross join fact_call k on k.source = f.source cross join call c on c.id = k.call "
    "cross join tool_run x on x.source = k.source and x.number = k.number "
    "join quiet q on q.id = c.session "
    "where c.started_at >= ?4 and c.started_at < ?5 and x.part = 0 group by 1, 2"
)


class LogTools:
    """Tool calls by tool and by conversation, of a span in whole quarters of an hour."""

    def __init__(self, span: Span) -> None:
        self.by_tool: Counter[str] = Counter()
        self.by_talk: Counter[str] = Counter()
        for key, tool, number in db.rows(_RUNS, (*span.quarters(), span.since, span.until)):
            self.by_tool[tool] += number
            self.by_talk[key] += number
