"""A sentence asked aloud, through the whole house: on the page with a microphone, and over the API.

The local model listens where its weights are (`python -m tests.models`); elsewhere the strict fake of Groq hears.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
from playwright.async_api import Page, async_playwright, expect

from core.incoming import Attachment
from tests import models
from tests.bot.box import ANN, Box, keyed, open_box, until
from tests.core.files import samples
from tests.core.files.spoken import CONTAINERS, SENTENCE, spoken, word_error_rate
from tests.fakes.discord import FakeDiscord
from tests.fakes.llm_api import FakeLlmApi, Heard, Say
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, FakeSlack
from tests.fakes.slack.server import File

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")

CHROMIUM = Path("/usr/bin/chromium")
QUESTION = "What is the weather in Berlin tomorrow?"
LISTENS = models.whisper_is_here() and importlib.util.find_spec("faster_whisper") is not None

LOCAL_EARS = f"""
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
async def a_house(folder: Path) -> AsyncIterator[House]:
    async with FakeLlmApi("groq") as groq:
        groq.default = Say("Sunny, I believe.")
        async with open_box(folder, keyed(groq), LOCAL_EARS if LISTENS else "") as box:
            yield House(box, groq)


async def test_api_hears_every_container(tmp_path: Path) -> None:
    """A spoken sentence in WAV, Ogg, MP4 and WebM comes back in words through /v1/audio/transcriptions."""
    rates = {}
    async with a_house(tmp_path) as house:
        house.will_hear(SENTENCE, len(CONTAINERS))
        async with openai.AsyncOpenAI(base_url=f"{house.box.app.url}/v1", api_key="any", max_retries=0) as client:
            for ending, (mime, _) in CONTAINERS.items():
                clip = (f"clip.{ending}", spoken(SENTENCE, ending), mime)
                heard = await client.audio.transcriptions.create(model="auto", file=clip)
                rates[ending] = word_error_rate(SENTENCE, heard.text)

    print("word error rate through the API:", {name: f"{rate:.0%}" for name, rate in rates.items()})
    assert max(rates.values()) < 0.35


@asynccontextmanager
async def a_browser_that_hears(clip: Path) -> AsyncIterator[Page]:
    """Chromium whose microphone plays *clip*, over and over."""
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={clip}",
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        context = await browser.new_context(permissions=["microphone"])
        context.set_default_timeout(30_000)
        yield await context.new_page()
        await browser.close()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed (apt-get install chromium)")
async def test_question_asked_aloud_on_the_page(tmp_path: Path) -> None:
    """The microphone button records; what was heard stands above the answer, and still does after a reload."""
    clip = tmp_path / "question.wav"
    clip.write_bytes(spoken(QUESTION))
    complaints: list[str] = []
    async with a_house(tmp_path) as house, a_browser_that_hears(clip) as page:
        house.will_hear(QUESTION)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        await page.goto(house.box.app.url)

        await page.click("#record")
        await expect(page.locator("#recorded")).to_have_text("0:04", timeout=15_000)
        await page.click("#send")

        await expect(page.locator(".answer .prose")).to_contain_text("Sunny, I believe.", timeout=60_000)
        await expect(page.locator(".answer blockquote")).to_contain_text("I heard")
        await expect(page.locator(".question .clip")).to_be_visible()
        await page.reload()
        await expect(page.locator(".answer blockquote")).to_contain_text("I heard")
        quoted = await page.locator(".answer blockquote").inner_text()
        await page.click(".question .clip")
        await expect(page.locator(".question audio")).to_have_count(1)
        heard = house.told()

    rate = word_error_rate(QUESTION, heard)
    print(f"heard through the microphone: {heard!r}, quoted: {quoted!r}, word error rate {rate:.0%}")
    # The fake microphone plays in a loop: the clip may begin in mid-sentence and hold some of its words twice.
    assert {"weather", "berlin"} & set(heard.lower().replace("?", "").split())
    assert complaints == []


async def test_clip_is_answered_with_a_clip_where_that_is_wished(tmp_path: Path) -> None:
    """With voice_replies the answer to a voice clip is also spoken; the text always stands, and survives a reload."""
    async with FakeLlmApi("groq") as groq:
        groq.default = Say("Sunny, I believe. " * 15)
        groq.hears(Heard(QUESTION))
        async with open_box(tmp_path, keyed(groq), "[voice]\nvoice_replies = true\n") as box:
            ref = await box.app.storage.blobs.put(spoken(QUESTION, "ogg"), mime="audio/ogg", owner=ANN)
            clip = Attachment("audio", "audio/ogg", "voice-message.ogg", 1, ref)
            receipt = await box.says("", attachments=(clip,))
            answer = await box.answer(receipt.reply_id)
            asked = await box.says("And now in writing?")
            written = await box.answer(asked.reply_id)
            [summary] = await box.app.storage.conversations.conversations(ANN)
            [file] = answer.facts["files"]
            spoken_answer = await box.app.storage.blobs.get(file["ref"])

    assert answer.text.startswith("Sunny, I believe.")
    assert spoken_answer.startswith(b"RIFF")
    assert len([one for one in groq.requests if one.path.endswith("/speech")]) >= 2  # one for each 200 characters
    assert "files" not in written.facts
    assert summary.title == "voice-message.ogg"  # a conversation begun aloud has a name all the same


