"""What the ledger says, on the terminal: each verb asks the dashboard's routes and prints."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop import diagnosing, otherfiles, printed, quick
from server import __version__
from server.errors import AppError

if TYPE_CHECKING:
    from desktop.offline_api import Api
    from server.config import Config

PRICES_URL = "https://developers.openai.com/api/docs/pricing.md"
_MOST_TEXT = 1_000_000
Add = Callable[..., argparse.ArgumentParser]
OF_THE_FOLDER = ("setup", "refresh")  # what these read is kept, so no other file may hold for it

_GROUPS = (
    "date", "model", "effort", "project", "cwd", "account", "provider", "thread", "session",
    "kind", "role", "parent", "tag",
)  # fmt: skip
# Presets and headings as another tracker named them.
_PRESETS: dict[str, dict[str, str]] = {
    "today": {"by": "date", "from": "today"},
    "last-7-days": {"by": "date", "from": "7"},
    "by-model": {"by": "model"},
    "by-project": {"by": "project"},
    "by-cwd": {"by": "cwd"},
    "by-thread": {"by": "thread"},
    "by-subagent-type": {"by": "kind"},
    "by-subagent-role": {"by": "role"},
    "by-project-tag": {"by": "tag"},
    "expensive": {},  # as the verb
}
_SAME = {
    "thread_source": "kind", "subagent_type": "kind", "agent_role": "role",
    "subagent_role": "role", "parent_session": "parent", "parent_thread": "thread",
    "project_tag": "tag",
}  # fmt: skip


def add(command: Add) -> None:
    """Put the ledger's verbs on the command line; `command(name, run, said, examples)`."""
    summary = command(
        "summary", _summary, "Print sums by day, model, project, thread and more.",
        ["brimline summary --group-by model --since 2026-11-01", "brimline summary --json"],
    )  # fmt: skip
    summary.add_argument("--group-by", choices=[*_GROUPS, *_SAME], help="the heading (date)")
    summary.add_argument("--preset", choices=list(_PRESETS), help="a heading and days in one word")
    for name, said in (("query", "Print calls as JSON."), ("calls", "List calls, newest first.")):
        parser = command(name, _calls, said, [f"brimline {name} --model gpt-5.5 --limit 20"])
        _call_filters(parser)
        parser.set_defaults(json=name == "query")
    expensive = command(
        "expensive", _expensive, "List the calls with the most tokens.", ["brimline expensive"]
    )
    expensive.add_argument("--preset", choices=["today", "last-7-days"])
    threads = command("threads", _threads, "List threads.", ["brimline threads --sort cost"])
    threads.add_argument(
        "--sort",
        choices=[
            "time",
            "tokens",
            "calls",
            "cost",
            "credits",
            "cache",
            "attention",
            "thread",
            "model",
            "effort",
        ],
    )
    for name in ("insights", "recommendations"):
        parser = command(name, _insights, "Print what needs attention.", [f"brimline {name}"])
        _narrowing(parser)
        parser.add_argument(
            "--min-score", type=_amount, metavar="N", help="threads with at least this attention"
        )
    session = command("session", _session, "Print one session's calls.", ["brimline session"])
    session.add_argument("id", nargs="?", metavar="ID", help="a session or thread (the latest)")
    _add_context(command)
    command("pricing-coverage", _coverage, "Print which tokens have a price.",
            ["brimline pricing-coverage"])  # fmt: skip
    setup = command(
        "setup", _setup, 
        "Read all session logs and say what is there: the first step. In --json “calls” and "
        "“tokens” are Codex's; “claude” has those of Claude Code.",
        ["brimline setup", "brimline setup --update-pricing"],
    )  # fmt: skip
    setup.add_argument("--update-pricing", action="store_true", help="fetch the list prices too")
    setup.add_argument("--skip-pricing", action="store_true", help="leave the prices as they are")
    command(
        "refresh", _refresh,
        "Read new session logs. In --json “files”, “calls” and “tokens” are Codex's; “claude” has "
        "those of Claude Code.",
        ["brimline refresh"],
    )  # fmt: skip
    diagnosing.add(command)
    _add_files(command)


