"""SigNoz' own queries over what was received, so that both dashboards can be compared.

They are kept as they are, with what they really measure: the model pie counts records, the
tool pie counts decision and result, “model calls” are tool calls (docs/API.md).
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any

from server.store import db
from server.usage.durations import Durations
from server.usage.steps import Span, Steps

_WITHIN = " where quarter >= ? and quarter < ? and provider in (select value from json_each(?))"
# Panels of how many records have each value of an attribute.
_RECORDS = {"models": "model", "tools": "tool", "success": "success", "decisions": "decision"}
# Panels of how many conversations have each value.
_TALKS = {"users": "user", "terminals": "terminal"}


class Literal:
    """What SigNoz would show of a span in whole quarters of an hour."""

    def __init__(self, span: Span, steps: Steps, details: int) -> None:
        self._span, self._steps, self._details = span, steps, details

    def value(self, panel: str) -> dict[str, Any]:
        """One panel's value, in the same form as the corrected one."""
        if panel in _RECORDS:
            return {"items": self._records(_RECORDS[panel])}
        if panel in _TALKS:
            return {"items": self._conversations_by(_TALKS[panel])}
        if panel in ("input", "output", "cached", "cacheRate"):
            return {"value": self._tokens.get(panel)}
        return getattr(self, f"_{panel}")()  # type: ignore[no-any-return]

    @cached_property
    def _tokens(self) -> dict[str, Any]:
        """The sums; None where SigNoz has nothing to add up."""
        taken, output, cached = self._rows(
            "sum(input), sum(output), sum(cached)", "telemetry_slice", " and heading = 'usage'"
        )[0]
        rate = 100 * cached / taken if taken else None
        return {"input": taken, "output": output, "cached": cached, "cacheRate": rate}

    def _conversations(self) -> dict[str, Any]:
        sql = "count(distinct nullif(session_id, ''))"
        return {"value": self._rows(sql, "telemetry_talk")[0][0]}

    def _modelCalls(self) -> dict[str, Any]:  # noqa: N802 - the panel's own id
        return {"value": self._rows("coalesce(sum(calls), 0)", "telemetry_talk")[0][0]}

    def _modelTokens(self) -> dict[str, Any]:  # noqa: N802
        """Input and output tokens by model."""
        found = self._rows(
            "name, sum(input + output)",
            "telemetry_slice",
            " and heading = 'usage' and name != '' group by name",
        )
        return {"items": _items(found)}

    def _records(self, heading: str) -> list[dict[str, Any]]:
        return _items(
            self._rows(
                "name, sum(count)", "telemetry_slice", f" and heading = '{heading}' group by name"
            )
        )

    def _conversations_by(self, column: str) -> list[dict[str, Any]]:
        return _items(
            self._rows(
                f"{column}, count(distinct session_id)",
                "telemetry_talk",
                f" and {column} != '' and session_id != '' group by 1",
            )
        )

    def _conversationsOverTime(self) -> dict[str, Any]:  # noqa: N802
        found = self._rows(
            "distinct quarter, session_id", "telemetry_talk", " and session_id != ''"
        )
        return {"points": self._steps.points(self._steps.distinct(found))}

    def _tokensOverTime(self) -> dict[str, Any]:  # noqa: N802
        found = self._rows(
            "quarter, sum(input + output)",
            "telemetry_slice",
            " and heading = 'usage' group by quarter",
        )
        return {"points": self._steps.points(self._steps.sums(found))}

    def _commandDuration(self) -> dict[str, Any]:  # noqa: N802
        """Every duration there is, whatever it measures."""
        found = Durations(self._span, self._steps)
        return {
            "points": found.p95("all"),
            "value": found.overall("all"),
            "estimated": found.estimated("all"),
        }

    def _conversationDetails(self) -> dict[str, Any]:  # noqa: N802
        """Every duration of a conversation added up, and its tool calls as model calls."""
        timed = " and session_id != '' and duration > 0"
        found = self._rows(
            "session_id, sum(duration), sum(timed)",
            "telemetry_talk",
            f"{timed} group by 1 order by 2 desc, 1 limit {self._details}",
        )
        total = self._rows("count(distinct session_id)", "telemetry_talk", timed)[0][0]
        return {
            "rows": [
                {"conversation": name, "durationMs": took, "modelCalls": calls}
                for name, took, calls in found
            ],
            "total": total,
            "hasMore": total > len(found),
        }

    def _rows(self, columns: str, table: str, rest: str = "") -> list[tuple[Any, ...]]:
        return db.rows(
            f"select {columns} from {table}{_WITHIN}{rest}",  # noqa: S608
            self._span.quarters(),
        )


def _items(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    counts = Counter(dict(rows))
    return [{"name": name, "value": number} for name, number in counts.most_common()]
