"""Real OTLP bodies that codex-cli 0.169.0 exported, and what they add up to."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "data" / "otlp"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())
RUNS = sorted(EXPECTED)
NOW = 1_795_300_000_000  # a day after they were made


@dataclass(frozen=True)
class Body:
    """One request body, unpacked."""

    signal: str
    json: bool
    data: bytes

    @property
    def content_type(self) -> str:
        """As its exporter sent it."""
        return "application/json" if self.json else "application/x-protobuf"


def bodies(run: str, signal: str = "logs") -> Iterator[Body]:
    """The bodies of a run in the order they were sent."""
    for path in sorted((FOLDER / run).glob(f"*-{signal}.*")):
        raw = path.read_bytes()
        yield Body(
            signal, ".json" in path.name, gzip.decompress(raw) if path.suffix == ".gz" else raw
        )
