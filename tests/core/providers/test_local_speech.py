"""The local speech model, really listening. Skipped where its weights are absent (`python -m tests.models`)."""

from __future__ import annotations

import importlib.util
import re
import shutil

import pytest

from core.base.clock import SystemClock
from core.domain.errors import NoModelLeft
from core.domain.requests import TranscribeRequest
from core.files import sound
from core.files.sandbox import Sandbox
from core.files.values import SoundLimits
from core.providers.local_speech import NAME, LocalSpeech, local_speech_model
from core.voice.transcription import Transcription, TranscriptionLimits
from tests import models
from tests.core.files import samples
from tests.core.files.spoken import CONTAINERS, SENTENCE, spoken, word_error_rate
from tests.core.voice.hearing import USER, DirectReader, MemoryCache

pytestmark = [
    pytest.mark.skipif(not models.whisper_is_here(), reason="the Whisper test weights are not here"),
    pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("faster_whisper") is None, reason="extra local-voice is not installed"),
]


def listening(sandbox: Sandbox, limits: TranscriptionLimits = TranscriptionLimits()) -> Transcription:
    engine = LocalSpeech(sandbox, str(models.WHISPER))
    return Transcription(
        {NAME: engine}, lambda _: [local_speech_model()], DirectReader(), MemoryCache(), SystemClock(), limits=limits
    )


async def test_spoken_sentence_is_heard_in_every_container() -> None:
    """Ogg, MP4, WebM and WAV of one spoken sentence all come back with most words right."""
    clips = {ending: spoken(SENTENCE, ending) for ending in CONTAINERS}
    rates = {}
    async with Sandbox(SystemClock(), reads=[str(models.WHISPER)]) as sandbox:
        service = listening(sandbox)
        for name, clip in clips.items():
            heard = await service.transcribe(TranscribeRequest(name, USER, clip, "audio/ogg", 0.0))
            rates[name] = word_error_rate(SENTENCE, heard.text)
            assert heard.language == "en"
            assert heard.segments

    print("word error rate of the local model on a synthesiser:", {name: f"{rate:.0%}" for name, rate in rates.items()})
    assert max(rates.values()) < 0.35


TALK = (
    "On Monday the teacher opened the old library. On Tuesday a doctor painted the kitchen yellow. "
    "On Wednesday my brother cooked potatoes for dinner. On Thursday the river covered the northern bridge. "
    "On Friday seven children planted apple trees. On Saturday the market sold fresh bread and butter. "
    "On Sunday everybody walked along the beach. In January the mountain was white with snow. "
    "In February the captain repaired his wooden boat. In March the farmer bought eleven sheep."
)
ONCE = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "January", "February", "March")


async def test_talk_in_parts_is_joined_without_doubled_or_lost_words() -> None:
    """Half a minute, cut in its pauses into parts: every sentence comes once, in order, at its time."""
    limits = TranscriptionLimits(sound=SoundLimits(part_s=12.0, min_part_s=5.0), parts_at_once=1)
    talk = spoken(TALK, "ogg")
    async with Sandbox(SystemClock(), reads=[str(models.WHISPER)]) as sandbox:
        service = listening(sandbox, limits)
        heard = await service.transcribe(TranscribeRequest("r", USER, talk, "audio/ogg", 0.0, times="segments"))

    rate = word_error_rate(TALK, heard.text)
    print(f"word error rate of {heard.duration_s:.0f} s in parts: {rate:.0%}")
    assert len(sound.prepare("talk", talk, limits.sound).parts) > 2
    assert rate < 0.15
    assert [word for word in re.findall(r"[A-Z][a-z]+", heard.text) if word in ONCE] == list(ONCE)
    starts = [segment.start_s for segment in heard.segments]
    assert starts == sorted(starts)
    assert starts[-1] > 20.0


@pytest.mark.parametrize("clip", [samples.noise(5.0), samples.music(6.0), samples.tone(4.0, amplitude=0)])
async def test_wind_music_and_silence_hold_no_words(clip: bytes) -> None:
    """A real model asked to hear noise or music says nothing, where it is known to invent a "Thank you."."""
    async with Sandbox(SystemClock(), reads=[str(models.WHISPER)]) as sandbox:
        heard = await listening(sandbox).transcribe(TranscribeRequest("r", USER, clip, "audio/wav", 0.0))

    assert heard.text == ""


async def test_model_that_is_not_there_is_an_ordinary_failure() -> None:
    """A wrong folder ends like any other provider that does not answer."""
    async with Sandbox(SystemClock(), reads=[str(models.WHISPER)]) as sandbox:
        service = Transcription(
            {NAME: LocalSpeech(sandbox, "/nonexistent")},
            lambda _: [local_speech_model()],
            DirectReader(),
            MemoryCache(),
            SystemClock(),
        )
        with pytest.raises(NoModelLeft):
            await service.transcribe(TranscribeRequest("r", USER, samples.tone(2.0), "audio/wav", 0.0))
