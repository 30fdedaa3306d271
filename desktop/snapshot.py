"""The snapshot: one HTML file with calls that can be filtered, sorted and looked into.

Script, style and calls stand in the file itself, and its policy permits that script and that style
alone, by their checksums: nothing is asked of anywhere, and no name can become markup. Pure, but
for reading those two files of its own.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from desktop.sharing import PARTLY, Speech, days_of, stamps, tables

MOST = 20_000  # calls; more would be a page that no browser sorts at once
USUAL = 5_000
# Of a call as the API gives it; an id of an account is no one's business but its owner's.
COLUMNS = (
    "id", "at", "provider", "threadTitle", "threadId", "sessionId", "project", "model", "effort",
    "initiator", "kind", "durationMs", "gapMs", "totalTokens", "inputTokens", "cachedInputTokens",
    "uncachedInputTokens", "cacheWriteTokens", "outputTokens", "reasoningTokens", "cacheRatio",
    "contextPercent", "costUsd", "priceStatus", "credits", "creditModel", "attention",
)  # fmt: skip
# The words that the script shows; it has no others.
WORDS = (
    "snapshot.made", "snapshot.all", "snapshot.newest", "snapshot.matching", "filter.any",
    "filter.reversed", "filter.confidence", "range.all", "range.today", "range.7d", "range.30d",
    "range.week", "range.month", "range.custom", "calls.title", "threads.title",
    "report.projects", "report.models", "report.days", "series.day", "series.calls",
    "threads.col.latest", "threads.col.attention",
    "threads.kind", "threads.kind.main", "threads.kind.subagent", "threads.kind.review",
    "threads.kind.title", "calls.noMatch", "calls.noPrice", "calls.more", "calls.shown",
    "calls.col.time", "calls.col.thread", "calls.col.project", "calls.col.model",
    "calls.col.effort", "calls.col.tokens", "calls.col.input", "calls.col.cached",
    "calls.col.new", "calls.col.output", "calls.col.reasoning", "calls.col.cache",
    "calls.col.duration", "calls.col.cost", "calls.col.gap", "calls.col.initiator",
    "calls.provider", "calls.cacheShare", "calls.contextShare", "calls.credits",
    "provider.codex", "provider.claude", "calls.threadId", "calls.sessionId", "calls.callId",
    "calls.price.exact", "calls.price.estimated", "calls.price.unpriced", "calls.initiator.user",
    "calls.initiator.agent", "calls.initiator.tool", "calls.initiator.compaction",
    "calls.initiator.unknown", "calls.total.calls", "calls.total.tokens", "calls.total.cached",
    "calls.total.new", "calls.total.output", "calls.total.cost", "calls.total.credits",
    "calls.total.unpriced", "calls.total.unrated", "call.written", "call.creditOf", "unit.ms",
    "unit.s", "unit.m", "unit.h", "unit.d",
)  # fmt: skip
_FILES = Path(__file__).parent


@lru_cache(maxsize=2)
def _part(name: str) -> tuple[str, str]:
    """One of the page's own files, and how the policy names it."""
    text = (_FILES / name).read_text("utf-8")
    return text, f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def page(speech: Speech, figures: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The whole page.

    `figures` are those of the report and `calls`, the newest first; `about` says `made` (ISO),
    `zone`, `privacy` (normal, redacted, strict), `history` (active, all), and of which lists the
    `prices` and `rates` are.
    """
    (style, style_is), (script, script_is) = _part("snapshot.css"), _part("snapshot.js")
    title = speech.word("report.title")
    policy = (
        f"default-src 'none'; style-src {style_is}; script-src {script_is}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        f'<!doctype html><html lang="{escape(speech.language)}" dir="{escape(speech.direction)}">'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{title}</title><style>{style}</style>"
        f"<header><h1>{title}</h1><p id=period>{days_of(speech, figures)}</p>"
        f"{stamps(speech, about)}</header>"
        f"{_live(speech)}<div id=still class=totals><noscript><p>"
        f"{speech.word('snapshot.noscript')}</p></noscript>{tables(speech, figures)}</div>"
        f"<footer><p>{speech.word('snapshot.alone')}</p><p>{speech.word('report.foot')}</p></footer>"
        f'<script type="application/json" id="data">{_data(speech, figures, about)}</script>'
        f"<script>{script}</script></html>\n"
    )


def _live(speech: Speech) -> str:
    """What the script fills: hidden until it runs."""
    word = speech.word
    choices = "".join(
        f"<label>{word(f'filter.{key}')}<select id={name}></select></label>"
        for name, key in _CHOICES
    )
    days = "".join(
        f"<label>{word(f'filter.{name}')}<input type=date id={name}></label>"
        for name in ("from", "to")
    )
    return (
        "<main id=live hidden><p id=bound class=quiet></p><dl id=totals></dl>"
        f'<div class=filters role=search aria-label="{word("filter.bar")}">'
        f"<label class=search>{word('filter.search')}"
        f'<input type=search id=q placeholder="{word("calls.searchHint")}"></label>'
        f"{choices}<span id=dates>{days}</span>"
        f"<button type=button id=clear hidden>{word('do.clear')}</button></div>"
        '<div class=bar><div id=views></div><span id=said class=quiet role="status"></span></div>'
        "<div class=scroll><table id=table></table></div>"
        "<p><button type=button id=more hidden></button></p>"
        f"<p id=marks class=quiet hidden>{PARTLY} {word('report.partly')}</p>"
        f"<p id=estimated class=quiet hidden>* {word('calls.estimated')}</p></main>"
    )


_CHOICES = (
    ("range", "range"), ("provider", "provider"), ("model", "model"), ("effort", "effort"),
    ("project", "project"), ("price", "confidence"),
)  # fmt: skip


def _data(speech: Speech, figures: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    calls: Sequence[Mapping[str, Any]] = figures["calls"]
    named = {**{row["id"]: row for row in calls}}.values()  # one that came on two pages is one
    said = {
        "lang": speech.language,
        "zone": about["zone"],
        "made": about["made"],
        "total": max(figures["totals"]["calls"], len(named)),
        "words": {key: speech.plain(key) for key in WORDS},
        "columns": COLUMNS,
        "rows": [[_value(speech, row, name) for name in COLUMNS] for row in named],
    }
    return embedded(said)


def _value(speech: Speech, row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    return speech.named(value) if name == "threadTitle" and value else value


def embedded(value: Any) -> str:
    """JSON that ends no element of a page, whatever names are in it."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
