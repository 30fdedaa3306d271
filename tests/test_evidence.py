"""The log lines behind a call: found wherever the log lies, bounded, without secrets."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from flask.testing import FlaskClient

from desktop import cli
from server.app import Services, create_app
from server.config import Config, load
from server.ingest import evidence, logfile
from server.ingest.evidence import Wanted
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db, settings
from server.times import iso
from tests.rollouts import Rollout, Tree
from tests.test_claude import answer as claude_answer
from tests.test_claude import prompt as claude_prompt

DATA = Path(__file__).parent / "data" / "rollouts"
SECRET = "sk-proj-Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"
THREAD = "01a1fbc5-af83-77a1-9bf9-f8b04c6193ff"
NAME = f"rollout-2026-11-21T01-43-19-{THREAD}"


@pytest.fixture
def app_config(config: Config) -> Config:
    return replace(config, strict_writes=True)


@pytest.fixture
def client(app_config: Config) -> Iterator[FlaskClient]:
    """An app on an empty folder."""
    app = create_app(app_config)
    with app.test_client() as made:
        yield made
    db.close_databases()


def scan(config: Config) -> None:
    Indexer(config, Ledger()).scan()


def put(config: Config, name: str) -> Path:
    """One of the real sessions, where Codex would have written it."""
    source = next(DATA.glob(f"{name}__*"))
    path = config.codex_home / "sessions/2026/11/21" / source.name.split("__")[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
    scan(config)
    return path


def ids() -> list[str]:
    return [name for (name,) in db.rows("select id from call order by started_at, offset")]


def get(client: FlaskClient, call: str, status: int = 200, **query: Any) -> Any:
    said = client.get(f"/api/calls/{call}/evidence", query_string=query)
    assert said.status_code == status, said.text
    return said.get_json()


def kinds(found: Any, *scopes: str) -> list[str]:
    return [e["kind"] for e in found["entries"] if not scopes or e["scope"] in scopes]


def texts(found: Any, kind: str) -> list[str]:
    return [e["text"] for e in found["entries"] if e["kind"] == kind]


class Written:
    """A session in the making, of today's format."""

    def __init__(self) -> None:
        self.rollout = Rollout(THREAD, True, 1_795_225_400_000, NAME)
        self.rollout.add("session_meta", {"id": THREAD, "cwd": "/home/dev/shop"})
        self.calls = 0
        self.turn = 0

    def ask(self, text: str) -> None:
        self.turn += 1
        named: dict[str, Any] = {"turn_id": f"t{self.turn}"}
        self.rollout.event("task_started", **named)
        self.rollout.add("turn_context", {**named, "model": "gpt-5.5", "effort": "high"})
        content = [{"type": "input_text", "text": text}]
        self.rollout.item("message", role="user", content=content)
        item = {"type": "UserMessage", "content": [{"type": "text", "text": text}]}
        self.rollout.event("item_completed", item=item)

    def call(self, command: str = "ls", output: str = "a.py", **more: Any) -> str:
        """A call that runs a tool."""
        self.calls += 1
        rollout, name = self.rollout, f"resp_{self.calls}"
        rollout.at += 1000
        tool = f"call_{self.calls}"
        arguments = json.dumps({"cmd": command})
        rollout.item("reasoning", summary=[], encrypted_content="gAAA" * 100)
        rollout.item("function_call", name="exec_command", arguments=arguments, call_id=tool)
        used = {"input_tokens": 1000 * self.calls, "cached_input_tokens": 100, "output_tokens": 50}
        used |= {"reasoning_output_tokens": 5, "total_tokens": 1000 * self.calls + 50}
        rollout.add(
            "token_usage_record",
            {"thread_id": THREAD, "turn_id": f"t{self.turn}", "response_id": name, "usage": used},
        )
        item: dict[str, Any] = {
            "type": "CommandExecution",
            "id": tool,
            "command": ["/bin/bash", "-lc", command],
        }
        item |= {"exit_code": 0, "status": "completed", "duration": {"secs": 2, "nanos": 0}}
        rollout.event(
            "item_completed", item=item, started_at_ms=rollout.at, completed_at_ms=rollout.at + 2000
        )
        rollout.at += 2000
        rollout.item("function_call_output", call_id=tool, output=output, **more)
        return name

    def done(self) -> None:
        self.rollout.event("task_complete", duration_ms=5000, time_to_first_token_ms=700)

    def save(self, config: Config, data: bytes | None = None) -> Path:
        path = config.codex_home / "sessions/2026/11/21" / f"{NAME}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(self.rollout.lines) if data is None else data)
        scan(config)
        return path


