"""A counter of Codex whose figures are not told stands where it stood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from tests.rollouts import Tree, usage

NAMES = (*usage((0, 0, 0, 0)), "total_tokens")


@pytest.mark.parametrize(
    "figures",
    [
        pytest.param(dict.fromkeys(NAMES), id="all null"),
        pytest.param({}, id="none at all"),
    ],
)
def test_a_counter_told_again_behind_one_without_figures_counts_once(
    config: Config, database: None, figures: dict[str, Any]
) -> None:
    tree = Tree(config.codex_home, seed=6, body=10)
    rollout = tree.legacy()
    total, last = rollout.emitted[-1]
    info = {"total_token_usage": figures, "last_token_usage": figures}
    for _ in range(2):
        rollout.event("token_count", info=info, rate_limits=None)
        tree._count(rollout, total, last)
    folder = Path(config.codex_home) / "sessions" / "2026" / "01" / "01"
    folder.mkdir(parents=True)
    (folder / f"{rollout.name}.jsonl").write_bytes(b"".join(rollout.lines))
    Indexer(config, Ledger()).scan()
    (found,) = db.rows("select count(*), total(input), total(output) from call")
    sums = tree.sums
    assert found == (sums[0], sums[1], sums[3])
