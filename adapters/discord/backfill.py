"""Which channels may hold messages that were written while nobody listened, and reading them once.

A failed resume loses its events, and so does a time without a process (facts/discord.md 1.12).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import discord

from adapters.discord.client import Client
from adapters.discord.message import snowflake_at
from adapters.discord.settings import DiscordSettings
from core.ports.platform import Intake

log = logging.getLogger(__name__)

MAX_CHANNELS = 100
OVERLAP_S = 120.0
"""Looked at again before the last sign of life: a dead socket is noticed after a missed heartbeat, a minute at most
(facts/discord.md 1.12), and the desk knows what it has seen."""


async def missed(
    client: Client, intake: Intake, settings: DiscordSettings, *, since: float, now: float
) -> AsyncIterator[discord.Message]:
    """Messages since then, oldest first within each channel, at most `backfill_messages` of them.

    Direct messages are found only where a conversation was going on: Discord does not list them to bots.
    """
    start = max(since - OVERLAP_S, now - settings.backfill_hours * 3600)
    after = discord.Object(snowflake_at(start))
    active = await intake.active_conversations("discord", now - settings.backfill_hours * 3600)
    left = settings.backfill_messages
    talked_in = {int(key.channel): key.workspace != "" for key, _ in active}
    moved_on = dict.fromkeys(_moved_on(client, settings, after.id), True)
    for channel_id, in_server in list((talked_in | moved_on).items())[:MAX_CHANNELS]:
        try:
            channel = await _open(client, channel_id, in_server=in_server)
            async for message in channel.history(limit=100, after=after, oldest_first=True):
                if message.author.bot:
                    continue
                yield message
                left -= 1
                if left <= 0:
                    log.warning("more messages were missed than are read; see backfill_messages")
                    return
        except (discord.Forbidden, discord.NotFound):
            continue


async def _open(client: Client, channel_id: int, *, in_server: bool) -> discord.abc.Messageable:
    """The channel as the library knows it: a partial one cannot tell a thread from a direct message."""
    known = client.get_channel(channel_id)
    if known is None and in_server:
        known = await client.fetch_channel(channel_id)
    if isinstance(known, discord.abc.Messageable):
        return known
    return client.get_partial_messageable(channel_id)


def _moved_on(client: Client, settings: DiscordSettings, after: int) -> list[int]:
    """Channels and threads whose newest message is newer than *after*, newest first."""
    found = []
    for guild in client.guilds:
        if settings.allow_guilds and guild.id not in settings.allow_guilds:
            continue
        places: list[discord.TextChannel | discord.Thread] = [*guild.text_channels, *guild.threads]
        for place in places:
            parent = place.parent_id if isinstance(place, discord.Thread) else None
            in_circle = not settings.allow_channels or bool(settings.allow_channels & {place.id, parent})
            if (place.last_message_id or 0) > after and in_circle:
                found.append((place.last_message_id or 0, place.id))
    return [channel for _, channel in sorted(found, reverse=True)]
