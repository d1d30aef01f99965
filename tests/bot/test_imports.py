"""What an idle bot has loaded: a real process with everything on, its first answers given."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import aiohttp

from core.base.clock import SystemClock
from core.storage import open_storage
from tests.bot.box import address_of, keyed, until
from tests.fakes import discord as discord_fake
from tests.fakes import slack as slack_fake
from tests.fakes.llm_api import FakeLlmApi, Say

WAIT_UNTIL_NEEDED = {
    "PIL": "pictures, in their worker",
    "alembic": "a database to bring up to date",
    "cryptography": "a command or a button, whose right to answer is sealed",
    "jsonschema": "a schema or a tool",
    "mcp": "an MCP server in tern.toml",
    "httpx2": "OPENAI_API_KEY",
    "openai": "OPENAI_API_KEY",
    "pygments": "somebody who opens the page",
    "rich.console": "the terminal",
    "sqlalchemy.orm": "nothing here",
}
"""Module -> what it is for; each is megabytes and many milliseconds."""


def imported(trace: str) -> set[str]:
    """The modules that `python -X importtime` names."""
    return {found[1] for found in re.finditer(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", trace, re.MULTILINE)}


async def connected(page: str) -> None:
    """Return when both platforms are."""

    async def is_ready(adapter: str) -> bool:
        try:
            async with session.get(f"{page}/readyz?adapter={adapter}") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while not (await is_ready("slack") and await is_ready("discord")):
            await asyncio.sleep(0.05)


async def test_what_nobody_asked_for_is_not_loaded(tmp_path: Path) -> None:
    """After start and an answer on Slack and Discord, what neither needs has not been imported."""
    async with FakeLlmApi("groq") as groq, slack_fake.FakeSlack() as slack, discord_fake.FakeDiscord() as discord:
        groq.default = Say("Terns fly far.")
        channel, ada = discord.channel(discord.guild()), discord.person("Ada")
        environ = keyed(groq) | {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "LOCAL_MODEL": "off",
            "DATA_DIR": str(tmp_path),
            "PORT": "0",
            "LOG_FORMAT": "json",
            "SLACK_BOT_TOKEN": slack_fake.BOT_TOKEN,
            "SLACK_APP_TOKEN": slack_fake.APP_TOKEN,
            "SLACK_API_URL": slack.api_url,
            "DISCORD_BOT_TOKEN": discord.token,
            "DISCORD_API_URL": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
        }
        await (await open_storage("", tmp_path, SystemClock(), b"key", "maker")).close()  # not its very first start
        trace = tmp_path / "trace"
        with trace.open("wb") as stderr:
            bot = await asyncio.create_subprocess_exec(
                sys.executable, "-X", "importtime", "-m", "bot", "run", cwd=tmp_path, env=environ, stderr=stderr
            )
            try:
                await connected(await address_of(trace))
                slack.say("U1", "<@U0TERN> how far do terns fly?")
                await discord.say(channel, ada, "how far do terns fly?", mention=True)
                await until(lambda: slack.answers("C1") and discord.said(channel))
            finally:
                bot.terminate()
                await bot.wait()

    loaded = imported(trace.read_text())

    assert {"bot.app", "discord", "slack_bolt", "groq"} <= loaded
    assert sorted(WAIT_UNTIL_NEEDED.keys() & loaded) == []
