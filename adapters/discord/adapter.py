"""Discord: connects, opens surfaces, fetches. Messages are heard in messages.py, commands and buttons in
interactions.py."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any

from adapters.discord import commands, context, files
from adapters.discord.buckets import Buckets
from adapters.discord.client import Client, point_at
from adapters.discord.connection import Connection
from adapters.discord.connection_health import ConnectionHealth
from adapters.discord.controls import Control
from adapters.discord.failures import fatal
from adapters.discord.interaction_surface import TOKEN_S, InteractionSurface
from adapters.discord.interactions import Interactions
from adapters.discord.message import snowflake_time
from adapters.discord.messages import Messages
from adapters.discord.parse import PLATFORM
from adapters.discord.rest_calls import RestCalls
from adapters.discord.settings import DiscordSettings
from adapters.discord.surface import NO_PINGS, ChannelSurface
from core import wording
from core.base.clock import Clock
from core.domain.errors import StorageError, SurfaceBusy
from core.domain.incoming import Attachment, Incoming, Quote
from core.domain.runs import ReplyCapability
from core.net.guarded_fetch import GuardedFetcher
from core.ports.platform import AdapterHealth, Commands, Intake, Surface, SurfaceObserver
from core.ports.storage import NoteStore

log = logging.getLogger(__name__)

WATCH_S = 15.0
"""How often signs of life are noted, and how soon a message that storage refused is tried again."""

LOGIN_PATIENCE_S = 30.0
"""A reply taken up again at start-up waits so long for the connection."""

COMPLAINT_EVERY_S = 3600.0
"""One person is told at most so often that the bot may not write in a channel."""

IDENTIFY_RESERVE = 5
"""Of the 1,000 identifies a day: beyond them Discord resets the token (facts/discord.md 1.12)."""


class DiscordAdapter:
    """Implements core.ports.platform.Adapter. One bot user; made once, `run` may be called again after it raised."""

    name = PLATFORM

    def __init__(self, settings: DiscordSettings, clock: Clock, notes: NoteStore, pacer: SurfaceObserver) -> None:
        self._settings = settings
        self._clock = clock
        self._notes = notes
        self._connection = Connection(clock)
        self._buckets = Buckets(pacer)
        self._links = files.Links(clock)
        self._fetcher = GuardedFetcher(proxy=settings.proxy or None)
        self._life = ConnectionHealth(clock, notes)
        self._messages = Messages(settings, self._connection, self._links)
        self._interactions = Interactions(settings, self._connection, self._links)
        self._complained: dict[tuple[str, str], float] = {}
        self._usable = asyncio.Event()
        """REST can be used."""
        self._delivered_at: float | None = None
        self._ended: asyncio.Future[Exception | None] | None = None
        """How the present connection ended."""

    # --- core.ports.platform.Adapter

    async def run(self, intake: Intake, commands: Commands) -> None:
        """Connect and listen until cancelled.

        Raises:
            SettingsError: When no new attempt can help: the token, the intents or the shards are refused.
            SurfaceBusy: When the connection failed; try again later.
        """
        self._messages.intake = self._interactions.intake = intake
        self._interactions.commands = commands
        self._life.became("starting")
        point_at(self._settings)
        try:
            async with self._fetcher, RestCalls(self._buckets, self._clock) as calls:
                client = Client(
                    self._settings,
                    self,
                    self._messages,
                    self._interactions,
                    self._clock,
                    http_trace=calls.trace(),
                    slot=calls.slot,
                )
                self._connection.calls, self._connection.client = calls, client
                await self._live(client, calls)
        finally:
            self._connection.calls = self._connection.client = None
            self._usable.clear()

    async def _live(self, client: Client, calls: RestCalls) -> None:
        """Stay connected until it fails or we are cancelled.

        The library runs in a task of its own: while it reconnects it swallows a cancellation and waits on, so it is
        told by `close` instead.
        """
        ended = self._ended = asyncio.get_running_loop().create_future()
        calls.spawn(lambda: _report(client.start(self._settings.token), ended), "discord client")
        try:
            await asyncio.wait({ended})
        finally:
            await self._part(client)
        error = ended.result()
        if error is None:
            raise SurfaceBusy("the connection to Discord ended", retry_after_s=1.0)
        final = fatal(error) or (error if isinstance(error, SurfaceBusy) else None)
        if final is not None:
            self._life.became("down", str(final))
            raise final from (None if final is error else error)
        self._life.became("down", type(error).__name__)
        # Among them AttributeError: what a first connection that fails ends in (facts/discord.md 1.12).
        raise SurfaceBusy(f"Discord cannot be reached: {type(error).__name__}", retry_after_s=5.0) from error

    async def _part(self, client: Client) -> None:
        """Close with 1000, so that the bot goes offline at once (facts/discord.md 1.12)."""
        await self._note_the_end()
        if self._life.connected:
            self._life.became("off")
        calls = self._connection.calls
        self._delivered_at = calls.delivered_at if calls else None
        with contextlib.suppress(Exception):
            await client.close()

    async def close_intake(self) -> None:
        """Take no more messages: what comes in now is found again by the next start's back-fill.

        Commands are still taken, because they cannot be found again; buttons work on.
        """
        await self._note_the_end()
        self._messages.intake = None

    async def _note_the_end(self) -> None:
        client = self._connection.client
        if client is not None and self._listening:
            with contextlib.suppress(StorageError):
                await self._life.note(client.application_id or 0)

    async def surface(self, incoming: Incoming, reply_id: str, capability: ReplyCapability | None) -> Surface:
        await self._login()
        channel = ChannelSurface(
            self._connection, self._settings, incoming, reply_id, forbidden=self._complain_to_asker
        )
        private = incoming.visibility == "private"
        if not private and (capability is None or not self._token_lives(incoming)):
            return channel
        gone = ReplyCapability(secret="", expires_at=0.0)
        return InteractionSurface(self._connection, self._settings, incoming, reply_id, capability or gone, channel)

    def _token_lives(self, incoming: Incoming) -> bool:
        """A button's later token reaches only the message it stands under; the bot itself reaches all of them."""
        started = incoming.address.get("interaction", "")
        return bool(started) and self._clock.now() < snowflake_time(int(started)) + TOKEN_S

    async def _login(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOGIN_PATIENCE_S):
                await self._usable.wait()

    async def fetch(self, attachment: Attachment, incoming: Incoming) -> AsyncGenerator[bytes, None]:
        await self._login()
        client, _ = self._connection.use()
        async for chunk in files.fetch(self._fetcher, client, self._settings, self._links, attachment):
            yield chunk

    async def context(self, incoming: Incoming, *, channel_messages: int = 0) -> Sequence[Quote]:
        """Never raises: an answer without what stood before it is better than none."""
        await self._login()
        client = self._connection.client
        return await context.context(client, incoming, channel_messages=channel_messages) if client is not None else []

    def health(self) -> AdapterHealth:
        calls = self._connection.calls
        return self._life.health((calls.delivered_at if calls else None) or self._delivered_at)

    # --- client.Listener

    async def logged_in(self, client: Client) -> None:
        """REST works. Nothing here may wait for the gateway: it connects after this returns (facts/discord.md 1.12)."""
        _, calls = self._connection.use()
        limits = await client.fetch_session_start_limits()
        if limits.remaining < IDENTIFY_RESERVE:
            wait_s = limits.reset_after / 1000
            self._life.became("down", "today's connections are used up")
            log.error("Discord allows no more connections today; waiting %.0f s", wait_s)
            await self._clock.sleep(wait_s)
            self._life.became("starting")
        client.add_dynamic_items(Control)
        commands.build(client.tree, self._interactions)
        if not await self._life.recall(client.application_id or 0):
            await self._life.note(client.application_id or 0)  # the first start ever: nothing to make good
        self._usable.set()
        if not self._settings.shard_ids or 0 in self._settings.shard_ids:
            calls.spawn(lambda: self._sync(client), "command sync")
        calls.spawn(lambda: self._watch(client), "discord watch")
        calls.spawn(self._guard, "discord guard")

    async def _sync(self, client: Client) -> None:
        await commands.sync(client, client.tree, self._notes)

    def connected(self, shard: int) -> None:
        self._life.shard_connected(shard)

    async def ready(self) -> None:
        """A new session began: at the first start, and after every resume that failed."""
        calls = self._connection.calls
        if calls is None:
            return  # leaving already
        if self._life.alive_at is not None:
            self._messages.owe(self._life.alive_at)
        calls.spawn(self._messages.catch_up, "back-fill")

    def lost(self, shard: int) -> None:
        self._life.shard_lost(shard)

    def heard(self) -> None:
        self._life.heard()

    async def _watch(self, client: Client) -> None:
        while True:
            await self._clock.sleep(WATCH_S)
            self._life.felt(tuple(client.latencies))
            try:
                await self._make_good(client)
            except Exception as error:  # noqa: BLE001 - still owed, and tried again at the next look
                log.error("missed messages could not be looked for: %s: %s", type(error).__name__, error)

    async def _guard(self) -> None:
        """End a connection that does not come back; whoever runs the adapter starts it anew, with pauses of its own."""
        patience_s = self._settings.gateway_patience_s
        while self._life.cut_off_s < patience_s:
            await self._clock.sleep(patience_s / 10)
        if self._ended is not None and not self._ended.done():
            why = f"Discord's gateway has not answered for {patience_s:.0f} s"
            self._ended.set_result(SurfaceBusy(why, retry_after_s=1.0))

    async def _make_good(self, client: Client) -> None:
        """Look for what is owed; where nothing is, note that nothing was missed until now."""
        if self._messages.behind_since is not None and self._life.connected:
            await self._messages.catch_up()
        elif self._listening:
            await self._life.note(client.application_id or 0)

    @property
    def _listening(self) -> bool:
        """Whether everything that people write now is taken in."""
        nothing_owed = self._messages.behind_since is None and not self._messages.catching_up
        return nothing_owed and self._life.connected and self._messages.intake is not None

    # --- where the bot may not write

    def _complain_to_asker(self, incoming: Incoming, right: str) -> None:
        """Tell the asker in a direct message, once an hour, which right the bot lacks to answer there."""
        key = (incoming.user.user, incoming.conversation.channel)
        now = self._clock.monotonic()
        if incoming.direct or now < self._complained.get(key, -COMPLAINT_EVERY_S) + COMPLAINT_EVERY_S:
            return
        self._complained[key] = now
        if self._connection.calls is not None:
            self._connection.calls.spawn(lambda: self._complain(incoming, right), "a word to the asker")

    async def _complain(self, incoming: Incoming, right: str) -> None:
        client, _ = self._connection.use()
        person = await client.fetch_user(int(incoming.user.user))
        place = f"<#{incoming.conversation.channel}>"
        await person.send(wording.may_not_write(place, right), allowed_mentions=NO_PINGS)


async def _report(work: Coroutine[Any, Any, None], ended: asyncio.Future[Exception | None]) -> None:
    """Tell *ended* how *work* ended: with an error, or by itself."""
    error: Exception | None = None
    try:
        await work
    except Exception as failure:  # noqa: BLE001 - translated by whoever waits
        error = failure
    finally:
        if not ended.done():
            ended.set_result(error)
