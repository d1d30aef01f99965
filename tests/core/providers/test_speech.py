"""Speech both ways, through the real SDKs against strict fakes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.domain.errors import (
    ConnectionFailed,
    LimitReached,
    ModelGone,
    RequestRejected,
    StreamBroken,
    TooLargeForLimit,
)
from core.domain.incoming import UserKey
from core.domain.requests import Segment, TranscribeRequest
from core.providers.groq import GroqProvider
from core.providers.openai import OpenAIProvider
from tests.core.providers.conftest import REGISTRY, SMALL, Heard
from tests.fakes.llm_api import FakeLlmApi, over_capacity, rate_limited
from tests.fakes.llm_api import Heard as Said

TURBO = REGISTRY.get("whisper-large-v3-turbo")
LARGE = REGISTRY.get("whisper-large-v3")
BACKUP = REGISTRY.get("gpt-transcribe")
VOICE = REGISTRY.get("canopylabs/orpheus-v1-english")
CLIP = TranscribeRequest("r1", UserKey("slack", "", "u"), b"OggS" * 100, "audio/ogg; codecs=opus", 3.0)


async def test_a_clip_becomes_words(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """With language, segments and Whisper's own doubts; ten seconds are billed at least."""
    doubt = {"id": 0, "start": 0.0, "end": 3.0, "text": " Guten Tag", "no_speech_prob": 0.5, "avg_logprob": -1.5}
    groq_api.hears(Said(" Guten Tag", "german", 3.0, (doubt,)))

    transcript = await groq.transcribe(replace(CLIP, language="de", prompt="names: Ann"), TURBO)

    assert (transcript.text, transcript.language, transcript.duration_s) == ("Guten Tag", "de", 3.0)
    assert transcript.segments == (Segment(0.0, 3.0, " Guten Tag", 0.5, -1.5, 1.1),)
    assert transcript.usage.audio_s == 10.0
    assert transcript.usage.cost_usd == pytest.approx(10 / 3600 * 0.04)
    sent = groq_api.requests[-1].body
    assert sent["file"] == {"name": "audio.ogg", "type": "audio/ogg; codecs=opus", "bytes": 400}
    assert (sent["language"], sent["prompt"]) == ("de", "names: Ann")
    assert heard.headers[0][0] == TURBO.id


async def test_a_long_prompt_keeps_its_end(groq: GroqProvider, groq_api: FakeLlmApi) -> None:
    """Groq takes 224 tokens."""
    await groq.transcribe(replace(CLIP, prompt="x" * 5_000 + "end"), TURBO)

    assert groq_api.requests[-1].body["prompt"].endswith("end")


async def test_only_the_large_model_translates(groq: GroqProvider, groq_api: FakeLlmApi) -> None:
    """Turbo answers 400."""
    await groq.transcribe(replace(CLIP, translate=True, language="de"), LARGE)
    with pytest.raises(RequestRejected):
        await groq.transcribe(replace(CLIP, translate=True), TURBO)

    assert groq_api.requests[0].path.endswith("/audio/translations")


async def test_openai_hears_without_segments(openai: OpenAIProvider, openai_api: FakeLlmApi) -> None:
    """Its format for segments is refused, so the clip's own length is billed."""
    openai_api.hears(Said("Good day"))

    transcript = await openai.transcribe(CLIP, BACKUP)

    assert (transcript.text, transcript.duration_s, transcript.segments) == ("Good day", 3.0, ())
    assert transcript.usage.cost_usd == pytest.approx(3 / 3600 * 0.27)


async def test_refusals_are_those_of_the_table(groq: GroqProvider, groq_api: FakeLlmApi) -> None:
    """Seconds of audio have windows of their own."""
    groq_api.hears(rate_limited("ASH", limit=7_200, used=7_199, wait="1m2s"), over_capacity())

    with pytest.raises(LimitReached) as caught:
        await groq.transcribe(CLIP, TURBO)

    assert (caught.value.limit_kind, caught.value.retry_after_s) == ("ASH", 62.0)


async def test_an_answer_that_is_none(groq: GroqProvider, groq_api: FakeLlmApi) -> None:
    """Status 200 without text."""
    groq_api.hears(Said(body={"note": "nothing"}))

    with pytest.raises(StreamBroken):
        await groq.transcribe(CLIP, TURBO)


async def test_too_large_dead_and_unreachable(groq: GroqProvider, groq_api: FakeLlmApi) -> None:
    """The same classes as for chat."""
    with pytest.raises(TooLargeForLimit):
        await groq.transcribe(replace(CLIP, audio=b"x" * 25_000_001), TURBO)
    groq_api.dead.add(TURBO.id)
    with pytest.raises(ModelGone):
        await groq.transcribe(CLIP, TURBO)
    nowhere = GroqProvider("k", base_url="http://127.0.0.1:9")
    with pytest.raises(ConnectionFailed):
        await nowhere.transcribe(CLIP, TURBO)

    await nowhere.close()


async def test_words_become_sound(groq: GroqProvider) -> None:
    """WAV, whole."""
    sound = await groq.speak("Hello.", VOICE, "troy")

    assert sound[:4] == b"RIFF"
    with pytest.raises(ModelGone):
        await groq.speak("Hello.", REGISTRY.get(SMALL), "troy")
