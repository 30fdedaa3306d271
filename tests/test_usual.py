"""The compiled reader of usual lines: the same as the Python, byte for byte of the state.

It is compiled here anew, so that what is tested is what stands in the source.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import bootstrap
import pytest

from server.ingest import codex
from tests import compiled


@pytest.fixture
def usual(compiled_part: Any) -> Any:
    return compiled_part


def anew(path: Path) -> None:
    """The same bytes and time in another file."""
    said = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(said.st_atime_ns, said.st_mtime_ns))
    other.replace(path)


def both(usual: Any, data: bytes, base: int, state: codex.State) -> list[Any]:
    """What is read compiled, and what is read by Python alone."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for way in (usual, None):
            patch.setattr(codex, "usual", way)
            records, after = codex.fold(memoryview(data), base, state)
            found.append((vars(records), vars(after)))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_usual_files_are_read_the_same(usual: Any, tmp_path: Path, seed: int) -> None:
    for lines in compiled.lines_of(tmp_path, seed):
        ours, plain = both(usual, b"".join(lines), 0, codex.State())
        assert ours == plain


LIMITS = b'{"limit_id":"codex","primary":{"used_percent":%d.0}}'
COUNT = (
    b'{"timestamp":"2026-11-21T01:57:53.947Z","type":"event_msg","payload":{"type":"token_count",'
    b'"info":%s,"rate_limits":%s}}\n'
)
FIGURES = (
    b'{"input_tokens":%d,"cached_input_tokens":0,"output_tokens":6,"reasoning_output_tokens":0,'
    b'"total_tokens":%d}'
)
INFO = (
    b'{"total_token_usage":' + FIGURES + b',"last_token_usage":' + FIGURES + b","
    b'"model_context_window":null}'
)


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        pytest.param([b"null", LIMITS % 1], [1.0], id="a count without figures"),
        pytest.param([b"null", LIMITS % 1] * 3, [1.0], id="the same again"),
        pytest.param([b"null", b"null", b"null", LIMITS % 1], [1.0], id="none, then some"),
        pytest.param(
            [INFO % (1, 7, 1, 7), LIMITS % 1, b"null", LIMITS % 2, INFO % (2, 8, 1, 7), LIMITS % 1],
            [1.0, 2.0, 1.0],
            id="back to what was told before",
        ),
        pytest.param([b"null", b"{}x"], [], id="no limits"),
    ],
)
def test_rate_limits_are_kept_as_they_change(
    usual: Any, lines: list[bytes], kept: list[float]
) -> None:
    data = b"".join(COUNT % pair for pair in zip(lines[::2], lines[1::2], strict=True))
    ours, plain = both(usual, data, 0, codex.State())
    assert ours == plain
    assert [limits["primary"]["used_percent"] for _, limits in ours[0]["limits"]] == kept


@pytest.mark.parametrize("name", ["user_message", "task_started", "UserMessage"])
def test_a_word_near_the_beginning_of_a_count_is_an_event(usual: Any, name: str) -> None:
    limits = b'{"limit_name":"%s","model_context_window":7}' % name.encode()
    for title in (None, "known"):
        ours, plain = both(usual, COUNT % (b"null", limits), 0, codex.State(title=title))
        assert ours == plain


def test_a_users_item_within_another_event_is_read_as_both(usual: Any) -> None:
    line = (
        b'{"timestamp":"2026-11-21T01:57:53.947Z","type":"event_msg","payload":{"type":'
        b'"task_started","turn_id":"a"UserMessage"b","model_context_window":5}}\n'
    )
    ours, plain = both(usual, line, 0, codex.State())
    assert ours == plain
    assert plain[1]["window"] == 5


