"""The compiled reader, made anew from its source, and logs to try it on."""

from __future__ import annotations

import importlib.util
import random
import re
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

import bootstrap
import pytest

from tests.rollouts import Tree

REAL = sorted((Path(__file__).parent / "data" / "rollouts").glob("*.jsonl"))
WORDS = [
    b'"token_count"', b'"token_usage_record"', b'"user_message"', b'"compacted"', b'"session_meta"',
    b'"turn_context"', b'"UserMessage"', b'"task_started"', b'"model":"x"', b'"effort":"h"',
    b"\\", b'"', b"\0", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\n", b"\r", b"}", b"{", b"}}\n",
    b"9" * 16, b"-1", b"1.5", b"0", b" ", b"null", b"2026-13-", b"24:00", b"[]", b"true", b"1e400",
]  # fmt: skip


def module(folder: Path) -> Any:
    """What the source says now; skips where it cannot be compiled."""
    if bootstrap.compiler() is None or not bootstrap.has_headers():
        pytest.skip("there is no C compiler, or no Python.h")
    path = folder / "usual.abi3.so"
    bootstrap.compile_lines(path)
    spec = importlib.util.spec_from_file_location(
        "usual", path, loader=ExtensionFileLoader("usual", str(path))
    )
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def lines_of(tmp_path: Path, seed: int) -> list[list[bytes]]:
    tree = Tree(tmp_path / str(seed), seed=seed, body=60, turns=4)
    tree.grow(6)
    paths = [path for path in tree.paths if path.suffix == ".jsonl"]
    return [path.read_bytes().splitlines(keepends=True) for path in [*paths, *REAL]]


def broken(lines: list[bytes], chance: random.Random) -> bytes:
    """Some lines, a few of them changed in ways that a disk, a bug or an enemy might."""
    lines = list(lines)
    for _ in range(chance.choice((0, 1, 1, 2, 4, 30))):
        number = chance.randrange(len(lines))
        line = bytearray(lines[number])
        # The heads of lines decide, so they are hit more often.
        place = chance.randrange(min(len(line), chance.choice((60, 200, 700, 4000))) or 1)
        how = chance.randrange(7)
        digits = [found.start() for found in re.finditer(rb"\d", bytes(line))]
        if how == 0 and line:
            line[place] = chance.randrange(256)
        elif how == 1:
            del line[place : place + chance.randint(1, 9)]
        elif how == 2:
            line[place:place] = chance.choice(WORDS)
        elif how == 3:
            lines.insert(chance.randrange(len(lines)), bytes(line))
            continue
        elif how == 4:
            del line[place:-1]
        elif how == 5 and digits:
            line[chance.choice(digits)] = ord(chance.choice("0123456789"))
        else:
            other = chance.randrange(len(lines))
            lines[number], lines[other] = lines[other], lines[number]
            continue
        lines[number] = bytes(line)
    data = b"".join(lines)
    return data[: data.rfind(b"\n") + 1]