def counted(data: bytes) -> bytes:
    """The same log of a Codex that counted tokens and wrote no records."""
    lines, total = [], {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0}
    for text in data.splitlines():
        line = json.loads(text)
        if line["type"] == "token_usage_record":
            last = {key: line["payload"]["usage"][key] for key in total}
            total = {key: total[key] + last[key] for key in total}
            info = {"total_token_usage": total, "last_token_usage": last}
            line["type"] = "event_msg"
            line["payload"] = {"type": "token_count", "info": info}
        lines.append(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    return b"".join(lines)


# ── What is shown ─────────────────────────────────────────────────────────────────────────


def test_a_real_sessions_call_shows_its_turn(client: FlaskClient, app_config: Config) -> None:
    put(app_config, "tools-resume-fork-1")
    first, second, third, *_ = ids()
    found = get(client, second)
    assert found["state"] == "ok"
    assert found["sentence"] is None
    # One prompt, though the log holds it twice; the tool's output before it is its input.
    assert kinds(found).count("user") == 1
    assert kinds(found, "call") == [
        "command",
        "tool_output",
        "usage",
        "reasoning",
        "tool_call",
        "usage",
    ]
    assert texts(found, "tool_call") == ["echo one && uname", "ls -la; false"]
    assert kinds(found, "after") == ["command", "tool_output", "usage"]
    assert found["turn"]["whole"] is True
    assert kinds(get(client, first), "earlier") == []
    answers = texts(get(client, third), "assistant")
    assert answers == ["All done."]
    assert "task_complete" in [e["label"] for e in get(client, third)["entries"]]


def test_every_call_of_every_real_session_has_evidence(
    client: FlaskClient, app_config: Config
) -> None:
    for source in DATA.glob("*.jsonl"):
        put(app_config, source.name.split("__")[0])
    assert len(ids()) > 20
    for name in ids():
        for mode in ("quick", "full"):
            found = get(client, name, mode=mode)
            assert found["state"] == "ok", name
            assert "usage" in kinds(found, "call")
            assert "unreadable" not in kinds(found)


def steered(log: Written) -> None:
    log.call("make one", "ok one")
    content = [{"type": "input_text", "text": "and mind the tests"}]
    log.rollout.item("message", role="user", content=content)


def left_over(log: Written) -> None:
    log.rollout.item("function_call_output", call_id="call_9", output="of a turn before")
    content = [{"type": "input_text", "text": "go on"}]
    log.rollout.item("message", role="user", content=content)


@pytest.mark.parametrize(
    "amid",
    [
        pytest.param(steered, id="a message within the turn"),
        pytest.param(left_over, id="an output before the question"),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["records", "token counts"])
def test_a_named_turn_is_whole_only_from_its_beginning(
    client: FlaskClient, app_config: Config, amid: Callable[[Written], None], named: bool
) -> None:
    log = Written()
    log.ask("first question")
    log.call()
    log.done()
    log.rollout.at += 60_000
    began = log.rollout.at
    log.ask("second question")
    amid(log)
    log.call("make two", "ok two")
    last = log.call("make three", "ok three")
    log.done()
    data = b"".join(log.rollout.lines)
    if not named:
        data = counted(data)
    log.save(app_config, data)
    found = get(client, last if named else ids()[-1])
    assert found["entries"][0]["label"] == "task_started"
    assert "second question" in texts(found, "user")
    assert "first question" not in texts(found, "user")
    assert found["turn"]["whole"] is True
    assert found["turn"]["startedAt"] == iso(began)
    assert found["omitted"]["moreBefore"] is False


def test_a_named_turn_beyond_the_bounds_is_not_called_whole(
    client: FlaskClient, app_config: Config
) -> None:
    log = Written()
    log.ask("first question")
    for _ in range(400):
        steered(log)
    last = log.call()
    log.save(app_config)
    found = get(client, last)
    assert found["turn"]["whole"] is False
    assert found["omitted"]["moreBefore"] is True


def test_the_end_of_the_turn_itself_is_no_beginning(
    client: FlaskClient, app_config: Config
) -> None:
    log = Written()
    log.ask("a question")
    log.call("make one", "ok one")
    log.rollout.event("turn_aborted", turn_id="t1", reason="interrupted")
    last = log.call("make two", "ok two")
    log.save(app_config)
    assert "a question" in texts(get(client, last), "user")


def test_generated_trees_of_both_formats(client: FlaskClient, app_config: Config) -> None:
    Tree(app_config.codex_home, seed=5, body=60).grow(14)
    scan(app_config)
    for name in ids():
        found = get(client, name)
        assert found["state"] == "ok", found
        own = [e for e in found["entries"] if e["scope"] == "call" and e["kind"] == "usage"]
        figures = db.rows("select input, output from call where id = ?", (name,))[0]
        assert figures in [(e["usage"]["input"], e["usage"]["output"]) for e in own if e["usage"]]


def test_an_old_sessions_call(client: FlaskClient, app_config: Config) -> None:
    tree = Tree(app_config.codex_home, seed=3, body=40)
    tree.save(tree.legacy())
    scan(app_config)
    found = get(client, ids()[-1])
    assert kinds(found)[0] == "event"  # task_started
    assert kinds(found).count("user") == 1
    assert "tool_call" in kinds(found, "call")


def test_claudes_calls_have_evidence_too(client: FlaskClient, app_config: Config) -> None:
    path = (
        app_config.claude_home
        / "projects/-home-dev-shop/7c4e0d2a-0000-4000-8000-000000000001.jsonl"
    )
    path.parent.mkdir(parents=True)
    use = [{"type": "tool_use", "id": "tool_1", "name": "Bash", "input": {"command": "make test"}}]
    text = [{"type": "text", "text": "It passes."}]
    thought = [{"type": "thinking", "thinking": "Hm."}]
    result = {
        "type": "user", "timestamp": "2026-06-01T10:00:05.000Z",
        "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "tool_1", "content": f"ok {SECRET}"}]},
    }  # fmt: skip
    path.write_bytes(
        claude_prompt("earlier question") + claude_answer("msg_0", 5)
        + claude_prompt("does it pass?")
        + claude_answer("msg_1", 20, message={"content": thought})
        + claude_answer("msg_1", 20, message={"content": use})
        + json.dumps(result).encode() + b"\n"
        + claude_answer("msg_2", 30, message={"content": text})
    )  # fmt: skip
    scan(app_config)
    found = get(client, "msg_2")
    assert kinds(found, "earlier")[0] == "user"
    assert "does it pass?" in texts(found, "user")
    assert "earlier question" not in texts(found, "user")
    assert texts(found, "tool_call") == ["make test"]
    assert texts(found, "tool_output") == ["ok [redacted openai_key]"]
    assert texts(found, "assistant") == ["It passes."]
    assert [tool["name"] for tool in found["tools"]] == ["Bash"]
    first = get(client, "msg_1")
    assert kinds(first, "call") == ["user", "reasoning", "usage", "tool_call", "usage"]
    assert kinds(first, "after") == ["tool_output"]


def test_times_tools_and_estimates(client: FlaskClient, app_config: Config) -> None:
    log = Written()
    log.ask("please count")
    log.call("wc -l a.py", "12 a.py")
    second = log.call("wc -c a.py", "x" * 4000)
    third = log.call()
    log.done()
    log.save(app_config)
    found = get(client, third)
    tools = found["tools"]
    assert [(tool["name"], tool["measured"]) for tool in tools] == [("exec_command", True)] * 3
    own = [e for e in found["entries"] if e["kind"] == "tool_output"][1]
    assert own["sinceTurnMs"] == 6000
    assert own["scope"] == "call"
    assert found["timing"]["elapsedMs"] == 9000
    assert found["timing"]["slowestGapMs"] == 2000
    said = found["estimates"]
    assert said["newVisibleTokens"] == 1000  # 4,000 characters of output
    assert said["uncachedTokens"] == 2900
    assert said["gapTokens"] == 1900
    assert said["groups"] is None
    full = get(client, third, mode="full")["estimates"]
    shares = {group["key"]: group["chars"] for group in full["groups"]}
    assert sum(shares.values()) == full["serializedChars"]
    assert shares["encrypted_reasoning_state"] == 3 * 400
    assert shares["visible_payload_fields"] > 4000
    assert get(client, second)["estimates"]["newVisibleTokens"] == 2  # "12 a.py"


def test_tool_output_can_be_hidden(client: FlaskClient, app_config: Config) -> None:
    log = Written()
    log.ask("go")
    log.call(output="a noisy answer")
    name = log.call()
    log.save(app_config)
    assert "a noisy answer" in texts(get(client, name), "tool_output")
    found = get(client, name, toolOutput="0")
    assert texts(found, "tool_output") == [None, None]
    assert found["omitted"]["toolOutputs"] == 2
    assert "a noisy answer" not in json.dumps(found)


def test_compaction_history_only_on_request(client: FlaskClient, app_config: Config) -> None:
    path = put(app_config, "compaction-local")
    place = path.read_bytes().index(b'"type":"compacted"')
    name = next(n for n, at in db.rows("select id, offset from call order by offset") if at > place)
    plain = get(client, name)
    (made,) = [e for e in plain["entries"] if e["compaction"] and e["label"] == "compacted"]
    assert made["compaction"]["items"] > 0
    assert made["compaction"]["history"] is None
    (told,) = [
        e for e in get(client, name, compaction="1")["entries"]
        if e["compaction"] and e["label"] == "compacted"
    ]  # fmt: skip
    assert len(told["compaction"]["history"]) == made["compaction"]["items"]
    assert any(item["text"] for item in told["compaction"]["history"])


def test_secrets_never_show_and_nothing_is_kept(
    client: FlaskClient, app_config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    log = Written()
    log.ask(f"use {SECRET}")
    log.rollout.add(f"odd {SECRET}", {})
    log.call(f"export TOKEN={SECRET[-20:]}", f"Authorization: Bearer {SECRET[-24:]}")
    name = log.call()
    log.save(app_config)
    before = {table: db.rows(f"select count(*) from {table}") for table in ("call", "setting")}
    found = get(client, name, compaction="1")
    assert SECRET[-20:] not in json.dumps(found)
    assert found["redactions"]["total"] >= 3
    assert set(found["redactions"]["kinds"]) >= {"openai_key", "assignment", "authorization"}
    assert "use [redacted openai_key]" in texts(found, "user")
    after = {table: db.rows(f"select count(*) from {table}") for table in ("call", "setting")}
    assert before == after
    for file in app_config.data_dir.rglob("*"):
        if file.is_file() and "usage.db" in file.name:
            assert b"Authorization: Bearer" not in file.read_bytes()
    assert SECRET[-20:] not in caplog.text


def test_privacy_modes_hide_places_then_everything(client: FlaskClient, app_config: Config) -> None:
    log = Written()
    log.ask("look into /home/dev/shop/cart.py for ann@example.com")
    name = log.call("cat /home/dev/shop/cart.py", "class Cart")
    log.save(app_config)
    redacted = get(client, name, privacy="redacted")
    assert "/home/dev" not in json.dumps(redacted)
    assert "ann@" not in json.dumps(redacted)
    assert "class Cart" in texts(redacted, "tool_output")
    strict = get(client, name, privacy="strict")
    assert {e["text"] for e in strict["entries"]} == {None}
    assert "Cart" not in json.dumps(strict)
    assert [e["chars"] for e in strict["entries"]] == [
        e["chars"] for e in get(client, name)["entries"]
    ]
    settings.change({"privacyMode": "strict"})
    assert {e["text"] for e in get(client, name)["entries"]} == {None}
    settings.change({"privacyMode": "normal"})


# ── Bounds ────────────────────────────────────────────────────────────────────────────────


def test_only_the_newest_entries_come_at_first(client: FlaskClient, app_config: Config) -> None:
    log = Written()
    log.ask("the beginning")
    for _ in range(60):
        name = log.call(output="line\n" * 50)
    log.save(app_config)
    found = get(client, name)
    assert len(found["entries"]) == evidence.ENTRIES
    assert found["omitted"]["olderEntries"] > 100
    assert "the beginning" not in texts(found, "user")
    everything = get(client, name, entries="all")
    assert everything["omitted"]["olderEntries"] == 0
    assert texts(everything, "user") == ["the beginning"]
    assert len(everything["entries"]) == 80 + found["omitted"]["olderEntries"]
    # What is estimated does not depend on what is shown.
    assert everything["estimates"] == found["estimates"]
    assert len(get(client, name, entries=5)["entries"]) == 5


def test_long_texts_are_cut_and_no_secret_with_them(
    client: FlaskClient, app_config: Config
) -> None:
    log = Written()
    log.ask("go")
    log.call(output="y " * 4990 + SECRET + " z" * 20_000)
    name = log.call()
    log.save(app_config)
    found = get(client, name, chars=10_000)
    (entry, _) = [e for e in found["entries"] if e["kind"] == "tool_output"]
    assert entry["shortened"] is True
    assert len(entry["text"]) <= 10_000
    assert "sk-" not in entry["text"]
    assert found["omitted"]["shortened"] == 1


def test_a_line_of_100_mb_is_passed_by(client: FlaskClient, app_config: Config) -> None:
    log = Written()
    log.ask("go")
    log.call()
    head = b"".join(log.rollout.lines)
    log.rollout.lines.clear()
    name = log.call()
    path = log.save(app_config, head)
    with path.open("ab") as file:
        file.write(b'{"timestamp":"2026-11-21T01:43:25.000Z","type":"compacted","payload":{"x":"')
        file.truncate(path.stat().st_size + 100_000_000)
        file.seek(0, os.SEEK_END)
        file.write(b'"}}\n' + b"".join(log.rollout.lines))
    scan(app_config)
    assert name in ids()
    found = get(client, name)
    assert found["state"] == "ok"
    assert found["omitted"]["moreBefore"] is True
    assert "tool_call" in kinds(found, "call")
    assert get(client, name, mode="full")["state"] == "ok"


def test_a_long_line_is_named_but_not_read(client: FlaskClient, app_config: Config) -> None:
    log = Written()
    log.ask("go")
    log.rollout.item(
        "message", role="user", content=[{"type": "input_text", "text": "w" * 600_000}]
    )
    name = log.call()
    log.save(app_config)
    found = get(client, name)
    (long,) = [e for e in found["entries"] if e["kind"] == "long"]
    assert (long["label"], long["text"]) == ("response_item.message", None)
    assert long["bytes"] > 600_000
    assert found["omitted"]["longLines"] == 1
    assert found["turn"]["whole"] is True
    assert kinds(get(client, name, mode="full")).count("long") == 0


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"\x00\xff\xfe binary \x80\n", id="binary"),
        pytest.param(b"[1, 2]\n", id="no object"),
        pytest.param(b'{"type":"response_item","payload":\n', id="broken"),
        pytest.param(b"\n", id="blank"),
        pytest.param(b'{"type":"response_item","payload":null}\n', id="no payload"),
        pytest.param(b'{"type":["x"],"payload":{"type":{}}}\n', id="names that are none"),
        pytest.param(
            b'{"type":"response_item","payload":{"type":"message","content":%s"x"%s}}\n'
            % (b"[" * 900, b"]" * 900),
            id="deep",
        ),
        pytest.param(
            b'{"type":"response_item","payload":{"type":"function_call_output","output":%s1%s}}\n'
            % (b'{"content":' * 900, b"}" * 900),
            id="deep objects",
        ),
        pytest.param(
            b'{"type":"event_msg","payload":{"type":"item_completed","item":7}}\n', id="item"
        ),
        pytest.param(
            b'{"type":"event_msg","payload":{"type":"token_count",'
            b'"info":{"total_token_usage":[1]}}}\n',
            id="figures that are none",
        ),
        pytest.param(
            b'{"type":"response_item","payload":{"type":"message","role":"user",'
            b'"content":"\\ud800"}}\n',
            id="half a letter",
        ),
    ],
)  # fmt: skip
def test_odd_lines_do_no_harm(client: FlaskClient, app_config: Config, line: bytes) -> None:
    log = Written()
    log.ask("go")
    log.rollout.lines.append(line)
    name = log.call()
    log.save(app_config)
    for mode in ("quick", "full"):
        found = get(client, name, mode=mode)
        assert found["state"] == "ok"
        assert "user" in kinds(found)


