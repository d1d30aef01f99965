"""Our error tree -> OpenAI's error form: one table, status, type and code as OpenAI's clients tell them apart.

The page reads the same form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from core.domain.errors import (
    BadRequest,
    ContextTooLong,
    KeyRejected,
    NoModelLeft,
    NotAllowed,
    Refused,
    RequestError,
    RequestRejected,
    SpendLimitReached,
    SpendStopped,
    StorageError,
    TernError,
    TooLarge,
    TooLargeForLimit,
    UnknownModel,
)
from core.wording import sentence_for

RESTING_S = 2.0
"""When to ask again while the providers are away and none said when: every request tries one of them anew."""

PATIENCE_S = 30.0
"""Beyond this wait a client is told not to retry by itself: groq 1.7 ignores a retry-after above 60 s and asks again
after half a second, openai 3.54 sleeps up to 120 s in silence (facts/groq.md 5)."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error in OpenAI's form. `retry_after_s` None: no advice to wait."""

    status: int
    message: str
    type: str
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
            if self.retry_after_s > PATIENCE_S:
                headers["X-Should-Retry"] = "false"
        return headers


class TurnedAway(Exception):
    """A request that this server does not carry out; `answer` is what its sender reads."""

    def __init__(self, answer: ApiError) -> None:
        super().__init__(answer.message)
        self.answer = answer


def api_error(error: Exception, request_id: str) -> ApiError:
    """Say how *error* looks to a caller. Anything that is not ours is a 500 that says nothing about the inside."""
    if isinstance(error, TurnedAway):
        return error.answer
    if isinstance(error, TimeoutError):
        return ApiError(504, "The answer was not ready within the deadline.", "server_error", "deadline_exceeded")
    if not isinstance(error, TernError):
        return ApiError(500, sentence_for(error, request_id), "server_error")
    sentence = sentence_for(error, request_id)
    match error:
        case BadRequest(problem=problem, param=param):
            return ApiError(400, problem, "invalid_request_error", None, param)
        case UnknownModel():
            return ApiError(400, _unknown_model(error), "invalid_request_error", "model_not_found", "model")
        case TooLarge():
            return ApiError(413, sentence, "invalid_request_error", "request_too_large")
        case NotAllowed():
            return ApiError(403, sentence, "permission_error", "not_allowed")
        case SpendStopped(retry_after_s=wait_s):
            return ApiError(429, sentence, "insufficient_quota", "insufficient_quota", None, wait_s)
        case Refused(retry_after_s=wait_s):
            return ApiError(429, sentence, "rate_limit_error", "rate_limit_exceeded", None, wait_s)
        case RequestError():
            return ApiError(400, sentence, "invalid_request_error")
        case NoModelLeft():
            return _no_model_left(error, sentence)
        case StorageError():
            return ApiError(503, sentence, "server_error", "storage_unavailable")
        case _:
            return ApiError(502, sentence, "server_error")


def _no_model_left(error: NoModelLeft, sentence: str) -> ApiError:
    """A 503, unless the request itself is what every model refused: then a retry cannot help and must not be tried."""
    if error.missing:
        return ApiError(400, sentence, "invalid_request_error", "unsupported_capability")
    if error.errors and all(isinstance(one, ContextTooLong | TooLargeForLimit) for one in error.errors):
        return ApiError(400, sentence, "invalid_request_error", "context_length_exceeded", "messages")
    rejected = [one for one in error.errors if isinstance(one, RequestRejected)]
    if rejected and len(rejected) == len(error.errors):
        return ApiError(
            400, rejected[0].said or rejected[0].detail or sentence, "invalid_request_error", None, rejected[0].param
        )
    lasting = bool(error.errors) and all(isinstance(one, KeyRejected | SpendLimitReached) for one in error.errors)
    wait_s = error.retry_after_s if error.retry_after_s is not None or lasting else RESTING_S
    return ApiError(503, sentence, "server_error", "no_model_left", None, wait_s)


def _unknown_model(error: UnknownModel) -> str:
    return f"The model {error.wanted!r} is not known here. Known: {', '.join(error.known)}."
