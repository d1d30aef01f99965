"""Splits a growing Markdown text into pages that a platform takes. Pure, and cheap while the text grows.

A page that is followed by another never changes again. Each page is complete in itself: a fence that is open at a
page's end is closed there and re-opened on the next page, likewise emphasis, the list items around the cut and a
table's header. On a page that still grows, half an element is closed, or held back until it can be told what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.delivery.pages.blocks import Line
from core.delivery.pages.cuts import cut
from core.delivery.pages.tail import Measure, Opening, Tail
from core.ports.platform import code_points


@dataclass(frozen=True, slots=True)
class Page:
    """One page. The `source` of all pages, joined, is the text; of a growing text, what is not held back."""

    opened: str
    """Repeated from the page before: a fence's first line, a table's header, list items, emphasis."""
    source: str
    closed: str
    """Added to close what is open at the end."""
    text: str
    """What the page shows."""


_WINDOW_PAGES = 4


class Pages:
    """The pages of one growing text.

    Args:
        max_chars: What a page may hold, in the unit of *measure*; at least 80, so that what is re-opened fits.
        measure: Length of a page's Markdown as the platform counts it. Where it does not grow evenly with the text (a
            renderer that pads tables) a cut may land a little early, never late.
    """

    def __init__(self, max_chars: int, measure: Measure = code_points) -> None:
        self._max_chars = max_chars
        self._measure = measure
        self._full: list[Page] = []
        self._starts = [0]
        """Offset of each page's source; the last one is the growing page's."""
        self._openings = [Opening()]
        self._seen: list[int] = []
        """How much text each cut was decided on."""
        self._lines: Sequence[Line] = ()
        """Of the growing page, so that each refresh looks only at what is new."""

    @property
    def count(self) -> int:
        return len(self._starts)

    def update(self, text: str, *, growing: bool) -> tuple[Page, ...]:
        """All pages of *text*, which continues the text given before; none of them is empty."""
        window = _WINDOW_PAGES * self._max_chars
        while True:
            start = self._starts[-1]
            part = text[start : start + window]  # not all of a long rest is looked at for each page
            tail = Tail(part, self._openings[-1], self._max_chars, self._measure, self._lines)
            whole = _page(tail, len(part))
            if self._measure(whole.text) > self._max_chars:
                self._turn(tail)
            elif start + window < len(text):
                window *= 2
            else:
                self._lines = tail.lines
                break
        if not growing:
            whole = _page(tail, len(part), goes_on=False)
        elif (settled := tail.settled()) < len(part):
            whole = self._held_back(tail, settled)
        return (*self._full, whole) if whole.source.strip() else tuple(self._full)

    def _turn(self, tail: Tail) -> None:
        end, seen, opening = cut(tail)
        start = self._starts[-1]
        self._full.append(_page(tail, end))
        self._seen.append(start + seen)
        self._starts.append(start + end)
        self._openings.append(opening)
        self._lines = ()

    def _held_back(self, tail: Tail, end: int) -> Page:
        """The growing page without what comes after its first *end* characters."""
        if not tail.fits(end):  # less text may measure more, where a table is not one yet
            end = tail.most_that_fits(end)
        return _page(tail, end)

    def rewind(self, chars: int) -> None:
        """Forget the cuts that were decided on text beyond the first *chars* characters."""
        keep = next((number for number, seen in enumerate(self._seen) if seen > chars), len(self._seen))
        self._lines = ()
        del self._full[keep:], self._seen[keep:], self._starts[keep + 1 :], self._openings[keep + 1 :]


def split(text: str, max_chars: int, measure: Measure = code_points) -> list[str]:
    """The pages of a finished *text*, none of them empty."""
    return [page.text for page in Pages(max_chars, measure).update(text, growing=False)]


def _page(tail: Tail, end: int, *, goes_on: bool = True) -> Page:
    opened, body, closed = tail.parts(end, goes_on=goes_on)
    return Page(opened, tail.text[:end], closed, opened + body + closed)
