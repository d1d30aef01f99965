"""Stand-ins for what listens and reads: small, strict, in this process."""

from __future__ import annotations

from collections.abc import Callable

from core.domain.errors import ProviderError
from core.domain.incoming import UserKey
from core.domain.model_spec import Capability, ModelSpec, Price
from core.domain.requests import Segment, TranscribeRequest, Transcript, Usage
from core.files import sandbox_worker as worker
from core.files.kinds import sniff
from core.files.values import Job, Result

USER = UserKey("slack", "T1", "U1")


def audio_model(model_id: str, provider: str = "groq", **changes: object) -> ModelSpec:
    return ModelSpec(
        id=model_id,
        provider=provider,
        tier="audio",
        context_window=448,
        max_output=448,
        capabilities=frozenset({Capability.AUDIO}),
        price=Price(audio_hour=0.04),
        max_audio_bytes=25_000_000,
        min_billed_audio_s=10.0,
        **changes,  # type: ignore[arg-type]
    )


class DirectReader:
    """Does the worker's jobs in this process."""

    async def run(self, job: Job, *, deadline_s: float | None = None) -> Result:
        return worker.run(job)


class FakeSpeech:
    """Hears what it is told to, in order, and keeps the port's and the provider's rules."""

    def __init__(self, *answers: str | list[Segment] | ProviderError) -> None:
        self._answers = list(answers)
        self.heard: list[TranscribeRequest] = []
        self.loaded = False

    async def ready(self) -> None:
        self.loaded = True

    async def transcribe(self, request: TranscribeRequest, model: ModelSpec) -> Transcript:
        kind = sniff(request.audio)
        # The service guesses by the type it is told, so a wrong one fails there (facts/slack.md 1.7).
        assert kind.mime == request.mime, f"{kind.mime} sent as {request.mime}"
        assert request.duration_s >= 0.01  # facts/groq.md 2, audio: minimum length
        self.heard.append(request)
        answer = self._answers.pop(0) if self._answers else f"part {len(self.heard)}"
        if isinstance(answer, ProviderError):
            raise answer
        usage = Usage(audio_s=max(request.duration_s, 10.0), cost_usd=max(request.duration_s, 10.0) / 3600 * 0.04)
        segments = answer if isinstance(answer, list) else [Segment(0.0, request.duration_s, answer)]
        text = "".join(segment.text for segment in segments)
        return Transcript(
            text, request.language or "english", request.duration_s, model.id, model.provider, usage, tuple(segments)
        )


class MemoryCache:
    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.rows.get(key)

    async def put(self, key: str, value: bytes, *, expires_at: float, contributors: frozenset[UserKey]) -> None:
        assert contributors
        self.rows[key] = value


Models = Callable[[TranscribeRequest], list[ModelSpec]]
