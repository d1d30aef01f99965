"""What stands before a question: reply chains, threads, forwards, embeds, pictures; and fetching files again."""

from __future__ import annotations

import pytest

from adapters.discord.files import policy_of
from adapters.discord.settings import DiscordSettings
from core.domain.errors import SurfaceBusy, SurfaceGone, TooLarge, Unfetchable
from core.domain.incoming import Attachment
from core.net.guarded_fetch import GuardedFetcher
from tests.adapters.discord.conftest import Bot, StartBot, words
from tests.fakes.discord import FakeDiscord, Fault
from tests.fakes.names import Names


async def read(bot: Bot, attachment: Attachment) -> bytes:
    incoming = bot.intake.accepted[-1]
    return b"".join([chunk async for chunk in bot.adapter.fetch(attachment, incoming)])


# --- context


async def test_first_hop_costs_nothing(start: StartBot, discord: FakeDiscord) -> None:
    """The message replied to is quoted from the payload, its author labelled by id."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        bob = discord.person("Bob")
        first = await discord.say(bot.channel, bob, "The moon is made of cheese.")
        await discord.say(bot.channel, bot.ada, "is that true?", mention=True, reply_to=first)
        incoming = await bot.accepted()

    [quote] = incoming.quotes
    assert (quote.speaker_id, quote.speaker, quote.text) == (str(bob.id), "Bob", "The moon is made of cheese.")
    assert discord.sent("GET", "messages") == []


async def test_longer_chain_is_read_in_one_page(start: StartBot, discord: FakeDiscord) -> None:
    """Five hops are one request of history; what does not belong to the chain is left out."""
    discord.content_intent = True
    async with start(message_content=True, backfill_hours=0) as bot:
        last = await discord.say(bot.channel, bot.ada, "hop 0")
        for number in range(1, 5):
            await discord.say(bot.channel, bot.ada, "somebody else's talk")
            last = await discord.say(bot.channel, bot.ada, f"hop {number}", reply_to=last)
        await discord.say(bot.channel, bot.ada, "what was this about?", mention=True, reply_to=last)
        incoming = await bot.accepted()
        quotes = await bot.adapter.context(incoming)

    assert [quote.text for quote in quotes] == ["hop 0", "hop 1", "hop 2", "hop 3"]
    assert [quote.text for quote in incoming.quotes] == ["hop 4"]
    assert len(discord.sent("GET", r"/messages")) == 1


@pytest.mark.parametrize(("intent", "read"), [(True, ["the build is red", "who broke it?"]), (False, [])])
async def test_channel_before_a_mention(start: StartBot, discord: FakeDiscord, intent: bool, read: list[str]) -> None:
    """Its last messages come with a question at top level in one request; without the intent they are empty, and left
    out."""
    discord.content_intent = intent
    async with start(message_content=intent, backfill_hours=0) as bot:
        await discord.say(bot.channel, bot.ada, "the build is red")
        await discord.say(bot.channel, bot.ada, "who broke it?")
        await discord.say(bot.channel, bot.ada, "what do you think?", mention=True)
        quotes = await bot.adapter.context(await bot.accepted(), channel_messages=30)

    assert [quote.text for quote in quotes] == read
    assert len(discord.sent("GET", r"/messages")) == 1


async def test_chain_that_leaves_the_page_is_followed_by_single_reads(start: StartBot, discord: FakeDiscord) -> None:
    """An ancestor older than a hundred messages is fetched by itself."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        old = await discord.say(bot.channel, bot.ada, "long ago", deliver=False)
        for _ in range(110):
            await discord.say(bot.channel, bot.ada, "chatter", deliver=False)
        recent = await discord.say(bot.channel, bot.ada, "I said so", reply_to=old)
        await discord.say(bot.channel, bot.ada, "see?", mention=True, reply_to=recent)
        quotes = await bot.adapter.context(await bot.accepted())

    assert [quote.text for quote in quotes] == ["long ago"]


