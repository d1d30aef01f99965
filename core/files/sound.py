"""Measures a recording, finds where nobody speaks, and cuts what is too long. Runs in the worker."""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

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
    samples, lost_s = array("h"), 0.0
    most = int(limits.max_duration_s * RATE)
    for link in _links(content):
        try:
            lost_s += _decode(name, link, samples, most)
        except Unreadable:
            raise
        except (FFmpegError, ValueError, LookupError, OSError, MemoryError) as error:
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
    return Sound(len(samples) / RATE, loud_s, parts, lost_s)


def _decode(name: str, content: bytes, samples: array[int], most: int) -> float:
    """Add what is heard to *samples* and return how many seconds were lost on the way.

    Raises:
        Unreadable: No sound, or more than *most* samples.
        FFmpegError and what else the library raises: Damaged from the start.
    """
    before = len(samples)
    with av.open(io.BytesIO(content), mode="r") as container:
        if not container.streams.audio:
            raise Unreadable(name, "there is no sound in it")
        if container.streams.audio[0].codec_context is None:
            raise Unreadable(name, "its sound is of a kind I cannot play")
        decoder = _Decoder(container)
        for frame in decoder.frames():
            samples.frombytes(bytes(frame.planes[0])[: frame.samples * 2])
            if len(samples) > most:
                raise Unreadable(name, f"it is longer than {most / RATE / 3600:g} hours")
        if not decoder.failures or decoder.forms > 1 or container.duration is None:
            return decoder.lost_s
        # MP3 has no clock of its own: what is missing shows against the length that its size or its head tells.
        claimed_s = container.duration / av.time_base
        return max(decoder.lost_s, claimed_s - (len(samples) - before) / RATE)


_OGG_BEGINS = b"OggS\x00\x02"
_MOST_LINKS = 200


def _links(content: bytes) -> list[bytes]:
    """The recordings that an Ogg file is a chain of: FFmpeg stops where Opus changes its channels. Others whole."""
    if not content.startswith(b"OggS"):
        return [content]
    starts, at = [0], content.find(_OGG_BEGINS, 1)
    while at >= 0 and len(starts) < _MOST_LINKS:
        page = content.rfind(b"OggS", 0, at)
        if not content[page + 5] & 2:  # streams that begin together are one link
            starts.append(at)
        at = content.find(_OGG_BEGINS, at + 1)
    return [content[start:end] for start, end in pairwise([*starts, len(content)])]


class _Decoder:
    """Frames of the first audio track as mono of our rate, past damaged places and through changes of format."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self._container = container
        self._resampler: AudioResampler | None = None
        self._form: tuple[str, str, int] | None = None
        self.failures = self.forms = 0
        self.lost_s = 0.0
        """How much could not be decoded, by the track's own clock."""
        self._heard_until: float | None = None

    def frames(self) -> Iterator[AudioFrame]:
        for frame in self._decoded():
            form = (frame.format.name, frame.layout.name, frame.sample_rate)
            if form != self._form:
                yield from self._flush()
                self.forms += 1
                self._form, self._resampler = form, AudioResampler(format="s16", layout="mono", rate=RATE)
            self._note_gap(frame)
            frame.pts = None  # a resampler of its own time: gaps are passed over
            if self._resampler is not None:
                yield from self._resampler.resample(frame)
        yield from self._flush()

    def _flush(self) -> Iterator[AudioFrame]:
        if self._resampler is not None:
            yield from self._resampler.resample(None)

    def _decoded(self) -> Iterator[AudioFrame]:
        """Raises FFmpegError where the container itself cannot be read on."""
        packets = self._container.demux(audio=0)
        while self.failures < _MAX_FAILURES:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (FFmpegError, ValueError):
                self.failures += 1
                packets = self._container.demux(audio=0)
                continue
            try:
                decoded: list[Any] = list(packet.decode())  # of an audio stream: frames of sound
            except (FFmpegError, ValueError):
                self.failures += 1
                continue
            yield from decoded

    def _note_gap(self, frame: AudioFrame) -> None:
        if frame.time is None or not frame.sample_rate:
            return
        if self._heard_until is not None and frame.time - self._heard_until > _GAP_S:
            self.lost_s += frame.time - self._heard_until
        self._heard_until = frame.time + frame.samples / frame.sample_rate


_MAX_FAILURES = 10_000
"""Of packets and reads; a file of nothing but damage ends there."""
_GAP_S = 0.2
"""Shorter gaps are how encoders count."""


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
