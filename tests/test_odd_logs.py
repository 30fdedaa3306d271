"""Logs with odd names and damaged logs are left out, and said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from desktop import logs, quick
from server.config import Config
from server.errors import AppError
from server.ingest import codex, logfile, reader, scan
from server.ingest.files import Finder
from server.ingest.gather import Gatherer
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.ingest.lines import BOM
from server.store import db
from server.usage import calls, deltas, summary, threads, trends
from server.usage.calls import Page
from server.usage.days import Days
from server.usage.slices import Filter
from tests.rollouts import Tree
from tests.test_exact_sums import line, write


def test_a_name_that_is_no_text_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "codex" / "sessions"
    folder.mkdir(parents=True)
    (folder / "rollout-ä.jsonl").write_text("{}\n")
    with open(os.fsencode(folder) + b"/rollout-\xff.jsonl", "wb") as file:  # noqa: PTH123
        file.write(b"{}\n")
    found: dict[tuple[str, str], Any] = {}
    Finder().codex_files(str(folder), found, archived=False)
    assert [name for _, name in found] == ["rollout-ä"]
    assert "rollout-\\xff.jsonl is left out: its name is not UTF-8" in caplog.text


def test_what_is_passed_by_is_said(config: Config, database: None, tmp_path: Path) -> None:
    sessions = config.codex_home / "sessions"
    day = sessions / "2026" / "11" / "21"
    day.mkdir(parents=True)
    (sessions / "loop").symlink_to(sessions)
    (sessions / "self").symlink_to(sessions / "self")
    os.mkfifo(day / "rollout-2026-11-21T00-00-00-pipe.jsonl")
    os.mkfifo(day / "any-pipe")  # no log by its name
    (day / "rollout-2026-11-21T00-00-00-gone.jsonl").symlink_to(sessions / "nowhere")
    indexer = Indexer(config, Ledger())
    for _ in range(2):  # folders that did not change are not listed again
        indexer.scan()
        found = {(Path(one["path"]).name, one["kind"]) for one in scan.quality()["leftOut"]}
        assert found == {
            ("loop", "linked_again"),
            ("self", "broken_link"),
            ("rollout-2026-11-21T00-00-00-pipe.jsonl", "no_file"),
            ("rollout-2026-11-21T00-00-00-gone.jsonl", "broken_link"),
        }
    assert scan.quality()["leftOutTotal"] == 3
    for one in list(sessions.rglob("*")):
        if one.is_symlink() or not (one.is_dir() or one.is_file()):
            one.unlink()
    indexer.scan()
    assert scan.quality()["leftOut"] == []


def test_a_link_to_a_file_elsewhere_is_read_only_if_that_is_a_log(
    config: Config, database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path / "elsewhere", seed=3, body=20)
    tree.grow(2)
    first, *_ = sorted((tmp_path / "elsewhere").rglob("rollout-*.jsonl"))
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"type":"session_meta","payload":{"id":"hidden"}}\n')
    sessions = config.codex_home / "sessions"
    projects = config.claude_home / "projects" / "p"
    sessions.mkdir(parents=True)
    projects.mkdir(parents=True)
    (sessions / first.name).symlink_to(first)
    (sessions / "rollout-2026-11-21T00-00-00-passwd.jsonl").symlink_to("/etc/passwd")
    (sessions / "other.jsonl").symlink_to(secret)
    (projects / "s.jsonl").symlink_to(secret)
    (sessions / "inside.jsonl").symlink_to(sessions / first.name)
    opened: list[str] = []
    usual = reader.open_log

    def noted(path: str) -> Any:
        opened.append(os.path.realpath(path))
        return usual(path)

    monkeypatch.setattr(reader, "open_log", noted)
    Indexer(config, Ledger()).scan()
    left = {(Path(one["path"]).name, one["kind"]) for one in scan.quality()["leftOut"]}
    assert left == {
        ("rollout-2026-11-21T00-00-00-passwd.jsonl", "leads_out"),
        ("other.jsonl", "leads_out"),
        ("s.jsonl", "leads_out"),
        ("inside.jsonl", "copied_log"),
    }
    assert set(opened) == {str(first.resolve())}
    assert scan.totals()["calls"] > 0
    (sessions / "all").symlink_to(tmp_path / "elsewhere" / "sessions")  # a folder may lie elsewhere
    Indexer(config, Ledger()).scan()
    assert db.rows("select count(*) from call") == [tree.sums[:1]]


def test_the_sessions_folder_itself_may_lie_elsewhere(
    config: Config, database: None, tmp_path: Path
) -> None:
    tree = Tree(tmp_path / "elsewhere", seed=3, body=20)
    tree.grow(2)
    config.codex_home.mkdir(parents=True)
    (config.codex_home / "sessions").symlink_to(tmp_path / "elsewhere" / "sessions")
    Indexer(config, Ledger()).scan()
    assert db.rows("select count(*) from call") == [tree.sums[:1]]


def test_what_is_no_log_of_codex_is_said(config: Config, database: None) -> None:
    Tree(config.codex_home, seed=3, body=20).grow(1)
    heads = {
        "empty": "", "object": "{}\n", "list": "[1]\n", "text": "no JSON\n",
        "claude": '{"type":"user","sessionId":"x"}\n', "late": '{}\n{"type":"session_meta"}\n',
        "nobody": '{"type":"session_meta","payload":{"id":"../../etc"}}\n',
        "deep": "[" * 100_000 + "\n",
    }  # fmt: skip
    sessions = config.codex_home / "sessions"
    for name, text in heads.items():
        (sessions / f"{name}.jsonl").write_text(text)
    (sessions / "packed.jsonl.zst").write_bytes(b"not packed")
    (sessions / "notes.txt").write_text("no log")
    Indexer(config, Ledger()).scan()
    left = {(Path(one["path"]).name, one["kind"]) for one in scan.quality()["leftOut"]}
    names = [*(f"{name}.jsonl" for name in heads), "packed.jsonl.zst"]
    assert left == {(name, "other_name") for name in names}
    assert "neither by its name nor by how it begins" in quick.quality(scan.quality())[0]


def test_a_renamed_log_counts_once(config: Config, database: None) -> None:
    tree = Tree(config.codex_home, seed=3, body=20)
    tree.grow(12)
    sessions = config.codex_home / "sessions"
    kept = sorted(sessions.rglob("rollout-*.jsonl"))
    gone = [kept[0], kept[3], kept[5]]
    for number, log in enumerate(gone):  # one that keeps its id, others that lose it
        log.rename(sessions / (f"my {log.name}" if number == 0 else f"talk{number}.jsonl"))
    copy = sessions / "copy of it.jsonl"
    copy.write_bytes(kept[7].read_bytes())
    again = sessions / "talk1 again.jsonl"
    again.write_bytes((sessions / "talk1.jsonl").read_bytes())
    indexer = Indexer(config, Ledger())
    for _ in range(2):
        indexer.scan()
        assert db.rows("select count(*), sum(input), sum(cached), sum(output) from call") == [
            tree.sums[:4]
        ]
        left = {(Path(one["path"]).name, one["kind"]) for one in scan.quality()["leftOut"]}
        assert left == {(copy.name, "copied_log"), (again.name, "copied_log")}
    with (sessions / "talk2.jsonl").open("ab") as file:
        file.write(b"{}\n")
    indexer.scan()
    assert db.rows("select count(*) from call") == [tree.sums[:1]]
    assert logs.inspect(sessions / "talk1.jsonl")["provider"] == "codex"
    assert logs.inspect(sessions / "talk1.jsonl")["calls"] == logs.inspect(again)["calls"] > 0


def test_a_folder_that_cannot_be_opened_is_said(
    config: Config, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = config.codex_home / "sessions" / "closed"
    closed.mkdir(parents=True)
    usual = os.scandir

    def refuse(path: str) -> Any:
        if str(path) == str(closed):  # root, who may run these tests, may open everything
            raise PermissionError(13, "Permission denied")
        return usual(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        Indexer(config, Ledger()).scan()
    assert scan.quality()["leftOut"] == [{"path": str(closed), "kind": "closed_folder"}]
    said = quick.quality(scan.quality())
    assert said == [f"Left out: {closed} (a folder that cannot be opened)."]


def test_a_log_that_could_not_be_read_is_said_until_it_can(
    config: Config, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tree(config.codex_home, seed=3, body=20).grow(1)
    indexer = Indexer(config, Ledger())

    def refuse(path: str) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(reader, "open_log", refuse)
        indexer.scan()
    assert {one["kind"] for one in scan.quality()["leftOut"]} == {"unreadable"}
    assert scan.totals()["skippedLines"] == 0
    indexer.scan()
    assert scan.quality()["leftOut"] == []


def test_lines_that_are_kept_are_not_called_skipped(config: Config, database: None) -> None:
    folder = config.claude_home / "projects" / "p"
    folder.mkdir(parents=True)
    usage = {"input_tokens": 5, "cache_read_input_tokens": -1, "output_tokens": 7}

    def line(number: int, at: str | None, **more: Any) -> str:
        message = {"id": f"msg_{number}", "model": "claude-x", "usage": usage | more}
        return json.dumps({"type": "assistant", "sessionId": "s", "timestamp": at,
                           "message": message}) + "\n"  # fmt: skip

    (folder / "s.jsonl").write_text(
        line(1, "2026-11-20T10:00:00Z")  # a figure below nothing is none
        + line(2, "1970-01-01T00:00:01Z", cache_read_input_tokens=1)  # before any log
        + line(3, None)  # at no time: nobody can say on which day it counts
    )
    Indexer(config, Ledger()).scan()
    assert db.rows("select count(*), sum(output) from call") == [(2, 14)]
    quality = scan.quality()
    assert (quality["skippedLines"], quality["mendedLines"]) == (1, 2)
    warnings = json.loads(db.rows("select warnings from source_file")[0][0])
    assert warnings == {"mended_number": 1, "mended_time": 1, "bad_time": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"\0" * 9000, "nothing but NUL bytes", id="only NULs"),
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(b'{"a": 1}\n{"b', "The last 3 bytes are a line without an end", id="torn"),
        pytest.param(b"[1]\n", "is no JSON object", id="another value"),
        pytest.param(b"{}\n\0\0\0\n", "is not text", id="a line of NULs"),
        pytest.param(b"\x89PNG\xff\n", "1 × a line is not text in UTF-8", id="another file"),
        pytest.param(b'{"a":"\xff"}\n', "bytes that are no UTF-8; they are replaced", id="a byte"),
        pytest.param(b"x" * (3 << 20) + b"\n{}\n", "is longer than 64 MB", id="an endless line"),
    ],
)
def test_inspecting_explains_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.setattr(logs, "_LONGEST", 1 << 20)
    monkeypatch.setattr(logs, "_PIECE", 1 << 18)
    path = tmp_path / "rollout-2026-11-21T00-00-00-x.jsonl"
    path.write_bytes(content)
    found = logs.inspect(path)
    assert any(said in note for note in found["notes"]), found
    assert found["bytes"] == len(content)
    assert path.read_bytes() == content


def test_inspecting_counts_as_the_ledger_does(config: Config, database: None) -> None:
    folder = config.codex_home / "sessions"
    folder.mkdir(parents=True)
    path = folder / "rollout-2026-11-21T00-00-00-x.jsonl"
    usage = {"input_tokens": 5, "cached_input_tokens": 9, "output_tokens": 2,
             "reasoning_output_tokens": 3, "total_tokens": 7}  # fmt: skip
    info = {"last_token_usage": usage, "total_token_usage": usage}
    line = {"timestamp": "1970-01-01T00:00:01.000Z", "type": "event_msg",
            "payload": {"type": "token_count", "info": info}}  # fmt: skip
    path.write_text(json.dumps(line) + "\n")
    found = logs.inspect(path)
    Indexer(config, Ledger()).scan()
    tokens = scan.totals()["tokens"]
    assert (found["input"], found["cached"], found["output"], found["reasoning"]) == (5, 5, 2, 2)
    assert (tokens["input"], tokens["cachedInput"], tokens["reasoningOutput"]) == (5, 5, 2)
    assert found["warnings"] == {"mended_number": 1, "mended_time": 1}
    assert any("a time cannot be" in note for note in found["notes"])


def test_a_damaged_packed_log_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "rollout-1.jsonl.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfdgarbage")
    with pytest.raises(AppError, match="is damaged: it cannot be unpacked"):
        logs.inspect(path)


def test_a_damaged_log_is_said_once_until_it_changes(
    config: Config,
    database: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Tree(config.codex_home, seed=3, body=20).grow(1)
    indexer, gatherer = Indexer(config, Ledger()), Gatherer()
    indexer.scan()
    path = next(iter((config.codex_home / "sessions").rglob("*.jsonl")))

    def refuse(path: str) -> Any:
        raise OSError("the compressed log is damaged")

    monkeypatch.setattr(reader, "open_log", refuse)
    for number in (1, 2):
        with path.open("ab") as file:
            file.write(b"{}\n")
        for _ in range(3):
            indexer.scan()
            gatherer.bring_up(gently=False)
        said = [record.getMessage() for record in caplog.records]
        # The indexer once, and the gatherer of facts once.
        assert sum(f"{path.stem} cannot be read" in text for text in said) == 2 * number, said


def test_reasoning_that_a_log_does_not_tell_is_unknown(
    config: Config, database: None, tmp_path: Path
) -> None:
    folder = config.claude_home / "projects" / "p"
    folder.mkdir(parents=True)
    lines = [
        {"type": "assistant", "sessionId": "s", "timestamp": f"2026-11-20T10:0{n}:00Z",
         "message": {"id": f"msg_{n}", "model": "claude-x",
                     "usage": {"input_tokens": 5, "output_tokens": 7}}}
        for n in range(2)
    ]  # fmt: skip
    (folder / "s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Tree(config.codex_home, seed=3, body=20).grow(1)
    Indexer(config, Ledger()).scan()
    only = Filter(provider="claude")
    listed = calls.search(only, Page())
    assert [row["reasoningTokens"] for row in listed["calls"]] == [None, None]
    assert listed["totals"]["reasoningOutput"] is None
    assert calls.search(Filter(provider="codex"), Page())["totals"]["reasoningOutput"] is not None
    found = threads.search(only, Page())
    assert found["threads"][0]["reasoningTokens"] is found["totals"]["reasoningOutput"] is None
    groups = summary.grouped(Filter(), "provider", Days("UTC"), 0)["groups"]
    assert {one["name"]: one["reasoningTokens"] is None for one in groups} == {
        "claude": True, "codex": False,
    }  # fmt: skip
    series = trends.series("2026-11-20", "2026-11-20", zone="UTC", wanted=only)
    assert series["names"] == ["cachedInput", "uncachedInput", "output"]
    assert series["days"][0]["reasoningOutput"] is None
    detail = calls.one(listed["calls"][0]["id"])
    assert detail["previous"] and detail["flags"] == []
    assert deltas.deltas(detail, calls.one(detail["previous"]))["reasoningTokens"] is None  # type: ignore[index]


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "python"])
def test_a_byte_order_mark_costs_no_line(
    config: Config, database: None, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    if not compiled:
        monkeypatch.setattr(codex, "usual", None)
    tree = Tree(config.codex_home, seed=4, body=20)
    tree.grow(12)
    own = "aaaaaaaa-0000-7000-9000-000000000001"
    paths = [*config.codex_home.rglob("rollout-*.jsonl"), write(config, own, line(own, 1, 5))]
    paths[0] = paths[0].rename(paths[0].with_name("talk.jsonl"))
    Indexer(config, Ledger()).scan()
    rows = "select c.id, c.input, c.output, c.turn_id, s.key, s.parent, s.cwd, s.client, "
    rows += "c.offset from call c join session s on s.id = c.session order by c.id"
    before = db.rows(rows)
    inspected = [logs.inspect(path)["calls"] for path in paths]
    for path in paths:
        path.write_bytes(BOM + path.read_bytes())
    Indexer(config, Ledger()).scan()
    after = db.rows(rows)
    assert [row[:-1] for row in after] == [row[:-1] for row in before]
    assert {now[-1] - then[-1] for now, then in zip(after, before, strict=True)} == {len(BOM)}
    assert not scan.quality()["skippedLines"]
    assert [logs.inspect(path)["calls"] for path in paths] == inspected
    assert not any(logs.inspect(path)["warnings"].get("not_json") for path in paths)
    for call in {row[4]: row[0] for row in after}.values():
        found = logfile.find(call)
        with logfile.opened(config, found, logfile.QUICK) as log:
            lines = [log.own, *logfile.backwards(log.data, log.own.place, log.bounds)]
        assert all(one.decoded() for one in lines), call
