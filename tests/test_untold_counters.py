"""A counter of Codex whose figures are not told stands where it stood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest import codex
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


AGAIN = (1000, 500, 900, 100)


@pytest.mark.parametrize("missing", [*usage((0, 0, 0, 0))], ids=str)
@pytest.mark.parametrize("how", ["null", "absent"])
@pytest.mark.parametrize("also", [None, "total_tokens"])
def test_a_figure_that_is_not_told_again_is_no_reset(
    missing: str, how: str, also: str | None
) -> None:
    def told(figures: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = usage(figures)  # type: ignore[arg-type]
        for name in (missing, also):
            if how == "null" and name:
                found[name] = None
            elif name:
                found.pop(name, None)
        return found

    rollout = Tree(Path("nowhere"), seed=1)._begin(modern=False)

    def count(total: dict[str, Any], last: dict[str, Any]) -> None:
        rollout.event("token_count", info={"total_token_usage": total, "last_token_usage": last})

    count(usage(AGAIN), usage(AGAIN))
    count(told(AGAIN), told(AGAIN))  # told again
    count(usage(AGAIN), usage(AGAIN))
    count(told((1070, 530, 920, 105)), usage((70, 30, 20, 5)))  # the call tells what it adds
    count(usage((1170, 560, 930, 105)), usage((100, 30, 10, 0)))
    records, state = codex.fold(memoryview(b"".join(rollout.lines)), 0, codex.State())
    calls = [(call[7], call[8], call[10], call[11]) for call in records.calls]
    assert calls == [AGAIN, (70, 30, 20, 5), (100, 30, 10, 0)]
    assert state.epoch == 0


@pytest.mark.parametrize(
    ("missing", "other"), [("input_tokens", "output_tokens"), ("output_tokens", "input_tokens")]
)
def test_a_figure_that_follows_from_the_sum_is_known(missing: str, other: str) -> None:
    rollout = Tree(Path("nowhere"), seed=1)._begin(modern=False)
    for total, last in ((AGAIN, AGAIN), ((1070, 530, 920, 105), (70, 30, 20, 5))):
        info: dict[str, Any] = {
            "total_token_usage": usage(total), "last_token_usage": usage(last)
        }  # fmt: skip
        if total is not AGAIN:
            for figures in info.values():
                del figures[missing]
        rollout.event("token_count", info=info)
    records, _ = codex.fold(memoryview(b"".join(rollout.lines)), 0, codex.State())
    assert [(call[7], call[10]) for call in records.calls] == [(1000, 900), (70, 20)]
