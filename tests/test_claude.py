"""Claude Code's logs: repeats merged, four kinds of tokens, nothing counted twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest import codex, scan
from server.ingest.claude import State, fold, owner_of
from server.ingest.gather import Gatherer
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from server.usage import calls, roots
from server.usage.days import chosen

SESSION = "7c4e0d2a-0000-4000-8000-000000000001"


def answer(name: str, output: int, **other: Any) -> bytes:
    usage = {
        "input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000,
        "output_tokens": output, **other.pop("usage", {}),
    }  # fmt: skip
    message = {"id": name, "role": "assistant", "model": "claude-opus-4-6", "usage": usage}
    message |= other.pop("message", {})
    line = {
        "parentUuid": None, "isSidechain": False, "cwd": "/home/dev/shop", "gitBranch": "main",
        "sessionId": SESSION, "version": "2.1.0", "type": "assistant", "uuid": f"u-{name}",
        "requestId": f"req_{name}", "timestamp": "2026-06-01T10:00:00.000Z", "message": message,
    }  # fmt: skip
    return json.dumps({**line, **other}, separators=(",", ":")).encode() + b"\n"


def prompt(text: str, **other: str) -> bytes:
    line = {
        "type": "user", "sessionId": SESSION, "timestamp": "2026-06-01T09:59:00.000Z",
        "message": {"role": "user", "content": text},
    }  # fmt: skip
    return json.dumps({**line, **other}).encode() + b"\n"


def read(*lines: bytes) -> tuple[list[tuple[int, ...]], State]:
    records, state = fold(memoryview(b"".join(lines)), 0, State())
    return [(c[7], c[8], c[9], c[10]) for c in records.calls], state


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([answer("m1", 50)], [(3210, 3000, 200, 50)], id="disjoint kinds add up"),
        pytest.param(
            [answer("m1", 1), answer("m1", 8), answer("m1", 50)], [(3210, 3000, 200, 50)],
            id="early lines hold a part of the output",
        ),
        pytest.param(
            [answer("m1", 50), answer("m1", 1)], [(3210, 3000, 200, 50)], id="in any order"
        ),
        pytest.param([answer("m1", 5), answer("m2", 6)], [(3210, 3000, 200, 5),
                     (3210, 3000, 200, 6)], id="two answers"),
        pytest.param(
            [answer("m1", 5, message={"model": "<synthetic>"})], [], id="a local notice"
        ),
        pytest.param([answer("m1", 5, requestId=None)], [(3210, 3000, 200, 5)], id="a gateway"),
        pytest.param(
            [answer("m1", 5, message={"id": None})], [(3210, 3000, 200, 5)], id="no message id"
        ),
        pytest.param(
            [answer("m1", 1, message={"id": None}),
             answer("m1", 5, message={"id": None}, uuid="b")],
            [(3210, 3000, 200, 5)], id="a request without a message's id is one call",
        ),
        pytest.param(
            [answer("m1", 5, message={"id": None}, uuid=None)], [(3210, 3000, 200, 5)],
            id="nothing but a request",
        ),
        pytest.param(
            [answer("m1", 5, message={"id": None}, requestId=None, uuid=None)], [],
            id="nothing tells it from others",
        ),
        pytest.param(
            [answer("m1", 5), answer("m1", 7, requestId="req_a")],
            [(3210, 3000, 200, 5), (3210, 3000, 200, 7)], id="two requests of a message",
        ),
        pytest.param(
            [answer("m1", 5), answer("m1", 7, requestId=None)],
            [(3210, 3000, 200, 5), (3210, 3000, 200, 7)],
            id="a later line does not name the request: only all lines tell whose it is",
        ),
        pytest.param(
            [answer("m1", 7, requestId="req_a", isSidechain=True), answer("m1", 5)],
            [(3210, 3000, 200, 7), (3210, 3000, 200, 5)],
            id="a side conversation repeats it",
        ),
        pytest.param(
            [answer("m1", 5, usage={"cache_creation": {"ephemeral_5m_input_tokens": 1,
                                                       "ephemeral_1h_input_tokens": 2}})],
            [(3013, 3000, 3, 5)], id="writes by lifetime",
        ),
        pytest.param(
            [answer("m1", 5, usage={"input_tokens": -4, "cache_read_input_tokens": "x"})],
            [(200, 0, 200, 5)], id="impossible figures count nothing",
        ),
        pytest.param([answer("m1", 5, timestamp="soon")], [], id="no time"),
        pytest.param([b"[1]\n", b"{bad\n", b"\n", answer("m1", 5)], [(3210, 3000, 200, 5)],
                     id="bad lines"),
    ],
)  # fmt: skip
def test_fold(lines: list[bytes], expected: list[tuple[int, ...]]) -> None:
    assert read(*lines)[0] == expected


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        pytest.param([{}], (200, 0, None), id="nothing but the sum: five minutes"),
        pytest.param([{"cache_creation": {"ephemeral_5m_input_tokens": 50,
                                          "ephemeral_1h_input_tokens": 150}}],
                     (200, 150, None), id="both"),
        pytest.param([{"cache_creation": {"ephemeral_1h_input_tokens": 7}}], (7, 7, None),
                     id="an hour alone"),
        pytest.param([{"cache_creation": {"ephemeral_5m_input_tokens": "x",
                                          "ephemeral_1h_input_tokens": -4}}],
                     (200, 0, None), id="neither can be: the sum"),
        pytest.param([{"cache_creation": {"ephemeral_1h_input_tokens": 9}}, {"speed": "fast"}],
                     (200, 9, "fast"), id="of several lines, the most"),
        pytest.param([{"speed": "fast"}, {"speed": "standard"}], (200, 0, "fast"), id="fast"),
        pytest.param([{"speed": 5}], (200, 0, None), id="no speed"),
    ],
)  # fmt: skip
def test_what_decides_the_price(
    usages: list[dict[str, Any]], expected: tuple[int, int, str | None]
) -> None:
    made = b"".join(answer("m1", 5, usage=usage) for usage in usages)
    (call,) = fold(memoryview(made), 0, State())[0].calls
    assert (call[9], *call[15:]) == expected


@pytest.mark.parametrize(
    "figure",
    ["[]", "{}", '""', '"abc"', "-1", "1.5", "5.5", "1e400", "NaN", str(2**63), "true", "false"],
)
def test_a_figure_that_cannot_be_counts_nothing(figure: str) -> None:
    made = answer("m1", 5).replace(b'"output_tokens": 5', b'"output_tokens":' + figure.encode())
    made = made.replace(b'"output_tokens":5', b'"output_tokens":' + figure.encode())
    assert figure.encode() in made
    records, _ = fold(memoryview(made), 0, State())
    assert [call[7:11] for call in records.calls] == [(3210, 3000, 200, 0)]
    assert records.warnings == {"mended_number": 1}
    null = made.replace(b'"output_tokens":' + figure.encode(), b'"output_tokens":null')
    assert fold(memoryview(null), 0, State())[0].warnings == {}


def test_a_whole_figure_counts_however_it_is_written() -> None:
    made = answer("m1", 5).replace(b'"output_tokens": 5', b'"output_tokens":5')
    made = made.replace(b'"output_tokens":5', b'"output_tokens":5.0')
    assert b"5.0" in made
    records, _ = fold(memoryview(made), 0, State())
    assert [call[7:11] for call in records.calls] == [(3210, 3000, 200, 5)]
    assert records.warnings == {}


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        pytest.param(b'{"', b'{"\xff": , "', "encoding", id="no JSON"),
        pytest.param(b'"timestamp":', b'"timestamp":"\xff","x":', "bad_time", id="no time"),
    ],
)
def test_a_line_is_mended_or_lost_but_never_both(old: bytes, new: bytes, kind: str) -> None:
    made = answer("m1", 5).replace(old, new, 1)
    assert b"\xff" in made
    records, _ = fold(memoryview(made), 0, State())
    assert (records.calls, records.warnings) == ([], {kind: 1})


def test_a_session_is_described() -> None:
    _, state = read(prompt("Mend the\ncart please"), answer("m1", 5))
    assert state.title == "Mend the cart please"
    assert state.meta is not None
    assert (state.meta["version"], state.meta["client"]) == (None, "claude-code")


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("-home-dev-shop/abc", "abc"),
        ("-home-dev-shop/abc/subagents/agent-1", "abc:agent-1"),
        ("-home-dev-shop/abc/subagents/workflows/wf/agent-1", "abc:workflows:wf:agent-1"),
        ("subagents/abc", "abc"),
    ],
)
def test_owner_of(name: str, owner: str) -> None:
    assert owner_of(name) == owner


def test_copies_in_other_files_count_once(config: Config, database: None) -> None:
    folder = config.claude_home / "projects" / "-home-dev-shop"
    folder.mkdir(parents=True)
    first = folder / f"{SESSION}.jsonl"
    first.write_bytes(prompt("Hello") + answer("m1", 1) + answer("m2", 7))
    (folder / "other.jsonl").write_bytes(answer("m1", 50, sessionId="other") + answer("m3", 3))
    inner = folder / SESSION / "subagents"
    inner.mkdir(parents=True)
    (inner / "agent-1.jsonl").write_bytes(answer("m4", 4, isSidechain=True))
    indexer = Indexer(config, Ledger())
    indexer.scan()
    rows = dict(db.rows("select id, output from call where provider = 'claude'"))
    assert rows == {"m1": 50, "m2": 7, "m3": 3, "m4": 4}
    with first.open("ab") as file:
        file.write(answer("m2", 70))
    indexer.scan()
    assert _sums() == (4, 127)
    assert scan.totals()["calls"] == 0  # Codex's alone
    assert db.rows("select total(calls), total(output) from source_file") == [(4, 127)]
    assert db.rows("select title, project from thread where id = ?", (SESSION,)) == [
        ("Hello", roots.key("/home/dev/shop"))
    ]


def _sums() -> tuple[int, int]:
    row = db.rows("select total(calls), total(output) from daily_usage where heading = 'model'")[0]
    return int(row[0]), int(row[1])


MAIN = answer("m1", 90, requestId="req_main", timestamp="2026-06-01T10:00:00.000Z")
ASIDE = answer(
    "m1", 90, requestId="req_side", timestamp="2026-06-02T10:05:00.000Z", isSidechain=True
)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(["main", "side"], id="as it happens"),
        pytest.param(["side", "main"], id="the copy was found first"),
        pytest.param(["main side"], id="a first scan reads the copy first"),
        pytest.param(["early", "side", "main"], id="the session goes on after the copy"),
        pytest.param(["both"], id="one file holds both, the copy first"),
        pytest.param(["half", "both"], id="one file holds both, and is read in between"),
    ],
)
def test_a_sessions_own_call_counts_before_a_side_copy(
    config: Config, database: None, steps: list[str], alone: bool
) -> None:
    folder = config.claude_home / "projects" / "-home-dev-shop"
    main = folder / f"{SESSION}.jsonl"
    side = folder / SESSION / "subagents" / "agent-abc.jsonl"
    side.parent.mkdir(parents=True)
    indexer = Indexer(config, Ledger(), alone=alone)
    early = answer("m1", 1, requestId="req_main", timestamp="2026-06-01T09:59:59.000Z")
    for step in steps:
        if "main" in step:
            main.write_bytes(prompt("Hello") + (early if "early" in steps else b"") + MAIN)
        if "side" in step:
            side.write_bytes(ASIDE)
        if step in ("early", "half", "both"):
            main.write_bytes(
                prompt("Hello") + {"early": early, "half": ASIDE, "both": ASIDE + MAIN}[step]
            )
        indexer.scan()
    assert db.rows(
        "select call.turn_id, initiator, call.output, strftime('%d %H:%M', call.started_at / 1000, "
        "'unixepoch'), f.path, session.key from call join source_file f on f.id = call.source "
        "join session on session.id = call.session"
    ) == [("req_main", "user", 90, "01 10:00", str(main), SESSION)]
    assert db.rows("select day, calls, output from daily_usage where heading = 'model'") == [
        (chosen().of(1780308000000), 1, 90)
    ]
    assert db.rows("select total(calls), total(output) from source_file") == [(1, 90)]


def test_a_replaced_side_copys_tools_are_the_calls_no_more(config: Config, database: None) -> None:
    folder = config.claude_home / "projects" / "-home-dev-shop"
    side = folder / SESSION / "subagents" / "agent-abc.jsonl"
    side.parent.mkdir(parents=True)
    asked = {"type": "tool_use", "id": "toolu_1", "name": "Grep", "input": {"pattern": "x"}}
    tool = {"message": {"content": [asked]}}
    side.write_bytes(answer("m1", 9, isSidechain=True, **tool))
    indexer, facts = Indexer(config, Ledger()), Gatherer()
    indexer.scan()
    facts.bring_up()
    assert db.rows("select count(*) from fact_call where call = 'm1'") == [(1,)]
    (folder / f"{SESSION}.jsonl").write_bytes(answer("m1", 9, **tool))
    indexer.scan()
    facts.bring_up()
    assert db.rows(
        "select f.path = ? from fact_call k join source_file f on f.id = k.source "
        "where k.call = 'm1'",
        (str(folder / f"{SESSION}.jsonl"),),
    ) == [(1,)]


@pytest.mark.parametrize("between", [False, True])
def test_a_response_that_grows_has_its_last_lines_time(
    config: Config, database: None, between: bool
) -> None:
    path = config.claude_home / "projects" / "x" / f"{SESSION}.jsonl"
    path.parent.mkdir(parents=True)
    indexer = Indexer(config, Ledger())
    for output, at in ((3, "2026-06-01T23:59:58.000Z"), (900, "2026-06-02T00:00:09.000Z")):
        with path.open("ab") as file:
            file.write(answer("m1", output, timestamp=at))
        if between:
            indexer.scan()
    indexer.scan()
    assert db.rows("select started_at from call") == [(1780358409000,)]
    assert db.rows("select day, calls, output from daily_usage where heading = 'model'") == [
        (chosen().of(1780358409000), 1, 900)
    ]


def test_a_call_tells_the_sum_of_its_session_so_far(config: Config, database: None) -> None:
    path = config.claude_home / "projects" / "x" / f"{SESSION}.jsonl"
    path.parent.mkdir(parents=True)
    times = ("2026-06-01T10:00:00.000Z", "2026-06-01T10:00:05.000Z", "2026-06-01T10:00:05.000Z")
    path.write_bytes(
        b"".join(answer(f"m{n}", 10**n, timestamp=at) for n, at in enumerate(times, 1))
    )
    Indexer(config, Ledger()).scan()
    found = db.rows("select id, input + output from call order by started_at, id")
    told = [calls.one(name)["cumulativeTokens"] for name, _ in found]
    own = [tokens for _, tokens in found]
    assert told == [own[0], own[0] + own[1], sum(own)] and len(own) == 3


def test_every_cut_gives_the_same(config: Config, database: None, tmp_path: Path) -> None:
    data = prompt("Hi") + b"".join(answer(f"m{n // 3}", n * 7 % 50) for n in range(30))
    folder = config.claude_home / "projects" / "x"
    folder.mkdir(parents=True)
    path = folder / "s.jsonl"
    path.write_bytes(b"")
    indexer = Indexer(config, Ledger())
    for place in range(0, len(data), 701):
        with path.open("ab") as file:
            file.write(data[place : place + 701])
        indexer.scan()
    wanted: dict[str, int] = {}
    for n in range(30):
        wanted[f"m{n // 3}"] = max(wanted.get(f"m{n // 3}", 0), n * 7 % 50)
    assert dict(db.rows("select id, output from call")) == wanted
    assert _sums() == (10, sum(wanted.values()))


@pytest.mark.parametrize("alone", [False, True])
def test_what_a_sub_agent_is_asked_is_no_title(config: Config, database: None, alone: bool) -> None:
    """And a thread is as long as all its logs, whichever is read first."""
    folder = config.claude_home / "projects" / "x" / SESSION / "subagents"
    folder.mkdir(parents=True)
    early, late = "2026-06-01T08:00:00.000Z", "2026-06-01T12:00:00.000Z"
    (folder / "agent-1.jsonl").write_bytes(
        prompt("Look for it") + answer("m1", 5, timestamp=late, isSidechain=True)
    )
    indexer = Indexer(config, Ledger(), alone=alone)
    indexer.scan()
    assert db.rows("select title from thread") == [(None,)]
    own = folder.parent.parent / f"{SESSION}.jsonl"
    own.write_bytes(answer("m2", 5, timestamp=early) + prompt("Mend it"))
    indexer.scan()
    assert db.rows("select title from thread") == [("Mend it",)]
    times = db.rows("select started_at, last_at from thread")[0]
    assert times == (1780300800000, 1780315200000)


OTHER = "7c4e0d2a-0000-4000-8000-000000000002"


def at(second: int) -> str:
    return f"2026-06-01T10:00:{second:02}.000Z"


INTERLEAVED = [
    answer("m1", 5, timestamp=at(10)), answer("m2", 5, timestamp=at(30)),
    answer("m1", 9, timestamp=at(20)),
]  # fmt: skip
CONTRADICTING = [
    answer("m1", 5, usage={"input_tokens": 900, "cache_read_input_tokens": 100}),
    answer("m1", 5, usage={"input_tokens": 100, "cache_read_input_tokens": 800}),
    answer("m1", 5, usage={"input_tokens": 1, "cache_creation_input_tokens": 700}),
]
SILENT = [prompt("Mend it")]
SAID = (
    "select s.ended_at, t.last_at, s.branch, s.client_version, c.input, c.cached, c.cache_written, "
    "f.warnings from session s join thread t on t.id = s.thread left join call c on c.id = 'm1' "
    "left join source_file f on f.id = c.source"
)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            INTERLEAVED,
            (1780308030000, 1780308030000, "main", "2.1.0", 3210, 3000, 200, "{}"),
            id="it lasts to its newest call, though another's line is the last",
        ),
        pytest.param(
            CONTRADICTING,
            (1780308000000, 1780308000000, "main", "2.1.0", 4600, 3000, 700, "{}"),
            id="of repeats that contradict each other each figure's largest, and their sum",
        ),
        pytest.param(
            SILENT,
            (1780307940000, 1780307940000, None, None, None, None, None, None),
            id="a session without calls is as long as its lines",
        ),
    ],
)
def test_a_log_says_the_same_at_once_and_line_by_line(
    config: Config,
    database: None,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[bytes],
    expected: tuple[Any, ...],
    compiled: bool,
) -> None:
    if not compiled:
        monkeypatch.setattr(codex, "usual", None)
    folder = config.claude_home / "projects" / "-home-dev-shop"
    folder.mkdir(parents=True)
    path = folder / f"{SESSION}.jsonl"
    path.write_bytes(b"".join(lines))
    Indexer(config, Ledger(), alone=True).scan()
    assert db.rows(SAID) == [expected]
    path.unlink()
    with db.writing() as connection:
        for table in ("call", "session", "thread", "source_file", "daily_usage", "project"):
            connection.execute(f"delete from {table}")  # noqa: S608 - our names
    indexer = Indexer(config, Ledger())
    for line in lines:
        with path.open("ab") as file:
            file.write(line)
        indexer.scan()
    assert db.rows(SAID) == [expected]


@pytest.mark.parametrize("turned", [False, True])
def test_a_windows_project_is_shown_the_same_whichever_log_came_first(
    config: Config, database: None, turned: bool
) -> None:
    folder = config.claude_home / "projects" / "C--work-shop"
    folder.mkdir(parents=True)
    indexer = Indexer(config, Ledger())
    told = [
        (SESSION, answer("m1", 5, cwd="C:\\work\\shop")),
        (OTHER, answer("m2", 5, sessionId=OTHER, cwd="C:\\Work\\Shop")),
    ]
    for session, line in reversed(told) if turned else told:
        (folder / f"{session}.jsonl").write_bytes(line)
        indexer.scan()
    assert db.rows("select root from project") == [("C:/Work/Shop",)]
