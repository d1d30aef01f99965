"""The one door for JSON that others wrote: models, tools, files, platforms, clients.

Whatever comes in, a plain value goes out or `Malformed` is raised: no other exception, bounded work, text that UTF-8
can carry. Who needs speed for the usual case decodes it himself and comes here with what was refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import msgspec

MAX_BYTES: Final = 16_000_000
MAX_DEPTH: Final = 64
"""Deeper than anything that people or programs write by hand; what walks a value may then use the stack."""

MAX_COUNT: Final = 10_000_000
"""Of anything that is counted in tokens, bytes or requests by somebody else: more is a mistake or a lie."""

_LONE: Final = re.compile("[\ud800-\udfff]")


class Malformed(ValueError):
    """What came is not what it should be. The message says where and how, never what stood there."""


def json_value(
    raw: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, halves: bool = False
) -> Any:
    """Return the value of one JSON text, read leniently: bytes that are no UTF-8 and halves of characters become
    U+FFFD, control characters inside strings stay, numbers of any length are floats, NaN and infinities are None.

    Args:
        halves: Leave lone surrogates in the strings: the other half may come with the next text.

    Raises:
        Malformed: Nothing of the kind, or more or deeper than allowed.
    """
    if len(raw) > max_bytes:
        raise Malformed(f"JSON of more than {max_bytes:,} bytes")
    try:
        value = _read(raw)
    except RecursionError as error:
        raise Malformed("JSON that is nested too deep") from error
    except ValueError as error:
        raise Malformed(f"no JSON ({len(raw):,} bytes)") from error
    return _checked(value, max_depth, halves)


def count(value: Any, *, most: int = MAX_COUNT) -> int | None:
    """Return *value* as a count between 0 and *most*; None where it is no number at all ("12" and 12.0 are)."""
    if isinstance(value, str):
        value = value.strip()
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]*)?", value):
            return None
        value = float(value)  # as long as it likes: too large is infinite
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return int(min(max(value, 0), most))


def whole_text(text: str) -> str:
    """Return *text* with halves of characters joined, and U+FFFD for those whose other half is missing."""
    if text.isascii() or not _LONE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _read(raw: bytes | str) -> Any:
    """Raises ValueError, RecursionError."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        pass  # the careful way says whether it is worth anything
    text = raw.decode("utf-8-sig", "replace") if isinstance(raw, bytes) else raw.removeprefix("\ufeff")
    return json.loads(text, strict=False, parse_int=_int, parse_float=_float, parse_constant=lambda name: None)


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else _float(digits) or 0.0


def _float(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else math.copysign(1e308, value)


def _checked(value: Any, depth: int, halves: bool) -> Any:
    """*value* with its strings well formed. The usual value is handed back untouched."""
    if isinstance(value, str):
        return value if halves else whole_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict | list) and not depth:
        raise Malformed("JSON that is nested too deep")
    if isinstance(value, dict):
        return {_checked(name, depth, halves): _checked(one, depth - 1, halves) for name, one in value.items()}
    if isinstance(value, list):
        return [_checked(one, depth - 1, halves) for one in value]
    return value
