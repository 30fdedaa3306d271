"""What the ledger makes of logs that tell of one session, in any order in which they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.config import Config
from server.ingest import codex, gather, scan
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from tests.rollouts import stamp, usage

PARENT, FORK = "01a1fbcb-e8bc-7dd2-83d4-179bf38e0000", "01a1fbcb-e8bc-7dd2-83d4-179bf38e0001"
OTHER = "00000000-0000-4000-8000-000000000001"
BEGUN = 1_780_000_000_000
NAME = "rollout-2026-06-01T10-00-00-{}.jsonl"
CALLS = [(1000, 0, 100, 0), (1500, 0, 100, 0), (2000, 0, 100, 0), (500, 0, 10, 0)]


@pytest.fixture(params=["compiled", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled part, and without it."""
    if request.param == "python":
        monkeypatch.setattr(codex, "usual", None)
    elif codex.usual is None:
        pytest.skip("nothing is compiled here")


def line(kind: str, payload: dict[str, Any], at: int) -> bytes:
    told = {"timestamp": stamp(at), "type": kind, "payload": payload}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def meta(thread: str, at: int = BEGUN, **more: Any) -> bytes:
    told = {"id": thread, "timestamp": stamp(at), "cwd": "/p", "source": "exec", **more}
    return line("session_meta", told, at)


def counts(first: int, last: int, at: int, step: int = 1000) -> list[bytes]:
    """The counts of the calls `first` to `last`, as an older client wrote them."""
    found = []
    for number in range(first, last):
        a, b, c, d = map(sum, zip(*CALLS[: number + 1], strict=True))
        info = {
            "total_token_usage": usage((a, b, c, d)),
            "last_token_usage": usage(CALLS[number]),
            "model_context_window": 258_400,
        }
        payload = {"type": "token_count", "info": info, "rate_limits": None}
        found.append(line("event_msg", payload, at + number * step))
    return found


def turn(name: str, at: int) -> bytes:
    payload = {"turn_id": name, "cwd": "/p", "model": "gpt-5.5", "effort": "high"}
    return line("turn_context", payload, at)


def parent() -> bytes:
    return b"".join([meta(PARENT), turn("t1", BEGUN), *counts(0, 2, BEGUN)])


def fork(last: int = 3) -> bytes:
    """Its head is the parent's, written with the time of the fork; the calls 2 to `last` follow."""
    at = BEGUN + 30_000
    head = [meta(FORK, at, forked_from_id=PARENT), meta(PARENT, at), turn("t1", at)]
    own = [turn("t9", at + 10_000), *counts(2, last, at + 11_000)] if last > 2 else []
    return b"".join([*head, *counts(0, min(last, 2), at, step=0), *own])


COPIES = [
    pytest.param(NAME.format(FORK + "-copy"), id="a word behind its name"),
    pytest.param(NAME.format(FORK + " (1)"), id="as a file manager calls it"),
    pytest.param(NAME.format(OTHER), id="another thread's name"),
    pytest.param("copy of a log.jsonl", id="a name of its own"),
]
ORDERS = [
    pytest.param(["pfc"], [3], id="all at once"),
    pytest.param(["pf", "c"], [3, 3], id="the copy later"),
    pytest.param(["pc", "f"], [3, 3], id="the copy first"),
    pytest.param(["p", "c"], [2, 3], id="only the copy"),
    pytest.param(["fc", "p"], [1, 3], id="the parent last"),
    pytest.param(["f", "c", "p"], [1, 1, 3], id="one after the other"),
    pytest.param(["c", "f", "p"], [1, 1, 3], id="the copy before all"),
]


def put(config: Config, name: str, data: bytes) -> Path:
    path = config.codex_home / "sessions/2026/06/01" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def bring(config: Config, *, alone: bool) -> int:
    """Bring the ledger up to date; returns its calls, of which the days have as many."""
    indexer = Indexer(config, Ledger(), alone=alone)
    indexer.scan()
    indexer.stop()
    calls = int(scan.totals()["calls"])
    for heading in ("model", "project", "account"):
        said = db.rows("select total(calls) from daily_usage where heading = ?", (heading,))
        assert said[0][0] == calls
    return calls


