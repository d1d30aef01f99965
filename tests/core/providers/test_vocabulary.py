"""What words mean: the tables for finish reasons, codes, prompts that are too long, and waits."""

from __future__ import annotations

from typing import Any

import pytest

from core.domain.errors import ContextTooLong, LimitReached
from core.providers.failures import error_for, read_body
from core.providers.vocabulary import ending_of, says_too_long, status_of, wait_s


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("stop", "stop"),
        (" STOP ", "stop"),
        ("FINISH_REASON_STOP", "stop"),
        ("max-tokens", "length"),
        ("max tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("RECITATION", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "broken"),
        ("error", "broken"),
        ("", None),
        ("null", None),
        ("FINISH_REASON_UNSPECIFIED", None),
        ("moonrise", None),
        ("x" * 100_000, None),
        (None, None),
        (0, None),
        (["stop"], None),
    ],
)
def test_finish_reasons(reason: Any, ending: str | None) -> None:
    """In any spelling; what nobody knows says nothing."""
    assert ending_of(reason) == ending


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ((429,), 429),
        (("429",), 429),
        ((400.0,), 400),
        (("rate_limit_error", None), 429),
        (("", "overloaded_error"), 503),
        (("UNAUTHENTICATED",), 401),
        ((200,), None),
        ((10**30,), None),
        ((True,), None),
        (("moonrise", ""), None),
        ((), None),
    ],
)
def test_codes_inside_a_stream(codes: tuple[Any, ...], status: int | None) -> None:
    """A number is a status, some words stand for one."""
    assert status_of(*codes) == status


TOO_LONG = [
    "Trying to keep the first 5120 tokens when context the overflows. However, the model is loaded with context length "
    "of only 4096 tokens, which is not enough.",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "The decoder prompt (length 5210) is longer than the maximum model length of 4096.",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "Input is too long for requested model.",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens and 100 `max_new_tokens`",
    "tokens in request more than max tokens allowed",
    "Range of input length should be [1, 30720]",
    "the request exceeds the available context size, try increasing it",
    "Please reduce the length of the messages or completion.",
    "Requested tokens (5000) exceed context window of 4096",
]
NOT_TOO_LONG = [
    "`max_completion_tokens` must be less than or equal to `65536`, the maximum value for `max_completion_tokens` is "
    "less than the `context_window` for this model",
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
    "Too many images provided. This model supports up to 3 images",
    "At most 3 image(s) may be provided in one prompt.",
    "Invalid input: temperature exceeds the maximum of 2",
    "image input exceeds the size limit of 4 MB",
    "Rate limit reached for model m on tokens per minute (TPM): Limit 8000, Used 7900, Requested 900.",
    "The model is overloaded",
    "",
]


@pytest.mark.parametrize(
    ("message", "too_long"), [*((text, True) for text in TOO_LONG), *((text, False) for text in NOT_TOO_LONG)]
)
def test_a_prompt_that_is_too_long(message: str, too_long: bool) -> None:
    """In the words of every server that was heard to say it, and of none that means something else."""
    assert says_too_long(message) is too_long


def test_a_refused_length_of_the_answer_is_not_about_the_prompt() -> None:
    """The parameter that is named decides."""
    body = '{"error":{"message":"the maximum context length is 9, lower it","param":"max_tokens"}}'

    assert not isinstance(error_for(400, body, {}, provider="p", model="m"), ContextTooLong)


NOW = 1_794_997_600.0  # Wed, 18 Nov 2026 10:26:40 GMT


@pytest.mark.parametrize(
    ("headers", "message", "expected"),
    [
        ({"retry-after": "7"}, "", 7.0),
        ({"retry-after": " 7.5 "}, "", 7.5),
        ({"retry-after": "1m26.4s"}, "", 86.4),
        ({"retry-after": "172ms"}, "", 0.172),
        ({"retry-after": "0"}, "", 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
        ({"retry-after": "Wed, 18 Nov 2026 10:27:40 GMT"}, "", 60.0),
        ({"retry-after": "Wed, 18 Nov 2026 10:25:40 GMT"}, "", 0.0),
        ({"retry-after": "Wednesday, 18-Nov-26 10:27:40 GMT"}, "", 60.0),
        (
            {"retry-after": "Wed, 18 Nov 2026 12:00:30 GMT", "date": "Wed, 18 Nov 2026 12:00:00 GMT"},
            "",
            30.0,
        ),
        ({"retry-after": "Mon, 01 Jan 2096 00:00:00 GMT"}, "", 86_400.0),
        ({"retry-after": "9" * 400}, "", 86_400.0),
        ({"retry-after": "9" * 5_000}, "", 86_400.0),
        ({"retry-after": "-5"}, "", None),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": ""}, "Please try again in 20s.", 20.0),
        ({}, "Please try again in 8m45.312s. Need more", 525.312),
        ({}, "Please try again in 172ms.", 0.172),
        ({}, "Please try again in 20 seconds.", 20.0),
        ({}, "Retry after 2 minutes", 120.0),
        ({}, "Please retry in 34.07s.", 34.07),
        ({}, "try again in 1h2m3s", 3_723.0),
        ({}, "try again in 999999 hours", 86_400.0),
        ({}, "try again later", None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], message: str, expected: float | None) -> None:
    """Seconds, a Go duration or a moment in the header, else the words; a day at most."""
    assert wait_s(headers, message, now=NOW) == pytest.approx(expected)


def test_a_moment_without_a_clock_says_nothing() -> None:
    """Neither the answer's own date nor ours."""
    assert wait_s({"retry-after": "Wed, 18 Nov 2026 10:27:40 GMT"}) is None


@pytest.mark.parametrize("word", ["model ", "<title", "Limit ", "try again in 1", "(TPM) ", "context ", "<html "])
def test_a_long_refusal_is_cut_before_anything_is_looked_for(word: str) -> None:
    """240 KB of one word took half a minute of everybody's time."""
    body = read_body(word * 40_000)

    assert len(body.message) <= 2_000
    error_for(404, word * 40_000, {}, provider="p", model="m")


def test_a_refusal_is_logged_without_anybodys_words() -> None:
    """Code, type, parameter and length are enough to look for; the words stay with whoever asked."""
    body = '{"error":{"message":"odd: my secret question","code":"bad_word","type":"t","param":"messages[0]"}}'

    error = error_for(400, body, {}, provider="p", model="m")

    assert "secret" not in str(error) + error.detail
    assert error.detail == "code bad_word, type t, param messages[0], 23 characters"
    assert "secret" in error.said


def test_a_code_that_is_a_sentence_is_not_logged() -> None:
    """Whatever a server puts there."""
    error = error_for(429, '{"error":{"code":"my secret question","message":"m"}}', {}, provider="p", model="m")

    assert isinstance(error, LimitReached)
    assert "secret" not in str(error)