async def test_thread_comes_with_its_starter(start: StartBot, discord: FakeDiscord) -> None:
    """The starter lies in the parent channel; the thread's empty pointer is no message."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        starter = await discord.say(bot.channel, bot.ada, "our plan")
        thread = await discord.thread(starter)
        await discord.say(thread, bot.ada, "step one")
        await discord.say(thread, bot.ada, "and then?", mention=True)
        quotes = await bot.adapter.context(await bot.accepted())

    assert [quote.text for quote in quotes] == ["our plan", "step one"]


async def test_without_the_intent_other_peoples_words_are_left_out(bot: Bot) -> None:
    """They come back empty over REST too; no empty quotes are made of them."""
    thread = await bot.discord.thread(await bot.discord.say(bot.channel, bot.ada, "our plan"))
    await bot.discord.say(thread, bot.ada, "step one")
    await bot.discord.say(thread, bot.ada, "and then?", mention=True)

    assert await bot.adapter.context(await bot.accepted()) == []


async def test_channel_that_may_not_be_read_has_no_context(bot: Bot) -> None:
    """A missing permission costs the context, not the answer."""
    thread = await bot.discord.thread(await bot.discord.say(bot.channel, bot.ada, "our plan"))
    thread.permissions -= {"history"}
    await bot.discord.say(thread, bot.ada, "and then?", mention=True)

    assert await bot.adapter.context(await bot.accepted()) == []


@pytest.mark.parametrize("what", ["status", "cut"])
async def test_outage_costs_the_context_not_the_answer(bot: Bot, what: str) -> None:
    """A history that cannot be read is left out."""
    dm = bot.discord.dm(bot.ada)
    await bot.discord.say(dm, bot.ada, "before")
    await bot.discord.say(dm, bot.ada, "and now?")
    await bot.accepted(2)
    bot.discord.faults.append(Fault("GET", "messages", what, times=5, status=503))  # type: ignore[arg-type]

    assert await bot.adapter.context(bot.intake.accepted[-1]) == []


async def test_direct_message_comes_with_what_was_said_before(bot: Bot) -> None:
    """The channel's last messages, the bot's own marked as such."""
    dm = bot.discord.dm(bot.ada)
    await bot.discord.say(dm, bot.ada, "before")
    await bot.accepted()
    await (await bot.surface()).post(0, words("An answer."), "n0")
    await bot.discord.say(dm, bot.ada, "and now?")

    quotes = await bot.adapter.context(await bot.accepted(2))

    assert [(quote.text, quote.from_bot) for quote in quotes] == [("before", False), ("An answer.", True)]


async def test_forward_is_read_although_its_content_is_empty(bot: Bot) -> None:
    """A forward's text, picture and embeds come as a quote without an author."""
    dm = bot.discord.dm(bot.ada)
    picture = bot.discord.upload(bot.channel, "map.png", b"PNG", "image/png")
    source = await bot.discord.say(bot.channel, bot.ada, "look at the map", files=[picture])

    await bot.discord.say(dm, bot.ada, forward=source)
    [quote] = (await bot.accepted()).quotes

    assert (quote.speaker_id, quote.text) == ("", "look at the map")
    assert [file.name for file in quote.attachments] == ["map.png"]


async def test_embeds_of_a_bots_message_are_read(start: StartBot, discord: FakeDiscord) -> None:
    """A message that is nothing but an embed is quoted with what a reader sees."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        news = discord.person("News")
        news.bot = True
        embed = {
            "type": "rich",
            "title": "Release 2",
            "description": "Faster.",
            "fields": [{"name": "a", "value": "b"}],
        }
        post = await discord.say(bot.channel, news, embeds=[embed])
        await discord.say(bot.channel, bot.ada, "what is new?", mention=True, reply_to=post)
        [quote] = (await bot.accepted()).quotes

    assert quote.text == "Release 2\nFaster.\na: b"


async def test_picture_that_is_replied_to_comes_along(start: StartBot, discord: FakeDiscord) -> None:
    """Replying to a picture and asking about it hands the picture over."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        picture = discord.upload(bot.channel, "cat.png", b"PNG", "image/png")
        post = await discord.say(bot.channel, discord.person("Bob"), files=[picture])
        await discord.say(bot.channel, bot.ada, "which breed?", mention=True, reply_to=post)
        [quote] = (await bot.accepted()).quotes
        content = await read(bot, quote.attachments[0])

    assert quote.attachments[0].kind == "image"
    assert content == b"PNG"


async def test_voice_clip_as_a_reply_reaches_the_bot_in_a_server(bot: Bot) -> None:
    """A voice message carries no mention; as a reply that pings it is heard without the content intent."""
    surface = await bot.ask("first")
    page = bot.channel.messages[int(await surface.post(0, words("An answer."), "n0"))]
    clip = bot.discord.upload(bot.channel, "voice-message.ogg", b"OggS", "audio/ogg", duration_s=4.2)

    await bot.discord.say(bot.channel, bot.ada, reply_to=page, files=[clip])
    incoming = await bot.accepted(2)

    [voice] = incoming.attachments
    assert (voice.kind, voice.mime, voice.duration_s, voice.size_bytes) == ("audio", "audio/ogg", 4.2, 4)


# --- files


async def with_file(bot: Bot, content: bytes = b"hello", name: str = "note.txt") -> Attachment:
    upload = bot.discord.upload(bot.channel, name, content, "text/plain")
    await bot.discord.say(bot.channel, bot.ada, "read this", mention=True, files=[upload])
    found: Attachment = (await bot.accepted()).attachments[0]
    return found


