"""The whole program as a process of its own on the strict fakes of Discord and Groq: signals, kills, neighbours."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.bot.box import address_of
from tests.fakes.discord import Channel, FakeDiscord, Person, until
from tests.fakes.llm_api import KEY, FakeLlmApi, Say

ANSWER = "A tern is a seabird of the family Laridae. " * 12
START_S = 30.0
RULES = "[bot]\nlease_s = 3\n"
"""A dead process's work is taken up after three seconds instead of ten."""


class House:
    """`python -m bot run` with its own data folder; may be started several times."""

    def __init__(self, discord: FakeDiscord, groq: FakeLlmApi, folder: Path) -> None:
        rules = folder / "tern.toml"
        rules.write_text(RULES)
        self._environ = {
            "PATH": os.environ["PATH"],
            "DISCORD_BOT_TOKEN": discord.token,
            "DISCORD_API_URL": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
            "GROQ_API_KEY": KEY,
            "GROQ_BASE_URL": groq.base_url,
            "LOCAL_MODEL": "off",
            "DATA_DIR": str(folder),
            "TERN_CONFIG": str(rules),
            "PORT": "0",
            "LOG_FORMAT": "json",
        }
        self._discord = discord
        self.log = folder / "log"
        self.process: asyncio.subprocess.Process

    @asynccontextmanager
    async def running(self, **more: str) -> AsyncIterator[House]:
        with self.log.open("wb") as stderr:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot", "run", env=self._environ | more, stderr=stderr
            )
        try:
            yield self
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()

    async def connected(self) -> None:
        async with asyncio.timeout(START_S):
            await self._discord.gateway.connected()

    async def ended(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as fake:
        yield fake


@pytest.fixture
def house(discord: FakeDiscord, groq: FakeLlmApi, tmp_path: Path) -> House:
    return House(discord, groq, tmp_path)


def place(discord: FakeDiscord) -> tuple[Channel, Person]:
    return discord.channel(discord.guild()), discord.person("Ada")


def text_of(discord: FakeDiscord, channel: Channel) -> list[str]:
    """The bot's messages without the small line under them."""
    return [message.content.partition("\n-# ")[0].strip() for message in discord.said(channel)]


async def test_question_is_answered_by_the_whole_house(discord: FakeDiscord, groq: FakeLlmApi, house: House) -> None:
    """A mention goes in, and one growing message answers it, with its buttons, pinging nobody."""
    channel, ada = place(discord)
    groq.plays("*", Say(ANSWER, tokens_per_s=200))
    async with house.running():
        await house.connected()
        await discord.say(channel, ada, "what is a tern?", mention=True)
        await until(lambda: text_of(discord, channel) == [ANSWER.strip()], 15)

        [message] = discord.said(channel)
        await until(lambda: "Regenerate" in message.labels)

    assert len(message.history) > 2
    assert (discord.pings, discord.refusals) == ([], [])


async def test_sigterm_in_mid_answer_ends_it_well(discord: FakeDiscord, groq: FakeLlmApi, house: House) -> None:
    """The answer in flight is finished, the gateway closed with 1000, and the process exits with 0."""
    channel, ada = place(discord)
    groq.plays("*", Say(ANSWER, tokens_per_s=80))
    async with house.running():
        await house.connected()
        await discord.say(channel, ada, "what is a tern?", mention=True)
        await until(lambda: discord.said(channel) and len(discord.said(channel)[0].history) > 1, 15)
        house.process.send_signal(signal.SIGTERM)
        status = await house.ended()

    assert text_of(discord, channel) == [ANSWER.strip()]
    assert discord.gateway.closes == [1000]
    assert status == 0


async def test_killed_process_completes_the_same_message_after_restart(
    discord: FakeDiscord, groq: FakeLlmApi, house: House
) -> None:
    """kill -9 in mid-answer: the next process edits the message that stands to its full answer."""
    channel, ada = place(discord)
    groq.plays("*", Say(ANSWER, tokens_per_s=25), Say(ANSWER))
    async with house.running():
        await house.connected()
        await discord.say(channel, ada, "what is a tern?", mention=True)
        await until(lambda: discord.said(channel) and len(discord.said(channel)[0].history) > 1, 15)
        before = discord.said(channel)[0].id
        house.process.kill()
        await house.ended()
    async with house.running():
        await until(lambda: text_of(discord, channel) == [ANSWER.strip()], 45)

    assert [message.id for message in discord.said(channel)] == [before]


async def test_discord_given_up_disturbs_nobody_else(discord: FakeDiscord, groq: FakeLlmApi, house: House) -> None:
    """A refused token is named in /readyz, and the API goes on answering."""
    groq.plays("*", Say("From the API."), Say("From the API."))
    question = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
    async with house.running(DISCORD_BOT_TOKEN="wrong.token.here"), aiohttp.ClientSession() as session:
        page = await address_of(house.log)
        status = await named_in_readyz(session, page, "DISCORD_BOT_TOKEN")
        async with session.post(f"{page}/v1/chat/completions", json=question) as response:
            answer = await response.json()

    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "From the API."


async def test_gateway_outage_disturbs_nobody_else(discord: FakeDiscord, groq: FakeLlmApi, house: House) -> None:
    """While Discord's gateway is down the API answers; when it is back, so does Discord, and nothing was lost."""
    channel, ada = place(discord)
    groq.plays("*", *[Say("Here I am.")] * 3)
    question = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
    async with house.running(), aiohttp.ClientSession() as session:
        await house.connected()
        discord.gateway.refuse = True
        await discord.gateway.close()
        await discord.say(channel, ada, "anybody there?", mention=True)
        async with session.post(f"{await address_of(house.log)}/v1/chat/completions", json=question) as response:
            answer = await response.json()
        discord.gateway.refuse = False
        await until(lambda: text_of(discord, channel) == ["Here I am."], 30)

    assert answer["choices"][0]["message"]["content"] == "Here I am."


async def named_in_readyz(session: aiohttp.ClientSession, page: str, word: str) -> int:
    """Wait until /readyz names *word*; its status then."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                async with session.get(f"{page}/readyz") as response:
                    if word in await response.text():
                        return response.status
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
