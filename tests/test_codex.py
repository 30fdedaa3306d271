"""The fold over rollout lines: real files, generated ones, every place they can be cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.ingest import codex, lines
from server.ingest.codex import Records, State, fold, whole
from tests.rollouts import Tree, stamp, usage

REAL = sorted((Path(__file__).parent / "data" / "rollouts").glob("*.jsonl"))
META = {"id": "0198-owner", "timestamp": stamp(1000), "cwd": "/home/dev/x"}


@pytest.fixture(autouse=True, params=["compiled", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test twice: usual lines by the compiled part, where it is, and all by Python."""
    if request.param == "python":
        monkeypatch.setattr(codex, "usual", None)
    elif codex.usual is None:
        pytest.skip("the compiled part is not there")


def line(kind: str, payload: dict[str, Any], at: int = 5000, **style: Any) -> bytes:
    style = style or {"separators": (",", ":")}
    text = json.dumps({"timestamp": stamp(at), "type": kind, "payload": payload}, **style)
    return text.encode() + b"\n"


def count(total: tuple[int, ...] | None, last: tuple[int, ...] | None, at: int = 5000) -> bytes:
    info = {
        "total_token_usage": total and usage((*total,)),  # type: ignore[arg-type]
        "last_token_usage": last and usage((*last,)),  # type: ignore[arg-type]
        "model_context_window": 1000,
    }
    return line("event_msg", {"type": "token_count", "info": info}, at)


def read(*lines: bytes, state: State | None = None) -> tuple[Records, State]:
    return fold(memoryview(b"".join(lines)), 0, state or State())


def tokens(records: Records) -> list[tuple[int, ...]]:
    return [(c[7], c[8], c[10], c[11]) for c in records.calls]


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name.partition("__")[0])
def test_a_real_file_gives_its_records(path: Path) -> None:
    data = path.read_bytes()
    payloads = [json.loads(text) for text in data.splitlines()]
    truth = [
        (p["payload"]["response_id"], p["payload"]["usage"]["input_tokens"])
        for p in payloads
        if p["type"] == "token_usage_record"
    ]
    records, state = read(data, state=State(owner=codex.owner_of(path.stem)))
    assert [(call[0], call[7]) for call in records.calls] == truth
    assert records.warnings == {}
    assert state.model == "gpt-5.5"
    assert state.effort == "xhigh"
    assert state.meta is not None
    assert state.meta["client"] == "codex_exec"
    assert state.title


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name.partition("__")[0])
def test_a_real_file_may_be_cut_anywhere(path: Path) -> None:
    data = path.read_bytes()
    whole, end = read(data)
    ends = [place + 1 for place, letter in enumerate(data) if letter == 10]
    for cut in ends:
        first, state = read(data[:cut])
        state = State.load(json.loads(json.dumps(state.dump())))
        second, state = fold(memoryview(data[cut:]), cut, state)
        calls = [
            (*c[:4], "compaction", *c[5:]) if c[0] in second.compactions else c for c in first.calls
        ] + second.calls
        assert calls == whole.calls
        assert first.limits + second.limits == whole.limits
        assert state == end


def test_every_initiator_of_a_compacted_session() -> None:
    path = next(path for path in REAL if path.name.startswith("compaction-remote"))
    records, _ = read(path.read_bytes())
    assert [call[4] for call in records.calls] == ["user", "compaction", "tool", "tool", "user"]


