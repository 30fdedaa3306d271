"""What the index notes by itself, in the transaction that changes it: SQL triggers."""

from __future__ import annotations

# Calls that are new are told by their row number, which is above every other's. Whatever else
# changes what the rollups add up says so in its own transaction, by these; `usage.slices` reads it.
_SUMMED = (
    "session", "model", "effort", "account", "price_status", "provider", "started_at",
    "duration_ms", "input", "cached", "output", "reasoning", "running", "context_window", "cost",
    "credits",
)  # fmt: skip
_DIFFER = " or ".join(f"old.{name} is not new.{name}" for name in _SUMMED)
TRIGGERS = [
    f"create trigger if not exists call_changed after update of {', '.join(_SUMMED)} "  # noqa: S608
    f"on call when {_DIFFER} "
    "begin insert or ignore into unsummed values (coalesce(old.session, 0)), "
    "(coalesce(new.session, 0)); "
    "insert or ignore into fact_touched select new.source where new.source is not null; end",
    # SQLite gives the number of the last row away again once that is gone.
    "create trigger if not exists call_gone after delete on call begin "
    "insert or ignore into unsummed values (coalesce(old.session, 0)); "
    "update ledger_note set value = (select coalesce(max(rowid), 0) from call) "
    "where name in ('summed', 'summed_facts', 'priced') "
    "and value + 0 > (select coalesce(max(rowid), 0) from call); "
    "insert or ignore into fact_touched select old.source where old.source is not null; end",
    "create trigger if not exists session_moved after update of thread, project, kind, source, "
    "head on session when old.thread is not new.thread or old.project is not new.project "
    "or old.kind is not new.kind or old.source is not new.source "
    "or old.head is not new.head begin "
    "insert or ignore into unsummed values (new.id); "
    "insert or ignore into unsummed_thread select old.thread where old.thread is not new.thread; "
    "end",
    "create trigger if not exists source_archived after update of archived on source_file "
    "when old.archived is not new.archived begin insert or ignore into unsummed values (-1); end",
]
