"""The whole house in this process on the strict fakes: what a person does on Discord, and what they then see."""

from __future__ import annotations

import asyncio
import io
import math
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.app import App, build
from bot.config.settings import Settings
from bot.config.tern_toml import Config
from core import wording
from tests.fakes.discord import Channel, FakeDiscord, Message, Person, until
from tests.fakes.llm_api import KEY, FakeLlmApi, Heard, Say

LONG = "A tern is a seabird of the family Laridae. " * 12


@dataclass
class Home:
    """One running house and the place where people talk to it."""

    app: App
    discord: FakeDiscord
    groq: FakeLlmApi
    channel: Channel
    ada: Person

    def shown(self) -> list[str]:
        """The bot's messages in the channel, without the small line under them."""
        return [plain(message) for message in self.discord.said(self.channel)]

    async def see(self, *texts: str) -> None:
        await until(lambda: self.shown() == list(texts), 10)

    async def growing(self) -> Message:
        """Wait until an answer has begun to grow."""
        await until(lambda: self.discord.said(self.channel) and len(self.discord.said(self.channel)[0].history) > 1, 10)
        return self.discord.said(self.channel)[0]


def plain(message: Message) -> str:
    return message.content.partition("\n-# ")[0].strip()


@pytest.fixture
async def home(discord: FakeDiscord, tmp_path: Path) -> AsyncIterator[Home]:
    async with FakeLlmApi("groq") as groq:
        settings = Settings(
            discord_bot_token=discord.token,
            discord_api_url=discord.api_url,
            discord_gateway_url=discord.gateway_url,
            groq_api_key=KEY,
            groq_base_url=groq.base_url,
            local_model="off",
            data_dir=tmp_path,
            port=0,
        )
        async with build(settings, Config()) as app:
            running = asyncio.create_task(app.run())
            channel, ada = discord.channel(discord.guild()), discord.person("Ada")
            await discord.gateway.connected()
            yield Home(app, discord, groq, channel, ada)
            app.stop()
            app.stop()
            await running


async def test_edited_question_is_answered_anew_in_the_same_message(home: Home) -> None:
    """The answer to the old words gives way to the answer to the new ones."""
    home.groq.plays("*", Say("About terns."), Say("About gulls."))
    asked = await home.discord.say(home.channel, home.ada, "terns?", mention=True)
    await home.see("About terns.")

    await home.discord.rewrite(asked, f"<@{home.discord.me.id}> gulls?")

    await home.see("About gulls.")


async def test_stop_ends_the_answer_and_says_so(home: Home) -> None:
    """The text so far stays, marked as stopped, with the buttons of a finished answer."""
    home.groq.plays("*", Say(LONG, tokens_per_s=40))
    await home.discord.say(home.channel, home.ada, "terns?", mention=True)
    page = await home.growing()

    await home.discord.press(page, home.ada, "Stop")
    await until(lambda: page.labels[:1] == ["Regenerate"], 10)

    assert wording.STOPPED in page.content
    assert LONG.startswith(plain(page).rstrip("…").strip()[:40])


async def test_regenerate_writes_another_answer_into_the_same_message(home: Home) -> None:
    """One message, another text."""
    home.groq.plays("*", Say("First."), Say("Second."))
    await home.discord.say(home.channel, home.ada, "terns?", mention=True)
    await home.see("First.")
    [page] = home.discord.said(home.channel)
    await until(lambda: "Regenerate" in page.labels)

    await home.discord.press(page, home.ada, "Regenerate")

    await home.see("Second.")


async def test_deleted_question_takes_its_answer_back(home: Home) -> None:
    """Deleting the question stops what was growing, and it does not come back in the history."""
    home.groq.plays("*", Say(LONG, tokens_per_s=40), Say("Fresh."))
    asked = await home.discord.say(home.channel, home.ada, "my secret is a puffin", mention=True)
    await home.growing()

    await home.discord.delete(asked)
    await until(lambda: not any("Stop" in message.labels for message in home.discord.said(home.channel)), 10)
    await home.discord.say(home.channel, home.ada, "and now?", mention=True)
    await until(lambda: "Fresh." in home.shown(), 10)

    assert "puffin" not in str(home.groq.asked()[-1])


