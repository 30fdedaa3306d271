"""What an attempt's end means, and what comes next: retry, another account, or an answer.

Retry classes: R0 the provider did not take the request, so every account may be tried; R1 it is
unclear, so once more at most; R2 unclear by time, R3 something was shown, R4 it would end the
same anywhere: never again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from server.accounts import provider
from server.errors import AppError
from server.sentences import say

HOUR = 3_600_000
YEAR = 366 * 24 * HOUR
# Codex waits by itself for a 429 with Retry-After; a longer wait is shown as a limit.
SHORT_WAIT = 120_000
_LONG_WINDOW = 6 * HOUR

_LIMIT = frozenset({"usage_limit_reached", "workspace_member_usage_limit_reached"})
_QUOTA = frozenset({"insufficient_quota", "usage_not_included", "quota_exceeded"})
_RATE = frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests"})
_OVERLOAD = frozenset({"server_is_overloaded", "overloaded_error", "slow_down", "overloaded"})
_TRANSIENT = frozenset(
    {"server_error", "internal_server_error", "internal_error", "upstream_error", "error"}
    | {"api_error", "stream_incomplete", "timeout", "upstream_request_timeout"}
)
# The same on every account: what was asked is at fault.
_ASKED = frozenset(
    {"context_length_exceeded", "invalid_prompt", "invalid_request_error", "invalid_request"}
    | {"content_filter", "content_policy_violation", "unsupported_parameter"}
    | {
        "previous_response_not_found",
        "model_not_found",
        "file_not_found",
        "string_above_max_length",
        "cyber_policy",
    }
)
# No room; or an edge that did not get through: down, unreachable, no TLS with it, no address.
_NOT_TAKEN = frozenset({503, 529, 521, 523, 525, 526, 530})
_WAIT = re.compile(r"try again in (\d+(?:\.\d+)?)\s*(ms|s|m\b)", re.IGNORECASE)
# Refusals that a repeat meets again. Of a 400 Codex prints the whole JSON, and a 401 or 403 it
# repeats six times and then prints with our address; of this code it prints the sentence alone.
_LASTING = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422})
_PRINTED = "invalid_prompt"
_CODES_OF_CODEX = frozenset({"previous_response_not_found", "context_length_exceeded"})
_NO_MODEL = re.compile(r"model is not supported", re.IGNORECASE)


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended before anything reached the client.

    `kind`: status (an HTTP answer), event (an error inside a 200), empty (a 200 that ended
    with nothing in it), unreachable, hangup (closed after the request was sent), stale (the
    same on a kept connection), slow (first-byte deadline), token (no usable token), gone.
    """

    kind: str
    status: int | None = None
    code: str = ""
    message: str = ""
    resets_at: int | None = None  # ms, as the provider said
    retry_after: float | None = None  # seconds
    body: bytes = field(default=b"", repr=False)
    json: bool = False  # the body is a JSON object of the provider's
    page: int | None = None  # the status with which a web page came instead of an answer
    sent: int | None = None  # the status as it was sent, where it counts as another

    @property
    def seen(self) -> int | None:
        """The status that was sent, for the log."""
        return self.page or self.sent or self.status


@dataclass(frozen=True)
class Verdict:
    """What an outcome means: its class, a word for the log, and what it does to the account.

    `block`: the account's new status until `until`; `counts` whether it is an error that may
    be the account's own.
    """

    retry: str  # R0 R1 R2 R4
    word: str
    block: str | None = None
    until: int | None = None
    counts: bool = False


class Trouble(AppError):
    """The provider could not be asked, or gave no answer; the sentence says what is wrong.

    `stays`: it does not go by itself, such as a sign-in page of a network.
    """

    def __init__(
        self, message: str, *, retry_after: int | None = None, stays: bool = False
    ) -> None:
        super().__init__(message, status=503, code="server_is_overloaded", retry_after=retry_after)
        self.stays = stays


class Busy(AppError):
    """More is asked at once than we may serve; in a moment there is room."""


