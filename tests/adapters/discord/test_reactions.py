"""Reactions as commands, through the real library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.chat.reactions import ANSWER_THIS, TRANSLATE_THIS
from core.ports.platform import Controls
from tests.adapters.discord.conftest import Bot, StartBot, words
from tests.fakes.discord import FakeDiscord, until

MEMO, QUESTION, GLOBE, AGAIN, BOOKMARK, HAND = "\N{MEMO}", "\u2753", "\U0001f310", "\U0001f501", "\U0001f516", "\u270b"


@pytest.fixture
async def listening(start: StartBot, discord: FakeDiscord) -> AsyncIterator[Bot]:
    """A bot in a channel where reactions are commands."""
    discord.content_intent = True
    channel = discord.channel(discord.guild())
    async with start(message_content=True, reaction_channels=frozenset({channel.id})) as bot:
        yield bot


@pytest.mark.parametrize(
    ("emoji", "action", "text"),
    [
        (QUESTION, "ask", ANSWER_THIS),
        (GLOBE, "ask", TRANSLATE_THIS),
        (BOOKMARK, "ask", "remember that the ferry leaves at nine"),
        (MEMO, "summarise", ""),
    ],
)
async def test_reaction_is_a_question_about_its_message(listening: Bot, emoji: str, action: str, text: str) -> None:
    """Asked by whoever reacted, answered as a reply to the message."""
    bot = listening
    bob = bot.discord.person("Bob")
    message = await bot.discord.say(bot.channel, bot.ada, "the ferry leaves at nine")

    await bot.discord.react(message, bob, emoji)
    incoming = await bot.accepted()
    ref = await (await bot.surface()).post(0, words("Done."), "n0")

    assert (incoming.action, incoming.text, incoming.user.user) == (action, text, str(bob.id))
    assert [quote.text for quote in incoming.quotes] == ([] if action == "summarise" else ["the ferry leaves at nine"])
    reference = bot.channel.messages[int(ref)].reference
    assert reference is not None
    assert reference["message_id"] == str(message.id)


async def test_same_reaction_again_is_no_second_question(listening: Bot) -> None:
    """Taken off and given once more, or delivered twice; another person's is another question."""
    bot = listening
    message = await bot.discord.say(bot.channel, bot.ada, "why?")

    for _ in range(2):
        await bot.discord.react(message, bot.ada, QUESTION)
    await until(lambda: bot.intake.duplicates)
    await bot.discord.react(message, bot.discord.person("Bob"), QUESTION)
    await bot.accepted(2)

    assert len(bot.intake.accepted) == 2


async def test_thread_is_summarised_from_its_beginning_and_in_it(listening: Bot) -> None:
    """Threads belong to the channel that opted in."""
    bot = listening
    thread = await bot.discord.thread(await bot.discord.say(bot.channel, bot.ada, "look"))
    message = await bot.discord.say(thread, bot.ada, "so much to read")

    await bot.discord.react(message, bot.ada, MEMO)
    incoming = await bot.accepted()

    assert incoming.address["target"] == str(thread.id)
    assert incoming.conversation.root == str(thread.id)


@pytest.mark.parametrize(("emoji", "action"), [(AGAIN, "regenerate"), (HAND, "stop")])
async def test_reaction_to_an_answer_presses_its_button(listening: Bot, emoji: str, action: str) -> None:
    """The desk decides who may."""
    bot = listening
    surface = await bot.ask()
    under = Controls("reply1", finished=emoji == AGAIN, stop=emoji == HAND)
    page = bot.channel.messages[int(await surface.post(0, words("Hm.", controls=under), "n0"))]

    await bot.discord.react(page, bot.ada, emoji)
    await until(lambda: bot.intake.pressed)

    assert [(pressed.reply_id, pressed.action) for pressed in bot.intake.pressed] == [("reply1", action)]


@pytest.mark.parametrize("case", ["other channel", "other emoji", "not listed", "a bot", "withheld"])
async def test_what_is_no_command_is_passed_over_in_silence(start: StartBot, discord: FakeDiscord, case: str) -> None:
    """A sentence would be noise."""
    discord.content_intent = case != "withheld"
    guild = discord.guild()
    channel, other, ada = discord.channel(guild), discord.channel(guild), discord.person("Ada")
    ada.bot = case == "a bot"
    changes = {"allow_users": frozenset({1})} if case == "not listed" else {}
    async with start(message_content=case != "withheld", reaction_channels=frozenset({channel.id}), **changes) as bot:
        place = other if case == "other channel" else channel
        message = await discord.say(place, discord.person("Bob"), "why?")
        await discord.react(message, ada, "\N{THUMBS UP SIGN}" if case == "other emoji" else QUESTION)
        if case == "withheld":
            await until(lambda: discord.sent("GET", f"messages/{message.id}"))
        await asyncio.sleep(0.1)

    assert bot.intake.accepted == []
    assert discord.said(place) == []


async def test_reactions_are_listened_for_only_where_a_channel_opted_in(bot: Bot) -> None:
    """The intent is not asked for otherwise."""
    assert bot.discord.gateway.intents == [4609]
