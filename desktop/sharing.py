"""The report: one HTML file that needs nothing else, and holds only figures and names. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--bar:#3b7dd8}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:1rem;margin:0}
dt{opacity:.7}dd{margin:0;font-size:1.3rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%}
th,td{padding:.3rem .5rem;border-bottom:1px solid var(--line);text-align:start}
td.n,th.n{text-align:end;font-variant-numeric:tabular-nums}
meter{width:100%;min-width:6rem}footer{margin-top:2rem;opacity:.7}
"""
_SHOWN_DAYS = 400


def page(
    *,
    days: Sequence[dict[str, Any]],
    totals: dict[str, Any],
    models: Sequence[dict[str, Any]],
    projects: Sequence[dict[str, Any]],
    threads: Sequence[dict[str, Any]],
) -> str:
    """The whole page; every name in it is escaped, as it comes from logs."""
    used = [day for day in days if day["calls"]][-_SHOWN_DAYS:]
    span = f"{used[0]['day']} to {used[-1]['day']}" if used else "no calls yet"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>Token usage</title><style>{_STYLE}</style>"
        f"<h1>Token usage</h1><p>{escape(span)}</p>{_totals(totals)}"
        f"{_days(used)}{_groups('Models', 'name', models)}"
        f"{_groups('Projects', 'project', projects)}{_threads(threads)}"
        "<footer>Made by Brimline from local session logs. Costs are estimates from list prices."
        "</footer></html>\n"
    )


def _totals(totals: dict[str, Any]) -> str:
    shown = (
        ("Calls", _count(totals["calls"])),
        ("Tokens", _count(totals["totalTokens"])),
        ("Cached input", _count(totals["cachedInput"])),
        ("Uncached input", _count(totals["uncachedInput"])),
        ("Output", _count(totals["output"])),
        ("Cost", _money(totals["costUsd"])),
        ("Calls without a price", _count(totals["unpriced"])),
    )
    return "<dl>" + "".join(f"<div><dt>{a}</dt><dd>{b}</dd></div>" for a, b in shown) + "</dl>"


def _days(days: Sequence[dict[str, Any]]) -> str:
    sums = [day["cachedInput"] + day["uncachedInput"] + day["output"] for day in days]
    most = max(sums, default=0) or 1
    rows = [
        f"<tr><td>{escape(day['day'])}</td><td><meter max={most} value={tokens}></meter></td>"
        f"{_n(_count(tokens))}{_n(_count(day['calls']))}{_n(_count(day['sessions']))}"
        f"{_n(_money(day['costUsd']))}</tr>"
        for day, tokens in sorted(zip(days, sums, strict=True), key=lambda one: one[0]["day"])
    ]
    return _table("Days", ("Day", ""), ("Tokens", "Calls", "Sessions", "Cost"), reversed(rows))


def _groups(title: str, key: str, groups: Sequence[dict[str, Any]]) -> str:
    rows = [
        f"<tr><td>{_name(group.get(key))}</td>{_n(_count(group['totalTokens']))}"
        f"{_n(_count(group['calls']))}{_n(_share(group['cacheRatio']))}"
        f"{_n(_money(group['costUsd']))}</tr>"
        for group in groups
    ]
    return _table(title, ("Name",), ("Tokens", "Calls", "Cache", "Cost"), rows)


def _threads(threads: Sequence[dict[str, Any]]) -> str:
    rows = [
        f"<tr><td>{_name(row['title'])}</td><td>{_name(row['project'])}</td>"
        f"{_n(_count(row['totalTokens']))}{_n(_count(row['calls']))}"
        f"{_n(_share(row['cacheRatio']))}{_n(_money(row['costUsd']))}</tr>"
        for row in threads
    ]
    return _table(
        "Threads that ask for a look", ("Thread", "Project"),
        ("Tokens", "Calls", "Cache", "Cost"), rows,
    )  # fmt: skip


def _table(title: str, words: Sequence[str], numbers: Sequence[str], rows: Any) -> str:
    body = "".join(rows)
    if not body:
        return ""
    head = "".join(f"<th>{word}</th>" for word in words)
    head += "".join(f'<th class="n">{word}</th>' for word in numbers)
    return f"<h2>{title}</h2><table><tr>{head}</tr>{body}</table>"


def _n(text: str) -> str:
    return f'<td class="n">{text}</td>'


def _name(text: str | None) -> str:
    return escape(text) if text else "–"


def _count(value: int) -> str:
    return f"{value:,}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _money(value: float | None) -> str:
    return "–" if value is None else f"${value:,.2f}"
