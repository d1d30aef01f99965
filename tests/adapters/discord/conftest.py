"""A bot and its Discord: the real discord.py against the strict fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from adapters.discord.adapter import DiscordAdapter
from adapters.discord.settings import DiscordSettings
from core.base.clock import SystemClock
from core.ports.platform import Rate, Shown, Surface
from tests.fakes.desk import FakeCommands, FakeIntake
from tests.fakes.discord import Channel, FakeDiscord, Guild, Limits, Person, until

WINDOW_S = 0.2
"""Discord's five seconds, shortened: the library sleeps in real time."""


@dataclass
class Notes:
    """A NoteStore in memory."""

    kept: dict[str, str] = field(default_factory=dict)

    async def get(self, key: str) -> str | None:
        return self.kept.get(key)

    async def set(self, key: str, value: str) -> None:
        self.kept[key] = value


@dataclass
class Ear:
    """A SurfaceObserver that remembers."""

    heard: list[tuple[str, int | None, float, int | None]] = field(default_factory=list)

    def learn(self, key: str, *, remaining: int | None, reset_after_s: float, capacity: int | None = None) -> None:
        self.heard.append((key, remaining, reset_after_s, capacity))

    def count(self, rate: Rate) -> AbstractContextManager[None]:
        return nullcontext()

    def take(self, rate: Rate) -> AbstractAsyncContextManager[None]:
        return nullcontext()


@dataclass
class Bot:
    """One running adapter with everything around it."""

    discord: FakeDiscord
    adapter: DiscordAdapter
    intake: FakeIntake
    commands: FakeCommands
    notes: Notes
    ear: Ear
    guild: Guild
    channel: Channel
    ada: Person
    task: asyncio.Task[None]

    async def accepted(self, count: int = 1) -> Any:
        """Wait until so many messages are taken in; the newest."""
        await until(lambda: len(self.intake.accepted) >= count)
        return self.intake.accepted[-1]

    async def surface(self, number: int = -1) -> Surface:
        incoming = self.intake.accepted[number]
        reply_id = self.intake.reply_of(incoming.message_id)
        return await self.adapter.surface(incoming, reply_id, self.intake.capabilities.get(reply_id))

    async def ask(self, text: str = "hello") -> Surface:
        """Let Ada mention the bot in the channel and open the surface of the answer."""
        count = len(self.intake.accepted)
        await self.discord.say(self.channel, self.ada, text, mention=True)
        await self.accepted(count + 1)
        return await self.surface()

    async def quiet(self) -> None:
        """Let everything on its way arrive: one more event goes through the same socket."""
        other = self.discord.person("Beacon")
        before = len(self.intake.accepted)
        await self.discord.say(self.discord.dm(other), other, "beacon")
        await self.accepted(before + 1)
        self.intake.accepted.pop()

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


StartBot = Callable[..., AbstractAsyncContextManager[Bot]]


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord(limits=Limits(channel_window_s=WINDOW_S)) as fake:
        yield fake


@pytest.fixture
def start(discord: FakeDiscord) -> StartBot:
    """`async with start(message_content=True) as bot`: connect an adapter, leave cleanly at the end."""

    @asynccontextmanager
    async def begin(
        *,
        intake: FakeIntake | None = None,
        notes: Notes | None = None,
        guild: Guild | None = None,
        wait: bool = True,
        **changes: Any,
    ) -> AsyncIterator[Bot]:
        intake, commands, notes, ear = intake or FakeIntake(), FakeCommands(), notes or Notes(), Ear()
        guild = guild or next(iter(discord.guilds.values()), None) or discord.guild()
        channel = next((c for c in guild.channels.values() if c.type == 0), None) or discord.channel(guild)
        ada = next((p for p in discord.people.values() if p.name == "Ada"), None) or discord.person("Ada")
        adapter = DiscordAdapter(settings(discord, **changes), SystemClock(), notes, ear)
        task = asyncio.create_task(adapter.run(intake, commands))
        bot = Bot(discord, adapter, intake, commands, notes, ear, guild, channel, ada, task)
        try:
            if wait:
                connecting = asyncio.create_task(discord.gateway.connected())
                await asyncio.wait({connecting, task}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
                connecting.cancel()
                if task.done():
                    task.result()
                await until(lambda: adapter.health().state == "connected")
            yield bot
        finally:
            await bot.leave()

    return begin


@pytest.fixture
async def bot(start: StartBot) -> AsyncIterator[Bot]:
    async with start() as running:
        yield running


def settings(discord: FakeDiscord, **changes: Any) -> DiscordSettings:
    base = DiscordSettings(
        token=discord.token,
        api_url=discord.api_url,
        gateway_url=discord.gateway_url,
        channel_window_s=WINDOW_S,
        identify_gap_s=0.0,
        guild_ready_s=0.05,
    )
    return replace(base, **changes)


def words(text: str, **more: Any) -> Shown:
    return Shown(text, **more)