def _add_context(command: Add) -> None:
    context = command(
        "context", _context,
        "Print as JSON the log lines of a call's turn, read now and without secrets.",
        ["brimline context resp_1234 --include-tool-output --max-entries 20"],
    )  # fmt: skip
    context.add_argument("id", metavar="CALL", help="the id of a call, as `brimline calls` prints")
    context.add_argument("--max-chars", type=_limit, metavar="N", help="(20000; 0 is all)")
    context.add_argument("--max-entries", type=_limit, metavar="N", help="(80; 0 is all)")
    context.add_argument("--include-tool-output", action="store_true")
    context.add_argument("--include-compaction-history", action="store_true")


_SNAPSHOT = (
    "Write a page with the calls to filter, sort and look into: one HTML file that asks for "
    "nothing from anywhere. --limit says how many calls, the newest (5000; 0 is as many as it can "
    "hold, 20000)."
)


def _add_files(command: Add) -> None:
    export = command(
        "export", _export, "Write calls, threads or days to a CSV file.",
        ["brimline export --output calls.csv", "brimline export days --output days.csv"],
    )  # fmt: skip
    export.add_argument("what", nargs="?", choices=["calls", "threads", "days"], default="calls")
    for name, said in (
        ("report", "Write a short page that can be shared: one HTML file, no script."),
        ("dashboard", _SNAPSHOT),
        ("open-dashboard", f"{_SNAPSHOT} Shows it in the browser."),
    ):
        report = command(
            name, _report, said, [f"brimline --privacy-mode strict {name} --output usage.html"]
        )
        report.set_defaults(open=name == "open-dashboard", snapshot=name != "report")
        report.add_argument("--open", action="store_true", help="show it in the browser")
        report.add_argument("--output", metavar="FILE", default="brimline-report.html")
    bundle = command(
        "support-bundle", _bundle, "Write facts for a bug report: no text, names or paths.",
        ["brimline support-bundle --output bundle.json", "brimline support-bundle --output b.zip"],
    )  # fmt: skip
    _add_prices(command)
    for parser, name in ((export, "brimline-export.csv"), (bundle, "support-bundle.json")):
        parser.add_argument("--output", metavar="FILE", default=name)
    for name in ("thresholds", "projects", "allowance", "pricing"):
        init = command(
            f"init-{name}", _init, f"Write {name}.json for you to edit.", [f"brimline init-{name}"]
        )
        init.add_argument("--force", action="store_true", help="replace it; the old one is kept")
        init.set_defaults(file=name, writes=name)
        _output(init, name)
    parse = command(
        "parse-allowance", _parse_allowance, "Keep the allowance that you copied from Codex.",
        ['brimline parse-allowance "5h 79% 6:50 PM Weekly 33% Jun 7"'],
    )  # fmt: skip
    parse.set_defaults(writes="allowance")
    _output(parse, "allowance")
    parse.add_argument("text", nargs="?", metavar="TEXT", help="what Codex shows (else stdin)")


def _output(parser: argparse.ArgumentParser, name: str) -> None:
    """Let it write elsewhere than into the data folder, as `--thresholds FILE` and so on do."""
    parser.add_argument(
        "--output",
        dest=name.replace("-", "_"),
        metavar="FILE",
        default=argparse.SUPPRESS,
        help=f"write here; {name}.json of the data folder stays as it is",
    )


def _place(said: dict[str, Any], arguments: argparse.Namespace) -> str:
    """What a command that wrote a file says: where, which may be elsewhere than usual."""
    named = otherfiles.given(arguments).get(arguments.writes)
    return str(named or said["path"])


