"""One house, two platforms and the page: whichever platform goes down, the others do not notice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.bot.box import Box, keyed, open_box, until
from tests.fakes import discord as discord_fake
from tests.fakes import slack as slack_fake
from tests.fakes.llm_api import FakeLlmApi, Say

ANSWER = "Terns fly from pole to pole and back, every year of their long lives. " * 6
QUICK_END = "[bot]\ndrain_s = 0.5\n"
"""What was being written on a platform that is gone need not be waited for."""


@dataclass
class Street:
    """A house between its neighbours; each platform can be taken away."""

    box: Box
    slack: slack_fake.FakeSlack
    discord: discord_fake.FakeDiscord
    channel: discord_fake.Channel
    ada: discord_fake.Person
    up: dict[str, AsyncExitStack] = field(default_factory=dict)

    def state(self, platform: str) -> str:
        return self.box.app.health()[platform].state

    async def take_down(self, platform: str) -> None:
        """Close every socket of the platform and its port."""
        await self.up[platform].aclose()

    async def ask(self, platform: str) -> None:
        if platform == "slack":
            self.slack.say("U1", "<@U0TERN> how far do terns fly?")
        else:
            await self.discord.say(self.channel, self.ada, "how far do terns fly?", mention=True)

    def shown(self, platform: str) -> list[str]:
        """Its answers, without the small print."""
        if platform == "slack":
            return [message.shown for message in self.slack.answers("C1")]
        return [message.content.partition("\n-# ")[0] for message in self.discord.said(self.channel)]


@asynccontextmanager
async def open_street(folder: Path, groq: FakeLlmApi) -> AsyncIterator[Street]:
    async with AsyncExitStack() as slack_up, AsyncExitStack() as discord_up:
        slack = await slack_up.enter_async_context(slack_fake.FakeSlack())
        discord = await discord_up.enter_async_context(discord_fake.FakeDiscord())
        channel, ada = discord.channel(discord.guild()), discord.person("Ada")
        environ = keyed(groq) | {
            "SLACK_BOT_TOKEN": slack_fake.BOT_TOKEN,
            "SLACK_APP_TOKEN": slack_fake.APP_TOKEN,
            "SLACK_API_URL": slack.api_url,
            "DISCORD_BOT_TOKEN": discord.token,
            "DISCORD_API_URL": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
        }
        async with open_box(folder, environ, QUICK_END) as box:
            street = Street(box, slack, discord, channel, ada, {"slack": slack_up, "discord": discord_up})
            await until(lambda: street.state("slack") == street.state("discord") == "connected")
            yield street


@pytest.mark.parametrize(("gone", "other"), [("slack", "discord"), ("discord", "slack")])
async def test_platform_that_goes_down_disturbs_neither_the_other_nor_the_page(
    tmp_path: Path, gone: str, other: str
) -> None:
    """Answers grow on both when one vanishes: the other's is finished whole, new ones come there and on the page."""
    async with FakeLlmApi("groq") as groq, open_street(tmp_path, groq) as street:
        groq.default = Say(ANSWER, tokens_per_s=120)
        for platform in (gone, other):
            await street.ask(platform)
        await until(lambda: all(street.shown(platform) for platform in (gone, other)))

        await street.take_down(gone)
        await until(lambda: street.shown(other) == [ANSWER.strip()])
        groq.default = Say("Pole to pole.")
        await street.ask(other)
        await until(lambda: street.shown(other) == [ANSWER.strip(), "Pole to pole."])
        page = await street.box.asks("and on the page?")
        still = street.state(other)

    assert page.state == "answered"
    assert still == "connected"
