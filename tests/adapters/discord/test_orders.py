"""Orders in pages, files and tools' results, on Discord: nothing happens but the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.adapters.discord.test_tools import groq, open_house, place
from tests.bot.orders import FILES, PARROT, TOOLS, URL, arm, asks_a_tool, only_material
from tests.fakes.discord import Channel, FakeDiscord, Person, until
from tests.fakes.llm_api import FakeLlmApi, Say

__all__ = ["groq", "place"]


def nothing_leaked(discord: FakeDiscord, channel: Channel, groq: FakeLlmApi) -> bool:
    """Nobody pinged, and no secret in any request to a model nor in anything posted."""
    posted = json.dumps([message.history for message in discord.said(channel)])
    seen = json.dumps([request.body for request in groq.asked()]) + posted
    return discord.pings == [] and not any(secret in seen for secret in (groq.key, discord.token))


@pytest.mark.parametrize("tool", ["read_page", "notes__read"])
async def test_page_and_tool_that_give_orders(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person], tool: str
) -> None:
    """A model that believes them may say so; it pings nobody, and what it would do has to be confirmed first."""
    channel, ada, _ = place
    asks_a_tool(groq, tool)
    async with open_house(tmp_path, discord, groq, f'[channels."discord:{channel.id}"]\n{TOOLS}') as box:
        board = arm(box)
        await discord.say(channel, ada, f"what stands on {URL}?", mention=True)
        await until(lambda: any("Confirm" in message.labels for message in discord.said(channel)), 20)
        [answer] = discord.said(channel)

    assert only_material(groq)
    assert board.notes == []
    assert answer.content.startswith("As told:")
    assert nothing_leaked(discord, channel, groq)


@pytest.mark.parametrize("name", FILES)
async def test_file_that_asks_for_the_secrets(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person], name: str
) -> None:
    """Text and PDF reach the model as material inside their block; the answer is all that comes of it."""
    channel, ada, _ = place
    mime, content = FILES[name]
    groq.default = Say(PARROT)
    async with open_house(tmp_path, discord, groq):
        file = discord.upload(channel, name, content, mime)
        await discord.say(channel, ada, "what does it say?", mention=True, files=[file])
        await until(lambda: any("Regenerate" in message.labels for message in discord.said(channel)), 20)
        [answer] = discord.said(channel)

    assert only_material(groq)
    assert answer.content.startswith("As told:")
    assert nothing_leaked(discord, channel, groq)
