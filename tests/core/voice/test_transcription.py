"""Transcription: which model hears, how parts are joined, and that silence stays silent."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.domain.errors import ConnectionFailed, LimitReached, NoModelLeft, OverLimit, Overloaded, TooLarge, Unreadable
from core.domain.incoming import UserKey
from core.domain.model_spec import ModelSpec
from core.domain.requests import Segment, TranscribeRequest, Transcript, Usage
from core.files.values import Job, Result, SoundLimits
from core.voice.transcription import Transcription, TranscriptionLimits, join_texts, words
from tests.core.files import samples
from tests.core.voice.hearing import USER, DirectReader, FakeSpeech, MemoryCache, audio_model
from tests.fakes.clock import FakeClock

TURBO, LARGE, BACKUP = audio_model("turbo"), audio_model("large"), audio_model("gpt-transcribe", "openai")
SHORT = TranscriptionLimits(sound=SoundLimits(part_s=20.0))


def request(audio: bytes, **changes: object) -> TranscribeRequest:
    return TranscribeRequest("r1", USER, audio, "audio/wav", 0.0, **changes)  # type: ignore[arg-type]


def service(
    clock: FakeClock,
    groq: FakeSpeech,
    openai: FakeSpeech | None = None,
    limits: TranscriptionLimits = SHORT,
    reader: DirectReader = DirectReader(),
) -> Transcription:
    engines = {"groq": groq} | ({"openai": openai} if openai else {})
    return Transcription(engines, lambda _: [TURBO, LARGE, BACKUP], reader, MemoryCache(), clock, limits=limits)


async def test_clip_is_heard_by_the_first_model(clock: FakeClock) -> None:
    """A short clip goes up as it is, named by its content, and its measured length is told."""
    groq = FakeSpeech("what time is it")
    clip = samples.recoded(samples.tone(2.0), "mp4", "aac")

    transcript = await service(clock, groq).transcribe(request(clip))

    assert (transcript.text, transcript.model) == ("what time is it", "turbo")
    assert groq.heard[0].audio == clip
    assert groq.heard[0].duration_s == pytest.approx(2.0, abs=0.1)


async def test_models_are_asked_in_order(clock: FakeClock) -> None:
    """A limit on the first model leads to the second, then to the other provider."""
    groq, openai = FakeSpeech(LimitReached("busy"), LimitReached("busy")), FakeSpeech("heard")

    transcript = await service(clock, groq, openai).transcribe(request(samples.tone(2.0)))

    assert (transcript.text, transcript.provider) == ("heard", "openai")


@pytest.mark.parametrize("error", [ConnectionFailed("reset"), Overloaded("503")])
async def test_broken_connection_is_asked_again(clock: FakeClock, error: ConnectionFailed | Overloaded) -> None:
    """A connection that breaks costs one more try on the same model."""
    groq = FakeSpeech(error, "heard")

    assert (await service(clock, groq).transcribe(request(samples.tone(2.0)))).model == "turbo"


async def test_no_model_left_carries_every_error(clock: FakeClock) -> None:
    """When nobody hears, all reasons are told."""
    groq = FakeSpeech(LimitReached("a"), LimitReached("b"))

    with pytest.raises(NoModelLeft) as caught:
        await service(clock, groq).transcribe(request(samples.tone(2.0)))

    assert [error.detail for error in caught.value.errors] == ["a", "b"]


async def test_long_talk_is_joined_in_order(clock: FakeClock) -> None:
    """Parts are heard side by side and joined in their order; segment times are those of the whole recording."""
    groq = FakeSpeech()

    transcript = await service(clock, groq).transcribe(request(samples.bursts(65, every_s=3.0, pause_s=0.5)))

    starts = [segment.start_s for segment in transcript.segments]
    assert len(groq.heard) > 3
    assert transcript.text == " ".join(f"part {number}" for number in range(1, len(groq.heard) + 1))
    assert starts == sorted(starts)
    assert transcript.duration_s == pytest.approx(65)
    assert transcript.usage.audio_s == pytest.approx(sum(heard.duration_s for heard in groq.heard))


async def test_silence_costs_nothing(clock: FakeClock) -> None:
    """A silent clip is not uploaded and gives no words."""
    groq = FakeSpeech("Thank you.")

    transcript = await service(clock, groq).transcribe(request(samples.tone(5.0, amplitude=0)))

    assert (transcript.text, groq.heard, transcript.usage) == ("", [], Usage())


@pytest.mark.parametrize(
    "segments",
    [
        [Segment(0, 5, " Thank you.", no_speech=0.7, avg_logprob=-1.2)],
        [Segment(0, 5, " Thanks for watching!", no_speech=0.5, avg_logprob=-0.4)],
        [Segment(0, 5, " [Music]")],
        [Segment(0, 5, " ♪♪♪")],
        [Segment(0, 5, " (wind blowing)")],
        [Segment(0, 5, " la la la la la la la", no_speech=0.5, compression_ratio=4.0)],
    ],
)
async def test_noise_is_not_turned_into_words(clock: FakeClock, segments: list[Segment]) -> None:
    """Music, noise and the phrases that models invent over them give no words."""
    transcript = await service(clock, FakeSpeech(segments)).transcribe(request(samples.tone(5.0)))

    assert transcript.text == ""


def test_real_words_survive_the_doubts() -> None:
    """A short sentence that was clearly spoken is kept, beside a sound that is not."""
    segments = (Segment(0, 1, " [Music]"), Segment(1, 2, " Thank you.", no_speech=0.02))

    assert words(Transcript("[Music] Thank you.", "en", 2.0, "m", "groq", Usage(), segments)) == "Thank you."


async def test_equal_recordings_are_heard_once(clock: FakeClock) -> None:
    """The same bytes again are answered from the cache, at no cost."""
    groq = FakeSpeech("once")
    transcription = service(clock, groq)
    clip = samples.tone(2.0)

    await transcription.transcribe(request(clip))
    again = await transcription.transcribe(request(clip))

    assert (again.text, again.from_cache, again.usage, len(groq.heard)) == ("once", True, Usage(), 1)


async def test_other_language_is_another_question(clock: FakeClock) -> None:
    """A given language is part of what is asked."""
    groq = FakeSpeech("one", "eins")
    transcription = service(clock, groq)
    clip = samples.tone(2.0)

    await transcription.transcribe(request(clip))

    assert (await transcription.transcribe(request(clip, language="de"))).text == "eins"


async def test_nobody_learns_what_another_had_heard(clock: FakeClock) -> None:
    """A hit would tell one holder of a key that another one sent these very bytes."""
    groq = FakeSpeech("mine", "mine too")
    transcription = service(clock, groq)
    clip = samples.tone(2.0)

    await transcription.transcribe(request(clip))
    others = await transcription.transcribe(replace(request(clip), user=UserKey("api", "", "another")))

    assert (others.text, others.from_cache) == ("mine too", False)


async def test_too_large_and_unplayable_are_declined(clock: FakeClock) -> None:
    """Size is checked before, and form while, it is opened."""
    limits = TranscriptionLimits(max_bytes=1000)

    with pytest.raises(TooLarge):
        await service(clock, FakeSpeech(), limits=limits).transcribe(request(samples.tone(2.0)))
    with pytest.raises(Unreadable):
        await service(clock, FakeSpeech()).transcribe(request(b"not a sound"))


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["a", "b"], "a b"),
        (["a", "", "b"], "a b"),
        (["こんにちは", "世界"], "こんにちは世界"),
        (["世界", "ok"], "世界 ok"),
        ([], ""),
    ],
)
def test_joining(texts: list[str], joined: str) -> None:
    """Words of neighbouring parts are parted by a space where the script has one."""
    assert join_texts(texts) == joined


async def test_model_that_failed_hard_rests(clock: FakeClock) -> None:
    """A model that is down is passed by for a while, as chat models are, and asked again afterwards."""
    groq = FakeSpeech(Overloaded("503"), Overloaded("503"), "from large", "from large again", "from turbo")
    hearing = service(clock, groq)

    first = await hearing.transcribe(request(samples.tone(2.0)))
    second = await hearing.transcribe(request(samples.tone(2.5)))
    await clock.advance(31.0)
    third = await hearing.transcribe(request(samples.tone(3.0)))

    assert [first.model, second.model, third.model] == ["large", "large", "turbo"]


async def test_refusal_of_the_guard_comes_before_the_upload(clock: FakeClock) -> None:
    """What a recording would cost is checked by its length; a refusal uploads nothing."""
    groq = FakeSpeech("never")

    class Guard:
        async def admit(self, request_id: str, user: UserKey, *, cost_usd: float) -> None:
            raise OverLimit("user", "USD per day", limit=cost_usd, retry_after_s=60.0)

        async def settle(self, request_id: str, usage: Usage) -> None:
            raise AssertionError("nothing was reserved")

    hearing = Transcription(
        {"groq": groq}, lambda _: [TURBO], DirectReader(), MemoryCache(), clock, guard=Guard(), limits=SHORT
    )

    with pytest.raises(OverLimit):
        await hearing.transcribe(request(samples.tone(2.0)))

    assert groq.heard == []


async def test_engine_is_loaded_while_the_recording_is_measured(clock: FakeClock) -> None:
    """An SDK takes its time to import; a worker decodes meanwhile."""
    groq = FakeSpeech("hello")
    seen: list[bool] = []

    class Looking(DirectReader):
        async def run(self, job: Job, *, deadline_s: float | None = None) -> Result:
            await asyncio.sleep(0)
            seen.append(groq.loaded)
            return await super().run(job)

    await service(clock, groq, reader=Looking()).transcribe(request(samples.tone(2.0)))

    assert seen[0]
    assert len(groq.heard) == 1


async def test_deadline_ends_the_listening(clock: FakeClock) -> None:
    """A recording whose deadline has passed is not waited for."""

    class Asleep(FakeSpeech):
        async def transcribe(self, request: TranscribeRequest, model: ModelSpec) -> Transcript:
            await asyncio.Event().wait()
            raise AssertionError("never woken")

    with pytest.raises(NoModelLeft):
        await service(clock, Asleep()).transcribe(request(samples.tone(2.0), deadline_at=clock.now() - 1))