@dataclass
class Tries:
    """What happened to one request so far."""

    accounts: set[str] = field(default_factory=set)
    refreshed: set[str] = field(default_factory=set)
    renewed: set[str] = field(default_factory=set)  # those of them that got a new token
    ambiguous: int = 0
    token: str = field(default="", repr=False)  # the access token that was last sent
    stale: str | None = None  # an account that met a kept connection only, never a new one
    verdicts: list[tuple[Outcome, Verdict]] = field(default_factory=list)


def classify(outcome: Outcome, now: int) -> Verdict:
    """What the end of an attempt means."""
    if outcome.kind == "unreachable":
        # The network's fault, not the account's: no penalty.
        return Verdict("R0", "unreachable")
    if outcome.kind in ("hangup", "empty"):
        return Verdict("R1", "hung up", counts=True)
    if outcome.kind == "stale":
        return Verdict("R1", "stale connection")
    if outcome.kind == "slow":
        return Verdict("R2", "no answer in time", counts=True)
    if outcome.kind == "token":
        return Verdict("R0", "no token", counts=outcome.code != "sign_in_needed")
    return _classify_answer(outcome, now)


def _classify_answer(outcome: Outcome, now: int) -> Verdict:
    code, status = outcome.code, outcome.status
    if status == 429 or code in _LIMIT | _QUOTA | _RATE:
        return _limit(outcome, now)
    if status == 401:
        return Verdict("R0", "unauthorised")
    if status in (402, 403) or gone(outcome):
        return Verdict("R0", "refused", counts=True)
    if status in _NOT_TAKEN or code in _OVERLOAD:
        return Verdict("R0", "overloaded", counts=True)
    if (status is not None and status >= 500) or code in _TRANSIENT or status == 408:
        return Verdict("R1", "server error", counts=True)
    if lacks_model(outcome.message):
        return Verdict("R0", "no such model")
    if outcome.kind == "event" and status is None and code not in _ASKED:
        # Codex ignores an `error` event whatever its code, and asks six times more.
        return Verdict("R1", "server error", counts=True)
    return Verdict("R4", "refused by rule")


def _limit(outcome: Outcome, now: int) -> Verdict:
    resets = outcome.resets_at
    if resets is None and outcome.retry_after is not None:
        resets = now + int(outcome.retry_after * 1000)
    if resets is not None and not now < resets < now + YEAR:
        resets = None  # a time that has passed or never comes is no time
    if outcome.code in _QUOTA:
        return Verdict("R0", "quota", "quota_exceeded", resets or now + HOUR)
    if outcome.code in _LIMIT:
        until = resets or now + 5 * 60_000
        status = "quota_exceeded" if until - now > _LONG_WINDOW else "rate_limited"
        return Verdict("R0", "usage limit", status, until)
    # Bursts without a time are over within seconds, nearly always.
    until = resets or now + (wait_hint(outcome.message) or 2_000)
    return Verdict("R0", "rate limit", "rate_limited", max(until, now + 200))


def refused(status: int, body: bytes, named: Mapping[str, str]) -> Outcome:
    """The outcome of an HTTP answer that is none; `named` are its headers in lower case.

    A web page, a redirect or an empty success counts as 502: the service did not answer.
    """
    error = _error_object(body)
    page = "text/html" in named.get("content-type", "") and not error
    resets = error.get("resets_at")
    return Outcome(
        "status",
        status=status if status >= 400 else 502,
        code=str(error.get("code") or error.get("type") or "")[:100],
        message=str(error.get("message") or "")[:500],
        resets_at=resets * 1000 if isinstance(resets, int) else None,
        retry_after=_seconds(named.get("retry-after")),
        body=body,
        json=bool(error),
        page=status if page else None,
        sent=status,
    )


def _error_object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(value, dict):
        return {}
    error, detail = value.get("error"), value.get("detail")
    if isinstance(error, dict):
        return error
    if isinstance(detail, list):  # one fault for each field
        detail = next((each for each in detail if isinstance(each, dict)), None)
    if isinstance(detail, dict):
        return {**detail, "message": detail.get("message") or detail.get("msg")}
    found = next((text for text in (detail, error) if isinstance(text, str)), None)
    return value if found is None else {**value, "message": found}


def _seconds(value: str | None) -> float | None:
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if 0 <= found < 31_622_400 else None


