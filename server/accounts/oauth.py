"""Sign-in: whose tokens these are, from a file or from the provider's own pages."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from server.accounts.allowance import plan_name, workspace_name
from server.errors import BadRequest
from server.sentences import say

LARGEST_FILE = 256 * 1024
_LARGEST_TOKEN = 32 * 1024
_AUTH = "https://api.openai.com/auth"
_PROFILE = "https://api.openai.com/profile"


@dataclass(frozen=True)
class SignIn:
    """The tokens of one identity, and what they say about it without being verified.

    Times are milliseconds UTC. `upstream_id` is the workspace the provider counts for.
    """

    access_token: str
    refresh_token: str | None
    id_token: str | None
    upstream_id: str | None
    user_id: str | None
    email: str
    plan: str | None
    workspace: str | None
    workspace_name: str | None
    refreshed_at: int | None
    expires_at: int | None

    @property
    def identity(self) -> str:
        """The same for the same user in the same workspace, however often they sign in."""
        who = self.user_id or self.email.casefold()
        return hashlib.sha256(f"{who}\0{self.upstream_id or ''}".encode()).hexdigest()[:16]


def invalid(message: str) -> BadRequest:
    """The error for a file that is not a usable auth.json; `message` says what to do."""
    return BadRequest(message, title="Not a usable auth.json", code="invalid_auth_json")


def parse(raw: bytes) -> SignIn:
    """Read an auth.json of Codex (old and new spelling), of opencode, or an export of one.

    Raises `BadRequest` with code invalid_auth_json; its message never quotes the file.
    """
    if len(raw) > LARGEST_FILE:
        raise invalid(say("file.large"))
    data = _tokens_of(_read(raw))
    access = _token(data, "access_token", "accessToken", "access")
    identity = _token(data, "id_token", "idToken")
    if access is None:
        raise invalid(say("file.noToken"))
    # A token that has a JWT's shape but says nothing would be an account without a name, which
    # the provider refuses. An access token of another shape may be one of a later day.
    if identity is not None and not claims(identity):
        raise invalid(say("file.damaged", field="id_token"))
    if access.count(".") == 2 and not claims(access):
        raise invalid(say("file.damaged", field="access_token"))
    refresh = _token(data, "refresh_token", "refreshToken", "refresh")
    account = _first(data, "account_id", "accountId")
    return sign_in(access, refresh, identity, account=account, refreshed=data.get("when"))


def sign_in(
    access: str,
    refresh: str | None,
    identity: str | None,
    *,
    account: Any = None,
    refreshed: Any = None,
) -> SignIn:
    """Who these tokens belong to. Raises `BadRequest` when they do not say."""
    about = claims(identity) if identity else {}
    more = claims(access)
    auth = {**_mapping(more.get(_AUTH)), **_mapping(about.get(_AUTH))}
    email = _clean(about.get("email")) or _clean(_mapping(more.get(_PROFILE)).get("email"))
    email = email or _clean(more.get("email"))
    claimed = _claim("chatgpt_account_id", auth, about, more)
    upstream = _said(account, "account_id") or _said(claimed, "chatgpt_account_id")
    if not email and not upstream:
        raise invalid(say("file.whose"))
    place = _workspace(auth, upstream)
    return SignIn(
        access_token=access,
        refresh_token=refresh,
        id_token=identity,
        upstream_id=upstream,
        user_id=_said(
            _claim("chatgpt_user_id", auth, about, more) or auth.get("user_id"), "chatgpt_user_id"
        ),
        email=email or "",
        plan=plan_name(_claim("chatgpt_plan_type", auth, about, more)),
        workspace=_identifier(place.get("id")),
        workspace_name=workspace_name(place.get("title") or place.get("name")),
        refreshed_at=moment(refreshed),
        expires_at=expiry(access),
    )


def claims(token: str) -> dict[str, Any]:
    """What a JWT says; its signature is not checked. Empty when it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        body = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        found = json.loads(body)
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def expiry(token: str) -> int | None:
    """When an access token ends (ms); None when it does not say."""
    end = claims(token).get("exp")
    if isinstance(end, bool) or not isinstance(end, int | float) or not 0 < end < 1e11:
        return None
    return int(end * 1000)


