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
) -> tuple[int, int, int, int, int, int]: ...
def crew(paths: list[bytes], threads: int, claude: int = -1) -> Any: ...
def fold(crew: Any) -> bool: ...
def told(crew: Any, wait: bool) -> list[tuple[Any, ...]]: ...
def calls(crew: Any, number: int, prefix: str, asked: str) -> list[tuple[Any, ...]]: ...
def tariff(
    crew: Any,
    model: str | None,
    status: str,
    tariff: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, int, int],
) -> None: ...
def sums(crew: Any, place: int, first: int) -> tuple[Any, int] | None: ...
def emitted(crew: Any, place: int, first: int) -> list[tuple[int, tuple[Any, ...]]]: ...
def forget(crew: Any, place: int) -> None: ...
def pages(sql: str, crew: Any, files: list[tuple[int, int, int, str, str]]) -> bytes: ...
def price(
    calls: list[tuple[Any, ...]],
    place: int,
    rows: list[tuple[Any, ...]],
    model: str | None,
    status: str,
    tariff: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, int, int],
) -> tuple[int, list[tuple[int, ...]]]: ...
def unchanged(folder: int, names: list[str], known: bytes) -> bool: ...
