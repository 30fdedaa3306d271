"""Whole logs read by a crew: the same as the Python reads, or left to it."""

from __future__ import annotations

import os
import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server.ingest import codex, early, ledger, reader, workers
from server.ingest.crew import Crew, Read, WholeLogs, share_out
from server.ingest.files import Job, Source
from server.store import schema
from server.usage.days import Days
from tests import compiled
from tests.rollouts import Rollout, Tree

NAME = "rollout-2026-05-28T21-02-26-019e7065-48a8-751b-8b7c-6e91ea382e59"
HEAD = (
    b'{"timestamp":"2026-05-28T21:02:26.472Z","type":"session_meta","payload":'
    b'{"id":"019e7065-48a8-751b-8b7c-6e91ea382e59","cwd":"/home/dev"}}\n'
)
ROW = reader.COLUMNS.replace("offset", '"offset"')


def jobs_of(paths: list[Path]) -> list[Job]:
    found = []
    for path in paths:
        said, name = path.stat(), path.name.removesuffix(".jsonl")
        stamps = said.st_ino, said.st_size, said.st_mtime_ns
        found.append(Job(Source("codex", name.split("__")[-1], str(path), *stamps, archived=False)))
    return found


def written(folder: Path, parts: list[bytes]) -> list[Path]:
    """Each in a file of its own, named after the thread that its first head names."""
    paths = []
    for number, data in enumerate(parts):
        head = re.search(rb'"session_meta".*?[{,]"id":"([-0-9a-f]{36})"', data)
        thread = head[1].decode() if head else f"{NAME[-36:-12]}{number:012x}"
        paths.append(folder / f"{number:04}" / f"{NAME[:-36]}{thread}.jsonl")
        paths[-1].parent.mkdir(parents=True)
        paths[-1].write_bytes(data)
    return paths


def by_crew(jobs: list[Job]) -> dict[int, Read]:
    """What a crew reads of the jobs, its rows taken out of the table."""
    (crew,) = share_out(jobs, Days(), fresh=True)
    found: dict[int, Read] = {}
    for chunk in crew.chunks(workers._Folder(jobs, Days(), fresh=True)):
        if chunk.table is not None:
            rows = rows_of(chunk.table)
            for read in chunk.reads:
                number = read.number + reader.FIRST
                read.batch.rows += [row[:-1] for row in rows if row[-1] == number]
        for read in chunk.reads:
            read.batch.take_rows()
            assert read.number not in found
            found[read.number] = read
    return found


def rows_of(table: bytes) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(table)
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        always = "provider, session - source, tier, account, seen"
        claude = connection.execute("select 1 from row where provider = 'claude'").fetchone()
        row = f"{ROW}, {reader.CLAUDE_COLUMNS}" if claude else ROW
        kinds = connection.execute(f"select distinct {always} from row").fetchall()
        wanted = [(provider, 0, None, None, 1) for provider in ("codex", "claude")]
        assert len(kinds) < 2 and set(kinds) <= set(wanted)
        found: list[tuple[Any, ...]] = connection.execute(
            f"select {row}, source from row"
        ).fetchall()
        return found


def test_rows_lie_as_in_the_ledger() -> None:
    """Else SQLite would put each value in another column."""
    (call,) = [one for one in schema.USAGE if one.startswith('CREATE TABLE IF NOT EXISTS "call" ')]
    assert call.replace('IF NOT EXISTS "call"', '"row"') == reader.TABLE


def by_python(jobs: list[Job]) -> dict[int, Read]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codex, "usual", None)
        folders = [workers._Folder(jobs, Days(), fresh=True) for _ in jobs]
        return {number: folder.read(number) for number, folder in enumerate(folders)}


def same(jobs: list[Job]) -> int:
    """Compare both ways file by file; returns how many files the crew could read."""
    found, plain = by_crew(jobs), by_python(jobs)
    for number, read in found.items():
        other = plain[number]
        assert vars(read.batch) == vars(other.batch), jobs[number].source.path
        assert read[2:5] == other[2:5]
        assert read.error is None
    return len(found)


