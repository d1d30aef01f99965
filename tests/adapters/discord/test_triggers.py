"""What makes the bot answer, through the real library."""

from __future__ import annotations

import pytest

from core import wording
from core.domain.incoming import ConversationKey, UserKey
from tests.adapters.discord.conftest import Bot, StartBot, words
from tests.fakes.discord import until


async def test_mention_in_a_channel_is_taken_in(bot: Bot) -> None:
    """A mention becomes a message of its own conversation, the mention removed."""
    asked = await bot.discord.say(bot.channel, bot.ada, "what is a tern?", mention=True)

    incoming = await bot.accepted()

    assert incoming.text == "what is a tern?"
    assert incoming.user == UserKey("discord", "", str(bot.ada.id))
    assert incoming.conversation == ConversationKey("discord", str(bot.guild.id), str(bot.channel.id), str(asked.id))
    assert incoming.speaker == "Ada"


async def test_direct_message_needs_no_mention(bot: Bot) -> None:
    """Whoever writes to the bot directly is answered, and the direct channel is one conversation."""
    dm = bot.discord.dm(bot.ada)
    await bot.discord.say(dm, bot.ada, "hello")

    incoming = await bot.accepted()

    assert incoming.text == "hello"
    assert incoming.direct
    assert incoming.conversation == ConversationKey("discord", "", str(dm.id), str(dm.id))


async def test_reply_that_pings_goes_on_in_the_conversation(bot: Bot) -> None:
    """A reply to a page of an answer belongs to that answer's conversation, without the content intent too."""
    surface = await bot.ask("first")
    ref = await surface.post(0, words("An answer."), "n0")
    first = bot.intake.accepted[0]
    bot.intake.stands(bot.intake.reply_of(first.message_id), ref)
    page = bot.channel.messages[int(ref)]

    await bot.discord.say(bot.channel, bot.ada, "and why?", reply_to=page)
    incoming = await bot.accepted(2)

    assert incoming.text == "and why?"
    assert incoming.conversation == first.conversation
    assert incoming.reply_to == ref
    assert incoming.quotes == ()


async def test_reply_without_a_ping_is_heard_with_the_intent(start: StartBot, discord) -> None:
    """With the content intent a reply to the bot counts even where its author switched the ping off."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        surface = await bot.ask("first")
        page = bot.channel.messages[int(await surface.post(0, words("An answer."), "n0"))]

        await discord.say(bot.channel, bot.ada, "and why?", reply_to=page, ping=False)
        incoming = await bot.accepted(2)

    assert incoming.text == "and why?"


async def test_reply_without_a_ping_is_withheld_without_the_intent(bot: Bot) -> None:
    """Without the intent such a reply comes empty and is not answered."""
    surface = await bot.ask("first")
    page = bot.channel.messages[int(await surface.post(0, words("An answer."), "n0"))]

    await bot.discord.say(bot.channel, bot.ada, "and why?", reply_to=page, ping=False)
    await bot.quiet()

    assert len(bot.intake.accepted) == 1


async def test_thread_goes_on_without_mentions_where_the_bot_takes_part(start: StartBot, discord) -> None:
    """In a thread where the bot was mentioned once, and the intent allows, nobody has to mention it again."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        starter = await discord.say(bot.channel, bot.ada, "look at this")
        thread = await discord.thread(starter)
        await discord.say(thread, bot.ada, "help us", mention=True)
        await bot.accepted(1)

        await discord.say(thread, bot.ada, "and this?")
        incoming = await bot.accepted(2)

    assert incoming.text == "and this?"
    assert incoming.conversation.root == str(thread.id)
    assert incoming.address["parent"] == str(bot.channel.id)


