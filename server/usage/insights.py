"""What needs attention: cards, presets with their counts, and the threads that ask most."""

from __future__ import annotations

from typing import Any

from server.store import db
from server.usage import (
    calls,
    finding,
    names,
    recommendations,
    slices,
    textthreads,
    threads,
    thresholds,
)
from server.usage.slices import Filter

_MOST_CARDS = 7
_TOP = 10
PRESETS = (
    ("highest-cost", "threads", "cost", "desc"),
    ("usage-credits", "calls", "credits", "desc"),
    ("context-bloat", "calls", "context", "desc"),
    ("cache-misses", "calls", "cache", "asc"),
    ("reasoning-spike", "calls", "reasoning", "desc"),
    ("pricing-gaps", "calls", "tokens", "desc"),
    ("estimated-review", "calls", "cost", "desc"),
)
_SUMS = (
    "total(calls)", "total(credited)", "sum(credits)", "total(unpriced)", "total(unpriced_tokens)",
    "total(estimated)", "total(estimated_tokens)", "max(max_context)", "total(bloat)",
    "total(grown)", "total(misses)", "min(least_cache)", "total(spikes)", "max(most_reasoning)",
)  # fmt: skip
_NAMES = (
    "calls", "credited", "credits", "unpriced", "unpriced_tokens", "estimated", "estimated_tokens",
    "max_context", "bloat", "grown", "misses", "least_cache", "spikes", "most_reasoning",
)  # fmt: skip


@slices.moment()
def found(wanted: Filter) -> dict[str, Any]:
    """Cards, presets and top threads over the filtered calls, and the thresholds used."""
    slices.refresh()
    sums, (number, dearest, top) = _outstanding(wanted)
    counts = {
        "highest-cost": number,
        "usage-credits": int(sums["credited"]),
        "context-bloat": int(sums["grown"]),
        "cache-misses": int(sums["misses"]),
        "reasoning-spike": int(sums["spikes"]),
        "pricing-gaps": int(sums["unpriced"]),
        "estimated-review": int(sums["estimated"]),
    }
    return {
        "cards": cards(sums, dearest),
        "presets": [
            {"key": key, "view": view, "sort": sort, "direction": way, "count": counts[key]}
            for key, view, sort, way in PRESETS
        ],
        "threads": top,
        "thresholds": thresholds.current(),
    }


def _outstanding(wanted: Filter) -> tuple[dict[str, Any], threads.Outstanding]:
    """The sums of all calls, and what stands out of the threads."""
    if wanted.text or wanted.models or wanted.efforts:
        with names.known() as known:
            wanted = finding.found(wanted, listed=False, mixed=True)
            if textthreads.does(wanted):
                held = textthreads.Threads(wanted, known)
                return held.measures(), threads.outstanding_of(held, _TOP)
    return _sums(wanted), threads.outstanding(wanted, _TOP)


def cards(sums: dict[str, Any], dearest: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The cards that apply, in the order of the rules."""
    made: list[dict[str, Any]] = []
    if dearest and dearest["costUsd"]:
        card = _card("highest-cost", dearest["severity"], 1, dearest["costUsd"], "usd")
        made.append(
            card
            | {
                "threadId": dearest["id"],
                "threadTitle": dearest["title"],
                "unpriced": dearest["unpriced"],
                "estimated": "estimated-pricing" in dearest["flags"],
            }
        )
    credits = None if sums["credits"] is None else sums["credits"] / 1e6
    rules = (
        ("low-cache", "medium", sums["misses"], _share(sums["least_cache"], 10_000), "ratio"),
        ("context-bloat", "high", sums["bloat"], _share(sums["max_context"], 100), "percent"),
        (
            "usage-credits",
            recommendations.severity(min((credits or 0) * 2.4, 140)),
            sums["credited"],
            credits,
            "credits",
        ),
        ("unpriced", "review", sums["unpriced"], sums["unpriced_tokens"], "tokens"),
        ("estimated", "review", sums["estimated"], sums["estimated_tokens"], "tokens"),
        ("reasoning-spike", "medium", sums["spikes"], sums["most_reasoning"], "tokens"),
    )
    made += [_card(*rule) for rule in rules if rule[2]]
    return made[:_MOST_CARDS]


_PRESET_OF = {
    "highest-cost": "highest-cost",
    "low-cache": "cache-misses",
    "context-bloat": "context-full",
    "usage-credits": "usage-credits",
    "unpriced": "pricing-gaps",
    "estimated": "estimated-review",
    "reasoning-spike": "reasoning-spike",
}


def _card(key: str, severity: str, count: float, value: float | None, unit: str) -> dict[str, Any]:
    whole = unit == "tokens" and value is not None
    return {
        "key": key,
        "severity": severity,
        "count": int(count),
        "value": int(value) if whole and value is not None else value,
        "unit": unit,
        "threadId": None,
        "threadTitle": None,
        "callId": None,
        "preset": _PRESET_OF[key],
        "unpriced": 0,
        "estimated": False,
    }


def _share(value: int | None, whole: int) -> float | None:
    return None if value is None else value / whole


def _sums(wanted: Filter) -> dict[str, Any]:
    """The sums of every slice that the filter finds; of the threads' rollup when it names none."""
    if slices.bare(wanted):
        rows = db.rows(f"select {', '.join(_SUMS)} from thread_usage where {slices.part(wanted)}")  # noqa: S608
        loose = db.rows(f"select {', '.join(_SUMS)} from stretch where session = 0")  # noqa: S608
        return {
            name: _joined(fold, rows[0][place], loose[0][place])
            for place, (name, fold) in enumerate(zip(_NAMES, _SUMS, strict=True))
        }
    told = calls.sessions_of if calls.by_sessions(wanted) else slices.summed
    source, values = told(wanted)
    found = db.rows(f"select {', '.join(_SUMS)} {source}", values)  # noqa: S608
    return dict(zip(_NAMES, found[0], strict=True))


def _joined(fold: str, one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if fold.startswith("max"):
        return max(one, other)
    return min(one, other) if fold.startswith("min") else one + other
