"""What `doctor` finds out about Discord: the token, the application, its intents, servers, channels and commands.

Over REST alone: connecting would cost one of the day's identifies (facts/discord-2.md 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp
import discord
from discord import app_commands

from adapters.discord import commands
from adapters.discord.client import point_at
from adapters.discord.failures import UNKNOWN_CHANNEL
from adapters.discord.settings import DiscordSettings
from core.ports.platform import Finding

NAME = "Discord"

RIGHTS = {
    "View Channels": 1 << 10,
    "Send Messages": 1 << 11,
    "Send Messages in Threads": 1 << 38,
    "Read Message History": 1 << 16,
    "Attach Files": 1 << 15,
    "Embed Links": 1 << 14,
    "Create Public Threads": 1 << 35,
    "Add Reactions": 1 << 6,
}
"""facts/discord-2.md 2.4."""

INVITED_WITH = sum(RIGHTS.values())

ADMINISTRATOR = 1 << 3

MESSAGE_CONTENT = 1 << 18 | 1 << 19
"""Granted, or switched on for an app that is not verified: both work (facts/discord-2.md 6.1)."""

FEW_IDENTIFIES = 50

_PORTAL = "https://discord.com/developers/applications"


def invite(application_id: int) -> str:
    """The link that invites the bot with the rights it uses and no others."""
    return discord.utils.oauth_url(
        application_id,
        permissions=discord.Permissions(INVITED_WITH),
        scopes=("bot", "applications.commands"),
    )


async def examine_discord(settings: DiscordSettings, *, channels: Sequence[str] = ()) -> list[Finding]:
    """Look at everything that REST tells; raises nothing that Discord or the network causes.

    Args:
        channels: Ids that tern.toml names: each must be there and open to the bot.
    """
    point_at(settings)
    # Not our own client: its login registers commands and starts tasks.
    client = discord.Client(intents=discord.Intents.none(), proxy=settings.proxy or None)
    try:
        async with client:
            await client.login(settings.token)
            return await _look(client, settings, channels)
    except discord.LoginFailure:
        advice = f"copy it again from the Bot page of {_PORTAL}, or reset it there"
        return [Finding("bad", NAME, "DISCORD_BOT_TOKEN is refused", advice)]
    except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
        why = f"cannot be reached: {type(error).__name__}"
        return [
            Finding("bad", NAME, why, "check the network and HTTPS_PROXY; https://discordstatus.com tells of outages")
        ]


async def _look(client: discord.Client, settings: DiscordSettings, channels: Sequence[str]) -> list[Finding]:
    application: dict[str, Any] = dict(await client.http.application_info())
    application_id = int(application["id"])
    found = [*_application(application), *_intents(application, settings)]
    _, _, starts = await client.http.get_bot_gateway()
    if starts["remaining"] < FEW_IDENTIFIES:
        hours = starts["reset_after"] / 3_600_000
        text = f"only {starts['remaining']} of the day's connections are left"
        found.append(Finding("warn", NAME, text, f"restart it less often; more in {hours:.1f} h"))
    found += await _servers(client, application_id)
    for channel in channels:
        found += await _channel(client, channel)
    found += await _commands(client, application_id)
    if not any(finding.level != "ok" for finding in found):
        name = client.user.name if client.user else "the bot"
        found.insert(0, Finding("ok", NAME, f"{name} is ready; to invite it elsewhere: {invite(application_id)}"))
    return found


def _application(application: dict[str, Any]) -> list[Finding]:
    found = []
    if application.get("interactions_endpoint_url"):
        text = "an interactions endpoint is set, so slash commands and buttons never reach the bot"
        found.append(Finding("bad", NAME, text, f"empty it on the General Information page of {_PORTAL}"))
    if application.get("bot_require_code_grant"):
        text = "the bot requires a code grant, so invite links do not work"
        found.append(Finding("bad", NAME, text, f"switch it off on the Bot page of {_PORTAL}"))
    return found


def _intents(application: dict[str, Any], settings: DiscordSettings) -> list[Finding]:
    # A newer field carries the same bits as text (facts/discord-2.md 6.1).
    flags = int(application.get("flags") or application.get("flags_new") or 0)
    granted = bool(flags & MESSAGE_CONTENT)
    if settings.message_content and not granted:
        text = "DISCORD_MESSAGE_CONTENT is set, but the portal does not grant the message content intent"
        advice = f"switch it on under Bot, Privileged Gateway Intents, of {_PORTAL}, or unset DISCORD_MESSAGE_CONTENT"
        return [Finding("bad", NAME, text, advice)]
    if granted and not settings.message_content:
        text = "the portal grants the message content intent, but DISCORD_MESSAGE_CONTENT is not set"
        return [Finding("warn", NAME, text, "set it to true, or switch the intent off in the portal")]
    return []


async def _servers(client: discord.Client, application_id: int) -> list[Finding]:
    guilds: Sequence[Any] = await client.http.get_guilds(200)
    if not guilds:
        return [Finding("warn", NAME, "the bot is in no server", f"invite it: {invite(application_id)}")]
    found = []
    for guild in guilds:
        rights = int(guild.get("permissions") or 0)
        missing = [name for name, bit in RIGHTS.items() if not rights & bit and not rights & ADMINISTRATOR]
        if missing:
            text = f"in {guild['name']} it lacks: {', '.join(missing)}"
            found.append(Finding("warn", NAME, text, f"open the invite once more: {invite(application_id)}"))
    return found


async def _channel(client: discord.Client, channel: str) -> list[Finding]:
    try:
        await client.http.get_channel(int(channel))
    except ValueError:
        return [Finding("bad", NAME, f'"discord:{channel}" in tern.toml is no channel\'s id', "copy it in Discord")]
    except discord.HTTPException as error:
        if error.code == UNKNOWN_CHANNEL:
            return [Finding("warn", NAME, f"channel {channel} of tern.toml does not exist", "take it out of tern.toml")]
        text = f"channel {channel} of tern.toml is not open to the bot"
        return [Finding("warn", NAME, text, "give it View Channel there")]
    return []


async def _commands(client: discord.Client, application_id: int) -> list[Finding]:
    """Whether people see the commands that this version has."""
    there = {entry["name"] for entry in await client.http.get_global_commands(application_id)}
    tree = app_commands.CommandTree(client)
    commands.build(tree, _Nobody())
    ours = {command.name for command in tree.get_commands()}
    if there == ours:
        return []
    apart = ", ".join(sorted(there ^ ours))
    text = f"the commands that Discord shows are not this version's: {apart}"
    return [Finding("warn", NAME, text, "start the bot once; new ones take up to an hour to appear")]


class _Nobody:
    """Stands where the commands' handlers would: they are only compared."""

    async def asked(self, *_: Any, **__: Any) -> None: ...

    async def said(self, *_: Any, **__: Any) -> None: ...

    async def offered(self, *_: Any, **__: Any) -> list[tuple[str, str]]:
        return []
