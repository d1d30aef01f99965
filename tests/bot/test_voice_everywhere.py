"""Voice clips on the chat platforms, over the API and the page: every container heard, answers spoken, words alone."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import aiohttp
import openai
import pytest

from core.domain.incoming import ConversationKey
from tests.bot.box import until
from tests.bot.hearing import ANSWER, QUESTION, House, a_house
from tests.core.files.spoken import CONTAINERS, spoken, word_error_rate
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.world import Channel, Person
from tests.fakes.llm_api import Heard
from tests.fakes.slack import FakeSlack
from tests.fakes.slack.server import File

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def clip(ending: str, number: int = 1) -> File:
    """QUESTION as Slack's own recorder would share it."""
    mime = CONTAINERS[ending][0]
    return File(f"F{number}", f"audio_message.{ending}", mime, spoken(QUESTION, ending), subtype="slack_audio")


async def on_slack(slack: FakeSlack, file: File) -> str:
    """Send a clip in a direct message; returns what stands in its answer."""
    before = len(slack.answers("D1"))
    slack.say("U1", "", channel="D1", files=(file,))

    def answered() -> bool:
        return any(ANSWER in one.shown for one in slack.answers("D1")[before:])

    await until(answered, within_s=60.0)
    return slack.answers("D1")[-1].shown


async def on_discord(discord: FakeDiscord, channel: Channel, ada: Person, file: File) -> str:
    before = len(discord.said(channel))
    voice = discord.upload(channel, file.name, file.content, file.mime, duration_s=2.5)
    await discord.say(channel, ada, "", files=[voice])
    await until(lambda: any(ANSWER in one.content for one in discord.said(channel)[before:]), within_s=60.0)
    return discord.said(channel)[-1].content


async def on_the_page(house: House, file: File) -> str:
    url, chat = house.box.app.url, f"chat-{file.name.replace('.', '-')}"
    async with aiohttp.ClientSession(url) as http:
        headers = {"Content-Type": file.mime}
        async with http.post(f"/page/uploads?name={file.name}", data=file.content, headers=headers) as response:
            kept = await response.json()
        body = {"message_id": chat, "text": "", "attachments": [kept]}
        async with http.post(f"/page/conversations/{chat}/messages", json=body) as response:
            receipt = await response.json()
            assert response.status == 202, receipt
    answer = await house.box.answer(receipt["reply_id"], ConversationKey("web", "", "local", chat))
    return f"{answer.facts['preface']}\n{answer.text}"


async def over_the_api(house: House, file: File) -> str:
    """A program asks for the words, and then for an answer to them."""
    async with openai.AsyncOpenAI(base_url=f"{house.box.app.url}/v1", api_key="any", max_retries=0) as client:
        heard = await client.audio.transcriptions.create(model="auto", file=(file.name, file.content, file.mime))
        answer = await client.chat.completions.create(model="auto", messages=[{"role": "user", "content": heard.text}])
    return f"{heard.text}\n{answer.choices[0].message.content}"


async def test_every_container_is_heard_and_answered_on_every_channel(tmp_path: Path) -> None:
    """A spoken question in WAV, Ogg/Opus, MP4/AAC and WebM reaches the model in words from Slack, Discord, the page and
    the API, and its answer comes back there, below what was heard."""
    rates: dict[str, dict[str, str]] = {}
    async with FakeSlack() as slack, FakeDiscord() as discord, a_house(tmp_path, slack=slack, discord=discord) as house:
        ada = discord.person("Ada")
        channel = discord.dm(ada)
        for number, ending in enumerate(CONTAINERS):
            house.will_hear(QUESTION, 2)  # once for the chat, once for the API: what is asked for is not quite the same
            file = clip(ending, number)
            for name, asking in (
                ("slack", partial(on_slack, slack, file)),
                ("discord", partial(on_discord, discord, channel, ada, file)),
                ("page", partial(on_the_page, house, file)),
                ("api", partial(over_the_api, house, file)),
            ):
                shown = await asking()
                rate = word_error_rate(QUESTION, house.told())
                rates.setdefault(ending, {})[name] = f"{rate:.0%}"
                assert ANSWER in shown, (ending, name)
                assert "Berlin" in shown, (ending, name)
                assert rate < 0.35, (ending, name, house.told())

    print("word error rate by container and channel:", rates)
    assert slack.violations == []


SPOKEN_TOO = "[voice]\nvoice_replies = true\n"
TIMED = Heard(
    "Good morning. The tide is low at six.",
    segments=(
        {"id": 0, "start": 0.0, "end": 1.2, "text": " Good morning."},
        {"id": 1, "start": 1.4, "end": 3.0, "text": " The tide is low at six."},
    ),
)
"""What the fake of Groq hears where the words matter less than where they go."""


