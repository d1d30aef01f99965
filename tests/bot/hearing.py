"""A house that hears: the local model where its weights are (`python -m tests.models`), elsewhere the fake of Groq."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import models
from tests.bot.box import Box, keyed, open_box, until
from tests.fakes.discord import FakeDiscord
from tests.fakes.llm_api import FakeLlmApi, Heard, Say
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, FakeSlack

QUESTION = "What is the weather in Berlin tomorrow?"
ANSWER = "Sunny, I believe."
LISTENS = models.whisper_is_here() and importlib.util.find_spec("faster_whisper") is not None

_LOCAL_EARS = f"""
[voice]
local_model = "{models.WHISPER}"
[models."whisper-large-v3-turbo"]
enabled = false
[models."whisper-large-v3"]
enabled = false
"""


@dataclass
class House:
    box: Box
    groq: FakeLlmApi

    def told(self) -> str:
        """The last question as the model read it."""
        content = self.groq.asked()[-1].body["messages"][-1]["content"]
        return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)

    def will_hear(self, sentence: str, times: int = 1) -> None:
        """Where no real model listens, the fake says it."""
        if not LISTENS:
            self.groq.hears(*[Heard(sentence)] * times)


@asynccontextmanager
async def a_house(
    folder: Path,
    *,
    slack: FakeSlack | None = None,
    discord: FakeDiscord | None = None,
    config: str = "",
    listens: bool = LISTENS,
) -> AsyncIterator[House]:
    """Open a house whose models say ANSWER, connected to the platforms it is given.

    Args:
        config: tern.toml, beside what makes the local model listen.
        listens: False lets the fake of Groq hear, whatever there is.
    """
    async with FakeLlmApi("groq") as groq:
        groq.default = Say(ANSWER)
        environ = keyed(groq)
        if slack is not None:
            environ |= {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_API_URL": slack.api_url}
        if discord is not None:
            environ |= {
                "DISCORD_BOT_TOKEN": discord.token,
                "DISCORD_API_URL": discord.api_url,
                "DISCORD_GATEWAY_URL": discord.gateway_url,
            }
        async with open_box(folder, environ, (_LOCAL_EARS if listens else "") + config) as box:
            if slack is not None:
                await until(lambda: box.app.health()["slack"].state == "connected")
            if discord is not None:
                await discord.gateway.connected()
            yield House(box, groq)
