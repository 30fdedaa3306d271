"""Two folders of one name are two projects: on every page, in every order, in every mode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.app import Services
from server.ingest.indexer import Indexer
from server.ingest.ledger import Ledger
from server.store import db
from server.usage import ownfiles, privacy, slices
from tests.claudelogs import ClaudeLog
from tests.rollouts import Tree
from tests.serving import whole_app

KEY = re.compile(r"#[0-9a-f]{8}\b")
ONE, TWO, WEB, WINDOWS = "/one/api", "/two/api", "/two/web", "C:\\\\three\\\\api"
PAGES = (
    "/api/summary?by=project&limit=0", "/api/summary?by=thread&limit=0", "/api/calls?limit=500",
    "/api/threads?limit=500", "/api/calls/options", "/api/trends?by=project&from=first",
    "/api/exports/calls.csv", "/api/exports/threads.csv", "/api/usage?limit=all",
    "/api/exports/days.csv?by=project&from=first", "/api/diagnostics/concentration",
    "/api/diagnostics/summary", "/api/insights", "/api/usage/files",
    "/api/summary?by=cwd&limit=0", "/api/summary?by=tag&limit=0",
)  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    with whole_app(tmp_path) as app, app.test_client() as made:
        yield made


def services(client: FlaskClient) -> Services:
    found: Services = client.application.extensions["brimline"]
    return found


def written(client: FlaskClient, seed: int, cwd: str, kind: str = "modern") -> None:
    """A log of a session that worked in `cwd`."""
    tree = Tree(services(client).config.codex_home, seed=seed, body=20)
    one = getattr(tree, kind)()
    told = cwd.encode()
    one.lines = [re.sub(rb"/home/dev/project-\d", lambda _: told, line) for line in one.lines]
    tree.save(one)


def scan(client: FlaskClient) -> None:
    services(client).indexer.scan(wait=True)
    slices.keep()


def get(client: FlaskClient, path: str, **asked: Any) -> Any:
    answer = client.get(path, query_string=asked)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def groups(client: FlaskClient, **asked: Any) -> dict[str, int]:
    """The calls of each project, the same wherever they are told."""
    found = get(client, "/api/summary", by="project", limit=0, **asked)["groups"]
    told = {group["project"]: group["calls"] for group in found}
    assert len(told) == len(found)
    assert sorted(told, key=str.casefold) == get(client, "/api/calls/options", **asked)["projects"]
    assert set(get(client, "/api/trends", by="project", **{"from": "first"}, **asked)["names"]) == (
        set(told)
    )
    for name, calls in told.items():
        listed = get(client, "/api/calls", project=name, limit=500, **asked)
        assert (listed["total"], {row["project"] for row in listed["calls"]}) == (calls, {name})
        threads = get(client, "/api/threads", project=name, limit=500, **asked)
        assert threads["totals"]["calls"] == calls
        assert {row["project"] for row in threads["threads"]} == {name}
    return told


def exact() -> None:
    """The rollups are what the calls add up to."""
    said = db.rows("select heading, name, calls, input, output from daily_usage order by 1, 2, 3")
    with db.writing("calls") as connection:
        Ledger().rebuild(connection)
    assert said == db.rows(
        "select heading, name, calls, input, output from daily_usage order by 1, 2, 3"
    )
    assert slices._differences() is None


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
def test_the_order_of_logs_makes_no_difference(
    client: FlaskClient, at_once: bool, turned: bool
) -> None:
    logs = [(1, ONE, "modern"), (2, TWO, "legacy"), (3, WEB, "modern"), (4, ONE + "/", "legacy"),
            (5, WINDOWS, "modern")]  # fmt: skip
    for seed, cwd, kind in reversed(logs) if turned else logs:
        written(client, seed, cwd, kind)
        if not at_once:
            scan(client)
    scan(client)
    told = groups(client)
    assert sorted(told) == ["one/api", "three/api", "two/api", "web"]
    exact()
    truth = dict(
        db.rows(
            "select case s.cwd when ? then ? else s.cwd end, count(*) from call c "
            "join session s on s.id = c.session group by 1",
            (ONE + "/", ONE),
        )
    )
    assert {told["one/api"], told["web"]} <= set(truth.values())
    assert told["one/api"] == truth[ONE] and told["two/api"] == truth[TWO]


def test_a_name_grows_when_a_second_folder_of_it_comes(client: FlaskClient) -> None:
    written(client, 1, ONE)
    scan(client)
    before = groups(client)
    assert list(before) == ["api"]
    written(client, 2, TWO, "legacy")
    scan(client)
    after = groups(client)
    assert after["one/api"] == before["api"] and set(after) == {"one/api", "two/api"}
    both = get(client, "/api/calls", project="api")["total"]
    assert both == sum(after.values()), "an old address finds both"
    assert get(client, "/api/calls", project="/two/api")["total"] == after["two/api"]
    assert get(client, "/api/calls", q="two/api")["total"] == after["two/api"]
    assert get(client, "/api/calls", project="nobody/api")["total"] == 0
    exact()
    written(client, 3, "/x/one/api")
    scan(client)
    assert set(groups(client)) == {"/one/api", "x/one/api", "two/api"}
    assert get(client, "/api/calls", project="two/api")["total"] == after["two/api"]


def test_a_folder_whose_calls_went_leaves_the_name_to_the_other(client: FlaskClient) -> None:
    written(client, 1, ONE)
    written(client, 2, TWO)
    scan(client)
    assert set(groups(client)) == {"one/api", "two/api"}
    ledger = Ledger()
    for (source,) in db.rows("select source from session where cwd = ?", (TWO,)):
        with db.writing("calls") as connection:
            ledger.take_back(connection, [source])
            ledger.flush(connection)
    slices.keep()
    assert set(groups(client)) == {"api"}


def test_a_session_that_first_had_no_calls_tells_its_project(
    client: FlaskClient, tmp_path: Path
) -> None:
    written(client, 1, ONE)
    (log,) = services(client).config.codex_home.rglob("*.jsonl")
    whole = log.read_bytes()
    log.write_bytes(whole[: whole.index(b"\n") + 1])
    scan(client)
    services(client).indexer.__dict__["_ledger"] = Ledger()  # as after a restart
    log.write_bytes(whole)
    scan(client)
    written(client, 2, TWO)
    scan(client)
    assert set(groups(client)) == {"one/api", "two/api"}


def test_a_folder_that_is_renamed_frees_the_name(client: FlaskClient) -> None:
    written(client, 1, "/home/me/x/secret-project")
    log = ClaudeLog(1)
    log.run("m1", "Bash", command="ls")
    home = services(client).config.claude_home
    log.save(home)
    scan(client)
    assert set(groups(client)) == {"me/secret-project", "x/secret-project"}
    place = home / "projects"
    (place / "-home-me-secret-project").rename(place / "-home-me-open-project")
    scan(client)
    assert set(groups(client)) == {"open-project", "secret-project"}


def test_a_work_tree_is_its_project(client: FlaskClient, tmp_path: Path) -> None:
    main, tree = tmp_path / "code" / "shop", tmp_path / "trees" / "shop"
    (main / ".git" / "worktrees" / "shop").mkdir(parents=True)
    (main / "src").mkdir()
    tree.mkdir(parents=True)
    (tree / ".git").write_text(f"gitdir: {main}/.git/worktrees/shop\n")
    written(client, 1, (main / "src").as_posix())
    written(client, 2, tree.as_posix())
    written(client, 3, "/elsewhere/shop")
    scan(client)
    told = groups(client)
    assert set(told) == {"code/shop", "elsewhere/shop"}
    (tree / ".git").unlink()  # removed since; more of the log comes, read by another process
    log = next(services(client).config.codex_home.rglob("*.jsonl"))
    indexer = Indexer(services(client).config, Ledger())
    for path in sorted(log.parent.glob("*.jsonl")):
        path.write_bytes(path.read_bytes() + b'{"timestamp":"2026-06-01T00:00:00Z"}\n')
    indexer.scan()
    db.touch("calls")
    assert groups(client) == told
    exact()


def test_removed_work_trees_of_the_app_count_for_the_one_project_of_their_name(
    client: FlaskClient,
) -> None:
    for seed, number in enumerate(("1f2e", "9a0b"), 1):
        written(client, seed, f"/home/.codex/worktrees/{number}/shop", "legacy")
    scan(client)
    assert list(groups(client)) == ["shop"], "all of a name are one"
    trees = groups(client)["shop"]
    written(client, 3, "/src/shop/")
    scan(client)
    told = groups(client)
    assert list(told) == ["shop"] and told["shop"] > trees
    ownfiles.write(
        "projects.json", {"aliases": {"/src/shop": "Till"}, "tags": {"src/shop": ["side"]}}
    )
    for mode in privacy.MODES:
        assert groups(client, privacy=mode) == {"Till": told["shop"]}
    assert get(client, "/api/calls", tag="side")["total"] == told["shop"]
    assert get(client, "/api/calls", project="/src/shop")["total"] == told["shop"]
    assert get(client, "/api/calls", q="till")["total"] == told["shop"]
    found = client.post("/api/diagnostics/concentration/refresh").get_json()["dimensions"]
    (rows,) = (one["top_rows"] for one in found if one["dimension"] == "cwd")
    assert [row["project"] for row in rows] == ["Till"] and rows[0]["share"] == 1
    ownfiles.path("projects.json").unlink()
    written(client, 4, "/old/shop")
    scan(client)
    assert set(groups(client)) == {"worktrees/shop", "src/shop", "old/shop"}
    exact()


def test_what_a_request_told_first_counts_for_the_project_of_its_log(client: FlaskClient) -> None:
    written(client, 1, ONE)
    scan(client)
    calls = groups(client)
    with db.writing("calls") as connection:
        connection.execute("update session set project = null, source = null, cwd = null")
        connection.execute("update call set seen = 2, source = null")
        connection.execute("delete from source_file")
        connection.execute("delete from project")
        Ledger().rebuild(connection)
    slices.forget()
    Indexer(services(client).config, Ledger()).scan()
    slices.keep()
    assert groups(client) == calls
    exact()


def test_the_users_names_and_tags_go_by_path_before_name(client: FlaskClient) -> None:
    for seed, cwd in enumerate((ONE, TWO, WEB, WINDOWS), 1):
        written(client, seed, cwd)
    scan(client)
    plain = groups(client)
    ownfiles.write(
        "projects.json",
        {
            "aliases": {ONE + "/": "Shop", "api": "Others", "c:\\three\\API": "Till", "x/web": "W"},
            "tags": {"/two/api": ["side"], "api": ["server"], "two/web": ["page"]},
        },
    )
    found = groups(client)
    assert found == {
        "Shop": plain["one/api"], "Others": plain["two/api"], "Till": plain["three/api"],
        "W": plain["web"],
    }  # fmt: skip
    tagged = {
        tag: get(client, "/api/calls", tag=tag)["total"] for tag in ("side", "server", "page")
    }
    assert tagged == {
        "side": plain["two/api"], "page": plain["web"],
        "server": plain["one/api"] + plain["two/api"] + plain["three/api"],
    }  # fmt: skip
    summed = get(client, "/api/summary", by="tag", limit=0)["groups"]
    assert {row["name"]: row["calls"] for row in summed} == tagged
    assert get(client, "/api/calls", project="one/api")["total"] == plain["one/api"]
    for mode in privacy.MODES:
        assert groups(client, privacy=mode) == found, "an alias is meant to be seen"
    ownfiles.write("projects.json", {"aliases": {"api": "Shop"}})
    whole = sum(calls for name, calls in plain.items() if name != "web")
    assert groups(client) == {"Shop": whole, "web": plain["web"]}, "one name, one group"


@pytest.mark.parametrize("mode", privacy.MODES)
def test_no_page_tells_a_key_and_no_mode_a_path(client: FlaskClient, mode: str) -> None:
    for seed, cwd in enumerate((ONE, TWO, WEB, WINDOWS), 1):
        written(client, seed, cwd)
    scan(client)
    assert client.post("/api/diagnostics/refresh").status_code == 200
    for page in PAGES:
        answer = client.get(f"{page}{'&' if '?' in page else '?'}privacy={mode}")
        assert answer.status_code == 200, (page, answer.text)
        assert not KEY.search(answer.text), page
        if mode != "normal":
            assert not re.search(r"(one|two|three)[/\\]+(api|web)", answer.text), page
    told = groups(client, privacy=mode)
    assert len(told) == 4
    if mode != "normal":
        assert all(re.fullmatch("Project [0-9a-f]{8}", name) for name in told)
        assert get(client, "/api/calls", project="api", privacy=mode)["total"] == 0
        assert get(client, "/api/calls", q="two/api", privacy=mode)["total"] == 0
