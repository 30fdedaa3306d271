"""Reviews whose log names no parent: whose they are, in whatever order logs are read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from server.config import Config
from server.ingest import scan
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.ingest.reviews import NEARBY, Candidate, nearest
from server.store import db
from server.usage import slices
from tests.rollouts import stamp, usage
from tests.serving import whole_app

MINUTE = 60_000
TEN = 1_780_308_000_000  # ten o'clock
ALPHA, BETA, GUARD, LATE, CHILD = (str(UUID(int=(7 << 76) | n)) for n in range(1, 6))


def candidate(key: str, start: int, end: int, *moments: int) -> Candidate:
    return Candidate(key, start * MINUTE, end * MINUTE, [at * MINUTE for at in moments])


HOUR = NEARBY // MINUTE


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        pytest.param([], None, id="no session"),
        pytest.param([candidate("a", 90, 110, 101)], "a", id="while it ran"),
        pytest.param([candidate("a", 90, 99)], "a", id="just after it"),
        pytest.param([candidate("a", 1, 100 - HOUR)], "a", id="as long ago as is near"),
        pytest.param([candidate("a", 1, 99 - HOUR)], None, id="too long ago"),
        pytest.param([candidate("a", 101, 120)], None, id="what had not begun asked for none"),
        pytest.param([candidate("a", 50, 80), candidate("b", 50, 95)], "b", id="of two the nearer"),
        pytest.param(
            [candidate("a", 1, 500, 40, 300), candidate("b", 90, 98, 97)],
            "b",
            id="one that is open for days is not near all the time",
        ),
        pytest.param(
            [candidate("a", 1, 200, 99), candidate("b", 50, 200, 99)],
            "b",
            id="as near: the one that began last",
        ),
        pytest.param(
            [candidate("b", 1, 200), candidate("a", 1, 200)], "a", id="the same whatever the order"
        ),
    ],
)
def test_the_nearest_session(candidates: list[Candidate], expected: str | None) -> None:
    assert nearest(100 * MINUTE, candidates) == expected


def write(
    config: Config, key: str, at: int, *calls: int, text: str = "build it", **meta: Any
) -> Path:
    """A session's log, of calls at these minutes after it began."""
    began = TEN + at * MINUTE
    model = meta.pop("model", "codex-auto-review" if meta.get("source") else "gpt-5.5")

    def line(kind: str, payload: dict[str, Any], when: int) -> str:
        return json.dumps({"timestamp": stamp(when), "type": kind, "payload": payload})

    about = {"id": key, "timestamp": stamp(began), "cwd": "/p/alpha", "source": "cli"}
    lines = [
        line("session_meta", about | meta, began),
        line("turn_context", {"cwd": about["cwd"], "model": model}, began),
        line("event_msg", {"type": "user_message", "message": text}, began),
    ]
    size = 1000 + int(key[-1])  # no call is like another session's, of which it were a copy
    for number, minute in enumerate(calls, 1):
        info = {
            "total_token_usage": usage((size * number, 0, 10 * number, 0)),
            "last_token_usage": usage((size, 0, 10, 0)),
        }
        told = {"type": "token_count", "info": info}
        lines.append(line("event_msg", told, began + minute * MINUTE))
    folder = config.codex_home / "sessions" / "2026" / "06" / "01"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-2026-06-01T10-{at % 60:02d}-00-{key}.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def review(config: Config, key: str, at: int, **meta: Any) -> Path:
    given = {"source": {"subagent": {"other": "guardian"}}, "text": "review it"} | meta
    return write(config, key, at, 0, **given)


def whose() -> dict[str, tuple[str, str | None]]:
    """Each session's thread, and what it is attached to."""
    return {
        key: (thread, attached)
        for key, thread, attached in db.rows("select key, thread, attached from session")
    }


def threads() -> dict[str, tuple[str | None, int, int]]:
    """Titles, and sums that are right: of each thread calls and reviews."""
    slices.refresh()
    return {
        name: (title, calls, number)
        for name, title, calls, number in db.rows(
            "select t.id, t.title, u.calls, u.reviews from thread t "
            "left join thread_usage u on u.thread = t.id and u.everything"
        )
    }