def _add_prices(command: Add) -> None:
    for name, said in (
        ("update-pricing", "Keep prices from a file, or from the provider's page."),
        ("update-rate-card", "Keep a rate card in credits: from a file, or the one shipped."),
    ):
        parser = command(
            name,
            _update_prices,
            said,
            [f"brimline {name}", f"brimline {name} --source-file prices.json"],
        )
        card = name == "update-rate-card"
        parser.set_defaults(card=card, writes="rate-card" if card else "pricing")
        _output(parser, "rate-card" if card else "pricing")
        source = parser.add_mutually_exclusive_group()
        source.add_argument("--source-file", metavar="FILE")
        if name == "update-pricing":
            source.add_argument("--source-url", metavar="URL", default=PRICES_URL)
            parser.add_argument(
                "--tier", choices=["standard", "batch", "flex", "priority"], default="standard"
            )
            parser.add_argument(
                "--no-estimates", action="store_true", help="leave out prices marked as estimates"
            )
    pin = command(
        "pin-pricing", _pin_prices,
        "Write all prices that hold now to a file; `update-pricing --source-file` of it brings "
        "them back.",
        ["brimline pin-pricing --output pricing-2026-11.json"],
    )  # fmt: skip
    pin.add_argument("--output", metavar="FILE", required=True)
    pin.add_argument("--force", action="store_true", help="replace the file")


def _update_prices(api: Api, arguments: argparse.Namespace) -> str:
    body: dict[str, Any] = {"rateCard": True} if arguments.card else {"tier": arguments.tier}
    if arguments.source_file:
        body["text"] = _file_text(arguments.source_file)
        body["source"] = Path(arguments.source_file).name
    elif not arguments.card:
        body |= {"text": _page_text(arguments.source_url), "source": arguments.source_url}
    if not arguments.card and arguments.no_estimates:
        body["estimates"] = False
    said = api.post("/api/pricing/update", body)
    said["path"] = _place(said, arguments)
    return json.dumps(said) if arguments.json else f"{said['models']} models: {said['path']}"


def _setup(api: Api, arguments: argparse.Namespace) -> str:
    """What a first look needs: the logs read, and what is there said."""
    if arguments.update_pricing and not arguments.skip_pricing:
        body = {"text": _page_text(PRICES_URL), "source": PRICES_URL, "tier": "standard"}
        api.post("/api/pricing/update", body)
    api.post("/api/scan", {"wait": True})
    found = api.get("/api/scan", privacy=arguments.privacy_mode)
    said = {
        "folder": str(arguments.folder),
        **found,
        # As `pricing-coverage` counts, which leaves archived sessions out unless asked for them.
        "pricedRatio": api.get("/api/pricing/coverage", **_asked(arguments))["ratio"],
        "pricedHistory": arguments.history or "active",
        "files": {name: one["configured"] for name, one in api.get("/api/usage/files").items()},
    }
    if arguments.json:
        return json.dumps(said)
    return "\n".join(
        (
            f"Data folder: {said['folder']}",
            *quick.counted(found),
            *quick.lost(found),
            _priced(said["pricedRatio"], said["pricedHistory"]),
            "Next: brimline serve-dashboard --open",
        )
    )


def _priced(ratio: float | None, history: str) -> str:
    """How much has a price, and of which sessions that is said."""
    whose = "all sessions" if history == "all" else "sessions that are not archived"
    return f"{printed.percent(ratio)} of the tokens of {whose} have a price."


def _pin_prices(api: Api, arguments: argparse.Namespace) -> str:
    if Path(arguments.output).expanduser().exists() and not arguments.force:
        raise AppError(f"{arguments.output} exists already. Take another name, or --force.")
    body = {}
    if arguments.pricing:  # that one alone, whatever else has a price
        body = {"text": _file_text(arguments.pricing), "source": Path(arguments.pricing).name}
    kept = api.post("/api/pricing/pin", body)
    return _written(arguments, json.dumps(kept, indent=2).encode() + b"\n")


