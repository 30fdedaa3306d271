"""Calls and threads sorted by names: every row once, in the order that is shown."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from server.config import Config
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from server.usage import calls, slices
from tests.rollouts import Tree


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """The app over a tree with titles, with none, and with calls of no session."""
    folder = tmp_path_factory.mktemp("titled")
    config = Config(
        data_dir=folder / "data", codex_home=folder / "codex", claude_home=folder / "claude",
        port=80, strict_writes=True,
    )  # fmt: skip
    Tree(config.codex_home, seed=8, body=20).grow(20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIMLINE_NO_KEYRING", "1")
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        app = create_app(config)
        Indexer(config, Ledger()).scan()
        with db.writing("calls") as connection:
            for number, title in enumerate(("same", None, "Über", "über 'x' %", "\U0001f600 a")):
                connection.execute(
                    "update thread set title = ? where rowid % 5 = ?", (title, number)
                )
            connection.execute(
                "update call set session = null where rowid in (select rowid from call limit 3)"
            )
        slices.forget()
        with app.test_client() as made:
            yield made
        db.close_databases()


def get(client: FlaskClient, path: str, **query: Any) -> Any:
    answer = client.get(path, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def everything(client: FlaskClient, what: str, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        answer = get(client, f"/api/{what}", limit=7 if what == "threads" else 41, cursor=cursor,
                     **asked)  # fmt: skip
        found += answer[what]
        cursor = answer["nextCursor"]
    assert len({row["id"] for row in found}) == len(found) == answer["total"] > 5
    return found


def folded(title: str | None) -> str:
    """As SQLite compares without case: ASCII letters only; what has no title comes last."""
    if not title:
        return chr(0x10FFFF)
    return "".join(char.lower() if char.isascii() else char for char in title)


@pytest.mark.parametrize("sort", ["thread", "model", "effort"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({}, id="all"),
        pytest.param({"from": "2026-05-29", "to": "2026-06-05"}, id="some days"),
        pytest.param({"effort": "high"}, id="an effort"),
        pytest.param({"q": "project-"}, id="a text"),
        pytest.param({"privacy": "redacted"}, id="names hidden"),
    ],
)
def test_threads_are_sorted_by_what_is_shown(
    client: FlaskClient, sort: str, direction: str, asked: dict[str, str]
) -> None:
    rows = everything(client, "threads", sort=sort, direction=direction, **asked)
    if sort == "thread":
        # Titles that are hidden must not show in the order either.
        hidden = "privacy" in asked
        shown = [("" if hidden else folded(row["title"]), row["id"]) for row in rows]
    else:
        shown = [(row[f"{sort}s"][0]["name"] or "", row["id"]) for row in rows]
    assert shown == sorted(shown, reverse=direction == "desc")


@pytest.mark.parametrize("sort", ["thread", "model", "effort", "project"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("few", [0, 2000], ids=["many calls", "few calls"])
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({}, id="all"),
        pytest.param({"model": "gpt-5.5"}, id="a model"),
        pytest.param({"q": "project-"}, id="a text"),
        pytest.param({"preset": "usage-credits"}, id="a preset"),
        pytest.param({"privacy": "strict"}, id="names hidden"),
    ],
)
def test_calls_are_sorted_by_name_and_within_it_the_newest_first(
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    sort: str,
    direction: str,
    few: int,
    asked: dict[str, str],
) -> None:
    monkeypatch.setattr(calls, "_FEW", few)
    found = everything(client, "calls", sort=sort, direction=direction, **asked)
    if sort == "project" and "privacy" in asked:
        # The order of hidden names would tell them.
        assert_in_time(found, direction)
        return
    names = []
    times: dict[Any, list[str]] = {}
    for row in found:
        name = (name_of(row, "privacy" in asked),) if sort == "thread" else (row[sort] or "",)
        names.append(name)
        times.setdefault(name, []).append(row["at"])
    last = chr(0x10FFFF) if direction == "asc" else ""  # unknown comes last either way
    assert list(times) == sorted(
        times,
        key=lambda name: [last if one in ("", chr(0x10FFFF)) else one for one in parts(name)],
        reverse=direction == "desc",
    )
    for listed in times.values():
        assert listed == sorted(listed, reverse=True)
    changes = sum(one != other for one, other in itertools.pairwise(names))
    assert changes == len(times) - 1  # each name's calls stand together


def assert_in_time(found: list[dict[str, Any]], direction: str) -> None:
    moments = [row["at"] for row in found]
    assert moments == sorted(moments, reverse=direction == "desc")


def parts(name: tuple[Any, ...]) -> tuple[str, ...]:
    """A name of any sort, title and thread apart."""
    return name[0] if isinstance(name[0], tuple) else name


def name_of(row: dict[str, Any], hidden: bool) -> tuple[str, str]:
    title = "" if hidden else folded(row["threadTitle"])
    return title, row["threadId"] or chr(0x10FFFF)
