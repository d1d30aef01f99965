"""Fences, lists and tables, line by line: what is open where a text may be cut. Pure.

Only what splitting needs, and only by looking back, so that what was decided about a line stays true when text follows.
Rendering has a real Markdown parser; this one must be cheap enough to run on every refresh of a growing page.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

_FENCE = re.compile(r"(?P<prefix>[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(?P<marker>`{3,16}|~{3,16})(?P<info>[^\n]*)")
_ITEM = re.compile(r"(?P<indent>[ \t]*)(?P<marker>[-*+]|\d{1,9}[.)])[ \t]+(?=\S)")
_SEPARATOR = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\r?")
_HEADING = re.compile(r"#{1,6}(?:\s|$)")
_MAX_INFO_CHARS = 40
"""A longer info string is not repeated where a fence is re-opened."""


@dataclass(frozen=True, slots=True)
class Fence:
    """An open code block. `prefix` is the indentation and the quote marks in front of it."""

    prefix: str
    marker: str
    info: str

    @property
    def opening(self) -> str:
        info = self.info if len(self.info) <= _MAX_INFO_CHARS else ""
        return f"{self.prefix}{self.marker}{info}\n"

    @property
    def closing(self) -> str:
        return self.prefix + self.marker

    def closed_by(self, line: str) -> bool:
        text = line.strip(" \t\r>")
        quote_left = ">" in self.prefix and not line.lstrip().startswith(">")
        return quote_left or (len(text) >= len(self.marker) and set(text) == {self.marker[0]})


@dataclass(frozen=True, slots=True)
class Item:
    """An open list item."""

    indent: str
    marker: str


@dataclass(frozen=True, slots=True)
class State:
    """What is open in front of a line."""

    fence: Fence | None = None
    items: tuple[Item, ...] = ()
    """Outermost first."""
    table: str = ""
    """Header and separator line of the table that the line may continue, with their newlines."""
    header: str = ""
    """The line before, where it may turn out to be a table's header."""
    blank: bool = True
    """Whether the line before was empty, or a block of its own, so that a new block begins here."""


def after(state: State, line: str) -> State:
    """The state after one whole *line*, given without its newline."""
    if state.fence:
        return replace(state, fence=None, blank=True) if state.fence.closed_by(line) else state
    if not line.strip():
        return State(items=state.items)
    if (fence := _FENCE.match(line)) and not (fence["marker"][0] == "`" and "`" in fence["info"]):
        prefix = re.sub(r"[^\s>]", " ", fence["prefix"])
        opened = Fence(prefix, fence["marker"], fence["info"].rstrip())
        return State(
            fence=opened, items=_with_item(state, item) if (item := _ITEM.match(line)) else _items_around(state, line)
        )
    if state.table and "|" in line:
        return replace(state, blank=False)
    if state.header and "|" in line + state.header and _SEPARATOR.fullmatch(line):
        return State(items=state.items, table=f"{state.header}\n{line}\n", blank=False)
    if item := _ITEM.match(line):
        return State(items=_with_item(state, item), blank=False)
    return State(
        items=_items_around(state, line),
        header=line if "|" in line else "",
        blank=bool(_HEADING.match(line)),
    )


def _with_item(state: State, item: re.Match[str]) -> tuple[Item, ...]:
    outer = tuple(open_item for open_item in state.items if len(open_item.indent) < len(item["indent"]))
    return (*outer, Item(item["indent"], item["marker"]))


def _items_around(state: State, line: str) -> tuple[Item, ...]:
    """The list items that a line which is no item itself belongs to."""
    indent = len(line) - len(line.lstrip())
    if indent == 0 and (state.blank or _HEADING.match(line) or _FENCE.match(line)):
        return ()
    if not state.blank:
        return state.items  # a lazy continuation line
    return tuple(item for item in state.items if len(item.indent) < indent)


@dataclass(frozen=True, slots=True)
class Line:
    start: int
    """Offset in the scanned text."""
    before: State
    table_start: int
    """Where the table that this line belongs to began; its own start where it belongs to none."""


def scan(text: str, state: State, *, led: bool, known: Sequence[Line] = ()) -> list[Line]:
    """Every line of *text*, the last one perhaps incomplete.

    Args:
        state: What is open at the start.
        led: Whether something is shown in front of the first line, which therefore opens nothing.
        known: The lines of a shorter text that *text* continues; only the rest is looked at.
    """
    lines = list(known[:-1])
    start = table_start = 0
    if known:
        start, state, table_start = known[-1].start, known[-1].before, known[-1].table_start
    while True:
        lines.append(Line(start, state, table_start if state.table else start))
        end = text.find("\n", start)
        if end < 0:
            return lines
        had_table = bool(state.table)
        if not (led and start == 0):
            state = after(state, text[start:end])
        elif not state.fence:
            state = replace(state, blank=False)
        if state.table and not had_table:
            # Only the separator shows that the line above it was a table's header.
            table_start = lines[-2].start if len(lines) > 1 else 0
            lines[-1] = replace(lines[-1], table_start=table_start)
        start = end + 1


def line_at(lines: list[Line], offset: int) -> Line:
    """The line that holds *offset*; at a line's first character, that line."""
    return lines[bisect_right(lines, offset, key=lambda line: line.start) - 1]


def items_around(before: State, line: str) -> tuple[Item, ...]:
    """The open list items that *line* stands in; where it is an item, not itself."""
    items = after(before, line).items
    return items[:-1] if is_item(line) else items


def is_item(line: str) -> bool:
    return _ITEM.match(line) is not None


def is_heading(line: str) -> bool:
    return _HEADING.match(line) is not None


def is_separator(line: str) -> bool:
    return "|" in line and _SEPARATOR.fullmatch(line) is not None
