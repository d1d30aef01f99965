"""Durations as Go prints them, which is how Groq writes the resets of its limits."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PIECE: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")


def go_duration_s(text: str) -> float | None:
    """Read "2m59.56s", "7.66s", "172ms", "1h2m" or a bare number of seconds; None where *text* is none of these.

    Source: https://console.groq.com/docs/rate-limits and https://pkg.go.dev/time#Duration.String (read 2026-11-22).
    """
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    pieces = _PIECE.findall(text)
    if not pieces or "".join(amount + unit for amount, unit in pieces) != text:
        return None
    return sum(float(amount) * _UNITS[unit] for amount, unit in pieces)
