"""A sentence asked aloud, through the whole house: on the page with a microphone, and over the API.

The local model listens where its weights are (`python -m tests.models`); elsewhere the strict fake of Groq hears.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import openai
import pytest
from playwright.async_api import Page, async_playwright, expect

from core.domain.incoming import Attachment
from tests.bot.box import ANN, keyed, open_box
from tests.bot.hearing import QUESTION, a_house
from tests.core.files import samples
from tests.core.files.spoken import CONTAINERS, SENTENCE, spoken, word_error_rate
from tests.fakes.llm_api import FakeLlmApi, Heard, Say

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")

CHROMIUM = Path("/usr/bin/chromium")


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
