"""Logs with odd names and damaged logs are left out, and said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from desktop import logs
from server.errors import AppError
from server.ingest.files import Finder


def test_a_name_that_is_no_text_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "codex" / "sessions"
    folder.mkdir(parents=True)
    (folder / "rollout-ä.jsonl").write_text("{}\n")
    with open(os.fsencode(folder) + b"/rollout-\xff.jsonl", "wb") as file:  # noqa: PTH123
        file.write(b"{}\n")
    found: dict[tuple[str, str], Any] = {}
    Finder().codex_files(str(folder), found, archived=False)
    assert [name for _, name in found] == ["rollout-ä"]
    assert "rollout-\\xff.jsonl is left out: its name is not UTF-8" in caplog.text


def test_a_damaged_packed_log_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "rollout-1.jsonl.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfdgarbage")
    with pytest.raises(AppError, match="is damaged: it cannot be unpacked"):
        logs.inspect(path)
