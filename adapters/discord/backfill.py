"""Which channels may hold messages that were written while nobody listened, and reading them once.

A failed resume loses its events, and so does a time without a process (facts/discord.md 1.12).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable

import discord

from adapters.discord.client import Client
from adapters.discord.controls import is_finished
from adapters.discord.message import read, snowflake_at
from adapters.discord.parse import Ignored, trigger
from adapters.discord.settings import DiscordSettings
from core.ports.platform import Intake

log = logging.getLogger(__name__)

Place = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread

MAX_CHANNELS = 100
"""Of servers; direct messages are all looked at, because nothing else tells of what was written there."""

READ_PER_CHANNEL = 500
"""Five requests. What people said among themselves is read with what was asked."""

OVERLAP_S = 120.0
"""Looked at again before the last sign of life: a dead socket is noticed after a missed heartbeat, a minute at most
(facts/discord.md 1.12), and the desk knows what it has seen."""


async def missed(
    client: Client, intake: Intake, settings: DiscordSettings, *, since: float, now: float
) -> AsyncIterator[discord.Message]:
    """Messages since then, oldest first within each channel, at most `backfill_messages` that speak to the bot.

    Direct messages are found only where the bot was ever written to: Discord does not list them to bots. What one of
    our own answers refers to is left out: the database may be younger than the answer (a new one, or a backup).
    """
    me = client.user.id if client.user else 0
    earliest = now - settings.backfill_hours * 3600
    after = discord.Object(snowflake_at(max(since - OVERLAP_S, earliest)))
    left = settings.backfill_messages
    for channel_id, in_server in (await _places(client, intake, settings, earliest, after.id)).items():
        try:
            channel = await _open(client, channel_id, in_server=in_server)
            found = [raw async for raw in channel.history(limit=READ_PER_CHANNEL, after=after, oldest_first=True)]
        except (discord.Forbidden, discord.NotFound):
            continue
        done = answered(found, me)
        for raw in found:
            if raw.id in done or isinstance(trigger(read(raw), me), Ignored):
                continue
            if left <= 0:
                log.warning("more messages were missed than are read; see backfill_messages")
                return
            yield raw
            left -= 1


async def _places(
    client: Client, intake: Intake, settings: DiscordSettings, earliest: float, after: int
) -> dict[int, bool]:
    """Channel -> whether it is a server's: where people talked with the bot lately, every direct message ever, and
    what has moved on since."""
    known = [key for key, _ in await intake.active_conversations("discord", 0.0)][::-1]
    lately = await intake.active_conversations("discord", earliest)
    direct = {int(key.channel): False for key in known if key.workspace == ""}
    servers = {int(key.channel): True for key, _ in lately if key.workspace != ""}
    servers |= dict.fromkeys(_moved_on(client, settings, after), True)
    return direct | dict(list(servers.items())[:MAX_CHANNELS])


def answered(found: Iterable[discord.Message], me: int) -> set[int]:
    """The messages that an answer of ours stands under, complete: it is a reply to its question, and its last page
    carries the buttons of a finished answer. A sentence of ours ("I will answer it as soon as I can") carries none. Or
    it has a thread that we opened for it."""
    found = list(found)
    threads = {raw.id for raw in found if raw.thread is not None and raw.thread.owner_id == me}
    ours = (read(raw) for raw in found if raw.author.id == me)
    return threads | {page.reply_to for page in ours if page.reply_to is not None and any(map(is_finished, page.marks))}


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
        # A thread that went to sleep meanwhile is not among them; being written to wakes it (facts/discord-2.md 2.4).
        places: list[Place] = [*guild.text_channels, *guild.voice_channels, *guild.stage_channels, *guild.threads]
        for place in places:
            parent = place.parent_id if isinstance(place, discord.Thread) else None
            in_circle = not settings.allow_channels or bool(settings.allow_channels & {place.id, parent})
            if (place.last_message_id or 0) > after and in_circle:
                found.append((place.last_message_id or 0, place.id))
    return [channel for _, channel in sorted(found, reverse=True)]
