"""Clients' configuration files on disk: looked at, changed after a backup, and brought back.

The rules are in `clients`. Here a file is read whole, written whole beside itself and put in its
place in one step, with its mode, through a symlink, and never when it changed in between.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from server import clients
from server.clients import Target, Wish
from server.config import Config
from server.errors import AppError, Conflict, NotFound
from server.sentences import say, why

LARGEST = 1 << 20
_BACKUPS = 10  # a file; connecting is rare, and the first one is what matters


class FileProblem(AppError):
    """A client's file cannot be used as it is; the message says what to do."""

    status, code = 409, "client_config_unusable"


@dataclass(frozen=True)
class Look:
    """What is at a client's place now."""

    client: str
    path: Path
    found: bool
    state: str  # of clients.standing, or missing, unusable
    text: str  # the sentence to it
    ours: bool  # whether disconnecting would change something


@dataclass(frozen=True)
class Change:
    """What connecting or disconnecting would do to a file."""

    client: str
    path: Path
    before: bytes | None
    after: bytes | None  # None: the file goes, as it came with us
    diff: str
    text: str
    notes: tuple[str, ...] = ()  # what else to know: key, key_missing, model, sessions

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after

    @property
    def seen(self) -> str:
        """What `apply` may be held to: the file as this change saw it."""
        return _digest(self.before)


def target(config: Config, keys: bool, models: list[dict[str, Any]]) -> Target:
    """Where clients of this machine reach a server with this configuration."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.host, config.host)  # noqa: S104
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return Target(
        base=f"http://{host}:{config.port}",
        keys=keys,
        models=tuple((str(model["id"]), str(model["name"])) for model in models),
        signed_in=signed_in(config.codex_home) is not False,
        token=None if config.loopback else config.admin_token,
    )


def signed_in(codex_home: Path) -> bool | None:
    """Whether Codex has a sign-in; None when it may lie in the system's keyring."""
    if (codex_home / "auth.json").exists():
        return True
    with suppress(AppError):
        if "cli_auth_credentials_store" in (read_text(codex_home / "config.toml") or ""):
            return None
    return False


