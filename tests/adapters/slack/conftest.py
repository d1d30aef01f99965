"""The adapter between a strict fake Slack and the desk in memory, on a loop whose time jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from adapters.slack.adapter import SlackAdapter
from adapters.slack.settings import SlackSettings
from core.delivery.live_reply import LiveReply
from core.delivery.pacing.pacer import Pacer
from core.domain.events import Started, TextDelta
from core.domain.incoming import Incoming
from core.domain.requests import ShownRecord
from core.domain.runs import ReplyCapability
from tests.fakes.clock import LoopbackTimeLoop, LoopClock
from tests.fakes.desk import FakeCommands, FakeIntake
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack
from tests.fakes.surface import FakeLedger


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """Every async test below this folder runs in virtual time, sockets included; the whole house in real time."""
    if "whole_house" in item.nodeid:
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": LoopbackTimeLoop}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads these by itself (facts/slack.md 3)."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


class Notes:
    """A NoteStore in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        return self.kept.get(key)

    async def set(self, key: str, value: str) -> None:
        self.kept[key] = value


@dataclass
class House:
    """One running adapter and everything around it."""

    slack: FakeSlack
    intake: FakeIntake
    commands: FakeCommands
    adapter: SlackAdapter
    notes: Notes
    clock: LoopClock
    task: asyncio.Task[None]
    pacer: Pacer

    async def asked(self, text: str = "<@U0TERN> hello", *, user: str = "U1", channel: str = "C1") -> Incoming:
        """Somebody asks; the question as the inbox got it."""
        message = self.slack.say(user, text, channel=channel)
        while not (found := [one for one in self.intake.accepted if one.message_id == message.ts]):
            await asyncio.sleep(0.01)
        return found[0]

    async def answer(
        self,
        incoming: Incoming,
        words: Sequence[str],
        *,
        every_s: float = 0.02,
        ledger: FakeLedger | None = None,
        capability: ReplyCapability | None = None,
        footer: str = "",
    ) -> ShownRecord:
        """Answer with the house's own LiveReply, a piece of text at a time, as a model would."""
        reply_id = self.intake.reply_of(incoming.message_id)
        surface = await self.adapter.surface(incoming, reply_id, capability)
        live = LiveReply(
            surface, ledger or FakeLedger(), self.pacer, self.clock,
            reply_id=reply_id, request_id="r1", platform="slack", asked_at=self.clock.now(),
        )  # fmt: skip
        try:
            async with live:
                await live.send(Started("big", "groq"))
                for piece in words:
                    await live.send(TextDelta(piece))
                    await self.clock.sleep(every_s)
                return await live.finish(footer=footer)
        finally:
            await surface.close()

    async def settle(self) -> None:
        """Until Slack has nothing more to deliver and the adapter has done what it put off."""
        for _ in range(3):
            await self.slack.deliveries.idle()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def open_house(
    slack: FakeSlack,
    transport: str = "socket",
    *,
    intake: Any = None,
    commands: Any = None,
    notes: Notes | None = None,
    ready: bool = True,
    stores: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """Run an adapter against *slack*; over "socket" or "http"."""
    tokens = {"app_token": APP_TOKEN} if transport == "socket" else {"signing_secret": SIGNING_SECRET}
    tokens |= {key: settings.pop(key) for key in ("app_token", "signing_secret") if key in settings}
    clock, notes = LoopClock(), notes or Notes()
    pacer = Pacer(clock)
    slack.deliveries.wall_clock = clock.now
    intake, commands = intake or FakeIntake(), commands or FakeCommands()
    settings = {"bot_token": BOT_TOKEN, "api_url": slack.api_url, **settings}
    adapter = SlackAdapter(SlackSettings(**tokens, **settings), clock, notes, pacer, **(stores or {}))
    app = web.Application()
    app.add_routes(adapter.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    if transport == "http":
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        slack.deliveries.target = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    task = asyncio.get_running_loop().create_task(adapter.run(intake, commands))
    try:
        while ready and adapter.health().state != "connected":
            await asyncio.sleep(0.01)
            if task.done():
                task.result()
        yield House(slack, intake, commands, adapter, notes, clock, task, pacer)
    finally:
        slack.deliveries.target = ""
        task.cancel()
        await asyncio.wait({task})
        await runner.cleanup()


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    """A fake Slack; at the end the app must have pinged nobody and broken no rule."""
    async with FakeSlack() as fake:
        yield fake
        assert fake.pings == []
        assert fake.violations == []


@pytest.fixture(params=["socket", "http"])
async def house(request: pytest.FixtureRequest, slack: FakeSlack) -> AsyncIterator[House]:
    """An adapter with the default settings, once per transport."""
    async with open_house(slack, request.param) as open_one:
        yield open_one


LONG_ANSWER = "".join(
    f"## Part {part}\n\nHere is *some* prose about part {part}, with `code` and a [link](https://example.org/{part}).\n\n"
    f"```python\ndef part_{part}(x: int) -> int:\n    return x * {part}\n```\n\n"
    "| name | size |\n| --- | --- |\n" + "".join(f"| row {part}.{row} | {row * 7} |\n" for row in range(6)) + "\n"
    for part in range(1, 34)
)
"""About 10,000 characters with code fences and tables."""


def in_pieces(text: str, size: int = 12) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def squeezed(text: str) -> str:
    """The words alone, without white space: pages may break lines anew, but lose nothing."""
    return "".join(text.split())
