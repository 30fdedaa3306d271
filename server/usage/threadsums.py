"""What threads are ordered by and what is told of them, in SQL over their sums `g`."""

from __future__ import annotations

from server.usage import titled

# Unknown sorts below everything, so that no row gets lost between pages.
ATTENTION = (
    "round(min(g.cost * 24e-6, 72) + min(coalesce(g.credits, 0) * 2.4e-6, 72) "
    "+ min((g.input + g.output) / 3500.0, 42) "
    "+ (case when g.input > 0 then max(0, min((0.55 - 1.0 * g.cached / g.input) * 70, 38)) "
    "else 0 end) + min(coalesce(g.max_context, 0) * 45 / 10000.0, 45) "
    "+ (case when g.unpriced = g.calls then 36 when g.unpriced + g.estimated > 0 then 18 "
    "else 0 end) + 4 * g.subagents + 6 * g.reviews "
    "+ 10 * ((g.bloat > 0) + (g.misses > 0) + (g.spikes > 0) + (g.dear > 0) + (g.idle > 0)), 2)"
)
SORTS = {
    "time": "g.last_at",
    "tokens": "(g.input + g.output)",
    "calls": "g.calls",
    "cost": "(case when g.unpriced = g.calls then -1 else g.cost end)",
    "credits": "coalesce(g.credits, -1)",
    "cache": "coalesce(1.0 * g.cached / nullif(g.input, 0), -1.0)",
    "context": "coalesce(g.max_context, -1)",
    "duration": "coalesce(g.duration, -1)",
    "attention": ATTENTION,
    "thread": titled.of_threads(names=True),
    "model": "g.model",  # that of most calls
    "effort": "g.effort",
}
COLUMNS = (
    "g.thread, g.provider, g.sessions, g.subagents, g.reviews, g.calls, g.input, g.cached, "
    "g.output, g.reasoning, g.cost, g.credits, g.unpriced, g.estimated, g.duration, g.first_at, "
    f"g.last_at, g.max_context, g.bloat, g.misses, g.spikes, g.dear, g.idle, {ATTENTION}"
)
TOTALS = (
    "count(*), total(g.calls), total(g.input), total(g.cached), total(g.output), "
    "total(g.reasoning), total(g.cost), total(g.unpriced), total(g.estimated), "
    "sum(g.credits)"
)
# The threads that do nothing but find a title for another, where nobody told whose.
TITLING = "select thread from session where kind = 'title' and key = thread"