def _file_text(name: str) -> str:
    try:
        return Path(name).expanduser().read_bytes()[:_MOST_TEXT].decode("utf-8-sig")
    except OSError as error:
        raise AppError(f"{name} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise AppError(f"{name} is no text. Give a file in UTF-8.") from error


def _page_text(url: str) -> str:
    import requests

    if not url.startswith("https://"):
        raise AppError("Give an https address, or a file with --source-file.")
    try:
        answer = requests.get(url, timeout=20)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise AppError(
            f"The price page cannot be fetched ({type(error).__name__}). Save it and use "
            "--source-file.",
            code="unavailable",
        ) from error
    return answer.text[:_MOST_TEXT]


def _narrowing(parser: argparse.ArgumentParser) -> None:
    for name in ("model", "effort", "project", "thread", "account"):
        parser.add_argument(f"--{name}", metavar=name.upper())


def _call_filters(parser: argparse.ArgumentParser) -> None:
    _narrowing(parser)
    parser.add_argument(
        "--pricing-status",
        choices=["exact", "priced", "estimated", "unpriced"],
        help="exact (priced says the same), estimated, or without a price",
    )
    parser.add_argument(
        "--credit-confidence", choices=["exact", "estimated", "user_override", "unpriced"]
    )
    parser.add_argument("--tag", metavar="TAG", help="of projects with this tag")
    parser.add_argument(
        "--min-tokens", type=_whole, metavar="N", help="calls with at least so many tokens"
    )
    parser.add_argument(
        "--min-credits", type=_amount, metavar="N", help="calls of at least so many Codex credits"
    )
    parser.add_argument(
        "--sort",
        choices=["time", "thread", "model", "effort", "tokens", "cost", "cache", "context",
                 "credits", "duration", "gap", "cumulative", "account", "seen", "project"],
    )  # fmt: skip


def common(parser: argparse.ArgumentParser) -> None:
    """The options that every verb of the ledger has."""
    parser.add_argument("--since", metavar="DAY", help="from this day on (2026-11-01)")
    parser.add_argument("--until", metavar="DAY", help="up to this day, all of it")
    parser.add_argument("--provider", choices=["codex", "claude"])
    parser.add_argument("--codex-home", metavar="DIR", help="this run: read Codex' logs from here")
    parser.add_argument("--limit", type=_limit, default=None, metavar="N", help="0 is all")
    history = parser.add_mutually_exclusive_group()
    history.add_argument(
        "--history", choices=["active", "all"], help="active (usual): without archived sessions"
    )
    history.add_argument(
        "--include-archived", dest="history", action="store_const", const="all",
        help="count archived sessions too",
    )  # fmt: skip
    refresh = parser.add_mutually_exclusive_group()
    refresh.add_argument(
        "--refresh",
        dest="fresh",
        action="store_true",
        default=None,
        help="read new logs first, as is usual",
    )
    refresh.add_argument(
        "--no-refresh", dest="fresh", action="store_false", help="do not read new logs first"
    )  # fmt: skip


_LANGUAGES = {
    "en": ("english",), "de": ("german", "deutsch"), "vi": ("vn", "vietnamese"),
    "zh": ("chinese", "zh-hans", "zh-cn"), "ja": ("jp", "japanese"), "ko": ("kr", "korean"),
    "fr": ("french",), "es": ("spanish",), "pt": ("portuguese", "pt-br", "pt-pt"),
    "it": ("italian",), "ru": ("russian",), "ar": ("arabic",),
}  # fmt: skip


def language(text: str) -> str:
    """The code of a language; raises `AppError` with the list when there is no such one."""
    asked = text.strip().lower().replace("_", "-")
    for code, names in _LANGUAGES.items():
        if asked in (code, *names) or asked.split("-")[0] == code:
            return code
    raise AppError(f"The pages do not speak “{text[:40]}”. Choose of: {', '.join(_LANGUAGES)}.")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise argparse.ArgumentTypeError("give a whole number such as 20000")
    return int(text)


def _amount(text: str) -> float:
    if not _AMOUNT.fullmatch(text):
        raise argparse.ArgumentTypeError("give a number such as 0.5")
    return float(text)


_AMOUNT = re.compile(r"[0-9]{1,8}(\.[0-9]{0,8})?")


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise argparse.ArgumentTypeError("give a whole number; 0 is all")
    return int(text)


def run(api: Api, arguments: argparse.Namespace) -> str:
    """Answer one verb; returns what to print."""
    if arguments.since and arguments.until and arguments.since > arguments.until:
        raise AppError(
            f"--since {arguments.since} lies after --until {arguments.until}. Give the earlier "
            "day to --since.",
            code="invalid_span",
        )
    if arguments.verb in _OF_LOGS and arguments.fresh is not False:
        api.post("/api/scan", {"wait": True})
    text: str = arguments.verb(api, arguments)
    shows = arguments.verb in _ALL_OF_LOGS and not arguments.json and arguments.history is None
    shows = shows and "--include-archived" not in text
    if shows and api.get("/api/calls/options").get("archived"):
        text += "\nArchived sessions are left out; --include-archived counts them, too."
    return text


def problems(api: Api) -> list[str]:
    """What is wrong in the user's own files, which change every figure: sentences."""
    return [
        problem["text"]
        for file in api.get("/api/usage/files").values()
        for problem in file.get("problems", ())
    ]


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "from": arguments.since,
        "to": arguments.until,
        "provider": arguments.provider,
        "privacy": arguments.privacy_mode,
        "history": arguments.history or "active",
    }