@pytest.mark.usefixtures("database")
class TestCopies:
    """A copy of a fork's log begins with the same head, which counts no more than the fork's."""

    @pytest.mark.usefixtures("way")
    @pytest.mark.parametrize("alone", [True, False])
    @pytest.mark.parametrize("copy", COPIES)
    @pytest.mark.parametrize(("steps", "calls"), ORDERS)
    def test_a_copy_of_a_fork_adds_nothing(
        self, config: Config, steps: list[str], calls: list[int], copy: str, alone: bool
    ) -> None:
        files = {
            "p": (NAME.format(PARENT), parent()),
            "f": (NAME.format(FORK), fork()),
            "c": (copy, fork()),
        }
        seen = []
        for step in steps:
            for one in step:
                put(config, *files[one])
            seen.append(bring(config, alone=alone))
        assert seen == calls

    @pytest.mark.parametrize("alone", [True, False])
    @pytest.mark.parametrize("last", [1, 2, 4])
    @pytest.mark.parametrize("steps", ["pfc", "pcf", "fcp", "cfp", "fpc", "cpf"])
    def test_a_copy_may_be_shorter_or_longer(
        self, config: Config, steps: str, last: int, alone: bool
    ) -> None:
        files = {
            "p": (NAME.format(PARENT), parent()),
            "f": (NAME.format(FORK), fork()),
            "c": (NAME.format(FORK + "-copy"), fork(last)),
        }
        for one in steps:
            put(config, *files[one])
            calls = bring(config, alone=alone)
        assert calls == max(3, last)
        head = db.rows("select inherited, guessed from session where key = ?", (FORK,))
        assert head == [(2, 0)]

    @pytest.mark.parametrize("alone", [True, False])
    @pytest.mark.parametrize("steps", ["pfc", "pcf"])
    def test_a_session_stays_with_the_log_that_told_of_its_calls(
        self, config: Config, steps: str, alone: bool
    ) -> None:
        files = {
            "p": (NAME.format(PARENT), parent()),
            "f": (NAME.format(FORK), fork()),
            "c": (NAME.format(FORK + "-copy"), fork(4)),
        }
        paths = {}
        for one in steps:
            paths[one] = str(put(config, *files[one]))
            bring(config, alone=alone)
        found = db.rows(
            "select f.path, s.ended_at = (select max(started_at) from call where session = s.id) "
            "from session s join source_file f on f.id = s.source where s.key = ?",
            (FORK,),
        )
        assert found == [(paths[steps[1]], 1)]
        told = [list(gather._calls_of(number)) for (number,) in db.rows(
            "select id from source_file where path <> ? order by path = ? desc",
            (paths["p"], paths[steps[1]]),
        )]  # fmt: skip
        assert [len(one) for one in told] == [1, 1], "of two logs the first by name tells"


def record(thread: str, name: str, at: int = BEGUN + 2000) -> bytes:
    told = {
        "thread_id": thread, "turn_id": "t1", "session_id": thread, "root_turn_id": "t1",
        "response_id": name, "usage": usage(CALLS[0], written=True),
        "turn_token_usage": usage(CALLS[0], written=True),
        "thread_token_usage": usage(CALLS[0], written=True),
    }  # fmt: skip
    return line("token_usage_record", told, at)


def sessions() -> dict[str, list[str]]:
    """The calls that each session has."""
    found: dict[str, list[str]] = {}
    for key, name in db.rows(
        "select session.key, call.id from call join session on session.id = call.session "
        "order by call.id"
    ):
        found.setdefault(key, []).append(name)
    return found


@pytest.mark.usefixtures("database", "way")
@pytest.mark.parametrize("alone", [True, False])
class TestWhoseLog:
    """A log is the thread's that its name tells where a head or a call in it says so."""

    @pytest.mark.parametrize(
        ("lines", "counted"),
        [
            pytest.param(
                [meta(PARENT), meta(FORK), turn("t1", BEGUN), record(FORK, "r1")],
                {FORK: ["r1"]},
                id="another's head comes first",
            ),
            pytest.param(
                [meta(PARENT), record(PARENT, "r0"), meta(FORK), record(FORK, "r1")],
                {FORK: ["r1"]},
                id="another's head and call come first",
            ),
            pytest.param(
                [meta(PARENT), turn("t1", BEGUN), record(FORK, "r1"), record(PARENT, "r0")],
                {FORK: ["r1"]},
                id="its own head is gone",
            ),
            pytest.param(
                [meta(PARENT), turn("t1", BEGUN), record(PARENT, "r0")],
                {PARENT: ["r0"]},
                id="a log that was renamed",
            ),
            pytest.param(
                [meta(PARENT), turn(FORK, BEGUN), record(PARENT, "r0")],
                {PARENT: ["r0"]},
                id="a log that was renamed and names the other elsewhere",
            ),
            pytest.param(
                [meta(FORK), meta(PARENT), record(PARENT, "r0"), record(FORK, "r1")],
                {FORK: ["r1"]},
                id="as a fork is written",
            ),
            pytest.param([record(FORK, "r1")], {FORK: ["r1"]}, id="no head at all"),
            pytest.param([record(PARENT, "r0")], {PARENT: ["r0"]}, id="no head, another's call"),
        ],
    )
    def test_its_calls_are_counted(
        self, config: Config, lines: list[bytes], counted: dict[str, list[str]], alone: bool
    ) -> None:
        put(config, NAME.format(FORK), b"".join(lines))
        bring(config, alone=alone)
        assert sessions() == counted

    @pytest.mark.parametrize(
        "late",
        [
            pytest.param([meta(FORK), record(FORK, "r1")], id="its head"),
            pytest.param([record(FORK, "r1")], id="only its call"),
        ],
    )
    def test_what_comes_later_may_tell(
        self, config: Config, late: list[bytes], alone: bool
    ) -> None:
        begun = [meta(PARENT), turn("t1", BEGUN), record(PARENT, "r0")]
        path = put(config, NAME.format(FORK), b"".join(begun))
        bring(config, alone=alone)
        assert sessions() == {PARENT: ["r0"]}
        with path.open("ab") as file:
            file.write(b"".join(late))
        bring(config, alone=alone)
        assert sessions() == {FORK: ["r1"]}