@pytest.mark.parametrize("seed", range(6))
def test_whole_logs_are_read_the_same(usual: Any, tmp_path: Path, seed: int) -> None:
    tree = Tree(tmp_path / "home", seed=seed, body=60, turns=4)
    tree.grow(20)
    jobs = jobs_of([path for path in tree.paths if path.suffix == ".jsonl"])
    assert same(jobs) == len(jobs)


def test_real_logs_are_all_usual(usual: Any) -> None:
    jobs = jobs_of(compiled.REAL)
    assert jobs
    assert same(jobs) == len(jobs)


def test_a_fork_without_a_copy_is_read_the_same(usual: Any, tmp_path: Path) -> None:
    """Its counters go on from its parent's, so the first only tells where that stood."""
    base = b'"history_base":{"thread_id":"019e7065","end_ordinal_exclusive":4}'
    count = (
        b'{"timestamp":"2026-05-28T21:02:27.000Z","type":"event_msg","payload":{"type":'
        b'"token_count","info":{"total_token_usage":{"input_tokens":%d,"cached_input_tokens":0,'
        b'"output_tokens":5,"reasoning_output_tokens":0,"total_tokens":%d},"last_token_usage":'
        b'{"input_tokens":700,"cached_input_tokens":0,"output_tokens":5,"reasoning_output_tokens"'
        b':0,"total_tokens":705},"model_context_window":1000},"rate_limits":null}}\n'
    )
    parts = [
        HEAD.replace(b'"cwd"', base + b',"cwd"') + b"".join(count % (n, n + 5) for n in totals)
        for totals in ((), (700,), (700, 700), (700, 1400))
    ]
    thought = (
        b'{"timestamp":"2026-05-28T21:02:26.000Z","type":"response_item","payload":{"type":'
        b'"reasoning","encrypted_content":"x"}}\n'
    )
    parts.append(parts[0] + thought + count % (1400, 1405))  # answered here
    paths = written(tmp_path / "forks", parts)
    for path, part in zip(paths, parts, strict=True):
        path.write_bytes(part.replace(NAME[-36:].encode(), path.stem[-36:].encode()))
    jobs = jobs_of(paths)
    assert same(jobs) == len(jobs)
    calls = {number: len(read.batch.rows) for number, read in by_crew(jobs).items()}
    assert calls == {0: 0, 1: 0, 2: 0, 3: 1, 4: 1}


