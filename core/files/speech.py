"""Listens with a local Whisper model (faster-whisper, int8 on the processor). Runs in the worker.

Needs the extra `local-voice`. Measured with the base model on two cores: 0.33 of real time, 321 MB, word error rate
1.4 % on people and 7 to 13 % on a speech synthesiser (facts/local.md, 2026-11-22).
"""

from __future__ import annotations

import io
from functools import cache

from faster_whisper import WhisperModel

from core.domain.errors import Unreadable
from core.files.values import Heard, HeardSegment, HeardWord, SpeechLimits


def listen(name: str, content: bytes, limits: SpeechLimits) -> Heard:
    """Return what is said in a recording of any container.

    Raises:
        Unreadable: The model cannot be loaded or the recording not be played; says which.
    """
    try:
        model = _model(limits.model, limits.threads)
    except (OSError, RuntimeError, ValueError) as error:
        raise Unreadable(name, f"the local speech model {limits.model!r} cannot be loaded") from error
    try:
        segments, about = model.transcribe(
            io.BytesIO(content),
            language=limits.language,
            task="translate" if limits.translate else "transcribe",
            initial_prompt=limits.prompt or None,
            vad_filter=True,
            condition_on_previous_text=False,  # otherwise one invented phrase is repeated to the end
            word_timestamps=limits.words,
        )
        said = list(segments)  # it listens only now
        heard = tuple(
            HeardSegment(
                segment.start,
                segment.end,
                segment.text,
                segment.no_speech_prob,
                segment.avg_logprob,
                segment.compression_ratio,
            )
            for segment in said
        )
        timed = tuple(HeardWord(word.start, word.end, word.word) for segment in said for word in segment.words or ())
    except (RuntimeError, ValueError, OSError, IndexError) as error:
        raise Unreadable(name, "the recording cannot be played") from error
    return Heard(about.language, heard, timed)


@cache
def _model(model: str, threads: int) -> WhisperModel:
    return WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=threads)
