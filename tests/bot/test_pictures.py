"""Pictures through the whole house: over several messages, asked about again, and where nobody sees."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from core.domain.incoming import ConversationKey
from core.ports.storage import ShownTurn
from tests.bot.box import Box, keyed, open_box
from tests.core.files import samples
from tests.fakes.llm_api import FakeLlmApi, Recorded, Say, over_capacity

SPEED, EYES = "openai/gpt-oss-20b", "qwen/qwen3.8-27b"
PLACEHOLDER = "a picture that this model was not shown"


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


class Asker:
    """Somebody at the page, over its own routes."""

    def __init__(self, box: Box, http: aiohttp.ClientSession) -> None:
        self._box = box
        self._http = http
        self._count = 0

    async def asks(self, text: str, *files: tuple[str, str, bytes], model: str = "auto") -> ShownTurn:
        url = self._box.app.url
        async with self._http.post(f"{url}/page/choice", json={"model": model}) as response:
            assert response.status == 200
        kept = []
        for name, mime, content in files:
            async with self._http.post(
                f"{url}/page/uploads?name={name}", data=content, headers={"Content-Type": mime}
            ) as response:
                kept.append(await response.json())
        self._count += 1
        body = {"message_id": f"message-{self._count:04}", "text": text, "attachments": kept}
        async with self._http.post(f"{url}/page/conversations/chat-0001/messages", json=body) as response:
            receipt = await response.json()
            assert response.status == 202, receipt
        return await self._box.answer(receipt["reply_id"], ConversationKey("web", "", "local", "chat-0001"))


@pytest.fixture
async def ann(tmp_path: Path, groq: FakeLlmApi) -> AsyncIterator[Asker]:
    async with open_box(tmp_path, keyed(groq)) as box, aiohttp.ClientSession() as http:
        yield Asker(box, http)


def photo(colour: str = "red") -> tuple[str, str, bytes]:
    return (f"{colour}.jpg", "image/jpeg", samples.picture(colour=colour))


def pictures(asked: Recorded) -> list[str]:
    """Data addresses of all pictures in a request, oldest first."""
    contents = [turn["content"] for turn in asked.body["messages"] if isinstance(turn["content"], list)]
    return [part["image_url"]["url"] for content in contents for part in content if part["type"] == "image_url"]


async def test_follow_up_two_messages_back(ann: Asker, groq: FakeLlmApi) -> None:
    """A picture, then a question that the text model answers, then a question about the picture again: it is seen."""
    groq.plays(EYES, Say("A red wall."), Say("Its corner is white."))
    groq.plays(SPEED, Say("Four."))

    first = await ann.asks("What is this?", photo())
    second = await ann.asks("By the way: two plus two?", model=SPEED)
    third = await ann.asks("And the corner of the picture?")

    assert [turn.facts["model"] for turn in (first, second, third)] == [EYES, SPEED, EYES]
    seen, between, again = groq.asked()
    assert pictures(between) == []
    assert PLACEHOLDER in json.dumps(between.body)
    assert pictures(again) == pictures(seen)
    assert third.text == "Its corner is white."


async def test_pictures_of_several_messages_are_seen_together(ann: Asker, groq: FakeLlmApi) -> None:
    """One picture now and one later: the second question comes with both."""
    await ann.asks("This is the first.", photo("red"))
    await ann.asks("Compare it with this one.", photo("blue"))

    assert len(pictures(groq.asked()[-1])) == 2


async def test_fourth_picture_is_told_of(ann: Asker, groq: FakeLlmApi) -> None:
    """The model takes three; what was not shown to it is named above the answer."""
    answer = await ann.asks("All of these?", *(photo(colour) for colour in ("red", "blue", "green", "black")))

    assert len(pictures(groq.asked()[-1])) == 3
    assert "picture" in answer.facts["preface"]


async def test_conversation_goes_on_without_eyes(ann: Asker, groq: FakeLlmApi) -> None:
    """When nobody sees just now, an old picture does not stop a new question, and the reader is told who answers."""
    await ann.asks("What is this?", photo())
    groq.plays(EYES, *[over_capacity(EYES)] * 8)

    answer = await ann.asks("Thanks. What is two plus two?")

    assert answer.state == "answered"
    assert answer.facts["model"] != EYES
    assert EYES in answer.facts["preface"]
    assert PLACEHOLDER in json.dumps(groq.asked()[-1].body)


async def test_nobody_sees(tmp_path: Path, groq: FakeLlmApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any vision model, and without tesseract, the asker is told so at once."""
    monkeypatch.setattr("bot.app.letters_are_read", lambda: False)
    blind = f'[models."{EYES}"]\nenabled = false\n'
    async with open_box(tmp_path, keyed(groq), blind) as box, aiohttp.ClientSession() as http:
        answer = await Asker(box, http).asks("What is this?", photo())

    assert answer.facts["outcome"] == "NoModelLeft"
    assert "see pictures" in answer.facts["sentence"]


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
async def test_printed_words_are_read_where_nobody_sees(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Without a vision model the words in a picture reach the text model, and the answer says that this is all."""
    blind = f'[models."{EYES}"]\nenabled = false\n'
    sign = ("sign.png", "image/png", samples.sign("Departure 14:05 from gate B7"))
    async with open_box(tmp_path, keyed(groq), blind) as box, aiohttp.ClientSession() as http:
        answer = await Asker(box, http).asks("When does it leave?", sign)

    assert "Departure 14:05 from gate B7" in json.dumps(groq.asked()[-1].body)
    assert "I can only read the text in pictures" in answer.facts["preface"]


async def test_phone_photo_reaches_the_model_upright(ann: Asker, groq: FakeLlmApi) -> None:
    """EXIF turns it, and nothing of EXIF is left."""
    await ann.asks("?", ("phone.jpg", "image/jpeg", samples.picture(size=(600, 400), orientation=6)))

    [address] = pictures(groq.asked()[-1])
    content = base64.b64decode(address.partition(",")[2])
    assert samples.size_of(content) == (400, 600)
    assert b"SecretPhoneMaker" not in content


async def test_long_document_is_read_in_parts(ann: Asker, groq: FakeLlmApi) -> None:
    """A text too long for the question is read in parts with the question in mind; the answer comes from the notes."""
    needle = "The password of the lighthouse is albatross."
    text = ("Nothing of interest happened that day. " * 1_500) + needle + (" More of the same." * 500)

    def notes(body: Any) -> Say:
        told = json.dumps(body)
        return Say(needle if needle in told else "(nothing)")

    groq.answers(notes)

    answer = await ann.asks("What is the password?", ("log.txt", "text/plain", text.encode()))

    parts = [asked for asked in groq.asked() if "You read part" in json.dumps(asked.body)]
    assert len(parts) == 4
    assert needle in json.dumps(groq.asked()[-1].body)
    assert len(json.dumps(groq.asked()[-1].body)) < 10_000
    assert answer.text == needle
    assert "in 4 parts" in answer.facts["preface"]


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>a tern</text></svg>'


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("photo.jpg", lambda: samples.picture(size=(600, 400), orientation=6), "seen"),
        ("poster.png", lambda: samples.poster((10_000, 10_000)), "seen"),
        ("a.gif", samples.animation, "seen"),
        ("a.webp", lambda: samples.picture("WEBP"), "seen"),
        ("a.heic", samples.heic, "seen"),
        ("bomb.png", samples.bomb, "60000 x 60000 pixels are more than I can open"),
        ("cut.jpg", lambda: samples.picture()[:900], "the picture is damaged"),
        ("a.svg", lambda: SVG, "read"),
    ],
)
async def test_every_kind_is_understood_or_declined(
    ann: Asker, groq: FakeLlmApi, name: str, make: Callable[[], bytes], expected: str
) -> None:
    """Seen by the vision model, read as the text it is (SVG), or declined in a sentence above the answer."""
    answer = await ann.asks("What is this?", (name, "application/octet-stream", make()))

    asked = groq.asked()[-1]
    assert answer.state == "answered"
    match expected:
        case "seen":
            assert len(pictures(asked)) == 1
            assert answer.facts["model"] == EYES
        case "read":
            assert "a tern" in json.dumps(asked.body)
        case sentence:
            assert sentence in answer.facts["preface"]
            assert pictures(asked) == []