WRITERS: dict[str, Callable[[Config], Path]] = {
    ALPHA: lambda config: write(config, ALPHA, 0, 0, 1),
    BETA: lambda config: write(config, BETA, -30, 0, 1, cwd="/p/beta"),
    LATE: lambda config: write(config, LATE, 3, 0, 5, text="more"),
    GUARD: lambda config: review(config, GUARD, 5),
}


def named(order: tuple[str, ...]) -> str:
    return ">".join({ALPHA: "alpha", BETA: "beta", LATE: "late", GUARD: "guard"}[n] for n in order)


@pytest.mark.parametrize("order", list(itertools.permutations(WRITERS)), ids=named)
def test_a_review_is_the_nearest_sessions_in_any_order(
    config: Config, database: None, order: tuple[str, ...]
) -> None:
    indexer = Indexer(config, Ledger())
    for key in order:
        WRITERS[key](config)
        indexer.scan()
        threads()  # what was summed before it moved
    assert whose() == {
        ALPHA: (ALPHA, None), BETA: (BETA, None), LATE: (LATE, None), GUARD: (LATE, LATE),
    }  # fmt: skip
    assert threads() == {
        ALPHA: ("build it", 2, 0), BETA: ("build it", 2, 0), LATE: ("more", 3, 1),
    }  # fmt: skip


def test_a_first_scan_attaches_too(config: Config, database: None) -> None:
    for writer in WRITERS.values():
        writer(config)
    Indexer(config, Ledger(), alone=True).scan()
    assert whose()[GUARD] == (LATE, LATE)
    assert threads().keys() == {ALPHA, BETA, LATE}
    assert scan.totals()["calls"] == 7


def test_a_review_far_from_any_session_is_a_thread_of_its_own(
    config: Config, database: None
) -> None:
    write(config, ALPHA, 0, 0)
    review(config, GUARD, 62)
    review(config, LATE, 1, cwd="/p/beta")
    Indexer(config, Ledger()).scan()
    assert whose() == {ALPHA: (ALPHA, None), GUARD: (GUARD, None), LATE: (LATE, None)}


BY_MODEL = {"model": "codex-auto-review", "text": "review it"}


def test_its_model_alone_tells_a_review(config: Config, database: None) -> None:
    indexer = Indexer(config, Ledger())
    write(config, GUARD, 5, 0, **BY_MODEL)
    write(config, BETA, 60, 0, cwd="/p/beta", **BY_MODEL)
    indexer.scan()
    assert whose() == {GUARD: (GUARD, None), BETA: (BETA, None)}
    write(config, ALPHA, 0, 0, 1)
    indexer.scan()
    expected = {ALPHA: (ALPHA, None), GUARD: (ALPHA, ALPHA), BETA: (BETA, None)}
    assert whose() == expected
    assert threads() == {ALPHA: ("build it", 3, 1), BETA: ("review it", 1, 1)}
    Indexer(config, Ledger()).scan()  # of a program that has just begun
    assert whose() == expected


def test_a_first_scan_takes_the_models_word(config: Config, database: None) -> None:
    write(config, ALPHA, 0, 0, 1)
    write(config, GUARD, 5, 0, **BY_MODEL)
    Indexer(config, Ledger(), alone=True).scan()
    assert whose() == {ALPHA: (ALPHA, None), GUARD: (ALPHA, ALPHA)}


def test_another_model_makes_it_a_session_again(config: Config, database: None) -> None:
    indexer = Indexer(config, Ledger())
    write(config, ALPHA, 0, 0, 1)
    path = write(config, GUARD, 5, 0, 1, **BY_MODEL)
    said = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(said[:-1]), encoding="utf-8")
    indexer.scan()
    assert whose()[GUARD] == (ALPHA, ALPHA)
    threads()
    context = said[1].replace("codex-auto-review", "gpt-5.5")
    path.write_text("".join([*said[:-1], context, said[-1]]), encoding="utf-8")
    indexer.scan()
    assert whose() == {ALPHA: (ALPHA, None), GUARD: (GUARD, None)}
    assert threads() == {ALPHA: ("build it", 2, 0), GUARD: ("review it", 2, 0)}


