"""Sentences spoken by espeak-ng, in the containers that platforms send, and how well somebody heard them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from tests.core.files import samples

SENTENCE = "The quick brown fox jumps over the lazy dog. What is the weather in Berlin tomorrow?"

CONTAINERS = {
    "wav": ("audio/wav", None),
    "ogg": ("audio/ogg", ("ogg", "libopus")),  # Discord's voice messages
    "m4a": ("audio/mp4", ("mp4", "aac")),  # Slack's voice clips, Safari's recorder
    "webm": ("audio/webm", ("webm", "libopus")),  # Chromium's and Firefox's recorder
}
"""File ending -> (MIME type, container and codec; None for a WAV as it is)."""


def spoken(sentence: str = SENTENCE, ending: str = "wav") -> bytes:
    """*sentence* as a recording in the container of *ending*."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "spoken.wav"
        subprocess.run(["espeak-ng", "-s", "140", "-w", str(target), sentence], check=True)
        wav = target.read_bytes()
    recode = CONTAINERS[ending][1]
    return samples.recoded(wav, *recode) if recode else wav


def word_error_rate(said: str, heard: str) -> float:
    """Levenshtein distance over words, divided by the number of words said."""
    left, right = (re.findall(r"[a-z]+", text.lower()) for text in (said, heard))
    row = list(range(len(right) + 1))
    for number, word in enumerate(left, start=1):
        above, row[0] = row[0], number
        for at, other in enumerate(right, start=1):
            above, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, above + (word != other))
    return row[-1] / len(left)
