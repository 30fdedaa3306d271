"""What a thread is called is stored without secrets, whoever named it."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from server.ingest import claude, lines
from server.ingest.redact import KINDS, redact
from server.ingest.titles import Titles

KEY = "sk-proj-Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"
ASKED = f"please run something {KEY} now"
SAID = "please run something [redacted openai_key] now"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        pytest.param(ASKED, SAID, id="a key"),
        pytest.param("password: abc9", "password: [redacted assignment]", id="a short word"),
        pytest.param(
            f"{'word ' * 13}sk-proj-Ab3dEf6hIj9kLm2nOp5qRs8t",
            f"{'word ' * 13}[redacted open…",
            id="cut after it was taken out",
        ),
        pytest.param("Kennwort: abc9", "Kennwort: [redacted password]", id="another language's"),
        pytest.param("ΚΩΔΙΚΌΣ: abc9", "ΚΩΔΙΚΌΣ: [redacted password]", id="in capitals"),
        pytest.param("mysql -pabc9 now", "mysql -p[redacted password] now", id="an option's"),
        pytest.param("fix\n the  tests", "fix the tests", id="no secret"),
        pytest.param("修复" * 30, "修复" * 30, id="another script"),
        pytest.param(f"   {' ' * 5000}go {KEY}", "go [redacted openai_key]", id="after spaces"),
        pytest.param("<context>", None, id="a program's"),
    ],
)
def test_a_title_has_no_secret(text: str, title: str | None) -> None:
    assert lines.one_line(text) == title


def test_a_prompt_of_claude_codes() -> None:
    line = json.dumps({"type": "user", "message": {"role": "user", "content": ASKED}})
    _, state = claude.fold(memoryview(f"{line}\n".encode()), 0, claude.State())
    assert state.title == SAID


def test_a_prompt_of_codex() -> None:
    line = json.dumps({"type": "event_msg", "payload": {"type": "user_message", "message": ASKED}})
    assert lines.title_of(line.encode()) == SAID


def test_names_of_codex_own_files(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state_5.sqlite")
    connection.execute("create table threads (id text, title text, name text)")
    connection.execute("insert into threads values ('a', ?, null)", (ASKED,))
    connection.commit()
    connection.close()
    named = {"id": "b", "thread_name": ASKED}
    (tmp_path / "session_index.jsonl").write_text(json.dumps(named) + "\n")
    titles = Titles(tmp_path)
    assert titles._from_database() == {"a": (SAID, "title")}
    assert titles._from_index() == {"b": (SAID, "index")}


MARKS = sorted({mark for kind in KINDS for mark in kind.marks})
LETTERS = (
    "abcdef", "abcdefghijklmnopqrstuvwxyz", "ABCDEF", "abcXYZ/.", "a/./b", "MNOabc..--",
    "ABCDEFGHabcdefgh", "abcdef0123",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_what_is_not_looked_at_has_no_secret(seed: int) -> None:
    chance = random.Random(seed)
    left = 0
    for _ in range(6000):
        parts = [
            chance.choice(MARKS)
            if chance.random() < 0.35
            else "".join(chance.choices(chance.choice(LETTERS), k=chance.randint(1, 45)))
            for _ in range(chance.randint(1, 4))
        ]
        end = chance.choice(("", " now", " = x", ": abc9", " hunter2hunter2"))
        text = f"fix {''.join(parts)}{end}"
        if not lines._maybe_secret(text):
            left += 1
            assert redact(text) == text
    assert left > 100


def test_an_ordinary_title_loads_no_patterns() -> None:
    program = (
        "import sys; from server.ingest.lines import one_line;"
        "one_line('fix the internationalization in /home/me/project/components/button.tsx');"
        "sys.exit('server.ingest.redact' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
