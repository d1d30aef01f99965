"""Speech to text on this machine: the last link of the audio chain, behind the same port as Groq's."""

from __future__ import annotations

from typing import Protocol

from core.domain.errors import Overloaded, RequestRejected, Unreadable
from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import Segment, TranscribeRequest, Transcript, Usage, Word
from core.files.values import Heard, Job, Result, SpeechLimits

NAME = "local-voice"


class Listener(Protocol):
    """A sandbox of its own, so that a long recording never keeps a picture waiting."""

    async def run(self, job: Job, *, deadline_s: float | None = None) -> Result: ...


def local_speech_model() -> ModelSpec:
    """The registry entry; free, last in the order, without limits of its own."""
    return ModelSpec(
        id=NAME,
        provider=NAME,
        tier="audio",
        context_window=448,
        max_output=448,
        capabilities=frozenset({Capability.AUDIO}),
    )


class LocalSpeech:
    """Implements SpeechToText with faster-whisper in a worker process."""

    def __init__(self, listener: Listener, model: str, *, threads: int = 2) -> None:
        self._listener = listener
        self._model = model
        self._threads = threads

    async def ready(self) -> None:
        """The model is loaded by the worker, with its first recording."""

    async def transcribe(self, request: TranscribeRequest, model: ModelSpec) -> Transcript:
        limits = SpeechLimits(
            self._model,
            request.language,
            request.translate,
            request.prompt,
            self._threads,
            words=request.times == "words",
        )
        # A third of real time on two idle cores; six times that on busy ones, and time to load the model.
        deadline_s = 60.0 + 2 * request.duration_s
        try:
            heard = await self._listener.run(Job("speech", "recording", request.audio, limits), deadline_s=deadline_s)
        except Unreadable as error:
            raise Overloaded(error.why, provider=NAME, model=model.id) from error
        if not isinstance(heard, Heard):
            raise RequestRejected("no transcript came back", provider=NAME, model=model.id)
        segments = tuple(
            Segment(part.start_s, part.end_s, part.text, part.no_speech, part.avg_logprob, part.compression_ratio)
            for part in heard.segments
        )
        return Transcript(
            text="".join(segment.text for segment in segments).strip(),
            language=heard.language,
            duration_s=request.duration_s,
            model=model.id,
            provider=NAME,
            usage=Usage(audio_s=request.duration_s),
            segments=segments,
            words=tuple(Word(word.start_s, word.end_s, word.text) for word in heard.words),
        )
