"""Every row of the status table (facts/groq.md 3), through the real SDKs against the fakes, and as pure functions."""

from __future__ import annotations

import pytest

from core.domain.errors import (
    CallMalformed,
    ContextTooLong,
    KeyRejected,
    LimitReached,
    ModelBlocked,
    ModelGone,
    OutputMalformed,
    Overloaded,
    ProviderError,
    RequestRejected,
    SpendLimitReached,
    TooLargeForLimit,
    Unprocessable,
)
from core.providers.failures import error_for, read_body, scrub
from core.providers.groq import GroqProvider
from core.providers.openai import OpenAIProvider
from tests.core.providers.conftest import LUNA, REGISTRY, SMALL, Heard, ask
from tests.fakes.llm_api import (
    Fail,
    FakeLlmApi,
    bad_request,
    busy,
    decommissioned,
    forbidden,
    html_page,
    json_validate_failed,
    model_not_found,
    output_parse_failed,
    over_capacity,
    rate_limited,
    spend_limit,
    too_large,
    tool_use_failed,
    unauthorised,
    unprocessable,
)
from tests.fakes.llm_api.refusals import ORGANISATION, error

TABLE: list[tuple[str, Fail, type[ProviderError]]] = [
    ("400 decommissioned", decommissioned("m"), ModelGone),
    ("404 not found", model_not_found("m"), ModelGone),
    (
        "404 without a code",
        Fail(404, error("The model `m` does not exist or you do not have access to it.")),
        ModelGone,
    ),
    ("404 another address", Fail(404, error("Unknown request URL", code="unknown_url")), RequestRejected),
    ("404 html", html_page(404), RequestRejected),
    ("400 tool_use_failed", tool_use_failed(), CallMalformed),
    ("400 output_parse_failed", output_parse_failed(), OutputMalformed),
    ("400 json_validate_failed", json_validate_failed(), OutputMalformed),
    ("400 context_length_exceeded", bad_request("Too long", code="context_length_exceeded"), ContextTooLong),
    ("400 reduce the length", bad_request("Please reduce the length of the messages or completion."), ContextTooLong),
    ("400 too many images", bad_request("Too many images provided. This model supports up to 3"), RequestRejected),
    ("400 bad parameter", bad_request("must be <= 65536", param="max_completion_tokens"), RequestRejected),
    ("400 spend limit, documented", spend_limit(), SpendLimitReached),
    ("400 spend limit, as seen", spend_limit(documented=False), SpendLimitReached),
    (
        "429 quota (OpenAI)",
        Fail(429, error("You exceeded your current quota", code="insufficient_quota")),
        SpendLimitReached,
    ),
    ("401", unauthorised(), KeyRejected),
    (
        "400 organization_restricted",
        bad_request("Organization has been restricted.", code="organization_restricted"),
        KeyRejected,
    ),
    ("403 permissions", forbidden("m"), ModelBlocked),
    ("403 Cloudflare", html_page(), ModelBlocked),
    ("403 terms", Fail(403, error("Accept the terms first", code="model_terms_required")), ModelBlocked),
    ("400 terms", bad_request("Accept the terms first", code="model_terms_required"), ModelBlocked),
    ("413 body", Fail(413, error("Request Entity Too Large", code="request_too_large")), TooLargeForLimit),
    ("413 html", Fail(413, "<html><head><title>413</title></head></html>"), TooLargeForLimit),
    ("413 TPM", too_large("TPM"), TooLargeForLimit),
    ("413 ITPM", too_large("ITPM"), TooLargeForLimit),
    ("429 OTPM too large", too_large("OTPM"), TooLargeForLimit),
    ("422", unprocessable(), Unprocessable),
    ("424", Fail(424, error("Authentication with the remote MCP server failed")), RequestRejected),
    ("429 TPM", rate_limited("TPM"), LimitReached),
    ("429 TPD", rate_limited("TPD", wait="8m45.312s"), LimitReached),
    ("429 RPM", rate_limited("RPM"), LimitReached),
    ("429 without a code", Fail(429, error("Slow down")), LimitReached),
    ("429 without a body", Fail(429, ""), LimitReached),
    ("498 flex", busy(498), Overloaded),
    ("499", Fail(499, error("Request cancelled")), RequestRejected),
    ("500", busy(500), Overloaded),
    ("502", busy(502), Overloaded),
    ("502 html", html_page(502), Overloaded),
    ("503 over capacity", over_capacity(), Overloaded),
    ("504", busy(504), Overloaded),
    ("529", busy(529), Overloaded),
    ("408", Fail(408, error("Request timeout")), Overloaded),
]
ROWS = pytest.mark.parametrize(("refusal", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])