def _summary(api: Api, arguments: argparse.Namespace) -> str:
    if arguments.preset == "expensive":
        arguments.preset = None
        return _expensive(api, arguments)
    preset = _PRESETS.get(arguments.preset or "", {})
    _one_beginning(arguments, preset.get("from"))
    by = arguments.group_by or preset.get("by", "date")
    asked = {**_asked(arguments), "by": _SAME.get(by, by)}
    asked["from"] = asked["from"] or _since(api, preset.get("from"))
    limit = 20 if arguments.limit is None else arguments.limit
    answer = api.get("/api/summary", **asked, limit=str(limit))
    for group in answer["groups"]:
        named = ("threadTitle", "project", "cwd", "accountName", "name")
        group["name"] = next((group[key] for key in named if group.get(key)), None)
    return printed.table(answer["groups"], "groups", arguments, answer)


def _since(api: Api, word: str | None) -> str | None:
    if word is None:
        return None
    from datetime import date, timedelta

    today = date.fromisoformat(api.get("/api/live")["today"])
    back = 0 if word == "today" else int(word) - 1
    return (today - timedelta(days=back)).isoformat()


def _narrowed(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        **_asked(arguments),
        "model": arguments.model,
        "effort": arguments.effort,
        "project": arguments.project,
        "account": arguments.account,
        "q": arguments.thread,
    }


_STATUS = {"priced": "exact"}  # as another tracker has it


def _calls(api: Api, arguments: argparse.Namespace) -> str:
    asked = {
        **_narrowed(arguments),
        "minTokens": arguments.min_tokens,
        # Never with an exponent, which 0.00001 would otherwise have.
        "minCredits": arguments.min_credits and f"{arguments.min_credits:.8f}",
        "priceStatus": "exact"
        if arguments.pricing_status == "priced"
        else arguments.pricing_status,
        "creditConfidence": arguments.credit_confidence,
        "tag": arguments.tag,
        "sort": arguments.sort,
    }
    return _listed(api, "calls", asked, arguments, 100)


def _one_beginning(arguments: argparse.Namespace, days: str | None) -> None:
    """Raises `AppError` where a preset and --since both say where to begin."""
    if days and arguments.since:
        raise AppError(
            f"--preset {arguments.preset} and --since {arguments.since} both say where to begin. "
            "Leave one of them out.",
            code="invalid_span",
        )


def _expensive(api: Api, arguments: argparse.Namespace) -> str:
    word = {"today": "today", "last-7-days": "7"}.get(arguments.preset or "")
    _one_beginning(arguments, word)
    asked = {**_asked(arguments), "sort": "tokens"}
    asked["from"] = asked["from"] or _since(api, word)
    return _listed(api, "calls", asked, arguments, 20)


def _threads(api: Api, arguments: argparse.Namespace) -> str:
    return _listed(api, "threads", {**_asked(arguments), "sort": arguments.sort}, arguments, 20)


