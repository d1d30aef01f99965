"""What stands before a question on Discord: its reply chain, its thread, the messages a command points at.

Asked once per conversation. Without the content intent other people's messages come back empty, over REST too
(facts/discord.md 1.2): they are left out.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

import aiohttp
import discord

from adapters.discord.client import Client
from adapters.discord.message import DiscordMessage, read
from adapters.discord.parse import quote
from core.domain.incoming import Incoming, Quote

log = logging.getLogger(__name__)

MAX_HOPS = 25
"""Of a reply chain; what llmcord walks too (facts/discord.md 2.1)."""

MAX_SINGLE_READS = 5
"""Ancestors outside the one page of history that are fetched singly."""

THREAD_MESSAGES = 50
DIRECT_MESSAGES = 20
CHANNEL_HOURS = 48
"""What was said in a channel longer ago has nothing to do with a question that begins now."""

SUMMARY_MESSAGES = 500
"""Five pages of history, of the hundred messages that one request returns (facts/discord.md 1.8)."""


async def context(client: Client, incoming: Incoming, *, channel_messages: int = 0) -> Sequence[Quote]:
    """Return what precedes *incoming*, oldest first, without what it quotes itself; [] where nothing may be read."""
    me = client.user.id if client.user else 0
    try:
        messages = await _before(client, incoming, channel_messages)
    except (discord.DiscordException, aiohttp.ClientError, OSError, RuntimeError) as error:
        # RuntimeError is what a closed session raises (facts/discord.md 1.12).
        log.info("no context for a question: %s", type(error).__name__)
        return []
    quoted = {quote.message_id for quote in incoming.quotes} | {incoming.message_id}
    found = [quote(message, me) for message in messages if not message.blank and not message.system]
    return [entry for entry in found if entry.message_id not in quoted and (entry.text or entry.attachments)]


async def _before(client: Client, incoming: Incoming, channel_messages: int) -> list[DiscordMessage]:
    channel = client.get_partial_messageable(int(incoming.conversation.channel))
    if incoming.purpose == "summarise":
        target = discord.Object(int(incoming.address["target"]))
        return [read(m) async for m in channel.history(limit=SUMMARY_MESSAGES, after=target, oldest_first=True)]
    question = incoming.address.get("question", "")
    if not question:
        return []
    if incoming.direct:
        return await _recent(channel, question, DIRECT_MESSAGES)
    if incoming.conversation.root == incoming.conversation.channel:
        return await _starter(client, incoming) + await _recent(channel, question, THREAD_MESSAGES)
    if incoming.reply_to:
        return await _chain(channel, incoming)
    since = incoming.received_at - CHANNEL_HOURS * 3_600
    recent = await _recent(channel, question, channel_messages) if channel_messages else []
    return [message for message in recent if message.sent_at >= since]


async def _recent(channel: discord.PartialMessageable, question: str, count: int) -> list[DiscordMessage]:
    found = [read(m) async for m in channel.history(limit=count, before=discord.Object(int(question)))]
    return found[::-1]


async def _starter(client: Client, incoming: Incoming) -> list[DiscordMessage]:
    """A thread's first message lies in its parent under the thread's own id (facts/discord.md 1.4)."""
    thread = int(incoming.conversation.channel)
    parent = incoming.address.get("parent", "")
    if not parent:
        return []
    with contextlib.suppress(discord.NotFound, discord.Forbidden):
        return [read(await client.get_partial_messageable(int(parent)).fetch_message(thread))]
    return []


async def _chain(channel: discord.PartialMessageable, incoming: Incoming) -> list[DiscordMessage]:
    """Walk up from the question: one page of history holds most chains, and costs what one hop would."""
    newest = discord.Object(int(incoming.reply_to) + 1)
    page = {m.id: read(m) async for m in channel.history(limit=100, before=newest)}
    chain: list[DiscordMessage] = []
    wanted: int | None = int(incoming.reply_to)
    singles = 0
    while wanted is not None and len(chain) < MAX_HOPS:
        found = page.get(wanted)
        if found is None:
            if singles >= MAX_SINGLE_READS:
                break
            singles += 1
            try:
                found = read(await channel.fetch_message(wanted))
            except (discord.NotFound, discord.Forbidden):
                break
        chain.append(found)
        wanted = found.reply_to
    return chain[::-1]