@ROWS
async def test_groq_status_table(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard, refusal: Fail, expected: type[ProviderError]
) -> None:
    """Each refusal becomes its error, with who, what and the request id; nothing was said before it."""
    groq_api.plays(SMALL, refusal)

    with pytest.raises(ProviderError) as caught:
        await groq(ask(), REGISTRY.get(SMALL), heard.send)

    assert type(caught.value) is expected
    assert (caught.value.provider, caught.value.model, caught.value.status) == ("groq", SMALL, refusal.status)
    assert caught.value.request_id.startswith("req_")
    assert caught.value.usage is None
    assert heard.events == []
    assert ORGANISATION not in str(caught.value)


@ROWS
async def test_openai_status_table(
    openai: OpenAIProvider, openai_api: FakeLlmApi, heard: Heard, refusal: Fail, expected: type[ProviderError]
) -> None:
    """The other SDK's unrelated classes give the same errors."""
    openai_api.plays(LUNA, refusal)

    with pytest.raises(ProviderError) as caught:
        await openai(ask(), REGISTRY.get(LUNA), heard.send)

    assert type(caught.value) is expected


async def test_a_limits_text_is_read(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Window, size and filling; the header's whole seconds win over the text."""
    groq_api.plays(SMALL, rate_limited("TPD", limit=200_000, used=199_500, wait="8m45.312s"))

    with pytest.raises(LimitReached) as caught:
        await groq(ask(), REGISTRY.get(SMALL), heard.send)

    error = caught.value
    assert (error.limit_kind, error.limit, error.used, error.retry_after_s) == ("TPD", 200_000, 199_500, 525.0)


def test_a_request_that_is_too_large_says_for_what() -> None:
    """Waiting never helps."""
    refusal = too_large("OTPM", limit=1_000, requested=4_096)
    body = str(refusal.body).replace("'", '"')

    error = error_for(refusal.status, body, {}, provider="groq", model="m")

    assert isinstance(error, TooLargeForLimit)
    assert (error.limit_kind, error.limit, error.requested) == ("OTPM", 1_000, 4_096)


def test_a_malformed_call_brings_what_the_model_wrote() -> None:
    """The next attempt may repair it."""
    error = error_for(
        400,
        b'{"error":{"message":"x","code":"tool_use_failed","failed_generation":"<tool>"}}',
        {},
        provider="groq",
        model="m",
    )

    assert isinstance(error, CallMalformed)
    assert error.failed_generation == "<tool>"


def test_a_rejected_request_names_the_parameter() -> None:
    """For the log, and for the API's own 400."""
    error = error_for(400, '{"error":{"message":"x","param":"stop"}}', {}, provider="groq", model="m")

    assert isinstance(error, RequestRejected)
    assert error.param == "stop"


@pytest.mark.parametrize(
    ("raw", "message", "code"),
    [
        ('{"error":{"message":"m","code":"c"}}', "m", "c"),
        ('{"error":{"message":"m","code":400}}', "m", "400"),
        ('{"error":{"message":"m","code":' + "9" * 5_000 + "}}", "m", ""),
        ('[{"error":{"message":"m","status":"UNAVAILABLE"}}]', "m", "UNAVAILABLE"),
        ('{"error":' * 100_000, '{"error":' * 222 + '{"', ""),
        ('{"error":{"message":"m","code":null}}', "m", ""),
        ('{"error":"plain"}', "plain", ""),
        ('{"message":"m","code":"c"}', "m", "c"),
        ('{"detail":"m"}', "m", ""),
        ('{"detail":[{"loc":["body"]}]}', "[{'loc': ['body']}]", ""),
        ('{"error":null}', "", ""),
        ("[1]", "1", ""),
        ("[1, 2]", "[1, 2]", ""),
        ("null", "", ""),
        ("", "", ""),
        ("upstream connect error", "upstream connect error", ""),
        ("<html><title> Bad\n gateway </title></html>", "HTML instead of JSON: Bad gateway", ""),
        ("<html></html>", "HTML instead of JSON: no title", ""),
        (b"\xff\xfe", "\ufffd\ufffd", ""),
    ],
)
def test_bodies_of_any_shape_are_read(raw: str | bytes, message: str, code: str) -> None:
    """Gateways answer in their own ways."""
    body = read_body(raw)

    assert (body.message, body.code) == (message, code)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("in organization `org_01hx4kzt6me8` on", "in organization `org_...` on"),
        ("Incorrect API key provided: sk-proj-abc***xyz1.", "Incorrect API key provided: sk-..."),
        ("key gsk_1234567890abcdef!", "key gsk_...!"),
        ("Bearer abcdefgh", "Bearer ..."),
        ("organic sky", "organic sky"),
    ],
)
def test_keys_and_organisations_are_taken_out(text: str, shown: str) -> None:
    """Raw refusals with the organisation's id were shown to users elsewhere."""
    assert scrub(text) == shown


def test_a_page_of_html_is_not_kept_whole() -> None:
    """500 characters are enough for any log."""
    assert len(scrub("x" * 40_000)) == 500
