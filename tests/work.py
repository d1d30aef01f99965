"""Counts work instead of time: how many lines of our own and of the libraries' Python a call runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

HOSTILE = (
    *("[a](b ", "[a](", "[", "]", "![", "[a](b)", "[a][b]", '[a](b "', "[a](<b ", "[a]: b\n", "`", "`a", "`a``b"),
    *("*", "_", "~~", "*a ", "**a ", "*a _b ", "_*", "<", "<a:", "<@", ">", "> ", "> > a\n", "|", "| a ", "|a|\n|-|\n"),
    *("- ", "- a\n", "1. ", " - a\n", "    ", "#", "# a\n", "&", "&amp;", "\\", "(", "https://", "https://a)", "a"),
    *("https://a/(", "http://a[", "```\n", "~~~a\n", "$", "$a", "a\n", "a \n\n", "\n", "@", "@here ", "开", "**开：**"),
)
"""What makes a reader slow that looks ahead from every place."""


def steps(call: Callable[[], Any]) -> int:
    """Lines of Python that *call* runs; what one call of C does is not seen, so patterns are looked at by hand."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def grows_evenly(call: Callable[[str], Any], piece: str, chars: int = 4_000) -> bool:
    """Whether *call* takes about twice the steps for twice the text, at *chars* characters of *piece* repeated.

    A quarter more than twice is let pass, and five steps a character: short texts take short ways.
    """
    times = chars // len(piece) // 2
    half, whole = (steps(lambda text=piece * count: call(text)) for count in (times, 2 * times))  # type: ignore[misc]
    return whole <= 2.5 * half + 5 * chars