def test_a_sub_agent_is_started_by_an_agent() -> None:
    path = next(path for path in REAL if path.name.startswith("subagent-2"))
    records, state = read(path.read_bytes())
    assert [call[4] for call in records.calls] == ["agent"]
    assert state.meta is not None
    assert state.meta["kind"] == "subagent"
    assert state.meta["role"] == "Popper"
    assert state.meta["parent"] == "01a1fbd2-bb62-7461-a911-b118571ee248"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [count((10, 0, 2, 0), (10, 0, 2, 0)), count((30, 0, 4, 0), (20, 0, 2, 0))],
            [(10, 0, 2, 0), (20, 0, 2, 0)],
            id="each total that moved is a call",
        ),
        pytest.param(
            [count((10, 0, 2, 0), (10, 0, 2, 0)), count((10, 0, 2, 0), (10, 0, 2, 0))],
            [(10, 0, 2, 0)],
            id="a total that stands still is no call",
        ),
        pytest.param(
            [count((10, 0, 2, 0), (10, 0, 2, 0)), count((10, 0, 2, 0), (777, 0, 0, 0))],
            [(10, 0, 2, 0)],
            id="an estimate after a compaction is no call",
        ),
        pytest.param(
            [count((50, 0, 2, 0), (50, 0, 2, 0)), count((9, 0, 1, 0), (9, 0, 1, 0))],
            [(50, 0, 2, 0), (9, 0, 1, 0)],
            id="a lower total starts a new epoch",
        ),
        pytest.param(
            [count((5, 0, 1, 0), (5, 0, 1, 0)), count((1, 0, 1, 0), (1, 0, 1, 0)),
             count((5, 0, 1, 0), (4, 0, 0, 0))],
            [(5, 0, 1, 0), (1, 0, 1, 0), (4, 0, 0, 0)],
            id="the same total in another epoch is another call",
        ),
        pytest.param(
            [count((10, 4, 2, 1), (10, 4, 2, 1)), count((30, 9, 6, 2), (0, 0, 0, 0))],
            [(10, 4, 2, 1), (20, 5, 4, 1)],
            id="without the last usage the difference counts",
        ),
        pytest.param([count((0, 0, 0, 0), (0, 0, 0, 0))], [], id="nothing used is no call"),
        pytest.param(
            [count(None, (7, 1, 1, 0)), count(None, (7, 1, 1, 0)), count(None, (7, 1, 1, 0), 6000)],
            [(7, 1, 1, 0), (7, 1, 1, 0)],
            id="without totals the moment tells calls apart",
        ),
    ],
)  # fmt: skip
def test_counters_of_older_clients(lines: list[bytes], expected: list[tuple[int, ...]]) -> None:
    records, _ = read(line("session_meta", META), *lines)
    assert tokens(records) == expected
    assert len({call[0] for call in records.calls}) == len(expected)


THOUGHT = line("response_item", {"type": "reasoning", "encrypted_content": "x"})
SUMMARISED = line("event_msg", {"type": "context_compacted"})
AHEAD = {"thread_id": "0198-parent", "end_ordinal_exclusive": 4, "end_byte_offset": 1000}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [count((1500, 0, 15, 0), (500, 0, 5, 0))], [],
            id="where the parent stood, told again, is no call of the fork",
        ),
        pytest.param(
            [count((1000, 0, 10, 0), (6042, 0, 0, 0)), count((1000, 0, 10, 0), (1000, 0, 10, 0))],
            [], id="nor is an estimate of the parent's compaction",
        ),
        pytest.param(
            [count((1000, 0, 10, 0), (0, 0, 0, 0)), count((1700, 0, 17, 0), (700, 0, 7, 0))],
            [(700, 0, 7, 0)], id="what is added to it is",
        ),
        pytest.param(
            [THOUGHT, count((1700, 0, 17, 0), (700, 0, 7, 0))], [(700, 0, 7, 0)],
            id="so is an answer, where nothing told again where the parent stood",
        ),
        pytest.param(
            [THOUGHT, count((1700, 0, 17, 0), (700, 0, 7, 0)), THOUGHT,
             count((2300, 0, 23, 0), (600, 0, 6, 0))],
            [(700, 0, 7, 0), (600, 0, 6, 0)], id="and each that follows",
        ),
        pytest.param(
            [THOUGHT, count((1700, 0, 17, 0), (0, 0, 0, 0))], [],
            id="an answer that does not tell what it used is unknown",
        ),
        pytest.param(
            [THOUGHT, SUMMARISED, count((1700, 0, 17, 0), (6042, 0, 0, 0))], [],
            id="an estimate behind a compaction is none",
        ),
    ],
)  # fmt: skip
def test_a_fork_without_a_copy_goes_on_from_its_parents_counters(
    lines: list[bytes], expected: list[tuple[int, ...]]
) -> None:
    head = line("session_meta", {**META, "history_mode": "paginated", "history_base": AHEAD})
    assert tokens(read(head, *lines)[0]) == expected
    _, state = read(head)
    assert tokens(read(*lines, state=State.load(state.dump()))[0]) == expected


