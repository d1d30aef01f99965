"""The house between its fake worlds, all in one loop; and what can be asked of both afterwards."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from bot import logs
from bot.app import App, build
from bot.config.settings import Settings
from bot.config.tern_toml import Config
from tests.fakes.discord import FakeDiscord, Limits
from tests.fakes.discord.world import Snowflakes
from tests.fakes.llm_api import KEY, FakeLlmApi
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, FakeSlack
from tests.torture.hurry import HouseClock, WorldClock
from tests.torture.plan import Plan

LATENCY_S = 0.03
"""Of every call of a platform."""


class WorldSnowflakes(Snowflakes):
    """Ids whose time is the world's."""

    def __init__(self, clock: WorldClock) -> None:
        super().__init__()
        self._clock = clock

    def next(self, at: float | None = None) -> int:
        if at is not None:
            return super().next(at)
        last = self._last
        self._last = max(super().next(self._clock.now()), last + 1)
        return self._last


class LogLines(logging.Handler):
    """A stream that remembers what was logged, after redaction, as an operator would read it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines += [line for line in text.splitlines() if line]

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


@dataclass
class Worlds:
    """Everything outside the house."""

    clock: WorldClock
    groq: FakeLlmApi
    openai: FakeLlmApi
    slack: FakeSlack
    discord: FakeDiscord
    secrets: tuple[str, ...] = ()


@dataclass
class House:
    app: App
    clock: HouseClock
    folder: Path

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.folder / "tern.db", timeout=5)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Trial:
    """Everything that one house went through."""

    plan: Plan
    worlds: Worlds
    folder: Path
    log: LogLines = field(default_factory=LogLines)

    def environ(self) -> dict[str, str]:
        worlds = self.worlds
        return {
            "DATA_DIR": str(self.folder), "TERN_CONFIG": str(self.folder / "tern.toml"), "PORT": "0",
            "LOCAL_MODEL": "off",
            "GROQ_API_KEY": KEY, "GROQ_BASE_URL": worlds.groq.base_url,
            "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": worlds.openai.base_url,
            "SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_API_URL": worlds.slack.api_url,
            "DISCORD_BOT_TOKEN": worlds.discord.token, "DISCORD_API_URL": worlds.discord.api_url,
            "DISCORD_GATEWAY_URL": worlds.discord.gateway_url, "DISCORD_MESSAGE_CONTENT": "true",
        }  # fmt: skip


@asynccontextmanager
async def open_worlds(plan: Plan) -> AsyncIterator[Worlds]:
    clock = WorldClock()
    async with AsyncExitStack() as stack:
        groq = await stack.enter_async_context(FakeLlmApi("groq", clock=clock))
        openai = await stack.enter_async_context(FakeLlmApi("openai", clock=clock))
        slack = await stack.enter_async_context(FakeSlack())
        discord = await stack.enter_async_context(
            FakeDiscord(limits=Limits(channel_window_s=5.0), content_intent=True, latency_s=LATENCY_S)
        )
        for api in (groq, openai):
            api.answers(plan.script)
        slack.latency_s = LATENCY_S
        discord.ids = WorldSnowflakes(clock)
        yield Worlds(clock, groq, openai, slack, discord, (KEY, BOT_TOKEN, APP_TOKEN, discord.token))


@asynccontextmanager
async def open_house(trial: Trial, config: str = "", *, level: str = "debug") -> AsyncIterator[House]:
    """Open the house over the trial's folder, run it, and drain it in the end."""
    path = trial.folder / "tern.toml"
    path.write_text(config)
    settings = Settings.from_env(trial.environ())
    clock = HouseClock()
    stream: Any = trial.log
    how = trial.plan.random("house")
    with logged_to(stream, level, settings):
        async with build(settings, Config.load(path), clock=clock, random=how) as app, asyncio.TaskGroup() as group:
            running = group.create_task(app.run())
            async with asyncio.timeout(60):
                while not all(app.health()[name].state == "connected" for name in ("slack", "discord")):
                    await asyncio.sleep(0.05)
            try:
                yield House(app, clock, trial.folder)
            finally:
                app.stop()
                await running


class logged_to:  # noqa: N801 reads as a function
    """Send every log of the process to *stream* as the program itself would, and back again afterwards."""

    def __init__(self, stream: TextIO, level: Any, settings: Settings) -> None:
        self._how = (level, "json", settings.secrets())
        self._stream = stream

    def __enter__(self) -> None:
        root = logging.getLogger()
        self._before = (list(root.handlers), root.level)
        logs.configure(*self._how, stream=self._stream)

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.handlers[:], level = self._before
        root.setLevel(level)


def texts(facts: bytes) -> Mapping[str, Any]:
    return json.loads(facts) if facts else {}
