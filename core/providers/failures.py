"""What a provider's refusal means: one table from (status, code, words) to an error of core/domain/errors.py. Pure.

Sources: facts/groq.md 3 and https://console.groq.com/docs/errors ; https://console.groq.com/docs/spend-limits ;
https://developers.openai.com/api/docs/guides/error-codes ; all read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from core.base.foreign import Malformed, count, json_value, whole_text
from core.domain.errors import (
    CallMalformed,
    ContextTooLong,
    KeyRejected,
    LimitKind,
    LimitReached,
    ModelBlocked,
    ModelGone,
    OutputMalformed,
    Overloaded,
    ProviderError,
    RequestRejected,
    SpendLimitReached,
    StreamBroken,
    TooLargeForLimit,
    Unprocessable,
)
from core.providers.stream import Fault
from core.providers.vocabulary import says_too_long, status_of, wait_s

MAX_SAID: Final = 500
"""Characters of a provider's own words that we keep; a Cloudflare page has forty thousand."""

MAX_READ: Final = 2_000
"""Characters of them in which a pattern is looked for: nobody says what is wrong later than that."""

MAX_BODY_BYTES: Final = 64_000
"""Of an answer that is a refusal; what a model wrote and was refused for (`failed_generation`) is in it."""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The error object as providers send it, `message` within MAX_READ; every field may be missing."""

    message: str = ""
    code: str = ""
    """A number too, in digits."""
    type: str = ""
    param: str = ""
    failed_generation: str = ""


@dataclass(frozen=True, slots=True)
class _Rule:
    """One row of the table; it applies where everything it names fits. Empty sets and patterns fit anything."""

    error: type[ProviderError]
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    words: str = ""
    """A pattern searched in message and code; either this or `codes` must fit where both are given."""
    says: Callable[[str], bool] | None = None
    """A reader of the message, beside `words`."""

    def fits(self, status: int, body: ErrorBody) -> bool:
        if self.statuses and status not in self.statuses:
            return False
        if not self.codes and not self.words and self.says is None:
            return True
        if body.code in self.codes or body.type in self.codes:
            return True
        if self.says is not None and body.param not in _LENGTHS and self.says(body.message):
            return True
        return bool(self.words) and any(
            re.search(self.words, text, re.IGNORECASE) for text in (body.message, body.code)
        )


_LENGTHS: Final = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})
"""Parameters whose refusal speaks of tokens and maxima, and is not about the prompt."""


def _rule(
    error: type[ProviderError],
    *statuses: int,
    codes: tuple[str, ...] = (),
    words: str = "",
    says: Callable[[str], bool] | None = None,
) -> _Rule:
    return _Rule(error, frozenset(statuses), frozenset(codes), words, says)


_TABLE: Final = (
    # The first row that fits wins, so the narrow ones stand first. Status 0: an error inside a stream, without one.
    _rule(KeyRejected, 401),
    _rule(KeyRejected, codes=("organization_restricted",)),
    # Documented is `blocked_api_access`; a `spend_...` code was seen in production too. OpenAI says it with a 429.
    _rule(
        SpendLimitReached,
        *(0, 400, 402, 403, 429),
        codes=("blocked_api_access", "insufficient_quota", "billing_hard_limit_reached"),
        words=r"^spend_|spend(ing)? limit|exceeded your current quota|billing hard limit|out of credits",
    ),
    _rule(SpendLimitReached, 402),
    _rule(TooLargeForLimit, 0, 400, 413, 429, words=r"^Request too large"),
    _rule(CallMalformed, codes=("tool_use_failed",)),
    _rule(OutputMalformed, codes=("output_parse_failed", "json_validate_failed")),
    _rule(ModelGone, codes=("model_decommissioned", "model_not_found", "model_not_active"), words=r"decommissioned"),
    _rule(ModelGone, 404, words=r"\bmodel\b.{0,200}does not exist"),
    _rule(ContextTooLong, codes=("context_length_exceeded", "exceed_context_size_error", "string_above_max_length")),
    _rule(ContextTooLong, 0, 400, 413, 422, 500, says=says_too_long),
    _rule(TooLargeForLimit, 413),
    _rule(ModelBlocked, codes=("model_permission_blocked_org", "model_permission_blocked_project")),
    _rule(ModelBlocked, codes=("model_terms_required",)),
    _rule(ModelBlocked, 403),
    _rule(LimitReached, 429),
    _rule(LimitReached, codes=("rate_limit_exceeded",)),
    _rule(LimitReached, 0, words=r"rate limit|too many requests"),
    _rule(Unprocessable, 422),
    _rule(Overloaded, 408, 409, 425, 498),
    _rule(Overloaded, *range(500, 600)),
)
"""Anything that fits no row is RequestRejected: our request is wrong for this model."""


def error_for(
    status: int,
    body: bytes | str,
    headers: Mapping[str, str],
    *,
    provider: str,
    model: str,
    now: float | None = None,
) -> ProviderError:
    """Return the error that an answer with this *status*, *body* and *headers* means.

    Args:
        now: Seconds since the epoch, for a Retry-After that is a moment, where the answer has no Date.
    """
    about = _About(status, headers, provider, model, headers.get("x-request-id", "")[:200], now)
    return _classified(read_body(body), about)


def error_for_fault(fault: Fault, *, provider: str, model: str, request_id: str = "") -> ProviderError:
    """Return the error for a stream that said something wrong after HTTP 200.

    What the table knows by its code, its words or the status it stands for keeps its class (tool_use_failed arrives
    this way); the rest is StreamBroken.
    """
    body = _from_value(fault.body) if fault.kind != "garbage" else ErrorBody()
    about = _About(status_of(body.code, body.type) or 0, {}, provider, model, request_id, None)
    if about.status:
        return _classified(body, about)
    for rule in _TABLE:
        if (not rule.statuses or 0 in rule.statuses) and rule.fits(0, body):
            return _filled(rule.error(**about.fields(body)), body)
    error = StreamBroken(**about.fields(body))
    error.cause_kind = fault.kind
    if fault.kind == "garbage":
        error.detail = f"garbage: {fault.body}"
    return error


def read_body(raw: bytes | str) -> ErrorBody:
    """Read an error body of any shape: the usual object, a bare string, HTML, nothing."""
    raw = raw[:MAX_BODY_BYTES]
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    try:
        return _from_value(json_value(text))
    except Malformed:
        return ErrorBody(message=_plain(whole_text(text)))


def scrub(text: str) -> str:
    """Take out what must not be shown or logged: keys and the organisation's and project's ids."""
    return _SECRETS.sub(lambda found: found[0].split(found[1])[0] + found[1] + "...", text)[:MAX_SAID]


_SECRETS: Final = re.compile(r"\b(org_|org-|proj_|gsk_|sk-|Bearer )[A-Za-z0-9_\-*.]{6,}")


@dataclass(frozen=True, slots=True)
class _About:
    """What an error's own words do not say."""

    status: int
    headers: Mapping[str, str]
    provider: str
    model: str
    request_id: str
    now: float | None

    def fields(self, body: ErrorBody) -> dict[str, Any]:
        return {
            "detail": _described(body),
            "said": scrub(body.message),
            "provider": self.provider,
            "model": self.model,
            "status": self.status or None,
            "request_id": self.request_id,
            "retry_after_s": wait_s(self.headers, body.message, now=self.now),
        }


