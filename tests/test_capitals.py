"""Logs whose ending is in capitals, as some tools that copy files write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from desktop.logs import inspect
from server.config import Config
from server.ingest import codex, files, scan
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from tests.rollouts import Tree
from tests.test_any_order import kept, same
from tests.test_exact_sums import A, line, write


def logs(config: Config) -> list[Path]:
    """Logs of both programs, one of Codex's packed."""
    Tree(config.codex_home, seed=8, body=20).grow(6)
    found = sorted(config.codex_home.rglob("rollout-*.jsonl"))
    packed = found[0].with_suffix(".jsonl.zst")
    packed.write_bytes(zstandard.ZstdCompressor().compress(found[0].read_bytes()))
    found[0].unlink()
    return [packed, *found[1:], write(config, A, line(A, 1, 2), line(A, 2, 3))]


def shouted(path: Path) -> Path:
    stem, dot, ending = path.name.partition(".jsonl")
    return path.rename(path.with_name(stem + (dot + ending).upper()))


@pytest.mark.parametrize("compiled", [True, False])
def test_capitals_change_nothing(
    config: Config,
    database: None,
    compiled_part: Any,
    monkeypatch: pytest.MonkeyPatch,
    compiled: bool,
) -> None:
    monkeypatch.setattr(codex, "usual", compiled_part if compiled else None)
    paths = logs(config)
    Indexer(config, Ledger()).scan()
    before, said = kept(), scan.totals()
    assert said["calls"] and said["claude"]["calls"]
    moved = [shouted(path) for path in paths]
    assert {path.suffix for path in moved} == {".ZST", ".JSONL"}
    same(config)  # read on, and by a first scan
    assert kept() == before
    assert files.left_out() == []
    with moved[-1].open("ab") as log:
        log.write(json.dumps(line(A, 9, 7, "more")).encode() + b"\n")
    same(config)
    assert len(kept()["rows"]) == len(before["rows"]) + 1
    for path in moved:
        assert inspect(path)["calls"], path


def test_of_two_that_differ_in_capitals_the_usual_one_counts(
    config: Config, database: None
) -> None:
    usual = write(config, A, line(A, 1, 2))
    other = usual.with_suffix(".JSONL")
    other.write_bytes(usual.read_bytes() + json.dumps(line(A, 2, 9)).encode() + b"\n")
    if usual.samefile(other):
        pytest.skip("this disk takes both for one file")
    Indexer(config, Ledger()).scan()
    assert db.rows("select output from call") == [(2,)]