@pytest.mark.parametrize("seed", range(4))
def test_a_log_is_read_the_same_wherever_it_ends(usual: Any, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    parts = []
    for lines in compiled.lines_of(tmp_path, seed):
        whole = b"".join(lines)
        parts += [whole[: chance.randrange(len(whole) + 1)] for _ in range(4)]
    jobs = jobs_of(written(tmp_path / "torn", parts))
    assert same(jobs) > len(jobs) / 2


@pytest.mark.parametrize("seed", range(6))
def test_broken_logs_are_read_the_same_or_left(usual: Any, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    logs = [lines for lines in compiled.lines_of(tmp_path, seed) if lines]
    parts = [compiled.broken(chance.choice(logs), chance) for _ in range(120)]
    assert same(jobs_of(written(tmp_path / "broken", parts))) > 0


@pytest.mark.parametrize(
    ("size", "usual_ones"),
    [
        pytest.param(100, 1, id="in one piece"),
        pytest.param((256 << 10) - 60, 1, id="a line over the end of a piece"),
        pytest.param(256 << 10, 1, id="longer than a piece"),
        pytest.param(5 << 20, 1, id="longer than many pieces"),
        pytest.param(9 << 20, 0, id="too long to be held"),
    ],
)
def test_long_lines(usual: Any, tmp_path: Path, size: int, usual_ones: int) -> None:
    tree = Tree(tmp_path / "home", seed=1, body=60)
    lines = tree.modern().lines
    word = b"x" * size
    lines[3:3] = [
        b'{"timestamp":"2026-05-28T21:02:26.472Z","type":"response_item","payload":"%s"}\n' % word
    ] * 2
    assert same(jobs_of(written(tmp_path / "long", [b"".join(lines)]))) == usual_ones


def count(number: int, model: str = "gpt-5.5") -> bytes:
    """A turn of a client that names no response."""
    figures = (
        b'{"input_tokens":%d,"cached_input_tokens":0,"output_tokens":1,'
        b'"reasoning_output_tokens":0,"total_tokens":%d}' % (number, number + 1)
    )
    return (
        b'{"timestamp":"2026-05-28T21:02:27.000Z","type":"turn_context","payload":'
        b'{"model":"%s"}}\n'
        b'{"timestamp":"2026-05-28T21:02:28.000Z","type":"event_msg","payload":'
        b'{"type":"token_count","info":{"total_token_usage":%s,"last_token_usage":%s,'
        b'"model_context_window":null},"rate_limits":null}}\n'
    ) % (model.encode(), figures, figures)


def record(name: str, thread: str = NAME[-36:], cached: int = 0, at: str = "2026-05-28") -> bytes:
    usage = (
        b'{"input_tokens":5,"cached_input_tokens":%d,"cache_write_input_tokens":0,'
        b'"output_tokens":1,"reasoning_output_tokens":0,"total_tokens":6}'
    ) % cached
    return (
        b'{"timestamp":"%sT21:02:28.000Z","type":"token_usage_record","payload":'
        b'{"thread_id":"%s","turn_id":"t","session_id":"s","root_turn_id":"t","response_id":"%s",'
        b'"usage":%s,"turn_token_usage":%s,"thread_token_usage":%s}}\n'
    ) % (at.encode(), thread.encode(), name.encode(), usage, usage, usage)


@pytest.mark.parametrize(
    ("parts", "held"),
    [
        pytest.param([HEAD + count(1) + count(2)], 1, id="usual"),
        pytest.param([HEAD + record("a"), HEAD + record("b")], 2, id="two logs"),
        pytest.param([HEAD + record("a"), HEAD + record("a")], 1, id="of two that tell the same"),
        pytest.param([HEAD + record("a") * 2], 0, id="the same call twice"),
        pytest.param([HEAD + record("a", cached=9)], 0, id="a figure that cannot be"),
        pytest.param([HEAD + record("a", at="2019-01-01")], 0, id="a time that cannot be"),
        pytest.param([HEAD + record("a", at="2199-01-01")], 0, id="a time to come"),
        pytest.param([HEAD + record("a", thread="other")], 0, id="only another's call"),
        pytest.param([HEAD + count(1, "no such model")], 1, id="a model without a price"),
        pytest.param([HEAD + b"".join(count(n, f"m{n}") for n in range(1, 300))], 0, id="models"),
        pytest.param([HEAD], 0, id="no calls"),
    ],
)
def test_calls_are_held_where_they_are_certain(
    usual: Any, tmp_path: Path, parts: list[bytes], held: int
) -> None:
    jobs = jobs_of(written(tmp_path / "logs", parts))
    (crew,) = share_out(jobs, Days(), fresh=True)
    chunks = list(crew.chunks(workers._Folder(jobs, Days(), fresh=True)))
    assert sum(len(chunk.reads) for chunk in chunks) == len(jobs)
    assert sum(len(chunk.reads) for chunk in chunks if chunk.table) == held
    assert same(jobs) == len(jobs)


def test_a_text_that_no_page_holds_is_left_to_the_python(usual: Any, tmp_path: Path) -> None:
    parts = [HEAD + record("a" * 70_000), HEAD + record("b")]
    jobs = jobs_of(written(tmp_path / "logs", parts))
    assert same(jobs) == 0  # both were to go into one table
    assert {read.batch.rows[0][0][:1] for read in by_python(jobs).values()} == {"a", "b"}


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="none"),
        pytest.param(record("a") + HEAD, id="behind a call"),
        pytest.param(HEAD.replace(b'{"id"', b'{"source":{"id":"x"},"id"'), id="another id before"),
        pytest.param(HEAD.replace(b'"id":"', b'"id":5,"session_id":"'), id="a number for an id"),
        pytest.param(HEAD.replace(b'"cwd":"', b'"cwd":"\\ud800'), id="half a letter"),
        pytest.param(HEAD.replace(b"}}\n", b"}\n"), id="no JSON"),
    ],
)
def test_a_head_that_is_not_certain_is_left(usual: Any, tmp_path: Path, head: bytes) -> None:
    jobs = jobs_of(written(tmp_path / "logs", [head + record("b") + count(1)]))
    assert same(jobs) == 0


