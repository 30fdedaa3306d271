"""The demo: invented work that goes the way of real work, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop import cli, sample, signals, stage
from server.usage import telemetry

ROOT = Path(__file__).resolve().parent.parent
NOW = 1_790_000_000_000
LONE = 9  # calls of runs that left no log


def test_the_same_seed_invents_the_same_work() -> None:
    assert sample.make(NOW) == sample.make(NOW)
    assert sample.make(NOW) != sample.make(NOW, seed=8)


def test_nothing_happens_in_the_future() -> None:
    made = sample.make(NOW)
    for name, content in made.codex.items():
        for line in content.splitlines() if name.startswith("sessions/") else ():
            assert json.loads(line)["timestamp"] <= sample.stamp(NOW + 5 * 60_000)
    assert max(request["started_at"] for request in made.requests) < NOW
    assert max(record.at for record in made.told) < NOW
    assert all(row[4] < NOW for name in sample.ACCOUNTS for row in sample.snapshots(name, NOW))


def test_telemetry_tells_what_the_logs_tell() -> None:
    made = sample.make(NOW)
    told, logged = _told(made.told), _logged(made.codex)
    known = [call for call in told if call[0] in {session for session, *_ in logged}]
    assert len(known) > 300
    assert set(known) <= set(logged)
    recent = {session for session, *_ in known}
    assert sorted(known) == sorted(call for call in logged if call[0] in recent)
    titles = {request["session"] for request in made.requests if request.get("kind") == "title"}
    assert len([call for call in told if call[0] in titles]) > 2
    assert len(told) - len(known) == LONE + len([call for call in told if call[0] in titles])


def test_what_a_user_denied_did_not_run() -> None:
    made = sample.make(NOW)
    denied = {
        record.values["call_id"]
        for record in made.told
        if record.values.get("decision") == "denied"
    }
    ended = {
        item["id"]: item["status"]
        for _, payload in _lines(made.codex)
        if (item := payload.get("item", {})).get("type") == "CommandExecution"
    }
    assert denied
    assert {ended[name] for name in denied} == {"declined"}


def _lines(files: dict[str, bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The time and payload of each line of the logs."""
    for name, content in files.items():
        for line in content.splitlines() if name.startswith("sessions/") else ():
            read = json.loads(line)
            yield read["timestamp"], read["payload"]


def _told(records: list[signals.Record]) -> list[tuple[Any, ...]]:
    return [
        (
            record.values["conversation.id"],
            sample.stamp(record.at),
            int(record.values["input_token_count"]),
            record.values["cached_token_count"],
            int(record.values["output_token_count"]),
        )
        for record in records
        if "input_token_count" in record.values
    ]


def _logged(files: dict[str, bytes]) -> list[tuple[Any, ...]]:
    return [
        (
            payload["thread_id"],
            at,
            payload["usage"]["input_tokens"],
            payload["usage"]["cached_input_tokens"],
            payload["usage"]["output_tokens"],
        )
        for at, payload in _lines(files)
        if "response_id" in payload
    ]


@pytest.mark.parametrize("account", sample.ACCOUNTS)
def test_percentages_stay_percentages(account: str) -> None:
    rows = sample.snapshots(account, NOW)
    assert all(0 <= row[1] <= 99 for row in rows)
    assert {row[0] for row in rows} == {"primary", "secondary"}


def wait_for(look: Any, seconds: float = 200) -> Any:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("not in time")


def test_the_demo_is_the_whole_program(tmp_path: Path) -> None:
    home, temporary = tmp_path / "user", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    env = {**os.environ, "HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    env |= {"XDG_CONFIG_HOME": str(home / "config"), "XDG_DATA_HOME": str(home / "share")}
    # The user's own settings do not reach it.
    env |= {"BRIMLINE_ADMIN_API_TOKEN": "x" * 32, "BRIMLINE_PORT": "1"}
    words = [sys.executable, "-m", "desktop", "demo", "--serve"]
    process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, cwd=tmp_path, text=True)
    assert process.stdout is not None
    with process.stdout:
        url = process.stdout.readline().split()[-1].rstrip("/")

        def get(path: str) -> Any:
            with urllib.request.urlopen(url + path, timeout=30) as answer:
                return json.load(answer)

        try:
            shot = get("/api/tray")
            assert {a["name"]: a["status"] for a in shot["accounts"]} == {
                "studio": "active",
                "work": "active",
                "spare": "active",
                "home": "paused",
            }
            assert shot["notices"][0].startswith("Demo data")
            requests = get("/api/request-logs?limit=1")["total"]
            assert requests > 300
            calls = wait_for(lambda: _settled(get))
            serving = wait_for(lambda: [a for a in get("/api/tray")["accounts"] if a["serving"]])
            assert [account["name"] for account in serving] == ["studio"]
            # Every request of the proxy met its line in a log: none is counted twice.
            assert calls["joined"] == calls["answered"] > 300
            assert get("/api/trends?by=project")["names"]
            quality = wait_for(lambda: _reconciled(get))
            assert [one["name"] for one in quality["dropped"]] == ["another program's event"]
            assert [one["count"] for one in quality["dropped"]] == [1]
            _panels_say_something(get, files=temporary)
            played = f"/api/calls?limit=500&provider=codex&thread={stage.THREAD}"
            wait_for(
                lambda: ["proxy", "telemetry"] in [c["witnesses"] for c in get(played)["calls"]]
            )
            wait_for(lambda: _named(get, played))
            places = [client["path"] for client in get("/api/connect")["clients"]]
            assert len(places) > 3
            assert [place for place in places if not place.startswith(str(temporary))] == []
        finally:
            process.terminate()
    assert process.wait(60) == 0
    assert list(temporary.iterdir()) == [], "the demo's folder is gone"
    assert list(home.iterdir()) == [], "nothing of the user's was touched"


