"""An answer spoken: what a voice clip may be answered with, beside the text. Off unless `[voice] voice_replies` is set.

The speech model takes about 200 characters at once (facts/groq.md 9: seen in user code only), so an answer is cut at
its sentences, spoken piece by piece, and joined into one WAV.
"""

from __future__ import annotations

import asyncio
import io
import re
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from core.base.clock import Clock
from core.chat.service import ReplyFile
from core.domain.errors import ProviderError, Refused
from core.domain.incoming import Incoming
from core.domain.model_spec import ModelSpec
from core.domain.requests import Attempt, Reply, RequestRecord, Usage
from core.ports.gateway import Observer, TextToSpeech
from core.voice.transcription import AudioGuard

log: Any = structlog.get_logger(__name__)

FILE_NAME = "answer.wav"


@dataclass(frozen=True, slots=True)
class SpeakingSettings:
    voice: str = "autumn"
    piece_chars: int = 200
    max_chars: int = 1_200
    """Longer answers are read to the end of a sentence before this: nobody listens to more than a minute and a half,
    and the free plan has 3,600 tokens of speech a day (facts/groq.md 1a)."""
    at_once: int = 2
    within_s: float = 30.0


class Speaking:
    """Speaks answers with the first speech model there is. Never fails: the text stands anyway.

    Args:
        engines: ModelSpec.provider -> who speaks.
        models: The speech models, best first, asked each time.
    """

    def __init__(
        self,
        engines: Mapping[str, TextToSpeech],
        models: Callable[[], Sequence[ModelSpec]],
        clock: Clock,
        *,
        guard: AudioGuard | None = None,
        observers: Sequence[Observer] = (),
        settings: SpeakingSettings = SpeakingSettings(),
    ) -> None:
        self._engines = engines
        self._models = models
        self._clock = clock
        self._guard = guard
        self._observers = observers
        self._settings = settings

    async def clip(self, run_id: str, incoming: Incoming, reply: Reply) -> ReplyFile | None:
        """*reply*'s words as a WAV; None where there is nothing to say aloud, or nobody to say it just now."""
        model = next((one for one in self._models() if one.provider in self._engines), None)
        pieces = sentences(aloud(reply.text), self._settings.piece_chars, self._settings.max_chars)
        if model is None or not pieces:
            return None
        request_id = f"{run_id}-spoken"
        cost_usd = sum(map(len, pieces)) / 1e6 * model.price.characters
        began_at, began = self._clock.now(), self._clock.monotonic()
        outcome, usage = "ok", Usage()
        try:
            if self._guard:
                await self._guard.admit(request_id, incoming.user, cost_usd=cost_usd)
            async with asyncio.timeout(self._settings.within_s):
                spoken = await self._speak(model, pieces)
            usage = Usage(cost_usd=cost_usd)
            return ReplyFile(FILE_NAME, joined(spoken), "The answer, spoken.")
        except (ProviderError, Refused, TimeoutError, ValueError) as error:
            outcome = type(error).__name__
            log.info("an answer stays unspoken", run_id=run_id, why=str(error))
            return None
        finally:
            if self._guard:
                await self._guard.settle(request_id, usage)
            took_s = self._clock.monotonic() - began
            attempt = Attempt(model.provider, model.id, began_at, took_s, None, outcome, usage)
            for observer in self._observers:
                observer.request(
                    RequestRecord(
                        request_id,
                        "speak",
                        incoming.user,
                        incoming.conversation.channel_key,
                        model.id,
                        began_at,
                        None,
                        took_s,
                        outcome,
                        model.id,
                        model.provider,
                        usage,
                        (attempt,),
                    )
                )

    async def _speak(self, model: ModelSpec, pieces: Sequence[str]) -> list[bytes]:
        engine, room = self._engines[model.provider], asyncio.Semaphore(self._settings.at_once)

        async def one(piece: str) -> bytes:
            async with room:
                return await engine.speak(piece, model, self._settings.voice)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(piece)) for piece in pieces]
        except ExceptionGroup as failures:
            known = failures.subgroup(ProviderError)
            raise (known or failures).exceptions[0] from failures
        return [task.result() for task in tasks]


_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_TABLE = re.compile(r"^\s*\|.*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ADDRESS = re.compile(r"https?://\S+")
_MARKS = re.compile(r"[*_`~]+|^\s*(?:#+|>|[-+]|\d+[.)])\s+", re.MULTILINE)


def aloud(markdown: str) -> str:
    """*markdown* as one would read it out: no code, tables, addresses or marks."""
    text = _TABLE.sub("", _CODE.sub("", markdown))
    text = _ADDRESS.sub("", _LINK.sub(r"\1", text))
    return " ".join(_MARKS.sub("", text).split())


def sentences(text: str, piece_chars: int, max_chars: int) -> list[str]:
    """Cut *text* into pieces of at most *piece_chars*, at the ends of sentences, else of clauses, else of words.

    What goes beyond *max_chars* is left out, from the end of the last piece that fits.
    """
    pieces: list[str] = []
    left, said = text.strip(), 0
    while left:
        piece = left
        if len(left) > piece_chars:
            window = left[: piece_chars + 1]
            ends = (
                max(window.rfind(mark) + 1 for mark in marks)
                for marks in ((". ", "! ", "? ", "。"), (", ", "; "), (" ",))
            )
            piece = left[: next((end for end in ends if end > 0), piece_chars)]
        if said + len(piece) > max_chars:
            break
        said += len(piece)
        left = left[len(piece) :].lstrip()
        pieces.append(piece.strip())
    return pieces


def joined(clips: Sequence[bytes]) -> bytes:
    """Put WAVs of one format behind each other. Raises ValueError when one is no WAV, or of another format."""
    if not clips:
        raise ValueError("there is nothing to join")
    shapes, frames = [], []
    for clip in clips:
        try:
            with wave.open(io.BytesIO(clip), "rb") as piece:
                shapes.append((piece.getnchannels(), piece.getsampwidth(), piece.getframerate()))
                frames.append(piece.readframes(piece.getnframes()))
        except (wave.Error, EOFError) as error:
            raise ValueError("the speech model's answer is no WAV") from error
    if len(set(shapes)) > 1:
        raise ValueError("the speech model changed its format between two sentences")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        channels, width, rate = shapes[0]
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(b"".join(frames))
    return buffer.getvalue()