def _classified(body: ErrorBody, about: _About) -> ProviderError:
    cls = next((rule.error for rule in _TABLE if rule.fits(about.status, body)), RequestRejected)
    return _filled(cls(**about.fields(body)), body)


def _described(body: ErrorBody) -> str:
    """What a log may hold: names and sizes. The message can have people's words in it."""
    named = (("code", body.code), ("type", body.type), ("param", body.param))
    parts = [f"{name} {value}" for name, value in named if value and _NAME.fullmatch(value)]
    if body.message:
        parts.append("a page of HTML" if body.message.startswith(_HTML) else f"{len(body.message)} characters")
    return ", ".join(parts)


_HTML: Final = "HTML instead of JSON"


_NAME: Final = re.compile(r"[A-Za-z0-9_.\-\[\]/]{1,64}")


def _filled(error: ProviderError, body: ErrorBody) -> ProviderError:
    """Set the fields that only some classes have."""
    match error:
        case LimitReached():
            error.limit_kind, error.limit = _kind(body.message), _figure("Limit", body.message)
            error.used = _figure("Used", body.message)
        case TooLargeForLimit():
            error.limit_kind, error.limit = _kind(body.message), _figure("Limit", body.message)
            error.requested = _figure("Requested", body.message)
        case CallMalformed() | OutputMalformed():
            error.failed_generation = body.failed_generation
        case RequestRejected():
            error.param = body.param or None
        case _:
            pass
    return error


def _kind(message: str) -> LimitKind:
    """Read the window out of "... on tokens per minute (TPM): Limit 8000, Used 5, Requested 9000"."""
    named = re.search(r"\(([A-Z]{3,4})\)", message)
    return next((kind for kind in get_args(LimitKind) if named and kind == named[1]), "unknown")


def _figure(name: str, message: str) -> int | None:
    found = re.search(rf"\b{name}:? ([0-9][0-9,]*)", message)
    return count(found[1].replace(",", "")) if found else None


def _from_value(value: Any) -> ErrorBody:
    if isinstance(value, list) and len(value) == 1:  # Gemini's errors come in a list
        value = value[0]
    if isinstance(value, dict) and value.get("error"):
        value = value["error"]
    if isinstance(value, str):
        return ErrorBody(message=_message(value))
    if not isinstance(value, dict):
        return ErrorBody(message="" if value is None else _message(str(value)))
    message = value.get("message") or value.get("detail") or ""
    return ErrorBody(
        message=_message(message if isinstance(message, str) else str(message)),
        code=_word(value.get("code")) or _word(value.get("status")),
        type=_word(value.get("type")) or _word(value.get("status")),
        param=_word(value.get("param")),
        failed_generation=_word(value.get("failed_generation"), MAX_BODY_BYTES),
    )


def _message(text: str) -> str:
    return whole_text(text[:MAX_READ])


def _word(value: object, most: int = 200) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(count(value) or "")
    return whole_text(value[:most]) if isinstance(value, str) else ""


def _plain(text: str) -> str:
    """Reduce an HTML page to its title; other text is cut."""
    head = text[:MAX_READ].lower()
    if not re.search(r"<(html|!doctype|head|body)\b", head):
        return text[:MAX_READ]
    _, found, rest = head.partition("<title")
    begin = rest.find(">") + 1
    at = len(head) - len(rest) + begin
    title = text[at : head.find("</title>", at)].split() if found and begin and "</title>" in rest else []
    return f"{_HTML}: {' '.join(title) or 'no title'}"


StreamCause = Literal["closed", "no_finish", "error_event", "x_groq_error", "garbage", "empty"]


def broken(cause: StreamCause, *, provider: str, model: str, request_id: str = "", detail: str = "") -> StreamBroken:
    """Return the error for a stream that ended wrongly without saying anything."""
    error = StreamBroken(detail, provider=provider, model=model, request_id=request_id)
    error.cause_kind = cause
    return error
