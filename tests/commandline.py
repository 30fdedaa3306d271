"""The command line on a data folder of its own, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from desktop import cli
from tests import upstream


class Brimline:
    """Runs commands on one data folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.error = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        assert cli.main([*words, "--data-dir", str(self.folder / "data")]) == code
        said = self._capsys.readouterr()
        self.error = said.err
        return said.out

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))

    def auth_json(self, name: str) -> str:
        path = self.folder / f"{name}.json"
        path.write_bytes(upstream.auth_json(name))
        return str(path)
