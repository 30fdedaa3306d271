"""What we ask the provider about an account: new tokens, and the allowance.

Everything here is bounded (connect, read, whole answer, size), follows no redirect and reads no
proxy variable or netrc file: those would carry tokens elsewhere. No error text holds a secret.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server import __version__
from server.accounts.allowance import DEACTIVATED, SIGN_IN_NEEDED
from server.accounts.oauth import moment
from server.errors import AppError
from server.sentences import say

if TYPE_CHECKING:
    from requests import Response

# The public identifier of Codex's own sign-in; tokens from it can be refreshed only with it.
CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
CONNECT_SECONDS, READ_SECONDS, ANSWER_SECONDS = 5.0, 10.0, 20.0
LARGEST_ANSWER = 1 << 20

_EXPIRED = say("state.expired")
_REVOKED = say("state.revoked")
_SIGN_IN_REASONS = {
    "refresh_token_expired": _EXPIRED,
    "token_expired": _EXPIRED,
    "account_session_expired": _EXPIRED,
    "refresh_token_reused": say("state.reused"),
    "refresh_token_invalidated": _REVOKED,
    "token_invalidated": _REVOKED,
    "token_revoked": _REVOKED,
    "app_session_terminated": _REVOKED,
    "account_auth_invalidated": _REVOKED,
    "invalid_refresh_token": say("state.unknown"),
    "invalid_grant": say("state.refused"),
}
_DEAD_REASONS = {
    "account_suspended": say("state.suspended"),
    "account_deleted": say("state.deleted"),
    "account_deactivated": say("state.deactivated"),
    "deactivated_workspace": say("state.workspace"),
}


class SignInNeeded(AppError):
    """The account's tokens are of no more use; `standing` is its new status."""

    status, code = 409, "sign_in_needed"

    def __init__(self, reason: str, standing: str = SIGN_IN_NEEDED) -> None:
        then = "Sign in again." if standing == SIGN_IN_NEEDED else "Remove it, or ask the provider."
        super().__init__(f"{reason} {then}", title="Sign-in needed", code=standing)
        self.standing = standing
        self.reason = reason


class RefreshFailed(AppError):
    """New tokens could not be had this time; asking again later may work.

    `answered` tells a refusal from a call whose outcome is unknown.
    """

    status, code = 503, "token_refresh_failed"

    def __init__(self, message: str, *, answered: bool = False, wait: int | None = None) -> None:
        super().__init__(message, title="The sign-in could not be renewed", retry_after=wait)
        self.answered = answered


class StillRefused(RefreshFailed):
    """The provider refuses one new token after the other: asking for more does not help now."""


class Unopened(RefreshFailed):
    """The stored tokens cannot be opened now; the key may come back. `reason` says it of them."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class UsageFailed(AppError):
    """The allowance could not be read this time; `http` is the provider's status, if any."""

    status, code = 503, "usage_unavailable"

    def __init__(self, message: str, *, http: int | None = None, wait: int | None = None) -> None:
        super().__init__(message, title="The allowance could not be read", retry_after=wait)
        self.http = http


@dataclass(frozen=True, repr=False)
class Renewed:
    """The answer to a refresh; each part may be missing and then stays as it was."""

    access: str | None
    refresh: str | None
    identity: str | None


@dataclass(frozen=True, repr=False)
class Answer:
    """An HTTP answer that was read to its end; `data` is its JSON, None when it is none."""

    status: int
    data: Any
    wait: int | None  # seconds, from Retry-After
    page: bool = False  # a web page came instead


class Unreachable(Exception):
    """No answer. `sent` says whether the provider may have received the question."""

    def __init__(self, what: str, *, sent: bool) -> None:
        super().__init__(what)
        self.sent = sent


def renew(auth_base_url: str, refresh_token: str, reason: str) -> Renewed:
    """Exchange a refresh token. Raises `SignInNeeded` for good, `RefreshFailed` for now."""
    question = {
        "client_id": CLIENT_ID,
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "refresh_reason": reason,
    }
    try:
        answer = ask("POST", f"{auth_base_url}/oauth/token", body=question)
    except Unreachable as error:
        raise RefreshFailed(
            f"The sign-in server {error}. Check the network.", answered=not error.sent
        ) from None
    if answer.status != 200:
        raise _refused(answer)
    if not isinstance(answer.data, dict):
        raise RefreshFailed(say("signin.noJson"))
    parts = [answer.data.get(f"{kind}_token") for kind in ("access", "refresh", "id")]
    return Renewed(*(part if _is_token(part) else None for part in parts))


@dataclass(frozen=True, repr=False)
class SignedIn:
    """The tokens of a new sign-in."""

    access: str
    refresh: str
    identity: str