def _settled(get: Any) -> dict[str, int] | None:
    """How many calls were answered through the proxy, once every log is read."""
    if get("/api/live")["indexing"] or not get("/api/scan")["files"]:
        return None
    rows = get("/api/request-logs?limit=500&status=ok")["requests"]
    # The client that is played writes no log.
    answered = [
        row["responseId"] for row in rows if row["responseId"] and row["sessionId"] != stage.THREAD
    ]
    calls = get("/api/calls?limit=500&provider=codex")["calls"]
    # Nor does a thread that only finds a title.
    known = {call["id"]: call["witnesses"] for call in calls if call["inputTokens"] >= 3_100}
    if not known or len(answered) < 300:
        return None
    seen = [name for name in answered if name in known]
    joined = [name for name in seen if known[name][:2] == ["log", "proxy"]]
    return {"answered": len(seen), "joined": len(joined)} if len(joined) == len(seen) else None


def _named(get: Any, played: str) -> bool:
    """Whether the played thread has its name, and no list shows a bare id."""
    rows = get("/api/threads?limit=500&history=all")["threads"]
    titles = {call["threadTitle"] for call in get(played)["calls"]}
    return titles == {stage.PROMPT} and all(row["title"] for row in rows)


def _reconciled(get: Any) -> dict[str, Any] | None:
    """The quality card, once every record has its call but those that only telemetry saw."""
    quality: dict[str, Any] = get("/api/telemetry/quality?provider=all")
    records = quality["records"]
    # The client that is played may just have had an answer.
    whole = records["matched"] > 300 and records["provisional"] == LONE
    whole = whole and quality["conversations"].get("helper", 0) > 2
    return quality if whole and not records["replaced"] else None


def _panels_say_something(get: Any, files: Path) -> None:
    """Every panel has something to show, and what they add up is in the logs, counted once."""
    found = get("/api/telemetry/panels?provider=claude&from=2020-01-01")
    said = {panel["id"]: panel for panel in found["panels"]}
    logs = [path.read_bytes() for path in files.glob("*/claude/projects/*/*.jsonl")]
    answers = [line for log in logs for line in log.splitlines() if b'"usage"' in line]
    assert said["modelCalls"]["sources"] == {"ledger": len(answers), "telemetry": 0}
    assert found["coverage"]["telemetry"] > 0

    found = get("/api/telemetry/panels?provider=codex&from=2020-01-01")
    said = {panel["id"]: panel for panel in found["panels"]}
    assert set(said) == set(telemetry.IDS)
    for name, panel in said.items():
        assert (
            panel.get("value")
            or panel.get("items")
            or panel.get("rows")
            or any(point["v"] for point in panel["points"])
        ), name
    assert {item["name"] for item in said["decisions"]["items"]} == {
        "approved",
        "approved_for_session",
        "denied",
    }
    logs = [path.read_bytes() for path in files.glob("*/codex/sessions/*/*/*/*.jsonl")]
    calls = sum(log.count(b'"token_usage_record"') for log in logs)
    played = get(f"/api/calls?limit=500&provider=codex&thread={stage.THREAD}")["calls"]
    # A thread has at most one call beside its log's own, which found its title.
    most = calls + len(played) + len(logs)
    assert calls < said["modelCalls"]["sources"]["ledger"] <= most
    assert said["modelCalls"]["sources"]["telemetry"] == LONE
    three = [
        call
        for call in get("/api/calls?limit=50&provider=codex")["calls"]
        if call["witnesses"] == ["log", "proxy", "telemetry"]
    ]
    call = get(f"/api/calls/{three[0]['id']}")
    assert call["totalTokens"] == call["telemetry"]["totalTokens"]


def test_it_takes_no_folder_of_the_users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["demo", "--data-dir", str(tmp_path)])
    assert end.value.code == 2
    assert "unrecognized arguments: --data-dir" in capsys.readouterr().err
    assert cli.main(["--data-dir", str(tmp_path), "demo"]) == 1
    assert "start it without --data-dir" in capsys.readouterr().err
