"""Every kind of place an answer may stand in, each with the same handful of questions about it."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from adapters.discord.adapter import DiscordAdapter
from adapters.terminal.screen import PlainScreen
from adapters.terminal.surface import TerminalSurface
from core.base.clock import SystemClock
from core.ports.platform import Surface
from tests.adapters.discord.conftest import Ear, Notes, settings
from tests.adapters.slack.conftest import open_house
from tests.adapters.web.house import a_house
from tests.fakes.desk import FakeCommands, FakeIntake
from tests.fakes.discord import FakeDiscord, Limits, until
from tests.fakes.slack import FakeSlack, Fault, Place
from tests.fakes.slack import Message as SlackMessage
from tests.fakes.surface import DISCORD_LIKE, FakePlatform, FakeSurface


async def _nothing() -> None: ...


@dataclass
class Stand:
    """A surface and what stands around it."""

    surface: Surface
    pages: Callable[[], list[str]]
    """What a reader sees, page by page, without what stands around the answer."""
    pings: Callable[[], list[object]] = list
    """Whom the answer pinged."""
    erase: Callable[[], Awaitable[None]] | None = None
    """Somebody deletes the first page; None where nobody can."""
    silence: Callable[[], None] = lambda: None
    """The platform refuses the next call, whatever it is."""
    refuses_long: bool = True
    """Whether a page of 60,000 characters is too much for the place."""
    appends: bool = False
    """What was shown can only be added to."""


@asynccontextmanager
async def slack(channel: str, **changes: bool) -> AsyncIterator[Stand]:
    async with FakeSlack() as fake:
        fake.rates.on = False  # the pacer's part
        fake.place(Place("C7", "channel", bot_is_member=False))
        async with open_house(fake, **changes) as house:  # type: ignore[arg-type]
            if channel == "C7":
                await fake.command("U1", "ask hello", channel=channel).over()
                incoming = house.intake.accepted[0]
            else:
                incoming = await house.asked(channel=channel)
            surface = await house.adapter.surface(incoming, "reply1", house.intake.capabilities.get("reply1"))

            def messages() -> list[SlackMessage]:
                return fake.whispers("U1") if channel == "C7" else fake.answers(channel)

            async def erase() -> None:
                messages()[0].deleted = True

            def silence() -> None:
                for method in ("assistant.threads.setStatus", "agents.sessions.setStatus", "response_url"):
                    fake.fault(method, Fault(status=500))

            yield Stand(
                surface,
                lambda: [message.shown for message in messages()],
                lambda: list(fake.pings),
                None if channel == "C7" else erase,
                silence,
            )
        assert fake.violations == []


@asynccontextmanager
async def discord() -> AsyncIterator[Stand]:
    async with FakeDiscord(limits=Limits(channel_window_s=0.2)) as fake:
        channel, ada = fake.channel(fake.guild()), fake.person("Ada")
        intake = FakeIntake()
        adapter = DiscordAdapter(settings(fake), SystemClock(), Notes(), Ear())
        async with running(adapter.run(intake, FakeCommands())):
            await until(lambda: adapter.health().state == "connected")
            await fake.say(channel, ada, "hello", mention=True)
            await until(lambda: bool(intake.accepted))
            surface = await adapter.surface(intake.accepted[0], "reply1", None)

            async def erase() -> None:
                await fake.delete(fake.said(channel)[0])

            yield Stand(
                surface,
                lambda: [message.content for message in fake.said(channel)],
                lambda: list(fake.pings),
                erase,
            )


@asynccontextmanager
async def page() -> AsyncIterator[Stand]:
    async with a_house() as house:
        surface = await house.adapter.surface(house.incoming(), "reply1", None)

        def pages() -> list[str]:
            view = house.adapter.hub.view("reply1")
            html = ["".join(blocks) for blocks in view.pages] if view else []
            return [re.sub(r"<[^>]+>", "", one).strip() for one in html if one]

        yield Stand(surface, pages, refuses_long=False)


@asynccontextmanager
async def pipe() -> AsyncIterator[Stand]:
    stream = io.StringIO()
    yield Stand(
        TerminalSurface(PlainScreen(stream), lambda _: None),
        lambda: [text] if (text := stream.getvalue().strip()) else [],
        refuses_long=False,
        appends=True,
    )


@asynccontextmanager
async def fake() -> AsyncIterator[Stand]:
    """The surface that everything above it is tested against must keep the same promises."""
    surface = FakeSurface(FakePlatform(SystemClock()), replace(DISCORD_LIKE, post=(), edit=()))
    yield Stand(surface, lambda: surface.pages)


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


STANDS: dict[str, Callable[[], AbstractAsyncContextManager[Stand]]] = {
    "slack, edited": lambda: slack("C1"),
    "slack, streamed": lambda: slack("D1"),
    "slack, edited directly": lambda: slack("D1", native_streaming=False),
    "slack, whispered": lambda: slack("C7"),
    "discord": discord,
    "page": page,
    "pipe": pipe,
    "fake": fake,
}
