"""From recording to words: cut in the pauses, ask the audio models in order, join, and hear nothing in silence."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from core.base.clock import Clock
from core.domain.errors import (
    ConnectionFailed,
    NoModelLeft,
    Overloaded,
    ProviderError,
    Stalled,
    TernError,
    TooLarge,
    Unreadable,
)
from core.domain.incoming import UserKey
from core.domain.model_spec import ModelSpec
from core.domain.requests import Attempt, RequestRecord, Segment, TranscribeRequest, Transcript, Usage
from core.files.kinds import sniff
from core.files.values import Job, Result, Sound, SoundLimits, SoundPart
from core.gateway.circuit_breaker import CircuitBreaker
from core.gateway.defects import defect
from core.gateway.error_policy import Rest, consequence_of
from core.gateway.fallback import UNSTATED_WINDOW_S, Signals
from core.ports.gateway import Observer, SpeechToText
from core.ports.storage import CacheStore


class Reader(Protocol):
    """The sandbox, as far as it is needed here."""

    async def run(self, job: Job, *, deadline_s: float | None = None) -> Result: ...


class AudioGuard(Protocol):
    """The per-user guard's quota for recordings: what they may cost is checked before anything is uploaded."""

    async def admit(self, request_id: str, user: UserKey, *, cost_usd: float) -> None:
        """Raises Refused."""
        ...

    async def settle(self, request_id: str, usage: Usage) -> None: ...


@dataclass(frozen=True, slots=True)
class TranscriptionLimits:
    max_bytes: int = 100 * 1024 * 1024
    sound: SoundLimits = SoundLimits()
    min_loud_s: float = 0.2
    """With less than this above the noise floor there is nothing to hear, and nothing is paid."""
    parts_at_once: int = 4
    cache_s: float = 24 * 3600.0


# What Whisper itself takes as "nobody spoke" (openai/whisper, transcribe.py: no_speech_threshold 0.6,
# logprob_threshold -1.0, compression_ratio_threshold 2.4; read 2026-11-22).
_NO_SPEECH = 0.6
_LOW_LOGPROB = -1.0
_REPEATS = 2.4
_INVENTED_WITH_DOUBT = 0.35
"""Short stock phrases ("Thank you.") are believed only below this doubt: Whisper invents them over noise."""

_SOUND_NAMES = re.compile(r"^[\s♪♫🎵*(\[（【<]+[^\])）】>♪♫*]*[\])）】>♪♫🎵*]+[\s.]*$")
_STOCK_WORDS = 5
_NO_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