def test_a_log_that_begins_with_anothers_head_is_left(usual: Any, tmp_path: Path) -> None:
    (path,) = written(tmp_path / "logs", [HEAD + record("a")])
    other = path.with_name(f"{NAME[:-12]}{7:012x}.jsonl")
    assert (same(jobs_of([path])), same(jobs_of([path.rename(other)]))) == (1, 0)


def test_a_head_that_names_nobody_is_left(usual: Any, tmp_path: Path) -> None:
    head = HEAD.replace(b'"id":"', b'"id":{"id":"').replace(b'","cwd"', b'"},"cwd"')
    jobs = jobs_of(written(tmp_path / "logs", [head + record("b", thread="other")]))
    assert same(jobs) == 0
    assert len(by_python(jobs)[0].batch.rows) == 1


def asked(text: str) -> bytes:
    return (
        b'{"timestamp":"2026-05-28T21:02:27.000Z","type":"event_msg","payload":'
        b'{"type":"user_message","message":"%s"}}\n' % text.encode()
    )


@pytest.mark.parametrize(
    ("messages", "title", "usual_ones"),
    [
        pytest.param(["fix it", "and that"], "fix it", 1, id="the first"),
        pytest.param(["<env>", "", "fix it"], "fix it", 1, id="the first that a person wrote"),
        pytest.param(["<a>"] * 9 + ["fix it"], "fix it", 0, id="one that comes late"),
        pytest.param(["fix " + "x" * 100_000], None, 1, id="a long one"),
        pytest.param(["<a>" + "x" * 100_000, "fix it"], "fix it", 0, id="behind a long one"),
    ],
)
def test_titles(
    usual: Any, tmp_path: Path, messages: list[str], title: str | None, usual_ones: int
) -> None:
    data = HEAD + b"".join(map(asked, messages)) + record("a")
    jobs = jobs_of(written(tmp_path / "logs", [data]))
    assert same(jobs) == usual_ones
    found = by_python(jobs)[0].batch.state["title"]
    assert title is None or found == title


def test_a_log_that_changed_since_it_was_read_is_left(usual: Any, tmp_path: Path) -> None:
    paths = written(tmp_path / "logs", [HEAD + record(name) for name in "abcd"])
    before = jobs_of(paths)
    crew = Crew(usual.crew([os.fsencode(path) for path in paths], 0), Days())
    while usual.fold(crew.crew):
        pass
    with paths[0].open("ab") as file:
        file.write(record("e"))
    os.utime(paths[1], ns=(1, 1))
    paths[2].with_suffix(".new").write_bytes(paths[2].read_bytes())
    paths[2].with_suffix(".new").replace(paths[2])
    jobs = [*jobs_of(paths[:3]), before[3]]
    team = WholeLogs(jobs, range(4), crew, True)
    (chunk,) = team.chunks(workers._Folder(jobs, Days(), fresh=True))
    assert [read.number for read in chunk.reads] == [3]