def _listed(
    api: Api, name: str, asked: dict[str, Any], arguments: argparse.Namespace, usual: int
) -> str:
    limit = usual if arguments.limit is None else arguments.limit
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        left = limit - len(rows) if limit else 500
        answer = api.get(f"/api/{name}", **asked, limit=min(left, 500), cursor=cursor)
        rows += answer[name]
        cursor = answer["nextCursor"]
        if cursor is None or (limit and len(rows) >= limit):
            break
    whole = {
        "rows": rows,
        "row_count": len(rows),
        "total_matched_rows": answer["total"],
        "truncated": len(rows) < answer["total"],
        "totals": answer["totals"],
    }
    return printed.table(rows, name, arguments, whole)


def _insights(api: Api, arguments: argparse.Namespace) -> str:
    asked = _narrowed(arguments)
    answer = api.get("/api/insights", **asked)
    if arguments.limit is not None or arguments.min_score is not None:
        least, most = arguments.min_score or 0, arguments.limit or 500
        found = api.get("/api/threads", **asked, sort="attention", limit=min(most, 500))["threads"]
        answer["threads"] = [row for row in found if row["attention"] >= least]
    if arguments.json:
        return json.dumps(answer)
    cards = printed.table(answer["cards"], "cards", arguments, answer)
    shown = answer["threads"][: 5 if arguments.limit is None else None]
    return f"{cards}\n\n{printed.table(shown, 'threads', arguments, answer)}"


def _session(api: Api, arguments: argparse.Namespace) -> str:
    name = arguments.id
    if name is None:
        newest = api.get("/api/calls", limit=1, **_asked(arguments))["calls"]
        if not newest:
            raise AppError("The ledger is empty. Run `brimline scan` first.", code="not_found")
        name = newest[0]["sessionId"]
    # One that is named is shown, put aside or not.
    whole = {**_asked(arguments), "history": arguments.history or "all"}
    asked = {**whole, "session": name, "direction": "asc"}
    if not api.get("/api/calls", limit=1, **asked)["total"]:
        asked = {**whole, "thread": name, "direction": "asc"}
    text = _listed(api, "calls", asked, arguments, 200)
    if not arguments.json and not text.count("\n"):
        raise AppError(f"There is no session “{name}”.", code="not_found")
    return text


def _context(api: Api, arguments: argparse.Namespace) -> str:
    found = api.get(
        "/api/context",
        record_id=arguments.id,
        privacy=arguments.privacy_mode,
        max_chars=arguments.max_chars,
        max_entries=arguments.max_entries,
        include_tool_output=int(arguments.include_tool_output),
        include_compaction_history=int(arguments.include_compaction_history),
    )
    return json.dumps(found, indent=None if arguments.json else 2)


def _coverage(api: Api, arguments: argparse.Namespace) -> str:
    answer = api.get("/api/pricing/coverage", **_asked(arguments))
    answer["history"] = arguments.history or "active"
    text = printed.table(answer["models"], "models", arguments, answer)
    if arguments.json:
        return text
    said = f"{text}\n{_priced(answer['ratio'], arguments.history or 'active')}"
    if any(model["priceStatus"] == "unpriced" for model in answer["models"]):
        said += " Give the others one in pricing.json: `brimline init-pricing` writes it."
    return said


def _refresh(api: Api, arguments: argparse.Namespace) -> str:
    return _read(api.get("/api/scan", privacy=arguments.privacy_mode), arguments)


def _read(said: dict[str, Any], arguments: argparse.Namespace) -> str:
    if arguments.json:
        return json.dumps(said)
    return "\n".join((*quick.counted(said), *quick.lost(said)))


def alone(settings: Config, arguments: argparse.Namespace) -> str | None:
    """Refresh where no server runs, as `scan` does it, without loading one; None where more than
    the logs has a say: a file of the user's own.
    """
    asked = arguments.verb is not _refresh or arguments.since or arguments.until
    own = (settings.data_dir / f"{name}.json" for name in otherfiles.FILES)
    if asked or arguments.fresh is False or any(map(os.path.lexists, own)):
        return None
    from server.ingest import scan

    said = scan.run(settings, None, arguments.privacy_mode or "normal")
    said.pop("seconds")
    return _read(said, arguments)