SLACKS_CLIP, DISCORDS_CLIP = "m4a", "ogg"


async def test_voice_clip_on_slack(tmp_path: Path) -> None:
    """Slack's MP4 clip in a direct message is heard and answered; what was heard stands above the answer."""
    async with FakeSlack() as slack, FakeLlmApi("groq") as groq:
        groq.default = Say("Sunny, I believe.")
        environ = keyed(groq) | {
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_API_URL": slack.api_url,
        }
        async with open_box(tmp_path, environ, LOCAL_EARS if LISTENS else "") as box:
            house = House(box, groq)
            house.will_hear(QUESTION)
            await until(lambda: box.app.health()["slack"].state == "connected")
            clip = File("F1", "audio_message.m4a", "audio/mp4", spoken(QUESTION, SLACKS_CLIP), subtype="slack_audio")
            slack.say("U1", "", channel="D1", files=(clip,))
            await until(lambda: any("Sunny" in one.shown for one in slack.answers("D1")), within_s=60.0)
            [answer] = slack.answers("D1")
            heard = house.told()

    print(f"Slack: heard {heard!r}, word error rate {word_error_rate(QUESTION, heard):.0%}")
    assert word_error_rate(QUESTION, heard) < 0.35
    assert "I heard" in answer.shown
    assert slack.violations == []


async def test_voice_message_on_discord(tmp_path: Path) -> None:
    """Discord's Ogg voice message in a direct message is heard and answered; "Transcribe" gives its words alone."""
    async with FakeDiscord() as discord, FakeLlmApi("groq") as groq:
        groq.default = Say("Sunny, I believe.")
        environ = keyed(groq) | {
            "DISCORD_BOT_TOKEN": discord.token,
            "DISCORD_API_URL": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
        }
        async with open_box(tmp_path, environ, LOCAL_EARS if LISTENS else "") as box:
            house = House(box, groq)
            house.will_hear(QUESTION)
            await discord.gateway.connected()
            ada = discord.person("Ada")
            channel = discord.dm(ada)
            voice = discord.upload(
                channel, "voice-message.ogg", spoken(QUESTION, DISCORDS_CLIP), "audio/ogg", duration_s=2.5
            )
            message = await discord.say(channel, ada, "", files=[voice])
            await until(lambda: any("Sunny" in one.content for one in discord.said(channel)), within_s=60.0)
            answer = discord.said(channel)[0].content
            heard = house.told()
            used = await discord.menu(message, ada, "Transcribe")
            await until(lambda: used.original is not None and "Berlin" in used.original.content)

    print(f"Discord: heard {heard!r}, word error rate {word_error_rate(QUESTION, heard):.0%}")
    assert word_error_rate(QUESTION, heard) < 0.35
    assert "I heard" in answer
    assert used.private
    assert "Sunny" not in used.pages[0].content


DROP = """([name, mime, bytes]) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], name, { type: mime }));
  return files;
}"""


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed (apt-get install chromium)")
async def test_pictures_dropped_and_pasted_on_the_page(tmp_path: Path) -> None:
    """A dropped and a pasted picture stand as thumbnails in the field, then in the question, also after a reload; a
    file that is too large says so and stops nothing."""
    complaints: list[str] = []
    async with a_house(tmp_path) as house, a_browser_that_hears(tmp_path / "silent.wav") as page:
        house.groq.plays("qwen/qwen3.8-27b", Say("Two walls."))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(house.box.app.url)
        await expect(page.locator("#attach")).to_be_visible()

        red, blue = (list(samples.picture(colour=colour)) for colour in ("red", "blue"))
        dropped = await page.evaluate_handle(DROP, ["red.jpg", "image/jpeg", red])
        await page.dispatch_event("main", "drop", {"dataTransfer": dropped})
        await page.evaluate(
            "([name, mime, bytes]) => { const files = new DataTransfer();"
            " files.items.add(new File([new Uint8Array(bytes)], name, { type: mime }));"
            " document.getElementById('question').dispatchEvent("
            "   new ClipboardEvent('paste', { clipboardData: files, bubbles: true, cancelable: true })); }",
            ["blue.jpg", "image/jpeg", blue],
        )
        await expect(page.locator(".upload.done img")).to_have_count(2)
        await page.set_input_files("#files", {"name": "huge.bin", "mimeType": "", "buffer": b"0" * (26 * 2**20)})
        await expect(page.locator(".toast")).to_contain_text("huge.bin is larger than 25 MB")
        await page.fill("#question", "What are these?")
        await page.press("#question", "Enter")

        await expect(page.locator(".answer .prose")).to_contain_text("Two walls.", timeout=20_000)
        await page.reload()
        await expect(page.locator(".question img.thumb")).to_have_count(2)
        # No wait_for_function: it evaluates its text by eval, which the page's own policy forbids.
        for thumb in await page.locator(".question img.thumb").all():
            await expect(thumb).to_have_js_property("naturalWidth", 640)
        await page.screenshot(path=str(tmp_path / "thumbnails.png"))

    assert complaints == []