def exchange(auth_base_url: str, form: dict[str, str]) -> SignedIn:
    """Exchange the code of a sign-in for tokens. Raises `RefreshFailed`, saying what to do."""
    try:
        answer = ask("POST", f"{auth_base_url}/oauth/token", form=form)
    except Unreachable as error:
        raise RefreshFailed(f"The sign-in server {error}. Check the network.") from None
    if answer.page:
        raise RefreshFailed(say("error.page", status=answer.status))
    data = answer.data if isinstance(answer.data, dict) else {}
    parts = [data.get(f"{kind}_token") for kind in ("access", "refresh", "id")]
    if answer.status != 200 or not all(_is_token(part) for part in parts):
        raise RefreshFailed(say("signin.noTokens", status=answer.status))
    return SignedIn(*(str(part) for part in parts))


def usage(upstream_base_url: str, access_token: str, upstream_id: str | None) -> dict[str, Any]:
    """Ask for an account's allowance.

    Raises `UsageFailed` (with `http` 401 when the token is not accepted), and `SignInNeeded`
    when the provider says that the account is gone.
    """
    headers = _identity(access_token, upstream_id)
    try:
        answer = ask("GET", f"{upstream_base_url}/wham/usage", headers=headers)
    except Unreachable as error:
        raise UsageFailed(f"The provider {error}. Check the network.") from None
    if answer.status == 200 and isinstance(answer.data, dict):
        return answer.data
    dead = gone(*problem(answer.data))
    if dead:
        raise SignInNeeded(_DEAD_REASONS[dead], DEACTIVATED)
    if answer.page:
        said = say("error.page", status=answer.status)
    elif answer.status == 200:
        said = say("usage.noJson")
    else:
        said = say("usage.status", status=answer.status)
    raise UsageFailed(said, http=answer.status, wait=answer.wait)


def gone(code: str, message: str) -> str:
    """The code with which the provider says that the account is no more; empty when it does not."""
    if code in _DEAD_REASONS:
        return code
    return "account_deactivated" if "account has been deactivated" in message.lower() else ""


@dataclass(frozen=True)
class ResetCredit:
    """A banked reset: redeemed, it makes the windows start afresh. Times in ms."""

    id: str
    kind: str | None
    status: str | None
    title: str | None
    description: str | None
    granted_at: int | None
    expires_at: int | None
    redeemed_at: int | None


@dataclass(frozen=True)
class ResetCredits:
    """An account's banked resets; `available` is None when the provider did not count them."""

    available: int | None
    credits: tuple[ResetCredit, ...]


class CreditsFailed(AppError):
    """The banked resets could not be read or redeemed; `http` is the provider's status."""

    status, code = 503, "reset_credits_unavailable"

    def __init__(self, message: str, *, http: int | None = None, wait: int | None = None) -> None:
        super().__init__(message, title="The reset credits cannot be used", retry_after=wait)
        self.http = http


def reset_credits(base_url: str, access_token: str, upstream_id: str | None) -> ResetCredits:
    """Ask for an account's banked resets. Raises `CreditsFailed`."""
    headers = _identity(access_token, upstream_id)
    answer = _credits_answer("GET", f"{base_url}/wham/rate-limit-reset-credits", headers, None)
    listed = answer.get("credits")
    listed = listed if isinstance(listed, list) else []
    found = [_credit(each) for each in listed if isinstance(each, dict)]
    count = answer.get("available_count")
    known = isinstance(count, int) and not isinstance(count, bool) and count >= 0
    return ResetCredits(count if known else None, tuple(each for each in found if each.id))


def redeem(
    base_url: str, access_token: str, upstream_id: str | None, credit: str | None, request: str
) -> str:
    """Redeem a banked reset: `reset`, `already_redeemed`, `nothing_to_reset` or `no_credit`.

    `request` names this wish, so that asking twice redeems once. Raises `CreditsFailed`.
    """
    body = {"redeem_request_id": request, **({"credit_id": credit} if credit else {})}
    headers = _identity(access_token, upstream_id)
    url = f"{base_url}/wham/rate-limit-reset-credits/consume"
    code = _credits_answer("POST", url, headers, body).get("code")
    if code not in ("reset", "already_redeemed", "nothing_to_reset", "no_credit"):
        raise CreditsFailed(say("credit.unsaid"))
    return str(code)


def _credits_answer(
    method: str, url: str, headers: dict[str, str], body: dict[str, Any] | None
) -> dict[str, Any]:
    try:
        answer = ask(method, url, headers=headers, body=body)
    except Unreachable as error:
        again = " The same request may be repeated: it redeems once." if body else ""
        raise CreditsFailed(f"The provider {error}. Check the network.{again}") from None
    if answer.status == 200 and isinstance(answer.data, dict):
        return answer.data
    code, _ = problem(answer.data)
    if body is not None and code in ("nothing_to_reset", "no_credit", "already_redeemed"):
        return {"code": code}
    said = "something that is not JSON" if answer.status == 200 else f"HTTP {answer.status}"
    message = f"The provider answered {said} when asked about reset credits."
    raise CreditsFailed(message, http=answer.status, wait=answer.wait)