async def test_people_talking_to_each_other_in_such_a_thread_are_left_alone(start: StartBot, discord) -> None:
    """A mention of somebody else, or a reply to somebody else, is not for the bot."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        bob = discord.person("Bob")
        thread = await discord.thread(await discord.say(bot.channel, bot.ada, "look"))
        mine = await discord.say(thread, bot.ada, "help us", mention=True)
        await bot.accepted(1)

        await discord.say(thread, bob, f"<@{bot.ada.id}> are you there?")
        await discord.say(thread, bob, "I think so too", reply_to=mine)
        await bot.quiet()

    assert len(bot.intake.accepted) == 1


@pytest.mark.parametrize("case", ["everyone", "other", "bot", "unaddressed"])
async def test_what_is_not_for_the_bot_is_ignored(bot: Bot, case: str) -> None:
    """@everyone, other people's mentions, other bots and plain talk are nobody's question to us."""
    discord = bot.discord
    match case:
        case "everyone":
            await discord.say(bot.channel, bot.ada, "@everyone cake in the kitchen", everyone=True)
        case "other":
            await discord.say(bot.channel, bot.ada, f"<@{discord.person('Bob').id}> hi")
        case "bot":
            other = discord.person("Robot")
            other.bot = True
            await discord.say(bot.channel, other, "hi", mention=True)
        case "unaddressed":
            await discord.say(bot.channel, bot.ada, "nice weather")
    await bot.quiet()

    assert bot.intake.accepted == []


async def test_bare_mention_gets_a_line_of_help(bot: Bot) -> None:
    """A mention without a word is greeted, without a model."""
    await bot.discord.say(bot.channel, bot.ada, "", mention=True)

    await until(lambda: bot.discord.said(bot.channel))

    assert bot.discord.said(bot.channel)[0].content == wording.EMPTY_QUESTION
    assert bot.intake.accepted == []


async def test_mention_of_the_bots_own_role_is_a_mention(start: StartBot, discord) -> None:
    """Discord offers the bot's managed role beside the bot, under the same name."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        await discord.say(bot.channel, bot.ada, f"<@&{bot.guild.own_role}> what is a tern?")
        incoming = await bot.accepted()

    assert incoming.text == "what is a tern?"


async def test_mention_of_a_shared_role_is_not_for_the_bot(start: StartBot, discord) -> None:
    """A role that people hold too is an announcement to them."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        await discord.say(bot.channel, bot.ada, f"<@&{bot.guild.shared_role}> meeting at nine")
        await bot.quiet()

    assert bot.intake.accepted == []


async def test_words_to_the_bots_role_that_are_withheld_are_asked_for_again(bot: Bot) -> None:
    """Without the content intent such a message comes empty: its author is told whom to mention."""
    await bot.discord.say(bot.channel, bot.ada, f"<@&{bot.guild.own_role}> what is a tern?")

    await until(lambda: bot.discord.said(bot.channel))

    assert bot.discord.said(bot.channel)[0].content == wording.NAME_ME_ITSELF
    assert bot.intake.accepted == []


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (["bob: I think so too", "ada: do you?"], []),
        (["bob: I think so too", "ada: Tern, do you?", "ada: and why?"], ["Tern, do you?", "and why?"]),
        (["ada: and this?", "bob: Tern, and me?", "ada: hm", "bob: why?"], ["and this?", "Tern, and me?"]),
    ],
)
async def test_bot_keeps_quiet_among_people(start: StartBot, discord, said: list[str], answered: list[str]) -> None:
    """Whoever asked goes on; once somebody else speaks, only who means the bot is answered, by its name too."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        people = {"ada": bot.ada, "bob": discord.person("Bob")}
        thread = await discord.thread(await discord.say(bot.channel, bot.ada, "look"))
        await discord.say(thread, bot.ada, "help us", mention=True)
        await bot.accepted(1)

        for line in said:
            who, _, text = line.partition(": ")
            await discord.say(thread, people[who], text)
        await bot.quiet()

    assert [incoming.text for incoming in bot.intake.accepted] == ["help us", *answered]


