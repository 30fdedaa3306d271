"""Boot configuration: flag > environment > config file > default. Frozen once read."""

from __future__ import annotations

import os
import stat
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
_LARGEST_FILE = 1 << 20
_SWITCHES = ("evidence", "strict_writes")
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


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
    "host": ("BRIMLINE_HOST", "CODEX_USAGE_SERVER_HOST", "AI_USAGE_SERVER_HOST"),
    "port": ("BRIMLINE_PORT", "CODEX_USAGE_SERVER_PORT", "AI_USAGE_SERVER_PORT"),
    "data_dir": ("BRIMLINE_DATA_DIR",),
    "codex_home": (
        "BRIMLINE_CODEX_HOME",
        "CODEX_USAGE_SESSIONS_ROOT",
        "AI_USAGE_CODEX_SESSIONS_ROOT",
        "CODEX_HOME",
    ),
    "claude_home": (
        "BRIMLINE_CLAUDE_HOME",
        "CODEX_USAGE_CLAUDE_PROJECTS_ROOT",
        "AI_USAGE_CLAUDE_PROJECTS_ROOT",
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
    "AI_USAGE_CODEX_SESSIONS_ROOT": ("sessions_root", "sessions"),
    "CODEX_USAGE_CLAUDE_PROJECTS_ROOT": ("projects_root", "projects"),
    "AI_USAGE_CLAUDE_PROJECTS_ROOT": ("projects_root", "projects"),
}
# What else such a seed was told, and what does it here.
_OWN_PAGES = "Brimline serves pages of its own"
_OTHERWISE = {
    "CODEX_USAGE_DASHBOARD_HTML": _OWN_PAGES,
    "AI_USAGE_DASHBOARD_HTML": _OWN_PAGES,
    "AI_USAGE_PRICING_FILE": "prices come from `brimline update-pricing --source-file FILE`",
    "AI_USAGE_PARSE_CACHE_FILE": "what was read is kept in the data folder",
    "AI_USAGE_RECALC_LOG_FILE": "the log lies in the data folder",
    "AI_USAGE_PI_AGENT_ROOT": "only the logs of Codex and Claude Code are read",
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

    `flags` holds only what the user gave. An empty flag or environment variable counts as unset.
    Raises `ConfigError` for a value that cannot be used.
    """
    env = os.environ if environ is None else environ
    path = Path(env.get("BRIMLINE_CONFIG", "").strip() or config_dir() / "config.toml")
    from_file, warnings = _read_file(path)
    values: dict[str, Any] = dict(_defaults(env))
    values.update(from_file)
    values.update(_from_environment(env))
    values.update({k: v for k, v in (flags or {}).items() if _given(v)})
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
        "claude_home": _claude_homes(env, home),
    }


def _claude_homes(env: Mapping[str, str], home: Path) -> str:
    """Where Claude Code keeps its projects: `.claude`, or where other programs have settings."""
    said = "" if _relative(env, "XDG_CONFIG_HOME") else env.get("XDG_CONFIG_HOME", "").strip()
    newer = (Path(said) if said else home / ".config") / "claude"
    own = str(home / ".claude")
    return f"{own},{newer}" if (newer / "projects").is_dir() else own


def _given(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _read_file(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        if stat.S_ISFIFO(path.stat().st_mode):  # reading would wait for whoever writes
            raise ConfigError(f"{path} cannot be read: it is a pipe. Mend or remove it.")
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE)
        text = content.decode("utf-8-sig")  # some editors begin a file with a mark
        import tomllib  # here: most have no such file

        raw = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except OSError as error:
        told = error.strerror or str(error)
        raise ConfigError(f"{path} cannot be read: {told}. Mend or remove it.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} cannot be read: it is not UTF-8. Mend or remove it.") from error
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigError(f"{path} cannot be read: {why}. Mend or remove it.") from error
    unknown = sorted(set(raw) - set(ENVIRONMENT))
    warnings = [f"{path}: “{key}” is not a setting of Brimline." for key in unknown]
    found = {k: v for k, v in raw.items() if k in ENVIRONMENT and _given(v)}
    for key, value in found.items():
        _fits(path, key, value)
    return found, warnings


def _fits(path: Path, key: str, value: Any) -> None:
    """Raise when a value of the file is of another kind than its key's."""
    fits, wanted = isinstance(value, str), "text in quotes"
    if key in ("port", "threads"):
        fits, wanted = fits or type(value) is int, "a number"
    elif key in _SWITCHES:
        fits, wanted = fits or isinstance(value, bool), "true or false"
    if not fits:
        raise ConfigError(f"{path}: {key} must be {wanted}.")  # the value may be the token
    if _is_folder(key) and not value.startswith("~") and not Path(value).is_absolute():
        # It would mean another folder in each folder that a program is started from.
        raise ConfigError(f"{path}: {key} must be an absolute path, or begin with ~/.")


def _older_names(env: Mapping[str, str]) -> list[str]:
    """What a name of a seed system asks for that is otherwise here."""
    return [
        f"{name} is set, but {instead}." for name, instead in _OTHERWISE.items() if env.get(name)
    ]


def _from_environment(env: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, variables in ENVIRONMENT.items():
        for variable in variables:
            value = env.get(variable)
            if not value or not value.strip():
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
    if _is_folder(name):
        return _folder(name, str(value))
    if name in ("port", "threads"):
        return _number(name, value)
    if name in _SWITCHES:
        return _switch(name, str(value).strip().lower())
    read = {
        "host": _host,
        "upstream_base_url": _url,
        "auth_base_url": _url,
        "callback_host": _address,
        "log_level": _level,
    }.get(name)
    return str(value) if read is None else read(name, str(value).strip())


def _is_folder(name: str) -> bool:
    return name.endswith(("_dir", "_home", "_root"))


def _folder(name: str, value: str) -> Path:
    if "\0" in value:
        raise ConfigError(f"{name} is no path: it holds a character that no path can have.")
    # Claude Code may have several homes, with spaces around their commas.
    parts = value.split(",") if name == "claude_home" else [value]
    stripped = [part.strip() for part in parts if part.strip()] if len(parts) > 1 else parts
    try:
        return Path(",".join(str(Path(part).expanduser().absolute()) for part in stripped))
    except (RuntimeError, OSError) as error:  # nobody's home; started in a folder that is gone
        message = f"{name} cannot be used: {error}. Give an absolute path, not “{value}”."
        raise ConfigError(message) from error


def _switch(name: str, value: str) -> bool:
    if value not in _ON + _OFF:
        raise ConfigError(f"{name} must be on or off, not “{value}”.")
    return value in _ON


def _host(name: str, value: str) -> str:
    """A name or an address to listen on; an IPv6 address may stand in brackets as in a URL."""
    host = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        usable = bool(host.encode("idna")) and not any(c.isspace() or c in "/\0[]" for c in host)
    except UnicodeError:  # an empty or too long part of a name
        usable = False
    if not usable:
        message = f"{name} must be an address of this computer, such as 127.0.0.1, not “{value}”."
        raise ConfigError(message)
    return host


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


def _level(name: str, value: str) -> str:
    level = value.lower()
    if level not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"{name} must be debug, info, warning or error, not “{value}”.")
    return level


def shown(path: Path) -> str:
    """A path as people write it: with ~ where it lies in their home folder."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):  # elsewhere; or nobody's home
        return str(path)
