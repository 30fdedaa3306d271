"""What a thread is said to have worked with, where a review belongs to it, too."""

from __future__ import annotations

import pytest

from server.store import db
from server.usage import threads
from server.usage.calls import Page
from server.usage.slices import Filter

REVIEW = "codex-auto-review"


@pytest.mark.parametrize(
    ("models", "told"),
    [
        pytest.param(["gpt-5.5", REVIEW], "gpt-5.5", id="one of each"),
        pytest.param([REVIEW, REVIEW, "gpt-5.5"], "gpt-5.5", id="more reviews than work"),
        pytest.param(["a-model", "z-model", "z-model", REVIEW], "z-model", id="most calls"),
        pytest.param([REVIEW], REVIEW, id="a thread of nothing but reviews"),
    ],
)
def test_a_threads_model_is_that_of_its_work(database: None, models: list[str], told: str) -> None:
    with db.writing("calls") as connection:
        connection.execute("insert into thread(id, provider) values ('t', 'codex')")
        for number, model in enumerate(models, start=1):
            connection.execute(
                "insert into session(id, key, provider, thread, forked, inherited, guessed, kind) "
                "values (?1, 's' || ?1, 'codex', 't', 0, 0, 0, 'user')",
                (number,),
            )
            connection.execute(
                "insert into call(id, provider, session, model, initiator, started_at, input, "
                "cached, cache_written, output, reasoning, price_status, seen) values "
                "('c' || ?1, 'codex', ?1, ?2, 'user', 1780000000000, 9, 0, 0, 9, 0, 'exact', 1)",
                (number, model),
            )
    (row,) = threads.search(Filter(), Page())["threads"]
    assert row["models"][0]["name"] == told
    assert db.rows("select distinct model from thread_usage") == [(told,)]
