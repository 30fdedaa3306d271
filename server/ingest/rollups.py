"""The ledger's sums by day: what calls add to them and take from them."""

from __future__ import annotations

from server.ingest.reader import SUMS, Batch
from server.lazy import defaultdict
from server.usage.days import chosen
from server.usage.pricing import edition

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

    from server.ingest.folders import Projects
    from server.ingest.reconcile import Row
    from server.usage.days import Days

    Delta = tuple[str, str, str, str, str]  # day, provider, model, project, account


_WITHOUT_CALLS = (
    "delete from project where key = ?1 and not exists "
    "(select 1 from daily_usage where heading = 'project' and name = ?1)"
)


class Rollups:
    """What calls change in the sums, until that is written, in the same transaction."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._deltas: dict[Delta, list[int]] = defaultdict(lambda: [0] * SUMS)

    def days(self) -> Days:
        """The days of the zone that is set."""
        return chosen()

    def keep_zone(self, connection: sqlite3.Connection) -> None:
        """Count the days anew when the zone is another than the one they were counted in."""
        wanted = self.days().zone or _system_zone()
        known = connection.execute("select value from ledger_note where name = 'zone'").fetchone()
        if known and known[0] == wanted:
            return
        if known:
            self.rebuild(connection)
        else:  # nothing is stored yet: what comes is priced by this edition
            connection.execute(
                "insert or ignore into ledger_note values ('edition', ?)", (edition(),)
            )
        connection.execute("replace into ledger_note values ('zone', ?)", (wanted,))

    def rebuild(self, connection: sqlite3.Connection) -> None:
        """Make the rollups anew from the calls."""
        days = self.days()
        connection.create_function("local_day", 1, days.of, deterministic=True)
        connection.execute("delete from daily_usage")
        for heading, name in (
            ("model", "coalesce(call.model, '')"),
            ("project", "coalesce(session.project, '')"),
            ("account", "coalesce(call.account, '')"),
        ):
            connection.execute(
                "insert into daily_usage(day, heading, provider, name, calls, input, cached, "  # noqa: S608
                "output, reasoning, cost, unpriced) "
                f"select local_day(call.started_at), '{heading}', call.provider, {name}, count(*), "
                "sum(input), sum(cached), sum(output), sum(reasoning), sum(coalesce(cost, 0)), "
                "sum(cost is null) from call left join session on session.id = call.session "
                f"group by local_day(call.started_at), call.provider, {name}"
            )

    def count(self, row: Row, project: str | None, sign: int = 1) -> None:
        """Add a call, or (-1) take it away."""
        key = (
            self.days().of(row.started_at),
            row.provider,
            row.model or "",
            project or "",
            row.account or "",
        )
        total = self._deltas[key]
        total[0] += sign
        total[1] += sign * row.input
        total[2] += sign * row.cached
        total[3] += sign * row.output
        total[4] += sign * row.reasoning
        total[5] += sign * (row.cost or 0)
        total[6] += sign * (row.cost is None)

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write the rollups' changes; call it before the transaction ends."""
        folded: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0] * SUMS)
        for (day, provider, model, project, account), sums in self._deltas.items():
            for heading, name in (("model", model), ("project", project), ("account", account)):
                total = folded[(day, heading, provider, name)]
                for place, value in enumerate(sums):
                    total[place] += value
        projects = {key[3] for key, sums in self._deltas.items() if sums[0] > 0}
        fewer = [(key[3],) for key, sums in self._deltas.items() if sums[0] < 0 and key[3]]
        self._deltas.clear()
        if not folded:
            return
        connection.executemany(
            # Where capitals tell no folders apart, each order of the logs shows the same one.
            "insert into project(key, root) values (?, ?) on conflict(key) do update "
            "set root = excluded.root where excluded.root < root",
            [(key, self._projects.roots[key]) for key in projects if key in self._projects.roots],
        )
        connection.executemany(
            "insert into daily_usage(day, heading, provider, name, calls, input, cached, output, "
            "reasoning, cost, unpriced) values (?,?,?,?,?,?,?,?,?,?,?) "
            "on conflict(heading, day, provider, name) do update set calls = calls + excluded.calls"
            ", input = input + excluded.input, cached = cached + excluded.cached"
            ", output = output + excluded.output, reasoning = reasoning + excluded.reasoning"
            ", cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced",
            # What came and went again leaves no trace.
            [(*key, *sums) for key, sums in folded.items() if any(sums)],
        )
        if any(sums[0] < 0 for sums in folded.values()):
            connection.execute("delete from daily_usage where calls = 0")
            connection.executemany(_WITHOUT_CALLS, fewer)

    def forget(self) -> None:
        """Drop what was counted for a transaction that failed."""
        self._deltas.clear()

    def count_days(self, provider: str, project: str | None, batch: Batch) -> list[int]:
        """Add a batch's sums to the rollups; returns them over all its days."""
        added = [0] * SUMS
        for (day, model), sums in batch.days.items():
            total = self._deltas[(day, provider, model, project or "", "")]
            for place, value in enumerate(sums):
                total[place] += value
                added[place] += value
        return added

    def sums(self, rows: Sequence[tuple[Any, ...]]) -> dict[tuple[str, str], list[int]]:
        """Rows of a reader by day and model."""
        day = self.days().of
        found: dict[tuple[str, str], list[int]] = {}
        for row in rows:
            total = found.setdefault((day(row[5]), row[2] or ""), [0] * SUMS)
            total[0] += 1
            total[1] += row[7]
            total[2] += row[8]
            total[3] += row[10]
            total[4] += row[11]
            total[5] += row[15] or 0
            total[6] += row[15] is None
        return found

    def cut(self, batch: Batch, count: int) -> None:
        """Take the first calls out of a batch that nothing is stored of."""
        if batch.held:
            batch.held.cut(batch, count)
            return
        rows = batch.rows
        batch.rows = rows[count:]
        if count > len(batch.rows):
            batch.days = self.sums(batch.rows)
            return
        for key, sums in self.sums(rows[:count]).items():
            left = [value - gone for value, gone in zip(batch.days[key], sums, strict=True)]
            batch.days[key] = left
            if not left[0]:
                del batch.days[key]


def _system_zone() -> str:
    """Something that changes when this computer's zone does."""
    import time

    return f"{time.tzname[0]}/{time.tzname[1]}/{time.timezone}"
