"""What `doctor` sees of Slack from outside: tokens, scopes, the socket, channels. Nothing is changed by looking."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.abilities import ability
from adapters.slack.failures import Foreign, answer_of, code_of
from adapters.slack.ids import SCOPES
from adapters.slack.settings import SlackSettings
from core.base.clock import Clock
from core.ports.platform import Finding

_WITHIN_S = 10.0
_SKEW_S = 60.0
_REINSTALL = "paste manifest.yaml again under App Manifest, then *Reinstall to Workspace*"
_FIND_IT_AT = "copy the Bot User OAuth Token from *OAuth & Permissions*; see .env.example"
_MAKE_IT_AT = "make an app-level token with connections:write under *Basic Information*"
_FOR: dict[str, str] = {
    "app_mentions:read": "app_mention",
    "assistant:write": "assistant.",
    "chat:write": "chat.",
    "files:read": "files.info",
    "files:write": "files.",
    "im:write": "conversations.open",
    "users:read": "users.",
    "reactions:read": "reactions.",
}


async def examine_slack(settings: SlackSettings, clock: Clock, *, channels: Sequence[str] = ()) -> list[Finding]:
    """
    Args:
        channels: Ids that tern.toml names, beside the allow list's own.
    """
    findings = [*_forms(settings)]
    async with _client(settings) as client:
        if settings.bot_token:
            findings += await _bot(settings, clock, client, (*channels, *sorted(settings.allow_channels)))
        if settings.app_token:
            findings += await _socket(settings, client)
    return findings


async def send_test(settings: SlackSettings, channel: str) -> Finding:
    """Post a message and take it back: whether people would see an answer there."""
    async with _client(settings) as client:
        try:
            posted = await client.chat_postMessage(
                channel=channel, text="A test of Tern's, gone in a moment.", unfurl_links=False, unfurl_media=False
            )
            await client.chat_delete(channel=str(posted["channel"]), ts=str(posted["ts"]))
        except Foreign as error:
            return Finding("bad", f"Slack {channel}", f"a test message was refused: {_why(error)}", _advice(error))
    return Finding("ok", f"Slack {channel}", "a test message was posted and taken back")


@asynccontextmanager
async def _client(settings: SlackSettings) -> AsyncIterator[AsyncWebClient]:
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(
            token=settings.bot_token or None,
            base_url=settings.api_url,
            proxy=settings.proxy or None,
            session=session,
            timeout=int(_WITHIN_S),
            retry_handlers=[],
        )


def _forms(settings: SlackSettings) -> list[Finding]:
    """What the secrets look like (facts/slack-2.md 6.2)."""
    found = []
    if settings.bot_token.startswith("xoxe."):
        found.append(
            Finding("warn", "SLACK_BOT_TOKEN", "is a token that rotates: it ends within twelve hours",
                    "install by SLACK_CLIENT_ID, which renews it, or make an app without rotation")
        )  # fmt: skip
    elif settings.bot_token and not settings.bot_token.startswith("xoxb-"):
        found.append(Finding("bad", "SLACK_BOT_TOKEN", "is no bot token: those start with xoxb-", _FIND_IT_AT))
    if settings.app_token and not settings.app_token.startswith("xapp-"):
        found.append(Finding("bad", "SLACK_APP_TOKEN", "is no app-level token: those start with xapp-", _MAKE_IT_AT))
    secret = settings.signing_secret
    if secret and not re.fullmatch(r"[0-9a-f]{32}", secret):
        found.append(
            Finding("bad", "SLACK_SIGNING_SECRET", "does not look like one: 32 letters a to f and digits",
                    "copy the Signing Secret, not the Client Secret, from *Basic Information*")
        )  # fmt: skip
    if settings.app_token and secret:
        found.append(
            Finding("warn", "Slack", "SLACK_APP_TOKEN and SLACK_SIGNING_SECRET are both set: the socket is used",
                    "leave one of them out")
        )  # fmt: skip
    if settings.many:
        found.append(Finding("ok", "Slack", "workspaces install the app at /slack/install (https)"))
    return found


async def _bot(settings: SlackSettings, clock: Clock, client: AsyncWebClient, channels: Sequence[str]) -> list[Finding]:
    try:
        answer = await client.auth_test()
    except Foreign as error:
        return [Finding("bad", "SLACK_BOT_TOKEN", f"is not taken: {_why(error)}", _advice(error))]
    where = str(answer.get("team") or answer.get("enterprise_id") or "")
    found = [Finding("ok", "SLACK_BOT_TOKEN", f"works in {where} as @{answer.get('user')}")]
    granted = set(str(answer.headers.get("x-oauth-scopes", "")).split(",")) - {""}
    missing = [scope for scope in SCOPES if granted and scope not in granted]
    found += [
        Finding("warn", "Slack scopes", f"{scope} is missing: I may not {ability(_FOR.get(scope, 'conversations.'))}",
                _REINSTALL)
        for scope in missing
    ]  # fmt: skip
    if granted and not missing:
        found.append(Finding("ok", "Slack scopes", f"all {len(SCOPES)} are there"))
    found += _clock(clock, str(answer.headers.get("Date") or ""))
    found += await _same_app(settings, client, str(answer.get("bot_id") or ""))
    for channel in dict.fromkeys(channels):
        found += await _channel(client, channel, str(answer.get("user") or "tern"))
    return found


def _clock(clock: Clock, date: str) -> list[Finding]:
    """Signatures are good for five minutes (facts/slack.md 1.10)."""
    try:
        skew_s = clock.now() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return []
    if abs(skew_s) < _SKEW_S:
        return []
    return [Finding("warn", "clock", f"is {skew_s:+.0f} s off Slack's", "let the machine keep time by NTP")]


async def _same_app(settings: SlackSettings, client: AsyncWebClient, bot: str) -> list[Finding]:
    app = re.match(r"xapp-\d-(A[A-Z0-9]+)-", settings.app_token)
    if not (app and bot):
        return []
    try:
        of_bot = str((await client.bots_info(bot=bot))["bot"].get("app_id") or "")
    except Foreign:
        return []  # without users:read, which is named above
    if of_bot in ("", app[1]):
        return []
    return [
        Finding("bad", "Slack", f"the bot token is of the app {of_bot}, the app-level token of {app[1]}",
                "take both from the same app")
    ]  # fmt: skip


async def _channel(client: AsyncWebClient, channel: str, name: str) -> list[Finding]:
    try:
        info = (await client.conversations_info(channel=channel))["channel"]
    except Foreign as error:
        advice = f"check the id, or invite me there: /invite @{name}"
        return [Finding("warn", f"Slack {channel}", f"cannot be seen: {_why(error)}", advice)]
    if info.get("is_archived"):
        return [Finding("warn", f"Slack {channel}", "is archived", "take it out of tern.toml")]
    if not (info.get("is_member") or info.get("is_im")):
        return [Finding("warn", f"Slack {channel}", "I am not a member", f"/invite @{name} there")]
    return [Finding("ok", f"Slack {channel}", "I am a member")]


async def _socket(settings: SlackSettings, client: AsyncWebClient) -> list[Finding]:
    """Open one, read its greeting, and close it at once: while it is open Slack may send it something."""
    try:
        answer = await client.apps_connections_open(app_token=settings.app_token)
    except Foreign as error:
        return [Finding("bad", "SLACK_APP_TOKEN", f"is not taken: {_why(error)}", _MAKE_IT_AT)]
    try:
        async with (
            asyncio.timeout(_WITHIN_S),
            aiohttp.ClientSession() as session,
            session.ws_connect(str(answer["url"]), proxy=settings.proxy or None) as socket,
        ):
            hello: dict[str, Any] = await socket.receive_json()
    except (aiohttp.ClientError, TimeoutError, OSError, TypeError, ValueError) as error:
        advice = "let wss:// through the firewall, or set HTTPS_PROXY"
        return [Finding("bad", "Slack socket", f"does not open ({type(error).__name__})", advice)]
    others = int(hello.get("num_connections") or 1) - 1
    if others <= 0:
        return [Finding("ok", "Slack socket", "opens; nobody else listens")]
    return [
        Finding("warn", "Slack socket", f"opens; {others} more listen with this SLACK_APP_TOKEN and take events away",
                "right while Tern runs once; otherwise stop the others, or give each its own app")
    ]  # fmt: skip


def _why(error: BaseException) -> str:
    code = code_of(error) or type(error).__name__
    needed = answer_of(error).get("needed")
    return f"{code} (needs {needed})" if needed else code


def _advice(error: BaseException) -> str:
    match code_of(error):
        case "":
            return "check the network and HTTPS_PROXY"
        case "missing_scope":
            return _REINSTALL
        case "not_in_channel" | "channel_not_found":
            return "check the channel's id, and invite me there"
        case "ratelimited":
            return "try again in a minute"
        case _:
            return _FIND_IT_AT
