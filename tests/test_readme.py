"""What the README says of commands and settings is so."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from desktop import cli
from server.config import ENVIRONMENT, Config

_README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")
_COMMANDS = _README.partition("## Command line")[2].partition("## Settings")[0]
_SETTINGS = _README.partition("## Settings")[2].partition("## Where next")[0]
_TESTS_ONLY = "strict_writes"


def _verbs() -> list[str]:
    """The verbs in the first column of the table of commands."""
    cells = re.findall(r"^\| (`.*?) \|", _COMMANDS.replace(r"\|", " "), re.M)
    named = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    words = [text.removeprefix("brimline").split() for text in named]
    return [word[0] for word in words if word and re.fullmatch("[a-z-]+", word[0])]


def test_every_command_that_is_named_is_one() -> None:
    actions = cli._parser()._subparsers
    assert actions
    known = next(
        action.choices
        for action in actions._group_actions
        if isinstance(action, argparse._SubParsersAction)
    )
    assert len(_verbs()) > 30 and [verb for verb in _verbs() if verb not in known] == []


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENT) - {_TESTS_ONLY}))
def test_every_setting_of_the_start_is_named(name: str) -> None:
    assert f"`{ENVIRONMENT[name][0]}`" in _SETTINGS, "by its variable"
    assert f"`{name}`" in _SETTINGS, "and as config.toml has it"


@pytest.mark.parametrize("name", ["host", "port", "callback_host", "threads", "log_level"])
def test_the_defaults_are_the_program_s(name: str) -> None:
    row = next(line for line in _SETTINGS.splitlines() if f"`{ENVIRONMENT[name][0]}`" in line)
    variables, defaults = (re.findall(r"`([^`]+)`", cell) for cell in row.split("|")[1:3])
    assert defaults[variables.index(ENVIRONMENT[name][0])] == str(getattr(Config, name))


def test_every_file_that_is_linked_is_there() -> None:
    root = Path(__file__).resolve().parent.parent
    links = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", _README)
    places = [one or other for one, other in links if "://" not in one + other]
    assert len(places) > 6 and [place for place in places if not (root / place).exists()] == []
