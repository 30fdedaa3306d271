"""What is wrong in the user's own files, in sentences; what is right of them holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from server.errors import AppError
from server.sentences import say
from server.usage import allowance_copy, ownfiles, ownprices, thresholds

_WINDOWS = "windows"


def problems(file: str) -> list[str]:
    """What is wrong with a file as it lies there now; nothing when there is none."""
    try:
        return check(file, ownfiles.read(file)) if ownfiles.stamp(file) else []
    except AppError as problem:
        return [problem.message]


def check(file: str, given: dict[str, Any]) -> list[str]:
    """Every value of a file (`thresholds.json`, …) that cannot be used, and what holds instead."""
    checks = {
        "thresholds.json": _thresholds,
        "projects.json": _projects,
        "allowance.json": _allowance,
        "pricing.json": _prices,
        "rate-card.json": _prices,
    }
    return list(checks[file](file, given))


def _thresholds(file: str, given: dict[str, Any]) -> Iterator[str]:
    holding = thresholds.merged(given)
    for name, usual in thresholds.DEFAULTS.items():
        value = given.get(name, usual)
        if isinstance(value, bool) or value != holding[name]:
            yield say("own.number", file=file, name=name, usual=f"{usual:g}")


def _projects(file: str, given: dict[str, Any]) -> Iterator[str]:
    for name in ("aliases", "tags"):
        found = given.get(name, {})
        if not isinstance(found, dict):
            yield say("own.object", file=file, name=name)
            continue
        for project, value in found.items():
            if name == "aliases" and not (isinstance(value, str) and value.strip()):
                yield say("own.text", file=file, name=f"{name}.{_short(project)}")
            if name == "tags" and not _texts(value):
                yield say("own.list", file=file, name=f"{name}.{_short(project)}")
    if not _texts(given.get("ignored_paths", [])):
        yield say("own.list", file=file, name="ignored_paths")


def _allowance(file: str, given: dict[str, Any]) -> Iterator[str]:
    windows = given.get(_WINDOWS, [])
    if isinstance(windows, dict):
        windows = [{"key": key, **one} if isinstance(one, dict) else one
                   for key, one in windows.items()]  # fmt: skip
    if not isinstance(windows, list):
        yield say("own.list", file=file, name=_WINDOWS)
        windows = []
    for number, one in enumerate(windows):
        if isinstance(one, dict) and one.get("remaining_percent", 0) is None:
            continue  # a template that nobody filled in
        if not allowance_copy.listed({_WINDOWS: [one]}):
            name = one.get("key") if isinstance(one, dict) else None
            yield say("own.percent", file=file, name=f"{_WINDOWS}.{_short(name or number)}")
    try:
        ownprices.credit_rates(given)
    except (ValueError, TypeError) as error:
        yield say("own.broken", file=file, why=str(error))


def _prices(file: str, given: dict[str, Any]) -> Iterator[str]:
    read = ownprices.tables if file == "pricing.json" else ownprices.credits
    try:
        read(given or {"models": {}})
    except (ValueError, TypeError) as error:
        yield say("own.broken", file=file, why=str(error))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _short(name: Any) -> str:
    return "".join(char if char.isprintable() else " " for char in str(name))[:60]
