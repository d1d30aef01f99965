"""The adapter between a strict fake Slack and the desk in memory, on a loop whose time jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from adapters.slack.adapter import SlackAdapter
from adapters.slack.settings import SlackSettings
from tests.fakes.clock import LoopbackTimeLoop, LoopClock
from tests.fakes.desk import FakeCommands, FakeIntake
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """Every async test below this folder runs in virtual time, sockets included."""
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
class Learned:
    """A SurfaceObserver that only remembers."""

    lessons: list[tuple[str, int | None, float]] = field(default_factory=list)

    def learn(self, key: str, *, remaining: int | None, reset_after_s: float, capacity: int | None = None) -> None:
        self.lessons.append((key, remaining, reset_after_s))


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

    async def settle(self) -> None:
        """Until Slack has nothing more to deliver and the adapter has done what it put off."""
        for _ in range(3):
            await self.slack.deliveries.idle()
            await asyncio.sleep(0.05)


Open = Callable[..., Any]


@asynccontextmanager
async def open_house(
    slack: FakeSlack,
    transport: str = "socket",
    *,
    intake: Any = None,
    commands: Any = None,
    notes: Notes | None = None,
    pacer: Any = None,
    ready: bool = True,
    **settings: Any,
) -> AsyncIterator[House]:
    """Run an adapter against *slack*; over "socket" or "http"."""
    tokens = {"app_token": APP_TOKEN} if transport == "socket" else {"signing_secret": SIGNING_SECRET}
    tokens |= {key: settings.pop(key) for key in ("app_token", "signing_secret") if key in settings}
    clock, notes = LoopClock(), notes or Notes()
    intake, commands = intake or FakeIntake(), commands or FakeCommands()
    settings = {"bot_token": BOT_TOKEN, **settings}
    adapter = SlackAdapter(SlackSettings(api_url=slack.api_url, **tokens, **settings), clock, notes, pacer or Learned())
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
        yield House(slack, intake, commands, adapter, notes, clock, task)
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
