"""Emphasis and code inside one paragraph: which markers are open at its end. Pure.

An approximation of CommonMark's delimiter runs, good enough to close on the screen what the model has not closed yet.
"""

from __future__ import annotations

import re

_MAX_OPEN = 8
"""Deeper nesting is literal text in practice."""

_MARK = re.compile(r"\\.|`+|\*+|_+|~~", re.DOTALL)


def unclosed(paragraph: str) -> tuple[str, ...]:
    """Markers open at the end of *paragraph*, outermost first: ("**", "`") for "a **b `c"."""
    open_marks: list[str] = []
    at = 0
    while found := _MARK.search(paragraph, at):
        run = found.group()
        at = found.end()
        if run[0] == "\\":
            continue
        if run[0] == "`":
            close = _closing_backticks(paragraph, run, at)
            if close < 0:
                # Three of them at a line's start would open a fence when they are repeated.
                return (*open_marks, run) if len(run) < 3 else tuple(open_marks)
            at = close
            continue
        before = paragraph[found.start() - 1] if found.start() else " "
        after = paragraph[at] if at < len(paragraph) else " "
        _emphasis(open_marks, run, before, after)
    return tuple(open_marks[:_MAX_OPEN])


def _closing_backticks(paragraph: str, run: str, at: int) -> int:
    """End of the next run of exactly as many backticks, or -1."""
    for found in re.compile("`+").finditer(paragraph, at):
        if len(found.group()) == len(run):
            return found.end()
    return -1


def _emphasis(open_marks: list[str], run: str, before: str, after: str) -> None:
    """Let one run of `*`, `_` or `~~` close what it can and open what is left."""
    char, left = run[0], len(run)
    can_close = not before.isspace()
    can_open = not after.isspace()
    if char != "~" and left < 3 and before.isalnum() and after.isalnum():
        # snake_case and 2*3 are no emphasis; CommonMark allows the star, models mean a product.
        can_open = can_open and left == 2 and char == "*"
        can_close = can_close and char == "*"
    while left and can_close:
        fitting = [mark for mark in open_marks if mark[0] == char and len(mark) <= left]
        if not fitting:
            break
        last = len(open_marks) - 1 - open_marks[::-1].index(fitting[-1])
        left -= len(open_marks[last])
        del open_marks[last:]
    while left and can_open:
        width = 2 if left >= 2 else 1
        open_marks.append(char * width)
        left -= width
