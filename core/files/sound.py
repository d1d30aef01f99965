"""Measures a recording, finds where nobody speaks, and cuts what is too long. Runs in the worker."""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator
from itertools import pairwise

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError

from core.domain.errors import Unreadable
from core.files.values import Sound, SoundLimits, SoundPart

RATE = 16_000
"""Samples a second: what Whisper works with; Groq's server would reduce to it anyway (facts/groq.md 2, audio)."""

_WINDOW_S = 0.05
_STRIDE = 4
"""Every fourth sample is enough to tell speech from silence, at a quarter of the price."""

SILENCE = 110
"""Mean amplitude (of 32,768) below which a window counts as silent: about -50 dBFS."""


def prepare(name: str, content: bytes, limits: SoundLimits) -> Sound:
    """Decode a recording once and return it in parts that are cut at silences.

    Raises:
        Unreadable: No audio track, damaged from the start, or longer than `max_duration_s`.
    """
    samples = array("h")
    most = int(limits.max_duration_s * RATE)
    try:
        with av.open(io.BytesIO(content), mode="r") as container:
            if not container.streams.audio:
                raise Unreadable(name, "there is no sound in it")
            for frame in _mono(container):
                samples.frombytes(bytes(frame.planes[0])[: frame.samples * 2])
                if len(samples) > most:
                    raise Unreadable(name, f"it is longer than {limits.max_duration_s / 3600:g} hours")
    except Unreadable:
        raise
    except (FFmpegError, ValueError, OSError, MemoryError) as error:
        if not samples:
            raise Unreadable(name, "the recording is damaged or of a kind I cannot play") from error
        # A clip that breaks off is heard as far as it goes: phones lose the last packet all the time.
    if not samples:
        raise Unreadable(name, "there is no sound in it")
    loudness = _loudness(samples)
    loud_s = sum(level >= SILENCE for level in loudness) * _WINDOW_S
    cuts = _cuts(loudness, len(samples) / RATE, limits)
    parts = tuple(
        SoundPart(_flac(samples[int(start * RATE) : int(end * RATE)]), start, end) for start, end in pairwise(cuts)
    )
    return Sound(len(samples) / RATE, loud_s, parts)


def _mono(container: av.container.InputContainer) -> Iterator[AudioFrame]:
    resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
    for frame in container.decode(audio=0):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _loudness(samples: array[int]) -> list[float]:
    """Mean amplitude of each window."""
    width = int(RATE * _WINDOW_S)
    return [
        sum(map(abs, window)) / len(window)
        for at in range(0, len(samples), width)
        if len(window := samples[at : at + width : _STRIDE])
    ]


def _cuts(loudness: list[float], duration_s: float, limits: SoundLimits) -> list[float]:
    """Return the borders of the parts, first 0 and last *duration_s*; each inner one in the quietest moment near by.

    No word is doubled or lost because parts touch and never overlap. A border looks for quiet in the last third of its
    part; where nobody pauses it falls into the softest window, the best that can be done without hearing words.
    """
    cuts = [0.0]
    while duration_s - cuts[-1] > limits.part_s:
        # The rest is shared out, so that no short part, billed as a long one, is left at the end.
        left = duration_s - cuts[-1]
        wanted = left / -(-left // limits.part_s)
        first = int((cuts[-1] + max(limits.min_part_s, wanted * 2 / 3)) / _WINDOW_S)
        last = int(min(cuts[-1] + limits.part_s, duration_s - limits.min_part_s) / _WINDOW_S)
        quietest = min(range(first, max(last, first + 1)), key=lambda at: _around(loudness, at))
        cuts.append((quietest + 0.5) * _WINDOW_S)
    return [*cuts, duration_s]


def _around(loudness: list[float], at: int, windows: int = 5) -> float:
    near = loudness[max(0, at - windows) : at + windows + 1]
    return sum(near) / len(near) if near else 0.0


def _flac(samples: array[int]) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono", format="s16")
        assert isinstance(stream, AudioStream)  # noqa: S101 - the codec's name decides it; add_stream types them all
        frame_size = 4096
        for at in range(0, len(samples), frame_size):
            piece = samples[at : at + frame_size]
            frame = AudioFrame(format="s16", layout="mono", samples=len(piece))
            frame.planes[0].update(piece.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
            frame.sample_rate = RATE
            frame.pts = at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
