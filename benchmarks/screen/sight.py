"""From what stood on the screen, and when, to what a reader felt. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sight:
    """One answer, in seconds from its first token."""

    first_s: float
    """Until its first word stood there."""
    lag_s: float
    """Of a character behind the model, on average."""
    last_s: float
    """From the last token until the last word."""


def sight_of(written: Sequence[tuple[float, int]], shown: Sequence[tuple[float, int]]) -> Sight:
    """Compare two histories of (time, characters so far); the last entry of *shown* holds everything.

    Cuts between pages drop blanks, so what was shown is scaled to what was written.
    """
    scale = written[-1][1] / max(1, shown[-1][1])
    began, waited, at = written[0][0], 0.0, 0
    before = 0
    for time, chars in written:
        while at < len(shown) - 1 and shown[at][1] * scale < chars - 0.5:
            at += 1
        waited += (shown[at][0] - time) * (chars - before)
        before = chars
    first = next(time for time, chars in shown if chars)
    return Sight(first - began, waited / written[-1][1], shown[-1][0] - written[-1][0])
