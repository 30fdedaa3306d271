"""Who saw a call: log and proxy join, copies are told from calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from server.config import Config
from server.ingest import reconcile, scan
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.ingest.limits import snapshot_rows
from server.ingest.reconcile import Emitted, Finished, Fork, inherited
from server.store import db
from server.usage import threads, trends
from server.usage.pricing import Tokens
from tests.rollouts import Tree

A, B, C = (Emitted(total, total, 0, 1, 0) for total in (10, 20, 30))
START = 1_000_000


T1, T2 = "turn-1", "turn-2"


def of_turn(turn: str | None, *calls: Emitted) -> list[Emitted]:
    return [call._replace(turn=turn) for call in calls]


@pytest.mark.parametrize(
    ("calls", "parent", "fork", "expected"),
    [
        pytest.param(
            [(START - 5, A), (START + 9000, B)], None, Fork(START, START, False), 1,
            id="older than the session",
        ),
        pytest.param(
            [(START + 5, A), (START + 9, B), (START + 9000, C)], [A, B],
            Fork(START, START, True), 2, id="repeats its parent",
        ),
        pytest.param(
            [(START + 5, C), (START + 9, B)], [A, B], Fork(START, START, True), 0,
            id="a quick first call of its own",
        ),
        pytest.param(
            [(START + 5, A), (START + 900, B), (START + 1100, C)], None,
            Fork(START, START, True), 2, id="parent lost: the moment of the fork",
        ),
        pytest.param(
            [(START + 5, A)], None, Fork(START, START, False), 0, id="nothing says it is a copy"
        ),
        pytest.param(
            [(START + 5, B), (START + 9, C)], [A, B], Fork(START, START, True, matched=1), 1,
            id="the copy goes on in a later read",
        ),
        pytest.param([], [A], Fork(START, START, True), 0, id="nothing yet"),
        pytest.param(
            [(START + 5, A), (START + 40_000, B)], [A, B, C], Fork(START, START, True), 1,
            id="after the moment of the fork, though the parent went on the same",
        ),
        pytest.param(
            [(START + 40_000, B)], [A, B, C], Fork(START, START, True, matched=1), 0,
            id="the same in a later read",
        ),
        pytest.param(
            [(START + 5, A), (START + 40_000, B)], [A, B, C], Fork(START, START + 39_900, True), 2,
            id="written late: the moment of the fork is that of its lines",
        ),
        pytest.param(
            [(START + 5, A), (START + 4_000, B)], [A, B, C], Fork(None, None, True), 2,
            id="nothing tells the moment of the fork",
        ),
        pytest.param(
            [(START + 5, *of_turn(T1, A)), (START + 20, *of_turn(T2, B))], of_turn(T1, A, B, C),
            Fork(START, START, True), 1, id="in the second of the fork, in a turn of its own",
        ),
        pytest.param(
            [(START + 5, *of_turn(T2, A)), (START + 20, *of_turn(T2, B))], of_turn(T1, A, B, C),
            Fork(START, START, True), 2, id="a copy without the parent's turns",
        ),
        pytest.param(
            [(START + 5, *of_turn(T2, A))], of_turn(T1, A, B), Fork(START, START, True, copy=False),
            0, id="spawned without a copy: a turn of its own",
        ),
        pytest.param(
            [(START + 5, A), (START + 20, B)], of_turn(T1, A, B), Fork(START, START, True), 2,
            id="no turn is known",
        ),
    ],
)  # fmt: skip
def test_inherited(
    calls: list[tuple[int, Emitted]], parent: Sequence[Emitted] | None, fork: Fork, expected: int
) -> None:
    assert inherited([(*call, 0) for call in calls], parent, fork) == expected


def test_a_long_copy_may_take_longer() -> None:
    fork = Fork(START, START, True)
    calls = [(START + 5, A, 900), (START + 3_500, B, 12 << 20), (START + 9_000, C, 13 << 20)]
    assert inherited(calls, [A, B, C], fork) == 2


def finished(response: str | None, session: str | None, **other: object) -> Finished:
    values = {
        "response_id": response, "session_id": session, "turn_id": None, "model": "gpt-5.5",
        "effort": "low", "tier": None, "tokens": Tokens(1200, 800, 60, 20), "account": "acc-1",
        "client": "codex_exec/0.169.0", "started_at": 5_000, "ended_at": 6_000, "duration_ms": 1000,
    }  # fmt: skip
    return Finished(**{**values, **other})  # type: ignore[arg-type]


def see(ledger: Ledger, *requests: Finished) -> None:
    with db.writing("calls") as connection:
        ledger.see_requests(connection, requests)


def rolled(heading: str) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(sums)
        for name, *sums in db.rows(
            "select name, sum(calls), sum(input), sum(cost) from daily_usage where heading = ? "
            "group by name having sum(calls)",
            (heading,),
        )
    }


@pytest.mark.parametrize("proxy_first", [True, False], ids=["proxy first", "log first"])
@pytest.mark.parametrize("modern", [True, False], ids=["with response ids", "older client"])
def test_log_and_proxy_are_one_row(
    config: Config, database: None, proxy_first: bool, modern: bool
) -> None:
    ledger = Ledger()
    indexer = Indexer(config, ledger)
    tree = Tree(config.codex_home, seed=11, body=20)
    rollout = tree.modern() if modern else tree.legacy()
    if not proxy_first:
        tree.save(rollout)
        indexer.scan()
    requests = []
    for (name, used), at in zip(tree.truth.items(), _times(rollout.lines), strict=True):
        requests.append(
            finished(
                name if modern else f"resp_{name}", rollout.key,
                tokens=Tokens(*used), ended_at=at, started_at=at - 900, duration_ms=900,
            )
        )  # fmt: skip
    see(ledger, *requests)
    assert rolled("account")["acc-1"][:2] == tree.sums[:2]
    if proxy_first:
        assert scan.totals()["calls"] == 0  # no log has said it yet
        tree.save(rollout)
        indexer.scan()
    rows = db.rows("select seen, account, duration_ms, id from call")
    assert {row[:3] for row in rows} == {(3, "acc-1", 900)}
    assert len(rows) == tree.sums[0]
    assert all(row[3].startswith("resp_") for row in rows)
    assert rolled("account") == {"acc-1": rolled("model").popitem()[1]}
    assert scan.totals()["calls"] == tree.sums[0]


def _times(lines: list[bytes]) -> list[int]:
    from server.ingest.codex import State, fold

    records, _ = fold(memoryview(b"".join(lines)), 0, State())
    return [call[5] for call in records.calls]


def test_a_request_without_usage_or_id_makes_no_row(database: None) -> None:
    see(Ledger(), finished(None, "s"), finished("resp_1", "s", tokens=None))
    assert db.rows("select count(*) from call") == [(0,)]


def test_the_same_request_twice_counts_once(database: None) -> None:
    ledger = Ledger()
    see(ledger, finished("resp_1", "s"), finished("resp_1", "s"))
    see(ledger, finished("resp_1", "s"))
    assert rolled("model")["gpt-5.5"][0] == 1


def test_a_thread_that_finds_a_title_is_no_conversation(database: None) -> None:
    see(Ledger(), finished("resp_1", "t", kind="title"), finished("resp_2", "s"))
    assert dict(db.rows("select key, kind from session")) == {"t": "title", "s": "user"}


def titling(key: str, **other: Any) -> Finished:
    values: dict[str, Any] = {"kind": "title", "title": "Title for a conversation", **other}
    return finished(f"resp_{key}", key, **values)


def test_a_thread_that_finds_a_title_is_called_so(database: None) -> None:
    see(Ledger(), titling("t"), titling("u", parent="u"), finished("resp_2", "s"))
    assert dict(db.rows("select id, title from thread")) == {
        "t": "Title for a conversation", "u": "Title for a conversation", "s": None,
    }  # fmt: skip


@pytest.mark.parametrize("parent_first", [True, False], ids=["after it", "before it"])
def test_a_thread_that_finds_a_known_threads_title_is_a_session_of_it(
    config: Config, database: None, parent_first: bool
) -> None:
    tree = Tree(config.codex_home, seed=11, body=20)
    rollout = tree.modern()
    ledger = Ledger()
    indexer = Indexer(config, ledger)
    if not parent_first:
        see(ledger, titling("t", parent=rollout.key))
    tree.save(rollout)
    indexer.scan()
    if parent_first:
        see(ledger, titling("t", parent=rollout.key))
    ((thread, title, source),) = db.rows("select id, title, title_source from thread")
    assert thread == rollout.key
    assert title != "Title for a conversation" and source != "kind"
    assert dict(db.rows("select key, thread from session")) == {"t": thread, thread: thread}
    row = threads.one(thread)
    assert (row["subagents"], row["sessions"]) == (1, 2)
    named = {one["id"]: (one["kind"], one["title"]) for one in row["sessionList"]}
    assert named == {thread: ("main", title), "t": ("title", "Title for a conversation")}


def test_a_thread_that_finds_a_title_is_none_of_todays(database: None) -> None:
    now = 1_800_000_000_000
    at = {"started_at": now - 2000, "ended_at": now - 1000}
    see(Ledger(), titling("t", **at), finished("resp_2", "s", **at))
    told = trends.today(now)
    assert (told["calls"], told["threads"]) == (2, 1)
    row = threads.one("t")
    assert (row["title"], row["subagents"]) == ("Title for a conversation", 0)
    assert "subagent-attribution" not in row["flags"]
    assert [one["kind"] for one in row["sessionList"]] == ["title"]


def test_a_failed_transaction_leaves_no_count_behind(database: None) -> None:
    ledger = Ledger()
    with pytest.raises(ZeroDivisionError), db.writing("calls") as connection:
        ledger.see_requests(connection, [finished("resp_1", "s")])
        raise ZeroDivisionError
    see(ledger, finished("resp_2", "s"))
    assert rolled("model")["gpt-5.5"][0] == 1


@pytest.mark.parametrize("logged", [None, "flex"])
def test_the_tier_that_the_proxy_knows_sets_the_price(logged: str | None) -> None:
    proxy = reconcile.from_proxy(finished("resp_1", None, tier="priority"), None)
    assert proxy is not None
    log = proxy._replace(seen=reconcile.LOG, tier=logged, account=None, duration_ms=7, source=4)
    both = reconcile.join(log, proxy)
    assert (both.tier, both.account, both.duration_ms, both.seen) == ("priority", "acc-1", 1000, 3)
    assert (both.cost, both.price_status) == (proxy.cost, "estimated")
    assert reconcile.without_log(both) == both._replace(seen=2, source=None, offset=None)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param(
            {"primary": {"used_percent": 5, "window_minutes": 10080, "resets_at": 2}},
            [("secondary", 5, 10080, 2000, None, 100)],
            id="by length, not by slot",
        ),
        pytest.param(
            {"primary": {"used_percent": 5.5, "window_minutes": 300, "resets_in_seconds": 3}},
            [("primary", 5.5, 300, 3100, None, 100)],
            id="an older client counts down",
        ),
        pytest.param(
            {"limit_id": "spark", "secondary": {"used_percent": 1, "window_minutes": 300}},
            [("spark:primary", 1, 300, None, None, 100)],
            id="another limit",
        ),
        pytest.param({"primary": {"used_percent": "x"}, "secondary": 7}, [], id="nonsense"),
    ],
)
def test_snapshots_of_a_log(limits: dict[str, object], expected: list[tuple[object, ...]]) -> None:
    assert snapshot_rows(100, limits) == expected


@pytest.mark.parametrize(
    ("request_id", "known", "expected"),
    [
        pytest.param("b", {}, ("m", None), id="the first of a message"),
        pytest.param("b", {"m": "b"}, ("m", None), id="the same again"),
        pytest.param("c", {"m": "b"}, ("m#c", None), id="another"),
        pytest.param("a", {"m": "b"}, ("m", "m#b"), id="a smaller one has the message's id"),
        pytest.param("c", {"m": "b", "m#c": "c"}, ("m#c", None), id="another again"),
        pytest.param("a", {"m": None}, ("m", None), id="what named no request is this one"),
        pytest.param(None, {"m": "b"}, ("m", None), id="what names none is the only one"),
    ],
)
def test_a_response_is_called_by_its_message_and_request(
    request_id: str | None, known: dict[str, str | None], expected: tuple[str, str | None]
) -> None:
    assert reconcile.named("m", request_id, known) == expected