def record(thread: str = "0198-owner", response: str = "resp_1") -> dict[str, Any]:
    own = usage((100, 40, 10, 5), written=True)
    return {
        "thread_id": thread, "turn_id": "t1", "session_id": thread, "root_turn_id": "t1",
        "response_id": response, "usage": own, "turn_token_usage": own, "thread_token_usage": own,
    }  # fmt: skip


@pytest.mark.parametrize(
    "style",
    [
        pytest.param({"separators": (",", ":")}, id="as Codex writes"),
        pytest.param({"separators": (", ", ": ")}, id="with spaces"),
        pytest.param({"separators": (",", ":"), "sort_keys": True}, id="keys in another order"),
    ],
)
def test_any_spelling_of_a_line_counts(style: dict[str, Any]) -> None:
    records, state = read(
        line("session_meta", META, **style),
        line("turn_context", {"turn_id": "t1", "model": "gpt-5.4", "effort": "low"}, **style),
        line("token_usage_record", record(), **style),
    )
    assert tokens(records) == [(100, 40, 10, 5)]
    assert records.calls[0][2:4] == ("gpt-5.4", "low")
    assert records.warnings == {}
    assert state.owner == "0198-owner"


def test_a_copied_record_belongs_to_the_thread_it_names() -> None:
    records, _ = read(
        line("session_meta", META),
        line("token_usage_record", record("0198-other", "resp_0")),
        line("token_usage_record", record()),
        count((100, 40, 10, 5), (100, 40, 10, 5)),
    )
    assert [call[0] for call in records.calls] == ["resp_1"]


TRAP = json.dumps(count((1, 0, 1, 0), (1, 0, 1, 0)).decode())


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"type": "function_call_output", "output": TRAP}, id="quoted in text"),
        pytest.param(
            {"type": "message", "payload": {"type": "token_count", "info": {}}}, id="as a value"
        ),
    ],
)
def test_what_only_looks_like_a_call_is_none(payload: dict[str, Any]) -> None:
    records, _ = read(line("session_meta", META), line("response_item", payload))
    assert records.calls == []
    assert records.warnings == {}


def test_words_deep_in_a_line_do_not_repeat_the_first_one() -> None:
    records, _ = read(
        count((10, 0, 2, 0), (10, 0, 2, 0)),
        count((30, 0, 6, 0), (20, 0, 4, 0)),
        line("response_item", {"pad": "x" * 400, "value": {"type": "token_count"}}),
    )
    assert tokens(records) == [(10, 0, 2, 0), (20, 0, 4, 0)]


DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"\n"


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        pytest.param(b"[1,2,3]\n", "not_object", id="array"),
        pytest.param(b"null\n", "not_object", id="null"),
        pytest.param(b"5\n", "not_object", id="number"),
        pytest.param(b"{oops\n", "not_json", id="broken"),
        pytest.param(b"\x00" * 50 + b"\n", "binary", id="NUL block"),
        pytest.param(b"\x89PNG\xff\xfe\n", "encoding", id="binary"),
        pytest.param(
            b'{"timestamp":"x","type":"response_item","payload":{"t":"\xe2\x82"}}\n',
            "mended_text",
            id="half a letter",
        ),
        pytest.param(DEEP, "too_deep", id="10,000 deep"),
        pytest.param(
            b'{"timestamp":"2026' + count((1, 0, 1, 0), (1, 0, 1, 0)),
            "not_json",
            id="torn line joined to the next",
        ),
        pytest.param(
            count((1, 0, 1, 0), (1, 0, 1, 0)).replace(b":1,", b":1e99,"),
            "bad_number",
            id="impossible number",
        ),
    ],
)
def test_a_bad_line_is_counted_and_the_rest_goes_on(bad: bytes, kind: str) -> None:
    good = count((10, 0, 2, 0), (10, 0, 2, 0))
    after = count((30, 0, 4, 0), (20, 0, 2, 0))
    records, _ = read(line("session_meta", META), good, bad, b"\n", after)
    assert tokens(records) == [(10, 0, 2, 0), (20, 0, 2, 0)]
    assert records.warnings == {kind: 1}