async def test_reply_to_any_page_goes_on_in_its_conversation(home: Home) -> None:
    """What was said before reaches the model, whichever part of a split answer is replied to."""
    story = "\n\n".join(f"Part {number} of the story. " + "word " * 60 for number in range(12))
    home.groq.plays("*", Say(story), Say("It was the tern."))
    await home.discord.say(home.channel, home.ada, "tell me a story", mention=True)
    await until(lambda: len(home.shown()) > 1 and "Regenerate" in home.discord.said(home.channel)[-1].labels, 10)
    pages = home.discord.said(home.channel)

    await home.discord.say(home.channel, home.ada, "who was it?", reply_to=pages[0])
    await until(lambda: home.shown()[-1] == "It was the tern.", 10)

    assert "Part 11 of the story" in str(home.groq.asked()[-1])


async def test_private_question_gets_a_private_answer(home: Home) -> None:
    """/ask private: the asker alone sees it, and the channel nothing."""
    home.groq.plays("*", Say("Only for you."))

    used = await home.discord.slash(home.channel, home.ada, "ask", question="psst", private=True)
    await until(lambda: [plain(page) for page in used.pages] == ["Only for you."], 10)

    assert used.private
    assert home.shown() == []


async def test_usage_and_forget_are_answered_from_storage(home: Home) -> None:
    """The commands of the desk work through Discord."""
    home.groq.plays("*", Say("Hello."))
    await home.discord.say(home.channel, home.ada, "hi", mention=True)
    await home.see("Hello.")

    usage = await home.discord.slash(home.channel, home.ada, "usage")
    await until(lambda: usage.pages)
    forget = await home.discord.slash(home.channel, home.ada, "forget", what="all")
    await until(lambda: forget.pages)

    assert "1" in usage.pages[0].content
    assert usage.private
    assert forget.private


async def test_second_question_of_a_direct_message_waits_its_turn(home: Home) -> None:
    """Two messages in a row are answered in order, each once."""
    dm = home.discord.dm(home.ada)
    home.groq.plays("*", Say("One.", tokens_per_s=10), Say("Two."))

    await home.discord.say(dm, home.ada, "first")
    await home.discord.say(dm, home.ada, "second")
    await until(lambda: [plain(message) for message in home.discord.said(dm)] == ["One.", "Two."], 10)

    assert home.discord.refusals == []


async def test_same_question_twice_from_discord_is_answered_once(home: Home) -> None:
    """Double delivery costs one request and makes one message."""
    home.discord.gateway.repeat = True
    home.groq.plays("*", Say("Once."))

    await home.discord.say(home.channel, home.ada, "hi", mention=True)
    await home.see("Once.")

    assert len(home.groq.asked()) == 1


async def test_forwarded_words_reach_the_model(home: Home) -> None:
    """What somebody forwards in a direct message is what the model reads."""
    dm = home.discord.dm(home.ada)
    home.groq.plays("*", Say("A lamp."))
    source = await home.discord.say(home.channel, home.discord.person("Bob"), "The lamp is broken.")

    await home.discord.say(dm, home.ada, forward=source)
    await until(lambda: any("A lamp." in message.content for message in home.discord.said(dm)), 20)

    assert "The lamp is broken." in str(home.groq.asked()[-1].body)


async def test_voice_clip_is_heard_and_answered(home: Home) -> None:
    """A voice message in a direct message is a question asked aloud; what was heard is shown with the answer."""
    dm = home.discord.dm(home.ada)
    home.groq.hears(Heard("what is a tern"))
    home.groq.plays("*", Say("A seabird."))
    clip = home.discord.upload(dm, "voice-message.ogg", spoken(), "audio/wav", duration_s=2.0)

    await home.discord.say(dm, home.ada, files=[clip])
    await until(lambda: any("A seabird." in message.content for message in home.discord.said(dm)), 20)

    assert "what is a tern" in home.discord.said(dm)[0].content


def spoken() -> bytes:
    """Two seconds of a tone that swells like speech: 16-bit mono WAV."""
    out = io.BytesIO()
    with wave.open(out, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(16_000)
        for number in range(32_000):
            level = 9_000 * (1 + math.sin(number / 800)) * math.sin(number / 8)
            recording.writeframesraw(int(level).to_bytes(2, "little", signed=True))
    return out.getvalue()