def places(codex_home: Path, environ: Mapping[str, str]) -> dict[str, Path]:
    """Where each client keeps its configuration for this user."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    opencode = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "opencode"
    named = environ.get("OPENCODE_CONFIG")
    openclaw = Path(environ.get("OPENCLAW_STATE_DIR") or home / ".openclaw") / "openclaw.json"
    commented = opencode / "opencode.jsonc"
    plain = commented if commented.exists() else opencode / "opencode.json"
    return {
        "codex": codex_home / "config.toml",
        "telemetry": codex_home / "config.toml",
        "opencode": Path(named).expanduser() if named else plain,
        "openclaw": Path(environ.get("OPENCLAW_CONFIG_PATH") or openclaw).expanduser(),
    }


class Clients:
    """The clients of this user, and the backups of what was theirs (in the data folder)."""

    def __init__(self, data_dir: Path, where: Mapping[str, Path]) -> None:
        self._folder = data_dir / "clients"
        self._where = where

    def look(self, client: str, here: Target) -> Look:
        """How one client stands. Raises `NotFound` for one we do not know."""
        path = self._path(client)
        try:
            before = _read(path)
            text = _text(before or b"")
        except AppError as error:
            return Look(client, path, True, "unusable", error.message, False)
        state = "missing" if before is None else clients.standing(client, text, here)
        said = _SAID[state].format(name=clients.NAMES[client], base=here.base)
        return Look(client, path, before is not None, state, said, self._undoable(client, text))

    def connect(self, client: str, here: Target, wish: Wish | None = None) -> Change:
        """What connecting would do; nothing is written."""
        path = self._path(client)
        before = _read(path)
        text = _text(before or b"")
        after = clients.connected(client, text, here, wish)
        said = _SAID["connected" if after != text else clients.standing(client, text, here)]
        notes = _notes(client, here, after)
        return Change(
            client,
            path,
            before,
            before if after == text else after.encode(),
            clients.diff(text, after, path.name),
            _told(said.format(name=clients.NAMES[client], base=here.base), notes),
            notes,
        )

    def disconnect(self, client: str) -> Change:
        """What disconnecting would do; nothing is written."""
        path = self._path(client)
        before, record = _read(path), self._record(client, path)
        if before is None:
            return Change(client, path, None, None, "", "There is no such file, so nothing to do.")
        text = _text(before)
        original = self._backup(record)
        intact = original is not None or record.get("before", "") is None
        if intact and record.get("after") == _digest(before):
            after, said = original, "The file is as it was before, byte for byte."
        else:
            without = clients.disconnected(client, text, _lenient(original))
            after, said = without.encode(), "Only Brimline's lines go; all else stays as it is."
            if after == before:
                return Change(client, path, before, before, "", "Nothing here is Brimline's.")
            after = None if self._made(path) and _bare(without) else after
            said = said if after != original else "The file is as it was before, byte for byte."
        said = said if after is not None else "The file goes again: it came with Brimline."
        block = client == "codex" and f"[model_providers.{clients.PROVIDER}]" in text
        notes = ("sessions",) if block else ()
        shown = clients.diff(text, _lenient(after) or "", path.name)
        return Change(client, path, before, after, shown, _told(said, notes), notes)

    def apply(self, change: Change, *, connecting: bool, seen: str | None = None) -> Path | None:
        """Write a change; returns the backup's path. Raises `Conflict` when the file changed."""
        if seen is not None and seen != change.seen:
            raise Conflict(
                say("connect.changed"),
                code="client_config_changed",
            )
        if not change.changes:
            return None
        _check_writable(change.path)
        backup = self._keep(change, connecting)
        if change.after is None:
            _remove(change.path, change.before)
        else:
            _write(change.path, change.before, change.after)
        if not connecting:
            self._forget(change)
        return backup

    def _path(self, client: str) -> Path:
        if client not in clients.NAMES:
            known = ", ".join(clients.NAMES)
            raise NotFound(f"There is no client “{client[:40]}”. Clients: {known}.")
        return self._where[client]

    def _undoable(self, client: str, text: str) -> bool:
        try:
            return clients.disconnected(client, text) != text
        except AppError:
            return False

    # The record of a client: {"path", "before": a backup's name or null, "after": a digest}.

    def _record(self, client: str, path: Path) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads((self._folder / f"{client}.json").read_text(encoding="utf-8"))
            if isinstance(found, dict) and found.get("path") == str(path):
                return found
        return {}

    def _backup(self, record: dict[str, Any]) -> bytes | None:
        name = record.get("before")
        if isinstance(name, str) and Path(name).name == name:
            with suppress(OSError):
                return (self._folder / name).read_bytes()
        return None

    def _keep(self, change: Change, connecting: bool) -> Path | None:
        """Before the file is touched: what it was, and on connecting what to go back to."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept = None if change.before is None else self._save(change, change.before)
            if connecting:
                self._remember(change, kept)
            return kept
        except OSError as error:
            said = say("connect.noBackup", folder=self._folder, why=why(error))
            raise FileProblem(said) from error

    def _remember(self, change: Change, kept: Path | None) -> None:
        record = self._record(change.client, change.path)
        if not record or record.get("after") != change.seen:
            # What to go back to holds nothing of ours, also when we were connected before.
            if change.before is not None and kept is not None:
                text = _text(change.before)
                plain = clients.disconnected(change.client, text)
                kept = kept if plain == text else self._save(change, plain.encode())
            record = {"path": str(change.path), "before": kept.name if kept else None}
        if change.before is None:
            self._mark_made(change.path)
        after = _digest(change.after)
        text = json.dumps({**record, "after": after})
        _replace(self._folder / f"{change.client}.json", text.encode(), 0o600)

    def _save(self, change: Change, content: bytes) -> Path:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        path = self._folder / f"{change.client}-{stamp}-{change.path.name}"
        _replace(path, content, 0o600)
        self._tidy(change)
        return path

    def _tidy(self, change: Change) -> None:
        needed = self._record(change.client, change.path).get("before")
        old = sorted(self._folder.glob(f"{change.client}-*-{change.path.name}"))[:-_BACKUPS]
        for path in old:
            if path.name != needed:
                path.unlink(missing_ok=True)

    def _forget(self, change: Change) -> None:
        with suppress(OSError):
            (self._folder / f"{change.client}.json").unlink(missing_ok=True)
            if change.after is None:
                made = [each for each in self._all_made() if each != str(change.path)]
                _replace(self._folder / "made.json", json.dumps(made).encode(), 0o600)

    # Files that were not there before us; two clients may share one.

    def _all_made(self) -> list[str]:
        with suppress(OSError, ValueError):
            found = json.loads((self._folder / "made.json").read_text(encoding="utf-8"))
            return [str(each) for each in found] if isinstance(found, list) else []
        return []

    def _made(self, path: Path) -> bool:
        return str(path) in self._all_made()

    def _mark_made(self, path: Path) -> None:
        made = [each for each in self._all_made() if each != str(path)]
        _replace(self._folder / "made.json", json.dumps([*made, str(path)]).encode(), 0o600)


_SAID = {
    "missing": "{name} has no configuration here yet; connecting makes one.",
    "absent": "{name} is not connected to Brimline.",
    "connected": "{name} goes to Brimline at {base}.",
    "by_hand": "{name} goes to Brimline, by lines of your own.",
    "other_address": "{name} was connected to another address than {base}. Connect it again.",
    "elsewhere": "{name} is pointed at another place by lines of your own.",
    "broken": "The file cannot be read. Mend it, then connect.",
}


_NOTES = {
    "key": (
        "The proxy asks for API keys: make one on the API keys page and set it as "
        f"{clients.KEY_VARIABLE} where you start the client."
    ),
    "key_missing": (
        "The proxy asks for API keys, which this line cannot carry: take --profile-style provider."
    ),
    "model": f"Your own model stays chosen; choose a {clients.PROVIDER}/… model in the client.",
    "sessions": (
        "Sessions that Codex made under this provider block resume only while it is there: "
        "connect again to resume one."
    ),
}


def _notes(client: str, here: Target, after: str) -> tuple[str, ...]:
    """What is left to do, beside the file."""
    found = []
    if here.keys and client != "telemetry":
        found.append("key" if clients.KEY_VARIABLE in after else "key_missing")
    json_client = client in ("opencode", "openclaw")
    if json_client and here.models and f'"{clients.PROVIDER}/' not in after:
        found.append("model")
    return tuple(found)


def _told(said: str, notes: tuple[str, ...]) -> str:
    return " ".join([said, *(_NOTES[note] for note in notes)])


def _bare(text: str) -> bool:
    """Whether nothing is left that somebody wrote."""
    bare = text.strip("\ufeff \t\r\n")
    with suppress(ValueError):
        found = json.loads(bare or "{}")
        return isinstance(found, dict) and set(found) <= {"$schema"}
    return not bare


# --- Files ----------------------------------------------------------------------------------------


def _read(path: Path) -> bytes | None:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise FileProblem(say("connect.noFile", file=path))
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FileProblem(say("connect.unreadable", file=path, why=why(error))) from error
    if len(content) > LARGEST:
        raise FileProblem(say("connect.large", file=path))
    return content


def read_text(path: Path) -> str | None:
    """A small text file whole, None when there is none. Raises `FileProblem`."""
    content = _read(path)
    return None if content is None else _text(content)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise FileProblem(say("connect.utf8")) from error


def _lenient(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="replace")


def _digest(content: bytes | None) -> str:
    return "none" if content is None else hashlib.sha256(content).hexdigest()


def _check_writable(path: Path) -> None:
    """A file that was made read-only on purpose stays so, also where we could replace it."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if not path.stat().st_mode & 0o222:
            raise FileProblem(say("connect.readOnly", file=path))


def _write(path: Path, before: bytes | None, after: bytes) -> None:
    place = Path(os.path.realpath(path))  # the file behind a symlink; the link stays
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = stat.S_IMODE(place.stat().st_mode) if before is not None else 0o600
        if _read(place) != before:
            raise Conflict(
                say("connect.changedNow"),
                code="client_config_changed",
            )
        _replace(place, after, mode, like=place if before is not None else None)
    except OSError as error:
        raise FileProblem(say("connect.unwritable", file=path, why=why(error))) from error


def _remove(path: Path, before: bytes | None) -> None:
    try:
        if _read(path) == before:
            Path(os.path.realpath(path)).unlink(missing_ok=True)
    except OSError as error:
        raise FileProblem(say("connect.unremovable", file=path, why=why(error))) from error


def _replace(path: Path, content: bytes, mode: int, like: Path | None = None) -> None:
    """Put the whole content at `path` in one step, so that no reader sees half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if like is not None and hasattr(os, "chown"):
            owner = like.stat()
            with suppress(OSError):
                os.chown(temporary, owner.st_uid, owner.st_gid)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
