"""What the readers take and give: plain values that the parent process can hold without the readers' libraries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.domain.incoming import UserKey


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What the provider takes; defaults fit qwen/qwen3.8-27b (facts/groq.md 2, read 2026-11-22)."""

    max_side: int = 2048
    """Pixels. Larger pictures cost tokens and upload time and tell the model nothing more."""
    max_pixels: int = 33_177_600
    max_bytes: int = 1_000_000
    """Of one picture: three of them in base64 stay below the 4 MB of one request."""


@dataclass(frozen=True, slots=True)
class Picture:
    content: bytes
    mime: str
    width: int
    height: int
    frames: int
    """How many the original had; only the first is kept."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    max_chars: int = 200_000
    max_pages: int = 200


@dataclass(frozen=True, slots=True)
class Document:
    text: str
    read: str
    """How much of it: "all", "pages 1-200 of 812", "the first 200000 of 1200000 characters"."""
    complete: bool


@dataclass(frozen=True, slots=True)
class SoundLimits:
    max_duration_s: float = 4 * 3600.0
    part_s: float = 600.0
    """Longest part; 10 minutes of 16 kHz FLAC stay well below the 25 MB of one upload."""
    min_part_s: float = 10.0
    """Billed at least (facts/groq.md 2, audio): no shorter part is made of a longer recording."""


@dataclass(frozen=True, slots=True)
class SoundPart:
    """A stretch of the recording as mono 16 kHz FLAC."""

    content: bytes
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Sound:
    duration_s: float
    """Of the decoded first audio track, whatever the container claims."""
    loud_s: float
    """Seconds that are not silent; near zero, there is nothing to transcribe."""
    parts: tuple[SoundPart, ...]
    lost_s: float = 0.0
    """Seconds in damaged places, which were passed over."""


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """How the local model listens. Not a bound on the file: `Sound` was measured before."""

    model: str
    """A folder with a CTranslate2 model, or a name faster-whisper knows ("base"), which it downloads once."""
    language: str | None = None
    translate: bool = False
    prompt: str = ""
    threads: int = 2
    words: bool = False
    """Whether each word's time is wanted; costs about a fifth more."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class HeardSegment:
    start_s: float
    end_s: float
    text: str
    no_speech: float
    avg_logprob: float
    compression_ratio: float


@dataclass(frozen=True, slots=True)
class Heard:
    language: str
    segments: tuple[HeardSegment, ...]
    words: tuple[HeardWord, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One file for the worker."""

    task: Literal[
        "picture", "letters", "text", "pdf", "docx", "html", "sound", "speech", "arithmetic", "schema", "guards"
    ]
    name: str
    """As its sender called it: for messages only, never a path."""
    content: bytes
    limits: Limits
    owner: UserKey | None = None
    """Who brought it: turns and time are shared out by person, and no two persons' files meet in one process."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The worker's answer to a file that cannot be read; `why` is half a sentence for the reader."""

    why: str
    defect: str = ""
    """What escaped from a reader and where, for the log; "" where the file alone is at fault."""


Limits: TypeAlias = "PictureLimits | ReadLimits | SoundLimits | SpeechLimits"
Result: TypeAlias = "Picture | Document | Sound | Heard"
