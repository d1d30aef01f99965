"""A transcript in the forms that OpenAI's API gives. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import msgspec

from core.base.text import well_formed
from core.domain.requests import Segment, Transcript

Format = Literal["json", "text", "verbose_json", "srt", "vtt"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)


def written(transcript: Transcript, shape: Format, *, task: str, words: bool) -> tuple[bytes, str]:
    """Return (body, MIME type) of *transcript*."""
    match shape:
        case "text":
            return well_formed(f"{transcript.text}\n").encode(), "text/plain"
        case "srt":
            return well_formed(srt(transcript)).encode(), "application/x-subrip"
        case "vtt":
            return well_formed(vtt(transcript)).encode(), "text/vtt"
        case "json":
            body = {
                "text": well_formed(transcript.text),
                "usage": {"type": "duration", "seconds": round(transcript.duration_s)},
                "x_tern": _about(transcript),
            }
        case "verbose_json":
            body = _verbose(transcript, task, words=words)
    return msgspec.json.encode(body), "application/json"


def srt(transcript: Transcript) -> str:
    """SubRip: numbered cues; one for everything where the model gave no times."""
    return "".join(
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{cue.text.strip()}\n\n"
        for number, cue in enumerate(_cues(transcript), start=1)
    )


def vtt(transcript: Transcript) -> str:
    """WebVTT, likewise."""
    cues = "".join(
        # WebVTT reads a cue's text as markup (https://www.w3.org/TR/webvtt1/, read 2026-11-22).
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n"
        f"{cue.text.strip().replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}\n\n"
        for cue in _cues(transcript)
    )
    return f"WEBVTT\n\n{cues}"


def _cues(transcript: Transcript) -> tuple[Segment, ...]:
    whole = (Segment(0.0, transcript.duration_s, transcript.text),) if transcript.text else ()
    return transcript.segments or whole


def _clock(at_s: float, mark: str) -> str:
    millis = round(at_s * 1000)
    return f"{millis // 3_600_000:02}:{millis // 60_000 % 60:02}:{millis // 1000 % 60:02}{mark}{millis % 1000:03}"


def _verbose(transcript: Transcript, task: str, *, words: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "task": task,
        "language": transcript.language,
        "duration": round(transcript.duration_s, 3),
        "text": well_formed(transcript.text),
        "segments": [
            {
                "id": number,
                "seek": 0,
                "start": round(segment.start_s, 3),
                "end": round(segment.end_s, 3),
                "text": well_formed(segment.text),
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": segment.avg_logprob,
                "compression_ratio": segment.compression_ratio,
                "no_speech_prob": segment.no_speech,
            }
            for number, segment in enumerate(transcript.segments)
        ],
        "usage": {"type": "duration", "seconds": round(transcript.duration_s)},
        "x_tern": _about(transcript),
    }
    if words:
        body["words"] = [
            {"word": well_formed(word.text.strip()), "start": round(word.start_s, 3), "end": round(word.end_s, 3)}
            for word in transcript.words
        ]
    return body


def _about(transcript: Transcript) -> dict[str, Any]:
    return {
        "model": transcript.model,
        "provider": transcript.provider,
        "cost_usd": transcript.usage.cost_usd,
        "from_cache": transcript.from_cache,
    }