def wait_hint(message: str) -> int | None:
    """The milliseconds of a “try again in 1.2s” sentence; None when there is none."""
    found = _WAIT.search(message)
    if not found:
        return None
    scale = {"ms": 1, "s": 1000, "m": 60_000}[found[2].lower()]
    return min(int(float(found[1]) * scale), YEAR)


def next_step(
    outcome: Outcome, verdict: Verdict, account: str, tries: Tries, may_repeat: Callable[[], bool]
) -> str:
    """`refresh` and try this account again, `another` account, or `stop`.

    `may_repeat` says whether an unclear request may be sent once more; asked only then.
    """
    if outcome.kind == "gone" or verdict.retry in ("R2", "R4"):
        return "stop"
    if verdict.retry == "R1":
        if tries.ambiguous >= 1 or not may_repeat():
            return "stop"
        return "another"
    if verdict.word == "unauthorised" and account not in tries.refreshed:
        return "refresh"
    if outcome.kind == "unreachable":
        # Once more, in case it was a blink; every other account would meet the same wall.
        met = sum(each.kind == "unreachable" for each, _ in tries.verdicts)
        return "stop" if met > 1 else "another"
    return "another"


def sign_in_ended(outcome: Outcome, verdict: Verdict, account: str, tries: Tries) -> bool:
    """Whether the provider refuses the account's sign-in for good: a token just renewed, too.

    Only its own words count: a page or an empty 401 may come from something in between.
    """
    own = outcome.json or outcome.kind == "event"
    return own and verdict.word == "unauthorised" and account in tries.renewed


def gone(outcome: Outcome) -> str:
    """The code with which the provider itself says that the account is no more, or nothing.

    A 401 may be about the token only, so a new one is tried first.
    """
    if not outcome.json or outcome.status not in (402, 403, 404):
        return ""
    return provider.gone(outcome.code, outcome.message)


def lacks_model(message: str) -> bool:
    """Whether the provider says that an account cannot use the model."""
    return bool(_NO_MODEL.search(message))


def cut_off(tries: Tries) -> bool:
    """Whether the provider could not be reached at last, whatever the accounts' limits are."""
    return bool(tries.verdicts) and tries.verdicts[-1][1].word == "unreachable"


def serious(tries: Tries) -> list[tuple[Outcome, Verdict]]:
    """The failures that neither a limit nor a sign-in explains."""
    lesser = ("unauthorised", "no token")
    return [(o, v) for o, v in tries.verdicts if not v.block and v.word not in lesser]


def give_up(tries: Tries) -> AppError:
    """The answer after attempts that failed for other reasons than limits.

    Chosen by what Codex does with each: a bare 5xx costs its user thirty requests, a 401 makes
    it refresh a token of its own for nothing; `server_is_overloaded` ends after five.
    """
    outcome, verdict = tries.verdicts[-1]
    if verdict.word == "unreachable":
        return Trouble(say("error.unreachable"))
    if verdict.word in ("unauthorised", "no token"):
        return AppError(
            say("error.signIns"),
            status=400,  # Codex shows it at once; a 503 it would repeat for a minute
            code="no_accounts",
        )
    if verdict.word == "refused":
        return _refusal(outcome)
    page = outcome.page
    if page is not None:
        message = say("error.page", status=page)
    elif verdict.word == "no answer in time":
        message = say("error.late")
    elif outcome.message:
        message = say("error.troubleSaid", outcome=describe(outcome), words=outcome.message)
    else:
        message = say("error.trouble", outcome=describe(outcome))
    if verdict.word == "overloaded" and page is None:
        # Codex's own words for this code are true then: the model is at capacity.
        return AppError(message, status=503, code="server_is_overloaded", retry_after=5)
    return Trouble(message, retry_after=5, stays=page is not None and page < 500)


def _refusal(outcome: Outcome) -> AppError:
    said = outcome.message or f"it answered {outcome.status}"
    page = outcome.page is not None
    return AppError(
        say("error.page", status=outcome.page) if page else say("error.refused", words=said),
        status=outcome.status or 403,
        code=outcome.code or "permission_denied",
    )


_KINDS = {
    "hangup": "outcome.hungUp",
    "stale": "outcome.hungUp",
    "empty": "outcome.empty",
    "unreachable": "outcome.unreachable",
    "slow": "outcome.slow",
    "token": "outcome.token",
    "gone": "outcome.gone",
}