async def test_fresh_file_costs_one_request(bot: Bot) -> None:
    """The address that came with the message is used while it is good, and no token goes with it."""
    attachment = await with_file(bot, b"x" * 200_000)

    assert await read(bot, attachment) == b"x" * 200_000
    assert len(bot.discord.sent("GET", "attachments|messages")) == 1


async def test_expired_address_is_renewed_by_reading_the_message_again(bot: Bot) -> None:
    """A dead link is no lost file."""
    attachment = await with_file(bot)
    bot.discord.expire_links()

    assert await read(bot, attachment) == b"hello"


async def test_file_is_found_after_a_restart(bot: Bot, start: StartBot) -> None:
    """What is stored is where the message stands, never an address."""
    attachment = await with_file(bot)
    await bot.leave()

    async with start(intake=bot.intake) as again:
        content = await read(again, attachment)

    assert content == b"hello"
    assert "hm=" not in attachment.ref


async def test_file_of_a_command_is_found_after_a_restart(bot: Bot, start: StartBot) -> None:
    """A slash command's file belongs to no message; its address is renewed by its path."""
    picture = bot.discord.upload(bot.channel, "cat.png", b"PNG", "image/png")
    await bot.discord.slash(bot.channel, bot.ada, "ask", question="who?", files={"image": picture})
    attachment = (await bot.accepted()).attachments[0]
    await bot.leave()

    async with start(intake=bot.intake) as again:
        assert await read(again, attachment) == b"PNG"


async def test_deleted_message_takes_its_file_along(bot: Bot) -> None:
    """It is gone, and said to be."""
    attachment = await with_file(bot)
    bot.discord.expire_links()
    bot.channel.messages.pop(int(bot.intake.accepted[0].message_id))

    with pytest.raises(SurfaceGone):
        await read(bot, attachment)


async def test_too_large_file_is_refused_before_a_byte_is_read(start: StartBot, discord: FakeDiscord) -> None:
    """The stated size decides first."""
    async with start(max_attachment_bytes=10) as bot:
        attachment = await with_file(bot, b"x" * 11)

        with pytest.raises(TooLarge):
            await read(bot, attachment)

    assert discord.sent("GET", "cdn") == []


async def test_understated_size_is_noticed_on_the_way(start: StartBot, discord: FakeDiscord) -> None:
    """A file that is larger than it says is cut off at the limit."""
    async with start(max_attachment_bytes=100_000) as bot:
        attachment = await with_file(bot, b"small")
        discord.uploads[attachment.ref.partition(":/cdn/")[2]].content = b"x" * 200_000

        with pytest.raises(TooLarge):
            await read(bot, attachment)


@pytest.mark.parametrize(("status", "error"), [(503, SurfaceBusy), (302, SurfaceGone)])
async def test_file_host_that_fails_or_redirects(bot: Bot, status: int, error: type[Exception]) -> None:
    """An outage is temporary; a redirect is followed nowhere."""
    attachment = await with_file(bot)
    bot.discord.faults.extend([Fault("GET", "cdn", "status", status=status)] * 2)  # also at the renewed address

    with pytest.raises(error):
        await read(bot, attachment)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://cdn.discordapp.com/attachments/1/2/a.png?ex=1", True),
        ("https://media.discordapp.net/attachments/1/2/a.png", True),
        ("http://cdn.discordapp.com/attachments/1/2/a.png", False),
        ("https://cdn.discordapp.com.evil.org/a.png", False),
        ("https://user@cdn.discordapp.com/a.png", False),
        ("https://169.254.169.254/latest", False),
        ("http://localhost/a.png", False),
    ],
)
async def test_only_discords_own_hosts_are_asked(url: str, allowed: bool) -> None:
    """Host and scheme must be Discord's; nothing else is even looked up."""
    names = Names()

    async with GuardedFetcher(resolver=names) as fetcher:
        with pytest.raises(Unfetchable):
            await fetcher.fetch(url, policy_of(DiscordSettings("t")))

    assert bool(names.asked) is allowed


async def test_cdn_name_with_a_private_address_is_not_asked() -> None:
    """DNS rebinding: a name of Discord's that answers with an address of this network gets no request."""
    names = Names(cdn_discordapp_com=["10.0.0.1"])

    async with GuardedFetcher(resolver=names) as fetcher:
        with pytest.raises(Unfetchable, match="connection failed"):
            await fetcher.fetch("https://cdn.discordapp.com/attachments/1/2/a.png", policy_of(DiscordSettings("t")))

    assert names.asked == ["cdn.discordapp.com"]
