"""The refusals of facts/groq.md 3, worded as they were captured; keys and organisations in them are made up."""

from __future__ import annotations

from typing import Any

from core.base.durations import go_duration_s
from tests.fakes.llm_api.scripts import Fail

_NAMES = {
    "RPM": "requests per minute",
    "RPD": "requests per day",
    "TPM": "tokens per minute",
    "TPD": "tokens per day",
    "ITPM": "input tokens per minute",
    "OTPM": "output tokens per minute",
    "ASH": "seconds of audio per hour",
    "ASD": "seconds of audio per day",
}
ORGANISATION = "org_01hx4kzt6me8yv5r"
"""What must never be shown to a reader: https://github.com/wazuh/wazuh-dashboard-plugins/pull/8790"""


def error(message: str, kind: str = "invalid_request_error", code: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, **({"code": code} if code else {}), **more}}


def bad_request(message: str, *, code: str | None = None, param: str | None = None) -> Fail:
    return Fail(400, error(message, code=code, **({"param": param} if param else {})))


def decommissioned(model: str) -> Fail:
    """https://github.com/BerriAI/litellm/issues/12825"""
    return bad_request(
        f"The model `{model}` has been decommissioned and is no longer supported.", code="model_decommissioned"
    )


def model_not_found(model: str) -> Fail:
    """What retired models really answer: https://github.com/ITSpecialist111/ai_automation_suggester/issues/187"""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Fail(404, error(message, code="model_not_found"))


def unauthorised() -> Fail:
    return Fail(401, error("Invalid API Key", code="invalid_api_key"))


def forbidden(model: str) -> Fail:
    """https://console.groq.com/docs/model-permissions"""
    message = f"The model `{model}` is blocked at the organization level."
    return Fail(403, error(message, "permissions_error", "model_permission_blocked_org"))


def html_page(status: int = 403) -> Fail:
    """Cloudflare in between: https://github.com/groq/groq-python/issues/125"""
    return Fail(status, "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>")


def spend_limit(*, documented: bool = True) -> Fail:
    """https://console.groq.com/docs/spend-limits names the first code; the second was seen in production."""
    code = "blocked_api_access" if documented else "spend_limit_exceeded"
    return bad_request("Your organization has reached its monthly spend limit.", code=code)


def rate_limited(
    kind: str = "TPM",
    *,
    model: str = "m",
    limit: int = 8_000,
    used: int = 7_900,
    requested: int = 900,
    wait: str = "6s",
) -> Fail:
    """https://github.com/continuedev/continue/issues/10920 ; `wait` is a Go duration, retry-after its seconds."""
    message = (
        f"Rate limit reached for model `{model}` in organization `{ORGANISATION}` service tier `on_demand` on "
        f"{_NAMES[kind]} ({kind}): Limit {limit}, Used {used}, Requested {requested}. Please try again in {wait}. "
        "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"
    )
    seconds = go_duration_s(wait) or 1.0
    return Fail(
        429,
        error(message, "requests" if kind.startswith("R") else "tokens", "rate_limit_exceeded"),
        {"retry-after": str(max(1, round(seconds)))},
    )


def too_large(
    kind: str = "TPM", *, model: str = "m", limit: int = 8_000, requested: int = 9_300, status: int | None = None
) -> Fail:
    """413 for the prompt, 429 for output tokens; waiting never helps:
    https://github.com/zeeyado/koassistant.koplugin/issues/106"""
    message = (
        f"Request too large for model `{model}` in organization `{ORGANISATION}` service tier `on_demand` on "
        f"{_NAMES[kind]} ({kind}): Limit {limit}, Requested {requested}, please reduce your message size and try "
        "again. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"
    )
    return Fail(status or (429 if kind == "OTPM" else 413), error(message, "tokens", "rate_limit_exceeded"))


def tool_use_failed(written: str = '{"name": "json"') -> Fail:
    message = "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details."
    return Fail(400, error(message, code="tool_use_failed", failed_generation=written))


def output_parse_failed() -> Fail:
    message = "Parsing failed. The model generated output that could not be parsed."
    return Fail(400, error(message, code="output_parse_failed", failed_generation="<|channel|>"))


def json_validate_failed() -> Fail:
    message = "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details."
    return Fail(400, error(message, code="json_validate_failed", failed_generation='{"a": '))


def unprocessable() -> Fail:
    return Fail(422, error("The request was well-formed but could not be followed."))


def over_capacity(model: str = "m", *, retry_after_s: int | None = None) -> Fail:
    message = f"{model} is currently over capacity. Please try again and back off exponentially."
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    return Fail(503, error(message, "internal_server_error"), headers)


def busy(status: int = 500) -> Fail:
    """500, 502, 498 ..."""
    code = {"code": "capacity_exceeded"} if status == 498 else {}
    return Fail(status, error("Internal Server Error", "internal_server_error", **code))