class Transcription:
    """Transcribes recordings; equal content, language and task are answered from the cache for a day."""

    def __init__(
        self,
        engines: Mapping[str, SpeechToText],
        models: Callable[[TranscribeRequest], Sequence[ModelSpec]],
        reader: Reader,
        cache: CacheStore,
        clock: Clock,
        *,
        guard: AudioGuard | None = None,
        breaker: CircuitBreaker | None = None,
        signals: Signals = Signals(),
        observers: Sequence[Observer] = (),
        limits: TranscriptionLimits = TranscriptionLimits(),
    ) -> None:
        """*breaker* and *signals* are the chat models' own: a rejected key rests all of a provider's models."""
        self._engines = engines
        self._models = models
        self._reader = reader
        self._cache = cache
        self._clock = clock
        self._guard = guard
        self._breaker = breaker or CircuitBreaker(clock)
        self._signals = signals
        self._observers = observers
        self._limits = limits

    async def transcribe(self, request: TranscribeRequest, *, name: str = "the recording") -> Transcript:
        """Return what is said in `request.audio`; `duration_s` and `mime` of the request are measured, not believed.

        Raises:
            Unreadable: It cannot be played. TooLarge: Above the limit. Refused: The guard said no.
            BadRequest, UnknownModel: The wished model cannot do this.
            NoModelLeft: No audio model answered.
        """
        started = self._clock.monotonic()
        started_at = self._clock.now()
        if len(request.audio) > self._limits.max_bytes:
            raise TooLarge("the recording", limit=self._limits.max_bytes // 2**20, unit="MB")
        models = [spec for spec in self._models(request) if spec.provider in self._engines]
        key = _cache_key(request)
        if (stored := await self._cache.get(key)) is not None:
            transcript = replace(msgspec.json.decode(stored, type=Transcript), usage=Usage(), from_cache=True)
            self._record(request, started_at, started, "cached", transcript, [])
            return transcript
        sound, _ = await asyncio.gather(self._measure(request, name), self._warm_up(models))
        if sound.loud_s < self._limits.min_loud_s:
            return Transcript("", request.language or "", sound.duration_s, "", "", Usage())
        request = replace(request, duration_s=sound.duration_s)
        attempts: list[Attempt] = []
        try:
            transcript = await self._ask(models, request, sound, attempts)
        except Exception as error:
            self._record(request, started_at, started, type(error).__name__, None, attempts)
            raise
        transcript = replace(transcript, lost_s=sound.lost_s)
        await self._cache.put(
            key,
            msgspec.json.encode(transcript),
            expires_at=self._clock.now() + self._limits.cache_s,
            contributors=frozenset({request.user}),
        )
        self._record(request, started_at, started, "ok", transcript, attempts)
        return transcript

    async def _measure(self, request: TranscribeRequest, name: str) -> Sound:
        # Decoding takes about 5 ms per second of sound on two busy cores; the rest is room for a slow machine.
        deadline_s = 30.0 + len(request.audio) / 100_000
        job = Job("sound", name, request.audio, self._limits.sound, request.user)
        sound = await self._reader.run(job, deadline_s=deadline_s)
        if not isinstance(sound, Sound):
            raise Unreadable(name, "it is no recording")
        return sound

    async def _warm_up(self, models: Sequence[ModelSpec]) -> None:
        """Have the first one's engine loaded meanwhile. What is wrong with it shows when it is asked."""
        for spec in models[:1]:
            with contextlib.suppress(ProviderError):
                await self._engines[spec.provider].ready()

    async def _ask(
        self, models: Sequence[ModelSpec], request: TranscribeRequest, sound: Sound, attempts: list[Attempt]
    ) -> Transcript:
        if not models:
            raise NoModelLeft(missing="audio")
        estimate = _cost(models[0], sound)
        if self._guard is not None:
            await self._guard.admit(request.request_id, request.user, cost_usd=estimate)
        usage = Usage()
        try:
            async with asyncio.timeout(self._time_left(request)) as limit:
                transcript = await self._first_that_answers(models, request, sound, attempts)
            usage = transcript.usage
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise NoModelLeft([Stalled("the deadline has passed")]) from error
        finally:
            if self._guard is not None:
                await self._guard.settle(request.request_id, usage)
        return transcript

    def _time_left(self, request: TranscribeRequest) -> float | None:
        return None if request.deadline_at is None else max(0.0, request.deadline_at - self._clock.now())

    async def _first_that_answers(
        self, models: Sequence[ModelSpec], request: TranscribeRequest, sound: Sound, attempts: list[Attempt]
    ) -> Transcript:
        errors: list[ProviderError] = []
        for spec in self._awake(models, errors):
            self._breaker.begin(spec)
            began_at, began = self._clock.now(), self._clock.monotonic()
            outcome, used = "ok", Usage()
            try:
                transcript = await self._with_model(spec, request, sound)
                used = transcript.usage
                self._breaker.worked(spec)
                return transcript
            except Exception as failure:
                if isinstance(failure, TernError) and not isinstance(failure, ProviderError):
                    raise
                error = (
                    failure
                    if isinstance(failure, ProviderError)
                    else defect(failure, provider=spec.provider, model=spec.id)
                )
                errors.append(error)
                outcome = type(error).__name__
                self._bear(spec, error)
            finally:
                spent_s = self._clock.monotonic() - began
                attempts.append(Attempt(spec.provider, spec.id, began_at, spent_s, None, outcome, used))
        raise NoModelLeft(errors)

    def _awake(self, models: Sequence[ModelSpec], errors: list[ProviderError]) -> Sequence[ModelSpec]:
        """The models that do not rest; when all do, the one due first: a rest must never be the reason for silence."""
        resting = {spec.id: why for spec in models if (why := self._breaker.resting(spec)) is not None}
        awake = [spec for spec in models if spec.id not in resting]
        spared = [spec for spec in models if not self._breaker.provider_rests(spec)]
        if not awake and spared:
            return [min(spared, key=self._breaker.left_s)]
        errors.extend(resting.values())
        return awake

    def _bear(self, spec: ModelSpec, error: ProviderError) -> None:
        """Let whoever failed rest, as core/gateway/error_policy.py says for chat models."""
        row = consequence_of(error)
        if row.alert:
            self._signals.alert(error)
        match row.rest:
            case Rest.WINDOW:
                wait_s = error.retry_after_s if error.retry_after_s is not None else UNSTATED_WINDOW_S
                self._breaker.rest_for(spec, wait_s, error)
            case Rest.MODEL:
                self._breaker.failed(spec, error)
            case Rest.PROVIDER:
                self._breaker.rest_provider(spec, error)
            case Rest.FOREVER:
                self._signals.mark_dead(spec.id, error.detail or "the provider no longer offers it")
            case Rest.NOBODY:
                pass

    async def _with_model(self, spec: ModelSpec, request: TranscribeRequest, sound: Sound) -> Transcript:
        whole = _original(request, sound, spec)
        if whole is not None:
            heard = [await self._part(spec, whole)]
        else:
            heard = await self._parts(spec, request, sound.parts)
        starts = [part.start_s for part in sound.parts] if whole is None else [0.0]
        text = join_texts([words(transcript) for transcript in heard])
        segments = tuple(
            replace(segment, start_s=segment.start_s + start, end_s=segment.end_s + start)
            for transcript, start in zip(heard, starts, strict=True)
            for segment in transcript.segments
            if spoken(segment)
        )
        usage = sum((transcript.usage for transcript in heard), Usage())
        language = next((transcript.language for transcript in heard if transcript.language), request.language or "")
        timed = tuple(
            replace(word, start_s=word.start_s + start, end_s=word.end_s + start)
            for transcript, start in zip(heard, starts, strict=True)
            for word in transcript.words
        )
        return Transcript(text, language, sound.duration_s, spec.id, spec.provider, usage, segments, words=timed)

    async def _parts(self, spec: ModelSpec, request: TranscribeRequest, parts: Sequence[SoundPart]) -> list[Transcript]:
        room = asyncio.Semaphore(self._limits.parts_at_once)

        async def one(part: SoundPart) -> Transcript:
            async with room:
                length_s = part.end_s - part.start_s
                return await self._part(
                    spec, replace(request, audio=part.content, mime="audio/flac", duration_s=length_s)
                )

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(part)) for part in parts]
        except ExceptionGroup as failures:
            raise _first_provider_error(failures) from failures
        return [task.result() for task in tasks]

    async def _part(self, spec: ModelSpec, request: TranscribeRequest) -> Transcript:
        engine = self._engines[spec.provider]
        try:
            return await engine.transcribe(request, spec)
        except (ConnectionFailed, Overloaded):
            # A kept-alive connection breaks now and then (facts/local.md); nothing was heard yet, so ask once more.
            return await engine.transcribe(request, spec)

    def _record(
        self,
        request: TranscribeRequest,
        started_at: float,
        started: float,
        outcome: str,
        transcript: Transcript | None,
        attempts: Sequence[Attempt],
    ) -> None:
        record = RequestRecord(
            request_id=request.request_id,
            kind="transcribe",
            user=request.user,
            channel_key="",
            requested_model=request.requested_model,
            started_at=started_at,
            first_text_s=None,
            duration_s=self._clock.monotonic() - started,
            outcome=outcome,
            model=transcript.model if transcript else "",
            provider=transcript.provider if transcript else "",
            usage=transcript.usage if transcript else Usage(),
            attempts=tuple(attempts),
        )
        for observer in self._observers:
            observer.request(record)


