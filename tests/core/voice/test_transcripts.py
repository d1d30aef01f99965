"""Transcripts: the words of a recording alone, with times where they are asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.chat.service import Answered
from core.domain.errors import BadRequest, Unreadable
from core.domain.events import Event, TextDelta
from core.domain.incoming import Attachment, ConversationKey, Incoming, Quote, UserKey
from core.domain.requests import Segment, Transcript, Usage
from core.voice.transcripts import FILE_NAME, NO_WORDS, SHOWN_CHARS, Transcripts

ANN = UserKey("slack", "T1", "U1")
CLIP, PHOTO = (Attachment("file", "", name, 1, name) for name in ("clip.m4a", "photo.jpg"))


class House:
    """Ears that hear what they are told; `shown` is what the asker read."""

    def __init__(self, **heard: Transcript) -> None:
        self.heard = {name.replace("_", "."): transcript for name, transcript in heard.items()}
        self.shown = ""
        self.service = Transcripts(self)

    async def hear(
        self, item: Attachment, request_id: str, incoming: Incoming, *, deadline_at: float, times: bool = False
    ) -> Transcript:
        if item.name not in self.heard:
            raise Unreadable(item.name, "there is no sound in it")
        transcript = self.heard[item.name]
        return transcript if times else replace(transcript, segments=())

    async def asks(self, **changes: object) -> Answered:
        key = ConversationKey("slack", "T1", "C1", "1")
        asked = Incoming("1", "1", ANN, key, "", 0.0, (CLIP,), action="transcribe")

        async def send(event: Event) -> None:
            self.shown += event.text if isinstance(event, TextDelta) else ""

        return await self.service.answer(
            "run",
            replace(asked, **changes),  # type: ignore[arg-type]
            context=None,  # type: ignore[arg-type]
            send=send,
            deadline_at=1e12,
        )


def said(text: str, *segments: Segment) -> Transcript:
    return Transcript(text, "en", 3.0, "whisper", "groq", Usage(audio_s=10.0), segments)


async def test_transcript_alone_is_the_answer() -> None:
    """What was said, no model's comment on it, with what hearing cost."""
    house = House(clip_m4a=said("Meet me at noon."))

    answered = await house.asks()

    assert house.shown == answered.reply.text == "Meet me at noon."
    assert answered.reply.usage.audio_s == 10.0
    assert answered.files == ()


async def test_verbose_has_times() -> None:
    """Each stretch of speech stands on a line behind its time."""
    house = House(clip_m4a=said("One. Two.", Segment(0, 2, " One."), Segment(3725, 3730, " Two.")))

    await house.asks(options={"verbose": "on"})

    assert house.shown == "`0:00` One.\n`1:02:05` Two."


async def test_several_recordings_are_named() -> None:
    """Two clips of one message stand below each other with their names; silence is said to be silence."""
    other = replace(CLIP, name="b.ogg", ref="b.ogg")
    house = House(clip_m4a=said("Hello."), b_ogg=said(""))

    await house.asks(attachments=(CLIP, other))

    assert house.shown == f"**clip.m4a**\n\nHello.\n\n**b.ogg**\n\n{NO_WORDS}"


async def test_quoted_message_is_heard_once() -> None:
    """A menu command points at a message and brings its files as well: they are one recording, not two."""
    house = House(clip_m4a=said("Hello."))

    await house.asks(quotes=(Quote("0", "U2", "Ben", "", (CLIP,)),))

    assert house.shown == "Hello."


async def test_pictures_beside_a_clip_are_passed_by() -> None:
    """Only what can be heard is asked for; a message without any recording is told so."""
    house = House(clip_m4a=said("Hello."))

    await house.asks(attachments=(PHOTO, CLIP))
    with pytest.raises(BadRequest, match="no voice clip"):
        await house.asks(attachments=(PHOTO,))

    assert house.shown == "Hello."


async def test_long_transcript_is_attached() -> None:
    """Of an hour's talk the beginning is shown and the whole is a file; the history keeps all of it."""
    words = "all about terns " * 1_000
    house = House(clip_m4a=said(words))

    answered = await house.asks()

    assert len(house.shown) < SHOWN_CHARS + 5
    assert house.shown.endswith("…")
    [file] = answered.files
    assert (file.name, file.content.decode()) == (FILE_NAME, words)
    assert answered.turns[-1][0].text == words
