"""The configuration of each client that can be pointed at us: text in, text out.

Pure. The user's own lines are never reformatted: ours go in beside them, what ours replace is put
aside as a comment (or, in JSON, kept in the backup), and taking ours out brings the text back
byte for byte. Each edit is checked by parsing: nothing but our keys may differ.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from server import jsonc
from server.errors import BadRequest, Conflict
from server.ingest import connect
from server.ingest.connect import Section, newline
from server.sentences import misplaced, say

NAMES = {
    "codex": "Codex",
    "telemetry": "Codex telemetry",
    "opencode": "OpenCode",
    "openclaw": "OpenClaw",
}
KEY_VARIABLE = "BRIMLINE_API_KEY"
PROVIDER = "brimline"
STYLES = ("auto", "base-url", "provider")

_BOM = "\ufeff"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TAG = "# added by Brimline; `brimline disconnect codex` takes it out"
_ASIDE = "# Brimline put this aside: "
_TAGGED = re.compile(
    rf"^(?:openai_base_url|model_provider) = .*{re.escape(_TAG)}[ \t]*(?:\r?\n|\Z)", re.MULTILINE
)
_PROVIDER = Section(
    "provider",
    "brimline disconnect codex",
    f"[model_providers.{PROVIDER}]",
    ("name", "base_url", "wire_api", "env_key", "requires_openai_auth"),
)


@dataclass(frozen=True)
class Target:
    """What clients are pointed at: our address, and what they need there."""

    base: str  # http://127.0.0.1:2455
    keys: bool = False  # the proxy asks for an API key
    models: tuple[tuple[str, str], ...] = ()  # id and name, the most important first
    signed_in: bool = True  # Codex has a sign-in of its own
    token: str | None = None  # for telemetry, beyond loopback; "" is needed and missing


@dataclass(frozen=True)
class Wish:
    """How somebody wants to be connected."""

    replace: bool = False  # put aside what leads elsewhere
    style: str = "auto"  # Codex: one line, or a provider block


def connected(client: str, text: str, target: Target, wish: Wish | None = None) -> str:
    """`text` with this client pointed at us; unchanged when it is so already.

    Raises `Conflict` code `config_has_other_value` when the user has another value and
    `wish.replace` is not set, and `BadRequest` when the text cannot be read.
    """
    wish = wish or Wish()
    if standing(client, text, target) == "by_hand" and wish.style != "provider":
        return text
    if client == "codex":
        return _in_toml(text, lambda plain: _codex_with(plain, target, wish))
    if client == "telemetry":
        endpoint = connect.logs_endpoint(target.base)
        if target.token == "":
            raise Conflict(
                say("connect.adminToken"),
                code="admin_token_needed",
            )
        return _in_toml(
            text,
            lambda plain: connect.with_otel(plain, endpoint, target.token, replace=wish.replace),
        )
    return _JSON[client].connected(text, target, wish)


def disconnected(client: str, text: str, original: str | None = None) -> str:
    """`text` without what `connected` put there; any other text is left as it is.

    `original` is the text before we came, if it is known: what JSON cannot keep aside.
    """
    if client == "codex":
        return _in_toml(text, _codex_without)
    if client == "telemetry":
        return _in_toml(text, connect.without_otel)
    return _JSON[client].disconnected(text, original)


def standing(client: str, text: str, target: Target) -> str:
    """How a client's configuration stands.

    connected (ours, as it should be), by_hand (the user's own lines lead here), other_address
    (ours, but not where we are now), elsewhere (leads to another place), absent, broken.
    """
    try:
        if client == "codex":
            return _codex_standing(text, target)
        if client == "telemetry":
            return _telemetry_standing(text, target)
        return _JSON[client].standing(text, target)
    except (BadRequest, Conflict):
        return "broken"


def snippet(client: str, target: Target) -> str:
    """What somebody who connects by hand writes into an empty file."""
    if client == "environment":
        key = "sk-clb-…" if target.keys else "any"
        return f'export OPENAI_BASE_URL="{target.base}/v1"\nexport OPENAI_API_KEY="{key}"\n'
    if client == "codex":
        lines = [*_codex_lines(target, _style("auto", target)).values()]
        plain = "\n".join(lines) + "\n"
        return plain if not target.keys else plain + "\n" + "\n".join(_block(target)) + "\n"
    return connected(client, "", target)


def diff(before: str, after: str, name: str) -> str:
    """What changes, as a unified diff; secrets in the lines around are not shown."""
    lines = difflib.unified_diff(
        _shown_lines(before), _shown_lines(after), f"{name} (now)", f"{name} (then)", n=2
    )
    return "".join(_masked(line) if line.endswith("\n") else _masked(line) + "\n" for line in lines)


def points_here(url: Any, target: Target) -> bool:
    """Whether an address is one of ours that serves requests."""
    if not isinstance(url, str):
        return False
    try:
        there, here = urlsplit(url), urlsplit(target.base)
        same_port = (there.port or 80) == (here.port or 80)
    except ValueError:
        return False
    hosts = {there.hostname, here.hostname}
    same_host = len(hosts) == 1 or hosts <= set(_LOOPBACK)
    path = there.path.rstrip("/")
    return there.scheme == here.scheme and same_host and same_port and path in (
        "/v1", "/backend-api/codex",
    )  # fmt: skip


# --- Codex ----------------------------------------------------------------------------------------


def codex_route(parsed: Mapping[str, Any]) -> tuple[str, str | None]:
    """The provider that Codex takes, and the address it sends requests to (None: its own)."""
    provider = parsed.get("model_provider", "openai")
    base = parsed.get("openai_base_url")
    if provider != "openai":
        providers = parsed.get("model_providers")
        block = providers.get(provider) if isinstance(providers, dict) else None
        base = block.get("base_url") if isinstance(block, dict) else None
    return str(provider), base if isinstance(base, str) else None


def parse_toml(text: str) -> dict[str, Any]:
    """What a config.toml says; raises `BadRequest` code `invalid_config_toml`."""
    try:
        return tomllib.loads(text.removeprefix(_BOM))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadRequest(
            say("connect.toml", why=misplaced(error)),
            code="invalid_config_toml",
        ) from error


def _codex_standing(text: str, target: Target) -> str:
    parsed = parse_toml(text)
    provider, base = codex_route(parsed)
    ours = bool(_TAGGED.search(text.removeprefix(_BOM)))
    if points_here(base, target):
        return "connected" if ours else "by_hand"
    if ours:
        return "other_address"
    return "absent" if provider == "openai" and base is None else "elsewhere"


def _telemetry_standing(text: str, target: Target) -> str:
    text = text.removeprefix(_BOM)
    found = connect.state(text)
    if found == "foreign":
        parsed = parse_toml(text)
        otlp = _at(parsed, ("otel", "exporter", "otlp-http", "endpoint"))
        if otlp == connect.logs_endpoint(target.base):
            return "by_hand"
        return "elsewhere" if connect.sends_elsewhere(parsed["otel"]) else "absent"
    if found != "ours":
        return found
    here = connect.logs_endpoint(target.base)
    same = connect.with_otel(text, here, target.token, replace=True) == text
    return "connected" if same else "other_address"


def _codex_with(text: str, target: Target, wish: Wish) -> str:
    plain = _codex_without(text)
    before = parse_toml(plain)
    lines = _codex_lines(target, _style(wish.style, target))
    expected = {k: v for k, v in before.items() if k not in lines}
    done = plain
    for key in _in_the_way(before, lines):
        if not wish.replace:
            raise _occupied(key, before[key])
        done = _put_aside(done, key)
        expected.pop(key, None)
    done = newline(plain).join([*lines.values(), ""]) + done
    expected |= tomllib.loads("\n".join(lines.values()))
    if "model_provider" in lines:
        _check_free(before)
        done = _PROVIDER.added(done, _block(target)[1:])
        block = tomllib.loads("\n".join(_block(target)))["model_providers"]
        expected["model_providers"] = {**before.get("model_providers", {}), **block}
    if not _says(done, expected):
        raise Conflict(
            say("connect.noRoom"),
            code="cannot_be_edited",
        )
    return done


def _says(text: str, expected: dict[str, Any]) -> bool:
    try:
        return parse_toml(text) == expected
    except BadRequest:
        return False


def _codex_without(text: str) -> str:
    text = _TAGGED.sub("", _PROVIDER.removed(text))
    return re.sub(rf"^{re.escape(_ASIDE)}", "", text, flags=re.MULTILINE)


def _style(asked: str, target: Target) -> str:
    """The single line keeps the provider's name, and so old sessions; a key needs a block."""
    if asked != "auto":
        return asked
    return "provider" if target.keys else "base-url"


def _codex_lines(target: Target, style: str) -> dict[str, str]:
    if style == "provider":
        return {"model_provider": f'model_provider = "{PROVIDER}"  {_TAG}'}
    return {"openai_base_url": f"openai_base_url = {json.dumps(target.base + '/v1')}  {_TAG}"}


def _block(target: Target) -> list[str]:
    # /v1 and “OpenAI”, exactly: so Codex compacts remotely, and goes on when it cannot find out
    # its workspace (reference: what 0.169 does with each variant).
    # Without a key and a sign-in it may say neither: then Codex asks for no sign-in at all.
    who = ["requires_openai_auth = true"] if target.signed_in else []
    return [
        _PROVIDER.header,
        'name = "OpenAI"',
        f"base_url = {json.dumps(target.base + '/v1')}",
        'wire_api = "responses"',
        *([f'env_key = "{KEY_VARIABLE}"'] if target.keys else who),
    ]


def _in_the_way(parsed: dict[str, Any], lines: Mapping[str, str]) -> list[str]:
    """The top-level keys that would win over ours, or clash with them."""
    found = [key for key in lines if key in parsed]
    if "model_provider" in parsed and "model_provider" not in lines:
        found += ["model_provider"] * (parsed["model_provider"] != "openai")
    return found


def _occupied(key: str, value: Any) -> Conflict:
    return Conflict(
        say("connect.occupied", field=key, words=_masked(json.dumps(value, default=str))),
        code="config_has_other_value",
    )


def _check_free(parsed: dict[str, Any]) -> None:
    providers = parsed.get("model_providers", {})
    if not isinstance(providers, dict) or PROVIDER in providers:
        raise Conflict(
            say("connect.providerThere", name=PROVIDER),
            code="provider_exists",
        )


def _put_aside(text: str, key: str) -> str:
    """`text` with the line of a top-level key made a comment; only that key may go."""
    wanted = {k: v for k, v in parse_toml(text).items() if k != key}
    for found in re.finditer(rf"^[ \t]*([\"']?){re.escape(key)}\1[ \t]*=", text, re.MULTILINE):
        candidate = text[: found.start()] + _ASIDE + text[found.start() :]
        try:
            if tomllib.loads(candidate) == wanted:
                return candidate
        except tomllib.TOMLDecodeError:
            continue
    raise Conflict(
        say("connect.severalLines", field=key),
        code="cannot_be_edited",
    )


def _in_toml(text: str, edit: Any) -> str:
    # Codex reads over a byte order mark, so it stays where it is.
    mark = _BOM if text.startswith(_BOM) else ""
    return mark + str(edit(text.removeprefix(_BOM)))


# --- OpenCode and OpenClaw ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Json:
    """A client with a JSON file: where our provider goes, and where the chosen model."""

    name: str
    five: bool
    provider: tuple[str, ...]
    address: tuple[str, ...]  # within our provider
    model: tuple[str, ...]

    def connected(self, text: str, target: Target, wish: Wish) -> str:
        before = self._read(text)
        done, ours = text, _provider_of(self.name, target)
        self._check_listed(before)
        if _at(before, self.provider) != ours:
            done = jsonc.put(done, self.provider, ours, five=self.five)
        _, model = self._chosen(before)
        chosen = isinstance(model, str) and model.startswith(f"{PROVIDER}/")
        if target.models and (model is None or (wish.replace and not chosen)):
            done = self._put_model(done, before, f"{PROVIDER}/{target.models[0][0]}")
        if not text.strip(_BOM + " \t\r\n") and self.name == "opencode":
            # opencode would add it itself, and so change our file.
            done = jsonc.put(done, ("$schema",), "https://opencode.ai/config.json")
        return done

    def disconnected(self, text: str, original: str | None) -> str:
        parsed = self._read(text)
        before = _readable(original, self.five)
        done = text
        model = _at(parsed, self.model)
        if isinstance(model, str) and model.startswith(f"{PROVIDER}/"):
            place, old = self._chosen(before)
            foreign = old is not None and not str(old).startswith(f"{PROVIDER}/")
            done = (
                jsonc.put(done, place, old, five=self.five)
                if foreign
                else self._drop(done, self.model, before)
            )
        return self._drop(done, self.provider, before)

    def standing(self, text: str, target: Target) -> str:
        found = _at(self._read(text), self.provider)
        if found is None:
            return "absent"
        address = _at(found, self.address)
        return "connected" if points_here(address, target) else "other_address"

    def _chosen(self, parsed: Any) -> tuple[tuple[str, ...], Any]:
        """Where the model stands and which it is; OpenClaw also takes it without the object."""
        short = _at(parsed, self.model[:-1])
        return (self.model[:-1], short) if isinstance(short, str) else (
            self.model, _at(parsed, self.model)
        )  # fmt: skip

    def _put_model(self, text: str, before: Any, model: str) -> str:
        place, _ = self._chosen(before)
        value = model if place == self.model else {self.model[-1]: model}
        return jsonc.put(text, place, value, five=self.five)

    def _drop(self, text: str, path: tuple[str, ...], before: Any) -> str:
        """Without the member, and without the objects that were made for it."""
        if _at(self._read(text), path) is None:
            return text
        text = jsonc.drop(text, path, five=self.five)
        for length in range(len(path) - 1, 0, -1):
            outer = path[:length]
            left = _at(jsonc.read(text, five=self.five), outer)
            if left != {} or _at(before, outer) is not None:
                break
            text = jsonc.drop(text, outer, five=self.five)
        return text

    def _read(self, text: str) -> Any:
        found = jsonc.read(text, five=self.five) if text.strip(_BOM + " \t\r\n") else {}
        if not isinstance(found, dict):
            raise BadRequest(say("connect.noObject"), code="invalid_client_config")
        return found

    def _check_listed(self, parsed: Any) -> None:
        enabled, disabled = parsed.get("enabled_providers"), parsed.get("disabled_providers")
        left_out = isinstance(enabled, list) and PROVIDER not in enabled
        if left_out or (isinstance(disabled, list) and PROVIDER in disabled):
            name = "enabled_providers" if left_out else "disabled_providers"
            key = "connect.hiddenAdd" if left_out else "connect.hiddenTake"
            raise Conflict(
                say(key, field=name),
                code="provider_hidden",
            )


_JSON = {
    "opencode": _Json(
        "opencode", False, ("provider", PROVIDER), ("options", "baseURL"), ("model",)
    ),
    "openclaw": _Json(
        "openclaw",
        True,
        ("models", "providers", PROVIDER),
        ("baseUrl",),
        ("agents", "defaults", "model", "primary"),
    ),
}


def _provider_of(client: str, target: Target) -> dict[str, Any]:
    if client == "opencode":
        options = {"baseURL": f"{target.base}/v1"}
        if target.keys:
            options["apiKey"] = f"{{env:{KEY_VARIABLE}}}"
        models = {name: {"name": said, "reasoning": True} for name, said in target.models}
        npm = "@ai-sdk/openai-compatible"
        return {"npm": npm, "name": "Brimline", "options": options, "models": models}
    return {
        "baseUrl": f"{target.base}/v1",
        "apiKey": f"${{{KEY_VARIABLE}}}" if target.keys else "any",
        "api": "openai-completions",
        "models": [{"id": name, "name": said} for name, said in target.models],
    }


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _readable(text: str | None, five: bool) -> Any:
    try:
        return jsonc.read(text or "{}", five=five)
    except BadRequest:
        return None


# --- What is shown --------------------------------------------------------------------------------

_SECRET_NAME = re.compile(
    r"""((?:key|token|secret|password|authorization|credential)[\w-]*["']?\s*[=:]\s*)"""
    r"""(["'])(?!\{env:|\$\{|any["'])[^"']+\2""",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:sk|ghp|gho|xox[a-z])[-_][\w-]{8,}|\beyJ[\w-]+\.[\w.-]+|(?<=Bearer )[^\s\"']+"
    r"|(?<=://)[^\s/@\"']+(?=@)"
)


def _masked(line: str) -> str:
    if "env_key" in line:
        return _SECRET.sub("••••", line)
    return _SECRET.sub("••••", _SECRET_NAME.sub(r"\1\2••••\2", line))


def _shown_lines(text: str) -> list[str]:
    plain = text.removeprefix(_BOM).replace("\r\n", "\n")
    return re.findall(r"[^\n]*\n|[^\n]+", plain)