# ── The log has changed since ─────────────────────────────────────────────────────────────


@pytest.fixture
def written(client: FlaskClient, app_config: Config) -> tuple[str, Path]:
    """A call in the middle of a log."""
    log = Written()
    log.ask("go")
    log.call()
    name = log.call()
    log.call()
    return name, log.save(app_config)


def pack(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()


@pytest.mark.parametrize("how", ["archived", "packed", "archived and packed", "another day"])
def test_a_log_that_moved_is_found(
    client: FlaskClient, app_config: Config, written: tuple[str, Path], how: str
) -> None:
    name, path = written
    before = get(client, name)
    archive = app_config.codex_home / "archived_sessions"
    archive.mkdir()
    if how == "archived":
        path.rename(archive / path.name)
    elif how == "packed":
        pack(path, path.with_suffix(".jsonl.zst"))
    elif how == "archived and packed":
        pack(path, archive / f"{path.name}.zst")
    else:
        other = app_config.codex_home / "sessions/elsewhere/2020"
        other.mkdir(parents=True)
        path.rename(other / path.name)
    found = get(client, name)
    assert found["state"] == "ok"
    assert found["log"]["moved"] is True
    assert found["log"]["packed"] is ("packed" in how)
    assert found["log"]["archived"] is ("archived" in how)
    assert found["entries"] == before["entries"]


@pytest.mark.parametrize("mode", ["quick", "full"])
def test_a_call_deep_in_a_packed_log(client: FlaskClient, app_config: Config, mode: str) -> None:
    log = Written()
    log.ask("go")
    names = [log.call(output=f"{n} " * 90_000) for n in range(50)]
    path = log.save(app_config)
    before = {name: get(client, name, mode=mode) for name in (names[0], names[25], names[-1])}
    pack(path, path.with_suffix(".jsonl.zst"))
    for name, plain in before.items():
        found = get(client, name, mode=mode)
        assert found["log"]["packed"] is True
        for part in ("entries", "turn", "estimates", "omitted"):
            assert found[part] == plain[part], part


def test_what_became_of_a_log_is_a_sentence(
    client: FlaskClient, app_config: Config, written: tuple[str, Path]
) -> None:
    name, path = written
    whole = path.read_bytes()

    def state(data: bytes | None) -> str:
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
        found = get(client, name)
        assert found["entries"] == []
        assert found["sentence"].endswith(".")
        return str(found["state"])

    assert state(None) == "missing"
    assert state(whole[:500]) == "shorter"
    assert state(b"") == "shorter"
    assert state(b"\n" + whole) == "changed"
    assert state(b"x" * len(whole)) == "changed"
    assert state(whole.replace(b"resp_2", b"resp_9").replace(b":2000,", b":2001,")) == "changed"
    path.unlink()
    path.mkdir()
    assert get(client, name)["state"] == "unreadable"
    path.rmdir()
    os.mkfifo(path)
    assert get(client, name)["state"] == "unreadable"
    path.unlink()
    packed = path.with_suffix(".jsonl.zst")
    packed.write_bytes(b"no zstd at all")
    assert get(client, name)["state"] == "unreadable"


def test_nothing_outside_the_log_folders_is_opened(
    client: FlaskClient, app_config: Config, written: tuple[str, Path], tmp_path: Path
) -> None:
    name, path = written
    outside = tmp_path / "outside.jsonl"
    path.rename(outside)
    path.symlink_to(outside)
    assert get(client, name)["state"] == "outside"
    path.unlink()
    with db.writing() as connection:
        connection.execute("update source_file set path = ?", (str(outside),))
    assert get(client, name)["state"] == "outside"
    with db.writing() as connection:
        connection.execute(
            "update source_file set path = ?, name = ?",
            (str(path.parent / "../../../../.." / outside.name), "../../../../../outside"),
        )
    assert get(client, name)["state"] in ("outside", "missing")


@pytest.mark.parametrize("offset", [7, 10**6, 2**62, None])
def test_odd_offsets(client: FlaskClient, written: tuple[str, Path], offset: int | None) -> None:
    name, _ = written
    with db.writing() as connection:
        connection.execute("update call set offset = ? where id = ?", (offset, name))
    expected = {7: "changed", None: "no_log"}.get(offset, "shorter")
    assert get(client, name)["state"] == expected


def test_a_call_that_only_the_proxy_saw(client: FlaskClient, written: tuple[str, Path]) -> None:
    with db.writing() as connection:
        connection.execute("update call set source = null, offset = null")
    assert get(client, written[0])["state"] == "no_log"


def test_a_disk_that_fails_in_the_middle(
    client: FlaskClient, written: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = logfile._Plain.at, []

    def fails(self: logfile._Plain, offset: int, size: int) -> bytes:
        asked.append(offset)
        if len(asked) > 2:
            raise OSError(5, "Input/output error")
        return read(self, offset, size)

    monkeypatch.setattr(logfile._Plain, "at", fails)
    assert get(client, written[0])["state"] == "unreadable"


def test_a_growing_logs_last_line_may_be_torn(
    client: FlaskClient, app_config: Config, written: tuple[str, Path]
) -> None:
    name, path = written
    before = get(client, name)
    with path.open("ab") as file:
        file.write(b'{"timestamp":"2026-11-21T01:50')
    assert get(client, name)["entries"] == before["entries"]


# ── The routes ────────────────────────────────────────────────────────────────────────────


def test_unknown_calls_and_odd_questions(client: FlaskClient, written: tuple[str, Path]) -> None:
    get(client, "nobody", 404)
    get(client, "../../etc/passwd", 404)
    get(client, "%00", 404)
    for query in (
        {"mode": "deep"}, {"entries": "-1"}, {"entries": "many"}, {"chars": "9" * 30},
        {"toolOutput": "perhaps"}, {"compaction": "2"}, {"privacy": "none"},
    ):  # fmt: skip
        said = get(client, written[0], 422, **query)
        assert said["error"]["message"]


def test_the_usage_trackers_names(client: FlaskClient, written: tuple[str, Path]) -> None:
    name, _ = written
    said = client.get("/api/context", query_string={"record_id": name, "max_chars": 0}).get_json()
    assert said["state"] == "ok"
    assert {e["text"] for e in said["entries"] if e["kind"] == "tool_output"} == {None}
    more = {"record_id": name, "include_tool_output": "1", "max_entries": "all", "mode": "full"}
    said = client.get("/api/context", query_string=more).get_json()
    assert "a.py" in texts(said, "tool_output")
    call = client.get("/api/call", query_string={"record": name}).get_json()
    assert (call["record"]["id"], call["previous_record"]["id"]) == (name, "resp_1")
    assert call["next_record"]["id"] == "resp_3"
    assert client.get("/api/call").status_code == 422
    assert client.get("/api/call", query_string={"record": "nobody"}).status_code == 404


def permit(client: FlaskClient, value: Any) -> Any:
    return client.post("/api/evidence/settings", json={"enabled": value})


def test_the_owner_turns_it_off_and_on(client: FlaskClient, written: tuple[str, Path]) -> None:
    name, _ = written
    assert client.get("/api/evidence/settings").get_json()["enabled"] is True
    assert permit(client, False).get_json()["enabled"] is False
    assert settings.get("showEvidence") is False
    assert get(client, name, 403)["error"]["code"] == "evidence_off"
    assert client.get("/api/context", query_string={"record_id": name}).status_code == 403
    assert permit(client, True).get_json()["enabled"] is True
    assert get(client, name)["state"] == "ok"
    assert permit(client, "yes").status_code == 422
    assert client.post("/api/evidence/settings", data="enabled=1").status_code == 422
    # An older client asks in the address; a GET never changes anything.
    assert client.get("/api/context-settings?enabled=0").get_json()["enabled"] is True
    said = client.post("/api/context-settings?enabled=0").get_json()
    assert said["context_api_enabled"] is False
    assert said["raw_context_persisted"] is False
    settings.change({"showEvidence": True})


def test_off_from_the_start_until_the_owner_says_so(config: Config) -> None:
    off = replace(config, evidence=False)
    for _ in range(2):  # what was permitted ends with the run
        app = create_app(off)
        services: Services = app.extensions["brimline"]
        with app.test_client() as client:
            log = Written()
            log.ask("go")
            name = log.call()
            log.save(off)
            get(client, name, 403)
            get(client, "nobody", 403)
            state = client.get("/api/evidence/settings").get_json()
            assert (state["enabled"], state["offFromStart"]) == (False, True)
            assert permit(client, True).get_json()["enabled"] is True
            assert get(client, name)["state"] == "ok"
            assert services.evidence_opened
        db.close_databases()


@pytest.mark.parametrize(
    ("words", "environ", "evidence"),
    [
        pytest.param(["serve"], {}, True, id="on unless told otherwise"),
        pytest.param(["serve", "--no-context-api"], {}, False, id="by the flag"),
        pytest.param(["serve-dashboard", "--no-context-api"], {}, False, id="by the older name"),
        pytest.param(["serve"], {"BRIMLINE_EVIDENCE": "off"}, False, id="by the environment"),
        pytest.param(["serve"], {"BRIMLINE_EVIDENCE": "on"}, True, id="on by the environment"),
    ],
)
def test_it_can_be_off_from_the_start(
    tmp_path: Path, words: list[str], environ: dict[str, str], evidence: bool
) -> None:
    given = {"evidence": getattr(cli._understood(words), "evidence", None)}
    home = {"HOME": str(tmp_path), "BRIMLINE_CONFIG": str(tmp_path / "none.toml")}
    assert load(given, {**home, **environ})[0].evidence is evidence


def test_another_site_cannot_turn_it_on(client: FlaskClient) -> None:
    said = client.post(
        "/api/evidence/settings", json={"enabled": True}, headers={"Origin": "https://evil.example"}
    )
    assert said.status_code == 403


def test_bounds_of_wanted_are_the_routes(client: FlaskClient) -> None:
    assert Wanted().entries == evidence.ENTRIES
    assert evidence.MOST_ENTRIES >= 10 * evidence.ENTRIES
