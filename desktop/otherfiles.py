"""Reports by other files of prices, rates, thresholds, projects or allowance than the folder's."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.config import Config
from server.errors import AppError

if TYPE_CHECKING:
    from desktop.offline_api import Api

FILES = {
    "pricing": "prices",
    "rate-card": "a rate card in credits",
    "allowance": "the copied allowance",
    "thresholds": "thresholds",
    "projects": "projects",
}


def add(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    """Let a report be told other files, which hold for this run alone."""
    for name, said in FILES.items():
        parser.add_argument(
            f"--{name}", metavar="FILE", default=default, help=f"this run: {said} of this file"
        )


def given(arguments: argparse.Namespace) -> dict[str, Path]:
    """The files that were named."""
    named = {name: getattr(arguments, name.replace("-", "_"), None) for name in FILES}
    return {name: Path(path).expanduser() for name, path in named.items() if path}


def check(arguments: argparse.Namespace) -> None:
    """Raises `AppError` where files were named for a command that works on the folder's own."""
    if getattr(arguments, "report", False):
        return
    for name in given(arguments):
        raise AppError(
            f"--{name} is for reports, such as `brimline --{name} FILE summary`. Leave it out; "
            f"what always holds lies in the data folder as {name}.json."
        )


@contextmanager
def opened(config: Config, named: Mapping[str, Path], writes: str = "") -> Iterator[Api]:
    """The dashboard's routes over a copy of the ledger for which these files hold.

    Nothing of the data folder changes, and a server may run on it. `writes` is the file that the
    command is about to write: that one need not be there, and is where it says afterwards.
    """
    import shutil  # here: most commands name no such file, and start sooner
    import tempfile

    with tempfile.TemporaryDirectory(prefix="brimline-") as place:
        folder = Path(place)
        for name in FILES:
            _take(config.data_dir / f"{name}.json", named.get(name), folder, new=name == writes)
        for name in ("usage.db", "secrets.db"):
            _copy(config.data_dir / name, folder / name)
        from desktop import offline_api
        from server.ingest import reprice

        with offline_api.opened(replace(config, data_dir=folder), None) as api:
            _check(api, named, writes)
            reprice.keep()
            yield api
        if writes in named and (folder / f"{writes}.json").exists():
            shutil.copyfile(folder / f"{writes}.json", named[writes])


def _take(own: Path, other: Path | None, folder: Path, *, new: bool) -> None:
    import shutil

    source = own if other is None else other
    if (other is None or new) and not source.exists():
        return
    try:
        if not source.is_file():
            raise AppError(f"{source} is no file. Name one that is there.")
        shutil.copyfile(source, folder / own.name)
    except OSError as error:
        raise AppError(f"{source} cannot be read: {error.strerror or error}.") from error


def _copy(database: Path, to: Path) -> None:
    if not database.exists():
        return
    import sqlite3

    to.touch(mode=0o600)
    try:
        with (
            closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(to)) as copy,
        ):
            source.backup(copy)
    except sqlite3.Error as error:
        raise AppError(f"The ledger cannot be copied for this report: {error}.") from error


def _check(api: Api, named: Mapping[str, Path], writes: str) -> None:
    said = api.get("/api/usage/files")
    for name, path in named.items():
        problems = said[name].get("problems") or ()
        if problems and name != writes:
            raise AppError(_refusal(name, path, problems[0]["text"]))


def _refusal(name: str, path: Path, problem: str) -> str:
    """Why no report is made by a file, and what to do.

    What is said of the data folder's own file, that something else holds for the time being, is
    not true of one that was named: without it nothing is printed.
    """
    wrong = problem
    for instead in (" Mend or remove it;", " Until it is corrected,"):
        wrong = wrong.partition(instead)[0]
    said = f"{path}{wrong.removeprefix(f'{name}.json')}"
    return f"{said} Correct the file, or leave --{name} out: then the data folder's own holds."
