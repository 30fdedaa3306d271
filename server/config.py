"""Boot configuration: flag > environment > config file > default. Frozen once read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from server.errors import AppError

NAME = "brimline"
DEFAULT_PORT = 2455


class ConfigError(AppError):
    """A configuration value that cannot be used; the message names it and what would do."""

    status, code = 500, "invalid_configuration"


_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Config:
    """Everything that must be known before the database opens."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    data_dir: Path = Path()
    codex_home: Path = Path()
    claude_home: Path = Path()
    sessions_root: Path | None = None  # where else than in `codex_home`/sessions
    projects_root: Path | None = None  # where else than in `claude_home`/projects
    upstream_base_url: str = "https://chatgpt.com/backend-api"
    auth_base_url: str = "https://auth.openai.com"
    callback_host: str = "127.0.0.1"  # where a sign-in's browser comes back; a container needs more
    admin_token: str = ""
    threads: int = 656  # at most; each starts when it is needed
    log_level: str = "info"
    evidence: bool = True  # a call's log lines may be shown; off: only once the owner says so
    strict_writes: bool = False  # tests: a write outside `writing()` raises

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("127.0.0.1", "localhost", "::1")

    @property
    def short_token(self) -> bool:
        """Whether the admin token is so short that it could be guessed."""
        return 0 < len(self.admin_token) < _SHORTEST_TOKEN

    @property
    def server_file(self) -> Path:
        """Where a running server says its address, pid and tray token (0600)."""
        return self.data_dir / "server.json"


# Our name first; then the names that users of the seed systems already have set.
ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "host": ("BRIMLINE_HOST", "CODEX_USAGE_SERVER_HOST"),
    "port": ("BRIMLINE_PORT", "CODEX_USAGE_SERVER_PORT"),
    "data_dir": ("BRIMLINE_DATA_DIR",),
    "codex_home": ("BRIMLINE_CODEX_HOME", "CODEX_USAGE_SESSIONS_ROOT", "CODEX_HOME"),
    "claude_home": (
        "BRIMLINE_CLAUDE_HOME",
        "CODEX_USAGE_CLAUDE_PROJECTS_ROOT",
        "CLAUDE_CONFIG_DIR",
    ),
    "upstream_base_url": ("BRIMLINE_UPSTREAM_BASE_URL", "CODEX_LB_UPSTREAM_BASE_URL"),
    "auth_base_url": ("BRIMLINE_AUTH_BASE_URL", "CODEX_LB_AUTH_BASE_URL"),
    "callback_host": ("BRIMLINE_OAUTH_CALLBACK_HOST", "CODEX_LB_OAUTH_CALLBACK_HOST"),
    "admin_token": ("BRIMLINE_ADMIN_API_TOKEN", "CODEX_LB_ADMIN_API_TOKEN"),
    "threads": ("BRIMLINE_THREADS",),
    "log_level": ("BRIMLINE_LOG_LEVEL",),
    "evidence": ("BRIMLINE_EVIDENCE",),
    "strict_writes": ("BRIMLINE_STRICT_WRITES",),
}
# Read elsewhere (the config file's own place, the desktop), so not unknown.
_OTHER_NAMES = {
    "BRIMLINE_API_KEY",
    "BRIMLINE_CONFIG",
    "BRIMLINE_NO_KEYRING",
    "BRIMLINE_KEYS_DIR",
    "BRIMLINE_DEMO",
}
# These seeds name the folder of the logs: as a rule one inside the home, but any will do.
_ROOTS = {
    "CODEX_USAGE_SESSIONS_ROOT": ("sessions_root", "sessions"),
    "CODEX_USAGE_CLAUDE_PROJECTS_ROOT": ("projects_root", "projects"),
}


def config_dir() -> Path:
    """The folder of the config file and of the key that opens the vault."""
    if _relative(os.environ, "XDG_CONFIG_HOME"):
        return Path.home() / ".config" / NAME
    return Path(platformdirs.user_config_dir(NAME, appauthor=False))


def _relative(env: Mapping[str, str], name: str) -> bool:
    """Whether a base folder is set to a relative path, which XDG's specification says to ignore.

    It would mean another folder in each folder that a program is started from.
    """
    value = env.get(name, "").strip()
    return bool(value) and not Path(value).is_absolute()


