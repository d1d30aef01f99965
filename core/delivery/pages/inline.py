"""Emphasis and code inside one paragraph: which markers are open at its end. Pure.

An approximation of CommonMark's delimiter runs, good enough to close on the screen what the model has not closed yet.
"""

from __future__ import annotations

import re

from core.base.markdown.flanking import flanks
from core.base.markdown.spans import find_spans

_MAX_OPEN = 8
"""Deeper nesting is literal text in practice."""

_MARK = re.compile(r"\\.|`+|\*+|_+|~~", re.DOTALL)


def unclosed(paragraph: str) -> tuple[str, ...]:
    """Markers open at the end of *paragraph*, outermost first: ("**", "`") for "a **b `c"."""
    open_marks: list[str] = []
    spans = iter(find_spans(paragraph).outer)
    span = next(spans, None)
    at = 0
    while found := _MARK.search(paragraph, at):
        while span and span.end <= found.start():
            span = next(spans, None)
        if span and span.start <= found.start():
            at = span.end  # in code, a link or an address nothing is a mark
            continue
        run = found.group()
        at = found.end()
        if run[0] == "\\":
            continue
        if run[0] == "`":
            # Three of them at a line's start would open a fence when they are repeated.
            return (*open_marks, run) if len(run) < 3 else tuple(open_marks)
        _emphasis(open_marks, run, paragraph[found.start() - 1 : found.start()], paragraph[at : at + 1])
    return tuple(open_marks)


def _emphasis(open_marks: list[str], run: str, before: str, after: str) -> None:
    """Let one run of `*`, `_` or `~~` close what it can and open what is left."""
    char, left = run[0], len(run)
    can_open, can_close = flanks(char, before, after)
    if char == "*" and left == 1 and before.isalnum() and after.isalnum():
        can_open = False  # CommonMark allows it, models mean a product: 2*3
    while left and can_close:
        fitting = [mark for mark in open_marks if mark[0] == char and len(mark) <= left]
        if not fitting:
            break
        last = len(open_marks) - 1 - open_marks[::-1].index(fitting[-1])
        left -= len(open_marks[last])
        del open_marks[last:]
    while left and can_open and len(open_marks) < _MAX_OPEN:
        width = 2 if left >= 2 else 1
        open_marks.append(char * width)
        left -= width