def _export(api: Api, arguments: argparse.Namespace) -> str:
    asked = _asked(arguments)
    if arguments.what == "days":
        asked["from"] = asked["from"] or "first"
    content = api.fetch(f"/api/exports/{arguments.what}.csv", **asked)
    return _written(arguments, *_records(content, arguments.limit or 0))


def _records(content: bytes, most: int) -> tuple[bytes, int]:
    """A CSV file's head and its first records, all for 0, and how many these are."""
    lines: list[bytes] = []
    records = quotes = 0
    for line in content.splitlines(keepends=True):
        lines.append(line)
        quotes += line.count(b'"')
        records += quotes % 2 == 0  # within quotes a line's end ends no record
        if most and records > most:
            break
    return b"".join(lines), max(records - 1, 0)


def _report(api: Api, arguments: argparse.Namespace) -> str:
    from desktop import pagefiles

    made = pagefiles.snapshot if arguments.snapshot else pagefiles.report
    text = _written(arguments, made(api, arguments, _asked(arguments)).encode())
    if arguments.open:
        import webbrowser

        webbrowser.open(Path(arguments.output).expanduser().absolute().as_uri())
    return text


def _bundle(api: Api, arguments: argparse.Namespace) -> str:
    strict = {"privacy": "strict"}
    settings = api.get("/api/settings")
    warnings = api.get("/api/ledger/warnings", **strict)
    files = api.get("/api/usage/files", **strict)
    facts = {
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "frozen": bool(getattr(sys, "frozen", False)),
        "scan": api.get("/api/scan"),
        "warnings": {"kinds": warnings["kinds"], "files": len(warnings["files"])},
        "files": {
            name: {"configured": one["configured"], "usable": one["error"] is None}
            for name, one in files.items()
        },
        # Free text in a setting may hold an address or a name.
        "settings": {k: v for k, v in settings.items() if isinstance(v, bool | int | float)},
        "coverage": api.get("/api/pricing/coverage", **_asked(arguments))["ratio"],
    }
    content = json.dumps(facts, indent=2).encode() + b"\n"
    if arguments.output.lower().endswith(".zip"):
        content = _zipped("support-bundle.json", content)
    return _written(arguments, content)


def _zipped(name: str, content: bytes) -> bytes:
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def _init(api: Api, arguments: argparse.Namespace) -> str:
    said = api.post(f"/api/usage/files/{arguments.file}", {"force": arguments.force})
    said["path"] = _place(said, arguments)
    return json.dumps(said) if arguments.json else str(said["path"])


def _parse_allowance(api: Api, arguments: argparse.Namespace) -> str:
    text = arguments.text
    if text is None:
        if sys.stdin.isatty():
            raise AppError('Give the text: brimline parse-allowance "5h 79% Weekly 33%"')
        text = sys.stdin.read(20_000)
    said = api.post("/api/allowance/parse", {"text": text, "save": True})
    if arguments.json:
        return json.dumps(said)
    return "\n".join(
        f"{one['label']}: {one['remainingPercent']:g}% left"
        + (f" ({one['resetText']})" if one["resetText"] else "")
        for one in said["windows"]
    )


def _written(arguments: argparse.Namespace, content: bytes, rows: int | None = None) -> str:
    place = Path(arguments.output).expanduser()
    try:
        place.write_bytes(content)
    except OSError as error:
        raise AppError(f"{place} cannot be written: {error.strerror or error}.") from error
    if arguments.json:
        return json.dumps({"path": str(place), "bytes": len(content), "rows": rows})
    return f"Wrote {place}" + (f" ({rows} rows)." if rows is not None else ".")


# These leave archived sessions out unless they are asked for.
_ALL_OF_LOGS = (_summary, _calls, _expensive, _threads, _insights, _coverage, _export, _report)
# What these say is of the logs as they are now.
_OF_LOGS = (
    _summary, _calls, _expensive, _threads, _insights, _session, _coverage, _export, _report,
    _bundle, _refresh,
)  # fmt: skip
