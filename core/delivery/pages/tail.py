"""The last page of a growing text: what it shows, and how much of it fits. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from core.base.markdown.spans import find_spans
from core.delivery.pages.blocks import Line, State, after, is_item, items_around, line_at, scan
from core.delivery.pages.inline import unclosed

Measure = Callable[[str], int]

_LOOK_CHARS = 2_000
"""So much of the last line is looked at for a link whose end has not come."""
_HALF_BLOCK = re.compile(r"[ \t>]*(?:-+|=+|[+*]+|\d{1,9}[.)]?|#{1,6}|>+|`+[^`\n]*|~+[^\n]*)[ \t]*$")
_HALF_SEPARATOR = re.compile(r"[\s|:\-]*$")
_HALF_MARK = re.compile(r"(?:[*_~`\\]+|!)$")
_MAX_FENCE_INDENT = 3  # CommonMark 0.31, 4.5
_BLANK_LINES = re.compile(r"(?:[ \t\r]*\n)+")


@dataclass(frozen=True, slots=True)
class Opening:
    """What is open where a page begins, and is therefore repeated there."""

    state: State = State()
    marks: tuple[str, ...] = ()
    """Emphasis and code, outermost first."""
    mid_line: bool = False

    @property
    def text(self) -> str:
        if self.state.table:
            return self.state.table
        items = "\n".join(f"{item.indent}{item.marker} …" for item in self.state.items)
        if self.state.fence:
            return (f"{items}\n" if items else "") + self.state.fence.opening
        return items + (" " if self.mid_line else "\n") * bool(items) + "".join(self.marks)

    @property
    def led(self) -> bool:
        """Whether something stands in front of the page's first character on its line, so that it begins no block."""
        return self.mid_line and bool(self.state.items or self.marks)

    def within(self, room: int, measure: Measure) -> Opening:
        """The same, or less where it would leave the page itself no room."""
        if measure(self.text) <= room:
            return self
        fence = self.state.fence and replace(self.state.fence, info="", prefix="")
        plain = Opening(State(fence=fence), mid_line=self.mid_line)
        return plain if measure(plain.text) <= room else Opening(mid_line=self.mid_line)


class Tail:
    """Text from a page's first character on, and what is re-opened in front of it."""

    def __init__(
        self, text: str, opening: Opening, max_chars: int, measure: Measure, known: Sequence[Line] = ()
    ) -> None:
        """*known* are the `lines` of the same page when its text was shorter."""
        self.text = text
        self.opening = opening
        self._max = max_chars
        self._measure = measure
        self._known = known
        blank = None if opening.state.fence or opening.mid_line else _BLANK_LINES.match(text)
        self.begin = blank.end() if blank else 0
        """Where the visible text begins: blank lines at a page's start are not shown."""

    def known_to(self, end: int) -> Tail:
        """The same page as if no more than *end* characters had come."""
        return Tail(self.text[:end], self.opening, self._max, self._measure)

    @cached_property
    def lines(self) -> list[Line]:
        return scan(self.text, self.opening.state, led=self.opening.led, known=self._known)

    def parts(self, end: int, *, goes_on: bool = True) -> tuple[str, str, str]:
        """(opened, body, closed) of the page that ends behind *end* characters; together they are what it shows.

        A fence is always closed, emphasis only where the text goes on: at its very end, a lone star is a star.
        """
        opened = self.opening.text
        body = self.text[self.begin : end]
        if fence := self.state_at(end).fence:
            own_line = body.endswith("\n") or not body
            return opened, body, fence.closing if own_line else "\n" + fence.closing
        body = body.rstrip()
        return opened, body, "".join(reversed(self.marks_at(end))) if body and goes_on else ""

    def fits(self, end: int) -> bool:
        return self._measure("".join(self.parts(end))) <= self._max

    def most_that_fits(self, end: int) -> int:
        """Largest offset up to *end* whose page is within the limit; 0 where not one character is."""
        low, high = 0, end
        # Mostly a text measures what it is long: look around there, further away each time, then halve what is left.
        probe, step = min(self.begin + self._max, end), 1
        while low < high:
            if self.fits(probe):
                low, probe = probe, probe + step
            else:
                high, probe = probe - 1, probe - step
            step *= 2
            if not low < probe <= high:
                probe = (low + high + 1) // 2
        return low

    def state_at(self, end: int) -> State:
        """What is open behind the first *end* characters, the last line taken as it stands."""
        line = line_at(self.lines, end)
        part = self.text[line.start : end]
        if not part or (line.start == 0 and self.opening.led):
            return line.before
        return after(line.before, part)

    def marks_at(self, end: int) -> tuple[str, ...]:
        """Emphasis and code open behind the first *end* characters, outermost first."""
        line = line_at(self.lines, max(end - 1, 0))
        while line.start > self.begin and not self._begins_block(line, end):
            line = line_at(self.lines, line.start - 1)
        lead = "".join(self.opening.marks) if line.start <= self.begin else ""
        return unclosed(lead + self.text[line.start : end].rstrip())

    def _begins_block(self, line: Line, end: int) -> bool:
        return line.before.blank or bool(line.before.table) or is_item(self.text[line.start : end])

    def opening_at(self, end: int) -> Opening:
        """What the next page re-opens when this one ends behind *end* characters."""
        line = line_at(self.lines, end)
        mid_line = end > line.start
        following = self.text[line.start :].split("\n", 1)[0]
        state = self.state_at(end)
        if state.fence:
            # Indented deeper, it would be no fence without its list.
            items = state.items if len(state.fence.prefix) > _MAX_FENCE_INDENT else ()
            opening = Opening(State(fence=state.fence, items=items), (), mid_line)
        elif line.before.table and "|" in following:
            opening = Opening(State(table=line.before.table), (), mid_line)
        else:
            marks = self.marks_at(end) if mid_line or not (line.before.blank or is_item(following)) else ()
            items = state.items if mid_line else items_around(line.before, following)
            opening = Opening(State(items=items), marks, mid_line)
        return opening.within(self._max // 2, self._measure)

    def settled(self) -> int:
        """How much of a growing text can be shown without flashing half an element.

        Held back: a line that may become a fence, a heading, a list item or an underline; a table's header until its
        separator line; a link until its address ends; the first star of two.
        """
        line = self.lines[-1]
        last = self.text[line.start :]
        above = self.lines[-2] if len(self.lines) > 1 else None
        if fence := line.before.fence:
            if above and not above.before.fence and not last:
                return above.start  # an empty code block
            may_close = last.strip() and not last.strip(f" \t>{fence.marker[0]}")
            return line.start if may_close else len(self.text)
        if line.before.table:
            return len(self.text)
        header = line.before.header
        if above and header and _HALF_SEPARATOR.match(last) and (last or header.lstrip().startswith("|")):
            return above.start
        if last.lstrip().startswith("|") or (last and _HALF_BLOCK.match(last)):
            return line.start
        looked_at = last[-_LOOK_CHARS:]
        half = find_spans(looked_at).half
        if half is None:
            half = found.start() if (found := _HALF_MARK.search(looked_at)) else len(looked_at)
        return len(self.text) - len(looked_at) + half