def _credit(raw: dict[str, Any]) -> ResetCredit:
    def text(name: str) -> str | None:
        value = raw.get(name)
        return value[:500] if isinstance(value, str) and value else None

    return ResetCredit(
        text("id") or "",
        text("reset_type"),
        text("status"),
        text("title"),
        text("description"),
        *(moment(raw.get(f"{name}_at")) for name in ("granted", "expires", "redeemed")),
    )


def _identity(access_token: str, upstream_id: str | None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {access_token}"}
    return headers | ({"chatgpt-account-id": upstream_id} if upstream_id else {})


def _refused(answer: Answer) -> AppError:
    code, _ = problem(answer.data)
    if code in _DEAD_REASONS:
        return SignInNeeded(_DEAD_REASONS[code], DEACTIVATED)
    if code in _SIGN_IN_REASONS:
        return SignInNeeded(_SIGN_IN_REASONS[code])
    # A 401 in the provider's own words is final; one in HTML comes from something in between.
    if answer.status == 401 and code:
        return SignInNeeded(say("state.refused"))
    return RefreshFailed(
        f"The sign-in server answered HTTP {answer.status}.", answered=True, wait=answer.wait
    )


def not_accepted(code: str) -> SignInNeeded:
    """What a refusal of a token that was renewed just now means, by the provider's code."""
    if code in _DEAD_REASONS:
        return SignInNeeded(_DEAD_REASONS[code], DEACTIVATED)
    found = _SIGN_IN_REASONS.get(code, _EXPIRED)
    # What is new has not expired, whatever the code says.
    return SignInNeeded(say("state.refused") if found == _EXPIRED else found)


def problem(data: Any) -> tuple[str, str]:
    """The code and the message of an error answer, in any of the spellings it comes in."""
    body = data if isinstance(data, dict) else {}
    inner = body.get("error")
    if not isinstance(inner, dict):
        inner = {"code": inner, "message": body.get("error_description")}
    codes = [inner.get("code"), inner.get("error"), body.get("error_code"), body.get("code")]
    if isinstance(body.get("detail"), dict):
        codes.append(body["detail"].get("code"))
    texts = [inner.get("message"), body.get("message"), body.get("detail")]
    code = next((c for c in codes if isinstance(c, str) and c), "")
    return code[:100], next((t for t in texts if isinstance(t, str) and t), "")[:500]


def _is_token(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]{1,32768}", value) is not None


def ask(
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    body: dict[str, Any] | None = None,
    form: dict[str, str] | None = None,
) -> Answer:
    """One bounded exchange with the provider. Raises `Unreachable` when there is no answer."""
    import requests  # takes a tenth of a second, which the server's start does not wait for
    from urllib3.exceptions import HTTPError

    sending = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"brimline/{__version__}",
        **(headers or {}),
    }
    until = time.monotonic() + ANSWER_SECONDS
    try:
        with requests.Session() as session:
            session.trust_env = False
            with session.request(
                method,
                url,
                headers=sending,
                json=body,
                data=form,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as response:
                return _answer(response, until)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        raise Unreachable(_kind(error), sent=not _never_left(error)) from None


def _answer(response: Response, until: float) -> Answer:
    found = bytearray()
    # read1 gives what has come: a peer that drips bytes meets the deadline, not only a timeout.
    while chunk := response.raw.read1(16384, decode_content=True):
        found += chunk
        if len(found) > LARGEST_ANSWER:
            raise ValueError("too large")
        if time.monotonic() > until:
            raise TimeoutError
    try:
        data = json.loads(bytes(found))
    except (ValueError, RecursionError):
        data = None
    wait = response.headers.get("Retry-After", "")
    # Some of those in between do not say that theirs is HTML.
    named = "text/html" in response.headers.get("Content-Type", "").lower()
    page = data is None and (named or found.lstrip().startswith(b"<"))
    seconds = int(wait) if re.fullmatch(r"\d{1,6}", wait) else None
    return Answer(response.status_code, data, seconds, page)


def _kind(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "could not be reached safely: its certificate was not accepted"
    if isinstance(error, requests.Timeout | TimeoutError):
        return "did not answer in time"
    if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
        return "sent an answer that is far too large"
    return "could not be reached" if _never_left(error) else "ended the connection early"


def _never_left(error: Exception) -> bool:
    """Whether the question certainly did not reach the provider."""
    import requests
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    inner = error.args[0] if error.args else None
    return isinstance(getattr(inner, "reason", inner), NewConnectionError)