FIGURES = [
    pytest.param("null", True, id="null is not told"),
    pytest.param("0", True, id="nothing"),
    pytest.param('"12"', True, id="digits as text"),
    pytest.param("9007199254740992", True, id="the largest"),
    pytest.param("5.0", True, id="a whole number with a point"),
    pytest.param("1e2", True, id="a whole number with an exponent"),
    *(
        pytest.param(text, False, id=text[:20])
        for text in (
            "[]", "{}", "[1]", '""', '"abc"', '"-1"', '"1.5"', "-1", "1.5", "1e16", "1e400",
            "NaN", "-Infinity", "9007199254740993", str(2**63), str(2**64), "9" * 400, "true",
            "false",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("way", ["compiled", "python"])
@pytest.mark.parametrize(("figure", "possible"), FIGURES)
def test_a_figure_that_cannot_be_counts_nothing(
    monkeypatch: pytest.MonkeyPatch, way: str, figure: str, possible: bool
) -> None:
    if way == "python":
        monkeypatch.setattr(codex, "usual", None)
    text = figure.encode()
    value = whole(json.loads(text)) or 0
    assert (whole(json.loads(text)) is not None or figure == "null") is possible
    mended = {} if possible else {"mended_number": 1}
    if figure == "null":
        mended = {"partial_count": 1}
    made = line("token_usage_record", record()).replace(
        b'"output_tokens":10', b'"output_tokens":' + text, 1
    )
    assert made.count(text)
    records, _ = read(line("session_meta", META), made)
    (call,) = records.calls
    assert call[10] == value and call[7] == 100, "the other figures stay"
    assert records.warnings == mended
    # An older log's own figures: the counter tells. Its counter: the own figures do.
    before, after = count((10, 0, 2, 0), (10, 0, 2, 0)), count((60, 0, 8, 0), (20, 0, 2, 0))
    bad = count((40, 0, 6, 0), (30, 0, 4, 0))
    own = bad.replace(b'"input_tokens":30', b'"input_tokens":' + text)
    total = bad.replace(b'"input_tokens":40', b'"input_tokens":' + text)
    if not possible:
        for odd in (own, total):
            records, _ = read(line("session_meta", META), before, odd, after)
            assert tokens(records) == [(10, 0, 2, 0), (30, 0, 4, 0), (20, 0, 2, 0)]
            assert records.warnings == mended
        neither = own.replace(b'"input_tokens":40', b'"input_tokens":' + text)
        records, _ = read(line("session_meta", META), before, neither, after)
        assert tokens(records) == [(10, 0, 2, 0), (20, 0, 2, 0)]
        assert records.warnings == {"bad_number": 1}


@pytest.mark.parametrize("way", ["compiled", "python"])
@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        pytest.param(
            b'{"timestamp":"\xff token_count" "token_count" }\n', "encoding", id="no JSON"
        ),
        pytest.param(
            line("token_usage_record", record()).replace(b"1970-", b"\xff970-", 1),
            "bad_record",
            id="a time that cannot be read",
        ),
        pytest.param(
            count((1, 0, 1, 0), (1, 0, 1, 0)).replace(b"1970-", b"\xff970-", 1),
            "bad_time",
            id="a count's time",
        ),
    ],
)
def test_a_line_is_mended_or_lost_but_never_both(
    monkeypatch: pytest.MonkeyPatch, way: str, bad: bytes, kind: str
) -> None:
    if way == "python":
        monkeypatch.setattr(codex, "usual", None)
    assert b"\xff" in bad
    good = count((10, 0, 2, 0), (10, 0, 2, 0))
    records, _ = read(line("session_meta", META), bad, good)
    assert records.warnings == {kind: 1}


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(
            line("token_usage_record", record()).replace(
                b'root_turn_id":"t1', b'root_turn_id":"\xff'
            ),
            id="a record",
        ),
        pytest.param(
            line(
                "event_msg",
                {
                    "type": "token_count",
                    "info": {
                        "total_token_usage": usage((100, 40, 10, 5)),
                        "last_token_usage": usage((100, 40, 10, 5)),
                    },
                    "rate_limits": {"primary": {"used_percent": 4}, "plan_type": "pl?s"},
                },
            ).replace(b"pl?s", b"pl\xffs"),
            id="a count with its allowance",
        ),
    ],
)
def test_a_byte_that_is_no_text_does_not_cost_the_call(odd: bytes) -> None:
    records, _ = read(line("session_meta", META | {"id": "0198-owner"}), odd)
    assert tokens(records) == [(100, 40, 10, 5)]
    assert records.warnings == {"mended_text": 1}
    assert [limits["plan_type"] for _, limits in records.limits] in ([], ["pl\ufffds"])


