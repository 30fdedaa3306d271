"""Every error a user can meet, and its two JSON shapes.

AppError                what happened (title) and what to do next (message)
├── BadRequest          400  the request cannot be understood
├── Unauthorized        401  who are you?
├── Forbidden           403  known, but not allowed
├── NotFound            404
├── Conflict            409
├── TooLarge            413
├── Unprocessable       422  understood, but a value is wrong
├── TooMany             429  carries `retry_after` seconds
└── Unavailable         503  carries `retry_after` seconds
"""

from __future__ import annotations

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from typing import Any


class AppError(Exception):
    """An error with a title, a message that says what to do next, a status and a code.

    `extra` is merged into the OpenAI shape's error object (for example `resets_at`).
    """

    status = 500
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        title: str = "",
        code: str | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.title = title or message
        self.code = code or type(self).code
        self.status = status or type(self).status
        self.retry_after = retry_after
        self.extra = extra or {}


class BadRequest(AppError):
    """The request cannot be understood."""

    status, code = 400, "invalid_request_error"


class Unauthorized(AppError):
    """The caller did not say who they are, or we do not believe it."""

    status, code = 401, "authentication_required"


class Forbidden(AppError):
    """The caller is known and may not do this."""

    status, code = 403, "forbidden"


class NotFound(AppError):
    """There is no such thing."""

    status, code = 404, "not_found"


class Conflict(AppError):
    """It clashes with what is there."""

    status, code = 409, "conflict"


class TooLarge(AppError):
    """The body is larger than this route accepts."""

    status, code = 413, "payload_too_large"


class Unprocessable(AppError):
    """The body was read, but a value in it is wrong."""

    status, code = 422, "validation_error"


class TooMany(AppError):
    """Too many requests for now."""

    status, code = 429, "rate_limit_exceeded"


class Unavailable(AppError):
    """The server cannot do this now."""

    status, code = 503, "unavailable"


# OpenAI's `error.type` by status; clients branch on it (reference: codex-lb error envelopes).
_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}


def dashboard_body(error: AppError) -> dict[str, Any]:
    """The JSON for `/api/*`: `{"error": {"code", "message"}}`."""
    return {"error": {"code": error.code, "message": error.message}}


def openai_body(error: AppError) -> dict[str, Any]:
    """The JSON for `/v1/*` and `/backend-api/*`: `{"error": {"message", "type", "code", …}}`."""
    kind = _OPENAI_TYPES.get(error.status, "server_error")
    return {"error": {"message": error.message, "type": kind, "code": error.code, **error.extra}}


def headers(error: AppError) -> dict[str, str]:
    """The response headers that go with `error`."""
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
