"""A thread for each question, where the channel wants it."""

from __future__ import annotations

import pytest

from adapters.discord.parse import title_of
from core.domain.incoming import ConversationKey
from tests.adapters.discord.conftest import Bot, StartBot, words
from tests.fakes.discord import Channel, FakeDiscord, Message, until


@pytest.fixture
def wished(discord: FakeDiscord) -> Channel:
    """A channel whose questions get threads."""
    return discord.channel(discord.guild(), "help-desk")


async def ask(bot: Bot, channel: Channel, text: str = "what is a tern?") -> Message:
    count = len(bot.intake.accepted)
    asked = await bot.discord.say(channel, bot.ada, text, mention=True)
    await bot.accepted(count + 1)
    return asked


async def test_question_gets_a_thread_named_after_it(start: StartBot, discord: FakeDiscord, wished: Channel) -> None:
    """The answer stands in it, and the thread is the conversation from the first moment on."""
    async with start(thread_channels=frozenset({wished.id})) as bot:
        asked = await ask(bot, wished)
        surface = await bot.surface()
        first = await surface.post(0, words("A seabird."), "n0")
        await surface.post(1, words("It flies far."), "n1")
        await surface.edit(first, 0, words("A seabird!"))

    thread = discord.channels[asked.id]
    assert (thread.name, thread.parent) == ("what is a tern?", wished)
    assert [message.content for message in discord.said(thread)] == ["A seabird!", "It flies far."]
    assert discord.said(wished) == []
    key = ConversationKey("discord", str(wished.guild.id if wished.guild else ""), str(asked.id), str(asked.id))
    assert bot.intake.accepted[0].conversation == key


async def test_follow_up_in_the_thread_goes_on(start: StartBot, discord: FakeDiscord, wished: Channel) -> None:
    """Without a mention, in the same conversation, as a reply to the follow-up."""
    discord.content_intent = True
    async with start(message_content=True, thread_channels=frozenset({wished.id})) as bot:
        asked = await ask(bot, wished)
        await (await bot.surface()).post(0, words("A seabird."), "n0")
        thread = discord.channels[asked.id]

        follow_up = await discord.say(thread, bot.ada, "and a gull?")
        await bot.accepted(2)
        ref = await (await bot.surface()).post(0, words("Another."), "m0")

    assert bot.intake.accepted[1].conversation == bot.intake.accepted[0].conversation
    reference = thread.messages[int(ref)].reference
    assert reference is not None
    assert reference["message_id"] == str(follow_up.id)


@pytest.mark.parametrize("lacks", ["create_threads", "nothing"])
async def test_where_no_thread_may_be_opened_the_answer_is_a_reply(
    start: StartBot, discord: FakeDiscord, wished: Channel, lacks: str
) -> None:
    """Also after a restart, and in channels that did not ask for threads."""
    wished.permissions -= {lacks}
    channels = frozenset({wished.id} if lacks == "create_threads" else ())
    async with start(thread_channels=channels) as bot:
        asked = await ask(bot, wished)
        ref = await (await bot.surface()).post(0, words("A seabird."), "n0")
        restarted = await bot.surface()
        await restarted.edit(ref, 0, words("A seabird!"))

    page = wished.messages[int(ref)]
    assert page.content == "A seabird!"
    assert page.reference is not None
    assert page.reference["message_id"] == str(asked.id)


async def test_thread_that_is_there_already_is_used(start: StartBot, discord: FakeDiscord, wished: Channel) -> None:
    """A message has one thread; a killed process may have opened it, and what it posted there is found."""
    async with start(thread_channels=frozenset({wished.id})) as bot:
        asked = await ask(bot, wished)
        ref = await (await bot.surface()).post(0, words("A seabird."), "n0")
        again = await bot.surface()
        bot.adapter._connection._echoes.clear()

        assert await again.find(0, "n0") == ref
        assert await again.find(1, "n1") is None
        await again.post(1, words("It flies far."), "n1")

    assert len(discord.said(discord.channels[asked.id])) == 2


async def test_deleting_the_question_withdraws_it(start: StartBot, discord: FakeDiscord, wished: Channel) -> None:
    """Although its conversation is the thread and the message stood in the channel."""
    async with start(thread_channels=frozenset({wished.id})) as bot:
        asked = await ask(bot, wished)
        await discord.delete(asked)
        await until(lambda: len(bot.intake.withdrawn) == 2)

    guild = str(wished.guild.id if wished.guild else "")
    assert ("discord", guild, str(asked.id), str(asked.id)) in bot.intake.withdrawn


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("what is a tern?", "what is a tern?"),
        ("  two\nlines ", "two lines"),
        ("<@123> **bold** `code`", "bold code"),
        ("see https://example.org/?token=1 please", "see please"),
        ("<@&1>", "Question"),
        ("", "Question"),
        ("\u202egnihton\u200b", "gnihton"),
        ("word " * 40, ("word " * 16).strip()),
        ("x" * 300, "x" * 80),
    ],
)
def test_title_of_a_thread(text: str, title: str) -> None:
    """One short line that pings nobody and leads nowhere."""
    assert title_of(text) == title