def load(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Config, list[str]]:
    """Read the configuration; also return a warning for each key nobody reads.

    `flags` holds only what the user gave. An empty environment variable counts as unset.
    Raises `ConfigError` for a value that cannot be used.
    """
    env = os.environ if environ is None else environ
    path = Path(env.get("BRIMLINE_CONFIG") or config_dir() / "config.toml")
    from_file, warnings = _read_file(path)
    values: dict[str, Any] = dict(_defaults(env))
    values.update(from_file)
    values.update(_from_environment(env))
    values.update({k: v for k, v in (flags or {}).items() if v is not None})
    known = {v for names in ENVIRONMENT.values() for v in names} | _OTHER_NAMES
    warnings += [
        f"{name} is set, but Brimline has no such setting."
        for name in sorted(env)
        if name.startswith("BRIMLINE_") and name not in known and env[name]
    ]
    warnings += _older_names(env)
    warnings += [
        f"{name} is not an absolute path, so it is ignored."
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME")
        if _relative(env, name)
    ]
    found = Config(**{f.name: _coerce(f.name, values[f.name]) for f in fields(Config)})
    if found.short_token:
        warnings.append("The admin token is short; take at least 32 random characters.")
    return found, warnings


def _defaults(env: Mapping[str, str]) -> dict[str, Any]:
    plain = {f.name: f.default for f in fields(Config)}
    home = Path(env.get("HOME") or Path.home())
    data = env.get("XDG_DATA_HOME", "").strip()
    if _relative(env, "XDG_DATA_HOME"):
        own = home / ".local" / "share" / NAME
    else:
        own = Path(data) / NAME if data else Path(platformdirs.user_data_dir(NAME, appauthor=False))
    return {
        **plain,
        "data_dir": own,
        "codex_home": home / ".codex",
        "claude_home": home / ".claude",
    }


def _read_file(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
        import tomllib  # here: most have no such file

        raw = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Mend or remove it.") from error
    unknown = sorted(set(raw) - set(ENVIRONMENT))
    warnings = [f"{path}: “{key}” is not a setting of Brimline." for key in unknown]
    return {k: v for k, v in raw.items() if k in ENVIRONMENT and v != ""}, warnings


def _older_names(env: Mapping[str, str]) -> list[str]:
    """What a name of a seed system asks for that is otherwise here."""
    if env.get("CODEX_USAGE_DASHBOARD_HTML"):
        return ["CODEX_USAGE_DASHBOARD_HTML is set, but Brimline serves pages of its own."]
    return []


def _from_environment(env: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, variables in ENVIRONMENT.items():
        for variable in variables:
            value = env.get(variable)
            if not value:
                continue
            root, last = _ROOTS.get(variable, ("", ""))
            if root and Path(value).name != last:
                found[root] = value  # where the home is, another name may say
                continue
            found[name] = str(Path(value).parent) if root else value
            break
    return found


def _coerce(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.endswith(("_dir", "_home", "_root")):
        return Path(str(value)).expanduser().absolute()
    if name in ("port", "threads"):
        return _number(name, value)
    if name in ("upstream_base_url", "auth_base_url", "callback_host"):
        return (_address if name == "callback_host" else _url)(name, str(value))
    if name in ("strict_writes", "evidence"):
        return str(value).lower() in ("1", "true", "yes", "on")
    if name == "log_level":
        return _level(str(value))
    return str(value)


def _number(name: str, value: Any) -> int:
    low, high = {"port": (0, 65535), "threads": (8, 4096)}[name]
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if not low <= number <= high:
        raise ConfigError(f"{name} must be a number from {low} to {high}, not “{value}”.")
    return number


def _address(name: str, value: str) -> str:
    """An address of this computer: a name could be resolved to somewhere else."""
    if value in ("127.0.0.1", "localhost"):
        return "127.0.0.1"
    import ipaddress  # here: nearly everybody keeps the default

    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        message = f"{name} must be an IPv4 address, such as 127.0.0.1 or 0.0.0.0, not “{value}”."
        raise ConfigError(message) from None


def _url(name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and not parts.username
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{name} must be an http(s) address without credentials, not “{value}”.")
    return value.rstrip("/")


def _level(value: str) -> str:
    level = value.lower()
    if level not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"log_level must be debug, info, warning or error, not “{value}”.")
    return level


def shown(path: Path) -> str:
    """A path as people write it: with ~ where it lies in their home folder."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):  # elsewhere; or nobody's home
        return str(path)
