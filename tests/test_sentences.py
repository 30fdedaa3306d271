"""Sentences of the server that pages show: each is read back, and is in every language."""

from __future__ import annotations

import errno
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from server.sentences import SENTENCES, misplaced, say, told, why

LOCALES = Path(__file__).resolve().parent.parent / "ui" / "src" / "locales"
INVENTED = {
    "name": "ada@example.com (plus, 1a2b)",
    "left": 71,
    "points": 22,
    "count": 3,
    "status": 503,
    "taken": 1455,
    "port": 1457,
    "ports": "1455, 1457",
    "window": "Spark 5 h",
    "words": "no “such” thing.",
    "file": "usage.db",
    "aside": "usage.db.corrupt-1",
    "copy": "usage-1.db",
    "seconds": 20,
    "since": "2026-11-21 14:50 UTC",
    "least": 8,
    "most": 200,
    "kind": "cacheWrite",
    "why": "disk is full",
    "field": "access_token",
    "host": "0.0.0.0",
    "usual": "0.3",
    "line": "3",
    "column": "14",
    "value": "NaN",
    "sign": "}",
    "given": "120",
    "folder": "/home/ada/.local/share/brimline",
}
NESTED: dict[str, Any] = {
    "room": {"key": "room.left", "values": {"left": 71}},
    "outcome": {"key": "outcome.status", "values": {"status": 503}},
    "reason": {"key": "state.expired", "values": {}},
}
PLURAL = re.compile(r"_(zero|one|two|few|many|other)$")


def names(sentence: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", sentence))


@pytest.mark.parametrize("key", SENTENCES)
def test_what_is_said_is_read_back(key: str) -> None:
    values: dict[str, Any] = {name: INVENTED.get(name) for name in names(SENTENCES[key])}
    expected = dict(values)
    for name, inner in NESTED.items():
        if name in values:
            values[name] = say(inner["key"], **inner["values"])
            expected[name] = inner
    assert told(say(key, **values)) == {"key": key, "values": expected}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="nothing"),
        pytest.param("", id="empty"),
        pytest.param("The model is not supported with this plan.", id="the provider's own words"),
        pytest.param("x" * 5000, id="long"),
    ],
)
def test_any_other_text_has_no_key(text: str | None) -> None:
    assert told(text) is None


@pytest.mark.parametrize(
    "how",
    [
        "could not be reached",
        "could not be reached safely: its certificate was not accepted",
        "did not answer in time",
        "ended the connection early",
    ],
)
def test_how_a_server_was_not_reached_is_read_back(how: str) -> None:
    for server, keys in (("The provider", "usage."), ("The sign-in server", "signin.")):
        found = told(f"{server} {how}. Check the network.")
        assert found is not None and found["key"].startswith(keys)


def test_a_room_that_is_not_known_here_stays_text() -> None:
    assert told("its turn") == {"key": "choice.turn", "values": {}}
    assert told("most headroom, half") == {"key": "choice.most", "values": {"room": "half"}}


@pytest.mark.parametrize("language", sorted(path.stem for path in LOCALES.glob("*.json")))
def test_every_sentence_is_in_every_language(language: str) -> None:
    catalogue = json.loads((LOCALES / f"{language}.json").read_text())
    there: dict[str, list[str]] = {}
    for key, sentence in catalogue.items():
        if key.startswith("say."):
            there.setdefault(PLURAL.sub("", key.removeprefix("say.")), []).append(sentence)
    assert set(there) == set(SENTENCES)
    for key, sentences in there.items():
        for sentence in sentences:
            shown = set(re.findall(r"\{\{(\w+)(?:, number)?\}\}", sentence))
            assert shown | {"count"} == names(SENTENCES[key]) | {"count"}, (key, sentence)


@pytest.mark.parametrize(
    ("error", "key"),
    [
        pytest.param(PermissionError(13, "Permission denied"), "why.permission", id="not ours"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), "why.full", id="full"),
        pytest.param(json.JSONDecodeError("Extra data", "{}x", 2), "why.json", id="a place in it"),
        pytest.param(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "why.utf8", id="no text"),
        pytest.param(RecursionError("too deep"), "why.nested", id="braces without end"),
        pytest.param(ValueError(say("why.noModel")), "why.noModel", id="a sentence of ours"),
    ],
)
def test_why_a_file_does_not_hold_is_said_anew(error: Exception, key: str) -> None:
    found = told(say("own.broken", file="pricing.json", why=why(error)))
    assert found is not None and found["key"] == "own.broken"
    assert found["values"]["why"]["key"] == key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a = 1\nb c", {"line": "2", "column": "3"}, id="a place"),
        pytest.param('a = """', None, id="the end"),
    ],
)
def test_where_toml_is_broken_is_said_anew(text: str, expected: dict[str, str] | None) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as broken:
        tomllib.loads(text)
    found = told(say("connect.toml", why=misplaced(broken.value)))
    assert found is not None
    wanted = (
        {"key": "why.place", "values": expected} if expected else {"key": "why.cut", "values": {}}
    )
    assert found["values"]["why"] == wanted