async def test_clip_on_slack_is_answered_aloud_too(tmp_path: Path) -> None:
    """With voice_replies the answer's clip is a file in its thread, below the text; a written question gets none."""
    async with FakeSlack() as slack, a_house(tmp_path, slack=slack, config=SPOKEN_TOO, listens=False) as house:
        house.groq.hears(TIMED)
        asked = slack.say("U1", "<@U0TERN>", files=(clip("m4a"),))
        await until(lambda: any(one.files for one in slack.answers()))
        text, spoken_answer = slack.answers(thread=asked.ts)
        slack.say("U1", "And in writing?", thread=asked.ts)
        await until(lambda: len(slack.answers(thread=asked.ts)) == 3 and slack.answers()[-1].buttons)
    [upload] = slack.uploads.values()

    assert ANSWER in text.shown
    assert "The tide is low" in text.shown
    assert [file["name"] for file in spoken_answer.files] == ["answer.wav"]
    assert upload.content.startswith(b"RIFF")
    assert len(upload.content) == upload.length
    assert slack.violations == []


async def test_voice_message_on_discord_is_answered_aloud_too(tmp_path: Path) -> None:
    """With voice_replies the clip follows the text as a file of its own message."""
    async with FakeDiscord() as discord, a_house(tmp_path, discord=discord, config=SPOKEN_TOO, listens=False) as house:
        house.groq.hears(TIMED)
        ada = discord.person("Ada")
        channel = discord.dm(ada)
        voice = discord.upload(channel, "voice-message.ogg", spoken(QUESTION, "ogg"), "audio/ogg", duration_s=2.5)
        await discord.say(channel, ada, files=[voice])
        await until(lambda: any(one.uploads for one in discord.said(channel)))
        text, spoken_answer = discord.said(channel)

    assert ANSWER in text.content
    assert "The tide is low" in text.content
    [file] = spoken_answer.uploads
    assert (file.name, file.content[:4]) == ("answer.wav", b"RIFF")


async def test_transcribe_on_a_slack_message(tmp_path: Path) -> None:
    """The message shortcut gives the words alone, to the one who asked, and asks no chat model."""
    async with FakeSlack() as slack, a_house(tmp_path, slack=slack, listens=False) as house:
        house.groq.hears(TIMED)
        message = slack.say("U2", "Listen to this", files=(clip("m4a"),))
        slack.shortcut("U1", message, "tern_transcribe")
        await until(lambda: any(TIMED.text in one.shown for one in slack.whispers("U1")))
        chatted = house.groq.asked()

    assert slack.whispers("U1")[-1].shown == TIMED.text
    assert slack.answers() == []
    assert chatted == []
    assert slack.violations == []


@pytest.mark.parametrize(
    ("more", "words"), [("", TIMED.text), (" verbose", "`0:00` Good morning.\n`0:01` The tide is low at six.")]
)
async def test_transcribe_command_on_slack(tmp_path: Path, more: str, words: str) -> None:
    """`/tern transcribe LINK` hears the clip of the linked message, also deep in a thread; `verbose` adds times."""
    async with FakeSlack() as slack, a_house(tmp_path, slack=slack, listens=False) as house:
        house.groq.hears(TIMED)
        root = slack.say("U2", "Notes of today")
        message = slack.say("U2", "", thread=root.ts, files=(clip("m4a"),))
        at = message.ts.replace(".", "")
        link = f"https://terns.slack.com/archives/C1/p{at}?thread_ts={root.ts}&cid=C1"
        slack.command("U1", f"transcribe {link}{more}")
        await until(lambda: slack.whispers("U1") and words in slack.whispers("U1")[-1].shown)

    assert slack.whispers("U1")[-1].shown == words
    assert slack.answers() == []
    assert slack.violations == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("Transcribe", TIMED.text),
        ("Transcribe with times", "`0:00` Good morning.\n`0:01` The tide is low at six."),
    ],
)
async def test_transcribe_on_a_discord_message(tmp_path: Path, entry: str, words: str) -> None:
    """The context menu gives the words alone, privately, with times where they are asked for."""
    async with FakeDiscord() as discord, a_house(tmp_path, discord=discord, listens=False) as house:
        house.groq.hears(TIMED)
        ada, ben = discord.person("Ada"), discord.person("Ben")
        channel = discord.channel(discord.guild())
        voice = discord.upload(channel, "voice-message.ogg", spoken(QUESTION, "ogg"), "audio/ogg", duration_s=2.5)
        message = await discord.say(channel, ben, files=[voice])
        used = await discord.menu(message, ada, entry)
        await until(lambda: any(words in page.content for page in used.pages))
        chatted = house.groq.asked()

    assert used.pages[0].content == words
    assert used.private
    assert discord.said(channel) == []
    assert chatted == []


async def test_message_without_a_clip_is_said_to_have_none(tmp_path: Path) -> None:
    """A picture cannot be transcribed: the shortcut and the command say so in one sentence, and nothing is uploaded."""
    picture = File("F1", "a.png", "image/png", b"\x89PNG\r\n\x1a\n" + b"0" * 100)
    async with FakeSlack() as slack, a_house(tmp_path, slack=slack, listens=False) as house:
        message = slack.say("U2", "Look", files=(picture,))
        slack.shortcut("U1", message, "tern_transcribe")
        await until(lambda: any("no voice clip" in one.shown for one in slack.whispers("U1")))
        heard = [one for one in house.groq.requests if "audio" in one.path]

    assert heard == []