def test_it_goes_with_its_own_sub_agents(config: Config, database: None) -> None:
    indexer = Indexer(config, Ledger())
    review(config, GUARD, 1)
    spawned: dict[str, Any] = {
        "source": {"subagent": {"thread_spawn": {"parent_thread_id": GUARD}}}
    }
    write(config, CHILD, 2, 0, **spawned)
    indexer.scan()
    write(config, ALPHA, 0, 0)
    indexer.scan()
    assert whose() == {ALPHA: (ALPHA, None), GUARD: (ALPHA, ALPHA), CHILD: (ALPHA, None)}
    assert threads() == {ALPHA: ("build it", 3, 1)}


def test_what_was_a_thread_before_its_head_came_is_none_any_more(
    config: Config, database: None
) -> None:
    indexer = Indexer(config, Ledger())
    write(config, ALPHA, 0, 0, 1)
    spawned: dict[str, Any] = {
        "source": {"subagent": {"thread_spawn": {"parent_thread_id": ALPHA}}}
    }
    path = write(config, CHILD, 2, 0, **spawned)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])  # of its first line
    indexer.scan()
    path.write_bytes(whole)
    indexer.scan()
    assert whose() == {ALPHA: (ALPHA, None), CHILD: (ALPHA, None)}
    assert db.rows("select id from thread") == [(ALPHA,)]


def test_a_parent_that_is_told_after_all_counts(config: Config, database: None) -> None:
    indexer = Indexer(config, Ledger())
    write(config, ALPHA, 0, 0, 1)
    write(config, BETA, 0, 0, text="more", cwd="/p/other")
    review(config, GUARD, 1)
    indexer.scan()
    assert whose()[GUARD] == (ALPHA, ALPHA)
    review(config, GUARD, 1, parent_thread_id=BETA)
    indexer.scan()
    assert whose()[GUARD] == (BETA, None)
    assert threads() == {ALPHA: ("build it", 2, 0), BETA: ("more", 2, 1)}


def test_what_belongs_nowhere_any_more_is_its_own_again(config: Config, database: None) -> None:
    write(config, ALPHA, 0, 0, 1)
    review(config, GUARD, 1)
    Indexer(config, Ledger()).scan()
    threads()
    with db.writing() as connection:
        connection.execute("update session set cwd = '/p/beta' where key = ?", (ALPHA,))
    Indexer(config, Ledger()).scan()  # of a program that has just begun
    assert whose() == {ALPHA: (ALPHA, None), GUARD: (GUARD, None)}
    assert threads() == {ALPHA: ("build it", 2, 0), GUARD: ("review it", 1, 1)}


def test_a_session_that_goes_on_draws_the_review_to_it(config: Config, database: None) -> None:
    indexer = Indexer(config, Ledger())
    write(config, ALPHA, 0, 0)
    write(config, LATE, 1, 0, text="more")
    review(config, GUARD, 8)
    indexer.scan()
    assert whose()[GUARD] == (LATE, LATE)
    write(config, ALPHA, 0, 0, 8)
    indexer.scan()
    assert whose()[GUARD] == (ALPHA, ALPHA)
    assert threads() == {ALPHA: ("build it", 3, 1), LATE: ("more", 1, 0)}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    with whole_app(tmp_path) as app:
        config = app.extensions["brimline"].config
        write(config, ALPHA, 0, 0, 1)
        review(config, GUARD, 1)
        told: dict[str, Any] = {
            "source": {"subagent": {"thread_spawn": {"parent_thread_id": ALPHA}}}
        }
        write(config, CHILD, 2, 0, **told)
        Indexer(config, Ledger()).scan()
        yield app.test_client()


def test_the_thread_says_what_was_inferred(client: FlaskClient) -> None:
    headers = {"Host": "127.0.0.1:80"}
    story = client.get(f"/api/threads/{ALPHA}", headers=headers).get_json()
    assert {
        one["id"]: (one["kind"], one["parentId"], one["attachment"]) for one in story["sessionList"]
    } == {
        ALPHA: ("main", None, None),
        GUARD: ("review", ALPHA, "inferred"),
        CHILD: ("subagent", ALPHA, "logged"),
    }
    assert (story["calls"], story["subagents"]) == (4, 2)
    listed = client.get("/api/threads?history=all", headers=headers).get_json()
    for row in (story, listed["threads"][0]):
        assert [row[f"{kind}Calls"] for kind in ("direct", "spawned", "attached")] == [2, 1, 1]
    assert [row["id"] for row in listed["threads"]] == [ALPHA]