def describe(outcome: Outcome) -> str:
    """A short word for one outcome."""
    if outcome.page is not None:
        return say("outcome.page", status=outcome.page)
    if outcome.kind == "status":
        return say("outcome.status", status=outcome.seen)
    if outcome.kind == "event":
        return outcome.code
    return say(_KINDS[outcome.kind]) if outcome.kind in _KINDS else outcome.kind


def dry(retry_at: int | None, now: int) -> AppError:
    """Every account is at a limit: what makes Codex print when to try again, or wait by itself.

    No plan type, so that Codex does not offer one account's upgrade for the whole pool.
    """
    wait = None if retry_at is None else max(1, -(-(retry_at - now) // 1000))
    if retry_at is not None and wait is not None and retry_at - now < SHORT_WAIT:
        return AppError(
            say("error.rest", seconds=wait),
            status=429,
            code="rate_limit_exceeded",
            retry_after=wait,
        )
    extra: dict[str, Any] = {"type": "usage_limit_reached"}
    if retry_at is not None and wait is not None:
        extra |= {"resets_at": -(-retry_at // 1000), "resets_in_seconds": wait}
    return AppError(
        say("error.limit"),
        status=429,
        code="usage_limit_reached",
        retry_after=wait or 300,
        extra=extra,
    )


def lasts(error: AppError) -> bool:
    """Whether this is a client's key whose limit is used up for longer than a client waits.

    Its code is the provider's for “slow down”, at which Codex would wait for hours in silence.
    """
    wait = (error.retry_after or 0) * 1000
    return error.status == 429 and error.code == "rate_limit_exceeded" and wait >= SHORT_WAIT


def for_codex(error: AppError) -> AppError:
    """The same as Codex understands it: it stops, and prints the sentence or when to try again."""
    if lasts(error):
        return AppError(
            error.message,
            code=error.code,
            status=error.status,
            retry_after=error.retry_after,
            extra={**error.extra, "type": "usage_limit_reached"},
        )
    if error.status in _LASTING and error.code not in _CODES_OF_CODEX:
        return AppError(error.message, code=_PRINTED, status=400, extra=error.extra)
    return error


def event_for_codex(error: AppError) -> tuple[str, str] | None:
    """The code and words of an event that tells Codex more than the status; None where none does.

    With the status 503 it says that the model is at capacity and with 429, at last, only the
    number, whatever we say. For a busy moment it waits as long as the words say.
    """
    if isinstance(error, Trouble):
        return "server_error", error.message
    if isinstance(error, Busy):
        return "rate_limit_exceeded", f"{error.message} Please try again in {error.retry_after}s."
    return None


def busy() -> AppError:
    """Every account that could serve is at its streams, and the line was too long."""
    return Busy(
        say("error.busy"),
        status=429,
        code="rate_limit_exceeded",
        retry_after=1,
    )


def owner_away(continues: bool) -> AppError:
    """Only one account can serve this, and it cannot for a while.

    Clients know `previous_response_not_found`: they send the whole conversation again, which
    any account can take.
    """
    if continues:
        return AppError(
            "The account that holds the previous response cannot serve now. Send the whole "
            "conversation again, without previous_response_id.",
            status=400,
            code="previous_response_not_found",
            extra={"param": "previous_response_id"},
        )
    return AppError(
        "The account that holds an uploaded file of this request cannot serve now. Upload the "
        "file again, or resume that account in Brimline.",
        status=400,
        code="file_not_found",
    )


def no_account(state: str) -> AppError:
    """Nobody can serve and waiting will not help: who must do what.

    400 is shown by Codex at once (see `for_codex`); a 503 it would repeat thirty times in half a
    minute before it shows one.
    """
    sentences = {
        "empty": say("error.empty"),
        "key_empty": say("error.keyEmpty"),
        "chosen_gone": say("error.chosenGone"),
        "paused": say("error.paused"),
        "key_paused": say("error.keyPaused"),
        "sign_in_needed": say("error.signIn"),
        "unable": say("error.model"),
    }
    if state == "unable":
        return AppError(sentences[state], status=400, code="model_not_supported")
    message = sentences.get(state, sentences["empty"])
    return AppError(message, status=400, code="no_accounts")
