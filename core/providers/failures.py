"""What a provider's refusal means: one table from (status, code, words) to an error of core/domain/errors.py. Pure.

Sources: facts/groq.md 3 and https://console.groq.com/docs/errors ; https://console.groq.com/docs/spend-limits ;
https://developers.openai.com/api/docs/guides/error-codes ; all read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import msgspec

from core.base.durations import go_duration_s
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

MAX_DETAIL: Final = 500
"""Characters of a provider's own words that we keep; a Cloudflare page has forty thousand."""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The error object as providers send it; every field may be missing, and `code` may be a number."""

    message: str = ""
    code: str = ""
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

    def fits(self, status: int, body: ErrorBody) -> bool:
        if self.statuses and status not in self.statuses:
            return False
        if not self.codes and not self.words:
            return True
        if body.code in self.codes or body.type in self.codes:
            return True
        return bool(self.words) and any(
            re.search(self.words, text, re.IGNORECASE) for text in (body.message, body.code)
        )


def _rule(error: type[ProviderError], *statuses: int, codes: tuple[str, ...] = (), words: str = "") -> _Rule:
    return _Rule(error, frozenset(statuses), frozenset(codes), words)


_TABLE: Final = (
    # The first row that fits wins, so the narrow ones stand first.
    _rule(KeyRejected, 401),
    _rule(KeyRejected, codes=("organization_restricted",)),
    # Documented is `blocked_api_access`; a `spend_...` code was seen in production too. OpenAI says it with a 429.
    _rule(
        SpendLimitReached,
        *(400, 402, 403, 429),
        codes=("blocked_api_access", "insufficient_quota", "billing_hard_limit_reached"),
        words=r"^spend_|spend(ing)? limit|exceeded your current quota|billing hard limit",
    ),
    _rule(TooLargeForLimit, 400, 413, 429, words=r"^Request too large"),
    _rule(TooLargeForLimit, 413),
    _rule(CallMalformed, codes=("tool_use_failed",)),
    _rule(OutputMalformed, codes=("output_parse_failed", "json_validate_failed")),
    _rule(ModelGone, codes=("model_decommissioned", "model_not_found", "model_not_active"), words=r"decommissioned"),
    _rule(ModelGone, 404, words=r"\bmodel\b.*does not exist"),
    _rule(
        ContextTooLong,
        *(400, 413, 422, 500),
        codes=("context_length_exceeded", "exceed_context_size_error"),
        words=r"reduce the length|maximum context length|exceeds? the available context",
    ),
    _rule(ModelBlocked, codes=("model_permission_blocked_org", "model_permission_blocked_project")),
    _rule(ModelBlocked, codes=("model_terms_required",)),
    _rule(ModelBlocked, 403),
    _rule(LimitReached, 429),
    _rule(LimitReached, codes=("rate_limit_exceeded",)),
    _rule(Unprocessable, 422),
    _rule(Overloaded, 408, 409, 425, 498),
    _rule(Overloaded, *range(500, 600)),
)
"""Anything that fits no row is RequestRejected: our request is wrong for this model."""


def error_for(
    status: int, body: bytes | str, headers: Mapping[str, str], *, provider: str, model: str
) -> ProviderError:
    """Return the error that an answer with this *status*, *body* and *headers* means."""
    return _classified(status, read_body(body), headers, provider, model)


def error_for_fault(fault: Fault, *, provider: str, model: str, request_id: str = "") -> ProviderError:
    """Return the error for a stream that said something wrong after HTTP 200.

    What the table knows by its code keeps its class (tool_use_failed arrives this way); the rest is StreamBroken.
    """
    body = _from_value(fault.body)
    for rule in _TABLE:
        if not rule.statuses and rule.fits(0, body):
            return _filled(rule.error(**_context(0, body, {}, provider, model, request_id)), body)
    error = StreamBroken(**_context(0, body, {}, provider, model, request_id))
    error.cause_kind = fault.kind
    return error


def read_body(raw: bytes | str) -> ErrorBody:
    """Read an error body of any shape: the usual object, a bare string, HTML, nothing."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    try:
        value = msgspec.json.decode(text.encode("utf-8", "replace"))
    except msgspec.MsgspecError:
        return ErrorBody(message=_plain(text))
    return _from_value(value)


def scrub(text: str) -> str:
    """Take out what must not be shown or logged: keys and the organisation's and project's ids."""
    return _SECRETS.sub(lambda found: found[0].split(found[1])[0] + found[1] + "...", text)[:MAX_DETAIL]


_SECRETS: Final = re.compile(r"\b(org_|org-|proj_|gsk_|sk-|Bearer )[A-Za-z0-9_\-*.]{6,}")


def retry_after_s(headers: Mapping[str, str], message: str = "") -> float | None:
    """Return how long the provider wants us to wait: from its headers, else from its words."""
    for name, factor in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name, "")
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value) * factor
    said = re.search(r"try again in ([\d.hmsuµn]+[hms])", message)
    return go_duration_s(said[1]) if said else None


def _classified(status: int, body: ErrorBody, headers: Mapping[str, str], provider: str, model: str) -> ProviderError:
    cls = next((rule.error for rule in _TABLE if rule.fits(status, body)), RequestRejected)
    request_id = headers.get("x-request-id", "")
    return _filled(cls(**_context(status, body, headers, provider, model, request_id)), body)


def _context(
    status: int, body: ErrorBody, headers: Mapping[str, str], provider: str, model: str, request_id: str
) -> dict[str, Any]:
    return {
        "detail": scrub(body.message),
        "provider": provider,
        "model": model,
        "status": status or None,
        "request_id": request_id,
        "retry_after_s": retry_after_s(headers, body.message),
    }


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
    found = re.search(rf"\b{name}:? (\d[\d,]*)", message)
    return int(found[1].replace(",", "")) if found else None


def _from_value(value: Any) -> ErrorBody:
    if isinstance(value, dict) and "error" in value:
        value = value["error"]
    if isinstance(value, str):
        return ErrorBody(message=value)
    if not isinstance(value, dict):
        return ErrorBody(message="" if value is None else str(value))
    message = value.get("message") or value.get("detail") or ""
    return ErrorBody(
        message=message if isinstance(message, str) else str(message),
        code=_word(value.get("code")),
        type=_word(value.get("type")),
        param=_word(value.get("param")),
        failed_generation=_word(value.get("failed_generation")),
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _plain(text: str) -> str:
    """Reduce an HTML page to its title; other text stays as it is."""
    if not re.search(r"<(html|!doctype|head|body)\b", text[:2_000], re.IGNORECASE):
        return text
    title = re.search(r"<title[^>]*>(.*?)</title>", text[:20_000], re.IGNORECASE | re.DOTALL)
    return f"HTML instead of JSON: {' '.join(title[1].split()) if title else 'no title'}"


StreamCause = Literal["closed", "no_finish", "error_event", "x_groq_error", "garbage", "empty"]


def broken(cause: StreamCause, *, provider: str, model: str, request_id: str = "", detail: str = "") -> StreamBroken:
    """Return the error for a stream that ended wrongly without saying anything."""
    error = StreamBroken(detail, provider=provider, model=model, request_id=request_id)
    error.cause_kind = cause
    return error
