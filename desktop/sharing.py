"""The report: one HTML file that needs nothing else, and holds only figures and names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_STYLE = """
:root{color-scheme:light dark;--paper:#faf9f6;--surface:#fff;--line:#e6e4df;--ink:#1e2124}
:root{--muted:#5f666d;--bar:#17717f;--sunken:#f1efea}
@media (prefers-color-scheme:dark){:root{--paper:#131517;--surface:#1a1d20;--line:#2c3135}
:root{--ink:#e9e7e2;--muted:#a3a9af;--bar:#6cc8d6;--sunken:#22262a}}
body{font:14px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
body{max-width:62rem;margin:0 auto;padding:24px}
h1{font-size:28px;line-height:1.2;margin:0 0 8px}h2{font-size:16px;margin:32px 0 8px}
dl,table{background:var(--surface);border:1px solid var(--line);border-radius:8px}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:16px}
dl{margin:16px 0 0;padding:16px}
dt{color:var(--muted);font-size:12px}dd{margin:0;font-size:20px;font-variant-numeric:tabular-nums}
table{border-collapse:separate;border-spacing:0;width:100%}
th,td{padding:7px 12px;border-bottom:1px solid var(--line);text-align:start}
th{color:var(--muted);font-size:12px;font-weight:500}tr:last-child td{border-bottom:0}
td.n,th.n{text-align:end;white-space:nowrap;font-variant-numeric:tabular-nums}
td.n,th.n{padding-inline-end:18px}.m{display:inline-block;width:0}
meter{width:100%;min-width:6rem;height:10px;border:0;background:var(--sunken);vertical-align:middle}
meter::-webkit-meter-bar{background:var(--sunken);border:0;height:10px}
meter::-webkit-meter-optimum-value{background:var(--bar)}
meter::-moz-meter-bar{background:var(--bar)}
.chips{display:flex;flex-wrap:wrap;gap:8px;list-style:none;margin:0 0 16px;padding:0}
.chips li{border:1px solid var(--line);border-radius:8px;background:var(--surface)}
.chips li{color:var(--muted);font-size:12px;padding:2px 8px}
footer{margin-top:24px;color:var(--muted);font-size:13px}
@media print{body{background:none;padding:0}tr{break-inside:avoid}}
"""
_SHOWN_DAYS = 400


# How numbers are written: between thousands, before the fraction.
_MARKS = {
    "de": ".,",
    "es": ".,",
    "it": ".,",
    "pt": ".,",
    "vi": ".,",
    "fr": "\u202f,",
    "ru": "\u00a0,",
}
_SPARING = ("es", "it")  # four figures stand together there
# Where the signs stand, as the pages have them from the browser.
_MONEY = {
    **dict.fromkeys(("de", "es", "fr", "it", "ru", "vi"), "{}\u00a0$"),
    "pt": "$\u00a0{}",
    "ar": "\u200f{}\u00a0$",
}
_PERCENT = {
    **dict.fromkeys(("de", "es", "fr", "ru"), "{}\u00a0%"),
    "ar": "{}\u200e%\u200e",
}
_CENT = 0.01
_LEAST = 0.00005  # what would be written as nothing


TITLING = "Title for a conversation"  # what the server calls a thread that finds a title


class Speech:
    """The words of one language and how it writes numbers; a key stands in for a missing word."""

    def __init__(self, spoken: Mapping[str, Any]) -> None:
        self.language = str(spoken["language"])
        self.direction = str(spoken["direction"])
        self._words: Mapping[str, str] = spoken["words"]
        self._marks = _MARKS.get(self.language, ",.")

    def word(self, key: str) -> str:
        """A word, made harmless for a page."""
        said = self.plain(key)
        return escape(said[:1].upper() + said[1:])

    def plain(self, key: str) -> str:
        """A word as it is in the catalogue."""
        return self._words.get(key, key)

    def title(self, thread: Mapping[str, Any]) -> str:
        """What a thread is called: a name of ours in this language, else its own, else its id."""
        return self.named(str(thread["title"] or thread["id"][:SHORT]))

    def named(self, title: str) -> str:
        """A title: a name of ours in this language, else as it is."""
        return self._words.get("say.thread.titling", title) if title == TITLING else title

    def number(self, value: float, digits: int = 0) -> str:
        """A number with its thousands told apart."""
        few = self.language in _SPARING and abs(value) < 10_000
        plain = f"{value:.{digits}f}" if few else f"{value:,.{digits}f}"
        return plain.translate(str.maketrans(",.", self._marks))

    def share(self, value: float | None) -> str:
        """A part of one in percent."""
        sign = _PERCENT.get(self.language, "{}%")
        return "–" if value is None else sign.format(self.number(100 * value, 1))

    def money(self, value: float | None) -> str:
        """Dollars, as on the pages: four decimals below a cent; what is not known is a dash."""
        if value is None:
            return "–"
        sign = _MONEY.get(self.language, "${}")
        if 0 < value < _LEAST:
            return "<" + sign.format(self.number(2 * _LEAST, 4))
        return sign.format(self.number(value, 4 if 0 < value < _CENT else 2))

    def cost(self, row: Mapping[str, Any]) -> str:
        """What a sum costs, with a mark when a price in it is an estimate, and one when some of
        its calls have no price.
        """
        return self.money(row["costUsd"]) + marks(row)

    def credits(self, row: Mapping[str, Any]) -> str:
        """Codex credits, with a mark when some calls have no credit rate."""
        value = row["credits"]
        if value is None:
            return "–"
        digits = 0 if value >= _WHOLE_CREDITS else 1 if value >= 1 else 2
        return self.number(value, digits) + (PARTLY if row.get("unrated") else "")


PARTLY, GUESSED = "+", "*"  # the same marks as on the terminal
_WHOLE_CREDITS = 100


def partly(row: Mapping[str, Any]) -> bool:
    """Whether a cost leaves out calls that have no price."""
    return row["costUsd"] is not None and bool(row.get("unpriced"))


def guessed(row: Mapping[str, Any]) -> bool:
    """Whether a price that is in a cost is an estimate."""
    return row["costUsd"] is not None and bool(row.get("estimated"))


# Each mark, when it stands beside a cost, and the words that explain it.
MARKS: tuple[tuple[str, Callable[[Mapping[str, Any]], bool], str], ...] = (
    (GUESSED, guessed, "cost.estimated"),
    (PARTLY, partly, "report.partly"),
)


def marks(row: Mapping[str, Any]) -> str:
    """The marks that stand beside a cost."""
    return "".join(mark for mark, of, _ in MARKS if of(row))


def page(speech: Speech, figures: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The whole page; every name in it is escaped, as it comes from logs.

    `figures` has `days`, `totals`, `models`, `projects` and `threads` as the API gives them, and
    what the lists leave out as `others` of each; `about` is what `stamps` takes.
    """
    span = days_of(speech, figures)
    title = speech.word("report.title")
    return (
        f'<!doctype html><html lang="{escape(speech.language)}" dir="{escape(speech.direction)}">'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{span}</p>{stamps(speech, about)}{tables(speech, figures)}"
        f"<footer>{speech.word('report.foot')}</footer></html>\n"
    )


def stamps(speech: Speech, about: Mapping[str, Any]) -> str:
    """What the figures are of: `made` (ISO), `zone`, `history` (active, all), `privacy` (normal,
    redacted, strict), and of which lists the `prices` and `rates` are.
    """
    history = "history.all" if about["history"] == "all" else "history.active"
    made = moment(about["made"], about["zone"])
    said = [
        f"<li id=made>{_filled(speech, 'snapshot.made', when=made)}</li>",
        f"<li>{speech.word(history)}</li>",
        f"<li>{speech.word('calls.chip.' + about['privacy'])}</li>",
        f"<li>{_filled(speech, 'calls.chip.prices', source=about['prices'])}</li>",
        f"<li>{_filled(speech, 'calls.chip.rates', source=about['rates'])}</li>",
    ]
    return f"<ul class=chips>{''.join(said)}</ul>"


def _filled(speech: Speech, key: str, **values: str) -> str:
    text = speech.word(key)
    for name, value in values.items():
        text = text.replace(f"{{{{{name}}}}}", f"<bdi>{escape(value)}</bdi>")
    return text


def moment(iso: str, zone: str) -> str:
    """A moment for people, to the minute, in a zone (else UTC); what is no moment as it is."""
    try:
        at = datetime.fromisoformat(iso)
        if at.tzinfo is None:  # a day alone
            return iso
        at = at.astimezone(ZoneInfo(zone) if zone else UTC)
    except (ValueError, OverflowError, ZoneInfoNotFoundError):
        return iso
    return f"{at:%Y-%m-%d %H:%M %Z}"


def days_of(speech: Speech, figures: Mapping[str, Any]) -> str:
    """The first and the last day on which something was used."""
    used = _used(figures)
    return f"{used[0]['day']} – {used[-1]['day']}" if used else speech.word("calls.empty")


def _used(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [day for day in figures["days"] if day["calls"]][-_SHOWN_DAYS:]


def tables(speech: Speech, figures: Mapping[str, Any]) -> str:
    """The sums, and tables of days, models, projects and threads, with what their marks mean."""
    return (
        f"{_totals(speech, figures['totals'])}{_days(speech, _used(figures))}"
        f"{_groups(speech, 'model', figures)}{_groups(speech, 'project', figures)}"
        f"{_threads(speech, figures['threads'])}{_legend(speech, figures)}"
    )


def _legend(speech: Speech, figures: Mapping[str, Any]) -> str:
    """What the marks beside costs mean, of those that stand somewhere."""
    listed = [figures["totals"], *(row for name in _LISTS for row in figures[name])]
    listed += figures.get("others", {}).values()
    return "".join(
        f"<p>{mark} {speech.word(key)}</p>" for mark, of, key in MARKS if any(map(of, listed))
    )


_LISTS = ("days", "models", "projects", "threads")
_TOTALS = (
    ("calls.total.calls", "calls"),
    ("calls.total.tokens", "totalTokens"),
    ("calls.total.cached", "cachedInput"),
    ("calls.total.new", "uncachedInput"),
    ("calls.total.output", "output"),
)


def _totals(speech: Speech, totals: dict[str, Any]) -> str:
    shown = [(key, speech.number(totals[field])) for key, field in _TOTALS]
    shown.append(("calls.total.cost", speech.cost(totals)))
    if totals["unpriced"]:
        shown.append(("calls.total.unpriced", speech.number(totals["unpriced"])))
    if totals.get("credits") is not None:
        shown.append(("calls.total.credits", speech.credits(totals)))
        if totals.get("unrated"):
            shown.append(("calls.total.unrated", speech.number(totals["unrated"])))
    rows = (f"<div><dt>{speech.word(key)}</dt><dd>{value}</dd></div>" for key, value in shown)
    return f"<dl>{''.join(rows)}</dl>"


def _days(speech: Speech, days: Sequence[dict[str, Any]]) -> str:
    sums = [day["cachedInput"] + day["uncachedInput"] + day["output"] for day in days]
    most = max(sums, default=0) or 1
    rows = [
        f"<tr><td>{escape(day['day'])}</td><td><meter max={most} value={tokens}></meter></td>"
        f"{_n(speech.number(tokens))}{_n(speech.number(day['calls']))}"
        f"{_n(speech.number(day['sessions']))}{_cost(speech, day)}</tr>"
        for day, tokens in sorted(zip(days, sums, strict=True), key=lambda one: one[0]["day"])
    ]
    heads = ("series.day", "", "calls.col.tokens", "series.calls", "trends.sessions", "series.cost")
    return _table(speech, "report.days", heads, 2, reversed(rows))


def _groups(speech: Speech, kind: str, figures: Mapping[str, Any]) -> str:
    field = "project" if kind == "project" else "name"
    rows = [
        f"<tr><td>{_name(group.get(field))}</td>{_figures(speech, group)}</tr>"
        for group in figures[f"{kind}s"]
    ]
    others = figures.get("others", {}).get(f"{kind}s")
    if others:  # so that the column adds up to the total
        said = f"{speech.word('trends.other')} ({speech.number(others['groups'])})"
        rows.append(f"<tr><td>{said}</td>{_figures(speech, others)}</tr>")
    return _table(speech, f"report.{kind}s", (f"calls.col.{kind}", *_FIGURES), 1, rows)


def _threads(speech: Speech, threads: Sequence[dict[str, Any]]) -> str:
    rows = [
        f"<tr><td>{_name(speech.title(row))}</td><td>{_name(row['project'])}</td>"
        f"{_figures(speech, row)}</tr>"
        for row in threads
    ]
    heads = ("calls.col.thread", "calls.col.project", *_FIGURES)
    return _table(speech, "insights.top", heads, 2, rows)


SHORT = 13  # letters of an id, as far as ids of one minute differ
_FIGURES = ("calls.col.tokens", "series.calls", "calls.col.cache", "series.cost")


def _figures(speech: Speech, row: dict[str, Any]) -> str:
    return (
        f"{_n(speech.number(row['totalTokens']))}{_n(speech.number(row['calls']))}"
        f"{_n(speech.share(row['cacheRatio']))}{_cost(speech, row)}"
    )


def _table(speech: Speech, title: str, heads: Sequence[str], texts: int, rows: Any) -> str:
    """A table whose first columns are texts and whose others are numbers."""
    body = "".join(rows)
    if not body:
        return ""
    head = "".join(
        f"<th{'' if place < texts else ' class=n'}>{speech.word(key) if key else ''}</th>"
        for place, key in enumerate(heads)
    )
    return f"<h2>{speech.word(title)}</h2><table><tr>{head}</tr>{body}</table>"


def _cost(speech: Speech, row: Mapping[str, Any]) -> str:
    """A cost whose marks hang behind it, so that the figures of a column stand by their point."""
    figure, marked = speech.money(row["costUsd"]), marks(row)
    return _n(f"{figure}<span class=m>{marked}</span>" if marked else figure)


def _n(text: str) -> str:
    return f'<td class="n">{text}</td>'


def _name(text: str | None) -> str:
    return f"<bdi>{escape(text)}</bdi>" if text else "–"
