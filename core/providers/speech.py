"""Sound to words and words to sound, through either SDK. Sources: facts/groq.md 2 "Audio" and 6 (read 2026-11-22)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from core.base.foreign import Malformed, json_value
from core.domain.model_spec import ModelSpec
from core.domain.requests import Segment, TranscribeRequest, Transcript, Usage, Word
from core.providers.connections import MAX_WHOLE_BYTES
from core.providers.failures import broken
from core.providers.languages import language_code
from core.providers.sdk import SdkCaller

MAX_PROMPT_CHARS: Final = 600
"""Groq takes 224 tokens of prompt; of a longer one the end counts (https://console.groq.com/docs/speech-to-text)."""

_LONGEST_S: Final = 120.0
_SUFFIXES: Final = {
    "audio/flac": "flac",
    "audio/m4a": "m4a",
    "audio/mp4": "mp4",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/wav": "wav",
    "audio/webm": "webm",
    "audio/x-m4a": "m4a",
    "audio/x-wav": "wav",
    "video/mp4": "mp4",
    "video/webm": "webm",
}
"""MIME type -> the file name's ending, by which the providers tell formats apart."""


class _Segment(msgspec.Struct):
    start: float = 0.0
    end: float = 0.0
    text: str = ""
    no_speech_prob: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 1.0


class _Word(msgspec.Struct):
    start: float = 0.0
    end: float = 0.0
    word: str = ""


class _Transcription(msgspec.Struct):
    text: str
    language: str = ""
    duration: float | None = None
    segments: list[_Segment] | None = None
    words: list[_Word] | None = None


async def transcribed(
    caller: SdkCaller, provider: str, request: TranscribeRequest, model: ModelSpec, *, whisper: bool = False
) -> Transcript:
    """Ask *model* for the words in *request*'s audio. Raises ProviderError.

    Args:
        whisper: The model is one, with segments, times and a temperature.
    """
    named: dict[str, Any] = {
        "file": (f"audio.{_SUFFIXES.get(request.mime.partition(';')[0], 'ogg')}", request.audio, request.mime),
        "model": model.id,
        # gpt-transcribe gives no segments, and refuses the format that would carry them.
        "response_format": "verbose_json" if whisper else "json",
    }
    if request.language and not request.translate:
        named["language"] = request.language
    if request.prompt:
        named["prompt"] = request.prompt[-MAX_PROMPT_CHARS:]
    if whisper:
        named["temperature"] = 0.0
    if whisper and request.times == "words" and not request.translate:
        named["timestamp_granularities"] = ["segment", "word"]

    def ask(client: Any) -> Any:
        audio = client.audio.translations if request.translate else client.audio.transcriptions
        return audio.with_streaming_response.create(**named)

    raw = await caller.fetch(ask, model, limit_s=min(_LONGEST_S, 20.0 + request.duration_s))
    try:
        heard = msgspec.convert(json_value(raw, max_bytes=MAX_WHOLE_BYTES), _Transcription, strict=False)
    except (Malformed, msgspec.ValidationError) as error:
        raise broken("garbage", provider=provider, model=model.id, detail=type(error).__name__) from error
    duration_s = heard.duration or request.duration_s
    billed_s = max(duration_s, model.min_billed_audio_s)
    return Transcript(
        text=heard.text.strip(),
        language=language_code(heard.language) or request.language or "",
        duration_s=duration_s,
        model=model.id,
        provider=provider,
        usage=Usage(audio_s=billed_s, cost_usd=billed_s / 3600 * model.price.audio_hour),
        segments=tuple(
            Segment(one.start, one.end, one.text, one.no_speech_prob, one.avg_logprob, one.compression_ratio)
            for one in heard.segments or ()
        ),
        words=tuple(Word(one.start, one.end, one.word) for one in heard.words or ()),
    )


async def spoken(caller: SdkCaller, text: str, model: ModelSpec, voice: str) -> bytes:
    """Return *text* as WAV, spoken by *voice*. Raises ProviderError."""

    def ask(client: Any) -> Any:
        return client.audio.speech.with_streaming_response.create(
            model=model.id, input=text, voice=voice, response_format="wav"
        )

    return await caller.fetch(ask, model, limit_s=_LONGEST_S)
