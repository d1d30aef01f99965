"""What each refusal of Slack's Web API means to a surface: the one table, and the translation at the border."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from core.domain.errors import SurfaceBusy, SurfaceError, SurfaceGone, SurfaceRejected

Foreign = (SlackClientError, aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""Everything a call through the SDK may raise."""

TOO_LONG = frozenset({"msg_too_long", "msg_blocks_too_long", "too_long", "markdown_text_too_long"})

BAD_LAYOUT = frozenset(
    {
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_attachments",
        "block_mismatch",
        "markdown_text_conflict",
        "no_text",
        "invalid_metadata_format",
        "invalid_arguments",
        "invalid_arg_name",
        "invalid_array_arg",
    }
)

LATER = frozenset(
    {
        "ratelimited",
        "rate_limited",
        "message_limit_exceeded",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "team_added_to_org",
        "org_login_required",
        "request_timeout",
        "messaging_processing_failed",
    }
)
"""facts/slack.md 2, "Retry"; everything unlisted is final: repeating it cannot help."""

REFUSED = frozenset({"not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired"})
"""The token itself: nothing the app does will work until somebody mends it."""

LACKING = frozenset(
    {
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "access_denied",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "team_access_not_granted",
    }
)
"""A right for this method: everything else goes on (facts/slack-2.md 1.6, 1.7)."""

_ONLY_SOME = "only some people may write there"
CLOSED: Mapping[str, str] = {
    "is_archived": "it is archived",
    "not_in_channel": "I am not a member",
    "channel_not_found": "I cannot see it any more",
    "thread_locked": "the thread is locked",
    "restricted_action": _ONLY_SOME,
    "restricted_action_read_only_channel": _ONLY_SOME,
    "restricted_action_thread_only_channel": "it takes replies in threads only",
    "restricted_action_non_threadable_channel": "it takes no threads",
    "restricted_action_thread_locked": "the thread is locked",
}
"""The place takes no message of ours, while direct messages may (facts/slack.md 2)."""

MAX_RETRY_AFTER_S = 600.0
_MAY_PASS = frozenset({401, 403, 404, 407, 408, 423, 425, 451})
"""Statuses without a word of Slack's that speak of whoever stands between, not of the request."""


def code_of(error: BaseException) -> str:
    """Slack's own `error`, "" where the call did not get that far."""
    answer = answer_of(error)
    return str(answer.get("error") or "")


def code_behind(error: SurfaceError) -> str:
    """Slack's `error` that a translated one stands for, "" where there was none."""
    return code_of(error.__cause__) if error.__cause__ else ""


def status_of(error: BaseException) -> int:
    response: Any = getattr(error, "response", None)
    return int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)


def answer_of(error: BaseException) -> Mapping[str, Any]:
    data = getattr(getattr(error, "response", None), "data", None)
    return data if isinstance(data, Mapping) else {}


def retry_after_s(error: BaseException) -> float:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        wait_s = float(headers.get("Retry-After", 1.0))
    except ValueError:
        wait_s = 1.0
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def is_rate_limit(error: BaseException) -> bool:
    return status_of(error) == 429 or code_of(error) in {"ratelimited", "rate_limited", "message_limit_exceeded"}


def translate(error: BaseException) -> SurfaceError:
    """Say what *error* means to whoever shows an answer. Its text names the method's verdict, never a token."""
    if not isinstance(error, SlackApiError):
        return SurfaceBusy(f"Slack did not answer ({type(error).__name__})", unsure=True)
    code, status = code_of(error), status_of(error)
    if is_rate_limit(error):
        return SurfaceBusy("Slack is rate limiting us", retry_after_s=retry_after_s(error), too_many=True)
    if not code and 400 <= status < 500:
        # Refused before Slack read it, by a proxy for one: nothing was done, and it need not be looked for.
        if status in _MAY_PASS:
            return SurfaceBusy(f"Slack answered with status {status}", retry_after_s=5.0)
        return SurfaceRejected(f"Slack answered with status {status}", too_long=status == 413)
    if status >= 500 or not code:
        return SurfaceBusy(f"Slack answered with status {status}", unsure=True)
    if code in LATER:
        return SurfaceBusy(f"Slack says {code}", unsure=True)
    if code in TOO_LONG:
        return SurfaceRejected(code, too_long=True)
    if code in BAD_LAYOUT:
        return SurfaceRejected(code)
    return SurfaceGone(f"{code}{_scopes(error)}")


def _scopes(error: BaseException) -> str:
    """missing_scope says which: log it (facts/slack.md 2)."""
    answer = answer_of(error)
    needed = answer.get("needed")
    return f" (needs {needed}, has {answer.get('provided')})" if needed else ""