async def test_channel_may_have_everybody_answered(start: StartBot, discord) -> None:
    """`follow_ups = "all"` of a channel counts for its threads."""
    discord.content_intent = True
    guild = discord.guild()
    channel = discord.channel(guild)
    async with start(message_content=True, follow_ups_by_channel={channel.id: "all"}) as bot:
        thread = await discord.thread(await discord.say(channel, bot.ada, "look"))
        await discord.say(thread, bot.ada, "help us", mention=True)
        await bot.accepted(1)
        await discord.say(thread, discord.person("Bob"), "and me?")
        await bot.accepted(2)

    assert bot.intake.accepted[-1].text == "and me?"


@pytest.mark.parametrize("listed", [True, False])
async def test_other_bot_may_ask_where_it_is_listed(start: StartBot, discord, listed: bool) -> None:
    """By mention, five times a quarter of an hour; it is not told why it is left alone."""
    robot = discord.person("Robot")
    robot.bot = True
    async with start(allow_bots=frozenset({robot.id} if listed else ())) as bot:
        for number in range(7):
            await discord.say(bot.channel, robot, f"alert {number}", mention=True)
        await discord.say(bot.channel, robot, "not for you")
        await bot.quiet()

    assert [incoming.text for incoming in bot.intake.accepted] == [f"alert {n}" for n in range(5 if listed else 0)]
    assert discord.said(bot.channel) == []


async def test_same_event_twice_is_one_question(bot: Bot) -> None:
    """Discord delivers 0 to N times; the second delivery is recognised by its four keys."""
    bot.discord.gateway.repeat = True

    await bot.discord.say(bot.channel, bot.ada, "hello", mention=True)
    await until(lambda: bot.intake.duplicates)

    assert len(bot.intake.accepted) == 1


async def test_order_within_a_channel_is_kept(bot: Bot) -> None:
    """Twenty messages of one channel are taken in as they were written, although each is a task of its own."""
    for number in range(20):
        await bot.discord.say(bot.channel, bot.ada, str(number), mention=True)

    await bot.accepted(20)

    assert [incoming.text for incoming in bot.intake.accepted] == [str(number) for number in range(20)]


async def test_edited_question_is_revised_and_a_link_preview_is_not(bot: Bot) -> None:
    """Editing a question answers it anew; the update that adds a preview changes nothing."""
    asked = await bot.discord.say(bot.channel, bot.ada, "https://example.org", mention=True)
    await bot.accepted()

    await bot.discord.preview(asked)
    await bot.discord.rewrite(asked, f"<@{bot.discord.me.id}> better words")
    await until(lambda: bot.intake.revised)

    assert [incoming.text for incoming in bot.intake.revised] == ["better words"]
    assert bot.intake.revised[0].message_id == bot.intake.accepted[0].message_id


async def test_mention_edited_in_later_is_a_question(bot: Bot) -> None:
    """Who forgot the mention may add it."""
    asked = await bot.discord.say(bot.channel, bot.ada, "what is a tern?")

    await bot.discord.rewrite(asked, f"<@{bot.discord.me.id}> what is a tern?")
    incoming = await bot.accepted()

    assert incoming.text == "what is a tern?"


async def test_deleted_question_is_withdrawn(bot: Bot) -> None:
    """Deleting the question takes it back."""
    asked = await bot.discord.say(bot.channel, bot.ada, "oops", mention=True)
    await bot.accepted()

    await bot.discord.delete(asked)
    await until(lambda: bot.intake.withdrawn)

    assert bot.intake.withdrawn == [("discord", str(bot.guild.id), str(bot.channel.id), str(asked.id))]


async def test_refused_message_is_told_why(bot: Bot) -> None:
    """A refusal of the desk is said in the channel, pinging nobody."""
    bot.intake.refuse = "Too many messages wait already."

    await bot.discord.say(bot.channel, bot.ada, "hello", mention=True)
    await until(lambda: bot.discord.said(bot.channel))

    assert bot.discord.said(bot.channel)[0].content == "Too many messages wait already."
    assert bot.discord.pings == []