def test_what_is_no_file_is_left(usual: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    odd = [tmp_path, pipe, tmp_path / "none", Path("/dev/null")]
    crew = usual.crew([os.fsencode(path) for path in odd], 2)
    while usual.fold(crew):
        pass
    told: list[tuple[Any, ...]] = []
    while part := usual.told(crew, True):
        told += part
    assert sorted(told) == [(number, None) for number in range(4)]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_each_file_is_told_of_once(usual: Any, tmp_path: Path, threads: int) -> None:
    paths = written(tmp_path / "logs", [HEAD + record(f"r{n}") for n in range(60)])
    crew = Crew(usual.crew([os.fsencode(path) for path in paths], threads), Days())
    told: list[tuple[Any, ...]] = []
    while part := crew.told():
        told += part
    assert sorted(one[0] for one in told) == list(range(60))
    assert not usual.told(crew.crew, True)


def test_a_crew_ends_with_its_last_owner(usual: Any, tmp_path: Path) -> None:
    paths = written(tmp_path / "logs", [HEAD + record(f"r{n}") * 500 for n in range(40)])
    for _ in range(5):
        crew = usual.crew([os.fsencode(path) for path in paths], 2)
        del crew


def test_a_wrong_call_is_an_error(usual: Any, tmp_path: Path) -> None:
    (path,) = written(tmp_path / "logs", [HEAD + record("a")])
    crew = usual.crew([os.fsencode(path)], 0)
    assert usual.fold(crew)
    rates = ((1,) * 5, (1,) * 5, (1,) * 5)
    for error, way, given in (
        (ValueError, usual.fold, ("no crew",)),
        (TypeError, usual.crew, (["text"], 1)),
        (ValueError, usual.sums, (crew, 1, 0)),
        (ValueError, usual.sums, (crew, -1, 0)),
        (ValueError, usual.calls, (crew, 7, "p", "user")),
        (ValueError, usual.forget, (crew, 7)),
        (ValueError, usual.emitted, (crew, 7, 0)),
        (ValueError, usual.pages, ("create table row(a)", crew, [(7, 0, 0, "p", "user")])),
        (ValueError, usual.pages, ("create table row(a)", crew, [(0, 0, 0, "p", "user")])),
        (TypeError, usual.pages, ("create table row(a)", crew, ["text"])),
        (ValueError, usual.pages, ("x" * 2000, crew, [])),
        (ValueError, usual.tariff, (crew, "m", "exact", (*rates, 9, 5, 5))),
        (ValueError, usual.tariff, (crew, "m", "exact", ((1, -1, 1, 1, 1), *rates[1:], 9, 1, 5))),
    ):
        with pytest.raises(error):
            way(*given)
    usual.forget(crew, 0)
    with pytest.raises(ValueError, match="nothing is known"):
        usual.emitted(crew, 0, 0)


def test_what_a_fork_copied_is_cut_the_same(usual: Any, tmp_path: Path) -> None:
    parts = [HEAD + b"".join(count(n) for n in range(1, 9))]
    jobs = jobs_of(written(tmp_path / "logs", parts))
    for first in range(10):
        (read,) = by_python(jobs).values()
        whole = read.batch
        (crew,) = share_out(jobs, Days(), fresh=True)
        found = crew._crew.told()[0]
        held = reader.Held(crew._crew, 0, 0, ("p", "user"), 8, jobs[0].source.path)
        batch = reader.Batch(held=held)
        assert crew._crew.priced(batch, held)
        ledger.Ledger().cut(whole, first)
        ledger.Ledger().cut(batch, first)
        assert found[0] == 0
        assert (batch.days, len(held)) == (whole.days, max(0, 8 - first))
        assert ledger.emissions(batch) == ledger.emissions(whole)
        rows = rows_of(reader.table([(held, 0)]))
        assert [row[1:-1] for row in rows] == [row[1:] for row in whole.rows]


def test_reading_that_began_early_is_taken_where_it_fits(
    usual: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early, "usual", usual)
    home = tmp_path / "home"
    tree = Tree(home, seed=2, body=60)
    tree.grow(12)
    early.begin(str(tmp_path / "data"), str(home))
    begun = early._begun[-1][0]
    late: Rollout = tree.modern()
    tree.save(late)
    paths = [path for path in tree.paths if path.suffix == ".jsonl"]
    assert set(begun) <= set(map(str, paths))
    jobs = jobs_of(paths)
    crews = share_out(jobs, Days(), fresh=True)
    assert len(crews) == 2
    folder = workers._Folder(jobs, Days(), fresh=True)
    chunks = [chunk for crew in crews for chunk in crew.chunks(folder)]
    assert sorted(read.number for chunk in chunks for read in chunk.reads) == list(range(len(jobs)))
    assert early.take() is None


def test_nothing_begins_early_where_something_is_known(
    usual: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early, "usual", usual)
    Tree(tmp_path / "home", seed=2, body=60).grow(2)
    (tmp_path / "usage.db").touch()
    early.begin(str(tmp_path), str(tmp_path / "home"))
    early.begin(str(tmp_path / "new"), str(tmp_path / "nowhere"))
    assert early.take() is None
