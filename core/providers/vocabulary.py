"""What the words of OpenAI-compatible servers mean: finish reasons, error codes, waits. One table each, and an honest
default: a word that nobody knows says nothing. Pure.

Sources: https://platform.openai.com/docs/api-reference/chat/object , https://ai.google.dev/api/generate-content ,
https://docs.claude.com/en/api/handling-stop-reasons , facts/models-2.md 5 (read 2026-11-30).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from core.base.durations import go_duration_s
from core.base.foreign import count
from core.domain.requests import Finish

Ending = Finish | Literal["broken"]
"""How a model says it ended; "broken" where it did not get to an end."""

_ENDINGS: Final[Mapping[Ending, str]] = {
    "stop": "stop stopped stop_sequence stop_token end end_turn end_of_turn eos eos_token complete completed finished "
    "done success",
    "length": "length max_tokens max_length max_len max_new_tokens max_output_tokens max_completion_tokens "
    "model_length model_context_window_exceeded context_length_exceeded token_limit limit incomplete error_limit",
    "tool_calls": "tool_calls tool_call tool_use function_call function_calls",
    "content_filter": "content_filter content_filtered safety recitation blocklist prohibited_content spii refusal "
    "sensitive guardrail_intervened error_toxic image_safety",
    "broken": "error abort aborted cancel cancelled canceled user_cancel timeout failed failure network_error "
    "insufficient_system_resource malformed_function_call unexpected_tool_call overloaded engine_overloaded "
    "interrupted",
}
_BY_WORD: Final[dict[str, Ending]] = {word: ending for ending, words in _ENDINGS.items() for word in words.split()}
_ABSENT: Final = frozenset({"", "null", "none", "nil", "undefined", "finish_reason_unspecified"})


def ending_of(reason: Any) -> Ending | None:
    """Return what a finish reason says, None where it says nothing: absent in any spelling, or an unknown word."""
    if not isinstance(reason, str):
        return None
    word = reason[:64].strip().casefold().replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")
    return None if word in _ABSENT else _BY_WORD.get(word)


_STATUS_OF_CODE: Final[Mapping[int, str]] = {
    400: "invalid_request_error invalid_argument failed_precondition bad_request",
    401: "authentication_error unauthenticated unauthorized invalid_api_key",
    402: "payment_required insufficient_credits",
    403: "permission_error permission_denied forbidden",
    404: "not_found not_found_error",
    413: "request_too_large",
    429: "rate_limit_exceeded rate_limit_error rate_limited too_many_requests resource_exhausted throttling_exception",
    500: "server_error",
    503: "service_unavailable service_unavailable_error server_is_overloaded overloaded overloaded_error unavailable",
    504: "deadline_exceeded gateway_timeout",
}
_BY_CODE: Final = {code: status for status, codes in _STATUS_OF_CODE.items() for code in codes.split()}


def status_of(*codes: Any) -> int | None:
    """Return the HTTP status that an error inside a stream stands for: a number is one, some words have one."""
    for code in codes:
        number = count(code, most=1_000)
        if number is not None and 400 <= number < 600:
            return number
    for code in codes:
        if isinstance(code, str) and (status := _BY_CODE.get(code.casefold())) is not None:
            return status
    return None


# --- a prompt that is too long ---------------------------------------------------------------------------------------

_PLAIN: Final = re.compile(
    r"reduce the length|maximum context length|context.{0,20}overflow|exceeds? the available context|prompt is too long"
)
_WHAT: Final = re.compile(r"\b(context|prompt|inputs?|messages|conversation|sequence|model(?:'s)? length|request)\b")
_MEASURE: Final = re.compile(r"\b(tokens?|length|long|longer|context|size|window)\b")
_VERDICT: Final = re.compile(
    r"\b(exceed(?:s|ed|ing)?|longer|too (?:long|large|big|many)|maximum|max|overflow(?:s|ed)?|only|limit(?:ed)?|larger|"
    r"greater|more than|fit|at most|reduce|shorten)\b|<=|>=|range of"
)
_OTHER: Final = re.compile(
    r"\b(images?|pictures?|audio|videos?|files?|pixels?|[km]b|bytes|base64|stop sequences?|tools?|functions?|schema|"
    r"rate limit|per (?:minute|day|hour)|completion tokens|output tokens|quota|temperature|body)\b"
)


def says_too_long(message: str) -> bool:
    """Whether an error's words mean that the prompt exceeds the model's context: something that is read, its measure
    and a comparison, in any order. *message* is short already."""
    text = message.casefold()
    if _PLAIN.search(text):
        return True
    if _OTHER.search(text):
        return False
    return all(pattern.search(text) for pattern in (_WHAT, _MEASURE, _VERDICT))


# --- how long to wait ------------------------------------------------------------------------------------------------

LONGEST_WAIT_S: Final = 86_400.0
"""A day: the longest window anybody counts by. A longer wait is a mistake, and would rest the model for good."""

_WAIT: Final = re.compile(
    r"\b(?:again|retry|wait)(?: after| in| for| at least){0,2} ([0-9][0-9.]{0,12}) ?"
    r"(seconds?|secs?|minutes?|mins?|hours?|ms\b|milliseconds?|s\b|m\b|h\b|m[0-9.]{1,8}s|h[0-9.hms]{1,16})",
    re.IGNORECASE,
)
_UNIT_S: Final = {"ms": 1e-3, "mi": 60.0, "m": 60.0, "h": 3_600.0, "s": 1.0}


def wait_s(headers: Mapping[str, str], message: str = "", *, now: float | None = None) -> float | None:
    """Return how long a provider wants us to wait, at most a day: from its headers, else from its words.

    Args:
        headers: Names in lower case.
        now: Seconds since the epoch, for a moment in Retry-After; the answer's own Date is believed first.
    """
    for name, factor in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()[:64]
        told = go_duration_s(value)
        if told is None and factor == 1.0:
            told = _until(value, _moment(headers.get("date", "")) or now)
        if told is not None:
            return min(max(told * factor, 0.0), LONGEST_WAIT_S)
    said = _WAIT.search(message)
    return None if said is None else min(_said_s(said[1], said[2].casefold()), LONGEST_WAIT_S)


def _said_s(amount: str, unit: str) -> float:
    told = go_duration_s(amount + unit)
    if told is not None:
        return told
    short = "ms" if unit.startswith(("ms", "milli")) else unit[:1]
    try:
        return float(amount) * _UNIT_S[short]
    except ValueError:
        return 0.0


def _until(value: str, now: float | None) -> float | None:
    moment = _moment(value)
    return None if moment is None or now is None else moment - now


def _moment(value: str) -> float | None:
    """An HTTP date in any of its three forms, as seconds since the epoch."""
    try:
        return parsedate_to_datetime(value[:64]).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