def spoken(segment: Segment) -> bool:
    """Whether somebody really said it, by the model's own doubts."""
    if segment.no_speech > _NO_SPEECH and segment.avg_logprob < _LOW_LOGPROB:
        return False
    if segment.compression_ratio > _REPEATS and segment.no_speech > _INVENTED_WITH_DOUBT:
        return False
    return not _SOUND_NAMES.match(segment.text)


def words(transcript: Transcript) -> str:
    """The transcript's text without what nobody said ("[Music]", a stock phrase over noise)."""
    if not transcript.segments:
        return "" if _SOUND_NAMES.match(transcript.text) else transcript.text.strip()
    kept = [segment for segment in transcript.segments if spoken(segment)]
    doubt = min((segment.no_speech for segment in kept), default=1.0)
    text = "".join(segment.text for segment in kept).strip()
    if len(kept) == len(transcript.segments):
        text = transcript.text.strip()
    if doubt > _INVENTED_WITH_DOUBT and len(text.split()) <= _STOCK_WORDS:
        return ""
    return text


def join_texts(texts: Sequence[str]) -> str:
    """Join the texts of neighbouring parts: with a space, except between letters of scripts that use none."""
    joined = ""
    for text in texts:
        if joined and text and not (_NO_SPACES.match(joined[-1]) and _NO_SPACES.match(text[0])):
            joined += " "
        joined += text
    return joined


def _original(request: TranscribeRequest, sound: Sound, spec: ModelSpec) -> TranscribeRequest | None:
    """The recording as it came, named by its content, where the model takes it whole; None where it must be cut."""
    kind = sniff(request.audio)
    too_big = spec.max_audio_bytes and len(request.audio) > spec.max_audio_bytes
    if kind.family != "audio" or len(sound.parts) > 1 or too_big:
        return None
    return replace(request, mime=kind.mime)


def _cost(spec: ModelSpec, sound: Sound) -> float:
    billed_s = sum(max(part.end_s - part.start_s, spec.min_billed_audio_s) for part in sound.parts)
    return billed_s / 3600 * spec.price.audio_hour


def _cache_key(request: TranscribeRequest) -> str:
    """Within one person: else a hit would tell one holder of a key what another one had transcribed."""
    who, wished = (
        request.user,
        (request.language, request.translate, request.prompt, request.requested_model, request.times),
    )
    task = repr((who.platform, who.workspace, who.user, *wished)).encode("utf-8", "backslashreplace")
    return "transcript:" + hashlib.sha256(task + b"\0" + request.audio).hexdigest()


def _first_provider_error(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    for error in failures.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first_provider_error(error)
        if isinstance(error, ProviderError):
            return error
    return failures.exceptions[0]
