"""The library's client, set up for a bot that keeps its own history; and where it connects to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import aiohttp
import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from adapters.discord.controls import Presses, is_ours
from adapters.discord.settings import DiscordSettings
from core.base.clock import Clock

discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
"""No warning at start that voice calls are not supported: voice messages need nothing (facts/discord.md 1.1)."""

API = Route.BASE
GATEWAY = DiscordWebSocket.DEFAULT_GATEWAY

SESSION_S = 300.0
"""aiohttp's own limit for a whole request, kept for large uploads over slow lines."""


class Listener(Protocol):
    """Who follows the connection; the adapter."""

    async def logged_in(self, client: Client) -> None:
        """REST works; the gateway is not yet connected."""
        ...

    def connected(self, shard: int) -> None: ...

    async def ready(self) -> None:
        """A new session is complete: events may have been missed before it. Happens more than once."""
        ...

    def lost(self, shard: int) -> None: ...

    def heard(self) -> None:
        """Any event came in."""
        ...


class Reader(Protocol):
    """Who reads messages. Each call runs in a task of its own, begun in the order of the events."""

    async def message(self, raw: discord.Message) -> None: ...

    async def edited(self, raw: discord.Message) -> None: ...

    async def deleted(self, guild: int | None, channel: int, messages: frozenset[int]) -> None: ...

    async def reacted(self, reaction: discord.RawReactionActionEvent) -> None: ...


def intents(settings: DiscordSettings) -> discord.Intents:
    """The least this bot needs: servers, their messages, direct messages (facts/discord.md 1.2); reactions where one
    of them is a command (facts/discord-2.md 3.1)."""
    wanted = discord.Intents.none()
    wanted.guilds = True
    wanted.guild_messages = True
    wanted.dm_messages = True
    wanted.guild_reactions = bool(settings.reaction_channels)
    wanted.message_content = settings.message_content
    return wanted


def point_at(settings: DiscordSettings) -> None:
    """Send the library to the configured addresses, or back to Discord's own.

    Both are needed: a client with a fixed shard count goes to its own constant, whatever the REST address says
    (facts/discord.md 4.1). They are the library's globals: one Discord per process.
    """
    Route.BASE = settings.api_url.rstrip("/") or API
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(settings.gateway_url) if settings.gateway_url else GATEWAY


class Client(discord.AutoShardedClient):
    """Forwards what it hears to a Listener. Made anew for every connection attempt; closed by whoever made it."""

    def __init__(
        self,
        settings: DiscordSettings,
        listener: Listener,
        reader: Reader,
        presses: Presses,
        clock: Clock,
        *,
        http_trace: aiohttp.TraceConfig,
        slot: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        """*slot* is put around each request that counts towards the bot's fifty a second, except typing."""
        options: dict[str, Any] = {}
        if settings.shard_ids:
            options["shard_ids"] = list(settings.shard_ids)
        # A count of our own spares the question and keeps the socket at the configured address.
        count = settings.shard_count or (1 if settings.gateway_url else None)
        if count is not None:
            options["shard_count"] = count
        super().__init__(
            intents=intents(settings),
            allowed_mentions=discord.AllowedMentions.none(),
            # History lies in our own storage: no message and no member is kept (facts/discord.md 1.12).
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            guild_ready_timeout=settings.guild_ready_s,
            proxy=settings.proxy or None,
            http_trace=http_trace,
            **options,
        )
        request = self.http.request

        async def paced(route: discord.http.Route, **content: Any) -> Any:
            # Typing has its own few: Connection.may_type.
            async with contextlib.nullcontext() if route.path.endswith("/typing") else slot():
                return await request(route, **content)

        self.http.request = paced  # type: ignore[method-assign]
        self.tree = app_commands.CommandTree(self)
        self.presses = presses
        self._settings = settings
        self._listener = listener
        self._reader = reader
        self._clock = clock
        self._may_identify_at = 0.0

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Keep two identifies apart, and wait no longer than that: the library's own hook always waits."""
        now = self._clock.monotonic()
        wait_s = max(0.0, self._may_identify_at - now)
        self._may_identify_at = now + wait_s + self._settings.identify_gap_s
        await self._clock.sleep(wait_s)

    async def setup_hook(self) -> None:
        # The library gives its session no limit, and a hung socket then costs aiohttp's 300 s (facts/discord.md 1.11).
        # Here it is the socket that falls silent: no call is cancelled from outside.
        self.http._HTTPClient__session._timeout = aiohttp.ClientTimeout(  # type: ignore[attr-defined]
            total=SESSION_S, sock_connect=self._settings.silence_s, sock_read=self._settings.silence_s
        )
        await self._listener.logged_in(self)

    async def on_shard_connect(self, shard: int) -> None:
        self._listener.connected(shard)

    async def on_shard_resumed(self, shard: int) -> None:
        self._listener.connected(shard)

    async def on_ready(self) -> None:
        await self._listener.ready()

    async def on_shard_disconnect(self, shard: int) -> None:
        self._listener.lost(shard)

    async def on_socket_event_type(self, event: str) -> None:
        self._listener.heard()

    async def on_message(self, message: discord.Message) -> None:
        await self._reader.message(message)

    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        await self._reader.edited(payload.message)

    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        await self._reader.deleted(payload.guild_id, payload.channel_id, frozenset({payload.message_id}))

    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        await self._reader.deleted(payload.guild_id, payload.channel_id, frozenset(payload.message_ids))

    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        await self._reader.reacted(payload)

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Acknowledge buttons of older versions: unheard, they show "interaction failed" (facts/discord.md 1.6)."""
        if interaction.type is discord.InteractionType.component:
            pressed: Any = interaction.data
            if not is_ours(str(pressed["custom_id"])):
                await interaction.response.defer()