def moment(value: Any) -> int | None:
    """A time as the files spell it: ISO text, seconds or milliseconds; None when unclear."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value if value > 1e11 else value * 1000) if 1e9 < value < 1e14 else None
    if not isinstance(value, str):
        return None
    # Codex writes nanoseconds; fromisoformat takes no more than microseconds.
    text = re.sub(r"(\.\d{6})\d+", r"\1", value.strip())
    try:
        when = datetime.fromisoformat(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return int(when.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


# ── the file ──────────────────────────────────────────────────────────────────────────────


def _read(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise invalid(say("file.noJson")) from error
    if not isinstance(data, dict):
        raise invalid(say("file.other"))
    inner = data.get("codexAuthJson")
    return inner if isinstance(inner, dict) else data


def _tokens_of(data: dict[str, Any]) -> dict[str, Any]:
    """The tokens, wherever this kind of file keeps them, and when they were refreshed."""
    tokens = data.get("tokens")
    if isinstance(tokens, dict):
        return {**tokens, "when": _first(data, "last_refresh", "lastRefreshAt", "lastRefresh")}
    opencode = _mapping(data.get("openai"))
    if opencode.get("type") == "oauth":
        return dict(opencode)
    if opencode.get("type") == "api" or _first(data, "OPENAI_API_KEY", "openaiApiKey"):
        raise invalid(say("file.apiKey"))
    if "claudeAiOauth" in data:
        raise invalid(say("file.claude"))
    if _first(data, "access_token", "accessToken"):
        return {**data, "when": _first(data, "last_refresh", "lastRefreshAt")}
    raise invalid(say("file.none"))


def _token(data: Mapping[str, Any], *names: str) -> str | None:
    value = _first(data, *names)
    if value is None or value == "":
        return None
    # A token becomes a header, so nothing but visible ASCII may be in it.
    if (
        not isinstance(value, str)
        or len(value) > _LARGEST_TOKEN
        or not re.fullmatch(r"[\x21-\x7e]+", value)
    ):
        raise invalid(say("file.damaged", field=names[0]))
    return value


def _first(data: Mapping[str, Any], *names: str) -> Any:
    return next((data[name] for name in names if data.get(name) is not None), None)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _claim(key: str, *places: Mapping[str, Any]) -> Any:
    return next((place[key] for place in places if place.get(key)), None)


def _clean(value: Any) -> str | None:
    if not isinstance(value, str) or not value.isprintable() or len(value) > 320:
        return None
    return value.strip() or None  # isprintable also refuses lone surrogates and NUL


def _identifier(value: Any) -> str | None:
    fits = isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]{1,128}", value)
    return str(value) if fits else None


def _said(value: Any, field: str) -> str | None:
    """An identifier that decides whose account this is: left out, or whole. Raises `BadRequest`."""
    found = _identifier(value)
    if found is None and value not in (None, ""):
        # Without it the same person's other workspace would be taken for this one.
        raise invalid(say("file.damaged", field=field))
    return found


def _workspace(auth: Mapping[str, Any], upstream: str | None) -> Mapping[str, Any]:
    """The organisation that the sign-in is for, else the user's own; empty when none is named."""
    known = auth.get("organizations")
    found = [each for each in known if isinstance(each, Mapping)] if isinstance(known, list) else []
    wanted = {upstream, _identifier(auth.get("organization_id"))} - {None}
    meant = [each for each in found if _identifier(each.get("id")) in wanted]
    meant += [each for each in found if each.get("is_default") is True]
    return next(iter(meant + found), {})
