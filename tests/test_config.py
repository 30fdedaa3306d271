"""Where each boot value comes from, and what a bad one says."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from desktop import autostart, quick
from server import config
from server.config import Config, ConfigError, load, shown
from server.ingest import files


def read(
    tmp_path: Path, toml: str = "", flags: dict[str, object] | None = None, **env: str
) -> tuple[config.Config, list[str]]:
    path = tmp_path / "config.toml"
    path.write_text(toml, encoding="utf-8")
    return load(flags, {"HOME": str(tmp_path), "BRIMLINE_CONFIG": str(path), **env})


def test_defaults(tmp_path: Path) -> None:
    found, warnings = read(tmp_path)
    assert (found.host, found.port, warnings) == ("127.0.0.1", 2455, [])
    assert found.codex_home == tmp_path / ".codex"
    assert found.claude_home == tmp_path / ".claude"
    assert found.upstream_base_url == "https://chatgpt.com/backend-api"


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    assert read(tmp_path, "port = 1")[0].port == 1
    assert read(tmp_path, "port = 1", BRIMLINE_PORT="2")[0].port == 2
    assert read(tmp_path, "port = 1", {"port": 3}, BRIMLINE_PORT="2")[0].port == 3


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("CODEX_LB_ADMIN_API_TOKEN", "t" * 32, "admin_token", "t" * 32),
        ("CODEX_USAGE_SERVER_HOST", "127.0.0.2", "host", "127.0.0.2"),
        ("CODEX_USAGE_SERVER_PORT", "8765", "port", 8765),
        ("AI_USAGE_SERVER_HOST", "127.0.0.2", "host", "127.0.0.2"),
        ("AI_USAGE_SERVER_PORT", "8765", "port", 8765),
        ("AI_USAGE_CODEX_SESSIONS_ROOT", "/x/codex/sessions", "codex_home", Path("/x/codex")),
        ("AI_USAGE_CLAUDE_PROJECTS_ROOT", "/x/c/projects", "claude_home", Path("/x/c")),
        ("AI_USAGE_CLAUDE_PROJECTS_ROOT", "/x/c/logs", "projects_root", Path("/x/c/logs")),
        ("CODEX_USAGE_SESSIONS_ROOT", "/x/codex/sessions", "codex_home", Path("/x/codex")),
        ("CODEX_USAGE_CLAUDE_PROJECTS_ROOT", "/x/c/projects", "claude_home", Path("/x/c")),
        ("CODEX_LB_OAUTH_CALLBACK_HOST", "0.0.0.0", "callback_host", "0.0.0.0"),
        ("BRIMLINE_OAUTH_CALLBACK_HOST", "localhost", "callback_host", "127.0.0.1"),
        ("CODEX_HOME", "/x/codex", "codex_home", Path("/x/codex")),
        ("CLAUDE_CONFIG_DIR", "/x/claude", "claude_home", Path("/x/claude")),
        ("BRIMLINE_UPSTREAM_BASE_URL", "http://h:1/a/", "upstream_base_url", "http://h:1/a"),
    ],
)
def test_names_of_the_seeds_work(
    tmp_path: Path, variable: str, value: str, field: str, expected: object
) -> None:
    assert getattr(read(tmp_path, **dict[str, Any]({variable: value}))[0], field) == expected


def test_our_name_beats_the_seed_name(tmp_path: Path) -> None:
    env: Any = {"BRIMLINE_CODEX_HOME": "/ours", "CODEX_HOME": "/theirs"}
    assert read(tmp_path, **env)[0].codex_home == Path("/ours")


@pytest.mark.parametrize("nothing", ["", " ", "\t"])
def test_empty_means_unset(tmp_path: Path, nothing: str) -> None:
    names: Any = {name: nothing for names in config.ENVIRONMENT.values() for name in names}
    flags: Any = {"host": nothing, "port": nothing, "data_dir": nothing}
    empty = "".join(f'{key} = "{nothing}"\n' for key in config.ENVIRONMENT).replace("\t", "\\t")
    found, warnings = read(tmp_path, empty, flags, BRIMLINE_CONFIG="", **names)
    assert (found, warnings) == read(tmp_path, "")


@pytest.mark.parametrize(
    ("given", "host"),
    [
        pytest.param("[::1]", "::1", id="as in an address"),
        pytest.param(" localhost ", "localhost", id="from a file with blanks"),
        pytest.param("müller.local", "müller.local", id="another alphabet's name"),
    ],
)
def test_how_a_host_may_be_written(tmp_path: Path, given: str, host: str) -> None:
    assert read(tmp_path, "", {"host": given})[0].host == host


@pytest.mark.parametrize("host", ["a b", "ä..b", "a" * 64 + ".com", "http://x", "[", "\0"])
def test_what_is_no_host(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="such as 127.0.0.1"):
        read(tmp_path, "", {"host": host})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("host = 5", "host must be text in quotes", id="a number for text"),
        pytest.param("data_dir = {a = 1}", "data_dir must be text in quotes", id="a table"),
        pytest.param("admin_token = 1234567890123456", "admin_token must be text", id="the token"),
        pytest.param("port = true", "port must be a number", id="yes is no port"),
        pytest.param("port = 1.5", "port must be a number", id="half a port"),
        pytest.param("evidence = 2", "evidence must be true or false", id="neither on nor off"),
        pytest.param('evidence = "maybe"', "evidence must be on or off", id="undecided"),
        pytest.param('data_dir = "data"', "data_dir must be an absolute", id="here, or there"),
        pytest.param('data_dir = "/a\\u0000"', "data_dir is no path", id="what no path holds"),
        pytest.param('data_dir = "~nobody-at-all/x"', "data_dir cannot", id="nobody's home"),
        pytest.param("a = " + "[" * 10_000, "nested too deeply", id="very deep"),
    ],
)
def test_a_wrong_value_in_the_file_says_what_would_do(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read(tmp_path, line)
    assert "123456" not in caught.value.message


def test_a_file_may_begin_with_a_mark(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffport = 3")[0].port == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are none")
def test_a_pipe_is_no_config_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="it is a pipe"):
        config.load({}, {"HOME": str(tmp_path), "BRIMLINE_CONFIG": str(tmp_path / "pipe")})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no such base")
@pytest.mark.parametrize("base", ["share", "./share", "../share", "~/share"])
def test_a_relative_base_folder_is_ignored_and_said(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, warnings = read(tmp_path, XDG_DATA_HOME=base, XDG_CONFIG_HOME=base)
    assert found.data_dir == tmp_path / ".local" / "share" / "brimline"
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        assert f"{name} is not an absolute path, so it is ignored." in warnings
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", base)
    assert config.config_dir() == tmp_path / ".config" / "brimline"
    where = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": base}
    assert autostart.Xdg(where).path.parent == tmp_path / ".config" / "autostart"


def test_an_absolute_base_folder_counts(tmp_path: Path) -> None:
    found, warnings = read(tmp_path, XDG_DATA_HOME=str(tmp_path / "share"))
    assert (found.data_dir, warnings) == (tmp_path / "share" / "brimline", [])


def test_unknown_keys_are_reported(tmp_path: Path) -> None:
    _, warnings = read(tmp_path, "prot = 1", BRIMLINE_PROT="1")
    assert any("“prot”" in line for line in warnings)
    assert any("BRIMLINE_PROT" in line for line in warnings)


@pytest.mark.parametrize(
    ("env", "word"),
    [
        ({"BRIMLINE_PORT": "70000"}, "port"),
        ({"BRIMLINE_PORT": "abc"}, "port"),
        ({"BRIMLINE_UPSTREAM_BASE_URL": "chatgpt.com"}, "upstream_base_url"),
        ({"BRIMLINE_UPSTREAM_BASE_URL": "https://u:p@h"}, "upstream_base_url"),
        ({"BRIMLINE_LOG_LEVEL": "loud"}, "log_level"),
        ({"BRIMLINE_OAUTH_CALLBACK_HOST": "::"}, "callback_host"),
        ({"BRIMLINE_OAUTH_CALLBACK_HOST": "example.com"}, "callback_host"),
    ],
)
def test_bad_values_name_the_key(tmp_path: Path, env: Any, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **env)
    assert word in caught.value.message


def test_a_broken_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "port = = 1")
    assert "config.toml" in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        pytest.param("CODEX_USAGE_SESSIONS_ROOT", "/h/.codex/sessions", "", id="as it was"),
        pytest.param("CODEX_USAGE_SESSIONS_ROOT", "/h/logs", "", id="another name"),
        pytest.param("CODEX_USAGE_CLAUDE_PROJECTS_ROOT", "/h/c", "", id="Claude's"),
        pytest.param("CODEX_USAGE_DASHBOARD_HTML", "/h/index.html", "of its own", id="no file"),
        pytest.param("AI_USAGE_DASHBOARD_HTML", "/h/index.html", "of its own", id="newer name"),
        pytest.param("AI_USAGE_CODEX_SESSIONS_ROOT", "/h/logs", "", id="newer name of a folder"),
        pytest.param("AI_USAGE_PRICING_FILE", "/h/p.json", "update-pricing", id="prices"),
        pytest.param("AI_USAGE_PARSE_CACHE_FILE", "/h/c", "data folder", id="a cache"),
        pytest.param("AI_USAGE_RECALC_LOG_FILE", "/h/l", "data folder", id="a log"),
        pytest.param("AI_USAGE_PI_AGENT_ROOT", "/h/pi", "Codex and Claude", id="another tool"),
    ],
)
def test_names_of_the_token_dashboard(tmp_path: Path, name: str, value: str, said: str) -> None:
    _, warnings = config.load({}, {name: value, "HOME": str(tmp_path)})
    assert [said in one for one in warnings] == ([True] if said else [])


def test_the_token_dashboards_folders_may_have_any_name(tmp_path: Path) -> None:
    names = {
        "CODEX_USAGE_SESSIONS_ROOT": str(tmp_path / "logs"),
        "CODEX_USAGE_CLAUDE_PROJECTS_ROOT": str(tmp_path / "others"),
    }
    found, _ = config.load({}, {**names, "HOME": str(tmp_path)})
    assert (found.codex_home, found.claude_home) == (tmp_path / ".codex", tmp_path / ".claude")
    assert files.sessions_root(found) == names["CODEX_USAGE_SESSIONS_ROOT"]
    assert files.projects_roots(found) == [names["CODEX_USAGE_CLAUDE_PROJECTS_ROOT"]]
    elsewhere = {**names, "HOME": str(tmp_path), "BRIMLINE_CODEX_HOME": str(tmp_path / "own")}
    found, _ = config.load({}, elsewhere)  # our own name counts first
    assert files.sessions_root(found) == str(tmp_path / "own" / "sessions")


def test_a_short_admin_token_is_known_as_one() -> None:
    assert [Config(admin_token=token).short_token for token in ("", "x" * 15, "x" * 16)] == [
        False,
        True,
        False,
    ]


def test_a_path_is_written_as_people_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shown(tmp_path / ".codex") == str(Path("~/.codex"))
    assert shown(Path("/srv/codex")) == str(Path("/srv/codex"))


def test_several_homes_of_claude_may_have_spaces_around_them(tmp_path: Path) -> None:
    found, _ = read(tmp_path, CLAUDE_CONFIG_DIR=" /a , ~/b , /c ")
    homes = ["/a", str(Path("~/b").expanduser()), "/c"]
    assert files.projects_roots(found) == [f"{home}/projects" for home in homes]


@pytest.mark.parametrize("told", [True, False], ids=["by XDG", "the usual place"])
def test_the_newer_place_of_claude_is_read_as_well(tmp_path: Path, told: bool) -> None:
    settings = tmp_path / "settings" if told else tmp_path / ".config"
    said = str(settings) if told else ""
    older = f"{tmp_path}/.claude/projects"
    assert files.projects_roots(read(tmp_path, XDG_CONFIG_HOME=said)[0]) == [older]
    (settings / "claude" / "projects").mkdir(parents=True)
    found = files.projects_roots(read(tmp_path, XDG_CONFIG_HOME=said)[0])
    assert found == [older, f"{settings}/claude/projects"]
    shortly = quick.folders(None, {"HOME": str(tmp_path), "XDG_CONFIG_HOME": said})
    if sys.platform == "linux":
        assert shortly is not None
        assert files.projects_roots(shortly) == found