def test_rate_limits_are_kept_when_they_change() -> None:
    def limits(percent: float) -> bytes:
        window = {"used_percent": percent, "window_minutes": 300, "resets_at": 1_800_000_000}
        body = {"type": "token_count", "info": None, "rate_limits": {"primary": window}}
        return line("event_msg", body)

    records, _ = read(line("session_meta", META), limits(1), limits(1), limits(2), limits(1))
    assert [value["primary"]["used_percent"] for _, value in records.limits] == [1, 2, 1]


@pytest.mark.parametrize("seed", range(4))
def test_a_growing_file_gives_the_same_at_every_cut(tmp_path: Path, seed: int) -> None:
    tree = Tree(tmp_path, seed, body=40)
    tree.grow(8)
    for path in tree.paths:
        data = path.read_bytes()
        data = data[: data.rindex(b"\n") + 1]
        whole, end = read(data)
        found: list[codex.Call] = []
        state, start = State(), 0
        for text in data.splitlines(keepends=True):
            records, state = fold(memoryview(text), start, state)
            found = [
                (*c[:4], "compaction", *c[5:]) if c[0] in records.compactions else c for c in found
            ] + records.calls
            start += len(text)
        assert found == whole.calls
        assert state == end


def test_without_the_fast_search_the_result_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path, 3, body=40)
    tree.grow(6)
    files = [path.read_bytes() for path in tree.paths] + [path.read_bytes() for path in REAL]
    fast = [read(data) for data in files]
    monkeypatch.setattr(lines, "_searcher", lambda: bytes)
    assert [read(data) for data in files] == fast


TURN = b'{"timestamp":"2026-06-01T10:00:00.000Z","type":"turn_context","payload":{%s}}\n'


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(b'"model":"openai\\/gpt-5.4-mini"', "openai/gpt-5.4-mini", id="a slash"),
        pytest.param(rb'"model":"mod\u00e8le"', "mod\u00e8le", id="a letter by its number"),
        pytest.param(rb'"model":"m\"n","effort":"low"', 'm"n', id="a quote"),
        pytest.param(b'"model":"%s"' % (b"m" * 300), "m" * 200, id="too long, so it is cut"),
        pytest.param(b'"model":"%s"' % (b"m" * 200), "m" * 200, id="as long as may be"),
        pytest.param(b'"model":null', "before", id="none: the last turn's goes on"),
        pytest.param(b'"model":""', "before", id="an empty one: the last turn's goes on"),
        pytest.param(
            b'"collaboration_mode":{"mode":"plan","settings":{"model":"other"}},"model":"own"',
            "own",
            id="the turn's own one behind that of its mode",
        ),
        pytest.param(
            b'"model":"own","collaboration_mode":{"settings":{"model":"other"}}',
            "own",
            id="the turn's own one before that of its mode",
        ),
        pytest.param(
            b'"collaboration_mode":{"settings":{"model":"other"}}', "other", id="only its mode's"
        ),
    ],
)
def test_the_model_of_a_turn(said: bytes, told: str) -> None:
    turn = TURN % (b'"turn_id":"t2","cwd":"/p",' + said)
    before = line("turn_context", {"turn_id": "t1", "model": "before", "effort": "high"})
    records, state = read(
        line("session_meta", META), before, turn, line("token_usage_record", record())
    )
    assert [(call[2], call[1]) for call in records.calls] == [(told, "t1")]
    assert (state.model, state.turn) == (told, "t2")
    assert state.effort == ("low" if b"effort" in said else None)
    assert state.turn_at is None
    assert records.warnings == {}


