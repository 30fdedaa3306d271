"""Why Codex' requests would go past Brimline, or never reach it: findings, each with its mend.

Pure: what was found on the machine goes in, sentences come out. What each variant does was seen
with Codex CLI 0.169.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from server import clients
from server.clients import Target
from server.errors import BadRequest

_ROUTING = ("openai_base_url", "chatgpt_base_url", "model_provider", "model_providers", "profile")
_PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


@dataclass(frozen=True)
class Facts:
    """What is known of this machine; None is unknown and is not judged."""

    target: Target
    running: bool | None  # whether our server answers at the target
    config: str | None  # config.toml of Codex; None when there is none
    path: str = "config.toml"
    environ: Mapping[str, str] | None = None  # where Codex is started
    signed_in: bool | None = None  # whether Codex has a sign-in of its own
    others: Mapping[str, str] = field(default_factory=dict)  # other config files by their path
    problem: str | None = None  # why the file cannot be used
    folder: str = ""  # our data folder
    stranger: bool = False  # whether a Brimline of another data folder answers at the target


@dataclass(frozen=True)
class Finding:
    """Something that keeps requests from us (`problem`), or that is good to know (`note`)."""

    code: str
    level: str
    text: str
    mend: str


def findings(facts: Facts) -> list[Finding]:
    """What is wrong, the most basic first; nothing when requests come through."""
    found = _server(facts)
    if facts.problem is not None:
        return [*found, _problem("config_unusable", facts.problem, f"Mend {facts.path}.")]
    try:
        parsed = clients.parse_toml(facts.config or "")
    except BadRequest as error:
        mend = f"Mend {facts.path}; Codex does not start with it either."
        return [*found, _problem("config_broken", error.message, mend)]
    provider, base = clients.codex_route(parsed)
    here = clients.points_here(base, facts.target)
    found += _legacy_profile(parsed) + _route(facts, parsed, provider, base, here)
    found += _account_address(facts, parsed)
    if here:
        block = _block(parsed, provider)
        found += _provider(facts, provider, block, base) + _proxies(facts, str(base))
        found += _sign_in(facts, provider, block)
    elif clients.points_here((facts.environ or {}).get("OPENAI_BASE_URL"), facts.target):
        text = "OPENAI_BASE_URL points at Brimline, but Codex does not read that variable."
        found.append(_note("base_url_variable", text, "Run brimline connect codex."))
    return found + _others(facts)


def _server(facts: Facts) -> list[Finding]:
    if facts.running is not False:
        return []
    if facts.stranger:
        text = (
            f"The Brimline that answers at {facts.target.base} keeps its data elsewhere than in "
            f"{facts.folder}: it belongs to another data folder or another user."
        )
        mend = (
            "Ask about that one with its folder (brimline --data-dir DIR doctor), or end it and "
            "start this one: brimline serve."
        )
        return [_problem("other_server", text, mend)]
    text = f"No Brimline server answers at {facts.target.base}."
    return [_problem("server_not_running", text, "Start it: brimline serve, or the tray.")]


def _legacy_profile(parsed: Mapping[str, Any]) -> list[Finding]:
    if not isinstance(parsed.get("profile"), str):
        return []
    text = "The line “profile = …” is no longer understood: Codex refuses to start with it."
    mend = "Remove it; put the profile into <name>.config.toml and use --profile <name>."
    return [_problem("legacy_profile", text, mend)]


def _route(
    facts: Facts, parsed: Mapping[str, Any], provider: str, base: str | None, here: bool
) -> list[Finding]:
    """Whether config.toml leads here at all."""
    if here:
        return []
    connect = "Run brimline connect codex."
    if provider != "openai" and _block(parsed, provider) is None:
        text = f"model_provider is “{provider}”, but there is no such provider in {facts.path}."
        return [_problem("provider_missing", text, connect[:-1] + " --replace.")]
    if base is None and provider == "openai":
        text = f"{facts.path} does not point at Brimline: Codex goes to its own provider."
        return [_problem("not_connected", text, connect)]
    if base is not None and _same_host(base, facts.target):
        text = f"Codex is pointed at {_origin(base)}, and Brimline is at {facts.target.base}/v1."
        return [_problem("other_port", text, connect[:-1] + " again.")]
    text = f"model_provider “{provider}” leads to {_origin(base)}, not to Brimline."
    return [_problem("elsewhere", text, connect[:-1] + " --replace.")]


def _account_address(facts: Facts, parsed: Mapping[str, Any]) -> list[Finding]:
    address = parsed.get("chatgpt_base_url")
    if not isinstance(address, str) or _port(address) != _port(facts.target.base):
        return []
    if not _same_host(address, facts.target):
        return []
    text = (
        "chatgpt_base_url points at Brimline. Codex then takes it for ChatGPT itself, and sends "
        "requests past it to chatgpt.com."
    )
    return [_problem("chatgpt_base_url", text, f"Remove chatgpt_base_url from {facts.path}.")]


def _provider(
    facts: Facts, provider: str, block: Mapping[str, Any] | None, base: str | None
) -> list[Finding]:
    found = []
    if block is not None and block.get("name") != "OpenAI":
        text = (
            f"The provider's name is “{block.get('name')}”, not exactly “OpenAI”: Codex then "
            "compacts long threads itself and sends larger requests."
        )
        mend = f'Set name = "OpenAI" in [model_providers.{provider}].'
        found.append(_note("provider_name", text, mend))
    if block is not None and block.get("supports_websockets") is True:
        text = "supports_websockets is on: Codex tries a WebSocket first, which Brimline refuses."
        mend = f"Remove supports_websockets from [model_providers.{provider}]."
        found.append(_note("websockets", text, mend))
    named = block is None or block.get("name") == "OpenAI"
    if named and str(base).rstrip("/").endswith("/backend-api/codex") and not _has_key(block):
        text = (
            "The address ends in /backend-api/codex. When Codex cannot ask chatgpt.com about its "
            "own account, it then sends nothing at all."
        )
        found.append(_note("codex_path", text, f"Use {facts.target.base}/v1."))
    return found


def _proxies(facts: Facts, base: str) -> list[Finding]:
    environ = facts.environ or {}
    set_here = [name for name in _PROXIES if environ.get(name)]
    if not set_here:
        return []
    host = _parts(base).hostname or ""
    spared = ",".join(environ.get(name, "") for name in ("NO_PROXY", "no_proxy")).split(",")
    if any(each.strip() in (host, "*") for each in spared if each.strip()):
        return []
    text = f"{set_here[0]} is set, so that Codex asks that proxy for {host} too."
    return [_problem("http_proxy", text, f"Set NO_PROXY={host} where you start Codex.")]


def _sign_in(facts: Facts, provider: str, block: Mapping[str, Any] | None) -> list[Finding]:
    variable = (block or {}).get("env_key")
    if isinstance(variable, str):
        if facts.environ is None or facts.environ.get(variable):
            return []
        text = f"Codex takes its key from {variable}, which is not set here: it sends nothing."
        said = "a key from the API keys page" if facts.target.keys else "any text"
        return [_problem("env_key_unset", text, f"Set {variable} to {said}.")]
    found = []
    if facts.target.keys:
        text = "Brimline asks for API keys, and this way of connecting sends none of its keys."
        mend = "Run brimline connect codex --profile-style provider."
        found.append(_problem("key_needed", text, mend))
    wants = block is None or block.get("requires_openai_auth") is True
    if wants and facts.signed_in is False:
        text = "Codex is not signed in (auth.json is missing), and asks for a sign-in first."
        mend = "Run codex login, or brimline connect codex --profile-style provider."
        found.append(_problem("auth_missing", text, mend))
    return found


def _others(facts: Facts) -> list[Finding]:
    """Files that are layered over, or look as if they were."""
    found = []
    for path, text in facts.others.items():
        try:
            parsed = clients.parse_toml(text)
        except BadRequest:
            continue
        keys = [key for key in _ROUTING if key in parsed]
        if keys and path.replace("\\", "/").endswith("/.codex/config.toml"):
            said = f"{path} sets {', '.join(keys)}, which Codex ignores in a project's folder."
            found.append(_note("project_config", said, f"Put it into {facts.path}."))
        elif keys and not clients.points_here(clients.codex_route(parsed)[1], facts.target):
            name = path.replace("\\", "/").rpartition("/")[2].removesuffix(".config.toml")
            said = f"{path} sets {', '.join(keys)}: with --profile {name} Codex goes elsewhere."
            found.append(_note("profile_elsewhere", said, f"Leave {', '.join(keys)} out of it."))
    return found


def _block(parsed: Mapping[str, Any], provider: str) -> Mapping[str, Any] | None:
    providers = parsed.get("model_providers")
    found = providers.get(provider) if isinstance(providers, dict) else None
    return found if isinstance(found, dict) and provider != "openai" else None


def _has_key(block: Mapping[str, Any] | None) -> bool:
    return block is not None and ("env_key" in block or not block.get("requires_openai_auth"))


def _same_host(url: str, target: Target) -> bool:
    there, here = _parts(url).hostname, _parts(target.base).hostname
    return there == here or {there, here} <= {"127.0.0.1", "localhost", "::1"}


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _port(url: str) -> int | None:
    try:
        return _parts(url).port
    except ValueError:
        return None


def _origin(url: str | None) -> str:
    """An address without a password or a query in it."""
    if url is None:
        return "no address"
    parts = _parts(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _problem(code: str, text: str, mend: str) -> Finding:
    return Finding(code, "problem", text, mend)


def _note(code: str, text: str, mend: str) -> Finding:
    return Finding(code, "note", text, mend)


def healthy(found: Sequence[Finding]) -> bool:
    """Whether nothing keeps requests from us."""
    return not any(each.level == "problem" for each in found)
