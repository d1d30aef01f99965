"""The local speech model, really listening. Skipped where its weights are absent (`python -m tests.models`)."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from core.clock import SystemClock
from core.errors import NoModelLeft
from core.files.workshop import Workshop
from core.providers.local_speech import NAME, LocalSpeech, local_speech_model
from core.requests import TranscribeRequest
from core.services.transcription import Transcription
from tests import models
from tests.core.files import samples
from tests.core.files.spoken import CONTAINERS, SENTENCE, spoken, word_error_rate
from tests.core.services.hearing import USER, DirectReader, MemoryCache

pytestmark = [
    pytest.mark.skipif(not models.whisper_is_here(), reason="the Whisper test weights are not here"),
    pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("faster_whisper") is None, reason="extra local-voice is not installed"),
]


async def test_spoken_sentence_is_heard_in_every_container() -> None:
    """Ogg, MP4, WebM and WAV of one spoken sentence all come back with most words right."""
    clips = {ending: spoken(SENTENCE, ending) for ending in CONTAINERS}
    rates = {}
    async with Workshop(SystemClock()) as workshop:
        engine = LocalSpeech(workshop, str(models.WHISPER))
        service = Transcription(
            {NAME: engine}, lambda _: [local_speech_model()], DirectReader(), MemoryCache(), SystemClock()
        )
        for name, clip in clips.items():
            heard = await service.transcribe(TranscribeRequest(name, USER, clip, "audio/ogg", 0.0))
            rates[name] = word_error_rate(SENTENCE, heard.text)
            assert heard.language == "en"
            assert heard.segments

    print("word error rate of the local model on a synthesiser:", {name: f"{rate:.0%}" for name, rate in rates.items()})
    assert max(rates.values()) < 0.35


async def test_model_that_is_not_there_is_an_ordinary_failure() -> None:
    """A wrong folder ends like any other provider that does not answer."""
    async with Workshop(SystemClock()) as workshop:
        service = Transcription(
            {NAME: LocalSpeech(workshop, "/nonexistent")},
            lambda _: [local_speech_model()],
            DirectReader(),
            MemoryCache(),
            SystemClock(),
        )
        with pytest.raises(NoModelLeft):
            await service.transcribe(TranscribeRequest("r", USER, samples.tone(2.0), "audio/wav", 0.0))
