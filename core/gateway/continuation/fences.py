"""Code fences around the place where one model takes over from another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from core.gateway.continuation.overlap import HOLD, Hold

_FENCE = re.compile(r" {0,3}(?P<marks>`{3,}|~{3,})(?P<info>[^`\n]*)$")


@dataclass(frozen=True, slots=True)
class OpenFence:
    """A code block that is still open: its marks, its language, and where its code begins."""

    marks: str
    info: str
    code_at: int


def open_fence(text: str) -> OpenFence | None:
    """Return the fence that *text* ends inside of, None outside of code. An unfinished last line counts too."""
    found: OpenFence | None = None
    position = 0
    for line in text.splitlines(keepends=True):
        position += len(line)
        fence = _FENCE.match(line.rstrip("\n"))
        if fence is None:
            continue
        marks, info = fence["marks"], fence["info"].strip()
        if found is None:
            found = OpenFence(marks, info, position)
        elif marks[0] == found.marks[0] and len(marks) >= len(found.marks) and not info:
            found = None
    return found


def in_code_span(text: str) -> bool:
    """Whether the last line of *text* ends inside `code`."""
    return text.rpartition("\n")[2].count("`") % 2 == 1


def mend_fence(shown: str, said: str, *, final: bool) -> str | Literal[Hold.HOLD]:
    """Return *said* without the fence lines with which it would break the code block that stands already.

    Inside a block: a fence that opens it again is dropped, likewise one that closes and opens it again. Right after a
    block: a second closing fence is dropped. A fence that stays gets the line end it needs before it.
    """
    lead = len(said) - len(said.lstrip())
    if not said[lead:].startswith(("`", "~")) and (final or said.strip()):
        return said
    first, ended, after = said[lead:].partition("\n")
    whole = bool(ended) or final
    if not whole:
        return HOLD if _may_become_fence(first) else said
    fence = _FENCE.match(first)
    if fence is None:
        return said
    line = shown.rpartition("\n")[2].strip()
    if line in ("`", "``", "~", "~~") and first.startswith(line):
        return said[lead + len(line) :]  # the first model was cut within the marks
    block, info = open_fence(shown), fence["info"].strip()
    if block is not None and info:
        return after
    if block is None and not info and _just_closed(shown):
        return after if shown.endswith("\n") else "\n" + after
    again = _reopened(after, block.info, final=final) if block is not None else None
    if again is not None:
        return again
    if line and "\n" not in said[:lead]:
        return ("\n" if block is not None else "\n\n") + said
    return said


def _reopened(after: str, info: str, *, final: bool) -> str | Literal[Hold.HOLD] | None:
    """What follows a fence that opens the same language again right after the closing one; None where none does."""
    lead = len(after) - len(after.lstrip())
    line, ended, code = after[lead:].partition("\n")
    if not (ended or final):
        return HOLD if _may_become_fence(line) else None
    fence = _FENCE.match(line)
    return code if fence is not None and info and fence["info"].strip().lower() == info.lower() else None


def _may_become_fence(line: str) -> bool:
    return line.startswith(("```", "~~~")) or "```".startswith(line) or "~~~".startswith(line)


def _just_closed(shown: str) -> bool:
    last = shown.rstrip().rpartition("\n")[2]
    return _FENCE.match(last) is not None and open_fence(shown) is None
