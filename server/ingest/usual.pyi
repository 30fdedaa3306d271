"""The usual lines of Codex rollouts, compiled from usual.c where there is a C compiler."""

from typing import Any

FORM: int

def read(
    data: memoryview,
    place: int,
    base: int,
    state: dict[str, Any],
    prefix: str,
    asked: str,
    calls: list[tuple[Any, ...]],
    compactions: list[str],
    limits: list[tuple[int, bytes]],
) -> tuple[int, int, int, int]: ...
def price(
    calls: list[tuple[Any, ...]],
    place: int,
    rows: list[tuple[Any, ...]],
    model: str | None,
    status: str,
    tariff: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, int, int],
) -> tuple[int, list[tuple[int, ...]]]: ...
def unchanged(folder: int, names: list[str], known: bytes) -> bool: ...