def test_a_turn_that_only_decoding_tells_and_nobody_can_is_lost() -> None:
    broken = TURN % rb'"model":"a\/b",oops'
    records, state = read(line("session_meta", META), TURN % b'"model":"m"', broken)
    assert (records.warnings, state.model) == ({"not_json": 1}, "m")


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(None, id="two whole ones"),
        pytest.param(-30, id="one torn in its last figures"),
        pytest.param(-150, id="one torn behind its own figures"),
    ],
)
def test_a_record_that_another_line_follows_at_once_is_counted_as_lost(cut: int | None) -> None:
    glued = line("token_usage_record", record())[:-1][:cut]
    glued += line("token_usage_record", record(response="resp_2"))
    after = line("token_usage_record", record(response="resp_3"))
    records, _ = read(line("session_meta", META), glued, after)
    assert [call[0] for call in records.calls] == ["resp_3"]
    assert records.warnings == {"not_json": 1}


# ── service tiers ─────────────────────────────────────────────────────────────────────────


def turn(number: int, **more: Any) -> bytes:
    about = {"turn_id": f"t{number}", "cwd": "/p", "model": "gpt-5.5", "effort": "high"}
    return line("turn_context", {**about, **more})


def applied(**settings: Any) -> bytes:
    about = {"model": "gpt-5.5", "cwd": "/p", "reasoning_effort": "high", **settings}
    event = {"type": "thread_settings_applied", "thread_id": "0198-owner"}
    return line("event_msg", {**event, "thread_settings": about})


def at(number: int) -> bytes:
    return count((100 * number, 0, number, 0), (100, 0, 1, 0))


def response(name: str) -> bytes:
    return line("token_usage_record", record(response=name))


FAST = {"service_tier": "priority"}
QUOTED = line("response_item", {"type": "message", "text": json.dumps({"payload": FAST})})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([turn(1), at(1), at(2)], [None, None], id="none is told"),
        pytest.param(
            [turn(1, service_tier=None), at(1), applied(service_tier=None), at(2)], [None, None],
            id="null is none",
        ),
        pytest.param(
            [turn(1, **FAST), at(1), at(2)], ["priority", "priority"], id="the turn tells it"
        ),
        pytest.param(
            [turn(1), at(1), turn(2, **FAST), at(2), at(3), turn(3), at(4)],
            [None, "priority", "priority", None], id="only that turn",
        ),
        pytest.param(
            [turn(1), applied(**FAST), at(1), turn(2), at(2), applied(), at(3)],
            ["priority", "priority", None], id="the thread's settings hold until others do",
        ),
        pytest.param(
            [applied(**FAST), turn(1, service_tier="flex"), at(1), turn(2), at(2)],
            ["flex", "priority"], id="the turn goes before its thread",
        ),
        pytest.param(
            [turn(1), applied(**FAST), response("a"), response("b"), applied(), response("c")],
            ["priority", "priority", None], id="of responses that name themselves",
        ),
        pytest.param([turn(1), QUOTED, at(1)], [None], id="quoted in a text"),
        pytest.param([turn(1, service_tier=7), at(1)], [None], id="no text"),
        pytest.param(
            [line("turn_context", {"model": "gpt-5.5", **FAST}, indent=None), at(1)], ["priority"],
            id="with spaces",
        ),
    ],
)  # fmt: skip
def test_a_calls_tier_is_what_its_turn_or_thread_asks_for(
    lines: list[bytes], expected: list[str | None]
) -> None:
    head = line("session_meta", META)
    records, _ = read(head, *lines)
    assert [(*call[15:], 0, None)[1] for call in records.calls] == expected
    assert len({len(call) for call in records.calls}) == 1
    assert records.warnings == {}
    for cut in range(len(lines) + 1):  # in two pieces it is the same
        first, state = read(head, *lines[:cut])
        rest, _ = read(*lines[cut:], state=State.load(json.loads(json.dumps(state.dump()))))
        calls = [*first.calls, *rest.calls]
        assert [(*call[15:], 0, None)[1] for call in calls] == expected, cut