@pytest.mark.parametrize("seed", range(8))
def test_broken_files_are_read_the_same(usual: Any, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = [lines for lines in compiled.lines_of(tmp_path, seed) if lines]
    for _ in range(150):
        data = compiled.broken(chance.choice(files), chance)
        # In two pieces: what is left of the first is where the second begins.
        cut = data.find(b"\n", chance.randrange(len(data) or 1)) + 1
        state = codex.State(owner=chance.choice((None, "a thread")))
        for part, base in ((data[:cut], 0), (data[cut:], cut)):
            ours, plain = both(usual, part, base, state)
            assert ours == plain
            state = codex.State(**plain[1])


@pytest.mark.parametrize(
    ("kept", "given"),
    [
        pytest.param("totals", [1, 2, 3], id="totals of another kind"),
        pytest.param("totals", [2**70, 0, 0, 0, 0], id="totals beyond any integer"),
        pytest.param("totals", [0, "1", None, 0, 0], id="totals that are none"),
        pytest.param("owner", "\ud800", id="an owner that is no text"),
        pytest.param("last_turn", "\udfff", id="a turn that is no text"),
        pytest.param("window", 0, id="a window of nothing"),
        pytest.param("turn_at", 2**80, id="a time beyond any integer"),
        pytest.param("model", 7, id="a model that is a number"),
    ],
)
def test_an_odd_state_breaks_nothing(usual: Any, tmp_path: Path, kept: str, given: Any) -> None:
    for lines in compiled.lines_of(tmp_path, 3):
        state = codex.State(**{kept: given})
        records: tuple[list[Any], list[str], list[Any]] = ([], [], [])
        data = memoryview(b"".join(lines))
        asked = (data, 0, 0, vars(state), "log_0", "user", *records)
        place, end, count, kind, *unknown = usual.read(*asked)
        assert kind in (0, 2, 3)
        assert 0 <= place <= end <= len(data)
        assert 0 <= count <= len(lines)
        assert unknown == [0, 0]


def test_what_is_no_line_is_left(usual: Any) -> None:
    for data in (b"", b"\n", b"{", b"{}\n", b'{"timestamp":"', b'{"timestamp":"2026-01-02T03:04'):
        for place in (-1, 0, 1, 10**9):
            found = usual.read(memoryview(data), place, 0, {}, "p", "user", [], [], [])
            assert found[2] == 0


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param((), id="nothing"),
        pytest.param((b"", 0, 0, [], "p", "user", [], [], []), id="a state that is a list"),
        pytest.param((b"", 0, 0, {}, "p", "user", (), [], []), id="calls that are a tuple"),
        pytest.param(("x", 0, 0, {}, "p", "user", [], [], []), id="text"),
    ],
)
def test_a_wrong_call_is_an_error(usual: Any, asked: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        usual.read(*asked)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param(lambda path: None, True, id="nothing"),
        pytest.param(lambda path: path.write_bytes(b"longer"), False, id="another size"),
        pytest.param(lambda path: os.utime(path, ns=(1, 1)), False, id="another time"),
        pytest.param(lambda path: path.unlink(), False, id="it is gone"),
        pytest.param(anew, False, id="another file of the same size and time"),
    ],
)
def test_unchanged_files_are_told_at_once(
    usual: Any, tmp_path: Path, change: Any, same: bool
) -> None:
    paths = [tmp_path / name for name in ("a", "ü b", "c")]
    for path in paths:
        path.write_bytes(b"x")
    said = [path.stat() for path in paths]
    numbers = [n for one in said for n in (one.st_size, one.st_mtime_ns, one.st_ino)]
    known = b"".join(number.to_bytes(8, sys.byteorder, signed=True) for number in numbers)
    names = [path.name for path in paths]
    change(paths[1])
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        assert usual.unchanged(folder, names, known) is same
        assert usual.unchanged(folder, names, known[:-1]) is False
        assert usual.unchanged(folder, ["a\udc80"], known[:24]) is False
    finally:
        os.close(folder)


def test_calls_without_a_price_or_a_model_cost_nothing_known(usual: Any) -> None:
    call = ("id", None, None, None, "user", 5_000, None, 10, 4, 1, 3, 2, 13, None, 0)
    none, rates = (-1,) * 5, (2_000, 1_000, 3_000, 4_000, 6_000)
    for tariff, cost, credit in (((none, none, none), None, None), ((rates, rates, none), 29, None),
                                 ((none, none, rates), None, 29)):  # fmt: skip
        rows: list[tuple[Any, ...]] = []
        after, sums = usual.price([call], 0, rows, None, "x", (*tariff, 2**50, 0, 2**50))
        assert (after, rows) == (1, [(*call, cost, credit, "x")])
        assert sums == [(0, 1, 10, 4, 3, 2, cost or 0)]


def test_it_is_used_where_it_was_compiled(usual: Any) -> None:
    if bootstrap.LINES.with_suffix(".abi3.so").exists():
        assert codex.usual is not None
